"""Collect the facts about Node.js from two of its project's repositories, as ``make_snapshot.py`` reads them.

The security working group's core database names release lines, fixed releases and severities. The website's posts tell
the day of each release and security announcement, and what a security release fixes that the database does not hold.
Identifiers, versions, days and severities are taken; of the posts nothing else. Both repositories are read at their
``HEAD`` with git, bare or not; the same commits give the same bytes.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

from libcensus.collector.advisories.feeds.nodejs import SEVERITIES, read_nodejs
from libcensus.collector.advisories.feeds.reading import FeedFormatError, mapping_of, parse_json

CORE = "vuln/core"
RELEASES = "apps/site/pages/en/blog/release"
ANNOUNCEMENTS = "apps/site/pages/en/blog/vulnerability"
FILE = "nodejs_advisories.json"

DATABASE = "Node.js security working group's core database"
NOTES = "Node.js's release notes"

NO_SUCH_ID = frozenset({"CVE-2016-1699", "CVE-2019-0735"})
"""Slips of release notes, for CVE-2016-1669 (of the database) and CVE-2018-0735 (OpenSSL's)."""

_POST = re.compile(r"/v(\d+\.\d+\.\d+)\.mdx?\Z")
_DAY = re.compile(r"^date: ['\"]?(\d{4}-\d\d-\d\d)", re.MULTILINE)
_TITLE = re.compile(r"^#+ (\d{4}-\d\d-\d\d), Version ", re.MULTILINE)
_COMMITS = re.compile(r"^#+ Commits\b", re.MULTILINE)
_NAMED = re.compile(r"^\s*[-*] [(\[*]*((?:CVE-\d{4}-\d{4,19}\b[,/ ]*)+)(.*)$", re.MULTILINE)
_CVE = re.compile(r"CVE-\d{4}-\d{4,19}")
_SEVERITY = re.compile(r"\(?\b(critical|high|medium|low)\b\)?\W*\Z", re.IGNORECASE)
_REFERENCE = re.compile(r"/blog/vulnerability/([a-z0-9_-]+)/?\Z")


class RepositoryError(Exception):
    """A repository that cannot be read, or is not the one that is meant."""


def git(repository: Path, *arguments: str) -> bytes:
    """Return what git says; raises RepositoryError with its own words."""
    try:
        done = subprocess.run(["git", "-C", repository, *arguments], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = error.stderr.decode() if isinstance(error, subprocess.CalledProcessError) else str(error)
        raise RepositoryError(f"{repository}: {said.strip()}") from error
    return done.stdout


def files_of(repository: Path, folder: str) -> dict[str, bytes]:
    """Return the files of a folder of a repository by their paths."""
    with tarfile.open(fileobj=io.BytesIO(git(repository, "archive", "HEAD", folder))) as archive:
        found = {entry.name: archive.extractfile(entry) for entry in archive.getmembers() if entry.isreg()}
        return {name: content.read() for name, content in found.items() if content is not None}


def source_of(repository: Path, name: str, what: str) -> str:
    """Return the words that name a repository at its commit."""
    commit, day = git(repository, "log", "-1", "--format=%H %cs").decode().split()
    return f"{name} @ {commit[:12]} ({day}): {what}"


def releases_of(posts: dict[str, str]) -> dict[str, str]:
    """Return the day of each release: that of the changelog inside its post, else of the post."""
    found = {}
    for version, text in posts.items():
        day = _TITLE.search(text) or _DAY.search(text)
        if day is None:
            raise RepositoryError(f"the post about {version} has no day")
        found[version] = day[1]
    return dict(sorted(found.items(), key=lambda item: numbers(item[0])))


def numbers(version: str) -> tuple[int, ...]:
    """Return what orders a version."""
    return tuple(int(part) for part in version.split("."))


def days_of(announcements: dict[str, bytes], entries: dict[str, bytes]) -> dict[str, str]:
    """Return the day of the announcement that the entry of each vulnerability refers to."""
    days = {}
    for name, content in announcements.items():
        day = _DAY.search(content.decode())
        if day is not None:
            days[Path(name).stem] = day[1]
    found: dict[str, str] = {}
    for name, content in entries.items():
        entry = mapping_of(parse_json(content, name), name)
        slug = _REFERENCE.search(entry.get("ref") or "")
        if slug is not None and slug[1] in days:
            for identity in entry["cve"]:
                found[identity] = min(days[slug[1]], found.get(identity, days[slug[1]]))
    return found


def noted(posts: dict[str, str]) -> list[dict[str, Any]]:
    """Return what the notes of releases name as fixed.

    A line is affected up to the first of its releases whose notes begin an item with the vulnerability. The lines that
    were supported then have releases of the same day; one whose notes do not name it is not affected.
    """
    found: dict[str, dict[str, Any]] = {}
    for version in sorted(posts, key=numbers):
        line = version.split(".")[0]
        if line == "0":
            continue
        for item in _NAMED.finditer(_COMMITS.split(posts[version])[0]):
            severity = _SEVERITY.search(item[2])
            for name in _CVE.findall(item[1]):
                if name in NO_SUCH_ID:
                    continue
                row = found.setdefault(name, {"id": name, "ranges": {}})
                begin = {"branch": line, "introduced": f"{line}.0.0", "assumed": True, "fixed": version}
                row["ranges"].setdefault(line, begin)
                if severity is not None:
                    row.setdefault("severity", SEVERITIES[severity[1].lower()])
    return [{**row, "ranges": list(row["ranges"].values()), "source": NOTES} for row in found.values()]


def joined(rows: list[dict[str, Any]], notes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the database's rows and those of the notes; of a row in both, the lines that the database left out."""
    by_name = {row["id"]: row for row in rows}
    found = [row for row in notes if row["id"] not in by_name]
    for note in notes:
        lines = {item["branch"] for item in by_name.get(note["id"], note)["ranges"]}
        for item in note["ranges"]:
            if item["branch"] not in lines:
                by_name[note["id"]]["ranges"].append({**item, "source": NOTES})
    return rows + found


def published(row: dict[str, Any], announced: dict[str, str], releases: dict[str, str]) -> str | None:
    """Return the day on which a vulnerability was made public; None where no source tells.

    An announcement can be begun days before, and then says no more than that there will be releases: what they fix is
    public with the first of them.
    """
    if "published" in row:
        return str(row["published"])
    first = min(releases[item["fixed"]] for item in row["ranges"] if item.get("fixed") in releases)
    if row["source"] == NOTES:
        return first
    return max(announced[row["id"]], first) if row["id"] in announced else None


def collect(security: Path, website: Path) -> dict[str, Any]:
    """Return the collected facts; raises RepositoryError or FeedFormatError, naming the place."""
    entries = {name: content for name, content in files_of(security, CORE).items() if not name.endswith("/index.json")}
    announced = days_of(files_of(website, ANNOUNCEMENTS), entries)
    posts = {
        match[1]: content.decode()
        for name, content in files_of(website, RELEASES).items()
        if (match := _POST.search(name)) is not None
    }
    rows = [
        {**{key: value for key, value in row.items() if key != "kind"}, "source": DATABASE}
        for row in read_nodejs(entries.items()).rows
    ]
    rows = joined(rows, noted(posts))
    releases = releases_of(posts)
    for row in rows:
        day = published(row, announced, releases)
        if day is not None:
            row["published"] = day
    return {
        "_about": {
            "sources": [
                source_of(security, "nodejs/security-wg", f"{CORE}/*.json"),
                source_of(website, "nodejs/nodejs.org", "days of releases and announcements, notes of releases"),
            ]
        },
        "advisories": sorted(rows, key=lambda row: row["id"]),
        "releases": releases,
    }


def main() -> int:
    """Write the collected facts into a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("security", type=Path, help="the repository nodejs/security-wg")
    parser.add_argument("website", type=Path, help="the repository nodejs/nodejs.org")
    parser.add_argument("folder", type=Path, help=f"the folder that gets {FILE}")
    arguments = parser.parse_args()
    try:
        facts = collect(arguments.security, arguments.website)
    except (RepositoryError, FeedFormatError, KeyError) as error:
        print(f"cannot collect: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    (arguments.folder / FILE).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(f"{len(facts['advisories'])} advisories, {len(facts['releases'])} releases")
    return 0


if __name__ == "__main__":
    sys.exit(main())
