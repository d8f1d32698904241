"""Virtual environments: linked, copied, chained, dangling, in circles; each told once and as what it is."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from libcensus.agent.probes.venvs import parse_pyvenv, recorded_version
from libcensus.facts.vocabulary import EvidenceKind, Installer, InstallKind, Linkage
from tests.agent.roots import Python, make_crypto, make_python, needs_gcc, only_install, scan_folder, skips_of

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
    assert env.crypto.linkage is Linkage.UNRESOLVED
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
    assert len(found.installs.installs) == 2


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
