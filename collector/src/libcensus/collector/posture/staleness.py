"""What is behind what it could be: the values that say so, whatever rule said it.

A thing is stale where the facts and what was published prove that something newer is to be had; ``unknown`` where they
do not tell, with the reason as evidence. What is known to be up to date is kept as ``current``, so that it can be
counted, and shown nowhere: staleness is no finding, and an old build without a fault is stale all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

    from libcensus.collector.posture.assessment import Grounds
    from libcensus.collector.posture.finding import Subject
    from libcensus.facts.evidence import Evidence
    from libcensus.facts.host import OsRelease
    from libcensus.facts.interpreter import Build
    from libcensus.facts.package import Package
    from libcensus.facts.vocabulary import EnvironmentState, Implementation, Installer, Provider


class StalenessKind(StrEnum):
    """What is behind what."""

    ENVIRONMENT_BEHIND_BASE = "environment_behind_base"
    ENVIRONMENT_BASE_GONE = "environment_base_gone"
    BEHIND_PROVIDER = "behind_provider"
    UV_TOO_OLD = "uv_too_old"
    IMAGE_BEFORE_FIX = "image_before_fix"
    PROCESSES_ON_OLD_FILES = "processes_on_old_files"


class StalenessState(StrEnum):
    """Whether it is so; a thing that several judgements are about has the first of these that applies."""

    STALE = "stale"
    UNKNOWN = "unknown"
    CURRENT = "current"


class StaleSubjectKind(StrEnum):
    """What is stale: an install, a tool that brings installs, a root (a container, an image), or running processes."""

    INSTALL = "install"
    TOOL = "tool"
    ROOT = "root"
    PROCESSES = "processes"


@dataclass(frozen=True, slots=True, order=True)
class StaleSubject:
    """The thing that is judged: its kind, the root it lies in, and its path inside; that of a root itself is ``/``."""

    kind: StaleSubjectKind
    root: str
    path: str


@dataclass(frozen=True, slots=True)
class StaleVerdict:
    """A judgement without its subject: ``has`` and ``newest`` are what is there and what could be, in words.

    ``since`` is the day since which it is behind, absent where nothing tells; ``evidence`` tells why, or why nobody
    can say.
    """

    state: StalenessState
    has: str | None = None
    newest: str | None = None
    since: dt.date | None = None
    remedy: str | None = None
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Staleness:
    """One thing that is behind what it could be, or of which nobody can tell; its fields are those of the verdict.

    ``concerns`` are the subjects that wait for the remedy, sorted: the install itself, the installs that an old ``uv``
    cannot mend, what lies in an image.
    """

    subject: StaleSubject
    kind: StalenessKind
    state: StalenessState
    has: str | None
    newest: str | None
    since: dt.date | None
    remedy: str | None
    evidence: tuple[Evidence, ...]
    concerns: tuple[Subject, ...] = ()

    @classmethod
    def of(
        cls,
        subject: StaleSubject,
        kind: StalenessKind,
        verdict: StaleVerdict,
        concerns: Iterable[Subject] = (),
        within: str | None = None,
    ) -> Self:
        """Return a judgement at one subject; ``within`` tells where its remedy is to be applied, if not on the host."""
        remedy = verdict.remedy if verdict.remedy is None or within is None else f"{within}: {verdict.remedy}"
        return cls(
            subject,
            kind,
            verdict.state,
            verdict.has,
            verdict.newest,
            verdict.since,
            remedy,
            verdict.evidence,
            tuple(concerns),
        )

    @property
    def sort_key(self) -> tuple[str, str, str, str]:
        """The order in which they are told: by subject, then kind."""
        subject = self.subject
        return subject.kind, subject.root, subject.path, self.kind


@dataclass(frozen=True, slots=True)
class BuildMark:
    """What tells builds of one interpreter apart in their order; their files and places do not."""

    implementation: Implementation
    version: str | None
    provider: Provider
    provider_build: str | None

    @classmethod
    def of(cls, build: Build) -> Self:
        """Return the mark of a build."""
        return cls(build.implementation, build.version, build.provider, build.provider_build)


@dataclass(frozen=True, slots=True)
class ProviderGrounds:
    """What tells whether an install is behind its provider: ``build`` is absent where its files could not be read."""

    build: BuildMark | None
    installer: Installer
    package: Package | None
    system: OsRelease | None


@dataclass(frozen=True, slots=True)
class EnvironmentGrounds:
    """What tells whether an environment is behind its base.

    ``is_doubtful`` marks one whose lost base may lie outside of what was scanned, ``is_replaced`` one whose executable
    is another build than its base is now. ``base`` and ``beside`` are what it could be made from again, other than its
    own build; of an environment that is not held against anything they are absent.
    """

    state: EnvironmentState
    is_doubtful: bool = False
    own: BuildMark | None = None
    base: BuildMark | None = None
    is_replaced: bool = False
    beside: tuple[BuildMark, ...] = ()


@dataclass(frozen=True, slots=True)
class UvGrounds:
    """What tells whether an install waits for a newer uv: the newest build of each uv of its root, and its case."""

    builds: tuple[str | None, ...]
    case: Grounds


@dataclass(frozen=True, slots=True)
class ImageGrounds:
    """What tells whether an install waits for a newer image: the day of that, and its case."""

    created: dt.date | None
    case: Grounds


StaleGrounds = ProviderGrounds | EnvironmentGrounds | UvGrounds | ImageGrounds
"""All that a state rests on beside the catalogue and the day: equal ones are judged once, wherever they lie."""


@dataclass(frozen=True, slots=True)
class StaleInstall:
    """One install under one reason, as it is counted: once for each kind that applies to it."""

    kind: StalenessKind
    state: StalenessState
    provider: str
    subject: Subject
    grounds: StaleGrounds


def worst_state(states: Iterable[StalenessState]) -> StalenessState:
    """Return the first state in their order, current without any."""
    order = list(StalenessState)
    return min(states, key=order.index, default=StalenessState.CURRENT)
