"""How long Prometheus takes for each query of the dashboards, with 10,000 hosts and a week behind it.

    python -m benchmarks.bench_dashboards [--hosts 10000] [--days 7] [--scrape 120] [--repeat 3]

A fleet with two months of history is simulated, a collector serves it at the level `install`, and Prometheus (the one
on the PATH) scrapes it and evaluates the rules of `prometheus/rules`. Its past is made, for scraping a page of some
million series each minute for a week would be ten billion samples: it repeats the present. What panels ask over time
(the fleet level, recorded series, the series of the chosen host) Prometheus has each `--scrape` seconds, and everything
else, which panels ask of the present alone, once a day.

Then Prometheus scrapes and evaluates no more, and every query of every panel is asked as Grafana asks it, everything
chosen: of the present, or over the last week with a point for each pixel of the panel in a window of 1,920; and every
variable looks for its values. The time of a query is the middle one of `--repeat`, by the clock and in processor time
of Prometheus, which is what the clock would tell on a machine that nobody else uses. The slowest ten are printed, and
how long the rules took. The last lines are JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import promql_parser as promql
import yaml
from grafana.asked import EVERYTHING, filled, lookups, queries
from grafana.demo import RULES, free_ports, move_blocks, started, wait_for
from grafana.past import LABELS, labels_of, query, write_blocks, write_speed

from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.metrics.exposition import escape_value
from libcensus.collector.simulation.fill import Simulation
from libcensus.collector.store.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

BUDGET = 1.0
"""No query takes longer, in seconds."""

PIXELS = 1880
"""Of a panel over the whole width of a window of 1,920."""

HISTORY_DAYS = 60
PATIENCE = 900
SCRAPED_EVERY = 60


def selectors(expr: str) -> set[str]:
    """Return the selectors of an expression, each as text."""
    found: set[str] = set()

    def walk(part: Any) -> None:
        if isinstance(part, promql.VectorSelector):
            matchers = ",".join(
                f"{one.name}{_OPERATORS[str(one.op)]}{json.dumps(one.value)}" for one in part.matchers.matchers
            )
            found.add(f"{part.name or ''}{{{matchers}}}")
        elif isinstance(part, promql.MatrixSelector):
            walk(part.vector_selector)
        elif isinstance(part, promql.BinaryExpr):
            walk(part.lhs)
            walk(part.rhs)
        elif isinstance(part, promql.Call):
            for argument in part.args:
                walk(argument)
        elif hasattr(part, "expr"):
            walk(part.expr)

    walk(promql.parse(expr))
    return found


_OPERATORS = {
    str(promql.MatchOp.Equal): "=",
    str(promql.MatchOp.NotEqual): "!=",
    str(promql.MatchOp.Re): "=~",
    str(promql.MatchOp.NotRe): "!~",
}


class Watched:
    """The fleet, its collector, and Prometheus with a past, in a folder."""

    def __init__(self, folder: Path, undo: ExitStack, hosts: int, days: int, scrape: int) -> None:
        self._folder = folder
        self._undo = undo
        self._data = folder / "prometheus"
        self._collector, self._metrics, listen = (f"127.0.0.1:{port}" for port in free_ports(3))
        self._listen = listen
        self.prometheus = f"http://{listen}"
        now = datetime.now(UTC).replace(microsecond=0)
        self.begin = now - timedelta(days=days)
        self.intervals: dict[str, int] = {}
        show(f"{hosts:,} hosts are simulated")
        with SqlStore.open(f"sqlite:///{folder / 'fleet.db'}") as store:
            Simulation(load_snapshot(), 1, hosts, now.date(), days=HISTORY_DAYS).fill(store)
            for host in store.hosts():
                store.set_labels(host.host_id, labels_of(host.host_id))
        write_speed(folder / "speeds" / "simulated.json", now)
        page = self._serve()
        past = ((self.begin + timedelta(days=day), page) for day in range(days))
        labels = {"job": "libcensus", "instance": self._metrics}
        for done in write_blocks(past, labels, self._data, folder / "page.txt"):
            show(f"the page of {done:%Y-%m-%d}")
        with ExitStack() as early:
            self._prometheus(early, scrapes=True)
            self.host = self._chosen_host()
            self.groups = self._groups()
            (last,) = query(self.prometheus, "max(timestamp(libcensus_hosts))", datetime.now(UTC))
            self.end = datetime.fromtimestamp(float(last["value"][1]), UTC)
            self._write_past(scrape, days)
        move_blocks(folder / "dense", self._data)
        self._process = self._prometheus(undo, scrapes=False)

    def _serve(self) -> str:
        """Start the collector; returns its page."""
        settings = {
            "listen": self._collector,
            "http-listen": self._metrics,
            "database": f"sqlite:///{self._folder / 'fleet.db'}",
            "metrics-labels": ",".join(LABELS),
            "advisories-dir": self._folder / "advisories",
            "speeds-dir": self._folder / "speeds",
            "vex-dir": self._folder / "vex",
            "pki-dir": self._folder / "pki",
            "series-limit": 10_000_000,
        }
        serve = [str(Path(sys.executable).parent / "libcensus-collector"), "serve"]
        log = self._folder / "collector.log"
        started([*serve, *(f"--{name}={value}" for name, value in settings.items())], log, self._undo)
        wait_for(f"http://{self._metrics}/healthz", log, PATIENCE)
        # The first page judges the whole fleet: Prometheus would give up waiting.
        asked = urllib.request.Request(
            f"http://{self._metrics}/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
        )
        with urllib.request.urlopen(asked, timeout=PATIENCE) as page:  # noqa: S310 - our own
            text: str = page.read().decode()
        show(f"a page of {len(text) / 1e6:.0f} MB")
        return text

    def _prometheus(self, undo: ExitStack, *, scrapes: bool) -> int:
        """Start Prometheus; where it scrapes, it has evaluated each rule on that at the return. Returns its process."""
        every = f"{SCRAPED_EVERY}s"
        config: dict[str, Any] = {"global": {"scrape_interval": every, "evaluation_interval": every}}
        if scrapes:
            targets = [{"targets": [self._metrics]}]
            config["rule_files"] = [str(self._hurried_rules() / "*.yml")]
            config["scrape_configs"] = [{"job_name": "libcensus", "scrape_timeout": every, "static_configs": targets}]
        file = self._folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(config), encoding="utf-8")
        log = self._folder / "prometheus.log"
        command = [
            "prometheus",
            f"--config.file={file}",
            f"--storage.tsdb.path={self._data}",
            f"--web.listen-address={self._listen}",
            "--storage.tsdb.retention.time=10y",
        ]
        process = started(command, log, undo)
        wait_for(f"{self.prometheus}/-/ready", log, PATIENCE)
        if not scrapes:
            return process
        deadline = time.monotonic() + PATIENCE
        while not query(self.prometheus, "count(libcensus_install_info)", datetime.now(UTC)):
            check(deadline, "a scrape")
        show("scraped")
        # Twice: rules read what others recorded in the evaluation before.
        for _ in range(2):
            begun = datetime.now(UTC)
            while any(datetime.fromisoformat(_plain(one["lastEvaluation"])) < begun for one in self._groups()):
                check(deadline, "an evaluation of the rules")
        show("the rules are evaluated")
        return process

    def _hurried_rules(self) -> Path:
        """Return a copy of the rules of which each is evaluated every minute: nobody wants to wait for longer."""
        folder = self._folder / "rules"
        folder.mkdir()
        for file in RULES.glob("*.yml"):
            groups = yaml.safe_load(file.read_text(encoding="utf-8"))
            for group in groups["groups"]:
                if seconds := group.pop("interval", ""):
                    self.intervals[group["name"]] = int(seconds.removesuffix("m")) * 60
            (folder / file.name).write_text(yaml.safe_dump(groups), encoding="utf-8")
        return folder

    def _write_past(self, scrape: int, days: int) -> None:
        """Repeat what panels ask over time through the past, as often as scrapes and rules would have brought it."""
        over_time = (filled(one.expr, {**EVERYTHING, "host": self.host}) for one in queries() if not one.instant)
        asked = sorted({selector for expr in over_time for selector in selectors(expr)})
        found: dict[str, str] = {}
        for selector in asked:
            for series in query(self.prometheus, selector, datetime.now(UTC)):
                labels = dict(series["metric"])
                name = labels.pop("__name__")
                pairs = ",".join(f'{key}="{escape_value(value)}"' for key, value in sorted(labels.items()))
                found[f"{name}{{{pairs}}}"] = series["value"][1]
        scratch, target = self._folder / "dense.txt", self._folder / "dense"
        count = 0
        for day in range(days):
            first = (self.begin + timedelta(days=day)).timestamp()
            ends = [f"{first + step:.3f}\n" for step in range(scrape, 86400, scrape)]
            with scratch.open("w", encoding="utf-8") as output:
                for named, value in found.items():
                    told = f"{named} {value} "
                    output.writelines(told + stamp for stamp in ends)
                output.write("# EOF\n")
            command = ["promtool", "tsdb", "create-blocks-from", "-q", "openmetrics", "--max-block-duration=18h"]
            run([*command, str(scratch), str(target)])
            scratch.unlink()
            count += len(found) * len(ends)
            show(f"{len(found):,} series of panels over time: {count:,} samples")

    def _chosen_host(self) -> str:
        """Return the host with the most to show: the one with most installs."""
        (series,) = query(self.prometheus, "topk(1, count by (host) (libcensus_install_info))", datetime.now(UTC))
        return str(series["metric"]["host"])

    def _groups(self) -> list[dict[str, Any]]:
        """Return what Prometheus tells of the groups of rules."""
        with urllib.request.urlopen(f"{self.prometheus}/api/v1/rules", timeout=60) as answer:  # noqa: S310 - our own
            told: list[dict[str, Any]] = json.load(answer)["data"]["groups"]
        return told

    def seconds(self, path: str, asked: Mapping[str, str]) -> tuple[float, float]:
        """Return how long Prometheus takes to answer, until the last byte: by the clock, and in processor time.

        Raises RuntimeError where it refuses.
        """
        url = f"{self.prometheus}/api/v1/{path}"
        begun, used = time.perf_counter(), processor_seconds(self._process)
        try:
            with urllib.request.urlopen(url, urllib.parse.urlencode(asked).encode(), timeout=300) as answer:  # noqa: S310 - our own
                answer.read()
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{asked}: {error.read().decode()}") from None
        return time.perf_counter() - begun, processor_seconds(self._process) - used

    def requests(self) -> Iterator[tuple[str, str, dict[str, str]]]:
        """Yield what each query and variable is called, and what Grafana asks for it, of which path."""
        values = {**EVERYTHING, "host": self.host}
        end = self.end
        span = {"start": f"{self.begin.timestamp():.3f}", "end": f"{end.timestamp():.3f}"}
        for one in queries():
            step = int((end - self.begin).total_seconds() / (PIXELS * one.width / 24))
            expr = filled(one.expr, {**values, "__rate_interval": f"{step + SCRAPED_EVERY}s"})
            if one.instant:
                yield str(one), "query", {"query": expr, "time": span["end"]}
            else:
                yield str(one), "query_range", {"query": expr, **span, "step": str(step)}
        for found in lookups(values):
            if found.expr:
                yield str(found), "query", {"query": found.expr, "time": span["end"]}
            elif found.matches:
                # Grafana asks so where the data source does not say which Prometheus it is.
                yield str(found), "series", {"match[]": found.matches, **span}
            else:
                yield str(found), "labels", span


def processor_seconds(process: int) -> float:
    """Return what a process has used of processors since its start."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _plain(moment: str) -> str:
    """Return a moment of Prometheus, which has nine digits of a second, as Python 3.11 reads it."""
    whole, point, rest = moment.partition(".")
    if not point:
        return moment
    digits = len(rest) - len(rest.lstrip("0123456789"))
    return f"{whole}.{rest[: min(digits, 6)]:0<6}{rest[digits:]}"


