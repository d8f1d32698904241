"""What the systems of a simulated fleet offer: libraries with their symbol versions, paths, packages.

The symbol versions are those that Debian's libraries define (read in the files of Debian 11, 12 and 13 on x86_64, and
of 13 on aarch64), each with the first glibc whose distributions have it. So a host with glibc 2.N defines what such a
host really does, the gaps too: there is no ``GLIBC_2.37``. What a distribution itself ported back is not modelled.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cmp_to_key
from typing import TYPE_CHECKING

from libcensus.collector.posture.distribution import find_distribution
from libcensus.collector.posture.finding import Component
from libcensus.collector.posture.ordering import is_at_least
from libcensus.collector.simulation.shares import SYSTEMS, System
from libcensus.facts.package import Package
from libcensus.facts.platform import Platform, PlatformLibrary
from libcensus.facts.requirement import glibc_number
from libcensus.facts.vocabulary import LibcFamily, PackageOrigin

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    from libcensus.collector.posture.catalogue import Catalogue, PackageFixes

LOADERS: Mapping[str, str] = {"x86_64": "/lib64/ld-linux-x86-64.so.2", "aarch64": "/lib/ld-linux-aarch64.so.1"}

_GLIBC: Mapping[str, str] = {
    "libc.so.6": (
        "2.2.5 2.2.6 2.3 2.3.2 2.3.3 2.3.4 2.4 2.5 2.6 2.7 2.8 2.9 2.10 2.11 2.12 2.13 2.14 2.15 2.16 2.17 2.18 2.22 "
        "2.23 2.24 2.25 2.26 2.27 2.28 2.29 2.30 2.31 2.32 2.33 2.34 2.35 2.36 2.38 2.39 2.41 2.42 2.43"
    ),
    "libm.so.6": (
        "2.2.5 2.4 2.15 2.18 2.23 2.24 2.25 2.26 2.27 2.28 2.29 2.31 2.32 2.35 2.38 2.39 2.40 2.41 2.42 2.43"
    ),
    "libpthread.so.0": "2.2.5 2.2.6 2.3.2 2.3.3 2.3.4 2.4 2.11 2.12 2.18 2.28 2.30 2.31",
    "libdl.so.2": "2.2.5 2.3.3 2.3.4",
    "librt.so.1": "2.2.5 2.3.3 2.3.4 2.4 2.7",
    "libutil.so.1": "2.2.5",
    "libresolv.so.2": "2.2.5 2.3.2 2.9",
}
"""The ``GLIBC_`` versions of glibc's own libraries on x86_64; an architecture that came later begins with its first."""

_FIRST_GLIBC: Mapping[str, tuple[int, ...]] = {"x86_64": (2, 2, 5), "aarch64": (2, 17)}
_DT_RELR_SINCE = 36

