"""How errors meet the wire: the one catalogue.

    CallError                  a call that is refused, and why
    ├── MalformedMessageError  the bytes are no message of that type     INVALID_ARGUMENT
    ├── InvalidFieldError      a field has a value that is not allowed    INVALID_ARGUMENT
    ├── IdentityError          nobody knows who speaks, or no longer      UNAUTHENTICATED
    ├── RoleError              who speaks may not call this               PERMISSION_DENIED
    ├── HostNotFoundError      there is no such host                      NOT_FOUND
    ├── ServiceNotFoundError   health was asked of no service of ours     NOT_FOUND
    ├── UploadTooLargeError    an upload goes beyond a bound              RESOURCE_EXHAUSTED
    ├── OverloadedError        too much waits already; come back later    RESOURCE_EXHAUSTED, with a retry hint
    ├── OverdueError           the call took longer than it may           DEADLINE_EXCEEDED
    └── StoppingError          the collector is stopping                  UNAVAILABLE

Errors of the domain and of the store have their places in :data:`CATALOGUE` too; a test proves that none is left out.
What has no place is INTERNAL with an incident id, and its traceback goes to the log alone: no path, SQL or Python text
ever reaches a client.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from libcensus.collector.advisories.fetch import AbsentDocumentError
from libcensus.collector.advisories.snapshot import SnapshotError
from libcensus.collector.backup.archive import BackupError
from libcensus.collector.errors import (
    CollectorError,
    ConfigurationError,
    FeedError,
    FeedIdentityError,
    FeedUnreachableError,
    InconsistentFactsError,
    LabelError,
    StoreBusyError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
)
from libcensus.collector.pki.errors import (
    ArgumentError,
    AuthorityExpiredError,
    BannedError,
    ChallengeError,
    CloneError,
    CutOffError,
    ExpiredCertificateError,
    PkiError,
    RenewalError,
    SigningRequestError,
    TokenError,
)
from libcensus.collector.simulation.plan import SimulationError
from libcensus.facts.validation import InvalidFactError

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOGGER = logging.getLogger(__name__)

_MAX_DETAILS = 1024
"""Details travel in a trailer, and clients refuse trailers beyond 8 KiB; each character may take twelve bytes there."""

PUSHBACK_KEY = "grpc-retry-pushback-ms"
"""The retry hint of gRPC's retry design: clients with a retry policy wait that long by themselves."""


class CallError(CollectorError):
    """Base of everything that refuses one call; the text is meant for the client."""


class MalformedMessageError(CallError):
    """The bytes are no message of the expected type."""


