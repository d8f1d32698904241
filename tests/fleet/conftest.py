"""The real roots, scanned once and run once for all tests of the suite."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.furniture import furnished_root
from tests.fleet.roots import PYTHONS
from tests.fleet.truth import Truth, truth_of

COMMAND = str(Path(sys.executable).parent / "libcensus")


@dataclass(frozen=True)
class ScannedRoot:
    """A real root, what the product says of it, and what its own programs say."""

    suite: str
    path: Path
    document: dict[str, Any]
    truth: Truth

    @property
    def python(self) -> str:
        """The path of the distribution's own Python."""
        return f"/usr/bin/python{PYTHONS[self.suite]}"

    @property
    def distribution(self) -> dict[str, Any]:
        """What the scan says of the distribution's own Python."""
        (found,) = (
            one for one in self.document["installs"] if one["kind"] == "base" and one["realpath"] == self.python
        )
        return dict(found)


@pytest.fixture(scope="session", params=list(PYTHONS))
def scanned(request: pytest.FixtureRequest) -> ScannedRoot:
    """A furnished Debian root of each suite."""
    root = furnished_root(request.param)
    done = subprocess.run(
        [COMMAND, "scan", "--root", str(root), "--output", "json"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return ScannedRoot(request.param, root, json.loads(done.stdout), truth_of(root))
