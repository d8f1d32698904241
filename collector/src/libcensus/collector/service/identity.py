"""Who speaks: told by the connection, never by a message.

Without TLS, which is allowed on loopback alone, an agent names its host in the metadata of the call. With mutual TLS
the client's certificate tells it, and nothing that a message or its metadata holds is believed about it. How an
identity is read is one object, so that no servicer knows which of the two it is.
"""

from __future__ import annotations

import re
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509

from libcensus.collector.pki.identity import Identity, InvalidIdentityError, Role, parse_identity
from libcensus.collector.service.access import SERVICES, may_call
from libcensus.collector.service.errors import IdentityError, RoleError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import grpc

    from libcensus.collector.pki.watch import RefusalWatch

HOST_ID_KEY = "libcensus-host-id"

_HOST_ID = re.compile(r"[0-9a-f]{32}")
_TLS = "TLSv1.3"
_KNOWN_CERTIFICATES = 8192
"""How many certificates are kept as they were read, a kilobyte each: reading one costs as much as a small call."""


@dataclass(frozen=True, slots=True)
class Holder:
    """What a certificate says of its holder."""

    identity: Identity
    serial: str
    expires_at: datetime


class IdentitySource(ABC):
    """Reads from a connection who speaks, and whether that one may call a service."""

    @abstractmethod
    def host_id(self, context: grpc.ServicerContext) -> str:
        """Return the id of the host that speaks; raises IdentityError when the connection does not tell."""

    @abstractmethod
    def certificate_end(self, context: grpc.ServicerContext) -> datetime | None:
        """Return when the certificate ends that the connection shows; None without TLS. Raises as the others do."""

    @abstractmethod
    def require_operator(self, context: grpc.ServicerContext) -> Identity | None:
        """Return the operator who asks, None where connections tell nothing.

        Raises IdentityError or RoleError when the connection may not read the fleet.
        """

    @abstractmethod
    def admit(self, service: str, context: grpc.ServicerContext) -> Holder | None:
        """Return who calls a method of a service, None where connections tell nothing and all may call everything.

        Raises IdentityError for who is not known, or no longer, and RoleError for who may not call it.
        """


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

    def certificate_end(self, context: grpc.ServicerContext) -> datetime | None:  # noqa: ARG002 - the contract's
        """Tell that there is no certificate."""
        return None

    def require_operator(self, context: grpc.ServicerContext) -> Identity | None:  # noqa: ARG002 - the contract's
        """Let everybody on this machine read."""
        return None

    def admit(self, service: str, context: grpc.ServicerContext) -> Holder | None:  # noqa: ARG002 - the contract's
        """Let everybody on this machine call everything."""
        return None


