"""How one machine is told to people: its facts in a line, its interpreters in a table, what is wrong in counts."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

from libcensus.cli.assessed import has_ended, is_about, last_day, most_urgent, worst_of
from libcensus.cli.terminal import Cell, Column
from libcensus.collector.posture.finding import Component, Severity, SupportState, VexStatus
from libcensus.collector.posture.verdict import PortabilityState
from libcensus.facts.vocabulary import (
    ChangelogState,
    CryptoFamily,
    Implementation,
    InstallKind,
    Linkage,
    MappingState,
    ProbeState,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date, datetime

    from libcensus.cli.assessed import Assessed
    from libcensus.cli.terminal import Output
    from libcensus.collector.posture.finding import EndOfLife, Finding, Subject
    from libcensus.collector.service.fleet_codec import HostSummary
    from libcensus.facts.crypto import CryptoCopy, CryptoLibrary, CryptoUse
    from libcensus.facts.evidence import Evidence
    from libcensus.facts.host import Host
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

_STATUS_WORDS = {
    VexStatus.AFFECTED: "affected",
    VexStatus.UNDER_INVESTIGATION: "under investigation",
    VexStatus.FIXED: "fixed",
    VexStatus.NOT_AFFECTED: "not affected",
}

_FAMILY_NAMES = {
    CryptoFamily.LIBRESSL: "LibreSSL",
    CryptoFamily.BORINGSSL: "BoringSSL",
    CryptoFamily.AWS_LC: "AWS-LC",
    CryptoFamily.UNKNOWN: "unknown",
}

COMPONENT_NAMES = {
    Component.OPENSSL: "OpenSSL",
    Component.CPYTHON: "Python",
    Component.NODEJS: "Node.js",
    Component.GLIBC: "glibc",
    Component.LIBRESSL: "LibreSSL",
    Component.BORINGSSL: "BoringSSL",
    Component.AWS_LC: "AWS-LC",
    Component.PYPY: "PyPy",
    Component.RUBY: "Ruby",
    Component.PERL: "Perl",
    Component.PHP: "PHP",
}

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

HOST_COLUMNS = (
    Column("Host", is_path=True),
    Column("System"),
    Column("Arch"),
    Column("Libc"),
    Column("Installs"),
    Column("Affected"),
    Column("Worst"),
    Column("Under investigation", "Under inv", yields=1),
    Column("Failed probes", "Failed", yields=1),
    Column("Last report", yields=1),
)

FINDING_COLUMNS = (
    Column("Severity"),
    Column("Status"),
    Column("Advisory"),
    Column("Component"),
    Column("Linkage"),
    Column("Fixed in"),
    Column("Subject", is_path=True),
    Column("Remedy"),
)


def describe_host(host: Host) -> str:
    """Return the host's facts in a line: system, architecture, kernel, C library."""
    release = host.os_release
    system = release.pretty_name or " ".join(part for part in (release.id, release.version_id) if part)
    level = "" if host.x86_64_level is None else f" (x86-64-v{host.x86_64_level})"
    libc = f"{host.libc.family} {host.libc.version or ''}".rstrip()
    package = "" if host.libc.package is None else f" ({host.libc.package.name} {host.libc.package.version})"
    parts = [
        system or "unknown system",
        f"{host.arch or 'unknown architecture'}{level}",
        *([] if host.kernel is None else [f"Linux {host.kernel}"]),
        f"libc {libc}" if libc == "unknown" else f"{libc}{package}",
    ]
    return ", ".join(parts)


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


def _place(assessed: Assessed, root: str, path: str) -> str:
    """Return a path, with the root before it that it lies in where that is not the one that was scanned."""
    return path if root in ("/", assessed.scan.root) else f"{root}:{path}"


