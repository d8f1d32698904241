"""The resident agent with a real collector: why it scans, what it survives, how it ends, what its manager is told."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from libcensus.agent.delivery import Courier
from libcensus.agent.errors import ConfigurationError
from libcensus.agent.notify import ServiceManager
from libcensus.agent.resident import Resident
from libcensus.agent.transport import PUSHBACK_METADATA
from libcensus.collector.app import Collector
from libcensus.collector.config import CollectorSettings
from libcensus.collector.store.sql import SqlStore
from tests.agent.test_transport import Refusal, Script, serving
from tests.integration.reporting_host import config_for, scan_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from libcensus.agent.config import AgentConfig
    from libcensus.agent.scan import Scan
    from libcensus.agent.walk import Progress

AGENT = Path(sys.prefix) / "bin" / "libcensus-agent"
ELSEWHERE = ("/root", "/home", "/var", "/srv", "/opt", "/tmp", "/mnt", "/media", "/work", "/workspace", "/builds")
MAIN = threading.main_thread().ident or 0
NOBODY = ServiceManager({})
QUICK = {"scan.priority": "normal", "run.quiet_seconds": 0.1, "run.poll_seconds": 0.2}


def start(database: str, listen: str = "127.0.0.1:0") -> Collector:
    settings = CollectorSettings(listen=listen, http_listen="127.0.0.1:0", database=database)
    return Collector(settings).start()


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/collector.db"


@pytest.fixture
def collector(database: str) -> Iterator[Collector]:
    running = start(database)
    yield running
    running.stop()


class Scanner:
    """Counts the scans; the first ones may be something else than a quick success."""

    def __init__(self, *first: Callable[[Progress], None]) -> None:
        self._first = list(first)
        self.done = 0
        self.changed = threading.Condition()

    def __call__(self, _config: AgentConfig, progress: Progress) -> Scan:
        if self._first:
            self._first.pop(0)(progress)
        with self.changed:
            self.done += 1
            self.changed.notify_all()
        return scan_of(1, hour=self.done)

    def wait(self, number: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.done >= number, 60), f"{self.done} scans of {number}"


@contextmanager
def meanwhile(script: Callable[[], None]) -> Iterator[None]:
    """Run a script beside the main thread, and end the agent that runs there when the script is over."""
    problems: list[BaseException] = []

    def play() -> None:
        try:
            script()
        except BaseException as problem:  # noqa: BLE001 - told by the main thread
            problems.append(problem)
        finally:
            signal.pthread_kill(MAIN, signal.SIGTERM)

    # A script that ends before the agent obeys signals must not end the tests.
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    thread = threading.Thread(target=play)
    try:
        thread.start()
        yield
        thread.join()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not problems, problems


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def wait_for_reports(caplog: pytest.LogCaptureFixture, number: int) -> None:
    """Wait for what follows a scan."""
    wait_for(lambda: caplog.text.count("; acknowledged by ") >= number)


def waiting(state: Path) -> int:
    return len(list((state / "spool" / "reports").glob("*.report"))) if (state / "spool" / "reports").is_dir() else 0


def test_it_scans_at_the_start_after_changes_and_at_the_interval(
    collector: Collector, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "libcensus")
    dpkg = tmp_path / "root/var/lib/dpkg"
    dpkg.mkdir(parents=True)
    (dpkg / "status").write_text("")
    config = config_for(collector.grpc_address, tmp_path / "state", **QUICK)
    scanner = Scanner()

    def script() -> None:
        scanner.wait(1)
        wait_for(lambda: "scan (start)" in caplog.text)
        (dpkg / "status-new").write_text("Package: a\n")
        (dpkg / "status-new").replace(dpkg / "status")
        scanner.wait(2)
        wait_for(lambda: "scan (change in dpkg)" in caplog.text)
        signal.pthread_kill(MAIN, signal.SIGHUP)
        scanner.wait(3)
        wait_for(lambda: "scan (configuration read again)" in caplog.text)

    with meanwhile(script):
        Resident(lambda: config, NOBODY, scan_host=scanner, watched_root=str(tmp_path / "root")).run()
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("scan (")]
    assert re.fullmatch(
        r"scan \(start\): 1 installs of 1 builds, 0 further crypto copies, 0 roots in 1\.0 s; acknowledged by "
        rf"{re.escape(collector.grpc_address)}, \d+ facts uploaded; next scan in \d+ min",
        lines[0],
    )
    assert ", 0 facts uploaded; next scan in " in lines[-1]
    assert caplog.records[-1].getMessage() == "ending on SIGTERM"


def test_the_interval_of_a_flag_goes_before_the_collectors_and_that_before_the_setting(tmp_path: Path) -> None:
    config = config_for("127.0.0.1:1", tmp_path, **{"run.interval_seconds": 5.0})
    resident, courier = Resident(lambda: config, NOBODY), Courier(config)
    assert resident._interval(config, courier) == 5
    config = config_for("127.0.0.1:1", tmp_path)
    assert resident._interval(config, courier) == 3600
    for answered, expected in ((900.0, 900), (0, 3600), (1.0, 10), (1e12, 7 * 86400), ("x", 3600), (None, 3600)):
        courier.state.update({"last_acknowledged": {"next_interval_seconds": answered}})
        assert resident._interval(config, courier) == expected


def test_scans_follow_each_other_at_the_interval(
    collector: Collector, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "libcensus")
    config = config_for(collector.grpc_address, tmp_path / "state", **QUICK, **{"run.interval_seconds": 0.1})
    scanner = Scanner()

    def script() -> None:
        scanner.wait(4)
        wait_for_reports(caplog, 4)

    with meanwhile(script):
        Resident(lambda: config, NOBODY, scan_host=scanner, watched_root=str(tmp_path)).run()


def test_it_outlives_a_collector_that_is_away_and_sends_what_waited_without_a_scan(
    tmp_path: Path, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "libcensus")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    config = config_for(address, tmp_path / "state", **QUICK)
    scanner = Scanner()
    running: list[Collector] = []

    def script() -> None:
        wait_for(lambda: "what waits was not sent" in caplog.text)
        assert waiting(tmp_path / "state") == 1
        running.append(start(database, address))
        wait_for(lambda: "1 reports that waited were sent, 0 refused" in caplog.text)
        assert waiting(tmp_path / "state") == 0

    with meanwhile(script):
        Resident(lambda: config, NOBODY, scan_host=scanner, watched_root=str(tmp_path), retry_seconds=0.1).run()
    running[0].stop()
    assert scanner.done == 1
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warned) == 1
    assert "not acknowledged: collector " in warned[0]
    assert "sent again in 0 s, next scan in " in warned[0]
    with SqlStore.open(database) as store:
        assert len(list(store.hosts())) == 1


def test_a_collector_that_asks_to_stay_away_is_left_alone_for_that_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "libcensus")
    later = Refusal(grpc.StatusCode.UNAVAILABLE, "overloaded", ((PUSHBACK_METADATA, "1800000"),))
    scanner = Scanner()
    with serving(Script(reports=[later])) as address:
        config = config_for(address, tmp_path / "state", **QUICK)
        with meanwhile(lambda: wait_for(lambda: "sent again in 30 min" in caplog.text)):
            Resident(lambda: config, NOBODY, scan_host=scanner, watched_root=str(tmp_path), retry_seconds=0.1).run()
    failure = Courier(config).state.read()["last_failure"]
    told = datetime.fromisoformat(failure["not_before"]) - datetime.fromisoformat(failure["at"])
    assert told.total_seconds() == 1800


def test_another_agent_on_the_same_state_is_waited_for(
    collector: Collector, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "libcensus")
    config = config_for(collector.grpc_address, tmp_path / "state", **QUICK)
    other, scanner = Courier(config), Scanner()
    other.prepare()

    def script() -> None:
        with other.state.lock():
            ready.set()
            wait_for(lambda: "another libcensus-agent is reporting" in caplog.text)
        scanner.wait(1)
        wait_for_reports(caplog, 1)

    ready = threading.Event()
    with meanwhile(script):
        ready.wait()
        Resident(lambda: config, NOBODY, scan_host=scanner, watched_root=str(tmp_path), retry_seconds=0.1).run()


@pytest.mark.parametrize("talks", [True, False], ids=["between-two-steps", "inside-a-step"])
def test_a_signal_ends_a_scan_at_once_and_leaves_nothing_half_done(
    talks: bool, collector: Collector, tmp_path: Path
) -> None:
    begun = threading.Event()

    def endless(progress: Progress) -> None:
        begun.set()
        while True:
            if talks:
                progress("walk", 1)
            time.sleep(0.01)

    config = config_for(collector.grpc_address, tmp_path / "state", **QUICK)
    scanner = Scanner(endless)
    with meanwhile(lambda: (begun.wait(), None)[1]):
        Resident(lambda: config, NOBODY, scan_host=scanner, watched_root=str(tmp_path)).run()
    assert scanner.done == 0
    assert waiting(tmp_path / "state") == 0
    with Courier(config).state.lock():
        pass


def test_a_wrong_configuration_is_refused_at_the_start_and_told_later(
    collector: Collector, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "libcensus")
    good = config_for(collector.grpc_address, tmp_path / "state", **QUICK)
    answers: list[Any] = [good, ConfigurationError("agent.toml: run.jitter is 7"), good]

    def load() -> AgentConfig:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return good

    scanner = Scanner()

    def script() -> None:
        scanner.wait(1)
        signal.pthread_kill(MAIN, signal.SIGHUP)
        wait_for(lambda: "the configuration stays as it was: agent.toml: run.jitter is 7" in caplog.text)
        signal.pthread_kill(MAIN, signal.SIGHUP)
        scanner.wait(2)
        wait_for_reports(caplog, 2)

    with meanwhile(script):
        Resident(load, NOBODY, scan_host=scanner, watched_root=str(tmp_path)).run()
    answers.append(ConfigurationError("wrong from the start"))
    with pytest.raises(ConfigurationError, match="wrong from the start"):
        Resident(load, NOBODY, scan_host=scanner).run()


class Listener:
    """Stands where the service manager would, and keeps what it is told."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self.channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.channel.bind(str(self.path))
        self.channel.settimeout(60)
        self.told: list[str] = []

    def wait(self, state: str) -> None:
        """Read until a state is told that has not been waited for before."""
        while True:
            lines = self.channel.recv(65536).decode().split("\n")
            self.told += lines
            if any(line == state or line.startswith(f"{state}=") for line in lines):
                return

    def drain(self) -> list[str]:
        """Read what is there already; returns all."""
        self.channel.settimeout(0)
        while True:
            try:
                self.told += self.channel.recv(65536).decode().split("\n")
            except BlockingIOError:
                return self.told


