"""The scan of a foreign root says what the root itself says when its programs are run."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.roots import debian_root, run_inside

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]

_TRUTH = """
import json, ssl, sys, sysconfig
print(json.dumps({
    "version": ".".join(map(str, sys.version_info[:3])),
    "openssl": ssl.OPENSSL_VERSION.split()[1],
    "executable": sys.executable,
    "shared": bool(sysconfig.get_config_var("Py_ENABLE_SHARED")),
}))
"""


@dataclass(frozen=True)
class ScannedRoot:
    """A real root, what the product says of it, and what its own Python says."""

    suite: str
    path: Path
    document: dict[str, Any]
    truth: dict[str, Any]


@pytest.fixture(scope="module", params=["bullseye", "trixie"])
def scanned(request: pytest.FixtureRequest) -> ScannedRoot:
    root = debian_root(request.param, "python3", "python3-venv")
    if not (root / "opt" / "environment").exists():
        run_inside(root, "python3", "-m", "venv", "--without-pip", "/opt/environment")
    command = [str(Path(sys.executable).parent / "libcensus"), "scan", "--root", str(root), "--output", "json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    truth = json.loads(run_inside(root, "/usr/bin/python3", "-c", _TRUTH))
    return ScannedRoot(request.param, root, json.loads(done.stdout), truth)


def base_install(scanned: ScannedRoot) -> dict[str, Any]:
    bases = [install for install in scanned.document["installs"] if install["kind"] == "base"]
    assert len(bases) == 1, [install["path"] for install in bases]
    base: dict[str, Any] = bases[0]
    return base


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


def test_the_distributions_python_is_found_once_with_its_version(scanned: ScannedRoot) -> None:
    install = base_install(scanned)
    assert install["version"] == scanned.truth["version"]
    assert install["provider"] == "distro"
    assert install["installer"] == "dpkg"
    assert install["implementation"] == "cpython"


def test_its_openssl_is_the_systems_with_the_owning_package(scanned: ScannedRoot) -> None:
    crypto = base_install(scanned)["crypto"]
    assert crypto["family"] == "openssl"
    assert crypto["linkage"] == "system"
    assert crypto["version"] == scanned.truth["openssl"]
    owner = crypto["package"]["name"]
    assert owner.startswith("libssl")
    wanted = ["${Version}", "${source:Package}"]
    told = [run_inside(scanned.path, "dpkg-query", "-W", "-f", form, owner) for form in wanted]
    assert [crypto["package"]["version"], crypto["package"]["source"]] == told
    assert crypto["package"]["origin"] == "distribution"


def test_the_crypto_path_is_what_ldd_in_the_root_resolves(scanned: ScannedRoot) -> None:
    module = run_inside(scanned.path, "/usr/bin/python3", "-c", "import _ssl; print(_ssl.__file__)").strip()
    resolved = {
        parts[0]: parts[2]
        for line in run_inside(scanned.path, "ldd", module).splitlines()
        if len(parts := line.split()) > 2
    }
    libcrypto = next(path for soname, path in resolved.items() if soname.startswith("libcrypto.so"))
    real = run_inside(scanned.path, "readlink", "-f", libcrypto).strip()
    assert base_install(scanned)["crypto"]["path"] in {libcrypto, real}


def test_the_environment_is_tied_to_its_base(scanned: ScannedRoot) -> None:
    venvs = [install for install in scanned.document["installs"] if install["kind"] == "venv"]
    assert [install["path"] for install in venvs] == ["/opt/environment/bin/python"] or len(venvs) == 1
    assert venvs[0]["build"] == base_install(scanned)["build"]
    assert venvs[0]["realpath"] == base_install(scanned)["realpath"]


def test_no_path_of_the_report_names_this_machine(scanned: ScannedRoot) -> None:
    for install in scanned.document["installs"]:
        assert not install["path"].startswith(str(scanned.path))
        assert not install["realpath"].startswith(str(scanned.path))
        assert not (install["crypto"]["path"] or "").startswith(str(scanned.path))


def test_the_glibc_floor_is_the_highest_version_that_readelf_shows(scanned: ScannedRoot) -> None:
    install = base_install(scanned)
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


def test_advisories_against_the_distributions_library_are_not_called_affected(scanned: ScannedRoot) -> None:
    about = [finding for finding in scanned.document["findings"] if finding["component"] == "openssl"]
    assert {finding["status"] for finding in about} <= {"under_investigation", "not_affected", "fixed"}
