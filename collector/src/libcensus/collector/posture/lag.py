"""How many days after publication each provider had a fix, by what was published alone: no host is asked.

Only fixes that a provider brought are counted; what it never fixed has no length. A fix that was built before the
publication (under embargo, or by a release that everybody had already) took no day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import TYPE_CHECKING

from libcensus.collector.posture.finding import Component
from libcensus.collector.posture.ordering import UnreadableVersionError, is_at_least
from libcensus.collector.posture.remedy import first_uv
from libcensus.collector.posture.security import Placement, place
from libcensus.collector.posture.versions import is_before, parse_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from libcensus.collector.posture.catalogue import Advisory, AffectedRange, Catalogue, PackageFixes, PbsBuild

_PACKAGES = {"openssl": Component.OPENSSL}
"""The component that a source package of the tables is."""

PBS = "python-build-standalone"
UV = "python-build-standalone, by uv"


@dataclass(frozen=True, slots=True)
class FixLag:
    """One advisory at one provider: when it was published, and after how many days a fix was there.

    ``channel`` is how a person names the provider: ``debian 12``, ``python-build-standalone``.
    """

    channel: str
    component: Component
    advisory: str
    published: date
    available: date

    @property
    def days(self) -> int:
        """Days from publication to the fix, 0 where it was there before."""
        return max(0, (self.available - self.published).days)


@dataclass(frozen=True, slots=True)
class LagSummary:
    """The lags of one channel: how many, the middle one, the ninth of ten, and the longest; in days."""

    channel: str
    component: Component
    fixes: int
    median: int
    p90: int
    longest: int

    @classmethod
    def of(cls, channel: str, component: Component, days: Iterable[int]) -> LagSummary:
        """Return the summary of at least one lag; percentiles are of those that happened (nearest rank)."""
        ordered = sorted(days)

        def rank(share: float) -> int:
            return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]

        return cls(channel, component, len(ordered), rank(0.5), rank(0.9), ordered[-1])


def fix_lags(catalogue: Catalogue) -> Iterator[FixLag]:
    """Yield what the catalogue tells of each provider's fixes: distributions by their tables, and PBS by its builds."""
    advisories = {one.id: one for one in catalogue.advisories}
    for fixes in catalogue.package_fixes.values():
        component = _PACKAGES.get(fixes.package)
        if component is not None:
            yield from _of_distribution(fixes, component, advisories)
    yield from _of_pbs(catalogue)


def summaries(lags: Iterable[FixLag], since: date = date.min) -> list[LagSummary]:
    """Return the summary of each channel and component, of advisories published since a day; sorted."""
    days: dict[tuple[str, Component], list[int]] = {}
    for lag in lags:
        if lag.published >= since:
            days.setdefault((lag.channel, lag.component), []).append(lag.days)
    return [LagSummary.of(*key, found) for key, found in sorted(days.items())]


def _of_distribution(fixes: PackageFixes, component: Component, advisories: dict[str, Advisory]) -> Iterator[FixLag]:
    first = min(fixes.dates.values(), default=None)
    for advisory, version in fixes.fixed.items():
        found = advisories.get(advisory)
        # What was published before the release's first package came with it.
        if found is None or found.component is not component or advisory in fixes.paid:
            continue
        if first is None or found.published < first:
            continue
        try:
            days = [day for known, day in fixes.dates.items() if is_at_least(fixes.manager, known, version)]
        except UnreadableVersionError:
            continue
        if days:
            yield FixLag(f"{fixes.distribution} {fixes.release}", component, advisory, found.published, min(days))


def _of_pbs(catalogue: Catalogue) -> Iterator[FixLag]:
    known = [build for build in catalogue.pbs_builds if build.openssl is not None]
    for advisory in catalogue.advisories:
        if advisory.windows_only:
            continue
        if advisory.component is Component.OPENSSL:
            fixed = _first_fixed(known, advisory.published, partial(_is_clear, advisory=advisory, catalogue=catalogue))
            yield from _by_pbs(advisory, fixed, catalogue)
        elif advisory.component is Component.CPYTHON:
            for line in advisory.ranges:
                with_line = [build for build in catalogue.pbs_builds if line.branch in build.cpython]
                yield from _by_pbs(
                    advisory, _first_fixed(with_line, advisory.published, partial(_has, line)), catalogue
                )


def _first_fixed(builds: Sequence[PbsBuild], published: date, is_clear: Callable[[PbsBuild], bool]) -> PbsBuild | None:
    """Return the build that brought a fix; None where the last one before the publication had no need of it."""
    before = [build for build in builds if build.date < published]
    if not before or is_clear(before[-1]):
        return None
    return next((build for build in builds if build.date >= published and is_clear(build)), None)


def _by_pbs(advisory: Advisory, fixed: PbsBuild | None, catalogue: Catalogue) -> Iterator[FixLag]:
    if fixed is None:
        return
    yield FixLag(PBS, advisory.component, advisory.id, advisory.published, fixed.date)
    uv = first_uv(catalogue, fixed)
    day = None if uv is None else catalogue.uv_dates.get(uv)
    if day is not None:
        yield FixLag(UV, advisory.component, advisory.id, advisory.published, max(day, fixed.date))


def _has(line: AffectedRange, build: PbsBuild) -> bool:
    version = parse_version(Component.CPYTHON, build.cpython[line.branch])
    fixed = None if line.fixed is None else parse_version(Component.CPYTHON, line.fixed)
    return version is not None and fixed is not None and not is_before(version, fixed)


def _is_clear(build: PbsBuild, advisory: Advisory, catalogue: Catalogue) -> bool:
    version = None if build.openssl is None else parse_version(Component.OPENSSL, build.openssl)
    return version is not None and place(version, advisory, catalogue) is Placement.OUTSIDE
