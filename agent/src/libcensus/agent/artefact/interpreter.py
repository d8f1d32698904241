"""Recognises the interpreter that a folder or an archive is the install of, or a file the main program of.

The scan's own recognisers decide which file is a main program. On this file system they also find its version, its
builder and its modules, where they really lie; in an archive, which has no place yet, the version comes from the texts
in it and from the archive's name.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.agent.elf.loader import LoadedObject
from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import FileState, Root
from libcensus.agent.interpreters import pbs
from libcensus.agent.interpreters.candidate import Candidate, Subject
from libcensus.agent.interpreters.flags import x86_64_level
from libcensus.agent.interpreters.mainprogram import (
    IMPLEMENTATIONS,
    is_interpreter_name,
    recognise_main_program,
)
from libcensus.agent.interpreters.version import parse_patchlevel
from libcensus.agent.packages.database import PackageDatabase
from libcensus.agent.probes.libraries import Libraries
from libcensus.agent.probes.platform import read_os_release
from libcensus.agent.probes.skips import Skips
from libcensus.agent.probes.venvs import parse_pyvenv
from libcensus.facts.vocabulary import Implementation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from libcensus.agent.elf.reader import Elf, Source
    from libcensus.agent.interpreters.candidate import Layout, MainProgram
    from libcensus.facts.package import Package

_INSTALL = re.compile(r"(?:install/|python/|python/install/)?")
"""Where the prefix of an interpreter lies in a folder that is given as its install."""

_PACKED = re.compile(rf"(?:[^/]+/)?{_INSTALL.pattern}")
"""Where it lies in an archive, most of which have one folder on top."""

_SHARED_PREFIXES = frozenset({"/", "/usr", "/usr/local"})
"""Folders that hold much else beside an interpreter."""

_PYVENV_BYTES = 64 << 10
_PYTHONS = frozenset({Implementation.CPYTHON, Implementation.PYPY})
_PREFIX = re.compile(r"(?P<prefix>(?:.*/)?)(?:bin|sbin)/[^/]+", re.DOTALL)
_PATCHLEVEL = re.compile(r"include/(?:python|pypy)(\d\.\d+)[a-z]*/patchlevel\.h")
_NAMED = {
    Implementation.CPYTHON: re.compile(r"(?:c?python)[-_](\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?)(?=[-+_])"),
    Implementation.NODEJS: re.compile(r"node-v(\d+\.\d+\.\d+)-"),
}
_LEVEL = re.compile(r"(?:^|[-_])x86_64_v([234])-")


@dataclass(frozen=True, slots=True)
class MainFile:
    """A file that is an interpreter's main program, by its name in the artefact."""

    name: str
    program: MainProgram

    @property
    def prefix(self) -> str | None:
        """The folder above its ``bin``, with a slash at the end where it is not the top; None outside of a ``bin``."""
        match = _PREFIX.fullmatch(self.name)
        return None if match is None else match["prefix"]


@dataclass(frozen=True, slots=True)
class Install:
    """What an artefact is the install of; ``executable`` is the name of the main program in it."""

    executable: str
    implementation: Implementation
    version: str | None
    x86_64_level: int | None


@dataclass(frozen=True, slots=True)
class Placed:
    """An install where it lies on this file system.

    ``prefix`` is the folder above all of it, None where it shares that with others. ``library`` is the path at which
    the loader finds the library with the interpreter's code; ``modules`` are those of the standard library, and those
    for TLS that others added.
    """

    install: Install
    prefix: str | None
    library: str | None
    modules: tuple[str, ...]


def recognise(name: str, elf: Elf, source: Source) -> MainFile | None:
    """Return the file as a main program, where it has the name of one and is one."""
    base = name.rsplit("/", 1)[-1]
    if not elf.is_executable or not is_interpreter_name(base):
        return None
    for traits in IMPLEMENTATIONS.values():
        if (program := traits.recognise(elf, source, base)) is not None:
            return MainFile(name, program)
    return None


def is_kept(name: str) -> bool:
    """Tell whether the text of an archive's member tells something of an interpreter."""
    return name.endswith("/patchlevel.h") or name.rsplit("/", 1)[-1] == "PYTHON.json"


