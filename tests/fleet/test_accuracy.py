"""How many verdicts about a distribution's OpenSSL are wrong: on real Debian roots, and over each package's life.

The truth is the table on board: which package version fixed an advisory first. It never judges itself: for Debian the
verdicts here come from the packages' own changelogs, with the table taken out of the catalogue. For Ubuntu and
Enterprise Linux no package is read; there the table and the ordering of versions are tested, and nothing else.
"""

from __future__ import annotations

import gzip
import os
import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libcensus.agent.packages.changelog import (
    Changelog,
    fixes_of,
    from_version,
    judge_completeness,
    parse_debian_changelog,
)
from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.posture.assessment import Assessor
from libcensus.collector.posture.backport import PackageEvidence
from libcensus.collector.posture.finding import Component, VexStatus
from libcensus.collector.posture.ordering import is_at_least
from libcensus.collector.posture.remedy import Circumstances
from libcensus.collector.posture.security import Placement, judge_openssl, place
from libcensus.collector.posture.versions import parse_openssl
from libcensus.facts.changelog import PackageChangelog
from libcensus.facts.crypto import CryptoLibrary, CryptoUse
from libcensus.facts.host import OsRelease
from libcensus.facts.package import Package
from libcensus.facts.vocabulary import CryptoFamily, Implementation, Installer, Linkage, PackageOrigin, Provider
from tests.agent.roots import scan_folder
from tests.fleet.security import SUITES, open_root, secured_root

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from libcensus.collector.posture.catalogue import Catalogue, PackageFixes

pytestmark = [pytest.mark.root, pytest.mark.timeout(1800)]

PAGE = Path(__file__).parents[2] / "docs" / "accuracy.md"
_LIBRARIES = {"bullseye": "libssl1.1", "bookworm": "libssl3", "trixie": "libssl3t64"}
_MAKERS = {"as released": open_root, "with security updates": secured_root}


@cache
def _without_debian() -> Catalogue:
    known = load_snapshot()
    return replace(known, package_fixes={key: item for key, item in known.package_fixes.items() if key[0] != "debian"})


def _table(suite: str) -> PackageFixes:
    return load_snapshot().package_fixes["debian", SUITES[suite], "openssl"]


def _upstream(version: str) -> str:
    """Return the OpenSSL version in a package version: ``1.1.1k`` of ``1:1.1.1k-14.el8_6``."""
    match = re.match(r"(?:\d+:)?(\d+\.\d+\.\d+[a-z]?)", version)
    assert match is not None, version
    return match[1]


def _in_range(version: str, fixes: PackageFixes) -> dict[str, bool]:
    """Return the advisories whose range holds a package's upstream version, and whether the table says open."""
    upstream = parse_openssl(_upstream(version))
    assert upstream is not None
    catalogue = load_snapshot()
    found: dict[str, bool] = {}
    for advisory in catalogue.advisories:
        if advisory.component is not Component.OPENSSL or advisory.windows_only:
            continue
        if advisory.published <= fixes.reaches and place(upstream, advisory, catalogue) is Placement.INSIDE:
            first = fixes.fixed.get(advisory.id)
            found[advisory.id] = first is None or not is_at_least(fixes.manager, version, first)
    return found


@dataclass(frozen=True)
class Score:
    """Verdicts held against the truth; ``untold`` are those that are under investigation."""

    fixed: int
    open: int
    false: frozenset[str]
    missed: frozenset[str]
    untold: frozenset[str]

    @classmethod
    def of(cls, truth: Mapping[str, bool], statuses: Mapping[str, VexStatus]) -> Score:
        """Compare: an advisory without a finding counts as not affected."""
        said = {name: statuses.get(name, VexStatus.NOT_AFFECTED) for name in truth}
        return cls(
            fixed=sum(not is_open for is_open in truth.values()),
            open=sum(truth.values()),
            false=frozenset(n for n, is_open in truth.items() if not is_open and said[n] is VexStatus.AFFECTED),
            missed=frozenset(
                n for n, is_open in truth.items() if is_open and said[n] in {VexStatus.FIXED, VexStatus.NOT_AFFECTED}
            ),
            untold=frozenset(n for n in truth if said[n] is VexStatus.UNDER_INVESTIGATION),
        )


