"""gzip for pages of which most is the same from one to the next: only what is new is compressed.

A gzip member may consist of parts that were compressed one by one, if each ends on a byte and refers to nothing before
it (RFC 1951, RFC 1952; zlib's full flush). So a scrape of 100,000 hosts costs the compression of the blocks that
changed since the last one, and a checksum over all.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

KEPT_BYTES = 16 * 1024
"""Pieces that are smaller are not worth keeping, and are compressed together."""

_LEVEL = 1
_RAW_WINDOW = -15

_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""The head of a gzip member: deflate, no name, no time, no system. The same page is the same bytes."""

_LAST_BLOCK = b"\x03\x00"
"""The end of a deflate stream: an empty block that is marked as the last."""


class GzipMemory:
    """Compresses pages, and keeps what their large pieces became until a page comes without them.

    May be used by several threads at once.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, bytes] = {}

    def compress(self, pieces: Iterable[bytes]) -> tuple[bytes, ...]:
        """Return pieces as one gzip member, in pieces."""
        known, used = self._known, dict[bytes, bytes]()
        parts, small = [_HEAD], list[bytes]()
        checksum = length = 0
        for piece in pieces:
            checksum = zlib.crc32(piece, checksum)
            length += len(piece)
            if len(piece) < KEPT_BYTES:
                small.append(piece)
                continue
            if small:
                parts.append(_deflate(b"".join(small)))
                small.clear()
            # A piece that was there before is the same object, whose hash is known: it costs nothing to find.
            packed = known.get(piece)
            used[piece] = packed = _deflate(piece) if packed is None else packed
            parts.append(packed)
        if small:
            parts.append(_deflate(b"".join(small)))
        if used:
            self._known = used
        parts.append(_LAST_BLOCK + checksum.to_bytes(4, "little") + (length % 2**32).to_bytes(4, "little"))
        return tuple(parts)


def _deflate(piece: bytes) -> bytes:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW_WINDOW)
    return packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
