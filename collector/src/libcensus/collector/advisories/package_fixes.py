"""Rows of the tables that tell which version of a distribution's package first fixed an advisory.

Each reader refuses a row with a version that its package manager could not order: a fix that cannot be compared would
be no fix, or one that is always there.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

from libcensus.collector.posture.catalogue import PackageFixes
from libcensus.collector.posture.ordering import is_at_least

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEBIAN_RELEASES: Mapping[str, str] = {"bullseye": "11", "bookworm": "12", "trixie": "13", "forky": "14"}
"""What os-release's VERSION_ID says of each suite; sid and experimental say none."""

_EL_IDS = ("almalinux", "rhel", "rocky")
"""The distributions whose packages have the NEVRs of Red Hat's errata. CentOS Stream, Oracle and Amazon have others."""

_REBUILT = re.compile(r"\.alma\.\d+\Z")


def _debian_fixes(suite: str, package: str, row: dict[str, Any], reaches: str) -> PackageFixes | None:
    release = _DEBIAN_RELEASES.get(suite)
    if release is None:
        return None
    source = f"the changelog of Debian's {package} {row['version']}"
    fixed = _ordered("dpkg", row["fixed"])
    dates = {version: date.fromisoformat(day) for version, day in row.get("dates", {}).items()}
    _ordered("dpkg", {version: version for version in dates})
    return PackageFixes("debian", release, "dpkg", package, fixed, date.fromisoformat(reaches), source, dates=dates)


def debian_openssl(row: dict[str, Any]) -> PackageFixes | None:
    """Return what Debian's changelogs of openssl say; None for a suite without a number."""
    return _debian_fixes(row["release"], "openssl", row, row["version_date"])


def debian_python(row: dict[str, Any]) -> PackageFixes | None:
    """Return what Debian's changelogs of one Python say; None for a suite without a number."""
    return _debian_fixes(row["suite"], row["source"], row, row["date"])


def debian_glibc(row: dict[str, Any]) -> PackageFixes | None:
    """Return what Debian's changelogs of glibc say; None for a suite without a number."""
    return _debian_fixes(row["suite"], "glibc", row, row["date"])


def ubuntu_openssl(row: dict[str, Any]) -> PackageFixes:
    """Return what Ubuntu's security notices say of openssl; what ESM alone fixes is for paying customers."""
    fixed = _ordered("dpkg", row["fixed"])
    return PackageFixes(
        distribution="ubuntu",
        release=row["release"],
        manager="dpkg",
        package=row["source"],
        fixed=fixed,
        reaches=date.fromisoformat(row["newest_notice"]["date"]),
        source=f"Ubuntu's security notices up to {row['newest_notice']['version']}",
        is_complete=not row.get("incomplete", False),
        paid=frozenset(advisory for advisory, version in fixed.items() if "esm" in version),
    )


def el_openssl(row: dict[str, Any]) -> list[PackageFixes]:
    """Return what the errata of an Enterprise Linux say of openssl, for each distribution with the same packages."""
    # AlmaLinux marks what it rebuilt; the others have the same number without the mark.
    fixed = _ordered("rpm", {name: _REBUILT.sub("", version) for name, version in row["fixed"].items()})
    newest = row["newest_erratum"]
    source = f"the errata of Enterprise Linux {row['release']} up to {newest['version']}, as AlmaLinux tells them"
    return [
        PackageFixes(
            distribution=name,
            release=row["release"],
            manager="rpm",
            package=row["source"],
            fixed=fixed,
            reaches=date.fromisoformat(newest["date"]),
            source=source,
        )
        for name in _EL_IDS
    ]


def fed_fixes(row: dict[str, Any]) -> PackageFixes:
    """Return what a feed says of a package, or a feed and the snapshot together."""
    manager = row["manager"]
    fixed = _ordered(manager, row["fixed"])
    return PackageFixes(
        distribution=row["distribution"],
        release=row["release"],
        manager=manager,
        package=row["package"],
        fixed=fixed,
        reaches=date.fromisoformat(row["reaches"]),
        source=row["source"],
        is_complete=bool(row["complete"]),
        paid=frozenset(row.get("paid", ())) & fixed.keys(),
    )


def joined_fixes(old: PackageFixes, new: PackageFixes) -> PackageFixes:
    """Return two tables about one package as one: where both name a fix, the one that reaches further is right."""
    older, newer = (old, new) if old.reaches <= new.reaches else (new, old)
    paid = (older.paid - newer.fixed.keys()) | newer.paid
    # What only the older one tells whole is whole up to its own day.
    whole = newer if newer.is_complete or not older.is_complete else older
    return replace(
        newer,
        fixed={**older.fixed, **newer.fixed},
        dates={**older.dates, **newer.dates},
        is_complete=whole.is_complete,
        reaches=whole.reaches,
        paid=paid,
    )


def _ordered(manager: str, fixed: dict[str, str]) -> dict[str, str]:
    """Return the fixed versions; raises ValueError for one that the manager's ordering cannot place."""
    for version in fixed.values():
        is_at_least(manager, version, version)
    return dict(fixed)