@cache
def _judged(suite: str, state: str) -> tuple[str, Score]:
    """Scan a root, judge it without Debian's table, and return its package version and the score."""
    found = scan_folder(_MAKERS[state](suite))
    assessment = Assessor(_without_debian(), load_snapshot().snapshot_date).assess(
        found.host,
        found.platform,
        found.installs,
        found.builds,
        roots=found.roots,
        crypto_copies=found.crypto_copies,
        changelogs=found.changelogs.values(),
    )
    (python,) = (one for one in assessment.installs if one.install.kind.value == "base" and one.library is not None)
    assert python.library is not None
    assert python.library.package is not None
    version = python.library.package.source_version
    statuses = {f.advisory: f.status for f in python.findings if f.component is Component.OPENSSL}
    return version, Score.of(_in_range(version, _table(suite)), statuses)


@pytest.mark.parametrize("state", list(_MAKERS))
@pytest.mark.parametrize("suite", list(SUITES))
def test_no_verdict_on_a_real_debian_is_wrong(suite: str, state: str) -> None:
    version, score = _judged(suite, state)
    assert (score.false, score.missed, score.untold) == (frozenset(),) * 3, version


def test_a_debian_without_updates_is_open_and_with_them_less() -> None:
    for suite in SUITES:
        plain, secured = (_judged(suite, state)[1] for state in _MAKERS)
        assert secured.open <= plain.open
    assert any(_judged(suite, "as released")[1].open for suite in SUITES)


@cache
def _changelog(suite: str) -> Changelog:
    folder = secured_root(suite) / "usr/share/doc" / _LIBRARIES[suite]
    path = folder / "changelog.Debian.gz"
    return parse_debian_changelog(gzip.decompress(path.read_bytes()).decode("utf-8", "replace"), str(path))


def _package(manager: str, version: str) -> Package:
    return Package(manager, "libssl", version, "openssl", version, origin=PackageOrigin.DISTRIBUTION)


def _statuses(
    package: Package, system: OsRelease, changelog: PackageChangelog | None, catalogue: Catalogue
) -> dict[str, VexStatus]:
    library = CryptoLibrary(CryptoFamily.OPENSSL, _upstream(package.version), package)
    circumstances = Circumstances(
        CryptoUse(Linkage.SYSTEM, "/usr/lib/libssl.so", library),
        Provider.DISTRO,
        Installer.DPKG,
        None,
        None,
        Implementation.CPYTHON,
    )
    known = PackageEvidence.of(Component.OPENSSL, package, system, changelog, catalogue)
    day = load_snapshot().snapshot_date
    found = judge_openssl(circumstances, catalogue, day, package=package, known=known)
    return {judgement.advisory: judgement.status for judgement in found}


@cache
def _life(suite: str) -> Mapping[str, Score]:
    """Return the score of every version that the table names and the package's changelog still has, cut there."""
    scores: dict[str, Score] = {}
    fixes, changelog = _table(suite), _changelog(suite)
    for version in {*fixes.fixed.values(), *(entry.version for entry in changelog.entries if entry.version)}:
        entries = from_version(changelog, version)
        if entries is None or f"deb{SUITES[suite]}u" not in version:
            continue
        package = _package("dpkg", version)
        cut = replace(changelog, entries=entries)
        state, _ = judge_completeness(cut, has_notices=True)
        fact = PackageChangelog(
            package, state, cut.file, len(entries), entries[0].version, entries[-1].version, fixes_of(entries, version)
        )
        system = OsRelease("debian", SUITES[suite])
        scores[version] = Score.of(_in_range(version, fixes), _statuses(package, system, fact, _without_debian()))
    return scores


@pytest.mark.parametrize("suite", list(SUITES))
def test_no_verdict_in_a_packages_whole_life_is_wrong(suite: str) -> None:
    scores = _life(suite)
    assert len(scores) >= 5
    wrong = {version: score for version, score in scores.items() if score.false or score.missed or score.untold}
    assert wrong == {}
    assert sum(score.open for score in scores.values()) > 0
    assert sum(score.fixed for score in scores.values()) > 0


