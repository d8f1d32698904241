"""What becomes of reports when the network, a disk, a clock or a process fails: real processes over real TCP.

After every disturbed run the agent's exit code, its message and its spool are looked at; then it runs once undisturbed,
and the collector's database must hold every report that was ever made, once, in the order in which it was made.
``docs/reliability.md`` is written from what is measured here.
"""

from __future__ import annotations

import itertools
import os
import re
import socket
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import pytest

from libcensus.collector.pki.authority import Authority
from tests.faults.agents import AgentStarter, Ended, SimulatedHost, run_apart
from tests.faults.collectors import Serving, certify, serving
from tests.faults.ledger import Ledger
from tests.faults.proxy import NO_FAULT, Action, Direction, Fault, FaultyProxy
from tests.integration import test_kill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.test_store_faults import SmallDisk

# The page is written from all that was measured: `make test` keeps the tests of a file in one process.
pytestmark = pytest.mark.timeout(300)

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
FIRST, UNCHANGED = "first report, with uploads", "unchanged report"
KINDS = (FIRST, UNCHANGED)
KEPT = "is kept in {state}/spool and will be sent with the next one"

UP, DOWN = Direction.UP, Direction.DOWN
FAULTS: dict[str, Fault | None] = {
    "nobody listens": None,
    "connection closed at once": Fault(Action.CUT, UP, 0),
    "connection reset at once": Fault(Action.RESET, UP, 0),
    "closed after 60 bytes to the agent (TLS handshake)": Fault(Action.CUT, DOWN, 60),
    "reset after 200 bytes to the collector (TLS handshake)": Fault(Action.RESET, UP, 200),
    "closed after 3,000 bytes to the collector (report)": Fault(Action.CUT, UP, 3000),
    "reset after 9,000 bytes to the collector (upload)": Fault(Action.RESET, UP, 9000),
    "closed after 5,300 bytes to the agent (answer)": Fault(Action.CUT, DOWN, 5300),
    "half-closed towards the collector after 3,000 bytes": Fault(Action.HALF_CLOSE, UP, 3000),
    "half-closed towards the agent after 60 bytes": Fault(Action.HALF_CLOSE, DOWN, 60),
    "silence from the start": Fault(Action.BLACKHOLE, UP, 0),
    "silence after 3,000 bytes to the collector (report)": Fault(Action.BLACKHOLE, UP, 3000),
    "silence after 5,300 bytes to the agent (answer)": Fault(Action.BLACKHOLE, DOWN, 5300),
    "every piece delayed by 50 ms": Fault(delay=0.05),
    "pieces of 256 bytes, each delayed by 2 ms": Fault(delay=0.002, drip=256),
}
ONCE = (
    "connection reset at once",
    "reset after 200 bytes to the collector (TLS handshake)",
    "closed after 5,300 bytes to the agent (answer)",
    "half-closed towards the agent after 60 bytes",
)
"""Faults that are also tried on the first connection alone: a further attempt of the same run must get through."""


@dataclass(frozen=True)
class Outcome:
    """What came of one disturbed run and the undisturbed one after it."""

    code: int
    said: str
    kept: int
    delivered: int

    def text(self) -> str:
        """Return it as the page tells it."""
        if self.code == 0:
            return "delivered"
        return f"exit {self.code}, {self.kept} kept, next run delivers {self.delivered}: {self.said}"


