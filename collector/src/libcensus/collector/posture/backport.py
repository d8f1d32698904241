"""What a distribution's own evidence says of an advisory that upstream's version would not settle.

A distribution puts fixes in without changing upstream's version. Its evidence is, in this order: the changelog inside
the installed package, which names what that very package fixes; then a table or feed that tells which version fixed an
advisory first, compared by the package manager's ordering. Silence proves only as much as its source can: that of a
complete changelog, or of a table that knows the day, means open; that of a changelog which was cut means nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from libcensus.collector.posture.finding import Component, VexStatus
from libcensus.collector.posture.ordering import UnreadableVersionError, is_at_least
from libcensus.facts.evidence import Evidence
from libcensus.facts.vocabulary import ChangelogState, EvidenceKind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from libcensus.collector.posture.catalogue import Catalogue, PackageFixes
    from libcensus.facts.changelog import ChangelogFix, PackageChangelog
    from libcensus.facts.host import OsRelease
    from libcensus.facts.package import Package

_OWN_SOURCES: Mapping[Component, re.Pattern[str]] = {
    Component.OPENSSL: re.compile(r"(?:compat-)?openssl[\d.-]*"),
    Component.CPYTHON: re.compile(r"python[\d.]*"),
    Component.GLIBC: re.compile(r"e?glibc"),
    Component.NODEJS: re.compile(r"nodejs[\d.-]*"),
}
"""The source packages that are a component. What others hold of it inside is theirs to tell, and mostly untold."""

_NEVER_AFFECTED = "0"
"""The version by which distributions' trackers say that a package never had the fault."""

_NAMES_ALL_MANAGERS = frozenset({"dpkg"})
"""Where a complete changelog names each fix: Debian's, in all 316 matches of three releases that were looked at."""

_NAMES_ALL_RPM = frozenset({"8"})
"""Releases of Enterprise Linux whose changelogs name each fix; those of 9 name four in five."""


@dataclass(frozen=True, slots=True)
class PackageEvidence:
    """What there is to read about an installed package: its changelog, and the table of its distribution."""

    package: Package
    os_release: OsRelease
    changelog: PackageChangelog | None
    fixes: PackageFixes | None
    is_own: bool = True

    @classmethod
    def of(
        cls,
        component: Component,
        package: Package,
        os_release: OsRelease,
        changelog: PackageChangelog | None,
        catalogue: Catalogue,
    ) -> PackageEvidence:
        """Return the evidence of the distribution that os-release names about a component in one of its packages.

        ``is_own`` says that the package is that component, and not one that holds a copy of it.
        """
        own = _OWN_SOURCES.get(component)
        is_own = own is not None and own.fullmatch(package.source) is not None
        fixes = _fixes_of(package, os_release, catalogue) if is_own else None
        return cls(package, os_release, changelog, fixes, is_own)


@dataclass(frozen=True, slots=True)
class BackportVerdict:
    """The distribution's answer: ``fixed_in`` is the package version that fixes first, where one is known.

    ``available`` is the day since which a package with the fix could be had. ``is_paid`` marks a fix that only paying
    customers get.
    """

    status: VexStatus
    fixed_in: str | None
    evidence: Evidence
    is_paid: bool = False
    available: date | None = None


def judge_backport(
    advisory: str,
    published: date,
    known: PackageEvidence,
    *,
    introduced: str | None = None,
    in_range: bool = True,
    has_fault: bool = True,
) -> BackportVerdict:
    """Return whether a package of a distribution has the fix of an advisory.

    ``introduced`` is the upstream version from which on the advisory holds: a changelog that reaches back that far is
    complete for it, whatever was cut before. ``in_range`` says that upstream's range holds the package's version;
    without it (a branch that upstream does not look at any more) silence proves nothing. Nor does it where upstream
    does not say from which version on the fault is there (``has_fault`` false): maybe no fix is named because none is
    needed.
    """
    named = _named(advisory, known.changelog)
    listed = _listed(advisory, known)
    if named is not None:
        available = _available(named.version, known)
        return BackportVerdict(VexStatus.FIXED, named.version, _said(known, named), available=available)
    if isinstance(listed, BackportVerdict):
        if listed.fixed_in is None or listed.is_paid:
            return listed
        return replace(listed, available=_available(listed.fixed_in, known))
    if not in_range:
        return _open_question(known, "upstream did not assess this branch, and the distribution does not name it")
    if not has_fault:
        return _open_question(known, "upstream does not say since when the fault is there, and no fix of it is named")
    if _is_silence_proof(known, introduced):
        return BackportVerdict(VexStatus.AFFECTED, None, _silence(known, introduced))
    if listed is not None:
        return _open_question(known, listed)
    fixes = known.fixes
    if fixes is not None and fixes.is_complete and published <= fixes.reaches:
        words = f"{fixes.source}, known up to {fixes.reaches.isoformat()}, names no fix of it"
        return BackportVerdict(VexStatus.AFFECTED, None, Evidence("fix", EvidenceKind.ADVISORY, "", words))
    return _open_question(known, _why_open(known, published))


def is_listed_as_open(advisory: str, known: PackageEvidence) -> bool:
    """Tell whether the distribution's table names a later package version as the first with the fix.

    Upstream's ranges can end too early, where a first fix was not the whole one.
    """
    listed = _listed(advisory, known)
    return isinstance(listed, BackportVerdict) and listed.status is VexStatus.AFFECTED


