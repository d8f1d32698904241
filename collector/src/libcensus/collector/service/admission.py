"""Who is served now and who is asked to come back: fair among hosts, bounded in memory, cheap for whom it refuses.

Three bounds. The collector as a whole serves a number of calls at once; whoever comes beyond that is refused by threads
of their own, before its request is read. A host has a bucket of calls that fills up again at a steady rate, and may
have some calls open at once: however often one host calls, the others find their share. The refusals name a time to
come back that grows with the number of those who were sent away and is spread at random, so that a fleet that was
refused together does not return together.
"""

from __future__ import annotations

import random
import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from libcensus.collector.service.errors import OverloadedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    import grpc

    from libcensus.collector.service.identity import IdentitySource

_FIRST_RATE = 200.0
_LOWEST_RATE = 20.0
_RATE_WINDOW_SECONDS = 1.0
_NEWS_SHARE = 0.5

LONGEST_HINT_SECONDS = 60.0
"""No client is asked to stay away longer: by then the picture has changed."""

_SHORTEST_HINT_SECONDS = 0.25

BYTES_OF_A_CALL = 64 * 1024
"""A message that is larger counts as several calls: what it costs to read grows with it."""

MAX_HOSTS = 65_536
"""How many hosts are remembered at most; the one that called longest ago is forgotten first."""

_RANDOM = random.SystemRandom()


class WorkerPool(ThreadPoolExecutor):
    """The threads that serve calls, with the number of calls that are served or wait for a thread.

    gRPC takes back no call that it has handed over, so one that is cancelled before it begins is not looked for.
    """

    def __init__(self, max_workers: int, thread_name_prefix: str = "grpc-worker") -> None:
        super().__init__(max_workers, thread_name_prefix)
        self._count_lock = threading.Lock()
        self._in_flight = 0

    @property
    def in_flight(self) -> int:
        """Calls that were handed over and have not ended."""
        return self._in_flight

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have a call served by the next free thread."""
        with self._count_lock:
            self._in_flight += 1
        try:
            return super().submit(self._serve, fn, args, kwargs)
        except BaseException:
            self._note_end()
            raise

    def _serve(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        # Around the call, for a callback of the future's costs several times as much.
        try:
            return fn(*args, **kwargs)
        finally:
            self._note_end()

    def _note_end(self) -> None:
        with self._count_lock:
            self._in_flight -= 1


class RetryLine:
    """Gives those who are refused a time to come back, one after the other, at the rate at which calls are served.

    Nobody holds a place: the line only counts who was sent away and how fast calls end while others are refused.
    ``clock`` is monotonic, in seconds; ``spread`` returns a random number between two.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, spread: Callable[[float, float], float] = _RANDOM.uniform
    ) -> None:
        self._clock = clock
        self._spread = spread
        self._lock = threading.Lock()
        self._waiting = 0.0
        self._rate = _FIRST_RATE
        self._moment = self._window = clock()
        self._served = 0
        self._refused = False

    def note_served(self) -> None:
        """Take note that a call was served."""
        # Unlocked: a lost count moves the measured rate by less than the machine's noise.
        self._served += 1

    def hint(self) -> float:
        """Return after how many seconds the one who is refused now should come back."""
        with self._lock:
            now = self._clock()
            self._measure(now)
            self._waiting = max(0.0, self._waiting - (now - self._moment) * self._rate) + 1
            self._moment = now
            seconds = self._waiting / self._rate
        # Those at the end of a long line are spread over its second half, not put on one moment.
        seconds = min(seconds, LONGEST_HINT_SECONDS)
        return max(_SHORTEST_HINT_SECONDS, self._spread(0.5 * seconds, seconds)) + self._spread(0, 0.5)

    def _measure(self, now: float) -> None:
        elapsed = now - self._window
        if elapsed < _RATE_WINDOW_SECONDS:
            return
        # A window counts when some were refused shortly before it as well: else it tells of idleness.
        if elapsed < 2 * _RATE_WINDOW_SECONDS:
            self._rate = max(_LOWEST_RATE, (1 - _NEWS_SHARE) * self._rate + _NEWS_SHARE * self._served / elapsed)
        self._window, self._served = now, 0


@dataclass(slots=True)
class _Bucket:
    """What one host may still do: calls left, as of when, and how many are open."""

    left: float
    moment: float
    active: int = 0


