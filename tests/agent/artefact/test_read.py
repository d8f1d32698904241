"""What each kind of path is read as: programs, libraries, wheels, environments, interpreters, folders, archives."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import shutil
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libcensus.agent.artefact import read_artefacts
from libcensus.agent.elf.reader import BytesSource, read_elf
from libcensus.facts.codec import artefact_from_proto, artefact_to_proto
from libcensus.facts.vocabulary import ArtefactKind, FileRole, Implementation, LoaderKind
from tests.agent.artefact.samples import (
    LIBRARY,
    PROGRAM,
    file_of,
    link,
    read,
    special,
    tar_of,
    wheel_of,
    zip_of,
)
from tests.agent.elf.samples import FIXTURES

if TYPE_CHECKING:
    from collections.abc import Callable

    from libcensus.facts.artefact import Artefact

TREE = {"app/bin/program": PROGRAM, "app/lib/libfixture.so.1": LIBRARY, "app/README": b"text\n"}
ENVIRONMENT = "home = /usr/bin\nimplementation = CPython\nversion_info = 3.12.6.final.0\n"


def folder_of(path: Path) -> Path:
    for name, content in TREE.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def tar_bytes() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in TREE.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def zstandard(data: bytes) -> bytes:
    """Return a frame of stored blocks (RFC 8878): enough to be read by everything that reads the format."""
    size = 128 << 10
    blocks = [data[start : start + size] for start in range(0, len(data), size)]
    out = bytes.fromhex("28b52ffd0058")
    for number, block in enumerate(blocks):
        out += (len(block) << 3 | (number == len(blocks) - 1)).to_bytes(3, "little") + block
    return out


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


CONTAINERS: dict[str, tuple[Callable[[Path], Path], ArtefactKind]] = {
    "folder": (lambda path: folder_of(path / "tree"), ArtefactKind.FOLDER),
    "tar": (lambda path: written(path / "x.tar", tar_bytes()), ArtefactKind.ARCHIVE),
    "tar.gz": (lambda path: written(path / "x.tar.gz", gzip.compress(tar_bytes())), ArtefactKind.ARCHIVE),
    "tar.bz2": (lambda path: written(path / "x.tar.bz2", bz2.compress(tar_bytes())), ArtefactKind.ARCHIVE),
    "tar.xz": (lambda path: written(path / "x.tar.xz", lzma.compress(tar_bytes())), ArtefactKind.ARCHIVE),
    "tar.zst": (lambda path: written(path / "x.tar.zst", zstandard(tar_bytes())), ArtefactKind.ARCHIVE),
    "tar-by-content": (lambda path: written(path / "nameless", gzip.compress(tar_bytes())), ArtefactKind.ARCHIVE),
    "zip": (lambda path: zip_of(path / "x.zip", TREE), ArtefactKind.ARCHIVE),
    "zipapp": (lambda path: zip_of(path / "x.pyz", {**TREE, "__main__.py": b""}), ArtefactKind.ZIPAPP),
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_a_container_has_each_file_with_its_role_and_what_it_leaves_open(kind: str, tmp_path: Path) -> None:
    make, expected = CONTAINERS[kind]
    artefact, warnings = read(make(tmp_path))
    assert (artefact.kind, warnings) == (expected, [])
    assert [(file.path, file.role) for file in artefact.files] == [
        ("app/bin/program", FileRole.EXECUTABLE),
        ("app/lib/libfixture.so.1", FileRole.LIBRARY),
    ]
    program = artefact.files[0]
    assert (program.uses, program.stray) == (("app/lib/libfixture.so.1",), ())
    assert program.requirement.sonames == ("libc.so.6",)
    assert program.requirement.glibc == "2.17"
    assert [(entry.file, entry.symbol) for entry in program.requirement.raised_by if entry.version == "GLIBC_2.17"] == [
        ("app/bin/program", "secure_getenv")
    ]


@pytest.mark.parametrize("kind", CONTAINERS)
def test_what_was_read_can_be_sent(kind: str, tmp_path: Path) -> None:
    artefact, _ = read(CONTAINERS[kind][0](tmp_path))
    assert artefact_from_proto(artefact_to_proto(artefact)) == artefact


def test_a_program_is_an_executable_by_itself() -> None:
    path = FIXTURES / "x86_64-linux-gnu" / "program"
    artefact, _ = read(path)
    assert (artefact.kind, artefact.name) == (ArtefactKind.EXECUTABLE, str(path))
    (file,) = artefact.files
    assert (file.path, file.role, file.uses, file.stray) == (str(path), FileRole.EXECUTABLE, (), ())
    assert file.requirement.loader == "/lib64/ld-linux-x86-64.so.2"


def test_a_library_is_a_shared_object_and_a_module_says_what_it_is(tmp_path: Path) -> None:
    named = {
        "libx.so.1": FileRole.LIBRARY,
        "_x.cpython-312-x86_64-linux-gnu.so": FileRole.MODULE,
        "_x.abi3.so": FileRole.MODULE,
        "plain.so": FileRole.MODULE,
    }
    for name, role in named.items():
        artefact, _ = read(link(tmp_path / name))
        assert (artefact.kind, artefact.files[0].role) == (ArtefactKind.SHARED_OBJECT, role), name
    initialised = link(tmp_path / "liby.so", "-Wl,-soname,liby.so", source="void *PyInit_liby(void) { return 0; }")
    assert read(initialised)[0].files[0].role is FileRole.MODULE


def test_static_programs_and_those_for_musl_say_so(tmp_path: Path) -> None:
    static = link(tmp_path / "static", "-static", source="int main(void) { return 0; }")
    artefact, _ = read(static)
    assert artefact.kind is ArtefactKind.EXECUTABLE
    assert (artefact.files[0].requirement.loader_kind, artefact.files[0].requirement.sonames) == (LoaderKind.NONE, ())
    musl, _ = read(FIXTURES / "x86_64-linux-musl" / "program")
    assert musl.files[0].requirement.loader_kind is LoaderKind.MUSL


@pytest.mark.parametrize("machine", sorted(path.name for path in FIXTURES.iterdir() if (path / "program").is_file()))
def test_every_machine_of_either_byte_order_is_told(machine: str) -> None:
    path = FIXTURES / machine / "program"
    artefact, _ = read(path)
    assert artefact.files[0].requirement.arch == read_elf(BytesSource(path.read_bytes())).arch


def test_an_unknown_machine_is_told_by_its_number(tmp_path: Path) -> None:
    data = bytearray(PROGRAM)
    data[18:20] = (0x1234).to_bytes(2, "little")
    artefact, _ = read(written(tmp_path / "alien", bytes(data)))
    assert artefact.files[0].requirement.arch == "machine-4660"


def test_a_kernel_and_an_x86_64_level_come_from_the_notes(tmp_path: Path) -> None:
    path = link(tmp_path / "v3", "-march=x86-64-v3", "-Wl,-z,x86-64-v3", source="int main(void) { return 0; }")
    requirement = read(path)[0].files[0].requirement
    assert requirement.x86_64_level == 3
    assert requirement.kernel is not None


def test_weak_versions_and_relr_are_kept_apart(tmp_path: Path) -> None:
    source = "static int a; int *p[64] = {&a, &a, &a}; int main(void) { return !p[0]; }"
    path = link(tmp_path / "relr", "-pie", "-fPIE", "-Wl,-z,pack-relative-relocs", source=source)
    (need,) = (need for need in read(path)[0].files[0].requirement.needs if need.soname == "libc.so.6")
    assert "GLIBC_ABI_DT_RELR" in need.versions


# --- wheels and their names ---------------------------------------------------------------------------------------


def test_a_wheel_has_its_tags_and_the_python_it_asks_for(tmp_path: Path) -> None:
    name = "pkg-1.0-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
    tags = ("cp312-cp312-manylinux_2_17_x86_64", "cp312-cp312-manylinux2014_x86_64")
    artefact, warnings = read(wheel_of(tmp_path / name, {"pkg/_x.abi3.so": LIBRARY, "pkg/__init__.py": b""}, tags=tags))
    assert (artefact.kind, warnings) == (ArtefactKind.WHEEL, [])
    assert [str(tag) for tag in artefact.tags] == sorted(tags)
    assert artefact.requires_python == ">=3.9,<4"
    assert [file.path for file in artefact.files] == ["pkg/_x.abi3.so"]


def test_a_wheel_is_linked_as_it_will_be_installed(tmp_path: Path) -> None:
    """A script lands in ``bin``, what is in ``data`` in the prefix, and a library beside the packages."""
    need = link(tmp_path / "t/pkg.libs/libneed.so.1", "-Wl,-soname,libneed.so.1")
    module = link(tmp_path / "t/pkg/_x.abi3.so", "-Wl,-rpath,$ORIGIN/../pkg.libs", needs=(need,))
    script = link(
        tmp_path / "t/tool", "-Wl,-rpath,$ORIGIN/../lib", source="int main(void) { return 0; }", needs=(need,)
    )
    members = {
        "pkg.libs/libneed.so.1": need.read_bytes(),
        "pkg-1.0.data/platlib/pkg/_x.abi3.so": module.read_bytes(),
        "pkg-1.0.data/scripts/tool": script.read_bytes(),
        "pkg-1.0.data/data/lib/libneed.so.1": need.read_bytes(),
    }
    artefact, _ = read(wheel_of(tmp_path / "pkg-1.0-cp312-cp312-linux_x86_64.whl", members))
    assert file_of(artefact, "pkg-1.0.data/platlib/pkg/_x.abi3.so").uses == ("pkg.libs/libneed.so.1",)
    assert file_of(artefact, "pkg-1.0.data/scripts/tool").uses == ("pkg-1.0.data/data/lib/libneed.so.1",)


def test_a_wheel_known_by_its_name_alone_has_tags_and_no_files() -> None:
    artefact, _ = read("dist/numpy-2.4.0-cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl")
    assert (artefact.kind, artefact.files) == (ArtefactKind.WHEEL_NAME, ())
    assert [tag.platform for tag in artefact.tags] == ["manylinux_2_27_x86_64", "manylinux_2_28_x86_64"]


@pytest.mark.parametrize(
    ("name", "extra", "level"),
    [
        ("pkg-1.0-cp312-cp312-linux_x86_64.whl", {}, None),
        ("pkg-1.0-cp312-cp312-linux_x86_64_v3.whl", {}, 3),
        ("pkg-1.0-cp312-cp312-linux_x86_64-v3.whl", {"level": ["v3"]}, 3),
        ("pkg-1.0-cp312-cp312-linux_x86_64-v3.whl", {"level": ["v4", "v2"]}, 2),
        ("pkg-1.0-cp312-cp312-linux_x86_64-null.whl", {"level": ["v3"]}, None),
    ],
)
def test_a_wheels_level_is_what_it_says(
    name: str, extra: dict[str, list[str]], level: int | None, tmp_path: Path
) -> None:
    tag = "-".join(name.removesuffix(".whl").split("-")[2:5])
    variant = json.dumps({"variants": {"v3": {"x86_64": extra}, "null": {}}})
    artefact, _ = read(wheel_of(tmp_path / name, {"pkg/_x.abi3.so": LIBRARY}, tags=(tag,), variant_json=variant))
    assert artefact.files[0].requirement.x86_64_level == level


# --- zip applications ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"#!/usr/bin/python3.11\n", "==3.11.*"),
        (b"#!/usr/bin/env python3.9\n", "==3.9.*"),
        (b"#!/usr/bin/env -S python3.12 -sE\n", "==3.12.*"),
        (b"#!/opt/py/bin/python3.13t\n", "==3.13.*"),
        (b"#!/usr/bin/env python3\r\n", "==3.*"),
        (b"#!/usr/bin/env python\n", None),
        (b"#!/usr/bin/env pypy3.10\n", None),
        (b"#!/bin/sh\n# python3.11\n", None),
        (b"", None),
    ],
)
def test_a_zip_application_asks_for_the_python_of_its_first_line(
    line: bytes, expected: str | None, tmp_path: Path
) -> None:
    artefact, _ = read(zip_of(tmp_path / "app.pyz", {"__main__.py": b"print()"}, head=line))
    assert (artefact.kind, artefact.requires_python) == (ArtefactKind.ZIPAPP, expected)


# --- environments and interpreters --------------------------------------------------------------------------------


def test_an_environment_has_all_its_shared_objects_and_the_python_it_was_made_for(tmp_path: Path) -> None:
    written(tmp_path / "pyvenv.cfg", ENVIRONMENT.encode())
    site = tmp_path / "lib/python3.12/site-packages/pkg"
    link(site / "_x.cpython-312-x86_64-linux-gnu.so")
    (tmp_path / "lib64").symlink_to("lib")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(os.path.realpath(sys.executable))
    artefact, warnings = read(tmp_path)
    assert (artefact.kind, warnings) == (ArtefactKind.ENVIRONMENT, [])
    assert (artefact.implementation, artefact.version) == (Implementation.CPYTHON, "3.12.6")
    assert [file.path for file in artefact.files] == [
        "lib/python3.12/site-packages/pkg/_x.cpython-312-x86_64-linux-gnu.so"
    ]


def interpreter_tree(prefix: Path, version: str = "3.12.10") -> None:
    """Make what an install of CPython is recognised by, linked by this machine's compiler."""
    minor = version.rpartition(".")[0]
    library = f"libpython{minor}.so.1.0"
    need = link(prefix / "lib" / library, f"-Wl,-soname,{library}", source="int Py_BytesMain(int a) { return a; }")
    link(
        prefix / f"bin/python{minor}",
        "-Wl,-rpath,$ORIGIN/../lib",
        source="int Py_BytesMain(int); int main(int a) { return Py_BytesMain(a); }",
        needs=(need,),
    )
    link(prefix / "bin/sqlite3", source="int main(void) { return 0; }")
    link(prefix / f"lib/python{minor}/lib-dynload/_ssl.cpython-312-x86_64-linux-gnu.so")
    written(prefix / f"lib/python{minor}/os.py", b"")
    (prefix / f"include/python{minor}").mkdir(parents=True)
    written(prefix / f"include/python{minor}/patchlevel.h", f'#define PY_VERSION "{version}"\n'.encode())


