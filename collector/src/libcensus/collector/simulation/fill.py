"""Fills a store with a simulated fleet: facts first, then the reports that name them, as agents' own come in.

The store takes them as it takes real ones: it decodes every fact, and refuses a report whose facts are missing or
contradict each other. It does not add to a store that has hosts already unless it is told to, because nobody could
easily tell them apart afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcensus.collector.simulation.facts import FactMaker
from libcensus.collector.simulation.plan import Choices, SimulationError, plan_fleet
from libcensus.collector.simulation.truth import Truth

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import date

    from libcensus.collector.posture.catalogue import Catalogue
    from libcensus.collector.simulation.builds import BuildPlan
    from libcensus.collector.simulation.facts import HostFacts
    from libcensus.collector.store.contract import Store

_BATCH = 250


class Simulation:
    """A fleet of a seed on a day, to be put into a store; the same arguments make the same facts and truth.

    Raises SimulationError for a day on which the snapshot knows too little.
    """

    def __init__(self, catalogue: Catalogue, seed: int, hosts: int, as_of: date | None = None) -> None:
        self._choices = Choices(catalogue, as_of or catalogue.snapshot_date)
        self._maker = FactMaker()
        self._seed = seed
        self._hosts = hosts

    @property
    def as_of(self) -> date:
        """The day that the fleet is of."""
        return self._choices.as_of

    def truth(self, only: Collection[str] | None = None) -> Truth:
        """Return what is true of the fleet, or of the hosts with these ids, without a fact being made."""
        truth = Truth(self._seed, self.as_of)
        for plan in plan_fleet(self._choices, self._seed, self._hosts):
            if only is None or plan.host_id in only:
                truth.add(plan)
        return truth

    def build_digest(self, plan: BuildPlan) -> str:
        """Return the address of a build of the fleet."""
        return self._maker.build_digest(plan)

    def truth_object(self, truth: Truth) -> dict[str, object]:
        """Return the truth for JSON, with the addresses of the builds."""
        return truth.as_object(self.build_digest)

    def fill(self, store: Store, progress: Callable[[int], None] = lambda _done: None, *, add: bool = False) -> Truth:
        """Put the fleet into a store; returns the truth of it. ``progress`` is told how many of its hosts are in.

        With ``add`` the store may have hosts already; those of this very fleet are left as they are. Raises
        SimulationError for a store that has hosts otherwise, StoreError where it cannot be written.
        """
        there = len(store.host_stamps())
        if there and not add:
            raise SimulationError(
                f"the database holds {there} host{'s' if there > 1 else ''} already, and a simulated fleet beside them "
                "could hardly be told apart; name a new database, or --add to this one"
            )
        truth = Truth(self._seed, self.as_of)
        waiting: list[HostFacts] = []
        for plan in plan_fleet(self._choices, self._seed, self._hosts):
            truth.add(plan)
            waiting.append(self._maker.facts_of(plan))
            if len(waiting) == _BATCH or plan.number == self._hosts - 1:
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
