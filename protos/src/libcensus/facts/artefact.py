"""What somebody wants to run or install, seen as its loader sees it; no fact of a host, and never stored.

Which file finds which other one inside the artefact was decided by who read it, as ``ld.so`` would: through RPATH,
RUNPATH and ``$ORIGIN``, without ``LD_LIBRARY_PATH``. What is left in each requirement is asked of the host.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.facts.validation import (
    InvalidFactError,
    check_optional_text,
    check_sorted,
    check_text,
)
from libcensus.facts.vocabulary import ArtefactKind, Implementation

if TYPE_CHECKING:
    from libcensus.facts.requirement import Requirement
    from libcensus.facts.vocabulary import FileRole

_WITH_TAGS = frozenset({ArtefactKind.WHEEL, ArtefactKind.WHEEL_NAME})


@dataclass(frozen=True, slots=True, order=True)
class WheelTag:
    """One tag of a wheel (PEP 425): ``cp312``, ``abi3``, ``manylinux_2_17_x86_64``."""

    interpreter: str
    abi: str
    platform: str

    def __post_init__(self) -> None:
        """Refuse empty parts."""
        for name in ("interpreter", "abi", "platform"):
            check_text(name, getattr(self, name), limit=128)

    def __str__(self) -> str:
        """Return the tag as wheels carry it."""
        return f"{self.interpreter}-{self.abi}-{self.platform}"


@dataclass(frozen=True, slots=True)
class ArtefactFile:
    """One ELF file of an artefact.

    ``requirement`` is what the artefact's own files leave open; ``uses`` are the paths of those of them that the
    loader maps for this one, directly; ``stray`` the sonames that it wants and the artefact has, where the loader
    does not look: they stand in the requirement too. Role ``executable`` is what is started, ``library`` what
    others need, ``module`` what a running program opens later.
    """

    path: str
    role: FileRole
    requirement: Requirement
    uses: tuple[str, ...] = ()
    stray: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse unsorted parts and absurd paths."""
        check_text("path", self.path, limit=16384)
        for name in ("uses", "stray"):
            for text in getattr(self, name):
                check_text(name, text, limit=16384)
            check_sorted(name, getattr(self, name))


@dataclass(frozen=True, slots=True)
class Artefact:
    """Something to run or to install, by the name under which it was given.

    ``tags`` and ``requires_python`` (a PEP 440 specifier, as the metadata has it) are a wheel's, of which one of the
    tags must fit; a zip application's ``requires_python`` comes from its first line. ``implementation`` and
    ``version`` are an interpreter's own, and of an environment those of its base: ``home`` is the folder in which an
    environment starts that (pyvenv.cfg's, PEP 405), so that it is of use only where the same Python lies there.
    """

    name: str
    kind: ArtefactKind
    files: tuple[ArtefactFile, ...] = ()
    tags: tuple[WheelTag, ...] = ()
    requires_python: str | None = None
    implementation: Implementation = Implementation.UNKNOWN
    version: str | None = None
    home: str | None = None

    def __post_init__(self) -> None:
        """Refuse unsorted parts, files that lead nowhere, and tags of what is no wheel."""
        check_text("name", self.name, limit=16384)
        check_optional_text("requires_python", self.requires_python, limit=1024)
        check_optional_text("version", self.version, limit=64)
        check_optional_text("home", self.home, limit=16384)
        check_sorted("files", self.files, key=lambda file: file.path)
        check_sorted("tags", self.tags)
        paths = {file.path for file in self.files}
        for file in self.files:
            for used in file.uses:
                if used not in paths:
                    raise InvalidFactError("files.uses", f"{used[:80]!r} is no file of the artefact")
        if self.tags and self.kind not in _WITH_TAGS:
            raise InvalidFactError("tags", f"only wheels have tags, not {self.kind}")
        if self.kind is ArtefactKind.WHEEL_NAME and self.files:
            raise InvalidFactError("files", "of a wheel that is known by its name alone")
