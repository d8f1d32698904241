"""What files, folders, wheels and archives need of a host: ``libcensus-agent requires``.

Each given path gets one answer per architecture, joined over the ELF files in it, less the libraries that it brings
itself. Nothing is unpacked to disk, no symbolic link inside a folder is followed, and only regular files are opened.
Everything that is passed over, and every bound that is reached, is told in ``skipped``.
"""

from __future__ import annotations

import bz2
import gzip
import importlib
import io
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self, cast

from libcensus.agent.elf.reader import MAGIC, BytesSource, ElfType, read_elf
from libcensus.agent.elf.requirement import private_symbols, requirement_of
from libcensus.agent.errors import ArtefactError, ElfError
from libcensus.facts.manylinux import judge_manylinux
from libcensus.facts.requirement import Requirement, merge_requirements, version_key
from libcensus.facts.validation import InvalidFactError
from libcensus.facts.vocabulary import LoaderKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from libcensus.agent.elf.reader import Elf, Source

_CHUNK = 1 << 20
_ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, ValueError, OSError)
_LARGEST_READ = 64 << 20


@dataclass(frozen=True, slots=True)
class ArtefactSettings:
    """How much one artefact may cost; reaching a bound is told in ``skipped``.

    ``max_bytes`` counts what comes out of compressed archives, ``max_member_bytes`` what one member of an archive may
    take of memory, ``max_nesting`` how many archives may lie in one another.
    """

    max_members: int = 500_000
    max_bytes: int = 32 << 30
    max_member_bytes: int = 1 << 30
    max_depth: int = 200
    max_nesting: int = 2


@dataclass(frozen=True, slots=True, order=True)
class Skipped:
    """Something in an artefact that was passed over, and why."""

    path: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ArtefactRequirement:
    """What one path needs for one architecture.

    ``requirement`` is joined over ``files`` ELF files, less the sonames that they bring themselves (``brought``);
    ``manylinux`` is the oldest policy that fits, or None with ``manylinux_reason``.
    """

    path: str
    requirement: Requirement
    files: int
    is_static: bool
    manylinux: str | None
    manylinux_reason: str
    brought: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()


def requires(
    paths: Iterable[str | os.PathLike[str]],
    *,
    settings: ArtefactSettings | None = None,
    on_error: Callable[[ArtefactError], None] | None = None,
) -> list[ArtefactRequirement]:
    """Return what each path needs, in the order given: one entry per architecture, at least one per path.

    A path that cannot be read at all raises ArtefactError; with ``on_error`` the error goes there instead, and the
    other paths are still answered.
    """
    found: list[ArtefactRequirement] = []
    for path in paths:
        try:
            found.extend(_Collector(os.fspath(path), settings or ArtefactSettings()).collect())
        except ArtefactError as error:
            if on_error is None:
                raise
            on_error(error)
    return found


def artefact_document(item: ArtefactRequirement) -> dict[str, object]:
    """Return one entry of the JSON list that ``requires --output json`` prints; documented in ``docs/``."""
    requirement = item.requirement
    raised = sorted(requirement.raised_by, key=lambda one: (one.soname, one.version, one.file, one.symbol))
    return {
        "path": item.path,
        "arch": requirement.arch,
        "glibc": requirement.glibc,
        "symbol_versions": {
            need.soname: sorted(need.versions, key=version_key) for need in requirement.needs if need.versions
        },
        "weak_versions": {need.soname: sorted(need.weak, key=version_key) for need in requirement.needs if need.weak},
        "sonames": list(requirement.sonames),
        "loader": requirement.loader,
        "loader_kind": requirement.loader_kind.value,
        "static": item.is_static,
        "raised_by": [
            {"file": one.file, "symbol": one.symbol, "version": one.version, "soname": one.soname} for one in raised
        ],
        "manylinux": item.manylinux,
        "manylinux_reason": item.manylinux_reason,
        "x86_64_level": requirement.x86_64_level,
        "kernel": requirement.kernel,
        "files": item.files,
        "brought": list(item.brought),
        "skipped": [{"path": one.path, "reason": one.reason, "detail": one.detail} for one in item.skipped],
    }


@dataclass(frozen=True, slots=True)
class _Member:
    """One ELF file of an artefact, and what is asked of the host for it."""

    name: str
    elf: Elf
    requirement: Requirement
    private: frozenset[str]


