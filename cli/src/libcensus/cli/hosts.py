"""``libcensus hosts``: every host that has reported, one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from libcensus.cli.help import Command
from libcensus.cli.options import collector_option, output_option, selector_option, teach

if TYPE_CHECKING:
    from libcensus.cli.config import CollectorAddress


@click.command(
    "hosts",
    cls=Command,
    short_help="List the hosts that have reported.",
    epilog=teach(
        "libcensus hosts",
        "libcensus hosts -l env=prod,team!=web",
        "libcensus hosts --collector 127.0.0.1:9444 --output json",
        codes=(0, 2, 3, 4, 5, 70),
    ),
)
@selector_option
@collector_option
@output_option
def hosts_command(selector: str | None, collector: CollectorAddress, output: str) -> int:
    """List the hosts that have reported to a collector, with what was found on each in counts."""
    from libcensus.cli.account import host_columns, host_row  # noqa: PLC0415 - `--help` must not pay for gRPC
    from libcensus.cli.client import FleetClient  # noqa: PLC0415
    from libcensus.cli.document import summary_object  # noqa: PLC0415
    from libcensus.cli.terminal import Output  # noqa: PLC0415

    with FleetClient(collector) as client:
        hosts = client.list_hosts(selector or "")
    out = Output()
    if output == "json":
        out.json([summary_object(host) for host in hosts])
    elif hosts:
        columns = host_columns(hosts)
        out.table(columns, [host_row(host)[: len(columns)] for host in hosts])
    elif selector:
        out.line(f"No host has labels that {selector} chooses: `libcensus hosts` lists all with theirs.")
    else:
        out.line(f"No host has reported to {collector.address} yet: run `libcensus-agent report` on one.")
    return 0
