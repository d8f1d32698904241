"""What the value functions of the families see: one host, one report, the fleet. Values only.

The fleet is seen through a tally: for every host the things that it adds to fleet-wide counts. A host that changes
takes its old part out and puts its new part in, so the cost of a scrape follows what changed, not the fleet's size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping  # noqa: TC003  the dataclass decorator of slots needs it at run time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from libcensus.collector.posture.acceptance import place_of
from libcensus.collector.posture.eol import INTERPRETERS
from libcensus.collector.posture.exposure import Opening, openings, slot_of
from libcensus.collector.posture.finding import Component, Severity, SubjectKind, VexStatus
from libcensus.collector.posture.reach import libc_of
from libcensus.collector.posture.staleness import ProviderGrounds
from libcensus.collector.posture.versions import branch_of
from libcensus.facts.tool import ToolSet
from libcensus.facts.vocabulary import CryptoFamily, Linkage

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date, datetime

    from libcensus.collector.exposures import PatchTally
    from libcensus.collector.metrics.exposition import Labels
    from libcensus.collector.posture.acceptance import Acceptances, Matched
    from libcensus.collector.posture.assessment import (
        CopyAssessment,
        HostAssessment,
        InstallAssessment,
        LibcAssessment,
    )
    from libcensus.collector.posture.exposure import Slot
    from libcensus.collector.posture.newest import NewestBuild
    from libcensus.collector.posture.speed import SpeedRun
    from libcensus.collector.posture.staleness import BuildMark
    from libcensus.collector.posture.verdict import Verdict
    from libcensus.facts.crypto import CryptoUse
    from libcensus.facts.host import Host
    from libcensus.facts.interpreter import Build, Install, InstallSet
    from libcensus.facts.platform import Platform
    from libcensus.facts.report import Report

UNKNOWN = "unknown"


class Detail(StrEnum):
    """How much is exposed; each level holds the ones before it."""

    FLEET = "fleet"
    HOST = "host"
    INSTALL = "install"

    def includes(self, other: Detail) -> bool:
        """Tell whether families of the other level are exposed at this one."""
        order = list(Detail)
        return order.index(other) <= order.index(self)


@dataclass(frozen=True, slots=True)
class Covered:
    """One finding, affected or under investigation, that an accepted risk covers."""

    provider: str
    component: Component
    severity: Severity
    status: VexStatus
    document: str
    statement: str


def covered_by(acceptances: Acceptances, assessment: HostAssessment, groups: Matched) -> tuple[Covered, ...]:
    """Return what accepted risks cover on a host in these groups."""
    if not groups:
        return ()
    return tuple(
        Covered(
            item.provider,
            judgement.component,
            judgement.severity,
            judgement.status,
            statement.document,
            statement.id,
        )
        for places, item in ((acceptances.places_of(place_of(item)), item) for item in assessment.subjects)
        for judgement in item.case.judgements
        if (statement := acceptances.covering(judgement, groups, places)) is not None
    )


@dataclass(frozen=True, slots=True)
class ExposedPlace:
    """One thing on a host that something affects, and its slot; ``accepted`` is what an accepted risk covers of it."""

    slot: Slot
    root: str
    path: str
    is_install: bool
    opened: tuple[Opening, ...]
    accepted: frozenset[tuple[Component, str]] = frozenset()


def exposed_places(acceptances: Acceptances, assessment: HostAssessment, groups: Matched) -> tuple[ExposedPlace, ...]:
    """Return everything on a host in these groups that something affects."""
    found = []
    for judged in assessment.subjects:
        opened = openings(judged.case, str(judged.provider))
        if not opened:
            continue
        accepted: frozenset[tuple[Component, str]] = frozenset()
        if groups:
            places = acceptances.places_of(place_of(judged))
            accepted = frozenset(
                (one.component, one.advisory)
                for one in judged.case.judgements
                if one.status is VexStatus.AFFECTED and acceptances.covering(one, groups, places) is not None
            )
        subject = judged.subject
        is_install = subject.kind is SubjectKind.INSTALL
        found.append(ExposedPlace(slot_of(judged), subject.root, subject.path, is_install, opened, accepted))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class HostView:
    """One host's facts with all that is derived from them.

    ``name`` is the display name; ``needed_glibc`` tells by build the highest glibc version that its files need, empty
    where they need none; ``covered`` is what accepted risks cover, ``exposed`` what is affected.
    """

    name: str
    host: Host
    platform_digest: str
    platform: Platform
    installs: InstallSet
    builds: Mapping[str, Build]
    needed_glibc: Mapping[str, str]
    assessment: HostAssessment
    covered: tuple[Covered, ...] = ()
    exposed: tuple[ExposedPlace, ...] = ()
    tools: ToolSet = field(default_factory=ToolSet)

    def build_of(self, install: Install) -> Build | None:
        """Return the build of an install, None where it could not be read."""
        return None if install.build is None else self.builds.get(install.build)

    def provider_of(self, install: Install) -> str:
        """Return who built an install's interpreter."""
        build = self.build_of(install)
        return UNKNOWN if build is None else build.provider


