"""Reads pacman's records: a folder for each package (``/var/lib/pacman/local``) with its fields and its files.

Both texts are blocks: a line ``%NAME%``, its values one a line, and an empty line (libalpm's be_local.c). The file
lists are read for each batch of paths, the fields only of packages that own one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import shown
from libcensus.agent.packages.origin import judge_pacman_origin
from libcensus.facts.package import Package
from libcensus.facts.validation import InvalidFactError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from libcensus.agent.host import Root
    from libcensus.agent.packages.merged import MergedFolders
    from libcensus.agent.probes.skips import Skips

_LOCAL = "/var/lib/pacman/local"
_MAX_FILES = 32 << 20
_MAX_FIELDS = 4 << 20


def parse_pacman_fields(text: str) -> dict[str, list[str]]:
    """Return the values of each block of a ``desc``, by name without the percent signs."""
    fields: dict[str, list[str]] = {}
    values: list[str] | None = None
    for line in text.split("\n"):
        if len(line) > 2 and line.startswith("%") and line.endswith("%"):
            values = fields.setdefault(line[1:-1], [])
        elif not line:
            values = None
        elif values is not None:
            values.append(line)
    return fields


def parse_pacman_files(data: bytes) -> set[bytes]:
    """Return the paths that a ``files`` lists, without their first ``/``; folders end with one."""
    start = data.find(b"%FILES%\n")
    if start < 0:
        return set()
    start += len(b"%FILES%\n")
    end = data.find(b"\n\n", start - 1)
    return set(data[start : end if end >= 0 else len(data)].split(b"\n")) - {b""}


class PacmanRecords:
    """The records of pacman in one root."""

    manager = "pacman"

    def __init__(self, root: Root, skips: Skips, distribution_ids: tuple[str, ...], merged: MergedFolders) -> None:
        self._root = root
        self._skips = skips
        self._ids = distribution_ids
        self._merged = merged
        self.has_gaps = False
        self._is_present = root.is_folder(_LOCAL)

    @property
    def is_present(self) -> bool:
        """Whether the root has such records."""
        return self._is_present

    def look_up(self, paths: Iterable[str]) -> dict[str, Package]:
        """Return the owning package of each of these real paths that a package owns."""
        wanted = {os.fsencode(name[1:]): path for path in paths for name in self._merged.names_of(path)}
        found: dict[str, Package] = {}
        for folder in self._folders():
            try:
                files = parse_pacman_files(self._root.read_bytes(f"{_LOCAL}/{folder}/files", _MAX_FILES))
            except UnreadableError as error:
                self.has_gaps = True
                self._skips.add_error(error)
                continue
            owned = wanted.keys() & files
            package = self._package(folder) if owned else None
            if package is not None:
                for name in owned:
                    found.setdefault(wanted[name], package)
        return found

    def _folders(self) -> list[str]:
        try:
            return [name for name in self._root.listdir(_LOCAL) if name != "ALPM_DB_VERSION"]
        except UnreadableError as error:
            self.has_gaps = True
            self._skips.add_error(error)
            return []

    def _package(self, folder: str) -> Package | None:
        path = f"{_LOCAL}/{folder}/desc"
        try:
            return package_of_fields(parse_pacman_fields(self._root.read_text(path, _MAX_FIELDS)), self._ids)
        except UnreadableError as error:
            self._skips.add_error(error)
        except InvalidFactError as error:
            self._skips.add("invalid-record", f"{shown(path)}: {error}")
        return None


def package_of_fields(fields: Mapping[str, list[str]], distribution_ids: tuple[str, ...]) -> Package:
    """Return the package that a ``desc`` describes. Raises InvalidFactError for one that no package can have."""
    first = {name: values[0] for name, values in fields.items() if values}
    name, version = first.get("NAME", ""), first.get("VERSION", "")
    packager = first.get("PACKAGER")
    return Package(
        manager="pacman",
        name=name,
        version=version,
        source=first.get("BASE", name),
        source_version=version,
        arch=first.get("ARCH"),
        origin=judge_pacman_origin(packager, distribution_ids),
        vendor=packager[:256] if packager else None,
    )
