"""What operators are told about portability, as values, and the bridge between them and the wire in both directions.

Law, tested by property: ``from_proto(to_proto(x)) == x``. A kind of reason that this version does not know decodes to
``requirement``, for it is an obstacle all the same; a verdict that it does not know is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from libcensus.collector.posture.verdict import PortabilityState, Reason, ReasonKind, Verdict
from libcensus.facts.codec import digest_from_proto, digest_to_proto
from libcensus.facts.validation import InvalidFactError
from libcensus.v1 import fleet_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class PlatformHosts:
    """Hosts that offer the same: ``platform`` is its address, ``label`` what a person calls it.

    ``examples`` are the first few display names, sorted. ``pythons`` are the versions of the Pythons for which a wheel
    could be installed there, sorted as versions; only told where a wheel is judged.
    """

    platform: str
    label: str
    hosts: int
    examples: tuple[str, ...] = ()
    arch: str | None = None
    libc_family: str | None = None
    libc_version: str | None = None
    pythons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlatformVerdict:
    """Whether an artefact runs on one platform of the fleet."""

    on: PlatformHosts
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class PortabilityAnswer:
    """An artefact on every platform of the fleet, those with most hosts first.

    ``unknown_keys`` here and in the other answers are those of the selector that no host has a label of.
    """

    verdicts: tuple[PlatformVerdict, ...]
    unreadable_hosts: int = 0
    unknown_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LibcHosts:
    """How many hosts have one version of a C library; words are ``unknown`` where a host does not tell."""

    arch: str
    family: str
    version: str
    hosts: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LibcAnswer:
    """The C libraries of the fleet, sorted by architecture, family and version as a number."""

    libcs: tuple[LibcHosts, ...]
    unreadable_hosts: int = 0
    unknown_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MatrixBuild:
    """One build of the fleet; ``hosts`` have it, ``glibc`` is the highest version that it needs."""

    digest: str
    implementation: str
    provider: str
    hosts: int
    version: str | None = None
    provider_build: str | None = None
    arch: str | None = None
    flags: tuple[str, ...] = ()
    glibc: str | None = None


@dataclass(frozen=True, slots=True)
class Matrix:
    """Builds times platforms: ``verdicts[b][p]`` is that of ``builds[b]`` on ``platforms[p]``."""

    builds: tuple[MatrixBuild, ...]
    platforms: tuple[PlatformHosts, ...]
    verdicts: tuple[tuple[Verdict, ...], ...]
    unreadable_hosts: int = 0
    unknown_keys: tuple[str, ...] = ()


def _optional(message: Any, name: str) -> Any:
    return getattr(message, name) if message.HasField(name) else None


def _state(field: str, text: str) -> PortabilityState:
    try:
        return PortabilityState(text)
    except ValueError:
        raise InvalidFactError(field, f"{text[:80]!r} is a word that this version does not know") from None


def reason_to_proto(value: Reason) -> fleet_pb2.PortabilityReason:
    """Encode one obstacle."""
    return fleet_pb2.PortabilityReason(
        kind=value.kind,
        needs=value.needs,
        has=value.has,
        library=value.library,
        file=value.file,
        symbol=value.symbol,
        remedy=value.remedy,
        known=value.known,
        module=value.module,
    )


def reason_from_proto(message: fleet_pb2.PortabilityReason) -> Reason:
    """Decode one obstacle."""
    known = {kind.value: kind for kind in ReasonKind}
    return Reason(
        kind=known.get(message.kind, ReasonKind.REQUIREMENT),
        needs=message.needs,
        has=_optional(message, "has"),
        library=_optional(message, "library"),
        file=_optional(message, "file"),
        symbol=_optional(message, "symbol"),
        remedy=_optional(message, "remedy"),
        known=message.known,
        module=_optional(message, "module"),
    )


def platform_hosts_to_proto(value: PlatformHosts) -> fleet_pb2.PlatformHosts:
    """Encode hosts that offer the same."""
    return fleet_pb2.PlatformHosts(
        platform=digest_to_proto(value.platform),
        label=value.label,
        hosts=value.hosts,
        examples=value.examples,
        arch=value.arch,
        libc_family=value.libc_family,
        libc_version=value.libc_version,
        pythons=value.pythons,
    )


def platform_hosts_from_proto(message: fleet_pb2.PlatformHosts) -> PlatformHosts:
    """Decode hosts that offer the same."""
    return PlatformHosts(
        platform=digest_from_proto(message.platform, "platform"),
        label=message.label,
        hosts=message.hosts,
        examples=tuple(message.examples),
        arch=_optional(message, "arch"),
        libc_family=_optional(message, "libc_family"),
        libc_version=_optional(message, "libc_version"),
        pythons=tuple(message.pythons),
    )


def portability_to_proto(value: PortabilityAnswer) -> fleet_pb2.CheckPortabilityResponse:
    """Encode an artefact's verdicts."""
    return fleet_pb2.CheckPortabilityResponse(
        verdicts=[
            fleet_pb2.PlatformVerdict(
                on=platform_hosts_to_proto(item.on),
                verdict=item.verdict.state,
                reasons=[reason_to_proto(reason) for reason in item.verdict.reasons],
                degraded=[reason_to_proto(reason) for reason in item.verdict.degraded],
            )
            for item in value.verdicts
        ],
        unreadable_hosts=value.unreadable_hosts,
        unknown_keys=value.unknown_keys,
    )


