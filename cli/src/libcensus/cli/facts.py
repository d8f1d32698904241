"""The published facts that a command judges by here: those on board, or also those that a folder of feeds holds.

The folder is what ``libcensus-collector advisories update`` or ``import`` filled. It is read and never written; a feed
whose state is damaged is told and passed over, as a collector does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from libcensus.cli.errors import ConfigurationError
from libcensus.cli.terminal import say
from libcensus.collector.advisories.published import read_folder
from libcensus.collector.advisories.snapshot import load_snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from libcensus.cli.config import AdvisoriesFolder
    from libcensus.collector.posture.catalogue import Catalogue

_FILL = "`libcensus-collector advisories update --advisories-dir {folder}` fills one"


@dataclass(frozen=True, slots=True)
class Facts:
    """The catalogue with where it is from; ``feeds`` are those of the folder by name, with the newest day of each."""

    catalogue: Catalogue
    folder: str | None
    feeds: Mapping[str, date]

    def __str__(self) -> str:
        """Return of which day they are and where they are from, in a line."""
        day = self.catalogue.snapshot_date.isoformat()
        if self.folder is None:
            return f"published up to {day}, on board"
        count = f"{len(self.feeds)} feed" + ("" if len(self.feeds) == 1 else "s")
        return f"published up to {day}, on board and of {count} in {self.folder}"


def load_facts(folder: AdvisoriesFolder | None) -> Facts:
    """Return the facts on board joined with those of a folder, where one is named.

    Raises ConfigurationError for a folder that is not there, or holds no state of a feed that can be used.
    """
    if folder is None:
        return Facts(load_snapshot(), None, {})
    path = Path(folder.path)
    fill = _FILL.format(folder=folder.path)
    if not path.is_dir():
        problem = "is no folder" if path.exists() else "is not there"
        raise ConfigurationError(f"advisories_dir: {folder} {problem}; {fill}")
    found = read_folder(path)
    for feed, problem in sorted(found.passed_over.items()):
        say(f"libcensus: warning: the facts of {feed} are passed over, and those on board stand in: {problem}")
    if not found.feeds:
        holds = "no feed's facts can be used" if found.passed_over else "holds no facts of any feed"
        raise ConfigurationError(f"advisories_dir: {folder} {holds}; {fill}")
    return Facts(found.catalogue, folder.path, found.feeds)


def tell_folder(facts: Facts) -> None:
    """Say on standard error of which day the facts are, where a folder was named."""
    if facts.folder is not None:
        say(f"libcensus: judged by facts {facts}")


def facts_object(facts: Facts) -> dict[str, object]:
    """Return the facts as JSON has them: of which day, and where they are from."""
    return {
        "newest": facts.catalogue.snapshot_date.isoformat(),
        "reaches": {subject: day.isoformat() for subject, day in sorted(facts.catalogue.reaches.items())},
        "folder": facts.folder,
        "feeds": {feed: day.isoformat() for feed, day in sorted(facts.feeds.items())},
    }
