"""Writes what each task did to each host, and how long it took, as JSON lines: what the tests of deployment read.

A callback plugin of Ansible's: it runs in Ansible's own Python, and imports nothing of this project.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: recorder
type: notification
short_description: JSON lines of what each task did to each host
description: Appends to the file that LIBCENSUS_RECORD names.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc] # Ansible is not in the environment that is type-checked
    """Records starts and ends of tasks on hosts, and the recap."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "recorder"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._file = Path(os.environ["LIBCENSUS_RECORD"]).open("a", encoding="utf-8")  # noqa: SIM115 - of the run
        self._begun: dict[tuple[str, str], float] = {}

    def _write(self, **record: Any) -> None:
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """Remember when, and say so: a test cuts a run off in the middle of a task that it knows by name."""
        self._begun[host.get_name(), task._uuid] = time.monotonic()
        self._write(event="start", host=host.get_name(), task=task.get_name())

    def _end(self, event: str, result: Any) -> None:
        # Ansible's names for these changed with 2.19, which warns of the older.
        task = result.task if hasattr(result, "task") else result._task
        host = (result.host if hasattr(result, "host") else result._host).get_name()
        outcome = result.result if hasattr(result, "result") else result._result
        begun = self._begun.pop((host, task._uuid), None)
        self._write(
            event=event,
            host=host,
            task=task.get_name(),
            role=task._role.get_name() if task._role else "",
            changed=bool(outcome.get("changed")),
            seconds=None if begun is None else time.monotonic() - begun,
            message=str(outcome.get("msg", "")) if event in {"failed", "unreachable"} else "",
        )

    def v2_runner_on_ok(self, result: Any) -> None:
        self._end("ok", result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._end("ignored" if ignore_errors else "failed", result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._end("unreachable", result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._end("skipped", result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Write the recap."""
        self._write(event="recap", hosts={host: stats.summarize(host) for host in sorted(stats.processed)})
