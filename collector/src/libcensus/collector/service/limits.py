"""Bounds on attempts: buckets of tokens, one for each peer and one for all.

A bucket holds ``burst`` attempts and gains ``rate`` a second. Bounded in memory: the buckets of those who have not
come for longest are forgotten, which is the same as full ones as long as there are fewer attackers than buckets; the
bucket of all bounds those too.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_BUCKETS = 4096


class AttemptLimit:
    """Counts failed attempts, and tells when a peer may not try now."""

    def __init__(
        self,
        *,
        burst: float,
        rate: float,
        burst_of_all: float,
        rate_of_all: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._burst, self._rate = burst, rate
        self._burst_of_all, self._rate_of_all = burst_of_all, rate_of_all
        self._clock = clock
        self._lock = threading.Lock()
        now = clock()
        self._all = (burst_of_all, now)
        self._peers: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def seconds_to_wait(self, peer: str) -> float:
        """Return how long a peer must wait before it may try; 0 where it may now."""
        with self._lock:
            now = self._clock()
            own = _fill(self._peers.get(peer, (self._burst, now)), self._burst, self._rate, now)
            everybody = _fill(self._all, self._burst_of_all, self._rate_of_all, now)
            return max((1 - own) / self._rate, (1 - everybody) / self._rate_of_all, 0.0)

    def note_failure(self, peer: str) -> None:
        """Count an attempt of a peer that failed."""
        with self._lock:
            now = self._clock()
            own = _fill(self._peers.get(peer, (self._burst, now)), self._burst, self._rate, now)
            self._peers[peer] = (max(0.0, own - 1), now)
            self._peers.move_to_end(peer)
            if len(self._peers) > _BUCKETS:
                self._peers.popitem(last=False)
            everybody = _fill(self._all, self._burst_of_all, self._rate_of_all, now)
            self._all = (max(0.0, everybody - 1), now)


def _fill(bucket: tuple[float, float], burst: float, rate: float, now: float) -> float:
    """Return what a bucket holds by now."""
    held, then = bucket
    return min(burst, held + max(0.0, now - then) * rate)
