"""The snapshot on board: what was published up to a day, packaged with the product, so that it works offline.

The files below ``data`` are made by ``scripts/make_snapshot.py``; ``quirks.json`` is written by hand. Loading checks
them as if they came from outside and refuses the whole snapshot when one fact can't be true, because a verdict from
half a snapshot would look like any other.
"""

from __future__ import annotations

import calendar
import json
import re
from dataclasses import replace
from datetime import date
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeVar

from libcensus.collector.advisories.package_fixes import (
    debian_glibc,
    debian_openssl,
    debian_python,
    el_openssl,
    fed_fixes,
    joined_fixes,
    ubuntu_openssl,
)
from libcensus.collector.advisories.quirks import known_quirk
from libcensus.collector.errors import CollectorError
from libcensus.collector.posture.catalogue import (
    Advisory,
    AffectedRange,
    Attribution,
    Branch,
    Catalogue,
    DistributionRelease,
    PackageFixes,
    PbsBuild,
    Release,
)
from libcensus.collector.posture.finding import Component, Severity
from libcensus.collector.posture.quirks import QuirkTable
from libcensus.collector.posture.versions import GLIBC_LINE, branch_of, is_before, parse_openssl, parse_version

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

_T = TypeVar("_T")

FORMAT = 1

DISTRIBUTION_IDS: Mapping[str, tuple[str, ...]] = {
    "debian": ("debian",),
    "ubuntu": ("ubuntu",),
    "rhel": ("rhel",),
    "rocky-linux": ("rocky",),
    "almalinux": ("almalinux",),
    "centos": ("centos",),
    "centos-stream": ("centos",),
    "fedora": ("fedora",),
    "alpine-linux": ("alpine",),
    "sles": ("sles",),
    "amazon-linux": ("amzn",),
    "oracle-linux": ("ol",),
}
"""The snapshot's product names and the ``ID`` that their os-release says."""

TABLES = ("snapshot", "openssl", "cpython", "glibc", "nodejs", "backports", "support", "pbs", "distributions")
"""The files that :func:`catalogue_of` reads."""

Tables = dict[str, dict[str, Any]]


