"""Reads what a package's own changelog says is fixed: Debian's text and the tags of an rpm header.

A name of an advisory in a changelog is no proof by itself. Entries are read from the oldest to the newest, and what
they say is honoured: that a fix was reverted, that something is not affected, or that a fix was not backported. Where
the words leave a doubt the advisory is not called fixed. Pure: texts in, values out; nothing here raises for any text,
save the unpacking, which raises UnreadableError.
"""

from __future__ import annotations

import re
import zlib
from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import shown
from libcensus.facts.changelog import ChangelogFix
from libcensus.facts.validation import InvalidFactError
from libcensus.facts.vocabulary import ChangelogState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MAX_UNPACKED = 8 << 20
"""The largest changelog that is read. Those of OpenSSL, glibc and the interpreters have less than a tenth of it."""

_MAX_ENTRY_TEXT = 1 << 20
_MAX_LINE = 4096
_MAX_ENTRIES = 20_000
_MAX_ITEMS = 20_000
_MAX_TEXT = 512
_MAX_VERSION = 256

_HEAD = re.compile(r"(?P<source>\w[-+0-9a-z.]*) \((?P<version>[^() \t]+)\)(?:\s++[-+0-9a-z.]++)++;", re.IGNORECASE)
_SIGNATURE = re.compile(r" -- ?(?:[^<]*)<[^>]*>\s+(?P<date>.*\S)")
_NOTICE = re.compile(
    r"# Older entries have been removed from this changelog|# For older changelog entries, run", re.IGNORECASE
)
"""What dh_installchangelogs(1) and Ubuntu's builders write below the last entry that they leave."""

_BULLET = re.compile(r"(?P<indent>\s+)(?P<bullet>[*+\-o•])\s+(?=\S)")
_ADVISORY = re.compile(r"\b(?:CVE|CAN)-(\d{4})-(\d{4,12})(?!\d)", re.IGNORECASE)
_CUT_ADVISORY = re.compile(r"\b((?:CVE|CAN)-(?:\d{4}-)?) (?=\d{4})", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.;!?])\s+")
_PARENTHESIS = re.compile(r"\s*[:,]?\s*\((?:[^()]++|\([^()]*+\))*+\)")

_NEGATION = re.compile(
    r"\bnot\s+(?:(?:be|been|yet|being|currently|directly|going|to|itself|really|actually)\s+){0,3}"
    r"(?:affect|backport|vulnerable|fix|address|applicable|applied|apply|exploitable|resolved|patched|impact|present)"
    r"|n't\s+(?:be\s+|been\s+)?(?:affect|backport|vulnerable|fixed|address|appl|exploitable|patched|impact|been\s+fixed)"
    r"|\bunaffected\b|\b(?:is|are|remains?|still|left)\s+un(?:fixed|patched)\b"
    r"|\bno\s+(?:fix|patch)\b|\bwithout\s+(?:a\s+|the\s+)?fix\b"
    r"|\bstill\s+(?:affected|vulnerable|open|unfixed)\b"
    r"|\b(?:cannot|could\s+not)\s+be\s+(?:fixed|backported|applied)\b"
    r"|\bwon'?t\s*fix\b|\bpostponed\b|\bno-dsa\b|\bto\s+be\s+fixed\b"
    r"|\bpartial\s+(?:fix|mitigation|backport)\b|\bpartially\s+(?:fix|address|mitigat|backport)",
    re.IGNORECASE,
)
_TAKEN_BACK = re.compile(
    r"^\W*(?:(?:temporarily|partially|also|and)\s+)?(?:revert(?:s|ed|ing)?(?!\s+to\b)|back(?:s|ed|ing)?\s+out\b)",
    re.IGNORECASE,
)
_REVERT = re.compile(r"\brevert", re.IGNORECASE)
_REVERTED = re.compile(r"\breverted\b|\bbacked\s+out\b|\bwithdrawn\b", re.IGNORECASE)
_FIXED_BY_REVERT = re.compile(
    r"\bto\s+(?:fix|address|mitigate|resolve)\b|(?<!that\s)(?<!which\s)\b(?:fixes|addresses|addressing|mitigates|resolves)\b"
    r"|\b(?:introduced|introducing|caused|causing)\b",
    re.IGNORECASE,
)
_DROPPED = re.compile(r"\b(?:drop|remov|disabl)(?:s|ed|p|ped|e|ing|ping)?\b", re.IGNORECASE)
_BROKEN = re.compile(
    r"\bregress|\bbr(?:eak|oke)|\bpending\s+(?:a|the|further|more)\b|\binvestigation|\buntil\b", re.IGNORECASE
)
_UPSTREAM = re.compile(r"\bupstream|\bobsolete|\bno longer|\bmerged\b|\bincluded\b|\bapplied\b", re.IGNORECASE)

