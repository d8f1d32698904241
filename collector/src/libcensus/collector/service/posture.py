"""What operators ask about the fleet's findings, answered from the index: each case is looked at once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from libcensus.collector.posture.acceptance import StatementState, why_unmatched
from libcensus.collector.posture.eol import INTERPRETERS
from libcensus.collector.posture.finding import Component, Severity, SupportState, Upgrade, VexStatus, at_place
from libcensus.collector.posture.staleness import StalenessKind, StalenessState
from libcensus.collector.postureindex import hosts_by_grouped_pattern
from libcensus.collector.service.errors import HostNotFoundError, InvalidFieldError, OverdueError
from libcensus.collector.service.fleet_selection import chosen_fleet
from libcensus.collector.service.posture_codec import (
    AcceptedRisk,
    AdvisoryPosture,
    AffectedCount,
    FindingCount,
    HostPosture,
    InstallCount,
    PostureAnswer,
    ProviderCount,
    RemedyCount,
    StaleCount,
    SupportCount,
)
from libcensus.facts.vocabulary import Linkage, PackageOrigin, Provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from libcensus.collector.posture.acceptance import Acceptances, Matched, Statement
    from libcensus.collector.posture.catalogue import Catalogue
    from libcensus.collector.posture.finding import Finding, Judgement, Support
    from libcensus.collector.postureindex import (
        GroupedPattern,
        Judged,
        JudgedFleet,
        JudgedHost,
        PostureIndex,
        PostureIndexes,
    )

EXAMPLES = 5
"""How many hosts of a remedy are named."""

ENVIRONMENT = "ENVIRONMENT"
FILE = "FILE"
"""What stands in a remedy of many hosts for the folder of each environment, and for each copy's file."""

_SEVERITIES = tuple(sorted(Severity, key=lambda severity: -severity.rank))
_STATUSES = tuple(VexStatus)
_COMPONENTS = tuple(Component)
_INTERPRETERS = frozenset(INTERPRETERS.values())

_Key = tuple[Any, ...]

_Part = tuple[int, "Matched"]
"""A case by number on hosts in these groups of accepted risks."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about; an empty text is everything, and a ``limit`` of 0 none.

    ``day`` (YYYY-MM-DD) is the one at whose end the fleet is looked at; empty is now. ``labels`` is a selector.
    """

    host: str = ""
    advisory: str = ""
    provider: str = ""
    component: str = ""
    limit: int = 0
    day: str = ""
    labels: str = ""

    @property
    def is_general(self) -> bool:
        """Whether everything is asked about."""
        return not any((self.host, self.advisory, self.provider, self.component, self.labels))

    def wants(self, judgement: Judgement | Finding) -> bool:
        """Tell whether a judgement is asked about."""
        return self.advisory in {"", judgement.advisory} and self.component in {"", judgement.component}


@dataclass(frozen=True, slots=True)
class _Sum:
    """One case as far as it is asked about: its findings by every key, and by severity for the list of hosts.

    ``affected`` are those that nobody accepted, ``accepted`` counts the others.
    """

    findings: Counter[_Key]
    keys: frozenset[_Key]
    affected: Counter[Severity]
    unclear: int
    exposed: int
    accepted: int


