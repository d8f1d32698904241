"""Who brings fixes how fast, and how far behind its newest build each provider's installs are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.panels import (
    DAYS,
    GREEN,
    JOB,
    ORANGE,
    RED,
    Board,
    Column,
    Query,
    bars,
    choice,
    job_variable,
    number,
    sheet,
    trend,
    worse_from,
)
from libcensus.collector.posture.exposure import BUCKET_DAYS

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Dashboard

_DAY = 86400
_SELECTED = f'{JOB}, provider=~"$provider", component=~"$component", severity=~"$severity"'
_BUCKETS = f"libcensus_patch_latency_seconds_bucket{{{_SELECTED}}}"
_COUNT = f"libcensus_patch_latency_seconds_count{{{_SELECTED}}}"
_BRANCHES = f'libcensus_branch_installs{{{JOB}, provider=~"$provider"}}'
_BEHIND = (
    f'sum by (provider) ({_BRANCHES[:-1]}, state="stale"}}) '
    f'/ (sum by (provider) ({_BRANCHES[:-1]}, state=~"stale|current"}}) > 0)'
)
"""Share of the installs that are behind the newest build, by provider, of those of which it is known."""


TOOK = {f"{float(days * _DAY)!r}": (f"up to {days} day{'' if days == 1 else 's'}", GREEN) for days in BUCKET_DAYS} | {
    "+Inf": ("longer", GREEN)
}
"""The buckets of patch latency, in words."""


def _within(days: int) -> str:
    """Share of what was patched so soon, by provider; buckets are present state, and never a rate."""
    # Bounds have a fraction in either format.
    return f'sum by (provider) ({_BUCKETS[:-1]}, le="{float(days * _DAY)!r}"}}) / sum by (provider) ({_COUNT})'


def _quantile(share: float) -> str:
    return f"histogram_quantile({share}, sum by (provider, le) ({_BUCKETS})) / {_DAY}"


def _newest() -> str:
    """Return when the newest build of each branch came out, with what it is called as ``newest``."""
    newest = f'libcensus_newest_build_timestamp_seconds{{{JOB}, provider=~"$provider"}}'
    named = f'label_join({newest}, "newest", " ", "version", "provider_build")'
    return f"max by (provider, implementation, branch, newest) ({named})"


TIMES = "suffix: times"
UNMEASURED = "nobody measured it"
_MEASURED = "machine, provider, interpreter, beside"


def _speed_labels(of: str) -> str:
    """Return a measured figure over the whole workload, with its build and its baseline in words."""
    found = f'libcensus_build_speed_{of}{{{JOB}, provider=~"$provider", part="all"}}'
    named = f'label_join({found}, "interpreter", " ", "implementation", "version")'
    return f'label_join({named}, "beside", " ", "baseline_provider", "baseline_version")'


def _speed(of: str, by: str) -> str:
    """Return a measured figure over the whole workload by labels; of several workloads the best known one."""
    return f"max by ({by}) ({_speed_labels(of)})"


def providers() -> Dashboard:
    """Return the dashboard."""
    board = Board(
        "libcensus-providers",
        "libcensus: Providers",
        "How fast each provider's fixes reach the hosts, and how far its installs are behind its newest build.",
        [
            job_variable(),
            choice("provider", "Provider", f"label_values(libcensus_installs{{{JOB}}}, provider)"),
            choice("component", "Component", f"label_values(libcensus_findings{{{JOB}}}, component)"),
            choice("severity", "Severity", f"label_values(libcensus_findings{{{JOB}}}, severity)"),
        ],
    )
    board.row("How fast fixes arrive")
    board.add(
        6,
        4,
        number(
            "Fixes that arrived",
            "Findings that went away because the fix was installed, and of which both days are known.",
            f"sum({_COUNT})",
        ),
    )
    board.add(
        6,
        4,
        number(
            "Half of them within",
            "Median time from the day on which a provider's fix could be installed to the host's first "
            "report without the finding. Interpolated within buckets.",
            f"histogram_quantile(0.5, sum by (le) ({_BUCKETS})) / {_DAY}",
            unit=DAYS,
            decimals=0,
            none="none arrived",
            steps=worse_from(14, 60),
        ),
    )
    board.add(
        6,
        4,
        number(
            "Fix is out, not installed",
            "Open findings whose provider has published a fix.",
            f"sum(libcensus_exposed_findings{{{_SELECTED}}})",
            steps=worse_from(1, 1000),
        ),
    )
    board.add(
        6,
        4,
        number(
            "Installs behind their provider",
            "Interpreters for which their provider has a newer build of the same branch; environments follow their base.",
            f'sum({_BRANCHES[:-1]}, state="stale"}})',
            steps=worse_from(1, 100),
        ),
    )
    board.add(
        11,
        9,
        bars(
            "Half of the fixes were on the host within",
            "Half of a provider's fixes were on the host within this time. Fixes that "
            "have not arrived yet are not in it: see the open ones beside.",
            [Query(f"sort({_quantile(0.5)})", "{{provider}}")],
            unit=DAYS,
            decimals=0,
            steps=worse_from(14, 60),
            none="none arrived",
        ),
    )
    board.add(
        13,
        9,
        sheet(
            "Providers compared",
            "Of the fixes that arrived: how many, how soon, and what is open still: fixes that are out and not installed, and findings of which no "
            "source tells since when the provider has the fix (undated).",
            [
                f"sum by (provider) ({_COUNT}) > 0",
                _within(7),
                _within(30),
                _within(90),
                _quantile(0.9),
                f"sum by (provider) (libcensus_exposed_findings{{{_SELECTED}}})",
                f"sum by (provider) (libcensus_undated_findings{{{_SELECTED}}})",
            ],
            [
                Column("provider", "Provider"),
                Column("Value #A", "Arrived", width=72),
                *[
                    Column(
                        f"Value #{letter}",
                        f"≤ {days} d",
                        unit="percentunit",
                        decimals=0,
                        width=75,
                        paints=True,
                        steps=((None, "transparent"), (0, RED), (0.5, ORANGE), (0.8, GREEN)),
                    )
                    for letter, days in (("B", 7), ("C", 30), ("D", 90))
                ],
                Column("Value #E", "90 % within", unit=DAYS, decimals=0, width=98),
                Column("Value #F", "Not installed", width=105, steps=((None, "text"), (1, ORANGE))),
                Column("Value #G", "Undated", width=75),
            ],
            sort=("Arrived", True),
        ),
    )
    board.add(
        12,
        9,
        bars(
            "How long fixes took",
            "Fixes that arrived, by the time that they took: each bar counts those that took at most so "
            "long and more than the bar before.",
            [Query(f"sum by (le) ({_BUCKETS})", "{{le}}")],
            as_heatmap=True,
            steps=((None, GREEN),),
            colors=TOOK,
        ),
    )
    board.add(
        12,
        9,
        bars(
            "Fixes that are out and not installed",
            "Open findings whose provider has published a fix, by provider.",
            [Query(f"sort_desc(sum by (provider) (libcensus_exposed_findings{{{_SELECTED}}}) > 0)", "{{provider}}")],
            steps=((None, ORANGE),),
        ),
    )
    board.row("Trend")
    board.add(
        12,
        8,
        trend(
            "Fixes that are out and not installed",
            "Open findings whose provider has published a fix, over time.",
            [Query(f"sum by (provider) (libcensus_exposed_findings{{{_SELECTED}}}) > 0", "{{provider}}")],
            stacked=True,
        ),
    )
    board.add(
        12,
        8,
        trend(
            "Installs behind their provider's newest build",
            "Share of a provider's installs for which a newer build of the same branch exists.",
            [
                Query(
                    _BEHIND,
                    "{{provider}}",
                )
            ],
            unit="percentunit",
            steps=worse_from(0.2, 0.5),
        ),
    )
    board.row("Newest build against the fleet")
    board.add(
        8,
        12,
        bars(
            "Share behind the newest build",
            "Share of a provider's installs for which a newer build of the same branch exists; environments follow their "
            "base. Missing where nobody tells what is newest.",
            [Query(f"sort_desc({_BEHIND})", "{{provider}}")],
            unit="percentunit",
            maximum=1,
            decimals=0,
            steps=worse_from(0.2, 0.5),
        ),
    )
    branch = "provider, implementation, branch"
    board.add(
        16,
        12,
        sheet(
            "Newest build of each branch",
            "What each provider's newest build of a branch in use is, since when it has been out, and how many installs are "
            "it. A distribution has another one for each of its releases. Unknown: nobody tells.",
            [
                f'sum by ({branch}) ({_BRANCHES[:-1]}, state="current"}})',
                f'sum by ({branch}) ({_BRANCHES[:-1]}, state="stale"}})',
                f'sum by ({branch}) ({_BRANCHES[:-1]}, state="unknown"}})',
                f"{_newest()} * 1000",
            ],
            [
                Column("provider", "Provider", width=125),
                Column("implementation", "Interpreter", width=90),
                Column("branch", "Branch", width=70),
                Column("newest", "Newest"),
                Column("Value #D", "Out since", unit="time:YYYY-MM-DD", width=100),
                Column("Value #A", "Are it", width=65, steps=((None, "text"), (1, GREEN))),
                Column("Value #B", "Behind", width=80, steps=((None, "text"), (1, ORANGE))),
                Column("Value #C", "Unknown", width=80),
            ],
            sort=("Behind", True),
        ),
    )
    board.row("What is in use")
    board.add(
        12,
        12,
        sheet(
            "python-build-standalone's builds",
            "Installs by the build that they are of, the newest first: what uv, rye, hatch and mise bring.",
            [
                f'sum by (provider_build, version) (job_provider_provider_build_implementation_version:libcensus_installs:count{{{JOB}, provider="pbs"}})'
            ],
            [
                Column("provider_build", "Build"),
                Column("version", "Python", width=110),
                Column("Value", "Installs", width=100),
            ],
            sort=("Build", True),
        ),
    )
    board.add(
        12,
        12,
        sheet(
            "Versions in use",
            "Interpreters by provider and version, the most frequent first.",
            [f'sum by (implementation, version, provider) (libcensus_installs{{{JOB}, provider=~"$provider"}})'],
            [
                Column("provider", "Provider", width=115),
                Column("implementation", "Interpreter", width=90),
                Column("version", "Version"),
                Column("Value", "Installs", width=80),
            ],
            sort=("Installs", True),
        ),
    )
    board.row("uv, and what else installs interpreters")
    board.add(
        10,
        10,
        sheet(
            "Which uv versions are around",
            "Hosts by the version of each tool that installs interpreters, those that know the newest builds first. A uv "
            "installs no build of python-build-standalone that is newer than the one named here; a host that has several "
            "versions counts for each.",
            [f"max by (installer, version, newest_build) (libcensus_installer_hosts{{{JOB}}})"],
            [
                Column("installer", "Tool", width=80),
                Column("version", "Version"),
                Column("newest_build", "Newest build it knows", width=165),
                Column("Value", "Hosts", width=80),
            ],
            sort=("Newest build it knows", True),
            none="no tool was found",
        ),
    )
    board.add(
        5,
        10,
        number(
            "Installs that uv cannot fix",
            "The uv on the host knows no build with the fix: `uv self update` comes before `uv python upgrade`.",
            f'sum(libcensus_stale_installs{{{JOB}, reason="uv_too_old"}})',
            steps=worse_from(1, 50),
        ),
    )
    board.add(
        9,
        10,
        trend(
            "Installs whose uv is too old to fix them",
            "Interpreters with an open finding whose fix the uv of their host does not know yet.",
            [Query(f'sum(libcensus_stale_installs{{{JOB}, reason="uv_too_old"}})', "installs")],
            steps=worse_from(1),
            colors={"installs": ("installs", RED)},
        ),
    )
    board.row("Speed, where somebody measured it")
    board.add(
        9,
        8,
        bars(
            "Work in the same time",
            "How much of a fixed workload each build does in the time in which the build beside which it ran (the "
            "distribution's, where there is one) does it once: 1.2 is a fifth more. `libcensus speed` measures it; empty where "
            "nobody did.",
            [
                Query(
                    f"sort_desc({_speed('ratio', 'provider, version, machine')})",
                    "{{provider}} {{version}}, {{machine}}",
                )
            ],
            unit=TIMES,
            decimals=2,
            steps=((None, ORANGE), (1, GREEN)),
            none=UNMEASURED,
        ),
    )
    board.add(
        15,
        8,
        sheet(
            "Measured, and how sure it is",
            "The geometric mean over all parts of the workload, and the interval that holds it 95 times in 100: where 1 lies "
            "between both ends, no difference was seen. Figures hold for the machine that they were measured on.",
            [
                _speed("ratio", _MEASURED),
                _speed("ratio_lower", _MEASURED),
                _speed("ratio_upper", _MEASURED),
                (
                    f"max by ({_MEASURED}) ({_speed_labels('ratio')} * 0 + on (job, machine, workload, build) group_left () "
                    f"libcensus_build_speed_timestamp_seconds{{{JOB}}}) * 1000"
                ),
            ],
            [
                Column("provider", "Provider", width=95),
                Column("interpreter", "Interpreter", width=140),
                Column("beside", "Beside", width=125),
                Column("Value #A", "Work", unit="none", decimals=2, width=75, steps=((None, ORANGE), (1, GREEN))),
                Column("Value #B", "At least", unit="none", decimals=2, width=75),
                Column("Value #C", "At most", unit="none", decimals=2, width=75),
                Column("Value #D", "Measured", unit="time:YYYY-MM-DD", width=100),
                Column("machine", "On"),
            ],
            sort=("Work", True),
            none=UNMEASURED,
        ),
    )
    return board.build()
