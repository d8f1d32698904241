"""The command's own ways: help, version, completion, closed pipes, internal errors."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest

from libcensus.cli import main as module
from libcensus.cli.errors import EXIT_CODES, OperatorError
from libcensus.cli.help import plain_help
from libcensus.cli.main import libcensus

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

PROGRAM = (sys.executable, "-m", "libcensus.cli.main")


def test_version_is_that_of_the_distribution(run: Run) -> None:
    ended = run("--version")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("libcensus ")


@pytest.mark.parametrize("name", sorted(libcensus.commands))
def test_every_command_teaches_examples_and_exit_codes(name: str) -> None:
    command = libcensus.commands[name]
    if isinstance(command, click.Group):
        command = next(iter(command.commands.values()))
    text = plain_help(command, click.Context(command, info_name=name))
    assert "Examples:" in text
    assert "Exit codes:" in text


def test_help_off_a_terminal_is_plain(run: Run) -> None:
    out = run("scan", "--help").out
    assert "╭" not in out
    assert "\x1b" not in out


def test_every_error_has_an_exit_code_that_is_documented() -> None:
    documented = {code for code, _ in EXIT_CODES}
    kinds: list[type[OperatorError]] = [OperatorError, *OperatorError.__subclasses__()]
    assert {kind.exit_code for kind in kinds} <= documented


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_program(run: Run, shell: str) -> None:
    ended = run("completion", shell)
    assert ended.code == 0
    assert "_LIBCENSUS_COMPLETE" in ended.out


def test_completion_completes_commands_and_options() -> None:
    def complete(words: str, word: int) -> str:
        environment = {
            **os.environ,
            "_LIBCENSUS_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(word),
        }
        return subprocess.run(PROGRAM, env=environment, capture_output=True, text=True, check=False).stdout

    assert complete("libcensus sh", 1).split() == ["plain,show"]
    assert "plain,--fail-on" in complete("libcensus scan --fa", 2).split()
    places = complete("libcensus check --against debian:1", 3).split()
    assert places[0] == "file,debian:1"
    assert {"plain,debian:12", "plain,debian:13"} <= set(places)
    assert complete("libcensus fleet matrix --provider pb", 4).split() == ["plain,pbs"]


def test_a_reader_that_leaves_is_no_error_worth_a_traceback() -> None:
    with subprocess.Popen(
        [*PROGRAM, "completion", "bash"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()


def test_a_locale_that_cannot_write_a_name_ends_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "bäume"
    folder.mkdir()
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "HOME": str(tmp_path)}
    run = subprocess.run([*PROGRAM, "scan", "--root", folder], env=environment, capture_output=True, check=False)
    assert run.returncode == 0
    assert b"/b\\xe4ume: " in run.stdout


def test_a_mistake_in_the_program_is_one_line_and_70(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_arguments: object) -> int:
        raise ZeroDivisionError("division by\nzero")

    monkeypatch.setattr(module, "_run", fail)
    ended = run("hosts")
    assert ended.code == 70
    assert ended.err.count("\n") == 1
    assert "internal error: ZeroDivisionError: division by\\nzero" in ended.err
    monkeypatch.setenv("LIBCENSUS_DEBUG", "1")
    assert "Traceback" in run("hosts").err


def test_an_interruption_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_run", interrupt)
    assert run("hosts") == (130, "", "libcensus: error: interrupted\n")
