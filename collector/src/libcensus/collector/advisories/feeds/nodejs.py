"""Node.js's own advisories, as its security working group's core database holds them, and its list of releases.

An entry of the database names release lines (``20.x || 22.x``) and the release that fixes each
(``^20.20.2 || ^22.22.2``), which is npm's way of writing ranges. Which release of a line brought the fault is told for
few: a line that is named whole counts from its first release on, marked as assumed. Most entries have no day; that
of publication is then the day of the first release with the fix, which whoever joins the tables works out.

Entries about the OpenSSL inside are kept here and left out where the tables are joined: an install's OpenSSL is judged
by its own version.
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Any

from libcensus.collector.advisories.feeds.reading import (
    CVE,
    FeedFormatError,
    Members,
    Reading,
    Row,
    check_unique,
    day_of,
    items_of,
    list_of,
    mapping_of,
    newest_of,
    parse_json,
    text_of,
)
from libcensus.collector.posture.finding import Component
from libcensus.collector.posture.versions import branch_of, is_before, parse_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SEVERITIES: Mapping[str, str | None] = {
    "critical": "critical",
    "high": "high",
    "medium": "moderate",
    "low": "low",
    "unknown": None,
}
"""The database's words, and what severities are called here."""

_NUMBER = re.compile(r"(?:^|/)(\d{1,6})\.json\Z")
_OPERATOR = re.compile(r"(\^|~|[<>]=?|=)\s+")
_TERM = re.compile(r"(\^|<=|<|>=|)v?(\d{1,4})(?:\.(x|\d{1,4}))?(?:\.(x|\d{1,4}))?")
_OLD_LINES = ("0.10", "0.12")
_FIRST_LINE = 4
"""After 0.12 came 4; what lies between is io.js."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = re.compile(rf"/({'|'.join(_MONTHS)})[a-z]*-(20\d\d)-")
_RELEASE = re.compile(r"v(\d{1,4}\.\d{1,4}\.\d{1,4})")


def read_nodejs(members: Members) -> Reading:
    """Return the advisories of the core database: its ``index.json``, its single files, or an archive of them.

    The newest day is that of an entry with a day, or the first of the month that an entry's reference names: the
    database says no more of how far it reaches. Raises FeedFormatError.
    """
    entries: dict[str, dict[str, Any]] = {}
    for name, content in members:
        if content.lstrip()[:1] == b"{" and b'"patched"' in content:
            entries.update(_entries(content, name))
    rows: dict[str, Row] = {}
    days: list[date] = []
    for number, entry in entries.items():
        place = f"entry {number}"
        days += _days(entry, place)
        for row in _advisories(entry, number, place):
            same = rows.get(row["id"])
            rows[row["id"]] = row if same is None else _joined(same, row)
    return Reading(tuple(sorted(rows.values(), key=lambda row: str(row["id"]))), newest_of(days, "the database"))


def read_nodejs_releases(members: Members) -> Reading:
    """Return Node.js's releases with their days, from the list beside its downloads; raises FeedFormatError."""
    rows: list[Row] = []
    days: list[date] = []
    for name, content in members:
        for number, item in enumerate(list_of(parse_json(content, name), name), start=1):
            place = f"{name}: release {number}"
            release = mapping_of(item, place)
            version = _RELEASE.fullmatch(text_of(release.get("version"), f"{place}: version"))
            if version is None:
                raise FeedFormatError(place, f"{str(release['version'])[:40]!r} is no release of Node.js")
            days.append(day_of(release.get("date"), f"{version[1]}: date"))
            rows.append({"kind": "nodejs_release", "version": version[1], "date": days[-1].isoformat()})
    check_unique(rows)
    return Reading(tuple(sorted(rows, key=lambda row: (row["date"], row["version"]))), newest_of(days, "the list"))


def read_ranges(vulnerable: str, patched: str, place: str) -> list[dict[str, Any]]:
    """Return the ranges of each line that an entry names as vulnerable; raises FeedFormatError.

    ``vulnerable`` is ``8.x``, ``^8.1.0``, ``8.5.0``, ``9.7.x``, ``>=6.0.0 <6.2.0`` or ``<=10``, several joined by
    ``||``; ``patched`` is ``^8.1.4``, ``8.1.4`` or ``>=8.1.4``. A line without a patched release has no end.
    """
    ends = dict(_patched(patched, place))
    found: dict[str, dict[str, Any]] = {}
    for clause in _clauses(vulnerable):
        for item in _begin(clause, place):
            branch = item["branch"]
            if branch in found:
                raise FeedFormatError(place, f"lists line {branch} twice")
            fixed = ends.get(branch, item.get("fixed"))
            found[branch] = item if fixed is None else {**item, "fixed": fixed}
            _check_order(found[branch], place)
    if not found:
        raise FeedFormatError(place, "names no release line")
    return list(found.values())


