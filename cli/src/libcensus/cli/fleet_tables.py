"""How the fleet as a whole is told to people: its C libraries, what tags reach, and builds on platforms."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from libcensus.cli.answers import Share
from libcensus.cli.judgement import STATE_STYLES, brief, briefest, deciding, degraded_lines, print_reasons
from libcensus.cli.terminal import Cell, Column
from libcensus.collector.posture.reach import floors, policy_reach
from libcensus.collector.posture.verdict import PortabilityState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libcensus.cli.terminal import Output
    from libcensus.collector.posture.reach import TagReach
    from libcensus.collector.posture.verdict import Verdict
    from libcensus.collector.service.portability_codec import LibcAnswer, LibcHosts, Matrix, MatrixBuild, PlatformHosts

LIBC_COLUMNS = (
    Column("Arch"),
    Column("Libc"),
    Column("Version"),
    Column("Hosts"),
    Column("Share"),
    Column("Such as", yields=1),
)

TAG_COLUMNS = (
    Column("Tag"),
    Column("Hosts"),
    Column("Share"),
    Column("Lost by moving here", "Lost", yields=1),
)

BUILD_COLUMNS = (
    Column("Build", is_path=True),
    Column("Provider"),
    Column("Arch"),
    Column("Needs glibc", "glibc", yields=2),
    Column("Installed", "On", yields=2),
    Column("Runs", yields=2),
    Column("Blocked"),
    Column("Unknown", "Unk", yields=2),
    Column("Why not", yields=1),
)

_EXAMPLES_SHOWN = 3


def _hosts(count: int) -> str:
    return f"{count:,} {'host' if count == 1 else 'hosts'}"


def print_libcs(out: Output, answer: LibcAnswer) -> None:
    """Print the C libraries, the floor of each architecture, and what each tag reaches."""
    total = sum(one.hosts for one in answer.libcs)
    out.table(LIBC_COLUMNS, [_libc_row(one, total) for one in answer.libcs])
    tags = policy_reach(answer.libcs)
    for floor in floors(answer.libcs):
        out.line()
        told = f"{_hosts(floor.total)}, none with a glibc whose version is known"
        if floor.version is not None:
            told = f"{_hosts(floor.total)}; the oldest glibc is {floor.version} ({_hosts(floor.hosts)})"
        out.prose((f"{floor.arch}: ", "bold"), (told, ""))
        own = [tag for tag in tags if tag.arch == floor.arch]
        if own:
            runs = runs_of(own) if out.is_terminal else [[tag] for tag in own]
            out.table(TAG_COLUMNS, [_tag_row(run) for run in runs])
        else:
            out.line("No manylinux or musllinux tag is for it.")
    _print_unreadable(out, answer.unreadable_hosts)


def _libc_row(one: LibcHosts, total: int) -> tuple[Cell, ...]:
    examples = ", ".join(one.examples[:_EXAMPLES_SHOWN])
    etc = ", …" if examples and one.hosts > len(one.examples[:_EXAMPLES_SHOWN]) else ""
    return (
        Cell(one.arch),
        Cell(one.family),
        Cell(one.version),
        Cell(f"{one.hosts:,}"),
        Cell(Share(one.hosts, total).percent),
        Cell(examples + etc or "-", one.examples[0] + (", …" if one.hosts > 1 else "") if one.examples else "-"),
    )


def runs_of(tags: Sequence[TagReach]) -> list[list[TagReach]]:
    """Return the tags in order, neighbours of one family that reach the same hosts together."""
    runs: list[list[TagReach]] = []
    for tag in tags:
        if runs and not tag.lost and _family(tag) == _family(runs[-1][-1]):
            runs[-1].append(tag)
        else:
            runs.append([tag])
    return runs


def _family(tag: TagReach) -> str:
    return tag.tag.partition("_")[0]


def _tag_row(run: Sequence[TagReach]) -> tuple[Cell, ...]:
    """Return tags that reach the same hosts as one row."""
    first, tag = run[0], run[-1]
    share = Share(tag.hosts, tag.total)
    lost = ", ".join(f"{loss.hosts:,} with {loss.family} {loss.version}" for loss in first.lost)
    style = "green" if tag.hosts == tag.total else "red" if not tag.hosts else "yellow"
    count = f"{sum(loss.hosts for loss in first.lost):,}" if first.lost else "-"
    oldest = "" if first is tag else f"{first.tag.removesuffix(_suffix(first))} … "
    return Cell(oldest + tag.tag), Cell(f"{tag.hosts:,}"), Cell(share.percent, style=style), Cell(lost or "-", count)


def _suffix(tag: TagReach) -> str:
    return "_" + tag.tag.split("_", 3)[3]


def _print_unreadable(out: Output, count: int) -> None:
    if count:
        told = f"{_hosts(count)} more, whose facts this collector cannot read: upgrade the collector"
        out.line()
        out.prose(("Not counted: ", "bold"), (told, ""))


def print_matrix(out: Output, matrix: Matrix, *, explain: bool) -> None:
    """Print every build as a row, with ``explain`` also each platform on which it does not run as it should."""
    rows = [_build_row(matrix, build, verdicts) for build, verdicts in zip(matrix.builds, matrix.verdicts, strict=True)]
    out.table(BUILD_COLUMNS, rows)
    if explain:
        for build, verdicts in zip(matrix.builds, matrix.verdicts, strict=True):
            _explain(out, matrix, build, verdicts)
    hosts = sum(platform.hosts for platform in matrix.platforms)
    out.line()
    builds, platforms = len(matrix.builds), len(matrix.platforms)
    out.prose(
        (f"{builds:,} {'build' if builds == 1 else 'builds'}", "bold"),
        (f" on {platforms:,} {'platform' if platforms == 1 else 'platforms'} of {_hosts(hosts)}", ""),
    )
    _print_unreadable(out, matrix.unreadable_hosts)


def name_of(build: MatrixBuild) -> str:
    """Return what a person calls a build: ``cpython 3.12.12 20260114 free-threaded``."""
    special = [flag for flag in build.flags if flag in {"debug", "free-threaded"}]
    return " ".join(part for part in (build.implementation, build.version, build.provider_build, *special) if part)


def _build_row(matrix: Matrix, build: MatrixBuild, verdicts: Sequence[Verdict]) -> tuple[Cell, ...]:
    hosts: Counter[PortabilityState] = Counter()
    whys: Counter[tuple[str, str]] = Counter()
    for platform, verdict in zip(matrix.platforms, verdicts, strict=True):
        hosts[verdict.state] += platform.hosts
        if verdict.reasons:
            why = deciding(verdict)
            whys[brief(why), briefest(why)] += platform.hosts
    told = [f"{text} ({_hosts(count)})" for (text, _), count in whys.most_common()]
    shortest = [short for (_, short), _ in whys.most_common()]
    more = f" (+{len(told) - 1})" if len(told) > 1 else ""
    return (
        Cell(name_of(build)),
        Cell(build.provider),
        Cell(build.arch or "unknown"),
        Cell(build.glibc or "-"),
        Cell(f"{build.hosts:,}"),
        _count_cell(hosts, PortabilityState.RUNS),
        _count_cell(hosts, PortabilityState.BLOCKED),
        _count_cell(hosts, PortabilityState.UNKNOWN),
        Cell("; ".join(told) or "-", f"{shortest[0]}{more}" if shortest else "-"),
    )


def _count_cell(hosts: Counter[PortabilityState], state: PortabilityState) -> Cell:
    return Cell(f"{hosts[state]:,}", style=STATE_STYLES[state] if hosts[state] else "")


def _explain(out: Output, matrix: Matrix, build: MatrixBuild, verdicts: Sequence[Verdict]) -> None:
    """Print where a build does not run as it should, platforms with the same reasons together."""
    alike: dict[Verdict, list[PlatformHosts]] = {}
    for platform, verdict in zip(matrix.platforms, verdicts, strict=True):
        if verdict.reasons or verdict.degraded:
            alike.setdefault(verdict, []).append(platform)
    if not alike:
        return
    out.line()
    out.prose((f"{name_of(build)} of {build.provider}", "bold"), (f", {build.digest[:12]}", ""))
    for verdict, platforms in alike.items():
        labels = "; ".join(f"{platform.label} ({_hosts(platform.hosts)})" for platform in platforms)
        out.prose((verdict.state.value, STATE_STYLES[verdict.state]), (f" on {labels}", ""), indent=2)
        print_reasons(out, [(str(reason), reason.remedy) for reason in verdict.reasons], indent=4)
        print_reasons(out, degraded_lines(verdict), indent=4)
