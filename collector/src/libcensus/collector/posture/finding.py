"""One advisory against one subject, and what is known of its support: the words of every security verdict."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date

    from libcensus.facts.evidence import Evidence
    from libcensus.facts.vocabulary import Linkage


class VexStatus(StrEnum):
    """Whether the advisory holds for the subject (the four states of VEX)."""

    AFFECTED = "affected"
    FIXED = "fixed"
    NOT_AFFECTED = "not_affected"
    UNDER_INVESTIGATION = "under_investigation"


class Severity(StrEnum):
    """Severity as the advisory's source states it; ``unknown`` where it states none."""

    CRITICAL = "critical"
    HIGH = "high"
    MODERATE = "moderate"
    LOW = "low"
    UNKNOWN = "unknown"

    @property
    def rank(self) -> int:
        """A number that rises with the severity; unknown ranks below low, because nothing is known."""
        return ("unknown", "low", "moderate", "high", "critical").index(self.value)


class Component(StrEnum):
    """What an advisory is about."""

    OPENSSL = "openssl"
    CPYTHON = "cpython"
    NODEJS = "nodejs"
    GLIBC = "glibc"


class SubjectKind(StrEnum):
    """What a verdict is about."""

    INSTALL = "install"
    CRYPTO_COPY = "crypto_copy"
    LIBC = "libc"


class SupportState(StrEnum):
    """Whether somebody still maintains a branch on the day of the verdict."""

    SUPPORTED = "supported"
    ENDED = "ended"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """The thing that a verdict is about: its kind, the root it lies in, and its path inside that root."""

    kind: SubjectKind
    root: str
    path: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One advisory against one subject.

    ``fixed_in`` is the first fixed version of the branch that the subject is on, absent where none is published;
    ``fix_available`` the day since which the fix could have been there from this provider; ``evidence`` the chain
    from bytes to verdict.
    """

    subject: Subject
    component: Component
    linkage: Linkage | None
    advisory: str
    severity: Severity
    status: VexStatus
    fixed_in: str | None
    fix_available: date | None
    remedy: str | None
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class EndOfLife:
    """Support of the branch that a subject is on; ``date`` is the last day of support, absent where nobody says."""

    subject: Subject
    component: Component
    branch: str
    state: SupportState
    date: date | None
    evidence: tuple[Evidence, ...]
