"""docs/export.md names every column, key and word, and none that there is not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from libcensus.cli.explained import LINKS
from libcensus.cli.exports.rows import COLUMNS
from libcensus.collector.app import Collector
from libcensus.collector.config import CollectorSettings
from libcensus.collector.posture.explanation import Silence
from libcensus.collector.posture.finding import VexStatus
from libcensus.collector.store.sql import SqlStore
from tests.collector.acceptance import documents
from tests.collector.metrics import fleet
from tests.collector.speeds.documents import PBS, content, interpreter, put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

PAGE = (Path(__file__).parents[2] / "docs/export.md").read_text()

OPAQUE = {"hosts[].components[].subject", "hosts[].components[].package", "hosts[].components[].findings"}
"""Objects that another page describes."""


def section(title: str) -> str:
    """Return the page's part below a heading."""
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{2,3}} |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[2]


def named(text: str, head: str) -> list[str]:
    """Return the first column of the table with this head."""
    table = text.split(f"| {head} |", 1)[1].split("\n\n", 1)[0]
    return re.findall(r"^\| `([^|]+?)` \|", table, re.MULTILINE)


def keys(value: Any, prefix: str = "") -> set[str]:
    """Return every key below a value by its dotted name."""
    found: set[str] = set()
    if prefix in OPAQUE:
        return found
    if isinstance(value, list):
        return set().union(*(keys(item, f"{prefix}[]" if prefix else "") for item in value)) if value else found
    if isinstance(value, dict):
        for name, item in value.items():
            dotted = f"{prefix}.{name}" if prefix else name
            found |= {dotted} | keys(item, dotted)
    return found


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """A collector with a full host."""
    folder = tmp_path_factory.mktemp("full")
    with SqlStore.open(f"sqlite:///{folder / 'census.db'}") as store:
        fleet.report(store, fleet.full_machine())
        # With an accepted risk and a measured speed all keys are there.
        documents.put(folder / "vex", "accepted.json", documents.text())
        other = interpreter("/opt/py/bin/python3.12", PBS, "pbs", "3.12.12")
        measured = content(interpreter(), other, measured_at="2026-11-18T09:00:00Z")
        put(folder / "speeds", "build-1.json", measured)
        settings = CollectorSettings(
            listen="127.0.0.1:0",
            http_listen="127.0.0.1:0",
            vex_dir=str(folder / "vex"),
            speeds_dir=str(folder / "speeds"),
        )
        running = Collector(settings, store, today=lambda: fleet.TODAY).start()
        try:
            yield running
        finally:
            running.stop()


def test_csv_columns() -> None:
    assert named(section("CSV"), "column | holds") == list(COLUMNS)


def test_json_keys(run: Run, full: Collector) -> None:
    told = json.loads(run("export", "--format", "json", "--collector", full.grpc_address).out)
    assert set(named(section("JSON"), "key | holds")) == keys(told)


def test_posture_keys(run: Run, full: Collector) -> None:
    told = json.loads(run("posture", "--output", "json", "--collector", full.grpc_address).out)
    severities = {f"worst_hosts[].affected.{severity}" for severity in told["worst_hosts"][0]["affected"]}
    assert severities
    assert told["accepted_risks"]
    assert set(named(section("`libcensus posture`"), "key | holds")) == keys(told) - severities


def test_explain_keys_and_words(run: Run, full: Collector) -> None:
    path = "/usr/bin/python3.11"
    asked = ("explain", "full", path, "CVE-2025-15467", "--output", "json", "--collector", full.grpc_address)
    told = json.loads(run(*asked).out)
    text = section("`libcensus explain`")
    assert set(named(text, "key | holds")) == keys(told)
    words = named(text, "verdict | means")
    assert words[0].split("` `") == ["affected", "fixed", "not_affected", "under_investigation"]
    assert set(words[1:]) == set(Silence)
    (row,) = [line for line in text.splitlines() if line.startswith("| `chain[].link`")]
    assert re.findall(r"`(\w+)`", row.split("|")[2]) == list(LINKS)


@pytest.mark.parametrize("title", ["SARIF 2.1.0", "CycloneDX 1.6"])
def test_every_status_is_mapped(title: str) -> None:
    text = section(title)
    head = re.search(r"^\| (status \| .*?) \|$", text, re.MULTILINE)
    assert head is not None
    assert set(named(text, head[1])) == set(VexStatus)


def test_keys_of_providers(run: Run, full: Collector) -> None:
    told = json.loads(run("providers", "--output", "json", "--collector", full.grpc_address).out)
    page = (Path(__file__).parents[2] / "docs/exposure.md").read_text("utf-8")
    assert set(named(page, "key | holds")) == keys(told)
