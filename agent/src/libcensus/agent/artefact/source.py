"""A given file as a source of bytes, opened so that nothing but a regular file is ever touched."""

from __future__ import annotations

import os
import stat
from typing import IO, Self

from libcensus.agent.errors import ArtefactError


class FileSource:
    """A regular file as a source of bytes; never opens a FIFO, a device or a socket, and never blocks."""

    def __init__(self, path: str, *, follow: bool = True) -> None:
        """Open the file; raises OSError when that fails, ArtefactError when it is no regular file."""
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | (0 if follow else os.O_NOFOLLOW)
        # Opening a device can have effects of its own, so what it is must be known before.
        mode = (os.stat if follow else os.lstat)(path).st_mode
        if not stat.S_ISREG(mode):
            raise ArtefactError(
                "not-a-regular-file", f"{shown(path)} is a {kind_of(mode)}; only regular files are read"
            )
        self._descriptor = os.open(path, flags)
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._descriptor)
            raise ArtefactError("not-a-regular-file", f"{shown(path)} became something else while it was opened")
        self.size = status.st_size

    def read_at(self, offset: int, size: int, /) -> bytes:
        """Return up to ``size`` bytes from ``offset``."""
        return os.pread(self._descriptor, size, offset)

    def stream(self) -> IO[bytes]:
        """Return the same open file as a stream of its own; the caller closes it."""
        return open(os.dup(self._descriptor), "rb")  # noqa: PTH123 - the file that was checked

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def kind_of(mode: int) -> str:
    """Return in one word what a mode from stat stands for."""
    names = {stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket", stat.S_IFBLK: "block device", stat.S_IFCHR: "device"}
    return names.get(stat.S_IFMT(mode), "folder" if stat.S_ISDIR(mode) else "symbolic link")


def shown(path: str) -> str:
    """Return a path as text that can be printed and stored: bytes that are not UTF-8 are written as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