@dataclass
class Stage:
    """A real collector, the proxy in front of it, and the ledger in its database."""

    collector: Serving
    proxy: FaultyProxy
    ledger: Ledger
    starter: AgentStarter
    folder: Path
    nowhere: str
    authority: Authority

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self._unchanged: SimulatedHost | None = None

    def host(self, kind: str) -> SimulatedHost:
        """Return a new host, or the one that has reported before and does not change."""
        if kind == UNCHANGED and self._unchanged is not None:
            return self._unchanged
        number = next(self._numbers)
        host = SimulatedHost(number, self.folder / f"host-{number}", (3 * number, 3 * number + 1, 3 * number + 2))
        host.settings = certify(self.authority, host.host_id).write(self.folder / f"certificate-{number}")
        if kind == UNCHANGED:
            self.deliver(host)
            self._unchanged = host
        return host

    def deliver(self, host: SimulatedHost) -> Ended:
        """Report undisturbed: everything that was ever made is in the ledger then, once and in order."""
        self.proxy.play(NO_FAULT)
        waiting = len(host.waiting())
        ended = self.starter.run(["report", "--collector", self.proxy.address], host.environment())
        assert ended.code == 0, ended.errors
        assert not ended.errors
        assert (f", after {waiting} that waited" in ended.output) == (waiting > 0)
        host.note()
        assert host.waiting() == []
        assert self.ledger.reports(host.host_id) == host.made
        return ended

    def disturb(self, host: SimulatedHost, fault: Fault | None, times: int | None = None, attempts: int = 2) -> Ended:
        """Report while something is wrong; the message, the spool and the ledger must fit together."""
        before, waited = self.ledger.reports(host.host_id), host.waiting()
        address = self.nowhere if fault is None else self.proxy.address
        self.proxy.play(fault or NO_FAULT, times)
        patience = 1.0 if fault is not None and fault.action is Action.BLACKHOLE else 30.0
        settings = {"collector_timeout_seconds": patience, "collector_upload_timeout_seconds": patience}
        ended = self.starter.run(
            ["report", "--collector", address], host.environment(collector_attempts=attempts, **settings)
        )
        host.note()
        after = self.ledger.reports(host.host_id)
        # What was acknowledged is durable; what is durable and was not acknowledged is at most what still waits.
        assert set(host.acknowledged) <= set(after)
        assert set(after) - set(before) <= {*waited, host.made[-1]}
        assert after[: len(before)] == before
        if ended.code:
            self.check_message(host, ended, address)
            assert host.waiting() == [*waited, host.made[-1]]
        else:
            assert host.waiting() == []
            assert after[-1] == host.acknowledged[-1]
        return ended

    def check_message(self, host: SimulatedHost, ended: Ended, address: str) -> None:
        """One line that names the collector, what is wrong, where the report lies and what becomes of it."""
        assert ended.output == ""
        [line] = ended.errors.splitlines()
        assert line.startswith(f"libcensus-agent: error: collector {address} ")
        assert KEPT.format(state=host.state) in line
        assert "Traceback" not in line


