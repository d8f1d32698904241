"""CSV: one row per finding, by RFC 4180, and safe to open in a spreadsheet.

A part in which nothing was found has a row too, without advisory and status. A text that a spreadsheet would take for a
formula gets an apostrophe before it; names of files and hosts come from whoever can write them.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from libcensus.cli.exports.part import HostParts, Part
    from libcensus.collector.posture.finding import Finding

COLUMNS = (
    "host",
    "host_id",
    "last_report",
    "root",
    "path",
    "subject",
    "component",
    "version",
    "linkage",
    "provider",
    "file",
    "package",
    "package_version",
    "purl",
    "owner_purl",
    "advisory",
    "severity",
    "status",
    "fixed_in",
    "fix_available",
    "remedy",
    "accepted_until",
    "accepted_by",
    "accepted_because",
)

_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What makes a spreadsheet take a cell for a formula; the last four are the same signs in full width."""


def csv_lines(hosts: Iterable[HostParts]) -> Iterator[str]:
    """Yield the file's lines, its titles first."""
    yield _line(COLUMNS)
    for host in hosts:
        for part in host.parts:
            for finding in part.findings or (None,):
                yield _line(_row(host, part, finding))


def _row(host: HostParts, part: Part, finding: Finding | None) -> tuple[str | None, ...]:
    package = part.package
    told: tuple[str | None, ...] = (None,) * 9
    if finding is not None:
        told = (
            finding.advisory,
            finding.severity,
            finding.status,
            finding.fixed_in,
            None if finding.fix_available is None else finding.fix_available.isoformat(),
            finding.remedy,
            *_accepted(finding),
        )
    return (
        host.name,
        host.host_id,
        host.last_report.isoformat(timespec="seconds").replace("+00:00", "Z"),
        part.subject.root,
        part.subject.path,
        part.subject.kind,
        part.component,
        part.version,
        part.linkage,
        part.provider,
        part.file,
        None if package is None else package.name,
        None if package is None else package.version,
        part.purl,
        part.owner_purl,
        *told,
    )


def _accepted(finding: Finding) -> tuple[str | None, ...]:
    accepted = finding.accepted
    if accepted is None:
        return None, None, None
    because = ": ".join(word for word in (accepted.justification or accepted.status, accepted.reason) if word)
    return accepted.expires.isoformat(), accepted.author, because


def _line(cells: Iterable[str | None]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow([_harmless(cell or "") for cell in cells])
    return text.getvalue()


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULAS) else cell.replace("\0", "\\x00")
