"""Which advisories hold for a copy of OpenSSL or for an interpreter, and what brings the fix.

Upstream's ranges decide for a copy that no distribution owns: its version is exact. Where the distribution owns the
file, the number says little, because fixes are put in without changing it: upstream's range may say that there is
nothing to fix, and everything else is for the distribution's own evidence (:mod:`.backport`). Branches that upstream
did not look at are not assessed, which is not safe either. Forks never take OpenSSL's advisories.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING

from libcensus.collector.posture.backport import is_listed_as_open, judge_backport
from libcensus.collector.posture.eol import TITLES, branch_state, supported_branches
from libcensus.collector.posture.finding import Clocks, Component, Judgement, SupportState, VexStatus
from libcensus.collector.posture.remedy import (
    Circumstances,
    first_uv,
    is_pbs_copy,
    pbs_fix,
    pbs_with,
    remedy_for_affected,
    remedy_for_nodejs,
    remedy_for_package,
    remedy_for_python,
)
from libcensus.collector.posture.versions import OpensslVersion, is_before, parse_version
from libcensus.facts.crypto import CryptoUse
from libcensus.facts.evidence import Evidence
from libcensus.facts.vocabulary import (
    CryptoFamily,
    EvidenceKind,
    Implementation,
    Installer,
    Linkage,
    PackageOrigin,
    Provider,
)

if TYPE_CHECKING:
    from datetime import date

    from libcensus.collector.posture.backport import BackportVerdict, PackageEvidence
    from libcensus.collector.posture.catalogue import Advisory, AffectedRange, Catalogue, PbsBuild
    from libcensus.collector.posture.versions import ComponentVersion
    from libcensus.facts.package import Package


class Authority(Enum):
    """Whose word decides about a copy."""

    UPSTREAM = auto()
    DISTRIBUTION = auto()
    NOBODY = auto()


class Placement(Enum):
    """Where a version stands in an advisory."""

    INSIDE = auto()
    OUTSIDE = auto()
    UNCLEAR = auto()
    """A pre-release on the edge of a range: the source lists releases only."""
    NOT_ASSESSED = auto()


@dataclass(frozen=True, slots=True)
class Copy:
    """A component with a version that can be read: what is common to all its places.

    ``linkage`` is that of a library, absent for an interpreter itself.
    """

    component: Component
    text: str
    version: ComponentVersion
    linkage: Linkage | None
    package: Package | None


def authority_of(linkage: Linkage | None, package: Package | None) -> Authority:
    """Return whose word decides about a copy that this package owns.

    A package of a third party only uses the distribution's format: upstream decides. A file that a package owns
    whose origin cannot be told is nobody's.
    """
    if package is None:
        return Authority.NOBODY if linkage is Linkage.SYSTEM else Authority.UPSTREAM
    if package.origin is PackageOrigin.DISTRIBUTION:
        return Authority.DISTRIBUTION
    return Authority.UPSTREAM if package.origin is PackageOrigin.VENDOR else Authority.NOBODY


def place(version: ComponentVersion, advisory: Advisory, catalogue: Catalogue) -> Placement:
    """Return where a version stands in an advisory.

    A branch that the advisory does not list is outside only if the source looked at it on the day of publication; a
    branch that began later holds the fix from its first release on.
    """
    found = advisory.range_of(version.branch)
    if found is not None:
        inside = _contains(advisory.component, found, version)
        # OpenSSL's records list releases only; CPython's pre-releases are in its own.
        if isinstance(version, OpensslVersion) and (
            _contains(advisory.component, found, version.release) is not inside
        ):
            return Placement.UNCLEAR
        return _placement(inside=inside)
    if advisory.assessed is None or version.branch in advisory.assessed:
        return Placement.OUTSIDE
    branch = catalogue.branches.get(advisory.component, {}).get(version.branch)
    begun = _first_day(advisory.component, version.branch, catalogue) if branch is None else branch.released
    if begun is None or begun > advisory.published:
        return Placement.OUTSIDE
    return Placement.NOT_ASSESSED


def judge_openssl(
    circumstances: Circumstances,
    catalogue: Catalogue,
    today: date,
    *,
    package: Package | None,
    known: PackageEvidence | None = None,
) -> tuple[Judgement, ...]:
    """Return every advisory that holds, or may hold, or was fixed by the distribution, for an install's OpenSSL.

    They are sorted by id. ``package`` owns the file that holds the code, and ``known`` is what there is to read about
    it, where it is a distribution's. Nothing is returned for a fork, for a copy of unknown version, and
    where there is no copy: :mod:`~libcensus.collector.posture.eol` says that the state is unknown then.
    """
    use = circumstances.crypto
    if use.library is None or use.library.family is not CryptoFamily.OPENSSL or use.library.version is None:
        return ()
    text = use.library.version
    return _judge_all(Component.OPENSSL, text, use.linkage, package, circumstances, catalogue, today, known)


def judge_cpython(
    circumstances: Circumstances,
    catalogue: Catalogue,
    today: date,
    *,
    package: Package | None,
    known: PackageEvidence | None = None,
) -> tuple[Judgement, ...]:
    """Return every advisory that holds, or may hold, or was fixed by the distribution, for a CPython itself.

    They are sorted by id. ``package`` owns the interpreter, and ``known`` is what there is to read about it, where it
    is a distribution's.
    """
    return _judge_interpreter(Component.CPYTHON, circumstances, catalogue, today, package, known)


def judge_nodejs(
    circumstances: Circumstances,
    catalogue: Catalogue,
    today: date,
    *,
    package: Package | None,
    known: PackageEvidence | None = None,
) -> tuple[Judgement, ...]:
    """Return every advisory that holds, or may hold, or was fixed by the distribution, for a Node.js itself.

    They are sorted by id. What is wrong with the OpenSSL inside is told by :func:`judge_openssl` alone. ``package``
    owns the interpreter, and ``known`` is what there is to read about it, where it is a distribution's.
    """
    return _judge_interpreter(Component.NODEJS, circumstances, catalogue, today, package, known)


_IMPLEMENTATIONS = {Component.CPYTHON: Implementation.CPYTHON, Component.NODEJS: Implementation.NODEJS}


def _judge_interpreter(
    component: Component,
    circumstances: Circumstances,
    catalogue: Catalogue,
    today: date,
    package: Package | None,
    known: PackageEvidence | None,
) -> tuple[Judgement, ...]:
    if circumstances.implementation is not _IMPLEMENTATIONS[component] or circumstances.version is None:
        return ()
    # A distribution's build whose package nobody could tell is judged by nobody's number.
    linkage = Linkage.SYSTEM if circumstances.provider is Provider.DISTRO and package is None else None
    found = _judge_all(component, circumstances.version, linkage, package, circumstances, catalogue, today, known)
    return tuple(replace(judgement, linkage=None) for judgement in found)


def judge_glibc(
    version: str, catalogue: Catalogue, today: date, *, package: Package | None, known: PackageEvidence | None = None
) -> tuple[Judgement, ...]:
    """Return every advisory that holds, or may hold, or was fixed by the distribution, for a host's glibc.

    They are sorted by id. ``version`` is glibc's own, and ``package`` owns it.
    """
    circumstances = Circumstances(
        CryptoUse(Linkage.NONE), Provider.UNKNOWN, Installer.UNKNOWN, None, None, Implementation.UNKNOWN
    )
    # A host's C library is its distribution's, also where no record says which package it is.
    linkage = Linkage.SYSTEM if package is None else None
    found = _judge_all(Component.GLIBC, version, linkage, package, circumstances, catalogue, today, known)
    return tuple(replace(judgement, linkage=None) for judgement in found)


def _judge_all(
    component: Component,
    text: str,
    linkage: Linkage | None,
    package: Package | None,
    circumstances: Circumstances,
    catalogue: Catalogue,
    today: date,
    known: PackageEvidence | None,
) -> tuple[Judgement, ...]:
    version = parse_version(component, text)
    if version is None:
        return ()
    copy = Copy(component, text, version, linkage, package)
    judgements = []
    for advisory in catalogue.advisories:
        if advisory.component is not component:
            continue
        placement = place(version, advisory, catalogue)
        if placement is Placement.OUTSIDE and not (known is not None and is_listed_as_open(advisory.id, known)):
            continue
        if placement is not Placement.INSIDE and advisory.windows_only:
            continue
        judgements.append(_judge(copy, advisory, placement, circumstances, catalogue, today, known))
    return tuple(sorted(judgements, key=lambda judgement: judgement.advisory))


def _placement(*, inside: bool) -> Placement:
    return Placement.INSIDE if inside else Placement.OUTSIDE


def _contains(component: Component, found: AffectedRange, version: ComponentVersion) -> bool:
    """Tell whether a version lies in a range; the catalogue's loader made sure that both ends can be read."""
    introduced = parse_version(component, found.introduced)
    fixed = None if found.fixed is None else parse_version(component, found.fixed)
    if introduced is None or is_before(version, introduced):
        return False
    return fixed is None or is_before(version, fixed)


