from __future__ import annotations

import copy
import json
import re
from collections import Counter
from datetime import date
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest

from libcensus.collector.advisories import snapshot
from libcensus.collector.advisories.snapshot import TABLES, SnapshotError, catalogue_of, load_snapshot, read_table
from libcensus.collector.errors import CollectorError
from libcensus.collector.posture.finding import Component, Severity
from libcensus.collector.posture.versions import is_before, parse_version

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _tables() -> dict[str, Any]:
    return {name: read_table(name) for name in TABLES}


def test_the_snapshot_loads_once_and_says_its_day() -> None:
    catalogue = load_snapshot()
    assert load_snapshot() is catalogue
    assert catalogue.snapshot_date == max(catalogue.reaches.values()) == date(2026, 11, 10)
    assert catalogue.reaches["openssl"] == date(2026, 9, 29)
    counts = Counter(advisory.component for advisory in catalogue.advisories)
    assert counts == {Component.OPENSSL: 295, Component.CPYTHON: 166, Component.GLIBC: 20, Component.NODEJS: 196}
    assert len(catalogue.pbs_builds) == 135
    assert len(catalogue.releases[Component.OPENSSL]) == 246
    assert any("openssl/release-metadata @ " in source for source in catalogue.sources)


def test_every_range_begins_before_its_fix_and_every_fix_was_released() -> None:
    catalogue = load_snapshot()
    whole = {name: catalogue.releases[name] for name in (Component.OPENSSL, Component.NODEJS)}
    for advisory in catalogue.advisories:
        component = advisory.component
        branches = [item.branch for item in advisory.ranges]
        assert len(set(branches)) == len(branches) > 0, advisory.id
        for item in advisory.ranges:
            introduced = parse_version(component, item.introduced)
            assert introduced is not None
            assert introduced.branch == item.branch
            assert advisory.assessed is not None
            assert item.branch in advisory.assessed
            if item.fixed is None:
                continue
            fixed = parse_version(component, item.fixed)
            assert fixed is not None
            assert fixed.branch == item.branch
            assert is_before(introduced, fixed)
            # Of CPython's releases the snapshot has the days of the newest only, of glibc's none.
            assert component not in whole or (
                (item.fixed in advisory.premium_only_fixes) != (item.fixed in whole[component])
            ), (advisory.id, item)


def test_a_fix_is_never_released_long_before_its_advisory_is_out() -> None:
    """A slip of a year in either table would show here; in older years fixes were out long before they were named."""
    catalogue = load_snapshot()
    released = catalogue.releases[Component.OPENSSL]
    early = [
        advisory.id
        for advisory in catalogue.advisories
        for item in advisory.ranges
        if advisory.published.year >= 2016
        and item.fixed is not None
        and item.fixed in released
        and (day := released[item.fixed].date) is not None
        and (advisory.published - day).days > 400
    ]
    assert early == []


def test_every_release_of_nodejs_has_a_day_and_no_advisory_is_of_the_openssl_inside() -> None:
    catalogue = load_snapshot()
    releases = catalogue.releases[Component.NODEJS]
    assert all(release.date is not None and release.branch in version for version, release in releases.items())
    assert releases["22.4.1"].date == date(2024, 7, 8)
    node = {advisory.id for advisory in catalogue.advisories if advisory.component is Component.NODEJS}
    openssl = {advisory.id for advisory in catalogue.advisories if advisory.component is Component.OPENSSL}
    assert not node & openssl
    # Entries of the core database that are about OpenSSL, and one about an engine that only Node.js loads.
    assert {"CVE-2022-0778", "CVE-2021-3450", "CVE-2016-2107"} <= openssl
    assert {"CVE-2023-30586", "CVE-2023-23919", "NSWG-CORE-20"} <= node
    assert catalogue.reaches["nodejs"] == max(
        advisory.published for advisory in catalogue.advisories if advisory.component is Component.NODEJS
    )


