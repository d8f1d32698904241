"""What an ELF file, a build or an artefact needs of a host to start.

The model is the loader's: an architecture, a program interpreter, sonames, and the symbol versions that each of them
must define. ``GLIBC_ABI_DT_RELR`` and ``GLIBC_PRIVATE`` are needs like others, not numbers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from libcensus.facts.validation import InvalidFactError, check_optional_text, check_range, check_sorted, check_text
from libcensus.facts.vocabulary import LoaderKind

if TYPE_CHECKING:
    from collections.abc import Iterable

_GLIBC_NUMBER = re.compile(r"GLIBC_(\d+(?:\.\d+)+)")
_NUMBERS = re.compile(r"\d+")


@lru_cache(maxsize=65536)
def version_key(version: str) -> tuple[str, tuple[int, ...], str]:
    """Order versions of one family by their numbers: ``GLIBC_2.9`` before ``GLIBC_2.17``, ``3.2`` before ``3.10``."""
    head, separator, rest = version.partition("_")
    if not separator:
        start = _NUMBERS.search(version)
        cut = len(version) if start is None else start.start()
        head, rest = version[:cut], version[cut:]
    return head, tuple(int(number[:18]) for number in _NUMBERS.findall(rest)[:16]), version


def glibc_number(version: str) -> tuple[int, ...] | None:
    """Return the number of a ``GLIBC_x.y`` version, or None for anything else, ``GLIBC_PRIVATE`` too."""
    match = _GLIBC_NUMBER.fullmatch(version)
    return tuple(int(part[:9]) for part in match[1].split(".")) if match else None


@dataclass(frozen=True, slots=True, order=True)
class LibraryNeed:
    """The symbol versions that are wanted of one soname; ``weak`` ones do not stop the loader."""

    soname: str
    versions: tuple[str, ...] = ()
    weak: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse unsorted or absurd names."""
        check_text("soname", self.soname, limit=1024)
        for name, versions in (("versions", self.versions), ("weak", self.weak)):
            for version in versions:
                check_text(name, version, limit=256)
            check_sorted(name, versions)


@dataclass(frozen=True, slots=True, order=True)
class RaisedBy:
    """Which file and symbol raise a floor: the highest version that this file wants of that library."""

    version: str
    soname: str
    file: str
    symbol: str

    def __post_init__(self) -> None:
        """Refuse empty names; a symbol may be empty where a version is needed and no symbol uses it."""
        check_text("version", self.version, limit=256)
        check_text("soname", self.soname, limit=1024)
        check_text("file", self.file, limit=16384)
        check_text("symbol", self.symbol, limit=4096, allow_empty=True)


@dataclass(frozen=True, slots=True)
class Requirement:
    """What must be there for one file, or for several together, to load.

    ``arch`` is the machine as the kernel writes it (``x86_64``, ``aarch64``); ``loader`` the program interpreter's
    path, absent for static files and plain libraries; ``needs`` the sonames with versions, sorted; ``sonames`` every
    soname wanted from outside (a superset of the sonames in ``needs``); ``x86_64_level`` 1 to 4, absent when neither
    the file nor its builder says; ``kernel`` the oldest kernel by ``.note.ABI-tag``.
    """

    arch: str | None = None
    loader: str | None = None
    loader_kind: LoaderKind = LoaderKind.UNKNOWN
    needs: tuple[LibraryNeed, ...] = ()
    sonames: tuple[str, ...] = ()
    raised_by: tuple[RaisedBy, ...] = ()
    x86_64_level: int | None = None
    kernel: str | None = None
    runpath: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        """Refuse unsorted parts and impossible levels."""
        check_optional_text("arch", self.arch, limit=64)
        check_optional_text("loader", self.loader, limit=4096)
        check_optional_text("kernel", self.kernel, limit=64)
        check_sorted("needs", self.needs, key=lambda need: need.soname)
        for soname in self.sonames:
            check_text("sonames", soname, limit=1024)
        check_sorted("sonames", self.sonames)
        check_sorted("raised_by", self.raised_by)
        for path in self.runpath:
            check_text("runpath", path, limit=4096, allow_empty=True)
        if self.x86_64_level is not None:
            check_range("x86_64_level", self.x86_64_level, 1, 4)

    @property
    def glibc(self) -> str | None:
        """The highest ``GLIBC_x.y`` that is needed, as ``x.y``; None where no numbered glibc version is."""
        numbers = [n for need in self.needs for v in need.versions if (n := glibc_number(v)) is not None]
        return ".".join(map(str, max(numbers))) if numbers else None


def merge_requirements(parts: Iterable[Requirement], *, brought: Iterable[str] = ()) -> Requirement:
    """Join the requirements of files that belong together into the one of the whole.

    ``brought`` are the sonames that the files themselves provide: they are no needs of the whole. Raises
    :class:`InvalidFactError` when the files are for different architectures or loaders. ``raised_by`` keeps, per
    library, only the entries of the highest version.
    """
    versions: dict[str, tuple[set[str], set[str]]] = {}
    sonames: set[str] = set()
    raised: dict[str, set[RaisedBy]] = {}
    arch = loader = kernel = None
    kinds: dict[bool, set[LoaderKind]] = {True: set(), False: set()}
    level: int | None = None
    own = set(brought)
    for part in parts:
        if part.arch is not None:
            if arch not in (None, part.arch):
                raise InvalidFactError("arch", f"files for {arch} and {part.arch} cannot load together")
            arch = part.arch
        if part.loader is not None:
            if loader not in (None, part.loader):
                raise InvalidFactError("loader", f"files for {loader} and {part.loader} cannot load together")
            loader = part.loader
        if part.loader_kind is not LoaderKind.UNKNOWN:
            kinds[part.loader is not None].add(part.loader_kind)
        if part.kernel is not None and (kernel is None or version_key(part.kernel) > version_key(kernel)):
            kernel = part.kernel
        if part.x86_64_level is not None:
            level = max(level or 1, part.x86_64_level)
        sonames.update(name for name in part.sonames if name not in own)
        for need in part.needs:
            if need.soname in own:
                continue
            strong, weak = versions.setdefault(need.soname, (set(), set()))
            strong.update(need.versions)
            weak.update(need.weak)
        for entry in part.raised_by:
            if entry.soname not in own:
                raised.setdefault(entry.soname, set()).add(entry)
    highest: list[RaisedBy] = []
    for entries in raised.values():
        top = max((entry.version for entry in entries), key=version_key)
        highest.extend(entry for entry in entries if entry.version == top)
    return Requirement(
        arch=arch,
        loader=loader,
        # The file that names a loader decides; of plain libraries any word will do, but always the same one.
        loader_kind=min(kinds[loader is not None], default=LoaderKind.UNKNOWN),
        needs=tuple(
            LibraryNeed(soname, tuple(sorted(strong)), tuple(sorted(weak - strong)))
            for soname, (strong, weak) in sorted(versions.items())
        ),
        sonames=tuple(sorted(sonames)),
        raised_by=tuple(sorted(highest)),
        x86_64_level=level,
        kernel=kernel,
    )