_OTHERS: Mapping[str, Mapping[int, str]] = {
    "libstdc++.so.6": {
        17: (
            "GLIBCXX_3.4 GLIBCXX_3.4.1 GLIBCXX_3.4.2 GLIBCXX_3.4.3 GLIBCXX_3.4.4 GLIBCXX_3.4.5 GLIBCXX_3.4.6 "
            "GLIBCXX_3.4.7 GLIBCXX_3.4.8 GLIBCXX_3.4.9 GLIBCXX_3.4.10 GLIBCXX_3.4.11 GLIBCXX_3.4.12 GLIBCXX_3.4.13 "
            "GLIBCXX_3.4.14 GLIBCXX_3.4.15 GLIBCXX_3.4.16 GLIBCXX_3.4.17 GLIBCXX_3.4.18 GLIBCXX_3.4.19 CXXABI_1.3 "
            "CXXABI_1.3.1 CXXABI_1.3.2 CXXABI_1.3.3 CXXABI_1.3.4 CXXABI_1.3.5 CXXABI_1.3.6 CXXABI_1.3.7 CXXABI_TM_1"
        ),
        28: (
            "GLIBCXX_3.4.20 GLIBCXX_3.4.21 GLIBCXX_3.4.22 GLIBCXX_3.4.23 GLIBCXX_3.4.24 GLIBCXX_3.4.25 CXXABI_1.3.8 "
            "CXXABI_1.3.9 CXXABI_1.3.10 CXXABI_1.3.11 CXXABI_FLOAT128"
        ),
        31: "GLIBCXX_3.4.26 GLIBCXX_3.4.27 GLIBCXX_3.4.28 CXXABI_1.3.12",
        34: "GLIBCXX_3.4.29 CXXABI_1.3.13",
        35: "GLIBCXX_3.4.30",
        38: "GLIBCXX_3.4.31 GLIBCXX_3.4.32 GLIBCXX_3.4.33 CXXABI_1.3.14 CXXABI_1.3.15",
    },
    "libgcc_s.so.1": {
        17: "GCC_3.0 GCC_3.3 GCC_3.3.1 GCC_3.4 GCC_3.4.2 GCC_3.4.4 GCC_4.0.0 GCC_4.2.0 GCC_4.3.0 GCC_4.7.0 GCC_4.8.0",
        28: "GCC_7.0.0",
        35: "GCC_12.0.0",
        39: "GCC_13.0.0 GCC_14.0.0",
    },
    "libz.so.1": {
        17: (
            "ZLIB_1.2.0 ZLIB_1.2.0.2 ZLIB_1.2.0.8 ZLIB_1.2.2 ZLIB_1.2.2.3 ZLIB_1.2.2.4 ZLIB_1.2.3.3 ZLIB_1.2.3.4 "
            "ZLIB_1.2.3.5 ZLIB_1.2.5.1 ZLIB_1.2.5.2 ZLIB_1.2.7.1"
        ),
        28: "ZLIB_1.2.9",
        36: "ZLIB_1.2.12",
    },
    "libexpat.so.1": {17: ""},
    "liblzma.so.5": {17: "XZ_5.0", 31: "XZ_5.2"},
    "libsqlite3.so.0": {17: ""},
}
"""The other libraries that every one of the systems has, by the first glibc minor whose distributions define them."""

_SSL_DEFINES: Mapping[str, str] = {
    "10": "libssl.so.10 OPENSSL_1.0.1 OPENSSL_1.0.1_EC OPENSSL_1.0.2",
    "1.1": "OPENSSL_1_1_0 OPENSSL_1_1_0d OPENSSL_1_1_1 OPENSSL_1_1_1a",
    "3": "OPENSSL_3.0.0 OPENSSL_3.2.0 OPENSSL_3.3.0 OPENSSL_3.4.0 OPENSSL_3.5.0",
}
"""What ``libssl`` of each soname defines; of 3, as far as the branch that is installed."""

_UPSTREAM = re.compile(r"(?:\d+:)?(\d+\.\d+\.\d+[a-z]?)")
_DPKG_ARCH = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class OpensslPackage:
    """One version of a system's OpenSSL package: what it is called, and the project's version inside."""

    package_version: str
    version: str

    @property
    def generation(self) -> str:
        """What its sonames end with: ``10``, ``1.1``, ``3``."""
        numbers = self.version.split(".")
        if int(numbers[0]) >= 3:
            return numbers[0]
        return "1.1" if numbers[:2] == ["1", "1"] else "10"

    @property
    def branch(self) -> tuple[int, int]:
        """The first two numbers of its version."""
        major, minor = self.version.split(".")[:2]
        return int(major), int(minor)


