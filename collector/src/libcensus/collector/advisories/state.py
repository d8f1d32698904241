"""The last good state of each feed: one file per feed in the collector's state folder.

A file is written beside the old one, made durable, and put in its place in one step: whoever reads sees the old state
or the new one, whenever a process dies. It holds the facts that were read (never the feed's own bytes), what is needed
to ask the source whether anything changed, and a checksum over all of it: a file that was damaged on disk is told and
passed over, and the snapshot on board stands in.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from libcensus.collector.advisories.feeds.reading import (
    FeedFormatError,
    Row,
    check_unique,
    day_of,
    list_of,
    mapping_of,
    parse_json,
    text_of,
)
from libcensus.collector.advisories.feeds.registry import NAMES, READER
from libcensus.collector.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

FORMAT = 1
MARK = "libcensus_feed"
"""The first key of a state file; by it `import` knows one that was brought from another collector."""

_OPTIONAL = ("etag", "last_modified", "part", "stamp", "checksum_from")

LARGEST = 256 * 1024**2
"""Bytes that a state file may have; the largest real one has some hundred kilobytes."""


class DamagedStateError(Exception):
    """A state file that is not what this program wrote; the text says where and what."""


@dataclass(frozen=True, slots=True)
class FeedDocument:
    """One document as it was read last: where it came from, how the source knows it, and its facts.

    ``part`` and ``stamp`` are those of a document that another one named; ``targets`` those that this one names.
    ``checksum_from`` is the address or file of the published checksum that ``sha256`` was compared with, where one was.
    """

    source: str
    sha256: str
    size: int
    newest: date
    rows: tuple[Row, ...]
    etag: str | None = None
    last_modified: str | None = None
    part: str | None = None
    stamp: str | None = None
    checksum_from: str | None = None
    targets: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class FeedState:
    """The last good state of a feed. Times are when it was taken and when its source was asked last, both in UTC."""

    feed: str
    documents: tuple[FeedDocument, ...]
    fetched_at: datetime
    checked_at: datetime
    reader: int = READER

    @property
    def newest(self) -> date:
        """The newest day that the feed knows of."""
        return max(document.newest for document in self.documents)

    @property
    def rows(self) -> Iterator[Row]:
        """All facts of all documents."""
        return (row for document in self.documents for row in document.rows)

    @property
    def count(self) -> int:
        """The number of facts."""
        return sum(len(document.rows) for document in self.documents)

    @property
    def checksum(self) -> str:
        """SHA-256 of the facts and where they came from, in one canonical form."""
        return hashlib.sha256(_canonical([_shown(document) for document in self.documents])).hexdigest()

    @property
    def facts_checksum(self) -> str:
        """SHA-256 of the facts alone: equal where nothing changed that a verdict could rest on."""
        return hashlib.sha256(_canonical([list(document.rows) for document in self.documents])).hexdigest()


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":")).encode()


def _shown(document: FeedDocument) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "source": document.source,
        "sha256": document.sha256,
        "size": document.size,
        "newest": document.newest.isoformat(),
        "rows": list(document.rows),
    }
    for name in _OPTIONAL:
        value = getattr(document, name)
        if value is not None:
            shown[name] = value
    if document.targets:
        shown["targets"] = [list(target) for target in document.targets]
    return shown


def encode_state(state: FeedState) -> bytes:
    """Return a state as its file's content."""
    table = {
        MARK: state.feed,
        "format": FORMAT,
        "reader": state.reader,
        "fetched_at": state.fetched_at.isoformat(),
        "checked_at": state.checked_at.isoformat(),
        "newest": state.newest.isoformat(),
        "count": state.count,
        "sha256": state.checksum,
        "documents": [_shown(document) for document in state.documents],
    }
    return json.dumps(table, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def decode_state(content: bytes, name: str) -> FeedState:
    """Return the state that a file holds; raises DamagedStateError for anything that this program did not write so."""
    try:
        table = mapping_of(parse_json(content, name), name)
        feed = table.get(MARK)
        if feed not in NAMES:
            raise DamagedStateError(f"{name}: is no state of a feed")
        if table.get("format") != FORMAT:
            raise DamagedStateError(f"{name}: has format {table.get('format')!r}, this program reads {FORMAT}")
        reader = table.get("reader")
        if not isinstance(reader, int):
            raise DamagedStateError(f"{name}: names no reader")
        state = FeedState(
            feed=str(feed),
            documents=tuple(_document(item, name) for item in list_of(table.get("documents"), name)),
            fetched_at=_moment(table.get("fetched_at"), name),
            checked_at=_moment(table.get("checked_at"), name),
            reader=reader,
        )
        check_unique(state.rows)
    except FeedFormatError as error:
        raise DamagedStateError(str(error)) from None
    if not state.documents or state.checksum != table.get("sha256"):
        raise DamagedStateError(f"{name}: its checksum is not that of its content")
    return state


def _document(value: object, name: str) -> FeedDocument:
    item = mapping_of(value, name)
    texts = {key: item.get(key) for key in _OPTIONAL}
    size = item.get("size")
    if not isinstance(size, int) or any(text is not None and not isinstance(text, str) for text in texts.values()):
        raise FeedFormatError(name, "holds a document that this program did not write")
    return FeedDocument(
        source=text_of(item.get("source"), name),
        sha256=text_of(item.get("sha256"), name),
        size=size,
        newest=day_of(item.get("newest"), name),
        rows=tuple(mapping_of(row, name) for row in list_of(item.get("rows"), name)),
        targets=tuple(
            (text_of(target[0], name), text_of(target[1], name))
            for target in (list_of(one, name) for one in item.get("targets") or ())
            if len(target) == 2
        ),
        **texts,
    )


def _moment(value: object, name: str) -> datetime:
    try:
        found = datetime.fromisoformat(text_of(value, name))
    except ValueError:
        raise FeedFormatError(name, f"{value!r} is no time") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class StoredFeeds:
    """What a state folder holds: the good states by feed, and for each damaged file what is wrong with it."""

    states: Mapping[str, FeedState] = field(default_factory=dict)
    damaged: Mapping[str, str] = field(default_factory=dict)


class StateFolder:
    """The folder with one file per feed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path_of(self, feed: str) -> Path:
        """Return the place of a feed's state."""
        return self.folder / f"{feed}.json"

    def stamp(self) -> tuple[tuple[str, int, int, int], ...]:
        """Return what changes when any state does: a stat of each file, nothing read."""
        found = []
        for feed in NAMES:
            try:
                status = self.path_of(feed).stat()
            except OSError:
                continue
            found.append((feed, status.st_ino, status.st_mtime_ns, status.st_size))
        return tuple(found)

    def load(self) -> StoredFeeds:
        """Return every state; a damaged or unreadable file is told in the result and stands in nobody's way."""
        states: dict[str, FeedState] = {}
        damaged: dict[str, str] = {}
        for feed in NAMES:
            try:
                states[feed] = self._read(feed)
            except FileNotFoundError:
                continue
            except OSError as error:
                damaged[feed] = f"{self.path_of(feed)}: cannot be read: {error.strerror}"
            except DamagedStateError as error:
                damaged[feed] = str(error)
        return StoredFeeds(states, damaged)

    def _read(self, feed: str) -> FeedState:
        path = self.path_of(feed)
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise DamagedStateError(f"{path}: is larger than {LARGEST // 1024**2} MiB")
        state = decode_state(content, str(path))
        if state.feed != feed:
            raise DamagedStateError(f"{path}: is the state of {state.feed}")
        return state

    def save(self, state: FeedState) -> None:
        """Put a state in the place of the old one, durably and in one step. Raises ConfigurationError."""
        path = self.path_of(state.feed)
        fresh = self.folder / f".{state.feed}.{os.getpid()}.new"
        try:
            with fresh.open("wb") as file:
                file.write(encode_state(state))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
            folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise ConfigurationError(f"advisories_dir: {path} cannot be written: {error.strerror}") from error

    def touch(self, state: FeedState, checked_at: datetime) -> FeedState:
        """Note that the source was asked and had nothing new."""
        checked = replace(state, checked_at=checked_at)
        self.save(checked)
        return checked

    @contextmanager
    def locked(self) -> Iterator[Path]:
        """Hold the folder for one update; gives it, clear of what a killed one left. Raises ConfigurationError."""
        try:
            self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ConfigurationError(
                f"advisories_dir: the folder {self.folder} cannot be used: {error.strerror}; name another place with "
                "--advisories-dir"
            ) from error
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ConfigurationError(
                    f"advisories_dir: another process is updating {self.folder}; wait until it has ended"
                ) from None
            for pattern in (".*.new", ".*.part"):
                for left in self.folder.glob(pattern):
                    left.unlink(missing_ok=True)
            yield self.folder
        finally:
            os.close(lock)
