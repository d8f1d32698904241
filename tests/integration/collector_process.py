"""Starts collectors that are made to be killed, by the hundred.

A collector takes most of a second to import, so one process imports everything once and forks a collector for each
command on its standard input. What runs in the fork is the real thing (store, group commit, gRPC and HTTP servers); a
command may name a moment at which it announces itself and waits to be killed. The moments are found from outside, by a
subclass of the store and by events of SQLAlchemy and SQLite: the product has no switches for tests.

Run as a program: commands are lines of JSON; answers are ``forked PID``, ``ready ADDRESS``, ``reached``, ``dead``.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

from libcensus.collector.app import Collector
from libcensus.collector.config import CollectorSettings
from libcensus.collector.store.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from libcensus.collector.store.contract import FactRecord, ReceivedReport, ReportOutcome

_PR_SET_PDEATHSIG = 1

AFTER_COMMIT = "reports are committed and not acknowledged"
AFTER_FACTS = "facts are committed and not acknowledged"
BEFORE_COMMIT = "everything is written and not committed"
INSIDE_STATEMENT = "inside a statement"
ANY_TIME = "any time"
STARTING = "while starting"


@dataclass(frozen=True)
class Command:
    """What collector to start: on which database, and at which occurrence of which moment it waits."""

    database: str
    moment: str
    count: int

    def line(self) -> bytes:
        """Return the command as it is sent."""
        return json.dumps(asdict(self)).encode() + b"\n"


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends: nothing is left behind by a test that is interrupted."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def say(*words: object) -> None:
    """Write one line in one piece: the starter and its forks share the pipe."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


class Moment:
    """Counts down to one occurrence, announces it, and never returns from it."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._lock = threading.Lock()

    def pass_by(self) -> None:
        """Take note of one occurrence; at the last one, wait for the end."""
        with self._lock:
            self._left -= 1
            if self._left == 0:
                say("reached")
                threading.Event().wait()


class PausingStore(SqlStore):
    """The store, stopping on its way at one moment of what clients asked for; the health check passes freely."""

    def stop_at(self, command: Command) -> None:
        """Choose the moment."""
        self._asked = threading.local()
        self._moment = Moment(command.count)
        self._where = command.moment
        if command.moment == BEFORE_COMMIT:
            event.listen(self._writer, "commit", lambda _: self._pass_by(BEFORE_COMMIT))
        elif command.moment == INSIDE_STATEMENT:

            def watch(connection: Connection) -> None:
                driver: Any = connection.connection.dbapi_connection
                # After so many instructions of SQLite's virtual machine; whoever kills itself cannot be late.
                end = self._end if self._is_asked() else None
                driver.set_progress_handler(end, command.count)

            event.listen(self._writer, "begin", watch)

    def apply_reports(self, reports: Sequence[ReceivedReport]) -> list[ReportOutcome]:
        self._asked.now = True
        outcomes = super().apply_reports(reports)
        if () in outcomes:
            self._pass_by(AFTER_COMMIT)
        self._asked.now = False
        return outcomes

    def put_facts(self, records: Sequence[FactRecord]) -> int:
        self._asked.now = True
        new = super().put_facts(records)
        self._pass_by(AFTER_FACTS)
        self._asked.now = False
        return new

    def _is_asked(self) -> bool:
        return getattr(self._asked, "now", False)

    def _pass_by(self, moment: str) -> None:
        if moment == self._where and self._is_asked():
            self._moment.pass_by()

    def _end(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def prepared_store(command: Command) -> SqlStore:
    """Return the store of a collector that is to be killed at a moment of its own."""
    store = PausingStore.open(command.database)
    store.stop_at(command)
    return store


def run_collector(command: Command) -> None:
    """Serve until killed."""
    die_with_parent()
    settings = CollectorSettings(listen="127.0.0.1:0", http_listen="127.0.0.1:0", database=command.database)
    real = command.moment in {ANY_TIME, STARTING}
    collector = Collector(settings, None if real else prepared_store(command)).start()
    say("ready", collector.grpc_address)
    threading.Event().wait()


def main() -> None:
    """Fork one collector for each command, and tell when it has ended."""
    die_with_parent()
    say("up")
    for line in sys.stdin.buffer:
        command = Command(**json.loads(line))
        child = os.fork()
        if child == 0:
            try:
                run_collector(command)
            finally:
                os._exit(1)
        say("forked", child)
        os.waitpid(child, 0)
        say("dead")


if __name__ == "__main__":
    main()
