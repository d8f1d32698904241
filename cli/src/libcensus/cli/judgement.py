"""How answers about artefacts are told to people: a table, why not in groups of places, and the shares."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from libcensus.cli.answers import Answer, PlaceKind, Share, by_artefact, merged, share_of
from libcensus.cli.terminal import Cell, Column
from libcensus.collector.posture.verdict import PortabilityState, ReasonKind, Verdict
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

_PLACE_COLUMNS = (replace(COLUMNS[1], is_path=True), *COLUMNS[2:])
"""Of one artefact the places are what gives way where a terminal is narrow."""

_FINE_COLUMNS = (COLUMNS[0], Column("Runs"))

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

    A terminal shows artefacts one after the other where they were judged against several places, with a line alone for
    each that runs everywhere; everything else gets one table, a line for each answer.
    """
    answers = merged(answers)
    grouped = by_artefact(answers)
    if out.is_terminal and any(len(own) > 1 for own in grouped.values()):
        fine = [name for name, own in grouped.items() if all(one.verdict == _FINE for one in own)]
        if explain or len(grouped) == 1:
            fine = []
        if fine:
            everywhere = Cell("everywhere", style=STATE_STYLES[PortabilityState.RUNS])
            out.table(_FINE_COLUMNS, [(Cell(name), everywhere) for name in fine])
        for number, name in enumerate(sorted(grouped.keys() - fine, key=list(grouped).index)):
            if number or fine:
                out.line()
            _print_artefact(out, grouped[name], explain=explain, strict=strict)
    else:
        out.table(COLUMNS, [answer_row(one) for one in answers])
        for name, own in grouped.items():
            for alike in _alike(own):
                out.line()
                _print_group(out, alike, name, explain=explain)
        shares = [own for own in grouped.values() if len(grouped) == 1 or sum(one.weight for one in own) > 1]
        if shares:
            out.line()
        for own in shares:
            _print_share(out, own, strict=strict)
    if len(grouped) > 1:
        out.line()
        _print_count(out, grouped.values(), strict=strict)
    if any(one.is_coarse for one in answers):
        if out.is_terminal:
            out.line()
        _print_coarse(out, answers)


def _print_count(out: Output, grouped: Iterable[Sequence[Answer]], *, strict: bool) -> None:
    """Print how many of several artefacts run everywhere."""
    states = [{one.state(strict=strict) for one in own} for own in grouped]
    fine = sum(own == {PortabilityState.RUNS} for own in states)
    blocked = sum(PortabilityState.BLOCKED in own for own in states)
    unknown = len(states) - fine - blocked
    told = [f"{fine} of {len(states)} artefacts run everywhere"]
    told += [f"{blocked} blocked somewhere"] if blocked else []
    told += [f"{unknown} not known to"] if unknown else []
    out.prose((", ".join(told), "bold"))


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
    out.table(_PLACE_COLUMNS, [row[1:] for row in rows])
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


def deciding(verdict: Verdict) -> Reason:
    """Return the first reason that made the verdict what it is: what is not known blocks nothing."""
    return next((reason for reason in verdict.reasons if reason.known), verdict.reasons[0])


def brief(reason: Reason) -> str:
    """Return an obstacle in a few words: what is needed, and what is there."""
    if reason.kind is ReasonKind.REQUIREMENT:
        return f"cannot be judged without {reason.needs}"
    if not reason.known:
        return f"needs {reason.needs}: not known to be there"
    return f"needs {reason.needs}, has {reason.has or 'none'}"


def briefest(reason: Reason) -> str:
    """Return what is needed in a word; a loader is known by its name, too."""
    return reason.needs.rpartition("/")[2]


def brief_verdict(verdict: Verdict) -> str:
    """Return why a verdict is what it is in a few words: the first reason, and how many there are beyond."""
    if verdict.reasons:
        more = len(verdict.reasons) - 1
        return brief(deciding(verdict)) + (f" (+{more})" if more else "")
    return "; ".join(f"{words} {_some(list(modules))}" for words, modules in _missing(verdict)) or "-"