@dataclass(frozen=True, slots=True)
class KnownSystem:
    """A system with what the snapshot knows of its release; ``glibc`` is N of 2.N, absent with musl.

    ``openssl`` are its OpenSSL packages, the newest first. ``fixes`` tells for each advisory, as far as the snapshot
    knows, how many of them have the fix: those are the first of them; ``paid`` the same of fixes that only paying
    customers get. ``fix_days`` are the days on which the first package with a fix was out, where the snapshot has them.

    ``days`` are those on which each package came, as far as the fleet's past needs them: the snapshot's own, or those
    before which there cannot have been such a package; absent where nothing tells. ``released`` is the day of the
    system itself. ``python_fixes`` tells of each advisory that the snapshot names for the package of its Python whether
    that package has the fix.
    """

    system: System
    glibc: int | None
    openssl: tuple[OpensslPackage, ...]
    fixes: Mapping[str, int]
    paid: Mapping[str, int] = field(default_factory=dict)
    fix_days: Mapping[str, date] = field(default_factory=dict)
    days: tuple[date | None, ...] = ()
    released: date | None = None
    python_fixes: Mapping[str, bool] = field(default_factory=dict)

    @property
    def release(self) -> str:
        """What tables of its packages call the release: of Debian and Ubuntu the whole number, of others the first."""
        return self.system.version_id if self.system.is_dpkg else self.system.version_id.partition(".")[0]

    @property
    def libc_version(self) -> str:
        """The version of its C library."""
        return self.system.musl or f"2.{self.glibc}"

    @property
    def libc_family(self) -> LibcFamily:
        """The product that its C library is."""
        return LibcFamily.GLIBC if self.system.musl is None else LibcFamily.MUSL

    def library_folder(self, arch: str) -> str:
        """Return where its libraries lie."""
        if self.system.is_dpkg:
            return f"/usr/lib/{arch}-linux-gnu"
        return "/usr/lib" if self.system.manager == "apk" else "/usr/lib64"

    def libc_path(self, arch: str) -> str:
        """Return where its C library lies."""
        return musl_loader(arch) if self.glibc is None else f"{self.library_folder(arch)}/libc.so.6"

    def package(self, arch: str, name: str, version: str, source: str) -> Package:
        """Return one of its own packages."""
        return Package(
            manager=self.system.manager,
            name=name,
            version=version,
            source=source,
            source_version=version,
            arch=_DPKG_ARCH[arch] if self.system.is_dpkg else arch,
            origin=PackageOrigin.DISTRIBUTION,
            vendor=self.system.vendor,
        )


def known_systems(catalogue: Catalogue) -> tuple[KnownSystem, ...]:
    """Return the systems of the fleet with what the catalogue tells of each."""
    return tuple(_known(system, catalogue) for system in SYSTEMS)


def _known(system: System, catalogue: Catalogue) -> KnownSystem:
    release = find_distribution(catalogue, system.name)
    major = system.version_id if system.is_dpkg else system.version_id.partition(".")[0]
    fixes = catalogue.package_fixes.get((system.os_id, major, "openssl"))
    versions = system.openssl_packages
    fixed: dict[str, int] = {}
    paid: dict[str, int] = {}
    if fixes is not None:
        bought = {fixes.fixed[name] for name in fixes.paid if name in fixes.fixed}
        own = {
            version for version in fixes.fixed.values() if version not in bought and _is_of(version, release.openssl)
        }
        versions = _newest_first(system.manager, own)
        for name, first in fixes.fixed.items():
            having = sum(is_at_least(system.manager, version, first) for version in versions)
            (paid if first in bought else fixed)[name] = having
    packages = tuple(OpensslPackage(version, match[1]) for version in versions if (match := _UPSTREAM.match(version)))
    if not packages:
        raise AssertionError(f"nothing tells which OpenSSL packages {system.name} has")
    minor = None if release.glibc is None else int(release.glibc.partition(".")[2])
    branch = catalogue.distributions.get(system.os_id, {}).get(major)
    return KnownSystem(
        system,
        minor,
        packages,
        fixed,
        paid,
        {} if fixes is None else _fix_days(fixes),
        _package_days(packages, fixes, catalogue),
        None if branch is None else branch.released,
        _python_fixes(system, catalogue),
    )


def _fix_days(fixes: PackageFixes) -> dict[str, date]:
    """Return the day of the first package with each fix; not of those that are for paying customers."""
    found = {}
    for name, first in fixes.fixed.items():
        days = [day for version, day in fixes.dates.items() if is_at_least(fixes.manager, version, first)]
        if days and name not in fixes.paid:
            found[name] = min(days)
    return found


def _package_days(
    packages: tuple[OpensslPackage, ...], fixes: PackageFixes | None, catalogue: Catalogue
) -> tuple[date | None, ...]:
    """Return since when each package can have been on a host; never later for an older one."""
    if fixes is not None and fixes.dates:
        return tuple(fixes.dates.get(package.package_version) for package in packages)
    days: list[date | None] = []
    latest: date | None = None
    published = {advisory.id: advisory.published for advisory in catalogue.advisories}
    for package in reversed(packages):
        # A package cannot fix what nobody has heard of, nor hold a release of OpenSSL that is not out.
        named = [] if fixes is None else [n for n, first in fixes.fixed.items() if first == package.package_version]
        bounds = [published[name] for name in named if name in published]
        if fixes is None and len(packages) > 1:
            release = catalogue.releases[Component.OPENSSL].get(package.version)
            bounds = [] if release is None or release.date is None else [release.date]
        latest = max([*bounds, *([] if latest is None else [latest])], default=None)
        days.append(latest)
    return tuple(reversed(days))


