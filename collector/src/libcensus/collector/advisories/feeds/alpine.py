"""Alpine's security database: one JSON file per release and repository.

``packages[].pkg.secfixes`` maps a package version to the vulnerabilities that it was the first to fix; version ``0``
lists those that Alpine's package never had. One entry can name several ids, which one space or more separate.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from libcensus.collector.advisories.feeds.reading import (
    CVE,
    FeedFormatError,
    FirstFixes,
    Members,
    Reading,
    day_of,
    is_own_source,
    list_of,
    mapping_of,
    parse_json,
    text_of,
)

if TYPE_CHECKING:
    from datetime import date

_RELEASE = re.compile(r"v(\d+\.\d+)")
_NOT_YET = re.compile(r"0+")


def read_alpine(members: Members, changed: date | None) -> Reading:
    """Return the fixes of one release; raises FeedFormatError.

    The database holds no day: that of the source's ``Last-Modified`` header, or of the file, is taken.
    """
    fixes = FirstFixes()
    years: set[int] = set()
    for name, content in members:
        table = mapping_of(parse_json(content, name), name)
        release = _RELEASE.fullmatch(text_of(table.get("distroversion"), f"{name}: distroversion"))
        if release is None:
            raise FeedFormatError(name, f"{table['distroversion'][:40]!r} is no release of Alpine")
        seen: set[str] = set()
        for item in list_of(table.get("packages"), f"{name}: packages"):
            package = mapping_of(mapping_of(item, f"{name}: packages").get("pkg"), f"{name}: pkg")
            source = text_of(package.get("name"), f"{name}: pkg: name")
            if source in seen:
                raise FeedFormatError(f"{name}: {source}", "is there twice")
            seen.add(source)
            if not is_own_source(source):
                continue
            fixes.know("alpine", release[1], source)
            for version, texts in mapping_of(package.get("secfixes"), f"{source}: secfixes").items():
                for text in list_of(texts, f"{source} {version}"):
                    for advisory in CVE.findall(text_of(text, f"{source} {version}")):
                        years.add(int(advisory.split("-")[1]))
                        first = "0" if _NOT_YET.fullmatch(version) else version
                        place = f"{source} {release[1]} {advisory}"
                        fixes.add("alpine", release[1], source, advisory, first, place, paid=False)
    if not years:
        raise FeedFormatError("the database", "holds nothing that this program reads; is it another feed's file?")
    newest = changed or day_of(f"{max(years)}-01-01", "the database")
    return Reading(fixes.rows(newest), newest)
