"""The readers of official formats: what each takes and leaves; and that any input is read or refused, and no more."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libcensus.collector.advisories.document import Document
from libcensus.collector.advisories.feeds.alpine import read_alpine
from libcensus.collector.advisories.feeds.builds import read_pbs, read_pbs_source, read_uv, read_uv_source
from libcensus.collector.advisories.feeds.debian import read_debian
from libcensus.collector.advisories.feeds.endoflife import read_endoflife
from libcensus.collector.advisories.feeds.nodejs import read_nodejs, read_nodejs_releases, read_ranges
from libcensus.collector.advisories.feeds.openssl import read_openssl
from libcensus.collector.advisories.feeds.osv import read_enterprise, read_ubuntu
from libcensus.collector.advisories.feeds.psf import read_psf
from libcensus.collector.advisories.feeds.reading import (
    FeedFormatError,
    Reading,
    check_unique,
    entries_of,
    parse_json,
    row_key,
)
from libcensus.collector.advisories.feeds.redhat import read_changes, read_redhat
from libcensus.collector.advisories.feeds.registry import Bounds
from libcensus.collector.advisories.merge import merge_feeds
from libcensus.collector.advisories.package_fixes import joined_fixes
from libcensus.collector.advisories.published import catalogue_with, embedded_tables
from libcensus.collector.advisories.snapshot import SnapshotError, load_snapshot, read_table
from libcensus.collector.advisories.state import FeedDocument, FeedState, decode_state, encode_state
from libcensus.collector.posture.catalogue import PackageFixes
from libcensus.collector.posture.finding import Component
from libcensus.collector.posture.versions import branch_of, is_before, parse_version
from tests.collector.advisories import feed_samples as samples

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DAY = date(2026, 11, 24)
NOW = datetime(2026, 11, 25, tzinfo=UTC)

READERS: dict[str, tuple[Callable[[list[tuple[str, bytes]]], Reading], Any]] = {
    "openssl": (read_openssl, samples.openssl_record(samples.FRESH)),
    "psf": (read_psf, samples.psf_record(versions=("v3.13.1", "v3.14.0"))),
    "nodejs": (read_nodejs, samples.node_database()),
    "nodejs-releases": (read_nodejs_releases, json.loads(samples.node_releases())),
    "debian": (lambda members: read_debian(members, DAY), json.loads(samples.debian_tracker())),
    "ubuntu": (read_ubuntu, samples.ubuntu_record()),
    "almalinux": (lambda members: read_enterprise(members, "AlmaLinux"), samples.erratum()),
    "rocky": (
        lambda members: read_enterprise(members, "Rocky Linux"),
        samples.erratum("RLSA-2026:99001", "Rocky Linux:9", names="upstream"),
    ),
    "alpine": (lambda members: read_alpine(members, DAY), json.loads(samples.alpine_database())),
    "redhat": (read_redhat, json.loads(samples.redhat_vex())),
    "endoflife": (read_endoflife, json.loads(samples.endoflife_answer())),
    "pbs": (read_pbs, json.loads(samples.pbs_releases())),
    "uv": (read_uv, json.loads(samples.uv_releases())),
}


def state_of(feed: str, reading: Reading) -> FeedState:
    document = FeedDocument("https://example.org/", "00", 1, reading.newest, reading.rows, targets=reading.targets)
    return FeedState(feed, (document,), NOW, NOW)


def fixes_of(reading: Reading) -> dict[tuple[str, str, str], str]:
    return {
        (row["release"], row["package"], row["advisory"]): row["fixed"] for row in reading.rows if row["kind"] == "fix"
    }


# --- each format ------------------------------------------------------------------------------------------------------


def test_openssl_states_ranges_severity_and_day() -> None:
    old = samples.openssl_record("CVE-2002-0655", "2002-07-30T00:00:00Z", None, (("0.9.6", "0.9.6e"),))
    rows = {
        row["id"]: row
        for row in read_openssl([("a.json", samples.encode([])), *_files(old, samples.openssl_record())]).rows
    }
    assert rows["CVE-2024-6119"] == {
        "kind": "openssl",
        "id": "CVE-2024-6119",
        "published": "2024-09-03",
        "severity": "moderate",
        "ranges": [
            {"branch": "3.3", "introduced": "3.3.0", "fixed": "3.3.2"},
            {"branch": "3.0", "introduced": "3.0.0", "fixed": "3.0.15"},
        ],
    }
    assert "severity" not in rows["CVE-2002-0655"]


def _files(*records: dict[str, Any]) -> list[tuple[str, bytes]]:
    return [(f"secjson/{one['cveMetadata']['cveId']}.json", samples.encode(one)) for one in records]


def test_openssl_ends_that_are_no_release_and_last_affected_versions() -> None:
    record = samples.openssl_record(samples.FRESH, ranges=(("0.9.6", "0.9.6-cvs"), ("fips-1.1.1", "fips-1.1.2")))
    assert read_openssl(_files(record)).rows[0]["ranges"] == [{"branch": "0.9.6", "introduced": "0.9.6"}]
    versions = record["containers"]["cna"]["affected"][0]["versions"]
    versions[:] = [{"status": "affected", "version": "3.0.0", "lessThanOrEqual": "3.0.7"}]
    assert read_openssl(_files(record)).rows[0]["ranges"] == [
        {"branch": "3.0", "introduced": "3.0.0", "fixed": "3.0.8", "inferred": True}
    ]
    record["cveMetadata"]["state"] = "REJECTED"
    assert read_openssl(_files(record, samples.openssl_record())).rows[0]["id"] == "CVE-2024-6119"


@pytest.mark.parametrize(
    ("ranges", "problem"),
    [
        ((("3.0.0", "3.1.1"),), "is no version of branch 3.0"),
        ((("3.0.0", "3.0.2"), ("3.0.5", "3.0.9")), "lists branch 3.0 twice"),
        ((("three", "3.0.2"),), "is no version of OpenSSL"),
        ((("3.0.5", "3.0.2"),), "does not lie before"),
    ],
)
def test_openssl_refuses_what_cannot_be(ranges: tuple[tuple[str, str], ...], problem: str) -> None:
    with pytest.raises(FeedFormatError, match=problem):
        read_openssl(_files(samples.openssl_record(ranges=ranges)))


def test_psf_names_the_last_affected_release_where_releases_are_listed() -> None:
    record = samples.psf_record(versions=("v3.13.0", "v3.13.16", "v3.13.2", "v3.14.0rc1", "3.14.9"))
    bare = samples.psf_record("PSF-2013-3", None)
    bare["modified"] = "0001-01-01T00:00:00Z"
    reading = read_psf([("a/PSF-2026-1.json", samples.encode(record)), ("b.json", samples.encode(bare))])
    assert reading.newest == date(2026, 11, 21)
    assert reading.rows == (
        {"kind": "cpython", "alias": "PSF-2013-3", "published": "2026-11-21"},
        {
            "kind": "cpython",
            "alias": "PSF-2026-1",
            "published": "2026-11-21",
            "id": "CVE-2026-99003",
            "last_affected": {"3.13": "3.13.16", "3.14": "3.14.9"},
        },
    )
    merged = merge_feeds(embedded_tables(), {"psf": state_of("psf", reading)})
    row = next(row for row in merged["cpython"]["advisories"] if row.get("id") == "CVE-2026-99003")
    assert row["fixed"] == {"3.13": "3.13.17", "3.14": "3.14.10"}
    assert row["inferred"] == ["3.13", "3.14"]


def test_debian_tells_resolved_never_affected_and_open() -> None:
    assert fixes_of(read_debian([("json", samples.debian_tracker())], DAY)) == {
        ("11", "openssl", "CVE-2024-6119"): "0",
        ("11", "openssl", samples.FRESH): "0",
        ("12", "openssl", "CVE-2024-6119"): "3.0.14-1~deb12u2",
        ("12", "openssl", samples.FRESH): "3.0.22-1~deb12u9",
        ("13", "openssl", "CVE-2024-6119"): "3.3.2-1",
    }
    assert read_debian([("json", samples.debian_tracker())], None).newest == date(2026, 1, 1)


def test_enterprise_errata_leave_module_streams_and_other_packages_and_take_the_first_fix() -> None:
    packages = (
        ("nodejs", "1:20.11.1-1.module_el9.3.0+95+d2da7ed2"),
        ("bash", "5.1.8-9.el9"),
        ("python3.12-libs", "3.12.12-4.el9_8"),
        ("python3", "3.9.25-3.el9_8"),
    )
    first = samples.erratum(packages=(*packages, ("openssl", "1:3.5.1-8.el9")))
    again = samples.erratum("ALSA-2026:99009", packages=(("openssl-libs", "1:3.5.1-7.el9"),))
    other = samples.erratum("RLSA-2026:99009", "Rocky Linux:9")
    gone = {**samples.erratum("ALSA-2026:99010", cves=("CVE-2026-99044",)), "withdrawn": "2026-11-22T00:00:00Z"}
    members = [(f"{one['id']}.json", samples.encode(one)) for one in (first, again, other, gone)]
    assert fixes_of(read_enterprise(members, "AlmaLinux")) == {
        ("9", "openssl", samples.FRESH): "1:3.5.1-7.el9",
        ("9", "python3.12", samples.FRESH): "3.12.12-4.el9_8",
        ("9", "python3.9", samples.FRESH): "3.9.25-3.el9_8",
    }


def test_ubuntu_tells_free_paid_open_and_never_affected_apart() -> None:
    releases = (
        ("Ubuntu:24.04:LTS", "openssl", "3.0.13-0ubuntu3.9"),
        ("Ubuntu:Pro:24.04:LTS", "openssl", "3.0.13-0ubuntu3.8+esm1"),
        ("Ubuntu:Pro:20.04:LTS", "openssl", "1.1.1f-1ubuntu2.24+esm1"),
        ("Ubuntu:22.04:LTS", "openssl", None),
        ("Ubuntu:25.10", "openssl", None),
    )
    one = samples.ubuntu_record(affected=releases)
    two = samples.ubuntu_record("CVE-2026-99004", (("Ubuntu:24.04:LTS", "openssl", "3.0.13-0ubuntu3.7"),))
    reading = read_ubuntu([(f"{record['id']}.json", samples.encode(record)) for record in (one, two)])
    assert fixes_of(reading) == {
        ("20.04", "openssl", samples.FRESH): "1.1.1f-1ubuntu2.24+esm1",
        ("24.04", "openssl", samples.FRESH): "3.0.13-0ubuntu3.9",
        ("24.04", "openssl", "CVE-2026-99004"): "3.0.13-0ubuntu3.7",
        ("20.04", "openssl", "CVE-2026-99004"): "0",
        ("22.04", "openssl", "CVE-2026-99004"): "0",
    }
    assert [row["release"] for row in reading.rows if row.get("paid")] == ["20.04"]
    assert {row["release"] for row in reading.rows if row["kind"] == "reach"} == {"20.04", "22.04", "24.04", "25.10"}


def test_ubuntu_says_nothing_of_a_release_that_has_ended_since() -> None:
    old = samples.ubuntu_record(
        affected=(("Ubuntu:Pro:14.04:LTS", "openssl", None), ("Ubuntu:24.04:LTS", "openssl", None))
    )
    new = samples.ubuntu_record("CVE-2026-99004", (("Ubuntu:24.04:LTS", "openssl", "3.0.13-0ubuntu3.7"),))
    old["published"] = "2026-01-01T00:00:00Z"
    reading = read_ubuntu([(f"{record['id']}.json", samples.encode(record)) for record in (old, new)])
    assert fixes_of(reading) == {("24.04", "openssl", "CVE-2026-99004"): "3.0.13-0ubuntu3.7"}


def test_alpine_reads_several_ids_of_one_entry_and_version_zero() -> None:
    assert fixes_of(read_alpine([("main.json", samples.alpine_database())], DAY)) == {
        ("3.22", "openssl", samples.FRESH): "3.5.9-r9",
        ("3.22", "openssl", "CVE-2026-99005"): "3.5.9-r9",
        ("3.22", "openssl", "CVE-2024-5535"): "0",
        ("3.22", "python3", "CVE-2026-99003"): "3.12.12-r9",
    }


def test_redhat_reads_main_streams_and_source_packages_alone() -> None:
    reading = read_redhat([("cve-2024-6119.json", samples.redhat_vex())])
    assert fixes_of(reading) == {
        ("9", "openssl", "CVE-2024-6119"): "1:3.5.5-9.el9_8",
        ("8", "openssl", "CVE-2024-6119"): "0",
    }
    document = json.loads(samples.redhat_vex())
    status = document["vulnerabilities"][0]["product_status"]
    status["known_affected"] = list(status["known_not_affected"])
    mixed = read_redhat([("cve-2024-6119.json", samples.encode(document))])
    assert ("8", "openssl", "CVE-2024-6119") not in fixes_of(mixed)
    assert ("8", "openssl") in {(row["release"], row["package"]) for row in mixed.rows if row["kind"] == "reach"}
    changes = [("changes.csv", samples.redhat_changes("CVE-2024-6119", "CVE-2026-1"))]
    targets, newest = read_changes(changes, {"CVE-2024-6119"})
    assert targets == (("2026/cve-2024-6119.json", "2026-11-22T10:11:12+00:00"),)
    assert newest == date(2026, 11, 22)


def test_builds_hold_the_newest_openssl_of_their_source_which_is_not_run() -> None:
    reading = read_pbs([("releases", samples.pbs_releases())])
    assert reading.rows[0]["cpython"]["3.16"] == "3.16.0a3"
    assert read_pbs_source([("downloads.py", samples.pbs_source())], samples.PBS_TAG, DAY).rows == (
        {"kind": "pbs_openssl", "tag": samples.PBS_TAG, "openssl": "3.5.12"},
    )
    for text in (b"DOWNLOADS = __import__('os').environ", b"x = 1", b"DOWNLOADS = {", b"DOWNLOADS = {[]: 1}"):
        with pytest.raises(FeedFormatError):
            read_pbs_source([("downloads.py", text)], samples.PBS_TAG, DAY)
    assert read_uv_source([("m.json", samples.uv_metadata())], samples.UV, DAY).rows[0]["pbs"] == samples.PBS_TAG


def test_the_build_whose_tag_names_a_wrong_year_is_not_taken_for_the_oldest() -> None:
    metadata = json.loads(samples.uv_metadata("20260310"))
    metadata["other"] = {**metadata["cpython-3.14.1-linux-x86_64-gnu"], "build": "20250323"}
    reading = read_uv_source([("m.json", samples.encode(metadata))], samples.UV, DAY)
    assert "20250323" in reading.rows[0]["builds"]
    merged = merge_feeds(embedded_tables(), {"uv": state_of("uv", reading)})
    days = {row["tag"]: row["date"] for row in merged["pbs"]["builds"]}
    assert days["20250323"] == "2026-03-23"


# --- Node.js ----------------------------------------------------------------------------------------------------------


def _line(branch: str, introduced: str, fixed: str | None = None, *, assumed: bool = False) -> dict[str, Any]:
    item: dict[str, Any] = {"branch": branch, "introduced": introduced, "assumed": assumed or None, "fixed": fixed}
    return {key: value for key, value in item.items() if value is not None}


@pytest.mark.parametrize(
    ("vulnerable", "patched", "ranges"),
    [
        ("8.x", "^8.1.4", [_line("8", "8.0.0", "8.1.4", assumed=True)]),
        (
            " 12.x ||14.x ",
            " ^12.19.1 || 14.15.1",
            [_line("12", "12.0.0", "12.19.1", assumed=True), _line("14", "14.0.0", "14.15.1", assumed=True)],
        ),
        ("5.x", "^4.1.0", [_line("5", "5.0.0", assumed=True)]),
        ("^7.1.0", "^7.2.0", [_line("7", "7.1.0", "7.2.0")]),
        ("8.5.0", "^8.6.0", [_line("8", "8.5.0", "8.6.0")]),
        ("9.7.x", "^9.11.2", [_line("9", "9.7.0", "9.11.2")]),
        (">=6.0.0 <6.2.0", "^4.4.6", [_line("6", "6.0.0", "6.2.0")]),
        (">= 6.0.0 < 6.2.0", "^6.1.1", [_line("6", "6.0.0", "6.1.1")]),
        ("10.x", ">= 10.9.0", [_line("10", "10.0.0", "10.9.0", assumed=True)]),
        ("10", "^10.9.0", [_line("10", "10.0.0", "10.9.0", assumed=True)]),
        ("0.10.x", "^0.10.48", [_line("0.10", "0.10.0", "0.10.48", assumed=True)]),
        (
            "<= 5",
            "^5.1.0",
            [
                _line("0.10", "0.10.0", assumed=True),
                _line("0.12", "0.12.0", assumed=True),
                _line("4", "4.0.0", assumed=True),
                _line("5", "5.0.0", "5.1.0", assumed=True),
            ],
        ),
    ],
)
def test_nodejs_ranges(vulnerable: str, patched: str, ranges: list[dict[str, Any]]) -> None:
    assert read_ranges(vulnerable, patched, "entry 1") == ranges


@pytest.mark.parametrize(
    ("vulnerable", "patched", "problem"),
    [
        ("8.x || ^8.1.0", "^8.1.4", "entry 1: lists line 8 twice"),
        ("all of them", "^8.1.4", "'all of them' is no range of releases"),
        ("", "^8.1.4", "'' is no range of releases"),
        (">=8.0.0", "^8.1.4", "'>=8.0.0' is open on one side"),
        ("<8.0.0", "^8.1.4", "'<8.0.0' is open on one side"),
        ("<=8.1.0", "^8.1.4", "'<=8.1.0' is open on one side"),
        ("^8.0.0 <8.1.0", "^8.1.4", "is no range of releases"),
        (">=8.0.0 <8.x", "^8.1.4", "is no range of releases"),
        ("8.x", "8.x", "'8.x' is no release with a fix"),
        ("8.x", "<8.1.0", "'<8.1.0' is no release with a fix"),
        ("8.x", "soon", "'soon' is no release with a fix"),
        ("8.5.0", "^8.5.0", "introduced 8.5.0 does not lie before patched 8.5.0"),
        (">=6.0.0 <8.0.0", "^4.0.1", "8.0.0 is no release of line 6"),
    ],
)
def test_nodejs_ranges_that_cannot_be_are_refused(vulnerable: str, patched: str, problem: str) -> None:
    with pytest.raises(FeedFormatError) as caught:
        read_ranges(vulnerable, patched, "entry 1")
    assert problem in str(caught.value)


@given(
    st.dictionaries(
        st.integers(1, 40),
        st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.booleans()),
        min_size=1,
        max_size=5,
    )
)
def test_every_range_of_nodejs_begins_before_its_end_and_no_line_is_there_twice(
    lines: dict[int, tuple[int, int, int, bool]],
) -> None:
    begins = [f"{line}.x" if whole else f"^{line}.{minor}.{patch}" for line, (minor, patch, _, whole) in lines.items()]
    ends = [f"^{line}.{minor + more + 1}.0" for line, (minor, _, more, _) in lines.items()]
    found = read_ranges(" || ".join(begins), "||".join(ends), "entry 1")
    assert len({item["branch"] for item in found}) == len(found) == len(lines)
    for item in found:
        introduced, fixed = (parse_version(Component.NODEJS, item[key]) for key in ("introduced", "fixed"))
        assert introduced is not None
        assert fixed is not None
        assert is_before(introduced, fixed)
        assert introduced.branch == fixed.branch == item["branch"] == branch_of(Component.NODEJS, item["fixed"])


def test_nodejs_entries_come_as_an_index_or_as_single_files() -> None:
    database = samples.node_database()
    index = read_nodejs([("index.json", samples.encode(database))])
    files = [(f"wg-main/vuln/core/{number}.json", samples.encode(entry)) for number, entry in database.items()]
    other = ("wg-main/vuln/npm/1.json", samples.encode({"id": 1, "vulnerable_versions": "<1", "patched_versions": "1"}))
    text = ("wg-main/README.md", b'An entry has "patched".')
    assert read_nodejs([text, other, ("wg-main/vuln/core/index.json", samples.encode(database)), *files]) == index
    assert read_nodejs(files) == index
    assert index.newest == date(2026, 11, 1)
    rows = {row["id"]: row for row in index.rows}
    assert rows[samples.FRESH_OF_NODE] == {
        "kind": "nodejs",
        "id": samples.FRESH_OF_NODE,
        "severity": "high",
        "ranges": [
            {"branch": "22", "introduced": "22.0.0", "assumed": True, "fixed": "22.99.1"},
            {"branch": "24", "introduced": "24.0.0", "assumed": True, "fixed": "24.99.0"},
        ],
    }
    assert rows["CVE-2018-12121"]["published"] == "2018-11-27"


def test_nodejs_entries_of_several_ids_of_none_of_one_system_and_of_one_id() -> None:
    database = samples.node_database(
        samples.node_entry(("CVE-2021-37701", "CVE-2021-37712"), severity="medium"),
        samples.node_entry((), severity="unknown", ref=None),
        samples.node_entry(("CVE-2024-27980",), "18.x || 20.x", "^18.20.2", affectedEnvironments=["win32"]),
        samples.node_entry(("CVE-2024-27980",), "18.x || 20.x || 21.x", "^18.20.1 || ^20.12.2 || ^21.7.3"),
        samples.node_entry(("CVE-2024-27981",), "18.x || 20.x", "^18.20.2 || ^20.12.2", ref="https://nodejs.org/x"),
        samples.node_entry(("CVE-2024-27981",), "18.x || 20.x", "^18.20.4"),
    )
    rows = {row["id"]: row for row in read_nodejs([("index.json", samples.encode(database))]).rows}
    assert [rows[name]["severity"] for name in ("CVE-2021-37701", "CVE-2021-37712")] == ["moderate", "moderate"]
    assert "severity" not in rows["NSWG-CORE-2"]
    windows = rows["CVE-2024-27980"]
    assert windows["windows_only"] is True
    # An entry with a later fix, or with a line more, says that the first was not the whole story.
    assert {item["branch"]: item.get("fixed") for item in windows["ranges"]} == {
        "18": "18.20.2",
        "20": None,
        "21": "21.7.3",
    }
    assert {item["branch"]: item.get("fixed") for item in rows["CVE-2024-27981"]["ranges"]} == {
        "18": "18.20.4",
        "20": None,
    }


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"severity": "terrible"}, "entry 1: severity: 'terrible' is no severity"),
        ({"cve": ["CVE-1"]}, "entry 1: cve: 'CVE-1' is no CVE id"),
        ({"cve": "CVE-2026-1"}, "entry 1: cve: is no list"),
        ({"vulnerable": ""}, "entry 1: vulnerable: is empty"),
        ({"publish_date": "soon"}, "entry 1: publish_date: 'soon' is no date"),
        ({"affectedEnvironments": "all"}, "entry 1: affectedEnvironments: is no list"),
    ],
)
def test_nodejs_entries_of_another_shape_are_refused(change: dict[str, Any], problem: str) -> None:
    entry = {**samples.node_entry(), **change}
    with pytest.raises(FeedFormatError) as caught:
        read_nodejs([("index.json", samples.encode({"1": entry}))])
    assert str(caught.value) == problem


def test_nodejs_tables_that_are_no_database_are_refused() -> None:
    for content, problem in (
        ({"one": samples.node_entry()}, "index.json: one: is no entry of the core database"),
        ({"1": samples.node_entry(), "2": {}}, "index.json: 2: is no entry of the core database"),
        ({"1": samples.node_entry(ref=None)}, "the database: holds nothing that this program reads"),
    ):
        with pytest.raises(FeedFormatError) as caught:
            read_nodejs([("index.json", samples.encode(content))])
        assert problem in str(caught.value)
    with pytest.raises(FeedFormatError, match=r"'v4' is no release of Node\.js"):
        read_nodejs_releases([("index.json", samples.encode([{"version": "v4", "date": "2026-01-01"}]))])


def test_nodejs_is_joined_with_what_other_sources_and_hands_wrote() -> None:
    database = samples.node_database(
        samples.node_entry(("CVE-2022-35255",), "18.x", "^18.9.1"),
        samples.node_entry(("CVE-2022-32214",), "14.x || 16.x || 18.x", "^14.20.0 || ^16.20.0 || ^18.5.0"),
        samples.node_entry((samples.FRESH,), "24.x", "^24.99.0"),
        samples.node_entry(),
    )
    reading = read_nodejs([("index.json", samples.encode(database))])
    catalogue = catalogue_with({"nodejs": state_of("nodejs", reading)})
    found = {item.id: item for item in catalogue.advisories if item.component is Component.NODEJS}
    added = found["CVE-2022-35255"].range_of("16")
    assert added is not None
    assert (added.fixed, added.source) == ("16.17.1", "Node.js's release notes")
    corrected = found["CVE-2022-32214"].range_of("16")
    assert corrected is not None
    assert corrected.fixed == "16.16.0"
    # No list of releases has it: it has no day, and neither has an advisory that nothing else dates.
    assert catalogue.releases[Component.NODEJS]["24.99.0"].date is None
    assert samples.FRESH_OF_NODE not in found
    releases = state_of("nodejs-releases", read_nodejs_releases([("index.json", samples.node_releases())]))
    openssl = state_of("openssl", read_openssl(_files(samples.openssl_record(samples.FRESH))))
    for order in (("nodejs", "openssl", "nodejs-releases"), ("openssl", "nodejs-releases", "nodejs")):
        states = {"nodejs": state_of("nodejs", reading), "nodejs-releases": releases, "openssl": openssl}
        joined = catalogue_with({name: states[name] for name in order})
        told = {item.id: item for item in joined.advisories if item.component is Component.NODEJS}
        assert told[samples.FRESH_OF_NODE].published == date(2026, 11, 18)
        assert samples.FRESH not in told


def test_an_older_database_of_nodejs_adds_and_changes_nothing() -> None:
    database = samples.node_database(
        samples.node_entry(("CVE-2026-21710",), "20.x", "^20.99.0", ref="https://nodejs.org/x/june-2019-security-x"),
    )
    reading = read_nodejs([("index.json", samples.encode(database))])
    assert reading.newest == date(2019, 6, 1)
    before = [item for item in load_snapshot().advisories if item.component is Component.NODEJS]
    catalogue = catalogue_with({"nodejs": state_of("nodejs", reading)})
    assert [item for item in catalogue.advisories if item.component is Component.NODEJS] == before


# --- joining ----------------------------------------------------------------------------------------------------------


def test_a_feed_that_is_older_than_the_snapshot_adds_and_changes_nothing() -> None:
    known = samples.openssl_record("CVE-2024-6119", severity="Critical", ranges=(("3.0.0", "3.0.16"),))
    lost = samples.openssl_record("CVE-2024-99001", ranges=(("3.0.0", "3.0.15"),))
    catalogue = catalogue_with({"openssl": state_of("openssl", read_openssl(_files(known, lost)))})
    before = {item.id: item for item in load_snapshot().advisories}
    after = {item.id: item for item in catalogue.advisories}
    assert after.keys() - before.keys() == {"CVE-2024-99001"}
    assert all(after[name] == item for name, item in before.items())
    assert catalogue.reaches["openssl"] == load_snapshot().reaches["openssl"]


def test_a_newer_feed_changes_what_it_states_and_keeps_what_was_written_by_hand() -> None:
    windows = samples.openssl_record("CVE-2023-4807", "2026-11-20T00:00:00Z", "High", (("3.0.0", "3.0.11"),))
    catalogue = catalogue_with({"openssl": state_of("openssl", read_openssl(_files(windows)))})
    found = next(item for item in catalogue.advisories if item.id == "CVE-2023-4807")
    assert found.windows_only
    assert found.severity == "high"


def test_the_table_that_reaches_further_names_the_fix() -> None:
    for version, day, expected in (
        ("3.0.99-1", date(2026, 11, 24), "3.0.99-1"),
        ("3.0.99-1", date(2020, 1, 1), load_snapshot().package_fixes["debian", "12", "openssl"].fixed["CVE-2022-0778"]),
    ):
        tracker = {
            "openssl": {"CVE-2022-0778": {"releases": {"bookworm": {"status": "resolved", "fixed_version": version}}}}
        }
        reading = read_debian([("json", samples.encode(tracker))], day)
        table = catalogue_with({"debian": state_of("debian", reading)}).package_fixes["debian", "12", "openssl"]
        assert table.fixed["CVE-2022-0778"] == expected
        assert table.is_complete


def test_what_only_the_older_table_tells_whole_is_whole_up_to_its_own_day() -> None:
    old = PackageFixes(
        "rhel", "9", "rpm", "glibc", {"CVE-2026-1001": "1-1", "CVE-2026-1002": "1-2"}, date(2026, 1, 1), "old"
    )
    paid = replace(old, paid=frozenset({"CVE-2026-1001", "CVE-2026-1002"}))
    new = replace(old, fixed={"CVE-2026-1002": "1-3"}, reaches=DAY, source="new", is_complete=False)
    for joined in (joined_fixes(paid, new), joined_fixes(new, paid)):
        assert joined.fixed == {"CVE-2026-1001": "1-1", "CVE-2026-1002": "1-3"}
        assert (joined.is_complete, joined.reaches, joined.source) == (True, date(2026, 1, 1), "new")
        assert joined.paid == {"CVE-2026-1001"}
    whole = joined_fixes(old, replace(new, is_complete=True))
    assert (whole.is_complete, whole.reaches) == (True, DAY)


def test_releases_that_a_record_fixes_in_are_for_paying_customers_after_a_branchs_end() -> None:
    record = samples.openssl_record(
        samples.FRESH, "2026-11-20T00:00:00Z", ranges=(("1.1.1", "1.1.1zz"), ("3.6.0", "3.6.9"))
    )
    catalogue = catalogue_with({"openssl": state_of("openssl", read_openssl(_files(record)))})
    found = next(item for item in catalogue.advisories if item.id == samples.FRESH)
    # 3.6 has ended, too, by then.
    assert found.premium_only_fixes == {"1.1.1zz", "3.6.9"}
    assert "1.1.1zz" not in catalogue.releases[Component.OPENSSL]


# --- whatever comes ---------------------------------------------------------------------------------------------------

_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from(
        ["0", "3.0.0", "CVE-2026-1234", "2026-11-25", "2026-13-45", "1:1-1", "9" * 300, "\ud800", "v3.22", "\0"]
    ),
)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=6,
)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += _paths(inner, (*path, key))
    return found


def _changed(value: Any, path: tuple[Any, ...], new: Any, *, gone: bool) -> Any:
    if not path:
        return new
    changed = deepcopy(value)
    place = changed
    for key in path[:-1]:
        place = place[key]
    if gone:
        del place[path[-1]]
    else:
        place[path[-1]] = new
    return changed


@pytest.mark.parametrize("feed", READERS)
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_change_of_a_document_is_read_or_refused_and_what_is_read_can_be_kept_and_joined(
    feed: str, data: st.DataObject
) -> None:
    read, document = READERS[feed]
    changed = document
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(_paths(changed)))
        changed = _changed(changed, path, data.draw(_VALUES), gone=data.draw(st.booleans()))
    name = "CVE-2026-99001.json" if feed == "openssl" else "PSF-2026-1.json"
    try:
        reading = read([(name, json.dumps(changed).encode())])
        check_unique(reading.rows)
    except FeedFormatError as error:
        assert str(error).strip(": ")  # noqa: PT017 - most changes are refused, and some are read
        return
    state = state_of(feed, reading)
    assert decode_state(encode_state(state), "state") == state
    try:
        catalogue_with({feed: state})
    except SnapshotError as error:
        assert error.place  # noqa: PT017 - most of what is read can be joined


@given(content=st.binary(max_size=200) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    for read, _ in READERS.values():
        with pytest.raises(FeedFormatError):
            read([("CVE-2026-1.json", content)])


@given(_VALUES)
def test_an_object_that_is_read_piece_by_piece_is_what_the_whole_is(value: Any) -> None:
    for text in (json.dumps(value), json.dumps(value, indent=3)):
        content = text.encode("utf-8", "surrogatepass")
        if isinstance(value, dict):
            assert dict(entries_of(content, "it", lambda _: True)) == value == parse_json(content, "it")
        else:
            with pytest.raises(FeedFormatError):
                dict(entries_of(content, "it", lambda _: True))


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '{"b": {"a": 1, "a": 1}}',
        '{"a": NaN}',
        '{"a": 1} {}',
        '{"a": 1,}',
        '{"a" 1}',
        "{1: 2}",
        '{"a": 1',
        "",
    ],
)
def test_json_that_is_not_strict_is_refused_in_both_ways_of_reading(text: str) -> None:
    with pytest.raises(FeedFormatError):
        parse_json(text.encode(), "it")
    with pytest.raises(FeedFormatError):
        dict(entries_of(text.encode(), "it", lambda _: True))


def test_rows_without_a_name_or_kind_are_no_facts() -> None:
    for row in ({}, {"kind": "what"}, {"kind": "fix"}, {"kind": "uv", "uv": 3}, {"kind": ["uv"]}):
        with pytest.raises(FeedFormatError):
            row_key(row)


# --- archives ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packing", ["xz", "bz2", ""])
def test_archives_are_read_file_by_file(tmp_path: Path, packing: str) -> None:
    files = {f"a/{number}.json": bytes([48 + number]) * number for number in range(9)}
    path = tmp_path / "some"
    path.write_bytes(samples.tar_of(files, packing))
    assert dict(Document(path, "some", Bounds(10**6, 10**6, 9))) == files
    with pytest.raises(FeedFormatError, match="more than 8 files"):
        dict(Document(path, "some", Bounds(10**6, 10**6, 8)))
    whole = samples.tar_of(files, packing)
    path.write_bytes(whole[: len(whole) * 2 // 3])
    if packing:
        with pytest.raises(FeedFormatError, match="cut off or damaged"):
            dict(Document(path, "some", Bounds(10**6, 10**6, 9)))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damage_to_an_archive_is_refused_or_changes_nothing_of_the_shape(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = data.draw(
        st.sampled_from([samples.openssl_archive(), samples.ubuntu_archive(), samples.tar_of({"a": b"b"}, "")])
    )
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damage") / "it"
    path.write_bytes(bytes(changed[: data.draw(st.integers(1, len(changed)))]))
    try:
        for name, inner in Document(path, "it", Bounds(10**6, 10**6, 100)):
            assert isinstance(name, str)
            assert isinstance(inner, bytes)
    except FeedFormatError as error:
        assert error.place.startswith("it")  # noqa: PT017 - some damage changes content alone


def test_zstd_is_said_to_be_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(100))
    with pytest.raises(FeedFormatError, match="zstd"):
        dict(Document(path, path.name, Bounds(10**6, 10**6, 9)))


def test_every_row_of_the_table_of_openssl_could_have_come_from_a_record() -> None:
    """The snapshot's own ranges, written as OpenSSL's records, are read back as they were."""
    rows = [row for row in read_table("openssl")["advisories"] if row["source"] == "OpenSSL's CVE record"]
    records = []
    for row in rows:
        ranges = tuple((item["introduced"], item.get("fixed")) for item in row["ranges"])
        severity = row["severity"].capitalize() if "severity" in row else None
        records.append(samples.openssl_record(row["id"], f"{row['published']}T00:00:00Z", severity, ranges))
    found = {row["id"]: row for row in read_openssl(_files(*records)).rows}
    for row in rows:
        told = [(item["branch"], item["introduced"], item.get("fixed")) for item in row["ranges"]]
        assert [(item["branch"], item["introduced"], item.get("fixed")) for item in found[row["id"]]["ranges"]] == told
        assert found[row["id"]].get("severity") == row.get("severity")
