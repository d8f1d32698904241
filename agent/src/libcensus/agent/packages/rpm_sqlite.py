"""Reads rpm's SQLite form (``rpmdb.sqlite``, Fedora 33 and Enterprise Linux 9 onwards): the table ``Packages``.

It is an own reader of the file format (sqlite.org/fileformat.html) and not the sqlite3 module: SQLite opens a name and
resolves links itself, also that of ``/proc/self/fd``, so a file that the rooted helper opened would be opened once more
by its path in the host; and a hostile database would meet SQLite's whole machine. One table is walked and nothing else.
Pure: a source in, blobs out. A write-ahead log beside the database is not read; who opens it tells.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from libcensus.agent.packages.blobs import check_size, damaged, read_exactly

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcensus.agent.elf.reader import Source

_MAGIC = b"SQLite format 3\0"
_INTERIOR, _LEAF = 0x05, 0x0D
_MAX_DEPTH = 20
"""SQLite's own bound (BTCURSOR_MAX_DEPTH)."""

_MAX_SCHEMA_ROW = 1 << 20
_FIXED_SIZES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)
_ENCODINGS = {0: "utf-8", 1: "utf-8", 2: "utf-16-le", 3: "utf-16-be"}


class RpmSqlite:
    """The blobs of one ``rpmdb.sqlite``. Raises UnreadableError where it is none."""

    def __init__(self, source: Source) -> None:
        header = read_exactly(source, 0, 100)
        if not header.startswith(_MAGIC):
            raise damaged("does not start as an SQLite database")
        (size,) = struct.unpack_from(">H", header, 16)
        self._page_size = 65536 if size == 1 else size
        if self._page_size < 512 or self._page_size & (self._page_size - 1):
            raise damaged(f"says pages of {size} bytes")
        self._usable = self._page_size - header[20]
        if self._usable < 480:
            raise damaged(f"says {header[20]} reserved bytes in pages of {self._page_size}")
        (encoding,) = struct.unpack_from(">I", header, 56)
        if encoding not in _ENCODINGS:
            raise damaged(f"says text encoding {encoding}")
        self._encoding = _ENCODINGS[encoding]
        self._source = source
        self._pages = source.size // self._page_size

    def places(self) -> Iterator[tuple[int, int, int]]:
        """Yield page, offset on it and size of each row of the table of packages."""
        yield from self._rows(self._table("Packages"))

    def blob(self, place: tuple[int, int, int]) -> bytes:
        """Return the blob of a row: its one column of that type."""
        row = self._payload(place)
        for kind, start, end in _columns(row):
            if kind >= 12 and kind % 2 == 0:
                return row[start:end]
        raise damaged(f"a row on page {place[0]} holds no blob")

    def _table(self, name: str) -> int:
        """Return the root page of a table from the schema, which is itself the table on page 1."""
        for place in self._rows(1):
            if place[2] > _MAX_SCHEMA_ROW:
                continue
            row = self._payload(place)
            columns = list(_columns(row))
            if len(columns) < 4:
                continue
            texts = [row[start:end].decode(self._encoding, "replace") for _, start, end in columns[:2]]
            if texts == ["table", name]:
                kind, start, end = columns[3]
                return int.from_bytes(row[start:end], "big") if 1 <= kind <= 6 else kind - 8
        raise damaged(f"holds no table {name}")

    def _rows(self, top: int) -> Iterator[tuple[int, int, int]]:
        pending = [(top, 0)]
        visited = 0
        while pending:
            number, depth = pending.pop()
            visited += 1
            if depth > _MAX_DEPTH or visited > self._pages:
                raise damaged(f"the tree at page {top} has no end")
            page = self._page(number)
            start = 100 if number == 1 else 0
            kind, cells, rightmost = struct.unpack_from(">BxxHxxxI", page, start)
            if kind not in (_INTERIOR, _LEAF):
                raise damaged(f"page {number} is no part of a table")
            first = start + (12 if kind == _INTERIOR else 8)
            if first + 2 * cells > self._usable:
                raise damaged(f"page {number} says {cells} cells")
            offsets = struct.unpack_from(f">{cells}H", page, first)
            if any(offset < first or offset + 4 > self._usable for offset in offsets):
                raise damaged(f"a cell of page {number} lies outside of it")
            if kind == _LEAF:
                for offset in offsets:
                    size, after = _varint(page, offset)
                    _, after = _varint(page, after)
                    yield number, after, size
            else:
                children = [struct.unpack_from(">I", page, offset)[0] for offset in offsets]
                pending += [(child, depth + 1) for child in reversed([*children, rightmost])]

    def _payload(self, place: tuple[int, int, int]) -> bytes:
        number, offset, size = place
        check_size(size)
        page = self._page(number)
        local = size
        if size > self._usable - 35:
            least = (self._usable - 12) * 32 // 255 - 23
            local = least + (size - least) % (self._usable - 4)
            if local > self._usable - 35:
                local = least
        if offset + local + (4 if local < size else 0) > self._usable:
            raise damaged(f"a row of page {number} is longer than the page")
        parts = [page[offset : offset + local]]
        have = local
        if have < size:
            (following,) = struct.unpack_from(">I", page, offset + local)
            while have < size:
                overflow = self._page(following)
                part = overflow[4 : min(self._usable, 4 + size - have)]
                parts.append(part)
                have += len(part)
                (following,) = struct.unpack_from(">I", overflow)
        return b"".join(parts)

    def _page(self, number: int) -> bytes:
        if not 0 < number <= self._pages:
            raise damaged(f"names page {number} of {self._pages}")
        return read_exactly(self._source, (number - 1) * self._page_size, self._page_size)


def _varint(data: bytes, offset: int) -> tuple[int, int]:
    """Return a variable-length integer (1 to 9 bytes, the ninth with all its bits) and where it ends."""
    value = 0
    for at in range(offset, offset + 9):
        if at >= len(data):
            raise damaged(f"a number at byte {offset} is cut")
        byte = data[at]
        if at == offset + 8:
            return value << 8 | byte, at + 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + 1
    raise AssertionError


def _columns(row: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield serial type, start and end of each column of a row."""
    head, at = _varint(row, 0)
    start = head
    while at < head:
        kind, at = _varint(row, at)
        if kind in (10, 11):
            raise damaged(f"a column says type {kind}")
        size = _FIXED_SIZES[kind] if kind < 10 else (kind - 12) // 2
        if start + size > len(row):
            raise damaged("a column is longer than its row")
        yield kind, start, start + size
        start += size
