"""The certificate authority in a folder: a root and an issuing key, both ECDSA P-256.

==============  =======================================================================================
``root.pem``    the newest root's certificate
``root.key``    its key: needed to rotate alone, and may be kept elsewhere in between
``issuing.pem`` the certificate of the key that issues, signed by a root
``issuing.key`` the key that issues
``roots.pem``   every root that hosts and collectors trust, the newest first
``cross.pem``   roots that an older trusted root signed, so that hosts which know only that one go on working
==============  =======================================================================================

Each file is replaced in one step, and together they are in order after each step: ``issuing.pem`` may hold two
certificates for a moment, of which the one for the present key counts. So a collector that reads while somebody
rotates, or after a power loss in the middle, finds an authority that works.
"""

from __future__ import annotations

import hashlib
import ipaddress
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, VerificationError
from cryptography.x509.verification import Store as TrustStore

from libcensus.collector.errors import ConfigurationError
from libcensus.collector.pki.errors import AuthorityExpiredError, ExpiredCertificateError, RenewalError
from libcensus.collector.pki.foreign import BROKEN
from libcensus.collector.pki.keyfiles import (
    certificates_pem,
    changing,
    check_folder,
    key_pem,
    make_folder,
    read_certificates,
    read_key,
    write_certificates,
    write_key,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from libcensus.collector.pki.identity import Identity

ROOT_LIFE = timedelta(days=3650)
ISSUING_LIFE = timedelta(days=398)
ROTATE_BEFORE = timedelta(days=60)
"""How long before its end the issuing certificate is to be rotated: a collector warns from then on."""

_BACKDATED = timedelta(days=1)
"""How long before it was made a CA's or a server's certificate is good: clocks of hosts go wrong."""

BACKDATED_CLIENT = timedelta(minutes=10)
"""The same for certificates of hosts and operators, which collectors alone look at."""

_UNVERIFIED: tuple[type[Exception], ...] = (VerificationError, *BROKEN)
"""What the library raises for a chain that proves nothing, or that it cannot read."""

_MOST_CERTIFICATES = 8
"""Certificates that a chain may have: a leaf, the issuing one, and one for each rotated root that is still trusted."""

_FILES = ("issuing.pem", "issuing.key", "roots.pem", "cross.pem")

Stamp = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate of a host or operator. ``chain`` is DER, leaf first, without a root.

    ``serial`` is hexadecimal without leading zeros, ``key_sha256`` the digest of the SubjectPublicKeyInfo.
    """

    certificate: x509.Certificate
    chain: tuple[bytes, ...]
    serial: str
    key_sha256: str
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """A key and what a TLS server shows for it, both PEM."""

    key_pem: bytes = field(repr=False)
    chain_pem: bytes
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True)
class Authority:
    """A certificate authority that can issue; made by :meth:`load` or :meth:`init`, and never changes.

    ``roots`` are those that are trusted, the newest first. ``issuing_chain`` leads from a leaf to every one of them:
    the issuing certificate, then cross certificates.
    """

    trust_domain: str
    roots: tuple[x509.Certificate, ...]
    issuing_chain: tuple[x509.Certificate, ...]
    stamp: Stamp
    _key: ec.EllipticCurvePrivateKey = field(repr=False)

    # --- making and reading --------------------------------------------------------------------------------------

    @staticmethod
    def exists(folder: Path) -> bool:
        """Tell whether there is an authority in the folder, or what is left of one."""
        return any((folder / name).exists() for name in ("issuing.pem", "issuing.key", "root.pem", "roots.pem"))

    @classmethod
    def init(cls, folder: Path, trust_domain: str, now: datetime) -> Self:
        """Make a root and an issuing key in a folder that has none; raises ConfigurationError."""
        make_folder(folder)
        check_folder(folder)
        with changing(folder):
            if cls.exists(folder):
                raise ConfigurationError(
                    f"{folder}: there is a certificate authority already; look at it with libcensus-collector ca show, "
                    "replace its keys with libcensus-collector ca rotate, or name another folder with --pki-dir"
                )
            root_key = ec.generate_private_key(ec.SECP256R1())
            root = _make_root(root_key, trust_domain, now)
            write_key(folder / "root.key", root_key)
            write_certificates(folder / "root.pem", [root])
            write_certificates(folder / "roots.pem", [root])
            _write_issuing(folder, root, root_key, trust_domain, now)
        return cls.load(folder, trust_domain, now)

    @classmethod
    def load(cls, folder: Path, trust_domain: str, now: datetime | None = None) -> Self:
        """Read the authority of a folder, without the root's key.

        Raises ConfigurationError with the remedy where it is missing, where others can read its keys, where files do
        not belong together or to the trust domain, and where it has expired.
        """
        moment = datetime.now(UTC) if now is None else now
        if not cls.exists(folder):
            raise ConfigurationError(
                f"{folder}: there is no certificate authority; make one with libcensus-collector ca init, or set "
                "tls_certificate, tls_key and tls_client_ca to use one of your own"
            )
        check_folder(folder)
        # Before the files: a change while they are read is noticed by the next look at the stamp.
        stamp = _stamp(folder)
        key = read_key(folder / "issuing.key")
        found = [one for one in read_certificates(folder / "issuing.pem") if _is_key_of(key, one)]
        if not found:
            # The certificate was replaced between the two reads, or another file was put there.
            key = read_key(folder / "issuing.key")
            found = [one for one in read_certificates(folder / "issuing.pem") if _is_key_of(key, one)]
        if not found:
            raise ConfigurationError(
                f"{folder}: issuing.key is not the key of issuing.pem; restore both from one backup, or run "
                "libcensus-collector ca rotate"
            )
        roots = read_certificates(folder / "roots.pem")
        chain = _chain_to(roots, found[0], _read_cross(folder))
        if not chain:
            raise ConfigurationError(
                f"{folder}: issuing.pem is not signed by a root of roots.pem; restore both from one backup, or run "
                "libcensus-collector ca rotate"
            )
        authority = cls(trust_domain, roots, chain, stamp, key)
        authority._check(folder, moment)
        return authority

    def _check(self, folder: Path, now: datetime) -> None:
        for one, name in ((self.issuing_chain[0], "issuing.pem"), (self.roots[0], "roots.pem")):
            domain = _organisation(one)
            if domain != self.trust_domain:
                raise ConfigurationError(
                    f"{folder / name}: is of the trust domain {domain[:63]!r}, and trust_domain is "
                    f"{self.trust_domain!r}; set trust_domain = {domain[:63]!r}, or name another folder with --pki-dir"
                )
        if self.root_expires_at <= now:
            raise AuthorityExpiredError(
                f"{folder / 'roots.pem'}: the root expired on {_day(self.root_expires_at)}; make a new authority in "
                "another folder with libcensus-collector ca init, and enroll the hosts again"
            )
        if self.issuing_expires_at <= now:
            raise AuthorityExpiredError(
                f"{folder / 'issuing.pem'}: expired on {_day(self.issuing_expires_at)}; run libcensus-collector ca "
                "rotate, with root.key in the folder"
            )

    def changed(self, folder: Path) -> bool:
        """Tell, by a look at times and sizes, whether the files are others than those that were read."""
        return _stamp(folder) != self.stamp

    # --- what it is ----------------------------------------------------------------------------------------------

    @cached_property
    def roots_pem(self) -> bytes:
        """The trusted roots as PEM, the newest first."""
        return certificates_pem(self.roots)

    @cached_property
    def fingerprints(self) -> tuple[str, ...]:
        """SHA-256 of each trusted root's DER, hexadecimal, the newest first."""
        return tuple(fingerprint(root) for root in self.roots)

    @property
    def issuing_expires_at(self) -> datetime:
        """When the issuing certificate ends, and with it everything that it issued."""
        return self.issuing_chain[0].not_valid_after_utc

    @property
    def root_expires_at(self) -> datetime:
        """When the newest trusted root ends."""
        return self.roots[0].not_valid_after_utc

    def should_rotate(self, now: datetime) -> bool:
        """Tell whether the end of the issuing certificate or of the root is so near that it is time to rotate."""
        return min(self.issuing_expires_at, self.root_expires_at) - now < ROTATE_BEFORE

    @cached_property
    def challenge_key(self) -> bytes:
        """Key of the challenges that renewals sign: the same on every collector with the same issuing key."""
        secret = self._key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return HKDF(hashes.SHA256(), 32, None, b"libcensus renewal challenge v1").derive(secret)

    # --- issuing -------------------------------------------------------------------------------------------------

    def issue(
        self, public_key: ec.EllipticCurvePublicKey, identity: Identity, lifetime: timedelta, now: datetime
    ) -> IssuedCertificate:
        """Issue a certificate of a host or operator; it ends with the issuing certificate at the latest.

        The caller has made sure that whoever asks has the key, and is who ``identity`` says.
        """
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, self.trust_domain),
                x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, identity.role.value),
                x509.NameAttribute(NameOID.COMMON_NAME, identity.name),
            ]
        )
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity.uri)])
        usage = ExtendedKeyUsageOID.CLIENT_AUTH
        certificate = self._sign(public_key, subject, names, usage, now, BACKDATED_CLIENT, lifetime)
        chain = (certificate, *self.issuing_chain)
        return IssuedCertificate(
            certificate=certificate,
            chain=tuple(one.public_bytes(serialization.Encoding.DER) for one in chain),
            serial=serial_of(certificate),
            key_sha256=key_sha256(public_key),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
        )

    def issue_server(self, names: Sequence[str], lifetime: timedelta, now: datetime) -> ServerCertificate:
        """Make a key and a server certificate for DNS names and IP addresses, at least one; the key is kept nowhere.

        Raises ConfigurationError for a name that no certificate can hold.
        """
        if not names:
            raise ConfigurationError(
                "server_names: is empty, and a certificate needs the names by which agents reach this collector; set "
                "it, for example to census.example"
            )
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, self.trust_domain),
                x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "collector"),
            ]
        )
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
        usage = ExtendedKeyUsageOID.SERVER_AUTH
        certificate = self._sign(key.public_key(), subject, alternatives, usage, now, _BACKDATED, lifetime)
        return ServerCertificate(
            key_pem=key_pem(key),
            chain_pem=certificates_pem((certificate, *self.issuing_chain)),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
        )

    def _sign(
        self,
        public_key: ec.EllipticCurvePublicKey,
        subject: x509.Name,
        names: x509.SubjectAlternativeName,
        usage: x509.ObjectIdentifier,
        now: datetime,
        backdated: timedelta,
        lifetime: timedelta,
    ) -> x509.Certificate:
        issuing = self.issuing_chain[0]
        begin = max(now - backdated, issuing.not_valid_before_utc)
        end = min(now + lifetime, issuing.not_valid_after_utc)
        if end <= now:
            raise AuthorityExpiredError(
                f"the issuing certificate of the trust domain {self.trust_domain} ended on "
                f"{_day(issuing.not_valid_after_utc)}; run libcensus-collector ca rotate"
            )
        return (
            _builder(public_key, subject, issuing.subject, self._key.public_key(), (begin, end))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(names, critical=False)
            .sign(self._key, hashes.SHA256())
        )

    # --- judging -------------------------------------------------------------------------------------------------

    def verify(self, chain: Sequence[bytes], now: datetime, grace: timedelta) -> x509.Certificate:
        """Return the leaf of a client's chain (DER, leaf first) that leads to a trusted root.

        A leaf that ended within ``grace`` is let through. Raises ExpiredCertificateError for one that ended before
        that, RenewalError for any other reason.
        """
        if not 0 < len(chain) <= _MOST_CERTIFICATES:
            raise RenewalError(f"a chain has 1 to {_MOST_CERTIFICATES} certificates, and this has {len(chain)}")
        try:
            leaf, *others = [x509.load_der_x509_certificate(one) for one in chain]
            end, begin = leaf.not_valid_after_utc, leaf.not_valid_before_utc
        except BROKEN:
            raise RenewalError("the certificate chain is broken: it holds something that is no certificate") from None
        if now < begin:
            raise RenewalError(
                f"the certificate is good from {_second(begin)} on, and here it is {_second(now)}: set the "
                "collectors' clocks"
            )
        # What the leaf ends with is asked at the last moment of the leaf; authorities outlive what they issue.
        moment = min(now, end)
        builder = PolicyBuilder().store(TrustStore(list(self.roots))).time(moment).max_chain_depth(_MOST_CERTIFICATES)
        try:
            builder.build_client_verifier().verify(leaf, others)
        except _UNVERIFIED:
            # Not the reason in the library's words: they are of no use to whoever operates a host.
            raise RenewalError(
                "the certificate does not lead to a root that this collector trusts: it is of another collector, of a "
                "root that was retired, or no client's certificate; enroll the host again with a new token"
            ) from None
        if now - end > grace:
            raise ExpiredCertificateError(
                f"the certificate ended on {_second(end)}, longer ago than the grace period of {grace.days} days; "
                "enroll the host again with a new token (libcensus-collector token create)"
            )
        return leaf


