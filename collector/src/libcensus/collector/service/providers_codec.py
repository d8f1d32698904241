"""What operators are told about how long fixes took, as values, and the bridge between them and the wire.

Law, tested by property: ``from_proto(to_proto(x)) == x``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from libcensus.collector.posture.finding import Component, Severity
from libcensus.collector.posture.lag import LagSummary
from libcensus.collector.posture.speed import SpeedRatio
from libcensus.collector.service.posture_codec import day_from_text, day_to_text, severity_of, word_of
from libcensus.facts.validation import InvalidFactError
from libcensus.v1 import fleet_pb2

if TYPE_CHECKING:
    from datetime import date

_MOMENT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class PatchedShare:
    """Of the fixes that could be applied at least ``days`` days ago: how many were within that time."""

    days: int
    patched: int
    total: int


@dataclass(frozen=True, slots=True)
class ProviderPatching:
    """How the exposures of one provider's builds to advisories of one component and severity ended, or did not.

    ``measured`` patches took ``seconds`` together, half of them at most ``median_days`` whole days and nine tenths at
    most ``p90_days``. ``unmeasured`` were patched, and had the fix before the host was watched; of ``undated`` ones no
    source tells when the provider had the fix; ``removed`` ones went without it. ``open`` could have it and do not,
    the oldest since ``oldest_open``; the fix of ``unfixed`` ones comes later than the day of the answer.
    """

    provider: str
    component: Component
    severity: Severity
    measured: int
    seconds: float
    median_days: int | None
    p90_days: int | None
    within: tuple[PatchedShare, ...]
    unmeasured: int
    undated: int
    removed: int
    open: int
    unfixed: int
    oldest_open: date | None


@dataclass(frozen=True, slots=True)
class ProviderSpeed:
    """How fast a build ran the whole workload beside another, as somebody measured it on a machine."""

    machine: str
    workload: str
    build: str
    implementation: str
    version: str | None
    provider: str
    baseline_provider: str
    baseline_version: str | None
    speed: SpeedRatio
    measured_at: datetime


@dataclass(frozen=True, slots=True)
class ProvidersAnswer:
    """How long fixes took to reach the fleet, and to be there from each channel; ``watched_since`` is the first report.

    ``day`` is that of the answer, ``advisories_day`` the one that the advisories are of. ``speeds`` are what was
    measured by then.
    """

    patching: tuple[ProviderPatching, ...]
    lags: tuple[LagSummary, ...]
    hosts: int
    watched_since: date | None
    day: date
    advisories_day: date
    unknown_keys: tuple[str, ...] = ()
    speeds: tuple[ProviderSpeed, ...] = ()


def providers_to_proto(value: ProvidersAnswer) -> fleet_pb2.GetProvidersResponse:
    """Encode how long fixes took."""
    return fleet_pb2.GetProvidersResponse(
        patching=[
            fleet_pb2.ProviderPatching(
                provider=one.provider,
                component=one.component,
                severity=one.severity,
                measured=one.measured,
                seconds=one.seconds,
                median_days=one.median_days,
                p90_days=one.p90_days,
                within=[
                    fleet_pb2.PatchedShare(days=share.days, patched=share.patched, total=share.total)
                    for share in one.within
                ],
                unmeasured=one.unmeasured,
                undated=one.undated,
                removed=one.removed,
                open=one.open,
                unfixed=one.unfixed,
                oldest_open=None if one.oldest_open is None else day_to_text(one.oldest_open),
            )
            for one in value.patching
        ],
        lags=[
            fleet_pb2.ChannelLag(
                channel=one.channel,
                component=one.component,
                fixes=one.fixes,
                median_days=one.median,
                p90_days=one.p90,
                longest_days=one.longest,
            )
            for one in value.lags
        ],
        hosts=value.hosts,
        unknown_keys=value.unknown_keys,
        watched_since=None if value.watched_since is None else day_to_text(value.watched_since),
        day=day_to_text(value.day),
        advisories_day=day_to_text(value.advisories_day),
        speeds=[
            fleet_pb2.BuildSpeed(
                machine=one.machine,
                workload=one.workload,
                build=one.build,
                implementation=one.implementation,
                version=one.version,
                provider=one.provider,
                baseline_provider=one.baseline_provider,
                baseline_version=one.baseline_version,
                ratio=one.speed.ratio,
                lower=one.speed.lower,
                upper=one.speed.upper,
                measured_at=one.measured_at.strftime(_MOMENT),
            )
            for one in value.speeds
        ],
    )


def providers_from_proto(message: fleet_pb2.GetProvidersResponse) -> ProvidersAnswer:
    """Decode how long fixes took; raises InvalidFactError naming the field that is wrong."""
    return ProvidersAnswer(
        patching=tuple(_patching(one) for one in message.patching),
        lags=tuple(
            LagSummary(
                one.channel,
                word_of(Component, "lags.component", one.component),
                one.fixes,
                one.median_days,
                one.p90_days,
                one.longest_days,
            )
            for one in message.lags
        ),
        hosts=message.hosts,
        unknown_keys=tuple(message.unknown_keys),
        watched_since=day_from_text("watched_since", message.watched_since)
        if message.HasField("watched_since")
        else None,
        day=day_from_text("day", message.day),
        advisories_day=day_from_text("advisories_day", message.advisories_day),
        speeds=tuple(_speed(one) for one in message.speeds),
    )


def _speed(message: fleet_pb2.BuildSpeed) -> ProviderSpeed:
    if not (math.isfinite(message.ratio) and message.ratio > 0):
        raise InvalidFactError("speeds.ratio", "is no number above 0")
    has_interval = message.HasField("lower") and message.HasField("upper")
    try:
        measured_at = datetime.strptime(message.measured_at, _MOMENT).replace(tzinfo=UTC)
    except ValueError:
        raise InvalidFactError("speeds.measured_at", "is no time") from None
    return ProviderSpeed(
        machine=message.machine,
        workload=message.workload,
        build=message.build,
        implementation=message.implementation,
        version=message.version if message.HasField("version") else None,
        provider=message.provider,
        baseline_provider=message.baseline_provider,
        baseline_version=message.baseline_version if message.HasField("baseline_version") else None,
        speed=SpeedRatio(
            message.ratio, message.lower if has_interval else None, message.upper if has_interval else None
        ),
        measured_at=measured_at,
    )


def _patching(message: fleet_pb2.ProviderPatching) -> ProviderPatching:
    return ProviderPatching(
        provider=message.provider,
        component=word_of(Component, "patching.component", message.component),
        severity=severity_of(message.severity),
        measured=message.measured,
        seconds=message.seconds,
        median_days=message.median_days if message.HasField("median_days") else None,
        p90_days=message.p90_days if message.HasField("p90_days") else None,
        within=tuple(PatchedShare(share.days, share.patched, share.total) for share in message.within),
        unmeasured=message.unmeasured,
        undated=message.undated,
        removed=message.removed,
        open=message.open,
        unfixed=message.unfixed,
        oldest_open=day_from_text("patching.oldest_open", message.oldest_open)
        if message.HasField("oldest_open")
        else None,
    )
