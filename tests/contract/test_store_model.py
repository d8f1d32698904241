"""Random histories: the store and a simple model, which keeps every report and looks at all of them, must agree."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.specimens import (
    NOON,
    STATIC_OPENSSL,
    SYSTEM_OPENSSL,
    UNRESOLVED,
    Census,
    build,
    install,
    received,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from libcensus.collector.store.contract import ReceivedReport, ReportOutcome, Store
    from libcensus.facts.interpreter import Install

BUILDS = (build("b0"), build("b1"), None)
CRYPTO = (STATIC_OPENSSL, SYSTEM_OPENSSL, UNRESOLVED)
_EXAMPLES = itertools.count()


class Layout(NamedTuple):
    """What a host looks like: its hostname, and per path which build and which crypto use (absent: no install)."""

    hostname: str
    installs: tuple[tuple[int, int] | None, ...]

    def census(self, example: int) -> Census:
        """Return the facts; the example's number keeps them apart from those of other examples."""
        installs = tuple(
            install(f"/opt/{path}/python", BUILDS[one[0]], CRYPTO[one[1]])
            for path, one in enumerate(self.installs)
            if one is not None
        )
        known = tuple(of for of in BUILDS if of is not None)
        return Census.with_installs(f"{self.hostname}{example}", f"e{example}", installs, known)


layouts = st.builds(
    Layout,
    st.sampled_from(["web", "db"]),
    st.tuples(*[st.none() | st.tuples(st.integers(0, 2), st.integers(0, 2)) for _ in range(3)]),
)


class Step(NamedTuple):
    """One report of a batch: by which host, of which layout, how much later (or, the clock set back, earlier)."""

    host: int
    layout: int
    minutes: int
    upload: bool
    again: bool


steps = st.builds(
    Step,
    host=st.integers(0, 2),
    layout=st.integers(0, 3),
    minutes=st.integers(0, 90) | st.integers(-500, -1),
    upload=st.integers(0, 4).map(bool),
    again=st.integers(0, 5).map(lambda number: number == 0),
)


@dataclass
class ModelHost:
    """Every report that was taken, with the moment that history knows for it."""

    taken: list[tuple[datetime, Census, ReceivedReport]] = field(default_factory=list)
    name: str = ""

    @property
    def latest(self) -> datetime:
        return max(moment for moment, _, _ in self.taken)

    def spans(self) -> list[tuple[Install, datetime, datetime, datetime | None]]:
        """Return the intervals: of each path, runs of reports that show the same install."""
        found = []
        paths = {one.path for _, census, _ in self.taken for one in census.installs.installs}
        for path in sorted(paths):
            shown = [
                (moment, next((one for one in census.installs.installs if one.path == path), None))
                for moment, census, _ in self.taken
            ]
            for one, run in itertools.groupby(enumerate(shown), key=lambda entry: entry[1][1]):
                if one is not None:
                    members = list(run)
                    after = members[-1][0] + 1
                    gone = shown[after][0] if after < len(shown) else None
                    found.append((one, members[0][1][0], members[-1][1][0], gone))
        return found


@dataclass
class Model:
    """The whole store, without a database."""

    stored: set[str] = field(default_factory=set)
    hosts: dict[str, ModelHost] = field(default_factory=dict)

    def put(self, census: Census) -> None:
        self.stored |= {one.digest for one in census.records}

    def apply(self, report: ReceivedReport, census: Census) -> ReportOutcome:
        host = self.hosts.get(report.host_id, ModelHost())
        if host.taken:
            newest = host.taken[-1][2]
            behind = newest.received_at - report.received_at
            if newest.report.report_id == report.report.report_id or timedelta(0) < behind <= timedelta(minutes=10):
                return ()
        if census.address not in self.stored:
            return (census.address,)
        moment = max([report.received_at, *(before for before, _, _ in host.taken)])
        if not host.taken or host.taken[-1][1].hostname != census.hostname:
            names = {other.name for key, other in self.hosts.items() if key != report.host_id}
            own = census.hostname
            host.name = own if own not in names else f"{own}~{report.host_id[:6]}"
        host.taken.append((moment, census, report))
        self.hosts[report.host_id] = host
        return ()


def batches(chosen: list[Step], size: int) -> Iterator[list[Step]]:
    for start in range(0, len(chosen), size):
        yield chosen[start : start + size]


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    # The one store serves all examples, told apart by their number: a database for each would take minutes.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(known=st.lists(layouts, min_size=4, max_size=4), chosen=st.lists(steps, max_size=14), size=st.integers(1, 5))
def test_any_history_is_told_as_it_was(store: Store, known: list[Layout], chosen: list[Step], size: int) -> None:
    example = next(_EXAMPLES)
    model, now = Model(), NOON
    last: dict[str, tuple[ReceivedReport, Census]] = {}
    for batch in batches(chosen, size):
        reports: list[tuple[ReceivedReport, Census]] = []
        for step in batch:
            host_id = f"{step.host:04x}{example:028x}"
            census = known[step.layout].census(example)
            now += timedelta(minutes=step.minutes)
            if step.upload:
                store.put_facts(census.records)
                model.put(census)
            if step.again and host_id in last:
                reports.append(last[host_id])
            else:
                # Scanned when received, by the same clock: what comes back by less than ten minutes is a straggler.
                reports.append((received(host_id, census.address, now), census))
            last[host_id] = reports[-1]
        expected = [model.apply(report, census) for report, census in reports]
        assert store.apply_reports([report for report, _ in reports]) == expected

    states = {state.host_id: state for state in store.hosts(model.hosts)}
    assert states.keys() == model.hosts.keys()
    for host_id, host in model.hosts.items():
        state, (_, census, report) = states[host_id], host.taken[-1]
        assert (state.name, state.report, state.host) == (host.name, report.report, census.inventory.host)
        assert state.last_report == report.received_at
        assert state.first_report == min(one.received_at for _, _, one in host.taken)
        told = [
            (one.path, one.build, one.crypto, one.first_seen, one.last_seen, one.gone_at)
            for one in store.intervals(host_id)
        ]
        assert told == [
            (one.path, one.build, one.crypto, first, host.latest if gone is None else last_seen, gone)
            for one, first, last_seen, gone in host.spans()
        ]
    # Platform and inventory are the facts that hold the example's number.
    own = {one.digest for layout in known for one in layout.census(example).records[:2]}
    assert store.missing(own) == own - model.stored
