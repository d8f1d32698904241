"""Accepted risks as every command tells them, with a collector that is running."""

from __future__ import annotations

import csv
import io
import json
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from libcensus.cli.document import verdicts_schema
from libcensus.collector.app import Collector
from libcensus.collector.config import CollectorSettings
from libcensus.collector.store.sql import SqlStore
from tests.cli.exports.sarif_structure import SARIF
from tests.collector.acceptance.documents import DOCUMENT, put, statement, text
from tests.collector.metrics import fleet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

HIGH, OTHER = "CVE-2025-15467", "CVE-2025-15468"
PATH = "/opt/py/bin/python3.12"
PROD = [{"@id": "urn:libcensus:label:env=prod"}]
DOCUMENTS = text(
    statement(products=PROD),
    statement(
        vulnerability={"name": OTHER},
        products=[{"@id": "urn:libcensus:host:full", "subcomponents": [{"@id": f"urn:libcensus:path:{PATH}"}]}],
        status="affected",
        justification=None,
        impact_statement=None,
        action_statement="replaced in March",
        status_notes="Expires: 2027-03-31",
    ),
    statement(vulnerability={"name": "CVE-2099-1"}),
    statement(supplier="old", status_notes="Expires: 2026-08-01"),
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """A collector with a full host and two small ones, of which one is of production."""
    folder = tmp_path_factory.mktemp("accepted")
    with SqlStore.open(f"sqlite:///{folder / 'census.db'}") as store:
        fleet.report(store, fleet.full_machine())
        for name in ("web-1", "web-2"):
            fleet.report(store, fleet.Machine(name))
        store.set_labels(fleet.host_id_of("web-1"), {"env": "prod", "team": "web"})
        put(folder / "vex", "accepted.json", DOCUMENTS)
        settings = CollectorSettings(listen="127.0.0.1:0", http_listen="127.0.0.1:0", vex_dir=str(folder / "vex"))
        collector = Collector(settings, store, today=lambda: fleet.TODAY).start()
        try:
            yield collector
        finally:
            collector.stop()


@pytest.fixture
def ask(run: Run, running: Collector) -> Run:
    """Run ``libcensus`` against that collector."""

    def call(*arguments: str) -> Outcome:
        return run(*arguments, "--collector", running.grpc_address)

    return call


def findings(ask: Run, host: str) -> list[dict[str, Any]]:
    document = json.loads(ask("show", host, "--output", "json").out)
    jsonschema.validate(document, verdicts_schema())
    found: list[dict[str, Any]] = document["findings"]
    return found


def test_what_is_covered_keeps_its_status_and_carries_the_statement(ask: Run) -> None:
    for one in findings(ask, "web-1"):
        if one["advisory"] == HIGH:
            assert one["status"] == "affected"
            assert one["accepted"] == {
                "statement": f"{DOCUMENT}#1",
                "document": DOCUMENT,
                "by": "Platform team <platform@example.com>",
                "status": "not_affected",
                "justification": "vulnerable_code_not_in_execute_path",
                "reason": "CMS messages are never parsed here",
                "expires": "2027-01-31T00:00:00Z",
            }
        else:
            assert one["accepted"] is None
    assert all(one["accepted"] is None for one in findings(ask, "web-2"))
    covered = [(one["subject"]["path"], one["advisory"]) for one in findings(ask, "full") if one["accepted"]]
    assert covered == [(PATH, OTHER)]


def test_posture_counts_open_and_accepted_apart(ask: Run) -> None:
    told = json.loads(ask("posture", "--output", "json", "--limit", "0").out)
    shown = [one for name in ("full", "web-1", "web-2") for one in findings(ask, name) if one["status"] == "affected"]
    accepted = [one for one in shown if one["accepted"]]
    assert accepted
    assert told["accepted"] == len(accepted)
    assert told["accepted_hosts"] == 2
    affected = [one for one in told["counts"] if one["status"] == "affected"]
    assert sum(one["findings"] for one in affected) == len(shown)
    assert sum(one["accepted"] for one in affected) == sum(one["accepted"] for one in told["advisories"])
    assert sum(one["accepted"] for one in affected) == sum(one["accepted"] for one in told["worst_hosts"])
    assert sum(one["findings"] for one in told["remedies"]) == len(shown) - len(accepted)
    assert sum(sum(one["affected"].values()) for one in told["worst_hosts"]) == len(shown) - len(accepted)
    until = {one["advisory"]: one["accepted_until"] for one in told["advisories"] if one["accepted_until"]}
    assert until == {HIGH: "2027-01-31T00:00:00Z", OTHER: "2027-03-31T00:00:00Z"}
    risks = {one["statement"]: (one["state"], one["findings"], one["note"]) for one in told["accepted_risks"]}
    advisories_day = told["advisories_day"].partition("T")[0]
    assert risks == {
        f"{DOCUMENT}#1": ("active", 2, None),
        f"{DOCUMENT}#2": ("active", 1, None),
        f"{DOCUMENT}#3": ("active", 0, f"matches nothing: no advisory CVE-2099-1 in the snapshot of {advisories_day}"),
        f"{DOCUMENT}#4": ("expired", 0, None),
    }


def test_posture_tells_people(ask: Run) -> None:
    out = ask("posture").out
    assert ", of which 3 accepted until 2027-01-31 at the earliest" in out
    assert "ACCEPTED RISK" in out
    assert "expired" in out
    assert "matches nothing: no advisory CVE-2099-1 in the snapshot of " in out
    # Asked about something else, only what covers some of it is told.
    assert "CVE-2099-1" not in ask("posture", "--host", "web-1").out


def test_labels_choose(ask: Run) -> None:
    told = json.loads(ask("posture", "-l", "env=prod", "--output", "json").out)
    assert (told["hosts"], [one["name"] for one in told["worst_hosts"]]) == (1, ["web-1"])
    hosts = json.loads(ask("hosts", "-l", "env!=prod", "--output", "json").out)
    assert [one["name"] for one in hosts] == ["full", "web-2"]
    [web] = json.loads(ask("hosts", "-l", "env=prod,team", "--output", "json").out)
    assert (web["labels"], web["accepted"]) == ({"env": "prod", "team": "web"}, 2)
    table = ask("hosts").out
    assert "(2 accepted)" in table
    assert "env=prod,team=web" in table
    assert ask("hosts", "-l", "env=dev").out.startswith("No host has labels that env=dev chooses")
    assert ask("posture", "-l", "env=dev").out.startswith("No host has labels that env=dev chooses")
    refused = ask("hosts", "-l", "env in prod")
    assert (refused.code, "'env in prod' is no key of a label" in refused.err) == (2, True)
    assert ask("posture", "-l", ",").code == 2


def test_fail_on_leaves_accepted_ones_out_and_says_so(ask: Run) -> None:
    left_out = ask("posture", "--host", "web-1", "--advisory", HIGH, "--fail-on", "high")
    assert left_out.code == 0
    assert left_out.err == "libcensus: no affected finding at or above high is open; 2 accepted ones were left out\n"
    counted = ask("posture", "--advisory", HIGH, "--fail-on", "high")
    assert counted.code == 1
    assert counted.err.endswith("names (high); 2 accepted ones were left out\n")


def test_show_and_explain_tell_it(ask: Run) -> None:
    shown = ask("show", "web-1", "--findings").out
    assert ", of which 2 accepted" in shown
    assert "Accepted until 2027-01-31: 2 findings, not affected (vulnerable_code_not_in_execute_path): CMS" in shown
    assert "affected, accepted until 2027-01-31" in shown
    path = next(one["subject"]["path"] for one in findings(ask, "web-1") if one["accepted"])
    explained = ask("explain", "web-1", path, HIGH).out
    assert "Verdict: affected" in explained
    assert "Accepted until 2027-01-31: not affected (vulnerable_code_not_in_execute_path): CMS" in explained
    [told] = json.loads(ask("explain", "full", PATH, OTHER, "--output", "json").out)
    assert told["accepted"]["status"] == "affected"


def test_exports_tell_it(ask: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(ask("export", "--format", "csv").out)))
    told = {
        (row["host"], row["advisory"], row["accepted_until"], row["accepted_because"])
        for row in rows
        if row["accepted_by"]
    }
    because = "vulnerable_code_not_in_execute_path: CMS messages are never parsed here"
    assert told == {
        ("web-1", HIGH, "2027-01-31", because),
        ("full", OTHER, "2027-03-31", "affected: replaced in March"),
    }
    log = json.loads(ask("export", "--format", "sarif").out)
    jsonschema.validate(log, SARIF)
    results = log["runs"][0]["results"]
    suppressed = [one for one in results if one["suppressions"]]
    assert {(one["properties"]["host"], one["ruleId"]) for one in suppressed} == {("web-1", HIGH), ("full", OTHER)}
    assert {one["kind"] for one in suppressed} == {"fail"}
    text_ = ask("export", "--format", "cyclonedx").out
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text_) is None
    states: dict[str, set[tuple[str, str | None, tuple[str, ...]]]] = {}
    for one in json.loads(text_)["vulnerabilities"]:
        analysis = one["analysis"]
        if any(item["name"] == "libcensus:accepted:by" for item in one["properties"]):
            states.setdefault(one["id"], set()).add(
                (analysis["state"], analysis.get("justification"), tuple(analysis.get("response", ())))
            )
    assert states == {
        HIGH: {("not_affected", "code_not_reachable", ())},
        OTHER: {("exploitable", None, ("will_not_fix",))},
    }


