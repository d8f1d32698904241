"""What every store promises.

Facts are content-addressed and never change. A host's state is the inventory that it reported last; history is kept
as intervals per install. What :meth:`Store.put_facts` and :meth:`Store.apply_reports` returned is durable: no death
of the process takes it back (after a power loss the database is consistent, and the next report restores the last
second). A call either takes effect as a whole or raises :class:`~libcensus.collector.errors.StoreError` and leaves
the store as it was.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime
    from types import TracebackType

    from libcensus.collector.errors import InconsistentFactsError
    from libcensus.collector.pki.records import Ban, CertificateRecord, JoinToken, Refusals
    from libcensus.facts.codec import Fact
    from libcensus.facts.crypto import CryptoUse
    from libcensus.facts.digest import FactKind
    from libcensus.facts.host import Host
    from libcensus.facts.report import Report
    from libcensus.facts.vocabulary import Implementation, Installer, InstallKind

    ReportOutcome = tuple[str, ...] | InconsistentFactsError


@dataclass(frozen=True, slots=True)
class FactRecord:
    """One fact as it arrived: bytes and address, already checked against each other and decoded once.

    ``fact`` is what was decoded; a caller that has it saves the store from decoding again.
    """

    kind: FactKind
    digest: str
    payload: bytes
    fact: Fact | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ReceivedReport:
    """A report, who sent it (told by the connection), and when it came.

    ``certificate_expires_at`` is the end of the certificate that it came with, absent without TLS.
    """

    host_id: str
    report: Report
    received_at: datetime
    certificate_expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class HostState:
    """One host as it was last reported.

    ``name`` is the display name: the hostname, followed by ``~`` and the first characters of the host id where an
    older host has that name already. It stays as long as the hostname does. ``last_report`` is when the collector
    received the report that tells the state, by its own clock. ``report`` holds what runs, even where the report only
    named it, in what :meth:`Store.find_host` returns; lists of hosts only name it. ``crypto_copies``, ``tools`` and
    ``roots`` are absent for agents that do not look for them, and so is ``outdated_processes``, which counts those that
    run on something that is gone. ``certificate_expires_at`` is the end of the certificate that the last report came
    with, absent without TLS.
    """

    host_id: str
    name: str
    host: Host
    inventory: str
    platform: str
    installs: str
    builds: tuple[str, ...]
    report: Report
    first_report: datetime
    last_report: datetime
    crypto_copies: str | None = None
    tools: str | None = None
    roots: str | None = None
    changelogs: tuple[str, ...] = ()
    outdated_processes: int | None = None
    certificate_expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class HostStamp:
    """What tells whether a host changed since somebody looked: the address of its facts and its last report."""

    host_id: str
    name: str
    inventory: str
    last_report: datetime


@dataclass(frozen=True, slots=True)
class InstallInterval:
    """A time in which one install was there unchanged: same kind, implementation, build, installer and crypto use.

    ``first_seen`` is the report that showed it first, ``last_seen`` the last that showed it; ``gone_at`` the report
    that no longer did, absent while it lasts. Always ``first_seen <= last_seen <= gone_at``, and the intervals of one
    path never overlap: where the collector's clock went back, the latest moment known of the host stands instead.
    """

    host_id: str
    root: str
    path: str
    kind: InstallKind
    implementation: Implementation
    installer: Installer
    build: str | None
    crypto: CryptoUse
    first_seen: datetime
    last_seen: datetime
    gone_at: datetime | None


@dataclass(frozen=True, slots=True)
class InventoryInterval:
    """A time in which a host had the same facts: ``inventory`` is their address.

    ``first_seen`` is the report that told them first, ``gone_at`` the report that told others, absent while they hold.
    The intervals of one host follow each other without a gap: ``gone_at`` of one is ``first_seen`` of the next.
    """

    inventory: str
    first_seen: datetime
    gone_at: datetime | None


@dataclass(frozen=True, slots=True)
class Restoration:
    """A backup of ``taken_at`` took the place of what was here at ``restored_at``; what was between is forgotten."""

    restored_at: datetime
    taken_at: datetime


class EnrollOutcome(StrEnum):
    """What came of an enrollment: it is stored, or nothing changed."""

    ENROLLED = "enrolled"
    TOKEN_REFUSED = "token_refused"  # noqa: S105 - an outcome and no secret
    ALREADY_ENROLLED = "already_enrolled"


class Store(ABC):
    """Everything that a collector keeps. Methods may be called from several threads at once."""

    @abstractmethod
    def close(self) -> None:
        """Release the database; further calls fail."""

    @abstractmethod
    def missing(self, digests: Iterable[str]) -> frozenset[str]:
        """Return those of the addresses that no stored fact has."""

    @abstractmethod
    def put_facts(self, records: Sequence[FactRecord]) -> int:
        """Store facts; those already there are left alone. Returns how many were new. Durable on return.

        The caller has checked that digest, kind and payload belong together; a payload that is no fact of its kind
        raises InvalidFactError, and nothing of the call is stored.
        """

    @abstractmethod
    def facts(self, digests: Iterable[str]) -> Mapping[str, Fact]:
        """Return the decoded facts of those addresses that are stored."""

    @abstractmethod
    def apply_reports(self, reports: Sequence[ReceivedReport]) -> list[ReportOutcome]:
        """Take reports in order, in one transaction; durable on return.

        Returns one outcome for each, in the same order:

        - an empty tuple: acknowledged. The host's state, its intervals and its time of last report are stored. A
          report whose id the host's state already has changes nothing; nor does a straggler, which was both scanned
          and received (by up to ten minutes) before the report that the state tells.
        - the addresses that are missing: the report changed nothing; send the facts, then the report again. The digest
          of the process set is among them where the report names another than the stored one and does not hold it.
        - an InconsistentFactsError, returned and not raised, so that the others of the batch are not lost: the facts
          are there and contradict each other (an address of the wrong kind, an install whose build the inventory does
          not list). The report changed nothing, and sending it again is of no use.
        """

    @abstractmethod
    def host_stamps(self) -> list[HostStamp]:
        """Return the stamp of every host, sorted by name: cheap enough for every scrape."""

    @abstractmethod
    def hosts(self, host_ids: Iterable[str] | None = None) -> list[HostState]:
        """Return the hosts with these ids (all, without), sorted by name."""

    @abstractmethod
    def find_host(self, name_or_id: str) -> HostState | None:
        """Return the host with this display name or id, and what runs there."""

    @abstractmethod
    def intervals(self, host_id: str) -> list[InstallInterval]:
        """Return the history of one host's installs, sorted by root, path and first_seen."""

    @abstractmethod
    def inventory_history(self, host_ids: Iterable[str]) -> Mapping[str, tuple[InventoryInterval, ...]]:
        """Return which facts each of these hosts had when, the oldest first; unknown hosts are left out.

        The facts themselves are all stored: :meth:`facts` returns the inventories.
        """

    @abstractmethod
    def stamps_at(self, moment: datetime) -> list[HostStamp]:
        """Return the stamp of every host as it was at a moment, sorted by today's name.

        A host that had not reported by then is left out; ``last_report`` is the first report of the facts that held.
        """

    @abstractmethod
    def labels(self, host_ids: Iterable[str] | None = None) -> Mapping[str, Mapping[str, str]]:
        """Return the labels of every host, or of these, that has any, by host id: keys are sorted."""

    @abstractmethod
    def set_labels(self, host_id: str, labels: Mapping[str, str]) -> None:
        """Give a host these labels; those of the same key are replaced, others stay. Durable on return.

        The caller has checked keys and values. Two calls at once both take effect; of one key the later value stays.
        """

    @abstractmethod
    def remove_labels(self, host_id: str, keys: Collection[str]) -> int:
        """Take labels from a host; those that it does not have are passed over. Returns how many it had. Durable."""

    # --- who may speak -----------------------------------------------------------------------------------------------

    @abstractmethod
    def put_token(self, token: JoinToken) -> None:
        """Keep a new join token. Durable on return."""

    @abstractmethod
    def tokens(self) -> list[JoinToken]:
        """Return all tokens that are kept, the newest first."""

    @abstractmethod
    def find_token(self, token_id: str) -> JoinToken | None:
        """Return the token with this id."""

    @abstractmethod
    def revoke_token(self, token_id: str, moment: datetime) -> bool:
        """Make a token useless; returns whether there was one that was not so already. Durable on return."""

    @abstractmethod
    def enroll(
        self, token_id: str, certificate: CertificateRecord, moment: datetime, *, alive_after: datetime | None
    ) -> EnrollOutcome:
        """Use a token once and keep the certificate that it was used for, both or neither; durable on return.

        TOKEN_REFUSED, and nothing changes, where the token has no use left, expired, was revoked or is not there: of
        two that use the last use at once, on any collectors, one gets ENROLLED. ALREADY_ENROLLED, and nothing changes,
        where the subject has a certificate for another key that was not revoked and ends after ``alive_after``; of
        two that enroll as one subject at once, on any collectors, one is told so. Where ``alive_after`` is absent,
        such certificates are revoked instead, in the same transaction. The token's labels are given to the host.
        """

    @abstractmethod
    def put_certificate(self, certificate: CertificateRecord) -> None:
        """Keep a certificate that was issued without using a token, such as an operator's. Durable on return."""

    @abstractmethod
    def adopt_certificate(self, certificate: CertificateRecord) -> None:
        """Keep a certificate that a restored backup did not know; one with this serial stays as it is. Durable."""

    @abstractmethod
    def restores(self) -> list[Restoration]:
        """Return which backups took the place of what was here, the newest first."""

    @abstractmethod
    def renew(self, certificate: CertificateRecord, moment: datetime) -> bool:
        """Keep the certificate that renews its ``predecessor``; durable on return.

        Returns False, and changes nothing, where the predecessor was revoked or is not kept, or where it has a
        successor already that was seen in use: whoever shows the predecessor then has a copy of its key. Successors
        that nobody used are revoked, for their answer was lost. The predecessor counts as used from now on. Of two
        that renew the same certificate at once, on any collectors, one certificate stays good.
        """

    @abstractmethod
    def find_certificate(self, serial: str) -> CertificateRecord | None:
        """Return the certificate with this serial."""

    @abstractmethod
    def certificates(self, subject: str | None = None) -> list[CertificateRecord]:
        """Return the certificates of a subject (of all, without), the newest first."""

    @abstractmethod
    def note_certificate_use(self, serials: Collection[str], moment: datetime) -> None:
        """Remember when these certificates were first seen in use; those that have a moment keep it."""

    @abstractmethod
    def revoke_certificates(
        self, moment: datetime, reason: str, *, subject: str | None = None, serial: str | None = None
    ) -> int:
        """Revoke the certificates of a subject, or the one with this serial; returns how many were not so already."""

    @abstractmethod
    def ban(self, ban: Ban) -> None:
        """Refuse a subject from now on; a present ban keeps its moment and gets the new reason. Durable on return."""

    @abstractmethod
    def lift_ban(self, subject: str) -> bool:
        """Stop refusing a subject; returns whether it was banned. Its certificates stay as they are."""

    @abstractmethod
    def bans(self) -> list[Ban]:
        """Return all bans, sorted by subject."""

    @abstractmethod
    def refusals(self, moment: datetime) -> Refusals:
        """Return whom to refuse at a moment: cheap enough for every second."""

    @abstractmethod
    def forget_expired(self, expired_before: datetime) -> int:
        """Forget certificates and tokens that expired before a moment; returns how many.

        The newest certificate of each subject stays.
        """

    @abstractmethod
    def check(self) -> None:
        """Raise StoreError when the database can't be written right now (health)."""

    def __enter__(self) -> Self:
        """Return the store itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the store."""
        self.close()
