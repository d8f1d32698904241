"""Join tokens: ``lct1-ID-SECRET``, of which the collector keeps the secret only as a digest.

The id is public and stands in lists and in the audit log. The secret is 256 random bits, so that a plain SHA-256 keeps
it: nothing shorter than the whole of it can be guessed. Letters and digits are those of Base32 in lower case, where
no two look alike (RFC 4648: without 0, 1, 8 and 9).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from libcensus.collector.pki.errors import TokenError
from libcensus.collector.pki.records import JoinToken

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

_ID_BYTES = 5
_SECRET_BYTES = 32
_FORM = re.compile(r"lct1-(?P<id>[a-z2-7]{8})-(?P<secret>[a-z2-7]{52})", re.ASCII)
_TOKEN_ID = re.compile(r"[a-z2-7]{8}", re.ASCII)

MOST_USES = 1_000_000
LONGEST = 256
"""Characters that a text may have in which a token is looked for."""


@dataclass(frozen=True, slots=True)
class PresentedToken:
    """What somebody presented as a token: its id, and the digest of the secret."""

    token_id: str
    secret_sha256: bytes = field(repr=False)

    def proves(self, token: JoinToken) -> bool:
        """Tell, in a time that does not depend on the answer, whether the secret is that of a kept token."""
        return hmac.compare_digest(self.secret_sha256, token.secret_sha256)


def make_token(
    now: datetime,
    lifetime: timedelta,
    *,
    uses: int = 1,
    hostname: str | None = None,
    labels: Mapping[str, str] | None = None,
    replaces: bool = False,
) -> tuple[JoinToken, str]:
    """Return a new token as it is kept, and its text, which nothing can bring back later."""
    token_id = _encode(secrets.token_bytes(_ID_BYTES))
    secret = _encode(secrets.token_bytes(_SECRET_BYTES))
    kept = JoinToken(
        token_id=token_id,
        secret_sha256=_digest(secret),
        created_at=now,
        expires_at=now + lifetime,
        uses=uses,
        uses_left=uses,
        hostname=hostname,
        labels=dict(labels or {}),
        replaces=replaces,
    )
    return kept, f"lct1-{token_id}-{secret}"


def parse_token(text: str) -> PresentedToken:
    """Read what somebody presented as a token, with spaces around it; raises TokenError, which never quotes it."""
    match = _FORM.fullmatch(text.strip()) if len(text) <= LONGEST else None
    if match is None:
        # Without the text: it may be a token with one letter too few.
        raise TokenError(
            "this is no join token: one begins with lct1- and is 66 characters long; take it as libcensus-collector "
            "token create printed it"
        )
    return PresentedToken(match["id"], _digest(match["secret"]))


def is_token_id(text: str) -> bool:
    """Tell whether a text has the form of a token's id."""
    return _TOKEN_ID.fullmatch(text) is not None


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _encode(content: bytes) -> str:
    return base64.b32encode(content).decode().rstrip("=").lower()