class CertificateIdentity(IdentitySource):
    """Believes the client certificate, which gRPC has verified against the CA when the connection was made.

    What changes while a connection lasts is asked for each call: whether the certificate or its holder is refused by
    now, and whether it has expired.
    """

    def __init__(self, trust_domain: str, refusals: RefusalWatch, clock: Callable[[], datetime]) -> None:
        self._trust_domain = trust_domain
        self._refusals = refusals
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, Holder] = OrderedDict()
        self._of_thread = threading.local()

    def host_id(self, context: grpc.ServicerContext) -> str:
        """Return the id of the host that the certificate names."""
        identity = self._identify(context).identity
        if identity.role is not Role.AGENT:
            raise RoleError(
                f"{identity.subject} is no host: only the certificate of an agent can report", identity.subject
            )
        return identity.name

    def certificate_end(self, context: grpc.ServicerContext) -> datetime | None:
        """Return when the certificate ends."""
        return self._identify(context).expires_at

    def require_operator(self, context: grpc.ServicerContext) -> Identity:
        """Return the operator whose certificate it is; raises for any other."""
        identity = self._identify(context).identity
        if identity.role is not Role.OPERATOR:
            raise RoleError(_not_for("the fleet", identity), identity.subject)
        return identity

    def admit(self, service: str, context: grpc.ServicerContext) -> Holder:
        """Return the holder of the certificate, who may call the service."""
        holder = self._judge(context)
        if not may_call(holder.identity.role, service):
            raise RoleError(_not_for(service, holder.identity), holder.identity.subject)
        # The handler that asks again runs in this thread, a moment later.
        self._of_thread.judged = (context, holder)
        return holder

    def _identify(self, context: grpc.ServicerContext) -> Holder:
        judged: tuple[grpc.ServicerContext, Holder] | None = getattr(self._of_thread, "judged", None)
        return judged[1] if judged is not None and judged[0] is context else self._judge(context)

    def _judge(self, context: grpc.ServicerContext) -> Holder:
        properties = context.auth_context()
        version = _only(properties.get("ssl_tls_version"))
        if version != _TLS.encode():
            shown = (version or b"no TLS").decode("ascii", "replace")
            raise IdentityError(f"the connection speaks {shown}; this collector takes {_TLS} alone", "tls_version")
        pem = _only(properties.get("x509_pem_cert"))
        if pem is None:
            raise IdentityError("the connection shows no client certificate")
        holder = self._read(pem)
        refusals = self._refusals.current
        if holder.identity.subject in refusals.subjects:
            raise IdentityError(
                f"{holder.identity.subject} is banned; an operator of the collector can lift it with "
                "`libcensus-collector unban`",
                "banned",
                holder.identity.subject,
            )
        if holder.serial in refusals.serials:
            raise IdentityError(
                f"the certificate {holder.serial} of {holder.identity.subject} is revoked; enroll with a new token",
                "revoked",
                holder.identity.subject,
            )
        if holder.expires_at <= self._clock():
            raise IdentityError(
                f"the certificate of {holder.identity.subject} expired at "
                f"{holder.expires_at.isoformat(timespec='seconds').replace('+00:00', 'Z')}; renew it",
                "expired",
                holder.identity.subject,
            )
        self._refusals.note_use(holder.serial)
        return holder

    def _read(self, pem: bytes) -> Holder:
        # Without the lock: looking something up in a dictionary is one step.
        known = self._known.get(pem)
        if known is not None:
            return known
        holder = read_holder(pem, self._trust_domain)
        with self._lock:
            self._known[pem] = holder
            if len(self._known) > _KNOWN_CERTIFICATES:
                self._known.popitem(last=False)
        return holder


def read_holder(pem: bytes, trust_domain: str) -> Holder:
    """Return whom a certificate (PEM) names; raises IdentityError for one that names nobody of this trust domain."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        raise IdentityError("the client certificate cannot be read, or names nobody") from None
    if len(uris) != 1:
        raise IdentityError(f"the client certificate has {len(uris)} URIs; exactly one must name its holder")
    try:
        identity = parse_identity(uris[0])
    except InvalidIdentityError as error:
        raise IdentityError(f"the client certificate names no host and no operator: {error}") from None
    if identity.trust_domain != trust_domain:
        raise IdentityError(
            f"the client certificate is of the trust domain {identity.trust_domain!r}, and this collector serves "
            f"{trust_domain!r} (its setting trust_domain)",
            "trust_domain",
        )
    return Holder(identity, f"{certificate.serial_number:x}", certificate.not_valid_after_utc)


def _only(values: object) -> bytes | None:
    """Return the value of a property of a connection that has exactly one."""
    found = list(values) if isinstance(values, (list, tuple)) else []
    return found[0] if len(found) == 1 and isinstance(found[0], bytes) else None


def _not_for(what: str, identity: Identity) -> str:
    if what not in SERVICES and what != "the fleet":
        return f"{what} is open to nobody"
    other = "an operator's certificate (`libcensus-collector operator create NAME`)"
    if identity.role is Role.OPERATOR:
        other = "the certificate of an agent (`libcensus-agent enroll`)"
    return f"{identity.subject} may not use {what}: that needs {other}"
