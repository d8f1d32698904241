"""What operators ask about portability, answered from the fleet's index: artefacts, C libraries, and the matrix.

Everything is judged once for each group of hosts that offer the same, never once for each host.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from libcensus.collector.errors import StoreError
from libcensus.collector.fleetindex import EXAMPLES
from libcensus.collector.posture.advice import Advice
from libcensus.collector.posture.portability import asks_for_a_python, check_files, with_refusals
from libcensus.collector.posture.reach import UNKNOWN
from libcensus.collector.posture.verdict import ReasonKind
from libcensus.collector.posture.wheel import installing, is_base, without_base
from libcensus.collector.service.errors import InvalidFieldError, OverdueError
from libcensus.collector.service.fleet_selection import selector_of
from libcensus.collector.service.portability_codec import (
    LibcAnswer,
    LibcHosts,
    Matrix,
    MatrixBuild,
    PlatformHosts,
    PlatformVerdict,
    PortabilityAnswer,
)
from libcensus.facts.requirement import version_key
from libcensus.facts.vocabulary import ArtefactKind, Implementation, LibcFamily, Provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from enum import StrEnum

    from libcensus.collector.fleetindex import Fleet, FleetIndex, Group
    from libcensus.collector.posture.assessment import Assessor
    from libcensus.collector.posture.offer import Offer, OfferedPython
    from libcensus.collector.posture.verdict import Verdict
    from libcensus.facts.artefact import Artefact
    from libcensus.facts.interpreter import Build
    from libcensus.facts.platform import Platform

_LOGGER = logging.getLogger(__name__)

_PAUSE_SECONDS = 0.002

MOST_CELLS = 1_000_000
"""The largest matrix that is answered at once: some 20 MB on the wire, and half a minute."""


@dataclass(slots=True)
class _Hosts:
    """Hosts of one platform that get one answer."""

    hosts: int = 0
    examples: list[str] = field(default_factory=list)
    systems: Counter[tuple[str | None, str | None]] = field(default_factory=Counter)
    pythons: set[OfferedPython] = field(default_factory=set)

    def add(self, group: Group) -> None:
        """Count the hosts of a group in."""
        self.hosts += group.hosts
        self.examples = sorted([*self.examples, *group.examples])[:EXAMPLES]
        self.systems[group.traits.system] += group.hosts
        self.pythons |= group.traits.pythons


class PortabilityReader:
    """Answers from the index and the verdicts of the day. Methods may be called from several threads at once."""

    def __init__(self, index: FleetIndex, assessor_for: Callable[[], Assessor]) -> None:
        self._index = index
        self._assessor_for = assessor_for
        self._lock = threading.Lock()
        self._advice: tuple[Assessor, frozenset[str], Advice] | None = None

    def check(
        self, artefact: Artefact, is_wanted: Callable[[], bool] = lambda: True, selector: str = ""
    ) -> PortabilityAnswer:
        """Return whether an artefact runs on each platform of the fleet, or of the hosts that a selector chooses.

        Hosts of one platform whose Pythons make a difference are told apart. Raises InvalidFieldError for what is no
        selector, and OverdueError as soon as nobody wants the answer any more.
        """
        fleet, assessor = self._fleet(selector), self._assessor_for()
        # What would run instead may be what other hosts have.
        advice = self._advice_of(self._index.fleet() if selector else fleet, assessor)
        asks = asks_for_a_python(artefact)
        groups_of = _by_platform(fleet.places if artefact.kind is ArtefactKind.ENVIRONMENT else fleet.groups)
        found: dict[tuple[str, Verdict], _Hosts] = {}
        for digest, groups in groups_of.items():
            if not is_wanted():
                raise OverdueError("the artefact was not judged on every platform in the time of the call")
            offer = assessor.portability.offer(fleet.platforms[digest], digest)
            for verdict, group in _judged(artefact, offer, groups, advice):
                found.setdefault((digest, verdict), _Hosts()).add(group)
        verdicts = [
            PlatformVerdict(_platform_hosts(digest, fleet.platforms[digest], hosts, with_pythons=asks), verdict)
            for (digest, verdict), hosts in found.items()
        ]
        verdicts.sort(key=lambda one: (*_most_hosts_first(one.on), one.on.pythons))
        return PortabilityAnswer(tuple(verdicts), fleet.unreadable_hosts, fleet.unknown_keys)

    def libcs(self, selector: str = "") -> LibcAnswer:
        """Return how many hosts have which C library, of those that a selector chooses where there is one.

        Raises InvalidFieldError for what is no selector.
        """
        fleet = self._fleet(selector)
        found: dict[tuple[str, str, str], _Hosts] = {}
        for group in fleet.groups:
            found.setdefault(group.traits.libc, _Hosts()).add(group)
        ordered = sorted(found.items(), key=lambda item: (*item[0][:2], version_key(item[0][2])))
        libcs = tuple(LibcHosts(*libc, hosts.hosts, tuple(hosts.examples)) for libc, hosts in ordered)
        return LibcAnswer(libcs, fleet.unreadable_hosts, fleet.unknown_keys)

    def matrix(self, implementation: str = "", provider: str = "", arch: str = "", selector: str = "") -> Matrix:
        """Return which of the fleet's builds run on which of its platforms; an empty filter is none.

        With a selector the fleet is the hosts that it chooses. Raises InvalidFieldError for what is none, for a word
        that no build can have, and where there would be too much to tell.
        """
        _check_word("implementation", implementation, Implementation)
        _check_word("provider", provider, Provider)
        fleet, assessor = self._fleet(selector), self._assessor_for()
        builds = [
            (digest, build)
            for digest, build in fleet.builds.items()
            if implementation in {"", build.implementation}
            and provider in {"", build.provider}
            and arch in {"", build.arch or UNKNOWN}
        ]
        builds.sort(key=_build_order)
        by_platform = _by_platform(fleet.groups)
        if len(builds) * len(by_platform) > MOST_CELLS:
            raise InvalidFieldError(
                "implementation, provider, arch",
                f"{len(builds)} builds on {len(by_platform)} platforms are more than {MOST_CELLS} verdicts; choose "
                "fewer builds",
            )
        platforms = []
        for digest, groups in by_platform.items():
            hosts = _Hosts()
            for group in groups:
                hosts.add(group)
            platforms.append(_platform_hosts(digest, fleet.platforms[digest], hosts, with_pythons=False))
        platforms.sort(key=_most_hosts_first)
        columns = [(one.platform, fleet.platforms[one.platform]) for one in platforms]
        return Matrix(
            builds=tuple(_matrix_build(fleet, digest, build) for digest, build in builds),
            platforms=tuple(platforms),
            verdicts=tuple(
                tuple(assessor.verdict(digest, build, platform, address) for address, platform in columns)
                for digest, build in builds
            ),
            unreadable_hosts=fleet.unreadable_hosts,
            unknown_keys=fleet.unknown_keys,
        )

    def _fleet(self, selector: str) -> Fleet:
        return self._index.chosen(selector_of(selector)) if selector else self._index.fleet()

    def warm(self, is_wanted: Callable[[], bool]) -> None:
        """Work out ahead of the first question what the matrix tells, as long as that is wanted. Raises StoreError."""
        self._index.warm(is_wanted)
        if not is_wanted():
            return
        fleet, assessor = self._index.fleet(), self._assessor_for()
        if len(fleet.builds) * len(fleet.platforms) > MOST_CELLS:
            return
        for digest, build in fleet.builds.items():
            if not is_wanted():
                return
            for address, platform in fleet.platforms.items():
                assessor.verdict(digest, build, platform, address)

    def _advice_of(self, fleet: Fleet, assessor: Assessor) -> Advice:
        """Return the advice of the fleet's builds; it remembers what it was asked, so it is kept while they stay."""
        builds = frozenset(fleet.builds)
        with self._lock:
            if self._advice is None or self._advice[0] is not assessor or self._advice[1] != builds:
                self._advice = (assessor, builds, Advice.of(tuple(fleet.builds.values()), assessor.catalogue))
            return self._advice[2]


