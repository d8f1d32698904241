"""``FleetService``: answers what operators ask; everything it says is computed from stored facts.

It writes the labels of hosts and nothing else.
"""

from __future__ import annotations

import base64
import binascii
import threading
from bisect import bisect_right
from collections import Counter, OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import grpc

from libcensus.collector.acceptance.fleet import nothing_accepted
from libcensus.collector.errors import LabelError, StoreCorruptError
from libcensus.collector.hostfacts import HostFacts, wanted, wanted_by_roots
from libcensus.collector.labels import change_labels
from libcensus.collector.pki.audit import AuditEvent
from libcensus.collector.posture.finding import VexStatus
from libcensus.collector.posture.quirks import seen_quirks
from libcensus.collector.service.census import parse_message
from libcensus.collector.service.errors import HostNotFoundError, InvalidFieldError
from libcensus.collector.service.fleet_codec import (
    HostDetail,
    HostPage,
    HostSummary,
    LabelledHost,
    detail_to_proto,
    labelled_to_proto,
    page_to_proto,
    tell_verdict,
)
from libcensus.collector.service.fleet_selection import selector_of
from libcensus.collector.service.peer import address_of
from libcensus.collector.service.portability_codec import libcs_to_proto, matrix_to_proto, portability_to_proto
from libcensus.collector.service.posture import Question
from libcensus.collector.service.posture_codec import posture_to_proto
from libcensus.collector.service.providers_codec import providers_to_proto
from libcensus.facts.codec import artefact_from_proto, seconds_from_proto
from libcensus.facts.validation import InvalidFactError
from libcensus.facts.vocabulary import LibcFamily, ProbeState
from libcensus.v1 import fleet_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from libcensus.collector.acceptance.fleet import FleetAcceptances
    from libcensus.collector.pki.audit import AuditLog
    from libcensus.collector.posture.acceptance import Acceptances, Matched
    from libcensus.collector.posture.assessment import Assessor, HostAssessment
    from libcensus.collector.posture.finding import Severity
    from libcensus.collector.service.identity import IdentitySource
    from libcensus.collector.service.portability import PortabilityReader
    from libcensus.collector.service.posture import PostureReader
    from libcensus.collector.service.providers import ProvidersReader
    from libcensus.collector.store.contract import HostState, Store
    from libcensus.facts.codec import Fact
    from libcensus.facts.interpreter import InstallSet

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

SERVICE_NAME = "libcensus.v1.FleetService"

DEFAULT_PAGE = 100
LARGEST_PAGE = 10_000

_KEPT_FACTS = 4096
_KEPT_COUNTS = 100_000


@dataclass(frozen=True, slots=True)
class _Counts:
    """What a list shows of a host's verdicts."""

    installs: int
    affected: int
    under_investigation: int
    worst_severity: Severity | None
    accepted: int = 0


_CountKey = tuple[str, "Matched"]
"""A host's inventory, and the groups of accepted risks that it is in."""