def check(deadline: float, what: str) -> None:
    """Wait a little; raises SystemExit after a deadline."""
    if time.monotonic() > deadline:
        raise SystemExit(f"{what} did not come within {PATIENCE} seconds")
    time.sleep(1)


def run(command: Sequence[str]) -> None:
    """Run a program that has to succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed: {done.stderr.strip() or done.stdout.strip()}")


def show(words: str) -> None:
    """Say how far it is."""
    is_terminal = sys.stderr.isatty()
    text, end = (f"\r\x1b[K{words}", "") if is_terminal else (words, "\n")
    print(text, end=end, file=sys.stderr, flush=True)


def slowest(times: Mapping[str, Sequence[tuple[float, float]]]) -> list[tuple[str, float, float]]:
    """Return each query with its middle times, by the clock and of processors, the slowest first."""
    middle = [
        (what, statistics.median(clock for clock, _ in taken), statistics.median(used for _, used in taken))
        for what, taken in times.items()
    ]
    return sorted(middle, key=lambda one: -min(one[1], one[2]))


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--scrape", type=int, default=120, help="seconds between samples of what is asked over time")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--wait", action="store_true", help="go on running when all is measured, to look around")
    asked = parser.parse_args()
    for program in ("prometheus", "promtool"):
        if shutil.which(program) is None:
            raise SystemExit(f"{program} is not on the PATH; on Debian and Ubuntu install the package prometheus")
    with ExitStack() as undo:
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="libcensus-dashboards-")))
        watched = Watched(folder, undo, asked.hosts, asked.days, asked.scrape)
        times: dict[str, list[tuple[float, float]]] = {}
        for _ in range(asked.repeat):
            for what, path, body in watched.requests():
                times.setdefault(what, []).append(watched.seconds(path, body))
        (series,) = query(watched.prometheus, "sum(libcensus_series)", watched.end)
        print(f"{asked.hosts:,} hosts, {int(series['value'][1]):,} series, {len(times)} queries; the slowest ten:")
        for what, clock, used in slowest(times)[:10]:
            print(f"  {used:6.3f} s of processor, {clock:6.3f} s by the clock  {what}")
        for group in watched.groups:
            every = watched.intervals.get(group["name"], SCRAPED_EVERY)
            print(f"  rules {group['name']}: {group['evaluationTime']:.2f} s by the clock, for every {every} s")
        worst, clock, used = slowest(times)[0]
        shares = {
            group["name"]: group["evaluationTime"] / watched.intervals.get(group["name"], SCRAPED_EVERY)
            for group in watched.groups
        }
        heavy = max(shares, key=lambda name: shares[name])
        if asked.wait:
            print(f"{watched.prometheus} (Ctrl-C ends it)", flush=True)
            try:
                time.sleep(86400)
            except KeyboardInterrupt:
                print()
    fleet = f"{asked.hosts:,} hosts, {asked.days} days"
    results = [
        {
            "what": f"slowest of {len(times)} queries of the dashboards, {fleet}: {worst}",
            "value": round(min(clock, used), 3),
            "unit": f"s of processor ({clock:.3f} s by the clock)",
            "budget": f"at most {BUDGET:g} s",
            "met": min(clock, used) <= BUDGET,
        },
        {
            "what": f"rules that take most of their interval, {fleet}: {heavy}",
            "value": round(shares[heavy], 2),
            "unit": "of it, by the clock",
            "budget": "at most 0.5",
            "met": shares[heavy] <= 0.5,
        },
    ]
    for result in results:
        print(json.dumps(result))
    return 0 if all(one["met"] for one in results) else 1


if __name__ == "__main__":
    sys.exit(main())
