"""Says what would move an install on to a newer release of its interpreter: a command, or what to do by hand.

Pure: it reads facts and no files. It names the command of the tool that installed the interpreter, and none where that
is not known. Whether a newer release is there is not its question; and it says nothing of packages that an environment
holds beside the interpreter.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from libcensus.facts.vocabulary import EnvironmentState, Implementation, Installer, InstallKind, Provider

if TYPE_CHECKING:
    from libcensus.facts.interpreter import Build, Install

_PATCH = re.compile(r"(\d+\.\d+)\.\d+")
_FIELD = re.compile(r"\{(\w+)\}")


def moves_on(install: Install, build: Build | None, base: Install | None = None) -> str | None:
    """Return what would move an install on; None where nothing that is known tells.

    ``base`` is the install that an environment belongs to, ``build`` the environment's own build where it has one.
    """
    if install.kind is InstallKind.VENV:
        return _environment(install, build, base)
    return upgrade(install, build)


def upgrade(install: Install, build: Build | None) -> str | None:
    """Return how the installer of a base upgrades it."""
    fields = _fields(install, build)
    if install.installer is Installer.CONDA and (match := _PIXI.fullmatch(install.realpath)):
        # pixi keeps what was installed for a user in the same folder of the home as a project keeps its own.
        if _HOME.fullmatch(match["project"]):
            return f"pixi global update {shlex.quote(match['name'])}"
        return f"pixi update {fields['longer']}, in {shlex.quote(match['project'])}"
    commands = _COMMANDS.get(install.installer, ())
    if install.implementation is Implementation.PYPY and install.installer in _OF_PYPY:
        commands = (_OF_PYPY[install.installer],)
    elif build is not None and build.provider is Provider.PYPI:
        commands = (_OF_WHEELS.get(install.installer, _COMMANDS[Installer.PIP][0]),)
    for command in commands:
        if all(fields[name] for name in _FIELD.findall(command)):
            return command.format(**fields)
    return None if build is None or commands else _BY_PROVIDER.get(build.provider)


def _environment(install: Install, build: Build | None, base: Install | None) -> str | None:
    folder = _environment_folder(install.path)
    if install.state is EnvironmentState.DANGLING:
        where = "a link in a circle" if install.base is None else install.base
        return f"its interpreter is gone ({where}): re-create it: {_make(install, base, build)}"
    needs_another = _other_minor(install, build)
    if needs_another is not None:
        return f"made for {needs_another[0]}, and its base is {needs_another[1]} now: {_make(install, base, build)}"
    first = None if base is None else upgrade(base, build)
    if install.state is EnvironmentState.FOLLOWS:
        return f"{first or 'upgrade its base as it was installed'}; the environment follows"
    if install.state is EnvironmentState.PINNED:
        return f"{first or 'install the newer release of its base'}; then {_make(install, base, build)}"
    if install.state is EnvironmentState.COPIED:
        if base is None:
            return f"its executable is a copy, and its base is not known: re-create it: {_make(install, base, build)}"
        # venv copies one file and makes the others only where they are not there: old copies would stay.
        old = " ".join(shlex.quote(path) for path in (install.path, *install.aliases))
        copy = f"rm {old} && {shlex.quote(base.path)} -m venv --upgrade --copies {shlex.quote(folder)}"
        return f"{first}; then {copy}" if first is not None else copy
    return None


def _make(install: Install, base: Install | None, build: Build | None) -> str:
    """Return the command that makes an environment anew, and what it takes with it.

    An environment that another tool keeps is that tool's to make: only it knows what belongs into it.
    """
    folder = shlex.quote(_environment_folder(install.path))
    minor = _language(install, build) or _minor(install.recorded_version)
    for pattern, words in _KEPT:
        if match := pattern.search(_environment_folder(install.path)):
            return words.format(name=shlex.quote(match[1]), python=f"python{minor or 3}")
    if install.installer is Installer.UV:
        version = "" if minor is None else f" --python {minor}"
        command = f"uv venv --clear{version} {folder}"
    else:
        name = "pypy" if install.implementation is Implementation.PYPY else "python"
        interpreter = f"{name}{minor or 3}"
        if base is not None and install.state is EnvironmentState.FOLLOWS:
            interpreter = shlex.quote(base.path)
        command = f"{interpreter} -m venv --clear {folder}"
    return f"{command}, and install its packages again"


def _other_minor(install: Install, build: Build | None) -> tuple[str, str] | None:
    """Return X.Y of creation and of now where they differ: packages are looked for in a folder named after X.Y."""
    then, now = _minor(install.recorded_version), _language(install, build)
    return (then, now) if then is not None and now is not None and then != now else None


def _environment_folder(path: str) -> str:
    return path.rpartition("/")[0].rpartition("/")[0] or "/"


def _minor(version: str | None) -> str | None:
    match = None if version is None else _PATCH.match(version)
    return None if match is None else match[1]


def _fields(install: Install, build: Build | None) -> dict[str, str]:
    """Return the words that a command is made of; empty where they are not known."""
    line = _language(install, build) or ""
    if install.implementation is Implementation.NODEJS:
        line = line.partition(".")[0]
    provider_build = None if build is None else build.provider_build
    return {
        "line": line,
        "name": _NAMES.get(install.implementation, "python"),
        "longer": _LONGER_NAMES.get(install.implementation, "python"),
        "folder": shlex.quote(_environment_folder(install.realpath)),
        "package": "" if install.package is None else shlex.quote(install.package.name),
        "wheel": "" if provider_build is None else shlex.quote(provider_build.partition(" ")[0]),
        "snap": _after(install.realpath, "snap"),
    }


def _language(install: Install, build: Build | None) -> str | None:
    """Return the X.Y of a build's language: of a PyPy, the version of Python that its flags tell."""
    if build is None:
        return None
    if install.implementation is Implementation.PYPY:
        return next((flag.removeprefix("python-") for flag in build.flags if flag.startswith("python-")), None)
    return _minor(build.version)


