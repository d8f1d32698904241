"""Whether a file, a build or an artefact runs on a platform, with every reason why not.

What stops the start is told apart from what only stops a module that is opened later. What the platform does not tell
makes a verdict unknown, not blocked and not fine. What an obstacle is stands in :mod:`.obstacle`, which Python a wheel
can be installed for in :mod:`.wheel`, and what would run instead in :mod:`.advice`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from libcensus.collector.posture.obstacle import obstacles, reads_notes
from libcensus.collector.posture.offer import Offer
from libcensus.collector.posture.verdict import PortabilityState, Reason, ReasonKind, Verdict
from libcensus.collector.posture.wheel import installing
from libcensus.facts.requirement import version_key
from libcensus.facts.vocabulary import ArtefactKind, FileRole, LibcFamily, LoaderKind, Provider

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from libcensus.collector.posture.advice import Advice
    from libcensus.collector.posture.offer import OfferedPython
    from libcensus.facts.artefact import Artefact, ArtefactFile
    from libcensus.facts.interpreter import Build, BuildFile
    from libcensus.facts.platform import Platform
    from libcensus.facts.requirement import Requirement

_OWN_LIBRARIES = frozenset({Provider.CONDA, Provider.NIX, Provider.SNAP})
"""Providers whose builds bring a folder of libraries that is no part of the interpreter's build."""

_STARTED = frozenset(
    {ArtefactKind.EXECUTABLE, ArtefactKind.INTERPRETER, ArtefactKind.FOLDER, ArtefactKind.ARCHIVE, ArtefactKind.UNKNOWN}
)
"""Artefacts whose executables are what somebody wants to start."""

_HOSTED = frozenset({ArtefactKind.ENVIRONMENT, ArtefactKind.ZIPAPP})
"""Artefacts that a Python of the host starts: what does not load in it is missing there, and the rest runs."""

_MODULE = re.compile(r"(?:.*/)?([^/]+?)(?:\.(?:cpython|pypy|abi)[^/]*)?\.so(?:\.[\d.]+)?")


def check(
    requirement: Requirement,
    platform: Platform | Offer,
    *,
    module: str | None = None,
    file: str | None = None,
    brought: frozenset[str] = frozenset(),
    own_folders: bool = False,
) -> Verdict:
    """Return whether what the requirement is of starts on the platform, with every reason in documented order.

    ``brought`` are the sonames that travel with it, ``file`` its name where no symbol tells it, and ``own_folders``
    says that it has library folders of its own that nobody listed. With ``module`` the same obstacles degrade that
    module instead of stopping the start.
    """
    offer = platform if isinstance(platform, Offer) else Offer.of(platform)
    found = obstacles(requirement, offer, brought, own_folders=own_folders or _has_own_folders(requirement))
    reasons = _in_order(replace(reason, file=reason.file or file, module=module) for reason in found)
    if module is not None:
        return Verdict(PortabilityState.RUNS, (), reasons)
    return Verdict(_state(reasons), reasons)


def check_build(build: Build, platform: Platform | Offer) -> Verdict:
    """Return whether a build starts on the platform, and which of its modules would not load there.

    What stops the start are the needs of its executables and of the libraries that they bring; the needs of an
    extension module, and of a library that only modules use, degrade that module.
    """
    offer = platform if isinstance(platform, Offer) else Offer.of(platform)
    return check_parts(BuildParts.of(build), offer)


@dataclass(frozen=True, slots=True)
class BuildParts:
    """A build's files as the start needs them; ``unread`` is the obstacle where not one executable could be read.

    ``brought`` are the names by which its own libraries are found; ``own_folders`` says that it has library folders
    that nobody listed.
    """

    starting: tuple[BuildFile, ...]
    modules: tuple[BuildFile, ...]
    brought: frozenset[str]
    own_folders: bool
    unread: Reason | None

    @classmethod
    def of(cls, build: Build) -> BuildParts:
        """Return the parts of a build."""
        starting, modules = split_by_start(build)
        # The loader also finds a library by the name of its file.
        names = {file.path.rsplit("/", 1)[-1] for file in build.files if file.role is FileRole.LIBRARY}
        is_read = any(file.requirement is not None for file in starting)
        return cls(
            starting,
            modules,
            frozenset(build.sonames | names),
            build.provider in _OWN_LIBRARIES,
            None if is_read else _unread(build),
        )