def _first_day(component: Component, branch: str, catalogue: Catalogue) -> date | None:
    """Return the day of a branch's first release, for branches older than any life cycle that was written down."""
    releases = catalogue.releases.get(component, {}).values()
    return min((item.date for item in releases if item.branch == branch and item.date is not None), default=None)


def _judge(
    copy: Copy,
    advisory: Advisory,
    placement: Placement,
    circumstances: Circumstances,
    catalogue: Catalogue,
    today: date,
    known: PackageEvidence | None,
) -> Judgement:
    found = advisory.range_of(copy.version.branch)
    fixed_in = None if found is None else found.fixed
    evidence = [_advisory_evidence(copy, advisory, found, catalogue)]
    fix: _Fix | None = None
    remedy: str | None = None
    authority = authority_of(copy.linkage, copy.package)
    if advisory.windows_only:
        status = VexStatus.NOT_AFFECTED
        evidence.append(
            _note(f"{advisory.id} holds on Windows only, by {TITLES[copy.component]}'s own record; this is not Windows")
        )
    elif placement is Placement.INSIDE and authority is Authority.UPSTREAM:
        status = VexStatus.AFFECTED
        fix = _fix(copy, advisory, found, circumstances, catalogue, today)
        remedy = fix.remedy
        evidence.extend(fix.proof)
    elif authority is Authority.DISTRIBUTION and known is not None:
        verdict = judge_backport(
            advisory.id,
            advisory.published,
            known,
            introduced=None if found is None else found.introduced,
            in_range=placement is Placement.INSIDE,
            # OpenSSL's few assumed beginnings are those of their branches, and were held against its packages.
            has_fault=copy.component is Component.OPENSSL or (found is not None and not found.introduced_assumed),
        )
        status, fixed_in = verdict.status, verdict.fixed_in
        evidence.append(verdict.evidence)
        remedy = _remedy_of_distribution(verdict, known.package)
        # What the distribution publishes can be installed on the same day.
        fix = _Fix(remedy, verdict.available, verdict.available)
    else:
        status = VexStatus.UNDER_INVESTIGATION
        evidence.append(_note(_doubt(copy, advisory, placement, authority, catalogue)))
        if authority is Authority.UPSTREAM:
            # Whether and when it would be a fix is not known; leaving the unassessed branch is the way all the same.
            remedy = _fix(copy, advisory, found, circumstances, catalogue, today).remedy
        elif copy.package is not None:
            remedy = remedy_for_package(copy.package)
    return Judgement(
        component=copy.component,
        linkage=copy.linkage,
        advisory=advisory.id,
        severity=advisory.severity,
        status=status,
        fixed_in=fixed_in,
        fix_available=None if fix is None else fix.built,
        remedy=remedy,
        evidence=tuple(evidence),
        clocks=Clocks(
            advisory.published,
            _released(copy.component, None if found is None else found.fixed, catalogue),
            None if fix is None else fix.built,
            None if fix is None else fix.installable,
        ),
    )


