"""Removal leaves nothing behind: what is on the hosts' disks, their users and their units are as they were before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.deploy.traces import Traces, traces_of

if TYPE_CHECKING:
    from tests.deploy.deployment import Deployment

pytestmark = [pytest.mark.root, pytest.mark.timeout(2400)]


def test_removal_leaves_nothing_behind(deployed: Deployment, before: dict[str, Traces]) -> None:
    everything = {"libcensus_remove_collector": True, "libcensus_collector_purge": True}
    deployed.control.play("remove", **everything).must_succeed()
    left = {name: before[name].differences(traces_of(host)) for name, host in deployed.fleet.hosts.items()}
    assert left == {name: [] for name in left}
    for host in deployed.fleet.hosts.values():
        assert host.ask("pgrep -f '[l]ibcensus'").returncode == 1
    # Where nothing is, nothing is changed either.
    again = deployed.control.play("remove", **everything).must_succeed()
    assert again.changed() == {}
