"""Feeds from a source in their real formats: what is taken, what is refused, and that the last good state stays."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pytest

from libcensus.collector.advisories import update as update_module
from libcensus.collector.advisories.feeds.registry import BY_NAME, FEEDS, NAMES, Bounds
from libcensus.collector.advisories.fetch import Fetcher, Patience
from libcensus.collector.advisories.published import CatalogueSource, load_catalogue
from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.advisories.state import StateFolder
from libcensus.collector.advisories.update import LEAST_SHARE, Outcome, Result, Updater, exit_code_of, recognise
from libcensus.collector.errors import ConfigurationError, FeedError, FeedIdentityError, FeedUnreachableError
from libcensus.collector.posture.finding import Component, Severity
from tests.collector.advisories import feed_samples as samples
from tests.collector.advisories.feed_server import FeedServer, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENTS = {
    "/openssl.zip": samples.openssl_archive(),
    "/psf.zip": samples.psf_archive(),
    "/psf/PSF-2026-1": samples.encode(samples.psf_record(versions=("v3.13.0", "v3.13.16", "v3.14.9"))),
    "/node/index.json": samples.encode(samples.node_database()),
    "/node/dist/index.json": samples.node_releases(),
    "/debian.json": samples.debian_tracker(),
    "/ubuntu.tar.xz": samples.ubuntu_archive(),
    "/almalinux.zip": samples.almalinux_archive(),
    "/rocky.zip": samples.rocky_archive(),
    "/alpine/v3.22/main.json": samples.alpine_database(),
    "/alpine/v3.21/main.json": samples.alpine_database("v3.21", "3.3.9-r9"),
    "/redhat/changes.csv": samples.redhat_changes("CVE-2024-6119", "CVE-2025-15467", "CVE-2026-84782"),
    "/redhat/2026/cve-2024-6119.json": samples.redhat_vex(),
    "/redhat/2026/cve-2024-6119.json.sha256": samples.checksum_of(samples.redhat_vex()),
    "/redhat/2026/cve-2025-15467.json": samples.redhat_vex("CVE-2025-15467"),
    "/redhat/2026/cve-2025-15467.json.sha256": samples.checksum_of(samples.redhat_vex("CVE-2025-15467")),
    "/endoflife": samples.endoflife_answer(),
    "/pbs.json": samples.pbs_releases(),
    f"/pbs/{samples.PBS_TAG}/downloads.py": samples.pbs_source(),
    "/uv.json": samples.uv_releases(),
    f"/uv/{samples.UV}/metadata.json": samples.uv_metadata(),
}
PATHS: dict[str, tuple[str, ...]] = {
    "openssl": ("/openssl.zip",),
    "psf": ("/psf.zip",),
    "psf-each": ("/psf/{part}",),
    "nodejs": ("/node/index.json",),
    "nodejs-releases": ("/node/dist/index.json",),
    "debian": ("/debian.json",),
    "ubuntu": ("/ubuntu.tar.xz",),
    "almalinux": ("/almalinux.zip",),
    "rocky": ("/rocky.zip",),
    "alpine": ("/alpine/v3.21/main.json", "/alpine/v3.22/main.json"),
    "redhat": ("/redhat/changes.csv",),
    "redhat-each": ("/redhat/{part}",),
    "endoflife": ("/endoflife",),
    "pbs": ("/pbs.json",),
    "pbs-each": ("/pbs/{part}/downloads.py",),
    "uv": ("/uv.json",),
    "uv-each": ("/uv/{part}/metadata.json",),
}


class Source:
    """A server with every feed, and the folder that is updated from it."""

    def __init__(self, server: FeedServer, context: ssl.SSLContext, folder: Path) -> None:
        self.server = server
        self.context = context
        self.folder = StateFolder(folder)
        for path, content in CONTENTS.items():
            server.put(path, content, headers={"Last-Modified": "Tue, 24 Nov 2026 08:00:00 GMT"})

    def updater(self, **changes: Any) -> Updater:
        addresses = {name: tuple(self.server.url + path for path in paths) for name, paths in PATHS.items()}
        patience = changes.pop("patience", Patience(5, 20))
        return Updater(self.folder, addresses, Fetcher(patience, self.context), **changes)

    def update(self, *names: str, **changes: Any) -> dict[str, Outcome]:
        return {one.feed: one for one in self.updater(**changes).update(names or NAMES)}


@pytest.fixture(scope="module")
def listening() -> Iterator[tuple[FeedServer, ssl.SSLContext]]:
    with serving() as (server, context):
        yield server, context


@pytest.fixture
def source(listening: tuple[FeedServer, ssl.SSLContext], tmp_path: Path) -> Source:
    server, context = listening
    server.answers.clear()
    server.asked.clear()
    return Source(server, context, tmp_path / "advisories")


@pytest.fixture(scope="module")
def good(listening: tuple[FeedServer, ssl.SSLContext], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every feed was taken once."""
    folder = tmp_path_factory.mktemp("good")
    server, context = listening
    outcomes = Source(server, context, folder).update()
    assert {name: outcome.error for name, outcome in outcomes.items() if outcome.error} == {}
    return folder


@pytest.fixture
def updated(source: Source, good: Path) -> Source:
    """A source whose every feed was taken already."""
    shutil.copytree(good, source.folder.folder)
    return source


