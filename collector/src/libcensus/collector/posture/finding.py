"""One advisory against one subject, and what is known of its support: the words of every security verdict."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

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
    """What an advisory or a life cycle is about; the forks of OpenSSL are products of their own."""

    OPENSSL = "openssl"
    CPYTHON = "cpython"
    NODEJS = "nodejs"
    GLIBC = "glibc"
    LIBRESSL = "libressl"
    BORINGSSL = "boringssl"
    AWS_LC = "aws-lc"
    PYPY = "pypy"
    RUBY = "ruby"
    PERL = "perl"
    PHP = "php"


class SubjectKind(StrEnum):
    """What a verdict is about."""

    INSTALL = "install"
    CRYPTO_COPY = "crypto_copy"
    LIBC = "libc"


class Reach(StrEnum):
    """How what a finding is about is reached."""

    TLS_MODULE = "tls_module"
    """It is what the TLS module of an interpreter really uses."""
    INTERPRETER = "interpreter"
    """It is the interpreter itself."""
    EXTRA_COPY = "extra_copy"
    """A further copy, which packages of an environment load."""
    PRESENT = "present"
    """A file that nothing is known to load."""
    LIBC = "libc"
    """Every program of its root uses it."""


class Upgrade(StrEnum):
    """What would bring the fix of an affected finding."""

    SYSTEM = "system"
    """A package of the host's own distribution."""
    OWN = "own"
    """Whoever else built it: of an interpreter with its own copy, a wheel, a vendor's product."""
    IMAGE = "image"
    """It lies in a container or in another tree on the host, which is made anew or upgraded by itself."""


class SupportState(StrEnum):
    """Whether somebody still maintains a branch on the day of the verdict."""

    SUPPORTED = "supported"
    ENDED = "ended"
    UNKNOWN = "unknown"


ENVIRONMENT = "<environment>"
FILE = "<file>"
"""What stands in a remedy for the folder of the environment and for the copy's own file: each finding puts in its own,
so that the same copy in many places is judged once."""

UNKNOWN_BRANCH = "unknown"
"""The branch of a version that nobody could read."""


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """The thing that a verdict is about: its kind, the root it lies in, and its path inside that root."""

    kind: SubjectKind
    root: str
    path: str


@dataclass(frozen=True, slots=True)
class Clocks:
    """The days on which a fix came nearer, up to where a host could have had it; each absent where no source tells.

    ``published`` is the advisory's, ``released`` that of upstream's release with the fix, ``built`` that of the
    provider's first build or package with it, ``installable`` that of the first release of the tool, or of the
    distribution, that could install that. The fifth clock, the day on which the host has it, is the host's history.
    """

    published: dt.date
    released: dt.date | None = None
    built: dt.date | None = None
    installable: dt.date | None = None

    @property
    def since(self) -> dt.date | None:
        """The day since which the fix could be applied: not before anybody could know of it; None where unknown."""
        days = [day for day in (self.built, self.installable) if day is not None]
        return max(*days, self.published) if days else None


