"""The resident agent: scans and reports at an interval, and soon after something was installed, until told to end.

One thread does all the work, in the order in which it is due; a second one only tells the watchdog that the first makes
progress. Whatever goes wrong with the collector, a scan or the disk is logged and tried again: what ends the agent is a
signal, a configuration that is wrong at the start, or a mistake in itself. A signal ends a scan at its next step, for a
report that is not yet whole is worth nothing, and one that is whole lies in the spool; a hanging step is interrupted.
"""

from __future__ import annotations

import gc
import logging
import random
import select
import signal
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from libcensus.agent.delivery import LAST_ACKNOWLEDGED, Courier, failed_probes
from libcensus.agent.errors import AgentError, ConfigurationError, UnreachableError
from libcensus.agent.host import Root
from libcensus.agent.notify import Heartbeat
from libcensus.agent.priority import take_priority
from libcensus.agent.scan import scan_remembered
from libcensus.agent.watch import SIGNAL, Watch, watched_interpreters

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType

    from libcensus.agent.config import AgentConfig, RunSettings
    from libcensus.agent.credentials import Credentials
    from libcensus.agent.notify import ServiceManager
    from libcensus.agent.scan import Scan
    from libcensus.agent.transport import CollectorClient
    from libcensus.agent.walk import Progress
    from libcensus.agent.watch import Watched

_LOG = logging.getLogger(__name__)

INTERVAL_SETTING = "run.interval_seconds"

SHORTEST_INTERVAL_SECONDS = 10.0
LONGEST_INTERVAL_SECONDS = 7 * 86400.0
"""What a collector's answer may make of the interval."""

RETRY_SECONDS = 60.0
"""The first wait before a collector that could not be reached is tried again; it doubles up to the interval."""

LONGEST_PAUSE_SECONDS = 240.0
"""How long a call may wait before it is made again, where the collector asks for it."""

LOOK_SECONDS = 1.0
"""The pause before a look that a signal asked for: however often a folder changes, looks stay rare."""

STEP_SECONDS = 2.0
"""How long a step may go on after the signal to end, before it is interrupted wherever it is."""

_RANDOM = random.SystemRandom()


class StoppedError(BaseException):
    """Somebody told the agent to end; no error, and nothing below the resident agent catches it."""


def now_seconds() -> float:
    """Return seconds that pass while the machine sleeps too: a laptop that was shut overnight is late, not early."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Signals:
    """The signals that the resident agent obeys, as a context manager, and the wait that each of them ends."""

    def __init__(self) -> None:
        self._undo = ExitStack()
        self._reading = -1
        self.stopped_by: str | None = None
        self._is_reload_wanted = False
        self._is_ending = False

    def __enter__(self) -> Self:
        """Take the signals over."""
        reading, writing = socket.socketpair()
        for side in (reading, writing):
            side.setblocking(False)
            self._undo.callback(side.close)
        self._reading = reading.fileno()
        self._undo.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False))
        for number in (signal.SIGTERM, signal.SIGINT):
            self._undo.callback(signal.signal, number, signal.signal(number, self._stop))
        self._undo.callback(signal.signal, signal.SIGHUP, signal.signal(signal.SIGHUP, self._reload))
        self._undo.callback(signal.signal, SIGNAL, signal.signal(SIGNAL, _only_wake))
        self._undo.callback(signal.signal, signal.SIGALRM, signal.signal(signal.SIGALRM, self._interrupt))
        self._undo.callback(signal.setitimer, signal.ITIMER_REAL, 0.0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signals back."""
        self._undo.close()

    def wait(self, seconds: float) -> bool:
        """Wait, at most until the next signal; returns whether one came. Raises StoppedError."""
        self.check()
        is_woken = bool(select.select([self._reading], [], [], max(0.0, seconds))[0])
        if is_woken:
            with socket.socket(fileno=self._reading) as channel:
                try:
                    while channel.recv(4096):
                        pass
                except BlockingIOError:
                    pass
                finally:
                    channel.detach()
        self.check()
        return is_woken

    def check(self) -> None:
        """Raise StoppedError where the agent was told to end."""
        if self.stopped_by is not None:
            raise StoppedError

    def end(self) -> None:
        """Interrupt nothing from now on: the agent is ending."""
        self._is_ending = True
        signal.setitimer(signal.ITIMER_REAL, 0.0)

    def take_reload(self) -> bool:
        """Tell whether the configuration is to be read again; asked once per signal."""
        wanted, self._is_reload_wanted = self._is_reload_wanted, False
        return wanted

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        # Raising here would land anywhere: between opening a file and keeping it, or in a finalizer, which swallows it.
        if self.stopped_by is None and not self._is_ending:
            signal.setitimer(signal.ITIMER_REAL, STEP_SECONDS, STEP_SECONDS)
        self.stopped_by = signal.Signals(number).name

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if not self._is_ending:
            self.check()

    def _reload(self, _number: int, _frame: FrameType | None) -> None:
        self._is_reload_wanted = True


