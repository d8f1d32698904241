"""Finds texts in a file that is read in pieces: what an interpreter's own code says of itself.

It refuses to keep more texts than it was told to, so that a crafted file costs one pass and no memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re

    from libcensus.agent.elf.reader import Source

MAX_MATCHES = 512
"""Different texts that one question keeps."""

_WINDOW = 1 << 20
_OVERLAP = 512
"""Longer than any text that is asked for."""


def holds_texts(source: Source, texts: tuple[bytes, ...]) -> bool:
    """Tell whether a file holds every one of these texts; reads it in pieces, and stops when all are found."""
    missing = set(texts)
    offset, tail = 0, b""
    while missing and (data := source.read_at(offset, _WINDOW)):
        offset += len(data)
        window = tail + data
        missing = {text for text in missing if text not in window}
        tail = data[-_OVERLAP:]
    return not missing


def matches(source: Source, pattern: re.Pattern[bytes], most: int = MAX_MATCHES) -> dict[str, int]:
    """Return the different texts that the pattern's first group matches, each with its first offset.

    Stops at ``most`` different texts. A match must be shorter than 512 bytes.
    """
    found: dict[str, int] = {}
    offset, tail = 0, b""
    while data := source.read_at(offset, _WINDOW):
        window = tail + data
        for match in pattern.finditer(window):
            if match.start() == 0 and offset > len(tail):
                # Seen whole in the piece before; what stands before it is cut off here.
                continue
            if match.end() == len(window) and offset + len(data) < source.size:
                # It may go on in the next piece, and is seen whole there.
                continue
            text = match[1].decode("utf-8", "backslashreplace")
            if text not in found:
                found[text] = offset - len(tail) + match.start(1)
                if len(found) >= most:
                    return found
        offset += len(data)
        tail = window[-_OVERLAP:]
    return found
