"""Reads a page back as a browser would: its tables, its tiles, what plots say in words, and every element."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = {"meta", "link", "br", "rect", "line", "path", "circle"}


@dataclass
class Element:
    """One element with its attributes and all text inside."""

    name: str
    attributes: dict[str, str | None]
    parent: Element | None
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text inside, as it is read."""
        return "".join(one if isinstance(one, str) else one.text for one in self.children)

    def all(self, name: str, class_: str | None = None) -> list[Element]:
        """Return the elements of a name inside, in their order."""
        found = []
        for one in self.children:
            if isinstance(one, Element):
                if one.name == name and (class_ is None or class_ in (one.attributes.get("class") or "").split()):
                    found.append(one)
                found += one.all(name, class_)
        return found

    @property
    def everything(self) -> list[Element]:
        """Return all elements inside."""
        own = [one for one in self.children if isinstance(one, Element)]
        return [*own, *(inner for one in own for inner in one.everything)]


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {}, None)
        self._at = self.root

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs), self._at)
        assert len(element.attributes) == len(attrs), f"{tag} has an attribute twice"
        self._at.children.append(element)
        if tag not in _VOID:
            self._at = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._at.children.append(Element(tag, dict(attrs), self._at))

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            # A browser writes an end of those of SVG.
            return
        assert tag == self._at.name, f"</{tag}> ends {self._at.name}"
        assert self._at.parent is not None
        self._at = self._at.parent

    def handle_data(self, data: str) -> None:
        self._at.children.append(data)


class Page:
    """A page as it is read; elements must be closed in the order in which they were opened."""

    def __init__(self, text: str) -> None:
        parser = _Parser()
        parser.feed(text)
        parser.close()
        self.root = parser.root

    def table(self, caption: str) -> list[dict[str, str]]:
        """Return the rows of the table whose caption begins so, by column."""
        (table,) = [one for one in self.root.all("table") if one.all("caption")[0].text.startswith(caption)]
        heads = [one.text for one in table.all("thead")[0].all("th")]
        rows = [
            [one.text for one in row.children if isinstance(one, Element)]
            for row in table.all("tbody")[0].children
            if isinstance(row, Element)
        ]
        assert all(len(row) == len(heads) for row in rows)
        # Of columns of one name each has a number from the second on.
        named: list[str] = []
        for head in heads:
            named.append(head if head not in named else f"{head} {named.count(head) + 1}")
        return [dict(zip(named, row, strict=True)) for row in rows]

    def plot(self, title: str) -> str:
        """Return what the plot of this title says in words."""
        return next(
            one.all("desc")[0].text
            for one in self.root.all("svg")
            if one.all("title") and one.all("title")[0].text == title and one.all("desc")
        )

    def bars(self, title: str) -> dict[str, int]:
        """Return the lengths of the bars of a plot by label."""
        _, _, words = self.plot(title).partition(". ")
        told = {}
        for part in words.removesuffix(".").split("; "):
            label, _, number = part.partition(": ")
            told[label] = int(number.split(" ")[0].replace(",", ""))
        return told

    @property
    def tiles(self) -> dict[str, str]:
        """Return the values of tiles by title."""
        return {
            one.all("div", "title")[0].text: one.all("div", "value")[0].text for one in self.root.all("div", "tile")
        }
