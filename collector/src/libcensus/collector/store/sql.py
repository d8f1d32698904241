"""The store on SQLAlchemy Core, for a SQLite file and for PostgreSQL.

A SQLite file belongs to one collector: writes go through one connection, one at a time, and reads run beside them
(write-ahead log). A commit there survives the death of the process, and after a power loss the database is consistent
(``synchronous=NORMAL``). A PostgreSQL database may be shared by any number of collectors: a host's row is locked while
its report is taken, and a transaction that lost a race is run again.

It refuses to guess: a file of another program, of a newer version, or with damaged content is an error that names it.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sqlalchemy import bindparam, create_engine, delete, event, func, insert, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from libcensus.collector.errors import InconsistentFactsError, StoreError, StoreReadOnlyError
from libcensus.collector.store import rows
from libcensus.collector.store.address import DatabaseAddress
from libcensus.collector.store.contract import HostStamp, InventoryInterval
from libcensus.collector.store.failure import corrupt, is_transient, store_error, store_error_of_os
from libcensus.collector.store.lock import DatabaseLock
from libcensus.collector.store.schema import bring_up_to_date, require_up_to_date
from libcensus.collector.store.tables import (
    BUILDS,
    CRYPTO_LIBRARIES,
    FACTS,
    HEALTH,
    HOST_LABELS,
    HOSTS,
    INSTALL_INTERVALS,
    INVENTORY_INTERVALS,
    PLATFORMS,
)
from libcensus.collector.store.trust import TrustRecords
from libcensus.facts.codec import decode_fact
from libcensus.facts.digest import FactKind
from libcensus.facts.host import Inventory
from libcensus.facts.interpreter import Build, InstallSet
from libcensus.facts.platform import Platform
from libcensus.facts.root import RootSet
from libcensus.facts.validation import InvalidFactError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Engine, Select, Table

    from libcensus.collector.store.contract import (
        FactRecord,
        HostState,
        InstallInterval,
        ReceivedReport,
        ReportOutcome,
    )
    from libcensus.facts.codec import Fact
    from libcensus.facts.crypto import CryptoLibrary
    from libcensus.facts.report import Report

T = TypeVar("T")

_CHUNK = 500
"""How many values stand in one IN list: SQLite allows 32,766 variables, and plans are cached per length."""

_ATTEMPTS = 8
"""How often a transaction that lost a race to another collector is run before the error is told."""

_BUSY_SECONDS = 10.0
_STRAGGLER = timedelta(minutes=10)
"""How late a report may come in after a newer one and still be known as late; beyond it, a clock was set back."""


_FIELD, _RECORD = "\x1f", "\x1e"
"""What separates the parts of a label, and labels, where many are one text."""

_NAME_OF = attrgetter("name")

# Statements that run once per changed host are made once: making one costs more than SQLite needs to run it.
_UPDATE_HOST = update(HOSTS).where(HOSTS.c.host_id == bindparam("key"))
_INSERT_HOST = insert(HOSTS)
_LISTED = tuple(column for column in HOSTS.c if column.name != "processes")
_FIND_NAME = select(HOSTS.c.host_id).where(HOSTS.c.name == bindparam("name"), HOSTS.c.host_id != bindparam("host_id"))
_FIND_OPEN_INTERVALS = select(
    INSTALL_INTERVALS.c.id,
    INSTALL_INTERVALS.c.root,
    INSTALL_INTERVALS.c.path,
    *(INSTALL_INTERVALS.c[name] for name in rows.INTERVAL_CONTENT),
).where(INSTALL_INTERVALS.c.host_id == bindparam("host_id"), INSTALL_INTERVALS.c.gone_at.is_(None))
_END_INTERVAL = update(INSTALL_INTERVALS).where(INSTALL_INTERVALS.c.id == bindparam("key"))
_INSERT_INTERVAL = insert(INSTALL_INTERVALS)
_END_INVENTORY = (
    update(INVENTORY_INTERVALS)
    .where(INVENTORY_INTERVALS.c.host_id == bindparam("host"), INVENTORY_INTERVALS.c.gone_at.is_(None))
    .values(gone_at=bindparam("moment"))
)
_INSERT_INVENTORY = insert(INVENTORY_INTERVALS)


@dataclass(frozen=True, slots=True)
class _Known:
    """What the stored row of a host tells about reports and history."""

    name: str
    hostname: str
    inventory: str
    installs: str
    report_id: bytes
    scanned_at: datetime
    first_report: datetime
    last_report: datetime
    seen_until: datetime
    processes_digest: str | None


@dataclass(frozen=True, slots=True)
class _Material:
    """The facts that the changed reports of a batch name, as far as they are stored."""

    kinds: Mapping[str, FactKind]
    inventories: Mapping[str, Inventory]
    installs: Mapping[str, InstallSet]
    roots: Mapping[str, RootSet]


class SqlStore(TrustRecords):
    """A store in a SQLite file or a PostgreSQL database; made by :meth:`open`."""

    def __init__(
        self,
        address: DatabaseAddress,
        reader: Engine,
        writer: Engine,
        lock: DatabaseLock | None,
        clock: Callable[[], datetime],
    ) -> None:
        self._address = address
        self._reader = reader
        self._writer = writer
        self._lock = lock
        self._clock = clock
        self._insert = sqlite.insert if address.path is not None else postgresql.insert
        # PostgreSQL takes writes side by side; SQLite queues them, and a lock queues in order and without polling.
        self._turn = threading.Lock() if address.path is not None else None
        self._closed = False
        # What was read last, so that nothing is made anew that did not change.
        self._stamps = _StampMemory()
        self._labels: tuple[str, Mapping[str, Mapping[str, str]]] = "", {}

    @classmethod
    def open(
        cls,
        url: str,
        *,
        create: bool = True,
        beside: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> Self:
        """Open the database at ``url`` and bring its tables to this version.

        See :class:`~libcensus.collector.store.address.DatabaseAddress` for the forms of ``url``. A SQLite file that
        does not exist is made, and so is its folder where the folder above is there, unless ``create`` is false.
        ``beside`` opens it next to the collector that it belongs to, for a change of a moment: it has to be there and
        of this version, nothing of it is brought up to date, and no other collector is kept away.
        ``clock`` tells when a fact was first seen. Raises ConfigurationError for a URL that means nothing, StoreError
        for a database that cannot be used.
        """
        address = DatabaseAddress.parse(url)
        with ExitStack() as undo:
            lock = None
            if address.path is not None:
                _prepare_file(address, create=create and not beside)
                if not beside:
                    lock = DatabaseLock.take(address.path)
                    undo.callback(lock.release)
                # Made here and not by SQLite, so that only the owner can read who is vulnerable; -wal and -shm follow.
                _make_file(address)
                reader = _sqlite_engine(address, writing=False)
                writer = _sqlite_engine(address, writing=True)
                undo.callback(reader.dispose)
            else:
                reader = writer = _postgresql_engine(address)
            undo.callback(writer.dispose)
            try:
                with writer.begin() as connection:
                    if beside:
                        require_up_to_date(connection, address)
                    else:
                        bring_up_to_date(connection, address, create=create)
            except SQLAlchemyError as error:
                raise store_error(error, address) from error
            store = cls(address, reader, writer, lock, clock)
            # Reading alone would let a collector start on a full disk or a read-only server, and refuse every report.
            store.check()
            undo.pop_all()
        return store

    def close(self) -> None:
        """Release the database; further calls fail. Closing twice is harmless."""
        with self._turn or nullcontext():
            self._closed = True
            self._reader.dispose()
            self._writer.dispose()
            if self._lock is not None:
                self._lock.release()

    # --- facts ---------------------------------------------------------------------------------------------------

    def missing(self, digests: Iterable[str]) -> frozenset[str]:
        """Return those of the addresses that no stored fact has."""
        wanted = frozenset(digests)
        with self._reading() as connection:
            return wanted - _kinds(connection, wanted).keys()

    def put_facts(self, records: Sequence[FactRecord]) -> int:
        """Store facts; those already there are left alone. Returns how many were new."""
        offered = {record.digest: record for record in records}
        if not offered:
            return 0

        def work(connection: Connection) -> int:
            stored = _kinds(connection, offered)
            # In order of address, so that two collectors which store the same facts never wait for each other in turn.
            fresh = [offered[digest] for digest in sorted(offered.keys() - stored.keys())]
            if not fresh:
                return 0
            facts = {
                record.digest: record.fact if record.fact is not None else decode_fact(record.kind, record.payload)
                for record in fresh
            }
            now = self._clock()
            new = self._insert_missing(
                connection,
                FACTS,
                [
                    {"digest": record.digest, "kind": record.kind.value, "payload": record.payload, "first_seen": now}
                    for record in fresh
                ],
            )
            builds = [rows.build_row(digest, one) for digest, one in facts.items() if isinstance(one, Build)]
            self._insert_missing(connection, BUILDS, builds)
            platforms = [
                rows.platform_row(digest, fact) for digest, fact in facts.items() if isinstance(fact, Platform)
            ]
            self._insert_missing(connection, PLATFORMS, platforms)
            return new

        return self._transact(work)

    def facts(self, digests: Iterable[str]) -> Mapping[str, Fact]:
        """Return the decoded facts of those addresses that are stored."""
        found: dict[str, Fact] = {}
        with self._reading() as connection:
            for chunk in _chunks(set(digests)):
                query = select(FACTS.c.digest, FACTS.c.kind, FACTS.c.payload).where(FACTS.c.digest.in_(chunk))
                for row in connection.execute(query):
                    found[row.digest] = self._decode(row.digest, row.kind, row.payload)
        return found

    # --- reports -------------------------------------------------------------------------------------------------

    def apply_reports(self, reports: Sequence[ReceivedReport]) -> list[ReportOutcome]:
        """Take reports in order, in one transaction; see the contract for the outcomes."""
        if not reports:
            return []
        return self._transact(lambda connection: self._apply(connection, reports))

    def _apply(self, connection: Connection, reports: Sequence[ReceivedReport]) -> list[ReportOutcome]:
        known = self._lock_hosts(connection, {received.host_id for received in reports})
        material = self._material(connection, _changed_inventories(known, reports))
        outcomes: list[ReportOutcome] = []
        # Hosts whose facts did not change are written together at the end: they are nearly all.
        touched: dict[str, dict[str, object]] = {}
        running: dict[str, dict[str, object]] = {}
        for received in reports:
            before = known.get(received.host_id)
            if before is not None and _is_settled(received, before):
                outcomes.append(())
                continue
            unknown = _unknown_processes(received.report, before)
            if before is not None and before.inventory == received.report.inventory:
                if unknown:
                    outcomes.append(unknown)
                    continue
                after = _advance(before, received)
                touched[received.host_id] = {"key": received.host_id} | _report_columns(received, after)
            else:
                refusal = _check(received.report.inventory, material)
                if isinstance(refusal, tuple):
                    refusal += unknown
                if refusal:
                    outcomes.append(refusal)
                    continue
                touched.pop(received.host_id, None)
                after = self._change_host(connection, received, before, material)
            if after.processes_digest != (None if before is None else before.processes_digest):
                running[received.host_id] = {"key": received.host_id} | rows.process_values(received.report)
            known[received.host_id] = after
            outcomes.append(())
        for changes in (touched, running):
            if changes:
                connection.execute(_UPDATE_HOST, [changes[host_id] for host_id in sorted(changes)])
        return outcomes

    def _lock_hosts(self, connection: Connection, host_ids: Iterable[str]) -> dict[str, _Known]:
        columns = [HOSTS.c[name] for name in ("host_id", *_Known.__dataclass_fields__)]
        known: dict[str, _Known] = {}
        for chunk in _chunks(sorted(host_ids)):
            # In order of id, so that two collectors never wait for each other in turn; SQLite has one writer anyway.
            query = select(*columns).where(HOSTS.c.host_id.in_(chunk)).order_by(HOSTS.c.host_id).with_for_update()
            for host_id, *values in connection.execute(query):
                known[host_id] = _Known(*values)
        return known

    def _material(self, connection: Connection, digests: Iterable[str]) -> _Material:
        payloads = _payloads(connection, digests)
        kinds = {digest: FactKind(kind) for digest, (kind, _) in payloads.items()}
        inventories: dict[str, Inventory] = {}
        for digest, (kind, payload) in payloads.items():
            fact = self._decode(digest, kind, payload)
            if isinstance(fact, Inventory):
                inventories[digest] = fact
        kinds |= _kinds(connection, {reference for one in inventories.values() for reference in one.references})
        installs: dict[str, InstallSet] = {}
        roots: dict[str, RootSet] = {}
        wanted = {one.installs for one in inventories.values() if kinds.get(one.installs) is FactKind.INSTALL_SET}
        wanted |= {one.roots for one in inventories.values() if one.roots and kinds.get(one.roots) is FactKind.ROOT_SET}
        for digest, (kind, payload) in _payloads(connection, wanted).items():
            fact = self._decode(digest, kind, payload)
            if isinstance(fact, InstallSet):
                installs[digest] = fact
            elif isinstance(fact, RootSet):
                roots[digest] = fact
        kinds |= _kinds(connection, {reference for one in roots.values() for reference in one.references})
        return _Material(kinds, inventories, installs, roots)

    def _change_host(
        self, connection: Connection, received: ReceivedReport, before: _Known | None, material: _Material
    ) -> _Known:
        digest = received.report.inventory
        inventory = material.inventories[digest]
        hostname = inventory.host.hostname
        if before is None:
            moment = received.received_at
            after = _Known(
                name=_free_name(connection, hostname, received.host_id),
                hostname=hostname,
                inventory=digest,
                installs=inventory.installs,
                report_id=received.report.report_id,
                scanned_at=received.report.scanned_at,
                first_report=moment,
                last_report=moment,
                seen_until=moment,
                processes_digest=received.report.processes_digest,
            )
        else:
            name = before.name
            if before.hostname != hostname:
                name = _free_name(connection, hostname, received.host_id)
            after = replace(
                _advance(before, received), name=name, hostname=hostname, inventory=digest, installs=inventory.installs
            )
        values = rows.host_values(digest, inventory) | _report_columns(received, after) | {"name": after.name}
        if before is None:
            connection.execute(_INSERT_HOST, {"host_id": received.host_id} | values)
        else:
            connection.execute(_UPDATE_HOST, {"key": received.host_id} | values)
        if before is not None:
            connection.execute(_END_INVENTORY, {"host": received.host_id, "moment": after.seen_until})
        connection.execute(
            _INSERT_INVENTORY, {"host_id": received.host_id, "inventory": digest, "first_seen": after.seen_until}
        )
        if before is None or before.installs != inventory.installs:
            last_seen = after.seen_until if before is None else before.seen_until
            self._record_installs(
                connection, received.host_id, material.installs[inventory.installs], last_seen, after.seen_until
            )
        return after

    def _record_installs(
        self, connection: Connection, host_id: str, installs: InstallSet, last_seen: datetime, moment: datetime
    ) -> None:
        """End the intervals of installs that are gone or changed, and open those of installs that are new."""
        arriving = {(install.root, install.path): install for install in installs.installs}
        ending: list[dict[str, object]] = []
        for interval_id, root, path, *content in connection.execute(_FIND_OPEN_INTERVALS, {"host_id": host_id}):
            install = arriving.get((root, path))
            if install is not None and rows.install_content(install) == tuple(content):
                del arriving[root, path]
            else:
                ending.append({"key": interval_id, "last_seen": last_seen, "gone_at": moment})
        if ending:
            connection.execute(_END_INTERVAL, ending)
        libraries: dict[str, CryptoLibrary] = {}
        opening: list[dict[str, object]] = []
        for (root, path), install in arriving.items():
            values = dict(zip(rows.INTERVAL_CONTENT, rows.install_content(install), strict=True))
            if install.crypto.library is not None:
                libraries[str(values["crypto_library"])] = install.crypto.library
            opening.append({"host_id": host_id, "root": root, "path": path, "first_seen": moment, **values})
        self._insert_missing(
            connection,
            CRYPTO_LIBRARIES,
            [rows.crypto_library_row(digest, libraries[digest]) for digest in sorted(libraries)],
        )
        if opening:
            connection.execute(_INSERT_INTERVAL, opening)

    # --- what is known of hosts ----------------------------------------------------------------------------------

    def host_stamps(self) -> list[HostStamp]:
        """Return the stamp of every host, sorted by name."""
        query = select(HOSTS.c.host_id, HOSTS.c.name, HOSTS.c.inventory, HOSTS.c.last_report)
        with self._reading() as connection:
            # The driver's own rows, for of 100,000 nearly all are the same as at the last scrape.
            found = _driver_rows(connection, query)
        stamps = self._stamps.look(found)
        # By code point, on every database alike: PostgreSQL would order by its own locale.
        stamps.sort(key=_NAME_OF)
        return stamps

    def hosts(self, host_ids: Iterable[str] | None = None) -> list[HostState]:
        """Return the hosts with these ids (all, without), sorted by name."""
        # What runs is read for one host at a time: it is large, and nothing that is told of many hosts needs it.
        query = select(*_LISTED, FACTS.c.payload).join(FACTS, FACTS.c.digest == HOSTS.c.inventory)
        states: list[HostState] = []
        with self._reading() as connection:
            if host_ids is None:
                states = [self._state(row) for row in connection.execute(query)]
            else:
                for chunk in _chunks(set(host_ids)):
                    states += [self._state(row) for row in connection.execute(query.where(HOSTS.c.host_id.in_(chunk)))]
        return sorted(states, key=lambda state: state.name)

    def find_host(self, name_or_id: str) -> HostState | None:
        """Return the host with this id or display name; an id goes first, so that no hostname can hide a host."""
        query = select(HOSTS, FACTS.c.payload).join(FACTS, FACTS.c.digest == HOSTS.c.inventory)
        with self._reading() as connection:
            for column in (HOSTS.c.host_id, HOSTS.c.name):
                row = connection.execute(query.where(column == name_or_id)).one_or_none()
                if row is not None:
                    return self._state(row, row.processes)
        return None

    def intervals(self, host_id: str) -> list[InstallInterval]:
        """Return the history of one host's installs, sorted by root, path and first_seen."""
        table = INSTALL_INTERVALS
        query = (
            select(table, HOSTS.c.seen_until, *(c for c in CRYPTO_LIBRARIES.c if c.name != "digest"))
            .join(HOSTS, HOSTS.c.host_id == table.c.host_id)
            .outerjoin(CRYPTO_LIBRARIES, CRYPTO_LIBRARIES.c.digest == table.c.crypto_library)
            .where(table.c.host_id == host_id)
        )
        with self._reading() as connection:
            found = [(row["id"], rows.interval_of(row)) for row in connection.execute(query).mappings()]
        # Two intervals of one path start at the same moment when two reports came within a microsecond.
        found.sort(key=lambda pair: (pair[1].root, pair[1].path, pair[1].first_seen, pair[0]))
        return [interval for _, interval in found]

    def inventory_history(self, host_ids: Iterable[str]) -> Mapping[str, tuple[InventoryInterval, ...]]:
        """Return which facts each of these hosts had when, the oldest first."""
        table = INVENTORY_INTERVALS
        query = select(table.c.host_id, table.c.inventory, table.c.first_seen, table.c.gone_at).order_by(table.c.id)
        found: dict[str, list[InventoryInterval]] = {}
        with self._reading() as connection:
            for chunk in _chunks(set(host_ids)):
                for host_id, *interval in connection.execute(query.where(table.c.host_id.in_(chunk))):
                    found.setdefault(host_id, []).append(InventoryInterval(*interval))
        return {host_id: tuple(intervals) for host_id, intervals in found.items()}

    def stamps_at(self, moment: datetime) -> list[HostStamp]:
        """Return the stamp of every host as it was at a moment, sorted by today's name."""
        table = INVENTORY_INTERVALS
        query = (
            select(HOSTS.c.host_id, HOSTS.c.name, table.c.inventory, table.c.first_seen)
            .join(HOSTS, HOSTS.c.host_id == table.c.host_id)
            .where(table.c.first_seen <= moment, (table.c.gone_at.is_(None)) | (table.c.gone_at > moment))
        )
        with self._reading() as connection:
            stamps = [HostStamp(*row) for row in connection.execute(query)]
        return sorted(stamps, key=lambda stamp: stamp.name)

    # --- labels --------------------------------------------------------------------------------------------------

    def labels(self, host_ids: Iterable[str] | None = None) -> Mapping[str, Mapping[str, str]]:
        """Return the labels of every host, or of these, that has any, by host id."""
        if host_ids is None:
            return self._all_labels()
        query = select(HOST_LABELS.c.host_id, HOST_LABELS.c.key, HOST_LABELS.c.value)
        with self._reading() as connection:
            return _labels_of(
                row
                for one in _chunks(host_ids)
                for row in connection.execute(query.where(HOST_LABELS.c.host_id.in_(one)))
            )

    def _all_labels(self) -> Mapping[str, Mapping[str, str]]:
        """Return the labels of every host that has any: the same object until a label changes.

        They are asked for at every scrape and hardly ever change, so the database puts them into one text, which is
        read at once and compared with the last one; no label holds its separators.
        """
        label = HOST_LABELS.c.host_id + _FIELD + HOST_LABELS.c.key + _FIELD + HOST_LABELS.c.value
        order = HOST_LABELS.c.host_id, HOST_LABELS.c.key
        joined = (
            func.group_concat(label, _RECORD)
            if self._address.path is not None
            else func.string_agg(label, postgresql.aggregate_order_by(literal(_RECORD), *order))
        )
        with self._reading() as connection:
            text = connection.execute(select(joined)).scalar_one() or ""
        last, labels = self._labels
        if text != last:
            told = [tuple(record.split(_FIELD)) for record in text.split(_RECORD)] if text else []
            if any(len(row) != 3 for row in told):
                raise corrupt(self._address.shown, "a label of a host has a character that no label can have")
            labels = _labels_of(told)
            self._labels = text, labels
        return labels

    def set_labels(self, host_id: str, labels: Mapping[str, str]) -> None:
        """Give a host these labels."""
        values = [{"host_id": host_id, "key": key, "value": labels[key]} for key in sorted(labels)]
        if not values:
            return
        statement = self._insert(HOST_LABELS)
        statement = statement.on_conflict_do_update(
            index_elements=list(HOST_LABELS.primary_key), set_={"value": statement.excluded.value}
        )
        self._transact(lambda connection: connection.execute(statement, values))

    def remove_labels(self, host_id: str, keys: Collection[str]) -> int:
        """Take labels from a host."""

        def work(connection: Connection) -> int:
            removed = 0
            for key in sorted(set(keys)):
                chosen = HOST_LABELS.c.host_id == host_id, HOST_LABELS.c.key == key
                removed += connection.execute(delete(HOST_LABELS).where(*chosen)).rowcount
            return removed

        return self._transact(work)

    def check(self) -> None:
        """Raise StoreError when the database can't be written right now (health): by writing one row."""
        now = self._clock()

        def work(connection: Connection) -> None:
            if not self._insert_missing(connection, HEALTH, [{"id": 1, "checked_at": now}]):
                connection.execute(update(HEALTH).values(checked_at=now))

        self._transact(work)

    # --- transactions --------------------------------------------------------------------------------------------

    def _transact(self, work: Callable[[Connection], T]) -> T:
        for attempt in count(1):
            try:
                with self._taking_turns(), self._writer.begin() as connection:
                    return work(connection)
            except SQLAlchemyError as error:
                if attempt < _ATTEMPTS and is_transient(error):
                    time.sleep(0.002 * 2**attempt)
                    continue
                raise store_error(error, self._address) from error
        raise AssertionError  # count() has no end

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        self._refuse_closed()
        try:
            with self._reader.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise store_error(error, self._address) from error

    @contextmanager
    def _taking_turns(self) -> Iterator[None]:
        with self._turn or nullcontext():
            self._refuse_closed()
            yield

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StoreError(f"{self._address.shown}: the store is closed")

    def _insert_missing(self, connection: Connection, table: Table, values: list[dict[str, object]]) -> int:
        """Insert rows whose primary key is not there yet; returns how many were."""
        if not values:
            return 0
        statement = self._insert(table).on_conflict_do_nothing(index_elements=list(table.primary_key))
        if self._address.path is not None:
            # SQLite knows RETURNING only since 3.35, and its driver counts the rows of all statements together.
            return connection.execute(statement, values).rowcount
        return len(connection.execute(statement.returning(*table.primary_key), values).all())

    def _decode(self, digest: str, kind: str, payload: bytes) -> Fact:
        try:
            return decode_fact(FactKind(kind), payload)
        except ValueError as error:
            raise corrupt(self._address.shown, f"fact {digest}: {error}") from error

    def _state(self, row: Any, processes: bytes | None = None) -> HostState:
        inventory = self._decode(row.inventory, FactKind.INVENTORY.value, row.payload)
        if not isinstance(inventory, Inventory):  # decode_fact returns what the kind says
            raise TypeError(type(inventory).__name__)
        try:
            return rows.host_state_of(row, inventory, processes)
        except InvalidFactError as error:
            raise corrupt(self._address.shown, f"host {row.host_id}: {error}") from error


