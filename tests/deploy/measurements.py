"""What the deployment test measured, as ``docs/deployment-measurements.md``.

    UPDATE_MEASUREMENTS=1 make fleet-test PYTEST_ARGS=tests/deploy

writes the page; every other run measures, too, and leaves it alone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.deploy.hosts import COLLECTOR, FROM_WHEELS, HOSTS

if TYPE_CHECKING:
    from tests.deploy.cost import Cost
    from tests.deploy.play import Outcome

PAGE = Path(__file__).parents[2] / "docs" / "deployment-measurements.md"
WANTED = os.environ.get("UPDATE_MEASUREMENTS") == "1"
_LONGEST = 8
_REPORTS_A_DAY = 24


@dataclass(frozen=True)
class Figures:
    """All that the page tells."""

    processors: int
    load: float
    building: dict[str, float]
    first: Outcome
    seconds_to_visible: float
    second: Outcome
    fresh: dict[str, Cost]
    unchanged: dict[str, Cost]
    upgrade: Cost
    glibc: dict[str, str]


def render(figures: Figures) -> str:
    """Return the page."""
    parts = [_HEAD.format(processors=figures.processors, load=figures.load)]
    parts.append(_deployment(figures))
    parts.append(_roles(figures))
    parts.append(_cost(figures))
    return "\n".join(parts)


_HEAD = """# What a deployment takes

Written by the test that deploys a fleet; not by hand. To measure anew, as root:
`UPDATE_MEASUREMENTS=1 make fleet-test PYTEST_ARGS=tests/deploy`.

Four hosts and the control node share one machine with {processors} processors, whose load average was {load:.1f} when
the first run ended: hosts on machines of their own work side by side, and do not wait for each other. They are booted
Debian systems (systemd-nspawn) with an address and an sshd each; Ansible runs with pipelining.
"""


def _deployment(figures: Figures) -> str:
    built = "".join(f"| `make {target}` | {seconds:.0f} s |\n" for target, seconds in figures.building.items())
    first, second = figures.first.seconds, figures.second.seconds
    waited = figures.seconds_to_visible - first
    return f"""## From an inventory to Prometheus

| step | took |
|---|---|
{built}| `ansible-playbook libcensus.fleet.site`, four bare hosts, one of them the collector, too | {first:.0f} s |
| then until Prometheus showed all hosts (it looks once a minute) | {waited:.0f} s |
| **from the inventory to all hosts in Prometheus** | **{figures.seconds_to_visible:.0f} s** |
| the same play again, which changes nothing | {second:.0f} s |

The artefacts are made once for a fleet. Compiling the bundle's CPython is done once per machine and kept: where a row
for `make bundle` shows some seconds, it was there already.
"""


def _roles(figures: Figures) -> str:
    agents: list[str] = []
    collectors: list[str] = []
    for plan in HOSTS:
        tasks = figures.first.seconds_by_task(plan.name)
        again = figures.second.seconds_by_task(plan.name)
        for role, rows in (("libcensus_agent", agents), ("libcensus_collector", collectors)):
            mine = {name: seconds for name, seconds in tasks.items() if f".{role} : " in name}
            if not mine:
                continue
            dominating = sorted(mine.items(), key=lambda item: -item[1])[:3]
            told = "; ".join(f"{name.split(' : ', 1)[1]} {seconds:.1f} s" for name, seconds in dominating)
            second = sum(seconds for name, seconds in again.items() if f".{role} : " in name)
            way = "wheelhouse" if plan == FROM_WHEELS or role.endswith("collector") else "bundle"
            way += "" if plan.has_python else ", without Python (`raw`)"
            rows.append(f"| {plan.name} | {way} | {sum(mine.values()):.0f} s | {second:.0f} s | {told} |\n")
    head = "| host | from | first run | second run | what dominates the first |\n|---|---|---|---|---|\n"
    return f"""## The roles' own time per host

The sum of all tasks on the host. Tasks run on all hosts at once, so a play takes about as long as its slowest host.

`libcensus_agent`:

{head}{"".join(agents)}
`libcensus_collector`:

{head}{"".join(collectors)}"""


def _cost(figures: Figures) -> str:
    rows = []
    for plan in HOSTS:
        fresh, unchanged = figures.fresh[plan.name], figures.unchanged[plan.name]
        # What the collector's own host reports does not leave it.
        wire = plan is not COLLECTOR
        cells = [
            f"{plan.name}, glibc {figures.glibc[plan.name]}",
            f"{fresh.cpu_seconds:.2f} s",
            f"{unchanged.cpu_seconds:.2f} s",
            f"{fresh.peak_memory / 2**20:.0f} MiB",
            f"{unchanged.peak_memory / 2**20:.0f} MiB",
            f"{unchanged.sent / 1000:.1f} kB" if wire else "-",
            f"{unchanged.received / 1000:.1f} kB" if wire else "-",
            f"{unchanged.sent * _REPORTS_A_DAY / 1000:.0f} kB" if wire else "-",
        ]
        rows.append(f"| {' | '.join(cells)} |\n")
    titles = ("host", "CPU, first", "CPU, later", "memory, first", "memory, later", "sent", "received", "sent a day")
    upgrade = figures.upgrade
    return f"""## What the agent costs a host

One run of the unit `libcensus-agent.service`; a timer starts it every hour, nothing stays resident between. *First*:
without an index of what was read before. *Later*: nothing has changed since. Processor time and the peak of resident
memory are those that the kernel counts for the process; sent and received is what the host's interface counted for a
report of an unchanged host, TLS handshake and Ethernet headers included; a day has {_REPORTS_A_DAY} reports.

| {" | ".join(titles)} |
|{"---|" * len(titles)}
{"".join(rows)}
A report after the change of one package (forky: OpenSSL) took {upgrade.cpu_seconds:.2f} s of CPU, and sent
{upgrade.sent / 1000:.1f} kB.
"""


def write_page(figures: Figures) -> None:
    """Write the page where that is wanted."""
    text = render(figures)
    if WANTED:
        PAGE.write_text(text, encoding="utf-8")
