"""Brings feeds up to date: fetches or imports, reads, checks, and only then puts a state in the place of the old one.

A feed is taken whole or not at all, and each for itself: whatever is wrong with one, the others are updated and its own
last good state stays. Refused is what cannot be read, what would make the catalogue untrue, what is older than the
present state by its own days (never by a clock), and what lost more than a fifth of its facts.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from libcensus.collector.advisories.checksum import LARGEST_CHECKSUM, SUFFIX, compare_beside, compare_checksum
from libcensus.collector.advisories.document import Document
from libcensus.collector.advisories.feeds.reading import FeedFormatError, Reading, check_unique
from libcensus.collector.advisories.feeds.registry import BY_NAME, FEEDS, READER, Bounds, Feed, Source
from libcensus.collector.advisories.fetch import AbsentDocumentError, Fetched
from libcensus.collector.advisories.merge import merge_feeds
from libcensus.collector.advisories.published import catalogue_with, embedded_tables
from libcensus.collector.advisories.snapshot import SnapshotError
from libcensus.collector.advisories.state import (
    LARGEST,
    MARK,
    DamagedStateError,
    FeedDocument,
    FeedState,
    StateFolder,
    decode_state,
)
from libcensus.collector.errors import ConfigurationError, FeedError, FeedIdentityError, FeedUnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from libcensus.collector.advisories.fetch import Fetcher

LEAST_SHARE = 0.8
"""A feed with a smaller share of the present number of facts has shrunken, and is refused."""

_OLDEST_WANTED = 2018
"""Vulnerabilities of this year and later are asked for one by one; supported packages have the fixes of older ones."""


class Result(StrEnum):
    """What became of one feed."""

    UPDATED = "updated"
    UNCHANGED = "unchanged"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one feed, its state now (absent where it never had one), and the error where it failed."""

    feed: str
    result: Result
    state: FeedState | None
    error: FeedError | None = None


def exit_code_of(outcomes: Sequence[Outcome]) -> int:
    """Return 0 where nothing failed and 6 where something was updated or is unchanged beside what failed.

    Where everything failed: 5 if a source did not prove who it is, else 4 if one was unreachable, else 1.
    """
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    if not errors:
        return 0
    if len(errors) < len(outcomes):
        return 6
    if any(isinstance(error, FeedIdentityError) for error in errors):
        return FeedIdentityError.exit_code
    if any(isinstance(error, FeedUnreachableError) for error in errors):
        return FeedUnreachableError.exit_code
    return FeedError.exit_code


