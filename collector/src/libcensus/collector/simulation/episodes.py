"""What a simulated fleet was exposed to, told from the choices that made its past.

A slot is what goes on when versions change: an install of a minor release by one provider and installer, an
environment, what brought a copy. An episode is the time in which one advisory held for one slot of one host. What is
counted here is defined in ``docs/exposure.md``; it is worked out host by host from the states that were chosen, without
a store, intervals or anything that judges.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from libcensus.collector.simulation.plan import CONTAINER_ROOT
from libcensus.collector.simulation.records import AFFECTED, OPEN_QUESTION
from libcensus.facts.vocabulary import InstallKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from libcensus.collector.simulation.plan import HostPlan, InstallPlan
    from libcensus.collector.simulation.records import Records, Said

BOUNDS = (1, 3, 7, 14, 30, 60, 90, 180, 365)
"""The upper ends of the histogram of patch latencies, in days."""

SHARES = (7, 30, 90)
"""Within how many days of the fix the share of what was patched is told."""

_DAY = 86400
_UNKNOWN = "unknown"

Slot = tuple[str, ...]
"""What it is (``base``, ``environment``, ``copy``), then what tells it from the others of its host."""


@dataclass(frozen=True, slots=True)
class Episode:
    """The time in which an advisory held for a slot of a host.

    ``begin`` is the first report that showed it, ``end`` the first that no longer did, absent while it lasts;
    ``is_removed`` tells that the slot was gone then. ``start`` is when the fix could have been there and the slot was:
    exposure begins then; absent where nothing tells since when there is a fix. ``fix`` is its day, never before the
    advisory's. ``is_seen`` tells that the fix came, or the episode began, after the host's first report.
    """

    host_id: str
    slot: Slot
    provider: str
    component: str
    advisory: str
    severity: str
    published: date
    begin: datetime
    end: datetime | None
    is_removed: bool
    is_first: bool
    fix: date | None
    first_report: datetime

    @property
    def counts(self) -> bool:
        """Whether it was an exposure: one that ended before the fix, or before anybody knew, was none."""
        bound = self.published if self.fix is None else self.fix
        return self.end is None or self.end > _begin_of(bound)

    @property
    def start(self) -> datetime | None:
        """Since when a fix was not applied that could have been; that of a day counts from the day's beginning."""
        if self.fix is None:
            return None
        return _begin_of(self.fix) if self.is_first else max(self.begin, _begin_of(self.fix))

    @property
    def exposed_since(self) -> date | None:
        """The day of exposure's beginning: the fix's where the slot was open already when the host was seen first."""
        if self.fix is None:
            return None
        return self.fix if self.is_first else max(self.fix, self.begin.date())

    @property
    def is_seen(self) -> bool:
        """Whether what is before the end of it happened under somebody's eyes, so that it can be measured."""
        return self.fix is not None and (self.fix >= self.first_report.date() or not self.is_first)

    @property
    def outcome(self) -> str:
        """How it ended: ``open``, ``patched`` or ``removed``."""
        if self.end is None:
            return "open"
        return "removed" if self.is_removed else "patched"

    @property
    def measure(self) -> str:
        """Whether it can be measured: ``seen``, ``before_first_report``, or ``unknown`` where the fix has no day."""
        if self.fix is None:
            return _UNKNOWN
        return "seen" if self.is_seen else "before_first_report"


@dataclass(frozen=True, slots=True)
class _Part:
    """One thing on a host in one state: where it belongs, who brought it, what holds for it."""

    slot: Slot
    provider: str
    said: tuple[Said, ...]


def parts_of(plan: HostPlan, records: Records) -> list[_Part]:
    """Return everything on a host in one state that advisories can hold for."""
    system = plan.known.system.name
    inner = system if plan.container is None else plan.container.system.name
    owners = {(one.root, one.path): one.package for one in plan.installs}
    parts = []
    for install in plan.installs:
        place = inner if install.root == CONTAINER_ROOT else system
        owner = install.package or owners.get((install.root, install.base or ""))
        build = install.build
        if build is None and install.crypto.version is None:
            # Nothing can be told of it: for whoever looks, what was there before is gone.
            continue
        said = records.of_install(install.implementation, build, install.crypto, (install.installer, owner, place))
        parts.append(_Part(_slot(install), _UNKNOWN if build is None else build.provider.value, said))
    for copy in plan.copies:
        slot = ("copy", "/", copy.environment, "cryptography")
        parts.append(_Part(slot, "pypi", records.of_copy(copy.openssl, system)))
    for root, known in (("/", plan.known), (CONTAINER_ROOT, plan.container)):
        if known is not None and known.glibc is not None:
            parts.append(_Part(("libc", root), _UNKNOWN, records.of_glibc(known.libc_version)))
    return parts


