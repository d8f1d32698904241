"""Shards: together they tell what one collector would, and no host is told twice."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families as parse_text

from libcensus.collector.metrics.exporter import FleetExporter
from libcensus.collector.metrics.exposition import Format
from libcensus.collector.metrics.families import FAMILIES
from libcensus.collector.metrics.shard import ALL_HOSTS, MOST_SHARDS, Shard
from libcensus.collector.metrics.view import Detail
from libcensus.collector.store.sql import SqlStore
from tests.collector.metrics import fleet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LEVELS = {family.name: family.detail for family in FAMILIES}
HOSTS = 40

Series = tuple[str, frozenset[tuple[str, str]], float]


@given(st.text(min_size=1), st.integers(1, MOST_SHARDS))
def test_a_host_is_in_exactly_one_shard(host_id: str, count: int) -> None:
    assert sum(Shard(number, count).holds(host_id) for number in range(1, count + 1)) == 1


def test_the_only_shard_has_all_hosts() -> None:
    assert Shard.read("1/1") == ALL_HOSTS
    assert all(ALL_HOSTS.holds(str(number)) for number in range(100))


def test_a_host_stays_in_its_shard_from_version_to_version() -> None:
    """By sha256sum: another rule would move hosts between collectors of two versions that run side by side."""
    in_which = [next(n for n in (1, 2, 3) if Shard(n, 3).holds(f"{number:032x}")) for number in range(12)]
    assert in_which == [3, 3, 1, 2, 2, 2, 1, 1, 1, 1, 1, 2]


def test_shards_are_of_about_one_size() -> None:
    sizes = Counter(number for host in range(4000) for number in range(1, 9) if Shard(number, 8).holds(f"{host:032x}"))
    assert min(sizes.values()) > 400
    assert max(sizes.values()) < 600


@pytest.mark.parametrize("text", ["1/1", "3/3", "12/1000"])
def test_a_shard_is_read_as_it_is_written(text: str) -> None:
    assert str(Shard.read(text)) == text


@pytest.mark.parametrize(
    "text", ["0/3", "4/3", "x", "", "1", "1/", "/3", "1/0", "-1/3", "1/3/5", "1 / 3", "1/1001", "²/3"]
)
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no shard I/N"):
        Shard.read(text)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with SqlStore.open(f"sqlite:///{tmp_path / 'census.db'}") as opened:
        for number in range(HOSTS):
            machine = fleet.full_machine if number % 7 == 0 else fleet.Machine
            fleet.report(opened, machine(f"host-{number}"))
        yield opened


def exporters(store: SqlStore, count: int, detail: Detail = Detail.INSTALL) -> list[FleetExporter]:
    judge = fleet.assessor()
    return [FleetExporter(store, lambda: judge, detail, shard=Shard(number, count)) for number in range(1, count + 1)]


def series(exporter: FleetExporter) -> dict[Detail, list[Series]]:
    """Return the series of a page by their level, but those that count series."""
    found: dict[Detail, list[Series]] = {detail: [] for detail in Detail}
    for family in parse_text(exporter.render_fleet(Format.TEXT).decode()):
        for sample in family.samples:
            if sample.name != "libcensus_series":
                level = LEVELS.get(sample.name, Detail.FLEET)
                found[level].append((sample.name, frozenset(sample.labels.items()), sample.value))
    return found


@pytest.mark.parametrize("detail", list(Detail))
@pytest.mark.parametrize("count", [2, 5, 60])
def test_the_shards_together_are_the_whole(store: SqlStore, detail: Detail, count: int) -> None:
    [whole] = exporters(store, 1, detail)
    parts = exporters(store, count, detail)

    def compare() -> None:
        expected = series(whole)
        found = [series(part) for part in parts]
        for level in (Detail.HOST, Detail.INSTALL):
            together = Counter(one for part in found for one in part[level])
            assert together == Counter(expected[level])
            assert max(together.values(), default=1) == 1
        # Each tells of the whole fleet: rules take the maximum before they add anything up.
        for part in found:
            assert part[Detail.FLEET] == expected[Detail.FLEET]

    compare()
    # Some hosts change, one comes, one gets another name.
    fleet.report(store, fleet.full_machine("host-1"), at=fleet.NOON + timedelta(hours=1))
    fleet.report(store, fleet.Machine("host-2"), at=fleet.NOON + timedelta(hours=1))
    fleet.report(store, fleet.Machine("new"))
    fleet.report(store, fleet.Machine("renamed"), fleet.host_id_of("host-3"), fleet.NOON + timedelta(hours=1))
    compare()


def test_each_shard_counts_its_own_series(store: SqlStore) -> None:
    [whole] = exporters(store, 1)
    parts = exporters(store, 3)
    for exporter in (whole, *parts):
        page = exporter.render_fleet(Format.TEXT).decode()
        found = Counter(
            LEVELS.get(sample.name, Detail.FLEET) for family in parse_text(page) for sample in family.samples
        )
        glance = exporter.glance
        assert glance is not None
        assert glance.series == found
        assert glance.hosts == HOSTS
        assert f'libcensus_series{{detail="host"}} {found[Detail.HOST]}\n' in page
    assert sum(part.glance.shown_hosts for part in parts if part.glance is not None) == HOSTS
    assert all(part.glance is not None and 0 < part.glance.shown_hosts < HOSTS for part in parts)
