"""The commands `vex check` and `vex show`, and `labels`, as an operator meets them."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from libcensus.collector.acceptance.command import run_check, run_show
from libcensus.collector.cli import run
from libcensus.collector.config import CollectorSettings
from libcensus.collector.store.sql import SqlStore
from tests.collector.acceptance.documents import DOCUMENT, put, statement, text
from tests.collector.acceptance.structure import DOCUMENT as STRUCTURE
from tests.collector.metrics import fleet

if TYPE_CHECKING:
    from collections.abc import Iterator

    Shown = pytest.CaptureFixture[str]

PRODUCT = [{"@id": "urn:libcensus:label:env=prod"}]


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A database with two hosts, on which a collector runs."""
    place = str(tmp_path / "census.db")
    monkeypatch.setenv("LIBCENSUS_COLLECTOR_DATABASE", place)
    with SqlStore.open(place) as store:
        for name in ("web-1", "web-2"):
            fleet.report(store, fleet.Machine(name))
        yield place


def check(*paths: Path, output: str = "table", today: date = fleet.TODAY) -> tuple[int, str]:
    told: list[str] = []
    code = run_check(CollectorSettings(), paths, output, write=told.append, today=lambda: today)
    return code, "\n".join(told)


def test_what_a_document_is_about_is_told_without_a_collector(tmp_path: Path) -> None:
    place = put(tmp_path, "a.json", text(statement(), statement(products=PRODUCT, justification=None)))
    assert check(place) == (
        0,
        (
            f"{place}: ok: 2 statements\n"
            "  CVE-2025-15467 not_affected (vulnerable_code_not_in_execute_path) until 2027-01-31 for the whole fleet\n"
            "  CVE-2025-15467 not_affected until 2027-01-31 for hosts with env=prod"
        ),
    )


@pytest.mark.parametrize(
    ("changes", "today", "words"),
    [
        ({"vulnerability": {"name": "CVE-2099-1"}}, fleet.TODAY, "matches nothing: no advisory CVE-2099-1 in the snap"),
        ({}, date(2027, 2, 1), "expired, and counts no more"),
        ({}, date(2026, 6, 30), "not in force before 2026-07-01"),
    ],
)
def test_a_statement_that_does_not_count_is_told_to(
    tmp_path: Path, changes: dict[str, Any], today: date, words: str
) -> None:
    put(tmp_path, "a.json", text(statement(**changes)))
    code, told = check(tmp_path, today=today)
    assert code == 6
    assert words in told


def test_a_refused_document_is_told_and_the_others_are_checked(tmp_path: Path, capsys: Shown) -> None:
    put(tmp_path, "a.json", text(**{"@id": "https://example.com/other"}))
    broken = put(tmp_path, "b.json", text(statement(status_notes=None)))
    code, told = check(tmp_path, output="json")
    assert code == 1
    answer = json.loads(told)
    assert [one["id"] for one in answer["documents"]] == ["https://example.com/other"]
    assert answer["documents"][0]["statements"][0]["expires"] == "2027-01-31T00:00:00Z"
    [problem] = answer["problems"]
    assert problem["file"] == str(broken)
    assert capsys.readouterr().err == f"libcensus-collector: error: {broken}: {problem['problem']}\n"


def test_a_path_that_is_not_there(tmp_path: Path, capsys: Shown) -> None:
    assert run(["vex", "check", str(tmp_path / "none.json")]) == 3
    assert "there is no such file or folder" in capsys.readouterr().err


def show(database: str, vex: Path, output: str = "table") -> tuple[int, str]:
    told: list[str] = []
    settings = CollectorSettings(database=database, vex_dir=str(vex))
    return run_show(settings, output, write=told.append, today=lambda: fleet.TODAY), "\n".join(told)


