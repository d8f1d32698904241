"""Plots as SVG: bars and a time line, with axes, titles, and every figure as text beside its mark.

Colours come from the page's style sheet by class, so that they follow light and dark; nothing is told by colour alone.
Lengths are the units of the drawing, which is scaled to the room that it gets.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from math import ceil, floor, log10
from typing import TYPE_CHECKING

from libcensus.cli.exports.page.markup import Markup, count, counted, percent, tag

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_WIDTH = 560
_ROW = 23
_BAR = 15
_LETTER = 7.5
"""About how wide a letter of a label is; cut labels have their whole text as a title."""

_LONGEST_LABEL = 28
_LONGEST_MOMENT = 40
_TIMES = 520
_TALL = 220
_TOP = 6
_AXIS = 38


@dataclass(frozen=True, slots=True)
class Series:
    """One kind of parts of bars: its name, and the class that colours it."""

    name: str
    style: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its label, and how much of it each series has, by the series' key."""

    label: str
    parts: Mapping[str, int]
    style: str | None = None

    @property
    def total(self) -> int:
        """Its length."""
        return sum(self.parts.values())


def bars(
    title: str,
    about: str,
    unit: str,
    rows: Sequence[Bar],
    series: Mapping[str, Series],
    *,
    total: int | None = None,
    is_percent: bool = False,
    told: Mapping[str, str] | None = None,
) -> Markup:
    """Return horizontal bars from the top down.

    ``unit`` names what the axis counts. ``total`` is what shares are of, where they are told. With ``is_percent`` the
    numbers are percent already. ``told`` are the texts at the end of bars by label, in the place of their numbers.
    """
    if not rows:
        return figure(title, about, tag("p", "Nothing to show.", class_="none"))
    texts = [_told(row, total, told, is_percent=is_percent) for row in rows]
    left = _left(rows, _LONGEST_LABEL)
    right = max(map(len, texts)) * _LETTER + 10
    room = _WIDTH - left - right
    ticks = [0, 25, 50, 75, 100] if is_percent else _ticks(max(row.total for row in rows))
    scale = room / (ticks[-1] or 1)
    height = _TOP + _ROW * len(rows)
    drawn: list[Markup] = []
    for tick in ticks:
        x = left + tick * scale
        drawn.append(tag("line", x1=x, x2=x, y1=_TOP, y2=height, class_="rule"))
        text = f"{tick} %" if is_percent else count(tick)
        drawn.append(tag("text", text, x=x, y=height + 14, class_="tick"))
    drawn.append(tag("text", unit, x=left + room / 2, y=height + 31, class_="axis"))
    for number, (row, text) in enumerate(zip(rows, texts, strict=True)):
        y = _TOP + _ROW * number
        drawn.append(_label(row.label, left - 8, y + _ROW / 2))
        x = left
        for key, one in series.items():
            amount = row.parts.get(key, 0)
            if not amount:
                continue
            width = max(amount * scale, 1.5)
            name = f"{row.label}, {one.name}: {amount:,}" if len(series) > 1 else f"{row.label}: {amount:,}"
            drawn.append(
                tag(
                    "g",
                    tag("title", f"{name} {unit}"),
                    tag("rect", x=x, y=y + (_ROW - _BAR) / 2, width=width, height=_BAR, class_=row.style or one.style),
                )
            )
            if len(series) > 1 and width > len(count(amount)) * _LETTER + 4:
                drawn.append(tag("text", count(amount), x=x + width / 2, y=y + _ROW / 2, class_=f"inside {one.style}"))
            x += width
        drawn.append(tag("text", text, x=x + 6, y=y + _ROW / 2, class_="figure"))
    legend = _legend(series, rows) if len(series) > 1 else Markup()
    return figure(title, about, legend, _drawing(title, _spoken(rows, series, unit), height + _AXIS, drawn))


def _told(row: Bar, total: int | None, told: Mapping[str, str] | None, *, is_percent: bool) -> str:
    if told is not None and row.label in told:
        return told[row.label]
    if is_percent:
        return f"{row.total} %"
    return count(row.total) if total is None else f"{row.total:,} ({percent(row.total, total)})"


def _left(rows: Sequence[Bar] | Sequence[Moment], longest: int) -> float:
    """Return the room for labels."""
    return min(max(len(row.label) for row in rows), longest) * _LETTER + 12


