"""Crypto copies in wheels of many makers, in an environment whose base lies outside the scanned tree.

The oracle calls the shared libraries; of a static copy it reads the version text that stands beside OpenSSL's build
folder, which is what the library would say if it could be called.
"""

from __future__ import annotations

import ctypes
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.furniture import wheels

pytestmark = [pytest.mark.root, pytest.mark.timeout(600)]

_LOCK = "python3.11-copies"
_TEXT = re.compile(rb"OpenSSL (\d\.\d+\.\d+[a-z]*) +(?:FIPS )?\d+ [A-Z][a-z]{2} \d{4}")
_AWS_LC = re.compile(rb"AWS-LC (\d+\.\d+\.\d+)")
_FORKS = {"awscrt": "aws-lc", "curl_cffi": "boringssl", "primp": "aws-lc"}
"""What these wheels are built with, as their projects say."""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheels, in a tree that holds nothing else."""
    folder = tmp_path_factory.mktemp("tree") / "opt" / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    version = ".".join(map(str, sys.version_info[:3]))
    files = [str(path) for path in sorted(wheels(_LOCK, version).glob("*.whl"))]
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile"]
    subprocess.run([*pip, *files], check=True)
    return folder


@pytest.fixture(scope="module")
def copies(environment: Path) -> dict[str, dict[str, Any]]:
    """What the scan says, by the path below site-packages."""
    command = [str(Path(sys.executable).parent / "libcensus-agent"), "scan", "--no-index", "--output", "json"]
    tree = environment.parent.parent
    done = subprocess.run([*command, "--root", str(tree)], check=True, capture_output=True, text=True)
    document = json.loads(done.stdout)
    site = f"/opt/environment/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages/"
    assert all(one["path"].startswith(site) for one in document["crypto_copies"])
    return {one["path"].removeprefix(site): one for one in document["crypto_copies"]}


def _libraries(environment: Path) -> dict[str, Path]:
    (site,) = environment.glob("lib/python3.*/site-packages")
    found = [path for path in site.rglob("*") if ".so" in path.name and path.is_file() and not path.is_symlink()]
    return {str(path.relative_to(site)): path for path in found}


def _called(path: Path) -> str:
    library = ctypes.CDLL(str(path))
    library.OpenSSL_version.restype = ctypes.c_char_p
    return str(library.OpenSSL_version(0).decode()).split()[1]


def test_every_shared_libcrypto_has_the_version_that_it_says_when_called(
    environment: Path, copies: dict[str, dict[str, Any]]
) -> None:
    shared = {name: path for name, path in _libraries(environment).items() if path.name.startswith("libcrypto")}
    assert len(shared) >= 4
    expected = {name: ("openssl", _called(path), "bundled") for name, path in shared.items()}
    got = {name: (one["family"], one["version"], one["linkage"]) for name, one in copies.items() if name in shared}
    assert got == expected


def test_every_file_with_openssls_build_folder_is_a_copy_of_the_version_beside_it(
    environment: Path, copies: dict[str, dict[str, Any]]
) -> None:
    checked = 0
    for name, path in _libraries(environment).items():
        data = path.read_bytes()
        if b'OPENSSLDIR: "' not in data or path.name.startswith("libcrypto"):
            continue
        (version,) = set(_TEXT.findall(data))
        one = copies[name]
        assert (one["family"], one["version"], one["linkage"]) == ("openssl", version.decode(), "static"), name
        checked += 1
    assert checked >= 3


def test_the_forks_are_what_their_projects_say(environment: Path, copies: dict[str, dict[str, Any]]) -> None:
    libraries = _libraries(environment)
    forks = {name: one for name, one in copies.items() if one["family"] != "openssl"}
    assert {one["owner"]["name"]: one["family"] for one in forks.values()} == _FORKS
    for name, one in forks.items():
        told = set(_AWS_LC.findall(libraries[name].read_bytes())) if one["family"] == "aws-lc" else set()
        assert one["version"] == (told.pop().decode() if told else None), name
        assert one["linkage"] == "static"


def test_nothing_else_is_called_a_copy(environment: Path, copies: dict[str, dict[str, Any]]) -> None:
    for name, path in _libraries(environment).items():
        data = path.read_bytes()
        if name in copies:
            # Every copy has code: source names of a crypto library, or OpenSSL's own build folder.
            assert re.search(rb'OPENSSLDIR: "|/crypto/(?:evp|fipsmodule|bio)/|AWS-LC', data), name
        else:
            assert b'OPENSSLDIR: "' not in data, name


def test_each_belongs_to_its_wheel_and_its_environment(environment: Path, copies: dict[str, dict[str, Any]]) -> None:
    listing = subprocess.run(
        [str(environment / "bin" / "python"), "-m", "pip", "list", "--format", "json"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    installed = {re.sub("[-_.]+", "-", one["name"]).lower(): one["version"] for one in json.loads(listing)}
    for name, one in copies.items():
        owner = one["owner"]
        assert owner["ecosystem"] == "pypi", name
        assert installed[re.sub("[-_.]+", "-", owner["name"]).lower()] == owner["version"], name
        assert one["environment"] == "/opt/environment", name