def _python_fixes(system: System, catalogue: Catalogue) -> dict[str, bool]:
    source = "python" + ".".join(system.python.split(".")[:2])
    fixes = catalogue.package_fixes.get((system.os_id, system.version_id, source))
    if fixes is None:
        return {}
    return {name: is_at_least(system.manager, system.python_package, first) for name, first in fixes.fixed.items()}


def _is_of(package_version: str, released: str | None) -> bool:
    """Tell whether a package is of the generation of OpenSSL that the release has, and not of one that came before."""
    match = _UPSTREAM.match(package_version)
    return match is not None and released is not None and match[1].split(".")[0] == released.split(".")[0]


def _newest_first(manager: str, versions: Iterable[str]) -> tuple[str, ...]:
    def compare(one: str, other: str) -> int:
        if one == other:
            return 0
        return 1 if is_at_least(manager, one, other) else -1

    return tuple(sorted(sorted(versions), key=cmp_to_key(compare), reverse=True))


def musl_loader(arch: str) -> str:
    """Return the path of musl's loader, which is its C library too."""
    return f"/lib/ld-musl-{arch}.so.1"


def platform_of(known: KnownSystem, arch: str, level: int | None, openssl: OpensslPackage, kernel: str) -> Platform:
    """Return what a host of a system offers; ``kernel`` is the full release."""
    if known.glibc is None:
        loader = musl_loader(arch)
        libraries: dict[str, tuple[str, ...]] = {f"libc.musl-{arch}.so.1": (), "libz.so.1": (), "libexpat.so.1": ()}
    else:
        loader = LOADERS[arch]
        libraries = _glibc_libraries(known, arch, known.glibc)
    generation = openssl.generation
    defines = tuple(v for v in _SSL_DEFINES[generation].split() if generation != "3" or _branch(v) <= openssl.branch)
    libraries |= {f"libssl.so.{generation}": defines, f"libcrypto.so.{generation}": defines}
    return Platform(
        arch=arch,
        x86_64_level=level,
        kernel=".".join(kernel.split(".")[:2]),
        libc_family=known.libc_family,
        libc_version=known.libc_version,
        loaders=(loader,),
        libraries=tuple(PlatformLibrary(soname, tuple(sorted(set(libraries[soname])))) for soname in sorted(libraries)),
    )


def _branch(defined: str) -> tuple[int, int]:
    major, minor = defined.removeprefix("OPENSSL_").split(".")[:2]
    return int(major), int(minor)


def _glibc_libraries(known: KnownSystem, arch: str, minor: int) -> dict[str, tuple[str, ...]]:
    libraries: dict[str, tuple[str, ...]] = {
        soname: glibc_versions(arch, numbers.split(), minor) for soname, numbers in _GLIBC.items()
    }
    libraries["libc.so.6"] += ("GLIBC_PRIVATE",)
    if minor >= _DT_RELR_SINCE:
        libraries["libc.so.6"] += ("GLIBC_ABI_DT_RELR",)
    for soname, defined in _OTHERS.items():
        libraries[soname] = tuple(
            version for since, versions in defined.items() if since <= minor for version in versions.split()
        )
    if known.system.libcrypt == "libcrypt.so.1":
        libraries["libcrypt.so.1"] = glibc_versions(arch, ("2.2.5",), minor)
    else:
        libraries[known.system.libcrypt] = ("XCRYPT_2.0", "XCRYPT_4.3", "XCRYPT_4.4")
    return libraries


def glibc_versions(arch: str, numbers: Iterable[str], minor: int) -> tuple[str, ...]:
    """Return ``GLIBC_`` versions up to 2.N; those from before the architecture are its first one."""
    first = _FIRST_GLIBC[arch]
    found = []
    for number in numbers:
        own = glibc_number(f"GLIBC_{number}")
        if own is not None and own <= (2, minor):
            found.append("GLIBC_" + ".".join(map(str, max(own, first))))
    return tuple(dict.fromkeys(found))
