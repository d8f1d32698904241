"""Judges a machine here, with no server: the agent's scan, and the collector's verdicts from published facts."""

from __future__ import annotations

import os
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from libcensus.agent.config import load_config
from libcensus.agent.host import Root
from libcensus.agent.scan import scan_remembered
from libcensus.cli.assessed import Assessed
from libcensus.cli.terminal import Progress
from libcensus.collector.posture.assessment import Assessor
from libcensus.collector.posture.quirks import seen_quirks
from libcensus.collector.service.fleet_codec import tell_verdict
from libcensus.facts.codec import encode_fact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libcensus.agent.config import AgentConfig
    from libcensus.agent.scan import Scan
    from libcensus.collector.posture.catalogue import Catalogue


def load_agent_config(exclude: Sequence[str], **flags: object) -> AgentConfig:
    """Return the agent's configuration of this machine: what keeps its scans out of a folder keeps ours out too.

    ``flags`` are settings by name, with ``__`` for the dot. Raises the agent's ConfigurationError.
    """
    given: dict[str, tuple[str, object]] = {
        name.replace("__", "."): ("libcensus", value) for name, value in flags.items()
    }
    if exclude:
        given["scan.exclude"] = ("--exclude", tuple(exclude))
    return load_config(given, environment=os.environ)


def scan_root(folder: str, config: AgentConfig) -> Scan:
    """Scan a root, with progress on standard error. Raises the agent's errors."""
    progress = Progress()
    with closing(progress), Root.open(folder) as root:
        return scan_remembered(root, config.scan, config.state.folder, progress)


def assess_scan(found: Scan, catalogue: Catalogue) -> Assessed:
    """Return a scan with today's verdicts upon it, by what a catalogue knows."""
    assessor = Assessor(catalogue, datetime.now(UTC).date())
    assessment = assessor.assess(
        found.host,
        found.platform,
        found.installs,
        found.builds,
        found.root,
        platform_digest=encode_fact(found.platform)[1],
        crypto_copies=found.crypto_copies,
        roots=found.roots,
        platforms=found.platforms,
        changelogs=found.changelogs.values(),
        tools=found.tools,
        processes=found.processes,
    )
    return Assessed(
        scan=found,
        findings=assessment.findings,
        end_of_life=assessment.end_of_life,
        verdicts={place: tell_verdict(verdict) for place, verdict in assessment.verdicts.items()},
        quirks=seen_quirks(found.installs, found.builds, assessor.catalogue.quirks),
        staleness=assessment.staleness,
    )
