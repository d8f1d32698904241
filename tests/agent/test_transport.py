"""The client against real gRPC servers that answer as a script says: what is sent, retried, refused, and how it is put.

A collector that behaves is in tests/integration; here are those that a real one only becomes on a bad day.
"""

from __future__ import annotations

import secrets
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from libcensus.agent import transport
from libcensus.agent.config import CollectorSettings
from libcensus.agent.errors import AgentError, ConfigurationError, IdentityError, RefusedError, UnreachableError
from libcensus.agent.spool import HeldFacts
from libcensus.agent.target import parse_target
from libcensus.agent.transport import CollectorClient
from libcensus.facts.codec import encode_fact, process_set_digest
from libcensus.facts.host import Host, Inventory
from libcensus.facts.interpreter import InstallSet
from libcensus.facts.platform import Platform
from libcensus.facts.process import ProcessGroup, ProcessSet
from libcensus.facts.report import Report
from libcensus.facts.vocabulary import MappingState
from libcensus.v1 import census_pb2, census_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from libcensus.agent.errors import AgentError as AnyAgentError

HOST_ID = "0123456789abcdef0123456789abcdef"
PLATFORM = encode_fact(Platform(kernel="6.1"))
INSTALLS = encode_fact(InstallSet())
INVENTORY = encode_fact(Inventory(host=Host(hostname="h"), platform=PLATFORM[1], installs=INSTALLS[1]))
FACTS = HeldFacts([INVENTORY, PLATFORM, INSTALLS])
REPORT = Report(
    report_id=secrets.token_bytes(16),
    agent_version="0.1.0",
    scanned_at=datetime(2026, 1, 1, tzinfo=UTC),
    scan_seconds=1.0,
    inventory=INVENTORY[1],
)


@dataclass
class Refusal:
    """What a scripted call ends with."""

    code: grpc.StatusCode
    details: str = "because"
    trailers: tuple[tuple[str, str], ...] = ()


Answer = list[str] | Refusal


@dataclass
class Script:
    """What the server answers, call by call (the last answer again for ever), and what it was sent."""

    reports: list[Answer] = field(default_factory=lambda: [[]])
    uploads: list[Answer] = field(default_factory=lambda: [[]])
    requests: list[census_pb2.ReportRequest] = field(default_factory=list)
    uploaded: list[list[str]] = field(default_factory=list)
    metadata: list[dict[str, str]] = field(default_factory=list)

    def next(self, answers: list[Answer], number: int, context: grpc.ServicerContext) -> list[bytes]:
        answer = answers[min(number, len(answers)) - 1]
        if isinstance(answer, Refusal):
            context.set_trailing_metadata(answer.trailers)
            context.abort(answer.code, answer.details)
        return [bytes.fromhex(digest) for digest in answer]


