"""CycloneDX 1.6: the fleet's components, and its findings as VEX.

A component is told once, however many hosts have it, with every place where it lies as an occurrence: its size follows
the variety of the fleet and the number of places. Two components of one package URL are told apart where their findings
differ (one package with its changelog, one without). An entry of ``vulnerabilities`` is one advisory in one state.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.component_evidence import ComponentEvidence, Occurrence
from cyclonedx.model.impact_analysis import (
    ImpactAnalysisJustification,
    ImpactAnalysisResponse,
    ImpactAnalysisState,
)
from cyclonedx.model.vulnerability import (
    BomTarget,
    Vulnerability,
    VulnerabilityAnalysis,
    VulnerabilityRating,
    VulnerabilitySeverity,
)
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from libcensus.collector.posture.finding import Severity, SubjectKind, VexStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from uuid import UUID

    from libcensus.cli.exports.part import HostParts, Part
    from libcensus.collector.posture.finding import Acceptance, Finding

_STATES = {
    VexStatus.AFFECTED: ImpactAnalysisState.EXPLOITABLE,
    VexStatus.UNDER_INVESTIGATION: ImpactAnalysisState.IN_TRIAGE,
    VexStatus.FIXED: ImpactAnalysisState.RESOLVED,
    VexStatus.NOT_AFFECTED: ImpactAnalysisState.NOT_AFFECTED,
}
_SEVERITIES = {
    Severity.CRITICAL: VulnerabilitySeverity.CRITICAL,
    Severity.HIGH: VulnerabilitySeverity.HIGH,
    Severity.MODERATE: VulnerabilitySeverity.MEDIUM,
    Severity.LOW: VulnerabilitySeverity.LOW,
    Severity.UNKNOWN: VulnerabilitySeverity.UNKNOWN,
}
_ONLY_ELSEWHERE = "holds on Windows only"
"""How the proof of a finding says that the advisory is about another system."""

_TOLD = 5
"""How many different remedies or proofs of one advisory are written out; beyond it their number is said."""


def cyclonedx_text(
    hosts: Iterable[HostParts],
    version: str,
    exported: datetime,
    *,
    serial: UUID | None = None,
    indent: int | None = None,
) -> str:
    """Return the text of one BOM; ``serial`` is its serial number, a random one without."""
    collected = _Collected()
    for host in hosts:
        for part in host.parts:
            collected.add(host, part)
        collected.end_host(host)
    bom = _bom(collected, version, exported)
    if serial is not None:
        bom.serial_number = serial
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    # The library keeps occurrences in no order of their own.
    for component in document.get("components", ()):
        places = component.get("evidence", {}).get("occurrences", [])
        places.sort(key=lambda one: (one["location"], one.get("additionalContext", ""), one.get("offset", -1)))
    return json.dumps(document, indent=indent) + "\n"


Statuses = tuple[tuple[str, VexStatus, "Acceptance | None"], ...]
Key = tuple[str, str, str, str, Statuses]
"""Package URL, component, name and version, and the state of every advisory."""

At = tuple[str, str, VexStatus, str, "Acceptance | None"]
"""An advisory of a component in a state, for one reason, under one accepted risk."""

_ACCEPTED = {
    "component_not_present": ImpactAnalysisJustification.CODE_NOT_PRESENT,
    "vulnerable_code_not_present": ImpactAnalysisJustification.CODE_NOT_PRESENT,
    "vulnerable_code_not_in_execute_path": ImpactAnalysisJustification.CODE_NOT_REACHABLE,
    "vulnerable_code_cannot_be_controlled_by_adversary": ImpactAnalysisJustification.REQUIRES_ENVIRONMENT,
    "inline_mitigations_already_exist": ImpactAnalysisJustification.PROTECTED_BY_MITIGATING_CONTROL,
}
"""OpenVEX's justifications in the words of CycloneDX, which has no same ones."""


@dataclass(slots=True)
class _Kind:
    """One component wherever it lies."""

    is_application: bool = False
    places: set[tuple[str, str, int | None]] = field(default_factory=set)


@dataclass(slots=True)
class _Stated:
    """One advisory in one state: which components it is about, and what is said of it."""

    severity: Severity
    keys: set[Key] = field(default_factory=set)
    remedies: set[str] = field(default_factory=set)
    proofs: set[str] = field(default_factory=set)
    fixes: set[str] = field(default_factory=set)
    is_fixable: bool = False