def test_every_feed_is_taken_from_its_real_format_and_decides(good: Path) -> None:
    stored = StateFolder(good).load()
    assert tuple(stored.states) == NAMES
    assert stored.damaged == {}
    catalogue, before = load_catalogue(good), load_snapshot()
    found = {item.id: item for item in catalogue.advisories}
    fresh = found[samples.FRESH]
    assert (fresh.component, fresh.severity, fresh.published) == (Component.OPENSSL, Severity.HIGH, date(2026, 11, 20))
    assert [(item.branch, item.fixed) for item in fresh.ranges] == [("3.5", "3.5.12"), ("1.1.1", "1.1.1zz")]
    assert fresh.premium_only_fixes == {"1.1.1zz"}
    assert catalogue.releases[Component.OPENSSL]["3.5.12"].date == date(2026, 11, 20)
    assert catalogue.releases[Component.OPENSSL]["3.5.12"].date_inferred
    fixes = {
        key: table.fixed[samples.FRESH]
        for key, table in catalogue.package_fixes.items()
        if samples.FRESH in table.fixed
    }
    assert fixes == {
        ("debian", "11", "openssl"): "0",
        ("debian", "12", "openssl"): "3.0.22-1~deb12u9",
        ("ubuntu", "20.04", "openssl"): "1.1.1f-1ubuntu2.24+esm9",
        ("ubuntu", "24.04", "openssl"): "3.0.13-0ubuntu3.99",
        ("almalinux", "9", "openssl"): "1:3.5.5-9.el9_8",
        ("rocky", "9", "openssl"): "1:3.5.5-9.el9_8",
        ("alpine", "3.21", "openssl"): "3.3.9-r9",
        ("alpine", "3.22", "openssl"): "3.5.9-r9",
    }
    assert samples.FRESH in catalogue.package_fixes["ubuntu", "20.04", "openssl"].paid
    assert catalogue.package_fixes["ubuntu", "22.04", "openssl"].fixed["CVE-2026-99004"] == "0"
    assert catalogue.package_fixes["rhel", "9", "openssl"].fixed["CVE-2024-6119"] == "1:3.5.5-9.el9_8"
    assert catalogue.package_fixes["rhel", "8", "openssl"].fixed["CVE-2024-6119"] == "0"
    assert catalogue.package_fixes["rhel", "8", "openssl"].fixed["CVE-2025-15467"] == "0"
    # Of errata alone silence says nothing, except where all that matters is known to be told.
    complete = {key for key, table in catalogue.package_fixes.items() if table.is_complete}
    assert {("almalinux", "9", "openssl"), ("debian", "12", "openssl"), ("ubuntu", "24.04", "openssl")} <= complete
    assert ("almalinux", "9", "glibc") not in complete
    assert catalogue.package_fixes["almalinux", "9", "python3.9"].fixed == {"CVE-2026-99003": "3.9.25-9.el9_8"}
    assert catalogue.package_fixes["almalinux", "9", "glibc"].manager == "rpm"
    python = found["CVE-2026-99003"]
    assert (python.component, python.published, python.aliases) == (
        Component.CPYTHON,
        date(2026, 11, 21),
        ("PSF-2026-1",),
    )
    assert [(item.branch, item.fixed, item.fixed_inferred) for item in python.ranges] == [
        ("3.13", "3.13.17", True),
        ("3.14", "3.14.10", True),
    ]
    node = found[samples.FRESH_OF_NODE]
    assert (node.component, node.severity, node.published) == (Component.NODEJS, Severity.HIGH, date(2026, 11, 18))
    assert node.published_inferred
    assert [(item.branch, item.introduced, item.fixed, item.introduced_assumed) for item in node.ranges] == [
        ("22", "22.0.0", "22.99.1", True),
        ("24", "24.0.0", "24.99.0", True),
    ]
    assert node.assessed is not None
    assert {"22", "24"} <= node.assessed
    assert catalogue.releases[Component.NODEJS]["24.99.0"].date == date(2026, 11, 19)
    assert catalogue.releases[Component.NODEJS]["0.10.48"].date == date(2016, 10, 18)
    assert catalogue.reaches["nodejs"] == date(2026, 11, 1)
    assert found["CVE-2024-6119"].component is Component.OPENSSL
    build = catalogue.pbs_builds[-1]
    assert (build.tag, build.openssl, build.cpython["3.14"]) == (samples.PBS_TAG, "3.5.12", "3.14.11")
    assert catalogue.uv_newest_pbs[samples.UV] == samples.PBS_TAG
    assert catalogue.uv_dates[samples.UV] == date(2026, 11, 21)
    assert catalogue.branches[Component.CPYTHON]["3.15"].eol == date(2031, 10, 31)
    ubuntu = catalogue.distributions["ubuntu"]["24.04"]
    assert (ubuntu.eol, ubuntu.extended, ubuntu.extended_is_free) == (date(2029, 6, 30), date(2036, 6, 30), False)
    assert catalogue.branches[Component.NODEJS]["26"].ended is True or catalogue.branches[Component.NODEJS]["26"].eol
    assert catalogue.snapshot_date == date(2026, 11, 24)
    assert (catalogue.reaches["debian"], catalogue.reaches["uv"]) == (date(2026, 11, 24), date(2026, 11, 21))
    # What the feeds do not tell of stays as it was.
    assert found.keys() >= {item.id for item in before.advisories}
    assert before.package_fixes.keys() <= catalogue.package_fixes.keys()
    assert catalogue.quirks == before.quirks


def test_what_did_not_change_is_asked_with_a_condition_and_answered_with_304(updated: Source) -> None:
    before = updated.folder.load().states
    catalogue = load_catalogue(updated.folder.folder)
    outcomes = updated.update(now=lambda: datetime(2027, 1, 1, tzinfo=UTC))
    assert {outcome.result for outcome in outcomes.values()} == {Result.UNCHANGED}
    statuses = {path: status for path, status in updated.server.asked if not path.startswith("/redhat/2026")}
    assert set(statuses.values()) == {304}
    # A document of one release is never asked for again.
    assert not [path for path in statuses if path.startswith(("/pbs/", "/psf/", "/uv/"))]
    after = updated.folder.load().states
    assert {name: state.checked_at.year for name, state in after.items()} == dict.fromkeys(NAMES, 2027)
    assert {name: state.checksum for name, state in after.items()} == {n: s.checksum for n, s in before.items()}
    assert load_catalogue(updated.folder.folder) == catalogue


