"""Reads dpkg's records: which package owns a file (``/var/lib/dpkg``; dpkg(1), dpkg-divert(1), deb-src-control(5)).

Distroless images keep one record per package in ``status.d`` instead, which is read too. Ownership is looked up for the
paths that matter, one pass over the file lists for each batch, because an index of every path of a host would cost more
memory than the whole agent may use.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import shown
from libcensus.agent.packages.origin import is_distribution_archive, judge_origin
from libcensus.facts.package import Package
from libcensus.facts.validation import InvalidFactError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from libcensus.agent.host import Root, RootedFile
    from libcensus.agent.packages.merged import MergedFolders
    from libcensus.agent.probes.skips import Skips

_DPKG = "/var/lib/dpkg"
_APT_LISTS = "/var/lib/apt/lists"
_MAX_STATUS = 128 << 20
_MAX_LIST = 64 << 20
_MAX_APT_LIST = 1 << 30


@dataclass(frozen=True, slots=True)
class _Diversion:
    source: str
    target: str
    package: str


class DpkgRecords:
    """The records of dpkg in one root."""

    manager = "dpkg"

    def __init__(self, root: Root, skips: Skips, distribution_ids: tuple[str, ...], merged: MergedFolders) -> None:
        self._root = root
        self._skips = skips
        self._ids = distribution_ids
        self._merged = merged
        self.has_gaps = False
        self._packages: dict[str, Package | None] = {}
        self._told_lists: set[str] = set()
        self._release_origins: dict[str, str | None] = {}
        self._has_status = root.is_file(f"{_DPKG}/status")
        self._has_status_folder = root.is_folder(f"{_DPKG}/status.d")
        self._diversions = self._read_diversions() if self._has_status else []

    @property
    def is_present(self) -> bool:
        """Whether the root has such records."""
        return self._has_status or self._has_status_folder

    def look_up(self, paths: Iterable[str]) -> dict[str, Package]:
        """Return the owning package of each of these real paths that a package owns."""
        wanted: dict[bytes, list[tuple[str, str | None, bool]]] = {}
        for path in paths:
            for name, package, must_own in self._names_of(path):
                wanted.setdefault(os.fsencode(name), []).append((path, package, must_own))
        names = wanted.keys()
        found: dict[str, str] = {}
        for key, entries in self._file_lists():
            for entry in names & entries:
                package_name = key.partition(":")[0]
                for path, package, must_own in wanted[entry]:
                    if package is None or (package_name == package) is must_own:
                        found.setdefault(path, key)
        self._read_records(set(found.values()))
        owners = ((path, self._packages.get(key)) for path, key in found.items())
        return {path: owner for path, owner in owners if owner is not None}

    # --- files ------------------------------------------------------------------------------------------------------

    def _read_diversions(self) -> list[_Diversion]:
        """Read dpkg-divert(1)'s file: groups of three lines, from, to, and the package (``:`` is the administrator)."""
        try:
            lines = self._text(f"{_DPKG}/diversions", _MAX_LIST).split("\n")
        except UnreadableError:
            return []
        return [_Diversion(*lines[at : at + 3]) for at in range(0, len(lines) - 2, 3)]

    def _text(self, path: str, limit: int) -> str:
        return os.fsdecode(self._root.read_bytes(path, limit))

    def _names_of(self, path: str) -> Iterator[tuple[str, str | None, bool]]:
        """Yield the names under which the records may hold a path; with a diverting package, and whether it must own.

        (name, package, True): only this package's entry counts; (name, package, False): every other one's.
        """
        for name in self._merged.names_of(path):
            diverted = [diversion for diversion in self._diversions if name in (diversion.source, diversion.target)]
            for diversion in diverted:
                yield diversion.source, diversion.package, name == diversion.source
            if not any(diversion.source == name for diversion in diverted):
                yield name, None, False

    def _file_lists(self) -> Iterator[tuple[str, set[bytes]]]:
        """Yield each package's key (``name`` or ``name:arch``) with its files."""
        info = f"{_DPKG}/info"
        if self._has_status:
            for name in self._listdir(info):
                if name.endswith(".list"):
                    data = self._read(f"{info}/{name}")
                    yield name.removesuffix(".list"), set(data.split(b"\n"))
        if self._has_status_folder:
            for name in self._listdir(f"{_DPKG}/status.d"):
                if name.endswith(".md5sums"):
                    data = self._read(f"{_DPKG}/status.d/{name}")
                    entries = {b"/" + line[34:].removeprefix(b"./") for line in data.split(b"\n") if len(line) > 34}
                    yield name.removesuffix(".md5sums"), entries

    def _listdir(self, path: str) -> list[str]:
        try:
            return self._root.listdir(path)
        except UnreadableError as error:
            self.has_gaps = self.has_gaps or path.startswith(_DPKG)
            self._skips.add_error(error)
            return []

    def _read(self, path: str) -> bytes:
        try:
            return self._root.read_bytes(path, _MAX_LIST)
        except UnreadableError as error:
            self.has_gaps = True
            self._skips.add_error(error)
            return b""

    # --- records ----------------------------------------------------------------------------------------------------

    def _read_records(self, keys: set[str]) -> None:
        """Read the status records of the packages ``keys`` and decide on their origin."""
        missing = keys - self._packages.keys()
        if not missing:
            return
        by_name: dict[str, list[str]] = {}
        for key in missing:
            self._packages[key] = None
            by_name.setdefault(key.partition(":")[0], []).append(key)
        records: dict[str, dict[str, str]] = {}
        for record in self._records(by_name):
            for key in by_name[record["package"]]:
                arch = key.partition(":")[2]
                if not arch or arch == record.get("architecture"):
                    records[key] = record
        listed = self._listed_origins({record["package"]: record for record in records.values()})
        for key, record in records.items():
            try:
                self._packages[key] = _package_of(record, self._ids, listed.get(record["package"]))
            except InvalidFactError as error:
                self._skips.add("invalid-record", f"{_DPKG}/status: {shown(key)}: {error}")

    def _records(self, names: Iterable[str]) -> Iterator[dict[str, str]]:
        wanted = set(names)
        texts = []
        if self._has_status:
            texts.append(f"{_DPKG}/status")
        if self._has_status_folder:
            texts += [f"{_DPKG}/status.d/{name}" for name in self._listdir(f"{_DPKG}/status.d") if name in wanted]
        for path in texts:
            try:
                data = self._root.read_bytes(path, _MAX_STATUS)
            except UnreadableError as error:
                self.has_gaps = True
                self._skips.add_error(error)
                continue
            for paragraph in _paragraphs(data):
                name = _field(paragraph, b"Package")
                if name in wanted:
                    record = parse_paragraph(paragraph.decode("utf-8", "backslashreplace"))
                    state = record.get("status", "install ok installed").split(" ")[-1]
                    if state not in ("not-installed", "config-files"):
                        yield record

    def _listed_origins(self, records: dict[str, dict[str, str]]) -> dict[str, str]:
        """Return the archive's Origin of each package whose exact version one of apt's lists names."""
        origins: dict[str, str] = {}
        if not records or not self._root.is_folder(_APT_LISTS):
            return origins
        names = self._listdir(_APT_LISTS)
        releases = {n.rpartition("_")[0]: n for n in names if n.endswith(("_InRelease", "_Release"))}
        for name in names:
            match = re.search(r"_Packages(?:\.(gz|xz|bz2|lz4|zst))?$", name)
            if match is None:
                continue
            release = next((r for base, r in releases.items() if name.startswith(f"{base}_")), None)
            origin = self._release_origin(release) if release is not None else None
            if origin is None:
                continue
            if match[1] in ("lz4", "zst"):
                if name in self._told_lists:
                    continue
                self._told_lists.add(name)
                self._skips.add(
                    "compressed-apt-list",
                    f"{_APT_LISTS}/{shown(name)}: compressed by {match[1]}; origins are told by the maintainer instead",
                )
                continue
            try:
                found = self._root.examine(
                    f"{_APT_LISTS}/{name}",
                    lambda file, kind=match[1]: _listed(file, kind, records),  # type: ignore[misc]
                )
            except UnreadableError as error:
                self._skips.add_error(error)
                continue
            for package in found:
                # A distribution's archive outweighs a copy of its package elsewhere.
                if package not in origins or is_distribution_archive(origin):
                    origins[package] = origin
        return origins

    def _release_origin(self, name: str) -> str | None:
        if name not in self._release_origins:
            self._release_origins[name] = self._read_release_origin(name)
        return self._release_origins[name]

    def _read_release_origin(self, name: str) -> str | None:
        try:
            head = self._root.read_text(f"{_APT_LISTS}/{name}", 16 << 20)
        except UnreadableError as error:
            self._skips.add_error(error)
            return None
        match = re.search(r"^Origin: *(.+)$", head[:8192], re.MULTILINE)
        return match[1].strip()[:256] if match else None


