"""What makes real environments for the tests: uv, virtualenv, and a python-build-standalone where this machine has one.

They are run to make the samples and to be asked what they themselves see; the agent runs none of them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from libcensus.agent.host import Root
from libcensus.agent.scan import Scan, scan
from libcensus.agent.settings import ScanSettings

_PBS_PLACES = (
    "/usr/lib/google-cloud-sdk/platform/bundledpythonunix",
    "/opt/google-cloud-sdk/platform/bundledpythonunix",
)
_PATH = "/usr/local/bin:/usr/bin:/bin"


def find_pbs() -> tuple[Path, str] | None:
    """Return a python-build-standalone on this machine, and its version as it says itself."""
    for place in _PBS_PLACES:
        executable = Path(place, "bin/python3")
        if executable.is_file():
            text = subprocess.run([executable, "--version"], check=True, capture_output=True, text=True).stdout
            return Path(place), text.split()[1]
    return None


def locked_tool(name: str) -> Path:
    """Return a tool's program in the environment of these tests, in the version that is locked."""
    program = Path(sys.executable).parent / name
    assert program.is_file(), f"{name} is not installed: make test installs it from requirements/dev.txt"
    return program


def run_pip(*arguments: str | Path) -> None:
    """Run this environment's pip, as it is configured here."""
    subprocess.run([sys.executable, "-m", "pip", *map(str, arguments)], check=True, capture_output=True, text=True)


def run_tool(program: Path | str, *arguments: str | Path, home: Path, **environment: str) -> str:
    """Run a tool with a home and settings of its own, and return what it prints."""
    values = {"HOME": str(home), "PATH": _PATH, "UV_PYTHON_DOWNLOADS": "never", "UV_NO_CONFIG": "1", **environment}
    command = [str(program), *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=values).stdout


def find_system_python() -> Path | None:
    """Return the distribution's own Python, if it can make environments."""
    found = shutil.which("python3", path="/usr/bin")
    if found is None:
        return None
    probe = subprocess.run([found, "-c", "import venv"], check=False, capture_output=True)
    return Path(found) if probe.returncode == 0 else None


def scan_places(*places: Path | str) -> Scan:
    """Scan this machine's own root, walking nothing but these folders: links lead where they really lead."""
    wanted = [Path(place).resolve() for place in places]
    routes = {route for place in wanted for route in (place, *place.parents)}
    exclude = [str(one) for route in sorted(routes - set(wanted)) for one in route.iterdir() if one not in routes]
    with Root.open("/") as root:
        return scan(root, ScanSettings(exclude=tuple(exclude), containers=False, processes=False))
