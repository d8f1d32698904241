"""One scan of one root: runs the probes, each on its own, and joins what they found.

A probe that fails costs only itself: it is reported as failed with its reason, and those after it find less. A skip
(a file that cannot be read, a mount that is not entered, a bound that was reached) is no failure and is counted.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from libcensus.agent.accesses import Accesses
from libcensus.agent.containers import find_containers
from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import shown
from libcensus.agent.index import remembered
from libcensus.agent.probes.changelogs import probe_changelogs
from libcensus.agent.probes.context import ProbeSkippedError, ScanContext
from libcensus.agent.probes.copies import probe_copies
from libcensus.agent.probes.crypto import probe_crypto
from libcensus.agent.probes.interpreters import probe_interpreters
from libcensus.agent.probes.packages import probe_packages
from libcensus.agent.probes.platform import probe_platform
from libcensus.agent.probes.processes import RunningRoot, read_processes
from libcensus.agent.probes.run import ProbeRun
from libcensus.agent.probes.skips import Skips
from libcensus.agent.probes.tools import probe_tools
from libcensus.agent.probes.venvs import probe_venvs
from libcensus.agent.probes.walk import probe_walk
from libcensus.agent.replay import RootFacts, keep, recall
from libcensus.facts.codec import encode_fact
from libcensus.facts.crypto import CryptoCopySet
from libcensus.facts.host import Host, Inventory
from libcensus.facts.interpreter import Install, InstallSet
from libcensus.facts.root import RootSet, ScannedRoot
from libcensus.facts.tool import ToolSet
from libcensus.facts.vocabulary import Implementation, InstallKind, ProbeState, RootKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from libcensus.agent.containers import ContainerRoot
    from libcensus.agent.host import Root
    from libcensus.agent.images.image import ImageRoot
    from libcensus.agent.index import Index
    from libcensus.agent.interpreters.candidate import Environment, Interpreter
    from libcensus.agent.settings import ScanSettings
    from libcensus.agent.walk import Progress
    from libcensus.facts.changelog import PackageChangelog
    from libcensus.facts.evidence import Evidence
    from libcensus.facts.interpreter import Build
    from libcensus.facts.platform import Platform
    from libcensus.facts.process import ProcessSet
    from libcensus.facts.report import ProbeResult
    from libcensus.facts.root import Container

T = TypeVar("T")

_LOG = logging.getLogger(__name__)

_SWITCHED_OFF = "switched off by the settings"
_NOTHING_RUNS = "the scanned tree is not the running host's: nothing runs in it"

PROBES: tuple[tuple[str, Callable[[ScanContext, Skips], None]], ...] = (
    ("walk", probe_walk),
    ("packages", probe_packages),
    ("platform", probe_platform),
    ("interpreters", probe_interpreters),
    ("crypto", probe_crypto),
    ("venvs", probe_venvs),
    ("copies", probe_copies),
    ("changelogs", probe_changelogs),
    ("tools", probe_tools),
)
"""The one registration of the probes of a root, in the order in which they run: each builds on those before it."""

_DECISIVE = (ProbeState.FAILED, ProbeState.OK, ProbeState.SKIPPED)
"""Of one probe in several roots: which state tells how it ended."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What one scan found; ``builds``, ``platforms`` and ``changelogs`` are keyed by address.

    ``root`` names the tree as it was given, and ``host`` and ``platform`` are its own; ``platforms`` are those of the
    other roots in ``roots``. ``processes`` is absent where the scanned tree is not the running host's.
    """

    root: str
    host: Host
    platform: Platform
    installs: InstallSet
    builds: Mapping[str, Build]
    probes: tuple[ProbeResult, ...]
    scanned_at: datetime
    seconds: float
    crypto_copies: CryptoCopySet = field(default_factory=CryptoCopySet)
    tools: ToolSet = field(default_factory=ToolSet)
    roots: RootSet = field(default_factory=RootSet)
    platforms: Mapping[str, Platform] = field(default_factory=dict)
    changelogs: Mapping[str, PackageChangelog] = field(default_factory=dict)
    processes: ProcessSet | None = None

    def inventory(self) -> Inventory:
        """Return the root of the tree of digests that stands for this scan."""
        return Inventory(
            host=self.host,
            platform=encode_fact(self.platform)[1],
            installs=encode_fact(self.installs)[1],
            builds=tuple(sorted(self.builds)),
            crypto_copies=encode_fact(self.crypto_copies)[1],
            tools=encode_fact(self.tools)[1],
            roots=encode_fact(self.roots)[1],
            changelogs=tuple(sorted(self.changelogs)),
        )


def scan(root: Root, settings: ScanSettings, progress: Progress | None = None, index: Index | None = None) -> Scan:
    """Scan a root and the roots in it. Never raises for what it finds there: the probes tell what could not be read.

    On the running host that includes the roots of its containers and what runs now, with ``settings.images`` also the
    images in storage.
    """
    scanned_at = datetime.now(tz=UTC)
    started = time.monotonic()
    trees = _Trees(root, settings, progress, index)
    trees.scan_all()
    facts = merge(trees.found)
    own = trees.found[0]
    return Scan(
        root=root.name,
        host=own.facts.host,
        platform=own.facts.platform,
        probes=(*merge_runs(trees.found), *(run.result() for run in trees.runs)),
        scanned_at=scanned_at,
        seconds=time.monotonic() - started,
        processes=trees.processes,
        **facts,
    )


def scan_remembered(root: Root, settings: ScanSettings, state_folder: Path, progress: Progress | None = None) -> Scan:
    """Scan a root, reading only what changed since the last scan that was remembered in the state folder."""
    if not settings.index:
        return scan(root, settings, progress)
    with remembered(state_folder, root.name) as index:
        return scan(root, settings, progress, index)


@dataclass(frozen=True, slots=True)
class Place:
    """A tree to be scanned, and what is known of it from outside."""

    root: Root
    kind: RootKind
    path: str | None = None
    container: Container | None = None
    created: str | None = None
    tags: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class RootScan:
    """What the probes found in one root, as facts; ``inner`` are the folders that are roots of their own."""

    place: ScannedRoot
    facts: RootFacts
    inner: tuple[str, ...]
    runs: tuple[ProbeRun, ...]


def scan_root(
    place: Place, settings: ScanSettings, progress: Progress | None = None, index: Index | None = None
) -> RootScan:
    """Run the probes over one root, and make facts of what they found.

    With an index, the facts of the last scan are given again where the walk shows that all that they depend on is the
    same; then no content is read.
    """
    root = place.root
    context = ScanContext(root, settings, progress, index)
    root.remember(index)
    (first, walk), *others = PROBES
    walked = run_probe(first, walk, context)
    recalled = recall(context) if walked.state is ProbeState.OK else None
    if recalled is not None:
        facts, runs, skips = recalled
        walked.skips.take(skips)
        return RootScan(_place(place, facts), facts, tuple(context.roots_found), (walked, *runs))
    if context.recognition is not None:
        context.recognition.finish()
    accesses = Accesses()
    root.record(accesses if index is not None else None)
    runs = [run_probe(name, probe, context) for name, probe in others]
    root.record(None)
    facts = _facts(context)
    if walked.state is ProbeState.OK:
        keep(context, facts, runs, accesses)
    if context.recognition is not None:
        walked.skips.take(context.recognition.skips)
    return RootScan(_place(place, facts), facts, tuple(context.roots_found), (walked, *runs))


def _facts(context: ScanContext) -> RootFacts:
    """Make facts of what the probes left in the context; of one thing found twice, the later stays."""
    name = context.root.name
    builds: dict[str, Build] = {}
    found = [
        *(_base_install(name, one, builds) for one in context.interpreters),
        *(_environment_install(name, one, builds) for one in context.environments),
    ]
    installs = {install.path: install for install in found}
    copies = {copy.path: copy for copy in context.copies}
    tools = {tool.path: tool for tool in context.tools}
    settings = {(one.path, one.tool, one.name): one for one in context.tool_settings}
    return RootFacts(
        host=context.host,
        platform=context.platform,
        installs=InstallSet(tuple(installs[path] for path in sorted(installs))),
        builds=builds,
        copies=CryptoCopySet(tuple(copies[path] for path in sorted(copies))),
        tools=ToolSet(tuple(tools[path] for path in sorted(tools)), tuple(settings[key] for key in sorted(settings))),
        changelogs=tuple(context.changelogs),
    )


def _place(place: Place, facts: RootFacts) -> ScannedRoot:
    host = facts.host
    return ScannedRoot(
        name=shown(place.root.name),
        kind=place.kind,
        path=None if place.path is None else shown(place.path),
        os_release=host.os_release,
        arch=host.arch,
        libc=host.libc,
        platform=encode_fact(facts.platform)[1],
        container=place.container,
        created=place.created,
        tags=place.tags,
        evidence=place.evidence,
    )


class _Trees:
    """Scans the root that was asked for and all that belong to it, each within itself, and tells what runs in them."""

    def __init__(self, root: Root, settings: ScanSettings, progress: Progress | None, index: Index | None) -> None:
        self.found: list[RootScan] = []
        self.runs: list[ProbeRun] = []
        self.processes: ProcessSet | None = None
        self._root = root
        self._settings = settings
        self._progress = progress
        self._index = index
        self._skips = Skips()
        self._running: list[RunningRoot] = []
        self._scanned: set[tuple[int, int]] = set()

    def scan_all(self) -> None:
        """Scan the root itself, then containers, folders and images, and read the processes last."""
        root = self._root
        kind = RootKind.HOST if root.is_own else RootKind.FOLDER
        containers = self._find_containers()
        own = self._scan(Place(root, kind, root.name))
        for container in containers:
            place = f"{container.name}: "
            self._scan_opened(container.open, place, lambda inner, one=container: _container_place(inner, one))  # type: ignore[misc]
        self._scan_folders(root, own.inner)
        for image in self._find_images():
            place = f"{image.name}: "
            self._scan_opened(
                lambda one=image: one.open(root),  # type: ignore[misc]
                place,
                lambda inner, one=image: _image_place(inner, one),  # type: ignore[misc]
            )
        if self._index is not None and self._index.overflowed:
            words = f"the index has no room for {self._index.overflowed} files; they are read again by the next scan"
            self._skips.add("index-limit", words, self._index.overflowed)
        own.runs[0].skips.take(self._skips)
        self._read_processes()

    def _scan(self, place: Place) -> RootScan:
        found = scan_root(place, self._settings, self._progress, self._index)
        self.found.append(found)
        if place.kind is not RootKind.IMAGE:
            self._running.append(RunningRoot.of(place.root, found.facts.installs.installs, found.facts.copies.copies))
        return found

    def _scan_folders(self, outer: Root, paths: Iterable[str]) -> None:
        """Scan the folders inside a root that are roots of their own, and those inside them."""
        for path in paths:
            name = f"{outer.name.rstrip('/')}{path}"
            self._scan_opened(
                lambda at=path: outer.open_below(at),  # type: ignore[misc]
                f"{shown(name)}: ",
                lambda inner, at=name: Place(inner, RootKind.FOLDER, at),  # type: ignore[misc]
            )

    def _scan_opened(self, open_root: Callable[[], Root], what: str, describe: Callable[[Root], Place]) -> None:
        if len(self.found) > self._settings.max_roots:
            limit = self._settings.max_roots
            self._skips.add("root-limit", f"{what}more than {limit} roots beside the first; raise max_roots")
            return
        try:
            inner = open_root()
        except UnreadableError as error:
            self._skips.add_error(error, what.removesuffix(": "))
            return
        with inner:
            place = describe(inner)
            if place.kind is not RootKind.IMAGE:
                # A folder that is a container's root was scanned as that, with what its runtime says of it.
                status = os.fstat(inner.descriptor)
                if (status.st_dev, status.st_ino) in self._scanned:
                    return
                self._scanned.add((status.st_dev, status.st_ino))
            found = self._scan(place)
            self._scan_folders(inner, found.inner)

    def _find_containers(self) -> tuple[ContainerRoot, ...]:
        if not self._settings.containers:
            self.runs.append(_not_run("containers", _SWITCHED_OFF))
        elif not self._root.is_own:
            self.runs.append(_not_run("containers", _NOTHING_RUNS))
        else:
            run, reading = attempt("containers", lambda skips: find_containers(self._root, skips))
            reason = None if reading is None else reading.skipped
            self.runs.append(run if reason is None else replace(run, state=ProbeState.SKIPPED, reason=reason))
            return () if reading is None else reading.containers
        return ()

    def _find_images(self) -> Sequence[ImageRoot]:
        if not self._settings.images:
            return ()
        from libcensus.agent.images.storage import find_images  # noqa: PLC0415 - few scans look at storage

        run, images = attempt("images", lambda skips: find_images(self._root, skips))
        self.runs.append(run)
        return images or ()

    def _read_processes(self) -> None:
        if not self._settings.processes:
            self.runs.append(_not_run("processes", _SWITCHED_OFF))
        elif not self._root.is_own:
            self.runs.append(_not_run("processes", _NOTHING_RUNS))
        else:
            run, reading = attempt("processes", lambda skips: read_processes(self._running, skips))
            reason = None if reading is None else reading.skipped
            self.runs.append(run if reason is None else replace(run, state=ProbeState.SKIPPED, reason=reason))
            self.processes = None if reading is None else reading.processes


def _container_place(root: Root, one: ContainerRoot) -> Place:
    return Place(root, RootKind.CONTAINER, one.path, container=one.container, evidence=one.evidence)


def _image_place(root: Root, one: ImageRoot) -> Place:
    return Place(
        root,
        RootKind.IMAGE,
        container=one.container,
        created=one.created,
        tags=one.tags,
        evidence=one.evidence,
    )


def _not_run(name: str, reason: str) -> ProbeRun:
    return ProbeRun(name, ProbeState.SKIPPED, 0.0, reason, Skips())


def merge(found: Sequence[RootScan]) -> dict[str, Any]:
    """Return what several roots hold together, as the facts of a host, each in its order."""
    installs = {(one.root, one.path): one for scanned in found for one in scanned.facts.installs.installs}
    copies = {(one.root, one.path): one for scanned in found for one in scanned.facts.copies.copies}
    tools = {(one.root, one.path): one for scanned in found for one in scanned.facts.tools.tools}
    told = {(one.root, one.path, one.tool, one.name): one for scanned in found for one in scanned.facts.tools.settings}
    places = {scanned.place.name: scanned.place for scanned in found}
    builds = {digest: build for scanned in found for digest, build in scanned.facts.builds.items()}
    changelogs = {encode_fact(one)[1]: one for scanned in found for one in scanned.facts.changelogs}
    others = {encode_fact(scanned.facts.platform)[1]: scanned.facts.platform for scanned in found[1:]}
    return {
        "installs": InstallSet(tuple(installs[key] for key in sorted(installs))),
        "builds": dict(sorted(builds.items())),
        "crypto_copies": CryptoCopySet(tuple(copies[key] for key in sorted(copies))),
        "tools": ToolSet(
            tuple(tools[key] for key in sorted(tools)),
            tuple(told[key] for key in sorted(told)),
        ),
        "roots": RootSet(tuple(places[name] for name in sorted(places))),
        "platforms": dict(sorted(others.items())),
        "changelogs": dict(sorted(changelogs.items())),
    }


def merge_runs(found: Sequence[RootScan]) -> Iterator[ProbeResult]:
    """Yield one result per probe for all roots: failed where it failed anywhere, skipped where it never ran."""
    by_name: dict[str, list[tuple[str, ProbeRun]]] = {}
    for number, root in enumerate(found):
        for run in root.runs:
            by_name.setdefault(run.name, []).append(("" if number == 0 else f"{root.place.name}: ", run))
    for name, several_named in by_name.items():
        skips = Skips()
        for prefix, run in several_named:
            skips.take(run.skips, prefix)
        several = [run for _, run in several_named]
        decisive = next(
            (run for state in _DECISIVE for run in several if run.state is state),
            several[0],
        )
        seconds = sum(run.seconds for run in several)
        yield ProbeRun(name, decisive.state, seconds, decisive.reason, skips).result()


def run_probe(name: str, probe: Callable[[ScanContext, Skips], None], context: ScanContext) -> ProbeRun:
    """Run one probe of a root and tell how it ended."""
    return attempt(name, lambda skips: probe(context, skips))[0]


def attempt(name: str, work: Callable[[Skips], T]) -> tuple[ProbeRun, T | None]:
    """Do one probe's work; whatever it raises is its own failure and goes no further. The value is None then."""
    skips = Skips()
    started = time.monotonic()
    state, reason, value = ProbeState.OK, None, None
    try:
        value = work(skips)
    except ProbeSkippedError as error:
        state, reason = ProbeState.SKIPPED, str(error)
    except Exception as error:  # noqa: BLE001 - one failure costs one probe, whatever it is
        _LOG.exception("probe %s failed", name)
        state, reason = ProbeState.FAILED, shown(f"{type(error).__name__}: {error}")[:1000]
    return ProbeRun(name, state, time.monotonic() - started, reason, skips), value


