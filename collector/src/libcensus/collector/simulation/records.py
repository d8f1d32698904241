"""What the snapshot's own tables say of a version: read a second time, and in the simplest way.

The tables are those that the catalogue is made from, and nothing else is asked: neither the catalogue's advisories nor
anything that judges by them. So a finding that agrees with these was reached in two ways. Of a distribution's package
the choices tell which fixes it has. Nothing here knows of changelogs, for simulated hosts have none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import TYPE_CHECKING, Any

from libcensus.collector.simulation.plan import CryptoPlan
from libcensus.facts.vocabulary import Implementation, Installer, Linkage, PackageOrigin, Provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from libcensus.collector.simulation.builds import BuildPlan
    from libcensus.collector.simulation.systems import KnownSystem
    from libcensus.facts.package import Package

AFFECTED, FIXED, NOT_AFFECTED, OPEN_QUESTION = "affected", "fixed", "not_affected", "under_investigation"

_CPYTHON = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:(a|b|rc)(\d+))?")
_OPENSSL = re.compile(r"(\d+)\.(\d+)\.(\d+)([a-z]*)")
_GLIBC = re.compile(r"\d+(?:\.\d+)+")

_Key = tuple[Any, ...]
_Owned = tuple[Installer, "Package | None", str]
"""Who installed an interpreter, the package that owns it and what is linked into it, and the system's name."""


@dataclass(frozen=True, slots=True)
class Said:
    """What holds for one advisory of one thing; ``fix`` is the day since which its provider has had the fix."""

    component: str
    advisory: str
    severity: str
    published: date
    status: str
    fix: date | None = None


@dataclass(frozen=True, slots=True)
class _Range:
    """Versions of a branch: the first that is open, and the first that is not any more."""

    introduced: _Key | None
    fixed: _Key | None
    fixed_text: str | None


@dataclass(frozen=True, slots=True)
class _Record:
    """One advisory as its row tells it; ``assessed`` are the branches that its source looked at."""

    component: str
    id: str
    severity: str
    published: date
    is_windows: bool
    ranges: Mapping[str, _Range]
    assessed: frozenset[str]