class SnapshotError(CollectorError):
    """The snapshot on board is damaged: the installation is, or somebody edited it."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"the embedded snapshot is damaged: {place}: {problem}; install libcensus-collector again")
        self.place = place
        self.problem = problem


@cache
def load_snapshot() -> Catalogue:
    """Return the catalogue on board; read and checked once per process. Raises SnapshotError when it is damaged."""
    published = catalogue_of({name: read_table(name) for name in TABLES})
    return replace(published, quirks=quirk_table_of(read_table("quirks")))


def read_table(name: str) -> dict[str, Any]:
    """Return one file of the snapshot as it is; raises SnapshotError when it is missing or no JSON object."""
    try:
        text = (files(__package__) / "data" / f"{name}.json").read_text(encoding="utf-8")
        table = json.loads(text)
    except (OSError, ValueError) as error:
        raise SnapshotError(f"{name}.json", str(error)) from error
    if not isinstance(table, dict):
        raise SnapshotError(f"{name}.json", "is not an object")
    return table


def catalogue_of(tables: Tables) -> Catalogue:
    """Return the catalogue that the tables hold; raises SnapshotError, naming table and row, for anything untrue."""
    meta = tables["snapshot"]
    if meta.get("format") != FORMAT:
        raise SnapshotError("snapshot.json", f"has format {meta.get('format')!r}, this program reads {FORMAT}")
    openssl_branches = _rows("openssl.json", tables["openssl"], "branches", _branch)
    openssl_releases = _rows("openssl.json", tables["openssl"], "releases", _release)
    releases = {
        Component.OPENSSL: {release.version: release for release in openssl_releases},
        Component.CPYTHON: {
            release.version: release
            for release in _rows("cpython.json", tables["cpython"], "releases", _cpython_release)
        },
        Component.NODEJS: {
            release.version: release for release in _rows("nodejs.json", tables["nodejs"], "releases", _nodejs_release)
        },
    }
    branches = {
        Component.OPENSSL: {branch.branch: branch for branch in openssl_branches},
        Component.CPYTHON: _support(tables["support"], "python"),
        Component.NODEJS: _support(tables["support"], "nodejs"),
        Component.RUBY: _support(tables["support"], "ruby"),
        Component.PERL: _support(tables["support"], "perl"),
        Component.PHP: _support(tables["support"], "php"),
    }
    assessments = {row["source"]: row for row in _rows("openssl.json", tables["openssl"], "assessed", dict)}

    def advisory(row: dict[str, Any]) -> Advisory:
        return _openssl_advisory(row, releases[Component.OPENSSL], branches[Component.OPENSSL], assessments)

    def python_advisory(row: dict[str, Any]) -> Advisory | None:
        return _cpython_advisory(row, releases[Component.CPYTHON])

    def node_advisory(row: dict[str, Any]) -> Advisory | None:
        return _nodejs_advisory(row, releases[Component.NODEJS], branches[Component.NODEJS])

    advisories: list[Advisory] = []
    makers = {
        "openssl": advisory,
        "cpython": python_advisory,
        "glibc": _glibc_advisory,
        "nodejs": node_advisory,
    }
    for name, make in makers.items():
        own = [item for item in _rows(f"{name}.json", tables[name], "advisories", make) if item is not None]
        _check_unique(f"{name}.json", (item.id for item in own))
        advisories += own
    # The OpenSSL inside Node.js is judged by its own version, and must not be told twice.
    foreign = {item.id for item in advisories if item.component is Component.OPENSSL}
    advisories = [item for item in advisories if item.component is not Component.NODEJS or item.id not in foreign]
    builds = _rows("pbs.json", tables["pbs"], "builds", _pbs_build)
    _check_unique("pbs.json", (build.tag for build in builds))
    uv = _rows("pbs.json", tables["pbs"], "uv", dict)
    known = {build.tag for build in builds}
    for row in uv:
        if row.get("pbs") not in known:
            raise SnapshotError("pbs.json", f"uv {row.get('uv')} names the unknown build {row.get('pbs')}")
    try:
        return Catalogue(
            snapshot_date=date.fromisoformat(meta["date"]),
            sources=tuple(sorted({text for group in meta["sources"].values() for text in group})),
            advisories=tuple(advisories),
            releases=releases,
            branches=branches,
            pbs_builds=tuple(sorted(builds, key=lambda build: (build.date, build.tag))),
            uv_newest_pbs={row["uv"]: row["pbs"] for row in uv},
            uv_dates={row["uv"]: date.fromisoformat(row["date"]) for row in uv if "date" in row},
            distributions=_distributions(tables["support"]),
            reaches={name: date.fromisoformat(day) for name, day in meta["reaches"].items()},
            attributions=tuple(Attribution(**row) for row in meta["attributions"]),
            distribution_releases=tuple(_distribution_releases(tables["distributions"])),
            package_fixes=_package_fixes(tables),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SnapshotError("snapshot.json", f"{type(error).__name__}: {error}") from error


def quirk_table_of(table: dict[str, Any]) -> QuirkTable:
    """Return the quirks that a table holds; raises SnapshotError, naming the row, for one that can't be true."""
    quirks = _rows("quirks.json", table, "quirks", known_quirk)
    _check_unique("quirks.json", (known.quirk.id for known in quirks))
    return QuirkTable(tuple(quirks))


def _rows(file: str, table: dict[str, Any], key: str, make: Callable[[dict[str, Any]], _T]) -> list[_T]:
    """Return the values of a table's rows; an error names the row."""
    rows = table.get(key)
    if not isinstance(rows, list) or not rows:
        raise SnapshotError(file, f"has no rows of {key!r}")
    values = []
    for number, row in enumerate(rows, start=1):
        try:
            values.append(make(row))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SnapshotError(f"{file}: {key} {number}", f"{type(error).__name__}: {error}") from error
    return values