def said(ended: Ended) -> str:
    """Return what a message says was wrong, without addresses and the words of gRPC."""
    match = re.search(
        r"(cannot be reached \(\d attempts?\)|did not answer \w+ in time|cannot take the report now|no space left)",
        ended.errors,
    )
    assert match is not None, ended.errors
    return f"“{match[1]}”"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A collector that speaks mutual TLS."""
    folder = tmp_path_factory.mktemp("faults")
    authority = new_authority(folder)
    with (
        AgentStarter() as starter,
        serving(f"{folder}/census.db", pki=folder / "pki") as collector,
        FaultyProxy(collector.grpc_address) as proxy,
        socket.socket() as taken,
    ):
        taken.bind(("127.0.0.1", 0))
        ledger = Ledger(folder / "census.db")
        ledger.open()
        yield Stage(collector, proxy, ledger, starter, folder, f"127.0.0.1:{taken.getsockname()[1]}", authority)


def new_authority(folder: Path) -> Authority:
    return Authority.init(folder / "pki", "libcensus", datetime.now(UTC) - timedelta(days=30))


_MEASURED: dict[tuple[str, str], str] = {}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_that_lasts_costs_time_and_no_report(name: str, kind: str, stage: Stage) -> None:
    host = stage.host(kind)
    ended = stage.disturb(host, FAULTS[name])
    assert ended.code in {0, 4}
    kept = len(host.waiting())
    before = len(host.acknowledged)
    stage.deliver(host)
    delivered = kept + 1
    assert len(host.acknowledged) >= before + 1
    words = "" if ended.code == 0 else said(ended)
    _MEASURED[name, kind] = Outcome(ended.code, words, kept, delivered).text()


@pytest.mark.parametrize("name", ONCE)
def test_a_fault_of_one_connection_is_overcome_by_a_further_attempt(name: str, stage: Stage) -> None:
    host = stage.host(FIRST)
    # A channel waits a little by itself before it connects again: an attempt that comes sooner fails with it.
    ended = stage.disturb(host, FAULTS[name], times=1, attempts=6)
    assert ended.code == 0, ended.errors
    assert stage.proxy.connections == 2
    stage.deliver(host)


@pytest.mark.parametrize("name", ["connection reset at once", "half-closed towards the agent after 60 bytes"])
def test_plaintext_on_loopback_is_no_different(name: str, tmp_path: Path) -> None:
    host = SimulatedHost(1, tmp_path / "state", (1, 2))
    ledger = Ledger(tmp_path / "census.db")
    with (
        AgentStarter() as starter,
        serving(f"{tmp_path}/census.db") as collector,
        FaultyProxy(collector.grpc_address) as proxy,
    ):
        ledger.open()
        arguments = ["report", "--collector", proxy.address]
        proxy.play(FAULTS[name] or NO_FAULT)
        failed = starter.run(arguments, host.environment(collector_attempts=2))
        assert failed.code == 4
        assert KEPT.format(state=host.state) in failed.errors
        host.note()
        proxy.play(NO_FAULT)
        assert starter.run(arguments, host.environment()).code == 0
        host.note()
        assert len(host.made) == 2
        assert ledger.reports(host.host_id) == host.made


def test_a_cut_behind_the_handshake_looks_like_a_refusal_and_keeps_the_report_all_the_same(stage: Stage) -> None:
    """In TLS 1.3 the handshake succeeds for the client before the server has looked at its certificate."""
    host = stage.host(UNCHANGED)
    stage.proxy.play(Fault(Action.CUT, UP, 1500))
    ended = stage.starter.run(["report", "--collector", stage.proxy.address], host.environment(collector_attempts=1))
    assert ended.code in {4, 5}
    assert KEPT.format(state=host.state) in ended.errors
    if ended.code == 5:
        assert "compare the clocks" in ended.errors
        assert "enroll this host again" in ended.errors
    host.note()
    assert len(host.waiting()) == 1
    stage.deliver(host)


def test_what_waited_through_an_outage_arrives_in_the_order_in_which_it_was_made(stage: Stage) -> None:
    host = stage.host(FIRST)
    faults = [FAULTS["nobody listens"], FAULTS["reset after 9,000 bytes to the collector (upload)"], None]
    for number, fault in enumerate(faults):
        # Something is installed meanwhile: each report brings facts of its own.
        host.installs = (*host.installs, 9_000 + number)
        assert stage.disturb(host, fault).code == 4
    assert len(host.waiting()) == 3
    stage.deliver(host)
    assert len(stage.ledger.reports(host.host_id)) == 4
    _MEASURED["collector out of reach for three reports, each with something new", ""] = (
        "exit 4 each time, 3 kept; the next run delivers all 4 in the order in which they were made"
    )


# --- full disks -----------------------------------------------------------------------------------------------------


def test_the_collectors_disk_fills_up(disk: SmallDisk, tmp_path: Path) -> None:
    """The store needs room for a report; one that it has none for is kept by the agent."""
    with (
        AgentStarter() as starter,
        serving(f"{disk.inside}/census.db", prefix=tuple(disk.enter), log=tmp_path / "log") as collector,
    ):
        hosts = [SimulatedHost(number, tmp_path / f"host-{number}", (number,)) for number in range(1, 200)]
        refused: tuple[SimulatedHost, Ended] | None = None
        disk.fill()
        arguments = ["report", "--collector", collector.grpc_address]
        delivered = []
        for host in hosts:
            ended = starter.run(arguments, host.environment(collector_attempts=1))
            host.note()
            if ended.code:
                refused = host, ended
                break
            delivered.append(host)
        assert refused is not None
        host, ended = refused
        assert ended.code == 4
        assert "the collector's database has no space left" in ended.errors
        assert KEPT.format(state=host.state) in ended.errors
        assert len(host.waiting()) == 1
        disk.free()
        again = starter.run(arguments, host.environment())
        assert again.code == 0, again.errors
        host.note()
        assert host.waiting() == []
    copy = disk.copy_out("census.db", tmp_path)
    for one in (*delivered, host):
        assert newest_report(copy, one.host_id) == one.acknowledged[-1]
    _MEASURED["the collector's disk is full", ""] = (
        "exit 4, 1 kept: “the collector's database has no space left”; with room again the next run delivers 2"
    )


def newest_report(database: Path, host_id: str) -> str | None:
    with closing(sqlite3.connect(database)) as connection:
        row = connection.execute("SELECT lower(hex(report_id)) FROM hosts WHERE host_id = ?", (host_id,)).fetchone()
        return None if row is None else str(row[0])


@pytest.mark.parametrize("reachable", [True, False], ids=["collector reachable", "nobody listens"])
def test_the_agents_disk_is_full(disk: SmallDisk, stage: Stage, *, reachable: bool) -> None:
    inside = SimulatedHost(next(stage._numbers), disk.inside / "state", (1, 2))
    seen = SimulatedHost(inside.number, disk.outside / "state", (1, 2))
    (disk.outside / "state").mkdir(mode=0o700)
    inside.settings = certify(stage.authority, inside.host_id).write(stage.folder / f"certificate-{inside.number}")
    disk.fill()
    stage.proxy.play(NO_FAULT)
    address = stage.proxy.address if reachable else stage.nowhere
    ended = run_apart(["report", "--collector", address], inside.environment(collector_attempts=1), tuple(disk.enter))
    assert "Traceback" not in ended.errors
    assert f"{inside.state}/spool" in ended.errors
    assert seen.waiting() == []
    if reachable:
        assert ended.code == 0, ended.errors
        assert "it is sent from memory" in ended.errors
        assert len(stage.ledger.reports(inside.host_id)) == 1
        outcome = "delivered, from memory; a warning says that it could not be kept"
    else:
        assert ended.code == 4
        assert "could not be kept in" in ended.errors
        assert "free some space and report again" in ended.errors
        assert stage.ledger.reports(inside.host_id) == []
        outcome = "exit 4, nothing kept: “could not be kept either: free some space and report again”"
    disk.free()
    again = run_apart(["report", "--collector", stage.proxy.address], inside.environment(), tuple(disk.enter))
    assert again.code == 0, again.errors
    assert len(stage.ledger.reports(inside.host_id)) == 1 + reachable
    _MEASURED["the agent's disk is full" + ("" if reachable else ", and nobody listens"), ""] = outcome


# --- clocks -----------------------------------------------------------------------------------------------------------


def with_clock(days: int) -> tuple[str, ...]:
    """Return the start of a command line that runs a program with another clock; intervals stay true."""
    [library] = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    return ("env", "FAKETIME_DONT_FAKE_MONOTONIC=1", f"LD_PRELOAD={library}", f"FAKETIME={days:+d}d")


@pytest.mark.parametrize("days", [3, -3], ids=["ahead", "behind"])
def test_the_agents_clock_is_days_off(days: int, stage: Stage) -> None:
    host = stage.host(FIRST)
    stage.proxy.play(NO_FAULT)
    arguments = ["report", "--collector", stage.proxy.address]
    ended = run_apart(arguments, host.environment(), with_clock(days))
    host.note()
    word = "ahead" if days > 0 else "behind"
    if days > 0:
        # The collector's certificate lives for longer than that.
        assert ended.code == 0, ended.errors
        outcome = "delivered"
    else:
        assert ended.code == 5
        assert "is not yet valid by this host's clock" in ended.errors
        assert "set this host's clock right" in ended.errors
        assert KEPT.format(state=host.state) in ended.errors
        assert len(host.waiting()) == 1
        outcome = (
            "exit 5, 1 kept: the certificate “is not yet valid by this host's clock … set this host's clock right”; "
            "with the clock set right the next run delivers 2"
        )
    # The clock is set right before the next run: what was made before still goes first.
    stage.deliver(host)
    assert len(stage.ledger.reports(host.host_id)) == 2
    _MEASURED[f"the agent's clock is 3 days {word}, then set right", ""] = outcome


@pytest.mark.parametrize("days", [3, -3], ids=["ahead", "behind"])
def test_the_agents_clock_is_days_off_in_plaintext(days: int, tmp_path: Path) -> None:
    """Nothing but certificates looks at the agent's clock: order is that of the runs."""
    ledger = Ledger(tmp_path / "census.db")
    host = SimulatedHost(1, tmp_path / "state", (1, 2))
    with serving(f"{tmp_path}/census.db") as collector:
        ledger.open()
        arguments = ["report", "--collector", collector.grpc_address]
        for clock in (with_clock(days), (), with_clock(days)):
            ended = run_apart(arguments, host.environment(), clock)
            assert ended.code == 0, ended.errors
            host.note()
            assert ledger.reports(host.host_id) == host.made == host.acknowledged


