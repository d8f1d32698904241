"""Reads apk's records: one text of paragraphs for all installed packages (``lib/apk/db/installed``; apk-v2(5)).

A paragraph gives the package (P, V, A), its origin, which is its source (o), its maintainer (m), and its files: each F
opens a folder, and each R is a file in it. Pure but for the reading of three files.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import shown
from libcensus.agent.packages.origin import judge_apk_origin
from libcensus.facts.package import Package
from libcensus.facts.validation import InvalidFactError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from libcensus.agent.host import Root, RootedFile
    from libcensus.agent.packages.merged import MergedFolders
    from libcensus.agent.probes.skips import Skips

_DATABASES = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")
_MAX_LINE = 1 << 20
_MAX_DATABASE = 512 << 20


@dataclass(slots=True)
class ApkRecord:
    """One package's fields by their letter, and which of the wanted files it has."""

    fields: dict[str, str] = field(default_factory=dict)
    owned: list[str] = field(default_factory=list)


def parse_apk_installed(lines: Iterable[bytes], wanted: Mapping[bytes, str]) -> Iterator[ApkRecord]:
    """Yield the first record that owns each wanted file; ``wanted`` is keyed by paths without their first ``/``."""
    record, folder = ApkRecord(), b""
    owned: set[str] = set()
    for line in lines:
        key, value = line[:2], line[2:]
        if not line:
            if record.owned:
                yield record
            record, folder = ApkRecord(), b""
        elif key == b"F:":
            folder = value + b"/" if value else b""
        elif key == b"R:":
            path = wanted.get(folder + value)
            if path is not None and path not in owned:
                owned.add(path)
                record.owned.append(path)
        elif key[1:] == b":" and key[:1] in b"PVAom":
            record.fields.setdefault(chr(key[0]), value.decode("utf-8", "backslashreplace"))
    if record.owned:
        yield record


class ApkRecords:
    """The records of apk in one root."""

    manager = "apk"

    def __init__(self, root: Root, skips: Skips, distribution_ids: tuple[str, ...], merged: MergedFolders) -> None:
        self._root = root
        self._skips = skips
        self._ids = distribution_ids
        self._merged = merged
        self.has_gaps = False
        self._databases = self._find()
        self._repositories: list[str] | None = None
        self._pinned: frozenset[str] = frozenset()

    @property
    def is_present(self) -> bool:
        """Whether the root has such records."""
        return bool(self._databases)

    def _find(self) -> list[str]:
        real = []
        for path in _DATABASES:
            try:
                if self._root.is_file(path) and (found := self._root.realpath(path)) not in real:
                    real.append(found)
            except UnreadableError:
                continue
        return real

    def look_up(self, paths: Iterable[str]) -> dict[str, Package]:
        """Return the owning package of each of these real paths that a package owns."""
        wanted = {os.fsencode(name[1:]): path for path in paths for name in self._merged.names_of(path)}
        found: dict[str, Package] = {}
        for database in self._databases:
            try:
                records = self._root.examine(database, lambda file: list(parse_apk_installed(_lines(file), wanted)))
            except UnreadableError as error:
                self.has_gaps = True
                self._skips.add_error(error, shown(database))
                continue
            for record in records:
                try:
                    package = self._package(record.fields)
                except InvalidFactError as error:
                    name = shown(record.fields.get("P", "")[:80])
                    self._skips.add("invalid-record", f"{shown(database)}: {name}: {error}")
                    continue
                for path in record.owned:
                    found.setdefault(path, package)
        return found

    def _package(self, fields: Mapping[str, str]) -> Package:
        if self._repositories is None:
            self._repositories = list(self._read_repositories())
            self._pinned = frozenset(self._read_pinned())
        name, version = fields.get("P", ""), fields.get("V", "")
        maintainer = fields.get("m") or None
        return Package(
            manager="apk",
            name=name,
            version=version,
            source=fields.get("o") or name,
            source_version=version,
            arch=fields.get("A") or None,
            origin=judge_apk_origin(maintainer, self._ids, self._repositories, is_pinned=name in self._pinned),
            vendor=maintainer[:256] if maintainer else None,
        )

    def _read_repositories(self) -> Iterator[str]:
        """Yield the addresses that apk installs from, without their tags."""
        names = ["/etc/apk/repositories"]
        with suppress(UnreadableError):
            names += [f"/etc/apk/repositories.d/{name}" for name in self._root.listdir("/etc/apk/repositories.d")]
        for name in names:
            for line in self._text(name).splitlines():
                words = line.split()
                if words and not words[0].startswith("#"):
                    yield words[-1]

    def _read_pinned(self) -> Iterator[str]:
        """Yield the packages that were installed from a file: apk's world keeps them as ``name><checksum``."""
        for word in self._text("/etc/apk/world").split():
            name, pin, _ = word.partition("><")
            if pin:
                yield name

    def _text(self, path: str) -> str:
        try:
            return self._root.read_text(path)
        except UnreadableError as error:
            if error.reason != "not-found":
                self._skips.add_error(error, shown(path))
            return ""


def _lines(file: RootedFile) -> Iterator[bytes]:
    """Yield a file's lines, a piece at a time. Raises UnreadableError for one that no database has."""
    if file.size > _MAX_DATABASE:
        raise UnreadableError("too-large", f"{file.size} bytes; at most {_MAX_DATABASE} are read")
    rest = b""
    for chunk in file.chunks():
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
        if len(rest) > _MAX_LINE:
            raise UnreadableError("damaged-database", f"a line of more than {_MAX_LINE} bytes")
    if rest:
        yield rest
