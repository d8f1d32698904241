"""One machine with everything that is known and derived of it, whoever judged it: a collector, or this command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.agent.scan import Scan
from libcensus.collector.posture.finding import SubjectKind, SupportState, VexStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    from libcensus.collector.posture.finding import EndOfLife, Finding, Subject
    from libcensus.collector.service.fleet_codec import HostDetail, ToldVerdict
    from libcensus.facts.interpreter import Build, Install


@dataclass(frozen=True, slots=True)
class Assessed:
    """A scan with the verdicts upon it; ``verdicts`` are keyed by build."""

    scan: Scan
    findings: tuple[Finding, ...]
    end_of_life: tuple[EndOfLife, ...]
    verdicts: Mapping[str, ToldVerdict]

    def build_of(self, install: Install) -> Build | None:
        """Return the build of an install, None where it could not be read."""
        return None if install.build is None else self.scan.builds.get(install.build)


def assessed_from_detail(detail: HostDetail) -> Assessed:
    """Return what a collector tells of a host in the terms of a scan; its time is that of the last report.

    The root is the one that all installs lie in, and ``/`` where they lie in several or there are none.
    """
    roots = {install.root for install in detail.installs.installs}
    scan = Scan(
        root=roots.pop() if len(roots) == 1 else "/",
        host=detail.host,
        platform=detail.platform,
        installs=detail.installs,
        builds=detail.builds,
        probes=detail.probes,
        scanned_at=detail.summary.last_report,
        seconds=detail.scan_seconds,
    )
    return Assessed(scan, detail.findings, detail.end_of_life, detail.verdicts)


def is_about(subject: Subject, install: Install) -> bool:
    """Tell whether a verdict is about this install."""
    return (subject.kind, subject.root, subject.path) == (SubjectKind.INSTALL, install.root, install.path)


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