def install_row(assessed: Assessed, install: Install, today: date, *, under_root: bool = False) -> tuple[Cell, ...]:
    """Return one install as a row of :data:`INSTALL_COLUMNS`; ``under_root``: what stands above tells its root."""
    build = assessed.build_of(install)
    findings = [finding for finding in assessed.findings if is_about(finding.subject, install)]
    ends = [end for end in assessed.end_of_life if is_about(end.subject, install)]
    provider = "unreadable" if build is None else build.provider.value
    venv = install.kind is InstallKind.VENV and build is not None
    provider_style = "red" if build is None else ""
    return (
        Cell(install.path if under_root else _place(assessed, install.root, install.path)),
        Cell(_version_text(install, build)),
        Cell(f"{provider} (venv)" if venv else provider, f"{provider} venv" if venv else None, provider_style),
        Cell(needed_glibc(build)),
        _crypto_cell(install.crypto),
        _finding_cell(findings, is_judged=_is_judged(install.crypto.library)),
        _support_cell(most_urgent(ends), today),
    )


def copy_row(assessed: Assessed, copy: CryptoCopy, today: date) -> tuple[Cell, ...]:
    """Return one crypto copy as a row of :data:`COPY_COLUMNS`."""
    findings = [finding for finding in assessed.findings if is_about(finding.subject, copy)]
    ends = [end for end in assessed.end_of_life if is_about(end.subject, copy)]
    owner = copy.owner
    brought = Cell("-", style="dim")
    if owner is not None:
        name = " ".join(part for part in (owner.name, owner.version) if part)
        brought = Cell(f"{name} ({owner.ecosystem})", name)
    return (
        Cell(_place(assessed, copy.root, copy.path)),
        Cell(describe_library(copy.library, copy.linkage), describe_library(copy.library, copy.linkage, short=True)),
        brought,
        _finding_cell(findings, is_judged=_is_judged(copy.library)),
        _support_cell(most_urgent(ends), today),
    )


