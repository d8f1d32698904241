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
from rich.padding import Padding
from rich.text import Text

from libcensus.agent.log import escape_control

if TYPE_CHECKING:
    from collections.abc import Sequence

_GAP = "  "
_INDENT = "  "
_COMFORTABLE_PATH = 44
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
    """A column's title, whether it holds paths, and when its cells give way to their short texts: 1 is the first."""

    title: str
    short: str | None = None
    is_path: bool = False
    yields: int = 9

    def pick(self, *, short: bool) -> str:
        """Return the title for a wide or a narrow terminal."""
        return self.short if short and self.short is not None else self.title


def shorten_path(path: str, width: int) -> str:
    """Return a path in at most ``width`` cells: what stands in its middle gives way, its end is the last to go."""
    if cell_len(path) <= width:
        return path
    room = width - cell_len(_ELLIPSIS)
    tail = path[-(room // 2) :]
    for position, character in enumerate(path):
        # The longest tail of whole names that leaves a third of the room to the start.
        if character == "/" and cell_len(path[position:]) <= room * 2 // 3:
            tail = path[position:]
            break
    head = path[: max(0, room - cell_len(tail))]
    while head and cell_len(head) + cell_len(tail) > room:
        head = head[:-1]
    return head + _ELLIPSIS + tail


class Output:
    """Standard output as this command writes to it."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
        self.is_terminal = sys.stdout.isatty()

    @property
    def width(self) -> int:
        """How many cells a line of the terminal has."""
        return self._console.width

    def line(self, text: str = "", style: str = "") -> None:
        """Print one line that is not broken on a terminal either, such as a command to copy."""
        if self.is_terminal:
            self._console.print(Text(escape_control(text), style), soft_wrap=True)
        else:
            sys.stdout.write(escape_control(text) + "\n")

    def prose(self, *pieces: tuple[str, str], indent: int = 0) -> None:
        """Print a line of differently styled pieces, all of it indented.

        A terminal breaks it between words, nothing else breaks it.
        """
        if self.is_terminal:
            text = Text.assemble(*((escape_control(text), style) for text, style in pieces))
            shown = Padding(text, (0, 0, 0, indent), expand=False) if indent else text
            self._console.print(shown, soft_wrap=False, overflow="fold")
        else:
            sys.stdout.write(" " * indent + "".join(escape_control(text) for text, _ in pieces) + "\n")

    def json(self, value: object) -> None:
        """Print one JSON value, in ASCII, so that no locale can spoil it."""
        sys.stdout.write(json.dumps(value, indent=2) + "\n")

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> None:
        """Print rows below their titles.

        A terminal that is too narrow gets short texts, column by column in the order in which they yield, and
        shortened paths; when even that does not fit, each row takes two lines, the path above the rest.
        """
        if not self.is_terminal:
            titles = [Cell(column.title.upper()) for column in columns]
            widths = _widths([titles, *rows], [False] * len(columns))
            for row in (titles, *rows):
                cells = [_pad(cell.pick(short=False), width) for cell, width in zip(row, widths, strict=True)]
                sys.stdout.write(_GAP.join(cells).rstrip() + "\n")
            return
        layout = self._layout(columns, rows)
        if layout is None:
            self._two_lines(columns, rows)
            return
        shorts, widths = layout
        self._row([Cell(c.pick(short=s), style="bold") for c, s in zip(columns, shorts, strict=True)], shorts, widths)
        for row in rows:
            shown = [
                Cell(shorten_path(cell.pick(short=False), width), style=cell.style) if column.is_path else cell
                for cell, column, width in zip(row, columns, widths, strict=True)
            ]
            self._row(shown, shorts, widths)

    def _layout(self, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> tuple[list[bool], list[int]] | None:
        """Choose which columns are short and how wide each is; None when no choice fits on one line."""
        order = sorted({column.yields for column in columns})
        path = next((number for number, column in enumerate(columns) if column.is_path), None)
        for smallest in (_COMFORTABLE_PATH, _SMALLEST_PATH):
            for given in (0, *order):
                shorts = [column.yields <= given for column in columns]
                titles = [Cell(column.pick(short=short)) for column, short in zip(columns, shorts, strict=True)]
                widths = _widths([titles, *rows], shorts)
                spare = self.width - sum(widths) - len(_GAP) * (len(columns) - 1)
                if spare >= 0:
                    return shorts, widths
                if path is not None and widths[path] + spare >= min(widths[path], smallest):
                    widths[path] += spare
                    return shorts, widths
        return None

    def _row(self, row: Sequence[Cell], shorts: Sequence[bool], widths: Sequence[int], indent: str = "") -> None:
        text = Text(indent)
        for number, (cell, short, width) in enumerate(zip(row, shorts, widths, strict=True)):
            shown = cell.pick(short=short)
            text.append(shown, cell.style)
            if number < len(row) - 1:
                text.append(" " * (width - cell_len(shown)) + _GAP)
        self._console.print(text, soft_wrap=any(widths), overflow="fold")

    def _two_lines(self, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> None:
        """Print each row's path on a line of its own and the rest below it."""
        rest = [number for number, column in enumerate(columns) if not column.is_path]
        paths = [number for number, column in enumerate(columns) if column.is_path]
        shorts = [True] * len(rest)
        titles = [Cell(columns[number].pick(short=True), style="bold") for number in rest]
        below = [[row[number] for number in rest] for row in rows]
        widths = _widths([titles, *below], shorts)
        if len(_INDENT) + sum(widths) + len(_GAP) * (len(rest) - 1) > self.width:
            # Nothing can stand below one another any more: words are broken between words.
            widths = [0] * len(rest)
        for number in paths:
            self.line(columns[number].title, "bold")
        self._row(titles, shorts, widths, _INDENT)
        for row, cells in zip(rows, below, strict=True):
            for number in paths:
                self.line(shorten_path(row[number].pick(short=False), self.width), "bold")
            self._row(cells, shorts, widths, _INDENT)


def _pad(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def _widths(rows: Sequence[Sequence[Cell]], shorts: Sequence[bool]) -> list[int]:
    return [max(cell_len(row[number].pick(short=short)) for row in rows) for number, short in enumerate(shorts)]


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
