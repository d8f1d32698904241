"""Gives the facts of a root again when nothing that they depend on has changed since they were read.

What they depend on: what the walk found, every look-up that the probes made, the settings, the agent's own code, and
for the running host the kernel's words for itself. See :mod:`libcensus.agent.index` for what is kept where.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from libcensus.agent.index import Record
from libcensus.agent.probes.platform import own_x86_64_level
from libcensus.agent.probes.run import ProbeRun
from libcensus.agent.probes.skips import Skips
from libcensus.facts.changelog import PackageChangelog
from libcensus.facts.codec import decode_fact, encode_fact
from libcensus.facts.digest import FactKind
from libcensus.facts.host import Host, Inventory
from libcensus.facts.interpreter import Build, InstallSet
from libcensus.facts.validation import InvalidFactError
from libcensus.facts.vocabulary import ProbeState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from libcensus.agent.accesses import Accesses
    from libcensus.agent.probes.context import ScanContext
    from libcensus.facts.codec import Fact
    from libcensus.facts.crypto import CryptoCopySet
    from libcensus.facts.platform import Platform
    from libcensus.facts.tool import ToolSet

_NOWHERE = "0" * 64
"""Stands where an inventory wants the digests of sets that are kept beside it."""


@dataclass(frozen=True, slots=True)
class RootFacts:
    """What the probes of one root found, as facts, each set in its order."""

    host: Host
    platform: Platform
    installs: InstallSet
    builds: Mapping[str, Build]
    copies: CryptoCopySet
    tools: ToolSet
    changelogs: tuple[PackageChangelog, ...]


def scan_key(context: ScanContext) -> str:
    """Return what the facts depend on beside files."""
    machine = ""
    if context.root.is_own:
        machine = f"{os.uname()!r} {own_x86_64_level(Skips())}"
    return f"{context.fingerprint} {context.settings!r} {context.root.is_own} {machine}"


def keep(context: ScanContext, facts: RootFacts, runs: Iterable[ProbeRun], accesses: Accesses) -> None:
    """Remember a root's facts for the next scan; what changed a moment ago, or failed, is not remembered."""
    index, recognition = context.index, context.recognition
    runs = list(runs)
    if index is None or recognition is None or not recognition.is_settled:
        return
    if any(run.state is ProbeState.FAILED for run in runs):
        return
    inventory = Inventory(facts.host, platform=_NOWHERE, installs=_NOWHERE)
    parts: tuple[Fact, ...] = (
        inventory,
        facts.platform,
        facts.installs,
        *facts.builds.values(),
        facts.copies,
        facts.tools,
        *facts.changelogs,
    )
    encoded = [encode_fact(part) for part in parts]
    record = Record(
        fingerprint=scan_key(context),
        remarkable=recognition.remarkable,
        accesses=accesses,
        facts=tuple((kind.value, payload) for kind, _, payload in encoded),
        runs=tuple([run.name, run.state.value, run.reason, run.skips.to_json()] for run in runs),
        recognition=recognition.skips.to_json(),
    )
    index.keep_record(context.root.name, record)


def recall(context: ScanContext) -> tuple[RootFacts, list[ProbeRun], Skips] | None:
    """Return a root's facts, its probes' results and the walk's own skips when all still holds; else None."""
    index, recognition = context.index, context.recognition
    if index is None or recognition is None or not recognition.is_unchanged:
        return None
    record = index.record(context.root.name)
    if record is None or record.fingerprint != scan_key(context) or not record.accesses.still_hold(context.root):
        return None
    try:
        facts = _decode(record.facts)
        runs = [_run(value) for value in record.runs]
        skips = Skips.from_json(record.recognition)
    except (InvalidFactError, ValueError, KeyError, TypeError):
        return None
    index.keep_same(context.root.name)
    return facts, runs, skips


def _decode(kept: Iterable[tuple[str, bytes]]) -> RootFacts:
    single: dict[FactKind, Any] = {}
    builds: dict[str, Build] = {}
    changelogs: list[PackageChangelog] = []
    for word, payload in kept:
        kind = FactKind(word)
        fact = decode_fact(kind, payload)
        if isinstance(fact, Build):
            builds[encode_fact(fact)[1]] = fact
        elif isinstance(fact, PackageChangelog):
            changelogs.append(fact)
        else:
            single[kind] = fact
    return RootFacts(
        host=single[FactKind.INVENTORY].host,
        platform=single[FactKind.PLATFORM],
        installs=single[FactKind.INSTALL_SET],
        builds=builds,
        copies=single[FactKind.CRYPTO_COPY_SET],
        tools=single[FactKind.TOOL_SET],
        changelogs=tuple(changelogs),
    )


def _run(value: Any) -> ProbeRun:
    name, state, reason, skips = value
    return ProbeRun(str(name), ProbeState(state), 0.0, reason, Skips.from_json(skips))
