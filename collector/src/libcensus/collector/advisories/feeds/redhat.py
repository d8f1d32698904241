"""Red Hat's VEX documents: CSAF 2.0, one JSON file per vulnerability, and the list of their changes.

A document's ``product_tree`` names products (with a CPE) and packages (with a package URL), and relationships put one
into the other; ``product_status`` then lists these pairs as ``fixed``, ``known_affected`` or ``known_not_affected``.
Read are the main streams of Red Hat Enterprise Linux. Extended streams (EUS, AUS, E4S, ELS) have products of their
own, with other package versions, and are left out; so are module streams.
"""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from libcensus.collector.advisories.feeds.reading import (
    CVE,
    FeedFormatError,
    FirstFixes,
    Members,
    Reading,
    day_of,
    is_own_source,
    items_of,
    list_of,
    mapping_of,
    newest_of,
    parse_json,
    part_of,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import date

_MAIN_STREAM = re.compile(r"cpe:/[ao]:redhat:enterprise_linux:(\d+)(?:$|[:.].*)")
_PURL = re.compile(r"pkg:rpm/redhat/([^@?]+)@([^?]+)(?:\?(.*))?")
_PURL_UNVERSIONED = re.compile(r"pkg:rpm/redhat/([^@?]+)(?:\?(.*))?")
_CHANGED = re.compile(r"(\d{4})/cve-(\d{4}-\d{4,19})\.json")
_DEEPEST = 16


def read_changes(members: Members, wanted: Collection[str]) -> tuple[tuple[tuple[str, str], ...], date]:
    """Return path and time of each wanted vulnerability's document, and the newest day; raises FeedFormatError."""
    found: dict[str, str] = {}
    days: list[date] = []
    for name, content in members:
        if not content.endswith(b"\n"):
            raise FeedFormatError(name, "does not end with a whole line (it looks cut off)")
        try:
            lines = list(csv.reader(content.decode().splitlines(), strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise FeedFormatError(name, f"is no table of comma-separated values: {error}") from None
        for number, line in enumerate(lines, start=1):
            place = f"{name}: line {number}"
            if len(line) != 2:
                raise FeedFormatError(place, f"has {len(line)} fields where path and time are expected")
            path = _CHANGED.fullmatch(line[0])
            day = day_of(line[1], place)
            days.append(day)
            if path is None or f"CVE-{path[2]}" not in wanted:
                continue
            if line[0] in found:
                raise FeedFormatError(place, f"{line[0]} is there twice")
            found[line[0]] = line[1]
    return tuple(sorted(found.items())), newest_of(days, "the list of changes")


def read_redhat(members: Members) -> Reading:
    """Return what VEX documents say of the packages that are judged here; raises FeedFormatError."""
    fixes = FirstFixes()
    days: list[date] = []
    seen: set[str] = set()
    for name, content in members:
        record = mapping_of(parse_json(content, name), name)
        document = mapping_of(record.get("document"), f"{name}: document")
        if document.get("category") != "csaf_vex":
            raise FeedFormatError(name, f"is no VEX document of CSAF but {document.get('category')!r}")
        tracking = mapping_of(document.get("tracking"), f"{name}: tracking")
        identity = text_of(tracking.get("id"), f"{name}: tracking: id")
        if identity in seen:
            raise FeedFormatError(identity, "is there twice")
        seen.add(identity)
        days.append(day_of(tracking.get("current_release_date"), f"{identity}: current_release_date"))
        _read_document(record, identity, fixes)
    newest = newest_of(days, "the document")
    return Reading(fixes.rows(None), newest)


def _read_document(record: dict[str, Any], identity: str, fixes: FirstFixes) -> None:
    streams, packages, pairs = _products(mapping_of(record.get("product_tree"), f"{identity}: product_tree"), identity)
    for item in list_of(record.get("vulnerabilities"), f"{identity}: vulnerabilities"):
        vulnerability = mapping_of(item, f"{identity}: vulnerabilities")
        advisory = text_of(vulnerability.get("cve"), f"{identity}: cve")
        if CVE.fullmatch(advisory) is None:
            raise FeedFormatError(identity, f"{advisory[:40]!r} is no CVE id")
        status = mapping_of(vulnerability.get("product_status"), f"{identity}: product_status")
        untouched: dict[tuple[str, str], str] = {}
        touched: set[tuple[str, str]] = set()
        for state in ("fixed", "known_affected", "under_investigation", "known_not_affected"):
            for product in items_of(status.get(state), f"{identity}: {state}"):
                pair = pairs.get(text_of(product, f"{identity}: {state}"))
                release = None if pair is None else streams.get(pair[0])
                package = None if pair is None else packages.get(pair[1])
                if release is None or package is None:
                    continue
                source, version = package
                place = f"{identity}: {product}"
                fixes.know("rhel", release, source)
                if state == "known_not_affected":
                    untouched[release, source] = place
                    continue
                touched.add((release, source))
                if state == "fixed" and version is not None and "module" not in version:
                    fixes.add("rhel", release, source, advisory, version, place, paid=False)
        for (release, source), place in untouched.items():
            # One stream of a package can be free of what another one had.
            if (release, source) not in touched:
                fixes.add("rhel", release, source, advisory, "0", place, paid=False)


def _products(
    tree: dict[str, Any], identity: str
) -> tuple[dict[str, str], dict[str, tuple[str, str | None]], dict[str, tuple[str, str]]]:
    """Return main streams and source packages by product id, and which package of which product each pair is."""
    streams: dict[str, str] = {}
    packages: dict[str, tuple[str, str | None]] = {}
    for product in _leaves(items_of(tree.get("branches"), f"{identity}: branches"), identity, 0):
        key = text_of(product.get("product_id"), f"{identity}: product_id")
        helper = part_of(product.get("product_identification_helper"), f"{identity}: {key}")
        stream = _MAIN_STREAM.fullmatch(str(helper.get("cpe", "")))
        if stream is not None:
            streams[key] = stream[1]
        package = _source(str(helper.get("purl", "")))
        if package is not None:
            packages[key] = package
    pairs: dict[str, tuple[str, str]] = {}
    for item in items_of(tree.get("relationships"), f"{identity}: relationships"):
        relation = mapping_of(item, f"{identity}: relationships")
        pair = mapping_of(relation.get("full_product_name"), f"{identity}: full_product_name")
        inner = text_of(relation.get("product_reference"), f"{identity}: product_reference")
        outer = text_of(relation.get("relates_to_product_reference"), f"{identity}: relates_to_product_reference")
        pairs[text_of(pair.get("product_id"), f"{identity}: product_id")] = outer, inner
    return streams, packages, pairs


def _leaves(branches: list[Any], identity: str, depth: int) -> Iterator[dict[str, Any]]:
    if depth > _DEEPEST:
        raise FeedFormatError(identity, f"has products nested deeper than {_DEEPEST}")
    for item in branches:
        branch = mapping_of(item, f"{identity}: branches")
        if "product" in branch:
            yield mapping_of(branch["product"], f"{identity}: product")
        yield from _leaves(items_of(branch.get("branches"), f"{identity}: branches"), identity, depth + 1)


def _source(purl: str) -> tuple[str, str | None] | None:
    """Return name and version (with epoch) of a source package; None for anything else, such as a binary package."""
    found = _PURL.fullmatch(purl)
    if found is not None:
        name, version, qualifiers = found[1], unquote(found[2]), found[3] or ""
    else:
        plain = _PURL_UNVERSIONED.fullmatch(purl)
        if plain is None:
            return None
        name, version, qualifiers = plain[1], "", plain[2] or ""
    words = dict(part.partition("=")[::2] for part in qualifiers.split("&"))
    if words.get("arch") != "src" or not is_own_source(name) or "rpmmod" in words:
        return None
    epoch = words.get("epoch", "0")
    return name, None if not version else version if epoch == "0" else f"{epoch}:{version}"
