"""The fleet at a glance: who reports, what it is made of, what is wrong, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.panels import (
    BLUE,
    GREEN,
    GREY,
    JOB,
    ORANGE,
    RED,
    SEVERITIES,
    SYSTEM,
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
    to_dashboard,
    to_host,
    trend,
    worse_from,
)

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Dashboard

LABELLED = (
    'and on (job, host) libcensus_host_info{job=~"$job", os_id=~"$os_id", arch=~"$arch"} '
    'and on (job, host) (libcensus_host_labels{job=~"$job", $label=~"$value"} '
    'or libcensus_host_info{job=~"$job", $label=~"$value"})'
)
"""Keeps the hosts that all variables select; without labels of hosts the last condition holds for all of them."""


def label_variables() -> tuple[object, object]:
    """Return the variables of the operator's own labels: which, and what it must be."""
    return (
        choice(
            "label",
            "Host label",
            "label_names()",
            everything=None,
            multi=False,
            regex="/^(label_.+|host)$/",
            default="host",
            about="One of the labels that --metrics-labels allows (env, team, …), or the host's name.",
        ),
        choice("value", "is", 'label_values({__name__=~"libcensus_host_labels|libcensus_host_info"}, $label)'),
    )


UPGRADES = {
    "system": ("A system upgrade", BLUE),
    "own": ("A new build from its provider", ORANGE),
    "image": ("A new container image", "#8F3BB8"),
}


def by_upgrade(selected: str) -> list[Query]:
    """Return the open findings of interpreters by what would bring the fix, the easiest first."""
    name = "job_os_id_arch_component_severity_provider_linkage_upgrade:libcensus_affected_findings:sum"
    return [Query(f'sum({name}{{{selected}, upgrade="{upgrade}"}})', upgrade) for upgrade in UPGRADES]


