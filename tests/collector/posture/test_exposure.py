"""Since when a fix could have been applied: episodes of slots, and what of them counts."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.collector.posture.exposure import (
    Episode,
    Exposure,
    Opening,
    Outcome,
    Period,
    Slot,
    episodes,
    expose,
    oldest_since,
    slot_of,
)
from libcensus.collector.posture.finding import Clocks, Component, Severity
from tests.collector.metrics import fleet

FIRST = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


def opening(advisory: str = "CVE-1", *, published: date = date(2026, 3, 10), fix: date | None = date(2026, 3, 12),
            severity: Severity = Severity.HIGH) -> Opening:  # fmt: skip
    return Opening(Component.OPENSSL, advisory, severity, "pbs", Clocks(published, None, fix))


def at(day: int, hour: int = 9) -> datetime:
    return datetime(2026, 3, 1, hour, 30, tzinfo=UTC) + timedelta(days=day - 1)


A, B = opening("A"), opening("B")


@pytest.mark.parametrize(
    ("periods", "expected"),
    [
        ([(A,)], [(A, 0, None, Outcome.OPEN)]),
        ([(A, B), (B,)], [(A, 0, 1, Outcome.PATCHED), (B, 0, None, Outcome.OPEN)]),
        ([(A,), None], [(A, 0, 1, Outcome.REMOVED)]),
        ([(A,), (), (A,)], [(A, 0, 1, Outcome.PATCHED), (A, 2, None, Outcome.OPEN)]),
        ([None, (A,), None, (A,), ()], [(A, 1, 2, Outcome.REMOVED), (A, 3, 4, Outcome.PATCHED)]),
        ([(), ()], []),
        ([], []),
    ],
    ids=["open", "one-patched", "removed", "back-again", "comes-and-goes", "never", "nothing"],
)
def test_episodes(
    periods: list[tuple[Opening, ...] | None], expected: list[tuple[Opening, int, int | None, Outcome]]
) -> None:
    told = episodes([None if opened is None else Period(opened) for opened in periods])
    assert [(one.opening, one.began, one.ended, one.outcome) for one in told] == expected


def test_what_nobody_can_tell_of_any_more_was_not_patched() -> None:
    (one,) = episodes([Period((A,)), Period((), frozenset({(A.component, "A")}))])
    assert (one.ended, one.outcome) == (1, Outcome.REMOVED)


@given(st.lists(st.none() | st.frozensets(st.sampled_from("abc")), max_size=8))
def test_episodes_cover_exactly_the_periods_in_which_something_was_open(periods: list[frozenset[str] | None]) -> None:
    held = [None if names is None else Period(tuple(map(opening, sorted(names)))) for names in periods]
    covered: list[set[str]] = [set() for _ in periods]
    for one in episodes(held):
        end = len(periods) if one.ended is None else one.ended
        assert one.began < end
        assert (one.outcome is Outcome.OPEN) is (one.ended is None)
        for number in range(one.began, end):
            assert one.opening.advisory not in covered[number], "two episodes at once"
            covered[number].add(one.opening.advisory)
    assert covered == [set(names or ()) for names in periods]


def exposure(of: Opening, began: datetime, until: datetime | None, outcome: Outcome) -> Exposure | None:
    moments = (began,) if until is None else (began, until)
    return expose(Episode(of, 0, None if until is None else 1, outcome), moments, FIRST)


def test_a_fix_that_came_while_the_host_was_watched_is_measured_from_its_day() -> None:
    found = exposure(opening(), FIRST, at(15), Outcome.PATCHED)
    assert found is not None
    assert found.since == datetime(2026, 3, 12, tzinfo=UTC)
    assert found.latency == timedelta(days=3, hours=9, minutes=30)


def test_a_fix_counts_only_from_the_day_on_which_anybody_could_know_of_it() -> None:
    found = exposure(opening(published=date(2026, 3, 14)), FIRST, at(15), Outcome.PATCHED)
    assert found is not None
    assert found.latency == timedelta(days=1, hours=9, minutes=30)


def test_a_copy_that_came_after_the_fix_counts_from_when_it_came() -> None:
    found = exposure(opening(fix=date(2026, 1, 5), published=date(2026, 1, 1)), at(5), at(9), Outcome.PATCHED)
    assert found is not None
    assert (found.since, found.latency) == (at(5), timedelta(days=4))


def test_what_was_there_before_anybody_looked_is_exposed_since_the_fix_and_measures_nobody() -> None:
    old = opening(fix=date(2026, 1, 5), published=date(2026, 1, 1))
    for until, outcome in ((None, Outcome.OPEN), (at(9), Outcome.PATCHED)):
        found = exposure(old, FIRST, until, outcome)
        assert found is not None
        assert found.since == datetime(2026, 1, 5, tzinfo=UTC)
        assert (found.is_measured, found.latency) == (False, None)


def test_a_fix_of_the_day_of_the_first_report_is_measured() -> None:
    found = exposure(opening(fix=date(2026, 3, 1), published=date(2026, 3, 1)), FIRST, at(2), Outcome.PATCHED)
    assert found is not None
    assert found.is_measured


@pytest.mark.parametrize("fix", [date(2026, 3, 12), None], ids=["dated", "undated"])
def test_what_was_gone_before_a_fix_could_be_applied_was_never_exposed(fix: date | None) -> None:
    assert exposure(opening(fix=fix), FIRST, at(8), Outcome.PATCHED) is None
    assert exposure(opening(fix=fix), FIRST, datetime(2026, 3, 10, tzinfo=UTC), Outcome.REMOVED) is None


def test_without_a_source_of_dates_nothing_is_claimed() -> None:
    found = exposure(opening(fix=None), FIRST, at(20), Outcome.PATCHED)
    assert found is not None
    assert (found.since, found.is_measured, found.latency) == (None, False, None)


def test_what_was_removed_was_not_patched() -> None:
    found = exposure(opening(), FIRST, at(15), Outcome.REMOVED)
    assert found is not None
    assert (found.is_measured, found.latency) == (True, None)


@given(
    st.dates(date(2026, 1, 1), date(2026, 6, 1)),
    st.dates(date(2026, 1, 1), date(2026, 6, 1)),
    st.integers(0, 90),
    st.integers(1, 90),
)
def test_a_latency_is_never_negative_and_an_exposure_never_begins_before_its_advisory(
    published: date, fix: date, began: int, length: int
) -> None:
    of = opening(published=published, fix=fix)
    begin = FIRST + timedelta(days=began)
    found = exposure(of, begin, begin + timedelta(days=length), Outcome.PATCHED)
    if found is not None and found.since is not None:
        assert found.since.date() >= max(published, fix)
        assert found.latency is None or found.latency > timedelta()
        assert began == 0 or found.since >= begin


def test_the_oldest_exposure_is_told_by_component_and_severity() -> None:
    opened = [
        opening("A", fix=date(2026, 3, 20)),
        opening("B", fix=date(2026, 3, 15)),
        opening("C", fix=date(2026, 4, 1), severity=Severity.LOW),
        opening("D", fix=None, severity=Severity.CRITICAL),
    ]
    key = Component.OPENSSL
    assert oldest_since((one, None) for one in opened) == {
        (key, Severity.HIGH): datetime(2026, 3, 15, tzinfo=UTC),
        (key, Severity.LOW): datetime(2026, 4, 1, tzinfo=UTC),
    }
    assert oldest_since((one, at(25)) for one in opened)[key, Severity.HIGH] == at(25)


def test_slots_go_on_when_versions_change() -> None:
    machine = fleet.full_machine()
    assessment = fleet.assessor().assess(
        machine.host,
        machine.platform,
        machine.install_set,
        {fleet.digest_of(one): one for one in machine.builds},
        crypto_copies=machine.copy_set,
        roots=machine.root_set,
    )
    slots = {item.subject.path: slot_of(item) for item in assessment.subjects if item.subject.root == "/"}
    assert slots["/opt/py/bin/python3.12"] == Slot("base", "/", "pbs uv cpython 3.12")
    assert slots["/usr/bin/python3.11"] == Slot("base", "/", "distro dpkg cpython 3.11")
    assert slots["/opt/node/bin/node"] == Slot("base", "/", "upstream unknown nodejs 18")
    assert slots["/srv/app/.venv/bin/python"] == Slot("environment", "/", "/srv/app/.venv/bin/python")
    assert slots["/srv/gone/.venv/bin/python"].kind == "environment"
    assert slots["/opt/product/lib/libcrypto.so.3"] == Slot("copy", "/", " /opt/product/lib/libcrypto.so.3")
    wheel = next(path for path in slots if "cryptography" in path)
    assert slots[wheel] == Slot("copy", "/", "/srv/app/.venv cryptography")
    assert {slot.kind for slot in slots.values()} == {"base", "environment", "copy", "libc"}
