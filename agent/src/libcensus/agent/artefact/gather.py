"""Gathers the ELF files of one given path: of a folder, a file, a zip or a tar archive of any compression.

Nothing is unpacked to disk, no symbolic link inside a folder is followed, and only regular files are opened. Everything
that is passed over, and every bound that is reached, is kept in ``skipped``. A strict gatherer refuses the whole where
unpacking it would be unsafe (what PEP 706 refuses) or where far more comes out than went in.
"""

from __future__ import annotations

import io
import os
import posixpath
import stat
import tarfile
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from libcensus.agent.artefact.ahead import ReadAhead
from libcensus.agent.artefact.source import FileSource, shown
from libcensus.agent.artefact.streams import (
    CHUNK,
    DAMAGED,
    ZIP_MAGICS,
    ZSTD_MAGIC,
    Budget,
    BudgetExceededError,
    Forward,
    Limited,
    damage_told,
    decompressed,
    open_zstd,
    printable,
)
from libcensus.agent.elf.reader import MAGIC, BytesSource, ElfType, read_elf
from libcensus.agent.elf.requirement import private_symbols, requirement_of
from libcensus.agent.errors import ArtefactError, ElfError
from libcensus.facts.validation import InvalidFactError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from libcensus.agent.elf.reader import Elf, Source
    from libcensus.facts.requirement import Requirement

TEXT_BYTES = 4 << 20
"""How much of a text is kept; the longest METADATA seen has 300 KiB."""

_LINK_BYTES = 4096


@dataclass(frozen=True, slots=True)
class ArtefactSettings:
    """How much one artefact may cost; reaching a bound is told.

    ``max_bytes`` counts what comes out of compressed archives, ``max_member_bytes`` what one member of an archive may
    take of memory, ``max_nesting`` how many archives may lie in one another. An archive out of which more than
    ``modest_bytes`` come may not be more than ``max_ratio`` times smaller: real ones are at most some twenty times.
    """

    max_members: int = 500_000
    max_bytes: int = 32 << 30
    max_member_bytes: int = 1 << 30
    max_depth: int = 200
    max_nesting: int = 2
    max_ratio: int = 200
    modest_bytes: int = 256 << 20


@dataclass(frozen=True, slots=True, order=True)
class Skipped:
    """Something in an artefact that was passed over, and why."""

    path: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """One ELF file of an artefact, and what is asked of the host for it."""

    name: str
    elf: Elf
    requirement: Requirement
    private: frozenset[str]


def member_of(name: str, source: Source) -> tuple[Member, Elf]:
    """Return one ELF file of an artefact, and its facts with the symbols; raises ElfError where no loader takes it."""
    elf = read_elf(source)
    if elf.type in {ElfType.REL, ElfType.CORE, ElfType.NONE, ElfType.OTHER}:
        raise ElfError("not-loadable", f"an ELF file of type {elf.type} is nothing that a loader starts")
    try:
        requirement = requirement_of(elf, file=name)
    except InvalidFactError as error:
        raise ElfError("absurd-header", str(error)) from error
    # The symbols are not kept: a folder can hold thousands of files.
    return Member(name, replace(elf, symbols=None), requirement, private_symbols(elf)), elf


