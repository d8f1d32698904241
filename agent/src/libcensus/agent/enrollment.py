"""How this host becomes known and stays so: the CA by its fingerprint, a key that never leaves, a certificate for it.

The order is the promise. Nothing is sent before one of the CA's certificates has the fingerprint that was given;
then the key is made and kept, so that asking again after a lost answer uses up no token; and what the collector answers
is believed only when it is for this key and this host and leads to that root.

Imported by `enroll` and by a renewal that is due alone: with `proof`, it needs `cryptography`.
"""

from __future__ import annotations

import getpass
import http.client
import logging
import os
import re
import stat
import sys
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from libcensus.agent.credentials import (
    ENROLL_AGAIN,
    IdentityFacts,
    IdentityFolder,
    certificate_to_pem,
    certificates_in,
    fingerprint,
    tell_moment,
)
from libcensus.agent.errors import IdentityError, RefusedError, UnreachableError, UsageError
from libcensus.agent.proof import key_to_pem, make_key, make_signing_request, prove_key
from libcensus.agent.transport import EnrollmentClient

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from libcensus.agent.config import CollectorSettings
    from libcensus.agent.credentials import StoredIdentity
    from libcensus.agent.target import Target
    from libcensus.agent.transport import IssuedCertificate

_LOG = logging.getLogger(__name__)

CA_PATH = "/ca.pem"
CA_MAX_BYTES = 256 * 1024
CA_TIMEOUT_SECONDS = 20.0
"""What fetching the CA's certificates may cost at most, whatever answers there."""

TOKEN_MAX_BYTES = 4096

_FINGERPRINT = re.compile(r"(?:sha-?256[:=])?((?:[0-9a-f]{2}:?){31}[0-9a-f]{2})")
_TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Request:
    """What an enrollment is made of, but for the token. ``target`` is the collector's gRPC port for reports."""

    target: Target
    enroll_port: int
    http_port: int
    ca_fingerprint: str
    ca_file: Path | None
    host_id: str


def parse_fingerprint(text: str) -> str:
    """Return a SHA-256 fingerprint as 64 digits in lower case; colons are allowed. Raises UsageError."""
    match = _FINGERPRINT.fullmatch(text.strip().lower())
    if match is None:
        raise UsageError(
            "--ca-fingerprint is not the SHA-256 of a certificate: 64 hexadecimal digits, with or without colons, as "
            "`libcensus-collector token create` and `ca show` print it"
        )
    return match[1].replace(":", "")


def read_token(file: str) -> str:
    """Return the join token of a file, or of standard input for ``-``; raises UsageError, which never shows it."""
    if file == "-":
        where = "standard input"
        if sys.stdin.isatty():
            # Without echo: a terminal is looked at, and keeps what scrolled by.
            raw = getpass.getpass("join token: ").encode()
        else:
            raw = sys.stdin.buffer.readline(TOKEN_MAX_BYTES + 1)
    else:
        where = file
        try:
            with Path(file).open("rb") as opened:
                mode = os.fstat(opened.fileno()).st_mode
                raw = opened.read(TOKEN_MAX_BYTES + 1)
        except OSError as error:
            raise UsageError(f"--token-file {file} cannot be read: {error.strerror}") from None
        if stat.S_ISREG(mode) and mode & (stat.S_IRGRP | stat.S_IROTH):
            _LOG.warning(
                "token file %s can be read by others (mode %04o): run chmod 0600 on it, and remove it afterwards",
                file,
                stat.S_IMODE(mode),
            )
    token = raw.decode("ascii", "replace").strip()
    if not token:
        raise UsageError(
            f"there is no join token in {where}; put there what `libcensus-collector token create` printed"
        )
    if len(raw) > TOKEN_MAX_BYTES or not _TOKEN.fullmatch(token):
        raise UsageError(f"what is in {where} is no join token: one line without blanks is expected")
    return token


# --- the CA ----------------------------------------------------------------------------------------------------------


