"""A small authority and a real gRPC server of ``EnrollmentService`` over TLS that answers as a test says."""

from __future__ import annotations

import hashlib
import secrets
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from libcensus.v1 import census_pb2, census_pb2_grpc, enrollment_pb2, enrollment_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPublicKeyTypes

DAY = timedelta(days=1)
CONTEXT = b"libcensus renewal v1\0"


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Authority:
    """A root that issues by itself."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"test root {secrets.token_hex(4)}")])
        now = datetime.now(UTC)
        self.root = self._sign(
            self._name,
            self.key.public_key(),
            (now - 400 * DAY, now + 400 * DAY),
            (x509.BasicConstraints(ca=True, path_length=None), True),
            (x509.KeyUsage(False, False, False, False, False, True, True, False, False), True),
        )

    @property
    def der(self) -> bytes:
        return self.root.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.root.public_bytes(serialization.Encoding.PEM)

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.der).hexdigest()

    def client(
        self,
        host_id: str,
        public_key: CertificateIssuerPublicKeyTypes,
        begin: datetime | None = None,
        end: datetime | None = None,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        uri = x509.UniformResourceIdentifier(f"spiffe://libcensus/agent/{host_id}")
        return self._sign(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host_id)]),
            public_key,
            (begin or now - timedelta(minutes=10), end or now + 7 * DAY),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
            (x509.SubjectAlternativeName([uri]), False),
        )

    def server(
        self, name: str = "127.0.0.1", begin: datetime | None = None, end: datetime | None = None
    ) -> tuple[bytes, bytes]:
        """Return key and certificate of a server, PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        try:
            names: x509.GeneralName = x509.IPAddress(ip_address(name))
        except ValueError:
            names = x509.DNSName(name)
        now = datetime.now(UTC)
        certificate = self._sign(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")]),
            key.public_key(),
            (begin or now - DAY, end or now + DAY),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
            (x509.SubjectAlternativeName([names]), False),
        )
        return key_pem(key), certificate.public_bytes(serialization.Encoding.PEM)

    def _sign(
        self,
        subject: x509.Name,
        public_key: CertificateIssuerPublicKeyTypes,
        period: tuple[datetime, datetime],
        *extensions: tuple[x509.ExtensionType, bool],
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(period[0])
            .not_valid_after(period[1])
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False)
        )
        for extension, is_critical in extensions:
            builder = builder.add_extension(extension, is_critical)
        return builder.sign(self.key, hashes.SHA256())


Answer = tuple[list[bytes], list[bytes]]


@dataclass
class Desk(enrollment_pb2_grpc.EnrollmentServiceServicer):
    """Gives certificates to whoever asks with the token; ``change`` may spoil the answer, ``refuse`` ends the call."""

    authority: Authority
    token: str = "the-token"
    begin: datetime | None = None
    end: datetime | None = None
    change: Callable[[list[bytes], list[bytes]], Answer] | None = None
    refuse: tuple[grpc.StatusCode, str] | None = None
    enrolled: list[enrollment_pb2.EnrollRequest] = field(default_factory=list)
    renewed: list[enrollment_pb2.RenewRequest] = field(default_factory=list)
    calls: int = 0
    _challenge: bytes = b""

    def _answer(self, request: bytes, host_id: str, context: Any) -> Answer:
        if self.refuse is not None:
            context.abort(*self.refuse)
        signing = x509.load_der_x509_csr(request)
        assert signing.is_signature_valid
        key = signing.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        leaf = self.authority.client(host_id, key, self.begin, self.end)
        chain, roots = [leaf.public_bytes(serialization.Encoding.DER)], [self.authority.der]
        return (chain, roots) if self.change is None else self.change(chain, roots)

    def Enroll(self, request: enrollment_pb2.EnrollRequest, context: Any) -> enrollment_pb2.EnrollResponse:  # noqa: N802
        self.calls += 1
        if request.token != self.token:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "the join token is not known")
        self.enrolled.append(request)
        chain, roots = self._answer(request.certificate_signing_request, request.machine_id_hash, context)
        return enrollment_pb2.EnrollResponse(certificate_chain=chain, trusted_roots=roots)

    def Challenge(self, _request: Any, _context: Any) -> enrollment_pb2.ChallengeResponse:  # noqa: N802
        self.calls += 1
        self._challenge = secrets.token_bytes(32)
        return enrollment_pb2.ChallengeResponse(challenge=self._challenge)

    def Renew(self, request: enrollment_pb2.RenewRequest, context: Any) -> enrollment_pb2.RenewResponse:  # noqa: N802
        self.calls += 1
        assert request.challenge == self._challenge
        old = x509.load_der_x509_certificate(request.certificate_chain[0])
        old_key = old.public_key()
        assert isinstance(old_key, ec.EllipticCurvePublicKey)
        signed = CONTEXT + request.challenge + request.certificate_signing_request
        old_key.verify(request.signature, signed, ec.ECDSA(hashes.SHA256()))
        names = old.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
        self.renewed.append(request)
        chain, roots = self._answer(request.certificate_signing_request, uri.rpartition("/")[2], context)
        return enrollment_pb2.RenewResponse(certificate_chain=chain, trusted_roots=roots)


