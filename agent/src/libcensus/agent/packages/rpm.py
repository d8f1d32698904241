"""Reads rpm's records: which package owns a file, and the changelogs that the headers hold.

rpm has kept its headers in three forms, each of which has a reader of its own here: SQLite, ndb and Berkeley DB. No
library or tool of rpm's is used, so a root of any age and architecture is read alike. The headers are read one by one;
what is remembered of each is which folders it has files in, so that a further look-up reads the few that can matter.
"""

from __future__ import annotations

import os
import re
import zlib
from array import array
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import shown
from libcensus.agent.packages import rpm_header as tags
from libcensus.agent.packages.blobs import damaged
from libcensus.agent.packages.changelog import parse_rpm_changelog
from libcensus.agent.packages.origin import judge_rpm_origin
from libcensus.agent.packages.rpm_bdb import RpmBerkeley
from libcensus.agent.packages.rpm_header import parse_rpm_header
from libcensus.agent.packages.rpm_ndb import RpmNdb
from libcensus.agent.packages.rpm_sqlite import RpmSqlite
from libcensus.facts.package import Package
from libcensus.facts.validation import InvalidFactError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from libcensus.agent.host import FileState, Root, RootedFile
    from libcensus.agent.packages.blobs import BlobReader
    from libcensus.agent.packages.changelog import Changelog
    from libcensus.agent.packages.merged import MergedFolders
    from libcensus.agent.packages.rpm_header import RpmHeader
    from libcensus.agent.probes.skips import Skips

_FOLDERS = ("/var/lib/rpm", "/usr/lib/sysimage/rpm")
_FORMS: tuple[tuple[str, Callable[[RootedFile], BlobReader]], ...] = (
    ("rpmdb.sqlite", RpmSqlite),
    ("Packages.db", RpmNdb),
    ("Packages", RpmBerkeley),
)
_SOURCE_RPM = re.compile(r"(?P<name>.+)-(?P<version>[^-]+)-(?P<release>[^-]+)\.(?:no)?src\.rpm")

T = TypeVar("T")
_Place = tuple[int, int, int]


class RpmRecords:
    """The records of rpm in one root."""

    manager = "rpm"

    def __init__(self, root: Root, skips: Skips, distribution_ids: tuple[str, ...], merged: MergedFolders) -> None:
        self._root = root
        self._skips = skips
        self._ids = distribution_ids
        self._merged = merged
        self._has_unknown_form = False
        self._databases = [_Database(root, skips, path, form) for path, form in self._find()]

    @property
    def is_present(self) -> bool:
        """Whether the root has such records."""
        return bool(self._databases)

    @property
    def has_gaps(self) -> bool:
        """Whether some of the records could not be read."""
        return self._has_unknown_form or any(database.has_gaps for database in self._databases)

    def _find(self) -> Iterator[tuple[str, Callable[[RootedFile], BlobReader]]]:
        """Yield the newest form of each folder; a folder that is a link to the other is one."""
        real = set()
        for folder in _FOLDERS:
            try:
                real.add(self._root.realpath(folder))
            except UnreadableError:
                continue
        for folder in sorted(real):
            there = [(name, form) for name, form in _FORMS if self._root.is_file(f"{folder}/{name}")]
            if not there and self._is_used(folder):
                self._has_unknown_form = True
                self._skips.add("database-not-read", f"{shown(folder)}: holds no rpm database of a known form")
            for name, form in there[:1]:
                yield f"{folder}/{name}", form
            for name, _ in there[1:]:
                self._skips.add("database-not-read", f"{shown(folder)}/{name}: rpm's older form beside {there[0][0]}")

    def _is_used(self, folder: str) -> bool:
        try:
            return bool(self._root.listdir(folder))
        except UnreadableError as error:
            self._skips.add_error(error, shown(folder))
            return False

    def look_up(self, paths: Iterable[str]) -> dict[str, Package]:
        """Return the owning package of each of these real paths that a package owns."""
        wanted: dict[bytes, dict[bytes, str]] = {}
        for path in paths:
            for name in self._merged.names_of(path):
                folder, _, base = os.fsencode(name).rpartition(b"/")
                wanted.setdefault(folder + b"/", {})[base] = path
        found: dict[str, Package] = {}
        for database in self._databases:
            for path, package in (database.ask(wanted, partial(self._owners, wanted, database.path)) or {}).items():
                found.setdefault(path, package)
        return found

    def _owners(
        self, wanted: Mapping[bytes, Mapping[bytes, str]], place: str, headers: Iterator[RpmHeader]
    ) -> dict[str, Package]:
        found: dict[str, Package] = {}
        for header in headers:
            owned = [path for path in header.owned(wanted) if path not in found]
            package = self._package(header, place) if owned else None
            if package is not None:
                found.update(dict.fromkeys(owned, package))
        return found

    def changelogs(self, packages: Iterable[Package]) -> dict[Package, Changelog]:
        """Return the changelogs of these packages; one that no header belongs to any more is left out."""
        asked = set(packages)
        found: dict[Package, Changelog] = {}
        for database in self._databases if asked else ():
            for package, changelog in (
                database.ask(None, partial(self._changelogs, asked, database.path)) or {}
            ).items():
                found.setdefault(package, changelog)
        return found

    def _changelogs(self, asked: set[Package], place: str, headers: Iterator[RpmHeader]) -> dict[Package, Changelog]:
        found: dict[Package, Changelog] = {}
        names = {package.name for package in asked}
        for header in headers:
            if header.text(tags.NAME) not in names:
                continue
            package = self._package(header, place)
            if package is not None and package in asked and package not in found:
                found[package] = parse_rpm_changelog(
                    place,
                    header.numbers(tags.CHANGELOG_TIME),
                    header.raw_strings(tags.CHANGELOG_NAME),
                    header.raw_strings(tags.CHANGELOG_TEXT),
                )
        return found

    def _package(self, header: RpmHeader, place: str) -> Package | None:
        try:
            return package_of_header(header, self._ids)
        except InvalidFactError as error:
            self._skips.add("invalid-record", f"{shown(place)}: {shown(header.text(tags.NAME)[:80])}: {error}")
            return None