@dataclass(slots=True)
class Updater:
    """Updates the feeds in a state folder.

    ``force`` takes a feed although it is older or smaller than the present one; nothing else is ever let through.
    ``progress`` is told feed, bytes received and bytes expected.
    """

    folder: StateFolder
    addresses: Mapping[str, tuple[str, ...]]
    fetcher: Fetcher | None = None
    force: bool = False
    progress: Callable[[str, int, int | None], None] | None = None
    now: Callable[[], datetime] = lambda: datetime.now(UTC).replace(microsecond=0)
    _states: dict[str, FeedState] = field(default_factory=dict)

    def update(self, names: Iterable[str], tell: Callable[[Outcome], None] | None = None) -> list[Outcome]:
        """Fetch feeds from their sources. Raises ConfigurationError where the folder cannot be used."""
        return self._each([(BY_NAME[name], None) for name in names], tell)

    def load(self, files: Sequence[Path], name: str | None, tell: Callable[[Outcome], None] | None) -> list[Outcome]:
        """Import files, which are recognised by their content where ``name`` names no feed.

        All files of one feed together take the place of its present documents; a file of no feed fails by itself. A
        checksum beside a file is compared, and need not be named; where it is, that is no file of its own.
        Raises ConfigurationError where a file cannot be read.
        """
        chosen: dict[str, list[Path]] = {}
        unknown: list[Outcome] = []
        named = frozenset(files)
        for path in files:
            if path.suffix == SUFFIX:
                if path.with_suffix("") not in named:
                    text = f"{path}: is a checksum, and {path.stem} is not among the files; name that one"
                    unknown.append(Outcome(path.name, Result.FAILED, None, FeedError(text)))
                continue
            try:
                chosen.setdefault(name or recognise(path), []).append(path)
            except FeedError as error:
                unknown.append(Outcome(path.name, Result.FAILED, None, error))
        if tell is not None:
            for outcome in unknown:
                tell(outcome)
        return unknown + self._each([(BY_NAME[feed], tuple(paths)) for feed, paths in chosen.items()], tell)

    def _each(
        self, work: Sequence[tuple[Feed, tuple[Path, ...] | None]], tell: Callable[[Outcome], None] | None
    ) -> list[Outcome]:
        outcomes: list[Outcome] = []
        with self.folder.locked():
            self._states = dict(self.folder.load().states)
            for feed, files in work:
                outcome = self._one(feed, files)
                outcomes.append(outcome)
                if tell is not None:
                    tell(outcome)
        return outcomes

    def _one(self, feed: Feed, files: tuple[Path, ...] | None) -> Outcome:
        present = self._states.get(feed.name)
        try:
            fresh = self._fetched(feed, present) if files is None else self._imported(feed, files)
            if fresh is None:
                # Only what was taken before is asked for with its mark.
                state = None if present is None else self._take(self.folder.touch(present, self.now()))
                return Outcome(feed.name, Result.UNCHANGED, state)
            self._check(feed, fresh, present)
            self.folder.save(fresh)
            self._take(fresh)
        except FeedFormatError as error:
            return Outcome(feed.name, Result.FAILED, present, _refused(feed, error, files))
        except FeedError as error:
            return Outcome(feed.name, Result.FAILED, present, type(error)(f"{feed.name}: {error}"))
        changed = present is None or present.facts_checksum != fresh.facts_checksum or present.newest != fresh.newest
        return Outcome(feed.name, Result.UPDATED if changed else Result.UNCHANGED, fresh)

    def _take(self, state: FeedState) -> FeedState:
        self._states[state.feed] = state
        return state

    # --- from the sources ---------------------------------------------------------------------------------------------

    def _fetched(self, feed: Feed, present: FeedState | None) -> FeedState | None:
        """Return the feed as its source has it now; None where nothing changed."""
        current = present if present is not None and present.reader == READER else None
        old = {} if current is None else {document.source: document for document in current.documents}
        known = self._known(feed)
        documents: list[FeedDocument] = []
        changed = current is None
        for url in self.addresses.get(feed.name, feed.urls):
            before = old.get(url)
            found = self._document(feed, url, before, known)
            changed |= found is not before
            documents.append(found)
        for url, part, stamp, day in self._targets(feed, documents):
            before = old.get(url)
            is_compared = feed.each_checksum is None or (before is not None and before.checksum_from is not None)
            if before is not None and before.stamp == stamp and is_compared:
                documents.append(before)
                continue
            try:
                documents.append(self._part(feed, url, part, stamp, day))
            except AbsentDocumentError:
                # What was withdrawn since the list was made says nothing any more.
                continue
            changed = True
        changed |= {document.source for document in documents} != old.keys()
        if not changed:
            return None
        moment = self.now()
        return FeedState(feed.name, tuple(documents), moment, moment)

    def _document(self, feed: Feed, url: str, before: FeedDocument | None, known: frozenset[str]) -> FeedDocument:
        path = self._temporary(feed)
        try:
            fetched = self._fetch(feed, url, path, feed.bounds, before)
            if fetched is None and before is not None:
                return before
            if fetched is None:
                raise FeedUnreachableError(f"{url} says that nothing changed, and was not asked that")
            members = Document(path, url.rsplit("/", 1)[-1].partition("?")[0] or url, feed.bounds)
            reading = feed.read(Source(members, url, fetched.changed, known))
            return FeedDocument(
                url,
                fetched.sha256,
                fetched.size,
                reading.newest,
                reading.rows,
                etag=fetched.etag,
                last_modified=fetched.last_modified,
                targets=reading.targets,
            )
        finally:
            path.unlink(missing_ok=True)

    def _part(self, feed: Feed, url: str, part: str, stamp: str, day: date) -> FeedDocument:
        if feed.read_each is None or feed.each_bounds is None:
            raise AssertionError(f"{feed.name} has no further documents")
        path = self._temporary(feed)
        try:
            fetched = self._whole(feed, url, path, feed.each_bounds)
            beside = None if feed.each_checksum is None else self._address_of(feed, part + feed.each_checksum)
            if beside is not None:
                try:
                    self._compare(feed, url, fetched.sha256, beside)
                except FeedFormatError:
                    # No source replaces the two files in one step: both are asked for once more.
                    fetched = self._whole(feed, url, path, feed.each_bounds)
                    self._compare(feed, url, fetched.sha256, beside)
            members = Document(path, part, feed.each_bounds)
            reading = feed.read_each(Source(members, url, fetched.changed), part, day)
            return FeedDocument(
                url,
                fetched.sha256,
                fetched.size,
                min(reading.newest, day),
                reading.rows,
                part=part,
                stamp=stamp,
                checksum_from=beside,
            )
        finally:
            path.unlink(missing_ok=True)

    def _compare(self, feed: Feed, url: str, found: str, beside: str) -> None:
        """Compare the SHA-256 of a document with the one that its source publishes; raises FeedFormatError.

        A source that publishes checksums and has none of a document is refused like one with a wrong checksum: what
        could be left out would check nothing.
        """
        path = self._temporary(feed, ".checksum")
        try:
            self._whole(feed, beside, path, Bounds(LARGEST_CHECKSUM, LARGEST_CHECKSUM))
            compare_checksum(path.read_bytes(), beside, found, url)
        except AbsentDocumentError:
            raise FeedFormatError(
                beside, f"is not there, and {url} is not taken without its checksum; a mirror must hold both"
            ) from None
        finally:
            path.unlink(missing_ok=True)

    def _whole(self, feed: Feed, url: str, path: Path, bounds: Bounds) -> Fetched:
        fetched = self._fetch(feed, url, path, bounds, None)
        if fetched is None:
            raise FeedUnreachableError(f"{url} says that nothing changed, and was not asked that")
        return fetched

    def _targets(self, feed: Feed, documents: Sequence[FeedDocument]) -> list[tuple[str, str, str, date]]:
        """Return address, part, stamp and day of each further document that the first ones name."""
        if feed.each is None:
            return []
        return [
            (self._address_of(feed, part), part, stamp, document.newest)
            for document in documents
            for part, stamp in document.targets
        ]

    def _address_of(self, feed: Feed, part: str) -> str:
        return self.addresses.get(feed.each_name, (feed.each or "",))[0].replace("{part}", part)

    def _fetch(self, feed: Feed, url: str, path: Path, bounds: Bounds, before: FeedDocument | None) -> Fetched | None:
        if self.fetcher is None:
            raise AssertionError("nothing can be fetched without a fetcher")
        told = self.progress
        return self.fetcher.fetch(
            url,
            path,
            bounds,
            etag=None if before is None else before.etag,
            last_modified=None if before is None else before.last_modified,
            progress=None if told is None else lambda received, expected: told(feed.name, received, expected),
        )

    def _temporary(self, feed: Feed, kind: str = "") -> Path:
        return self.folder.folder / f".{feed.name}{kind}.part"

    def _known(self, feed: Feed) -> frozenset[str]:
        """Return what needs no further document, or for Red Hat which vulnerabilities are asked for."""
        if feed.each is None:
            return frozenset()
        tables = merge_feeds(embedded_tables(), {k: v for k, v in self._states.items() if k != feed.name})
        if feed.name == "pbs":
            return frozenset(row["tag"] for row in tables["pbs"]["builds"] if row.get("openssl") is not None)
        if feed.name == "psf":
            return frozenset(
                str(row["alias"]) for row in tables["cpython"]["advisories"] if row.get("fixed") and row.get("alias")
            )
        if feed.name == "uv":
            return frozenset(row["uv"] for row in tables["pbs"]["uv"])
        names = {row.get("id") for name in ("openssl", "cpython", "nodejs") for row in tables[name]["advisories"]}
        names |= {row.get("cve") for row in tables["glibc"]["advisories"]}
        return frozenset(
            name for name in names if name and name.startswith("CVE-") and int(name.split("-")[1]) >= _OLDEST_WANTED
        )

    # --- from files ---------------------------------------------------------------------------------------------------

    def _imported(self, feed: Feed, files: Sequence[Path]) -> FeedState:
        documents: list[FeedDocument] = []
        for path in files:
            state = _brought(path)
            if state is not None:
                if state.feed != feed.name:
                    raise FeedError(f"{path} is the state of {state.feed}, not of {feed.name}")
                compare_beside(path, _digest_of(path))
                documents += state.documents
                continue
            documents.append(self._file(feed, path))
        moment = self.now()
        return FeedState(feed.name, tuple(documents), moment, moment)

    def _file(self, feed: Feed, path: Path) -> FeedDocument:
        try:
            status = path.stat()
            if status.st_size > feed.bounds.packed:
                raise FeedError(
                    f"{path} is larger than {feed.bounds.packed // 1024**2} MiB, several times what this feed ever had"
                )
        except OSError as error:
            raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
        digest = _digest_of(path)
        beside = compare_beside(path, digest)
        day = datetime.fromtimestamp(status.st_mtime, UTC).date()
        source = Source(Document(path, path.name, feed.bounds), str(path), day, self._known(feed))
        is_part = feed.name == "redhat" and path.suffix == ".json" and feed.read_each is not None
        reading: Reading = (
            feed.read_each(source, path.name, day) if is_part and feed.read_each is not None else feed.read(source)
        )
        if not reading.rows:
            raise FeedFormatError(path.name, "holds nothing that this program reads; import the documents it names")
        return FeedDocument(
            f"file {path.name}", digest, status.st_size, reading.newest, reading.rows, checksum_from=beside
        )

    # --- checks -------------------------------------------------------------------------------------------------------

    def _check(self, feed: Feed, fresh: FeedState, present: FeedState | None) -> None:
        """Raise FeedError for a state that must not take the place of the present one."""
        check_unique(fresh.rows)
        if fresh.count == 0:
            raise FeedFormatError("the feed", "holds nothing that this program reads")
        if present is not None and not self.force:
            if fresh.newest < present.newest:
                raise FeedFormatError(
                    "the feed",
                    f"is older than the present state (newest day {fresh.newest.isoformat()}, present "
                    f"{present.newest.isoformat()}); if that is meant, say --force",
                )
            if fresh.count < LEAST_SHARE * present.count:
                raise FeedFormatError(
                    "the feed",
                    f"has shrunken from {present.count} facts to {fresh.count}, below {LEAST_SHARE:.0%}; if that is "
                    "meant, say --force",
                )
        try:
            catalogue_with({**self._states, feed.name: fresh})
        except SnapshotError as error:
            raise FeedFormatError(error.place, error.problem) from None