def _only(mains: list[MainFile]) -> MainFile | None:
    """Return the main program of the one interpreter among several files; a Python counts before what lies beside it.

    None where there are two of a kind: then the whole is more than an install.
    """
    pythons = [main for main in mains if main.program.implementation in _PYTHONS]
    chosen = pythons or mains
    versions = {main.program.version for main in chosen if main.program.version is not None}
    folders = {main.prefix for main in chosen}
    if not chosen or max(len(versions), len(folders)) > 1 or len({main.program.implementation for main in chosen}) > 1:
        return None
    return min(chosen, key=lambda one: (one.program.version is None, len(one.name), one.name))


def installed_in(folder: str, mains: list[MainFile]) -> Install | None:
    """Return the interpreter whose install a folder is; None where it holds none, or several, or more than that."""
    main = _only([main for main in mains if main.prefix is not None and _INSTALL.fullmatch(main.prefix)])
    if main is None:
        return None
    with Root.open("/") as root:
        path = f"{folder.rstrip('/')}/{main.name}"
        try:
            path, status = root.look_up(path)
        except UnreadableError:
            return None
        traits = IMPLEMENTATIONS[main.program.implementation]
        candidate = Candidate(path, FileState.of(status), main.program)
        layout = traits.find_layout(root, candidate, _library(root, path, main.program), Skips())
        if layout.stdlib is None and not main.program.is_certain:
            # It embeds an interpreter, and is none.
            return None
        version, _ = traits.read_version(root, layout, None, layout.library or layout.executable)
        return Install(main.name, layout.implementation, version or layout.version, _level(root, layout, main.program))


def installed_around(path: str) -> Placed | None:
    """Return the install whose main program a file is, by its absolute path; None where it is that of none.

    Raises UnreadableError where the file could not be looked at.
    """
    with Root.open("/") as root:
        skips = Skips()
        candidate = _candidate(root, path)
        if candidate is None:
            return None
        program = candidate.program
        library, real_library = _loaded_library(root, candidate, skips)
        layout = _layout(root, candidate, real_library, skips)
        if not program.is_certain and (layout.stdlib is None or _is_of_another(root, candidate, layout, skips)):
            return None
        if layout.stdlib is None and (base := _base_of_copy(root, candidate)) is not None:
            layout = _layout(root, base, real_library, skips)
        release, _ = read_os_release(root, skips)
        packages = PackageDatabase(root, skips, tuple(one for one in (release.id, *release.id_like) if one))
        package = packages.owner(candidate.path)
        holder = layout.library or candidate.path
        version, _ = IMPLEMENTATIONS[program.implementation].read_version(root, layout, package, holder)
        level = _level(root, layout, program)
        install = Install(candidate.path, program.implementation, version or layout.version, level)
        prefix = None if layout.stdlib is None or layout.prefix in _SHARED_PREFIXES else layout.prefix
        return Placed(install, prefix, library, own_modules(layout, package, packages))


def _candidate(root: Root, path: str) -> Candidate | None:
    """Return a file as an interpreter's main program, whatever its name; raises UnreadableError."""
    real, status = root.look_up(path)
    with root.open_file(real) as file:
        program = recognise_main_program(file, real.rsplit("/", 1)[-1])
    return None if program is None else Candidate(real, FileState.of(status), program)


def _layout(root: Root, candidate: Candidate, library: str | None, skips: Skips) -> Layout:
    return IMPLEMENTATIONS[candidate.program.implementation].find_layout(root, candidate, library, skips)


def _loaded_library(root: Root, candidate: Candidate, skips: Skips) -> tuple[str | None, str | None]:
    """Return where this host's loader finds the library with the interpreter's code: the path, and the real one."""
    libraries = Libraries(root, skips)
    elf = libraries.elf(candidate.path)
    if candidate.program.library is None or elf is None:
        return None, None
    search = libraries.search(elf.arch, elf.interpreter)
    found = search.resolve(candidate.program.library, [LoadedObject(candidate.path, elf)])
    return (None, None) if found.path is None else (found.path, root.realpath(found.path))


def _is_of_another(root: Root, candidate: Candidate, layout: Layout, skips: Skips) -> bool:
    """Tell whether a certain main program beside the standard library owns it: then this one only embeds it."""
    folders = dict.fromkeys((candidate.path.rpartition("/")[0], f"{layout.prefix.rstrip('/')}/bin"))
    return any(
        other.program.is_certain
        and _layout(root, other, _loaded_library(root, other, skips)[1], skips).stdlib == layout.stdlib
        for folder in folders
        for other in _main_programs(root, folder, candidate)
    )


