"""docs/portability.md and the JSON of check, fleet glibc and fleet matrix: the same keys, words and exit codes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
import jsonschema
import pytest

from libcensus.cli.answers import PlaceKind
from libcensus.cli.document import portability_schemas
from libcensus.cli.help import plain_help
from libcensus.cli.main import libcensus
from libcensus.collector.posture.verdict import PortabilityState, ReasonKind
from libcensus.facts.vocabulary import ArtefactKind, Implementation, LibcFamily, Provider
from tests.cli.test_verdicts_document import keys

if TYPE_CHECKING:
    from enum import StrEnum

PAGE = (Path(__file__).parents[2] / "docs/portability.md").read_text()

PARTS = {
    "check": ("## JSON\n", "## The fleet as a whole\n"),
    "fleet glibc": ("## The fleet as a whole\n", "`libcensus fleet matrix` holds"),
    "fleet matrix": ("`libcensus fleet matrix` holds", ""),
}


def between(start: str, end: str) -> str:
    """Return the page from one text to another."""
    return PAGE.partition(start)[2].partition(end)[0] if end else PAGE.partition(start)[2]


def first_column(text: str) -> list[str]:
    return re.findall(r"^\| `?([a-z0-9_-]+)`? \|", text, re.MULTILINE)


@pytest.mark.parametrize("name", PARTS)
def test_schemas_are_schemas(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(portability_schemas()[name])


@pytest.mark.parametrize("name", PARTS)
def test_page_and_schema_name_the_same_keys(name: str) -> None:
    rows = re.findall(r"^\| `([a-z0-9_.\[\]]+)` \| (.*?) \| (.*?) \|$", between(*PARTS[name]), re.MULTILINE)
    assert {key: meaning for key, _, meaning in rows} == {
        key: node["description"] for key, node in keys(portability_schemas()[name]).items()
    }


WORDS: list[tuple[str, str, type[StrEnum]]] = [
    ("check", "[].kind", ArtefactKind),
    ("check", "[].place", PlaceKind),
    ("check", "[].verdict", PortabilityState),
    ("check", "[].reasons[].kind", ReasonKind),
    ("check", "[].degraded[].kind", ReasonKind),
    ("fleet glibc", "libcs[].family", LibcFamily),
    ("fleet matrix", "builds[].implementation", Implementation),
    ("fleet matrix", "builds[].provider", Provider),
    ("fleet matrix", "cells[].verdict", PortabilityState),
    ("fleet matrix", "cells[].reasons[].kind", ReasonKind),
]


@pytest.mark.parametrize(("name", "key", "words"), WORDS, ids=[f"{name} {key}" for name, key, _ in WORDS])
def test_schemas_know_every_word(name: str, key: str, words: type[StrEnum]) -> None:
    assert keys(portability_schemas()[name])[key]["enum"] == [str(word) for word in words]


def test_the_page_tells_every_verdict_and_every_reason_in_order() -> None:
    verdicts = between("## Verdicts\n", "What only a part lacks")
    assert first_column(verdicts)[1:] == [str(state) for state in PortabilityState]
    reasons = between("Reasons are in this order", "### Wheels")
    assert first_column(reasons)[1:] == [str(kind) for kind in ReasonKind]


def test_the_page_tells_every_exit_code_that_the_help_tells() -> None:
    command = libcensus.commands["check"]
    text = plain_help(command, click.Context(command, info_name="check")).partition("Exit codes:")[2]
    told = {int(code): words for code, words in re.findall(r"^ +(\d+) +(\S.*)$", text, re.MULTILINE)}
    page = between("## Exit codes\n", "- `--require")
    rows = {int(code): words for code, words in re.findall(r"^\| (\d+) \| (.*) \|$", page, re.MULTILINE)}
    assert set(rows) == set(told)
    assert rows[0].replace("`", "") == told[0]
    assert rows[1].replace("`", "") == told[1]


@pytest.mark.parametrize(
    "option",
    [
        *("--against", "--arch", "--require", "--strict", "--explain", "--selector", "--collector", "--advisories-dir"),
        *("--identity", "--ca", "--certificate", "--key"),
    ],
)
def test_the_page_tells_every_option(option: str) -> None:
    known = {name for parameter in libcensus.commands["check"].params for name in parameter.opts}
    assert option in known
    assert f"`{option}" in PAGE


def test_the_test_above_forgets_no_option() -> None:
    known = {name for parameter in libcensus.commands["check"].params for name in parameter.opts if name[:2] == "--"}
    assert known == {
        *("--against", "--arch", "--require", "--strict", "--explain", "--collector", "--output"),
        *("--selector", "--advisories-dir", "--identity", "--ca", "--certificate", "--key"),
    }