def _refused(feed: Feed, error: FeedFormatError, files: Sequence[Path] | None) -> FeedError:
    """Return what is told of a feed that was refused: feed, place, problem, and what to do."""
    where = "" if files is None else f"{', '.join(path.name for path in files[:3])}: "
    remedy = "try again later, or import a file" if files is None else "fetch the file anew"
    if "--force" in error.problem:
        remedy = "otherwise look at the source"
    return FeedError(f"{feed.name}: {where}{error.place}: {error.problem}; the last good state stays; {remedy}")


def _digest_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error


def _brought(path: Path) -> FeedState | None:
    """Return the state that a file from another collector's folder holds; None for any other file."""
    try:
        with path.open("rb") as file:
            if f'"{MARK}"'.encode() not in file.read(64):
                return None
            file.seek(0)
            return decode_state(file.read(LARGEST), path.name)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except DamagedStateError as error:
        raise FeedError(f"{error}; copy it again") from None


_MARKS: Sequence[tuple[str, tuple[bytes, ...]]] = (
    ("openssl", (b'"CVE_RECORD"',)),
    ("ubuntu", (b'"UBUNTU-CVE-', b'"USN-')),
    ("almalinux", (b'"AlmaLinux:',)),
    ("rocky", (b'"Rocky Linux:',)),
    ("psf", (b'"PSF-',)),
    ("alpine", (b'"secfixes"', b'"distroversion"')),
    ("redhat", (b'"csaf_vex"',)),
    ("endoflife", (b'"eolFrom"',)),
    ("pbs", (b"/repos/astral-sh/python-build-standalone/releases/",)),
    ("uv", (b"/repos/astral-sh/uv/releases/",)),
    ("nodejs", (b'"affectedEnvironments"', b'"patched"')),
    ("nodejs-releases", (b'"modules"', b'"npm"', b'"lts"')),
    ("debian", (b'"releases"', b'"fixed_version"')),
)
_LOOKED_AT = 5000
_LOOK_BYTES = 4 * 1024**2


def recognise(path: Path) -> str:
    """Return the feed that a file is of, by what stands in it; raises FeedError where that cannot be told."""
    state = _brought(path)
    if state is not None:
        return state.feed
    largest = Bounds(
        max(feed.bounds.packed for feed in FEEDS),
        max(feed.bounds.unpacked for feed in FEEDS),
        max(feed.bounds.files for feed in FEEDS),
    )
    try:
        for number, (name, content) in enumerate(Document(path, path.name, largest)):
            start = content[:_LOOK_BYTES]
            if name.endswith((".md", ".txt", ".toml", ".yml", ".yaml", ".py")) or "schema" in name:
                continue
            for feed, marks in _MARKS:
                if all(mark in start for mark in marks) or (feed == "ubuntu" and any(mark in start for mark in marks)):
                    return feed
            if number >= _LOOKED_AT:
                break
    except FeedFormatError as error:
        raise FeedError(f"{path}: {error}; the last good states stay") from None
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: is not there") from None
    names = ", ".join(feed.name for feed in FEEDS)
    raise FeedError(f"{path}: cannot be recognised as a file of any feed; say --feed NAME, one of {names}")
