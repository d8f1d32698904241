"""Stamps of hosts are read where they may have changed, and are never out of date."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.collector.store.sql import SqlStore
from libcensus.collector.store.stamps import StampMemory
from tests.contract.specimens import NOON, Census, received

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from libcensus.collector.store.stamps import Row

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Table:
    """Rows as a database has them, and how often they were read."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.version: int | None = 1
        self.whole = 0
        self.asked: list[set[str]] = []
        self.fails = False

    def put(self, host_id: str, name: str, moment: int) -> None:
        self.rows[host_id] = (host_id, name, bytes(32), moment)

    def everything(self) -> list[Row]:
        self.whole += 1
        if self.fails:
            raise OSError
        return list(self.rows.values())

    def some(self, host_ids: Collection[str]) -> list[Row]:
        self.asked.append(set(host_ids))
        if self.fails:
            raise OSError
        return [self.rows[host_id] for host_id in host_ids if host_id in self.rows]

    def look(self, memory: StampMemory) -> list[tuple[str, str, datetime]]:
        stamps = memory.read(lambda: self.version, self.everything, self.some)
        return [(stamp.host_id, stamp.name, stamp.last_report) for stamp in stamps]

    @property
    def truth(self) -> list[tuple[str, str, datetime]]:
        found = [(row[0], row[1], EPOCH + timedelta(microseconds=row[3])) for row in self.rows.values()]
        return sorted(found, key=lambda one: one[1])


def filled(hosts: int = 20) -> Table:
    table = Table()
    for number in range(hosts):
        table.put(f"h{number}", f"name-{number:03}", number)
    return table


def test_hosts_that_were_touched_are_read_and_no_others() -> None:
    table, memory = filled(), StampMemory()
    table.look(memory)
    table.put("h3", "name-003", 99)
    memory.touch(["h3"])
    assert table.look(memory) == table.truth
    assert (table.whole, table.asked) == (1, [{"h3"}])


def test_nothing_is_read_while_nothing_changed_and_the_list_is_the_same() -> None:
    table, memory = filled(), StampMemory()
    first = memory.read(lambda: 1, table.everything, table.some)
    assert memory.read(lambda: 1, table.everything, table.some) is first
    assert (table.whole, table.asked) == (1, [])


@pytest.mark.parametrize("version", [2, None])
def test_what_others_wrote_is_read(version: int | None) -> None:
    table, memory = filled(), StampMemory()
    table.look(memory)
    table.put("h3", "another", 99)
    del table.rows["h4"]
    table.version = version
    assert table.look(memory) == table.truth


def test_a_host_that_was_touched_is_not_lost_when_reading_fails() -> None:
    table, memory = filled(), StampMemory()
    table.look(memory)
    table.put("h3", "name-003", 99)
    memory.touch(["h3"])
    table.fails = True
    with pytest.raises(OSError):
        table.look(memory)
    table.fails = False
    assert table.look(memory) == table.truth


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5), st.booleans(), st.booleans()), max_size=60))
def test_the_stamps_are_always_those_of_the_table(steps: list[tuple[int, int, bool, bool]]) -> None:
    table, memory = filled(12), StampMemory()
    for number, moment, foreign, looks in steps:
        table.put(f"h{number}", f"name-{number:03}-{moment % 2}", moment)
        if foreign and table.version is not None:
            table.version += 1
        else:
            memory.touch([f"h{number}"])
        if looks:
            assert table.look(memory) == table.truth
    assert table.look(memory) == table.truth


def test_a_row_that_another_process_changed_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "census.db"
    web, db = Census.of("web", "w"), Census.of("db", "d")
    with SqlStore.open(f"sqlite:///{file}") as store:
        store.put_facts(web.records + db.records)
        store.apply_reports([received("a" * 32, web.address, NOON)])
        assert [stamp.name for stamp in store.host_stamps()] == ["web"]
        with sqlite3.connect(file) as other:
            other.execute("UPDATE hosts SET name = 'renamed'")
        other.close()
        assert [stamp.name for stamp in store.host_stamps()] == ["renamed"]
        store.apply_reports([received("b" * 32, db.address, NOON)])
        assert [stamp.name for stamp in store.host_stamps()] == ["db", "renamed"]
        store.apply_reports([received("b" * 32, db.address, NOON + timedelta(hours=1))])
        assert [stamp.last_report for stamp in store.host_stamps()] == [NOON + timedelta(hours=1), NOON]