def _add_build(build: Build, builds: dict[str, Build]) -> str:
    digest = encode_fact(build)[1]
    builds[digest] = build
    return digest


def _sorted(evidence: list[Evidence]) -> tuple[Evidence, ...]:
    return tuple(sorted(set(evidence), key=lambda item: item.sort_key))


def _base_install(root: str, one: Interpreter, builds: dict[str, Build]) -> Install:
    return Install(
        root=shown(root),
        path=shown(one.path),
        realpath=shown(one.layout.executable),
        kind=InstallKind.BASE,
        implementation=one.build.implementation,
        installer=one.installer,
        build=_add_build(one.build, builds),
        crypto=one.crypto,
        aliases=tuple(sorted({shown(path) for path in one.aliases})),
        package=one.package,
        evidence=_sorted(one.evidence),
    )


def _environment_install(root: str, one: Environment, builds: dict[str, Build]) -> Install:
    return Install(
        root=shown(root),
        path=shown(one.path),
        realpath=shown(one.realpath),
        kind=InstallKind.VENV,
        implementation=Implementation.UNKNOWN if one.build is None else one.build.implementation,
        installer=one.installer,
        build=None if one.build is None else _add_build(one.build, builds),
        crypto=one.crypto,
        aliases=tuple(sorted({shown(path) for path in one.aliases})),
        base=None if one.base is None else shown(one.base),
        recorded_version=one.recorded_version,
        package=one.package,
        state=one.state,
        evidence=_sorted(one.evidence),
    )
