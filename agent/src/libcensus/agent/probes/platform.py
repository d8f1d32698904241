"""Reads what the root offers to programs: distribution, architecture, C library, loaders, libraries with versions.

Everything comes from files of the root; of the running host, the kernel's own words for itself come from uname(2) and
/proc/cpuinfo. What a foreign root would run on is not known and not told.
"""

from __future__ import annotations

import fnmatch
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.agent.elf.reader import ElfType, read_elf
from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import shown
from libcensus.agent.probes.libraries import Libraries
from libcensus.facts.evidence import Evidence
from libcensus.facts.host import Host, Libc, OsRelease
from libcensus.facts.platform import Platform, PlatformLibrary
from libcensus.facts.requirement import glibc_number
from libcensus.facts.vocabulary import EvidenceKind, LibcFamily

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libcensus.agent.elf.loader import LibrarySearch
    from libcensus.agent.elf.reader import Elf
    from libcensus.agent.host import Root
    from libcensus.agent.probes.context import ScanContext
    from libcensus.agent.probes.skips import Skips

_OS_RELEASE_FILES = ("/etc/os-release", "/usr/lib/os-release")
_LOADER_FOLDERS = ("/lib", "/lib64", "/lib32", "/libx32")
_LOADER_NAMES = ("ld-linux*.so.*", "ld64.so.*", "ld.so.1", "ld-musl-*.so.1")
_PROGRAMS = ("/bin/sh", "/usr/bin/env", "/bin/busybox", "/sbin/init", "/usr/bin/ldd", "/usr/bin/python3")
_MACHINES = {"i486": "i386", "i586": "i386", "i686": "i386", "armv6l": "arm", "armv7l": "arm", "armv8l": "arm"}

_GLIBC_BANNER = re.compile(rb"GNU C Library[^\0\n]{0,128}?release version (\d+\.\d+(?:\.\d+)?)")
_MUSL_BANNER = re.compile(rb"musl libc \([^)\0]{1,32}\)")
_MUSL_VERSION = re.compile(rb"(?<=\0)(\d+\.\d+\.\d+(?:-git-[0-9]+-g[0-9a-f]+)?)(?=\0)")
_MAX_LIBC = 64 << 20

_LEVELS = (
    (2, frozenset(["cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"])),
    (3, frozenset(["abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"])),
    (4, frozenset(["avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"])),
)
"""x86-64 psABI, table 3.1, in the kernel's names; each level includes the ones below."""


def parse_os_release(text: str) -> OsRelease:
    """Return the fields of an os-release(5) file that tell distributions apart; other lines are passed over."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        name, separator, value = line.strip().partition("=")
        if separator and re.fullmatch(r"[A-Z0-9_]+", name):
            values[name] = _unquote(value)[:256]
    return OsRelease(
        id=values.get("ID") or None,
        version_id=values.get("VERSION_ID") or None,
        pretty_name=values.get("PRETTY_NAME") or None,
        version_codename=values.get("VERSION_CODENAME") or None,
        id_like=tuple(word[:64] for word in values.get("ID_LIKE", "").split()[:16]),
    )


def _unquote(value: str) -> str:
    value = value.strip().replace("\0", "")
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    return re.sub(r"\\([\"'$`\\])", r"\1", value)


def read_os_release(root: Root, skips: Skips) -> tuple[OsRelease, str | None]:
    """Return the root's os-release and the file that it stood in; an empty one where there is none."""
    for path in _OS_RELEASE_FILES:
        try:
            return parse_os_release(root.read_text(path, 64 << 10)), path
        except UnreadableError as error:
            if error.reason != "not-found":
                skips.add_error(error)
    return OsRelease(), None


def parse_cpu_level(text: str) -> int | None:
    """Return the x86-64 level of the first processor in /proc/cpuinfo's text; None for other architectures."""
    match = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    if match is None:
        return None
    flags = set(match[1].split())
    if "lm" not in flags:
        return None
    level = 1
    for number, wanted in _LEVELS:
        if not wanted <= flags:
            break
        level = number
    return level


def parse_glibc_banner(data: bytes) -> tuple[str, str, int] | None:
    """Return version, banner and offset from libc.so.6's bytes."""
    match = _GLIBC_BANNER.search(data)
    return (match[1].decode(), match[0].decode("utf-8", "backslashreplace"), match.start()) if match else None


