"""rpm's three forms of database, made by real rpm: owners, origins and changelogs, and what damage costs."""

from __future__ import annotations

import os
import shutil
import subprocess
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libcensus.agent.elf.reader import BytesSource
from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import Root
from libcensus.agent.packages import rpm_header as tags
from libcensus.agent.packages.database import PackageDatabase
from libcensus.agent.packages.rpm import package_of_header
from libcensus.agent.packages.rpm_bdb import RpmBerkeley
from libcensus.agent.packages.rpm_header import parse_rpm_header
from libcensus.agent.packages.rpm_ndb import RpmNdb
from libcensus.agent.packages.rpm_sqlite import RpmSqlite
from libcensus.agent.probes.skips import Skips
from libcensus.facts.package import Package
from libcensus.facts.vocabulary import PackageOrigin
from tests.agent.packages.sources import BERKELEY, BIG_ENDIAN, NDB, SQLITE, database, put
from tests.agent.roots import DEBIAN, add_dpkg

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from libcensus.agent.elf.reader import Source
    from libcensus.agent.packages.blobs import BlobReader

FORMS: dict[str, Callable[[Source], BlobReader]] = {
    SQLITE: RpmSqlite,
    NDB: RpmNdb,
    BERKELEY: RpmBerkeley,
    BIG_ENDIAN: RpmBerkeley,
}
each_form = pytest.mark.parametrize("name", FORMS)

OPENSSL = Package(
    "rpm",
    "openssl-libs",
    "1:1.1.1k-7.el8_6",
    "openssl",
    "1:1.1.1k-7.el8_6",
    "x86_64",
    PackageOrigin.DISTRIBUTION,
    "Red Hat, Inc.",
)


def opened(top: Path, ids: tuple[str, ...] = ("rhel", "fedora")) -> tuple[PackageDatabase, Skips]:
    skips = Skips()
    return PackageDatabase(Root.open(str(top)), skips, ids), skips


@each_form
@pytest.mark.parametrize("folder", ["var/lib/rpm", "usr/lib/sysimage/rpm"])
def test_owners(tmp_path: Path, name: str, folder: str) -> None:
    put(tmp_path, name, folder)
    records, skips = opened(tmp_path)
    assert records.manager == "rpm"
    asked = [
        "/usr/lib64/libcrypto.so.1.1",
        "/usr/bin/python3.11",
        "/usr/lib64/python3.11/module_0399.py",
        "/usr/bin/node",
        "/opt/nameless/with space",
        "/opt/nameless/\udcc3\udcbc",
        "/opt/nameless",
        "/usr/bin/else",
        "/usr/lib64/libunmerged.so.1",
    ]
    found = records.owners([os.fsdecode(os.fsencode(path)) for path in asked])
    assert {os.fsencode(path): package.name for path, package in found.items()} == {
        b"/usr/lib64/libcrypto.so.1.1": "openssl-libs",
        b"/usr/bin/python3.11": "python3",
        b"/usr/lib64/python3.11/module_0399.py": "python3",
        b"/usr/bin/node": "nodejs",
        b"/opt/nameless/with space": "nameless",
        b"/opt/nameless/\xc3\xbc": "nameless",
    }
    assert found["/usr/lib64/libcrypto.so.1.1"] == OPENSSL
    assert not skips
    assert not records.has_gaps


@each_form
def test_later_look_up_reads_the_headers_that_can_matter(tmp_path: Path, name: str) -> None:
    put(tmp_path, name)
    records, _ = opened(tmp_path)
    assert records.owner("/nowhere") is None
    assert records.owner("/usr/bin/node") is not None
    assert records.owner("/opt/nameless/with space") is not None


@each_form
def test_origins(tmp_path: Path, name: str) -> None:
    put(tmp_path, name)
    paths = ("/usr/lib64/libssl.so.1.1", "/usr/bin/python3.11", "/usr/bin/node", "/opt/nameless/with space")
    found = opened(tmp_path)[0].owners(paths)
    assert [(found[path].origin, found[path].vendor) for path in paths] == [
        (PackageOrigin.DISTRIBUTION, "Red Hat, Inc."),
        (PackageOrigin.VENDOR, "Fedora Project"),
        (PackageOrigin.VENDOR, "NodeSource"),
        (PackageOrigin.UNKNOWN, None),
    ]


