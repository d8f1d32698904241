"""What operators are told about the fleet's findings, as values, and the bridge between them and the wire.

Law, tested by property: ``from_proto(to_proto(x)) == x``. A severity that this version does not know decodes to
``unknown``; another word that it does not know is refused with the field named.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from libcensus.collector.posture.acceptance import StatementState
from libcensus.collector.posture.finding import Component, Severity, SupportState, Upgrade, VexStatus
from libcensus.collector.posture.staleness import StalenessKind
from libcensus.facts.validation import InvalidFactError
from libcensus.facts.vocabulary import Linkage
from libcensus.v1 import fleet_pb2

if TYPE_CHECKING:
    from enum import StrEnum

    _Word = TypeVar("_Word", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class FindingCount:
    """Findings on one component with one severity and one status, and the hosts that have any.

    ``accepted`` counts those that an accepted risk covers.
    """

    component: Component
    severity: Severity
    status: VexStatus
    findings: int
    hosts: int
    accepted: int = 0


@dataclass(frozen=True, slots=True)
class ProviderCount:
    """Findings with one status on what one provider built, and the hosts that have any; ``accepted`` are covered."""

    provider: str
    status: VexStatus
    findings: int
    hosts: int
    accepted: int = 0


@dataclass(frozen=True, slots=True)
class AdvisoryPosture:
    """One advisory over the fleet: findings, and the hosts that have any, by status.

    ``exposed_hosts`` are the affected ones on which a fix could have been applied by the day.
    ``accepted`` counts the affected ones that an accepted risk covers; the first of them is open again after
    ``accepted_until``.
    """

    advisory: str
    component: Component
    severity: Severity
    published: date | None
    affected: int
    affected_hosts: int
    under_investigation: int
    under_investigation_hosts: int
    fixed_hosts: int
    not_affected_hosts: int
    exposed_hosts: int = 0
    accepted: int = 0
    accepted_until: date | None = None


@dataclass(frozen=True, slots=True)
class RemedyCount:
    """What would bring the fix of how many affected findings that nobody accepted; an empty one: nothing is known."""

    remedy: str
    findings: int
    hosts: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HostPosture:
    """One host with its affected findings by severity, the highest first; severities without any are not there.

    Those that an accepted risk covers are not among them: ``accepted`` counts these. ``exposed`` are all affected ones
    whose fix could have been applied by the day.
    """

    host_id: str
    name: str
    affected: tuple[tuple[Severity, int], ...]
    under_investigation: int
    exposed: int = 0
    accepted: int = 0

    @property
    def total(self) -> int:
        """How many findings are affected and not accepted."""
        return sum(number for _, number in self.affected)


@dataclass(frozen=True, slots=True)
class StaleCount:
    """Installs of one provider under one reason for being stale, and the hosts that have any.

    ``unknown`` are those of which nobody can tell, ``current`` those that are known to be up to date.
    """

    kind: StalenessKind
    provider: str
    stale: int
    stale_hosts: int
    unknown: int
    unknown_hosts: int
    current: int


@dataclass(frozen=True, slots=True)
class AcceptedRisk:
    """One statement of the operator, and how many findings, on how many hosts, of what was asked it covers.

    ``scopes`` are in words; ``note`` tells why a statement in force covers nothing, and is empty otherwise.
    """

    statement: str
    document: str
    author: str
    advisories: tuple[str, ...]
    status: VexStatus
    justification: str | None
    reason: str
    scopes: tuple[str, ...]
    since: date
    expires: date
    state: StatementState
    findings: int = 0
    hosts: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class AffectedCount:
    """Affected findings by all that decides who can mend them, and the hosts that have any.

    ``linkage`` is absent for what is no library. ``accepted`` counts those that an accepted risk covers.
    """

    component: Component
    severity: Severity
    provider: str
    linkage: Linkage | None
    upgrade: Upgrade
    findings: int
    hosts: int
    accepted: int = 0


@dataclass(frozen=True, slots=True)
class SupportCount:
    """Installs and crypto copies on one branch with one end of support, and the hosts that have any.

    ``until`` is the last day on which somebody maintains it: the ``distribution`` (``debian 12``) or the project; not
    told where nobody says. ``state`` is of the answer's day.
    """

    component: Component
    branch: str
    state: SupportState
    until: date | None
    distribution: str | None
    places: int
    hosts: int


@dataclass(frozen=True, slots=True)
class InstallCount:
    """Installs of one kind with one crypto library, and the hosts that have any; absent is what nothing tells."""

    implementation: str
    version: str | None
    provider: str
    provider_build: str | None
    linkage: Linkage
    crypto_family: str | None
    crypto_version: str | None
    installs: int
    hosts: int


@dataclass(frozen=True, slots=True)
class PostureAnswer:
    """The fleet's findings, or those that were asked for.

    ``remedies`` and ``worst_hosts`` are the first ones, ``remedies_total`` and ``open_hosts`` count all of them.
    ``day`` is that of the verdicts, ``advisories_day`` the one that the advisories are of. ``exposed_hosts`` have an
    affected finding whose fix could have been applied by the day. ``staleness`` is empty where one advisory or
    component was asked about: nothing is stale by one. ``accepted`` counts affected findings that an accepted risk
    covers; ``accepted_risks`` are those that cover something that was asked about, and all where everything was.
    ``unknown_keys`` are those of the selector that no host has a label of.
    ``support`` and ``installs`` are empty where one advisory or component was asked about, and from collectors that do
    not tell them; of ``ended_places`` (installs and crypto copies) one component is past its end of support.
    """

    hosts: int
    affected_hosts: int
    under_investigation_hosts: int
    unreadable_hosts: int
    counts: tuple[FindingCount, ...]
    providers: tuple[ProviderCount, ...]
    advisories: tuple[AdvisoryPosture, ...]
    remedies: tuple[RemedyCount, ...]
    remedies_total: int
    worst_hosts: tuple[HostPosture, ...]
    open_hosts: int
    day: date
    advisories_day: date
    exposed_hosts: int = 0
    staleness: tuple[StaleCount, ...] = ()
    accepted: int = 0
    accepted_hosts: int = 0
    accepted_risks: tuple[AcceptedRisk, ...] = ()
    unknown_keys: tuple[str, ...] = ()
    affected: tuple[AffectedCount, ...] = ()
    support: tuple[SupportCount, ...] = ()
    installs: tuple[InstallCount, ...] = ()
    ended_places: int = 0
    ended_hosts: int = 0


def posture_to_proto(value: PostureAnswer) -> fleet_pb2.GetPostureResponse:
    """Encode the fleet's findings."""
    return fleet_pb2.GetPostureResponse(
        hosts=value.hosts,
        affected_hosts=value.affected_hosts,
        under_investigation_hosts=value.under_investigation_hosts,
        unreadable_hosts=value.unreadable_hosts,
        unknown_keys=value.unknown_keys,
        counts=[
            fleet_pb2.FindingCount(
                component=one.component,
                severity=one.severity,
                status=one.status,
                findings=one.findings,
                hosts=one.hosts,
                accepted=one.accepted,
            )
            for one in value.counts
        ],
        providers=[
            fleet_pb2.ProviderCount(
                provider=one.provider,
                status=one.status,
                findings=one.findings,
                hosts=one.hosts,
                accepted=one.accepted,
            )
            for one in value.providers
        ],
        advisories=[
            fleet_pb2.AdvisoryPosture(
                advisory=one.advisory,
                component=one.component,
                severity=one.severity,
                published=None if one.published is None else day_to_text(one.published),
                affected=one.affected,
                affected_hosts=one.affected_hosts,
                under_investigation=one.under_investigation,
                under_investigation_hosts=one.under_investigation_hosts,
                fixed_hosts=one.fixed_hosts,
                not_affected_hosts=one.not_affected_hosts,
                exposed_hosts=one.exposed_hosts,
                accepted=one.accepted,
                accepted_until=None if one.accepted_until is None else day_to_text(one.accepted_until),
            )
            for one in value.advisories
        ],
        remedies=[
            fleet_pb2.RemedyCount(remedy=one.remedy, findings=one.findings, hosts=one.hosts, examples=one.examples)
            for one in value.remedies
        ],
        remedies_total=value.remedies_total,
        worst_hosts=[
            fleet_pb2.HostPosture(
                host_id=one.host_id,
                name=one.name,
                affected=[
                    fleet_pb2.SeverityCount(severity=severity, findings=number) for severity, number in one.affected
                ],
                under_investigation=one.under_investigation,
                exposed=one.exposed,
                accepted=one.accepted,
            )
            for one in value.worst_hosts
        ],
        open_hosts=value.open_hosts,
        day=day_to_text(value.day),
        advisories_day=day_to_text(value.advisories_day),
        exposed_hosts=value.exposed_hosts,
        staleness=[
            fleet_pb2.StaleCount(
                kind=one.kind,
                provider=one.provider,
                stale=one.stale,
                stale_hosts=one.stale_hosts,
                unknown=one.unknown,
                unknown_hosts=one.unknown_hosts,
                current=one.current,
            )
            for one in value.staleness
        ],
        accepted=value.accepted,
        accepted_hosts=value.accepted_hosts,
        accepted_risks=[_risk_to_proto(one) for one in value.accepted_risks],
        affected=[
            fleet_pb2.AffectedCount(
                component=one.component,
                severity=one.severity,
                provider=one.provider,
                linkage=one.linkage,
                upgrade=one.upgrade,
                findings=one.findings,
                hosts=one.hosts,
                accepted=one.accepted,
            )
            for one in value.affected
        ],
        support=[
            fleet_pb2.SupportCount(
                component=one.component,
                branch=one.branch,
                state=one.state,
                until=None if one.until is None else day_to_text(one.until),
                distribution=one.distribution,
                places=one.places,
                hosts=one.hosts,
            )
            for one in value.support
        ],
        installs=[
            fleet_pb2.InstallCount(
                implementation=one.implementation,
                version=one.version,
                provider=one.provider,
                provider_build=one.provider_build,
                linkage=one.linkage,
                crypto_family=one.crypto_family,
                crypto_version=one.crypto_version,
                installs=one.installs,
                hosts=one.hosts,
            )
            for one in value.installs
        ],
        ended_places=value.ended_places,
        ended_hosts=value.ended_hosts,
    )


