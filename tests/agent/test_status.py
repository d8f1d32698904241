"""What `status` makes of the state folder, and when `report --if-due` does something."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libcensus.agent.commands.status import describe_certificate, judge
from libcensus.agent.credentials import IdentityFacts
from libcensus.agent.due import due_at, is_renewal_due
from libcensus.agent.spool import Dropped

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def state(ago: timedelta = HOUR, interval: float = 3600, **more: Any) -> dict[str, Any]:
    acknowledged = {"at": text(NOW - ago), "scanned_at": text(NOW - ago), "next_interval_seconds": interval}
    return {"last_acknowledged": acknowledged, **more}


def certificate(begin: timedelta = -DAY, end: timedelta = 6 * DAY) -> IdentityFacts:
    return IdentityFacts("a" * 32, "spiffe://x/agent/a", "1f", NOW + begin, NOW + end, "c:1", 9446)


FAILING: dict[str, Any] = {"renewal": {"failures": 3, "message": "no", "next_try": text(NOW + HOUR)}}

CASES: list[tuple[dict[str, Any], int, IdentityFacts | None, Dropped | None, tuple[int, str]]] = [
    (state(), 0, None, None, (0, "ok")),
    (state(), 0, certificate(), Dropped(), (0, "ok")),
    (state(), 0, certificate(-8 * DAY, -HOUR), None, (1, "certificate-expired")),
    (state(), 0, certificate(HOUR, DAY), None, (1, "certificate-not-yet-valid")),
    (state(), 2, certificate(-8 * DAY, -HOUR), None, (1, "certificate-expired")),
    (state(last_failure={"kind": "identity"}), 2, certificate(), None, (5, "identity-refused")),
    (state(), 2, certificate(), None, (4, "waiting")),
    ({}, 0, certificate(), None, (4, "never-reported")),
    (state(2.9 * HOUR), 0, None, None, (0, "ok")),
    (state(3.1 * HOUR), 0, None, None, (1, "too-old")),
    (state(3.1 * HOUR, 7200), 0, None, None, (0, "ok")),
    (state(300 * DAY, 0), 0, None, None, (0, "ok")),
    (state(), 0, None, Dropped(1, 0, NOW - 23 * HOUR), (1, "dropped")),
    (state(), 0, None, Dropped(0, 9, NOW - 23 * HOUR), (1, "dropped")),
    (state(), 0, None, Dropped(1, 9, NOW - 25 * HOUR), (0, "ok")),
    # Due since a day of two: half of the time that there is has not gone by; a day later it has.
    (state(**FAILING), 0, certificate(-4.9 * DAY, 2.1 * DAY), None, (0, "ok")),
    (state(**FAILING), 0, certificate(-6 * DAY, 1 * DAY), None, (1, "renewal-failing")),
    (state(), 0, certificate(-6 * DAY, 1 * DAY), None, (0, "ok")),
    (state(last_scan={"failed_probes": ["walk (x)"]}), 0, certificate(), None, (6, "partial")),
]


@pytest.mark.parametrize(("remembered", "waiting", "facts", "dropped", "expected"), CASES)
def test_the_first_thing_that_needs_care_decides(
    remembered: dict[str, Any],
    waiting: int,
    facts: IdentityFacts | None,
    dropped: Dropped | None,
    expected: tuple[int, str],
) -> None:
    assert judge(remembered, waiting, None, NOW, facts=facts, dropped=dropped) == expected


def test_the_certificate_is_told_with_stable_keys() -> None:
    told = describe_certificate("enrollment", certificate(), state(**FAILING), NOW)
    assert told == {
        "source": "enrollment",
        "host_id": "a" * 32,
        "subject": "spiffe://x/agent/a",
        "serial": "1f",
        "not_before": "2026-05-31T12:00:00Z",
        "not_after": "2026-06-07T12:00:00Z",
        "seconds_left": 6 * 86400,
        "renew_at": "2026-06-05T04:00:00Z",
        "renewal_failures": 3,
        "renewal_message": "no",
        "renewal_next_try": text(NOW + HOUR),
    }
    given = describe_certificate("external", certificate(), state(**FAILING), NOW)
    assert (given["renew_at"], given["renewal_failures"]) == (None, 0)


# --- report --if-due --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("remembered", "seconds"),
    [
        ({}, 0),
        (state(timedelta(minutes=10)), 44 * 60),
        (state(timedelta(minutes=53)), 60),
        (state(timedelta(minutes=55)), -60),
        (state(timedelta(minutes=10), 0), 0),
        (state(-HOUR), 0),
        (state(last_failure={"at": text(NOW)}), 0),
        (state(last_failure={"at": text(NOW), "not_before": text(NOW + HOUR)}), 3600),
        (state(last_failure={"not_before": "nonsense"}), 0),
        ({"last_acknowledged": {"at": "nonsense", "next_interval_seconds": 5}}, 0),
    ],
)
def test_a_report_is_due_when_most_of_the_interval_is_over(remembered: dict[str, Any], seconds: float) -> None:
    assert (due_at(remembered, NOW) - NOW).total_seconds() == seconds


def test_a_renewal_is_due_unless_a_failure_put_it_off() -> None:
    due = certificate(-6 * DAY, DAY)
    assert is_renewal_due({}, due, NOW)
    assert not is_renewal_due({}, certificate(), NOW)
    assert not is_renewal_due({}, None, NOW)
    assert not is_renewal_due(FAILING, due, NOW)
    assert is_renewal_due({"renewal": {"next_try": text(NOW - HOUR)}}, due, NOW)