def _after(path: str, folder: str) -> str:
    parts = path.split("/")
    return parts[parts.index(folder) + 1] if folder in parts[:-1] else ""


_NAMES = {
    Implementation.CPYTHON: "python",
    Implementation.PYPY: "pypy",
    Implementation.NODEJS: "node",
    Implementation.RUBY: "ruby",
    Implementation.PERL: "perl",
    Implementation.PHP: "php",
}
_LONGER_NAMES = {**_NAMES, Implementation.NODEJS: "nodejs"}

_BESIDE = ", which puts it beside this one"
_COMMANDS: dict[Installer, tuple[str, ...]] = {
    Installer.DPKG: ("apt-get install --only-upgrade {package}",),
    Installer.RPM: ("dnf upgrade {package}",),
    Installer.APK: ("apk add --upgrade {package}",),
    Installer.PACMAN: ("pacman -Syu {package}",),
    Installer.UV: ("uv python upgrade {line}", "uv python upgrade"),
    Installer.RYE: ("rye fetch {line}" + _BESIDE,),
    Installer.HATCH: ("hatch python update {line}", "hatch python update all"),
    Installer.MISE: ("mise install {name}@{line}" + _BESIDE,),
    Installer.ASDF: ("asdf install {longer} latest:{line}" + _BESIDE, "asdf install {longer} latest" + _BESIDE),
    Installer.PYENV: ("pyenv install {line}" + _BESIDE,),
    Installer.CONDA: ("conda install -p {folder} '{longer}={line}'", "conda update -p {folder} {longer}"),
    Installer.PIP: ("pip install --upgrade {wheel}, in the environment that holds it",),
    Installer.PIPX: ("pipx interpreter upgrade",),
    Installer.SNAP: ("snap refresh {snap}",),
    Installer.NIX: ("build it again from a newer channel or flake lock: a store path never changes",),
}
"""What each installer's user types, the first for which all words are known."""

_KEPT = (
    (re.compile(r"/uv/tools/([^/]+)$"), "uv tool uninstall {name} && uv tool install --python {python} {name}"),
    (re.compile(r"/pipx/venvs/([^/]+)$"), "pipx reinstall --python {python} {name}"),
    (re.compile(r"/pypoetry/virtualenvs/([^/]+)$"), "poetry env use {python} and poetry install, in its project"),
    (re.compile(r"/pre-commit/(repo[^/]+)/py_env-[^/]+$"), "pre-commit clean, and its next run makes it again"),
    (re.compile(r"/\.tox/([^/]+)$"), "tox run --recreate -e {name}, in its project"),
    (re.compile(r"/\.nox/([^/]+)$"), "nox, in its project: a session makes its environment again"),
)
"""Environments that a tool makes for its own use, by their folders."""

_PIXI = re.compile(r"(?P<project>.*)/\.pixi/envs/(?P<name>[^/]+)/bin/[^/]+")
_HOME = re.compile(r"/root|/home/[^/]+|/Users/[^/]+")
_OF_PYPY = {Installer.UV: "uv python install --reinstall pypy{line}", Installer.PYENV: "pyenv install pypy{line}"}
_OF_WHEELS = {Installer.UV: "uv pip install --upgrade {wheel}, in the environment that holds it"}
_BY_PROVIDER = {
    Provider.DOCKER_OFFICIAL: "build the image again on a newer base image: docker build --pull",
    Provider.SOURCE: "build the newer release from source for the same prefix",
    Provider.UPSTREAM: "unpack the newer release of its project in its place",
    Provider.PBS: "unpack a newer python-build-standalone in its place",
    Provider.VENDOR: "install the newer release of the product that holds it",
}