def check_interpreter(artefact: Artefact, top: str = "") -> None:
    assert (artefact.implementation, artefact.version) == (Implementation.CPYTHON, "3.12.10")
    assert file_of(artefact, f"{top}bin/python3.12").role is FileRole.EXECUTABLE
    assert file_of(artefact, f"{top}bin/python3.12").uses == (f"{top}lib/libpython3.12.so.1.0",)
    assert file_of(artefact, f"{top}lib/libpython3.12.so.1.0").role is FileRole.LIBRARY
    module = file_of(artefact, f"{top}lib/python3.12/lib-dynload/_ssl.cpython-312-x86_64-linux-gnu.so")
    assert module.role is FileRole.MODULE


@pytest.mark.parametrize("below", ["", "install/", "python/", "python/install/"])
def test_the_folder_of_an_install_is_an_interpreter(below: str, tmp_path: Path) -> None:
    interpreter_tree(tmp_path / below)
    artefact, _ = read(tmp_path)
    assert artefact.kind is ArtefactKind.INTERPRETER
    check_interpreter(artefact, below)
    assert file_of(artefact, f"{below}bin/sqlite3").role is FileRole.MODULE, "a tool beside it is not what is started"


def test_copies_of_the_main_program_are_one_interpreter(tmp_path: Path) -> None:
    interpreter_tree(tmp_path)
    for name in ("python", "python3"):
        shutil.copy(tmp_path / "bin/python3.12", tmp_path / "bin" / name)
    artefact, _ = read(tmp_path)
    check_interpreter(artefact)
    assert file_of(artefact, "bin/python").role is FileRole.EXECUTABLE


