"""How results and progress reach a terminal, or whatever stands in its place.

On a terminal: colours (``NO_COLOR`` is honoured), long paths shortened in the middle, rows on two lines where one would
not fit. Off a terminal everything is plain: one line per row, nothing wrapped, cut or coloured. Text that was found on
a host is escaped before it is printed: no file name may move a cursor or pass for another row.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from libcensus.agent.log import escape_control

if TYPE_CHECKING:
    from collections.abc import Sequence

_GAP = "  "
_INDENT = "    "
_SMALLEST_PATH = 28
_ELLIPSIS = "…"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: its text, a shorter one for narrow terminals, and how it is coloured."""

    text: str
    short: str | None = None
    style: str = ""

    def pick(self, *, short: bool) -> str:
        """Return the text for a wide or a narrow terminal, escaped."""
        return escape_control(self.short if short and self.short is not None else self.text)


@dataclass(frozen=True, slots=True)
class Column:
    """A column's title, and whether it holds paths, which may be shortened in the middle."""

    title: str
    short: str | None = None
    is_path: bool = False


def shorten_path(path: str, width: int) -> str:
    """Return a path in at most ``width`` cells: what stands in its middle gives way, its end is the last to go."""
    if cell_len(path) <= width:
        return path
    room = width - 1
    parts = path.split("/")
    for kept in range(1, len(parts)):
        tail = "/" + "/".join(parts[kept + 1 :])
        if cell_len(tail) <= room * 2 // 3:
            break
    head = path[: max(0, room - cell_len(tail))]
    shortened = head + _ELLIPSIS + tail
    return shortened if cell_len(shortened) <= width else _ELLIPSIS + path[-room:]


class Output:
    """Standard output as this command writes to it."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self.is_terminal = sys.stdout.isatty()

    @property
    def width(self) -> int:
        """How many cells a line of the terminal has."""
        return self._console.width

    def line(self, text: str = "", style: str = "") -> None:
        """Print one line; control characters in it are escaped."""
        self.pieces((text, style))

    def pieces(self, *pieces: tuple[str, str]) -> None:
        """Print one line of differently styled pieces; control characters are escaped."""
        if self.is_terminal:
            self._console.print(Text.assemble(*((escape_control(text), style) for text, style in pieces)))
        else:
            sys.stdout.write("".join(escape_control(text) for text, _ in pieces) + "\n")

    def json(self, value: object) -> None:
        """Print one JSON value, in ASCII, so that no locale can spoil it."""
        sys.stdout.write(json.dumps(value, indent=2) + "\n")

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> None:
        """Print rows below their titles.

        A terminal that is too narrow gets the short texts, then shortened paths; when even that does not fit, each row
        takes two lines, the path above the rest.
        """
        if not self.is_terminal:
            titles = [Cell(column.title.upper()) for column in columns]
            self._rows([titles, *rows], short=False)
            return
        for short in (False, True):
            widths = _widths(columns, rows, short=short)
            path = next((number for number, column in enumerate(columns) if column.is_path), None)
            spare = self.width - sum(widths) - len(_GAP) * (len(columns) - 1)
            if spare >= 0 or (path is not None and widths[path] + spare >= min(widths[path], _SMALLEST_PATH)):
                room = None if spare >= 0 or path is None else widths[path] + spare
                self._titles(columns, widths, short=short, path=path, room=room)
                for row in rows:
                    self._row(row, columns, widths, short=short, room=room)
                return
        self._two_lines(columns, rows)

    def _rows(self, rows: Sequence[Sequence[Cell]], *, short: bool) -> None:
        widths = [max(cell_len(row[number].pick(short=short)) for row in rows) for number in range(len(rows[0]))]
        for row in rows:
            cells = [_pad(cell.pick(short=short), width) for cell, width in zip(row, widths, strict=True)]
            sys.stdout.write(_GAP.join(cells).rstrip() + "\n")

    def _titles(
        self, columns: Sequence[Column], widths: Sequence[int], *, short: bool, path: int | None, room: int | None
    ) -> None:
        titles = []
        for number, (column, width) in enumerate(zip(columns, widths, strict=True)):
            title = column.short if short and column.short else column.title
            titles.append(_pad(title, room if number == path and room is not None else width))
        self.line(_GAP.join(titles).rstrip(), "bold")

    def _row(
        self,
        row: Sequence[Cell],
        columns: Sequence[Column],
        widths: Sequence[int],
        *,
        short: bool,
        room: int | None,
    ) -> None:
        text = Text()
        for number, (cell, column, width) in enumerate(zip(row, columns, widths, strict=True)):
            shown, cells = cell.pick(short=short), width
            if column.is_path and room is not None:
                shown, cells = shorten_path(shown, room), room
            last = number == len(row) - 1
            text.append(shown if last else _pad(shown, cells) + _GAP, cell.style)
        self._console.print(text)

    def _two_lines(self, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> None:
        """Print each row's path on a line of its own and the rest below it."""
        rest = [number for number, column in enumerate(columns) if not column.is_path]
        paths = [number for number, column in enumerate(columns) if column.is_path]
        kept = [columns[number] for number in rest]
        below = [[row[number] for number in rest] for row in rows]
        widths = _widths(kept, below, short=True)
        for number in paths:
            self.line(columns[number].title, "bold")
        self.line(
            _INDENT + _GAP.join(_pad(c.short or c.title, w) for c, w in zip(kept, widths, strict=True)).rstrip(), "bold"
        )
        for row, cells in zip(rows, below, strict=True):
            for number in paths:
                self.line(shorten_path(row[number].pick(short=False), self.width), row[number].style)
            text = Text(_INDENT)
            for position, (cell, width) in enumerate(zip(cells, widths, strict=True)):
                shown = cell.pick(short=True)
                text.append(shown if position == len(cells) - 1 else _pad(shown, width) + _GAP, cell.style)
            self._console.print(text)


def _pad(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], *, short: bool) -> list[int]:
    widths = []
    for number, column in enumerate(columns):
        title = column.short if short and column.short else column.title
        widths.append(max([cell_len(title), *(cell_len(row[number].pick(short=short)) for row in rows)]))
    return widths


class Progress:
    """Shows how far a scan is, on one line of standard error that is wiped at the end; silent off a terminal."""

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = 0

    def __call__(self, phase: str, done: int, total: int | None = None) -> None:
        """Show the phase and its count."""
        if self._is_shown:
            text = escape_control(f"{phase}: {done:,}" if total is None else f"{phase}: {done:,} of {total:,}")[:78]
            sys.stderr.write("\r" + text.ljust(self._shown))
            sys.stderr.flush()
            self._shown = len(text)

    def close(self) -> None:
        """Wipe the line."""
        if self._is_shown and self._shown:
            sys.stderr.write("\r" + " " * self._shown + "\r")
            sys.stderr.flush()
            self._shown = 0


def say(text: str) -> None:
    """Print one line of a command's own account on standard error."""
    sys.stderr.write(escape_control(text) + "\n")
    sys.stderr.flush()
