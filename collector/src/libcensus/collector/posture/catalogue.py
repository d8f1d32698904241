"""What the world publishes, as values: advisories, releases, ends of life, and what each provider has built.

A catalogue is made by a loader (``collector.advisories``) and only read here. It never says more than its sources:
``Advisory.is_assessed`` tells apart "the source says nothing about this branch" and "the source looked and did not
list it".
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  the dataclass decorator of slots needs it at run time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from libcensus.collector.posture.quirks import QuirkTable

if TYPE_CHECKING:
    from datetime import date

    from libcensus.collector.posture.finding import Component, Severity


@dataclass(frozen=True, slots=True)
class AffectedRange:
    """Versions of one branch that an advisory holds for: ``introduced`` included, ``fixed`` excluded.

    ``fixed`` is absent where no release of the branch fixes it. ``introduced_assumed`` and ``fixed_inferred`` mark what
    the source does not state itself; ``source`` names another source than the advisory's own.
    """

    branch: str
    introduced: str
    fixed: str | None
    introduced_assumed: bool = False
    fixed_inferred: bool = False
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Advisory:
    """One published vulnerability of one component; ``windows_only`` and ``premium_only`` as the source states them.

    ``aliases`` are other names of it; ``published_inferred`` marks a day that the source does not state: that of the
    first release with the fix. ``premium_only_fixes`` are the fixed versions that only paying customers get;
    ``assessed`` are the branches that the source looked at when it wrote the record, absent where that is not known.
    """

    id: str
    component: Component
    published: date
    severity: Severity
    ranges: tuple[AffectedRange, ...]
    source: str
    windows_only: bool = False
    premium_only_fixes: frozenset[str] = frozenset()
    assessed: frozenset[str] | None = None
    aliases: tuple[str, ...] = ()
    published_inferred: bool = False

    def range_of(self, branch: str) -> AffectedRange | None:
        """Return the range of a branch, absent where the advisory does not list it."""
        return next((item for item in self.ranges if item.branch == branch), None)


@dataclass(frozen=True, slots=True)
class Release:
    """One release of a component; ``date_inferred`` where no source states the day."""

    version: str
    branch: str
    date: date | None
    date_inferred: bool = False


@dataclass(frozen=True, slots=True)
class Branch:
    """One release line; ``eol`` is the last day of free support, absent where the source knows none.

    ``ended`` answers where the source gives no day. ``extended`` is the last day of support after ``eol``, and
    ``extended_is_free`` whether everybody gets it.
    """

    branch: str
    released: date | None
    eol: date | None
    ended: bool | None = None
    extended: date | None = None
    extended_is_free: bool = False


@dataclass(frozen=True, slots=True)
class PbsBuild:
    """One python-build-standalone release: its date, the OpenSSL inside, and the CPython patch release per minor."""

    tag: str
    date: date
    openssl: str | None
    cpython: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class DistributionRelease:
    """What one release of a distribution has, as far as it is known by its name alone.

    ``release`` is its number or word (``12``, ``sid``), ``15.3-15.5`` for several that are equal, ``*`` for all.
    ``glibc`` is absent for a distribution with musl. ``verified`` tells whether ``glibc`` was read in its packages or
    images, and not only heard of; ``openssl`` is the version at the head of what the source says.
    """

    distribution: str
    release: str
    glibc: str | None
    python3: str | None
    openssl: str | None
    glibc_source: str
    verified: bool

    @property
    def name(self) -> str:
        """How a person names it: ``debian:12``."""
        return f"{self.distribution}:{self.release}"


@dataclass(frozen=True, slots=True)
class PackageFixes:
    """Which version of a source package first fixed each advisory, in one release of a distribution.

    ``distribution`` and ``release`` are ``ID`` and ``VERSION_ID`` of os-release. ``reaches`` is the newest day that the
    source knows of; ``is_complete`` tells whether what was published before that day and is not listed is known not to
    be fixed. ``paid`` are the advisories that only paying customers get a fix of, by these versions. ``dates`` are the
    days of the package's versions, as far as they are known.
    """

    distribution: str
    release: str
    manager: str
    package: str
    fixed: Mapping[str, str]
    reaches: date
    source: str
    is_complete: bool = True
    paid: frozenset[str] = frozenset()
    dates: Mapping[str, date] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Attribution:
    """Who is to be named for a source of facts, and under which terms its facts were taken."""

    name: str
    holder: str
    licence: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything published that verdicts rest on, with the day of the snapshot and where it came from.

    ``branches`` and ``releases`` are keyed by component, then by branch or version; ``uv_newest_pbs`` maps a uv version
    to the newest PBS tag that it can install, in the order of uv's releases. ``distributions`` holds the releases of
    each distribution by ``ID`` of os-release; ``reaches`` the newest day that the facts of each subject know of.
    ``pbs_builds`` are sorted by date; ``package_fixes`` are keyed by distribution, release and source package.
    """

    snapshot_date: date
    sources: tuple[str, ...]
    advisories: tuple[Advisory, ...]
    releases: Mapping[Component, Mapping[str, Release]]
    branches: Mapping[Component, Mapping[str, Branch]]
    pbs_builds: tuple[PbsBuild, ...] = ()
    uv_newest_pbs: Mapping[str, str] = field(default_factory=dict)
    uv_dates: Mapping[str, date] = field(default_factory=dict)
    distributions: Mapping[str, Mapping[str, Branch]] = field(default_factory=dict)
    reaches: Mapping[str, date] = field(default_factory=dict)
    attributions: tuple[Attribution, ...] = ()
    distribution_releases: tuple[DistributionRelease, ...] = ()
    package_fixes: Mapping[tuple[str, str, str], PackageFixes] = field(default_factory=dict)
    quirks: QuirkTable = field(default_factory=QuirkTable)

    def as_of(self, day: date) -> Catalogue:
        """Return the catalogue without the advisories that were published after a day.

        Ranges, tables of fixes and builds stay as they are known now: they tell what was true on that day, too.
        """
        return replace(self, advisories=tuple(one for one in self.advisories if one.published <= day))
