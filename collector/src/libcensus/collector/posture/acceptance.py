"""Risks that the operator has accepted: which statement covers which finding, on which day.

A statement says of one advisory that it is no reason to act, for some hosts or some things on them, until a day. It
changes no verdict: a finding stays what the facts say, and carries the statement beside. Every statement ends; one that
has ended, or that begins later, covers nothing and is told as such.

Statements are few and findings many, so matching is done in two steps that are each done once for whatever is alike:
which of the distinct groups of hosts a host is in, and which of the distinct places a thing lies in.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from libcensus.collector.posture.finding import Acceptance, VexStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    from libcensus.collector.posture.assessment import (
        CopyAssessment,
        HostAssessment,
        InstallAssessment,
        LibcAssessment,
    )
    from libcensus.collector.posture.finding import Finding, Judgement
    from libcensus.collector.posture.selector import Selector

OPEN = frozenset({VexStatus.AFFECTED, VexStatus.UNDER_INVESTIGATION})
"""What may be covered: a finding that is fixed, or does not hold, needs nobody's acceptance."""

HOST_ROOT = "/"
"""The name of a host's own root."""

Matched = frozenset[int]
"""Groups of hosts, or places, by number: what two hosts, or two things, have in common that are covered alike."""

NOTHING: Matched = frozenset()


class StatementState(StrEnum):
    """Whether a statement counts on a day."""

    ACTIVE = "active"
    PENDING = "pending"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class HostScope:
    """Some hosts: those with a name or an id, those that a selector chooses, or all."""

    host: str | None = None
    selector: Selector | None = None

    def covers(self, host_id: str, name: str, labels: Mapping[str, str]) -> bool:
        """Tell whether a host is among them."""
        if self.host is not None and self.host not in {host_id, name}:
            return False
        return self.selector is None or self.selector.matches(labels)

    def __str__(self) -> str:
        """Return it in words."""
        if self.host is not None:
            return f"host {self.host}"
        return "the whole fleet" if self.selector is None else f"hosts with {self.selector}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where one thing lies: its root, the paths that it has there, and the build that it is of."""

    root: str
    paths: frozenset[str]
    build: str | None = None


@dataclass(frozen=True, slots=True)
class PlaceScope:
    """Some things on a host: those of a build, those in a root, or the one at a path of a root."""

    build: str | None = None
    root: str | None = None
    path: str | None = None

    def covers(self, place: Place) -> bool:
        """Tell whether a thing is among them."""
        if self.build is not None and self.build != place.build:
            return False
        if self.root is not None and self.root != place.root:
            return False
        return self.path is None or self.path in place.paths

    def __str__(self) -> str:
        """Return it in words."""
        words = [] if self.build is None else [f"build {self.build[:12]}"]
        if self.path is not None:
            words.append(self.path if self.root in {None, HOST_ROOT} else f"{self.path} in root {self.root}")
        elif self.root is not None:
            words.append("the host's own root" if self.root == HOST_ROOT else f"root {self.root}")
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Scope:
    """What a statement is about: some hosts, and on them everything, or some things."""

    hosts: HostScope
    places: PlaceScope | None = None

    def __str__(self) -> str:
        """Return it in words."""
        return str(self.hosts) if self.places is None else f"{self.places} on {self.hosts}"


@dataclass(frozen=True, slots=True)
class Statement:
    """One accepted risk as its document states it.

    ``advisories`` are the vulnerability's name and its aliases; ``since`` and ``expires`` the first and the last day
    (UTC) on which it counts. ``reason`` is the impact or action statement, empty where a justification stands alone.
    """

    id: str
    document: str
    author: str
    advisories: tuple[str, ...]
    status: VexStatus
    justification: str | None
    reason: str
    scopes: tuple[Scope, ...]
    since: date
    expires: date

    def state(self, day: date) -> StatementState:
        """Return whether it counts on a day."""
        if day > self.expires:
            return StatementState.EXPIRED
        return StatementState.ACTIVE if day >= self.since else StatementState.PENDING

    @property
    def told(self) -> Acceptance:
        """The statement as a finding carries it."""
        return Acceptance(
            statement=self.id,
            document=self.document,
            author=self.author,
            status=self.status,
            justification=self.justification,
            reason=self.reason,
            expires=self.expires,
        )


