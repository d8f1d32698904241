"""Ingest of unchanged reports, each durable before it is acknowledged, against an empty unary echo.

    python -m benchmarks.bench_ingest [--seconds 6] [--rounds 3] [--clients 2] [--in-flight 32] [--hosts 1000]

Both servers are ``grpc.server`` with the same number of threads and the same bounds, each in a process of its own, in
plaintext on loopback; the echo's handler returns an empty message and does nothing else. The clients are several
processes, each with one channel and a fixed number of calls in flight. Rounds alternate between the two servers; the
figure is the median of the rounds' ratios. Client and server share the machine's cores, so the absolute numbers say
little and the ratio is what counts: at least half of the echo.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from libcensus.facts.codec import Fact

BUDGET = 0.5
WORKERS = 64
ECHO = "/benchmark.Echo/Echo"


@dataclass(frozen=True)
class Load:
    """What one client process sends, and for how long."""

    address: str
    method: str
    seconds: float
    in_flight: int
    payloads: tuple[tuple[str, bytes], ...]


def serve_echo(pipe: Connection) -> None:
    """Serve an empty unary echo until told to stop."""
    import grpc  # noqa: PLC0415  each process starts gRPC for itself

    server = grpc.server(
        ThreadPoolExecutor(WORKERS),
        maximum_concurrent_rpcs=256,
        options=(("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 4 * 1024**2)),
    )
    handler: Any = grpc.unary_unary_rpc_method_handler(lambda _request, _context: b"")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("benchmark.Echo", {"Echo": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    pipe.send(f"127.0.0.1:{port}")
    pipe.recv()
    server.stop(1).wait()


def serve_collector(pipe: Connection, database: str) -> None:
    """Serve a real collector until told to stop."""
    from libcensus.collector.app import Collector  # noqa: PLC0415  each process starts gRPC for itself
    from libcensus.collector.config import CollectorSettings  # noqa: PLC0415

    settings = CollectorSettings(listen="127.0.0.1:0", http_listen="127.0.0.1:0", database=database, workers=WORKERS)
    with Collector(settings) as collector:
        pipe.send(collector.grpc_address)
        pipe.recv()


@contextmanager
def serving(target: Any, *arguments: Any) -> Iterator[str]:
    """Run a server in a process of its own; yields its address."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *arguments))
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send("stop")
        process.join(60)
        if process.exitcode is None:
            os.kill(process.pid or 0, signal.SIGKILL)


def prepare_hosts(address: str, count: int) -> tuple[tuple[str, bytes], ...]:
    """Make a fleet known to the collector; returns each host's id with its unchanged report but for the report's id."""
    import grpc  # noqa: PLC0415  each process starts gRPC for itself

    from libcensus.facts.codec import (  # noqa: PLC0415
        digest_to_proto,
        encode_fact,
        fact_kind_to_proto,
        report_to_proto,
    )
    from libcensus.facts.host import Host, Inventory  # noqa: PLC0415
    from libcensus.facts.interpreter import InstallSet  # noqa: PLC0415
    from libcensus.facts.platform import Platform  # noqa: PLC0415
    from libcensus.facts.report import ProbeResult, Report  # noqa: PLC0415
    from libcensus.facts.vocabulary import ProbeState  # noqa: PLC0415
    from libcensus.v1 import census_pb2, census_pb2_grpc  # noqa: PLC0415

    platform, installs = Platform(arch="x86_64", kernel="6.1"), InstallSet()
    probes = tuple(
        ProbeResult(name, ProbeState.OK, 0.125) for name in ("platform", "packages", "interpreters", "venvs", "crypto")
    )
    made: list[tuple[str, bytes]] = []
    with grpc.insecure_channel(address) as channel:
        stub = census_pb2_grpc.CensusServiceStub(channel)  # type: ignore[no-untyped-call]
        for number in range(count):
            host_id = uuid.uuid4().hex
            metadata = (("libcensus-host-id", host_id),)
            inventory = Inventory(Host(f"host-{number}"), encode_fact(platform)[1], encode_fact(installs)[1])
            facts: list[Fact] = [inventory] if number else [inventory, platform, installs]
            uploads = [
                census_pb2.UploadFactsRequest(
                    kind=fact_kind_to_proto(kind), digest=digest_to_proto(digest), payload=payload
                )
                for kind, digest, payload in map(encode_fact, facts)
            ]
            stub.UploadFacts(iter(uploads), metadata=metadata)
            report = Report(uuid.uuid4().bytes, "0.1.0", datetime.now(UTC), 2.5, encode_fact(inventory)[1], probes)
            message = report_to_proto(report)
            if stub.Report(message, metadata=metadata).missing:
                raise AssertionError("the collector misses facts that it was sent")
            made.append((host_id, message.SerializeToString()))
    return tuple(made)