class Gatherer:
    """Gathers what one given path holds.

    ``links`` are the symbolic links by name, with their text, ``copies`` the hard links of a tar archive with the
    member that they repeat; ``aliases`` pair the last name of each with that of what it leads to. ``keep`` says of
    which members the text is wanted; ``verify`` is shown every ELF file before it is read, and may refuse the whole,
    and ``examine`` once it is read, while its bytes are there.
    """

    def __init__(
        self,
        path: str,
        settings: ArtefactSettings,
        *,
        is_strict: bool = False,
        keep: Callable[[str], bool] | None = None,
        verify: Callable[[str, Source], None] | None = None,
        examine: Callable[[Member, Elf, Source], None] | None = None,
    ) -> None:
        self.path = path
        self.settings = settings
        self.is_strict = is_strict
        self.members: list[Member] = []
        self.aliases: list[tuple[str, str]] = []
        self.links: dict[str, str] = {}
        self.copies: dict[str, str] = {}
        self.texts: dict[str, str] = {}
        self.skipped: list[Skipped] = []
        self.seen = 0
        self.budget = Budget(settings.max_bytes)
        self._keep = keep or (lambda _name: False)
        self._verify = verify
        self._examine = examine

    def gather(self) -> None:
        """Read the path, whatever it is; raises ArtefactError."""
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
        except BudgetExceededError as error:
            if self.is_strict:
                raise ArtefactError(
                    "bomb", f"{name}: {error}; if it is no bomb, unpack it and give the folder"
                ) from None
            self._skip(name, "too-large", f"{error}; what follows was not read")

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
        with source.stream() as stream:
            if not self._archive(stream, head, "", nesting=0, size=source.size):
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
        member, elf = member_of(name, source)
        if self._examine is not None:
            self._examine(member, elf, source)
        self.members.append(member)

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
        self.links[shown(name)] = shown(os.readlink(entry.path))  # noqa: PTH115 - the text as it is
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
            elif head in ZIP_MAGICS and name.endswith((".whl", ".zip")):
                with source.stream() as stream:
                    self._zip(stream, f"{name}!", nesting=1, size=source.size)
            elif self._keep(name):
                self.texts[name] = source.read_at(0, TEXT_BYTES).decode("utf-8", "backslashreplace")

    # --- archives -----------------------------------------------------------------------------------------------

    def _archive(self, stream: IO[bytes], head: bytes, prefix: str, *, nesting: int, size: int) -> bool:
        """Read an archive of any kind; tell whether it was one."""
        if head.startswith(ZIP_MAGICS):
            self._zip(stream, prefix, nesting=nesting, size=size)
            return True
        if self.is_strict:
            bound = max(self.settings.modest_bytes, self.settings.max_ratio * size)
            self.budget = Budget(min(self.settings.max_bytes, bound))
        if head.startswith(ZSTD_MAGIC):
            self._tar(
                open_zstd(stream, self.budget.limit, self._place(prefix)), prefix, nesting=nesting, is_compressed=True
            )
            return True
        opened = decompressed(stream, head)
        if opened is not None:
            self._tar(opened, prefix, nesting=nesting, is_compressed=True)
            return True
        if head[257:262] == b"ustar" or self.path.endswith(".tar"):
            self._tar(stream, prefix, nesting=nesting, is_compressed=False)
            return True
        if nesting == 0 and zipfile.is_zipfile(stream):
            # An archive behind a script or a program: a zipapp.
            self._zip(stream, prefix, nesting=nesting, size=size)
            return True
        return False

    def _zip(self, stream: IO[bytes], prefix: str, *, nesting: int, size: int) -> None:
        place = self._place(prefix)
        with damage_told(place), zipfile.ZipFile(stream) as archive, ReadAhead() as ahead:
            if self.is_strict:
                self._refuse_bomb(archive.infolist(), place, size)
            for info in sorted(archive.infolist(), key=lambda one: one.filename):
                name = prefix + printable(info.filename)
                if not self._count(name):
                    break
                self._refuse_outside(printable(info.filename), place)
                if info.is_dir() or info.file_size < 4:
                    continue
                if info.flag_bits & 1:
                    self._skip(name, "encrypted", "the member is encrypted")
                    continue
                with self._member_told(name):
                    self._zip_member(name, archive, info, ahead, nesting)
            ahead.finish()

    def _zip_member(
        self, name: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo, ahead: ReadAhead, nesting: int
    ) -> None:
        # Members are opened and closed here alone: zipfile counts them, and its count is no thread's.
        member = archive.open(info)
        head = member.read(4)
        if stat.S_ISLNK(info.external_attr >> 16):
            self.links[name] = printable((head + member.read(_LINK_BYTES)).decode("utf-8", "surrogateescape"))
        elif self._is_wanted(name, head, member, info.file_size, nesting):

            def read() -> bytes:
                data = self._rest(head, member)
                if self._verify is not None and head == MAGIC:
                    self._verify(name, BytesSource(data))
                return data

            def take(outcome: Future[bytes]) -> None:
                with self._member_told(name), member:
                    data = outcome.result()
                    self.budget.spend(len(data))
                    self._content(name, data, info.file_size, nesting)

            ahead.add(info.file_size, read, take)
            return
        member.close()

    @contextmanager
    def _member_told(self, name: str) -> Iterator[None]:
        """Note what the archive libraries raise for one member: it costs itself only."""
        try:
            yield
        except NotImplementedError as error:
            self._skip(name, "unknown-compression", str(error))
        except DAMAGED as error:
            self._skip(name, "damaged", str(error) or type(error).__name__)

    def _refuse_bomb(self, members: list[zipfile.ZipInfo], place: str, size: int) -> None:
        """Refuse an archive by what its directory says, before anything comes out of it."""
        stored = sum(info.compress_size for info in members)
        whole = sum(info.file_size for info in members)
        if stored > size:
            raise ArtefactError(
                "bomb", f"{place}: its members overlap: {stored} bytes of them in {size}; build the archive again"
            )
        if whole > min(self.settings.max_bytes, max(self.settings.modest_bytes, self.settings.max_ratio * size)):
            raise ArtefactError(
                "bomb",
                f"{place}: {whole} bytes would come out of {size}; if it is no bomb, unpack it and give the folder",
            )

    def _refuse_outside(self, name: str, place: str) -> None:
        if self.is_strict and _leads_out(name):
            raise ArtefactError(
                "unsafe-name",
                f"{place}: the member {name} would be unpacked outside its folder; build the archive again",
            )

    def _tar(self, stream: IO[bytes], prefix: str, *, nesting: int, is_compressed: bool) -> None:
        place = self._place(prefix)
        bounded = Forward(stream, self.budget) if is_compressed else Limited(stream)
        with damage_told(place), tarfile.open(fileobj=cast("IO[bytes]", bounded), mode="r:") as archive:
            while (info := archive.next()) is not None:
                # tarfile keeps the header of every member; a long archive would fill the memory with them.
                cast("Any", archive).members.clear()
                name = prefix + printable(info.name).removeprefix("./")
                if not self._count(name):
                    return
                if self.is_strict:
                    self._refuse_unsafe(info, place)
                    if info.issym() and (target := _target_outside(info)) is not None:
                        # File systems are full of them, and nothing is unpacked: the link alone is lost.
                        self._skip(name, "link-outside", f"leads to {target}, outside the archive")
                        continue
                if info.issym() or info.islnk():
                    base = printable(info.name).rsplit("/", 1)[-1]
                    target = printable(info.linkname)
                    self.aliases.append((base, target.rsplit("/", 1)[-1]))
                    if info.issym():
                        self.links[name] = target
                    else:
                        self.copies[name] = prefix + target.removeprefix("./")
                if not info.isreg() or info.size < 4:
                    continue
                member = archive.extractfile(info)
                if member is None:
                    continue
                if info.issparse():
                    # Its holes cost nothing in the archive, and time here.
                    self.budget.spend(info.size)
                try:
                    head = member.read(4)
                    if self._is_wanted(name, head, member, info.size, nesting):
                        self._content(name, self._rest(head, member), info.size, nesting)
                except tarfile.TarError as error:
                    self._skip(name, "damaged", str(error))
            # Where a header is damaged, tarfile takes it for the end.
            bounded.seek(archive.offset)
            if bounded.read(tarfile.BLOCKSIZE).strip(b"\0"):
                raise ArtefactError("damaged", f"{place}: the header at byte {archive.offset} is none of a tar archive")

    def _refuse_unsafe(self, info: tarfile.TarInfo, place: str) -> None:
        """Refuse what Python's own filter for data refuses to unpack (PEP 706), absolute names too."""
        name = printable(info.name)
        self._refuse_outside(name, place)
        if info.isdev():
            what = "a FIFO" if info.isfifo() else "a device node"
            raise ArtefactError("unsafe-member", f"{place}: the member {name} is {what}; build the archive without it")
        if info.islnk() and (target := _target_outside(info)) is not None:
            raise ArtefactError(
                "unsafe-link",
                f"{place}: the link {name} leads to {target}, outside the archive; build the archive without it, "
                "or unpack it and give the folder",
            )

    def _is_wanted(self, name: str, head: bytes, member: IO[bytes], size: int, nesting: int) -> bool:
        """Tell whether a member is an ELF file or a wheel that may be read; a text that is wanted is kept at once."""
        is_wheel = _is_wheel(name, head)
        if head != MAGIC and not is_wheel:
            if self._keep(name):
                self.texts[name] = (head + member.read(TEXT_BYTES)).decode("utf-8", "backslashreplace")
            return False
        if is_wheel and nesting + 1 > self.settings.max_nesting:
            self._skip(name, "too-deep", f"more than {self.settings.max_nesting} archives in one another")
            return False
        if size > self.settings.max_member_bytes:
            self._skip(
                name, "too-large", f"{size} bytes; at most {self.settings.max_member_bytes} of a member are read"
            )
            return False
        return True

    def _rest(self, head: bytes, member: IO[bytes]) -> bytes:
        """Return the whole member, but not more than one byte beyond the bound."""
        parts = [head]
        left = self.settings.max_member_bytes + 1 - len(head)
        while left > 0 and (chunk := member.read(min(CHUNK, left))):
            parts.append(chunk)
            left -= len(chunk)
        return b"".join(parts)

    def _content(self, name: str, data: bytes, size: int, nesting: int) -> None:
        """Read an ELF file or a wheel inside an archive."""
        limit = self.settings.max_member_bytes
        if len(data) > limit:
            self._skip(name, "too-large", f"more than {limit} bytes, though it says {size}")
        elif _is_wheel(name, data[:4]):
            try:
                self._zip(io.BytesIO(data), f"{name}!", nesting=nesting + 1, size=len(data))
            except ArtefactError as error:
                self._skip(name, error.reason, error.detail)
        else:
            self._member(name, BytesSource(data))

    def _place(self, prefix: str) -> str:
        return prefix.rstrip("!") or shown(self.path)


def _target_outside(info: tarfile.TarInfo) -> str | None:
    """Return where a link of a tar archive leads to, where that is outside of the archive."""
    target = printable(info.linkname)
    start = posixpath.dirname(printable(info.name)) if info.issym() else ""
    return target if target.startswith("/") or _leads_out(posixpath.join(start, target)) else None


def _leads_out(name: str) -> bool:
    """Tell whether a member's name leads out of the folder in which the archive would be unpacked."""
    return name.startswith("/") or posixpath.normpath(name).split("/", 1)[0] == ".."


def _is_wheel(name: str, head: bytes) -> bool:
    return head in ZIP_MAGICS and name.endswith((".whl", ".zip"))
