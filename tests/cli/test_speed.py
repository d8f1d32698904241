"""``libcensus speed``: which build is named, how it is run, and what is told when it cannot be."""

from __future__ import annotations

import ast
import json
import os
import pwd
import re
import shutil
import sys
import venv
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from libcensus.agent.host import Root
from libcensus.agent.scan import scan
from libcensus.agent.settings import ScanSettings
from libcensus.cli import speed_run
from libcensus.cli.errors import ArgumentError
from libcensus.cli.help import plain_help
from libcensus.cli.main import libcensus
from libcensus.cli.speed_builds import OLDEST, NamedBuild, find_build, read_build
from libcensus.cli.speed_document import Measurement, speed_schema
from libcensus.cli.speed_machine import Machine, doubts, read_machine
from libcensus.cli.speed_run import PART_NAMES, check_owner, choose_user, order_of, run_once, workload_source
from libcensus.cli.speed_tables import VERDICT_WORDS, print_speed, tell_time
from libcensus.cli.terminal import Output
from libcensus.collector.posture.speed import MeasuredBuild, SpeedRun, SpeedVerdict
from libcensus.collector.speeds.document import read_speed
from libcensus.facts.interpreter import Build
from libcensus.facts.vocabulary import Implementation, Provider
from tests.cli.test_account import Screen, strip_styles
from tests.cli.test_verdicts_document import keys
from tests.golden import check_golden

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

PAGE = Path(__file__).parents[2] / "docs/speed.md"

SYSTEM = "/usr/bin/python3"
"""The distribution's, which an unprivileged user may run."""

BASE = os.path.realpath(sys._base_executable)  # type: ignore[attr-defined]

AS = ("--user", pwd.getpwuid(os.geteuid()).pw_name) if os.geteuid() == 0 else ()
"""What lets root run files in folders that are root's alone."""

TINY = ("--rounds", "1", "--seconds", "0.05")


def named(path: Path | str) -> NamedBuild:
    build = Build(Implementation.CPYTHON, "3.12.1", "x86_64", Provider.UNKNOWN, None, (), ())
    return NamedBuild(str(path), str(path), build, "0" * 64, ())


def script(path: Path, text: str) -> NamedBuild:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return named(path)


# --- which build is meant ---------------------------------------------------------------------------------------------


def test_a_build_has_the_digest_that_a_scan_gives_it(small_root: Path) -> None:
    with Root.open(str(small_root)) as root:
        found = scan(root, ScanSettings(index=False))
    (install,) = found.installs.installs
    for path in (install.path, *install.aliases):
        with Root.open(str(small_root)) as root:
            assert read_build(root, "given", root.realpath(path)).digest == install.build


@pytest.mark.parametrize("copies", [False, True], ids=["linked", "copied"])
def test_an_environment_leads_to_its_base(tmp_path: Path, copies: bool) -> None:
    base = find_build(BASE)
    venv.create(tmp_path / "one", symlinks=not copies)
    for given_name in (str(tmp_path / "one"), str(tmp_path / "one/bin/python")):
        found = find_build(given_name)
        assert (found.digest, found.environment) == (base.digest, str(tmp_path / "one"))
        assert Path(found.path).samefile(base.path) or found.digest == base.digest


def test_a_name_is_looked_for_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my-python").symlink_to(BASE)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_build("my-python").digest == find_build(BASE).digest


