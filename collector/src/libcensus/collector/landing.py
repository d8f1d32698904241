"""The page that a person sees who opens the collector in a browser: what it is, how it is, and what is where.

One small page without scripts, and without anything that a browser would have to fetch from elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from libcensus.collector.metrics.view import Detail

if TYPE_CHECKING:
    from collections.abc import Iterable

    from libcensus.collector.metrics.exporter import Glance
    from libcensus.collector.metrics.shard import Shard

_LEVELS = {
    Detail.FLEET: "fleet: the fleet as a whole",
    Detail.HOST: "host: the fleet, and each host",
    Detail.INSTALL: "install: the fleet, each host, and each install",
}

_SHELL = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>libcensus collector</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.5rem; margin-bottom: 0.5rem; }}
h2 {{ font-size: 1.1rem; margin: 1.5rem 0 0.25rem; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; vertical-align: top; padding: 0.35rem 0.75rem 0.35rem 0; border-top: 1px solid #8886; }}
th {{ width: 11rem; font-weight: 600; }}
.state {{ display: inline-block; padding: 0.1rem 0.6rem; border-radius: 0.3rem; color: #fff; }}
.well {{ background: #1a7f37; }}
.ill {{ background: #b42318; }}
footer {{ margin-top: 1.5rem; font-size: 0.875rem; opacity: 0.75; }}
</style>
</head>
<body>
<h1>libcensus collector {version}</h1>
<p><span class="state {mood}">{health}</span></p>
<h2>Pages</h2>
<table>
{pages}
</table>
<h2>What it tells</h2>
<table>
{figures}
</table>
<footer>Numbers are those of the last scrape. Agents and operators speak gRPC on {grpc}{enrollment}.</footer>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Landing:
    """All that the page tells; ``glance`` is absent before the first scrape, ``enrollment`` empty without a CA."""

    version: str
    is_serving: bool
    reason: str
    detail: Detail
    shard: Shard
    series_limit: int
    glance: Glance | None
    grpc: str
    enrollment: str
    has_roots: bool


def landing_page(told: Landing) -> bytes:
    """Return the page as HTML."""
    enrollment = f", enrollment is on {told.enrollment}" if told.enrollment else ""
    return _SHELL.format(
        version=escape(told.version),
        mood="well" if told.is_serving else "ill",
        health="takes reports" if told.is_serving else f"takes no reports: {escape(told.reason)}",
        pages="\n".join(_row(f'<a href="{path}">{path}</a>', text) for path, text in _pages(told)),
        figures="\n".join(_row(name, escape(text)) for name, text in _figures(told)),
        grpc=escape(told.grpc),
        enrollment=escape(enrollment),
    ).encode()


def _row(head: str, text: str) -> str:
    return f"<tr><th>{head}</th><td>{text}</td></tr>"


def _pages(told: Landing) -> Iterable[tuple[str, str]]:
    yield "/metrics", "The fleet and this collector, for Prometheus: plain text, or OpenMetrics for who asks for it."
    yield "/healthz", "200 while reports can be taken, 503 with the reason while they cannot. Needs no password."
    if told.has_roots:
        yield "/ca.pem", "Roots that hosts are to trust; compare their fingerprint before you do. Needs no password."


def _figures(told: Landing) -> Iterable[tuple[str, str]]:
    shard, glance = told.shard, told.glance
    yield "Detail level", _LEVELS[told.detail]
    if shard.count == 1:
        yield "Shard", "1/1: all hosts are told here"
    else:
        yield "Shard", f"{shard}: one of {shard.count} parts of the hosts, and the fleet as a whole"
    if glance is None:
        yield "Hosts", "not known before the first scrape"
        return
    of_here = "" if shard.count == 1 or told.detail is Detail.FLEET else f", {glance.shown_hosts:,} of them told here"
    yield "Hosts", f"{glance.hosts:,}{of_here}"
    levels = ", ".join(f"{glance.series.get(detail, 0):,} of level {detail}" for detail in Detail)
    total = sum(glance.series.values())
    limit = "above the limit of" if total > told.series_limit else "the limit is"
    yield "Series", f"{total:,} ({levels}); {limit} {told.series_limit:,}"
    yield "Advisories", f"as of {glance.facts_day.isoformat()}"
