"""When the resident agent scans: the interval, quiet after changes, patience, and a bound on what changes can cost."""

from __future__ import annotations

import dataclasses
import os
import signal
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.agent import resident
from libcensus.agent.config import load_config
from libcensus.agent.resident import Schedule, Signals, StoppedError

RUN = load_config({}, environment={}, user_id=0).run
QUIET, PATIENCE, POLL = RUN.quiet_seconds, RUN.patience_seconds, RUN.poll_seconds


def test_without_a_change_the_interval_rules() -> None:
    schedule = Schedule(RUN, due=3600)
    assert schedule.reason(3599) is None
    assert schedule.reason(3600) == "interval"
    assert schedule.seconds_to_wait(3590) == 10
    assert schedule.seconds_to_wait(0) == POLL
    assert Schedule(dataclasses.replace(RUN, watch=False), due=3600).seconds_to_wait(0) == 3600


def test_a_change_is_followed_when_it_is_quiet() -> None:
    schedule = Schedule(RUN, due=3600)
    schedule.note(("dpkg",), 100)
    assert schedule.reason(100 + QUIET - 0.1) is None
    schedule.note(("uv",), 110)
    schedule.note((), 120)
    assert schedule.reason(100 + QUIET) is None
    assert schedule.reason(110 + QUIET) == "change in dpkg, uv"


def test_changes_without_end_are_followed_when_patience_ends() -> None:
    schedule = Schedule(RUN, due=3600)
    moment = 100.0
    while schedule.reason(moment) is None:
        schedule.note(("dpkg",), moment)
        moment += 1
    assert moment == pytest.approx(100 + PATIENCE, abs=1)


def test_changes_cannot_keep_the_agent_scanning() -> None:
    # The last scan took 500 seconds and ended at 1000.
    schedule = Schedule(RUN, due=4600, earliest=1500)
    schedule.note(("uv",), 1001)
    assert schedule.scan_at == 1500
    schedule = Schedule(RUN, due=1200, earliest=1500)
    schedule.note(("uv",), 1001)
    assert schedule.scan_at == 1001 + QUIET or schedule.scan_at == 1200
    assert schedule.reason(1200) == "change in uv"


def test_what_waits_to_be_sent_ends_the_wait_and_is_no_scan() -> None:
    schedule = Schedule(RUN, due=3600, send_at=30)
    assert schedule.seconds_to_wait(0) == 30
    assert schedule.reason(30) is None


@given(st.lists(st.tuples(st.floats(0, 1000), st.booleans()), max_size=30), st.floats(0, 5000), st.floats(0, 5000))
def test_a_scan_is_never_later_than_due_nor_earlier_than_quiet(
    steps: list[tuple[float, bool]], due: float, earliest: float
) -> None:
    schedule, now, last = Schedule(RUN, due=due, earliest=earliest), 0.0, None
    for pause, is_changed in steps:
        now += pause
        schedule.note(("dpkg",) if is_changed else (), now)
        last = now if is_changed else last
    assert schedule.scan_at <= due
    if last is not None and schedule.scan_at < due:
        assert schedule.scan_at >= min(earliest, last)
        assert schedule.scan_at >= earliest
        assert schedule.scan_at <= max(earliest, last + QUIET)
    assert 0 <= schedule.seconds_to_wait(now) <= POLL


# --- signals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_to_end_is_obeyed_at_the_next_step(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with Signals() as signals:
        os.kill(os.getpid(), number)
        time.sleep(0.01)
        assert signals.stopped_by == number.name
        with pytest.raises(StoppedError):
            signals.check()
        with pytest.raises(StoppedError):
            signals.wait(10)
        signals.end()
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
        os.kill(os.getpid(), number)
        time.sleep(0.01)
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert signal.getsignal(number) is before


def test_a_step_that_hangs_is_interrupted_until_the_interruption_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resident, "STEP_SECONDS", 0.02)
    before = signal.getsignal(signal.SIGALRM)
    swallowed = 0
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        while swallowed < 2:
            # As a finalizer does, in which nothing can be raised.
            try:
                time.sleep(10)
            except StoppedError:
                swallowed += 1
        with pytest.raises(StoppedError):
            time.sleep(10)
        signals.end()
        time.sleep(0.05)
    assert signal.getsignal(signal.SIGALRM) is before


def test_a_signal_that_interrupts_nothing_ends_the_wait() -> None:
    with Signals() as signals:
        assert not signals.wait(0.01)
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGIO)
        assert signals.wait(10)
        assert signals.take_reload()
        assert not signals.take_reload()
        assert not signals.wait(0.01)