# --- rotation -------------------------------------------------------------------------------------------------------


def rotate_issuing(folder: Path, now: datetime) -> None:
    """Make a new issuing key, signed by the newest root; what the old one issued stays good.

    Raises ConfigurationError where there is no authority, or the root's key is not in the folder.
    """
    _require_authority(folder)
    with changing(folder):
        root, key = _read_root(folder, now)
        _write_issuing(folder, root, key, _organisation(root), now)


def rotate_root(folder: Path, now: datetime) -> None:
    """Make a new root and a new issuing key; both roots are trusted from now on.

    The old root signs the new one, so that hosts which know only the old one go on working; they learn of the new one
    with their next renewal. The old root's key is destroyed. Raises ConfigurationError.
    """
    _require_authority(folder)
    with changing(folder):
        old, old_key = _read_root(folder, now)
        trust_domain = _organisation(old)
        key = ec.generate_private_key(ec.SECP256R1())
        new = _make_root(key, trust_domain, now)
        cross = (
            _builder(
                key.public_key(),
                new.subject,
                old.subject,
                old_key.public_key(),
                (new.not_valid_before_utc, min(new.not_valid_after_utc, old.not_valid_after_utc)),
            )
            # Two more may follow: the cross certificate of a later root, and an issuing one.
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_key_usage(ca=True), critical=True)
            .sign(old_key, hashes.SHA256())
        )
        # In this order each step leaves an authority that works: trust first, then the way to it, then the keys.
        write_certificates(folder / "roots.pem", [new, *read_certificates(folder / "roots.pem")])
        write_certificates(folder / "cross.pem", [cross, *_read_cross(folder)])
        write_certificates(folder / "root.pem", [new, old])
        write_key(folder / "root.key", key)
        write_certificates(folder / "root.pem", [new])
        _write_issuing(folder, new, key, trust_domain, now)


