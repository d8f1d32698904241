"""What went wrong in a database, told to a person: one of the StoreErrors, naming the place and the remedy.

No error of SQLAlchemy or of a driver leaves the store, and no message holds a password: a database is always called by
its address's shown form.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from libcensus.collector.errors import (
    StoreBusyError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
)

if TYPE_CHECKING:
    from libcensus.collector.store.address import DatabaseAddress

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_TRANSIENT_STATES = frozenset({"40001", "40P01", "23505"})
"""Serialization failure, deadlock, and a unique violation: another collector was first, and the next try sees it."""


def is_transient(error: SQLAlchemyError) -> bool:
    """Tell whether the same transaction, run again, is expected to succeed."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _TRANSIENT_STATES


def store_error_of_os(error: OSError, place: str) -> StoreError:
    """Return what an operating system's refusal means for a file of the database."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return _full(place)
        case errno.EROFS | errno.EACCES | errno.EPERM:
            return _read_only(place)
        case errno.EISDIR:
            return StoreError(f"{place}: is a folder; name a file for the database")
        case errno.EEXIST | errno.ENOTDIR:
            return StoreError(f"{place}: is not a folder; name another place for the database")
        case errno.ELOOP:
            return StoreError(f"{place}: is a symbolic link, which is not followed here; remove it")
        case _:
            return StoreError(f"{place}: {os.strerror(error.errno or 0)}")


def store_error(error: SQLAlchemyError, address: DatabaseAddress) -> StoreError:
    """Return what a database's refusal means."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    if cause is None:
        return StoreError(f"{address.shown}: {_one_line(error)}")
    if address.path is not None:
        return sqlite_error(cause, address)
    return _postgresql_error(cause, address)


def sqlite_error(cause: BaseException, address: DatabaseAddress) -> StoreError:
    """Return what a refusal of SQLite's own driver means."""
    place = address.shown
    # https://www.sqlite.org/rescode.html; the name tells the extended code, its start the primary one.
    name = str(getattr(cause, "sqlite_errorname", ""))
    if name.startswith("SQLITE_FULL") or (name.startswith("SQLITE_IOERR") and _has_no_space(address)):
        return _full(place)
    if name.startswith("SQLITE_READONLY"):
        return _read_only(place)
    if name.startswith("SQLITE_CANTOPEN"):
        return StoreReadOnlyError(
            f"{place}: the database or a file beside it (-wal, -shm) cannot be opened; "
            "give this user the right to read and write the file and its folder"
        )
    if name.startswith("SQLITE_NOTADB"):
        return not_a_database(place)
    if name.startswith("SQLITE_CORRUPT") or "Could not decode to UTF-8" in str(cause):
        return corrupt(place, _one_line(cause))
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreBusyError(
            f"{place}: another program holds the database's lock; close it (a sqlite3 shell, a backup) and try again"
        )
    return StoreError(f"{place}: {_one_line(cause)} ({name or type(cause).__name__})")


def _postgresql_error(cause: BaseException, address: DatabaseAddress) -> StoreError:
    place = address.shown
    state = getattr(cause, "sqlstate", None) or ""
    said = _one_line(cause)
    if state == "53100":
        return StoreFullError(f"{place}: the server's disk is full; free space there ({said})")
    if state == "25006":
        return StoreReadOnlyError(f"{place}: the server takes no writes; connect to the primary ({said})")
    if state in {"XX001", "XX002"}:
        return corrupt(place, said)
    if state == "42501":
        return StoreError(f"{place}: this user lacks a permission; grant it, or make it the schema's owner ({said})")
    if state in {"28P01", "28000"}:
        return StoreError(f"{place}: the server refused the user; check user, password and pg_hba.conf ({said})")
    if state == "3D000":
        return StoreError(f"{place}: there is no such database; create it with createdb ({said})")
    if not state or state.startswith(("08", "57P")):
        return StoreError(f"{place}: cannot be reached; check that the server runs and its address is right ({said})")
    return StoreError(f"{place}: {said} ({state})")


def not_a_database(place: str) -> StoreCorruptError:
    """Return the error for a file that SQLite did not write."""
    return StoreCorruptError(
        f"{place}: is not a SQLite database, or its first page is damaged; name another file, or restore a backup"
    )


def corrupt(place: str, said: str) -> StoreCorruptError:
    """Return the error for damaged content."""
    return StoreCorruptError(
        f"{place}: the database is damaged ({said}); restore a backup, or move it away: agents send everything again"
    )


def _full(place: str) -> StoreFullError:
    return StoreFullError(f"{place}: no space left on its file system; free some, and reports are taken again")


def _read_only(place: str) -> StoreReadOnlyError:
    return StoreReadOnlyError(
        f"{place}: cannot be written; give this user the right to write the file and its folder, "
        "and check that the file system is not mounted read-only"
    )


def _has_no_space(address: DatabaseAddress) -> bool:
    """Tell whether the file system has less than a page left: SQLite then says no more than "I/O error"."""
    if address.path is None:
        return False
    try:
        free = os.statvfs(address.path.parent)
    except OSError:
        return False
    return free.f_bavail * free.f_frsize < 64 * 1024


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
