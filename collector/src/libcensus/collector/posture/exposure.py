"""Since when a fix could have been applied and was not, and how long it took where it was.

What is followed through time is a slot: what goes on when versions change, such as a host's uv-managed Python 3.12 or
one environment. An episode is a time in which a slot was affected by one advisory. It counts from the day since which
the fix could be applied, or from the day on which the affected copy came, whichever is later. What a host had already
when it reported first was there nobody knows since when: it counts from the day of the fix, and tells nothing about how
fast anybody was, unless the fix came later.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from libcensus.collector.posture.assessment import CopyAssessment, InstallAssessment
from libcensus.collector.posture.finding import Component, VexStatus
from libcensus.collector.posture.versions import branch_of
from libcensus.facts.vocabulary import Implementation, InstallKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from libcensus.collector.posture.assessment import Case, LibcAssessment
    from libcensus.collector.posture.finding import Clocks, Severity

BUCKET_DAYS = (1, 3, 7, 14, 30, 60, 90, 180, 365)
"""Upper bounds of the patch latency histogram."""


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """What goes on when versions change; ``name`` tells it apart from others of its kind in one root."""

    kind: str
    root: str
    name: str


class Outcome(StrEnum):
    """How an episode ended; ``removed`` is also what nobody can tell of any more."""

    PATCHED = "patched"
    REMOVED = "removed"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Opening:
    """One advisory that holds for a copy, as far as exposure needs it."""

    component: Component
    advisory: str
    severity: Severity
    provider: str
    clocks: Clocks


@dataclass(frozen=True, slots=True)
class Period:
    """What holds for a slot in one of its periods; ``unclear`` is what nobody can tell of: component and advisory."""

    opened: tuple[Opening, ...] = ()
    unclear: frozenset[tuple[Component, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Episode:
    """A time in which a slot was affected: ``began`` and ``ended`` are numbers of its periods, ``ended`` excluded."""

    opening: Opening
    began: int
    ended: int | None
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Exposure:
    """An episode with its moments.

    ``since`` is when it began to count, absent where no source tells when the provider had the fix. ``is_measured``
    tells whether the fix came, or the copy, while the host was watched, so that the length says how fast somebody was.
    ``until`` is absent while it is open.
    """

    opening: Opening
    since: datetime | None
    until: datetime | None
    outcome: Outcome
    is_measured: bool

    @property
    def latency(self) -> timedelta | None:
        """How long it took from the fix to the host; None where that is not known, or nobody fixed it."""
        if not self.is_measured or self.outcome is not Outcome.PATCHED or self.since is None or self.until is None:
            return None
        return self.until - self.since


def slot_of(item: InstallAssessment | CopyAssessment | LibcAssessment) -> Slot:
    """Return the slot of what was judged.

    Installs of one provider, installer, implementation and release line in one root are one slot; an environment is
    one by its path, a crypto copy by what brought it into which environment, and the C library of a root is one.
    """
    root = item.subject.root
    if isinstance(item, InstallAssessment):
        install = item.install
        line = None
        if item.version is not None:
            line = (
                branch_of(Component.CPYTHON, item.version)
                if install.implementation is Implementation.CPYTHON
                else item.version.partition(".")[0]
            )
        if install.kind is InstallKind.VENV or line is None:
            return Slot("environment" if install.kind is InstallKind.VENV else "install", root, install.path)
        return Slot("base", root, f"{item.provider.value} {install.installer.value} {install.implementation} {line}")
    if isinstance(item, CopyAssessment):
        copy = item.copy
        owner = copy.path if copy.owner is None else copy.owner.name
        return Slot("copy", root, f"{copy.environment or ''} {owner}")
    return Slot("libc", root, "")


def is_told(item: InstallAssessment | CopyAssessment | LibcAssessment) -> bool:
    """Tell whether anything can be said of what was judged: nothing can of an environment that has lost its base."""
    return not isinstance(item, InstallAssessment) or item.version is not None or item.library is not None


def unclear_in(case: Case) -> frozenset[tuple[Component, str]]:
    """Return what is under investigation in a case, by component and advisory."""
    return frozenset(
        (item.component, item.advisory) for item in case.judgements if item.status is VexStatus.UNDER_INVESTIGATION
    )


def openings(case: Case, provider: str) -> tuple[Opening, ...]:
    """Return what is affected in a case."""
    return tuple(
        Opening(item.component, item.advisory, item.severity, provider, item.clocks)
        for item in case.judgements
        if item.status is VexStatus.AFFECTED
    )


def episodes(periods: Sequence[Period | None]) -> tuple[Episode, ...]:
    """Return the episodes of a slot, from what held in each of its periods; None is a period without the slot."""
    found: list[Episode] = []
    running: dict[tuple[Component, str], tuple[int, Opening]] = {}
    for number, period in enumerate(periods):
        now = {} if period is None else {(item.component, item.advisory): item for item in period.opened}
        for key in [key for key in running if key not in now]:
            began, opening = running.pop(key)
            is_lost = period is None or key in period.unclear
            found.append(Episode(opening, began, number, Outcome.REMOVED if is_lost else Outcome.PATCHED))
        for key, opening in now.items():
            running.setdefault(key, (number, opening))
    found += [Episode(opening, began, None, Outcome.OPEN) for began, opening in running.values()]
    return tuple(sorted(found, key=lambda one: (one.began, one.opening.component, one.opening.advisory)))


def expose(episode: Episode, moments: Sequence[datetime], first_report: datetime) -> Exposure | None:
    """Return an episode with its moments; None where it ended before anybody could have applied a fix.

    ``moments`` are the beginnings of the slot's periods; ``first_report`` is the host's first one.
    """
    opening = episode.opening
    until = None if episode.ended is None else moments[episode.ended]
    began = moments[episode.began]
    fix = opening.clocks.since
    if until is not None and until <= _midnight(opening.clocks.published if fix is None else fix):
        return None
    if fix is None:
        return Exposure(opening, None, until, episode.outcome, is_measured=False)
    was_there = began <= first_report
    # Days are whole: a fix of the day of the first report came while the host was watched.
    is_measured = not was_there or fix >= first_report.date()
    since = _midnight(fix) if was_there else max(_midnight(fix), began)
    return Exposure(opening, since, until, episode.outcome, is_measured=is_measured)


def oldest_since(
    opened: Iterable[tuple[Opening, datetime | None]],
) -> dict[tuple[Component, Severity], datetime]:
    """Return since when a subject is exposed, by component and severity.

    With each advisory comes when the affected copy came, None where it was there at the host's first report. Advisories
    whose fix has no known day are left out.
    """
    found: dict[tuple[Component, Severity], datetime] = {}
    for item, began in opened:
        fix = item.clocks.since
        if fix is None:
            continue
        since = _midnight(fix) if began is None else max(_midnight(fix), began)
        key = item.component, item.severity
        found[key] = min(found.get(key, since), since)
    return found


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
