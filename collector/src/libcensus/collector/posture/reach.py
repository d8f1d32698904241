"""What share of the fleet each manylinux and musllinux tag reaches, and who is lost when the floor moves.

A tag is for one architecture, so that hosts are counted within theirs. Whether a host takes a tag is decided as
installers decide it, by the family and the version of its C library; a host that tells neither is reached by no tag.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from libcensus.collector.posture.wheel import platform_tags
from libcensus.facts.manylinux import NEWEST, OLDEST, POLICIES
from libcensus.facts.requirement import version_key
from libcensus.facts.vocabulary import LibcFamily

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from libcensus.facts.host import Host
    from libcensus.facts.platform import Platform

UNKNOWN = "unknown"

_MUSLLINUX = ("musllinux_1_1", "musllinux_1_2")
"""The two that builders publish wheels for; musl has had no other minor release since 2014 (PEP 656)."""


class CountedLibc(Protocol):
    """How many hosts of an architecture have one version of a C library; words are ``unknown`` where nobody knows."""

    @property
    def arch(self) -> str:
        """The architecture as the kernel writes it."""

    @property
    def family(self) -> str:
        """The product: ``glibc``, ``musl``."""

    @property
    def version(self) -> str:
        """Its version."""

    @property
    def hosts(self) -> int:
        """How many hosts have it."""


@dataclass(frozen=True, slots=True)
class LibcCount:
    """A counted C library, and nothing more."""

    arch: str
    family: str
    version: str
    hosts: int


@dataclass(frozen=True, slots=True)
class Loss:
    """Hosts with one C library that a tag does not reach, and the tag before it does."""

    family: str
    version: str
    hosts: int


@dataclass(frozen=True, slots=True)
class TagReach:
    """How many hosts of its architecture take wheels with one tag; ``lost`` are those that the tag before reaches.

    ``policy`` is the tag without its architecture (``manylinux_2_17``).
    """

    tag: str
    policy: str
    arch: str
    hosts: int
    total: int
    lost: tuple[Loss, ...] = ()


@dataclass(frozen=True, slots=True)
class Floor:
    """The oldest glibc that hosts of one architecture have, with how many have it; absent where none has glibc."""

    arch: str
    version: str | None
    hosts: int
    total: int


def libc_of(host: Host, platform: Platform) -> tuple[str, str, str]:
    """Return architecture, family and version of a host's C library in words, ``unknown`` where nothing tells."""
    family = host.libc.family
    version = host.libc.version
    if family is LibcFamily.UNKNOWN:
        family, version = platform.libc_family, platform.libc_version
    if version is None and family is platform.libc_family:
        version = platform.libc_version
    if version is None and family is LibcFamily.GLIBC:
        version = platform.glibc
    return host.arch or platform.arch or UNKNOWN, family.value, version or UNKNOWN


def floors(libcs: Iterable[CountedLibc]) -> list[Floor]:
    """Return the floor of each architecture, that with most hosts first."""
    found = []
    for arch, own in _of_arch(libcs).items():
        known = [one for one in own if one.family == LibcFamily.GLIBC and any(map(str.isdigit, one.version))]
        lowest = min(known, key=lambda one: version_key(one.version), default=None)
        total = sum(one.hosts for one in own)
        found.append(Floor(arch, None if lowest is None else lowest.version, lowest.hosts if lowest else 0, total))
    return found


def policy_reach(libcs: Iterable[CountedLibc]) -> list[TagReach]:
    """Return the reach of every published policy: by architecture, the oldest policy first."""
    found: list[TagReach] = []
    for arch, own in _of_arch(libcs).items():
        accepted = [(one, frozenset(_accepted(one))) for one in own]
        total = sum(one.hosts for one in own)
        suffix = _suffix(arch)
        for family in (_policies(arch), _MUSLLINUX if arch in OLDEST else ()):
            before: list[CountedLibc] = []
            for policy in family:
                tag = f"{policy}_{suffix}"
                takes = [one for one, tags in accepted if tag in tags]
                lost = tuple(Loss(one.family, one.version, one.hosts) for one in before if one not in takes)
                found.append(TagReach(tag, policy, arch, sum(one.hosts for one in takes), total, lost))
                before = takes
    return found


def _of_arch(libcs: Iterable[CountedLibc]) -> dict[str, list[CountedLibc]]:
    found: dict[str, list[CountedLibc]] = {}
    for one in libcs:
        found.setdefault(one.arch, []).append(one)
    # Most hosts first, as they matter most.
    return dict(sorted(found.items(), key=lambda item: (-sum(one.hosts for one in item[1]), item[0])))


def _policies(arch: str) -> Sequence[str]:
    oldest = OLDEST.get(arch)
    if oldest is None:
        return ()
    return tuple(f"manylinux_2_{n}" for n in POLICIES if oldest <= n <= NEWEST.get(arch, n))


def _accepted(one: CountedLibc) -> Iterable[str]:
    try:
        family = LibcFamily(one.family)
    except ValueError:
        family = LibcFamily.UNKNOWN
    return platform_tags(one.arch, family, one.version) or ()


def _suffix(arch: str) -> str:
    """Return an architecture as tags write it."""
    tags = platform_tags(arch, LibcFamily.MUSL, "1.0") or (f"_{arch}",)
    return tags[-1].removeprefix("linux_")
