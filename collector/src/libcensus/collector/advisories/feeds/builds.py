"""python-build-standalone's and uv's releases: GitHub's list of releases, and one file of each release's own source.

The list tells tag, day and, by the names of the files, each CPython. Which OpenSSL a build holds stands in its source
(``pythonbuild/downloads.py``, whose table is read as a literal and never run); which build a uv can install, in uv's
(``crates/uv-python/download-metadata.json``).
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any

from libcensus.collector.advisories.feeds.reading import (
    FeedFormatError,
    Members,
    Reading,
    Row,
    check_unique,
    day_of,
    list_of,
    mapping_of,
    newest_of,
    parse_json,
    text_of,
)
from libcensus.collector.posture.versions import parse_openssl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

_TAG = re.compile(r"\d{8}")
_UV = re.compile(r"\d+\.\d+\.\d+")
_FILE = re.compile(r"cpython-((3\.\d+)\.\d+(?:(?:a|b|rc)\d+)?)\+(\d{8})-.*")


def read_pbs(members: Members) -> Reading:
    """Return python-build-standalone's builds; raises FeedFormatError."""
    rows: list[Row] = []
    days: list[date] = []
    for place, release in _releases(members):
        tag = text_of(release.get("tag_name"), f"{place}: tag_name")
        day = day_of(release.get("published_at"), f"{place}: published_at")
        if _TAG.fullmatch(tag) is None:
            continue
        cpython: dict[str, str] = {}
        for item in list_of(release.get("assets"), f"{tag}: assets"):
            file = _FILE.fullmatch(text_of(mapping_of(item, f"{tag}: assets").get("name"), f"{tag}: assets: name"))
            if file is not None and file[3] == tag:
                cpython[file[2]] = file[1]
        if cpython:
            days.append(day)
            rows.append({"kind": "pbs", "tag": tag, "date": day.isoformat(), "cpython": cpython})
    check_unique(rows)
    return Reading(tuple(sorted(rows, key=lambda row: (row["date"], row["tag"]))), newest_of(days, "the list"))


def read_uv(members: Members) -> Reading:
    """Return uv's releases; raises FeedFormatError."""
    rows: list[Row] = []
    days: list[date] = []
    for place, release in _releases(members):
        tag = text_of(release.get("tag_name"), f"{place}: tag_name")
        day = day_of(release.get("published_at"), f"{place}: published_at")
        if _UV.fullmatch(tag) is not None:
            days.append(day)
            rows.append({"kind": "uv", "uv": tag, "date": day.isoformat()})
    check_unique(rows)
    return Reading(tuple(sorted(rows, key=lambda row: (row["date"], _numbers(row["uv"])))), newest_of(days, "the list"))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _releases(members: Members) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the published releases of a list; drafts and previews are no releases."""
    for name, content in members:
        for number, item in enumerate(list_of(parse_json(content, name), name), start=1):
            release = mapping_of(item, f"{name}: {number}")
            if not release.get("draft") and not release.get("prerelease"):
                yield f"{name}: {number}", release


def read_pbs_source(members: Members, tag: str, day: date) -> Reading:
    """Return the OpenSSL of a build, from the table in its source; raises FeedFormatError."""
    rows: list[Row] = []
    for name, content in members:
        versions = [version for key, version in _downloads(content, name).items() if key.startswith("openssl-")]
        ordered = [(found, version) for version in versions if (found := parse_openssl(version)) is not None]
        if not ordered:
            raise FeedFormatError(name, f"names no version of OpenSSL for build {tag}")
        newest = ordered[0]
        for one in ordered[1:]:
            newest = one if newest[0] < one[0] else newest
        rows.append({"kind": "pbs_openssl", "tag": tag, "openssl": newest[1]})
    check_unique(rows)
    return Reading(tuple(rows), day)


def _downloads(content: bytes, name: str) -> dict[str, str]:
    """Return the version of each entry of the table ``DOWNLOADS``."""
    try:
        module = ast.parse(content)
        for statement in module.body:
            if isinstance(statement, ast.Assign) and any(
                isinstance(target, ast.Name) and target.id == "DOWNLOADS" for target in statement.targets
            ):
                table = ast.literal_eval(statement.value)
                return {
                    key: entry["version"]
                    for key, entry in mapping_of(table, name).items()
                    if isinstance(entry, dict) and isinstance(entry.get("version"), str)
                }
    except (SyntaxError, ValueError, TypeError, KeyError, MemoryError, RecursionError) as error:
        raise FeedFormatError(name, f"is no source with a table of downloads: {type(error).__name__}") from None
    raise FeedFormatError(name, "holds no table DOWNLOADS")


def read_uv_source(members: Members, version: str, day: date) -> Reading:
    """Return the newest build that a uv can install, from the list in its source; raises FeedFormatError."""
    rows: list[Row] = []
    for name, content in members:
        builds: set[str] = set()
        for key, entry in mapping_of(parse_json(content, name), name).items():
            item = mapping_of(entry, f"{name}: {key}")
            build = item.get("build")
            if item.get("name") == "cpython" and isinstance(build, str) and _TAG.fullmatch(build):
                builds.add(build)
        if not builds:
            raise FeedFormatError(name, f"names no build for uv {version}")
        # One tag is of a year later than its name says.
        rows.append({"kind": "uv_pbs", "uv": version, "pbs": max(builds), "builds": sorted(builds)[-3:]})
    check_unique(rows)
    return Reading(tuple(rows), day)
