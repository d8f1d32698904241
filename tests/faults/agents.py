"""Simulated hosts whose agents are real processes, and what they know to be acknowledged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from libcensus.agent.spool import Spool
from tests.faults import agent_process

if TYPE_CHECKING:
    from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    output: str
    errors: str


class AgentStarter:
    """A process that forks agents; use it as a context manager."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", agent_process.__name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self._folder = tempfile.TemporaryDirectory(prefix="agents-")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=60)
        self._folder.cleanup()

    def run(self, arguments: list[str], environment: dict[str, str]) -> Ended:
        """Run one command in a fork."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        files = {name: str(Path(self._folder.name) / name) for name in ("stdout", "stderr")}
        order = {"arguments": arguments, "environment": environment, **files}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return Ended(code, *(Path(file).read_text() for file in files.values()))


def run_apart(arguments: list[str], environment: dict[str, str], prefix: tuple[str, ...] = ()) -> Ended:
    """Run one command in a process that is started anew, by another program where ``prefix`` names one."""
    done = subprocess.run(
        [*prefix, sys.executable, "-m", agent_process.__name__, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=ROOT,
        # A program that enters a namespace does not stay in the folder.
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@dataclass
class SimulatedHost:
    """One host: its agent's state folder, and every report that its agent was told to be acknowledged, in order."""

    number: int
    state: Path
    installs: tuple[int, ...]
    acknowledged: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def host_id(self) -> str:
        return f"{self.number:032x}"

    def environment(self, **settings: object) -> dict[str, str]:
        """Return the environment of its agent."""
        return {
            agent_process.HOST: self.host_id,
            agent_process.INSTALLS: " ".join(map(str, self.installs)),
            "LIBCENSUS_AGENT_STATE_FOLDER": str(self.state),
            **{f"LIBCENSUS_AGENT_{name.upper()}": str(value) for name, value in {**self.settings, **settings}.items()},
        }

    def remembered(self) -> dict[str, Any]:
        """Return what its agent remembers."""
        try:
            content: dict[str, Any] = json.loads((self.state / "state.json").read_text())
        except FileNotFoundError:
            return {}
        return content

    def waiting(self) -> list[str]:
        """Return the ids of the reports that its agent keeps."""
        spool = Spool(self.state / "spool", max_reports=1000, max_bytes=1 << 30)
        return [one.report.report_id.hex() for one in spool.waiting()]

    def note(self) -> None:
        """Take note of what its agent made and was told, after one run."""
        last = (self.remembered().get("last_acknowledged") or {}).get("report_id")
        waiting = self.waiting()
        self.made += [one for one in (last, *waiting) if one is not None and one not in self.made]
        self.acknowledged = [one for one in self.made if one not in waiting]
