"""A wheelhouse installs the agent where no package index is."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tarfile
import tomllib
from typing import TYPE_CHECKING

import pytest
from release.errors import ReleaseError
from release.wheelhouse import PLATFORMS, WantedWheelhouse, make_wheelhouse, parse_platform
from release.wheels import LOCK, ROOT, agent_version

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "tags", "python"),
    [
        ("manylinux2014_x86_64-cp311", ["manylinux2014_x86_64", "manylinux_2_17_x86_64"], "3.11"),
        ("manylinux_2_28_aarch64-cp313", ["manylinux_2_28_aarch64"], "3.13"),
        ("musllinux_1_2_x86_64-cp312", ["musllinux_1_2_x86_64"], "3.12"),
    ],
)
def test_a_platform_names_its_tags_and_its_python(name: str, tags: list[str], python: str) -> None:
    found = parse_platform(name)
    assert (found.name, found.tags, found.python) == (name, tags, python)


def test_every_platform_of_the_default_can_be_read() -> None:
    assert {parse_platform(name).name for name in PLATFORMS} == set(PLATFORMS)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("manylinux2014_x86_64", "write them like manylinux2014_x86_64-cp312"),
        ("win_amd64-cp312", "write them like manylinux2014_x86_64-cp312"),
        ("manylinux2014_x86_64-cp39", "takes the bundle"),
    ],
)
def test_what_is_no_platform_of_the_agent_is_refused(name: str, remedy: str) -> None:
    with pytest.raises(ReleaseError, match=remedy):
        parse_platform(name)


def test_a_label_is_a_local_version() -> None:
    assert agent_version("site.2") == f"{agent_version()}+site.2"
    with pytest.raises(ReleaseError, match="letters in lower case and digits"):
        agent_version("no blanks")


def test_the_lock_is_that_of_the_agents_own_requirements() -> None:
    wanted: set[str] = set()
    for member in ("agent", "protos"):
        project = tomllib.loads((ROOT / member / "pyproject.toml").read_text())["project"]
        wanted |= {text.partition(">")[0].partition("=")[0] for text in project["dependencies"]}
    lines = (ROOT / "requirements" / "agent.in").read_text().splitlines()
    named = {line for line in lines if line and not line.startswith(("#", "-"))}
    assert named == wanted - {"libcensus-protos"}
    runtime = (ROOT / "requirements" / "runtime.txt").read_text().splitlines()
    pinned = [line for line in LOCK.read_text().splitlines() if "==" in line]
    assert set(pinned) <= set(runtime), "what is shipped is what is tested"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_agent_is_installed_from_a_wheelhouse_without_an_index(tmp_path: Path) -> None:
    here = f"manylinux2014_{platform.machine()}-cp{sys.version_info.major}{sys.version_info.minor}"
    archive = make_wheelhouse(WantedWheelhouse([here], tmp_path / "dist", tmp_path / "cache", "offline"))
    version = agent_version("offline")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    folder = tmp_path / f"libcensus-agent-{version}-wheelhouse"
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    assert (folder / "PLATFORMS").read_text() == f"{here}\n"

    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    offline = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}
    install = [str(venv / "bin" / "pip"), "install", "-q", "--no-index", "--find-links", str(folder)]
    install += ["--require-hashes", "-r", str(folder / "requirements.txt")]
    subprocess.run(install, check=True, env=offline)
    agent = str(venv / "bin" / "libcensus-agent")
    told = subprocess.run([agent, "--version"], check=True, env=offline, capture_output=True, text=True)
    assert told.stdout == f"libcensus-agent {version}\n"
    scan = [agent, "scan", "--root", str(venv), "--no-index", "--output", "json"]
    document = json.loads(subprocess.run(scan, check=True, env=offline, capture_output=True, text=True).stdout)
    owners = {copy["package"]["name"] if copy.get("package") else None for copy in document["crypto_copies"]}
    assert document["crypto_copies"], owners
