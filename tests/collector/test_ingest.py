"""Group commit: what waits together becomes durable together, and one failing item takes nobody with it."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from libcensus.collector.errors import InconsistentFactsError, StoreError, StoreFullError
from libcensus.collector.ingest import Ingest
from libcensus.collector.service.errors import OverdueError, OverloadedError, StoppingError
from libcensus.collector.store.sql import SqlStore
from libcensus.facts.validation import InvalidFactError
from tests.contract.specimens import NOON, Census, build, install, platform, received, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from libcensus.collector.store.contract import FactRecord, ReceivedReport, ReportOutcome


class GatedStore(SqlStore):
    """A real store whose writes wait for a gate, which are noted, and which fails for what a test names."""

    def prepare(self) -> None:
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.groups: list[tuple[str, int]] = []
        self.poison: str | bytes | None = None
        self.trouble: Exception | None = None

    def apply_reports(self, reports: Sequence[ReceivedReport]) -> list[ReportOutcome]:
        self.groups.append(("reports", len(reports)))
        self.entered.release()
        assert self.gate.wait(30)
        if self.trouble is not None and any(one.host_id == self.poison for one in reports):
            raise self.trouble
        return super().apply_reports(reports)

    def put_facts(self, records: Sequence[FactRecord]) -> int:
        self.groups.append(("facts", len(records)))
        self.entered.release()
        assert self.gate.wait(30)
        if self.trouble is not None and any(one.digest == self.poison for one in records):
            raise self.trouble
        return super().put_facts(records)


class Notes:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.commits: list[tuple[int, int]] = []
        self.failures: list[Exception] = []
        self.successes = 0

    def committed(self, seconds: float, reports: int, new_facts: int) -> None:
        assert seconds >= 0
        self.commits.append((reports, new_facts))

    def store_failed(self, error: Exception) -> None:
        self.failures.append(error)

    def store_worked(self) -> None:
        self.successes += 1


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GatedStore]:
    """A store whose gate is shut."""
    with GatedStore.open(f"sqlite:///{tmp_path}/census.db") as opened:
        assert isinstance(opened, GatedStore)
        opened.prepare()
        yield opened


@contextmanager
def running(store: GatedStore, *, max_queued: int = 1024, max_group: int = 512) -> Iterator[tuple[Ingest, Notes]]:
    notes = Notes()
    ingest = Ingest(store, observer=notes, max_queued=max_queued, max_group=max_group)
    ingest.start()
    try:
        yield ingest, notes
    finally:
        store.gate.set()
        ingest.stop()


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is so that another thread brings about; a test that waits in vain ends by its timeout."""
    tick = threading.Event()
    while not condition():
        tick.wait(0.001)


def known_census(store: GatedStore, mark: str = "known") -> Census:
    """A census whose facts are stored."""
    census = Census.of("h", mark, ("/opt/python3", build(mark)))
    SqlStore.put_facts(store, census.records)
    return census


def hosts(count: int) -> list[str]:
    return [f"{number:032x}" for number in range(count)]


def test_a_lone_report_is_committed_at_once(store: GatedStore) -> None:
    census = known_census(store)
    store.gate.set()
    with running(store) as (ingest, notes):
        assert ingest.take_report(received("a" * 32, census.address, NOON), 30) == ()
    assert store.groups == [("reports", 1)]
    assert notes.commits == [(1, 0)]
    assert (notes.failures, notes.successes) == ([], 1)


def test_what_gathers_while_a_group_is_written_is_the_next_group(store: GatedStore) -> None:
    census = known_census(store)
    with running(store) as (ingest, notes), ThreadPoolExecutor(20) as threads:
        first = threads.submit(ingest.take_report, received("f" * 32, census.address, NOON), 30)
        assert store.entered.acquire(timeout=20)
        others = [threads.submit(ingest.take_report, received(one, census.address, NOON), 30) for one in hosts(19)]
        wait_for(lambda: ingest.queued == 19)
        store.gate.set()
        assert [one.result(30) for one in (first, *others)] == [()] * 20
    assert store.groups == [("reports", 1), ("reports", 19)]
    assert notes.commits == [(1, 0), (19, 0)]
    assert len(store.hosts()) == 20


