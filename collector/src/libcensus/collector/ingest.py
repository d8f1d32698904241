"""Group commit: many calls, one writer, one transaction for all that waits.

A handler hands over its report or its facts and waits; the one writer thread takes everything that has gathered, makes
it durable together, and only then lets each of them answer. Nothing is acknowledged before it is durable. A lone
report is committed at once; where several come together, the writer waits for more as long as more keep coming and
somebody is there who could bring one, some milliseconds at most, because a transaction costs ten times what a report in
it does.

Refuses more work than its bound (the client is told when to come back) and any work after it was told to stop; what
was taken before is finished.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from libcensus.collector.errors import (
    InconsistentFactsError,
    StoreBusyError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
)
from libcensus.collector.service.errors import OverdueError, OverloadedError, StoppingError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from libcensus.collector.store.contract import FactRecord, ReceivedReport, Store

_LOGGER = logging.getLogger(__name__)

_WHOLE_STORE = (StoreBusyError, StoreFullError, StoreReadOnlyError)
"""Errors that no single report can cause: trying each one alone would only repeat them."""


class IngestObserver(Protocol):
    """Is told what the writer does; must not raise and must not block."""

    def committed(self, seconds: float, reports: int, new_facts: int) -> None:
        """Take note that one group became durable."""

    def store_failed(self, error: Exception) -> None:
        """Take note that the store refused a group or a part of it."""

    def store_worked(self) -> None:
        """Take note that the store took something."""


@dataclass(slots=True, eq=False)
class _Job:
    """Something to be made durable, and the handler that waits for it.

    ``done`` is a lock that the writer opens: the cheapest thing that one thread can wait for and another end.
    """

    done: threading.Lock = field(default_factory=threading.Lock)
    error: Exception | None = None
    abandoned: bool = False

    def __post_init__(self) -> None:
        self.done.acquire()


@dataclass(slots=True, eq=False)
class _ReportJob(_Job):
    read: Callable[[], ReceivedReport] | None = None
    received: ReceivedReport | None = None
    missing: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class _FactsJob(_Job):
    records: Sequence[FactRecord] = ()
    new: int = 0


_STEP_SECONDS = 0.002

_AnyJob = TypeVar("_AnyJob", _ReportJob, _FactsJob)


class Ingest:
    """Takes reports and facts from many threads and makes them durable in groups.

    ``max_queued`` bounds what waits, ``max_group`` what one transaction holds, and ``linger`` is the longest time in
    seconds that the writer waits for a group to grow. ``in_flight`` tells how many calls there are now: when all of
    them wait for the writer, it waits for nobody.
    """

    def __init__(
        self,
        store: Store,
        *,
        max_queued: int = 1024,
        max_group: int = 512,
        observer: IngestObserver | None = None,
        clock: Callable[[], float] = time.perf_counter,
        linger: float = 0.02,
        in_flight: Callable[[], float] = lambda: float("inf"),
    ) -> None:
        self._store = store
        self._linger = linger
        self._in_flight = in_flight
        self._max_queued = max_queued
        self._max_group = max_group
        self._observer = observer
        self._clock = clock
        self._queue: queue.SimpleQueue[_ReportJob | _FactsJob | None] = queue.SimpleQueue()
        # Held while a job enters, so that none can enter behind the mark that ends the writer.
        self._entry = threading.Lock()
        self._stopping = False
        self._writer = threading.Thread(target=self._run, name="ingest-writer", daemon=True)

    def start(self) -> None:
        """Start the writer."""
        self._writer.start()

    def stop(self) -> None:
        """Refuse further work, finish what was taken, and end the writer; may be called again."""
        with self._entry:
            first, self._stopping = not self._stopping, True
            if first:
                self._queue.put(None)
        if self._writer.ident is not None:
            self._writer.join()

    @property
    def queued(self) -> int:
        """How many reports and uploads wait for the writer."""
        return self._queue.qsize()

    def take_report(self, received: ReceivedReport, timeout: float) -> tuple[str, ...]:
        """Make a report durable; returns the addresses that are missing (empty: it is acknowledged).

        Raises InconsistentFactsError, StoreError, OverloadedError, OverdueError after ``timeout`` seconds, or
        StoppingError; in all these cases the report is not acknowledged.
        """
        return self.read_report(lambda: received, timeout)

    def read_report(self, read: Callable[[], ReceivedReport], timeout: float) -> tuple[str, ...]:
        """Do the same with a report that is still to be decoded, and raise what ``read`` raises.

        The writer decodes: one thread that reads many in a row costs less than many that take the interpreter from one
        another for each.
        """
        job = _ReportJob(read=read)
        self._wait(job, timeout)
        return job.missing

    def take_facts(self, records: Sequence[FactRecord], timeout: float) -> int:
        """Make facts durable, all or none; returns how many were new. Raises as :meth:`take_report` does."""
        if not records:
            return 0
        job = _FactsJob(records=records)
        self._wait(job, timeout)
        return job.new

    def _wait(self, job: _ReportJob | _FactsJob, timeout: float) -> None:
        with self._entry:
            if self._stopping:
                raise StoppingError("the collector is stopping; try again soon")
            if self._queue.qsize() >= self._max_queued:
                raise OverloadedError(f"{self._max_queued} reports and uploads wait already; try again later")
            self._queue.put(job)
        if not job.done.acquire(timeout=max(timeout, 0)):
            # The writer passes over it if it has not begun; if it has, the client merely does not learn of it.
            job.abandoned = True
            raise OverdueError("the collector's database did not take it in time; try again later")
        if job.error is not None:
            # Several handlers may raise the same error; none may add to its traceback.
            raise job.error.with_traceback(None)

    def _run(self) -> None:
        ended = False
        crowded = False
        while not ended:
            group: list[_ReportJob | _FactsJob] = []
            job = self._queue.get()
            if crowded or not self._queue.empty():
                self._await_company()
            while job is not None:
                group.append(job)
                if len(group) >= self._max_group:
                    break
                try:
                    job = self._queue.get_nowait()
                except queue.Empty:
                    break
            ended = job is None
            crowded = len(group) > 1
            if group:
                self._commit(group)

    def _await_company(self) -> None:
        """Wait while further jobs keep coming: until a step brings none, none can come, or the time is over."""
        ends = self._clock() + self._linger
        before = 0
        # One is in the writer's hands already.
        while before < (now := self._queue.qsize() + 1) < min(self._max_group, self._in_flight()):
            if self._clock() >= ends or self._stopping:
                break
            before = now
            time.sleep(_STEP_SECONDS)

    def _commit(self, group: list[_ReportJob | _FactsJob]) -> None:
        started = self._clock()
        facts = [job for job in group if isinstance(job, _FactsJob) and not job.abandoned]
        reports = [job for job in group if isinstance(job, _ReportJob) and not job.abandoned]
        try:
            # Facts first: a report that follows its facts in the same group finds them.
            if facts:
                self._attempt(facts, self._store_facts)
            readable = [job for job in reports if _read(job)]
            if readable:
                self._attempt(readable, self._apply_reports)
            taken = sum(job.error is None for job in reports)
            if self._observer is not None and (facts or readable):
                self._observer.committed(
                    self._clock() - started, taken, sum(job.new for job in facts if job.error is None)
                )
        except Exception as error:  # the writer must outlive whatever happens to one group
            _LOGGER.exception("a group of %d could not be committed", len(group))
            for job in group:
                job.error = job.error or error
        finally:
            for job in group:
                job.done.release()

    def _attempt(self, jobs: list[_AnyJob], write: Callable[[list[_AnyJob]], None]) -> None:
        """Write jobs together; where that fails, each alone, so that one does not fail its neighbours."""
        try:
            write(jobs)
        except Exception as error:  # noqa: BLE001  told to each job, and judged by the catalogue
            self._tell_failure(error)
            if len(jobs) == 1 or isinstance(error, _WHOLE_STORE):
                for job in jobs:
                    job.error = error
                return
            for job in jobs:
                try:
                    write([job])
                except Exception as single:  # noqa: BLE001  see above
                    job.error = single
                else:
                    self._tell_success()
        else:
            self._tell_success()

    def _store_facts(self, jobs: list[_FactsJob]) -> None:
        records = {record.digest: record for job in jobs for record in job.records}
        absent = set(self._store.missing(records))
        if absent:
            self._store.put_facts([records[digest] for digest in records if digest in absent])
        for job in jobs:
            own = {record.digest for record in job.records} & absent
            absent -= own
            job.new = len(own)

    def _apply_reports(self, jobs: list[_ReportJob]) -> None:
        outcomes = self._store.apply_reports([job.received for job in jobs if job.received is not None])
        for job, outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, InconsistentFactsError):
                job.error = outcome
            else:
                job.missing = outcome

    def _tell_failure(self, error: Exception) -> None:
        if self._observer is not None and isinstance(error, StoreError):
            self._observer.store_failed(error)

    def _tell_success(self) -> None:
        if self._observer is not None:
            self._observer.store_worked()


def _read(job: _ReportJob) -> bool:
    """Decode a job's report; an error is the job's alone."""
    try:
        job.received = None if job.read is None else job.read()
    except Exception as error:  # noqa: BLE001  told to the job, and judged by the catalogue
        job.error = error
    return job.received is not None
