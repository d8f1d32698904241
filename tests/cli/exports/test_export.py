"""``export`` of a real collector's hosts: valid by each format's own rules, complete, and the same every time."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import jsonschema
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from libcensus.cli.assessed import assessed_from_detail
from libcensus.cli.client import FleetClient
from libcensus.cli.config import find_collector
from libcensus.cli.exports import source
from libcensus.cli.exports.cyclonedx import cyclonedx_text
from libcensus.cli.exports.part import parts_of
from libcensus.cli.exports.rows import COLUMNS, csv_lines
from libcensus.cli.exports.sarif import sarif_texts
from libcensus.collector.app import Collector
from libcensus.collector.config import CollectorSettings
from libcensus.collector.posture.finding import VexStatus
from libcensus.collector.service.fleet import FleetReader
from libcensus.collector.store.sql import SqlStore
from tests.cli.exports.sarif_structure import SARIF
from tests.collector.metrics import fleet
from tests.golden import check_golden

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from libcensus.cli.exports.part import HostParts
    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

NAMES = ('=cmd|" /C calc"!A0', "full", "web-1", "web-2")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """A collector with a full host, two alike, and one whose name is a spreadsheet's formula."""
    folder = tmp_path_factory.mktemp("small")
    with SqlStore.open(f"sqlite:///{folder / 'census.db'}") as store:
        fleet.report(store, fleet.full_machine())
        for name in NAMES:
            if name != "full":
                fleet.report(store, fleet.Machine(name))
        settings = CollectorSettings(listen="127.0.0.1:0", http_listen="127.0.0.1:0")
        running = Collector(settings, store, today=lambda: fleet.TODAY).start()
        try:
            yield running
        finally:
            running.stop()


@pytest.fixture(scope="module")
def shown(small: Collector) -> dict[str, dict[Any, Any]]:
    """What ``show`` would tell: every finding of every host, to count by."""
    with FleetClient(find_collector(small.grpc_address, {})) as client:
        return {
            name: {
                (finding.subject, finding.component, finding.advisory): finding
                for finding in client.show_host(name).findings
            }
            for name in NAMES
        }


@pytest.fixture(scope="module")
def full(small: Collector) -> HostParts:
    """The full host as its parts."""
    with FleetClient(find_collector(small.grpc_address, {})) as client:
        detail = client.show_host("full")
    return parts_of(detail.summary, assessed_from_detail(detail))


def export(run: Run, small: Collector, kind: str, *more: str) -> str:
    """Return what is exported."""
    ended = run("export", "--format", kind, "--collector", small.grpc_address, *more)
    assert (ended.code, ended.err) == (0, "")
    return ended.out


