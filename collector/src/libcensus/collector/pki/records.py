"""What the store keeps of tokens, certificates and refusals. Values alone."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  the dataclass decorator of slots needs it at run time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class JoinToken:
    """A join token as it is kept: its secret only as a digest.

    ``token_id`` is the public part, which lists and the audit log show. ``hostname`` binds it to one host's name;
    ``labels`` are given to whoever joins by it. ``replaces`` lets a host join that is known already, such as one that
    was installed anew: its older certificates are revoked.
    """

    token_id: str
    secret_sha256: bytes
    created_at: datetime
    expires_at: datetime
    uses: int
    uses_left: int
    hostname: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    replaces: bool = False
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CertificateRecord:
    """A certificate that was issued.

    ``serial`` is hexadecimal without leading zeros, ``subject`` as :attr:`Identity.subject` writes it, ``key_sha256``
    the digest (64 hexadecimal digits) of the public key's SubjectPublicKeyInfo. ``predecessor`` is the serial of the
    certificate that it renews, ``token_id`` the token that it was got with. ``first_used_at`` is when its holder was
    first seen with it.
    """

    serial: str
    subject: str
    key_sha256: str
    issued_at: datetime
    expires_at: datetime
    hostname: str | None = None
    predecessor: str | None = None
    token_id: str | None = None
    first_used_at: datetime | None = None
    revoked_at: datetime | None = None
    revoked_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Ban:
    """Somebody who is refused whatever certificate is shown, until the ban is lifted."""

    subject: str
    banned_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Refusals:
    """Whom a collector refuses: serials of revoked certificates that have not expired, and banned subjects."""

    serials: frozenset[str] = frozenset()
    subjects: frozenset[str] = frozenset()
