"""Every family that the collector derives from the fleet's facts, declared once each, with its pure value function.

A family of the fleet level sees the whole fleet, one of the host or install level one host: either its facts or its
last report, which tells when its text has to be rendered anew. All are present state: gauges and information; the
counters among them are those that agents keep. Times are timestamps, never ages: PromQL subtracts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import StrEnum
from typing import TYPE_CHECKING

from libcensus.collector.metrics.exposition import HistogramValue, Kind
from libcensus.collector.metrics.view import (
    UNKNOWN,
    Count,
    Detail,
    FleetView,
    HostView,
    ReportView,
    crypto_words,
    judged_components,
)
from libcensus.collector.metrics.view import libc_words as _libc_words
from libcensus.collector.posture.acceptance import StatementState
from libcensus.collector.posture.exposure import BUCKET_DAYS, oldest_since
from libcensus.collector.posture.finding import Severity, VexStatus
from libcensus.collector.posture.reach import LibcCount, policy_reach
from libcensus.collector.posture.speed import fleet_ratios, fleet_speeds
from libcensus.collector.posture.staleness import StalenessState
from libcensus.collector.posture.verdict import PortabilityState
from libcensus.facts.vocabulary import ProbeState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from libcensus.collector.metrics.exposition import Labels, Sample
    from libcensus.collector.metrics.view import ExposedPlace
    from libcensus.collector.posture.exposure import Slot
    from libcensus.collector.posture.finding import Component, Support
    from libcensus.collector.posture.speed import FleetRatio, FleetSpeed, SpeedRatio


class Stability(StrEnum):
    """Whether scripts and rules may lean on a family."""

    STABLE = "stable"
    EXPERIMENTAL = "experimental"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One family: what it is called, what it says, and at which level of detail it is exposed."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    kind: Kind = Kind.GAUGE
    detail: Detail
    stability: Stability = Stability.STABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetFamily(Family):
    """A family whose samples are told from the whole fleet."""

    detail: Detail = Detail.FLEET
    samples: Callable[[FleetView], Iterable[Sample]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetHistogram(Family):
    """A histogram that is told from the whole fleet."""

    kind: Kind = Kind.HISTOGRAM
    detail: Detail = Detail.FLEET
    values: Callable[[FleetView], Iterable[tuple[Labels, HistogramValue]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FactsFamily(Family):
    """A family whose samples are told from one host's facts; ``host`` is always its first label."""

    samples: Callable[[HostView], Iterable[Sample]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFamily(Family):
    """A family whose samples are told from one host's last report."""

    samples: Callable[[ReportView], Iterable[Sample]]


def _midnight(day: date) -> float:
    """Return a day's first moment in UTC as a Unix timestamp: a source that gives only a date means that."""
    return datetime.combine(day, time(), UTC).timestamp()


# --- fleet --------------------------------------------------------------------------------------------------------


def _counted(what: Count) -> Callable[[FleetView], Iterator[Sample]]:
    def samples(fleet: FleetView) -> Iterator[Sample]:
        yield from sorted(fleet.counts.get(what, {}).items())

    return samples


def _findings(fleet: FleetView) -> Iterator[Sample]:
    counts = fleet.counts.get(Count.FINDINGS, {})
    for component, provider in sorted(fleet.counts.get(Count.JUDGED, {})):
        for severity in Severity:
            for status in VexStatus:
                labels = (component, severity, status, provider)
                yield labels, counts.get(labels, 0)


def _stale_installs(fleet: FleetView) -> Iterator[Sample]:
    counts = fleet.counts.get(Count.STALENESS, {})
    judged = {(kind, provider) for kind, state, provider in counts if state != StalenessState.UNKNOWN}
    for kind, provider in sorted(judged):
        yield (kind, provider), counts.get((kind, StalenessState.STALE, provider), 0)


def _unknown_staleness(fleet: FleetView) -> Iterator[Sample]:
    for (kind, state, provider), number in sorted(fleet.counts.get(Count.STALENESS, {}).items()):
        if state == StalenessState.UNKNOWN:
            yield (kind, provider), number


def _findings_accepted(fleet: FleetView) -> Iterator[Sample]:
    counts = fleet.counts.get(Count.ACCEPTED, {})
    # Where nothing is accepted a zero for every severity would say no more than one number.
    judged = fleet.counts.get(Count.JUDGED, {}) if fleet.acceptances.statements else ()
    for component, provider in sorted(judged):
        for severity in Severity:
            labels = (component, severity, provider)
            yield labels, counts.get(labels, 0)


UNMATCHED = "unmatched"
"""The state of a statement that is in force and covers nothing."""


def _acceptance_statements(fleet: FleetView) -> Iterator[Sample]:
    covering = fleet.counts.get(Count.STATEMENTS, {})
    states: Counter[str] = Counter()
    for statement in fleet.acceptances.statements:
        state = statement.state(fleet.acceptances.today)
        is_idle = state is StatementState.ACTIVE and (statement.document, statement.id) not in covering
        states[UNMATCHED if is_idle else state] += 1
    for word in (*StatementState, UNMATCHED):
        yield (word,), states[word]


def _listed_advisories(fleet: FleetView) -> list[Labels]:
    """Return the advisories that get a series of their own, the first in rank; sorted by their labels.

    Those that affect a host come before those that affect none, then the more severe, then those that affect more
    hosts; what is equal in all is ordered by its labels, so that every collector of one database lists the same.
    """
    affected = fleet.counts.get(Count.ADVISORY_HOSTS, {})

    def rank(advisory: Labels) -> tuple[bool, int, int, Labels]:
        hosts = affected.get(advisory, 0)
        return not hosts, -Severity(advisory[2]).rank, -hosts, advisory

    return sorted(sorted(fleet.counts.get(Count.ADVISORIES, {}), key=rank)[: fleet.listed_advisories])


def _advisory_hosts(fleet: FleetView) -> Iterator[Sample]:
    affected = fleet.counts.get(Count.ADVISORY_HOSTS, {})
    for advisory in _listed_advisories(fleet):
        yield advisory, affected.get(advisory, 0)


def _advisories(fleet: FleetView) -> Iterator[Sample]:
    affected = fleet.counts.get(Count.ADVISORY_HOSTS, {})
    listed = set(_listed_advisories(fleet))
    found: Counter[Labels] = Counter()
    for advisory in fleet.counts.get(Count.ADVISORIES, {}):
        state = "affecting" if affected.get(advisory, 0) else "clear"
        found[state, show_flag(advisory in listed)] += 1
    for state in ("affecting", "clear"):
        for listing in ("true", "false"):
            yield (state, listing), found[state, listing]


def show_flag(value: bool) -> str:
    """Return a truth value as labels write it."""
    return "true" if value else "false"


def _branch_installs(fleet: FleetView) -> Iterator[Sample]:
    counts = fleet.counts.get(Count.BRANCHES, {})
    for what in sorted({labels[:3] for labels in counts}):
        for state in StalenessState:
            labels = (*what, state)
            yield labels, counts.get(labels, 0)


def _newest_builds(fleet: FleetView) -> Iterator[Sample]:
    for implementation, branch, provider in sorted({labels[:3] for labels in fleet.counts.get(Count.BRANCHES, {})}):
        newest = fleet.newest_of(implementation, branch, provider)
        if newest is not None:
            labels = (implementation, branch, provider, newest.version, newest.provider_build)
            yield labels, _midnight(newest.day)


def _manylinux_hosts(fleet: FleetView) -> Iterator[Sample]:
    libcs = fleet.counts.get(Count.LIBCS, {}).items()
    for reach in policy_reach(LibcCount(arch, family, version, hosts) for (arch, family, version), hosts in libcs):
        yield (reach.policy, reach.arch), reach.hosts


def _build_hosts(fleet: FleetView) -> Iterator[Sample]:
    platforms = fleet.counts.get(Count.PLATFORMS, {})
    for (digest,) in sorted(fleet.counts.get(Count.BUILDS, {})):
        build = fleet.builds[digest]
        what = (digest, build.implementation, build.version or UNKNOWN, build.provider, build.arch or UNKNOWN)
        hosts: Counter[Labels] = Counter({(PortabilityState.RUNS, ""): 0})
        for (platform,), count in platforms.items():
            verdict = fleet.verdict_of(digest, platform)
            hosts[verdict.state, verdict.first_reason or ""] += count
        for answer, count in sorted(hosts.items()):
            yield (*what, *answer), count


def _build_info(fleet: FleetView) -> Iterator[Sample]:
    for (digest,) in sorted(fleet.counts.get(Count.BUILDS, {})):
        build = fleet.builds[digest]
        labels = (
            digest,
            build.implementation,
            build.version or UNKNOWN,
            build.provider,
            build.provider_build or "",
            build.arch or UNKNOWN,
            ",".join(build.flags),
        )
        yield labels, 1


_MEASURED = ("machine", "workload", "part", "build", "implementation", "version", "provider", "arch")
_COMPARED = (*_MEASURED, "baseline_provider", "baseline_version")


def _measured_labels(one: FleetSpeed | FleetRatio) -> Labels:
    build = one.build
    what = (build.build, build.implementation, build.version or UNKNOWN, build.provider, build.arch or UNKNOWN)
    return (one.machine, one.workload, one.part, *what)


def _speed_seconds(fleet: FleetView) -> Iterator[Sample]:
    for one in fleet_speeds(fleet.measured):
        yield _measured_labels(one), one.seconds


def _speed_times(fleet: FleetView) -> Iterator[Sample]:
    moments = {
        (one.machine, one.workload, one.build.build): one.measured_at.timestamp()
        for one in fleet_speeds(fleet.measured)
    }
    yield from moments.items()


def _speed_ratios(value: Callable[[SpeedRatio], float | None]) -> Callable[[FleetView], Iterator[Sample]]:
    def samples(fleet: FleetView) -> Iterator[Sample]:
        for one in fleet_ratios(fleet.measured):
            found = value(one.speed)
            if found is not None:
                against = one.against
                yield (*_measured_labels(one), against.provider, against.version or UNKNOWN), found

    return samples


def _series(fleet: FleetView) -> Iterator[Sample]:
    for detail in Detail:
        yield (detail,), fleet.series.get(detail, 0)


def _exposed_findings(fleet: FleetView) -> Iterator[Sample]:
    for (provider, component, severity), tally in fleet.patching.items():
        if tally.is_dated:
            yield (provider, component, severity), tally.open


def _undated_findings(fleet: FleetView) -> Iterator[Sample]:
    for (provider, component, severity), tally in fleet.patching.items():
        yield (provider, component, severity), tally.undated_open


def _patch_latency(fleet: FleetView) -> Iterator[tuple[Labels, HistogramValue]]:
    for key, tally in fleet.patching.items():
        if not tally.is_dated:
            continue
        bounds = ((days * 86400.0, number) for days, number in zip(BUCKET_DAYS, tally.buckets, strict=True))
        yield key, HistogramValue(tuple(bounds), tally.seconds, tally.measured)


PATCH_LATENCY = FleetHistogram(
    name="libcensus_patch_latency_seconds",
    help="Time from the day on which a provider's fix could be installed to the host's first report without the "
    "finding, where the fix came while the host was watched.",
    labels=("provider", "component", "severity"),
    values=_patch_latency,
)
"""The one histogram of the fleet. It follows history and is no counter: a host that is removed takes its part along."""

SERIES = FleetFamily(
    name="libcensus_series",
    help="Series that each level of detail exposes here; those about the collector itself are not counted.",
    labels=("detail",),
    samples=_series,
)
"""The one family about the exposition itself: its samples are told when all others are counted."""

FLEET_FAMILIES: tuple[FleetFamily, ...] = (
    FleetFamily(
        name="libcensus_hosts",
        help="Hosts that have reported, by operating system, architecture and C library.",
        labels=("os_id", "os_version", "arch", "libc", "libc_version"),
        samples=_counted(Count.HOSTS),
    ),
    FleetFamily(
        name="libcensus_unreadable_hosts",
        help="Hosts whose stored facts this collector cannot read; they are missing from all other families.",
        samples=lambda fleet: [((), fleet.unreadable_hosts)],
    ),
    FleetFamily(
        name="libcensus_installs",
        help="Interpreter installs of the fleet.",
        labels=("implementation", "version", "provider", "kind"),
        samples=_counted(Count.INSTALLS),
    ),
    FleetFamily(
        name="libcensus_crypto_installs",
        help="Interpreter installs by the crypto library that their TLS module really uses, and how it is reached.",
        labels=("family", "version", "linkage", "provider"),
        samples=_counted(Count.CRYPTO),
    ),
    FleetFamily(
        name="libcensus_crypto_copies",
        help="Files that hold a crypto library's code and are no interpreter's own, by what brought them: ecosystem "
        "and owner name a wheel (pypi), an npm package, a gem, and are empty where nothing tells.",
        labels=("family", "version", "linkage", "ecosystem", "owner"),
        samples=_counted(Count.COPIES),
    ),
    FleetFamily(
        name="libcensus_findings",
        help="Findings of the fleet: one advisory against one subject each; zero where a judged component has none. "
        "The provider of a crypto copy is the ecosystem that brought it.",
        labels=("component", "severity", "status", "provider"),
        samples=_findings,
    ),
    FleetFamily(
        name="libcensus_stale_installs",
        help="Installs that are behind what they could be, by reason: an environment whose base is gone or that is "
        "behind it, an install behind its provider's newest build of the same line, one whose open finding the uv of "
        "its root is too old to fix, or that lies in an image built before the fix. Zero where none of a provider is.",
        labels=("reason", "provider"),
        samples=_stale_installs,
    ),
    FleetFamily(
        name="libcensus_staleness_unknown_installs",
        help="Installs of which nobody can tell whether they are behind; `libcensus show` has the reason of each.",
        labels=("reason", "provider"),
        samples=_unknown_staleness,
    ),
    FleetFamily(
        name="libcensus_branch_installs",
        help="Installs that stand by themselves (no environments), by whether they are the newest build of their "
        "branch that their provider has (current), older (stale), or nobody can tell (unknown).",
        labels=("implementation", "branch", "provider", "state"),
        samples=_branch_installs,
    ),
    FleetFamily(
        name="libcensus_newest_build_timestamp_seconds",
        help="Day on which the provider's newest build of a branch that the fleet uses came out; no series where "
        "nothing tells, and of distributions, which have another one for each of their releases.",
        labels=("implementation", "branch", "provider", "version", "provider_build"),
        samples=_newest_builds,
    ),
    FleetFamily(
        name="libcensus_installer_hosts",
        help="Hosts that have this version of a tool that installs interpreters, anywhere on them; newest_build is the "
        "newest build of python-build-standalone that it can install.",
        labels=("installer", "version", "newest_build"),
        samples=_counted(Count.INSTALLERS),
    ),
    FleetFamily(
        name="libcensus_findings_accepted",
        help="Affected findings of the fleet that an accepted risk covers; they are among those of libcensus_findings. "
        "No series where the operator stated nothing.",
        labels=("component", "severity", "provider"),
        samples=_findings_accepted,
    ),
    FleetFamily(
        name="libcensus_acceptance_statements",
        help="Statements of accepted risks: active (in force, and covering some finding), unmatched (in force, and "
        "covering none), pending (not in force yet), expired.",
        labels=("state",),
        samples=_acceptance_statements,
    ),
    FleetFamily(
        name="libcensus_advisory_hosts",
        help="Hosts with at least one subject that the advisory affects; zero where it is fixed, not applicable or "
        "still under investigation on every host. Only the first advisories in rank have series, as many as the "
        "setting metrics_advisories says; libcensus_advisories counts the others.",
        labels=("advisory", "component", "severity"),
        samples=_advisory_hosts,
    ),
    FleetFamily(
        name="libcensus_advisories",
        help="Advisories with any finding in the fleet, by state: affecting (some host) or clear (fixed, not "
        "applicable or under investigation on every host); listed tells whether libcensus_advisory_hosts has them.",
        labels=("state", "listed"),
        samples=_advisories,
    ),
    FleetFamily(
        name="libcensus_exposed_findings",
        help="Affected findings whose fix could be installed and is not, one for each place that goes on when versions "
        "change.",
        labels=("provider", "component", "severity"),
        samples=_exposed_findings,
    ),
    FleetFamily(
        name="libcensus_undated_findings",
        help="Affected findings of which no source tells since when the provider has had a fix; how long they are "
        "exposed is unknown.",
        labels=("provider", "component", "severity"),
        samples=_undated_findings,
    ),
    FleetFamily(
        name="libcensus_manylinux_hosts",
        help="Hosts on which installers take a wheel of this manylinux or musllinux policy, by the C library "
        "(manylinux2014 is manylinux_2_17); an architecture has the policies that are published for it.",
        labels=("policy", "arch"),
        samples=_manylinux_hosts,
    ),
    FleetFamily(
        name="libcensus_build_hosts",
        help="Hosts on which an observed build would start (runs), would not (blocked), or nobody can tell (unknown), "
        "under the first reason in documented order.",
        labels=("build", "implementation", "version", "provider", "arch", "verdict", "reason"),
        samples=_build_hosts,
    ),
    FleetFamily(
        name="libcensus_build_info",
        help="Every observed build with its attributes.",
        labels=("build", "implementation", "version", "provider", "provider_build", "arch", "flags"),
        kind=Kind.INFO,
        samples=_build_info,
    ),
    FleetFamily(
        name="libcensus_build_speed_ratio",
        help="How fast a build ran a part of the workload, or all of it (the geometric mean), beside a baseline in the "
        "same rounds: the baseline's processor time by its own, so 1.2 is a fifth more work in the same time. The "
        "baseline is the distribution's build of the same line where one ran along, else the one that the measurement "
        "names. No series where nobody measured: docs/speed.md.",
        labels=_COMPARED,
        samples=_speed_ratios(lambda speed: speed.ratio),
    ),
    FleetFamily(
        name="libcensus_build_speed_ratio_lower",
        help="Lower end of the interval that holds the ratio 95 times in 100; where 1 lies between both ends, no "
        "difference was seen. No series below six rounds.",
        labels=_COMPARED,
        samples=_speed_ratios(lambda speed: speed.lower),
    ),
    FleetFamily(
        name="libcensus_build_speed_ratio_upper",
        help="Upper end of the interval that holds the ratio 95 times in 100.",
        labels=_COMPARED,
        samples=_speed_ratios(lambda speed: speed.upper),
    ),
    FleetFamily(
        name="libcensus_build_speed_seconds",
        help="Processor time of one pass of a part of the workload, the median of the rounds. Comparable on one "
        "machine alone, and better by libcensus_build_speed_ratio.",
        labels=_MEASURED,
        samples=_speed_seconds,
    ),
    FleetFamily(
        name="libcensus_build_speed_timestamp_seconds",
        help="When the speed of a build was measured last on a machine.",
        labels=("machine", "workload", "build"),
        samples=_speed_times,
    ),
    FleetFamily(
        name="libcensus_advisories_timestamp_seconds",
        help="Day of the advisories and support dates that verdicts rest on.",
        samples=lambda fleet: [((), _midnight(fleet.snapshot_date))],
    ),
    FleetFamily(
        name="libcensus_advisory_source_timestamp_seconds",
        help="Newest day that each source of published facts knows of: subjects of the facts on board, and feeds that "
        "`libcensus-collector advisories update` or `import` took.",
        labels=("source",),
        samples=lambda fleet: [((source,), _midnight(day)) for source, day in sorted(fleet.reaches.items())],
    ),
    SERIES,
    FleetFamily(
        name="libcensus_series_limit",
        help="Number of series above which the operator should choose a lower level of detail; nothing is dropped.",
        samples=lambda fleet: [((), fleet.series_limit)],
    ),
)


# --- host ---------------------------------------------------------------------------------------------------------


def _host_info(view: ReportView) -> Iterator[Sample]:
    host = view.host
    release = host.os_release
    labels = (
        view.name,
        view.host_id,
        release.id or UNKNOWN,
        release.version_id or UNKNOWN,
        host.arch or UNKNOWN,
        "" if host.x86_64_level is None else str(host.x86_64_level),
        host.kernel or UNKNOWN,
        *_libc_words(host),
        view.report.agent_version,
    )
    yield labels, 1


def _probe_success(view: ReportView) -> Iterator[Sample]:
    for probe in view.report.probes:
        if probe.state in (ProbeState.OK, ProbeState.FAILED):
            yield (view.name, probe.name), int(probe.state is ProbeState.OK)


def _outdated_processes(view: ReportView) -> Iterator[Sample]:
    if view.outdated_processes is not None:
        yield (view.name,), view.outdated_processes


def _certificate_expiry(view: ReportView) -> Iterator[Sample]:
    if view.certificate_expires_at is not None:
        yield (view.name,), view.certificate_expires_at.timestamp()


def _waiting_reports(view: ReportView) -> Iterator[Sample]:
    if view.report.agent_state is not None:
        yield (view.name,), view.report.agent_state.waiting_reports


def _dropped_reports(view: ReportView) -> Iterator[Sample]:
    if view.report.agent_state is not None:
        yield (view.name,), view.report.agent_state.dropped_reports


def _dropped_facts(view: ReportView) -> Iterator[Sample]:
    if view.report.agent_state is not None:
        yield (view.name,), view.report.agent_state.dropped_facts


_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_]")
_HUMP = re.compile(r"([a-z0-9])([A-Z])")