class Servicer(census_pb2_grpc.CensusServiceServicer):
    """A server that does what its script says."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def Report(self, request: census_pb2.ReportRequest, context: Any) -> census_pb2.ReportResponse:  # noqa: N802
        self._script.requests.append(request)
        self._script.metadata.append(dict(context.invocation_metadata()))
        missing = self._script.next(self._script.reports, len(self._script.requests), context)
        return census_pb2.ReportResponse(missing=missing, collector_version="7.0")

    def UploadFacts(  # noqa: N802
        self, requests: Iterator[census_pb2.UploadFactsRequest], context: Any
    ) -> census_pb2.UploadFactsResponse:
        self._script.uploaded.append([request.digest.hex() for request in requests])
        missing = self._script.next(self._script.uploads, len(self._script.uploaded), context)
        return census_pb2.UploadFactsResponse(missing=missing)


@contextmanager
def serving(script: Script | None, address: str = "127.0.0.1:0") -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(4))
    if script is not None:
        census_pb2_grpc.add_CensusServiceServicer_to_server(Servicer(script), server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port(address)
    server.start()
    try:
        yield address if address.startswith("unix:") else f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@contextmanager
def slow_to(address: str, *, seconds: float, passed: list[int] | None = None) -> Iterator[str]:
    """A proxy that passes one connection on, after some time; ``passed`` gets the bytes that the client sent."""

    def pump(source: socket.socket, sink: socket.socket, counted: list[int] | None) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if counted is not None:
                    counted.append(len(data))
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def serve(listener: socket.socket) -> None:
        client, _ = listener.accept()
        host, _, port = address.rpartition(":")
        with client, socket.create_connection((host, int(port))) as server:
            time.sleep(seconds)
            back = threading.Thread(target=pump, args=(server, client, None))
            back.start()
            pump(client, server, passed)
            back.join()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def settings_for(address: str, **changes: Any) -> CollectorSettings:
    values: dict[str, Any] = {
        "address": address,
        "timeout_seconds": 20.0,
        "upload_timeout_seconds": 20.0,
        "attempts": 3,
        "max_message_bytes": 1024 * 1024,
    }
    return CollectorSettings(**{**values, **changes})


def client_for(address: str, pauses: list[float] | None = None, **changes: Any) -> CollectorClient:
    kept = [] if pauses is None else pauses
    return CollectorClient(settings_for(address, **changes), HOST_ID, sleep=kept.append, spread=lambda _low, high: high)


RUNNING = ProcessSet((ProcessGroup("/", "/usr/bin/python3.11", MappingState.CURRENT, 2),))
BUSY = replace(REPORT, processes_digest=process_set_digest(RUNNING), processes=RUNNING)


@pytest.mark.parametrize(
    ("known", "told"), [(BUSY.processes_digest, False), ("0" * 64, True), (None, True)], ids=["known", "other", "first"]
)
def test_what_runs_is_told_only_when_it_changed(known: str | None, *, told: bool) -> None:
    script = Script()
    with serving(script) as address, client_for(address) as client:
        client.send(BUSY, FACTS, known_processes=known)
    (request,) = script.requests
    assert request.HasField("processes") is told
    assert request.processes_digest.hex() == BUSY.processes_digest


def test_a_collector_that_lost_what_runs_is_told_again() -> None:
    assert BUSY.processes_digest is not None
    script = Script(reports=[[BUSY.processes_digest], []])
    with serving(script) as address, client_for(address) as client:
        acknowledgement = client.send(BUSY, FACTS, known_processes=BUSY.processes_digest)
    assert [request.HasField("processes") for request in script.requests] == [False, True]
    assert script.uploaded == []
    assert acknowledgement.uploaded_facts == 0


def test_what_runs_goes_again_with_the_facts_that_are_missing_too() -> None:
    assert BUSY.processes_digest is not None
    script = Script(reports=[[BUSY.processes_digest, PLATFORM[1]], []])
    with serving(script) as address, client_for(address) as client:
        client.send(BUSY, FACTS, known_processes=BUSY.processes_digest)
    assert [request.HasField("processes") for request in script.requests] == [False, True]
    assert script.uploaded == [[PLATFORM[1]]]


def test_a_collector_that_asks_for_what_runs_although_it_was_told_is_given_up() -> None:
    assert BUSY.processes_digest is not None
    with (
        serving(Script(reports=[[BUSY.processes_digest]])) as address,
        client_for(address) as client,
        pytest.raises(RefusedError, match="asks for facts that this report does not have"),
    ):
        client.send(BUSY, FACTS)


def test_a_known_host_costs_one_small_message_with_its_id_beside_it() -> None:
    script = Script()
    with serving(script) as address, client_for(address) as client:
        acknowledgement = client.send(REPORT, FACTS)
    assert len(script.requests) == 1
    assert not script.uploaded
    assert script.metadata[0]["libcensus-host-id"] == HOST_ID
    assert script.metadata[0]["user-agent"].startswith("libcensus-agent/")
    assert acknowledgement.collector_version == "7.0"
    assert acknowledgement.request_bytes == script.requests[0].ByteSize()
    assert acknowledgement.request_bytes + acknowledgement.response_bytes < 1024


def test_facts_are_sent_when_they_are_asked_for_and_followed_to_those_that_they_name() -> None:
    script = Script(reports=[[INVENTORY[1]], []], uploads=[[PLATFORM[1], INSTALLS[1]], []])
    with serving(script) as address, client_for(address) as client:
        acknowledgement = client.send(REPORT, FACTS)
    assert script.uploaded == [[INVENTORY[1]], sorted([PLATFORM[1], INSTALLS[1]])]
    assert acknowledgement.uploaded_facts == 3
    assert [request.report_id for request in script.requests] == [REPORT.report_id] * 2


def test_uploads_are_split_before_they_are_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "BATCH_BYTES", len(INVENTORY[2]) + 1)
    three = sorted([INVENTORY[1], PLATFORM[1], INSTALLS[1]])
    script = Script(reports=[three, []])
    with serving(script) as address, client_for(address) as client:
        client.send(REPORT, FACTS)
    assert sorted(digest for batch in script.uploaded for digest in batch) == three
    assert len(script.uploaded) > 1


def test_uploads_are_split_before_they_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "BATCH_FACTS", 2)
    script = Script(reports=[[INVENTORY[1], PLATFORM[1], INSTALLS[1]], []])
    with serving(script) as address, client_for(address) as client:
        client.send(REPORT, FACTS)
    assert [len(batch) for batch in script.uploaded] == [2, 1]


def test_a_fact_that_the_report_does_not_have_is_refused_by_its_address() -> None:
    script = Script(reports=[["f" * 64, INVENTORY[1]]])
    with serving(script) as address, client_for(address) as client, pytest.raises(RefusedError, match="f" * 64):
        client.send(REPORT, FACTS)
    assert not script.uploaded


def test_a_fact_that_is_lost_between_two_looks_is_refused_by_its_address() -> None:
    class Losing(HeldFacts):
        def read(self, digest: str) -> Any:
            raise KeyError(digest)

    script = Script(reports=[[PLATFORM[1]]])
    with serving(script) as address, client_for(address) as client, pytest.raises(RefusedError, match=PLATFORM[1]):
        client.send(REPORT, Losing([PLATFORM]))


def test_many_unknown_addresses_are_told_shortly() -> None:
    script = Script(reports=[[f"{number:064x}" for number in range(5)]])
    with serving(script) as address, client_for(address) as client, pytest.raises(RefusedError, match=r"and 2 more$"):
        client.send(REPORT, FACTS)


def test_a_collector_that_asks_again_for_what_it_was_sent_is_refused() -> None:
    script = Script(reports=[[PLATFORM[1]]])
    with (
        serving(script) as address,
        client_for(address) as client,
        pytest.raises(RefusedError, match=f"asks again for facts that it was sent: {PLATFORM[1]}"),
    ):
        client.send(REPORT, FACTS)
    assert len(script.requests) == 2


def test_a_collector_that_is_never_content_is_refused_after_some_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_ROUNDS", 2)
    script = Script(reports=[[PLATFORM[1]], [INSTALLS[1]], []])
    with serving(script) as address, client_for(address) as client, pytest.raises(RefusedError, match="after 2 rounds"):
        client.send(REPORT, FACTS)


def test_an_answer_that_is_no_digest_is_refused() -> None:
    script = Script(reports=[["abcd"]])
    with serving(script) as address, client_for(address) as client, pytest.raises(RefusedError, match="has 2 bytes"):
        client.send(REPORT, FACTS)


UNAVAILABLE = Refusal(grpc.StatusCode.UNAVAILABLE, "stopping")
OVERLOADED = Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "later", ((transport.PUSHBACK_METADATA, "1500"),))


def test_an_unavailable_collector_is_tried_again_with_growing_pauses() -> None:
    script = Script(reports=[UNAVAILABLE, UNAVAILABLE, []])
    pauses: list[float] = []
    with serving(script) as address, client_for(address, pauses) as client:
        client.send(REPORT, FACTS)
    assert pauses == [0.25, 0.5]


def test_an_upload_is_tried_again_as_a_whole() -> None:
    script = Script(reports=[[PLATFORM[1], INSTALLS[1]], []], uploads=[UNAVAILABLE, []])
    with serving(script) as address, client_for(address) as client:
        client.send(REPORT, FACTS)
    assert script.uploaded == [sorted([PLATFORM[1], INSTALLS[1]])] * 2


def test_a_collector_that_sheds_load_is_given_the_time_that_it_asks_for() -> None:
    script = Script(reports=[OVERLOADED, []])
    pauses: list[float] = []
    with serving(script) as address, client_for(address, pauses) as client:
        client.send(REPORT, FACTS)
    assert pauses == [3.0]  # the time itself, and as much again by chance


@pytest.mark.parametrize("hint", ["-1", "soon"])
def test_a_collector_that_asks_not_to_be_tried_again_is_not(hint: str) -> None:
    refusal = Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "no", ((transport.PUSHBACK_METADATA, hint),))
    script = Script(reports=[refusal])
    with serving(script) as address, client_for(address) as client, pytest.raises(UnreachableError):
        client.send(REPORT, FACTS)
    assert len(script.requests) == 1


def test_being_asked_to_wait_uses_up_no_attempt() -> None:
    script = Script(reports=[*[OVERLOADED] * 20, []])
    pauses: list[float] = []
    with serving(script) as address, client_for(address, pauses, attempts=1) as client:
        client.send(REPORT, FACTS)
    assert pauses == [3.0] * 20


def test_patience_with_a_collector_that_always_asks_to_wait_ends() -> None:
    script = Script(reports=[OVERLOADED])
    pauses: list[float] = []
    with serving(script) as address, client_for(address, pauses) as client, pytest.raises(UnreachableError) as caught:
        client.send(REPORT, FACTS)
    assert sum(pauses) == transport.PATIENCE_SECONDS
    assert caught.value.retry_after_seconds == 1.5


def test_who_is_asked_to_stay_away_for_long_does_not_wait_here_and_remembers_it() -> None:
    long = Refusal(grpc.StatusCode.UNAVAILABLE, "later", ((transport.PUSHBACK_METADATA, "3600000"),))
    pauses: list[float] = []
    with (
        serving(Script(reports=[long])) as address,
        client_for(address, pauses) as client,
        pytest.raises(UnreachableError) as caught,
    ):
        client.send(REPORT, FACTS)
    assert pauses == []
    assert caught.value.retry_after_seconds == 3600


def test_a_collector_that_sheds_load_without_a_time_is_tried_again_with_backoff() -> None:
    shed = Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!")
    script = Script(reports=[shed, shed, []])
    pauses: list[float] = []
    with serving(script) as address, client_for(address, pauses) as client:
        client.send(REPORT, FACTS)
    assert pauses == [0.25, 0.5]


def test_a_connection_that_comes_about_slowly_is_no_failure() -> None:
    with serving(Script()) as address, slow_to(address, seconds=1.6) as slow, client_for(slow, attempts=1) as client:
        client.send(REPORT, FACTS)


def test_facts_are_compressed_on_the_wire() -> None:
    platform = encode_fact(Platform(kernel="6.1", loaders=tuple(f"/lib/{'x' * 200}/{one:03d}" for one in range(500))))
    script = Script(reports=[[platform[1]], []])
    passed: list[int] = []
    with (
        serving(script) as address,
        slow_to(address, seconds=0.0, passed=passed) as watched,
        client_for(watched) as client,
    ):
        client.send(REPORT, HeldFacts([platform]))
    assert len(platform[2]) > 100_000
    assert sum(passed) < len(platform[2]) / 5


def test_pauses_are_bounded_and_so_are_attempts() -> None:
    script = Script(reports=[UNAVAILABLE])
    pauses: list[float] = []
    with (
        serving(script) as address,
        client_for(address, pauses, attempts=9) as client,
        pytest.raises(UnreachableError, match=r"\(9 attempts\): stopping"),
    ):
        client.send(REPORT, FACTS)
    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_the_pause_is_random_over_the_whole_of_its_range() -> None:
    script = Script(reports=[UNAVAILABLE, []])
    ranges: list[tuple[float, float]] = []
    with serving(script) as address:

        def spread(low: float, high: float) -> float:
            ranges.append((low, high))
            return 0.0

        with CollectorClient(settings_for(address), HOST_ID, sleep=lambda _: None, spread=spread) as client:
            client.send(REPORT, FACTS)
    assert ranges == [(0, 0.25)]


CODE = grpc.StatusCode
FAILURES: list[tuple[grpc.StatusCode, str, type[AnyAgentError], str]] = [
    (CODE.UNAVAILABLE, "x", UnreachableError, "cannot be reached (1 attempt): x"),
    (CODE.DEADLINE_EXCEEDED, "x", UnreachableError, "did not answer Report in time"),
    (CODE.RESOURCE_EXHAUSTED, "busy", UnreachableError, "cannot take the report now (RESOURCE_EXHAUSTED): busy"),
    (CODE.RESOURCE_EXHAUSTED, "Received message larger than max (9 vs. 8)", RefusedError, "is too large"),
    (CODE.ABORTED, "x", UnreachableError, "cannot take the report now (ABORTED)"),
    (CODE.UNAUTHENTICATED, "who?", IdentityError, "does not accept this host (UNAUTHENTICATED): who?"),
    (CODE.PERMISSION_DENIED, "x", IdentityError, "does not accept this host (PERMISSION_DENIED)"),
    (CODE.INVALID_ARGUMENT, "report_id: has 1 bytes", RefusedError, "refused the report: report_id: has 1 bytes"),
    (CODE.FAILED_PRECONDITION, "x", RefusedError, "refused the report"),
    (CODE.INTERNAL, "incident 17", AgentError, "failed (INTERNAL): incident 17"),
    (CODE.UNKNOWN, "x", AgentError, "failed (UNKNOWN)"),
    (CODE.UNIMPLEMENTED, "x", ConfigurationError, "is collector.address the gRPC port of a libcensus collector?"),
]


@pytest.mark.parametrize(
    ("code", "details", "kind", "message"), FAILURES, ids=[f"{row[0].name}-{row[1][:8]}" for row in FAILURES]
)
def test_each_failure_has_its_error(
    code: grpc.StatusCode, details: str, kind: type[AnyAgentError], message: str
) -> None:
    script = Script(reports=[Refusal(code, details)])
    with (
        serving(script) as address,
        client_for(address, attempts=1) as client,
        pytest.raises(AgentError) as caught,
    ):
        client.send(REPORT, FACTS)
    assert type(caught.value) is kind
    assert message in str(caught.value)
    assert address in str(caught.value)


def test_nobody_at_the_address_is_told_with_the_address() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # taken, and nobody listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with client_for(address) as client, pytest.raises(UnreachableError, match=address):
            client.send(REPORT, FACTS)


def test_a_server_of_something_else_is_told() -> None:
    with (
        serving(None) as address,
        client_for(address) as client,
        pytest.raises(ConfigurationError, match="does not offer"),
    ):
        client.send(REPORT, FACTS)


def test_a_collector_that_never_answers_is_left_after_the_deadline() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with client_for(address, timeout_seconds=0.3) as client, pytest.raises(UnreachableError):
            client.send(REPORT, FACTS)


def test_a_message_that_the_agent_may_not_send_is_told_as_too_large() -> None:
    script = Script(reports=[[INVENTORY[1]]])
    with (
        serving(script) as address,
        client_for(address, max_message_bytes=50) as client,
        pytest.raises(RefusedError, match="too large"),
    ):
        client.send(REPORT, FACTS)


def test_a_unix_socket_is_on_this_machine(tmp_path: Path) -> None:
    script = Script()
    address = f"unix:{tmp_path}/c.sock"
    with serving(script, address), client_for(address) as client:
        client.send(REPORT, FACTS)
    assert len(script.requests) == 1


def test_a_proxy_of_the_environment_is_never_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    script = Script()
    with serving(script) as address, client_for(address.replace("127.0.0.1", "localhost")) as client:
        client.send(REPORT, FACTS)
    assert len(script.requests) == 1


TARGETS = [
    ("127.0.0.1:9444", "ipv4:127.0.0.1:9444", True),
    ("127.0.0.1", "ipv4:127.0.0.1:9444", True),
    ("127.9.9.9:1", "ipv4:127.9.9.9:1", True),
    ("[::1]:5", "ipv6:[::1]:5", True),
    ("[::1]", "ipv6:[::1]:9444", True),
    ("localhost:5", "dns:///localhost:5", True),
    ("LocalHost", "dns:///LocalHost:9444", True),
    ("unix:/run/c.sock", "unix:/run/c.sock", True),
    ("unix:///run/c.sock", "unix:/run/c.sock", True),
    ("192.0.2.1:9444", "ipv4:192.0.2.1:9444", False),
    ("[2001:db8::1]:9444", "ipv6:[2001:db8::1]:9444", False),
    ("0.0.0.0:9444", "ipv4:0.0.0.0:9444", False),
    ("collector.example:9444", "dns:///collector.example:9444", False),
    ("localhost.example", "dns:///localhost.example:9444", False),
]


@pytest.mark.parametrize(("given", "address", "is_loopback"), TARGETS, ids=[row[0] for row in TARGETS])
def test_addresses_are_understood(given: str, address: str, is_loopback: bool) -> None:
    target = parse_target(given)
    assert (target.address, target.is_loopback) == (address, is_loopback)


@pytest.mark.parametrize(
    "given",
    [
        "",
        ":9444",
        "host:",
        "host:0",
        "host:65536",
        "host:abc",
        "::1",
        "[::1",
        "[x]:1",
        "a:b:1",
        "unix:relative",
        "http://c:1",
        "a b:1",
        "unix:",
    ],
)
def test_what_is_no_address_is_refused_with_the_forms_that_are(given: str) -> None:
    with pytest.raises(ConfigurationError, match="write HOST:PORT"):
        parse_target(given)


@pytest.mark.parametrize("given", [row[0] for row in TARGETS if not row[2]])
def test_plaintext_never_leaves_the_machine(given: str) -> None:
    make: Callable[[], object] = lambda: CollectorClient(settings_for(given), HOST_ID)  # noqa: E731
    with pytest.raises(IdentityError, match="is not on this machine") as caught:
        make()
    assert caught.value.exit_code == 5
