"""What is behind what it could be: the values that say so, whatever rule said it.

A thing is stale where the facts and what was published prove that something newer is to be had; ``unknown`` where they
do not tell, with the reason as evidence. What is known to be up to date is kept as ``current``, so that it can be
counted, and shown nowhere: staleness is no finding, and an old build without a fault is stale all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from libcensus.collector.posture.finding import Subject, SubjectKind

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping

    from libcensus.facts.evidence import Evidence


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
class Lag:
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
    """One thing that is behind what it could be, or of which nobody can tell; the fields are those of :class:`Lag`.

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
        lag: Lag,
        concerns: Iterable[Subject] = (),
        within: str | None = None,
    ) -> Staleness:
        """Return a judgement at one subject; ``within`` tells where its remedy is to be applied, if not on the host."""
        remedy = lag.remedy if lag.remedy is None or within is None else f"{within}: {lag.remedy}"
        return cls(subject, kind, lag.state, lag.has, lag.newest, lag.since, remedy, lag.evidence, tuple(concerns))

    @property
    def sort_key(self) -> tuple[str, str, str, str]:
        """The order in which they are told: by subject, then kind."""
        subject = self.subject
        return subject.kind, subject.root, subject.path, self.kind


@dataclass(frozen=True, slots=True, order=True)
class StaleInstall:
    """One install under one reason, as it is counted: once, however many judgements of that kind are about it."""

    kind: StalenessKind
    state: StalenessState
    provider: str
    subject: Subject


_RANKS = {state: number for number, state in enumerate(StalenessState)}


def stale_installs(judged: Iterable[Staleness], providers: Mapping[Subject, str]) -> tuple[StaleInstall, ...]:
    """Return every install that a judgement concerns, once per kind under the first state, sorted.

    ``providers`` names who built each install; what has none there is no install.
    """
    found: dict[tuple[StalenessKind, Subject], StalenessState] = {}
    for one in judged:
        for subject in one.concerns:
            if subject.kind is SubjectKind.INSTALL and subject in providers:
                held = found.get((one.kind, subject), one.state)
                found[one.kind, subject] = min(held, one.state, key=_RANKS.__getitem__)
    return tuple(sorted(StaleInstall(kind, state, providers[on], on) for (kind, on), state in found.items()))
