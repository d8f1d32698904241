"""What a page is made of: the answers that the commands' tables are made of, asked of one collector."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from libcensus.cli.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from libcensus.cli.client import FleetClient
    from libcensus.collector.service.fleet_codec import HostPage, HostSummary
    from libcensus.collector.service.portability_codec import LibcAnswer, Matrix
    from libcensus.collector.service.posture_codec import PostureAnswer
    from libcensus.collector.service.providers_codec import ProvidersAnswer

REMEDIES_SHOWN = 25
"""How many remedies and how many of the worst hosts are asked for and shown."""

SILENT_AFTER = timedelta(days=1)
"""From when on a host is silent, as the alerts and dashboards have it."""


@dataclass(frozen=True, slots=True)
class FleetFigures:
    """A fleet, or the hosts of it that a selector chooses, at one moment.

    ``matrix`` is absent where it is too large to be told at once.
    """

    now: datetime
    selector: str
    hosts: tuple[HostSummary, ...]
    unknown_keys: tuple[str, ...]
    libcs: LibcAnswer
    matrix: Matrix | None
    posture: PostureAnswer
    providers: ProvidersAnswer

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
) -> FleetFigures:
    """Return the figures of the hosts that a selector chooses, which ``page`` holds; an empty one chooses all."""
    steps = 4
    progress("asked the collector", 0, steps)
    posture = client.posture(limit=REMEDIES_SHOWN, selector=selector)
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
    return FleetFigures(now, selector, page.hosts, page.unknown_keys, libcs, matrix, posture, providers)
