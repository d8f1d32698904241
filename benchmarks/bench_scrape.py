"""A scrape of 100,000 hosts at level `host`, against sending the same bytes from memory, and against generate_latest.

    python -m benchmarks.bench_scrape [--hosts 100000] [--variety 1000] [--changed 0.0042] [--rounds 5]
                                      [--ingest-seconds 10] [--share 10] [--database FILE]

A collector in a process of its own serves a simulated fleet from SQLite. Three scrapes are told of: the first, one with
nothing changed since the last, and one before which a share of the hosts reported, as many as hourly reports bring
between two scrapes that are 15 seconds apart. The
peer is the same HTTP server in another process, whose page is the same bytes, which lie in its memory in one piece. A
scrape is timed from the request to the last byte, uncompressed, over loopback, and so is the processor time that it
took at both ends, the server and whoever reads. Rounds alternate between the peer and the collector. The figures are
ratios of processor time, summed over the rounds, because other work on the machine changes them less; those by the
clock, medians of the rounds' ratios, are printed beside.

The other peer is prometheus_client's generate_latest over the same samples, made beforehand and not counted; one of
every ``--share`` samples is taken and the time is scaled, for all of them need several gigabytes.

Ingest goes on meanwhile: reports are acknowledged by the collector for some seconds with nobody scraping, and for as
long with one scrape after the other. ``--database`` names a file with a fleet that was made before.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import re
import socket
import statistics
import sys
import tempfile
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.bench_hosts_memory import fill, serve
from benchmarks.trusted import REPORT, serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection

    from benchmarks.trusted import Running

BUDGET = 3.0
"""At most so many times the time of sending the same bytes (ARCHITECTURE, budgets)."""

FASTER = 20.0
"""At least so many times faster than generate_latest."""

REPORTERS = 8
ATTEMPTS = 6
PATIENCE_SECONDS = 600
IDLE_SECONDS = 0.1
"""Processor time in two seconds that the watches of an idle collector take at most."""
_SERIES = re.compile(r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


class Scrape(NamedTuple):
    """What one page took: seconds by the clock, and of the processor at the server and where it was read; its bytes."""

    clock: float
    server: float
    reader: float
    length: int

    @property
    def processor(self) -> float:
        """Seconds of the processor at both ends."""
        return self.server + self.reader


Unchanged = tuple[str, bytes]
"""A host with the bytes of its report."""


def serve_bytes(pipe: Connection, file: str) -> None:
    """Serve a page that lies in memory, by the collector's own HTTP server."""
    from libcensus.collector.address import Endpoint  # noqa: PLC0415  in a process of its own
    from libcensus.collector.http import Response, bind_http  # noqa: PLC0415

    page = Response(Path(file).read_bytes())
    (server,) = bind_http("http_listen", (Endpoint("127.0.0.1", 0),), {"/metrics": lambda _: page})
    server.start()
    pipe.send(("", str(server.endpoint), os.getpid()))
    pipe.recv()
    server.stop()


def fetch(address: str, keep: bytearray | None = None) -> tuple[float, int]:
    """Return the seconds from asking for the page to its last byte, and its length; ``keep`` gets the bytes."""
    host, port = address.rsplit(":", 1)
    buffer = memoryview(bytearray(1 << 20))
    with socket.create_connection((host, int(port)), timeout=900) as connection:
        started = time.perf_counter()
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
        head = bytearray()
        while b"\r\n\r\n" not in head:
            got = connection.recv_into(buffer)
            head += buffer[:got]
        start, _, begun = bytes(head).partition(b"\r\n\r\n")
        if b" 200 " not in start.splitlines()[0]:
            raise RuntimeError(start.splitlines()[0].decode())
        [length] = [int(line.split(b":")[1]) for line in start.splitlines() if line.startswith(b"Content-Length:")]
        taken = len(begun)
        if keep is not None:
            keep += begun
        while taken < length:
            got = connection.recv_into(buffer)
            if not got:
                raise RuntimeError("the page ended early")
            if keep is not None:
                keep += buffer[:got]
            taken += got
        return time.perf_counter() - started, length


def scrape(server: Running, keep: bytearray | None = None) -> Scrape:
    """Have a server send its page, and tell what that took."""
    served, read = processor_seconds(server.pid), time.process_time()
    seconds, length = fetch(server.http_address, keep)
    return Scrape(seconds, processor_seconds(server.pid) - served, time.process_time() - read, length)


def processor_seconds(pid: int) -> float:
    """Return the processor time of a process with all threads that it has and had, in hundredths of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_until_idle(server: Running) -> None:
    """Wait until a server has nothing to do: after its start a collector works out portability ahead of questions."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < ends:
        before = processor_seconds(server.pid)
        time.sleep(2)
        if processor_seconds(server.pid) - before <= IDLE_SECONDS:
            return
    print("the collector was still busy with other work; its scrapes look dearer than they are")


