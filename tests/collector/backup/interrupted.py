"""Backs up or restores in a fork that is killed at one of its steps, one fork for each step until one comes through.

The steps are found from outside, by the interpreter's own audit events: whenever a file is opened to be written, moved,
linked or removed, or a database is opened. Run as a program, which imports everything once: arguments are the folder of
a machine, what to do and the archive, and for each step the folder that the step is to be tried on.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from libcensus.collector.backup.archive import ArchiveReader
from libcensus.collector.backup.restore import restore
from tests.collector.backup.conftest import Machine
from tests.collector.backup.moments import RESTORED

if TYPE_CHECKING:
    from collections.abc import Callable

_STEPS = {"os.rename", "os.remove", "os.link", "os.mkdir", "sqlite3.connect"}


def _restore(machine: Machine, archive: Path) -> None:
    with ArchiveReader.open(archive) as reader:
        restore(
            reader,
            machine.settings,
            machine.config,
            replace=True,
            progress=lambda _what, _share: None,
            clock=lambda: RESTORED,
        )


def _back_up(machine: Machine, archive: Path) -> None:
    machine.back_up(archive, overwrite=True)


def die_at(step: int, work: Callable[[], None]) -> bool:
    """Run work in a fork that is killed before its step of this number; returns whether it came through."""
    child = os.fork()
    if child == 0:
        left = step

        def watch(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            is_write = event == "open" and isinstance(arguments[2], int) and bool(arguments[2] & 3)
            if event in _STEPS or is_write:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        status = 1
        try:
            sys.addaudithook(watch)
            work()
            status = 0
        finally:
            os._exit(status)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return False
    if status:
        raise SystemExit(f"step {step}: the fork failed")
    return True


def main() -> None:
    """Read the number of a step and a machine's folder from each line; answer ``killed`` or ``done``."""
    what, archive = {"restore": _restore, "backup": _back_up}[sys.argv[1]], Path(sys.argv[2])
    for line in sys.stdin:
        step, folder = line.rstrip("\n").split(" ", 1)
        machine = Machine(Path(folder))
        done = die_at(int(step), lambda: what(machine, archive))  # noqa: B023 - called before the next line is read
        sys.stdout.write("done\n" if done else "killed\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