class PortabilityWarmup:
    """Lets a reader work ahead of the first question in a thread of its own, at the start of a collector.

    It is of use and nothing more: where the store cannot be read, whoever asks is told so.
    """

    def __init__(self, reader: PortabilityReader) -> None:
        self._reader = reader
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="portability-warmup", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End at the next step, and wait for it."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            # A pause between the steps, for whoever waits for the same lock.
            self._reader.warm(lambda: not self._stopping.wait(_PAUSE_SECONDS))
        except StoreError as error:
            _LOGGER.warning("portability was not worked out ahead: %s", error)


def _by_platform(groups: Iterable[Group]) -> dict[str, list[Group]]:
    found: dict[str, list[Group]] = {}
    for group in groups:
        found.setdefault(group.traits.platform, []).append(group)
    return found


def _judged(
    artefact: Artefact, offer: Offer, groups: Iterable[Group], advice: Advice
) -> Iterator[tuple[Verdict, Group]]:
    """Yield the groups of one platform with their verdicts; files are judged once for what their Pythons bring."""
    files: dict[frozenset[str], Verdict] = {}
    wanted = {
        soname.rsplit("/", 1)[-1]
        for file in artefact.files
        for soname in (*file.requirement.sonames, *(need.soname for need in file.requirement.needs))
    }
    alike: dict[object, list[Group]] = {}
    for group in groups:
        alike.setdefault(_asked_of(artefact, group.traits.pythons), []).append(group)
    for same in alike.values():
        pythons = same[0].traits.pythons
        refused, fitting = installing(artefact, offer, pythons)
        kinds = tuple(reason.kind for reason in refused)
        if kinds == (ReasonKind.PYTHON,) and any(group.traits.pythons != pythons for group in same):
            # Their Pythons lie in folders of each host's own: where is said only of hosts that agree on it.
            refused = [without_base(artefact, {_anywhere(python) for python in pythons})]
        sonames = frozenset(name for python in fitting for name in python.sonames if name in wanted)
        if sonames not in files:
            files[sonames] = check_files(artefact, offer, sonames, advice)
        verdict = with_refusals(refused, files[sonames])
        for group in same:
            yield verdict, group


