"""What cannot be read: each refusal names the path, what is wrong with it, and what helps; nothing else is raised."""

from __future__ import annotations

import copy
import gzip
import io
import lzma
import os
import re
import socket
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libcensus.agent.artefact import ArtefactSettings, read_artefact, read_artefacts
from libcensus.agent.errors import ArtefactError
from tests.agent.artefact.samples import LIBRARY, PROGRAM, read, record_line, special, tar_of, wheel_of, zip_of
from tests.agent.elf.samples import FIXTURES

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "pkg-1.0-cp312-cp312-linux_x86_64.whl"
MEMBERS = {"pkg/_x.abi3.so": LIBRARY, "pkg/__init__.py": b""}
INFO = "pkg-1.0.dist-info"


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def made(path: Path) -> Path:
    path.mkdir()
    return path


def fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def a_socket(path: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.fspath(path))
    return path


def good_wheel(path: Path) -> bytes:
    return wheel_of(path, MEMBERS).read_bytes()


def without(path: Path, name: str) -> Path:
    """Return a wheel that lost one member."""
    with zipfile.ZipFile(io.BytesIO(good_wheel(path))) as archive:
        members = {one: archive.read(one) for one in archive.namelist() if one != name}
    return zip_of(path, members)


def exchanged(path: Path, name: str, content: bytes) -> Path:
    """Return a wheel with another content of one member."""
    with zipfile.ZipFile(io.BytesIO(good_wheel(path))) as archive:
        members = {one: archive.read(one) for one in archive.namelist()}
    return zip_of(path, {**members, name: content})


def flipped(path: Path) -> Path:
    """Return a wheel in which one byte of the library was damaged on its way: stored, so that only its sum tells."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good_wheel(path))) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    data = bytearray(stream.getvalue())
    data[data.index(LIBRARY) + len(LIBRARY) // 2] ^= 0xFF
    return written(path, bytes(data))


def encrypted(path: Path) -> Path:
    data = bytearray(good_wheel(path))
    for magic, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        at = -1
        while (at := data.find(magic, at + 1)) >= 0:
            data[at + offset] |= 1
    return written(path, bytes(data))


def overlapping(path: Path) -> Path:
    """Return an archive whose directory names the same bytes again and again, as bombs without nesting do."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a", PROGRAM)
        for number in range(9):
            archive.filelist.append(copy.copy(archive.filelist[0]))
            archive.filelist[-1].filename = str(number)
    return written(path, stream.getvalue())


def object_file(top: Path) -> Path:
    data = bytearray(PROGRAM)
    data[16] = 1
    return written(top / "a.o", bytes(data))


def machine(path: Path, damage: str) -> Path:
    return written(path, (FIXTURES / "damaged" / damage).read_bytes())