class PostureReader:
    """Answers from the index and the verdicts of the day. Methods may be called from several threads at once."""

    def __init__(self, indexes: PostureIndexes) -> None:
        self._indexes = indexes

    def posture(self, question: Question, is_wanted: Callable[[], bool] = lambda: True) -> PostureAnswer:
        """Return the findings that are asked about, counted.

        Raises HostNotFoundError, InvalidFieldError for what nothing can be of, and OverdueError as soon as nobody wants
        the answer any more.
        """
        index = self._indexes.on(day_of("day", question.day, self._indexes.today))
        fleet = index.fleet(is_wanted)
        if fleet is None:
            raise OverdueError("the fleet was not judged in the time of the call; what was judged is kept: ask again")
        _check(question, fleet, self._indexes.catalogue)
        hosts, unknown_keys = _chosen(question, fleet)
        shapes = hosts_by_grouped_pattern(hosts)
        acceptances = fleet.accepted.acceptances
        today = fleet.assessor.today
        sums = {
            (number, groups): _sum(fleet.judged[number], question, today, acceptances, groups)
            for number, groups in {part for shape in shapes for part in _parts(shape)}
        }
        findings: Counter[_Key] = Counter()
        on_hosts: Counter[_Key] = Counter()
        for part, times in _occurrences(shapes).items():
            for key, amount in sums[part].findings.items():
                findings[key] += amount * times
        for shape, times in shapes.items():
            keys: set[_Key] = set().union(*(sums[part].keys for part in _parts(shape)))
            for key in keys:
                on_hosts[key] += times
        affected = "accepted", "any", VexStatus.AFFECTED
        if question.host:
            remedies = _remedies_of(index, hosts[0], question, acceptances) if hosts else ()
        else:
            remedies = _remedies(findings, on_hosts, hosts, sums, question.limit)
        worst, open_hosts = _worst_hosts(hosts, sums, question.limit)
        return PostureAnswer(
            hosts=len(hosts),
            affected_hosts=on_hosts["any", VexStatus.AFFECTED],
            under_investigation_hosts=on_hosts["any", VexStatus.UNDER_INVESTIGATION],
            unreadable_hosts=sum(host.pattern is None for host in hosts),
            counts=_counts(findings, on_hosts),
            providers=_providers(findings, on_hosts),
            advisories=_advisories(findings, on_hosts, fleet.assessor.catalogue),
            remedies=remedies[: question.limit] if question.limit else remedies,
            remedies_total=len(remedies) if question.host else sum(key[0] == "remedy" for key in findings),
            worst_hosts=worst,
            open_hosts=open_hosts,
            day=fleet.assessor.today,
            advisories_day=fleet.assessor.catalogue.snapshot_date,
            exposed_hosts=on_hosts["exposed",],
            staleness=() if question.advisory or question.component else _staleness(hosts, fleet, question.provider),
            accepted=findings[affected],
            accepted_hosts=on_hosts[affected],
            accepted_risks=_accepted_risks(findings, on_hosts, fleet, question),
            unknown_keys=unknown_keys,
            affected=_affected(findings, on_hosts),
            support=_support(findings, on_hosts),
            installs=_installs(findings, on_hosts),
            ended_places=findings["ended",],
            ended_hosts=on_hosts["ended",],
        )


def day_of(name: str, text: str, today: date) -> date:
    """Return the day that a request names, today where it names none; raises InvalidFieldError.

    What will be nobody knows, so a day that is still to come is refused.
    """
    if not text:
        return today
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise InvalidFieldError(name, f"{text[:80]!r} is no day; write it as 2026-05-03") from None
    if day > today:
        raise InvalidFieldError(name, f"{text} is still to come; today is {today.isoformat()} (UTC)")
    return day


def _remedies_of(
    index: PostureIndex, host: JudgedHost, question: Question, acceptances: Acceptances
) -> tuple[RemedyCount, ...]:
    """Return the remedies of one host, with the folders and files that they are about there."""
    assessment = index.assess(host)
    findings = (
        finding
        for item in (() if assessment is None else assessment.subjects)
        if question.provider in {"", item.provider}
        for finding in acceptances.accepted(item, host.groups)
        if finding.status is VexStatus.AFFECTED and finding.accepted is None and question.wants(finding)
    )
    counted = Counter(finding.remedy or "" for finding in findings)
    ordered = sorted(counted.items(), key=lambda one: (-one[1], one[0]))
    return tuple(RemedyCount(remedy, number, 1, (host.name,)) for remedy, number in ordered)


def _check(question: Question, fleet: JudgedFleet, catalogue: Catalogue) -> None:
    """Refuse what nothing can be of: that nothing is affected would be said of a mistyped name, too."""
    require_component(question.component)
    require_provider(question.provider, fleet)
    if question.advisory and all(one.id != question.advisory for one in catalogue.advisories):
        known = f"{len(catalogue.advisories)} advisories of {catalogue.snapshot_date.isoformat()}"
        raise InvalidFieldError("advisory", f"{question.advisory[:80]!r} is not among the {known}")


