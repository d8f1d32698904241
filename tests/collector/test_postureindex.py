"""What the index keeps of hosts: cases by number over every catalogue, and what changed, slot by slot."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest

from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.exposures import ExposureReader
from libcensus.collector.posture.assessment import Assessor
from libcensus.collector.posture.finding import Component, Severity
from libcensus.collector.postureindex import JudgedFleet, PastSource, PostureIndex
from libcensus.collector.simulation.fill import Simulation
from libcensus.collector.store.sql import SqlStore
from libcensus.facts.crypto import CryptoLibrary, CryptoUse
from libcensus.facts.vocabulary import CryptoFamily, Installer, Linkage, Provider
from tests.collector.metrics import fleet
from tests.collector.metrics.fleet import NOON, Machine, build, install

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from libcensus.facts.interpreter import Install

PYENV = build("3.12.12", Provider.PYENV, "2.35")
HIGH = ("pyenv", Component.OPENSSL, Severity.HIGH)
LOCAL = "/usr/local/lib/libcrypto.so.3"
FIX = date(2026, 1, 27)


def python(openssl: str, path: str = "/home/u/.pyenv/versions/3.12.12/bin/python3.12") -> Install:
    use = CryptoUse(Linkage.LOCAL, LOCAL, CryptoLibrary(CryptoFamily.OPENSSL, openssl))
    return install(path, PYENV, use, installer=Installer.PYENV)


def machine(name: str, *installs: Install) -> Machine:
    return Machine(name, builds=(PYENV,), installs=installs)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with SqlStore.open(f"sqlite:///{tmp_path / 'census.db'}") as opened:
        yield opened


def on(day: date, hours: float = 12) -> datetime:
    return NOON.replace(year=day.year, month=day.month, day=day.day, hour=0) + timedelta(hours=hours)


def fleet_of(source: SqlStore | PastSource, assessor: Assessor | None = None) -> JudgedFleet:
    judge = fleet.assessor() if assessor is None else assessor
    found = PostureIndex(source, lambda: judge).fleet()
    assert found is not None
    return found


def test_another_catalogue_costs_no_look_at_the_hosts(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.report(store, machine("a", python("3.5.4")))
    fleet.report(store, machine("b", python("3.5.4", "/srv/other/bin/python3.12")))
    assessors = [fleet.assessor()]
    index = PostureIndex(store, lambda: assessors[-1])
    first = index.fleet()
    assert first is not None
    # Where it lies is no part of a case.
    assert len({host.pattern for host in first.hosts}) == 1
    monkeypatch.setattr(store, "facts", lambda _: pytest.fail("facts were read"))
    catalogue = fleet.catalogue()
    assessors.append(Assessor(replace(catalogue, advisories=catalogue.advisories[:1]), fleet.TODAY))
    second = index.fleet()
    assert second is not None
    assert second.hosts == first.hosts
    # The Python and the host's C library.
    assert [len(one.case.judgements) for one in first.judged] == [2, 0]
    assert [len(one.case.judgements) for one in second.judged] == [1, 0]


def ages_of(found: JudgedFleet) -> list[list[tuple[str, str, str, str]]]:
    """Return how old the installs of each host are."""
    return [
        sorted(
            (one.kind, one.state, one.provider, str(one.grounds))
            for one in (found.ages[number] for number in host.ages)
        )
        for host in found.hosts
    ]


def test_how_old_things_are_is_judged_anew_without_a_look_at_the_hosts(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = Simulation(load_snapshot(), 5, 25)
    simulation.fill(store)
    fleet.report(store, fleet.full_machine())
    snapshot = load_snapshot()
    assessors = [fleet.assessor(), Assessor(snapshot, simulation.as_of), Assessor(snapshot, date(2026, 1, 20))]
    fresh = [ages_of(fleet_of(store, one)) for one in assessors]
    assert len({str(one) for one in fresh}) == 3
    index = PostureIndex(store, lambda: assessors[0])
    assert index.fleet() is not None
    monkeypatch.setattr(store, "facts", lambda _: pytest.fail("facts were read"))
    for again in (assessors[1], assessors[2]):
        assessors[0] = again
        found = index.fleet()
        assert found is not None
        assert ages_of(found) == fresh[1 if again is assessors[1] else 2]


def test_who_hangs_up_while_all_is_judged_anew_leaves_the_old_verdicts(store: SqlStore) -> None:
    fleet.report(store, machine("a", python("3.5.4")))
    assessors = [fleet.assessor()]
    index = PostureIndex(store, lambda: assessors[-1])
    assert index.fleet() is not None
    assessors.append(fleet.assessor(snapshot_date=date(2026, 11, 20)))
    assert index.fleet(lambda: False) is None
    found = index.fleet()
    assert found is not None
    assert found.assessor is assessors[-1]


def test_what_no_host_has_any_more_is_let_go(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assessors = [fleet.assessor()]
    index = PostureIndex(store, lambda: assessors[-1])
    fleet.report(store, machine("a", python("3.5.4")))
    found = index.fleet()
    assert found is not None
    index._judged.extend([*found.judged] * 2000)
    assessors.append(fleet.assessor())
    found = index.fleet()
    assert found is not None
    assert len(found.judged) == 2


def test_what_changed_is_kept_slot_by_slot(store: SqlStore) -> None:
    other = python("3.0.18", "/usr/local/bin/python3.12")
    other = replace(other, installer=Installer.UNKNOWN)
    days = [on(FIX - timedelta(days=10)), on(FIX + timedelta(days=3)), on(FIX + timedelta(days=5))]
    fleet.report(store, machine("a", python("3.5.4"), other), at=days[0])
    fleet.report(store, machine("a", python("3.5.5"), other), at=days[1])
    fleet.report(store, machine("b", python("3.5.4")), at=days[1])
    fleet.report(store, machine("a", other), at=days[2])
    a, b = fleet_of(store).hosts
    assert (a.first_seen, b.first_seen) == (days[0], days[1])
    assert len(a.kept) == 2, "the other Python and the C library"
    (past,) = a.past
    assert past.slot.name == "pyenv pyenv cpython 3.12"
    assert past.moments == tuple(days)
    assert [len(numbers) for numbers in past.numbers] == [1, 1, 0]
    assert (len(b.kept), b.past) == (2, ())


def test_a_new_name_alone_is_no_change(store: SqlStore) -> None:
    fleet.report(store, machine("a", python("3.5.4")), fleet.host_id_of("a"), at=NOON)
    fleet.report(store, machine("b", python("3.5.4")), fleet.host_id_of("a"), at=NOON + timedelta(hours=1))
    (host,) = fleet_of(store).hosts
    assert (host.name, host.first_seen, host.past) == ("b", NOON, ())


def test_a_past_day_is_judged_as_it_was(store: SqlStore) -> None:
    fleet.report(store, machine("a", python("3.5.4")), at=on(FIX - timedelta(days=10)))
    fleet.report(store, machine("a", python("3.5.5")), at=on(FIX + timedelta(days=3)))
    fleet.report(store, machine("b", python("3.5.4")), at=on(FIX + timedelta(days=8)))
    before = fleet_of(PastSource(store, on(FIX + timedelta(days=2), 23.9)))
    assert [host.name for host in before.hosts] == ["a"]
    assert before.hosts[0].past == ()
    after = fleet_of(PastSource(store, on(FIX + timedelta(days=4))))
    assert [(host.name, len(host.past)) for host in after.hosts] == [("a", 1)]
    both = fleet_of(PastSource(store, on(FIX + timedelta(days=8))))
    assert [host.name for host in both.hosts] == ["a", "b"]


# --- how long fixes took ----------------------------------------------------------------------------------------------


def test_patches_are_measured_where_the_fix_came_while_the_host_was_watched(store: SqlStore) -> None:
    for name, days in (("a", 3), ("b", 6), ("c", 20), ("d", None), ("e", 40)):
        fleet.report(store, machine(name, python("3.0.18")), at=on(FIX - timedelta(days=10)))
        if days is not None:
            changed = () if name == "e" else (python("3.0.19"),)
            fleet.report(store, machine(name, *changed), at=on(FIX + timedelta(days=days)))
    # This one's host was not watched when the fix came.
    fleet.report(store, machine("late", python("3.0.18")), at=on(FIX + timedelta(days=1)))
    fleet.report(store, machine("late", python("3.0.19")), at=on(FIX + timedelta(days=2)))
    tally = ExposureReader(fleet_of(store)).tally(on(FIX + timedelta(days=60)))[HIGH]
    assert sorted(tally.latencies.elements()) == [3, 6, 20]
    assert tally.seconds == timedelta(days=29, hours=36).total_seconds()
    assert tally.buckets[:5] == [0, 0, 2, 2, 3]
    assert (tally.measured, tally.unmeasured, tally.removed, tally.open) == (3, 1, 1, 1)
    assert tally.oldest_open == on(FIX, 0)
    assert (tally.percentile(0.5), tally.percentile(0.9)) == (6, 20)
    # The removed one was there for all of the first week, and went within ninety days.
    assert (tally.within[7].patched, tally.within[7].total) == (2, 5)
    assert (tally.within[30].patched, tally.within[30].total) == (3, 5)
    assert (tally.within[90].patched, tally.within[90].total) == (0, 0)


def test_hosts_without_changes_count_as_often_as_there_are_of_them(store: SqlStore) -> None:
    for name in "abc":
        fleet.report(store, machine(name, python("3.0.18")), at=on(FIX - timedelta(days=10)))
    reader = ExposureReader(fleet_of(store))
    tally = reader.tally(on(FIX + timedelta(days=7)))[HIGH]
    assert (tally.open, tally.within[7].total, tally.within[7].patched) == (3, 3, 0)
    early = reader.tally(on(FIX - timedelta(days=2)))[HIGH]
    assert (early.open, early.unfixed, early.within[7].total) == (0, 3, 0)
    assert tally.percentile(0.5) is None


def test_providers_without_a_source_of_dates_are_counted_as_such(store: SqlStore) -> None:
    conda = build("3.12.12", Provider.CONDA, "2.17")
    use = CryptoUse(Linkage.BUNDLED, "/opt/conda/lib/libcrypto.so.3", CryptoLibrary(CryptoFamily.OPENSSL, "3.0.18"))
    fleet.report(store, Machine("a", builds=(conda,), installs=(install("/opt/conda/bin/python", conda, use),)))
    tally = ExposureReader(fleet_of(store)).tally(NOON)["conda", Component.OPENSSL, Severity.HIGH]
    assert (tally.undated, tally.open, tally.measured) == (1, 0, 0)
