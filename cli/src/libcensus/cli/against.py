"""What ``--against`` names, judged here with no collector: hosts by their scan files, distributions by their names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from libcensus.cli.answers import Answer, PlaceKind
from libcensus.cli.errors import ArgumentError
from libcensus.cli.scanfile import read_scan_file
from libcensus.collector.posture.distribution import UnknownDistributionError, find_distribution, offer_of
from libcensus.collector.posture.offer import Offer
from libcensus.collector.posture.portability import check_artefact
from libcensus.collector.posture.wheel import arch_of
from libcensus.facts.manylinux import OLDEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from libcensus.collector.posture.advice import Advice
    from libcensus.collector.posture.catalogue import Catalogue, DistributionRelease
    from libcensus.collector.posture.offer import OfferedPython
    from libcensus.facts.artefact import Artefact


_ARCHES = {"amd64": "x86_64", "arm64": "aarch64", "i686": "i386", "armv7l": "arm", "armhf": "arm"}
"""What others call an architecture that is called otherwise here."""


@dataclass(frozen=True, slots=True)
class ScanPlace:
    """The host of one scan file."""

    name: str
    offer: Offer
    pythons: frozenset[OfferedPython]


@dataclass(frozen=True, slots=True)
class DistributionPlace:
    """A release of a distribution; ``offers`` are by architecture, each made when it is first asked for."""

    name: str
    release: DistributionRelease
    offers: dict[str | None, Offer]

    def offer(self, arch: str | None) -> Offer:
        """Return what it offers on an architecture."""
        if arch not in self.offers:
            self.offers[arch] = offer_of(self.release, arch)
        return self.offers[arch]


Place = ScanPlace | DistributionPlace


def find_places(names: Sequence[str], catalogue: Catalogue) -> list[Place]:
    """Return what the names mean: a scan file, a folder of them (``*.json``), a distribution with its release.

    Raises ArgumentError for anything else; a name that is given twice counts once.
    """
    places: dict[str, Place] = {}
    for name in names:
        path = Path(name)
        if path.is_dir():
            files = sorted(str(file) for file in path.glob("*.json"))
            if not files:
                raise ArgumentError(
                    f"--against {name}: the folder has no file *.json; make one with `libcensus scan --output json`"
                )
            places |= {file: _scan_place(file) for file in files}
        elif path.exists():
            places[name] = _scan_place(name)
        else:
            places[name] = _distribution_place(name, catalogue)
    return list(places.values())


def _distribution_place(name: str, catalogue: Catalogue) -> DistributionPlace:
    try:
        return DistributionPlace(name, find_distribution(catalogue, name), {})
    except UnknownDistributionError as error:
        if "/" in name or name.endswith(".json"):
            raise ArgumentError(
                f"--against {name}: there is no such file; make it with `libcensus scan --output json`"
            ) from None
        hint = f"did you mean {' or '.join(error.near)}?" if error.near else "such as debian:12 or ubuntu:22.04"
        raise ArgumentError(
            f"--against {name}: is neither a file nor a distribution that is known here; {hint}"
        ) from None


def _scan_place(path: str) -> ScanPlace:
    try:
        scanned = read_scan_file(path)
    except ArgumentError as error:
        raise ArgumentError(f"--against {error}") from None
    return ScanPlace(path, Offer.of(scanned.platform), scanned.pythons)


def check_arch(text: str) -> str:
    """Return the architecture as facts name it; raises ArgumentError for one of which no distribution is known."""
    arch = _ARCHES.get(text.lower(), text.lower())
    if arch not in OLDEST:
        raise ArgumentError(f"--arch {text}: is no architecture that is known here; there are {', '.join(OLDEST)}")
    return arch


def arches_of(artefact: Artefact) -> tuple[str | None, ...]:
    """Return the architectures that an artefact is for, sorted; one None where it is for any, or does not say."""
    found = {file.requirement.arch for file in artefact.files} | {arch_of(tag.platform) for tag in artefact.tags}
    return tuple(sorted(arch for arch in found if arch is not None)) or (None,)


def judge(artefact: Artefact, places: Iterable[Place], arch: str | None, advice: Advice) -> list[Answer]:
    """Return whether an artefact runs on each place: on a distribution once for each architecture that it is for.

    ``arch`` is the one to ask of distributions instead.
    """
    answers: list[Answer] = []
    for place in places:
        if isinstance(place, ScanPlace):
            verdict = check_artefact(artefact, place.offer, place.pythons, advice)
            answers.append(Answer(artefact, place.name, PlaceKind.SCAN, 1, verdict, place.offer.platform.arch))
            continue
        for asked in arches_of(artefact) if arch is None else (arch,):
            verdict = check_artefact(artefact, place.offer(asked), None, advice)
            answers.append(Answer(artefact, place.name, PlaceKind.DISTRIBUTION, 0, verdict, asked))
    return answers
