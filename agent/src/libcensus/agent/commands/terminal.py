"""How results and progress reach a terminal, or whatever stands in its place.

Off a terminal everything is plain: one line per row, nothing wrapped, cut or coloured. Text that was found on the host
is escaped before it is printed: no file name may move a cursor.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import click

from libcensus.agent.log import escape_control

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_PROGRESS_WIDTH = 72

EXIT_BROKEN_PIPE = 141
"""What a shell shows for a program that SIGPIPE ended."""


def is_coloured() -> bool:
    """Tell whether standard output may be coloured: a terminal, and NO_COLOR is not set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def leave_broken_pipe() -> int:
    """Make the interpreter's own last flush go nowhere, for the reader has seen enough; returns the exit code."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
    return EXIT_BROKEN_PIPE


def print_line(text: str = "") -> None:
    """Print one line of a result; control characters in it are escaped."""
    click.echo(escape_control(text), color=False)


def print_json(value: object) -> None:
    """Print one JSON value, in ASCII, so that no locale can spoil it."""
    click.echo(json.dumps(value, indent=2), color=False)


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print columns that are as wide as their widest cell; the last is not padded."""
    table = [list(header), *([escape_control(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    for number, row in enumerate(table):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        if number == 0 and is_coloured():
            line = click.style(line, bold=True)
        click.echo(line, color=is_coloured())


class ProgressLine:
    """Shows how far a scan is, on one line of standard error that is wiped at the end; silent off a terminal."""

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def __call__(self, phase: str, done: int, total: int | None = None) -> None:
        """Show the phase and its count."""
        if self._is_shown:
            text = f"{phase}: {done}" if total is None else f"{phase}: {done} of {total}"
            sys.stderr.write(f"\r{escape_control(text)[:_PROGRESS_WIDTH]:<{_PROGRESS_WIDTH}}")
            sys.stderr.flush()

    def close(self) -> None:
        """Wipe the line."""
        if self._is_shown:
            sys.stderr.write("\r" + " " * _PROGRESS_WIDTH + "\r")
            sys.stderr.flush()
