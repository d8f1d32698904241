"""Reads what is wanted next with threads, while what was read before is looked at; results come in the order asked for.

Decompressing and hashing let other threads run. It refuses to hold more than :data:`AHEAD_BYTES` of what was not taken
yet, but for a single thing that is larger than that.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from types import TracebackType

AHEAD_BYTES = 64 << 20
_MOST_AHEAD = 64
_MOST_THREADS = 4


class ReadAhead:
    """A queue of reads; use it as a context manager, and :meth:`finish` before its end."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1), thread_name_prefix="artefact")
        self._waiting: deque[tuple[int, Future[bytes], Callable[[Future[bytes]], None]]] = deque()
        self._held = 0

    def add(self, size: int, read: Callable[[], bytes], take: Callable[[Future[bytes]], None]) -> None:
        """Let a thread ``read`` about ``size`` bytes; ``take`` is called with the outcome here, in the order of adding.

        Waits for what was added before while too much of it is held.
        """
        while self._waiting and (self._held + size > AHEAD_BYTES or len(self._waiting) >= _MOST_AHEAD):
            self._take_first()
        self._held += size
        self._waiting.append((size, self._pool.submit(read), take))

    def finish(self) -> None:
        """Take everything that waits."""
        while self._waiting:
            self._take_first()

    def _take_first(self) -> None:
        size, future, take = self._waiting.popleft()
        self._held -= size
        take(future)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
