"""endoflife.date's API, version 1: all products with their release cycles, in one JSON object.

``result[].releases[]`` has ``releaseDate``, ``isEol`` with ``eolFrom``, and ``isEoes`` with ``eoesFrom`` for the end of
extended support. Whether that support is free is not told: the snapshot's knowledge of the product is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from libcensus.collector.advisories.feeds.reading import (
    Members,
    Reading,
    Row,
    check_unique,
    day_of,
    list_of,
    mapping_of,
    newest_of,
    optional_day,
    parse_json,
    text_of,
)

if TYPE_CHECKING:
    from datetime import date

PRODUCTS = frozenset(
    {
        "almalinux",
        "alpine-linux",
        "amazon-linux",
        "centos",
        "centos-stream",
        "debian",
        "fedora",
        "nodejs",
        "openssl",
        "oracle-linux",
        "perl",
        "php",
        "python",
        "rhel",
        "rocky-linux",
        "ruby",
        "sles",
        "ubuntu",
    }
)


def read_endoflife(members: Members) -> Reading:
    """Return the release cycles of the products that matter here; raises FeedFormatError."""
    rows: list[Row] = []
    days: list[date] = []
    for name, content in members:
        answer = mapping_of(parse_json(content, name), name)
        result = answer.get("result")
        if "generated_at" in answer:
            days.append(day_of(answer["generated_at"], f"{name}: generated_at"))
        # One product has an object where all products have a list.
        products = [result] if isinstance(result, dict) else list_of(result, f"{name}: result")
        for item in products:
            product = mapping_of(item, f"{name}: result")
            title = text_of(product.get("name"), f"{name}: name")
            if title not in PRODUCTS:
                continue
            for entry in list_of(product.get("releases"), f"{title}: releases"):
                release = mapping_of(entry, f"{title}: releases")
                rows.append(_cycle(title, release))
                latest = release.get("latest")
                if isinstance(latest, dict) and latest.get("date") is not None:
                    days.append(day_of(latest["date"], f"{title}: latest: date"))
    check_unique(rows)
    if not rows:
        newest_of((), "the answer")
    return Reading(tuple(rows), newest_of(days, "the answer"))


def _cycle(product: str, release: dict[str, Any]) -> Row:
    branch = text_of(release.get("name"), f"{product}: name")
    place = f"{product} {branch}"
    row: Row = {"kind": "support", "product": product, "branch": branch}
    released = optional_day(release.get("releaseDate"), f"{place}: releaseDate")
    eol = optional_day(release.get("eolFrom"), f"{place}: eolFrom")
    extended = optional_day(release.get("eoesFrom"), f"{place}: eoesFrom")
    if released is not None:
        row["released"] = released
    if eol is not None:
        row["eol"] = eol
    elif isinstance(release.get("isEol"), bool):
        row["ended"] = release["isEol"]
    if extended is not None:
        row["extended"] = extended
    if isinstance(release.get("codename"), str):
        row["codename"] = release["codename"]
    return row
