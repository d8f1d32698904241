"""The Python Software Foundation's advisories of CPython, in the OSV format.

The records of the Foundation's own database name the commits with the fix and no release: from them come the id, its
aliases and the day of publication. The same record as osv.dev serves it also lists the affected releases, which osv.dev
works out from the commits: the first release with the fix is then the one after the last affected release of its
branch, which is marked as inferred.
"""

from __future__ import annotations

import re
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
    mapping_of,
    newest_of,
    parse_json,
    record_day,
    text_of,
)

if TYPE_CHECKING:
    from datetime import date

_ID = re.compile(r"PSF-\d{4}-\d+")
_RELEASE = re.compile(r"v?(\d+\.\d+)\.(\d{1,3})")


def read_psf(members: Members) -> Reading:
    """Return the Foundation's advisories of CPython; raises FeedFormatError."""
    rows: list[Row] = []
    days: list[date] = []
    stamps: dict[str, str] = {}
    for name, content in members:
        if not name.endswith(".json") or b"PSF-" not in content or b'"published"' not in content:
            continue
        record = mapping_of(parse_json(content, name), name)
        if not isinstance(record.get("id"), str) or _ID.fullmatch(record["id"]) is None:
            # The schema lies beside the records, and records without an id of their own wait to be given one.
            continue
        alias = record["id"]
        days.append(record_day(record, alias))
        if record.get("withdrawn") is None:
            rows.append(_advisory(record, alias))
            stamps[alias] = days[-1].isoformat()
    check_unique(rows)
    targets = tuple(sorted(stamps.items()))
    return Reading(tuple(sorted(rows, key=lambda row: str(row["alias"]))), newest_of(days, "the archive"), targets)


def read_psf_each(members: Members, alias: str, day: date) -> Reading:
    """Return the affected releases of one advisory as osv.dev serves it; raises FeedFormatError."""
    rows: list[Row] = []
    for name, content in members:
        record = mapping_of(parse_json(content, name), name)
        if record.get("id") != alias:
            raise FeedFormatError(name, f"is the record of {str(record.get('id'))[:40]!r}, not of {alias}")
        last = _last_affected(record, alias)
        if last:
            rows.append({"kind": "cpython_affected", "alias": alias, "last_affected": last})
    return Reading(tuple(rows), day)


def _advisory(record: dict[str, Any], alias: str) -> Row:
    published = day_of(record.get("published"), f"{alias}: published")
    row: Row = {"kind": "cpython", "alias": alias, "published": published.isoformat()}
    aliases = [text_of(text, f"{alias}: aliases") for text in items_of(record.get("aliases"), f"{alias}: aliases")]
    cves = [text for text in aliases if CVE.fullmatch(text)]
    if len(cves) > 1:
        raise FeedFormatError(alias, f"has {len(cves)} CVE ids")
    if cves:
        row["id"] = cves[0]
    last = _last_affected(record, alias)
    if last:
        row["last_affected"] = last
    return row


def _last_affected(record: dict[str, Any], alias: str) -> dict[str, str]:
    """Return the last affected release of each branch, empty where no releases are listed."""
    found: dict[str, int] = {}
    for item in items_of(record.get("affected"), f"{alias}: affected"):
        versions = mapping_of(item, f"{alias}: affected").get("versions")
        for text in items_of(versions, f"{alias}: versions"):
            release = _RELEASE.fullmatch(text_of(text, f"{alias}: versions"))
            if release is not None:
                found[release[1]] = max(found.get(release[1], 0), int(release[2]))
    return {branch: f"{branch}.{patch}" for branch, patch in sorted(found.items())}