_FIRST = re.compile(
    r"\b(?:initial|inital|first)\b[\w\s'\"/.-]{0,40}\b(?:release|upload|version|packag\w*|debian\w*|import|build|spec|rpm)\b"
    r"|\bnew package\b",
    re.IGNORECASE,
)
_RPM_AUTHOR = re.compile(r"(?:^|[\s\-\[(>])(?P<version>(?:\d+:)?[0-9][\w.+~^]*-[0-9][\w.+~^]*)[\])]?\s*$")


@dataclass(frozen=True, slots=True)
class Item:
    """One point that names an advisory, and whether a point above introduces it as not fixed, or as reverted."""

    text: str
    is_negated: bool = False
    is_reverted: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: the source package and version it stands for (where it says), and its date as written.

    ``items`` are its points that name an advisory, ``is_first`` whether one says that it is the package's first entry.
    """

    source: str | None
    version: str | None
    date: str | None
    items: tuple[Item, ...]
    is_first: bool = False


@dataclass(frozen=True, slots=True)
class Changelog:
    """A changelog as it was read, newest entry first; ``notice`` is the line that says that older ones were removed."""

    file: str
    entries: tuple[Entry, ...]
    notice: str | None = None


# --- reading ----------------------------------------------------------------------------------------------------------


def unpack_changelog(data: bytes, limit: int = MAX_UNPACKED) -> str:
    """Unpack a gzip file. Raises UnreadableError when it is damaged, or larger than ``limit`` when unpacked."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        text = unpacker.decompress(data, limit + 1)
    except zlib.error as error:
        raise UnreadableError("damaged-changelog", str(error)) from None
    if len(text) > limit:
        raise UnreadableError("too-large", f"more than {limit} bytes when unpacked")
    if not unpacker.eof:
        raise UnreadableError("damaged-changelog", "the file is cut")
    return text.decode("utf-8", "backslashreplace")


def parse_debian_changelog(text: str, file: str = "") -> Changelog:
    """Parse a Debian changelog (deb-changelog(5)); a text of another kind has no entries."""
    entries = _Entries()
    head: re.Match[str] | None = None
    body = _Body()
    notice = None
    for line in _lines(text):
        if line[:1].isspace():
            if head is None:
                continue
            signature = _SIGNATURE.match(line[:_MAX_LINE])
            if signature is None:
                body.add(line)
                continue
            entries.add(_debian_entry(head, signature["date"], body))
            head, body = None, _Body()
        elif (found := _HEAD.match(line[:_MAX_LINE])) is not None:
            if head is not None:
                # An entry without its signature line; what it says still stands for its version.
                entries.add(_debian_entry(head, None, body))
            head, body = found, _Body()
        elif not line:
            body.add(line)
        elif _NOTICE.match(line):
            notice = notice or line[:200]
        if entries.bound is not None:
            break
    if head is not None:
        entries.add(_debian_entry(head, None, body))
    return Changelog(file, tuple(entries.kept), entries.bound or notice)


def _debian_entry(head: re.Match[str], date: str | None, body: _Body) -> Entry:
    version = head["version"][:_MAX_VERSION]
    return Entry(head["source"], version, date[:64] if date else None, *body.close())


