"""What the agent costs a host: processor, memory, bytes on the wire, measured from outside while its unit runs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.deploy.deployment import AGENT
from tests.deploy.patience import wait_for

if TYPE_CHECKING:
    from tests.deploy.control import Host

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """One run of the agent's unit on one host. Memory in bytes, processor and time in seconds."""

    cpu_seconds: float
    peak_memory: int
    sent: int
    received: int


def cost_of_a_report(host: Host) -> Cost:
    """Let the host report now, and watch: the process's own peak of resident memory, as the kernel keeps it.

    The unit is started from within the host, so that nothing but the report is on the wire.
    """
    machine = host.machine
    sent, received = machine.bytes_sent()
    process = machine.started_inside("systemctl", "start", AGENT)
    peak, ticks = 0, 0

    def has_ended() -> bool:
        nonlocal peak, ticks
        for pid in machine.processes_of(AGENT):
            peak = max(peak, _peak_memory(pid))
            ticks = max(ticks, _ticks(pid))
        return process.poll() is not None

    wait_for(f"the report of {host.name}", has_ended, seconds=600, every=0.02)
    assert process.returncode == 0, f"{host.name}: the report failed with exit code {process.returncode}"
    assert peak, f"{host.name}: the agent was never seen to run"
    after = machine.bytes_sent()
    return Cost(ticks / _TICKS, peak, after[0] - sent, after[1] - received)


def _peak_memory(pid: int) -> int:
    try:
        told = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in told.splitlines() if line.startswith("VmHWM:")), 0)


def _ticks(pid: int) -> int:
    """Return the processor time of a process and of those that it waited for, in ticks of the clock."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(int(each) for each in fields[11:15])