def test_what_each_statement_covers_is_shown_beside_a_running_collector(
    tmp_path: Path, database: str, capsys: Shown
) -> None:
    vex = tmp_path / "vex"
    put(
        vex,
        "a.json",
        text(
            statement(),
            statement(products=PRODUCT),
            statement(products=[{"@id": "urn:libcensus:host:web-9"}], status_notes="Expires: 2028-01-01"),
        ),
    )
    code, told = show(database, vex, "json")
    assert code == 6
    rows = {one["statement"]: one for one in json.loads(told)["statements"]}
    assert rows[f"{DOCUMENT}#1"]["hosts"] == 2
    assert rows[f"{DOCUMENT}#1"]["findings"] > 0
    assert rows[f"{DOCUMENT}#2"]["note"] == "matches nothing: no host has reported that is of hosts with env=prod"
    assert rows[f"{DOCUMENT}#3"]["note"] == "matches nothing: no host has reported that is of host web-9"
    assert run(["labels", "set", "web-1", "env=prod", "team=web"]) == 0
    assert capsys.readouterr().out == "web-1  env=prod,team=web\n"
    # What two statements cover, the one of the lower id is told of: both began on one day and end on one.
    put(vex, "a.json", text(statement(products=PRODUCT)))
    code, told = show(database, vex)
    assert code == 0
    assert told.splitlines()[1].split()[:4] == ["active", "2027-01-31", told.splitlines()[1].split()[2], "1"]


def test_without_a_database_the_statements_are_shown_all_the_same(tmp_path: Path, capsys: Shown) -> None:
    vex = tmp_path / "vex"
    assert show(str(tmp_path / "none.db"), vex) == (0, f"no statement in {vex}")
    put(vex, "a.json", text())
    code, told = show(str(tmp_path / "none.db"), vex)
    assert code == 0
    assert "active  2027-01-31  -" in told
    assert "what the statements cover is not known" in capsys.readouterr().err


def test_labels_are_set_listed_and_removed(database: str, capsys: Shown) -> None:
    assert database
    assert run(["labels", "set", fleet.host_id_of("web-2"), "env=staging"]) == 0
    assert run(["labels", "set", "web-1", "env=prod", "example.com/zone=b"]) == 0
    capsys.readouterr()
    assert run(["labels", "list"]) == 0
    assert capsys.readouterr().out == "web-1  env=prod,example.com/zone=b\nweb-2  env=staging\n"
    assert run(["labels", "list", "-l", "env!=prod", "--output", "json"]) == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == ["web-2"]
    assert run(["labels", "remove", "web-1", "env", "example.com/zone"]) == 0
    assert capsys.readouterr().out == "web-1  -\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["set", "web-9", "env=prod"], 2, "no host has the name or id 'web-9'; `libcensus-collector labels list`"),
        (["set", "web-1", "env"], 2, "'env' sets no label: write KEY=VALUE"),
        (["set", "web-1", "env=a b"], 2, "'a b' is no value of a label"),
        (["set", "web-1", *(f"k{number}=x" for number in range(65))], 2, "would have more than 64 labels"),
        (["remove", "web-1", "env"], 2, "web-1 has no label env; nothing was changed"),
        (["remove", "web-1", "-"], 2, "'-' is no key"),
        (["list", "-l", "env="], 0, ""),
        (["list", "-l", ","], 2, "-l: the selector ',' holds an empty condition"),
        (["list", "--database", "/nowhere/x.db"], 3, "there is no such database"),
    ],
)
def test_what_no_label_is_refused(database: str, capsys: Shown, arguments: list[str], code: int, words: str) -> None:
    assert database
    assert run(["labels", *arguments]) == code
    assert words in capsys.readouterr().err


def test_the_page_shows_a_document_that_is_taken_and_what_the_command_says_of_it(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/accepted-risks.md").read_text()
    [example] = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    jsonschema.validate(json.loads(example), STRUCTURE)
    place = put(tmp_path, "2026-07-payments.json", example.encode())
    code, told = check(place)
    assert code == 0
    assert told.replace(f"{tmp_path}/", "") in page