@dataclass(frozen=True, slots=True)
class ReportView:
    """What a host's last report says beside its facts, and the labels that the host has."""

    name: str
    host_id: str
    host: Host
    report: Report
    last_report: datetime
    outdated_processes: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    certificate_expires_at: datetime | None = None


class Count(StrEnum):
    """What is counted over the fleet; the comment says what a key's parts are."""

    HOSTS = "hosts"  # os_id, os_version, arch, libc, libc_version
    INSTALLS = "installs"  # implementation, version, provider, kind
    CRYPTO = "crypto"  # family, version, linkage, provider
    COPIES = "copies"  # family, version, linkage, ecosystem, owner
    FINDINGS = "findings"  # component, severity, status, provider
    JUDGED = "judged"  # component, provider
    ADVISORIES = "advisories"  # advisory, component, severity: hosts with any finding of it
    ADVISORY_HOSTS = "advisory_hosts"  # the same: hosts that it affects
    STALENESS = "staleness"  # reason, state, provider
    BRANCHES = "branches"  # implementation, branch, provider, state: installs that stand by themselves
    INSTALLERS = "installers"  # installer, version, newest build that it can install
    ACCEPTED = "accepted"  # component, severity, provider: affected findings that an accepted risk covers
    STATEMENTS = "statements"  # document, statement: hosts on which it covers something
    LIBCS = "libcs"  # arch, family, version
    PLATFORMS = "platforms"  # digest
    BUILDS = "builds"  # digest


Tally = Counter[tuple[Count, "Labels"]]


@dataclass(frozen=True, slots=True)
class FleetView:
    """The whole fleet at one moment.

    ``counts`` holds the tally of all hosts; ``verdict_of`` the verdict of a build on a platform, both by digest;
    ``reaches`` the newest day that each source of published facts knows of. ``patching`` tells how exposures ended, by
    provider, component and severity; ``newest_of`` the newest build of an implementation's branch by a provider.
    ``listed_advisories`` is how many advisories get a series of their own, None for all; ``measured`` are the runs in
    which somebody measured the speed of builds.
    """

    counts: Mapping[Count, Mapping[Labels, int]]
    builds: Mapping[str, Build]
    platforms: Mapping[str, Platform]
    verdict_of: Callable[[str, str], Verdict]
    snapshot_date: date
    reaches: Mapping[str, date]
    unreadable_hosts: int
    series: Mapping[Detail, int]
    series_limit: int
    acceptances: Acceptances
    newest_of: Callable[[str, str, str], NewestBuild | None]
    listed_advisories: int | None
    patching: Mapping[tuple[str, Component, Severity], PatchTally] = field(default_factory=dict)
    measured: tuple[SpeedRun, ...] = ()


