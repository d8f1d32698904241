"""Asks a collector over ``libcensus.v1.FleetService``: the only module of this command that sees gRPC and protobuf.

It turns answers into the domain's own values, and every failure into one of this command's errors. With an identity it
speaks mutual TLS to any address, and renews the identity over ``libcensus.v1.EnrollmentService``; without one it speaks
plaintext, to this machine only.
"""

from __future__ import annotations

import difflib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

import grpc

from libcensus.agent.errors import AgentError
from libcensus.agent.target import parse_target
from libcensus.cli.config import ENROLLMENT_PORT
from libcensus.cli.credential import CREATE, RenewalRefusedError, load_credential, ready
from libcensus.cli.errors import (
    ArgumentError,
    CollectorAnswerError,
    ConfigurationError,
    IdentityError,
    OperatorError,
    UnreachableError,
)
from libcensus.cli.handshake import find_trouble
from libcensus.cli.terminal import say
from libcensus.collector.service.fleet_codec import HostPage, detail_from_proto, labelled_from_proto, page_from_proto
from libcensus.collector.service.portability_codec import libcs_from_proto, matrix_from_proto, portability_from_proto
from libcensus.collector.service.posture_codec import posture_from_proto
from libcensus.collector.service.providers_codec import providers_from_proto
from libcensus.facts.codec import artefact_to_proto, seconds_to_proto
from libcensus.facts.validation import InvalidFactError
from libcensus.v1 import enrollment_pb2, enrollment_pb2_grpc, fleet_pb2, fleet_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date
    from types import TracebackType

    from google.protobuf.message import Message

    from libcensus.agent.target import Target
    from libcensus.cli.config import CollectorAddress
    from libcensus.cli.credential import Credential
    from libcensus.collector.service.fleet_codec import HostDetail, HostSummary, LabelledHost
    from libcensus.collector.service.portability_codec import LibcAnswer, Matrix, PortabilityAnswer
    from libcensus.collector.service.posture_codec import PostureAnswer
    from libcensus.collector.service.providers_codec import ProvidersAnswer
    from libcensus.facts.artefact import Artefact

_Value = TypeVar("_Value")

_TIMEOUT_SECONDS = 30.0
_POSTURE_SECONDS = 600.0
"""The first question of a day judges every host anew: some ms each."""

_PAGE_SIZE = 5000
"""Each page costs the collector a look at every host of the fleet."""
_MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_RENEWAL_SECONDS = 10.0

_OPTIONS = (
    # A proxy of the environment must never get what is meant for this machine.
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
)


class EnrollmentClient:
    """A connection to a collector's enrollment, which only the server proves itself on; use it as a context manager."""

    def __init__(self, address: str, credential: Credential) -> None:
        target = _target(address, "enrollment")
        self._address = address
        self._channel = grpc.secure_channel(
            target.address, grpc.ssl_channel_credentials(credential.roots_pem), _OPTIONS
        )
        self._stub = enrollment_pb2_grpc.EnrollmentServiceStub(self._channel)  # type: ignore[no-untyped-call]

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self._channel.close()

    def challenge(self) -> bytes:
        """Return bytes that a renewal must sign; raises RenewalRefusedError."""
        answer = self._ask(self._stub.Challenge, enrollment_pb2.ChallengeRequest())
        found: bytes = answer.challenge
        return found

    def renew(
        self, request: bytes, chain: Sequence[bytes], challenge: bytes, signature: bytes
    ) -> tuple[list[bytes], list[bytes]]:
        """Return a new certificate chain and the trusted roots, DER; raises RenewalRefusedError."""
        answer = self._ask(
            self._stub.Renew,
            enrollment_pb2.RenewRequest(
                certificate_signing_request=request, certificate_chain=chain, challenge=challenge, signature=signature
            ),
        )
        return list(answer.certificate_chain), list(answer.trusted_roots)

    def _ask(self, call: Callable[..., Any], request: Message) -> Any:
        try:
            return call(request, timeout=_RENEWAL_SECONDS)
        except grpc.RpcError as error:
            details = error.details() or "no details"
            raise RenewalRefusedError(
                f"enrollment at {self._address} answered {error.code().name}: {details}"
            ) from None


def ready_credential(collector: CollectorAddress) -> Credential:
    """Return what proves the operator, renewed where that was due; a renewal that fails is a warning while it is good.

    Raises ConfigurationError for files that cannot be used, IdentityError for what is no longer, or not yet, good.
    """
    if collector.identity is None:
        raise AssertionError("there is no identity")
    credential = load_credential(collector.identity)
    address = enrollment_address(collector)
    if address is None or credential.file is None or datetime.now(UTC) < credential.renews_at:
        return ready(credential, None)[0]
    with EnrollmentClient(address, credential) as renewer:
        credential, warning = ready(credential, renewer)
    if warning:
        say(f"libcensus: warning: {warning}")
    return credential


