"""One host: what it is, what is on it, what is wrong, and what would help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.fleet import LABELLED, label_variables
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
    by_severity,
    choice,
    job_variable,
    number,
    sheet,
    states,
    system_variables,
    text,
    trend,
    worse_from,
)
from grafana.security import SEVERITY_WORDS, STALE

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Dashboard

_HOST = f"{JOB}, host=${{host:json}}"
"""Selects the chosen host; as JSON, because a name may hold quotes and newlines, and PromQL escapes them alike."""

_ON = "on (job, host, root, path)"

LINKAGES: dict[str, tuple[str, str | None]] = {
    "system": ("system", BLUE),
    "static": ("static", ORANGE),
    "bundled": ("bundled", ORANGE),
    "local": ("local", ORANGE),
    "unresolved": ("unresolved", GREY),
    "unknown": ("unknown", GREY),
    "none": ("no TLS", GREEN),
}
"""How a crypto library is reached, with the colours of the fleet's dashboard."""

REMEDIES: dict[str, tuple[str, str | None]] = {
    "system": ("Upgrade its package", BLUE),
    "image": ("Pull a new image", "#8F3BB8"),
    "pbs": ("uv self update; uv python upgrade", ORANGE),
    "pyenv": ("Build it again with pyenv", ORANGE),
    "conda": ("conda update", ORANGE),
    "pypi": ("Upgrade the wheel", ORANGE),
    "source": ("Build it again", ORANGE),
    "upstream": ("Install the newer release", ORANGE),
    "vendor": ("Update the vendor's package", ORANGE),
    "nix": ("Update the channel and rebuild", ORANGE),
    "snap": ("snap refresh", ORANGE),
    "unknown": ("Nobody can tell", GREY),
}
"""What brings a fix, by who built an install; what the distribution maintains and what lies in an image come first."""


def _with_remedy(expr: str) -> str:
    """Add the label ``remedy`` to series with the labels of an install and component, provider and linkage."""
    joined = f'label_join({expr}, "brought", ";", "root", "provider", "component", "linkage")'
    own = f'label_replace({joined}, "remedy", "$1", "provider", "(.*)")'
    system = f'label_replace({own}, "remedy", "system", "brought", "/;(distro;.*|[^;]*;openssl;system)")'
    return f'label_replace({system}, "remedy", "image", "brought", "[^;]{{2,}};.*")'


