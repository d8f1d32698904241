"""CensusService over real gRPC: what is taken, what is refused, and that a refusal changes nothing."""

from __future__ import annotations

import socket
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from libcensus.collector.errors import (
    StoreBusyError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
)
from libcensus.collector.service import census as census_module
from libcensus.collector.service.census import UploadBudget, spread_interval
from libcensus.collector.service.errors import PUSHBACK_KEY, OverloadedError
from libcensus.collector.store.sql import SqlStore
from libcensus.facts.codec import (
    digest_to_proto,
    encode_fact,
    process_set_digest,
    process_set_from_proto,
    process_set_to_proto,
)
from libcensus.facts.digest import FactKind, fact_digest
from libcensus.v1 import census_pb2, facts_pb2, fleet_pb2, vocabulary_pb2
from tests.collector.service.running import (
    HOST_ID,
    Client,
    client_of,
    metadata_of,
    report_of,
    running_collector,
    status_of,
    upload_of,
)
from tests.contract.specimens import Census, Extras, address, build, install, platform, record, running

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from libcensus.collector.app import Collector
    from libcensus.collector.store.contract import FactRecord, ReceivedReport, ReportOutcome

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def host_id_of(mark: str) -> str:
    return mark


def specimen(mark: str) -> Census:
    return Census.of(f"host-{mark[:8]}", mark, ("/opt/python/bin/python3", build(mark)))


def raw_call(client: Client, method: str, payload: bytes, *, streaming: bool = False) -> Any:
    make: Any = client.channel.stream_unary if streaming else client.channel.unary_unary
    call = make(f"/libcensus.v1.CensusService/{method}")
    return call(iter([payload]) if streaming else payload, metadata=metadata_of(HOST_ID), timeout=30)


# --- what is taken ----------------------------------------------------------------------------------------------


def test_a_new_host_is_asked_for_its_facts_and_then_acknowledged(client: Client, mark: str) -> None:
    census = specimen(mark)
    asked = client.report(census.address, mark)
    assert [digest.hex() for digest in asked.missing] == [census.address]
    inventory, *others = census.records
    first = client.upload(inventory, host_id=mark)
    assert first.stored == 1
    assert sorted(digest.hex() for digest in first.missing) == sorted(one.digest for one in others)
    second = client.upload(*others, host_id=mark)
    assert (second.stored, list(second.missing)) == (3, [])
    acknowledged = client.report(census.address, mark)
    assert not acknowledged.missing
    assert acknowledged.collector_version == "0.1.0"


def test_an_unchanged_host_costs_one_call(client: Client, mark: str) -> None:
    census = specimen(mark)
    client.take_census(census, mark)
    assert not client.report(census.address, mark).missing


def test_facts_that_are_known_are_not_stored_again(client: Client, mark: str) -> None:
    census = specimen(mark)
    assert client.upload(*census.records).stored == 4
    assert client.upload(*census.records).stored == 0


def test_an_empty_upload_stores_nothing(client: Client) -> None:
    response = client.upload()
    assert (response.stored, list(response.missing)) == (0, [])


def test_a_report_that_is_sent_twice_is_acknowledged_twice(client: Client, mark: str) -> None:
    census = specimen(mark)
    client.take_census(census, mark)
    report_id = uuid.uuid4().bytes
    assert not client.report(census.address, mark, report_id).missing
    assert not client.report(census.address, mark, report_id).missing


def test_uploads_are_answered_with_the_platforms_that_their_roots_name(client: Client, mark: str) -> None:
    census = replace(specimen(mark), extras=Extras.of(mark))
    assert census.extras is not None
    asked = client.upload(record(census.inventory), host_id=mark)
    assert {digest.hex() for digest in asked.missing} == set(census.inventory.references)
    inner = address(census.extras.inner)
    named = client.upload(*(one for one in census.records if one.digest != inner), host_id=mark)
    assert [digest.hex() for digest in named.missing] == [inner]
    client.upload(record(census.extras.inner), host_id=mark)
    assert not client.report(census.address, mark).missing