@pytest.mark.parametrize(
    ("advisory", "line", "introduced", "assumed", "fixed", "other_source"),
    [
        ("CVE-2026-21710", "20", "20.0.0", True, "20.20.2", False),
        ("CVE-2017-14849", "8", "8.5.0", False, "8.6.0", False),
        ("CVE-2018-7164", "9", "9.7.0", False, "9.11.2", False),
        ("CVE-2016-1669", "6", "6.0.0", False, "6.2.0", False),
        ("CVE-2018-12115", "7", "7.0.0", True, None, False),
        ("CVE-2018-12115", "0.12", "0.12.0", True, None, False),
        ("CVE-2022-32214", "16", "16.0.0", True, "16.16.0", False),
        ("CVE-2022-35255", "16", "16.0.0", True, "16.17.1", True),
        ("CVE-2026-56848", "26", "26.0.0", True, "26.5.1", False),
    ],
)
def test_ranges_of_nodejs(
    advisory: str, line: str, introduced: str, assumed: bool, fixed: str | None, other_source: bool
) -> None:
    record = next(item for item in load_snapshot().advisories if item.id == advisory)
    found = record.range_of(line)
    assert found is not None
    assert (found.introduced, found.introduced_assumed, found.fixed) == (introduced, assumed, fixed)
    assert (found.source is not None) is other_source


def test_days_of_nodejs_come_from_the_entry_the_announcement_or_the_release() -> None:
    by_id = {item.id: item for item in load_snapshot().advisories if item.component is Component.NODEJS}
    told = {name: (by_id[name].published, by_id[name].published_inferred) for name in by_id}
    assert told["CVE-2018-12121"] == (date(2018, 11, 27), False)
    assert told["CVE-2026-21710"] == (date(2026, 3, 24), False)
    # Announced on the 15th that there will be releases; they came on the 23rd.
    assert told["CVE-2022-32212"] == (date(2022, 9, 23), False)
    assert told["CVE-2015-7384"] == (date(2015, 10, 5), True)
    assert by_id["CVE-2022-32222"].range_of("16") is None
    assessed = by_id["CVE-2015-7384"].assessed
    assert assessed is not None
    assert assessed == frozenset({"4"})


def test_what_is_marked_by_hand_is_marked() -> None:
    by_id = {(advisory.id, advisory.component): advisory for advisory in load_snapshot().advisories}
    assert {advisory.id for advisory in by_id.values() if advisory.windows_only} == {
        *("CVE-2019-1552", "CVE-2023-4807"),
        *("CVE-2016-3189", "CVE-2018-25032", "CVE-2019-12900"),
        *("CVE-2016-9551", "CVE-2021-22921", "CVE-2022-32223", "CVE-2023-30585", "CVE-2024-27980", "CVE-2024-36138"),
        *("CVE-2024-37372", "CVE-2025-23084", "CVE-2025-23165", "CVE-2025-27210"),
    }
    corrected = by_id["CVE-2023-2650", Component.OPENSSL].range_of("3.1")
    assert corrected is not None
    assert (corrected.introduced, corrected.introduced_assumed) == ("3.1.0", True)
    never_released = by_id["CVE-2004-0975", Component.OPENSSL].range_of("0.9.6")
    assert never_released is not None
    assert never_released.fixed is None
    assert by_id["CVE-2014-0160", Component.OPENSSL].severity is Severity.UNKNOWN
    assert by_id["CVE-2026-34180", Component.OPENSSL].premium_only_fixes == {"1.1.1zh", "1.0.2zq"}


@pytest.mark.parametrize(
    ("advisory", "assessed", "not_assessed"),
    [
        ("CVE-2025-15467", {"3.6", "3.5", "3.4", "3.3", "3.0", "1.1.1", "1.0.2"}, {"3.1", "3.2", "1.1.0"}),
        ("CVE-2026-63072", {"4.0", "3.6", "3.5", "3.0"}, {"3.4", "3.3", "1.1.1", "1.0.2"}),
        ("CVE-2026-84784", {"4.0", "3.6", "3.5"}, {"3.0", "3.4", "1.1.1"}),
        ("CVE-2026-84782", {"4.0", "3.6", "3.5", "3.0"}, {"3.4", "1.1.1"}),
    ],
)
def test_which_branches_a_record_says_something_about(
    advisory: str, assessed: set[str], not_assessed: set[str]
) -> None:
    record = next(item for item in load_snapshot().advisories if item.id == advisory)
    assert record.assessed is not None
    assert assessed <= record.assessed
    assert not not_assessed & record.assessed