def require_component(name: str) -> None:
    """Refuse a component that there is none of; an empty text is every one. Raises InvalidFieldError."""
    if name and name not in set(Component):
        raise InvalidFieldError("component", f"{name[:80]!r} is none of {', '.join(Component)}")


def require_provider(name: str, fleet: JudgedFleet) -> None:
    """Refuse a provider that nothing can be of; an empty text is every one. Raises InvalidFieldError."""
    known = {*Provider, *(one.provider for one in fleet.judged)}
    if name and name not in known:
        raise InvalidFieldError("provider", f"{name[:80]!r} is none of {', '.join(sorted(map(str, known)))}")


def _chosen(question: Question, fleet: JudgedFleet) -> tuple[Sequence[JudgedHost], tuple[str, ...]]:
    """Return the hosts that are asked about, and the keys of the selector that no host has a label of."""
    chosen, unknown_keys = chosen_fleet(fleet, question.labels)
    if not question.host:
        return chosen.hosts, unknown_keys
    if all(question.host not in {host.host_id, host.name} for host in fleet.hosts):
        raise HostNotFoundError(f"no host has the name or id {question.host[:255]!r}")
    return [host for host in chosen.hosts if question.host in {host.host_id, host.name}], unknown_keys


def _parts(shape: GroupedPattern) -> Iterator[_Part]:
    pattern, groups = shape
    return ((number, groups) for number in pattern)


def _occurrences(shapes: Mapping[GroupedPattern, int]) -> Counter[_Part]:
    total: Counter[_Part] = Counter()
    for shape, times in shapes.items():
        for part in _parts(shape):
            total[part] += times
    return total


def _sum(judged: Judged, question: Question, today: date, acceptances: Acceptances, groups: Matched) -> _Sum:
    findings: Counter[_Key] = Counter()
    affected: Counter[Severity] = Counter()
    unclear = exposed = accepted = 0
    wanted = judged.case.judgements if question.provider in {"", judged.provider} else ()
    for item in wanted:
        if not question.wants(item):
            continue
        statement = acceptances.covering(item, groups, judged.places) if groups else None
        for key in _keys(item, judged, today, statement):
            findings[key] += 1
        if item.status is VexStatus.AFFECTED:
            affected[item.severity] += statement is None
            accepted += statement is not None
            exposed += _is_exposed(item, today)
        unclear += item.status is VexStatus.UNDER_INVESTIGATION
    if question.provider in {"", judged.provider} and not question.advisory and not question.component:
        findings.update(_held(judged, today))
    return _Sum(findings, frozenset(findings), affected, unclear, exposed, accepted)


def _is_exposed(item: Judgement, today: date) -> bool:
    """Tell whether a fix of what is affected could have been applied by a day."""
    since = item.clocks.since
    return since is not None and since <= today


def _keys(item: Judgement, judged: Judged, today: date, statement: Statement | None) -> Iterator[_Key]:
    keys: tuple[_Key, ...] = (
        ("any", item.status),
        ("count", item.component, item.severity, item.status),
        ("provider", judged.provider, item.status),
        ("advisory", item.advisory, item.component, item.severity, item.status),
    )
    yield from keys
    if statement is not None:
        yield from (("accepted", *key) for key in keys)
        yield "statement", statement.document, statement.id
        if item.status is VexStatus.AFFECTED:
            yield "until", item.advisory, item.component, item.severity, statement.expires
    elif item.status is VexStatus.AFFECTED:
        yield "remedy", _remedy(item, judged)
    if item.status is VexStatus.AFFECTED:
        mended = "affected", item.component, item.severity, judged.provider, item.linkage, _upgrade(item, judged)
        yield mended
        if statement is not None:
            yield ("accepted", *mended)
    if item.status is VexStatus.AFFECTED and _is_exposed(item, today):
        # What was accepted is exposed all the same.
        yield ("exposed",)
        yield "exposed", item.advisory, item.component, item.severity


def _remedy(item: Judgement, judged: Judged) -> str:
    """Return what to do; the same step in each environment is one remedy."""
    remedy = at_place(item.remedy or "", file=FILE, environment=ENVIRONMENT)
    return f"{judged.within}: {remedy}" if judged.within is not None and remedy else remedy