def rows_of(text: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_everything_that_was_judged_is_a_part_and_no_finding_is_lost(
    full: HostParts, shown: dict[str, dict[Any, Any]]
) -> None:
    told = [(part.subject, finding.component, finding.advisory) for part in full.parts for finding in part.findings]
    assert sorted(told) == sorted(shown["full"])
    assert len(told) == len(set(told))
    purls = {(part.subject.path.rpartition("/")[2], part.component): part.purl for part in full.parts}
    assert purls["python3.12", "openssl"] == "pkg:generic/openssl@3.5.4"
    assert purls["_rust.abi3.so", "openssl"] == "pkg:generic/openssl@3.5.4"
    assert purls["node", "nodejs"] == "pkg:generic/node@18.19.0"
    assert purls["cygrpc.cpython-312-x86_64-linux-gnu.so", "boringssl"] == "pkg:generic/boringssl"
    by_root = {part.subject.root: part.purl for part in full.parts if part.package is not None}
    assert by_root["/"].endswith("distro=debian-12")
    assert by_root[fleet.CHROOT].endswith("distro=ubuntu-20.04")
    assert {part.owner_purl for part in full.parts} >= {"pkg:pypi/cryptography@46.0.3", None}


def test_csv_has_a_row_for_each_finding(run: Run, small: Collector, shown: dict[str, dict[Any, Any]]) -> None:
    text = export(run, small, "csv")
    lines = text.split("\r\n")
    assert lines[0] == ",".join(COLUMNS)
    assert lines[-1] == ""
    rows = rows_of(text)
    assert {len(row) for row in rows} == {len(COLUMNS)}
    found = [row for row in rows if row["advisory"]]
    assert len(found) == sum(map(len, shown.values()))
    assert [row for row in rows if not row["advisory"]]
    assert list(dict.fromkeys(row["host"] for row in rows)) == ["'" + NAMES[0], *NAMES[1:]]
    static = next(row for row in found if row["host"] == "web-1" and row["advisory"] == "CVE-2025-15467")
    assert (static["purl"], static["status"], static["severity"]) == ("pkg:generic/openssl@3.5.4", "affected", "high")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", static["fix_available"])


@pytest.mark.parametrize("begin", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", " =1", "\uff1d1"])
def test_no_text_of_a_host_is_a_formula(full: HostParts, begin: str) -> None:
    from dataclasses import replace

    text = "".join(csv_lines([replace(full, name=f'{begin},"a"\nb')]))
    names = {row["host"] for row in rows_of(text)}
    assert names == {f'\'{begin},"a"\nb'}


def test_json_has_everything_with_its_evidence(run: Run, small: Collector, shown: dict[str, dict[Any, Any]]) -> None:
    document = json.loads(export(run, small, "json"))
    assert document["schema_version"] == 1
    assert [host["name"] for host in document["hosts"]] == list(NAMES)
    findings = [one for host in document["hosts"] for part in host["components"] for one in part["findings"]]
    assert len(findings) == sum(map(len, shown.values()))
    assert all(one["evidence"] for one in findings)


def test_sarif_is_valid_and_has_what_needs_somebody(
    run: Run, small: Collector, shown: dict[str, dict[Any, Any]]
) -> None:
    log = json.loads(export(run, small, "sarif"))
    jsonschema.validate(log, SARIF, format_checker=jsonschema.FormatChecker())
    (told,) = log["runs"]
    wanted = (VexStatus.AFFECTED, VexStatus.UNDER_INVESTIGATION)
    expected = [one for host in shown.values() for one in host.values() if one.status in wanted]
    assert len(told["results"]) == len(expected)
    rules = told["tool"]["driver"]["rules"]
    assert all(rules[one["ruleIndex"]]["id"] == one["ruleId"] for one in told["results"])
    prints = [one["partialFingerprints"]["libcensusFinding/v1"] for one in told["results"]]
    assert len(prints) == len(set(prints))
    kinds = {one["properties"]["status"]: one["kind"] for one in told["results"]}
    assert kinds == {"affected": "fail", "under_investigation": "open"}
    uris = {one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in told["results"]}
    assert "file://full/opt/py/lib/libpython3.12.so.1.0" in uris
    assert f"file://full{fleet.CHROOT}/usr/lib/x86_64-linux-gnu/libcrypto.so.3" in uris
    everything = json.loads(export(run, small, "sarif", *(f"--status={status}" for status in VexStatus)))
    jsonschema.validate(everything, SARIF, format_checker=jsonschema.FormatChecker())
    assert {one["kind"] for one in everything["runs"][0]["results"]} >= {"fail", "open", "pass"}


def test_cyclonedx_is_valid_by_its_own_strict_schema_and_every_finding_is_vex(
    run: Run, small: Collector, shown: dict[str, dict[Any, Any]]
) -> None:
    text = export(run, small, "cyclonedx")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bom = json.loads(text)
    assert bom["specVersion"] == "1.6"
    components = {one["bom-ref"]: one for one in bom["components"]}
    states = {"affected": "exploitable", "under_investigation": "in_triage", "fixed": "resolved"}
    stated = {
        (entry["id"], entry["analysis"]["state"], target["ref"])
        for entry in bom["vulnerabilities"]
        for target in entry["affects"]
    }
    assert {ref for _, _, ref in stated} <= components.keys()
    expected = {
        (one.advisory, states[one.status]) for host in shown.values() for one in host.values() if one.status in states
    }
    assert {(advisory, state) for advisory, state, _ in stated if state in states.values()} == expected
    static = components["pkg:generic/openssl@3.5.4"]
    places = {one["location"] for one in static["evidence"]["occurrences"]}
    assert {"web-1:/opt/py/lib/libpython3.12.so.1.0", "web-2:/opt/py/lib/libpython3.12.so.1.0"} <= places
    assert any(place.startswith("full:/srv/app/.venv/") for place in places)
    wheel = next(one for one in bom["dependencies"] if one["ref"].startswith("pkg:pypi/cryptography@46.0.3"))
    assert wheel["dependsOn"] == ["pkg:generic/openssl@3.5.4"]
    every_ref = [one["ref"] for one in bom["dependencies"]]
    assert set(every_ref) == {*components, "fleet"}


def test_exports_are_the_same_every_time(run: Run, small: Collector) -> None:
    for kind in ("csv", "json", "sarif", "cyclonedx"):
        first, second = (
            re.sub(r'"(exported_at|endTimeUtc|timestamp|serialNumber)": "[^"]*"', "", export(run, small, kind))
            for _ in range(2)
        )
        assert first == second, kind


def test_chosen_hosts_come_once_and_in_order(run: Run, small: Collector) -> None:
    chosen = ("--host", "web-2", "--host", "full", "--host", fleet.host_id_of("web-2"))
    rows = rows_of(export(run, small, "csv", *chosen))
    assert list(dict.fromkeys(row["host"] for row in rows)) == ["full", "web-2"]
    bom = json.loads(export(run, small, "cyclonedx", "--host", "web-1"))
    assert (bom["metadata"]["component"]["name"], bom["metadata"]["component"]["type"]) == ("web-1", "device")
    ended = run("export", "--format", "csv", "--host", "web-9", "--collector", small.grpc_address)
    assert (ended.code, ended.out) == (2, "")
    assert "did you mean web-" in ended.err


def test_chosen_statuses_alone_are_told(run: Run, small: Collector) -> None:
    rows = rows_of(export(run, small, "csv", "--status", "affected"))
    assert {row["status"] for row in rows} == {"affected", ""}


def test_a_file_is_there_when_it_is_complete(run: Run, small: Collector, tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    assert export(run, small, "csv", "--output", str(file)) == ""
    assert file.read_bytes().decode() == export(run, small, "csv")
    assert file.stat().st_mode & 0o777 == 0o666 & ~current_umask()
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []
    ended = run("export", "--format", "csv", "--output", str(tmp_path / "no" / "x"),
                "--collector", small.grpc_address)  # fmt: skip
    assert (ended.code, ended.out) == (2, "")
    assert "cannot be written: No such file or directory" in ended.err


def current_umask() -> int:
    """Return the umask."""
    import os

    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_host_that_fails_leaves_no_half_file_and_is_told(
    run: Run, small: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from libcensus.cli.errors import ArgumentError, CollectorAnswerError, UnreachableError

    whole = FleetClient.show_host
    errors: dict[str, Exception] = {
        fleet.host_id_of("web-1"): CollectorAnswerError("its facts are absent"),
        fleet.host_id_of("web-2"): ArgumentError("no such host"),
    }

    def show(self: FleetClient, name: str) -> Any:
        if name in errors:
            raise errors[name]
        return whole(self, name)

    monkeypatch.setattr(FleetClient, "show_host", show)
    ended = run("export", "--format", "csv", "--collector", small.grpc_address)
    assert ended.code == 6
    assert ended.err == "libcensus: error: host web-1 is left out: its facts are absent\n"
    assert {row["host"] for row in rows_of(ended.out)} == {"'" + NAMES[0], "full"}
    errors[fleet.host_id_of("web-2")] = UnreachableError("gone")
    ended = run("export", "--format", "csv", "--collector", small.grpc_address, "--output", str(tmp_path / "x"))
    assert ended.code == 4
    assert list(tmp_path.iterdir()) == []


def test_hosts_are_asked_for_as_they_are_written(small: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = FleetClient.show_host
    asked: list[str] = []

    def show(self: FleetClient, name: str) -> Any:
        asked.append(name)
        return whole(self, name)

    monkeypatch.setattr(FleetClient, "show_host", show)
    monkeypatch.setattr(source, "_AHEAD", 1)
    with FleetClient(find_collector(small.grpc_address, {})) as client:
        hosts = source.listed_details(client, client.list_hosts(), lambda *_: None, lambda *_: None)
        assert asked == []
        names = []
        for host in hosts:
            names.append(host.summary.name)
            assert len(asked) <= len(names) + 1
    assert names == list(NAMES)


def test_the_small_export_looks_as_it_did(tmp_path: Path) -> None:
    # A catalogue of its own: the one on board has other words whenever it is made anew.
    assessor = fleet.assessor()
    with SqlStore.open(f"sqlite:///{tmp_path / 'census.db'}") as store:
        fleet.report(store, fleet.full_machine())
        detail = FleetReader(store, lambda: assessor).show_host("full")
    when = datetime(2026, 11, 20, 13, tzinfo=UTC)
    only = parts_of(detail.summary, assessed_from_detail(detail))
    check_golden("export.csv", "".join(csv_lines([only])).replace("\r\n", "\n"))
    check_golden("export.cdx.json", cyclonedx_text([only], "0.1.0", when, serial=UUID(int=1), indent=1))
    log = json.loads("".join(sarif_texts([only], "0.1.0", when)))
    check_golden("export.sarif", json.dumps(log, indent=1) + "\n")