def parse_rpm_changelog(file: str, times: Sequence[int], authors: Sequence[bytes], texts: Sequence[bytes]) -> Changelog:
    """Put an rpm header's three arrays together; what one of them lacks ends the changelog.

    The author's line ends with version and release where the packager keeps that custom (Fedora's do, SUSE's do not).
    """
    entries = _Entries()
    for time, author, text in zip(times, authors, texts, strict=False):
        match = _RPM_AUTHOR.search(author[-300:].decode("utf-8", "backslashreplace"))
        version = match["version"][:_MAX_VERSION] if match else None
        body = _Body()
        for line in _lines(text.decode("utf-8", "backslashreplace")):
            body.add(f" {line}")
        date = datetime.fromtimestamp(time, tz=UTC).date().isoformat()
        entries.add(Entry(None, version, date, *body.close()))
        if entries.bound is not None:
            break
    return Changelog(file, tuple(entries.kept), entries.bound)


def _lines(text: str) -> Iterator[str]:
    start = 0
    while start <= len(text):
        end = text.find("\n", start)
        end = end if end >= 0 else len(text)
        yield text[start:end]
        start = end + 1


class _Entries:
    """The entries read so far, until a bound is reached; ``bound`` says which."""

    def __init__(self) -> None:
        self.kept: list[Entry] = []
        self.bound: str | None = None
        self._named = 0

    def add(self, entry: Entry) -> None:
        if self.bound is not None:
            return
        self.kept.append(entry)
        self._named += len(entry.items)
        if len(self.kept) >= _MAX_ENTRIES or self._named >= _MAX_ITEMS:
            self.bound = f"only {len(self.kept)} entries with {self._named} points on advisories are read"


class _Body:
    """An entry's body, line by line: a point is a bullet and the lines below it up to the next one or an empty line."""

    def __init__(self) -> None:
        self._items: list[Item] = []
        self._is_first = False
        self._above: list[tuple[int, bool, bool]] = []
        self._parts: list[str] = []
        self._level = 0
        self._room = _MAX_ENTRY_TEXT

    def add(self, line: str) -> None:
        self._room -= len(line) + 1
        if self._room < 0 or len(self._items) >= _MAX_ITEMS:
            return
        match = _BULLET.match(line)
        if match is not None or not line.strip():
            self._take()
            if match is not None:
                self._level = len(match["indent"].expandtabs())
                self._parts.append(line[match.end() :])
            return
        if not self._parts:
            self._level = len(line) - len(line.lstrip())
        self._parts.append(line.strip())

    def close(self) -> tuple[tuple[Item, ...], bool]:
        """Return the points that name an advisory, and whether one says that the entry is the package's first."""
        self._take()
        return tuple(self._items), self._is_first

    def _take(self) -> None:
        if not self._parts:
            return
        text = _CUT_ADVISORY.sub(r"\1", " ".join(" ".join(self._parts).split()))
        self._parts.clear()
        while self._above and self._above[-1][0] >= self._level:
            self._above.pop()
        _, is_negated, is_reverted = self._above[-1] if self._above else (0, False, False)
        if _ADVISORY.search(text):
            self._items.append(Item(text, is_negated, is_reverted))
        self._is_first = self._is_first or _FIRST.search(text) is not None
        if text.endswith(":"):
            # It introduces the points below it, and what it says holds for them.
            is_negated = is_negated or _NEGATION.search(text) is not None
            is_reverted = is_reverted or _TAKEN_BACK.match(text) is not None
        self._above.append((self._level, is_negated, is_reverted))


# --- judging ----------------------------------------------------------------------------------------------------------


def from_version(changelog: Changelog, version: str) -> tuple[Entry, ...] | None:
    """Return the entries up to a version, newest first; None where no entry is this version's.

    Entries above it belong to a newer package than the installed one.
    """
    for at, entry in enumerate(changelog.entries):
        if entry.version == version:
            return changelog.entries[at:]
    return None