class InvalidFieldError(CallError):
    """A field has a value that is not allowed."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class IdentityError(CallError):
    """The connection does not tell who speaks, or tells one who is refused.

    ``reason`` is the countable form; ``subject`` is who that is, where it is known.
    """

    def __init__(self, message: str, reason: str = "unknown", subject: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.subject = subject


class RoleError(CallError):
    """Who speaks is known, and may not call this method; ``subject`` is who that is."""

    reason = "role"

    def __init__(self, message: str, subject: str | None = None) -> None:
        super().__init__(message)
        self.subject = subject


class HostNotFoundError(CallError):
    """There is no such host."""


class ServiceNotFoundError(CallError):
    """Health was asked of a service that is not offered."""


class UploadTooLargeError(CallError):
    """An upload goes beyond a bound."""


class OverloadedError(CallError):
    """Too much waits already, or one host asks for more than its share.

    ``retry_seconds`` is when to try again, absent where that depends on how many were sent away; ``reason`` is the
    word by which refusals are counted.
    """

    def __init__(self, message: str, retry_seconds: float | None = None, reason: str = "queue") -> None:
        super().__init__(message)
        self.retry_seconds = retry_seconds
        self.reason = reason


class OverdueError(CallError):
    """The call took longer than the client or the collector allows."""


class StoppingError(CallError):
    """The collector is stopping."""


@dataclass(frozen=True, slots=True)
class WireStatus:
    """What one kind of error is on the wire: its code, and a fixed text where its own is not meant for clients.

    ``severity`` is the level at which the collector's log tells it.
    """

    code: grpc.StatusCode
    text: str | None = None
    severity: int = logging.DEBUG


CATALOGUE: Mapping[type[Exception], WireStatus] = {
    InvalidFactError: WireStatus(grpc.StatusCode.INVALID_ARGUMENT),
    InconsistentFactsError: WireStatus(grpc.StatusCode.INVALID_ARGUMENT),
    MalformedMessageError: WireStatus(grpc.StatusCode.INVALID_ARGUMENT),
    InvalidFieldError: WireStatus(grpc.StatusCode.INVALID_ARGUMENT),
    IdentityError: WireStatus(grpc.StatusCode.UNAUTHENTICATED),
    RoleError: WireStatus(grpc.StatusCode.PERMISSION_DENIED),
    HostNotFoundError: WireStatus(grpc.StatusCode.NOT_FOUND),
    ServiceNotFoundError: WireStatus(grpc.StatusCode.NOT_FOUND),
    UploadTooLargeError: WireStatus(grpc.StatusCode.RESOURCE_EXHAUSTED),
    OverloadedError: WireStatus(grpc.StatusCode.RESOURCE_EXHAUSTED),
    OverdueError: WireStatus(grpc.StatusCode.DEADLINE_EXCEEDED),
    StoppingError: WireStatus(grpc.StatusCode.UNAVAILABLE),
    TokenError: WireStatus(grpc.StatusCode.PERMISSION_DENIED),
    SigningRequestError: WireStatus(grpc.StatusCode.INVALID_ARGUMENT),
    CloneError: WireStatus(grpc.StatusCode.ALREADY_EXISTS),
    RenewalError: WireStatus(grpc.StatusCode.UNAUTHENTICATED),
    ExpiredCertificateError: WireStatus(grpc.StatusCode.UNAUTHENTICATED),
    ChallengeError: WireStatus(grpc.StatusCode.ABORTED),
    BannedError: WireStatus(grpc.StatusCode.PERMISSION_DENIED),
    AuthorityExpiredError: WireStatus(
        grpc.StatusCode.UNAVAILABLE,
        "the collector's certificate authority has expired; on the collector run libcensus-collector ca rotate",
        logging.ERROR,
    ),
    # Agents keep what was answered UNAVAILABLE and send it again: whatever is wrong with the store, no report is lost.
    StoreBusyError: WireStatus(
        grpc.StatusCode.UNAVAILABLE, "the collector's database is held by another process", logging.ERROR
    ),
    StoreFullError: WireStatus(
        grpc.StatusCode.UNAVAILABLE, "the collector's database has no space left", logging.ERROR
    ),
    StoreReadOnlyError: WireStatus(
        grpc.StatusCode.UNAVAILABLE, "the collector's database cannot be written", logging.ERROR
    ),
    StoreCorruptError: WireStatus(grpc.StatusCode.UNAVAILABLE, "the collector's database is damaged", logging.ERROR),
    StoreError: WireStatus(grpc.StatusCode.UNAVAILABLE, "the collector's database cannot be used", logging.ERROR),
}

NEVER_ON_THE_WIRE: frozenset[type[Exception]] = frozenset(
    {
        AbsentDocumentError,
        ArgumentError,
        BackupError,
        CallError,
        CollectorError,
        ConfigurationError,
        CutOffError,
        FeedError,
        LabelError,
        FeedIdentityError,
        FeedUnreachableError,
        PkiError,
        SimulationError,
        SnapshotError,
    }
)
"""Bases that are never raised themselves, and errors that only the start of a command can meet."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a client is told: status code, details, and trailing metadata."""

    code: grpc.StatusCode
    details: str
    trailers: tuple[tuple[str, str], ...] = ()


_REASONS: Mapping[type[Exception], str] = {
    MalformedMessageError: "malformed",
    InvalidFieldError: "malformed",
    InvalidFactError: "malformed",
    InconsistentFactsError: "malformed",
    UploadTooLargeError: "too_large",
}


def refusal_reason(error: Exception) -> str | None:
    """Return the word by which a refusal is counted; None for what is none, or is counted where it is decided."""
    return error.reason if isinstance(error, OverloadedError) else _REASONS.get(type(error))


def refuse(error: Exception, method: str, retry_seconds: float = 1.0) -> Refusal:
    """Return what the client of ``method`` is told about an error, and log what it is not told.

    ``retry_seconds`` is when an overloaded collector asks to be tried again, where the error does not say.
    """
    status = CATALOGUE.get(type(error))
    if status is None:
        incident = secrets.token_hex(8)
        _LOGGER.error("%s failed, incident %s", method, incident, exc_info=error)
        return Refusal(grpc.StatusCode.INTERNAL, f"internal error; the collector's log has it as incident {incident}")
    _LOGGER.log(status.severity, "%s refused: %s: %s", method, status.code.name, error)
    trailers: tuple[tuple[str, str], ...] = ()
    if isinstance(error, OverloadedError):
        seconds = retry_seconds if error.retry_seconds is None else error.retry_seconds
        trailers = ((PUSHBACK_KEY, str(round(seconds * 1000))),)
    details = str(error) if status.text is None else status.text
    if len(details) > _MAX_DETAILS:
        details = details[: _MAX_DETAILS - 1] + "…"
    return Refusal(status.code, details, trailers)
