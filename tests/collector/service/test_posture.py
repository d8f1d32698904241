"""What operators ask about the fleet's findings, against counting host by host, and the bridge to the wire."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.collector.acceptance.fleet import FleetAcceptances
from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.metrics.exporter import FleetExporter
from libcensus.collector.posture.acceptance import (
    Acceptances,
    HostScope,
    PlaceScope,
    Scope,
    Statement,
    StatementState,
)
from libcensus.collector.posture.assessment import Assessor
from libcensus.collector.posture.finding import (
    Component,
    Severity,
    Subject,
    SubjectKind,
    SupportState,
    Upgrade,
    VexStatus,
)
from libcensus.collector.posture.selector import Selector
from libcensus.collector.posture.staleness import StaleInstall, Staleness, StalenessKind, StalenessState
from libcensus.collector.postureindex import PostureIndexes
from libcensus.collector.service import posture_codec as codec
from libcensus.collector.service.errors import HostNotFoundError, InvalidFieldError, OverdueError
from libcensus.collector.service.fleet import FleetReader
from libcensus.collector.service.posture import PostureReader, Question
from libcensus.collector.simulation.fill import Simulation
from libcensus.collector.store.sql import SqlStore
from libcensus.facts.validation import InvalidFactError
from libcensus.facts.vocabulary import Linkage
from libcensus.v1 import fleet_pb2
from tests.collector.metrics import fleet
from tests.collector.service.running import client_of, running_collector, status_of
from tests.protos import strategies as facts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from libcensus.collector.posture.finding import Finding

HOSTS = 80
AFFECTED, UNCLEAR = VexStatus.AFFECTED, VexStatus.UNDER_INVESTIGATION


class Simulated:
    """A simulated fleet, its reader, and every finding of every host as ``show`` tells them."""

    def __init__(self, store: SqlStore, assessor: Assessor) -> None:
        self.store, self.assessor = store, assessor
        self.reader = PostureReader(PostureIndexes(store, lambda: assessor))
        shower = FleetReader(store, lambda: assessor)
        self.findings: dict[str, list[tuple[str, Finding]]] = {}
        self.ages: dict[str, tuple[StaleInstall, ...]] = {}
        self.staleness: dict[str, tuple[Staleness, ...]] = {}
        self.remedies: dict[tuple[str, Subject, str], str] = {}
        for stamp in store.host_stamps():
            detail = shower.show_host(stamp.name)
            self.staleness[stamp.name] = detail.staleness
            state = store.find_host(stamp.name)
            assert state is not None
            assessment = assessor.assess(
                detail.host,
                detail.platform,
                detail.installs,
                detail.builds,
                platform_digest=state.platform,
                crypto_copies=detail.crypto_copies,
                roots=detail.roots,
                changelogs=detail.changelogs,
                tools=detail.tools,
            )
            self.ages[stamp.name] = assessment.stale_installs
            providers = {item.subject: item.provider for item in assessment.subjects}
            environments = {
                Subject(SubjectKind.CRYPTO_COPY, copy.root, copy.path): copy.environment
                for copy in detail.crypto_copies.copies
            }
            for one in detail.findings:
                environment = environments.get(one.subject)
                general = (one.remedy or "").replace(environment or "\0", "ENVIRONMENT")
                self.remedies[stamp.name, one.subject, one.advisory] = general
            self.findings[stamp.name] = [(str(providers[one.subject]), one) for one in detail.findings]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    """A simulated fleet."""
    simulation = Simulation(load_snapshot(), 3, HOSTS)
    with SqlStore.open(f"sqlite:///{tmp_path_factory.mktemp('posture') / 'fleet.db'}") as store:
        simulation.fill(store)
        yield Simulated(store, Assessor(load_snapshot(), simulation.as_of))


def is_exposed(finding: Finding) -> bool:
    """Tell whether a fix could have been applied; simulated hosts report when all of the snapshot is published."""
    return finding.status is AFFECTED and finding.clocks is not None and finding.clocks.since is not None


QUESTIONS = {
    "everything": Question(),
    "one advisory": Question(advisory="CVE-2025-15467"),
    "one provider": Question(provider="pbs"),
    "one component": Question(component="glibc"),
    "both": Question(provider="distro", component="openssl"),
}


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_every_figure_is_that_of_counting_host_by_host(simulated: Simulated, question: Question) -> None:
    told = simulated.reader.posture(question)
    chosen = {
        name: [
            (provider, one)
            for provider, one in own
            if question.provider in {"", provider}
            and question.advisory in {"", one.advisory}
            and question.component in {"", one.component}
        ]
        for name, own in simulated.findings.items()
    }
    assert told.hosts == HOSTS
    assert told.exposed_hosts == sum(any(is_exposed(one) for _, one in own) for own in chosen.values())
    assert told.exposed_hosts or question.component == "glibc"
    assert told.affected_hosts == sum(any(one.status is AFFECTED for _, one in own) for own in chosen.values())
    assert told.under_investigation_hosts == sum(
        any(one.status is UNCLEAR for _, one in own) for own in chosen.values()
    )
    counts: Counter[Any] = Counter()
    on_hosts: Counter[Any] = Counter()
    for name, own in chosen.items():
        keys = [
            key
            for provider, one in own
            for key in (
                ("count", one.component, one.severity, one.status),
                ("provider", provider, one.status),
                ("advisory", one.advisory, one.status),
                *([("remedy", simulated.remedies[name, one.subject, one.advisory])] if one.status is AFFECTED else []),
                *([("exposed", one.advisory), ("exposed",)] if is_exposed(one) else []),
            )
        ]
        counts.update(keys)
        on_hosts.update(set(keys))
    assert {("count", one.component, one.severity, one.status): (one.findings, one.hosts) for one in told.counts} == {
        key: (counts[key], on_hosts[key]) for key in counts if key[0] == "count"
    }
    assert {("provider", one.provider, one.status): (one.findings, one.hosts) for one in told.providers} == {
        key: (counts[key], on_hosts[key]) for key in counts if key[0] == "provider"
    }
    assert {("remedy", one.remedy): (one.findings, one.hosts) for one in told.remedies} == {
        key: (counts[key], on_hosts[key]) for key in counts if key[0] == "remedy"
    }
    assert told.remedies_total == len(told.remedies)
    for one in told.advisories:
        found = {status: ("advisory", one.advisory, status) for status in VexStatus}
        assert (one.affected, one.affected_hosts) == (counts[found[AFFECTED]], on_hosts[found[AFFECTED]])
        assert (one.under_investigation, one.under_investigation_hosts) == (
            counts[found[UNCLEAR]],
            on_hosts[found[UNCLEAR]],
        )
        assert one.fixed_hosts == on_hosts[found[VexStatus.FIXED]]
        assert one.not_affected_hosts == on_hosts[found[VexStatus.NOT_AFFECTED]]
        assert one.exposed_hosts == on_hosts["exposed", one.advisory]
        assert one.published is not None
    assert {one.advisory for one in told.advisories} == {key[1] for key in counts if key[0] == "advisory"}
    worst = {one.name: one for one in told.worst_hosts}
    assert worst.keys() == {
        name for name, own in chosen.items() if any(one.status in {AFFECTED, UNCLEAR} for _, one in own)
    }
    for name, host in worst.items():
        severities = Counter(found.severity for _, found in chosen[name] if found.status is AFFECTED)
        assert dict(host.affected) == severities
        assert host.total == severities.total()
        assert host.exposed == sum(is_exposed(found) for _, found in chosen[name])
        assert host.under_investigation == sum(found.status is UNCLEAR for _, found in chosen[name])


def upgrade_of(provider: str, finding: Finding) -> Upgrade:
    """Return who brings the fix, by the rule of the dashboards (prometheus/rules/libcensus-dashboards.yml)."""
    if finding.subject.root != "/":
        return Upgrade.IMAGE
    is_system = provider == "distro" or finding.linkage is Linkage.SYSTEM
    return Upgrade.SYSTEM if is_system else Upgrade.OWN


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_who_can_mend_what_is_affected_is_counted(simulated: Simulated, question: Question) -> None:
    counted: Counter[Any] = Counter()
    on_hosts: Counter[Any] = Counter()
    for own in simulated.findings.values():
        keys = [
            (one.component, one.severity, provider, one.linkage, upgrade_of(provider, one))
            for provider, one in own
            if one.status is AFFECTED
            and question.provider in {"", provider}
            and question.advisory in {"", one.advisory}
            and question.component in {"", one.component}
        ]
        counted.update(keys)
        on_hosts.update(set(keys))
    told = simulated.reader.posture(question).affected
    assert {
        (one.component, one.severity, one.provider, one.linkage, one.upgrade): (one.findings, one.hosts) for one in told
    } == {key: (counted[key], on_hosts[key]) for key in counted}
    assert {one.upgrade for one in told} == set(Upgrade) or question != Question()


def test_what_there_is_is_counted_as_the_simulator_made_it(simulated: Simulated) -> None:
    truth = Simulation(load_snapshot(), 3, HOSTS).truth()
    told = simulated.reader.posture(Question())
    versions: Counter[tuple[str, str, str]] = Counter()
    crypto: Counter[tuple[str, str, str]] = Counter()
    for one in told.installs:
        versions[one.implementation, one.version or "unknown", one.provider] += one.installs
        crypto[one.crypto_family or "", one.crypto_version or "", one.linkage] += one.installs
    wanted: Counter[tuple[str, str, str]] = Counter()
    for (implementation, version, provider, _), number in truth.installs.items():
        wanted[implementation, version, provider] += number
    assert versions == wanted
    assert sum(versions.values()) == sum(crypto.values())
    assert crypto["openssl", "3.5.4", "static"]
    assert all(0 < one.hosts <= one.installs for one in told.installs)


def test_the_end_of_support_is_counted_as_the_hosts_tell_it(simulated: Simulated) -> None:
    shower = FleetReader(simulated.store, lambda: simulated.assessor)
    today = simulated.assessor.today
    places: Counter[Any] = Counter()
    on_hosts: Counter[Any] = Counter()
    ended: Counter[str] = Counter()
    for name in simulated.findings:
        own = shower.show_host(name).end_of_life
        keys = [(one.component, one.branch, one.distribution_until or one.date) for one in own]
        places.update(keys)
        on_hosts.update(set(keys))
        ended[name] = len(
            {
                one.subject
                for one in own
                if (
                    one.state is SupportState.ENDED
                    if one.distribution_until is None
                    else one.distribution_until < today
                )
            }
        )
    told = simulated.reader.posture(Question())
    assert {
        key: (sum(one.places for one in told.support if (one.component, one.branch, one.until) == key))
        for key in places
    } == places
    assert all(on_hosts[one.component, one.branch, one.until] >= one.hosts > 0 for one in told.support)
    assert told.ended_places == ended.total()
    assert told.ended_hosts == sum(number > 0 for number in ended.values())
    days = [one.until for one in told.support if one.until is not None]
    assert days == sorted(days)
    assert {one.state for one in told.support} >= {SupportState.ENDED, SupportState.SUPPORTED}


def test_what_there_is_is_not_told_of_one_advisory(simulated: Simulated) -> None:
    told = simulated.reader.posture(Question(advisory="CVE-2025-15467"))
    assert (told.support, told.installs, told.ended_places, told.ended_hosts) == ((), (), 0, 0)


@pytest.mark.parametrize("provider", ["", "pbs", "distro"])
def test_what_is_stale_is_counted_as_the_hosts_tell_it(simulated: Simulated, provider: str) -> None:
    counted: Counter[Any] = Counter()
    on_hosts: Counter[Any] = Counter()
    for own in simulated.ages.values():
        keys = [(one.kind, one.state, one.provider) for one in own if provider in {"", one.provider}]
        counted.update(keys)
        on_hosts.update(set(keys))
    wanted = {key: (counted[key], on_hosts[key]) for key in counted if key[1] is not StalenessState.CURRENT}
    told = simulated.reader.posture(Question(provider=provider)).staleness
    assert {
        (one.kind, state, one.provider): numbers
        for one in told
        for state, numbers in (
            (StalenessState.STALE, (one.stale, one.stale_hosts)),
            (StalenessState.UNKNOWN, (one.unknown, one.unknown_hosts)),
        )
        if numbers[0]
    } == wanted
    assert len({key[0] for key in wanted}) > (provider == "")
    assert sum(one.current for one in told) > 0
    assert [one.kind for one in told] == sorted((one.kind for one in told), key=list(StalenessKind).index)


def test_what_a_host_tells_to_be_stale_is_counted(simulated: Simulated) -> None:
    for name, own in simulated.staleness.items():
        # What runs is no fact of a host's inventory, and counted by itself.
        told = {
            (one.kind, subject)
            for one in own
            if one.state is StalenessState.STALE and one.kind is not StalenessKind.PROCESSES_ON_OLD_FILES
            for subject in one.concerns
            if subject.kind is SubjectKind.INSTALL
        }
        counted = [(one.kind, one.subject) for one in simulated.ages[name] if one.state is StalenessState.STALE]
        assert len(counted) == len(set(counted))
        assert set(counted) == told


def test_nothing_is_stale_by_one_advisory_or_component(simulated: Simulated) -> None:
    assert simulated.reader.posture(Question(advisory="CVE-2025-15467")).staleness == ()
    assert simulated.reader.posture(Question(component="openssl")).staleness == ()


def test_the_first_ones_are_the_worst_and_the_others_are_counted(simulated: Simulated) -> None:
    whole, part = simulated.reader.posture(Question()), simulated.reader.posture(Question(limit=3))
    assert part.worst_hosts == whole.worst_hosts[:3]
    assert part.remedies == whole.remedies[:3]
    assert (part.open_hosts, part.remedies_total) == (len(whole.worst_hosts), len(whole.remedies))
    order = sorted(Severity, key=lambda one: -one.rank)
    weights = [tuple(dict(one.affected).get(severity, 0) for severity in order) for one in whole.worst_hosts]
    assert weights == sorted(weights, reverse=True)
    for one in whole.remedies:
        assert 0 < len(one.examples) <= 5
        assert list(one.examples) == sorted(one.examples)
        assert len(one.examples) == min(one.hosts, 5)


def test_one_host_is_told_by_name_and_by_id(simulated: Simulated) -> None:
    name = next(name for name, own in simulated.findings.items() if own)
    told = simulated.reader.posture(Question(host=name))
    assert told.hosts == 1
    assert sum(one.findings for one in told.counts) == len(simulated.findings[name])
    (host,) = told.worst_hosts
    assert simulated.reader.posture(Question(host=host.host_id)) == told


def test_many_hosts_have_one_remedy_for_each_environment_and_one_host_has_its_folders(simulated: Simulated) -> None:
    general = [one for one in simulated.reader.posture(Question()).remedies if "ENVIRONMENT" in one.remedy]
    assert general
    own = simulated.reader.posture(Question(host=general[0].examples[0])).remedies
    assert not any("ENVIRONMENT" in one.remedy for one in own)
    begin, _, end = general[0].remedy.partition("ENVIRONMENT")
    assert any(one.remedy.startswith(begin) and one.remedy.endswith(end.rpartition("ENVIRONMENT")[2]) for one in own)


@pytest.mark.parametrize(
    ("question", "error", "words"),
    [
        (Question(host="nobody"), HostNotFoundError, "no host has the name or id 'nobody'"),
        (Question(advisory="CVE-1999-1"), InvalidFieldError, "'CVE-1999-1' is not among the"),
        (Question(provider="uvv"), InvalidFieldError, "'uvv' is none of"),
        (Question(component="sslopen"), InvalidFieldError, "'sslopen' is none of openssl, cpython"),
    ],
)
def test_what_nothing_can_be_of_is_refused(
    simulated: Simulated, question: Question, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        simulated.reader.posture(question)


def accepted_risks(store: SqlStore, assessor: Assessor) -> FleetAcceptances:
    """Return statements of every kind of scope, and labels: every third host is of production."""
    stamps = store.host_stamps()
    labels = {stamp.host_id: {"env": "prod"} for stamp in stamps[::3]}
    # Builds and paths of things that are really affected, each with another advisory than the others.
    shower = FleetReader(store, lambda: assessor)
    built: dict[str, str] = {}
    paths: dict[str, tuple[str, str]] = {}
    taken = {"CVE-2025-15467", "CVE-2025-15468", "CVE-2025-69418"}
    for stamp in stamps[::3]:
        detail = shower.show_host(stamp.host_id)
        builds = {(one.root, one.path): one.build for one in detail.installs.installs if one.build is not None}
        for one in detail.findings:
            place = one.subject.root, one.subject.path
            if one.status is AFFECTED and place in builds and one.advisory not in taken:
                taken.add(one.advisory)
                if len(built) <= len(paths):
                    built[one.advisory] = builds[place]
                else:
                    paths[one.advisory] = place
    (of_build, build), (of_both, other), *_ = built.items()
    of_path, (root, path) = next(iter(paths.items()))
    scopes = {
        "CVE-2025-15467": (Scope(HostScope()),),
        "CVE-2025-15468": (Scope(HostScope(selector=Selector.parse("env=prod"))), Scope(HostScope(stamps[1].name))),
        of_build: (Scope(HostScope(), PlaceScope(build=build)),),
        of_both: (Scope(HostScope(selector=Selector.parse("env=prod")), PlaceScope(build=other)),),
        of_path: (Scope(HostScope(), PlaceScope(root=root, path=path)),),
        "CVE-2025-69418": (Scope(HostScope("nobody")),),
    }
    statements = tuple(
        Statement(
            id=f"https://example.com/vex#{number}",
            document="https://example.com/vex",
            author="platform",
            advisories=(advisory,),
            status=VexStatus.NOT_AFFECTED,
            justification=None,
            reason="tested",
            scopes=of,
            since=assessor.today,
            expires=assessor.today + timedelta(days=number),
        )
        for number, (advisory, of) in enumerate(scopes.items())
    )
    return FleetAcceptances(Acceptances(statements, assessor.today), labels)


def test_what_is_accepted_is_counted_as_host_by_host(simulated: Simulated) -> None:
    store, assessor = simulated.store, simulated.assessor
    accepted = accepted_risks(store, assessor)
    shower = FleetReader(store, lambda: assessor, lambda: accepted)
    shown = {stamp.name: shower.show_host(stamp.name) for stamp in store.host_stamps()}
    reader = PostureReader(PostureIndexes(store, lambda: assessor, lambda _: accepted))
    told = reader.posture(Question())
    statements: Counter[str] = Counter()
    counts: Counter[Any] = Counter()
    for detail in shown.values():
        covered = [one for one in detail.findings if one.accepted is not None]
        statements.update(one.accepted.statement for one in covered if one.accepted is not None)
        counts.update((one.component, one.severity, one.status) for one in covered)
        affected = sum(one.status is AFFECTED for one in covered)
        assert detail.summary.accepted == affected
        assert [one.accepted for one in told.worst_hosts if one.name == detail.summary.name] in ([affected], [])
    # Every kind of scope covers something but for the host that there is not.
    assert len(statements) == 5
    assert {one.statement: one.findings for one in told.accepted_risks if one.findings} == statements
    assert {(one.component, one.severity, one.status): one.accepted for one in told.counts if one.accepted} == counts
    assert told.accepted == sum(number for key, number in counts.items() if key[2] is AFFECTED)
    assert sum(one.accepted for one in told.providers) == sum(counts.values())
    notes = {one.advisories[0]: one.note for one in told.accepted_risks if one.note}
    assert notes["CVE-2025-69418"] == "matches nothing: no host has reported that is of host nobody"
    page = FleetExporter(store, lambda: assessor, "host", 10**9, accepted_for=lambda: accepted).render()[1].decode()
    exported = [line for line in page.splitlines() if line.startswith("libcensus_findings_accepted{")]
    assert sum(float(line.rpartition(" ")[2]) for line in exported) == told.accepted
    # A page of hosts counts the same.
    page_of_hosts = shower.list_hosts(1000, "", "env=prod").hosts
    assert {one.name for one in page_of_hosts} == {name for name, one in shown.items() if one.summary.labels}
    assert all(one.accepted == shown[one.name].summary.accepted for one in page_of_hosts)


def test_acceptances_that_change_are_taken_up(simulated: Simulated) -> None:
    store, assessor = simulated.store, simulated.assessor
    nothing = FleetAcceptances(Acceptances((), assessor.today), {})
    held = [nothing]
    reader = PostureReader(PostureIndexes(store, lambda: assessor, lambda _: held[-1]))
    exporter = FleetExporter(store, lambda: assessor, "fleet", 10**9, accepted_for=lambda: held[-1])
    before, page = reader.posture(Question()), exporter.render()
    held.append(accepted_risks(store, assessor))
    changed = reader.posture(Question())
    assert changed.accepted > 0
    assert exporter.render() != page
    # Labels alone, too.
    held.append(FleetAcceptances(held[-1].acceptances, {}))
    assert 0 < reader.posture(Question()).accepted < changed.accepted
    held.append(nothing)
    assert reader.posture(Question()) == before
    assert exporter.render() == page


def test_hosts_that_change_leave_or_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with SqlStore.open(f"sqlite:///{tmp_path / 'census.db'}") as store:
        days = [fleet.assessor()]
        indexes = PostureIndexes(store, lambda: days[-1])
        reader = PostureReader(indexes)
        assert reader.posture(Question()).hosts == 0
        for name in ("web-1", "web-2"):
            fleet.report(store, fleet.Machine(name))
        both = reader.posture(Question())
        assert (both.hosts, both.affected_hosts) == (2, 2)
        assert {one.hosts for one in both.counts} == {2}
        found = indexes.present.fleet()
        assert found is not None
        # Two hosts with equal facts are judged once.
        assert len({host.pattern for host in found.hosts}) == 1
        fleet.report(store, fleet.Machine("web-2", builds=(), installs=()), at=fleet.NOON + timedelta(hours=1))
        assert reader.posture(Question()).affected_hosts == 1
        days.append(fleet.assessor(snapshot_date=date(2026, 11, 20)))
        assert reader.posture(Question()).advisories_day == date(2026, 11, 20)
        stamps = store.host_stamps()
        with monkeypatch.context() as patched:
            patched.setattr(store, "facts", lambda _: {})
            unread = PostureReader(PostureIndexes(store, lambda: days[-1])).posture(Question())
            assert (unread.hosts, unread.unreadable_hosts, unread.counts) == (2, 2, ())
            # Another catalogue changes verdicts, and what is known of the hosts stays.
            days.append(fleet.assessor())
            assert (reader.posture(Question()).hosts, reader.posture(Question()).unreadable_hosts) == (2, 0)
        days.append(fleet.assessor())
        monkeypatch.setattr(store, "host_stamps", lambda: [one for one in stamps if one.name != "web-1"])
        assert (reader.posture(Question()).hosts, reader.posture(Question()).affected_hosts) == (1, 0)


def test_who_hung_up_is_not_answered_and_the_next_one_is(tmp_path: Path) -> None:
    with SqlStore.open(f"sqlite:///{tmp_path / 'census.db'}") as store:
        fleet.report(store, fleet.Machine("web-1"))
        assessor = fleet.assessor()
        reader = PostureReader(PostureIndexes(store, lambda: assessor))
        with pytest.raises(OverdueError):
            reader.posture(Question(), lambda: False)
        assert reader.posture(Question()).hosts == 1


def test_over_the_wire(tmp_path: Path) -> None:
    with SqlStore.open(f"sqlite:///{tmp_path / 'census.db'}") as store:
        fleet.report(store, fleet.full_machine())
        with running_collector(tmp_path, store) as running, client_of(running) as client:
            told = codec.posture_from_proto(client.fleet.GetPosture(fleet_pb2.GetPostureRequest(limit=1)))
            assert told.hosts == 1
            assert told.affected_hosts == 1
            assert len(told.remedies) == 1 < told.remedies_total
            with pytest.raises(grpc.RpcError) as refused:
                client.fleet.GetPosture(fleet_pb2.GetPostureRequest(host="x"))
            assert status_of(refused.value)[0] is grpc.StatusCode.NOT_FOUND
            with pytest.raises(grpc.RpcError) as refused:
                client.fleet.GetPosture(fleet_pb2.GetPostureRequest(advisory="CVE-1-1"))
            code, words = status_of(refused.value)
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert words.startswith("advisory: ")


counts = st.integers(0, 2**32 - 1)
many = st.integers(0, 2**64 - 1)
days = st.dates(date(1990, 1, 1), date(2100, 1, 1))
components, severities, statuses = (st.sampled_from(one) for one in (Component, Severity, VexStatus))


def several(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return tuples of up to three."""
    return st.lists(strategy, max_size=3).map(tuple)