def _upgrade(item: Judgement, judged: Judged) -> Upgrade:
    """Return what would bring the fix: a system upgrade where a package of the host's own distribution has it."""
    if judged.within is not None:
        return Upgrade.IMAGE
    grounds = judged.grounds
    package = grounds.owner if item.component in _INTERPRETERS else grounds.package
    if package is not None:
        return Upgrade.SYSTEM if package.origin is PackageOrigin.DISTRIBUTION else Upgrade.OWN
    # Where the package database could not be read, the build itself tells whose it is.
    is_own = item.linkage is Linkage.LOCAL or judged.provider != Provider.DISTRO
    return Upgrade.OWN if is_own else Upgrade.SYSTEM


def _held(judged: Judged, today: date) -> Iterator[_Key]:
    """Yield what one install or copy adds to the counts of what there is, whatever affects it."""
    system = judged.grounds.system
    for one in judged.case.support:
        state, until = _last_day(one, today)
        named = None
        if one.distribution_until is not None and system is not None:
            named = " ".join(part for part in (system.id, system.version_id) if part) or None
        yield "support", one.component, one.branch, state, until, named
    if any(_last_day(one, today)[0] is SupportState.ENDED for one in judged.case.support):
        yield ("ended",)
    about = judged.grounds.circumstances
    if about is None or about.is_copy:
        return
    library = about.crypto.library
    yield (
        "install",
        about.implementation.value,
        about.version,
        judged.provider,
        about.provider_build,
        about.crypto.linkage,
        None if library is None else library.family.value,
        None if library is None else library.version,
    )


def _last_day(support: Support, today: date) -> tuple[SupportState, date | None]:
    """Return whether somebody maintains a branch on a day, and until when."""
    until = support.distribution_until
    if until is None:
        return support.state, support.date
    return SupportState.ENDED if until < today else SupportState.SUPPORTED, until


def _affected(findings: Mapping[_Key, int], on_hosts: Mapping[_Key, int]) -> tuple[AffectedCount, ...]:
    """Return affected findings by who can mend them, by component, the highest severity first."""
    keys = sorted(
        (key for key in findings if key[0] == "affected"),
        key=lambda key: (_COMPONENTS.index(key[1]), -key[2].rank, key[3], key[4] or "", key[5]),
    )
    return tuple(
        AffectedCount(
            component=key[1],
            severity=key[2],
            provider=key[3],
            linkage=key[4],
            upgrade=key[5],
            findings=findings[key],
            hosts=on_hosts[key],
            accepted=findings.get(("accepted", *key), 0),
        )
        for key in keys
    )


def _support(findings: Mapping[_Key, int], on_hosts: Mapping[_Key, int]) -> tuple[SupportCount, ...]:
    """Return the branches in use, those whose support ends first at the top, and those of which nobody says last."""
    keys = sorted(
        (key for key in findings if key[0] == "support"),
        key=lambda key: (key[4] is None, key[4] or date.min, _COMPONENTS.index(key[1]), key[2], key[3], key[5] or ""),
    )
    return tuple(
        SupportCount(
            component=key[1],
            branch=key[2],
            state=key[3],
            until=key[4],
            distribution=key[5],
            places=findings[key],
            hosts=on_hosts[key],
        )
        for key in keys
    )


def _installs(findings: Mapping[_Key, int], on_hosts: Mapping[_Key, int]) -> tuple[InstallCount, ...]:
    keys = sorted((key for key in findings if key[0] == "install"), key=lambda key: [part or "" for part in key[1:]])
    return tuple(
        InstallCount(
            implementation=key[1],
            version=key[2],
            provider=key[3],
            provider_build=key[4],
            linkage=key[5],
            crypto_family=key[6],
            crypto_version=key[7],
            installs=findings[key],
            hosts=on_hosts[key],
        )
        for key in keys
    )


