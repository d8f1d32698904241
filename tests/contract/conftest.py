"""Every test of this folder runs on SQLite and on a real PostgreSQL, each time with a database of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libcensus.collector.store.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from libcensus.collector.store.contract import Store


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database that does not exist yet, or is empty."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/census.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    """An empty store."""
    with SqlStore.open(database) as opened:
        yield opened