CASES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "nothing-there": (lambda top: top / "missing", r"no such file or folder; give a path that exists"),
    "link-to-nothing": (lambda top: _link(top / "x.whl", "gone"), r"no such file or folder; give a path"),
    "text": (lambda top: written(top / "a.txt", b"hello\n"), r"neither an ELF file nor .*; give one of these"),
    "empty-file": (lambda top: written(top / "a", b""), r"neither an ELF file nor .*; give one of these"),
    "empty-folder": (lambda top: made(top / "a"), r"the folder is empty; give the one that holds the files"),
    "empty-tar": (lambda top: tar_of(top / "a.tar"), r"nothing in the archive; build it again"),
    "fifo": (lambda top: fifo(top / "a"), r"is a FIFO; only regular files are read"),
    "socket": (lambda top: a_socket(top / "a"), r"is a socket; only regular files are read"),
    "device": (lambda _top: Path("/dev/null"), r"is a device; only regular files are read"),
    "elf-of-class-0": (lambda top: machine(top / "a", "class-0"), r"; copy or build the file again"),
    "elf-of-another-class": (lambda top: machine(top / "a", "class-32-of-64"), r"; copy or build the file again"),
    "elf-of-swapped-order": (lambda top: machine(top / "a", "byte-order-swapped"), r"; copy or build the file again"),
    "elf-of-no-order": (lambda top: machine(top / "a", "byte-order-3"), r"; copy or build the file again"),
    "cut-elf": (lambda top: written(top / "a", PROGRAM[:200]), r"; copy or build the file again"),
    "object-file": (object_file, r"type rel is nothing that a loader starts; give the program"),
    # Wheels.
    "text-named-wheel": (lambda top: written(top / NAME, b"no wheel"), r"is no zip archive.*; download or build"),
    "empty-wheel": (lambda top: written(top / NAME, b""), r"is empty; download or build the wheel again"),
    "cut-wheel": (lambda top: written(top / NAME, good_wheel(top / NAME)[:-40]), r"its end is missing; download"),
    "wheel-named-otherwise": (lambda top: wheel_of(top / "pkg.whl", MEMBERS), r"no wheel's name; .*NAME-VERSION-"),
    "zip-named-wheel": (lambda top: zip_of(top / NAME, {"a": b"text"}), r"no \.dist-info folder.*; build"),
    "two-infos": (
        lambda top: zip_of(top / NAME, {"a.dist-info/WHEEL": b"", "b.dist-info/WHEEL": b""}),
        r"2 \.dist-info",
    ),
    "wheel-without-wheel": (
        lambda top: without(top / NAME, f"{INFO}/WHEEL"),
        r"has no pkg-1\.0\.dist-info/WHEEL; build",
    ),
    "wheel-without-record": (lambda top: without(top / NAME, f"{INFO}/RECORD"), r"has no .*/RECORD; build the wheel"),
    "wheel-without-a-tag": (lambda top: wheel_of(top / NAME, MEMBERS, tags=()), r"WHEEL has no Tag; build"),
    "member-lost": (lambda top: without(top / NAME, "pkg/__init__.py"), r"RECORD lists pkg/__init__\.py, .*; download"),
    "member-exchanged": (
        lambda top: exchanged(top / NAME, "pkg/_x.abi3.so", PROGRAM),
        r"_x\.abi3\.so is not the file of which .*RECORD",
    ),
    "member-damaged-and-exchanged": (
        lambda top: exchanged(top / NAME, "pkg/_x.abi3.so", LIBRARY[:99]),
        r"is not the file of which .*; download",
    ),
    "member-without-hash": (
        lambda top: wheel_of(top / NAME, MEMBERS, record=_record("pkg/_x.abi3.so,,\n")),
        r"has no hash of pkg/_x.*; build",
    ),
    "member-unlisted": (
        lambda top: wheel_of(top / NAME, MEMBERS, record=_record("")),
        r"has no hash of pkg/_x.*; build",
    ),
    "record-with-weak-hash": (
        lambda top: wheel_of(top / NAME, MEMBERS, record=_record("pkg/_x.abi3.so,md5=abc,3\n")),
        r"'md5=abc' is none of",
    ),
    "record-with-bad-hash": (
        lambda top: wheel_of(top / NAME, MEMBERS, record=_record("pkg/_x.abi3.so,sha256=a,3\n")),
        r"'sha256=a' is no hash",
    ),
    "record-of-two-fields": (
        lambda top: wheel_of(top / NAME, MEMBERS, record="pkg/_x.abi3.so,x\n"),
        r"line 1 has 2 fields instead of 3; build",
    ),
    "byte-flipped": (lambda top: flipped(top / NAME), r"Bad CRC-32.*; download or build the wheel again"),
    "encrypted-wheel": (lambda top: encrypted(top / NAME), r"encrypted; no wheel may be"),
    "wheel-with-dots": (
        lambda top: wheel_of(top / NAME, {"../evil.so": LIBRARY}),
        r"\.\./evil\.so would be unpacked out",
    ),
    # Archives.
    "cut-zip": (
        lambda top: written(top / "a.zip", good_wheel(top / NAME)[:-40]),
        r"a\.zip.*; download or build it again",
    ),
    "cut-gzip": (lambda top: written(top / "a.tgz", gzip.compress(_tar(top))[:-300]), r"; download or build it again"),
    "cut-zstandard": (lambda top: written(top / "a.zst", bytes.fromhex("28b52ffd04581900")), r"zstd -d"),
    "no-tar-in-gzip": (
        lambda top: written(top / "a.gz", gzip.compress(b"text" * 400)),
        r"; download or build it again",
    ),
    "dots": (lambda top: tar_of(top / "a.tar", ("../evil", PROGRAM)), r"member \.\./evil would be unpacked outside"),
    "hidden-dots": (
        lambda top: tar_of(top / "a.tar", ("a/../../evil", PROGRAM)),
        r"would be unpacked outside its folder",
    ),
    "absolute": (
        lambda top: tar_of(top / "a.tar", ("/etc/evil", PROGRAM)),
        r"member /etc/evil would be unpacked outside",
    ),
    "hard-link-out": (lambda top: _tar_with(top, "a/b", tarfile.LNKTYPE, "../c"), r"link a/b leads to \.\./c, outside"),
    "character-device": (lambda top: _tar_with(top, "a", tarfile.CHRTYPE), r"member a is a device node; build the"),
    "block-device": (lambda top: _tar_with(top, "a", tarfile.BLKTYPE), r"member a is a device node; build the"),
    "fifo-in-tar": (lambda top: _tar_with(top, "a", tarfile.FIFOTYPE), r"member a is a FIFO; build the archive"),
    "overlapping": (lambda top: overlapping(top / "a.zip"), r"its members overlap: .*; build the archive again"),
    "zip-with-dots": (lambda top: zip_of(top / "a.zip", {"../evil": PROGRAM}), r"\.\./evil would be unpacked outside"),
    "zip-with-a-root": (lambda top: zip_of(top / "a.zip", {"/evil": PROGRAM}), r"/evil would be unpacked outside"),
}


