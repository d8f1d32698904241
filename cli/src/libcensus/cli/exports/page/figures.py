"""What a page is made of: the answers that the commands' tables are made of, asked of one collector."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from libcensus.cli.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date, datetime

    from libcensus.cli.client import FleetClient
    from libcensus.collector.service.fleet_codec import HostPage, HostSummary
    from libcensus.collector.service.portability_codec import LibcAnswer, Matrix
    from libcensus.collector.service.posture_codec import PostureAnswer
    from libcensus.collector.service.providers_codec import ProvidersAnswer

REMEDIES_SHOWN = 25
"""How many remedies and how many of the worst hosts are asked for and shown."""

MOMENTS = 7
"""Days on which the past is looked at: the collector judges the fleet anew for each."""

SILENT_AFTER = timedelta(days=1)
"""From when on a host is silent, as the alerts and dashboards have it."""


@dataclass(frozen=True, slots=True)
class FleetFigures:
    """A fleet, or the hosts of it that a selector chooses, at one moment.

    ``matrix`` is absent where it is too large to be told at once. ``past`` is the posture at the ends of some days, the
    oldest first, where somebody asked for it.
    """

    now: datetime
    selector: str
    hosts: tuple[HostSummary, ...]
    unknown_keys: tuple[str, ...]
    libcs: LibcAnswer
    matrix: Matrix | None
    posture: PostureAnswer
    providers: ProvidersAnswer
    past: tuple[PostureAnswer, ...] = ()

    @property
    def silent(self) -> list[HostSummary]:
        """The hosts that have not reported for a day, those that are silent longest first."""
        latest = self.now - SILENT_AFTER
        return sorted(
            (one for one in self.hosts if one.last_report <= latest), key=lambda one: (one.last_report, one.name)
        )

    def words(self, *words: str) -> tuple[str, ...]:
        """Return the words of a command about these hosts."""
        return (*words, "-l", self.selector) if self.selector else words


def ask_fleet(
    client: FleetClient,
    page: HostPage,
    selector: str,
    now: datetime,
    progress: Callable[[str, int, int | None], None],
    since: date | None = None,
) -> FleetFigures:
    """Return the figures of the hosts that a selector chooses, which ``page`` holds; an empty one chooses all.

    With ``since`` also how the posture went from that day on. Raises ArgumentError for a day that is not before today.
    """
    steps = 4
    progress("asked the collector", 0, steps)
    posture = client.posture(limit=REMEDIES_SHOWN, selector=selector)
    # The collector's day, not this machine's: it knows no later one.
    days = [] if since is None else days_since(since, posture.day)
    steps += len(days[:-1])
    progress("asked the collector", 1, steps)
    libcs = client.libc_hosts(selector)
    progress("asked the collector", 2, steps)
    matrix: Matrix | None
    try:
        matrix = client.matrix(selector=selector)
    except ArgumentError:
        # Too many builds on too many platforms for one answer: the page says so, and how to ask for a part.
        matrix = None
    progress("asked the collector", 3, steps)
    providers = client.providers(selector=selector)
    past = []
    for number, day in enumerate(days[:-1], 4):
        progress("asked the collector", number, steps)
        past.append(client.posture(limit=1, day=day, selector=selector))
    past += [posture] * bool(days)
    return FleetFigures(now, selector, page.hosts, page.unknown_keys, libcs, matrix, posture, providers, tuple(past))


def days_since(since: date, today: date) -> list[date]:
    """Return days at even distances from one to today, both among them. Raises ArgumentError where it is not past."""
    length = (today - since).days
    if length < 1:
        raise ArgumentError(f"--since {since.isoformat()}: is not before today, {today.isoformat()} (UTC)")
    steps = min(length, MOMENTS - 1)
    return [since + timedelta(days=round(length * number / steps)) for number in range(steps + 1)]
