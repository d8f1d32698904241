"""Reads what a uv program and uv's settings say of themselves: its version, the Pythons that it can install, downloads.

uv can install only the builds of python-build-standalone whose addresses it carries: an old uv brings an old OpenSSL.
Up to 0.12 it holds them as plain text (Rust tables, later JSON), since then as JSON in a Zstandard frame. One address
alone is no catalogue: uv's help texts show one as an example. A program counts as uv when its content says so and never
by its name; whoever was only built with some of uv's libraries does not. It refuses to tell a build that it did not
read, and never derives one from the version.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.agent.errors import UnreadableError
from libcensus.agent.zstandard import MAGIC, ZstandardError, decompress_frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from libcensus.agent.elf.reader import Source

SETTINGS = ("python-downloads", "python-downloads-json-url", "python-install-mirror", "python-preference")
"""The settings that decide whether uv brings a Python of its own, and from where."""

MOST_FRAMES = 32
"""Zstandard frames of one program that are looked into; real ones hold up to eight."""

FEWEST_ADDRESSES = 16
"""Fewer addresses are examples in help texts; the smallest catalogue that was seen holds 517."""

_CHUNK = 1 << 20
_OVERLAP = 512
_MAX_FRAME = 2 << 20
_MAX_CATALOGUE = 32 << 20

_SOURCES = b"crates/uv/src/"
_VARIABLE = b"UV_CACHE_DIR"
_CONFIGURATION = b"include-system-site-packages"
# What uv writes into pyvenv.cfg stands together; some linkers align each text, which leaves zeros between them.
_VERSION = re.compile(rb"(?<![0-9.])(\d{1,4}\.\d{1,4}\.\d{1,4})\0{0,16}(?:version_info\0{0,16})?\Z")
_ADDRESS = re.compile(rb"python-build-standalone/releases/download/(\d{8})/")

_SECRET = re.compile(r"(?<=://)[^/@\s\"']*@")

_MISNAMED = {"20250323": "20260323"}
"""Builds whose tag names another day than that on which they were made (this one a year too early)."""


@dataclass(frozen=True, slots=True)
class Told:
    """A text that was read in a program, and where it stands."""

    text: str
    offset: int


@dataclass(frozen=True, slots=True)
class UvProgram:
    """What a uv program's bytes tell; ``proofs`` are the texts by which it is known.

    ``newest_build`` stands where its address, or the frame that holds it, begins; ``addresses`` counts those of the
    catalogue that it is from, compressed where ``is_compressed``. Without a catalogue ``unread`` says why.
    """

    proofs: tuple[Told, ...]
    version: Told | None = None
    newest_build: Told | None = None
    addresses: int = 0
    is_compressed: bool = False
    unread: str | None = None


def build_order(tag: str) -> str:
    """Return the key by which builds are ordered in time: the day of their tag, or the real one where that is wrong."""
    return _MISNAMED.get(tag, tag)


def read_uv(source: Source) -> UvProgram | None:
    """Read a program; None where it is not uv. Raises what the source raises."""
    marks = _Marks()
    for offset, data, end in _windows(source):
        marks.take(offset, data, end)
    proofs = tuple(Told(text.decode(), at) for text, at in sorted(marks.first.items(), key=lambda item: item[1]))
    if _VARIABLE not in marks.first or len(proofs) < 2:
        return None
    if sum(marks.counts.values()) >= FEWEST_ADDRESSES:
        tag = max(marks.counts, key=build_order)
        newest = Told(tag, marks.builds[tag])
        return UvProgram(proofs, marks.version, newest, sum(marks.counts.values()))
    return _read_frames(source, proofs, marks)


def _read_frames(source: Source, proofs: tuple[Told, ...], marks: _Marks) -> UvProgram:
    """Look for the catalogue in the compressed frames; the first one that holds an address is it, or none is."""
    unread = "holds no catalogue of builds in a form that is known"
    for offset in marks.frames:
        try:
            counts = _catalogue(source.read_at(offset, _MAX_FRAME))
        except ZstandardError as error:
            unread = f"the compressed catalogue cannot be read: {error.detail}"
            break
        if sum(counts.values()) >= FEWEST_ADDRESSES:
            newest = Told(max(counts, key=build_order), offset)
            return UvProgram(proofs, marks.version, newest, sum(counts.values()), is_compressed=True)
        if counts:
            break
    return UvProgram(proofs, marks.version, unread=unread)


def _windows(source: Source) -> Iterator[tuple[int, bytes, int]]:
    """Yield a source piece by piece: offset, bytes with some of the piece before, and where the next piece starts.

    What starts at or behind the last number is met again with more bytes behind it.
    """
    offset, carried = 0, b""
    while chunk := source.read_at(offset, _CHUNK):
        data = carried + chunk
        start = offset - len(carried)
        offset += len(chunk)
        is_last = offset >= source.size
        yield start, data, len(data) if is_last else max(0, len(data) - _OVERLAP)
        carried = data[-2 * _OVERLAP :]


class _Marks:
    """Collects over the pieces of a program what tells that it is uv, and what it can install."""

    def __init__(self) -> None:
        self.first: dict[bytes, int] = {}
        self.version: Told | None = None
        self.counts: dict[str, int] = {}
        self.builds: dict[str, int] = {}
        self.frames: list[int] = []
        self._done = 0

    def take(self, offset: int, data: bytes, end: int) -> None:
        """Take one piece; hits before what was done already are known."""
        start = max(0, self._done - offset)
        for text in (_SOURCES, _VARIABLE):
            if text not in self.first and (at := data.find(text, start)) >= 0:
                self.first[text] = offset + at
        for at in _hits(data, _CONFIGURATION, start, end):
            self.first.setdefault(_CONFIGURATION, offset + at)
            match = _VERSION.search(data, max(0, at - 64), at)
            if match is not None and self.version is None:
                self.version = Told(match[1].decode(), offset + match.start(1))
        for at in _hits(data, MAGIC, start, end):
            if len(self.frames) < MOST_FRAMES:
                self.frames.append(offset + at)
        for match in _ADDRESS.finditer(data, start):
            if match.start() >= end:
                break
            tag = match[1].decode()
            self.counts[tag] = self.counts.get(tag, 0) + 1
            self.builds.setdefault(tag, offset + match.start())
        self._done = offset + end


def _hits(data: bytes, text: bytes, start: int, end: int) -> Iterator[int]:
    at = data.find(text, start)
    while 0 <= at < end:
        yield at
        at = data.find(text, at + 1)


def _catalogue(frame: bytes) -> dict[str, int]:
    """Count the addresses by build in a compressed catalogue; nothing in a frame whose first block holds none."""
    counts: dict[str, int] = {}
    carried = b""
    try:
        for block in decompress_frame(frame, limit=_MAX_CATALOGUE):
            data = carried + block
            last = 0
            for match in _ADDRESS.finditer(data):
                tag = match[1].decode()
                counts[tag] = counts.get(tag, 0) + 1
                last = match.end()
            if not counts:
                break
            carried = data[max(last, len(data) - _OVERLAP) :]
    except ZstandardError:
        # Four bytes that look like a frame's start are no damaged catalogue.
        if counts:
            raise
    return counts


@dataclass(frozen=True, slots=True)
class UvSetting:
    """One setting as a file gives it, and the line that does (from 1), where it stands in a line of its own.

    Names and passwords in addresses are left out.
    """

    name: str
    value: str
    line: int | None
    text: str


def read_settings(content: bytes, *, is_project: bool) -> tuple[UvSetting, ...]:
    """Return the settings about Pythons in a ``uv.toml``, or in the table ``tool.uv`` of a ``pyproject.toml``.

    Raises UnreadableError (``damaged-settings``) for what is not TOML.
    """
    if is_project and not (b"uv" in content and any(name.encode() in content for name in SETTINGS)):
        return ()
    try:
        text = content.decode()
        values: object = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableError("damaged-settings", f"is no TOML: {error}") from None
    for name in ("tool", "uv") if is_project else ():
        values = values.get(name) if isinstance(values, dict) else None
    if not isinstance(values, dict):
        return ()
    return tuple(_settings(values, text.splitlines()))


def _settings(values: Mapping[str, object], lines: list[str]) -> Iterable[UvSetting]:
    for name in SETTINGS:
        if name not in values:
            continue
        value = values[name]
        told = value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else repr(value)
        pattern = re.compile(rf"""\s*(?:tool\.uv\.)?["']?{name}["']?\s*=""")
        number = next((at for at, line in enumerate(lines, 1) if pattern.match(line)), None)
        line = "" if number is None else _SECRET.sub("…@", lines[number - 1].strip())
        yield UvSetting(name, _SECRET.sub("…@", told)[:256], number, line[:512])
