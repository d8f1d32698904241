"""The past of a simulated fleet as Prometheus would have it, had it scraped the collector all along.

Prometheus scrapes the present only. So the reports of the simulated hosts are put into a store in the order in which
they came, and at moments of the past the collector's own exporter renders the page that it would have served then,
with the verdicts of that day. `promtool` makes blocks of the pages; what rules would have recorded is asked of a
Prometheus that holds them, moment by moment, and becomes blocks too.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import yaml

from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.metrics.exporter import FleetExporter
from libcensus.collector.metrics.exposition import Format, escape_value
from libcensus.collector.posture.assessment import Assessor
from libcensus.collector.simulation.facts import FactMaker
from libcensus.collector.speeds.document import SCHEMA_VERSION, WORKLOADS
from libcensus.collector.store.sql import SqlStore
from libcensus.facts.report import AgentState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from libcensus.collector.simulation.facts import HostFacts
    from libcensus.collector.simulation.fill import Simulation

_BATCH = 200
_CERTIFICATE = timedelta(days=7)

LABELS = ("env", "team")
"""The labels that hosts get here, as an operator would give them."""


def labels_of(host_id: str) -> dict[str, str]:
    """Return the labels of a host: the same for the same host."""
    number = int(host_id[:8], 16)
    return {
        "env": ("prod", "prod", "prod", "staging", "dev")[number % 5],
        "team": ("payments", "platform", "search", "web")[number // 5 % 4],
    }


def reports_of(simulation: Simulation) -> list[HostFacts]:
    """Return all reports of a fleet with the facts that they rest on, the oldest first.

    What the simulation does not tell is as on hosts that have certificates, and agents some of which wait or lost
    something: the dashboards show that, too.
    """
    maker = FactMaker()
    told = [_as_agents_tell(maker.facts_of(state)) for states in simulation.states() for state in states]
    return sorted(told, key=lambda one: (one.received.received_at, one.received.host_id))


def _as_agents_tell(one: HostFacts) -> HostFacts:
    received = one.received
    number = int(received.host_id[8:16], 16)
    state = AgentState(
        waiting_reports=number % 5 if number % 20 == 1 else 0,
        dropped_reports=2 if number % 50 == 2 else 0,
        dropped_facts=7 if number % 50 == 2 else 0,
    )
    report = replace(received.report, agent_state=state)
    ends = received.received_at + _CERTIFICATE
    return replace(one, received=replace(received, report=report, certificate_expires_at=ends))


SPEEDS: Mapping[str, tuple[str, str, float]] = {
    "/usr/bin/python3": ("distro", "3.13.5", 1.0),
    "/opt/uv/cpython-3.13.15/bin/python3": ("pbs", "3.13.15", 1.22),
    "/opt/pyenv/versions/3.13.15/bin/python3": ("pyenv", "3.13.15", 0.94),
}
"""Builds whose speed was measured here, by path: provider, version, and how much more work they did at a time."""


def write_speed(file: Path, moment: datetime, machine: str = "simulated") -> None:
    """Write a document of measured speed as `libcensus speed` does, of builds that nobody ran."""
    parts = ("calls", "json", "regex")

    def interpreter(path: str, provider: str, version: str, ratio: float) -> dict[str, Any]:
        # The rounds of all builds waver alike, so that ratios are what they are said to be.
        samples = [0.05 * (1 + 0.01 * (number % 5)) / ratio for number in range(12)]
        return {
            "path": path,
            "build": hashlib.sha256(path.encode()).hexdigest(),
            "implementation": "cpython",
            "version": version,
            "provider": provider,
            "arch": "x86_64",
            "language": "3.13",
            "parts": [{"name": part, "samples": samples} for part in parts],
        }

    version, digest = next(iter(WORKLOADS.items()))
    document = {
        "kind": "speed",
        "schema_version": SCHEMA_VERSION,
        "workload": {"version": version, "digest": digest, "parts": list(parts)},
        "rounds": 12,
        "machine": {"name": machine},
        "measured_at": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
        "baseline": next(iter(SPEEDS)),
        "interpreters": [interpreter(path, *told) for path, told in SPEEDS.items()],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document), encoding="utf-8")


def repeated(one: HostFacts, moment: datetime) -> HostFacts:
    """Return the same report as it came again within the hour before a moment, and after the one that it repeats."""
    late = timedelta(seconds=int(one.received.host_id[:6], 16) % 3600)
    at = max(moment - late, one.received.received_at)
    named = hashlib.sha256(one.received.report.report_id + at.isoformat().encode()).digest()[:16]
    report = replace(one.received.report, report_id=named, scanned_at=at)
    return replace(
        one, received=replace(one.received, report=report, received_at=at, certificate_expires_at=at + _CERTIFICATE)
    )


def moments(now: datetime, days: int, every: timedelta) -> list[datetime]:
    """Return moments that lie regularly in the days before ``now``, the oldest first."""
    number = int(timedelta(days=days) / every)
    return [now - every * (number - position) for position in range(number + 1)]


class PastFleet:
    """A database that is filled report by report, and the pages of the moments in between."""

    def __init__(self, database: Path, reports: Sequence[HostFacts]) -> None:
        self._database = database
        self._reports = reports
        self._clock = datetime(1970, 1, 1, tzinfo=UTC)

    def pages(self, when: Sequence[datetime]) -> Iterator[tuple[datetime, str]]:
        """Yield the page of each moment; when all are taken, every report is in the database."""
        catalogue = load_snapshot()
        waiting = list(self._reports)
        known: dict[str, HostFacts] = {}
        with SqlStore.open(f"sqlite:///{self._database}", clock=lambda: self._clock) as store:
            assessor = Assessor(catalogue, when[0].date())
            exporter = FleetExporter(store, lambda: assessor, label_keys=LABELS)
            for moment in when:
                self._clock = moment
                came = [one for one in waiting if one.received.received_at <= moment]
                waiting = waiting[len(came) :]
                _put(store, came)
                known |= {one.received.host_id: one for one in came}
                # The simulation tells a report when something changes; hosts report in between, too.
                lively = {one.received.host_id for one in waiting} & known.keys()
                _put(store, [repeated(known[host_id], moment) for host_id in sorted(lively)])
                if assessor.today != moment.date():
                    assessor = Assessor(catalogue, moment.date())
                yield moment, exporter.render_fleet(Format.OPENMETRICS).decode()
            _put(store, waiting)


def _put(store: SqlStore, hosts: Sequence[HostFacts]) -> None:
    for start in range(0, len(hosts), _BATCH):
        part = hosts[start : start + _BATCH]
        records = {record.digest: record for host in part for record in host.records}
        store.put_facts([records[digest] for digest in sorted(records)])
        store.apply_reports([host.received for host in part])
    labelled = store.labels()
    for host_id in {host.received.host_id for host in hosts} - labelled.keys():
        store.set_labels(host_id, labels_of(host_id))


def write_blocks(
    pages: Iterable[tuple[datetime, str]], labels: Mapping[str, str], folder: Path, scratch: Path
) -> Iterator[datetime]:
    """Make blocks of pages, with the labels that a scrape would add; yields each moment that is done."""
    own = ",".join(f'{name}="{escape_value(value)}"' for name, value in labels.items())
    for moment, page in pages:
        stamp = f" {moment.timestamp():.3f}\n"
        lines = [_labelled(line, own) + stamp for line in page.splitlines() if not line.startswith("#")]
        _import("".join(lines), folder, scratch)
        yield moment


def _labelled(line: str, own: str) -> str:
    name, brace, rest = line.partition("{")
    if brace and " " not in name:
        return f"{name}{{{own},{rest}"
    name, _, value = line.partition(" ")
    return f"{name}{{{own}}} {value}"


def _import(samples: str, folder: Path, scratch: Path) -> None:
    if not samples:
        return
    scratch.write_text(samples + "# EOF\n", encoding="utf-8")
    # Blocks of a week: promtool reads the whole file once for each.
    command = ["promtool", "tsdb", "create-blocks-from", "-q", "openmetrics", "--max-block-duration=162h"]
    command += [str(scratch), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    scratch.unlink()
    if done.returncode:
        raise SystemExit(f"promtool could not make blocks: {done.stderr.strip() or done.stdout.strip()}")


def recorded(files: Sequence[Path]) -> list[tuple[str, str, Mapping[str, str]]]:
    """Return name, expression and labels of every recording rule, in the order of the files."""
    groups = [group for file in files for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]]
    return [
        (rule["record"], str(rule["expr"]), rule.get("labels", {}))
        for group in groups
        for rule in group["rules"]
        if "record" in rule
    ]


def layers(rules: Sequence[tuple[str, str, Mapping[str, str]]]) -> list[list[tuple[str, str, Mapping[str, str]]]]:
    """Return the rules in layers: each needs what those before it record, and nothing of its own or later ones."""
    waiting = list(rules)
    found = []
    while waiting:
        open_names = {record for record, _, _ in waiting}
        layer = [rule for rule in waiting if not any(name in rule[1] for name in open_names - {rule[0]})]
        if not layer:
            raise ValueError(f"rules that need each other: {', '.join(sorted(open_names))}")
        found.append(layer)
        waiting = [rule for rule in waiting if rule not in layer]
    return found


def write_recorded(
    layer: Sequence[tuple[str, str, Mapping[str, str]]],
    when: Sequence[datetime],
    prometheus: str,
    folder: Path,
    scratch: Path,
) -> None:
    """Make blocks of what one layer of rules would have recorded at each moment, as a Prometheus works it out."""
    lines = []
    for moment in when:
        for record, expr, labels in layer:
            for series in query(prometheus, expr, moment):
                told = {**series["metric"], **labels}
                pairs = ",".join(
                    f'{name}="{escape_value(value)}"' for name, value in sorted(told.items()) if name != "__name__"
                )
                lines.append(f"{record}{{{pairs}}} {series['value'][1]} {moment.timestamp():.3f}\n")
    _import("".join(lines), folder, scratch)


def query(prometheus: str, expr: str, moment: datetime) -> list[dict[str, Any]]:
    """Return the series of an instant query; raises RuntimeError with Prometheus' own words where it refuses."""
    body = urllib.parse.urlencode({"query": expr, "time": f"{moment.timestamp():.3f}"}).encode()
    try:
        with urllib.request.urlopen(f"{prometheus}/api/v1/query", body, timeout=300) as answer:  # noqa: S310 - our own
            told = json.load(answer)
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{expr}: {json.load(error)['error']}") from None
    if told["data"]["resultType"] == "scalar":
        return [{"metric": {}, "value": told["data"]["result"]}]
    found: list[dict[str, Any]] = told["data"]["result"]
    return found