def parse_musl_banner(data: bytes) -> tuple[str, str, int] | None:
    """Return version, banner and offset from the bytes of musl's loader, which is its libc too.

    The banner holds a place for the version, which stands elsewhere as a text of its own; it counts when it is the
    only one of its form.
    """
    banner = _MUSL_BANNER.search(data)
    versions = {match[1]: match.start() for match in _MUSL_VERSION.finditer(data)}
    if banner is None or len(versions) != 1:
        return None
    ((version, offset),) = versions.items()
    return version.decode(), f"{banner[0].decode('utf-8', 'backslashreplace')} Version {version.decode()}", offset


def find_loaders(root: Root, libraries: Libraries) -> tuple[str, ...]:
    """Return the paths of the dynamic loaders that are there, as programs name them in PT_INTERP, sorted."""
    found = []
    for folder in _LOADER_FOLDERS:
        try:
            names = root.listdir(folder)
        except UnreadableError:
            continue
        for name in names:
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in _LOADER_NAMES):
                path = f"{folder}/{name}"
                if libraries.elf(path) is not None:
                    found.append(path)
    return tuple(sorted(found))


def _native(root: Root, libraries: Libraries, loaders: tuple[str, ...]) -> tuple[str | None, str | None]:
    """Return architecture and loader of the root's own programs; the loader alone decides where there is no program."""
    for path in _PROGRAMS:
        elf = libraries.elf(path)
        if elf is not None:
            if elf.interpreter is not None:
                return elf.arch, elf.interpreter
            matching = [one for one in loaders if (other := libraries.elf(one)) is not None and other.arch == elf.arch]
            return elf.arch, matching[0] if matching else None
    if len(loaders) == 1 and (elf := libraries.elf(loaders[0])) is not None:
        return elf.arch, loaders[0]
    return (_MACHINES.get(os.uname().machine, os.uname().machine), None) if root.is_own else (None, None)


@dataclass(frozen=True, slots=True)
class Offered:
    """A library that the loader finds: where, and the symbol versions that it defines."""

    path: str
    versions: tuple[str, ...]


def offered_libraries(root: Root, search: LibrarySearch, skips: Skips) -> dict[str, Offered]:
    """Return every soname that the loader finds, with the file behind it: the cache's, then those of its folders."""
    found: dict[str, Offered] = {}
    names = () if search.cache is None else search.cache.sonames(search.arch)
    for name in names:
        if "/" not in name and (first := _first(root, search, name, skips)) is not None:
            found[name] = first
    seen: set[str] = set()
    for folder in search.default_dirs:
        try:
            real = root.realpath(folder)
            if real in seen:
                continue
            seen.add(real)
            listed = root.listdir(real)
        except UnreadableError as error:
            if error.reason != "not-found":
                skips.add_error(error)
            continue
        for name in listed:
            if name in found or ".so" not in name:
                continue
            path = f"{real}/{name}"
            elf = _library(root, path, search.arch, skips)
            # A name that is not the file's own soname is a developer's link or a full version: nothing needs it.
            if elf is not None and elf.soname in (None, name):
                found[name] = Offered(path, elf.defined_versions)
    return found


def _first(root: Root, search: LibrarySearch, name: str, skips: Skips) -> Offered | None:
    if search.cache is None:
        return None
    for path in search.cache.paths(name, search.arch, search.hwcaps):
        if (elf := _library(root, path, search.arch, skips)) is not None:
            return Offered(path, elf.defined_versions)
    return None


def _library(root: Root, path: str, arch: str, skips: Skips) -> Elf | None:
    try:
        elf = root.examine(path, lambda file: read_elf(file, symbols=False))
    except UnreadableError as error:
        if error.reason not in ("not-elf", "not-found", "not-a-regular-file"):
            skips.add_error(error, shown(path))
        return None
    return elf if elf.arch == arch and elf.type is ElfType.DYN else None


