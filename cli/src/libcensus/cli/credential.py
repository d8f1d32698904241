"""What proves who the operator is: a key, the certificate chain that names its holder, and the roots that are trusted.

It comes from one identity file, which ``libcensus-collector operator create`` makes and which is renewed in its place,
or from the three files of an external CA, which are renewed by whoever made them.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import re
import secrets
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from libcensus.agent.proof import key_to_pem, make_key, make_signing_request, prove_key
from libcensus.cli.errors import ConfigurationError, IdentityError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from libcensus.cli.config import IdentityFiles

CREATE = "`libcensus-collector operator create NAME --output FILE`"
"""What makes an identity file, as messages show it."""

_LONGEST_FILE = 1024 * 1024
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\r?\n.*?-----END \1-----\r?\n?", re.DOTALL)
_RENEWED_AT = 2 / 3
_TRIAL_BYTES = 8


class RenewalRefusedError(Exception):
    """An identity was not renewed; the text says why."""


class Renewer(Protocol):
    """Asks a collector's EnrollmentService. Both raise RenewalRefusedError."""

    def challenge(self) -> bytes:
        """Return bytes that a renewal must sign."""

    def renew(
        self, request: bytes, chain: Sequence[bytes], challenge: bytes, signature: bytes
    ) -> tuple[list[bytes], list[bytes]]:
        """Return a new certificate chain and the trusted roots, DER."""


@dataclass(frozen=True)
class Credential:
    """A key with the chain of its certificate, leaf first, and trusted roots.

    ``file`` is the identity file that it comes from, absent for an external CA's; ``said`` names it in messages.
    """

    said: str
    origin: str
    key_pem: bytes = field(repr=False)
    chain: tuple[x509.Certificate, ...]
    roots: tuple[x509.Certificate, ...]
    file: Path | None = None

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate that names the holder."""
        return self.chain[0]

    @property
    def chain_pem(self) -> bytes:
        """The chain as PEM."""
        return _pem(self.chain)

    @property
    def roots_pem(self) -> bytes:
        """The roots as PEM."""
        return _pem(self.roots)

    @property
    def begins_at(self) -> datetime:
        """Since when the certificate is good."""
        return self.leaf.not_valid_before_utc

    @property
    def ends_at(self) -> datetime:
        """Until when the certificate is good."""
        return self.leaf.not_valid_after_utc

    @property
    def renews_at(self) -> datetime:
        """When two thirds of the certificate's life are over."""
        return self.begins_at + (self.ends_at - self.begins_at) * _RENEWED_AT

    @property
    def uri(self) -> str:
        """Whom the certificate names, ``spiffe://TRUST-DOMAIN/operator/NAME``; empty where it names nobody so."""
        try:
            names = self.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (x509.ExtensionNotFound, ValueError):
            return ""
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        return uris[0] if len(uris) == 1 else ""

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """SHA-256 of each root's DER, in hexadecimal digits."""
        return tuple(root.fingerprint(hashes.SHA256()).hex() for root in self.roots)


def load_credential(files: IdentityFiles) -> Credential:
    """Read what proves the operator; raises ConfigurationError with the file and the remedy where it is not usable."""
    if files.identity is not None:
        return _load_identity(Path(files.identity), files.origin)
    if files.ca is None or files.certificate is None or files.key is None:
        raise AssertionError("an identity is one file, or all three of an external CA")
    said = f"{files.certificate} ({files.origin})"
    key_file = Path(files.key)
    key_pem = _only_key(key_file, files.origin, _blocks(_read(key_file, files.origin, is_secret=True)))
    chain = _certificates(Path(files.certificate), files.origin)
    roots = _certificates(Path(files.ca), files.origin)
    credential = Credential(said, files.origin, key_pem, chain, roots)
    _check_key(credential, f"{files.key} ({files.origin})")
    return credential


