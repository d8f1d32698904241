"""``libcensus export``: the fleet's components and findings for other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from libcensus.cli.help import Command
from libcensus.cli.options import collector_option, selector_option, teach
from libcensus.cli.selection import tell_nothing_chosen, warn_unknown_keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from libcensus.cli.config import CollectorAddress
    from libcensus.cli.exports.part import HostParts

EXIT_PARTIAL = 6
FORMATS = ("json", "csv", "sarif", "cyclonedx")
STATUSES = ("affected", "under_investigation", "fixed", "not_affected")

_OPEN = STATUSES[:2]


@click.command(
    "export",
    cls=Command,
    short_help="Write the fleet's components and findings for other programs.",
    epilog=teach(
        "libcensus export --format cyclonedx --output-file fleet.cdx.json",
        "libcensus export --format csv -l env=prod",
        "libcensus export --format csv --host web-1 --host web-2",
        "libcensus export --format sarif --output-file libcensus.sarif",
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
    help="json: everything with evidence; csv: a row per finding; sarif: 2.1.0; cyclonedx: 1.6 with VEX.",
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
    "--output-file",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write to this file, which is there when it is complete.  [default: standard output]",
)
@selector_option
@collector_option
def export_command(
    kind: str,
    names: tuple[str, ...],
    statuses: tuple[str, ...],
    output_file: str | None,
    selector: str | None,
    collector: CollectorAddress,
) -> int:
    """Write every component of the fleet, or of some hosts, with its findings.

    Components are the interpreters, the crypto libraries that they use, further copies of those, and the C libraries.
    Hosts come in the order of their names; what a format holds is told in docs/export.md. With --host and --selector
    together a host must be both named and chosen.
    """
    from contextlib import closing  # noqa: PLC0415 - `--help` must not pay for gRPC
    from datetime import UTC, datetime  # noqa: PLC0415

    from libcensus.cli.client import FleetClient  # noqa: PLC0415
    from libcensus.cli.exports.source import listed_hosts, named_hosts  # noqa: PLC0415
    from libcensus.cli.exports.target import write_texts  # noqa: PLC0415
    from libcensus.cli.terminal import Progress, say  # noqa: PLC0415
    from libcensus.collector.posture.finding import VexStatus  # noqa: PLC0415

    wanted = frozenset(map(VexStatus, statuses or (_OPEN if kind == "sarif" else STATUSES)))
    left_out: list[str] = []

    def leave_out(name: str, reason: str) -> None:
        left_out.append(name)
        say(f"libcensus: error: host {name} is left out: {reason}")

    progress = Progress()
    with FleetClient(collector) as client, closing(progress):
        hosts: Iterable[HostParts]
        if names and selector is None:
            hosts = named_hosts(client, names, wanted)
        else:
            page = client.hosts(selector or "")
            warn_unknown_keys(page.unknown_keys)
            listed = [host for host in page.hosts if not names or {host.host_id, host.name} & set(names)]
            if selector is not None and not listed:
                say(f"libcensus: warning: {tell_nothing_chosen(selector, page.unknown_keys)}")
            hosts = listed_hosts(client, listed, wanted, leave_out, progress)
        write_texts(_texts(kind, hosts, datetime.now(UTC)), output_file)
    return EXIT_PARTIAL if left_out else 0


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
