"""Content addresses: SHA-256 over a fact's kind and its canonical bytes.

The canonical bytes are the fact's protobuf message serialized with fields in order of their numbers, without maps, and
with every set sorted by the domain type; the collector hashes the bytes that it received, so facts with fields that it
does not know yet keep their address.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum


class FactKind(StrEnum):
    """The kinds of facts that have an address of their own."""

    UNKNOWN = "unknown"
    INVENTORY = "inventory"
    PLATFORM = "platform"
    INSTALL_SET = "install_set"
    BUILD = "build"
    CRYPTO_COPY_SET = "crypto_copy_set"
    TOOL_SET = "tool_set"
    ROOT_SET = "root_set"
    CHANGELOG = "changelog"


def fact_digest(kind: FactKind, payload: bytes) -> str:
    """Return the address of a fact: 64 hexadecimal digits of SHA-256 over ``kind``, a NUL, and its canonical bytes."""
    return hashlib.sha256(kind.value.encode() + b"\0" + payload).hexdigest()
