"""The workspace keeps its own promises: one namespace, one version, hashed locks, no index host, no loose ends."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MEMBERS = ("protos", "agent", "collector", "cli")
SOURCES = sorted(
    path
    for member in MEMBERS
    for path in (ROOT / member / "src").rglob("*.py")
    if "libcensus/v1" not in path.as_posix()
)


def tracked_files() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    return [ROOT / name.decode() for name in listing.split(b"\0") if name and (ROOT / name.decode()).is_file()]


@pytest.mark.parametrize("member", MEMBERS)
def test_no_init_file_hides_the_sibling_distributions(member: str) -> None:
    assert not (ROOT / member / "src" / "libcensus" / "__init__.py").exists()


def test_all_members_have_one_version_and_pin_each_other_to_it() -> None:
    projects = {member: tomllib.loads((ROOT / member / "pyproject.toml").read_text())["project"] for member in MEMBERS}
    versions = {project["version"] for project in projects.values()}
    assert len(versions) == 1
    (version,) = versions
    names = {project["name"] for project in projects.values()}
    for project in projects.values():
        for dependency in project["dependencies"]:
            name = re.split(r"[<>=\[]", dependency)[0]
            assert name not in names or dependency == f"{name}=={version}"


@pytest.mark.parametrize("member", MEMBERS)
def test_every_member_carries_the_licence(member: str) -> None:
    assert (ROOT / member / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


@pytest.mark.parametrize("lock", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda path: path.name)
def test_locks_pin_and_hash_everything_and_name_no_address(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert "--index-url" not in text
    for entry in re.split(r"\n(?=[a-z0-9])", text, flags=re.IGNORECASE):
        if "==" in entry.split("\n")[0]:
            assert "--hash=sha256:" in entry, entry.split("\n")[0]


def test_no_tracked_file_names_the_host_of_a_package_registry() -> None:
    hosts = re.compile(rb"py[p]i\.org|pythonh[o]sted|registry\.n[p]mjs|deb\.de[b]ian\.org|crates\.[i]o")
    named = [path.relative_to(ROOT).as_posix() for path in tracked_files() if hosts.search(path.read_bytes())]
    assert named == []


def test_nothing_is_left_to_do_in_the_code() -> None:
    # OpenSSL's own development builds are dated "xx XXX xxxx".
    marks = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|(?<!xx )X" + r"XX|raise NotImplemented" + r"Error)\b")
    found = [path.relative_to(ROOT).as_posix() for path in SOURCES if marks.search(path.read_text())]
    assert found == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_module_says_why_it_exists(source: Path) -> None:
    text = source.read_text()
    assert not text.strip() or ast.get_docstring(ast.parse(text)), "the module has no docstring"


def test_the_readme_names_the_two_commands_that_the_makefile_has() -> None:
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    for target in ("demo", "test"):
        assert f"make {target}" in readme
        assert f"\n{target}:" in makefile


def test_continuous_integration_calls_the_readmes_test_command() -> None:
    assert "make test" in (ROOT / ".ci" / "run").read_text()
