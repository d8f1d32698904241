"""Reads rpm's Berkeley DB form (``Packages``, Enterprise Linux up to 8): a hash table whose large values overflow.

Only what rpm writes is read: the pages of a hash in either byte order, values on the page or on a chain of overflow
pages (db_page.h of Berkeley DB 4 and 5). Encrypted databases are refused. Pure: a source in, blobs out.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from libcensus.agent.packages.blobs import check_size, damaged, read_exactly

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcensus.agent.elf.reader import Source

_MAGIC = 0x061561
_META_SIZE = 72
_PAGE_HEADER = 26
_HASH_PAGES = (2, 13)
"""P_HASH_UNSORTED, which versions before 4.6 wrote, and P_HASH."""

_OVERFLOW_PAGE = 7
_ON_PAGE, _OFF_PAGE = 1, 3


class RpmBerkeley:
    """The blobs of one ``Packages``. Raises UnreadableError where it is none."""

    def __init__(self, source: Source) -> None:
        meta = read_exactly(source, 0, _META_SIZE)
        self._order = next((order for order in "<>" if struct.unpack_from(f"{order}I", meta, 12)[0] == _MAGIC), "")
        if not self._order:
            raise damaged("its magic number is not that of a Berkeley DB hash")
        self._page_size, encryption = struct.unpack_from(f"{self._order}4xIB", meta, 16)
        if encryption:
            raise damaged("is encrypted")
        if not 512 <= self._page_size <= 65536 or self._page_size & (self._page_size - 1):
            raise damaged(f"says pages of {self._page_size} bytes")
        (last,) = struct.unpack_from(f"{self._order}I", meta, 32)
        self._source = source
        self._pages = min(last + 1, source.size // self._page_size)

    def places(self) -> Iterator[tuple[int, int, int]]:
        """Yield each value that is no bookkeeping: its page (of the value itself, or of its chain), offset and size.

        A value on the hash page has its offset there; a chain of overflow pages has offset 0.
        """
        for number in range(1, self._pages):
            page = self._page(number)
            if page[25] in _HASH_PAGES:
                yield from self._values(number, page)

    def _values(self, number: int, page: bytes) -> Iterator[tuple[int, int, int]]:
        (entries,) = struct.unpack_from(f"{self._order}H", page, 20)
        if _PAGE_HEADER + 2 * entries > len(page):
            raise damaged(f"page {number} says {entries} entries")
        offsets = struct.unpack_from(f"{self._order}{entries}H", page, _PAGE_HEADER)
        for at in range(0, entries - 1, 2):
            key_end = offsets[at - 1] if at else len(page)
            key, value, value_end = offsets[at], offsets[at + 1], offsets[at]
            if not _PAGE_HEADER <= value < value_end < key_end <= len(page):
                raise damaged(f"entry {at} of page {number} lies at {value}")
            if not any(page[key + 1 : key_end]):
                # Package number 0 holds the highest number that was given.
                continue
            if page[value] == _ON_PAGE:
                yield number, value + 1, value_end - value - 1
            elif page[value] == _OFF_PAGE and value_end - value >= 12:
                first, size = struct.unpack_from(f"{self._order}II", page, value + 4)
                yield first, 0, size

    def blob(self, place: tuple[int, int, int]) -> bytes:
        """Return the blob at a place."""
        number, offset, size = place
        if offset:
            return self._page(number)[offset : offset + size]
        check_size(size)
        room = self._page_size - _PAGE_HEADER
        parts: list[bytes] = []
        have = 0
        for _ in range(-(-size // room) if size < self._source.size else 0):
            page = self._page(number)
            if page[25] != _OVERFLOW_PAGE:
                raise damaged(f"page {number} is no overflow page")
            following, length = struct.unpack_from(f"{self._order}I2xH", page, 16)
            if length > room:
                raise damaged(f"page {number} says {length} bytes")
            parts.append(page[_PAGE_HEADER : _PAGE_HEADER + length])
            have += length
            if have >= size or not following:
                break
            number = following
        if have != size:
            raise damaged(f"a value of {size} bytes has {have} on its pages")
        return b"".join(parts)

    def _page(self, number: int) -> bytes:
        if not 0 < number < self._pages:
            raise damaged(f"names page {number} of {self._pages}")
        return read_exactly(self._source, number * self._page_size, self._page_size)