def _briefer(verdict: Verdict) -> str:
    if verdict.reasons:
        return briefest(deciding(verdict))
    told = (f"{words} {len(modules)} {_plural('module', len(modules))}" for words, modules in _missing(verdict))
    return next(told, "-")


def _missing(verdict: Verdict) -> list[tuple[str, dict[str, Reason]]]:
    """Return the modules that would not load, and those of which that is not known, each with its first reason."""
    surely: dict[str, Reason] = {}
    perhaps: dict[str, Reason] = {}
    for reason in sorted(verdict.degraded, key=lambda one: not one.known):
        name = reason.module or reason.needs
        if reason.known:
            surely.setdefault(name, reason)
        elif name not in surely:
            perhaps.setdefault(name, reason)
    return [(words, modules) for words, modules in (("without", surely), ("perhaps without", perhaps)) if modules]


def _some(names: Sequence[str]) -> str:
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
    if verdict.state is PortabilityState.RUNS and not any(reason.known for reason in verdict.degraded):
        words = "Runs, perhaps in part, on"
    style = "yellow" if verdict.state is PortabilityState.RUNS else STATE_STYLES[verdict.state]
    title = [(name, "bold"), (": ", ""), (words[0].lower() + words[1:], style)] if name else [(words, style)]
    out.prose(*title, (f" {_places(alike, explain=explain)}", ""))
    whole = alike[0].artefact.name
    shown = verdict.reasons if explain else _most_telling(verdict.reasons)
    print_reasons(out, [(_sentence(reason, whole), reason.remedy) for reason in shown], indent=2)
    if len(shown) < len(verdict.reasons):
        out.prose((f"and {len(verdict.reasons) - len(shown)} more; --explain shows all", ""), indent=2)
    if explain:
        print_reasons(out, degraded_lines(verdict), indent=2)
    elif verdict.state is not PortabilityState.BLOCKED:
        for said, modules in _missing(verdict):
            name, first = next(iter(modules.items()))
            why = f"{name} {replace(first, file=None)}" if len(modules) > 1 else str(replace(first, file=None))
            etc = "; --explain shows all" if len(verdict.degraded) > 1 else ""
            out.prose((f"{said} {_some(list(modules))}: {why}{etc}", ""), indent=2)


def _most_telling(reasons: Sequence[Reason]) -> list[Reason]:
    """Return the first few reasons: what is known before what is not, and of each library only the first."""
    first: dict[object, Reason] = {}
    for reason in sorted(reasons, key=lambda one: not one.known):
        # Of one library's versions the highest comes first, and it decides.
        first.setdefault((reason.kind, reason.library or reason.needs), reason)
    return list(first.values())[:_REASONS_SHOWN]


def _sentence(reason: Reason, whole: str) -> str:
    """Return a reason as a sentence; the artefact itself, where it is one file, is named without its folder."""
    own = reason.file == whole and "/" in whole
    return str(replace(reason, file=whole.rpartition("/")[2]) if own else reason)


def degraded_lines(verdict: Verdict) -> list[tuple[str, str | None]]:
    """Return a line for everything that would be missing, with its remedy."""
    return [
        (f"{'without' if reason.known else 'perhaps without'} {reason.module or 'a part'}: {reason}", reason.remedy)
        for reason in verdict.degraded
    ]


def print_reasons(out: Output, reasons: Sequence[tuple[str, str | None]], *, indent: int) -> None:
    """Print reasons with their remedies; one remedy for several in a row stands below the last of them."""
    for number, (reason, remedy) in enumerate(reasons):
        out.prose((reason, ""), indent=indent)
        following = reasons[number + 1][1] if number + 1 < len(reasons) else None
        if remedy and remedy != following:
            out.prose(("remedy: ", "cyan"), (remedy, ""), indent=indent + 2)


def _places(alike: Sequence[Answer], *, explain: bool) -> str:
    """Return where it is so: the first few places, and how many hosts that are."""
    names = list(dict.fromkeys(one.against for one in alike))
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
        told = f"{_some(wheels)} {'is no file' if len(wheels) == 1 else 'are no files'}, and judged by tags alone"
        out.prose(("Coarser: ", "bold"), (told, ""))