def _risk_to_proto(value: AcceptedRisk) -> fleet_pb2.AcceptedRisk:
    return fleet_pb2.AcceptedRisk(
        statement=value.statement,
        document=value.document,
        author=value.author,
        advisories=value.advisories,
        status=value.status,
        justification=value.justification,
        reason=value.reason,
        scopes=value.scopes,
        since=day_to_text(value.since),
        expires=day_to_text(value.expires),
        state=value.state,
        findings=value.findings,
        hosts=value.hosts,
        note=value.note,
    )


def _risk_from_proto(message: fleet_pb2.AcceptedRisk) -> AcceptedRisk:
    return AcceptedRisk(
        statement=message.statement,
        document=message.document,
        author=message.author,
        advisories=tuple(message.advisories),
        status=word_of(VexStatus, "accepted_risks.status", message.status),
        justification=message.justification if message.HasField("justification") else None,
        reason=message.reason,
        scopes=tuple(message.scopes),
        since=day_from_text("accepted_risks.since", message.since),
        expires=day_from_text("accepted_risks.expires", message.expires),
        state=word_of(StatementState, "accepted_risks.state", message.state),
        findings=message.findings,
        hosts=message.hosts,
        note=message.note,
    )


def posture_from_proto(message: fleet_pb2.GetPostureResponse) -> PostureAnswer:
    """Decode the fleet's findings; raises InvalidFactError naming the field that is wrong."""
    return PostureAnswer(
        hosts=message.hosts,
        affected_hosts=message.affected_hosts,
        under_investigation_hosts=message.under_investigation_hosts,
        unreadable_hosts=message.unreadable_hosts,
        unknown_keys=tuple(message.unknown_keys),
        counts=tuple(
            FindingCount(
                word_of(Component, "counts.component", one.component),
                severity_of(one.severity),
                word_of(VexStatus, "counts.status", one.status),
                one.findings,
                one.hosts,
                one.accepted,
            )
            for one in message.counts
        ),
        providers=tuple(
            ProviderCount(
                one.provider,
                word_of(VexStatus, "providers.status", one.status),
                one.findings,
                one.hosts,
                one.accepted,
            )
            for one in message.providers
        ),
        advisories=tuple(_advisory(one) for one in message.advisories),
        remedies=tuple(
            RemedyCount(one.remedy, one.findings, one.hosts, tuple(one.examples)) for one in message.remedies
        ),
        remedies_total=message.remedies_total,
        worst_hosts=tuple(
            HostPosture(
                one.host_id,
                one.name,
                tuple((severity_of(count.severity), count.findings) for count in one.affected),
                one.under_investigation,
                one.exposed,
                one.accepted,
            )
            for one in message.worst_hosts
        ),
        open_hosts=message.open_hosts,
        day=day_from_text("day", message.day),
        advisories_day=day_from_text("advisories_day", message.advisories_day),
        exposed_hosts=message.exposed_hosts,
        staleness=tuple(
            StaleCount(
                word_of(StalenessKind, "staleness.kind", one.kind),
                one.provider,
                one.stale,
                one.stale_hosts,
                one.unknown,
                one.unknown_hosts,
                one.current,
            )
            for one in message.staleness
        ),
        accepted=message.accepted,
        accepted_hosts=message.accepted_hosts,
        accepted_risks=tuple(_risk_from_proto(one) for one in message.accepted_risks),
        affected=tuple(
            AffectedCount(
                word_of(Component, "affected.component", one.component),
                severity_of(one.severity),
                one.provider,
                word_of(Linkage, "affected.linkage", one.linkage) if one.HasField("linkage") else None,
                word_of(Upgrade, "affected.upgrade", one.upgrade),
                one.findings,
                one.hosts,
                one.accepted,
            )
            for one in message.affected
        ),
        support=tuple(
            SupportCount(
                word_of(Component, "support.component", one.component),
                one.branch,
                word_of(SupportState, "support.state", one.state),
                day_from_text("support.until", one.until) if one.HasField("until") else None,
                _optional(one, "distribution"),
                one.places,
                one.hosts,
            )
            for one in message.support
        ),
        installs=tuple(
            InstallCount(
                one.implementation,
                _optional(one, "version"),
                one.provider,
                _optional(one, "provider_build"),
                word_of(Linkage, "installs.linkage", one.linkage),
                _optional(one, "crypto_family"),
                _optional(one, "crypto_version"),
                one.installs,
                one.hosts,
            )
            for one in message.installs
        ),
        ended_places=message.ended_places,
        ended_hosts=message.ended_hosts,
    )


