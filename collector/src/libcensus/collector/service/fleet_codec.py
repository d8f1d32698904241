"""What operators are told, as values, and the bridge between them and the wire in both directions.

The collector encodes, the operator's client decodes; both import this. Law, tested by property:
``from_proto(to_proto(x)) == x``. Words from a newer collector decode to ``unknown`` where the vocabulary has that word,
and are refused with the field named where it has not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from libcensus.collector.posture.finding import (
    Acceptance,
    Clocks,
    Component,
    EndOfLife,
    Finding,
    Reach,
    Severity,
    Subject,
    SubjectKind,
    SupportState,
    VexStatus,
)
from libcensus.collector.posture.quirks import Quirk, SeenQuirk
from libcensus.collector.posture.staleness import (
    Staleness,
    StalenessKind,
    StalenessState,
    StaleSubject,
    StaleSubjectKind,
)
from libcensus.collector.posture.verdict import PortabilityState, Verdict
from libcensus.facts.codec import (
    agent_state_from_proto,
    agent_state_to_proto,
    build_from_proto,
    build_to_proto,
    changelog_from_proto,
    changelog_to_proto,
    crypto_copy_set_from_proto,
    crypto_copy_set_to_proto,
    digest_from_proto,
    digest_to_proto,
    evidence_from_proto,
    evidence_to_proto,
    host_from_proto,
    host_to_proto,
    install_set_from_proto,
    install_set_to_proto,
    platform_from_proto,
    platform_to_proto,
    probe_result_from_proto,
    probe_result_to_proto,
    process_set_from_proto,
    process_set_to_proto,
    root_set_from_proto,
    root_set_to_proto,
    seconds_from_proto,
    seconds_to_proto,
    time_from_proto,
    time_to_proto,
    tool_set_from_proto,
    tool_set_to_proto,
)
from libcensus.facts.crypto import CryptoCopySet
from libcensus.facts.root import RootSet
from libcensus.facts.tool import ToolSet
from libcensus.facts.validation import InvalidFactError
from libcensus.facts.vocabulary import Linkage
from libcensus.v1 import fleet_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import StrEnum

    from libcensus.facts.changelog import PackageChangelog
    from libcensus.facts.host import Host
    from libcensus.facts.interpreter import Build, InstallSet
    from libcensus.facts.platform import Platform
    from libcensus.facts.process import ProcessSet
    from libcensus.facts.report import AgentState, ProbeResult

    _Word = TypeVar("_Word", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class HostSummary:
    """One host as a list shows it; ``affected`` counts findings, ``worst_severity`` is that of the worst of them.

    ``accepted`` counts those of the affected that an accepted risk covers.
    ``outdated_processes`` is absent where the agent did not look at what runs, ``agent_state`` where it does not tell.
    """

    host_id: str
    name: str
    first_report: datetime
    last_report: datetime
    agent_version: str
    os_id: str | None = None
    os_version: str | None = None
    arch: str | None = None
    libc_family: str | None = None
    libc_version: str | None = None
    installs: int = 0
    affected: int = 0
    under_investigation: int = 0
    worst_severity: Severity | None = None
    failed_probes: int = 0
    outdated_processes: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    accepted: int = 0
    agent_state: AgentState | None = None


@dataclass(frozen=True, slots=True)
class HostPage:
    """One page of the list of hosts; ``next_page_token`` is empty on the last.

    ``unknown_keys`` are those of the selector that no host has a label of.
    """

    hosts: tuple[HostSummary, ...]
    next_page_token: str = ""
    unknown_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelledHost:
    """A host with all its labels, as they are after a change."""

    host_id: str
    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ToldVerdict:
    """A portability verdict as it is told: its reasons are sentences."""

    state: PortabilityState
    reasons: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HostDetail:
    """One host with its facts and all verdicts.

    ``builds`` are keyed by address, ``verdicts`` by the root's name and the build's address. ``processes`` is absent
    where the agent did not look.
    """

    summary: HostSummary
    host: Host
    platform: Platform
    installs: InstallSet
    builds: Mapping[str, Build]
    findings: tuple[Finding, ...]
    end_of_life: tuple[EndOfLife, ...]
    verdicts: Mapping[tuple[str, str], ToldVerdict]
    probes: tuple[ProbeResult, ...]
    scan_seconds: float = field(default=0.0)
    crypto_copies: CryptoCopySet = field(default_factory=CryptoCopySet)
    tools: ToolSet = field(default_factory=ToolSet)
    roots: RootSet = field(default_factory=RootSet)
    changelogs: tuple[PackageChangelog, ...] = ()
    processes: ProcessSet | None = None
    quirks: tuple[SeenQuirk, ...] = ()
    staleness: tuple[Staleness, ...] = ()


def tell_verdict(verdict: Verdict) -> ToldVerdict:
    """Return a verdict with its reasons as sentences."""
    return ToldVerdict(
        verdict.state,
        tuple(str(reason) for reason in verdict.reasons),
        tuple(str(reason) for reason in verdict.degraded),
    )


def _optional(message: Any, name: str) -> Any:
    return getattr(message, name) if message.HasField(name) else None


def _word(kind: type[_Word], name: str, text: str) -> _Word:
    try:
        return kind(text)
    except ValueError:
        if "unknown" in set(kind):
            return kind("unknown")
        raise InvalidFactError(name, f"{text[:80]!r} is a word that this version does not know") from None


def _day_to_proto(day: date | None) -> str | None:
    """Return a day as RFC 3339 writes its first moment: a source that gives only a date means 00:00 UTC."""
    return None if day is None else f"{day.isoformat()}T00:00:00Z"


def _day_from_proto(name: str, text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC).date()
    except ValueError:
        raise InvalidFactError(name, f"{text[:80]!r} is no moment in RFC 3339") from None


# --- findings ---------------------------------------------------------------------------------------------------


def subject_to_proto(value: Subject) -> fleet_pb2.FindingSubject:
    """Encode what a verdict is about."""
    return fleet_pb2.FindingSubject(kind=value.kind, root=value.root, path=value.path)


def subject_from_proto(message: fleet_pb2.FindingSubject) -> Subject:
    """Decode what a verdict is about."""
    return Subject(_word(SubjectKind, "subject.kind", message.kind), message.root, message.path)


def _acceptance_to_proto(value: Acceptance | None) -> fleet_pb2.Acceptance | None:
    if value is None:
        return None
    return fleet_pb2.Acceptance(
        statement=value.statement,
        document=value.document,
        author=value.author,
        status=value.status,
        justification=value.justification,
        reason=value.reason,
        expires=_day_to_proto(value.expires),
    )


def _acceptance_from_proto(message: fleet_pb2.Acceptance) -> Acceptance:
    expires = _day_from_proto("accepted.expires", message.expires)
    if expires is None:
        raise AssertionError("a text is a day, or refused")
    return Acceptance(
        statement=message.statement,
        document=message.document,
        author=message.author,
        status=_word(VexStatus, "accepted.status", message.status),
        justification=_optional(message, "justification"),
        reason=message.reason,
        expires=expires,
    )


def finding_to_proto(value: Finding) -> fleet_pb2.Finding:
    """Encode a finding."""
    return fleet_pb2.Finding(
        subject=subject_to_proto(value.subject),
        component=value.component,
        linkage=value.linkage,
        advisory=value.advisory,
        severity=value.severity,
        status=value.status,
        fixed_in=value.fixed_in,
        fix_available=_day_to_proto(value.fix_available),
        remedy=value.remedy,
        evidence=[evidence_to_proto(item) for item in value.evidence],
        published=None if value.clocks is None else _day_to_proto(value.clocks.published),
        fix_released=None if value.clocks is None else _day_to_proto(value.clocks.released),
        fix_installable=None if value.clocks is None else _day_to_proto(value.clocks.installable),
        reach=value.reach,
        accepted=_acceptance_to_proto(value.accepted),
    )


def finding_from_proto(message: fleet_pb2.Finding) -> Finding:
    """Decode a finding."""
    linkage = _optional(message, "linkage")
    built = _day_from_proto("fix_available", _optional(message, "fix_available"))
    published = _day_from_proto("published", _optional(message, "published"))
    released = _day_from_proto("fix_released", _optional(message, "fix_released"))
    installable = _day_from_proto("fix_installable", _optional(message, "fix_installable"))
    return Finding(
        subject=subject_from_proto(message.subject),
        component=_word(Component, "component", message.component),
        linkage=None if linkage is None else _word(Linkage, "linkage", linkage),
        advisory=message.advisory,
        severity=_word(Severity, "severity", message.severity),
        status=_word(VexStatus, "status", message.status),
        fixed_in=_optional(message, "fixed_in"),
        fix_available=built,
        remedy=_optional(message, "remedy"),
        evidence=tuple(evidence_from_proto(item) for item in message.evidence),
        clocks=None if published is None else Clocks(published, released, built, installable),
        reach=None if (reach := _optional(message, "reach")) is None else _word(Reach, "reach", reach),
        accepted=_acceptance_from_proto(message.accepted) if message.HasField("accepted") else None,
    )


def end_of_life_to_proto(value: EndOfLife) -> fleet_pb2.EndOfLife:
    """Encode the support of a branch."""
    return fleet_pb2.EndOfLife(
        subject=subject_to_proto(value.subject),
        component=value.component,
        branch=value.branch,
        state=value.state,
        date=None if value.date is None else value.date.isoformat(),
        distribution_until=None if value.distribution_until is None else value.distribution_until.isoformat(),
        evidence=[evidence_to_proto(item) for item in value.evidence],
    )


def end_of_life_from_proto(message: fleet_pb2.EndOfLife) -> EndOfLife:
    """Decode the support of a branch."""
    return EndOfLife(
        subject=subject_from_proto(message.subject),
        component=_word(Component, "component", message.component),
        branch=message.branch,
        state=_word(SupportState, "state", message.state),
        date=_day(message, "date"),
        evidence=tuple(evidence_from_proto(item) for item in message.evidence),
        distribution_until=_day(message, "distribution_until"),
    )


def staleness_to_proto(value: Staleness) -> fleet_pb2.Staleness:
    """Encode what is behind what it could be."""
    subject = value.subject
    return fleet_pb2.Staleness(
        subject=fleet_pb2.FindingSubject(kind=subject.kind, root=subject.root, path=subject.path),
        kind=value.kind,
        state=value.state,
        has=value.has,
        newest=value.newest,
        since=_day_to_proto(value.since),
        remedy=value.remedy,
        evidence=[evidence_to_proto(item) for item in value.evidence],
        concerns=[subject_to_proto(one) for one in value.concerns],
    )


def staleness_from_proto(message: fleet_pb2.Staleness) -> Staleness:
    """Decode what is behind what it could be."""
    subject = message.subject
    return Staleness(
        subject=StaleSubject(
            _word(StaleSubjectKind, "staleness.subject.kind", subject.kind), subject.root, subject.path
        ),
        kind=_word(StalenessKind, "staleness.kind", message.kind),
        state=_word(StalenessState, "staleness.state", message.state),
        has=_optional(message, "has"),
        newest=_optional(message, "newest"),
        since=_day_from_proto("staleness.since", _optional(message, "since")),
        remedy=_optional(message, "remedy"),
        evidence=tuple(evidence_from_proto(item) for item in message.evidence),
        concerns=tuple(subject_from_proto(one) for one in message.concerns),
    )


def seen_quirk_to_proto(value: SeenQuirk) -> fleet_pb2.SeenQuirk:
    """Encode a quirk with the installs that have it."""
    quirk = value.quirk
    return fleet_pb2.SeenQuirk(
        id=quirk.id,
        title=quirk.title,
        means=quirk.means,
        advice=quirk.advice,
        source=quirk.source,
        subjects=[subject_to_proto(subject) for subject in value.subjects],
    )


def seen_quirk_from_proto(message: fleet_pb2.SeenQuirk) -> SeenQuirk:
    """Decode a quirk with the installs that have it."""
    return SeenQuirk(
        Quirk(message.id, message.title, message.means, message.advice, message.source),
        tuple(subject_from_proto(subject) for subject in message.subjects),
    )


def _day(message: fleet_pb2.EndOfLife, field: str) -> date | None:
    text = _optional(message, field)
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise InvalidFactError(field, f"{text[:80]!r} is no date") from None


# --- hosts ------------------------------------------------------------------------------------------------------


def summary_to_proto(value: HostSummary) -> fleet_pb2.HostSummary:
    """Encode a host as a list shows it."""
    return fleet_pb2.HostSummary(
        host_id=value.host_id,
        name=value.name,
        os_id=value.os_id,
        os_version=value.os_version,
        arch=value.arch,
        libc_family=value.libc_family,
        libc_version=value.libc_version,
        installs=value.installs,
        affected=value.affected,
        under_investigation=value.under_investigation,
        worst_severity=value.worst_severity,
        first_report=time_to_proto(value.first_report),
        last_report=time_to_proto(value.last_report),
        agent_version=value.agent_version,
        failed_probes=value.failed_probes,
        outdated_processes=value.outdated_processes,
        labels=_labels_to_proto(value.labels),
        accepted=value.accepted,
        agent_state=None if value.agent_state is None else agent_state_to_proto(value.agent_state),
    )


def summary_from_proto(message: fleet_pb2.HostSummary) -> HostSummary:
    """Decode a host as a list shows it."""
    worst = _optional(message, "worst_severity")
    return HostSummary(
        host_id=message.host_id,
        name=message.name,
        first_report=time_from_proto("first_report", message.first_report),
        last_report=time_from_proto("last_report", message.last_report),
        agent_version=message.agent_version,
        os_id=_optional(message, "os_id"),
        os_version=_optional(message, "os_version"),
        arch=_optional(message, "arch"),
        libc_family=_optional(message, "libc_family"),
        libc_version=_optional(message, "libc_version"),
        installs=message.installs,
        affected=message.affected,
        under_investigation=message.under_investigation,
        worst_severity=None if worst is None else _word(Severity, "worst_severity", worst),
        failed_probes=message.failed_probes,
        outdated_processes=_optional(message, "outdated_processes"),
        labels={label.key: label.value for label in message.labels},
        accepted=message.accepted,
        agent_state=agent_state_from_proto(message.agent_state) if message.HasField("agent_state") else None,
    )


def page_to_proto(value: HostPage) -> fleet_pb2.ListHostsResponse:
    """Encode one page of the list of hosts."""
    return fleet_pb2.ListHostsResponse(
        hosts=[summary_to_proto(host) for host in value.hosts],
        next_page_token=value.next_page_token,
        unknown_keys=value.unknown_keys,
    )


def page_from_proto(message: fleet_pb2.ListHostsResponse) -> HostPage:
    """Decode one page of the list of hosts."""
    return HostPage(
        tuple(summary_from_proto(host) for host in message.hosts), message.next_page_token, tuple(message.unknown_keys)
    )


def labelled_to_proto(value: LabelledHost) -> fleet_pb2.SetLabelsResponse:
    """Encode a host with its labels."""
    return fleet_pb2.SetLabelsResponse(host_id=value.host_id, name=value.name, labels=_labels_to_proto(value.labels))


def labelled_from_proto(message: fleet_pb2.SetLabelsResponse) -> LabelledHost:
    """Decode a host with its labels."""
    return LabelledHost(message.host_id, message.name, {label.key: label.value for label in message.labels})


def _labels_to_proto(labels: Mapping[str, str]) -> list[fleet_pb2.HostLabel]:
    return [fleet_pb2.HostLabel(key=key, value=value) for key, value in sorted(labels.items())]


def detail_to_proto(value: HostDetail) -> fleet_pb2.GetHostResponse:
    """Encode one host with everything that is known of it."""
    return fleet_pb2.GetHostResponse(
        summary=summary_to_proto(value.summary),
        host=host_to_proto(value.host),
        platform=platform_to_proto(value.platform),
        installs=install_set_to_proto(value.installs),
        builds=[
            fleet_pb2.AddressedBuild(digest=digest_to_proto(digest), build=build_to_proto(build))
            for digest, build in sorted(value.builds.items())
        ],
        findings=[finding_to_proto(finding) for finding in value.findings],
        end_of_life=[end_of_life_to_proto(support) for support in value.end_of_life],
        verdicts=[
            fleet_pb2.BuildVerdict(
                build=digest_to_proto(digest),
                verdict=verdict.state,
                reasons=verdict.reasons,
                degraded=verdict.degraded,
                root=root,
            )
            for (root, digest), verdict in sorted(value.verdicts.items())
        ],
        probes=[probe_result_to_proto(probe) for probe in value.probes],
        scan_duration=seconds_to_proto(value.scan_seconds),
        crypto_copies=crypto_copy_set_to_proto(value.crypto_copies),
        tools=tool_set_to_proto(value.tools),
        roots=root_set_to_proto(value.roots),
        changelogs=[changelog_to_proto(changelog) for changelog in value.changelogs],
        processes=None if value.processes is None else process_set_to_proto(value.processes),
        quirks=[seen_quirk_to_proto(quirk) for quirk in value.quirks],
        staleness=[staleness_to_proto(one) for one in value.staleness],
    )


def detail_from_proto(message: fleet_pb2.GetHostResponse) -> HostDetail:
    """Decode one host with everything that is known of it; raises InvalidFactError naming the field that is wrong."""
    return HostDetail(
        summary=summary_from_proto(message.summary),
        host=host_from_proto(message.host),
        platform=platform_from_proto(message.platform),
        installs=install_set_from_proto(message.installs),
        builds={
            digest_from_proto(entry.digest, "builds.digest"): build_from_proto(entry.build) for entry in message.builds
        },
        findings=tuple(finding_from_proto(finding) for finding in message.findings),
        end_of_life=tuple(end_of_life_from_proto(support) for support in message.end_of_life),
        verdicts={
            (_optional(entry, "root") or "/", digest_from_proto(entry.build, "verdicts.build")): ToldVerdict(
                _word(PortabilityState, "verdicts.verdict", entry.verdict), tuple(entry.reasons), tuple(entry.degraded)
            )
            for entry in message.verdicts
        },
        probes=tuple(probe_result_from_proto(probe) for probe in message.probes),
        scan_seconds=seconds_from_proto("scan_duration", message.scan_duration),
        crypto_copies=crypto_copy_set_from_proto(message.crypto_copies),
        tools=tool_set_from_proto(message.tools),
        roots=root_set_from_proto(message.roots),
        changelogs=tuple(changelog_from_proto(changelog) for changelog in message.changelogs),
        processes=process_set_from_proto(message.processes) if message.HasField("processes") else None,
        quirks=tuple(seen_quirk_from_proto(quirk) for quirk in message.quirks),
        staleness=tuple(staleness_from_proto(one) for one in message.staleness),
    )
