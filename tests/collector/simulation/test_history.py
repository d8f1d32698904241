"""A fleet's past: it leads to the fleet as it is, holds nothing that was not out, and lies in the store as planned."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.posture.finding import Component
from libcensus.collector.simulation.facts import FactMaker
from libcensus.collector.simulation.fill import Simulation
from libcensus.collector.simulation.plan import Choices, plan_fleet
from libcensus.collector.simulation.shares import WHEEL_DAYS
from libcensus.collector.store.sql import SqlStore
from libcensus.facts.codec import decode_fact
from libcensus.facts.interpreter import InstallSet
from libcensus.facts.vocabulary import EnvironmentState, Installer, InstallKind, Provider
from tests.collector.simulation.conftest import DAYS, SEEDS

if TYPE_CHECKING:
    from pathlib import Path

    from libcensus.collector.simulation.plan import HostPlan, InstallPlan
    from libcensus.facts.crypto import CryptoUse
    from tests.collector.simulation.conftest import Filled


def states_of(seed: int, hosts: int, days: int = DAYS, as_of: date | None = None) -> list[tuple[HostPlan, ...]]:
    return list(Simulation(load_snapshot(), seed, hosts, as_of, days=days).states())


@pytest.mark.parametrize("days", [0, 1, 30, 180, 500])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_host_ends_as_it_is_without_a_past(seed: int, days: int) -> None:
    catalogue = load_snapshot()
    plans = list(plan_fleet(Choices(catalogue, catalogue.snapshot_date), seed, 150))
    assert [states[-1] for states in states_of(seed, 150, days)] == plans


@pytest.mark.parametrize("seed", SEEDS)
def test_the_last_change_makes_a_host_what_it_is(seed: int) -> None:
    """The present is put there as it was drawn; the past must have come to the same by itself."""
    for states in states_of(seed, 300, 400):
        if len(states) > 1:
            assert replace(states[-2], reported_at=states[-1].reported_at) == states[-1]


def test_a_longer_past_ends_with_the_shorter_one() -> None:
    for longer, shorter in zip(states_of(3, 150, 300), states_of(3, 150, 90), strict=True):
        after = shorter[0].reported_at
        assert [one for one in longer if one.reported_at > after] == list(shorter[1:])
        known = [one for one in longer if one.reported_at <= after]
        assert not known or replace(known[-1], reported_at=after) == shorter[0]


def test_reports_are_in_order_within_the_days_and_one_per_change() -> None:
    end = load_snapshot().snapshot_date
    begin = datetime.combine(end - timedelta(days=DAYS), datetime.min.time(), UTC)
    for states in states_of(1, 200):
        moments = [one.reported_at for one in states]
        assert moments == sorted(set(moments))
        assert len(states) == 1 or moments[0] >= begin
        for before, after in pairwise(states[:-1]):
            assert replace(before, reported_at=after.reported_at) != after


def package_day(plan: HostPlan) -> date:
    """Return since when the host's OpenSSL package can have been there; the oldest that is known always can."""
    known = plan.known
    place = known.openssl.index(plan.openssl)
    older = [day for day in known.days[place + 1 :] if day is not None]
    return known.days[place] or date.min if older else date.min


@pytest.mark.parametrize("as_of", [None, date(2026, 10, 25)])
def test_nothing_is_there_before_it_was_out(as_of: date | None) -> None:
    catalogue = load_snapshot()
    built = {build.tag: build.date for build in catalogue.pbs_builds}
    openssl = {one.version: one.date for one in catalogue.releases[Component.OPENSSL].values()}
    python = {one.version: one.date for one in catalogue.releases[Component.CPYTHON].values()}
    looked_at: Counter[str] = Counter()
    for states in states_of(2, 400, 400, as_of):
        for plan in states[:-1]:
            day = plan.reported_at.date()
            assert package_day(plan) <= day
            assert plan.known.released is None or plan.known.released <= day
            if plan.tool is not None:
                assert catalogue.uv_dates.get(plan.tool.version, date.min) <= day
                assert built[plan.tool.newest_build] <= day
            for copy in plan.copies:
                assert WHEEL_DAYS[copy.wheel] <= day
                looked_at["wheel"] += 1
            for install in plan.installs:
                build = install.build
                if build is None or build.version is None:
                    continue
                looked_at[build.provider] += 1
                if build.provider_build in built:
                    assert built[build.provider_build] <= day
                if build.provider in {Provider.PYENV, Provider.CONDA, Provider.SOURCE, Provider.DOCKER_OFFICIAL}:
                    assert (python.get(build.version) or date.min) <= day
                if build.provider is Provider.CONDA and install.crypto.version is not None:
                    assert (openssl[install.crypto.version] or date.min) <= day
    assert all(looked_at[name] > 20 for name in ("wheel", "pbs", "pyenv", "conda", "source", "docker-official"))


def test_versions_never_go_back() -> None:
    for states in states_of(4, 300, 400):
        places = [one.known.openssl.index(one.openssl) for one in states]
        assert places == sorted(places, reverse=True)


def test_a_host_with_something_younger_than_its_last_report_has_that_report_alone() -> None:
    """A silent host is drawn with what is out on the day of the fleet."""
    alone = [states for states in states_of(1, 600) if len(states) == 1]
    assert alone
    assert all(states[0].is_silent or states[0].reported_at.date() < date(2026, 11, 1) for states in alone)