def ready(credential: Credential, renewer: Renewer | None, now: datetime | None = None) -> tuple[Credential, str]:
    """Return a credential that is good now, renewed where that was due, and a warning where it could not be.

    Raises IdentityError where it has ended and was not renewed, or is not good yet.
    """
    moment = datetime.now(UTC) if now is None else now
    warning = ""
    if credential.file is not None and renewer is not None and moment >= credential.renews_at:
        try:
            credential = _renew(credential, credential.file, renewer, moment)
        except RenewalRefusedError as error:
            warning = f"the identity {credential.said} could not be renewed and ends at {_second(credential.ends_at)}"
            warning += f": {error}"
    if moment >= credential.ends_at:
        reason = warning or f"the certificate of {credential.said} ended at {_second(credential.ends_at)}"
        remedy = f"make a new one with {CREATE}" if credential.file else "get a new one from your CA"
        raise IdentityError(
            f"{reason.replace('and ends at', 'and ended at')}; {remedy}, and look at this machine's clock, which says "
            f"{_second(moment)}"
        )
    if moment < credential.begins_at:
        raise IdentityError(
            f"the certificate of {credential.said} is good from {_second(credential.begins_at)} on, and this machine's "
            f"clock says {_second(moment)}: set the clock"
        )
    return credential, warning


# --- reading --------------------------------------------------------------------------------------------------------


def _load_identity(path: Path, origin: str) -> Credential:
    content = _read(path, origin, is_secret=True)
    blocks = _blocks(content)
    key_pem = _only_key(path, origin, blocks)
    found = _parse_certificates(path, origin, [block for kind, block in blocks if kind == b"CERTIFICATE"])
    roots = tuple(one for one in found if one.subject == one.issuer)
    chain = tuple(one for one in found if one.subject != one.issuer)
    if not chain or not roots:
        absent = "no certificate of its holder" if not chain else "no root to trust"
        raise ConfigurationError(f"{path} ({origin}) holds {absent}; make it anew with {CREATE}")
    credential = Credential(f"{path} ({origin})", origin, key_pem, chain, roots, path)
    _check_key(credential, f"{path} ({origin})")
    return credential


def _read(path: Path, origin: str, *, is_secret: bool) -> bytes:
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            content = file.read(_LONGEST_FILE + 1)
    except OSError as error:
        remedy = f"; make one with {CREATE}" if isinstance(error, FileNotFoundError) and is_secret else ""
        raise ConfigurationError(f"{path} ({origin}) cannot be read: {error.strerror}{remedy}") from None
    if is_secret and found.st_mode & _OTHERS:
        raise ConfigurationError(
            f"{path} ({origin}) holds a key and others may read or write it (mode {stat.S_IMODE(found.st_mode):04o}); "
            f"run `chmod 600 {path}`, and make a new one with {CREATE} if somebody may have read it"
        )
    if len(content) > _LONGEST_FILE:
        raise ConfigurationError(f"{path} ({origin}) is larger than {_LONGEST_FILE} bytes: no key or certificate is")
    return content


def _blocks(content: bytes) -> list[tuple[bytes, bytes]]:
    return [(match[1], match[0]) for match in _BLOCK.finditer(content)]