@dataclass(frozen=True, slots=True)
class _Fix:
    """What brings a fix, since when it was built and could be installed, and the proof."""

    remedy: str | None
    built: date | None = None
    installable: date | None = None
    proof: tuple[Evidence, ...] = ()


def _released(component: Component, version: str | None, catalogue: Catalogue) -> date | None:
    release = None if version is None else catalogue.releases.get(component, {}).get(version)
    return None if release is None else release.date


def _remedy_of_distribution(verdict: BackportVerdict, package: Package) -> str | None:
    """Return what the distribution has to offer; nothing where it is fixed."""
    if verdict.status in {VexStatus.FIXED, VexStatus.NOT_AFFECTED}:
        return None
    if verdict.status is VexStatus.AFFECTED and verdict.fixed_in is None:
        return f"no fix published by the distribution for {package.source} {package.source_version}"
    if verdict.is_paid:
        return f"the fix is for the distribution's paying customers only: {package.source} {verdict.fixed_in}"
    return remedy_for_package(package, verdict.fixed_in)


def _note(words: str) -> Evidence:
    return Evidence("finding", EvidenceKind.ADVISORY, "", words)


def _advisory_evidence(copy: Copy, advisory: Advisory, found: AffectedRange | None, catalogue: Catalogue) -> Evidence:
    words = f"{advisory.id}, {advisory.severity.value}, published {advisory.published.isoformat()}"
    words += " (inferred)" if advisory.published_inferred else ""
    name = TITLES[copy.component]
    if found is None:
        words += f", does not list {name} {copy.version.branch}"
    else:
        words += f", affects {name} {found.branch} from {found.introduced}"
        words += " (assumed: the source names no beginning)" if found.introduced_assumed else ""
        words += " on, without a fixed release" if found.fixed is None else f" to before {found.fixed}"
        words += " (inferred)" if found.fixed_inferred else ""
        words += f"; version here {copy.text}"
    source = advisory.source if found is None or found.source is None else f"{advisory.source} and {found.source}"
    reach = catalogue.reaches.get(copy.component.value, catalogue.snapshot_date).isoformat()
    return _note(f"{words}; by {source}, as far as known on {reach}")


