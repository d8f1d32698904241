"""How what is behind what it could be is told to people: counts, and every case with its remedy."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from libcensus.cli.terminal import Cell, Column
from libcensus.collector.posture.staleness import StalenessKind, StalenessState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from libcensus.cli.terminal import Output
    from libcensus.collector.posture.staleness import Staleness
    from libcensus.collector.service.posture_codec import StaleCount

KIND_NAMES = {
    StalenessKind.ENVIRONMENT_BEHIND_BASE: "environment behind its base",
    StalenessKind.ENVIRONMENT_BASE_GONE: "environment without its base",
    StalenessKind.BEHIND_PROVIDER: "behind its provider",
    StalenessKind.UV_TOO_OLD: "uv too old",
    StalenessKind.IMAGE_BEFORE_FIX: "image before the fix",
    StalenessKind.PROCESSES_ON_OLD_FILES: "processes on old files",
}

STALE_COLUMNS = (
    Column("Stale"),
    Column("Subject", is_path=True),
    Column("Has"),
    Column("Newest"),
    Column("Since", yields=1),
    Column("Remedy"),
)

COUNT_COLUMNS = (
    Column("Stale"),
    Column("Provider"),
    Column("Installs"),
    Column("On hosts", "Hosts"),
    Column("Unknown"),
    Column("Up to date", "Current", yields=1),
)


def tell_stale(staleness: Iterable[Staleness]) -> str:
    """Return how much is stale, by kind, and of how much nobody can tell; empty where there is neither."""
    counts = Counter((one.state, one.kind) for one in staleness)
    parts = [
        f"{KIND_NAMES[kind]} ({number})" for kind in StalenessKind if (number := counts[StalenessState.STALE, kind])
    ]
    unknown = sum(number for (state, _), number in counts.items() if state is StalenessState.UNKNOWN)
    if unknown:
        parts.append(f"not known of {unknown}")
    return ", ".join(parts)


def print_stale(out: Output, staleness: Sequence[Staleness]) -> None:
    """Print everything that is stale with what to do; a line for what nobody can tell of."""
    stale = [one for one in staleness if one.state is StalenessState.STALE]
    if not stale:
        return
    out.line()
    several = len({one.subject.root for one in stale}) > 1
    if out.is_terminal:
        for one in stale:
            since = "" if one.since is None else f", since {one.since.isoformat()}"
            out.prose((_place(one, several=several), "bold"), (f": {KIND_NAMES[one.kind]}{since}", ""))
            told = " -> ".join(part for part in (one.has, one.newest) if part)
            if told:
                out.prose((told, ""), indent=2)
            out.prose(("Remedy: ", "bold"), (one.remedy or "-", ""), indent=2)
        return
    out.table(
        STALE_COLUMNS,
        [
            (
                Cell(KIND_NAMES[one.kind]),
                Cell(_place(one, several=several)),
                Cell(one.has or "-"),
                Cell(one.newest or "-"),
                Cell("-" if one.since is None else one.since.isoformat()),
                Cell(one.remedy or "-"),
            )
            for one in stale
        ],
    )


def _place(one: Staleness, *, several: bool) -> str:
    subject = one.subject
    return f"{subject.root}:{subject.path}" if several and subject.root != "/" else subject.path


def print_stale_counts(out: Output, counts: Sequence[StaleCount]) -> None:
    """Print how many of a fleet's installs are stale, by kind and provider."""
    if counts:
        out.line()
        out.table(COUNT_COLUMNS, [_count_row(one) for one in counts])


def _count_row(one: StaleCount) -> tuple[Cell, ...]:
    return (
        Cell(KIND_NAMES[one.kind]),
        Cell(one.provider),
        Cell(f"{one.stale:,}", style="yellow" if one.stale else "dim"),
        Cell(f"{one.stale_hosts:,}", style="" if one.stale_hosts else "dim"),
        Cell(f"{one.unknown:,}", style="" if one.unknown else "dim"),
        Cell(f"{one.current:,}", style="" if one.current else "dim"),
    )
