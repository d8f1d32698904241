"""The two text formats that Prometheus reads, written from values: text 0.0.4 and OpenMetrics 1.0.

This module knows formats and no families; it refuses nothing, because what cannot be a label value does not exist: any
text is escaped. Sources: https://prometheus.io/docs/instrumenting/exposition_formats/ and
https://prometheus.io/docs/specs/om/open_metrics_spec/.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Labels = tuple[str, ...]
Sample = tuple[Labels, float]


class Format(StrEnum):
    """One of the formats; the value is the media type that is answered with it."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Kind(StrEnum):
    """The type of a family."""

    GAUGE = "gauge"
    INFO = "info"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


class Lines(NamedTuple):
    """Rendered samples and how many they are."""

    text: bytes
    number: int


NO_LINES = Lines(b"", 0)
END_OF_OPENMETRICS = b"# EOF\n"


def negotiate(accept: str) -> Format:
    """Return the format that an ``Accept`` header likes best; the plain text one where it names neither."""
    best: tuple[float, Format] | None = None
    for part in accept.split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        given = dict(piece.split("=", 1) for piece in parameters if "=" in piece)
        if media == "application/openmetrics-text" and given.get("version", "1.0.0").strip('"') in {"1.0.0", "0.0.1"}:
            candidate = Format.OPENMETRICS
        elif media in {"text/plain", "text/*", "*/*"}:
            candidate = Format.TEXT
        else:
            continue
        try:
            quality = float(given.get("q", "1"))
        except ValueError:
            quality = 0.0
        if quality > 0 and (best is None or quality > best[0]):
            best = quality, candidate
    return best[1] if best is not None else Format.TEXT


def escape_value(value: str) -> str:
    """Return a label's value as it stands between the quotes: backslash, quote and newline escaped."""
    if "\\" in value or '"' in value or "\n" in value:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return value


def format_number(value: float) -> str:
    """Return a sample's value; whole numbers without a fraction, however large."""
    if isinstance(value, int):
        return str(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def render_header(name: str, kind: Kind, help_text: str, output: Format) -> bytes:
    """Return the HELP and TYPE lines of a family.

    OpenMetrics names a family without its type's suffix (``_info``, ``_total``); the plain format knows no type info.
    """
    text = help_text.replace("\\", "\\\\").replace("\n", "\\n")
    word: str = kind
    if output is Format.OPENMETRICS:
        text = text.replace('"', '\\"')
        if kind is Kind.INFO:
            name = name.removesuffix("_info")
        elif kind is Kind.COUNTER:
            name = name.removesuffix("_total")
        return f"# TYPE {name} {word}\n# HELP {name} {text}\n".encode()
    if kind is Kind.INFO:
        word = Kind.GAUGE
    return f"# HELP {name} {text}\n# TYPE {name} {word}\n".encode()


def render_samples(name: str, labels: Sequence[str], samples: Iterable[Sample]) -> Lines:
    """Return the samples of one family, in the order given; a set of labels that comes twice is written once.

    Both formats write gauges and information alike, so a rendered object serves either.
    """
    unique: dict[Labels, float] = dict(samples)
    if not labels:
        lines = [f"{name} {format_number(value)}\n" for value in unique.values()]
    else:
        starts = [f'{"," if position else ""}{label}="' for position, label in enumerate(labels)]
        lines = []
        for values, value in unique.items():
            if len(values) != len(starts):
                raise AssertionError(f"{name} has {len(starts)} labels, a sample {len(values)}")
            pairs = "".join([f'{start}{escape_value(text)}"' for start, text in zip(starts, values, strict=True)])
            lines.append(f"{name}{{{pairs}}} {format_number(value)}\n")
    return Lines("".join(lines).encode(), len(lines))


class HistogramValue(NamedTuple):
    """One histogram: how many were observed at most so large, by bound; their sum, and how many there are."""

    buckets: tuple[tuple[float, int], ...]
    total: float
    observed: int


def render_histograms(name: str, labels: Sequence[str], values: Iterable[tuple[Labels, HistogramValue]]) -> Lines:
    """Return the samples of one histogram family, buckets cumulated and with the one without bound.

    Bounds are written with a fraction, as OpenMetrics wants them, so that both formats have the same labels.
    """
    lines: list[str] = []
    for own, value in values:
        pairs = ",".join(f'{label}="{escape_value(text)}"' for label, text in zip(labels, own, strict=True))
        for bound, number in value.buckets:
            lines.append(f'{name}_bucket{{{pairs},le="{float(bound)!r}"}} {number}\n')
        lines.append(f'{name}_bucket{{{pairs},le="+Inf"}} {value.observed}\n')
        lines.append(f"{name}_sum{{{pairs}}} {format_number(value.total)}\n")
        lines.append(f"{name}_count{{{pairs}}} {value.observed}\n")
    return Lines("".join(lines).encode(), len(lines))