answers = st.builds(
    codec.PostureAnswer,
    hosts=counts,
    affected_hosts=counts,
    under_investigation_hosts=counts,
    unreadable_hosts=counts,
    counts=several(st.builds(codec.FindingCount, components, severities, statuses, many, counts, many)),
    providers=several(st.builds(codec.ProviderCount, facts.words, statuses, many, counts, many)),
    advisories=several(
        st.builds(
            codec.AdvisoryPosture,
            facts.words, components, severities, facts.maybe(days), many, counts, many, counts, counts, counts, counts,
            many, facts.maybe(days),
        )
    ),
    remedies=several(st.builds(codec.RemedyCount, facts.texts, many, counts, several(facts.texts))),
    remedies_total=counts,
    worst_hosts=several(
        st.builds(codec.HostPosture, facts.words, facts.texts, several(st.tuples(severities, many)), many, many, many)
    ),
    open_hosts=counts,
    day=days,
    advisories_day=days,
    exposed_hosts=counts,
    staleness=several(
        st.builds(codec.StaleCount, st.sampled_from(StalenessKind), facts.words, many, counts, many, counts, many)
    ),
    accepted=many,
    accepted_hosts=counts,
    accepted_risks=several(
        st.builds(
            codec.AcceptedRisk,
            facts.texts, facts.texts, facts.texts, several(facts.words), statuses, facts.maybe(facts.words),
            facts.texts, several(facts.texts), days, days, st.sampled_from(StatementState), many, counts, facts.texts,
        )
    ),
    unknown_keys=several(facts.words),
    affected=several(
        st.builds(
            codec.AffectedCount, components, severities, facts.words, facts.maybe(st.sampled_from(Linkage)),
            st.sampled_from(Upgrade), many, counts, many,
        )
    ),
    support=several(
        st.builds(
            codec.SupportCount, components, facts.words, st.sampled_from(SupportState), facts.maybe(days),
            facts.maybe(facts.words), many, counts,
        )
    ),
    installs=several(
        st.builds(
            codec.InstallCount, facts.words, facts.maybe(facts.words), facts.words, facts.maybe(facts.words),
            st.sampled_from(Linkage), facts.maybe(facts.words), facts.maybe(facts.words), many, counts,
        )
    ),
    ended_places=many,
    ended_hosts=counts,
)  # fmt: skip


@given(answers)
def test_what_is_encoded_is_decoded(answer: codec.PostureAnswer) -> None:
    message = fleet_pb2.GetPostureResponse.FromString(codec.posture_to_proto(answer).SerializeToString())
    assert codec.posture_from_proto(message) == answer


def test_words_of_a_newer_collector() -> None:
    message = codec.posture_to_proto(
        codec.PostureAnswer(1, 1, 0, 0, (), (), (), (), 0, (), 0, date(2026, 1, 1), date(2026, 1, 1))
    )
    message.counts.add(component="openssl", severity="dire", status="affected", findings=1, hosts=1)
    assert codec.posture_from_proto(message).counts[0].severity is Severity.UNKNOWN
    message.counts[0].status = "ignored"
    with pytest.raises(InvalidFactError, match=r"counts\.status"):
        codec.posture_from_proto(message)
    message.counts[0].status = "affected"
    message.day = "soon"
    with pytest.raises(InvalidFactError, match="day"):
        codec.posture_from_proto(message)
