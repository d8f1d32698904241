"""Every query over shards, and over several collectors of one database, of a fleet with names that nobody would choose.

One Prometheus scrapes the same fleet under two jobs: once from one collector, and once from two shards and from a
collector that tells of every host once more. Whatever a dashboard asks of one job, it must find the same in the other.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from grafana.asked import BOARDS, EVERYTHING, Asked, filled, lookups, queries
from grafana.demo import free_ports
from grafana.past import labels_of, query, reports_of, write_speed

from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.app import Collector
from libcensus.collector.config import CollectorSettings
from libcensus.collector.metrics.shard import Shard
from libcensus.collector.simulation.fill import Simulation
from libcensus.collector.store.contract import FactRecord
from libcensus.collector.store.sql import SqlStore
from libcensus.facts.codec import decode_fact, encode_fact
from libcensus.facts.host import Inventory
from libcensus.facts.interpreter import InstallSet
from tests.grafana.conftest import serve_prometheus
from tests.grafana.test_queries import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from libcensus.collector.simulation.facts import HostFacts

pytestmark = pytest.mark.timeout(900)
"""The first test waits for a fleet with a past, collectors and Prometheus, which a busy machine takes minutes for."""

HOSTS = 24
ONE, SEVERAL = "libcensus-one", "libcensus-several"
ODD_NAME = 'odd "host"\n\\ {label="x"} é'
ODD_PATH = '/srv/it"s\n{odd}\\/bin/python'
TWICE = "twice"
_PATIENCE = 240


@dataclass(frozen=True)
class Odd:
    """A Prometheus that looks at the fleet under both jobs, and the name of the host that went."""

    prometheus: str
    gone: str


def renamed(one: HostFacts, hostname: str, path: str = "") -> HostFacts:
    """Return what a host tells under another name, with another path of its last install."""
    records = {record.digest: record for record in one.records}
    inventory = decode_fact(records[one.received.report.inventory].kind, records[one.received.report.inventory].payload)
    assert isinstance(inventory, Inventory)
    added = []
    if path:
        installs = decode_fact(records[inventory.installs].kind, records[inventory.installs].payload)
        assert isinstance(installs, InstallSet)
        moved = (*installs.installs[:-1], replace(installs.installs[-1], path=path))
        placed = InstallSet(tuple(sorted(moved, key=lambda install: (install.root, install.path))))
        added.append(FactRecord(*encode_fact(placed)))
        inventory = replace(inventory, installs=added[-1].digest)
    inventory = replace(inventory, host=replace(inventory.host, hostname=hostname))
    added.append(FactRecord(*encode_fact(inventory)))
    report = replace(one.received.report, inventory=added[-1].digest)
    return replace(one, received=replace(one.received, report=report), records=(*one.records, *added))


def oddly_named(reports: Sequence[HostFacts]) -> list[HostFacts]:
    """Give one host an odd name and path, and two others one name."""
    odd, first, second = sorted({one.received.host_id for one in reports})[:3]
    names = {odd: (ODD_NAME, ODD_PATH), first: (TWICE, ""), second: (TWICE, "")}
    return [renamed(one, *names[one.received.host_id]) if one.received.host_id in names else one for one in reports]


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Odd]:
    folder = tmp_path_factory.mktemp("several")
    now = datetime.now(UTC)
    reports = oddly_named(reports_of(Simulation(load_snapshot(), 3, HOSTS, now.date(), days=30)))
    whole = folder / "whole.db"
    with SqlStore.open(f"sqlite:///{whole}") as store:
        for one in reports:
            store.put_facts(one.records)
            store.apply_reports([one.received])
        for state in store.hosts():
            store.set_labels(state.host_id, labels_of(state.host_id))
        gone = store.hosts()[-1]
    assert gone.name not in {ODD_NAME, TWICE}
    write_speed(folder / "speeds" / "simulated.json", now)
    # A file of SQLite is one collector's; several of one database are on PostgreSQL. These are alike.
    parts = {"one": Shard(), "first": Shard(1, 2), "second": Shard(2, 2), "again": Shard()}
    with ExitStack() as undo:
        databases = [folder / f"{name}.db" for name in parts]
        targets = []
        for database, shard in zip(databases, parts.values(), strict=True):
            database.write_bytes(whole.read_bytes())
            collector = Collector(
                CollectorSettings(
                    listen="127.0.0.1:0",
                    http_listen="127.0.0.1:0",
                    database=f"sqlite:///{database}",
                    pki_dir=str(folder / "no-pki"),
                    advisories_dir=str(folder / "advisories"),
                    vex_dir=str(folder / "vex"),
                    speeds_dir=str(folder / "speeds"),
                    audit_log=str(folder / "audit.jsonl"),
                    metrics_labels=("env", "team"),
                    shard=shard,
                    log_level="warning",
                )
            ).start()
            undo.callback(collector.stop)
            targets.append(collector.http_address)
            # The first page judges the whole fleet; Prometheus would give up waiting on a busy machine.
            with urllib.request.urlopen(f"http://{collector.http_address}/metrics", timeout=120) as page:
                page.read()
        port = free_ports(1)[0]
        prometheus = f"http://127.0.0.1:{port}"
        jobs = {ONE: targets[:1], SEVERAL: targets[1:]}
        serve_prometheus(folder, folder / "prometheus", port, jobs, undo)
        settled(prometheus, HOSTS)
        for database in databases:
            remove(database, gone.host_id)
        settled(prometheus, HOSTS - 1)
        yield Odd(prometheus, gone.name)


def remove(database: Path, host_id: str) -> None:
    """Take a host out of a collector's database while the collector runs."""
    with ExitStack() as undo:
        connection = sqlite3.connect(database, timeout=60)
        undo.callback(connection.close)
        with connection:
            for table in ("install_intervals", "inventory_intervals", "host_labels", "hosts"):
                connection.execute(f"DELETE FROM {table} WHERE host_id = ?", (host_id,))  # noqa: S608 - names of tables


