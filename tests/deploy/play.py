"""Real runs of ``ansible-playbook``, of the collection as it is built and installed, and what they did."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.deploy.hosts import COLLECTOR, FROM_WHEELS, HOSTS
from tests.deploy.machines import run

if TYPE_CHECKING:
    from tests.deploy.artefacts import Artefacts
    from tests.deploy.control import Fleet

ANSIBLE = Path(__file__).parents[2] / ".venv-ansible" / "bin"
PLAY_SECONDS = 1200
"""After which a play counts as hung."""

_SETTINGS = """[defaults]
inventory = {folder}/inventory.yml
collections_path = {folder}/collections
local_tmp = {folder}/tmp
host_key_checking = true
interpreter_python = auto_silent
retry_files_enabled = false
nocows = true
callback_plugins = {here}/callback_plugins
callbacks_enabled = recorder
forks = 8

[ssh_connection]
pipelining = true
retries = 3
ssh_args = -F {ssh_config}
"""


@dataclass(frozen=True)
class Outcome:
    """What one run did."""

    code: int
    text: str
    seconds: float
    records: list[dict[str, Any]]

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """The recap's numbers by host."""
        return next((one["hosts"] for one in self.records if one["event"] == "recap"), {})

    def changed(self) -> dict[str, list[str]]:
        """Return the tasks that changed something, by host."""
        found: dict[str, list[str]] = {}
        for one in self.records:
            if one.get("changed"):
                found.setdefault(one["host"], []).append(one["task"])
        return found

    def failures(self) -> dict[str, str]:
        """Return the last message of each host that failed."""
        return {one["host"]: one["message"] for one in self.records if one["event"] in {"failed", "unreachable"}}

    def seconds_by_task(self, host: str) -> dict[str, float]:
        """Return how long the tasks took on a host, by role and name."""
        found: dict[str, float] = {}
        for one in self.records:
            if one.get("host") == host and one.get("seconds") is not None:
                # A task's own name holds its role's.
                found[one["task"]] = found.get(one["task"], 0.0) + one["seconds"]
        return found

    def must_succeed(self) -> Outcome:
        """Return itself; AssertionError with the end of what was printed where a host failed."""
        assert self.code == 0, f"exit code {self.code}\n{self.text[-6000:]}"
        return self

    def must_fail_on(self, host: str) -> str:
        """Return the one sentence with which it failed on a host; AssertionError where it did not, or did elsewhere."""
        assert self.code == 2, f"exit code {self.code}, where a failed host makes it 2\n{self.text[-6000:]}"
        assert self.failures().keys() == {host}, self.failures()
        message = self.failures()[host]
        assert "Traceback" not in self.text
        assert "\n" not in message.strip()
        return message


@dataclass
class Control:
    """Where Ansible runs: settings, an inventory, the installed collection, the artefacts."""

    fleet: Fleet
    artefacts: Artefacts
    runs: int = 0

    @property
    def folder(self) -> Path:
        """The folder of all of it."""
        return self.fleet.folder

    def prepare(self) -> None:
        """Install the collection from its archive, and write settings and inventory."""
        galaxy = str(ANSIBLE / "ansible-galaxy")
        place = str(self.folder / "collections")
        run(galaxy, "collection", "install", "--offline", "-p", place, str(self.artefacts.collection))
        (self.folder / "ansible.cfg").write_text(
            _SETTINGS.format(folder=self.folder, here=Path(__file__).parent, ssh_config=self.fleet.ssh_config),
            encoding="utf-8",
        )
        folder = str(self.artefacts.folder)
        inventory: dict[str, Any] = {
            "libcensus_collector": {
                "hosts": {COLLECTOR.name: {}},
                "vars": {
                    "libcensus_collector_artefact_dir": folder,
                    "libcensus_collector_server_names": [COLLECTOR.name],
                    "libcensus_collector_prometheus": True,
                },
            },
            "libcensus_agent": {
                # Ansible must know who logs in: root becomes nobody, and needs no sudo for it.
                "hosts": {plan.name: {"ansible_user": plan.user} for plan in HOSTS},
                "vars": {
                    "libcensus_agent_artefact_dir": folder,
                    "libcensus_agent_collector_address": COLLECTOR.name,
                    "libcensus_agent_labels": {"env": "test"},
                },
            },
        }
        inventory["libcensus_agent"]["hosts"][FROM_WHEELS.name]["libcensus_agent_install_method"] = "wheelhouse"
        (self.folder / "inventory.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")

    def start(self, playbook: str, *options: str, **variables: Any) -> Running:
        """Start a playbook of the collection."""
        self.runs += 1
        record = self.folder / f"{self.runs:02}-{playbook}.jsonl"
        command = [str(ANSIBLE / "ansible-playbook"), f"libcensus.fleet.{playbook}", *options]
        if variables:
            command += ["--extra-vars", json.dumps(variables)]
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "LIBCENSUS_RECORD": str(record),
        }
        log = record.with_suffix(".log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=self.folder,
                start_new_session=True,
            )
        return Running(process, record, log, time.monotonic())

    def play(self, playbook: str, *options: str, **variables: Any) -> Outcome:
        """Run a playbook of the collection to its end."""
        return self.start(playbook, *options, **variables).end()


@dataclass(frozen=True)
class Running:
    """A run that goes on."""

    process: subprocess.Popen[bytes]
    record: Path
    log: Path
    begun: float

    def records(self) -> list[dict[str, Any]]:
        """Return what it did so far."""
        if not self.record.exists():
            return []
        lines = self.record.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def has_begun(self, task: str, host: str) -> bool:
        """Tell whether a task has begun on a host; AssertionError where the run is over without."""
        begun = any(
            one["event"] == "start" and one["host"] == host and one["task"].endswith(task) for one in self.records()
        )
        assert begun or self.process.poll() is None, f"no task {task!r} on {host}:\n{self.log.read_text()[-3000:]}"
        return begun

    def end(self) -> Outcome:
        """Wait for its end."""
        try:
            code = self.process.wait(timeout=PLAY_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the play hangs:\n{self.log.read_text(encoding='utf-8')[-6000:]}") from None
        seconds = time.monotonic() - self.begun
        return Outcome(code, self.log.read_text(encoding="utf-8", errors="replace"), seconds, self.records())

    def kill(self) -> None:
        """End it and all that it started on this machine, as when the control node dies."""
        os.killpg(self.process.pid, 9)
        self.process.wait()
