"""``libcensus show HOST``: what a collector knows of one host, and what follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from libcensus.cli.help import Command
from libcensus.cli.options import collector_option, output_option, teach

if TYPE_CHECKING:
    from libcensus.cli.config import CollectorAddress


@click.command(
    "show",
    cls=Command,
    short_help="Show one host of the fleet.",
    epilog=teach(
        "libcensus show web-1",
        "libcensus show web-1 --findings",
        "libcensus show web-1 --output json | jq '.findings[] | select(.status == \"affected\")'",
        codes=(0, 2, 3, 4, 5, 70),
    ),
)
@click.argument("host")
@collector_option
@output_option
@click.option("--findings", is_flag=True, help="List every open finding and everything stale, with what to do.")
@click.option(
    "--explain", is_flag=True, help="Show which bytes of which file prove each statement, and what each quirk means."
)
def show_command(host: str, collector: CollectorAddress, output: str, *, findings: bool, explain: bool) -> int:
    """Show one host: its interpreters, which OpenSSL each really uses, what each needs, and what is wrong.

    Further tables hold the copies of crypto libraries in environments and products, the tools that bring interpreters,
    processes that still run on what was deleted or replaced, and the roots (containers, chroots) that lie on the host.
    HOST is the display name or the id that `libcensus hosts` shows. The JSON is that of `libcensus scan`, with the
    host's summary as `summary`.
    """
    from datetime import UTC, datetime  # noqa: PLC0415 - `--help` must not pay for gRPC

    from libcensus.cli.account import print_account, print_evidence, print_findings  # noqa: PLC0415
    from libcensus.cli.assessed import assessed_from_detail  # noqa: PLC0415
    from libcensus.cli.client import FleetClient  # noqa: PLC0415
    from libcensus.cli.document import assessed_object, summary_object  # noqa: PLC0415
    from libcensus.cli.stale_tables import print_stale  # noqa: PLC0415
    from libcensus.cli.terminal import Output  # noqa: PLC0415

    with FleetClient(collector) as client:
        detail = client.show_host(host)
    assessed = assessed_from_detail(detail)
    out = Output()
    if output == "json":
        out.json({"summary": summary_object(detail.summary), **assessed_object(assessed)})
        return 0
    print_account(out, detail.summary.name, assessed, datetime.now(UTC).date())
    if findings:
        print_stale(out, assessed.staleness)
        out.line()
        print_findings(out, assessed.findings)
    if explain:
        print_evidence(out, assessed)
    return 0
