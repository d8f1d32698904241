"""The folder with the operator's OpenVEX documents, and the last good state of what it says.

Whoever serves takes up a change without a restart: a question costs at most one look at the names and times of the
files a second. A document that is broken does not replace what it said before; until it is mended the problem is kept,
logged once, and the time at which all was well stands still. What a process never read well it cannot keep: after a
restart a broken document counts for nothing, so that its findings are open again, which is the safe side.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from libcensus.collector.acceptance.openvex import LARGEST, OpenVexError, read_document
from libcensus.collector.documents import MOST_FILES, DocumentFolder, Problem, broken_files, read_document_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from libcensus.collector.acceptance.openvex import Document
    from libcensus.collector.posture.acceptance import Statement

_LOGGER = logging.getLogger(__name__)

MOST_STATEMENTS = 10_000
"""Statements that all documents together may have."""


@dataclass(frozen=True, slots=True)
class AcceptedState:
    """What the documents say. ``good_at`` is when they were looked at last with nothing wrong, absent until then.

    ``documents`` are by file; ``kept`` are the files whose present content is broken and that still say what they said
    before. ``problems`` are what is wrong now.
    """

    documents: Mapping[str, Document]
    problems: tuple[Problem, ...] = ()
    kept: frozenset[str] = frozenset()
    good_at: datetime | None = None

    @property
    def statements(self) -> tuple[Statement, ...]:
        """All statements, by file and place in it."""
        return tuple(one for name in sorted(self.documents) for one in self.documents[name].statements)

    @property
    def broken_files(self) -> int:
        """How many files, or the folder itself, have something wrong."""
        return broken_files(self.problems)

    def with_problem(self, problem: Problem) -> AcceptedState:
        """Return the same with this problem alone."""
        return replace(self, problems=(problem,))


def read_files(paths: Iterable[Path], before: Mapping[str, Document] | None = None) -> AcceptedState:
    """Return what the documents of these files say, with everything that is wrong with them; ``good_at`` is absent.

    ``before`` is what they said so far: a file that is broken now goes on saying it, and of two files with one document
    the one that had it keeps it.
    """
    said = before or {}
    documents: dict[str, Document] = {}
    problems: list[Problem] = []
    for path in paths:
        name = str(path)
        try:
            documents[name] = read_document(read_document_bytes(path, LARGEST))
        except OpenVexError as error:
            problems += [Problem(name, text) for text in error.problems]
        except OSError as error:
            problems.append(Problem(name, f"cannot be read: {error.strerror}"))
    kept = {problem.file: said[problem.file] for problem in problems if problem.file in said}
    documents |= kept
    first = {name for name, document in documents.items() if name in said and said[name].id == document.id}
    single, twins = _without_twins(documents, first)
    return AcceptedState(single, (*problems, *twins), frozenset(kept))


class AcceptanceSource(DocumentFolder[AcceptedState]):
    """Gives the present state, the same object of documents until they change. May be asked by several threads."""

    def __init__(
        self,
        folder: Path | None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(folder, "accepted risks", AcceptedState({}), clock)
        self._now = now
        self._statements: tuple[Statement, ...] = ()

    def statements(self) -> tuple[Statement, ...]:
        """Return all statements: the same object until one changed."""
        state = self()
        with self._lock:
            found = state.statements
            if found != self._statements:
                self._statements = found
            return self._statements

    def _look(self) -> None:
        super()._look()
        if not self._state.problems:
            self._state = replace(self._state, good_at=self._now())

    def _take(self, paths: Sequence[Path]) -> None:
        before = self._state.documents
        read = read_files(paths, before)
        documents = read.documents
        total = sum(len(document.statements) for document in documents.values())
        if len(paths) > MOST_FILES or total > MOST_STATEMENTS:
            text = f"has {len(paths)} documents with {total} statements; at most {MOST_FILES} with {MOST_STATEMENTS} "
            text += "are taken, and the state before stays"
            self._refuse(text)
            return
        state = replace(read, good_at=self._state.good_at)
        if state.documents != before:
            _LOGGER.info("accepted risks: %d statements in %d documents", total, len(documents))
        self._note(state)


def _without_twins(
    documents: Mapping[str, Document], first: Collection[str]
) -> tuple[dict[str, Document], list[Problem]]:
    """Return the documents without those whose id another file has already; ``first`` are looked at first."""
    holders: dict[str, str] = {}
    kept: dict[str, Document] = {}
    problems = []
    for name in sorted(documents, key=lambda one: (one not in first, one)):
        document = documents[name]
        holder = holders.setdefault(document.id, name)
        if holder == name:
            kept[name] = document
        else:
            problems.append(Problem(name, f"has the @id {document.id!r}, which {holder} has already"))
    return kept, problems
