"""What the collection says of itself is true: variables, modules, files that it carries, secrets that it keeps."""

from __future__ import annotations

import re
import subprocess
import tarfile
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from scripts.generate_role_docs import ROLES, options, render

from tests.ansible.conftest import ROOT, ansible

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COLLECTION = ROOT / "ansible"
KEYWORDS = {
    *("name", "when", "block", "rescue", "always", "register", "changed_when", "failed_when", "check_mode", "diff"),
    *("delegate_to", "become", "no_log", "loop", "loop_control", "vars", "tags", "notify", "environment", "until"),
    *("retries", "delay"),
}


def tasks_of(role: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield every task and handler of a role, those in blocks as well."""

    def walk(tasks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for task in tasks:
            yield task
            for inner in ("block", "rescue", "always"):
                yield from walk(task.get(inner, []))

    for file in sorted((COLLECTION / "roles" / role).glob("*/*.yml")):
        if file.parent.name in ("tasks", "handlers"):
            for task in walk(yaml.safe_load(file.read_text(encoding="utf-8"))):
                yield file, task


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_is_specified_with_its_default(role: str) -> None:
    """defaults/main.yml and the argument specification hold the same variables, with the same defaults."""
    file = COLLECTION / "roles" / role / "defaults" / "main.yml"
    defaults = yaml.safe_load(file.read_text(encoding="utf-8"))
    specified = options(role)
    assert {name: option["default"] for name, option in specified.items()} == defaults
    assert all(name.startswith(f"{role}_") and option["description"].strip() for name, option in specified.items())
    for name, option in specified.items():
        assert option.get("choices") is None or defaults[name] in option["choices"], name
        assert option["type"] in {"str", "bool", "int", "list", "dict"}


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_is_used_and_none_that_is_used_is_missing(role: str) -> None:
    """A variable that nothing reads is a promise that is not kept; one that nobody declared is a typing error."""
    folder = COLLECTION / "roles" / role
    texts = [
        path.read_text(encoding="utf-8")
        for part in ("tasks", "templates", "vars", "handlers")
        for path in (folder / part).glob("*")
    ]
    texts.append((folder / "defaults" / "main.yml").read_text(encoding="utf-8").replace("\nlibcensus_", "\n"))
    used = set(re.findall(rf"(?<![_\w/]){role}_\w+", "\n".join(texts)))
    tags = {f"{role}_{part}" for part in ("install", "configure", "run", "uninstall")}
    assert used - tags - set(options(role)) == set()
    assert set(options(role)) - used == set()


def test_the_readme_holds_the_variables() -> None:
    """Its tables are made of the specifications."""
    readme = (COLLECTION / "README.md").read_text(encoding="utf-8")
    assert render(readme) == readme, "run scripts/generate_role_docs.py"


@pytest.mark.parametrize("role", ROLES)
def test_the_roles_use_builtin_modules_alone(role: str) -> None:
    """No other collection is needed, and every module is written with its full name."""
    modules = [
        name
        for _, task in tasks_of(role)
        for name in task
        if name not in KEYWORDS and not name.startswith("ansible.builtin.")
    ]
    assert modules == []


@pytest.mark.parametrize("role", ROLES)
def test_what_holds_a_secret_is_kept_out_of_the_log(role: str) -> None:
    """Tasks whose arguments hold a token or password, and those that receive a token, say no_log."""
    secret = re.compile(r"token\.stdout \| from_json\)\.token\b|_password \}\}|enroll\.sh\.j2")
    for file, task in tasks_of(role):
        if "block" in task:
            continue
        arguments = yaml.safe_dump(
            {key: value for key, value in task.items() if key.startswith("ansible.builtin.")}, width=9999
        )
        if secret.search(arguments) or "'token', 'create'" in arguments:
            assert task.get("no_log") is True, f"{file.name}: {task['name']}"


@pytest.mark.parametrize("role", ROLES)
def test_nothing_is_fetched_from_the_internet_by_a_host(role: str) -> None:
    """Artefacts come from the control node: no module that downloads is used."""
    for file, task in tasks_of(role):
        assert not {"ansible.builtin.get_url", "ansible.builtin.git"} & set(task), f"{file.name}: {task['name']}"


def test_the_version_is_that_of_the_agent_and_the_default_of_both_roles() -> None:
    """One release is one version everywhere."""
    galaxy = yaml.safe_load((COLLECTION / "galaxy.yml").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "agent" / "pyproject.toml").read_text(encoding="utf-8"))
    assert galaxy["version"] == project["project"]["version"]
    for role in ROLES:
        assert options(role)[f"{role}_version"]["default"] == galaxy["version"]


def test_the_built_collection_carries_rules_dashboards_and_locks(
    collections: Path, collection: Path, tmp_path: Path
) -> None:
    """What the roles put in place from elsewhere is in the archive, byte for byte."""
    done = ansible(
        "ansible-galaxy",
        "collection",
        "build",
        "--output-path",
        str(tmp_path),
        str(collection),
        home=tmp_path,
        collections=collections,
    )
    assert done.returncode == 0, done.stderr
    (archive,) = tmp_path.glob("libcensus-fleet-*.tar.gz")
    wanted = {
        **dict.fromkeys((ROOT / "prometheus" / "rules").glob("*.yml"), "roles/libcensus_collector/files/prometheus"),
        **dict.fromkeys((ROOT / "grafana" / "dashboards").glob("*.json"), "roles/libcensus_collector/files/grafana"),
    }
    assert len(wanted) >= 8
    with tarfile.open(archive) as built:
        for path, place in wanted.items():
            member = built.extractfile(f"{place}/{path.name}")
            assert member is not None
            assert member.read() == path.read_bytes()
        for name in (
            "roles/libcensus_agent/files/requirements.txt",
            "roles/libcensus_agent/files/preflight.sh",
            "LICENSE",
        ):
            assert built.getmember(name).size > 0


@pytest.mark.parametrize("playbook", ["site", "upgrade", "restore", "remove"])
def test_the_playbooks_are_right(playbook: str, collections: Path, tmp_path: Path) -> None:
    """Ansible reads each of them with every role that it names."""
    inventory = COLLECTION / "inventory" / "hosts.yml"
    done = ansible(
        "ansible-playbook",
        "-i",
        str(inventory),
        "--syntax-check",
        f"libcensus.fleet.{playbook}",
        home=tmp_path,
        collections=collections,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_look_at_a_host_tells_all_that_the_roles_ask(tmp_path: Path) -> None:
    """The script runs in a POSIX shell, and every key that a variable reads is there."""
    script = COLLECTION / "roles" / "libcensus_agent" / "files" / "preflight.sh"
    state = tmp_path / "state"
    (tmp_path / "releases" / "1.0").mkdir(parents=True)
    (tmp_path / "releases" / "1.0" / ".complete").write_text("abc\n", encoding="ascii")
    (tmp_path / "releases" / "2.0").mkdir()
    (state / "identity" / "current").mkdir(parents=True)
    facts = '{\n "collector": "census.example:9444",\n "host_id": "00ff"\n}\n'
    (state / "identity" / "current" / "identity.json").write_text(facts, encoding="ascii")
    done = subprocess.run(
        ["sh", str(script), str(tmp_path / "releases"), str(state), "0"], check=True, capture_output=True, text=True
    )
    assert not done.stderr
    told = dict(line.split("=", 1) for line in done.stdout.splitlines())
    read = "".join(
        path.read_text(encoding="utf-8")
        for role in ROLES
        for part in ("tasks", "vars", "templates")
        for path in (COLLECTION / "roles" / role / part).glob("*")
    )
    assert set(re.findall(r"__libcensus_(?:agent|collector)_host\.(\w+)", read)) <= set(told)
    assert told["release:1.0"] == "abc"
    assert told["unfinished:2.0"] == "yes"
    assert (told["enrolled"], told["enrolled_at"], told["host_id"]) == ("yes", "census.example:9444", "00ff")
    assert told["libc"] == "glibc"
    assert int(told["free_mb"]) > 0
