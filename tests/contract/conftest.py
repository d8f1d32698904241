"""Every test of this folder runs on SQLite and on a real PostgreSQL, each time in an empty database.

Tables are made once per session, because that takes longer than most tests: SQLite's file is copied, PostgreSQL's
tables are emptied. How tables come to be has tests of its own.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, text

from libcensus.collector.store.address import DatabaseAddress
from libcensus.collector.store.sql import SqlStore
from libcensus.collector.store.tables import METADATA

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from libcensus.collector.store.contract import Store
    from tests.postgres import PostgresServer


@pytest.fixture(scope="session")
def sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with tables and no rows."""
    place = tmp_path_factory.mktemp("contract") / "census.db"
    SqlStore.open(str(place)).close()
    return place


@pytest.fixture(scope="session")
def postgres_schema(postgres_server: PostgresServer) -> str:
    """The address of a PostgreSQL schema with tables."""
    url = postgres_server.empty_url()
    SqlStore.open(url).close()
    return url


def empty(url: str) -> None:
    """Remove all rows."""
    engine = create_engine(DatabaseAddress.parse(url).url)
    with engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {', '.join(METADATA.tables)} RESTART IDENTITY"))
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_file"), tmp_path / "census.db")
        return f"sqlite:///{tmp_path}/census.db"
    url: str = request.getfixturevalue("postgres_schema")
    empty(url)
    return url


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    """An empty store."""
    with SqlStore.open(database) as opened:
        yield opened
