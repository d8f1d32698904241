"""One collector per SQLite file: an advisory lock beside the database, with the holder's process id inside.

The kernel drops the lock when the process ends, however it ends, so a stale lock cannot exist; the file itself stays,
because removing it would let two collectors lock two different files of the same name.
"""

from __future__ import annotations

import errno
import fcntl
import os
from typing import TYPE_CHECKING, Self

from libcensus.collector.errors import StoreBusyError
from libcensus.collector.store.failure import store_error_of_os

if TYPE_CHECKING:
    from pathlib import Path


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