def tool_row(assessed: Assessed, tool: Tool) -> tuple[Cell, ...]:
    """Return one tool as a row of :data:`TOOL_COLUMNS`."""
    return (
        Cell(_place(assessed, tool.root, tool.path)),
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
    path = Cell(_place(assessed, group.root, group.install or group.executable))
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


def count_findings(findings: Iterable[Finding]) -> str:
    """Return how many findings there are, by status and severity, in a line."""
    counts = Counter((finding.status, finding.severity) for finding in findings)
    parts = []
    for status, word in _STATUS_WORDS.items():
        total = sum(count for (of, _), count in counts.items() if of is status)
        if not total and status is not VexStatus.AFFECTED:
            continue
        severities = ", ".join(
            f"{counts[status, severity]} {'of unknown severity' if severity is Severity.UNKNOWN else severity}"
            for severity in Severity
            if counts[status, severity]
        )
        detail = f" ({severities})" if severities and status is VexStatus.AFFECTED else ""
        parts.append(f"{total} {word}{detail}")
    return ", ".join(parts)


def print_account(out: Output, title: str, assessed: Assessed, today: date) -> None:
    """Print one machine: facts, the table of interpreters, and what is wrong in counts."""
    out.prose((title, "bold"), (f": {describe_host(assessed.scan.host)}", ""))
    out.line()
    _print_installs(out, assessed, today)
    _print_table(out, COPY_COLUMNS, [copy_row(assessed, copy, today) for copy in assessed.scan.crypto_copies.copies])
    _print_table(out, TOOL_COLUMNS, [tool_row(assessed, tool) for tool in assessed.scan.tools.tools])
    processes = () if assessed.scan.processes is None else assessed.scan.processes.groups
    _print_table(out, RUNNING_COLUMNS, [row for group in processes for row in running_rows(assessed, group)])
    others = [root for root in assessed.scan.roots.roots if root.name != assessed.scan.root]
    _print_table(out, ROOT_COLUMNS, [root_row(assessed, root) for root in others])
    out.line()
    out.prose(("Findings: ", "bold"), (count_findings(assessed.findings), ""))
    _print_ended(out, assessed, today)
    _print_blocked(out, assessed)
    _print_processes(out, assessed)
    _print_settings(out, assessed)
    _print_changelogs(out, assessed)
    _print_probes(out, assessed)


def _print_installs(out: Output, assessed: Assessed, today: date) -> None:
    """Print the table of interpreters: on a terminal one for each root, else one line per install with its root."""
    installs = assessed.scan.installs.installs
    if not installs:
        out.line("No interpreter was found.")
        return
    if not out.is_terminal:
        out.table(INSTALL_COLUMNS, [install_row(assessed, install, today) for install in installs])
        return
    of_root: dict[str, list[Install]] = {}
    for install in sorted(installs, key=lambda one: (one.root not in ("/", assessed.scan.root), one.root)):
        of_root.setdefault(install.root, []).append(install)
    places = {place.name: place for place in assessed.scan.roots.roots}
    for number, (root, own) in enumerate(of_root.items()):
        if number:
            out.line()
        if number or root not in ("/", assessed.scan.root):
            out.prose((f"In {root}", "bold"), (f"{_describe_root(places.get(root))}:", ""))
        out.table(INSTALL_COLUMNS, [install_row(assessed, install, today, under_root=True) for install in own])


def _describe_root(root: ScannedRoot | None) -> str:
    """Return what a root is, in brackets behind its name."""
    if root is None:
        return ""
    container = root.container
    name = None if container is None else container.name or container.image
    parts = [name, *root.tags[:1], root.os_release.pretty_name or root.os_release.id]
    told = ", ".join(part for part in parts if part)
    return f" ({told})" if told else ""


def _print_table(out: Output, columns: Sequence[Column], rows: Sequence[tuple[Cell, ...]]) -> None:
    if rows:
        out.line()
        out.table(columns, rows)


def _print_processes(out: Output, assessed: Assessed) -> None:
    """Print how many interpreter processes run, and of how many nobody could see what they have mapped."""
    processes = assessed.scan.processes
    if processes is None:
        return
    total, outdated = sum(group.processes for group in processes.groups), processes.outdated
    unread = sum(group.unread for group in processes.groups)
    told = f"{total} interpreter {'process' if total == 1 else 'processes'}"
    if outdated:
        told += f", {outdated} on what is gone"
    if unread:
        told += f", {unread} that could not be looked into"
    out.prose(("Running: ", "bold"), (told, ""))


def _print_settings(out: Output, assessed: Assessed) -> None:
    settings = assessed.scan.tools.settings
    if settings:
        told = "; ".join(
            f"{one.tool} {one.name} = {one.value} ({_place(assessed, one.root, one.path)})" for one in settings
        )
        out.prose(("Settings: ", "bold"), (told, ""))


def _print_changelogs(out: Output, assessed: Assessed) -> None:
    """Print which packages' changelogs were read, and how many fixes each names."""
    # Two roots with the same version of a package may tell its builder by other words: people read it once.
    told: dict[str, None] = {}
    for one in sorted(assessed.scan.changelogs.values(), key=lambda one: (one.package.name, one.package.version)):
        fixes = f"{len(one.fixes)} {'fix' if len(one.fixes) == 1 else 'fixes'}"
        state = {ChangelogState.COMPLETE: fixes, ChangelogState.TRUNCATED: f"{fixes}, truncated"}.get(one.state)
        told[f"{one.package.name} {one.package.version} ({state or one.state})"] = None
    if told:
        out.prose(("Changelogs: ", "bold"), ("; ".join(told), ""))


def _print_ended(out: Output, assessed: Assessed, today: date) -> None:
    ended = Counter((end.component, end.branch) for end in assessed.end_of_life if has_ended(end, today))
    if not ended:
        return
    counted = "installs and copies" if assessed.scan.crypto_copies.copies else "installs"
    told = []
    for component in Component:
        branches = sorted(
            ((branch, count) for (of, branch), count in ended.items() if of is component),
            key=lambda one: [int(part) if part.isdigit() else -1 for part in one[0].split(".")],
        )
        if branches:
            words = ", ".join(branch if count == 1 else f"{branch} ({count} {counted})" for branch, count in branches)
            told.append(f"{COMPONENT_NAMES[component]} {words}")
    out.prose(("Support has ended: ", "bold"), ("; ".join(told), ""))


def _print_blocked(out: Output, assessed: Assessed) -> None:
    for install in assessed.scan.installs.installs:
        verdict = assessed.verdict_of(install)
        if verdict is None or (verdict.state is PortabilityState.RUNS and not verdict.degraded):
            continue
        what = {
            PortabilityState.BLOCKED: "cannot start here",
            PortabilityState.UNKNOWN: "may not start here",
            PortabilityState.RUNS: "starts, but modules would fail",
        }[verdict.state]
        reasons = verdict.reasons or verdict.degraded
        if verdict.state is PortabilityState.UNKNOWN and len(reasons) > 1:
            # A root that tells nothing of itself leaves every need open: one says what the others would.
            others = f", and {len(reasons) - 1} more that this root does not tell; --output json has all"
            reasons = (f"{reasons[0]}{others}",)
        for reason in reasons:
            out.prose((f"{_place(assessed, install.root, install.path)} {what}: ", "bold"), (reason, ""))


def _print_probes(out: Output, assessed: Assessed) -> None:
    skipped: Counter[str] = Counter()
    for probe in assessed.scan.probes:
        if probe.state is ProbeState.FAILED:
            out.prose((f"Probe {probe.name} failed: ", "bold red"), (probe.reason or "", ""))
        elif probe.state is ProbeState.SKIPPED:
            out.prose((f"Probe {probe.name} was skipped: ", "bold"), (probe.reason or "", ""))
        for skip in probe.skips:
            skipped[skip.reason] += skip.count
    if skipped:
        told = ", ".join(f"{count:,} {reason}" for reason, count in sorted(skipped.items()))
        out.prose(("Passed over: ", "bold"), (told, ""))


# --- findings -----------------------------------------------------------------------------------------------------


def _order(finding: Finding) -> tuple[object, ...]:
    return (
        finding.subject,
        list(_STATUS_WORDS).index(finding.status),
        -finding.severity.rank,
        finding.advisory,
    )


def _subject_path(subject: Subject, *, several: bool) -> str:
    return f"{subject.root}:{subject.path}" if several and subject.root != "/" else subject.path


def print_findings(out: Output, findings: Sequence[Finding]) -> None:
    """Print the findings that need somebody: affected first, then under investigation, by subject."""
    open_ones = [f for f in findings if f.status in (VexStatus.AFFECTED, VexStatus.UNDER_INVESTIGATION)]
    if not open_ones:
        out.line("No finding is open.")
        return
    several = len({finding.subject.root for finding in open_ones}) > 1
    rows = [
        (
            Cell(finding.severity.value, style=SEVERITY_STYLES[finding.severity]),
            Cell(_STATUS_WORDS[finding.status], "under inv" if finding.status is not VexStatus.AFFECTED else None),
            Cell(finding.advisory),
            Cell(finding.component.value),
            Cell("-" if finding.linkage is None else finding.linkage.value),
            Cell(finding.fixed_in or "-"),
            Cell(_subject_path(finding.subject, several=several)),
            Cell(finding.remedy or "-"),
        )
        for finding in sorted(open_ones, key=_order)
    ]
    if not out.is_terminal:
        out.table(FINDING_COLUMNS, rows)
        return
    # The same copy is often used by many: what is the same for all of them is told once.
    of_path: dict[str, list[tuple[Cell, ...]]] = {}
    for row in rows:
        of_path.setdefault(row[6].text, []).append(row)
    alike: dict[tuple[object, ...], list[str]] = {}
    for path, own in of_path.items():
        alike.setdefault(tuple((*row[:6], row[7]) for row in own), []).append(path)
    for number, paths in enumerate(alike.values()):
        if number:
            out.line()
        for path in paths:
            out.line(path, "bold")
        own = of_path[paths[0]]
        out.table(FINDING_COLUMNS[:6], [row[:6] for row in own])
        remedies = Counter(row[7].text for row in own if row[7].text != "-")
        for remedy, count in remedies.items():
            out.prose((f"Remedy for {'all' if count == len(own) else count}: ", "bold"), (remedy, ""))


def print_evidence(out: Output, assessed: Assessed) -> None:
    """Print for every install what proves each statement about it, down to file and byte."""
    for install in assessed.scan.installs.installs:
        out.line()
        path = _place(assessed, install.root, install.path)
        out.line(path if install.path == install.realpath else f"{path} -> {install.realpath}", "bold")
        if install.aliases:
            out.line(f"  also {', '.join(install.aliases)}")
        if install.base is not None:
            out.line(f"  environment of {install.base}")
        _print_proofs(out, install.evidence)
        build = assessed.build_of(install)
        if build is not None:
            out.line(f"  build {install.build}, flags: {' '.join(build.flags) or 'none'}")
            _print_proofs(out, build.evidence)
            _print_floor(out, build)
        _print_proven(out, assessed, install)
    for copy in assessed.scan.crypto_copies.copies:
        out.line()
        out.line(_place(assessed, copy.root, copy.path), "bold")
        if copy.environment is not None:
            out.line(f"  loaded by {copy.environment}")
        _print_proofs(out, copy.evidence)
        _print_proven(out, assessed, copy)


def _print_proven(out: Output, assessed: Assessed, what: Install | CryptoCopy) -> None:
    """Print the findings on an install or a copy, each with its proofs."""
    for finding in sorted(assessed.findings, key=_order):
        if is_about(finding.subject, what) and finding.status is not VexStatus.NOT_AFFECTED:
            severity = SEVERITY_STYLES[finding.severity]
            out.prose(
                (f"  {finding.advisory} ", ""),
                (finding.severity, severity),
                (f" {_STATUS_WORDS[finding.status]}", ""),
            )
            _print_proofs(out, finding.evidence)


def _print_floor(out: Output, build: Build) -> None:
    for entry in build.requirement().raised_by:
        out.line(f"    requirement: {entry.file} needs {entry.version} of {entry.soname} for {entry.symbol or '?'}")


def _print_proofs(out: Output, evidence: Iterable[Evidence]) -> None:
    for item in evidence:
        offset = "" if item.offset is None else f" at byte {item.offset}"
        out.line(f"    {item.subject}: {item.kind} in {item.file or '-'}{offset}: {item.detail}")


# --- hosts --------------------------------------------------------------------------------------------------------


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def host_row(host: HostSummary) -> tuple[Cell, ...]:
    """Return one host as a row of :data:`HOST_COLUMNS`."""
    system = " ".join(part for part in (host.os_id, host.os_version) if part) or "unknown"
    libc = " ".join(part for part in (host.libc_family, host.libc_version) if part) or "unknown"
    worst = host.worst_severity
    return (
        Cell(host.name),
        Cell(system),
        Cell(host.arch or "unknown"),
        Cell(libc),
        Cell(str(host.installs)),
        Cell(str(host.affected), style="" if worst is None else SEVERITY_STYLES[worst]),
        Cell("none" if worst is None else worst.value, style="green" if worst is None else SEVERITY_STYLES[worst]),
        Cell(str(host.under_investigation)),
        Cell(str(host.failed_probes), style="red" if host.failed_probes else ""),
        Cell(_moment(host.last_report), f"{host.last_report:%Y-%m-%d}"),
    )
