"""What the collector's database took, in the order in which it became durable: written down by the database itself."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_TABLE = "CREATE TABLE test_ledger (number INTEGER PRIMARY KEY, host_id TEXT NOT NULL, report_id TEXT NOT NULL)"
_ENTRY = "INSERT INTO test_ledger (host_id, report_id) VALUES (NEW.host_id, lower(hex(NEW.report_id)))"
_TRIGGERS = (
    f"CREATE TRIGGER test_new AFTER INSERT ON hosts BEGIN {_ENTRY}; END",
    (
        "CREATE TRIGGER test_again AFTER UPDATE OF report_id ON hosts "
        f"WHEN NEW.report_id IS NOT OLD.report_id BEGIN {_ENTRY}; END"
    ),
)


class Ledger:
    """A table of the test's in the collector's SQLite file, kept by triggers in the same transactions as the reports.

    A report that is not durable is not in it, and one that is cannot be missing from it.
    """

    def __init__(self, database: Path) -> None:
        self._database = database

    def open(self) -> None:
        """Make the table, beside the collector that holds the file."""
        with closing(self._connect()) as connection, connection:
            for statement in (_TABLE, *_TRIGGERS):
                connection.execute(statement)

    def reports(self, host_id: str) -> list[str]:
        """Return the ids of a host's reports in the order in which they became durable."""
        with closing(self._connect()) as connection:
            rows = connection.execute("SELECT report_id FROM test_ledger WHERE host_id = ? ORDER BY number", (host_id,))
            return [row[0] for row in rows]

    def hosts(self) -> set[str]:
        """Return the ids of all hosts that ever reported."""
        with closing(self._connect()) as connection:
            return {row[0] for row in connection.execute("SELECT DISTINCT host_id FROM test_ledger")}

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._database, timeout=30)
        connection.execute("PRAGMA busy_timeout = 30000")
        return connection
