"""Checks the passwords of HTTP Basic authentication against bcrypt hashes, without paying for each scrape.

bcrypt is slow by intent. A password that was right is known again by a keyed digest of it, compared in constant time;
what is wrong costs the full time, whether the user exists or not, but only as often as the bounds allow.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import threading
from enum import StrEnum
from typing import TYPE_CHECKING

import bcrypt

from libcensus.collector.service.limits import AttemptLimit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_AT_ONCE = 2
_WAIT_SECONDS = 10.0
_BCRYPT_BYTES = 72
"""What bcrypt looks at of a password; Go's implementation, which exporter-toolkit has, ignores the rest too."""

_NOBODY = b"$2b$%02d$" + b"." * 53
"""A hash that no password has, of any cost: it is as slow to check as a user's own."""


class PasswordOutcome(StrEnum):
    """How a check ended."""

    RIGHT = "right"
    ABSENT = "absent"
    WRONG = "wrong"
    LIMITED = "limited"


class PasswordCheck:
    """Checks ``Authorization`` headers. May be asked from any thread.

    ``compare`` tells whether a password is that of a bcrypt hash, as :func:`bcrypt.checkpw` does.
    """

    def __init__(
        self, limit: AttemptLimit | None = None, compare: Callable[[bytes, bytes], bool] = bcrypt.checkpw
    ) -> None:
        self._compare = compare
        self._limit = limit or AttemptLimit(burst=10, rate=0.2, burst_of_all=100, rate_of_all=5)
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._known: dict[str, tuple[bytes, bytes]] = {}
        self._slots = threading.BoundedSemaphore(_AT_ONCE)

    def check(self, users: Mapping[str, bytes], header: str | None, peer: str) -> PasswordOutcome:
        """Return whether a header names a user with its password; ``peer`` is the address whose failures count.

        Somebody with a known password gets in whatever others at the same address do.
        """
        if not header:
            return PasswordOutcome.ABSENT
        given = _credentials(header)
        if given is None:
            return self._refuse(peer)
        user, password = given
        known = users.get(user)
        digest = hmac.digest(self._key, password, hashlib.sha256)
        with self._lock:
            found = self._known.get(user)
        # The hash too: a password that was changed is no longer right.
        if known is not None and found is not None and found[0] == known and hmac.compare_digest(found[1], digest):
            return PasswordOutcome.RIGHT
        if self._limit.seconds_to_wait(peer) > 0:
            return PasswordOutcome.LIMITED
        if not self._slots.acquire(timeout=_WAIT_SECONDS):
            return PasswordOutcome.LIMITED
        try:
            cost = max((int(one[4:6]) for one in users.values()), default=10)
            is_right = self._compare(password[:_BCRYPT_BYTES], _NOBODY % cost if known is None else known)
        except ValueError:
            is_right = False
        finally:
            self._slots.release()
        if not is_right or known is None:
            return self._refuse(peer)
        with self._lock:
            self._known = {name: kept for name, kept in self._known.items() if name in users}
            self._known[user] = (known, digest)
        return PasswordOutcome.RIGHT

    def seconds_to_wait(self, peer: str) -> float:
        """Return when an address may try again."""
        return self._limit.seconds_to_wait(peer)

    def _refuse(self, peer: str) -> PasswordOutcome:
        if self._limit.seconds_to_wait(peer) > 0:
            return PasswordOutcome.LIMITED
        self._limit.note_failure(peer)
        return PasswordOutcome.WRONG


def _credentials(header: str) -> tuple[str, bytes] | None:
    """Return user and password of an ``Authorization`` header (RFC 7617); None for another or a broken one."""
    scheme, _, encoded = header.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (user.decode("utf-8"), password) if colon else None
    except (binascii.Error, ValueError):
        return None
