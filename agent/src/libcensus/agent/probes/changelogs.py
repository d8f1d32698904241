"""Reads the changelogs of the packages that matter: those that own an interpreter, a crypto library or the libc.

dpkg's packages keep theirs below /usr/share/doc, rpm's in the header; apk and pacman keep none. What is missing or was
cut is said as that: silence of a changelog is no proof in either direction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import shown
from libcensus.agent.packages.changelog import (
    Changelog,
    fixes_of,
    from_version,
    judge_completeness,
    parse_debian_changelog,
    unpack_changelog,
)
from libcensus.agent.probes.context import ProbeSkippedError
from libcensus.facts.changelog import PackageChangelog
from libcensus.facts.vocabulary import ChangelogState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from libcensus.agent.host import Root
    from libcensus.agent.interpreters.candidate import Environment, Interpreter
    from libcensus.agent.probes.context import ScanContext
    from libcensus.agent.probes.skips import Skips
    from libcensus.facts.package import Package

_DOC = "/usr/share/doc"
_DEBIAN_NAMES = ("changelog.Debian.gz", "changelog.Debian", "changelog.gz", "changelog")
"""Debian Policy 12.7: the first two of a package with a version from elsewhere, the others of Debian's own."""

_MAX_PACKED = 8 << 20
_MAX_REASON = 1000


def probe_changelogs(context: ScanContext, skips: Skips) -> None:
    """Read the changelog of each package that an interpreter, a crypto library or the libc belongs to."""
    packages = sorted(set(_packages_of(context)), key=_order)
    if context.packages is None or not packages:
        raise ProbeSkippedError("no package owns an interpreter, a crypto library or the libc here")
    recorded = context.packages.recorded_changelogs(packages)
    for number, package in enumerate(packages):
        context.tell("changelogs", number, len(packages))
        context.changelogs.append(changelog_of(context.root, package, recorded, skips))


def _order(package: Package) -> tuple[str, str, str, str]:
    return package.manager, package.name, package.arch or "", package.version


def _packages_of(context: ScanContext) -> Iterator[Package]:
    if context.host.libc.package is not None:
        yield context.host.libc.package
    installs: list[Interpreter | Environment] = [*context.interpreters, *context.environments]
    for one in installs:
        if one.package is not None:
            yield one.package
    libraries = [*(one.crypto.library for one in installs), *(copy.library for copy in context.copies)]
    for library in libraries:
        if library is not None and library.package is not None:
            yield library.package


def changelog_of(root: Root, package: Package, recorded: Mapping[Package, Changelog], skips: Skips) -> PackageChangelog:
    """Return what a package's changelog says, or why there is nothing to read."""
    if package.manager == "dpkg":
        return _of_dpkg(root, package, skips)
    if package.manager == "rpm":
        return _of_rpm(package, recorded.get(package))
    return PackageChangelog(package, ChangelogState.MISSING, reason="this package manager carries no changelog")


def _of_rpm(package: Package, changelog: Changelog | None) -> PackageChangelog:
    if changelog is None or not changelog.entries:
        return PackageChangelog(package, ChangelogState.MISSING, reason="the package's header holds no changelog")
    state, reason = judge_completeness(changelog, has_notices=False)
    return _told(package, state, reason, changelog)


def _of_dpkg(root: Root, package: Package, skips: Skips) -> PackageChangelog:
    folder = f"{_DOC}/{package.name}"
    if not root.is_folder(folder):
        detail = f"{shown(folder)} is not there; images are often made without documentation"
        return PackageChangelog(package, ChangelogState.MISSING, reason=detail[:_MAX_REASON])
    for name in _DEBIAN_NAMES:
        if not root.is_file(f"{folder}/{name}"):
            continue
        try:
            path = root.realpath(f"{folder}/{name}")
            data = root.read_bytes(path, _MAX_PACKED)
            text = unpack_changelog(data) if data.startswith(b"\x1f\x8b") else data.decode("utf-8", "backslashreplace")
        except UnreadableError as error:
            skips.add_error(error, f"{shown(folder)}/{name}")
            return PackageChangelog(
                package, ChangelogState.UNREADABLE, f"{shown(folder)}/{name}", reason=str(error)[:_MAX_REASON]
            )
        changelog = parse_debian_changelog(text, path)
        if changelog.entries:
            return _of_text(package, changelog)
        # A changelog.gz beside no changelog.Debian.gz is often the upstream project's, in a form of its own.
    detail = f"{shown(folder)} holds no changelog in Debian's form"
    return PackageChangelog(package, ChangelogState.MISSING, reason=detail[:_MAX_REASON])


def _of_text(package: Package, changelog: Changelog) -> PackageChangelog:
    newest = changelog.entries[0]
    entries = from_version(changelog, package.source_version)
    if newest.source != package.source or entries is None:
        installed = f"{package.source} {package.source_version}"
        reason = f"it is that of {newest.source} {newest.version} and has no entry of the installed {installed}"
        return _told(package, ChangelogState.UNKNOWN, reason, changelog, is_its_own=False)
    state, reason = judge_completeness(changelog, has_notices=True)
    return _told(package, state, reason, Changelog(changelog.file, entries, changelog.notice))


def _told(
    package: Package,
    state: ChangelogState,
    reason: str,
    changelog: Changelog,
    *,
    is_its_own: bool = True,
) -> PackageChangelog:
    versions = [shown(entry.version) for entry in changelog.entries if entry.version]
    return PackageChangelog(
        package=package,
        state=state,
        file=shown(changelog.file),
        entries=len(changelog.entries),
        newest=_clipped(versions[:1]),
        oldest=_clipped(versions[-1:]),
        fixes=fixes_of(changelog.entries, package.source_version) if is_its_own else (),
        reason=shown(reason)[:_MAX_REASON],
    )


def _clipped(versions: Iterable[str]) -> str | None:
    return next((version[:256] for version in versions), None)
