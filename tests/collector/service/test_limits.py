"""Bounds on attempts that failed."""

from __future__ import annotations

import pytest

from libcensus.collector.service.limits import AttemptLimit
from libcensus.collector.service.peer import address_of


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def limit_of(clock: Clock) -> AttemptLimit:
    return AttemptLimit(burst=3, rate=0.5, burst_of_all=5, rate_of_all=1, clock=clock)


def test_who_never_failed_never_waits() -> None:
    limit = limit_of(Clock())
    for _ in range(100):
        assert limit.seconds_to_wait("192.0.2.1") == 0


def test_who_failed_as_often_as_it_may_waits_until_the_bucket_has_one_again() -> None:
    clock = Clock()
    limit = limit_of(clock)
    for _ in range(3):
        assert limit.seconds_to_wait("192.0.2.1") == 0
        limit.note_failure("192.0.2.1")
    assert limit.seconds_to_wait("192.0.2.1") == pytest.approx(2)
    assert limit.seconds_to_wait("192.0.2.2") == 0, "others are not held up"
    clock.now += 2
    assert limit.seconds_to_wait("192.0.2.1") == 0


def test_failures_from_many_addresses_hold_up_everybody() -> None:
    clock = Clock()
    limit = limit_of(clock)
    for number in range(5):
        limit.note_failure(f"192.0.2.{number}")
    assert limit.seconds_to_wait("198.51.100.1") == pytest.approx(1)
    clock.now += 1
    assert limit.seconds_to_wait("198.51.100.1") == 0


def test_a_clock_that_goes_back_frees_nobody_and_breaks_nothing() -> None:
    clock = Clock()
    limit = limit_of(clock)
    for _ in range(3):
        limit.note_failure("192.0.2.1")
    clock.now -= 1000
    assert limit.seconds_to_wait("192.0.2.1") > 0


def test_it_remembers_a_bounded_number_of_peers() -> None:
    limit = AttemptLimit(burst=3, rate=0.5, burst_of_all=1e9, rate_of_all=1e9)
    for number in range(10_000):
        limit.note_failure(f"peer {number}")
    assert len(limit._peers) == 4096


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.7:41234", "192.0.2.7"),
        ("ipv6:[2001:db8::1]:41234", "2001:db8::1"),
        ("ipv6:%5B2001:db8::1%5D:41234", "2001:db8::1"),
        ("unix:/run/census.sock", "unix"),
    ],
)
def test_the_address_of_a_peer_is_told_without_its_port(peer: str, address: str) -> None:
    assert address_of(peer) == address
