"""``-l`` in every command that asks about the fleet, ``hosts --silent`` and ``hosts --label``, really asked."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click
import pytest

from libcensus.cli.main import libcensus
from libcensus.collector.app import Collector
from libcensus.collector.config import CollectorSettings
from libcensus.collector.store.sql import SqlStore
from libcensus.facts.report import AgentState
from tests.collector.metrics import fleet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

WHEEL = "demo-1-cp311-cp311-manylinux_2_17_x86_64.whl"

QUESTIONS: dict[str, tuple[str, ...]] = {
    "hosts": ("hosts",),
    "posture": ("posture",),
    "posture of a past day": ("posture", "--at", "2026-11-20"),
    "providers": ("providers",),
    "glibc": ("fleet", "glibc"),
    "matrix": ("fleet", "matrix"),
    "check": ("check", WHEEL),
    "json": ("export", "--format", "json"),
    "csv": ("export", "--format", "csv"),
}


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """A collector with three hosts, two of them with labels."""
    folder = tmp_path_factory.mktemp("labelled")
    with SqlStore.open(f"sqlite:///{folder / 'census.db'}") as store:
        for number, name in enumerate(("web-1", "web-2", "db")):
            told = AgentState(1, 2, 3) if name == "web-2" else None
            fleet.report(store, fleet.Machine(name, agent_state=told), at=fleet.NOON - timedelta(days=number))
        store.set_labels(fleet.host_id_of("web-1"), {"env": "prod", "team": "web"})
        store.set_labels(fleet.host_id_of("db"), {"env": "dev"})
        settings = CollectorSettings(listen="127.0.0.1:0", http_listen="127.0.0.1:0")
        running = Collector(settings, store, today=lambda: fleet.TODAY).start()
        try:
            yield running
        finally:
            running.stop()


@pytest.fixture
def ask(run: Run, labelled: Collector) -> Run:
    """Run a command against the collector."""
    return lambda *arguments: run(*arguments, "--collector", labelled.grpc_address)


def hosts_in(name: str, out: str) -> int:
    """How many hosts an answer is about."""
    if name == "csv":
        return len({line.split(",")[0] for line in out.splitlines()[1:]})
    told: Any = json.loads(out)
    counted: dict[str, Callable[[], int]] = {
        "hosts": lambda: len(told),
        "posture": lambda: told["hosts"],
        "posture of a past day": lambda: told["hosts"],
        "providers": lambda: told["hosts"],
        "glibc": lambda: sum(one["hosts"] for one in told["libcs"]),
        "matrix": lambda: sum(one["hosts"] for one in told["platforms"]),
        "check": lambda: sum(one["hosts"] for one in told),
        "json": lambda: len(told["hosts"]),
    }
    return counted[name]()


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize(("selector", "hosts"), [("env=prod", 1), ("env", 2), ("env!=prod", 2), ("!team,env!=dev", 1)])
def test_every_question_is_about_the_chosen_hosts(ask: Run, name: str, selector: str, hosts: int) -> None:
    arguments = QUESTIONS[name] + (() if "export" in QUESTIONS[name] else ("--output", "json"))
    ended = ask(*arguments, "-l", selector)
    assert (ended.code, ended.err) == (0, "")
    assert hosts_in(name, ended.out) == hosts


@pytest.mark.parametrize("name", [name for name in QUESTIONS if "export" not in QUESTIONS[name]])
def test_a_label_that_no_host_has_is_told_where_the_answer_is_empty(ask: Run, name: str) -> None:
    ended = ask(*QUESTIONS[name], "-l", "evn=prod")
    assert ended.code == (6 if name == "check" else 0)
    words = (
        "No host has labels that evn=prod chooses, for none has a label evn: `libcensus hosts` lists all with theirs."
    )
    assert (ended.out + ended.err).strip().removeprefix("libcensus: ").removesuffix(" Nothing was judged.") == words


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_label_that_no_host_has_is_told_where_the_answer_is_not_empty(ask: Run, name: str) -> None:
    ended = ask(*QUESTIONS[name], "-l", "evn!=prod")
    assert ended.code == 0
    assert ended.err == "libcensus: warning: no host has a label evn; `libcensus hosts` lists all with theirs\n"


def test_a_policy_that_is_about_no_host_says_so(ask: Run) -> None:
    ended = ask("posture", "-l", "env=elsewhere", "--fail-on", "low")
    assert (ended.code, ended.err) == (
        0,
        "libcensus: warning: no host was looked at, so nothing is at or above low\n",
    )
    assert ask("posture", "-l", "env=prod", "--fail-on", "low").code == 1


def test_an_empty_export_says_why(ask: Run) -> None:
    ended = ask("export", "--format", "json", "-l", "env=elsewhere")
    assert (ended.code, json.loads(ended.out)["hosts"]) == (0, [])
    assert ended.err.startswith("libcensus: warning: No host has labels that env=elsewhere chooses:")


def test_an_export_of_named_hosts_leaves_out_those_that_are_not_chosen(ask: Run) -> None:
    named = ("--host", "web-1", "--host", fleet.host_id_of("db"))
    ended = ask("export", "--format", "json", *named, "-l", "env=dev")
    assert [host["name"] for host in json.loads(ended.out)["hosts"]] == ["db"]


def commands_with_a_collector() -> list[tuple[str, click.Command]]:
    found = []
    waiting: list[tuple[str, click.Command]] = list(libcensus.commands.items())
    for name, command in waiting:
        if isinstance(command, click.Group):
            waiting += [(f"{name} {below}", one) for below, one in command.commands.items()]
        elif any("--collector" in parameter.opts for parameter in command.params):
            found.append((name, command))
    return found


ABOUT_ONE_HOST = {"explain"}
ABOUT_SETTINGS = {"config show", "identity show"}


def test_every_command_that_asks_about_the_fleet_takes_a_selector() -> None:
    with_selector = {
        name
        for name, command in commands_with_a_collector()
        if any("-l" in parameter.opts for parameter in command.params)
    }
    every = {name for name, _ in commands_with_a_collector()}
    assert every - with_selector <= ABOUT_ONE_HOST | ABOUT_SETTINGS
    assert {"hosts", "show", "posture", "providers", "fleet glibc", "fleet matrix", "check", "export"} <= with_selector


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize(
    ("selector", "words"),
    [("env=prod,,", "the selector 'env=prod,,' holds an empty condition"), ("", "the selector '' holds an empty")],
)
def test_what_is_no_selector_is_refused_alike_and_before_anybody_is_asked(
    run: Run, name: str, selector: str, words: str
) -> None:
    ended = run(*QUESTIONS[name], "-l", selector, "--collector", "127.0.0.1:1")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"libcensus: error: -l: {words}")


def test_a_selector_is_for_the_fleet_and_not_for_places(run: Run) -> None:
    ended = run("check", WHEEL, "--against", "debian:12", "-l", "env=prod")
    assert (ended.code, ended.out) == (2, "")
    assert "give one of them" in ended.err


# --- show ----------------------------------------------------------------------------------------------------------


def test_show_takes_the_hosts_that_a_selector_chooses(ask: Run) -> None:
    ended = ask("show", "-l", "env")
    assert ended.code == 0
    assert [line.split(":")[0] for line in ended.out.splitlines() if ": Debian" in line] == ["db", "web-1"]
    told = json.loads(ask("show", "-l", "env=prod", "--output", "json").out)
    assert [one["summary"]["name"] for one in told] == ["web-1"]
    assert told[0] == json.loads(ask("show", "web-1", "--output", "json").out)


def test_show_of_no_host_says_so(ask: Run) -> None:
    ended = ask("show", "-l", "env=elsewhere")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("No host has labels that env=elsewhere chooses:")
    assert json.loads(ask("show", "-l", "env=elsewhere", "--output", "json").out) == []


@pytest.mark.parametrize("arguments", [(), ("web-1", "-l", "env=prod")], ids=["neither", "both"])
def test_show_wants_a_host_or_a_selector(ask: Run, arguments: tuple[str, ...]) -> None:
    ended = ask("show", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert "HOST" in ended.err


# --- silent hosts --------------------------------------------------------------------------------------------------


def test_silent_hosts_come_with_their_last_report_the_longest_silent_first(ask: Run) -> None:
    ended = ask("hosts", "--silent", "24h")
    assert (ended.code, ended.err) == (0, "")
    lines = [line.split() for line in ended.out.splitlines()]
    assert lines[0] == ["HOST", "SYSTEM", "LAST", "REPORT", "AGENT", "LABELS"]
    assert [(line[0], line[3]) for line in lines[1:]] == [
        ("db", "2026-11-18T12:00:00Z"),
        ("web-2", "2026-11-19T12:00:00Z"),
        ("web-1", "2026-11-20T12:00:00Z"),
    ]
    told = json.loads(ask("hosts", "--silent", "1s", "-l", "env", "--output", "json").out)
    assert [(one["name"], one["last_report"]) for one in told] == [
        ("db", "2026-11-18T12:00:00Z"),
        ("web-1", "2026-11-20T12:00:00Z"),
    ]
    assert {one["waiting_reports"] for one in told} == {None}


def test_what_an_agent_holds_back_and_lost_is_in_the_json(ask: Run) -> None:
    told = {host["name"]: host for host in json.loads(ask("hosts", "--output", "json").out)}
    names = ("waiting_reports", "dropped_reports", "dropped_facts")
    assert [told["web-2"][name] for name in names] == [1, 2, 3]
    assert [told["web-1"][name] for name in names] == [None, None, None]
    assert told["web-2"]["agent_version"] == "0.1.0"
    assert told["web-1"]["labels"] == {"env": "prod", "team": "web"}


def test_nobody_is_silent_for_ever(ask: Run) -> None:
    assert ask("hosts", "--silent", "99999999w").out == "No host has been silent for so long.\n"
    assert json.loads(ask("hosts", "--silent", "99999999w", "--output", "json").out) == []
    assert "of those that env chooses" in ask("hosts", "--silent", "99999999w", "-l", "env").out


@pytest.mark.parametrize("text", ["24", "h", "-1h", "1.5h", "1y", "", "1h30m", "٣h"])
def test_what_is_no_duration_is_refused(run: Run, text: str) -> None:
    ended = run("hosts", "--silent", text, "--collector", "127.0.0.1:1")
    assert (ended.code, ended.out) == (2, "")
    assert "is no duration; write it as 90m, 24h or 7d" in ended.err


# --- labels --------------------------------------------------------------------------------------------------------


def test_labels_are_given_and_taken(run: Run, tmp_path: Path) -> None:
    with SqlStore.open(f"sqlite:///{tmp_path / 'census.db'}") as store:
        fleet.report(store, fleet.Machine("web-1"))
        settings = CollectorSettings(listen="127.0.0.1:0", http_listen="127.0.0.1:0")
        with Collector(settings, store, today=lambda: fleet.TODAY) as collector:
            where = ("--collector", collector.grpc_address)
            ended = run("hosts", "--label", "web-1", "env=dev", "team=web", *where)
            assert (ended.code, ended.out, ended.err) == (0, "web-1  env=dev,team=web\n", "")
            ended = run("hosts", "--label", "web-1", "env=prod", "team-", "--output", "json", *where)
            assert json.loads(ended.out) == {
                "host_id": fleet.host_id_of("web-1"),
                "name": "web-1",
                "labels": {"env": "prod"},
            }
            assert json.loads(run("hosts", "--output", "json", *where).out)[0]["labels"] == {"env": "prod"}
            ended = run("hosts", "--label", "web-1", "team-", *where)
            assert (ended.code, ended.out) == (2, "")
            assert "web-1 has no label team; nothing was changed" in ended.err
            ended = run("hosts", "--label", "web-2", "team=x", *where)
            assert ended.code == 2
            assert "knows no host 'web-2'; did you mean web-1?" in ended.err


WRONG = {
    "no label": (("--label", "web-1"), "--label HOST wants labels"),
    "no host": (("env=prod",), "'env=prod' is a label for no host: name one with --label HOST"),
    "no value": (("--label", "web-1", "env"), "'env' sets no label: write KEY=VALUE, such as env=prod; KEY- takes"),
    "no key": (("--label", "web-1", "=x"), "'' is no key of a label"),
    "a bare dash": (("--label", "web-1", "--", "-"), "'' is no key of a label"),
    "a list as well": (("--label", "web-1", "env=x", "-l", "env"), "without --selector and --silent"),
}


@pytest.mark.parametrize(("arguments", "words"), WRONG.values(), ids=WRONG)
def test_what_is_no_change_of_labels_is_refused(run: Run, arguments: tuple[str, ...], words: str) -> None:
    ended = run("hosts", "--collector", "127.0.0.1:1", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert words in ended.err
