"""How fast builds ran a workload beside one another: medians, spread, and ratios with an interval.

What is compared was measured in rounds, in each of which every interpreter ran once: what slowed the machine down in a
round slowed all of them. So a ratio is taken within each round, and told as the median of the rounds with an interval
that supposes nothing about how times are distributed (the order statistics of the sign test). A ratio is the baseline's
time by the other's: higher is faster.
"""

from __future__ import annotations

import math
from collections.abc import Mapping  # noqa: TC003  the dataclass decorator of slots needs it at run time
from dataclasses import dataclass
from datetime import datetime  # noqa: TC003
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

CONFIDENCE = 0.95
"""How often an interval holds the true median at least, were the rounds independent of each other."""

ALL = "all"
"""What the geometric mean over the parts of a workload is called, where a part's name stands."""


class SpeedVerdict(StrEnum):
    """What an interval of a ratio allows to say."""

    FASTER = "faster"
    SLOWER = "slower"
    NO_DIFFERENCE = "no_difference_seen"
    TOO_FEW_ROUNDS = "too_few_rounds"


@dataclass(frozen=True, slots=True)
class SpeedRatio:
    """The baseline's time by the other's; ``lower`` and ``upper`` are absent where there were too few rounds."""

    ratio: float
    lower: float | None
    upper: float | None

    @property
    def verdict(self) -> SpeedVerdict:
        """What can be said: where the interval holds 1, nothing but that no difference was seen."""
        if self.lower is None or self.upper is None:
            return SpeedVerdict.TOO_FEW_ROUNDS
        if self.lower > 1:
            return SpeedVerdict.FASTER
        return SpeedVerdict.SLOWER if self.upper < 1 else SpeedVerdict.NO_DIFFERENCE


@dataclass(frozen=True, slots=True)
class MeasuredBuild:
    """One interpreter of a run; ``samples`` are the seconds of one pass, by part, one for each round.

    ``language`` is the version of Python that it speaks, which for CPython is its own without the patch release.
    """

    path: str
    build: str
    implementation: str
    version: str | None
    provider: str
    arch: str | None
    language: str
    samples: Mapping[str, tuple[float, ...]]

    @property
    def overall(self) -> tuple[float, ...]:
        """The geometric mean over the parts, for each round."""
        return geometric_means(self.samples.values())

    def samples_of(self, part: str) -> tuple[float, ...]:
        """Return the samples of one part, or of :data:`ALL`."""
        return self.overall if part == ALL else self.samples[part]


@dataclass(frozen=True, slots=True)
class SpeedRun:
    """One measurement: interpreters that ran the same workload on one machine in the same rounds.

    ``baseline`` is the path of the interpreter that the others were compared with.
    """

    machine: str
    workload: str
    measured_at: datetime
    baseline: str
    parts: tuple[str, ...]
    interpreters: tuple[MeasuredBuild, ...]


def median(samples: Sequence[float]) -> float:
    """Return the median; raises ValueError for no samples."""
    if not samples:
        raise ValueError("no samples")
    ordered = sorted(samples)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def spread(samples: Sequence[float]) -> float:
    """Return the median absolute deviation from the median, in the samples' own unit."""
    middle = median(samples)
    return median([abs(sample - middle) for sample in samples])


def geometric_means(parts: Iterable[Sequence[float]]) -> tuple[float, ...]:
    """Return the geometric mean over the parts for each round; all parts have the same number of rounds."""
    return tuple(
        math.exp(math.fsum(math.log(sample) for sample in together) / len(together))
        for together in zip(*parts, strict=True)
    )


def median_interval(samples: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Return an interval that holds the median of what the samples come from; None where they are too few for one.

    Its ends are samples: the narrowest pair, equally far from both ends of their order, between which the median lies
    with this probability, whatever the distribution. Below six samples there is none at 95 %.
    """
    ordered = sorted(samples)
    number = len(ordered)
    outside, best = 0.0, None
    for rank in range(number // 2):
        # The median lies below the sample of this rank where at most `rank` samples do (a fair coin for each).
        outside += 2 * math.comb(number, rank) / 2**number
        if outside > 1 - confidence:
            break
        best = rank
    return None if best is None else (ordered[best], ordered[number - 1 - best])


def compare(baseline: Sequence[float], other: Sequence[float]) -> SpeedRatio:
    """Return how fast another ran beside the baseline; both have a sample of each round, in the same order."""
    ratios = [first / second for first, second in zip(baseline, other, strict=True)]
    lower, upper = median_interval(ratios) or (None, None)
    return SpeedRatio(median(ratios), lower, upper)


@dataclass(frozen=True, slots=True)
class FleetSpeed:
    """One part of one build on one machine, by the newest run that measured it."""

    machine: str
    workload: str
    part: str
    build: MeasuredBuild
    seconds: float
    measured_at: datetime


@dataclass(frozen=True, slots=True)
class FleetRatio:
    """How fast a build ran one part beside another in the same run, by the newest run that has both."""

    machine: str
    workload: str
    part: str
    build: MeasuredBuild
    against: MeasuredBuild
    speed: SpeedRatio
    measured_at: datetime


DISTRIBUTION = "distro"
"""The provider whose build of the same line others are compared with."""


def baseline_of(run: SpeedRun, measured: MeasuredBuild) -> MeasuredBuild | None:
    """Return what a build is compared with: the distribution's of the same line in the same run, else the baseline.

    None for what is itself the thing to compare with.
    """
    if measured.provider == DISTRIBUTION:
        like: list[MeasuredBuild] = []
    else:
        like = [
            one
            for one in run.interpreters
            if one.provider == DISTRIBUTION
            and (one.implementation, one.language) == (measured.implementation, measured.language)
        ]
    against = like[0] if like else next(one for one in run.interpreters if one.path == run.baseline)
    return None if against.build == measured.build else against


def _newest_first(runs: Iterable[SpeedRun]) -> list[SpeedRun]:
    return sorted(runs, key=lambda run: (run.measured_at, run.machine), reverse=True)


def fleet_speeds(runs: Iterable[SpeedRun]) -> Iterator[FleetSpeed]:
    """Yield each part of each build on each machine once, by the newest run."""
    seen = set()
    for run in _newest_first(runs):
        for one in run.interpreters:
            for part in run.parts:
                key = run.machine, run.workload, one.build, part
                if key not in seen:
                    seen.add(key)
                    seconds = median(one.samples[part])
                    yield FleetSpeed(run.machine, run.workload, part, one, seconds, run.measured_at)


def fleet_ratios(runs: Iterable[SpeedRun]) -> Iterator[FleetRatio]:
    """Yield each part, and :data:`ALL`, of each build on each machine once, by the newest run that compares it.

    A comparison with the distribution's build of the same line goes before a newer one with something else.
    """
    ordered = [
        (run, one, against)
        for run in _newest_first(runs)
        for one in run.interpreters
        if (against := baseline_of(run, one)) is not None
    ]
    ordered.sort(key=lambda item: not _is_same_line(item[1], item[2]))
    seen = set()
    for run, one, against in ordered:
        for part in (ALL, *run.parts):
            key = run.machine, run.workload, one.build, part
            if key not in seen:
                seen.add(key)
                speed = compare(against.samples_of(part), one.samples_of(part))
                yield FleetRatio(run.machine, run.workload, part, one, against, speed, run.measured_at)


def _is_same_line(one: MeasuredBuild, against: MeasuredBuild) -> bool:
    return against.provider == DISTRIBUTION and (one.implementation, one.language) == (
        against.implementation,
        against.language,
    )
