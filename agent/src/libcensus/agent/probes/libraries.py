"""The libraries of one root as its loaders find them: joins the search of ``agent.elf.loader`` with a root's files.

It looks up inside the root only, and keeps what it read: a library that thirty installs need is read once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcensus.agent.elf.loader import (
    LibrarySearch,
    LoaderCache,
    default_directories,
    hwcap_names,
    parse_loader_cache,
    system_directories,
)
from libcensus.agent.elf.reader import ElfType, read_elf
from libcensus.agent.errors import UnreadableError
from libcensus.facts.vocabulary import LibcFamily

if TYPE_CHECKING:
    from libcensus.agent.elf.reader import Elf
    from libcensus.agent.host import Root
    from libcensus.agent.probes.skips import Skips

_MAX_CACHE = 64 << 20
_MAX_LOADER = 8 << 20
_MAX_KEPT = 4096


class Libraries:
    """Finds libraries in a root, for any architecture; ``arch`` is the one that the root's own programs have."""

    def __init__(self, root: Root, skips: Skips, arch: str | None = None, x86_64_level: int | None = None) -> None:
        self.root = root
        self.arch = arch
        self._level = x86_64_level
        self._skips = skips
        self._files: dict[str, Elf | None] = {}
        self._searches: dict[tuple[str, str | None], LibrarySearch] = {}
        self._cache: LoaderCache | None = None
        self._has_read_cache = False

    def elf(self, path: str) -> Elf | None:
        """Return the ELF file at a path, without symbols; None where there is none that can be read."""
        if path in self._files:
            return self._files[path]
        try:
            elf: Elf | None = self.root.examine(path, lambda file: read_elf(file, symbols=False))
        except UnreadableError as error:
            elf = None
            if error.reason not in ("not-found", "not-elf"):
                self._skips.add_error(error, path)
        if len(self._files) < _MAX_KEPT:
            self._files[path] = elf
        return elf

    @property
    def cache(self) -> LoaderCache | None:
        """The loader's cache of the root, where there is one that can be read."""
        if not self._has_read_cache:
            self._has_read_cache = True
            try:
                self._cache = parse_loader_cache(self.root.read_bytes("/etc/ld.so.cache", _MAX_CACHE))
            except UnreadableError as error:
                if error.reason != "not-found":
                    self._skips.add_error(error, "/etc/ld.so.cache")
        return self._cache

    def search(self, arch: str, interpreter: str | None) -> LibrarySearch:
        """Return the search that the loader ``interpreter`` makes for programs of ``arch``."""
        key = arch, interpreter
        if key not in self._searches:
            self._searches[key] = self._make_search(arch, interpreter)
        return self._searches[key]

    def _make_search(self, arch: str, interpreter: str | None) -> LibrarySearch:
        def lookup(path: str) -> Elf | None:
            elf = self.elf(path)
            return elf if elf is not None and elf.arch == arch and elf.type is ElfType.DYN else None

        name = (interpreter or "").rpartition("/")[2]
        if name.startswith("ld-musl-"):
            configured: str | None = None
            try:
                configured = self.root.read_text(f"/etc/{name.removesuffix('.so.1')}.path")
            except UnreadableError as error:
                if error.reason != "not-found":
                    self._skips.add_error(error)
            return LibrarySearch.for_musl(lookup, arch, configured)
        directories: tuple[str, ...] = ()
        bits = 64
        if interpreter is not None:
            try:
                directories = system_directories(self.root.read_bytes(interpreter, _MAX_LOADER))
            except UnreadableError as error:
                if error.reason != "not-found":
                    self._skips.add_error(error)
            if (loader := self.elf(interpreter)) is not None:
                bits = loader.bits
        hwcaps = hwcap_names(arch, self._level) if arch == self.arch else ()
        return LibrarySearch(
            lookup, arch, directories or default_directories(arch, bits), self.cache, LibcFamily.GLIBC, hwcaps
        )