class _FileStream(io.RawIOBase):
    """A rooted file as a raw stream, for the decompressors of the standard library."""

    def __init__(self, file: RootedFile) -> None:
        self._file = file
        self._offset = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast("bytearray", buffer))
        data = self._file.read_at(self._offset, len(view))
        view[: len(data)] = data
        self._offset += len(data)
        return len(data)


def _listed(file: RootedFile, kind: str | None, records: dict[str, dict[str, str]]) -> set[str]:
    """Return which of the packages an apt list names with the very version that is installed."""
    wanted = re.compile(
        rb"^Package: (" + b"|".join(re.escape(name.encode()) for name in sorted(records)) + rb")$", re.MULTILINE
    )
    stream: BinaryIO = io.BufferedReader(_FileStream(file), 1 << 18)
    found: set[str] = set()
    try:
        if kind == "gz":
            # The file below is closed by whoever opened it; these readers own nothing.
            stream = cast("BinaryIO", gzip.GzipFile(fileobj=stream))
        elif kind == "xz":
            stream = cast("BinaryIO", lzma.LZMAFile(stream))  # noqa: SIM115
        elif kind == "bz2":
            stream = cast("BinaryIO", bz2.BZ2File(stream))
        rest = b""
        total = 0
        while chunk := stream.read(1 << 20):
            total += len(chunk)
            if total > _MAX_APT_LIST:
                raise UnreadableError("too-large", f"{shown(file.path)}: more than {_MAX_APT_LIST} bytes")
            rest += chunk
            cut = rest.rfind(b"\n\n") + 2
            if cut < 2:
                if len(rest) > _MAX_LIST:
                    raise UnreadableError("damaged-list", f"{shown(file.path)}: a paragraph of {len(rest)} bytes")
                continue
            found.update(_matching(rest[:cut], wanted, records))
            rest = rest[cut:]
        found.update(_matching(rest, wanted, records))
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise UnreadableError("damaged-list", f"{shown(file.path)}: {error}") from None
    return found