def test_a_scan_that_hangs_is_not_vouched_for(
    collector: Collector, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "libcensus")
    listener = Listener(tmp_path)
    manager = ServiceManager({"NOTIFY_SOCKET": str(listener.path), "WATCHDOG_USEC": "100000"})
    during: list[list[str]] = []

    def tell_for(seconds: float, progress: Callable[[], None]) -> None:
        # The kernel keeps ten messages that nobody reads; then the sender waits.
        listener.told.clear()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            progress()
            listener.drain()
            time.sleep(0.01)
        during.append(list(listener.told))

    def steady(progress: Progress) -> None:
        tell_for(2, lambda: progress("walk", 1))
        tell_for(2, lambda: None)

    config = config_for(collector.grpc_address, tmp_path / "state", **QUICK, **{"run.stall_seconds": 0.2})
    scanner = Scanner(steady)

    def script() -> None:
        scanner.wait(1)
        wait_for_reports(caplog, 1)

    with meanwhile(script):
        Resident(lambda: config, manager, scan_host=scanner, watched_root=str(tmp_path)).run()
    listener.channel.close()
    working, hanging = (told.count("WATCHDOG=1") for told in during)
    assert working > 10, "work was not vouched for"
    assert hanging < working / 2, "a hang was vouched for"


# --- the command itself -----------------------------------------------------------------------------------------------