class FileSource:
    """A regular file as a source of bytes; never opens a FIFO, a device or a socket, and never blocks."""

    def __init__(self, path: str, *, follow: bool = True) -> None:
        """Open the file; raises OSError when that fails, ArtefactError when it is no regular file."""
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | (0 if follow else os.O_NOFOLLOW)
        # Opening a device can have effects of its own, so what it is must be known before.
        mode = (os.stat if follow else os.lstat)(path).st_mode
        if not stat.S_ISREG(mode):
            raise ArtefactError("not-a-regular-file", f"{shown(path)} is a {_kind(mode)}; only regular files are read")
        self._descriptor = os.open(path, flags)
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._descriptor)
            raise ArtefactError("not-a-regular-file", f"{shown(path)} became something else while it was opened")
        self.size = status.st_size

    def read_at(self, offset: int, size: int, /) -> bytes:
        """Return up to ``size`` bytes from ``offset``."""
        return os.pread(self._descriptor, size, offset)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def _kind(mode: int) -> str:
    names = {stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket", stat.S_IFBLK: "block device", stat.S_IFCHR: "device"}
    return names.get(stat.S_IFMT(mode), "folder" if stat.S_ISDIR(mode) else "symbolic link")


def shown(path: str) -> str:
    """Return a path as text that can be printed and stored: bytes that are not UTF-8 are written as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


class _Collector:
    """Gathers the ELF files of one given path."""

    def __init__(self, path: str, settings: ArtefactSettings) -> None:
        self.path = path
        self.settings = settings
        self.members: list[_Member] = []
        self.aliases: list[tuple[str, str]] = []
        self.skipped: list[Skipped] = []
        self.seen = 0
        self.budget = _Budget(settings.max_bytes)

    def collect(self) -> list[ArtefactRequirement]:
        name = shown(self.path)
        try:
            mode = Path(self.path).stat().st_mode
            if stat.S_ISDIR(mode):
                self._folder(self.path)
            else:
                with FileSource(self.path) as source:
                    self._given_file(source, name)
        except OSError as error:
            raise ArtefactError("unreadable", f"{name}: {error.strerror or error}") from error
        except _BudgetExceededError as error:
            self._skip(name, "too-large", str(error))
        return _join(name, self.members, self.aliases, tuple(sorted(self.skipped)))

    def _skip(self, path: str, reason: str, detail: str = "") -> None:
        self.skipped.append(Skipped(path, reason, detail))

    def _given_file(self, source: FileSource, name: str) -> None:
        """Read the one file that was named; what it is is told by its bytes, not by its name."""
        head = source.read_at(0, 512)
        if head.startswith(MAGIC):
            try:
                self._elf(name, source)
            except ElfError as error:
                raise ArtefactError(error.reason, f"{name}: {error.detail}") from error
            return
        with open(os.dup(source._descriptor), "rb") as stream:  # noqa: SLF001, PTH123 - the file that was checked
            if not self._archive(cast("IO[bytes]", stream), head, "", nesting=0):
                raise ArtefactError(
                    "not-an-artefact", f"{name} is neither an ELF file nor a folder, wheel, zip or tar archive"
                )

    def _count(self, where: str) -> bool:
        """Count one more member; tell once when there are too many."""
        self.seen += 1
        if self.seen == self.settings.max_members + 1:
            self._skip(where, "too-many-members", f"only the first {self.settings.max_members} were looked at")
        return self.seen <= self.settings.max_members

    def _elf(self, name: str, source: Source) -> None:
        elf = read_elf(source)
        if elf.type in {ElfType.REL, ElfType.CORE, ElfType.NONE, ElfType.OTHER}:
            raise ElfError("not-loadable", f"an ELF file of type {elf.type} is nothing that a loader starts")
        try:
            requirement = requirement_of(elf, file=name)
        except InvalidFactError as error:
            raise ElfError("absurd-header", str(error)) from error
        # The symbols are not kept: a folder can hold thousands of files.
        self.members.append(_Member(name, replace(elf, symbols=None), requirement, private_symbols(elf)))

    def _member(self, name: str, source: Source) -> None:
        """Read one ELF file among several; a bad one costs itself only."""
        try:
            self._elf(name, source)
        except ElfError as error:
            self._skip(name, error.reason, error.detail)

    # --- folders ------------------------------------------------------------------------------------------------

    def _folder(self, top: str) -> None:
        real_top = os.path.realpath(top)
        pending: list[tuple[str, str, int]] = [(top, "", 0)]
        while pending:
            folder, prefix, depth = pending.pop()
            try:
                with os.scandir(folder) as entries:
                    listed = sorted(entries, key=lambda entry: os.fsencode(entry.name))
            except OSError as error:
                self._skip(shown(prefix) or ".", "unreadable", error.strerror or str(error))
                continue
            below: list[tuple[str, str, int]] = []
            for entry in listed:
                name = prefix + entry.name
                if not self._count(shown(name)):
                    return
                try:
                    if entry.is_symlink():
                        self._link(entry, name, real_top)
                    elif entry.is_dir(follow_symlinks=False):
                        if depth < self.settings.max_depth:
                            below.append((entry.path, f"{name}/", depth + 1))
                        else:
                            self._skip(shown(name), "too-deep", f"more than {self.settings.max_depth} folders deep")
                    elif entry.is_file(follow_symlinks=False):
                        self._folder_file(entry.path, shown(name))
                except OSError as error:
                    self._skip(shown(name), "unreadable", error.strerror or str(error))
                except ArtefactError as error:
                    self._skip(shown(name), error.reason, error.detail)
            pending.extend(reversed(below))

    def _link(self, entry: os.DirEntry[str], name: str, real_top: str) -> None:
        target = os.path.realpath(entry.path)
        if target == real_top or target.startswith(real_top.rstrip("/") + "/"):
            self.aliases.append((shown(entry.name), shown(Path(target).name)))
        elif Path(target).exists():
            self._skip(shown(name), "link-outside", f"leads to {shown(target)}, outside the folder")

    def _folder_file(self, path: str, name: str) -> None:
        with FileSource(path, follow=False) as source:
            head = source.read_at(0, 4)
            if head == MAGIC:
                self._member(name, source)
            elif head in _ZIP_MAGICS and name.endswith((".whl", ".zip")):
                with open(os.dup(source._descriptor), "rb") as stream:  # noqa: SLF001, PTH123 - the file that was checked
                    self._zip(cast("IO[bytes]", stream), f"{name}!", nesting=1)

    # --- archives -----------------------------------------------------------------------------------------------

    def _archive(self, stream: IO[bytes], head: bytes, prefix: str, *, nesting: int) -> bool:
        """Read an archive of any kind; tell whether it was one."""
        if head.startswith(_ZIP_MAGICS):
            self._zip(stream, prefix, nesting=nesting)
            return True
        if head.startswith(_ZSTD_MAGIC):
            self._tar(_open_zstd(stream), prefix, nesting=nesting, is_compressed=True)
            return True
        opened = _decompressed(stream, head)
        if opened is not None:
            self._tar(opened, prefix, nesting=nesting, is_compressed=True)
            return True
        if head[257:262] == b"ustar" or self.path.endswith(".tar"):
            self._tar(stream, prefix, nesting=nesting, is_compressed=False)
            return True
        if nesting == 0 and zipfile.is_zipfile(stream):
            # An archive behind a script or a program: a zipapp.
            self._zip(stream, prefix, nesting=nesting)
            return True
        return False

    def _zip(self, stream: IO[bytes], prefix: str, *, nesting: int) -> None:
        with _damage_told(self._place(prefix)), zipfile.ZipFile(stream) as archive:
            for info in sorted(archive.infolist(), key=lambda one: one.filename):
                name = prefix + _printable(info.filename)
                if not self._count(name):
                    return
                if info.is_dir() or info.file_size < 4:
                    continue
                if info.flag_bits & 1:
                    self._skip(name, "encrypted", "the member is encrypted")
                    continue
                try:
                    with archive.open(info) as member:
                        self._stream(name, member, info.file_size, nesting=nesting)
                except NotImplementedError as error:
                    self._skip(name, "unknown-compression", str(error))
                except _DAMAGED as error:
                    self._skip(name, "damaged", str(error) or type(error).__name__)

    def _tar(self, stream: IO[bytes], prefix: str, *, nesting: int, is_compressed: bool) -> None:
        place = self._place(prefix)
        bounded = _Forward(stream, self.budget) if is_compressed else _Limited(stream)
        with _damage_told(place), tarfile.open(fileobj=cast("IO[bytes]", bounded), mode="r:") as archive:
            while (info := archive.next()) is not None:
                # tarfile keeps the header of every member; a long archive would fill the memory with them.
                cast("Any", archive).members.clear()
                name = prefix + _printable(info.name).removeprefix("./")
                if not self._count(name):
                    return
                if info.issym() or info.islnk():
                    base = _printable(info.name).rsplit("/", 1)[-1]
                    self.aliases.append((base, _printable(info.linkname).rsplit("/", 1)[-1]))
                if not info.isreg() or info.size < 4:
                    continue
                member = archive.extractfile(info)
                if member is None:
                    continue
                try:
                    self._stream(name, member, info.size, nesting=nesting)
                except tarfile.TarError as error:
                    self._skip(name, "damaged", str(error))
            # Where a header is damaged, tarfile takes it for the end.
            bounded.seek(archive.offset)
            if bounded.read(tarfile.BLOCKSIZE).strip(b"\0"):
                raise ArtefactError("damaged", f"{place}: the header at byte {archive.offset} is none of a tar archive")

    def _stream(self, name: str, member: IO[bytes], size: int, *, nesting: int) -> None:
        """Read one member of an archive, if it is an ELF file or a wheel."""
        head = member.read(4)
        is_wheel = head in _ZIP_MAGICS and name.endswith((".whl", ".zip"))
        if head != MAGIC and not is_wheel:
            return
        if is_wheel and nesting + 1 > self.settings.max_nesting:
            self._skip(name, "too-deep", f"more than {self.settings.max_nesting} archives in one another")
            return
        limit = self.settings.max_member_bytes
        if size > limit:
            self._skip(name, "too-large", f"{size} bytes; at most {limit} of a member are read")
            return
        data = bytearray(head)
        while chunk := member.read(min(_CHUNK, limit + 1 - len(data))):
            data += chunk
            if isinstance(member, zipfile.ZipExtFile):
                self.budget.spend(len(chunk))
            if len(data) > limit:
                self._skip(name, "too-large", f"more than {limit} bytes, though it says {size}")
                return
        if is_wheel:
            try:
                self._zip(io.BytesIO(data), f"{name}!", nesting=nesting + 1)
            except ArtefactError as error:
                self._skip(name, error.reason, error.detail)
        else:
            self._member(name, BytesSource(bytes(data)))

    def _place(self, prefix: str) -> str:
        return prefix.rstrip("!") or shown(self.path)


class _BudgetExceededError(Exception):
    """More came out of an archive than may."""


@dataclass(slots=True)
class _Budget:
    """How many bytes may still come out of compressed archives."""

    limit: int
    spent: int = field(default=0)

    def spend(self, size: int) -> None:
        self.spent += size
        if self.spent > self.limit:
            raise _BudgetExceededError(f"more than {self.limit} bytes came out of it; what follows was not read")


class _Limited:
    """A plain tar archive, whose headers may not ask for more memory than headers need."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        _check_read(size)
        return self._stream.read(size)


def _check_read(size: int) -> None:
    if not 0 <= size <= _LARGEST_READ:
        raise tarfile.ReadError(f"a header of the archive asks for {size} bytes")


class _Forward:
    """A decompressed stream that tarfile may read and skip forward, and step back a block; counts what comes out."""

    def __init__(self, stream: IO[bytes], budget: _Budget) -> None:
        self._stream = stream
        self._budget = budget
        self._position = 0
        self._end = 0
        self._last = b""

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET or offset < self._end - len(self._last):
            raise tarfile.ReadError(f"the archive leads back to byte {offset}")
        while self._end < offset:
            if not self._advance(min(_CHUNK, offset - self._end)):
                break
        self._position = min(offset, self._end)
        return self._position

    def read(self, size: int = -1) -> bytes:
        _check_read(size)
        parts: list[bytes] = []
        behind = self._end - self._position
        if behind:
            parts.append(self._last[len(self._last) - behind :][:size])
        missing = size - sum(map(len, parts))
        while missing > 0 and (piece := self._advance(min(_CHUNK, missing))):
            parts.append(piece)
            missing -= len(piece)
        data = b"".join(parts)
        self._position += len(data)
        return data

    def _advance(self, size: int) -> bytes:
        piece = self._stream.read(size)
        self._budget.spend(len(piece))
        self._end += len(piece)
        if piece:
            self._last = (self._last + piece)[-tarfile.BLOCKSIZE * 2 :] if len(piece) < _CHUNK else piece[-_CHUNK:]
        return piece


def _printable(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _decompressed(stream: IO[bytes], head: bytes) -> IO[bytes] | None:
    if head.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=stream))
    if head.startswith(b"BZh"):
        return cast("IO[bytes]", bz2.BZ2File(stream))
    if head.startswith((b"\xfd7zXZ\0", b"]\0\0")):
        return cast("IO[bytes]", lzma.LZMAFile(stream))
    return None