class Records:
    """The advisories, builds and packages of the snapshot's tables, by the names of their files."""

    def __init__(self, tables: Mapping[str, Mapping[str, Any]], systems: Iterable[KnownSystem]) -> None:
        self._systems = {known.system.name: known for known in systems}
        openssl, cpython, pbs = tables["openssl"], tables["cpython"], tables["pbs"]
        self._begun = {
            "openssl": _begun(openssl["branches"], openssl["releases"], _openssl_branch),
            "cpython": _begun(tables["support"]["python"], cpython["releases"], _two_numbers),
        }
        self._cpython_days = {row["version"]: _day(row.get("date")) for row in cpython["releases"]}
        self._openssl = [_openssl_record(row, openssl) for row in openssl["advisories"]]
        self._by_id = {record.id: record for record in self._openssl}
        self._cpython = [found for row in cpython["advisories"] if (found := _cpython_record(row, self._cpython_days))]
        nodejs = tables["nodejs"]
        lines = tables["support"]["nodejs"]
        self._begun["nodejs"] = _begun(lines, nodejs["releases"], _one_number)
        foreign = {record.id for record in self._openssl}
        node_days = {row["version"]: _day(row.get("date")) for row in nodejs["releases"]}
        self._nodejs = [
            found
            for row in nodejs["advisories"]
            if row["id"] not in foreign and (found := _nodejs_record(row, node_days, lines)) is not None
        ]
        self._glibc = [found for row in tables["glibc"]["advisories"] if (found := _glibc_record(row))]
        self._pbs = sorted(pbs["builds"], key=lambda row: (row["date"], row["tag"]))
        self._uv = pbs["uv"]
        self._tag_days = {row["tag"]: date.fromisoformat(row["date"]) for row in pbs["builds"]}
        self._whole = {
            name: reach for group in ("debian", "ubuntu", "el") for row in tables["backports"][group]
            for name, reach in _reach(group, row).items()
        }  # fmt: skip
        self.of_install = cache(self._of_install)
        self.of_copy = cache(self._of_copy)
        self.of_glibc = cache(self._of_glibc)
        self._pbs_day = cache(self._first_pbs_day)
        self._pbs_python_day = cache(self._first_pbs_python_day)

    # --- things ---------------------------------------------------------------------------------------------------

    def _of_install(
        self, implementation: Implementation, build: BuildPlan | None, crypto: CryptoPlan, owned: _Owned
    ) -> tuple[Said, ...]:
        """Return what holds for an install: for its OpenSSL, and for a CPython or a Node.js itself."""
        said = self._of_crypto(crypto, build, owned)
        if build is not None and implementation is Implementation.CPYTHON:
            said += self._of_python(build, owned)
        if build is not None and implementation is Implementation.NODEJS:
            said += self._of_nodejs(build)
        return said

    def _of_nodejs(self, build: BuildPlan) -> tuple[Said, ...]:
        """Return what holds for a Node.js itself: those that are simulated are a third party's, without days."""
        if build.version is None:
            return ()
        said = []
        for record in self._nodejs:
            place = self._place(record, _one_number(build.version), _numbers(build.version))
            if place == "outside" or (record.is_windows and place != "inside"):
                continue
            status = AFFECTED if place == "inside" else OPEN_QUESTION
            if record.is_windows:
                status = NOT_AFFECTED
            said.append(Said(record.component, record.id, record.severity, record.published, status))
        return tuple(said)

    def _of_copy(self, openssl: str, system: str) -> tuple[Said, ...]:
        """Return what holds for a wheel's own OpenSSL."""
        return self._of_crypto(CryptoPlan(Linkage.STATIC, openssl), None, (Installer.UNKNOWN, None, system))

    def _of_crypto(self, crypto: CryptoPlan, build: BuildPlan | None, owned: _Owned) -> tuple[Said, ...]:
        """Return what holds for the OpenSSL of an install, or of a copy, whose ``build`` is absent."""
        installer, owner, system = owned
        if crypto.version is None:
            return ()
        version, branch = _openssl_key(crypto.version), _openssl_branch(crypto.version)
        minor = None if build is None else build.minor
        package = crypto.package or (owner if crypto.linkage in {Linkage.STATIC, Linkage.BUNDLED} else None)
        is_distributions = package is not None and package.origin is PackageOrigin.DISTRIBUTION
        said = []
        for record in self._openssl:
            place = self._place(record, branch, version)
            listed = self._listed(record, system, package) if is_distributions and package is not None else None
            # Where a first fix was not the whole one, the distribution names a later package than upstream a release.
            if place != "inside" and (record.is_windows or (place == "outside" and listed != AFFECTED)):
                continue
            status: str = OPEN_QUESTION
            fix: date | None = None
            if record.is_windows:
                status = NOT_AFFECTED
            elif listed is not None:
                status, fix = listed, self._systems[system].fix_days.get(record.id)
            elif is_distributions:
                if place == "inside" and self._is_told_whole(record, system):
                    status = AFFECTED
            elif place == "inside" and (package is not None or crypto.linkage is not Linkage.SYSTEM):
                status = AFFECTED
                if build is not None and minor is not None and build.provider is Provider.PBS and package is None:
                    fix = self._pbs_day(record.id, minor, build.provider_build, installer is Installer.UV)
            said.append(Said(record.component, record.id, record.severity, record.published, status, fix))
        return tuple(said)

    def _of_python(self, build: BuildPlan, owned: _Owned) -> tuple[Said, ...]:
        """Return what holds for a CPython itself."""
        installer, owner, system = owned
        if build.version is None:
            return ()
        version, minor = _cpython_key(build.version), build.minor
        said = []
        for record in self._cpython:
            place = self._place(record, minor, version)
            fixes: Mapping[str, bool] = {}
            if owner is not None and owner.origin is PackageOrigin.DISTRIBUTION:
                fixes = self._systems[system].python_fixes
            is_listed_as_open = fixes.get(record.id) is False
            if place != "inside" and (record.is_windows or (place == "outside" and not is_listed_as_open)):
                continue
            status: str = OPEN_QUESTION
            fix: date | None = None
            if record.is_windows:
                status = NOT_AFFECTED
            elif record.id in fixes:
                status = FIXED if fixes[record.id] else AFFECTED
            elif place == "inside" and build.provider is not Provider.DISTRO:
                status, fix = AFFECTED, self._python_day(record, build, installer, owner)
            said.append(Said(record.component, record.id, record.severity, record.published, status, fix))
        return tuple(said)

    def _of_glibc(self, version: str) -> tuple[Said, ...]:
        """Return what holds for a glibc whose package nobody told."""
        key = _numbers(version)
        return tuple(
            Said(record.component, record.id, record.severity, record.published, OPEN_QUESTION)
            for record in self._glibc
            if _is_inside(record.ranges["2"], key)
        )

    # --- statements -----------------------------------------------------------------------------------------------

    def _place(self, record: _Record, branch: str, version: _Key) -> str:
        """Return ``inside``, ``outside`` or, of a branch that nobody looked at, ``unassessed``."""
        found = record.ranges.get(branch)
        if found is not None:
            return "inside" if _is_inside(found, version) else "outside"
        begun = self._begun[record.component].get(branch)
        if branch in record.assessed or begun is None or begun > record.published:
            return "outside"
        return "unassessed"

    def _listed(self, record: _Record, system: str, package: Package) -> str | None:
        """Return what a distribution's table says of one of its OpenSSL packages; None where it does not name it."""
        known = self._systems[system]
        having = known.fixes.get(record.id, known.paid.get(record.id))
        if having is None:
            return None
        versions = [one.package_version for one in known.openssl]
        return FIXED if versions.index(package.source_version) < having else AFFECTED

    def _is_told_whole(self, record: _Record, system: str) -> bool:
        """Tell whether the table of a release would name a fix of an advisory, if there was one."""
        known = self._systems[system]
        reach = self._whole.get((known.system.os_id, known.release))
        return reach is not None and record.published <= reach

    def _first_pbs_day(self, advisory: str, minor: str, tag: str | None, by_uv: bool) -> date | None:
        """Return since when there is a later build of the same minor release whose OpenSSL is not open any more."""
        record = self._by_id[advisory]
        own = self._tag_days.get(tag or "")
        for row in self._pbs:
            text = row.get("openssl")
            day = date.fromisoformat(row["date"])
            if text is None or minor not in row["cpython"] or (own is not None and day <= own):
                continue
            if self._place(record, _openssl_branch(text), _openssl_key(text)) == "outside":
                return self._uv_day(day) if by_uv else day
        return None

    def _python_day(
        self, record: _Record, build: BuildPlan, installer: Installer, owner: Package | None
    ) -> date | None:
        """Return since when a provider has had a CPython with the fix; absent where no source has its days."""
        found = record.ranges[build.minor]
        if owner is not None or found.fixed is None:
            return None
        if build.provider is Provider.PBS:
            return self._pbs_python_day(build.minor, found.fixed, installer is Installer.UV)
        if build.provider in {Provider.PYENV, Provider.SOURCE}:
            return self._cpython_days.get(found.fixed_text or "")
        return None

    def _first_pbs_python_day(self, minor: str, fixed: _Key, by_uv: bool) -> date | None:
        """Return since when there is a build of a minor release with a CPython that is as new as the fixed one."""
        for row in self._pbs:
            text = row["cpython"].get(minor)
            if text is not None and _cpython_key(text) >= fixed:
                day = date.fromisoformat(row["date"])
                return self._uv_day(day) if by_uv else day
        return None

    def _uv_day(self, built: date) -> date:
        """Return the day of the first uv that knew a build of that day; the build's own where nothing tells it.

        An older uv than those of the table may have known what its first one knows.
        """
        for number, row in enumerate(self._uv):
            if self._tag_days[row["pbs"]] >= built:
                told = _day(row.get("date"))
                return built if told is None or number == 0 else max(told, built)
        return built