def drive(load: Load, pipe: Connection) -> None:
    """Keep calls in flight for a time; sends back how many were answered and the largest response."""
    import grpc  # noqa: PLC0415  each process starts gRPC for itself

    stop = threading.Event()
    answered = 0
    lock = threading.Lock()
    done = threading.Semaphore(0)
    mark = load.payloads[0][1][2:18] if load.payloads else b""
    failures: list[str] = []
    with grpc.insecure_channel(load.address) as channel:
        call = channel.unary_unary(load.method)  # type: ignore[call-arg]
        numbers = iter(range(10**12))

        def send() -> None:
            if stop.is_set():
                done.release()
                return
            host_id, payload = load.payloads[next(numbers) % len(load.payloads)]
            if mark:
                # Each report has an id of its own: it stands at a fixed place, as field 1 with 16 bytes.
                payload = payload[:2] + uuid.uuid4().bytes + payload[18:]
            future = call.future(payload, metadata=(("libcensus-host-id", host_id),), timeout=30)
            future.add_done_callback(finish)

        def finish(future: Any) -> None:
            nonlocal answered
            if future.code() is not grpc.StatusCode.OK:
                failures.append(f"{future.code()}: {future.details()}")
            else:
                with lock:
                    answered += 1
            send()

        pipe.send("ready")
        pipe.recv()
        started = time.perf_counter()
        for _ in range(load.in_flight):
            send()
        time.sleep(load.seconds)
        stop.set()
        taken = time.perf_counter() - started
        count = answered
        for _ in range(load.in_flight):
            done.acquire()
    pipe.send((count / taken, failures[:3]))


def measure(load: Load, clients: int) -> float:
    """Return calls answered per second, all clients together; they begin at the same moment."""
    context = multiprocessing.get_context("spawn")
    parts = [load.payloads[number::clients] for number in range(clients)]
    processes = []
    for part in parts:
        ours, theirs = context.Pipe()
        own = Load(load.address, load.method, load.seconds, load.in_flight, part)
        process = context.Process(target=drive, args=(own, theirs))
        process.start()
        processes.append((process, ours))
    for _, pipe in processes:
        pipe.recv()
    for _, pipe in processes:
        pipe.send("go")
    total = 0.0
    for process, pipe in processes:
        rate, failures = pipe.recv()
        process.join()
        if failures:
            raise AssertionError(f"calls failed: {failures}")
        total += rate
    return total


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--in-flight", type=int, default=32, help="calls in flight of each client")
    parser.add_argument("--hosts", type=int, default=1000)
    arguments = parser.parse_args()
    rounds: list[tuple[float, float]] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(serve_echo) as echo,
        serving(serve_collector, f"sqlite:///{Path(folder) / 'census.db'}") as collector,
    ):
        hosts = prepare_hosts(collector, arguments.hosts)
        shape = {"seconds": arguments.seconds, "in_flight": arguments.in_flight}
        echoes = Load(echo, ECHO, payloads=tuple((host_id, b"") for host_id, _ in hosts), **shape)
        reports = Load(collector, "/libcensus.v1.CensusService/Report", payloads=hosts, **shape)
        for number in range(arguments.rounds + 1):
            pair = measure(reports, arguments.clients), measure(echoes, arguments.clients)
            name = f"round {number}" if number else "warm-up"
            print(f"  {name}: {pair[0]:7.0f} reports/s, {pair[1]:7.0f} echoes/s")
            if number:
                rounds.append(pair)
    ratio = statistics.median(report / echo for report, echo in rounds)
    flight = f"{arguments.clients} clients with {arguments.in_flight} calls in flight each"
    print(f"unchanged reports, {flight}, SQLite, no TLS")
    print(f"  {ratio:.2f} of the empty echo (budget: at least {BUDGET})")
    print(f"  an unchanged report's request is {len(hosts[0][1])} bytes")
    result = {
        "what": "ingest of unchanged reports, durable before acknowledged",
        "ratio": round(ratio, 3),
        "value": round(statistics.median(report for report, _ in rounds)),
        "unit": "of the echo's calls per second",
        "peer": "empty unary echo, same kind of server",
        "budget": BUDGET,
        "met": ratio >= BUDGET,
    }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
