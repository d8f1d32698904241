"""Real hosts on this machine: systemd-nspawn machines that boot, each with an address and an sshd of its own.

A host is a cached Debian root under an overlay, so that the cache stays clean; a network namespace with a veth to one
bridge; and a control group of its own. Everything bears the site's prefix in its name, and that is how it is found and
removed again, whoever made it: by the test that made it, or by the next one where that was killed.

``python -m tests.deploy.machines`` removes what a killed test left, without starting anything.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import shutil
import signal
import subprocess
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.deploy.patience import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.deploy.hosts import HostPlan

CGROUPS = Path("/sys/fs/cgroup")
NAMESPACES = Path("/run/netns")
FIRST_CGROUP2_ONLY = "forky"
"""Its systemd does not boot on the control groups of version 1."""

_QUIET_UNITS = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "man-db.timer", "fstrim.timer"),
    *("e2scrub_all.timer", "systemd-networkd.service", "systemd-networkd.socket", "systemd-resolved.service"),
    *("console-getty.service", "container-getty@.service", "systemd-networkd-wait-online.service"),
)
"""What would change files or the network by itself meanwhile: a comparison of before and after is about us alone."""


@dataclass(frozen=True)
class Site:
    """Where the hosts are: the prefix of all names, the network, and the folder with what they write.

    A prefix has at most four characters: names of network interfaces have fifteen.
    """

    prefix: str
    network: ipaddress.IPv4Network
    folder: Path

    def address(self, number: int) -> str:
        """Return an address of the network."""
        return str(self.network[number])

    @property
    def bridge(self) -> str:
        """The name of the bridge, which has the network's first address."""
        return f"{self.prefix}-br"


SITE = Site("lcf", ipaddress.IPv4Network("10.93.0.0/25"), Path("/var/tmp/libcensus-fleet"))


