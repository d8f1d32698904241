"""Whether processes still run on files that are no longer what is on disk.

An upgrade changes files and no process: what runs keeps the old executable and the old library until it starts again.
The agent read that from /proc; here it becomes what to restart.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from libcensus.collector.posture.staleness import StalenessState, StaleVerdict
from libcensus.facts.evidence import Evidence
from libcensus.facts.vocabulary import EvidenceKind, MappingState, RootKind

if TYPE_CHECKING:
    from libcensus.facts.process import ProcessGroup
    from libcensus.facts.root import ScannedRoot

_GONE = frozenset({MappingState.DELETED, MappingState.REPLACED})
_OF_A_USER = "user@"
"""A user's whole session is a service of this name: nothing to restart for one process in it."""


def judge_processes(group: ProcessGroup, root: ScannedRoot | None) -> StaleVerdict:
    """Return whether processes that run one executable run on what is gone; ``root`` is what they run in."""
    proofs: list[Evidence] = []
    if group.state in _GONE:
        words = f"{group.processes} processes run an executable that was {group.state}"
        proofs.append(Evidence("processes", EvidenceKind.PROCESS, group.executable, words))
    for library in group.libraries:
        if library.state in _GONE:
            words = f"{library.processes} processes have a file of this name mapped that was {library.state}"
            proofs.append(Evidence("processes", EvidenceKind.PROCESS, library.path, words))
    if proofs:
        has = f"{group.outdated} of {group.processes} processes on files that are gone"
        return StaleVerdict(StalenessState.STALE, has, "what is on disk now", None, _remedy(group, root), tuple(proofs))
    if group.unread or group.state is MappingState.UNKNOWN:
        count = group.unread or group.processes
        words = f"not known, because what {count} of {group.processes} processes have mapped could not be seen"
        proof = Evidence("staleness", EvidenceKind.ABSENCE, group.executable, words)
        return StaleVerdict(StalenessState.UNKNOWN, f"{group.processes} processes", evidence=(proof,))
    return StaleVerdict(StalenessState.CURRENT, f"{group.processes} processes")


def _remedy(group: ProcessGroup, root: ScannedRoot | None) -> str:
    if root is not None and root.kind is RootKind.CONTAINER:
        container = root.container
        name = root.name if container is None else container.name or container.id or root.name
        return f"restart the container {name}"
    units = sorted({one.unit for one in group.examples if one.unit is not None and _can_restart(one.unit)})
    others = [str(one.pid) for one in group.examples if one.unit is None or not _can_restart(one.unit)]
    steps = [f"systemctl restart {shlex.join(units)}"] if units else []
    if others:
        steps.append(f"restart what started {'process' if len(others) == 1 else 'processes'} {', '.join(others)}")
    if group.processes > len(group.examples):
        steps.append(f"restart {'whatever else' if steps else 'what'} runs {group.executable}")
    return "; ".join(steps)


def _can_restart(unit: str) -> bool:
    return unit.endswith(".service") and not unit.startswith(_OF_A_USER)
