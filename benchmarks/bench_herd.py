"""Ten thousand agents that come back at once, each with a connection and a TLS handshake of its own.

    python -m benchmarks.bench_herd [--agents 10000] [--clients 4] [--at-once 64] [--quiet-agents 2000]

First as one-shot agents do in everyday life, a number of them at a time: reports a second, each with a handshake. Then
all at once, as after an outage: how long until everybody's report is durable, how many were asked to come back (and
came back when they were asked to), the collector's peak memory beside that with a quarter of them, and how long its
metrics page took meanwhile. Every agent is a host that the collector knows and that has not changed. Clients and
collector share the machine, and the clients' share of the handshakes is larger than the collector's.
"""

from __future__ import annotations

import argparse
import heapq
import json
import multiprocessing
import os
import queue
import random
import re
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.trusted import REPORT, Identity, Running, issue, make_authority, serve_collector, serving

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

MINUTES = 5
"""Within how many minutes everybody is served."""

GROWTH = 1.25
"""How much higher the peak of memory may be than with a quarter of the agents: what is open at once is bounded."""

SCRAPE_SECONDS = 10.0
"""Prometheus gives a scrape up by default after so many seconds."""


@dataclass(frozen=True)
class Agent:
    """One host: its certificate, and its unchanged report but for the report's id."""

    identity: Identity
    payload: bytes


@dataclass(frozen=True)
class Herd:
    """What one client process does: the agents, and how many of them are there at once."""

    address: str
    at_once: int
    agents: tuple[Agent, ...]


@dataclass(frozen=True)
class Served:
    """What became of a process's agents: seconds until each was served, answers that asked to come back, failures."""

    seconds: tuple[float, ...]
    refused: int
    unreachable: int
    failures: tuple[str, ...]


def fill(database: str, host_ids: list[str]) -> list[bytes]:
    """Make hosts known; returns each one's unchanged report as bytes."""
    from libcensus.collector.store.contract import FactRecord, ReceivedReport  # noqa: PLC0415
    from libcensus.collector.store.sql import SqlStore  # noqa: PLC0415
    from libcensus.facts.codec import encode_fact, report_to_proto  # noqa: PLC0415
    from libcensus.facts.host import Host, Inventory  # noqa: PLC0415
    from libcensus.facts.interpreter import InstallSet  # noqa: PLC0415
    from libcensus.facts.platform import Platform  # noqa: PLC0415
    from libcensus.facts.report import ProbeResult, Report  # noqa: PLC0415
    from libcensus.facts.vocabulary import ProbeState  # noqa: PLC0415

    probes = tuple(
        ProbeResult(name, ProbeState.OK, 0.125) for name in ("platform", "packages", "interpreters", "venvs", "crypto")
    )
    platform, installs = Platform(arch="x86_64", kernel="6.1"), InstallSet()
    payloads = []
    with SqlStore.open(database) as store:
        for first in range(0, len(host_ids), 500):
            received = []
            facts = {encode_fact(fact)[1]: fact for fact in (platform, installs)}
            for number, host_id in enumerate(host_ids[first : first + 500], first):
                inventory = Inventory(Host(f"host-{number}"), encode_fact(platform)[1], encode_fact(installs)[1])
                digest = encode_fact(inventory)[1]
                facts[digest] = inventory  # type: ignore[assignment]
                report = Report(uuid.uuid4().bytes, "0.1.0", datetime.now(UTC), 2.5, digest, probes)
                received.append(ReceivedReport(host_id, report, datetime.now(UTC)))
                payloads.append(report_to_proto(report).SerializeToString())
            store.put_facts([FactRecord(*encode_fact(fact), fact) for fact in facts.values()])
            store.apply_reports(received)
    return payloads