def _damaged(path: str, damage: str) -> bytes:
    content = CONTENTS[path]
    if damage == "truncated":
        return content[: len(content) * 2 // 3]
    if damage == "a page of a proxy":
        return b"<!DOCTYPE html><html><title>Sign in</title></html>"
    if damage == "noise":
        return bytes(range(256)) * 8
    return {"an empty object": b"{}", "an empty list": b"[]", "spaces": b"  \n", "deep": b"[" * 200_000}[damage]


@pytest.mark.parametrize(
    "damage", ["truncated", "a page of a proxy", "noise", "an empty object", "an empty list", "spaces", "deep"]
)
def test_a_broken_feed_never_replaces_a_good_one(updated: Source, damage: str) -> None:
    before = updated.folder.load().states
    for name in NAMES:
        for path in PATHS[name]:
            updated.server.put(path, _damaged(path, damage), headers={"Last-Modified": "Wed, 25 Nov 2026 08:00:00 GMT"})
    outcomes = updated.update()
    for name, outcome in outcomes.items():
        assert outcome.result is Result.FAILED, (name, damage)
        text = str(outcome.error)
        assert text.startswith(f"{name}: ")
        assert "last good state stays" in text or "try again" in text
    assert exit_code_of(list(outcomes.values())) == 1
    assert updated.folder.load().states == before
    assert not list(updated.folder.folder.glob(".*.part"))


def test_others_are_updated_beside_a_broken_one(source: Source) -> None:
    source.server.put("/debian.json", b"{")
    outcomes = source.update("openssl", "debian", "alpine")
    assert [one.result for one in outcomes.values()] == [Result.UPDATED, Result.FAILED, Result.UPDATED]
    assert exit_code_of(list(outcomes.values())) == 6
    assert "debian: json" not in str(outcomes["debian"].error)
    assert str(outcomes["debian"].error).startswith("debian: debian.json: is no JSON: ")
    assert set(source.folder.load().states) == {"openssl", "alpine"}


def test_a_thousand_times_larger_is_refused_before_it_is_read(updated: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    before = updated.folder.load().states
    small = {name: replace(BY_NAME[name], bounds=Bounds(4000, 8000, 5)) for name in ("debian", "openssl", "ubuntu")}
    monkeypatch.setattr(update_module, "BY_NAME", {**BY_NAME, **small})
    many = {f"osv/cve/2026/{number}.json": b'{"openssl": 1}' for number in range(9)}
    updated.server.put("/debian.json", CONTENTS["/debian.json"] * 1000)
    updated.server.put("/openssl.zip", samples.zip_of({"CVE-2026-1000.json": b" " * 1_000_000}))
    updated.server.put("/ubuntu.tar.xz", samples.tar_of({"osv/cve/2026/a.json": b"\0" * 10_000_000}))
    outcomes = updated.update("debian", "openssl", "ubuntu")
    assert "larger than" in str(outcomes["debian"].error)
    assert "unpacks to more than" in str(outcomes["openssl"].error)
    assert "unpacks to more than" in str(outcomes["ubuntu"].error)
    # Unpacked by the connection, and in number.
    updated.server.put("/debian.json", b'"' + b" " * 1_000_000 + b'"', zipped=True)
    updated.server.put("/openssl.zip", samples.zip_of(many))
    outcomes = updated.update("debian", "openssl")
    assert "unpacks to far more" in str(outcomes["debian"].error)
    assert "more than 5 files" in str(outcomes["openssl"].error)
    assert updated.folder.load().states == before


def _older(name: str) -> tuple[str, bytes]:
    return {
        "openssl": (
            "/openssl.zip",
            samples.openssl_archive(samples.openssl_record(), samples.openssl_record("CVE-2026-1001")),
        ),
        "psf": (
            "/psf.zip",
            samples.psf_archive(
                samples.psf_record(day="2025-01-01"),
                samples.psf_record("PSF-2022-1", "CVE-2015-20107", day="2022-01-01"),
            ),
        ),
        "endoflife": ("/endoflife", samples.endoflife_answer().replace(b"2026-11-24", b"2026-11-16")),
    }[name]


@pytest.mark.parametrize("name", ["openssl", "psf", "endoflife"])
@pytest.mark.parametrize("clock", [datetime(1970, 1, 1, tzinfo=UTC), datetime(2199, 1, 1, tzinfo=UTC)])
def test_an_older_feed_never_replaces_a_newer_one_whatever_the_clock_says(
    updated: Source, name: str, clock: datetime
) -> None:
    before = updated.folder.load().states
    updated.server.put(*_older(name))
    outcome = updated.update(name, now=lambda: clock)[name]
    assert outcome.result is Result.FAILED
    assert "is older than the present state" in str(outcome.error)
    assert updated.folder.load().states == before
    assert updated.update(name, force=True, now=lambda: clock)[name].result is Result.UPDATED
    assert updated.folder.load().states[name].newest < before[name].newest


def test_a_shrunken_feed_never_replaces_a_larger_one(source: Source) -> None:
    def archive(number: int) -> bytes:
        return samples.openssl_archive(*[samples.openssl_record(f"CVE-2026-{99100 + one}") for one in range(number)])

    source.server.put("/openssl.zip", archive(10))
    assert source.update("openssl")["openssl"].result is Result.UPDATED
    fewest = int(10 * LEAST_SHARE)
    source.server.put("/openssl.zip", archive(fewest - 1))
    outcome = source.update("openssl")["openssl"]
    assert f"has shrunken from 10 facts to {fewest - 1}, below 80%" in str(outcome.error)
    source.server.put("/openssl.zip", archive(fewest))
    assert source.update("openssl")["openssl"].result is Result.UPDATED


@pytest.mark.parametrize(
    ("name", "path", "content", "place"),
    [
        (
            "openssl",
            "/openssl.zip",
            samples.zip_of(
                {
                    "a/CVE-2024-6119.json": samples.encode(samples.openssl_record()),
                    "b/CVE-2024-6119.json": samples.encode(samples.openssl_record()),
                }
            ),
            "CVE-2024-6119: is there twice",
        ),
        (
            "psf",
            "/psf.zip",
            samples.zip_of({name: samples.encode(samples.psf_record()) for name in ("a.json", "b.json")}),
            "PSF-2026-1: is there twice",
        ),
        (
            "almalinux",
            "/almalinux.zip",
            samples.zip_of({name: samples.encode(samples.erratum()) for name in ("a.json", "b.json")}),
            "ALSA-2026:99001: is there twice",
        ),
        (
            "ubuntu",
            "/ubuntu.tar.xz",
            samples.tar_of({name: samples.encode(samples.ubuntu_record()) for name in ("a.json", "b.json")}),
            "UBUNTU-CVE-2026-99001: is there twice",
        ),
        ("debian", "/debian.json", b'{"openssl": {}, "openssl": {}}', "the key 'openssl' is there twice"),
        (
            "endoflife",
            "/endoflife",
            samples.endoflife_answer().replace(b'"26.10"', b'"24.04"'),
            "ubuntu 24.04: is there twice",
        ),
        (
            "pbs",
            "/pbs.json",
            samples.github_releases(
                "astral-sh/python-build-standalone",
                *[("20261121", "2026-11-21", ("cpython-3.14.11+20261121-x.tar.gz",))] * 2,
            ),
            "20261121: is there twice",
        ),
        (
            "uv",
            "/uv.json",
            samples.github_releases("astral-sh/uv", *[("0.14.0", "2026-11-21", ())] * 2),
            "0.14.0: is there twice",
        ),
        ("redhat", "/redhat/changes.csv", samples.redhat_changes("CVE-2024-6119", "CVE-2024-6119"), "is there twice"),
        ("alpine", "/alpine/v3.21/main.json", samples.alpine_database("v3.22"), "alpine 3.22 openssl"),
        (
            "alpine",
            "/alpine/v3.22/main.json",
            samples.alpine_database().replace(b"busybox", b"openssl"),
            "openssl: is there twice",
        ),
    ],
)
def test_ids_that_are_there_twice_refuse_a_feed(
    updated: Source, name: str, path: str, content: bytes, place: str
) -> None:
    before = updated.folder.load().states
    updated.server.put(path, content)
    outcome = updated.update(name)[name]
    assert outcome.result is Result.FAILED
    assert place in str(outcome.error)
    assert updated.folder.load().states == before


def test_what_cannot_be_true_of_the_catalogue_is_refused_with_its_place(updated: Source) -> None:
    record = samples.openssl_record("CVE-2026-99005", ranges=(("3.5.9", "3.5.1"),))
    updated.server.put("/openssl.zip", samples.openssl_archive(record))
    outcome = updated.update("openssl")["openssl"]
    assert "CVE-2026-99005: introduced 3.5.9 does not lie before fixed 3.5.1" in str(outcome.error)
    updated.server.put("/debian.json", samples.debian_tracker().replace(b"3.0.22-1~deb12u9", b"not a version"))
    assert "is no version of dpkg" in str(updated.update("debian")["debian"].error)


# --- checksums beside documents -------------------------------------------------------------------------------------

VEX = "/redhat/2026/cve-2024-6119.json"
CHECKSUM = f"{VEX}.sha256"


def _changed_vex(source: Source) -> str:
    """Publish another version of a VEX document, whose checksum is not there yet; gives its digest."""
    document = samples.redhat_vex().replace(b"2026-11-22T10", b"2026-11-23T10")
    changes = CONTENTS["/redhat/changes.csv"].replace(b'6119.json","2026-11-22', b'6119.json","2026-11-23')
    assert document != CONTENTS[VEX]
    assert changes != CONTENTS["/redhat/changes.csv"]
    source.server.put(VEX, document)
    source.server.put("/redhat/changes.csv", changes)
    source.server.put(CHECKSUM, samples.checksum_of(document))
    source.server.asked.clear()
    return hashlib.sha256(document).hexdigest()


def test_each_document_is_compared_with_the_checksum_beside_it(updated: Source) -> None:
    state = updated.folder.load().states["redhat"]
    told = {one.source.removeprefix(updated.server.url): one.checksum_from for one in state.documents}
    assert told == {
        # The list of changes has none.
        "/redhat/changes.csv": None,
        VEX: updated.server.url + CHECKSUM,
        "/redhat/2026/cve-2025-15467.json": f"{updated.server.url}/redhat/2026/cve-2025-15467.json.sha256",
    }
    digest = _changed_vex(updated)
    outcome = updated.update("redhat")["redhat"]
    assert outcome.error is None
    # Only of what is fetched, and once.
    asked = [path for path, status in updated.server.asked if status == 200]
    assert asked == ["/redhat/changes.csv", VEX, CHECKSUM]
    assert outcome.state is not None
    assert digest in {one.sha256 for one in outcome.state.documents}
    assert not list(updated.folder.folder.glob(".*.part"))


def test_no_other_feed_is_asked_for_a_checksum(source: Source) -> None:
    assert [feed.name for feed in FEEDS if feed.each_checksum is not None] == ["redhat"]
    source.update()
    assert {path for path, _ in source.server.asked if path.endswith(".sha256")} == {
        path for path in CONTENTS if path.endswith(".sha256")
    }


_WRONG = hashlib.sha256(b"another").hexdigest()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(
            {"content": f"{_WRONG}  cve-2024-6119.json\n".encode()},
            f"{{vex}}: has the SHA-256 {{found}}, where {{vex}}.sha256 states {_WRONG}; the last good state stays; "
            "try again later, or import a file",
            id="wrong",
        ),
        pytest.param(
            {"content": b"<!DOCTYPE html><html><title>Sign in</title></html>"},
            "{vex}.sha256: is no checksum: one line that begins with 64 hexadecimal digits is expected, not "
            "'<!DOCTYPE html><html><title>Sign in</tit'; the last good state stays; try again later, or import a file",
            id="malformed",
        ),
        pytest.param(
            {"content": b"not here", "status": 404},
            "{vex}.sha256: is not there, and {vex} is not taken without its checksum; a mirror must hold both; the "
            "last good state stays; try again later, or import a file",
            id="missing",
        ),
        pytest.param(
            {"content": b"0" * 10_000_000},
            "{vex}.sha256 is larger than 4096 bytes, several times what this feed ever had; the last good state stays; "
            "look at the address",
            id="huge",
        ),
        pytest.param(
            {"content": b"0" * 10_000_000, "zipped": True},
            "{vex}.sha256 is larger than 4096 bytes, several times what this feed ever had; the last good state stays; "
            "look at the address",
            id="huge when unpacked",
        ),
        pytest.param(
            {"content": b"0" * 1_000_000, "zipped": True},
            "{vex}.sha256 unpacks to far more than this feed ever had; the last good state stays",
            id="small, and huge when unpacked",
        ),
        pytest.param({"content": b""}, "{vex}.sha256 sent nothing; the last good state stays", id="empty"),
        pytest.param(
            {"content": b"no", "status": 500}, "{vex}.sha256 answers HTTP 500: Internal Server Error", id="failing"
        ),
        pytest.param(
            {"content": samples.checksum_of(b""), "sent": 30}, "{vex}.sha256 broke off", id="cut off on the way"
        ),
    ],
)
def test_what_its_checksum_does_not_vouch_for_never_replaces_a_good_state(
    updated: Source, answer: dict[str, Any], words: str
) -> None:
    before = updated.folder.load().states
    found = _changed_vex(updated)
    updated.server.put(CHECKSUM, **answer)
    outcome = updated.update("redhat")["redhat"]
    assert outcome.result is Result.FAILED
    text = str(outcome.error)
    assert text.startswith("redhat: ")
    assert words.format(vex=updated.server.url + VEX, found=found) in text
    assert exit_code_of([outcome]) == (4 if "HTTP 500" in words or "broke off" in words else 1)
    assert updated.folder.load().states == before
    assert not list(updated.folder.folder.glob(".*.part"))
    assert updated.update("redhat", force=True)["redhat"].result is Result.FAILED, "--force lets nothing of it through"
    # Set right at the source, it is taken.
    _changed_vex(updated)
    assert updated.update("redhat")["redhat"].error is None


