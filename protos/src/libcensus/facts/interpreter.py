"""Interpreters: what was built (content-addressed), and where it is installed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.facts.requirement import Requirement, merge_requirements
from libcensus.facts.validation import (
    InvalidFactError,
    check_absolute_path,
    check_digest,
    check_optional_text,
    check_range,
    check_relative_path,
    check_root_name,
    check_sorted,
    check_text,
)
from libcensus.facts.vocabulary import EnvironmentState

if TYPE_CHECKING:
    from libcensus.facts.crypto import CryptoUse
    from libcensus.facts.evidence import Evidence
    from libcensus.facts.package import Package
    from libcensus.facts.vocabulary import FileRole, Implementation, Installer, InstallKind, Provider


@dataclass(frozen=True, slots=True)
class BuildFile:
    """One of the files that decide a build: its place below the prefix, its bytes' digest, what it needs.

    ``soname`` is the name that the file itself provides to the loader, where it is a library.
    """

    path: str
    role: FileRole
    sha256: str
    size: int
    soname: str | None = None
    requirement: Requirement | None = None

    def __post_init__(self) -> None:
        """Refuse paths outside the prefix and impossible digests."""
        check_relative_path("path", self.path)
        check_digest("sha256", self.sha256)
        check_range("size", self.size, 0, 2**63 - 1)
        check_optional_text("soname", self.soname)


@dataclass(frozen=True, slots=True)
class Build:
    """What an interpreter's own files are, wherever they are installed.

    ``provider_build`` is the provider's own mark (a PBS tag such as ``20260127``, a package version); ``flags`` are
    words such as ``pgo``, ``lto``, ``debug``, ``free-threaded``, ``shared``; ``evidence`` names files relative to the
    prefix.
    """

    implementation: Implementation
    version: str | None
    arch: str | None
    provider: Provider
    provider_build: str | None
    flags: tuple[str, ...]
    files: tuple[BuildFile, ...]
    evidence: tuple[Evidence, ...] = ()

    def __post_init__(self) -> None:
        """Refuse unsorted parts, and files that no loader takes together."""
        check_optional_text("version", self.version, limit=64)
        check_optional_text("arch", self.arch, limit=64)
        check_optional_text("provider_build", self.provider_build, limit=128)
        for flag in self.flags:
            check_text("flags", flag, limit=64)
        check_sorted("flags", self.flags)
        check_sorted("files", self.files, key=lambda file: file.path)
        check_sorted("evidence", self.evidence, key=lambda item: item.sort_key)
        needs = [file.requirement for file in self.files if file.requirement is not None]
        for what in ({need.arch for need in needs}, {need.loader for need in needs}):
            several = sorted(what - {None}, key=str)
            if len(several) > 1:
                raise InvalidFactError("files", f"are for {several[0]} and {several[1]}, which cannot load together")

    @property
    def sonames(self) -> frozenset[str]:
        """The sonames that the build itself brings."""
        return frozenset(file.soname for file in self.files if file.soname is not None)

    def requirement(self, *roles: FileRole) -> Requirement:
        """Return what the files of these roles (all, when none is named) need together from the host."""
        parts = [f.requirement for f in self.files if f.requirement is not None and (not roles or f.role in roles)]
        return merge_requirements(parts, brought=self.sonames)


@dataclass(frozen=True, slots=True)
class Install:
    """One interpreter at one path in one root.

    ``path`` is how it is called, ``realpath`` the file behind it, ``aliases`` further paths that lead to the same;
    ``build`` the digest of its :class:`Build`, absent where it could not be read (a dangling environment), and
    ``base`` the path of the install that an environment belongs to. ``state`` is that of an environment, unknown for
    anything else.
    """

    root: str
    path: str
    realpath: str
    kind: InstallKind
    implementation: Implementation
    installer: Installer
    build: str | None
    crypto: CryptoUse
    aliases: tuple[str, ...] = ()
    base: str | None = None
    recorded_version: str | None = None
    package: Package | None = None
    state: EnvironmentState = EnvironmentState.UNKNOWN
    evidence: tuple[Evidence, ...] = ()

    def __post_init__(self) -> None:
        """Refuse relative paths and unsorted parts."""
        check_root_name("root", self.root)
        for field in ("path", "realpath"):
            check_absolute_path(field, getattr(self, field))
        if self.build is not None:
            check_digest("build", self.build)
        if self.base is not None:
            check_absolute_path("base", self.base)
        check_optional_text("recorded_version", self.recorded_version, limit=64)
        for alias in self.aliases:
            check_absolute_path("aliases", alias)
        check_sorted("aliases", self.aliases)
        check_sorted("evidence", self.evidence, key=lambda item: item.sort_key)


@dataclass(frozen=True, slots=True)
class InstallSet:
    """Every install of a host, sorted by root and path."""

    installs: tuple[Install, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an order of its own, or one path twice."""
        check_sorted("installs", self.installs, key=lambda install: (install.root, install.path))