@pytest.mark.parametrize("days", [3, -3], ids=["ahead", "behind"])
def test_the_collectors_clock_is_days_off(days: int, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "census.db")
    authority = new_authority(tmp_path)
    host = SimulatedHost(1, tmp_path / "state", (1, 2))
    issued = datetime.now(UTC) - timedelta(days=1)
    host.settings = certify(authority, host.host_id, now=issued).write(tmp_path / "certificate")
    word = "ahead" if days > 0 else "behind"
    with AgentStarter() as starter:

        def report(collector: Serving) -> Ended:
            ended = starter.run(["report", "--collector", collector.grpc_address], host.environment())
            host.note()
            assert ledger.reports(host.host_id) == host.acknowledged
            return ended

        with serving(f"{tmp_path}/census.db", pki=tmp_path / "pki", prefix=with_clock(days)) as collector:
            ledger.open()
            ended = report(collector)
            if days > 0:
                # It made its certificate for itself, by its own clock: for the agent that one is of the future.
                assert ended.code == 5
                assert "is not yet valid by this host's clock" in ended.errors
                assert "or where it is right, that of the collector" in ended.errors
                outcome = (
                    "exit 5, 1 kept: the certificate “is not yet valid by this host's clock … or where it is right, "
                    "that of the collector”; with the clock set right the next run delivers 2"
                )
            else:
                # It finds the agent's certificate not yet valid, which gRPC's server tells nobody.
                assert ended.code == 5
                assert "compare the clocks" in ended.errors
                outcome = (
                    "exit 5, 1 kept: “compare the clocks … or enroll this host again”; with the clock set right the "
                    "next run delivers 2"
                )
            assert KEPT.format(state=host.state) in ended.errors
            assert len(host.waiting()) == 1
        # What it made for itself by the wrong clock must not outlast that.
        with serving(f"{tmp_path}/census.db", pki=tmp_path / "pki") as collector:
            host.installs = (2, 3)
            assert report(collector).code == 0
            assert host.waiting() == []
    assert len(host.made) == 2
    _MEASURED[f"the collector's clock is 3 days {word}, then set right", ""] = outcome