def test_what_runs_is_asked_for_where_it_is_only_named(client: Client, mark: str) -> None:
    census = specimen(mark)
    client.upload(*census.records, host_id=mark)
    busy = running("web.service")

    def send(*, told: bool) -> list[bytes]:
        request = report_of(census.address)
        request.processes_digest = digest_to_proto(process_set_digest(busy))
        if told:
            request.processes.CopyFrom(process_set_to_proto(busy))
        answer = client.census.Report(request, metadata=metadata_of(mark), timeout=30)
        return list(answer.missing)

    assert send(told=False) == [digest_to_proto(process_set_digest(busy))]
    assert send(told=True) == []
    assert send(told=False) == []
    shown = client.fleet.GetHost(fleet_pb2.GetHostRequest(host=mark))
    assert process_set_from_proto(shown.processes) == busy
    assert shown.summary.outdated_processes == 2


def test_fields_of_a_newer_contract_are_kept_and_do_no_harm(client: Client, mark: str) -> None:
    _, _, known = encode_fact(platform(mark))
    # Field 200 as a varint: a message of a contract that this collector does not know.
    payload = known + b"\xc0\x0c\x2a"
    request = census_pb2.UploadFactsRequest(
        kind=vocabulary_pb2.FACT_KIND_PLATFORM,
        digest=bytes.fromhex(fact_digest(FactKind.PLATFORM, payload)),
        payload=payload,
    )
    response = client.census.UploadFacts(iter([request]), metadata=metadata_of(mark))
    assert response.stored == 1


def test_the_next_interval_is_the_hosts_own_and_near_the_fleets(client: Client, mark: str) -> None:
    first = client.report("ab" * 32, mark).next_interval
    assert first == client.report("cd" * 32, mark).next_interval
    assert 3240 <= first.seconds <= 3960


def test_intervals_are_spread_over_the_fleet() -> None:
    intervals = [spread_interval(1000.0, f"{number:032x}") for number in range(1000)]
    assert all(900 <= one <= 1100 for one in intervals)
    assert min(intervals) < 910
    assert max(intervals) > 1090
    assert 990 < sum(intervals) / len(intervals) < 1010


def test_reports_of_many_hosts_at_once_are_all_acknowledged(client: Client, collector: Collector, mark: str) -> None:
    shared = build(mark)
    hosts = {
        uuid.uuid4().hex: Census.of(f"many-{mark[:6]}-{number}", f"{mark}-{number}", ("/opt/python3", shared))
        for number in range(40)
    }
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda one: client.take_census(one[1], one[0]), hosts.items()))
        responses = list(threads.map(lambda one: client.report(one[1].address, one[0]), list(hosts.items()) * 5))
    assert not any(response.missing for response in responses)


