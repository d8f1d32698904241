"""The package records of one root, whichever managers keep them: which package owns a file.

Each manager's reader is asked in turn and the first owner counts, because a root may hold several (rpm's tools on a
Debian). It refuses to guess: what no record names has no owner here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from libcensus.agent.packages.apk import ApkRecords
from libcensus.agent.packages.dpkg import DpkgRecords
from libcensus.agent.packages.merged import MergedFolders
from libcensus.agent.packages.pacman import PacmanRecords
from libcensus.agent.packages.rpm import RpmRecords

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from libcensus.agent.host import Root
    from libcensus.agent.packages.changelog import Changelog
    from libcensus.agent.probes.skips import Skips
    from libcensus.facts.package import Package


class Records(Protocol):
    """What every manager's reader does."""

    manager: str

    @property
    def is_present(self) -> bool:
        """Whether the root has such records."""

    @property
    def has_gaps(self) -> bool:
        """Whether some of the records could not be read."""

    def look_up(self, paths: Iterable[str]) -> dict[str, Package]:
        """Return the owning package of each of these real paths that a package owns."""


class PackageDatabase:
    """The records of one root's package managers; empty where there are none.

    Look-ups are cached: asking again for a path costs nothing.
    """

    def __init__(self, root: Root, skips: Skips, distribution_ids: tuple[str, ...] = ()) -> None:
        merged = MergedFolders(root)
        self._rpm = RpmRecords(root, skips, distribution_ids, merged)
        readers: tuple[Records, ...] = (
            DpkgRecords(root, skips, distribution_ids, merged),
            self._rpm,
            ApkRecords(root, skips, distribution_ids, merged),
            PacmanRecords(root, skips, distribution_ids, merged),
        )
        self._all = readers
        self._readers = tuple(reader for reader in readers if reader.is_present)
        self._owners: dict[str, Package | None] = {}

    @property
    def manager(self) -> str | None:
        """The main package manager of the root, or None where there is none."""
        return self._readers[0].manager if self._readers else None

    @property
    def has_gaps(self) -> bool:
        """Whether some records could not be read, so far: a file without an owner here may have one."""
        return any(reader.has_gaps for reader in self._all)

    def owners(self, paths: Iterable[str]) -> dict[str, Package]:
        """Return the owning package of each of these real paths that a package owns."""
        asked = set(paths)
        unknown = asked - self._owners.keys()
        for reader in self._readers:
            if not unknown:
                break
            found = reader.look_up(unknown)
            self._owners.update(found)
            unknown -= found.keys()
        self._owners.update(dict.fromkeys(unknown))
        return {path: package for path in asked if (package := self._owners.get(path)) is not None}

    def owner(self, path: str) -> Package | None:
        """Return the package that owns one real path; ask for many at once by :meth:`owners`."""
        return self.owners((path,)).get(path)

    def recorded_changelogs(self, packages: Iterable[Package]) -> Mapping[Package, Changelog]:
        """Return the changelogs that the records themselves hold: rpm's headers do, no other manager's."""
        return self._rpm.changelogs(package for package in packages if package.manager == "rpm")
