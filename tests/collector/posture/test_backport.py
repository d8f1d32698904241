"""Whose silence proves what: the distribution's evidence about one package and one advisory."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.posture.backport import PackageEvidence, judge_backport
from libcensus.collector.posture.catalogue import PackageFixes
from libcensus.collector.posture.finding import Component, VexStatus
from libcensus.facts.changelog import ChangelogFix, PackageChangelog
from libcensus.facts.host import OsRelease
from libcensus.facts.package import Package
from libcensus.facts.vocabulary import ChangelogState, EvidenceKind, PackageOrigin

AFFECTED, FIXED, OPEN = VexStatus.AFFECTED, VexStatus.FIXED, VexStatus.UNDER_INVESTIGATION
CVE = "CVE-2026-1000"
PUBLISHED = date(2026, 3, 1)
BOOKWORM = OsRelease(id="debian", version_id="12")
JAMMY = OsRelease(id="ubuntu", version_id="22.04", id_like=("debian",))
EL8 = OsRelease(id="rocky", version_id="8.10", id_like=("rhel", "centos", "fedora"))
EL9 = OsRelease(id="rhel", version_id="9.4", id_like=("fedora",))
FEDORA8 = OsRelease(id="fedora", version_id="8")


def _package(version: str = "3.0.19-1~deb12u2", manager: str = "dpkg") -> Package:
    return Package(manager, "libssl3", version, "openssl", version, origin=PackageOrigin.DISTRIBUTION)


def _changelog(package: Package, state: ChangelogState, *named: str) -> PackageChangelog:
    fixes = tuple(ChangelogFix(name, "3.0.17-1~deb12u1", f"Fix {name} (overflow).") for name in sorted(named))
    reason = None if state is ChangelogState.COMPLETE else "cut by its builder"
    return PackageChangelog(
        package, state, "/usr/share/doc/libssl3/changelog.Debian.gz", 55, fixes=fixes, reason=reason
    )


def _table(*, first: str | None = None, reaches: date = date(2026, 6, 1), complete: bool = True) -> PackageFixes:
    fixed = {} if first is None else {CVE: first}
    return PackageFixes("debian", "12", "dpkg", "openssl", fixed, reaches, "Debian's tracker", is_complete=complete)


COMPLETE, CUT, MISSING = ChangelogState.COMPLETE, ChangelogState.TRUNCATED, ChangelogState.MISSING


@pytest.mark.parametrize(
    ("os_release", "manager", "state", "named", "table", "status", "fixed_in"),
    [
        pytest.param(BOOKWORM, "dpkg", COMPLETE, True, None, FIXED, "3.0.17-1~deb12u1", id="named"),
        pytest.param(BOOKWORM, "dpkg", CUT, True, None, FIXED, "3.0.17-1~deb12u1", id="named in what is left"),
        pytest.param(BOOKWORM, "dpkg", COMPLETE, False, None, AFFECTED, None, id="a complete changelog is silent"),
        pytest.param(JAMMY, "dpkg", CUT, False, None, OPEN, None, id="a cut changelog is silent"),
        pytest.param(BOOKWORM, "dpkg", MISSING, False, None, OPEN, None, id="no changelog"),
        pytest.param(BOOKWORM, "dpkg", None, False, None, OPEN, None, id="nobody read one"),
        pytest.param(EL8, "rpm", COMPLETE, False, None, AFFECTED, None, id="EL 8's changelogs name all"),
        pytest.param(EL9, "rpm", COMPLETE, False, None, OPEN, None, id="EL 9's do not"),
        pytest.param(FEDORA8, "rpm", COMPLETE, False, None, OPEN, None, id="Fedora is no EL"),
        pytest.param(EL9, "rpm", COMPLETE, True, None, FIXED, "3.0.17-1~deb12u1", id="EL 9 names it"),
        pytest.param(
            BOOKWORM, "dpkg", CUT, False, _table(first="3.0.19-1~deb12u1"), FIXED, "3.0.19-1~deb12u1", id="in the table"
        ),
        pytest.param(
            BOOKWORM,
            "dpkg",
            COMPLETE,
            False,
            _table(first="3.0.19-1~deb12u2"),
            FIXED,
            "3.0.19-1~deb12u2",
            id="the very",
        ),
        pytest.param(
            BOOKWORM, "dpkg", COMPLETE, False, _table(first="3.0.19-1"), AFFECTED, "3.0.19-1", id="a later one fixes it"
        ),
        pytest.param(
            BOOKWORM,
            "dpkg",
            COMPLETE,
            True,
            _table(first="3.0.20-1"),
            FIXED,
            "3.0.17-1~deb12u1",
            id="the package knows",
        ),
        pytest.param(
            BOOKWORM, "dpkg", MISSING, False, _table(), AFFECTED, None, id="a table that knows the day is silent"
        ),
        pytest.param(
            BOOKWORM, "dpkg", MISSING, False, _table(reaches=date(2026, 2, 1)), OPEN, None, id="a table of before"
        ),
        pytest.param(BOOKWORM, "dpkg", MISSING, False, _table(complete=False), OPEN, None, id="a table with holes"),
        pytest.param(
            BOOKWORM, "dpkg", MISSING, False, _table(first="a b"), OPEN, None, id="a fix that cannot be placed"
        ),
    ],
)
def test_what_the_distribution_says(
    os_release: OsRelease,
    manager: str,
    state: ChangelogState | None,
    named: bool,
    table: PackageFixes | None,
    status: VexStatus,
    fixed_in: str | None,
) -> None:
    package = _package(manager=manager)
    changelog = None if state is None else _changelog(package, state, *([CVE] if named else []))
    verdict = judge_backport(CVE, PUBLISHED, PackageEvidence(package, os_release, changelog, table))
    assert (verdict.status, verdict.fixed_in) == (status, fixed_in)
    assert verdict.evidence.detail
    if status is OPEN:
        assert verdict.evidence.kind is EvidenceKind.ABSENCE
        assert "which may have put the fix in" in verdict.evidence.detail


@pytest.mark.parametrize(
    ("oldest", "introduced", "status"),
    [
        ("1.1.1d-1", "3.0.0", AFFECTED),
        ("3.0.0~alpha1-1", "3.0.0", AFFECTED),
        ("3.0.0-1", "3.0.0", AFFECTED),
        ("1:2.9-1", "3.0.0", AFFECTED),
        ("3.0.2-0ubuntu1.17", "3.0.0", OPEN),
        ("3.0.2-0ubuntu1.17", "3.0.2", AFFECTED),
        ("3.0.1", "3.0.0", OPEN),
        ("3.0.1-1", None, OPEN),
        (None, "3.0.0", OPEN),
        ("a b", "3.0.0", OPEN),
    ],
)
def test_a_cut_changelog_that_reaches_back_to_where_the_fault_came_is_complete_for_it(
    oldest: str | None, introduced: str | None, status: VexStatus
) -> None:
    package = _package()
    changelog = replace(_changelog(package, CUT), oldest=oldest)
    known = PackageEvidence(package, BOOKWORM, changelog, None)
    verdict = judge_backport(CVE, PUBLISHED, known, introduced=introduced)
    assert verdict.status is status
    assert (f"reaches back to {oldest}, before {introduced}" in verdict.evidence.detail) is (status is AFFECTED)


def test_a_branch_that_upstream_left_is_fixed_when_named_and_else_open() -> None:
    package = _package()
    for named, table, status in (
        (True, None, FIXED),
        (False, None, OPEN),
        (False, _table(first="3.0.19-1"), AFFECTED),
        (False, _table(first="3.0.2-1"), FIXED),
        (False, _table(), OPEN),
    ):
        changelog = _changelog(package, COMPLETE, *([CVE] if named else []))
        known = PackageEvidence(package, BOOKWORM, changelog, table)
        assert judge_backport(CVE, PUBLISHED, known, in_range=False).status is status


def test_a_package_that_never_had_the_fault_is_not_affected() -> None:
    known = PackageEvidence(_package(), BOOKWORM, _changelog(_package(), COMPLETE), _table(first="0"))
    verdict = judge_backport(CVE, PUBLISHED, known)
    assert (verdict.status, verdict.fixed_in) == (VexStatus.NOT_AFFECTED, None)
    assert "was never affected" in verdict.evidence.detail


def test_alpines_releases_are_told_by_two_numbers() -> None:
    table = replace(_table(first="3.5.4-r0"), distribution="alpine", release="3.22", manager="apk")
    catalogue = replace(load_snapshot(), package_fixes={("alpine", "3.22", "openssl"): table})
    package = _package("3.5.1-r0", "apk")
    known = PackageEvidence.of(Component.OPENSSL, package, OsRelease("alpine", "3.22.1"), None, catalogue)
    assert judge_backport(CVE, PUBLISHED, known).status is AFFECTED


def test_silence_proves_nothing_where_nobody_knows_since_when_the_fault_is_there() -> None:
    package = _package()
    for changelog, table, status in (
        (_changelog(package, COMPLETE), None, OPEN),
        (None, _table(), OPEN),
        (_changelog(package, COMPLETE, CVE), None, FIXED),
        (_changelog(package, COMPLETE), _table(first="9.0-1"), AFFECTED),
    ):
        known = PackageEvidence(package, BOOKWORM, changelog, table)
        assert judge_backport(CVE, PUBLISHED, known, introduced="1.0", has_fault=False).status is status


def test_a_fix_for_paying_customers_is_said_to_be_one() -> None:
    table = replace(_table(first="3.0.99-1"), paid=frozenset({CVE}))
    verdict = judge_backport(CVE, PUBLISHED, PackageEvidence(_package(), BOOKWORM, None, table))
    assert verdict.is_paid
    assert "for paying customers" in verdict.evidence.detail


@pytest.mark.parametrize(
    ("first", "day"),
    [
        ("3.0.17-1~deb12u3", date(2025, 9, 26)),
        ("3.0.9-1", date(2023, 5, 30)),
        ("1.1.1d-1", date(2023, 5, 30)),
        ("3.0.18-1", date(2026, 2, 22)),
        ("9.0-1", None),
    ],
)
def test_a_fix_is_available_since_the_releases_first_package_that_has_it(first: str, day: date | None) -> None:
    dates = load_snapshot().package_fixes["debian", "12", "openssl"].dates
    table = replace(_table(first=first), dates=dates)
    known = PackageEvidence(_package("3.0.8-1"), BOOKWORM, None, table)
    assert judge_backport(CVE, PUBLISHED, known).available == day
    changelog = PackageChangelog(_package(), COMPLETE, fixes=(ChangelogFix(CVE, first, "Fix"),))
    named = judge_backport(CVE, PUBLISHED, PackageEvidence(_package(), BOOKWORM, changelog, table))
    assert (named.status, named.available) == (FIXED, day)
    paid = replace(table, paid=frozenset({CVE}))
    assert judge_backport(CVE, PUBLISHED, replace(known, fixes=paid)).available is None


def test_the_changelog_of_another_package_proves_nothing_by_its_silence() -> None:
    other = _changelog(_package("3.0.1-1"), COMPLETE)
    assert judge_backport(CVE, PUBLISHED, PackageEvidence(_package(), BOOKWORM, other, None)).status is OPEN


def test_a_copy_inside_another_package_is_fixed_when_named_and_else_open() -> None:
    package = replace(_package("3.11.2-6+deb12u9"), name="python3.11-minimal", source="python3.11")
    for named, status in ((True, FIXED), (False, OPEN)):
        changelog = _changelog(package, COMPLETE, *([CVE] if named else []))
        known = PackageEvidence.of(Component.OPENSSL, package, BOOKWORM, changelog, load_snapshot())
        verdict = judge_backport(CVE, PUBLISHED, known)
        assert (verdict.status, known.fixes, known.is_own) == (status, None, False)
    assert "what python3.11 holds inside" in verdict.evidence.detail
    python = PackageEvidence.of(Component.CPYTHON, package, BOOKWORM, None, load_snapshot())
    assert python.is_own
    assert python.fixes is not None


@pytest.mark.parametrize(
    ("os_release", "manager", "found"),
    [
        (BOOKWORM, "dpkg", "3.0.22-1~deb12u2"),
        (JAMMY, "dpkg", "3.0.2-0ubuntu1.30"),
        (EL9, "rpm", "Enterprise Linux 9"),
        (EL8, "rpm", "Enterprise Linux 8"),
        (OsRelease(id="debian"), "dpkg", None),
        (OsRelease(), "dpkg", None),
        (BOOKWORM, "rpm", None),
        (OsRelease(id="centos", version_id="9"), "rpm", None),
    ],
)
def test_the_table_is_that_of_the_very_release(os_release: OsRelease, manager: str, found: str | None) -> None:
    fixes = PackageEvidence.of(Component.OPENSSL, _package(manager=manager), os_release, None, load_snapshot()).fixes
    assert (fixes is None) is (found is None)
    assert found is None or fixes is None or found in fixes.source


@given(st.sampled_from(["3.0.7-1", "3.0.14-1~deb12u1", "3.0.19-1~deb12u2", "3.0.22-1~deb12u2", "3.5.1-1"]))
def test_a_newer_package_is_never_less_fixed_by_the_table(version: str) -> None:
    fixes = load_snapshot().package_fixes["debian", "12", "openssl"]
    newest = PackageEvidence(_package("3.0.22-1~deb12u2"), BOOKWORM, None, fixes)
    this = PackageEvidence(_package(version), BOOKWORM, None, fixes)
    for advisory in fixes.fixed:
        if judge_backport(advisory, PUBLISHED, this).status is FIXED and version < "3.0.22":
            assert judge_backport(advisory, PUBLISHED, newest).status is FIXED