def drive(herd: Herd, pipe: Connection) -> None:
    """Let every agent report once, at most so many at a time; sends back what became of them."""
    import grpc  # noqa: PLC0415  each process starts gRPC for itself

    # Agents have processors of their own: here they take only what the collector leaves.
    os.nice(10)
    # What an agent keeps its report for, and tries again.
    passing = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED}
    chance = random.Random()  # noqa: S311 - spread, no secret
    ended: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
    waiting = list(reversed(range(len(herd.agents))))
    again: list[tuple[float, int]] = []
    channels: dict[int, Any] = {}
    attempts: dict[int, int] = {}
    began: dict[int, float] = {}
    seconds: list[float] = []
    failures: list[str] = []
    refused = unreachable = 0

    def call(number: int) -> None:
        agent = herd.agents[number]
        payload = agent.payload[:2] + uuid.uuid4().bytes + agent.payload[18:]
        future = channels[number].unary_unary(REPORT).future(payload, timeout=120)
        future.add_done_callback(lambda done: ended.put((number, done)))

    pipe.send("ready")
    pipe.recv()
    started = time.monotonic()
    left = len(herd.agents)
    while left:
        while waiting and len(channels) < herd.at_once:
            number = waiting.pop()
            began[number] = time.monotonic()
            channels[number] = herd.agents[number].identity.channel(herd.address)
            call(number)
        while again and again[0][0] <= time.monotonic():
            call(heapq.heappop(again)[1])
        try:
            number, done = ended.get(timeout=max(0.001, min(again[0][0] - time.monotonic(), 1)) if again else 1)
        except queue.Empty:
            continue
        code = done.code()
        hint = next((int(value) / 1000 for key, value in done.trailing_metadata() or () if "pushback" in key), None)
        if code is grpc.StatusCode.OK:
            seconds.append(time.monotonic() - (began[number] if herd.at_once < len(herd.agents) else started))
        elif hint is not None or code in passing:
            refused += hint is not None
            unreachable += hint is None
            tries = attempts[number] = attempts.get(number, 0) + (hint is None)
            pause = (hint or 0.0) + chance.uniform(0, max(hint or 0.0, min(8.0, 0.25 * 2.0**tries)))
            heapq.heappush(again, (time.monotonic() + pause, number))
            continue
        else:
            failures.append(f"{code}: {done.details()}")
        channels.pop(number).close()
        left -= 1
    pipe.send(Served(tuple(seconds), refused, unreachable, tuple(failures[:3])))


