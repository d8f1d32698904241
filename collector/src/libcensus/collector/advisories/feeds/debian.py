"""Debian's security tracker, as JSON: package, then vulnerability, then the state in each release.

``releases[NAME].status`` is ``resolved`` (with ``fixed_version``; ``0`` means that the release never had the fault),
``open`` or ``undetermined``. Only suites that are releases with a number are read: an installed system of another
one says none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from libcensus.collector.advisories.feeds.reading import (
    CVE,
    FeedFormatError,
    FirstFixes,
    Members,
    Reading,
    day_of,
    entries_of,
    is_own_source,
    mapping_of,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

RELEASES: Mapping[str, str] = {
    "buster": "10",
    "bullseye": "11",
    "bookworm": "12",
    "trixie": "13",
    "forky": "14",
    "duke": "15",
}
"""What os-release's VERSION_ID says of each suite."""

_STATES = frozenset({"resolved", "open", "undetermined"})


def read_debian(members: Members, changed: date | None) -> Reading:
    """Return the fixes that the tracker tells of; raises FeedFormatError.

    The tracker writes no day into its data. It is that of the source's ``Last-Modified`` header, or of the file;
    where neither is known, the year of the newest CVE id tells at least that much.
    """
    fixes = FirstFixes()
    years: set[int] = set()
    for name, content in members:
        for package, entries in entries_of(content, name, is_own_source):
            for advisory, entry in mapping_of(entries, package).items():
                place = f"{package} {advisory}"
                if CVE.fullmatch(advisory) is None:
                    continue
                years.add(int(advisory.split("-")[1]))
                _read_entry(package, advisory, mapping_of(entry, place), place, fixes)
    if not years:
        raise FeedFormatError("the tracker", "holds nothing that this program reads; is it another feed's file?")
    newest = changed or day_of(f"{max(years)}-01-01", "the tracker")
    return Reading(fixes.rows(newest), newest)


def _read_entry(package: str, advisory: str, entry: dict[str, Any], place: str, fixes: FirstFixes) -> None:
    for suite, state in mapping_of(entry.get("releases"), f"{place}: releases").items():
        where = f"{place}: {suite}"
        status = mapping_of(state, where).get("status")
        if not isinstance(status, str) or status not in _STATES:
            raise FeedFormatError(where, f"{status!r} is no status")
        release = RELEASES.get(suite)
        if release is None:
            continue
        fixes.know("debian", release, package)
        if status == "resolved":
            version = text_of(state.get("fixed_version"), f"{where}: fixed_version")
            fixes.add("debian", release, package, advisory, version, where, paid=False)
