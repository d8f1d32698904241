"""Challenges: fresh, of one key, and of nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from libcensus.collector.pki.challenge import CHALLENGE_BYTES, CHALLENGE_LIFE, check_challenge, make_challenge
from libcensus.collector.pki.errors import ChallengeError
from tests.collector.pki.made import NOON

KEY = bytes(range(32))
SECOND = timedelta(seconds=1)


def test_a_challenge_is_good_for_a_minute_and_for_clocks_that_differ_a_little() -> None:
    challenge = make_challenge(KEY, NOON)
    assert len(challenge) == CHALLENGE_BYTES
    for moment in (NOON - 30 * SECOND, NOON, NOON + CHALLENGE_LIFE, NOON + CHALLENGE_LIFE + 30 * SECOND):
        check_challenge(KEY, challenge, moment)
    for moment in (NOON - 31 * SECOND, NOON + CHALLENGE_LIFE + 31 * SECOND):
        with pytest.raises(ChallengeError, match="older than a minute"):
            check_challenge(KEY, challenge, moment)


def test_no_two_are_alike() -> None:
    assert len({make_challenge(KEY, NOON) for _ in range(1000)}) == 1000


def test_a_challenge_of_another_authority_is_refused() -> None:
    with pytest.raises(ChallengeError, match="not given by this collector"):
        check_challenge(KEY, make_challenge(KEY[::-1], NOON), NOON)


@given(st.binary(max_size=100))
@example(b"")
@example(bytes(CHALLENGE_BYTES))
def test_other_bytes_are_refused(challenge: bytes) -> None:
    with pytest.raises(ChallengeError):
        check_challenge(KEY, challenge, NOON)


@given(st.integers(0, CHALLENGE_BYTES - 1), st.integers(1, 255))
def test_a_challenge_with_one_byte_changed_is_refused(place: int, change: int) -> None:
    challenge = bytearray(make_challenge(KEY, NOON))
    challenge[place] ^= change
    with pytest.raises(ChallengeError, match="not given by this collector"):
        check_challenge(KEY, bytes(challenge), NOON)
