"""What the readers of feeds have in common: strict JSON, rows with a key, and errors that name the place.

A feed is written by others and comes over a network, so nothing in it is taken on trust: an object with the same key
twice, a number that is none, a text that is no version and nesting that would exhaust the stack are all refused.
Nothing here opens a file, asks a clock or logs.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Protocol

from libcensus.collector.posture.ordering import UnreadableVersionError, is_at_least

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

Row = dict[str, Any]
"""One fact; ``kind`` tells which table it belongs to."""

CVE = re.compile(r"CVE-\d{4}-\d{4,19}")

KEYS: Mapping[str, tuple[str, ...]] = {
    "openssl": ("id",),
    "cpython": ("id", "alias"),
    "cpython_affected": ("alias",),
    "nodejs": ("id",),
    "nodejs_release": ("version",),
    "fix": ("distribution", "release", "package", "advisory"),
    "reach": ("distribution", "release", "package"),
    "support": ("product", "branch"),
    "pbs": ("tag",),
    "pbs_openssl": ("tag",),
    "uv": ("uv",),
    "uv_pbs": ("uv",),
}
"""What makes a row of each kind the same fact as another one."""


class FeedFormatError(ValueError):
    """A feed that is not what its format says; ``place`` is the record and field, ``problem`` what is wrong there."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")
        self.place = place
        self.problem = problem


class Members(Protocol):
    """The files of one document: of an archive all of them, otherwise the document itself."""

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Return each file's name and content."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one document of a feed says: its facts, and the newest day that it knows of.

    ``targets`` are further documents that it names: a part of their address, and a stamp that changes when they do.
    """

    rows: tuple[Row, ...]
    newest: date
    targets: tuple[tuple[str, str], ...] = ()


def row_key(row: Row) -> tuple[str, ...]:
    """Return what makes a row the same fact as another one; raises FeedFormatError for a row of no kind."""
    kind = row.get("kind")
    if not isinstance(kind, str) or kind not in KEYS:
        raise FeedFormatError("row", f"{kind!r} is no kind of fact")
    values = [row.get(name) for name in KEYS[kind]]
    if not any(values) or any(value is not None and not isinstance(value, str) for value in values):
        raise FeedFormatError("row", f"a fact of kind {kind} has no name")
    return (kind, *[value or "" for value in values])


def check_unique(rows: Iterable[Row]) -> None:
    """Raise FeedFormatError for a fact that is there twice."""
    seen = set()
    for row in rows:
        key = row_key(row)
        # How far a feed reaches may be said by each of its documents.
        if key in seen and row["kind"] != "reach":
            raise FeedFormatError(" ".join(part for part in key[1:] if part), "is there twice")
        seen.add(key)


def parse_json(content: bytes, place: str) -> Any:
    """Return the value of a JSON text; raises FeedFormatError for anything else, and for a key that is there twice."""
    try:
        return json.loads(content.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise FeedFormatError(place, f"is no UTF-8 text (byte {error.start})") from None
    except RecursionError:
        raise FeedFormatError(place, "is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise FeedFormatError(place, _why_no_json(content, error)) from None
    except ValueError as error:
        raise FeedFormatError(place, str(error)) from None


def _why_no_json(content: bytes, error: json.JSONDecodeError) -> str:
    if not content.strip():
        return "is empty"
    if content.lstrip()[:1] == b"<":
        return "is no JSON but a page of markup: a proxy or a sign-in page answered in the source's place"
    cut = " (it looks cut off)" if error.pos >= len(content.decode("utf-8-sig").rstrip()) - 1 else ""
    return f"is no JSON: {error.msg} at line {error.lineno}, column {error.colno}{cut}"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} is there twice in one object")
    return found


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")


def entries_of(content: bytes, place: str, wanted: Callable[[str], bool]) -> Iterator[tuple[str, Any]]:
    """Return the wanted entries of a JSON object whose whole would not be worth its memory, each checked as usual.

    Debian's tracker is one object of 4,000 packages of which a handful is of interest here.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FeedFormatError(place, f"is no UTF-8 text (byte {error.start})") from None
    try:
        yield from _entries(text, place, wanted)
    except json.JSONDecodeError as error:
        raise FeedFormatError(place, _why_no_json(content, error)) from None
    except RecursionError:
        raise FeedFormatError(place, "is nested too deeply") from None
    except FeedFormatError:
        raise
    except ValueError as error:
        raise FeedFormatError(place, str(error)) from None


