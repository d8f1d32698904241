"""What the scan says of each CPython of this machine, against what that CPython, ldd and readelf say themselves.

The tests run interpreters; the product never does. Whatever this machine has is collected: always the interpreter
that runs the tests, usually the distribution's, pyenv's and vendors' too.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from libcensus.agent.document import install_document, prefix_of
from libcensus.agent.host import Root
from libcensus.agent.scan import Scan, scan
from libcensus.agent.settings import ScanSettings
from libcensus.facts.requirement import version_key
from libcensus.facts.vocabulary import Implementation, InstallKind, Linkage

if TYPE_CHECKING:
    from libcensus.facts.interpreter import Build, Install

PROGRAM = """
import sys, json
found = {"version": sys.version.split()[0], "executable": sys.executable}
try:
    import ssl, _ssl
    found["openssl"] = ssl.OPENSSL_VERSION
    found["ssl_file"] = getattr(_ssl, "__file__", None)
    with open("/proc/self/maps") as maps:
        found["mapped"] = sorted({line.split(None, 5)[5].strip() for line in maps if "libcrypto" in line})
except ImportError:
    found["openssl"] = None
try:
    import sysconfig
    found["flags"] = {name: sysconfig.get_config_var(name) for name in ("Py_DEBUG", "Py_GIL_DISABLED")}
except ImportError:
    found["flags"] = {}
print(json.dumps(found))
"""


@cache
def machine() -> Scan:
    # Other tests build trees and environments there while this runs.
    with Root.open("/") as root:
        return scan(root, ScanSettings(exclude=("/tmp", "/var/tmp")))


def installs(kind: InstallKind) -> list[Install]:
    """Return the machine's own installs; containers that run meanwhile are roots of their own."""
    return [one for one in machine().installs.installs if one.root == "/" and one.kind is kind]


def build_of(install: Install) -> Build:
    assert install.build is not None, install
    return machine().builds[install.build]


