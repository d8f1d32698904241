"""What an operator is told when something is in the way, and that the same play simply runs again afterwards.

All of it on one host, which is bare at the beginning: each run goes as far as the next obstacle, over what the one
before it left.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.deploy.deployment import AGENT, Deployment
from tests.deploy.hosts import COLLECTOR, FORKY
from tests.deploy.patience import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.deploy.control import Host

pytestmark = [pytest.mark.root, pytest.mark.timeout(2400)]

FOLDER = "/opt/libcensus-agent"
WRONG_TOKEN = "/root/wrong-token"
_WRONG_TOKEN = """#!/bin/sh
# A collector's command whose tokens nobody knows: as when another collector is asked than the host is sent to.
if [ "$1 $2" = "token create" ]; then
    /usr/local/bin/libcensus-collector "$@" | sed 's/\\(lct1-[a-z0-9]*-\\)..../\\1aaaa/'
else
    exec /usr/local/bin/libcensus-collector "$@"
fi
"""
_NOBODY = 99
"""The number of an address in the hosts' network that nobody has."""


@pytest.fixture(scope="module")
def bare(deployed: Deployment) -> Host:
    """A host whose agent was removed, and nobody else's."""
    outcome = deployed.control.play("remove", "--limit", FORKY.name).must_succeed()
    assert set(outcome.changed()) == {FORKY.name}
    host = deployed.fleet[FORKY]
    assert host.ask(f"test -e {FOLDER}").returncode == 1
    assert host.ask(f"systemctl cat {AGENT}").returncode != 0
    return host


@contextmanager
def _mounted(host: Host, place: str, options: str) -> Iterator[None]:
    host.run(f"mkdir -p {place} && mount -t tmpfs -o {options} tmpfs {place}")
    try:
        yield
    finally:
        host.run(f"umount {place}")


def _refused(deployed: Deployment, host: Host, **variables: object) -> str:
    return deployed.control.play("site", "--tags", "agent", "--limit", host.name, **variables).must_fail_on(host.name)


def test_a_host_without_space_is_told_how_much_is_missing(deployed: Deployment, bare: Host) -> None:
    with _mounted(bare, FOLDER, "size=20m,mode=755"):
        message = _refused(deployed, bare)
        assert bare.run(f"ls -A {FOLDER}") == ""
    assert f"{bare.name} has 20 MB free for {FOLDER}" in message
    assert "make room, or set libcensus_agent_directory" in message


def test_a_folder_from_which_nothing_may_run_is_told(deployed: Deployment, bare: Host) -> None:
    with _mounted(bare, FOLDER, "noexec,mode=755"):
        message = _refused(deployed, bare)
        assert bare.run(f"ls -A {FOLDER}") == ""
    assert f"mounts the file system of {FOLDER} noexec" in message
    assert "set libcensus_agent_directory to a folder from which programs may run" in message


def test_a_run_that_was_cut_off_leaves_nothing_that_counts(deployed: Deployment, bare: Host) -> None:
    running = deployed.control.start("site", "--tags", "agent", "--limit", bare.name)
    wait_for(
        "the bundle is being unpacked",
        lambda: running.has_begun("Unpack the bundle", bare.name),
        seconds=600,
        every=0.05,
    )
    running.kill()
    # What Ansible had started on the host runs on for a moment.
    wait_for("the end of its module", lambda: bare.ask("pgrep -f '[a]nsible'").returncode == 1, seconds=300)
    assert bare.ask(f"test -e {FOLDER}/current").returncode == 1


def test_a_wrong_token_is_told(deployed: Deployment, bare: Host) -> None:
    collector = deployed.fleet[COLLECTOR]
    place = collector.machine.root / WRONG_TOKEN.lstrip("/")
    place.write_text(_WRONG_TOKEN, encoding="ascii")
    place.chmod(0o700)
    try:
        message = _refused(deployed, bare, libcensus_agent_token_command=[WRONG_TOKEN])
    finally:
        place.unlink()
    assert f"{bare.name} was not enrolled at {COLLECTOR.name}:9444" in message
    assert "token" in message


def test_a_collector_that_cannot_be_reached_is_told(deployed: Deployment, bare: Host) -> None:
    address = deployed.fleet.site.address(_NOBODY)
    message = _refused(deployed, bare, libcensus_agent_collector_address=address)
    assert f"{bare.name} was not enrolled at {address}:9444" in message
    assert "cannot be reached" in message


def test_after_all_that_the_play_simply_runs_also_with_a_tmp_where_nothing_runs(
    deployed: Deployment, bare: Host
) -> None:
    with _mounted(bare, "/tmp", "noexec,nosuid,nodev,mode=1777"):
        deployed.control.play("site", "--tags", "agent", "--limit", bare.name).must_succeed()
        again = deployed.control.play("site", "--tags", "agent", "--limit", bare.name).must_succeed()
    assert again.changed() == {}
    before = deployed.last_reports()[bare.name]
    deployed.report(bare.name)
    wait_for("a newer report", lambda: deployed.last_reports()[bare.name] > before, every=1)


def test_no_token_stays_good_that_was_not_used(deployed: Deployment, bare: Host) -> None:
    listing = deployed.fleet[COLLECTOR].run("libcensus-collector token list")
    assert "good" not in listing, listing
