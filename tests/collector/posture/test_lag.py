"""How many days each provider needed, against figures that were counted from the same sources by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.posture.catalogue import PackageFixes
from libcensus.collector.posture.finding import Component
from libcensus.collector.posture.lag import PBS, UV, FixLag, LagSummary, fix_lags, summaries

LAGS = tuple(fix_lags(load_snapshot()))


@pytest.mark.parametrize(
    ("channel", "fixes", "median", "longest"),
    [("debian 11", 34, 2, 363), ("debian 12", 53, 0, 129), ("debian 13", 60, 0, 21), (PBS, 82, 1, 169)],
)
def test_openssl_since_2023(channel: str, fixes: int, median: int, longest: int) -> None:
    found = {(one.channel, one.component): one for one in summaries(LAGS, date(2023, 1, 1))}
    one = found[channel, Component.OPENSSL]
    assert (one.fixes, one.median, one.longest) == (fixes, median, longest)


@pytest.mark.parametrize(
    ("advisory", "days"),
    [("CVE-2023-0286", 169), ("CVE-2024-6119", 43), ("CVE-2025-15467", 0)],
)
def test_python_build_standalone_by_advisory(advisory: str, days: int) -> None:
    assert [lag.days for lag in LAGS if (lag.channel, lag.advisory) == (PBS, advisory)] == [days]


def test_a_uv_that_installs_a_build_is_never_before_it() -> None:
    built = {(lag.component, lag.advisory): lag.available for lag in LAGS if lag.channel == PBS}
    by_uv = [lag for lag in LAGS if lag.channel == UV and lag.component is Component.OPENSSL]
    assert by_uv
    assert all(lag.available >= built[lag.component, lag.advisory] for lag in by_uv)
    # The oldest uv that the snapshot knows may not be the first that could install what it can.
    oldest = min(load_snapshot().uv_dates.values())
    assert all(lag.available > oldest for lag in by_uv)


def test_windows_only_advisories_and_fixes_for_customers_are_no_lag() -> None:
    windows = {one.id for one in load_snapshot().advisories if one.windows_only}
    assert windows.isdisjoint(lag.advisory for lag in LAGS)
    catalogue = load_snapshot()
    key = ("debian", "12", "openssl")
    table = replace(catalogue.package_fixes[key], paid=frozenset(catalogue.package_fixes[key].fixed))
    paid = replace(catalogue, package_fixes={key: table}, pbs_builds=())
    assert list(fix_lags(paid)) == []


def test_versions_that_cannot_be_ordered_are_left_out() -> None:
    catalogue = load_snapshot()
    table = PackageFixes(
        "debian", "12", "dpkg", "openssl", {"CVE-2024-6119": "nonsense:1"}, date(2026, 1, 1), "test",
        dates={"3.0.14-1": date(2024, 6, 1)},
    )  # fmt: skip
    assert list(fix_lags(replace(catalogue, package_fixes={("debian", "12", "openssl"): table}, pbs_builds=()))) == []


@given(st.lists(st.integers(0, 500), min_size=1, max_size=40))
def test_percentiles_are_days_that_happened_and_in_order(days: list[int]) -> None:
    one = LagSummary.of("x", Component.OPENSSL, days)
    assert {one.median, one.p90, one.longest} <= set(days)
    assert one.median <= one.p90 <= one.longest == max(days)
    assert sum(day <= one.median for day in days) >= len(days) / 2
    assert sum(day <= one.p90 for day in days) >= len(days) * 0.9


def test_a_fix_under_embargo_took_no_day() -> None:
    assert FixLag("x", Component.OPENSSL, "CVE-1", date(2026, 3, 2), date(2026, 3, 1)).days == 0
