"""What the readers of rpm's three database forms have in common: blobs that are found first and read one by one.

A database is never held as a whole: the reader yields where each blob lies, and a second look-up reads only those that
can matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from libcensus.agent.errors import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcensus.agent.elf.reader import Source

MAX_BLOB = 16 << 20
"""The largest header that is read, within the memory that the agent may use; a kernel's has some 5 MiB."""


class BlobReader(Protocol):
    """The blobs of one database file."""

    def places(self) -> Iterator[tuple[int, int, int]]:
        """Yield where each blob lies, in the form's own terms. Raises UnreadableError for a damaged database."""

    def blob(self, place: tuple[int, int, int]) -> bytes:
        """Return the blob at one of these places. Raises UnreadableError where it is damaged or too large."""


def damaged(detail: str) -> UnreadableError:
    """Return the error for a database that is not what it says."""
    return UnreadableError("damaged-database", detail)


def check_size(size: int) -> None:
    """Refuse a blob beyond the bound."""
    if size > MAX_BLOB:
        raise UnreadableError("too-large", f"a package header of {size} bytes; at most {MAX_BLOB} are read")


def read_exactly(source: Source, offset: int, size: int) -> bytes:
    """Return the bytes at an offset. Raises UnreadableError where the file ends before."""
    data = source.read_at(offset, size)
    if len(data) != size:
        raise damaged(f"ends at byte {source.size}, within what starts at byte {offset}")
    return data