def _slot(install: InstallPlan) -> Slot:
    if install.kind is InstallKind.VENV:
        return ("environment", install.root, install.path)
    build = install.build
    provider, minor = (_UNKNOWN, "") if build is None else (build.provider.value, build.minor)
    return ("base", install.root, provider, install.implementation.value, minor, install.installer.value)


_Key = tuple[str, str]
_Begun = tuple[datetime, "Said", str]


def episodes_of(states: Sequence[HostPlan], records: Records) -> Iterator[Episode]:
    """Yield the episodes of one host from its reports, the oldest first."""
    host_id, first = states[-1].host_id, states[0].reported_at
    begun: dict[Slot, dict[_Key, _Begun]] = {}
    shown: dict[Slot, list[tuple[Said, ...]]] = {}

    def ended(slot: Slot, key: _Key, one: _Begun, end: datetime | None, *, is_removed: bool = False) -> Episode:
        begin, said, provider = one
        fix = None if said.fix is None else max(said.fix, said.published)
        return Episode(
            host_id, slot, provider, *key, said.severity, said.published, begin, end, is_removed, begin == first, fix,
            first,
        )  # fmt: skip

    for state in states:
        now: dict[Slot, list[_Part]] = {}
        for part in parts_of(state, records):
            now.setdefault(part.slot, []).append(part)
        for slot in [slot for slot in begun if slot not in now]:
            for key, one in begun.pop(slot).items():
                yield ended(slot, key, one, state.reported_at, is_removed=True)
            del shown[slot]
        for slot, parts in now.items():
            held = [part.said for part in parts]
            if shown.get(slot) == held:
                continue
            shown[slot] = held
            affected = {
                (said.component, said.advisory): (state.reported_at, said, part.provider)
                for part in parts
                for said in part.said
                if said.status == AFFECTED
            }
            # Of two builds in one slot one may be fixed, while of the other nobody can tell: that is no patch.
            unclear = {
                (said.component, said.advisory) for part in parts for said in part.said if said.status == OPEN_QUESTION
            }
            before = begun.get(slot, {})
            for key, one in before.items():
                if key not in affected:
                    yield ended(slot, key, one, state.reported_at, is_removed=key in unclear)
            begun[slot] = {key: before.get(key, one) for key, one in affected.items()}
    for slot, open_ones in begun.items():
        for key, one in open_ones.items():
            yield ended(slot, key, one, None)


