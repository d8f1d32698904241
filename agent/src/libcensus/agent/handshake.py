"""Why a TLS connection does not come about, where gRPC does not tell: one more handshake, by the standard library.

gRPC says that a certificate has expired and not when; and a server that refuses a client's certificate just ends the
connection, after a handshake that succeeded for the client (RFC 8446, 4.4.2.4). Used after a failure alone, and never
for anything that is sent.

A Python that was built without OpenSSL, as the bundle's is, has no such handshake: then the reason stays untold.
"""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path

    from libcensus.agent.credentials import Credentials
    from libcensus.agent.target import Target

TIMEOUT_SECONDS = 10.0

_NO_CHECK_TIME = 0x200000
"""``X509_V_FLAG_NO_CHECK_TIME`` of OpenSSL."""

_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""The preface of an HTTP/2 connection and an empty SETTINGS frame (RFC 9113, 3.4), to which a server answers."""


def can_shake_hands() -> bool:
    """Tell whether this Python can do a TLS handshake by itself."""
    try:
        import ssl  # noqa: F401, PLC0415 - the bundle's Python has none
    except ImportError:
        return False
    return True


def _trusting(roots: bytes) -> ssl.SSLContext:
    import ssl  # noqa: PLC0415 - the bundle's Python has none

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=roots.decode("ascii", "replace"))
    return context


@contextmanager
def _connection(target: Target, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((target.host or "", target.port), TIMEOUT_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=target.host) as wrapped,
    ):
        yield wrapped


def served_validity(target: Target, roots: bytes) -> tuple[str, str] | None:
    """Return from when to when the certificate of a server holds, as OpenSSL writes it.

    Only for a certificate that is in order but for these times; None for every other, and where nothing can be told.
    """
    if not can_shake_hands():
        return None
    try:
        context = _trusting(roots)
        context.verify_flags |= _NO_CHECK_TIME
        with _connection(target, context) as wrapped:
            shown = wrapped.getpeercert() or {}
    except (OSError, ValueError):
        return None
    begin, end = shown.get("notBefore"), shown.get("notAfter")
    return (str(begin), str(end)) if begin and end else None


def is_ended_after_handshake(target: Target, credentials: Credentials) -> bool:
    """Tell whether a server whose certificate is in order ends the connection as soon as it has seen ours.

    A connection that ends before the handshake is through tells nothing of the kind: a machine between, or a collector
    that is ending, does that too. False where nothing can be told.
    """
    if not can_shake_hands():
        return False
    import ssl  # noqa: PLC0415 - the bundle's Python has none

    try:
        context = _trusting(credentials.roots)
        context.load_cert_chain(credentials.chain_file, credentials.key_file, password="")
        with _connection(target, context) as wrapped:
            try:
                wrapped.sendall(_GREETING)
                return not wrapped.recv(1)
            except ssl.SSLEOFError:
                return True
            except ssl.SSLError as error:
                # An alert of the server's, such as TLSV1_ALERT_UNKNOWN_CA: it saw our certificate and refused it.
                return "ALERT" in (error.reason or "")
    except (OSError, ValueError):
        return False


def problem_of_pair(chain: Path, key: Path, roots: bytes) -> str | None:
    """Return what is wrong with a certificate, its key and roots that somebody gave; None where they fit."""
    if not can_shake_hands():
        return _problem_by_cryptography(chain, key, roots)
    import ssl  # noqa: PLC0415 - the bundle's Python has none

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        # An encrypted key is refused here, where OpenSSL would ask for its password on the terminal.
        context.load_cert_chain(chain, key, password="")
    except ssl.SSLError as error:
        return _mismatch(chain, key) if error.reason == "KEY_VALUES_MISMATCH" else _no_pair(chain, key)
    except OSError as error:
        return f"{error.filename or chain} cannot be read: {error.strerror}"
    try:
        context.load_verify_locations(cadata=roots.decode("ascii", "replace"))
    except (ssl.SSLError, ValueError):
        return _NO_ROOTS
    return None


def _problem_by_cryptography(chain: Path, key: Path, roots: bytes) -> str | None:
    """Return what :func:`problem_of_pair` does; it costs some megabytes of memory more than the standard library."""
    from cryptography import x509  # noqa: PLC0415 - where nothing cheaper is there
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - the same

    try:
        certificate = x509.load_pem_x509_certificates(chain.read_bytes())[0]
        private = load_pem_private_key(key.read_bytes(), None)
    except OSError as error:
        return f"{error.filename or chain} cannot be read: {error.strerror}"
    except (ValueError, TypeError):
        return _no_pair(chain, key)
    if certificate.public_key() != private.public_key():
        return _mismatch(chain, key)
    try:
        x509.load_pem_x509_certificates(roots)
    except ValueError:
        return _NO_ROOTS
    return None


_NO_ROOTS = "collector.ca holds no certificate in PEM"


def _mismatch(chain: Path, key: Path) -> str:
    return f"the key in {key} is not that of the certificate in {chain}"


def _no_pair(chain: Path, key: Path) -> str:
    return f"{chain} and {key} must hold a certificate and its unencrypted key in PEM"