def test_an_advisory_of_nodejs_that_no_day_can_be_told_of_is_left_out() -> None:
    tables = _tables()
    row = tables["nodejs"]["advisories"][0]
    row.pop("published", None)
    row["ranges"] = [{"branch": "4", "introduced": "4.0.0"}]
    assert row["id"] not in {item.id for item in catalogue_of(tables).advisories}


@pytest.mark.parametrize("name", TABLES)
def test_no_file_names_a_machine_or_an_address(name: str) -> None:
    text = json.dumps(read_table(name))
    assert "://" not in text
    assert not re.search(r'"/(?:work|root|home|tmp)\b', text)


def test_what_must_be_named_is_named_in_the_notice_of_both_places() -> None:
    root = files("libcensus.collector.advisories")
    repository = next(parent for parent in _parents(str(root)) if (parent / "Makefile").exists())
    notice = (repository / "NOTICE").read_text(encoding="utf-8")
    assert (repository / "collector" / "NOTICE").read_text(encoding="utf-8") == notice
    attributions = load_snapshot().attributions
    assert len(attributions) >= 10
    for item in attributions:
        assert item.name in notice
        assert item.holder in notice
        assert item.licence in notice


def _parents(path: str) -> list[Path]:
    from pathlib import Path

    return list(Path(path).parents)


def _without(table: str, key: str) -> Callable[[dict[str, Any]], None]:
    def change(tables: dict[str, Any]) -> None:
        del tables[table][key]

    return change


def _row(table: str, key: str, number: int, **values: object) -> Callable[[dict[str, Any]], None]:
    def change(tables: dict[str, Any]) -> None:
        tables[table][key][number].update(values)

    return change


def _advisory(**values: object) -> Callable[[dict[str, Any]], None]:
    """Return a change of the first range of CVE-2025-15467: 3.6 from 3.6.0 to 3.6.1."""

    def change(tables: dict[str, Any]) -> None:
        row = next(item for item in tables["openssl"]["advisories"] if item["id"] == "CVE-2025-15467")
        row["ranges"][0].update(values)

    return change


def _node(**values: object) -> Callable[[dict[str, Any]], None]:
    """Return a change of the first range of CVE-2026-21710: 20 from 20.0.0 to 20.20.2."""

    def change(tables: dict[str, Any]) -> None:
        row = next(item for item in tables["nodejs"]["advisories"] if item["id"] == "CVE-2026-21710")
        row["ranges"][0].update(values)

    return change


def _twice(table: str, key: str) -> Callable[[dict[str, Any]], None]:
    def change(tables: dict[str, Any]) -> None:
        tables[table][key].append(copy.deepcopy(tables[table][key][0]))

    return change


def _text_for_row(tables: dict[str, Any]) -> None:
    tables["openssl"]["advisories"][0] = "text"