# --- death ------------------------------------------------------------------------------------------------------------

CLIENTS, HOSTS_PER_CLIENT, KILLS = 6, 50, 5


def test_the_collector_is_killed_under_the_load_of_hundreds_of_agents(tmp_path: Path) -> None:
    database = tmp_path / "census.db"
    hosts = [test_kill.SimulatedHost(number) for number in range(CLIENTS * HOSTS_PER_CLIENT)]
    total = 0
    for number in range(KILLS):
        chance = test_kill.seeded(number)
        with serving(str(database)) as collector, ThreadPoolExecutor(CLIENTS) as pool:
            clients = [
                pool.submit(
                    test_kill.report_until_killed,
                    collector.grpc_address,
                    hosts[first::CLIENTS],
                    test_kill.seeded(number, first),
                )
                for first in range(CLIENTS)
            ]
            with open_by_descriptor(collector) as process:
                # Some of the kills hit a collector that has just begun, others one in full work.
                Event().wait(chance.uniform(0.0, 1.5))
                test_kill.kill(process)
            collector.process.wait(60)
            total += sum(client.result()["acknowledged"] for client in clients)
        test_kill.verify_file(database, hosts)
    assert total > KILLS
    _MEASURED[f"SIGKILL of the collector at random moments, {len(hosts)} agents reporting", ""] = (
        f"{KILLS} kills: nothing acknowledged lost, nothing invented, no host's history out of order; "
        "agents repeat what was not answered"
    )


