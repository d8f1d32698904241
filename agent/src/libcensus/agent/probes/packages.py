"""Opens the package records of a root, which the other probes ask for the owner of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcensus.agent.packages.database import PackageDatabase
from libcensus.agent.packages.dpkg import parse_paragraph
from libcensus.agent.packages.origin import judge_origin
from libcensus.agent.probes.context import ProbeSkippedError
from libcensus.agent.probes.platform import read_os_release

if TYPE_CHECKING:
    from libcensus.agent.probes.context import ScanContext
    from libcensus.agent.probes.skips import Skips

__all__ = ["PackageDatabase", "judge_origin", "parse_paragraph", "probe_packages"]


def probe_packages(context: ScanContext, skips: Skips) -> None:
    """Open the root's package records; raises ProbeSkippedError where there are none."""
    release, _ = read_os_release(context.root, skips)
    ids = tuple(one for one in (release.id, *release.id_like) if one)
    context.packages = PackageDatabase(context.root, skips, ids)
    if context.packages.manager is None:
        raise ProbeSkippedError("no package database is there")
