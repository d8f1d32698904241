"""Real values of the facts that verdicts are made of, with the parts that a test doesn't look at filled in."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from libcensus.facts.crypto import CryptoLibrary, CryptoUse
from libcensus.facts.interpreter import Build, BuildFile, Install
from libcensus.facts.package import Package
from libcensus.facts.platform import Platform, PlatformLibrary
from libcensus.facts.requirement import LibraryNeed, RaisedBy, Requirement
from libcensus.facts.vocabulary import (
    CryptoFamily,
    FileRole,
    Implementation,
    Installer,
    InstallKind,
    LibcFamily,
    Linkage,
    LoaderKind,
    PackageOrigin,
    Provider,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libcensus.facts.evidence import Evidence

TODAY = date(2026, 11, 23)
GLIBC_LOADER = "/lib64/ld-linux-x86-64.so.2"
MUSL_LOADER = "/lib/ld-musl-x86_64.so.1"

DEBIAN_LIBSSL = Package(
    manager="dpkg",
    name="libssl3",
    version="3.0.22-1~deb12u2",
    source="openssl",
    source_version="3.0.22-1~deb12u2",
    origin=PackageOrigin.DISTRIBUTION,
)
DEBIAN_PYTHON = Package(
    manager="dpkg",
    name="python3.11-minimal",
    version="3.11.2-6+deb12u9",
    source="python3.11",
    source_version="3.11.2-6+deb12u9",
    origin=PackageOrigin.DISTRIBUTION,
)
VENDOR_PYTHON = Package(
    manager="dpkg",
    name="google-cloud-cli",
    version="549.0.1-0",
    source="google-cloud-cli",
    source_version="549.0.1-0",
    origin=PackageOrigin.VENDOR,
    vendor="Google",
)
STRANGE_PACKAGE = Package(
    manager="rpm", name="openssl-libs", version="1:3.0.7-1", source="openssl", source_version="1:3.0.7-1"
)


def digest(number: int) -> str:
    """Return an address."""
    return f"{number:064x}"


def crypto(
    version: str | None,
    linkage: Linkage = Linkage.STATIC,
    package: Package | None = None,
    family: CryptoFamily = CryptoFamily.OPENSSL,
    path: str = "/opt/python/lib/libpython3.12.so.1.0",
) -> CryptoUse:
    """Return the use of one crypto library."""
    return CryptoUse(linkage, path, CryptoLibrary(family, version, package))


def install(
    use: CryptoUse,
    path: str = "/opt/python/bin/python3.12",
    *,
    build: str | None = digest(1),
    installer: Installer = Installer.UV,
    kind: InstallKind = InstallKind.BASE,
    implementation: Implementation = Implementation.CPYTHON,
    base: str | None = None,
    package: Package | None = None,
    root: str = "/",
    aliases: tuple[str, ...] = (),
    evidence: tuple[Evidence, ...] = (),
) -> Install:
    """Return an install at a path."""
    return Install(
        root=root,
        path=path,
        realpath=path,
        kind=kind,
        implementation=implementation,
        installer=installer,
        build=build,
        crypto=use,
        base=base,
        package=package,
        aliases=aliases,
        evidence=evidence,
    )


def python_build(
    version: str | None = "3.12.12",
    provider: Provider = Provider.PBS,
    provider_build: str | None = None,
    files: tuple[BuildFile, ...] = (),
    evidence: tuple[Evidence, ...] = (),
) -> Build:
    """Return a build of CPython."""
    return Build(Implementation.CPYTHON, version, "x86_64", provider, provider_build, (), files, evidence)


def build_file(
    path: str, role: FileRole, requirement: Requirement | None = None, soname: str | None = None
) -> BuildFile:
    """Return one file of a build."""
    return BuildFile(path, role, digest(7), 4096, soname, requirement)


def needs(
    versions: Mapping[str, tuple[str, ...]] | None = None,
    *,
    sonames: tuple[str, ...] = (),
    weak: Mapping[str, tuple[str, ...]] | None = None,
    arch: str | None = "x86_64",
    loader: str | None = None,
    level: int | None = None,
    kernel: str | None = None,
    raised_by: tuple[RaisedBy, ...] = (),
    runpath: tuple[str, ...] = (),
) -> Requirement:
    """Return a requirement; the sonames with versions are added to ``sonames``."""
    versions, weak = versions or {}, weak or {}
    kind = LoaderKind.NONE
    if loader is not None:
        kind = LoaderKind.MUSL if "musl" in loader else LoaderKind.GLIBC
    return Requirement(
        arch=arch,
        loader=loader,
        loader_kind=kind,
        needs=tuple(
            LibraryNeed(name, versions.get(name, ()), weak.get(name, ())) for name in sorted({*versions, *weak})
        ),
        sonames=tuple(sorted({*sonames, *versions, *weak})),
        raised_by=raised_by,
        x86_64_level=level,
        kernel=kernel,
        runpath=runpath,
    )


def glibc_versions(newest: int) -> tuple[str, ...]:
    """Return the versions that an x86-64 glibc 2.NEWEST defines, without the earliest ones' gaps."""
    numbered = [f"GLIBC_2.{minor}" for minor in range(2, newest + 1)]
    words = ["GLIBC_2.2.5", "GLIBC_PRIVATE", *(["GLIBC_ABI_DT_RELR"] if newest >= 36 else [])]
    return tuple(sorted({*numbered, *words}))


def glibc_host(
    newest: int = 36,
    *,
    extra: Mapping[str, tuple[str, ...]] | None = None,
    arch: str | None = "x86_64",
    level: int | None = 3,
    kernel: str | None = "6.1",
    loaders: tuple[str, ...] = (GLIBC_LOADER,),
) -> Platform:
    """Return a platform with glibc 2.NEWEST and what is usual beside it."""
    libraries = {
        "libc.so.6": glibc_versions(newest),
        "libm.so.6": ("GLIBC_2.2.5", "GLIBC_2.29", *(("GLIBC_2.38",) if newest >= 38 else ())),
        "libdl.so.2": ("GLIBC_2.2.5",),
        "libpthread.so.0": ("GLIBC_2.2.5", "GLIBC_2.3.2"),
        "libz.so.1": (),
        **(extra or {}),
    }
    return Platform(
        arch=arch,
        x86_64_level=level,
        kernel=kernel,
        libc_family=LibcFamily.GLIBC,
        libc_version=f"2.{newest}",
        loaders=loaders,
        libraries=tuple(PlatformLibrary(name, tuple(sorted(v))) for name, v in sorted(libraries.items())),
    )


def musl_host() -> Platform:
    """Return a platform as Alpine offers it."""
    return Platform(
        arch="x86_64",
        x86_64_level=2,
        kernel="6.6",
        libc_family=LibcFamily.MUSL,
        libc_version="1.2.5",
        loaders=(MUSL_LOADER,),
        libraries=(PlatformLibrary("libc.musl-x86_64.so.1"), PlatformLibrary("libz.so.1")),
    )
