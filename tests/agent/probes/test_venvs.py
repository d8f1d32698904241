"""Virtual environments: linked, copied, chained, dangling, in circles; each told once and as what it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.agent.host import Root
from libcensus.agent.probes.venvs import parse_pyvenv, recorded_version, trace
from libcensus.agent.scan import scan
from libcensus.agent.settings import ScanSettings
from libcensus.facts.vocabulary import EnvironmentState, EvidenceKind, Implementation, Installer, InstallKind, Linkage
from tests.agent.interpreters.stand_ins import PYPY_CODE, PYPY_MAIN
from tests.agent.roots import (
    Python,
    as_nobody,
    compile_c,
    make_crypto,
    make_python,
    needs_gcc,
    only_install,
    scan_folder,
    shared,
    skips_of,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("home = /usr/bin\nversion = 3.11.2\n", {"home": "/usr/bin", "version": "3.11.2"}),
        ("HOME=/a=b\nhome = /last\nnot an assignment\n", {"home": "/last"}),
        ("", {}),
    ],
)
def test_configuration_is_read_as_cpython_reads_it(text: str, values: dict[str, str]) -> None:
    assert parse_pyvenv(text) == values


@pytest.mark.parametrize(
    ("values", "version"),
    [
        ({"version": "3.11.2"}, "3.11.2"),
        ({"version_info": "3.12.6"}, "3.12.6"),
        ({"version_info": "3.8.10.final.0"}, "3.8.10"),
        ({"version": "3.13.0rc2"}, "3.13.0rc2"),
        ({"version_info": "3.12"}, None),
        ({"version": "garbage"}, None),
        ({}, None),
    ],
)
def test_version_of_creation(values: dict[str, str], version: str | None) -> None:
    assert recorded_version(values) == version


@pytest.fixture
def python(tmp_path: Path) -> Python:
    made = make_python(tmp_path)
    ssl, _ = make_crypto(tmp_path / "usr/lib64")
    made.add_module(ssl)
    return made


def make_env(
    top: Path, folder: str, target: str, *, home: str = "/opt/python/bin", extra: str = "version = 3.99.0\n"
) -> str:
    binaries = top / folder.lstrip("/") / "bin"
    binaries.mkdir(parents=True)
    (binaries / "python").symlink_to(target)
    (binaries / "python3").symlink_to("python")
    (binaries.parent / "pyvenv.cfg").write_text(f"home = {home}\n{extra}")
    return f"{folder}/bin/python"


@needs_gcc
def test_linked_environment_follows_its_base(python: Python) -> None:
    path = make_env(python.top, "/home/u/env", "/opt/python/bin/python3")
    found = scan_folder(python.top)
    base, _ = only_install(found, python.path)
    env, build = only_install(found, path)
    assert env.kind is InstallKind.VENV
    assert env.base == base.path == env.realpath
    assert env.build == base.build
    assert env.crypto == base.crypto
    assert env.state is EnvironmentState.FOLLOWS
    assert env.aliases == ("/home/u/env/bin/python3",)
    assert env.recorded_version == "3.99.0"
    assert build is not None
    assert build.version == "3.99.1"
    assert len(found.installs.installs) == 2
    links = [item.detail for item in env.evidence if item.kind is EvidenceKind.SYMLINK]
    assert links == ["-> /opt/python/bin/python3", "-> python3.99"]


@needs_gcc
def test_chain_of_environments_leads_to_the_base(python: Python) -> None:
    first = make_env(python.top, "/env1", "/opt/python/bin/python3.99")
    second = make_env(python.top, "/env2", first, home="/env1/bin")
    env, _ = only_install(scan_folder(python.top), second)
    assert env.base == python.path


@needs_gcc
def test_uv_is_the_installer_where_it_says_so(python: Python) -> None:
    path = make_env(python.top, "/env", "/opt/python/bin/python3.99", extra="uv = 0.9.1\nversion_info = 3.99.1\n")
    assert only_install(scan_folder(python.top), path)[0].installer is Installer.UV


@needs_gcc
@pytest.mark.parametrize(
    ("target", "base", "realpath"),
    [
        pytest.param("/gone/bin/python3.98", "/gone/bin/python3.98", "/gone/bin/python3.98", id="dangling"),
        pytest.param("../../gone/python", "/gone/python", "/gone/python", id="dangling, relative"),
        pytest.param("python3", None, "/env/bin/python", id="circle"),
    ],
)
def test_environment_that_leads_to_nothing(python: Python, target: str, base: str | None, realpath: str) -> None:
    path = make_env(python.top, "/env", target)
    env, build = only_install(scan_folder(python.top), path)
    assert (env.base, env.realpath, build) == (base, realpath, None)
    assert (env.crypto.linkage, env.state) == (Linkage.UNRESOLVED, EnvironmentState.DANGLING)
    assert any(item.kind is EvidenceKind.ABSENCE for item in env.evidence)


def make_copy(python: Python) -> Path:
    binaries = python.top / "env/bin"
    binaries.mkdir(parents=True)
    shutil.copy(python.executable, binaries / "python3")
    (binaries / "python").symlink_to("python3")
    (python.top / "env/pyvenv.cfg").write_text("home = /opt/python/bin\nversion = 3.99.1\n")
    # A copied executable finds its library as the base did only by an absolute path.
    return binaries / "python3"


@needs_gcc
def test_copied_environment_of_the_same_bytes_is_the_bases_build(python: Python) -> None:
    make_copy(python)
    found = scan_folder(python.top)
    env, _ = only_install(found, "/env/bin/python")
    base, _ = only_install(found, python.path)
    assert (env.build, env.base, env.realpath) == (base.build, python.path, "/env/bin/python3")
    assert env.state is EnvironmentState.COPIED
    assert len(found.installs.installs) == 2


@needs_gcc
def test_copied_environment_of_a_pypy_that_tells_no_language_beside_its_code(tmp_path: Path) -> None:
    folder, env = tmp_path / "usr/lib/pypy3", tmp_path / "env"
    library = shared(folder / "bin/libpypy3-c.so", PYPY_CODE, "libpypy3-c.so")
    compile_c(folder / "bin/pypy3-c", PYPY_MAIN, str(library), "-Wl,-rpath,$ORIGIN")
    (folder / "lib-python/3").mkdir(parents=True)
    (folder / "lib-python/3/os.py").write_text("")
    (env / "bin").mkdir(parents=True)
    shutil.copy(folder / "bin/pypy3-c", env / "bin/python")
    shutil.copy(library, env / "bin")
    (env / "pyvenv.cfg").write_text("home = /usr/lib/pypy3/bin\nversion = 3.7.10\n")
    found, build = only_install(scan_folder(tmp_path), "/env/bin/python")
    assert found.base == "/usr/lib/pypy3/bin/pypy3-c"
    assert found.state is EnvironmentState.COPIED
    assert build is not None
    assert (build.implementation, build.version) == (Implementation.PYPY, "7.98.1")


@needs_gcc
def test_old_copy_is_a_build_of_its_own(python: Python) -> None:
    copy = make_copy(python)
    copy.write_bytes(copy.read_bytes() + b"\0older")
    found = scan_folder(python.top)
    env, build = only_install(found, "/env/bin/python")
    base, base_build = only_install(found, python.path)
    assert env.base == base.path
    assert env.build != base.build
    assert build is not None
    assert base_build is not None
    assert build.provider == "unknown"
    assert {file.path for file in build.files} >= {"bin/python3", "lib/libpython3.99.so.1.0"}
    assert any("another executable than the base has now" in item.detail for item in env.evidence)


@needs_gcc
def test_link_to_a_copied_environment_is_that_copy(python: Python) -> None:
    copy = make_copy(python)
    copy.write_bytes(copy.read_bytes() + b"\0older")
    path = make_env(python.top, "/aaa", "/env/bin/python", home="/env/bin")
    found = scan_folder(python.top)
    assert only_install(found, path)[0].build == only_install(found, "/env/bin/python")[0].build
    assert only_install(found, path)[0].state is EnvironmentState.COPIED


@needs_gcc
def test_copy_without_its_base_says_so(python: Python) -> None:
    make_copy(python)
    (python.top / "env/pyvenv.cfg").write_text("home = /nowhere/bin\n")
    env, build = only_install(scan_folder(python.top), "/env/bin/python")
    assert (env.base, build) == (None, None)
    assert any("no interpreter in the folder" in item.detail for item in env.evidence)


@needs_gcc
def test_environment_of_something_that_is_no_cpython(python: Python) -> None:
    (python.top / "usr/bin").mkdir(parents=True)
    (python.top / "usr/bin/other").write_text("#!/bin/sh\n")
    path = make_env(python.top, "/env", "/usr/bin/other", home="/usr/bin")
    found = scan_folder(python.top)
    env, build = only_install(found, path)
    assert (build, env.crypto.linkage) == (None, Linkage.UNKNOWN)
    assert skips_of(found, "venvs") == {"unknown-base": 1}


@pytest.mark.parametrize(
    ("text", "has_python"),
    [pytest.param("version = 3\n", True, id="no home"), pytest.param("home = /usr/bin\n", False, id="no interpreter")],
)
def test_file_that_makes_no_environment_is_a_skip(tmp_path: Path, text: str, has_python: bool) -> None:
    (tmp_path / "env/bin").mkdir(parents=True)
    (tmp_path / "env/pyvenv.cfg").write_text(text)
    if has_python:
        (tmp_path / "env/bin/python").symlink_to("/usr/bin/python3")
    found = scan_folder(tmp_path)
    assert found.installs.installs == ()
    assert skips_of(found, "venvs") == {"no-environment": 1}


@pytest.mark.parametrize("options", [[], ["--copies"]], ids=["links", "copies"])
def test_environment_that_venv_makes_is_recognised(tmp_path: Path, options: list[str]) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", *options, str(tmp_path / "env")], check=True)
    found = scan_folder(tmp_path)
    (env,) = found.installs.installs
    assert env.kind is InstallKind.VENV
    assert env.path == "/env/bin/python"
    assert env.recorded_version == ".".join(map(str, sys.version_info[:3]))
    # The base lies outside this root, where nothing is read.
    assert env.build is None
    assert env.state is (EnvironmentState.COPIED if options else EnvironmentState.DANGLING)
    if not options:
        assert any("the base outside it" in item.detail for item in env.evidence if item.subject == "state")


def test_dangling_environment_of_a_whole_root_is_said_without_reserve(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text("ID=debian\n")
    path = make_env(tmp_path, "/env", "/usr/bin/python3")
    env, _ = only_install(scan_folder(tmp_path), path)
    assert env.state is EnvironmentState.DANGLING
    assert [item for item in env.evidence if item.subject == "state"] == []


def test_base_that_may_not_be_seen_is_unknown_and_not_dangling(tmp_path: Path) -> None:
    path = make_env(tmp_path, "/env", "/secret/python3")
    (tmp_path / "secret").mkdir()
    shutil.copy(sys.executable, tmp_path / "secret/python3")
    (tmp_path / "secret").chmod(0)
    tmp_path.chmod(0o755)
    with Root.open(str(tmp_path)) as root, as_nobody():
        found = scan(root, ScanSettings())
    (tmp_path / "secret").chmod(0o755)
    env, _ = only_install(found, path)
    assert env.state is EnvironmentState.UNKNOWN
    assert any("could not be seen: permission-denied" in item.detail for item in env.evidence)


@pytest.mark.parametrize("links", [39, 60])
def test_long_chain_of_links_ends(tmp_path: Path, links: int) -> None:
    path = make_env(tmp_path, "/env", "/l1")
    for number in range(1, links - 1):
        (tmp_path / f"l{number}").symlink_to(f"l{number + 1}")
    shutil.copy(sys.executable, tmp_path / f"l{links - 1}")
    env, _ = only_install(scan_folder(tmp_path), path)
    assert env.state is (EnvironmentState.UNKNOWN if links < 40 else EnvironmentState.DANGLING)


def test_two_environments_in_a_circle(tmp_path: Path) -> None:
    first = make_env(tmp_path, "/one", "/two/bin/python")
    second = make_env(tmp_path, "/two", "/one/bin/python")
    found = scan_folder(tmp_path)
    assert [only_install(found, path)[0].state for path in (first, second)] == [EnvironmentState.DANGLING] * 2


def test_way_to_an_interpreter_is_told_link_by_link(tmp_path: Path) -> None:
    (tmp_path / "data/py-1.2.3/bin").mkdir(parents=True)
    (tmp_path / "data/py-1.2.3/bin/python3").write_text("x")
    (tmp_path / "opt").symlink_to("data")
    (tmp_path / "data/py").symlink_to("../opt/./py-1.2.3/bin/..")
    (tmp_path / "python").symlink_to("/opt/py/bin/python3")
    with Root.open(str(tmp_path)) as root:
        steps = trace(root, "/python")
        assert root.realpath("/python") == steps[-1].path == "/data/py-1.2.3/bin/python3"
    assert [(step.path, step.named_by) for step in steps if step.path == "/data/py-1.2.3"] == [
        ("/data/py-1.2.3", "/data/py")
    ]


@needs_gcc
def test_odd_names_cost_nothing(python: Python) -> None:
    folder = os.fsdecode(b"/we\xffird\nenv")
    make_env(python.top, folder, "/opt/python/bin/python3")
    found = scan_folder(python.top)
    env, _ = only_install(found, "/we\\xffird\\x0aenv/bin/python")
    assert env.state is EnvironmentState.FOLLOWS


@pytest.mark.parametrize("make", ["fifo", "folder", "link", "huge", "binary"])
def test_configuration_that_is_none_is_no_error(tmp_path: Path, make: str) -> None:
    (tmp_path / "env/bin").mkdir(parents=True)
    (tmp_path / "env/bin/python").symlink_to("/usr/bin/python3")
    file = tmp_path / "env/pyvenv.cfg"
    if make == "fifo":
        os.mkfifo(file)
    elif make == "folder":
        file.mkdir()
    elif make == "link":
        file.symlink_to("pyvenv.cfg")
    elif make == "huge":
        with file.open("wb") as stream:
            stream.truncate(1 << 40)
    else:
        file.write_bytes(bytes(range(256)) * 64)
    found = scan_folder(tmp_path)
    assert found.installs.installs == ()
    assert all(probe.state != "failed" for probe in found.probes)


@given(st.text(max_size=400))
def test_any_configuration_is_parsed(text: str) -> None:
    values = parse_pyvenv(text)
    assert all(name == name.strip().lower() for name in values)
    recorded_version(values)
