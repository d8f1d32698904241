"""Names in certificates: who speaks, and in which role.

A certificate names its holder by one URI in the form of SPIFFE (https://spiffe.io/docs/latest/spiffe-about/spiffe-concepts/):
``spiffe://TRUST-DOMAIN/agent/HOST-ID`` for a host, where the id is the hashed machine id, and
``spiffe://TRUST-DOMAIN/operator/NAME`` for a person or a program that reads the fleet.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

TRUST_DOMAIN = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
HOST_ID = re.compile(r"[0-9a-f]{32}")
OPERATOR_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

_URI = re.compile(r"spiffe://(?P<domain>[^/]+)/(?P<role>agent|operator)/(?P<name>[^/]+)")


class Role(enum.StrEnum):
    """What a certificate lets its holder do: a host reports for itself, an operator reads the fleet."""

    AGENT = "agent"
    OPERATOR = "operator"


class InvalidIdentityError(ValueError):
    """A text names no identity; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who holds a certificate. ``name`` is the host's id or the operator's name."""

    trust_domain: str
    role: Role
    name: str

    def __post_init__(self) -> None:
        """Raise InvalidIdentityError for what no certificate may hold."""
        if not TRUST_DOMAIN.fullmatch(self.trust_domain):
            raise InvalidIdentityError(
                f"trust domain {self.trust_domain!r} is not 1 to 63 of a-z, 0-9, dot, dash and underscore"
            )
        if self.role is Role.AGENT and not HOST_ID.fullmatch(self.name):
            raise InvalidIdentityError(f"host id {self.name!r} is not 32 lower-case hexadecimal digits")
        if self.role is Role.OPERATOR and not OPERATOR_NAME.fullmatch(self.name):
            raise InvalidIdentityError(
                f"operator name {self.name!r} is not 1 to 63 letters, digits, dots, dashes and underscores"
            )

    @property
    def uri(self) -> str:
        """The identity as certificates hold it."""
        return f"spiffe://{self.trust_domain}/{self.role}/{self.name}"

    @property
    def subject(self) -> str:
        """``agent/HOST-ID`` or ``operator/NAME``: the key by which the store knows it."""
        return f"{self.role}/{self.name}"


def parse_identity(uri: str) -> Identity:
    """Return the identity that a certificate's URI names; raises InvalidIdentityError."""
    match = _URI.fullmatch(uri)
    if match is None:
        raise InvalidIdentityError(f"{uri[:200]!r} is not spiffe://TRUST-DOMAIN/agent/HOST-ID or …/operator/NAME")
    return Identity(match["domain"], Role(match["role"]), match["name"])