class _Collected:
    """What hosts have, joined."""

    def __init__(self) -> None:
        self.kinds: dict[Key, _Kind] = {}
        self.stated: dict[At, _Stated] = {}
        self.uses: dict[Key | str, set[Key]] = {}
        self.owners: dict[str, set[tuple[str, str]]] = {}
        self.hosts: list[str] = []
        self._interpreters: dict[tuple[str, str], Key] = {}

    def add(self, host: HostParts, part: Part) -> None:
        """Take one part of a host in."""
        statuses = tuple((finding.advisory, finding.status, finding.accepted) for finding in part.findings)
        package_name = part.component if part.package is None or part.owner_purl is not None else part.package.name
        package_version = part.version if part.package is None or part.owner_purl is not None else part.package.version
        key = (part.purl, part.component, package_name, package_version or "", statuses)
        kind = self.kinds.setdefault(key, _Kind())
        kind.is_application |= part.subject.kind is SubjectKind.INSTALL and part.linkage is None
        where, context = _location(host, part, part.file or part.subject.path), _context(part)
        kind.places.add((where, context, _offset(part)))
        place = part.subject.root, part.subject.path
        if part.linkage is None:
            self._interpreters[place] = key
        elif place in self._interpreters and part.subject.kind is SubjectKind.INSTALL:
            self.uses.setdefault(self._interpreters[place], set()).add(key)
        if part.owner_purl is not None:
            self.uses.setdefault(part.owner_purl, set()).add(key)
            self.owners.setdefault(part.owner_purl, set()).add((_location(host, part, part.subject.path), ""))
        for finding in part.findings:
            self._state(key, finding)

    def end_host(self, host: HostParts) -> None:
        """Take note that a host is complete."""
        self._interpreters.clear()
        self.hosts.append(host.name)

    def _state(self, key: Key, finding: Finding) -> None:
        reason = _justification(finding)
        why = "" if reason is None else reason.value
        at = finding.advisory, finding.component, finding.status, why, finding.accepted
        stated = self.stated.setdefault(at, _Stated(finding.severity))
        stated.keys.add(key)
        if finding.remedy is not None:
            stated.remedies.add(finding.remedy)
        if finding.fixed_in is not None:
            stated.fixes.add(finding.fixed_in)
        stated.is_fixable |= finding.fixed_in is not None or finding.fix_available is not None
        proofs = [item.detail for item in finding.evidence if item.subject in {"finding", "fix"} and item.detail]
        if proofs:
            stated.proofs.add("; ".join(proofs))


def _bom(collected: _Collected, version: str, exported: datetime) -> Bom:
    bom = Bom()
    bom.metadata.timestamp = exported
    bom.metadata.tools.components.add(Component(name="libcensus", version=version, type=ComponentType.APPLICATION))
    alone = collected.hosts[0] if len(collected.hosts) == 1 else None
    root = Component(
        name=alone or "fleet",
        type=ComponentType.DEVICE if alone else ComponentType.PLATFORM,
        bom_ref="host" if alone else "fleet",
        properties=[Property(name="libcensus:hosts", value=str(len(collected.hosts)))],
    )
    bom.metadata.component = root
    references = _references(collected.kinds)
    components: dict[Key | str, Component] = {
        key: _component(key, kind, references[key]) for key, kind in collected.kinds.items()
    }
    components |= {purl: _owner(purl, places) for purl, places in collected.owners.items() if purl not in components}
    bom.components.update(components.values())
    used = {key for keys in collected.uses.values() for key in keys}
    bom.register_dependency(root, [component for key, component in components.items() if key not in used])
    for key, component in components.items():
        bom.register_dependency(component, [components[one] for one in collected.uses.get(key, ())])
    for at, stated in sorted(collected.stated.items(), key=lambda item: (*item[0][:4], _statement(item[0][4]))):
        targets = sorted(references[key] for key in stated.keys)
        bom.vulnerabilities.add(_vulnerability(at, stated, targets))
    return bom


def _references(kinds: Mapping[Key, _Kind]) -> dict[Key, str]:
    """Return a reference for each component: its package URL, with a mark where several share one."""
    of_purl: dict[str, list[Key]] = {}
    for key in kinds:
        of_purl.setdefault(key[0], []).append(key)
    return {
        key: purl if len(keys) == 1 else f"{purl}#{hashlib.sha256(repr(key).encode()).hexdigest()[:12]}"
        for purl, keys in of_purl.items()
        for key in keys
    }


