"""Whether the collector can do its work: the store's state, told through gRPC health and ``/healthz``.

A store that cannot be written turns every service NOT_SERVING, so that load balancers pass over this collector; a
periodic look finds out when it is well again.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grpc_health.v1 import health, health_pb2

from libcensus.collector.errors import (
    StoreBusyError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
)
from libcensus.collector.service.errors import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import grpc

    from libcensus.collector.process_metrics import CollectorMetrics
    from libcensus.collector.store.contract import Store

_LOGGER = logging.getLogger(__name__)

_KINDS: dict[type[Exception], str] = {
    StoreBusyError: "busy",
    StoreFullError: "full",
    StoreReadOnlyError: "read_only",
    StoreCorruptError: "corrupt",
}


@dataclass(frozen=True, slots=True)
class HealthState:
    """Whether the collector serves, and if not, why, in words that may be shown to anybody."""

    serving: bool
    reason: str


class EndingHealthServicer(health.HealthServicer):
    """The standard health service, whose watches end when the collector stops.

    A watch lasts as long as its client likes; without an end it would hold up every graceful stop for the whole grace.
    """

    def __init__(self) -> None:
        super().__init__()
        self._watches_lock = threading.Lock()
        self._watches: set[Callable[[Any], None]] = set()

    def Watch(  # noqa: N802  the name is the protocol's
        self, request: Any, context: grpc.ServicerContext, send_response_callback: Callable[[Any], None] | None = None
    ) -> Any:
        """Watch one service; the answer to a change is pushed without holding a thread."""
        if send_response_callback is not None:
            with self._watches_lock:
                self._watches.add(send_response_callback)
            context.add_callback(lambda: self._forget_watch(send_response_callback))
        return super().Watch(request, context, send_response_callback)

    def end_watches(self) -> None:
        """End every watch; each has been told the last status before."""
        with self._watches_lock:
            watches = list(self._watches)
        for end in watches:
            end(None)

    def _forget_watch(self, watch: Callable[[Any], None]) -> None:
        with self._watches_lock:
            self._watches.discard(watch)


class StoreHealth:
    """Watches the store, and is the writer's observer.

    ``interval`` is the time in seconds between looks; a failure seen by the writer is told at once.
    """

    def __init__(
        self,
        store: Store,
        servicer: EndingHealthServicer,
        services: Sequence[str],
        metrics: CollectorMetrics,
        *,
        interval: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._servicer = servicer
        # The empty name stands for the server as a whole.
        self._services = ("", *services)
        self._metrics = metrics
        self._interval = interval
        self._clock = clock
        self._lock = threading.Lock()
        self._state = HealthState(serving=False, reason="starting")
        self._looked = -float("inf")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store-health", daemon=True)
        for service in self._services:
            servicer.set(service, health_pb2.HealthCheckResponse.NOT_SERVING)

    def start(self) -> None:
        """Look once, then keep looking."""
        self.look()
        self._thread.start()

    def stop(self) -> None:
        """Say for good that nothing is served any more."""
        self._stopping.set()
        self._servicer.enter_graceful_shutdown()
        self._servicer.end_watches()
        with self._lock:
            self._state = HealthState(serving=False, reason="stopping")
        if self._thread.ident is not None:
            self._thread.join()

    @property
    def state(self) -> HealthState:
        """What was seen last."""
        return self._state

    def current(self, oldest: float = 1.0) -> HealthState:
        """Return the state, looking anew if the last look is older than so many seconds."""
        if not self._stopping.is_set() and self._clock() - self._looked > oldest:
            self.look()
        return self._state

    def look(self) -> None:
        """Ask the store whether it can be written."""
        self._looked = self._clock()
        try:
            self._store.check()
        except StoreError as error:
            self.store_failed(error)
        except Exception:
            _LOGGER.exception("the store could not be looked at")
            self._set(HealthState(serving=False, reason="internal error; see the collector's log"))
        else:
            self.store_worked()

    def committed(self, seconds: float, reports: int, new_facts: int) -> None:
        """Count a group that became durable."""
        self._metrics.count_commit(seconds, reports, new_facts)

    def store_failed(self, error: Exception) -> None:
        """Take note that the store refused something."""
        self._metrics.count_store_error(_KINDS.get(type(error), "other"))
        status = CATALOGUE.get(type(error))
        reason = status.text if status is not None and status.text else "the collector's database cannot be used"
        if self._set(HealthState(serving=False, reason=reason)):
            _LOGGER.error("not serving: %s", error)

    def store_worked(self) -> None:
        """Take note that the store took something."""
        if not self._state.serving and self._set(HealthState(serving=True, reason="ok")):
            _LOGGER.info("serving: the database can be written")

    def _set(self, state: HealthState) -> bool:
        """Tell a new state to everybody; returns whether it is new."""
        with self._lock:
            if self._stopping.is_set() or state == self._state:
                return False
            self._state = state
            self._metrics.set_store_usable(state.serving)
            status = (
                health_pb2.HealthCheckResponse.SERVING if state.serving else health_pb2.HealthCheckResponse.NOT_SERVING
            )
            for service in self._services:
                self._servicer.set(service, status)
            return True

    def _run(self) -> None:
        while not self._stopping.wait(self._interval):
            self.look()
