"""The builds of a simulated fleet: what each one's files need of a host, as real builds of its kind do.

What a build needs follows from where it was built, as with real ones: python-build-standalone builds on glibc 2.17, a
compiler on glibc 2.N takes the newest version of each function that it knows. The symbols are those that CPython and
Node.js really want of each version. The bytes of files that never were have digests of the plan's own words.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.collector.simulation.systems import LOADERS, glibc_versions, musl_loader
from libcensus.facts.interpreter import Build, BuildFile
from libcensus.facts.requirement import LibraryNeed, RaisedBy, Requirement, version_key
from libcensus.facts.vocabulary import FileRole, Implementation, LibcFamily, LoaderKind, Provider

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SYMBOLS: Mapping[str, Mapping[str, str]] = {
    "libc.so.6": {
        "2.2.5": "__errno_location", "2.3": "__ctype_b_loc", "2.3.2": "epoll_create", "2.3.4": "__printf_chk",
        "2.4": "__stack_chk_fail", "2.6": "sched_getcpu", "2.7": "__isoc99_sscanf", "2.9": "pipe2", "2.10": "preadv",
        "2.13": "prlimit64", "2.14": "memcpy", "2.15": "posix_spawn", "2.16": "getauxval", "2.17": "clock_gettime",
        "2.25": "explicit_bzero", "2.26": "preadv2", "2.27": "copy_file_range", "2.28": "fcntl64",
        "2.32": "pthread_sigmask", "2.33": "fstat64", "2.34": "__libc_start_main", "2.38": "__isoc23_strtol",
    },
    "libm.so.6": {"2.2.5": "floor", "2.29": "pow", "2.35": "hypot", "2.38": "fmod"},
}  # fmt: skip
"""What CPython wants of glibc on x86_64, and one symbol of each version: read in the Pythons of Debian 11 to 13."""

_SSL_VERSION: Mapping[str, str] = {"10": "OPENSSL_1.0.2", "1.1": "OPENSSL_1_1_1", "3": "OPENSSL_3.0.0"}
_LEVEL_FLAG = "x86-64-v"
_SPLIT_BEFORE = 34
"""glibc 2.34 took libpthread, libdl and libutil into libc: what is built there no longer asks for them."""


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """Everything that makes a build: equal plans are one build.

    ``built_on`` is N of the glibc 2.N that it was compiled against, absent with musl; ``origin`` tells builds apart
    that differ in nothing else, such as those of two distributions. ``openssl`` is the generation that its TLS module
    asks the loader for, absent where it is static or there is none. A build that is not readable is one damaged file,
    of which nobody can tell version, architecture and needs.
    """

    implementation: Implementation
    version: str | None
    arch: str | None
    provider: Provider
    provider_build: str | None
    flags: tuple[str, ...]
    built_on: int | None
    origin: str
    openssl: str | None = None
    is_readable: bool = True

    @property
    def sort_key(self) -> tuple[str, ...]:
        """Where it stands among others: the same in every process."""
        return (
            self.implementation,
            self.version or "",
            self.arch or "",
            self.provider,
            self.provider_build or "",
            " ".join(self.flags),
            self.origin,
            str(self.built_on),
            self.openssl or "",
        )

    @property
    def libc(self) -> LibcFamily:
        """The C library that it was built for."""
        if not self.is_readable:
            return LibcFamily.UNKNOWN
        return LibcFamily.MUSL if self.built_on is None else LibcFamily.GLIBC

    @property
    def minor(self) -> str:
        """``3.12`` of 3.12.4, empty where nobody can tell."""
        return ".".join((self.version or "").split(".")[:2])

    @property
    def level(self) -> int:
        """The x86-64 level that it was compiled for; 1 elsewhere."""
        return next((int(flag.removeprefix(_LEVEL_FLAG)) for flag in self.flags if flag.startswith(_LEVEL_FLAG)), 1)

    @property
    def hosts_openssl(self) -> str | None:
        """The generation of OpenSSL that a host must have for its TLS module; conda's lies in a folder of its own."""
        return None if self.provider is Provider.CONDA else self.openssl

    @property
    def has_crypt(self) -> bool:
        """Whether it has the module that Python 3.13 dropped: the one thing in these builds that asks for libcrypt."""
        is_pbs_for_glibc = self.provider is Provider.PBS and self.libc is LibcFamily.GLIBC
        return is_pbs_for_glibc and self.minor in {"3.10", "3.11", "3.12"}

    @property
    def needed_glibc(self) -> int | None:
        """N of the glibc 2.N that a host must have to start it; absent with musl, and where nobody can tell."""
        if self.built_on is None:
            return None
        wanted = {number for numbers in _SYMBOLS.values() for number in numbers}
        return max(minor for number in wanted if (minor := int(number.split(".")[1])) <= self.built_on)


