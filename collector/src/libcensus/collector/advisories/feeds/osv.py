"""Distributions' errata in the OSV format: AlmaLinux, Rocky Linux, and Ubuntu's records of vulnerabilities.

An archive holds one JSON record per erratum or vulnerability. Of each the packages that are judged here are taken:
``affected[].package`` with its ecosystem (``AlmaLinux:9``), and the ``fixed`` event of its ranges. Packages of module
streams are left out: several streams share one package name, and the fix of one says nothing about another.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from libcensus.collector.advisories.feeds.reading import (
    CVE,
    MANAGERS,
    FeedFormatError,
    FirstFixes,
    Members,
    Reading,
    check_version,
    day_of,
    is_own_source,
    items_of,
    list_of,
    mapping_of,
    newest_of,
    parse_json,
    record_day,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date

_ECOSYSTEMS: Mapping[str, str] = {"AlmaLinux": "almalinux", "Rocky Linux": "rocky"}

_BINARIES: Mapping[str, str] = {
    "openssl": "openssl",
    "openssl-libs": "openssl",
    "glibc": "glibc",
    "compat-openssl10": "compat-openssl10",
    "compat-openssl11": "compat-openssl11",
    "nodejs": "nodejs",
}
_VERSIONED_PYTHON = re.compile(r"(python3\.\d+)(?:-libs)?")
_SYSTEM_PYTHON: Mapping[str, str] = {"8": "python3", "9": "python3.9", "10": "python3.12"}
"""The source package of each Enterprise Linux's own Python, whose binary packages are called ``python3-libs``."""

_MODULE = re.compile(r"module[+_]")

_INTERESTING = (b'"openssl', b'"glibc', b'"python3', b'"platform-python', b'"nodejs', b'"compat-openssl', b'"eglibc')
"""One of these stands in every record that matters; the others are not worth reading."""


def read_enterprise(members: Members, ecosystem: str) -> Reading:
    """Return the fixes of an Enterprise Linux's errata; raises FeedFormatError."""
    distribution = _ECOSYSTEMS[ecosystem]
    fixes = FirstFixes()
    days: list[date] = []
    for place, record in _records(members):
        days.append(record_day(record, place))
        if record.get("withdrawn") is not None:
            continue
        names = _advisories(record)
        for item, where in _affected(record, place):
            name, release = _package(item, where, ecosystem)
            source = None if release is None else _source_of(name, release)
            if source is None or release is None:
                continue
            for version in _fixed(item, where):
                if _MODULE.search(version) is None:
                    fixes.know(distribution, release, source)
                    for advisory in names:
                        fixes.add(distribution, release, source, advisory, version, where, paid=False)
    newest = newest_of(days, "the archive")
    # Errata say nothing of what a package never had. Of OpenSSL all are known to be told that upstream's ranges hold.
    return Reading(fixes.rows(newest, lambda _release, package: package == "openssl"), newest)


def _source_of(binary: str, release: str) -> str | None:
    """Return the source package of a binary one, where it is one of the components."""
    if binary in _BINARIES:
        return _BINARIES[binary]
    if binary in {"python3", "python3-libs", "platform-python"}:
        return _SYSTEM_PYTHON.get(release)
    found = _VERSIONED_PYTHON.fullmatch(binary)
    return None if found is None else found[1]


