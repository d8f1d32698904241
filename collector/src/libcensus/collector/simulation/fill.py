"""Fills a store with a simulated fleet: facts first, then the reports that name them, as agents' own come in.

The store takes them as it takes real ones: it decodes every fact, and refuses a report whose facts are missing or
contradict each other. A fleet with a past reports it too, each host's oldest report first. It does not add to a store
that has hosts already unless it is told to, because nobody could easily tell them apart afterwards.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from libcensus.collector.simulation.episodes import PastTruth, episodes_of, parts_of
from libcensus.collector.simulation.facts import FactMaker
from libcensus.collector.simulation.history import Past
from libcensus.collector.simulation.plan import Choices, SimulationError, plan_fleet
from libcensus.collector.simulation.records import Records
from libcensus.collector.simulation.truth import Truth

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from datetime import date
    from typing import Any

    from libcensus.collector.posture.catalogue import Catalogue
    from libcensus.collector.simulation.builds import BuildPlan
    from libcensus.collector.simulation.episodes import Episode
    from libcensus.collector.simulation.facts import HostFacts
    from libcensus.collector.simulation.plan import HostPlan
    from libcensus.collector.store.contract import Store

_BATCH = 250


class Simulation:
    """A fleet of a seed on a day, to be put into a store; the same arguments make the same facts and truth.

    ``days`` is how long before that day its past begins; without it each host has one report. ``tables`` are the
    snapshot's own, by the names of their files: without them the truth tells nothing of advisories. Raises
    SimulationError for a day on which the snapshot knows too little.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        seed: int,
        hosts: int,
        as_of: date | None = None,
        *,
        days: int = 0,
        tables: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._choices = Choices(catalogue, as_of or catalogue.snapshot_date)
        self._past = Past(self._choices, days)
        self.records = None if tables is None else Records(tables, self._choices.systems)
        self._maker = FactMaker()
        self._seed = seed
        self._hosts = hosts
        self._days = days

    @property
    def as_of(self) -> date:
        """The day that the fleet is of."""
        return self._choices.as_of

    def states(self, only: Collection[str] | None = None) -> Iterator[tuple[HostPlan, ...]]:
        """Yield the reports of each host (of those with these ids) as choices, the oldest first.

        The last is what the host is.
        """
        for plan in plan_fleet(self._choices, self._seed, self._hosts):
            if only is None or plan.host_id in only:
                yield self._past.states_of(plan)

    def episodes(self, only: Collection[str] | None = None) -> Iterator[Episode]:
        """Yield what the hosts (with these ids) were open to, also what was no exposure; nothing without tables."""
        if self.records is not None:
            for states in self.states(only):
                yield from episodes_of(states, self.records)

    def truth(self, only: Collection[str] | None = None) -> Truth:
        """Return what is true of the fleet, or of the hosts with these ids, without a fact being made."""
        truth = self._empty_truth()
        for states in self.states(only):
            self._add(truth, states)
        return truth

    def _empty_truth(self) -> Truth:
        truth = Truth(self._seed, self.as_of)
        if self.records is not None:
            truth.findings = Counter()
            if self._days:
                truth.past = PastTruth(self._past.start.date(), self.as_of)
        return truth

    def _add(self, truth: Truth, states: tuple[HostPlan, ...]) -> None:
        truth.add(states[-1])
        if self.records is None or truth.findings is None:
            return
        for part in parts_of(states[-1], self.records):
            for said in part.said:
                truth.findings[said.component, said.severity, said.status, part.provider] += 1
        if truth.past is not None:
            truth.past.add(states, self.records)

    def build_digest(self, plan: BuildPlan) -> str:
        """Return the address of a build of the fleet."""
        return self._maker.build_digest(plan)

    def truth_object(self, truth: Truth) -> dict[str, object]:
        """Return the truth for JSON, with the addresses of the builds."""
        return truth.as_object(self.build_digest)

    def fill(self, store: Store, progress: Callable[[int], None] = lambda _done: None, *, add: bool = False) -> Truth:
        """Put the fleet into a store; returns the truth of it. ``progress`` is told how many of its hosts are in.

        With ``add`` the store may have hosts already; those of this very fleet are left as they are, and get no past.
        Raises SimulationError for a store that has hosts otherwise, StoreError where it cannot be written.
        """
        there = {stamp.host_id for stamp in store.host_stamps()}
        if there and not add:
            raise SimulationError(
                f"the database holds {len(there)} host{'s' if len(there) > 1 else ''} already, and a simulated fleet "
                "beside them could hardly be told apart; name a new database, or --add to this one"
            )
        truth = self._empty_truth()
        waiting: list[HostFacts] = []
        for states in self.states():
            self._add(truth, states)
            # A past that came after the present would be the present.
            told = states[-1:] if states[-1].host_id in there else states
            waiting.extend(self._maker.facts_of(state) for state in told)
            if len(waiting) >= _BATCH or truth.hosts == self._hosts:
                _put(store, waiting)
                waiting.clear()
                progress(truth.hosts)
        return truth


def _put(store: Store, hosts: list[HostFacts]) -> None:
    records = {record.digest: record for host in hosts for record in host.records}
    store.put_facts([records[digest] for digest in sorted(records)])
    for host, outcome in zip(hosts, store.apply_reports([host.received for host in hosts]), strict=True):
        if outcome != ():
            raise AssertionError(f"the store did not take the report of {host.received.host_id}: {outcome}")
