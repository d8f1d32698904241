"""The collection as it is built, and its templates rendered by Ansible itself."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from scripts.stage_collection import NAME, stage

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".venv-ansible" / "bin"

_LOOK = """marker=libcensus-preflight-1
uid=0
nodename=web-1
arch=x86_64
skew=0
os_id=debian
os_like=
os_version=12
os_name=Debian
libc=glibc
libc_version=2.36
libstdcxx=yes
init=systemd
systemd=252
free_mb=9999
state_free_mb=9999
noexec=no
readonly=no
selinux=absent
restorecon=no
runuser=yes
useradd=yes
sha256sum=yes
tar=yes
gzip=yes
python=/usr/bin/python3
python_venv=yes
current=
stamp=
enrolled=no
enrolled_at=
host_id="""


def ansible(*command: str, home: Path, collections: Path) -> subprocess.CompletedProcess[str]:
    """Run a tool of .venv-ansible with a home and a path of collections of its own."""
    assert (TOOLS / command[0]).exists(), "there is no .venv-ansible; make it with: make .venv-ansible/.complete"
    environment = {
        "PATH": f"{TOOLS}:{os.environ['PATH']}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "ANSIBLE_NOCOLOR": "1",
    }
    return subprocess.run(
        [str(TOOLS / command[0]), *command[1:]],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        cwd=home,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(scope="session")
def collections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of collections with ours in it, as it is built."""
    folder = tmp_path_factory.mktemp("collections")
    stage(folder)
    return folder


@pytest.fixture(scope="session")
def collection(collections: Path) -> Path:
    """The staged collection."""
    return collections / NAME


@pytest.fixture
def render(collections: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return what renders templates of a role on this machine, by variables, into a folder."""

    def make(role: str, *templates: str, look: dict[str, str] | None = None, **variables: Any) -> Path:
        target = tmp_path / "rendered"
        target.mkdir(exist_ok=True)
        facts = dict(line.split("=", 1) for line in _LOOK.splitlines()) | (look or {})
        lines = [f"{key}={value}" for key, value in facts.items()]
        role_path = collections / NAME / "roles" / role
        tasks = [
            {"ansible.builtin.include_vars": str(role_path / "defaults" / "main.yml")},
            {"ansible.builtin.include_vars": str(role_path / "vars" / "main.yml")},
            {"ansible.builtin.set_fact": {f"__{role}_look": {"stdout_lines": lines}, **variables}},
            *(
                {
                    "ansible.builtin.template": {
                        "src": str(role_path / "templates" / f"{name}.j2"),
                        "dest": str(target / name),
                        "mode": "0644",
                    }
                }
                for name in templates
            ),
        ]
        digest = f"{role}_artefact_sha256"
        play = [
            {
                "hosts": "localhost",
                "connection": "local",
                "gather_facts": False,
                "vars": {"role_path": str(role_path)},
                "tasks": tasks,
            }
        ]
        tasks.insert(2, {"ansible.builtin.set_fact": {digest: "ab" * 32}})
        file = role_path / "templates" / "render.yml"
        file.write_text(json.dumps(play), encoding="utf-8")
        try:
            done = ansible("ansible-playbook", str(file), home=tmp_path, collections=collections)
        finally:
            file.unlink()
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        return target

    return make