def report(address: str, hosts: Sequence[Unchanged]) -> None:
    """Have hosts report once, some at a time; returns when all are acknowledged."""
    import grpc  # noqa: PLC0415  each process starts gRPC for itself

    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(REPORT)  # type: ignore[call-arg]

        def send(host: Unchanged) -> None:
            for attempt in itertools.count():
                try:
                    call(fresh(host[1]), metadata=(("libcensus-host-id", host[0]),), timeout=300)
                except grpc.RpcError as error:
                    # As an agent does when the collector has no room for a moment.
                    if attempt == ATTEMPTS or error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
                    time.sleep(0.1 * 2**attempt)
                else:
                    return

        with ThreadPoolExecutor(REPORTERS) as pool:
            list(pool.map(send, hosts))


def fresh(payload: bytes) -> bytes:
    """Return a report's bytes with another id: the next report of a host on which nothing changed."""
    return payload[:2] + uuid.uuid4().bytes + payload[18:]


def keep_reporting(address: str, hosts: Sequence[Unchanged], seconds: float, pipe: Connection) -> None:
    """Report as fast as answers come for some seconds; tells how many were acknowledged, and the longest wait."""
    import grpc  # noqa: PLC0415  each process starts gRPC for itself

    done, longest = [0] * REPORTERS, [0.0] * REPORTERS

    def run(number: int) -> None:
        with grpc.insecure_channel(address, (("grpc.use_local_subchannel_pool", 1),)) as channel:
            call = channel.unary_unary(REPORT)  # type: ignore[call-arg]
            for host_id, payload in itertools.cycle(hosts[number::REPORTERS]):
                began = time.perf_counter()
                if began >= ends:
                    return
                call(fresh(payload), metadata=(("libcensus-host-id", host_id),), timeout=300, wait_for_ready=True)
                longest[number] = max(longest[number], time.perf_counter() - began)
                done[number] += 1

    ends = time.perf_counter() + seconds
    threads = [threading.Thread(target=run, args=(number,)) for number in range(REPORTERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pipe.send((sum(done), max(longest)))


def ingest(
    collector: Running, hosts: Sequence[Unchanged], seconds: float, *, scrapes: bool
) -> tuple[float, float, int]:
    """Return the reports acknowledged a second, the longest wait for one, and the scrapes that ended meanwhile."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=keep_reporting, args=(collector.address, hosts, seconds, theirs))
    process.start()
    pages = 0
    while not ours.poll(0 if scrapes else None):
        fetch(collector.http_address)
        pages += 1
    done, longest = ours.recv()
    process.join()
    return done / seconds, longest, pages


def samples(page: bytes, share: int) -> Iterator[tuple[str, list[tuple[str, dict[str, str], float]]]]:
    """Yield each family of a page with one of every so many of its samples, counted over the whole page."""
    kind = ""
    found: list[tuple[str, dict[str, str], float]] = []
    for number, line in enumerate(page.decode().splitlines()):
        if line.startswith("# TYPE "):
            if found:
                yield kind, found
            kind, found = line.rsplit(" ", 1)[1], []
        elif not line.startswith("#") and number % share == 0:
            match = _SERIES.fullmatch(line)
            if match is None:
                raise RuntimeError(f"{line!r} is no sample")
            labels = dict(_LABEL.findall(match["labels"] or ""))
            found.append((match["name"], labels, float(match["value"])))
    if found:
        yield kind, found


def generate(page: bytes, share: int) -> tuple[float, int]:
    """Return the processor time of generate_latest for the samples of a page, scaled, and how many were taken."""
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415
    from prometheus_client.metrics_core import Metric  # noqa: PLC0415
    from prometheus_client.registry import Collector  # noqa: PLC0415

    class Given(Collector):
        def __init__(self, metric: Metric) -> None:
            self._metric = metric

        def collect(self) -> Iterator[Metric]:
            yield self._metric

    seconds, taken = 0.0, 0
    for kind, found in samples(page, share):
        metric = Metric(found[0][0].removesuffix("_total"), "the same family", kind)
        for sample in found:
            metric.add_sample(*sample)
        registry = CollectorRegistry()
        registry.register(Given(metric))
        started = time.process_time()
        generate_latest(registry)
        seconds += time.process_time() - started
        taken += len(found)
    return seconds * share, taken


def report_figure(what: str, ratio: float, peer: str, budget: str, *, met: bool) -> bool:
    """Print a figure for people and as JSON; returns whether its budget is met."""
    print(f"{what}: {ratio:.2f} times; budget {budget}: {'met' if met else 'MISSED'}")
    print(json.dumps({"what": what, "ratio": round(ratio, 2), "peer": peer, "budget": budget, "met": met}))
    return met


def main() -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=100_000)
    parser.add_argument("--variety", type=int, default=1_000)
    parser.add_argument("--changed", type=float, default=0.0042)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ingest-seconds", type=float, default=10.0)
    parser.add_argument("--share", type=int, default=10)
    parser.add_argument("--database", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        database = f"sqlite:///{arguments.database or folder / 'census.db'}"
        if arguments.database is None:
            fill(database, arguments.hosts, arguments.variety)
        reports = unchanged(database, max(64, round(arguments.hosts * arguments.changed)))
        print(f"load {os.getloadavg()[0]:.1f} before")
        with serving(serve, database, "host") as collector:
            kept = bytearray()
            first = scrape(collector, kept)
            page = bytes(kept)
            kept.clear()
            length = first.length
            print(
                f"first scrape: {first.clock:.2f} s, {first.server:.2f} s of the processor, {length / 1e6:.0f} MB, "
                f"{page.count(b'{'):,} series; load {os.getloadavg()[0]:.1f}"
            )
            (folder / "page").write_bytes(page)
            with serving(serve_bytes, str(folder / "page")) as memory:
                wait_until_idle(collector)
                rounds: list[tuple[Scrape, Scrape, Scrape]] = []
                for number in range(arguments.rounds):
                    written, same = scrape(memory), scrape(collector)
                    report(collector.address, reports)
                    rounds.append((written, same, scrape(collector)))
                    told = ", ".join(
                        f"{name} {one.clock:.3f} s ({one.server:.2f} + {one.reader:.2f} s of the processor)"
                        for name, one in zip(
                            ("bytes from memory", "nothing changed", f"{len(reports)} hosts reported"),
                            rounds[-1],
                            strict=True,
                        )
                    )
                    print(f"round {number + 1}: {told}; load {os.getloadavg()[0]:.1f}")
            print(f"the collector's memory after that: {collector.memory():.0f} MiB")
            alone = ingest(collector, reports, arguments.ingest_seconds, scrapes=False)
            beside = ingest(collector, reports, arguments.ingest_seconds, scrapes=True)
        seconds, taken = generate(page, arguments.share)
    print(f"generate_latest: {seconds:.1f} s of the processor, scaled from {taken:,} samples")
    print(
        f"ingest: {alone[0]:.0f} reports a second with nobody scraping, the longest wait {alone[1]:.2f} s; "
        f"{beside[0]:.0f} during {beside[2]} scrapes one after the other, {beside[1]:.2f} s"
    )
    of_bytes = f"sending the same {length / 1e6:.0f} MB from memory"
    what = f"scrape of {arguments.hosts:,} hosts at level host"
    met = []
    for name, place in (("nothing changed", 1), (f"{arguments.changed:.1%} reported", 2)):
        ratio = sum(one[place].processor for one in rounds) / sum(one[0].processor for one in rounds)
        by_clock = statistics.median(one[place].clock / one[0].clock for one in rounds)
        print(f"{what}, {name}: {by_clock:.2f} times by the clock")
        met.append(report_figure(f"{what}, {name}", ratio, of_bytes, f"at most {BUDGET:g}", met=ratio <= BUDGET))
    # The kernel counts in ticks: a small fleet's scrape may take less than one.
    tick = 1 / os.sysconf("SC_CLK_TCK")
    faster = seconds / max(tick, statistics.fmean(one[2].server for one in rounds))
    met.append(
        report_figure(
            f"{what}, {arguments.changed:.1%} reported: times faster",
            faster,
            "generate_latest on the same samples",
            f"at least {FASTER:g}",
            met=faster >= FASTER,
        )
    )
    # No budget says how much of the machine a scrape may take; that it holds up no report is a test.
    noted = {"what": "ingest during scrapes one after the other", "ratio": round(beside[0] / alone[0], 2)}
    print(json.dumps({**noted, "peer": "ingest with nobody scraping"}))
    return 0 if all(met) else 1


def unchanged(database: str, hosts: int) -> list[Unchanged]:
    """Return hosts, spread over all of them by name, with the bytes of their reports."""
    from libcensus.collector.store.sql import SqlStore  # noqa: PLC0415
    from libcensus.facts.codec import report_to_proto  # noqa: PLC0415

    with SqlStore.open(database) as store:
        stamps = store.host_stamps()
        step = max(1, len(stamps) // hosts)
        some = store.hosts([stamp.host_id for stamp in stamps[::step][:hosts]])
        return [(one.host_id, report_to_proto(one.report).SerializeToString()) for one in some]


if __name__ == "__main__":
    sys.exit(main())
