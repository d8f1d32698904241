"""A measurement is told to people: each interpreter, and each part of the workload."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcensus.cli.speed_run import WORKLOAD_VERSION
from libcensus.cli.terminal import Cell, Column
from libcensus.collector.posture.speed import ALL, SpeedVerdict, compare, median, spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libcensus.cli.speed_builds import NamedBuild
    from libcensus.cli.speed_document import Measurement
    from libcensus.cli.terminal import Output
    from libcensus.collector.posture.speed import MeasuredBuild, SpeedRatio

INTERPRETER_COLUMNS = (
    Column("Interpreter", is_path=True),
    Column("Build"),
    Column("Built with", "With", yields=1),
    Column("Pass"),
    Column("Spread"),
    Column("Speed"),
    Column("95 % interval", "95 %", yields=1),
    Column("Verdict", yields=2),
)

PART_COLUMNS = (
    Column("Part"),
    Column("Build"),
    Column("Pass"),
    Column("Spread"),
    Column("Speed"),
    Column("95 % interval", "95 %", yields=1),
    Column("Verdict", yields=2),
)

VERDICT_WORDS = {
    SpeedVerdict.FASTER: ("faster", "green"),
    SpeedVerdict.SLOWER: ("slower", "red"),
    SpeedVerdict.NO_DIFFERENCE: ("no difference seen", "dim"),
    SpeedVerdict.TOO_FEW_ROUNDS: ("too few rounds to tell", "yellow"),
}

SHORT_VERDICTS = {SpeedVerdict.NO_DIFFERENCE: "none seen", SpeedVerdict.TOO_FEW_ROUNDS: "too few"}
"""What stands for the longest words on a narrow terminal."""

_DECISIVE = frozenset({"pgo", "lto", "bolt", "jit", "tail-call", "debug", "free-threaded", "trace-refs"})
"""The flags that make an interpreter fast or slow."""


def print_speed(out: Output, measured: Measurement) -> None:
    """Print a measurement."""
    run, machine, baseline = measured.run, measured.machine, measured.baseline
    cores = f"{machine.cores} {'core' if machine.cores == 1 else 'cores'}"
    told = f" on {machine.name} ({machine.cpu or machine.arch}, {cores}), {measured.rounds} "
    told += f"{'round' if measured.rounds == 1 else 'rounds'} of {measured.seconds:g} s each, "
    told += f"workload {WORKLOAD_VERSION}"
    out.prose(("Speed", "bold"), (told, ""))
    if len(run.interpreters) > 1:
        out.prose((f"Compared with {baseline.path}: a speed of 2 is half its time.", "dim"))
    out.line()
    out.table(
        INTERPRETER_COLUMNS,
        [_interpreter_row(one, named, baseline) for one, named in zip(run.interpreters, measured.named, strict=True)],
    )
    out.line()
    out.table(
        PART_COLUMNS,
        [
            (Cell(part), Cell(name), *_figures(one.samples[part], one, baseline, part))
            for part in run.parts
            for one, name in zip(run.interpreters, _short_names(run.interpreters), strict=True)
        ],
    )
    if measured.doubts:
        out.line()
    for doubt in measured.doubts:
        out.prose(("Doubtful: ", "bold yellow"), (doubt, ""))


def _interpreter_row(one: MeasuredBuild, named: NamedBuild, baseline: MeasuredBuild) -> tuple[Cell, ...]:
    flags = named.build.flags
    return (
        Cell(one.path),
        Cell(_name(one)),
        Cell(" ".join(flags) or "-", " ".join(flag for flag in flags if flag in _DECISIVE) or "-"),
        *_figures(one.overall, one, baseline, ALL),
    )


def _name(one: MeasuredBuild) -> str:
    what = one.provider if one.implementation == "cpython" else f"{one.provider} {one.implementation}"
    return f"{what} {one.version or '?'}"


def _short_names(interpreters: Sequence[MeasuredBuild]) -> list[str]:
    """Return what each is called where its path would take the room; those that share a name are numbered."""
    names = [_name(one) for one in interpreters]
    return [
        f"{name} ({names[:at].count(name) + 1})" if names.count(name) > 1 else name for at, name in enumerate(names)
    ]


def _figures(samples: Sequence[float], one: MeasuredBuild, baseline: MeasuredBuild, part: str) -> tuple[Cell, ...]:
    middle = median(samples)
    own = (Cell(tell_time(middle)), Cell(f"{spread(samples) / middle:.1%}"))
    if one is baseline:
        return (*own, Cell("1", style="dim"), Cell("-", style="dim"), Cell("baseline", style="dim"))
    speed = compare(baseline.samples_of(part), samples)
    words, style = VERDICT_WORDS[speed.verdict]
    return (
        *own,
        Cell(f"{speed.ratio:.3f}"),
        Cell(tell_interval(speed), tell_interval(speed, digits=2)),
        Cell(words, SHORT_VERDICTS.get(speed.verdict), style),
    )


def tell_time(seconds: float) -> str:
    """Return a time in the unit that suits it, with three digits."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def tell_interval(speed: SpeedRatio, digits: int = 3) -> str:
    """Return both ends of an interval."""
    if speed.lower is None or speed.upper is None:
        return "-"
    return f"{speed.lower:.{digits}f} to {speed.upper:.{digits}f}"
