"""The scan of the machine that runs the suite: containers on it are roots of their own, interpreters what they say.

Two containers are started for it, one by systemd-nspawn and one by nothing but ``unshare`` and ``chroot``; each runs
its own root's Python.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fleet.furniture import furnished_root, uv_program
from tests.fleet.roots import PYTHONS
from tests.fleet.truth import interpreters_of

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.root, pytest.mark.timeout(1200)]

_AGENT = str(Path(sys.executable).parent / "libcensus-agent")
_NSPAWN, _CHROOT = "bookworm", "trixie"
_SERVE = "import ssl, sys; print('ready', flush=True); sys.stdin.read()"
_SERVICE = ("/usr/bin/python3", "-c", _SERVE)
_LASTING = ("/usr/bin", "/usr/lib", "/usr/local", "/opt", "/root/.pyenv/versions", "/root/.local")
"""Where a machine's own interpreters lie; what tests left in temporary folders is run by nobody."""


@dataclass(frozen=True)
class ScannedMachine:
    """The machine with the containers that run on it, by the suite of each."""

    containers: dict[str, Path]
    document: dict[str, Any]

    def root(self, suite: str) -> dict[str, Any]:
        """Return what the scan calls the root of a container."""
        found = [one for one in self.document["roots"] if one["path"] == str(self.containers[suite])]
        assert len(found) == 1, f"{self.containers[suite]}: expected one root, got {found}"
        return dict(found[0])


@contextmanager
def _running(*command: str) -> Iterator[None]:
    """Let a program run until the end of the block: it ends when its input does."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "ready" in process.stdout.readline(), f"{command[0]} did not start"
        yield


@pytest.fixture(scope="module")
def machine() -> Iterator[ScannedMachine]:
    nspawn, chroot = furnished_root(_NSPAWN), furnished_root(_CHROOT)
    script = 'mount -t proc proc "$1/proc" && exec chroot "$@"'
    with ExitStack() as stack:
        options = ["--register=no", "--keep-unit", "--resolv-conf=off", "--timezone=off", "--console=pipe"]
        stack.enter_context(_running("systemd-nspawn", "-q", *options, "-D", str(nspawn), *_SERVICE))
        unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "/bin/sh", "-c", script, "chroot"]
        stack.enter_context(_running(*unshare, str(chroot), *_SERVICE))
        done = subprocess.run(
            [_AGENT, "scan", "--no-index", "--output", "json"], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        yield ScannedMachine({_NSPAWN: nspawn, _CHROOT: chroot}, json.loads(done.stdout))


@pytest.mark.parametrize("suite", [_NSPAWN, _CHROOT])
def test_a_running_container_is_a_root_with_its_own_installs(machine: ScannedMachine, suite: str) -> None:
    root = machine.root(suite)
    assert root["kind"] == "container"
    assert root["os_release"]["id"] == "debian"
    assert suite in root["os_release"]["pretty_name"]
    paths = [one["path"] for one in machine.document["installs"] if one["root"] == root["name"]]
    assert f"/usr/bin/python{PYTHONS[suite]}" in paths
    assert "/usr/bin/node" in paths
    assert len(paths) == len(set(paths))


def test_the_container_of_nspawn_is_known_as_one(machine: ScannedMachine) -> None:
    assert machine.root(_NSPAWN)["container"]["runtime"] == "nspawn"


@pytest.mark.parametrize("suite", [_NSPAWN, _CHROOT])
def test_what_runs_in_a_container_runs_its_own_install(machine: ScannedMachine, suite: str) -> None:
    name = machine.root(suite)["name"]
    python = f"/usr/bin/python{PYTHONS[suite]}"
    groups = [one for one in machine.document["processes"] if one["root"] == name and one["executable"] == python]
    assert [(one["install"], one["state"], one["processes"]) for one in groups] == [(python, "current", 1)]
    libraries = [one["path"] for one in groups[0]["libraries"] if "libcrypto" in one["path"]]
    assert len(libraries) == 1
    assert not libraries[0].startswith(str(machine.containers[suite]))


def test_every_interpreter_of_the_machine_is_what_it_says(machine: ScannedMachine) -> None:
    bases = {
        one["realpath"]: one for one in machine.document["installs"] if one["root"] == "/" and one["kind"] == "base"
    }
    wrong = []
    seen = set()
    for true in interpreters_of(Path("/"), *(folder for folder in _LASTING if Path(folder).exists())):
        found = [bases[name] for name in true.names if name in bases]
        beside = [one for one in bases.values() if set(true.names) & set(one["aliases"])]
        if not found and not beside:
            wrong.append(f"{true.path}: expected {true.implementation} {true.version}, got none")
            continue
        one = (found or beside)[0]
        seen.add(one["realpath"])
        expected = (true.implementation, true.version, true.openssl)
        got = (one["implementation"], one["version"], one["crypto"]["version"])
        if expected != got:
            wrong.append(f"{true.path}: expected {expected}, got {got}")
        linkage = one["crypto"]["linkage"]
        allowed = (
            {"system", "local", "bundled"} if true.mapped else {"static"} if true.openssl else {"none", "unresolved"}
        )
        if linkage not in allowed:
            wrong.append(
                f"{true.path}: it has {true.openssl} and loaded {true.mapped or 'no libcrypto'}, got {linkage}"
            )
    wrong += [
        f"{path}: expected no install, got one"
        for path in bases.keys() - seen
        if path.startswith(tuple(f"{folder}/" for folder in _LASTING))
    ]
    assert not wrong, "\n".join(wrong)


def test_uv_lists_no_base_that_the_scan_does_not(machine: ScannedMachine) -> None:
    listing = subprocess.run(
        [uv_program(), "python", "list", "--only-installed", "--offline", "--output-format", "json"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    installs = [one for one in machine.document["installs"] if one["root"] == "/"]
    known = {path for one in installs for path in (one["path"], one["realpath"], *one["aliases"])}
    real = {str(Path(one["path"]).resolve()): one["path"] for one in json.loads(listing)}
    missing = {
        path: named for path, named in real.items() if path not in known and Path(path).read_bytes()[:2] != b"#!"
    }
    assert not missing, f"uv lists what the scan does not: {missing}"
    assert real