def crypto_words(crypto: CryptoUse) -> tuple[str, str, str]:
    """Return family, version and linkage of a crypto use; empty where there is none, ``unknown`` where nobody knows."""
    if crypto.library is None:
        word = "" if crypto.linkage is Linkage.NONE else UNKNOWN
        return word, word, crypto.linkage
    return crypto.library.family, crypto.library.version or UNKNOWN, crypto.linkage


def libc_words(host: Host) -> tuple[str, str]:
    """Return family and version of a host's libc."""
    return host.libc.family, host.libc.version or UNKNOWN


def judged_components(judged: InstallAssessment | CopyAssessment | LibcAssessment) -> frozenset[Component]:
    """Return the components of what was judged for which no finding means that nothing is known to be wrong.

    A copy whose product or version nobody could read is not among them: there a zero would be a claim.
    """
    components = {component for component, _, _ in judged.case.counts}
    library = judged.library
    if library is not None and library.family is CryptoFamily.OPENSSL and library.version is not None:
        components.add(Component.OPENSSL)
    return frozenset(components)


def _branch(build: BuildMark | None) -> tuple[str, str]:
    """Return implementation and release line of a build, as far as they are known."""
    if build is None:
        return UNKNOWN, UNKNOWN
    component = INTERPRETERS.get(build.implementation)
    branch = None if component is None or build.version is None else branch_of(component, build.version)
    return build.implementation, branch or UNKNOWN


def tally_host(view: HostView) -> Tally:
    """Return what one host adds to the fleet's counts."""
    tally: Tally = Counter()
    host = view.host
    release = host.os_release
    arch = host.arch or UNKNOWN
    tally[Count.HOSTS, (release.id or UNKNOWN, release.version_id or UNKNOWN, arch, *libc_words(host))] = 1
    tally[Count.PLATFORMS, (view.platform_digest,)] = 1
    tally[Count.LIBCS, libc_of(host, view.platform)] = 1
    for install in view.installs.installs:
        build = view.build_of(install)
        provider = view.provider_of(install)
        version = (build.version if build is not None else None) or UNKNOWN
        tally[Count.INSTALLS, (install.implementation, version, provider, install.kind)] += 1
        tally[Count.CRYPTO, (*crypto_words(install.crypto), provider)] += 1
    for digest in view.builds:
        tally[Count.BUILDS, (digest,)] = 1
    for copy in view.assessment.copies:
        library, owner = copy.library, copy.copy.owner
        ecosystem, name = ("", "") if owner is None else (owner.ecosystem, owner.name)
        version = library.version or UNKNOWN
        tally[Count.COPIES, (library.family, version, copy.copy.linkage, ecosystem, name)] += 1
    for one in view.assessment.stale_installs:
        tally[Count.STALENESS, (one.kind, one.state, one.provider)] += 1
        if isinstance(one.grounds, ProviderGrounds):
            tally[Count.BRANCHES, (*_branch(one.grounds.build), one.provider, one.state)] += 1
    for tool in view.tools.tools:
        tally[Count.INSTALLERS, (tool.name, tool.version or UNKNOWN, tool.newest_build or UNKNOWN)] = 1
    for judged in view.assessment.subjects:
        for component in judged_components(judged):
            tally[Count.JUDGED, (component, judged.provider)] = 1
        for (component, severity, status), number in judged.case.counts.items():
            tally[Count.FINDINGS, (component, severity, status, judged.provider)] += number
        for judgement in judged.case.judgements:
            advisory = (judgement.advisory, judgement.component, judgement.severity)
            tally[Count.ADVISORIES, advisory] = 1
            if judgement.status is VexStatus.AFFECTED:
                tally[Count.ADVISORY_HOSTS, advisory] = 1
    for covered in view.covered:
        tally[Count.STATEMENTS, (covered.document, covered.statement)] = 1
        if covered.status is VexStatus.AFFECTED:
            tally[Count.ACCEPTED, (covered.component, covered.severity, covered.provider)] += 1
    return tally