def _open_zstd(stream: IO[bytes]) -> IO[bytes]:
    """Return the decompressed stream where this Python can; it can from 3.14 on (PEP 784)."""
    try:
        zstd = importlib.import_module("compression.zstd")
    except ImportError:
        raise ArtefactError(
            "no-zstd",
            "this Python reads no zstd, only 3.14 and later do; unpack it first: zstd -d FILE.tar.zst",
        ) from None
    opened: IO[bytes] = zstd.ZstdFile(stream)
    return opened


@contextmanager
def _damage_told(place: str) -> Iterator[None]:
    """Turn what the archive libraries raise into one error that names the archive."""
    try:
        yield
    except RecursionError:
        raise ArtefactError("damaged", f"{place}: headers of the archive lead to one another") from None
    except NotImplementedError as error:
        raise ArtefactError("unknown-compression", f"{place}: {error}") from error
    except _DAMAGED as error:
        raise ArtefactError("damaged", f"{place}: {str(error) or type(error).__name__}") from error


# --- joining ----------------------------------------------------------------------------------------------------


def _join(
    path: str, members: Sequence[_Member], aliases: Sequence[tuple[str, str]], skipped: tuple[Skipped, ...]
) -> list[ArtefactRequirement]:
    """Return one entry per architecture and loader; one empty entry where there is no ELF file at all."""
    if not members:
        return [ArtefactRequirement(path, Requirement(), 0, False, None, "no ELF file in it", (), skipped)]
    found: list[ArtefactRequirement] = []
    for arch in sorted({member.elf.arch for member in members}):
        of_arch = [member for member in members if member.elf.arch == arch]
        found.extend(_entry(path, group, aliases, skipped) for group in _by_loader(of_arch))
    return found


