"""The first run of the playbook, from an inventory to every host in Prometheus, with what it took."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.deploy.hosts import COLLECTOR
from tests.deploy.observer import VISIBLE_SECONDS, Observer
from tests.deploy.patience import wait_for

if TYPE_CHECKING:
    from tests.deploy.control import Fleet
    from tests.deploy.play import Control, Outcome

AGENT = "libcensus-agent.service"
SERVICE = "libcensus-collector.service"


@dataclass(frozen=True)
class Deployment:
    """A fleet that reports."""

    control: Control
    observer: Observer
    first: Outcome
    seconds_to_visible: float
    load: float

    @property
    def fleet(self) -> Fleet:
        """The hosts."""
        return self.control.fleet

    def report(self, host: str) -> None:
        """Let a host report now, as its timer would."""
        self.fleet.hosts[host].run(f"systemctl start {AGENT}", seconds=600)

    def last_reports(self) -> dict[str, float]:
        """Return when each host reported last, as Prometheus knows it."""
        return self.observer.by_host("libcensus_host_last_report_timestamp_seconds")


def deploy(control: Control) -> Deployment:
    """Run the playbook and wait until Prometheus shows every host."""
    begun = time.monotonic()
    outcome = control.play("site").must_succeed()
    load = os.getloadavg()[0]
    observer = Observer(control.fleet[COLLECTOR].machine.address)
    names = set(control.fleet.hosts)
    wait_for("all hosts in Prometheus", lambda: set(observer.hosts()) == names, seconds=VISIBLE_SECONDS, every=1)
    return Deployment(control, observer, outcome, time.monotonic() - begun, load)