@dataclass(slots=True)
class _Latency:
    """What is counted of one provider, component and severity."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    seconds: int = 0
    buckets: Counter[int] = field(default_factory=Counter)
    shares: Counter[tuple[int, str]] = field(default_factory=Counter)
    exposed_since: int = 0
    exposures: int = 0
    unfixed: int = 0

    def add(self, episode: Episode, now: datetime) -> None:
        """Count an episode that was an exposure."""
        if episode.fix is not None and _begin_of(episode.fix) > now:
            # The fix is still to come.
            self.unfixed += 1
            return
        self.outcomes[episode.outcome, episode.measure] += 1
        since, start, end = episode.exposed_since, episode.start, episode.end
        if end is None and since is not None:
            self.exposures += 1
            self.exposed_since += int(_begin_of(since).timestamp())
        if not episode.is_seen or start is None:
            return
        latency = None if end is None else int((end - start).total_seconds())
        if latency is not None and episode.outcome == "patched":
            self.seconds += latency
            for bound in BOUNDS:
                self.buckets[bound] += latency <= bound * _DAY
        for days in SHARES:
            is_within = latency is not None and latency <= days * _DAY
            if start <= now - timedelta(days=days) and not (is_within and episode.is_removed):
                self.shares[days, "total"] += 1
                self.shares[days, "patched"] += is_within and episode.outcome == "patched"

    def as_object(self) -> dict[str, Any]:
        """Return it for JSON."""
        told = {outcome: _row(self.outcomes, outcome) for outcome in ("open", "patched", "removed")}
        return {
            "measured": told["patched"]["seen"],
            "seconds": self.seconds,
            "buckets": {str(bound): self.buckets[bound] for bound in BOUNDS},
            "unmeasured": told["patched"]["before_first_report"],
            "undated": sum(row[_UNKNOWN] for row in told.values()),
            "open": sum(told["open"].values()) - told["open"][_UNKNOWN],
            "unfixed": self.unfixed,
            "removed": sum(told["removed"].values()) - told["removed"][_UNKNOWN],
            "within": [
                {"days": days, "patched": self.shares[days, "patched"], "total": self.shares[days, "total"]}
                for days in SHARES
            ],
            "outcomes": told,
        }


def _row(outcomes: Counter[tuple[str, str]], outcome: str) -> dict[str, int]:
    return {measure: outcomes[outcome, measure] for measure in ("seen", "before_first_report", _UNKNOWN)}


class PastTruth:
    """What is true of the past of a fleet; ``now`` is the moment at which it is asked."""

    def __init__(self, start: date, as_of: date) -> None:
        self.start = start
        self.now = datetime.combine(as_of, time(12), UTC)
        self.reports = 0
        span = (as_of - start).days
        self.days = sorted({start + timedelta(days=span * quarter // 4) for quarter in range(5)})
        self._affected: dict[date, Counter[str]] = {day: Counter() for day in self.days}
        self._exposed: dict[date, Counter[str]] = {day: Counter() for day in self.days}
        self._hosts: Counter[date] = Counter()
        self._latencies: dict[tuple[str, str, str], _Latency] = {}
        self._of_day: dict[tuple[int, date], tuple[frozenset[str], frozenset[str]]] = {}
        self._kept: dict[int, tuple[Said, ...]] = {}

    def add(self, states: Sequence[HostPlan], records: Records) -> None:
        """Count one host in, from its reports, the oldest first."""
        self.reports += len(states)
        for episode in episodes_of(states, records):
            self.count(episode)
        for day in self.days:
            told = [state for state in states if state.reported_at.date() <= day]
            if told:
                self._hosts[day] += 1
                self._add_day(day, parts_of(told[-1], records))

    def count(self, episode: Episode) -> None:
        """Count an episode in, where it was an exposure, is one, or is still to be."""
        if episode.counts:
            key = (episode.provider, episode.component, episode.severity)
            self._latencies.setdefault(key, _Latency()).add(episode, self.now)

    def _add_day(self, day: date, parts: Iterable[_Part]) -> None:
        affected: set[str] = set()
        exposed: set[str] = set()
        for part in parts:
            one, other = self._on(day, part.said)
            affected |= one
            exposed |= other
        self._affected[day].update(affected)
        self._exposed[day].update(exposed)

    def _on(self, day: date, said: tuple[Said, ...]) -> tuple[frozenset[str], frozenset[str]]:
        """Return the advisories that were out on a day and hold, and those of them that had a fix by then."""
        key = (id(said), day)
        found = self._of_day.get(key)
        if found is None:
            # What is kept cannot give its identity to another.
            self._kept[id(said)] = said
            out = [one for one in said if one.status == AFFECTED and one.published <= day]
            found = self._of_day[key] = (
                frozenset(one.advisory for one in out),
                frozenset(one.advisory for one in out if one.fix is not None and one.fix <= day),
            )
        return found

    def as_object(self) -> dict[str, Any]:
        """Return it for JSON."""
        rows = sorted(self._latencies.items())
        return {
            "start": self.start.isoformat(),
            "now": self.now.isoformat().replace("+00:00", "Z"),
            "reports": self.reports,
            "days": {
                day.isoformat(): {
                    "hosts": self._hosts[day],
                    "affected_hosts": _sorted(self._affected[day]),
                    "exposed_hosts": _sorted(self._exposed[day]),
                }
                for day in self.days
            },
            "open_exposures": [
                {
                    **_names(key),
                    "exposures": one.exposures,
                    "exposed_since_timestamp_seconds": one.exposed_since,
                    "undated": one.outcomes["open", _UNKNOWN],
                }
                for key, one in rows
                if sum(_row(one.outcomes, "open").values())
            ],
            "patch_latency": [{**_names(key), **one.as_object()} for key, one in rows],
        }


def _names(key: tuple[str, str, str]) -> dict[str, str]:
    return dict(zip(("provider", "component", "severity"), key, strict=True))


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _begin_of(day: date) -> datetime:
    return datetime.combine(day, time(0), UTC)
