"""apk's records: owners, sources, and whose package it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.agent.host import Root
from libcensus.agent.packages.apk import parse_apk_installed
from libcensus.agent.packages.database import PackageDatabase
from libcensus.agent.packages.origin import judge_apk_origin
from libcensus.agent.probes.skips import Skips
from libcensus.facts.package import Package
from libcensus.facts.vocabulary import PackageOrigin

if TYPE_CHECKING:
    from pathlib import Path

INSTALLED = """C:Q1AAAA=
P:libcrypto3
V:3.1.4-r5
A:x86_64
S:1773024
T:Crypto library from openssl
o:openssl
m:Natanael Copa <ncopa@alpinelinux.org>
F:etc
F:etc/ssl
R:openssl.cnf
a:0:0:644
Z:Q1xxxx=
F:lib
R:libcrypto.so.3
a:0:0:755

C:Q1BBBB=
P:local-tool
V:1-r0
A:noarch
F:
R:top
F:usr/bin
R:local-tool
"""

MIRROR = "https://dl-cdn.alpinelinux.org/alpine/v3.18/main\n@edge http://mirror.example/pub/alpine/edge/community\n"
DISTRIBUTION, OF_VENDOR, UNKNOWN = PackageOrigin.DISTRIBUTION, PackageOrigin.VENDOR, PackageOrigin.UNKNOWN


def opened(top: Path, place: str = "lib/apk/db/installed", text: str = INSTALLED) -> tuple[PackageDatabase, Skips]:
    path = top / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    (top / "etc/apk").mkdir(parents=True, exist_ok=True)
    (top / "etc/apk/repositories").write_text(MIRROR)
    (top / "etc/apk/world").write_text("alpine-base\nlocal-tool><Q1BBBB=\n")
    skips = Skips()
    return PackageDatabase(Root.open(str(top)), skips, ("alpine",)), skips


@pytest.mark.parametrize("place", ["lib/apk/db/installed", "usr/lib/apk/db/installed"])
def test_owners(tmp_path: Path, place: str) -> None:
    records, skips = opened(tmp_path, place)
    assert records.manager == "apk"
    found = records.owners(["/lib/libcrypto.so.3", "/etc/ssl/openssl.cnf", "/usr/bin/local-tool", "/top", "/etc/ssl"])
    assert {path: package.name for path, package in found.items()} == {
        "/lib/libcrypto.so.3": "libcrypto3",
        "/etc/ssl/openssl.cnf": "libcrypto3",
        "/usr/bin/local-tool": "local-tool",
        "/top": "local-tool",
    }
    assert found["/lib/libcrypto.so.3"] == Package(
        "apk",
        "libcrypto3",
        "3.1.4-r5",
        "openssl",
        "3.1.4-r5",
        "x86_64",
        DISTRIBUTION,
        "Natanael Copa <ncopa@alpinelinux.org>",
    )
    assert found["/usr/bin/local-tool"].origin is OF_VENDOR
    assert not skips


def test_merged_usr(tmp_path: Path) -> None:
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "lib").symlink_to("usr/lib")
    records, skips = opened(tmp_path, "usr/lib/apk/db/installed")
    owner = records.owner("/usr/lib/libcrypto.so.3")
    assert owner is not None
    assert owner.source == "openssl"
    assert not skips


def test_record_that_no_package_can_have_is_a_skip(tmp_path: Path) -> None:
    records, skips = opened(tmp_path, text="P:a\nV:" + "9" * 300 + "\nF:bin\nR:a\n")
    assert records.owner("/bin/a") is None
    assert skips.counts == {"invalid-record": 1}


def test_endless_line_is_a_skip(tmp_path: Path) -> None:
    records, skips = opened(tmp_path, text="x" * (3 << 20))
    assert records.owner("/bin/a") is None
    assert skips.counts == {"damaged-database": 1}


OFFICIAL = ("https://dl-cdn.alpinelinux.org/alpine/v3.18/main",)
COMPANY = (*OFFICIAL, "https://example.com/packages")


@pytest.mark.parametrize(
    ("maintainer", "ids", "repositories", "is_pinned", "expected"),
    [
        pytest.param("N <n@alpinelinux.org>", ("alpine",), COMPANY, False, DISTRIBUTION, id="maintainer's address"),
        pytest.param("A <a@example.org>", ("alpine",), OFFICIAL, False, DISTRIBUTION, id="only its own repositories"),
        pytest.param("A <a@example.org>", ("alpine",), COMPANY, False, UNKNOWN, id="another repository too"),
        pytest.param("A <a@example.org>", ("alpine",), (), False, UNKNOWN, id="no repositories told"),
        pytest.param(None, ("wolfi",), ("https://packages.wolfi.dev/os",), False, DISTRIBUTION, id="Wolfi"),
        pytest.param(None, ("alpine",), ("https://packages.wolfi.dev/os",), False, UNKNOWN, id="Wolfi's on Alpine"),
        pytest.param("N <n@alpinelinux.org>", ("alpine",), OFFICIAL, True, OF_VENDOR, id="installed from a file"),
        pytest.param("N <n@alpinelinux.org>", ("other",), OFFICIAL, False, UNKNOWN, id="another distribution"),
        pytest.param(None, ("alpine",), ("https://evil.example/v3.18/main",), False, UNKNOWN, id="no mirror"),
    ],
)
def test_origin(
    maintainer: str | None, ids: tuple[str, ...], repositories: tuple[str, ...], is_pinned: bool, expected: object
) -> None:
    assert judge_apk_origin(maintainer, ids, repositories, is_pinned=is_pinned) is expected


LINES = st.lists(st.one_of(st.binary(max_size=8), st.sampled_from([b"", b"P:x", b"V:1", b"F:bin", b"R:a", b"F:"])))


@given(lines=LINES)
def test_any_lines_are_read(lines: list[bytes]) -> None:
    for record in parse_apk_installed(lines, {b"bin/a": "/bin/a"}):
        assert set(record.owned) == {"/bin/a"}
