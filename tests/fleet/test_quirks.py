"""The quirks that a scan tells of a root are those that its own Pythons show when they are run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.fleet.roots import run_inside

if TYPE_CHECKING:
    from tests.fleet.conftest import ScannedRoot

pytestmark = [pytest.mark.root, pytest.mark.timeout(1200)]

ASK = """
import gc, importlib.util, json, os, sys, sysconfig
try:
    import readline
except ImportError:
    readline = None
class Held:
    freed = False
    def __del__(self):
        Held.freed = True
Held()
at_once = Held.freed
print(json.dumps({
    "managed": os.path.exists(os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")),
    "dist-packages": any(path.endswith("/dist-packages") for path in sys.path),
    "sqlite3": importlib.util.find_spec("_sqlite3") is not None,
    "libedit": readline is not None and "libedit" in (readline.__doc__ or ""),
    "at once": at_once,
}))
"""


def _quirks(scanned: ScannedRoot, install: dict[str, Any]) -> set[str]:
    return {
        one["quirk"]
        for one in scanned.document["quirks"]
        if (one["subject"]["root"], one["subject"]["path"]) == (install["root"], install["path"])
    }


def _say(scanned: ScannedRoot, install: dict[str, Any]) -> dict[str, bool]:
    said: dict[str, bool] = json.loads(run_inside(scanned.path, install["path"], "-c", ASK))
    return said


def test_the_distributions_python_shows_its_quirks_and_no_other(scanned: ScannedRoot) -> None:
    said, told = _say(scanned, scanned.distribution), _quirks(scanned, scanned.distribution)
    assert ("debian-externally-managed" in told) == said["managed"]
    assert ("debian-dist-packages" in told) == said["dist-packages"] is True
    assert ("debian-minimal" in told) == (not said["sqlite3"])
    assert "debian-split-library" in told
    assert not said["libedit"]
    assert not {one for one in told if not one.startswith("debian-")}


def test_every_python_of_another_provider_shows_its_quirks(scanned: ScannedRoot) -> None:
    checked = 0
    for install in scanned.document["installs"]:
        if install["implementation"] not in ("cpython", "pypy") or install["state"] == "dangling":
            continue
        told = _quirks(scanned, install)
        said = _say(scanned, install)
        assert ("pbs-libedit" in told) == said["libedit"], install["path"]
        assert ("pypy-lifetimes" in told) == (not said["at once"]), install["path"]
        checked += 1
    assert checked > 5
