"""Reads the documents that ``libcensus speed --output json`` writes: bytes in, one run out; nothing is opened here.

A document is taken whole or not at all. What is told of it is computed from its samples: its own medians and ratios
are for people. Keys that are not known are passed over, for later versions may add some (docs/speed.md).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from libcensus.collector.advisories.feeds.reading import FeedFormatError, parse_json
from libcensus.collector.posture.speed import ALL, MeasuredBuild, SpeedRun

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA_VERSION = 1
"""The version of the format that is read."""

LARGEST = 4 * 1024**2
"""Bytes that a document may have."""

MOST_INTERPRETERS = 64
MOST_ROUNDS = 1000
MOST_PARTS = 32

WORKLOADS: Mapping[str, str] = {
    "1": "596472dbc97c5cc3d14de4c250a76599d565910a734a664c3dfb29684c4e23a3",
}
"""The digest of each workload that was published, by version: with another one, something else was measured."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_WORD = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_VERSION = re.compile(r"[0-9][0-9A-Za-z.+_-]{0,31}")
_LANGUAGE = re.compile(r"[0-9]{1,2}\.[0-9]{1,3}")
_LONGEST_TEXT = 4096
_LONGEST_NAME = 255
_SHORTEST_PASS = 1e-9
_LONGEST_PASS = 86400.0


class SpeedFormatError(ValueError):
    """A document that is not taken; says the place in it, and what is wrong there."""


def read_speed(content: bytes) -> SpeedRun:
    """Return the run of a document's content; raises SpeedFormatError."""
    if len(content) > LARGEST:
        raise SpeedFormatError(f"has more than {LARGEST // 1024**2} MiB, which is the most that is read")
    try:
        document = parse_json(content, "document")
    except FeedFormatError as error:
        raise SpeedFormatError(str(error)) from None
    if not isinstance(document, dict) or document.get("kind") != "speed":
        raise SpeedFormatError('document: is not what `libcensus speed --output json` writes (no "kind": "speed")')
    if document.get("schema_version") != SCHEMA_VERSION:
        raise SpeedFormatError(
            f"schema_version: is {document.get('schema_version')!r}; this collector reads {SCHEMA_VERSION}: upgrade it"
        )
    workload = _table(document, "workload")
    parts = _parts(workload)
    rounds = document.get("rounds")
    if isinstance(rounds, bool) or not isinstance(rounds, int) or not 1 <= rounds <= MOST_ROUNDS:
        raise SpeedFormatError(f"rounds: is no number from 1 to {MOST_ROUNDS}")
    listed = document.get("interpreters")
    if not isinstance(listed, list) or not 1 <= len(listed) <= MOST_INTERPRETERS:
        raise SpeedFormatError(f"interpreters: is no list of 1 to {MOST_INTERPRETERS}")
    interpreters = tuple(_interpreter(one, f"interpreters[{at}]", parts, rounds) for at, one in enumerate(listed))
    paths = [one.path for one in interpreters]
    baseline = _text(document, "baseline", "", _LONGEST_TEXT)
    if len(set(paths)) != len(paths):
        raise SpeedFormatError("interpreters: two have the same path")
    if baseline not in paths:
        raise SpeedFormatError("baseline: is the path of none of the interpreters")
    return SpeedRun(
        machine=_text(_table(document, "machine"), "name", "machine.", _LONGEST_NAME),
        workload=_workload_version(workload),
        measured_at=_moment(document),
        baseline=baseline,
        parts=parts,
        interpreters=interpreters,
    )


def _table(document: dict[str, Any], name: str, place: str = "") -> dict[str, Any]:
    value = document.get(name)
    if not isinstance(value, dict):
        raise SpeedFormatError(f"{place}{name}: is no object")
    return value


