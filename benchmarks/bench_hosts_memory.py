"""What a host that the collector knows costs it in memory, with 100,000 of them.

    python -m benchmarks.bench_hosts_memory [--hosts 100000] [--variety 1000] [--detail host]

A simulated fleet of `--variety` hosts is put into a SQLite file, and its hosts again under other names until there are
`--hosts`: of a hundred machines that were installed alike, one is different. A collector of its own process serves it:
the metrics page is rendered twice at the level that is given, and some thousand hosts report. What it has then beyond
what a collector has whose database is empty, divided by the hosts, is the figure. What differs is what costs: with as
many varieties as hosts the figure is that of hosts of which no two are alike.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import urllib.request
import uuid
from typing import TYPE_CHECKING

from benchmarks.bench_advisories import copy_hosts
from benchmarks.trusted import REPORT, WORKERS, Running, serving

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

BUDGET_KIB = 10
REPORTS = 2000


def serve(pipe: Connection, database: str, detail: str) -> None:
    """Serve a real collector in plaintext until told to stop."""
    from libcensus.collector.app import Collector  # noqa: PLC0415  each process starts gRPC for itself
    from libcensus.collector.config import CollectorSettings  # noqa: PLC0415

    settings = CollectorSettings(
        listen="127.0.0.1:0",
        http_listen="127.0.0.1:0",
        database=database,
        workers=WORKERS,
        metrics_detail=detail,
        series_limit=100_000_000,
    )
    with Collector(settings) as collector:
        pipe.send((collector.grpc_address, collector.http_address, os.getpid()))
        pipe.recv()


def fill(database: str, hosts: int, variety: int) -> list[tuple[str, bytes]]:
    """Put a simulated fleet into a database; returns some hosts with their unchanged reports."""
    from libcensus.collector.advisories.snapshot import load_snapshot  # noqa: PLC0415
    from libcensus.collector.simulation.fill import Simulation  # noqa: PLC0415
    from libcensus.collector.store.sql import SqlStore  # noqa: PLC0415
    from libcensus.facts.codec import report_to_proto  # noqa: PLC0415

    with SqlStore.open(database) as store:
        Simulation(load_snapshot(), 1, min(hosts, variety)).fill(store)
        copy_hosts(store, min(hosts, variety), hosts)
        some = store.hosts()[:REPORTS]
        return [(one.host_id, report_to_proto(one.report).SerializeToString()) for one in some]


def use(collector: Running, reports: list[tuple[str, bytes]]) -> tuple[float, float]:
    """Have the page rendered twice and hosts report; returns the memory in MiB and the seconds of the second page."""
    import grpc  # noqa: PLC0415  each process starts gRPC for itself

    def page() -> float:
        started = time.monotonic()
        with urllib.request.urlopen(f"http://{collector.http_address}/metrics", timeout=600) as answer:
            while answer.read(1 << 20):
                pass
        return time.monotonic() - started

    page()
    with grpc.insecure_channel(collector.address) as channel:
        call = channel.unary_unary(REPORT)  # type: ignore[call-arg]
        for host_id, payload in reports:
            fresh = payload[:2] + uuid.uuid4().bytes + payload[18:]
            call(fresh, metadata=(("libcensus-host-id", host_id),), timeout=60)
    return collector.memory(), page()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=100_000)
    parser.add_argument("--variety", type=int, default=1_000)
    parser.add_argument("--detail", default="host", choices=("fleet", "host", "install"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        with serving(serve, f"sqlite:///{folder}/empty.db", arguments.detail) as collector:
            empty, _ = use(collector, [])
        started = time.monotonic()
        reports = fill(f"sqlite:///{folder}/census.db", arguments.hosts, arguments.variety)
        print(f"{arguments.hosts} hosts made in {time.monotonic() - started:.0f} s")
        with serving(serve, f"sqlite:///{folder}/census.db", arguments.detail) as collector:
            full, seconds = use(collector, reports)
            peak = collector.memory("VmHWM")
    each = (full - empty) * 1024 / arguments.hosts
    print(f"an empty collector: {empty:.0f} MiB; with {arguments.hosts} hosts: {full:.0f} MiB, {peak:.0f} at its peak")
    print(f"  {each:.1f} KiB a host at level {arguments.detail}; a page after some reports took {seconds:.2f} s")
    result = {
        "what": f"memory of a collector for each of {arguments.hosts} hosts of {arguments.variety} varieties, level "
        f"{arguments.detail}",
        "value": round(each, 1),
        "unit": "KiB",
        "peer": f"an empty collector: {empty:.0f} MiB",
        "budget": f"under {BUDGET_KIB} KiB",
        "met": each < BUDGET_KIB,
    }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