def test_two_pythons_in_one_folder_are_no_single_install(tmp_path: Path) -> None:
    interpreter_tree(tmp_path)
    interpreter_tree(tmp_path, "3.11.4")
    artefact, _ = read(tmp_path)
    assert (artefact.kind, artefact.version) == (ArtefactKind.FOLDER, None)


def test_another_interpreter_beside_a_python_is_a_tool_of_it(tmp_path: Path) -> None:
    interpreter_tree(tmp_path)
    link(
        tmp_path / "bin/perl",
        "-rdynamic",
        source="int perl_alloc(void) { return 0; } int perl_parse(void) { return 0; } int perl_run(void) { return 0; }"
        " int perl_construct(void) { return 0; } int main(void) { return perl_alloc(); }",
    )
    artefact, _ = read(tmp_path)
    check_interpreter(artefact)
    assert file_of(artefact, "bin/perl").role is FileRole.MODULE


def test_an_interpreter_deep_in_a_folder_leaves_it_a_folder(tmp_path: Path) -> None:
    interpreter_tree(tmp_path / "opt/app/runtime")
    artefact, _ = read(tmp_path)
    assert (artefact.kind, artefact.implementation) == (ArtefactKind.FOLDER, Implementation.UNKNOWN)


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("cpython-3.12.10+20250409-x86_64-unknown-linux-gnu-install_only.tar.gz", None),
        ("cpython-3.12.10+20250409-x86_64_v3-unknown-linux-gnu-install_only.tar.gz", 3),
    ],
)
def test_the_archive_of_an_install_tells_version_and_level(name: str, level: int | None, tmp_path: Path) -> None:
    interpreter_tree(tmp_path / "python")
    with tarfile.open(tmp_path / name, "w:gz") as archive:
        archive.add(tmp_path / "python", "python")
    artefact, _ = read(tmp_path / name)
    assert artefact.kind is ArtefactKind.ARCHIVE
    check_interpreter(artefact, "python/")
    assert {file.requirement.x86_64_level for file in artefact.files} <= ({level, 1} if level is None else {level})