def retire_root(folder: Path, root_fingerprint: str) -> x509.Certificate:
    """Trust a root no longer, and return it; whatever leads to no other root is refused from then on.

    Raises ConfigurationError where it is not trusted anyway, or is the one that the issuing key hangs on.
    """
    _require_authority(folder)
    with changing(folder):
        return _retire(folder, root_fingerprint)


def _retire(folder: Path, root_fingerprint: str) -> x509.Certificate:
    roots = read_certificates(folder / "roots.pem")
    wanted = root_fingerprint.replace(":", "").lower()
    retired = next((one for one in roots if fingerprint(one) == wanted), None)
    if retired is None:
        known = ", ".join(fingerprint(one) for one in roots)
        raise ConfigurationError(
            f"{folder / 'roots.pem'}: no root has the fingerprint {wanted[:64]!r}; there are {known}"
        )
    issuing = read_certificates(folder / "issuing.pem")
    if retired == roots[0] or any(_is_issued_by(one, retired) for one in issuing):
        raise ConfigurationError(
            f"{folder / 'roots.pem'}: {wanted} is the root that certificates are issued under now; run "
            "libcensus-collector ca rotate --root first, and retire it when all hosts have renewed"
        )
    cross = [one for one in _read_cross(folder) if not _is_issued_by(one, retired)]
    write_certificates(folder / "roots.pem", [one for one in roots if one != retired])
    if cross:
        write_certificates(folder / "cross.pem", cross)
    else:
        (folder / "cross.pem").unlink(missing_ok=True)
    return retired


