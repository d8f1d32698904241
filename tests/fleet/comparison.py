"""The difference between what a scan says of a root and what the root says when it is run, a line for each.

An empty list means: every install and every copy is there, is right, and is there once; nothing else is reported.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.fleet.furniture import UV_PYTHONS, VENVS
from tests.fleet.roots import run_inside

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.fleet.truth import TrueEnvironment, TrueInterpreter, Truth

STATES = {
    "chain": "follows",
    "copied": "copied",
    "dangling": "dangling",
    "loop": "dangling",
    "pbs-pinned": "pinned",
    "pypy-copied": "copied",
}
"""How the environments of the roots hang on their base; those that are not named here follow it."""


class Oracle:
    """The questions that dpkg and the file system of a root answer."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._packages: dict[str, tuple[str, str] | None] = {}

    def real(self, path: str) -> str:
        """Return where a path of the root leads."""
        return run_inside(self.root, "readlink", "-f", path).strip()

    def digest(self, path: str) -> str:
        """Return the digest of a file's bytes."""
        return hashlib.sha256((self.root / path[1:]).read_bytes()).hexdigest()

    def package(self, path: str) -> tuple[str, str] | None:
        """Return the name and version of the package that owns a file, under the name that dpkg knows it by."""
        if path not in self._packages:
            self._packages[path] = self._package(path)
        return self._packages[path]

    def _package(self, path: str) -> tuple[str, str] | None:
        names = [path, path.removeprefix("/usr"), f"/usr{path}"]
        script = 'dpkg -S "$@" 2>/dev/null; true'
        found = run_inside(self.root, "/bin/sh", "-c", script, "owner", *names)
        for line in found.splitlines():
            owners, _, file = line.rpartition(": ")
            if file in names and not owners.startswith("diversion"):
                name = owners.partition(":")[0]
                return name, run_inside(self.root, "dpkg-query", "-W", "-f", "${Version}", owners)
        return None


def differences(root: Path, document: dict[str, Any], truth: Truth) -> list[str]:
    """Compare the scan's object with the truth; each difference names the file, what was expected and what was got."""
    oracle = Oracle(root)
    installs = document["installs"]
    bases = [one for one in installs if one["kind"] == "base"]
    venvs = [one for one in installs if one["kind"] == "venv"]
    return [
        *_twice("install", ((one["root"], one["realpath"]) for one in bases)),
        *_twice("environment", ((one["root"], environment_folder(one["path"])) for one in venvs)),
        *_twice("copy", ((one["root"], one["path"]) for one in document["crypto_copies"])),
        *(f"{one['path']}: is of kind {one['kind']}" for one in installs if one["kind"] not in ("base", "venv")),
        *_bases(oracle, bases, truth),
        *_environments(oracle, venvs, truth),
        *_copies(oracle, document["crypto_copies"], truth, {one["crypto"]["path"] for one in installs}),
        *(
            f"probe {one['name']}: {one['state']}: {one['reason']}"
            for one in document["probes"]
            if one["state"] == "failed"
        ),
    ]


def environment_folder(path: str) -> str:
    """Return the folder of the environment whose ``bin`` holds a path."""
    return path.rpartition("/bin/")[0]


def same_program(oracle: Oracle, interpreters: Iterable[TrueInterpreter]) -> list[list[TrueInterpreter]]:
    """Group interpreters that are one install: names of one file, or equal files beside each other in one folder."""
    groups: dict[tuple[str, str], list[TrueInterpreter]] = {}
    for one in interpreters:
        groups.setdefault((one.path.rpartition("/")[0], oracle.digest(one.path)), []).append(one)
    return list(groups.values())


def _twice(what: str, keys: Iterable[tuple[str, str]]) -> Iterator[str]:
    for (root, path), count in Counter(keys).items():
        if count > 1:
            yield f"{path}: expected one {what}, got {count} in {root}"


def _wrong(path: str, what: str, expected: object, got: object) -> Iterator[str]:
    if expected != got:
        yield f"{path}: {what}: expected {expected!r}, got {got!r}"


def _bases(oracle: Oracle, bases: list[dict[str, Any]], truth: Truth) -> Iterator[str]:
    known: set[str] = set()
    for group in same_program(oracle, truth.interpreters.values()):
        names = {name for one in group for name in one.names}
        known |= names
        found = [one for one in bases if one["realpath"] in names]
        if len(found) != 1:
            got = [one["path"] for one in found] or "none"
            yield f"{group[0].path}: expected one install for {sorted(names)}, got {got}"
        for install in found:
            yield from _base(oracle, install, group[0], truth)
    for one in bases:
        if one["realpath"] not in known:
            yield f"{one['path']}: expected no install, got {one['implementation']} {one['version']}"