def test_the_writer_waits_for_nobody_when_all_who_call_wait_for_it(
    store: GatedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    census = known_census(store)
    store.gate.set()
    monkeypatch.setattr("libcensus.collector.ingest._STEP_SECONDS", 3600)
    ingest = Ingest(store, in_flight=lambda: 2)
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(ingest.take_report, received(one, census.address, NOON), 60) for one in hosts(2)]
        wait_for(lambda: ingest.queued == 2)
        ingest.start()
        assert [one.result(60) for one in both] == [(), ()]
    ingest.stop()
    assert store.groups == [("reports", 2)]


def test_a_group_is_no_larger_than_its_bound(store: GatedStore) -> None:
    census = known_census(store)
    with running(store, max_group=4) as (ingest, _), ThreadPoolExecutor(11) as threads:
        first = threads.submit(ingest.take_report, received("f" * 32, census.address, NOON), 30)
        assert store.entered.acquire(timeout=20)
        others = [threads.submit(ingest.take_report, received(one, census.address, NOON), 30) for one in hosts(10)]
        wait_for(lambda: ingest.queued == 10)
        store.gate.set()
        assert [one.result(30) for one in (first, *others)] == [()] * 11
    assert [size for _, size in store.groups] == [1, 4, 4, 2]


def test_facts_come_before_the_reports_of_their_group(store: GatedStore) -> None:
    known, new = known_census(store), Census.of("n", "new", ("/opt/python3", build("new")))
    with running(store) as (ingest, notes), ThreadPoolExecutor(3) as threads:
        first = threads.submit(ingest.take_report, received("f" * 32, known.address, NOON), 30)
        assert store.entered.acquire(timeout=20)
        report = threads.submit(ingest.take_report, received("a" * 32, new.address, NOON), 30)
        wait_for(lambda: ingest.queued == 1)
        facts = threads.submit(ingest.take_facts, new.records, 30)
        wait_for(lambda: ingest.queued == 2)
        store.gate.set()
        assert (first.result(30), report.result(30), facts.result(30)) == ((), (), 4)
    assert store.groups[1:] == [("facts", 4), ("reports", 1)]
    assert notes.commits[1] == (1, 4)


def test_a_fact_that_two_uploads_bring_is_stored_and_counted_once(store: GatedStore) -> None:
    shared, own = record(platform("shared")), record(platform("own"))
    known = known_census(store)
    with running(store) as (ingest, _), ThreadPoolExecutor(3) as threads:
        threads.submit(ingest.take_report, received("f" * 32, known.address, NOON), 30)
        assert store.entered.acquire(timeout=20)
        one = threads.submit(ingest.take_facts, [shared, own], 30)
        two = threads.submit(ingest.take_facts, [shared], 30)
        wait_for(lambda: ingest.queued == 2)
        store.gate.set()
        assert one.result(30) + two.result(30) == 2
    assert store.missing([shared.digest, own.digest]) == frozenset()


