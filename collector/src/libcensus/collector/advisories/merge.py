"""The snapshot on board and the good feeds as one set of tables, checked as the snapshot is.

Where both know a record, the one that reaches further is taken: a feed that is older than the snapshot adds what the
snapshot lacks and changes nothing. What a feed does not hold stays as the snapshot has it; what was written by hand
(a vulnerability of Windows alone) is kept. Nothing here opens a file or asks a clock.
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Any

from libcensus.collector.advisories.feeds.reading import MANAGERS, Row
from libcensus.collector.advisories.feeds.registry import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from libcensus.collector.advisories.snapshot import Tables
    from libcensus.collector.advisories.state import FeedState

_RECORDS = "OpenSSL's CVE record"

_DATABASE = "Node.js security working group's core database"

_EXTENDED_KIND = "paid"
"""What support after the end is where nothing is known of the product: nobody is told that it is free."""


def merge_feeds(tables: Tables, states: Mapping[str, FeedState]) -> Tables:
    """Return new tables with what the feeds say; the tables given are left as they are."""
    merged = {name: dict(table) for name, table in tables.items()}
    reaches = dict(merged["snapshot"]["reaches"])
    for feed, join in _JOINS.items():
        state = states.get(feed)
        if state is None:
            continue
        join(merged, state, reaches)
    fixes = _fixes([state for feed, state in states.items() if feed not in _JOINS])
    if fixes:
        merged["fixes"] = {"fixes": fixes}
    for feed, state in states.items():
        subject = _SUBJECTS.get(feed, feed)
        reaches[subject] = max(reaches.get(subject, ""), state.newest.isoformat())
    named = [f"{BY_NAME[feed].title}, up to {state.newest.isoformat()}" for feed, state in sorted(states.items())]
    meta = merged["snapshot"]
    if named:
        meta["sources"] = {**meta["sources"], "feeds": named}
    meta["reaches"] = reaches
    meta["date"] = max([meta["date"], *reaches.values()])
    return merged


_SUBJECTS: Mapping[str, str] = {"psf": "cpython", "endoflife": "support"}
"""The subject of the snapshot that a feed is about, where it has another name."""


def _is_newer(state: FeedState, reaches: Mapping[str, str], subject: str) -> bool:
    return state.newest >= date.fromisoformat(reaches[subject])


def _replace(old: Iterable[Row], new: Mapping[str, Row], name: Callable[[Row], str], *, newer: bool) -> list[Row]:
    """Return old rows joined with the new ones of the same name, and the new ones that are left."""
    rest = dict(new)
    joined = []
    for row in old:
        other = rest.pop(name(row), None)
        joined.append(row if other is None else {**row, **other} if newer else {**other, **row})
    return [*joined, *rest.values()]


# --- OpenSSL ----------------------------------------------------------------------------------------------------------


def _openssl(merged: Tables, state: FeedState, reaches: Mapping[str, str]) -> None:
    """Join OpenSSL's records.

    A fixed version that no table of releases has is for paying customers where the branch had ended before the record
    was published, and otherwise a release of that very day: OpenSSL publishes both together.
    """
    table = merged["openssl"]
    ends = {row["branch"]: row.get("eol") for row in table["branches"]}
    released = {row["version"] for row in table["releases"]}
    fresh: dict[str, dict[str, Any]] = {}
    rows: dict[str, Row] = {}
    for row in state.rows:
        ranges = []
        for item in row["ranges"]:
            fixed = item.get("fixed")
            if fixed is not None and fixed not in released:
                end = ends.get(item["branch"])
                if end is not None and end < row["published"]:
                    item = {**item, "premium": True}  # noqa: PLW2901
                else:
                    day = min(row["published"], fresh.get(fixed, {}).get("date", row["published"]))
                    fresh[fixed] = {"version": fixed, "branch": item["branch"], "date": day, "inferred": True}
            ranges.append(item)
        rows[row["id"]] = {
            **{key: value for key, value in row.items() if key != "kind"},
            "ranges": ranges,
            "source": _RECORDS,
        }
    table["advisories"] = _replace(
        table["advisories"], rows, lambda row: str(row["id"]), newer=_is_newer(state, reaches, "openssl")
    )
    table["releases"] = [*table["releases"], *fresh.values()]


# --- CPython ----------------------------------------------------------------------------------------------------------

_PATCH = re.compile(r"(\d+\.\d+)\.(\d+)")


def _cpython(merged: Tables, state: FeedState, reaches: Mapping[str, str]) -> None:
    """Join the PSF's records, which may have an id of a CVE, an alias of their own, or both.

    Where a record lists the affected releases, the next release of a branch has the fix, if there is one by now; a
    fixed release that the snapshot names itself is not replaced by such a guess.
    """
    table = merged["cpython"]
    newest: dict[str, int] = {}
    for version in (row["version"] for row in table["releases"]):
        found = _PATCH.fullmatch(version)
        if found is not None:
            newest[found[1]] = max(newest.get(found[1], -1), int(found[2]))
    by_name: dict[str, Row] = {}
    affected = {row["alias"]: row["last_affected"] for row in state.rows if row["kind"] == "cpython_affected"}
    for row in (row for row in state.rows if row["kind"] == "cpython"):
        fresh: Row = {key: row[key] for key in ("id", "alias", "published") if key in row}
        fixed = _next_releases(affected.get(row["alias"]) or row.get("last_affected") or {}, newest)
        if fixed:
            fresh["fixed"], fresh["inferred"] = fixed, sorted(fixed)
        for key in ("id", "alias"):
            if key in row:
                by_name[row[key]] = fresh
    newer = _is_newer(state, reaches, "cpython")
    joined: list[Row] = []
    used: set[int] = set()
    for row in table["advisories"]:
        other = next((by_name[row[key]] for key in ("id", "alias") if row.get(key) in by_name), None)
        if other is None or id(other) in used:
            joined.append(row)
            continue
        used.add(id(other))
        kept = {key: row[key] for key in ("fixed", "inferred", "source") if key in row} if row.get("fixed") else {}
        both = {**row, **other, **kept} if newer else {**other, **row}
        joined.append(both)
    rest = {id(row): row for row in by_name.values() if id(row) not in used}
    table["advisories"] = [*joined, *({**row, "source": "psf/advisory-database"} for row in rest.values())]


def _next_releases(last_affected: Mapping[str, str], newest: Mapping[str, int]) -> dict[str, str]:
    found: dict[str, str] = {}
    for branch, version in last_affected.items():
        patch = int(version.rpartition(".")[2]) + 1
        if patch <= newest.get(branch, -1):
            found[branch] = f"{branch}.{patch}"
    return found


# --- Node.js ----------------------------------------------------------------------------------------------------------


def _nodejs(merged: Tables, state: FeedState, reaches: Mapping[str, str]) -> None:
    """Join the core database's entries; a line of another source, and what was corrected by hand, stay as they are.

    A fixed release that no list has is taken as one without a day.
    """
    table = merged["nodejs"]
    rows: dict[str, Row] = {}
    old = {row["id"]: row for row in table["advisories"]}
    for row in state.rows:
        before = old.get(row["id"], {})
        ranges = {item["branch"]: item for item in row["ranges"]}
        for item in before.get("ranges", ()):
            if "source" in item:
                ranges.setdefault(item["branch"], item)
        kept = before["ranges"] if before.get("corrected") else list(ranges.values())
        plain = {key: value for key, value in row.items() if key != "kind"}
        rows[row["id"]] = {**plain, "ranges": kept, "source": _DATABASE}
    table["advisories"] = _replace(
        table["advisories"], rows, lambda row: str(row["id"]), newer=_is_newer(state, reaches, "nodejs")
    )
    released = {row["version"] for row in table["releases"]}
    fixed = {item["fixed"] for row in table["advisories"] for item in row["ranges"] if item.get("fixed")}
    table["releases"] = [*table["releases"], *({"version": version} for version in sorted(fixed - released))]


def _nodejs_releases(merged: Tables, state: FeedState, _reaches: Mapping[str, str]) -> None:
    """Add releases that the snapshot does not know; of those that it knows, its day stays."""
    known = {row["version"] for row in merged["nodejs"]["releases"]}
    fresh = [{"version": row["version"], "date": row["date"]} for row in state.rows if row["version"] not in known]
    merged["nodejs"]["releases"] = [*merged["nodejs"]["releases"], *fresh]


# --- packages ---------------------------------------------------------------------------------------------------------


def _fixes(states: Iterable[FeedState]) -> list[dict[str, Any]]:
    """Return the packages' fixes of all distributions, one row for each package of a release."""
    packages: dict[tuple[str, str, str], dict[str, Any]] = {}
    for state in states:
        title = BY_NAME[state.feed].title
        for row in state.rows:
            if row["kind"] not in {"fix", "reach"}:
                continue
            key = row["distribution"], row["release"], row["package"]
            manager = MANAGERS[row["distribution"]]
            package = packages.setdefault(
                key,
                {
                    "distribution": key[0],
                    "release": key[1],
                    "package": key[2],
                    "manager": manager,
                    "fixed": {},
                    "paid": [],
                    "reaches": state.newest.isoformat(),
                    "source": title,
                    "complete": False,
                },
            )
            if row["kind"] == "reach":
                package["complete"] = row["complete"]
                package["reaches"] = row.get("newest", package["reaches"])
            else:
                package["fixed"][row["advisory"]] = row["fixed"]
                if row.get("paid"):
                    package["paid"].append(row["advisory"])
    return [packages[key] for key in sorted(packages)]


