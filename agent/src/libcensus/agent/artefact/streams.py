"""Streams over archives that cost no more than they may: what comes out is counted, and nothing is unpacked to disk.

It refuses headers that ask for more memory than headers need, and archives that lead tarfile back and forth.
"""

from __future__ import annotations

import bz2
import gzip
import importlib
import io
import lzma
import os
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, cast

from libcensus.agent.errors import ArtefactError, UnreadableError
from libcensus.agent.zstandard import decompress_frames

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 1 << 20
ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_GZIP, _BZIP2, _XZ = b"\x1f\x8b", b"BZh", (b"\xfd7zXZ\0", b"]\0\0")
_MAGICS = (_GZIP, _BZIP2, *_XZ)
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, ValueError, OSError)
_LARGEST_READ = 64 << 20

MOST_ZSTD_BYTES = 32 << 20
"""Longer Zstandard archives would take minutes where Python's own library does not read them."""

_ZSTD_WINDOW = 128 << 20
"""What the reference reads without being asked to; level 22 makes use of it."""

_ZSTD_REMEDY = "unpack it first: zstd -d FILE.tar.zst (Python 3.14 and later read all of them)"


class BudgetExceededError(Exception):
    """More came out of an archive than may."""


@dataclass(slots=True)
class Budget:
    """How many bytes may still come out of compressed archives."""

    limit: int
    spent: int = field(default=0)

    def spend(self, size: int) -> None:
        """Count bytes that came out; raises BudgetExceededError."""
        self.spent += size
        if self.spent > self.limit:
            raise BudgetExceededError(f"more than {self.limit} bytes came out of it")


class Limited:
    """A plain tar archive, whose headers may not ask for more memory than headers need."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def tell(self) -> int:
        """Return where the next read starts."""
        return self._stream.tell()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to an offset."""
        return self._stream.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes; raises ReadError for more than a header may ask for."""
        _check_read(size)
        return self._stream.read(size)


def _check_read(size: int) -> None:
    if not 0 <= size <= _LARGEST_READ:
        raise tarfile.ReadError(f"a header of the archive asks for {size} bytes")


class Forward:
    """A decompressed stream that tarfile may read and skip forward, and step back a block; counts what comes out."""

    def __init__(self, stream: IO[bytes], budget: Budget) -> None:
        self._stream = stream
        self._budget = budget
        self._position = 0
        self._end = 0
        self._last = b""

    def tell(self) -> int:
        """Return where the next read starts."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Skip forward, or step back as far as is remembered; raises ReadError for more."""
        if whence != os.SEEK_SET or offset < self._end - len(self._last):
            raise tarfile.ReadError(f"the archive leads back to byte {offset}")
        while self._end < offset:
            if not self._advance(min(CHUNK, offset - self._end)):
                break
        self._position = min(offset, self._end)
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes; raises ReadError for more than a header may ask for."""
        _check_read(size)
        parts: list[bytes] = []
        behind = self._end - self._position
        if behind:
            parts.append(self._last[len(self._last) - behind :][:size])
        missing = size - sum(map(len, parts))
        while missing > 0 and (piece := self._advance(min(CHUNK, missing))):
            parts.append(piece)
            missing -= len(piece)
        data = b"".join(parts)
        self._position += len(data)
        return data

    def _advance(self, size: int) -> bytes:
        piece = self._stream.read(size)
        self._budget.spend(len(piece))
        self._end += len(piece)
        if piece:
            self._last = (self._last + piece)[-tarfile.BLOCKSIZE * 2 :] if len(piece) < CHUNK else piece[-CHUNK:]
        return piece


def printable(name: str) -> str:
    """Return a member's name as text; bytes that are not UTF-8 are written as escapes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def is_tar(head: bytes) -> bool:
    """Tell whether a file that starts like this is a tar archive, or compressed as one is."""
    return head[257:262] == b"ustar" or head.startswith((ZSTD_MAGIC, *_MAGICS))


def decompressed(stream: IO[bytes], head: bytes) -> IO[bytes] | None:
    """Return the stream behind gzip, bzip2 or xz, known by its first bytes; None where it is none of them."""
    if head.startswith(_GZIP):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=stream))
    if head.startswith(_BZIP2):
        return cast("IO[bytes]", bz2.BZ2File(stream))
    if head.startswith(_XZ):
        return cast("IO[bytes]", lzma.LZMAFile(stream))
    return None


def open_zstd(stream: IO[bytes], limit: int, place: str) -> IO[bytes]:
    """Return the decompressed stream: by the library of Python 3.14 and later (PEP 784), else by the agent's own."""
    try:
        zstd = importlib.import_module("compression.zstd")
    except ImportError:
        return io.BufferedReader(_Frames(stream.read(MOST_ZSTD_BYTES + 1), limit, place))
    opened: IO[bytes] = zstd.ZstdFile(stream)
    return opened


class _Frames(io.RawIOBase):
    """The content of Zstandard frames in memory, decompressed as it is asked for."""

    def __init__(self, data: bytes, limit: int, place: str) -> None:
        super().__init__()
        if len(data) > MOST_ZSTD_BYTES:
            raise ArtefactError("no-zstd", f"{place}: is longer than {MOST_ZSTD_BYTES} bytes; {_ZSTD_REMEDY}")
        self._blocks = decompress_frames(data, limit=limit, window=_ZSTD_WINDOW)
        self._block = b""
        self._place = place

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object, /) -> int:
        view = memoryview(cast("bytearray", buffer))
        while not self._block:
            try:
                block = next(self._blocks, None)
            except UnreadableError as error:
                raise ArtefactError(error.reason, f"{self._place}: {error.detail}; {_ZSTD_REMEDY}") from None
            if block is None:
                return 0
            self._block = block
        size = min(len(view), len(self._block))
        view[:size] = self._block[:size]
        self._block = self._block[size:]
        return size


@contextmanager
def damage_told(place: str) -> Iterator[None]:
    """Turn what the archive libraries raise into one error that names the archive."""
    try:
        yield
    except RecursionError:
        raise ArtefactError("damaged", f"{place}: headers of the archive lead to one another") from None
    except NotImplementedError as error:
        raise ArtefactError("unknown-compression", f"{place}: {error}") from error
    except DAMAGED as error:
        raise ArtefactError("damaged", f"{place}: {str(error) or type(error).__name__}") from error
