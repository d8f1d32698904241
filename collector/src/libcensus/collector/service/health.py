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

import grpc
from grpc_health.v1 import health_pb2

from libcensus.collector.errors import (
    StoreBusyError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
)
from libcensus.collector.service.census import parse_message
from libcensus.collector.service.errors import CATALOGUE, OverloadedError, ServiceNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from libcensus.collector.process_metrics import CollectorMetrics
    from libcensus.collector.store.contract import Store

SERVICE_NAME = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

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


class HealthServicer:
    """The standard health service, ``grpc.health.v1``.

    Not grpcio's own: that one holds a lock while it sends, and waits for it where the end of a call is told; a watch
    that ended while a status changed stopped the whole server. Here nothing is sent under a lock. A watch holds a
    thread, so there are few.
    """

    def __init__(self, services: Sequence[str], max_watches: int) -> None:
        self._changed = threading.Condition()
        # The empty name stands for the server as a whole.
        self._services = frozenset(("", *services))
        self._status = _NOT_SERVING
        self._ended = False
        self._watches = threading.BoundedSemaphore(max_watches)

    def handlers(self) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        """Return the service's methods for a server; requests stay bytes."""
        return {
            "Check": grpc.unary_unary_rpc_method_handler(
                self.check, response_serializer=health_pb2.HealthCheckResponse.SerializeToString
            ),
            "List": grpc.unary_unary_rpc_method_handler(
                self.list, response_serializer=health_pb2.HealthListResponse.SerializeToString
            ),
            "Watch": grpc.unary_stream_rpc_method_handler(
                self.watch, response_serializer=health_pb2.HealthCheckResponse.SerializeToString
            ),
        }

    def set_serving(self, *, serving: bool) -> None:
        """Set the status of every service, and tell those who watch."""
        with self._changed:
            if not self._ended:
                self._status = _SERVING if serving else _NOT_SERVING
                self._changed.notify_all()

    def end(self) -> None:
        """Say NOT_SERVING for good, and end every watch: it would hold up a graceful stop for the whole grace."""
        with self._changed:
            self._status, self._ended = _NOT_SERVING, True
            self._changed.notify_all()

    def check(self, raw: bytes, _context: grpc.ServicerContext) -> health_pb2.HealthCheckResponse:
        """Answer the status of one service."""
        service = parse_message(health_pb2.HealthCheckRequest, raw).service
        if service not in self._services:
            raise ServiceNotFoundError(f"no service of the name {service[:255]!r} is offered")
        return health_pb2.HealthCheckResponse(status=self._status)

    def list(self, raw: bytes, _context: grpc.ServicerContext) -> health_pb2.HealthListResponse:
        """Answer the status of every service."""
        parse_message(health_pb2.HealthListRequest, raw)
        status = health_pb2.HealthCheckResponse(status=self._status)
        return health_pb2.HealthListResponse(statuses=dict.fromkeys(self._services, status))

    def watch(self, raw: bytes, context: grpc.ServicerContext) -> Iterator[health_pb2.HealthCheckResponse]:
        """Answer the status of one service, and again whenever it changes; ends with the client or the collector.

        As the protocol wants it, a service that is not offered is no error: its status is SERVICE_UNKNOWN.
        """
        known = parse_message(health_pb2.HealthCheckRequest, raw).service in self._services
        if not self._watches.acquire(blocking=False):
            raise OverloadedError("too many watches of health at once; ask with Check instead", 10.0, "calls")
        try:
            gone = threading.Event()

            def leave() -> None:
                gone.set()
                with self._changed:
                    self._changed.notify_all()

            if not context.add_callback(leave):
                return
            told = None
            while not gone.is_set():
                with self._changed:
                    while self._now(known) == told and not self._ended and not gone.is_set():
                        self._changed.wait()
                    status, ended = self._now(known), self._ended
                if status != told:
                    told = status
                    yield health_pb2.HealthCheckResponse(status=status)
                if ended:
                    return
        finally:
            self._watches.release()

    def _now(self, known: bool) -> Any:
        return self._status if known else health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class StoreHealth:
    """Watches the store, and is the writer's observer.

    ``interval`` is the time in seconds between looks; a failure seen by the writer is told at once.
    """

    def __init__(
        self,
        store: Store,
        servicer: HealthServicer,
        metrics: CollectorMetrics,
        *,
        interval: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._servicer = servicer
        self._metrics = metrics
        self._interval = interval
        self._clock = clock
        self._lock = threading.Lock()
        self._state = HealthState(serving=False, reason="starting")
        self._looked = -float("inf")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store-health", daemon=True)

    def start(self) -> None:
        """Look once, then keep looking."""
        self.look()
        self._thread.start()

    def stop(self) -> None:
        """Say for good that nothing is served any more."""
        self._stopping.set()
        self._servicer.end()
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
            self._servicer.set_serving(serving=state.serving)
            return True

    def _run(self) -> None:
        while not self._stopping.wait(self._interval):
            self.look()
