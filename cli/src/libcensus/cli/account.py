"""How one machine is told to people: its facts in a line, what is on it in tables, what is wrong in counts."""

from __future__ import annotations

from collections import Counter
from datetime import UTC
from typing import TYPE_CHECKING

from libcensus.cli.assessed import has_ended
from libcensus.cli.rows import (
    COMPONENT_NAMES,
    COPY_COLUMNS,
    INSTALL_COLUMNS,
    ROOT_COLUMNS,
    RUNNING_COLUMNS,
    SEVERITY_STYLES,
    TOOL_COLUMNS,
    copy_row,
    install_row,
    place_of,
    root_row,
    running_rows,
    tool_row,
)
from libcensus.cli.stale_tables import tell_stale
from libcensus.cli.terminal import Cell, Column
from libcensus.collector.posture.finding import Component, Severity, VexStatus
from libcensus.collector.posture.verdict import PortabilityState
from libcensus.facts.vocabulary import ChangelogState, ProbeState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date, datetime

    from libcensus.cli.assessed import Assessed
    from libcensus.cli.terminal import Output
    from libcensus.collector.posture.finding import Acceptance, Finding, Subject
    from libcensus.collector.service.fleet_codec import HostSummary
    from libcensus.facts.crypto import CryptoCopy
    from libcensus.facts.evidence import Evidence
    from libcensus.facts.host import Host
    from libcensus.facts.interpreter import Build, Install
    from libcensus.facts.root import ScannedRoot

_STATUS_WORDS = {
    VexStatus.AFFECTED: "affected",
    VexStatus.UNDER_INVESTIGATION: "under investigation",
    VexStatus.FIXED: "fixed",
    VexStatus.NOT_AFFECTED: "not affected",
}

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

_LABELS = Column("Labels", yields=2)

