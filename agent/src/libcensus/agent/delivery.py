"""From a scan to an acknowledgement: makes the report, keeps it, sends what waits, remembers how it ended.

The order is the promise: a report is durable in the spool before the first byte is sent, and leaves it after the
collector said that it is durable there. What waited longest goes first, so that the collector sees a host's history in
order. gRPC is imported only when there is something to send.

An enrolled host renews its certificate between the two, when that is due: should the agent die on the way, the report
lies in the spool, and a certificate that cannot be renewed yet stops no report.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from libcensus.agent.credentials import (
    Credentials,
    IdentityFolder,
    check_same_host,
    is_open_to_others,
    read_given_file,
    tell_moment,
)
from libcensus.agent.errors import (
    AgentError,
    ConfigurationError,
    IdentityError,
    LostFactsError,
    RefusedError,
    UnreachableError,
)
from libcensus.agent.identity import find_identity
from libcensus.agent.renewal import renew_when_due
from libcensus.agent.spool import HeldFacts, Spool, WaitingReport
from libcensus.agent.state import StateFolder
from libcensus.agent.target import parse_target
from libcensus.agent.version import agent_version
from libcensus.facts.codec import encode_fact, encode_report, process_set_digest
from libcensus.facts.report import AgentState, Report
from libcensus.facts.vocabulary import ProbeState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from libcensus.agent.config import AgentConfig
    from libcensus.agent.credentials import StoredIdentity
    from libcensus.agent.scan import Scan
    from libcensus.agent.spool import AddressedFact, FactSource
    from libcensus.agent.transport import Acknowledgement, CollectorClient

_LOG = logging.getLogger(__name__)

REPORT_BYTES = 900
"""What a report may have with its examples: with what sending adds, and the answer, it stays below 1 KiB."""

_T = TypeVar("_T")

LAST_SCAN = "last_scan"
LAST_ACKNOWLEDGED = "last_acknowledged"
LAST_FAILURE = "last_failure"


@dataclass(frozen=True, slots=True)
class Delivery:
    """How the sending ended: the acknowledgement of this scan's own report, and how many older ones went before it."""

    report: Report
    acknowledgement: Acknowledgement
    older_sent: int
    older_refused: int


def make_report(scan: Scan) -> tuple[Report, list[AddressedFact]]:
    """Return the report of a scan, with what runs, and every fact that it names, the inventory first."""
    facts = [
        encode_fact(scan.inventory()),
        encode_fact(scan.platform),
        encode_fact(scan.installs),
        encode_fact(scan.crypto_copies),
        encode_fact(scan.tools),
        encode_fact(scan.roots),
        *(encode_fact(build) for build in scan.builds.values()),
        *(encode_fact(platform) for platform in scan.platforms.values()),
        *(encode_fact(changelog) for changelog in scan.changelogs.values()),
    ]
    processes = scan.processes
    report = Report(
        report_id=secrets.token_bytes(16),
        agent_version=agent_version(),
        scanned_at=scan.scanned_at,
        scan_seconds=scan.seconds,
        inventory=facts[0][1],
        probes=scan.probes,
        processes_digest=None if processes is None else process_set_digest(processes),
    )
    # What runs is told only when it changed: it takes no room from what an unchanged report says.
    return replace(trim_examples(report), processes=processes), facts


def trim_examples(report: Report, limit: int = REPORT_BYTES) -> Report:
    """Return the report with as many examples of what was passed over as fit; counts and reasons stay complete.

    The first example of every reason goes before the second of any. `scan --explain` shows them all on the host.
    """
    bare = replace(
        report,
        probes=tuple(
            replace(probe, skips=tuple(replace(skip, examples=()) for skip in probe.skips)) for probe in report.probes
        ),
    )
    places = [
        (turn, number, place)
        for number, probe in enumerate(report.probes)
        for place, skip in enumerate(probe.skips)
        for turn in range(len(skip.examples))
    ]
    for turn, number, place in sorted(places):
        fuller = _with_example(bare, number, place, report.probes[number].skips[place].examples[turn])
        if len(encode_report(fuller)) <= limit:
            bare = fuller
    return bare


