"""One machine with everything that is known and derived of it, whoever judged it: a collector, or this command."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  the dataclass decorator of slots needs it at run time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from libcensus.agent.scan import Scan
from libcensus.collector.posture.finding import Subject, SubjectKind, SupportState, VexStatus
from libcensus.facts.codec import encode_fact
from libcensus.facts.interpreter import Install
from libcensus.facts.vocabulary import RootKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from libcensus.collector.posture.finding import EndOfLife, Finding
    from libcensus.collector.posture.quirks import Quirk, SeenQuirk
    from libcensus.collector.posture.staleness import Staleness
    from libcensus.collector.service.fleet_codec import HostDetail, ToldVerdict
    from libcensus.facts.crypto import CryptoCopy
    from libcensus.facts.interpreter import Build


@dataclass(frozen=True, slots=True)
class Assessed:
    """A scan with the verdicts upon it; ``verdicts`` are keyed by root and build.

    ``quirks`` are the known behaviours of the builds, each with the installs that have it.
    """

    scan: Scan
    findings: tuple[Finding, ...]
    end_of_life: tuple[EndOfLife, ...]
    verdicts: Mapping[tuple[str, str], ToldVerdict]
    quirks: tuple[SeenQuirk, ...] = ()
    staleness: tuple[Staleness, ...] = ()
    _findings: Mapping[Subject, list[Finding]] = field(init=False, repr=False, compare=False)
    _ends: Mapping[Subject, list[EndOfLife]] = field(init=False, repr=False, compare=False)
    _quirks: Mapping[Subject, list[Quirk]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Sort the verdicts by what they are about: a host may have thousands of installs, each with many."""
        findings: dict[Subject, list[Finding]] = {}
        for finding in self.findings:
            findings.setdefault(finding.subject, []).append(finding)
        ends: dict[Subject, list[EndOfLife]] = {}
        for end in self.end_of_life:
            ends.setdefault(end.subject, []).append(end)
        quirks: dict[Subject, list[Quirk]] = {}
        for seen in self.quirks:
            for subject in seen.subjects:
                quirks.setdefault(subject, []).append(seen.quirk)
        object.__setattr__(self, "_findings", findings)
        object.__setattr__(self, "_ends", ends)
        object.__setattr__(self, "_quirks", quirks)

    def findings_on(self, what: Install | CryptoCopy) -> Sequence[Finding]:
        """Return the findings on an install or a crypto copy."""
        return self._findings.get(_subject_of(what), ())

    def ends_on(self, what: Install | CryptoCopy) -> Sequence[EndOfLife]:
        """Return the support of every branch that an install or a crypto copy uses."""
        return self._ends.get(_subject_of(what), ())

    def quirks_on(self, install: Install) -> Sequence[Quirk]:
        """Return the known behaviours of the build that an install is of."""
        return self._quirks.get(_subject_of(install), ())

    def build_of(self, install: Install) -> Build | None:
        """Return the build of an install, None where it could not be read."""
        return None if install.build is None else self.scan.builds.get(install.build)

    def verdict_of(self, install: Install) -> ToldVerdict | None:
        """Return whether an install starts in its own root, None where its build could not be read."""
        return None if install.build is None else self.verdicts.get((install.root, install.build))


def assessed_from_detail(detail: HostDetail) -> Assessed:
    """Return what a collector tells of a host in the terms of a scan; its time is that of the last report."""
    scan = Scan(
        root=_scanned_root(detail),
        host=detail.host,
        platform=detail.platform,
        installs=detail.installs,
        builds=detail.builds,
        probes=detail.probes,
        scanned_at=detail.summary.last_report,
        seconds=detail.scan_seconds,
        crypto_copies=detail.crypto_copies,
        tools=detail.tools,
        roots=detail.roots,
        changelogs={encode_fact(one)[1]: one for one in detail.changelogs},
        processes=detail.processes,
    )
    return Assessed(scan, detail.findings, detail.end_of_life, detail.verdicts, detail.quirks, detail.staleness)


def _scanned_root(detail: HostDetail) -> str:
    """Return the name of the tree that was scanned: the host's own root, or the one that all others lie in.

    Of an agent that tells no roots it is the one that all installs lie in, and ``/`` where they lie in several.
    """
    own = [root.name for root in detail.roots.roots if root.kind is RootKind.HOST]
    # A tree that was scanned by itself holds the folders that are roots of their own: it has the shortest name.
    names = own or [root.name for root in detail.roots.roots if root.name.startswith("/")]
    if names:
        return min(names, key=len)
    installed = {install.root for install in detail.installs.installs}
    return installed.pop() if len(installed) == 1 else "/"


def _subject_of(what: Install | CryptoCopy) -> Subject:
    kind = SubjectKind.INSTALL if isinstance(what, Install) else SubjectKind.CRYPTO_COPY
    return Subject(kind, what.root, what.path)


def worst_of(findings: Iterable[Finding]) -> Finding | None:
    """Return the affected finding of the highest severity, the latest advisory among equals."""
    affected = [finding for finding in findings if finding.status is VexStatus.AFFECTED]
    return max(affected, key=lambda finding: (finding.severity.rank, _advisory_number(finding.advisory)), default=None)


def _advisory_number(advisory: str) -> tuple[int, ...]:
    return tuple(int(part) for part in advisory.split("-") if part.isascii() and part.isdigit())


def most_urgent(ends: Iterable[EndOfLife]) -> EndOfLife | None:
    """Return the end of life to look at first: the one longest over, else the one that comes next."""

    def urgency(end: EndOfLife) -> tuple[object, ...]:
        last = last_day(end)
        return end.state is SupportState.UNKNOWN, last is None, str(last), end.component

    return min(ends, key=urgency, default=None)


def last_day(end: EndOfLife) -> date | None:
    """Return the last day on which somebody maintains the copy: the distribution that built it, else its project."""
    return end.distribution_until or end.date


def has_ended(end: EndOfLife, today: date) -> bool:
    """Tell whether nobody maintains the copy any more."""
    if end.distribution_until is not None:
        return end.distribution_until < today
    return end.state is SupportState.ENDED