def _plain_name(key: str) -> str:
    """Return the label of a metric for the label of a host, as kube-state-metrics makes it: ``label_`` and snake case.

    https://github.com/kubernetes/kube-state-metrics/blob/main/internal/store/utils.go
    """
    plain = _HUMP.sub(r"\1_\2", _NOT_IN_A_NAME.sub("_", key))
    return f"label_{plain.lower()}"


def collisions(keys: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the keys that would become one label of a metric, those of each label together, sorted."""
    found: dict[str, list[str]] = {}
    for key in sorted(set(keys)):
        found.setdefault(_plain_name(key), []).append(key)
    return [tuple(together) for _, together in sorted(found.items()) if len(together) > 1]


def label_names(keys: Iterable[str]) -> Mapping[str, str]:
    """Return the label of a metric for each label of hosts; no two have the same.

    Those that collide get ``_conflict1``, ``_conflict2``…, in the order of the keys, as kube-state-metrics does.
    """
    ordered = sorted(set(keys))
    counted = Counter(map(_plain_name, ordered))
    taken = {name for name, number in counted.items() if number == 1}
    found: dict[str, str] = {}
    for key in ordered:
        name = plain = _plain_name(key)
        number = 0
        while counted[plain] > 1 and (name in taken or name == plain):
            number += 1
            name = f"{plain}_conflict{number}"
        taken.add(name)
        found[key] = name
    return found


def host_labels(keys: Iterable[str]) -> ReportFamily:
    """Return the family that exposes these labels of hosts; without any it has no series."""
    names = label_names(keys)

    def samples(view: ReportView) -> Iterator[Sample]:
        if names:
            yield (view.name, *(view.labels.get(key, "") for key in names)), 1

    return ReportFamily(
        name="libcensus_host_labels",
        help="The labels of every host that the setting metrics_labels names, each as label_NAME in snake case; "
        "always 1, no series where it names none. Join it on host.",
        labels=("host", *names.values()),
        detail=Detail.HOST,
        samples=samples,
    )


HOST_LABELS = host_labels(())
"""The family where no labels are exposed: a collector puts its own in this place."""


def _host_findings_accepted(view: HostView) -> Iterator[Sample]:
    counts = Counter(one.severity for one in view.covered if one.status is VexStatus.AFFECTED)
    for severity in Severity:
        if counts[severity]:
            yield (view.name, severity), counts[severity]


def _host_stale_installs(view: HostView) -> Iterator[Sample]:
    counts: Counter[str] = Counter()
    for one in view.assessment.stale_installs:
        if one.state is not StalenessState.UNKNOWN:
            counts[one.kind] += one.state is StalenessState.STALE
    for reason, number in sorted(counts.items()):
        yield (view.name, reason), number


def _host_eol(view: HostView) -> Iterator[Sample]:
    ends: dict[tuple[str, str], date] = {}
    for judged in view.assessment.subjects:
        for support in judged.case.support:
            day = _last_day(support)
            if day is not None:
                key = support.component, support.branch
                ends[key] = min(ends.get(key, day), day)
    for (component, branch), day in sorted(ends.items()):
        yield (view.name, component, branch), _midnight(day)


def _host_findings(view: HostView) -> Iterator[Sample]:
    counts: Counter[tuple[str, str]] = Counter()
    for (_, severity, status), number in view.assessment.counts.items():
        counts[severity, status] += number
    for severity in Severity:
        for status in VexStatus:
            count = counts[severity, status]
            if count or status is VexStatus.AFFECTED:
                yield (view.name, severity, status), count


REPORT_FAMILIES: tuple[ReportFamily, ...] = (
    ReportFamily(
        name="libcensus_host_info",
        help="Every host with its attributes.",
        labels=(
            "host",
            "host_id",
            "os_id",
            "os_version",
            "arch",
            "x86_64_level",
            "kernel",
            "libc",
            "libc_version",
            "agent_version",
        ),
        kind=Kind.INFO,
        detail=Detail.HOST,
        samples=_host_info,
    ),
    ReportFamily(
        name="libcensus_host_last_report_timestamp_seconds",
        help="When the host's last report was acknowledged.",
        labels=("host",),
        detail=Detail.HOST,
        samples=lambda view: [((view.name,), view.last_report.timestamp())],
    ),
    ReportFamily(
        name="libcensus_host_scan_duration_seconds",
        help="How long the host's last scan took.",
        labels=("host",),
        detail=Detail.HOST,
        samples=lambda view: [((view.name,), view.report.scan_seconds)],
    ),
    ReportFamily(
        name="libcensus_host_probe_success",
        help="Whether a probe of the host's last scan ended well (1) or failed (0); a skipped probe has no series.",
        labels=("host", "probe"),
        detail=Detail.HOST,
        samples=_probe_success,
    ),
    ReportFamily(
        name="libcensus_host_outdated_processes",
        help="Interpreter processes that still run on a crypto library or an executable that was deleted or replaced, "
        "at the host's last scan; no series where the agent did not look.",
        labels=("host",),
        detail=Detail.HOST,
        samples=_outdated_processes,
    ),
    ReportFamily(
        name="libcensus_host_certificate_expiry_timestamp_seconds",
        help="End of the certificate that the host's last report came with; it renews it at two thirds of its life. No "
        "series without TLS.",
        labels=("host",),
        detail=Detail.HOST,
        samples=_certificate_expiry,
    ),
    ReportFamily(
        name="libcensus_host_waiting_reports",
        help="Reports that waited in the host's spool beside its last one; no series for agents that do not tell.",
        labels=("host",),
        detail=Detail.HOST,
        samples=_waiting_reports,
    ),
    ReportFamily(
        name="libcensus_host_dropped_reports_total",
        help="Reports that the bound of the host's spool made its agent drop, by its own count; no series for agents "
        "that do not tell.",
        labels=("host",),
        kind=Kind.COUNTER,
        detail=Detail.HOST,
        samples=_dropped_reports,
    ),
    ReportFamily(
        name="libcensus_host_dropped_facts_total",
        help="Facts that the bound of the host's spool made its agent drop, by its own count; the collector asks for "
        "them again. No series for agents that do not tell.",
        labels=("host",),
        kind=Kind.COUNTER,
        detail=Detail.HOST,
        samples=_dropped_facts,
    ),
    HOST_LABELS,
)


# --- install ------------------------------------------------------------------------------------------------------


def _last_day(support: Support) -> date | None:
    """Return the last day of a branch: a distribution that maintains the copy goes on after the project has ended."""
    return support.distribution_until or support.date


def _install_info(view: HostView) -> Iterator[Sample]:
    for install in view.installs.installs:
        build = view.build_of(install)
        family, version, linkage = crypto_words(install.crypto)
        package = None if install.crypto.library is None else install.crypto.library.package
        labels = (
            view.name,
            install.root,
            install.path,
            install.kind,
            install.implementation,
            (build.version if build is not None else None) or UNKNOWN,
            view.provider_of(install),
            install.installer,
            install.build or "",
            view.needed_glibc.get(install.build or "", ""),
            family,
            version,
            linkage,
            "" if package is None else f"{package.name} {package.version}",
        )
        yield labels, 1


def _install_findings(view: HostView) -> Iterator[Sample]:
    for judged in view.assessment.installs:
        counts = judged.case.counts
        for component in sorted(judged_components(judged)):
            for severity in Severity:
                for status in VexStatus:
                    number = counts.get((component, severity, status), 0)
                    if number or status is VexStatus.AFFECTED:
                        yield (view.name, judged.subject.root, judged.subject.path, component, severity, status), number


def _install_stale(view: HostView) -> Iterator[Sample]:
    for one in view.assessment.stale_installs:
        if one.state is StalenessState.STALE:
            yield (view.name, one.subject.root, one.subject.path, one.kind), 1


def _install_eol(view: HostView) -> Iterator[Sample]:
    for judged in view.assessment.installs:
        where = (view.name, judged.subject.root, judged.subject.path)
        for support in judged.case.support:
            day = _last_day(support)
            if day is not None:
                yield (*where, support.component, support.branch), _midnight(day)


Began = Mapping["Slot", Mapping[tuple["Component", str], datetime]]
"""When what is open in a slot came, by component and advisory, where it came after the host's first report."""


def install_exposed_samples(host: str, places: Iterable[ExposedPlace], began: Began) -> Iterator[Sample]:
    """Yield since when each install of a host is exposed."""
    for place in places:
        if not place.is_install:
            continue
        came = began.get(place.slot, {})
        opened = ((one, came.get((one.component, one.advisory))) for one in place.opened)
        for (component, severity), since in sorted(oldest_since(opened).items()):
            yield (host, place.root, place.path, component, severity), since.timestamp()


def host_exposed_samples(host: str, places: Iterable[ExposedPlace], began: Began) -> Iterator[Sample]:
    """Yield since when a host is exposed, by severity; what an accepted risk covers is left out."""
    oldest: dict[Severity, datetime] = {}
    for place in places:
        came = began.get(place.slot, {})
        opened = (
            (one, came.get((one.component, one.advisory)))
            for one in place.opened
            if (one.component, one.advisory) not in place.accepted
        )
        for (_, severity), since in oldest_since(opened).items():
            oldest[severity] = min(oldest.get(severity, since), since)
    for severity, since in sorted(oldest.items()):
        yield (host, severity), since.timestamp()


INSTALL_EXPOSED = FactsFamily(
    name="libcensus_install_exposed_since_timestamp_seconds",
    help="Since when a fix of the oldest finding that still affects the install could have been applied: its day, or "
    "when the affected copy came, whichever is later; no series where no source tells the day.",
    labels=("host", "root", "path", "component", "severity"),
    detail=Detail.INSTALL,
    samples=lambda view: install_exposed_samples(view.name, view.exposed, {}),
)
"""Of hosts on which something changed, when it did counts too."""

HOST_EXPOSED = FactsFamily(
    name="libcensus_host_exposed_since_timestamp_seconds",
    help="Since when a fix of the oldest finding that affects anything on the host, and that no accepted risk covers, "
    "could have been applied: its day, or when the affected copy came, whichever is later; no series where no source "
    "tells the day.",
    labels=("host", "severity"),
    detail=Detail.HOST,
    samples=lambda view: host_exposed_samples(view.name, view.exposed, {}),
)
"""The same of everything on a host, crypto copies and C libraries too."""

EXPOSED: Mapping[FactsFamily, Callable[[str, Iterable[ExposedPlace], Began], Iterator[Sample]]] = {
    HOST_EXPOSED: host_exposed_samples,
    INSTALL_EXPOSED: install_exposed_samples,
}
"""The families whose samples follow a host's own history, with what tells them."""

FACTS_FAMILIES: tuple[FactsFamily, ...] = (
    FactsFamily(
        name="libcensus_host_findings",
        help="Findings of the host; zero where nothing of a severity affects it, other statuses where there are any.",
        labels=("host", "severity", "status"),
        detail=Detail.HOST,
        samples=_host_findings,
    ),
    FactsFamily(
        name="libcensus_host_findings_accepted",
        help="Affected findings of the host that an accepted risk covers; no series where there are none.",
        labels=("host", "severity"),
        detail=Detail.HOST,
        samples=_host_findings_accepted,
    ),
    HOST_EXPOSED,
    FactsFamily(
        name="libcensus_host_eol_timestamp_seconds",
        help="Last day of support of the branch that anything on the host is on, the earliest where there are several: "
        "by the distribution where it built the copy, else by the component's project; no series where nobody says.",
        labels=("host", "component", "branch"),
        detail=Detail.HOST,
        samples=_host_eol,
    ),
    FactsFamily(
        name="libcensus_host_stale_installs",
        help="Installs of the host that are behind what they could be, by reason, as libcensus_stale_installs counts "
        "them; zero where the reason was judged and applies to none.",
        labels=("host", "reason"),
        detail=Detail.HOST,
        samples=_host_stale_installs,
    ),
    FactsFamily(
        name="libcensus_install_info",
        help="Every install with its attributes: glibc is the highest version that its files need, family, "
        "crypto_version, linkage and package tell the crypto library that it really uses.",
        labels=(
            "host",
            "root",
            "path",
            "kind",
            "implementation",
            "version",
            "provider",
            "installer",
            "build",
            "glibc",
            "family",
            "crypto_version",
            "linkage",
            "package",
        ),
        kind=Kind.INFO,
        detail=Detail.INSTALL,
        samples=_install_info,
    ),
    FactsFamily(
        name="libcensus_install_findings",
        help="Findings of the install; zero where nothing of a severity affects a judged component, other statuses "
        "where there are any.",
        labels=("host", "root", "path", "component", "severity", "status"),
        detail=Detail.INSTALL,
        samples=_install_findings,
    ),
    FactsFamily(
        name="libcensus_install_stale",
        help="Installs that are behind what they could be: one series per reason, always 1; no series where an install "
        "is up to date or nobody can tell. Processes on old files are counted per host.",
        labels=("host", "root", "path", "reason"),
        detail=Detail.INSTALL,
        samples=_install_stale,
    ),
    FactsFamily(
        name="libcensus_install_eol_timestamp_seconds",
        help="Last day of support of the branch that a component of the install is on, by the distribution where it "
        "built the copy, else by the component's project; no series where nobody says.",
        labels=("host", "root", "path", "component", "branch"),
        detail=Detail.INSTALL,
        samples=_install_eol,
    ),
    INSTALL_EXPOSED,
)

FAMILIES: tuple[Family, ...] = (*FLEET_FAMILIES, PATCH_LATENCY, *REPORT_FAMILIES, *FACTS_FAMILIES)
"""All of them, in the order of the exposition."""
