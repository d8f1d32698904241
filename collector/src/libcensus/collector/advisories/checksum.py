"""The SHA-256 that a source publishes beside a document, in a small file of its own.

Its form is that of CSAF's hash files and of ``sha256sum``: the digest in hexadecimal digits, and after white space
perhaps the name of the file. It finds what was damaged or mixed up on the way, by a mirror, a cache or a disk. It does
not find what was forged at the source: whoever can write the document there can write its checksum too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from libcensus.collector.advisories.feeds.reading import FeedFormatError
from libcensus.collector.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX = ".sha256"
"""What the name of a document's checksum has behind the document's own."""

LARGEST_CHECKSUM = 4096
"""Bytes that a checksum's file may have; real ones have about a hundred."""

_FORM = re.compile(r"([0-9A-Fa-f]{64})(?:[ \t][^\r\n]*)?[\r\n]*")
_SHOWN = 40


def read_checksum(content: bytes, place: str) -> str:
    """Return the digest that a checksum's file states, in lower case; raises FeedFormatError for any other content.

    What stands behind the digest is not looked at: it is optional, and free by CSAF 2.0, requirement 18
    (https://docs.oasis-open.org/csaf/csaf/v2.0/os/csaf-v2.0-os.html#7118-requirement-18-integrity).
    """
    if len(content) > LARGEST_CHECKSUM:
        raise FeedFormatError(place, f"is no checksum: it is larger than {LARGEST_CHECKSUM} bytes")
    text = content.decode("utf-8", "replace")
    found = _FORM.fullmatch(text)
    if found is None:
        raise FeedFormatError(
            place, f"is no checksum: one line that begins with 64 hexadecimal digits is expected, not {text[:_SHOWN]!r}"
        )
    return found[1].lower()


def compare_checksum(content: bytes, place: str, found: str, document: str) -> None:
    """Compare the SHA-256 of a document with what the checksum's file at ``place`` states; raises FeedFormatError."""
    expected = read_checksum(content, place)
    if found != expected:
        raise FeedFormatError(document, f"has the SHA-256 {found}, where {place} states {expected}")


def compare_beside(path: Path, found: str) -> str | None:
    """Compare the SHA-256 of a file on disk with the checksum that lies beside it; returns its name, None for none.

    Raises FeedFormatError where it is another one or unreadable, ConfigurationError where it cannot be opened.
    """
    beside = path.with_name(path.name + SUFFIX)
    try:
        if not beside.is_file():
            return None
        with beside.open("rb") as file:
            content = file.read(LARGEST_CHECKSUM + 1)
    except OSError as error:
        raise ConfigurationError(f"{beside}: cannot be read: {error.strerror}") from error
    compare_checksum(content, beside.name, found, path.name)
    return beside.name
