"""The accepted risks of a day, and the labels that hosts have now: what every question about findings needs."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from libcensus.collector.posture.acceptance import NOTHING, Acceptances

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from libcensus.collector.acceptance.folder import AcceptanceSource
    from libcensus.collector.posture.acceptance import Matched
    from libcensus.collector.store.contract import Store

_KEPT_DAYS = 16
"""Days whose accepted risks are kept, the present one and those that were asked for last."""

_NO_LABELS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class FleetAcceptances:
    """Accepted risks, and the labels of every host that has any, by host id."""

    acceptances: Acceptances
    labels: Mapping[str, Mapping[str, str]]

    def labels_of(self, host_id: str) -> Mapping[str, str]:
        """Return the labels of a host."""
        return self.labels.get(host_id, _NO_LABELS)

    def groups_of(self, host_id: str, name: str) -> Matched:
        """Return the groups of hosts, as accepted risks name them, that a host is in."""
        if not self.acceptances:
            return NOTHING
        return self.acceptances.hosts_of(host_id, name, self.labels_of(host_id))


_NOTHING_ACCEPTED = FleetAcceptances(Acceptances((), date.min), {})


def nothing_accepted() -> FleetAcceptances:
    """Return the accepted risks of whoever accepts none, for a fleet without labels."""
    return _NOTHING_ACCEPTED


class AcceptancesOfTheDay:
    """Gives the accepted risks of the present day (UTC), or of another: the same object until a statement changes.

    May be asked by several threads at once. A question costs the labels of the hosts that have some.
    """

    def __init__(self, source: AcceptanceSource, store: Store, today: Callable[[], date]) -> None:
        self._source = source
        self._store = store
        self._today = today
        self._lock = threading.Lock()
        self._made: dict[date, Acceptances] = {}

    def __call__(self) -> FleetAcceptances:
        """Return them; raises StoreError."""
        return self.on(self._today())

    def on(self, day: date) -> FleetAcceptances:
        """Return those of a day, by today's statements and labels: what they were on a past day nobody kept."""
        statements = self._source.statements()
        with self._lock:
            made = self._made.pop(day, None)
            if made is None or made.statements is not statements:
                made = Acceptances(statements, day)
            # Those that were asked for last are kept: whoever asks again gets the same object.
            self._made[day] = made
            while len(self._made) > _KEPT_DAYS:
                del self._made[next(iter(self._made))]
        return FleetAcceptances(made, self._store.labels())
