"""A root of another architecture, read on this one: what an emulator says of it when its programs are run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fleet.roots import foreign_root
from tests.fleet.truth import interpreters_of

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]


def test_every_interpreter_of_an_arm64_root_is_right_and_there_once() -> None:
    emulator = shutil.which("qemu-aarch64-static")
    assert emulator is not None
    root = foreign_root("trixie", "arm64", Path(emulator))
    command = [str(Path(sys.executable).parent / "libcensus-agent"), "scan", "--no-index", "--output", "json"]
    done = subprocess.run([*command, "--root", str(root)], check=True, capture_output=True, text=True)
    document = json.loads(done.stdout)
    assert document["host"]["arch"] == "aarch64"
    assert document["host"]["kernel"] is None
    assert document["crypto_copies"] == []
    got = {
        one["realpath"]: (
            one["implementation"],
            one["version"],
            one["crypto"]["version"],
            one["crypto"]["path"],
            one["requirement"]["arch"],
        )
        for one in document["installs"]
    }
    assert len(got) == len(document["installs"])
    expected = {
        one.path: (one.implementation, one.version, one.openssl, one.mapped[0], "aarch64")
        for one in interpreters_of(root, "/usr/bin", "/usr/lib", "/opt", emulator="/emulator")
    }
    assert len(expected) >= 5
    assert got == expected
    # No package record, so nobody is named as who built or updates them, and the library is nobody's.
    assert {one["crypto"]["linkage"] for one in document["installs"]} == {"local"}
    assert {one["package"] for one in document["installs"]} == {None}