class Acceptances:
    """The accepted risks of one day. Nothing in here changes.

    ``statements`` are all that there are. Of several that cover a finding the one that began last is told; of those,
    the one that ends last.
    """

    def __init__(self, statements: Iterable[Statement], today: date) -> None:
        self.statements = tuple(statements)
        self.today = today
        active = [one for one in self.statements if one.state(today) is StatementState.ACTIVE]
        active.sort(key=lambda one: (-one.since.toordinal(), -one.expires.toordinal(), one.id))
        scopes = [scope for one in active for scope in one.scopes]
        self.host_scopes = tuple(dict.fromkeys(scope.hosts for scope in scopes))
        self.place_scopes = tuple(dict.fromkeys(scope.places for scope in scopes if scope.places is not None))
        hosts = {scope: number for number, scope in enumerate(self.host_scopes)}
        places: dict[PlaceScope | None, int] = {scope: number for number, scope in enumerate(self.place_scopes)}
        self._covering: defaultdict[str, list[tuple[Statement, tuple[tuple[int, int | None], ...]]]]
        self._covering = defaultdict(list)
        for one in active:
            numbers = tuple((hosts[scope.hosts], places.get(scope.places)) for scope in one.scopes)
            for advisory in dict.fromkeys(one.advisories):
                self._covering[advisory].append((one, numbers))

    def __bool__(self) -> bool:
        """Tell whether anything can be covered."""
        return bool(self._covering)

    def hosts_of(self, host_id: str, name: str, labels: Mapping[str, str]) -> Matched:
        """Return the groups of hosts that a host is in."""
        return frozenset(number for number, scope in enumerate(self.host_scopes) if scope.covers(host_id, name, labels))

    def places_of(self, place: Place) -> Matched:
        """Return the places that a thing lies in; ``place_scopes`` alone decide this."""
        return frozenset(number for number, scope in enumerate(self.place_scopes) if scope.covers(place))

    def covering(self, judged: Judgement | Finding, hosts: Matched, places: Matched) -> Statement | None:
        """Return the statement that covers what was judged of something; None where none does."""
        if judged.status not in OPEN:
            return None
        for statement, scopes in self._covering.get(judged.advisory, ()):
            if any(host in hosts and (place is None or place in places) for host, place in scopes):
                return statement
        return None

    def accept(self, assessment: HostAssessment, hosts: Matched) -> tuple[Finding, ...]:
        """Return the findings of a host in these groups, in their order; what is covered carries its statement."""
        if not hosts:
            return assessment.findings
        return tuple(finding for item in assessment.subjects for finding in self.accepted(item, hosts))

    def accepted(
        self, judged: InstallAssessment | CopyAssessment | LibcAssessment, hosts: Matched
    ) -> tuple[Finding, ...]:
        """Return the findings of one thing on a host in these groups; what is covered carries its statement."""
        if not hosts:
            return judged.findings
        places = self.places_of(place_of(judged))
        statements = ((finding, self.covering(finding, hosts, places)) for finding in judged.findings)
        return tuple(
            finding if statement is None else replace(finding, accepted=statement.told)
            for finding, statement in statements
        )

    def count(self, assessment: HostAssessment, hosts: Matched) -> int:
        """Return how many affected findings of a host in these groups are covered."""
        if not hosts:
            return 0
        return sum(
            judgement.status is VexStatus.AFFECTED and self.covering(judgement, hosts, places) is not None
            for places, item in ((self.places_of(place_of(item)), item) for item in assessment.subjects)
            for judgement in item.case.judgements
        )


def place_of(judged: InstallAssessment | CopyAssessment | LibcAssessment) -> Place:
    """Return where something that was judged lies; an install is known by each of its paths."""
    subject = judged.subject
    install = getattr(judged, "install", None)
    if install is None:
        return Place(subject.root, frozenset({subject.path}))
    return Place(subject.root, frozenset({subject.path, install.realpath, *install.aliases}), install.build)


def why_unknown(statement: Statement, known: frozenset[str], facts_day: date) -> str:
    """Return that a statement is about no advisory that is known, of all ``known`` ones; empty where it is."""
    if not known.isdisjoint(statement.advisories):
        return ""
    names = ", ".join(statement.advisories)
    return f"matches nothing: no advisory {names} in the snapshot of {facts_day.isoformat()}"


def why_unmatched(statement: Statement, known: frozenset[str], facts_day: date, hosts: int) -> str:
    """Return why a statement covers nothing: ``known`` are all advisories, ``hosts`` how many its scopes are about."""
    unknown = why_unknown(statement, known, facts_day)
    if unknown:
        return unknown
    scopes = "; ".join(dict.fromkeys(str(scope.hosts) for scope in statement.scopes))
    if not hosts:
        return f"matches nothing: no host has reported that is of {scopes}"
    narrowed = "; ".join(dict.fromkeys(str(scope) for scope in statement.scopes))
    return f"matches nothing: {statement.advisories[0]} is not open for {narrowed}"
