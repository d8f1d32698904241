"""The machine that a measurement is made on, and whether it had anything else to do."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from libcensus.collector.posture.speed import median, spread

MOST_LOAD = 0.5
"""Load for each core, before anything was measured, above which others are at work."""

LEAST_SHARE = 0.95
"""Part of the wall clock's time that runs must have had a core for; below it they waited for others."""

MOST_SPREAD = 0.05
"""Median absolute deviation, as a part of the median, above which times say little."""

_CPU_INFO = Path("/proc/cpuinfo")
_MODEL_NAMES = ("model name", "cpu model", "Processor", "cpu")


@dataclass(frozen=True, slots=True)
class Machine:
    """What is known of the machine; ``load`` is that of the last minute (proc_loadavg(5)), before the first run."""

    name: str
    cpu: str | None
    cores: int
    arch: str
    kernel: str
    load: float


def read_machine(name: str | None) -> Machine:
    """Return this machine, under a name of the user's choice or its own."""
    system = os.uname()
    return Machine(
        name or system.nodename,
        _cpu(),
        len(os.sched_getaffinity(0)),
        system.machine,
        system.release,
        os.getloadavg()[0],
    )


def _cpu() -> str | None:
    try:
        text = _CPU_INFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, separator, value = line.partition(":")
        if separator:
            fields.setdefault(name.strip(), " ".join(value.split()))
    return next((fields[name] for name in _MODEL_NAMES if fields.get(name)), None)


def doubts(machine: Machine, shares: list[float], times: dict[str, tuple[float, ...]]) -> list[str]:
    """Return why the figures are to be doubted: others were at work, or times vary.

    ``shares`` are the parts of the wall clock's time for which runs had a core; ``times`` the overall times of each
    interpreter by its name.
    """
    found = []
    if machine.load > MOST_LOAD * machine.cores:
        cores = f"{machine.cores} {'core' if machine.cores == 1 else 'cores'}"
        found.append(f"the machine was busy before the first run: load {machine.load:.1f} on {cores}")
    share = median(shares)
    if share < LEAST_SHARE:
        found.append(f"runs had a core for {share:.0%} of their time only: they shared it with others")
    for name, samples in times.items():
        varies = spread(samples) / median(samples)
        if varies > MOST_SPREAD:
            found.append(f"{name}: its times vary by {varies:.1%} (median absolute deviation)")
    return found