def _check_unique(file: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise SnapshotError(file, f"{name} is there twice")
        seen.add(name)


def _day(row: dict[str, Any], key: str) -> date | None:
    text = row.get(key)
    return None if text is None else date.fromisoformat(text)


def _last_day(row: dict[str, Any], key: str) -> date | None:
    """Return the last day of a support that is told as a day or as a month."""
    text = row.get(key)
    if text is not None and len(text) == len("2026-10"):
        year, month = (int(part) for part in text.split("-"))
        return date(year, month, calendar.monthrange(year, month)[1])
    return _day(row, key)


def _branch(row: dict[str, Any]) -> Branch:
    """Return a branch; a beginning told as a month only is announced, not a fact, and stays absent."""
    released = row.get("released")
    return Branch(
        branch=row["branch"],
        released=None if released is None or len(released) == len("2026-10") else date.fromisoformat(released),
        eol=_last_day(row, "eol"),
        ended=row.get("ended"),
        extended=_last_day(row, "extended"),
        extended_is_free=row.get("kind") == "free",
    )


def _support(table: dict[str, Any], product: str) -> dict[str, Branch]:
    return {branch.branch: branch for branch in _rows("support.json", table, product, _branch)}


def _distributions(table: dict[str, Any]) -> dict[str, dict[str, Branch]]:
    found: dict[str, dict[str, Branch]] = {}
    for product, ids in DISTRIBUTION_IDS.items():
        for name in ids:
            # CentOS and CentOS Stream say the same ID; a release number is of the one that still had it last.
            found.setdefault(name, {}).update(_support(table, product))
    return found


_RELEASE = re.compile(r"([a-z]+(?:-[a-z]+)*?)-?(\d[\d.-]*|\*|forky|sid|experimental)")
_GLIBC = re.compile(r"2\.\d{1,3}")
_UNVERIFIED = frozenset({"none", ""})


def _distribution_releases(table: dict[str, Any]) -> list[DistributionRelease]:
    found = _rows("distributions.json", table, "releases", _distribution_release)
    _check_unique("distributions.json", (release.name for release in found))
    return found


def _distribution_release(row: dict[str, Any]) -> DistributionRelease:
    name = _RELEASE.fullmatch(row["release"])
    if name is None:
        raise ValueError(f"{row['release']!r} is no release of a distribution")
    glibc = row.get("glibc")
    if glibc is not None and _GLIBC.fullmatch(glibc) is None:
        raise ValueError(f"{glibc!r} is no version of glibc")
    openssl = re.match(r"\d+\.[\dx]+(?:\.\d+)?[a-z]?", row.get("openssl", ""))
    python3 = re.match(r"3(?:\.\d+)+", row.get("python3", ""))
    return DistributionRelease(
        distribution=name[1],
        release=name[2],
        glibc=glibc,
        python3=None if python3 is None else python3[0],
        openssl=None if openssl is None else openssl[0],
        glibc_source=row["glibc_source"],
        verified=row["glibc_source"] not in _UNVERIFIED,
    )


def _package_fixes(tables: Tables) -> dict[tuple[str, str, str], PackageFixes]:
    found: dict[tuple[str, str, str], PackageFixes] = {}
    for fixes in (
        *_rows("backports.json", tables["backports"], "debian", debian_openssl),
        *_rows("backports.json", tables["backports"], "ubuntu", ubuntu_openssl),
        *(one for rows in _rows("backports.json", tables["backports"], "el", el_openssl) for one in rows),
        *_rows("cpython.json", tables["cpython"], "debian", debian_python),
        *_rows("glibc.json", tables["glibc"], "debian", debian_glibc),
    ):
        if fixes is None:
            continue
        key = fixes.distribution, fixes.release, fixes.package
        if key in found:
            raise SnapshotError("package fixes", f"{fixes.package} of {fixes.distribution} {fixes.release} twice")
        found[key] = fixes
    # What official feeds say is joined with what is on board; without feeds there is no such table.
    fed = _rows("fixes.json", tables["fixes"], "fixes", fed_fixes) if "fixes" in tables else []
    for fixes in fed:
        key = fixes.distribution, fixes.release, fixes.package
        found[key] = joined_fixes(found[key], fixes) if key in found else fixes
    return found


def _release(row: dict[str, Any]) -> Release:
    version = parse_openssl(row["version"])
    if version is None or version.branch != row["branch"]:
        raise ValueError(f"{row['version']} is no release of branch {row['branch']}")
    return Release(row["version"], row["branch"], _day(row, "date"), date_inferred=bool(row.get("inferred")))


def _cpython_release(row: dict[str, Any]) -> Release:
    branch = branch_of(Component.CPYTHON, row["version"])
    if branch is None:
        raise ValueError(f"{row['version']} is no version of CPython")
    return Release(row["version"], branch, _day(row, "date"))


def _nodejs_release(row: dict[str, Any]) -> Release:
    branch = branch_of(Component.NODEJS, row["version"])
    if branch is None:
        raise ValueError(f"{row['version']} is no version of Node.js")
    return Release(row["version"], branch, _day(row, "date"))


def _pbs_build(row: dict[str, Any]) -> PbsBuild:
    openssl = row.get("openssl")
    if openssl is not None and parse_openssl(openssl) is None:
        raise ValueError(f"{openssl} is no version of OpenSSL")
    for minor, version in row["cpython"].items():
        if branch_of(Component.CPYTHON, version) != minor:
            raise ValueError(f"{version} is no release of CPython {minor}")
    return PbsBuild(row["tag"], date.fromisoformat(row["date"]), openssl, dict(row["cpython"]))


def _openssl_advisory(
    row: dict[str, Any],
    releases: Mapping[str, Release],
    branches: Mapping[str, Branch],
    assessments: Mapping[str, dict[str, Any]],
) -> Advisory:
    published = date.fromisoformat(row["published"])
    ranges = tuple(_openssl_range(item, releases) for item in row["ranges"])
    listed = [item.branch for item in ranges]
    if len(set(listed)) != len(listed):
        raise ValueError(f"{row['id']} lists a branch twice")
    return Advisory(
        id=row["id"],
        component=Component.OPENSSL,
        published=published,
        severity=Severity(row.get("severity", "unknown")),
        ranges=ranges,
        source=row["source"],
        windows_only=bool(row.get("windows_only")),
        premium_only_fixes=frozenset(item["fixed"] for item in row["ranges"] if item.get("premium")),
        assessed=_assessed(assessments[row["source"]], published, branches) | frozenset(listed),
    )


_WORDS = {"medium": "moderate"}
"""What sources of CVSS words say, and what severities are called here."""


def _cpython_advisory(row: dict[str, Any], releases: Mapping[str, Release]) -> Advisory | None:
    """Return an advisory of CPython; None for one that names no fixed release, because it tells nothing about versions.

    The source names the fixed release of each branch and no beginning: from the branch's first pre-release on is
    assumed. Branches that it does not list were not assessed.
    """
    inferred = row.get("inferred", ())
    ranges = tuple(_cpython_range(branch, fixed, inferred) for branch, fixed in (row.get("fixed") or {}).items())
    published = _day(row, "published")
    days = [release.date for item in ranges if item.fixed and (release := releases.get(item.fixed)) and release.date]
    day = published or min(days, default=None)
    if not ranges or day is None:
        return None
    severity = row.get("severity", "unknown")
    names = [name for name in (row.get("id"), row.get("alias")) if name]
    return Advisory(
        id=names[0],
        component=Component.CPYTHON,
        published=day,
        severity=Severity(_WORDS.get(severity, severity)),
        ranges=ranges,
        source=row["source"],
        windows_only=bool(row.get("windows_only")),
        assessed=frozenset(item.branch for item in ranges),
        aliases=tuple(names[1:]),
        published_inferred=published is None,
    )


def _cpython_range(branch: str, fixed: str, inferred: Collection[str]) -> AffectedRange:
    if branch_of(Component.CPYTHON, fixed) != branch:
        raise ValueError(f"{fixed} is no release of CPython {branch}")
    return AffectedRange(branch, f"{branch}.0a0", fixed, introduced_assumed=True, fixed_inferred=branch in inferred)


def _nodejs_advisory(
    row: dict[str, Any], releases: Mapping[str, Release], branches: Mapping[str, Branch]
) -> Advisory | None:
    """Return an advisory of Node.js; None for one without a day that comes from no release either.

    The project looks at the lines that it supports on the day of publication, and lists those that are affected.
    """
    ranges = tuple(_nodejs_range(item, releases) for item in row["ranges"])
    listed = [item.branch for item in ranges]
    if len(set(listed)) != len(listed) or not listed:
        raise ValueError(f"{row['id']} lists a line twice, or none")
    published = _day(row, "published")
    days = [release.date for item in ranges if item.fixed and (release := releases.get(item.fixed)) and release.date]
    day = published or min(days, default=None)
    if day is None:
        return None
    supported = {
        name
        for name, branch in branches.items()
        if branch.released is not None and branch.eol is not None and branch.released <= day <= branch.eol
    }
    return Advisory(
        id=row["id"],
        component=Component.NODEJS,
        published=day,
        severity=Severity(row.get("severity", "unknown")),
        ranges=ranges,
        source=row["source"],
        windows_only=bool(row.get("windows_only")),
        assessed=frozenset(supported.union(listed)),
        published_inferred=published is None,
    )


def _nodejs_range(row: dict[str, Any], releases: Mapping[str, Release]) -> AffectedRange:
    introduced, fixed = parse_version(Component.NODEJS, row["introduced"]), row.get("fixed")
    if introduced is None or introduced.branch != row["branch"]:
        raise ValueError(f"{row['introduced']} is no version of line {row['branch']}")
    if fixed is not None:
        end = parse_version(Component.NODEJS, fixed)
        if end is None or end.branch != row["branch"] or fixed not in releases:
            raise ValueError(f"{fixed} is no release of line {row['branch']}")
        if not is_before(introduced, end):
            raise ValueError(f"introduced {row['introduced']} does not lie before fixed {fixed}")
    return AffectedRange(
        row["branch"], row["introduced"], fixed, introduced_assumed=bool(row.get("assumed")), source=row.get("source")
    )


def _glibc_advisory(row: dict[str, Any]) -> Advisory | None:
    """Return an advisory of glibc; None for one without a fixed release or a day."""
    fixed, published = row.get("fixed"), _day(row, "published")
    if fixed is None or published is None:
        return None
    introduced = row.get("introduced") or row.get("introduced_commit_version")
    begins = introduced if introduced and branch_of(Component.GLIBC, introduced) else "2.0"
    if branch_of(Component.GLIBC, fixed) is None:
        raise ValueError(f"{fixed} is no release of glibc")
    names = [name for name in (row.get("cve"), row.get("id")) if name]
    return Advisory(
        id=names[0],
        component=Component.GLIBC,
        published=published,
        severity=Severity.UNKNOWN,
        ranges=(AffectedRange(GLIBC_LINE, begins, fixed, introduced_assumed=begins != introduced),),
        source=row["source"],
        assessed=frozenset({GLIBC_LINE}),
        aliases=tuple(names[1:]),
    )


def _openssl_range(row: dict[str, Any], releases: Mapping[str, Release]) -> AffectedRange:
    introduced = parse_openssl(row["introduced"])
    if introduced is None or introduced.branch != row["branch"]:
        raise ValueError(f"{row['introduced']} is no version of branch {row['branch']}")
    fixed = row.get("fixed")
    if fixed is not None:
        end = parse_openssl(fixed)
        if end is None or end.branch != row["branch"]:
            raise ValueError(f"{fixed} is no version of branch {row['branch']}")
        if not introduced < end:
            raise ValueError(f"introduced {row['introduced']} does not lie before fixed {fixed}")
        if fixed not in releases and not row.get("premium"):
            raise ValueError(f"fixed version {fixed} was never released")
    return AffectedRange(
        branch=row["branch"],
        introduced=row["introduced"],
        fixed=fixed,
        introduced_assumed=bool(row.get("assumed")),
        fixed_inferred=bool(row.get("inferred")),
        source=row.get("source"),
    )


def _assessed(rule: dict[str, Any], published: date, branches: Mapping[str, Branch]) -> frozenset[str]:
    """Return the branches that a source looked at when it wrote a record of that day.

    OpenSSL assesses the branches that it supports on the day of publication, and some longer for its premium
    customers (``always``); of CHANGES only those of some branches were read (``only``).
    """
    only, always = rule.get("only"), rule.get("always", [])
    return frozenset(
        name
        for name, branch in branches.items()
        if (only is None or name in only) and (name in always or (branch.eol is not None and published <= branch.eol))
    )
