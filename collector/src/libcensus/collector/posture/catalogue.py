"""What the world publishes, as values: advisories, releases, ends of life, and what each provider has built.

A catalogue is made by a loader (``collector.advisories``) and only read here.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  the dataclass decorator of slots needs it at run time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date

    from libcensus.collector.posture.finding import Component, Severity


@dataclass(frozen=True, slots=True)
class AffectedRange:
    """Versions of one branch that an advisory holds for: ``introduced`` included, ``fixed`` excluded.

    ``fixed`` is absent where no release of the branch fixes it.
    """

    branch: str
    introduced: str
    fixed: str | None


@dataclass(frozen=True, slots=True)
class Advisory:
    """One published vulnerability of one component; ``windows_only`` and ``premium_only`` as the source states them."""

    id: str
    component: Component
    published: date
    severity: Severity
    ranges: tuple[AffectedRange, ...]
    source: str
    windows_only: bool = False
    premium_only_fixes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Release:
    """One release of a component."""

    version: str
    branch: str
    date: date | None


@dataclass(frozen=True, slots=True)
class Branch:
    """One release line; ``eol`` is the last day of free support, absent where the source knows none."""

    branch: str
    released: date | None
    eol: date | None
    ended: bool | None = None


@dataclass(frozen=True, slots=True)
class PbsBuild:
    """One python-build-standalone release: its date, the OpenSSL inside, and the CPython patch release per minor."""

    tag: str
    date: date
    openssl: str | None
    cpython: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything published that verdicts rest on, with the day of the snapshot and where it came from.

    ``branches`` and ``releases`` are keyed by component, then by branch or version; ``uv_newest_pbs`` maps a uv version
    to the newest PBS tag that it can install.
    """

    snapshot_date: date
    sources: tuple[str, ...]
    advisories: tuple[Advisory, ...]
    releases: Mapping[Component, Mapping[str, Release]]
    branches: Mapping[Component, Mapping[str, Branch]]
    pbs_builds: tuple[PbsBuild, ...] = ()
    uv_newest_pbs: Mapping[str, str] = field(default_factory=dict)
    uv_dates: Mapping[str, date] = field(default_factory=dict)