def test_a_triple_beside_the_install_tells_the_level(tmp_path: Path) -> None:
    interpreter_tree(tmp_path / "python/install")
    text = '{"target_triple": "x86_64_v2-unknown-linux-gnu", "python_version": "3.12.10"}'
    written(tmp_path / "python/PYTHON.json", text.encode())
    folder, _ = read(tmp_path)
    with tarfile.open(tmp_path / "full.tar", "w") as archive:
        archive.add(tmp_path / "python", "python")
    packed, _ = read(tmp_path / "full.tar")
    for artefact in (folder, packed):
        check_interpreter(artefact, "python/install/")
        assert {file.requirement.x86_64_level for file in artefact.files} == {2}


def test_an_interpreter_deep_in_an_archive_is_not_what_it_is(tmp_path: Path) -> None:
    interpreter_tree(tmp_path / "app/lib/runtime")
    with tarfile.open(tmp_path / "app.tar", "w") as archive:
        archive.add(tmp_path / "app", "app")
    assert read(tmp_path / "app.tar")[0].implementation is Implementation.UNKNOWN


def test_a_tar_archive_that_ends_with_a_wheel_is_a_tar_archive(tmp_path: Path) -> None:
    wheel = wheel_of(tmp_path / "pkg-1.0-py3-none-any.whl", {"pkg/_x.abi3.so": LIBRARY})
    path = tar_of(tmp_path / "x.tar", ("bin/program", PROGRAM), (f"dist/{wheel.name}", wheel.read_bytes()))
    artefact, _ = read(path)
    assert artefact.kind is ArtefactKind.ARCHIVE
    assert [file.path for file in artefact.files] == ["bin/program", f"dist/{wheel.name}!pkg/_x.abi3.so"]


