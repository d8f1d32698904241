"""The text of many hosts, in the order of their names: joined once for each block of hosts, and again where it changed.

A page is every family with the lines of all hosts. With 100,000 hosts it is some hundred megabytes, of which a minute
changes a few lines everywhere: only the families that changed are joined again, block by block, and a page is a
sequence of blocks that nobody copies. What was handed out never changes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

BLOCK_HOSTS = 64
"""Hosts of a block at most: few, so that the hosts that report between two scrapes leave most blocks as they were."""


class _Block:
    """Some hosts that follow each other: ``texts`` has the text of each family, None where it is out of date."""

    __slots__ = ("ids", "names", "texts")

    def __init__(self, names: list[str], ids: list[str], families: int) -> None:
        self.names = names
        self.ids = ids
        self.texts: list[bytes | None] = [None] * families


class HostBlocks:
    """Hosts by name, which no two share, with their text by family.

    ``join`` returns the text of some hosts, given by their ids, for one family by its number.
    """

    def __init__(
        self, families: int, join: Callable[[Sequence[str], int], bytes], block_hosts: int = BLOCK_HOSTS
    ) -> None:
        self._families = families
        self._join = join
        self._most = block_hosts
        self._blocks: list[_Block] = []
        self._firsts: list[str] = []

    def __len__(self) -> int:
        """Return how many hosts there are."""
        return sum(len(block.ids) for block in self._blocks)

    def clear(self) -> None:
        """Take all hosts out."""
        self._blocks, self._firsts = [], []

    def insert(self, name: str, host_id: str) -> None:
        """Put a host in; no other has its name."""
        if not self._blocks:
            self._blocks, self._firsts = [_Block([name], [host_id], self._families)], [name]
            return
        number = self._number_of(name)
        block = self._blocks[number]
        place = bisect_left(block.names, name)
        if place == len(block.names) == self._most and number == len(self._blocks) - 1:
            # Hosts that come in the order of their names fill one block after the other.
            self._blocks.append(_Block([name], [host_id], self._families))
            self._firsts.append(name)
            return
        block.names.insert(place, name)
        block.ids.insert(place, host_id)
        block.texts = [None] * self._families
        self._firsts[number] = block.names[0]
        if len(block.names) > self._most:
            half = len(block.names) // 2
            self._blocks.insert(number + 1, _Block(block.names[half:], block.ids[half:], self._families))
            self._firsts.insert(number + 1, block.names[half])
            del block.names[half:], block.ids[half:]

    def remove(self, name: str) -> None:
        """Take a host out that is in."""
        number = self._number_of(name)
        block = self._blocks[number]
        place = bisect_left(block.names, name)
        if place == len(block.names) or block.names[place] != name:
            raise AssertionError(f"{name!r} is not in")
        del block.names[place], block.ids[place]
        block.texts = [None] * self._families
        if block.names:
            self._firsts[number] = block.names[0]
        else:
            del self._blocks[number], self._firsts[number]

    def touch(self, name: str, families: Iterable[int]) -> None:
        """Say that the text of a host that is in has changed for some families."""
        texts = self._blocks[self._number_of(name)].texts
        for family in families:
            texts[family] = None

    def touch_all(self, families: Iterable[int]) -> None:
        """Say that the text of every host has changed for some families."""
        for family in families:
            for block in self._blocks:
                block.texts[family] = None

    def columns(self) -> list[list[bytes]]:
        """Return the text of each family, block by block; what is out of date is joined anew."""
        columns: list[list[bytes]] = []
        for family in range(self._families):
            column = []
            for block in self._blocks:
                text = block.texts[family]
                if text is None:
                    text = block.texts[family] = self._join(block.ids, family)
                column.append(text)
            columns.append(column)
        return columns

    def _number_of(self, name: str) -> int:
        return max(0, bisect_right(self._firsts, name) - 1)
