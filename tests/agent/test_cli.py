"""The command as users meet it: exit codes, one line for an error, help that teaches, plain output off a terminal."""

from __future__ import annotations

import json
import logging
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libcensus.agent import cli
from libcensus.agent import scan as scanning
from libcensus.agent.errors import AgentError, ConfigurationError, IdentityError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator

AGENT = Path(sys.prefix) / "bin" / "libcensus-agent"
COMMANDS = ("scan", "requires", "enroll", "report", "run", "status", "config show", "version", "completion")


def clean_environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LIBCENSUS_", "_LIBCENSUS"))}
    return {**kept, **more}


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [AGENT, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=clean_environment(**environment),
    )


def read_all(terminal: int) -> bytes:
    """Read a terminal until its other side is closed, and close it."""
    seen = b""
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # EIO: nobody has the other side open any more (pty(7))
            data = b""
        if not data:
            os.close(terminal)
            return seen
        seen += data


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A root with an os-release, and nothing else."""
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "os-release").write_text('ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12"\n')
    return root


# --- help -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_by_examples_and_exit_codes(command: str) -> None:
    result = run(*command.split(), "--help")
    assert result.returncode == 0
    assert "Examples:" in result.stdout
    assert f"libcensus-agent {command}" in result.stdout
    assert re.search(r"Exit codes:\n\s+0\s+\S", result.stdout)
    assert not result.stderr


def test_help_lists_every_command_and_cuts_none() -> None:
    result = run("--help")
    listed = re.findall(r"^  (\w+)  ", result.stdout.split("Commands:")[1], re.MULTILINE)
    assert listed == ["completion", "config", "enroll", "report", "requires", "run", "scan", "status", "version"]
    assert "..." not in result.stdout.split("Commands:")[1]


def test_starting_imports_neither_grpc_nor_protobuf_nor_the_scanner() -> None:
    code = (
        "import sys, libcensus.agent.cli as cli; cli.main(['--version']);"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in {'grpc', 'google', 'elftools', 'cryptography'}"
        " or m.startswith(('libcensus.v1', 'libcensus.facts'))))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.splitlines()[1] == "[]"


def test_a_scan_does_not_import_grpc_nor_cryptography(tree: Path) -> None:
    code = (
        f"import sys, libcensus.agent.cli as cli; cli.main(['scan', '--root', {str(tree)!r}]);"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in {'grpc', 'cryptography', 'subprocess', 'ctypes'}))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.splitlines()[-1] == "[]"


# --- results ----------------------------------------------------------------------------------------------------------


def test_scan_prints_one_json_object_with_the_documented_keys(tree: Path) -> None:
    result = run("scan", "--root", tree, "--output", "json")
    assert result.returncode == 0, result.stderr
    scanned = json.loads(result.stdout)
    assert {"host", "platform", "installs", "crypto_copies", "tools", "processes", "roots", "probes"} <= set(scanned)
    assert scanned["host"]["os_release"]["id"] == "debian"
    assert result.stdout.isascii()
    assert not result.stderr


@pytest.mark.parametrize("options", [[], ["--explain"]], ids=["table", "explain"])
def test_scan_prints_plain_lines_off_a_terminal(options: list[str], tree: Path) -> None:
    result = run("scan", "--root", tree, *options)
    assert result.returncode == 0, result.stderr
    assert "Debian GNU/Linux 12" in result.stdout
    assert "no interpreter was found" in result.stdout
    assert "\x1b" not in result.stdout
    assert not result.stderr


def test_a_name_with_escape_sequences_cannot_reach_the_terminal(tree: Path) -> None:
    (tree / "etc" / "os-release").write_text("PRETTY_NAME='evil \x1b[31m\x07 system'\n")
    result = run("scan", "--root", tree)
    assert "\x1b" not in result.stdout
    assert "evil" in result.stdout


def test_the_own_interpreter_is_told_with_what_it_requires() -> None:
    python = Path(sys.executable).resolve()
    result = run("requires", python, "--output", "json")
    assert result.returncode == 0
    (entry,) = json.loads(result.stdout)
    assert {
        "path",
        "arch",
        "glibc",
        "symbol_versions",
        "sonames",
        "loader",
        "static",
        "raised_by",
        "manylinux",
    } <= set(entry)
    assert entry["path"] == str(python)
    table = run("requires", python)
    assert table.stdout.splitlines()[0].split()[:4] == ["PATH", "ARCH", "FILES", "GLIBC"]
    assert f"  {entry['glibc']}  " in table.stdout
    assert "libc.so.6: " in run("requires", "--explain", python).stdout


def test_requires_answers_the_others_when_one_path_cannot_be_read(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no ELF file\n" * 10)
    result = run("requires", text, Path(sys.executable).resolve(), tmp_path / "absent")
    assert result.returncode == 2
    assert len(result.stdout.splitlines()) == 2
    assert [line.split(": ")[0:2] for line in result.stderr.splitlines()] == [["libcensus-agent", "error"]] * 2
    assert "notes.txt" in result.stderr


def test_requires_sums_up_what_it_passed_over(tmp_path: Path) -> None:
    (tmp_path / "b").symlink_to("/usr")
    (tmp_path / "c").symlink_to("/etc")
    short = run("requires", tmp_path)
    assert "see --explain" in short.stdout
    assert len(run("requires", "--explain", tmp_path).stdout.splitlines()) > len(short.stdout.splitlines())


def test_version_is_that_of_the_distribution() -> None:
    line = run("--version").stdout
    assert re.fullmatch(r"libcensus-agent \d+\.\d+\.\d+\n", line)
    facts = json.loads(run("version", "--output", "json").stdout)
    assert facts["version"] == line.split()[1]
    assert facts["contract"] == "libcensus.v1"
    assert line.split()[1] in run("version").stdout


# --- errors and exit codes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["scan", "--bad"], 2, "No such option"),
        (["nonsense"], 2, "No such command 'nonsense'"),
        (["requires"], 2, "Missing argument 'PATH...'"),
        (["scan", "--output", "xml"], 2, "'xml' is not one of 'table', 'json'"),
        (["scan", "--root", "/nonexistent"], 2, "--root /nonexistent: No such file or directory"),
        (["scan", "--root", "/etc/passwd"], 2, "--root /etc/passwd: is not a folder"),
        (["scan", "--config", "/nonexistent.toml"], 3, "configuration file /nonexistent.toml does not exist"),
        (["report", "--collector", "192.0.2.1:9444", "--state-dir", "STATE"], 5, "is not on this machine"),
        (["report", "--collector", "http://c", "--state-dir", "STATE"], 3, "cannot be understood; write HOST:PORT"),
        (["report", "--state-dir", "relative"], 3, "--state-dir is 'relative'; it must be an absolute path"),
        (["report", "--timeout", "0"], 3, "--timeout is 0.0; it must be a number above 0, at most 3600"),
        (["status", "--max-age", "-1"], 2, "--max-age"),
        (["status", "--state-dir", "/proc/1/none"], 4, ""),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else None,
)
def test_what_is_wrong_ends_with_its_code_and_one_line(
    arguments: list[str], code: int, message: str, tmp_path: Path
) -> None:
    given = [str(tmp_path / "state") if one == "STATE" else one for one in arguments]
    result = run(*given)
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    if message:
        assert not result.stdout
        last = result.stderr.splitlines()[-1]
        assert last.startswith("libcensus-agent: error: ")
        assert message in last
        if code != 2:
            assert len(result.stderr.splitlines()) == 1


def test_a_wrong_variable_is_a_wrong_configuration() -> None:
    result = run("config", "show", LIBCENSUS_AGENT_LOG_LEVEL="loud")
    assert result.returncode == 3
    assert result.stderr == (
        "libcensus-agent: error: LIBCENSUS_AGENT_LOG_LEVEL is 'loud'; it must be one of debug, info, warning, error\n"
    )


def test_a_mistyped_variable_is_told_and_does_no_harm() -> None:
    result = run("config", "show", LIBCENSUS_AGENT_LOG_LEVL="debug")
    assert result.returncode == 0
    assert (
        "LIBCENSUS_AGENT_LOG_LEVL is no setting and is ignored; did you mean LIBCENSUS_AGENT_LOG_LEVEL?"
        in result.stderr
    )


@pytest.fixture
def restored_logging() -> Iterator[None]:
    logger = logging.getLogger("libcensus")
    before = (logger.level, logger.propagate, list(logger.handlers))
    yield
    logger.level, logger.propagate = before[:2]
    logger.handlers[:] = before[2]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AgentError("it broke"), 70),
        (ConfigurationError("it broke"), 3),
        (UnreachableError("it broke"), 4),
        (IdentityError("it broke"), 5),
        (RuntimeError("it broke"), 70),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
@pytest.mark.usefixtures("restored_logging")
def test_every_error_becomes_one_line_and_its_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("libcensus.agent.commands.config.print_table", fail)
    assert cli.main(["config", "show"]) == code
    told = capsys.readouterr()
    assert told.err.strip().startswith("libcensus-agent: error: ")
    assert len(told.err.strip().splitlines()) == 1
    assert "Traceback" not in told.err


@pytest.mark.usefixtures("restored_logging")
def test_the_traceback_of_an_internal_error_is_in_the_debug_log_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("it broke")

    monkeypatch.setattr("libcensus.agent.commands.config.print_table", fail)
    assert cli.main(["config", "show", "--log-level", "debug", "--log-format", "json"]) == 70
    lines = capsys.readouterr().err.splitlines()
    entry = json.loads(lines[0])
    assert "RuntimeError: it broke" in entry["traceback"]
    assert lines[-1].startswith("libcensus-agent: error: internal error: RuntimeError: it broke")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run(
        [AGENT, "config", "show"],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
        timeout=60,
        env=clean_environment(),
    )
    os.close(writing)
    assert result.returncode == 141
    assert result.stderr == b""


def test_an_interrupted_scan_ends_with_130_and_no_traceback() -> None:
    main, other = pty.openpty()
    with subprocess.Popen(
        [AGENT, "scan", "--log-level", "debug"],
        stdout=subprocess.DEVNULL,
        stderr=other,
        env=clean_environment(TERM="xterm"),
    ) as process:
        os.close(other)
        seen = os.read(main, 4096)  # the first sign of progress: the scan has begun
        process.send_signal(signal.SIGINT)
        seen += read_all(main)
    assert process.returncode == 130, seen
    assert b"Traceback" not in seen
    assert seen.rstrip().endswith(b"libcensus-agent: error: interrupted")


def test_a_failed_probe_is_exit_code_6(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the database is damaged")

    name = scanning.PROBES[0][0]
    monkeypatch.setattr(scanning, "PROBES", ((name, fail), *scanning.PROBES[1:]))
    assert cli.main(["scan", "--root", str(tree), "--log-level", "error"]) == 6
    assert f"probe {name} failed: RuntimeError: the database is damaged" in capsys.readouterr().out


# --- configuration, status, completion --------------------------------------------------------------------------------


def test_config_show_tells_where_each_value_came_from(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text("[scan]\nmax_depth = 7\n")
    result = run(
        "config", "show", "--origin", "--output", "json", "--config", file, "--collector", "localhost:1",
        LIBCENSUS_AGENT_SCAN_EXCLUDE="/a:/b",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    shown = json.loads(result.stdout)
    assert shown["collector.address"] == {"value": "localhost:1", "origin": "flag", "place": "--collector"}
    assert shown["scan.max_depth"] == {"value": 7, "origin": "file", "place": str(file)}
    assert shown["scan.exclude"]["value"] == ["/a", "/b"]
    assert shown["scan.exclude"]["origin"] == "environment"
    assert shown["log.format"] == {"value": "text", "origin": "default", "place": None}
    table = run("config", "show", "--origin", "--config", file).stdout
    assert re.search(rf"^scan\.max_depth +7 +file +{re.escape(str(file))}$", table, re.MULTILINE)
    assert "ORIGIN" not in run("config", "show").stdout
    assert json.loads(run("config", "show", "--output", "json").stdout)["log.level"] == "warning"


def test_common_flags_stand_before_or_after_the_command(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text("[collector]\nattempts = 9\n")
    for arguments in (["--config", str(file), "config", "show"], ["config", "show", "--config", str(file)]):
        assert re.search(r"collector\.attempts +9", run(*arguments).stdout)


def test_status_of_a_host_that_never_reported(tmp_path: Path) -> None:
    result = run("status", "--state-dir", tmp_path / "none", "--output", "json")
    assert result.returncode == 4
    status = json.loads(result.stdout)
    assert (status["state"], status["exit_code"], status["spool"]["waiting"]) == ("never-reported", 4, [])
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(shell: str) -> None:
    result = run("completion", shell)
    assert result.returncode == 0
    assert "_LIBCENSUS_AGENT_COMPLETE" in result.stdout


def test_the_shell_is_given_commands_and_options() -> None:
    result = run(_LIBCENSUS_AGENT_COMPLETE="bash_complete", COMP_WORDS="libcensus-agent re", COMP_CWORD="1")
    assert {line.split(",")[1] for line in result.stdout.split()} == {"report", "requires"}


# --- on a terminal ----------------------------------------------------------------------------------------------------


def on_a_terminal(*arguments: str | Path, **environment: str) -> str:
    """What a person sees: standard output and error are one terminal."""
    main, other = pty.openpty()
    with subprocess.Popen(
        [AGENT, *arguments], stdin=other, stdout=other, stderr=other, env=clean_environment(TERM="xterm", **environment)
    ):
        os.close(other)
        return read_all(main).decode()


def test_a_terminal_gets_progress_and_a_bold_header(tree: Path) -> None:
    seen = on_a_terminal("scan", "--root", tree)
    assert "\r" in seen.replace("\r\n", "")
    assert "\x1b[1m" in on_a_terminal("config", "show")


def test_no_color_is_honoured() -> None:
    assert "\x1b" not in on_a_terminal("config", "show", NO_COLOR="1")
