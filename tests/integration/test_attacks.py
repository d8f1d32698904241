"""Attacks on the collector's command: each is refused, counted, and costs little memory and processor time.

First those that need no certificate, then those of an enrolled host that turned against its collector. After each an
honest host reports, and its report is taken. Refusals of certificates, tokens and renewals one by one are tested where
they are decided (``tests/collector/service/test_trust.py`` and ``test_enrollment.py``); here it is what they cost.
"""

from __future__ import annotations

import gzip
import os
import re
import socket
import ssl
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from libcensus.collector.pki.authority import Authority
from libcensus.collector.pki.identity import Role
from libcensus.facts.codec import digest_to_proto, encode_fact, fact_kind_to_proto, report_to_proto
from libcensus.facts.digest import FactKind, fact_digest
from libcensus.facts.interpreter import InstallSet
from libcensus.v1 import census_pb2, enrollment_pb2
from tests.contract.specimens import build, install
from tests.faults.collectors import Certificate, Serving, certify, serving
from tests.integration.test_store_faults import census_number, report_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.timeout(300)

HONEST, BAD = "a" * 32, "b" * 32
CALL_SECONDS = 3
MEMORY_MEBIBYTES = 160
"""What an attack may take at most, and keep: a fraction of what it is meant to take."""

PROCESSOR_SECONDS = 15.0
"""What an attack may cost on a busy machine; most cost less than one."""

REPORT = "/libcensus.v1.CensusService/Report"
UPLOAD = "/libcensus.v1.CensusService/UploadFacts"


@dataclass
class Target:
    """A collector under attack."""

    serving: Serving
    authority: Authority
    honest: Certificate
    bad: Certificate

    @property
    def place(self) -> tuple[str, int]:
        host, _, port = self.serving.grpc_address.rpartition(":")
        return host, int(port)

    def counter(self, name: str, **labels: str) -> float:
        """Return a counter of the collector's own metrics."""
        wanted = "".join(f'{key}="{value}"' for key, value in labels.items())
        for line in self.page().splitlines():
            if line.startswith(name) and wanted in line:
                return float(line.rpartition(" ")[2])
        return 0.0

    def page(self) -> str:
        with urllib.request.urlopen(f"http://{self.serving.http_address}/metrics", timeout=30) as answer:
            text: str = answer.read().decode()
            return text

    def memory(self) -> float:
        """Return the resident memory of the process, in MiB."""
        status = Path(f"/proc/{self.serving.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024

    def peak(self) -> float:
        status = Path(f"/proc/{self.serving.process.pid}/status").read_text()
        return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) / 1024

    def processor(self) -> float:
        """Return the processor time of the process, in seconds."""
        fields = Path(f"/proc/{self.serving.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @contextmanager
    def channel(self, certificate: Certificate | None, *options: tuple[str, Any]) -> Iterator[grpc.Channel]:
        """Yield a connection of its own."""
        own = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0), *options)
        if certificate is None:
            channel = grpc.insecure_channel(self.serving.grpc_address, own)
        else:
            credentials = grpc.ssl_channel_credentials(certificate.roots, certificate.key, certificate.chain)
            channel = grpc.secure_channel(self.serving.grpc_address, credentials, own)
        with channel:
            yield channel

    def report_honestly(self) -> None:
        """Have an honest host report; it must be served."""
        census = census_number(0)
        with self.channel(self.honest) as channel:
            uploads = (
                census_pb2.UploadFactsRequest(
                    kind=fact_kind_to_proto(one.kind), digest=digest_to_proto(one.digest), payload=one.payload
                ).SerializeToString()
                for one in census.records
            )
            channel.stream_unary(UPLOAD)(uploads, timeout=30)  # type: ignore[call-arg]
            raw = channel.unary_unary(REPORT)(  # type: ignore[call-arg]
                report_to_proto(report_of(census)).SerializeToString(), timeout=30
            )
            assert not census_pb2.ReportResponse.FromString(raw).missing

    @contextmanager
    def cheaply(self) -> Iterator[None]:
        """Have what is done in the block cost little, and an honest host served meanwhile and after it."""
        reset = Path(f"/proc/{self.serving.process.pid}/clear_refs")
        with suppress(OSError):
            reset.write_text("5")  # The peak begins anew.
        memory, processor = self.memory(), self.processor()
        yield
        self.report_honestly()
        assert self.peak() - memory < MEMORY_MEBIBYTES
        assert self.processor() - processor < PROCESSOR_SECONDS


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("attacks")
    authority = Authority.init(folder / "pki", "libcensus", datetime.now(UTC) - timedelta(days=30))
    bounds = ("--call-seconds", f"{CALL_SECONDS}s", "--max-upload-bytes", "16MiB", "--host-burst", "2000")
    with serving(f"{folder}/census.db", *bounds, pki=folder / "pki") as running:
        made = Target(running, authority, certify(authority, HONEST), certify(authority, BAD))
        made.report_honestly()
        yield made


