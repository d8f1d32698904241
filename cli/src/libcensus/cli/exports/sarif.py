"""SARIF 2.1.0: one result per finding, for code-scanning services and result viewers.

The states of VEX have kinds of their own there: ``affected`` is ``fail``, ``under_investigation`` is ``open``
(nobody knows enough to decide), ``fixed`` is ``pass`` and ``not_affected`` is ``notApplicable``. Only a failure has a
level. Results come one host after the other, and the rules after them, because they are known only then.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING
from urllib.parse import quote

from libcensus.cli.exports.objects import moment
from libcensus.collector.posture.finding import Severity, VexStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from libcensus.cli.exports.part import HostParts, Part
    from libcensus.collector.posture.finding import Finding
    from libcensus.facts.evidence import Evidence

VERSION = "2.1.0"
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"

_KINDS = {
    VexStatus.AFFECTED: "fail",
    VexStatus.UNDER_INVESTIGATION: "open",
    VexStatus.FIXED: "pass",
    VexStatus.NOT_AFFECTED: "notApplicable",
}
_LEVELS = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MODERATE: "warning",
    Severity.LOW: "note",
    Severity.UNKNOWN: "warning",
}
_WORDS = {
    VexStatus.AFFECTED: "is affected by",
    VexStatus.UNDER_INVESTIGATION: "may be affected by",
    VexStatus.FIXED: "has the fix of",
    VexStatus.NOT_AFFECTED: "is not affected by",
}


def sarif_texts(hosts: Iterable[HostParts], version: str, exported: datetime) -> Iterator[str]:
    """Yield the text of one SARIF log with one run, piece by piece: one host on each line."""
    rules = _Rules()
    yield f'{{"$schema": {json.dumps(SCHEMA)}, "version": "{VERSION}", "runs": [{{"columnKind": "unicodeCodePoints", '
    yield '"results": ['
    before = "\n"
    for host in hosts:
        for part in host.parts:
            for finding in part.findings:
                yield before + json.dumps(_result(host, part, finding, rules.index_of(part, finding)))
                before = ",\n"
    driver = {"name": "libcensus", "version": version, "rules": rules.objects}
    invocation = {"executionSuccessful": True, "endTimeUtc": moment(exported)}
    yield f'\n], "tool": {json.dumps({"driver": driver})},\n"invocations": [{json.dumps(invocation)}]}}]}}\n'


class _Rules:
    """The advisories as SARIF's rules, in the order in which they were met."""

    def __init__(self) -> None:
        self.objects: list[dict[str, object]] = []
        self._known: dict[tuple[str, str], int] = {}

    def index_of(self, part: Part, finding: Finding) -> int:
        key = finding.advisory, finding.component
        if key not in self._known:
            self._known[key] = len(self.objects)
            self.objects.append(
                {
                    "id": finding.advisory,
                    "shortDescription": {"text": f"{finding.advisory} in {part.title}"},
                    "fullDescription": {
                        "text": f"The published vulnerability {finding.advisory} of {part.title}; its source gives it "
                        f"the severity {finding.severity.value}."
                    },
                    "defaultConfiguration": {"level": _LEVELS[finding.severity]},
                    "properties": {
                        "component": finding.component.value,
                        "severity": finding.severity.value,
                        "tags": ["security", "vulnerability", finding.component.value],
                    },
                }
            )
        return self._known[key]


def _result(host: HostParts, part: Part, finding: Finding, rule: int) -> dict[str, object]:
    is_failure = finding.status is VexStatus.AFFECTED
    identity = "\0".join((host.host_id, *_place(part), part.component, finding.advisory))
    return {
        "ruleId": finding.advisory,
        "ruleIndex": rule,
        "kind": _KINDS[finding.status],
        "level": _LEVELS[finding.severity] if is_failure else "none",
        "message": {"text": _message(host, part, finding)},
        "locations": [
            {
                "physicalLocation": _physical(host, part, finding),
                "logicalLocations": [
                    {"name": host.name, "fullyQualifiedName": f"{host.name}:{':'.join(_place(part))}", "kind": "module"}
                ],
            }
        ],
        # A result without this key was not looked at; one with an empty list is open.
        "suppressions": _suppressions(finding),
        "partialFingerprints": {"libcensusFinding/v1": hashlib.sha256(identity.encode()).hexdigest()},
        "properties": {
            "host": host.name,
            "hostId": host.host_id,
            "root": part.subject.root,
            "subject": part.subject.kind.value,
            "component": part.component,
            "version": part.version,
            "linkage": None if part.linkage is None else part.linkage.value,
            "provider": part.provider,
            "purl": part.purl,
            "status": finding.status.value,
            "severity": finding.severity.value,
            "fixedIn": finding.fixed_in,
            "fixAvailable": None if finding.fix_available is None else finding.fix_available.isoformat(),
            "remedy": finding.remedy,
            "evidence": [_evidence(item) for item in finding.evidence],
        },
    }


def _suppressions(finding: Finding) -> list[dict[str, object]]:
    """Return the accepted risk that covers a finding, which SARIF calls a suppression kept outside of the source."""
    accepted = finding.accepted
    if accepted is None:
        return []
    says = " ".join(word for word in (accepted.status.value, accepted.justification) if word)
    return [
        {
            "kind": "external",
            "status": "accepted",
            "justification": f"{says}: {accepted.reason}" if accepted.reason else says,
            "properties": {
                "statement": accepted.statement,
                "document": accepted.document,
                "by": accepted.author,
                "expires": accepted.expires.isoformat(),
            },
        }
    ]


def _message(host: HostParts, part: Part, finding: Finding) -> str:
    what = " ".join(word for word in (part.title, part.version or "of unknown version") if word)
    if part.linkage is not None:
        what += f" ({part.linkage.value})"
    severity = "severity unknown" if finding.severity is Severity.UNKNOWN else finding.severity.value
    text = f"{what} of {part.subject.path} on {host.name} {_WORDS[finding.status]} {finding.advisory} ({severity})."
    if finding.remedy is not None and finding.status in {VexStatus.AFFECTED, VexStatus.UNDER_INVESTIGATION}:
        text += f" Remedy: {finding.remedy}."
    return text


def _place(part: Part) -> tuple[str, ...]:
    root, path = part.subject.root, part.subject.path
    return (path,) if root == "/" else (root, path)


def _physical(host: HostParts, part: Part, finding: Finding) -> dict[str, object]:
    """Return the file that holds the component, with the byte at which a proof stands in it, where one does."""
    file = part.file or part.subject.path
    found: dict[str, object] = {"artifactLocation": {"uri": _uri(host, part.subject.root, file)}}
    offset = next((item.offset for item in finding.evidence if item.offset is not None and item.file == file), None)
    if offset is not None:
        found["region"] = {"byteOffset": offset}
    return found


def _uri(host: HostParts, root: str, file: str) -> str:
    """Return the address of a file: that of a folder's root is one on the host, a container's has none there."""
    name = quote(host.name.encode(errors="surrogateescape"), safe="")
    if root == "/":
        return f"file://{name}{_quoted(file)}"
    if root.startswith("/"):
        return f"file://{name}{_quoted(root.rstrip('/') + '/' + file.lstrip('/'))}"
    return f"libcensus://{name}/{quote(root, safe='')}{_quoted(file)}"


def _quoted(path: str) -> str:
    return quote(path.encode(errors="surrogateescape"), safe="/")


def _evidence(item: Evidence) -> dict[str, object]:
    return {
        "subject": item.subject,
        "kind": item.kind.value,
        "file": item.file,
        "detail": item.detail,
        "offset": item.offset,
    }
