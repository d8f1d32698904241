"""What a renewal of a certificate signs with the old key, as ``protos/libcensus/v1/enrollment.proto`` says."""

from __future__ import annotations

RENEWAL_CONTEXT = b"libcensus renewal v1\0"
"""What stands before challenge and request: a signature that was made for something else proves nothing here."""


def renewal_bytes(challenge: bytes, signing_request: bytes) -> bytes:
    """Return the bytes that a renewal signs, for a collector's challenge and a signing request in DER."""
    return RENEWAL_CONTEXT + challenge + signing_request
