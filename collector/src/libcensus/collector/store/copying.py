"""A database as one file that any collector can take back: the copy that is in a backup, and its way home.

The copy is a SQLite file with the tables of the version that made it, whatever kind of database it was made of. So it
moves between SQLite and PostgreSQL, an old one is brought up to date by the migrations, and ``sqlite3`` can look into
it. It shows one moment: everything that was acknowledged before copying began, and nothing by half.

Taking it back takes effect as a whole or not at all: a SQLite file is replaced by one ``rename``, and PostgreSQL's rows
by one transaction.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sqlalchemy import column, create_engine, func, insert, inspect, select, table, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from libcensus.collector.errors import StoreBusyError, StoreCorruptError, StoreError
from libcensus.collector.pki.ownership import give_to_owner_of_folder
from libcensus.collector.store.address import DatabaseAddress
from libcensus.collector.store.contract import Restoration
from libcensus.collector.store.failure import corrupt, sqlite_error, store_error, store_error_of_os
from libcensus.collector.store.lock import DatabaseLock, take_alone
from libcensus.collector.store.schema import bring_up_to_date, known_revisions, require_up_to_date
from libcensus.collector.store.sql import postgresql_engine, sqlite_engine
from libcensus.collector.store.tables import (
    HEALTH,
    INSTALL_INTERVALS,
    INVENTORY_INTERVALS,
    METADATA,
    RESTORES,
    REVISION,
    VERSION_TABLE,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime
    from types import TracebackType

    from sqlalchemy import Connection

    Progress = Callable[[float], None]

_PAGES = 1024
"""Pages of SQLite that are copied between two looks at the progress: 4 MiB."""

_ROWS = 2000
"""Rows that are read from one database and written to the other at a time."""

_BUSY_SECONDS = 10.0
_OWN = (HEALTH.name, RESTORES.name)
"""Tables that say nothing about a fleet: a database with rows in these alone is empty."""


@dataclass(frozen=True, slots=True)
class DatabaseCopy:
    """What was copied: ``kind`` of the database, its revision, rows by table, and the moment that the copy shows."""

    kind: str
    revision: str
    rows: Mapping[str, int]
    taken_at: datetime


def copy_database(url: str, target: Path, progress: Progress, clock: Callable[[], datetime]) -> DatabaseCopy:
    """Copy the database at ``url`` into a new SQLite file, beside the collectors that use it, and check the copy.

    ``progress`` is called with the share that is done. ``taken_at`` is a moment before the one that the copy shows.
    Raises ConfigurationError, and StoreError where the database cannot be read, is of another version, or damaged.
    """
    address, taken_at = DatabaseAddress.parse(url), clock()
    _make_private(target)
    if address.path is not None:
        kind, revision = "sqlite", _copy_sqlite(address, target, progress)
    else:
        kind, revision = "postgresql", _copy_postgresql(address, target, progress)
    return DatabaseCopy(kind, revision, _check_copy(address, target), taken_at)


def _make_private(target: Path) -> None:
    try:
        os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise store_error_of_os(error, str(target)) from error


def _copy_sqlite(address: DatabaseAddress, target: Path, progress: Progress) -> str:
    if address.path is None or not address.path.exists():
        raise StoreError(f"{address.shown}: there is no such database; check the name")
    into = DatabaseAddress.parse(str(target))
    try:
        with (
            closing(sqlite3.connect(address.path, timeout=_BUSY_SECONDS, isolation_level=None)) as source,
            closing(sqlite3.connect(target, isolation_level=None)) as copy,
        ):
            # All steps of the copy read in this one transaction: reports that come meanwhile neither wait for it nor
            # get into it.
            source.execute("BEGIN")
            revision = _sqlite_revision(source)
            _require_known(revision, address)
            source.backup(copy, pages=_PAGES, progress=lambda _, left, total: progress(1 - left / max(1, total)))
            source.execute("ROLLBACK")
            # One file, without a log beside it.
            copy.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        # Only the copy is written, so a lack of space is one there.
        raise sqlite_error(error, into if _is_about_writing(error) else address) from error
    return revision or ""


def _is_about_writing(error: sqlite3.Error) -> bool:
    return str(getattr(error, "sqlite_errorname", "")).startswith(("SQLITE_FULL", "SQLITE_IOERR_WRITE"))


def _sqlite_revision(connection: sqlite3.Connection) -> str | None:
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (VERSION_TABLE,)).fetchone()
    if found is None:
        return None
    row = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()  # noqa: S608 - a constant
    return None if row is None else str(row[0])


def _require_known(revision: str | None, address: DatabaseAddress) -> None:
    if revision is None:
        raise StoreError(f"{address.shown}: holds no census; check the name")
    if revision not in known_revisions():
        raise StoreError(
            f"{address.shown}: was written by a newer version of libcensus-collector (revision {revision}; this one "
            f"knows up to {REVISION}); use that version"
        )


def _copy_postgresql(address: DatabaseAddress, target: Path, progress: Progress) -> str:
    into = DatabaseAddress.parse(str(target))
    with _failures(address), ExitStack() as undo:
        source = postgresql_engine(address)
        undo.callback(source.dispose)
        reading = undo.enter_context(source.connect()).execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        require_up_to_date(reading, address)
        with _writing_to(into) as writing:
            _copy_rows(reading, writing, progress)
    _leave_one_file(into)
    return REVISION


def _copy_rows(reading: Connection, writing: Connection, progress: Progress) -> None:
    tables = METADATA.sorted_tables
    total = max(1, sum(reading.execute(select(func.count()).select_from(one)).scalar_one() for one in tables))
    done = 0
    for one in tables:
        found = reading.execution_options(yield_per=_ROWS).execute(select(one))
        for rows in found.partitions():
            writing.execute(insert(one), [dict(row._mapping) for row in rows])  # noqa: SLF001 - SQLAlchemy's public name
            done += len(rows)
            progress(done / total)


@contextmanager
def _writing_to(address: DatabaseAddress) -> Iterator[Connection]:
    """Give a transaction in a SQLite file that has the tables of this version."""
    with _failures(address):
        engine = sqlite_engine(address, writing=True)
        try:
            with engine.begin() as connection:
                bring_up_to_date(connection, address, create=True)
                yield connection
        finally:
            engine.dispose()


@contextmanager
def _failures(address: DatabaseAddress) -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise store_error(error, address) from error


def _leave_one_file(address: DatabaseAddress) -> None:
    """Put what is in a SQLite file's log into the file, durably, and remove the log."""
    try:
        with closing(sqlite3.connect(address.shown, timeout=_BUSY_SECONDS, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
        with Path(address.shown).open("rb") as file:
            os.fsync(file.fileno())
    except sqlite3.Error as error:
        raise sqlite_error(error, address) from error
    except OSError as error:
        raise store_error_of_os(error, address.shown) from error


def _check_copy(address: DatabaseAddress, copy: Path) -> Mapping[str, int]:
    """Return the rows by table; a copy that could not be taken back is an error now, and not when it is needed."""
    try:
        with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
            for check in ("PRAGMA quick_check(1)", "PRAGMA foreign_key_check"):
                found = connection.execute(check).fetchone()
                if found is not None and found != ("ok",):
                    raise corrupt(address.shown, " ".join(str(part) for part in found))
            names = [str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            counts = {
                name: int(connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0])  # noqa: S608 - our tables
                for name in sorted(names)
                if name in METADATA.tables
            }
    except sqlite3.Error as error:
        raise sqlite_error(error, address) from error
    return counts


# --- taking it back -------------------------------------------------------------------------------------------------


class RestoreTarget:
    """A database that is about to be replaced, kept from all collectors; made by :meth:`open`, used in a ``with``.

    :meth:`prepare`, then :meth:`commit`. What is left without the second changes nothing.
    """

    def __init__(self, address: DatabaseAddress, undo: ExitStack, held: int, connection: Connection | None) -> None:
        self._address = address
        self._undo = undo
        self._connection = connection
        self._staged: Path | None = None
        self.shown = address.shown
        self.holds = held
        """How many rows of a census are in there now."""

    @classmethod
    def open(cls, url: str) -> Self:
        """Keep collectors from the database at ``url``, which need not be there, and look what is in it.

        Raises StoreBusyError where a collector uses it, StoreError where it is of a newer version or another program.
        """
        address = DatabaseAddress.parse(url)
        with ExitStack() as undo, _failures(address):
            if address.path is None:
                engine = postgresql_engine(address)
                undo.callback(engine.dispose)
                connection = undo.enter_context(engine.connect())
                if not take_alone(connection):
                    raise StoreBusyError(
                        f"{address.shown}: a collector uses this database; stop every collector on it and try again"
                    )
                bring_up_to_date(connection, address, create=True)
                held = _census_rows(connection)
                return cls(address, undo.pop_all(), held, connection)
            _make_folder(address.path)
            lock = DatabaseLock.take(address.path)
            undo.callback(lock.release)
            staged_path(address.path).unlink(missing_ok=True)
            held = _held_in_file(address, address.path)
            return cls(address, undo.pop_all(), held, None)

    def prepare(self, copy: Path, restoration: Restoration, progress: Progress) -> None:
        """Bring a copy to this version and beside, or into, the database, without changing what others see.

        ``copy`` is a file of its own, which is changed or moved away. Raises StoreError.
        """
        source = DatabaseAddress.parse(str(copy))
        with _writing_to(source) as connection:
            _note(connection, restoration)
        _leave_one_file(source)
        if self._connection is None:
            self._prepare_file(copy)
        else:
            with _failures(self._address):
                _replace_rows(source, self._connection, progress)

    def commit(self) -> None:
        """Put the copy into the place of the database, in one step and durably. Raises StoreError."""
        if self._connection is not None:
            with _failures(self._address):
                self._connection.commit()
            return
        path, staged = self._address.path, self._staged
        if path is None or staged is None:
            raise AssertionError("prepare comes first")
        try:
            if path.exists():
                # Its log would be taken for the new file's; and nobody else may have it open now.
                _leave_one_file(self._address)
            staged.replace(path)
            self._staged = None
            _sync_folder(path.parent)
        except OSError as error:
            raise store_error_of_os(error, str(path)) from error

    def __enter__(self) -> Self:
        """Return the target itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Forget what was prepared and not committed, and let collectors in."""
        if self._staged is not None:
            self._staged.unlink(missing_ok=True)
        self._undo.close()

    def _prepare_file(self, copy: Path) -> None:
        path = self._address.path
        if path is None:
            raise AssertionError
        staged = staged_path(path)
        try:
            copy.replace(staged)
            self._staged = staged
            descriptor = os.open(staged, os.O_RDWR | os.O_CLOEXEC)
            try:
                os.fchmod(descriptor, 0o600)
                give_to_owner_of_folder(descriptor, path)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise store_error_of_os(error, str(staged)) from error


def staged_path(database: Path) -> Path:
    """Return where the file lies that is about to take a SQLite file's place: beside it."""
    return database.with_name(f".{database.name}.restoring")


def last_restoration(url: str) -> Restoration | None:
    """Return the backup that took a database's place last; nothing where there was none, or no database.

    Raises StoreError where it cannot be read.
    """
    address = DatabaseAddress.parse(url)
    if address.path is not None and not address.path.exists():
        return None
    engine = (
        postgresql_engine(address)
        if address.path is None
        else create_engine(address.url, poolclass=NullPool, connect_args={"timeout": _BUSY_SECONDS})
    )
    try:
        with _failures(address), engine.connect() as connection:
            if not inspect(connection).has_table(RESTORES.name):
                return None
            row = connection.execute(select(RESTORES).order_by(RESTORES.c.restored_at.desc()).limit(1)).first()
    finally:
        engine.dispose()
    return None if row is None else Restoration(row.restored_at, row.taken_at)


def check_revision(revision: str, name: str) -> None:
    """Raise StoreError where a copy was made by a newer version; ``name`` is what holds it."""
    if revision not in known_revisions():
        raise StoreError(
            f"{name}: was made by a newer version of libcensus-collector (revision {revision!r}; this one knows up to "
            f"{REVISION}); install that version, or a newer one, and restore with it"
        )


def _held_in_file(address: DatabaseAddress, path: Path) -> int:
    if not path.exists() or path.stat().st_size == 0:
        return 0
    engine = create_engine(address.url, poolclass=NullPool, connect_args={"timeout": _BUSY_SECONDS})
    try:
        with _failures(address), engine.connect() as connection:
            names = inspect(connection).get_table_names()
            if not names:
                return 0
            if VERSION_TABLE not in names:
                raise StoreError(
                    f"{address.shown}: belongs to another program (it has the table {min(names)!r} and no record of "
                    "libcensus); name another database"
                )
            revision = connection.execute(select(column("version_num")).select_from(table(VERSION_TABLE))).scalar()
            _require_known(revision, address)
            return _census_rows(connection)
    except StoreCorruptError as error:
        raise StoreCorruptError(
            f"{address.shown}: cannot be read, and what cannot be read is not replaced; move it away, with what lies "
            f"beside it (-wal, -shm), and restore again ({error})"
        ) from None
    finally:
        engine.dispose()


def _census_rows(connection: Connection) -> int:
    present = set(inspect(connection).get_table_names())
    tables = [one for one in METADATA.sorted_tables if one.name in present and one.name not in _OWN]
    return sum(connection.execute(select(func.count()).select_from(one)).scalar_one() for one in tables)


def _replace_rows(source: DatabaseAddress, writing: Connection, progress: Progress) -> None:
    # Others see what was there until the transaction ends.
    writing.execute(text(f"TRUNCATE {', '.join(METADATA.tables)}"))
    engine = sqlite_engine(source, writing=False)
    try:
        with engine.connect() as reading:
            _copy_rows(reading, writing, progress)
    finally:
        engine.dispose()
    for one in (INSTALL_INTERVALS, INVENTORY_INTERVALS):
        # Rows came with their numbers; the next one must not get a number that is taken.
        highest = writing.execute(select(func.max(one.c.id))).scalar()
        sequence = func.pg_get_serial_sequence(one.name, "id")
        writing.execute(select(func.setval(sequence, highest or 1, highest is not None)))


def _note(connection: Connection, restoration: Restoration) -> None:
    values = {"restored_at": restoration.restored_at, "taken_at": restoration.taken_at}
    connection.execute(insert(RESTORES), values)


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise store_error_of_os(error, str(path.parent)) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
