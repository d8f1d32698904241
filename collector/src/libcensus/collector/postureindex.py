"""What was judged on each host, kept up to date: what questions about the fleet's findings are answered from.

A host is kept as the numbers of the cases that lie on it; hosts with the same cases share one such pattern. A case is
known by its grounds, which hold neither catalogue nor day: other advisories, or another day, mean that each case is
judged anew, and no host is read again. A question costs the stamps of all hosts and the facts of those that changed
since the last one.

What changed on a host is kept slot by slot, so that it can be told since when something is open, and when it was fixed.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Protocol

from libcensus.collector.acceptance.fleet import nothing_accepted
from libcensus.collector.heap import collection_paused
from libcensus.collector.hostfacts import HostFacts, wanted, wanted_by_roots
from libcensus.collector.posture.acceptance import NOTHING, place_of
from libcensus.collector.posture.assessment import Assessor
from libcensus.collector.posture.exposure import is_told, slot_of
from libcensus.facts.host import Inventory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from libcensus.collector.acceptance.fleet import FleetAcceptances
    from libcensus.collector.posture.acceptance import Matched, PlaceScope
    from libcensus.collector.posture.assessment import Case, Grounds, HostAssessment
    from libcensus.collector.posture.catalogue import Catalogue
    from libcensus.collector.posture.exposure import Slot
    from libcensus.collector.posture.staleness import StaleGrounds, StalenessKind, StalenessState
    from libcensus.collector.store.contract import HostStamp, InventoryInterval, Store
    from libcensus.facts.codec import Fact

_LOGGER = logging.getLogger(__name__)

_BATCH = 500
"""Hosts that are read from the store at once: enough to be quick, few enough to keep memory flat."""

_KEPT_PATTERNS = 100_000
"""Facts whose pattern is remembered, so that equal hosts are judged once; beyond it the memory is emptied."""

_KEPT_LAYOUTS = 2_000
"""The same of layouts, which are large and needed only of hosts that changed."""

_KEPT_DAYS = 2
"""Past days whose fleet is kept: enough to ask several things about one, and to compare two."""

Pattern = tuple[int, ...]
"""What lies on a host, by number and sorted; a number stands twice where two places are judged alike."""

GroupedPattern = tuple[Pattern, "Matched"]
"""A pattern, and the groups of accepted risks that a host is in: hosts that have both in common are told alike."""

Layout = tuple[tuple["Slot", Pattern], ...]
"""What lies in each slot, sorted; a number stands once."""


Shape = tuple[Pattern, tuple[Pattern, ...], Pattern]
"""What lies on a host, all and by slot, and how old its installs are."""


class PostureSource(Protocol):
    """Where hosts and their facts come from: a store, or a store as it was on a past day."""

    def host_stamps(self) -> list[HostStamp]:
        """Return the stamp of every host."""

    def facts(self, digests: Iterable[str]) -> Mapping[str, Fact]:
        """Return the facts of those addresses that are there."""

    def inventory_history(self, host_ids: Iterable[str]) -> Mapping[str, tuple[InventoryInterval, ...]]:
        """Return which facts each of these hosts had when, the oldest first."""


class PastSource:
    """A store as it was at a moment."""

    def __init__(self, store: Store, moment: datetime) -> None:
        self._store = store
        self._moment = moment

    def host_stamps(self) -> list[HostStamp]:
        """Return the stamp of every host that had reported by then."""
        return self._store.stamps_at(self._moment)

    def facts(self, digests: Iterable[str]) -> Mapping[str, Fact]:
        """Return the facts of those addresses that are there."""
        return self._store.facts(digests)

    def inventory_history(self, host_ids: Iterable[str]) -> Mapping[str, tuple[InventoryInterval, ...]]:
        """Return which facts each of these hosts had up to then."""
        return {
            host_id: tuple(self._until(one) for one in intervals if one.first_seen <= self._moment)
            for host_id, intervals in self._store.inventory_history(host_ids).items()
        }

    def _until(self, interval: InventoryInterval) -> InventoryInterval:
        gone_at = interval.gone_at
        return interval if gone_at is None or gone_at <= self._moment else replace(interval, gone_at=None)


@dataclass(frozen=True, slots=True)
class Judged:
    """One case by one provider; ``within`` tells where remedies are applied, where that is not the host itself.

    ``places`` are those of accepted risks that it lies in.
    """

    provider: str
    grounds: Grounds
    case: Case
    within: str | None
    places: Matched = NOTHING


@dataclass(frozen=True, slots=True)
class JudgedAge:
    """Installs of one provider with the same grounds for being stale by one kind, and whether they are."""

    kind: StalenessKind
    provider: str
    grounds: StaleGrounds
    state: StalenessState


@dataclass(frozen=True, slots=True)
class SlotPast:
    """What lay in one slot of a host: ``numbers`` by period, empty where it was not there.

    ``moments`` are the beginnings of the periods. What lies there now is in the last one.
    """

    slot: Slot
    numbers: tuple[Pattern, ...]
    moments: tuple[datetime, ...]


@dataclass(frozen=True, slots=True)
class JudgedHost:
    """One host; its pattern is absent where its facts cannot be read.

    ``first_seen`` is the first report that is known. ``kept`` is what lies in the slots that were the same since then,
    ``past`` tells of those that were not. ``ages`` tells by number how old its installs are. ``groups`` are those of
    accepted risks that the host is in.
    """

    host_id: str
    name: str
    inventory: str
    pattern: Pattern | None
    first_seen: datetime
    kept: tuple[Pattern, ...] = ()
    past: tuple[SlotPast, ...] = ()
    ages: Pattern = ()
    groups: Matched = NOTHING

    @property
    def grouped(self) -> GroupedPattern | None:
        """What is told alike of several hosts; None where the host cannot be read."""
        return None if self.pattern is None else (self.pattern, self.groups)


@dataclass(frozen=True, slots=True)
class JudgedFleet:
    """The fleet at one moment, hosts sorted by name; ``judged`` and ``ages`` are by number.

    Nobody changes what is in here.
    """

    assessor: Assessor
    hosts: tuple[JudgedHost, ...]
    judged: Sequence[Judged]
    ages: Sequence[JudgedAge] = ()
    accepted: FleetAcceptances = field(default_factory=nothing_accepted)


class PostureIndex:
    """Keeps what was judged on a store's hosts. Methods may be called from several threads at once."""

    def __init__(
        self,
        store: PostureSource,
        assessor_for: Callable[[], Assessor],
        accepted_for: Callable[[], FleetAcceptances] = nothing_accepted,
    ) -> None:
        self._store = store
        self._assessor_for = assessor_for
        self._accepted_for = accepted_for
        self._accepted = nothing_accepted()
        self._places: tuple[PlaceScope, ...] = ()
        self._lock = threading.Lock()
        self._assessor: Assessor | None = None
        self._entries: dict[str, JudgedHost] = {}
        self._judged: list[Judged] = []
        self._numbers: dict[tuple[str, Grounds, str | None, Matched], int] = {}
        self._ages: list[JudgedAge] = []
        self._age_numbers: dict[tuple[StalenessKind, str, StaleGrounds], int] = {}
        self._patterns: dict[bytes, Shape] = {}
        self._layouts: dict[bytes, Layout] = {}
        self._interned: dict[Shape, Shape] = {}
        self._fleet: JudgedFleet | None = None

    def fleet(
        self, is_wanted: Callable[[], bool] = lambda: True, stamps: Sequence[HostStamp] | None = None
    ) -> JudgedFleet | None:
        """Return the fleet as the store has it now; None as soon as nobody wants it any more. Raises StoreError.

        What was judged until then is kept, so that the next question takes less time; as long as nothing changes the
        answer is the same object. Whoever has read the ``stamps`` of the store gets the fleet as it is by them.
        """
        with self._lock:
            fleet, self._fleet = self._fleet, None
            assessor = self._assessor_for()
            if assessor is not self._assessor:
                fleet = None
                with collection_paused():
                    if not self._judge_anew(assessor, is_wanted):
                        return None
            self._accepted = self._accepted_for()
            if self._accepted.acceptances.place_scopes != self._places:
                # Which things accepted risks are about, not only which hosts: each thing is looked at anew.
                self._forget()
                self._places = self._accepted.acceptances.place_scopes
            if stamps is None:
                stamps = self._store.host_stamps()
            changed = [stamp for stamp in stamps if self._has_changed(stamp)]
            new = sum(stamp.host_id not in self._entries for stamp in changed)
            if len(self._entries) + new != len(stamps):
                fleet = None
                known = {stamp.host_id for stamp in stamps}
                for host_id in [host_id for host_id in self._entries if host_id not in known]:
                    del self._entries[host_id]
            if fleet is not None and not changed and fleet.accepted == self._accepted:
                self._fleet = fleet
                return fleet
            for start in range(0, len(changed), _BATCH):
                if not is_wanted():
                    return None
                self._read({stamp.host_id: stamp for stamp in changed[start : start + _BATCH]}, assessor)
            # Stamps are sorted by name, and so are the hosts.
            ordered = tuple([self._entries[stamp.host_id] for stamp in stamps])
            if self._accepted.acceptances:
                ordered = tuple(self._grouped(host) for host in ordered)
            self._fleet = JudgedFleet(assessor, ordered, tuple(self._judged), tuple(self._ages), self._accepted)
            return self._fleet

    def assess(self, host: JudgedHost) -> HostAssessment | None:
        """Return everything that is said about one host of the fleet; None where its facts cannot be read."""
        assessor = self._assessor_for()
        inventory = self._store.facts([host.inventory]).get(host.inventory)
        if not isinstance(inventory, Inventory):
            return None
        known = HostFacts.of(inventory, self._facts_of([inventory]))
        return None if known is None else known.assess(assessor)

    def _grouped(self, host: JudgedHost) -> JudgedHost:
        groups = self._accepted.groups_of(host.host_id, host.name)
        return replace(host, groups=groups) if groups else host

    def _judge_anew(self, assessor: Assessor, is_wanted: Callable[[], bool]) -> bool:
        """Judge every case anew; tells whether that was wanted to the end. What no host has any more is let go."""
        entries = self._entries.values()
        # Hosts with the same cases share one pattern, which is looked at once.
        patterns = {id(host.pattern): host.pattern for host in entries if host.pattern is not None}
        used = {number for pattern in patterns.values() for number in pattern}
        used |= {n for host in entries for past in host.past for period in past.numbers for n in period}
        ages = {number for host in entries for number in host.ages}
        if len(self._judged) > 2 * len(used) + 1000 or len(self._ages) > 2 * len(ages) + 1000:
            self._forget()
        judged = []
        for one in self._judged:
            if not is_wanted():
                return False
            judged.append(replace(one, case=assessor.case(one.grounds)))
        self._judged = judged
        self._ages = [replace(one, state=assessor.staleness_state(one.grounds)) for one in self._ages]
        self._assessor = assessor
        return True

    def _forget(self) -> None:
        self._entries.clear()
        self._judged = []
        self._numbers.clear()
        self._ages = []
        self._age_numbers.clear()
        self._patterns.clear()
        self._layouts.clear()
        self._interned.clear()

    def _has_changed(self, stamp: HostStamp) -> bool:
        old = self._entries.get(stamp.host_id)
        return old is None or old.inventory != stamp.inventory or old.name != stamp.name

    def _facts_of(self, inventories: Iterable[Inventory]) -> Mapping[str, Fact]:
        needed = {digest for inventory in inventories for digest in wanted(inventory)}
        facts: dict[str, Fact] = dict(self._store.facts(needed)) if needed else {}
        inner = wanted_by_roots(facts) - facts.keys()
        if inner:
            facts |= self._store.facts(inner)
        return facts

    def _read(self, stamps: Mapping[str, HostStamp], assessor: Assessor) -> None:
        """Read and judge hosts that changed; those whose facts another host had already are not judged again."""
        history = self._store.inventory_history(stamps)
        addresses = {stamp.inventory for stamp in stamps.values()}
        addresses |= {one.inventory for intervals in history.values() for one in intervals}
        found = self._store.facts(addresses)
        inventories = {digest: fact for digest, fact in found.items() if isinstance(fact, Inventory)}
        keys = {digest: _facts_key(inventory) for digest, inventory in inventories.items()}
        moved = {
            keys[one.inventory]
            for intervals in history.values()
            if len({keys.get(one.inventory) for one in intervals}) > 1
            for one in intervals
            if one.inventory in keys
        }
        self._judge(inventories, keys, moved, assessor)
        for host_id, stamp in stamps.items():
            self._entries[host_id] = self._entry(stamp, history.get(host_id, ()), keys)

    def _judge(
        self,
        inventories: Mapping[str, Inventory],
        keys: Mapping[str, bytes],
        moved: set[bytes],
        assessor: Assessor,
    ) -> None:
        """Make the patterns that are not there yet, and the layouts of what lay on hosts that changed."""
        for kept, limit in ((self._patterns, _KEPT_PATTERNS), (self._layouts, _KEPT_LAYOUTS)):
            if len(kept) + len(keys) > limit:
                kept.clear()
        new: dict[bytes, Inventory] = {}
        for digest, inventory in inventories.items():
            key = keys[digest]
            if key not in self._patterns or (key in moved and key not in self._layouts):
                new.setdefault(key, inventory)
        facts = self._facts_of(new.values())
        for key, inventory in new.items():
            known = HostFacts.of(inventory, facts)
            if known is None:
                continue
            assessment = known.assess(assessor)
            pattern, layout = self._number(assessment)
            if key in moved:
                self._layouts[key] = layout
            shape = pattern, tuple(sorted(numbers for _, numbers in layout)), self._number_ages(assessment)
            self._patterns[key] = self._interned.setdefault(shape, shape)

    def _entry(self, stamp: HostStamp, intervals: Sequence[InventoryInterval], keys: Mapping[str, bytes]) -> JudgedHost:
        key = keys.get(stamp.inventory)
        shape = None if key is None else self._patterns.get(key)
        first_seen = intervals[0].first_seen if intervals else stamp.last_report
        if shape is None:
            _LOGGER.warning("host %s: its stored facts cannot be read; posture leaves it out", stamp.name)
            return JudgedHost(stamp.host_id, stamp.name, stamp.inventory, None, first_seen)
        entry = JudgedHost(
            stamp.host_id, stamp.name, stamp.inventory, shape[0], first_seen, kept=shape[1], ages=shape[2]
        )
        # What cannot be read any more of the past is as if nobody had told it.
        readable = [one for one in intervals if keys.get(one.inventory) in self._layouts]
        if len(readable) < 2:
            return entry
        kept, past = _past_of([(one.first_seen, self._layouts[keys[one.inventory]]) for one in readable])
        return replace(entry, kept=kept, past=past)

    def _number(self, assessment: HostAssessment) -> tuple[Pattern, Layout]:
        """Return the numbers of what lies on a host, with those of cases that are new; all, and by slot."""
        pattern: list[int] = []
        slots: dict[Slot, set[int]] = {}
        for item in assessment.subjects:
            places = self._accepted.acceptances.places_of(place_of(item)) if self._places else NOTHING
            key = str(item.provider), item.grounds, item.within, places
            number = self._numbers.get(key)
            if number is None:
                number = self._numbers[key] = len(self._judged)
                self._judged.append(Judged(str(item.provider), item.grounds, item.case, item.within, places))
            pattern.append(number)
            if is_told(item):
                slots.setdefault(slot_of(item), set()).add(number)
        return tuple(sorted(pattern)), tuple((slot, tuple(sorted(numbers))) for slot, numbers in sorted(slots.items()))

    def _number_ages(self, assessment: HostAssessment) -> Pattern:
        """Return the numbers of how old the installs of a host are, with those that are new."""
        numbers = []
        for one in assessment.stale_installs:
            key = one.kind, one.provider, one.grounds
            number = self._age_numbers.get(key)
            if number is None:
                number = self._age_numbers[key] = len(self._ages)
                self._ages.append(JudgedAge(one.kind, one.provider, one.grounds, one.state))
            numbers.append(number)
        return tuple(sorted(numbers))


