"""``CensusService``: takes reports and facts from agents.

Requests arrive as bytes and are decoded here, so that a malformed one is told with the field named. Nothing reaches the
store before the whole call is known to be valid; what is stored is what was hashed.
"""

from __future__ import annotations

import hashlib
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from libcensus.collector.errors import InconsistentFactsError
from libcensus.collector.service.errors import (
    CallError,
    MalformedMessageError,
    OverdueError,
    OverloadedError,
    UploadTooLargeError,
)
from libcensus.collector.service.shape import check_shape
from libcensus.collector.store.contract import FactRecord, ReceivedReport
from libcensus.facts.codec import (
    decode_fact,
    digest_from_proto,
    digest_to_proto,
    fact_kind_from_proto,
    fact_message_type,
    report_from_proto,
    seconds_to_proto,
)
from libcensus.facts.digest import FactKind, fact_digest
from libcensus.facts.host import Inventory
from libcensus.facts.interpreter import InstallSet
from libcensus.facts.root import RootSet
from libcensus.facts.validation import InvalidFactError
from libcensus.v1 import census_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from libcensus.collector.config import CollectorSettings
    from libcensus.collector.ingest import Ingest
    from libcensus.collector.process_metrics import CollectorMetrics
    from libcensus.collector.service.identity import IdentitySource
    from libcensus.collector.store.contract import Store
    from libcensus.facts.codec import Fact

_M = TypeVar("_M", bound=Message)

SERVICE_NAME = "libcensus.v1.CensusService"

_SPREAD = 0.1
"""Intervals differ by up to this part from host to host: a fleet that was started at once does not stay in step."""

_LATE_CANCEL_SECONDS = 0.025
"""How long the end of an upload waits for news that it was no end: see :func:`_is_complete`."""

_CALLER_ERRORS = (CallError, InvalidFactError, InconsistentFactsError)


def parse_message(message_type: type[_M], raw: bytes, *, is_checked: bool = False) -> _M:
    """Return the message that bytes stand for; raises MalformedMessageError naming the type.

    ``is_checked`` says that :func:`check_shape` has seen the bytes already.
    """
    if not is_checked:
        check_shape(message_type.DESCRIPTOR, raw)
    message = message_type()
    try:
        message.ParseFromString(raw)
    except DecodeError:
        raise MalformedMessageError(f"request: is no {message_type.DESCRIPTOR.full_name} message") from None
    return message


def spread_interval(interval: float, host_id: str) -> float:
    """Return a host's own interval: the fleet's, moved by up to a tenth either way, always the same for one host."""
    number = int.from_bytes(hashlib.sha256(host_id.encode()).digest()[:8], "big")
    return round(interval * (1 - _SPREAD + 2 * _SPREAD * number / 2**64), 3)


def remaining_seconds(context: grpc.ServicerContext, longest: float) -> float:
    """Return how long a call may still take: what its client allows, never more than the collector does."""
    return min(context.time_remaining(), longest)


class UploadBudget:
    """Bounds what all open uploads together hold in memory, and how many there are."""

    def __init__(self, max_bytes: int, max_uploads: int) -> None:
        self._max_bytes = max_bytes
        self._uploads = threading.BoundedSemaphore(max_uploads)
        self._lock = threading.Lock()
        self._held = 0

    @property
    def held(self) -> int:
        """Bytes held right now."""
        return self._held

    @contextmanager
    def open_upload(self) -> Iterator[Callable[[int], None]]:
        """Yield a function that accounts for further bytes of one upload; raises OverloadedError beyond a bound."""
        if not self._uploads.acquire(blocking=False):
            raise OverloadedError("too many uploads at once; try again later", reason="uploads")
        own = 0

        def hold(count: int) -> None:
            nonlocal own
            with self._lock:
                if self._held + count > self._max_bytes:
                    raise OverloadedError(
                        "the uploads in flight take all the memory set apart for them", reason="uploads"
                    )
                self._held += count
                own += count

        try:
            yield hold
        finally:
            with self._lock:
                self._held -= own
            self._uploads.release()


