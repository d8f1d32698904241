"""What the deployment test stands on: hosts that are real, and of which nothing is left, whatever happens."""

from __future__ import annotations

import subprocess
import sys
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.deploy.hosts import BULLSEYE, HOSTS
from tests.deploy.machines import CGROUPS, Site, clean, leftovers, site_to_oneself
from tests.deploy.patience import wait_for

if TYPE_CHECKING:
    from tests.deploy.control import Fleet

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]

OTHER_SITE = Site("lcfk", IPv4Network("10.93.0.128/25"), Path("/var/tmp/libcensus-fleet-killed"))
"""Beside that of the fleet: other names, other addresses."""
_KILLED = """
import sys, time
from pathlib import Path
from tests.deploy.control import booted
from tests.deploy.hosts import BULLSEYE
from tests.deploy.machines import site_to_oneself
from tests.deploy.test_harness import OTHER_SITE

folder = Path(sys.argv[1])
with site_to_oneself(OTHER_SITE) as site, booted(site, [BULLSEYE], folder):
    (folder / "booted").touch()
    time.sleep(3600)
"""


def test_a_second_start_removes_what_a_killed_test_left(tmp_path: Path) -> None:
    site = OTHER_SITE
    try:
        with subprocess.Popen([sys.executable, "-c", _KILLED, str(tmp_path)]) as test:
            try:
                wait_for(
                    "a booted host", lambda: (tmp_path / "booted").exists() or test.poll() is not None, seconds=600
                )
                assert test.poll() is None
                with pytest.raises(AssertionError, match="another test uses the hosts lcfk-"), site_to_oneself(site):
                    pass
            finally:
                test.kill()
        left = leftovers(site)
        assert any(one.startswith(str(CGROUPS)) for one in left)
        assert {"network namespace lcfk-bullseye", "interface lcfk-br"} < set(left)
        with site_to_oneself(site):
            assert leftovers(site) == [f"interface {site.bridge}", str(site.folder)]
        assert leftovers(site) == []
    finally:
        clean(site)


def test_the_hosts_are_real_and_four(fleet: Fleet) -> None:
    versions = set()
    for name, host in fleet.hosts.items():
        assert host.run("hostname") == f"{name}\n"
        assert host.run("cat /proc/1/comm") == "systemd\n"
        assert f"VERSION_CODENAME={name}\n" in host.run("cat /etc/os-release")
        assert host.run("systemctl --failed --no-legend --plain") == ""
        has_python = host.ask("command -v python3").returncode == 0
        assert has_python == host.machine.plan.has_python
        versions.add(host.run("ldd --version | head -n 1").split()[-1])
    assert len(versions) == len(HOSTS)


def test_a_host_comes_back_after_its_power_was_cut(fleet: Fleet) -> None:
    host = fleet[BULLSEYE]
    host.run("echo written > /root/before && sync")
    identity = "cat /etc/machine-id"
    start = "systemctl show --property=UserspaceTimestampMonotonic"
    before = host.run(identity), host.run(start)
    host.reboot()
    assert host.run(identity) == before[0]
    assert host.run(start) != before[1]
    assert host.run("cat /root/before && rm /root/before") == "written\n"