def test_the_command_is_ready_lives_reloads_and_ends(collector: Collector, tmp_path: Path, database: str) -> None:
    listener = Listener(tmp_path)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LIBCENSUS_")}
    environment = {
        **kept,
        "NOTIFY_SOCKET": str(listener.path),
        "WATCHDOG_USEC": "2000000",
        "LIBCENSUS_AGENT_SCAN_EXCLUDE": ":".join(ELSEWHERE),
        "LIBCENSUS_AGENT_SCAN_CONTAINERS": "false",
    }
    command = [str(AGENT), "run", "--collector", collector.grpc_address, "--state-dir", str(tmp_path / "state")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as agent:
        listener.wait("READY=1")
        listener.wait("WATCHDOG=1")
        wait_for(lambda: any("acknowledged by" in line for line in listener.drain()))
        assert os.sched_getscheduler(agent.pid) == os.SCHED_IDLE
        listener.channel.settimeout(60)
        listener.told.clear()
        agent.send_signal(signal.SIGHUP)
        listener.wait("RELOADING=1")
        listener.wait("READY=1")
        wait_for(lambda: any("acknowledged by" in line for line in listener.drain()))
        agent.send_signal(signal.SIGTERM)
        output, log = agent.communicate(timeout=60)
    assert agent.returncode == 0, log
    assert output == ""
    assert "STOPPING=1" in listener.drain()
    listener.channel.close()
    told = [line for line in log.splitlines() if " info scan (" in line]
    assert len(told) == 2
    assert log.splitlines()[-1].endswith("info ending on SIGTERM")
    collector.stop()
    with SqlStore.open(database) as store:
        assert len(list(store.hosts())) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--collector", "192.0.2.1:9444"], 5, "is not on this machine"),
        (["--interval", "0"], 3, "--interval is 0.0; it must be a number above 0, at most 604800"),
        (["--quiet", "-1"], 3, "--quiet is -1.0"),
    ],
    ids=["identity", "interval", "quiet"],
)
def test_what_is_wrong_from_the_start_ends_with_its_code(
    arguments: list[str], code: int, message: str, tmp_path: Path
) -> None:
    command = [str(AGENT), "run", "--state-dir", str(tmp_path / "state"), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == code
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