@each_form
def test_merged_usr(tmp_path: Path, name: str) -> None:
    put(tmp_path, name)
    (tmp_path / "usr/lib64").mkdir(parents=True)
    (tmp_path / "lib64").symlink_to("usr/lib64")
    assert opened(tmp_path)[0].owner("/usr/lib64/libunmerged.so.1") == OPENSSL


def test_folder_that_is_a_link_to_the_other_is_one_database(tmp_path: Path) -> None:
    put(tmp_path, SQLITE, "usr/lib/sysimage/rpm")
    (tmp_path / "var/lib").mkdir(parents=True)
    (tmp_path / "var/lib/rpm").symlink_to("../../usr/lib/sysimage/rpm")
    records, skips = opened(tmp_path)
    assert records.owner("/usr/bin/node") is not None
    assert not skips


def test_older_form_beside_the_newer_is_told(tmp_path: Path) -> None:
    put(tmp_path, SQLITE)
    put(tmp_path, BERKELEY)
    assert opened(tmp_path)[1].counts == {"database-not-read": 1}


def test_write_ahead_log_is_told(tmp_path: Path) -> None:
    path = put(tmp_path, SQLITE)
    path.with_name("rpmdb.sqlite-wal").write_bytes(b"")
    assert not opened(tmp_path)[1]
    path.with_name("rpmdb.sqlite-wal").write_bytes(b"x" * 32)
    records, skips = opened(tmp_path)
    assert records.owner("/usr/bin/node") is not None
    assert skips.counts == {"write-ahead-log": 1}
    assert records.has_gaps


def test_first_manager_with_an_owner_counts(tmp_path: Path) -> None:
    put(tmp_path, SQLITE)
    add_dpkg(tmp_path, {"one": ("1", DEBIAN, ("/usr/bin/node",))})
    records, _ = opened(tmp_path)
    assert records.manager == "dpkg"
    found = records.owners(["/usr/bin/node", "/usr/bin/python3.11"])
    assert {path: package.manager for path, package in found.items()} == {
        "/usr/bin/node": "dpkg",
        "/usr/bin/python3.11": "rpm",
    }


@each_form
def test_recorded_changelogs(tmp_path: Path, name: str) -> None:
    put(tmp_path, name)
    records, _ = opened(tmp_path)
    found = records.owners(["/usr/lib64/libssl.so.1.1", "/usr/bin/node"])
    changelogs = records.recorded_changelogs(found.values())
    assert [entry.version for entry in changelogs[OPENSSL].entries] == [
        "1:1.1.1k-7",
        "1:1.1.1k-6",
        "1:1.1.1k-5",
        "1:1.1.1k-1",
    ]
    assert changelogs[OPENSSL].entries[0].date == "2022-07-05"
    assert changelogs[found["/usr/bin/node"]].entries == ()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "damaged-database", id="empty"),
        pytest.param(b"\0" * 8192, "damaged-database", id="zeros"),
        pytest.param(database(SQLITE)[:4096], "damaged-database", id="cut"),
    ],
)
def test_damage_is_told_once(tmp_path: Path, data: bytes, reason: str) -> None:
    put(tmp_path, SQLITE).write_bytes(data)
    records, skips = opened(tmp_path)
    assert records.owner("/usr/bin/node") is None
    assert records.owner("/usr/bin/python3.11") is None
    assert skips.counts == {reason: 1}
    assert records.has_gaps


def test_what_stands_before_the_damage_is_found(tmp_path: Path) -> None:
    data = bytearray(database(BERKELEY))
    places = list(RpmBerkeley(BytesSource(bytes(data))).places())
    (names,) = [
        {package_of_header(parse_rpm_header(RpmBerkeley(BytesSource(bytes(data))).blob(p)), ()).name: p for p in places}
    ]
    size = int.from_bytes(data[20:24], "little")
    data[names["python3"][0] * size + 25] = 99
    put(tmp_path, BERKELEY).write_bytes(data)
    records, skips = opened(tmp_path)
    assert records.owner("/usr/bin/python3.11") is None
    assert records.owner("/usr/bin/node") is not None
    assert skips.counts == {"damaged-database": 1}


