"""How much faster the matrix of a fleet is told than by judging host by host: 10,000 hosts, 60 platforms, 300 builds.

    python -m benchmarks.bench_matrix [--hosts 10000] [--platforms 60] [--builds 300] [--exclude PATH ...]

This machine is scanned, and its own builds and platform are varied into a fleet: builds need another glibc, platforms
define another; no two hosts have the same installs. The matrix is made with nothing judged yet, and then a real
collector serves the same database and is asked over gRPC. The peer is the naive loop that prepares each host's platform
and judges each build on it; it would take half an hour, so some hosts are taken evenly from all of them and their time
is scaled. The last lines are JSON; the exit code is 1 when a budget is missed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.bench_check import make_wheel
from libcensus.agent.artefact import read_artefacts
from libcensus.agent.config import load_config
from libcensus.agent.host import Root
from libcensus.agent.scan import scan
from libcensus.cli.client import FleetClient
from libcensus.cli.config import find_collector
from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.app import Collector
from libcensus.collector.config import CollectorSettings
from libcensus.collector.fleetindex import FleetIndex
from libcensus.collector.posture.assessment import Assessor
from libcensus.collector.posture.offer import Offer
from libcensus.collector.posture.portability import check_build
from libcensus.collector.service.portability import PortabilityReader
from libcensus.collector.store.contract import FactRecord, ReceivedReport
from libcensus.collector.store.sql import SqlStore
from libcensus.facts.codec import encode_fact
from libcensus.facts.host import Inventory, Libc, OsRelease
from libcensus.facts.interpreter import InstallSet
from libcensus.facts.report import Report
from libcensus.facts.requirement import glibc_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from libcensus.agent.scan import Scan
    from libcensus.facts.codec import Fact
    from libcensus.facts.interpreter import Build, Install
    from libcensus.facts.platform import Platform
    from libcensus.facts.requirement import Requirement

BUDGET = 100.0
IMMEDIATE = 1.0
MINORS = (17, 24, 27, 28, 31, 34, 35, 36, 38, 39, 41, 42)
ROUNDS = 5


@dataclass(frozen=True)
class Fleet:
    """What the hosts are made of: host N has platform N and installs N, each counted around."""

    platforms: Sequence[Platform]
    builds: Sequence[Build]
    hosts: int

    def platform(self, number: int) -> Platform:
        """Return what a host offers."""
        return self.platforms[number % len(self.platforms)]


def with_glibc(requirement: Requirement, minor: int) -> Requirement:
    """Return the requirement of the same file, had it been built on glibc 2.N."""

    def lowered(version: str) -> str:
        number = glibc_number(version)
        return f"GLIBC_2.{minor}" if number is not None and number > (2, minor) else version

    needs = tuple(replace(need, versions=tuple(sorted(set(map(lowered, need.versions))))) for need in requirement.needs)
    raised_by = tuple(one for one in requirement.raised_by if lowered(one.version) == one.version)
    return replace(requirement, needs=needs, raised_by=raised_by)


def vary(found: Scan, platforms: int, builds: int, hosts: int) -> Fleet:
    """Return a fleet of what one machine has."""
    real = [build for build in found.builds.values() if build.files]
    if not real:
        sys.exit("this machine has no interpreter to make a fleet of")
    made = []
    for number in range(builds):
        build = real[number % len(real)]
        files = tuple(
            file
            if file.requirement is None
            else replace(file, requirement=with_glibc(file.requirement, MINORS[number % len(MINORS)]))
            for file in build.files
        )
        made.append(replace(build, files=files, provider_build=f"bench-{number}"))
    offered = []
    for number in range(platforms):
        minor = MINORS[number % len(MINORS)]
        libraries = tuple(
            replace(
                library,
                versions=tuple(v for v in library.versions if (glibc_number(v) or (2, 0)) <= (2, minor)),
            )
            for library in found.platform.libraries
        )
        kernel = f"{5 + number % 2}.{number}"
        offered.append(replace(found.platform, libc_version=f"2.{minor}", libraries=libraries, kernel=kernel))
    return Fleet(offered, made, hosts)


def fill(store: SqlStore, found: Scan, fleet: Fleet) -> None:
    """Report every host of the fleet into a store, as agents do; each has four of the builds."""
    now = datetime.now(UTC)
    like = next(install for install in found.installs.installs if install.build is not None)
    builds = [encode_fact(build) for build in fleet.builds]
    platforms = [encode_fact(platform)[1] for platform in fleet.platforms]

    def install(number: int) -> Install:
        path = f"/opt/{number}/bin/python3"
        return replace(like, path=path, realpath=path, aliases=(), build=builds[number % len(builds)][1])

    def put(facts: Sequence[Fact]) -> None:
        store.put_facts([FactRecord(*encode_fact(fact), fact) for fact in facts])

    put([*fleet.builds, *fleet.platforms])
    reports: list[ReceivedReport] = []
    facts: list[Fact] = []
    for number in range(fleet.hosts):
        installs = InstallSet(tuple(sorted((install(number + i) for i in range(4)), key=lambda one: one.path)))
        inventory = Inventory(
            host=replace(
                found.host,
                hostname=f"host-{number:05}",
                os_release=OsRelease("bench", str(number % len(platforms))),
                libc=Libc(found.host.libc.family, fleet.platform(number).libc_version),
                evidence=(),
            ),
            platform=platforms[number % len(platforms)],
            installs=encode_fact(installs)[1],
            builds=tuple(sorted({one.build for one in installs.installs if one.build is not None})),
        )
        facts += [installs, inventory]
        digest = encode_fact(inventory)[1]
        told = Report(hashlib.sha256(digest.encode()).digest()[:16], "0.1.0", now, 1.0, digest, ())
        reports.append(ReceivedReport(f"{number:032x}", told, now))
    for start in range(0, len(facts), 1000):
        put(list({encode_fact(fact)[1]: fact for fact in facts[start : start + 1000]}.values()))
    for start in range(0, len(reports), 500):
        refused = [outcome for outcome in store.apply_reports(reports[start : start + 500]) if outcome]
        if refused:
            sys.exit(f"the store refused hosts: {refused[0]}")


def naive_seconds(fleet: Fleet, sample: int) -> float:
    """Return how long it would take to judge every build on every host, told from some hosts."""
    numbers = range(0, fleet.hosts, max(1, fleet.hosts // sample))
    started = time.perf_counter()
    for number in numbers:
        offer = Offer.of(fleet.platform(number))
        for build in fleet.builds:
            check_build(build, offer)
    return (time.perf_counter() - started) * fleet.hosts / len(numbers)


def seconds(ask: Callable[[], object]) -> float:
    """Return how long an answer takes."""
    started = time.perf_counter()
    ask()
    return time.perf_counter() - started


def main() -> None:
    """Make the fleet, ask, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=10_000)
    parser.add_argument("--platforms", type=int, default=60)
    parser.add_argument("--builds", type=int, default=300)
    parser.add_argument("--megabytes", type=int, default=100, help="size of the wheel")
    parser.add_argument("--sample", type=int, default=12, help="hosts that the naive loop judges")
    parser.add_argument("--exclude", action="append", default=[], metavar="PATH", help="passed on to the scan")
    arguments = parser.parse_args()
    excluded = {"scan.exclude": ("--exclude", tuple(arguments.exclude))} if arguments.exclude else {}
    with Root.open("/") as root:
        found = scan(root, load_config(excluded, environment={}).scan)
    fleet = vary(found, arguments.platforms, arguments.builds, arguments.hosts)
    assessor = Assessor(load_snapshot(), datetime.now(UTC).date())
    with tempfile.TemporaryDirectory() as folder, SqlStore.open(f"sqlite:///{Path(folder) / 'fleet.db'}") as store:
        wheel, number = make_wheel(Path(folder), arguments.megabytes)
        (artefact,) = read_artefacts([str(wheel)])
        fill(store, found, fleet)
        reader = PortabilityReader(FleetIndex(store), lambda: assessor)
        read = seconds(reader.libcs)
        first = seconds(reader.matrix)
        settings = CollectorSettings(listen="127.0.0.1:0", http_listen="127.0.0.1:0")
        with (
            Collector(settings, store) as collector,
            FleetClient(find_collector(collector.grpc_address, os.environ), timeout=600) as client,
        ):
            # Asked at the very start, it waits for what the collector is working out ahead.
            at_start = seconds(client.matrix)
            matrix = statistics.median(seconds(client.matrix) for _ in range(ROUNDS))
            libcs = statistics.median(seconds(client.libc_hosts) for _ in range(ROUNDS))
            check = statistics.median(seconds(lambda: client.check_portability(artefact)) for _ in range(ROUNDS))
            answer = client.matrix()
    cells = len(answer.builds) * len(answer.platforms)
    if sum(one.hosts for one in answer.platforms) != fleet.hosts or cells != arguments.builds * arguments.platforms:
        sys.exit(f"the matrix has {cells} cells of {sum(one.hosts for one in answer.platforms)} hosts")
    peer = naive_seconds(fleet, arguments.sample)
    print(f"{fleet.hosts} hosts, {len(fleet.platforms)} platforms, {len(fleet.builds)} builds: {cells} verdicts")
    print(f"hosts read by an empty index: {read:.2f} s; matrix with nothing judged yet: {first:.2f} s, without gRPC")
    print(f"over gRPC: matrix {matrix * 1000:.0f} ms ({at_start:.2f} s in the moment of the collector's start)")
    print(
        f"over gRPC: C libraries {libcs * 1000:.0f} ms, check of a wheel with {number} ELF files {check * 1000:.0f} ms"
    )
    print(f"host by host: {peer:.0f} s, told from {arguments.sample} hosts")
    size = f"{fleet.hosts} hosts, {len(fleet.platforms)} platforms, {len(fleet.builds)} builds"
    results = [
        {
            "what": f"matrix of {size}, nothing judged yet",
            "ratio": round(peer / first, 1),
            "seconds": round(first, 3),
            "peer_seconds": round(peer, 1),
            "unit": "times faster",
            "peer": "each build judged on each host",
            "budget": f">= {BUDGET:g} x",
            "met": peer / first >= BUDGET,
        },
        *(
            {
                "what": f"{what} of {size}, over gRPC",
                "value": round(taken, 3),
                "unit": "s",
                "budget": f"< {IMMEDIATE:g} s",
                "met": taken < IMMEDIATE,
            }
            for what, taken in (
                ("matrix", matrix),
                ("C libraries", libcs),
                (f"check of a {arguments.megabytes} MB wheel, once it is read,", check),
            )
        ),
    ]
    for result in results:
        print(json.dumps(result))
    sys.exit(0 if all(result["met"] for result in results) else 1)


if __name__ == "__main__":
    main()