def _with_example(report: Report, number: int, place: int, example: str) -> Report:
    probe = report.probes[number]
    skip = probe.skips[place]
    skips = (*probe.skips[:place], replace(skip, examples=(*skip.examples, example)), *probe.skips[place + 1 :])
    changed = replace(probe, skips=skips)
    return replace(report, probes=(*report.probes[:number], changed, *report.probes[number + 1 :]))


class Courier:
    """Keeps and delivers this host's reports, for one configuration.

    ``connect`` opens a connection for a host id and its credentials; ``before_call`` is called before each call of a
    renewal.
    """

    def __init__(
        self,
        config: AgentConfig,
        connect: Callable[[str, Credentials | None], AbstractContextManager[CollectorClient]] | None = None,
        *,
        before_call: Callable[[], None] | None = None,
    ) -> None:
        self._config = config
        self._connect = self._connect_by_grpc if connect is None else connect
        self._before_call = before_call
        self.state = StateFolder(config.state.folder)
        self.identity = IdentityFolder(config.state.folder)
        self.spool = Spool(
            config.state.folder / "spool", max_reports=config.state.max_reports, max_bytes=config.state.max_bytes
        )

    def prepare(self) -> None:
        """Find everything that would stop a delivery, before a scan is spent on it."""
        target = parse_target(self._config.collector.address)
        if self._config.collector.certificate is not None:
            self._given_credentials()
        elif target.host is None or self.identity.current() is None:
            target.check_plaintext()
        self.state.create()

    def deliver(self, scan: Callable[[], Scan]) -> Delivery:
        """Scan, keep the report, send it after all that waited; raises the error that kept it from being sent."""
        self.prepare()
        with self.state.lock():
            host_id = find_identity(self.state.path).host_id
            self.state.remove_unfinished()
            self.identity.remove_unfinished()
            self.spool.discard_damaged()
            report, source, waiting = self._keep(scan)
            return self._send(host_id, report, source, waiting)

    def renew(self) -> None:
        """Renew the certificate where that is due; raises what :func:`renew_when_due` does."""
        self.prepare()
        with self.state.lock():
            self.identity.remove_unfinished()
            identity = self.identity.current()
            if identity is not None:
                check_same_host(identity, find_identity(self.state.path).host_id)
                renew_when_due(identity, self._config.collector, self.state, before_call=self._before_call)

    def send_waiting(self) -> tuple[int, int]:
        """Send what waits, without a new scan; returns how many were sent and how many the collector refused."""
        self.prepare()
        with self.state.lock():
            host_id = find_identity(self.state.path).host_id
            self.spool.discard_damaged()
            waiting = self.spool.waiting()
            if not waiting:
                return 0, 0
            try:
                result = self._over_connection(host_id, lambda client: self._send_older(client, waiting))
            except AgentError as error:
                self._fail(error)
                raise
            self._remember(LAST_FAILURE, None)
            return result

    def _keep(self, scan: Callable[[], Scan]) -> tuple[Report, FactSource, WaitingReport | None]:
        """Scan and write the report to the spool; the scan itself is given up before anything is sent."""
        found = scan()
        report, facts = make_report(found)
        self._remember(LAST_SCAN, _describe(found, report))
        try:
            if self._last_of_this_collector() is None:
                self.spool.forget_known()
            return report, self.spool, self.spool.add(report, facts)
        except OSError as error:
            _LOG.warning("the report cannot be kept in %s (%s); it is sent from memory", self.spool.folder, error)
            return report, HeldFacts(facts), None

    def _send(self, host_id: str, report: Report, source: FactSource, waiting: WaitingReport | None) -> Delivery:
        def send(client: CollectorClient) -> Delivery:
            older = [one for one in self.spool.waiting() if one.report.report_id != report.report_id]
            sent, refused = self._send_older(client, older, more=0 if waiting is None else 1)
            told = replace(report, agent_state=self._agent_state(0))
            acknowledgement = client.send(told, source, known_processes=self._known_processes())
            return Delivery(told, acknowledgement, sent, refused)

        try:
            delivery = self._over_connection(host_id, send)
        except RefusedError as error:
            if waiting is not None:
                self.spool.remove(waiting)
            self._fail(error)
            raise RefusedError(f"{error}; the report was dropped, for it would be refused again") from None
        except UnreachableError as error:
            self._fail(error)
            raise UnreachableError(f"{error}; {self._tell_kept(waiting)}", error.retry_after_seconds) from None
        except AgentError as error:
            self._fail(error)
            raise type(error)(f"{error}; {self._tell_kept(waiting)}") from None
        if waiting is not None:
            self._forget(waiting)
        self._remember(LAST_ACKNOWLEDGED, self._describe_acknowledgement(report, delivery.acknowledgement))
        self._remember(LAST_FAILURE, None)
        return delivery

    def _send_older(self, client: CollectorClient, older: Sequence[WaitingReport], more: int = 0) -> tuple[int, int]:
        """Send what waits, oldest first; one that the collector refuses is dropped, or it would block all others.

        ``more`` reports wait beside these.
        """
        sent = refused = 0
        for number, one in enumerate(older, 1):
            told = replace(one.report, agent_state=self._agent_state(len(older) - number + more))
            try:
                acknowledgement = client.send(told, self.spool, known_processes=self._known_processes())
            except RefusedError as error:
                _LOG.warning("the waiting report of %s was dropped: %s", one.report.scanned_at.isoformat(), error)
                refused += 1
                self.spool.remove(one)
                if isinstance(error, LostFactsError):
                    self._count_lost()
            else:
                sent += 1
                self._forget(one)
                self._remember(LAST_ACKNOWLEDGED, self._describe_acknowledgement(one.report, acknowledgement))
        return sent, refused

    def _agent_state(self, waiting: int) -> AgentState:
        """Return what is told of the spool at this moment; ``waiting`` counts the reports beside the one that goes."""
        dropped = self.spool.dropped
        return AgentState(waiting, dropped.reports, dropped.facts)

    def _forget(self, acknowledged: WaitingReport) -> None:
        try:
            self.spool.note_known(acknowledged.report.inventory)
        except OSError as error:
            _LOG.warning("spool %s cannot be written: %s", self.spool.folder, error)
        self.spool.remove(acknowledged)

    def _count_lost(self) -> None:
        try:
            self.spool.count_dropped(reports=1)
        except OSError as error:
            _LOG.warning("spool %s cannot be written: %s", self.spool.folder, error)

    # --- who speaks ---------------------------------------------------------------------------------------------------

    def _over_connection(self, host_id: str, send: Callable[[CollectorClient], _T]) -> _T:
        """Send over a connection that proves who this host is; renews its certificate first where that is due.

        A new certificate that the collector does not accept gives way to the one before it, as long as that is kept.
        """
        settings = self._config.collector
        if settings.certificate is not None:
            with self._connect(host_id, self._given_credentials()) as client:
                return send(client)
        identity = None if parse_target(settings.address).host is None else self.identity.current()
        if identity is None:
            with self._connect(host_id, None) as client:
                return send(client)
        check_same_host(identity, host_id)
        identity = renew_when_due(identity, settings, self.state, before_call=self._before_call)
        try:
            with self._connect(host_id, self._trusting(identity)) as client:
                result = send(client)
        except IdentityError as error:
            previous = self.identity.previous()
            if previous is None or previous.facts.not_after <= datetime.now(UTC):
                raise
            _LOG.warning("the renewed certificate is not accepted, the one before it is tried: %s", error)
            with self._connect(host_id, self._trusting(previous)) as client:
                result = send(client)
            self.identity.go_back(previous)
            return result
        self.identity.confirm(identity)
        return result

    def _trusting(self, identity: StoredIdentity) -> Credentials:
        """Return an identity's credentials with the roots that ``collector.ca`` gives, where it does."""
        given = self._config.collector.ca
        if given is None:
            return identity.credentials
        return replace(identity.credentials, roots=read_given_file("collector.ca", given))

    def _given_credentials(self) -> Credentials:
        """Return the credentials of an external authority; raises ConfigurationError where they do not fit."""
        from libcensus.agent.handshake import problem_of_pair  # noqa: PLC0415 - only files that somebody gave need it

        settings = self._config.collector
        if settings.certificate is None or settings.key is None or settings.ca is None:
            raise ConfigurationError("collector.certificate, collector.key and collector.ca must be given together")
        credentials = Credentials(
            roots=read_given_file("collector.ca", settings.ca),
            certificate_chain=read_given_file("collector.certificate", settings.certificate),
            key=read_given_file("collector.key", settings.key),
            chain_file=settings.certificate,
            key_file=settings.key,
        )
        if problem := problem_of_pair(settings.certificate, settings.key, credentials.roots):
            raise ConfigurationError(f"collector.certificate and collector.key cannot be used: {problem}")
        if is_open_to_others(settings.key):
            _LOG.warning("collector.key %s can be read by everybody: run chmod 0600 on it", settings.key)
        return credentials

    def _known_processes(self) -> str | None:
        """Return the digest of the process set that this collector acknowledged last; asked anew for each report."""
        last = self._last_of_this_collector()
        digest = None if last is None else last.get("processes")
        return digest if isinstance(digest, str) else None

    def _last_of_this_collector(self) -> dict[str, object] | None:
        """Return what is remembered of the last acknowledgement, None where another collector gave it."""
        last = self.state.read().get(LAST_ACKNOWLEDGED)
        if not isinstance(last, dict) or last.get("collector") != self._config.collector.address:
            return None
        return last

    def _connect_by_grpc(self, host_id: str, credentials: Credentials | None) -> CollectorClient:
        from libcensus.agent.transport import CollectorClient  # noqa: PLC0415 - a scan must not pay for gRPC

        return CollectorClient(self._config.collector, host_id, credentials)

    def _tell_kept(self, waiting: WaitingReport | None) -> str:
        if waiting is None:
            return f"the report could not be kept in {self.spool.folder} either: free some space and report again"
        return f"the report is kept in {self.spool.folder} and will be sent with the next one"

    def _fail(self, error: AgentError) -> None:
        kind = "refused" if isinstance(error, RefusedError) else type(error).__name__.removesuffix("Error").lower()
        now = datetime.now(UTC)
        failure = {"at": tell_moment(now), "kind": kind, "message": str(error)}
        asked = error.retry_after_seconds if isinstance(error, UnreachableError) else None
        if asked is not None:
            failure["not_before"] = tell_moment(now + timedelta(seconds=asked))
        self._remember(LAST_FAILURE, failure)

    def _remember(self, key: str, value: object) -> None:
        try:
            self.state.update({key: value})
        except OSError as error:
            _LOG.warning("state folder %s cannot be written: %s", self.state.path, error)

    def _describe_acknowledgement(self, report: Report, acknowledgement: Acknowledgement) -> dict[str, object]:
        return {
            "at": tell_moment(datetime.now(UTC)),
            "scanned_at": tell_moment(report.scanned_at),
            "report_id": report.report_id.hex(),
            "inventory": report.inventory,
            "processes": report.processes_digest,
            "collector": self._config.collector.address,
            "collector_version": acknowledgement.collector_version,
            "next_interval_seconds": acknowledgement.next_interval_seconds,
        }


def failed_probes(scan: Scan) -> list[str]:
    """Return the names of the probes that failed, each with its reason."""
    return [f"{probe.name} ({probe.reason})" for probe in scan.probes if probe.state is ProbeState.FAILED]


def _describe(scan: Scan, report: Report) -> dict[str, object]:
    return {
        "at": tell_moment(scan.scanned_at),
        "seconds": round(scan.seconds, 3),
        "inventory": report.inventory,
        "installs": len(scan.installs.installs),
        "builds": len(scan.builds),
        "failed_probes": failed_probes(scan),
    }