def _label(text: str, x: float, y: float, longest: int = _LONGEST_LABEL) -> Markup:
    shown = text if len(text) <= longest else f"{text[: longest - 1]}…"
    content = (tag("title", text), shown) if shown != text else (shown,)
    return tag("text", *content, x=x, y=y, class_="label")


def _legend(series: Mapping[str, Series], rows: Sequence[Bar]) -> Markup:
    """Return the names of the series, each with its sum."""
    return tag(
        "div",
        *[
            tag("span", tag("i", class_=one.style), f"{one.name} {number:,}")
            for key, one in series.items()
            if (number := sum(row.parts.get(key, 0) for row in rows))
        ],
        class_="legend",
    )


def _spoken(rows: Sequence[Bar], series: Mapping[str, Series], unit: str) -> str:
    """Return what the plot shows as text, for those who do not see it."""
    told = []
    for row in rows:
        parts = ", ".join(f"{one.name} {row.parts[key]:,}" for key, one in series.items() if row.parts.get(key))
        told.append(f"{row.label}: {row.total:,}" + (f" ({parts})" if len(series) > 1 and parts else ""))
    return f"In {unit}. {'; '.join(told)}."


def _ticks(largest: int) -> list[int]:
    """Return round numbers from 0 to at least the largest, at most six of them."""
    if largest <= 0:
        return [0, 1]
    rough = largest / 4
    power = 10 ** floor(log10(rough)) if rough >= 1 else 1
    step = next(int(power * times) for times in (1, 2, 5, 10) if power * times >= rough or power * times >= largest)
    return [step * number for number in range(ceil(largest / step) + 1)]


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of a time line: what happens on a day, how it is marked, and what stands beside it."""

    label: str
    day: date
    style: str
    text: str


def timeline(title: str, about: str, rows: Sequence[Moment], today: date, years: int = 4) -> Markup:
    """Return what ends when, from the top down; what lies further away than the drawing stands at its edge."""
    if not rows:
        return figure(title, about, tag("p", "Nothing to show.", class_="none"))
    left = _left(rows, _LONGEST_MOMENT)
    right = max(len(row.text) for row in rows) * _LETTER + 14
    width = left + right + _TIMES
    room = width - left - right
    first = max(min(row.day.year for row in rows), today.year - years)
    last = min(max(*(row.day.year for row in rows), today.year), today.year + years) + 1
    begin, end = date(first, 1, 1), date(last, 1, 1)
    scale = room / (end - begin).days
    height = _TOP + _ROW * len(rows)

    def place(day: date) -> float:
        return left + (min(max(day, begin), end) - begin).days * scale

    drawn = []
    for year in range(first, last + 1):
        x = place(date(year, 1, 1))
        drawn.append(tag("line", x1=x, x2=x, y1=_TOP, y2=height, class_="rule"))
        drawn.append(tag("text", str(year), x=x, y=height + 14, class_="tick"))
    now = place(today)
    drawn.append(tag("line", x1=now, x2=now, y1=_TOP, y2=height, class_="today"))
    drawn.append(tag("text", f"today, {today.isoformat()}", x=now, y=height + 31, class_="axis"))
    for number, row in enumerate(rows):
        y = _TOP + _ROW * number + _ROW / 2
        x = place(row.day)
        drawn.append(_label(row.label, left - 8, y, _LONGEST_MOMENT))
        drawn.append(tag("line", x1=min(x, now), x2=max(x, now), y1=y, y2=y, class_=f"span {row.style}"))
        drawn.append(tag("g", tag("title", f"{row.label}: {row.day.isoformat()}"), _mark(row.style, x, y)))
        drawn.append(tag("text", row.text, x=left + room + 12, y=y, class_="figure"))
    spoken = "; ".join(f"{row.label}: {row.text}" for row in rows)
    return figure(title, about, _drawing(title, f"{spoken}.", height + _AXIS, drawn, width))


def _mark(style: str, x: float, y: float) -> Markup:
    """Return a mark whose shape tells what its colour tells: a square is over, a triangle is near, a circle is far."""
    if style == "bad":
        return tag("rect", x=x - 5, y=y - 5, width=10, height=10, class_=style)
    if style == "warn":
        return tag("path", d=f"M{x:g} {y - 6:g} L{x + 6:g} {y + 5:g} L{x - 6:g} {y + 5:g} Z", class_=style)
    return tag("circle", cx=x, cy=y, r=5, class_=style)


def areas(
    title: str,
    about: str,
    unit: str,
    days: Sequence[date],
    values: Sequence[Mapping[str, int]],
    series: Mapping[str, Series],
) -> Markup:
    """Return how amounts went from day to day, one upon the other; ``values`` are by day, and by series' key."""
    keys = [key for key in series if any(one.get(key) for one in values)]
    totals = [sum(one.get(key, 0) for key in keys) for one in values]
    ticks = _ticks(max(totals, default=0))
    left, width, height = len(count(ticks[-1])) * _LETTER + 14, _TALL * 4.2, _TALL
    length = (days[-1] - days[0]).days or 1

    def x(day: date) -> float:
        return left + (day - days[0]).days * (width - left - 60) / length

    def y(amount: int) -> float:
        return _TOP + (height - _TOP) * (1 - amount / ticks[-1])

    drawn = []
    for tick in ticks:
        drawn.append(tag("line", x1=left, x2=x(days[-1]), y1=y(tick), y2=y(tick), class_="rule"))
        drawn.append(tag("text", count(tick), x=left - 8, y=y(tick), class_="tick end"))
    below = [0] * len(days)
    for key in reversed(keys):
        above = [low + one.get(key, 0) for low, one in zip(below, values, strict=True)]
        edge = [f"{x(day):g} {y(amount):g}" for day, amount in zip(days, above, strict=True)]
        edge += [f"{x(day):g} {y(amount):g}" for day, amount in reversed(list(zip(days, below, strict=True)))]
        name = tag(
            "title", f"{series[key].name}: {values[0].get(key, 0):,} at first, {values[-1].get(key, 0):,} at last"
        )
        drawn.append(tag("g", name, tag("path", d=f"M{' L'.join(edge)} Z", class_=f"area {series[key].style}")))
        below = above
    for day, total in zip(days, totals, strict=True):
        drawn.append(tag("circle", cx=x(day), cy=y(total), r=2.5))
        drawn.append(tag("text", count(total), x=x(day), y=y(total) - 11, class_="tick total"))
        drawn.append(tag("text", day.isoformat(), x=x(day), y=height + 14, class_="tick"))
    drawn.append(
        tag("text", f"{unit}, at the end of each day (UTC)", x=(left + x(days[-1])) / 2, y=height + 31, class_="axis")
    )
    spoken = "; ".join(
        f"{day.isoformat()}: {total:,} ({', '.join(f'{series[key].name} {one.get(key, 0):,}' for key in keys)})"
        for day, total, one in zip(days, totals, values, strict=True)
    )
    legend = tag(
        "div", *[tag("span", tag("i", class_=series[key].style), series[key].name) for key in keys], class_="legend"
    )
    return figure(title, about, legend, _drawing(title, f"In {unit}. {spoken}.", height + _AXIS, drawn, width))