class FleetReader:
    """Joins stored facts and verdicts into what operators see. Methods may be called from several threads at once.

    ``now`` is the clock by which a host is silent: the one that stamps reports.
    """

    def __init__(
        self,
        store: Store,
        assessor_for: Callable[[], Assessor],
        accepted_for: Callable[[], FleetAcceptances] = nothing_accepted,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._now = now
        self._assessor_for = assessor_for
        self._accepted_for = accepted_for
        self._lock = threading.Lock()
        self._facts: OrderedDict[str, Fact] = OrderedDict()
        self._counts: OrderedDict[_CountKey, _Counts] = OrderedDict()
        self._counted_by: tuple[Assessor, Acceptances] | None = None

    def list_hosts(
        self, page_size: int, page_token: str, selector: str = "", silent_seconds: float | None = None
    ) -> HostPage:
        """Return one page of hosts, sorted by display name; those that a selector chooses, where there is one.

        With ``silent_seconds`` only hosts whose last report is at least that long ago. Raises InvalidFieldError for a
        token or a selector that is none.
        """
        size = min(page_size or DEFAULT_PAGE, LARGEST_PAGE)
        after = _decode_token(page_token)
        accepted = self._accepted_for()
        unknown_keys: tuple[str, ...] = ()
        stamps = sorted(self._store.host_stamps(), key=lambda stamp: stamp.name)
        if selector:
            wanted_labels = selector_of(selector)
            stamps = [stamp for stamp in stamps if wanted_labels.matches(accepted.labels_of(stamp.host_id))]
            unknown_keys = wanted_labels.unknown_keys(accepted.labels.values())
        if silent_seconds is not None:
            latest = _moment_before(self._now(), silent_seconds)
            stamps = [stamp for stamp in stamps if stamp.last_report <= latest]
        start = 0 if after is None else bisect_right(stamps, after, key=lambda stamp: stamp.name)
        chosen = stamps[start : start + size]
        states = {state.host_id: state for state in self._store.hosts([stamp.host_id for stamp in chosen])}
        found = [states[stamp.host_id] for stamp in chosen if stamp.host_id in states]
        counts = self._count(found, accepted)
        hosts = tuple(
            summarize_host(state, counts[state.host_id], accepted.labels_of(state.host_id)) for state in found
        )
        more = start + size < len(stamps)
        return HostPage(hosts, _encode_token(chosen[-1].name) if more and chosen else "", unknown_keys)

    def set_labels(self, name_or_id: str, given: Sequence[tuple[str, str]], taken: Sequence[str]) -> LabelledHost:
        """Give a host labels and take others from it; returns all that it has then.

        Raises HostNotFoundError, and InvalidFieldError for what is no label or is not there to take.
        """
        if not name_or_id:
            raise InvalidFieldError("host", "is empty; it is a display name or a host id")
        if not given and not taken:
            raise InvalidFieldError("set, remove", "are both empty; name a label to give or to take")
        try:
            changed = change_labels(self._store, name_or_id, given, taken)
        except LabelError as error:
            raise InvalidFieldError("labels", str(error)) from None
        if changed is None:
            raise HostNotFoundError(f"no host has the name or id {name_or_id[:255]!r}")
        return LabelledHost(changed.host_id, changed.name, changed.labels)

    def show_host(self, name_or_id: str) -> HostDetail:
        """Return one host with everything that is known of it; raises HostNotFoundError."""
        if not name_or_id:
            raise InvalidFieldError("host", "is empty; it is a display name or a host id")
        state = self._store.find_host(name_or_id)
        if state is None:
            raise HostNotFoundError(f"no host has the name or id {name_or_id[:255]!r}")
        known = _facts_of(state, self._read([state]))
        assessor = self._assessor_for()
        assessment = known.assess(assessor)
        accepted = self._accepted_for()
        groups = accepted.groups_of(state.host_id, state.name)
        counts = _count_findings(known.installs, assessment, accepted.acceptances, groups)
        return HostDetail(
            summary=summarize_host(state, counts, accepted.labels_of(state.host_id)),
            host=state.host,
            platform=known.platform,
            installs=known.installs,
            builds=known.builds,
            findings=accepted.acceptances.accept(assessment, groups),
            end_of_life=tuple(assessment.end_of_life),
            verdicts={place: tell_verdict(verdict) for place, verdict in assessment.verdicts.items()},
            probes=state.report.probes,
            scan_seconds=state.report.scan_seconds,
            crypto_copies=known.crypto_copies,
            tools=known.tools,
            roots=known.roots,
            changelogs=known.changelogs,
            processes=state.report.processes,
            quirks=seen_quirks(known.installs, known.builds, assessor.catalogue.quirks),
            staleness=assessment.staleness,
        )

    def _count(self, states: list[HostState], accepted: FleetAcceptances) -> Mapping[str, _Counts]:
        """Return the counts by host; of equal inventories in the same groups they are equal on one day."""
        by = self._assessor_for(), accepted.acceptances
        keys = {state.host_id: (state.inventory, accepted.groups_of(state.host_id, state.name)) for state in states}
        with self._lock:
            if self._counted_by is None or any(new is not old for new, old in zip(by, self._counted_by, strict=True)):
                self._counts.clear()
                self._counted_by = by
            found = {key: self._counts[key] for key in keys.values() if key in self._counts}
        missing = {key: state for state in states if (key := keys[state.host_id]) not in found}
        facts = self._read(missing.values())
        for key, state in missing.items():
            known = _facts_of(state, facts)
            found[key] = _count_findings(known.installs, known.assess(by[0]), by[1], key[1])
        with self._lock:
            if by == self._counted_by:
                _keep(self._counts, {key: found[key] for key in missing}, _KEPT_COUNTS)
        return {host_id: found[key] for host_id, key in keys.items()}

    def _read(self, states: Iterable[HostState]) -> Mapping[str, Fact]:
        """Return the facts of hosts, those that their roots name included."""
        found = self._fetch({digest for state in states for digest in wanted(state)})
        return found | self._fetch(wanted_by_roots(found) - found.keys())

    def _fetch(self, digests: AbstractSet[str]) -> dict[str, Fact]:
        """Return stored facts; a fact never changes, so those that were read lately are kept."""
        with self._lock:
            found = {digest: self._facts[digest] for digest in digests if digest in self._facts}
        read = dict(self._store.facts(digests - found.keys())) if len(found) < len(digests) else {}
        with self._lock:
            _keep(self._facts, read, _KEPT_FACTS)
        return found | read


class FleetServicer:
    """Serves operators."""

    def __init__(
        self,
        reader: FleetReader,
        portability: PortabilityReader,
        posture: PostureReader,
        providers: ProvidersReader,
        identity: IdentitySource,
        audit: AuditLog | None = None,
    ) -> None:
        self._audit = audit
        self._reader = reader
        self._portability = portability
        self._posture = posture
        self._providers = providers
        self._identity = identity

    def handlers(self) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        """Return the service's methods for a server; requests stay bytes."""
        return {
            "ListHosts": grpc.unary_unary_rpc_method_handler(
                self.list_hosts, response_serializer=fleet_pb2.ListHostsResponse.SerializeToString
            ),
            "GetHost": grpc.unary_unary_rpc_method_handler(
                self.get_host, response_serializer=fleet_pb2.GetHostResponse.SerializeToString
            ),
            "CheckPortability": grpc.unary_unary_rpc_method_handler(
                self.check_portability, response_serializer=fleet_pb2.CheckPortabilityResponse.SerializeToString
            ),
            "GetLibcHosts": grpc.unary_unary_rpc_method_handler(
                self.get_libc_hosts, response_serializer=fleet_pb2.GetLibcHostsResponse.SerializeToString
            ),
            "GetMatrix": grpc.unary_unary_rpc_method_handler(
                self.get_matrix, response_serializer=fleet_pb2.GetMatrixResponse.SerializeToString
            ),
            "GetPosture": grpc.unary_unary_rpc_method_handler(
                self.get_posture, response_serializer=fleet_pb2.GetPostureResponse.SerializeToString
            ),
            "SetLabels": grpc.unary_unary_rpc_method_handler(
                self.set_labels, response_serializer=fleet_pb2.SetLabelsResponse.SerializeToString
            ),
            "GetProviders": grpc.unary_unary_rpc_method_handler(
                self.get_providers, response_serializer=fleet_pb2.GetProvidersResponse.SerializeToString
            ),
        }

    def list_hosts(self, raw: bytes, context: grpc.ServicerContext) -> fleet_pb2.ListHostsResponse:
        """Answer one page of hosts."""
        self._identity.require_operator(context)
        request = parse_message(fleet_pb2.ListHostsRequest, raw)
        silent = seconds_from_proto("silent", request.silent) if request.HasField("silent") else None
        return page_to_proto(self._reader.list_hosts(request.page_size, request.page_token, request.selector, silent))

    def get_host(self, raw: bytes, context: grpc.ServicerContext) -> fleet_pb2.GetHostResponse:
        """Answer one host."""
        self._identity.require_operator(context)
        request = parse_message(fleet_pb2.GetHostRequest, raw)
        return detail_to_proto(self._reader.show_host(request.host))

    def check_portability(self, raw: bytes, context: grpc.ServicerContext) -> fleet_pb2.CheckPortabilityResponse:
        """Judge an artefact on every platform."""
        self._identity.require_operator(context)
        request = parse_message(fleet_pb2.CheckPortabilityRequest, raw)
        if not request.HasField("artefact"):
            raise InvalidFieldError("artefact", "is missing")
        try:
            artefact = artefact_from_proto(request.artefact)
        except InvalidFactError as error:
            raise error.within("artefact") from None
        return portability_to_proto(self._portability.check(artefact, context.is_active, request.selector))

    def get_libc_hosts(self, raw: bytes, context: grpc.ServicerContext) -> fleet_pb2.GetLibcHostsResponse:
        """Answer which C libraries the hosts have."""
        self._identity.require_operator(context)
        request = parse_message(fleet_pb2.GetLibcHostsRequest, raw)
        return libcs_to_proto(self._portability.libcs(request.selector))

    def get_matrix(self, raw: bytes, context: grpc.ServicerContext) -> fleet_pb2.GetMatrixResponse:
        """Answer which builds would run on which platforms."""
        self._identity.require_operator(context)
        request = parse_message(fleet_pb2.GetMatrixRequest, raw)
        return matrix_to_proto(
            self._portability.matrix(request.implementation, request.provider, request.arch, request.selector)
        )

    def get_posture(self, raw: bytes, context: grpc.ServicerContext) -> fleet_pb2.GetPostureResponse:
        """Answer how many findings there are, of what, and where the worst are."""
        self._identity.require_operator(context)
        request = parse_message(fleet_pb2.GetPostureRequest, raw)
        question = Question(
            request.host,
            request.advisory,
            request.provider,
            request.component,
            request.limit,
            request.day,
            request.selector,
        )
        return posture_to_proto(self._posture.posture(question, context.is_active))

    def get_providers(self, raw: bytes, context: grpc.ServicerContext) -> fleet_pb2.GetProvidersResponse:
        """Answer how long fixes took, per provider."""
        self._identity.require_operator(context)
        request = parse_message(fleet_pb2.GetProvidersRequest, raw)
        return providers_to_proto(
            self._providers.providers(
                request.provider,
                request.component,
                request.since,
                request.day,
                context.is_active,
                request.selector,
            )
        )

    def set_labels(self, raw: bytes, context: grpc.ServicerContext) -> fleet_pb2.SetLabelsResponse:
        """Change a host's labels, and write it to the audit log: accepted risks choose hosts by them."""
        operator = self._identity.require_operator(context)
        request = parse_message(fleet_pb2.SetLabelsRequest, raw)
        given = [(label.key, label.value) for label in request.set]
        changed = self._reader.set_labels(request.host, given, request.remove)
        if self._audit is not None:
            words = [*(f"{key}={value}" for key, value in given), *(f"{key}-" for key in request.remove)]
            self._audit.record(
                AuditEvent.LABELS_CHANGED,
                subject=None if operator is None else operator.subject,
                peer=address_of(context.peer()),
                host=changed.name,
                reason=" ".join(words),
            )
        return labelled_to_proto(changed)


def summarize_host(state: HostState, counts: _Counts, labels: Mapping[str, str]) -> HostSummary:
    """Return a host as a list shows it."""
    release, libc = state.host.os_release, state.host.libc
    return HostSummary(
        host_id=state.host_id,
        name=state.name,
        first_report=state.first_report,
        last_report=state.last_report,
        agent_version=state.report.agent_version,
        os_id=release.id,
        os_version=release.version_id,
        arch=state.host.arch,
        libc_family=None if libc.family is LibcFamily.UNKNOWN else libc.family.value,
        libc_version=libc.version,
        installs=counts.installs,
        affected=counts.affected,
        under_investigation=counts.under_investigation,
        worst_severity=counts.worst_severity,
        failed_probes=sum(probe.state is ProbeState.FAILED for probe in state.report.probes),
        outdated_processes=state.outdated_processes,
        labels=labels,
        accepted=counts.accepted,
        agent_state=state.report.agent_state,
    )


def _moment_before(now: datetime, seconds: float) -> datetime:
    """Return a moment so long ago; the first of all where that was before there were years."""
    try:
        return now - timedelta(seconds=seconds)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def _count_findings(
    installs: InstallSet, assessment: HostAssessment, acceptances: Acceptances, groups: Matched
) -> _Counts:
    statuses: Counter[VexStatus] = Counter()
    for (_, _, status), number in assessment.counts.items():
        statuses[status] += number
    return _Counts(
        installs=len(installs.installs),
        affected=statuses[VexStatus.AFFECTED],
        under_investigation=statuses[VexStatus.UNDER_INVESTIGATION],
        worst_severity=assessment.worst,
        accepted=acceptances.count(assessment, groups),
    )


def _facts_of(state: HostState, facts: Mapping[str, Fact]) -> HostFacts:
    known = HostFacts.of(state, facts)
    if known is None:
        raise _absent(state)
    return known


def _absent(state: HostState) -> StoreCorruptError:
    return StoreCorruptError(f"facts of host {state.host_id} are absent although its report was acknowledged")


def _keep(kept: OrderedDict[_Key, _Value], new: Mapping[_Key, _Value], limit: int) -> None:
    """Add entries, and let the oldest go beyond a limit; what goes is read or computed again when it is asked for."""
    kept.update(new)
    while len(kept) > limit:
        kept.popitem(last=False)


def _encode_token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _decode_token(token: str) -> str | None:
    if not token:
        return None
    try:
        return base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise InvalidFieldError("page_token", "was not given out by this service; ask for the first page") from None