def code_of(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as refused:
        call()
    return refused.value.code(), refused.value.details() or ""


# --- without a certificate ------------------------------------------------------------------------------------------


def end_of(connection: socket.socket) -> str:
    """Return how the other side ends a connection."""
    connection.settimeout(60)
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        return "reset"
    return "end"


GARBAGE = {
    "random bytes": bytes(range(256)) * 64,
    "zeros": bytes(16384),
    "HTTP/1.1": b"GET /metrics HTTP/1.1\r\nHost: collector\r\n\r\n",
    "HTTP/2 in plaintext": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)),
    "a TLS record that is too long": b"\x16\x03\x01\xff\xff" + bytes(70000),
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_on_the_port_is_closed_and_counted(name: str, target: Target) -> None:
    before = target.counter("libcensus_collector_tls_handshakes_total", port="listen")
    with target.cheaply():
        for _ in range(50):
            with socket.create_connection(target.place, timeout=60) as connection:
                with suppress(OSError):
                    connection.sendall(GARBAGE[name])
                assert end_of(connection) in {"end", "reset"}
    assert target.counter("libcensus_collector_tls_handshakes_total", port="listen") >= before + 50


def test_plaintext_grpc_gets_no_answer(target: Target) -> None:
    with target.cheaply():
        for _ in range(20):
            with target.channel(None) as channel:
                call = channel.unary_unary(REPORT)  # type: ignore[call-arg]
                assert code_of(partial(call, b"", timeout=30))[0] is grpc.StatusCode.UNAVAILABLE


