"""Join tokens, certificates and bans in SQL: the part of the store that says who may speak.

What must hold between collectors holds by the database: a token's use is one conditional update, and whatever looks
at a subject's certificates before it adds one waits for others that do the same for this subject.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import and_, bindparam, delete, func, insert, or_, select, update

from libcensus.collector.pki.records import Ban, CertificateRecord, JoinToken, Refusals
from libcensus.collector.store.contract import EnrollOutcome, Restoration, Store
from libcensus.collector.store.tables import BANS, CERTIFICATES, HOST_LABELS, RESTORES, TOKENS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, RowMapping

T = TypeVar("T")

_SUBJECT_LOCK = 0x6C69_6263
"""``libc`` in ASCII: the first half of the key of a subject's lock in PostgreSQL."""

_CHUNK = 500

REPLACED = "replaced by an enrollment anew"
SUPERSEDED = "its renewal was asked for again before it was used"

_USE_TOKEN = (
    update(TOKENS)
    .where(
        TOKENS.c.token_id == bindparam("key"),
        TOKENS.c.uses_left > 0,
        TOKENS.c.revoked_at.is_(None),
        TOKENS.c.expires_at > bindparam("moment"),
    )
    .values(uses_left=TOKENS.c.uses_left - 1)
)
_NOTE_USE = (
    update(CERTIFICATES)
    .where(CERTIFICATES.c.serial == bindparam("key"), CERTIFICATES.c.first_used_at.is_(None))
    .values(first_used_at=bindparam("moment"))
)
_FIND_CERTIFICATE = select(CERTIFICATES).where(CERTIFICATES.c.serial == bindparam("serial"))


