"""How answers about artefacts are told to people: a table, why not in groups of places, and the shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcensus.cli.answers import Answer, PlaceKind, Share, by_artefact, share_of
from libcensus.cli.terminal import Cell, Column
from libcensus.collector.posture.verdict import PortabilityState, Verdict
from libcensus.facts.vocabulary import ArtefactKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from libcensus.cli.terminal import Output
    from libcensus.collector.posture.verdict import Reason

COLUMNS = (
    Column("Artefact", is_path=True),
    Column("Against"),
    Column("Hosts"),
    Column("Verdict"),
    Column("Why", yields=1),
)

STATE_STYLES = {
    PortabilityState.RUNS: "green",
    PortabilityState.BLOCKED: "red",
    PortabilityState.UNKNOWN: "magenta",
}

_STATE_WORDS = {
    PortabilityState.BLOCKED: "Blocked on",
    PortabilityState.UNKNOWN: "Not known to run on",
    PortabilityState.RUNS: "Runs in part on",
}
_FINE = Verdict(PortabilityState.RUNS)
_ROWS_SHOWN = 12
_REASONS_SHOWN = 3
_MODULES_SHOWN = 4
_PLACES_SHOWN = 4


def print_answers(out: Output, answers: Sequence[Answer], *, explain: bool, strict: bool) -> None:
    """Print every answer as a row, why something does not run, and the shares.

    A terminal shows artefacts one after the other where they were judged against several places; everything else gets
    one table, a line for each answer.
    """
    grouped = by_artefact(answers)
    if out.is_terminal and any(len(own) > 1 for own in grouped.values()):
        for number, own in enumerate(grouped.values()):
            if number:
                out.line()
            _print_artefact(out, own, explain=explain, strict=strict)
    else:
        out.table(COLUMNS, [answer_row(one) for one in answers])
        for name, own in grouped.items():
            for alike in _alike(own):
                out.line()
                _print_group(out, alike, name, explain=explain)
        out.line()
        for own in grouped.values():
            _print_share(out, own, strict=strict)
    if any(one.is_coarse for one in answers):
        if out.is_terminal:
            out.line()
        _print_coarse(out, answers)


def _print_artefact(out: Output, own: Sequence[Answer], *, explain: bool, strict: bool) -> None:
    """Print one artefact: its share, the places, and why not."""
    _print_share(out, own, strict=strict)
    out.line()
    rows = [answer_row(one) for one in own]
    if not explain and len(rows) > _ROWS_SHOWN:
        fine = [one for one in own if one.verdict == _FINE]
        rows = [answer_row(one) for one in own if one.verdict != _FINE]
        if fine:
            hosts = sum(one.hosts for one in fine)
            state = PortabilityState.RUNS
            told = f"{len(fine)} others" if rows else f"all {len(fine)}"
            what = (Cell(told), Cell(f"{hosts}"), Cell(state.value, style=STATE_STYLES[state]), Cell("-"))
            rows.append((Cell(""), *what))
    out.table(COLUMNS[1:], [row[1:] for row in rows])
    for alike in _alike(own):
        out.line()
        _print_group(out, alike, "", explain=explain)


def answer_row(answer: Answer) -> tuple[Cell, ...]:
    """Return one answer as a row of :data:`COLUMNS`."""
    verdict = answer.verdict
    style = STATE_STYLES[verdict.state]
    if verdict.degraded and verdict.state is PortabilityState.RUNS:
        style = "yellow"
    against = answer.against
    if answer.place is PlaceKind.DISTRIBUTION and answer.arch is not None:
        against += f" {answer.arch}"
    return (
        Cell(answer.artefact.name),
        Cell(against),
        Cell("-" if answer.place is PlaceKind.DISTRIBUTION else str(answer.hosts)),
        Cell(verdict.state.value, style=style),
        Cell(brief_verdict(verdict), _briefer(verdict)),
    )


def brief(reason: Reason) -> str:
    """Return an obstacle in a few words: what is needed, and what is there."""
    if not reason.known:
        return f"needs {reason.needs}: not known to be there"
    return f"needs {reason.needs}, has {reason.has or 'none'}"


def brief_verdict(verdict: Verdict) -> str:
    """Return why a verdict is what it is in a few words: the first reason, and how many there are beyond."""
    if verdict.reasons:
        more = len(verdict.reasons) - 1
        return brief(verdict.reasons[0]) + (f" (+{more})" if more else "")
    return f"without {modules_of(verdict.degraded)}" if verdict.degraded else "-"


def _briefer(verdict: Verdict) -> str:
    if verdict.reasons:
        return verdict.reasons[0].needs
    names = list(dict.fromkeys(reason.module for reason in verdict.degraded))
    return f"without {len(names)} {'module' if len(names) == 1 else 'modules'}" if names else "-"


def modules_of(degraded: Iterable[Reason]) -> str:
    """Return the modules that would not load, the first few by name."""
    names = list(dict.fromkeys(reason.module or reason.needs for reason in degraded))
    told = ", ".join(names[:_MODULES_SHOWN])
    return told if len(names) <= _MODULES_SHOWN else f"{told} and {len(names) - _MODULES_SHOWN} more"


def _alike(answers: Iterable[Answer]) -> list[list[Answer]]:
    """Return the answers with something to say, those with the same reasons together."""
    groups: dict[Verdict, list[Answer]] = {}
    for one in answers:
        if one.verdict.reasons or one.verdict.degraded:
            groups.setdefault(one.verdict, []).append(one)
    return list(groups.values())


def _print_group(out: Output, alike: Sequence[Answer], name: str, *, explain: bool) -> None:
    """Print what several places say alike of one artefact, below its ``name`` where that is not said already."""
    verdict = alike[0].verdict
    words = _STATE_WORDS[verdict.state]
    style = "yellow" if verdict.state is PortabilityState.RUNS else STATE_STYLES[verdict.state]
    title = [(name, "bold"), (": ", ""), (words[0].lower() + words[1:], style)] if name else [(words, style)]
    out.prose(*title, (f" {_places(alike, explain=explain)}", ""))
    shown = verdict.reasons if explain else verdict.reasons[:_REASONS_SHOWN]
    print_reasons(out, [(str(reason), reason.remedy) for reason in shown], indent=2)
    if len(shown) < len(verdict.reasons):
        out.prose((f"and {len(verdict.reasons) - len(shown)} more; --explain shows all", ""), indent=2)
    degraded = verdict.degraded
    if explain:
        print_reasons(out, degraded_lines(verdict), indent=2)
    elif degraded:
        more = f"; and {len(degraded) - 1} more: --explain shows all" if len(degraded) > 1 else ""
        out.prose((f"without {modules_of(degraded)}: {degraded[0]}{more}", ""), indent=2)


def degraded_lines(verdict: Verdict) -> list[tuple[str, str | None]]:
    """Return a line for everything that would be missing, with its remedy."""
    return [(f"without {reason.module or 'a part'}: {reason}", reason.remedy) for reason in verdict.degraded]


def print_reasons(out: Output, reasons: Sequence[tuple[str, str | None]], *, indent: int) -> None:
    """Print reasons with their remedies; one remedy for several in a row stands below the last of them."""
    for number, (reason, remedy) in enumerate(reasons):
        out.prose((reason, ""), indent=indent)
        following = reasons[number + 1][1] if number + 1 < len(reasons) else None
        if remedy and remedy != following:
            out.prose(("remedy: ", "cyan"), (remedy, ""), indent=indent + 2)


def _places(alike: Sequence[Answer], *, explain: bool) -> str:
    """Return where it is so: the first few places, and how many hosts that are."""
    names = [one.against for one in alike]
    shown = names if explain else names[:_PLACES_SHOWN]
    # A label may hold commas itself.
    told = "; ".join(shown)
    if len(shown) < len(names):
        told += f"; and {len(names) - len(shown)} more"
    hosts = sum(one.hosts for one in alike if one.place is PlaceKind.PLATFORM)
    if not hosts:
        return told
    examples = list(dict.fromkeys(name for one in alike for name in one.examples))
    such = f": {', '.join(examples[:_PLACES_SHOWN])}" if examples else ""
    etc = ", …" if such and hosts > len(examples[:_PLACES_SHOWN]) else ""
    return f"{told} ({hosts} {_plural('host', hosts)}{such}{etc})"


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def tell_share(answers: Sequence[Answer], *, strict: bool) -> str:
    """Return on how many hosts and distributions an artefact runs: ``412 of 430 hosts (95.8 %)``."""
    parts = []
    for word, kinds in (
        ("host", {PlaceKind.PLATFORM, PlaceKind.SCAN, PlaceKind.UNREADABLE}),
        ("distribution", {PlaceKind.DISTRIBUTION}),
    ):
        own = [one for one in answers if one.place in kinds]
        if own:
            share: Share = share_of(own, strict=strict)
            parts.append(f"{share.runs:,} of {share.total:,} {_plural(word, share.total)} ({share.percent})")
    return " and ".join(parts)


def _print_share(out: Output, own: Sequence[Answer], *, strict: bool) -> None:
    whole = " with all its modules" if strict else ""
    out.prose((own[0].artefact.name, "bold"), (f" runs{whole} on {tell_share(own, strict=strict)}", ""))


def _print_coarse(out: Output, answers: Sequence[Answer]) -> None:
    names = list(dict.fromkeys(one.against for one in answers if one.place is PlaceKind.DISTRIBUTION))
    if names:
        told = (
            f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} known by name alone: the C library's version is "
            "compared; which other libraries and Pythons are there, and which processor, is not known"
        )
        out.prose(("Coarser: ", "bold"), (told, ""))
    wheels = list(dict.fromkeys(one.artefact.name for one in answers if one.artefact.kind is ArtefactKind.WHEEL_NAME))
    if wheels:
        told = f"{', '.join(wheels)} {'is no file' if len(wheels) == 1 else 'are no files'}, and judged by tags alone"
        out.prose(("Coarser: ", "bold"), (told, ""))