def test_everything_happens_that_a_past_is_worth_asking_for() -> None:
    seen: Counter[str] = Counter()
    for states in states_of(5, 500, 365):
        bases = [{one.path: one for one in state.installs if one.kind is InstallKind.BASE} for state in states]
        seen["joined later"] += states[0].reported_at.date() > load_snapshot().snapshot_date - timedelta(days=364)
        seen["came"] += bool(bases[-1].keys() - bases[0].keys())
        seen["went"] += any(set(before) - set(after) for before, after in pairwise(bases))
        seen["package"] += len({one.openssl for one in states}) > 1
        seen["wheel"] += len({(one.path, one.wheel) for state in states for one in state.copies}) > len(
            {one.path for state in states for one in state.copies}
        )
        for state, there in zip(states, bases, strict=True):
            for install in state.installs:
                seen["lost base"] += is_before_loss(install, states[-1])
                seen["behind"] += is_behind(install, there, state)
    assert all(seen[name] >= 10 for name in ("joined later", "came", "went", "package", "wheel", "lost base", "behind"))


def is_before_loss(install: InstallPlan, end: HostPlan) -> bool:
    """Tell whether an environment that has lost its base still had it."""
    lost = {one.path for one in end.installs if one.state is EnvironmentState.DANGLING}
    return install.path in lost and install.state is EnvironmentState.FOLLOWS


def is_behind(install: InstallPlan, bases: dict[str, InstallPlan], state: HostPlan) -> bool:
    """Tell whether a pinned environment still is of a build that is not the newest of its kind on the host."""
    base = bases.get(install.base or "")
    if install.state is not EnvironmentState.PINNED or base is None or base.build is None:
        return False
    assert install.build == base.build
    assert state.tool is None or base.installer is not Installer.UV or base.build.provider_build
    return any(
        one.build is not None and one.build.minor == base.build.minor and one.build != base.build
        for one in bases.values()
        if one.installer is base.installer
    )


def test_the_intervals_of_the_store_are_those_of_the_plan(past_fleet: Filled) -> None:
    maker = FactMaker()
    several = 0
    for states in list(past_fleet.simulation.states())[:60]:
        expected: list[Interval] = []
        lasting: dict[tuple[str, str], tuple[Content, datetime]] = {}
        for state in states:
            now = installs_of(maker, state)
            for place, (content, since) in list(lasting.items()):
                if now.get(place) != content:
                    expected.append((*place, *content, since, state.reported_at))
                    del lasting[place]
            for place, content in now.items():
                lasting.setdefault(place, (content, state.reported_at))
        expected += [(*place, *content, since, None) for place, (content, since) in lasting.items()]
        found = past_fleet.store.intervals(states[-1].host_id)
        told: list[Interval] = [
            (one.root, one.path, one.build, one.crypto, one.installer, one.first_seen, one.gone_at) for one in found
        ]
        several += len(told) > len(states[-1].installs)
        assert sorted(told, key=repr) == sorted(expected, key=repr)
    assert several > 30


Content = tuple["str | None", "CryptoUse", Installer]
Interval = tuple[str, str, "str | None", "CryptoUse", Installer, datetime, "datetime | None"]


def installs_of(maker: FactMaker, state: HostPlan) -> dict[tuple[str, str], Content]:
    """Return the installs of a report, as they are in its bytes."""
    facts = [decode_fact(record.kind, record.payload) for record in maker.facts_of(state).records]
    (installs,) = [fact.installs for fact in facts if isinstance(fact, InstallSet)]
    return {(one.root, one.path): (one.build, one.crypto, one.installer) for one in installs}


def test_the_store_has_the_present_of_a_fleet_without_a_past(past_fleet: Filled, tmp_path: Path) -> None:
    with SqlStore.open(f"sqlite:///{tmp_path / 'now.db'}") as store:
        Simulation(load_snapshot(), past_fleet.truth.seed, past_fleet.truth.hosts).fill(store)
        now = {host.host_id: replace(host, first_report=host.last_report) for host in store.hosts()}
    then = {host.host_id: host for host in past_fleet.store.hosts()}
    assert {name: replace(host, first_report=host.last_report) for name, host in then.items()} == now
    assert sum(host.first_report < host.last_report for host in then.values()) > len(then) / 2


def test_a_fleet_that_is_there_gets_no_past(tmp_path: Path) -> None:
    """Its older reports would come after its newer ones."""
    with SqlStore.open(f"sqlite:///{tmp_path / 'fleet.db'}") as store:
        Simulation(load_snapshot(), 1, 20).fill(store)
        before = store.hosts()
        Simulation(load_snapshot(), 1, 40, days=90).fill(store, add=True)
        first = {host.host_id: host for host in store.hosts()}
        assert [first[host.host_id] for host in before] == before
        assert sum(host.first_report < host.last_report for host in first.values()) > 10
        histories = {host.host_id: store.intervals(host.host_id) for host in store.hosts()}
        Simulation(load_snapshot(), 1, 40, days=90).fill(store, add=True)
        assert {host.host_id: store.intervals(host.host_id) for host in store.hosts()} == histories
