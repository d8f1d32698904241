"""A database with a simulated fleet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from libcensus.collector.advisories.snapshot import TABLES, load_snapshot, read_table
from libcensus.collector.posture.assessment import Assessor
from libcensus.collector.simulation.fill import Simulation
from libcensus.collector.store.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from libcensus.collector.simulation.truth import Truth

SEEDS = (1, 7, 20261125)
HOSTS = 120
PAST_SEEDS = SEEDS[:2]
PAST_HOSTS = 60
"""A past is several states of each host: fewer hosts have as many."""
DAYS = 180


@dataclass(frozen=True)
class Filled:
    """A store with a fleet, what is true of it, and who judges it on its day."""

    store: SqlStore
    simulation: Simulation
    truth: Truth
    assessor: Assessor


def simulated(seed: int, hosts: int, days: int = DAYS, as_of: date | None = None) -> Simulation:
    """Return a fleet with a past, and with the tables that its truth is told from."""
    return Simulation(load_snapshot(), seed, hosts, as_of, days=days, tables={n: read_table(n) for n in TABLES})


def filled(url: str, seed: int, hosts: int = HOSTS, days: int = 0) -> Iterator[Filled]:
    """Fill the database at this address with a fleet."""
    simulation = simulated(seed, hosts, days)
    with SqlStore.open(url) as store:
        yield Filled(store, simulation, simulation.fill(store), Assessor(load_snapshot(), simulation.as_of))


@pytest.fixture(scope="session", params=SEEDS, ids=lambda seed: f"seed {seed}")
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """A fleet in a SQLite file, for several seeds."""
    yield from filled(f"sqlite:///{tmp_path_factory.mktemp('simulated') / 'fleet.db'}", request.param)


@pytest.fixture(scope="session", params=PAST_SEEDS, ids=lambda seed: f"seed {seed}")
def past_fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """A fleet with a past in a SQLite file, for several seeds."""
    yield from filled(f"sqlite:///{tmp_path_factory.mktemp('simulated') / 'past.db'}", request.param, PAST_HOSTS, DAYS)


@pytest.fixture
def postgres_fleet(postgres_url: str) -> Iterator[Filled]:
    """A fleet in a real PostgreSQL."""
    yield from filled(postgres_url, SEEDS[0])
