"""What would run where something does not: another build of the same interpreter, named with what it needs.

Only what is known is advised: builds that the fleet has and that run there, and python-build-standalone's newest for
the same Python, whose documentation promises what its builds need.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from libcensus.collector.posture.prepared import PreparedBuild
from libcensus.collector.posture.verdict import PortabilityState, ReasonKind
from libcensus.facts.requirement import version_key
from libcensus.facts.vocabulary import Implementation, LibcFamily

if TYPE_CHECKING:
    from collections.abc import Collection

    from libcensus.collector.posture.catalogue import Catalogue, PbsBuild
    from libcensus.collector.posture.offer import Offer
    from libcensus.collector.posture.verdict import Reason
    from libcensus.facts.artefact import Artefact
    from libcensus.facts.interpreter import Build

_ADVISED = frozenset(
    {
        ReasonKind.ARCH,
        ReasonKind.LOADER,
        ReasonKind.X86_64_LEVEL,
        ReasonKind.SONAME,
        ReasonKind.SYMBOL_VERSION,
    }
)

_PBS_GLIBC = {"x86_64": 17, "aarch64": 17}
"""N of the glibc 2.N that python-build-standalone's builds need; "most targets" of its docs/running.rst, and the two
for which its builds were looked at here.
"""

_SPOKEN = {Implementation.CPYTHON: "CPython", Implementation.PYPY: "PyPy", Implementation.NODEJS: "Node.js"}


class Advice:
    """Finds builds that would run; answers are kept per platform, for every reason of an artefact asks again."""

    def __init__(self, builds: Collection[Build], pbs: Collection[PbsBuild]) -> None:
        self._builds: dict[tuple[Implementation, str], list[Build]] = {}
        for build in builds:
            if build.version is not None:
                self._builds.setdefault((build.implementation, _line(build.version)), []).append(build)
        for alike in self._builds.values():
            alike.sort(key=lambda build: (version_key(build.version or ""), build.provider, build.flags), reverse=True)
        self._pbs = sorted(pbs, key=lambda build: build.date, reverse=True)
        self._answers: dict[tuple[Implementation, str, int], str | None] = {}
        self._asked: list[Offer] = []
        self._prepared: dict[int, PreparedBuild] = {}

    @classmethod
    def of(cls, builds: Collection[Build], catalogue: Catalogue) -> Advice:
        """Return the advice of a fleet's builds and of the catalogue's releases."""
        return cls(builds, catalogue.pbs_builds)

    def improved(self, reason: Reason, artefact: Artefact, offer: Offer) -> Reason:
        """Return the reason with the remedy for this very interpreter on this platform, where there is one."""
        if reason.kind not in _ADVISED or not reason.known or artefact.version is None:
            return reason
        found = self.remedy(artefact.implementation, artefact.version, offer)
        return reason if found is None else replace(reason, remedy=found)

    def remedy(self, implementation: Implementation, version: str, offer: Offer) -> str | None:
        """Return the newest build of the same line (3.13 for 3.13.2) that would run there, and what it needs."""
        line = _line(version)
        # An offer holds a mapping and has no hash; the list keeps it alive, so that its identity stays its own.
        key = (implementation, line, id(offer))
        if key not in self._answers:
            self._asked.append(offer)
            self._answers[key] = self._found(implementation, line, offer)
        return self._answers[key]

    def _found(self, implementation: Implementation, line: str, offer: Offer) -> str | None:
        name = _SPOKEN.get(implementation, implementation.value)
        told: list[tuple[tuple[object, ...], str]] = []
        for build in self._builds.get((implementation, line), ()):
            if build.version is not None and self._runs(build, offer):
                glibc = build.requirement().glibc
                needs = f"needs glibc {glibc}" if glibc else "needs no glibc"
                mark = f" {build.provider_build}" if build.provider_build else ""
                told.append((version_key(build.version), f"{name} {build.version} of {build.provider}{mark}: {needs}"))
                break
        if implementation is Implementation.CPYTHON and (pbs := self._newest_pbs(line, offer)) is not None:
            told.append(pbs)
        if not told:
            return None
        return "the newest build that would run here is " + max(told, key=lambda item: item[0])[1]

    def _runs(self, build: Build, offer: Offer) -> bool:
        # Builds are kept alive by the lists that they are taken from, so that their identity stays their own.
        prepared = self._prepared.get(id(build))
        if prepared is None:
            prepared = self._prepared[id(build)] = PreparedBuild(build)
        return prepared.check(offer).state is PortabilityState.RUNS

    def _newest_pbs(self, line: str, offer: Offer) -> tuple[tuple[object, ...], str] | None:
        need = _PBS_GLIBC.get(offer.platform.arch or "")
        has = offer.glibc_minor
        if need is None or has is None or has < need or offer.platform.libc_family is not LibcFamily.GLIBC:
            return None
        if not offer.platform.loaders:
            return None
        for build in self._pbs:
            version = build.cpython.get(line)
            if version is not None:
                text = f"CPython {version} of python-build-standalone {build.tag}: needs glibc 2.{need}"
                return version_key(version), text
        return None


def _line(version: str) -> str:
    """Return the release line: two numbers, as minor releases are what modules and programs are made for."""
    match = re.match(r"\d+\.\d+", version)
    return version if match is None else match[0]
