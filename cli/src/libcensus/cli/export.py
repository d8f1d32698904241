"""``libcensus export``: the fleet's components and findings for other programs, and a page for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from libcensus.cli.errors import ArgumentError
from libcensus.cli.help import Command
from libcensus.cli.options import collector_option, day_option, selector_option, teach
from libcensus.cli.selection import tell_nothing_chosen, warn_unknown_keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import date, datetime

    from libcensus.cli.client import FleetClient
    from libcensus.cli.config import CollectorAddress
    from libcensus.cli.exports.part import HostParts
    from libcensus.cli.terminal import Progress
    from libcensus.collector.service.fleet_codec import HostDetail

EXIT_PARTIAL = 6
FORMATS = ("json", "csv", "sarif", "cyclonedx", "html")
STATUSES = ("affected", "under_investigation", "fixed", "not_affected")

_OPEN = STATUSES[:2]


@click.command(
    "export",
    cls=Command,
    short_help="Write the fleet for other programs, or as a page for people.",
    epilog=teach(
        "libcensus export --format html --output fleet.html",
        "libcensus export --format html --since 2026-06-01 -l env=prod --output prod.html",
        "libcensus export --format html --host web-1 --output web-1.html",
        "libcensus export --format cyclonedx --output fleet.cdx.json",
        "libcensus export --format csv -l env=prod",
        "libcensus export --format csv --host web-1 --host web-2",
        "libcensus export --format sarif --output libcensus.sarif",
        "libcensus export --format json --status affected | jq '.hosts[].components[].findings[].advisory'",
        codes=(0, 2, 3, 4, 5, 6, 70),
        words={6: "partial: a host could not be read, and is left out"},
    ),
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    required=True,
    help="json: everything with evidence; csv: a row per finding; sarif: 2.1.0; cyclonedx: 1.6 with VEX; html: a page "
    "for people, with tables and plots.",
)
@click.option("--host", "names", multiple=True, metavar="NAME", help="Only this host, by name or id (repeatable).")
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice(STATUSES),
    help="Only findings with this status (repeatable).  [default: all; for sarif affected and under_investigation]",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True),
    default="-",
    metavar="FILE",
    help="Write to this file, which is there when it is complete; - is standard output.  [default: -]",
)
@day_option("--since", "Show on the fleet's page (html) also how its findings went since this day; takes longer.")
@selector_option
@collector_option
def export_command(
    kind: str,
    names: tuple[str, ...],
    statuses: tuple[str, ...],
    output: str,
    since: date | None,
    selector: str | None,
    collector: CollectorAddress,
) -> int:
    """Write every component of the fleet, or of some hosts, with its findings; or a page that answers what people ask.

    Components are the interpreters, the crypto libraries that they use, further copies of those, and the C libraries.
    Hosts come in the order of their names; what a format holds is told in docs/export.md. With --host and --selector
    together a host must be both named and chosen. The page (html) is one file that loads nothing: of the fleet, or
    of the hosts that --host names, with their evidence.
    """
    from contextlib import closing  # noqa: PLC0415 - `--help` must not pay for gRPC
    from datetime import UTC, datetime  # noqa: PLC0415

    from libcensus.cli.client import FleetClient  # noqa: PLC0415
    from libcensus.cli.exports.source import listed_details, named_details, parts_of_detail  # noqa: PLC0415
    from libcensus.cli.exports.target import write_texts  # noqa: PLC0415
    from libcensus.cli.terminal import Progress, say  # noqa: PLC0415
    from libcensus.collector.posture.finding import VexStatus  # noqa: PLC0415

    wanted = frozenset(map(VexStatus, statuses or (_OPEN if kind == "sarif" else STATUSES)))
    left_out: list[str] = []

    def leave_out(name: str, reason: str) -> None:
        left_out.append(name)
        say(f"libcensus: error: host {name} is left out: {reason}")

    if kind == "html" and statuses:
        raise ArgumentError(
            "--status chooses findings for other programs; the page tells those that are open: leave it out"
        )
    if since is not None and (kind != "html" or names):
        raise ArgumentError("--since is for the page of a fleet: give it with --format html, and without --host")
    progress = Progress()
    now = datetime.now(UTC)
    with FleetClient(collector) as client, closing(progress):
        if kind == "html" and not names:
            write_texts(_fleet_page(client, selector or "", now, since, progress), output)
            return 0
        details: Iterable[HostDetail]
        if names and selector is None:
            details = named_details(client, names)
        else:
            page = client.hosts(selector or "")
            warn_unknown_keys(page.unknown_keys)
            listed = [host for host in page.hosts if not names or {host.host_id, host.name} & set(names)]
            if selector is not None and not listed:
                say(f"libcensus: warning: {tell_nothing_chosen(selector, page.unknown_keys)}")
            details = listed_details(client, listed, leave_out, progress)
        hosts = (parts_of_detail(detail, wanted) for detail in details)
        texts = _hosts_page(details, now) if kind == "html" else _texts(kind, hosts, now)
        write_texts(texts, output)
    return EXIT_PARTIAL if left_out else 0


def _fleet_page(
    client: FleetClient, selector: str, now: datetime, since: date | None, progress: Progress
) -> Iterator[str]:
    """Yield the page of the hosts that a selector chooses, once somebody can take it."""
    from importlib.metadata import version  # noqa: PLC0415

    from libcensus.cli.exports.page.figures import ask_fleet  # noqa: PLC0415
    from libcensus.cli.exports.page.frame import fleet_page  # noqa: PLC0415

    hosts = client.hosts(selector)
    warn_unknown_keys(hosts.unknown_keys)
    yield fleet_page(ask_fleet(client, hosts, selector, now, progress, since), version("libcensus"))


def _hosts_page(details: Iterable[HostDetail], now: datetime) -> Iterator[str]:
    from importlib.metadata import version  # noqa: PLC0415

    from libcensus.cli.assessed import assessed_from_detail  # noqa: PLC0415
    from libcensus.cli.exports.page.frame import hosts_page  # noqa: PLC0415

    yield hosts_page([(one.summary, assessed_from_detail(one)) for one in details], now, version("libcensus"))


def _texts(kind: str, hosts: Iterable[HostParts], now: datetime) -> Iterator[str]:
    """Yield the text in a format; only CycloneDX needs all hosts before it can begin."""
    from importlib.metadata import version  # noqa: PLC0415

    if kind == "csv":
        from libcensus.cli.exports.rows import csv_lines  # noqa: PLC0415

        yield from csv_lines(hosts)
    elif kind == "sarif":
        from libcensus.cli.exports.sarif import sarif_texts  # noqa: PLC0415

        yield from sarif_texts(hosts, version("libcensus"), now)
    elif kind == "cyclonedx":
        from libcensus.cli.exports.cyclonedx import cyclonedx_text  # noqa: PLC0415

        yield cyclonedx_text(hosts, version("libcensus"), now)
    else:
        from libcensus.cli.exports.objects import json_texts  # noqa: PLC0415

        yield from json_texts(hosts, now)
