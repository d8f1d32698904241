"""A real Prometheus over real collectors of a simulated fleet: days that it would have scraped, and what it scrapes."""

from __future__ import annotations

import shutil
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import yaml
from grafana.demo import RULES, certified, free_ports, move_blocks, started, wait_for
from grafana.past import (
    LABELS,
    PastFleet,
    layers,
    moments,
    query,
    recorded,
    reports_of,
    write_blocks,
    write_recorded,
    write_speed,
)

from libcensus.agent.config import load_config
from libcensus.agent.spool import HeldFacts
from libcensus.agent.transport import CollectorClient
from libcensus.collector.advisories.snapshot import TABLES, load_snapshot, read_table
from libcensus.collector.app import Collector
from libcensus.collector.config import CollectorSettings
from libcensus.collector.simulation.fill import Simulation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from libcensus.agent.credentials import Credentials
    from libcensus.collector.simulation.builds import BuildPlan
    from libcensus.collector.simulation.episodes import Episode
    from libcensus.collector.simulation.facts import HostFacts
    from libcensus.collector.simulation.plan import HostPlan
    from libcensus.collector.simulation.truth import Truth

HOSTS = 200
SEED = 1
DAYS = 180
PAST_DAYS = 2
LOOKBACK = timedelta(days=1)
_PATIENCE = 240


