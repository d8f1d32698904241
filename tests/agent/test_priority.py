"""Idle priority: taken by whoever nobody waits for, inherited by threads, and no reason to fail."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from libcensus.agent.config import load_config
from libcensus.agent.priority import take_priority

if TYPE_CHECKING:
    from pathlib import Path


def policies(code: str, **environment: str) -> list[int]:
    """Run code in a process of its own; returns the numbers that it printed last."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LIBCENSUS_")}
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**kept, **environment},
    )
    return [int(word) for word in result.stdout.splitlines()[-1].split()]


def test_idle_is_taken_and_inherited_by_threads() -> None:
    code = """
import os, threading
from libcensus.agent.priority import take_priority
assert take_priority("normal")
before = os.sched_getscheduler(0)
assert take_priority("idle")
seen = []
thread = threading.Thread(target=lambda: seen.append(os.sched_getscheduler(0)))
thread.start(); thread.join()
print(before, os.sched_getscheduler(0), *seen)
"""
    assert policies(code) == [os.SCHED_OTHER, os.SCHED_IDLE, os.SCHED_IDLE]


@pytest.mark.parametrize(
    ("setting", "policy"), [("", os.SCHED_OTHER), ("idle", os.SCHED_IDLE), ("normal", os.SCHED_OTHER)]
)
def test_a_scan_gives_way_only_where_it_is_set(setting: str, policy: int, tmp_path: Path) -> None:
    code = (
        f"import os, libcensus.agent.cli as cli; cli.main(['scan', '--root', {str(tmp_path)!r}, '--no-index']);"
        "print(os.sched_getscheduler(0))"
    )
    environment = {"LIBCENSUS_AGENT_SCAN_PRIORITY": setting} if setting else {}
    assert policies(code, **environment) == [policy]


@pytest.mark.parametrize(("setting", "policy"), [("", os.SCHED_IDLE), ("normal", os.SCHED_OTHER)])
def test_a_report_gives_way(setting: str, policy: int, tmp_path: Path) -> None:
    code = (
        "import os, libcensus.agent.cli as cli, libcensus.agent.delivery as delivery\n"
        "delivery.Courier.deliver = lambda self, scan: 1 / 0\n"
        f"cli.main(['report', '--state-dir', {str(tmp_path / 'state')!r}])\n"
        "print(os.sched_getscheduler(0))"
    )
    environment = {"LIBCENSUS_AGENT_SCAN_PRIORITY": setting} if setting else {}
    assert policies(code, **environment) == [policy]


def test_a_sandbox_that_forbids_it_is_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    caplog.set_level("INFO", "libcensus")
    assert not take_priority("idle")
    assert "the idle priority was refused" in caplog.text


def test_the_setting_is_for_scans_that_nobody_waits_for() -> None:
    default = load_config({}, environment={}, user_id=0)
    assert (default.priority, default.interactive_priority) == ("idle", "normal")
    given = load_config({}, environment={"LIBCENSUS_AGENT_SCAN_PRIORITY": "idle"}, user_id=0)
    assert (given.priority, given.interactive_priority) == ("idle", "idle")
