"""Whether an install is the newest that its provider has of the same release line.

python-build-standalone is ordered by the days of its builds, because one tag's name is wrong and the same CPython is
built again with another OpenSSL; a distribution's package by its manager's ordering, against what the catalogue's
tables name; what is built from a release by that. Whoever publishes nothing that the catalogue holds is unknown.
"""

from __future__ import annotations

from functools import cmp_to_key, partial
from typing import TYPE_CHECKING, NamedTuple

from libcensus.collector.posture.backport import PackageEvidence
from libcensus.collector.posture.eol import INTERPRETERS, TITLES
from libcensus.collector.posture.finding import Component
from libcensus.collector.posture.ordering import UnreadableVersionError, is_at_least
from libcensus.collector.posture.remedy import first_uv, pbs_command, remedy_for_package
from libcensus.collector.posture.staleness import StalenessState, StaleVerdict
from libcensus.collector.posture.versions import branch_of, is_before, parse_version
from libcensus.facts.evidence import Evidence
from libcensus.facts.vocabulary import EvidenceKind, Implementation, Installer, PackageOrigin, Provider

if TYPE_CHECKING:
    from datetime import date

    from libcensus.collector.posture.catalogue import Catalogue, PackageFixes, PbsBuild
    from libcensus.collector.posture.staleness import BuildMark
    from libcensus.facts.host import OsRelease
    from libcensus.facts.package import Package

_OF_RELEASES = frozenset({Provider.PYENV, Provider.SOURCE, Provider.DOCKER_OFFICIAL, Provider.UPSTREAM})
"""Those that build each release of the project soon after it, so that the project's releases say what is newest."""

_NEVER_AFFECTED = "0"
"""The version by which distributions' trackers say that a package never had a fault."""


def judge_newest(
    build: BuildMark | None,
    installer: Installer,
    package: Package | None,
    os_release: OsRelease | None,
    catalogue: Catalogue,
    today: date,
) -> StaleVerdict:
    """Return whether an install that stands by itself is behind its provider; ``package`` owns it.

    Only what was published up to ``today`` counts.
    """
    if build is None:
        return _unknown(None, "its files could not be read")
    if package is not None:
        return _judge_package(build, package, os_release, catalogue, today)
    if build.version is None:
        return _unknown(None, "its version could not be read")
    if build.provider is Provider.PBS and build.implementation is Implementation.CPYTHON:
        return _judge_pbs(build, build.version, installer, catalogue, today)
    if build.provider in _OF_RELEASES:
        return _judge_release(build, build.version, catalogue, today)
    if build.provider is Provider.DISTRO:
        return _unknown(name_of(build), "the package that it belongs to is not known")
    if build.provider is Provider.UNKNOWN:
        return _unknown(name_of(build), "who built it is not known")
    return _unknown(name_of(build), f"nothing here tells what {build.provider} has built since")


class NewestBuild(NamedTuple):
    """The newest that a provider has of a release line, and since when; ``provider_build`` is empty without a name."""

    version: str
    provider_build: str
    day: date


def newest_of_line(
    provider: Provider, implementation: Implementation, branch: str, catalogue: Catalogue, today: date
) -> NewestBuild | None:
    """Return the newest build of a release line that a provider had on a day, as :func:`judge_newest` holds against it.

    None where nothing here tells, and for distributions: each of their releases has a newest of its own. The day of one
    that builds each release of the project is that of the release, or of the first build of it that is known.
    """
    if provider is Provider.PBS and implementation is Implementation.CPYTHON:
        known = [one for one in catalogue.pbs_builds if branch in one.cpython and one.date <= today]
        return None if not known else NewestBuild(known[-1].cpython[branch], known[-1].tag, known[-1].date)
    component = INTERPRETERS.get(implementation)
    if provider not in _OF_RELEASES or component is None:
        return None
    newest = _newest_release(component, branch, catalogue, today)
    return None if newest is None else NewestBuild(newest.version, "", newest.day)


def name_of(build: BuildMark) -> str:
    """Return a build in words: product, version, and the provider's own mark."""
    component = INTERPRETERS.get(build.implementation)
    title = build.implementation.value if component is None else TITLES[component]
    mark = "" if build.provider_build is None else f", build {build.provider_build}"
    return f"{title} {build.version or 'of unknown version'}{mark}"


def pbs_build(tag: str | None, catalogue: Catalogue) -> PbsBuild | None:
    """Return the python-build-standalone build of a tag, which may have a time behind the day; None for another."""
    return next((one for one in catalogue.pbs_builds if one.tag == (tag or "")[:8]), None)


def _unknown(has: str | None, reason: str) -> StaleVerdict:
    evidence = Evidence("staleness", EvidenceKind.ABSENCE, "", f"not known, because {reason}")
    return StaleVerdict(StalenessState.UNKNOWN, has, evidence=(evidence,))


