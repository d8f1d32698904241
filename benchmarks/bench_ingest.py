"""Ingest of unchanged reports, each durable before it is acknowledged, against an empty unary echo.

    python -m benchmarks.bench_ingest [--seconds 6] [--rounds 3] [--clients 2] [--in-flight 32] [--hosts 64]
                                      [--plaintext]

Both servers are ``grpc.server`` with the same number of threads and the same bounds, each in a process of its own, on
loopback, over the same mutual TLS (``--plaintext`` measures without); the echo's handler returns an empty message and
does nothing else. The clients are several processes. Over TLS a connection is a host's, so each client keeps as many
connections as it has hosts, and a fixed number of calls in flight on them in turn; in plaintext it has one. Rounds
alternate between the two servers; the figure is the median of the rounds' ratios. Client and server share the machine's
cores, so the absolute numbers say little and the ratio is what counts: at least half of the echo.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import statistics
import sys
import tempfile
import threading
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.trusted import ECHO, REPORT, Identity, issue, make_authority, serve_collector, serve_echo, serving

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from libcensus.facts.codec import Fact

BUDGET = 0.5


@dataclass(frozen=True)
class Load:
    """What one client process sends, and for how long: to an address, as hosts, each with its report's bytes."""

    address: str
    method: str
    seconds: float
    in_flight: int
    hosts: tuple[tuple[str, Identity | None, bytes], ...]


def open_channel(address: str, identity: Identity | None) -> Any:
    """Return a connection: over TLS for a host that has an identity."""
    import grpc  # noqa: PLC0415  each process starts gRPC for itself

    return grpc.insecure_channel(address) if identity is None else identity.channel(address)


def prepare_hosts(
    address: str, identities: dict[str, Identity | None]
) -> tuple[tuple[str, Identity | None, bytes], ...]:
    """Make a fleet known to the collector; returns each host with its unchanged report but for the report's id."""
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
    made: list[tuple[str, Identity | None, bytes]] = []
    for number, (host_id, identity) in enumerate(identities.items()):
        with open_channel(address, identity) as channel:
            stub = census_pb2_grpc.CensusServiceStub(channel)  # type: ignore[no-untyped-call]
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
            made.append((host_id, identity, message.SerializeToString()))
    return tuple(made)


def drive(load: Load, pipe: Connection) -> None:
    """Keep calls in flight for a time; sends back how many were answered a second, and the first failures."""
    import grpc  # noqa: PLC0415  each process starts gRPC for itself

    stop = threading.Event()
    answered = 0
    lock = threading.Lock()
    done = threading.Semaphore(0)
    failures: list[str] = []
    with ExitStack() as stack:
        shared = None
        calls = []
        for host_id, identity, payload in load.hosts:
            if identity is not None or shared is None:
                shared = stack.enter_context(open_channel(load.address, identity)).unary_unary(load.method)
            calls.append((shared, (("libcensus-host-id", host_id),), payload))
        numbers = itertools.count()

        def send() -> None:
            if stop.is_set():
                done.release()
                return
            call, metadata, payload = calls[next(numbers) % len(calls)]
            if payload:
                # Each report has an id of its own: it stands at a fixed place, as field 1 with 16 bytes.
                payload = payload[:2] + uuid.uuid4().bytes + payload[18:]
            call.future(payload, metadata=metadata, timeout=30).add_done_callback(finish)

        def finish(future: Any) -> None:
            nonlocal answered
            if future.code() is not grpc.StatusCode.OK:
                failures.append(f"{future.code()}: {future.details()}")
            else:
                with lock:
                    answered += 1
            send()

        for call, metadata, payload in calls:
            call(payload, metadata=metadata, timeout=30)
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
    parts = [load.hosts[number::clients] for number in range(clients)]
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
    parser.add_argument("--hosts", type=int, default=64)
    parser.add_argument("--plaintext", action="store_true")
    arguments = parser.parse_args()
    rounds: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        host_ids = [uuid.uuid4().hex for _ in range(arguments.hosts)]
        identities: dict[str, Identity | None] = dict.fromkeys(host_ids)
        pki = None
        if not arguments.plaintext:
            pki = f"{folder}/pki"
            make_authority(Path(pki))
            identities = dict(issue(Path(pki), host_ids))
        echo = stack.enter_context(serving(serve_echo, pki))
        collector = stack.enter_context(serving(serve_collector, f"sqlite:///{folder}/census.db", pki))
        hosts = prepare_hosts(collector.address, identities)
        shape = {"seconds": arguments.seconds, "in_flight": arguments.in_flight}
        echoes = Load(
            echo.address, ECHO, hosts=tuple((host_id, identity, b"") for host_id, identity, _ in hosts), **shape
        )
        reports = Load(collector.address, REPORT, hosts=hosts, **shape)
        for number in range(arguments.rounds + 1):
            pair = measure(reports, arguments.clients), measure(echoes, arguments.clients)
            name = f"round {number}" if number else "warm-up"
            print(f"  {name}: {pair[0]:7.0f} reports/s, {pair[1]:7.0f} echoes/s")
            if number:
                rounds.append(pair)
    ratio = statistics.median(report / echo for report, echo in rounds)
    flight = f"{arguments.clients} clients with {arguments.in_flight} calls in flight each"
    trust = "plaintext" if arguments.plaintext else f"mutual TLS 1.3, {arguments.hosts} connections"
    print(f"unchanged reports, {flight}, SQLite, {trust}")
    print(f"  {ratio:.2f} of the empty echo (budget: at least {BUDGET})")
    print(f"  an unchanged report's request is {len(hosts[0][2])} bytes")
    result = {
        "what": "ingest of unchanged reports, durable before acknowledged",
        "ratio": round(ratio, 3),
        "value": round(statistics.median(report for report, _ in rounds)),
        "unit": "of the echo's calls per second",
        "peer": f"empty unary echo, same kind of server, {trust}",
        "budget": BUDGET,
        "met": ratio >= BUDGET,
    }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
