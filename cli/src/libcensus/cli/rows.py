"""What the tables of one machine hold: a row for each install, crypto copy, tool, group of processes and root."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from libcensus.cli.assessed import has_ended, last_day, most_urgent, worst_of
from libcensus.cli.terminal import Cell, Column
from libcensus.collector.posture.eol import TITLES
from libcensus.collector.posture.finding import Component, Severity, SupportState, VexStatus
from libcensus.facts.vocabulary import (
    CryptoFamily,
    EnvironmentState,
    Implementation,
    InstallKind,
    Linkage,
    MappingState,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from libcensus.cli.assessed import Assessed
    from libcensus.collector.posture.finding import EndOfLife, Finding
    from libcensus.facts.crypto import CryptoCopy, CryptoLibrary, CryptoUse
    from libcensus.facts.interpreter import Build, Install
    from libcensus.facts.process import ProcessGroup
    from libcensus.facts.root import ScannedRoot
    from libcensus.facts.tool import Tool

SEVERITY_STYLES = {
    Severity.CRITICAL: "bold red",
    Severity.HIGH: "red",
    Severity.MODERATE: "yellow",
    Severity.LOW: "cyan",
    Severity.UNKNOWN: "magenta",
}

_FAMILY_NAMES = {
    CryptoFamily.LIBRESSL: "LibreSSL",
    CryptoFamily.BORINGSSL: "BoringSSL",
    CryptoFamily.AWS_LC: "AWS-LC",
    CryptoFamily.UNKNOWN: "unknown",
}

COMPONENT_NAMES = {**TITLES, Component.CPYTHON: "Python"}

_GONE = frozenset({MappingState.DELETED, MappingState.REPLACED})

_SOON = timedelta(days=180)
"""An end of life that is nearer than this is shown as a warning."""

INSTALL_COLUMNS = (
    Column("Interpreter", is_path=True),
    Column("Version"),
    Column("Provider", yields=4),
    Column("Needs glibc", "glibc", yields=1),
    Column("OpenSSL really used", "OpenSSL", yields=1),
    Column("Worst finding", "Worst", yields=2),
    Column("End of life", "Support ends", yields=3),
)

COPY_COLUMNS = (
    Column("Copy of a crypto library", "Copy", is_path=True),
    Column("Holds"),
    Column("Came with", yields=1),
    Column("Worst finding", "Worst", yields=2),
    Column("End of life", "Support ends", yields=3),
)

TOOL_COLUMNS = (
    Column("Tool", is_path=True),
    Column("Name"),
    Column("Version"),
    Column("Newest Python build known", "Newest build", yields=1),
)

RUNNING_COLUMNS = (
    Column("Runs on what is gone", "Runs", is_path=True),
    Column("Processes"),
    Column("Gone", yields=2),
    Column("For example", "E.g.", yields=1),
)

ROOT_COLUMNS = (
    Column("Other root", is_path=True),
    Column("Kind"),
    Column("System", yields=1),
    Column("Libc", yields=2),
    Column("Interpreters"),
    Column("Is", yields=1),
)


def needed_glibc(build: Build | None) -> str:
    """Return the highest glibc version that a build's files need; ``-`` where they need none."""
    return (None if build is None else build.requirement().glibc) or "-"


def describe_library(library: CryptoLibrary, linkage: Linkage, *, short: bool = False) -> str:
    """Return which crypto library a file holds or reaches, and how: ``3.0.22 system (libssl3)``."""
    name = "" if library.family is CryptoFamily.OPENSSL else f"{_FAMILY_NAMES[library.family]} "
    text = f"{name}{library.version or '?'} {linkage}"
    if library.package is not None and not short:
        text += f" ({library.package.name})"
    return text


def describe_crypto(crypto: CryptoUse, *, short: bool = False) -> str:
    """Return which crypto library an install really uses, and how."""
    if crypto.library is None:
        if crypto.linkage is Linkage.UNRESOLVED and crypto.needed is not None and not short:
            return f"unresolved ({crypto.needed})"
        return crypto.linkage.value
    return describe_library(crypto.library, crypto.linkage, short=short)


def _crypto_cell(crypto: CryptoUse) -> Cell:
    style = {Linkage.STATIC: "yellow", Linkage.BUNDLED: "yellow", Linkage.UNRESOLVED: "red", Linkage.NONE: "dim"}
    return Cell(describe_crypto(crypto), describe_crypto(crypto, short=True), style.get(crypto.linkage, ""))


def _finding_cell(findings: Sequence[Finding], *, is_judged: bool) -> Cell:
    worst = worst_of(findings)
    if worst is not None:
        more = sum(finding.status is VexStatus.AFFECTED for finding in findings) - 1
        severity = "severity unknown" if worst.severity is Severity.UNKNOWN else worst.severity.value
        rest = f" +{more}" if more else ""
        short = "unknown" if worst.severity is Severity.UNKNOWN else worst.severity.value
        return Cell(f"{severity} {worst.advisory}{rest}", f"{short}{rest}", SEVERITY_STYLES[worst.severity])
    unclear = sum(finding.status is VexStatus.UNDER_INVESTIGATION for finding in findings)
    if unclear:
        return Cell(f"{unclear} under investigation", f"{unclear} under inv", "blue")
    return Cell("none", style="green") if is_judged else Cell("-", style="dim")


def _is_judged(library: CryptoLibrary | None) -> bool:
    """Tell whether no finding means that nothing is known to be wrong: OpenSSL of a version that could be read."""
    return library is not None and library.family is CryptoFamily.OPENSSL and library.version is not None


