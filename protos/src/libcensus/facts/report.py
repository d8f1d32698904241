"""What one scan was like: the part of a report that changes by itself and is outside every digest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from libcensus.facts.validation import InvalidFactError, check_digest, check_optional_text, check_range, check_text
from libcensus.facts.vocabulary import ProbeState

if TYPE_CHECKING:
    from libcensus.facts.process import ProcessSet


@dataclass(frozen=True, slots=True)
class SkipCount:
    """How often a probe passed something over for one reason, with a few examples (``path: what happened``)."""

    reason: str
    count: int
    examples: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse negative counts."""
        check_text("reason", self.reason, limit=128)
        check_range("count", self.count, 1, 2**63 - 1)
        if len(self.examples) > 5:
            raise InvalidFactError("examples", f"has {len(self.examples)} entries; at most 5 are kept")
        for example in self.examples:
            check_text("examples", example, limit=4096)


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """How one probe ended: its time in seconds, why it did not end well, and what it passed over."""

    name: str
    state: ProbeState
    seconds: float
    reason: str | None = None
    skips: tuple[SkipCount, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a failure without reason and impossible times."""
        check_text("name", self.name, limit=64)
        check_optional_text("reason", self.reason, limit=1024)
        if not 0 <= self.seconds < 1e9:
            raise InvalidFactError("seconds", f"is {self.seconds}; it must lie between 0 and 1e9")
        if self.state in (ProbeState.SKIPPED, ProbeState.FAILED) and not self.reason:
            raise InvalidFactError("reason", f"is missing although the probe's state is {self.state}")


@dataclass(frozen=True, slots=True)
class AgentState:
    """What an agent holds back and what it lost: reports that wait in its spool, and what the spool's bound dropped.

    The two counts of what was dropped go on as long as the agent's state folder lives.
    """

    waiting_reports: int = 0
    dropped_reports: int = 0
    dropped_facts: int = 0

    def __post_init__(self) -> None:
        """Refuse negative and absurd counts."""
        check_range("waiting_reports", self.waiting_reports, 0, 2**31 - 1)
        check_range("dropped_reports", self.dropped_reports, 0, 2**63 - 1)
        check_range("dropped_facts", self.dropped_facts, 0, 2**63 - 1)


@dataclass(frozen=True, slots=True)
class Report:
    """One scan as it is told to the collector: an id of its own, times, probes, and the inventory's digest.

    ``processes`` is what runs now, absent where the agent did not look; its digest always goes with a report, and the
    groups themselves only when the collector's last ones differ. ``agent_state`` is absent for agents that do not tell.
    """

    report_id: bytes
    agent_version: str
    scanned_at: datetime
    scan_seconds: float
    inventory: str
    probes: tuple[ProbeResult, ...] = ()
    processes_digest: str | None = None
    processes: ProcessSet | None = None
    agent_state: AgentState | None = None

    def __post_init__(self) -> None:
        """Refuse impossible ids, times without zone, and an absurd number of probes."""
        if len(self.report_id) != 16:
            raise InvalidFactError("report_id", f"has {len(self.report_id)} bytes; it must have 16")
        check_text("agent_version", self.agent_version, limit=64)
        if self.scanned_at.tzinfo is not UTC:
            raise InvalidFactError("scanned_at", "must be in UTC")
        if not 0 <= self.scan_seconds < 1e9:
            raise InvalidFactError("scan_seconds", f"is {self.scan_seconds}; it must lie between 0 and 1e9")
        check_digest("inventory", self.inventory)
        if self.processes_digest is not None:
            check_digest("processes_digest", self.processes_digest)
        elif self.processes is not None:
            raise InvalidFactError("processes_digest", "is missing although processes are given")
        if len(self.probes) > 64:
            raise InvalidFactError("probes", f"has {len(self.probes)} entries; at most 64 are allowed")