def _doubt(copy: Copy, advisory: Advisory, placement: Placement, authority: Authority, catalogue: Catalogue) -> str:
    """Return why no verdict is given, the strongest reason first."""
    if authority is Authority.DISTRIBUTION and copy.package is not None:
        owner = f"{copy.package.name} {copy.package.version}"
        return (
            f"{owner} is the distribution's: it may have put the fix in without changing {TITLES[copy.component]}'s "
            "version, and which distribution this is could not be told"
        )
    if authority is Authority.NOBODY:
        owner = "the file's package" if copy.package is None else f"{copy.package.name} {copy.package.version}"
        return f"who built {owner} is unknown, so it is unknown whose fixes it has"
    if placement is Placement.UNCLEAR:
        return f"{copy.text} is a pre-release on the edge of the range; the source lists releases only"
    branch = catalogue.branches.get(copy.component, {}).get(copy.version.branch)
    name = f"{TITLES[copy.component]} {copy.version.branch}"
    if branch is not None and branch_state(branch, advisory.published) is SupportState.SUPPORTED:
        return f"the snapshot's source ({advisory.source}) was not read for {name}, so nothing is known about it"
    if branch is not None and branch.eol is not None:
        ended = branch.eol.isoformat()
        return f"{name} was supported up to {ended}; upstream did not assess it any more: not listed is not safe"
    return f"{name} has no known end of support, and upstream does not list it: not listed is not safe"


def _fix(
    copy: Copy,
    advisory: Advisory,
    found: AffectedRange | None,
    circumstances: Circumstances,
    catalogue: Catalogue,
    today: date,
) -> _Fix:
    """Return what brings the fix to a copy of upstream's, and since when its provider has had it."""
    fixed = None if found is None else found.fixed
    if copy.component is Component.GLIBC:
        return _Fix("no fix published for glibc" if fixed is None else f"a host whose glibc is {fixed} or newer")
    if copy.component is Component.CPYTHON:
        return _python_fix(copy, fixed, circumstances, catalogue)
    if copy.component is Component.NODEJS:
        branches = supported_branches(catalogue, Component.NODEJS, today)
        remedy = remedy_for_nodejs(circumstances, fixed, branches, copy.package)
        return _upstream_days(remedy, copy, fixed, circumstances, catalogue)
    if is_pbs_copy(circumstances, copy.package):
        build = pbs_fix(circumstances, catalogue, lambda text: _is_fixed(text, advisory, catalogue))
        remedy = remedy_for_affected(circumstances, catalogue, pbs=build)
        if build is None:
            return _Fix(remedy)
        proof = _table(
            f"python-build-standalone {build.tag} of {build.date.isoformat()} carries OpenSSL {build.openssl}"
        )
        return _pbs_days(remedy, build, circumstances, catalogue, proof)
    premium = fixed is not None and fixed in advisory.premium_only_fixes
    unfixed = f"OpenSSL {fixed} fixes it for customers of premium support only" if premium else "no fix published"
    if found is None:
        unfixed = f"OpenSSL {copy.version.branch} is not assessed"
    remedy = remedy_for_affected(
        circumstances,
        catalogue,
        package=copy.package,
        fixed=None if premium else fixed,
        unfixed=unfixed,
        supported=supported_branches(catalogue, Component.OPENSSL, today),
    )
    return _upstream_days(remedy, copy, None if premium else fixed, circumstances, catalogue)


