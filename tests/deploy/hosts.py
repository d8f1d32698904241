"""The four hosts of the deployment test: which Debian each is, what it has, and who logs in to it."""

from __future__ import annotations

from dataclasses import dataclass

from tests.fleet.roots import PYTHONS, debian_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

_BOOTS = ("systemd", "systemd-sysv", "dbus", "openssh-server")
_FINDS = ("ca-certificates", "openssl", "perl", "libnet-ssleay-perl")
ADMINISTRATOR = "admin"
"""The user that logs in where root does not: it becomes root by sudo."""


@dataclass(frozen=True)
class HostPlan:
    """One host: a Debian, the packages in it beside those that every host has, and who logs in."""

    name: str
    number: int
    packages: tuple[str, ...]
    user: str = ADMINISTRATOR

    @property
    def suite(self) -> str:
        """The Debian that it is: hosts are named after theirs."""
        return self.name

    @property
    def has_python(self) -> bool:
        """Whether it has any Python, which Ansible's modules need."""
        return "python3" in self.packages

    def root(self) -> Path:
        """Return the cached root, which must not be changed; made where it is not there yet."""
        return debian_root(self.suite, (*_BOOTS, *_FINDS, *self.packages), kind="deploy")


BULLSEYE = HostPlan("bullseye", 11, (), user="root")
"""Nothing but what boots: no Python and no sudo. Only ``raw`` reaches it."""
BOOKWORM = HostPlan("bookworm", 12, ("python3", "python3-venv", "nodejs", "sudo"))
TRIXIE = HostPlan("trixie", 13, ("python3", "python3-venv", "sudo", "prometheus", "prometheus-alertmanager"))
FORKY = HostPlan("forky", 14, ("python3", "sudo"))
"""The newest Python, which may be too new for Ansible's modules, and a systemd that knows cgroup v2 alone."""

HOSTS = (BULLSEYE, BOOKWORM, TRIXIE, FORKY)
COLLECTOR = TRIXIE
"""The host that is the collector too, with a Prometheus and an Alertmanager as Debian packages them."""

assert {host.suite for host in HOSTS} == set(PYTHONS)
