"""Documents of measured speed: what is taken, and the words for what is not."""

from __future__ import annotations

import hashlib
import json
import math
from contextlib import suppress
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.cli.speed_workload import VERSION
from libcensus.collector.posture.speed import fleet_ratios
from libcensus.collector.speeds.document import LARGEST, WORKLOADS, SpeedFormatError, read_speed
from tests.collector.speeds.documents import PBS, content, document, interpreter


def test_a_document_is_read() -> None:
    run = read_speed(content(interpreter(), interpreter("/opt/pbs/bin/python3", PBS, "pbs", times=(0.005,) * 8)))
    assert (run.machine, run.workload, run.baseline) == ("build-1", "0", "/usr/bin/python3.12")
    assert run.measured_at == datetime(2026, 11, 30, 19, 30, tzinfo=UTC)
    assert [one.provider for one in run.interpreters] == ["distro", "pbs"]
    assert run.interpreters[1].samples == {"objects": (0.005,) * 8, "text": (0.01,) * 8}


def test_what_is_not_known_may_be_absent_and_later_keys_are_passed_over() -> None:
    run = read_speed(content(interpreter(version=None, arch=None, future={"x": 1}), future=[1]))
    assert (run.interpreters[0].version, run.interpreters[0].arch) == (None, None)


def test_the_published_workload_is_the_one_that_the_command_runs() -> None:
    source = files("libcensus.cli").joinpath("speed_workload.py").read_bytes()
    assert WORKLOADS[VERSION] == hashlib.sha256(source).hexdigest(), (
        "the workload was changed: give it another VERSION, and WORKLOADS one more line"
    )


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in interpreter().items() if name != key}


WRONG: list[tuple[str, bytes, str]] = [
    ("empty", b"", "document: is empty"),
    ("no JSON", b"{", "document: is no JSON"),
    ("not UTF-8", b"\xff", "document: is no UTF-8 text"),
    ("a list", b"[]", "document: is not what `libcensus speed"),
    ("another document", content(kind="scan"), "document: is not what `libcensus speed"),
    ("too large", b" " * (LARGEST + 1), "has more than 4 MiB"),
    ("of a later version", content(schema_version=2), "schema_version: is 2; this collector reads 1"),
    ("a key twice", b'{"kind": "speed", "kind": "speed"}', "document"),
    ("no machine", content(machine=""), r"machine\.name: is no text"),
    ("a machine that moves the cursor", content(machine="a\x1b[31m"), r"machine\.name: is no text"),
    ("no time", content(measured_at="yesterday"), "measured_at: is no time"),
    ("a local time", content(measured_at="2026-11-30T19:30:00+01:00"), "measured_at: is no time"),
    ("no rounds", content(rounds=0), "rounds: is no number from 1"),
    ("rounds as a truth", content(rounds=True), "rounds: is no number from 1"),
    ("other rounds", content(rounds=7), "samples is no list with a number for each round"),
    ("no workload", content(workload=None), "workload: is no object"),
    (
        "a changed workload",
        content(workload={"version": VERSION, "digest": "0" * 64, "parts": ["objects", "text"]}),
        f"workload.digest: is not that of workload {VERSION}",
    ),
    (
        "a part called all",
        content(workload={"version": "2", "digest": "0" * 64, "parts": ["all"]}),
        "is no name of a part",
    ),
    (
        "a part twice",
        content(workload={"version": "2", "digest": "0" * 64, "parts": ["text", "text"]}),
        r"workload\.parts: one is there twice",
    ),
    (
        "a part too many",
        content(workload={"version": "2", "digest": "0" * 64, "parts": ["text"]}),
        r"interpreters\[0\]\.parts: has other names",
    ),
    ("no interpreters", content(interpreters=[]), "interpreters: is no list"),
    ("an interpreter that is none", content(interpreters=[1]), r"interpreters\[0\]: is no object"),
    ("one path twice", content(interpreter(), interpreter()), "two have the same path"),
    ("a baseline from elsewhere", content(baseline="/elsewhere"), "baseline: is the path of none"),
    ("no build", content(without("build")), r"interpreters\[0\]\.build: 'None' is none"),
    ("a build that is no digest", content(interpreter(build="abc")), r"interpreters\[0\]\.build"),
    ("a provider in capitals", content(interpreter(provider="PBS")), r"interpreters\[0\]\.provider"),
    ("a version that is none", content(interpreter(version="new")), r"interpreters\[0\]\.version"),
    ("a language that is none", content(interpreter(language="3")), r"interpreters\[0\]\.language"),
    ("no parts", content(interpreter(parts=None)), r"interpreters\[0\]\.parts: is no list"),
    ("a time of nothing", content(interpreter(times=(0.0,) * 8)), "no time from a nanosecond to a day"),
    ("a time before the start", content(interpreter(times=(-1.0,) * 8)), "no time from a nanosecond to a day"),
    ("a time shorter than any", content(interpreter(times=(5e-324,) * 8)), "no time from a nanosecond to a day"),
    ("a time in words", content(interpreter(parts=[{"name": "text", "samples": ["1"] * 8}])), "no time from"),
    ("a time without end", content(interpreter(parts=[{"name": "text", "samples": [10**400] * 8}])), "no time from"),
]


@pytest.mark.parametrize(("data", "words"), [(data, words) for _, data, words in WRONG], ids=[n for n, _, _ in WRONG])
def test_what_is_refused_is_told_with_its_place(data: bytes, words: str) -> None:
    with pytest.raises(SpeedFormatError, match=words):
        read_speed(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.data())
def test_whatever_stands_anywhere_is_taken_or_refused(data: st.DataObject) -> None:
    value = document()
    places: list[tuple[Any, Any]] = []

    def collect(node: Any) -> None:
        for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
            places.append((node, key))
            collect(node[key])

    collect(value)
    node, key = data.draw(st.sampled_from(places))
    node[key] = data.draw(json_values)
    with suppress(SpeedFormatError):
        run = read_speed(json.dumps(value).encode())
        assert all(math.isfinite(one.speed.ratio) for one in fleet_ratios([run]))