def _entries(content: bytes, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    table = mapping_of(parse_json(content, name), name)
    number = _NUMBER.search(name)
    if number is not None and "patched" in table:
        yield number[1], table
        return
    for key, value in table.items():
        entry = mapping_of(value, f"{name}: {key}")
        if not key.isdecimal() or "patched" not in entry:
            raise FeedFormatError(f"{name}: {key[:40]}", "is no entry of the core database")
        yield key, entry


def _days(entry: dict[str, Any], place: str) -> list[date]:
    """Return the days that an entry proves that the database knows."""
    found = []
    if entry.get("publish_date") is not None:
        found.append(day_of(entry["publish_date"], f"{place}: publish_date"))
    named = _MONTH.search(entry["ref"]) if isinstance(entry.get("ref"), str) else None
    if named is not None:
        found.append(date(int(named[2]), _MONTHS.index(named[1]) + 1, 1))
    return found


def _advisories(entry: dict[str, Any], number: str, place: str) -> Iterator[Row]:
    """Return a row for each id of an entry; an entry without a CVE is named by its number."""
    ranges = read_ranges(
        text_of(entry.get("vulnerable"), f"{place}: vulnerable"),
        text_of(entry.get("patched"), f"{place}: patched"),
        place,
    )
    told: Row = {"ranges": ranges}
    severity = entry.get("severity", "unknown")
    if not isinstance(severity, str) or severity not in SEVERITIES:
        raise FeedFormatError(f"{place}: severity", f"{severity!r} is no severity")
    if SEVERITIES[severity] is not None:
        told["severity"] = SEVERITIES[severity]
    if entry.get("publish_date") is not None:
        told["published"] = day_of(entry["publish_date"], f"{place}: publish_date").isoformat()
    if list_of(entry.get("affectedEnvironments"), f"{place}: affectedEnvironments") == ["win32"]:
        told["windows_only"] = True
    names = [text_of(name, f"{place}: cve") for name in items_of(entry.get("cve"), f"{place}: cve")]
    for name in names:
        if CVE.fullmatch(name) is None:
            raise FeedFormatError(f"{place}: cve", f"{name[:40]!r} is no CVE id")
    for name in names or [f"NSWG-CORE-{number}"]:
        yield {"kind": "nodejs", "id": name, **told}


def _joined(first: Row, second: Row) -> Row:
    """Return two entries about one vulnerability as one: where the first fix was not whole, the later one counts."""
    ranges = {item["branch"]: item for item in first["ranges"]}
    for item in second["ranges"]:
        other = ranges.setdefault(item["branch"], item)
        if other.get("fixed") is not None and (
            item.get("fixed") is None or is_before(_version(other["fixed"]), _version(item["fixed"]))
        ):
            ranges[item["branch"]] = item
    return {**second, **first, "ranges": list(ranges.values())}


def _clauses(text: str) -> list[str]:
    return [_OPERATOR.sub(r"\1", clause.strip()) for clause in text.split("||")]


def _patched(text: str, place: str) -> Iterator[tuple[str, str]]:
    for clause in _clauses(text):
        term = _TERM.fullmatch(clause)
        if term is None or term[1] in {"<", "<="} or not _is_exact(term):
            raise FeedFormatError(f"{place}: patched", f"{clause[:40]!r} is no release with a fix")
        yield _branch(term), _exact(term)


def _begin(clause: str, place: str) -> Iterator[dict[str, Any]]:
    """Return where the fault begins in each line of one clause, and where it ends if that is said there."""
    first, _, last = clause.partition(" ")
    term, end = _TERM.fullmatch(first), _TERM.fullmatch(last) if last else None
    if term is None or (last and (end is None or end[1] != "<" or not _is_exact(end) or term[1] != ">=")):
        raise FeedFormatError(f"{place}: vulnerable", f"{clause[:40]!r} is no range of releases")
    if term[1] == "<=" and term[3] is None:
        for line in (*_OLD_LINES, *(str(number) for number in range(_FIRST_LINE, int(term[2]) + 1))):
            yield _whole(line)
    elif term[1] in {"<", "<="} or (term[1] == ">=" and end is None):
        raise FeedFormatError(f"{place}: vulnerable", f"{clause[:40]!r} is open on one side")
    elif end is not None:
        yield {"branch": _branch(term), "introduced": _exact(term), "fixed": _exact(end)}
    elif _is_exact(term) or (term[3] not in {None, "x"} and term[2] != "0"):
        yield {"branch": _branch(term), "introduced": _exact(term)}
    else:
        yield _whole(_branch(term))


def _whole(line: str) -> dict[str, Any]:
    introduced = f"{line}.0" if line.startswith("0.") else f"{line}.0.0"
    return {"branch": line, "introduced": introduced, "assumed": True}


def _is_exact(term: re.Match[str]) -> bool:
    return all(part is not None and part != "x" for part in (term[3], term[4]))


def _exact(term: re.Match[str]) -> str:
    return ".".join("0" if part in {None, "x"} else part for part in (term[2], term[3], term[4]))


def _branch(term: re.Match[str]) -> str:
    return branch_of(Component.NODEJS, _exact(term)) or term[2]


def _version(text: str) -> Any:
    return parse_version(Component.NODEJS, text)


def _check_order(item: dict[str, Any], place: str) -> None:
    fixed = item.get("fixed")
    if fixed is None:
        return
    if branch_of(Component.NODEJS, fixed) != item["branch"]:
        raise FeedFormatError(place, f"{fixed} is no release of line {item['branch']}")
    if not is_before(_version(item["introduced"]), _version(fixed)):
        raise FeedFormatError(place, f"introduced {item['introduced']} does not lie before patched {fixed}")
