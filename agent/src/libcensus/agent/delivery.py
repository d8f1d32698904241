"""From a scan to an acknowledgement: makes the report, keeps it, sends what waits, remembers how it ended.

The order is the promise: a report is durable in the spool before the first byte is sent, and leaves it after the
collector said that it is durable there. What waited longest goes first, so that the collector sees a host's history in
order. gRPC is imported only when there is something to send.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from libcensus.agent.errors import AgentError, RefusedError
from libcensus.agent.identity import find_identity
from libcensus.agent.spool import HeldFacts, Spool, WaitingReport
from libcensus.agent.state import StateFolder
from libcensus.agent.target import parse_target
from libcensus.agent.version import agent_version
from libcensus.facts.codec import encode_fact, encode_report, process_set_digest
from libcensus.facts.report import Report
from libcensus.facts.vocabulary import ProbeState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from libcensus.agent.config import AgentConfig
    from libcensus.agent.scan import Scan
    from libcensus.agent.spool import AddressedFact, FactSource
    from libcensus.agent.transport import Acknowledgement, CollectorClient

_LOG = logging.getLogger(__name__)

REPORT_BYTES = 900
"""What a report may have with its examples: with the answer and what surrounds both it stays below 1 KiB."""

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
    """Keeps and delivers this host's reports, for one configuration."""

    def __init__(
        self, config: AgentConfig, connect: Callable[[str], AbstractContextManager[CollectorClient]] | None = None
    ) -> None:
        self._config = config
        self._connect = self._connect_by_grpc if connect is None else connect
        self.state = StateFolder(config.state.folder)
        self.spool = Spool(
            config.state.folder / "spool", max_reports=config.state.max_reports, max_bytes=config.state.max_bytes
        )

    def prepare(self) -> None:
        """Find everything that would stop a delivery, before a scan is spent on it."""
        parse_target(self._config.collector.address).check_plaintext()
        self.state.create()

    def deliver(self, scan: Callable[[], Scan]) -> Delivery:
        """Scan, keep the report, send it after all that waited; raises the error that kept it from being sent."""
        self.prepare()
        with self.state.lock():
            host_id = find_identity(self.state.path).host_id
            self.state.remove_unfinished()
            self.spool.discard_damaged()
            report, source, waiting = self._keep(scan)
            return self._send(host_id, report, source, waiting)

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
                with self._connect(host_id) as client:
                    result = self._send_older(client, waiting)
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
            return report, self.spool, self.spool.add(report, facts)
        except OSError as error:
            _LOG.warning("the report cannot be kept in %s (%s); it is sent from memory", self.spool.folder, error)
            return report, HeldFacts(facts), None

    def _send(self, host_id: str, report: Report, source: FactSource, waiting: WaitingReport | None) -> Delivery:
        try:
            with self._connect(host_id) as client:
                older = [one for one in self.spool.waiting() if one.report.report_id != report.report_id]
                sent, refused = self._send_older(client, older)
                acknowledgement = client.send(report, source, known_processes=self._known_processes())
        except RefusedError as error:
            if waiting is not None:
                self.spool.remove(waiting)
            self._fail(error)
            raise RefusedError(f"{error}; the report was dropped, for it would be refused again") from None
        except AgentError as error:
            self._fail(error)
            raise type(error)(f"{error}; {self._tell_kept(waiting)}") from None
        if waiting is not None:
            self.spool.remove(waiting)
        self._remember(LAST_ACKNOWLEDGED, self._describe_acknowledgement(report, acknowledgement))
        self._remember(LAST_FAILURE, None)
        return Delivery(report, acknowledgement, sent, refused)

    def _send_older(self, client: CollectorClient, older: Sequence[WaitingReport]) -> tuple[int, int]:
        """Send what waits, oldest first; one that the collector refuses is dropped, or it would block all others."""
        sent = refused = 0
        for one in older:
            try:
                acknowledgement = client.send(one.report, self.spool, known_processes=self._known_processes())
            except RefusedError as error:
                _LOG.warning("the waiting report of %s was dropped: %s", one.report.scanned_at.isoformat(), error)
                refused += 1
            else:
                sent += 1
                self._remember(LAST_ACKNOWLEDGED, self._describe_acknowledgement(one.report, acknowledgement))
            self.spool.remove(one)
        return sent, refused

    def _known_processes(self) -> str | None:
        """Return the digest of the process set that this collector acknowledged last; asked anew for each report."""
        last = self.state.read().get(LAST_ACKNOWLEDGED)
        if not isinstance(last, dict) or last.get("collector") != self._config.collector.address:
            return None
        digest = last.get("processes")
        return digest if isinstance(digest, str) else None

    def _connect_by_grpc(self, host_id: str) -> CollectorClient:
        from libcensus.agent.transport import CollectorClient  # noqa: PLC0415 - a scan must not pay for gRPC

        return CollectorClient(self._config.collector, host_id)

    def _tell_kept(self, waiting: WaitingReport | None) -> str:
        if waiting is None:
            return f"the report could not be kept in {self.spool.folder} either: free some space and report again"
        return f"the report is kept in {self.spool.folder} and will be sent with the next one"

    def _fail(self, error: AgentError) -> None:
        kind = type(error).__name__.removesuffix("Error").lower()
        self._remember(LAST_FAILURE, {"at": _text(datetime.now(UTC)), "kind": kind, "message": str(error)})

    def _remember(self, key: str, value: object) -> None:
        try:
            self.state.update({key: value})
        except OSError as error:
            _LOG.warning("state folder %s cannot be written: %s", self.state.path, error)

    def _describe_acknowledgement(self, report: Report, acknowledgement: Acknowledgement) -> dict[str, object]:
        return {
            "at": _text(datetime.now(UTC)),
            "scanned_at": _text(report.scanned_at),
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
        "at": _text(scan.scanned_at),
        "seconds": round(scan.seconds, 3),
        "inventory": report.inventory,
        "installs": len(scan.installs.installs),
        "builds": len(scan.builds),
        "failed_probes": failed_probes(scan),
    }


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
