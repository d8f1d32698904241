"""The changelogs of packages that matter: where they are looked for, and what is said where they are not."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from libcensus.agent.host import Root
from libcensus.agent.packages.database import PackageDatabase
from libcensus.agent.probes.changelogs import changelog_of, probe_changelogs
from libcensus.agent.probes.context import ProbeSkippedError, ScanContext
from libcensus.agent.probes.skips import Skips
from libcensus.agent.settings import ScanSettings
from libcensus.facts.codec import decode_fact, encode_fact
from libcensus.facts.crypto import CryptoCopy, CryptoLibrary
from libcensus.facts.host import Host, Libc
from libcensus.facts.package import Package
from libcensus.facts.vocabulary import ChangelogState, CryptoFamily, LibcFamily, Linkage
from tests.agent.packages.sources import SQLITE, put
from tests.agent.roots import DEBIAN, add_dpkg, make_python, needs_gcc, scan_folder

if TYPE_CHECKING:
    from pathlib import Path

    from libcensus.facts.changelog import PackageChangelog

SIGNED = "\n -- Some Body <some@example.com>  Mon, 01 Jan 2024 00:00:00 +0000\n\n"
TEXT = (
    "openssl (3.0.2-1) unstable; urgency=medium\n\n  * Fix CVE-2023-0002" + SIGNED + "openssl (3.0.1-1) unstable; "
    "urgency=medium\n\n  * Initial release, fixes CVE-2023-0001" + SIGNED
)
PACKAGE = Package("dpkg", "libssl3", "3.0.2-1+b1", "openssl", "3.0.2-1", "amd64")


def write(top: Path, name: str = "libssl3/changelog.Debian.gz", text: str = TEXT) -> None:
    path = top / "usr/share/doc" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())


def read(top: Path, package: Package = PACKAGE) -> PackageChangelog:
    skips = Skips()
    with Root.open(str(top)) as root:
        found = changelog_of(root, package, {}, skips)
    assert bool(skips) == (found.state is ChangelogState.UNREADABLE)
    kind, _, payload = encode_fact(found)
    assert decode_fact(kind, payload) == found
    return found


def test_changelog_of_a_package(tmp_path: Path) -> None:
    write(tmp_path)
    found = read(tmp_path)
    assert found.state is ChangelogState.COMPLETE
    assert found.file == "/usr/share/doc/libssl3/changelog.Debian.gz"
    assert (found.entries, found.newest, found.oldest) == (2, "3.0.2-1", "3.0.1-1")
    assert [(fix.advisory, fix.version, fix.text) for fix in found.fixes] == [
        ("CVE-2023-0001", "3.0.1-1", "Initial release, fixes CVE-2023-0001"),
        ("CVE-2023-0002", "3.0.2-1", "Fix CVE-2023-0002"),
    ]


@pytest.mark.parametrize("name", ["changelog.Debian", "changelog.gz", "changelog"])
def test_other_names(tmp_path: Path, name: str) -> None:
    write(tmp_path, f"libssl3/{name}")
    assert len(read(tmp_path).fixes) == 2


def test_folder_that_is_a_link_to_another_packages(tmp_path: Path) -> None:
    write(tmp_path, "openssl/changelog.Debian.gz")
    (tmp_path / "usr/share/doc/libssl3").symlink_to("/usr/share/doc/openssl")
    found = read(tmp_path)
    assert found.file == "/usr/share/doc/openssl/changelog.Debian.gz"
    assert len(found.fixes) == 2


def test_link_out_of_the_root_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "inside/usr/share/doc").mkdir(parents=True)
    write(tmp_path)
    (tmp_path / "inside/usr/share/doc/libssl3").symlink_to("../../../../usr/share/doc/libssl3")
    assert read(tmp_path / "inside").state is ChangelogState.MISSING


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda top: top.exists(), id="no folder"),
        pytest.param(lambda top: write(top, "libssl3/copyright", "x"), id="folder without one"),
        pytest.param(lambda top: write(top, "libssl3/changelog.gz", "Changes in 3.0.2\n"), id="only upstream's"),
    ],
)
def test_missing(tmp_path: Path, make: object) -> None:
    make(tmp_path)  # type: ignore[operator]
    found = read(tmp_path)
    assert found.state is ChangelogState.MISSING
    assert found.reason is not None
    assert "/usr/share/doc/libssl3" in found.reason


@pytest.mark.parametrize(
    "data",
    [gzip.compress(TEXT.encode())[:-9], gzip.compress(b"\0" * (9 << 20)), b"\x1f\x8b\x08"],
    ids=["cut", "huge when unpacked", "only magic"],
)
def test_unreadable(tmp_path: Path, data: bytes) -> None:
    write(tmp_path)
    (tmp_path / "usr/share/doc/libssl3/changelog.Debian.gz").write_bytes(data)
    found = read(tmp_path)
    assert found.state is ChangelogState.UNREADABLE
    assert found.fixes == ()


@pytest.mark.parametrize(
    ("package", "words"),
    [
        pytest.param(
            Package("dpkg", "libssl3", "3.0.3-1", "openssl", "3.0.3-1"), "no entry of the installed", id="version"
        ),
        pytest.param(Package("dpkg", "libssl3", "3.0.2-1", "other", "3.0.2-1"), "it is that of openssl", id="source"),
    ],
)
def test_changelog_of_another_package_fixes_nothing(tmp_path: Path, package: Package, words: str) -> None:
    write(tmp_path)
    found = read(tmp_path, package)
    assert (found.state, found.fixes) == (ChangelogState.UNKNOWN, ())
    assert words in (found.reason or "")


def test_newer_entries_than_the_installed_version(tmp_path: Path) -> None:
    write(tmp_path)
    found = read(tmp_path, Package("dpkg", "libssl3", "3.0.1-1", "openssl", "3.0.1-1"))
    assert [fix.advisory for fix in found.fixes] == ["CVE-2023-0001"]
    assert (found.entries, found.newest) == (1, "3.0.1-1")


@pytest.mark.parametrize("manager", ["apk", "pacman"])
def test_managers_without_changelogs(tmp_path: Path, manager: str) -> None:
    found = read(tmp_path, Package(manager, "openssl", "3", "openssl", "3"))
    assert found.state is ChangelogState.MISSING
    assert found.reason == "this package manager carries no changelog"


def probed(top: Path, *packages: Package) -> ScanContext:
    context = ScanContext(Root.open(str(top)), ScanSettings())
    context.packages = PackageDatabase(context.root, Skips())
    first, *others = packages
    context.host = Host("h", libc=Libc(LibcFamily.GLIBC, "2.36", "/l", first))
    for number, package in enumerate(others):
        library = CryptoLibrary(CryptoFamily.OPENSSL, "3.0.2", package)
        context.copies.append(CryptoCopy("/", f"/c{number}", Linkage.SYSTEM, library))
    probe_changelogs(context, Skips())
    return context


def test_probe_reads_each_package_once(tmp_path: Path) -> None:
    write(tmp_path)
    other = Package("apk", "a", "1", "a", "1")
    found = probed(tmp_path, PACKAGE, PACKAGE, other).changelogs
    assert [one.package for one in found] == [other, PACKAGE]


def test_probe_reads_the_changelogs_of_rpms_headers(tmp_path: Path) -> None:
    path = put(tmp_path, SQLITE)
    package = PackageDatabase(Root.open(str(tmp_path)), Skips()).owner("/usr/lib64/libssl.so.1.1")
    assert package is not None
    (found,) = probed(tmp_path, package).changelogs
    assert found.file == f"/{path.relative_to(tmp_path)}"
    assert (found.state, found.entries) == (ChangelogState.COMPLETE, 4)
    assert {fix.advisory: fix.version for fix in found.fixes} == {
        "CVE-2021-3712": "1:1.1.1k-5",
        "CVE-2022-0778": "1:1.1.1k-6",
        "CVE-2022-2097": "1:1.1.1k-7",
    }


def test_nothing_to_read_is_a_skipped_probe(tmp_path: Path) -> None:
    context = ScanContext(Root.open(str(tmp_path)), ScanSettings())
    context.packages = PackageDatabase(context.root, Skips())
    with pytest.raises(ProbeSkippedError, match="no package owns"):
        probe_changelogs(context, Skips())


@needs_gcc
def test_scan_tells_the_changelog_of_an_interpreters_package(tmp_path: Path) -> None:
    python = make_python(tmp_path, "/usr")
    add_dpkg(tmp_path, {"libssl3": ("3.0.2-1", f"Source: openssl\n{DEBIAN}", (python.path,))})
    write(tmp_path)
    (found,) = scan_folder(tmp_path).changelogs.values()
    assert (found.package.name, found.state, len(found.fixes)) == ("libssl3", ChangelogState.COMPLETE, 2)