def check_parts(parts: BuildParts, offer: Offer) -> Verdict:
    """Return whether the parts of a build start on the platform, and which modules would not load there."""
    if parts.unread is not None:
        return Verdict(PortabilityState.UNKNOWN, (parts.unread,))
    brought, own_folders = parts.brought, parts.own_folders
    stops: list[Reason] = []
    for file in parts.starting:
        if file.requirement is None:
            stops.append(Reason(ReasonKind.REQUIREMENT, needs="a file that could be read", file=file.path, known=False))
            continue
        verdict = check(file.requirement, offer, file=file.path, brought=brought, own_folders=own_folders)
        stops.extend(verdict.reasons)
    known = {_identity(reason) for reason in stops}
    degraded: list[Reason] = []
    for file in parts.modules:
        if file.requirement is not None:
            name = _module_name(file.path)
            verdict = check(
                file.requirement, offer, module=name, file=file.path, brought=brought, own_folders=own_folders
            )
            degraded.extend(reason for reason in verdict.degraded if _identity(reason) not in known)
    reasons = _in_order(stops)
    return Verdict(_state(reasons), reasons, _in_order(reason for reason in degraded if reason.known))


def check_artefact(
    artefact: Artefact,
    offer: Offer,
    pythons: Collection[OfferedPython] | None = None,
    advice: Advice | None = None,
) -> Verdict:
    """Return whether an artefact can be installed on the platform and starts there.

    ``pythons`` are those that the host has, None where nobody knows: then no Python is asked for. ``advice`` finds
    what would run instead, for the remedies.

    With executables (a program, an interpreter, a folder, an archive) what keeps one of them from starting blocks, and
    what keeps a file from loading that none of them needs to start degrades. Environments and zip applications are
    started by the host's Python, so that only their modules can be missing. Everything else (a wheel, a library) is
    there for its modules: it is blocked when none would load, or when one wants another machine, kernel or symbol
    version than the host has; a library that is missing for some of them degrades, as plugins want what few hosts have.
    """
    refused, fitting = installing(artefact, offer, pythons)
    files = check_files(artefact, offer, frozenset(soname for python in fitting for soname in python.sonames), advice)
    return with_refusals(refused, files)


def check_files(
    artefact: Artefact, offer: Offer, loaded: frozenset[str] = frozenset(), advice: Advice | None = None
) -> Verdict:
    """Return whether an artefact's files would load on the platform, whatever an installer says.

    ``loaded`` are the sonames that the Python which opens them has loaded.
    """
    files = _files_for(artefact.files, offer.platform)
    stops: list[Reason] = []
    opens: list[Reason] = []
    if files:
        stops, opens = _Judged(artefact, files, offer, loaded).verdict()
    elif not asks_for_a_python(artefact):
        stops = [Reason(ReasonKind.REQUIREMENT, needs="an ELF file to judge by", known=False)]
    if advice is not None:
        stops = [advice.improved(reason, artefact, offer) for reason in stops]
    reasons = _in_order(stops)
    return Verdict(_state(reasons), reasons, _in_order(opens))


def with_refusals(refused: Iterable[Reason], files: Verdict) -> Verdict:
    """Return the verdict on files together with what keeps an installer from installing them."""
    reasons = _in_order((*refused, *files.reasons))
    known = {_identity(reason) for reason in reasons if reason.known}
    opens = tuple(reason for reason in files.degraded if _identity(reason) not in known)
    return Verdict(_state(reasons), reasons, opens)