def write(path: Path, text: str, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_what_cannot_be_measured_is_named_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to("nowhere")
    write(tmp_path / "shim", "#!/usr/bin/env bash\nexec pyenv exec python\n")
    write(tmp_path / "text", "text")
    (tmp_path / "folder").mkdir()
    shutil.copy("/bin/ls", tmp_path / "python3")
    shutil.copy(BASE, tmp_path / "unexecutable")
    (tmp_path / "unexecutable").chmod(0o644)
    write(tmp_path / "lost/pyvenv.cfg", "home = /nowhere/bin\n")
    (tmp_path / "lost/bin").mkdir()
    shutil.copy(BASE, tmp_path / "lost/bin/python")
    write(tmp_path / "circle/pyvenv.cfg", f"home = {tmp_path}/circle/bin\n")
    (tmp_path / "circle/bin").mkdir()
    shutil.copy(BASE, tmp_path / "circle/bin/python")
    words = {
        "no-such-interpreter-anywhere": "is not on the PATH",
        f"{tmp_path}/missing": "there is no such file",
        f"{tmp_path}/dangling": "its link leads to nothing",
        f"{tmp_path}/shim": "is a script (a shim or a wrapper), not an interpreter; name the file that it starts",
        f"{tmp_path}/text": "is no program of Linux",
        f"{tmp_path}/folder": "is a folder without bin/python",
        f"{tmp_path}/python3": "is not the main program of an interpreter that libcensus knows",
        f"{tmp_path}/unexecutable": "may not be executed by this user",
        f"{tmp_path}/lost": "is of an environment whose base is not there",
        f"{tmp_path}/circle": "its environment leads in a circle",
    }
    for given_name, reason in words.items():
        with pytest.raises(ArgumentError) as error:
            find_build(given_name)
        assert str(error.value).startswith(f"{given_name}: ")
        assert reason in str(error.value)


def test_what_cannot_be_looked_at_is_said() -> None:
    with pytest.raises(ArgumentError, match="cannot be looked at: File name too long"):
        find_build("/" + "x" * 300)


# --- as whom ----------------------------------------------------------------------------------------------------------


def test_root_runs_interpreters_as_nobody_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    chosen = choose_user(None)
    assert chosen is not None
    assert (chosen.name, chosen.user) == ("nobody", pwd.getpwnam("nobody").pw_uid)
    assert choose_user("root") == speed_run.RunAs("root", 0, 0)
    with pytest.raises(ArgumentError, match="--user no-such-user: there is no such user"):
        choose_user("no-such-user")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert choose_user(None) is None
    with pytest.raises(ArgumentError, match="--user root: only root"):
        choose_user("root")


def test_root_runs_nothing_that_others_can_write(tmp_path: Path) -> None:
    check_owner(find_build(SYSTEM))
    file = write(tmp_path / "python3", "", 0o757)
    with pytest.raises(ArgumentError, match="can be written by others than root"):
        check_owner(named(file))
    file.chmod(0o755)
    (tmp_path / "open").mkdir(mode=0o777)
    (tmp_path / "open").chmod(0o777)
    inside = write(tmp_path / "open/python3", "")
    with pytest.raises(ArgumentError, match="can be written by others than root"):
        check_owner(named(inside))
    with pytest.raises(ArgumentError, match="can be written by others than root"):
        check_owner(replace(named(os.path.realpath(SYSTEM)), files=(str(inside),)))
    with pytest.raises(ArgumentError, match="can be written by others than root"):
        check_owner(replace(named(os.path.realpath(SYSTEM)), stdlib=str(tmp_path / "open")))


# --- runs -------------------------------------------------------------------------------------------------------------


def test_a_run_sees_nothing_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/elsewhere")
    monkeypatch.setenv("SECRET", "x")
    source = f"""
import json, os, sys
told = [sorted(os.environ), os.getcwd(), sys.flags.isolated, sys.flags.no_site, sys.flags.dont_write_bytecode]
part = {{"passes": 1, "seconds": 1.0, "wall_seconds": 2.0}}
print(json.dumps({{"implementation": json.dumps(told), "language": sys.argv[1],
    "parts": [dict(part, name=name) for name in {PART_NAMES!r}]}}))
"""
    found = run_once(find_build(SYSTEM), 0.25, None, source.encode())
    names, folder, *flags = json.loads(found.implementation)
    # CPython itself adds LC_CTYPE where it coerces the locale.
    assert set(names) - {"LC_CTYPE"} == {"HOME", "LC_ALL", "PATH", "TMPDIR"}
    assert (folder, flags, found.language, found.core_share) == ("/", [1, 1, 1], "0.25", 0.5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cat >/dev/null; echo 'No module named hashlib' >&2; exit 3", "exit code 3 (No module named hashlib)"),
        ("cat >/dev/null; exit 1", "exit code 1 (it said nothing)"),
        ("cat >/dev/null; kill -11 $$", "killed by signal 11"),
        ("cat >/dev/null; echo 3.12", "answered what is no result of the workload: '3.12"),
        ("exec echo '{}'", "answered what is no result of the workload: '{}"),
        (
            'cat >/dev/null; echo \'{"implementation": "x", "language": "3", "parts": []}\'',
            "answered what is no result",
        ),
    ],
)
def test_an_interpreter_that_cannot_run_is_named_with_its_reason(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ArgumentError) as error:
        run_once(script(tmp_path / "python", text), 0.1, None, workload_source())
    assert str(error.value).startswith(f"{tmp_path}/python: ")
    assert words in str(error.value)


def test_an_interpreter_that_is_no_program_is_named(tmp_path: Path) -> None:
    write(tmp_path / "broken", "\x7fELF")
    for path in (tmp_path / "broken", tmp_path / "missing", tmp_path):
        with pytest.raises(ArgumentError, match=f"{path}: {path} cannot be run"):
            run_once(named(path), 0.1, None, b"")


