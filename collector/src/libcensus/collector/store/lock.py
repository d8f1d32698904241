"""Who may replace a database: nobody, while a collector uses it.

A SQLite file belongs to one collector: an advisory lock beside the database, with the holder's process id inside. The
kernel drops the lock when the process ends, however it ends, so a stale lock cannot exist; the file itself stays,
because removing it would let two collectors lock two different files of the same name.

A PostgreSQL database is shared: each connection of each collector holds a lock that lets others have it too, and a
restore takes it for itself alone. The server drops it with the connection.
"""

from __future__ import annotations

import errno
import fcntl
import os
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import event, func, select

from libcensus.collector.errors import StoreBusyError
from libcensus.collector.pki.ownership import give_to_owner_of_folder
from libcensus.collector.store.failure import store_error_of_os

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection, Engine

_SHARED = 0x6C63_7275
"""``lcru`` in ASCII: the first half of the key of the lock that collectors share; the second tells the schema."""


class DatabaseLock:
    """The right to write to one SQLite file."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, database: Path) -> Self:
        """Lock a SQLite file for this process; raises StoreBusyError, naming the holder, where another has it."""
        place = database.with_name(database.name + ".lock")
        try:
            descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise store_error_of_os(error, str(place)) from error
        try:
            # Made by root for a command, it would keep the collector's user out.
            give_to_owner_of_folder(descriptor, place)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise StoreBusyError(
                    f"{database}: another collector (process {holder}) uses this database; "
                    "stop it, or give this collector a database of its own with --database"
                ) from None
            raise store_error_of_os(error, str(place)) from error
        return cls(descriptor)

    def release(self) -> None:
        """Let another collector have the file; releasing twice is harmless."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def hold_while_connected(engine: Engine) -> None:
    """Let every connection of a PostgreSQL engine hold the lock that collectors share; it waits for a restore."""

    @event.listens_for(engine, "connect")
    def _hold(connection: Any, _record: object) -> None:
        statement = "SELECT pg_advisory_lock_shared(%s, hashtext(coalesce(current_schema(), '')))"
        connection.execute(statement, (_SHARED,))
        connection.commit()


def take_alone(connection: Connection) -> bool:
    """Take a PostgreSQL database for this transaction alone; returns False where a collector uses it."""
    key = func.hashtext(func.coalesce(func.current_schema(), ""))
    taken: bool = connection.execute(select(func.pg_try_advisory_xact_lock(_SHARED, key))).scalar_one()
    return taken