# --- ends of support --------------------------------------------------------------------------------------------------


def _support(merged: Tables, state: FeedState, reaches: Mapping[str, str]) -> None:
    newer = _is_newer(state, reaches, "support")
    products: dict[str, dict[str, Row]] = {}
    for row in state.rows:
        fresh = {key: value for key, value in row.items() if key not in {"kind", "product"}}
        products.setdefault(row["product"], {})[row["branch"]] = fresh
    for product, branches in products.items():
        if product == "openssl":
            table, key = merged["openssl"], "branches"
            plain: dict[str, Row] = {
                name: {part: row[part] for part in ("branch", "released", "eol") if part in row}
                for name, row in branches.items()
            }
            known = {row["branch"] for row in table[key]}
            table[key] = _replace(
                table[key],
                {name: row for name, row in plain.items() if name in known or "eol" in row},
                lambda row: str(row["branch"]),
                newer=newer,
            )
            continue
        table = merged["support"]
        old = table.get(product, [])
        kind = next((row["kind"] for row in old if "kind" in row), _EXTENDED_KIND)
        joined = _replace(old, branches, lambda row: str(row["branch"]), newer=newer)
        for number, row in enumerate(joined):
            if "eol" in row and "ended" in row:
                row = {name: value for name, value in row.items() if name != "ended"}  # noqa: PLW2901
            if "extended" in row and "kind" not in row:
                row = {**row, "kind": kind}  # noqa: PLW2901
            joined[number] = row
        table[product] = joined


