"""Speaks gRPC with a collector: reports to ``CensusService``, requests for certificates to ``EnrollmentService``.

The only module of the agent that sees gRPC, and therefore imported only when there is something to send. It keeps
nothing and reads no host: it takes a report and a source of facts, or a request for a certificate, and returns what the
collector answered or one of the agent's errors. With credentials it speaks mutual TLS; without, plaintext to this
machine only.
"""

from __future__ import annotations

import logging
import random
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

import grpc

from libcensus.agent.credentials import ENROLL_AGAIN, tell_moment
from libcensus.agent.errors import (
    AgentError,
    ConfigurationError,
    IdentityError,
    LostFactsError,
    RefusedError,
    UnreachableError,
)
from libcensus.agent.target import Target, parse_target
from libcensus.agent.version import agent_version
from libcensus.facts.codec import (
    digest_from_proto,
    digest_to_proto,
    fact_kind_to_proto,
    report_to_proto,
    seconds_from_proto,
)
from libcensus.facts.validation import InvalidFactError
from libcensus.v1 import census_pb2, census_pb2_grpc, enrollment_pb2, enrollment_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from libcensus.agent.config import CollectorSettings
    from libcensus.agent.credentials import Credentials
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

LONGEST_PUSHBACK_SECONDS = 120.0
"""A collector that asks for more than this is left alone until the next report."""

PATIENCE_SECONDS = 600.0
"""How long one call waits in all for a collector that asks to come again; such answers use up no attempt."""

CONNECT_MILLISECONDS = 20_000
"""How long a connection may take to come about, with its handshake: a slow line is no failure."""

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


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """What the collector answered to a request for a certificate, in DER: leaf first, and the roots to trust."""

    chain: tuple[bytes, ...]
    roots: tuple[bytes, ...]


