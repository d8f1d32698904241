"""How long fixes took is told to people: to reach the hosts, and to be there from each channel."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from libcensus.cli.rows import COMPONENT_NAMES, SEVERITY_STYLES
from libcensus.cli.speed_tables import SHORT_VERDICTS, VERDICT_WORDS, tell_interval
from libcensus.cli.terminal import Cell, Column

if TYPE_CHECKING:
    from datetime import date

    from libcensus.cli.terminal import Output
    from libcensus.collector.service.providers_codec import (
        PatchedShare,
        ProviderPatching,
        ProvidersAnswer,
        ProviderSpeed,
    )

PATCHING_COLUMNS = (
    Column("Provider"),
    Column("Component"),
    Column("Severity"),
    Column("Open"),
    Column("Oldest open", "Oldest", yields=1),
    Column("Patched"),
    Column("Median, 90 %", "Med, 90 %"),
    Column("In 7, 30 days", "7, 30 d", yields=1),
)

LAG_COLUMNS = (
    Column("Fixes from"),
    Column("Component"),
    Column("Fixes"),
    Column("Median"),
    Column("90 %"),
    Column("Longest"),
)

SPEED_COLUMNS = (
    Column("Build"),
    Column("Beside"),
    Column("Speed"),
    Column("95 % interval", "95 %", yields=2),
    Column("Verdict", yields=3),
    Column("On"),
    Column("Measured", yields=1),
)

_SHOWN_WITHIN = (7, 30)


def print_providers(out: Output, answer: ProvidersAnswer) -> None:
    """Print how long fixes took."""
    hosts = f"{answer.hosts:,} {'host' if answer.hosts == 1 else 'hosts'}"
    told = f": {hosts}" + ("" if answer.watched_since is None else f", watched since {answer.watched_since}")
    told += f"; as of {answer.day}, with advisories of {answer.advisories_day}"
    out.prose(("From the fix to the hosts", "bold"), (told, ""))
    out.line()
    if answer.patching:
        dated = [one for one in _ordered(answer) if _is_dated(one)]
        if dated:
            out.table(PATCHING_COLUMNS, [_patching_row(one) for one in dated])
        _print_uncounted(out, answer)
    else:
        out.line("Nothing is affected, and nothing was.")
    out.line()
    out.prose(("From the advisory to the fix", "bold"), (", by what was published, whatever hosts did:", ""))
    out.line()
    out.table(
        LAG_COLUMNS,
        [
            (
                Cell(one.channel),
                Cell(COMPONENT_NAMES[one.component]),
                Cell(f"{one.fixes:,}"),
                Cell(_days(one.median)),
                Cell(_days(one.p90)),
                Cell(_days(one.longest)),
            )
            for one in answer.lags
        ],
    )
    if answer.speeds:
        out.line()
        out.prose(("Speed", "bold"), (" of builds that somebody measured, higher is faster:", ""))
        out.line()
        ordered = sorted(answer.speeds, key=lambda one: (one.provider, one.version or "", one.machine))
        out.table(SPEED_COLUMNS, [_speed_row(one) for one in ordered])


def _speed_row(one: ProviderSpeed) -> tuple[Cell, ...]:
    words, style = VERDICT_WORDS[one.speed.verdict]
    what = one.provider if one.implementation == "cpython" else f"{one.provider} {one.implementation}"
    day = one.measured_at.date().isoformat()
    return (
        Cell(f"{what} {one.version or '?'}"),
        Cell(f"{one.baseline_provider} {one.baseline_version or '?'}"),
        Cell(f"{one.speed.ratio:.2f}"),
        Cell(tell_interval(one.speed), tell_interval(one.speed, digits=2)),
        Cell(words, SHORT_VERDICTS.get(one.speed.verdict), style),
        Cell(one.machine),
        Cell(day, day[5:]),
    )


def _ordered(answer: ProvidersAnswer) -> list[ProviderPatching]:
    return sorted(answer.patching, key=lambda one: (one.provider, one.component, -one.severity.rank))


def _is_dated(one: ProviderPatching) -> bool:
    """Tell whether a row says something: of fixes without a day, that none is open would be a claim."""
    return any((one.measured, one.unmeasured, one.removed, one.open, one.unfixed))


def _patching_row(one: ProviderPatching) -> tuple[Cell, ...]:
    style = SEVERITY_STYLES[one.severity]
    shares = {share.days: share for share in one.within}
    return (
        Cell(one.provider),
        Cell(COMPONENT_NAMES[one.component]),
        Cell(one.severity.value, style=style),
        Cell(f"{one.open:,}", style=style if one.open else "dim"),
        Cell(_day(one.oldest_open), "" if one.oldest_open is None else f"{one.oldest_open:%Y-%m}"),
        Cell(f"{one.measured:,}"),
        Cell("-" if one.p90_days is None else f"{one.median_days:,}, {_days(one.p90_days)}"),
        Cell(", ".join(told) if set(told := [_share(shares.get(days)) for days in _SHOWN_WITHIN]) != {"-"} else "-"),
    )


def _print_uncounted(out: Output, answer: ProvidersAnswer) -> None:
    """Say what has no time, and why."""
    undated: Counter[str] = Counter()
    for one in answer.patching:
        undated[one.provider] += one.undated
    lines = {
        "No dates": ", ".join(f"{name} ({number:,})" for name, number in sorted(undated.items()) if number),
        "Not measured": _number(sum(one.unmeasured for one in answer.patching)),
        "Removed": _number(sum(one.removed for one in answer.patching)),
    }
    why = {
        "No dates": "no source tells when the fixes could be had of {}",
        "Not measured": "{} were patched, and the fix was there before the host was watched",
        "Removed": "{} went without the fix",
    }
    if any(lines.values()):
        out.line()
    for name, told in lines.items():
        if told:
            out.prose((f"{name}: ", "bold"), (why[name].format(told), ""))


def _number(count: int) -> str:
    return f"{count:,}" if count else ""


def _share(share: PatchedShare | None) -> str:
    return "-" if share is None or not share.total else f"{share.patched / share.total:.0%}"


def _days(number: int | None) -> str:
    if number is None:
        return "-"
    return f"{number:,} d"


def _day(day: date | None) -> str:
    return "-" if day is None else day.isoformat()
