"""A real Prometheus and a real Alertmanager that look at a real collector, with the shipped rules and examples.

The rules are those of ``prometheus/rules``, with time taken out: alerts wait for nothing, and every group is evaluated
each second, because nobody waits for two hours in a test. What the waits are worth is in the cases for promtool.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

import yaml

from tests.prometheus.rulefiles import FOLDER, RULE_FILES, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE_SECONDS = 180
_PAUSE = threading.Event()


def free_address() -> str:
    """Return an address on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def ask(url: str, **parameters: str) -> Any:
    """Return what a page answers, as data."""
    query = "?" + urllib.parse.urlencode(parameters) if parameters else ""
    with urllib.request.urlopen(url + query, timeout=60) as answer:  # noqa: S310 - loopback
        return json.load(answer)


def wait_for(what: str, look: Callable[[], object]) -> None:
    """Look again and again until it is so; raises AssertionError when it never is."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        try:
            if look():
                return
        except URLError:
            pass
        _PAUSE.wait(0.2)
    raise AssertionError(f"{what}: not within {PATIENCE_SECONDS} seconds")


@dataclass(frozen=True)
class Monitoring:
    """Where Prometheus and Alertmanager answer."""

    prometheus: str
    alertmanager: str

    def query(self, expr: str) -> dict[tuple[str, ...], float]:
        """Return the answer to a query, by the values of labels but ``job``, in the order of their names."""
        found = ask(f"http://{self.prometheus}/api/v1/query", query=expr)["data"]["result"]
        return {
            tuple(value for name, value in sorted(one["metric"].items()) if name not in {"__name__", "job"}): float(
                one["value"][1]
            )
            for one in found
        }

    def groups(self) -> list[Any]:
        """Return what Prometheus says of its rules."""
        groups: list[Any] = ask(f"http://{self.prometheus}/api/v1/rules")["data"]["groups"]
        return groups

    def alerts(self) -> list[Any]:
        """Return the alerts that Alertmanager has."""
        alerts: list[Any] = ask(f"http://{self.alertmanager}/api/v2/alerts")
        return alerts

    def wait_for_evaluations(self, times: int) -> None:
        """Wait until each group was evaluated so often from now on."""
        seen: dict[str, set[str]] = {}

        def look() -> bool:
            for group in self.groups():
                seen.setdefault(group["name"], set()).add(group["lastEvaluation"])
            return all(len(moments) > times for moments in seen.values())

        wait_for(f"{times} evaluations", look)


def hurried_rules(folder: Path) -> None:
    """Write the shipped rules to a folder, without any waiting."""
    folder.mkdir()
    for path in RULE_FILES:
        text = path.read_text(encoding="utf-8")
        text = re.sub(r"^        for: .+$", "        for: 0s", text, flags=re.MULTILINE)
        text = re.sub(r"^    interval: .+\n", "", text, flags=re.MULTILINE)
        (folder / path.name).write_text(text, encoding="utf-8")


@contextmanager
def running(command: list[str], log: Path) -> Iterator[None]:
    """Run a server while the context lasts."""
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield
        finally:
            process.terminate()


@contextmanager
def scraping(folder: Path, config: dict[str, Any], address: str) -> Iterator[None]:
    """Run Prometheus by a configuration, at an address; its data and log go to the folder."""
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={address}",
        "--rules.alert.resend-delay=1s",
    ]
    with running(command, folder / "prometheus.log"):
        yield


@contextmanager
def monitoring(folder: Path, collector: str) -> Iterator[Monitoring]:
    """Start both, scraping a collector's address, from the examples in ``prometheus/``."""
    prometheus, alertmanager = free_address(), free_address()
    hurried_rules(folder / "rules")
    config = load(FOLDER / "scrape" / "loopback.yml")
    config["global"] = {"scrape_interval": "5s", "scrape_timeout": "5s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(folder / "rules" / "*.yml")]
    config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [alertmanager]
    job = config["scrape_configs"][0]
    del job["scrape_timeout"]
    job["static_configs"][0]["targets"] = [collector]
    server = shutil.which("prometheus-alertmanager") or "alertmanager"
    alerting = [
        server,
        f"--config.file={FOLDER / 'alertmanager' / 'libcensus.yml'}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={alertmanager}",
        "--cluster.listen-address=",
    ]
    with running(alerting, folder / "alertmanager.log"), scraping(folder, config, prometheus):
        both = Monitoring(prometheus, alertmanager)
        wait_for("a scrape", lambda: both.query('up{job="libcensus"} == 1'))
        both.wait_for_evaluations(3)
        yield both
