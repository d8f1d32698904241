"""``libcensus simulate`` as a user runs it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from libcensus.cli.main import main
from libcensus.collector.app import Collector
from libcensus.collector.config import CollectorSettings
from libcensus.collector.store.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def truth_of(file: Path) -> Any:
    return json.loads(file.read_text(encoding="ascii"))


def test_a_bare_name_is_a_file_here_and_the_next_commands_are_told(run: Run, tmp_path: Path) -> None:
    ended = run("simulate", "--hosts", "30", "--database", "fleet.db", "--truth", "truth.json")
    assert (ended.code, ended.err) == (0, "")
    assert "30 hosts of seed 1, as of " in ended.out
    assert f"libcensus-collector serve --database sqlite:///{tmp_path}/fleet.db" in ended.out
    with SqlStore.open("./fleet.db", create=False) as store:
        assert len(store.host_stamps()) == 30 == truth_of(tmp_path / "truth.json")["hosts"]


def test_json_is_one_value_with_the_truth_and_equals_the_file(run: Run, tmp_path: Path) -> None:
    ended = run(
        "simulate", "--hosts", "9", "--seed", "4", "--database", "f.db", "--truth", "t.json", "--output", "json"
    )
    assert (ended.code, ended.err) == (0, "")
    answer = json.loads(ended.out)
    assert answer["database"] == f"sqlite:///{tmp_path}/f.db"
    assert answer["truth"] == truth_of(tmp_path / "t.json")
    assert answer["truth"]["seed"] == 4


def test_the_day_of_the_fleet_can_be_chosen(run: Run) -> None:
    ended = run("simulate", "--hosts", "5", "--as-of", "2026-03-01", "--database", "f.db", "--output", "json")
    assert json.loads(ended.out)["truth"]["as_of"] == "2026-03-01"


def test_a_fleet_with_a_past_is_the_same_fleet_at_its_end(run: Run, tmp_path: Path) -> None:
    now = json.loads(run("simulate", "--hosts", "20", "--database", "now.db", "--output", "json").out)["truth"]
    ended = run("simulate", "--hosts", "20", "--days", "120", "--database", "past.db", "--truth", "t.json")
    assert (ended.code, ended.err) == (0, "")
    told = truth_of(tmp_path / "t.json")
    assert f"Their past begins on {told['past']['start']}, and has {told['past']['reports']} reports." in " ".join(
        ended.out.split()
    )
    assert told["past"]["reports"] > 40
    assert now["past"] is None
    assert now["findings"]
    assert {**told, "past": None} == now


def test_a_collector_serves_the_fleet_and_the_commands_show_the_truth(run: Run, tmp_path: Path) -> None:
    run("simulate", "--hosts", "25", "--seed", "2", "--database", "fleet.db", "--truth", "truth.json")
    truth = truth_of(tmp_path / "truth.json")
    settings = CollectorSettings(
        listen="127.0.0.1:0", http_listen="127.0.0.1:0", database=f"sqlite:///{tmp_path}/fleet.db"
    )
    with Collector(settings) as collector:
        hosts = json.loads(run("hosts", "--collector", collector.grpc_address, "--output", "json").out)
        libcs = json.loads(run("fleet", "glibc", "--collector", collector.grpc_address, "--output", "json").out)
    assert len(hosts) == truth["hosts"]
    assert sum(host["installs"] for host in hosts) == sum(row["installs"] for row in truth["installs"])
    reached = {tag["tag"]: tag["hosts"] for tag in libcs["tags"]}
    assert reached == {f"{row['policy']}_{row['arch']}": row["hosts"] for row in truth["wheel_policies"]}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--database", "f.db", "--hosts", "0"], 2, "--hosts"),
        (["--database", "f.db", "--seed", "-1"], 2, "--seed"),
        (["--database", "f.db", "--seed", "one"], 2, "--seed"),
        (["--database", "f.db", "--as-of", "yesterday"], 2, "--as-of"),
        (["--database", "f.db", "--as-of", "2017-01-01"], 2, "--as-of 2017-01-01: the snapshot knows no"),
        (["--database", "f.db", "--days", "-1"], 2, "--days"),
        (["--database", "f.db", "--days", "1096"], 2, "--days"),
        (["--database", "f.db", "--truth", "no/such/truth.json"], 2, "--truth no/such/truth.json: there is no folder"),
        (["--database", "f.db", "--truth", "./f.db"], 2, "--truth ./f.db: is the database's own file"),
        (["--database", "f.db", "--truth", "f.db-wal"], 2, "--truth f.db-wal: is the database's own file"),
        ([], 2, "--database"),
        (["--database", "mysql://a:b@c/d"], 3, "'mysql' is no kind of database"),
        (["--database", "no/such/folder/fleet.db"], 3, "no/such"),
    ],
)
def test_what_is_wrong_is_one_line_and_makes_no_database(
    run: Run, tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    ended = run("simulate", *arguments)
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.startswith("libcensus: error: ")
    assert ended.err.count("\n") == 1
    assert says in ended.err
    assert not list(tmp_path.glob("*.db"))


def test_a_database_with_hosts_is_refused_and_stays_as_it_is(run: Run) -> None:
    run("simulate", "--hosts", "3", "--database", "fleet.db")
    ended = run("simulate", "--hosts", "4", "--seed", "9", "--database", "fleet.db")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("libcensus: error: the database holds 3 hosts already")
    with SqlStore.open("./fleet.db", create=False) as store:
        assert len(store.host_stamps()) == 3


def test_another_fleet_is_added_where_that_is_wanted(run: Run) -> None:
    run("simulate", "--hosts", "3", "--database", "fleet.db")
    ended = run("simulate", "--hosts", "4", "--seed", "9", "--database", "fleet.db", "--add", "--output", "json")
    assert (ended.code, ended.err) == (0, "")
    assert json.loads(ended.out)["truth"]["hosts"] == 4
    with SqlStore.open("./fleet.db", create=False) as store:
        assert len(store.host_stamps()) == 7


def test_a_file_that_is_no_database_is_left_alone(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "notes.db"
    file.write_text("notes, and no database\n" * 100, encoding="ascii")
    before = file.read_bytes()
    ended = run("simulate", "--database", "notes.db")
    assert (ended.code, ended.out) == (3, "")
    assert file.read_bytes() == before


def test_a_running_collectors_database_is_refused(run: Run) -> None:
    with SqlStore.open("./fleet.db"):
        ended = run("simulate", "--hosts", "1", "--database", "fleet.db")
    assert ended.code == 3
    assert "fleet.db" in ended.err


def test_passwords_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["simulate", "--database", "postgresql://census:secret@127.0.0.1:1/census", "--hosts", "1"])
    shown = capsys.readouterr()
    assert code == 3
    assert "secret" not in shown.out + shown.err


def test_a_fleet_goes_into_postgresql(run: Run, postgres_url: str) -> None:
    ended = run("simulate", "--hosts", "12", "--database", postgres_url, "--output", "json")
    assert (ended.code, ended.err) == (0, "")
    with SqlStore.open(postgres_url) as store:
        assert len(store.host_stamps()) == json.loads(ended.out)["truth"]["hosts"] == 12