def settled(prometheus: str, hosts: int) -> None:
    """Wait until scrapes and rules of both jobs tell of so many hosts, and each rule was evaluated on that."""
    deadline = time.monotonic() + _PATIENCE
    counts = (
        "sum by (job) (count by (job, instance) (libcensus_host_info))",
        "count by (job) (job_host:libcensus_host_last_report_timestamp_seconds:max)",
        "sum by (job) (libcensus_collector_shard_hosts)",
    )
    wanted = ({ONE: hosts, SEVERAL: 2 * hosts}, {ONE: hosts, SEVERAL: hosts}, {ONE: hosts, SEVERAL: 2 * hosts})
    for expr, expected in zip(counts, wanted, strict=True):
        while True:
            found = query(prometheus, expr, datetime.now(UTC))
            if {series["metric"]["job"]: int(series["value"][1]) for series in found} == expected:
                break
            assert time.monotonic() < deadline, f"{expr}: {found}"
            time.sleep(0.2)
    wait_for_evaluations(prometheus, deadline)


def wait_for_evaluations(prometheus: str, deadline: float) -> None:
    """Wait until every group of rules was evaluated three times from now on: rules read what others recorded."""
    seen: dict[str, set[str]] = {}
    while not seen or any(len(moments) <= 3 for moments in seen.values()):
        with urllib.request.urlopen(f"{prometheus}/api/v1/rules", timeout=60) as answer:
            for group in json.load(answer)["data"]["groups"]:
                seen.setdefault(group["name"], set()).add(group["lastEvaluation"])
        assert time.monotonic() < deadline, "the rules are not evaluated"
        time.sleep(0.2)


def of_hosts() -> list[Asked]:
    """Return the queries that are not about collectors themselves, of which there are more under one job."""
    own = re.compile(r"libcensus_(collector_|series)|grpc_|process_")
    return [one for one in queries() if not own.search(one.expr)]


def answer(odd: Odd, one: Asked, job: str, moment: datetime, host: str) -> dict[tuple[tuple[str, str], ...], float]:
    """Return what a query finds under a job, by its labels without those of the scrape; no two may have the same."""
    expr = filled(one.expr, {**EVERYTHING, "job": job, "host": host, "__rate_interval": "1m"})
    found: dict[tuple[tuple[str, str], ...], float] = {}
    for series in query(odd.prometheus, expr, moment):
        labels = tuple(sorted(pair for pair in series["metric"].items() if pair[0] not in {"job", "__name__"}))
        assert labels not in found, f"one series twice: {labels}"
        found[labels] = float(series["value"][1])
    return found


@pytest.mark.parametrize("one", of_hosts(), ids=str)
def test_several_collectors_and_shards_show_what_one_shows(odd: Odd, one: Asked) -> None:
    moment = datetime.now(UTC)
    for host in (ODD_NAME, TWICE):
        alone = answer(odd, one, ONE, moment, host)
        together = answer(odd, one, SEVERAL, moment, host)
        assert together == pytest.approx(alone, nan_ok=True)
        assert not any(odd.gone in labels for key in together for labels in key), "a host that went is shown"
        assert not any("instance" in dict(key) for key in together)


def test_an_odd_name_and_path_arrive_as_they_are(odd: Odd) -> None:
    moment = datetime.now(UTC)
    panels = {one.panel: one for one in queries() if one.board == "libcensus-host"}
    assert answer(odd, panels["System"], SEVERAL, moment, ODD_NAME)
    paths = {
        dict(key)["path"] for key in answer(odd, panels["Interpreters and environments"], SEVERAL, moment, ODD_NAME)
    }
    assert ODD_PATH in paths


def test_two_hosts_of_one_name_are_two(odd: Odd) -> None:
    found = query(
        odd.prometheus, f'count by (host) (libcensus_host_info{{job="{ONE}", host=~"{TWICE}.*"}})', datetime.now(UTC)
    )
    assert len(found) == 2
    assert all(series["value"][1] == "1" for series in found)


def test_a_variable_finds_an_odd_name(odd: Odd) -> None:
    (found,) = (one for one in lookups({**EVERYTHING, "job": SEVERAL}) if one.variable == "host")
    (pattern,) = (one["regex"] for one in BOARDS["libcensus-host"]["templating"]["list"] if one["name"] == "host")
    texts = [text_of(series) for series in query(odd.prometheus, found.expr, datetime.now(UTC))]
    names = [match[1] for text in texts if (match := re.search(pattern.strip("/"), text))]
    assert len(names) == HOSTS - 1
    assert ODD_NAME in names


def test_rules_end_without_error(odd: Odd) -> None:
    with urllib.request.urlopen(f"{odd.prometheus}/api/v1/rules", timeout=60) as told:
        for group in json.load(told)["data"]["groups"]:
            for rule in group["rules"]:
                assert rule["health"] == "ok", (rule["name"], rule.get("lastError"))
