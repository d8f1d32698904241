"""One scan of one root: runs the probes, each on its own, and joins what they found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.facts.codec import encode_fact
from libcensus.facts.host import Host, Inventory

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from libcensus.facts.interpreter import Build, InstallSet
    from libcensus.facts.platform import Platform
    from libcensus.facts.report import ProbeResult


@dataclass(frozen=True, slots=True)
class Scan:
    """What one scan found; ``builds`` is keyed by address, and ``root`` names the tree as it was given."""

    root: str
    host: Host
    platform: Platform
    installs: InstallSet
    builds: Mapping[str, Build]
    probes: tuple[ProbeResult, ...]
    scanned_at: datetime
    seconds: float

    def inventory(self) -> Inventory:
        """Return the root of the tree of digests that stands for this scan."""
        return Inventory(
            host=self.host,
            platform=encode_fact(self.platform)[1],
            installs=encode_fact(self.installs)[1],
            builds=tuple(sorted(self.builds)),
        )