def run(address: str, agents: list[Agent], clients: int, at_once: int) -> tuple[float, list[Served]]:
    """Let all agents report; returns how long it took, and what became of them by process."""
    context = multiprocessing.get_context("spawn")
    processes = []
    for part in range(clients):
        ours, theirs = context.Pipe()
        herd = Herd(address, max(1, at_once // clients), tuple(agents[part::clients]))
        process = context.Process(target=drive, args=(herd, theirs))
        process.start()
        processes.append((process, ours))
    for _, pipe in processes:
        pipe.recv()
    started = time.monotonic()
    for _, pipe in processes:
        pipe.send("go")
    served = [pipe.recv() for _, pipe in processes]
    taken = time.monotonic() - started
    for process, _ in processes:
        process.join()
    for one in served:
        if one.failures:
            raise AssertionError(f"calls failed: {one.failures}")
    return taken, served


class Scraper:
    """Asks for the metrics page again and again, and keeps how long each answer took."""

    def __init__(self, address: str) -> None:
        self._url = f"http://{address}/metrics"
        self.seconds: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def page(self) -> str:
        """Return the page."""
        with urllib.request.urlopen(self._url, timeout=120) as answer:  # noqa: S310 - our own, on loopback
            text: str = answer.read().decode()
            return text

    def refusals(self) -> dict[str, int]:
        """Return the refusals by reason, as the collector counts them."""
        found = re.findall(r'^libcensus_collector_refusals_total\{reason="(\w+)"\} (\S+)$', self.page(), re.MULTILINE)
        return {reason: int(float(value)) for reason, value in found if float(value)}

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(1.0):
            started = time.monotonic()
            self.page()
            self.seconds.append(time.monotonic() - started)


def measure_everyday(collector: Running, agents: list[Agent], clients: int, at_once: int) -> dict[str, Any]:
    """Let agents report a number at a time."""
    taken, served = run(collector.address, agents, clients, at_once)
    times = [second for one in served for second in one.seconds]
    rate = len(agents) / taken
    print(f"{len(agents)} one-shot agents, {at_once} at a time, each with a handshake: {rate:.0f} reports/s")
    print(f"  each took {statistics.median(times) * 1000:.0f} ms in the middle, {max(times) * 1000:.0f} ms at most")
    return {
        "what": "one-shot agents, each with a TLS handshake of its own",
        "value": round(rate),
        "unit": "reports/s, clients on the same cores",
        "peer": f"{len(agents)} agents, {at_once} at a time",
    }


def measure_herd(collector: Running, agents: list[Agent], clients: int) -> tuple[float, list[dict[str, Any]]]:
    """Let all agents come at once; returns the collector's peak of memory in MiB, and the results."""
    scraper = Scraper(collector.http_address)
    scraper.page()
    before, refused_before = collector.memory(), scraper.refusals()
    scraper.start()
    taken, served = run(collector.address, agents, clients, clients * len(agents))
    scraper.stop()
    times = sorted(second for one in served for second in one.seconds)
    refused = sum(one.refused for one in served)
    peak, after = collector.memory("VmHWM"), collector.memory()
    counted = {reason: count - refused_before.get(reason, 0) for reason, count in scraper.refusals().items()}
    half, most = times[len(times) // 2], times[int(len(times) * 0.99)]
    slowest = max(scraper.seconds, default=0.0)
    print(f"{len(agents)} agents at once: all served after {taken:.0f} s, half of them after {half:.0f} s")
    print(f"  99 % after {most:.0f} s; {refused} answers asked to come back; counted by the collector: {counted}")
    print(f"  {sum(one.unreachable for one in served)} calls that failed otherwise and were tried again")
    print(f"  the collector's memory: {before:.0f} MiB before, {peak:.0f} MiB at the peak, {after:.0f} MiB after")
    print(
        f"  its metrics page meanwhile: {statistics.median(scraper.seconds or [0]):.2f} s in the middle, "
        f"{slowest:.2f} s at most of {len(scraper.seconds)} scrapes"
    )
    return peak, [
        {
            "what": f"{len(agents)} agents at once, until the last one's report is durable",
            "value": round(taken),
            "unit": f"s; {refused} asked to come back",
            "budget": f"at most {MINUTES} min",
            "met": taken <= MINUTES * 60,
        },
        {
            "what": "the slowest scrape of the metrics page meanwhile",
            "value": round(slowest, 2),
            "unit": "s",
            "budget": f"at most {SCRAPE_SECONDS:g} s",
            "met": slowest <= SCRAPE_SECONDS,
        },
    ]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=10_000)
    parser.add_argument("--quiet-agents", type=int, default=2000, help="agents that report a number at a time")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--at-once", type=int, default=64)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pki, database = f"{folder}/pki", f"sqlite:///{folder}/census.db"
        make_authority(Path(pki))
        host_ids = [uuid.uuid4().hex for _ in range(max(arguments.agents, arguments.quiet_agents))]
        payloads = fill(database, host_ids)
        identities = issue(Path(pki), host_ids)
        agents = [Agent(identities[host_id], payload) for host_id, payload in zip(host_ids, payloads, strict=True)]
        with serving(serve_collector, database, pki) as collector:
            results = [
                measure_everyday(collector, agents[: arguments.quiet_agents], arguments.clients, arguments.at_once)
            ]
        # Collectors of their own: their peak of memory begins anew.
        with serving(serve_collector, database, pki) as collector:
            few, _ = measure_herd(collector, agents[: arguments.agents // 4], arguments.clients)
        with serving(serve_collector, database, pki) as collector:
            peak, herd = measure_herd(collector, agents[: arguments.agents], arguments.clients)
            results += herd
    results.append(
        {
            "what": "the collector's peak of memory through that",
            "value": round(peak / few, 2),
            "unit": f"times; {peak:.0f} MiB",
            "peer": f"a quarter of the agents: {few:.0f} MiB",
            "budget": f"at most {GROWTH:g}",
            "met": peak <= GROWTH * few,
        }
    )
    for result in results:
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
