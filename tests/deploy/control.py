"""The control node: this machine, with a key made for the test, and with the hosts' keys known beforehand."""

from __future__ import annotations

import shlex
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.deploy.machines import Machine, run, start
from tests.deploy.patience import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.deploy.hosts import HostPlan
    from tests.deploy.machines import Site

BOOT_SECONDS = 300
"""How long hosts may take to boot: four at once on two processors that others use too."""


@dataclass(frozen=True)
class Host:
    """A host that can be reached by SSH."""

    machine: Machine
    ssh_config: Path

    @property
    def name(self) -> str:
        """The host's name, also for ssh."""
        return self.machine.plan.name

    def ask(self, command: str, *, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command as root over SSH, with its exit code and what it prints."""
        if self.machine.plan.user != "root":
            command = f"sudo -n /bin/sh -c {shlex.quote(command)}"
        return subprocess.run(
            ["ssh", "-F", str(self.ssh_config), self.name, command],
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=seconds,
        )

    def run(self, command: str, *, seconds: float = 120) -> str:
        """Run a command as root over SSH and return what it prints; AssertionError tells what it said."""
        done = self.ask(command, seconds=seconds)
        assert done.returncode == 0, (
            f"{self.name}: {command}: exit code {done.returncode}\n{done.stdout[-1000:]}\n{done.stderr[-2000:]}"
        )
        return done.stdout

    def wait_until_booted(self) -> None:
        """Wait until its sshd lets us in and every unit has started or failed."""

        def is_up() -> bool:
            assert self.machine.is_alive(), f"{self.name} ended while it booted:\n{self.machine.log()}"
            return self.ask("systemctl is-system-running").stdout.strip() in {"running", "degraded"}

        try:
            wait_for(f"{self.name} has booted", is_up, seconds=BOOT_SECONDS, every=1)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.machine.log()}") from None

    def reboot(self) -> None:
        """Cut its power and start it again."""
        self.power_off()
        self.machine.boot()
        self.wait_until_booted()

    def power_off(self) -> None:
        """Cut its power, as when a plug is pulled."""
        # The shared connection would wait for an answer that never comes.
        run("ssh", "-F", str(self.ssh_config), "-O", "exit", self.name, check=False)
        self.machine.power_off()


@dataclass(frozen=True)
class Fleet:
    """Booted hosts by name, and the files by which ssh and Ansible reach them."""

    site: Site
    folder: Path
    hosts: dict[str, Host]

    @property
    def ssh_config(self) -> Path:
        """The file that ssh is told to use, and nothing else of this machine's."""
        return self.folder / "ssh_config"

    def __getitem__(self, plan: HostPlan) -> Host:
        return self.hosts[plan.name]


@contextmanager
def booted(site: Site, plans: Sequence[HostPlan], folder: Path) -> Iterator[Fleet]:
    """Boot hosts and wait until all of them let us in; they end with the context."""
    key = folder / "id_ed25519"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "libcensus deployment test", "-f", str(key))
    machines = [Machine(site, plan) for plan in plans]
    try:
        known_hosts = start(machines, key.with_suffix(".pub").read_text(encoding="ascii"))
        (folder / "known_hosts").write_text(known_hosts, encoding="ascii")
        config = folder / "ssh_config"
        config.write_text(_ssh_config(site, machines, folder), encoding="utf-8")
        fleet = Fleet(site, folder, {one.plan.name: Host(one, config) for one in machines})
        for host in fleet.hosts.values():
            host.wait_until_booted()
        yield fleet
    finally:
        for machine in machines:
            run("ssh", "-F", str(folder / "ssh_config"), "-O", "exit", machine.plan.name, check=False)
            machine.power_off()


def _ssh_config(site: Site, machines: Sequence[Machine], folder: Path) -> str:
    hosts = "".join(f"Host {one.plan.name}\n  HostName {one.address}\n  User {one.plan.user}\n\n" for one in machines)
    return (
        hosts
        + f"""Host *
  IdentityFile {folder / "id_ed25519"}
  IdentitiesOnly yes
  PreferredAuthentications publickey
  UserKnownHostsFile {folder / "known_hosts"}
  GlobalKnownHostsFile none
  StrictHostKeyChecking yes
  BatchMode yes
  ConnectTimeout 20
  ServerAliveInterval 15
  ControlMaster auto
  ControlPath {site.folder}/%C
  ControlPersist 600s
"""
    )
