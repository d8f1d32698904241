"""How long fixes took to reach the fleet, per provider, from what the posture index keeps of each host's past.

Hosts on which nothing changed are counted by what lies on them and the day of their first report; only what changed is
looked at host by host.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from libcensus.collector.posture.exposure import BUCKET_DAYS, Outcome, Period, episodes, expose, openings, unclear_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from libcensus.collector.posture.exposure import Episode, Exposure, Opening, Slot
    from libcensus.collector.posture.finding import Component, Severity
    from libcensus.collector.postureindex import JudgedFleet, JudgedHost, Pattern

WITHIN_DAYS = (7, 30, 90)
"""For which times it is told what share was patched within them."""

_DAY = timedelta(days=1)

Key = tuple[str, "Component", "Severity"]
"""Provider, component, severity."""


@dataclass(slots=True)
class Share:
    """Of the fixes that came at least so many days ago: how many there were, and how many were applied in that time."""

    patched: int = 0
    total: int = 0


@dataclass(slots=True)
class PatchTally:
    """The exposures of one provider's builds to one component's advisories of one severity.

    ``latencies`` counts whole days, rounded down, from the fix to the host; ``seconds`` is their exact sum, and
    ``buckets`` how many took at most as many days as :data:`~.exposure.BUCKET_DAYS` say. ``unmeasured`` were patched
    and had the fix before the host was watched, ``undated`` (open or not) have a provider without a source of dates.
    ``undated_open`` of them are open; ``open`` are exposed now; ``unfixed`` wait for a fix, or for its day.
    """

    latencies: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * len(BUCKET_DAYS))
    unmeasured: int = 0
    undated: int = 0
    undated_open: int = 0
    removed: int = 0
    open: int = 0
    unfixed: int = 0
    oldest_open: datetime | None = None
    within: dict[int, Share] = field(default_factory=lambda: {days: Share() for days in WITHIN_DAYS})

    @property
    def measured(self) -> int:
        """How many patches were measured."""
        return self.latencies.total()

    @property
    def is_dated(self) -> bool:
        """Whether the day of a fix is known of any; without one a zero would be a claim."""
        return bool(self.measured or self.unmeasured or self.removed or self.open or self.unfixed)

    def percentile(self, share: float) -> int | None:
        """Return within how many whole days this share of the measured patches came; None where there is none."""
        left = share * self.measured
        for days in sorted(self.latencies):
            left -= self.latencies[days]
            if left <= 0:
                return days
        return None

    def add(self, exposure: Exposure, now: datetime, times: int = 1) -> None:
        """Count an exposure that is in as many places."""
        if exposure.since is None:
            self.undated += times
            self.undated_open += times * (exposure.outcome is Outcome.OPEN)
            return
        if exposure.outcome is Outcome.OPEN:
            if exposure.since > now:
                self.unfixed += times
            else:
                self.open += times
                self.oldest_open = min(self.oldest_open or exposure.since, exposure.since)
        elif exposure.outcome is Outcome.REMOVED:
            self.removed += times
        elif not exposure.is_measured:
            self.unmeasured += times
        latency = exposure.latency
        if latency is not None:
            self.latencies[latency // _DAY] += times
            self.seconds += latency.total_seconds() * times
            for position, days in enumerate(BUCKET_DAYS):
                if latency <= days * _DAY:
                    self.buckets[position] += times
        if exposure.is_measured:
            self._share(exposure, exposure.since, now, times)

    def _share(self, exposure: Exposure, since: datetime, now: datetime, times: int) -> None:
        for days, share in self.within.items():
            limit = days * _DAY
            is_ended_within = exposure.until is not None and exposure.until - since <= limit
            if now - since < limit or (exposure.outcome is Outcome.REMOVED and is_ended_within):
                continue
            share.total += times
            share.patched += times * is_ended_within


class ExposureReader:
    """Tallies a fleet; what was told of one sequence of cases is kept for the next host that has it.

    Only advisories that were published ``since`` a day are looked at.
    """

    def __init__(self, fleet: JudgedFleet, since: date = date.min) -> None:
        self._fleet = fleet
        self._since = since
        self._opened: dict[int, tuple[Opening, ...]] = {}
        self._episodes: dict[tuple[Pattern, ...], tuple[Episode, ...]] = {}

    def opened(self, number: int) -> tuple[Opening, ...]:
        """Return what is affected in a case, by its number."""
        found = self._opened.get(number)
        if found is None:
            judged = self._fleet.judged[number]
            found = self._opened[number] = tuple(
                one for one in openings(judged.case, judged.provider) if one.clocks.published >= self._since
            )
        return found

    def tally(self, now: datetime) -> Mapping[Key, PatchTally]:
        """Return the exposures up to a moment, by provider, component and severity, sorted."""
        found: dict[Key, PatchTally] = {}
        for (numbers, day), times in self._unmoved().items():
            first_report = datetime.combine(day, time(), UTC)
            for episode in self._episodes_of((numbers,)):
                exposure = expose(episode, (first_report,), first_report)
                if exposure is not None:
                    _tally_of(found, exposure).add(exposure, now, times)
        for host in self._fleet.hosts:
            for exposure in self._moved(host):
                _tally_of(found, exposure).add(exposure, now)
        return dict(sorted(found.items()))

    def began(self, host: JudgedHost) -> Mapping[Slot, Mapping[tuple[Component, str], datetime]]:
        """Return when what is open now came, by component and advisory, in the slots of a host that changed.

        What was there at the host's first report is left out: nobody knows since when.
        """
        found: dict[Slot, dict[tuple[Component, str], datetime]] = {}
        for past in host.past:
            found[past.slot] = {
                (one.opening.component, one.opening.advisory): past.moments[one.began]
                for one in self._episodes_of(past.numbers)
                if one.outcome is Outcome.OPEN and one.began > 0
            }
        return found

    def _unmoved(self) -> Counter[tuple[Pattern, date]]:
        """Return how often the same lies in a slot since when, where nothing changed since the host's first report."""
        hosts: Counter[tuple[int, date]] = Counter()
        shapes: dict[int, tuple[Pattern, ...]] = {}
        for host in self._fleet.hosts:
            if host.pattern is not None:
                # The index gives equal ones as one object; to hash them for each host would take most of the time.
                shapes[id(host.kept)] = host.kept
                hosts[id(host.kept), host.first_seen.date()] += 1
        found: Counter[tuple[Pattern, date]] = Counter()
        for (shape, day), times in hosts.items():
            for numbers in shapes[shape]:
                found[numbers, day] += times
        return found

    def _moved(self, host: JudgedHost) -> Iterable[Exposure]:
        for past in host.past:
            for episode in self._episodes_of(past.numbers):
                exposure = expose(episode, past.moments, host.first_seen)
                if exposure is not None:
                    yield exposure

    def _episodes_of(self, periods: tuple[Pattern, ...]) -> Sequence[Episode]:
        found = self._episodes.get(periods)
        if found is None:
            found = self._episodes[periods] = episodes([self._period(numbers) for numbers in periods])
        return found

    def _period(self, numbers: Pattern) -> Period | None:
        if not numbers:
            return None
        unclear = (unclear_in(self._fleet.judged[number].case) for number in numbers)
        return Period(tuple(one for number in numbers for one in self.opened(number)), frozenset().union(*unclear))


def _tally_of(found: dict[Key, PatchTally], exposure: Exposure) -> PatchTally:
    opening = exposure.opening
    return found.setdefault((opening.provider, opening.component, opening.severity), PatchTally())
