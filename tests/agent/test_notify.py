"""The service manager's protocol: sockets with and without a path, and a heartbeat that does not lie."""

from __future__ import annotations

import os
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from libcensus.agent import notify
from libcensus.agent.notify import Heartbeat, ServiceManager, running_clock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["path", "abstract"])
def listening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A socket like the service manager's, and how it stands in the environment."""
    name = f"libcensus-test-{os.getpid()}-{time.monotonic_ns()}"
    here = f"@{name}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind("\0" + name if request.param == "abstract" else here)
        channel.settimeout(10)
        yield channel, here


def test_states_arrive_together(listening: tuple[socket.socket, str]) -> None:
    channel, where = listening
    manager = ServiceManager({"NOTIFY_SOCKET": where})
    assert manager.tell("READY=1", "STATUS=first scan")
    assert channel.recv(4096) == b"READY=1\nSTATUS=first scan"
    assert manager.tell_status("two\nlines  of\ttext")
    assert channel.recv(4096) == b"STATUS=two lines of text"
    assert manager.tell_reloading()
    first, second = channel.recv(4096).decode().split("\n")
    assert first == "RELOADING=1"
    assert 0 <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000 - int(second.removeprefix("MONOTONIC_USEC=")) < 10e6


@pytest.mark.parametrize("where", ["", "vsock:1:2", "relative"])
def test_nobody_is_told_where_nobody_listens(where: str) -> None:
    assert not ServiceManager({"NOTIFY_SOCKET": where}).tell("READY=1")


def test_a_manager_that_does_not_listen_is_told_once_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "none")})
    assert not manager.tell("READY=1")
    assert not manager.tell("WATCHDOG=1")
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
    ids=["not set", "set", "for this process", "for another process", "off", "no number"],
)
def test_the_watchdog_is_taken_from_the_environment(environment: dict[str, str], seconds: float | None) -> None:
    assert ServiceManager(environment).watchdog_seconds == seconds


class Counting(ServiceManager):
    """Counts the signs of life."""

    def __init__(self) -> None:
        super().__init__({"WATCHDOG_USEC": "20000"})
        self.beaten = threading.Semaphore(0)

    def tell(self, *states: str) -> bool:
        assert states == ("WATCHDOG=1",)
        self.beaten.release()
        return True


def test_the_heart_beats_only_while_somebody_vouches(caplog: pytest.LogCaptureFixture) -> None:
    manager, now = Counting(), [100.0]
    heart = Heartbeat(manager, clock=lambda: now[0])
    heart.vouch(5)
    heart.start()
    for _ in range(3):
        assert manager.beaten.acquire(timeout=10)
    now[0] = 105.1
    while manager.beaten.acquire(timeout=0.2):
        pass
    assert [record.getMessage() for record in caplog.records] == [
        "no progress any more; the service manager's watchdog will end this process"
    ]
    heart.vouch(5)
    assert manager.beaten.acquire(timeout=10)
    heart.stop()
    heart.stop()


def test_without_a_watchdog_there_is_no_thread() -> None:
    before = threading.active_count()
    heart = Heartbeat(ServiceManager({}))
    heart.start()
    assert threading.active_count() == before
    heart.stop()


def test_the_clock_stands_still_while_others_run_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = running_clock()
    time.sleep(0.05)
    assert running_clock() > before
    waited = tmp_path / "schedstat"
    monkeypatch.setattr(notify, "_SCHEDULING", waited)
    waited.write_text("5 1000000000 3\n")
    first = running_clock()
    waited.write_text("5 3600000000000 3\n")
    assert running_clock() < first - 3000
    for text in ("", "5\n", "a b c\n"):
        waited.write_text(text)
        assert abs(running_clock() - time.monotonic()) < 10