class _Judged:
    """The files of one artefact on one platform, each with everything that it maps."""

    def __init__(
        self, artefact: Artefact, files: tuple[ArtefactFile, ...], offer: Offer, loaded: frozenset[str]
    ) -> None:
        self._artefact = artefact
        self._offer = offer
        self._files = {file.path: file for file in files}
        self._loaded = loaded
        self._own: dict[tuple[bool, str], list[Reason]] = {}

    def verdict(self) -> tuple[list[Reason], list[Reason]]:
        """Return what stops the artefact, and what its parts would miss."""
        executables = [file for file in self._files.values() if self._is_started(file)]
        if executables:
            started = {file.path: file for root in executables for file in self._closure(root)}
            stops = [reason for file in started.values() for reason in self._obstacles(file, surely=True)]
            rest = [file for path, file in self._files.items() if path not in started]
            return stops, [reason for root in self._roots(rest) for reason in self._missing(root)]
        roots = self._roots(list(self._files.values()))
        missing = {root.path: self._missing(root) for root in roots}
        everything = [reason for reasons in missing.values() for reason in reasons]
        if self._artefact.kind in _HOSTED:
            return [], everything
        if all(any(reason.known for reason in reasons) for reasons in missing.values()):
            stops = [reason for reason in everything if reason.known]
        else:
            stops = [reason for reason in everything if reason.known and reason.kind is not ReasonKind.SONAME]
        stops += [reason for reason in everything if not reason.known]
        stopping = set(map(id, stops))
        return (
            [replace(reason, module=None) for reason in stops],
            [reason for reason in everything if id(reason) not in stopping],
        )

    def _is_started(self, file: ArtefactFile) -> bool:
        return file.role is FileRole.EXECUTABLE and self._artefact.kind in _STARTED

    def _roots(self, files: list[ArtefactFile]) -> list[ArtefactFile]:
        """Return the files that no other one of them maps: each is opened by itself."""
        mapped = {path for file in files for path in file.uses if path != file.path}
        # Two libraries that map each other are no less opened by somebody.
        return [file for file in files if file.path not in mapped or file.role is not FileRole.LIBRARY] or files

    def _closure(self, root: ArtefactFile) -> Iterator[ArtefactFile]:
        """Yield the file and every file of the artefact that the loader maps for it."""
        seen = {root.path}
        pending = [root]
        while pending:
            file = pending.pop()
            yield file
            for path in file.uses:
                # A file for another machine or libc was left out of the question.
                if path not in seen and path in self._files:
                    seen.add(path)
                    pending.append(self._files[path])

    def _missing(self, root: ArtefactFile) -> list[Reason]:
        name = _module_name(root.path)
        surely = root.role is FileRole.EXECUTABLE
        return [
            replace(reason, module=name)
            for file in self._closure(root)
            for reason in self._obstacles(file, surely=surely)
        ]

    def _obstacles(self, file: ArtefactFile, *, surely: bool) -> list[Reason]:
        """Return a file's own obstacles; not ``surely`` where something else may have loaded stray libraries before."""
        key = surely, file.path
        if key not in self._own:
            stray = frozenset() if surely else frozenset(file.stray)
            requirement = file.requirement
            # What the loader maps of the artefact is there, whatever versions the artefact's own library lacks.
            carried = frozenset(path.rsplit("/", 1)[-1] for path in file.uses)
            found = obstacles(
                requirement,
                self._offer,
                self._loaded | carried,
                own_folders=_has_own_folders(requirement),
                stray=stray,
            )
            found += _lacking(requirement, carried)
            # The kernel starts executables alone; a library with a loader's name in it is opened like any other.
            self._own[key] = [
                replace(reason, file=reason.file or file.path)
                for reason in found
                if file.role is FileRole.EXECUTABLE or self._hinders_opening(reason)
            ]
        return self._own[key]

    def _hinders_opening(self, reason: Reason) -> bool:
        """Tell whether an obstacle is one of a library too; without DT_NEEDED one looks like a static program."""
        if reason.kind is ReasonKind.KERNEL:
            return reads_notes(self._offer.platform)
        return reason.kind is not ReasonKind.LOADER


def _lacking(requirement: Requirement, carried: frozenset[str]) -> list[Reason]:
    """Return the versions that are wanted of the artefact's own libraries and not defined there: on no host either."""
    return [
        Reason(
            ReasonKind.SYMBOL_VERSION,
            needs=version,
            library=need.soname,
            remedy=f"bring the {need.soname} along that it was built against",
        )
        for need in requirement.needs
        if need.soname.rsplit("/", 1)[-1] in carried
        for version in need.versions
    ]


