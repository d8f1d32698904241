"""The command line: exit codes, one-line errors, help that teaches, settings shown with their origin."""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from libcensus.collector import cli
from libcensus.collector.cli import run
from libcensus.collector.config import SETTINGS
from libcensus.collector.errors import StoreFullError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def same_logging_afterwards() -> Iterator[None]:
    """A command sets up the log of its process; here the process has other tests to run."""
    loggers = [logging.getLogger(name) for name in ("libcensus", "grpc", "alembic", "sqlalchemy")]
    before = [(list(one.handlers), one.level, one.propagate) for one in loggers]
    yield
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logger.propagate = propagate


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the machine that runs the tests reaches them."""
    for name in list(os.environ):
        if name.startswith("LIBCENSUS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_version_tells_collector_and_python(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version"]) == 0
    assert capsys.readouterr().out == f"libcensus-collector 0.1.0 (Python {sys.version.split()[0]})\n"
    assert run(["--version"]) == 0
    assert "0.1.0" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "-h"], ["config", "show", "--help"], ["completion", "-h"]])
def test_help_is_plain_off_a_terminal_and_shows_examples(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Usage: libcensus-collector")
    assert "  libcensus-collector " in shown
    assert not set("╭│╰─\x1b\b") & set(shown)


def test_the_help_of_serve_names_every_setting_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    run(["serve", "--help"])
    shown = capsys.readouterr().out
    for setting in SETTINGS:
        assert f"  {setting.flag} " in shown
    assert "Exit codes: 0 " in shown


def test_without_a_command_the_help_is_shown_and_the_usage_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    assert "Commands:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["serve", "--nope"], "no such option '--nope'; see `libcensus-collector serve --help`", id="flag"),
        pytest.param(["swerve"], "no such command 'swerve'", id="command"),
        pytest.param(["serve", "extra"], "extra", id="argument"),
        pytest.param(["config", "show", "--output", "xml"], "'xml'", id="choice"),
        pytest.param(["completion", "tcsh"], "'tcsh'", id="shell"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("libcensus-collector: error: ")
    assert captured.err.count("\n") == 1
    assert said in captured.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["--listen", "0.0.0.0:9444"], "listen: 0.0.0.0 can be reached from other hosts", id="listen"),
        pytest.param(["--http-listen", "[::]:9445"], "http_listen: :: can be reached from other hosts", id="http"),
        pytest.param(["--listen", "9444"], "listen: '9444' is not ADDRESS:PORT", id="no address"),
        pytest.param(["--workers", "0"], "--workers: '0' is not allowed; allowed is a whole number", id="value"),
        pytest.param(["--config", "/nonexistent.toml"], "/nonexistent.toml: cannot be read", id="no file"),
        pytest.param(["--database", "mysql://x"], "mysql", id="database of another kind"),
        pytest.param(["--database", "sqlite:////nonexistent/a/b.db"], "/nonexistent", id="no folder"),
    ],
)
def test_a_setting_that_is_wrong_or_refused_is_one_line_and_exit_code_3(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = ["--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--database", f"sqlite:///{tmp_path}/c.db"]
    assert run(["serve", *before, *arguments]) == 3
    errors = capsys.readouterr().err
    assert errors.startswith("libcensus-collector: error: ")
    assert errors.count("\n") == 1
    assert said in errors
    assert "Traceback" not in errors


def test_a_refused_address_leaves_no_database_behind(tmp_path: Path) -> None:
    assert run(["serve", "--listen", "0.0.0.0:0", "--database", f"sqlite:///{tmp_path}/c.db"]) == 3
    assert not (tmp_path / "c.db").exists()


@pytest.mark.parametrize("flag", ["--listen", "--http-listen"])
def test_a_port_in_use_is_named(flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        others = {"--listen": "127.0.0.1:0", "--http-listen": "127.0.0.1:0"} | {flag: address}
        arguments = [text for pair in others.items() for text in pair]
        assert run(["serve", *arguments, "--database", f"sqlite:///{tmp_path}/c.db"]) == 3
    assert f"{address} is in use" in capsys.readouterr().err


def test_config_show_tells_values_and_origins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.toml").write_text('metrics_detail = "host"\ndatabase = "postgresql://u:geheim@h/d"\n')
    monkeypatch.setenv("LIBCENSUS_COLLECTOR_WORKERS", "9")
    arguments = ["config", "show", "--config", f"{tmp_path}/c.toml", "--report-interval", "900"]
    assert run([*arguments, "--origin"]) == 0
    lines = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
    assert list(lines) == [setting.name for setting in SETTINGS]
    assert lines["report_interval"] == ["15m", "flag", "--report-interval"]
    assert lines["workers"] == ["9", "environment", "LIBCENSUS_COLLECTOR_WORKERS"]
    assert lines["metrics_detail"] == ["host", "file", f"{tmp_path}/c.toml"]
    assert lines["database"][0] == "postgresql://u:***@h/d"
    assert lines["listen"] == ["127.0.0.1:9444", "default"]
    assert run(arguments) == 0
    assert "default" not in capsys.readouterr().out
    assert run([*arguments, "--output", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["report_interval"] == {"value": 900.0, "origin": "flag --report-interval"}
    assert shown["database"]["value"] == "postgresql://u:***@h/d"
    assert shown["shard"] == {"value": "1/1", "origin": "default"}


def test_config_show_warns_about_variables_that_mean_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIBCENSUS_COLLECTOR_LISTNE", "x")
    assert run(["config", "show"]) == 0
    assert "LIBCENSUS_COLLECTOR_LISTNE is no setting" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_that_the_shell_accepts(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "_LIBCENSUS_COLLECTOR_COMPLETE" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True, timeout=30)


def test_the_word_that_completion_asks_for_is_answered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_LIBCENSUS_COLLECTOR_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "libcensus-collector serve --htt")
    monkeypatch.setenv("COMP_CWORD", "2")
    with pytest.raises(SystemExit):
        run([])
    assert "--http-listen" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        pytest.param(StoreFullError("/srv/c.db: no space left"), 3, "/srv/c.db: no space left", id="known"),
        pytest.param(
            ZeroDivisionError("odd\nthing"), 70, r"internal error: ZeroDivisionError: odd\nthing", id="unknown"
        ),
    ],
)
def test_no_error_shows_a_traceback(
    error: Exception, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_arguments: object) -> None:
        raise error

    monkeypatch.setattr(cli, "load_settings", fail)
    assert run(["config", "show"]) == code
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert said in errors


def test_an_internal_error_shows_where_to_who_asks_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "load_settings", fail)
    monkeypatch.setenv("LIBCENSUS_COLLECTOR_LOG_LEVEL", "debug")
    assert run(["config", "show"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_has_enough_is_no_error() -> None:
    program = f"{sys.executable} -c 'from libcensus.collector.cli import main; main()'"
    script = f"set -o pipefail; {program} config show --origin | true"
    for _ in range(3):
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")


def test_without_root_the_state_folder_is_made_for_its_owner_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "state" / "deep" / "libcensus"
    cli._make_state_folder(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    cli._make_state_folder(folder)
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(cli, "state_folder", lambda _environment: tmp_path / "file" / "libcensus")
    assert run(["serve", "--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]) == 3
    assert "cannot be made" in capsys.readouterr().err
