"""``EnrollmentService``: the only service for those who have no certificate yet, on a port of its own.

It decodes, bounds and counts; what is granted is decided in :mod:`libcensus.collector.pki.enrollment`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

from libcensus.collector.errors import CollectorError
from libcensus.collector.pki.errors import PkiError
from libcensus.collector.service.census import parse_message
from libcensus.collector.service.errors import CallError, InvalidFieldError, OverloadedError
from libcensus.collector.service.limits import AttemptLimit
from libcensus.collector.service.peer import address_of
from libcensus.v1 import enrollment_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libcensus.collector.pki.enrollment import Enrollment
    from libcensus.collector.process_metrics import CollectorMetrics

SERVICE_NAME = "libcensus.v1.EnrollmentService"

_MAX_BYTES = 16 * 1024
_MAX_CHAIN = 8
_MAX_TEXT = 255


class EnrollmentServicer:
    """Serves whoever asks for a certificate; ``limit`` bounds the attempts that fail."""

    def __init__(self, enrollment: Enrollment, metrics: CollectorMetrics, limit: AttemptLimit | None = None) -> None:
        self._enrollment = enrollment
        self._metrics = metrics
        # Attempts that succeed are not bounded: a whole fleet may enroll from behind one address.
        self._limit = limit or AttemptLimit(burst=10, rate=0.2, burst_of_all=200, rate_of_all=10)

    def handlers(self) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        """Return the service's methods for a server; requests stay bytes."""
        return {
            "Enroll": grpc.unary_unary_rpc_method_handler(
                self.enroll, response_serializer=enrollment_pb2.EnrollResponse.SerializeToString
            ),
            "Challenge": grpc.unary_unary_rpc_method_handler(
                self.challenge, response_serializer=enrollment_pb2.ChallengeResponse.SerializeToString
            ),
            "Renew": grpc.unary_unary_rpc_method_handler(
                self.renew, response_serializer=enrollment_pb2.RenewResponse.SerializeToString
            ),
        }

    def enroll(self, raw: bytes, context: grpc.ServicerContext) -> enrollment_pb2.EnrollResponse:
        """Exchange a token and a request for a certificate."""
        peer = self._admit(context)
        try:
            request = parse_message(enrollment_pb2.EnrollRequest, raw)
            _check_text("token", request.token)
            _check_text("machine_id_hash", request.machine_id_hash)
            _check_text("hostname", request.hostname)
            _check_bytes("certificate_signing_request", request.certificate_signing_request)
            chain, roots = self._enrollment.enroll(
                request.token, request.certificate_signing_request, request.machine_id_hash, request.hostname, peer
            )
        except CollectorError as error:
            self._note("enroll", peer, error)
            raise
        self._metrics.count_enrollment("enroll", "granted")
        return enrollment_pb2.EnrollResponse(certificate_chain=chain, trusted_roots=roots)

    def challenge(self, raw: bytes, context: grpc.ServicerContext) -> enrollment_pb2.ChallengeResponse:
        """Give the bytes that a renewal signs."""
        self._admit(context)
        parse_message(enrollment_pb2.ChallengeRequest, raw)
        return enrollment_pb2.ChallengeResponse(challenge=self._enrollment.challenge())

    def renew(self, raw: bytes, context: grpc.ServicerContext) -> enrollment_pb2.RenewResponse:
        """Exchange a certificate and the proof of its key for a new one."""
        peer = self._admit(context)
        try:
            request = parse_message(enrollment_pb2.RenewRequest, raw)
            _check_bytes("certificate_signing_request", request.certificate_signing_request)
            _check_bytes("challenge", request.challenge)
            _check_bytes("signature", request.signature)
            _check_chain(request.certificate_chain)
            chain, roots = self._enrollment.renew(
                request.certificate_signing_request,
                list(request.certificate_chain),
                request.challenge,
                request.signature,
                peer,
            )
        except CollectorError as error:
            self._note("renew", peer, error)
            raise
        self._metrics.count_enrollment("renew", "granted")
        return enrollment_pb2.RenewResponse(certificate_chain=chain, trusted_roots=roots)

    def _admit(self, context: grpc.ServicerContext) -> str:
        """Return the peer's address; raises OverloadedError for one that failed too often lately."""
        peer = address_of(context.peer())
        wait = self._limit.seconds_to_wait(peer)
        if wait > 0:
            raise OverloadedError("too many attempts that failed; try again later", max(1.0, wait), "enrollment_rate")
        return peer

    def _note(self, method: str, peer: str, error: CollectorError) -> None:
        # A database that cannot be written is no attack.
        if isinstance(error, (PkiError, CallError)):
            self._limit.note_failure(peer)
            self._metrics.count_enrollment(method, "refused")
        else:
            self._metrics.count_enrollment(method, "failed")


def _check_text(field: str, value: str) -> None:
    if len(value) > _MAX_TEXT or not value.isprintable():
        raise InvalidFieldError(field, f"is longer than {_MAX_TEXT} characters, or holds control characters")


def _check_bytes(field: str, value: bytes) -> None:
    if not 0 < len(value) <= _MAX_BYTES:
        raise InvalidFieldError(field, f"has {len(value)} bytes; allowed are 1 to {_MAX_BYTES}")


def _check_chain(chain: Sequence[bytes]) -> None:
    if not 0 < len(chain) <= _MAX_CHAIN:
        raise InvalidFieldError("certificate_chain", f"has {len(chain)} certificates; allowed are 1 to {_MAX_CHAIN}")
    for one in chain:
        _check_bytes("certificate_chain", one)
