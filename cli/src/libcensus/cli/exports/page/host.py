"""One host: what is on it, which OpenSSL each interpreter really uses and how that is known, and what helps."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from libcensus.cli.account import describe_acceptance, describe_host
from libcensus.cli.assessed import has_ended, last_day
from libcensus.cli.exports.objects import moment
from libcensus.cli.exports.page.markup import (
    Head,
    Markup,
    Shown,
    card,
    command,
    count,
    counted,
    folded,
    grid,
    joined,
    lines,
    paragraph,
    rest,
    section,
    table,
    tag,
    tile,
    tiles,
)
from libcensus.cli.exports.page.plots import Bar, Moment, bars, days_between, timeline
from libcensus.cli.exports.page.security import SOON
from libcensus.cli.exports.page.words import SEVERITIES, SEVERITY_SERIES, SEVERITY_WORDS, badge
from libcensus.cli.rows import (
    COMPONENT_NAMES,
    COPY_COLUMNS,
    INSTALL_COLUMNS,
    ROOT_COLUMNS,
    RUNNING_COLUMNS,
    TOOL_COLUMNS,
    copy_row,
    install_row,
    place_of,
    root_row,
    running_rows,
    tool_row,
)
from libcensus.cli.stale_tables import KIND_NAMES
from libcensus.collector.posture.finding import VexStatus
from libcensus.collector.posture.staleness import StalenessState
from libcensus.collector.posture.verdict import PortabilityState
from libcensus.facts.vocabulary import ProbeState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date, datetime

    from libcensus.cli.assessed import Assessed
    from libcensus.cli.exports.page.markup import TableCell
    from libcensus.cli.terminal import Cell, Column
    from libcensus.collector.posture.finding import EndOfLife, Finding, Subject
    from libcensus.collector.service.fleet_codec import HostSummary
    from libcensus.facts.evidence import Evidence
    from libcensus.facts.interpreter import Install

ROWS_SHOWN = 100
REMEDIES_SHOWN = 12
ALIKE_SHOWN = 5
PLACES_SHOWN = 60
ADVISORIES_SHOWN = 60
PROOFS_SHOWN = 60
"""Installs whose proofs are told; a host may have thousands."""

_OPEN = (VexStatus.AFFECTED, VexStatus.UNDER_INVESTIGATION)

_STYLES = {"red": "bad", "bold red": "bad", "yellow": "warn", "green": "good", "dim": "none", "blue": "info"}
_SEVERITY_STYLES = {"cyan": "low", "magenta": "unknown"}


def host(summary: HostSummary, assessed: Assessed, now: datetime, *, is_alone: bool) -> Markup:
    """Return the part about one host; where it ``is_alone`` the page has its name."""
    scan, today = assessed.scan, now.date()
    name = summary.name
    labels = ", ".join(f"{key}={value}" for key, value in summary.labels.items())
    words = ("show", name, "--findings")
    return section(
        f"host-{summary.host_id}",
        "" if is_alone else name,
        describe_host(scan.host),
        _tiles(summary, assessed, now),
        paragraph(
            f"Last report {moment(summary.last_report)}, first report {moment(summary.first_report)}, agent "
            f"{summary.agent_version or 'unknown'}; labels: {labels or 'none'}; host id {summary.host_id}."
        ),
        grid(card(_severities(assessed)), card(_remedies(assessed, name))),
        card(*_installs(assessed, name, today)),
        card(*_findings(assessed, words)),
        card(_support(assessed, today)),
        card(*_stale(assessed, words)),
        *_others(assessed, name, today),
        card(*_probes(assessed, name)),
        card(*_proofs(assessed, name)),
    )


def _tiles(summary: HostSummary, assessed: Assessed, now: datetime) -> Markup:
    found = Counter(
        one.severity for one in assessed.findings if one.status is VexStatus.AFFECTED and one.accepted is None
    )
    hours = int((now - summary.last_report).total_seconds()) // 3600
    age = f"{hours} h" if hours < 48 else f"{hours // 24} days"
    outdated = summary.outdated_processes
    restart = "not looked at" if outdated is None else count(outdated)
    failed = sum(probe.state is ProbeState.FAILED for probe in assessed.scan.probes)
    return tiles(
        *[
            tile(count(found[one]), SEVERITY_WORDS[one], "affected findings", one.value if found[one] else "good")
            for one in SEVERITIES
        ],
        tile(restart, "processes to restart", "on replaced or deleted files", "warn" if outdated else ""),
        tile(
            count(failed),
            "failed probes",
            "facts are missing" if failed else "everything was read",
            "warn" if failed else "good",
        ),
        tile(age, "since the last report", "", "good" if hours < 24 else "warn"),
    )


def _cell(cell: Cell) -> str | Shown:
    style = _STYLES.get(cell.style) or _SEVERITY_STYLES.get(cell.style, "")
    return Shown(cell.text, style) if style else cell.text


def _table_of(caption: str, columns: Sequence[Column], rows: Sequence[tuple[Cell, ...]]) -> Markup:
    heads = [Head(column.title, is_path=column.is_path) for column in columns]
    return table(caption, heads, [[_cell(cell) for cell in row] for row in rows])


def _installs(assessed: Assessed, name: str, today: date) -> Iterable[Markup]:
    installs = assessed.scan.installs.installs
    if not installs:
        yield paragraph("No interpreter was found.", class_="fine")
        return
    yield _table_of(
        "Interpreters and environments, what they need, and the OpenSSL that each really uses",
        INSTALL_COLUMNS,
        [install_row(assessed, install, today) for install in installs[:ROWS_SHOWN]],
    )
    yield rest(ROWS_SHOWN, len(installs), "installs", "show", name)
    blocked = [
        (place_of(assessed, install.root, install.path), verdict.state, (verdict.reasons or verdict.degraded)[0])
        for install in installs
        if (verdict := assessed.verdict_of(install)) is not None
        and (verdict.state is not PortabilityState.RUNS or verdict.degraded)
    ]
    if blocked:
        words = {
            PortabilityState.BLOCKED: Shown("cannot start here", "bad"),
            PortabilityState.UNKNOWN: Shown("may not start here", "none"),
            PortabilityState.RUNS: Shown("starts, but modules would fail", "warn"),
        }
        yield table(
            "What does not start here as it should",
            (Head("Interpreter", is_path=True), Head("Verdict"), Head("Why", is_path=True)),
            [(path, words[state], reason) for path, state, reason in blocked[:ROWS_SHOWN]],
        )
        yield rest(ROWS_SHOWN, len(blocked), "such installs", "show", name)


def _severities(assessed: Assessed) -> Markup:
    found: dict[str, Counter[str]] = {}
    for one in assessed.findings:
        if one.status is VexStatus.AFFECTED:
            found.setdefault(COMPONENT_NAMES[one.component], Counter())[one.severity] += 1
    return bars(
        "Affected findings by component",
        "One advisory that affects one interpreter, library or copy; accepted ones among them.",
        "affected findings",
        [Bar(name, numbers) for name, numbers in sorted(found.items(), key=lambda item: (-item[1].total(), item[0]))],
        SEVERITY_SERIES,
    )


def _remedies(assessed: Assessed, name: str) -> Markup:
    counted_by = Counter(
        one.remedy or "" for one in assessed.findings if one.status is VexStatus.AFFECTED and one.accepted is None
    )
    ordered = sorted(counted_by.items(), key=lambda item: (-item[1], item[0]))
    if not ordered:
        return paragraph("There is nothing to mend.", class_="fine")
    return joined(
        table(
            "What to do, and how many affected findings it ends",
            (Head("Remedy", is_path=True), Head("Ends findings")),
            [(remedy or Shown("nothing is known", "none"), number) for remedy, number in ordered[:REMEDIES_SHOWN]],
        ),
        rest(REMEDIES_SHOWN, len(ordered), "remedies", "posture", "--host", name, "--limit", "0"),
    )


def _findings(assessed: Assessed, words: tuple[str, ...]) -> Iterable[Markup]:
    """Return the open findings by place; places that have the same are one row."""
    of_place: dict[tuple[str, Subject], list[Finding]] = {}
    for one in assessed.findings:
        if one.status in _OPEN:
            of_place.setdefault((one.component, one.subject), []).append(one)
    alike: dict[tuple[object, ...], list[tuple[Subject, list[Finding]]]] = {}
    for (_, subject), own in of_place.items():
        own.sort(key=lambda one: (_OPEN.index(one.status), -one.severity.rank, one.advisory))
        alike.setdefault(tuple(_what(one) for one in own), []).append((subject, own))
    if not alike:
        yield paragraph("No finding is open.", class_="fine")
        return
    rows = sorted(alike.values(), key=lambda group: (_weight(group[0][1]), group[0][0]))
    yield table(
        "Open findings by place, the worst first",
        (
            Head("Place", is_path=True),
            Head("In"),
            Head("Affected"),
            Head("Under investigation"),
            Head("Fix there since", "The first day on which a fix of one of them could be had"),
            Head("Advisories and remedies", is_path=True),
        ),
        [_place_row(assessed, group, words) for group in rows[:PLACES_SHOWN]],
        class_="full",
    )
    yield rest(PLACES_SHOWN, len(rows), "places", *words)


def _what(one: Finding) -> tuple[object, ...]:
    """Return all of a finding but its place."""
    return one.advisory, one.component, one.status, one.linkage, one.fixed_in, one.remedy, one.accepted


def _weight(own: Sequence[Finding]) -> tuple[int, ...]:
    found = Counter(one.severity for one in own if one.status is VexStatus.AFFECTED and one.accepted is None)
    return tuple(-found[severity] for severity in SEVERITIES)


def _place_row(
    assessed: Assessed, group: Sequence[tuple[Subject, Sequence[Finding]]], words: tuple[str, ...]
) -> tuple[TableCell, ...]:
    own = group[0][1]
    subjects = [subject for subject, _ in group]
    places = [place_of(assessed, one.root, one.path) for one in subjects[:ALIKE_SHOWN]]
    if len(subjects) > ALIKE_SHOWN:
        places.append(f"and {len(subjects) - ALIKE_SHOWN:,} more")
    affected = [one for one in own if one.status is VexStatus.AFFECTED]
    severities = Counter(one.severity for one in affected)
    badges = [joined(badge(severity), f" {severities[severity]:,}") for severity in SEVERITIES if severities[severity]]
    since = min((one.fix_available for one in affected if one.fix_available is not None), default=None)
    linkage = "" if own[0].linkage is None else f", {own[0].linkage.value}"
    unclear = len(own) - len(affected)
    remedies = counted(len({one.remedy for one in own}), "remedy", "remedies")
    return (
        lines(*places),
        f"{COMPONENT_NAMES[own[0].component]}{linkage}",
        joined(*badges) or 0,
        unclear,
        Shown("unknown" if affected else "", "none") if since is None else since.isoformat(),
        folded(
            f"{counted(len(own), 'advisory', 'advisories')}, {remedies}",
            table(
                "Advisories at this place",
                (
                    Head("Advisory"),
                    Head("Severity"),
                    Head("Status", is_path=True),
                    Head("Fixed in"),
                    Head("Fix since"),
                    Head("Remedy", is_path=True),
                ),
                [_finding_row(one) for one in own[:ADVISORIES_SHOWN]],
            ),
            rest(ADVISORIES_SHOWN, len(own), "advisories", *words),
        ),
    )


def _finding_row(one: Finding) -> tuple[TableCell, ...]:
    status = Shown("affected", "bad") if one.status is VexStatus.AFFECTED else Shown("under investigation", "info")
    if one.accepted is not None:
        told = f"accepted until {one.accepted.expires.isoformat()}: {describe_acceptance(one.accepted)}"
        status = Shown(told, "none")
    return (
        Shown(one.advisory, "id"),
        badge(one.severity),
        status,
        one.fixed_in or Shown("unknown", "none"),
        Shown("unknown", "none") if one.fix_available is None else one.fix_available.isoformat(),
        one.remedy or Shown("nothing is known", "none"),
    )


def _proofs(assessed: Assessed, name: str) -> Iterable[Markup]:
    """Return how the crypto library and the version of each install are known, down to file and byte."""
    installs = assessed.scan.installs.installs
    yield tag("h3", "How this is known")
    yield paragraph("What was read of each install, in which file and at which byte; nothing found here was ever run.")
    for install in installs[:PROOFS_SHOWN]:
        yield _proof(assessed, install)
    yield rest(PROOFS_SHOWN, len(installs), "installs", "show", name, "--explain")


def _proof(assessed: Assessed, install: Install) -> Markup:
    build = assessed.build_of(install)
    proofs: list[Evidence] = [*install.evidence, *(() if build is None else build.evidence)]
    proven = {item for one in assessed.findings_on(install) for item in one.evidence}
    crypto = install.crypto
    told = [f"really {install.realpath}"] if install.realpath != install.path else []
    told += [f"also {', '.join(install.aliases)}"] if install.aliases else []
    told += [f"environment of {install.base}"] if install.base is not None else []
    told += [f"crypto library {crypto.path}"] if crypto.path is not None else []
    told += [f"asks the loader for {crypto.needed}"] if crypto.needed is not None else []
    if build is not None:
        told += [
            f"{raised.file} needs {raised.version} of {raised.soname} for {raised.symbol or 'an unnamed symbol'}"
            for raised in build.requirement().raised_by[:3]
        ]
    # What a verdict rests on about the copy itself; what the world published is told with the verdict.
    proofs += sorted(
        (item for item in proven if item.subject in {"crypto", "package", "linkage"} and item not in proofs),
        key=lambda item: (item.subject, item.file or "", item.offset or 0, item.detail),
    )
    rows = [
        (item.subject, item.kind.value, item.file, None if item.offset is None else count(item.offset), item.detail)
        for item in proofs[:20]
    ]
    return folded(
        place_of(assessed, install.root, install.path),
        tag("ul", *[tag("li", one) for one in told]) if told else Markup(),
        table(
            "Proofs",
            (Head("Of"), Head("Kind"), Head("File", is_path=True), Head("Byte"), Head("What was read", is_path=True)),
            rows,
        )
        if rows
        else paragraph("Unknown: the agent told no proof.", class_="none"),
    )


def _support(assessed: Assessed, today: date) -> Markup:
    found: dict[tuple[str, str, bool], tuple[EndOfLife, int]] = {}
    undated: Counter[str] = Counter()
    for one in assessed.end_of_life:
        named = f"{COMPONENT_NAMES[one.component]} {one.branch}"
        day = last_day(one)
        if day is None:
            undated[named] += 1
            continue
        key = named, day.isoformat(), one.distribution_until is not None
        found[key] = (one, found.get(key, (one, 0))[1] + 1)
    rows = []
    for (named, _, by_distribution), (one, number) in sorted(found.items(), key=lambda item: (item[0][1], item[0][0])):
        day = last_day(one)
        if day is None:
            continue
        style = "bad" if has_ended(one, today) else "warn" if day - today < SOON else "good"
        text = f"{day.isoformat()}, {days_between(day, today)}: {counted(number, 'place')}"
        rows.append(Moment(f"{named}{' (distro)' if by_distribution else ''}", day, style, text))
    told = ", ".join(f"{named} ({number:,})" for named, number in sorted(undated.items()))
    return joined(
        timeline(
            "End of support",
            "The last day on which somebody maintains a branch in use: the distribution that built it (distro), else "
            "its own project. A square is over, a triangle is within half a year.",
            rows[:40],
            today,
        ),
        paragraph(f"Unknown, for nobody says a day: {told}.") if told else Markup(),
    )


def _stale(assessed: Assessed, words: tuple[str, ...]) -> Iterable[Markup]:
    stale = [one for one in assessed.staleness if one.state is StalenessState.STALE]
    unknown = len(assessed.staleness) - len(stale)
    if stale:
        yield table(
            "Behind what it could be",
            (
                Head("What", is_path=True),
                Head("Why"),
                Head("Has", is_path=True),
                Head("Could have", is_path=True),
                Head("Since"),
                Head("Remedy", is_path=True),
            ),
            [
                (
                    place_of(assessed, one.subject.root, one.subject.path),
                    KIND_NAMES[one.kind],
                    one.has,
                    one.newest,
                    None if one.since is None else one.since.isoformat(),
                    one.remedy,
                )
                for one in stale[:ROWS_SHOWN]
            ],
        )
        yield rest(ROWS_SHOWN, len(stale), "cases", *words)
    else:
        yield paragraph("Nothing is known to be behind what it could be.", class_="fine")
    if unknown:
        yield paragraph(f"Unknown of {counted(unknown, 'case')}: nobody tells what is newest, or what is there.")


def _others(assessed: Assessed, name: str, today: date) -> Iterable[Markup]:
    scan = assessed.scan
    groups = () if scan.processes is None else scan.processes.groups
    others = [root for root in scan.roots.roots if root.name != scan.root]
    for caption, columns, rows in (
        (
            "Copies of crypto libraries in wheels, extension modules and products",
            COPY_COLUMNS,
            [copy_row(assessed, copy, today) for copy in scan.crypto_copies.copies],
        ),
        ("Tools that bring interpreters", TOOL_COLUMNS, [tool_row(assessed, tool) for tool in scan.tools.tools]),
        (
            "Processes that run on what was replaced or deleted",
            RUNNING_COLUMNS,
            [row for group in groups for row in running_rows(assessed, group)],
        ),
        ("Containers and other trees on the host", ROOT_COLUMNS, [root_row(assessed, root) for root in others]),
    ):
        if rows:
            yield card(
                _table_of(caption, columns, rows[:ROWS_SHOWN]), rest(ROWS_SHOWN, len(rows), "rows", "show", name)
            )
    if scan.processes is None:
        yield card(paragraph("What runs is unknown: the agent did not look, because it may not or was told not to."))


def _probes(assessed: Assessed, name: str) -> Iterable[Markup]:
    styles = {ProbeState.OK: "good", ProbeState.SKIPPED: "none", ProbeState.FAILED: "bad"}
    probes = assessed.scan.probes
    yield table(
        "Probes: what the last scan could read",
        (Head("Probe"), Head("State"), Head("Seconds"), Head("Why", is_path=True), Head("Passed over", is_path=True)),
        [
            (
                probe.name,
                Shown(probe.state.value, styles.get(probe.state, "none")),
                f"{probe.seconds:.2f}",
                probe.reason,
                ", ".join(f"{skip.count:,} {skip.reason}" for skip in probe.skips) or None,
            )
            for probe in probes[:ROWS_SHOWN]
        ],
    )
    yield rest(ROWS_SHOWN, len(probes), "probes", "show", name)
    if assessed.quirks:
        yield folded(
            f"Known behaviours of these builds ({len(assessed.quirks):,})",
            *[
                joined(
                    tag("h4", seen.quirk.title, f" ({counted(len(seen.subjects), 'install')})"),
                    paragraph(f"{seen.quirk.means} {seen.quirk.advice}"),
                )
                for seen in assessed.quirks
            ],
        )
    yield paragraph("Every statement with its proof: ", command("show", name, "--explain"), class_="rest")