class _Connection(ABC):
    """A channel to one port of one collector, and calls over it that are tried again; use it as a context manager.

    ``credentials`` may lack chain and key: then only the server is known by its certificate.
    """

    service = ""
    subject = ""
    remedy = ""

    def __init__(
        self,
        settings: CollectorSettings,
        target: Target,
        channel_credentials: grpc.ChannelCredentials | None,
        *,
        sleep: Callable[[float], None],
        spread: Callable[[float, float], float],
        before_call: Callable[[], None] | None,
    ) -> None:
        self._settings = settings
        self._target = target
        self._sleep = sleep
        self._spread = spread
        self._before_call = before_call
        options = (
            ("grpc.primary_user_agent", f"libcensus-agent/{agent_version()}"),
            # A proxy of the environment must never get what is meant for the collector.
            ("grpc.enable_http_proxy", 0),
            # Retries are made here, where they are logged; gRPC's own would hide them.
            ("grpc.enable_retries", 0),
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.max_send_message_length", settings.max_message_bytes),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            # The next attempt must find a channel that tries again, not one that still waits for its own backoff.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
            # In spite of its name this is how long a connection may take: gRPC waits no longer because of it.
            ("grpc.min_reconnect_backoff_ms", CONNECT_MILLISECONDS),
        )
        self._channel = (
            grpc.insecure_channel(target.address, options=options, compression=grpc.Compression.Gzip)
            if channel_credentials is None
            else grpc.secure_channel(
                target.address, channel_credentials, options=options, compression=grpc.Compression.Gzip
            )
        )

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self._channel.close()

    @property
    def _where(self) -> str:
        return self._target.given

    @abstractmethod
    def _roots(self) -> bytes | None:
        """Return the roots by which the server is known; None for plaintext."""

    @abstractmethod
    def _client_credentials(self) -> Credentials | None:
        """Return what this host proves itself with; None where it does not."""

    def _attempt(self, method: str, call: Callable[[], _T]) -> _T:
        """Make a call, again while the collector is unavailable or asks to wait: exponential backoff, full jitter."""
        attempt, waited = 1, 0.0
        while True:
            if self._before_call is not None:
                self._before_call()
            try:
                return call()
            except grpc.RpcError as error:
                hint = _pushback_seconds(error)
                if not _is_passing(error, hint) or waited >= PATIENCE_SECONDS or (hint or 0) > LONGEST_PUSHBACK_SECONDS:
                    self._fail(method, error, attempt)
                if hint is None and attempt >= self._settings.attempts:
                    self._fail(method, error, attempt)
                backoff = min(BACKOFF_CAP_SECONDS, BACKOFF_BASE_SECONDS * 2 ** (attempt - 1))
                # Whoever is told the same time as thousands of others must not come with them.
                pause = (hint or 0.0) + self._spread(0, max(backoff, hint or 0.0))
                waited += pause if hint is not None else 0.0
                attempt += hint is None
                _LOG.info(
                    "%s: collector at %s cannot take the call now (%s); attempt %d of %d follows in %.1f s",
                    method,
                    self._where,
                    error.details(),
                    attempt,
                    self._settings.attempts,
                    pause,
                )
                self._sleep(pause)

    def _fail(self, method: str, error: grpc.RpcError, attempts: int) -> NoReturn:
        """Raise the agent's error for a call that failed."""
        code, details, where = error.code(), error.details() or "no details", self._where
        status = grpc.StatusCode
        if code is status.UNAVAILABLE:
            self._refuse_tls(details)
            tries = "1 attempt" if attempts == 1 else f"{attempts} attempts"
            raise UnreachableError(
                f"collector {where} cannot be reached ({tries}): {details}{self._hint_of_closing(details)}",
                _pushback_seconds(error),
            ) from None
        if code is status.DEADLINE_EXCEEDED:
            raise UnreachableError(f"collector {where} did not answer {method} in time") from None
        if code is status.RESOURCE_EXHAUSTED and _TOO_LARGE in details:
            raise RefusedError(f"a message of {self.subject} is too large for collector {where}: {details}") from None
        if code in {status.RESOURCE_EXHAUSTED, status.ABORTED, status.CANCELLED}:
            raise UnreachableError(
                f"collector {where} cannot take {self.subject} now ({code.name}): {details}", _pushback_seconds(error)
            ) from None
        if code in {status.UNAUTHENTICATED, status.PERMISSION_DENIED}:
            raise IdentityError(f"collector {where} does not accept this host ({code.name}): {details}") from None
        if code is status.ALREADY_EXISTS:
            raise IdentityError(f"collector {where} refused {self.subject}: {details}") from None
        if code in {status.INVALID_ARGUMENT, status.FAILED_PRECONDITION, status.OUT_OF_RANGE}:
            raise RefusedError(f"collector {where} refused {self.subject}: {details}") from None
        if code is status.UNIMPLEMENTED:
            raise ConfigurationError(
                f"the server at {where} does not offer {method} of {self.service}; {self.remedy}"
            ) from None
        raise AgentError(f"collector {where} failed ({code.name}): {details}") from None

    def _refuse_tls(self, details: str) -> None:
        """Raise IdentityError where a connection failed because of who speaks, with the reason as far as known."""
        roots = self._roots()
        if roots is None:
            return
        where = f"TLS with collector {self._where} failed"
        if any(text in details for text in _TLS_CLOCK):
            raise IdentityError(f"{where}: {self._tell_clocks(details, roots)}") from None
        for text, explanation in _TLS_TEXTS:
            if text in details:
                raise IdentityError(f"{where}: {explanation.format(host=self._target.host)}") from None
        own = self._client_credentials()
        if own is not None and _CLOSED in details:
            from libcensus.agent.handshake import is_ended_after_handshake  # noqa: PLC0415 - after a failure alone

            if is_ended_after_handshake(self._target, own):
                raise IdentityError(
                    f"{where}: it ended the connection when it saw this host's certificate ({own.chain_file}): the "
                    "certificate has expired by the collector's clock, is from a CA that the collector does not trust, "
                    "or something between cuts connections; compare the clocks (this host's says "
                    f"{_now_text()}), or {ENROLL_AGAIN}"
                ) from None

    def _tell_clocks(self, details: str, roots: bytes) -> str:
        from libcensus.agent.handshake import served_validity  # noqa: PLC0415 - after a failure alone

        problem = "has expired" if "expired" in details else "is not yet valid"
        validity = served_validity(self._target, roots)
        holds = "" if validity is None else f", which holds from {validity[0]} to {validity[1]}"
        return (
            f"its certificate{holds}, {problem} by this host's clock, which says {_now_text()}; set this host's clock "
            "right (timedatectl, chronyc), or where it is right, that of the collector, and see that its certificate "
            "was renewed"
        )

    def _hint_of_closing(self, details: str) -> str:
        if _CLOSED not in details:
            return ""
        if self._roots() is None:
            return "; if it speaks TLS, enroll this host first (libcensus-agent enroll)"
        from libcensus.agent.handshake import can_shake_hands  # noqa: PLC0415 - after a failure alone

        if self._client_credentials() is not None and not can_shake_hands():
            # The bundle's Python cannot find out which of the two it is.
            return f"; or it refuses this host's certificate: compare the clocks, and where they agree, {ENROLL_AGAIN}"
        return ""


