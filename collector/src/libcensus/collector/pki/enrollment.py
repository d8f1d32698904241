"""Enrollment and renewal: who gets a certificate, decided without any transport.

A join token lets a host in once per use; after that only the key that it made itself keeps it in. A machine whose disk
was copied is noticed in both: a host id with a certificate is not given another for another key, and a certificate is
not renewed after its successor was seen in use.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from libcensus.collector.pki.audit import AuditEvent
from libcensus.collector.pki.authority import BACKDATED_CLIENT, key_sha256, serial_of
from libcensus.collector.pki.challenge import check_challenge, make_challenge
from libcensus.collector.pki.errors import (
    BannedError,
    CloneError,
    PkiError,
    RenewalError,
    SigningRequestError,
    TokenError,
)
from libcensus.collector.pki.foreign import BROKEN
from libcensus.collector.pki.identity import HOST_ID, Identity, InvalidIdentityError, Role, parse_identity
from libcensus.collector.pki.records import CertificateRecord
from libcensus.collector.pki.tokens import parse_token
from libcensus.collector.store.contract import EnrollOutcome
from libcensus.collector.store.trust import SUPERSEDED
from libcensus.facts.renewal import renewal_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from libcensus.collector.config import CollectorSettings
    from libcensus.collector.pki.audit import AuditLog
    from libcensus.collector.pki.authority import Authority, IssuedCertificate
    from libcensus.collector.pki.records import JoinToken
    from libcensus.collector.pki.tokens import PresentedToken
    from libcensus.collector.store.contract import Store

LONGEST_REQUEST = 8 * 1024
"""Bytes that a certificate signing request may have; one for P-384 has some 300."""

LONGEST_CERTIFICATE = 8 * 1024
LONGEST_HOSTNAME = 255
MOST_REPEATS = 16
"""How often one token gives certificates for one key: a lost answer is asked for again, but not for ever."""

NEW_MACHINE_ID = "rm -f /etc/machine-id /var/lib/dbus/machine-id && systemd-machine-id-setup"


class Enrollment:
    """Gives certificates to hosts with tokens, and new ones to whoever proves a key. Safe in several threads.

    ``authority`` is asked at each call, so that a rotated one counts at once.
    """

    def __init__(
        self,
        store: Store,
        authority: Callable[[], Authority],
        settings: CollectorSettings,
        audit: AuditLog,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._authority = authority
        self._lifetime = timedelta(seconds=settings.certificate_lifetime)
        self._grace = timedelta(seconds=settings.renewal_grace)
        self._audit = audit
        self._clock = clock

    # --- with a token --------------------------------------------------------------------------------------------

    def enroll(
        self, token: str, csr_der: bytes, machine_id_hash: str, hostname: str, peer: str
    ) -> tuple[list[bytes], list[bytes]]:
        """Return the chain (DER, leaf first, without the root) and the trusted roots (DER) for a host with a token.

        Raises TokenError, SigningRequestError, BannedError, CloneError, and StoreError. What was stored is durable.
        """
        token_id: str | None = None
        subject: str | None = None
        try:
            presented = parse_token(token)
            token_id = presented.token_id
            kept = self._find_token(presented, hostname)
            identity = self._host_identity(machine_id_hash, hostname)
            subject = identity.subject
            public_key = requested_key(csr_der)
            issued = self._enroll(kept, identity, public_key, hostname)
        except PkiError as error:
            self._audit.record(
                AuditEvent.ENROLLMENT_REFUSED,
                subject=subject,
                peer=peer,
                host=hostname,
                token_id=token_id,
                reason=_reason(error),
            )
            raise
        self._audit.record(
            AuditEvent.ENROLLED,
            subject=identity.subject,
            peer=peer,
            host=hostname,
            token_id=token_id,
            serial=issued.serial,
        )
        return list(issued.chain), self._roots()

    def _find_token(self, presented: PresentedToken, hostname: str) -> JoinToken:
        """Return the token, good but perhaps used up: whoever lost the answer may ask again."""
        kept = self._store.find_token(presented.token_id)
        if kept is None or not presented.proves(kept):
            raise TokenError(
                "this join token is not known here: it was mistyped, forgotten after its end, or is another "
                "collector's; make a new one with libcensus-collector token create"
            )
        # Whoever comes this far has the whole token and may know what is wrong with it.
        if kept.revoked_at is not None:
            raise TokenError(
                f"the join token {kept.token_id} was revoked on {_second(kept.revoked_at)}; make a new one with "
                "libcensus-collector token create"
            )
        if kept.expires_at <= self._clock():
            raise TokenError(
                f"the join token {kept.token_id} expired on {_second(kept.expires_at)}; make a new one with "
                "libcensus-collector token create --ttl TIME"
            )
        if kept.hostname is not None and kept.hostname.lower() != hostname.lower():
            raise TokenError(
                f"the join token {kept.token_id} is for the host {kept.hostname}, and this one calls itself "
                f"{hostname[:LONGEST_HOSTNAME]!r}; make one with libcensus-collector token create --host HOSTNAME"
            )
        return kept

    def _host_identity(self, machine_id_hash: str, hostname: str) -> Identity:
        if not 0 < len(hostname) <= LONGEST_HOSTNAME or not hostname.isprintable():
            raise SigningRequestError(
                f"hostname: is not 1 to {LONGEST_HOSTNAME} printable characters; set the host's name"
            )
        if not HOST_ID.fullmatch(machine_id_hash):
            raise SigningRequestError("machine_id_hash: is not 32 lower-case hexadecimal digits; upgrade the agent")
        identity = Identity(self._authority().trust_domain, Role.AGENT, machine_id_hash)
        self._refuse_banned(identity)
        return identity

    def _enroll(
        self, token: JoinToken, identity: Identity, public_key: ec.EllipticCurvePublicKey, hostname: str
    ) -> IssuedCertificate:
        now = self._clock()
        digest = key_sha256(public_key)
        issued = self._authority().issue(public_key, identity, self._lifetime, now)
        record = _record(issued, identity, now, hostname=hostname, token_id=token.token_id)
        of_key = [one for one in self._store.certificates(identity.subject) if one.key_sha256 == digest]
        if any(one.revoked_at is not None for one in of_key):
            raise SigningRequestError(
                "certificate_signing_request: a certificate for this key was revoked, so the key is good no more; run "
                "libcensus-agent enroll again, which makes a new one"
            )
        repeated = [one for one in of_key if one.token_id == token.token_id]
        if repeated:
            if len(repeated) >= MOST_REPEATS:
                raise TokenError(
                    f"the join token {token.token_id} gave {MOST_REPEATS} certificates for one key already; look why "
                    "the agent does not keep them, and make a new token with libcensus-collector token create"
                )
            self._store.put_certificate(record)
            return issued
        alive_after = None if token.replaces else now - self._grace
        match self._store.enroll(token.token_id, record, now, alive_after=alive_after):
            case EnrollOutcome.ENROLLED:
                return issued
            case EnrollOutcome.ALREADY_ENROLLED:
                raise CloneError(
                    f"the host id {identity.name} is enrolled already, by a machine with another key. If this machine "
                    "was installed anew or lost its key, make a token with libcensus-collector token create --replace "
                    "and enroll with that one. If its disk is a copy of another machine's, give it a machine id of its "
                    f"own first: {NEW_MACHINE_ID}; then enroll it again"
                )
            case EnrollOutcome.TOKEN_REFUSED:
                raise TokenError(
                    f"the join token {token.token_id} has no use left; make a new one with libcensus-collector token "
                    "create --uses N"
                )

    # --- with a certificate --------------------------------------------------------------------------------------

    def challenge(self) -> bytes:
        """Return bytes that a renewal must sign within a minute, with any collector of the same authority."""
        return make_challenge(self._authority().challenge_key, self._clock())

    def renew(
        self, csr_der: bytes, chain: Sequence[bytes], challenge: bytes, signature: bytes, peer: str
    ) -> tuple[list[bytes], list[bytes]]:
        """Return a new chain and the trusted roots (DER) for whoever proves the key of a certificate.

        ``signature`` is ECDSA with SHA-256 by the certificate's key over :func:`renewal_bytes` of challenge and
        request. Raises ChallengeError, RenewalError, ExpiredCertificateError, SigningRequestError, BannedError,
        CloneError, and StoreError.
        """
        leaf: x509.Certificate | None = None
        identity: Identity | None = None
        host: str | None = None
        try:
            authority, now = self._authority(), self._clock()
            check_challenge(authority.challenge_key, challenge, now)
            # Before anything is worked out over them.
            if any(len(one) > LONGEST_CERTIFICATE for one in chain) or len(csr_der) > LONGEST_REQUEST:
                raise SigningRequestError(
                    f"a certificate of the chain has more than {LONGEST_CERTIFICATE} bytes, or the request has more "
                    f"than {LONGEST_REQUEST}"
                )
            leaf = authority.verify(chain, now, self._grace)
            identity = _identity_of(leaf, authority.trust_domain)
            old_key = _prove_key(leaf, signature, renewal_bytes(challenge, csr_der))
            public_key = requested_key(csr_der)
            if key_sha256(public_key) == key_sha256(old_key):
                raise SigningRequestError("a renewal is for a new key, and this request is for the old one")
            self._refuse_banned(identity)
            old = self._find_renewed(leaf, identity)
            host = old.hostname
            issued = self._renew(old, identity, public_key)
        except PkiError as error:
            self._audit.record(
                AuditEvent.RENEWAL_REFUSED,
                subject=None if identity is None else identity.subject,
                peer=peer,
                host=host,
                serial=None if leaf is None else serial_of(leaf),
                reason=_reason(error),
            )
            raise
        self._audit.record(AuditEvent.RENEWED, subject=identity.subject, peer=peer, host=host, serial=issued.serial)
        return list(issued.chain), self._roots()

    def _find_renewed(self, leaf: x509.Certificate, identity: Identity) -> CertificateRecord:
        old = self._store.find_certificate(serial_of(leaf)) or self._adopt(leaf, identity)
        if old is None or old.subject != identity.subject:
            raise RenewalError(
                "the certificate is not known here: it was forgotten, or the collector's database is another; enroll "
                "again with a new token (libcensus-collector token create --replace)"
            )
        if old.revoked_at is None:
            return old
        if old.revoked_reason == SUPERSEDED:
            raise self._clone_of(identity)
        raise RenewalError(
            f"the certificate was revoked on {_second(old.revoked_at)} ({old.revoked_reason}); enroll again with a new "
            "token (libcensus-collector token create)"
        )

    def _adopt(self, leaf: x509.Certificate, identity: Identity) -> CertificateRecord | None:
        """Return the record of a certificate that was issued after the backup that was restored since; else nothing.

        Its chain and its key are proved. Outside that time an unknown certificate is one that no collector issued.
        """
        begins = leaf.not_valid_before_utc
        if not any(
            one.taken_at <= begins + BACKDATED_CLIENT and begins <= one.restored_at for one in self._store.restores()
        ):
            return None
        key = leaf.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey):
            return None
        ends = leaf.not_valid_after_utc
        record = CertificateRecord(serial_of(leaf), identity.subject, key_sha256(key), begins, ends)
        self._store.adopt_certificate(record)
        return record

    def _renew(
        self, old: CertificateRecord, identity: Identity, public_key: ec.EllipticCurvePublicKey
    ) -> IssuedCertificate:
        now = self._clock()
        # An operator's certificate was made for a time of its own.
        lifetime = self._lifetime if identity.role is Role.AGENT else old.expires_at - old.issued_at
        issued = self._authority().issue(public_key, identity, lifetime, now)
        record = _record(issued, identity, now, hostname=old.hostname, predecessor=old.serial, token_id=old.token_id)
        if not self._store.renew(record, now):
            raise self._clone_of(identity)
        return issued

    def _clone_of(self, identity: Identity) -> CloneError:
        return CloneError(
            f"this certificate of {identity.subject} was renewed already, and whoever did so uses the new one: there "
            "are two copies of its key. If this machine was restored from a backup, make a token with "
            "libcensus-collector token create --replace and enroll with that one. If its disk is a copy of another "
            f"machine's, give it a machine id of its own first: {NEW_MACHINE_ID}; then enroll it with a token. If "
            "neither, the key was stolen: libcensus-collector certificates revoke"
        )

    # --- both ----------------------------------------------------------------------------------------------------

    def _refuse_banned(self, identity: Identity) -> None:
        for ban in self._store.bans():
            if ban.subject == identity.subject:
                raise BannedError(
                    f"{identity.subject} is banned since {_second(ban.banned_at)} ({ban.reason}); an operator can lift "
                    "that with libcensus-collector unban"
                )

    def _roots(self) -> list[bytes]:
        return [root.public_bytes(serialization.Encoding.DER) for root in self._authority().roots]


def requested_key(csr_der: bytes) -> ec.EllipticCurvePublicKey:
    """Return the key of a signing request that proves that the sender has it; raises SigningRequestError."""
    if len(csr_der) > LONGEST_REQUEST:
        raise SigningRequestError(
            f"certificate_signing_request: has {len(csr_der)} bytes, and at most {LONGEST_REQUEST} are taken"
        )
    try:
        request = x509.load_der_x509_csr(csr_der)
        public_key = request.public_key()
        is_signed = request.is_signature_valid
    except BROKEN:
        raise SigningRequestError(
            "certificate_signing_request: is no PKCS #10 request in DER form for an ECDSA key"
        ) from None
    if not isinstance(public_key, ec.EllipticCurvePublicKey) or not isinstance(
        public_key.curve, ec.SECP256R1 | ec.SECP384R1
    ):
        raise SigningRequestError("certificate_signing_request: its key is not ECDSA on P-256 or P-384")
    if not is_signed:
        raise SigningRequestError("certificate_signing_request: is not signed by its own key")
    return public_key


def _identity_of(leaf: x509.Certificate, trust_domain: str) -> Identity:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        [uri] = names.get_values_for_type(x509.UniformResourceIdentifier)
        identity = parse_identity(uri)
    except (x509.ExtensionNotFound, InvalidIdentityError, ValueError):
        raise RenewalError("the certificate names no host or operator of libcensus by one URI") from None
    if identity.trust_domain != trust_domain:
        raise RenewalError(
            f"the certificate is of the trust domain {identity.trust_domain}, and this collector's is {trust_domain}"
        )
    return identity


def _prove_key(leaf: x509.Certificate, signature: bytes, signed: bytes) -> ec.EllipticCurvePublicKey:
    """Return the key of a certificate, whose holder signed; raises RenewalError where it was somebody else."""
    key = leaf.public_key()
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
            return key
    except InvalidSignature:
        pass
    raise RenewalError("the signature was not made with the key of the certificate that is to be renewed")


def _record(
    issued: IssuedCertificate,
    identity: Identity,
    now: datetime,
    *,
    hostname: str | None,
    predecessor: str | None = None,
    token_id: str | None = None,
) -> CertificateRecord:
    return CertificateRecord(
        serial=issued.serial,
        subject=identity.subject,
        key_sha256=issued.key_sha256,
        issued_at=now,
        expires_at=issued.not_after,
        hostname=hostname,
        predecessor=predecessor,
        token_id=token_id,
    )


def _reason(error: PkiError) -> str:
    return f"{type(error).__name__}: {error}"


def _second(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
