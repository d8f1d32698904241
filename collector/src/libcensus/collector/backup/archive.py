"""The archive of a backup: a ZIP file of parts, and a manifest that says what each has to be.

``manifest.json`` comes last and tells size and SHA-256 of every other member, so a reader trusts nothing that it has
not compared: a member that is missing, too much, cut off or changed is an error before anything is taken out. Any
program for ZIP files shows and unpacks an archive.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
import zlib
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, Self

from libcensus.collector.errors import CollectorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

FORMAT = 1
MANIFEST = "manifest.json"
DATABASE = "database.sqlite"
MARK = "libcensus_backup"
"""The manifest's first key, whose value is the archive's format."""

_LARGEST_MANIFEST = 16 * 1024**2
_BLOCK = 1024**2
_LEVEL = 3
"""How hard is compressed: beyond it a database of facts takes twice the time for some hundredths of its size."""

_NAME = re.compile(r"[a-z]+/[A-Za-z0-9_][A-Za-z0-9._~+-]{0,254}|database\.sqlite")
_OWNER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    UnicodeError,
)
"""What the readers of ZIP and JSON raise for bytes that are not what they should be."""


class BackupError(CollectorError):
    """A backup is refused: the archive is damaged or of a newer version, or something would be overwritten."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Part:
    """One member of the archive.

    ``place`` is the file's path on the machine that it was taken of; ``mode``, ``owner`` and ``group`` are as they
    were there. All are absent for the database.
    """

    name: str
    size: int
    sha256: str
    place: str | None = None
    mode: int | None = None
    owner: str | None = None
    group: str | None = None

    @property
    def kind(self) -> str:
        """What it belongs to, such as ``database``, ``settings`` or ``pki``."""
        return "database" if self.name == DATABASE else self.name.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is in an archive.

    ``taken_at`` is when it was made: everything that was acknowledged before is in it. ``database`` is the kind of the
    database that it was made of, ``revision`` its tables' version, ``rows`` what is in them. ``fingerprints`` are those
    of the roots that hosts trust, the newest first, also where no key is in the archive.
    """

    taken_at: datetime
    version: str
    database: str
    revision: str
    rows: Mapping[str, int]
    with_keys: bool
    trust_domain: str
    fingerprints: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    parts: tuple[Part, ...] = field(default=())

    def document(self) -> dict[str, Any]:
        """Return it as it stands in the archive."""
        shown = asdict(self) | {
            "taken_at": self.taken_at.astimezone(UTC).isoformat(),
            "parts": [{key: value for key, value in asdict(one).items() if value is not None} for one in self.parts],
        }
        return {MARK: FORMAT} | shown


class ArchiveWriter:
    """Writes an archive into an open file, in a ``with``; :meth:`finish` makes it one."""

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL)
        self._parts: list[Part] = []

    def add(self, source: IO[bytes], part: Part, progress: Callable[[int], None] = lambda _: None) -> None:
        """Add a part; size and digest are those of what was read. ``progress`` gets the bytes that are done."""
        digest, size = hashlib.sha256(), 0
        with self._member(part.name) as member:
            while block := source.read(_BLOCK):
                digest.update(block)
                size += len(block)
                member.write(block)
                progress(size)
        self._parts.append(
            Part(part.name, size, digest.hexdigest(), part.place, part.mode, part.owner, part.group),
        )

    def finish(self, manifest: Manifest) -> Manifest:
        """Write the manifest with the parts that were added, and the end of the archive; returns it."""
        whole = Manifest(
            **{name: getattr(manifest, name) for name in Manifest.__dataclass_fields__ if name != "parts"},
            parts=tuple(self._parts),
        )
        with self._member(MANIFEST) as member:
            member.write(json.dumps(whole.document(), indent=1).encode() + b"\n")
        self._zip.close()
        return whole

    def __enter__(self) -> Self:
        """Return the writer itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the file; what was not finished is no archive."""
        # The end that is written here has no manifest; on a full disk not even that can be written.
        with suppress(OSError, ValueError):
            self._zip.close()

    def _member(self, name: str) -> IO[bytes]:
        # By its name alone, without a time: the manifest tells it.
        return self._zip.open(name, "w", force_zip64=True)


class ArchiveReader:
    """Reads an archive: :meth:`open`, then :meth:`check`, then what is in it."""

    def __init__(self, path: Path, file: IO[bytes], archive: zipfile.ZipFile, manifest: Manifest) -> None:
        self._file = file
        self._zip = archive
        self.path = path
        self.manifest = manifest

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the manifest of the archive at ``path``; raises BackupError where it is none, or of a newer version."""
        try:
            # Without waiting: a pipe without a writer would hold it up for ever.
            file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115
        except OSError as error:
            raise BackupError(f"{path}: cannot be read: {error.strerror}") from None
        try:
            with _told(path):
                archive = zipfile.ZipFile(file)
                manifest = _read_manifest(archive, path)
        except BaseException:
            file.close()
            raise
        return cls(path, file, archive, manifest)

    def close(self) -> None:
        """Close the file."""
        self._zip.close()
        self._file.close()

    def check(self, progress: Callable[[float], None] = lambda _: None) -> None:
        """Read every part and compare it with the manifest; raises BackupError naming the one that is damaged."""
        total, done = max(1, sum(part.size for part in self.manifest.parts)), 0
        for part in self.manifest.parts:
            for block in self._blocks(part):
                done += len(block)
                progress(done / total)

    def read(self, part: Part) -> bytes:
        """Return a part's content, compared; raises BackupError."""
        return b"".join(self._blocks(part))

    def extract(self, part: Part, target: IO[bytes]) -> None:
        """Write a part's content, compared; raises BackupError when all is written and it is not the right one."""
        for block in self._blocks(part):
            target.write(block)

    def _blocks(self, part: Part) -> Iterator[bytes]:
        digest, size = hashlib.sha256(), 0
        with _told(self.path, part.name), self._zip.open(part.name) as member:
            # One byte more than there should be, and no further: what unpacks to too much must not fill a disk.
            while block := member.read(min(_BLOCK, part.size - size + 1)):
                size += len(block)
                if size > part.size:
                    break
                digest.update(block)
                yield block
            if size != part.size or digest.hexdigest() != part.sha256:
                raise zipfile.BadZipFile("is not what the manifest says")

    def __enter__(self) -> Self:
        """Return the reader itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()


@contextmanager
def _told(path: Path, part: str | None = None) -> Iterator[None]:
    where = f"{path}" if part is None else f"{path}: {part}"
    try:
        yield
    except BackupError:
        raise
    except _BROKEN as error:
        raise BackupError(
            f"{where}: is damaged, cut off, or no backup of libcensus ({' '.join(str(error).split())[:200]}); nothing "
            "was changed; take another copy or an older backup"
        ) from None
    except OSError as error:
        raise BackupError(f"{where}: cannot be read: {error.strerror or error}; nothing was changed") from None


def _read_manifest(archive: zipfile.ZipFile, path: Path) -> Manifest:
    names = archive.namelist()
    if MANIFEST not in names:
        raise BackupError(
            f"{path}: is no backup of libcensus: it has no {MANIFEST}; name the file that libcensus-collector backup "
            "wrote"
        )
    if archive.getinfo(MANIFEST).file_size > _LARGEST_MANIFEST:
        raise zipfile.BadZipFile(f"{MANIFEST} is too large")
    with archive.open(MANIFEST) as member:
        manifest = _manifest(json.loads(member.read(_LARGEST_MANIFEST + 1)), path)
    expected = sorted([MANIFEST, *(part.name for part in manifest.parts)])
    if sorted(names) != expected:
        odd = sorted(set(names) ^ set(expected)) or [name for name in names if names.count(name) > 1]
        raise zipfile.BadZipFile(f"{odd[0]!r} is missing, or too much")
    return manifest


def _manifest(document: Any, path: Path) -> Manifest:
    mark = document.get(MARK) if isinstance(document, dict) else None
    if not isinstance(mark, int):
        raise zipfile.BadZipFile(f"{MANIFEST} is not one of libcensus")
    if mark > FORMAT:
        raise BackupError(
            f"{path}: was made by a newer version of libcensus-collector ({str(document.get('version'))[:40]!r}); "
            "install that version, or a newer one, and restore with it"
        )
    try:
        return Manifest(
            taken_at=_moment(document["taken_at"]),
            version=_text(document["version"]),
            database=_text(document["database"]),
            revision=_text(document["revision"]),
            rows={_text(name): int(number) for name, number in document["rows"].items()},
            with_keys=document["with_keys"] is True,
            trust_domain=_text(document["trust_domain"]),
            fingerprints=tuple(_text(one) for one in document["fingerprints"]),
            left_out=tuple(_text(one) for one in document["left_out"]),
            parts=tuple(_part(one) for one in document["parts"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{MANIFEST}: {error}") from None


def _part(document: Mapping[str, Any]) -> Part:
    name, size, digest = _text(document["name"]), document["size"], _text(document["sha256"])
    if not _NAME.fullmatch(name) or not isinstance(size, int) or size < 0 or not re.fullmatch("[0-9a-f]{64}", digest):
        raise ValueError(f"{MANIFEST}: a part is not allowed")
    place, mode = document.get("place"), document.get("mode")
    owner, group = document.get("owner"), document.get("group")
    if mode is not None and not (isinstance(mode, int) and 0 <= mode <= 0o777):
        raise ValueError(f"{MANIFEST}: a mode is not allowed")
    if any(one is not None and not _OWNER.fullmatch(_text(one)) for one in (owner, group)):
        raise ValueError(f"{MANIFEST}: an owner is not allowed")
    return Part(name, size, digest, None if place is None else _text(place), mode, owner, group)


def _moment(value: object) -> datetime:
    moment = datetime.fromisoformat(_text(value))
    if moment.tzinfo is None:
        raise ValueError("a time has no zone")
    return moment


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is missing")
    return value