def _is_inside(found: _Range, version: _Key) -> bool:
    if found.introduced is not None and version < found.introduced:
        return False
    return found.fixed is None or version < found.fixed


def _openssl_record(row: Mapping[str, Any], table: Mapping[str, Any]) -> _Record:
    published = date.fromisoformat(row["published"])
    rule = next(one for one in table["assessed"] if one["source"] == row["source"])
    assessed = set()
    for branch in table["branches"]:
        # A month as the end means its last day.
        name, eol = branch["branch"], branch.get("eol") or ""
        is_supported = name in rule.get("always", ()) or (eol and row["published"][: len(eol)] <= eol)
        if is_supported and name in rule.get("only", [name]):
            assessed.add(name)
    ranges = {
        one["branch"]: _Range(_openssl_key(one["introduced"]), _openssl_key(one.get("fixed")) or None, one.get("fixed"))
        for one in row["ranges"]
    }
    return _Record(
        "openssl",
        row["id"],
        row.get("severity", "unknown"),
        published,
        bool(row.get("windows_only")),
        ranges,
        frozenset(assessed),
    )


def _cpython_record(row: Mapping[str, Any], days: Mapping[str, date | None]) -> _Record | None:
    """Return a record of CPython; None for one that names no fixed release, or of which nothing tells the day."""
    fixed = row.get("fixed") or {}
    known = [day for version in fixed.values() if (day := days.get(version))]
    published = _day(row.get("published")) or min(known, default=None)
    if not fixed or published is None:
        return None
    severity = row.get("severity", "unknown")
    return _Record(
        "cpython",
        row.get("id") or row["alias"],
        "moderate" if severity == "medium" else severity,
        published,
        bool(row.get("windows_only")),
        {branch: _Range(None, _cpython_key(version), version) for branch, version in fixed.items()},
        frozenset(),
    )


