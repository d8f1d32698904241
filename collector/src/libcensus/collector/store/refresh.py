"""The commonest write of all: reports that say nothing new of their hosts.

Such a report is stored without a look at its host's row first: the statement itself finds out whether the row still has
what the report repeats. Reading the rows costs as much as writing them, and Python's driver of SQLite gives up the
interpreter for each of them, which a busy collector gets back late.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, update

from libcensus.collector.store.rows import report_values
from libcensus.collector.store.tables import HOSTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from libcensus.collector.store.contract import ReceivedReport

_CHANGED = (
    "report_id",
    "agent_version",
    "scanned_at",
    "scan_seconds",
    "probes",
    "waiting_reports",
    "dropped_reports",
    "dropped_facts",
    "certificate_expires_at",
)
"""The columns of :func:`~libcensus.collector.store.rows.report_values`."""

_REFRESH = (
    update(HOSTS)
    .where(
        HOSTS.c.host_id == bindparam("of_host"),
        HOSTS.c.inventory == bindparam("of_inventory"),
        HOSTS.c.processes_digest.is_not_distinct_from(bindparam("of_processes")),
        HOSTS.c.report_id != bindparam("of_report"),
        HOSTS.c.last_report <= bindparam("moment"),
        HOSTS.c.seen_until <= bindparam("moment"),
    )
    .values(
        {name: bindparam(f"new_{name}") for name in _CHANGED}
        | {"last_report": bindparam("moment"), "seen_until": bindparam("moment")}
    )
)


def refresh(connection: Connection, reports: Sequence[ReceivedReport]) -> bool:
    """Store the reports that say nothing new and came after all that is known of their hosts; tell whether all did.

    Where some did not, those that did stay stored: to whoever looks at all of them again they are settled. Several
    reports of one host, whose order counts, and reports that hold what runs are left alone.
    """
    if any(received.report.processes is not None for received in reports):
        return False
    # In order of id, so that two collectors never wait for each other in turn.
    ordered = sorted(reports, key=lambda received: received.host_id)
    if any(one.host_id == other.host_id for one, other in pairwise(ordered)):
        return False
    return connection.execute(_REFRESH, [_parameters(received) for received in ordered]).rowcount == len(ordered)


def _parameters(received: ReceivedReport) -> Mapping[str, object]:
    report = received.report
    return {f"new_{name}": value for name, value in report_values(received).items()} | {
        "of_host": received.host_id,
        "of_inventory": report.inventory,
        "of_processes": report.processes_digest,
        "of_report": report.report_id,
        "moment": received.received_at,
    }
