"""Whether each artefact runs on each place that was asked about, and what follows for the exit code; no IO here.

A place is a platform of the fleet with its hosts, the host of one scan file, or a distribution that is known by its
name alone. Hosts are counted; a scan file and a distribution count as one each where a share is asked for.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING

from libcensus.cli.errors import ArgumentError
from libcensus.collector.posture.verdict import PortabilityState, Reason, ReasonKind, Verdict
from libcensus.facts.vocabulary import ArtefactKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from libcensus.collector.service.portability_codec import PlatformHosts, PortabilityAnswer
    from libcensus.facts.artefact import Artefact

EXIT_BLOCKED = 1
EXIT_UNREADABLE = 2
EXIT_UNKNOWN = 6

_PYTHONS_SHOWN = 6
_EXAMPLES_KEPT = 16

UNREADABLE_HOSTS = "hosts whose facts cannot be read"
"""What stands in the place of a platform for hosts of which the collector has facts that it does not understand."""


class PlaceKind(StrEnum):
    """What an artefact was judged against."""

    PLATFORM = "platform"
    """Hosts of the fleet that offer the same."""
    SCAN = "scan"
    DISTRIBUTION = "distribution"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Answer:
    """One artefact on one place.

    ``against`` is the place as it was given, or the platform as a person calls it; ``hosts`` is 0 for a distribution.
    ``platform`` is the address of a fleet's platform, ``label`` what a person calls it whatever Pythons are there,
    ``examples`` are some of its hosts, and ``pythons`` the versions of theirs, where one is asked for.
    """

    artefact: Artefact
    against: str
    place: PlaceKind
    hosts: int
    verdict: Verdict
    arch: str | None = None
    platform: str | None = None
    examples: tuple[str, ...] = ()
    pythons: tuple[str, ...] = ()
    label: str | None = None

    @property
    def weight(self) -> int:
        """How often the place counts in a share."""
        return 1 if self.place is PlaceKind.DISTRIBUTION else self.hosts

    @property
    def is_coarse(self) -> bool:
        """Whether the distribution or the wheel is known by its name alone."""
        return self.place is PlaceKind.DISTRIBUTION or self.artefact.kind is ArtefactKind.WHEEL_NAME

    def state(self, *, strict: bool) -> PortabilityState:
        """Return the verdict; ``strict`` holds a module that would not load against the whole."""
        if not strict or self.verdict.state is PortabilityState.BLOCKED or not self.verdict.degraded:
            return self.verdict.state
        if any(reason.known for reason in self.verdict.degraded):
            return PortabilityState.BLOCKED
        return PortabilityState.UNKNOWN


@dataclass(frozen=True, slots=True)
class Share:
    """How much of what was asked about an artefact runs on."""

    runs: int
    total: int

    @property
    def percent(self) -> str:
        """Return the share with one decimal, rounded down: only everything is 100 %."""
        tenths = self.runs * 1000 // self.total if self.total else 0
        return f"{tenths // 10}.{tenths % 10} %" if tenths < 1000 else "100 %"

    def reaches(self, wanted: Fraction) -> bool:
        """Tell whether it is at least this part of all."""
        return self.total > 0 and Fraction(self.runs, self.total) >= wanted


def share_of(answers: Iterable[Answer], *, strict: bool) -> Share:
    """Return the share on which an artefact runs; what is unknown does not run."""
    answers = list(answers)
    runs = sum(one.weight for one in answers if one.state(strict=strict) is PortabilityState.RUNS)
    return Share(runs, sum(one.weight for one in answers))


def parse_share(text: str) -> Fraction:
    """Return a share such as ``99%`` as a fraction; raises ArgumentError for anything else."""
    match = re.fullmatch(r"\s*(\d{1,3}(?:\.\d{1,6})?)\s*%\s*", text, re.ASCII)
    if match is None or (share := Fraction(match[1]) / 100) > 1:
        raise ArgumentError(
            f"--require {text}: is no share of hosts; write a number from 0 to 100 with a percent sign, such as 99% or "
            "99.5%"
        )
    return share


def fleet_answers(artefact: Artefact, told: PortabilityAnswer) -> list[Answer]:
    """Return what a collector tells of an artefact; hosts that it could not judge are unknown, and counted.

    Platforms that share a label are told apart by the Pythons on their hosts, where a Python is what differs.
    """
    alike = Counter(one.on.label for one in told.verdicts)
    by_python = {one.on.label for one in told.verdicts if one.on.pythons and alike[one.on.label] > 1}
    answers = [
        Answer(
            artefact=artefact,
            against=_label_with_pythons(one.on) if one.on.label in by_python else one.on.label,
            place=PlaceKind.PLATFORM,
            hosts=one.on.hosts,
            verdict=one.verdict,
            arch=one.on.arch,
            platform=one.on.platform,
            examples=one.on.examples,
            pythons=one.on.pythons,
            label=one.on.label,
        )
        for one in told.verdicts
    ]
    if told.unreadable_hosts:
        reason = Reason(
            ReasonKind.REQUIREMENT,
            needs="facts of the host that can be read",
            remedy="upgrade the collector: its hosts report what it does not understand",
            known=False,
        )
        verdict = Verdict(PortabilityState.UNKNOWN, (reason,))
        answers.append(
            Answer(artefact, UNREADABLE_HOSTS, PlaceKind.UNREADABLE, told.unreadable_hosts, verdict),
        )
    return answers


def _label_with_pythons(on: PlatformHosts) -> str:
    return f"{on.label}, Python {', '.join(on.pythons)}" if on.pythons else f"{on.label}, no Python"


def merged(answers: Iterable[Answer]) -> list[Answer]:
    """Return the answers with those joined that a person need not tell apart: the same label, the same obstacles.

    Platforms that differ in their kernel or in a library that nobody asked for are called the same, and so are those
    with other Pythons, where the verdict does not depend on which. Of one artefact's platforms those with most hosts
    come first.
    """
    found: dict[tuple[object, ...], Answer] = {}
    for one in answers:
        if one.place is not PlaceKind.PLATFORM:
            found[len(found), one.artefact.name] = one
            continue
        label = one.label or one.against
        key = one.artefact.name, label, one.arch, one.verdict.state, _obstacles(one.verdict), one.verdict.degraded
        before = found.get(key)
        if before is None:
            found[key] = replace(one, against=label)
        else:
            found[key] = replace(
                before,
                hosts=before.hosts + one.hosts,
                verdict=_joined(before.verdict, one.verdict),
                examples=tuple(sorted({*before.examples, *one.examples})[:_EXAMPLES_KEPT]),
                platform=None,
            )
    order = {name: number for number, name in enumerate(dict.fromkeys(one.artefact.name for one in found.values()))}
    return sorted(
        found.values(),
        key=lambda one: (order[one.artefact.name], -one.hosts if one.place is PlaceKind.PLATFORM else 0),
    )


def _obstacles(verdict: Verdict) -> tuple[tuple[object, ...], ...]:
    """Return what is needed and not there, whatever other Pythons are there instead."""
    return tuple(
        (one.kind, one.needs, one.library, one.file, one.known, None if one.kind is ReasonKind.PYTHON else one.has)
        for one in verdict.reasons
    )


def _joined(first: Verdict, second: Verdict) -> Verdict:
    """Return a verdict with the Pythons of both."""
    if first == second:
        return first
    reasons = tuple(
        replace(one, has=_all_of(one.has, other.has)) if one.kind is ReasonKind.PYTHON else one
        for one, other in zip(first.reasons, second.reasons, strict=True)
    )
    return replace(first, reasons=reasons)


def _all_of(first: str | None, second: str | None) -> str | None:
    several = dict.fromkeys(part for text in (first, second) if text for part in text.split(", "))
    names = list(several)
    return ", ".join([*names[:_PYTHONS_SHOWN], *(["…"] if len(names) > _PYTHONS_SHOWN else [])]) or None


def by_artefact(answers: Iterable[Answer]) -> dict[str, list[Answer]]:
    """Return the answers by the name of their artefact, in their order."""
    found: dict[str, list[Answer]] = {}
    for one in answers:
        found.setdefault(one.artefact.name, []).append(one)
    return found


def exit_code(answers: Sequence[Answer], *, strict: bool, require: Fraction | None) -> int:
    """Return 0 where all runs, 1 where something is blocked, 6 where something is unknown and nothing blocked.

    With ``require`` each artefact must run on that share, and nothing else counts: 0 or 1. Nothing to judge by is
    unknown.
    """
    if not answers:
        return EXIT_UNKNOWN
    if require is not None:
        shares = [share_of(own, strict=strict) for own in by_artefact(answers).values()]
        return 0 if all(share.reaches(require) for share in shares) else EXIT_BLOCKED
    states = {one.state(strict=strict) for one in answers}
    if PortabilityState.BLOCKED in states:
        return EXIT_BLOCKED
    return EXIT_UNKNOWN if PortabilityState.UNKNOWN in states else 0