def _text(table: dict[str, Any], name: str, place: str, longest: int) -> str:
    value = table.get(name)
    if not isinstance(value, str) or not value.strip() or len(value) > longest or not value.isprintable():
        raise SpeedFormatError(f"{place}{name}: is no text of 1 to {longest} printable characters")
    return value


def _like(table: dict[str, Any], name: str, place: str, pattern: re.Pattern[str]) -> str:
    value = table.get(name)
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise SpeedFormatError(f"{place}{name}: {str(value)[:80]!r} is none (wanted is {pattern.pattern})")
    return value


def _optional(table: dict[str, Any], name: str, place: str, pattern: re.Pattern[str]) -> str | None:
    return None if table.get(name) is None else _like(table, name, place, pattern)


def _moment(document: dict[str, Any]) -> datetime:
    text = document.get("measured_at")
    try:
        moment = datetime.strptime(str(text), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise SpeedFormatError("measured_at: is no time such as 2026-11-30T19:30:00Z") from None
    return moment


def _parts(workload: dict[str, Any]) -> tuple[str, ...]:
    listed = workload.get("parts")
    if not isinstance(listed, list) or not 1 <= len(listed) <= MOST_PARTS:
        raise SpeedFormatError(f"workload.parts: is no list of 1 to {MOST_PARTS} names")
    for name in listed:
        if not isinstance(name, str) or _WORD.fullmatch(name) is None or name == ALL:
            raise SpeedFormatError(f"workload.parts: {str(name)[:80]!r} is no name of a part")
    if len(set(listed)) != len(listed):
        raise SpeedFormatError("workload.parts: one is there twice")
    return tuple(listed)


def _workload_version(workload: dict[str, Any]) -> str:
    version = _like(workload, "version", "workload.", _VERSION)
    digest = _like(workload, "digest", "workload.", _DIGEST)
    if WORKLOADS.get(version, digest) != digest:
        raise SpeedFormatError(
            f"workload.digest: is not that of workload {version}: something else was measured; measure again with an "
            "unchanged libcensus"
        )
    return version


def _interpreter(value: Any, place: str, parts: tuple[str, ...], rounds: int) -> MeasuredBuild:
    if not isinstance(value, dict):
        raise SpeedFormatError(f"{place}: is no object")
    inside = f"{place}."
    return MeasuredBuild(
        path=_text(value, "path", inside, _LONGEST_TEXT),
        build=_like(value, "build", inside, _DIGEST),
        implementation=_like(value, "implementation", inside, _WORD),
        version=_optional(value, "version", inside, _VERSION),
        provider=_like(value, "provider", inside, _WORD),
        arch=_optional(value, "arch", inside, _WORD),
        language=_like(value, "language", inside, _LANGUAGE),
        samples=_samples(value, place, parts, rounds),
    )


def _samples(value: dict[str, Any], place: str, parts: tuple[str, ...], rounds: int) -> dict[str, tuple[float, ...]]:
    listed = value.get("parts")
    if not isinstance(listed, list):
        raise SpeedFormatError(f"{place}.parts: is no list")
    found: dict[str, tuple[float, ...]] = {}
    for one in listed:
        if not isinstance(one, dict) or not isinstance(name := one.get("name"), str) or name in found:
            raise SpeedFormatError(f"{place}.parts: is no list of objects, each with a name of its own")
        samples = one.get("samples")
        if not isinstance(samples, list) or len(samples) != rounds:
            raise SpeedFormatError(f"{place}.parts {name[:80]}: samples is no list with a number for each round")
        if not all(_is_time(sample) for sample in samples):
            raise SpeedFormatError(
                f"{place}.parts {name[:80]}: samples holds what is no time from a nanosecond to a day, in seconds"
            )
        found[name] = tuple(float(sample) for sample in samples)
    if found.keys() != set(parts):
        raise SpeedFormatError(f"{place}.parts: has other names than workload.parts")
    return {name: found[name] for name in parts}


def _is_time(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and _SHORTEST_PASS <= value <= _LONGEST_PASS
