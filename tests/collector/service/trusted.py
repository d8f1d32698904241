"""A collector with a certificate authority of its own, and clients that hold certificates of it, or of another."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from libcensus.collector.app import Collector
from libcensus.collector.pki.authority import Authority
from libcensus.collector.pki.identity import Identity, Role
from libcensus.collector.pki.records import CertificateRecord
from tests.collector.service.running import HOST_ID, TODAY, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from libcensus.collector.store.contract import Store

LIFETIME = timedelta(days=7)
OTHER_HOST_ID = "f" * 32


@dataclass(frozen=True)
class Holder:
    """A key and a certificate, as their holder keeps them."""

    identity: Identity
    serial: str
    key_pem: bytes
    chain_pem: bytes
    roots_pem: bytes
    record: CertificateRecord

    def channel(self, address: str, *, name: str = "localhost", roots_pem: bytes | None = None) -> grpc.Channel:
        """A channel of its own to an address; gRPC would share one between equal channels."""
        credentials = grpc.ssl_channel_credentials(roots_pem or self.roots_pem, self.key_pem, self.chain_pem)
        options = (
            ("grpc.ssl_target_name_override", name),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
        )
        return grpc.secure_channel(address, credentials, options)


def certify(
    authority: Authority,
    role: Role,
    name: str,
    *,
    now: datetime | None = None,
    lifetime: timedelta = LIFETIME,
    trust_domain: str | None = None,
) -> Holder:
    """A certificate of an authority, as its collector would issue it."""
    moment = datetime.now(UTC) if now is None else now
    key = ec.generate_private_key(ec.SECP256R1())
    identity = Identity(trust_domain or authority.trust_domain, role, name)
    issued = authority.issue(key.public_key(), identity, lifetime, moment)
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain_pem = b"".join(
        certificate.public_bytes(serialization.Encoding.PEM)
        for certificate in (issued.certificate, *authority.issuing_chain)
    )
    record = CertificateRecord(issued.serial, identity.subject, issued.key_sha256, moment, issued.not_after)
    return Holder(identity, issued.serial, key_pem, chain_pem, authority.roots_pem, record)


@dataclass
class TrustedCollector:
    """A running collector with its authority."""

    collector: Collector
    authority: Authority
    folder: Path

    @property
    def address(self) -> str:
        """Where agents and operators speak to it."""
        return self.collector.grpc_address

    def agent(self, host_id: str = HOST_ID, **changes: Any) -> Holder:
        """A host's certificate."""
        return certify(self.authority, Role.AGENT, host_id, **changes)

    def operator(self, name: str = "ada", **changes: Any) -> Holder:
        """An operator's certificate."""
        return certify(self.authority, Role.OPERATOR, name, **changes)


@contextmanager
def trusted_collector(
    folder: Path,
    store: Store | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    **changes: Any,
) -> Iterator[TrustedCollector]:
    """A collector that serves mutual TLS until the block ends."""
    pki = folder / "pki"
    authority = (
        Authority.load(pki, "libcensus", clock())
        if Authority.exists(pki)
        else Authority.init(pki, "libcensus", clock())
    )
    settings = settings_for(folder, pki_dir=str(pki), audit_log=str(folder / "audit.jsonl"), **changes)
    with Collector(settings, store, today=lambda: TODAY, clock=clock) as collector:
        yield TrustedCollector(collector, authority, folder)