def _branch_twice(tables: dict[str, Any]) -> None:
    row = next(item for item in tables["openssl"]["advisories"] if item["id"] == "CVE-2025-15467")
    row["ranges"].append(dict(row["ranges"][0]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tables: tables["snapshot"].update(format=2), "format 2, this program reads 1"),
        (lambda tables: tables["snapshot"].update(date="soon"), "snapshot.json: ValueError"),
        (_without("snapshot", "reaches"), "snapshot.json: KeyError: 'reaches'"),
        (_without("openssl", "advisories"), "openssl.json: has no rows of 'advisories'"),
        (lambda tables: tables["openssl"].update(releases=[]), "has no rows of 'releases'"),
        (_advisory(introduced="3.6.2"), "introduced 3.6.2 does not lie before fixed 3.6.1"),
        (_advisory(introduced="3.5.0"), "3.5.0 is no version of branch 3.6"),
        (_advisory(fixed="3.5.5"), "3.5.5 is no version of branch 3.6"),
        (_advisory(fixed="3.6.77"), "fixed version 3.6.77 was never released"),
        (_advisory(introduced="whenever"), "whenever is no version"),
        (_branch_twice, "CVE-2025-15467 lists a branch twice"),
        (_twice("openssl", "advisories"), "openssl.json: CVE-2002-0655 is there twice"),
        (_twice("pbs", "builds"), "pbs.json: 20181218 is there twice"),
        (_row("openssl", "advisories", 3, published="2026-02-30"), "openssl.json: advisories 4: ValueError"),
        (_row("openssl", "advisories", 0, severity="terrible"), "'terrible' is not a valid Severity"),
        (_row("openssl", "advisories", 0, source="hearsay"), "KeyError: 'hearsay'"),
        (_row("openssl", "releases", 0, version="0.9.1?"), "0.9.1? is no release of branch 0.9.1"),
        (_row("openssl", "releases", 0, branch="0.9.2"), "0.9.1c is no release of branch 0.9.2"),
        (_row("openssl", "branches", 0, eol="2015"), "openssl.json: branches 1: ValueError"),
        (_row("cpython", "releases", 0, version="three"), "three is no version of CPython"),
        (_row("pbs", "builds", 0, openssl="new"), "new is no version of OpenSSL"),
        (_row("pbs", "builds", 0, cpython={"3.7": "3.8.1"}), "3.8.1 is no release of CPython 3.7"),
        (_row("pbs", "uv", 0, pbs="20990101"), "names the unknown build 20990101"),
        (_text_for_row, "openssl.json: advisories 1: TypeError"),
        (_row("distributions", "releases", 0, release="x y"), "'x y' is no release of a distribution"),
        (_row("distributions", "releases", 0, glibc="new"), "'new' is no version of glibc"),
        (_twice("distributions", "releases"), "almalinux:10 is there twice"),
        (_row("backports", "debian", 0, fixed={"CVE-2026-1": "a b"}), "'a b' is no version of dpkg that"),
        (_row("backports", "el", 0, fixed={"CVE-2026-1": "new"}), "'new' is no version of rpm that can be ordered"),
        (_twice("backports", "ubuntu"), "package fixes: openssl of ubuntu 20.04 twice"),
        (_row("glibc", "debian", 0, date="soon"), "glibc.json: debian 1: ValueError"),
        (_row("nodejs", "releases", 0, version="four"), "four is no version of Node.js"),
        (_node(introduced="22.0.0"), "22.0.0 is no version of line 20"),
        (_node(fixed="22.22.2"), "22.22.2 is no release of line 20"),
        (_node(fixed="20.77.0"), "20.77.0 is no release of line 20"),
        (_node(introduced="20.20.2"), "introduced 20.20.2 does not lie before fixed 20.20.2"),
        (_row("nodejs", "advisories", 0, ranges=[]), "CVE-2015-6764 lists a line twice, or none"),
        (_twice("nodejs", "advisories"), "nodejs.json: CVE-2015-6764 is there twice"),
    ],
)  # fmt: skip
def test_a_snapshot_with_one_untrue_fact_is_refused(change: Callable[[dict[str, Any]], None], words: str) -> None:
    tables = _tables()
    change(tables)
    with pytest.raises(SnapshotError) as caught:
        catalogue_of(tables)
    assert words in str(caught.value)
    assert "install libcensus-collector again" in str(caught.value)
    assert isinstance(caught.value, CollectorError)


def test_package_fixes_are_found_by_distribution_release_and_source() -> None:
    fixes = load_snapshot().package_fixes
    assert fixes["debian", "12", "openssl"].fixed["CVE-2026-31790"] == "3.0.19-1~deb12u2"
    assert fixes["debian", "13", "python3.13"].manager == "dpkg"
    assert fixes["debian", "11", "glibc"].reaches.isoformat() == "2026-05-27"
    assert fixes["ubuntu", "20.04", "openssl"].paid == {
        advisory for advisory, version in fixes["ubuntu", "20.04", "openssl"].fixed.items() if "esm" in version
    }
    assert fixes["ubuntu", "20.04", "openssl"].paid
    assert not fixes["ubuntu", "26.04", "openssl"].is_complete
    ten = [fixes[name, "10", "openssl"] for name in ("almalinux", "rhel", "rocky")]
    assert not any("alma" in version for one in ten for version in one.fixed.values())
    assert ("centos", "9", "openssl") not in fixes


def test_a_missing_or_broken_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match=r"nothing\.json"):
        read_table("nothing")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "openssl.json").write_text('{"advisories": [', encoding="utf-8")
    (tmp_path / "data" / "pbs.json").write_text("[]", encoding="utf-8")
    monkeypatch.setattr(snapshot, "files", lambda _package: tmp_path)
    with pytest.raises(SnapshotError, match=r"openssl\.json"):
        read_table("openssl")
    with pytest.raises(SnapshotError, match=r"pbs\.json: is not an object"):
        read_table("pbs")