@dataclass(frozen=True)
class Watched:
    """A Prometheus that knows a fleet's last days and its present, and what the simulator knows of it."""

    prometheus: str
    truth: Truth
    plans: Sequence[HostPlan]
    episodes: Sequence[Episode]
    reports: Sequence[HostFacts]
    past: Sequence[datetime]
    now: datetime
    digest_of: Callable[[BuildPlan], str]


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Prometheus, the collector of a fleet, and another collector that knows no host, as long as the session lasts."""
    folder = tmp_path_factory.mktemp("watched")
    now = datetime.now(UTC)
    tables = {name: read_table(name) for name in TABLES}
    simulation = Simulation(load_snapshot(), SEED, HOSTS, now.date(), days=DAYS, tables=tables)
    reports = reports_of(simulation)
    data = folder / "prometheus"
    past = moments(now - timedelta(minutes=1), PAST_DAYS, LOOKBACK)
    with ExitStack() as undo:
        port = free_ports(1)[0]
        prometheus = f"http://127.0.0.1:{port}"
        fill_past(folder, data, reports, past, port)
        credentials = certified(folder, reports)
        write_speed(folder / "speeds" / "simulated.json", now)
        fleet = undo.enter_context(served(folder, "fleet.db", folder / "pki"))
        empty = undo.enter_context(served(folder, "empty.db", None))
        jobs = {"libcensus": [fleet.http_address, empty.http_address]}
        serve_prometheus(folder, data, port, jobs, undo, lookback=LOOKBACK)
        keep_reporting(fleet.grpc_address, reports[-1], credentials, prometheus)
        wait_for_rules(prometheus)
        plans = [states[-1] for states in simulation.states()]
        yield Watched(
            prometheus,
            simulation.truth(),
            plans,
            list(simulation.episodes()),
            reports,
            past,
            datetime.now(UTC),
            simulation.build_digest,
        )


class served:  # noqa: N801 - it reads as what it is in a with statement
    """A collector of this process on a database in a folder, with TLS where it is given an authority."""

    def __init__(self, folder: Path, database: str, pki: Path | None) -> None:
        self._collector = Collector(
            CollectorSettings(
                listen="127.0.0.1:0",
                http_listen="127.0.0.1:0",
                enroll_listen=None if pki is None else "127.0.0.1:0",
                server_names=() if pki is None else ("127.0.0.1",),
                database=f"sqlite:///{folder / database}",
                pki_dir=str(pki or folder / "no-pki"),
                advisories_dir=str(folder / "advisories"),
                vex_dir=str(folder / "vex"),
                speeds_dir=str(folder / "speeds"),
                audit_log=str(folder / f"{database}.audit.jsonl"),
                metrics_labels=LABELS,
                log_level="warning",
            )
        )

    def __enter__(self) -> Collector:
        return self._collector.start()

    def __exit__(self, *_: object) -> None:
        self._collector.stop()


def fill_past(folder: Path, data: Path, reports: Sequence[HostFacts], past: Sequence[datetime], port: int) -> None:
    """Make blocks of what Prometheus would have scraped and recorded at the moments of the past."""
    pages = PastFleet(folder / "fleet.db", reports).pages(past)
    labels = {"job": "libcensus", "instance": "collector"}
    for _ in write_blocks(pages, labels, data, folder / "page.txt"):
        pass
    for layer in layers(recorded(sorted(RULES.glob("*.yml")))):
        with ExitStack() as early:
            serve_prometheus(folder, data, port, {}, early, LOOKBACK)
            write_recorded(layer, past, f"http://127.0.0.1:{port}", folder / "recorded", folder / "recorded.txt")
        move_blocks(folder / "recorded", data)


def serve_prometheus(
    folder: Path,
    data: Path,
    port: int,
    jobs: Mapping[str, Sequence[str]],
    undo: ExitStack,
    lookback: timedelta = timedelta(minutes=5),
) -> None:
    """Start Prometheus; with jobs it scrapes their targets and evaluates the rules, every few seconds."""
    # A scrape that a busy machine does not end in time makes series stale, and a query of the present empty.
    config: dict[str, object] = {
        "global": {"scrape_interval": "8s", "scrape_timeout": "8s", "evaluation_interval": "3s"}
    }
    if jobs:
        rules = folder / "rules"
        shutil.copytree(RULES, rules, dirs_exist_ok=True)
        for file in rules.glob("*.yml"):
            groups = yaml.safe_load(file.read_text(encoding="utf-8"))
            for group in groups["groups"]:
                # Nobody wants to wait for minutes here.
                group.pop("interval", None)
                group["rules"] = [rule for rule in group["rules"] if "record" in rule]
            file.write_text(yaml.safe_dump(groups), encoding="utf-8")
        config["rule_files"] = [str(rules / "*.yml")]
        config["scrape_configs"] = [
            {"job_name": job, "static_configs": [{"targets": list(targets)}]} for job, targets in jobs.items()
        ]
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    started(
        [
            "prometheus",
            f"--config.file={file}",
            f"--storage.tsdb.path={data}",
            "--storage.tsdb.retention.time=10y",
            f"--web.listen-address=127.0.0.1:{port}",
            f"--query.lookback-delta={int(lookback.total_seconds()) - 1}s",
        ],
        folder / "prometheus.log",
        undo,
    )
    wait_for(f"http://127.0.0.1:{port}/-/ready", folder / "prometheus.log")


def keep_reporting(address: str, host: HostFacts, credentials: Mapping[str, Credentials], prometheus: str) -> None:
    """Report one host over gRPC and TLS until Prometheus has seen the collector's counters move."""
    settings = load_config({"collector.address": ("the test", address)}, environment={}).collector
    facts = HeldFacts((record.kind, record.digest, record.payload) for record in host.records)
    deadline = time.monotonic() + _PATIENCE
    moved = (
        "count(rate(libcensus_collector_ingest_commit_seconds_count[1m]) > 0) "
        "and count(rate(grpc_server_handling_seconds_count[1m]) > 0)"
    )
    while not query(prometheus, moved, datetime.now(UTC)):
        assert time.monotonic() < deadline, "the collector's counters do not move"
        with CollectorClient(settings, host.received.host_id, credentials[host.received.host_id]) as client:
            client.send(host.received.report, facts)


def wait_for_rules(prometheus: str) -> None:
    """Wait until the rules have recorded the present of the fleet, which the past alone cannot have told."""
    names = {record for record, _, _ in recorded(sorted(RULES.glob("libcensus-dashboards.yml")))}
    deadline = time.monotonic() + _PATIENCE
    fresh = 'count(timestamp({{__name__="{name}"}}) > {begun})'
    begun = time.time()
    for name in sorted(names):
        while not query(prometheus, fresh.format(name=name, begun=begun), datetime.now(UTC)):
            assert time.monotonic() < deadline, f"{name} is not recorded"
            time.sleep(0.2)


@pytest.fixture(scope="session")
def promtool() -> str:
    """The program of Debian's package."""
    found = shutil.which("promtool")
    assert found, "install the package prometheus"
    subprocess.run([found, "--version"], check=True, capture_output=True)
    return found
