"""The hosts of the deployment test, booted once for all of its tests, and what runs on them."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.deploy.artefacts import Artefacts, make_artefacts
from tests.deploy.control import Fleet, booted
from tests.deploy.deployment import Deployment, deploy
from tests.deploy.hosts import HOSTS
from tests.deploy.machines import SITE, site_to_oneself
from tests.deploy.play import Control
from tests.deploy.traces import Traces, traces_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The four hosts, booted, without anything of ours on them."""
    # Making a root mostly waits for the mirror and the disk.
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as makers:
        list(makers.map(lambda plan: plan.root(), HOSTS))
    # Whoever ends the test politely leaves no hosts behind; after anything else the next start cleans up.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with site_to_oneself(SITE) as site, booted(site, HOSTS, tmp_path_factory.mktemp("control")) as hosts:
            yield hosts
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> Artefacts:
    """What is deployed."""
    return make_artefacts(tmp_path_factory.mktemp("artefacts") / "dist")


@pytest.fixture(scope="session")
def before(fleet: Fleet) -> dict[str, Traces]:
    """What was on each host before anything of ours was."""
    return {name: traces_of(host) for name, host in fleet.hosts.items()}


@pytest.fixture(scope="session")
def control(fleet: Fleet, artefacts: Artefacts, before: dict[str, Traces]) -> Control:
    """Ansible, ready to run."""
    node = Control(fleet, artefacts)
    node.prepare()
    return node


@pytest.fixture(scope="session")
def deployed(control: Control) -> Deployment:
    """The fleet after the first run, seen in Prometheus."""
    return deploy(control)
