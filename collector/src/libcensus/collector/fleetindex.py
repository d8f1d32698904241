"""Which hosts of the fleet offer the same, kept up to date: what questions about portability are answered from.

An artefact is judged once for each platform and what Pythons are on it, a build once for each platform, however many
hosts that are. So this keeps of each host only which of those groups it is in, and the builds that it has. A question
costs the stamps of all hosts and the facts of those whose inventory changed since the last one.

Only a host's own root counts: what a container on it offers is no place to install something on the host.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar, cast

from libcensus.collector.posture.offer import OfferedPython, pythons_of
from libcensus.collector.posture.reach import libc_of
from libcensus.facts.interpreter import Build, InstallSet
from libcensus.facts.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from libcensus.collector.posture.selector import Selector
    from libcensus.collector.store.contract import HostStamp, HostState, Store
    from libcensus.facts.codec import Fact

_Value = TypeVar("_Value")

_LOGGER = logging.getLogger(__name__)

_BATCH = 500
"""Hosts that are read from the store at once: enough to be quick, few enough to keep memory flat."""

EXAMPLES = 5
"""How many hosts of a group are named."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What the hosts of one group have in common; ``platform`` is an address.

    ``pythons`` are told without their folders, except where hosts are told apart by those. ``system`` is id and version
    of the distribution, ``libc`` architecture, family and version of the C library, in the words that people are shown.
    """

    platform: str
    pythons: frozenset[OfferedPython]
    system: tuple[str | None, str | None]
    libc: tuple[str, str, str]


@dataclass(slots=True)
class Group:
    """Hosts that have their traits in common: how many, and the first few display names in their order."""

    traits: Traits
    hosts: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Fleet:
    """The fleet at one moment; builds and platforms by address.

    ``groups`` are few. ``places`` are the same hosts told apart by the folders of their Pythons too, of which each host
    may have its own: only environments ask where a Python lies. ``build_hosts`` tells how many hosts have a build,
    ``needed_glibc`` the highest glibc version that it needs, None where it needs none. ``unknown_keys`` are those of
    the selector that chose the hosts which no host of the whole fleet has a label of. Nobody changes what is in here.
    """

    groups: tuple[Group, ...]
    places: tuple[Group, ...]
    platforms: Mapping[str, Platform]
    builds: Mapping[str, Build]
    build_hosts: Mapping[str, int]
    needed_glibc: Mapping[str, str | None]
    unreadable_hosts: int
    unknown_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Entry:
    """One host; ``traits`` are absent where its facts cannot be read, ``place`` has them with folders."""

    name: str
    inventory: str
    traits: Traits | None
    place: Traits | None
    builds: tuple[str, ...]


class FleetIndex:
    """Keeps the groups of a store's hosts. Methods may be called from several threads at once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._fleet = Fleet((), (), {}, {}, {}, {}, 0)
        self._is_stale = True
        self._platforms: dict[str, Platform] = {}
        self._builds: dict[str, Build] = {}
        self._needed_glibc: dict[str, str | None] = {}
        # By the address of the installs, which names their builds: hosts with equal ones have equal Pythons.
        self._pythons: dict[str, frozenset[OfferedPython]] = {}
        self._used_installs: dict[str, str] = {}
        self._interned: dict[object, object] = {}

    def fleet(self) -> Fleet:
        """Return the fleet as the store has it now. Raises StoreError."""
        with self._lock:
            self._bring_up(self._store.host_stamps())
            return self._fleet

    def chosen(self, selector: Selector) -> Fleet:
        """Return the hosts that a selector chooses as if there were no others. Raises StoreError.

        Its builds and platforms are those of these hosts. What is kept of each host is counted anew: no fact is read.
        """
        labels = self._store.labels()
        with self._lock:
            stamps = self._store.host_stamps()
            self._bring_up(stamps)
            fleet = self._join([stamp for stamp in stamps if selector.matches(labels.get(stamp.host_id, {}))])
        builds = fleet.build_hosts
        platforms = {group.traits.platform for group in fleet.groups}
        return replace(
            fleet,
            platforms={address: one for address, one in fleet.platforms.items() if address in platforms},
            builds={digest: one for digest, one in fleet.builds.items() if digest in builds},
            unknown_keys=selector.unknown_keys(labels.values()),
        )

    def warm(self, is_wanted: Callable[[], bool]) -> None:
        """Read the hosts ahead of the first question, as long as that is wanted. Raises StoreError.

        It goes in steps, so that a question need not wait for more than one of them before it does the rest itself;
        ``is_wanted`` is asked between them, and should give others the time to come first.
        """
        is_done = False
        while not is_done and is_wanted():
            with self._lock:
                changed = self._changed(self._store.host_stamps())
                is_done = len(changed) <= _BATCH
                self._take(changed[:_BATCH])

    def _bring_up(self, stamps: list[HostStamp]) -> None:
        """Make the whole fleet what the store has."""
        self._update(stamps)
        if self._is_stale:
            self._purge()
            self._fleet = self._join(stamps)
            self._is_stale = False

    def _update(self, stamps: list[HostStamp]) -> None:
        known = {stamp.host_id for stamp in stamps}
        for host_id in [host_id for host_id in self._entries if host_id not in known]:
            self._is_stale = True
            self._drop(host_id)
        changed = self._changed(stamps)
        for start in range(0, len(changed), _BATCH):
            self._take(changed[start : start + _BATCH])

    def _changed(self, stamps: list[HostStamp]) -> list[HostStamp]:
        changed = []
        for stamp in stamps:
            old = self._entries.get(stamp.host_id)
            if old is None or old.inventory != stamp.inventory or old.name != stamp.name:
                changed.append(stamp)
        return changed

    def _take(self, changed: list[HostStamp]) -> None:
        """Read hosts that changed; an error of the store midway leaves entries newer than what was joined last."""
        if changed:
            self._is_stale = True
            self._read({stamp.host_id: stamp for stamp in changed})

    def _drop(self, host_id: str) -> None:
        self._entries.pop(host_id, None)
        self._used_installs.pop(host_id, None)

    def _read(self, stamps: Mapping[str, HostStamp]) -> None:
        """Read hosts that changed."""
        states = self._store.hosts(stamps)
        needed = {digest for state in states for digest in (state.platform, *state.builds)}
        needed -= self._platforms.keys() | self._builds.keys()
        needed |= {state.installs for state in states} - self._pythons.keys()
        facts = dict(self._store.facts(needed)) if needed else {}
        for digest, fact in facts.items():
            if isinstance(fact, Platform):
                self._platforms[digest] = fact
            elif isinstance(fact, Build):
                self._builds[digest] = fact
                self._needed_glibc[digest] = fact.requirement().glibc
        # A host that was removed since its stamp was read is not among the states, and keeps no entry.
        for host_id in stamps:
            self._drop(host_id)
        for state in states:
            self._admit(stamps[state.host_id], state, facts)

    def _admit(self, stamp: HostStamp, state: HostState, facts: Mapping[str, Fact]) -> None:
        place = self._traits(state, facts)
        if place is None:
            _LOGGER.warning("host %s: its stored facts cannot be read; portability leaves it out", stamp.name)
            self._entries[stamp.host_id] = _Entry(stamp.name, stamp.inventory, None, None, ())
            return
        self._used_installs[stamp.host_id] = state.installs
        pythons = self._intern(frozenset(replace(python, folders=()) for python in place.pythons))
        traits = self._intern(replace(place, pythons=pythons))
        self._entries[stamp.host_id] = _Entry(
            stamp.name, stamp.inventory, traits, self._intern(place), self._intern(state.builds)
        )

    def _traits(self, state: HostState, facts: Mapping[str, Fact]) -> Traits | None:
        platform = self._platforms.get(state.platform)
        if platform is None or any(digest not in self._builds for digest in state.builds):
            return None
        pythons = self._pythons.get(state.installs)
        if pythons is None:
            installs = facts.get(state.installs)
            if not isinstance(installs, InstallSet):
                return None
            pythons = self._pythons[state.installs] = self._intern(pythons_of(installs, self._builds))
        release = state.host.os_release
        return Traits(state.platform, pythons, (release.id, release.version_id), libc_of(state.host, platform))

    def _intern(self, value: _Value) -> _Value:
        return cast("_Value", self._interned.setdefault(value, value))

    def _purge(self) -> None:
        """Let go of what no host has any more."""
        entries = [entry for entry in self._entries.values() if entry.traits is not None]
        builds = {digest for entry in entries for digest in entry.builds}
        platforms = {entry.traits.platform for entry in entries if entry.traits is not None}
        installs = set(self._used_installs.values())
        self._interned = {value: value for entry in entries for value in (entry.traits, entry.place, entry.builds)}
        self._interned |= {value: value for value in (self._pythons[digest] for digest in installs)}
        self._interned |= {entry.traits.pythons: entry.traits.pythons for entry in entries if entry.traits is not None}
        self._builds = {digest: fact for digest, fact in self._builds.items() if digest in builds}
        self._needed_glibc = {digest: told for digest, told in self._needed_glibc.items() if digest in builds}
        self._platforms = {digest: fact for digest, fact in self._platforms.items() if digest in platforms}
        self._pythons = {digest: told for digest, told in self._pythons.items() if digest in installs}

    def _join(self, stamps: list[HostStamp]) -> Fleet:
        groups: dict[Traits, Group] = {}
        places: dict[Traits, Group] = {}
        build_hosts: Counter[str] = Counter()
        together: Counter[tuple[str, ...]] = Counter()
        unreadable = 0
        # Stamps are sorted by name, and so are the examples.
        for stamp in stamps:
            entry = self._entries.get(stamp.host_id)
            if entry is None:
                continue
            if entry.traits is None or entry.place is None:
                unreadable += 1
                continue
            for traits, found in ((entry.traits, groups), (entry.place, places)):
                group = found.get(traits)
                if group is None:
                    group = found[traits] = Group(traits)
                group.hosts += 1
                if len(group.examples) < EXAMPLES:
                    group.examples.append(entry.name)
            together[entry.builds] += 1
        for builds, hosts in together.items():
            for digest in builds:
                build_hosts[digest] += hosts
        return Fleet(
            groups=tuple(groups.values()),
            places=tuple(places.values()),
            platforms=dict(self._platforms),
            builds=dict(self._builds),
            build_hosts=build_hosts,
            needed_glibc=dict(self._needed_glibc),
            unreadable_hosts=unreadable,
        )