def _component(key: Key, kind: _Kind, reference: str) -> Component:
    purl, component, name, version, _ = key
    return Component(
        name=name,
        version=version or None,
        type=ComponentType.APPLICATION if kind.is_application else ComponentType.LIBRARY,
        bom_ref=reference,
        purl=PackageURL.from_string(purl),
        properties=[Property(name="libcensus:component", value=component)],
        evidence=ComponentEvidence(
            occurrences=[
                Occurrence(location=where, additional_context=context or None, offset=offset)
                for where, context, offset in kind.places
            ]
        ),
    )


def _owner(purl: str, places: Iterable[tuple[str, str]]) -> Component:
    """Return the wheel or package that a component lies in."""
    told = PackageURL.from_string(purl)
    return Component(
        name=told.name,
        group=told.namespace,
        version=told.version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{purl}#owner",
        purl=told,
        evidence=ComponentEvidence(occurrences=[Occurrence(location=where) for where, _ in places]),
    )


def _statement(accepted: Acceptance | None) -> str:
    return "" if accepted is None else accepted.statement


def _vulnerability(at: At, stated: _Stated, targets: Iterable[str]) -> Vulnerability:
    advisory, component, status, reason, accepted = at
    is_open = status in {VexStatus.AFFECTED, VexStatus.UNDER_INVESTIGATION}
    responses = [ImpactAnalysisResponse.UPDATE] if status is VexStatus.AFFECTED and stated.is_fixable else []
    fixes = [Property(name="libcensus:fixed_in", value=fix) for fix in sorted(stated.fixes)]
    detail = _several(stated.proofs, "different proofs by component")
    state, justification = _STATES[status], ImpactAnalysisJustification(reason) if reason else None
    told: list[Property] = []
    if accepted is not None:
        told = [
            Property(name="libcensus:status", value=status.value),
            Property(name="libcensus:accepted:statement", value=accepted.statement),
            Property(name="libcensus:accepted:by", value=accepted.author),
            Property(name="libcensus:accepted:expires", value=accepted.expires.isoformat()),
        ]
        because = accepted.reason or accepted.justification or ""
        words = f"accepted until {accepted.expires.isoformat()} by {accepted.author}: {because}"
        detail = words if detail is None else f"{words}\n{detail}"
        if accepted.status is VexStatus.NOT_AFFECTED:
            state, responses = ImpactAnalysisState.NOT_AFFECTED, []
            justification = _ACCEPTED.get(accepted.justification or "")
        else:
            responses = [ImpactAnalysisResponse.WILL_NOT_FIX]
    return Vulnerability(
        bom_ref="/".join(part for part in (advisory, component, status.value, reason, _statement(accepted)) if part),
        id=advisory,
        ratings=[VulnerabilityRating(severity=_SEVERITIES[stated.severity])],
        recommendation=_several(stated.remedies, "different steps by place") if is_open else None,
        analysis=VulnerabilityAnalysis(
            state=state,
            justification=justification,
            responses=responses,
            detail=detail,
        ),
        affects=[BomTarget(ref=reference) for reference in targets],
        properties=[Property(name="libcensus:component", value=component), *fixes, *told],
    )


def _several(texts: set[str], what: str) -> str | None:
    if not texts:
        return None
    ordered = sorted(texts)
    if len(ordered) <= _TOLD:
        return "\n".join(ordered)
    return "\n".join([f"{len(ordered)} {what}, the first {_TOLD} of them:", *ordered[:_TOLD]])


def _justification(finding: Finding) -> ImpactAnalysisJustification | None:
    if finding.status is VexStatus.NOT_AFFECTED and any(_ONLY_ELSEWHERE in item.detail for item in finding.evidence):
        return ImpactAnalysisJustification.REQUIRES_ENVIRONMENT
    return None


def _location(host: HostParts, part: Part, path: str) -> str:
    root = part.subject.root
    return f"{host.name}:{path}" if root == "/" else f"{host.name}:{root}:{path}"


def _context(part: Part) -> str:
    words = [] if part.linkage is None else [part.linkage.value]
    words.append(f"provider {part.provider}")
    if part.file is not None:
        words.append(f"used by {part.subject.path}")
    return ", ".join(words)


def _offset(part: Part) -> int | None:
    file = part.file or part.subject.path
    proofs = (item for finding in part.findings[:1] for item in finding.evidence)
    return next((item.offset for item in proofs if item.offset is not None and item.file == file), None)