def _records(members: Members) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the records that may matter, by id; raises FeedFormatError for an id that is there twice."""
    seen: set[str] = set()
    for name, content in members:
        if not name.endswith(".json") or not any(word in content for word in _INTERESTING):
            continue
        record = parse_json(content, name)
        for one in record if isinstance(record, list) else [record]:
            item = mapping_of(one, name)
            if "affected" not in item:
                continue
            found = text_of(item.get("id"), f"{name}: id")
            if found in seen:
                raise FeedFormatError(found, "is there twice")
            seen.add(found)
            yield found, item


def _advisories(record: dict[str, Any]) -> list[str]:
    """Return the CVE ids that a record is about: of an erratum those that it names, in whichever list it does."""
    texts = [record["id"]]
    for key in ("aliases", "upstream", "related"):
        texts += [
            text_of(text, f"{record['id']}: {key}") for text in items_of(record.get(key), f"{record['id']}: {key}")
        ]
    found = (CVE.search(text) for text in texts)
    return sorted({one[0] for one in found if one is not None})


def _affected(record: dict[str, Any], place: str) -> Iterator[tuple[dict[str, Any], str]]:
    for number, item in enumerate(list_of(record["affected"], f"{place}: affected"), start=1):
        where = f"{place}: affected {number}"
        yield mapping_of(item, where), where


def _package(item: dict[str, Any], where: str, ecosystem: str) -> tuple[str, str | None]:
    """Return name and release of a package; no release where it is of another ecosystem."""
    package = mapping_of(item.get("package"), f"{where}: package")
    name = text_of(package.get("name"), f"{where}: package: name")
    found, _, release = text_of(package.get("ecosystem"), f"{where}: package: ecosystem").partition(":")
    return name, release if found == ecosystem and re.fullmatch(r"\d+", release) else None


def _fixed(item: dict[str, Any], where: str) -> list[str]:
    """Return the versions of the ``fixed`` events; raises FeedFormatError."""
    versions = []
    for entry in items_of(item.get("ranges"), f"{where}: ranges"):
        found = mapping_of(entry, f"{where}: ranges")
        if found.get("type") != "ECOSYSTEM":
            continue
        for event in list_of(found.get("events"), f"{where}: events"):
            version = mapping_of(event, f"{where}: events").get("fixed")
            if version is not None:
                versions.append(text_of(version, f"{where}: fixed"))
    return versions


# --- Ubuntu -----------------------------------------------------------------------------------------------------------

_UBUNTU = re.compile(r"Ubuntu:(Pro:)?(\d\d\.\d\d)(:LTS)?")
"""Ubuntu's FIPS and real-time archives are other products, which a host has to be switched to."""


def read_ubuntu(members: Members) -> Reading:
    """Return the fixes that Ubuntu's OSV records tell of.

    A record of a vulnerability (``UBUNTU-CVE-…``) lists every release that it holds for. A long-term release which
    it does not list, neither plain nor under Pro, while it lists others of the same package, was never affected;
    of interim releases, and of releases that newer
    records list no more, nothing of the kind can be said. Security notices (``USN-…``) add nothing to
    these records where both are there, and stand for themselves where only they are.
    """
    fixes = FirstFixes()
    days: list[date] = []
    last_listed: dict[tuple[str, str], date] = {}
    listed: dict[tuple[str, str], set[str]] = {}
    published: dict[str, date] = {}
    for place, record in _records(members):
        days.append(record_day(record, place))
        if record.get("withdrawn") is not None:
            continue
        names = _advisories(record)
        is_whole = place.startswith("UBUNTU-CVE-")
        day = day_of(record.get("published"), f"{place}: published")
        for item, where in _affected(record, place):
            package = mapping_of(item.get("package"), f"{where}: package")
            source = text_of(package.get("name"), f"{where}: package: name")
            archive = _UBUNTU.fullmatch(text_of(package.get("ecosystem"), f"{where}: package: ecosystem"))
            if archive is None or not is_own_source(source):
                continue
            is_paid, release = bool(archive[1]), archive[2]
            fixes.know("ubuntu", release, source)
            if archive[3] and is_whole:
                last_listed[source, release] = max(day, last_listed.get((source, release), day))
            for advisory in names:
                if is_whole:
                    published[advisory] = day
                    listed.setdefault((source, advisory), set()).add(release)
                for version in _fixed(item, where):
                    check_version(MANAGERS["ubuntu"], version, where)
                    fixes.add("ubuntu", release, source, advisory, version, where, paid=is_paid)
    for (source, advisory), releases in sorted(listed.items()):
        for release in (name for package, name in last_listed if package == source and name not in releases):
            # A release that is listed no more has ended, which says nothing of what was published since.
            is_current = published[advisory] <= last_listed[source, release]
            if is_current and not fixes.has("ubuntu", release, source, advisory):
                fixes.add("ubuntu", release, source, advisory, "0", source, paid=False)
    newest = newest_of(days, "the archive")
    return Reading(fixes.rows(newest, lambda release, package: (package, release) in last_listed), newest)