def _by_loader(members: Sequence[_Member]) -> list[list[_Member]]:
    """Return the members that can be in one process: a program for musl and one for glibc cannot.

    Libraries go with the loader of their own libc, or, where they show none, with the one that most programs ask for.
    """
    loaders = Counter(member.elf.interpreter for member in members if member.elf.interpreter is not None)
    if len(loaders) < 2:
        return [list(members)]
    groups: dict[str, list[_Member]] = {loader: [] for loader in sorted(loaders)}
    most = max(sorted(loaders), key=lambda loader: loaders[loader])
    for member in members:
        if member.elf.interpreter is not None:
            groups[member.elf.interpreter].append(member)
            continue
        is_musl = any(name == "libc.so" or name.startswith("libc.musl-") for name in member.elf.needed)
        is_glibc = "libc.so.6" in member.elf.needed
        fitting = [loader for loader in groups if (is_musl if "ld-musl" in loader else is_glibc)]
        groups[max(fitting, key=lambda loader: loaders[loader]) if fitting else most].append(member)
    return list(groups.values())


def _entry(
    path: str, group: Sequence[_Member], aliases: Sequence[tuple[str, str]], skipped: tuple[Skipped, ...]
) -> ArtefactRequirement:
    is_single = len(group) == 1 and group[0].name == path
    brought = set() if is_single else _brought(group, aliases)
    try:
        requirement = merge_requirements([member.requirement for member in group], brought=brought)
    except InvalidFactError as error:
        raise ArtefactError("too-large", f"{path}: {error}") from error
    versions = {
        version
        for member in group
        for need in member.requirement.needs
        for version in (*need.versions, *need.weak)
        if not need.soname.startswith(("ld-linux", "ld64.so."))
    }
    verdict = judge_manylinux(
        requirement.arch,
        versions,
        requirement.sonames,
        x86_64_level=requirement.x86_64_level,
        private_symbols={symbol for member in group for symbol in member.private},
    )
    return ArtefactRequirement(
        path,
        requirement,
        len(group),
        all(member.elf.is_static for member in group) and requirement.loader_kind is LoaderKind.NONE,
        verdict.policy,
        verdict.reason,
        tuple(sorted(brought & _wanted(group))),
        skipped,
    )


def _wanted(group: Sequence[_Member]) -> set[str]:
    return {name for member in group for name in member.requirement.sonames}


def _brought(group: Sequence[_Member], aliases: Sequence[tuple[str, str]]) -> set[str]:
    """Return the names that the files answer to: their sonames, their own names, and links to them."""
    names: set[str] = set()
    for member in group:
        if member.elf.type is ElfType.DYN:
            names.add(member.name.rsplit("/", 1)[-1].rsplit("!", 1)[-1])
            if member.elf.soname is not None:
                names.add(member.elf.soname)
    names.update(alias for alias, target in aliases if target in names)
    # A needed name with a slash in it is a path (`$ORIGIN/../lib/libpython3.12.so.1.0`).
    names.update(name for name in _wanted(group) if "/" in name and name.rsplit("/", 1)[-1] in names)
    return names