def fleet() -> Dashboard:
    """Return the dashboard."""
    board = Board(
        "libcensus-fleet",
        "libcensus: Fleet",
        "Who reports, what the fleet is made of, what is wrong with it, and where.",
        [job_variable(), *system_variables(), *label_variables()],
    )
    board.row("Now")
    board.add(
        4,
        4,
        number(
            "Hosts",
            "Hosts that have reported at least once and that the variables select.",
            f"count(max by (job, host) (libcensus_host_info{{{SYSTEM}}}) {LABELLED})",
        ),
    )
    board.add(
        4,
        4,
        number(
            "Silent for a day",
            "Hosts whose last report is older than 24 hours: nobody knows what they are now. "
            "The table below and the one of agents name them.",
            f'count((time() - job_host:libcensus_host_last_report_timestamp_seconds:max{{job=~"$job"}} > scalar(libcensus:silent_after_seconds:threshold)) {LABELLED})',
            steps=worse_from(1, 10),
            link=to_dashboard("Collector and agents", "libcensus-collector"),
        ),
    )
    board.add(
        4,
        4,
        number(
            "Hosts: critical, high",
            "Hosts on which at least one interpreter, library or copy is affected "
            "by an advisory that its source rates critical or high.",
            f"count(count by (job, host) (job_host_severity:libcensus_host_affected_findings:max{{{JOB}, "
            f'severity=~"critical|high"}}) {LABELLED})',
            steps=worse_from(1, 100),
            link=to_dashboard("Security posture", "libcensus-security"),
        ),
    )
    board.add(
        4,
        4,
        number(
            "Hosts to restart",
            "Hosts with interpreter processes that still run on a crypto library or an "
            "executable which was replaced or deleted: they need a restart before an upgrade helps them.",
            f'count(job_host:libcensus_host_outdated_processes:max{{job=~"$job"}} > 0 {LABELLED})',
            steps=worse_from(1, 50),
            link=to_dashboard("Security posture", "libcensus-security"),
        ),
    )
    board.add(
        4,
        4,
        number(
            "Hosts past support",
            "Hosts on which one component (an interpreter, its OpenSSL, the C library) is on a branch whose last day of "
            "support is over.",
            "count(min by (job, host) (job_host_os_id_arch_component_branch:libcensus_host_eol_timestamp_seconds:min"
            f"{{{SYSTEM}}}) + 86400 <= time() {LABELLED})",
            steps=worse_from(1, 100),
            link=to_dashboard("Security posture", "libcensus-security"),
        ),
    )
    board.add(
        4,
        4,
        number(
            "Hosts: failed probe",
            "Hosts whose last scan could not read something, so that facts are missing.",
            f"count(count by (job, host) (job_host_probe:libcensus_failed_probes:min{{{JOB}}}) {LABELLED})",
            steps=worse_from(1, 20),
            link=to_dashboard("Collector and agents", "libcensus-collector"),
        ),
    )
    board.row("Findings")
    board.add(
        8,
        8,
        bars(
            "Open findings by severity",
            "One advisory that affects one interpreter, library or copy on one host is one "
            "finding. Most advisories of CPython are not rated by anybody, so these are counted apart.",
            by_severity(
                f'sum(job_host_severity:libcensus_host_affected_findings:max{{{JOB}, severity="%s"}} {LABELLED})'
            ),
            colors=SEVERITIES,
        ),
    )
    board.add(
        8,
        8,
        bars(
            "Would a system upgrade fix it?",
            "Open findings of interpreters by what would bring the fix: the distribution's "
            "packages (its own interpreters, and whatever uses its OpenSSL), whoever built an interpreter that carries its "
            "own copy, or a new image for what runs in a container. By distribution and architecture of the host.",
            by_upgrade(SYSTEM),
            colors=UPGRADES,
        ),
    )
    board.add(
        8,
        8,
        bars(
            "Critical and high, by who built it",
            "Open findings of interpreters that are rated critical or high, by "
            "provider. By distribution and architecture of the host.",
            [
                Query(
                    f"sort_desc(sum by (provider) (job_os_id_arch_component_severity_provider_linkage_upgrade:libcensus_affected_findings:sum{{{SYSTEM}, "
                    'severity=~"critical|high"}))',
                    "{{provider}}",
                )
            ],
            steps=((None, RED),),
        ),
    )
    board.row("Trend")
    board.add(
        12,
        8,
        trend(
            "Open findings",
            "Open findings by severity, by distribution and architecture of the host.",
            by_severity(
                "sum(job_os_id_os_version_arch_severity:libcensus_host_affected_findings:sum"
                f'{{{SYSTEM}, severity="%s"}})'
            ),
            colors=SEVERITIES,
            stacked=True,
        ),
    )
    board.add(
        12,
        8,
        trend(
            "Hosts with a critical or high finding, and silent ones",
            "Hosts with at least one open finding of the severity, and hosts without a report for a day; by distribution "
            "and architecture.",
            [
                Query(
                    f'sum(job_os_id_os_version_arch_severity:libcensus_affected_hosts:count{{{SYSTEM}, severity="critical"}})',
                    "with a critical finding",
                ),
                Query(
                    f'sum(job_os_id_os_version_arch_severity:libcensus_affected_hosts:count{{{SYSTEM}, severity="high"}})',
                    "with a high finding",
                ),
                Query(f"sum(job_os_id_os_version_arch:libcensus_silent_hosts:count{{{SYSTEM}}})", "silent for a day"),
            ],
            colors={
                "with a critical finding": ("with a critical finding", SEVERITIES["critical"][1]),
                "with a high finding": ("with a high finding", SEVERITIES["high"][1]),
                "silent for a day": ("silent for a day", GREY),
            },
        ),
    )
    board.row("What it is made of")
    board.add(
        6,
        13,
        bars(
            "Hosts by distribution",
            "Hosts by operating system and its version.",
            [Query(f"sort_desc(sum by (os_id, os_version) (libcensus_hosts{{{SYSTEM}}}))", "{{os_id}} {{os_version}}")],
        ),
    )
    board.add(
        6,
        13,
        bars(
            "Hosts by C library",
            "Hosts by C library and its version; what is built for an older glibc runs on a newer one.",
            [
                Query(
                    f"sort_desc(sum by (libc, libc_version) (libcensus_hosts{{{SYSTEM}}}))", "{{libc}} {{libc_version}}"
                )
            ],
        ),
    )
    board.add(
        6,
        13,
        bars(
            "Interpreters by provider",
            "Interpreters and virtual environments by who built them: distro is the "
            "distribution, pbs is python-build-standalone (uv, rye, hatch, mise).",
            [
                Query(
                    f"sort_desc(sum by (provider) (job_os_id_arch_implementation_version_provider_linkage:libcensus_installs:count{{{SYSTEM}}}))",
                    "{{provider}}",
                )
            ],
        ),
    )
    board.add(
        6,
        13,
        bars(
            "How OpenSSL is reached",
            "system: the distribution's shared library. static: inside the "
            "executable. bundled: a library of the interpreter's own. unresolved: it could not be found. none: there is no "
            "TLS.",
            [
                Query(
                    f"sort_desc(sum by (linkage) (job_os_id_arch_implementation_version_provider_linkage:libcensus_installs:count{{{SYSTEM}}}))",
                    "{{linkage}}",
                )
            ],
            colors={
                "system": ("system", BLUE),
                "static": ("static", ORANGE),
                "bundled": ("bundled", ORANGE),
                "unresolved": ("unresolved", GREY),
                "unknown": ("unknown", GREY),
                "none": ("none", GREEN),
            },
        ),
    )
    board.row("Where")
    board.add(
        14,
        12,
        sheet(
            "Distributions",
            "Hosts and their open findings by distribution.",
            [
                f"sum by (os_id, os_version) (libcensus_hosts{{{SYSTEM}}})",
                f"sum by (os_id, os_version) (job_os_id_os_version_arch:libcensus_silent_hosts:count{{{SYSTEM}}})",
                *[
                    f'sum by (os_id, os_version) (job_os_id_os_version_arch_severity:libcensus_host_affected_findings:sum{{{SYSTEM}, severity="{severity}"}})'
                    for severity in SEVERITIES
                ],
            ],
            [
                Column("os_id", "Distribution"),
                Column("os_version", "Version", width=75),
                Column("Value #A", "Hosts", width=72),
                Column("Value #B", "Silent", width=65, steps=worse_from(1)),
                *[
                    Column(f"Value #{letter}", name, width=86, steps=((None, "text"), (1, color)))
                    for letter, (name, color) in zip("CDEFG", SEVERITIES.values(), strict=True)
                ],
            ],
            sort=("Hosts", True),
        ),
    )
    board.add(
        10,
        12,
        sheet(
            "Hosts to look at first",
            "The 50 hosts with the most open findings rated critical or high. A click on a host opens it.",
            [
                (
                    "topk(50, sum by (job, host) (job_host_severity:libcensus_host_affected_findings:max"
                    f'{{{JOB}, severity=~"critical|high"}} {LABELLED})) '
                    "* on (job, host) group_left (os_id, os_version, arch) "
                    f"max by (job, host, os_id, os_version, arch) (libcensus_host_info{{{SYSTEM}}})"
                ),
            ],
            [
                Column("host", "Host", link=to_host()),
                Column("os_id", "Distribution", width=100),
                Column("os_version", "Version", width=75),
                Column("arch", "Arch", width=80),
                Column(
                    "Value",
                    "Critical, high",
                    width=125,
                    steps=((None, "text"), (10, ORANGE), (30, RED)),
                ),
            ],
            sort=("Critical, high", True),
        ),
    )
    return board.build()
