"""Speaks ``libcensus.v1.CensusService`` with a collector: digests first, facts only when asked.

The only module of the agent that sees gRPC, and therefore imported by ``report`` alone. It keeps nothing and reads no
host: it takes a report and a source of facts, and returns the acknowledgement or one of the agent's errors. It speaks
plaintext to this machine only; whoever is further away must prove who it is, which comes with enrollment.
"""

from __future__ import annotations

import logging
import random
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

import grpc

from libcensus.agent.errors import AgentError, ConfigurationError, IdentityError, RefusedError, UnreachableError
from libcensus.agent.target import parse_target
from libcensus.agent.version import agent_version
from libcensus.facts.codec import (
    digest_from_proto,
    digest_to_proto,
    fact_kind_to_proto,
    report_to_proto,
    seconds_from_proto,
)
from libcensus.facts.validation import InvalidFactError
from libcensus.v1 import census_pb2, census_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from libcensus.agent.config import CollectorSettings
    from libcensus.agent.spool import FactSource
    from libcensus.facts.report import Report

_LOG = logging.getLogger(__name__)

HOST_ID_METADATA = "libcensus-host-id"

MAX_ROUNDS = 8
"""Facts refer to facts two levels deep; a collector that still asks after eight rounds will never be content."""

BATCH_BYTES = 2 * 1024 * 1024
BATCH_FACTS = 1000
"""What one upload holds at most, unless a single fact is larger: far below the bounds of any collector."""

PUSHBACK_METADATA = "grpc-retry-pushback-ms"
"""How a collector that sheds load says when to come again, as in gRPC's retry design."""

BACKOFF_BASE_SECONDS = 0.25
BACKOFF_CAP_SECONDS = 8.0

