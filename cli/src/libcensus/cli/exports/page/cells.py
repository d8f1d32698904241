"""The commands' own table rows as the page's: what is told in both places is made once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcensus.cli.exports.page.markup import Head, Shown, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libcensus.cli.exports.page.markup import Markup
    from libcensus.cli.terminal import Cell, Column

_STYLES = {
    "red": "bad",
    "bold red": "bad",
    "yellow": "warn",
    "green": "good",
    "dim": "none",
    "blue": "info",
    "cyan": "low",
    "magenta": "unknown",
}
"""The classes of the style sheet for the colours of a terminal."""


def table_of(caption: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> Markup:
    """Return the rows of a command's table as one of the page."""
    heads = [Head(column.title, is_path=column.is_path) for column in columns]
    return table(caption, heads, [[_cell(cell) for cell in row] for row in rows])


def _cell(cell: Cell) -> str | Shown:
    style = _STYLES.get(cell.style, "")
    return Shown(cell.text, style) if style else cell.text
