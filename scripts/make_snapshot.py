"""Make the embedded snapshot of published facts from a folder of collected ones; ``--check`` tells of drift.

The folder holds one JSON file per subject, each saying in ``_about`` where its facts come from. This script keeps what
the product judges with, in a compact and stable form: the same input gives the same bytes. It refuses input whose
shape it doesn't know rather than guess. The product never needs the folder: it reads the files written here. What is
known of Node.js is collected apart, by ``collect_nodejs.py``: a folder without it leaves that table as it is.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "collector" / "src" / "libcensus" / "collector" / "advisories" / "data"
BY_HAND = frozenset({"quirks.json"})
"""What lies there and is not made here: it is written from the projects' own documentation."""

WINDOWS_ONLY_REASON = "not affected: Windows only"
WINDOWS_ONLY_BY_TITLE = {"CVE-2019-1552": "Windows builds with insecure path defaults (title of OpenSSL's own record)"}
"""Records that the folder's table of reasons doesn't reach because no distribution in it was ever in their range."""

PREMIUM_LISTED = ("1.0.2", "1.1.1")
"""Branches that OpenSSL's records go on listing after the end of free support, for as long as premium support lasts."""

READ_CHANGES = ("3.0", "3.5", "3.6", "4.0")
"""Branches whose CHANGES were read for the advisories that are newer than OpenSSL's records."""

RECORDS = "OpenSSL's CVE record"
CHANGES = "OpenSSL's CHANGES"

ATTRIBUTIONS = (
    ("OpenSSL release-metadata and CHANGES", "OpenSSL project", "Apache-2.0"),
    ("PSF advisory database", "Python Software Foundation", "CC-BY-4.0"),
    ("python-security", "Victor Stinner", "facts only"),
    ("CVE list", "CVE Program", "CVE terms of use"),
    ("endoflife.date", "endoflife.date contributors", "MIT"),
    ("AlmaLinux OSV database", "AlmaLinux OS Foundation", "MIT"),
    ("pep600_compliance", "pep600_compliance contributors", "MIT"),
    ("python-build-standalone", "Astral and contributors", "MPL-2.0"),
    ("uv", "Astral", "MIT or Apache-2.0"),
    ("glibc advisories", "GNU C Library project", "facts only"),
    ("Debian package changelogs and indexes", "Debian project", "facts only"),
    ("Ubuntu security notices", "Canonical", "facts only"),
    ("OpenELA openssl packaging", "OpenELA", "facts only"),
    ("Node.js core vulnerability database", "Node.js Foundation", "MIT"),
    ("Node.js website", "Node.js Website WG contributors", "MIT"),
)


class ShapeError(Exception):
    """The input is not of the shape that this script knows."""


def read(folder: Path, name: str) -> dict[str, Any]:
    """Return one input file; raises :class:`ShapeError` naming the file when it can't be used."""
    path = folder / f"{name}.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ShapeError(f"{path}: {error}") from error
    if not isinstance(content, dict) or "_about" not in content:
        raise ShapeError(f"{path}: is not an object with '_about'")
    return content


