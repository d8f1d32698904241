"""Medians, spread, intervals and ratios of measured speed, and which run counts where several tell of one build."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.collector.posture.speed import (
    ALL,
    MeasuredBuild,
    SpeedRatio,
    SpeedRun,
    SpeedVerdict,
    compare,
    fleet_ratios,
    fleet_speeds,
    geometric_means,
    median,
    median_interval,
    spread,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

times = st.floats(min_value=1e-6, max_value=1e3, allow_nan=False)


@pytest.mark.parametrize(
    ("samples", "middle", "deviation"),
    [([3.0], 3.0, 0.0), ([1.0, 3.0], 2.0, 1.0), ([5.0, 1.0, 2.0], 2.0, 1.0), ([1.0, 1.0, 1.0, 9.0], 1.0, 0.0)],
)
def test_median_and_spread(samples: list[float], middle: float, deviation: float) -> None:
    assert (median(samples), spread(samples)) == (middle, deviation)


def test_no_samples_have_no_median() -> None:
    with pytest.raises(ValueError, match="no samples"):
        median([])


@pytest.mark.parametrize(
    ("number", "rank"),
    # Tables of the sign test's interval for a median at 95 %: ranks from 1 (Conover, Practical Nonparametric
    # Statistics, table A3 gives the same binomial quantiles).
    [(5, None), (6, 1), (7, 1), (8, 1), (9, 2), (11, 2), (12, 3), (15, 4), (20, 6), (25, 8), (30, 10), (40, 14)],
)
def test_the_interval_of_a_median(number: int, rank: int | None) -> None:
    samples = [float(value) for value in range(1, number + 1)]
    random.Random(number).shuffle(samples)  # noqa: S311 - no secret
    assert median_interval(samples) == (None if rank is None else (rank, number + 1 - rank))


@given(st.lists(times, min_size=1, max_size=60))
def test_the_median_lies_in_its_interval_whatever_the_order(samples: list[float]) -> None:
    found = median_interval(samples)
    assert (found is None) == (len(samples) < 6)
    assert found == median_interval(samples[::-1])
    if found is not None:
        assert min(samples) <= found[0] <= median(samples) <= found[1] <= max(samples)


def test_the_interval_holds_the_true_median_as_often_as_it_says() -> None:
    dice = random.Random(7)  # noqa: S311 - no secret
    hits = 0
    for _ in range(2000):
        # Skewed, as times are: the median of this distribution is 1.
        found = median_interval([math.exp(dice.gauss(0, 0.5)) for _ in range(12)])
        assert found is not None
        hits += found[0] <= 1 <= found[1]
    assert hits / 2000 >= 0.95


@given(st.lists(times, min_size=1, max_size=30))
def test_a_build_is_as_fast_as_itself(samples: list[float]) -> None:
    found = compare(samples, samples)
    assert found.ratio == 1
    assert found.verdict is (SpeedVerdict.NO_DIFFERENCE if len(samples) >= 6 else SpeedVerdict.TOO_FEW_ROUNDS)


@given(st.lists(times, min_size=6, max_size=30), st.floats(min_value=1.01, max_value=10))
def test_drift_of_the_machine_changes_no_ratio(samples: list[float], factor: float) -> None:
    found = compare([sample * factor for sample in samples], samples)
    assert math.isclose(found.ratio, factor)
    assert found.verdict is SpeedVerdict.FASTER
    assert compare(samples, [sample * factor for sample in samples]).verdict is SpeedVerdict.SLOWER


@pytest.mark.parametrize(
    ("lower", "upper", "verdict"),
    [
        (1.01, 1.2, SpeedVerdict.FASTER),
        (0.8, 0.99, SpeedVerdict.SLOWER),
        (0.99, 1.01, SpeedVerdict.NO_DIFFERENCE),
        (1.0, 1.2, SpeedVerdict.NO_DIFFERENCE),
        (0.8, 1.0, SpeedVerdict.NO_DIFFERENCE),
        (None, None, SpeedVerdict.TOO_FEW_ROUNDS),
    ],
)
def test_what_an_interval_allows_to_say(lower: float | None, upper: float | None, verdict: SpeedVerdict) -> None:
    assert SpeedRatio(1.0, lower, upper).verdict is verdict


def test_rounds_that_do_not_pair_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        compare([1.0, 2.0], [1.0])


@given(st.lists(st.lists(times, min_size=3, max_size=3), min_size=1, max_size=6))
def test_a_geometric_mean_weighs_parts_alike(parts: list[list[float]]) -> None:
    doubled = [[2 * sample for sample in parts[0]], *parts[1:]]
    for before, after in zip(geometric_means(parts), geometric_means(doubled), strict=True):
        assert math.isclose(after / before, 2 ** (1 / len(parts)))


# --- runs -------------------------------------------------------------------------------------------------------------


def build(
    name: str, provider: str, language: str = "3.12", seconds: float = 1.0, implementation: str = "cpython"
) -> MeasuredBuild:
    samples = {"a": (seconds,) * 6, "b": (seconds * 3,) * 6}
    return MeasuredBuild(f"/{name}", name, implementation, f"{language}.1", provider, "x86_64", language, samples)


def run(day: int, *builds: MeasuredBuild, machine: str = "m", workload: str = "1") -> SpeedRun:
    moment = datetime(2026, 11, day, tzinfo=UTC)
    return SpeedRun(machine, workload, moment, builds[0].path, ("a", "b"), builds)


def ratios(*runs: SpeedRun) -> dict[tuple[str, str], tuple[str, float]]:
    """Return what each build is compared with, and its speed, by machine and build."""
    found = list(fleet_ratios(runs))
    assert len({(one.machine, one.workload, one.part, one.build.build) for one in found}) == len(found)
    return {
        (one.machine, one.build.build): (one.against.build, round(one.speed.ratio, 6))
        for one in found
        if one.part == ALL
    }


def speeds(*runs: SpeedRun) -> dict[tuple[str, str, str], float]:
    found = list(fleet_speeds(runs))
    assert len({(one.machine, one.workload, one.part, one.build.build) for one in found}) == len(found)
    return {(one.machine, one.build.build, one.part): one.seconds for one in found}


def test_every_build_is_compared_with_the_distributions_of_its_line() -> None:
    one = run(
        1,
        build("distro311", "distro", "3.11", 2.0),
        build("distro312", "distro", "3.12", 1.0),
        build("pbs312", "pbs", "3.12", 0.5),
        build("pbs313", "pbs", "3.13", 0.5),
        build("pypy", "distro", "3.12", 0.25, "pypy"),
    )
    assert ratios(one) == {
        ("m", "distro312"): ("distro311", 2.0),
        ("m", "pbs312"): ("distro312", 2.0),
        # Neither has one of its line: the run's own baseline stands.
        ("m", "pbs313"): ("distro311", 4.0),
        ("m", "pypy"): ("distro311", 8.0),
    }


def test_the_newest_run_counts_and_the_right_comparison_before_a_newer_one() -> None:
    old = run(1, build("d", "distro", seconds=1.0), build("p", "pbs", seconds=0.5))
    new = run(2, build("x", "pyenv", seconds=1.0), build("p", "pbs", seconds=0.25))
    for order in ((old, new), (new, old)):
        assert ratios(*order) == {("m", "p"): ("d", 2.0)}
        assert speeds(*order)["m", "p", "a"] == 0.25
        assert speeds(*order)["m", "d", "b"] == 3.0


def test_machines_and_workloads_are_kept_apart() -> None:
    builds = build("d", "distro", seconds=1.0), build("p", "pbs", seconds=0.5)
    runs = run(1, *builds), run(2, *builds, machine="n"), run(3, *builds, workload="2")
    assert len({(one.machine, one.workload) for one in fleet_ratios(runs)}) == 3
    assert len(list(fleet_speeds(runs))) == 3 * 2 * 2


def test_one_build_at_two_paths_is_told_once_and_never_beside_itself() -> None:
    copies: Sequence[MeasuredBuild] = (build("d", "distro"), build("d", "distro"))
    assert ratios(run(1, *copies)) == {}
    assert speeds(run(1, *copies)) == {("m", "d", "a"): 1.0, ("m", "d", "b"): 3.0}
