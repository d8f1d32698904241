"""The folder with documents of measured speed, and the last good state of what they say.

It is taken up as accepted risks are: a question costs at most one look at the names and times of the files a second, a
document that is broken does not replace what it said before, and each problem is logged once.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from libcensus.collector.acceptance.folder import Problem, documents_in, read_document_bytes, stamp_of
from libcensus.collector.log import escape_control
from libcensus.collector.speeds.document import LARGEST, SpeedFormatError, read_speed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from libcensus.collector.acceptance.folder import Stamp
    from libcensus.collector.posture.speed import SpeedRun

_LOGGER = logging.getLogger(__name__)

MOST_FILES = 1000
"""Documents that a folder may have."""

_SECONDS_BETWEEN_LOOKS = 1.0


@dataclass(frozen=True, slots=True)
class SpeedState:
    """What the documents say, by file, and what is wrong now.

    ``kept`` are the files whose present content is broken and that still say what they said before.
    """

    documents: Mapping[str, SpeedRun]
    problems: tuple[Problem, ...] = ()
    kept: frozenset[str] = frozenset()

    @property
    def broken_files(self) -> int:
        """How many files, or the folder itself, have something wrong."""
        return len({problem.file for problem in self.problems})


class SpeedSource:
    """Gives the present state. May be asked by several threads."""

    def __init__(
        self,
        folder: Path | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._lock = threading.Lock()
        self._looked: float | None = None
        self._stamp: Stamp | None = None
        self._state = SpeedState({})
        self._runs: tuple[SpeedRun, ...] = ()

    def __call__(self) -> SpeedState:
        """Return what the documents say now; never raises for what is in the folder."""
        with self._lock:
            now = self._clock()
            if self._looked is None or now - self._looked >= _SECONDS_BETWEEN_LOOKS:
                self._looked = now
                self._look()
            return self._state

    def runs(self) -> tuple[SpeedRun, ...]:
        """Return all runs, in the order of their files: the same object until one changed."""
        self()
        with self._lock:
            return self._runs

    def _look(self) -> None:
        if self._folder is None:
            return
        try:
            paths = documents_in(self._folder)
            stamp = stamp_of(paths)
        except FileNotFoundError:
            # A folder that never was holds nothing; one that went away did not take back what was measured.
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
        self._note(replace(self._state, problems=(Problem(str(self._folder), text),)))

    def _take(self, paths: Sequence[Path]) -> None:
        before = self._state
        if len(paths) > MOST_FILES:
            text = f"has {len(paths)} documents; at most {MOST_FILES} are taken, and the state before stays"
            self._note(replace(before, problems=(Problem(str(self._folder), text),)))
            return
        documents: dict[str, SpeedRun] = {}
        problems: list[Problem] = []
        for path in paths:
            name = str(path)
            try:
                documents[name] = read_speed(read_document_bytes(path, LARGEST))
            except SpeedFormatError as error:
                problems.append(Problem(name, str(error)))
            except OSError as error:
                problems.append(Problem(name, f"cannot be read: {error.strerror}"))
        broken = [problem.file for problem in problems]
        kept = {name: before.documents[name] for name in broken if name in before.documents}
        documents |= kept
        if documents != before.documents:
            self._runs = tuple(documents[name] for name in sorted(documents))
            _LOGGER.info("measured speed: %d documents", len(documents))
        self._note(SpeedState(documents, tuple(problems), frozenset(kept)))

    def _note(self, state: SpeedState) -> None:
        known = set(self._state.problems)
        self._state = state
        for problem in state.problems:
            if problem not in known:
                stays = "what it said before stays" if problem.file in state.kept else "it counts for nothing"
                if problem.file == str(self._folder):
                    stays = "the state before stays"
                _LOGGER.error("measured speed: %s (%s)", escape_control(str(problem)), stays)
