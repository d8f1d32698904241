"""How long fixes took per provider: until the provider had them, and until the fleet did."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from libcensus.collector.exposures import ExposureReader
from libcensus.collector.posture.lag import fix_lags, summaries
from libcensus.collector.posture.speed import ALL, fleet_ratios
from libcensus.collector.postureindex import end_of
from libcensus.collector.service.errors import InvalidFieldError, OverdueError
from libcensus.collector.service.fleet_selection import chosen_fleet
from libcensus.collector.service.posture import day_of, require_component, require_provider
from libcensus.collector.service.providers_codec import PatchedShare, ProviderPatching, ProvidersAnswer, ProviderSpeed

if TYPE_CHECKING:
    from collections.abc import Callable

    from libcensus.collector.exposures import PatchTally
    from libcensus.collector.posture.finding import Component, Severity
    from libcensus.collector.posture.speed import SpeedRun
    from libcensus.collector.postureindex import PostureIndexes


class ProvidersReader:
    """Answers from the index of the day; ``measured`` gives the runs in which somebody measured speed.

    Methods may be called from several threads at once.
    """

    def __init__(self, indexes: PostureIndexes, measured: Callable[[], tuple[SpeedRun, ...]] = tuple) -> None:
        self._indexes = indexes
        self._measured = measured

    def providers(
        self,
        provider: str = "",
        component: str = "",
        since: str = "",
        day: str = "",
        is_wanted: Callable[[], bool] = lambda: True,
        selector: str = "",
    ) -> ProvidersAnswer:
        """Return how long fixes took, of advisories published since a day, as was known at the end of another.

        An empty text is everything, and now. A selector chooses hosts by the labels that they have now; when providers
        had a fix does not depend on it. Raises InvalidFieldError for what nothing can be of, and OverdueError as soon
        as nobody wants the answer any more.
        """
        today = self._indexes.today
        on = day_of("day", day, today)
        begin = date.min if not since else day_of("since", since, today)
        if begin > on:
            raise InvalidFieldError("since", f"{since} is later than the day of the answer, {on.isoformat()}")
        fleet = self._indexes.on(on).fleet(is_wanted)
        if fleet is None:
            raise OverdueError("the fleet was not judged in the time of the call; what was judged is kept: ask again")
        require_component(component)
        require_provider(provider, fleet)
        fleet, unknown_keys = chosen_fleet(fleet, selector)
        tallies = ExposureReader(fleet, begin).tally(end_of(on))
        catalogue = fleet.assessor.catalogue
        lags = (one for one in fix_lags(catalogue) if one.available <= on and component in {"", one.component})
        return ProvidersAnswer(
            patching=tuple(
                _patching(*key, tally)
                for key, tally in tallies.items()
                if provider in {"", key[0]} and component in {"", key[1]}
            ),
            lags=tuple(summaries(lags, begin)),
            hosts=len(fleet.hosts),
            watched_since=min((host.first_seen.date() for host in fleet.hosts), default=None),
            day=on,
            advisories_day=catalogue.snapshot_date,
            unknown_keys=unknown_keys,
            speeds=self._speeds(provider, on),
        )

    def _speeds(self, provider: str, on: date) -> tuple[ProviderSpeed, ...]:
        runs = [run for run in self._measured() if run.measured_at.date() <= on]
        return tuple(
            ProviderSpeed(
                machine=one.machine,
                workload=one.workload,
                build=one.build.build,
                implementation=one.build.implementation,
                version=one.build.version,
                provider=one.build.provider,
                baseline_provider=one.against.provider,
                baseline_version=one.against.version,
                speed=one.speed,
                measured_at=one.measured_at,
            )
            for one in fleet_ratios(runs)
            if one.part == ALL and provider in {"", one.build.provider}
        )


def _patching(provider: str, component: Component, severity: Severity, tally: PatchTally) -> ProviderPatching:
    return ProviderPatching(
        provider=provider,
        component=component,
        severity=severity,
        measured=tally.measured,
        seconds=tally.seconds,
        median_days=tally.percentile(0.5),
        p90_days=tally.percentile(0.9),
        within=tuple(PatchedShare(days, share.patched, share.total) for days, share in tally.within.items()),
        unmeasured=tally.unmeasured,
        undated=tally.undated,
        removed=tally.removed,
        open=tally.open,
        unfixed=tally.unfixed,
        oldest_open=None if tally.oldest_open is None else tally.oldest_open.date(),
    )