class CollectorClient(_Connection):
    """A connection to one collector, for one host; plaintext without credentials, and then to this machine only."""

    service = "libcensus.v1.CensusService"
    subject = "the report"
    remedy = "is collector.address the gRPC port of a libcensus collector?"

    def __init__(
        self,
        settings: CollectorSettings,
        host_id: str,
        credentials: Credentials | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        spread: Callable[[float, float], float] = _RANDOM.uniform,
        before_call: Callable[[], None] | None = None,
    ) -> None:
        target = parse_target(settings.address)
        if credentials is None or target.host is None:
            target.check_plaintext()
            credentials = None
        self._credentials = credentials
        self._metadata = ((HOST_ID_METADATA, host_id),) if credentials is None else ()
        self._sent = 0
        self._received = 0
        super().__init__(
            settings,
            target,
            None
            if credentials is None
            else grpc.ssl_channel_credentials(credentials.roots, credentials.key, credentials.certificate_chain),
            sleep=sleep,
            spread=spread,
            before_call=before_call,
        )
        self._stub: Any = census_pb2_grpc.CensusServiceStub(self._channel)  # type: ignore[no-untyped-call]

    def _roots(self) -> bytes | None:
        return None if self._credentials is None else self._credentials.roots

    def _client_credentials(self) -> Credentials | None:
        return self._credentials

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
                    f"the collector at {self._where} asks again for facts that it was sent: {_name(missing)}"
                )
            while wanted := [digest for digest in missing if digest not in uploaded]:
                missing = []
                for batch in self._batches(wanted, facts):
                    missing += self._upload(batch, facts)
                    uploaded.update(batch)
        raise RefusedError(
            f"the collector at {self._where} still asks for facts after {MAX_ROUNDS} rounds; "
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

    def _absent(self, digests: Sequence[str]) -> LostFactsError:
        return LostFactsError(
            f"the collector at {self._where} asks for facts that this report does not have: {_name(digests)}"
        )

    def _digests(self, raw: Sequence[bytes]) -> list[str]:
        try:
            return sorted({digest_from_proto(one, "missing") for one in raw})
        except InvalidFactError as error:
            raise RefusedError(f"collector {self._where} answered what cannot be understood: {error}") from None

    def _interval(self, response: census_pb2.ReportResponse) -> float:
        try:
            return seconds_from_proto("next_interval", response.next_interval)
        except InvalidFactError:
            return 0.0


class EnrollmentClient(_Connection):
    """A connection to the enrollment port of a collector, which is known by its certificate, and nobody else is."""

    service = "libcensus.v1.EnrollmentService"
    subject = "the request for a certificate"
    remedy = "is this the enrollment port (9446, --enroll-port, collector.enroll_port) of a libcensus collector?"

    def __init__(
        self,
        settings: CollectorSettings,
        target: Target,
        roots: bytes,
        *,
        sleep: Callable[[float], None] = time.sleep,
        spread: Callable[[float, float], float] = _RANDOM.uniform,
        before_call: Callable[[], None] | None = None,
    ) -> None:
        self._trusted = roots
        super().__init__(
            settings,
            target,
            grpc.ssl_channel_credentials(roots),
            sleep=sleep,
            spread=spread,
            before_call=before_call,
        )
        self._stub: Any = enrollment_pb2_grpc.EnrollmentServiceStub(self._channel)  # type: ignore[no-untyped-call]

    def _roots(self) -> bytes | None:
        return self._trusted

    def _client_credentials(self) -> Credentials | None:
        return None

    def enroll(self, *, token: str, signing_request: bytes, host_id: str, hostname: str) -> IssuedCertificate:
        """Exchange a join token for a certificate; the errors are those of :meth:`CollectorClient.send`.

        IdentityError is also what a host gets whose id is enrolled already.
        """
        request = enrollment_pb2.EnrollRequest(
            token=token, certificate_signing_request=signing_request, machine_id_hash=host_id, hostname=hostname
        )
        answer = self._attempt("Enroll", lambda: self._stub.Enroll(request, timeout=self._settings.timeout_seconds))
        return IssuedCertificate(tuple(answer.certificate_chain), tuple(answer.trusted_roots))

    def challenge(self) -> bytes:
        """Return bytes that a renewal must sign; they are good for a minute."""
        request = enrollment_pb2.ChallengeRequest()
        answer = self._attempt(
            "Challenge", lambda: self._stub.Challenge(request, timeout=self._settings.timeout_seconds)
        )
        return bytes(answer.challenge)

    def renew(
        self, *, signing_request: bytes, chain: Sequence[bytes], challenge: bytes, signature: bytes
    ) -> IssuedCertificate:
        """Exchange a certificate for a new one, by proof of its key."""
        request = enrollment_pb2.RenewRequest(
            certificate_signing_request=signing_request,
            certificate_chain=chain,
            challenge=challenge,
            signature=signature,
        )
        answer = self._attempt("Renew", lambda: self._stub.Renew(request, timeout=self._settings.timeout_seconds))
        return IssuedCertificate(tuple(answer.certificate_chain), tuple(answer.trusted_roots))


_TOO_LARGE = "larger than max"
_CLOSED = "Socket closed"

_TLS_CLOCK = ("certificate has expired", "certificate is not yet valid")
_TLS_TEXTS = (
    (
        "Hostname Verification Check failed",
        (
            "its certificate is not for {host}; reach it by a name that the certificate holds, or add this one to "
            "server_names in the collector's configuration"
        ),
    ),
    (
        "CERTIFICATE_VERIFY_FAILED",
        (
            "its certificate is not from the CA that this host trusts: another server, somebody between, or a CA that "
            "was replaced while this host was away; ask the collector's operator for the fingerprint, and "
            f"{ENROLL_AGAIN}"
        ),
    ),
    ("WRONG_VERSION_NUMBER", "the server does not speak TLS there; is it the right port of a collector with TLS?"),
    (
        "SSL_ERROR_SSL",
        "both sides have no version or cipher of TLS in common, or something between changes what is sent",
    ),
)
"""What gRPC's text about a failed handshake means, in the order in which the texts are looked for."""


def _is_tls_refusal(details: str) -> bool:
    return any(text in details for text in (*_TLS_CLOCK, *(text for text, _ in _TLS_TEXTS)))


def _is_passing(error: grpc.RpcError, hint: float | None) -> bool:
    """Tell whether the same call may succeed when it is made again."""
    if hint is not None:
        return True
    code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.UNAVAILABLE:
        return not _is_tls_refusal(details)
    # gRPC itself sheds load so, and cannot say when to come again; whoever says "not again" is obeyed.
    return code is grpc.StatusCode.RESOURCE_EXHAUSTED and _TOO_LARGE not in details and not _has_pushback(error)


def _now_text() -> str:
    return tell_moment(datetime.now(UTC))


def _has_pushback(error: grpc.RpcError) -> bool:
    trailers: Any = error.trailing_metadata()
    return any(key == PUSHBACK_METADATA for key, _ in trailers or ())


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
