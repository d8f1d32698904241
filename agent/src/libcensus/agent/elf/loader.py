"""Finds the file that the dynamic loader would load for a name, without loading anything.

Follows glibc (``elf/dl-load.c``, ``elf/dl-cache.c``; ld.so(8)) and musl (``ldso/dynlink.c``). Paths are only names
here: whether a file is there, and what it is, is asked of a callback, so that a root is searched within itself.

What it leaves out on purpose: ``LD_LIBRARY_PATH``, ``LD_PRELOAD`` and the like, for they belong to a process and not to
a file; ``AT_SECURE``; relative search paths, which depend on the folder in which a program is started; and the old
hardware folders (``tls``, ``haswell``) that glibc 2.37 dropped.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from libcensus.agent.errors import UnreadableError
from libcensus.facts.vocabulary import LibcFamily

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from libcensus.agent.elf.reader import Elf

MAX_CACHE_ENTRIES = 200_000
"""Entries of a loader cache; real ones have some thousand."""

MAX_LOADED = 2_000
"""Libraries that one program loads; real ones load some dozen."""

_OLD_MAGIC = b"ld.so-1.7.0"
_NEW_MAGIC = b"glibc-ld.so.cache1.1"
_EXTENSION_MAGIC = 0xEAA42174
_HWCAP_EXTENSION = 1 << 30
_MAX_CACHE_TEXT = 4096

_DF_1_NODEFLIB = 0x800

_CACHE_FLAGS: dict[str, frozenset[int]] = {
    "x86_64": frozenset({0x0303}),
    "x32": frozenset({0x0803}),
    "i386": frozenset({0x0003}),
    "aarch64": frozenset({0x0A03}),
    "arm": frozenset({0x0003, 0x0903, 0x0B03}),
    "ppc64": frozenset({0x0503}),
    "ppc64le": frozenset({0x0503}),
    "s390x": frozenset({0x0403}),
    "sparc64": frozenset({0x0103}),
    "ia64": frozenset({0x0203}),
    "riscv64": frozenset({0x0F03, 0x1003}),
    "loongarch64": frozenset({0x1103, 0x1203}),
}
"""The flags by which each architecture's loader knows its own entries (``sysdeps/generic/ldconfig.h``)."""

_TRIPLETS = {
    "x86_64": "x86_64-linux-gnu",
    "x32": "x86_64-linux-gnux32",
    "i386": "i386-linux-gnu",
    "aarch64": "aarch64-linux-gnu",
    "ppc64le": "powerpc64le-linux-gnu",
    "ppc64": "powerpc64-linux-gnu",
    "ppc": "powerpc-linux-gnu",
    "s390x": "s390x-linux-gnu",
    "riscv64": "riscv64-linux-gnu",
    "loongarch64": "loongarch64-linux-gnu",
    "mips64el": "mips64el-linux-gnuabi64",
    "sparc64": "sparc64-linux-gnu",
}
"""Debian's names of the multiarch folders; ``arm`` has two of them."""

_PLATFORMS = {"i386": ("i686", "i586", "i386"), "arm": ("v7l", "v6l")}
MUSL_DIRECTORIES = ("/lib", "/usr/local/lib", "/usr/lib")
_MUSL_OWN = re.compile(r"lib(?:c|pthread|rt|m|dl|util|xnet)\.")
_TOKEN = re.compile(r"\$(?:\{(ORIGIN|LIB|PLATFORM)\}|(ORIGIN|LIB|PLATFORM)(?![A-Za-z0-9_]))")
_SYSTEM_DIRECTORIES = re.compile(rb"(?<=\0)/[!-~]{0,80}?lib[!-~]{0,80}?/\0(?:/[!-~]{1,160}/\0){1,15}")


class LoaderCacheError(UnreadableError):
    """The file is not a cache that ldconfig wrote, or it is damaged."""


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One library of the loader's cache; ``hwcap`` names the CPU level that it is for, ``is_legacy`` an old way to."""

    soname: str
    path: str
    flags: int
    hwcap: str | None = None
    is_legacy: bool = False