def enrollment_address(collector: CollectorAddress) -> str | None:
    """Return where the collector renews identities: as it was set, or port 9446 of its host; None for a unix socket."""
    if collector.enroll_address is not None:
        return collector.enroll_address
    host, _ = _host_and_port(_target(collector.address, collector.origin))
    if host is None:
        return None
    return f"[{host}]:{ENROLLMENT_PORT}" if ":" in host else f"{host}:{ENROLLMENT_PORT}"


def _target(address: str, origin: str) -> Target:
    try:
        return parse_target(address)
    except AgentError as error:
        raise ConfigurationError(f"{origin}: {error}") from None


def _host_and_port(target: Target) -> tuple[str | None, int]:
    """Return the host and port of an address as gRPC has it; no host for a unix socket."""
    kind, _, rest = target.address.partition(":")
    if kind == "unix":
        return None, 0
    host, _, port = rest.removeprefix("///").rpartition(":")
    return host.strip("[]"), int(port)


class FleetClient:
    """A connection to one collector; use it as a context manager."""

    def __init__(self, collector: CollectorAddress, timeout: float = _TIMEOUT_SECONDS) -> None:
        target = _target(collector.address, collector.origin)
        self._collector = collector
        self._target = target
        self._timeout = timeout
        self._credential: Credential | None = None
        if collector.identity is not None:
            self._credential = ready_credential(collector)
            credentials = grpc.ssl_channel_credentials(
                self._credential.roots_pem, self._credential.key_pem, self._credential.chain_pem
            )
            self._channel = grpc.secure_channel(target.address, credentials, _OPTIONS, grpc.Compression.Gzip)
        elif target.is_loopback:
            self._channel = grpc.insecure_channel(target.address, _OPTIONS, grpc.Compression.Gzip)
        else:
            raise IdentityError(
                f"{collector.origin}: collector {collector.address} is not on this machine, and there is no identity "
                f"to speak TLS to it with: make one on its machine with {CREATE}, and name it with --identity or put "
                "it at ~/.config/libcensus/operator.pem"
            )
        self._stub = fleet_pb2_grpc.FleetServiceStub(self._channel)  # type: ignore[no-untyped-call]

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self._channel.close()

    @property
    def address(self) -> str:
        """The collector's address as it was given."""
        return self._collector.address

    def list_hosts(self, selector: str = "") -> list[HostSummary]:
        """Return every host, or those that a selector of labels chooses, sorted by display name."""
        return list(self.hosts(selector).hosts)

    def hosts(self, selector: str = "", silent_seconds: float | None = None) -> HostPage:
        """Return the hosts that a selector chooses, and of those the ones whose last report is at least so long ago.

        They come as one page, however many pages the collector makes of them.
        """
        hosts: list[HostSummary] = []
        token = ""
        silent = None if silent_seconds is None else seconds_to_proto(silent_seconds)
        while True:
            request = fleet_pb2.ListHostsRequest(
                page_size=_PAGE_SIZE, page_token=token, selector=selector, silent=silent
            )
            page = self._ask("ListHosts", self._stub.ListHosts, request, page_from_proto)
            hosts += page.hosts
            if not page.next_page_token:
                return HostPage(tuple(hosts), unknown_keys=page.unknown_keys)
            if page.next_page_token == token:
                raise CollectorAnswerError(f"collector {self._collector.address} gives the same page again and again")
            token = page.next_page_token

    def set_labels(self, host: str, given: Mapping[str, str], taken: Sequence[str]) -> LabelledHost:
        """Give a host labels and take others from it; returns all that it has then.

        Raises ArgumentError, with names that are alike, for no host, and for what is no label or is not there to take.
        """
        request = fleet_pb2.SetLabelsRequest(
            host=host,
            set=[fleet_pb2.HostLabel(key=key, value=value) for key, value in given.items()],
            remove=taken,
        )
        try:
            return self._ask("SetLabels", self._stub.SetLabels, request, labelled_from_proto)
        except KeyError:
            raise ArgumentError(self._unknown_host(host)) from None

    def show_host(self, name: str) -> HostDetail:
        """Return one host by display name or id; raises ArgumentError, with names that are alike, for no host."""
        request = fleet_pb2.GetHostRequest(host=name)
        try:
            return self._ask("GetHost", self._stub.GetHost, request, detail_from_proto)
        except KeyError:
            raise ArgumentError(self._unknown_host(name)) from None

    def check_portability(self, artefact: Artefact, selector: str = "") -> PortabilityAnswer:
        """Return whether an artefact runs on each platform of the fleet, or of the hosts that a selector chooses."""
        request = fleet_pb2.CheckPortabilityRequest(artefact=artefact_to_proto(artefact), selector=selector)
        return self._ask("CheckPortability", self._stub.CheckPortability, request, portability_from_proto)

    def libc_hosts(self, selector: str = "") -> LibcAnswer:
        """Return how many hosts, or how many of those that a selector chooses, have which C library."""
        request = fleet_pb2.GetLibcHostsRequest(selector=selector)
        return self._ask("GetLibcHosts", self._stub.GetLibcHosts, request, libcs_from_proto)

    def matrix(self, implementation: str = "", provider: str = "", arch: str = "", selector: str = "") -> Matrix:
        """Return which of the fleet's builds run on which of its platforms; an empty filter is none."""
        request = fleet_pb2.GetMatrixRequest(
            implementation=implementation, provider=provider, arch=arch, selector=selector
        )
        return self._ask("GetMatrix", self._stub.GetMatrix, request, matrix_from_proto)

    def posture(
        self,
        *,
        host: str = "",
        advisory: str = "",
        provider: str = "",
        component: str = "",
        limit: int = 0,
        day: date | None = None,
        selector: str = "",
    ) -> PostureAnswer:
        """Return the fleet's findings, counted, now or at the end of a day; an empty filter is none.

        Raises ArgumentError for no such host.
        """
        request = fleet_pb2.GetPostureRequest(
            host=host,
            advisory=advisory,
            provider=provider,
            component=component,
            limit=limit,
            day="" if day is None else day.isoformat(),
            selector=selector,
        )
        try:
            return self._ask("GetPosture", self._stub.GetPosture, request, posture_from_proto, _POSTURE_SECONDS)
        except KeyError:
            raise ArgumentError(self._unknown_host(host)) from None

    def providers(
        self,
        *,
        provider: str = "",
        component: str = "",
        since: date | None = None,
        day: date | None = None,
        selector: str = "",
    ) -> ProvidersAnswer:
        """Return how long fixes took, of advisories published since a day, now or as known at the end of another."""
        request = fleet_pb2.GetProvidersRequest(
            provider=provider,
            component=component,
            since="" if since is None else since.isoformat(),
            day="" if day is None else day.isoformat(),
            selector=selector,
        )
        return self._ask("GetProviders", self._stub.GetProviders, request, providers_from_proto, _POSTURE_SECONDS)

    def _ask(
        self,
        method: str,
        call: Callable[..., Any],
        request: Message,
        decode: Callable[[Any], _Value],
        timeout: float | None = None,
    ) -> _Value:
        """Make a call; raises KeyError where the collector does not have what was asked for."""
        timeout = self._timeout if timeout is None else timeout
        try:
            return decode(call(request, timeout=timeout))
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise KeyError(method) from None
            self._fail(method, error, timeout)
        except InvalidFactError as error:
            raise CollectorAnswerError(
                f"collector {self._collector} answered {method} with what cannot be understood: {error}; are the "
                "versions of collector and command the same?"
            ) from None

    def _fail(self, method: str, error: grpc.RpcError, timeout: float) -> NoReturn:
        code, details, status = error.code(), error.details() or "no details", grpc.StatusCode
        where = f"collector {self._collector}"
        if code is status.UNAVAILABLE:
            host, port = _host_and_port(self._target)
            trouble = None if host is None else find_trouble(host, port, self._credential)
            if trouble is not None:
                raise IdentityError(f"{where}: {trouble.reason}; {trouble.remedy}") from None
            raise UnreachableError(
                f"{where} cannot be reached: {details}; start one with `libcensus-collector serve`, or name another "
                "with --collector"
            ) from None
        if code is status.DEADLINE_EXCEEDED:
            raise UnreachableError(f"{where} did not answer {method} within {timeout:g} s") from None
        if code in {status.RESOURCE_EXHAUSTED, status.ABORTED, status.CANCELLED}:
            raise UnreachableError(f"{where} cannot answer now ({code.name}): {details}") from None
        if code in {status.UNAUTHENTICATED, status.PERMISSION_DENIED}:
            raise IdentityError(f"{where} does not accept this user ({code.name}): {details}") from None
        if code is status.INVALID_ARGUMENT:
            raise ArgumentError(f"{where} refused {method}: {details}") from None
        if code is status.UNIMPLEMENTED:
            raise ConfigurationError(
                f"the server at {self._collector} does not offer {method} of libcensus.v1.FleetService; is it the gRPC "
                "port of a libcensus collector?"
            ) from None
        raise CollectorAnswerError(f"{where} failed ({code.name}): {details}") from None

    def _unknown_host(self, name: str) -> str:
        try:
            names = [host.name for host in self.list_hosts()]
        except OperatorError:
            names = []
        alike = difflib.get_close_matches(name, names, 3, 0.5) or [one for one in names if name.lower() in one.lower()]
        if alike:
            remedy = f"did you mean {' or '.join(alike[:3])}?"
        elif names:
            remedy = "`libcensus hosts` lists the hosts that have reported"
        else:
            remedy = "no host has reported to it yet: run `libcensus-agent report` on one"
        return f"collector {self._collector.address} knows no host {name!r}; {remedy}"