class TrustRecords(Store):
    """The store's tokens, certificates and bans; transactions are the heir's."""

    _insert: Any

    @abstractmethod
    def _transact(self, work: Callable[[Connection], T]) -> T:
        """Run work in one transaction that writes, again where it lost a race."""

    @abstractmethod
    def _reading(self) -> AbstractContextManager[Connection]:
        """Give a connection that reads."""

    # --- tokens --------------------------------------------------------------------------------------------------

    def put_token(self, token: JoinToken) -> None:
        """Keep a new join token."""
        values = {
            "token_id": token.token_id,
            "secret_sha256": token.secret_sha256,
            "created_at": token.created_at,
            "expires_at": token.expires_at,
            "uses": token.uses,
            "uses_left": token.uses_left,
            "hostname": token.hostname,
            "labels": json.dumps(dict(token.labels), sort_keys=True),
            "replaces": token.replaces,
            "revoked_at": token.revoked_at,
        }
        self._transact(lambda connection: connection.execute(insert(TOKENS), values))

    def tokens(self) -> list[JoinToken]:
        """Return all tokens that are kept, the newest first."""
        with self._reading() as connection:
            found = [_token(row) for row in connection.execute(select(TOKENS)).mappings()]
        return sorted(found, key=lambda token: (token.created_at, token.token_id), reverse=True)

    def find_token(self, token_id: str) -> JoinToken | None:
        """Return the token with this id."""
        with self._reading() as connection:
            row = connection.execute(select(TOKENS).where(TOKENS.c.token_id == token_id)).mappings().one_or_none()
        return None if row is None else _token(row)

    def revoke_token(self, token_id: str, moment: datetime) -> bool:
        """Make a token useless; returns whether there was one that was not so already."""
        chosen = TOKENS.c.token_id == token_id, TOKENS.c.revoked_at.is_(None)
        statement = update(TOKENS).where(*chosen).values(revoked_at=moment)
        return self._transact(lambda connection: connection.execute(statement).rowcount) > 0

    def enroll(
        self, token_id: str, certificate: CertificateRecord, moment: datetime, *, alive_after: datetime | None
    ) -> EnrollOutcome:
        """Use a token once and keep the certificate that it was used for, both or neither."""
        others = and_(
            CERTIFICATES.c.subject == certificate.subject,
            CERTIFICATES.c.key_sha256 != certificate.key_sha256,
            CERTIFICATES.c.revoked_at.is_(None),
        )

        def work(connection: Connection) -> EnrollOutcome:
            self._wait_for_subject(connection, certificate.subject)
            if alive_after is not None:
                alive = select(CERTIFICATES.c.serial).where(others, CERTIFICATES.c.expires_at > alive_after).limit(1)
                if connection.execute(alive).first() is not None:
                    return EnrollOutcome.ALREADY_ENROLLED
            # The row stays locked until the end: who comes second sees what is left.
            if connection.execute(_USE_TOKEN, {"key": token_id, "moment": moment}).rowcount == 0:
                return EnrollOutcome.TOKEN_REFUSED
            if alive_after is None:
                _revoke(connection, others, moment, REPLACED)
            connection.execute(insert(CERTIFICATES), _certificate_values(certificate))
            labels = connection.execute(select(TOKENS.c.labels).where(TOKENS.c.token_id == token_id)).scalar_one()
            self._give_labels(connection, certificate.subject, json.loads(labels))
            return EnrollOutcome.ENROLLED

        return self._transact(work)

    def _give_labels(self, connection: Connection, subject: str, labels: Mapping[str, str]) -> None:
        role, _, host_id = subject.partition("/")
        if role != "agent" or not labels:
            return
        statement = self._insert(HOST_LABELS)
        statement = statement.on_conflict_do_update(
            index_elements=list(HOST_LABELS.primary_key), set_={"value": statement.excluded.value}
        )
        values = [{"host_id": host_id, "key": key, "value": labels[key]} for key in sorted(labels)]
        connection.execute(statement, values)

    # --- certificates --------------------------------------------------------------------------------------------

    def put_certificate(self, certificate: CertificateRecord) -> None:
        """Keep a certificate that was issued without using a token."""
        values = _certificate_values(certificate)
        self._transact(lambda connection: connection.execute(insert(CERTIFICATES), values))

    def adopt_certificate(self, certificate: CertificateRecord) -> None:
        """Keep a certificate that a restored backup did not know; one with this serial stays as it is."""
        statement = self._insert(CERTIFICATES).values(_certificate_values(certificate))
        statement = statement.on_conflict_do_nothing(index_elements=list(CERTIFICATES.primary_key))
        self._transact(lambda connection: connection.execute(statement))

    def restores(self) -> list[Restoration]:
        """Return which backups took the place of what was here, the newest first."""
        with self._reading() as connection:
            found = [Restoration(**row) for row in connection.execute(select(RESTORES)).mappings()]
        return sorted(found, key=lambda one: one.restored_at, reverse=True)

    def renew(self, certificate: CertificateRecord, moment: datetime) -> bool:
        """Keep the certificate that renews its predecessor, unless that has a successor in use."""
        successors = and_(
            CERTIFICATES.c.subject == certificate.subject, CERTIFICATES.c.predecessor == certificate.predecessor
        )

        def work(connection: Connection) -> bool:
            self._wait_for_subject(connection, certificate.subject)
            old = connection.execute(_FIND_CERTIFICATE, {"serial": certificate.predecessor}).one_or_none()
            if old is None or old.subject != certificate.subject or old.revoked_at is not None:
                return False
            used = select(CERTIFICATES.c.serial).where(successors, CERTIFICATES.c.first_used_at.is_not(None)).limit(1)
            if connection.execute(used).first() is not None:
                return False
            _revoke(connection, and_(successors, CERTIFICATES.c.revoked_at.is_(None)), moment, SUPERSEDED)
            # Whoever proved the key has the certificate in use: what that one renewed is renewed no more.
            connection.execute(_NOTE_USE, {"key": old.serial, "moment": moment})
            connection.execute(insert(CERTIFICATES), _certificate_values(certificate))
            return True

        return self._transact(work)

    def find_certificate(self, serial: str) -> CertificateRecord | None:
        """Return the certificate with this serial."""
        with self._reading() as connection:
            row = connection.execute(_FIND_CERTIFICATE, {"serial": serial}).mappings().one_or_none()
        return None if row is None else CertificateRecord(**row)

    def certificates(self, subject: str | None = None) -> list[CertificateRecord]:
        """Return the certificates of a subject (of all, without), the newest first."""
        query = select(CERTIFICATES)
        if subject is not None:
            query = query.where(CERTIFICATES.c.subject == subject)
        with self._reading() as connection:
            found = [CertificateRecord(**row) for row in connection.execute(query).mappings()]
        return sorted(found, key=lambda one: (one.issued_at, one.serial), reverse=True)

    def note_certificate_use(self, serials: Collection[str], moment: datetime) -> None:
        """Remember when these certificates were first seen in use; those that have a moment keep it."""
        unnoted: set[str] = set()
        wanted = sorted(set(serials))
        with self._reading() as connection:
            for start in range(0, len(wanted), _CHUNK):
                query = select(CERTIFICATES.c.serial).where(
                    CERTIFICATES.c.serial.in_(wanted[start : start + _CHUNK]), CERTIFICATES.c.first_used_at.is_(None)
                )
                unnoted.update(connection.execute(query).scalars())
        if unnoted:
            # In order of serial, so that two collectors never wait for each other in turn.
            values = [{"key": serial, "moment": moment} for serial in sorted(unnoted)]
            self._transact(lambda connection: connection.execute(_NOTE_USE, values))

    def revoke_certificates(
        self, moment: datetime, reason: str, *, subject: str | None = None, serial: str | None = None
    ) -> int:
        """Revoke the certificates of a subject, or the one with this serial; returns how many were not so already."""
        if (subject is None) == (serial is None):
            raise ValueError("either a subject or a serial is revoked")
        chosen = CERTIFICATES.c.serial == serial if subject is None else CERTIFICATES.c.subject == subject

        def work(connection: Connection) -> int:
            if subject is not None:
                # An enrollment or renewal under way is finished first, and revoked with the others.
                self._wait_for_subject(connection, subject)
            return _revoke(connection, and_(chosen, CERTIFICATES.c.revoked_at.is_(None)), moment, reason)

        return self._transact(work)

    def _wait_for_subject(self, connection: Connection, subject: str) -> None:
        """Make whoever else changes this subject's certificates wait until the transaction ends."""
        # SQLite has one writer anyway.
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_SUBJECT_LOCK, func.hashtext(subject))))

    # --- bans ----------------------------------------------------------------------------------------------------

    def ban(self, ban: Ban) -> None:
        """Refuse a subject from now on; a present ban keeps its moment and gets the new reason."""
        statement = self._insert(BANS).values(subject=ban.subject, banned_at=ban.banned_at, reason=ban.reason)
        statement = statement.on_conflict_do_update(
            index_elements=list(BANS.primary_key), set_={"reason": statement.excluded.reason}
        )
        self._transact(lambda connection: connection.execute(statement))

    def lift_ban(self, subject: str) -> bool:
        """Stop refusing a subject; returns whether it was banned."""
        statement = delete(BANS).where(BANS.c.subject == subject)
        return self._transact(lambda connection: connection.execute(statement).rowcount) > 0

    def bans(self) -> list[Ban]:
        """Return all bans, sorted by subject."""
        with self._reading() as connection:
            found = [Ban(**row) for row in connection.execute(select(BANS)).mappings()]
        return sorted(found, key=lambda ban: ban.subject)

    def refusals(self, moment: datetime) -> Refusals:
        """Return whom to refuse at a moment."""
        revoked = select(CERTIFICATES.c.serial).where(
            CERTIFICATES.c.revoked_at.is_not(None), CERTIFICATES.c.expires_at > moment
        )
        with self._reading() as connection:
            return Refusals(
                serials=frozenset(connection.execute(revoked).scalars()),
                subjects=frozenset(connection.execute(select(BANS.c.subject)).scalars()),
            )

    def forget_expired(self, expired_before: datetime) -> int:
        """Forget certificates and tokens that expired before a moment; the newest of each subject stays."""
        newer = CERTIFICATES.alias("newer")
        is_renewed = (
            select(newer.c.serial)
            .where(
                newer.c.subject == CERTIFICATES.c.subject,
                or_(
                    newer.c.issued_at > CERTIFICATES.c.issued_at,
                    and_(newer.c.issued_at == CERTIFICATES.c.issued_at, newer.c.serial > CERTIFICATES.c.serial),
                ),
            )
            .exists()
        )
        old = delete(CERTIFICATES).where(CERTIFICATES.c.expires_at < expired_before, is_renewed)
        unusable = delete(TOKENS).where(TOKENS.c.expires_at < expired_before)
        return self._transact(
            lambda connection: connection.execute(old).rowcount + connection.execute(unusable).rowcount
        )


def _revoke(connection: Connection, chosen: ColumnElement[bool], moment: datetime, reason: str) -> int:
    statement = update(CERTIFICATES).where(chosen).values(revoked_at=moment, revoked_reason=reason)
    return connection.execute(statement).rowcount


def _token(row: RowMapping) -> JoinToken:
    return JoinToken(**{**row, "labels": json.loads(row["labels"])})


def _certificate_values(certificate: CertificateRecord) -> dict[str, object]:
    return {column.name: getattr(certificate, column.name) for column in CERTIFICATES.c}