def _link(path: Path, target: str) -> Path:
    path.symlink_to(target)
    return path


def _record(line: str) -> str:
    return f"{line}{record_line('pkg/__init__.py', b'')}{INFO}/WHEEL,,\n{INFO}/METADATA,,\n{INFO}/RECORD,,\n"


def _tar(top: Path) -> bytes:
    return tar_of(top / "whole.tar", ("bin/program", PROGRAM)).read_bytes()


def _tar_with(top: Path, name: str, kind: bytes, target: str = "") -> Path:
    return tar_of(top / "a.tar", special(name, kind, target))


@pytest.mark.parametrize("case", CASES)
def test_each_refusal_says_what_where_and_what_helps(case: str, tmp_path: Path) -> None:
    make, words = CASES[case]
    path = make(tmp_path)
    with pytest.raises(ArtefactError) as caught:
        read_artefact(path)
    detail = caught.value.detail
    assert re.search(words, detail, re.DOTALL), detail
    assert path.name in detail, "the path is named"
    assert ";" in detail, "and so is what helps"
    told: list[tuple[str, str]] = []
    assert read_artefacts([path], on_error=lambda name, words: told.append((name, words))) == []
    assert told == [(str(path), detail)]


@pytest.mark.parametrize("make", [lambda top: written(top / "a", PROGRAM), lambda top: made(top / "a")])
def test_what_may_not_be_read_says_who_may(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path)
    path.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(ArtefactError, match=r"Permission denied; .*run as root"):
            read_artefact(path)
    finally:
        os.seteuid(user)
        path.chmod(0o700)


# --- bombs --------------------------------------------------------------------------------------------------------


def _zip_bomb(top: Path) -> Path:
    return zip_of(top / "b.zip", {"zeros": bytes(8_000_000)})


def _wheel_bomb(top: Path) -> Path:
    return wheel_of(top / NAME, {"pkg/zeros.so": LIBRARY + bytes(8_000_000)})


def _gzip_bomb(top: Path) -> Path:
    return written(top / "b.tar.gz", gzip.compress(tar_of(top / "t", ("zeros", bytes(8_000_000))).read_bytes()))


def _xz_bomb(top: Path) -> Path:
    return written(top / "b.tar.xz", lzma.compress(tar_of(top / "t", ("zeros", bytes(8_000_000))).read_bytes()))