@cache
def truth(path: str) -> dict[str, Any]:
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    done = subprocess.run([path, "-E", "-c", PROGRAM], capture_output=True, text=True, check=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def runnable() -> list[Install]:
    return [
        install
        for install in machine().installs.installs
        if install.build is not None
        and install.root == "/"
        and install.implementation is Implementation.CPYTHON
        and build_of(install).arch == os.uname().machine
        and os.access(install.path, os.X_OK)
        and "\\x" not in install.path
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Collect the machine's interpreters only where a test asks for them."""
    if "install" in metafunc.fixturenames:
        metafunc.parametrize("install", runnable(), ids=lambda install: install.path)
    if "base" in metafunc.fixturenames:
        bases = [one for one in runnable() if one.kind is InstallKind.BASE]
        metafunc.parametrize("base", bases, ids=lambda install: install.path)
    if "environment" in metafunc.fixturenames:
        environments = [one for one in runnable() if one.kind is InstallKind.VENV]
        metafunc.parametrize("environment", environments, ids=lambda install: install.path)


def test_interpreter_that_runs_the_tests_is_found_once() -> None:
    real = str(Path(sys.executable).resolve())
    found = [one for one in installs(InstallKind.BASE) if one.realpath == real or real in one.aliases]
    if str(Path(real)).startswith(("/tmp/", "/var/tmp/")):
        pytest.skip("the tests run from a folder that this scan leaves out")
    assert len(found) == 1


def test_no_executable_is_told_twice() -> None:
    paths = [(one.root, path) for one in machine().installs.installs for path in (one.path, *one.aliases)]
    assert len(paths) == len(set(paths))
    reals = [one.realpath for one in installs(InstallKind.BASE)]
    assert len(reals) == len(set(reals))


def test_shims_are_no_installs() -> None:
    for one in installs(InstallKind.BASE):
        assert "/shims/" not in one.path
        assert Path(one.realpath).read_bytes()[:4] == b"\x7fELF"


def test_every_python_that_a_shell_would_find_is_known() -> None:
    known = {path for one in machine().installs.installs for path in (one.path, one.realpath, *one.aliases)}
    for folder in ("/usr/bin", "/usr/local/bin"):
        for file in Path(folder).glob("python*"):
            if re.fullmatch(r"python\d?(\.\d+)?", file.name) and file.exists():
                real = file.resolve()
                if real.read_bytes()[:4] == b"\x7fELF":
                    assert str(real) in known


def test_version_is_the_interpreters_own(install: Install) -> None:
    assert build_of(install).version == truth(install.path)["version"]


def test_openssl_is_the_one_that_the_interpreter_loads(install: Install) -> None:
    told = truth(install.path)["openssl"]
    crypto = install.crypto
    if told is None:
        assert crypto.linkage in (Linkage.NONE, Linkage.UNRESOLVED)
        return
    assert crypto.library is not None
    assert crypto.library.version == told.split()[1]
    assert crypto.library.family == told.split()[0].lower()


def test_crypto_file_is_the_one_that_is_mapped(install: Install) -> None:
    found = truth(install.path)
    if found["openssl"] is None:
        assert install.crypto.library is None
        return
    mapped = {str(Path(path).resolve()) for path in found["mapped"]}
    if install.crypto.linkage is Linkage.STATIC:
        assert not mapped
    else:
        assert {install.crypto.path} == mapped


def test_resolution_is_that_of_ldd(base: Install) -> None:
    static = base.crypto.linkage is Linkage.STATIC
    file = base.crypto.path if static else truth(base.path).get("ssl_file")
    if file is None:
        assert base.crypto.library is None
        return
    told = subprocess.run(["ldd", file], capture_output=True, text=True, check=True).stdout
    if static:
        assert "libcrypto" not in told
        return
    (path,) = re.findall(r"libcrypto\.so\S* => (\S+)", told)
    assert base.crypto.path == str(Path(path).resolve())


def test_owner_is_the_one_that_dpkg_tells(base: Install) -> None:
    path = base.crypto.path
    if path is None or base.crypto.library is None:
        assert base.crypto.linkage in (Linkage.NONE, Linkage.UNRESOLVED)
        return
    done = subprocess.run(
        ["dpkg-query", "-S", path, path.removeprefix("/usr")], capture_output=True, text=True, check=False
    )
    owners = {line.partition(":")[0] for line in done.stdout.splitlines()}
    package = base.crypto.library.package
    assert (set() if package is None else {package.name}) == owners
    if package is None:
        return
    told = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version} ${source:Package} ${source:Version}\n", package.name],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"{package.version} {package.source} {package.source_version}" in told.splitlines()


def needs_by_readelf(file: str) -> dict[str, set[str]]:
    """Return the strong symbol versions that readelf lists, by library."""
    text = subprocess.run(["readelf", "-W", "-V", file], capture_output=True, text=True, check=True).stdout
    needs: dict[str, set[str]] = {}
    library = ""
    for line in text.partition("Version needs section")[2].splitlines():
        if match := re.search(r"File: (\S+)", line):
            library = match[1]
        elif (match := re.search(r"Name: (\S+)\s+Flags: (\S+)", line)) and "WEAK" not in match[2]:
            needs.setdefault(library, set()).add(match[1])
    return needs


@pytest.mark.skipif(shutil.which("readelf") is None, reason="no readelf")
def test_requirement_is_what_readelf_lists(base: Install) -> None:
    build = build_of(base)
    prefix = prefix_of(base, build)
    expected: dict[str, set[str]] = {}
    for file in build.files:
        for library, versions in needs_by_readelf(f"{prefix}/{file.path}").items():
            if library not in build.sonames:
                expected.setdefault(library, set()).update(versions)
    document = install_document(base, build)["requirement"]
    assert isinstance(document, dict)
    assert {soname: set(versions) for soname, versions in document["symbol_versions"].items()} == expected
    numbers = [v for versions in expected.values() for v in versions if re.fullmatch(r"GLIBC_[\d.]+", v)]
    assert document["glibc"] == max(numbers, key=version_key).removeprefix("GLIBC_")


@pytest.mark.skipif(shutil.which("nm") is None, reason="no nm")
def test_symbols_that_raise_the_floor_are_those_that_nm_lists(base: Install) -> None:
    document = install_document(base, build_of(base))["requirement"]
    assert isinstance(document, dict)
    assert document["raised_by"]
    for one in document["raised_by"]:
        text = subprocess.run(["nm", "-D", one["file"]], capture_output=True, text=True, check=True).stdout
        assert f" {one['symbol']}@{one['version']}" in text


def test_modules_of_the_build_are_those_of_the_interpreter(base: Install) -> None:
    build = build_of(base)
    files = [file.path for file in build.files]
    assert len(files) == len(set(files))
    prefix = prefix_of(base, build)
    assert all(Path(prefix, file).is_file() for file in files)
    module = truth(base.path).get("ssl_file")
    if module:
        assert str(Path(module).resolve()) in {str(Path(prefix, file).resolve()) for file in files}


def test_flags_are_the_interpreters_own(base: Install) -> None:
    flags = build_of(base).flags
    told = truth(base.path)["flags"]
    assert ("debug" in flags) == bool(told.get("Py_DEBUG"))
    assert ("free-threaded" in flags) == bool(told.get("Py_GIL_DISABLED"))


def test_environments_lead_to_the_base_that_they_run(environment: Install) -> None:
    done = subprocess.run(
        [environment.path, "-c", "import sys; print(getattr(sys, '_base_executable', ''))"],
        capture_output=True,
        text=True,
        check=True,
    )
    told = done.stdout.strip()
    if told:
        assert environment.base == str(Path(told).resolve())
