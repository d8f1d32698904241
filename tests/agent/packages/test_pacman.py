"""pacman's records: owners, sources, and whose package it is."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.agent.host import Root
from libcensus.agent.packages.database import PackageDatabase
from libcensus.agent.packages.origin import judge_pacman_origin
from libcensus.agent.packages.pacman import package_of_fields, parse_pacman_fields, parse_pacman_files
from libcensus.agent.probes.skips import Skips
from libcensus.facts.package import Package
from libcensus.facts.validation import InvalidFactError
from libcensus.facts.vocabulary import PackageOrigin

if TYPE_CHECKING:
    from pathlib import Path

DESC = """%NAME%
lib32-openssl

%VERSION%
1:3.3.2-1

%BASE%
openssl

%ARCH%
x86_64

%PACKAGER%
Some Body <body@archlinux.org>

%LICENSE%
Apache
BSD
"""
FILES = "%FILES%\nusr/\nusr/lib/\nusr/lib/libcrypto.so.3\n\n%BACKUP%\netc/ssl/openssl.cnf\tffff\n"


def add(top: Path, folder: str, desc: str = DESC, files: str = FILES) -> None:
    path = top / "var/lib/pacman/local" / folder
    path.mkdir(parents=True)
    (path / "desc").write_text(desc)
    (path / "files").write_text(files)


def opened(top: Path) -> tuple[PackageDatabase, Skips]:
    (top / "var/lib/pacman/local/ALPM_DB_VERSION").write_text("9\n")
    skips = Skips()
    return PackageDatabase(Root.open(str(top)), skips, ("arch",)), skips


def test_owners(tmp_path: Path) -> None:
    add(tmp_path, "lib32-openssl-1:3.3.2-1")
    records, skips = opened(tmp_path)
    assert records.manager == "pacman"
    found = records.owners(["/usr/lib/libcrypto.so.3", "/usr/lib", "/etc/ssl/openssl.cnf"])
    assert found == {
        "/usr/lib/libcrypto.so.3": Package(
            "pacman",
            "lib32-openssl",
            "1:3.3.2-1",
            "openssl",
            "1:3.3.2-1",
            "x86_64",
            PackageOrigin.DISTRIBUTION,
            "Some Body <body@archlinux.org>",
        )
    }
    assert not skips


def test_what_cannot_be_read_is_a_skip(tmp_path: Path) -> None:
    add(tmp_path, "one", desc="%NAME%\n\n%VERSION%\n1\n")
    (tmp_path / "var/lib/pacman/local/empty").mkdir()
    records, skips = opened(tmp_path)
    assert records.owner("/usr/lib/libcrypto.so.3") is None
    assert skips.counts == {"invalid-record": 1, "not-found": 1}


@pytest.mark.parametrize(
    ("packager", "ids", "expected"),
    [
        ("A <a@archlinux.org>", ("arch",), PackageOrigin.DISTRIBUTION),
        ("A <a@archlinux.org>", ("manjaro", "arch"), PackageOrigin.DISTRIBUTION),
        ("Frederik Schwan <freswa at archlinux dot org>", ("arch",), PackageOrigin.DISTRIBUTION),
        ("A <a@notarchlinux.org>", ("arch",), PackageOrigin.UNKNOWN),
        ("Arch Linux ARM Build System <builder+n1@archlinuxarm.org>", ("archarm", "arch"), PackageOrigin.DISTRIBUTION),
        ("A <a@example.org>", ("arch",), PackageOrigin.UNKNOWN),
        ("Unknown Packager", ("arch",), PackageOrigin.VENDOR),
        (None, ("arch",), PackageOrigin.UNKNOWN),
    ],
)
def test_origin(packager: str | None, ids: tuple[str, ...], expected: PackageOrigin) -> None:
    assert judge_pacman_origin(packager, ids) is expected


NAMES = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=1)
VALUES = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1).filter(
    lambda value: not (value.startswith("%") and value.endswith("%"))
)


@given(fields=st.dictionaries(NAMES, st.lists(VALUES, min_size=1, max_size=4), max_size=6))
def test_fields_come_out_as_they_went_in(fields: dict[str, list[str]]) -> None:
    text = "".join(f"%{name}%\n" + "".join(f"{value}\n" for value in values) + "\n" for name, values in fields.items())
    assert parse_pacman_fields(text) == fields


@given(text=st.text(), data=st.binary())
def test_anything_is_read(text: str, data: bytes) -> None:
    with suppress(InvalidFactError):
        package_of_fields(parse_pacman_fields(text), ())
    parse_pacman_files(data)
    parse_pacman_files(b"%FILES%\n" + data)
