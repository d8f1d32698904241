"""The four hosts of the deployment test: which Debian each is, what it has, and who logs in to it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.fleet.roots import CACHE, ENVIRONMENT, PYTHONS, debian_root, inside

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

FROM_WHEELS = BOOKWORM
"""The host whose agent comes from the wheelhouse, for its own Python; the others get the bundle."""

assert {host.suite for host in HOSTS} == set(PYTHONS)

_DOWNLOAD = """
set -eu
apt-get -q -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root update
mkdir /downloaded
cd /downloaded
apt-get -q -o APT::Sandbox::User=root download "$1"
"""


def package_of(plan: HostPlan, name: str, folder: Path) -> Path:
    """Return the archive of a package as a host's Debian has it now; fetched where it was not before.

    The hosts reach no mirror: whoever deploys to them brings everything along. ``folder`` is where the root is changed
    for that, for a moment; a site's is cleaned also after a test that was killed.
    """
    place = CACHE / f"deploy-{plan.suite}-packages"
    found = sorted(place.glob(f"{name}_*.deb"))
    if found and found[-1].stat().st_mtime >= plan.root().with_suffix(".packages").stat().st_mtime:
        return found[-1]
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    with tempfile.TemporaryDirectory(dir=folder, prefix="download-") as work:
        for part in ("upper", "work", "root"):
            (Path(work) / part).mkdir()
        options = f"lowerdir={plan.root()},upperdir={work}/upper,workdir={work}/work"
        root = Path(work) / "root"
        subprocess.run(["mount", "-t", "overlay", "download", "-o", options, str(root)], check=True)
        try:
            command = inside(root, "/bin/sh", "-c", _DOWNLOAD, "download", name)
            subprocess.run(command, check=True, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
            (package,) = (root / "downloaded").glob("*.deb")
            return Path(shutil.copy(package, place))
        finally:
            subprocess.run(["umount", str(root)], check=True)