# --- providers' builds ------------------------------------------------------------------------------------------------


def _pbs(merged: Tables, state: FeedState, _reaches: Mapping[str, str]) -> None:
    """Add builds that the snapshot does not know, and the OpenSSL of those of which it does not know it."""
    table = merged["pbs"]
    builds: dict[str, Row] = {row["tag"]: dict(row) for row in table["builds"]}
    for row in state.rows:
        if row["kind"] == "pbs" and row["tag"] not in builds:
            builds[row["tag"]] = {key: row[key] for key in ("tag", "date", "cpython")}
    for row in state.rows:
        if row["kind"] == "pbs_openssl" and row["tag"] in builds:
            builds[row["tag"]].setdefault("openssl", row["openssl"])
    table["builds"] = sorted(builds.values(), key=lambda row: (row["date"], row["tag"]))


def _uv(merged: Tables, state: FeedState, _reaches: Mapping[str, str]) -> None:
    """Add releases of uv whose newest build is known; the table stays in the order of uv's releases."""
    table = merged["pbs"]
    days = {row["tag"]: row["date"] for row in table["builds"]}
    known = {row["uv"]: dict(row) for row in table["uv"]}
    dates = {row["uv"]: row["date"] for row in state.rows if row["kind"] == "uv"}
    for row in state.rows:
        if row["kind"] != "uv_pbs" or row["uv"] in known:
            continue
        # By day and not by name: one tag names a year that is not its own.
        builds = [tag for tag in row["builds"] if tag in days]
        if builds:
            known[row["uv"]] = {"uv": row["uv"], "pbs": max(builds, key=lambda tag: (days[tag], tag))}
    for version, row in known.items():
        if version in dates:
            row.setdefault("date", dates[version])
    table["uv"] = sorted(known.values(), key=lambda row: [int(part) for part in row["uv"].split(".")])


_JOINS: Mapping[str, Callable[[Tables, FeedState, Mapping[str, str]], None]] = {
    # Ends of support first: whether a fix was for paying customers depends on them.
    "endoflife": _support,
    "openssl": _openssl,
    "psf": _cpython,
    # Releases before the entries that name them as fixed.
    "nodejs-releases": _nodejs_releases,
    "nodejs": _nodejs,
    # Builds before the uv releases that name them.
    "pbs": _pbs,
    "uv": _uv,
}
