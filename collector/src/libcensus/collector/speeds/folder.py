"""The folder with documents of measured speed, and the last good state of what they say.

It is taken up as accepted risks are: a question costs at most one look at the names and times of the files a second, a
document that is broken does not replace what it said before, and each problem is logged once.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from libcensus.collector.documents import MOST_FILES, DocumentFolder, Problem, broken_files, read_document_bytes
from libcensus.collector.speeds.document import LARGEST, SpeedFormatError, read_speed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from libcensus.collector.posture.speed import SpeedRun

_LOGGER = logging.getLogger(__name__)


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
        return broken_files(self.problems)

    def with_problem(self, problem: Problem) -> SpeedState:
        """Return the same with this problem alone."""
        return replace(self, problems=(problem,))


class SpeedSource(DocumentFolder[SpeedState]):
    """Gives the present state. May be asked by several threads."""

    def __init__(
        self,
        folder: Path | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(folder, "measured speed", SpeedState({}), clock)
        self._runs: tuple[SpeedRun, ...] = ()

    def runs(self) -> tuple[SpeedRun, ...]:
        """Return all runs, in the order of their files: the same object until one changed."""
        self()
        with self._lock:
            return self._runs

    def _take(self, paths: Sequence[Path]) -> None:
        before = self._state
        if len(paths) > MOST_FILES:
            text = f"has {len(paths)} documents; at most {MOST_FILES} are taken, and the state before stays"
            self._refuse(text)
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
