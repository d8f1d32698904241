"""``kill -9`` of the collector, at any moment, loses no report that it acknowledged.

Several clients report hosts over gRPC, as agents do: digests first, facts when asked, the same report again when no
answer came. The collector is killed at seeded moments, among them the one between commit and acknowledgement, and
started again on the same database. After every kill the stored hosts are compared with what was acknowledged.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from libcensus.collector.store.sql import SqlStore
from libcensus.facts.codec import digest_to_proto, fact_kind_to_proto, report_to_proto
from libcensus.facts.interpreter import InstallSet
from libcensus.facts.report import Report
from libcensus.v1 import census_pb2, census_pb2_grpc
from tests.contract.specimens import PROBES, Census, address, build
from tests.integration import collector_process
from tests.integration.collector_process import (
    AFTER_COMMIT,
    AFTER_FACTS,
    ANY_TIME,
    BEFORE_COMMIT,
    INSIDE_STATEMENT,
    STARTING,
    Command,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcensus.collector.store.contract import Store

SEED = 20260131
CLIENTS, HOSTS_PER_CLIENT = 4, 2
PATIENCE = 60.0
"""How long a collector may take before the test gives up: far more than it ever needs."""

GONE = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
"""How a call ends whose collector was killed."""


# --- the collector ----------------------------------------------------------------------------------------------


class Starter:
    """The process that forks collectors."""

    def __init__(self, log: Path) -> None:
        with log.open("wb") as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-m", collector_process.__name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                cwd=Path(__file__).parents[2],
            )
        self._log = log
        self._said = Counter[str]()
        self._last: dict[str, str] = {}
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.expect("up", 1)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            word, _, rest = line.decode().strip().partition(" ")
            with self._news:
                self._said[word] += 1
                self._last[word] = rest
                self._news.notify_all()

    def expect(self, word: str, times: int, timeout: float = PATIENCE) -> str:
        """Wait until a word was said that many times in all; returns what was said with it."""
        with self._news:
            if not self._news.wait_for(lambda: self._said[word] >= times, timeout):
                raise TimeoutError(f"{word} was not said for the {times}th time; {self._log.read_text()[-2000:]}")
            return self._last[word]

    def heard(self, word: str) -> int:
        """Return how often a word was said."""
        with self._news:
            return self._said[word]

    def fork(self, command: Command) -> int:
        """Start a collector; returns its process id."""
        assert self._process.stdin is not None
        times = self.heard("forked") + 1
        self._process.stdin.write(command.line())
        self._process.stdin.flush()
        return int(self.expect("forked", times))

    def close(self) -> None:
        """End the starter."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def starter(tmp_path: Path) -> Iterator[Starter]:
    started = Starter(tmp_path / "collectors.log")
    yield started
    started.close()


# --- the hosts ----------------------------------------------------------------------------------------------------


@dataclass
class SimulatedHost:
    """One host: what it has sent, in order, and the last of it that was acknowledged."""

    number: int
    sent: list[tuple[Report, Census]] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)

    @property
    def host_id(self) -> str:
        return f"{self.number:032x}"

    @property
    def has_unanswered(self) -> bool:
        return bool(self.sent) and (not self.acknowledged or self.acknowledged[-1] < len(self.sent) - 1)

    def scan(self, chance: random.Random) -> None:
        """Make a report: often nothing has changed; else there is a build that no other report ever shows."""
        if self.sent and chance.random() < 0.4:
            census = self.sent[-1][1]
        else:
            mark = f"h{self.number}r{len(self.sent)}"
            census = Census.of(f"host{self.number}", mark, ("/opt/python", build(mark)))
        report = Report(uuid.uuid4().bytes, "0.1.0", datetime.now(UTC), 0.5, census.address, PROBES)
        self.sent.append((report, census))

    def deliver(self, stub: census_pb2_grpc.CensusServiceStub) -> None:
        """Send the newest report until it is acknowledged; raises grpc.RpcError where the collector is gone."""
        report, census = self.sent[-1]
        metadata = (("libcensus-host-id", self.host_id),)
        request = report_to_proto(report)
        for _ in range(3):
            answer = stub.Report(request, metadata=metadata, timeout=PATIENCE)
            if not answer.missing:
                self.acknowledged.append(len(self.sent) - 1)
                return
            wanted = set(answer.missing)
            uploads = [
                census_pb2.UploadFactsRequest(
                    kind=fact_kind_to_proto(one.kind), digest=digest_to_proto(one.digest), payload=one.payload
                )
                for one in census.records
                if answer.missing == [digest_to_proto(census.address)] or digest_to_proto(one.digest) in wanted
            ]
            stub.UploadFacts(iter(uploads), metadata=metadata, timeout=PATIENCE)
        raise AssertionError(f"{self.host_id} is never done: {answer}")


