"""FleetService over real gRPC, and the bridge between what it says and the wire."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from libcensus.collector.posture.verdict import PortabilityState, Reason, ReasonKind, Verdict
from libcensus.collector.service.fleet_codec import (
    HostDetail,
    HostPage,
    HostSummary,
    LabelledHost,
    ToldVerdict,
    detail_from_proto,
    detail_to_proto,
    end_of_life_from_proto,
    end_of_life_to_proto,
    finding_from_proto,
    finding_to_proto,
    labelled_from_proto,
    labelled_to_proto,
    page_from_proto,
    page_to_proto,
    tell_verdict,
)
from libcensus.facts.report import AgentState
from libcensus.facts.validation import InvalidFactError
from libcensus.facts.vocabulary import Linkage
from libcensus.v1 import fleet_pb2
from tests.collector.service.running import Client, client_of, running_collector, status_of
from tests.contract.specimens import Census, build
from tests.protos import strategies as facts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# --- over the wire ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, dict[str, str]]]:
    """A collector that knows seven hosts, two of them with one name; host ids by display name."""
    old = build("fleet", "3.12.4")
    with running_collector(tmp_path_factory.mktemp("fleet")) as collector, client_of(collector) as client:
        for number, name in enumerate(["web-b", "web-a", "Zürich", "db", "web-a", "c", "web-10"]):
            host_id = f"{number:032x}"
            client.take_census(Census.of(name, f"fleet-{number}", ("/opt/python/bin/python3.12", old)), host_id)
        listed = page_from_proto(client.fleet.ListHosts(fleet_pb2.ListHostsRequest()))
        yield client, {host.name: host.host_id for host in listed.hosts}


def test_hosts_are_listed_by_name_and_names_are_unique(fleet: tuple[Client, dict[str, str]]) -> None:
    names = list(fleet[1])
    assert names == sorted(names)
    assert len(set(names)) == len(names) == 7
    assert sum(name.startswith("web-a") for name in names) == 2


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 8, 1000, 4_000_000_000])
def test_pages_together_are_the_list_whatever_their_size(fleet: tuple[Client, dict[str, str]], size: int) -> None:
    client, names = fleet
    found: list[str] = []
    token = ""
    pages = 0
    while pages == 0 or token:
        page = page_from_proto(client.fleet.ListHosts(fleet_pb2.ListHostsRequest(page_size=size, page_token=token)))
        found.extend(host.name for host in page.hosts)
        token = page.next_page_token
        pages += 1
    assert found == list(names)
    assert pages == max(1, -(-7 // size))


@pytest.mark.parametrize("token", ["x", "!!!!", "////", "AP8="], ids=["short", "no base64", "no text", "not UTF-8"])
def test_a_page_token_that_was_never_given_out_is_refused(fleet: tuple[Client, dict[str, str]], token: str) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        fleet[0].fleet.ListHosts(fleet_pb2.ListHostsRequest(page_token=token))
    code, details = status_of(refused.value)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details.startswith("page_token: ")


def test_a_summary_counts_what_the_details_say(fleet: tuple[Client, dict[str, str]]) -> None:
    client, _ = fleet
    page = page_from_proto(client.fleet.ListHosts(fleet_pb2.ListHostsRequest()))
    for summary in page.hosts:
        detail = detail_from_proto(client.fleet.GetHost(fleet_pb2.GetHostRequest(host=summary.name)))
        assert detail.summary == summary
        affected = [one for one in detail.findings if one.status is VexStatus.AFFECTED]
        assert summary.affected == len(affected) > 0
        assert summary.worst_severity is max((one.severity for one in affected), key=lambda severity: severity.rank)
        assert (summary.installs, summary.failed_probes) == (1, 0)
        assert (summary.os_id, summary.os_version, summary.arch) == ("debian", "12", "x86_64")
        assert (summary.libc_family, summary.libc_version) == ("glibc", "2.36")
        assert summary.agent_version == "0.1.0"


def test_a_host_is_found_by_name_and_by_id_with_everything_that_is_known(fleet: tuple[Client, dict[str, str]]) -> None:
    client, names = fleet
    by_name = detail_from_proto(client.fleet.GetHost(fleet_pb2.GetHostRequest(host="Zürich")))
    by_id = detail_from_proto(client.fleet.GetHost(fleet_pb2.GetHostRequest(host=names["Zürich"])))
    assert by_name == by_id
    assert by_name.host.hostname == "Zürich"
    assert [one.path for one in by_name.installs.installs] == ["/opt/python/bin/python3.12"]
    assert by_name.verdicts.keys() == {("/", digest) for digest in by_name.builds}
    assert {verdict.state for verdict in by_name.verdicts.values()} == {PortabilityState.RUNS}
    assert {one.component for one in by_name.end_of_life} >= {Component.CPYTHON, Component.OPENSSL}
    assert [probe.name for probe in by_name.probes] == ["crypto", "processes"]
    assert by_name.scan_seconds == 1.5


@pytest.mark.parametrize(
    ("host", "code"),
    [
        pytest.param("nobody", grpc.StatusCode.NOT_FOUND, id="unknown name"),
        pytest.param("f" * 32, grpc.StatusCode.NOT_FOUND, id="unknown id"),
        pytest.param("", grpc.StatusCode.INVALID_ARGUMENT, id="empty"),
        pytest.param("x" * 100_000, grpc.StatusCode.NOT_FOUND, id="absurd"),
    ],
)
def test_a_host_that_is_not_there_is_told_so(
    fleet: tuple[Client, dict[str, str]], host: str, code: grpc.StatusCode
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        fleet[0].fleet.GetHost(fleet_pb2.GetHostRequest(host=host))
    assert status_of(refused.value)[0] is code


@pytest.mark.parametrize("method", ["ListHosts", "GetHost"])
def test_malformed_questions_are_refused(fleet: tuple[Client, dict[str, str]], method: str) -> None:
    call: Any = fleet[0].channel.unary_unary
    with pytest.raises(grpc.RpcError) as refused:
        call(f"/libcensus.v1.FleetService/{method}")(b"\xff", timeout=30)
    assert status_of(refused.value) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        f"request: is no libcensus.v1.{method}Request message",
    )


def test_an_empty_fleet_is_an_empty_list(tmp_path: Path) -> None:
    with running_collector(tmp_path) as collector, client_of(collector) as client:
        page = page_from_proto(client.fleet.ListHosts(fleet_pb2.ListHostsRequest()))
    assert page == HostPage(())


def test_a_new_report_changes_the_summary_at_once(tmp_path: Path) -> None:
    host_id = uuid.uuid4().hex
    with running_collector(tmp_path) as collector, client_of(collector) as client:
        for count in (1, 2):
            installs = [(f"/opt/{number}/python3", build("changing")) for number in range(count)]
            client.take_census(Census.of("changing", f"changing-{count}", *installs), host_id)
            page = page_from_proto(client.fleet.ListHosts(fleet_pb2.ListHostsRequest()))
            assert [host.installs for host in page.hosts] == [count]


# --- the bridge -------------------------------------------------------------------------------------------------

subjects = st.builds(Subject, st.sampled_from(SubjectKind), facts.absolute_paths, facts.absolute_paths)
days = st.dates(min_value=date(1, 1, 1), max_value=date(9999, 12, 30))


@st.composite
def clocked(draw: st.DrawFn) -> Finding:
    """Return a finding whose clocks tell the day of its fix."""
    finding = draw(findings)
    published, released, installable = draw(days), draw(facts.maybe(days)), draw(facts.maybe(days))
    return replace(finding, clocks=Clocks(published, released, finding.fix_available, installable))


findings = st.builds(
    Finding,
    subject=subjects,
    component=st.sampled_from(Component),
    linkage=facts.maybe(st.sampled_from(Linkage)),
    advisory=facts.words,
    severity=st.sampled_from(Severity),
    status=st.sampled_from(VexStatus),
    fixed_in=facts.maybe(facts.words),
    fix_available=facts.maybe(days),
    remedy=facts.maybe(facts.texts),
    evidence=facts.evidence_sets,
    clocks=st.none(),
    reach=facts.maybe(st.sampled_from(Reach)),
    accepted=facts.maybe(
        st.builds(
            Acceptance,
            statement=facts.texts,
            document=facts.texts,
            author=facts.texts,
            status=st.sampled_from(VexStatus),
            justification=facts.maybe(facts.words),
            reason=facts.texts,
            expires=days,
        )
    ),
)
ends_of_life = st.builds(
    EndOfLife,
    subject=subjects,
    component=st.sampled_from(Component),
    branch=facts.words,
    state=st.sampled_from(SupportState),
    date=facts.maybe(days),
    evidence=facts.evidence_sets,
    distribution_until=facts.maybe(days),
)
moments = st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
counts = st.integers(0, 2**32 - 1)
summaries = st.builds(
    HostSummary,
    host_id=facts.words,
    name=facts.texts,
    first_report=moments,
    last_report=moments,
    agent_version=facts.words,
    os_id=facts.maybe(facts.words),
    os_version=facts.maybe(facts.words),
    arch=facts.maybe(facts.words),
    libc_family=facts.maybe(facts.words),
    libc_version=facts.maybe(facts.words),
    installs=counts,
    affected=counts,
    under_investigation=counts,
    worst_severity=facts.maybe(st.sampled_from(Severity)),
    failed_probes=counts,
    outdated_processes=facts.maybe(counts),
    labels=st.dictionaries(facts.words, facts.words, max_size=3),
    accepted=counts,
    agent_state=facts.maybe(
        st.builds(AgentState, st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
    ),
)
seen = st.builds(
    SeenQuirk,
    quirk=st.builds(Quirk, facts.words, facts.texts, facts.texts, facts.texts, facts.words),
    subjects=st.lists(subjects, max_size=2).map(tuple),
)
stale = st.builds(
    Staleness,
    subject=st.builds(StaleSubject, st.sampled_from(StaleSubjectKind), facts.texts, facts.texts),
    kind=st.sampled_from(StalenessKind),
    state=st.sampled_from(StalenessState),
    has=facts.maybe(facts.texts),
    newest=facts.maybe(facts.texts),
    since=facts.maybe(days),
    remedy=facts.maybe(facts.texts),
    evidence=facts.evidence_sets,
    concerns=st.lists(subjects, max_size=2).map(tuple),
)
sentences = st.lists(facts.texts, max_size=2).map(tuple)
verdicts = st.builds(ToldVerdict, st.sampled_from(PortabilityState), sentences, sentences)
details = st.builds(
    HostDetail,
    summary=summaries,
    host=facts.hosts,
    platform=facts.platforms,
    installs=facts.install_sets,
    builds=st.dictionaries(facts.digests, facts.builds, max_size=2),
    findings=st.lists(findings | clocked(), max_size=2).map(tuple),
    end_of_life=st.lists(ends_of_life, max_size=2).map(tuple),
    verdicts=st.dictionaries(st.tuples(facts.root_names, facts.digests), verdicts, max_size=2),
    probes=st.lists(facts.probe_results, max_size=2).map(tuple),
    scan_seconds=facts.seconds,
    crypto_copies=facts.crypto_copy_sets,
    tools=facts.tool_sets,
    roots=facts.root_sets,
    changelogs=st.lists(facts.changelogs, max_size=2).map(tuple),
    processes=facts.maybe(facts.process_sets),
    quirks=st.lists(seen, max_size=2).map(tuple),
    staleness=st.lists(stale, max_size=2).map(tuple),
)


@settings(deadline=None, max_examples=50)
@given(findings | clocked())
def test_findings_survive_the_wire(value: Finding) -> None:
    assert finding_from_proto(finding_to_proto(value)) == value


@settings(deadline=None, max_examples=50)
@given(ends_of_life)
def test_ends_of_life_survive_the_wire(value: EndOfLife) -> None:
    assert end_of_life_from_proto(end_of_life_to_proto(value)) == value


@settings(deadline=None, max_examples=50)
@given(st.lists(summaries, max_size=3), facts.words, st.lists(facts.words, max_size=2))
def test_pages_survive_the_wire(hosts: list[HostSummary], token: str, unknown_keys: list[str]) -> None:
    page = HostPage(tuple(hosts), token, tuple(unknown_keys))
    assert page_from_proto(page_to_proto(page)) == page


@given(st.builds(LabelledHost, facts.words, facts.texts, st.dictionaries(facts.words, facts.words, max_size=3)))
def test_labelled_hosts_survive_the_wire(value: LabelledHost) -> None:
    assert labelled_from_proto(labelled_to_proto(value)) == value


@settings(deadline=None, max_examples=50)
@given(details)
def test_details_survive_the_wire(value: HostDetail) -> None:
    message = fleet_pb2.GetHostResponse.FromString(detail_to_proto(value).SerializeToString())
    assert detail_from_proto(message) == value


@pytest.mark.parametrize(
    ("message", "field"),
    [
        pytest.param(fleet_pb2.Finding(status="maybe"), "subject.kind", id="no subject"),
        pytest.param(
            fleet_pb2.Finding(subject=fleet_pb2.FindingSubject(kind="install"), component="openssl", status="maybe"),
            "status",
            id="status of the future",
        ),
        pytest.param(
            fleet_pb2.Finding(
                subject=fleet_pb2.FindingSubject(kind="install"),
                component="openssl",
                status="fixed",
                fix_available="soon",
            ),
            "fix_available",
            id="no moment",
        ),
    ],
)
def test_words_that_an_old_client_cannot_know_are_refused_and_named(message: fleet_pb2.Finding, field: str) -> None:
    with pytest.raises(InvalidFactError) as refused:
        finding_from_proto(message)
    assert refused.value.field == field


def test_a_severity_of_the_future_is_unknown() -> None:
    message = fleet_pb2.Finding(
        subject=fleet_pb2.FindingSubject(kind="install"), component="openssl", status="fixed", severity="cosmic"
    )
    assert finding_from_proto(message).severity is Severity.UNKNOWN


def test_reasons_are_told_as_sentences() -> None:
    reason = Reason(ReasonKind.SYMBOL_VERSION, "GLIBC_2.38", "2.36", "libc.so.6", "bin/python3", "fmod")
    told = tell_verdict(Verdict(PortabilityState.BLOCKED, (reason,)))
    assert told == ToldVerdict(PortabilityState.BLOCKED, (str(reason),))
