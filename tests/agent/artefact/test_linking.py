"""Which file of an artefact finds which other one: as the loader of this machine does, for every case of its rules."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
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


def _beside(top: Path) -> None:
    need = link(top / "lib/libneed.so.1", _soname("libneed.so.1"))
    link(top / "bin/program", RUNPATH, "-Wl,-rpath,$ORIGIN/../lib", source=MAIN, needs=(need,))


def _nowhere(top: Path) -> None:
    need = link(top / "lib/libneed.so.1", _soname("libneed.so.1"))
    link(top / "bin/program", source=MAIN, needs=(need,))


def _runpath_is_not_inherited(top: Path) -> None:
    inner = link(top / "inner/libinner.so.1", _soname("libinner.so.1"))
    outer = link(top / "lib/libouter.so.1", _soname("libouter.so.1"), needs=(inner,))
    link(top / "bin/program", RUNPATH, "-Wl,-rpath,$ORIGIN/../lib:$ORIGIN/../inner", source=MAIN, needs=(outer,))


def _rpath_is_inherited(top: Path) -> None:
    inner = link(top / "inner/libinner.so.1", _soname("libinner.so.1"))
    outer = link(top / "lib/libouter.so.1", _soname("libouter.so.1"), needs=(inner,))
    link(top / "bin/program", RPATH, "-Wl,-rpath,$ORIGIN/../lib:$ORIGIN/../inner", source=MAIN, needs=(outer,))


def _loaded_by_another(top: Path) -> None:
    first = link(top / "lib/libfirst.so.1", _soname("libfirst.so.1"))
    second = link(top / "lib/libsecond.so.1", _soname("libsecond.so.1"), needs=(first,))
    link(top / "bin/program", RUNPATH, "-Wl,-rpath,$ORIGIN/../lib", source=MAIN, needs=(first, second))


def _loaded_under_its_soname(top: Path) -> None:
    plain = link(top / "lib/libplain.so", _soname("libplain.so.7"))
    (top / "lib/libplain.so.7").symlink_to("libplain.so")
    user = link(top / "lib/libuser.so.1", _soname("libuser.so.1"), needs=(plain,))
    (top / "lib/libplain.so.7").unlink()
    absent = link(top / "build/libplain.so", _soname("libplain.so"))
    link(top / "bin/program", RUNPATH, "-Wl,-rpath,$ORIGIN/../lib", source=MAIN, needs=(absent, user))
    shutil.rmtree(top / "build")


def _through_links(top: Path) -> None:
    need = link(top / "real/libneed.so.1.2.3", _soname("libneed.so.1"))
    (top / "real/libneed.so.1").symlink_to("libneed.so.1.2.3")
    (top / "lib").symlink_to("real")
    link(top / "bin/program", RUNPATH, "-Wl,-rpath,$ORIGIN/../lib", source=MAIN, needs=(need,))


def _name_is_a_path(top: Path) -> None:
    need = link(top / "lib/libneed.so.1", _soname("$ORIGIN/../lib/libneed.so.1"))
    link(top / "bin/program", source=MAIN, needs=(need,))


def _absolute_path_into_itself(top: Path) -> None:
    need = link(top / "lib/libneed.so.1", _soname("libneed.so.1"))
    link(top / "bin/program", RPATH, f"-Wl,-rpath,{top}/lib", source=MAIN, needs=(need,))


def _modules_with_a_folder_of_libraries(top: Path) -> None:
    inner = link(top / "pkg.libs/libinner-1a2b.so.1", _soname("libinner-1a2b.so.1"))
    grafted = link(
        top / "pkg.libs/libgrafted-9f.so.2", _soname("libgrafted-9f.so.2"), RPATH, "-Wl,-rpath,$ORIGIN", needs=(inner,)
    )
    link(top / "pkg/_core.abi3.so", RPATH, "-Wl,-rpath,$ORIGIN/../pkg.libs", needs=(grafted,))
    link(top / "pkg/deep/_other.abi3.so", RPATH, "-Wl,-rpath,$ORIGIN/../pkg.libs", needs=(grafted,))


def _another_machine_in_the_way(top: Path) -> None:
    need = link(top / "good/libneed.so.1", _soname("libneed.so.1"))
    foreign = Path(__file__).parents[2] / "fixtures/elf/aarch64-linux-gnu/libfixture.so.1"
    (top / "bad").mkdir()
    shutil.copy(foreign, top / "bad/libneed.so.1")
    link(top / "bin/program", RUNPATH, "-Wl,-rpath,$ORIGIN/../bad:$ORIGIN/../good", source=MAIN, needs=(need,))


def _circle(top: Path) -> None:
    stub = link(top / "lib/libone.so.1", _soname("libone.so.1"))
    two = link(top / "lib/libtwo.so.1", _soname("libtwo.so.1"), RUNPATH, "-Wl,-rpath,$ORIGIN", needs=(stub,))
    link(top / "lib/libone.so.1", _soname("libone.so.1"), RUNPATH, "-Wl,-rpath,$ORIGIN", needs=(two,))


CASES: tuple[Callable[[Path], None], ...] = (
    _beside,
    _nowhere,
    _runpath_is_not_inherited,
    _rpath_is_inherited,
    _loaded_by_another,
    _loaded_under_its_soname,
    _through_links,
    _name_is_a_path,
    _absolute_path_into_itself,
    _modules_with_a_folder_of_libraries,
    _another_machine_in_the_way,
    _circle,
)


@pytest.mark.parametrize("build", CASES, ids=lambda build: build.__name__.strip("_"))
def test_what_is_mapped_is_what_this_machines_loader_maps(build: Callable[[Path], None], tmp_path: Path) -> None:
    build(tmp_path)
    artefact, warnings = read(tmp_path)
    assert warnings == []
    started = [file for file in artefact.files if file.role is not FileRole.LIBRARY] or list(artefact.files)
    for file in started:
        if file.requirement.arch != "x86_64":
            continue
        found, missing = ldd(tmp_path / file.path)
        closure = mapped(artefact, file.path)
        inside = {path for path in found if path.startswith(f"{tmp_path}/")}
        own = os.path.realpath(tmp_path / file.path)
        assert {os.path.realpath(tmp_path / path) for path in closure} | {own} == inside | {own}, file.path
        open_names = {name for path in closure for name in file_of(artefact, path).requirement.sonames}
        assert missing == open_names - {"libc.so.6"}, file.path


def test_a_library_where_the_loader_does_not_look_is_a_stray_and_stays_a_need(tmp_path: Path) -> None:
    _nowhere(tmp_path)
    program = file_of(read(tmp_path)[0], "bin/program")
    assert (program.uses, program.stray) == ((), ("libneed.so.1",))
    assert program.requirement.sonames == ("libc.so.6", "libneed.so.1")


def test_where_the_path_of_one_program_does_not_help_another_the_other_one_has_the_need(tmp_path: Path) -> None:
    inner = link(tmp_path / "inner/libinner.so.1", _soname("libinner.so.1"))
    outer = link(tmp_path / "lib/libouter.so.1", _soname("libouter.so.1"), needs=(inner,))
    both, one = "-Wl,-rpath,$ORIGIN/../lib:$ORIGIN/../inner", "-Wl,-rpath,$ORIGIN/../lib"
    link(tmp_path / "bin/good", RPATH, both, source=MAIN, needs=(outer,))
    link(tmp_path / "bin/bad", RPATH, one, source=MAIN, needs=(outer,))
    artefact, _ = read(tmp_path)
    assert subprocess.run([tmp_path / "bin/good"], check=False).returncode == 0
    assert subprocess.run([tmp_path / "bin/bad"], check=False, capture_output=True).returncode == 127
    assert file_of(artefact, "bin/good").stray == ()
    assert file_of(artefact, "bin/bad").stray == ("libinner.so.1",)
    assert "libinner.so.1" in file_of(artefact, "bin/bad").requirement.sonames
    assert file_of(artefact, "lib/libouter.so.1").uses == ("inner/libinner.so.1",)


def test_a_version_that_the_own_library_lacks_stays_a_need(tmp_path: Path) -> None:
    for number, names in (("new", "V_1 { global: f; }; V_2 { global: g; };"), ("old", "V_1 { global: f; local: *; };")):
        script = tmp_path / f"{number}.map"
        script.write_text(names)
        link(
            tmp_path / number / "libv.so.1",
            _soname("libv.so.1"),
            f"-Wl,--version-script={script}",
            source="int f(void) { return 1; } int g(void) { return 2; }",
        )
    for number in ("old", "new"):
        link(
            tmp_path / f"with-{number}/bin/program",
            "-Wl,-rpath,$ORIGIN/../lib",
            source="int f(void); int g(void); int main(void) { return f() + g() - 3; }",
            needs=(tmp_path / "new/libv.so.1",),
        )
        (tmp_path / f"with-{number}/lib").mkdir()
        shutil.copy(tmp_path / number / "libv.so.1", tmp_path / f"with-{number}/lib")
        program = tmp_path / f"with-{number}/bin/program"
        starts = subprocess.run([program], check=False, capture_output=True).returncode == 0
        requirement = file_of(read(tmp_path / f"with-{number}")[0], "bin/program").requirement
        wanted = {need.soname: need.versions for need in requirement.needs}
        assert starts == ("libv.so.1" not in wanted) == (number == "new")
        if not starts:
            assert wanted["libv.so.1"] == ("V_2",)
            assert [entry.symbol for entry in requirement.raised_by if entry.soname == "libv.so.1"] == ["g"]


def test_what_is_brought_along_raises_no_floor_of_the_one_that_needs_it(tmp_path: Path) -> None:
    script = tmp_path / "v.map"
    script.write_text("OWN_1 { global: f; };")
    need = link(tmp_path / "a/lib/libv.so.1", _soname("libv.so.1"), f"-Wl,--version-script={script}")
    link(
        tmp_path / "a/bin/program",
        "-Wl,-rpath,$ORIGIN/../lib",
        source="int f(void); int main(void) { return f() - 1; }",
        needs=(need,),
    )
    requirement = file_of(read(tmp_path / "a")[0], "bin/program").requirement
    assert [need.soname for need in requirement.needs] == ["libc.so.6"]
    assert {entry.soname for entry in requirement.raised_by} == {"libc.so.6"}


def test_the_modules_of_an_interpreter_find_what_it_has_loaded(tmp_path: Path) -> None:
    """The main program's RPATH and libraries are there for what it opens; another module's are not."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    prefix = tmp_path / "prefix"
    need = link(
        prefix / "lib/libpython3.12.so.1.0",
        _soname("libpython3.12.so.1.0"),
        source="int Py_BytesMain(int a, char **b) { return a; }",
    )
    link(
        prefix / "bin/python3.12",
        RUNPATH,
        "-Wl,-rpath,$ORIGIN/../lib",
        source="int Py_BytesMain(int, char **); int main(int a, char **b) { return Py_BytesMain(a, b); }",
        needs=(need,),
    )
    dynload = prefix / "lib/python3.12/lib-dynload"
    link(dynload / "_x.cpython-312-x86_64-linux-gnu.so", needs=(need,))
    shutil.copy(stdlib / "os.py", prefix / "lib/python3.12/os.py")
    artefact, _ = read(prefix)
    assert artefact.kind is ArtefactKind.INTERPRETER
    module = file_of(artefact, "lib/python3.12/lib-dynload/_x.cpython-312-x86_64-linux-gnu.so")
    assert module.role is FileRole.MODULE
    assert module.uses == ("lib/libpython3.12.so.1.0",)
    assert module.stray == ()


@pytest.mark.slow
def test_every_file_of_this_environment_maps_what_the_loader_maps() -> None:
    prefix = Path(sys.prefix)
    if sys.prefix == sys.base_prefix:
        pytest.skip("the tests run in no virtual environment")
    artefact, _ = read(prefix)
    compared = 0
    for file in artefact.files:
        if file.role is FileRole.LIBRARY or file.requirement.arch != os.uname().machine:
            continue
        found, missing = ldd(prefix / file.path)
        closure = mapped(artefact, file.path)
        inside = {path for path in found if path.startswith(f"{os.path.realpath(prefix)}/")}
        assert {os.path.realpath(prefix / path) for path in closure - {file.path}} == inside, file.path
        open_names = {name for path in closure for name in file_of(artefact, path).requirement.sonames}
        assert missing <= open_names, file.path
        compared += 1
    assert compared > 50