_RANDOM = random.SystemRandom()

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What the collector said when the report was durable; the bytes are those of all messages, unpacked."""

    collector_version: str
    next_interval_seconds: float
    uploaded_facts: int
    request_bytes: int
    response_bytes: int


class CollectorClient:
    """A connection to one collector, for one host; use it as a context manager."""

    def __init__(
        self,
        settings: CollectorSettings,
        host_id: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
        spread: Callable[[float, float], float] = _RANDOM.uniform,
        before_call: Callable[[], None] | None = None,
    ) -> None:
        target = parse_target(settings.address)
        target.check_plaintext()
        self._settings = settings
        self._metadata = ((HOST_ID_METADATA, host_id),)
        self._sleep = sleep
        self._spread = spread
        self._before_call = before_call
        self._sent = 0
        self._received = 0
        self._channel = grpc.insecure_channel(
            target.address,
            options=(
                ("grpc.primary_user_agent", f"libcensus-agent/{agent_version()}"),
                # A proxy of the environment must never get what is meant for this machine.
                ("grpc.enable_http_proxy", 0),
                # Retries are made here, where they are logged; gRPC's own would hide them.
                ("grpc.enable_retries", 0),
                ("grpc.max_receive_message_length", settings.max_message_bytes),
                ("grpc.max_send_message_length", settings.max_message_bytes),
                ("grpc.keepalive_time_ms", 30_000),
                ("grpc.keepalive_timeout_ms", 10_000),
                # The next attempt must find a channel that tries again, not one that still waits for its own backoff.
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.min_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", 1000),
            ),
            compression=grpc.Compression.Gzip,
        )
        self._stub: Any = census_pb2_grpc.CensusServiceStub(self._channel)  # type: ignore[no-untyped-call]

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self._channel.close()

    def send(self, report: Report, facts: FactSource, *, known_processes: str | None = None) -> Acknowledgement:
        """Bring a report and the facts that the collector asks for; returns when it is durable there.

        ``known_processes`` is the digest of the process set that the collector was told last: a report with the same
        one goes without it, and again with it should the collector ask.

        Raises UnreachableError (worth another try later), IdentityError, RefusedError (this report will never be
        taken), ConfigurationError (nobody there speaks this service) or AgentError (the collector failed).
        """
        is_known = report.processes_digest is not None and report.processes_digest == known_processes
        request = report_to_proto(replace(report, processes=None) if is_known else report)
        self._sent = self._received = 0
        uploaded: set[str] = set()
        for _ in range(MAX_ROUNDS):
            response = self._report(request)
            missing = self._digests(response.missing)
            processes = report.processes_digest
            if processes in missing and report.processes is not None and not request.HasField("processes"):
                request = report_to_proto(report)
                missing = [digest for digest in missing if digest != processes]
                if not missing:
                    continue
            if not missing:
                return Acknowledgement(
                    collector_version=response.collector_version,
                    next_interval_seconds=self._interval(response),
                    uploaded_facts=len(uploaded),
                    request_bytes=self._sent,
                    response_bytes=self._received,
                )
            if uploaded.issuperset(missing):
                raise RefusedError(
                    f"the collector at {self._settings.address} asks again for facts that it was sent: {_name(missing)}"
                )
            while wanted := [digest for digest in missing if digest not in uploaded]:
                missing = []
                for batch in self._batches(wanted, facts):
                    missing += self._upload(batch, facts)
                    uploaded.update(batch)
        raise RefusedError(
            f"the collector at {self._settings.address} still asks for facts after {MAX_ROUNDS} rounds; "
            "is its version older than the agent's?"
        )

    def _report(self, request: census_pb2.ReportRequest) -> census_pb2.ReportResponse:
        def call() -> census_pb2.ReportResponse:
            answer: census_pb2.ReportResponse = self._stub.Report(
                request, timeout=self._settings.timeout_seconds, metadata=self._metadata
            )
            return answer

        self._sent += request.ByteSize()
        response = self._attempt("Report", call)
        self._received += response.ByteSize()
        return response

    def _batches(self, digests: Sequence[str], facts: FactSource) -> Iterator[list[str]]:
        """Yield the addresses in groups that one upload may hold; raises RefusedError for facts that are not here."""
        sizes = {digest: facts.size(digest) for digest in digests}
        if absent := [digest for digest, size in sizes.items() if size is None]:
            raise self._absent(absent)
        batch: list[str] = []
        total = 0
        for digest, size in sizes.items():
            total += size or 0
            if batch and (total > BATCH_BYTES or len(batch) == BATCH_FACTS):
                yield batch
                batch, total = [], size or 0
            batch.append(digest)
        yield batch

    def _upload(self, digests: Sequence[str], facts: FactSource) -> list[str]:
        """Send facts; returns the addresses that these facts name and that the collector lacks too."""
        lost: list[str] = []

        def messages() -> Iterator[census_pb2.UploadFactsRequest]:
            for digest in digests:
                try:
                    kind, payload = facts.read(digest)
                except KeyError:
                    # gRPC would print what an iterator raises; the call ends here and the caller says what was lost.
                    lost.append(digest)
                    return
                message = census_pb2.UploadFactsRequest(
                    kind=fact_kind_to_proto(kind), digest=digest_to_proto(digest), payload=payload
                )
                self._sent += message.ByteSize()
                yield message

        def call() -> census_pb2.UploadFactsResponse:
            answer: census_pb2.UploadFactsResponse = self._stub.UploadFacts(
                messages(), timeout=self._settings.upload_timeout_seconds, metadata=self._metadata
            )
            return answer

        response = self._attempt("UploadFacts", call)
        if lost:
            raise self._absent(lost)
        self._received += response.ByteSize()
        return self._digests(response.missing)

    def _absent(self, digests: Sequence[str]) -> RefusedError:
        return RefusedError(
            f"the collector at {self._settings.address} asks for facts that this report does not have: {_name(digests)}"
        )

    def _attempt(self, method: str, call: Callable[[], _T]) -> _T:
        """Make a call, again while the collector is unavailable or asks to wait: exponential backoff, full jitter."""
        for attempt in range(1, self._settings.attempts + 1):
            if self._before_call is not None:
                self._before_call()
            try:
                return call()
            except grpc.RpcError as error:
                hint = _pushback_seconds(error)
                is_passing = error.code() is grpc.StatusCode.UNAVAILABLE or hint is not None
                if not is_passing or attempt == self._settings.attempts:
                    self._fail(method, error, attempt)
                pause = self._spread(0, min(BACKOFF_CAP_SECONDS, BACKOFF_BASE_SECONDS * 2 ** (attempt - 1)))
                pause += min(hint or 0.0, BACKOFF_CAP_SECONDS)
                _LOG.info(
                    "%s: collector at %s cannot take the call now (%s); attempt %d of %d follows in %.1f s",
                    method,
                    self._settings.address,
                    error.details(),
                    attempt + 1,
                    self._settings.attempts,
                    pause,
                )
                self._sleep(pause)
        raise AssertionError  # the last attempt returns or raises

    def _fail(self, method: str, error: grpc.RpcError, attempts: int) -> NoReturn:
        """Raise the agent's error for a call that failed."""
        code, details, where = error.code(), error.details() or "no details", self._settings.address
        status = grpc.StatusCode
        if code is status.UNAVAILABLE:
            tries = "1 attempt" if attempts == 1 else f"{attempts} attempts"
            raise UnreachableError(f"collector {where} cannot be reached ({tries}): {details}") from None
        if code is status.DEADLINE_EXCEEDED:
            raise UnreachableError(f"collector {where} did not answer {method} in time") from None
        if code is status.RESOURCE_EXHAUSTED and "larger than max" in details:
            raise RefusedError(f"a message of the report is too large for collector {where}: {details}") from None
        if code in {status.RESOURCE_EXHAUSTED, status.ABORTED, status.CANCELLED}:
            raise UnreachableError(f"collector {where} cannot take the report now ({code.name}): {details}") from None
        if code in {status.UNAUTHENTICATED, status.PERMISSION_DENIED}:
            raise IdentityError(f"collector {where} does not accept this host ({code.name}): {details}") from None
        if code in {status.INVALID_ARGUMENT, status.FAILED_PRECONDITION, status.OUT_OF_RANGE}:
            raise RefusedError(f"collector {where} refused the report: {details}") from None
        if code is status.UNIMPLEMENTED:
            raise ConfigurationError(
                f"the server at {where} does not offer {method} of libcensus.v1.CensusService; is collector.address "
                "the gRPC port of a libcensus collector?"
            ) from None
        raise AgentError(f"collector {where} failed ({code.name}): {details}") from None

    def _digests(self, raw: Sequence[bytes]) -> list[str]:
        try:
            return sorted({digest_from_proto(one, "missing") for one in raw})
        except InvalidFactError as error:
            raise RefusedError(
                f"collector {self._settings.address} answered what cannot be understood: {error}"
            ) from None

    def _interval(self, response: census_pb2.ReportResponse) -> float:
        try:
            return seconds_from_proto("next_interval", response.next_interval)
        except InvalidFactError:
            return 0.0


def _pushback_seconds(error: grpc.RpcError) -> float | None:
    """Return when the collector asks to be tried again; None where it does not, or asks not to be."""
    trailers: Any = error.trailing_metadata()
    for key, value in trailers or ():
        if key == PUSHBACK_METADATA:
            try:
                milliseconds = int(value)
            except ValueError:
                return None
            return None if milliseconds < 0 else milliseconds / 1000
    return None


def _name(digests: Sequence[str]) -> str:
    """Return at most three addresses as text, and how many there are beyond."""
    more = f" and {len(digests) - 3} more" if len(digests) > 3 else ""
    return ", ".join(digests[:3]) + more