# --- what is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        pytest.param((), "is missing", id="missing"),
        pytest.param((("libcensus-host-id", "xyz"),), "not 32 lower-case hexadecimal digits", id="too short"),
        pytest.param((("libcensus-host-id", "A" * 32),), "not 32 lower-case hexadecimal digits", id="upper case"),
        pytest.param((("libcensus-host-id", "a" * 33),), "not 32 lower-case hexadecimal digits", id="too long"),
        pytest.param((("libcensus-host-id", "a" * 32), ("libcensus-host-id", "b" * 32)), "given 2 times", id="twice"),
    ],
)
@pytest.mark.parametrize("method", ["Report", "UploadFacts"])
def test_a_call_that_does_not_tell_who_speaks_is_unauthenticated(
    client: Client, method: str, metadata: tuple[tuple[str, str], ...], said: str
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        if method == "Report":
            client.census.Report(report_of("ab" * 32), metadata=metadata)
        else:
            client.census.UploadFacts(iter([]), metadata=metadata)
    code, details = status_of(refused.value)
    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert "libcensus-host-id" in details
    assert said in details


@pytest.mark.parametrize("method", ["Report", "UploadFacts"])
@pytest.mark.parametrize(
    "payload", [b"\xff", b"\x0a\xff\x01", b"GET / HTTP/1.1\r\n\r\n"], ids=["tag", "length", "text"]
)
def test_bytes_that_are_no_message_are_refused_and_named(client: Client, method: str, payload: bytes) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        raw_call(client, method, payload, streaming=method == "UploadFacts")
    code, details = status_of(refused.value)
    assert code is INVALID
    assert details == f"request: is no libcensus.v1.{method}Request message"


def changed_report(**changes: Any) -> census_pb2.ReportRequest:
    message = report_of("ab" * 32)
    for name, value in changes.items():
        if isinstance(value, bytes | str):
            setattr(message, name, value)
        else:
            getattr(message, name).MergeFrom(value) if not isinstance(value, list) else getattr(message, name).extend(
                value
            )
    return message


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"report_id": b"short"}, "report_id", id="id too short"),
        pytest.param({"inventory": b""}, "inventory", id="inventory absent"),
        pytest.param({"inventory": b"x" * 31}, "inventory", id="inventory too short"),
        pytest.param({"agent_version": ""}, "agent_version", id="version absent"),
        pytest.param({"agent_version": "1" * 65}, "agent_version", id="version too long"),
        pytest.param({"probes": [census_pb2.ProbeResult(name="")]}, "probes.name", id="probe without name"),
        pytest.param(
            {"probes": [census_pb2.ProbeResult(name="x", state=vocabulary_pb2.PROBE_STATE_FAILED)]},
            "probes.reason",
            id="failure without reason",
        ),
        pytest.param(
            {"probes": [census_pb2.ProbeResult(name=f"p{number}") for number in range(65)]}, "probes", id="many probes"
        ),
    ],
)
def test_a_report_with_an_impossible_field_is_refused_and_the_field_named(
    client: Client, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        client.census.Report(changed_report(**changes), metadata=metadata_of(HOST_ID))
    code, details = status_of(refused.value)
    assert code is INVALID
    assert details.startswith(f"{field}: ")


def upload_request(kind: Any, payload: bytes, digest: bytes | None = None) -> census_pb2.UploadFactsRequest:
    if digest is None:
        words = {1: FactKind.INVENTORY, 2: FactKind.PLATFORM, 3: FactKind.INSTALL_SET, 4: FactKind.BUILD}
        digest = bytes.fromhex(fact_digest(words[kind], payload))
    return census_pb2.UploadFactsRequest(kind=kind, digest=digest, payload=payload)


PLATFORM_BYTES = encode_fact(platform("refused"))[2]


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        pytest.param(upload_request(2, PLATFORM_BYTES, b"\0" * 32), "digest: is 000000", id="digest of something else"),
        pytest.param(upload_request(2, PLATFORM_BYTES, b"\0" * 31), "digest: has 31 bytes", id="digest too short"),
        pytest.param(upload_request(2, PLATFORM_BYTES, b""), "digest: has 0 bytes", id="digest absent"),
        pytest.param(
            upload_request(4, PLATFORM_BYTES, digest_to_proto(fact_digest(FactKind.PLATFORM, PLATFORM_BYTES))),
            "digest: is",
            id="digest made for another kind",
        ),
        pytest.param(upload_request(0, PLATFORM_BYTES, b"\0" * 32), "kind: 0 is no kind", id="kind absent"),
        pytest.param(upload_request(77, PLATFORM_BYTES, b"\0" * 32), "kind: 77 is no kind", id="kind of the future"),
        pytest.param(upload_request(2, b"\xff\xff"), "payload: is not a protobuf message", id="payload is garbage"),
        pytest.param(
            upload_request(2, facts_pb2.Platform(x86_64_level=9).SerializeToString()),
            "payload.platform.x86_64_level: is 9",
            id="impossible value",
        ),
        pytest.param(
            upload_request(2, facts_pb2.Platform(loaders=["/b", "/a"]).SerializeToString()),
            "payload.platform.loaders: is not sorted",
            id="unsorted",
        ),
        pytest.param(
            upload_request(3, facts_pb2.InstallSet(installs=[facts_pb2.Install(root="/")]).SerializeToString()),
            "payload.install_set.installs.path",
            id="inside a list",
        ),
        pytest.param(
            upload_request(1, facts_pb2.Inventory(host=facts_pb2.Host(hostname="h")).SerializeToString()),
            "payload.inventory.platform: has 0 bytes",
            id="inventory without platform",
        ),
    ],
)
def test_a_fact_that_is_wrong_is_refused_named_and_takes_its_upload_with_it(
    client: Client, collector: Collector, mark: str, request_: census_pb2.UploadFactsRequest, said: str
) -> None:
    good = record(platform(mark))
    with pytest.raises(grpc.RpcError) as refused:
        client.census.UploadFacts(iter([upload_of(good), request_]), metadata=metadata_of(HOST_ID))
    code, details = status_of(refused.value)
    assert code is INVALID
    assert details.startswith(said)
    assert client.upload(good).stored == 1, "the good fact of the refused upload was stored"


