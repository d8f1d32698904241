"""One collector per module is enough where a test changes no settings; each test speaks for a host of its own."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tests.collector.service.running import Client, client_of, running_collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcensus.collector.app import Collector


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """A collector with a database of its own."""
    with running_collector(tmp_path_factory.mktemp("collector")) as running:
        yield running


@pytest.fixture
def client(collector: Collector) -> Iterator[Client]:
    """A client of the collector."""
    with client_of(collector) as connected:
        yield connected


@pytest.fixture
def mark() -> str:
    """A text that makes the facts of one test its own."""
    return uuid.uuid4().hex
