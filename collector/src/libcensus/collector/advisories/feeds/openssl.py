"""OpenSSL's own records: CVE JSON 5, one file per vulnerability, as its release-metadata repository holds them.

Read are ``cveMetadata.cveId``, ``containers.cna.datePublic``, the severity that OpenSSL states as a metric of type
``other``, and the affected versions as half-open ranges per branch. Ranges of the old FIPS module, another product
with version numbers of its own, are left out; so are ends that exist in the repository alone (``0.9.6-cvs``).
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
    list_of,
    mapping_of,
    newest_of,
    parse_json,
    part_of,
    text_of,
)
from libcensus.collector.posture.versions import parse_openssl

if TYPE_CHECKING:
    from datetime import date

_SEVERITIES = frozenset({"low", "moderate", "high", "critical"})
_RECORD = re.compile(r"(?:^|/)CVE-\d{4}-\d+\.json\Z")


def read_openssl(members: Members) -> Reading:
    """Return OpenSSL's advisories; raises FeedFormatError."""
    rows: list[Row] = []
    days: list[date] = []
    for name, content in members:
        if not name.endswith(".json") or (_RECORD.search(name) is None and b"CVE_RECORD" not in content):
            continue
        record = mapping_of(parse_json(content, name), name)
        if record.get("dataType") != "CVE_RECORD":
            continue
        row, day = _advisory(record, name)
        if row is not None:
            rows.append(row)
            days.append(day)
    check_unique(rows)
    return Reading(tuple(sorted(rows, key=lambda row: (row["published"], row["id"]))), newest_of(days, "the archive"))


def _advisory(record: dict[str, Any], name: str) -> tuple[Row | None, date]:
    metadata = mapping_of(record.get("cveMetadata"), f"{name}: cveMetadata")
    cve = text_of(metadata.get("cveId"), f"{name}: cveMetadata: cveId")
    if CVE.fullmatch(cve) is None:
        raise FeedFormatError(name, f"{cve[:40]!r} is no CVE id")
    cna = mapping_of(mapping_of(record.get("containers"), f"{cve}: containers").get("cna"), f"{cve}: cna")
    published = day_of(cna.get("datePublic"), f"{cve}: datePublic")
    ranges = _ranges(cna, cve)
    if metadata.get("state") != "PUBLISHED" or not ranges:
        return None, published
    row: Row = {"kind": "openssl", "id": cve, "published": published.isoformat(), "ranges": ranges}
    severity = _severity(cna, cve)
    if severity is not None:
        row["severity"] = severity
    return row, published


def _severity(cna: dict[str, Any], cve: str) -> str | None:
    """Return the severity that OpenSSL states; absent where it states none, as before 2014."""
    for metric in items_of(cna.get("metrics"), f"{cve}: metrics"):
        other = part_of(mapping_of(metric, f"{cve}: metrics").get("other"), f"{cve}: metrics: other")
        text = part_of(other.get("content"), f"{cve}: metrics: content").get("text")
        if isinstance(text, str) and text.strip().lower() in _SEVERITIES:
            return text.strip().lower()
    return None


def _ranges(cna: dict[str, Any], cve: str) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for product in list_of(cna.get("affected"), f"{cve}: affected"):
        versions = mapping_of(product, f"{cve}: affected").get("versions")
        for entry in items_of(versions, f"{cve}: versions"):
            version = mapping_of(entry, f"{cve}: versions")
            if version.get("status") != "affected":
                continue
            item = _range(version, cve)
            if item is None:
                continue
            if item["branch"] in found:
                raise FeedFormatError(cve, f"lists branch {item['branch']} twice")
            found[item["branch"]] = item
    return list(found.values())


def _range(version: dict[str, Any], cve: str) -> dict[str, Any] | None:
    """Return one range; None for a product whose versions are not OpenSSL's."""
    introduced = text_of(version.get("version"), f"{cve}: version")
    begins = parse_openssl(introduced)
    if "fips" in introduced.lower():
        return None
    if begins is None:
        raise FeedFormatError(cve, f"{introduced[:40]!r} is no version of OpenSSL")
    item: dict[str, Any] = {"branch": begins.branch, "introduced": introduced}
    fixed = version.get("lessThan")
    if fixed is None:
        return _up_to(item, version.get("lessThanOrEqual"), cve)
    end = parse_openssl(text_of(fixed, f"{cve}: lessThan"))
    if fixed.endswith(("-cvs", "-git", "-dev")):
        return item
    if end is None or end.branch != begins.branch:
        # The FIPS module's records of 2007 end in a version of their own.
        if "fips" in fixed.lower():
            return None
        raise FeedFormatError(cve, f"{fixed[:40]!r} is no version of branch {begins.branch}")
    if not begins < end:
        # One record begins a range at the version that fixes it; its text tells every user of the branch to upgrade.
        if begins != end:
            raise FeedFormatError(cve, f"introduced {introduced} does not lie before fixed {fixed}")
        item["introduced"], item["assumed"] = f"{begins.branch}.0", True
    item["fixed"] = fixed
    return item


_NUMBERS = re.compile(r"(\d+\.\d+)\.(\d{1,4})")


def _up_to(item: dict[str, Any], last: object, cve: str) -> dict[str, Any]:
    """Return a range that ends with its last affected version: the next patch release of 3.0 or later has the fix."""
    if last is None or last == "*":
        return item
    found = _NUMBERS.fullmatch(text_of(last, f"{cve}: lessThanOrEqual"))
    if found is None or found[1] != item["branch"]:
        raise FeedFormatError(cve, f"{str(last)[:40]!r} is no version of branch {item['branch']}")
    item["fixed"], item["inferred"] = f"{found[1]}.{int(found[2]) + 1}", True
    return item