def _entries(text: str, place: str, wanted: Callable[[str], bool]) -> Iterator[tuple[str, Any]]:
    decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_number)
    seen: set[str] = set()
    position = _after(text, 0, "{")
    while text[position : position + 1] != "}" or seen:
        name, position = decoder.raw_decode(text, _skip(text, position))
        if not isinstance(name, str):
            raise FeedFormatError(place, "is no JSON object")
        if name in seen:
            raise FeedFormatError(place, f"the key {name!r} is there twice in one object")
        seen.add(name)
        value, position = decoder.raw_decode(text, _after(text, position, ":"))
        if wanted(name):
            yield name, value
        position = _skip(text, position)
        if text[position : position + 1] != ",":
            break
        position += 1
    if text[_after(text, position, "}") :].strip():
        raise FeedFormatError(place, "goes on after its end")


_SPACE = re.compile(r"[ \t\n\r]*")


def _skip(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return position if found is None else found.end()


def _after(text: str, position: int, sign: str) -> int:
    position = _skip(text, position)
    if text[position : position + 1] != sign:
        raise json.JSONDecodeError(f"Expecting '{sign}'", text, position)
    return _skip(text, position + 1)


def mapping_of(value: object, place: str) -> dict[str, Any]:
    """Return an object; raises FeedFormatError."""
    if not isinstance(value, dict):
        raise FeedFormatError(place, "is no object")
    return value


def list_of(value: object, place: str) -> list[Any]:
    """Return a list; raises FeedFormatError."""
    if not isinstance(value, list):
        raise FeedFormatError(place, "is no list")
    return value


def items_of(value: object, place: str) -> list[Any]:
    """Return a list that may be absent; raises FeedFormatError."""
    return [] if value is None else list_of(value, place)


def part_of(value: object, place: str) -> dict[str, Any]:
    """Return an object that may be absent; raises FeedFormatError."""
    return {} if value is None else mapping_of(value, place)


def text_of(value: object, place: str) -> str:
    """Return a text that is not empty; raises FeedFormatError."""
    if not isinstance(value, str) or not value.strip():
        raise FeedFormatError(place, "is no text" if not isinstance(value, str) else "is empty")
    return value


def day_of(value: object, place: str) -> date:
    """Return the day of an RFC 3339 time or date in UTC; raises FeedFormatError, also for a day that cannot be."""
    text = text_of(value, place)
    try:
        # Python 3.11 reads at most six digits of a second's fraction.
        short = re.sub(r"(\.\d{6})\d+", r"\1", text)
        found = date.fromisoformat(text) if len(text) == len("2026-11-25") else datetime.fromisoformat(short).date()
    except ValueError:
        raise FeedFormatError(place, f"{text[:40]!r} is no date") from None
    if not 1990 <= found.year <= 2100:
        raise FeedFormatError(place, f"{text[:40]!r} is no day of this time")
    return found


def record_day(record: dict[str, Any], place: str) -> date:
    """Return the day on which an OSV record was last changed; raises FeedFormatError.

    Some records of the PSF hold the zero of Go's clock there, which means that nobody wrote it down: the day of
    publication is taken.
    """
    modified = record.get("modified")
    key = "published" if isinstance(modified, str) and modified.startswith("0001-01-01") else "modified"
    return day_of(record.get(key), f"{place}: {key}")


def optional_day(value: object, place: str) -> str | None:
    """Return a day as text, absent where there is none; raises FeedFormatError."""
    return None if value is None else day_of(value, place).isoformat()


def newest_of(days: Iterable[date], place: str) -> date:
    """Return the newest day; raises FeedFormatError where there is none."""
    newest = max(days, default=None)
    if newest is None:
        raise FeedFormatError(place, "holds nothing that this program reads; is it another feed's file?")
    return newest


def check_version(manager: str, version: str, place: str) -> str:
    """Return a package version that its manager can order; raises FeedFormatError."""
    try:
        is_at_least(manager, version, version)
    except UnreadableVersionError as error:
        raise FeedFormatError(place, str(error)) from None
    return version


def fix_row(distribution: str, release: str, package: str, advisory: str, fixed: str, *, paid: bool = False) -> Row:
    """Return the fact that a version of a package was the first with a fix; version ``0`` means never affected."""
    row: Row = {
        "kind": "fix",
        "distribution": distribution,
        "release": release,
        "package": package,
        "advisory": advisory,
        "fixed": fixed,
    }
    if paid:
        row["paid"] = True
    return row


def reach_row(distribution: str, release: str, package: str, newest: date | None, *, complete: bool) -> Row:
    """Return the fact that a feed knows a package of a release up to a day, whatever it lists of it.

    Without a day it is that of the whole feed, of which this document is a part. ``complete`` says that the feed also
    tells what a release never had: what it does not list is then open.
    """
    row: Row = {
        "kind": "reach",
        "distribution": distribution,
        "release": release,
        "package": package,
        "complete": complete,
    }
    if newest is not None:
        row["newest"] = newest.isoformat()
    return row


MANAGERS: Mapping[str, str] = {
    "almalinux": "rpm",
    "alpine": "apk",
    "debian": "dpkg",
    "rhel": "rpm",
    "rocky": "rpm",
    "ubuntu": "dpkg",
}
"""The package manager whose ordering compares the versions of each distribution."""

_SOURCES = re.compile(r"openssl(?:[\d.-]*|3|1\.[01])|python[23](?:\.\d+)?|e?glibc|nodejs")


def is_own_source(package: str) -> bool:
    """Tell whether a source package is one of the components that are judged: OpenSSL, CPython, glibc or Node.js."""
    return _SOURCES.fullmatch(package) is not None


class FirstFixes:
    """Gathers, over all notices of a distribution, the lowest version of each package with each fix.

    A notice can be followed by another one of the same advisory with a later version: a regression was mended.
    """

    def __init__(self) -> None:
        self._fixes: dict[tuple[str, str, str, str], tuple[str, bool]] = {}
        self._known: set[tuple[str, str, str]] = set()

    def know(self, distribution: str, release: str, package: str) -> None:
        """Note that the feed speaks of a package of a release."""
        self._known.add((distribution, release, package))

    def add(
        self, distribution: str, release: str, package: str, advisory: str, version: str, place: str, *, paid: bool
    ) -> None:
        """Add one fix; what everybody gets goes before what paying customers get. Raises FeedFormatError."""
        manager = MANAGERS[distribution]
        check_version(manager, version, place)
        self.know(distribution, release, package)
        key = distribution, release, package, advisory
        old = self._fixes.get(key)
        if old is None or (old[1] and not paid) or (old[1] is paid and not is_at_least(manager, version, old[0])):
            self._fixes[key] = version, paid

    def has(self, distribution: str, release: str, package: str, advisory: str) -> bool:
        """Tell whether a fix is known."""
        return (distribution, release, package, advisory) in self._fixes

    def rows(
        self, newest: date | None, is_complete: Callable[[str, str], bool] = lambda _release, _package: True
    ) -> tuple[Row, ...]:
        """Return the facts in a stable order; ``is_complete`` tells of which release and package silence says: open."""
        fixes = [fix_row(*key, version, paid=paid) for key, (version, paid) in sorted(self._fixes.items())]
        known = [reach_row(*key, newest, complete=is_complete(*key[1:])) for key in sorted(self._known)]
        return (*known, *fixes)