class PostureIndexes:
    """The index of the present, and those of the past days that were asked for last.

    ``assessor_for`` gives the assessor of the present day, ``accepted_on`` the accepted risks of any day. Methods may
    be called from several threads at once.
    """

    def __init__(
        self,
        store: Store,
        assessor_for: Callable[[], Assessor],
        accepted_on: Callable[[date], FleetAcceptances] = lambda _: nothing_accepted(),
    ) -> None:
        self._store = store
        self._assessor_for = assessor_for
        self._accepted_on = accepted_on
        self._lock = threading.Lock()
        self._past: dict[date, tuple[Assessor, PostureIndex]] = {}
        self.present = PostureIndex(store, assessor_for, lambda: accepted_on(self.today))

    @property
    def today(self) -> date:
        """The present day, as verdicts are computed for it."""
        return self._assessor_for().today

    @property
    def catalogue(self) -> Catalogue:
        """The present catalogue, with advisories that were not published on past days."""
        return self._assessor_for().catalogue

    def on(self, day: date) -> PostureIndex:
        """Return the index of a day: the present one's for today and later."""
        now = self._assessor_for()
        if day >= now.today:
            return self.present
        with self._lock:
            kept = self._past.pop(day, None)
            if kept is None or kept[0] is not now:
                assessor = Assessor(now.catalogue.as_of(day), day, now.portability)
                source = PastSource(self._store, end_of(day))
                kept = now, PostureIndex(source, lambda: assessor, lambda: self._accepted_on(day))
            self._past[day] = kept
            while len(self._past) > _KEPT_DAYS:
                del self._past[next(iter(self._past))]
            return kept[1]


