"""The index of the fleet: reads only what changed, and always tells what the store has."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libcensus.collector import fleetindex
from libcensus.collector.errors import StoreError
from libcensus.collector.fleetindex import EXAMPLES, Fleet, FleetIndex, Traits
from libcensus.collector.posture.offer import pythons_of
from libcensus.collector.store.sql import SqlStore
from libcensus.facts.interpreter import Build
from tests.collector.metrics import fleet
from tests.collector.metrics.test_exporter import CountingStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from libcensus.collector.store.contract import HostState, Store
    from libcensus.facts.codec import Fact

WEB = fleet.Machine("web")
BARE = fleet.Machine("bare", builds=(), installs=())
OLD = fleet.Machine("old", platform=fleet.platform(28), os_version="10")
EDGE = fleet.Machine("edge", platform=fleet.MUSL, os_id="alpine", os_version="3.22")
INNER = fleet.full_machine("inner")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CountingStore]:
    with CountingStore.open(f"sqlite:///{tmp_path / 'census.db'}") as opened:
        assert isinstance(opened, CountingStore)
        yield opened


def told(found: Fleet) -> dict[Traits, tuple[int, list[str]]]:
    return {group.traits: (group.hosts, group.examples) for group in found.groups}


def test_hosts_that_offer_the_same_are_one_group(store: CountingStore) -> None:
    for number in range(12):
        fleet.report(store, WEB.renamed(f"web-{number:02}"))
    fleet.report(store, BARE)
    fleet.report(store, OLD)
    found = FleetIndex(store).fleet()
    bookworm, buster = fleet.digest_of(WEB.platform), fleet.digest_of(OLD.platform)
    assert {(one.traits.platform, one.hosts, len(one.traits.pythons)) for one in found.groups} == {
        (bookworm, 12, 2),
        (bookworm, 1, 0),
        (buster, 1, 2),
    }
    (many,) = [one for one in found.groups if one.hosts == 12]
    assert many.examples == [f"web-{number:02}" for number in range(EXAMPLES)]
    assert many.traits.system == ("debian", "12")
    assert many.traits.libc == ("x86_64", "glibc", "2.36")
    assert found.build_hosts == {fleet.digest_of(fleet.DISTRO_311): 13, fleet.digest_of(fleet.PBS_312): 13}
    assert found.needed_glibc[fleet.digest_of(fleet.PBS_312)] == "2.17"
    assert found.platforms.keys() == {bookworm, buster}


def test_only_the_pythons_of_the_hosts_own_root_count(store: CountingStore) -> None:
    fleet.report(store, INNER)
    (group,) = FleetIndex(store).fleet().groups
    assert {one.version for one in group.traits.pythons} == {"3.11.2", "3.12.12"}


def test_hosts_are_told_apart_by_the_folders_of_their_pythons_only_where_those_are_asked_for(
    store: CountingStore,
) -> None:
    for name in ("ann", "bob", "bob-2"):
        python = fleet.install(f"/home/{name[:3]}/py/bin/python3.12", fleet.PBS_312, fleet.STATIC)
        fleet.report(store, replace(WEB, hostname=name, installs=(python,)))
    found = FleetIndex(store).fleet()
    assert [(one.hosts, {python.folders for python in one.traits.pythons}) for one in found.groups] == [(3, {()})]
    assert [(one.examples, *(python.folders for python in one.traits.pythons)) for one in found.places] == [
        (["ann"], ("/home/ann/py/bin",)),
        (["bob", "bob-2"], ("/home/bob/py/bin",)),
    ]


def test_what_did_not_change_is_not_read_again(store: CountingStore) -> None:
    for number in range(20):
        fleet.report(store, WEB.renamed(f"web-{number}"))
    index = FleetIndex(store)
    first = index.fleet()
    # Two builds, one platform, one set of installs: whatever the number of hosts.
    assert store.reads == {"hosts": 20, "facts": 4}
    fleet.report(store, WEB.renamed("web-3"), at=fleet.NOON + timedelta(hours=1))
    store.reads.clear()
    assert index.fleet() is first
    assert not store.reads
    fleet.report(store, replace(OLD, hostname="web-3"), host_id=fleet.host_id_of("web-3"), at=fleet.NOON + timedelta(2))
    changed = index.fleet()
    assert store.reads == {"hosts": 1, "facts": 1}
    assert sorted(group.hosts for group in changed.groups) == [1, 19]
    assert sorted(group.hosts for group in first.groups) == [20]


def test_what_no_host_has_any_more_is_let_go(store: CountingStore) -> None:
    host_id = fleet.report(store, replace(OLD, builds=(fleet.PYENV_313,), installs=()))
    index = FleetIndex(store)
    assert index.fleet().build_hosts == {fleet.digest_of(fleet.PYENV_313): 1}
    fleet.report(store, WEB.renamed("old"), host_id=host_id, at=fleet.NOON + timedelta(hours=1))
    found = index.fleet()
    assert found.builds.keys() == {fleet.digest_of(fleet.DISTRO_311), fleet.digest_of(fleet.PBS_312)}
    assert found.platforms.keys() == {fleet.digest_of(WEB.platform)}


@pytest.mark.parametrize("lost", ["platform", "installs", "build"])
def test_a_host_whose_facts_cannot_be_read_is_counted_apart(store: CountingStore, lost: str) -> None:
    digests: dict[str, Fact] = {"platform": OLD.platform, "installs": WEB.install_set, "build": fleet.PYENV_313}
    machine = replace(OLD, builds=(*OLD.builds, fleet.PYENV_313))
    fleet.report(store, machine)
    fleet.report(store, BARE)
    store.lost.add(fleet.digest_of(digests[lost]))
    index = FleetIndex(store)
    found = index.fleet()
    assert (found.unreadable_hosts, [group.hosts for group in found.groups]) == (1, [1])
    store.lost.clear()
    fleet.report(store, replace(machine, os_version="11"), at=fleet.NOON + timedelta(hours=1))
    found = index.fleet()
    assert (found.unreadable_hosts, [group.hosts for group in found.groups]) == (0, [1, 1])


def test_an_error_of_the_store_midway_is_made_good_by_the_next_question(tmp_path: Path) -> None:
    class FailingStore(SqlStore):
        fails = False

        def facts(self, digests: Iterable[str]) -> dict[str, object]:  # type: ignore[override]
            if self.fails:
                raise StoreError("the disk is gone")
            return dict(super().facts(digests))

    with FailingStore.open(f"sqlite:///{tmp_path / 'census.db'}") as store:
        assert isinstance(store, FailingStore)
        fleet.report(store, WEB)
        index = FleetIndex(store)
        index.fleet()
        fleet.report(store, OLD)
        store.fails = True
        with pytest.raises(StoreError):
            index.fleet()
        store.fails = False
        assert told(index.fleet()) == told(FleetIndex(store).fleet())


def counted_from_scratch(store: Store) -> tuple[Counter[tuple[object, ...]], Counter[str]]:
    """Return the groups and the hosts of each build, host by host."""
    groups: Counter[tuple[object, ...]] = Counter()
    builds: Counter[str] = Counter()
    states: list[HostState] = store.hosts()
    for state in states:
        facts = store.facts([state.installs, *state.builds])
        known = {digest: fact for digest, fact in facts.items() if isinstance(fact, Build)}
        found = pythons_of(facts[state.installs], known)  # type: ignore[arg-type]
        pythons = frozenset(replace(python, folders=()) for python in found)
        groups[state.platform, pythons, state.host.os_release.id, state.host.os_release.version_id] += 1
        builds.update(state.builds)
    return groups, builds


changes = st.lists(
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from([WEB, BARE, OLD, EDGE, INNER])), max_size=4), max_size=4
)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes)
def test_whatever_changes_the_index_tells_what_the_store_has(
    tmp_path_factory: pytest.TempPathFactory, changes: list[list[tuple[int, fleet.Machine]]]
) -> None:
    moment = fleet.NOON
    with SqlStore.open(f"sqlite:///{tmp_path_factory.mktemp('index') / 'census.db'}") as store:
        index = FleetIndex(store)
        for together in changes:
            for number, machine in together:
                moment += timedelta(minutes=20)
                fleet.report(store, machine.renamed(f"host-{number}"), fleet.host_id_of(str(number)), at=moment)
            found = index.fleet()
            groups, builds = counted_from_scratch(store)
            assert {
                (one.traits.platform, one.traits.pythons, *one.traits.system): one.hosts for one in found.groups
            } == groups
            assert found.build_hosts == builds
            assert found.builds.keys() == builds.keys()
            assert told(found) == told(FleetIndex(store).fleet())


def test_hosts_are_read_ahead_of_the_first_question_as_long_as_that_is_wanted(
    store: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleetindex, "_BATCH", 3)
    for number in range(10):
        fleet.report(store, WEB.renamed(f"web-{number}"))
    index = FleetIndex(store)
    steps = iter([True, True, False])
    index.warm(lambda: next(steps))
    assert store.reads["hosts"] == 6
    index.warm(lambda: True)
    assert store.reads == {"hosts": 10, "facts": 4}
    assert told(index.fleet()) == told(FleetIndex(store).fleet())
    assert store.reads["hosts"] == 20