def test_facts_that_are_all_known_cost_no_write(store: GatedStore) -> None:
    census = known_census(store)
    with running(store) as (ingest, _):
        assert ingest.take_facts(census.records, 30) == 0
        assert ingest.take_facts([], 30) == 0
    assert store.groups == []


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        pytest.param(StoreError("odd row"), [(), (), "StoreError"], id="of one report"),
        pytest.param(ZeroDivisionError(), [(), (), "ZeroDivisionError"], id="unforeseen"),
        pytest.param(StoreFullError("full"), ["StoreFullError"] * 3, id="of the whole store"),
    ],
)
def test_one_failing_report_does_not_fail_its_neighbours_unless_the_store_itself_fails(
    store: GatedStore, trouble: Exception, expected: list[object]
) -> None:
    census = known_census(store)
    store.trouble, store.poison = trouble, hosts(3)[2]
    with running(store) as (ingest, notes), ThreadPoolExecutor(4) as threads:
        threads.submit(ingest.take_report, received("f" * 32, census.address, NOON), 30)
        assert store.entered.acquire(timeout=20)
        jobs = [threads.submit(ingest.take_report, received(one, census.address, NOON), 30) for one in hosts(3)]
        wait_for(lambda: ingest.queued == 3)
        store.gate.set()
        found = [job.result(30) if job.exception(30) is None else type(job.exception()).__name__ for job in jobs]
    assert found == expected
    assert bool(notes.failures) == isinstance(trouble, StoreError)
    assert {state.host_id for state in store.hosts()} == {"f" * 32} | (
        set(hosts(2)) if expected[0] == () else set[str]()
    )


def test_one_failing_upload_does_not_fail_its_neighbours(store: GatedStore) -> None:
    good, bad = record(platform("good")), record(platform("bad"))
    known = known_census(store)
    store.trouble, store.poison = StoreError("odd"), bad.digest
    with running(store) as (ingest, _), ThreadPoolExecutor(3) as threads:
        threads.submit(ingest.take_report, received("f" * 32, known.address, NOON), 30)
        assert store.entered.acquire(timeout=20)
        taken = threads.submit(ingest.take_facts, [good], 30)
        failed = threads.submit(ingest.take_facts, [bad], 30)
        wait_for(lambda: ingest.queued == 2)
        store.gate.set()
        assert taken.result(30) == 1
        with pytest.raises(StoreError):
            failed.result(30)
    assert store.missing([good.digest, bad.digest]) == {bad.digest}


def test_facts_that_contradict_each_other_fail_their_report_alone(store: GatedStore) -> None:
    good = known_census(store)
    one = build("odd")
    installs = Census.with_installs("x", "odd", (install("/opt/python3", one),), (one,)).installs
    odd = Census("x", platform("odd"), (one,), installs, listed=())
    SqlStore.put_facts(store, odd.records)
    with running(store) as (ingest, notes), ThreadPoolExecutor(3) as threads:
        threads.submit(ingest.take_report, received("f" * 32, good.address, NOON), 30)
        assert store.entered.acquire(timeout=20)
        refused = threads.submit(ingest.take_report, received("a" * 32, odd.address, NOON), 30)
        taken = threads.submit(ingest.take_report, received("b" * 32, good.address, NOON), 30)
        wait_for(lambda: ingest.queued == 2)
        store.gate.set()
        assert taken.result(30) == ()
        with pytest.raises(InconsistentFactsError):
            refused.result(30)
    assert notes.commits[-1] == (1, 0)
    assert notes.failures == []


def test_a_report_that_cannot_be_read_fails_alone(store: GatedStore) -> None:
    census = known_census(store)

    def unreadable() -> ReceivedReport:
        raise InvalidFactError("report_id", "is odd")

    with running(store) as (ingest, notes), ThreadPoolExecutor(4) as threads:
        threads.submit(ingest.take_report, received("f" * 32, census.address, NOON), 30)
        assert store.entered.acquire(timeout=20)
        refused = [threads.submit(ingest.read_report, unreadable, 30) for _ in range(2)]
        taken = threads.submit(ingest.take_report, received("b" * 32, census.address, NOON), 30)
        wait_for(lambda: ingest.queued == 3)
        store.gate.set()
        assert taken.result(30) == ()
        for one in refused:
            with pytest.raises(InvalidFactError):
                one.result(30)
        with pytest.raises(InvalidFactError):
            ingest.read_report(unreadable, 30)
    assert notes.commits == [(1, 0), (1, 0)]
    assert notes.failures == []