@each_form
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_damaged_databases_raise_the_documented_error_alone(name: str, data: st.DataObject) -> None:
    blob = bytearray(database(name))
    heads = st.one_of(st.integers(0, 200), st.integers(0, len(blob) - 1))
    for _ in range(data.draw(st.integers(1, 8))):
        blob[data.draw(heads)] = data.draw(st.integers(0, 255))
    cut = len(blob) if data.draw(st.booleans()) else data.draw(st.integers(0, len(blob)))
    read_all(FORMS[name], bytes(blob[:cut]))


@each_form
@given(blob=st.binary(max_size=600))
def test_arbitrary_bytes_raise_the_documented_error_alone(name: str, blob: bytes) -> None:
    read_all(FORMS[name], blob)
    read_all(FORMS[name], database(name)[:100] + blob)


def read_all(form: Callable[[Source], BlobReader], data: bytes) -> None:
    try:
        reader = form(BytesSource(data))
        for count, place in enumerate(reader.places()):
            assert count <= len(data)
            try:
                parse_rpm_header(reader.blob(place))
            except UnreadableError:
                continue
    except UnreadableError:
        return


def test_headers_that_claim_more_than_the_file_are_damage(tmp_path: Path) -> None:
    """A small file whose rows all claim one long chain of pages would cost hours."""
    page = bytearray(4096)
    cells = 1000
    payload = bytes([0x87, 0xFF, 0xFF, 0x7F, 1])
    page[:8] = bytes([0x0D, 0, 0, cells >> 8, cells & 0xFF, 0, 0, 0])
    for number in range(cells):
        page[8 + 2 * number : 10 + 2 * number] = (4096 - 500).to_bytes(2, "big")
    page[4096 - 500 : 4096 - 495] = payload
    data = bytearray(database(SQLITE))
    root = RpmSqlite(BytesSource(bytes(data)))._table("Packages")
    data[(root - 1) * 4096 : root * 4096] = page
    put(tmp_path, SQLITE).write_bytes(data)
    records, skips = opened(tmp_path)
    assert records.owner("/usr/bin/node") is None
    assert sum(skips.counts.values()) <= 2


@each_form
def test_all_forms_hold_the_same_headers(name: str) -> None:
    def headers(form: str) -> set[int]:
        reader = FORMS[form](BytesSource(database(form)))
        parsed = (parse_rpm_header(reader.blob(place)) for place in reader.places())
        return {
            zlib.crc32(repr((one.text(tags.NAME), one.raw_strings(tags.BASE_NAMES), one.folders())).encode())
            for one in parsed
        }

    assert len(headers(name)) == 4
    assert headers(name) == headers(SQLITE)


@pytest.mark.skipif(shutil.which("rpm") is None, reason="rpm is not installed")
def test_rpm_itself_tells_the_same(tmp_path: Path) -> None:
    path = put(tmp_path, SQLITE)
    query = "[%{=NAME}|%{=EPOCHNUM}:%{=VERSION}-%{=RELEASE}|%{=SOURCERPM}|%{=VENDOR}|%{=ARCH}|%{FILENAMES}\n]"
    done = subprocess.run(
        ["rpm", "--dbpath", str(path.parent), "-qa", "--qf", query], check=True, capture_output=True, text=True
    )
    told = [line.split("|") for line in done.stdout.splitlines() if "|" in line]
    assert len(told) > 400
    records, _ = opened(tmp_path)
    found = records.owners(line[5] for line in told)
    for name, version, source_rpm, vendor, arch, file in told:
        package = found[file]
        assert (package.name, package.arch, package.vendor or "(none)") == (name, arch, vendor)
        assert version in (package.version, f"0:{package.version}")
        assert source_rpm == f"{package.source}-{package.source_version.rpartition(':')[2]}.src.rpm"
