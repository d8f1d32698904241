"""A folder with documents of the operator's, and the last good state of what they say.

Whoever serves takes up a change without a restart: a question costs at most one look at the names and times of the
files a second. What is broken does not replace what was said before, and each problem is logged once.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

from libcensus.collector.log import escape_control

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

_LOGGER = logging.getLogger(__name__)

SUFFIX = ".json"
MOST_FILES = 1000
"""Documents that a folder may have."""

_SECONDS_BETWEEN_LOOKS = 1.0

Stamp = tuple[tuple[str, int, int, int], ...]
"""Name, time of change, size and inode of each document's file."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: ``file`` is the document's file, or the folder."""

    file: str
    text: str

    def __str__(self) -> str:
        """Return it as a line."""
        return f"{self.file}: {self.text}"


class FolderState(Protocol):
    """What the documents of a folder say, by file, what is wrong now, and which broken files say what they said."""

    @property
    def documents(self) -> Mapping[str, object]:
        """What is said, by file."""

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong now."""

    @property
    def kept(self) -> frozenset[str]:
        """Files whose present content is broken and that still say what they said before."""

    def with_problem(self, problem: Problem) -> Self:
        """Return the same with this problem alone."""


S = TypeVar("S", bound=FolderState)


def broken_files(problems: Iterable[Problem]) -> int:
    """Return how many files, or the folder itself, have something wrong."""
    return len({problem.file for problem in problems})


class DocumentFolder(ABC, Generic[S]):
    """Gives the present state of a folder; ``what`` names its documents in the log. May be asked by several threads."""

    def __init__(self, folder: Path | None, what: str, empty: S, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._what = what
        self._clock = clock
        self._lock = threading.Lock()
        self._looked: float | None = None
        self._stamp: Stamp | None = None
        self._state = empty

    def __call__(self) -> S:
        """Return what the documents say now; never raises for what is in the folder."""
        with self._lock:
            now = self._clock()
            if self._looked is None or now - self._looked >= _SECONDS_BETWEEN_LOOKS:
                self._looked = now
                self._look()
            return self._state

    @abstractmethod
    def _take(self, paths: Sequence[Path]) -> None:
        """Read documents that are others than they were, and note the state that follows."""

    def _look(self) -> None:
        if self._folder is None:
            return
        try:
            paths = documents_in(self._folder)
            stamp = stamp_of(paths)
        except FileNotFoundError:
            # A folder that never was holds nothing; one that went away did not take back what it said.
            if self._state.documents:
                self._fail("is gone; put it back, or restart the collector without it")
                return
            paths, stamp = [], ()
        except OSError as error:
            self._fail(f"cannot be read: {error.strerror}")
            return
        if stamp != self._stamp:
            self._stamp = stamp
            self._take(paths)

    def _fail(self, text: str) -> None:
        """Note that the folder itself cannot be looked at; what it said stays."""
        self._stamp = None
        self._refuse(text)

    def _refuse(self, text: str) -> None:
        """Note that the folder as a whole is not taken as it is; what it said stays."""
        self._note(self._state.with_problem(Problem(str(self._folder), text)))

    def _note(self, state: S) -> None:
        known = set(self._state.problems)
        self._state = state
        for problem in state.problems:
            if problem not in known:
                stays = "what it said before stays" if problem.file in state.kept else "it counts for nothing"
                if problem.file == str(self._folder):
                    stays = "the state before stays"
                _LOGGER.error("%s: %s (%s)", self._what, escape_control(str(problem)), stays)


def documents_in(folder: Path) -> list[Path]:
    """Return the documents of a folder by name: files that end in .json and do not begin with a dot. Raises OSError."""
    names = [entry.name for entry in os.scandir(folder) if _is_document(entry)]
    return [folder / name for name in sorted(names)]


def _is_document(entry: os.DirEntry[str]) -> bool:
    # Links count: configuration management puts files in place by them.
    return entry.name.endswith(SUFFIX) and not entry.name.startswith(".") and not entry.is_dir()


def stamp_of(paths: Iterable[Path]) -> Stamp:
    """Return what changes when a document does."""
    found = []
    for path in paths:
        try:
            info = path.stat()
        except OSError:
            found.append((path.name, -1, -1, -1))
        else:
            found.append((path.name, info.st_mtime_ns, info.st_size, info.st_ino))
    return tuple(found)


def read_document_bytes(path: Path, limit: int) -> bytes:
    """Return a document's content, one byte more than the limit where it has more. Raises OSError."""
    # A pipe or a device under such a name must not hold anybody up.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(limit + 1)