def report_until_killed(where: str, hosts: list[SimulatedHost], chance: random.Random) -> Counter[str]:
    """Report the hosts in turn until the collector is gone; returns what was done."""
    done = Counter[str]()
    # Each time another host goes first: a collector may live for one report only.
    turns = itertools.cycle(chance.sample(hosts, len(hosts)))
    with grpc.insecure_channel(where) as channel:
        stub = census_pb2_grpc.CensusServiceStub(channel)  # type: ignore[no-untyped-call]
        for host in turns:
            # An agent that got no answer sends the same report again, or has scanned once more by then.
            if not host.has_unanswered or chance.random() < 0.3:
                host.scan(chance)
            else:
                done["again"] += 1
            try:
                host.deliver(stub)
            except grpc.RpcError as error:
                if error.code() not in GONE:
                    raise
                break
            done["acknowledged"] += 1
    return done


# --- what must hold afterwards --------------------------------------------------------------------------------------


def verify(store: Store, hosts: list[SimulatedHost]) -> None:
    """Compare the store with what the hosts know to be acknowledged."""
    states = {state.host_id: state for state in store.hosts()}
    for host in hosts:
        state = states.pop(host.host_id, None)
        if state is None:
            assert not host.acknowledged, f"host {host.number} was acknowledged and is not there"
            continue
        order = {report.report_id: index for index, (report, _) in enumerate(host.sent)}
        index = order[state.report.report_id]
        assert index >= (host.acknowledged[-1] if host.acknowledged else 0), f"host {host.number} went back"
        report, census = host.sent[index]
        assert state.report == report
        assert state.host == census.inventory.host
        facts = store.facts([state.inventory, *census.inventory.references])
        assert facts.keys() == {state.inventory, *census.inventory.references}
        installs = facts[state.installs]
        assert isinstance(installs, InstallSet)
        history = store.intervals(host.host_id)
        still_open = [(one.path, one.build) for one in history if one.gone_at is None]
        assert still_open == [(one.path, one.build) for one in installs.installs]
        # Each report with a change shows a build of its own: history knows all that were acknowledged, each once.
        shown = Counter(one.build for one in history)
        assert set(shown.values()) <= {1}
        acknowledged = {address(host.sent[one][1].builds[0]) for one in host.acknowledged}
        assert acknowledged <= shown.keys()
    assert states == {}, "hosts that never reported"


def verify_file(database: Path, hosts: list[SimulatedHost]) -> None:
    """Verify a copy: the file that the dead collector left is for the next one to recover."""
    if not database.exists():
        assert not any(host.acknowledged for host in hosts)
        return
    with tempfile.TemporaryDirectory(dir=database.parent) as folder:
        copy = Path(folder) / "copy.db"
        for suffix in ("", "-wal"):
            if (left := database.with_name(database.name + suffix)).exists():
                shutil.copy(left, copy.with_name(copy.name + suffix))
        with SqlStore.open(str(copy)) as store:
            verify(store, hosts)
        connection = sqlite3.connect(copy)
        try:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        finally:
            connection.close()


# --- killing ----------------------------------------------------------------------------------------------------------


