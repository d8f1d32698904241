"""Finds what travels with a single ELF file: the files that its loader finds beside it, on this file system.

Only what ``$ORIGIN`` leads to is followed, in a needed name, RPATH or RUNPATH, from file to file; and, of an install
with a prefix of its own, an absolute path below that, because such an install is at its place or nowhere. Other
absolute paths, the loader's cache and its default folders are this host's: what lies there stays behind, and is asked
of the other host.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from libcensus.agent.artefact.gather import member_of
from libcensus.agent.artefact.linking import MOST_LINKS, Part, search_of
from libcensus.agent.artefact.source import FileSource, shown
from libcensus.agent.elf.loader import MUSL_DIRECTORIES, LoadedObject, default_directories
from libcensus.agent.errors import ArtefactError, ElfError
from libcensus.facts.vocabulary import FileRole

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from libcensus.agent.elf.reader import Elf

_ORIGIN = ("$ORIGIN", "${ORIGIN}")


def _path_of(text: str | None, prefix: str | None) -> str | None:
    """Return the entries of a search path that lead to what travels; an empty RUNPATH still hides RPATH."""
    return None if text is None else ":".join(part for part in text.split(":") if _is_own(part, prefix))


def _is_own(path: str, prefix: str | None) -> bool:
    return path.startswith(_ORIGIN) or is_below(path, prefix)


def is_below(path: str, prefix: str | None) -> bool:
    """Tell whether an absolute path is at or below a prefix, as it is written."""
    return prefix is not None and f"{path}/".startswith(f"{prefix}/") and "/../" not in f"{path}/"


@dataclass(slots=True)
class Beside:
    """The files that were found, by real path, with the symbolic links on the way to them; and what stopped it.

    ``prefix`` is the folder of the program's own install, where it has one for itself.
    """

    prefix: str | None = None
    parts: dict[str, Part] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    unread: dict[str, ArtefactError] = field(default_factory=dict)
    _read: dict[str, Part | None] = field(default_factory=dict)
    _defaults: dict[tuple[str, int], frozenset[str]] = field(default_factory=dict)

    def begin(self, part: Part) -> Part:
        """Take the file itself, and all that is found for it."""
        _, links = _resolve(part.place)
        own = replace(part, elf=self._movable(part.elf))
        self.links.update(links)
        self.parts[own.location] = own
        self.follow([own])
        return own

    def add(self, path: str, role: FileRole, opener: Part) -> Part | None:
        """Take a file that a program opens at a path; None where none is there that it could load."""
        part = self._part(path)
        if part is None or part.elf.arch != opener.elf.arch:
            return None
        if part.elf.interpreter not in {None, opener.elf.interpreter}:
            return None
        self.parts[part.location] = replace(part, role=role, opened=path)
        return self.parts[part.location]

    def follow(self, start: Sequence[Part]) -> None:
        """Take all that the loader finds for the first of these files and the ones that it opens then."""
        search = search_of(start[0], self._elf)
        for _asker, resolution in search.load([LoadedObject(part.place, part.elf) for part in start]):
            # Without facts it is musl's loader itself, which is this host's.
            found = None if resolution.elf is None else resolution.path
            part = None if found is None else self._part(found)
            if part is not None:
                self.parts.setdefault(part.location, part)

    def _elf(self, path: str) -> Elf | None:
        part = self._part(path)
        if part is None or self._is_hosts(path, part) or self._is_hosts(part.location, part):
            return None
        return part.elf

    def _is_hosts(self, path: str, part: Part) -> bool:
        """Tell whether a file lies in a default folder: every program finds it there, whoever's it is."""
        arch, bits = part.elf.arch, part.elf.bits
        if (arch, bits) not in self._defaults:
            folders = (*default_directories(arch, bits), *MUSL_DIRECTORIES)
            self._defaults[arch, bits] = frozenset((*folders, *map(os.path.realpath, folders)))
        return path.rpartition("/")[0] in self._defaults[arch, bits]

    def _part(self, path: str) -> Part | None:
        try:
            real, links = _resolve(path)
        except PermissionError as error:
            self.unread[shown(path)] = ArtefactError("unreadable", error.strerror or str(error))
            return None
        except OSError:
            return None
        self.links.update(links)
        if real in self.parts:
            return self.parts[real]
        if real not in self._read:
            self._read[real] = self._library(real)
        return self._read[real]

    def _library(self, real: str) -> Part | None:
        name = shown(real)
        try:
            with FileSource(real, follow=False) as source:
                member, _elf = member_of(name, source)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self.unread[name] = ArtefactError("unreadable", error.strerror or str(error))
            return None
        except (ArtefactError, ElfError) as error:
            if error.reason != "not-elf":
                self.unread[name] = ArtefactError(error.reason, error.detail)
            return None
        return Part(name, real, self._movable(member.elf), FileRole.LIBRARY, member.requirement)

    def _movable(self, elf: Elf) -> Elf:
        """Return a file's facts without what would find libraries that do not travel."""
        return replace(
            elf,
            needed=tuple(name for name in elf.needed if "/" not in name or _is_own(name, self.prefix)),
            rpath=_path_of(elf.rpath, self.prefix),
            runpath=_path_of(elf.runpath, self.prefix),
        )


def _resolve(path: str) -> tuple[str, Iterable[tuple[str, str]]]:
    """Return where a path really leads, and the links that were followed; raises OSError where it leads to nothing."""
    links: dict[str, str] = {}
    followed = 0
    passed: list[str] = []
    pending = [name for name in reversed(path.split("/")) if name not in {"", "."}]
    while pending:
        name = pending.pop()
        if name == "..":
            del passed[-1:]
            continue
        place = "/" + "/".join((*passed, name))
        if not os.path.islink(place):  # noqa: PTH114 - called for every part of every path that is tried
            os.stat(place)  # noqa: PTH116
            passed.append(name)
            continue
        followed += 1
        if followed > MOST_LINKS:
            raise OSError(f"{path}: more than {MOST_LINKS} links")
        links[place] = target = os.readlink(place)  # noqa: PTH115 - the text as it is
        if target.startswith("/"):
            passed.clear()
        pending += [part for part in reversed(target.split("/")) if part not in {"", "."}]
    return "/" + "/".join(passed), links.items()
