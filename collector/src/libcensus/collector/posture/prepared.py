"""Builds and platforms prepared for being held against each other by the thousand, and the verdicts that were made.

A build has some hundred files, and on most platforms most of them lack nothing. What all of them want together is
compared first, as sets; only files that want something of what is not there are judged one by one. So the verdict is
the one that :func:`~libcensus.collector.posture.portability.check_build` gives, for a small part of its cost.
Portability depends on no day and no advisory: a verdict that was made once holds as long as it is remembered.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from libcensus.collector.posture.obstacle import is_foreign, obstacles
from libcensus.collector.posture.offer import Offer
from libcensus.collector.posture.portability import BuildParts, check_parts
from libcensus.collector.posture.verdict import PortabilityState, Verdict
from libcensus.facts.requirement import Requirement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libcensus.facts.interpreter import Build, BuildFile
    from libcensus.facts.platform import Platform

MEMORY = 50_000
"""How many of a kind are remembered; beyond it the memory is emptied and filled anew, verdicts are the same."""

_K = TypeVar("_K")
_V = TypeVar("_V")

_RUNS = Verdict(PortabilityState.RUNS)


class PreparedBuild:
    """A build with what its files want together, and which of them want it."""

    def __init__(self, build: Build) -> None:
        self._parts = BuildParts.of(build)
        self._unread = frozenset(file.path for file in self._parts.starting if file.requirement is None)
        # What is asked of the machine itself is the same for nearly all files.
        self._machines = tuple({_machine(file.requirement): None for file in build.files if file.requirement})
        self._by_soname: dict[str, set[str]] = {}
        self._by_version: dict[str, dict[str, set[str]]] = {}
        for file in (*self._parts.starting, *self._parts.modules):
            if file.requirement is not None:
                self._add(file, file.requirement)
        self._sonames = frozenset(self._by_soname)
        self._versions = {soname: frozenset(versions) for soname, versions in self._by_version.items()}

    def _add(self, file: BuildFile, requirement: Requirement) -> None:
        brought = self._parts.brought
        for soname in requirement.sonames:
            if soname.rsplit("/", 1)[-1] not in brought:
                self._by_soname.setdefault(soname, set()).add(file.path)
        for need in requirement.needs:
            if need.soname.rsplit("/", 1)[-1] not in brought:
                for version in need.versions:
                    self._by_version.setdefault(need.soname, {}).setdefault(version, set()).add(file.path)

    def check(self, offer: Offer, machines: dict[Requirement, bool] | None = None) -> Verdict:
        """Return whether the build starts on the platform, and which of its modules would not load there.

        ``machines`` is what is known already of what files ask of this platform's machine, and is added to.
        """
        parts = self._parts
        if parts.unread is not None or offer.is_coarse:
            return check_parts(parts, offer)
        known = {} if machines is None else machines
        for machine in self._machines:
            fits = known.get(machine)
            if fits is None:
                fits = known[machine] = not is_foreign(machine, offer.platform) and not obstacles(machine, offer)
            if not fits:
                return check_parts(parts, offer)
        suspects = self._suspects(offer)
        if not suspects:
            return _RUNS
        starting = tuple(file for file in parts.starting if file.path in suspects)
        modules = tuple(file for file in parts.modules if file.path in suspects)
        return check_parts(replace(parts, starting=starting, modules=modules), offer)

    def _suspects(self, offer: Offer) -> set[str]:
        """Return the files that may have an obstacle; a file that is not among them has none."""
        found = set(self._unread)
        for soname in self._sonames.difference(offer.libraries):
            found |= self._by_soname[soname]
        for soname, wanted in self._versions.items():
            defined = offer.libraries.get(soname)
            # A library without any version is taken as it is, and one that is not listed may be there all the same.
            if defined is None or (defined and not wanted <= defined):
                for version in wanted if defined is None else wanted - defined:
                    found |= self._by_version[soname][version]
        return found


def _machine(requirement: Requirement) -> Requirement:
    """Return what is asked of the machine, its kernel and its loader alone."""
    return Requirement(
        arch=requirement.arch,
        loader=requirement.loader,
        loader_kind=requirement.loader_kind,
        x86_64_level=requirement.x86_64_level,
        kernel=requirement.kernel,
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """A platform with the verdicts that were asked for lately, and those of the time before."""

    offer: Offer
    verdicts: dict[str, Verdict]
    older: Mapping[str, Verdict]
    machines: dict[Requirement, bool] = field(default_factory=dict)


class PortabilityMemory:
    """Verdicts of builds on platforms, each made once; may be used by several threads at once."""

    def __init__(self) -> None:
        self._builds: dict[str, PreparedBuild] = {}
        self._older_builds: Mapping[str, PreparedBuild] = {}
        self._places: dict[object, _Place] = {}
        self._older_places: Mapping[object, _Place] = {}

    def age(self) -> None:
        """Forget what nobody asked for since the last time."""
        self._older_builds, self._builds = self._builds, {}
        self._older_places, self._places = self._places, {}

    def offer(self, platform: Platform, platform_digest: str | None = None) -> Offer:
        """Return a platform prepared for questions; the same one is prepared once."""
        return self._place(platform, platform_digest).offer

    def verdict(self, digest: str, build: Build, platform: Platform, platform_digest: str | None = None) -> Verdict:
        """Return whether a build starts on a platform."""
        place = self._place(platform, platform_digest)
        verdict = place.verdicts.get(digest)
        if verdict is None:
            verdict = place.older.get(digest) or self._prepared(digest, build).check(place.offer, place.machines)
            make_room(place.verdicts, MEMORY)
            place.verdicts[digest] = verdict
        return verdict

    def _prepared(self, digest: str, build: Build) -> PreparedBuild:
        prepared = self._builds.get(digest)
        if prepared is None:
            prepared = self._older_builds.get(digest) or PreparedBuild(build)
            make_room(self._builds, MEMORY)
            self._builds[digest] = prepared
        return prepared

    def _place(self, platform: Platform, platform_digest: str | None) -> _Place:
        key: object = platform_digest or platform
        place = self._places.get(key)
        if place is None:
            older = self._older_places.get(key)
            place = _Place(Offer.of(platform), {}, {}) if older is None else _Place(older.offer, {}, older.verdicts)
            make_room(self._places, MEMORY)
            self._places[key] = place
        return place


def make_room(memory: dict[_K, _V], most: int) -> None:
    """Empty a memory that holds as many as it may: it is filled anew by what is asked for."""
    if len(memory) >= most:
        memory.clear()
