"""Who speaks: told by the connection, never by a message.

Without TLS, which is allowed on loopback alone, an agent names its host in the metadata of the call. How an identity is
read is one object, so that connections with certificates get another one and no servicer changes.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from libcensus.collector.service.errors import IdentityError

if TYPE_CHECKING:
    import grpc

HOST_ID_KEY = "libcensus-host-id"

_HOST_ID = re.compile(r"[0-9a-f]{32}")


class IdentitySource(ABC):
    """Reads from a connection which host speaks, and whether it may ask for the fleet."""

    @abstractmethod
    def host_id(self, context: grpc.ServicerContext) -> str:
        """Return the id of the host that speaks; raises IdentityError when the connection does not tell."""

    @abstractmethod
    def require_operator(self, context: grpc.ServicerContext) -> None:
        """Raise IdentityError when the connection may not read the fleet."""


class LoopbackIdentity(IdentitySource):
    """Believes the metadata key ``libcensus-host-id``; fit for plaintext on loopback only.

    Every process of the machine can already read what such a collector serves and speak for the one host that it is
    for, so operators need no identity of their own.
    """

    def host_id(self, context: grpc.ServicerContext) -> str:
        """Return the host id that the call's metadata names."""
        named = [value for key, value in context.invocation_metadata() if key == HOST_ID_KEY]
        if not named:
            raise IdentityError(f"metadata {HOST_ID_KEY} is missing: the call does not tell which host speaks")
        if len(named) > 1:
            raise IdentityError(f"metadata {HOST_ID_KEY} is given {len(named)} times")
        value = named[0]
        if not isinstance(value, str) or not _HOST_ID.fullmatch(value):
            raise IdentityError(f"metadata {HOST_ID_KEY} is not 32 lower-case hexadecimal digits")
        return value

    def require_operator(self, context: grpc.ServicerContext) -> None:
        """Let everybody on this machine read."""
