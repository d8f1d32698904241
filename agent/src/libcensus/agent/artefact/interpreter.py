"""Recognises the interpreter that a folder or an archive is the install of, and what it says of itself.

The scan's own recognisers decide which file is a main program. In a folder they also find its version and its builder,
where the folder really lies; in an archive, which has no place yet, the version comes from the texts in it and from the
archive's name.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import FileState, Root
from libcensus.agent.interpreters import pbs
from libcensus.agent.interpreters.candidate import Candidate, Subject
from libcensus.agent.interpreters.flags import x86_64_level
from libcensus.agent.interpreters.mainprogram import IMPLEMENTATIONS, is_interpreter_name
from libcensus.agent.interpreters.version import parse_patchlevel
from libcensus.agent.probes.skips import Skips
from libcensus.facts.vocabulary import Implementation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libcensus.agent.elf.reader import Elf, Source
    from libcensus.agent.interpreters.candidate import Layout, MainProgram

_INSTALL = re.compile(r"(?:install/|python/|python/install/)?")
"""Where the prefix of an interpreter lies in a folder that is given as its install."""

_PACKED = re.compile(rf"(?:[^/]+/)?{_INSTALL.pattern}")
"""Where it lies in an archive, most of which have one folder on top."""

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
