"""The installed command as a process: ready, served, told to stop, told what is wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from libcensus.collector.store.sql import SqlStore
from tests.collector.service.running import Client
from tests.contract.specimens import Census, build

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = Path(sys.executable).with_name("libcensus-collector")
SERVING = re.compile(r"serving gRPC \([a-zA-Z ]+\) on (\S+?)(?:, enrollment on \S+)? and HTTP on http://(\S+)/")


def environment_of(folder: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LIBCENSUS_", "NOTIFY_"))}
    return {**kept, "HOME": str(folder), **more}


def arguments_of(folder: Path, *more: str) -> list[str]:
    free = ["--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]
    return [str(COMMAND), "serve", *free, "--database", f"sqlite:///{folder}/census.db", *more]


@dataclass
class Served:
    """A collector in a process of its own."""

    process: subprocess.Popen[str]
    lines: list[str]
    grpc_address: str
    http_address: str

    def end(self, number: int) -> tuple[int, str]:
        """Send a signal; returns the exit code and the whole log."""
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=60)
        return self.process.returncode, "".join(self.lines) + rest


@contextmanager
def served(folder: Path, *more: str, **environment: str) -> Iterator[Served]:
    process = subprocess.Popen(
        arguments_of(folder, *more),
        env=environment_of(folder, **environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    lines: list[str] = []
    try:
        while not lines or not SERVING.search(lines[-1]):
            line = process.stdout.readline()
            assert line, f"ended without serving: {lines}"
            lines.append(line)
        found = SERVING.search(lines[-1])
        assert found is not None
        yield Served(process, lines, found[1], found[2])
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=60)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_stops_it_in_good_order_and_what_was_acknowledged_is_there(
    tmp_path: Path, number: signal.Signals
) -> None:
    census = Census.of("process", "process", ("/opt/python3", build("process")))
    with served(tmp_path) as collector:
        with grpc.insecure_channel(collector.grpc_address) as channel:
            Client(channel).take_census(census)
        with urllib.request.urlopen(f"http://{collector.http_address}/metrics", timeout=20) as answer:
            assert b'libcensus_host_info{host="process"' in answer.read()
        code, log = collector.end(number)
    assert code == 0
    assert f"stopping on {number.name}" in log
    assert log.rstrip().endswith("stopped")
    assert "Traceback" not in log
    with SqlStore.open(f"sqlite:///{tmp_path}/census.db", create=False) as store:
        assert [state.inventory for state in store.hosts()] == [census.address]


def test_a_second_collector_on_the_same_file_is_refused_by_name(tmp_path: Path) -> None:
    with served(tmp_path) as collector:
        second = subprocess.run(
            arguments_of(tmp_path),
            env=environment_of(tmp_path),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert second.returncode == 3
        assert second.stderr.count("\n") == 1
        assert f"{tmp_path}/census.db" in second.stderr
        assert str(collector.process.pid) in second.stderr
        assert collector.end(signal.SIGTERM)[0] == 0


def test_the_service_manager_is_told_when_it_is_ready_and_when_it_stops(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        with served(tmp_path, NOTIFY_SOCKET=str(tmp_path / "notify")) as collector:
            assert manager.recv(4096).decode().startswith("READY=1\nSTATUS=serving gRPC on 127.0.0.1:")
            assert collector.end(signal.SIGTERM)[0] == 0
            assert manager.recv(4096).decode().startswith("STOPPING=1\n")


@pytest.mark.parametrize("form", ["text", "json", "journal"])
def test_the_log_has_the_form_that_was_chosen(tmp_path: Path, form: str) -> None:
    with served(tmp_path, "--log-format", form, LIBCENSUS_COLLECTOR_LISTNE="x") as collector:
        code, log = collector.end(signal.SIGTERM)
    assert code == 0
    lines = log.splitlines()
    assert "LIBCENSUS_COLLECTOR_LISTNE is no setting" in lines[0]
    if form == "json":
        entries = [json.loads(line) for line in lines]
        assert [entries[0]["level"], entries[-1]["message"]] == ["warning", "stopped"]
        assert all(entry["time"].endswith("Z") for entry in entries)
    elif form == "journal":
        assert lines[0].startswith("<4>")
        assert lines[-1] == "<6>stopped"
    else:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ info stopped", lines[-1])


def test_without_root_the_database_lies_in_the_users_state_folder(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(COMMAND), "config", "show", "--output", "json"],
        env=environment_of(tmp_path, XDG_STATE_HOME=str(tmp_path / "state")),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    expected = "/var/lib/libcensus" if os.geteuid() == 0 else f"{tmp_path}/state/libcensus"
    assert json.loads(done.stdout)["database"]["value"] == f"sqlite:///{expected}/collector.db"
