"""What travels with a single file: what the loader of this machine finds beside it, and nothing that lies elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libcensus.facts.vocabulary import ArtefactKind, FileRole
from tests.agent.artefact.samples import file_of, ldd, link, mapped, read

if TYPE_CHECKING:
    from collections.abc import Callable

RPATH = "-Wl,--disable-new-dtags"
RUNPATH = "-Wl,--enable-new-dtags"
MAIN = "int main(void) { return 0; }"


def _soname(name: str) -> str:
    return f"-Wl,-soname,{name}"


def _nested(top: Path) -> Path:
    innermost = link(top / "lib/deep/er/libinnermost.so.1", _soname("libinnermost.so.1"))
    inner = link(
        top / "lib/deep/libinner.so.1", _soname("libinner.so.1"), RUNPATH, "-Wl,-rpath,$ORIGIN/er", needs=(innermost,)
    )
    outer = link(
        top / "lib/libouter.so.1", _soname("libouter.so.1"), RUNPATH, "-Wl,-rpath,${ORIGIN}/deep", needs=(inner,)
    )
    return link(top / "bin/program", RUNPATH, "-Wl,-rpath,$ORIGIN/../lib", source=MAIN, needs=(outer,))


def _rpath_is_inherited(top: Path) -> Path:
    inner = link(top / "inner/libinner.so.1", _soname("libinner.so.1"))
    outer = link(top / "lib/libouter.so.1", _soname("libouter.so.1"), needs=(inner,))
    return link(top / "bin/program", RPATH, "-Wl,-rpath,$ORIGIN/../lib:$ORIGIN/../inner", source=MAIN, needs=(outer,))


def _runpath_is_not_inherited(top: Path) -> Path:
    inner = link(top / "inner/libinner.so.1", _soname("libinner.so.1"))
    outer = link(top / "lib/libouter.so.1", _soname("libouter.so.1"), needs=(inner,))
    return link(top / "bin/program", RUNPATH, "-Wl,-rpath,$ORIGIN/../lib:$ORIGIN/../inner", source=MAIN, needs=(outer,))


def _program_through_a_link(top: Path) -> Path:
    need = link(top / "app/lib/libneed.so.1", _soname("libneed.so.1"))
    link(top / "app/bin/program", RUNPATH, "-Wl,-rpath,$ORIGIN/../lib", source=MAIN, needs=(need,))
    (top / "bin").mkdir()
    (top / "bin/program").symlink_to("../app/bin/program")
    # What lies beside the link is not beside the program.
    link(top / "lib/libneed.so.1", _soname("libneed.so.1"))
    return top / "bin/program"


def _libraries_through_links(top: Path) -> Path:
    inner = link(top / "store/inner/libinner.so.1", _soname("libinner.so.1"))
    outer = link(
        top / "store/real/libouter.so.1.2.3",
        _soname("libouter.so.1"),
        RUNPATH,
        "-Wl,-rpath,$ORIGIN/../inner",
        needs=(inner,),
    )
    (top / "lib").mkdir()
    (top / "lib/libouter.so.1").symlink_to("../store/real/libouter.so.1.2.3")
    # A library's $ORIGIN is where it was found, not where it really lies.
    link(top / "inner/libinner.so.1", _soname("libinner.so.1"))
    return link(top / "bin/program", RUNPATH, "-Wl,-rpath,$ORIGIN/../lib", source=MAIN, needs=(outer,))


def _needed_names_are_paths(top: Path) -> Path:
    need = link(top / "lib/libneed.so.1", _soname("$ORIGIN/../lib/libneed.so.1"))
    return link(top / "bin/program", source=MAIN, needs=(need,))


def _circle(top: Path) -> Path:
    stub = link(top / "lib/libone.so.1", _soname("libone.so.1"))
    two = link(top / "lib/libtwo.so.1", _soname("libtwo.so.1"), RUNPATH, "-Wl,-rpath,$ORIGIN", needs=(stub,))
    return link(top / "lib/libone.so.1", _soname("libone.so.1"), RUNPATH, "-Wl,-rpath,$ORIGIN", needs=(two,))


def _library_through_a_link(top: Path) -> Path:
    need = link(top / "real/libneed.so.1", _soname("libneed.so.1"))
    link(top / "real/libgiven.so", RUNPATH, "-Wl,-rpath,$ORIGIN", needs=(need,))
    # To a library, its folder is where it is opened.
    link(top / "given/libneed.so.1", _soname("libneed.so.1"))
    (top / "given/libgiven.so").symlink_to("../real/libgiven.so")
    return top / "given/libgiven.so"


def _another_machine_in_the_way(top: Path) -> Path:
    need = link(top / "good/libneed.so.1", _soname("libneed.so.1"))
    foreign = Path(__file__).parents[2] / "fixtures/elf/aarch64-linux-gnu/libfixture.so.1"
    (top / "bad").mkdir()
    shutil.copy(foreign, top / "bad/libneed.so.1")
    return link(top / "bin/program", RUNPATH, "-Wl,-rpath,$ORIGIN/../bad:$ORIGIN/../good", source=MAIN, needs=(need,))


CASES: tuple[Callable[[Path], Path], ...] = (
    _nested,
    _rpath_is_inherited,
    _runpath_is_not_inherited,
    _program_through_a_link,
    _libraries_through_links,
    _needed_names_are_paths,
    _circle,
    _library_through_a_link,
    _another_machine_in_the_way,
)


@pytest.mark.parametrize("build", CASES, ids=lambda build: build.__name__.strip("_"))
def test_what_travels_is_what_this_machines_loader_finds_beside_it(
    build: Callable[[Path], Path], tmp_path: Path
) -> None:
    given = build(tmp_path)
    artefact, warnings = read(given)
    assert warnings == []
    found, missing = ldd(given, is_library=artefact.kind is ArtefactKind.SHARED_OBJECT)
    inside = {path for path in found if path.startswith(f"{tmp_path}/")}
    assert {os.path.realpath(file.path) for file in artefact.files} == inside | {os.path.realpath(given)}
    assert mapped(artefact, str(given)) == {file.path for file in artefact.files}
    assert {file.role for file in artefact.files if file.path != str(given)} <= {FileRole.LIBRARY}
    open_names = {name for file in artefact.files for name in file.requirement.sonames}
    assert missing == open_names - {"libc.so.6"}


def test_a_relative_path_has_the_same_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = _nested(tmp_path)
    monkeypatch.chdir(tmp_path / "lib")
    artefact, warnings = read("../bin/program")
    assert (len(artefact.files), warnings) == (4, [])
    assert file_of(artefact, "../bin/program").uses == (str(tmp_path / "lib/libouter.so.1"),)
    assert file_of(artefact, "../bin/program").requirement.sonames == ("libc.so.6",)
    assert len(read(given)[0].files) == 4


def _by_rpath(top: Path, need: Path) -> Path:
    return link(top / "bin/program", RPATH, f"-Wl,-rpath,{top}/lib", source=MAIN, needs=(need,))


def _by_runpath(top: Path, need: Path) -> Path:
    return link(top / "bin/program", RUNPATH, f"-Wl,-rpath,{top}/lib", source=MAIN, needs=(need,))


@pytest.mark.parametrize("build", [_by_rpath, _by_runpath], ids=["rpath", "runpath"])
def test_what_lies_at_an_absolute_path_stays_behind(build: Callable[[Path, Path], Path], tmp_path: Path) -> None:
    need = link(tmp_path / "lib/libneed.so.1", _soname("libneed.so.1"))
    given = build(tmp_path, need)
    assert subprocess.run([given], check=False).returncode == 0
    artefact, warnings = read(given)
    (file,) = artefact.files
    assert warnings == []
    assert "libneed.so.1" in file.requirement.sonames
    assert file.requirement.runpath == (f"{tmp_path}/lib",), "what is in it on another host is not known"


def test_a_needed_absolute_path_stays_a_need(tmp_path: Path) -> None:
    need = link(tmp_path / "lib/libneed.so.1", _soname(f"{tmp_path}/lib/libneed.so.1"))
    given = link(tmp_path / "bin/program", "-Wl,-rpath,$ORIGIN/../lib", source=MAIN, needs=(need,))
    assert subprocess.run([given], check=False).returncode == 0
    (file,) = read(given)[0].files
    assert f"{tmp_path}/lib/libneed.so.1" in file.requirement.sonames


def test_an_absolute_path_to_what_travels_does_not_hide_that_it_may_be_something_else_there(tmp_path: Path) -> None:
    need = link(tmp_path / "lib/libneed.so.1", _soname("libneed.so.1"))
    absent = link(tmp_path / "build/libabsent.so.1", _soname("libabsent.so.1"))
    given = link(
        tmp_path / "bin/program",
        f"-Wl,-rpath,$ORIGIN/../lib:{tmp_path}/lib",
        source=MAIN,
        needs=(need, absent),
    )
    program = file_of(read(given)[0], str(given))
    assert program.uses == (str(need),)
    assert program.requirement.sonames == ("libabsent.so.1", "libc.so.6")
    assert f"{tmp_path}/lib" in program.requirement.runpath


def test_the_hosts_own_libraries_stay_behind() -> None:
    artefact, _ = read("/bin/sh")
    assert [file.path for file in artefact.files] == ["/bin/sh"]
    assert "libc.so.6" in artefact.files[0].requirement.sonames


def test_a_default_folder_stays_behind_though_origin_leads_there(tmp_path: Path) -> None:
    (libc,) = (path for path in ldd(Path("/bin/sh"))[0] if "/libc." in path)
    (tmp_path / "lib").symlink_to(Path(libc).parent)
    given = link(tmp_path / "bin/program", RUNPATH, "-Wl,-rpath,$ORIGIN/../lib", source=MAIN)
    artefact, warnings = read(given)
    assert ([file.path for file in artefact.files], warnings) == ([str(given)], [])
    assert artefact.files[0].requirement.sonames == ("libc.so.6",)


def test_the_loader_of_musl_stays_behind(tmp_path: Path) -> None:
    loader = link(tmp_path / "lib/ld-musl-x86_64.so.1", _soname("libc.musl-x86_64.so.1"))
    (tmp_path / "lib/libc.musl-x86_64.so.1").symlink_to(loader.name)
    given = link(
        tmp_path / "bin/program",
        RUNPATH,
        "-Wl,-rpath,$ORIGIN/../lib",
        f"-Wl,--dynamic-linker,{loader}",
        "-nostdlib",
        source="int main(void) { return 0; } void _start(void) { main(); }",
        needs=(loader,),
    )
    artefact, _ = read(given)
    (file,) = artefact.files
    assert (file.requirement.sonames, file.uses) == (("libc.musl-x86_64.so.1",), ())


def test_a_file_is_read_from_a_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert len(read(_nested(tmp_path))[0].files) == 4


def test_a_version_that_the_library_beside_it_lacks_stays_a_need(tmp_path: Path) -> None:
    for number, names in (("new", "V_1 { global: f; }; V_2 { global: g; };"), ("lib", "V_1 { global: f; local: *; };")):
        script = tmp_path / f"{number}.map"
        script.write_text(names)
        flags = (_soname("libv.so.1"), f"-Wl,--version-script={script}")
        link(tmp_path / number / "libv.so.1", *flags, source="int f(void) { return 1; } int g(void) { return 2; }")
    given = link(
        tmp_path / "bin/program",
        "-Wl,-rpath,$ORIGIN/../lib",
        source="int f(void); int g(void); int main(void) { return f() + g() - 3; }",
        needs=(tmp_path / "new/libv.so.1",),
    )
    assert subprocess.run([given], check=False, capture_output=True).returncode != 0
    program = file_of(read(given)[0], str(given))
    assert program.uses == (str(tmp_path / "lib/libv.so.1"),)
    assert [need.versions for need in program.requirement.needs if need.soname == "libv.so.1"] == [("V_2",)]


def test_a_damaged_library_beside_it_is_told_and_stays_a_need(tmp_path: Path) -> None:
    need = link(tmp_path / "lib/libneed.so.1", _soname("libneed.so.1"))
    given = link(tmp_path / "bin/program", "-Wl,-rpath,$ORIGIN/../lib", source=MAIN, needs=(need,))
    need.write_bytes(need.read_bytes()[:200])
    artefact, warnings = read(given)
    (words,) = warnings
    assert words.startswith("passed over, truncated: ")
    assert str(need) in words
    assert "libneed.so.1" in artefact.files[0].requirement.sonames


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to(path)])
def test_what_is_no_file_beside_it_is_never_opened(make: Callable[[Path], None], tmp_path: Path) -> None:
    need = link(tmp_path / "lib/libneed.so.1", _soname("libneed.so.1"))
    given = link(tmp_path / "bin/program", "-Wl,-rpath,$ORIGIN/../lib", source=MAIN, needs=(need,))
    need.unlink()
    make(need)
    artefact, _ = read(given)
    assert artefact.kind is ArtefactKind.EXECUTABLE
    assert "libneed.so.1" in artefact.files[0].requirement.sonames
