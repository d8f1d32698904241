"""A database with a simulated fleet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.posture.assessment import Assessor
from libcensus.collector.simulation.fill import Simulation
from libcensus.collector.store.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcensus.collector.simulation.truth import Truth

SEEDS = (1, 7, 20261125)
HOSTS = 120


@dataclass(frozen=True)
class Filled:
    """A store with a fleet, what is true of it, and who judges it on its day."""

    store: SqlStore
    simulation: Simulation
    truth: Truth
    assessor: Assessor


def filled(url: str, seed: int, hosts: int = HOSTS) -> Iterator[Filled]:
    """Fill the database at this address with a fleet."""
    simulation = Simulation(load_snapshot(), seed, hosts)
    with SqlStore.open(url) as store:
        yield Filled(store, simulation, simulation.fill(store), Assessor(load_snapshot(), simulation.as_of))


@pytest.fixture(scope="session", params=SEEDS, ids=lambda seed: f"seed {seed}")
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """A fleet in a SQLite file, for several seeds."""
    yield from filled(f"sqlite:///{tmp_path_factory.mktemp('simulated') / 'fleet.db'}", request.param)


@pytest.fixture
def postgres_fleet(postgres_url: str) -> Iterator[Filled]:
    """A fleet in a real PostgreSQL."""
    yield from filled(postgres_url, SEEDS[0])