def test_a_hard_link_of_an_archive_is_found_as_the_file_that_it_repeats(tmp_path: Path) -> None:
    need = link(tmp_path / "t/lib/libneed.so.1", "-Wl,-soname,libneed.so.1")
    program = link(
        tmp_path / "t/bin/program", "-Wl,-rpath,$ORIGIN/../lib", source="int main(void) { return 0; }", needs=(need,)
    )
    path = tar_of(
        tmp_path / "x.tar",
        ("store/need", need.read_bytes()),
        ("bin/program", program.read_bytes()),
        special("lib/libneed.so.1", tarfile.LNKTYPE, "store/need"),
    )
    assert file_of(read(path)[0], "bin/program").uses == ("store/need",)


def test_files_of_a_wheel_in_a_folder_find_each_other(tmp_path: Path) -> None:
    need = link(tmp_path / "t/pkg.libs/libneed.so.1", "-Wl,-soname,libneed.so.1")
    module = link(tmp_path / "t/pkg/_x.abi3.so", "-Wl,-rpath,$ORIGIN/../pkg.libs", needs=(need,))
    (tmp_path / "dist").mkdir()
    wheel_of(
        tmp_path / "dist/pkg-1.0-py3-none-any.whl",
        {"pkg.libs/libneed.so.1": need.read_bytes(), "pkg/_x.abi3.so": module.read_bytes()},
    )
    artefact, _ = read(tmp_path / "dist")
    inside = "pkg-1.0-py3-none-any.whl!"
    assert file_of(artefact, f"{inside}pkg/_x.abi3.so").uses == (f"{inside}pkg.libs/libneed.so.1",)


