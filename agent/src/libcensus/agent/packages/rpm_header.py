"""Reads the header of an installed rpm package, as the database holds it: tags, each an array of one type.

The layout is that of rpm's file format (``rpm.org``, "RPM V4 Package format"): the number of index entries and the size
of the data, both big-endian, then the entries (tag, type, offset, count), then the data. Pure: bytes in, values out.
A tag that is absent or damaged reads as empty; only a header that is none raises.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.agent.errors import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME, VERSION, RELEASE, EPOCH = 1000, 1001, 1002, 1003
VENDOR, PACKAGER, ARCH = 1011, 1015, 1022
OLD_FILE_NAMES, FILE_STATES = 1027, 1029
SOURCE_RPM = 1044
CHANGELOG_TIME, CHANGELOG_NAME, CHANGELOG_TEXT = 1080, 1081, 1082
DIR_INDEXES, BASE_NAMES, DIR_NAMES = 1116, 1117, 1118

_INT32, _STRING, _BINARY, _STRING_ARRAY, _I18N_STRING = 4, 6, 7, 8, 9
_FILE_STATE_TYPES = (1, 2, _BINARY)

_MAX_ENTRIES = 0xFFFF
"""rpm's own bound on the entries of a header (lib/header.cc)."""

_MAX_VALUES = 1 << 18
"""The most strings or numbers of one tag that are read; a package with 100,000 files has as many."""

_ENTRY = struct.Struct(">iIii")
_NORMAL, _NET_SHARED = 0, 3


@dataclass(frozen=True, slots=True)
class RpmHeader:
    """One header: where each tag's values lie in it."""

    _tags: Mapping[int, tuple[int, int, int]]
    _data: bytes

    def text(self, tag: int) -> str:
        r"""Return the first string of a tag, invalid UTF-8 as ``\xNN``; empty where there is none."""
        values = self.raw_strings(tag, limit=1)
        return values[0].decode("utf-8", "backslashreplace") if values else ""

    def raw_strings(self, tag: int, limit: int | None = None) -> list[bytes]:
        """Return a tag's strings as they are, at most ``limit``; fewer where the data ends before."""
        kind, offset, count = self._tags.get(tag, (0, 0, 0))
        if kind not in (_STRING, _STRING_ARRAY, _I18N_STRING):
            return []
        count = 1 if kind == _STRING else count
        if limit is not None:
            count = min(count, limit)
        if count == 1:
            end = self._data.find(b"\0", offset)
            return [self._data[offset:end]] if end >= 0 else []
        parts = self._data[offset : self._end_of(tag, offset)].split(b"\0", count)
        return parts[: min(count, len(parts) - 1)]

    def numbers(self, tag: int) -> tuple[int, ...]:
        """Return a tag's 32-bit numbers; none where they would reach beyond the data."""
        kind, offset, count = self._tags.get(tag, (0, 0, 0))
        if kind != _INT32 or offset + 4 * count > len(self._data):
            return ()
        return struct.unpack_from(f">{count}I", self._data, offset)

    def _end_of(self, tag: int, offset: int) -> int:
        """Return where the next tag's data starts, so that only this tag's is split."""
        others = (start for other, (_, start, _) in self._tags.items() if other != tag and start > offset)
        return min(others, default=len(self._data))

    def file_states(self) -> bytes:
        """Return the state of each file as rpm recorded it at the installation; empty where it did not."""
        kind, offset, count = self._tags.get(FILE_STATES, (0, 0, 0))
        if kind not in _FILE_STATE_TYPES or offset + count > len(self._data):
            return b""
        return self._data[offset : offset + count]

    def owned(self, wanted: Mapping[bytes, Mapping[bytes, str]]) -> list[str]:
        """Return which of the wanted files the package installed; ``wanted`` is keyed by folder (with its last ``/``).

        A file that another package's replaced, or that was left out, is not the package's.
        """
        folders = self.raw_strings(DIR_NAMES)
        found: list[str] = []
        if folders:
            wanted_here = {number: wanted[folder] for number, folder in enumerate(folders) if folder in wanted}
            if not wanted_here:
                return []
            states = self.file_states()
            names = self.raw_strings(BASE_NAMES)
            for at, (folder, name) in enumerate(zip(self.numbers(DIR_INDEXES), names, strict=False)):
                path = wanted_here[folder].get(name) if folder in wanted_here else None
                if path is not None and _is_installed(states, at):
                    found.append(path)
            return found
        states = self.file_states()
        for at, whole in enumerate(self.raw_strings(OLD_FILE_NAMES)):
            cut = whole.rfind(b"/") + 1
            path = wanted.get(whole[:cut], {}).get(whole[cut:])
            if path is not None and _is_installed(states, at):
                found.append(path)
        return found

    def folders(self) -> list[bytes]:
        """Return the folders in which the package has files, each with its last ``/``."""
        folders = self.raw_strings(DIR_NAMES)
        return folders or list({name[: name.rfind(b"/") + 1] for name in self.raw_strings(OLD_FILE_NAMES)})


def _is_installed(states: bytes, at: int) -> bool:
    return at >= len(states) or states[at] in (_NORMAL, _NET_SHARED)


def parse_rpm_header(blob: bytes) -> RpmHeader:
    """Parse a header as the database holds it. Raises UnreadableError with reason ``damaged-header``."""
    if len(blob) < 8:
        raise UnreadableError("damaged-header", f"{len(blob)} bytes are no rpm header")
    entries, size = struct.unpack_from(">II", blob)
    start = 8 + entries * _ENTRY.size
    if entries > _MAX_ENTRIES or start + size > len(blob):
        detail = f"says {entries} entries and {size} bytes of data in {len(blob)} bytes"
        raise UnreadableError("damaged-header", detail)
    tags: dict[int, tuple[int, int, int]] = {}
    for tag, kind, offset, count in _ENTRY.iter_unpack(blob[8:start]):
        if kind not in _FILE_STATE_TYPES and count > _MAX_VALUES:
            raise UnreadableError("damaged-header", f"says {count} values of tag {tag}")
        if 0 <= offset < size and 0 < count <= size:
            tags.setdefault(tag, (kind, start + offset, count))
    return RpmHeader(tags, blob if start + size == len(blob) else blob[: start + size])
