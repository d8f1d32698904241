"""Everything on one host that is behind what it could be, from its facts, what was judged on them, and the catalogue.

What depends on the build alone is judged once per distinct build; how things lie beside each other is each host's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from libcensus.collector.posture.carrier import OpenFixes, judge_image, judge_uv
from libcensus.collector.posture.environment import Bases, Held, judge_environment
from libcensus.collector.posture.newest import judge_newest
from libcensus.collector.posture.prepared import make_room
from libcensus.collector.posture.running import judge_processes
from libcensus.collector.posture.staleness import (
    Lag,
    Staleness,
    StalenessKind,
    StaleSubject,
    StaleSubjectKind,
)
from libcensus.facts.vocabulary import Installer, InstallKind, Provider, RootKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import date

    from libcensus.collector.posture.assessment import Case, CopyAssessment, InstallAssessment, LibcAssessment
    from libcensus.collector.posture.catalogue import Catalogue
    from libcensus.collector.posture.finding import Subject
    from libcensus.facts.host import OsRelease
    from libcensus.facts.interpreter import Build
    from libcensus.facts.process import ProcessSet
    from libcensus.facts.root import RootSet, ScannedRoot
    from libcensus.facts.tool import ToolSet

_MEMORY = 50_000
_IN_IMAGES = frozenset({RootKind.CONTAINER, RootKind.IMAGE})


class Circle(NamedTuple):
    """What lies around the installs of a host, each part absent where the agent does not tell it.

    ``name`` is what the tree that was scanned is called in verdicts.
    """

    name: str = "/"
    tools: ToolSet | None = None
    roots: RootSet | None = None
    processes: ProcessSet | None = None


class StalenessJudge:
    """Judges hosts by one catalogue on one day; may be used by several threads at once."""

    def __init__(self, catalogue: Catalogue, today: date) -> None:
        self._catalogue = catalogue
        self._today = today
        self._newest: dict[object, Lag] = {}
        # A case is kept beside what is open in it, so that nothing else gets its identity.
        self._open: dict[int, tuple[Case, OpenFixes]] = {}

    def judge(
        self,
        installs: Sequence[InstallAssessment],
        others: Iterable[CopyAssessment | LibcAssessment],
        builds: Mapping[str, Build],
        system: Callable[[str], OsRelease],
        circle: Circle,
    ) -> tuple[Staleness, ...]:
        """Return a judgement of every thing that can be stale, in their order; what is current is among them.

        ``others`` are what else was judged on the host; ``system`` returns the os-release of a root.
        """
        found = [
            *self._installs(installs, builds, system),
            *self._tools(installs, circle),
            *self._images([*installs, *others], circle),
            *_processes(installs, circle),
        ]
        return tuple(sorted(found, key=lambda one: one.sort_key))

    def _installs(
        self, installs: Sequence[InstallAssessment], builds: Mapping[str, Build], system: Callable[[str], OsRelease]
    ) -> Iterable[Staleness]:
        held = [Held(one.install, builds.get(one.install.build or "")) for one in installs]
        bases = Bases(held)
        for judged, one in zip(installs, held, strict=True):
            subject = StaleSubject(StaleSubjectKind.INSTALL, judged.subject.root, judged.subject.path)
            if one.install.kind is InstallKind.VENV:
                kind, lag = judge_environment(one, bases, self._catalogue)
            else:
                kind, lag = StalenessKind.BEHIND_PROVIDER, self._newest_of(one, system(one.install.root))
            yield Staleness.of(subject, kind, lag, [judged.subject], judged.within)

    def _newest_of(self, held: Held, os_release: OsRelease) -> Lag:
        install, build = held.install, held.build
        key = (install.build, install.installer, install.package, None if install.package is None else os_release)
        lag = self._newest.get(key)
        if lag is None:
            make_room(self._newest, _MEMORY)
            lag = judge_newest(build, install.installer, install.package, os_release, self._catalogue, self._today)
            # A build that this host cannot show may be read on another.
            if build is not None or install.build is None:
                self._newest[key] = lag
        return lag

    def _tools(self, installs: Sequence[InstallAssessment], circle: Circle) -> Iterable[Staleness]:
        if circle.tools is None:
            return
        for tool in circle.tools.tools:
            managed = [
                one
                for one in installs
                if one.install.root == tool.root
                and one.install.kind is InstallKind.BASE
                and one.install.installer is Installer.UV
                and one.provider is Provider.PBS
                and one.install.package is None
            ]
            waiting = {one.subject: self._open_of(one.case) for one in managed}
            settings = [one for one in circle.tools.settings if one.root == tool.root and one.tool == tool.name]
            lag, concerned = judge_uv(tool, waiting, settings, self._catalogue, self._today)
            within = next((one.within for one in managed), None)
            subject = StaleSubject(StaleSubjectKind.TOOL, _shown(tool.root, circle), tool.path)
            yield Staleness.of(subject, StalenessKind.UV_TOO_OLD, lag, concerned, within)

    def _images(
        self, judged: Iterable[InstallAssessment | CopyAssessment | LibcAssessment], circle: Circle
    ) -> Iterable[Staleness]:
        roots = () if circle.roots is None else circle.roots.roots
        if not any(root.kind in _IN_IMAGES for root in roots):
            return
        inside: dict[str, dict[Subject, OpenFixes]] = {}
        for one in judged:
            inside.setdefault(one.subject.root, {})[one.subject] = self._open_of(one.case)
        images = {
            root.container.image_id: root
            for root in roots
            if root.kind is RootKind.IMAGE and root.container is not None and root.container.image_id is not None
        }
        for root in roots:
            if root.kind in _IN_IMAGES:
                image = None if root.container is None else images.get(root.container.image_id or "")
                lag, concerned = judge_image(root, image, inside.get(root.name, {}), self._today)
                subject = StaleSubject(StaleSubjectKind.ROOT, root.name, "/")
                yield Staleness.of(subject, StalenessKind.IMAGE_BEFORE_FIX, lag, concerned)

    def _open_of(self, case: Case) -> OpenFixes:
        kept = self._open.get(id(case))
        if kept is None:
            make_room(self._open, _MEMORY)
            kept = self._open[id(case)] = case, OpenFixes.of(case.judgements)
        return kept[1]


def _processes(installs: Sequence[InstallAssessment], circle: Circle) -> Iterable[Staleness]:
    if circle.processes is None:
        return
    roots: dict[str, ScannedRoot] = {} if circle.roots is None else {root.name: root for root in circle.roots.roots}
    subjects = {(one.install.root, one.install.path): one.subject for one in installs}
    for group in circle.processes.groups:
        subject = StaleSubject(StaleSubjectKind.PROCESSES, _shown(group.root, circle), group.executable)
        install = subjects.get((group.root, group.install or ""))
        lag = judge_processes(group, roots.get(group.root))
        yield Staleness.of(subject, StalenessKind.PROCESSES_ON_OLD_FILES, lag, [] if install is None else [install])


def _shown(root: str, circle: Circle) -> str:
    return circle.name if root == "/" else root
