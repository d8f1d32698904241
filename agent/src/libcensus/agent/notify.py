"""Tells the service manager how the resident agent does, by the protocol of ``sd_notify(3)``: readiness and heartbeat.

Without ``NOTIFY_SOCKET`` in the environment it does nothing; a service manager that does not listen is no reason to
fail. The heartbeat is honest: it goes on only while work makes progress, so that an agent that hangs is ended and
started again. Time in which the scheduler lets others go first does not count as hanging: an agent at idle priority
on a busy machine is slow and healthy.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LOG = logging.getLogger(__name__)

_SEND_SECONDS = 5.0

_SCHEDULING = Path("/proc/self/schedstat")
"""Of the main thread: nanoseconds that it ran, nanoseconds that it could have run and had to wait, how often it ran."""


class ServiceManager:
    """The service manager that started this process, or nobody."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        where = environment.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the NUL of an abstract socket.
        self._address = "\0" + where[1:] if where.startswith("@") else where if where.startswith("/") else None
        self.watchdog_seconds = _watchdog_seconds(environment)
        self._has_failed = False

    def tell(self, *states: str) -> bool:
        """Send states such as ``READY=1`` together; returns whether somebody was there to be told."""
        if self._address is None:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.settimeout(_SEND_SECONDS)
                channel.connect(self._address)
                channel.sendall("\n".join(states).encode("utf-8", "replace"))
        except OSError as error:
            if not self._has_failed:
                _LOG.warning("the service manager could not be told %s: %s", states[0], error)
            self._has_failed = True
            return False
        self._has_failed = False
        return True

    def tell_status(self, text: str) -> bool:
        """Say in one line what the process does now; `systemctl status` shows it."""
        return self.tell(f"STATUS={' '.join(text.split())}")

    def tell_reloading(self) -> bool:
        """Say that the configuration is being read again; ``READY=1`` ends it."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        return self.tell("RELOADING=1", f"MONOTONIC_USEC={microseconds}")


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """Return how long the service manager waits for a sign of life; None where it does not, or waits for another."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        microseconds = int(environment.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return microseconds / 1e6 if microseconds > 0 else None


def running_clock() -> float:
    """Return seconds that pass only while this process may run: the waits in the scheduler's queue are left out.

    Where the kernel does not tell them it is the monotonic clock.
    """
    waited = 0
    with suppress(OSError, ValueError, IndexError):
        waited = int(_SCHEDULING.read_bytes().split()[1])
    return (time.monotonic_ns() - waited) / 1e9


class Heartbeat:
    """Tells the watchdog that the process lives, as long as somebody vouches for it.

    Whoever works calls :meth:`vouch` at each step with the time that the next step may take at most.
    """

    def __init__(self, manager: ServiceManager, clock: Callable[[], float] = running_clock) -> None:
        self._manager = manager
        self._clock = clock
        self._until = 0.0
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def vouch(self, seconds: float) -> None:
        """Say that all is well for the next ``seconds``."""
        if self._manager.watchdog_seconds is not None:
            self._until = self._clock() + seconds

    def start(self) -> None:
        """Begin, in a thread of its own, where the service manager has a watchdog."""
        if self._manager.watchdog_seconds is not None and self._thread is None:
            period = self._manager.watchdog_seconds / 2
            self._thread = threading.Thread(target=self._beat, args=(period,), name="heartbeat", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _beat(self, period: float) -> None:
        # A signal is for the main thread, whose wait it must end.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        is_well = True
        while not self._stopped.is_set():
            was_well, is_well = is_well, self._clock() <= self._until
            if is_well:
                self._manager.tell("WATCHDOG=1")
            elif was_well:
                _LOG.error("no progress any more; the service manager's watchdog will end this process")
            self._stopped.wait(period)
