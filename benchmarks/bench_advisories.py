"""How long a new advisory takes to be applied to 100,000 hosts, against 1,000 hosts of the same variety.

    python -m benchmarks.bench_advisories [--hosts 100000] [--peer 1000] [--days 0] [--repeat 3]

Both fleets are simulated; the large one has each host of the small one many times under other names, so that both have
the same builds, libraries and packages. With all judged once, another catalogue comes, and two things are measured on
each fleet: the posture's answer, and the page of metrics at the level `host`. The last lines are JSON; the exit code is
1 when a budget is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.metrics.exporter import FleetExporter
from libcensus.collector.metrics.view import Detail
from libcensus.collector.posture.assessment import Assessor
from libcensus.collector.postureindex import PostureIndexes
from libcensus.collector.service.posture import PostureReader, Question
from libcensus.collector.simulation.fill import Simulation
from libcensus.collector.store.contract import FactRecord, ReceivedReport
from libcensus.collector.store.sql import SqlStore
from libcensus.facts.codec import encode_fact
from libcensus.facts.host import Inventory

if TYPE_CHECKING:
    from collections.abc import Callable

    from libcensus.collector.posture.catalogue import Catalogue

BUDGET = 2.0
"""At most so many times the small fleet's time (ARCHITECTURE, budgets)."""

_BATCH = 500


def copy_hosts(store: SqlStore, peer: int, hosts: int) -> None:
    """Report every host of a fleet again and again under other names, until there are as many."""
    states = store.hosts()
    inventories = store.facts({state.inventory for state in states})
    number = peer
    while number < hosts:
        records, reports = [], []
        for _ in range(min(_BATCH, hosts - number)):
            state = states[number % peer]
            inventory = inventories[state.inventory]
            if not isinstance(inventory, Inventory):
                raise TypeError(type(inventory).__name__)
            named = replace(inventory, host=replace(inventory.host, hostname=f"copy-{number:06d}"))
            record = FactRecord(*encode_fact(named))
            records.append(record)
            report = replace(
                state.report,
                report_id=number.to_bytes(16, "big"),
                inventory=record.digest,
                processes=None,
                processes_digest=None,
            )
            reports.append(ReceivedReport(f"{number:032x}", report, state.last_report + timedelta(seconds=1)))
            number += 1
        store.put_facts(records)
        if any(store.apply_reports(reports)):
            raise RuntimeError("a copied report was not taken")
        print(f"\r{number:,} hosts", end="", file=sys.stderr)
    print(file=sys.stderr)


class Fleet:
    """One fleet with everything judged; ``measure`` gives it another catalogue."""

    def __init__(self, store: SqlStore, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._today = datetime.now(UTC).date()
        self._assessor = Assessor(catalogue, self._today)
        indexes = PostureIndexes(store, lambda: self._assessor)
        self.posture = PostureReader(indexes)
        self.exporter = FleetExporter(store, lambda: self._assessor, Detail.HOST, 10_000_000, indexes.present)
        started = time.perf_counter()
        self.hosts = self.posture.posture(Question(limit=10)).hosts
        self.exporter.render()
        self.first = time.perf_counter() - started

    def ask(self) -> None:
        """Ask for the posture of the fleet."""
        self.posture.posture(Question(limit=10))

    def median(self, step: Callable[[], object], repeat: int) -> float:
        """Return how long a step takes after another catalogue came, the middle of some times."""
        advisories = self._catalogue.advisories
        times = []
        for number in range(1, repeat + 1):
            # Some advisories fewer each time: as many cases have to be judged as with one more.
            self._assessor = Assessor(replace(self._catalogue, advisories=advisories[number:]), self._today)
            started = time.perf_counter()
            step()
            times.append(time.perf_counter() - started)
        return statistics.median(times)


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=100_000)
    parser.add_argument("--peer", type=int, default=1_000)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    catalogue = load_snapshot()
    figures: dict[str, dict[int, float]] = {"posture": {}, "metrics": {}}
    with tempfile.TemporaryDirectory() as folder:
        fleets = []
        for hosts in (arguments.peer, arguments.hosts):
            store = SqlStore.open(f"sqlite:///{Path(folder) / f'{hosts}.db'}")
            Simulation(catalogue, 1, arguments.peer).fill(store)
            copy_hosts(store, arguments.peer, hosts)
            fleet = Fleet(store, catalogue)
            print(f"{fleet.hosts:,} hosts: judged and rendered for the first time in {fleet.first:.1f} s")
            fleets.append(fleet)
        for fleet in fleets:
            figures["posture"][fleet.hosts] = fleet.median(fleet.ask, arguments.repeat)
            figures["metrics"][fleet.hosts] = fleet.median(fleet.exporter.render, arguments.repeat)
    told = {}
    for what, seconds in figures.items():
        ratio = seconds[arguments.hosts] / seconds[arguments.peer]
        told[what] = {
            "seconds": seconds[arguments.hosts],
            "peer_seconds": seconds[arguments.peer],
            "ratio": ratio,
            "budget": BUDGET,
            "met": ratio <= BUDGET,
        }
        print(f"{what}: {seconds[arguments.hosts]:.2f} s against {seconds[arguments.peer]:.2f} s, {ratio:.2f} times")
    print(json.dumps({"hosts": arguments.hosts, "peer": arguments.peer, **told}, indent=1))
    return 0 if all(one["met"] for one in told.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