def _optional(message: Any, name: str) -> Any:
    return getattr(message, name) if message.HasField(name) else None


def _advisory(message: fleet_pb2.AdvisoryPosture) -> AdvisoryPosture:
    return AdvisoryPosture(
        advisory=message.advisory,
        component=word_of(Component, "advisories.component", message.component),
        severity=severity_of(message.severity),
        published=day_from_text("advisories.published", message.published) if message.HasField("published") else None,
        affected=message.affected,
        affected_hosts=message.affected_hosts,
        under_investigation=message.under_investigation,
        under_investigation_hosts=message.under_investigation_hosts,
        fixed_hosts=message.fixed_hosts,
        not_affected_hosts=message.not_affected_hosts,
        exposed_hosts=message.exposed_hosts,
        accepted=message.accepted,
        accepted_until=(
            day_from_text("advisories.accepted_until", message.accepted_until)
            if message.HasField("accepted_until")
            else None
        ),
    )


def severity_of(text: str) -> Severity:
    """Return a severity; one that this version does not know is unknown."""
    try:
        return Severity(text)
    except ValueError:
        return Severity.UNKNOWN


def word_of(kind: type[_Word], name: str, text: str) -> _Word:
    """Return a word of the vocabulary; raises InvalidFactError, naming the field, for one that is not in it."""
    try:
        return kind(text)
    except ValueError:
        raise InvalidFactError(name, f"{text[:80]!r} is a word that this version does not know") from None


def day_to_text(day: date) -> str:
    """Return a day as the moment with which it begins, in RFC 3339."""
    return f"{day.isoformat()}T00:00:00Z"


def day_from_text(name: str, text: Any) -> date:
    """Return the day of a moment in RFC 3339; raises InvalidFactError, naming the field."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC).date()
    except ValueError:
        raise InvalidFactError(name, f"{text[:80]!r} is no moment in RFC 3339") from None
