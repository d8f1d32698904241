"""``libcensus hosts``: every host that has reported, one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from libcensus.cli.help import Command
from libcensus.cli.options import collector_option, output_option, teach

if TYPE_CHECKING:
    from libcensus.cli.config import CollectorAddress


@click.command(
    "hosts",
    cls=Command,
    short_help="List the hosts that have reported.",
    epilog=teach(
        "libcensus hosts",
        "libcensus hosts --collector 127.0.0.1:9444 --output json",
        codes=(0, 2, 3, 4, 5, 70),
    ),
)
@collector_option
@output_option
def hosts_command(collector: CollectorAddress, output: str) -> int:
    """List the hosts that have reported to a collector, with what was found on each in counts."""
    from libcensus.cli.account import HOST_COLUMNS, host_row  # noqa: PLC0415 - `--help` must not pay for gRPC
    from libcensus.cli.client import FleetClient  # noqa: PLC0415
    from libcensus.cli.document import summary_object  # noqa: PLC0415
    from libcensus.cli.terminal import Output  # noqa: PLC0415

    with FleetClient(collector) as client:
        hosts = client.list_hosts()
    out = Output()
    if output == "json":
        out.json([summary_object(host) for host in hosts])
    elif hosts:
        out.table(HOST_COLUMNS, [host_row(host) for host in hosts])
    else:
        out.line(f"No host has reported to {collector.address} yet: run `libcensus-agent report` on one.")
    return 0
