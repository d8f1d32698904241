"""Why a connection does not come about where TLS is in the way: gRPC says only that a server is unavailable.

After a call failed, one connection is made by the standard library's TLS, with the same key and roots, and its reason
is told. Nothing is sent on it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcensus.cli.credential import Credential

_SECONDS = 5.0

_UNTRUSTED = frozenset({2, 18, 19, 20, 21})
"""OpenSSL's codes of chains that lead to no trusted root (``X509_V_ERR_*``)."""

_NOT_YET, _ENDED, _OTHER_NAME, _OTHER_ADDRESS = 9, 10, 62, 64


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with TLS between here and a collector, and what to do about it."""

    reason: str
    remedy: str


def find_trouble(host: str, port: int, credential: Credential | None) -> Trouble | None:
    """Return what TLS has against a connection; None where nothing, or where nobody answers at all.

    Without a credential the question is whether the server wants TLS.
    """
    try:
        with socket.create_connection((host, port), timeout=_SECONDS) as connection:
            return _plain_trouble(connection) if credential is None else _tls_trouble(connection, host, credential)
    except OSError:
        return None


def _plain_trouble(connection: socket.socket) -> Trouble | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    # Only whether TLS is spoken is asked: nothing that comes over this connection is believed.
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        context.wrap_socket(connection).close()
    except OSError:
        return None
    return Trouble(
        "it speaks TLS, and there is no identity to speak it with",
        "make one on the collector's machine with `libcensus-collector operator create NAME --output FILE`, and name "
        "it with --identity or put it at ~/.config/libcensus/operator.pem",
    )


def _tls_trouble(connection: socket.socket, host: str, credential: Credential) -> Trouble | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=credential.roots_pem.decode("ascii"))
    context.set_alpn_protocols(["h2"])
    with _in_memory(credential.key_pem + credential.chain_pem) as path:
        context.load_cert_chain(path)
    is_done = False
    try:
        with context.wrap_socket(connection, server_hostname=host) as secured:
            is_done = True
            # In TLS 1.3 a server refuses a client's certificate after the client is done: a collector that takes it
            # says something at once, one that does not hangs up.
            return None if secured.recv(1) else _refused_by_server("", credential)
    except ssl.SSLCertVerificationError as error:
        return _server_refused(error, host, credential)
    except ssl.SSLError as error:
        return _refused_by_server(error.reason or "", credential)
    except ConnectionResetError:
        return _refused_by_server("", credential) if is_done else None
    except OSError:
        return None


def _server_refused(error: ssl.SSLCertVerificationError, host: str, credential: Credential) -> Trouble:
    code = error.verify_code
    if code in _UNTRUSTED:
        return Trouble(
            f"its certificate is of none of the CAs that {credential.said} trusts",
            "look whether this is the collector that made the identity; if its CA was made anew, get a new one with "
            "`libcensus-collector operator create NAME --output FILE`",
        )
    if code in {_OTHER_NAME, _OTHER_ADDRESS}:
        return Trouble(
            f"its certificate is not for {host}",
            f"call the collector by a name that its certificate has, or add {host} to its setting server_names",
        )
    if code in {_NOT_YET, _ENDED}:
        word = "has ended" if code == _ENDED else "is not good yet"
        return Trouble(f"its certificate {word}", "look at the clocks of this machine and of the collector's")
    return Trouble(f"its certificate was not accepted ({error.verify_message})", "look at it with `openssl s_client`")


def _refused_by_server(reason: str, credential: Credential) -> Trouble:
    create = "`libcensus-collector operator create NAME --output FILE`"
    if reason in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"}:
        return Trouble(
            "it does not speak TLS",
            "look whether this is the collector's gRPC port (9444); a collector without a CA is on loopback alone, and "
            "--identity none speaks to it in plaintext",
        )
    if "UNKNOWN_CA" in reason:
        return Trouble(
            f"it does not trust the CA of {credential.said}",
            f"use an identity that this collector made, with {create}",
        )
    if "EXPIRED" in reason:
        return Trouble(f"it says that the certificate of {credential.said} has ended", f"make a new one with {create}")
    if "PROTOCOL_VERSION" in reason or "UNSUPPORTED_PROTOCOL" in reason:
        return Trouble("it speaks no TLS version that this command accepts", "upgrade it")
    why = f" ({reason.lower().replace('_', ' ')})" if reason else ": it is not of the CA that the collector trusts"
    return Trouble(
        f"it refuses the certificate of {credential.said}{why}",
        f"use an identity that this collector made, with {create}",
    )


@contextlib.contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """Yield a path to content that lies on no disk, where the system can do that; OpenSSL reads keys from paths."""
    try:
        descriptor = os.memfd_create("libcensus", os.MFD_CLOEXEC)
    except (AttributeError, OSError):
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            yield file.name
        return
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
