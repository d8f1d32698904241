"""The two text formats, as Prometheus' own parsers and its tool read them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from libcensus.collector.metrics.exposition import (
    Format,
    Kind,
    escape_value,
    format_number,
    negotiate,
    render_header,
    render_samples,
)

PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", Format.TEXT),
        ("*/*", Format.TEXT),
        ("text/plain", Format.TEXT),
        ("application/openmetrics-text; version=1.0.0", Format.OPENMETRICS),
        ("application/openmetrics-text", Format.OPENMETRICS),
        ("application/openmetrics-text;version=9.0.0, text/plain", Format.TEXT),
        ("application/openmetrics-text;q=0.2, text/plain;q=0.9", Format.TEXT),
        ("application/openmetrics-text;q=0", Format.TEXT),
        ("application/openmetrics-text;q=oops", Format.TEXT),
        ("text/html,application/xhtml+xml,*/*;q=0.8", Format.TEXT),
        (PROMETHEUS_3, Format.OPENMETRICS),
    ],
    ids=[
        "none",
        "anything",
        "text",
        "openmetrics",
        "openmetrics-any",
        "unknown-version",
        "text-liked-better",
        "refused",
        "broken-quality",
        "browser",
        "prometheus",
    ],
)
def test_the_format_is_the_one_that_is_liked_best(accept: str, expected: Format) -> None:
    assert negotiate(accept) is expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1.0, "1"),
        (0.25, "0.25"),
        (-3.0, "-3"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
        (1763640000.0, "1763640000"),
        (1763640000.123457, "1763640000.123457"),
        (2**63, "9223372036854775808"),
    ],
    ids=str,
)
def test_numbers_are_written_without_loss(value: float, text: str) -> None:
    assert format_number(value) == text


@pytest.mark.parametrize(
    ("kind", "output", "lines"),
    [
        (Kind.GAUGE, Format.TEXT, '# HELP x_info a\\\\b\\n"c"\n# TYPE x_info gauge\n'),
        (Kind.INFO, Format.TEXT, '# HELP x_info a\\\\b\\n"c"\n# TYPE x_info gauge\n'),
        (Kind.INFO, Format.OPENMETRICS, '# TYPE x info\n# HELP x a\\\\b\\n\\"c\\"\n'),
    ],
    ids=["gauge", "info-in-text", "info-in-openmetrics"],
)
def test_headers_name_the_family_as_the_format_does(kind: Kind, output: Format, lines: str) -> None:
    assert render_header("x_info", kind, 'a\\b\n"c"', output) == lines.encode()


def test_a_counter_is_named_without_its_suffix_in_openmetrics_only() -> None:
    assert b"# TYPE x_total counter" in render_header("x_total", Kind.COUNTER, "h", Format.TEXT)
    assert b"# TYPE x counter" in render_header("x_total", Kind.COUNTER, "h", Format.OPENMETRICS)


def test_samples_with_equal_labels_are_written_once() -> None:
    lines = render_samples("x", ("a",), [(("1",), 1), (("1",), 2), (("2",), 3)])
    assert lines == (b'x{a="1"} 2\nx{a="2"} 3\n', 2)


def test_samples_without_labels_have_no_braces() -> None:
    assert render_samples("x", (), [((), 1.5)]) == (b"x 1.5\n", 1)


def test_a_sample_with_the_wrong_number_of_labels_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="x has 2 labels, a sample 1"):
        render_samples("x", ("a", "b"), [(("1",), 1)])


TEXTS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"))


@given(values=st.lists(TEXTS, max_size=6, unique=True), number=st.floats(allow_nan=False))
def test_any_label_value_survives_both_formats(values: list[str], number: float) -> None:
    lines = render_samples("x", ("a", "b"), [((value, "é"), number) for value in values])
    assert lines.number == len(values)
    text = (render_header("x", Kind.GAUGE, "h", Format.TEXT) + lines.text).decode()
    openmetrics = (render_header("x", Kind.GAUGE, "h", Format.OPENMETRICS) + lines.text + b"# EOF\n").decode()
    for families in (parse_text(text), parse_openmetrics(openmetrics)):  # type: ignore[no-untyped-call]
        samples = [sample for family in families for sample in family.samples]
        assert [sample.labels["a"] for sample in samples] == values
        assert all(sample.value == number for sample in samples)


@given(value=TEXTS)
def test_an_escaped_value_stands_on_one_line_and_ends_where_it_should(value: str) -> None:
    escaped = escape_value(value)
    assert "\n" not in escaped
    assert '"' not in escaped.replace("\\\\", "").replace('\\"', "")