def _support_cell(end: EndOfLife | None, today: date) -> Cell:
    if end is None or (end.state is SupportState.UNKNOWN and end.distribution_until is None):
        return Cell("-", style="dim")
    what = f"{COMPONENT_NAMES[end.component]} {end.branch}"
    ended = "ended" if has_ended(end, today) else ""
    day = last_day(end)
    if day is None:
        return Cell(f"{what} {ended or 'supported'}", ended or "supported", "red" if ended else "")
    style = "red" if ended else "yellow" if day - today < _SOON else ""
    by = "" if end.distribution_until is None else "(distro)"
    full = " ".join(part for part in (what, ended, day.isoformat(), by) if part)
    return Cell(full, " ".join(part for part in (ended, f"{day:%Y-%m}") if part), style)


def _version_text(install: Install, build: Build | None) -> str:
    if build is None:
        # What an environment wrote down when it was made is not what it runs now.
        return "?" if install.recorded_version is None else f"{install.recorded_version} (recorded)"
    version = build.version or "?"
    return version if install.implementation is Implementation.CPYTHON else f"{install.implementation} {version}"


def place_of(assessed: Assessed, root: str, path: str) -> str:
    """Return a path, with the root before it that it lies in where that is not the one that was scanned."""
    return path if root in ("/", assessed.scan.root) else f"{root}:{path}"


def _provider_cell(install: Install, build: Build | None) -> Cell:
    """Return who built an install, and of an environment whether an upgrade of its base would pass it by."""
    is_venv = install.kind is InstallKind.VENV
    if build is None:
        is_dangling = is_venv and install.state is EnvironmentState.DANGLING
        return Cell("dangling venv", "dangling", "red") if is_dangling else Cell("unreadable", style="red")
    if not is_venv:
        return Cell(build.provider.value)
    left_behind = install.state in {EnvironmentState.PINNED, EnvironmentState.COPIED}
    if not left_behind:
        return Cell(f"{build.provider} (venv)", f"{build.provider} venv")
    return Cell(f"{build.provider} ({install.state} venv)", install.state, "yellow")


def install_row(assessed: Assessed, install: Install, today: date, *, under_root: bool = False) -> tuple[Cell, ...]:
    """Return one install as a row of :data:`INSTALL_COLUMNS`; ``under_root``: what stands above tells its root."""
    build = assessed.build_of(install)
    return (
        Cell(install.path if under_root else place_of(assessed, install.root, install.path)),
        Cell(_version_text(install, build)),
        _provider_cell(install, build),
        Cell(needed_glibc(build)),
        _crypto_cell(install.crypto),
        _finding_cell(assessed.findings_on(install), is_judged=_is_judged(install.crypto.library)),
        _support_cell(most_urgent(assessed.ends_on(install)), today),
    )


def copy_row(assessed: Assessed, copy: CryptoCopy, today: date) -> tuple[Cell, ...]:
    """Return one crypto copy as a row of :data:`COPY_COLUMNS`."""
    owner = copy.owner
    brought = Cell("-", style="dim")
    if owner is not None:
        name = " ".join(part for part in (owner.name, owner.version) if part)
        brought = Cell(f"{name} ({owner.ecosystem})", name)
    return (
        Cell(place_of(assessed, copy.root, copy.path)),
        Cell(describe_library(copy.library, copy.linkage), describe_library(copy.library, copy.linkage, short=True)),
        brought,
        _finding_cell(assessed.findings_on(copy), is_judged=_is_judged(copy.library)),
        _support_cell(most_urgent(assessed.ends_on(copy)), today),
    )


def tool_row(assessed: Assessed, tool: Tool) -> tuple[Cell, ...]:
    """Return one tool as a row of :data:`TOOL_COLUMNS`."""
    return (
        Cell(place_of(assessed, tool.root, tool.path)),
        Cell(tool.name),
        Cell(tool.version or "?"),
        Cell(tool.newest_build or "-"),
    )


def running_rows(assessed: Assessed, group: ProcessGroup) -> list[tuple[Cell, ...]]:
    """Return what a group of processes runs on although it is gone, as rows of :data:`RUNNING_COLUMNS`."""
    gone = [
        (f"{one.path} {one.state}", f"{one.path.rpartition('/')[2]} {one.state}", one.processes)
        for one in group.libraries
        if one.state in _GONE
    ]
    if group.state in _GONE:
        gone.insert(0, (f"the executable is {group.state}", f"executable {group.state}", group.processes))
    examples = [f"{one.pid} {one.unit}" if one.unit is not None else str(one.pid) for one in group.examples]
    told = Cell(", ".join(examples) or "-", examples[0] if examples else "-")
    path = Cell(place_of(assessed, group.root, group.install or group.executable))
    return [(path, Cell(str(number)), Cell(full, short, "red"), told) for full, short, number in gone]


def root_row(assessed: Assessed, root: ScannedRoot) -> tuple[Cell, ...]:
    """Return one root as a row of :data:`ROOT_COLUMNS`."""
    release, container = root.os_release, root.container
    system = " ".join(part for part in (release.id, release.version_id) if part) or "unknown"
    libc = f"{root.libc.family} {root.libc.version or ''}".rstrip()
    number = sum(install.root == root.name for install in assessed.scan.installs.installs)
    what, short = ", ".join(root.tags), None
    if container is not None:
        named = container.name or (container.id or "")[:12]
        short = f"{container.runtime} {named}".rstrip()
        what = short if container.image is None else f"{short} of {container.image}"
    if root.created is not None:
        what = f"{what}, made {root.created}".removeprefix(", ")
    return (
        Cell(root.name),
        Cell(root.kind),
        Cell(f"{release.pretty_name or system}, {root.arch or 'unknown architecture'}", system),
        Cell(libc),
        Cell(str(number)),
        Cell(what or "-", short or what or "-"),
    )