def test_handshakes_that_never_end_are_ended(target: Target) -> None:
    """Some say nothing, some stop in the middle; none of them holds up an honest host."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    sent, got = ssl.MemoryBIO(), ssl.MemoryBIO()
    half = context.wrap_bio(got, sent, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        half.do_handshake()
    hello = sent.read()
    with target.cheaply(), ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection(target.place, timeout=60)) for _ in range(300)]
        for number, connection in enumerate(silent):
            # On a busy machine the first may have been ended before the last is there.
            with suppress(OSError):
                connection.sendall(hello[: (number % 3) * len(hello) // 2])
        target.report_honestly()
        for connection in silent:
            assert end_of(connection) in {"end", "reset"}


def test_a_certificate_that_is_no_good_costs_a_handshake(target: Target, tmp_path: Path) -> None:
    other = Authority.init(tmp_path / "other", "libcensus", datetime.now(UTC) - timedelta(days=30))
    stranger = certify(other, BAD)
    long_ago = datetime.now(UTC) - timedelta(days=20)
    bad = {
        "another authority's": Certificate(stranger.chain, stranger.key, target.bad.roots),
        "expired": certify(target.authority, BAD, now=long_ago),
    }
    before = target.counter("libcensus_collector_tls_handshakes_total", port="listen")
    with target.cheaply():
        for certificate in bad.values():
            for _ in range(30):
                with target.channel(certificate) as channel:
                    call = channel.unary_unary(REPORT)  # type: ignore[call-arg]
                    assert code_of(partial(call, b"", timeout=30))[0] is grpc.StatusCode.UNAVAILABLE
    assert target.counter("libcensus_collector_tls_handshakes_total", port="listen") >= before + 60


def test_tokens_that_are_guessed_are_refused_and_counted(target: Target) -> None:
    before = target.counter("libcensus_collector_refusals_total", reason="enrollment_rate")
    credentials = grpc.ssl_channel_credentials(target.bad.roots)
    request = enrollment_pb2.EnrollRequest(token="guessed", hostname="h", machine_id_hash=BAD).SerializeToString()
    codes = set()
    with target.cheaply(), grpc.secure_channel(target.serving.enrollment_address, credentials) as channel:
        call = channel.unary_unary("/libcensus.v1.EnrollmentService/Enroll")  # type: ignore[call-arg]
        for _ in range(100):
            codes.add(code_of(lambda: call(request, timeout=30))[0])
    assert grpc.StatusCode.RESOURCE_EXHAUSTED in codes
    assert target.counter("libcensus_collector_refusals_total", reason="enrollment_rate") > before


# --- with the certificate of a host ---------------------------------------------------------------------------------


def refusals(target: Target, reason: str) -> float:
    return target.counter("libcensus_collector_refusals_total", reason=reason)


def test_calls_without_their_message_hold_no_thread_for_long(target: Target) -> None:
    """More calls than there are threads: one host may have some open, and those end by themselves."""
    before = refusals(target, "slow"), refusals(target, "host_calls")
    with target.cheaply(), target.channel(target.bad) as channel, ExitStack() as stack:
        gate = threading.Event()
        stack.callback(gate.set)

        def silence() -> Iterator[bytes]:
            gate.wait(60)
            yield from ()

        calls = [channel.stream_unary(REPORT).future(silence(), timeout=60) for _ in range(90)]  # type: ignore[call-arg]
        target.report_honestly()
        codes = [call.code() for call in calls]
        gate.set()
    assert set(codes) <= {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.CANCELLED}
    assert refusals(target, "slow") >= before[0] + codes.count(grpc.StatusCode.CANCELLED) > before[0]
    assert refusals(target, "host_calls") >= before[1] + codes.count(grpc.StatusCode.RESOURCE_EXHAUSTED) > before[1]


def test_an_upload_that_drips_is_ended(target: Target) -> None:
    before = refusals(target, "slow")
    one = census_number(0).records[0]
    message = census_pb2.UploadFactsRequest(
        kind=fact_kind_to_proto(one.kind), digest=digest_to_proto(one.digest), payload=one.payload
    ).SerializeToString()
    with target.cheaply(), target.channel(target.bad) as channel:
        over = threading.Event()

        def drip() -> Iterator[bytes]:
            while not over.wait(0.2):
                yield message

        call = channel.stream_unary(UPLOAD).future(drip(), timeout=60)  # type: ignore[call-arg]
        assert call.code() in {grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED}
        over.set()
    if call.code() is grpc.StatusCode.CANCELLED:
        assert refusals(target, "slow") > before


def bomb(kind: FactKind, payload: bytes) -> bytes:
    """Return an upload of a payload with the digest that it really has."""
    return census_pb2.UploadFactsRequest(
        kind=fact_kind_to_proto(kind), digest=digest_to_proto(fact_digest(kind, payload)), payload=payload
    ).SerializeToString()


NESTED = b"\x0b" * 3_000_000
REPORTS = {
    "millions of empty probes": b"\x32\x00" * (4 << 20),
    "millions of empty skips": b"\x32\x80\x80\x80\x02" + b"\x2a\x00" * (2 << 20),
    "deep groups": NESTED,
    "random bytes": os.urandom(1 << 20),
    "an endless varint": b"\x08" + b"\xff" * (1 << 20),
}
UPLOADS = {
    "millions of empty installs": bomb(FactKind.INSTALL_SET, b"\x0a\x00" * (1 << 20)),
    "millions of empty files": bomb(FactKind.BUILD, b"\x3a\x00" * (1 << 20)),
    "deep groups": bomb(FactKind.INVENTORY, NESTED),
    "random bytes": bomb(FactKind.PLATFORM, os.urandom(1 << 20)),
}


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_that_would_unpack_to_much_more_is_refused(name: str, target: Target) -> None:
    before = refusals(target, "malformed")
    with target.cheaply(), target.channel(target.bad) as channel:
        call = channel.unary_unary(REPORT)  # type: ignore[call-arg]
        for _ in range(4):
            assert code_of(lambda: call(REPORTS[name], timeout=60))[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert refusals(target, "malformed") == before + 4


@pytest.mark.parametrize("name", UPLOADS)
def test_a_fact_that_would_unpack_to_much_more_is_refused(name: str, target: Target) -> None:
    before = refusals(target, "malformed")
    with target.cheaply(), target.channel(target.bad) as channel:
        call = channel.stream_unary(UPLOAD)  # type: ignore[call-arg]
        for _ in range(4):
            code, _ = code_of(lambda: call(iter([UPLOADS[name]]), timeout=60))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusals(target, "malformed") == before + 4


def test_messages_and_uploads_beyond_the_bound_are_refused(target: Target) -> None:
    before = refusals(target, "too_large")
    with target.cheaply(), target.channel(target.bad) as channel:
        report = channel.unary_unary(REPORT)  # type: ignore[call-arg]
        code, details = code_of(lambda: report(bytes(17 << 20), timeout=60))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "larger than max" in details
        upload = channel.stream_unary(UPLOAD)  # type: ignore[call-arg]
        made = build("m")
        large = encode_fact(InstallSet(tuple(install(f"/opt/{one:0400}", made) for one in range(2000))))
        pieces = [bomb(large[0], large[2])] * (1 + (16 << 20) // len(large[2]))
        code, details = code_of(lambda: upload(iter(pieces), timeout=60))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "send the rest in another one" in details
    assert refusals(target, "too_large") == before + 1


def test_a_gzip_bomb_is_not_unpacked_beyond_the_bound(target: Target) -> None:
    packed = len(gzip.compress(bytes(64 << 20), 9))
    assert packed < 1 << 18
    with target.cheaply(), target.channel(target.bad) as channel:
        report = channel.unary_unary(REPORT)  # type: ignore[call-arg]
        for _ in range(3):
            code, _ = code_of(lambda: report(bytes(64 << 20), timeout=60, compression=grpc.Compression.Gzip))
            assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_one_host_that_floods_gets_its_share_and_the_others_theirs(target: Target) -> None:
    before = refusals(target, "host_rate"), refusals(target, "host_calls")
    codes: dict[grpc.StatusCode, int] = {}
    lock = threading.Lock()

    def flood() -> None:
        with target.channel(target.bad) as channel:
            call = channel.unary_unary(REPORT)  # type: ignore[call-arg]
            for _ in range(300):
                code, _ = code_of(lambda: call(b"\x0a\x00", timeout=60))
                with lock:
                    codes[code] = codes.get(code, 0) + 1

    with target.cheaply(), ThreadPoolExecutor(12) as pool:
        floods = [pool.submit(flood) for _ in range(12)]
        for _ in range(5):
            target.report_honestly()
        for one in floods:
            one.result()
    assert set(codes) == {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED}
    after = refusals(target, "host_rate"), refusals(target, "host_calls")
    assert sum(after) - sum(before) == codes[grpc.StatusCode.RESOURCE_EXHAUSTED] > 0


def test_who_calls_what_is_not_for_its_role_is_counted(target: Target) -> None:
    before = refusals(target, "role")
    operator = certify(target.authority, "mallory", Role.OPERATOR)
    with target.cheaply():
        for certificate, method in ((target.bad, "/libcensus.v1.FleetService/ListHosts"), (operator, REPORT)):
            with target.channel(certificate) as channel:
                call = channel.unary_unary(method)  # type: ignore[call-arg]
                for _ in range(50):
                    code, _ = code_of(partial(call, b"", timeout=60))
                    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert refusals(target, "role") == before + 100


def test_too_many_connections_leave_the_files_that_the_collector_needs(tmp_path: Path) -> None:
    authority = Authority.init(tmp_path / "pki", "libcensus", datetime.now(UTC) - timedelta(days=30))
    few = ("prlimit", "--nofile=700:700")
    with serving(f"{tmp_path}/census.db", pki=tmp_path / "pki", prefix=few) as running, ExitStack() as stack:
        made = Target(running, authority, certify(authority, HONEST), certify(authority, BAD))
        made.report_honestly()
        for _ in range(1000):
            stack.enter_context(socket.create_connection(made.place, timeout=60))
        files = Path(f"/proc/{running.process.pid}/fd")
        assert len(list(files.iterdir())) < 650
        # The pages answer meanwhile, and when the flood is over hosts are served again.
        assert "libcensus_collector_build_info" in made.page()
        stack.close()
        deadline = time.monotonic() + 60
        while len(list(files.iterdir())) > 200 and time.monotonic() < deadline:
            assert made.page()
        made.report_honestly()