# --- certificates ---------------------------------------------------------------------------------------------------


def fingerprint(certificate: x509.Certificate) -> str:
    """Return SHA-256 of a certificate's DER, in lower-case hexadecimal digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def serial_of(certificate: x509.Certificate) -> str:
    """Return a certificate's serial number as it is kept: hexadecimal without leading zeros."""
    return f"{certificate.serial_number:x}"


def key_sha256(public_key: ec.EllipticCurvePublicKey) -> str:
    """Return SHA-256 of a key's SubjectPublicKeyInfo, in lower-case hexadecimal digits."""
    return hashlib.sha256(
        public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    ).hexdigest()


def _make_root(key: ec.EllipticCurvePrivateKey, trust_domain: str, now: datetime) -> x509.Certificate:
    name = _authority_name(trust_domain, "root", key)
    return (
        _builder(key.public_key(), name, name, key.public_key(), (now - _BACKDATED, now + ROOT_LIFE))
        # No bound on the length: the certificate of a later root may stand between this one and an issuing one.
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _write_issuing(
    folder: Path, root: x509.Certificate, root_key: ec.EllipticCurvePrivateKey, trust_domain: str, now: datetime
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    end = min(now + ISSUING_LIFE, root.not_valid_after_utc)
    certificate = (
        _builder(
            key.public_key(),
            _authority_name(trust_domain, "issuing", key),
            root.subject,
            root_key.public_key(),
            (max(now - _BACKDATED, root.not_valid_before_utc), end),
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    before: tuple[x509.Certificate, ...] = ()
    with suppress(ConfigurationError):
        before = read_certificates(folder / "issuing.pem")[:1]
    write_certificates(folder / "issuing.pem", [certificate, *before])
    write_key(folder / "issuing.key", key)
    write_certificates(folder / "issuing.pem", [certificate])


def _require_authority(folder: Path) -> None:
    if not Authority.exists(folder):
        raise ConfigurationError(
            f"{folder}: there is no certificate authority; make one with libcensus-collector ca init"
        )
    check_folder(folder)


def _read_root(folder: Path, now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    if not (folder / "root.key").exists():
        raise ConfigurationError(
            f"{folder / 'root.key'}: is not here, and rotating needs it; copy it from where it is kept, run the "
            "command again, and take it away again"
        )
    key = read_key(folder / "root.key")
    found = [one for one in read_certificates(folder / "root.pem") if _is_key_of(key, one)]
    if not found:
        raise ConfigurationError(f"{folder}: root.key is not the key of root.pem; put the right one there")
    if found[0].not_valid_after_utc <= now:
        raise ConfigurationError(
            f"{folder / 'root.pem'}: expired on {_day(found[0].not_valid_after_utc)}; make a new authority in another "
            "folder with libcensus-collector ca init, and enroll the hosts again"
        )
    return found[0], key


def _read_cross(folder: Path) -> tuple[x509.Certificate, ...]:
    path = folder / "cross.pem"
    return read_certificates(path) if path.exists() else ()


def _chain_to(
    roots: Sequence[x509.Certificate], issuing: x509.Certificate, cross: Sequence[x509.Certificate]
) -> tuple[x509.Certificate, ...]:
    """Return the issuing certificate and the cross certificates that lead on; nothing where no root signed it."""
    root = next((one for one in roots if _is_issued_by(issuing, one)), None)
    if root is None:
        return ()
    chain = [issuing]
    while root is not None:
        step = next((one for one in cross if one.subject == root.subject and one not in chain), None)
        if step is None:
            break
        chain.append(step)
        root = next((one for one in roots if _is_issued_by(step, one)), None)
    return tuple(chain)


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _is_key_of(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> bool:
    return key.public_key() == certificate.public_key()


def _authority_name(trust_domain: str, what: str, key: ec.EllipticCurvePrivateKey) -> x509.Name:
    # Of each key its own: two authorities of one name would make paths ambiguous.
    mark = key_sha256(key.public_key())[:8]
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, trust_domain),
            x509.NameAttribute(NameOID.COMMON_NAME, f"libcensus {what} CA {mark}"),
        ]
    )


def _organisation(certificate: x509.Certificate) -> str:
    found = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return str(found[0].value) if found else ""


def _builder(
    public_key: ec.EllipticCurvePublicKey,
    subject: x509.Name,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePublicKey,
    period: tuple[datetime, datetime],
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(period[0])
        .not_valid_after(period[1])
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError:
        raise ConfigurationError(
            f"server_names: {name[:255]!r} is no DNS name that a certificate can hold; write it in ASCII (xn--…)"
        ) from None


def _stamp(folder: Path) -> Stamp:
    found: list[tuple[int, int, int] | None] = []
    for name in _FILES:
        try:
            state = (folder / name).stat()
        except OSError:
            found.append(None)
        else:
            found.append((state.st_ino, state.st_mtime_ns, state.st_size))
    return tuple(found)


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d")


def _second(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