def probe_platform(context: ScanContext, skips: Skips) -> None:
    """Read the root's host facts and its platform into the context."""
    root = context.root
    release, release_file = read_os_release(root, skips)
    context.os_release = release
    evidence: list[Evidence] = []
    if release_file is not None:
        detail = release.pretty_name or release.id or "os-release"
        evidence.append(Evidence("os_release", EvidenceKind.TEXT_LINE, release_file, detail))
    else:
        skips.add("no-os-release", "/etc/os-release: the root does not say which distribution it is")
    level = own_x86_64_level(skips) if root.is_own else None
    context.libraries = libraries = Libraries(root, skips, x86_64_level=level)
    loaders = find_loaders(root, libraries)
    arch, loader = _native(root, libraries, loaders)
    libraries.arch = arch
    kernel = os.uname().release if root.is_own else None
    if kernel is not None:
        evidence.append(Evidence("kernel", EvidenceKind.KERNEL, "", f"uname: {kernel}"))
    offered: dict[str, Offered] = {}
    if arch is not None:
        offered = offered_libraries(root, libraries.search(arch, loader), skips)
        context.tell("platform", len(offered))
    libc, proofs = _read_libc(context, loader, offered, skips)
    evidence += proofs
    context.host = Host(
        hostname=_hostname(root),
        os_release=release,
        arch=arch,
        x86_64_level=level,
        kernel=kernel,
        libc=libc,
        evidence=tuple(sorted(set(evidence), key=lambda item: item.sort_key)),
    )
    context.platform = Platform(
        arch=arch,
        x86_64_level=level,
        kernel=".".join(re.findall(r"\d+", kernel)[:2]) if kernel is not None else None,
        libc_family=libc.family,
        libc_version=libc.version,
        loaders=tuple(sorted(shown(path) for path in loaders)),
        libraries=tuple(
            PlatformLibrary(name, versions)
            for name, versions in sorted(
                (shown(name), tuple(sorted(set(library.versions)))) for name, library in offered.items()
            )
        ),
    )


def own_x86_64_level(skips: Skips) -> int | None:
    """Return the x86-64 level of this machine's processor; None where it has none or the kernel does not tell."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return parse_cpu_level(file.read(1 << 20))
    except OSError as error:
        skips.add("no-cpuinfo", f"/proc/cpuinfo: {error.strerror}; the x86-64 level stays unknown")
        return None


def _hostname(root: Root) -> str:
    if root.is_own:
        return os.uname().nodename or "localhost"
    try:
        lines = [line.strip() for line in root.read_text("/etc/hostname", 4096).splitlines()]
    except UnreadableError:
        lines = []
    name = next((line for line in lines if line and not line.startswith("#")), "")
    return shown(name or root.name.rstrip("/").rpartition("/")[2] or "root")[:255]


def _read_libc(
    context: ScanContext, loader: str | None, offered: Mapping[str, Offered], skips: Skips
) -> tuple[Libc, list[Evidence]]:
    if loader is not None and loader.rpartition("/")[2].startswith("ld-musl-"):
        family, library, parse = LibcFamily.MUSL, Offered(loader, ()), parse_musl_banner
    elif "libc.so.6" in offered:
        family, library, parse = LibcFamily.GLIBC, offered["libc.so.6"], parse_glibc_banner
    else:
        skips.add("no-libc", "libc.so.6: the loader finds none, and there is no loader of musl")
        return Libc(), []
    proofs: list[Evidence] = []
    version: str | None = None
    try:
        real = context.root.realpath(library.path)
        told = parse(context.root.read_bytes(real, _MAX_LIBC))
    except UnreadableError as error:
        skips.add_error(error)
        return Libc(family=family), []
    if told is not None:
        version, banner, offset = told
        proofs.append(Evidence("libc", EvidenceKind.STRING, shown(real), banner, offset))
    numbers = [n for name in library.versions if (n := glibc_number(name)) is not None]
    if family is LibcFamily.GLIBC and numbers:
        highest = ".".join(map(str, max(numbers)))
        proofs.append(Evidence("libc", EvidenceKind.ELF_VERSION, shown(real), f"defines up to GLIBC_{highest}"))
        version = version or highest
    package = context.packages.owner(real) if context.packages is not None else None
    if package is not None:
        detail = f"{package.manager}: {package.name} {package.version}"
        proofs.append(Evidence("libc", EvidenceKind.PACKAGE_RECORD, shown(real), detail))
    return Libc(family=family, version=version, path=shown(real), package=package), proofs