@dataclass(frozen=True, slots=True)
class LoaderCache:
    """What ``/etc/ld.so.cache`` holds, in its own order."""

    entries: tuple[CacheEntry, ...]
    _by_soname: Mapping[str, tuple[CacheEntry, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Build the index by name."""
        index: dict[str, list[CacheEntry]] = {}
        for entry in self.entries:
            index.setdefault(entry.soname, []).append(entry)
        object.__setattr__(self, "_by_soname", {soname: tuple(found) for soname, found in index.items()})

    def paths(self, soname: str, arch: str, hwcaps: Sequence[str] = ()) -> tuple[str, ...]:
        """Return where the library may lie, best first; ``hwcaps`` are the CPU levels that the host has, best first."""
        flags = _CACHE_FLAGS.get(arch)
        rank = {name: number for number, name in enumerate(hwcaps)}
        found = [
            (len(rank) + entry.is_legacy if entry.hwcap is None else rank[entry.hwcap], number, entry.path)
            for number, entry in enumerate(self._by_soname.get(soname, ()))
            if (flags is None or entry.flags in flags) and (entry.hwcap is None or entry.hwcap in rank)
        ]
        return tuple(dict.fromkeys(path for _rank, _number, path in sorted(found)))

    def sonames(self, arch: str) -> tuple[str, ...]:
        """Return every soname that the cache has for an architecture, sorted."""
        flags = _CACHE_FLAGS.get(arch)
        return tuple(
            sorted({entry.soname for entry in self.entries if flags is None or entry.flags in flags}),
        )


def parse_loader_cache(data: bytes) -> LoaderCache:
    """Return what a cache written by ldconfig holds; raises LoaderCacheError when the bytes are none.

    Understands the format of glibc 2.2 and later, alone or behind the old one that libc5 read, either byte order, and
    the extension that names CPU levels (glibc 2.33).
    """
    file = data
    if data.startswith(_OLD_MAGIC):
        start = _behind_old_cache(data)
        if start is None:
            raise LoaderCacheError("old-loader-cache", "the cache has only the part for libc5; run ldconfig")
        data = data[start:]
    elif not data.startswith(_NEW_MAGIC):
        raise LoaderCacheError("not-a-loader-cache", "the file does not start as a cache of ldconfig does")
    if len(data) < 48:
        raise LoaderCacheError("truncated", f"{len(data)} bytes are too few for a cache's header")
    order = _cache_order(data)
    count, _strings, _flags, extension = struct.unpack_from(order + "IIB3xI", data, 20)
    if count > MAX_CACHE_ENTRIES or 48 + 24 * count > len(data):
        raise LoaderCacheError("truncated", f"{count} entries do not fit in {len(data)} bytes")
    names = _hwcap_names(file, data, order, extension)
    entries: list[CacheEntry] = []
    for flags, key, value, _os, hwcap in struct.iter_unpack(order + "iIIIQ", data[48 : 48 + 24 * count]):
        name: str | None = None
        if hwcap >> 32 == _HWCAP_EXTENSION:
            index = hwcap & 0xFFFFFFFF
            if index >= len(names):
                raise LoaderCacheError("absurd-entry", f"an entry names CPU level {index} of {len(names)}")
            name = names[index]
        entries.append(
            CacheEntry(
                _cache_text(data, key), _cache_text(data, value), flags, name, is_legacy=bool(hwcap) and name is None
            )
        )
    return LoaderCache(tuple(entries))


def _behind_old_cache(data: bytes) -> int | None:
    """Return where the new cache starts behind the old one; it is aligned to 4 or 8 bytes, as its machine does."""
    if len(data) < 16:
        raise LoaderCacheError("truncated", "the old part of the cache is cut short")
    for order in "<>":
        count: int = struct.unpack_from(order + "I", data, 12)[0]
        end = 16 + 12 * count
        for align in (4, 8):
            at = -(-end // align) * align
            if data[at : at + len(_NEW_MAGIC)] == _NEW_MAGIC:
                return at
    return None


def _cache_order(data: bytes) -> str:
    """Return the byte order: told by the header since glibc 2.33, before that by which count fits the file."""
    declared = data[28] & 3
    if declared in (2, 3):
        return "<" if declared == 2 else ">"
    little, big = struct.unpack_from("<I", data, 20)[0], struct.unpack_from(">I", data, 20)[0]
    return "<" if little <= big else ">"


def _cache_text(data: bytes, position: int) -> str:
    end = data.find(b"\0", position, position + _MAX_CACHE_TEXT)
    if end < 0:
        raise LoaderCacheError("absurd-entry", f"a string at {position} of {len(data)} bytes does not end")
    return data[position:end].decode("utf-8", "surrogateescape")


def _hwcap_names(file: bytes, data: bytes, order: str, offset: int) -> tuple[str, ...]:
    """Return the names of CPU levels that the extension lists; none where there is no extension.

    Behind an old cache, the extension's own offsets count from the start of the file, those of texts from the new one.
    """
    if offset == 0 or offset % 4 or offset + 8 > len(file):
        return ()
    magic, count = struct.unpack_from(order + "II", file, offset)
    if magic != _EXTENSION_MAGIC or offset + 8 + 16 * count > len(file):
        return ()
    for tag, _flags, start, size in struct.iter_unpack(order + "IIII", file[offset + 8 : offset + 8 + 16 * count]):
        if tag == 1 and start + size <= len(file):
            positions = struct.unpack_from(f"{order}{size // 4}I", file, start)
            return tuple(_cache_text(data, position) for position in positions)
    return ()


def hwcap_names(arch: str, x86_64_level: int | None) -> tuple[str, ...]:
    """Return the ``glibc-hwcaps`` folders that a CPU of this level uses, best first; none where that is not known."""
    if arch != "x86_64" or x86_64_level is None:
        return ()
    return tuple(f"x86-64-v{level}" for level in range(x86_64_level, 1, -1))


def default_directories(arch: str, bits: int) -> tuple[str, ...]:
    """Return the folders that loaders are built to search, of Debian's and other builds together.

    :func:`system_directories` reads them exactly from the loader itself; this is for where that cannot be.
    """
    triplets = ("arm-linux-gnueabihf", "arm-linux-gnueabi") if arch == "arm" else (_TRIPLETS.get(arch, ""),)
    found = [f"{top}/{triplet}" for triplet in triplets if triplet for top in ("/lib", "/usr/lib")]
    if bits == 64:
        found += ["/lib64", "/usr/lib64"]
    elif arch == "x32":
        found += ["/libx32", "/usr/libx32"]
    return (*found, "/lib", "/usr/lib")


def system_directories(loader: bytes) -> tuple[str, ...]:
    """Return the default folders that are compiled into a glibc loader (``ld-linux-x86-64.so.2``), in its order.

    They stand in its bytes one after another, each ended by a slash and a NUL (``SYSTEM_DIRS`` in ``elf/dl-load.c``).
    Empty where they are not found.
    """
    best: tuple[str, ...] = ()
    for match in _SYSTEM_DIRECTORIES.finditer(loader):
        names = tuple(part.decode("ascii").rstrip("/") for part in match[0].split(b"\0") if part)
        if len(names) > len(best) and all("lib" in name for name in names):
            best = names
    return best


def parse_musl_path(text: str) -> tuple[str, ...]:
    """Return the folders of ``/etc/ld-musl-ARCH.path``: separated by colons or line ends."""
    return tuple(part for part in re.split(r"[:\n]", text) if part.startswith("/"))


class Rule(StrEnum):
    """By which rule a library was found."""

    NEEDED_PATH = "needed-path"
    RPATH = "rpath"
    RUNPATH = "runpath"
    CACHE = "cache"
    DEFAULT = "default"
    LOADED = "loaded"
    LOADER_ITSELF = "loader-itself"
    NOT_FOUND = "not-found"


@dataclass(frozen=True, slots=True)
class LoadedObject:
    """A file that the loader has mapped: the path by which it was found, and what it is.

    An executable's path is its real one, as the kernel tells it, and a library's the one by which it was found: that
    is what ``$ORIGIN`` means to glibc.
    """

    path: str
    elf: Elf

    @property
    def origin(self) -> str:
        """The folder that ``$ORIGIN`` stands for."""
        return self.path.rsplit("/", 1)[0] or "/"


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a needed name leads to: the path as found, by which rule, and the words that prove it.

    ``tried`` are the places that were looked at before, in order; ``via`` the object whose search path led there.
    """

    needed: str
    rule: Rule
    path: str | None = None
    elf: Elf | None = None
    evidence: str = ""
    via: str | None = None
    tried: tuple[str, ...] = ()

    @property
    def is_found(self) -> bool:
        """Whether the loader would find it."""
        return self.rule is not Rule.NOT_FOUND


@dataclass(frozen=True, slots=True)
class LibrarySearch:
    """The search of one loader in one root.

    ``lookup`` answers, for an absolute path inside the root, what ELF file of the right architecture is there (None:
    nothing, or nothing usable: glibc then goes on searching). ``default_dirs`` are the loader's own folders in order;
    ``hwcaps`` the CPU levels that the host has, best first.
    """

    lookup: Callable[[str], Elf | None]
    arch: str
    default_dirs: Sequence[str]
    cache: LoaderCache | None = None
    family: LibcFamily = LibcFamily.GLIBC
    hwcaps: Sequence[str] = ()

    @classmethod
    def for_musl(cls, lookup: Callable[[str], Elf | None], arch: str, configured: str | None = None) -> LibrarySearch:
        """Return musl's search; ``configured`` is the text of ``/etc/ld-musl-ARCH.path`` where that file is."""
        directories = MUSL_DIRECTORIES if configured is None else parse_musl_path(configured)
        return cls(lookup, arch, directories, family=LibcFamily.MUSL)

    def resolve(self, needed: str, chain: Sequence[LoadedObject]) -> Resolution:
        """Return what ``needed`` leads to when the first object of ``chain`` asks for it.

        The chain goes from the object that needs the library through those that loaded it to the executable.
        """
        is_musl = self.family is LibcFamily.MUSL
        tried: list[str] = []
        if is_musl and _MUSL_OWN.match(needed):
            loader = next((item.elf.interpreter for item in reversed(chain) if item.elf.interpreter), None)
            return Resolution(needed, Rule.LOADER_ITSELF, loader, evidence=f"musl's loader answers to {needed} itself")
        if "/" in needed or "$" in needed:
            return self._by_path(needed, chain, tried)
        for rule, via, directory in self._search_path(chain):
            for path in self._candidates(directory, needed):
                tried.append(path)
                if (elf := self.lookup(path)) is not None:
                    words = f"{rule} {directory} of {via}" if via else f"default folder {directory}"
                    return Resolution(needed, rule, path, elf, words, via, tuple(tried[:-1]))
            if rule is Rule.CACHE:
                for path in () if self.cache is None else self.cache.paths(needed, self.arch, self.hwcaps):
                    tried.append(path)
                    if (elf := self.lookup(path)) is not None:
                        words = f"the loader's cache: {needed} => {path}"
                        return Resolution(needed, rule, path, elf, words, None, tuple(tried[:-1]))
        return Resolution(needed, Rule.NOT_FOUND, evidence=f"{needed} is in none of the places", tried=tuple(tried))

    def load(self, start: Sequence[LoadedObject]) -> tuple[tuple[LoadedObject, Resolution], ...]:
        """Return what the loader maps for ``start`` and in which order, each with the object that asked for it.

        ``start`` is the executable and then, in order, what it opens while it runs (extension modules). Breadth
        first, as the loader does; a name that is already loaded, by soname or by path, is not searched again: it
        comes back as rule ``loaded``. To musl no soname is a name, only that which was asked for. Stops at
        :data:`MAX_LOADED` objects, with UnreadableError.
        """
        loaded: dict[str, Resolution] = {}
        steps: list[tuple[LoadedObject, Resolution]] = []
        executable = start[:1]
        has_sonames = self.family is not LibcFamily.MUSL
        for first in start:
            chain_of: list[tuple[LoadedObject, ...]] = [(first, *(executable if first not in executable else ()))]
            name = first.elf.soname if has_sonames else None
            loaded.setdefault(name or first.path, Resolution(first.path, Rule.LOADED, first.path, first.elf))
            for chain in chain_of:
                for needed in chain[0].elf.needed:
                    if (known := loaded.get(needed)) is not None:
                        words = f"{needed} is already loaded"
                        steps.append((chain[0], Resolution(needed, Rule.LOADED, known.path, known.elf, words)))
                        continue
                    found = self.resolve(needed, chain)
                    steps.append((chain[0], found))
                    loaded[needed] = found
                    if found.path is None or found.elf is None:
                        continue
                    if any(found.path == other.path for name, other in loaded.items() if name != needed):
                        continue
                    if has_sonames and found.elf.soname is not None:
                        loaded.setdefault(found.elf.soname, found)
                    if len(loaded) > MAX_LOADED:
                        raise UnreadableError("too-many-libraries", f"{start[0].path} loads more than {MAX_LOADED}")
                    chain_of.append((LoadedObject(found.path, found.elf), *chain))
        return tuple(steps)

    def _by_path(self, needed: str, chain: Sequence[LoadedObject], tried: list[str]) -> Resolution:
        """Resolve a name that is a path; python-build-standalone's ``$ORIGIN/../lib/libpython…`` is one."""
        for path in self._expand(needed, chain[0].origin):
            if not path.startswith("/"):
                return Resolution(
                    needed, Rule.NOT_FOUND, evidence=f"{needed} is relative to where the program is started"
                )
            tried.append(path)
            if (elf := self.lookup(path)) is not None:
                words = f"the needed name is the path {needed}"
                return Resolution(needed, Rule.NEEDED_PATH, path, elf, words, chain[0].path, tuple(tried[:-1]))
        return Resolution(needed, Rule.NOT_FOUND, evidence=f"{needed} leads to no usable file", tried=tuple(tried))

    def _search_path(self, chain: Sequence[LoadedObject]) -> Iterator[tuple[Rule, str | None, str]]:
        """Yield rule, object and folder in the order of the search; the cache is one step without a folder."""
        if self.family is LibcFamily.MUSL:
            for item in chain:
                text = item.elf.runpath if item.elf.runpath is not None else item.elf.rpath
                rule = Rule.RUNPATH if item.elf.runpath is not None else Rule.RPATH
                for directory in self._directories(text, item.origin):
                    yield rule, item.path, directory
            for directory in self.default_dirs:
                yield Rule.DEFAULT, None, directory
            return
        asker = chain[0]
        if asker.elf.runpath is None:
            for item in chain:
                # An object that has both has no RPATH (elf/get-dynamic-info.h).
                if item.elf.runpath is None:
                    for directory in self._directories(item.elf.rpath, item.origin):
                        yield Rule.RPATH, item.path, directory
        for directory in self._directories(asker.elf.runpath, asker.origin):
            yield Rule.RUNPATH, asker.path, directory
        if asker.elf.flags_1 & _DF_1_NODEFLIB:
            return
        yield Rule.CACHE, None, ""
        for directory in self.default_dirs:
            yield Rule.DEFAULT, None, directory

    def _directories(self, text: str | None, origin: str) -> Iterator[str]:
        for part in (text or "").split(":"):
            for directory in self._expand(part, origin):
                if directory.startswith("/"):
                    yield directory.rstrip("/") or "/"

    def _expand(self, text: str, origin: str) -> Iterator[str]:
        """Yield the text with its tokens replaced; ``$LIB`` and ``$PLATFORM`` have several values over the builds."""
        libs: Sequence[str] = ("lib",)
        platforms: Sequence[str] = ("",)
        names = {match[1] or match[2] for match in _TOKEN.finditer(text)}
        if "LIB" in names:
            multiarch = [part.removeprefix("/usr/") for part in self.default_dirs if part.startswith("/usr/lib")]
            libs = [*dict.fromkeys(multiarch)] or ("lib64", "lib")
        if "PLATFORM" in names:
            platforms = _PLATFORMS.get(self.arch, (self.arch,))
        for lib in libs:
            for platform in platforms:
                values = {"ORIGIN": origin, "LIB": lib, "PLATFORM": platform}
                yield _normal(_TOKEN.sub(lambda match, values=values: values[match[1] or match[2]], text))  # type: ignore[misc]

    def _candidates(self, directory: str, needed: str) -> Iterator[str]:
        if not directory:
            return
        prefix = directory.rstrip("/")
        for name in self.hwcaps:
            yield f"{prefix}/glibc-hwcaps/{name}/{needed}"
        yield f"{prefix}/{needed}"


def _normal(path: str) -> str:
    """Return the path without doubled slashes and dots; ``..`` stays, for only the file system knows where it leads."""
    if not path.startswith("/"):
        return path
    return "/" + "/".join(part for part in path.split("/") if part not in {"", "."})
