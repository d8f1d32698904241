"""The commands ``operator create``, ``certificates list`` and ``revoke``, ``ban``, ``unban`` and ``bans``."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import timedelta
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from libcensus.collector.errors import ConfigurationError
from libcensus.collector.labels import open_store
from libcensus.collector.pki.audit import AuditEvent
from libcensus.collector.pki.authority import Authority
from libcensus.collector.pki.command_line import (
    audit_log,
    now_utc,
    operator_identity,
    pki_folder,
    rfc3339,
    subject_of,
    table,
    table_blocks,
    who_runs_this,
)
from libcensus.collector.pki.errors import ArgumentError
from libcensus.collector.pki.identity import Role
from libcensus.collector.pki.keyfiles import certificates_pem, key_pem
from libcensus.collector.pki.records import Ban, CertificateRecord
from libcensus.collector.pki.token_command import write_new_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from libcensus.collector.config import CollectorSettings

LONGEST_REASON = 200


def run_create_operator(
    settings: CollectorSettings,
    name: str,
    file: Path | None,
    lifetime: float | None,
    *,
    write: Callable[[str], None],
    clock: Callable[[], datetime] = now_utc,
) -> int:
    """Make a key and a certificate with which a person or program reads the fleet, in one file; returns the exit code.

    ``lifetime`` is in seconds; without it ``certificate_lifetime`` holds. Raises ArgumentError, ConfigurationError,
    StoreError.
    """
    identity = operator_identity(name, settings.trust_domain)
    place, now = file or Path(f"{name}.pem"), clock()
    authority = Authority.load(pki_folder(settings), settings.trust_domain, now)
    key = ec.generate_private_key(ec.SECP256R1())
    span = timedelta(seconds=settings.certificate_lifetime if lifetime is None else lifetime)
    issued = authority.issue(key.public_key(), identity, span, now)
    with open_store(settings) as store:
        if any(ban.subject == identity.subject for ban in store.bans()):
            raise ConfigurationError(
                f"{identity.subject} is banned, and no certificate would help; run libcensus-collector unban "
                f"--operator {name} first"
            )
        chain = [x509.load_der_x509_certificate(one) for one in issued.chain]
        # The file first: a certificate that nobody has must not be listed.
        write_new_file(place, key_pem(key) + certificates_pem(chain) + authority.roots_pem)
        store.put_certificate(
            CertificateRecord(
                serial=issued.serial,
                subject=identity.subject,
                key_sha256=issued.key_sha256,
                issued_at=now,
                expires_at=issued.not_after,
            )
        )
    with closing(audit_log(settings)) as log:
        log.record(AuditEvent.OPERATOR_CREATED, subject=identity.subject, peer=who_runs_this(), serial=issued.serial)
    write(
        f"{place}: key, certificate and trusted roots of {identity.subject}, good until {rfc3339(issued.not_after)}; "
        "whoever has this file reads the fleet"
    )
    return 0


def run_list(
    settings: CollectorSettings,
    host: str | None,
    operator: str | None,
    output: str,
    *,
    everything: bool,
    write: Callable[[str], None],
    clock: Callable[[], datetime] = now_utc,
) -> int:
    """Print certificates: of all, of a host or of an operator; those that are good or revoked and not yet expired.

    Returns the exit code. Raises ArgumentError, ConfigurationError, StoreError.
    """
    now = clock()
    with open_store(settings) as store:
        subject = None
        if host is not None or operator is not None:
            subject = subject_of(store, host, operator, settings.trust_domain)
        names = {stamp.host_id: stamp.name for stamp in store.host_stamps()}
        banned = frozenset(ban.subject for ban in store.bans())
        # There may be some for each host of a large fleet: they are printed as they are read.
        found = store.each_certificate(subject, expires_after=None if everything else now)
        first = next(found, None)
        if first is None and output != "json":
            write("no certificate" + ("" if everything else " that has not expired; --all shows those too"))
            return 0
        shown = found if first is None else chain((first,), found)
        if output == "json":
            for block in _json_blocks(_document(one, names, banned, now) for one in shown):
                write(block)
            return 0
        rows = (
            [
                one.serial,
                certificate_state(one, banned, now),
                _name(one, names),
                rfc3339(one.issued_at) or "",
                rfc3339(one.expires_at) or "",
                rfc3339(one.first_used_at) or "-",
                one.subject,
                one.revoked_reason or "-",
            ]
            for one in shown
        )
        columns = ("SERIAL", "STATE", "NAME", "ISSUED", "EXPIRES", "FIRST USED", "SUBJECT", "REASON")
        for block in table_blocks(columns, rows):
            write(block)
    return 0


def _json_blocks(documents: Iterator[dict[str, Any]], size: int = 1000) -> Iterator[str]:
    """Yield a JSON list in blocks of lines, so many documents in each."""
    before = "[\n"
    while block := list(islice(documents, size)):
        # A comma stands before each but the first, so that nothing has to be known of what follows.
        yield before + ",\n".join(f"  {json.dumps(one)}" for one in block)
        before = ",\n"
    yield "]" if before == ",\n" else "[]"


def run_revoke(
    settings: CollectorSettings,
    serial: str | None,
    host: str | None,
    operator: str | None,
    reason: str,
    *,
    write: Callable[[str], None],
    clock: Callable[[], datetime] = now_utc,
) -> int:
    """Revoke one certificate, or all of a host or operator; returns the exit code.

    Raises ArgumentError, ConfigurationError, StoreError.
    """
    why = _checked_reason(reason)
    if [serial, host, operator].count(None) != 2:
        raise ArgumentError("name one of --serial, --host and --operator")
    with open_store(settings) as store:
        if serial is not None:
            wanted = serial.replace(":", "").lower().lstrip("0")
            record = store.find_certificate(wanted)
            if record is None:
                raise ArgumentError(
                    f"no certificate has the serial {serial[:64]!r}; libcensus-collector certificates list --all shows "
                    "those that are kept"
                )
            subject, number = record.subject, store.revoke_certificates(clock(), why, serial=wanted)
        else:
            wanted = None
            subject = subject_of(store, host, operator, settings.trust_domain)
            if not store.certificates(subject):
                raise ArgumentError(f"{subject} has no certificate")
            number = store.revoke_certificates(clock(), why, subject=subject)
    if number:
        with closing(audit_log(settings)) as log:
            log.record(AuditEvent.CERTIFICATE_REVOKED, subject=subject, peer=who_runs_this(), serial=wanted, reason=why)
    write(
        f"{number} {'certificate' if number == 1 else 'certificates'} of {subject} revoked; collectors refuse "
        f"{'it' if number == 1 else 'them'} within seconds. With a new token the holder can enroll again: to keep it "
        "out, ban it"
    )
    return 0


def run_ban(
    settings: CollectorSettings,
    host: str | None,
    operator: str | None,
    reason: str,
    *,
    write: Callable[[str], None],
    clock: Callable[[], datetime] = now_utc,
) -> int:
    """Refuse a host or operator whatever it shows; returns the exit code. Raises ArgumentError, StoreError."""
    why = _checked_reason(reason)
    with open_store(settings) as store:
        subject = subject_of(store, host, operator, settings.trust_domain)
        store.ban(Ban(subject, clock(), why))
    with closing(audit_log(settings)) as log:
        log.record(AuditEvent.BANNED, subject=subject, peer=who_runs_this(), host=host, reason=why)
    write(f"{subject} is banned; collectors refuse it within seconds, until libcensus-collector unban")
    return 0


def run_unban(
    settings: CollectorSettings, host: str | None, operator: str | None, *, write: Callable[[str], None]
) -> int:
    """Lift a ban; returns the exit code. Raises ArgumentError, StoreError."""
    with open_store(settings) as store:
        subject = subject_of(store, host, operator, settings.trust_domain)
        if not store.lift_ban(subject):
            raise ArgumentError(f"{subject} is not banned; libcensus-collector bans shows who is")
    with closing(audit_log(settings)) as log:
        log.record(AuditEvent.BAN_LIFTED, subject=subject, peer=who_runs_this(), host=host)
    write(f"{subject} is banned no more; what certificates it has are good again, unless they were revoked")
    return 0


def run_list_bans(settings: CollectorSettings, output: str, *, write: Callable[[str], None]) -> int:
    """Print who is banned; returns the exit code. Raises ConfigurationError, StoreError."""
    with open_store(settings) as store:
        bans = store.bans()
        names = {f"{Role.AGENT}/{stamp.host_id}": stamp.name for stamp in store.host_stamps()}
    if output == "json":
        write(
            json.dumps(
                [
                    {
                        "subject": ban.subject,
                        "name": names.get(ban.subject),
                        "banned": rfc3339(ban.banned_at),
                        "reason": ban.reason,
                    }
                    for ban in bans
                ],
                indent=2,
            )
        )
    elif bans:
        rows = [[ban.subject, names.get(ban.subject, "-"), rfc3339(ban.banned_at) or "", ban.reason] for ban in bans]
        write(table(("SUBJECT", "NAME", "SINCE", "REASON"), rows))
    else:
        write("nobody is banned")
    return 0


def certificate_state(one: CertificateRecord, banned: frozenset[str], now: datetime) -> str:
    """Return what a certificate is good for now: ``good``, ``banned``, ``revoked`` or ``expired``."""
    if one.revoked_at is not None:
        return "revoked"
    if one.expires_at <= now:
        return "expired"
    return "banned" if one.subject in banned else "good"


def _name(one: CertificateRecord, names: dict[str, str]) -> str:
    role, _, name = one.subject.partition("/")
    return name if role == Role.OPERATOR else names.get(name) or one.hostname or "-"


def _document(one: CertificateRecord, names: dict[str, str], banned: frozenset[str], now: datetime) -> dict[str, Any]:
    return {
        "serial": one.serial,
        "subject": one.subject,
        "name": _name(one, names),
        "state": certificate_state(one, banned, now),
        "issued": rfc3339(one.issued_at),
        "expires": rfc3339(one.expires_at),
        "first_used": rfc3339(one.first_used_at),
        "revoked": rfc3339(one.revoked_at),
        "revoked_reason": one.revoked_reason,
        "predecessor": one.predecessor,
        "token_id": one.token_id,
        "key_sha256": one.key_sha256,
    }


def _checked_reason(reason: str) -> str:
    text = reason.strip()
    if not 0 < len(text) <= LONGEST_REASON or not text.isprintable():
        raise ArgumentError(f"--reason: is not 1 to {LONGEST_REASON} printable characters")
    return text
