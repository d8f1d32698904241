"""The hosts of the deployment test, booted once for all of its tests."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.deploy.control import Fleet, booted
from tests.deploy.hosts import HOSTS
from tests.deploy.machines import SITE, site_to_oneself

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The four hosts, booted, without anything of ours on them."""
    # Making a root mostly waits for the mirror and the disk.
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as makers:
        list(makers.map(lambda plan: plan.root(), HOSTS))
    with site_to_oneself(SITE) as site, booted(site, HOSTS, tmp_path_factory.mktemp("control")) as hosts:
        yield hosts