@dataclass
class Campaign:
    """Many kills, one after the other, on one database."""

    starter: Starter
    database: str
    hosts: list[SimulatedHost]
    done: Counter[str] = field(default_factory=Counter)

    def kill_once(self, number: int, moment: str) -> None:
        """Start a collector, let the clients report, and kill it at a seeded point of the moment."""
        chance = seeded(number)
        count = chance.randint(5, 400) if moment == INSIDE_STATEMENT else chance.randint(1, 6)
        deaths, ready, reached = (self.starter.heard(word) for word in ("dead", "ready", "reached"))
        process = os.pidfd_open(self.starter.fork(Command(self.database, moment, count)))
        if moment == STARTING:
            time.sleep(chance.uniform(0, 0.15))
        else:
            where = self.starter.expect("ready", ready + 1)
            with ThreadPoolExecutor(CLIENTS) as pool:
                clients = [
                    pool.submit(
                        report_until_killed,
                        where,
                        self.hosts[first::CLIENTS],
                        seeded(number, first),
                    )
                    for first in range(CLIENTS)
                ]
                try:
                    if moment == ANY_TIME:
                        time.sleep(chance.uniform(0, 0.12))
                    elif moment == INSIDE_STATEMENT:
                        self.starter.expect("dead", deaths + 1)
                    else:
                        self.starter.expect("reached", reached + 1)
                        self.done["waited at " + moment] += 1
                finally:
                    kill(process)
                for client in clients:
                    self.done += client.result()
        kill(process)
        self.starter.expect("dead", deaths + 1)
        os.close(process)
        self.done["kills"] += 1
        self.done[moment] += 1


def kill(process: int) -> None:
    """Kill a process by its descriptor, which never comes to mean another one; it may be dead already."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, signal.SIGKILL)


def seeded(*key: int) -> random.Random:
    """Return the same chances in every run, others for each key."""
    return random.Random(f"{SEED} {key}")  # noqa: S311 - what is wanted is repetition, not secrecy


def moments(*shares: tuple[str, int]) -> list[str]:
    """Return the moments in a seeded order."""
    order = [moment for moment, times in shares for _ in range(times)]
    seeded().shuffle(order)
    return order


def new_hosts() -> list[SimulatedHost]:
    return [SimulatedHost(number) for number in range(CLIENTS * HOSTS_PER_CLIENT)]


def test_no_kill_loses_an_acknowledged_report(starter: Starter, tmp_path: Path) -> None:
    database = tmp_path / "census.db"
    campaign = Campaign(starter, str(database), new_hosts())
    order = moments((AFTER_COMMIT, 32), (AFTER_FACTS, 12), (BEFORE_COMMIT, 24), (INSIDE_STATEMENT, 24), (ANY_TIME, 28))
    # The very first start, which makes the tables, is killed too.
    for number, moment in enumerate([STARTING] * 6 + order + [STARTING] * 2):
        campaign.kill_once(number, moment)
        verify_file(database, campaign.hosts)
    assert campaign.done["kills"] == 128
    assert campaign.done["waited at " + AFTER_COMMIT] == 32
    # Far less than even a busy machine manages: enough that the comparisons above had something to compare.
    assert campaign.done["acknowledged"] > 100
    assert campaign.done["again"] > 50
    assert sum(bool(host.acknowledged) for host in campaign.hosts) > CLIENTS


def test_no_kill_loses_an_acknowledged_report_on_postgresql(starter: Starter, postgres_url: str) -> None:
    campaign = Campaign(starter, postgres_url, new_hosts())
    order = moments((AFTER_COMMIT, 8), (AFTER_FACTS, 2), (BEFORE_COMMIT, 6), (ANY_TIME, 6))
    for number, moment in enumerate([STARTING] * 2 + order):
        campaign.kill_once(number, moment)
        with SqlStore.open(postgres_url) as store:
            verify(store, campaign.hosts)
    assert campaign.done["waited at " + AFTER_COMMIT] == 8
    assert campaign.done["acknowledged"] > 20
    assert sum(bool(host.acknowledged) for host in campaign.hosts) > CLIENTS