class CensusServicer:
    """Serves agents."""

    def __init__(
        self,
        store: Store,
        ingest: Ingest,
        identity: IdentitySource,
        metrics: CollectorMetrics,
        settings: CollectorSettings,
        budget: UploadBudget,
        version: str,
    ) -> None:
        self._store = store
        self._ingest = ingest
        self._identity = identity
        self._metrics = metrics
        self._settings = settings
        self._budget = budget
        self._version = version

    def handlers(self) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        """Return the service's methods for a server; requests stay bytes."""
        return {
            "Report": grpc.unary_unary_rpc_method_handler(
                self.report, response_serializer=census_pb2.ReportResponse.SerializeToString
            ),
            "UploadFacts": grpc.stream_unary_rpc_method_handler(
                self.upload_facts, response_serializer=census_pb2.UploadFactsResponse.SerializeToString
            ),
        }

    def report(self, raw: bytes, context: grpc.ServicerContext) -> census_pb2.ReportResponse:
        """Take a report; returned without missing digests it is durable."""
        outcome = "failed"
        try:
            host_id = self._identity.host_id(context)
            certificate_end = self._identity.certificate_end(context)
            received_at = datetime.now(UTC)

            # Here and not by the writer, for which everybody waits.
            check_shape(census_pb2.ReportRequest.DESCRIPTOR, raw)

            def read() -> ReceivedReport:
                report = report_from_proto(parse_message(census_pb2.ReportRequest, raw, is_checked=True))
                return ReceivedReport(host_id, report, received_at, certificate_end)

            missing = self._ingest.read_report(read, remaining_seconds(context, self._settings.call_seconds))
            outcome = "missing" if missing else "acknowledged"
        except _CALLER_ERRORS as error:
            outcome = "failed" if isinstance(error, OverdueError) else "refused"
            raise
        finally:
            self._metrics.count_report(outcome)
        return census_pb2.ReportResponse(
            missing=[digest_to_proto(digest) for digest in missing],
            next_interval=seconds_to_proto(spread_interval(self._settings.report_interval, host_id)),
            collector_version=self._version,
        )

    def upload_facts(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> census_pb2.UploadFactsResponse:
        """Take facts: all of the stream or none."""
        outcome = "failed"
        try:
            self._identity.host_id(context)
            with self._budget.open_upload() as hold:
                response = self._take_upload(requests, context, hold)
            outcome = "acknowledged"
        except _CALLER_ERRORS as error:
            outcome = "failed" if isinstance(error, OverdueError) else "refused"
            raise
        finally:
            self._metrics.count_upload(outcome)
        return response

    def _take_upload(
        self, requests: Iterator[bytes], context: grpc.ServicerContext, hold: Callable[[int], None]
    ) -> census_pb2.UploadFactsResponse:
        ends = time.monotonic() + remaining_seconds(context, self._settings.call_seconds)
        records: dict[str, FactRecord] = {}
        named: set[str] = set()
        size = 0
        for count, raw in enumerate(requests, start=1):
            size += len(raw)
            if count > self._settings.max_upload_facts:
                raise UploadTooLargeError(
                    f"the upload has more than {self._settings.max_upload_facts} facts; send the rest in another one"
                )
            if size > self._settings.max_upload_bytes:
                raise UploadTooLargeError(
                    f"the upload has more than {self._settings.max_upload_bytes} bytes; send the rest in another one"
                )
            if time.monotonic() > ends:
                raise OverdueError(f"the upload took longer than {self._settings.call_seconds:g} s")
            hold(len(raw))
            record, fact = check_fact(raw)
            records[record.digest] = record
            named.update(_references(fact))
        if not _is_complete(context):
            raise OverdueError("the client went away before its upload was complete")
        stored = self._ingest.take_facts(tuple(records.values()), ends - time.monotonic())
        missing = self._store.missing(named - records.keys())
        return census_pb2.UploadFactsResponse(
            stored=stored, missing=[digest_to_proto(digest) for digest in sorted(missing)]
        )


def _is_complete(context: grpc.ServicerContext) -> bool:
    """Tell whether the client ended its stream, and not an error in the middle of it.

    gRPC ends the iterator alike for a client that is done, one that went away, and one whose message was too large;
    that the call is over is told a moment later, by another thread. Every fact is checked by itself, so what is at
    stake is only that a refused upload should leave nothing behind.
    """
    over = threading.Event()
    return context.add_callback(over.set) and not over.wait(_LATE_CANCEL_SECONDS) and context.is_active()


def check_fact(raw: bytes) -> tuple[FactRecord, Fact]:
    """Return an uploaded fact as it will be stored, and decoded.

    Raises MalformedMessageError for bytes that are no upload, and InvalidFactError naming ``kind``, ``digest`` or the
    field inside ``payload`` that is wrong.
    """
    message = parse_message(census_pb2.UploadFactsRequest, raw)
    kind = fact_kind_from_proto(message.kind)
    if kind is FactKind.UNKNOWN:
        raise InvalidFactError("kind", f"{message.kind} is no kind of fact that this collector knows")
    digest = digest_from_proto(message.digest)
    computed = fact_digest(kind, message.payload)
    if digest != computed:
        raise InvalidFactError("digest", f"is {digest}, but the payload's is {computed}")
    check_shape(fact_message_type(kind).DESCRIPTOR, message.payload)
    try:
        fact = decode_fact(kind, message.payload)
    except InvalidFactError as error:
        raise error if error.field.startswith("payload") else error.within("payload") from None
    return FactRecord(kind, digest, message.payload, fact), fact


def _references(fact: Fact) -> Iterator[str]:
    """Yield the addresses that a fact names."""
    if isinstance(fact, (Inventory, RootSet)):
        yield from fact.references
    elif isinstance(fact, InstallSet):
        yield from (install.build for install in fact.installs if install.build is not None)
