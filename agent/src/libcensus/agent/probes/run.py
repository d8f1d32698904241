"""How one probe ended, while its scan goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.facts.report import ProbeResult

if TYPE_CHECKING:
    from libcensus.agent.probes.skips import Skips
    from libcensus.facts.vocabulary import ProbeState


@dataclass(frozen=True, slots=True)
class ProbeRun:
    """How one probe ended. Its skips may still grow: a database that it opened is asked by the probes after it."""

    name: str
    state: ProbeState
    seconds: float
    reason: str | None
    skips: Skips

    def result(self) -> ProbeResult:
        """Return the run as a fact."""
        return ProbeResult(self.name, self.state, self.seconds, self.reason, self.skips.results())