def test_a_run_that_does_not_end_is_stopped_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed_run, "_PATIENCE", 0.4)
    monkeypatch.setattr(speed_run, "_PATIENCE_FACTOR", 0)
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        one = script(tmp_path / "python", f"exec 3>{fifo}; sleep 600 & sleep 600")
        with pytest.raises(ArgumentError, match="did not end within 0 s, and was stopped"):
            run_once(one, 0.1, None, b"")
        # Nobody holds the pipe's other end any more.
        os.set_blocking(reader, True)
        assert os.read(reader, 1) == b""
    finally:
        os.close(reader)


def test_a_wrong_result_is_no_measurement() -> None:
    source = workload_source().replace(b"(hashing, ", b"(hashing, 1")
    with pytest.raises(ArgumentError, match="wrong result: hashing gave"):
        run_once(find_build(SYSTEM), 0.05, None, source)


@given(st.integers(min_value=1, max_value=8))
def test_each_interpreter_comes_first_and_last_equally_often_and_drift_cancels_out(how_many: int) -> None:
    orders = [order_of(number, how_many) for number in range(2 * how_many)]
    assert all(sorted(order) == list(range(how_many)) for order in orders)
    assert set(Counter(order[0] for order in orders).values()) == {2}
    assert set(Counter(order[-1] for order in orders).values()) == {2}
    # The mean place in which each ran is the same: a machine that slows down slows all alike.
    places = [sum(order.index(one) for order in orders) for one in range(how_many)]
    assert len(set(places)) == 1


def test_two_interpreters_take_turns() -> None:
    assert [order_of(number, 2) for number in range(4)] == [[0, 1], [1, 0], [1, 0], [0, 1]]


# --- what is told -----------------------------------------------------------------------------------------------------

QUIET = Machine("m", None, 4, "x86_64", "6.1", 0.2)


@pytest.mark.parametrize(
    ("machine", "shares", "samples", "words"),
    [
        (QUIET, [0.99, 0.98], (1.0, 1.01, 1.0), []),
        (replace(QUIET, load=2.5), [0.99], (1.0,), ["busy before the first run: load 2.5 on 4 cores"]),
        (replace(QUIET, load=1.5, cores=1), [0.99], (1.0,), ["load 1.5 on 1 core"]),
        (QUIET, [0.5, 0.99, 0.6], (1.0,), ["had a core for 60% of their time only"]),
        (QUIET, [0.99], (1.0, 2.0, 3.0), ["/p: its times vary by 50.0%"]),
    ],
)
def test_a_busy_machine_is_told(
    machine: Machine, shares: list[float], samples: tuple[float, ...], words: list[str]
) -> None:
    found = doubts(machine, shares, {"/p": samples})
    assert len(found) == len(words)
    assert all(word in one for word, one in zip(words, found, strict=True))


def test_this_machine_is_known() -> None:
    machine = read_machine(None)
    assert (machine.name, machine.cores >= 1, machine.load >= 0) == (os.uname().nodename, True, True)
    assert read_machine("other").name == "other"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.5, "2.5 s"), (0.01234, "12.3 ms"), (0.001, "1 ms"), (42e-6, "42 µs"), (5e-9, "5 ns"), (120.4, "120 s")],
)
def test_times_are_told_in_the_unit_that_suits_them(seconds: float, text: str) -> None:
    assert tell_time(seconds) == text


def test_every_verdict_has_words() -> None:
    assert set(VERDICT_WORDS) == set(SpeedVerdict)


def test_one_interpreter_is_measured_as_json(run: Run) -> None:
    outcome = run("speed", SYSTEM, *TINY, "--machine", "build-1", "--output", "json")
    assert outcome.code in {0, 6}
    assert (outcome.code == 6) == ("doubtful" in outcome.err)
    told = json.loads(outcome.out)
    jsonschema.validate(told, speed_schema())
    assert (told["machine"]["name"], told["rounds"], told["seconds"]) == ("build-1", 1, 0.05)
    assert told["interpreters"][0]["provider"] == "distro"
    assert told["interpreters"][0]["overall"]["compared"] is None
    measured = read_speed(outcome.out.encode())
    assert measured.parts == PART_NAMES
    assert measured.interpreters[0].build == find_build(SYSTEM).digest


def test_several_are_told_as_a_table_and_one_that_is_named_twice_is_measured_once(run: Run) -> None:
    outcome = run("speed", SYSTEM, os.path.realpath(SYSTEM), BASE, *TINY, "--baseline", BASE, *AS)
    assert outcome.code in {0, 6}
    assert re.search(r"^Compared with .*: a speed of 2 is half its time\.$", outcome.out, re.MULTILINE)
    names = {os.path.realpath(SYSTEM), find_build(BASE).path}
    for path in names:
        assert len(re.findall(rf"^{re.escape(path)} .*", outcome.out, re.MULTILINE)) == 1
    for part in PART_NAMES:
        assert len(re.findall(rf"^{part} .*", outcome.out, re.MULTILINE)) == len(names)
    if len(names) == 2:
        assert "too few rounds to tell" in outcome.out
        assert "is named already; it is measured once" in outcome.err
    (row,) = re.findall(rf"^{re.escape(find_build(BASE).path)} .*baseline$", outcome.out, re.MULTILINE)[:1]
    assert row


