"""Which modules a bundle takes: what import statements lead to, and nothing that was cut."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from release.stdlib import CUT, choose

LIBRARY = Path(sysconfig.get_path("stdlib"))


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder of packages with one import statement of each kind."""
    folder = tmp_path / "site-packages"
    (folder / "thing" / "part").mkdir(parents=True)
    (folder / "thing" / "__init__.py").write_text("import json.decoder\n")
    (folder / "thing" / "part" / "__init__.py").write_text("from . import inner\nfrom ..other import name\n")
    (folder / "thing" / "part" / "inner.py").write_text("from concurrent import futures\n")
    (folder / "thing" / "other.py").write_text("def late():\n    import ssl, tomllib\n")
    return folder


def test_import_statements_are_followed_wherever_they_stand(packages: Path) -> None:
    modules = choose(LIBRARY, packages).modules
    assert {"json", "json.decoder", "json.scanner", "re", "concurrent.futures", "tomllib"} <= modules.keys()
    assert {"os", "encodings.utf_8", "io"} <= modules.keys(), "what CPython starts with"
    assert "sqlite3" not in modules
    assert modules["json"] == LIBRARY / "json" / "__init__.py"


def test_what_is_cut_is_left_out_and_who_wanted_it_is_told(packages: Path) -> None:
    closure = choose(LIBRARY, packages)
    assert not closure.modules.keys() & CUT.keys()
    assert "thing.other" in closure.cut["ssl"]
    assert "concurrent.futures" in closure.cut["concurrent.futures.process"]


def test_the_chosen_modules_are_compiled_and_never_compared_with_their_sources(packages: Path, tmp_path: Path) -> None:
    target = tmp_path / "python"
    script = Path(choose.__code__.co_filename)
    command = [sys.executable, "-I", "-S", str(script), str(LIBRARY), str(packages), str(target)]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert "json.decoder" in told["modules"]
    assert "ssl" in told["cut"]
    compiled = next((target / "json" / "__pycache__").glob("decoder.*.pyc")).read_bytes()
    assert int.from_bytes(compiled[4:8], "little") == 1, "PEP 552: hash-based, not checked"
    assert str(tmp_path).encode() not in compiled, "tracebacks name no folder of the builder"
    assert not list(target.glob("**/ssl.py"))
