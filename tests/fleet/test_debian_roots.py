"""The scan of a foreign root says what the root itself says when its programs are run."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.fleet.comparison import differences, environment_folder
from tests.fleet.furniture import PBS_BUILD, UV, UV_PYTHONS, VENVS, pbs_python
from tests.fleet.roots import has_package, run_inside

if TYPE_CHECKING:
    from tests.fleet.conftest import ScannedRoot

pytestmark = [pytest.mark.root, pytest.mark.timeout(1200)]


def test_every_install_and_every_copy_is_right_and_there_once(scanned: ScannedRoot) -> None:
    found = differences(scanned.path, scanned.document, scanned.truth)
    assert not found, "\n".join([f"{len(found)} differences on {scanned.suite}:", *found])


def test_the_oracle_knows_every_interpreter_that_was_installed(scanned: ScannedRoot) -> None:
    told = {one.implementation for one in scanned.truth.interpreters.values()}
    expected = {"cpython", "nodejs", "ruby", "perl", "php"} | (
        {"pypy"} if has_package(scanned.path, "pypy3") else set()
    )
    assert told == expected
    copies = [copy for one in scanned.truth.environments.values() for copy in one.copies.values()]
    assert sorted((copy.owner[0], copy.family) for copy in copies) == sorted(
        2 * [("cryptography", "openssl"), ("grpcio", "boringssl"), ("psycopg2-binary", "openssl")]
    )


def test_a_python_of_uv_tells_its_build(scanned: ScannedRoot) -> None:
    if pbs_python() is None:
        pytest.skip("this machine has no python-build-standalone to put into a root")
    builds = {one["provider_build"] for one in scanned.document["installs"] if one["provider"] == "pbs"}
    assert builds == {PBS_BUILD}


def test_uv_lists_no_base_that_the_scan_does_not(scanned: ScannedRoot) -> None:
    listing = run_inside(scanned.path, UV, "python", "list", "--only-installed", "--offline", "--output-format", "json")
    bases = {
        one["realpath"]: (one["implementation"], one["version"])
        for one in scanned.document["installs"]
        if one["kind"] == "base"
    }
    checked = 0
    for one in json.loads(listing):
        real = run_inside(scanned.path, "readlink", "-f", one["path"]).strip()
        if (scanned.path / real[1:]).read_bytes()[:2] == b"#!":
            continue  # uv runs a wrapper script and takes it for an interpreter.
        assert real in bases, f"{one['path']} leads to {real}, which the scan does not report"
        if one["implementation"] == "cpython":
            assert bases[real] == ("cpython", one["version"])
        checked += 1
    assert checked >= 2


def test_the_uv_program_is_a_tool_with_its_version(scanned: ScannedRoot) -> None:
    version = run_inside(scanned.path, UV, "--version").split()[1]
    told = [(one["path"], one["name"], one["version"]) for one in scanned.document["tools"]]
    assert (UV, "uv", version) in told


def test_the_host_is_the_root_and_not_this_machine(scanned: ScannedRoot) -> None:
    host = scanned.document["host"]
    assert host["os_release"]["id"] == "debian"
    assert scanned.suite in host["os_release"]["pretty_name"]
    assert host["kernel"] is None


def test_glibc_is_what_the_roots_own_ldd_says(scanned: ScannedRoot) -> None:
    first_line = run_inside(scanned.path, "ldd", "--version").splitlines()[0]
    libc = scanned.document["host"]["libc"]
    assert libc["family"] == "glibc"
    assert libc["version"] == first_line.rsplit(" ", 1)[1]
    package = run_inside(scanned.path, "dpkg-query", "-W", "-f", "${Version}", "libc6")
    assert libc["package"]["name"] == "libc6"
    assert libc["package"]["version"] == package


def test_the_package_that_owns_the_systems_openssl(scanned: ScannedRoot) -> None:
    package = scanned.distribution["crypto"]["package"]
    assert package["name"].startswith("libssl")
    wanted = ["${Version}", "${source:Package}"]
    told = [run_inside(scanned.path, "dpkg-query", "-W", "-f", form, package["name"]) for form in wanted]
    assert [package["version"], package["source"]] == told
    assert package["origin"] == "distribution"


def test_the_crypto_path_is_what_ldd_in_the_root_resolves(scanned: ScannedRoot) -> None:
    module = run_inside(scanned.path, "/usr/bin/python3", "-c", "import _ssl; print(_ssl.__file__)").strip()
    resolved = {
        parts[0]: parts[2]
        for line in run_inside(scanned.path, "ldd", module).splitlines()
        if len(parts := line.split()) > 2
    }
    libcrypto = next(path for soname, path in resolved.items() if soname.startswith("libcrypto.so"))
    real = run_inside(scanned.path, "readlink", "-f", libcrypto).strip()
    assert scanned.distribution["crypto"]["path"] in {libcrypto, real}


def test_the_environments_are_tied_to_their_base(scanned: ScannedRoot) -> None:
    base = scanned.distribution
    venvs = {environment_folder(one["path"]): one for one in scanned.document["installs"] if one["kind"] == "venv"}
    for name in ("follows", "chain", "old", "new", "system-site", "virtualenv", "uv"):
        venv = venvs[f"{VENVS}/{name}"]
        assert (venv["build"], venv["realpath"]) == (base["build"], base["realpath"]), name
    if pbs_python() is not None:
        home = next(iter(one["realpath"] for one in scanned.document["installs"] if one["provider"] == "pbs"))
        assert home.startswith(UV_PYTHONS)
        for name in ("pbs-follows", "pbs-pinned"):
            assert (venvs[f"{VENVS}/{name}"]["base"] or "").startswith(UV_PYTHONS), name


def test_no_path_of_the_report_names_this_machine(scanned: ScannedRoot) -> None:
    for key in ("installs", "crypto_copies", "tools"):
        for one in scanned.document[key]:
            for path in (one["path"], one.get("realpath"), (one.get("crypto") or {}).get("path")):
                assert not (path or "").startswith(str(scanned.path))


def test_the_glibc_floor_is_the_highest_version_that_readelf_shows(scanned: ScannedRoot) -> None:
    install = scanned.distribution
    real = scanned.path / install["realpath"].lstrip("/")
    modules = sorted((scanned.path / "usr" / "lib").glob("python3.*/lib-dynload/*.so"))
    numbers: set[tuple[int, ...]] = set()
    for file in [real, *modules]:
        listing = subprocess.run(
            ["readelf", "-V", "--wide", str(file)], check=True, capture_output=True, text=True
        ).stdout
        for word in listing.replace("@", " ").split():
            if word.startswith("GLIBC_2."):
                numbers.add(tuple(int(part) for part in word.removeprefix("GLIBC_").split(".")))
    assert install["requirement"]["glibc"] == ".".join(map(str, max(numbers)))


def test_advisories_against_the_distributions_library_are_judged_by_its_own_evidence(scanned: ScannedRoot) -> None:
    about = [
        finding
        for finding in scanned.document["findings"]
        if finding["component"] == "openssl" and finding["linkage"] == "system"
    ]
    for finding in about:
        last = finding["evidence"][-1]
        if finding["status"] in {"affected", "fixed"}:
            assert (last["subject"], last["kind"] in {"changelog", "advisory"}) == ("fix", True), finding["advisory"]