def portability_from_proto(message: fleet_pb2.CheckPortabilityResponse) -> PortabilityAnswer:
    """Decode an artefact's verdicts."""
    return PortabilityAnswer(
        tuple(
            PlatformVerdict(
                platform_hosts_from_proto(item.on),
                Verdict(
                    _state("verdicts.verdict", item.verdict),
                    tuple(reason_from_proto(reason) for reason in item.reasons),
                    tuple(reason_from_proto(reason) for reason in item.degraded),
                ),
            )
            for item in message.verdicts
        ),
        message.unreadable_hosts,
        tuple(message.unknown_keys),
    )


def libcs_to_proto(value: LibcAnswer) -> fleet_pb2.GetLibcHostsResponse:
    """Encode the C libraries of the fleet."""
    return fleet_pb2.GetLibcHostsResponse(
        libcs=[
            fleet_pb2.LibcHosts(
                arch=one.arch, family=one.family, version=one.version, hosts=one.hosts, examples=one.examples
            )
            for one in value.libcs
        ],
        unreadable_hosts=value.unreadable_hosts,
        unknown_keys=value.unknown_keys,
    )


def libcs_from_proto(message: fleet_pb2.GetLibcHostsResponse) -> LibcAnswer:
    """Decode the C libraries of the fleet."""
    return LibcAnswer(
        tuple(LibcHosts(one.arch, one.family, one.version, one.hosts, tuple(one.examples)) for one in message.libcs),
        message.unreadable_hosts,
        tuple(message.unknown_keys),
    )


class _Table:
    """Reasons by their position, each once: a matrix names few of them many times."""

    def __init__(self) -> None:
        self.reasons: dict[Reason, int] = {}

    def positions(self, reasons: Iterable[Reason]) -> list[int]:
        return [self.reasons.setdefault(reason, len(self.reasons)) for reason in reasons]


def matrix_to_proto(value: Matrix) -> fleet_pb2.GetMatrixResponse:
    """Encode a matrix."""
    table = _Table()
    cells = [
        fleet_pb2.MatrixCell(
            build=row,
            platform=column,
            verdict=verdict.state,
            reasons=table.positions(verdict.reasons),
            degraded=table.positions(verdict.degraded),
        )
        for row, verdicts in enumerate(value.verdicts)
        for column, verdict in enumerate(verdicts)
    ]
    return fleet_pb2.GetMatrixResponse(
        builds=[
            fleet_pb2.MatrixBuild(
                digest=digest_to_proto(build.digest),
                implementation=build.implementation,
                version=build.version,
                provider=build.provider,
                provider_build=build.provider_build,
                arch=build.arch,
                flags=build.flags,
                hosts=build.hosts,
                glibc=build.glibc,
            )
            for build in value.builds
        ],
        platforms=[platform_hosts_to_proto(platform) for platform in value.platforms],
        reasons=[reason_to_proto(reason) for reason in table.reasons],
        cells=cells,
        unreadable_hosts=value.unreadable_hosts,
        unknown_keys=value.unknown_keys,
    )


def matrix_from_proto(message: fleet_pb2.GetMatrixResponse) -> Matrix:
    """Decode a matrix; raises InvalidFactError where a cell is missing, double, or names what is not there."""
    reasons = [reason_from_proto(reason) for reason in message.reasons]
    rows, columns = len(message.builds), len(message.platforms)
    found: dict[tuple[int, int], Verdict] = {}
    for cell in message.cells:
        if cell.build >= rows or cell.platform >= columns or (cell.build, cell.platform) in found:
            raise InvalidFactError("cells", f"names build {cell.build} on platform {cell.platform} twice, or neither")
        found[cell.build, cell.platform] = Verdict(
            _state("cells.verdict", cell.verdict), _chosen(reasons, cell.reasons), _chosen(reasons, cell.degraded)
        )
    if len(found) != rows * columns:
        raise InvalidFactError("cells", f"has {len(found)} verdicts for {rows} builds on {columns} platforms")
    return Matrix(
        builds=tuple(
            MatrixBuild(
                digest=digest_from_proto(build.digest, "builds.digest"),
                implementation=build.implementation,
                provider=build.provider,
                hosts=build.hosts,
                version=_optional(build, "version"),
                provider_build=_optional(build, "provider_build"),
                arch=_optional(build, "arch"),
                flags=tuple(build.flags),
                glibc=_optional(build, "glibc"),
            )
            for build in message.builds
        ),
        platforms=tuple(platform_hosts_from_proto(platform) for platform in message.platforms),
        verdicts=tuple(tuple(found[row, column] for column in range(columns)) for row in range(rows)),
        unreadable_hosts=message.unreadable_hosts,
        unknown_keys=tuple(message.unknown_keys),
    )


def _chosen(reasons: Sequence[Reason], positions: Iterable[int]) -> tuple[Reason, ...]:
    try:
        return tuple(reasons[position] for position in positions)
    except IndexError:
        raise InvalidFactError("cells.reasons", "names a reason that is not in the list") from None