def _accepted_risks(
    findings: Mapping[_Key, int], on_hosts: Mapping[_Key, int], fleet: JudgedFleet, question: Question
) -> tuple[AcceptedRisk, ...]:
    """Return every statement that is about what was asked, those that end first at the top."""
    catalogue, accepted = fleet.assessor.catalogue, fleet.accepted
    known = frozenset(one.id for one in catalogue.advisories)
    told = []
    for statement in accepted.acceptances.statements:
        key = "statement", statement.document, statement.id
        number = findings.get(key, 0)
        if not number and not question.is_general:
            continue
        state = statement.state(fleet.assessor.today)
        note = ""
        if state is StatementState.ACTIVE and not number:
            hosts = sum(
                any(
                    scope.hosts.covers(host.host_id, host.name, accepted.labels_of(host.host_id))
                    for scope in statement.scopes
                )
                for host in fleet.hosts
            )
            note = why_unmatched(statement, known, catalogue.snapshot_date, hosts)
        told.append(
            AcceptedRisk(
                statement=statement.id,
                document=statement.document,
                author=statement.author,
                advisories=statement.advisories,
                status=statement.status,
                justification=statement.justification,
                reason=statement.reason,
                scopes=tuple(map(str, statement.scopes)),
                since=statement.since,
                expires=statement.expires,
                state=state,
                findings=number,
                hosts=on_hosts.get(key, 0),
                note=note,
            )
        )
    return tuple(sorted(told, key=lambda one: (one.expires, one.document, one.statement)))


def _counts(findings: Counter[_Key], on_hosts: Mapping[_Key, int]) -> tuple[FindingCount, ...]:
    return tuple(
        FindingCount(component, severity, status, findings[key], on_hosts[key], findings["accepted", *key])
        for component in Component
        for severity in _SEVERITIES
        for status in _STATUSES
        if (key := ("count", component, severity, status)) in findings
    )


def _providers(findings: Counter[_Key], on_hosts: Mapping[_Key, int]) -> tuple[ProviderCount, ...]:
    names = sorted({str(key[1]) for key in findings if key[0] == "provider"})
    return tuple(
        ProviderCount(name, status, findings[key], on_hosts[key], findings["accepted", *key])
        for name in names
        for status in _STATUSES
        if (key := ("provider", name, status)) in findings
    )


def _advisories(
    findings: Mapping[_Key, int], on_hosts: Mapping[_Key, int], catalogue: Catalogue
) -> tuple[AdvisoryPosture, ...]:
    """Return the advisories, the most hosts affected of the highest severity first."""
    published: dict[tuple[str, Component], date] = {
        (one.id, one.component): one.published for one in catalogue.advisories
    }
    named = {key[1:4] for key in findings if key[0] == "advisory"}
    until: dict[_Key, list[date]] = {}
    for key in findings:
        if key[0] == "until":
            until.setdefault(key[1:4], []).append(key[4])
    found = []
    for advisory, component, severity in named:
        keys = {status: ("advisory", advisory, component, severity, status) for status in _STATUSES}
        found.append(
            AdvisoryPosture(
                advisory=advisory,
                component=component,
                severity=severity,
                published=published.get((advisory, component)),
                affected=findings.get(keys[VexStatus.AFFECTED], 0),
                affected_hosts=on_hosts.get(keys[VexStatus.AFFECTED], 0),
                under_investigation=findings.get(keys[VexStatus.UNDER_INVESTIGATION], 0),
                under_investigation_hosts=on_hosts.get(keys[VexStatus.UNDER_INVESTIGATION], 0),
                fixed_hosts=on_hosts.get(keys[VexStatus.FIXED], 0),
                not_affected_hosts=on_hosts.get(keys[VexStatus.NOT_AFFECTED], 0),
                exposed_hosts=on_hosts.get(("exposed", advisory, component, severity), 0),
                accepted=findings.get(("accepted", *keys[VexStatus.AFFECTED]), 0),
                accepted_until=min(until.get((advisory, component, severity), ()), default=None),
            )
        )
    return tuple(sorted(found, key=_advisory_order))


def _advisory_order(one: AdvisoryPosture) -> tuple[object, ...]:
    is_open = one.affected > one.accepted
    return (
        not is_open,
        -one.severity.rank if is_open else 0,
        -one.affected_hosts,
        -one.under_investigation_hosts,
        one.advisory,
        one.component,
    )


