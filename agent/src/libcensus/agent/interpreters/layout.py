"""Finds the parts of a CPython around its main program: prefix, standard library, libpython, build variables.

It follows CPython's own search (``Modules/getpath.py``): from the executable's folder upwards for the landmark
``lib/pythonX.Y/os.py``. It refuses to take a standard library of another version.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from libcensus.agent.errors import UnreadableError
from libcensus.agent.interpreters.candidate import Layout
from libcensus.agent.interpreters.sysconfig import parse_sysconfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from libcensus.agent.host import Root
    from libcensus.agent.interpreters.candidate import Candidate
    from libcensus.agent.probes.skips import Skips

_LIBRARY_FOLDERS = ("lib", "lib64", "lib32")
_MOST_LEVELS = 4
_STDLIB = re.compile(r"python(\d\.\d+)([a-z]*)")
_TRIPLET = re.compile(r"[a-z0-9_]+-linux-[a-z0-9_]+")
_TLS_MODULES = (re.compile(r".*/_ssl\b[^/]*\.so", re.DOTALL), re.compile(r".*/_hashlib\b[^/]*\.so", re.DOTALL))
"""Of these the first is asked first."""


def parents(path: str) -> Iterator[str]:
    """Yield the folders above a path, nearest first; the root is the empty text."""
    while path:
        path = path.rpartition("/")[0]
        yield path


def prefix_of(executable: str) -> str:
    """Return the folder that an executable's relative paths start from: the one above its ``bin``."""
    folder = executable.rpartition("/")[0]
    return (folder.rpartition("/")[0] if folder.endswith(("/bin", "/sbin")) else folder) or "/"


def multiarch_folders(root: Root, base: str) -> list[str]:
    """Return the folders below ``base`` that are named as Debian names those of one architecture."""
    try:
        return [f"{base}/{name}" for name in root.listdir(base) if _TRIPLET.fullmatch(name)]
    except UnreadableError:
        return []


def find_layout(root: Root, candidate: Candidate, libpython: str | None, skips: Skips) -> Layout:
    """Return where a candidate's parts lie; ``libpython`` is the library that the loader finds for it."""
    program = candidate.program
    starts = [candidate.path] if libpython is None else [candidate.path, libpython]
    found: tuple[str, str, str, str] | None = None
    for start in starts:
        for level, folder in enumerate(parents(start)):
            if level >= _MOST_LEVELS:
                break
            found = _landmark(root, folder, program.version, program.abiflags)
            if found is not None:
                break
        if found is not None:
            break
    if found is None:
        prefix = prefix_of(candidate.path)
        return Layout(prefix, candidate.path, libpython, None, program.version, program.abiflags, {}, None)
    prefix, stdlib, version, abiflags = found
    abiflags = abiflags or program.abiflags
    file, values = _read_sysconfig(root, stdlib, abiflags, skips)
    there = _modules(root, stdlib)
    modules = _loadable(there, values)
    tls = _tls_modules(modules) or _tls_modules(there)
    return Layout(
        prefix or "/",
        candidate.path,
        libpython,
        stdlib,
        program.version or version,
        abiflags,
        values,
        file,
        modules=modules,
        tls_modules=tls,
        tls_places=(f"{stdlib}/lib-dynload",),
    )


def _modules(root: Root, stdlib: str) -> tuple[str, ...]:
    """Return the extension modules of the standard library, sorted."""
    folder = f"{stdlib}/lib-dynload"
    try:
        real = root.realpath(folder)
        return tuple(f"{real}/{name}" for name in root.listdir(folder) if name.endswith(".so"))
    except UnreadableError:
        return ()


def _loadable(modules: tuple[str, ...], sysconfig: Mapping[str, str]) -> tuple[str, ...]:
    """Return the modules that a build of these variables can load, by their suffix."""
    suffix = sysconfig.get("EXT_SUFFIX")
    if suffix is None or suffix == ".so":
        return modules
    return tuple(
        path
        for path in modules
        if path.endswith((suffix, ".abi3.so")) or "." not in path.rpartition("/")[2].removesuffix(".so")
    )


def _tls_modules(modules: tuple[str, ...]) -> tuple[str, ...]:
    """Return the first ``_ssl`` and the first ``_hashlib``."""
    found = (next((path for path in modules if pattern.fullmatch(path)), None) for pattern in _TLS_MODULES)
    return tuple(path for path in found if path is not None)


def _landmark(root: Root, folder: str, version: str | None, abiflags: str) -> tuple[str, str, str, str] | None:
    """Return prefix, standard library, version and flags when the landmark stands below ``folder``."""
    for library in _LIBRARY_FOLDERS:
        base = f"{folder}/{library}"
        if version is not None:
            names = [f"python{version}{abiflags}", f"python{version}"] if abiflags == "t" else [f"python{version}"]
        else:
            try:
                names = [name for name in root.listdir(base) if _STDLIB.fullmatch(name)]
            except UnreadableError:
                continue
            names = [name for name in names if root.is_file(f"{base}/{name}/os.py")]
            if len(names) != 1:
                continue
        for name in names:
            match = _STDLIB.fullmatch(name)
            if match is not None and root.is_file(f"{base}/{name}/os.py"):
                return folder, f"{base}/{name}", match[1], match[2]
    return None


def _read_sysconfig(root: Root, stdlib: str, abiflags: str, skips: Skips) -> tuple[str | None, dict[str, str]]:
    """Read the module that this build would import: the one whose name carries its flags."""
    try:
        names = [n for n in root.listdir(stdlib) if n.startswith("_sysconfigdata") and n.endswith(".py")]
    except UnreadableError as error:
        skips.add_error(error)
        return None, {}
    flags = abiflags.replace("m", "")
    wanted = f"_sysconfigdata_{abiflags}_"
    for name in sorted(names, key=lambda name: (not name.startswith(wanted), name)):
        if not flags and re.match(r"_sysconfigdata_[dtu]+_", name):
            continue
        try:
            values = parse_sysconfig(root.read_text(f"{stdlib}/{name}"))
        except UnreadableError as error:
            skips.add_error(error)
            continue
        if values is not None:
            return f"{stdlib}/{name}", values
    return None, {}