def find_root(request: Request) -> bytes:
    """Return the CA's certificate (DER) that has the fingerprint; raises IdentityError or UnreachableError.

    Without a file it is fetched from the collector's HTTP port, and nothing of this host is sent for it.
    """
    if request.ca_file is not None:
        try:
            offered = {str(request.ca_file): request.ca_file.read_bytes()}
        except OSError as error:
            raise UsageError(f"--ca {request.ca_file} cannot be read: {error.strerror}") from None
    else:
        offered = fetch_ca(request.target, request.http_port)
    seen: list[str] = []
    for pem in offered.values():
        for der in certificates_in(pem):
            if fingerprint(der) == request.ca_fingerprint:
                _check_root(der)
                return der
            seen.append(fingerprint(der))
    where = ", ".join(offered)
    shown = ", ".join(seen[:4]) or "no certificate at all"
    raise IdentityError(
        f"no certificate of {where} has the fingerprint {request.ca_fingerprint} (found: {shown}): this is another "
        "collector, somebody stands between, or the CA was replaced; nothing was sent. Compare with what "
        "`libcensus-collector ca show` prints on the collector"
    )


def _check_root(der: bytes) -> None:
    try:
        root = x509.load_der_x509_certificate(der)
        is_ca = root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, x509.ExtensionNotFound):
        is_ca = False
    if not is_ca:
        raise IdentityError(
            "the certificate with this fingerprint is not that of a CA; give the fingerprint of the root, which "
            "`libcensus-collector ca show` prints"
        )


def fetch_ca(target: Target, port: int, timeout: float = CA_TIMEOUT_SECONDS) -> dict[str, bytes]:
    """Fetch ``/ca.pem`` over HTTP, or over HTTPS whose certificate is not looked at: the fingerprint decides.

    Returns what was fetched by its address; raises UnreachableError. Bounded in size and time, follows no redirect and
    uses no proxy.
    """
    host = f"[{target.host}]" if ":" in (target.host or "") else target.host
    problems: list[str] = []
    for scheme in ("http", "https"):
        url = f"{scheme}://{host}:{port}{CA_PATH}"
        try:
            return {url: _get(scheme, target.host or "", port, timeout)}
        except (OSError, http.client.HTTPException, ValueError) as error:
            problems.append(f"{url}: {str(error) or type(error).__name__}")
    raise UnreachableError(
        f"the CA's certificates cannot be fetched ({'; '.join(problems)}); copy ca.pem from the collector and give it "
        "with --ca FILE, or name the collector's HTTP port with --http-port"
    )


def _get(scheme: str, host: str, port: int, timeout: float) -> bytes:
    until = time.monotonic() + timeout
    if scheme == "https":
        try:
            import ssl  # noqa: PLC0415 - the bundle's Python has none
        except ImportError:
            raise ValueError("this agent's Python speaks no HTTPS by itself") from None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, port, timeout=timeout, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.connect()
        channel = connection.sock
        connection.request("GET", CA_PATH, headers={"Accept": "*/*", "Connection": "close"})
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            raise ValueError(f"answered {answer.status}")
        received = bytearray()
        while chunk := answer.read1(16384):
            received += chunk
            if len(received) > CA_MAX_BYTES:
                raise ValueError(f"answered more than {CA_MAX_BYTES} bytes")
            if time.monotonic() > until:
                raise TimeoutError(f"did not end within {timeout:g} s")
            if answer.isclosed():
                # Newer Pythons close the connection with the last byte.
                break
            channel.settimeout(max(0.1, until - time.monotonic()))
        if answer.length:
            raise ValueError("ended before its end")
        return bytes(received)
    finally:
        connection.close()


# --- enrolling and renewing ------------------------------------------------------------------------------------------