def test_metrics_tell_it(running: Collector) -> None:
    with urllib.request.urlopen(f"http://{running.http_address}/metrics") as answer:
        page = answer.read().decode()
    lines = page.splitlines()
    covered = [line for line in lines if line.startswith("libcensus_findings_accepted{") and not line.endswith(" 0")]
    assert sum(float(line.rpartition(" ")[2]) for line in covered) == 3
    assert 'libcensus_findings_accepted{component="openssl",severity="low",provider="pbs"} 1' in lines
    assert 'libcensus_host_findings_accepted{host="web-1",severity="high"} 2' in lines
    assert [line for line in lines if line.startswith("libcensus_acceptance_statements{")] == [
        'libcensus_acceptance_statements{state="active"} 2',
        'libcensus_acceptance_statements{state="pending"} 0',
        'libcensus_acceptance_statements{state="expired"} 1',
        'libcensus_acceptance_statements{state="unmatched"} 1',
    ]
    assert "libcensus_acceptance_broken_documents 0.0" in lines
    [moment] = [line for line in lines if line.startswith("libcensus_acceptance_timestamp_seconds ")]
    assert abs(float(moment.split()[1]) - time.time()) < 600


def test_a_change_is_taken_up_and_a_broken_one_is_not(run: Run, tmp_path: Path) -> None:
    vex = tmp_path / "vex"
    with SqlStore.open(f"sqlite:///{tmp_path / 'census.db'}") as store:
        fleet.report(store, fleet.Machine("web-1"))
        settings = CollectorSettings(listen="127.0.0.1:0", http_listen="127.0.0.1:0", vex_dir=str(vex))
        with Collector(settings, store, today=lambda: fleet.TODAY) as collector:

            def accepted() -> int:
                told = run("posture", "--output", "json", "--collector", collector.grpc_address)
                return int(json.loads(told.out)["accepted"])

            def wait_for(number: int) -> None:
                deadline = time.monotonic() + 20
                while accepted() != number:
                    assert time.monotonic() < deadline, f"{accepted()} are accepted and not {number}"
                    time.sleep(0.1)

            assert accepted() == 0
            place = put(vex, "a.json", text(statement()))
            wait_for(2)
            store.set_labels(fleet.host_id_of("web-1"), {"env": "dev"})
            put(vex, "a.json", text(statement(products=PROD)))
            wait_for(0)
            store.set_labels(fleet.host_id_of("web-1"), {"env": "prod"})
            wait_for(2)
            put(vex, "a.json", b"{")
            deadline = time.monotonic() + 20
            while "libcensus_acceptance_broken_documents 1.0" not in _metrics(collector):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert accepted() == 2
            place.unlink()
            wait_for(0)


def _metrics(collector: Collector) -> list[str]:
    with urllib.request.urlopen(f"http://{collector.http_address}/metrics") as answer:
        text_: str = answer.read().decode()
    return text_.splitlines()
