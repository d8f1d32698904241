"""The stamps of hosts as they were read last, of which a scrape reads only those that may have changed since.

Nearly all hosts are at a scrape as they were at the one before. A store whose database nobody else writes to knows
which of them reported meanwhile, and reads their rows alone: of 100,000 rows the driver makes objects one by one, and
gives up the interpreter for each.
"""

from __future__ import annotations

import threading
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from libcensus.collector.store import rows

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterable, Sequence

    from libcensus.collector.store.contract import HostStamp

_SOME = 4
"""When more than one of so many hosts may have changed, all are read: one query costs less than many."""

_NAME_OF = attrgetter("name")

Row = tuple[Any, ...]
"""A row as the driver gives it: the host's id first, then what makes its stamp."""


class StampMemory:
    """What was read last; a row that is as it was then is given the same object again. For several threads at once."""

    def __init__(self) -> None:
        self._reading = threading.Lock()
        self._touching = threading.Lock()
        self._touched: set[str] = set()
        self._known: dict[str, tuple[Row, HostStamp]] = {}
        self._sorted: list[HostStamp] = []
        self._version: Hashable = None

    def touch(self, host_ids: Iterable[str]) -> None:
        """Take note that hosts may be others than they were: before anybody is told that they are."""
        with self._touching:
            self._touched.update(host_ids)

    def read(
        self,
        version: Callable[[], Hashable],
        everything: Callable[[], Sequence[Row]],
        some: Callable[[Collection[str]], Sequence[Row]],
    ) -> list[HostStamp]:
        """Return the stamps of all hosts, sorted by name; the same list while nothing changed.

        ``version`` tells what others wrote: while it stays the same, hosts change by :meth:`touch` alone. None says
        that nobody can tell, and everything is read. Raises what the three raise; nothing that was touched is lost.
        """
        with self._reading:
            now = version()
            with self._touching:
                touched, self._touched = self._touched, set()
            is_same = now is not None and now == self._version and len(touched) * _SOME <= len(self._known)
            # Until it is through, as after an error, nothing that is kept counts.
            self._version = None
            if is_same:
                changed = self._take(some(touched)) if touched else False
            else:
                found = everything()
                changed = self._take(found)
                if len(self._known) != len(found):
                    self._known = {row[0]: self._known[row[0]] for row in found}
                    changed = True
            if changed:
                # By code point, on every database alike: PostgreSQL would order by its own locale.
                self._sorted = sorted((stamp for _, stamp in self._known.values()), key=_NAME_OF)
            self._version = now
            return self._sorted

    def _take(self, found: Iterable[Row]) -> bool:
        """Keep rows; tells whether any is another than before."""
        known, changed = self._known, False
        for row in found:
            pair = known.get(row[0])
            if pair is None or pair[0] != row:
                known[row[0]] = row, rows.stamp_of(row)
                changed = True
        return changed