def _table(words: str) -> Evidence:
    return Evidence("staleness", EvidenceKind.RELEASE_TABLE, "", words)


# --- python-build-standalone --------------------------------------------------------------------------------------


def _judge_pbs(build: BuildMark, version: str, installer: Installer, catalogue: Catalogue, today: date) -> StaleVerdict:
    has = name_of(build)
    minor = branch_of(Component.CPYTHON, version)
    known = [one for one in catalogue.pbs_builds if minor in one.cpython and one.date <= today]
    if minor is None or not known:
        return _unknown(has, f"the snapshot knows no python-build-standalone build of CPython {minor or version}")
    newest = known[-1]
    own = pbs_build(build.provider_build, catalogue)
    if own is not None:
        has = _name_pbs(own, version)
        later = [one for one in known if one.date > own.date]
        if not later:
            words = f"python-build-standalone {own.tag} of {own.date.isoformat()} is the newest of CPython {minor}"
            return StaleVerdict(StalenessState.CURRENT, has, has, evidence=(_table(f"{words}, {_as_of(catalogue)}"),))
        words = f"{len(later)} builds of CPython {minor} came after {own.tag} of {own.date.isoformat()}, the newest "
        words += f"{newest.tag} of {newest.date.isoformat()}"
        return _behind_pbs(newest, minor, has, later[0].date, installer, catalogue, words)
    read, released = (parse_version(Component.CPYTHON, text) for text in (version, newest.cpython[minor]))
    if read is not None and released is not None and is_before(read, released):
        words = f"which build this is, is unknown; CPython {version} is older than {newest.cpython[minor]}, which "
        return _behind_pbs(newest, minor, has, None, installer, catalogue, f"{words}build {newest.tag} is")
    if build.provider_build is None:
        return _unknown(has, f"nothing tells which build of CPython {version} this is")
    return _unknown(has, f"the snapshot of {catalogue.snapshot_date.isoformat()} knows no build {build.provider_build}")


def _name_pbs(build: PbsBuild, version: str) -> str:
    openssl = "" if build.openssl is None else f" with OpenSSL {build.openssl}"
    return f"CPython {version}, build {build.tag}{openssl}"


def _as_of(catalogue: Catalogue) -> str:
    return f"as far as known on {catalogue.snapshot_date.isoformat()}"


def _behind_pbs(
    newest: PbsBuild,
    minor: str,
    has: str,
    since: date | None,
    installer: Installer,
    catalogue: Catalogue,
    words: str,
) -> StaleVerdict:
    wanted = _name_pbs(newest, newest.cpython[minor])
    command = pbs_command(installer, minor)
    uv = first_uv(catalogue, newest) if installer is Installer.UV else None
    known = f"; uv {uv} is the first to know it" if uv else ""
    remedy = f"install python-build-standalone's {wanted}" if command is None else f"{command} ({wanted}{known})"
    evidence = _table(f"{words}, {_as_of(catalogue)}")
    return StaleVerdict(StalenessState.STALE, has, wanted, since, remedy, (evidence,))


# --- releases of the project --------------------------------------------------------------------------------------


def _judge_release(build: BuildMark, version: str, catalogue: Catalogue, today: date) -> StaleVerdict:
    has = name_of(build)
    component = INTERPRETERS.get(build.implementation)
    title = build.implementation.value if component is None else TITLES[component]
    own = None if component is None else parse_version(component, version)
    branch = None if component is None else branch_of(component, version)
    if component is None or own is None or branch is None:
        return _unknown(has, f"the snapshot holds no releases of {title} that {version} could be compared with")
    newest = _newest_release(component, branch, catalogue, today)
    last = None if newest is None else parse_version(component, newest.version)
    if newest is None or last is None:
        return _unknown(has, f"the snapshot knows no release of {title} {branch}")
    if is_before(last, own):
        return _unknown(has, f"the snapshot knows {title} {newest.version} as the newest of its line, which is older")
    evidence = (_table(f"{newest.words}, {_as_of(catalogue)}"),)
    if is_before(own, last):
        remedy = _release_remedy(build, f"{title} {newest.version}", newest.version)
        since = _next_release(component, version, catalogue, today)
        return StaleVerdict(StalenessState.STALE, has, f"{title} {newest.version}", since, remedy, evidence)
    if not newest.is_followed:
        return _unknown(has, f"nothing here tells what came after {title} {newest.version} on its line")
    return StaleVerdict(StalenessState.CURRENT, has, f"{title} {newest.version}", evidence=evidence)


class _Newest(NamedTuple):
    """The newest release of a line that is known, and how; ``is_followed`` tells whether a later one would be known."""

    version: str
    words: str
    is_followed: bool
    day: date