def host() -> Dashboard:
    """Return the dashboard."""
    board = Board(
        "libcensus-host",
        "libcensus: Host",
        "What one host is, what is on it, what is wrong, and what would help.",
        [
            job_variable(),
            *system_variables(),
            *label_variables(),
            choice(
                "host",
                "Host",
                f"query_result(count by (host) (libcensus_host_info{{{SYSTEM}}} {LABELLED}))",
                regex=r'/host="([\s\S]*)"\} /',
                everything=None,
                multi=False,
            ),
        ],
    )
    info = f"libcensus_host_info{{{_HOST}}}"
    board.row("$host")
    board.add(
        4,
        4,
        text(
            "System",
            "The distribution and its version, from os-release.",
            f'label_join({info}, "system", " ", "os_id", "os_version")',
            "system",
        ),
    )
    board.add(
        4,
        4,
        text(
            "C library",
            "Which C library is there: what needs a newer one does not start.",
            f'label_join({info}, "c", " ", "libc", "libc_version")',
            "c",
        ),
    )
    board.add(
        4,
        4,
        text(
            "Processor",
            "Architecture, and on x86-64 the level of its instructions (2, 3 or 4).",
            f'label_replace(label_join({info}, "cpu", " ", "arch", "x86_64_level"), "cpu", '
            '"x86-64-v$1", "cpu", "x86_64 (.+)")',
            "cpu",
        ),
    )
    board.add(4, 4, text("Kernel", "The kernel that was running at the last scan.", info, "kernel"))
    board.add(
        4,
        4,
        number(
            "Last report",
            "Since when the collector has heard nothing: how old all of this is.",
            f"time() - max(libcensus_host_last_report_timestamp_seconds{{{_HOST}}})",
            unit="s",
            decimals=0,
            none="never",
            steps=((None, GREEN), (86400, ORANGE), (7 * 86400, RED)),
        ),
    )
    board.add(
        4,
        4,
        number(
            "Processes to restart",
            "Interpreter processes that still run on a crypto library or an executable which was replaced or deleted.",
            f"max(libcensus_host_outdated_processes{{{_HOST}}})",
            steps=worse_from(1, 10),
            none="not looked at",
        ),
    )
    for severity, (name, color) in SEVERITIES.items():
        board.add(
            4,
            4,
            number(
                name,
                f"Open findings of this host whose advisory is rated {name.lower()}: interpreters, libraries, and copies "
                "of OpenSSL in wheels."
                if severity != "unknown"
                else "Open findings of this host whose advisory nobody rates; most of CPython's are so.",
                f'sum(libcensus_host_findings{{{_HOST}, status="affected", severity="{severity}"}})',
                steps=((None, GREEN), (1, color)),
            ),
        )
    board.add(
        4,
        4,
        number(
            "Failed probes",
            "Parts of the last scan that could not be read.",
            f"count(libcensus_host_probe_success{{{_HOST}}} == 0)",
            steps=worse_from(1, 3),
        ),
    )
    board.row("What is on it")
    installs = f"libcensus_install_info{{{_HOST}}}"
    board.add(
        24,
        8,
        sheet(
            "Interpreters and environments",
            "Every install: who built it, and the newest glibc that its files need. A path in a container is as seen inside.",
            [
                (
                    f'max by (root, path, kind, interpreter, provider, glibc) (label_join({installs}, "interpreter", " ", '
                    '"implementation", "version"))'
                )
            ],
            [
                Column("path", "Path"),
                Column("root", "In", width=110, meanings={"/": ("the host", None)}),
                Column("interpreter", "Interpreter", width=130),
                Column("kind", "Kind", width=65),
                Column("provider", "Built by", width=120),
                Column("glibc", "Needs glibc", width=100),
            ],
            sort=("Path", False),
        ),
    )
    board.add(
        24,
        8,
        sheet(
            "The OpenSSL that each really uses",
            "The crypto library of each install, and how it is reached. system: a shared library of the package. static: "
            "inside the executable. bundled: a library of the interpreter's own. local: one that no package owns.",
            [
                (
                    f'max by (root, path, crypto, linkage, package) (label_join({installs}, "crypto", " ", "family", '
                    '"crypto_version"))'
                )
            ],
            [
                Column("path", "Path"),
                Column("root", "In", width=110, meanings={"/": ("the host", None)}),
                Column("crypto", "Library", width=130),
                Column("linkage", "Reached", width=105, meanings=LINKAGES),
                Column("package", "From package", width=250),
            ],
            sort=("Path", False),
        ),
    )
    board.row("What is wrong, and what helps")
    findings = (
        f"(max by (job, host, root, path, component, severity) (libcensus_install_findings{{{_HOST}, "
        'status="affected"}) > 0) '
        f"* {_ON} group_left (provider, linkage) max by (job, host, root, path, provider, linkage) "
        f"(libcensus_install_info{{{_HOST}}})"
    )
    since = f"max by (job, host, root, path, component, severity) (libcensus_install_exposed_since_timestamp_seconds{{{_HOST}}})"
    board.add(
        24,
        8,
        sheet(
            "Open findings and their remedy",
            "Open findings of each interpreter, what brings the fix, and since when it could "
            "have been installed (empty: no fix yet, or nobody tells the day). `libcensus show HOST` names each advisory with "
            "its proof and the exact version.",
            [
                f"sum by (path, component, severity, remedy) ({_with_remedy(findings)})",
                f"min by (path, component, severity, remedy) ({_with_remedy(f'({findings}) * 0 + on (job, host, root, path, component, severity) group_left () {since}')}) * 1000",
            ],
            [
                Column("path", "Interpreter"),
                Column("component", "In", width=80),
                Column("severity", "Severity", width=95, meanings=SEVERITY_WORDS),
                Column("Value #A", "Findings", width=80),
                Column("remedy", "Remedy", width=255, meanings=REMEDIES),
                Column("Value #B", "Fix available since", unit="dateTimeFromNow", width=150),
            ],
            sort=("Severity", False),
            none="nothing is open",
        ),
    )
    board.add(
        24,
        7,
        sheet(
            "Behind what they could be",
            "Interpreters and environments that could be newer, by reason.",
            [f"max by (path, reason) (libcensus_install_stale{{{_HOST}}})"],
            [
                Column("path", "Path"),
                Column("reason", "Why", width=265, meanings=dict(STALE)),
            ],
            sort=("Path", False),
            none="nothing is stale",
        ),
    )
    board.row("How long it is supported, and whether all of it was read")
    board.add(
        10,
        8,
        sheet(
            "Support ends",
            "Until when the branch of each component is supported.",
            [
                f"min by (component, branch) (libcensus_install_eol_timestamp_seconds{{{_HOST}}}) * 1000",
                f"min by (component, branch) (libcensus_install_eol_timestamp_seconds{{{_HOST}}}) / 86400 + 1 - time() / 86400",
                f"count by (component, branch) (libcensus_install_eol_timestamp_seconds{{{_HOST}}})",
            ],
            [
                Column("component", "Component"),
                Column("branch", "Branch", width=70),
                Column("Value #A", "Last day", unit="time:YYYY-MM-DD", width=110),
                Column(
                    "Value #B",
                    "Days left",
                    decimals=0,
                    width=85,
                    paints=True,
                    steps=((None, RED), (0, ORANGE), (180, GREEN)),
                ),
                Column("Value #C", "Installs", width=75),
            ],
            sort=("Last day", False),
            none="nobody says",
        ),
    )
    board.add(
        14,
        8,
        states(
            "Probes",
            "Whether each part of the scan could be read. A part that was skipped (nothing of the kind, a capability "
            "that the agent was not given) is not here.",
            Query(f"max by (probe) (libcensus_host_probe_success{{{_HOST}}})", "{{probe}}"),
            {"1": ("read", GREEN), "0": ("failed", RED)},
        ),
    )
    board.row("Over time")
    board.add(
        24,
        8,
        trend(
            "Open findings",
            "Open findings of this host by severity.",
            by_severity(f'sum(libcensus_host_findings{{{_HOST}, status="affected", severity="%s"}})'),
            colors=SEVERITIES,
            stacked=True,
        ),
    )
    return board.build()