def _base_of_copy(root: Root, candidate: Candidate) -> Candidate | None:
    """Return the interpreter of which a copied one in an environment uses the standard library."""
    folder = candidate.path.rpartition("/")[0]
    for place in (folder, folder.rpartition("/")[0]):
        try:
            home = parse_pyvenv(root.read_text(f"{place}/pyvenv.cfg", _PYVENV_BYTES)).get("home", "")
        except UnreadableError:
            continue
        for base in _main_programs(root, home, candidate) if home.startswith("/") else ():
            versions = {base.program.version, candidate.program.version}
            if len(versions) == 1 or None in versions:
                return base
    return None


def _main_programs(root: Root, folder: str, like: Candidate) -> Iterator[Candidate]:
    """Yield the other main programs of the same implementation in a folder, the one of the same name first."""
    implementation = like.program.implementation
    try:
        names = [name for name in root.listdir(folder) if IMPLEMENTATIONS[implementation].names.fullmatch(name)]
    except UnreadableError:
        return
    for name in sorted(names, key=lambda name: (name != like.path.rpartition("/")[2], name)):
        try:
            other = _candidate(root, f"{folder}/{name}")
        except UnreadableError:
            continue
        if other is not None and other.path != like.path and other.program.implementation is implementation:
            yield other


def own_modules(layout: Layout, package: Package | None, packages: PackageDatabase) -> tuple[str, ...]:
    """Return the modules of the standard library, without what another package put there; those for TLS all count."""
    owners = packages.owners(layout.modules)
    own = [
        path
        for path in layout.modules
        if package is None or ((owner := owners.get(path)) is not None and owner.source == package.source)
    ]
    return tuple(dict.fromkeys((*own, *layout.tls_modules)))


def archived(file: str, mains: list[MainFile], texts: Mapping[str, str]) -> Install | None:
    """Return the interpreter whose install an archive is; ``file`` is the archive's name."""
    main = _only([main for main in mains if main.prefix is not None and _PACKED.fullmatch(main.prefix)])
    if main is None:
        return None
    prefix = main.prefix or ""
    program = main.program
    said = _python_json(texts, prefix)
    version = _archived_version(file, prefix, program, said, texts)
    base = file.rsplit("/", 1)[-1]
    levels = [int(level) for level in _LEVEL.findall(f"{said.get('target_triple', '')} {base}".replace(" ", "-"))]
    return Install(
        main.name,
        program.implementation,
        version or program.version,
        max(levels) if levels and program.arch == "x86_64" else None,
    )


def _archived_version(
    file: str, prefix: str, program: MainProgram, said: Mapping[str, str], texts: Mapping[str, str]
) -> str | None:
    found: list[str | None] = [said.get("python_version")]
    if program.implementation is Implementation.CPYTHON:
        for name, text in sorted(texts.items()):
            match = _PATCHLEVEL.fullmatch(name.removeprefix(prefix))
            if match is not None and program.version in {None, match[1]}:
                found.append(parse_patchlevel(text))
    if (pattern := _NAMED.get(program.implementation)) is not None:
        found += pattern.findall(file.rsplit("/", 1)[-1])
    minor = "" if program.version is None else f"{program.version}."
    return next((version for version in found if version is not None and f"{version}.".startswith(minor)), None)


def _python_json(texts: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Return what python-build-standalone's full archives say, beside their ``install`` folder."""
    for name in (f"{prefix}PYTHON.json", f"{prefix.removesuffix('install/')}PYTHON.json"):
        try:
            data = json.loads(texts.get(name, ""))
        except (ValueError, RecursionError):
            continue
        if isinstance(data, dict):
            return {key: value for key, value in data.items() if isinstance(value, str)}
    return {}


def _library(root: Root, path: str, program: MainProgram) -> str | None:
    """Return where the library with the interpreter's code lies, beside the main program."""
    if program.library is None:
        return None
    prefix = path.rsplit("/", 2)[0]
    for folder in (f"{prefix}/lib", f"{prefix}/lib64"):
        try:
            return root.realpath(f"{folder}/{program.library.rsplit('/', 1)[-1]}")
        except UnreadableError:
            continue
    return None


def _level(root: Root, layout: Layout, program: MainProgram) -> int | None:
    """Return the x86-64 level that the builder says: in its own records, the folder's name, or the compiler's flags."""
    if program.arch != "x86_64":
        return None
    told = x86_64_level(layout.sysconfig)
    levels = [] if told is None else [told[0]]
    claim = pbs.claim(Subject(root, layout, (), None))
    if claim is not None:
        levels += [int(flag.removeprefix("x86-64-v")) for flag in claim.flags if flag.startswith("x86-64-v")]
    return max(levels, default=None)