@pytest.mark.parametrize("make", [_zip_bomb, _wheel_bomb, _gzip_bomb, _xz_bomb])
def test_an_archive_that_grows_beyond_measure_is_a_bomb(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path)
    with pytest.raises(ArtefactError) as caught:
        read_artefact(path, ArtefactSettings(modest_bytes=1_000_000))
    assert caught.value.reason == "bomb"
    assert path.name in caught.value.detail
    assert "unpack it" in caught.value.detail
    # The same is no bomb as long as what comes out is little.
    read_artefact(path)


@pytest.mark.parametrize("make", [_zip_bomb, _gzip_bomb])
def test_what_may_come_out_in_all_is_bounded_whatever_the_ratio(make: Callable[[Path], Path], tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="bomb"):
        read_artefact(make(tmp_path), ArtefactSettings(max_bytes=1_000_000, max_ratio=1_000_000))


def test_a_sparse_member_counts_with_its_holes(tmp_path: Path) -> None:
    """Of the oldest form of sparse members: a header says where the pieces lie, and how large the whole is."""
    header = bytearray(special("holes.so", tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
    pieces = b"%011o\0%011o\0" % (0, len(LIBRARY))
    header[386 : 386 + len(pieces)] = pieces
    header[483:495] = b"%011o\0" % 200_000_000
    header[124:136] = b"%011o\0" % len(LIBRARY)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path = written(tmp_path / "a.tar", bytes(header) + LIBRARY + bytes(-len(LIBRARY) % 512) + bytes(1024))
    with tarfile.open(path) as archive:
        assert archive.getmember("holes.so").issparse()
    with pytest.raises(ArtefactError, match="bomb"):
        read_artefact(path, ArtefactSettings(modest_bytes=1_000_000))
    assert [file.path for file in read_artefact(path).files] == ["holes.so"]


# --- passed over, and told ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tags", [("py3-none-any",), ("cp311-cp311-linux_x86_64",)])
def test_tags_that_differ_are_a_warning_and_the_name_counts(tmp_path: Path, tags: tuple[str, ...]) -> None:
    name = "pkg-1.0-py2.py3-none-any.whl"
    artefact, warnings = read(wheel_of(tmp_path / name, {"pkg.py": b""}, tags=tags))
    assert [str(tag) for tag in artefact.tags] == ["py2-none-any", "py3-none-any"]
    assert len(warnings) == 1
    assert "installers go by the name" in warnings[0]


def test_a_text_that_record_does_not_list_is_a_warning(tmp_path: Path) -> None:
    record = f"{INFO}/WHEEL,,\n{INFO}/METADATA,,\n{INFO}/RECORD,,\n"
    _, warnings = read(wheel_of(tmp_path / NAME, {"pkg/a.py": b"", "pkg/b.py": b""}, record=record))
    assert warnings == [f"{INFO}/RECORD does not list pkg/a.py and 1 more; strict installers refuse that"]


def test_signatures_need_no_line_in_record(tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel_of(tmp_path / NAME, MEMBERS), "a") as archive:
        archive.writestr(f"{INFO}/RECORD.jws", "{}")
    assert read(tmp_path / NAME)[1] == []


def test_too_many_members_are_told(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "a.tar", ("a", PROGRAM), ("b", PROGRAM))
    artefact, warnings = read(path, max_members=1)
    assert len(artefact.files) == 1
    assert "only the first 1" in warnings[0]


@pytest.mark.parametrize(("name", "target"), [("bin/a", "../../c"), ("etc/site.py", "/etc/python3/site.py")])
def test_a_link_that_leads_out_of_an_archive_costs_itself_alone(tmp_path: Path, name: str, target: str) -> None:
    warnings: list[str] = []
    path = tar_of(tmp_path / "a.tar", ("bin/program", PROGRAM), special(name, tarfile.SYMTYPE, target))
    found = read_artefact(path, on_warning=lambda _name, text: warnings.append(text))
    assert [file.path for file in found.files] == ["bin/program"]
    assert len(warnings) == 1
    assert f"leads to {target}, outside the archive" in warnings[0]
