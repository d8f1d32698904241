"""The stored facts that make up one host, and the verdicts upon them: one way for lists, single hosts and metrics.

It reads nothing itself: whoever has a store asks for :func:`wanted`, then, because roots name platforms of their own,
for :func:`wanted_by_roots`, and gives what was found.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from libcensus.facts.changelog import PackageChangelog
from libcensus.facts.crypto import CryptoCopySet
from libcensus.facts.host import Inventory
from libcensus.facts.interpreter import Build, InstallSet
from libcensus.facts.platform import Platform
from libcensus.facts.root import RootSet
from libcensus.facts.tool import ToolSet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libcensus.collector.posture.assessment import Assessor, HostAssessment
    from libcensus.collector.store.contract import HostState
    from libcensus.facts.codec import Fact
    from libcensus.facts.process import ProcessSet


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What verdicts on one host rest on, now or on a past day.

    ``builds`` and ``platforms`` (those of its roots) are keyed by address.
    """

    state: HostState | Inventory
    platform: Platform
    installs: InstallSet
    builds: Mapping[str, Build]
    crypto_copies: CryptoCopySet
    roots: RootSet
    platforms: Mapping[str, Platform]
    changelogs: tuple[PackageChangelog, ...] = ()
    tools: ToolSet = field(default_factory=ToolSet)

    @property
    def processes(self) -> ProcessSet | None:
        """What runs there, where it is told: what ran on a past day is not kept."""
        return None if isinstance(self.state, Inventory) else self.state.report.processes

    @classmethod
    def of(cls, state: HostState | Inventory, facts: Mapping[str, Fact]) -> HostFacts | None:
        """Return the facts of a host; None where one that its report names is not among the given ones."""
        platform, installs = facts.get(state.platform), facts.get(state.installs)
        builds = {digest: fact for digest in state.builds if isinstance(fact := facts.get(digest), Build)}
        copies = CryptoCopySet() if state.crypto_copies is None else facts.get(state.crypto_copies)
        roots = RootSet() if state.roots is None else facts.get(state.roots)
        if (
            not isinstance(platform, Platform)
            or not isinstance(installs, InstallSet)
            or len(builds) < len(state.builds)
        ):
            return None
        tools = ToolSet() if state.tools is None else facts.get(state.tools)
        if not isinstance(copies, CryptoCopySet) or not isinstance(roots, RootSet) or not isinstance(tools, ToolSet):
            return None
        platforms = {digest: fact for digest in roots.references if isinstance(fact := facts.get(digest), Platform)}
        if len(platforms) < len(roots.references):
            return None
        changelogs = [fact for digest in state.changelogs if isinstance(fact := facts.get(digest), PackageChangelog)]
        if len(changelogs) < len(state.changelogs):
            return None
        return cls(state, platform, installs, builds, copies, roots, platforms, tuple(changelogs), tools)

    def assess(self, assessor: Assessor) -> HostAssessment:
        """Return everything that is said about the host."""
        return assessor.assess(
            self.state.host,
            self.platform,
            self.installs,
            self.builds,
            platform_digest=self.state.platform,
            crypto_copies=self.crypto_copies,
            roots=self.roots,
            platforms=self.platforms,
            changelogs=self.changelogs,
            tools=self.tools,
            processes=self.processes,
        )


def wanted(state: HostState | Inventory) -> set[str]:
    """Return the addresses of the facts that verdicts on a host rest on, those that its roots name aside."""
    sets = {digest for digest in (state.crypto_copies, state.roots, state.tools) if digest is not None}
    return {state.platform, state.installs, *state.builds, *state.changelogs} | sets


def wanted_by_roots(facts: Mapping[str, Fact]) -> set[str]:
    """Return the addresses that the roots among these facts name."""
    return {digest for fact in facts.values() if isinstance(fact, RootSet) for digest in fact.references}
