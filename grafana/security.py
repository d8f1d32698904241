"""What is open, how bad it is, since when, what would fix it, and on which hosts."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from grafana.fleet import UPGRADES, by_upgrade
from grafana.panels import (
    BLUE,
    GREEN,
    GREY,
    JOB,
    ORANGE,
    RED,
    SEVERITIES,
    SYSTEM,
    YELLOW,
    Board,
    Column,
    Query,
    bars,
    by_severity,
    choice,
    job_variable,
    number,
    sheet,
    system_variables,
    to_host,
    trend,
    worse_from,
)

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Dashboard

STALE = {
    "behind_provider": ("Behind its provider's newest build", ORANGE),
    "environment_base_gone": ("Environment whose base is gone", RED),
    "environment_behind_base": ("Environment behind its base", ORANGE),
    "uv_too_old": ("uv too old to know the fix", RED),
    "image_before_fix": ("Image from before the fix", ORANGE),
}
SEVERITY_WORDS: dict[str, tuple[str, str | None]] = dict(SEVERITIES)
_FINDINGS = f'job_os_id_arch_component_severity_provider_linkage_upgrade:libcensus_affected_findings:sum{{{SYSTEM}, component=~"$component", severity=~"$severity"}}'


def _chosen(severity: str) -> str:
    """Return a zero where the variables choose this severity: "not chosen" must not look like "none open"."""
    judged = f'libcensus_findings{{{JOB}, component=~"$component", severity=~"$severity", severity="{severity}"}}'
    return f"sum({judged}) * 0"


_EOL = "job_os_id_arch_component_branch:libcensus_host_eol_timestamp_seconds"
_WINDOWS = (30, 90, 180, 365)
ENDS = {
    "over": ("over", RED),
    "30": ("within 30 days", ORANGE),
    "90": ("within 90 days", ORANGE),
    "180": ("within half a year", YELLOW),
    "365": ("within a year", GREEN),
    "later": ("later", GREEN),
}
"""When support ends, in words."""

_OF_COMPONENT = f'{SYSTEM}, component=~"$component"'
_OF_HOSTS = "and on (job, host) libcensus_host_info{" + SYSTEM + "}"
_LEFT = f"({_EOL}{{{_OF_COMPONENT}}} + 86400 - time())"
"""Seconds of support that are left, by host, component and branch: the named day is the last one with support."""
_AGES = (7, 30, 90)
"""Days that fixes have waited, as the rules count them."""


def _waiting(age: str) -> str:
    """Return the hosts for which a fix has waited for so long, by severity."""
    name = "job_severity_older_than:libcensus_exposed_hosts:sum"
    return f'sum by (severity) ({name}{{{JOB}, severity=~"$severity", older_than="{age}"}})'


def _ending(window: str) -> str:
    """Return how many branches on hosts are over within a window: those of shorter windows are among them."""
    name = "job_os_id_arch_component_ends_within:libcensus_host_branches:sum"
    return f'sum({name}{{{_OF_COMPONENT}, ends_within="{window}"}})'


def security() -> Dashboard:
    """Return the dashboard."""
    board = Board(
        "libcensus-security",
        "libcensus: Security posture",
        "What is open, how bad it is, since when a fix could be had, what would bring it, and where.",
        [
            job_variable(),
            *system_variables(),
            choice("component", "Component", f"label_values(libcensus_findings{{{JOB}}}, component)"),
            choice("severity", "Severity", f"label_values(libcensus_findings{{{JOB}}}, severity)"),
        ],
    )
    board.row("Open findings in interpreters")
    for severity, (name, color) in SEVERITIES.items():
        about = (
            "No source rates the advisory: most of CPython's are so. It may be anything."
            if severity == "unknown"
            else f"The advisory's source rates it {name.lower()}."
        )
        board.add(
            3,
            4,
            number(
                name,
                f"Open findings of interpreters: advisories that affect one, times the installs. {about}",
                f'sum({_FINDINGS[:-1]}, severity="{severity}"}}) or {_chosen(severity)}',
                steps=((None, GREEN), (1, color)),
                none="not chosen",
            ),
        )
    board.add(
        3,
        4,
        number(
            "Fix is out",
            "Open findings whose fix the provider has published: it could be installed and is not. The "
            "whole fleet, all distributions.",
            f'sum(libcensus_exposed_findings{{{JOB}, component=~"$component", severity=~"$severity"}})',
            steps=worse_from(1, 1000),
        ),
    )
    board.add(
        3,
        4,
        number(
            "Advisories open",
            "Advisories of whatever component and severity that are open on at least one host (whole fleet).",
            f'sum(libcensus_advisories{{{JOB}, state="affecting"}})',
        ),
    )
    board.add(
        3,
        4,
        number(
            "Not in the table",
            "Advisories that are open on some host and are not in the table of advisories, because --metrics-advisories bounds "
            "their number. `libcensus posture` has all of them.",
            f'sum(libcensus_advisories{{{JOB}, state="affecting", listed="false"}})',
            steps=((None, GREEN), (1, GREY)),
        ),
    )
    board.add(
        6,
        7,
        bars(
            "By component",
            "Open findings by what the advisory is about.",
            [Query(f"sort_desc(sum by (component) ({_FINDINGS}))", "{{component}}")],
        ),
    )
    board.add(
        6,
        7,
        bars(
            "By how OpenSSL is reached",
            "Open findings of OpenSSL by linkage: system is the distribution's library, static "
            "and bundled are copies that no system upgrade reaches.",
            [
                Query(
                    f'sort_desc(sum by (linkage) (job_os_id_arch_component_severity_provider_linkage_upgrade:libcensus_affected_findings:sum{{{SYSTEM}, component="openssl", '
                    'severity=~"$severity"}))',
                    "{{linkage}}",
                )
            ],
            colors={"system": ("system", BLUE), "static": ("static", ORANGE), "bundled": ("bundled", ORANGE)},
        ),
    )
    board.add(
        6,
        7,
        bars(
            "By who built the interpreter",
            "Open findings by provider.",
            [Query(f"sort_desc(sum by (provider) ({_FINDINGS}))", "{{provider}}")],
        ),
    )
    board.add(
        6,
        7,
        bars(
            "By what would bring the fix",
            "The distribution's packages, whoever built an interpreter with its own copy, or a "
            "new image for what runs in a container.",
            by_upgrade(f'{SYSTEM}, component=~"$component", severity=~"$severity"'),
            colors=UPGRADES,
        ),
    )
    board.row("Trend")
    board.add(
        12,
        8,
        trend(
            "Open findings by severity",
            "Open findings of interpreters over time.",
            by_severity(
                "sum(job_os_id_arch_component_severity_provider_linkage_upgrade:libcensus_affected_findings:sum"
                f'{{{SYSTEM}, component=~"$component", severity=~"$severity", severity="%s"}})'
            ),
            colors=SEVERITIES,
            stacked=True,
        ),
    )
    board.add(
        12,
        8,
        trend(
            "Open findings by who built the interpreter",
            "Open findings of interpreters over time, by provider.",
            [Query(f"sum by (provider) ({_FINDINGS})", "{{provider}}")],
            stacked=True,
        ),
    )
    board.row("What to do first")
    board.add(
        24,
        10,
        sheet(
            "Exposed for longest",
            "Installs that could have had a fix for the longest time, the 100 oldest. A click on the host opens it.",
            [
                (
                    "bottomk(100, min by (host, root, path, component, severity) ("
                    f'libcensus_install_exposed_since_timestamp_seconds{{{JOB}, component=~"$component", '
                    f'severity=~"$severity"}} {_OF_HOSTS})) * 1000'
                ),
            ],
            [
                Column("host", "Host", width=120, link=to_host()),
                Column("path", "Interpreter"),
                Column("component", "Component", width=100),
                Column("severity", "Severity", width=90, meanings=SEVERITY_WORDS),
                Column("Value", "Fix available since", unit="dateTimeFromNow", width=170),
            ],
            sort=("Fix available since", False),
        ),
    )
    board.row("Advisories, and how long fixes have waited")
    board.add(
        12,
        11,
        sheet(
            "Advisories by the hosts that they affect",
            "The 100 advisories that affect most hosts (whole fleet), of those that --metrics-advisories lists: by default the "
            "hundred most severe. A number at the top says how many it leaves out. A click opens the advisory.",
            [
                (
                    f'topk(100, max by (advisory, component, severity) (libcensus_advisory_hosts{{{JOB}, component=~"$component", '
                    'severity=~"$severity"})) > 0'
                )
            ],
            [
                Column("advisory", "Advisory", link=("Read it", "https://www.cve.org/CVERecord?id=${__value.raw}")),
                Column("component", "Component", width=95),
                Column("severity", "Severity", width=90, meanings=SEVERITY_WORDS),
                Column("Value", "Hosts", width=80, steps=((None, BLUE),), gauge=False),
            ],
            sort=("Hosts", True),
        ),
    )
    board.add(
        12,
        11,
        sheet(
            "Hosts by how long a fix has waited",
            "Hosts for which a fix of an advisory of this severity could have been installed for longer than so many days, "
            "by the oldest; what an accepted risk covers is not waited for. Whole fleet; a host counts once for each "
            "severity.",
            [_waiting(f"{days}d") for days in (0, *_AGES)],
            [
                Column("severity", "Severity", meanings=SEVERITY_WORDS),
                Column("Value #A", "Any time", width=90),
                *[
                    Column(f"Value #{letter}", f"> {days} days", width=100, steps=((None, "text"), (1, color)))
                    for letter, days, color in zip("BCD", _AGES, (YELLOW, ORANGE, RED), strict=True)
                ],
            ],
            sort=("> 7 days", True),
            none="no fix is waited for",
        ),
    )
    board.row("End of support")
    board.add(
        8,
        11,
        bars(
            "When support ends",
            "Components in use by when the last day of their support is over: each branch of a component counts once on "
            "each host that has it.",
            [
                Query(_ending("0d"), "over"),
                *[
                    Query(f"{_ending(f'{last}d')} - {_ending(f'{first}d')}", f"{last}")
                    for first, last in pairwise((0, *_WINDOWS))
                ],
                Query(f"{_ending('+Inf')} - {_ending(f'{_WINDOWS[-1]}d')}", "later"),
            ],
            colors=ENDS,
        ),
    )
    board.add(
        16,
        11,
        sheet(
            "Support ends",
            "Branches in use, the last day of their support, and hosts: by the distribution where it maintains the "
            "copy, else by the project. Red is over, orange within half a year.",
            [
                f"min by (component, branch) ({_EOL}:min{{{_OF_COMPONENT}}}) * 1000",
                f"min by (component, branch) ({_EOL}:min{{{_OF_COMPONENT}}}) / 86400 + 1 - time() / 86400",
                f"max by (component, branch) ({_EOL}:max{{{_OF_COMPONENT}}}) * 1000",
                f"sum by (component, branch) ({_EOL}:count{{{_OF_COMPONENT}}})",
                f"sum by (component, branch) (job_os_id_arch_component_branch:libcensus_ended_hosts:sum{{{_OF_COMPONENT}}}) > 0",
            ],
            [
                Column("component", "Component"),
                Column("branch", "Branch", width=80),
                Column("Value #A", "First to end", unit="time:YYYY-MM-DD", width=115),
                Column(
                    "Value #B",
                    "Days left",
                    decimals=0,
                    width=90,
                    paints=True,
                    steps=((None, RED), (0, ORANGE), (180, GREEN)),
                ),
                Column("Value #C", "Last to end", unit="time:YYYY-MM-DD", width=105),
                Column("Value #D", "Hosts", width=75),
                Column("Value #E", "Past it", width=80, steps=((None, "text"), (1, RED))),
            ],
            sort=("First to end", False),
        ),
    )
    board.row("Behind what they could be")
    board.add(
        8,
        9,
        bars(
            "Stale installs",
            "Interpreters and environments that are behind what they could be, by reason (whole fleet).",
            [Query(f"sum by (reason) (libcensus_stale_installs{{{JOB}}})", "{{reason}}")],
            colors=STALE,
        ),
    )
    board.add(
        8,
        9,
        trend(
            "Processes on replaced libraries",
            "Interpreter processes that still run on a crypto library or an executable which was replaced or deleted.",
            [Query(f"sum(job_os_id_arch:libcensus_host_outdated_processes:sum{{{SYSTEM}}})", "processes")],
            steps=worse_from(1),
            colors={"processes": ("processes", ORANGE)},
        ),
    )
    board.add(
        8,
        9,
        sheet(
            "Restart something here",
            "The 50 hosts with most processes that still run on a replaced or deleted crypto library or executable.",
            [f"topk(50, max by (host) (job_host:libcensus_host_outdated_processes:max{{{JOB}}} {_OF_HOSTS})) > 0"],
            [
                Column("host", "Host", link=to_host()),
                Column("Value", "Processes", width=110, steps=((None, YELLOW), (3, ORANGE), (10, RED))),
            ],
            sort=("Processes", True),
        ),
    )
    return board.build()