def end_of(day: date) -> datetime:
    """Return the last moment of a day in UTC that the store can tell from the next day."""
    return datetime.combine(day, time.max, UTC)


def hosts_by_grouped_pattern(hosts: Iterable[JudgedHost]) -> Counter[GroupedPattern]:
    """Return how many hosts have each pattern in the same groups; those that cannot be read have none."""
    # Equal patterns of one fleet are mostly the same object, and an identity is told sooner than a long tuple's hash.
    alike: dict[tuple[int, Matched], list[JudgedHost]] = {}
    for host in hosts:
        if host.pattern is not None:
            alike.setdefault((id(host.pattern), host.groups), []).append(host)
    counted: Counter[GroupedPattern] = Counter()
    for members in alike.values():
        if (grouped := members[0].grouped) is not None:
            counted[grouped] += len(members)
    return counted


def _past_of(layouts: Sequence[tuple[datetime, Layout]]) -> tuple[tuple[Pattern, ...], tuple[SlotPast, ...]]:
    """Return what never changed, and what was when in every slot that did."""
    by_slot: dict[Slot, list[tuple[datetime, Pattern]]] = {}
    maps = [(moment, dict(layout)) for moment, layout in layouts]
    for slot in sorted({slot for _, layout in maps for slot in layout}):
        periods: list[tuple[datetime, Pattern]] = []
        for moment, layout in maps:
            numbers = layout.get(slot, ())
            if not periods or periods[-1][1] != numbers:
                periods.append((moment, numbers))
        by_slot[slot] = periods
    kept = tuple(sorted(periods[0][1] for periods in by_slot.values() if len(periods) == 1))
    return kept, tuple(
        SlotPast(slot, tuple(numbers for _, numbers in periods), tuple(moment for moment, _ in periods))
        for slot, periods in by_slot.items()
        if len(periods) > 1
    )


def _facts_key(inventory: Inventory) -> bytes:
    """Return an address of what two hosts have in common that are judged alike: all but their name and its proofs."""
    host = replace(inventory.host, hostname="-", evidence=())
    facts = (
        host,
        inventory.platform,
        inventory.installs,
        inventory.builds,
        inventory.crypto_copies,
        inventory.roots,
        inventory.changelogs,
        inventory.tools,
    )
    return hashlib.blake2b(repr(facts).encode("utf-8", "backslashreplace"), digest_size=16).digest()
