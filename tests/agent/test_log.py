"""Log lines: three forms, and no name that was found can forge one."""

from __future__ import annotations

import io
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.agent.log import FORMATS, escape_control, start_logging

LOG = logging.getLogger("libcensus.agent.something")


def written(form: str, level: str = "debug", *, failing: bool = False) -> str:
    stream = io.StringIO()
    start_logging(level, form, stream)
    if failing:
        try:
            int("a\nb")
        except ValueError:
            LOG.exception("found %s", "name\n<0>forged")
    else:
        LOG.info("found %s", "name\n<0>forged")
    return stream.getvalue()


@pytest.mark.parametrize("form", FORMATS)
def test_a_message_is_one_line(form: str) -> None:
    assert written(form).count("\n") == 1


def test_text_has_time_level_and_message() -> None:
    moment, level, message = written("text").split(" ", 2)
    assert moment.endswith("Z")
    assert (level, message) == ("info", "found name\\n<0>forged\n")


def test_json_has_its_keys_and_the_message_unchanged() -> None:
    entry = json.loads(written("json"))
    assert set(entry) == {"time", "level", "logger", "message"}
    assert (entry["level"], entry["logger"]) == ("info", LOG.name)
    assert entry["message"] == "found name\n<0>forged"


def test_the_journal_gets_the_priority_in_front_of_every_line() -> None:
    assert written("journal") == "<6>found name\\n<0>forged\n"
    lines = written("journal", failing=True).splitlines()
    assert len(lines) > 2
    assert all(line.startswith("<3>") for line in lines)


def test_a_traceback_is_kept_apart_in_json_and_on_its_own_lines_in_text() -> None:
    assert "ValueError" in json.loads(written("json", failing=True))["traceback"]
    assert "ValueError" in written("text", failing=True)


@pytest.mark.parametrize(("level", "shown"), [("debug", True), ("info", True), ("warning", False), ("error", False)])
def test_the_level_decides(level: str, shown: bool) -> None:
    assert bool(written("text", level)) is shown


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("level", ["info", "error"])
def test_without_debug_an_error_is_one_line_without_traceback(form: str, level: str) -> None:
    text = written(form, level, failing=True)
    assert text.count("\n") == 1
    assert "Traceback" not in text
    assert "forged: ValueError: invalid literal" in text


@given(text=st.text())
def test_escaped_text_is_printable_and_printable_text_is_unchanged(text: str) -> None:
    escaped = escape_control(text)
    assert escaped.isprintable()
    assert escaped.encode().decode() == escaped
    if text.isprintable():
        assert escaped == text


def test_escapes_and_unpaired_surrogates_are_shown() -> None:
    assert escape_control("a\x1b[31m\udcff\u202e") == "a\\x1b[31m\\udcff\\u202e"