class Taker(census_pb2_grpc.CensusServiceServicer):
    """Acknowledges every report and remembers who brought it."""

    def __init__(self) -> None:
        self.requests: list[census_pb2.ReportRequest] = []
        self.callers: list[str] = []
        self.refuse: Callable[[str], tuple[grpc.StatusCode, str] | None] = lambda _serial: None

    def Report(self, request: census_pb2.ReportRequest, context: Any) -> census_pb2.ReportResponse:  # noqa: N802
        (pem,) = context.auth_context().get("x509_pem_cert", [b""])
        serial = f"{x509.load_pem_x509_certificate(pem).serial_number:x}" if pem else ""
        if (refusal := self.refuse(serial)) is not None:
            context.abort(*refusal)
        self.requests.append(request)
        self.callers.append(serial)
        return census_pb2.ReportResponse(collector_version="7.0")


@contextmanager
def offering(servicer: Any, authority: Authority, *, mutual: bool = False, **server: Any) -> Iterator[int]:
    """Serve over TLS at a port of 127.0.0.1; the client must show a certificate where ``mutual``."""
    running = grpc.server(ThreadPoolExecutor(4))
    if isinstance(servicer, Desk):
        enrollment_pb2_grpc.add_EnrollmentServiceServicer_to_server(servicer, running)  # type: ignore[no-untyped-call]
    else:
        census_pb2_grpc.add_CensusServiceServicer_to_server(servicer, running)  # type: ignore[no-untyped-call]
    pair = authority.server(**server)
    credentials = grpc.ssl_server_credentials([pair], authority.pem if mutual else None, mutual)
    port = running.add_secure_port("127.0.0.1:0", credentials)
    running.start()
    try:
        yield port
    finally:
        running.stop(None).wait()


@contextmanager
def publishing(
    content: bytes, status: int = 200, length: int | None = None, pair: Path | None = None
) -> Iterator[tuple[int, list[str]]]:
    """Serve ``/ca.pem`` over HTTP, over HTTPS with ``pair``; yields the port, and the lines of the requests."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.requestline)
            seen.extend(f"{name}: {value}" for name, value in self.headers.items())
            self.send_response(status)
            if length is not None:
                self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    class Server(HTTPServer):
        def handle_error(self, *_: object) -> None:
            """Say nothing of a client that speaks the other scheme."""

        def get_request(self) -> Any:
            channel, address = super().get_request()
            if pair is None:
                return channel, address
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pair)
            try:
                return context.wrap_socket(channel, server_side=True), address
            except OSError:
                channel.close()
                raise

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_port, seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
