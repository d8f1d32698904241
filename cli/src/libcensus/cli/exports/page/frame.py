"""The page around its parts: head, policy, style, navigation, and what it is about."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from libcensus.cli.exports.objects import moment
from libcensus.cli.exports.page.host import host
from libcensus.cli.exports.page.markup import Markup, command, counted, paragraph, tag
from libcensus.cli.exports.page.overview import glance, overview
from libcensus.cli.exports.page.portability import portability
from libcensus.cli.exports.page.providers import providers
from libcensus.cli.exports.page.security import security

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from libcensus.cli.assessed import Assessed
    from libcensus.cli.exports.page.figures import FleetFigures
    from libcensus.collector.service.fleet_codec import HostSummary

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
"""What the page may load: nothing. A browser holds it to that, whatever a host's name managed to smuggle in."""


def fleet_page(figures: FleetFigures, version: str) -> str:
    """Return the page of a fleet."""
    chosen = f" that {figures.selector} chooses" if figures.selector else ""
    posture = figures.posture
    about = (
        f"{counted(len(figures.hosts), 'host')}{chosen}, as of {moment(figures.now)}; verdicts of "
        f"{posture.day.isoformat()} with advisories of {posture.advisories_day.isoformat()}."
    )
    if not figures.hosts:
        told = (
            f"No host has labels that {figures.selector} chooses." if figures.selector else "No host has reported yet."
        )
        return _page("libcensus: fleet", "The fleet", about, (), [paragraph(told, class_="lead")], version)
    parts = (
        ("fleet", "Fleet"),
        ("portability", "Portability"),
        ("security", "Security posture"),
        ("providers", "Providers"),
    )
    title = f"The fleet: {figures.selector}" if figures.selector else "The fleet"
    content = [glance(figures), overview(figures), portability(figures), security(figures), providers(figures)]
    more = paragraph(
        "One host with its evidence: ",
        command("export", "--format", "html", "--host", "NAME", "--output", "host.html"),
        "; everything for other programs: ",
        command(*figures.words("export", "--format", "json")),
        ".",
        class_="rest",
    )
    return _page(f"libcensus: {title}", title, about, parts, [*content, more], version)


def hosts_page(hosts: Sequence[tuple[HostSummary, Assessed]], now: datetime, version: str) -> str:
    """Return the page of some hosts, each with its evidence."""
    names = ", ".join(summary.name for summary, _ in hosts[:3]) + (", …" if len(hosts) > 3 else "")
    parts = [(f"host-{summary.host_id}", summary.name) for summary, _ in hosts] if len(hosts) > 1 else []
    about = f"{counted(len(hosts), 'host')}, as of {moment(now)}."
    is_alone = len(hosts) == 1
    title = names if is_alone else counted(len(hosts), "host")
    content = [host(summary, assessed, now, is_alone=is_alone) for summary, assessed in hosts]
    return _page(f"libcensus: {names}", title, about, parts, content, version)


def _page(
    title: str, heading: str, about: str, parts: Sequence[tuple[str, str]], content: Sequence[Markup], version: str
) -> str:
    links = [tag("a", name, href=f"#{target}") for target, name in parts]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="generator", content=f"libcensus {version}"),
        tag("link", rel="icon", href="data:,"),
        tag("title", title),
        tag("style", Markup(files(__package__).joinpath("page.css").read_text("utf-8"))),
    )
    body = tag(
        "body",
        tag(
            "header",
            tag("div", tag("span", "libcensus", class_="brand"), tag("h1", heading), class_="name"),
            paragraph(about, class_="about"),
            tag("nav", *links, aria_label="Parts") if links else Markup(),
        ),
        tag("main", *content),
        tag(
            "footer",
            "A finding is one advisory against one interpreter, library or copy at one place. What cannot be known is "
            f"said as unknown. Made by libcensus {version} from what the collector knows; the page loads nothing.",
        ),
    )
    return f'<!DOCTYPE html>\n<html lang="en">{head}\n{body}</html>\n'