def _only_key(path: Path, origin: str, blocks: Sequence[tuple[bytes, bytes]]) -> bytes:
    keys = [block for kind, block in blocks if kind.endswith(b"PRIVATE KEY")]
    if len(keys) != 1:
        raise ConfigurationError(f"{path} ({origin}) holds {len(keys)} PEM keys; it must hold exactly one")
    try:
        key = serialization.load_pem_private_key(keys[0], None)
    except TypeError:
        raise ConfigurationError(
            f"{path} ({origin}) holds an encrypted key, which cannot be used; decrypt it with `openssl pkey -in {path}`"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationError(f"{path} ({origin}) holds a key that cannot be read") from None
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _certificates(path: Path, origin: str) -> tuple[x509.Certificate, ...]:
    blocks = _blocks(_read(path, origin, is_secret=False))
    found = _parse_certificates(path, origin, [block for kind, block in blocks if kind == b"CERTIFICATE"])
    if not found:
        raise ConfigurationError(f"{path} ({origin}) holds no PEM certificate")
    return found


def _parse_certificates(path: Path, origin: str, blocks: Sequence[bytes]) -> tuple[x509.Certificate, ...]:
    try:
        return tuple(x509.load_pem_x509_certificate(block) for block in blocks)
    except ValueError:
        raise ConfigurationError(f"{path} ({origin}) holds a certificate that cannot be read") from None


def _check_key(credential: Credential, said: str) -> None:
    key = serialization.load_pem_private_key(credential.key_pem, None)
    if _public(key.public_key()) != _public(credential.leaf.public_key()):
        raise ConfigurationError(f"{said}: the key does not belong to the certificate that names its holder")


def _public(key: object) -> bytes:
    public: bytes = key.public_bytes(  # type: ignore[attr-defined]  # every public key has it, no common type says so
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return public


# --- renewing -------------------------------------------------------------------------------------------------------


def _renew(credential: Credential, path: Path, renewer: Renewer, now: datetime) -> Credential:
    """Return the credential with a new key and certificate, which replaced the file as a whole.

    Of several commands at once one renews; the others wait for it where they need that. Raises RenewalRefusedError.
    """
    is_needed = now >= credential.ends_at
    with _alone(path, waits=is_needed) as is_mine:
        if not is_mine:
            return credential
        try:
            # Somebody else may have renewed it since it was read.
            credential = _load_identity(path, credential.origin)
        except ConfigurationError as error:
            raise RenewalRefusedError(str(error)) from None
        if now < credential.renews_at:
            return credential
        return _exchange(credential, path, renewer)


def _exchange(credential: Credential, path: Path, renewer: Renewer) -> Credential:
    old_key = serialization.load_pem_private_key(credential.key_pem, None)
    if not isinstance(old_key, ec.EllipticCurvePrivateKey):
        raise RenewalRefusedError("its key is no ECDSA key, and no collector renews others")
    key = make_key()
    request = make_signing_request(key)
    challenge = renewer.challenge()
    signature = prove_key(old_key, challenge, request)
    old_chain = [one.public_bytes(serialization.Encoding.DER) for one in credential.chain]
    chain_der, roots_der = renewer.renew(request, old_chain, challenge, signature)
    try:
        chain = tuple(x509.load_der_x509_certificate(one) for one in chain_der)
        roots = tuple(x509.load_der_x509_certificate(one) for one in roots_der)
    except ValueError:
        raise RenewalRefusedError("the collector answered what is no certificate") from None
    if not chain or not roots or _public(chain[0].public_key()) != _public(key.public_key()):
        raise RenewalRefusedError("the collector answered a certificate for another key, or no root")
    key_pem = key_to_pem(key)
    renewed = Credential(credential.said, credential.origin, key_pem, chain, roots, path)
    try:
        _replace(path, key_pem + renewed.chain_pem + renewed.roots_pem)
    except OSError as error:
        raise RenewalRefusedError(f"it was renewed, but {path} cannot be replaced: {error.strerror}") from None
    return renewed


@contextlib.contextmanager
def _alone(path: Path, *, waits: bool) -> Iterator[bool]:
    """Yield whether this process alone renews the file now."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise RenewalRefusedError(f"{path} cannot be read: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        except OSError:
            # A file system without locks: two renewals at once are told apart by the collector.
            yield True
        else:
            yield True
    finally:
        os.close(descriptor)


def _replace(path: Path, content: bytes) -> None:
    """Replace a file as a whole, durably; nobody else can read it at any moment. Raises OSError."""
    # A link is followed: what it points to is the file that somebody keeps.
    target = path.resolve()
    trial = target.with_name(f".{target.name}.{secrets.token_hex(_TRIAL_BYTES)}")
    for left in target.parent.glob(f".{glob.escape(target.name)}.{'[0-9a-f]' * 2 * _TRIAL_BYTES}"):
        # Of a renewal that died: it holds a key that nobody uses.
        with contextlib.suppress(OSError):
            left.unlink()
    descriptor = os.open(trial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        trial.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            trial.unlink()
        raise
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def tell_time_left(credential: Credential, now: datetime) -> str:
    """Return how long the certificate is still good, in words."""
    left = credential.ends_at - now
    if left <= timedelta(0):
        return "it has ended"
    hours = int(left.total_seconds()) // 3600
    return f"{hours // 24} days left" if hours >= 48 else f"{hours} hours left"


def _pem(certificates: Sequence[x509.Certificate]) -> bytes:
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def _second(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
