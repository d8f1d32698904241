"""The file of quirks: what is on board is whole, and a row that would match too much or nothing is refused."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from libcensus.collector.advisories.quirks import known_quirk, quirk_rule
from libcensus.collector.advisories.snapshot import SnapshotError, load_snapshot, quirk_table_of, read_table
from libcensus.facts.vocabulary import Provider

if TYPE_CHECKING:
    from collections.abc import Callable


def test_the_quirks_on_board_are_read_in_their_order() -> None:
    rows = read_table("quirks")["quirks"]
    quirks = load_snapshot().quirks.quirks
    assert [known.quirk.id for known in quirks] == [row["id"] for row in rows]
    assert len({known.quirk.id for known in quirks}) == len(quirks) >= 12
    assert {Provider.PBS, Provider.DISTRO, Provider.CONDA} <= {
        word for known in quirks for word in known.rule.providers
    }


def _without(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda row: row.pop(name) and None


def _with(**values: object) -> Callable[[dict[str, Any]], None]:
    return lambda row: row.update(values)


def _ruled(**values: object) -> Callable[[dict[str, Any]], None]:
    return lambda row: row["rule"].update(values)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (_without("source"), "KeyError: 'source'"),
        (_without("rule"), "KeyError: 'rule'"),
        (_with(severity="low"), "'severity' is not known"),
        (_with(title=7), "title is no text"),
        (_with(source="see the manual"), "source is no https address"),
        (_with(means="it differs"), "means is no sentence"),
        (_with(id="PBS libedit"), "is no id"),
        (_with(rule={}), "a rule needs a condition"),
        (_ruled(provider=["pbs"]), "rule: 'provider' is not known"),
        (_ruled(providers=["python-build-standalone"]), "is not a valid Provider"),
        (_ruled(providers=["unknown"]), "what is not known is no condition"),
        (_ruled(providers="pbs"), "rule: providers is no list of words"),
        (_ruled(providers=[]), "rule: providers is no list of words"),
        (_ruled(flags=[7]), "flags is no text"),
        (_ruled(versions={"from": "3.10"}), "rule: versions: 'from' is not known"),
        (_ruled(versions={}), "a span needs since or before"),
        (_ruled(versions={"since": "3.13", "before": "3.8"}), "3.13 does not lie before 3.8"),
        (_ruled(builds={"since": "2024-02-24"}), "'2024-02-24' has not the form of one"),
        (_ruled(installers=["uv"]), "kinds must be base"),
        (_ruled(lacks_module=["readline.so"]), "is no name of a module"),
    ],
)
def test_a_row_that_is_not_right_is_refused_with_its_place(
    spoil: Callable[[dict[str, Any]], None], problem: str
) -> None:
    table = copy.deepcopy(read_table("quirks"))
    spoil(table["quirks"][0])
    with pytest.raises(SnapshotError, match=r"damaged: quirks\.json: quirks 1: ") as refused:
        quirk_table_of(table)
    assert problem in str(refused.value)


def test_an_id_that_is_there_twice_is_refused() -> None:
    rows = read_table("quirks")["quirks"]
    with pytest.raises(SnapshotError, match=r"quirks\.json: pbs-libedit is there twice"):
        quirk_table_of({"quirks": [*rows, rows[0]]})


def test_a_file_without_quirks_is_refused() -> None:
    with pytest.raises(SnapshotError, match=r"quirks\.json: has no rows of 'quirks'"):
        quirk_table_of({"quirks": []})


def test_a_row_becomes_a_quirk_with_its_rule() -> None:
    row = read_table("quirks")["quirks"][0]
    known = known_quirk(row)
    assert (known.quirk.id, known.quirk.source) == (row["id"], row["source"])
    assert known.rule == quirk_rule(row["rule"])
