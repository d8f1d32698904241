"""The JSON of verdicts: valid by its schema, and described key by key."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from libcensus.cli.document import verdicts_schema
from libcensus.collector.posture.finding import Component, Severity, SubjectKind, SupportState, VexStatus
from libcensus.collector.posture.staleness import StalenessKind, StaleSubjectKind
from libcensus.collector.posture.verdict import PortabilityState
from libcensus.facts.vocabulary import EvidenceKind, Linkage

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import StrEnum

    from libcensus.collector.app import Collector
    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

PAGE = Path(__file__).parents[2] / "docs/verdicts-json.md"


def keys(node: dict[str, Any], prefix: str = "") -> dict[str, dict[str, Any]]:
    """Return every documented key of the schema by its dotted name."""
    found: dict[str, dict[str, Any]] = {}
    for below, children in (
        (prefix, node.get("properties", {})),
        (f"{prefix}[]", node.get("items", {}).get("properties", {})),
    ):
        for name, child in children.items():
            dotted = f"{below}.{name}" if below else name
            found[dotted] = child
            found |= keys(child, dotted)
    return found


def test_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(verdicts_schema())


def test_page_and_schema_name_the_same_keys() -> None:
    rows = re.findall(r"^\| `([a-z0-9_.\[\]]+)` \| (.*?) \| (.*?) \|$", PAGE.read_text(), re.MULTILINE)
    assert {name: meaning for name, _, meaning in rows} == {
        name: node["description"] for name, node in keys(verdicts_schema()).items()
    }


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("findings[].subject.kind", SubjectKind),
        ("findings[].linkage", Linkage),
        ("findings[].severity", Severity),
        ("findings[].status", VexStatus),
        ("findings[].evidence[].kind", EvidenceKind),
        ("end_of_life[].component", Component),
        ("end_of_life[].state", SupportState),
        ("staleness[].kind", StalenessKind),
        ("staleness[].subject.kind", StaleSubjectKind),
        ("staleness[].concerns[].kind", SubjectKind),
        ("staleness[].evidence[].kind", EvidenceKind),
        ("verdicts[].verdict", PortabilityState),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_schema_knows_every_word(key: str, words: type[StrEnum]) -> None:
    assert {word for word in keys(verdicts_schema())[key]["enum"] if word is not None} == {str(word) for word in words}


def test_what_a_collector_tells_of_a_host_is_valid_and_not_empty(run: Run, collector: Collector) -> None:
    told = run("show", "web-1", "--collector", collector.grpc_address, "--output", "json")
    assert told.code == 0, told.err
    document = json.loads(told.out)
    jsonschema.validate(document, verdicts_schema())
    assert document["findings"]
    assert document["verdicts"]
    assert document["staleness"]
    assert all(end["evidence"] for end in document["end_of_life"])
    places = {(install["root"], install["path"]) for install in document["installs"]}
    assert {(quirk["subject"]["root"], quirk["subject"]["path"]) for quirk in document["quirks"]} <= places
    assert "pbs-libedit" in {quirk["quirk"] for quirk in document["quirks"]}