def _base(oracle: Oracle, install: dict[str, Any], true: TrueInterpreter, truth: Truth) -> Iterator[str]:
    path = install["path"]
    yield from _wrong(path, "implementation", true.implementation, install["implementation"])
    yield from _wrong(path, "version", true.version, install["version"])
    yield from _crypto(oracle, install, true, truth.marked)
    package = oracle.package(install["realpath"])
    told = install["package"]
    yield from _wrong(path, "package", package, None if told is None else (told["name"], told["version"]))
    yield from _wrong(
        path, "provider and installer", _source(path, package), (install["provider"], install["installer"])
    )


def _source(path: str, package: tuple[str, str] | None) -> tuple[str, str]:
    if package is not None:
        return "distro", "dpkg"
    if path.startswith(UV_PYTHONS):
        return "pbs", "uv"
    if path.startswith("/root/.pyenv/"):
        return "pyenv", "pyenv"
    assert "/site-packages/" in path, f"{path} is of a provider that this test does not know"
    return "pypi", "pip"


def _crypto(
    oracle: Oracle, install: dict[str, Any], true: TrueInterpreter | TrueEnvironment, marked: frozenset[str]
) -> Iterator[str]:
    path, crypto = install["path"], install["crypto"]
    yield from _wrong(path, "crypto family", "openssl", crypto["family"])
    yield from _wrong(path, "crypto version", true.openssl, crypto["version"])
    yield from _wrong(path, "linkage", "system" if true.mapped else "static", crypto["linkage"])
    library = crypto["path"]
    if not true.mapped:
        if library not in marked:
            yield f"{path}: {library} is said to hold OpenSSL, and does not name its build folder"
        return
    yield from _wrong(path, "crypto path", true.mapped[0], library if library is None else oracle.real(library))
    told = crypto["package"]
    owner = oracle.package(true.mapped[0])
    yield from _wrong(path, "crypto package", owner, None if told is None else (told["name"], told["version"]))


def _environments(oracle: Oracle, venvs: list[dict[str, Any]], truth: Truth) -> Iterator[str]:
    for folder, true in truth.environments.items():
        found = [one for one in venvs if environment_folder(one["path"]) == folder]
        if not found:
            yield f"{folder}: expected an environment, got none"
        for install in found:
            yield from _environment(oracle, install, true, truth)
    for one in venvs:
        if environment_folder(one["path"]) not in truth.environments:
            yield f"{one['path']}: expected no environment, got one"


def _environment(oracle: Oracle, install: dict[str, Any], true: TrueEnvironment, truth: Truth) -> Iterator[str]:
    name = true.folder.removeprefix(f"{VENVS}/")
    path = install["path"]
    yield from _wrong(path, "state", STATES.get(name, "follows"), install["state"])
    settings = (oracle.root / true.folder[1:] / "pyvenv.cfg").read_text(encoding="utf-8")
    recorded = re.search(r"^version(?:_info)? = (\d+\.\d+\.\d+)", settings, re.MULTILINE)
    yield from _wrong(path, "recorded version", recorded and recorded[1], install["recorded_version"])
    if true.version is None:
        yield from _wrong(path, "version", None, install["version"])
        return
    yield from _wrong(path, "version", true.version, install["version"])
    yield from _wrong(path, "realpath", true.realpath, install["realpath"])
    yield from _crypto(oracle, install, true, truth.marked)


def _copies(oracle: Oracle, reported: list[dict[str, Any]], truth: Truth, held: set[str]) -> Iterator[str]:
    true = truth.copies
    got = {one["path"]: one for one in reported}
    # A vendor that unpacked a python-build-standalone made copies of its links: the same library under a second name.
    known = {oracle.digest(path) for path in held & truth.marked}
    for path in sorted(truth.marked - true.keys() - held):
        if oracle.package(path) is None and oracle.digest(path) not in known:
            yield f"{path}: the oracle found OpenSSL in it, and the scan names it nowhere"
    for path in sorted(true.keys() | got.keys()):
        if path not in got:
            yield f"{path}: expected a copy of {true[path].family} {true[path].version}, got none"
        elif path not in true:
            told = got[path]
            words = f"{told['linkage']} {told['family']} {told['version']} of {told['owner']}"
            yield f"{path}: expected no copy, got {words}"
        else:
            copy, told = true[path], got[path]
            owner = None if told["owner"] is None else (told["owner"]["name"], told["owner"]["version"])
            yield from _wrong(path, "family", copy.family, told["family"])
            yield from _wrong(path, "version", copy.version, told["version"])
            yield from _wrong(path, "linkage", copy.linkage, told["linkage"])
            yield from _wrong(path, "owner", copy.owner, owner)
            yield from _wrong(path, "environment", copy.environment, told["environment"])