def _remedies(
    findings: Mapping[_Key, int],
    on_hosts: Mapping[_Key, int],
    hosts: Iterable[JudgedHost],
    sums: Mapping[_Part, _Sum],
    limit: int,
) -> tuple[RemedyCount, ...]:
    ordered = sorted((key for key in findings if key[0] == "remedy"), key=lambda key: (-findings[key], str(key[1])))
    chosen = ordered[:limit] if limit else ordered
    examples: dict[_Key, list[str]] = {key: [] for key in chosen}
    wanted = set(chosen)
    told: dict[GroupedPattern, frozenset[_Key]] = {}
    for host in hosts:
        if not wanted:
            break
        shape = host.grouped
        if shape is None:
            continue
        if shape not in told:
            told[shape] = frozenset().union(*(sums[part].keys & examples.keys() for part in _parts(shape)))
        for key in told[shape] & wanted:
            examples[key].append(host.name)
            if len(examples[key]) == EXAMPLES:
                wanted.discard(key)
    return tuple(RemedyCount(str(key[1]), findings[key], on_hosts[key], tuple(examples[key])) for key in chosen)


def _staleness(hosts: Iterable[JudgedHost], fleet: JudgedFleet, provider: str) -> tuple[StaleCount, ...]:
    """Return how many installs are how stale, by kind and provider; those of one provider, where one is named."""
    installs: Counter[_Key] = Counter()
    on_hosts: Counter[_Key] = Counter()
    for numbers, times in Counter(host.ages for host in hosts).items():
        found = Counter(
            (one.kind, one.state, one.provider)
            for one in (fleet.ages[number] for number in numbers)
            if provider in {"", one.provider}
        )
        for key, number in found.items():
            installs[key] += number * times
            on_hosts[key] += times
    return tuple(
        StaleCount(
            kind,
            name,
            installs[kind, StalenessState.STALE, name],
            on_hosts[kind, StalenessState.STALE, name],
            installs[kind, StalenessState.UNKNOWN, name],
            on_hosts[kind, StalenessState.UNKNOWN, name],
            installs[kind, StalenessState.CURRENT, name],
        )
        for kind, name in sorted({(kind, name) for kind, _, name in installs}, key=_stale_order)
    )


def _stale_order(key: tuple[StalenessKind, str]) -> tuple[int, str]:
    return list(StalenessKind).index(key[0]), key[1]


def _worst_hosts(
    hosts: Iterable[JudgedHost], sums: Mapping[_Part, _Sum], limit: int
) -> tuple[tuple[HostPosture, ...], int]:
    """Return the hosts with something open, those with most of the highest severity first, and how many there are."""
    # By identity: equal patterns of one fleet are mostly the same object, which is told sooner than a tuple's hash.
    weights: dict[tuple[int, Matched], tuple[tuple[int, ...], int, int]] = {}
    found: list[tuple[tuple[int, ...], str, str, int, int]] = []
    for host in hosts:
        shape = host.grouped
        if shape is None:
            continue
        key = id(host.pattern), host.groups
        told = weights.get(key)
        if told is None:
            affected: Counter[Severity] = Counter()
            for part in _parts(shape):
                affected.update(sums[part].affected)
            unclear = sum(sums[part].unclear for part in _parts(shape))
            exposed = sum(sums[part].exposed for part in _parts(shape))
            weight = (*(affected[severity] for severity in _SEVERITIES), unclear)
            told = weights[key] = weight, exposed, sum(sums[part].accepted for part in _parts(shape))
        if any(told[0]):
            found.append((told[0], host.name, host.host_id, *told[1:]))
    # Hosts come sorted by name, and sorting keeps that among those with the same weight.
    found.sort(key=lambda one: one[0], reverse=True)
    chosen = found[:limit] if limit else found
    return (
        tuple(
            HostPosture(
                host_id,
                name,
                tuple((severity, number) for severity, number in zip(_SEVERITIES, weight, strict=False) if number),
                weight[-1],
                exposed,
                accepted,
            )
            for weight, name, host_id, exposed, accepted in chosen
        ),
        len(found),
    )