def _asked_of(artefact: Artefact, pythons: frozenset[OfferedPython]) -> object:
    """Return what decides of a host's Pythons: of an environment, whether one lies where it looks, and not where."""
    if artefact.kind is not ArtefactKind.ENVIRONMENT:
        return pythons
    return frozenset((_anywhere(python), is_base(python, artefact)) for python in pythons)


def _anywhere(python: OfferedPython) -> OfferedPython:
    return replace(python, folders=())


def _platform_hosts(digest: str, platform: Platform, hosts: _Hosts, *, with_pythons: bool) -> PlatformHosts:
    return PlatformHosts(
        platform=digest,
        label=label_of(platform, hosts.systems),
        hosts=hosts.hosts,
        examples=tuple(hosts.examples),
        arch=platform.arch,
        libc_family=None if platform.libc_family is LibcFamily.UNKNOWN else platform.libc_family.value,
        libc_version=platform.libc_version or platform.glibc,
        pythons=_versions(hosts.pythons) if with_pythons else (),
    )


def label_of(platform: Platform, systems: Counter[tuple[str | None, str | None]]) -> str:
    """Return what a person calls a platform: ``debian 12, glibc 2.36, x86_64``.

    Of several distributions that offer the very same the two that most hosts have are named, sorted.
    """
    ordered = sorted(systems.items(), key=lambda item: (-item[1], item[0][0] or "", item[0][1] or ""))
    names = [" ".join(part for part in system if part) or "unknown system" for system, _ in ordered]
    named = " or ".join(sorted(set(names[:2]))) + (" or others" if len(names) > 2 else "")
    libc = "unknown libc"
    if platform.libc_family is not LibcFamily.UNKNOWN:
        libc = f"{platform.libc_family.value} {platform.libc_version or platform.glibc or 'of unknown version'}"
    return f"{named}, {libc}, {platform.arch or 'unknown architecture'}"


def _versions(pythons: Iterable[OfferedPython]) -> tuple[str, ...]:
    return tuple(sorted({f"{one.version}{one.abiflags}" for one in pythons}, key=version_key))


def _most_hosts_first(on: PlatformHosts) -> tuple[int, str, str]:
    return -on.hosts, on.label, on.platform


def _build_order(item: tuple[str, Build]) -> tuple[object, ...]:
    digest, build = item
    return build.implementation, version_key(build.version or ""), build.provider, build.provider_build or "", digest


def _matrix_build(fleet: Fleet, digest: str, build: Build) -> MatrixBuild:
    return MatrixBuild(
        digest=digest,
        implementation=build.implementation,
        provider=build.provider,
        hosts=fleet.build_hosts[digest],
        version=build.version,
        provider_build=build.provider_build,
        arch=build.arch,
        flags=build.flags,
        glibc=fleet.needed_glibc[digest],
    )


def _check_word(field_name: str, word: str, vocabulary: type[StrEnum]) -> None:
    words: Sequence[str] = [one.value for one in vocabulary]
    if word and word not in words:
        raise InvalidFieldError(field_name, f"{word[:80]!r} is none of {', '.join(words)}")