def package_of_header(header: RpmHeader, distribution_ids: tuple[str, ...]) -> Package:
    """Return the package that a header describes. Raises InvalidFactError for one that no package can have.

    The name of the source package's file tells its version without the epoch: the package's own is taken where version
    and release are the same.
    """
    version = f"{header.text(tags.VERSION)}-{header.text(tags.RELEASE)}"
    epochs = header.numbers(tags.EPOCH)
    full = f"{epochs[0]}:{version}" if epochs else version
    name = header.text(tags.NAME)
    source, source_version = name, full
    if match := _SOURCE_RPM.fullmatch(header.text(tags.SOURCE_RPM)):
        source, source_version = match["name"], f"{match['version']}-{match['release']}"
        if source_version == version:
            source_version = full
    vendor = header.text(tags.VENDOR)
    return Package(
        manager="rpm",
        name=name,
        version=full,
        source=source,
        source_version=source_version,
        arch=header.text(tags.ARCH) or None,
        origin=judge_rpm_origin(vendor, distribution_ids),
        vendor=(vendor or header.text(tags.PACKAGER))[:256] or None,
    )


class _Database:
    """One database file, and which folders each of its headers has files in, by a 32-bit sum of their names."""

    def __init__(self, root: Root, skips: Skips, path: str, form: Callable[[RootedFile], BlobReader]) -> None:
        self.path = path
        self._root = root
        self._skips = skips
        self._form = form
        self._known: dict[_Place, array[int]] = {}
        self._known_state: FileState | None = None
        self._is_unreadable = False
        self.has_gaps = False
        self._tell_log()

    def _tell_log(self) -> None:
        """Tell of a write-ahead log: what was installed since SQLite last emptied it is only there."""
        try:
            size = self._root.stat(f"{self.path}-wal").st_size
        except UnreadableError:
            return
        if size:
            self.has_gaps = True
            detail = f"{shown(self.path)}-wal: {size} bytes of the newest changes are not read; rpm writes them back"
            self._skips.add("write-ahead-log", detail)

    def ask(self, folders: Iterable[bytes] | None, collect: Callable[[Iterator[RpmHeader]], T]) -> T | None:
        """Return what ``collect`` makes of the headers with files in one of these folders, or of all headers.

        A database that cannot be read is told once, and answers None.
        """
        if self._is_unreadable:
            return None
        sums = None if folders is None else {zlib.crc32(folder) for folder in folders}
        try:
            return self._root.examine(self.path, lambda file: collect(self._headers(file, sums)))
        except UnreadableError as error:
            self._is_unreadable = self.has_gaps = True
            self._skips.add_error(error, shown(self.path))
            return None

    def _headers(self, file: RootedFile, sums: set[int] | None) -> Iterator[RpmHeader]:
        reader = self._form(file)
        if file.state == self._known_state:
            for place, folders in self._known.items():
                if sums is None or not sums.isdisjoint(folders):
                    header = self._header(file, reader, place, is_told=True)
                    if header is not None:
                        yield header
            return
        known: dict[_Place, array[int]] = {}
        total = 0
        try:
            for place in reader.places():
                total += place[2]
                if total > file.size:
                    raise damaged("its headers claim more bytes than the file has")
                header = self._header(file, reader, place, is_told=False)
                known[place] = array("I", sorted({zlib.crc32(f) for f in header.folders()}) if header else ())
                if header is not None and (sums is None or not sums.isdisjoint(known[place])):
                    yield header
        except UnreadableError as error:
            if file.has_changed() or not known:
                raise
            # What was read up to the damage holds; the rest stays unknown.
            self.has_gaps = True
            self._skips.add_error(error, shown(self.path))
        self._known, self._known_state = known, file.state

    def _header(self, file: RootedFile, reader: BlobReader, place: _Place, *, is_told: bool) -> RpmHeader | None:
        try:
            return parse_rpm_header(reader.blob(place))
        except UnreadableError as error:
            if file.has_changed():
                raise
            if not is_told:
                self.has_gaps = True
                self._skips.add_error(error, shown(self.path))
            return None
