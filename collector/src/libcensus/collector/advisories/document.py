"""A document of a feed as a file on disk: itself, or the files in the archive that it is, one at a time.

Archives are read as a stream and within bounds, because a few kilobytes can unpack to more than a disk holds. Nothing
is ever unpacked to disk, and no name inside an archive is used as a path.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import tarfile
import zipfile
import zlib
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, cast

from libcensus.collector.advisories.feeds.reading import FeedFormatError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from libcensus.collector.advisories.feeds.registry import Bounds

_MAGIC = (
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"BZh", "bzip2"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)
_TAR_MAGIC = slice(257, 262)
_DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, struct.error, tarfile.TarError, zipfile.BadZipFile)


class Document:
    """A file whose content is read within bounds. Iterating raises FeedFormatError for what is damaged or too large."""

    def __init__(self, path: Path, name: str, bounds: Bounds) -> None:
        self.path = path
        self.name = name
        self.bounds = bounds

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Return name and content of each file, in the archive's order."""
        try:
            with self.path.open("rb") as file:
                start = file.read(512)
                file.seek(0)
                kind = next((kind for magic, kind in _MAGIC if start.startswith(magic)), "plain")
                if kind == "zip":
                    yield from self._zip(file)
                elif kind == "zstd":
                    raise FeedFormatError(self.name, "is packed with zstd, which this program does not read; unpack it")
                else:
                    yield from self._stream(file, kind)
        except (*_DAMAGED, NotImplementedError, RuntimeError) as error:
            if isinstance(error, RecursionError):
                raise
            text = str(error) or type(error).__name__
            raise FeedFormatError(self.name, f"cannot be unpacked (cut off or damaged): {text}") from None

    def _stream(self, file: IO[bytes], kind: str) -> Iterator[tuple[str, bytes]]:
        with ExitStack() as undo:
            unpacked = file
            if kind == "gzip":
                unpacked = cast("IO[bytes]", undo.enter_context(gzip.GzipFile(fileobj=file)))
            elif kind == "xz":
                unpacked = cast("IO[bytes]", undo.enter_context(lzma.LZMAFile(file)))
            elif kind == "bzip2":
                unpacked = cast("IO[bytes]", undo.enter_context(bz2.BZ2File(file)))
            bounded = _Bounded(unpacked, self.name, self.bounds.unpacked)
            if bounded.peek(512)[_TAR_MAGIC] == b"ustar":
                yield from self._tar(cast("IO[bytes]", bounded))
            else:
                yield self.name, bounded.read()

    def _tar(self, stream: IO[bytes]) -> Iterator[tuple[str, bytes]]:
        number = 0
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            while (entry := archive.next()) is not None:
                number = self._count(number)
                content = archive.extractfile(entry) if entry.isreg() else None
                if content is not None:
                    yield entry.name, content.read()
                # The archive keeps every header that it has read, and there are hundreds of thousands.
                archive.members.clear()  # type: ignore[attr-defined]

    def _zip(self, file: IO[bytes]) -> Iterator[tuple[str, bytes]]:
        with zipfile.ZipFile(file) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            total = sum(entry.file_size for entry in entries)
            if total > self.bounds.unpacked:
                raise self._too_large()
            if len(entries) > self.bounds.files and self.bounds.files > 1:
                self._count(self.bounds.files)
            names: set[str] = set()
            for entry in entries:
                if entry.filename in names:
                    raise FeedFormatError(f"{self.name}: {entry.filename}", "is there twice")
                names.add(entry.filename)
                with archive.open(entry) as content:
                    # What the directory says of a size is what is read, and the checksum is compared at its end.
                    yield entry.filename, content.read(entry.file_size + 1)

    def _count(self, number: int) -> int:
        if number >= self.bounds.files > 1:
            raise FeedFormatError(self.name, f"holds more than {self.bounds.files} files")
        return number + 1

    def _too_large(self) -> FeedFormatError:
        return _too_large(self.name, self.bounds.unpacked)


def _too_large(name: str, limit: int) -> FeedFormatError:
    return FeedFormatError(name, f"unpacks to more than {limit // 1024**2} MiB, several times what this feed ever had")


class _Bounded:
    """A stream that refuses to go on after a number of bytes."""

    def __init__(self, stream: IO[bytes], name: str, limit: int) -> None:
        self._stream = stream
        self._name = name
        self._limit = limit
        self._left = limit
        self._peeked = b""

    def peek(self, size: int) -> bytes:
        """Return the first bytes without taking them."""
        self._peeked = self._stream.read(size)
        return self._peeked

    def read(self, size: int = -1) -> bytes:
        """Return some bytes, or all of the rest; raises FeedFormatError beyond the bound."""
        taken, self._peeked = (self._peeked, b"") if size < 0 else (self._peeked[:size], self._peeked[size:])
        if size < 0:
            more = self._stream.read(self._left + 1)
        else:
            more = self._stream.read(size - len(taken)) if size > len(taken) else b""
        self._left -= len(taken) + len(more)
        if self._left < 0:
            raise _too_large(self._name, self._limit)
        return taken + more