SILENT_COLUMNS = (
    Column("Host", is_path=True),
    Column("System", yields=2),
    Column("Last report"),
    Column("Agent", yields=1),
    Column("Labels", yields=3),
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


def count_findings(findings: Iterable[Finding]) -> str:
    """Return how many findings there are, by status and severity, in a line."""
    found = list(findings)
    counts = Counter((finding.status, finding.severity) for finding in found)
    accepted = Counter(finding.status for finding in found if finding.accepted is not None)
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
        if accepted[status]:
            detail += f", of which {accepted[status]} accepted"
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
    _print_accepted(out, assessed.findings)
    _print_ended(out, assessed, today)
    if stale := tell_stale(assessed.staleness):
        out.prose(("Stale: ", "bold"), (stale, ""))
    _print_blocked(out, assessed)
    _print_quirks(out, assessed)
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
            f"{one.tool} {one.name} = {one.value} ({place_of(assessed, one.root, one.path)})" for one in settings
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
            out.prose((f"{place_of(assessed, install.root, install.path)} {what}: ", "bold"), (reason, ""))


def _print_quirks(out: Output, assessed: Assessed) -> None:
    """Print the known behaviours of the builds, each with the number of installs that have it."""
    if assessed.quirks:
        told = ", ".join(
            f"{seen.quirk.id} ({len(seen.subjects)} {'install' if len(seen.subjects) == 1 else 'installs'})"
            for seen in assessed.quirks
        )
        out.prose(("Quirks: ", "bold"), (f"{told}; --explain tells what they mean", ""))


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


def _status_cell(finding: Finding) -> Cell:
    """Return the status, and until when it is accepted, where it is."""
    short = "under inv" if finding.status is not VexStatus.AFFECTED else None
    if finding.accepted is None:
        return Cell(_STATUS_WORDS[finding.status], short)
    until = f"accepted until {finding.accepted.expires.isoformat()}"
    return Cell(f"{_STATUS_WORDS[finding.status]}, {until}", until)


def _print_accepted(out: Output, findings: Iterable[Finding]) -> None:
    """Print which statements cover findings, each with its reason and the number that it covers."""
    counts = Counter(finding.accepted for finding in findings if finding.accepted is not None)
    for accepted, count in sorted(counts.items(), key=lambda one: (one[0].expires, one[0].statement)):
        out.prose(
            (f"Accepted until {accepted.expires.isoformat()}: ", "bold"),
            (f"{count} {'finding' if count == 1 else 'findings'}, {describe_acceptance(accepted)}", ""),
        )


def describe_acceptance(accepted: Acceptance) -> str:
    """Return who accepted a risk, and why: ``not affected (component_not_present): never parsed here, by …``."""
    told = _STATUS_WORDS[accepted.status]
    if accepted.justification is not None:
        told += f" ({accepted.justification})"
    if accepted.reason:
        told += f": {accepted.reason}"
    return f"{told}; by {accepted.author} in {accepted.statement}"


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
            _status_cell(finding),
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
    """Print for every install what proves each statement about it, down to file and byte, and what its quirks mean."""
    for install in assessed.scan.installs.installs:
        out.line()
        path = place_of(assessed, install.root, install.path)
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
        for quirk in assessed.quirks_on(install):
            out.prose((f"  quirk {quirk.id}: ", "bold"), (quirk.title, ""))
            for text in (quirk.means, quirk.advice, f"source: {quirk.source}"):
                out.prose((f"    {text}", ""))
        _print_proven(out, assessed, install)
    for copy in assessed.scan.crypto_copies.copies:
        out.line()
        out.line(place_of(assessed, copy.root, copy.path), "bold")
        if copy.environment is not None:
            out.line(f"  loaded by {copy.environment}")
        _print_proofs(out, copy.evidence)
        _print_proven(out, assessed, copy)


def _print_proven(out: Output, assessed: Assessed, what: Install | CryptoCopy) -> None:
    """Print the findings on an install or a copy, each with its proofs."""
    for finding in sorted(assessed.findings_on(what), key=_order):
        if finding.status is not VexStatus.NOT_AFFECTED:
            severity = SEVERITY_STYLES[finding.severity]
            out.prose(
                (f"  {finding.advisory} ", ""),
                (finding.severity, severity),
                (f" {_status_cell(finding).text}", ""),
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


def host_columns(hosts: Iterable[HostSummary]) -> tuple[Column, ...]:
    """Return the columns of a table of hosts: that of labels is there where some host has one."""
    return (*HOST_COLUMNS, _LABELS) if any(host.labels for host in hosts) else HOST_COLUMNS


def silent_row(host: HostSummary) -> tuple[Cell, ...]:
    """Return one host as a row of :data:`SILENT_COLUMNS`: what somebody needs who asks why it is silent."""
    return (
        Cell(host.name),
        Cell(_system(host)),
        Cell(_moment(host.last_report)),
        Cell(host.agent_version),
        Cell(_labels(host)),
    )


def _system(host: HostSummary) -> str:
    return " ".join(part for part in (host.os_id, host.os_version) if part) or "unknown"


def _labels(host: HostSummary) -> str:
    return ",".join(f"{key}={value}" for key, value in host.labels.items()) or "-"


def host_row(host: HostSummary) -> tuple[Cell, ...]:
    """Return one host as a row of :func:`host_columns`, labels included."""
    libc = " ".join(part for part in (host.libc_family, host.libc_version) if part) or "unknown"
    worst = host.worst_severity
    return (
        Cell(host.name),
        Cell(_system(host)),
        Cell(host.arch or "unknown"),
        Cell(libc),
        Cell(str(host.installs)),
        Cell(
            f"{host.affected} ({host.accepted} accepted)" if host.accepted else str(host.affected),
            style="" if worst is None else SEVERITY_STYLES[worst],
        ),
        Cell("none" if worst is None else worst.value, style="green" if worst is None else SEVERITY_STYLES[worst]),
        Cell(str(host.under_investigation)),
        Cell(str(host.failed_probes), style="red" if host.failed_probes else ""),
        Cell(_moment(host.last_report), f"{host.last_report:%Y-%m-%d}"),
        Cell(_labels(host)),
    )