def without_empty(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row without keys whose value says nothing."""
    return {key: value for key, value in row.items() if value not in (None, False, [], {})}


def text_or_none(value: object) -> str | None:
    """Return a text; sources write true or false where they know that something exists but not when."""
    return value if isinstance(value, str) else None


def windows_only(backports: dict[str, Any]) -> set[str]:
    """Return the advisories that hold on Windows alone."""
    found = set(WINDOWS_ONLY_BY_TITLE)
    for row in backports["naive_false_positives"]:
        found.update(row["remaining"].get(WINDOWS_ONLY_REASON, []))
    return found


def openssl_range(row: dict[str, Any], released: set[str]) -> dict[str, Any]:
    """Return one affected range; a fix that exists in the repository alone is no fixed release.

    One record (CVE-2023-2650) begins a range at the version that fixes it, while its advisory tells all users of the
    branch to upgrade: the branch's first release is taken then, and marked as assumed.
    """
    fixed, premium = row["fixed"], bool(row.get("fixed_premium_only"))
    if fixed is not None and fixed not in released and not premium:
        if not fixed.endswith("-cvs"):
            raise ShapeError(f"openssl_advisories.json: fixed version {fixed} was never released")
        fixed = None
    introduced, assumed = row["introduced"], bool(row.get("introduced_assumed"))
    if introduced == fixed:
        introduced, assumed = f"{row['branch']}.0", True
    return without_empty(
        {
            "branch": row["branch"],
            "introduced": introduced,
            "fixed": fixed,
            "premium": premium,
            "assumed": assumed,
            "inferred": bool(row.get("fixed_inferred")),
            "source": row.get("from"),
        }
    )


def openssl(folder: Path) -> dict[str, Any]:
    """Return OpenSSL's advisories, releases and branches.

    Ranges without a branch are those of the old FIPS module, another product with version numbers of its own.
    """
    advisories, releases = read(folder, "openssl_advisories"), read(folder, "openssl_releases")
    limited = windows_only(read(folder, "backports"))
    released = {row["version"] for row in releases["releases"]}
    rows = []
    for advisory in advisories["advisories"]:
        ranges = [openssl_range(row, released) for row in advisory["affected"] if row["branch"] is not None]
        if not ranges:
            continue
        source = {"secjson": RECORDS, "upstream CHANGES (Debian package)": CHANGES}[advisory["source"]]
        rows.append(
            without_empty(
                {
                    "id": advisory["id"],
                    "published": advisory["published"],
                    "severity": advisory["severity"],
                    "source": source,
                    "windows_only": advisory["id"] in limited,
                    "ranges": ranges,
                }
            )
        )
    return {
        "assessed": [
            {"source": RECORDS, "always": list(PREMIUM_LISTED)},
            {"source": CHANGES, "only": list(READ_CHANGES)},
        ],
        "advisories": sorted(rows, key=lambda row: (row["published"], row["id"])),
        "releases": [
            without_empty(
                {
                    "version": row["version"],
                    "branch": row["branch"],
                    "date": row["date"],
                    "inferred": bool(row.get("date_inferred")),
                    "withdrawn": row.get("withdrawn"),
                }
            )
            for row in releases["releases"]
        ],
        "branches": [
            without_empty({"branch": name, "released": row["release"], "eol": row["eol"], "lts": row["lts"]})
            for name, row in releases["branches"].items()
        ],
    }


WINDOWS_BUILDS_ONLY = frozenset({"CVE-2016-3189", "CVE-2018-25032", "CVE-2019-12900"})
"""CPython's NEWS has these under Windows: the bzip2 and zlib that its Windows builds brought were updated."""


def cpython(folder: Path) -> dict[str, Any]:
    """Return CPython's advisories with the fixed version per branch, release dates and Debian's backports."""
    source = read(folder, "cpython_advisories")
    return {
        "advisories": [
            without_empty(
                {
                    "id": row["cve"],
                    "alias": row["id"],
                    "published": row["published"],
                    "severity": row["severity"],
                    "severity_from": row.get("severity_from"),
                    "fixed": row["fixed"],
                    "inferred": row.get("inferred_branches"),
                    "windows_only": row["cve"] in WINDOWS_BUILDS_ONLY or None,
                    "source": row["source"],
                }
            )
            for row in sorted(source["advisories"], key=lambda row: (row["cve"] or "", row["id"] or ""))
        ],
        "releases": [{"version": version, "date": day} for version, day in source["release_dates"].items()],
        "debian": [{"suite": suite, **row} for suite, row in source["debian"].items()],
    }


def glibc(folder: Path) -> dict[str, Any]:
    """Return glibc's advisories and Debian's backports."""
    source = read(folder, "glibc_advisories")
    return {
        "advisories": [without_empty(row) for row in source["advisories"]],
        "debian": [{"suite": suite, **row} for suite, row in source["debian"].items()],
    }


NODEJS = "nodejs_advisories"

NODEJS_WINDOWS_ONLY = frozenset({"CVE-2016-9551", "CVE-2024-37372"})
"""Entries for all environments whose own text says that they hold on Windows alone."""

NODEJS_CORRECTED: dict[tuple[str, str], str | None] = {
    ("CVE-2022-32214", "16"): "16.16.0",
    ("CVE-2022-32223", "16"): "16.16.0",
    ("CVE-2022-32222", "14"): None,
    ("CVE-2022-32222", "16"): None,
}
"""The fixed release of a line, or None for one that is not affected, where the project's announcement of the releases
of 2022-07-07 says otherwise than its database: 16.16.0 and not 16.20.0, and line 18 alone.
"""


def nodejs(folder: Path) -> dict[str, Any]:
    """Return Node.js's advisories and releases; what is there already where the folder has nothing about them.

    What is OpenSSL's own is left out: an install's OpenSSL is judged by its own version.
    """
    if not (folder / f"{NODEJS}.json").exists():
        present: dict[str, Any] = json.loads((TARGET / "nodejs.json").read_text(encoding="utf-8"))
        return present
    source = read(folder, NODEJS)
    foreign = {row["id"] for row in read(folder, "openssl_advisories")["advisories"]}
    rows = []
    for row in source["advisories"]:
        ranges = []
        for item in row["ranges"]:
            fixed = NODEJS_CORRECTED.get((row["id"], item["branch"]), item.get("fixed", ""))
            if fixed is not None:
                ranges.append(without_empty({**item, "fixed": fixed or None}))
        windows = row.get("windows_only") or row["id"] in NODEJS_WINDOWS_ONLY
        corrected = any(name == row["id"] for name, _ in NODEJS_CORRECTED)
        if row["id"] not in foreign:
            rows.append(without_empty({**row, "windows_only": windows, "corrected": corrected, "ranges": ranges}))
    return {
        "sources": source["_about"]["sources"],
        "advisories": rows,
        "releases": [{"version": version, "date": day} for version, day in source["releases"].items()],
    }


def support(folder: Path) -> dict[str, Any]:
    """Return end-of-life per product and branch; ``kind`` tells whether support after ``eol`` is free or paid.

    OpenSSL is left out: its branches come from its own data, in the table of OpenSSL.
    """
    source = read(folder, "eol")
    return {
        product: [
            without_empty(
                {
                    "branch": branch,
                    "released": row.get("release"),
                    "eol": text_or_none(row["eol"]),
                    "ended": row["eol"] if isinstance(row["eol"], bool) else None,
                    "extended": row["extended_support_end"]
                    if isinstance(row.get("extended_support_end"), str)
                    else None,
                    "kind": row.get("extended_support_kind"),
                    "codename": row.get("codename"),
                }
            )
            for branch, row in branches.items()
        ]
        for product, branches in sorted(source.items())
        if not product.startswith("_") and product != "openssl"
    }


def pbs_date(row: dict[str, Any]) -> str:
    """Return the day of a build: its tag names it, except where the source says that the name is wrong."""
    if row.get("tag_name_wrong"):
        return str(row["commit_date"])
    tag = row["tag"]
    return f"{tag[:4]}-{tag[4:6]}-{tag[6:]}"


def pbs_cpython(row: dict[str, Any]) -> dict[str, str]:
    """Return the CPython of a build per minor version; tags newer than the source are known from uv's own list."""
    if "cpython" in row:
        return dict(row["cpython"])
    return {".".join(version.split(".")[:2]): version for version in row["cpython_seen"]}


def pbs(folder: Path) -> dict[str, Any]:
    """Return python-build-standalone's builds, oldest first, and the newest of them that each uv can install."""
    source = read(folder, "pbs_builds")
    builds = [
        without_empty(
            {
                "tag": row["tag"],
                "date": pbs_date(row),
                "openssl": row["linux_openssl"],
                "inferred": bool(row.get("inferred")),
                "cpython": pbs_cpython(row),
            }
        )
        for row in source["tags"]
    ]
    return {
        "builds": sorted(builds, key=lambda row: (row["date"], row["tag"])),
        "uv": [without_empty({"uv": row["uv"], "date": row["date"], "pbs": row["newest_pbs"]}) for row in source["uv"]],
    }


def distributions(folder: Path) -> dict[str, Any]:
    """Return glibc, Python and OpenSSL per distribution release, with how well each is known."""
    source = read(folder, "distro_glibc")
    return {"releases": [without_empty(row) for row in sorted(source["rows"], key=lambda row: str(row["release"]))]}


def backports(folder: Path) -> dict[str, Any]:
    """Return, per distribution release, the package version that first fixed each OpenSSL advisory.

    Of Debian's versions the day of each is known, too.
    """
    source = read(folder, "backports")
    days: dict[str, dict[str, str]] = {}
    for row in source["debian_history"]:
        days.setdefault(row["suite"], {})[row["version"]] = row["date"]
    return {
        distribution: [
            without_empty({"release": release, **row, "dates": days.get(release) if key == "debian" else None})
            for release, row in source[key].items()
        ]
        for distribution, key in (("debian", "debian"), ("ubuntu", "ubuntu"), ("el", "rhel_compatible"))
    }


def newest(days: list[str | None]) -> str:
    """Return the newest of the full dates in the list."""
    return max(day for day in days if day)


def meta(folder: Path, tables: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the snapshot's day, how far each subject reaches, its sources and attributions.

    The day is the newest one that any fact was seen on; what is only announced for later (an end of life) doesn't
    count.
    """
    updated = read(folder, "eol")["_file_updated"]
    reaches = {
        "openssl": newest(
            [row["published"] for row in tables["openssl"]["advisories"]]
            + [row["date"] for row in tables["openssl"]["releases"]]
        ),
        "cpython": newest(
            [row.get("published") for row in tables["cpython"]["advisories"]]
            + [row["date"] for row in tables["cpython"]["releases"]]
        ),
        "glibc": newest([row.get("published") for row in tables["glibc"]["advisories"]]),
        "nodejs": newest([row.get("published") for row in tables["nodejs"]["advisories"]]),
        "support": newest(list(updated.values())),
        "pbs": newest([row["date"] for row in tables["pbs"]["builds"]]),
        "uv": newest([row.get("date") for row in tables["pbs"]["uv"]]),
        "backports": newest(
            [row.get("version_date") for row in tables["backports"]["debian"]]
            + [row["newest_notice"]["date"] for row in tables["backports"]["ubuntu"]]
            + [row["newest_erratum"]["date"] for row in tables["backports"]["el"]]
        ),
    }
    sources: dict[str, list[str]] = {}
    for name in (
        "openssl_advisories",
        "openssl_releases",
        "cpython_advisories",
        "glibc_advisories",
        "eol",
        "pbs_builds",
        "distro_glibc",
        "backports",
    ):
        sources[name] = read(folder, name)["_about"]["sources"]
    sources[NODEJS] = tables["nodejs"]["sources"]
    return {
        "format": 1,
        "date": max(reaches.values()),
        "reaches": reaches,
        "sources": sources,
        "attributions": [{"name": name, "holder": holder, "licence": terms} for name, holder, terms in ATTRIBUTIONS],
    }


def encode(table: dict[str, Any]) -> str:
    """Return a table as JSON with one row per line, so that a change of one fact is a change of one line."""
    lines = []
    for key, value in table.items():
        name = json.dumps(key)
        if isinstance(value, list) and value:
            rows = ",\n".join(json.dumps(row, ensure_ascii=True, separators=(",", ":")) for row in value)
            lines.append(f"{name}:[\n{rows}\n]")
        else:
            lines.append(f"{name}:{json.dumps(value, ensure_ascii=True, separators=(',', ':'))}")
    return "{" + ",\n".join(lines) + "}\n"


def make(folder: Path) -> dict[str, str]:
    """Return the content of every file of the snapshot by name."""
    tables = {
        "openssl": openssl(folder),
        "cpython": cpython(folder),
        "glibc": glibc(folder),
        "nodejs": nodejs(folder),
        "support": support(folder),
        "pbs": pbs(folder),
        "distributions": distributions(folder),
        "backports": backports(folder),
    }
    return {f"{name}.json": encode(table) for name, table in {"snapshot": meta(folder, tables), **tables}.items()}


def main() -> int:
    """Write the snapshot, or compare it with what is committed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="the folder that holds the collected facts")
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 when a file would differ")
    arguments = parser.parse_args()
    try:
        files = make(arguments.folder)
    except (ShapeError, KeyError, TypeError, AttributeError, OSError, ValueError) as error:
        print(f"cannot make the snapshot: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    present = {
        path.name: path.read_text(encoding="utf-8") for path in TARGET.glob("*.json") if path.name not in BY_HAND
    }
    differing = sorted(name for name in files.keys() | present.keys() if files.get(name) != present.get(name))
    if arguments.check:
        for name in differing:
            print(f"differs: {name}")
        return 1 if differing else 0
    TARGET.mkdir(parents=True, exist_ok=True)
    for name in differing:
        if name in files:
            (TARGET / name).write_text(files[name], encoding="utf-8")
        else:
            (TARGET / name).unlink()
        print(f"written: {name}" if name in files else f"removed: {name}")
    print(f"{len(files)} files, {sum(len(text) for text in files.values())} bytes, {len(differing)} changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
