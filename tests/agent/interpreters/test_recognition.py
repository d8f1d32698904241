"""Main programs of CPython are told from programs that embed it, by what they are; layouts, providers, installers."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from libcensus.agent.elf.reader import BytesSource
from libcensus.agent.errors import ElfError
from libcensus.agent.host import Root
from libcensus.agent.interpreters.installer import find_installer
from libcensus.agent.interpreters.mainprogram import is_interpreter_name, recognise_main_program
from libcensus.facts.vocabulary import EvidenceKind, Installer
from tests.agent.roots import (
    DEBIAN,
    LIBPYTHON,
    MAIN,
    VENDOR,
    add_dpkg,
    compile_c,
    make_python,
    needs_gcc,
    only_install,
    scan_folder,
    shared,
    skips_of,
)

EXPORTED = "int Py_BytesMain(void) { return 0; }\nint Py_Main(void) { return 0; }\nint main(void) { return 0; }\n"
TEXTS = (
    'const char *texts[] = {"PYTHONHASHSEED", "PYTHONSTARTUP", "Fatal Python error: %s"};\n'
    "int main(int c, char **v) { return texts[c][0]; }\n"
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("python", True),
        ("python3", True),
        ("python3.13t", True),
        ("python3.6m", True),
        ("python2.7", True),
        ("platform-python3.6", True),
        ("x86_64-linux-gnu-python3.11", True),
        ("python3-config", False),
        ("python3.11-gdb.py", False),
        ("xq-python", False),
        ("ipython3", False),
        ("pythonw.exe", False),
        ("python3\n", False),
    ],
)
def test_interpreter_names(name: str, expected: bool) -> None:
    assert is_interpreter_name(name) is expected


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    many = "".join(f"int Py_Function{number}(void) {{ return 0; }}\n" for number in range(30))
    return shared(tmp_path_factory.mktemp("lib") / "libpython3.99.so.1.0", LIBPYTHON + many, "libpython3.99.so.1.0")


def recognised(file: Path, name: str) -> tuple[EvidenceKind, str | None, bool] | None:
    program = recognise_main_program(BytesSource(file.read_bytes()), name)
    return None if program is None else (program.kind, program.version, program.is_certain)


@needs_gcc
def test_program_that_only_starts_python_is_one_whatever_its_name(tmp_path: Path, library: Path) -> None:
    file = compile_c(tmp_path / "anything", MAIN, str(library))
    assert recognised(file, "anything") == (EvidenceKind.ELF_SYMBOL, "3.99", True)


@needs_gcc
def test_program_that_uses_much_of_pythons_api_embeds_it(tmp_path: Path, library: Path) -> None:
    calls = "".join(f"extern int Py_Function{n}(void);\n" for n in range(30))
    body = " + ".join(f"Py_Function{n}()" for n in range(30))
    source = calls + MAIN.replace("return ", f"return {body} + ")
    file = compile_c(tmp_path / "gdb", source, str(library))
    assert recognised(file, "gdb") is None


@needs_gcc
def test_program_that_needs_libpython_and_does_not_start_it_is_none(tmp_path: Path, library: Path) -> None:
    source = "extern int Py_Function1(void);\nint main(void) { return Py_Function1(); }\n"
    file = compile_c(tmp_path / "python3", source, str(library))
    assert recognised(file, "python3") is None


@needs_gcc
@pytest.mark.parametrize(
    ("source", "arguments", "name", "expected"),
    [
        pytest.param(EXPORTED, ["-rdynamic"], "python3.99", (EvidenceKind.ELF_SYMBOL, "3.99", True), id="linked in"),
        pytest.param(
            EXPORTED, ["-rdynamic"], "app", (EvidenceKind.ELF_SYMBOL, None, False), id="linked in, other name"
        ),
        pytest.param(EXPORTED, [], "app", None, id="not exported, other name"),
        pytest.param(
            TEXTS, ["-static", "-s"], "python3.99", (EvidenceKind.STRING, "3.99", True), id="static and stripped"
        ),
        pytest.param(TEXTS, ["-static", "-s"], "app", None, id="static and stripped, other name"),
        pytest.param("int main(void) { return 0; }\n", [], "python3", None, id="another program of that name"),
        pytest.param(EXPORTED, ["-shared", "-fPIC"], "libpython3.99.so", None, id="library"),
    ],
)
def test_programs_that_hold_python(
    tmp_path: Path,
    source: str,
    arguments: list[str],
    name: str,
    expected: tuple[EvidenceKind, str | None, bool] | None,
) -> None:
    if "-shared" in arguments:
        arguments = [*arguments, "-Wl,-soname,libpython3.99.so"]
    file = compile_c(tmp_path / "file", source, *arguments)
    assert recognised(file, name) == expected


def test_shim_is_no_interpreter() -> None:
    assert recognise_main_program(BytesSource(b"#!/usr/bin/env bash\nexec pyenv exec\n"), "python3") is None


def test_running_interpreter_is_recognised() -> None:
    file = Path(sys.executable).resolve()
    found = recognised(file, file.name)
    assert found is not None
    assert found[2]


@pytest.mark.parametrize("size", [4, 16, 63, 64, 500])
def test_cut_interpreter_is_an_error_and_no_interpreter(size: int) -> None:
    data = Path(sys.executable).resolve().read_bytes()[:size]
    with pytest.raises(ElfError):
        recognise_main_program(BytesSource(data), "python3")


# --- layouts and providers, on whole roots -----------------------------------------------------------------------


@needs_gcc
def test_names_links_and_copies_are_one_install(tmp_path: Path) -> None:
    python = make_python(tmp_path)
    os.link(python.executable, python.folder / "bin/python3.99m")
    (python.folder / "bin/python").unlink()
    shutil.copy(python.executable, python.folder / "bin/python")
    (tmp_path / "usr/local/bin").mkdir(parents=True)
    (tmp_path / "usr/local/bin/python3").symlink_to("/opt/python/bin/python3")
    (tmp_path / "bin").symlink_to("opt/python/bin")
    found = scan_folder(tmp_path)
    (install,) = found.installs.installs
    assert install.path == install.realpath == "/opt/python/bin/python3.99"
    assert install.aliases == (
        "/opt/python/bin/python",
        "/opt/python/bin/python3",
        "/opt/python/bin/python3.99m",
        "/usr/local/bin/python3",
    )


@needs_gcc
def test_equal_files_at_two_prefixes_are_one_build(tmp_path: Path) -> None:
    first = make_python(tmp_path, "/opt/one", configured="/install")
    shutil.copytree(first.folder, tmp_path / "home/u/two", symlinks=True)
    found = scan_folder(tmp_path)
    one, build = only_install(found, "/opt/one/bin/python3.99")
    two, _ = only_install(found, "/home/u/two/bin/python3.99")
    assert one.build == two.build
    assert len(found.builds) == 1
    assert build is not None
    assert [file.path for file in build.files] == ["bin/python3.99", "lib/libpython3.99.so.1.0"]


@needs_gcc
def test_program_of_python_code_is_no_second_install(tmp_path: Path) -> None:
    make_python(tmp_path, "/usr", rpath="/usr/lib")
    compile_c(tmp_path / "usr/bin/app", EXPORTED, "-rdynamic")
    found = scan_folder(tmp_path)
    assert [install.path for install in found.installs.installs] == ["/usr/bin/python3.99"]
    assert skips_of(found, "interpreters") == {"embeds-python": 1}


@needs_gcc
def test_renamed_interpreter_with_a_standard_library_is_an_install(tmp_path: Path) -> None:
    compile_c(tmp_path / "opt/app/bin/runtime", EXPORTED, "-rdynamic")
    (tmp_path / "opt/app/lib/python3.98").mkdir(parents=True)
    (tmp_path / "opt/app/lib/python3.98/os.py").write_text("")
    _, build = only_install(scan_folder(tmp_path), "/opt/app/bin/runtime")
    assert build is not None
    assert build.version is None


PBS = "\"'--prefix=/install' '--with-openssl=/tools/deps' '--enable-optimizations'\""
DOCKER = (
    "\"'--build=x86_64-linux-gnu' '--enable-loadable-sqlite-extensions' '--enable-optimizations' "
    "'--enable-option-checking=fatal' '--enable-shared' '--with-lto' '--with-ensurepip'\""
)


@needs_gcc
@pytest.mark.parametrize(
    ("prefix", "arguments", "configured", "packages", "expected"),
    [
        pytest.param(
            "/home/u/.local/share/uv/python/cpython-3.99.1-linux-x86_64-gnu",
            PBS,
            None,
            {},
            ("pbs", "uv", None),
            id="uv",
        ),
        pytest.param("/srv/x/python", PBS, None, {}, ("pbs", "unknown", None), id="PBS in any folder"),
        pytest.param("/home/u/.rye/py/cpython@3.99.1", PBS, None, {}, ("pbs", "rye", None), id="rye"),
        pytest.param(
            "/opt/cpython-3.99.1+20240107-x86_64", PBS, None, {}, ("pbs", "unknown", "20240107"), id="date in the name"
        ),
        pytest.param(
            "/opt/python", PBS, None, {"product": VENDOR}, ("pbs", "dpkg", None), id="PBS in a third party's package"
        ),
        pytest.param(
            "/opt/python", "''", None, {"product": VENDOR}, ("vendor", "dpkg", "1.5-1"), id="third party's package"
        ),
        pytest.param("/usr", "''", None, {"python3": DEBIAN}, ("distro", "dpkg", "1.5-1"), id="distribution"),
        pytest.param(
            "/usr",
            "''",
            None,
            {"python3": "Maintainer: P <p@example.org>\n"},
            ("unknown", "dpkg", None),
            id="nobody tells",
        ),
        pytest.param("/home/u/.pyenv/versions/3.99.1", "''", None, {}, ("pyenv", "pyenv", None), id="pyenv"),
        pytest.param("/home/u/.pyenv/versions/3.99.1", PBS, None, {}, ("pbs", "pyenv", None), id="PBS put into pyenv"),
        pytest.param("/usr/local", DOCKER, None, {}, ("docker-official", "unknown", None), id="official image"),
        pytest.param("/usr/local", "''", None, {}, ("source", "unknown", None), id="built in /usr/local"),
        pytest.param("/opt/python", "''", None, {}, ("source", "unknown", None), id="built in /opt"),
        pytest.param("/opt/python", "''", "/elsewhere", {}, ("unknown", "unknown", None), id="built for another place"),
        pytest.param("/home/u/py", "''", None, {}, ("unknown", "unknown", None), id="in a home folder"),
    ],
)
def test_providers_and_installers(
    tmp_path: Path,
    prefix: str,
    arguments: str,
    configured: str | None,
    packages: dict[str, str],
    expected: tuple[str, str, str | None],
) -> None:
    python = make_python(tmp_path, prefix, arguments=arguments, configured=configured)
    if packages:
        add_dpkg(tmp_path, {name: ("1.5-1", fields, (python.path,)) for name, fields in packages.items()})
    install, build = only_install(scan_folder(tmp_path), python.path)
    assert build is not None
    assert (build.provider, install.installer, build.provider_build) == expected
    if expected[0] != "unknown":
        assert any(item.subject == "provider" for item in (*install.evidence, *build.evidence))


def bill_of_materials(product: str, *components: str, form: str = "CycloneDX") -> str:
    """Return an SBOM of a product in version 2.0, with components in version 3.99.1."""
    inner = [{"type": "library", "name": name, "version": "3.99.1"} for name in components]
    component = {"type": "application", "name": product, "version": "2.0"}
    return json.dumps({"bomFormat": form, "metadata": {"component": component}, "components": inner})


@needs_gcc
@pytest.mark.parametrize("name", ["bom.json", "sbom.cdx.json"])
def test_a_product_that_was_unpacked_is_known_by_its_bill_of_materials(tmp_path: Path, name: str) -> None:
    python = make_python(tmp_path, "/home/u/product")
    (python.folder / "a.cdx.json").write_text(bill_of_materials("other", "zlib"))
    (python.folder / name).write_text(bill_of_materials("product", "zlib", "CPython"))
    install, build = only_install(scan_folder(tmp_path), python.path)
    assert build is not None
    assert (build.provider, build.provider_build, install.installer) == ("vendor", "product 2.0", Installer.UNKNOWN)
    (proof,) = (item for item in install.evidence if item.subject == "provider")
    assert proof.file == f"/home/u/product/{name}"
    assert proof.detail == "metadata.component is product 2.0, and components hold CPython 3.99.1"


@needs_gcc
@pytest.mark.parametrize(
    "text",
    [
        bill_of_materials("product", "zlib"),
        bill_of_materials("python", "python"),
        bill_of_materials("product", "python", form="SPDX"),
        "{}",
        "[]",
        "{",
        "[" * 50_000,
        '{"bomFormat": "CycloneDX", "metadata": {"component": {"name": "p"}}, "components": [3]}',
    ],
    ids=["without it", "of itself", "another form", "empty", "list", "cut", "deep", "numbers"],
)
def test_other_documents_claim_no_interpreter(tmp_path: Path, text: str) -> None:
    python = make_python(tmp_path, "/home/u/product")
    (python.folder / "bom.json").write_text(text)
    _, build = only_install(scan_folder(tmp_path), python.path)
    assert build is not None
    assert build.provider == "unknown"


@needs_gcc
def test_build_file_of_uv_is_the_build(tmp_path: Path) -> None:
    python = make_python(tmp_path, "/x/cpython-3.99.1-linux-x86_64-gnu", arguments=PBS)
    (python.folder / "BUILD").write_text("20260127\n")
    install, build = only_install(scan_folder(tmp_path), python.path)
    assert build is not None
    assert build.provider_build == "20260127"
    assert install.installer is Installer.UV
    assert build.flags == ("pgo", "shared")
    assert any(item.file == "BUILD" for item in build.evidence)


@needs_gcc
@pytest.mark.parametrize("content", ["", "not a date", "2026", "x" * 10_000], ids=["empty", "words", "short", "long"])
def test_other_build_files_tell_nothing(tmp_path: Path, content: str) -> None:
    python = make_python(tmp_path, arguments=PBS)
    (python.folder / "BUILD").write_text(content)
    _, build = only_install(scan_folder(tmp_path), python.path)
    assert build is not None
    assert build.provider_build is None


@needs_gcc
def test_full_archive_tells_target_and_options(tmp_path: Path) -> None:
    python = make_python(tmp_path, "/data/python/install", configured="/elsewhere")
    text = {"target_triple": "x86_64_v2-unknown-linux-gnu", "build_options": "freethreaded+pgo+lto", "version": 8}
    (tmp_path / "data/python/PYTHON.json").write_text(json.dumps(text))
    install, build = only_install(scan_folder(tmp_path), python.path)
    assert build is not None
    assert build.provider == "pbs"
    assert build.flags == ("free-threaded", "lto", "pgo", "shared", "x86-64-v2")
    assert "/data/python/PYTHON.json" in [item.file for item in install.evidence if item.subject == "provider"]


@needs_gcc
@pytest.mark.parametrize("text", ["{}", "[]", "{", '{"target_triple": 3}', "[" * 50_000])
def test_other_json_claims_nothing(tmp_path: Path, text: str) -> None:
    python = make_python(tmp_path, configured="/elsewhere")
    (python.folder / "PYTHON.json").write_text(text)
    _, build = only_install(scan_folder(tmp_path), python.path)
    assert build is not None
    assert build.provider == "unknown"


@needs_gcc
def test_level_in_uvs_key_is_required(tmp_path: Path) -> None:
    prefix = "/home/u/.local/share/uv/python/cpython-3.99.1-linux-x86_64_v3-gnu"
    python = make_python(tmp_path, prefix, arguments=PBS)
    _, build = only_install(scan_folder(tmp_path), python.path)
    assert build is not None
    if build.arch == "x86_64":
        assert build.requirement().x86_64_level == 3


@needs_gcc
def test_module_for_another_architecture_is_no_part(tmp_path: Path) -> None:
    python = make_python(tmp_path)
    (python.folder / "lib/python3.99/_sysconfigdata__linux_x86_64-linux-gnu.py").unlink()
    foreign = shared(python.dynload / "_a.cpython-399-aarch64-linux-gnu.so", "int f(void) { return 0; }\n", None)
    data = bytearray(foreign.read_bytes())
    data[18:20] = (8).to_bytes(2, "little")
    foreign.write_bytes(data)
    found = scan_folder(tmp_path)
    _, build = only_install(found, python.path)
    assert build is not None
    assert build.requirement().arch == build.arch
    assert skips_of(found, "interpreters") == {"does-not-fit": 1}


@needs_gcc
def test_level_that_the_builder_states_is_required(tmp_path: Path) -> None:
    arguments = f"{PBS},\n 'CFLAGS': '-O3 -march=x86-64-v3'"
    python = make_python(tmp_path, arguments=arguments)
    _, build = only_install(scan_folder(tmp_path), python.path)
    assert build is not None
    if build.arch == "x86_64":
        assert "x86-64-v3" in build.flags
        assert build.requirement().x86_64_level == 3


@needs_gcc
@pytest.mark.parametrize(
    ("version", "details", "expected", "file"),
    [
        pytest.param("3.99.1", None, "3.99.1", "/opt/x-3.99.7/include/python3.99/patchlevel.h", id="header first"),
        pytest.param(None, "3.99.5", "3.99.5", "/opt/x-3.99.7/lib/python3.99/build-details.json", id="then details"),
        pytest.param("2.7.18", None, "3.99.7", "/opt/x-3.99.7", id="header of another version is passed over"),
        pytest.param(None, None, "3.99.7", "/opt/x-3.99.7", id="then the path"),
    ],
)
def test_sources_of_the_version(
    tmp_path: Path, version: str | None, details: str | None, expected: str, file: str
) -> None:
    python = make_python(tmp_path, "/opt/x-3.99.7", version=version)
    if details is not None:
        parts: dict[str, object] = dict(zip(("major", "minor", "micro"), map(int, details.split(".")), strict=True))
        parts |= {"releaselevel": "final", "serial": 0}
        text = json.dumps({"implementation": {"version": parts}})
        (python.folder / "lib/python3.99/build-details.json").write_text(text)
    install, build = only_install(scan_folder(tmp_path), python.path)
    assert build is not None
    assert build.version == expected
    assert file in [item.file for item in install.evidence if item.subject == "version"]


@needs_gcc
@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        pytest.param(("/x/versions/3.99.4",), "3.99.4", id="only in the tail of a path"),
        pytest.param(("3.99.4", "3.99.3"), None, id="two that fit"),
        pytest.param((), None, id="none"),
    ],
)
def test_text_in_the_binary_counts_only_when_it_is_the_only_one(
    tmp_path: Path, texts: tuple[str, ...], expected: str | None
) -> None:
    python = make_python(tmp_path, version=None)
    library = python.folder / "lib/libpython3.99.so.1.0"
    library.write_bytes(library.read_bytes() + b"".join(b"\0" + text.encode() + b"\0" for text in texts))
    _, build = only_install(scan_folder(tmp_path), python.path)
    assert build is not None
    assert build.version == expected


@needs_gcc
def test_module_that_another_source_built_is_no_part(tmp_path: Path) -> None:
    python = make_python(tmp_path, "/usr", rpath="/usr/lib")
    for name in ("_own", "_tkinter"):
        shared(python.dynload / f"{name}.cpython-399-x86_64-linux-gnu.so", "int f(void) { return 0; }\n", None)
    folder = "/usr/lib/python3.99/lib-dynload"
    suffix = ".cpython-399-x86_64-linux-gnu.so"
    source = f"Source: python3.99\n{DEBIAN}"
    add_dpkg(
        tmp_path,
        {
            "python3.99-minimal": ("3.99.1-1", source, (python.path,)),
            "libpython3.99-stdlib": ("3.99.1-1", source, (f"{folder}/_own{suffix}",)),
            "python3-tk": ("3.99.1-4", f"Source: python3-stdlib-extensions\n{DEBIAN}", (f"{folder}/_tkinter{suffix}",)),
        },
    )
    found = scan_folder(tmp_path)
    _, build = only_install(found, python.path)
    assert build is not None
    assert [file.path.rpartition("/")[2].partition(".")[0] for file in build.files if "dynload" in file.path] == [
        "_own"
    ]
    assert skips_of(found, "interpreters") == {"module-of-another": 1}


@needs_gcc
def test_modules_of_another_abi_in_the_same_folder_are_no_part(tmp_path: Path) -> None:
    python = make_python(tmp_path)
    for name in ("_a.cpython-399-x86_64-linux-gnu.so", "_a.cpython-399d-x86_64-linux-gnu.so", "_b.abi3.so", "_c.so"):
        shared(python.dynload / name, "int f(void) { return 0; }\n", None)
    _, build = only_install(scan_folder(tmp_path), python.path)
    assert build is not None
    names = [file.path.rpartition("/")[2] for file in build.files if "dynload" in file.path]
    assert names == ["_a.cpython-399-x86_64-linux-gnu.so", "_b.abi3.so", "_c.so"]


@pytest.mark.parametrize(
    ("prefix", "installer"),
    [
        ("/home/u/.asdf/installs/python/3.12.1", Installer.ASDF),
        ("/home/u/.local/share/mise/installs/python/3.12.1", Installer.MISE),
        ("/home/u/.local/share/hatch/pythons/3.12/python", Installer.HATCH),
        ("/data/py/cpython-3.14.0rc1+freethreaded-linux-x86_64_v3-gnu", Installer.UV),
        ("/opt/anything", Installer.UNKNOWN),
    ],
)
def test_installers_by_their_folders(tmp_path: Path, prefix: str, installer: Installer) -> None:
    with Root.open(str(tmp_path)) as root:
        assert find_installer(root, prefix, f"{prefix}/bin/python3", None)[0] is installer