@contextmanager
def open_by_descriptor(collector: Serving) -> Iterator[int]:
    """Yield a descriptor of the collector's process, which never comes to mean another one."""
    descriptor = os.pidfd_open(collector.process.pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


# --- the page ---------------------------------------------------------------------------------------------------------

_HEAD = """\
# Reliability: what becomes of reports when something fails

Written by `tests/faults/test_faults.py`, which measures it (`UPDATE_GOLDEN=1` writes it anew). Real processes over
mutual TLS: the agent's command, the collector's command, and between them a proxy that misbehaves. After each disturbed
run the agent runs once undisturbed; then the collector's database must hold every report that was ever made, once, in
the order in which it was made. A trigger inside that database keeps the account, in the same transactions as the
reports.

What holds in every row:

- A report that the agent was told to be acknowledged is durable. None is lost, none is invented, and a report that was
  sent twice, because its answer was lost, counts once.
- What could not be delivered lies in the agent's spool, and the message names it: “the report is kept in
  STATE/spool and will be sent with the next one”. Nothing has to be done but to let the agent run again.
- The exit code is the documented one: 0 delivered, 4 not delivered now, 5 TLS was refused. A connection that is cut
  each time just behind the TLS handshake cannot be told from a certificate that the collector refuses (in TLS 1.3 the
  handshake has succeeded for the agent by then): the agent may end with 5 then, and keeps the report all the same.
"""


_TAIL = """
## Overload and attack

What the collector bounds, so that neither a fleet that comes back at once nor a host that turned against it takes more
than its share. Each refusal is counted in `libcensus_collector_refusals_total` by its reason; the test of attacks
(`tests/integration/test_attacks.py`) holds the cost of each against bounds of memory and processor time, with an honest
host served meanwhile.

| bound | setting | who comes beyond it |
|---|---|---|
| connections | `max_connections`, and the open files of the process less 512 | is closed before its handshake |
| TLS handshakes | 10 s each | is closed; counted in `libcensus_collector_tls_handshakes_total` |
| calls in flight | `max_concurrent_calls` | is refused by threads of their own, before its request is read: `calls` |
| calls of one host | `host_calls_per_second`, `host_burst` | is refused: `host_rate` |
| calls of one host at once | an eighth of `workers` | is refused: `host_calls` |
| the message of a call | 20 s until it has come | is ended: `slow` |
| an upload | `call_seconds`, `max_upload_bytes`, `max_upload_facts` | is ended: `slow`, or refused: `too_large` |
| uploads together | their memory, and three quarters of `workers` | is refused: `uploads` |
| a message | `max_message_bytes`, also after unpacking | is refused by gRPC |
| what it unpacks to | 200,000 messages or 1,000,000 fields | is refused before it is unpacked: `malformed` |
| waiting for the database | `max_queued` | is refused: `queue` |

A refusal for overload carries `grpc-retry-pushback-ms`: the more were sent away lately, and the slower calls are
served, the longer, at most a minute, and spread at random. Agents wait that long and spread themselves once more, and
such an answer uses up none of their attempts.
"""


def _rows() -> list[str]:
    lines = ["## The network", "", f"| what happens | {' | '.join(KINDS)} |", "|---|---|---|"]
    lines += [f"| {name} | {' | '.join(_MEASURED[name, kind] for kind in KINDS)} |" for name in FAULTS]
    lines += [
        "",
        "Where only the first connection suffers, a further attempt of the same run delivers. Tried:",
        ", ".join(f"*{name}*" for name in ONCE) + ".",
        "",
        "## Outages, disks, clocks, death",
        "",
        "| what happens | what comes of it |",
        "|---|---|",
    ]
    return lines + [f"| {name} | {outcome} |" for (name, kind), outcome in _MEASURED.items() if not kind]


def test_the_page_tells_what_was_measured() -> None:
    if len(_MEASURED) < 2 * len(FAULTS) + 8:
        pytest.skip("not everything was measured in this run: run the whole file, in one process")
    page = _HEAD + "\n" + "\n".join(_rows()) + "\n" + _TAIL
    if os.environ.get("UPDATE_GOLDEN") == "1":
        PAGE.write_text(page, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page
