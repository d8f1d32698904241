"""What a build or an artefact is held against: a platform prepared for many questions, and the Pythons on it.

A platform that was read on a host lists what its loader finds. A distribution known by name only is coarser: its glibc
is told by number, the few libraries that each installation has are taken to be there, and the rest is unknown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.facts.vocabulary import FileRole, Implementation, InstallKind, LibcFamily, LoaderKind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from libcensus.facts.interpreter import Build, InstallSet
    from libcensus.facts.platform import Platform

HOST_ROOT = "/"

PYTHONS = frozenset({Implementation.CPYTHON, Implementation.PYPY})


@dataclass(frozen=True, slots=True)
class Offer:
    """A platform prepared for many questions.

    With ``is_coarse`` it is that of a distribution known by name: its libc's version is all that is known of its
    libraries, and ``libraries`` is empty.
    """

    platform: Platform
    libraries: Mapping[str, frozenset[str]]
    loader_names: frozenset[str]
    is_coarse: bool = False

    @classmethod
    def of(cls, platform: Platform) -> Offer:
        """Return the platform with its libraries by soname."""
        return cls(
            platform=platform,
            libraries={library.soname: frozenset(library.versions) for library in platform.libraries},
            loader_names=frozenset(path.rsplit("/", 1)[-1] for path in platform.loaders),
        )

    @property
    def glibc_minor(self) -> int | None:
        """N of glibc 2.N, as installers of wheels see it; None for another libc and an unknown version."""
        if self.platform.libc_family is not LibcFamily.GLIBC:
            return None
        return next((n for text in (self.platform.libc_version, self.platform.glibc) if (n := _minor(text))), None)


def _minor(version: str | None) -> int | None:
    match = re.match(r"2\.(\d{1,5})(?:\D|$)", version or "", re.ASCII)
    return int(match[1]) if match else None


@dataclass(frozen=True, slots=True, order=True)
class OfferedPython:
    """A Python for which a wheel could be installed on a host.

    ``version`` is that of the language (a PyPy 7.3.17 may be a 3.10); ``abiflags`` are those of ``t`` (free-threaded)
    and ``d`` (debug) that apply; ``sonames`` are what its process has loaded of its own (``libpython3.12.so.1.0``).
    ``folders`` are those in which it can be called, sorted; empty where nobody knows.
    """

    implementation: Implementation
    version: str
    arch: str | None
    libc: LibcFamily
    abiflags: str = ""
    sonames: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()


def pythons_of(installs: InstallSet, builds: Mapping[str, Build], root: str = HOST_ROOT) -> frozenset[OfferedPython]:
    """Return the Pythons of one root of a host; ``builds`` by address. Environments follow their bases."""
    found: set[OfferedPython] = set()
    for install in installs.installs:
        build = None if install.build is None else builds.get(install.build)
        if build is None or build.version is None or install.root != root or install.kind is not InstallKind.BASE:
            continue
        if build.implementation in PYTHONS:
            found.add(python_of(build, folders_of((install.path, *install.aliases))))
    return frozenset(found)


def folders_of(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the folders in which a program with these paths can be called."""
    return tuple(sorted({path.rpartition("/")[0] or "/" for path in paths}))


def python_of(build: Build, folders: tuple[str, ...] = ()) -> OfferedPython:
    """Return a build of Python as wheels see it, and environments, which look for it in its folders."""
    kinds = {
        file.requirement.loader_kind
        for file in build.files
        if file.role is FileRole.EXECUTABLE and file.requirement is not None
    }
    return offered_python(build.implementation, build.version, build.flags, build.arch, kinds, build.sonames, folders)


def offered_python(
    implementation: Implementation,
    version: str | None,
    flags: Collection[str],
    arch: str | None,
    kinds: Collection[LoaderKind],
    sonames: Iterable[str],
    folders: tuple[str, ...] = (),
) -> OfferedPython:
    """Return a Python as wheels see it; ``kinds`` are those of its executables' loaders."""
    # PyPy's own version says nothing about the language.
    spoken = next((flag.removeprefix("python-") for flag in flags if flag.startswith("python-")), None)
    marks = "".join(mark for mark, flag in (("t", "free-threaded"), ("d", "debug")) if flag in flags)
    libc = LibcFamily.UNKNOWN
    if LoaderKind.MUSL in kinds:
        libc = LibcFamily.MUSL
    elif LoaderKind.GLIBC in kinds:
        libc = LibcFamily.GLIBC
    return OfferedPython(implementation, spoken or version or "", arch, libc, marks, tuple(sorted(sonames)), folders)
