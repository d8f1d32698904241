"""Asks a collector over ``libcensus.v1.FleetService``: the only module of this command that sees gRPC and protobuf.

It turns answers into the domain's own values, and every failure into one of this command's errors. It speaks plaintext
to this machine only, as the agent does.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

import grpc

from libcensus.agent.errors import AgentError
from libcensus.agent.target import parse_target
from libcensus.cli.errors import (
    ArgumentError,
    CollectorAnswerError,
    ConfigurationError,
    IdentityError,
    OperatorError,
    UnreachableError,
)
from libcensus.collector.service.fleet_codec import HostPage, detail_from_proto, labelled_from_proto, page_from_proto
from libcensus.collector.service.portability_codec import libcs_from_proto, matrix_from_proto, portability_from_proto
from libcensus.collector.service.posture_codec import posture_from_proto
from libcensus.collector.service.providers_codec import providers_from_proto
from libcensus.facts.codec import artefact_to_proto, seconds_to_proto
from libcensus.facts.validation import InvalidFactError
from libcensus.v1 import fleet_pb2, fleet_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date
    from types import TracebackType

    from google.protobuf.message import Message

    from libcensus.cli.config import CollectorAddress
    from libcensus.collector.service.fleet_codec import HostDetail, HostSummary, LabelledHost
    from libcensus.collector.service.portability_codec import LibcAnswer, Matrix, PortabilityAnswer
    from libcensus.collector.service.posture_codec import PostureAnswer
    from libcensus.collector.service.providers_codec import ProvidersAnswer
    from libcensus.facts.artefact import Artefact

_Value = TypeVar("_Value")

_TIMEOUT_SECONDS = 30.0
_POSTURE_SECONDS = 600.0
"""The first question of a day judges every host anew: some ms each."""

_PAGE_SIZE = 500
_MAX_MESSAGE_BYTES = 64 * 1024 * 1024


class FleetClient:
    """A connection to one collector; use it as a context manager."""

    def __init__(self, collector: CollectorAddress, timeout: float = _TIMEOUT_SECONDS) -> None:
        try:
            target = parse_target(collector.address)
            target.check_plaintext()
        except AgentError as error:
            kind = IdentityError if error.exit_code == IdentityError.exit_code else ConfigurationError
            raise kind(f"{collector.origin}: {error}") from None
        self._collector = collector
        self._timeout = timeout
        self._channel = grpc.insecure_channel(
            target.address,
            options=(
                # A proxy of the environment must never get what is meant for this machine.
                ("grpc.enable_http_proxy", 0),
                ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
            ),
            compression=grpc.Compression.Gzip,
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
