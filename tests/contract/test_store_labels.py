"""What every store promises about labels of hosts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from libcensus.collector.errors import StoreError
from libcensus.collector.store.sql import SqlStore
from tests.contract.specimens import NOON, Census, build, received

if TYPE_CHECKING:
    from libcensus.collector.store.contract import Store

A, B = "a" * 32, "b" * 32


def test_no_host_has_any_at_first(store: Store) -> None:
    assert store.labels() == {}


def test_labels_are_set_replaced_and_removed(store: Store) -> None:
    store.set_labels(A, {"team": "web", "env": "prod"})
    store.set_labels(B, {"example.com/zone": ""})
    assert store.labels() == {A: {"env": "prod", "team": "web"}, B: {"example.com/zone": ""}}
    assert list(store.labels()[A]) == ["env", "team"]
    store.set_labels(A, {"env": "staging", "Env": "x"})
    assert store.labels()[A] == {"Env": "x", "env": "staging", "team": "web"}
    assert store.remove_labels(A, ["env", "env", "nothing"]) == 1
    assert store.remove_labels(B, ["example.com/zone"]) == 1
    assert store.labels() == {A: {"Env": "x", "team": "web"}}


def test_labels_of_some_hosts_are_theirs_alone(store: Store) -> None:
    store.set_labels(A, {"zone": "b", "env": "prod", "Env": "x"})
    store.set_labels(B, {"env": "dev"})
    found = store.labels([A, "c" * 32])
    assert found == {A: {"Env": "x", "env": "prod", "zone": "b"}}
    assert list(found[A]) == ["Env", "env", "zone"]
    assert store.labels([]) == {}
    assert store.labels([f"{number:032x}" for number in range(5000)] + [B]) == {B: {"env": "dev"}}


def test_all_labels_are_the_same_object_until_one_changes(store: Store) -> None:
    """They are asked for at every scrape: whoever compares them has nothing to do."""
    store.set_labels(A, {"env": "prod"})
    store.set_labels(B, {"env": "prod", "team": "web"})
    first = store.labels()
    store.set_labels(A, {"env": "prod"})
    assert store.labels() is first
    store.set_labels(A, {"env": "dev"})
    second = store.labels()
    assert (second[A], first[A]) == ({"env": "dev"}, {"env": "prod"})
    assert store.remove_labels(B, ["env", "team"]) == 2
    assert store.labels() == {A: {"env": "dev"}}
    assert store.remove_labels(A, ["env"]) == 1
    assert store.labels() == {}


def test_nothing_asked_changes_nothing(store: Store) -> None:
    store.set_labels(A, {"env": "prod"})
    store.set_labels(A, {})
    assert store.remove_labels(A, []) == 0
    assert store.remove_labels(B, ["env"]) == 0
    assert store.labels() == {A: {"env": "prod"}}


def test_they_are_durable_and_outlive_reports(database: str) -> None:
    census = Census.of("web", "w", ("/opt/python", build("b")))
    with SqlStore.open(database) as store:
        # A label may come before the first report.
        store.set_labels(A, {"env": "prod"})
        store.put_facts(census.records)
        assert store.apply_reports([received(A, census.address, NOON)]) == [()]
    with SqlStore.open(database) as store:
        assert store.labels() == {A: {"env": "prod"}}


def test_another_process_changes_them_while_a_collector_runs(database: str) -> None:
    with SqlStore.open(database) as running:
        with SqlStore.open(database, beside=True) as other:
            other.set_labels(A, {"env": "prod"})
        assert running.labels() == {A: {"env": "prod"}}
        running.check()
        with SqlStore.open(database, beside=True) as other:
            assert other.remove_labels(A, ["env"]) == 1
        assert running.labels() == {}


def test_changes_at_once_all_take_effect(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.set_labels(A, {f"k{number}": "x", "same": str(number)}), range(40)))
    found = store.labels()[A]
    assert found.keys() == {f"k{number}" for number in range(40)} | {"same"}


def test_beside_makes_nothing(tmp_path: object) -> None:
    with pytest.raises(StoreError, match="there is no such database"):
        SqlStore.open(f"{tmp_path}/none.db", beside=True)