# --- one report -------------------------------------------------------------------------------------------------


def _is_settled(received: ReceivedReport, known: _Known) -> bool:
    """Tell whether a report has nothing to add: it is the one stored, or a straggler.

    A straggler was overtaken on its way by a newer report, which it must not undo: an agent gave up on a call and made
    another before the first was worked off. One clock alone that was set back does not make a straggler, nor do both
    by more than a call can take.
    """
    if known.report_id == received.report.report_id:
        return True
    behind = known.last_report - received.received_at
    return timedelta(0) < behind <= _STRAGGLER and received.report.scanned_at < known.scanned_at


def _advance(known: _Known, received: ReceivedReport) -> _Known:
    """Return what is known of a host after one more report with the same facts."""
    return replace(
        known,
        report_id=received.report.report_id,
        scanned_at=received.report.scanned_at,
        first_report=min(known.first_report, received.received_at),
        last_report=received.received_at,
        seen_until=max(known.seen_until, received.received_at),
        processes_digest=received.report.processes_digest,
    )


def _unknown_processes(report: Report, known: _Known | None) -> tuple[str, ...]:
    """Return the digest of the process set where the report only names it and the host's row has another one."""
    digest = report.processes_digest
    if digest is None or report.processes is not None or (known is not None and known.processes_digest == digest):
        return ()
    return (digest,)


