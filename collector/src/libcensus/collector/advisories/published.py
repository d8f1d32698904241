"""The catalogue that verdicts rest on: the snapshot on board and the good feeds, newest record first.

Whoever serves takes up a new state without a restart: each question costs at most one stat per feed, and the catalogue
stays the same object until some fact in it changed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping  # noqa: TC003  the dataclass decorator of slots needs it at run time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from libcensus.collector.advisories.merge import merge_feeds
from libcensus.collector.advisories.snapshot import (
    TABLES,
    SnapshotError,
    catalogue_of,
    load_snapshot,
    quirk_table_of,
    read_table,
)
from libcensus.collector.advisories.state import StateFolder

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date
    from pathlib import Path

    from libcensus.collector.advisories.snapshot import Tables
    from libcensus.collector.advisories.state import FeedState
    from libcensus.collector.posture.catalogue import Catalogue

_LOGGER = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOOKS = 1.0


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """What the snapshot and the states of a folder say together.

    ``feeds`` are the newest days of the states that are in the catalogue, ``passed_over`` what is wrong with others.
    """

    catalogue: Catalogue
    feeds: Mapping[str, date]
    passed_over: Mapping[str, str] = field(default_factory=dict)


def read_folder(folder: Path) -> FolderFacts:
    """Return the facts of the snapshot and of a folder's good states, once; nothing is written and nothing logged.

    Raises SnapshotError when the snapshot on board is damaged.
    """
    stored = StateFolder(folder).load()
    joined = _joined(stored.states)
    return FolderFacts(joined.catalogue, joined.feeds, {**stored.damaged, **joined.passed_over})


def load_catalogue(folder: Path | None) -> Catalogue:
    """Return what the snapshot and the good feeds in a folder say; the snapshot alone where there are none.

    A damaged state is logged and passed over. Raises SnapshotError when the snapshot on board is damaged.
    """
    return CatalogueSource(folder)()


def embedded_tables() -> Tables:
    """Return the tables of the snapshot on board."""
    return {name: read_table(name) for name in TABLES}


def catalogue_with(states: Mapping[str, FeedState], tables: Tables | None = None) -> Catalogue:
    """Return the catalogue of the snapshot and these states; raises SnapshotError naming what cannot be true."""
    try:
        merged = merge_feeds(embedded_tables() if tables is None else tables, states)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        # Readers write rows of one shape; another version of this program may have written others.
        raise SnapshotError("feeds", f"hold facts of another shape: {type(error).__name__}: {error}") from error
    published = catalogue_of(merged)
    return replace(published, quirks=quirk_table_of(read_table("quirks")))


class CatalogueSource:
    """Gives the present catalogue, the same object until a fact changes. May be asked by several threads at once."""

    def __init__(self, folder: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = None if folder is None else StateFolder(folder)
        self._clock = clock
        self._lock = threading.Lock()
        self._looked: float | None = None
        self._stamp: object = None
        self._facts: Mapping[str, str] = {}
        self._catalogue: Catalogue | None = None

    def __call__(self) -> Catalogue:
        """Return the catalogue; raises SnapshotError only when the snapshot on board is damaged."""
        with self._lock:
            now = self._clock()
            if self._catalogue is None or self._looked is None or now - self._looked >= _SECONDS_BETWEEN_LOOKS:
                self._looked = now
                self._look()
            if self._catalogue is None:
                raise AssertionError("a catalogue was looked for and not made")
            return self._catalogue

    def _look(self) -> None:
        stamp = () if self._folder is None else self._folder.stamp()
        if self._catalogue is not None and stamp == self._stamp:
            return
        self._stamp = stamp
        if self._folder is None or not stamp:
            facts: dict[str, str] = {}
            if self._catalogue is None or facts != self._facts:
                self._catalogue, self._facts = load_snapshot(), facts
            return
        stored = self._folder.load()
        for feed, problem in sorted(stored.damaged.items()):
            _tell(feed, problem)
        facts = {feed: f"{state.newest.isoformat()} {state.facts_checksum}" for feed, state in stored.states.items()}
        if self._catalogue is not None and facts == self._facts:
            return
        joined = _joined(stored.states)
        for feed, problem in joined.passed_over.items():
            _tell(feed, problem)
        self._catalogue, self._facts = joined.catalogue, facts
        _LOGGER.info("advisories: verdicts rest on facts up to %s", self._catalogue.snapshot_date.isoformat())


def _tell(feed: str, problem: str) -> None:
    _LOGGER.error(
        "advisories: the state of %s is passed over, and the facts on board stand in: %s; "
        "`libcensus-collector advisories update %s` fetches it anew",
        feed,
        problem,
        feed,
    )


def _joined(states: Mapping[str, FeedState]) -> FolderFacts:
    """Return the catalogue with every feed that fits: each was checked when taken, though maybe by another version.

    Raises SnapshotError when the snapshot on board is damaged.
    """
    days = {feed: state.newest for feed, state in states.items()}
    try:
        return FolderFacts(catalogue_with(states) if states else load_snapshot(), days)
    except SnapshotError:
        catalogue = load_snapshot()
    fitting: dict[str, FeedState] = {}
    passed_over: dict[str, str] = {}
    for feed, state in states.items():
        try:
            catalogue = catalogue_with({**fitting, feed: state})
        except SnapshotError as error:
            passed_over[feed] = f"{error.place}: {error.problem}"
        else:
            fitting[feed] = state
    return FolderFacts(catalogue, {feed: days[feed] for feed in fitting}, passed_over)
