"""HTML as values: a text is escaped unless it is markup already, so that nothing found on a host can become markup."""

from __future__ import annotations

import html
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.agent.log import escape_control

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_VOID = frozenset({"meta", "link", "br", "rect", "line", "path", "circle"})
"""Elements that are written without an end; those of SVG close themselves."""


class Markup(str):
    """A text that is HTML already."""

    __slots__ = ()


def escape(text: str) -> Markup:
    """Return a text as HTML, on one line: control characters, line ends and bidirectional marks are spelled out."""
    return text if isinstance(text, Markup) else Markup(html.escape(escape_control(text)))


def joined(*parts: str) -> Markup:
    """Return parts one after the other; those that are no markup are escaped."""
    return Markup("".join(map(escape, parts)))


def lines(*parts: str) -> Markup:
    """Return parts on a line each."""
    return Markup("<br/>".join(map(escape, parts)))


def tag(name: str, /, *content: str, **attributes: str | float | None) -> Markup:
    """Return an element. ``class_`` is ``class``, an underscore stands for a hyphen; None leaves an attribute out."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value if isinstance(value, str) else f"{value:g}")}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{told}/>")
    return Markup(f"<{name}{told}>{joined(*content)}</{name}>")


def count(number: int) -> str:
    """Return a number as people read it."""
    return f"{number:,}"


def counted(number: int, one: str, several: str | None = None) -> str:
    """Return a number with its noun: ``1 host``, ``1,204 hosts``."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def percent(part: int, total: int) -> str:
    """Return a share in words; what is not all is never ``100 %``, and what is not nothing never ``0 %``."""
    if not total:
        return "—"
    share = 100 * part / total
    if 0 < share < 1:
        return "<1 %"
    if 99 < share < 100:
        return ">99 %"
    return f"{share:.0f} %"


def paragraph(*content: str, class_: str | None = None) -> Markup:
    """Return a paragraph."""
    return tag("p", *content, class_=class_)


def command(*words: str) -> Markup:
    """Return a command to copy; its words are quoted as a shell wants them."""
    return tag("code", shlex.join(("libcensus", *words)))


@dataclass(frozen=True, slots=True)
class Head:
    """A column's title; ``about`` says more to whoever points at it, ``is_path`` lets long words break."""

    title: str
    about: str | None = None
    is_path: bool = False


_SHORT = 18
"""A text so short, such as an advisory's id or a day, is never broken."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A cell's text with the way in which it is shown: a class of the style sheet."""

    text: str | int
    style: str


TableCell = str | int | None | Shown


def table(
    caption: str, heads: Sequence[Head], rows: Iterable[Sequence[TableCell]], *, class_: str | None = None
) -> Markup:
    """Return a table with its caption; numbers stand to the right, and what is absent is a dash."""
    told = list(rows)
    numeric = [_is_numeric(told, position) for position in range(len(heads))]
    columns = [
        tag("th", head.title, scope="col", title=head.about, class_="n" if right else None)
        for head, right in zip(heads, numeric, strict=True)
    ]
    body = [tag("tr", *map(_cell, heads, row, numeric)) for row in told]
    return tag(
        "div",
        tag(
            "table",
            tag("caption", caption),
            tag("thead", tag("tr", *columns)),
            tag("tbody", *body),
            class_=class_,
        ),
        class_="scroll",
    )


def _is_numeric(rows: Sequence[Sequence[TableCell]], position: int) -> bool:
    """Tell whether a column holds numbers."""
    cells = [cell.text if isinstance(cell, Shown) else cell for row in rows if (cell := row[position]) is not None]
    return bool(cells) and all(isinstance(cell, int) for cell in cells)


def _cell(head: Head, cell: TableCell, is_number: bool) -> Markup:
    style = cell.style if isinstance(cell, Shown) else ""
    value = cell.text if isinstance(cell, Shown) else cell
    if value is None:
        return tag("td", "—", class_="n none" if is_number else "none")
    if isinstance(value, int):
        text = count(value)
        style = f"n {style}".rstrip() if value else "n none"
    else:
        text = value
    if head.is_path:
        style = f"{style} path"
    elif len(text) <= _SHORT:
        style = f"{style} id"
    return tag("td", text, class_=style.strip() or None)


def rest(shown: int, total: int, what: str, *words: str) -> Markup:
    """Return the line that says how many are not shown, and which command shows them; nothing where all are."""
    if shown >= total:
        return Markup()
    return paragraph(f"The first {shown:,} of {total:,} {what}; all of them: ", command(*words), class_="rest")


def folded(summary: str, *content: str, is_open: bool = False) -> Markup:
    """Return what is shown when somebody asks for it; printing shows what is open."""
    return tag("details", tag("summary", summary), *content, open="" if is_open else None)


def tile(value: str, title: str, note: str = "", tone: str = "") -> Markup:
    """Return one figure that is read from afar, with what it counts."""
    return tag(
        "div",
        tag("div", value, class_="value"),
        tag("div", title, class_="title"),
        tag("div", note, class_="note") if note else Markup(),
        class_=f"tile {tone}".rstrip(),
    )


def tiles(*content: str) -> Markup:
    """Return tiles beside one another."""
    return tag("div", *content, class_="tiles")


def grid(*content: str) -> Markup:
    """Return cards beside one another, as many as there is room for."""
    return tag("div", *content, class_="grid")


def card(*content: str, class_: str = "") -> Markup:
    """Return what belongs together."""
    return tag("div", *content, class_=f"card {class_}".rstrip())


def section(name: str, title: str, lead: str, *content: str) -> Markup:
    """Return a part of the page that links can lead to; ``lead`` is its answer in a sentence or two."""
    return tag(
        "section",
        tag("h2", title) if title else Markup(),
        paragraph(lead, class_="lead") if lead else Markup(),
        *content,
        id=name,
    )