def measurement() -> Measurement:
    """A measurement as it could have been, of three interpreters of which two are called the same."""

    def measured(path: str, provider: Provider, version: str, factor: float, pypy: bool = False) -> MeasuredBuild:
        return MeasuredBuild(
            path,
            path.encode().hex().ljust(64, "0"),
            "pypy" if pypy else "cpython",
            version,
            provider.value,
            "x86_64",
            "3.12",
            {part: tuple(factor * (1 + number % 3 / 100) for number in range(8)) for part in ("objects", "text")},
        )

    builds = (
        measured("/usr/bin/python3.12", Provider.DISTRO, "3.12.3", 0.01),
        measured("/usr/bin/evil\x1b[31m\npython", Provider.UNKNOWN, "3.12.3", 0.0101),
        measured("/usr/local/share/somewhere/far/down/python3.12", Provider.UNKNOWN, "3.12.3", 0.008),
        measured("/usr/bin/pypy3", Provider.DISTRO, "7.3.11", 0.005, pypy=True),
    )
    run = SpeedRun("build-1", "1", datetime(2026, 11, 30, tzinfo=UTC), builds[0].path, ("objects", "text"), builds)
    flags = replace(named("x").build, flags=("lto", "pgo", "shared"))
    return Measurement(
        run=run,
        named=tuple(replace(named(one.path), build=flags) for one in builds),
        machine=replace(QUIET, name="build-1", cpu="AMD EPYC"),
        rounds=8,
        seconds=2.0,
        share=0.4,
        load_after=1.0,
        doubts=("runs had a core for 40% of their time only: they shared it with others",),
    )


@pytest.mark.parametrize("width", [80, 160])
def test_a_measurement_on_a_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    for name, value in (("COLUMNS", str(width)), ("TERM", "xterm"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", screen)
    print_speed(Output(), measurement())
    shown = "\n".join(line.rstrip() for line in strip_styles(screen.getvalue()).splitlines()) + "\n"
    assert max(map(cell_len, shown.splitlines())) <= width
    check_golden(f"speed-{width}.txt", shown)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Missing argument 'PYTHON...'"),
        (("/missing",), "/missing: there is no such file"),
        ((SYSTEM, "--rounds", "0"), "0 is not in the range"),
        ((SYSTEM, "--seconds", "nan"), "--seconds"),
        ((SYSTEM, "--machine", "\x1b[31m"), "--machine: write a name"),
        ((SYSTEM, "--baseline", "/missing"), "/missing: there is no such file"),
    ],
)
def test_wrong_arguments_are_said_in_one_line(run: Run, arguments: tuple[str, ...], words: str) -> None:
    outcome = run("speed", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.count("\n") == 1
    assert words in outcome.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs interpreters as somebody else")
def test_root_names_the_user_who_may_not_run_an_interpreter(run: Run, tmp_path: Path) -> None:
    inside = tmp_path / "bin"
    inside.mkdir(mode=0o700)
    shutil.copy(os.path.realpath(SYSTEM), inside / "python3")
    outcome = run("speed", str(inside / "python3"), *TINY)
    assert outcome.code == 2
    assert "cannot be run as nobody, the user under whom root runs interpreters (--user)" in outcome.err


# --- what is written about it -----------------------------------------------------------------------------------------


def test_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(speed_schema())


def test_page_and_schema_name_the_same_keys() -> None:
    rows = re.findall(r"^\| `([a-z0-9_.\[\]]+)` \| (.*?) \| (.*?) \|$", PAGE.read_text(), re.MULTILINE)
    assert {name: meaning for name, _, meaning in rows} == {
        name: node["description"]
        for name, node in keys(speed_schema()).items()
        if not name.startswith("interpreters[].parts[]")
    }


def test_schema_knows_every_verdict() -> None:
    node = keys(speed_schema())["interpreters[].overall.compared.verdict"]
    assert node["enum"] == [str(word) for word in SpeedVerdict]


def test_the_page_tells_every_exit_code_that_the_help_tells() -> None:
    command = libcensus.commands["speed"]
    text = plain_help(command, click.Context(command, info_name="speed")).partition("Exit codes:")[2]
    told = {int(code) for code in re.findall(r"^ +(\d+) +\S", text, re.MULTILINE)}
    page = PAGE.read_text().partition("## Exit codes\n")[2]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)} == told


def test_the_workload_is_written_in_the_oldest_python_that_runs_it() -> None:
    ast.parse(workload_source(), feature_version=OLDEST)
