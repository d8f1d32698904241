"""The one interceptor: admits or refuses every call, counts and times it, tells errors, ends what takes too long.

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

from libcensus.collector.service.errors import Refusal, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from libcensus.collector.process_metrics import CollectorMetrics
    from libcensus.collector.service.gate import Gate

    _Handler = grpc.RpcMethodHandler[Any, Any]

_LOGGER = logging.getLogger(__name__)

_LASTING = frozenset({"/grpc.health.v1.Health/Watch"})
"""Methods whose calls may last as long as both sides like; they bound their number themselves."""

_TYPES = {
    (False, False): "unary",
    (True, False): "client_stream",
    (False, True): "server_stream",
    (True, True): "bidi_stream",
}


class StreamKeeper:
    """Cancels streams that outlive their time.

    A thread that waits for a silent client cannot be interrupted; cancelling the call ends the wait. One thread
    watches all streams.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        # All streams have the same time, so the order of entry is the order in which they are due.
        self._open: dict[int, tuple[float, Callable[[], None]]] = {}
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="stream-keeper", daemon=True)

    def start(self) -> None:
        """Start watching."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; streams that are still open stay so."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join()

    def watch(self, cancel: Callable[[], None]) -> int:
        """Have a stream cancelled when its time is over; returns the number to forget it by."""
        with self._changed:
            number = next(self._numbers)
            self._open[number] = (time.monotonic() + self._seconds, cancel)
            if len(self._open) == 1:
                self._changed.notify()
            return number

    def forget(self, number: int) -> None:
        """Let a stream go that has ended."""
        with self._changed:
            self._open.pop(number, None)

    def _run(self) -> None:
        with self._changed:
            while not self._stopping:
                if not self._open:
                    self._changed.wait()
                    continue
                number, (moment, cancel) = next(iter(self._open.items()))
                left = moment - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                    continue
                del self._open[number]
                _LOGGER.info("a stream was ended after %g s, the longest time that one may take", self._seconds)
                cancel()


@dataclass(frozen=True, slots=True)
class _Method:
    """A method's names, as metrics label it."""

    kind: str
    service: str
    name: str


class CallInterceptor(grpc.ServerInterceptor):  # type: ignore[type-arg]
    """Wraps every handler with admission, counting, timing, error telling and the bound of time on client streams.

    Without a gate everybody may call everything: the enrollment port is for those whom nobody knows yet.
    """

    def __init__(self, metrics: CollectorMetrics, keeper: StreamKeeper, gate: Gate | None = None) -> None:
        self._metrics = metrics
        self._keeper = keeper
        self._gate = gate
        self._wrapped: dict[str, tuple[_Handler, _Handler, _Method]] = {}

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
        if known is None or known[0] is not handler:
            _, service, name = path.split("/", 2)
            method = _Method(_TYPES[bool(handler.request_streaming), bool(handler.response_streaming)], service, name)
            known = self._wrapped[path] = (handler, self._wrap(handler, method), method)
        method = known[2]
        self._metrics.count_started(method.kind, method.service, method.name)
        return known[1]

    def _wrap(self, handler: _Handler, method: _Method) -> _Handler:
        kinds: dict[str, tuple[Callable[..., _Handler], Any]] = {
            "unary": (grpc.unary_unary_rpc_method_handler, handler.unary_unary),
            "client_stream": (grpc.stream_unary_rpc_method_handler, handler.stream_unary),
            "server_stream": (grpc.unary_stream_rpc_method_handler, handler.unary_stream),
            "bidi_stream": (grpc.stream_stream_rpc_method_handler, handler.stream_stream),
        }
        make, behaviour = kinds[method.kind]
        if handler.response_streaming:
            wrapped = self._wrap_stream(behaviour, method)
        else:
            wrapped = self._wrap_single(behaviour, method, watched=bool(handler.request_streaming))
        return make(
            wrapped,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _wrap_single(
        self, behaviour: Callable[[Any, grpc.ServicerContext], Any], method: _Method, *, watched: bool
    ) -> Callable[[Any, grpc.ServicerContext], Any]:
        @functools.wraps(behaviour)
        def serve(request: Any, context: grpc.ServicerContext) -> Any:
            started = time.perf_counter()
            number = self._keeper.watch(context.cancel) if watched else None
            code = grpc.StatusCode.OK.name
            try:
                self._admit(method, context)
                response = behaviour(request, context)
                code = _code_of(context)
            except grpc.RpcError:
                # The client went away while its stream was read.
                code = grpc.StatusCode.CANCELLED.name
                raise
            except Exception as error:  # noqa: BLE001  every error is told by the catalogue
                refusal = self._refuse(error, context, method)
                code = refusal.code.name
                context.abort(refusal.code, refusal.details)
            else:
                return response
            finally:
                if number is not None:
                    self._keeper.forget(number)
                self._count(method, code, started, context)

        return serve

    def _wrap_stream(
        self, behaviour: Callable[[Any, grpc.ServicerContext], Iterator[Any]], method: _Method
    ) -> Callable[[Any, grpc.ServicerContext], Iterator[Any]]:
        @functools.wraps(behaviour)
        def serve(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            started = time.perf_counter()
            lasting = f"/{method.service}/{method.name}" in _LASTING
            number = None if lasting else self._keeper.watch(context.cancel)
            code = grpc.StatusCode.OK.name
            try:
                self._admit(method, context)
                yield from behaviour(request, context)
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
                if number is not None:
                    self._keeper.forget(number)
                self._count(method, code, started, context)

        return serve

    def _admit(self, method: _Method, context: grpc.ServicerContext) -> None:
        if self._gate is not None:
            self._gate.admit(method.service, method.name, context)

    def _refuse(self, error: Exception, context: grpc.ServicerContext, method: _Method) -> Refusal:
        refusal = refuse(error, f"{method.service}/{method.name}")
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


def _code_of(context: grpc.ServicerContext) -> str:
    """Return the code that a handler set without raising."""
    code: grpc.StatusCode | None = getattr(context, "code", lambda: None)()
    return grpc.StatusCode.OK.name if code is None else code.name
