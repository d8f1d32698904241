"""dpkg's records: owners through merged /usr and diversions, sources, and whose package it is."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import subprocess
from pathlib import Path

import pytest

from libcensus.agent.host import Root
from libcensus.agent.probes.context import ProbeSkippedError, ScanContext
from libcensus.agent.probes.packages import PackageDatabase, judge_origin, parse_paragraph, probe_packages
from libcensus.agent.probes.skips import Skips
from libcensus.agent.settings import ScanSettings
from libcensus.facts.package import Package
from libcensus.facts.vocabulary import PackageOrigin
from tests.agent.roots import DEBIAN, VENDOR, add_dpkg


def database(top: Path, ids: tuple[str, ...] = ("debian",)) -> tuple[PackageDatabase, Skips]:
    skips = Skips()
    return PackageDatabase(Root.open(str(top)), skips, ids), skips


def merge_usr(top: Path) -> None:
    for name in ("bin", "lib"):
        (top / "usr" / name).mkdir(parents=True, exist_ok=True)
        (top / name).symlink_to(f"usr/{name}")


@pytest.mark.parametrize(
    ("listed", "asked", "is_merged", "is_found"),
    [
        pytest.param("/usr/bin/python3", "/usr/bin/python3", True, True, id="as listed"),
        pytest.param("/lib/x/libc.so.6", "/usr/lib/x/libc.so.6", True, True, id="listed before the merge of /usr"),
        pytest.param("/lib/x/libc.so.6", "/usr/lib/x/libc.so.6", False, False, id="two folders that are not merged"),
        pytest.param("/usr/bin/python3.11", "/usr/bin/python3", True, False, id="another path"),
        pytest.param("/bin/sh", "/opt/bin/sh", True, False, id="same name elsewhere"),
    ],
)
def test_owner_of_a_path(tmp_path: Path, listed: str, asked: str, is_merged: bool, is_found: bool) -> None:
    if is_merged:
        merge_usr(tmp_path)
    add_dpkg(tmp_path, {"one": ("1.0-1", DEBIAN, (listed,)), "two": ("2", DEBIAN, ("/else",))})
    records, _ = database(tmp_path)
    owner = records.owner(asked)
    assert (owner is not None and owner.name == "one") == is_found


def test_diverted_file_belongs_to_the_package_that_ships_it(tmp_path: Path) -> None:
    add_dpkg(
        tmp_path,
        {"original": ("1", DEBIAN, ("/usr/bin/python3",)), "wrapper": ("2", DEBIAN, ("/usr/bin/python3",))},
    )
    text = "/usr/bin/python3\n/usr/bin/python3.original\nwrapper\n"
    (tmp_path / "var/lib/dpkg/diversions").write_text(text)
    records, _ = database(tmp_path)
    found = records.owners(["/usr/bin/python3", "/usr/bin/python3.original"])
    assert {path: package.name for path, package in found.items()} == {
        "/usr/bin/python3": "wrapper",
        "/usr/bin/python3.original": "original",
    }


def test_administrators_diversion_leaves_the_place_to_nobody(tmp_path: Path) -> None:
    add_dpkg(tmp_path, {"original": ("1", DEBIAN, ("/usr/bin/python3",))})
    (tmp_path / "var/lib/dpkg/diversions").write_text("/usr/bin/python3\n/usr/bin/python3.real\n:\n")
    records, _ = database(tmp_path)
    assert {p: o.name for p, o in records.owners(["/usr/bin/python3", "/usr/bin/python3.real"]).items()} == {
        "/usr/bin/python3.real": "original"
    }


@pytest.mark.parametrize(
    ("fields", "source", "source_version"),
    [
        pytest.param("", "one", "1:3.0.2-0ubuntu1.20", id="source of the same name"),
        pytest.param("Source: openssl\n", "openssl", "1:3.0.2-0ubuntu1.20", id="other name"),
        pytest.param("Source: openssl (3.0.1-1)\n", "openssl", "3.0.1-1", id="other name and version"),
    ],
)
def test_source_of_a_package(tmp_path: Path, fields: str, source: str, source_version: str) -> None:
    add_dpkg(tmp_path, {"one": ("1:3.0.2-0ubuntu1.20", fields + DEBIAN, ("/f",))})
    records, _ = database(tmp_path)
    assert records.owner("/f") == Package(
        "dpkg",
        "one",
        "1:3.0.2-0ubuntu1.20",
        source,
        source_version,
        "amd64",
        PackageOrigin.DISTRIBUTION,
        "Debian Team",
    )


def test_architectures_of_one_name_are_told_apart(tmp_path: Path) -> None:
    add_dpkg(tmp_path, {"libc6:amd64": ("2.36", DEBIAN, ("/a",)), "libc6:i386": ("2.31", DEBIAN, ("/b",))})
    status = tmp_path / "var/lib/dpkg/status"
    text = status.read_text().replace("Package: libc6:amd64", "Package: libc6")
    head, _, tail = text.partition("Package: libc6:i386")
    status.write_text(head + "Package: libc6" + tail.replace("Architecture: amd64", "Architecture: i386"))
    records, _ = database(tmp_path)
    assert {p: (o.version, o.arch) for p, o in records.owners(["/a", "/b"]).items()} == {
        "/a": ("2.36", "amd64"),
        "/b": ("2.31", "i386"),
    }


def test_removed_package_owns_nothing(tmp_path: Path) -> None:
    add_dpkg(tmp_path, {"gone": ("1", DEBIAN, ("/f",))})
    status = tmp_path / "var/lib/dpkg/status"
    status.write_text(status.read_text().replace("install ok installed", "deinstall ok config-files"))
    records, _ = database(tmp_path)
    assert records.owner("/f") is None


def test_distroless_records_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "var/lib/dpkg/status.d"
    folder.mkdir(parents=True)
    (folder / "libssl3").write_text(f"Package: libssl3\nSource: openssl\nVersion: 3.0.11-1\n{DEBIAN}")
    (folder / "libssl3.md5sums").write_text("0" * 32 + "  usr/lib/libcrypto.so.3\n")
    records, _ = database(tmp_path)
    owner = records.owner("/usr/lib/libcrypto.so.3")
    assert owner is not None
    assert (owner.name, owner.source, owner.version) == ("libssl3", "openssl", "3.0.11-1")


def test_absurd_record_is_a_skip(tmp_path: Path) -> None:
    add_dpkg(tmp_path, {"one": ("v" * 5000, DEBIAN, ("/f",))})
    records, skips = database(tmp_path)
    assert records.owner("/f") is None
    assert skips.counts == {"invalid-record": 1}


MAINTAINED = {
    "team": "Debian OpenSSL Team <pkg-openssl-devel@alioth-lists.debian.net>",
    "developer": "Matthias Klose <doko@debian.org>",
    "ubuntu": "Ubuntu Developers <ubuntu-devel-discuss@lists.ubuntu.com>",
    "person": "Marco d'Itri <md@linux.it>",
    "google": "Google Cloud CLI Authors <https://code.google.com/p/google-cloud-sdk/>",
    "nodesource": "NodeSource Support <support@nodesource.com>",
    "look-alike": "Somebody <me@notdebian.org>",
    "bare": "Somebody",
}
DISTRIBUTION, OF_VENDOR, UNKNOWN = PackageOrigin.DISTRIBUTION, PackageOrigin.VENDOR, PackageOrigin.UNKNOWN


@pytest.mark.parametrize(
    ("maintainer", "version", "ids", "expected"),
    [
        pytest.param("team", "3.0.22-1~deb12u2", ("debian",), DISTRIBUTION, id="team's list"),
        pytest.param("developer", "3.11.2-6", ("debian",), DISTRIBUTION, id="developer's address"),
        pytest.param("developer", "3.11.2-6", ("ubuntu", "debian"), DISTRIBUTION, id="Debian's package in Ubuntu"),
        pytest.param("ubuntu", "3.0.2-0ubuntu1.20", ("ubuntu", "debian"), DISTRIBUTION, id="Ubuntu's"),
        pytest.param("ubuntu", "3.0.2-0ubuntu1.20", ("debian",), UNKNOWN, id="Ubuntu's package on Debian"),
        pytest.param("ubuntu", "3.0.2-0ubuntu1.20", (), DISTRIBUTION, id="no os-release"),
        pytest.param("person", "0.9", ("debian",), UNKNOWN, id="a person is not guessed about"),
        pytest.param("google", "528.0.0-0", ("debian",), OF_VENDOR, id="a link for an address"),
        pytest.param("nodesource", "22.1.0-1nodesource1", ("debian",), OF_VENDOR, id="a company"),
        pytest.param(
            "developer", "3.12.1-1+jammy1", ("ubuntu", "debian"), OF_VENDOR, id="PPA with a copied maintainer"
        ),
        pytest.param("team", "8.3+0~20240101.1+debian12~1.gbp+sury.org", ("debian",), OF_VENDOR, id="known archive"),
        pytest.param("look-alike", "1", ("debian",), UNKNOWN, id="domain that only ends alike"),
        pytest.param("bare", "1", ("debian",), UNKNOWN, id="no address"),
    ],
)
def test_origin_by_the_record(maintainer: str, version: str, ids: tuple[str, ...], expected: PackageOrigin) -> None:
    record = {"maintainer": MAINTAINED[maintainer], "version": version}
    origin, vendor = judge_origin(record, ids)
    assert origin is expected
    assert vendor == MAINTAINED[maintainer].partition(" <")[0]


@pytest.mark.parametrize(
    ("listed", "field", "expected"),
    [
        pytest.param("Debian", None, DISTRIBUTION, id="the distribution's archive"),
        pytest.param("deb.nodesource.com", None, OF_VENDOR, id="a third party's archive"),
        pytest.param(None, "Debian", DISTRIBUTION, id="the record's own field"),
        pytest.param(None, "Some Company", OF_VENDOR, id="the record's own field, a third party"),
        pytest.param("Debian", "Some Company", DISTRIBUTION, id="the archive outweighs the record"),
    ],
)
def test_origin_by_archive_and_field(listed: str | None, field: str | None, expected: PackageOrigin) -> None:
    record = {"maintainer": MAINTAINED["person"], "version": "1", **({"origin": field} if field else {})}
    assert judge_origin(record, ("debian",), listed)[0] is expected


PACKAGES = b"Package: other\nVersion: 1\n\nPackage: one\nMaintainer: x\nVersion: 1.0-1\n\nPackage: one\nVersion: 0.9\n"


@pytest.mark.parametrize(
    ("suffix", "data"),
    [
        pytest.param("", PACKAGES, id="plain"),
        pytest.param(".gz", gzip.compress(PACKAGES), id="gzip"),
        pytest.param(".xz", lzma.compress(PACKAGES), id="xz"),
        pytest.param(".bz2", bz2.compress(PACKAGES), id="bzip2"),
    ],
)
@pytest.mark.parametrize(("version", "expected"), [("1.0-1", DISTRIBUTION), ("1.0-2", UNKNOWN)])
def test_apt_list_that_offers_this_very_version_tells_the_origin(
    tmp_path: Path, suffix: str, data: bytes, version: str, expected: PackageOrigin
) -> None:
    add_dpkg(tmp_path, {"one": (version, "Maintainer: A Person <a@example.org>\n", ("/f",))})
    lists = tmp_path / "var/lib/apt/lists"
    lists.mkdir(parents=True)
    (lists / "mirror_debian_dists_x_InRelease").write_text("-----BEGIN PGP SIGNED MESSAGE-----\n\nOrigin: Debian\n")
    (lists / f"mirror_debian_dists_x_main_binary-amd64_Packages{suffix}").write_bytes(data)
    records, skips = database(tmp_path)
    owner = records.owner("/f")
    assert owner is not None
    assert owner.origin is expected
    assert not skips


@pytest.mark.parametrize(
    ("suffix", "data", "reason"),
    [
        pytest.param(".lz4", b"\x04\x22\x4d\x18", "compressed-apt-list", id="lz4"),
        pytest.param(".gz", gzip.compress(PACKAGES)[:-9], "damaged-list", id="cut gzip"),
        pytest.param(".xz", b"no xz at all", "damaged-list", id="no xz"),
    ],
)
def test_apt_list_that_cannot_be_read_is_a_skip(tmp_path: Path, suffix: str, data: bytes, reason: str) -> None:
    add_dpkg(tmp_path, {"one": ("1", DEBIAN, ("/f", "/g"))})
    lists = tmp_path / "var/lib/apt/lists"
    lists.mkdir(parents=True)
    (lists / "mirror_InRelease").write_text("Origin: Debian\n")
    (lists / f"mirror_main_Packages{suffix}").write_bytes(data)
    records, skips = database(tmp_path)
    for path in ("/f", "/g"):
        owner = records.owner(path)
        assert owner is not None
        assert owner.origin is DISTRIBUTION
    assert skips.counts == {reason: 1}


def test_paragraph_keeps_the_first_line_of_each_field() -> None:
    text = "Package: one\nDescription: short\n long: not a field\nVersion: 1:2\nVersion: 3\n"
    assert parse_paragraph(text) == {"package": "one", "description": "short", "version": "1:2"}


def probed(top: Path) -> tuple[ScanContext, Skips]:
    skips = Skips()
    context = ScanContext(Root.open(str(top)), ScanSettings())
    probe_packages(context, skips)
    return context, skips


def test_no_database_is_a_skipped_probe(tmp_path: Path) -> None:
    with pytest.raises(ProbeSkippedError, match="no package database"):
        probed(tmp_path)


def test_form_of_rpm_that_is_not_known_is_a_skip(tmp_path: Path) -> None:
    add_dpkg(tmp_path, {"one": ("1", VENDOR, ())})
    (tmp_path / "var/lib/rpm").mkdir()
    (tmp_path / "var/lib/rpm/Packages.new").write_bytes(b"?")
    context, skips = probed(tmp_path)
    assert context.packages is not None
    assert context.packages.manager == "dpkg"
    assert skips.counts == {"database-not-read": 1}


def test_empty_folder_of_rpm_is_no_database(tmp_path: Path) -> None:
    add_dpkg(tmp_path, {"one": ("1", VENDOR, ())})
    (tmp_path / "var/lib/rpm").mkdir()
    assert not probed(tmp_path)[1]


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="this machine has no dpkg")
def test_owners_on_this_machine_are_those_that_dpkg_tells() -> None:
    paths = []
    for name in ("libc6", "dpkg", "bash", "coreutils"):
        done = subprocess.run(["dpkg-query", "-L", name], capture_output=True, text=True, check=False)
        paths += [line for line in done.stdout.splitlines() if Path(line).is_file() and not Path(line).is_symlink()]
    assert paths
    with Root.open("/") as root:
        records = PackageDatabase(root, Skips())
        real = {path: str(Path(path).resolve()) for path in paths}
        found = records.owners(real.values())
    for path, resolved in real.items():
        told = subprocess.run(["dpkg-query", "-S", path], capture_output=True, text=True, check=True).stdout
        assert found[resolved].name in {name.partition(":")[0].strip() for name in told.rpartition(": ")[0].split(",")}
        if len(paths) > 200:
            break