def _changed_inventories(known: Mapping[str, _Known], reports: Iterable[ReceivedReport]) -> set[str]:
    """Return the inventories that some host changes to, if every report of the batch is taken."""
    current = {host_id: one.inventory for host_id, one in known.items()}
    changed = set()
    for received in reports:
        if current.get(received.host_id) != received.report.inventory:
            changed.add(received.report.inventory)
            current[received.host_id] = received.report.inventory
    return changed


def _report_columns(received: ReceivedReport, known: _Known) -> dict[str, object]:
    return rows.report_values(received) | {
        "first_report": known.first_report,
        "last_report": known.last_report,
        "seen_until": known.seen_until,
    }


def _check(digest: str, material: _Material) -> ReportOutcome:
    """Return what keeps an inventory from being taken: missing addresses, or a contradiction; empty when nothing."""
    kind = material.kinds.get(digest)
    if kind is None:
        return (digest,)
    inventory = material.inventories.get(digest)
    if inventory is None:
        return InconsistentFactsError("inventory", f"names a fact of kind {kind}: {digest}")
    wanted = [
        ("platform", inventory.platform, FactKind.PLATFORM),
        ("installs", inventory.installs, FactKind.INSTALL_SET),
    ]
    wanted += [("builds", build, FactKind.BUILD) for build in inventory.builds]
    wanted += [(name, digest, kind) for name, digest, kind in _sets(inventory) if digest is not None]
    wanted += [("changelogs", changelog, FactKind.CHANGELOG) for changelog in inventory.changelogs]
    roots = material.roots.get(inventory.roots or "", RootSet())
    wanted += [("roots.platform", platform, FactKind.PLATFORM) for platform in roots.references]
    for name, reference, right in wanted:
        found = material.kinds.get(reference, right)
        if found is not right:
            return InconsistentFactsError(f"inventory.{name}", f"names a fact of kind {found}: {reference}")
    missing = tuple(dict.fromkeys(reference for _, reference, _ in wanted if reference not in material.kinds))
    if missing:
        return missing
    listed = frozenset(inventory.builds)
    for install in material.installs[inventory.installs].installs:
        if install.build is not None and install.build not in listed:
            return InconsistentFactsError(
                "inventory.builds", f"does not list the build {install.build} of the install {install.path}"
            )
    return ()