def build_of(plan: BuildPlan) -> Build:
    """Return the build that a plan is."""
    if not plan.is_readable:
        files: tuple[BuildFile, ...] = (_damaged(plan, "bin/python3"),)
    elif plan.implementation is Implementation.NODEJS:
        files = (_file(plan, "bin/node", FileRole.EXECUTABLE, _needs(plan), loads=True),)
    else:
        files = _python_files(plan)
    return Build(
        implementation=plan.implementation,
        version=plan.version,
        arch=plan.arch,
        provider=plan.provider,
        provider_build=plan.provider_build,
        flags=plan.flags,
        files=tuple(sorted(files, key=lambda file: file.path)),
    )


def _python_files(plan: BuildPlan) -> tuple[BuildFile, ...]:
    abi = "t" if "free-threaded" in plan.flags else ""
    name = f"{plan.minor}{abi}"
    suffix = (
        f"cpython-{plan.minor.replace('.', '')}{abi}-{plan.arch}-linux-{'musl' if plan.built_on is None else 'gnu'}"
    )
    modules = f"lib/python{name}/lib-dynload"
    files = [_file(plan, f"bin/python{name}", FileRole.EXECUTABLE, _needs(plan), loads=True)]
    if plan.openssl is not None:
        needs = {f"libssl.so.{plan.openssl}": (_SSL_VERSION[plan.openssl],), f"libcrypto.so.{plan.openssl}": ()}
        files.append(_file(plan, f"{modules}/_ssl.{suffix}.so", FileRole.MODULE, needs | _libc(plan, ("2.4",))))
    if plan.has_crypt:
        needs = {"libcrypt.so.1": _glibc(plan, ("2.2.5",))}
        files.append(_file(plan, f"{modules}/_crypt.{suffix}.so", FileRole.MODULE, needs | _libc(plan, ("2.2.5",))))
    return tuple(files)


def _libc(plan: BuildPlan, numbers: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    if plan.built_on is None:
        # Alpine's own programs name musl as Alpine does, others as musl itself.
        return {"libc.so" if plan.provider is Provider.PBS else f"libc.musl-{plan.arch}.so.1": ()}
    return {"libc.so.6": _glibc(plan, numbers)}


def _glibc(plan: BuildPlan, numbers: Iterable[str]) -> tuple[str, ...]:
    """Return the versions among these numbers that were there when it was compiled."""
    if plan.arch is None or plan.built_on is None:
        raise AssertionError(f"nothing tells which glibc {plan} was compiled against")
    return glibc_versions(plan.arch, numbers, plan.built_on)


def _needs(plan: BuildPlan) -> dict[str, tuple[str, ...]]:
    """Return what the executable needs, by soname."""
    if plan.built_on is None:
        return _libc(plan, ())
    needs = {name: _glibc(plan, numbers) for name, numbers in _SYMBOLS.items()}
    if plan.built_on < _SPLIT_BEFORE:
        needs["libpthread.so.0"] = _glibc(plan, ("2.2.5", "2.3.3"))
        needs["libdl.so.2"] = needs["libutil.so.1"] = _glibc(plan, ("2.2.5",))
    if plan.implementation is Implementation.NODEJS:
        needs |= {"libstdc++.so.6": ("CXXABI_1.3.9", "GLIBCXX_3.4.21"), "libgcc_s.so.1": ("GCC_3.4",)}
    elif plan.provider is Provider.DISTRO:
        needs |= {"libz.so.1": ("ZLIB_1.2.0",), "libexpat.so.1": ()}
    return needs


def _file(
    plan: BuildPlan, path: str, role: FileRole, needs: Mapping[str, tuple[str, ...]], *, loads: bool = False
) -> BuildFile:
    loader = None
    if loads and plan.arch is not None:
        loader = musl_loader(plan.arch) if plan.built_on is None else LOADERS[plan.arch]
    musl = plan.built_on is None
    return BuildFile(
        path=path,
        role=role,
        sha256=_digest(plan, path),
        size=_SIZES[role],
        requirement=Requirement(
            arch=plan.arch,
            loader=loader,
            loader_kind=LoaderKind.MUSL if musl else LoaderKind.GLIBC,
            needs=tuple(LibraryNeed(name, tuple(sorted(needs[name]))) for name in sorted(needs) if needs[name]),
            sonames=tuple(sorted(needs)),
            raised_by=tuple(sorted(_raised(path, name, versions) for name, versions in needs.items() if versions)),
            x86_64_level=plan.level if plan.arch == "x86_64" and not musl else None,
            kernel=None if musl else ("3.2.0" if plan.arch == "x86_64" else "3.7.0"),
        ),
    )


def _damaged(plan: BuildPlan, path: str) -> BuildFile:
    return BuildFile(path, FileRole.EXECUTABLE, _digest(plan, path), _SIZES[FileRole.EXECUTABLE])


def _digest(plan: BuildPlan, path: str) -> str:
    return hashlib.sha256(f"{plan!r} {path}".encode()).hexdigest()


_SIZES: Mapping[FileRole, int] = {FileRole.EXECUTABLE: 6_800_000, FileRole.MODULE: 180_000}


def _raised(path: str, soname: str, versions: tuple[str, ...]) -> RaisedBy:
    highest = max(versions, key=version_key)
    return RaisedBy(highest, soname, path, _SYMBOLS.get(soname, {}).get(highest.removeprefix("GLIBC_"), ""))