def test_a_report_of_an_unknown_digest_changes_nothing(client: Client, mark: str) -> None:
    assert [digest.hex() for digest in client.report("ef" * 32, mark).missing] == ["ef" * 32]


def test_facts_that_contradict_each_other_are_refused_and_the_field_named(client: Client, mark: str) -> None:
    one = build(mark)
    census = Census(
        f"host-{mark[:8]}",
        platform(mark),
        (one,),
        Census.with_installs("x", mark, (install("/opt/python3", one),), (one,)).installs,
        listed=(),
    )
    client.upload(*census.records)
    with pytest.raises(grpc.RpcError) as refused:
        client.report(census.address, mark)
    code, details = status_of(refused.value)
    assert code is INVALID
    assert "build" in details


def test_a_message_that_is_too_large_is_refused_and_nothing_before_it_is_stored(
    tmp_path: Path, mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The wait ends as soon as the call is known to be over; a long bound makes the test certain on a busy machine.
    monkeypatch.setattr(census_module, "_LATE_CANCEL_SECONDS", 2.0)
    good = record(platform(mark))
    with running_collector(tmp_path, max_message_bytes=64 * 1024) as collector, client_of(collector) as client:
        for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
            large = census_pb2.UploadFactsRequest(kind=vocabulary_pb2.FACT_KIND_BUILD, payload=b"\0" * 10_000_000)
            with pytest.raises(grpc.RpcError) as refused:
                client.census.UploadFacts(
                    iter([upload_of(good), large]), metadata=metadata_of(HOST_ID), compression=compression
                )
            assert status_of(refused.value)[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        with pytest.raises(grpc.RpcError) as refused:
            raw_call(client, "Report", b"\0" * 10_000_000)
        assert status_of(refused.value)[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert client.upload(good).stored == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"max_upload_facts": 2}, "more than 2 facts", id="count"),
        pytest.param({"max_upload_bytes": 65536, "max_message_bytes": 65536}, "more than 65536 bytes", id="bytes"),
    ],
)
def test_an_upload_beyond_a_bound_is_refused_whole(
    tmp_path: Path, mark: str, changes: dict[str, Any], said: str
) -> None:
    records = [record(build(f"{mark}-{number}" + "x" * 60)) for number in range(600)]
    with running_collector(tmp_path, **changes) as collector, client_of(collector) as client:
        with pytest.raises(grpc.RpcError) as refused:
            client.upload(*records)
        code, details = status_of(refused.value)
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert said in details
        assert client.upload(*records[:2]).stored == 2