def _fixes_of(package: Package, os_release: OsRelease, catalogue: Catalogue) -> PackageFixes | None:
    distribution, release = os_release.id, os_release.version_id
    if distribution is None or release is None:
        return None
    # Enterprise Linux says 9.4 where its errata are about 9, Alpine 3.22.1 where its are about 3.22.
    kept = {"rpm": 1, "apk": 2}.get(package.manager)
    for name in (release, ".".join(release.split(".")[:kept])):
        found = catalogue.package_fixes.get((distribution, name, package.source))
        if found is not None and found.manager == package.manager:
            return found
    return None


def _named(advisory: str, changelog: PackageChangelog | None) -> ChangelogFix | None:
    if changelog is None:
        return None
    return next((fix for fix in changelog.fixes if fix.advisory == advisory), None)


def _listed(advisory: str, known: PackageEvidence) -> BackportVerdict | str | None:
    """Return what the table says of the installed version; the reason where it cannot be compared, None for silence."""
    fixes, package = known.fixes, known.package
    first = None if fixes is None else fixes.fixed.get(advisory)
    if fixes is None or first is None:
        return None
    if first == _NEVER_AFFECTED:
        words = f"{fixes.source}: {package.source} was never affected"
        return BackportVerdict(VexStatus.NOT_AFFECTED, None, Evidence("fix", EvidenceKind.ADVISORY, "", words))
    try:
        has_it = is_at_least(package.manager, package.source_version, first)
    except UnreadableVersionError as error:
        return str(error)
    is_paid = advisory in fixes.paid
    paid = " for paying customers" if is_paid else ""
    words = f"{fixes.source}: {package.source} {first} fixes it{paid}; installed is {package.source_version}"
    status = VexStatus.FIXED if has_it else VexStatus.AFFECTED
    return BackportVerdict(status, first, Evidence("fix", EvidenceKind.ADVISORY, "", words), is_paid)


def _available(first: str, known: PackageEvidence) -> date | None:
    """Return the day of the release's first package version that has a fix, where the days are known."""
    if known.fixes is None:
        return None
    manager = known.package.manager
    try:
        days = [day for version, day in known.fixes.dates.items() if is_at_least(manager, version, first)]
    except UnreadableVersionError:
        return None
    return min(days, default=None)


def _is_silence_proof(known: PackageEvidence, introduced: str | None) -> bool:
    """Tell whether a fix that the changelog does not name is known not to be in the package."""
    changelog = known.changelog
    if changelog is None or not known.is_own or changelog.package != known.package:
        return False
    if changelog.state is not ChangelogState.COMPLETE and not _reaches_back(changelog, introduced):
        return False
    if known.package.manager in _NAMES_ALL_MANAGERS:
        return True
    major = (known.os_release.version_id or "").partition(".")[0]
    return known.package.manager == "rpm" and major in _NAMES_ALL_RPM and _is_enterprise(known.os_release)


def _reaches_back(changelog: PackageChangelog, introduced: str | None) -> bool:
    """Tell whether a changelog has every entry since the upstream version with which a fault came.

    Whoever shortens a changelog cuts off its end: Debian removes what is older than the release before the last.
    """
    if introduced is None or changelog.oldest is None:
        return False
    manager = changelog.package.manager
    upstream = changelog.oldest.partition(":")[2] or changelog.oldest
    try:
        return is_at_least(manager, introduced, upstream.rpartition("-")[0] or upstream)
    except UnreadableVersionError:
        return False


def _is_enterprise(os_release: OsRelease) -> bool:
    return "rhel" in {os_release.id, *os_release.id_like}


def _said(known: PackageEvidence, fix: ChangelogFix) -> Evidence:
    where = "" if known.changelog is None else known.changelog.file or ""
    words = f"the changelog of {known.package.name} {known.package.version}, at {fix.version}: {fix.text}"
    return Evidence("fix", EvidenceKind.CHANGELOG, where, words[:1000])


def _silence(known: PackageEvidence, introduced: str | None) -> Evidence:
    changelog = known.changelog
    where = "" if changelog is None else changelog.file or ""
    words = f"the changelog of {known.package.name} {known.package.version} names no fix"
    if changelog is not None and changelog.state is ChangelogState.COMPLETE:
        words += f" and is complete ({changelog.entries} entries)"
    elif changelog is not None:
        words += f" and reaches back to {changelog.oldest}, before {introduced}, with which the fault came"
    return Evidence("fix", EvidenceKind.CHANGELOG, where, words)


def _why_open(known: PackageEvidence, published: date) -> str:
    changelog = known.changelog
    if not known.is_own:
        return f"what {known.package.source} holds inside is named in no changelog or table for certain"
    if changelog is None:
        told = "its changelog was not read"
    elif changelog.state is ChangelogState.COMPLETE:
        told = "its changelog does not name it, and this distribution's do not name every fix"
    else:
        told = f"its changelog is {changelog.state.value}" + (f" ({changelog.reason})" if changelog.reason else "")
    fixes = known.fixes
    if fixes is None:
        return f"{told}, and no table or feed has this package"
    if published > fixes.reaches:
        return f"{told}, and {fixes.source} is known up to {fixes.reaches.isoformat()} only"
    return f"{told}, and {fixes.source} does not list every fix"


def _open_question(known: PackageEvidence, why: str) -> BackportVerdict:
    owner = f"{known.package.name} {known.package.version}"
    words = f"{owner} is the distribution's, which may have put the fix in: {why}"
    return BackportVerdict(VexStatus.UNDER_INVESTIGATION, None, Evidence("fix", EvidenceKind.ABSENCE, "", words[:1000]))
