"""The one interceptor: admits, counts and times every call, tells errors by the catalogue, ends what takes too long.

Every request is read as a stream, of one message where the method is unary: gRPC's own handler of unary methods would
let a client that opens a call and sends nothing hold a thread for ever.

It wraps whatever handler a call has, the standard services' too. A handler that raises never reaches gRPC's own error
path, which would show Python's text to the client.
"""

from __future__ import annotations

import functools
import itertools
import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from libcensus.collector.service.errors import (
    CallError,
    MalformedMessageError,
    OverloadedError,
    Refusal,
    refusal_reason,
    refuse,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from libcensus.collector.process_metrics import CollectorMetrics
    from libcensus.collector.service.admission import Admission
    from libcensus.collector.service.gate import Gate

    _Handler = grpc.RpcMethodHandler[Any, Any]

_LOGGER = logging.getLogger(__name__)

_LASTING = frozenset({"/grpc.health.v1.Health/Watch"})
"""Methods whose calls may last as long as both sides like; they bound their number themselves."""

_ALWAYS_SERVED = frozenset({"/grpc.health.v1.Health/Check"})
"""A collector that is busy is healthy: a check that is refused would have it taken out of service."""

_HOSTS_SERVICE = "libcensus.v1.CensusService"
"""The service whose callers are hosts, each of which has a share of its own."""

_STREAMED = frozenset({"client_stream", "bidi_stream"})

_TYPES = {
    (False, False): "unary",
    (True, False): "client_stream",
    (False, True): "server_stream",
    (True, True): "bidi_stream",
}


FIRST_MESSAGE_SECONDS = 20.0
"""How long a client may take to send the message of a call that it has opened."""


class StreamKeeper:
    """Cancels calls that outlive their time.

    A thread that waits for a silent client cannot be interrupted; cancelling the call ends the wait. One thread
    watches all calls. ``ended`` is told of each that was ended.
    """

    def __init__(self, seconds: float, ended: Callable[[], None] = lambda: None) -> None:
        self._seconds = seconds
        self._ended = ended
        # All that have the same time are due in the order of entry; there are few different times.
        self._open: dict[float, dict[int, tuple[float, Callable[[], None]]]] = {}
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._stopping = False
        self._next = float("inf")
        self._thread = threading.Thread(target=self._run, name="stream-keeper", daemon=True)

    def start(self) -> None:
        """Start watching."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; calls that are still open stay so."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join()

    def watch(self, cancel: Callable[[], None], at_most: float = float("inf")) -> tuple[float, int]:
        """Have a call cancelled when its time is over, ``at_most`` so many seconds; returns the key to forget it by."""
        seconds = min(at_most, self._seconds)
        moment = time.monotonic() + seconds
        with self._changed:
            number = next(self._numbers)
            self._open.setdefault(seconds, {})[number] = (moment, cancel)
            if moment < self._next:
                self._next = moment
                self._changed.notify()
            return seconds, number

    def forget(self, key: tuple[float, int]) -> None:
        """Let a call go that has ended."""
        with self._changed:
            self._open[key[0]].pop(key[1], None)

    def _run(self) -> None:
        with self._changed:
            while not self._stopping:
                first = min(
                    ((next(iter(calls.items())), seconds) for seconds, calls in self._open.items() if calls),
                    key=lambda found: found[0][1][0],
                    default=None,
                )
                if first is None:
                    self._next = float("inf")
                    self._changed.wait()
                    continue
                (number, (moment, cancel)), seconds = first
                left = moment - time.monotonic()
                if left > 0:
                    self._next = moment
                    self._changed.wait(left)
                    continue
                del self._open[seconds][number]
                _LOGGER.info("a call was ended after %g s, the longest time that it may take", seconds)
                self._ended()
                cancel()


@dataclass(frozen=True, slots=True)
class _Method:
    """A method's names, as metrics label it."""

    kind: str
    service: str
    name: str
    path: str


@dataclass(frozen=True, slots=True)
class _Wrapped:
    """What stands in for a handler: one that serves and one that refuses."""

    handler: _Handler
    serving: _Handler
    refusing: _Handler | None
    method: _Method


class CallInterceptor(grpc.ServerInterceptor):  # type: ignore[type-arg]
    """Wraps every handler with admission, counting, timing, error telling and the bounds of time on requests.

    Without a gate everybody may call everything: the enrollment port is for those whom nobody knows yet. Without
    admission nobody has a share: what bounds such a server is its own.
    """

    def __init__(
        self,
        metrics: CollectorMetrics,
        keeper: StreamKeeper,
        gate: Gate | None = None,
        admission: Admission | None = None,
    ) -> None:
        self._metrics = metrics
        self._keeper = keeper
        self._gate = gate
        self._admission = admission
        self._wrapped: dict[str, _Wrapped] = {}

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], _Handler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        """Return the wrapped handler of a call; a method that nobody offers stays with gRPC (UNIMPLEMENTED)."""
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        path = handler_call_details.method
        known = self._wrapped.get(path)
        if known is None or known.handler is not handler:
            _, service, name = path.split("/", 2)
            method = _Method(
                _TYPES[bool(handler.request_streaming), bool(handler.response_streaming)], service, name, path
            )
            known = self._wrapped[path] = _Wrapped(
                handler,
                self._wrap(handler, method),
                None if self._admission is None else self._wrap_refusal(method, self._admission),
                method,
            )
        method = known.method
        self._metrics.count_started(method.kind, method.service, method.name)
        if self._admission is not None and self._admission.is_full and path not in _ALWAYS_SERVED:
            return known.refusing
        return known.serving

    def _wrap(self, handler: _Handler, method: _Method) -> _Handler:
        # On the wire a single message and a stream of one are the same.
        behaviour: Any
        if handler.response_streaming:
            behaviour = handler.stream_stream or handler.unary_stream
            return grpc.stream_stream_rpc_method_handler(
                self._wrap_stream(behaviour, method),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        behaviour = handler.stream_unary or handler.unary_unary
        return grpc.stream_unary_rpc_method_handler(
            self._wrap_single(behaviour, method),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _wrap_refusal(self, method: _Method, admission: Admission) -> _Handler:
        """Return a handler that reads nothing and refuses, in a thread that nothing else keeps busy."""

        def serve(_requests: Any, context: grpc.ServicerContext) -> Any:
            started = time.perf_counter()
            self._count_outcome(method)
            refusal = self._refuse(admission.too_many_calls(), context, method)
            self._count(method, refusal.code.name, started, context)
            context.abort(refusal.code, refusal.details)

        # A feature of grpcio that its own services use: a behaviour may name the threads that run it.
        serve.experimental_thread_pool = admission.aside  # type: ignore[attr-defined]
        return grpc.stream_unary_rpc_method_handler(serve)

    def _enter(self, method: _Method, context: grpc.ServicerContext) -> str | None:
        """Admit a caller, and take the call from its share; returns the host to leave by, absent where none has one.

        Raises IdentityError, RoleError or OverloadedError.
        """
        try:
            if self._gate is not None:
                self._gate.admit(method.service, method.name, context)
            if self._admission is not None and method.service == _HOSTS_SERVICE:
                return self._admission.enter_host(context)
        except CallError:
            self._count_outcome(method)
            raise
        return None

    def _leave(self, host_id: str | None) -> None:
        if host_id is not None and self._admission is not None:
            self._admission.leave_host(host_id)

    def _read(
        self, requests: Iterator[Any], host_id: str | None, method: _Method, context: grpc.ServicerContext
    ) -> Any:
        """Return what a handler gets: the one message of a call, or its stream; each message is charged to the host."""
        admission = self._admission
        if method.kind in _STREAMED:
            if host_id is None or admission is None:
                return requests
            return _charged(requests, lambda size: admission.charge_host(host_id, size))
        request = self._read_single(requests, context)
        if host_id is not None and admission is not None:
            admission.charge_host(host_id, len(request))
        return request

    def _count_outcome(self, method: _Method) -> None:
        """Count a report or an upload of which the servicer, which counts them, never hears."""
        if method.path == "/libcensus.v1.CensusService/Report":
            self._metrics.count_report("refused")
        elif method.path == "/libcensus.v1.CensusService/UploadFacts":
            self._metrics.count_upload("refused")

    def _read_single(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
        """Return the one message of a call; raises MalformedMessageError where it ends without."""
        key = self._keeper.watch(context.cancel, FIRST_MESSAGE_SECONDS)
        try:
            return next(requests)
        except StopIteration:
            raise MalformedMessageError("the call ended without its message") from None
        finally:
            self._keeper.forget(key)

    def _wrap_single(
        self, behaviour: Callable[[Any, grpc.ServicerContext], Any], method: _Method
    ) -> Callable[[Any, grpc.ServicerContext], Any]:
        @functools.wraps(behaviour)
        def serve(requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
            started = time.perf_counter()
            key = self._keeper.watch(context.cancel) if method.kind in _STREAMED else None
            code = grpc.StatusCode.OK.name
            host_id = None
            try:
                host_id = self._enter(method, context)
                response = behaviour(self._read(requests, host_id, method, context), context)
                code = _code_of(context)
            except grpc.RpcError:
                # The client went away while its request was read, or the keeper ended the call.
                code = grpc.StatusCode.CANCELLED.name
                raise
            except Exception as error:  # noqa: BLE001  every error is told by the catalogue
                refusal = self._refuse(error, context, method)
                code = refusal.code.name
                context.abort(refusal.code, refusal.details)
            else:
                return response
            finally:
                self._leave(host_id)
                if key is not None:
                    self._keeper.forget(key)
                self._count(method, code, started, context)

        return serve

    def _wrap_stream(
        self, behaviour: Callable[[Any, grpc.ServicerContext], Iterator[Any]], method: _Method
    ) -> Callable[[Any, grpc.ServicerContext], Iterator[Any]]:
        @functools.wraps(behaviour)
        def serve(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
            started = time.perf_counter()
            key = None if method.path in _LASTING else self._keeper.watch(context.cancel)
            code = grpc.StatusCode.OK.name
            host_id = None
            try:
                host_id = self._enter(method, context)
                yield from behaviour(self._read(requests, host_id, method, context), context)
                code = _code_of(context)
            except (grpc.RpcError, GeneratorExit):
                # The client went away before the end.
                code = grpc.StatusCode.CANCELLED.name
                raise
            except Exception as error:  # noqa: BLE001  every error is told by the catalogue
                refusal = self._refuse(error, context, method)
                code = refusal.code.name
                context.abort(refusal.code, refusal.details)
            finally:
                self._leave(host_id)
                if key is not None:
                    self._keeper.forget(key)
                self._count(method, code, started, context)

        return serve

    def _refuse(self, error: Exception, context: grpc.ServicerContext, method: _Method) -> Refusal:
        hint = 1.0
        if isinstance(error, OverloadedError) and error.retry_seconds is None and self._admission is not None:
            hint = self._admission.retry_seconds()
        refusal = refuse(error, f"{method.service}/{method.name}", hint)
        if (reason := refusal_reason(error)) is not None:
            self._metrics.count_refusal(reason)
        if refusal.code is grpc.StatusCode.INTERNAL:
            self._metrics.count_internal_error()
        if refusal.trailers:
            context.set_trailing_metadata(refusal.trailers)
        return refusal

    def _count(self, method: _Method, code: str, started: float, context: grpc.ServicerContext) -> None:
        seconds = time.perf_counter() - started
        self._metrics.count_handled(method.kind, method.service, method.name, code, seconds)
        if _LOGGER.isEnabledFor(logging.DEBUG):
            _LOGGER.debug("%s %s/%s %s %.1f ms", context.peer(), method.service, method.name, code, seconds * 1000)


def _charged(requests: Iterator[bytes], charge: Callable[[int], None]) -> Iterator[bytes]:
    """Yield requests, and have the size of each charged before."""
    for request in requests:
        charge(len(request))
        yield request


def _code_of(context: grpc.ServicerContext) -> str:
    """Return the code that a handler set without raising."""
    code: grpc.StatusCode | None = getattr(context, "code", lambda: None)()
    return grpc.StatusCode.OK.name if code is None else code.name