@cache
def _recorded() -> Mapping[tuple[str, str], Mapping[str, Score]]:
    """Return the scores of the package versions that Ubuntu's and Enterprise Linux's tables name."""
    catalogue = load_snapshot()
    found: dict[tuple[str, str], dict[str, Score]] = {}
    for (distribution, release, source), fixes in sorted(catalogue.package_fixes.items()):
        if source != "openssl" or distribution not in {"ubuntu", "almalinux", "rhel"}:
            continue
        for version in sorted(set(fixes.fixed.values())):
            truth = {name: is_open for name, is_open in _in_range(version, fixes).items() if name in fixes.fixed}
            statuses = _statuses(_package(fixes.manager, version), OsRelease(distribution, release), None, catalogue)
            found.setdefault((distribution, release), {})[version] = Score.of(truth, statuses)
    return found


def test_recorded_versions_of_ubuntu_and_enterprise_linux_are_ordered_right() -> None:
    recorded = _recorded()
    assert {release for _, release in recorded} >= {"20.04", "22.04", "24.04", "8", "9", "10"}
    for place_, scores in recorded.items():
        wrong = {version: score for version, score in scores.items() if score.false or score.missed or score.untold}
        assert wrong == {}, place_


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _sum(scores: Iterable[Score]) -> Counter[str]:
    total: Counter[str] = Counter()
    for score in scores:
        total.update(
            fixed=score.fixed,
            open=score.open,
            false=len(score.false),
            missed=len(score.missed),
            untold=len(score.untold),
        )
    return total


def _figures(score: Score | Counter[str]) -> tuple[int, ...]:
    if isinstance(score, Counter):
        return score["fixed"], score["open"], score["false"], score["missed"], score["untold"]
    return score.fixed, score.open, len(score.false), len(score.missed), len(score.untold)


def _page() -> str:
    head = _row("fixed", "open", "falsely affected", "missed", "not told")[2:]
    lines = [
        "# Accuracy: verdicts about a distribution's OpenSSL",
        "",
        "Written by `tests/fleet/test_accuracy.py`, which measures it (`UPDATE_GOLDEN=1` writes it anew).",
        "",
        "Counted are pairs of a package version and an advisory whose upstream range holds that version: what a",
        "scanner that matches by version calls vulnerable. *Fixed* and *open* are the truth, from the table on board",
        "of which package version fixed an advisory first.",
        "",
        "## Debian, real roots",
        "",
        "Scanned as they are. Debian's table is taken out of the catalogue: the verdicts come from the changelogs in",
        "the packages.",
        "",
        _row("root", "package", head[:-2]),
        _row(*["---"] * 7),
    ]
    for suite in SUITES:
        for state in _MAKERS:
            version, score = _judged(suite, state)
            lines.append(_row(f"{suite}, {state}", f"`{version}`", *_figures(score)))
    lines += [
        "",
        "## Debian, each package's life",
        "",
        "The newest package's changelog, cut at each version of that release, judged without the table by all that is",
        "published today: a version of 2021 is open to what was found since.",
        "",
        _row("release", "versions", head[:-2]),
        _row(*["---"] * 7),
    ]
    for suite in SUITES:
        scores = _life(suite)
        lines.append(_row(suite, len(scores), *_figures(_sum(scores.values()))))
    lines += [
        "",
        "## Ubuntu and Enterprise Linux",
        "",
        "No package was read: the table itself decides, so this tests upstream's ranges and the ordering of versions",
        "only.",
        "",
        _row("release", "versions", head[:-2]),
        _row(*["---"] * 7),
    ]
    for (distribution, release), scores in _recorded().items():
        lines.append(_row(f"{distribution} {release}", len(scores), *_figures(_sum(scores.values()))))
    return "\n".join(lines) + "\n"


def _stable(page: str) -> list[str]:
    """Return the lines that hold whatever the archives have today: the roots' rows change with each update."""
    return [line for line in page.splitlines() if not re.match(r"\| (?:bullseye|bookworm|trixie)\b", line)]


def test_the_page_is_what_was_measured() -> None:
    page = _page()
    if os.environ.get("UPDATE_GOLDEN") == "1":
        PAGE.write_text(page, encoding="utf-8")
    told = PAGE.read_text(encoding="utf-8")
    assert _stable(told) == _stable(page)
    for line in told.splitlines():
        if line.startswith("| ") and "---" not in line and "falsely" not in line:
            assert line.endswith("| 0 | 0 | 0 |"), line
