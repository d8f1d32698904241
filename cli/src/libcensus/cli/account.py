"""How one machine is told to people: its facts in a line, its interpreters in a table, what is wrong in counts."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

from libcensus.cli.assessed import has_ended, is_about, last_day, most_urgent, worst_of
from libcensus.cli.terminal import Cell, Column
from libcensus.collector.posture.finding import Component, Severity, SupportState, VexStatus
from libcensus.collector.posture.verdict import PortabilityState
from libcensus.facts.vocabulary import CryptoFamily, Implementation, InstallKind, Linkage, ProbeState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date, datetime

    from libcensus.cli.assessed import Assessed
    from libcensus.cli.terminal import Output
    from libcensus.collector.posture.finding import EndOfLife, Finding
    from libcensus.collector.service.fleet_codec import HostSummary
    from libcensus.facts.crypto import CryptoUse
    from libcensus.facts.evidence import Evidence
    from libcensus.facts.host import Host
    from libcensus.facts.interpreter import Build, Install

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
}

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


def describe_crypto(crypto: CryptoUse, *, short: bool = False) -> str:
    """Return which crypto library an install really uses, and how: ``3.0.22 system (libssl3)``."""
    if crypto.library is None:
        if crypto.linkage is Linkage.UNRESOLVED and crypto.needed is not None and not short:
            return f"unresolved ({crypto.needed})"
        return crypto.linkage.value
    library = crypto.library
    name = "" if library.family is CryptoFamily.OPENSSL else f"{_FAMILY_NAMES[library.family]} "
    text = f"{name}{library.version or '?'} {crypto.linkage}"
    if library.package is not None and not short:
        text += f" ({library.package.name})"
    return text


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


def _is_judged(crypto: CryptoUse) -> bool:
    """Tell whether no finding means that nothing is known to be wrong: OpenSSL of a version that could be read."""
    library = crypto.library
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


def install_row(assessed: Assessed, install: Install, today: date) -> tuple[Cell, ...]:
    """Return one install as a row of :data:`INSTALL_COLUMNS`."""
    build = assessed.build_of(install)
    findings = [finding for finding in assessed.findings if is_about(finding.subject, install)]
    ends = [end for end in assessed.end_of_life if is_about(end.subject, install)]
    provider = "unreadable" if build is None else build.provider.value
    venv = install.kind is InstallKind.VENV and build is not None
    provider_style = "red" if build is None else ""
    path = install.path if install.root in ("/", assessed.scan.root) else f"{install.root}:{install.path}"
    return (
        Cell(path),
        Cell(_version_text(install, build)),
        Cell(f"{provider} (venv)" if venv else provider, f"{provider} venv" if venv else None, provider_style),
        Cell(needed_glibc(build)),
        _crypto_cell(install.crypto),
        _finding_cell(findings, is_judged=_is_judged(install.crypto)),
        _support_cell(most_urgent(ends), today),
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
    installs = assessed.scan.installs.installs
    if installs:
        out.table(INSTALL_COLUMNS, [install_row(assessed, install, today) for install in installs])
    else:
        out.line("No interpreter was found.")
    out.line()
    out.prose(("Findings: ", "bold"), (count_findings(assessed.findings), ""))
    _print_ended(out, assessed, today)
    _print_blocked(out, assessed)
    _print_probes(out, assessed)


def _print_ended(out: Output, assessed: Assessed, today: date) -> None:
    ended = Counter((end.component, end.branch) for end in assessed.end_of_life if has_ended(end, today))
    if not ended:
        return
    told = []
    for component in Component:
        branches = sorted(
            ((branch, count) for (of, branch), count in ended.items() if of is component),
            key=lambda one: [int(part) if part.isdigit() else -1 for part in one[0].split(".")],
        )
        if branches:
            words = ", ".join(branch if count == 1 else f"{branch} ({count} installs)" for branch, count in branches)
            told.append(f"{COMPONENT_NAMES[component]} {words}")
    out.prose(("Support has ended: ", "bold"), ("; ".join(told), ""))


def _print_blocked(out: Output, assessed: Assessed) -> None:
    for install in assessed.scan.installs.installs:
        verdict = None if install.build is None else assessed.verdicts.get(install.build)
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
            out.prose((f"{install.path} {what}: ", "bold"), (reason, ""))


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


def print_findings(out: Output, findings: Sequence[Finding]) -> None:
    """Print the findings that need somebody: affected first, then under investigation, by subject."""
    open_ones = [f for f in findings if f.status in (VexStatus.AFFECTED, VexStatus.UNDER_INVESTIGATION)]
    if not open_ones:
        out.line("No finding is open.")
        return
    rows = [
        (
            Cell(finding.severity.value, style=SEVERITY_STYLES[finding.severity]),
            Cell(_STATUS_WORDS[finding.status], "under inv" if finding.status is not VexStatus.AFFECTED else None),
            Cell(finding.advisory),
            Cell(finding.component.value),
            Cell("-" if finding.linkage is None else finding.linkage.value),
            Cell(finding.fixed_in or "-"),
            Cell(finding.subject.path),
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
        out.line(install.path if install.path == install.realpath else f"{install.path} -> {install.realpath}", "bold")
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
        for finding in sorted(assessed.findings, key=_order):
            if is_about(finding.subject, install) and finding.status is not VexStatus.NOT_AFFECTED:
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
