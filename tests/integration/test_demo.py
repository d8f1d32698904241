"""``libcensus demo`` as a user starts it, its metrics read by Prometheus' own tool and by a real Prometheus."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from libcensus.collector.metrics.questions import QUESTIONS
from tests.cli.machines import make_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAM = (sys.executable, "-m", "libcensus.cli.main")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_root(tmp_path_factory.mktemp("root"))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment with a temporary folder of its own, so that what is left behind is seen."""
    (tmp_path / "tmp").mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LIBCENSUS_", "COV_"))}
    return {**kept, "HOME": str(tmp_path), "TMPDIR": str(tmp_path / "tmp"), "TERM": "xterm", "COLUMNS": "120"}


def test_once_prints_everything_and_leaves_nothing(root: Path, environment: dict[str, str]) -> None:
    run = subprocess.run(
        [*PROGRAM, "demo", "--once", "--root", root], env=environment, capture_output=True, text=True, check=False
    )
    assert (run.returncode, "Traceback" in run.stderr) == (0, False)
    lines = run.stdout.splitlines()
    assert lines[2].startswith("INTERPRETER")
    assert re.match(r"/usr/bin/python3\.\d+ +3\.\d+\.\d+  +\w+  +2\.\d+  +\d+\.\d+\.\w+ local", lines[3])
    assert any(re.fullmatch(r"Metrics: http://127\.0\.0\.1:\d+/metrics \([\d,]+ series\)", line) for line in lines)
    shown = [question.query for question in QUESTIONS if question.is_shown_first]
    assert len(shown) >= 2
    assert all(f"  {query}" in lines for query in shown)
    assert "\x1b" not in run.stdout
    assert list(Path(environment["TMPDIR"]).iterdir()) == []


def test_off_a_terminal_it_ends_by_itself(root: Path, environment: dict[str, str]) -> None:
    run = subprocess.run([*PROGRAM, "demo", "--root", root], env=environment, capture_output=True, check=False)
    assert run.returncode == 0


def test_a_kept_database_is_used_again(root: Path, environment: dict[str, str], tmp_path: Path) -> None:
    command = [*PROGRAM, "demo", "--once", "--root", str(root), "--keep", str(tmp_path / "kept")]
    for _ in range(2):
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert f"libcensus-collector serve --database sqlite:///{tmp_path}/kept/libcensus-demo.db" in run.stdout
    assert (tmp_path / "kept" / "libcensus-demo.db").is_file()


class Demo:
    """A demo that stays up in a terminal."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int) -> None:
        self.process = process
        self._terminal = terminal
        self.screen = ""

    def wait_for(self, text: str) -> None:
        """Read the screen until a text is on it; fails when the demo ends before."""
        while text not in self.screen:
            if not select.select([self._terminal], [], [], 60)[0]:
                raise AssertionError(f"no {text!r} on the screen:\n{self.screen}")
            try:
                self.screen += os.read(self._terminal, 65536).decode()
            except OSError:
                raise AssertionError(f"the demo ended without {text!r}:\n{self.screen}") from None

    @property
    def http_address(self) -> str:
        """Where the metrics are."""
        found = re.search(r"http://(127\.0\.0\.1:\d+)/metrics", self.screen)
        assert found is not None
        return found[1]

    @property
    def grpc_address(self) -> str:
        """Where the commands ask."""
        found = re.search(r"--collector (127\.0\.0\.1:\d+)", self.screen)
        assert found is not None
        return found[1]


@pytest.fixture
def stay(root: Path, environment: dict[str, str]) -> Iterator[Callable[[], Demo]]:
    """Start demos that stay up; whatever is left of them is ended afterwards."""
    started: list[tuple[subprocess.Popen[bytes], int]] = []

    def start() -> Demo:
        terminal, inside = pty.openpty()
        process = subprocess.Popen(
            [*PROGRAM, "demo", "--root", root],
            env=environment,
            stdin=inside,
            stdout=inside,
            stderr=inside,
            start_new_session=True,
        )
        os.close(inside)
        started.append((process, terminal))
        demo = Demo(process, terminal)
        demo.wait_for("Ctrl-C stops the collector and forgets everything.")
        return demo

    yield start
    for process, terminal in started:
        process.kill()
        process.wait()
        os.close(terminal)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda one: one.name)
def test_a_signal_ends_it_in_good_order(
    stay: Callable[[], Demo], environment: dict[str, str], number: signal.Signals
) -> None:
    demo = stay()
    demo.process.send_signal(number)
    assert demo.process.wait(60) == 0
    assert list(Path(environment["TMPDIR"]).iterdir()) == []


def test_its_metrics_and_questions_are_right_for_prometheus(stay: Callable[[], Demo], tmp_path: Path) -> None:
    demo = stay()
    with urllib.request.urlopen(f"http://{demo.http_address}/metrics") as answer:
        page = answer.read()
    checked = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
    hosts = subprocess.run(
        [*PROGRAM, "hosts", "--collector", demo.grpc_address], capture_output=True, text=True, check=True
    )
    assert len(hosts.stdout.splitlines()) == 2
    with prometheus(demo.http_address, tmp_path) as ask:
        for question in QUESTIONS:
            # Something is blocked too: the root holds an interpreter without all of its libraries.
            assert ask(question.query), question.query
        assert [one["value"][1] for one in ask("sum(libcensus_hosts)")] == ["1"]


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


@contextmanager
def prometheus(target: str, folder: Path) -> Iterator[Callable[[str], list[dict[str, Any]]]]:
    """Run a real Prometheus that scrapes one target; gives a function that asks it."""
    configuration = folder / "prometheus.yml"
    configuration.write_text(
        "global: {scrape_interval: 1s}\n"
        f"scrape_configs: [{{job_name: libcensus, static_configs: [{{targets: ['{target}']}}]}}]\n",
        encoding="utf-8",
    )
    address = f"127.0.0.1:{free_port()}"

    def ask(query: str) -> list[dict[str, Any]]:
        parameters = urllib.parse.urlencode({"query": query})
        with urllib.request.urlopen(f"http://{address}/api/v1/query?{parameters}") as answer:
            told = json.load(answer)
        assert told["status"] == "success"
        result: list[dict[str, Any]] = told["data"]["result"]
        return result

    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={configuration}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
        )
        try:
            for _ in range(600):
                try:
                    if ask("up == 1"):
                        break
                except OSError:
                    assert process.poll() is None, (folder / "prometheus.log").read_text(encoding="utf-8")
                time.sleep(0.1)
            else:
                raise AssertionError((folder / "prometheus.log").read_text(encoding="utf-8"))
            yield ask
        finally:
            process.terminate()
            process.wait(60)
