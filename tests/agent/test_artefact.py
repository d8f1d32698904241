"""``requires``: files, folders, wheels and archives, and what is passed over in them."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import re
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libcensus.agent.artefact import ArtefactRequirement, ArtefactSettings, artefact_document, requires
from libcensus.agent.errors import ArtefactError
from libcensus.facts.vocabulary import LoaderKind
from tests.agent.elf.samples import FIXTURES, compile_c

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PROGRAM = FIXTURES / "x86_64-linux-gnu" / "program"
LIBRARY = FIXTURES / "x86_64-linux-gnu" / "libfixture.so.1"


def one(path: Path | str, **fields: object) -> ArtefactRequirement:
    (found,) = requires([path], settings=ArtefactSettings(**fields))  # type: ignore[arg-type]
    return found


def make_zip(path: Path, members: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def tar_bytes(members: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


MEMBERS = {"bin/program": PROGRAM.read_bytes(), "lib/libfixture.so.1": LIBRARY.read_bytes(), "README": b"text"}


def make_folder(path: Path) -> Path:
    for name, content in MEMBERS.items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return path


CONTAINERS: dict[str, Callable[[Path], Path]] = {
    "folder": lambda path: make_folder(path / "tree"),
    "wheel": lambda path: make_zip(path / "x-1-py3-none-linux_x86_64.whl", MEMBERS),
    "tar": lambda path: written(path / "x.tar", tar_bytes(MEMBERS)),
    "tar.gz": lambda path: written(path / "x.tar.gz", gzip.compress(tar_bytes(MEMBERS))),
    "tar.bz2": lambda path: written(path / "x.tar.bz2", bz2.compress(tar_bytes(MEMBERS))),
    "tar.xz": lambda path: written(path / "x.tar.xz", lzma.compress(tar_bytes(MEMBERS))),
    "tar-by-content": lambda path: written(path / "nameless", gzip.compress(tar_bytes(MEMBERS))),
}


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


# --- what is told -----------------------------------------------------------------------------------------------


def test_a_program_tells_everything() -> None:
    document = artefact_document(one(PROGRAM))
    assert document["path"] == str(PROGRAM)
    assert document["arch"] == "x86_64"
    assert document["glibc"] == "2.17"
    versions = document["symbol_versions"]
    assert isinstance(versions, dict)
    assert versions["libc.so.6"] == ["GLIBC_2.2.5", "GLIBC_2.17"], "ordered by number, not by letter"
    assert document["sonames"] == ["libc.so.6", "libfixture.so.1"]
    assert document["loader"] == "/lib64/ld-linux-x86-64.so.2"
    assert document["static"] is False
    assert document["raised_by"] == [
        {"file": str(PROGRAM), "symbol": "secure_getenv", "version": "GLIBC_2.17", "soname": "libc.so.6"}
    ]
    assert document["manylinux"] is None
    assert "libfixture.so.1" in str(document["manylinux_reason"])
    json.dumps(document)


@pytest.mark.parametrize("kind", CONTAINERS)
def test_a_container_is_joined_over_its_files_less_what_it_brings(kind: str, tmp_path: Path) -> None:
    found = one(CONTAINERS[kind](tmp_path))
    assert found.files == 2
    assert found.requirement.sonames == ("libc.so.6",)
    assert found.brought == ("libfixture.so.1",)
    assert found.requirement.glibc == "2.17"
    assert {entry.file for entry in found.requirement.raised_by} == {"bin/program"}
    assert found.manylinux == "manylinux_2_17"
    assert found.skipped == ()


def test_paths_are_answered_in_the_order_given() -> None:
    found = requires([LIBRARY, PROGRAM, str(LIBRARY)])
    assert [item.path for item in found] == [str(LIBRARY), str(PROGRAM), str(LIBRARY)]


def test_several_architectures_are_several_entries(tmp_path: Path) -> None:
    for machine in ("s390x-linux-gnu", "x86-linux-gnu", "aarch64-linux-gnu"):
        (tmp_path / machine).write_bytes((FIXTURES / machine / "program").read_bytes())
    found = requires([tmp_path])
    assert [item.requirement.arch for item in found] == ["aarch64", "i386", "s390x"]
    assert {item.path for item in found} == {str(tmp_path)}


def test_programs_for_two_libcs_are_two_entries(tmp_path: Path) -> None:
    for machine in ("x86_64-linux-gnu", "x86_64-linux-musl"):
        for name in ("program", "libfixture.so.1"):
            written(tmp_path / f"{machine}-{name}", (FIXTURES / machine / name).read_bytes())
    found = requires([tmp_path])
    assert [item.requirement.loader_kind for item in found] == [LoaderKind.MUSL, LoaderKind.GLIBC]
    assert [item.files for item in found] == [2, 2]
    musl = artefact_document(found[0])
    assert (musl["glibc"], musl["manylinux"]) == (None, None)
    assert "musl" in str(musl["manylinux_reason"])


def test_static_programs_are_static(built: Path) -> None:
    assert one(built / "static").is_static
    assert one(built / "static-pie").is_static
    assert not one(built / "libanswer.so.1").is_static
    assert not one(PROGRAM).is_static


def test_links_to_a_brought_library_bring_its_other_names(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(PROGRAM.read_bytes())
    content = LIBRARY.read_bytes().replace(b"libfixture.so.1", b"libfixture.so.9")
    written(tmp_path / "real.so", content)
    assert "libfixture.so.1" in one(tmp_path).requirement.sonames
    (tmp_path / "libfixture.so.1").symlink_to("real.so")
    found = one(tmp_path)
    assert found.files == 2, "a link is no second file"
    assert "libfixture.so.1" not in found.requirement.sonames


def test_a_wheel_in_a_folder_names_its_members(tmp_path: Path) -> None:
    make_zip(tmp_path / "x.whl", {"pkg/a.so": LIBRARY.read_bytes()})
    found = one(tmp_path)
    assert {entry.file for entry in found.requirement.raised_by} == {"x.whl!pkg/a.so"}


def test_a_container_without_elf_files_needs_nothing(tmp_path: Path) -> None:
    found = one(make_zip(tmp_path / "pure.whl", {"pkg/__init__.py": b"pass\n"}))
    assert (found.files, found.requirement.arch, found.requirement.sonames) == (0, None, ())


def test_a_zipapp_is_read_behind_its_first_line(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "inner.zip", {"pkg/a.so": LIBRARY.read_bytes()})
    zipapp = written(tmp_path / "app.pyz", b"#!/usr/bin/env python3\n" + archive.read_bytes())
    assert one(zipapp).files == 1


def test_manylinux_agrees_with_auditwheel(tmp_path: Path, sample_wheels: Path) -> None:
    sources = {
        "libc": ("#include <stdlib.h>\nvoid *f(void) { return malloc(9); }", ()),
        "libm": ("#include <math.h>\ndouble f(double x) { return pow(x, x) + exp(x); }", ("-lm",)),
        "ssl": ("#include <openssl/ssl.h>\nvoid *f(void) { return SSL_CTX_new(TLS_method()); }", ("-lssl",)),
        "zlibprivate": ("int uncompress2(void); int f(void) { return uncompress2(); }", ("-lz",)),
        "zlib": ("#include <zlib.h>\nint f(void *s) { return inflateValidate(s, 0); }", ("-lz",)),
        "level": ("#include <stdlib.h>\nvoid *f(void) { return malloc(9); }", ("-Wl,-z,x86-64-v3",)),
    }
    wheels = list(sample_wheels.glob("*.whl"))
    for name, (source, flags) in sources.items():
        module = compile_c(tmp_path, f"{name}.so", source, "-shared", "-fPIC", "-Wl,--no-as-needed", *flags)
        info = f"{name}-1.dist-info"
        members = {
            f"{name}.so": module.read_bytes(),
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-linux_x86_64\n",
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n".encode(),
            f"{info}/RECORD": f"{name}.so,,\n{info}/WHEEL,,\n{info}/METADATA,,\n{info}/RECORD,,\n".encode(),
        }
        wheels.append(make_zip(tmp_path / f"{name}-1-py3-none-linux_x86_64.whl", members))
    for wheel in wheels:
        command = [str(Path(sys.executable).with_name("auditwheel")), "show", str(wheel)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        match = re.search(r'platform\s+tag:\s+"((?:manylinux_\d+_\d+|linux))_x86_64"', told)
        assert match is not None, told
        found = one(wheel)
        assert (found.manylinux or "linux") == match[1], (wheel.name, found.manylinux_reason)


# --- what is passed over ----------------------------------------------------------------------------------------


def test_bad_files_in_a_folder_are_told_and_cost_only_themselves(tmp_path: Path) -> None:
    make_folder(tmp_path)
    for path in (FIXTURES / "damaged").iterdir():
        written(tmp_path / path.name, path.read_bytes())
    os.mkfifo(tmp_path / "python3")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "outside").symlink_to("/etc/passwd")
    (tmp_path / "dangling").symlink_to("/nowhere/at/all")
    written(tmp_path / "folder.whl", b"PK\x03\x04" + bytes(50))
    found = one(tmp_path)
    assert found.files == 2
    reasons = {item.path: item.reason for item in found.skipped}
    assert set(reasons) == {*(path.name for path in (FIXTURES / "damaged").iterdir()), "outside", "folder.whl"}
    assert reasons["outside"] == "link-outside"
    assert reasons["folder.whl"] == "damaged"
    assert all(item.detail for item in found.skipped)


def test_names_that_are_not_utf8_are_written_as_escapes(tmp_path: Path) -> None:
    name = os.fsdecode(b"lib\xff\n.so")
    written(tmp_path / name, LIBRARY.read_bytes())
    found = one(tmp_path)
    assert {entry.file for entry in found.requirement.raised_by} == {"lib\\xff\n.so"}
    json.dumps(artefact_document(found)).encode()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(lambda path: path / "absent", "unreadable", id="absent"),
        pytest.param(lambda path: written(path / "text", b"hello world"), "not-an-artefact", id="text"),
        pytest.param(lambda path: written(path / "empty", b""), "not-an-artefact", id="empty"),
        pytest.param(lambda path: written(path / "cut", PROGRAM.read_bytes()[:900]), "truncated", id="cut-elf"),
        pytest.param(lambda path: written(path / "a.whl", b"PK\x03\x04" + bytes(90)), "damaged", id="cut-wheel"),
        pytest.param(
            lambda path: written(path / "a.tgz", gzip.compress(tar_bytes(MEMBERS))[:2000]), "damaged", id="cut-tar.gz"
        ),
        pytest.param(lambda path: written(path / "a.tar", tar_bytes(MEMBERS)[:3000]), "damaged", id="cut-tar"),
        pytest.param(
            lambda path: written(path / "a.gz", gzip.compress(b"no tar at all")), "damaged", id="gz-without-tar"
        ),
        pytest.param(
            lambda path: written(path / "a.tar", overwritten(tar_bytes(MEMBERS), 4608)), "damaged", id="damaged-header"
        ),
        pytest.param(lambda path: fifo(path / "python3"), "not-a-regular-file", id="fifo"),
        pytest.param(lambda _path: Path("/dev/null"), "not-a-regular-file", id="device"),
        pytest.param(lambda path: link(path / "loop", "loop"), "unreadable", id="link-loop"),
        pytest.param(lambda _path: FIXTURES / "damaged" / "sections-65535", "absurd-header", id="absurd-sections"),
    ],
)
def test_what_cannot_be_read_is_one_clear_error(make: Callable[[Path], Path], reason: str, tmp_path: Path) -> None:
    path = make(tmp_path)
    with pytest.raises(ArtefactError) as caught:
        requires([path])
    assert caught.value.reason == reason
    assert str(path) in caught.value.detail


def overwritten(data: bytes, at: int) -> bytes:
    return data[:at] + b"\xa5" * 512 + data[at + 512 :]


def fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def link(path: Path, target: str) -> Path:
    path.symlink_to(target)
    return path


def test_an_error_can_be_told_and_the_others_answered(tmp_path: Path) -> None:
    errors: list[ArtefactError] = []
    found = requires([tmp_path / "absent", PROGRAM], on_error=errors.append)
    assert [item.path for item in found] == [str(PROGRAM)]
    assert [error.reason for error in errors] == ["unreadable"]


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="this Python reads zstd")
def test_zstd_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="zstd -d"):
        requires([written(tmp_path / "a.tar.zst", b"\x28\xb5\x2f\xfd" + bytes(20))])


# --- bounds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["folder", "wheel", "tar", "tar.gz"])
def test_too_many_members_are_told(kind: str, tmp_path: Path) -> None:
    found = one(CONTAINERS[kind](tmp_path), max_members=1)
    assert [item.reason for item in found.skipped] == ["too-many-members"]


@pytest.mark.parametrize("kind", ["wheel", "tar.gz", "tar.xz"])
def test_a_bomb_stops_at_the_bound_and_says_so(kind: str, tmp_path: Path) -> None:
    bomb = {"bomb.so": PROGRAM.read_bytes() + bytes(20_000_000), "z.so": LIBRARY.read_bytes()}
    makers: dict[str, Callable[[], Path]] = {
        "wheel": lambda: make_zip(tmp_path / "b.whl", bomb),
        "tar.gz": lambda: written(tmp_path / "b.tar.gz", gzip.compress(tar_bytes(bomb))),
        "tar.xz": lambda: written(tmp_path / "b.tar.xz", lzma.compress(tar_bytes(bomb))),
    }
    found = one(makers[kind](), max_bytes=5_000_000)
    assert [item.reason for item in found.skipped] == ["too-large"]
    assert found.files == 0


@pytest.mark.parametrize("kind", ["wheel", "tar", "tar.gz"])
def test_a_large_member_costs_only_itself(kind: str, tmp_path: Path) -> None:
    found = one(CONTAINERS[kind](tmp_path), max_member_bytes=3000)
    assert [(item.path, item.reason) for item in found.skipped] == [("bin/program", "too-large")]
    assert found.files == 1


def test_archives_in_archives_end(tmp_path: Path) -> None:
    inner = make_zip(tmp_path / "0.whl", {"a.so": LIBRARY.read_bytes()})
    for depth in range(1, 4):
        inner = make_zip(tmp_path / f"{depth}.whl", {f"{depth - 1}.whl": inner.read_bytes()})
    found = one(inner)
    assert [(item.path, item.reason) for item in found.skipped] == [("2.whl!1.whl!0.whl", "too-deep")]


def test_deep_folders_end(tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(6):
        folder = folder / "d"
        folder.mkdir()
    written(folder / "a.so", LIBRARY.read_bytes())
    assert [item.reason for item in one(tmp_path, max_depth=3).skipped] == ["too-deep"]
    assert one(tmp_path).files == 1


def test_a_header_of_a_tar_archive_cannot_ask_for_much_memory(tmp_path: Path) -> None:
    """A pax header's size is the archive's word; tarfile would read all of it at once."""
    info = tarfile.TarInfo("pax")
    info.type = tarfile.XHDTYPE
    info.size = 8 << 30
    header = info.tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(ArtefactError, match="asks for"):
        requires([written(tmp_path / "a.tar.gz", gzip.compress(header + bytes(1000)))])


def test_an_encrypted_member_is_told(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.whl", {"a.so": LIBRARY.read_bytes()})
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\x01\x02")
    for at in (6, central + 8):
        struct.pack_into("<H", data, at, struct.unpack_from("<H", data, at)[0] | 1)
    path.write_bytes(data)
    assert [item.reason for item in one(path).skipped] == ["encrypted"]


def test_a_member_with_a_wrong_checksum_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.so", LIBRARY.read_bytes())
    data = bytearray(path.read_bytes())
    at = data.index(b"\x7fELF") + 300
    data[at] ^= 0xFF
    path.write_bytes(data)
    assert [item.reason for item in one(path).skipped] == ["damaged"]
