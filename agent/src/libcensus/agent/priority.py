"""Gives way: a scan that nobody waits for takes the processor and the disk only when nobody else wants them.

The standard library has no ``ioprio_set``. It is not needed: a process without an I/O priority of its own has the one
that follows from its scheduling policy, and ``SCHED_IDLE`` means the idle class (ioprio_set(2), sched(7)). I/O
schedulers that know no priorities (``none``, ``mq-deadline`` of older kernels) do not tell the classes apart, whoever
sets them. Threads that are started later inherit the policy; those that run already keep theirs.
"""

from __future__ import annotations

import logging
import os
from typing import Literal

_LOG = logging.getLogger(__name__)

Priority = Literal["idle", "normal"]
PRIORITIES: tuple[Priority, ...] = ("idle", "normal")


def take_priority(priority: Priority) -> bool:
    """Let the calling thread run at a priority; returns whether it does, for a sandbox may forbid it."""
    if priority == "normal":
        return True
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except OSError as error:
        _LOG.info("the idle priority was refused (%s); the scan runs like any other process", error.strerror)
        return False
    return True