def run(*command: str, check: bool = True) -> str:
    """Run a command of this machine and return what it prints; AssertionError tells what it said."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0 or not check, f"{' '.join(command)} failed:\n{done.stderr[-2000:]}"
    return done.stdout


@dataclass
class Machine:
    """A host that boots or has booted."""

    site: Site
    plan: HostPlan
    process: subprocess.Popen[bytes] | None = None
    machine_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def name(self) -> str:
        """The name of machine, network namespace and control group."""
        return f"{self.site.prefix}-{self.plan.name}"

    @property
    def link(self) -> str:
        """The name of this machine's end of the host's network interface."""
        return f"{self.site.prefix}-v{self.plan.number}"

    @property
    def address(self) -> str:
        """The host's address."""
        return self.site.address(self.plan.number)

    @property
    def folder(self) -> Path:
        """The folder with what the host writes, and its log."""
        return self.site.folder / self.plan.name

    @property
    def root(self) -> Path:
        """The host's root, seen from here."""
        return self.folder / "root"

    def log(self) -> str:
        """Return the end of what the host printed on its console."""
        console = self.folder / "console.log"
        return console.read_text(encoding="utf-8", errors="replace")[-3000:] if console.exists() else ""

    def mount(self) -> None:
        """Put an empty overlay over the cached root."""
        cached = self.plan.root()
        for name in ("upper", "work", "root"):
            (self.folder / name).mkdir(parents=True)
        options = f"lowerdir={cached},upperdir={self.folder / 'upper'},workdir={self.folder / 'work'}"
        run("mount", "-t", "overlay", self.name, "-o", options, str(self.root))

    def furnish(self, authorized_key: str, names: str) -> str:
        """Write what makes it this host: name, key of its sshd, who may log in. Returns its sshd's public key."""
        etc = self.root / "etc"
        (etc / "hostname").write_text(f"{self.plan.name}\n", encoding="ascii")
        (etc / "hosts").write_text(f"127.0.0.1 localhost\n::1 localhost\n{names}", encoding="ascii")
        (etc / "machine-id").write_text(f"{self.machine_id}\n", encoding="ascii")
        for old in (etc / "ssh").glob("ssh_host_*"):
            old.unlink()
        key = etc / "ssh" / "ssh_host_ed25519_key"
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.plan.name, "-f", str(key))
        for unit in _QUIET_UNITS:
            link = etc / "systemd" / "system" / unit
            link.unlink(missing_ok=True)
            link.symlink_to("/dev/null")
        home, owner = "root", "0:0"
        if self.plan.user != "root":
            home, owner = f"home/{self.plan.user}", "1000:1000"
            run("chroot", str(self.root), "useradd", "-m", "-u", "1000", "-s", "/bin/bash", self.plan.user)
            (etc / "sudoers.d" / self.plan.user).write_text(f"{self.plan.user} ALL=(ALL) NOPASSWD: ALL\n")
        folder = self.root / home / ".ssh"
        folder.mkdir(mode=0o700)
        (folder / "authorized_keys").write_text(authorized_key, encoding="ascii")
        run("chown", "-R", owner, str(folder))
        return key.with_suffix(".pub").read_text(encoding="ascii")

    def connect(self) -> None:
        """Give it a network namespace with an address on the bridge."""
        run("ip", "netns", "add", self.name)
        run("ip", "link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        run("ip", "link", "set", self.link, "master", self.site.bridge, "up")
        run("ip", "-n", self.name, "address", "add", f"{self.address}/{self.site.network.prefixlen}", "dev", "eth0")
        for device in ("lo", "eth0"):
            run("ip", "-n", self.name, "link", "set", device, "up")

    def boot(self) -> None:
        """Start it; it is there when its sshd answers."""
        # Of version 1 where the machine has that and the guest still boots on it: only so are its units accounted.
        both = (CGROUPS / "unified").exists() or (CGROUPS / "cgroup.controllers").exists()
        unified = (CGROUPS / "cgroup.controllers").exists() or self.plan.suite == FIRST_CGROUP2_ONLY
        assert both or not unified, f"{self.plan.name} needs cgroup v2, which is not mounted below {CGROUPS}"
        environment = os.environ | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": str(int(unified))}
        command = ["systemd-nspawn", "--quiet", f"--directory={self.root}", f"--machine={self.name}", "--register=no"]
        # Else two machines that one test starts would share one control group, and each kill the other's processes.
        command = [*_in_control_group(self.name), *command, "--keep-unit", "--boot", "--console=pipe"]
        command += [f"--network-namespace-path={NAMESPACES / self.name}", f"--uuid={self.machine_id}"]
        command += ["--link-journal=no", "--resolv-conf=off", "--timezone=off"]
        if not unified:
            command.append("--setenv=SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1")
        with (self.folder / "console.log").open("ab") as console:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, env=environment
            )

    def is_alive(self) -> bool:
        """Tell whether the machine's process is there."""
        return self.process is not None and self.process.poll() is None

    def power_off(self) -> None:
        """Cut its power: every process of it is gone, and its control group; the root stays."""
        _kill_control_groups(self.name)
        if self.process is not None:
            self.process.wait(timeout=60)
            self.process = None

    def started_inside(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a command within the machine without using its network."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        (leader,) = children.read_text(encoding="ascii").split()
        enter = ["nsenter", f"--target={leader}", "--mount", "--uts", "--ipc", "--net", "--pid"]
        return subprocess.Popen(
            [*enter, "--", *command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def processes_of(self, unit: str) -> list[int]:
        """Return the processes of one of the machine's units, as they are called here."""
        for hierarchy in (CGROUPS / "systemd", CGROUPS / "unified", CGROUPS):
            listing = hierarchy / self.name / "payload" / "system.slice" / unit / "cgroup.procs"
            with contextlib.suppress(OSError):
                if found := listing.read_text(encoding="ascii").split():
                    return [int(pid) for pid in found]
        return []

    def bytes_sent(self) -> tuple[int, int]:
        """Return how many bytes the host has sent and received on its interface, headers of Ethernet included."""
        counters = Path("/sys/class/net") / self.link / "statistics"
        # What this end received is what the host sent.
        return int((counters / "rx_bytes").read_text()), int((counters / "tx_bytes").read_text())


def _in_control_group(name: str) -> list[str]:
    """Return the words that start a command in a control group of its own, in every hierarchy that can have one."""
    hierarchies = [CGROUPS] if (CGROUPS / "cgroup.controllers").exists() else sorted(CGROUPS.iterdir())
    # A group of cpuset's takes no process before it has been given processors.
    folders = [str(each / name) for each in hierarchies if each.is_dir() and each.name != "cpuset"]
    script = 'while [ "$1" != -- ]; do mkdir -p "$1"; echo $$ > "$1/cgroup.procs"; shift; done; shift; exec "$@"'
    return ["/bin/sh", "-ec", script, "enter", *folders, "--"]


def _control_groups(name: str) -> list[Path]:
    """Return the control groups of this name, or of names with this prefix and ``*``, in all hierarchies."""
    return sorted({*CGROUPS.glob(name), *CGROUPS.glob(f"*/{name}")})


def _kill_control_groups(name: str) -> None:
    """End every process in the control groups, and remove those."""

    def gone() -> bool:
        for group in _control_groups(name):
            for listing in [*group.rglob("cgroup.procs"), group / "cgroup.procs"]:
                with contextlib.suppress(OSError):
                    for pid in listing.read_text(encoding="ascii").split():
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(int(pid), signal.SIGKILL)
            for folder in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
                with contextlib.suppress(OSError):
                    folder.rmdir()
            with contextlib.suppress(OSError):
                group.rmdir()
        return not _control_groups(name)

    wait_for(f"the end of {name}", gone, seconds=60)


def leftovers(site: Site) -> list[str]:
    """Return what is there of a site: control groups, network namespaces, interfaces, mounts, folders."""
    found = [str(group) for group in _control_groups(f"{site.prefix}-*")]
    found += [f"network namespace {path.name}" for path in NAMESPACES.glob(f"{site.prefix}-*")]
    found += [f"interface {path.name}" for path in Path("/sys/class/net").glob(f"{site.prefix}-*")]
    found += [f"mount {path}" for path in _mounts_below(site.folder)]
    if site.folder.exists():
        found.append(str(site.folder))
    return found


def _mounts_below(folder: Path) -> list[str]:
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    places = [line.split()[1] for line in lines]
    return sorted((place for place in places if place.startswith(f"{folder}/")), reverse=True)


def clean(site: Site) -> None:
    """Remove everything of a site, whoever made it; nothing of it is there afterwards."""
    _kill_control_groups(f"{site.prefix}-*")
    for place in _mounts_below(site.folder):
        run("umount", "--recursive", place, check=False)
        if place in _mounts_below(site.folder):
            run("umount", "--lazy", place)
    for namespace in NAMESPACES.glob(f"{site.prefix}-*"):
        run("ip", "netns", "delete", namespace.name)

    def unlinked() -> bool:
        # An interface goes with its namespace, but some time after it.
        for link in Path("/sys/class/net").glob(f"{site.prefix}-*"):
            run("ip", "link", "delete", link.name, check=False)
        return not list(Path("/sys/class/net").glob(f"{site.prefix}-*"))

    wait_for(f"the end of {site.prefix}'s interfaces", unlinked, seconds=60)
    shutil.rmtree(site.folder, ignore_errors=True)
    left = leftovers(site)
    assert not left, f"cannot be removed: {', '.join(left)}"


@contextlib.contextmanager
def site_to_oneself(site: Site) -> Iterator[Site]:
    """Hold the site while the context lasts, cleaned before and afterwards.

    AssertionError tells that another test has it.
    """
    lock = Path(f"/run/libcensus-{site.prefix}.lock")
    with lock.open("w", encoding="ascii") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AssertionError(f"another test uses the hosts {site.prefix}-* now ({lock} is locked)") from None
        clean(site)
        try:
            site.folder.mkdir(parents=True, mode=0o700)
            run("ip", "link", "add", site.bridge, "type", "bridge")
            run("ip", "address", "add", f"{site.address(1)}/{site.network.prefixlen}", "dev", site.bridge)
            run("ip", "link", "set", site.bridge, "up")
            yield site
        finally:
            clean(site)


def start(machines: Sequence[Machine], authorized_key: str) -> str:
    """Start machines; returns the lines of a known_hosts file. Whether they answer is not waited for."""
    names = "".join(f"{one.address} {one.plan.name}\n" for one in machines)
    known = ""
    for machine in machines:
        machine.mount()
        known += f"{machine.address} {machine.furnish(authorized_key, names)}"
        machine.connect()
        machine.boot()
    return known


if __name__ == "__main__":
    clean(SITE)
