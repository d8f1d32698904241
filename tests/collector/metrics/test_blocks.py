"""Blocks of hosts tell what a plain list of hosts would, and join only what changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.collector.metrics.blocks import HostBlocks

if TYPE_CHECKING:
    from collections.abc import Sequence

FAMILIES = 3

NAMES = st.text(st.sampled_from("abcß~"), min_size=1, max_size=3)


class Telling:
    """Blocks over hosts with a text for each family, and the hosts themselves."""

    def __init__(self, block_hosts: int = 4) -> None:
        self.texts: dict[str, list[str]] = {}
        self.joined: list[tuple[int, int]] = []
        self.blocks = HostBlocks(FAMILIES, self.join, block_hosts)

    def join(self, host_ids: Sequence[str], family: int) -> bytes:
        self.joined.append((family, len(host_ids)))
        return "".join(f"{name}={self.texts[name][family]};" for name in map(name_of, host_ids)).encode()

    def put(self, name: str, word: str) -> None:
        is_new = name not in self.texts
        self.texts[name] = [f"{word}{family}" for family in range(FAMILIES)]
        if is_new:
            self.blocks.insert(name, id_of(name))
        else:
            self.blocks.touch(name, range(FAMILIES))

    def take(self, name: str) -> None:
        del self.texts[name]
        self.blocks.remove(name)

    def told(self) -> list[str]:
        return [b"".join(column).decode() for column in self.blocks.columns()]

    def expected(self) -> list[str]:
        return [
            "".join(f"{name}={self.texts[name][family]};" for name in sorted(self.texts)) for family in range(FAMILIES)
        ]


def id_of(name: str) -> str:
    return f"id of {name}"


def name_of(host_id: str) -> str:
    return host_id.removeprefix("id of ")


@given(st.lists(st.tuples(st.sampled_from(["put", "put", "take"]), NAMES, st.sampled_from("xyz")), max_size=60))
def test_blocks_tell_what_a_sorted_list_would(steps: list[tuple[str, str, str]]) -> None:
    telling = Telling()
    for step, name, word in steps:
        if step == "put":
            telling.put(name, word)
        elif name in telling.texts:
            telling.take(name)
        assert telling.told() == telling.expected()
        assert len(telling.blocks) == len(telling.texts)


def test_only_what_changed_is_joined_again() -> None:
    telling = Telling(block_hosts=10)
    for number in range(100):
        telling.put(f"host-{number:03d}", "a")
    assert telling.told() == telling.expected()
    # Hosts that come in order fill their blocks.
    assert telling.joined == [(family, 10) for family in range(FAMILIES) for _ in range(10)]
    telling.joined.clear()
    assert telling.told() == telling.expected()
    assert telling.joined == []
    telling.texts["host-042"][1] = "other"
    telling.blocks.touch("host-042", [1])
    assert telling.told() == telling.expected()
    assert telling.joined == [(1, 10)]
    telling.joined.clear()
    telling.blocks.touch_all([2])
    assert telling.told() == telling.expected()
    assert telling.joined == [(2, 10)] * 10


def test_what_was_handed_out_does_not_change() -> None:
    telling = Telling()
    telling.put("a", "x")
    before = telling.blocks.columns()
    kept = [list(column) for column in before]
    telling.put("a", "y")
    telling.put("b", "y")
    telling.told()
    assert before == kept


def test_a_host_that_is_not_in_cannot_be_taken_out() -> None:
    telling = Telling()
    telling.put("a", "x")
    with pytest.raises(AssertionError, match="'b' is not in"):
        telling.blocks.remove("b")
