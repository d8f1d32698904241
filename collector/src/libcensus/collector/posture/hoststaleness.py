"""Everything on one host that is behind what it could be, from its facts, what was judged on them, and the catalogue.

What depends on the build alone is judged once per distinct build; how things lie beside each other is each host's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

from libcensus.collector.posture.carrier import (
    OpenFixes,
    built_on,
    image_state,
    judge_image,
    judge_uv,
    uv_state,
)
from libcensus.collector.posture.environment import Bases, Held, grounds_of, judge_environment, weigh
from libcensus.collector.posture.newest import judge_newest
from libcensus.collector.posture.prepared import make_room
from libcensus.collector.posture.running import judge_processes
from libcensus.collector.posture.staleness import (
    BuildMark,
    EnvironmentGrounds,
    ImageGrounds,
    ProviderGrounds,
    StaleInstall,
    Staleness,
    StalenessKind,
    StaleSubject,
    StaleSubjectKind,
    UvGrounds,
    worst_state,
)
from libcensus.facts.vocabulary import Installer, InstallKind, Provider, RootKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import date

    from libcensus.collector.posture.assessment import Case, CopyAssessment, Grounds, InstallAssessment, LibcAssessment
    from libcensus.collector.posture.catalogue import Catalogue
    from libcensus.collector.posture.finding import Subject
    from libcensus.collector.posture.staleness import StaleGrounds, StalenessState, StaleVerdict
    from libcensus.facts.host import OsRelease
    from libcensus.facts.interpreter import Build
    from libcensus.facts.process import ProcessSet
    from libcensus.facts.root import RootSet, ScannedRoot
    from libcensus.facts.tool import Tool, ToolSet

_MEMORY = 50_000
_UV = "uv"
_IN_IMAGES = frozenset({RootKind.CONTAINER, RootKind.IMAGE})


class Circle(NamedTuple):
    """What lies around the installs of a host, each part absent where the agent does not tell it.

    ``name`` is what the tree that was scanned is called in verdicts.
    """

    name: str = "/"
    tools: ToolSet | None = None
    roots: RootSet | None = None
    processes: ProcessSet | None = None


class HostStaleness(NamedTuple):
    """All that was judged of a host by how old it is, in its order; and its installs, as they are counted."""

    judged: tuple[Staleness, ...]
    installs: tuple[StaleInstall, ...]


class StalenessJudge:
    """Judges hosts by one catalogue on one day; may be used by several threads at once."""

    def __init__(self, catalogue: Catalogue, today: date, case_of: Callable[[Grounds], Case]) -> None:
        self._catalogue = catalogue
        self._today = today
        self._case_of = case_of
        self._newest: dict[ProviderGrounds, StaleVerdict] = {}
        self._states: dict[StaleGrounds, StalenessState] = {}
        # A case is kept beside what is open in it, so that nothing else gets its identity.
        self._open: dict[int, tuple[Case, OpenFixes]] = {}

    def judge(
        self,
        installs: Sequence[InstallAssessment],
        others: Iterable[CopyAssessment | LibcAssessment],
        builds: Mapping[str, Build],
        system: Callable[[str], OsRelease],
        circle: Circle,
    ) -> HostStaleness:
        """Return a judgement of every thing that can be stale; what is current is among them.

        ``others`` are what else was judged on the host; ``system`` returns the os-release of a root.
        """
        places = _Around.of(circle)
        judged: list[Staleness] = []
        counted: list[StaleInstall] = []
        held = [Held(one.install, builds.get(one.install.build or "")) for one in installs]
        bases = Bases(held)
        for item, one in zip(installs, held, strict=True):
            subject = StaleSubject(StaleSubjectKind.INSTALL, item.subject.root, item.subject.path)
            grounds: StaleGrounds
            if one.install.kind is InstallKind.VENV:
                grounds = grounds_of(one, bases)
                kind, verdict = judge_environment(one, bases, self._catalogue)
            else:
                grounds = _provider_grounds(one, system(one.install.root))
                kind, verdict = StalenessKind.BEHIND_PROVIDER, self._newest_of(grounds)
            judged.append(Staleness.of(subject, kind, verdict, [item.subject], item.within))
            counted.append(StaleInstall(kind, verdict.state, str(item.provider), item.subject, grounds))
            counted += self._carried(item, places)
        judged += self._tools(installs, circle)
        judged += self._images([*installs, *others], places)
        judged += _processes(installs, circle, places)
        judged.sort(key=lambda one: one.sort_key)
        return HostStaleness(tuple(judged), tuple(counted))

    def state(self, grounds: StaleGrounds) -> StalenessState:
        """Return the state of grounds; equal ones are judged once."""
        state = self._states.get(grounds)
        if state is None:
            make_room(self._states, _MEMORY)
            state = self._states[grounds] = self._weigh(grounds)
        return state

    def _weigh(self, grounds: StaleGrounds) -> StalenessState:
        if isinstance(grounds, ProviderGrounds):
            return self._newest_of(grounds).state
        if isinstance(grounds, EnvironmentGrounds):
            return weigh(grounds, self._catalogue).state
        held = self._open_of(self._case_of(grounds.case))
        if isinstance(grounds, ImageGrounds):
            return image_state(grounds.created, held, self._today)
        return worst_state(uv_state(build, held, self._catalogue, self._today) for build in grounds.builds)

    def _newest_of(self, grounds: ProviderGrounds) -> StaleVerdict:
        verdict = self._newest.get(grounds)
        if verdict is None:
            make_room(self._newest, _MEMORY)
            verdict = self._newest[grounds] = judge_newest(
                grounds.build, grounds.installer, grounds.package, grounds.system, self._catalogue, self._today
            )
        return verdict

    def _carried(self, item: InstallAssessment, places: _Around) -> Iterable[StaleInstall]:
        """Return what is counted of an install for what carries fixes to it."""
        uvs = places.uvs.get(item.install.root, ())
        if uvs and _is_uvs(item):
            builds = tuple(sorted({tool.newest_build for tool in uvs}, key=str))
            grounds: StaleGrounds = UvGrounds(builds, item.grounds)
            yield self._counted(StalenessKind.UV_TOO_OLD, item, grounds)
        root = places.in_images.get(item.install.root)
        if root is not None:
            grounds = ImageGrounds(built_on(root, places.image_of(root)), item.grounds)
            yield self._counted(StalenessKind.IMAGE_BEFORE_FIX, item, grounds)

    def _counted(self, kind: StalenessKind, item: InstallAssessment, grounds: StaleGrounds) -> StaleInstall:
        return StaleInstall(kind, self.state(grounds), str(item.provider), item.subject, grounds)

    def _tools(self, installs: Sequence[InstallAssessment], circle: Circle) -> Iterable[Staleness]:
        if circle.tools is None:
            return
        for tool in circle.tools.tools:
            if tool.name != _UV:
                continue
            managed = [one for one in installs if one.install.root == tool.root and _is_uvs(one)]
            waiting = {one.subject: self._open_of(one.case) for one in managed}
            settings = [one for one in circle.tools.settings if one.root == tool.root and one.tool == tool.name]
            verdict, concerned = judge_uv(tool, waiting, settings, self._catalogue, self._today)
            within = next((one.within for one in managed), None)
            subject = StaleSubject(StaleSubjectKind.TOOL, _shown(tool.root, circle), tool.path)
            yield Staleness.of(subject, StalenessKind.UV_TOO_OLD, verdict, concerned, within)

    def _images(
        self, judged: Iterable[InstallAssessment | CopyAssessment | LibcAssessment], places: _Around
    ) -> Iterable[Staleness]:
        if not places.in_images:
            return
        inside: dict[str, dict[Subject, OpenFixes]] = {}
        for one in judged:
            if one.subject.root in places.in_images:
                inside.setdefault(one.subject.root, {})[one.subject] = self._open_of(one.case)
        for root in places.in_images.values():
            verdict, concerned = judge_image(root, places.image_of(root), inside.get(root.name, {}), self._today)
            subject = StaleSubject(StaleSubjectKind.ROOT, root.name, "/")
            yield Staleness.of(subject, StalenessKind.IMAGE_BEFORE_FIX, verdict, concerned)

    def _open_of(self, case: Case) -> OpenFixes:
        kept = self._open.get(id(case))
        if kept is None:
            make_room(self._open, _MEMORY)
            kept = self._open[id(case)] = case, OpenFixes.of(case.judgements)
        return kept[1]


class _Around(NamedTuple):
    """The parts of a circle by root; ``images`` are those in storage by their id."""

    roots: Mapping[str, ScannedRoot]
    in_images: Mapping[str, ScannedRoot]
    images: Mapping[str, ScannedRoot]
    uvs: Mapping[str, list[Tool]]

    @classmethod
    def of(cls, circle: Circle) -> Self:
        """Return the parts of a circle."""
        roots = {} if circle.roots is None else {root.name: root for root in circle.roots.roots}
        in_images = {name: root for name, root in roots.items() if root.kind in _IN_IMAGES}
        images = {
            root.container.image_id: root
            for root in in_images.values()
            if root.kind is RootKind.IMAGE and root.container is not None and root.container.image_id is not None
        }
        uvs: dict[str, list[Tool]] = {}
        for tool in () if circle.tools is None else circle.tools.tools:
            if tool.name == _UV:
                uvs.setdefault(tool.root, []).append(tool)
        return cls(roots, in_images, images, uvs)

    def image_of(self, root: ScannedRoot) -> ScannedRoot | None:
        """Return the image in storage that a root is of."""
        return None if root.container is None else self.images.get(root.container.image_id or "")


def _is_uvs(item: InstallAssessment) -> bool:
    """Tell whether an install is one that uv upgrades."""
    install = item.install
    is_base = install.kind is InstallKind.BASE and install.package is None
    return is_base and install.installer is Installer.UV and item.provider is Provider.PBS


def _provider_grounds(held: Held, system: OsRelease) -> ProviderGrounds:
    install, build = held.install, held.build
    mark = None if build is None else BuildMark.of(build)
    # Only what the distribution built depends on which distribution it is.
    return ProviderGrounds(mark, install.installer, install.package, None if install.package is None else system)


def _processes(installs: Sequence[InstallAssessment], circle: Circle, places: _Around) -> Iterable[Staleness]:
    if circle.processes is None:
        return
    subjects = {(one.install.root, one.install.path): one.subject for one in installs}
    for group in circle.processes.groups:
        subject = StaleSubject(StaleSubjectKind.PROCESSES, _shown(group.root, circle), group.executable)
        install = subjects.get((group.root, group.install or ""))
        verdict = judge_processes(group, places.roots.get(group.root))
        concerned = [] if install is None else [install]
        yield Staleness.of(subject, StalenessKind.PROCESSES_ON_OLD_FILES, verdict, concerned)


def _shown(root: str, circle: Circle) -> str:
    return circle.name if root == "/" else root