def asks_for_a_python(artefact: Artefact) -> bool:
    """Tell whether a Python of the host starts the artefact: then no ELF file of its own is needed."""
    return bool(artefact.tags) or artefact.requires_python is not None or artefact.kind in _HOSTED


def _files_for(files: tuple[ArtefactFile, ...], platform: Platform) -> tuple[ArtefactFile, ...]:
    """Return the files that are meant for the platform's machine and libc, where there are such; else all."""
    meant = tuple(file for file in files if file.requirement.arch == platform.arch) or files
    families = {file.path: _libc_of(file.requirement) for file in meant}
    if platform.libc_family not in families.values():
        return meant
    return tuple(file for file in meant if families[file.path] in {None, platform.libc_family})


def _libc_of(requirement: Requirement) -> LibcFamily | None:
    """Return the libc that a file is linked to, None for a static file or one that names none."""
    if requirement.loader_kind is LoaderKind.MUSL:
        return LibcFamily.MUSL
    if "libc.so.6" in requirement.sonames:
        return LibcFamily.GLIBC
    if any(soname == "libc.so" or soname.startswith("libc.musl-") for soname in requirement.sonames):
        return LibcFamily.MUSL
    return LibcFamily.GLIBC if requirement.loader_kind is LoaderKind.GLIBC else None


def split_by_start(build: Build) -> tuple[tuple[BuildFile, ...], tuple[BuildFile, ...]]:
    """Return the files that must load for the build to start, and those that only a module needs.

    A library counts to the start unless modules are the only files that want it.
    """
    by_soname = {file.path.rsplit("/", 1)[-1]: file for file in build.files if file.role is FileRole.LIBRARY}
    by_soname.update({file.soname: file for file in build.files if file.soname is not None})

    def reached(roots: Iterable[BuildFile]) -> set[str]:
        seen: set[str] = set()
        pending = list(roots)
        while pending:
            wanted = pending.pop().requirement
            for soname in () if wanted is None else wanted.sonames:
                target = by_soname.get(soname.rsplit("/", 1)[-1])
                if target is not None and target.path not in seen:
                    seen.add(target.path)
                    pending.append(target)
        return seen

    by_start = reached(file for file in build.files if file.role is FileRole.EXECUTABLE)
    by_module = reached(file for file in build.files if file.role is FileRole.MODULE)
    starting: list[BuildFile] = []
    modules: list[BuildFile] = []
    for file in build.files:
        starts = file.role is FileRole.EXECUTABLE or file.path in by_start
        if file.role is FileRole.LIBRARY:
            starts = starts or file.path not in by_module
        (starting if starts else modules).append(file)
    return tuple(starting), tuple(modules)


def _unread(build: Build) -> Reason:
    what = "an executable that could be read" if build.files else "files that could be read"
    return Reason(ReasonKind.REQUIREMENT, needs=what, known=False)


def _module_name(path: str) -> str:
    match = _MODULE.fullmatch(path)
    return match[1] if match else path.rsplit("/", 1)[-1]


def _identity(reason: Reason) -> tuple[ReasonKind, str | None, str]:
    return reason.kind, reason.library, reason.needs


def _in_order(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """Return the reasons in documented order; of equal obstacles (of one module) the first file's is kept."""
    kept: dict[tuple[object, ...], Reason] = {}
    for reason in reasons:
        kept.setdefault((*_identity(reason), reason.known, reason.module), reason)
    # Of one library's versions the highest decides, so it comes first.
    by_need = sorted(kept.values(), key=lambda reason: version_key(reason.needs), reverse=True)
    return tuple(sorted(by_need, key=_sort_key))


def _sort_key(reason: Reason) -> tuple[object, ...]:
    return reason.kind.rank, not reason.known, reason.module or "", reason.library or ""


def _state(reasons: tuple[Reason, ...]) -> PortabilityState:
    if any(reason.known for reason in reasons):
        return PortabilityState.BLOCKED
    return PortabilityState.UNKNOWN if reasons else PortabilityState.RUNS


def _has_own_folders(requirement: Requirement) -> bool:
    """Tell whether the loader would look into folders that a platform doesn't list; ``$ORIGIN`` ones are brought."""
    return any(not path.startswith(("$ORIGIN", "${ORIGIN}")) for path in requirement.runpath)
