"""What share of the fleet each manylinux and musllinux tag reaches, and who is lost when the floor moves; no IO here.

A tag is for one architecture, so that hosts are counted within theirs. Whether a host takes a tag is decided as
installers decide it, by the family and the version of its C library; a host that tells neither is reached by no tag.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.collector.posture.wheel import platform_tags
from libcensus.facts.manylinux import NEWEST, OLDEST, POLICIES
from libcensus.facts.requirement import version_key
from libcensus.facts.vocabulary import LibcFamily

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from libcensus.collector.service.portability_codec import LibcHosts

_MUSLLINUX = ("musllinux_1_1", "musllinux_1_2")
"""The two that builders publish wheels for; musl has had no other minor release since 2014 (PEP 656)."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Hosts with one C library that a tag does not reach, and the tag before it does."""

    family: str
    version: str
    hosts: int


@dataclass(frozen=True, slots=True)
class TagReach:
    """How many hosts of its architecture take wheels with one tag; ``lost`` are those that the tag before reaches."""

    tag: str
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


def _of_arch(libcs: Iterable[LibcHosts]) -> dict[str, list[LibcHosts]]:
    found: dict[str, list[LibcHosts]] = {}
    for one in libcs:
        found.setdefault(one.arch, []).append(one)
    # Most hosts first, as they matter most.
    return dict(sorted(found.items(), key=lambda item: (-sum(one.hosts for one in item[1]), item[0])))


def floors(libcs: Iterable[LibcHosts]) -> list[Floor]:
    """Return the floor of each architecture, that with most hosts first."""
    found = []
    for arch, own in _of_arch(libcs).items():
        known = [one for one in own if one.family == LibcFamily.GLIBC and any(map(str.isdigit, one.version))]
        lowest = min(known, key=lambda one: version_key(one.version), default=None)
        total = sum(one.hosts for one in own)
        found.append(Floor(arch, None if lowest is None else lowest.version, lowest.hosts if lowest else 0, total))
    return found


def reaches(libcs: Iterable[LibcHosts]) -> list[TagReach]:
    """Return the reach of every published tag: by architecture, the oldest tag first."""
    found: list[TagReach] = []
    for arch, own in _of_arch(libcs).items():
        accepted = [(one, frozenset(_accepted(one))) for one in own]
        total = sum(one.hosts for one in own)
        suffix = _suffix(arch)
        for family in (_policies(arch), _MUSLLINUX if arch in OLDEST else ()):
            before: list[LibcHosts] = []
            for name in family:
                tag = f"{name}_{suffix}"
                takes = [one for one, tags in accepted if tag in tags]
                lost = tuple(Loss(one.family, one.version, one.hosts) for one in before if one not in takes)
                found.append(TagReach(tag, arch, sum(one.hosts for one in takes), total, lost))
                before = takes
    return found


def _policies(arch: str) -> Sequence[str]:
    oldest = OLDEST.get(arch)
    if oldest is None:
        return ()
    return tuple(f"manylinux_2_{n}" for n in POLICIES if oldest <= n <= NEWEST.get(arch, n))


def _accepted(one: LibcHosts) -> Iterable[str]:
    try:
        family = LibcFamily(one.family)
    except ValueError:
        family = LibcFamily.UNKNOWN
    return platform_tags(one.arch, family, one.version) or ()


def _suffix(arch: str) -> str:
    """Return an architecture as tags write it."""
    tags = platform_tags(arch, LibcFamily.MUSL, "1.0") or (f"_{arch}",)
    return tags[-1].removeprefix("linux_")