def _newest_release(component: Component, branch: str, catalogue: Catalogue, today: date) -> _Newest | None:
    found = [
        _Newest(
            one.version, f"{TITLES[component]} {one.version} was released on {one.date.isoformat()}", True, one.date
        )
        for one in catalogue.releases.get(component, {}).values()
        if one.branch == branch and one.date is not None and one.date <= today
    ]
    if component is Component.CPYTHON:
        found += _built_releases(branch, catalogue, today)
    best: _Newest | None = None
    for one in found:
        read = parse_version(component, one.version)
        held = None if best is None else parse_version(component, best.version)
        if read is not None and (held is None or is_before(held, read)):
            best = one
    return best


def _built_releases(branch: str, catalogue: Catalogue, today: date) -> list[_Newest]:
    """Return the releases of a line of CPython that somebody has built: the table of releases has gaps.

    What comes after the last of them is known only while the line is built, or where that was on its last day.
    """
    out = [one for one in catalogue.pbs_builds if one.date <= today]
    own = [one for one in out if branch in one.cpython]
    line = catalogue.branches.get(Component.CPYTHON, {}).get(branch)
    end = None if line is None else line.eol
    is_followed = bool(own) and (own[-1] is out[-1] or (end is not None and own[-1].date >= end))
    return [
        _Newest(
            one.cpython[branch],
            f"python-build-standalone {one.tag} of {one.date.isoformat()} is CPython {one.cpython[branch]}",
            is_followed,
            one.date,
        )
        for one in own
    ]


def _next_release(component: Component, version: str, catalogue: Catalogue, today: date) -> date | None:
    """Return the day of the release after a version; None where the table has a gap there."""
    head, _, patch = version.rpartition(".")
    if not patch.isdigit():
        return None
    release = catalogue.releases.get(component, {}).get(f"{head}.{int(patch) + 1}")
    return None if release is None or release.date is None or release.date > today else release.date


def _release_remedy(build: BuildMark, target: str, version: str) -> str:
    if build.provider is Provider.PYENV:
        return f"pyenv install {version}, then make its environments again"
    if build.provider is Provider.DOCKER_OFFICIAL:
        return f"pull a newer image that holds {target}"
    if build.provider is Provider.SOURCE:
        return f"build {target} in its place"
    return f"install {target} of its project"


# --- packages -----------------------------------------------------------------------------------------------------


def _judge_package(
    build: BuildMark, package: Package, os_release: OsRelease | None, catalogue: Catalogue, today: date
) -> StaleVerdict:
    has = f"{package.name} {package.version}"
    if package.origin is not PackageOrigin.DISTRIBUTION:
        who = package.vendor or "somebody"
        return _unknown(has, f"{who} built the package {package.name}, and nothing here tells what is newest of it")
    component = INTERPRETERS.get(build.implementation)
    told = () if os_release is None else (os_release.id, os_release.version_id)
    system = " ".join(part for part in told if part) or "an unknown system"
    fixes = None
    if component is not None and os_release is not None:
        fixes = PackageEvidence.of(component, package, os_release, None, catalogue).fixes
    if fixes is None:
        return _unknown(has, f"no table here tells the versions of {package.source} that {system} has had")
    if today < fixes.reaches and not fixes.dates:
        return _unknown(has, f"the table of {package.source} does not say since when its versions are there")
    try:
        later = [
            version
            for version in _versions(fixes, today)
            if not is_at_least(package.manager, package.source_version, version)
        ]
        later.sort(key=cmp_to_key(partial(_compare, package.manager)))
    except UnreadableVersionError as error:
        return _unknown(has, str(error))
    reaches = f"{fixes.source}, which reaches {fixes.reaches.isoformat()}"
    if not later:
        words = f"{package.source} {package.source_version} is at least what {system} had newest by {reaches}"
        return StaleVerdict(StalenessState.CURRENT, has, has, evidence=(_table(words),))
    words = f"{system} has had {package.source} {later[-1]} by {reaches}"
    return StaleVerdict(
        StalenessState.STALE,
        has,
        f"{package.source} {later[-1]}",
        fixes.dates.get(later[0]),
        remedy_for_package(package, later[-1]),
        (_table(words),),
    )


def _compare(manager: str, one: str, other: str) -> int:
    return 1 if is_at_least(manager, one, other) else -1


def _versions(fixes: PackageFixes, today: date) -> set[str]:
    """Return the versions of a package that everybody could have had up to a day."""
    paid = {fixes.fixed[advisory] for advisory in fixes.paid if advisory in fixes.fixed}
    versions = {*fixes.fixed.values(), *fixes.dates} - paid - {_NEVER_AFFECTED}
    return {version for version in versions if fixes.dates.get(version, today) <= today}
