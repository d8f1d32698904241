"""What was judged on each host, kept up to date: what questions about the fleet's findings are answered from.

A host is kept as the numbers of the cases that lie on it; hosts with the same cases share one such pattern, and a case
is kept once, however many hosts have it. A question costs the stamps of all hosts and the facts of those that changed
since the last one; another day, or other advisories, mean that everything is judged anew.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from libcensus.collector.hostfacts import HostFacts, wanted, wanted_by_roots
from libcensus.collector.posture.assessment import CopyAssessment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from libcensus.collector.posture.assessment import Assessor, Case, HostAssessment
    from libcensus.collector.posture.staleness import StalenessKind, StalenessState
    from libcensus.collector.store.contract import HostStamp, HostState, Store
    from libcensus.facts.codec import Fact

_LOGGER = logging.getLogger(__name__)

_BATCH = 500
"""Hosts that are read from the store at once: enough to be quick, few enough to keep memory flat."""

_KEPT_PATTERNS = 100_000
"""Facts whose pattern is remembered, so that equal hosts are judged once; beyond it the memory is emptied."""

Pattern = tuple[int, ...]
"""What lies on a host, by number and sorted; a number stands twice where two places are judged alike."""


LagKey = tuple["StalenessKind", "StalenessState", str]
"""Why and whether an install is stale, and who built it."""

Lags = tuple[tuple[LagKey, int], ...]
"""How many installs of a host are how stale, sorted."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One case by one provider; ``within`` tells where remedies are applied, where that is not the host itself.

    ``environment`` is the folder that remedies name, where the case is of a copy in one.
    """

    provider: str
    case: Case
    within: str | None
    environment: str | None = None


@dataclass(frozen=True, slots=True)
class JudgedHost:
    """One host; its pattern is absent where its facts cannot be read.

    ``lags`` count its installs by how old they are.
    """

    host_id: str
    name: str
    inventory: str
    pattern: Pattern | None
    lags: Lags = ()


@dataclass(frozen=True, slots=True)
class JudgedFleet:
    """The fleet at one moment, hosts sorted by name; ``judged`` is by number. Nobody changes what is in here."""

    assessor: Assessor
    hosts: tuple[JudgedHost, ...]
    judged: Sequence[Judged]


class PostureIndex:
    """Keeps what was judged on a store's hosts. Methods may be called from several threads at once."""

    def __init__(self, store: Store, assessor_for: Callable[[], Assessor]) -> None:
        self._store = store
        self._assessor_for = assessor_for
        self._lock = threading.Lock()
        self._assessor: Assessor | None = None
        self._entries: dict[str, JudgedHost] = {}
        self._judged: list[Judged] = []
        # A case is what it is by identity: equal ones are the same object, and comparing them takes long.
        self._numbers: dict[tuple[str, int, str | None], int] = {}
        self._patterns: dict[bytes, Pattern] = {}
        self._interned: dict[Pattern, Pattern] = {}
        self._lags: dict[bytes, Lags] = {}
        self._interned_lags: dict[Lags, Lags] = {}

    def fleet(self, is_wanted: Callable[[], bool] = lambda: True) -> JudgedFleet | None:
        """Return the fleet as the store has it now; None as soon as nobody wants it any more. Raises StoreError.

        What was judged until then is kept, so that the next question takes less time.
        """
        with self._lock:
            assessor = self._assessor_for()
            if assessor is not self._assessor:
                self._forget(assessor)
            stamps = self._store.host_stamps()
            known = {stamp.host_id for stamp in stamps}
            for host_id in [host_id for host_id in self._entries if host_id not in known]:
                del self._entries[host_id]
            changed = [stamp for stamp in stamps if self._has_changed(stamp)]
            for start in range(0, len(changed), _BATCH):
                if not is_wanted():
                    return None
                self._read({stamp.host_id: stamp for stamp in changed[start : start + _BATCH]}, assessor)
            hosts = (self._entries[stamp.host_id] for stamp in stamps if stamp.host_id in self._entries)
            ordered = tuple(sorted(hosts, key=lambda host: host.name))
            return JudgedFleet(assessor, ordered, tuple(self._judged))

    def _forget(self, assessor: Assessor) -> None:
        self._assessor = assessor
        self._entries.clear()
        self._judged = []
        self._numbers.clear()
        self._patterns.clear()
        self._interned.clear()
        self._lags.clear()
        self._interned_lags.clear()

    def _has_changed(self, stamp: HostStamp) -> bool:
        old = self._entries.get(stamp.host_id)
        return old is None or old.inventory != stamp.inventory or old.name != stamp.name

    def _read(self, stamps: Mapping[str, HostStamp], assessor: Assessor) -> None:
        """Read and judge hosts that changed; those whose facts another host had already are not judged again."""
        states = self._store.hosts(stamps)
        keys = {state.host_id: _facts_key(state) for state in states}
        new = [state for state in states if keys[state.host_id] not in self._patterns]
        needed = {digest for state in new for digest in wanted(state)}
        facts: dict[str, Fact] = dict(self._store.facts(needed)) if needed else {}
        inner = wanted_by_roots(facts) - facts.keys()
        facts |= self._store.facts(inner) if inner else {}
        for host_id in stamps:
            # A host that was removed since its stamp was read is not among the states, and keeps no entry.
            self._entries.pop(host_id, None)
        if len(self._patterns) + len(new) > _KEPT_PATTERNS:
            new = list(states)
            self._patterns.clear()
            self._lags.clear()
            facts |= self._store.facts({digest for state in new for digest in wanted(state)} - facts.keys())
            facts |= self._store.facts(wanted_by_roots(facts) - facts.keys())
        for state in states:
            key, stamp = keys[state.host_id], stamps[state.host_id]
            if key not in self._patterns:
                known = HostFacts.of(state, facts)
                if known is None:
                    _LOGGER.warning("host %s: its stored facts cannot be read; posture leaves it out", stamp.name)
                    self._entries[stamp.host_id] = JudgedHost(stamp.host_id, stamp.name, stamp.inventory, None)
                    continue
                assessment = known.assess(assessor)
                self._patterns[key] = self._pattern(assessment)
                self._lags[key] = self._counted(assessment)
            self._entries[stamp.host_id] = JudgedHost(
                stamp.host_id, stamp.name, stamp.inventory, self._patterns[key], self._lags[key]
            )

    def _pattern(self, assessment: HostAssessment) -> Pattern:
        numbers = []
        for item in assessment.subjects:
            # The environment is part of what a case was judged by.
            key = item.provider, id(item.case), item.within
            number = self._numbers.get(key)
            if number is None:
                # The list keeps the case, so that nothing else gets its identity.
                number = self._numbers[key] = len(self._judged)
                environment = item.copy.environment if isinstance(item, CopyAssessment) else None
                self._judged.append(Judged(str(item.provider), item.case, item.within, environment))
            numbers.append(number)
        pattern = tuple(sorted(numbers))
        return self._interned.setdefault(pattern, pattern)

    def _counted(self, assessment: HostAssessment) -> Lags:
        counts = Counter((one.kind, one.state, one.provider) for one in assessment.stale_installs)
        lags = tuple(sorted(counts.items()))
        return self._interned_lags.setdefault(lags, lags)


def hosts_by_pattern(hosts: Sequence[JudgedHost]) -> Counter[Pattern]:
    """Return how many hosts have each pattern; those that cannot be read have none."""
    return Counter(host.pattern for host in hosts if host.pattern is not None)


def _facts_key(state: HostState) -> bytes:
    """Return an address of what two hosts have in common that are judged alike: all but their name and its proofs."""
    host = replace(state.host, hostname="-", evidence=())
    own = (
        state.platform,
        state.installs,
        state.builds,
        state.crypto_copies,
        state.roots,
        state.changelogs,
        state.tools,
    )
    facts = (host, *own)
    return hashlib.blake2b(repr(facts).encode("utf-8", "backslashreplace"), digest_size=16).digest()