def enroll(
    request: Request,
    token: str,
    folder: IdentityFolder,
    settings: CollectorSettings,
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> StoredIdentity:
    """Enroll this host; the identity is durable on return, and the present one from then on.

    Raises IdentityError (exit 5) where the CA is another, or the collector refuses; UnreachableError (exit 4), after
    which the same token can be used again.
    """
    root = find_root(request)
    roots = certificate_to_pem(root)
    key = _pending_key(folder)
    with EnrollmentClient(settings, request.target.with_port(request.enroll_port), roots) as client:
        try:
            issued = client.enroll(
                token=token,
                signing_request=make_signing_request(key),
                host_id=request.host_id,
                hostname=os.uname().nodename or "localhost",
            )
        except RefusedError:
            # Whatever is wrong with this request, such as a key whose certificate was revoked: the next is another.
            folder.forget_pending_key()
            raise
    facts = IdentityFacts(
        host_id=request.host_id,
        uri="",
        serial="",
        not_before=now(),
        not_after=now(),
        collector=f"{_bracketed(request.target)}:{request.target.port}",
        enroll_port=request.enroll_port,
    )
    identity = _keep(folder, key, issued, [root], facts, now())
    folder.forget_pending_key()
    folder.confirm(identity)
    return identity


def renew(
    identity: StoredIdentity,
    folder: IdentityFolder,
    settings: CollectorSettings,
    target: Target,
    given_roots: bytes | None,
    *,
    before_call: Callable[[], None] | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> StoredIdentity:
    """Get a new certificate for a new key by proof of the old key; the old generation stays beside it.

    ``target`` is the enrollment port. ``given_roots`` (PEM) stand in place of those of the identity. Raises the errors
    of :func:`enroll`.
    """
    old = identity.credentials
    roots = old.roots if given_roots is None else given_roots
    old_key = _read_key(old.key, identity)
    key = make_key()
    request = make_signing_request(key)
    with EnrollmentClient(settings, target, roots, before_call=before_call) as client:
        challenge = client.challenge()
        issued = client.renew(
            signing_request=request,
            chain=list(certificates_in(old.certificate_chain)),
            challenge=challenge,
            signature=prove_key(old_key, challenge, request),
        )
    trusted = list(certificates_in(old.roots if given_roots is None else old.roots + given_roots))
    return _keep(folder, key, issued, trusted, identity.facts, now())


def _keep(
    folder: IdentityFolder,
    key: ec.EllipticCurvePrivateKey,
    issued: IssuedCertificate,
    trusted: Sequence[bytes],
    facts: IdentityFacts,
    now: datetime,
) -> StoredIdentity:
    """Check what the collector answered, and make it the present identity."""
    leaf = _check_issued(key, issued, trusted, facts.host_id, now)
    return folder.store(
        key=key_to_pem(key),
        chain=b"".join(certificate_to_pem(der) for der in issued.chain),
        roots=b"".join(certificate_to_pem(der) for der in issued.roots or trusted),
        facts=replace(
            facts,
            uri=_uri_of(leaf),
            serial=f"{leaf.serial_number:x}",
            not_before=leaf.not_valid_before_utc,
            not_after=leaf.not_valid_after_utc,
        ),
    )


def _check_issued(
    key: ec.EllipticCurvePrivateKey, issued: IssuedCertificate, trusted: Sequence[bytes], host_id: str, now: datetime
) -> x509.Certificate:
    """Return the certificate where it is for this key and host, good now, and leads to a trusted root."""
    wrong = "the collector's answer is not used: "
    try:
        chain = [x509.load_der_x509_certificate(der) for der in issued.chain]
        roots = [x509.load_der_x509_certificate(der) for der in trusted]
        _ = [x509.load_der_x509_certificate(der) for der in issued.roots]
        leaf = chain[0]
        is_ours = leaf.public_key() == key.public_key()
    except (ValueError, IndexError):
        raise IdentityError(f"{wrong}it holds no certificate that can be understood") from None
    if not is_ours:
        raise IdentityError(f"{wrong}the certificate is for another key than that of this host")
    uri = _uri_of(leaf)
    if not re.fullmatch(rf"spiffe://[^/]+/agent/{re.escape(host_id)}", uri):
        raise IdentityError(f"{wrong}the certificate is for {uri or 'nobody'} and not for host {host_id}")
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if not begin <= now < end:
        problem = "not good yet" if now < begin else "good no more"
        raise IdentityError(
            f"the certificate that the collector issued is {problem} by this host's clock: this host's says "
            f"{tell_moment(now)}, and by the collector's it is good from {tell_moment(begin)} to {tell_moment(end)}; "
            "set the clock that is wrong right (timedatectl, chronyc) and run the same command again"
        )
    try:
        PolicyBuilder().store(Store(roots)).time(now).build_client_verifier().verify(leaf, chain[1:])
    except VerificationError:
        raise IdentityError(f"{wrong}the certificate does not lead to the root that this host trusts") from None
    return leaf


def _uri_of(certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return uris[0] if len(uris) == 1 else ""


def _pending_key(folder: IdentityFolder) -> ec.EllipticCurvePrivateKey:
    """Return the key of an enrollment that did not come to its end, else a new one that is kept before it is used."""
    if (pending := folder.pending_key()) is not None:
        try:
            key = serialization.load_pem_private_key(pending, None)
        except (ValueError, TypeError):
            key = None
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key
    made = make_key()
    folder.keep_pending_key(key_to_pem(made))
    return made


def _read_key(pem: bytes, identity: StoredIdentity) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise IdentityError(f"the key in {identity.folder} is damaged; {ENROLL_AGAIN}")
    return key


def _bracketed(target: Target) -> str:
    host = target.host or ""
    return f"[{host}]" if ":" in host else host