def _matching(block: bytes, wanted: re.Pattern[bytes], records: dict[str, dict[str, str]]) -> Iterator[str]:
    for match in wanted.finditer(block):
        end = block.find(b"\n\n", match.end())
        version = _field(block[match.start() : end if end >= 0 else len(block)], b"Version")
        name = match[1].decode()
        if version == records[name].get("version"):
            yield name


def _paragraphs(data: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        end = data.find(b"\n\n", start)
        if end < 0:
            end = len(data)
        if end > start:
            yield data[start:end]
        start = end + 2


def _field(paragraph: bytes, name: bytes) -> str | None:
    match = re.search(rb"^" + name + rb": *(.*)$", paragraph, re.MULTILINE)
    return match[1].decode("utf-8", "backslashreplace").strip() if match else None


def parse_paragraph(text: str) -> dict[str, str]:
    """Parse one paragraph of a control file (deb822(5)) into its fields, by lower-case name; bodies are left out."""
    fields: dict[str, str] = {}
    for line in text.split("\n"):
        name, separator, value = line.partition(":")
        if separator and name and not name[0].isspace():
            fields.setdefault(name.lower(), value.strip())
    return fields


def _package_of(record: dict[str, str], ids: tuple[str, ...], listed: str | None) -> Package:
    name, version = record["package"], record.get("version", "")
    source, source_version = name, version
    if match := re.fullmatch(r"(\S+)(?: \((\S+)\))?", record.get("source", "")):
        source, source_version = match[1], match[2] or version
    origin, vendor = judge_origin(record, ids, listed)
    return Package(
        manager="dpkg",
        name=name,
        version=version,
        source=source,
        source_version=source_version,
        arch=record.get("architecture") or None,
        origin=origin,
        vendor=vendor,
    )