def _only_wake(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: that the wait ends is all that this signal is for."""


@dataclass(slots=True)
class Schedule:
    """When the next scan and the next try to send are due, in seconds of one clock.

    ``due`` is the next scan's time without any change. ``earliest`` bounds how often changes lead to scans: whoever can
    write a watched folder must not be able to keep the agent scanning.
    """

    settings: RunSettings
    due: float
    earliest: float = 0.0
    send_at: float | None = None
    changed: set[str] = field(default_factory=set)
    first_change: float = 0.0
    last_change: float = 0.0

    def note(self, changed: tuple[str, ...], now: float) -> None:
        """Take notice of what changed."""
        if changed:
            if not self.changed:
                self.first_change = now
            self.last_change = now
            self.changed.update(changed)

    @property
    def scan_at(self) -> float:
        """When the next scan begins, as things stand."""
        if not self.changed:
            return self.due
        settled = self.last_change + self.settings.quiet_seconds
        late = self.first_change + self.settings.patience_seconds
        return min(self.due, max(self.earliest, min(settled, late)))

    def reason(self, now: float) -> str | None:
        """Return why a scan is due now; None when none is."""
        if now < self.scan_at:
            return None
        return f"change in {', '.join(sorted(self.changed))}" if self.changed else "interval"

    def seconds_to_wait(self, now: float) -> float:
        """Return how long nothing is due, and no look at what is watched either."""
        moments = [self.scan_at] if self.send_at is None else [self.scan_at, self.send_at]
        wait = max(0.0, min(moments) - now)
        return min(wait, self.settings.poll_seconds) if self.settings.watch else wait


@dataclass(slots=True)
class Finding:
    """What is kept of a scan when it is over: numbers for the log, and the folders to watch."""

    summary: str
    seconds: float
    interpreters: tuple[Watched, ...]


def scan_this_host(config: AgentConfig, progress: Progress) -> Scan:
    """Scan the running host."""
    with Root.open("/") as root:
        return scan_remembered(root, config.scan, config.state.folder, progress)


class Resident:
    """The loop. ``load`` gives the configuration, at the start and whenever it is to be read again."""

    def __init__(
        self,
        load: Callable[[], AgentConfig],
        manager: ServiceManager,
        *,
        scan_host: Callable[[AgentConfig, Progress], Scan] = scan_this_host,
        progress: Progress | None = None,
        watched_root: str = "/",
        retry_seconds: float = RETRY_SECONDS,
        spread: Callable[[float, float], float] = _RANDOM.uniform,
    ) -> None:
        self._load = load
        self._manager = manager
        self._scan_host = scan_host
        self._progress = progress
        self._watched_root = watched_root
        self._retry_seconds = retry_seconds
        self._spread = spread
        self._heartbeat = Heartbeat(manager)
        self._failures = 0

    def run(self) -> None:
        """Scan and report until a signal says otherwise; raises the error that a wrong start is."""
        config = self._load()
        Courier(config).prepare()
        with Signals() as signals:
            try:
                self._heartbeat.vouch(config.run.stall_seconds)
                # Before the priority is lowered: this thread must get its turn on a busy machine.
                self._heartbeat.start()
                take_priority(config.priority)
                self._manager.tell("READY=1", "STATUS=first scan")
                reason, wait = "start", self._start_wait(config)
                while True:
                    config = self._serve(config, reason, signals, wait)
                    reason, wait = "configuration read again", 0.0
            except StoppedError:
                _LOG.info("ending on %s", signals.stopped_by)
            finally:
                signals.end()
                self._manager.tell("STOPPING=1", "STATUS=ending")
                self._heartbeat.stop()

    def _start_wait(self, config: AgentConfig) -> float:
        """Return how long to wait before the first scan: machines that boot together must not report together.

        Only a host that a collector knows waits; it was told an interval by it, and has been seen.
        """
        courier = Courier(config)
        spread = min(config.run.start_spread_seconds, self._interval(config, courier))
        if spread <= 0 or courier.identity.current() is None or not _answered_interval(courier):
            return 0.0
        wait = self._spread(0, spread)
        _LOG.info("the first scan follows in %s: the start is spread over %s", _span(wait), _span(spread))
        self._manager.tell_status(f"first scan in {_span(wait)}")
        return wait

    def _serve(self, config: AgentConfig, reason: str, signals: Signals, wait: float) -> AgentConfig:
        """Work with one configuration, after a wait that changes shorten; returns the next one."""
        with Root.open(self._watched_root) as root, Watch(root) as watch:
            if config.run.watch:
                watch.arm()
            schedule = Schedule(config.run, now_seconds() + wait)
            is_waiting = wait > 0
            while True:
                if not is_waiting:
                    self._scan(config, reason, schedule, watch, signals)
                while (due := schedule.reason(now_seconds())) is None:
                    pause = schedule.seconds_to_wait(now_seconds())
                    self._heartbeat.vouch(pause + config.run.stall_seconds)
                    if signals.wait(pause):
                        time.sleep(LOOK_SECONDS)
                    if signals.take_reload() and (read := self._read_again(config)) is not None:
                        return read
                    if config.run.watch:
                        schedule.note(watch.look(), now_seconds())
                        watch.arm()
                    if schedule.send_at is not None and schedule.send_at <= now_seconds() < schedule.scan_at:
                        self._send_waiting(config, schedule)
                if not (is_waiting and due == "interval"):
                    reason = due
                is_waiting = False

    def _read_again(self, config: AgentConfig) -> AgentConfig | None:
        """Read the configuration again; None where it is wrong, and the old one stays."""
        self._manager.tell_reloading()
        try:
            read = self._load()
            Courier(read).prepare()
        except AgentError as error:
            _LOG.error("the configuration stays as it was: %s", error)
            return None
        finally:
            self._manager.tell("READY=1")
        _LOG.info("the configuration was read again")
        if read.priority != config.priority:
            _LOG.warning("scan.priority holds from the next start of the agent on")
        return read

    # --- one scan ---------------------------------------------------------------------------------------------------

    def _scan(self, config: AgentConfig, reason: str, schedule: Schedule, watch: Watch, signals: Signals) -> None:
        """Scan and report, log how it went, and plan what comes next."""
        self._manager.tell_status(f"scanning ({reason})")
        watch.look()
        schedule.changed.clear()
        findings: list[Finding] = []

        def progress(phase: str, done: int, total: int | None = None) -> None:
            signals.check()
            self._heartbeat.vouch(config.run.stall_seconds)
            if self._progress is not None:
                self._progress(phase, done, total)

        def scan_once() -> Scan:
            progress("scan", 0)
            result = self._scan_host(config, progress)
            findings.append(_describe(result))
            return result

        courier = self._courier(config)
        outcome, level = "", logging.INFO
        failure: Exception | None = None
        try:
            delivery = courier.deliver(scan_once)
            self._failures = 0
            older = f" after {delivery.older_sent} that waited" if delivery.older_sent else ""
            uploaded = delivery.acknowledgement.uploaded_facts
            outcome = f"acknowledged by {config.collector.address}{older}, {uploaded} facts uploaded"
        except (AgentError, OSError) as error:
            failure, level = error, logging.WARNING
            outcome = f"not acknowledged: {error}"
        found = findings[0] if findings else None
        now = now_seconds()
        interval = self._interval(config, courier)
        schedule.due = now + interval * (1 + self._spread(-config.run.jitter, config.run.jitter))
        schedule.earliest = now + (found.seconds if found is not None else 0.0)
        schedule.send_at = None
        if failure is not None:
            pause = max(self._pause(interval), getattr(failure, "retry_after_seconds", None) or 0.0)
            if found is None:
                schedule.due = min(schedule.due, now + pause)
            elif isinstance(failure, UnreachableError):
                schedule.send_at = now + pause
        if found is not None and config.run.watch:
            watch.follow(found.interpreters)
        gc.collect()
        summary = found.summary if found is not None else "no scan"
        again = "" if schedule.send_at is None else f"sent again in {_span(schedule.send_at - now)}, "
        plan = f"{again}next scan in {_span(schedule.due - now)}"
        _LOG.log(level, "scan (%s): %s; %s; %s", reason, summary, outcome, plan)
        self._manager.tell_status(f"{summary}; {outcome}; {plan}")

    def _pause(self, interval: float) -> float:
        """Return how long to wait after a failure: by chance, up to twice as long each time, up to the interval."""
        pause = self._spread(0.0, min(interval, self._retry_seconds * 2.0**self._failures))
        self._failures = min(self._failures + 1, 30)
        return pause

    def _send_waiting(self, config: AgentConfig, schedule: Schedule) -> None:
        """Send what waits, without another scan."""
        schedule.send_at = None
        courier = self._courier(config)
        try:
            sent, refused = courier.send_waiting()
        except UnreachableError as error:
            pause = max(self._pause(self._interval(config, courier)), error.retry_after_seconds or 0.0)
            schedule.send_at = now_seconds() + pause
            _LOG.info("what waits was not sent: %s; next try in %s", error, _span(pause))
            return
        except (AgentError, OSError) as error:
            _LOG.warning("what waits was not sent: %s; it goes with the next scan", error)
            return
        self._failures = 0
        _LOG.info("%d reports that waited were sent, %d refused", sent, refused)
        self._manager.tell_status(f"{sent} reports that waited were sent")

    def _interval(self, config: AgentConfig, courier: Courier) -> float:
        """Return the interval: a flag's, else the one that the collector answered last, else the setting's."""
        if config.values[INTERVAL_SETTING].origin != "flag":
            answered = _answered_interval(courier)
            if answered:
                return min(max(answered, SHORTEST_INTERVAL_SECONDS), LONGEST_INTERVAL_SECONDS)
        return config.run.interval_seconds

    def _courier(self, config: AgentConfig) -> Courier:
        """Return a courier whose every call vouches for as long as it, and the pause before the next, may take."""
        settings = config.collector
        call = max(settings.timeout_seconds, settings.upload_timeout_seconds) + LONGEST_PAUSE_SECONDS

        def vouch() -> None:
            self._heartbeat.vouch(call + config.run.stall_seconds)

        def connect(host_id: str, credentials: Credentials | None) -> CollectorClient:
            from libcensus.agent.transport import CollectorClient  # noqa: PLC0415 - see delivery

            return CollectorClient(settings, host_id, credentials, before_call=vouch)

        return Courier(config, connect, before_call=vouch)


def _answered_interval(courier: Courier) -> float | None:
    """Return the interval that the collector answered last; None where it answered none."""
    try:
        last = courier.state.read().get(LAST_ACKNOWLEDGED)
    except ConfigurationError:
        return None
    answered = last.get("next_interval_seconds") if isinstance(last, dict) else None
    return float(answered) if isinstance(answered, int | float) and answered > 0 else None


def _describe(found: Scan) -> Finding:
    installs, failed = found.installs.installs, failed_probes(found)
    parts = [
        f"{len(installs)} installs of {len(found.builds)} builds",
        f"{len(found.crypto_copies.copies)} further crypto copies",
        f"{len(found.roots.roots)} roots",
    ]
    text = ", ".join(parts) + f" in {found.seconds:.1f} s"
    if failed:
        text += f"; failed: {', '.join(failed)}"
    return Finding(text, found.seconds, watched_interpreters(installs))


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{max(0.0, seconds):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