# --- several paths ------------------------------------------------------------------------------------------------


def test_paths_are_answered_in_order_and_a_bad_one_does_not_stop_the_others(tmp_path: Path) -> None:
    good = FIXTURES / "x86_64-linux-gnu" / "program"
    errors: list[tuple[str, str]] = []
    told: list[tuple[str, int, int | None]] = []
    found = read_artefacts(
        [good, tmp_path / "missing", str(good)],
        on_error=lambda name, words: errors.append((name, words)),
        progress=lambda phase, done, total=None: told.append((phase, done, total)),
    )
    assert [artefact.name for artefact in found] == [str(good), str(good)]
    assert [name for name, _ in errors] == [str(tmp_path / "missing")]
    assert told == [("artefacts", number, 3) for number in range(4)]


def test_nothing_is_written_beside_what_is_read(tmp_path: Path) -> None:
    for make, _ in CONTAINERS.values():
        make(tmp_path)
    before = sorted((str(path), path.lstat().st_mtime_ns) for path in tmp_path.rglob("*"))
    here = sorted(os.listdir())  # noqa: PTH208 - the working folder
    for name in ("tree", "x.tar", "x.tar.gz", "x.tar.zst", "x.zip", "x.pyz"):
        read(tmp_path / name)
    assert sorted((str(path), path.lstat().st_mtime_ns) for path in tmp_path.rglob("*")) == before
    assert sorted(os.listdir()) == here  # noqa: PTH208


def test_a_folder_without_elf_files_is_an_artefact_without_files(tmp_path: Path) -> None:
    written(tmp_path / "a.py", b"pass\n")
    artefact, _ = read(tmp_path)
    assert (artefact.kind, artefact.files) == (ArtefactKind.FOLDER, ())


def test_a_damaged_file_among_others_is_passed_over_and_told(tmp_path: Path) -> None:
    folder_of(tmp_path)
    written(tmp_path / "bad.so", PROGRAM[:100])
    written(tmp_path / "bad2.so", PROGRAM[:90])
    shutil.copy(FIXTURES / "x86_64-linux-gnu" / "program", tmp_path / "object.o")
    artefact, warnings = read(tmp_path)
    assert len(artefact.files) == 3
    (words,) = warnings
    assert "bad.so" in words or "bad2.so" in words
    assert "and 1 more" in words


def test_real_wheels_of_this_machine_are_read_without_a_word() -> None:
    bundled = sorted(Path("/usr/share/python-wheels").glob("*.whl")) + sorted(
        (Path(os.__file__).parent / "ensurepip" / "_bundled").glob("*.whl")
    )
    if not bundled:
        pytest.skip("no wheel on this machine")
    for path in bundled:
        artefact, warnings = read(path)
        assert (artefact.kind, warnings, artefact.files) == (ArtefactKind.WHEEL, [], ())
        assert artefact.requires_python is not None
