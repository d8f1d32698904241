"""How an explanation is told to people: the verdict first, then the chain, link by link."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from libcensus.cli.rows import COMPONENT_NAMES, SEVERITY_STYLES
from libcensus.collector.posture.finding import Component, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from libcensus.cli.explained import Explanation, Step
    from libcensus.cli.terminal import Output

_LINKS = {
    "read": "Read on the host",
    "package": "Package",
    "changelog": "Changelog",
    "distribution": "Distribution",
    "advisory": "Advisory",
    "fix": "Releases",
}
_VERDICTS = {
    "affected": "is affected by",
    "fixed": "has the fix of",
    "not_affected": "is not affected by",
    "under_investigation": "may be affected by",
    "outside_range": "is not concerned by",
    "other_platform": "is not concerned by",
    "fork": "is not concerned by",
    "other_component": "is not concerned by",
    "not_read": "cannot be judged for",
    "unknown_advisory": "was not judged for",
    "other_catalogue": "was not judged for",
}
_REACH = {
    "tls_module": "it is what the interpreter's TLS module uses",
    "interpreter": "it is the interpreter itself",
    "extra_copy": "it is a further copy, which packages of the environment load",
    "present": "it is only present: nothing is known to load it",
    "libc": "every program here uses it",
}
_STATUSES = frozenset({"affected", "fixed", "not_affected", "under_investigation"})
_STYLES = {"affected": "bold red", "under_investigation": "bold blue", "fixed": "bold green"}
_EVERY = 5
"""How many paths with one explanation are named on a terminal."""


def print_explanations(out: Output, host: str, told: Iterable[Explanation]) -> None:
    """Print explanations; places that share one are told together."""
    alike: dict[Explanation, list[Explanation]] = {}
    for one in told:
        alike.setdefault(replace(one, path="", root=""), []).append(one)
    for number, own in enumerate(alike.values()):
        if number:
            out.line()
        _print(out, host, own)


def _print(out: Output, host: str, alike: list[Explanation]) -> None:
    one = alike[0]
    for place in alike if not out.is_terminal else alike[:_EVERY]:
        out.line(f"{host}:{place.path}" if place.root == "/" else f"{host}:{place.root}:{place.path}", "bold")
    if out.is_terminal and len(alike) > _EVERY:
        out.line(f"and {len(alike) - _EVERY} more with the same chain; --output json has all", "dim")
    severity = []
    if one.severity is not None:
        word = "severity unknown" if one.severity == "unknown" else one.severity
        severity = [(f" ({word})", SEVERITY_STYLES[Severity(one.severity)])]
    what = ""
    if one.component is not None and one.verdict not in {"other_component", "fork"}:
        what = f"{COMPONENT_NAMES[Component(one.component)]} "
    style = _STYLES.get(one.verdict, "bold")
    out.prose((f"{what}{_VERDICTS.get(one.verdict, one.verdict)} {one.advisory}", style), *severity)
    if one.verdict not in _STATUSES:
        out.prose(("Because: ", "bold"), (one.words, ""))
    link = ""
    for step in one.steps:
        if step.link != link:
            link = step.link
            out.line(f"{_LINKS[link]}:", "bold")
        _print_step(out, step)
    if one.verdict not in _STATUSES:
        return
    out.prose(("Verdict: ", "bold"), (_verdict(one), ""))
    out.prose(("Remedy: ", "bold"), (one.remedy or ("none is needed" if one.verdict in _DONE else "none is known"), ""))
    if one.accepted is not None:
        told = one.accepted
        why = f" ({told.justification})" if told.justification is not None else ""
        reason = f": {told.reason}" if told.reason else ""
        words = f"{told.status.replace('_', ' ')}{why}{reason}; by {told.by} in {told.statement}"
        out.prose((f"Accepted until {told.expires.partition('T')[0]}: ", "bold"), (words, ""))
    if one.reach in _REACH:
        out.prose(("Reached: ", "bold"), (_REACH[one.reach], ""))
    if one.processes is not None:
        count = "no process runs it" if not one.processes else f"{one.processes:,} processes run it"
        out.prose(("Now: ", "bold"), (count if one.processes != 1 else "1 process runs it", ""))


_DONE = frozenset({"fixed", "not_affected"})


def _print_step(out: Output, step: Step) -> None:
    where = "" if step.file is None else f"{step.file}{'' if step.offset is None else f', byte {step.offset}'}: "
    kind = "" if step.link not in {"read", "changelog"} or step.kind is None else f" [{step.kind}]"
    out.prose((where, ""), (step.words, ""), (kind, "dim"), indent=2)


def _verdict(one: Explanation) -> str:
    told = one.verdict.replace("_", " ")
    if one.fixed_in is not None:
        told += f"; fixed in {one.fixed_in}"
    elif one.verdict in {"affected", "under_investigation"}:
        told += "; no fixed version is known"
    if one.fix_available is not None:
        told += f"; the fix could have been there since {one.fix_available.partition('T')[0]}"
    return told
