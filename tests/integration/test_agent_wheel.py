"""The agent installs from its own wheel into an empty environment, without anything of the collector."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

MOST_DISTRIBUTIONS = 12
NOT_THE_AGENTS = re.compile(
    r"sqlalchemy|alembic|psycopg.*|prometheus.client|univers|rich.*|grpcio-(health-checking|reflection|status)|greenlet|mako"
    r"|packaging|hypothesis|pytest|libcensus|libcensus-collector"
)


def run(*command: str | Path) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def pip(*arguments: str | Path) -> str:
    return run(sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *arguments)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("wheels")
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-cache-dir", "-w", folder, ROOT / "protos", ROOT / "agent")
    return sorted(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the agent's wheel, and what it brings in the locked versions."""
    folder = tmp_path_factory.mktemp("agent")
    locked = re.findall(
        r"^[a-z0-9][^\s\\]*==[^\s\\]+",
        (ROOT / "requirements" / "runtime.txt").read_text(),
        re.MULTILINE | re.IGNORECASE,
    )
    constraints = folder / "constraints.txt"
    # A lock names extras with their packages; a constraint may not.
    plain = [re.sub(r"\[.*?\]", "", one) for one in locked]
    constraints.write_text("\n".join(plain) + "\n")
    venv = folder / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    pip("--python", venv / "bin" / "python", "install", "--only-binary", ":all:", "-c", constraints, *wheels)
    return venv


def distributions(environment: Path) -> list[str]:
    code = (
        "import importlib.metadata as m, json;"
        "print(json.dumps(sorted({d.metadata['Name'].lower().replace('_', '-') for d in m.distributions()})))"
    )
    return [str(name) for name in json.loads(run(environment / "bin" / "python", "-I", "-c", code))]


def test_the_wheels_are_pure_and_share_the_namespace(wheels: list[Path]) -> None:
    assert [path.name.split("-")[0] for path in wheels] == ["libcensus_agent", "libcensus_protos"]
    for path in wheels:
        assert path.name.endswith("-py3-none-any.whl")
        names = zipfile.ZipFile(path).namelist()
        assert "libcensus/__init__.py" not in names
        assert any(name.endswith("licenses/LICENSE") for name in names)
        assert not [name for name in names if "/collector/" in name or "/cli/" in name or name.startswith("tests")]


def test_the_wheels_hold_every_file_of_their_sources(wheels: list[Path]) -> None:
    for path, member in zip(wheels, ("agent", "protos"), strict=True):
        source = ROOT / member / "src"
        expected = {
            file.relative_to(source).as_posix()
            for file in source.rglob("*")
            if file.is_file() and "__pycache__" not in file.parts
        }
        assert expected <= set(zipfile.ZipFile(path).namelist())


def test_the_agent_brings_few_distributions_and_none_of_the_collectors(environment: Path) -> None:
    names = distributions(environment)
    assert {"libcensus-agent", "libcensus-protos", "grpcio", "protobuf", "click"} <= set(names)
    assert len(names) <= MOST_DISTRIBUTIONS, names
    assert not [name for name in names if NOT_THE_AGENTS.fullmatch(name)]


def test_the_pattern_of_what_is_not_the_agents_matches_what_the_collector_needs() -> None:
    locked = (ROOT / "requirements" / "runtime.txt").read_text().lower()
    for name in ("sqlalchemy", "alembic", "prometheus-client", "psycopg-binary", "rich-click"):
        assert f"\n{name}==" in f"\n{locked}"
        assert NOT_THE_AGENTS.fullmatch(name)


def test_the_installed_agent_scans(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "os-release").write_text("ID=alpine\nVERSION_ID=3.20.1\n")
    scanned = json.loads(run(environment / "bin" / "libcensus-agent", "scan", "--root", tmp_path, "--output", "json"))
    assert scanned["host"]["os_release"]["id"] == "alpine"
    assert all(probe["state"] != "failed" for probe in scanned["probes"])


def test_the_installed_agent_can_import_all_that_it_has(environment: Path) -> None:
    code = (
        "import pkgutil, importlib, libcensus.agent, libcensus.facts, libcensus.v1\n"
        "for package in (libcensus.agent, libcensus.facts, libcensus.v1):\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(module.name)\n"
        "import importlib.util\n"
        "assert importlib.util.find_spec('libcensus.collector') is None\n"
        "assert importlib.util.find_spec('libcensus.cli') is None\n"
    )
    run(environment / "bin" / "python", "-I", "-W", "error", "-c", code)