class HostLimits:
    """A bucket of calls for each host; bounded memory, the host that called longest ago goes first.

    ``rate`` is calls a second in the long run, ``burst`` how many may come at once, ``active`` how many may be open.
    """

    def __init__(
        self,
        rate: float,
        burst: int,
        active: int,
        *,
        max_hosts: int = MAX_HOSTS,
        clock: Callable[[], float] = time.monotonic,
        spread: Callable[[float, float], float] = _RANDOM.uniform,
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._active = active
        self._max_hosts = max_hosts
        self._clock = clock
        self._spread = spread
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    @property
    def remembered(self) -> int:
        """How many hosts are remembered right now."""
        return len(self._buckets)

    def enter(self, host_id: str) -> None:
        """Let a host's call in; raises OverloadedError with the time after which it may try again."""
        with self._lock:
            now = self._clock()
            bucket = self._buckets.get(host_id)
            if bucket is None:
                bucket = self._buckets[host_id] = _Bucket(self._burst, now)
                self._forget(now)
            else:
                self._buckets.move_to_end(host_id)
                bucket.left = min(self._burst, bucket.left + (now - bucket.moment) * self._rate)
                bucket.moment = now
            if bucket.active >= self._active:
                raise OverloadedError(
                    f"this host has {self._active} calls open already; let them end first",
                    1.0 + self._spread(0, 1.0),
                    "host_calls",
                )
            if bucket.left < 1:
                wait = (1 - bucket.left) / self._rate
                raise OverloadedError(
                    f"this host calls more often than {self._rate:g} times a second; come back later",
                    wait + self._spread(0, 1.0),
                    "host_rate",
                )
            bucket.left -= 1
            bucket.active += 1

    def charge(self, host_id: str, size: int) -> None:
        """Take the bytes of a message from a host's bucket; a debt, of a burst at most, keeps its next calls out."""
        cost = size // BYTES_OF_A_CALL
        if cost:
            with self._lock:
                bucket = self._buckets.get(host_id)
                if bucket is not None:
                    bucket.left = max(-self._burst, bucket.left - cost)

    def leave(self, host_id: str) -> None:
        """Take note that a host's call has ended."""
        with self._lock:
            bucket = self._buckets.get(host_id)
            if bucket is not None and bucket.active:
                bucket.active -= 1

    def _forget(self, now: float) -> None:
        """Forget hosts whose bucket is full again, which is as if they had never called; at most two for each new."""
        # From the deepest debt.
        filled = 2 * self._burst / self._rate
        for _ in range(2):
            host_id, oldest = next(iter(self._buckets.items()))
            is_full = not oldest.active and now - oldest.moment > filled
            if not is_full and len(self._buckets) <= self._max_hosts:
                return
            del self._buckets[host_id]


class Admission:
    """The bounds of one collector, asked before a call is served.

    ``max_calls`` is how many calls may be served or wait at once, ``in_flight`` how many do.
    """

    def __init__(
        self,
        identity: IdentitySource,
        in_flight: Callable[[], int],
        max_calls: int,
        hosts: HostLimits,
        line: RetryLine | None = None,
    ) -> None:
        self._identity = identity
        self._in_flight = in_flight
        self._max_calls = max_calls
        self._hosts = hosts
        self._line = RetryLine() if line is None else line
        self.aside = ThreadPoolExecutor(2, "grpc-refusal")
        """Threads that only refuse, so that nobody waits for a busy one to be sent away."""

    @property
    def is_full(self) -> bool:
        """Whether as many calls are in flight as may be."""
        return self._in_flight() >= self._max_calls

    def too_many_calls(self) -> OverloadedError:
        """Return the refusal of a call that comes when :attr:`is_full`."""
        return OverloadedError(f"{self._max_calls} calls are in flight already; try again later", None, "calls")

    def retry_seconds(self) -> float:
        """Return when one who is refused now is asked to come back."""
        return self._line.hint()

    def enter_host(self, context: grpc.ServicerContext) -> str:
        """Take a call from the share of the host that speaks; returns the host's id, to leave by.

        Raises IdentityError where the connection does not tell who speaks, and OverloadedError where the share is used
        up.
        """
        host_id = self._identity.host_id(context)
        self._hosts.enter(host_id)
        return host_id

    def charge_host(self, host_id: str, size: int) -> None:
        """Take note of a message of a host's, with its size in bytes."""
        if size >= BYTES_OF_A_CALL:
            self._hosts.charge(host_id, size)

    def leave_host(self, host_id: str) -> None:
        """Take note that the host's call has ended."""
        self._hosts.leave(host_id)
        self._line.note_served()

    def stop(self) -> None:
        """End the threads that refuse; may be called again."""
        self.aside.shutdown(wait=True, cancel_futures=True)
