"""Where things start: C libraries, wheels' policies, builds and what keeps them from starting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.panels import (
    BLUE,
    GREEN,
    JOB,
    ORANGE,
    RED,
    YELLOW,
    Board,
    Column,
    Query,
    Steps,
    bars,
    better_from,
    choice,
    job_variable,
    number,
    sheet,
    trend,
    worse_from,
)

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Dashboard

_HOSTS = f'libcensus_hosts{{{JOB}, arch=~"$arch"}}'
_REACHED = f'libcensus_manylinux_hosts{{{JOB}, arch=~"$arch", policy="$floor"}}'
_BUILDS = f'libcensus_build_hosts{{{JOB}, provider=~"$provider", implementation=~"$implementation"}}'

REASONS = {
    "loader": "Other C library",
    "x86_64_level": "Older CPU",
    "symbol_version": "Older glibc",
    "soname": "Library missing",
    "kernel": "Older kernel",
}
"""What keeps a build of the right architecture from starting, in the order of the verdicts."""


def _with_short_name(expr: str) -> str:
    """Name builds by the first characters of their digest, as people do with commits."""
    named = f'label_replace({expr}, "id", "$1", "build", "(.{{8}}).*")'
    return f"max by (id, implementation, version, provider, arch) ({named})"


def portability() -> Dashboard:
    """Return the dashboard."""
    board = Board(
        "libcensus-portability",
        "libcensus: Portability",
        "On which hosts a wheel, a build or a binary starts, and what keeps it from the others.",
        [
            job_variable(),
            choice("arch", "Architecture", f"label_values(libcensus_hosts{{{JOB}}}, arch)"),
            choice(
                "floor",
                "What if we build for",
                f'label_values(libcensus_manylinux_hosts{{{JOB}, arch=~"$arch"}}, policy)',
                everything=None,
                multi=False,
                default="manylinux_2_28",
                about="The oldest platform that you would still build for, as pip names it.",
            ),
            choice("provider", "Built by", f"label_values(libcensus_build_info{{{JOB}}}, provider)"),
            choice("implementation", "Interpreter", f"label_values(libcensus_build_info{{{JOB}}}, implementation)"),
        ],
    )
    board.row("What if we build for $floor")
    board.add(
        6,
        4,
        number(
            "Hosts that it reaches",
            "Hosts on which pip and uv take a wheel of the chosen policy.",
            f"sum({_REACHED})",
        ),
    )
    board.add(
        6,
        4,
        number(
            "Hosts that it loses",
            "Hosts of these architectures on which a wheel of the chosen policy is not taken, "
            "because their C library is older or another one.",
            f"sum({_HOSTS}) - sum({_REACHED})",
            steps=worse_from(1, 50),
        ),
    )
    board.add(
        6,
        4,
        number(
            "Share of the hosts",
            "Share of the hosts of these architectures on which a wheel of the chosen policy is taken.",
            f"sum({_REACHED}) / sum({_HOSTS})",
            unit="percentunit",
            steps=better_from(0.8, 0.95),
            decimals=1,
        ),
    )
    board.add(
        6,
        4,
        number(
            "Builds that fail somewhere",
            "Interpreter builds in use which would not start on some other host of the same architecture and C library: "
            "its CPU, kernel, glibc or another library is too old. A distribution's own are left out: they are made for it.",
            f'count(count by (job, build) ({_BUILDS[:-1]}, arch=~"$arch", verdict="blocked", provider!="distro", reason!~"arch|loader"}} > 0))',
            steps=worse_from(1, 100),
        ),
    )
    board.row("Reach")
    board.add(
        7,
        14,
        bars(
            "Hosts by C library",
            "Hosts by C library and version. Whatever needs a newer glibc than a host has does not start there.",
            [Query(f"sort_desc(sum by (libc, libc_version) ({_HOSTS}))", "{{libc}} {{libc_version}}")],
        ),
    )
    board.add(
        8,
        14,
        bars(
            "Share of the hosts that a wheel reaches",
            "Share of the hosts on which pip and uv take a wheel of this policy. "
            "manylinux is for glibc, musllinux for musl; manylinux2014 is manylinux_2_17.",
            [
                Query(
                    f'sort_desc(sum by (policy) (libcensus_manylinux_hosts{{{JOB}, arch=~"$arch"}}) / scalar(sum({_HOSTS})))',
                    "{{policy}}",
                )
            ],
            unit="percentunit",
            steps=better_from(0.8, 0.95),
            maximum=1,
            decimals=1,
        ),
    )
    board.add(
        9,
        14,
        sheet(
            "Which distributions have which C library",
            "Hosts by distribution with the C library that they have: those above "
            "the line of the chosen policy are lost with it.",
            [f"sum by (os_id, os_version, libc, libc_version) ({_HOSTS})"],
            [
                Column("libc_version", "Version", width=85),
                Column("libc", "C library", width=78),
                Column("os_id", "Distribution"),
                Column("os_version", "Release", width=72),
                Column("Value", "Hosts", width=65),
            ],
            sort=("Version", False),
        ),
    )
    board.row("Trend")
    board.add(
        12,
        8,
        trend(
            "Hosts by C library",
            "How hosts with an old C library go and others come.",
            [Query(f"sum by (libc, libc_version) ({_HOSTS})", "{{libc}} {{libc_version}}")],
            stacked=True,
        ),
    )
    board.add(
        12,
        8,
        trend(
            "Share of the hosts that $floor reaches",
            "Share of the hosts on which a wheel of the chosen policy is taken, over time.",
            [Query(f"sum({_REACHED}) / sum({_HOSTS})", "hosts reached")],
            unit="percentunit",
            steps=better_from(0.8, 0.95),
            decimals=1,
            colors={"hosts reached": ("hosts reached", BLUE)},
        ),
    )
    groups = "job, build, implementation, version, provider, arch"

    def hosts(condition: str) -> str:
        return f'sum by ({groups}) ({_BUILDS[:-1]}, arch=~"$arch", {condition}}})'

    columns = [
        Column("id", "Build", width=100),
        Column("implementation", "Interpreter", width=110),
        Column("version", "Version", width=100),
        Column("provider", "Built by", width=130),
        Column("arch", "Arch", width=90),
        Column(
            "Value #A",
            "Share of its architecture",
            unit="percentunit",
            decimals=0,
            maximum=1,
            gauge=True,
            steps=better_from(0.8, 0.999),
        ),
        Column("Value #B", "Starts on", width=100, steps=((None, GREEN),)),
    ]
    runs = hosts('verdict="runs"')
    own = hosts('reason!="arch"')
    steps: Steps = ((None, "transparent"), (1, YELLOW), (10, ORANGE), (50, RED))
    queries = [f"{runs} / {own}", runs]
    for letter, (reason, title) in zip("CDEFG", REASONS.items(), strict=True):
        blocked = hosts(f'verdict="blocked", reason="{reason}"')
        queries.append(f"{blocked} > 0")
        columns.append(Column(f"Value #{letter}", title, width=125, paints=True, steps=steps, none=" "))
    unknown = hosts('verdict="unknown"')
    queries.append(f"{unknown} > 0")
    columns.append(Column("Value #H", "Nobody can tell", width=130, steps=((None, BLUE),), none=" "))
    queries = [_with_short_name(query) for query in queries]
    board.row("Builds and where they start")
    board.add(
        24,
        16,
        sheet(
            "Every build in use, on every host of its architecture",
            "For each interpreter build that was found somewhere: on "
            "how many hosts of its architecture it would start, and what first keeps it from the others (a coloured number "
            "of hosts): another C library (glibc or musl), a CPU without the instructions, a glibc that is too old, a shared "
            "library that is not there, a kernel that is too old.",
            queries,
            columns,
            sort=("Share of its architecture", False),
        ),
    )
    return board.build()