def test_more_than_may_wait_is_refused_and_what_waits_is_taken(store: GatedStore) -> None:
    census = known_census(store)
    with running(store, max_queued=3) as (ingest, _), ThreadPoolExecutor(4) as threads:
        jobs = [threads.submit(ingest.take_report, received("f" * 32, census.address, NOON), 30)]
        assert store.entered.acquire(timeout=20)
        jobs += [threads.submit(ingest.take_report, received(one, census.address, NOON), 30) for one in hosts(3)]
        wait_for(lambda: ingest.queued == 3)
        with pytest.raises(OverloadedError) as refused:
            ingest.take_report(received("e" * 32, census.address, NOON), 30)
        assert refused.value.reason == "queue"
        store.gate.set()
        assert [job.result(30) for job in jobs] == [()] * 4
    assert len(store.hosts()) == 4


def test_a_report_whose_handler_gave_up_waiting_is_passed_over(store: GatedStore) -> None:
    census = known_census(store)
    with running(store) as (ingest, _), ThreadPoolExecutor(1) as threads:
        first = threads.submit(ingest.take_report, received("f" * 32, census.address, NOON), 30)
        assert store.entered.acquire(timeout=20)
        with pytest.raises(OverdueError):
            ingest.take_report(received("a" * 32, census.address, NOON), 0.01)
        store.gate.set()
        assert first.result(30) == ()
    assert [state.host_id for state in store.hosts()] == ["f" * 32]


def test_stopping_finishes_what_was_taken_and_refuses_what_comes_after(store: GatedStore) -> None:
    census = known_census(store)
    with running(store) as (ingest, _), ThreadPoolExecutor(12) as threads:
        jobs = [threads.submit(ingest.take_report, received("f" * 32, census.address, NOON), 30)]
        assert store.entered.acquire(timeout=20)
        jobs += [threads.submit(ingest.take_report, received(one, census.address, NOON), 30) for one in hosts(9)]
        wait_for(lambda: ingest.queued == 9)
        stopper = threads.submit(ingest.stop)
        wait_for(lambda: ingest.queued == 10)
        with pytest.raises(StoppingError):
            ingest.take_report(received("e" * 32, census.address, NOON), 30)
        store.gate.set()
        stopper.result(30)
        assert [job.result(30) for job in jobs] == [()] * 10
    assert len(store.hosts()) == 10


def test_stopping_twice_and_before_the_start_is_harmless(store: GatedStore) -> None:
    ingest = Ingest(store)
    ingest.stop()
    ingest.stop()
    with pytest.raises(StoppingError):
        ingest.take_facts([record(platform("late"))], 1)


def test_an_observer_that_raises_does_not_end_the_writer(store: GatedStore) -> None:
    class Broken(Notes):
        def committed(self, seconds: float, reports: int, new_facts: int) -> None:
            super().committed(seconds, reports, new_facts)
            raise ZeroDivisionError

    census = known_census(store)
    store.gate.set()
    ingest = Ingest(store, observer=Broken())
    ingest.start()
    try:
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                ingest.take_report(received("a" * 32, census.address, NOON), 30)
    finally:
        ingest.stop()


def test_nothing_that_was_acknowledged_under_load_is_absent_afterwards(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/load.db"
    acknowledged: list[str] = []
    with SqlStore.open(url) as opened:
        census = Census.of("h", "load", ("/opt/python3", build("load")))
        opened.put_facts(census.records)
        ingest = Ingest(opened)
        ingest.start()

        def send(_number: int) -> None:
            host_id = uuid.uuid4().hex
            try:
                assert ingest.take_report(received(host_id, census.address, NOON), 30) == ()
            except StoppingError:
                return
            acknowledged.append(host_id)

        with ThreadPoolExecutor(16) as threads:
            sent = threads.map(send, range(600))
            wait_for(lambda: len(acknowledged) > 100)
            ingest.stop()
            list(sent)
    with SqlStore.open(url) as opened:
        assert {state.host_id for state in opened.hosts()} == set(acknowledged)
