"""Reading ahead with threads: in order, never too much of it at once, and an error comes where its member is."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from libcensus.agent.artefact.ahead import AHEAD_BYTES, ReadAhead

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future


def test_outcomes_come_in_the_order_of_adding_and_in_the_thread_that_asked() -> None:
    found: list[bytes] = []
    here = threading.current_thread()

    def take(outcome: Future[bytes]) -> None:
        assert threading.current_thread() is here
        found.append(outcome.result())

    with ReadAhead() as ahead:
        for number in range(300):
            ahead.add(1, lambda number=number: b"%d" % number, take)  # type: ignore[misc]
        ahead.finish()
    assert found == [b"%d" % number for number in range(300)]


@pytest.mark.parametrize(("size", "most"), [(AHEAD_BYTES // 4, 4), (AHEAD_BYTES * 2, 1), (AHEAD_BYTES, 1)])
def test_no_more_is_held_than_allowed_but_for_one_that_is_larger(size: int, most: int) -> None:
    lock = threading.Lock()
    held = peak = 0

    def read() -> bytes:
        nonlocal held, peak
        with lock:
            held += 1
            peak = max(peak, held)
        return b""

    def take(outcome: Future[bytes]) -> None:
        nonlocal held
        outcome.result()
        with lock:
            held -= 1

    with ReadAhead() as ahead:
        for _ in range(20):
            ahead.add(size, read, take)
        ahead.finish()
    assert (held, peak <= most) == (0, True)


def test_an_error_comes_when_its_turn_is_and_ends_the_threads() -> None:
    found: list[bytes] = []

    def fail() -> bytes:
        raise ValueError("bad")

    reads: list[Callable[[], bytes]] = [lambda: b"a", fail, lambda: b"c"]
    before = threading.active_count()
    with pytest.raises(ValueError, match="bad"), ReadAhead() as ahead:
        for read in reads:
            ahead.add(1, read, lambda outcome: found.append(outcome.result()))
        ahead.finish()
    assert found == [b"a"]
    assert threading.active_count() == before