@dataclass(frozen=True, slots=True)
class Judgement:
    """One advisory against one copy of a component, wherever that copy lies: a finding without its subject.

    ``fixed_in`` is the first fixed version of the branch that the copy is on, absent where none is published;
    ``fix_available`` the day since which its provider has had the fix, and ``clocks`` all days on the way; ``evidence``
    leads from the version to the verdict. The same copy in many places is judged once.
    """

    component: Component
    linkage: Linkage | None
    advisory: str
    severity: Severity
    status: VexStatus
    fixed_in: str | None
    fix_available: dt.date | None
    remedy: str | None
    evidence: tuple[Evidence, ...]
    clocks: Clocks


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A statement of the operator that covers a finding: who says why that it is no reason to act, and until when.

    ``status`` is what the statement says: ``not_affected`` with a justification or a reason, or ``affected`` with what
    is done about it. ``expires`` is the last day on which it counts.
    """

    statement: str
    document: str
    author: str
    status: VexStatus
    justification: str | None
    reason: str
    expires: dt.date


@dataclass(frozen=True, slots=True)
class Finding:
    """One advisory against one subject.

    ``fixed_in`` is the first fixed version of the branch that the subject is on, absent where none is published;
    ``fix_available`` the day since which its provider has had the fix; ``evidence`` the chain from bytes to verdict.
    ``clocks`` and ``reach`` are absent from collectors that do not tell them.
    ``accepted`` is the operator's statement that covers it, where one does: ``status`` stays what the facts say.
    """

    subject: Subject
    component: Component
    linkage: Linkage | None
    advisory: str
    severity: Severity
    status: VexStatus
    fixed_in: str | None
    fix_available: dt.date | None
    remedy: str | None
    evidence: tuple[Evidence, ...]
    clocks: Clocks | None = None
    accepted: Acceptance | None = None
    reach: Reach | None = None

    @classmethod
    def of(
        cls,
        subject: Subject,
        judgement: Judgement,
        facts: tuple[Evidence, ...] = (),
        within: str | None = None,
        *,
        file: str | None = None,
        environment: str | None = None,
    ) -> Self:
        """Return the finding of a judgement at one subject; ``facts`` are the proofs read there, put before it.

        ``within`` tells where the remedy is to be applied, where that is not the host itself; ``file`` and
        ``environment`` are what the remedy is about.
        """
        remedy = judgement.remedy
        if remedy is not None:
            remedy = at_place(remedy, file=file, environment=environment)
        return cls(
            subject=subject,
            component=judgement.component,
            linkage=judgement.linkage,
            advisory=judgement.advisory,
            severity=judgement.severity,
            status=judgement.status,
            fixed_in=judgement.fixed_in,
            fix_available=judgement.fix_available,
            remedy=remedy if remedy is None or within is None else f"{within}: {remedy}",
            evidence=facts + judgement.evidence,
            clocks=judgement.clocks,
            reach=_reach(subject, judgement, environment),
        )


def _reach(subject: Subject, judgement: Judgement, environment: str | None) -> Reach:
    if subject.kind is SubjectKind.LIBC:
        return Reach.LIBC
    if subject.kind is SubjectKind.CRYPTO_COPY:
        return Reach.PRESENT if environment is None else Reach.EXTRA_COPY
    # Only a library is reached by a linkage; an interpreter is what runs.
    return Reach.INTERPRETER if judgement.linkage is None else Reach.TLS_MODULE


@dataclass(frozen=True, slots=True)
class Support:
    """Support of the branch that one copy of a component is on: an end of life without its subject.

    ``date`` is the last day of support by the component's own project, absent where nobody says.
    ``distribution_until`` is the last day on which the distribution that built the copy supports it all the same.
    """

    component: Component
    branch: str
    state: SupportState
    date: dt.date | None
    evidence: tuple[Evidence, ...]
    distribution_until: dt.date | None = None


@dataclass(frozen=True, slots=True)
class EndOfLife:
    """Support of the branch that a subject is on; ``date`` is the last day of support, absent where nobody says.

    ``state`` is the word of the component's own project. ``distribution_until`` is the last day on which the
    distribution that built the copy supports it all the same, absent for copies that no distribution built.
    """

    subject: Subject
    component: Component
    branch: str
    state: SupportState
    date: dt.date | None
    evidence: tuple[Evidence, ...]
    distribution_until: dt.date | None = None

    @classmethod
    def of(cls, subject: Subject, support: Support, facts: tuple[Evidence, ...] = ()) -> Self:
        """Return the end of life of a subject; ``facts`` are the proofs read there, put before it."""
        return cls(
            subject=subject,
            component=support.component,
            branch=support.branch,
            state=support.state,
            date=support.date,
            evidence=facts + support.evidence,
            distribution_until=support.distribution_until,
        )


def at_place(remedy: str, *, file: str | None, environment: str | None) -> str:
    """Return a remedy with the file and the environment of one place put in."""
    return remedy.replace(FILE, file or "the library").replace(ENVIRONMENT, environment or "the environment")


def worst_severity(findings: Iterable[Finding | Judgement]) -> Severity | None:
    """Return the highest severity among those that are affected; None when none is."""
    severities = [finding.severity for finding in findings if finding.status is VexStatus.AFFECTED]
    return max(severities, key=lambda severity: severity.rank, default=None)


def at_least(findings: Iterable[Finding], floor: Severity) -> tuple[Finding, ...]:
    """Return the findings that are affected with at least this severity, in their order: what ``--fail-on`` counts.

    ``Severity.UNKNOWN`` as the floor counts every affected one; accepted ones are not counted.
    """
    return tuple(
        f for f in findings if f.status is VexStatus.AFFECTED and f.accepted is None and f.severity.rank >= floor.rank
    )