def _python_fix(copy: Copy, fixed: str | None, circumstances: Circumstances, catalogue: Catalogue) -> _Fix:
    """Return what brings a fixed CPython of the same line, and since when its provider has had it."""
    end = None if fixed is None else parse_version(Component.CPYTHON, fixed)
    if circumstances.provider is Provider.PBS and copy.package is None and end is not None:
        build = pbs_with(circumstances, catalogue, lambda text: _has_reached(text, end))
        remedy = remedy_for_python(circumstances, catalogue, fixed, pbs=build)
        if build is None:
            return _Fix(remedy)
        words = f"python-build-standalone {build.tag} of {build.date.isoformat()} is CPython "
        return _pbs_days(remedy, build, circumstances, catalogue, _table(words + build.cpython[copy.version.branch]))
    remedy = remedy_for_python(circumstances, catalogue, fixed, package=copy.package)
    return _upstream_days(remedy, copy, fixed, circumstances, catalogue)


def _pbs_days(
    remedy: str, build: PbsBuild, circumstances: Circumstances, catalogue: Catalogue, proof: Evidence
) -> _Fix:
    """Return the fix by a build of python-build-standalone, with the day of the first uv that knows it."""
    uv = first_uv(catalogue, build) if circumstances.installer is Installer.UV else None
    day = None if uv is None else catalogue.uv_dates.get(uv)
    if day is None:
        return _Fix(remedy, build.date, None, (proof,))
    known = _table(f"uv {uv} of {day.isoformat()} is the first to know the build {build.tag}")
    return _Fix(remedy, build.date, max(day, build.date), (proof, known))


def _upstream_days(
    remedy: str, copy: Copy, fixed: str | None, circumstances: Circumstances, catalogue: Catalogue
) -> _Fix:
    """Return the fix by an upstream release, which counts as the provider's own where it is built on the spot."""
    release = None if fixed is None else catalogue.releases.get(copy.component, {}).get(fixed)
    if release is None or release.date is None:
        return _Fix(remedy)
    words = f"{TITLES[copy.component]} {release.version} was released on {release.date.isoformat()}"
    proof = _table(words + (" (inferred)" if release.date_inferred else ""))
    if _is_built_on_the_spot(copy, circumstances):
        return _Fix(remedy, release.date, release.date, (proof,))
    maker = circumstances.provider.value if circumstances.owner is None else circumstances.owner.ecosystem
    if copy.package is not None:
        maker = f"the third party behind {copy.package.name}"
    unknown = "whoever made it" if maker == Provider.UNKNOWN else maker
    words = f"no source tells since when {unknown} has had the fix"
    return _Fix(remedy, None, None, (proof, Evidence("fix", EvidenceKind.ABSENCE, "", words)))


def _is_built_on_the_spot(copy: Copy, circumstances: Circumstances) -> bool:
    """Tell whether those who use a copy built it themselves: upstream's release is all that they have to wait for."""
    if copy.package is not None or circumstances.owner is not None:
        return False
    if copy.component in _IMPLEMENTATIONS and circumstances.provider is Provider.UPSTREAM:
        return True
    return circumstances.provider in {Provider.PYENV, Provider.SOURCE} or copy.linkage is Linkage.LOCAL


def _table(words: str) -> Evidence:
    return Evidence("fix", EvidenceKind.RELEASE_TABLE, "", words)


def _has_reached(text: str, end: ComponentVersion) -> bool:
    version = parse_version(Component.CPYTHON, text)
    return version is not None and not is_before(version, end)


def _is_fixed(text: str, advisory: Advisory, catalogue: Catalogue) -> bool:
    version = parse_version(advisory.component, text)
    return version is not None and place(version, advisory, catalogue) is Placement.OUTSIDE