def meter(part: int, total: int, style: str = "blue") -> Markup:
    """Return a share as a small bar with its number, for a table."""
    width = 90
    share = part / total if total else 0
    text = percent(part, total)
    return tag(
        "span",
        tag(
            "svg",
            tag("title", text),
            tag("rect", x=0, y=0, width=width, height=9, class_="back"),
            tag("rect", x=0, y=0, width=share * width, height=9, class_=style) if part else Markup(),
            viewBox=f"0 0 {width} 9",
            width=width,
            height=9,
            role="img",
        ),
        f" {text}",
        class_="meter",
    )


def figure(title: str, about: str, *content: str) -> Markup:
    """Return a plot with its title and, in small, what it counts."""
    return tag(
        "figure",
        tag("figcaption", tag("strong", title), tag("span", about)),
        *content,
    )


def _drawing(title: str, spoken: str, height: float, drawn: Sequence[Markup], width: float = _WIDTH) -> Markup:
    return tag(
        "svg",
        tag("title", title),
        tag("desc", spoken),
        *drawn,
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        class_="wide" if width > _WIDTH else None,
    )


def days_between(day: date, today: date) -> str:
    """Return how far a day is away in words."""
    days = (day - today).days
    if days < 0:
        return f"{counted(-days, 'day')} ago"
    return f"in {counted(days, 'day')}"
