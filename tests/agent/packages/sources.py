"""The rpm databases of the fixtures, unpacked, and sources over bytes."""

from __future__ import annotations

import lzma
import struct
from functools import cache
from pathlib import Path
from typing import Any

from libcensus.agent.packages.rpm_header import FILE_STATES

FIXTURES = Path(__file__).parents[2] / "fixtures/packages"

SQLITE, NDB, BERKELEY, BIG_ENDIAN = "rpmdb.sqlite", "Packages.db", "Packages", "Packages.big-endian"


@cache
def database(name: str) -> bytes:
    """Return one of the fixtures, unpacked."""
    return lzma.decompress((FIXTURES / f"{name}.xz").read_bytes())


def put(top: Path, name: str, folder: str = "var/lib/rpm") -> Path:
    """Put a fixture into a root, under the name that rpm gives it."""
    path = top / folder / name.removesuffix(".big-endian")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(database(name))
    return path


def write_header(values: dict[int, Any]) -> bytes:
    """Write a header as the database holds it: bytes are one string, lists of bytes strings, lists of integers numbers.

    The states of files, which are bytes too, are characters.
    """
    index, data = b"", b""
    for tag, value in values.items():
        if tag == FILE_STATES:
            kind, count, part = 1, len(value), value
        elif isinstance(value, bytes):
            kind, count, part = 6, 1, value + b"\0"
        elif isinstance(value[0], bytes):
            kind, count, part = 8, len(value), b"".join(one + b"\0" for one in value)
        else:
            kind, count, part = 4, len(value), struct.pack(f">{len(value)}I", *value)
            data += b"\0" * (-len(data) % 4)
        index += struct.pack(">iIii", tag, kind, len(data), count)
        data += part
    return struct.pack(">II", len(values), len(data)) + index + data
