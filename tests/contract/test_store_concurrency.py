"""What every store promises to several threads at once; on PostgreSQL, also to several collectors."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

from libcensus.collector.store.sql import SqlStore
from tests.contract.specimens import NOON, Census, address, build, received

if TYPE_CHECKING:
    from libcensus.collector.store.contract import Store

OLD, NEW = build("old"), build("new", "3.13.1")
BEFORE = Census.of("web", "b", ("/opt/python", OLD))
AFTER = Census.of("web", "b", ("/opt/python", NEW), ("/srv/python", OLD))


def host_id(number: int) -> str:
    return f"{number:032x}"


def report_in_turns(store: Store, hosts: range, rounds: int) -> None:
    """Report hosts that change with every round, bringing the facts when they are missing."""
    for turn in range(rounds):
        census = (BEFORE, AFTER)[turn % 2]
        for host in hosts:
            report = received(host_id(host), census.address, NOON + timedelta(hours=turn))
            [outcome] = store.apply_reports([report])
            if outcome:
                store.put_facts(census.records)
                assert store.apply_reports([report]) == [()]


def assert_histories_are_whole(store: Store, hosts: int, rounds: int) -> None:
    """Every host has one interval per round for the install that changes, and one open one for each at the end."""
    for host in range(hosts):
        found = store.intervals(host_id(host))
        assert Counter(one.path for one in found) == {"/opt/python": rounds, "/srv/python": rounds // 2}
        last = {one.path: one for one in found}
        assert [one.gone_at for one in last.values()] == [None, None]


def test_threads_that_report_different_hosts_lose_nothing(store: Store) -> None:
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(report_in_turns, store, range(first, first + 5), 6) for first in range(0, 20, 5)]:
            done.result()
    assert_histories_are_whole(store, 20, 6)
    names = [state.name for state in store.hosts()]
    assert len(set(names)) == 20
    assert sum(name == "web" for name in names) == 1


def test_readers_see_whole_states_while_others_write(store: Store) -> None:
    store.put_facts(BEFORE.records + AFTER.records)
    store.apply_reports([received(host_id(0), BEFORE.address, NOON)])
    ended = threading.Event()
    wholes = {census.address: (address(census.installs), census.inventory.builds) for census in (BEFORE, AFTER)}

    def read() -> int:
        count = 0
        while not ended.is_set():
            for state in store.hosts():
                assert (state.installs, state.builds) == wholes[state.inventory]
                assert state.report.inventory == state.inventory
            open_paths = Counter(one.path for one in store.intervals(host_id(0)) if one.gone_at is None)
            assert open_paths in ({"/opt/python": 1}, {"/opt/python": 1, "/srv/python": 1})
            count += 1
        return count

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        try:
            for turn in range(60):
                census = (AFTER, BEFORE)[turn % 2]
                store.apply_reports([received(host_id(0), census.address, NOON + timedelta(minutes=turn + 1))])
        finally:
            ended.set()
        assert all(reader.result() > 0 for reader in readers)


def test_facts_that_several_threads_bring_are_new_once(store: Store) -> None:
    offered = BEFORE.records + AFTER.records
    with ThreadPoolExecutor(4) as pool:
        counts = [pool.submit(store.put_facts, offered if number % 2 else offered[::-1]) for number in range(8)]
        assert sum(done.result() for done in counts) == len({record.digest for record in offered})


class TestManyCollectors:
    """Any number of collectors may share one PostgreSQL database."""

    def test_all_may_start_at_once_on_an_empty_database(self, postgres_url: str) -> None:
        with ThreadPoolExecutor(4) as pool:
            stores = [done.result() for done in [pool.submit(SqlStore.open, postgres_url) for _ in range(4)]]
        for store in stores:
            with store:
                store.check()

    def test_hosts_of_one_name_that_arrive_at_once_get_different_names(self, postgres_url: str) -> None:
        with SqlStore.open(postgres_url) as one, SqlStore.open(postgres_url) as two:
            one.put_facts(BEFORE.records)
            with ThreadPoolExecutor(4) as pool:
                arrivals = [
                    pool.submit((one, two)[number % 2].apply_reports, [received(host_id(number), BEFORE.address, NOON)])
                    for number in range(40)
                ]
                assert [done.result() for done in arrivals] == [[()]] * 40
            assert len({state.name for state in one.hosts()}) == 40

    def test_the_same_hosts_reported_to_two_collectors_at_once(self, postgres_url: str) -> None:
        with SqlStore.open(postgres_url) as one, SqlStore.open(postgres_url) as two:
            one.put_facts(BEFORE.records + AFTER.records)
            hosts = [host_id(number) for number in range(6)]

            def report(store: Store, order: list[str], minute: int) -> None:
                batch = [
                    received(host, (BEFORE, AFTER)[minute % 2].address, NOON + timedelta(hours=minute))
                    for host in order
                ]
                assert store.apply_reports(batch) == [()] * len(batch)

            with ThreadPoolExecutor(4) as pool:
                # Opposite orders in two collectors: whoever locks hosts as they come would wait for the other for ever.
                calls = [
                    pool.submit(report, (one, two)[minute % 2], hosts[:: 1 if minute % 2 else -1], minute)
                    for minute in range(24)
                ]
                for done in calls:
                    done.result()
            for host in hosts:
                intervals = one.intervals(host)
                still_open = Counter(interval.path for interval in intervals if interval.gone_at is None)
                assert still_open["/opt/python"] == 1
                assert still_open["/srv/python"] <= 1
                for before, after in itertools.pairwise(intervals):
                    if before.path == after.path:
                        assert before.gone_at is not None
                        assert before.first_seen <= before.last_seen <= before.gone_at <= after.first_seen

    def test_facts_stored_at_once_in_opposite_orders(self, postgres_url: str) -> None:
        with SqlStore.open(postgres_url) as one, SqlStore.open(postgres_url) as two:
            records = [record for number in range(60) for record in Census.of(f"h{number}", f"m{number}").records]
            with ThreadPoolExecutor(2) as pool:
                first = pool.submit(one.put_facts, records)
                second = pool.submit(two.put_facts, records[::-1])
                assert first.result() + second.result() == len({record.digest for record in records})