def test_a_source_without_any_checksum_is_refused(source: Source) -> None:
    for path in CONTENTS:
        if path.endswith(".sha256"):
            del source.server.answers[path]
    outcome = source.update("redhat")["redhat"]
    assert outcome.state is None
    assert "a mirror must hold both" in str(outcome.error)
    assert exit_code_of([outcome]) == 1


def test_a_document_that_is_replaced_while_it_is_fetched_is_asked_for_once_more(
    updated: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = _changed_vex(updated)
    fresh, fetch = updated.server.answers.pop(VEX).content, Fetcher.fetch
    updated.server.put(VEX, CONTENTS[VEX])

    def replaced(self: Fetcher, url: str, *arguments: Any, **named: Any) -> Any:
        fetched = fetch(self, url, *arguments, **named)
        if url.endswith(VEX):
            updated.server.put(VEX, fresh)
        return fetched

    monkeypatch.setattr(Fetcher, "fetch", replaced)
    outcome = updated.update("redhat")["redhat"]
    assert [path for path, _ in updated.server.asked if path.startswith(VEX)] == [VEX, CHECKSUM, VEX, CHECKSUM]
    assert outcome.error is None
    assert outcome.state is not None
    assert digest in {one.sha256 for one in outcome.state.documents}


def test_a_document_that_is_withdrawn_while_it_is_fetched_is_left_out(
    updated: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    _changed_vex(updated)
    fetch = Fetcher.fetch

    def withdrawn(self: Fetcher, url: str, *arguments: Any, **named: Any) -> Any:
        fetched = fetch(self, url, *arguments, **named)
        if url.endswith(VEX):
            del updated.server.answers[VEX], updated.server.answers[CHECKSUM]
        return fetched

    monkeypatch.setattr(Fetcher, "fetch", withdrawn)
    outcome = updated.update("redhat", force=True)["redhat"]
    assert outcome.error is None
    assert outcome.state is not None
    assert not [one for one in outcome.state.documents if one.source.endswith(VEX)]


def test_a_document_that_was_taken_without_a_checksum_is_fetched_anew(updated: Source) -> None:
    state = updated.folder.load().states["redhat"]
    unchecked = tuple(replace(one, checksum_from=None) for one in state.documents)
    updated.folder.save(replace(state, documents=unchecked))
    updated.server.asked.clear()
    assert updated.update("redhat")["redhat"].error is None
    assert (CHECKSUM, 200) in updated.server.asked
    assert updated.folder.load().states["redhat"].documents == state.documents


def test_a_mirror_has_the_checksum_where_it_has_the_document(source: Source) -> None:
    changes = source.server.put("/mirror/changes.csv", samples.redhat_changes("CVE-2024-6119"))
    source.server.put("/mirror/2026/cve-2024-6119.json?token=1", CONTENTS[VEX])
    source.server.put("/mirror/2026/cve-2024-6119.json.sha256?token=1", CONTENTS[CHECKSUM])
    addresses = {"redhat": (changes,), "redhat-each": (f"{source.server.url}/mirror/{{part}}?token=1",)}
    updater = Updater(source.folder, addresses, Fetcher(Patience(5, 20), source.context))
    assert [outcome.error for outcome in updater.update(["redhat"])] == [None]


def _vex_on_disk(folder: Path, checksum: bytes | None) -> Path:
    document = folder / "cve-2024-6119.json"
    document.write_bytes(CONTENTS[VEX])
    if checksum is not None:
        document.with_name(f"{document.name}.sha256").write_bytes(checksum)
    return document


@pytest.mark.parametrize(
    ("checksum", "told"), [(None, None), (CONTENTS[CHECKSUM], "cve-2024-6119.json.sha256")], ids=["without", "with"]
)
def test_a_file_is_imported_with_its_checksum_or_without(
    tmp_path: Path, checksum: bytes | None, told: str | None
) -> None:
    document = _vex_on_disk(tmp_path, checksum)
    folder = StateFolder(tmp_path / "state")
    # A shell names both where it is asked for everything in a folder.
    outcomes = Updater(folder, {}).load(sorted(tmp_path.glob("cve-*")), None, None)
    assert [(outcome.feed, outcome.result) for outcome in outcomes] == [("redhat", Result.UPDATED)]
    stored = folder.load().states["redhat"].documents
    assert [(one.source, one.checksum_from) for one in stored] == [(f"file {document.name}", told)]


@pytest.mark.parametrize(
    ("checksum", "words"),
    [
        pytest.param(
            samples.checksum_of(b"another"),
            f"redhat: cve-2024-6119.json: cve-2024-6119.json: has the SHA-256 "
            f"{hashlib.sha256(CONTENTS[VEX]).hexdigest()}, where cve-2024-6119.json.sha256 states "
            f"{hashlib.sha256(b'another').hexdigest()}; the last good state stays; fetch the file anew",
            id="wrong",
        ),
        pytest.param(b"", "cve-2024-6119.json.sha256: is no checksum", id="empty"),
        pytest.param(b"0" * 5000, "cve-2024-6119.json.sha256: is no checksum: it is larger than 4096", id="huge"),
    ],
)
def test_a_file_that_its_checksum_does_not_vouch_for_is_not_imported(
    updated: Source, tmp_path: Path, checksum: bytes, words: str
) -> None:
    before = updated.folder.load().states
    outcome = updated.updater(force=True).load([_vex_on_disk(tmp_path, checksum)], None, None)[0]
    assert words in str(outcome.error)
    assert updated.folder.load().states == before


def test_archives_and_states_are_compared_too(updated: Source, tmp_path: Path) -> None:
    archive, state = tmp_path / "osv-all.tar.xz", tmp_path / "rocky.json"
    archive.write_bytes(CONTENTS["/ubuntu.tar.xz"])
    state.write_bytes(updated.folder.path_of("rocky").read_bytes())
    for path, content in ((archive, b"another"), (state, b"another")):
        path.with_name(f"{path.name}.sha256").write_bytes(samples.checksum_of(content, path.name))
    outcomes = updated.updater().load([archive, state], None, None)
    for path, outcome in zip((archive, state), outcomes, strict=True):
        assert f"{path.name}: has the SHA-256" in str(outcome.error)
    assert {outcome.result for outcome in outcomes} == {Result.FAILED}
    for path in (archive, state):
        path.with_name(f"{path.name}.sha256").write_bytes(samples.checksum_of(path.read_bytes(), path.name))
    outcomes = updated.updater().load([archive, state], None, None)
    assert [outcome.error for outcome in outcomes] == [None, None]


def test_a_checksum_alone_is_nothing_to_import(tmp_path: Path) -> None:
    document = _vex_on_disk(tmp_path, CONTENTS[CHECKSUM])
    beside = document.with_name(f"{document.name}.sha256")
    outcome = Updater(StateFolder(tmp_path / "state"), {}).load([beside], None, None)[0]
    assert outcome.result is Result.FAILED
    assert f"{beside}: is a checksum, and cve-2024-6119.json is not among the files; name that one" in str(
        outcome.error
    )


# --- the network ------------------------------------------------------------------------------------------------------


def test_what_breaks_off_or_does_not_match_its_checksum_is_no_document(source: Source) -> None:
    content = CONTENTS["/debian.json"]
    right = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
    wrong = base64.b64encode(hashlib.md5(b"other", usedforsecurity=False).digest()).decode()
    source.server.put("/debian.json", content, sent=len(content) // 2)
    outcome = source.update("debian")["debian"]
    assert isinstance(outcome.error, FeedUnreachableError)
    assert "broke off" in str(outcome.error)
    source.server.put("/debian.json", content, headers={"x-goog-hash": f"crc32c=AAAA, md5={wrong}"})
    assert "not the checksum" in str(source.update("debian")["debian"].error)
    source.server.put("/debian.json", content, headers={"x-goog-hash": f"crc32c=AAAA, md5={right}"})
    assert source.update("debian")["debian"].result is Result.UPDATED


def test_an_answer_may_be_packed_on_the_way(source: Source) -> None:
    source.server.put("/debian.json", CONTENTS["/debian.json"], zipped=True)
    state = source.update("debian")["debian"].state
    assert state is not None
    assert state.documents[0].sha256 == hashlib.sha256(CONTENTS["/debian.json"]).hexdigest()


def test_redirects_stay_with_https(source: Source) -> None:
    source.server.put("/elsewhere", CONTENTS["/debian.json"])
    source.server.put("/debian.json", b"", status=302, headers={"Location": f"{source.server.url}/elsewhere"})
    assert source.update("debian")["debian"].result is Result.UPDATED
    source.server.put("/debian.json", b"", status=302, headers={"Location": "http://localhost:1/elsewhere"})
    outcome = source.update("debian")["debian"]
    assert "is not HTTPS" in str(outcome.error)
    source.server.put("/debian.json", b"", status=302, headers={"Location": f"{source.server.url}/debian.json"})
    assert source.update("debian")["debian"].result is Result.FAILED


@pytest.mark.parametrize(
    ("status", "words"),
    [(404, "--advisory-urls"), (403, "try again in an hour"), (500, "HTTP 500"), (204, "sent nothing")],
)
def test_a_source_that_refuses_is_told_with_a_remedy(updated: Source, status: int, words: str) -> None:
    before = updated.folder.load().states
    updated.server.put("/debian.json", b"" if status == 204 else b"no", status=status, etag=False)
    outcome = updated.update("debian")["debian"]
    assert words in str(outcome.error)
    assert outcome.error is not None
    assert outcome.error.exit_code == (1 if status == 204 else 4)
    assert updated.folder.load().states == before


def test_a_source_without_a_trusted_certificate_is_refused(source: Source) -> None:
    addresses = {"debian": (f"{source.server.url}/debian.json",)}
    outcomes = Updater(source.folder, addresses, Fetcher(Patience(5, 20))).update(["debian"])
    assert isinstance(outcomes[0].error, FeedIdentityError)
    assert "does not prove who it is" in str(outcomes[0].error)
    assert exit_code_of(outcomes) == 5


def test_an_unreachable_source_is_told(source: Source) -> None:
    addresses = {"debian": ("https://localhost:1/json",), "uv": ("http://localhost:1/json",)}
    updater = Updater(source.folder, addresses, Fetcher(Patience(5, 20)))
    outcomes = updater.update(["debian"])
    assert exit_code_of(outcomes) == 4
    assert "cannot be reached" in str(outcomes[0].error)
    assert "only HTTPS" in str(updater.update(["uv"])[0].error)


def test_a_source_that_stalls_is_left(source: Source) -> None:
    released = threading.Event()
    source.server.put("/debian.json", CONTENTS["/debian.json"], sent=10, pause=released)
    started = time.monotonic()
    outcome = source.update("debian", patience=Patience(0.3, 5))["debian"]
    released.set()
    assert time.monotonic() - started < 4
    assert "does not answer in time" in str(outcome.error)


# --- files ------------------------------------------------------------------------------------------------------------


def _written(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for name in NAMES:
        paths = PATHS[name] if name != "redhat" else ("/redhat/2026/cve-2024-6119.json",)
        for path in paths:
            file = folder / path.strip("/").replace("/", "-")
            file.write_bytes(CONTENTS[path])
            os.utime(file, (1795550400, 1795550400))
            found.setdefault(name, []).append(file)
    return found


def test_files_are_recognised_and_imported_without_a_network(tmp_path: Path) -> None:
    files = _written(tmp_path)
    for name, paths in files.items():
        assert {recognise(path) for path in paths} == {name}
    folder = StateFolder(tmp_path / "state")
    everything = [path for paths in files.values() for path in paths]
    outcomes = Updater(folder, {}).load(everything, None, None)
    assert {outcome.feed: outcome.result for outcome in outcomes} == dict.fromkeys(NAMES, Result.UPDATED)
    catalogue = load_catalogue(folder.folder)
    assert any(item.id == samples.FRESH for item in catalogue.advisories)
    assert catalogue.package_fixes["rhel", "8", "openssl"].fixed["CVE-2024-6119"] == "0"


def test_the_states_of_another_collector_are_imported_as_they_are(good: Path, tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    files = sorted(good.glob("*.json"))
    outcomes = Updater(folder, {}).load(files, None, None)
    assert {outcome.result for outcome in outcomes} == {Result.UPDATED}
    brought, there = folder.load().states, StateFolder(good).load().states
    assert {name: state.documents for name, state in brought.items()} == {n: s.documents for n, s in there.items()}
    assert load_catalogue(folder.folder) == load_catalogue(good)
    bent = tmp_path / "bent.json"
    bent.write_bytes(files[0].read_bytes().replace(b"CVE-2026-99003", b"CVE-2026-99033"))
    outcomes = Updater(folder, {}).load([bent, files[1]], None, None)
    assert [outcome.result for outcome in outcomes] == [Result.FAILED, Result.UNCHANGED]
    assert "checksum is not that of its content; copy it again" in str(outcomes[0].error)
    assert exit_code_of(outcomes) == 6


def test_a_file_of_nothing_known_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "some.json"
    file.write_text('{"some": "thing"}')
    folder = StateFolder(tmp_path / "state")
    outcome = Updater(folder, {}).load([file], None, None)[0]
    assert "some.json: cannot be recognised as a file of any feed; say --feed NAME, one of openssl, psf" in str(
        outcome.error
    )
    assert isinstance(outcome.error, FeedError)
    outcome = Updater(folder, {}).load([file], "debian", None)[0]
    assert "debian: some.json" in str(outcome.error)
    with pytest.raises(ConfigurationError, match="absent: "):
        Updater(folder, {}).load([tmp_path / "absent"], None, None)


# --- the state on disk ------------------------------------------------------------------------------------------------

_SAVE_FOREVER = """
import sys
from pathlib import Path
from libcensus.collector.advisories.state import StateFolder, decode_state
folder = StateFolder(Path(sys.argv[1]))
states = [decode_state(Path(name).read_bytes(), name) for name in sys.argv[2:]]
print("ready", flush=True)
while True:
    for state in states:
        folder.save(state)
"""


def test_a_kill_in_the_middle_of_writing_leaves_the_old_state_or_the_new_one(good: Path, tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.folder.mkdir()
    one = StateFolder(good).load().states["debian"]
    other = replace(one, fetched_at=datetime(2030, 1, 1, tzinfo=UTC))
    folder.save(one)
    (tmp_path / "one.json").write_bytes(folder.path_of("debian").read_bytes())
    folder.save(other)
    (tmp_path / "other.json").write_bytes(folder.path_of("debian").read_bytes())
    command = [
        sys.executable,
        "-c",
        _SAVE_FOREVER,
        str(folder.folder),
        str(tmp_path / "one.json"),
        str(tmp_path / "other.json"),
    ]
    for number in range(6):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            time.sleep(0.01 + 0.007 * number)
            process.send_signal(signal.SIGKILL)
        stored = folder.load()
        assert stored.damaged == {}
        assert stored.states["debian"] in (one, other)
    with folder.locked():
        assert not list(folder.folder.glob(".*.new"))


def test_a_kill_in_the_middle_of_a_download_leaves_the_state_and_no_rest(updated: Source, tmp_path: Path) -> None:
    before = updated.folder.load().states
    authority = tmp_path / "ca.pem"
    certificates = updated.context.get_ca_certs(binary_form=True)
    authority.write_text("".join(ssl.DER_cert_to_PEM_cert(one) for one in certificates))
    released = threading.Event()
    content = CONTENTS["/debian.json"] + b" " * 100
    url = updated.server.put("/debian.json", content, sent=len(content) - 50, pause=released)
    program = "import sys; from libcensus.collector.cli import run; sys.exit(run(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "advisories", "update", "debian"]
    settings = ["--advisories-dir", str(updated.folder.folder), "--advisory-urls", f"debian={url}"]
    environment = {**os.environ, "SSL_CERT_FILE": str(authority)}
    part = updated.folder.folder / ".debian.part"
    with subprocess.Popen([*command, *settings], env=environment) as process:
        deadline = time.monotonic() + 20
        while not part.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert process.poll() is None
        process.kill()
    released.set()
    assert part.exists()
    assert updated.folder.load().states == before
    updated.server.put("/debian.json", content, headers={"Last-Modified": "Wed, 25 Nov 2026 08:00:00 GMT"})
    outcome = updated.update("debian")["debian"]
    assert outcome.error is None
    assert not part.exists()


def test_a_damaged_state_is_told_and_the_facts_on_board_stand_in(
    updated: Source, caplog: pytest.LogCaptureFixture
) -> None:
    path = updated.folder.path_of("openssl")
    for content in (b"", b"{}", path.read_bytes()[:-50], path.read_bytes().replace(b"99001", b"99009", 1)):
        whole = path.read_bytes()
        path.write_bytes(content)
        caplog.clear()
        catalogue = load_catalogue(updated.folder.folder)
        assert not any(item.id == samples.FRESH for item in catalogue.advisories)
        assert "advisories update openssl" in caplog.text
        assert ("debian", "12", "openssl") in catalogue.package_fixes
        path.write_bytes(whole)
    path.write_bytes(b"{}")
    assert updated.update("openssl")["openssl"].result is Result.UPDATED
    assert updated.folder.load().damaged == {}


@pytest.mark.parametrize(
    "row",
    [
        {"kind": "openssl", "id": "CVE-2026-99001"},
        {"kind": "openssl", "id": "CVE-2026-99001", "published": "2026-11-20", "ranges": [{"branch": "3.0"}]},
        {"kind": "openssl", "id": "CVE-2026-99001", "published": 3, "ranges": 4},
    ],
)
def test_facts_of_another_shape_stand_in_nobodys_way(
    updated: Source, row: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    state = updated.folder.load().states["openssl"]
    updated.folder.save(replace(state, documents=(replace(state.documents[0], rows=(row,)),)))
    catalogue = load_catalogue(updated.folder.folder)
    assert "the state of openssl is passed over" in caplog.text
    assert ("alpine", "3.22", "openssl") in catalogue.package_fixes
    # Brought from elsewhere, such a state is refused.
    bent = updated.folder.path_of("openssl").rename(updated.folder.folder.parent / "bent.json")
    outcome = updated.updater().load([bent], None, None)[0]
    assert outcome.result is Result.FAILED
    assert "openssl" in str(outcome.error)


def test_two_updates_at_once_are_told(source: Source) -> None:
    with source.folder.locked(), pytest.raises(ConfigurationError, match="another process is updating"):
        source.update("openssl")


def test_what_an_older_reader_read_is_fetched_anew(updated: Source) -> None:
    state = updated.folder.load().states["openssl"]
    updated.folder.save(replace(state, reader=0))
    updated.server.asked.clear()
    updated.update("openssl")
    assert updated.server.asked == [("/openssl.zip", 200)]
    assert updated.folder.load().states["openssl"].reader == state.reader


# --- who serves -------------------------------------------------------------------------------------------------------


def test_a_catalogue_that_is_served_follows_the_states_and_only_them(updated: Source) -> None:
    moment = [0.0]
    catalogues = CatalogueSource(updated.folder.folder, lambda: moment[0])
    first = catalogues()
    assert catalogues() is first
    record = samples.openssl_record("CVE-2026-99007", "2026-11-24T00:00:00Z")
    fresh = samples.openssl_archive(record, samples.openssl_record(), samples.openssl_record(samples.FRESH))
    updated.server.put("/openssl.zip", fresh)
    updated.update("openssl")
    assert catalogues() is first, "within a second nobody looks"
    moment[0] += 2
    second = catalogues()
    assert any(item.id == "CVE-2026-99007" for item in second.advisories)
    assert second.reaches["openssl"] == date(2026, 11, 24)
    # Asked again without news: the file is another one, the facts are the same.
    updated.update("openssl", now=lambda: datetime(2030, 1, 1, tzinfo=UTC))
    moment[0] += 2
    assert catalogues() is second
    # A clock that goes back only delays.
    moment[0] -= 1000
    assert catalogues() is second
    shutil.rmtree(updated.folder.folder)
    moment[0] += 3000
    assert catalogues() is load_snapshot()


def test_without_feeds_the_catalogue_is_the_snapshot(tmp_path: Path) -> None:
    assert load_catalogue(None) is load_snapshot()
    assert load_catalogue(tmp_path / "nothing") is load_snapshot()


def test_every_state_says_what_show_prints(good: Path) -> None:
    for feed in FEEDS:
        table = json.loads((good / f"{feed.name}.json").read_text())
        assert {"newest", "fetched_at", "checked_at", "count", "sha256", "documents"} <= table.keys()
        assert table["count"] > 0