def _nodejs_record(
    row: Mapping[str, Any], days: Mapping[str, date | None], lines: list[Mapping[str, Any]]
) -> _Record | None:
    """Return a record of Node.js; None where nothing tells its day. Its project looks at the lines that it supports."""
    fixed = [one["fixed"] for one in row["ranges"] if one.get("fixed")]
    published = _day(row.get("published")) or min((day for name in fixed if (day := days.get(name))), default=None)
    if published is None:
        return None
    ranges = {
        one["branch"]: _Range(
            _numbers(one["introduced"]), _numbers(one["fixed"]) if one.get("fixed") else None, one.get("fixed")
        )
        for one in row["ranges"]
    }
    supported = {
        line["branch"]
        for line in lines
        if (begun := _day(line.get("released"))) and (end := _day(line.get("eol"))) and begun <= published <= end
    }
    return _Record(
        "nodejs",
        row["id"],
        row.get("severity", "unknown"),
        published,
        bool(row.get("windows_only")),
        ranges,
        frozenset(supported | ranges.keys()),
    )


def _glibc_record(row: Mapping[str, Any]) -> _Record | None:
    if not row.get("fixed") or not row.get("published"):
        return None
    begins = row.get("introduced") or row.get("introduced_commit_version") or ""
    introduced = _numbers(begins) if _GLIBC.fullmatch(begins) else None
    found = _Range(introduced, _numbers(row["fixed"]), row["fixed"])
    name = row.get("cve") or row["id"]
    return _Record("glibc", name, "unknown", date.fromisoformat(row["published"]), False, {"2": found}, frozenset())


def _begun(
    branches: list[Mapping[str, Any]], releases: list[Mapping[str, Any]], branch_of: Callable[[str], str]
) -> dict[str, date]:
    """Return the first day of each branch; a month that was only announced is none."""
    found: dict[str, date] = {}
    for row in releases:
        day, branch = _day(row.get("date")), branch_of(row["version"])
        if day is not None:
            found[branch] = min(day, found.get(branch, day))
    for row in branches:
        found.pop(row["branch"], None)
        day = _day(row.get("released"))
        if day is not None:
            found[row["branch"]] = day
    return found


_SUITES = {"bullseye": "11", "bookworm": "12", "trixie": "13"}


def _reach(group: str, row: Mapping[str, Any]) -> dict[tuple[str, str], date]:
    """Return up to which day the table of a release tells of every fix; nothing where it does not."""
    if row.get("incomplete"):
        return {}
    if group == "debian":
        return {("debian", _SUITES.get(row["release"], "")): date.fromisoformat(row["version_date"])}
    newest = row["newest_notice" if group == "ubuntu" else "newest_erratum"]
    names = ["ubuntu"] if group == "ubuntu" else ["almalinux", "rhel", "rocky"]
    return {(name, row["release"]): date.fromisoformat(newest["date"]) for name in names}


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text and len(text) == len("2026-10-01") else None


def _numbers(version: str) -> _Key:
    return tuple(int(part) for part in version.split("."))


def _one_number(version: str) -> str:
    return version.partition(".")[0]


def _two_numbers(version: str) -> str:
    return ".".join(version.split(".")[:2])


@cache
def _openssl_key(version: str | None) -> _Key:
    match = _OPENSSL.fullmatch(version or "")
    return () if match is None else (int(match[1]), int(match[2]), int(match[3]), match[4])


@cache
def _openssl_branch(version: str) -> str:
    numbers = re.findall(r"\d+", version)
    return ".".join(numbers[:2] if int(numbers[0]) >= 3 else numbers[:3])


@cache
def _cpython_key(version: str) -> _Key:
    match = _CPYTHON.fullmatch(version)
    if match is None:
        raise AssertionError(f"{version} is no version of CPython")
    stage = "final" if match[4] is None else match[4]
    order = ("a", "b", "rc", "final").index(stage)
    return int(match[1]), int(match[2]), int(match[3]), order, int(match[5] or 0)