def fixes_of(entries: Sequence[Entry], installed: str) -> tuple[ChangelogFix, ...]:
    """Return what the entries (newest first) say is fixed, each advisory once with the version that first fixed it.

    An entry that does not tell its version counts for the next newer one that does, and else for the installed one: so
    much is certain.
    """
    fixed: dict[str, ChangelogFix] = {}
    versions: list[str] = []
    version = installed
    for entry in entries:
        version = entry.version or version
        versions.append(version)
    for entry, version in zip(reversed(entries), reversed(versions), strict=True):
        for item in entry.items:
            for advisory, is_fixed in statements(item):
                if is_fixed is None:
                    fixed.pop(advisory, None)
                elif is_fixed and advisory not in fixed:
                    text = shown(item.text)
                    clipped = text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 1]}…"
                    try:
                        fixed[advisory] = ChangelogFix(advisory, shown(version)[:_MAX_VERSION], clipped)
                    except InvalidFactError:
                        continue
    return tuple(fixed[advisory] for advisory in sorted(fixed))


def statements(item: Item) -> Iterator[tuple[str, bool | None]]:
    """Yield each advisory that a point names: True is fixed, False is not said to be, None is taken back."""
    for sentence in _SENTENCE_END.split(item.text):
        named = list(_ADVISORY.finditer(sentence))
        if not named:
            continue
        asides = [_PARENTHESIS.match(sentence, match.end()) for match in named]
        is_negated = item.is_negated or _NEGATION.search(_without(sentence, asides)) is not None
        revert = _Revert(sentence)
        for match, aside in zip(named, asides, strict=True):
            advisory = f"CVE-{match[1]}-{match[2]}"
            if item.is_reverted or revert.takes_back(match):
                yield advisory, None
            elif is_negated or (aside is not None and _NEGATION.search(aside[0]) is not None):
                yield advisory, False
            else:
                yield advisory, True


def _without(sentence: str, asides: Iterable[re.Match[str] | None]) -> str:
    """Return a sentence without the remarks in parentheses behind each advisory: each speaks of its own alone."""
    parts = []
    at = 0
    for aside in asides:
        if aside is not None and aside.start() >= at:
            parts.append(sentence[at : aside.start()])
            at = aside.end()
    return "".join((*parts, sentence[at:]))


class _Revert:
    """What a sentence takes back, looked at once for all advisories that it names."""

    def __init__(self, sentence: str) -> None:
        start = _TAKEN_BACK.match(sentence)
        self._start = start.end() if start else None
        self._reverts = [match.start() for match in _REVERT.finditer(sentence)]
        fixing = _FIXED_BY_REVERT.search(sentence)
        self._fixing = fixing.start() if fixing else len(sentence)
        self._reverted = max((match.start() for match in _REVERTED.finditer(sentence)), default=-1)
        self._is_dropped = (
            _DROPPED.search(sentence) is not None
            and _BROKEN.search(sentence) is not None
            and _UPSTREAM.search(sentence) is None
        )

    def takes_back(self, advisory: re.Match[str]) -> bool:
        """Tell whether the sentence takes back the fix of the advisory that it names there."""
        if self._start is not None and self._start <= advisory.start():
            # The revert of a revert fixes again, and a fix can itself be the revert of what was wrong.
            is_again = bisect_left(self._reverts, advisory.start()) == 2
            return not is_again and self._fixing > advisory.start()
        return self._reverted >= advisory.end() or self._is_dropped


def judge_completeness(changelog: Changelog, *, has_notices: bool) -> tuple[ChangelogState, str]:
    """Return whether a changelog reaches back to the package's first entry, and why.

    Only the last entry's own words prove that it does. A notice proves the contrary; where whoever cuts leaves none
    (``has_notices`` false: rpm), its absence proves nothing, and where he does, it proves no more than that the source
    package's changelog was installed whole.
    """
    if not changelog.entries:
        return ChangelogState.UNKNOWN, "it has no entry"
    oldest = changelog.entries[-1]
    place = " of ".join(part for part in (oldest.version, oldest.date) if part) or "its last entry"
    if changelog.notice is not None:
        words = "older entries were removed" if changelog.notice.startswith("#") else changelog.notice
        return ChangelogState.TRUNCATED, f"{words}; it reaches back to {place}"
    if oldest.is_first:
        return ChangelogState.COMPLETE, f"its last entry, {place}, says that it is the package's first"
    detail = "no notice says that entries were removed" if has_notices else "who cuts an rpm changelog leaves no mark"
    return ChangelogState.UNKNOWN, f"{detail}, and its last entry, {place}, does not say that it is the package's first"
