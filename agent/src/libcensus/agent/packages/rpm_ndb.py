"""Reads rpm's ndb form (``Packages.db``, SUSE's default): 16-byte slots that lead to the headers' blobs.

The layout is that of rpm's source (lib/backend/ndb/rpmpkg.c), little-endian throughout. Pure: a source in, blobs out.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from libcensus.agent.packages.blobs import check_size, damaged, read_exactly

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcensus.agent.elf.reader import Source

_HEADER = struct.Struct("<4sIIII")
_SLOT = struct.Struct("<4sIII")
_BLOB_HEAD = struct.Struct("<4sIII")
_HEADER_SIZE, _PAGE, _BLOCK = 32, 4096, 16
_TAIL_SIZE = 12


class RpmNdb:
    """The blobs of one ``Packages.db``. Raises UnreadableError where it is none."""

    def __init__(self, source: Source) -> None:
        magic, version, _, pages, _ = _HEADER.unpack(read_exactly(source, 0, _HEADER.size))
        if magic != b"RpmP" or version != 0:
            raise damaged(f"starts with {magic!r} and version {version}; an ndb database starts with b'RpmP' and 0")
        if pages * _PAGE > source.size:
            raise damaged(f"says {pages} pages of slots in {source.size} bytes")
        self._source = source
        self._pages = pages

    def places(self) -> Iterator[tuple[int, int, int]]:
        """Yield offset, package number and size on disk of each blob."""
        for page in range(self._pages):
            data = read_exactly(self._source, page * _PAGE, _PAGE)
            for magic, number, block, blocks in _SLOT.iter_unpack(data[0 if page else _HEADER_SIZE :]):
                if magic != b"Slot":
                    raise damaged(f"a slot in page {page} starts with {magic!r}")
                if block:
                    yield block * _BLOCK, number, blocks * _BLOCK

    def blob(self, place: tuple[int, int, int]) -> bytes:
        """Return the blob at a place."""
        offset, number, room = place
        magic, recorded, _, size = _BLOB_HEAD.unpack(read_exactly(self._source, offset, _BLOB_HEAD.size))
        if magic != b"BlbS" or recorded != number or size + _BLOB_HEAD.size + _TAIL_SIZE > room:
            raise damaged(f"no blob of package {number} at byte {offset}")
        check_size(size)
        return read_exactly(self._source, offset + _BLOB_HEAD.size, size)
