"""Who is served and who is asked to come back: shares of hosts, hints, and memory."""

from __future__ import annotations

import threading
from itertools import count

import pytest

from libcensus.collector.service.admission import (
    BYTES_OF_A_CALL,
    LONGEST_HINT_SECONDS,
    HostLimits,
    RetryLine,
    WorkerPool,
)
from libcensus.collector.service.errors import OverloadedError


class Clock:
    """A time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def longest(_low: float, high: float) -> float:
    return high


def limits(clock: Clock, *, max_hosts: int = 1000, active: int = 100) -> HostLimits:
    return HostLimits(2.0, 5, active, max_hosts=max_hosts, clock=clock, spread=longest)


def calls_until_refused(hosts: HostLimits, host_id: str) -> tuple[int, OverloadedError]:
    for number in count():
        try:
            hosts.enter(host_id)
        except OverloadedError as error:
            return number, error
        hosts.leave(host_id)
    raise AssertionError


def test_a_host_has_a_burst_and_then_a_rate_of_its_own() -> None:
    clock = Clock()
    hosts = limits(clock)
    served, refusal = calls_until_refused(hosts, "a")
    assert served == 5
    assert refusal.reason == "host_rate"
    assert "more often than 2 times a second" in str(refusal)
    assert refusal.retry_seconds is not None
    assert 0.5 <= refusal.retry_seconds <= 1.5
    # Another host is not touched by that.
    assert calls_until_refused(hosts, "b")[0] == 5
    clock.now += 1
    assert calls_until_refused(hosts, "a")[0] == 2
    clock.now += 1000
    assert calls_until_refused(hosts, "a")[0] == 5


def test_a_host_may_have_some_calls_open_at_once() -> None:
    hosts = limits(Clock(), active=2)
    hosts.enter("a")
    hosts.enter("a")
    with pytest.raises(OverloadedError, match="2 calls open already") as refused:
        hosts.enter("a")
    assert refused.value.reason == "host_calls"
    hosts.enter("b")
    hosts.leave("a")
    hosts.enter("a")


def test_large_messages_count_as_many_calls() -> None:
    clock = Clock()
    hosts = limits(clock)
    hosts.enter("a")
    hosts.charge("a", 3 * BYTES_OF_A_CALL)
    assert calls_until_refused(hosts, "a")[0] == 1
    hosts.charge("a", 1000 * BYTES_OF_A_CALL)
    assert calls_until_refused(hosts, "a")[0] == 0
    # The debt is bounded by a burst: it is paid after twice the time that filling one takes.
    clock.now += 5
    assert calls_until_refused(hosts, "a")[0] == 5
    hosts.charge("unknown", BYTES_OF_A_CALL)


def test_memory_holds_those_who_called_lately_and_never_more_than_the_bound() -> None:
    clock = Clock()
    hosts = limits(clock, max_hosts=100)
    for number in range(1000):
        hosts.enter(f"{number}")
        hosts.leave(f"{number}")
    assert hosts.remembered == 100
    clock.now += 20
    for number in range(1000, 1100):
        hosts.enter(f"{number}")
        hosts.leave(f"{number}")
    # Whose bucket is full again is forgotten as if it had never called.
    assert hosts.remembered <= 101
    for number in range(120):
        clock.now += 10
        hosts.enter(f"later {number}")
        hosts.leave(f"later {number}")
    assert hosts.remembered <= 2


def test_a_call_that_outlives_the_memory_of_its_host_ends_quietly() -> None:
    hosts = limits(Clock(), max_hosts=1)
    hosts.enter("a")
    hosts.enter("b")
    hosts.leave("a")


def test_the_time_to_come_back_grows_with_those_who_were_sent_away() -> None:
    clock = Clock()
    line = RetryLine(clock, longest)
    hints = [line.hint() for _ in range(2000)]
    assert hints == sorted(hints)
    assert hints[-1] > 10 * hints[0]
    # The line shortens while nobody is refused.
    for _ in range(400):
        line.note_served()
    clock.now += 1.9
    assert line.hint() < hints[-1]


def test_nobody_is_asked_to_stay_away_for_long() -> None:
    line = RetryLine(Clock(), longest)
    assert max(line.hint() for _ in range(100_000)) <= LONGEST_HINT_SECONDS + 0.5


def test_who_is_refused_at_the_same_moment_comes_back_at_different_ones() -> None:
    line = RetryLine(Clock())
    hints = [line.hint() for _ in range(10_000)]
    seconds = [sum(second <= hint < second + 1 for hint in hints) for second in range(60)]
    assert max(seconds) < 1000


def test_a_fast_collector_asks_for_less_time_than_a_slow_one() -> None:
    last = []
    for served in (50, 5000):
        clock = Clock()
        line = RetryLine(clock, longest)
        for _ in range(20):
            clock.now += 1
            for _ in range(served):
                line.note_served()
            line.hint()
        last.append([line.hint() for _ in range(500)][-1])
    slow, fast = last
    assert fast < slow


def test_the_pool_knows_how_many_calls_it_was_given_that_have_not_ended() -> None:
    gate, running = threading.Event(), threading.Event()

    def wait() -> None:
        running.set()
        assert gate.wait(30)

    with WorkerPool(1) as pool:
        assert pool.in_flight == 0
        first = pool.submit(wait)
        assert running.wait(30)
        second = pool.submit(int)
        assert pool.in_flight == 2
        gate.set()
        first.result()
        second.result()
        pool.submit(int).result()
    assert pool.in_flight == 0
    with pytest.raises(RuntimeError):
        pool.submit(int)
    assert pool.in_flight == 0