def test_uploads_that_together_hold_too_much_memory_are_told_to_come_back() -> None:
    budget = UploadBudget(max_bytes=100, max_uploads=2)
    with budget.open_upload() as first, budget.open_upload() as second:
        first(60)
        second(40)
        assert budget.held == 100
        with pytest.raises(OverloadedError, match="memory"):
            second(1)
        with pytest.raises(OverloadedError, match="too many uploads"), budget.open_upload():
            pass
    assert budget.held == 0
    with budget.open_upload() as third:
        third(100)


def test_a_client_that_stops_talking_is_let_go(tmp_path: Path) -> None:
    silent = threading.Event()

    def talk() -> Any:
        silent.wait(60)
        yield from ()

    with running_collector(tmp_path, call_seconds=1.0) as collector, client_of(collector) as client:
        try:
            with pytest.raises(grpc.RpcError) as refused:
                client.census.UploadFacts(talk(), metadata=metadata_of(HOST_ID), timeout=60)
        finally:
            silent.set()
        assert status_of(refused.value)[0] is grpc.StatusCode.CANCELLED


def test_garbage_on_the_port_harms_nobody(client: Client, collector: Collector, mark: str) -> None:
    host, port = collector.grpc_address.rsplit(":", 1)
    for garbage in (b"\0" * 1000, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00" * 50):
        # The server answers with what it likes and closes, maybe before this side is through.
        with closing(socket.create_connection((host, int(port)), timeout=10)) as connection, suppress(OSError):
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
    client.take_census(specimen(mark), mark)


def test_a_method_that_nobody_offers_is_unimplemented(client: Client) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        raw_call(client, "Delete", b"")
    assert status_of(refused.value)[0] is grpc.StatusCode.UNIMPLEMENTED


# --- when the store or the collector is in trouble --------------------------------------------------------------


class TroubledStore(SqlStore):
    """A real store that raises what a test gives it."""

    trouble: Exception | None = None
    gate: threading.Event | None = None

    def apply_reports(self, reports: Sequence[ReceivedReport]) -> list[ReportOutcome]:
        if self.gate is not None:
            self.gate.wait(30)
        if self.trouble is not None:
            raise self.trouble
        return super().apply_reports(reports)

    def put_facts(self, records: Sequence[FactRecord]) -> int:
        if self.trouble is not None:
            raise self.trouble
        return super().put_facts(records)


@pytest.mark.parametrize(
    "trouble",
    [
        StoreError("secret /srv/path: gone"),
        StoreBusyError("secret"),
        StoreFullError("secret"),
        StoreReadOnlyError("secret"),
        StoreCorruptError("secret"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_store_in_trouble_is_unavailable_and_its_words_stay_inside(
    tmp_path: Path, mark: str, trouble: Exception
) -> None:
    census = specimen(mark)
    with (
        TroubledStore.open(f"sqlite:///{tmp_path}/t.db") as store,
        running_collector(tmp_path, store) as collector,
        client_of(collector) as client,
    ):
        assert isinstance(store, TroubledStore)
        client.take_census(census, mark)
        store.trouble = trouble
        for call in (lambda: client.report(census.address, mark), lambda: client.upload(record(platform(mark + "2")))):
            with pytest.raises(grpc.RpcError) as refused:
                call()
            code, details = status_of(refused.value)
            assert code is grpc.StatusCode.UNAVAILABLE
            assert "database" in details
            assert "secret" not in details
        store.trouble = None
        assert not client.report(census.address, mark).missing


def test_an_error_that_nobody_foresaw_is_internal_with_an_incident_and_nothing_else(
    tmp_path: Path, mark: str, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        TroubledStore.open(f"sqlite:///{tmp_path}/t.db") as store,
        running_collector(tmp_path, store) as collector,
        client_of(collector) as client,
    ):
        assert isinstance(store, TroubledStore)
        store.trouble = ZeroDivisionError("secret")
        with caplog.at_level("ERROR", logger="libcensus"), pytest.raises(grpc.RpcError) as refused:
            client.report("ab" * 32, mark)
        code, details = status_of(refused.value)
        assert code is grpc.StatusCode.INTERNAL
        assert "secret" not in details
        assert "ZeroDivision" not in details
        incident = details.rsplit(" ", 1)[1]
        logged = [one for one in caplog.records if incident in one.getMessage()]
        assert len(logged) == 1
        assert logged[0].exc_info is not None
        assert isinstance(logged[0].exc_info[1], ZeroDivisionError)


def test_more_calls_than_may_wait_are_shed_with_a_hint_when_to_come_back(tmp_path: Path, mark: str) -> None:
    gate = threading.Event()
    with (
        TroubledStore.open(f"sqlite:///{tmp_path}/t.db") as store,
        running_collector(tmp_path, store, max_queued=1, workers=8) as collector,
        client_of(collector) as client,
    ):
        assert isinstance(store, TroubledStore)
        store.gate = gate
        calls = [
            client.census.Report.future(report_of("ab" * 32), metadata=metadata_of(HOST_ID), timeout=30)
            for _ in range(6)
        ]
        refused = threading.Semaphore(0)
        for call in calls:
            call.add_done_callback(lambda _done: refused.release())
        # At most one is in the writer's hands and one waits: four of six are refused while the gate is shut.
        for _ in range(4):
            assert refused.acquire(timeout=20)
        gate.set()
        codes = [call.code() for call in calls]
        assert codes.count(grpc.StatusCode.RESOURCE_EXHAUSTED) >= 4
        assert codes.count(grpc.StatusCode.OK) == 6 - codes.count(grpc.StatusCode.RESOURCE_EXHAUSTED)
        shed = next(call for call in calls if call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED)
        assert int(dict(shed.trailing_metadata())[PUSHBACK_KEY]) > 0


def test_a_deadline_of_the_client_is_kept_while_the_store_hangs(tmp_path: Path) -> None:
    gate = threading.Event()
    with (
        TroubledStore.open(f"sqlite:///{tmp_path}/t.db") as store,
        running_collector(tmp_path, store) as collector,
        client_of(collector) as client,
    ):
        assert isinstance(store, TroubledStore)
        store.gate = gate
        try:
            with pytest.raises(grpc.RpcError) as refused:
                client.census.Report(report_of("ab" * 32), metadata=metadata_of(HOST_ID), timeout=0.5)
        finally:
            gate.set()
        assert status_of(refused.value)[0] is grpc.StatusCode.DEADLINE_EXCEEDED


def test_the_collectors_own_deadline_holds_for_clients_without_one(tmp_path: Path) -> None:
    gate = threading.Event()
    with (
        TroubledStore.open(f"sqlite:///{tmp_path}/t.db") as store,
        running_collector(tmp_path, store, call_seconds=1.0) as collector,
        client_of(collector) as client,
    ):
        assert isinstance(store, TroubledStore)
        store.gate = gate
        try:
            with pytest.raises(grpc.RpcError) as refused:
                client.census.Report(report_of("ab" * 32), metadata=metadata_of(HOST_ID))
        finally:
            gate.set()
        code, details = status_of(refused.value)
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "database" in details


def test_calls_beyond_the_bound_are_refused_at_once(tmp_path: Path) -> None:
    gate = threading.Event()
    with (
        TroubledStore.open(f"sqlite:///{tmp_path}/t.db") as store,
        running_collector(tmp_path, store, workers=2, max_concurrent_calls=2) as collector,
        client_of(collector) as client,
    ):
        assert isinstance(store, TroubledStore)
        store.gate = gate
        done = threading.Semaphore(0)
        calls = []
        for _ in range(5):
            call = client.census.Report.future(report_of("ab" * 32), metadata=metadata_of(HOST_ID), timeout=30)
            call.add_done_callback(lambda _done: done.release())
            calls.append(call)
        for _ in range(3):
            assert done.acquire(timeout=20)
        gate.set()
        codes = [call.code() for call in calls]
        assert codes.count(grpc.StatusCode.RESOURCE_EXHAUSTED) == 3
        assert codes.count(grpc.StatusCode.OK) == 2