def _sets(inventory: Inventory) -> tuple[tuple[str, str | None, FactKind], ...]:
    """Return the sets that an inventory may name: newer agents have them."""
    return (
        ("crypto_copies", inventory.crypto_copies, FactKind.CRYPTO_COPY_SET),
        ("tools", inventory.tools, FactKind.TOOL_SET),
        ("roots", inventory.roots, FactKind.ROOT_SET),
    )


def _free_name(connection: Connection, hostname: str, host_id: str) -> str:
    """Return the display name for a host: its hostname, or as much of its id behind it as makes it unique."""
    for name in _candidate_names(hostname, host_id):
        if connection.execute(_FIND_NAME, {"name": name, "host_id": host_id}).first() is None:
            return name
    raise AssertionError  # the candidates have no end


def _candidate_names(hostname: str, host_id: str) -> Iterator[str]:
    yield hostname
    for length in range(6, len(host_id), 4):
        yield f"{hostname}~{host_id[:length]}"
    yield f"{hostname}~{host_id}"
    for number in count(2):
        yield f"{hostname}~{host_id}~{number}"


# --- queries ----------------------------------------------------------------------------------------------------


class _StampMemory:
    """The stamps that were read last, by host: a row that is as it was then is given the same object again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[tuple[Any, ...], HostStamp]] = {}

    def look(self, found: Sequence[tuple[Any, ...]]) -> list[HostStamp]:
        """Return the stamps of rows that are all that there are; what has no row any more is let go."""
        with self._lock:
            known = self._known
            stamps = []
            for row in found:
                pair = known.get(row[0])
                if pair is None or pair[0] != row:
                    pair = known[row[0]] = row, rows.stamp_of(row)
                stamps.append(pair[1])
            if len(known) != len(stamps):
                self._known = {row[0]: known[row[0]] for row in found}
            return stamps


def _driver_rows(connection: Connection, query: Select[Any]) -> list[tuple[Any, ...]]:
    """Return the rows of a query as the driver gives them, without the types of the tables."""
    result = connection.execute(query)
    try:
        return list(map(tuple, result.cursor.fetchall()))
    except connection.dialect.loaded_dbapi.Error as error:
        # SQLAlchemy says so of rows that it fetches itself.
        raise DBAPIError(str(query), None, error) from error
    finally:
        result.close()


def _labels_of(found: Iterable[Sequence[str]]) -> dict[str, dict[str, str]]:
    """Return labels by host, keys sorted, from rows of host, key and value."""
    labels: dict[str, dict[str, str]] = {}
    for host_id, key, value in found:
        labels.setdefault(host_id, {})[key] = value
    # By code point, on every database alike; one by one, for of many hosts few are out of order.
    return {host_id: own if _is_sorted(own) else dict(sorted(own.items())) for host_id, own in labels.items()}


def _is_sorted(labels: Mapping[str, str]) -> bool:
    return all(before < after for before, after in pairwise(labels))


def _chunks(values: Iterable[T]) -> Iterator[list[T]]:
    everything = list(values)
    for start in range(0, len(everything), _CHUNK):
        yield everything[start : start + _CHUNK]


def _kinds(connection: Connection, digests: Iterable[str]) -> dict[str, FactKind]:
    found: dict[str, FactKind] = {}
    for chunk in _chunks(digests):
        query = select(FACTS.c.digest, FACTS.c.kind).where(FACTS.c.digest.in_(chunk))
        found |= {digest: FactKind(kind) for digest, kind in connection.execute(query)}
    return found


def _payloads(connection: Connection, digests: Iterable[str]) -> dict[str, tuple[str, bytes]]:
    found: dict[str, tuple[str, bytes]] = {}
    for chunk in _chunks(digests):
        query = select(FACTS.c.digest, FACTS.c.kind, FACTS.c.payload).where(FACTS.c.digest.in_(chunk))
        found |= {digest: (kind, payload) for digest, kind, payload in connection.execute(query)}
    return found


# --- opening ----------------------------------------------------------------------------------------------------


def _prepare_file(address: DatabaseAddress, *, create: bool) -> None:
    """Make the folder of a SQLite file where it is missing; only the owner may look into it."""
    path = address.path
    if path is None or path.exists():
        return
    if not create:
        raise StoreError(
            f"{address.shown}: there is no such database; check the name, or start libcensus-collector serve with it"
        )
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
    except FileNotFoundError:
        raise StoreError(
            f"{address.shown}: the folder {path.parent.parent} does not exist; create it, or name another place"
        ) from None
    except OSError as error:
        raise store_error_of_os(error, str(path.parent)) from error


def _make_file(address: DatabaseAddress) -> None:
    path = address.path
    if path is None:
        return
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise store_error_of_os(error, address.shown) from error


def _sqlite_engine(address: DatabaseAddress, *, writing: bool) -> Engine:
    def connect() -> sqlite3.Connection:
        # Transactions are begun by the engine below: the module's own way would begin some statements too late.
        connection = sqlite3.connect(
            str(address.path), timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            _configure_sqlite(connection, address, writing=writing)
        except BaseException:
            connection.close()
            raise
        return connection

    engine = create_engine(
        "sqlite+pysqlite://",
        creator=connect,
        poolclass=QueuePool,
        pool_size=1 if writing else 4,
        max_overflow=0 if writing else -1,
    )
    begin = "BEGIN IMMEDIATE" if writing else "BEGIN"

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _configure_sqlite(connection: sqlite3.Connection, address: DatabaseAddress, *, writing: bool) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreReadOnlyError(
            f"{address.shown}: SQLite cannot keep a write-ahead log here (it says {mode!r}); "
            "put the database on a local file system that can be written"
        )
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    # A log that grew while a long reader held it back is cut at the next chance, and does not keep its size for ever.
    connection.execute("PRAGMA journal_size_limit = 67108864")
    if not writing:
        connection.execute("PRAGMA query_only = ON")


def _postgresql_engine(address: DatabaseAddress) -> Engine:
    # A server that does not answer is told after ten seconds, unless the URL says otherwise.
    arguments = {} if "connect_timeout" in address.url.query else {"connect_timeout": 10}
    return create_engine(
        address.url,
        connect_args=arguments | {"application_name": "libcensus-collector"},
        pool_size=4,
        max_overflow=8,
        pool_pre_ping=True,
    )
