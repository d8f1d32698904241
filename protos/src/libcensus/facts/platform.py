"""What a host offers to programs that want to start on it, in the terms of a requirement."""

from __future__ import annotations

from dataclasses import dataclass

from libcensus.facts.requirement import glibc_number
from libcensus.facts.validation import check_absolute_path, check_optional_text, check_range, check_sorted, check_text
from libcensus.facts.vocabulary import LibcFamily


@dataclass(frozen=True, slots=True, order=True)
class PlatformLibrary:
    """A library that the loader finds, with the symbol versions that it defines (empty when it has none)."""

    soname: str
    versions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse unsorted or absurd names."""
        check_text("soname", self.soname, limit=1024)
        for version in self.versions:
            check_text("versions", version, limit=256)
        check_sorted("versions", self.versions)


@dataclass(frozen=True, slots=True)
class Platform:
    """The offer of one root: hosts that offer the same are one platform.

    ``kernel`` is major.minor; ``loaders`` the paths of the dynamic loaders that are there; ``libraries`` every soname
    that the native loader finds, with what it defines.
    """

    arch: str | None = None
    x86_64_level: int | None = None
    kernel: str | None = None
    libc_family: LibcFamily = LibcFamily.UNKNOWN
    libc_version: str | None = None
    loaders: tuple[str, ...] = ()
    libraries: tuple[PlatformLibrary, ...] = ()

    def __post_init__(self) -> None:
        """Refuse unsorted parts and impossible levels."""
        check_optional_text("arch", self.arch, limit=64)
        check_optional_text("kernel", self.kernel, limit=64)
        check_optional_text("libc_version", self.libc_version, limit=64)
        if self.x86_64_level is not None:
            check_range("x86_64_level", self.x86_64_level, 1, 4)
        for loader in self.loaders:
            check_absolute_path("loaders", loader)
        check_sorted("loaders", self.loaders)
        check_sorted("libraries", self.libraries, key=lambda library: library.soname)

    @property
    def glibc(self) -> str | None:
        """The highest ``GLIBC_x.y`` that the host's libc defines, as ``x.y``."""
        numbers = [
            n
            for library in self.libraries
            if library.soname.startswith("libc.so.")
            for version in library.versions
            if (n := glibc_number(version)) is not None
        ]
        return ".".join(map(str, max(numbers))) if numbers else None
