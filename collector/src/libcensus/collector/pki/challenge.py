"""Challenges of renewals: random bytes with an end, authenticated by a key that all collectors of a CA share.

No collector keeps them. What a renewal signs is therefore fresh, whichever collector gave it and whichever checks it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import UTC, datetime, timedelta

from libcensus.collector.pki.errors import ChallengeError

CHALLENGE_LIFE = timedelta(minutes=1)

_SKEW = timedelta(seconds=30)
"""How far the clocks of two collectors may be apart."""

_RANDOM_BYTES = 16
_END_BYTES = 8
_MAC_BYTES = 32
CHALLENGE_BYTES = _RANDOM_BYTES + _END_BYTES + _MAC_BYTES
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def make_challenge(key: bytes, now: datetime) -> bytes:
    """Return bytes that are good for a minute: random ones, their end in milliseconds since 1970, and an HMAC."""
    end = (now + CHALLENGE_LIFE - _EPOCH) // timedelta(milliseconds=1)
    content = secrets.token_bytes(_RANDOM_BYTES) + end.to_bytes(_END_BYTES, "big")
    return content + _mac(key, content)


def check_challenge(key: bytes, challenge: bytes, now: datetime) -> None:
    """Raise ChallengeError where a challenge is not of this key, or too old."""
    content, mac = challenge[:-_MAC_BYTES], challenge[-_MAC_BYTES:]
    if len(challenge) != CHALLENGE_BYTES or not hmac.compare_digest(mac, _mac(key, content)):
        raise ChallengeError("the challenge was not given by this collector; ask for a new one and try again")
    end = _EPOCH + timedelta(milliseconds=int.from_bytes(content[_RANDOM_BYTES:], "big"))
    if not now - _SKEW <= end <= now + CHALLENGE_LIFE + _SKEW:
        raise ChallengeError("the challenge is older than a minute; ask for a new one and try again")


def _mac(key: bytes, content: bytes) -> bytes:
    return hmac.new(key, b"libcensus renewal challenge\0" + content, hashlib.sha256).digest()
