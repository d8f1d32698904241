"""``libcensus show HOST``: what a collector knows of one host, and what follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from libcensus.cli.errors import ArgumentError
from libcensus.cli.help import Command
from libcensus.cli.options import collector_option, output_option, selector_option, teach
from libcensus.cli.selection import tell_nothing_chosen, warn_unknown_keys

if TYPE_CHECKING:
    from libcensus.cli.config import CollectorAddress
    from libcensus.cli.terminal import Output
    from libcensus.collector.service.fleet_codec import HostDetail


@click.command(
    "show",
    cls=Command,
    short_help="Show one host of the fleet.",
    epilog=teach(
        "libcensus show web-1",
        "libcensus show web-1 --findings",
        "libcensus show -l role=build --findings",
        "libcensus show web-1 --output json | jq '.findings[] | select(.status == \"affected\")'",
        codes=(0, 2, 3, 4, 5, 70),
    ),
)
@click.argument("host", required=False)
@selector_option
@collector_option
@output_option
@click.option("--findings", is_flag=True, help="List every open finding and everything stale, with what to do.")
@click.option(
    "--explain", is_flag=True, help="Show which bytes of which file prove each statement, and what each quirk means."
)
def show_command(
    host: str | None, selector: str | None, collector: CollectorAddress, output: str, *, findings: bool, explain: bool
) -> int:
    """Show one host: its interpreters, which OpenSSL each really uses, what each needs, and what is wrong.

    Further tables hold the copies of crypto libraries in environments and products, the tools that bring interpreters,
    processes that still run on what was deleted or replaced, and the roots (containers, chroots) that lie on the host.
    HOST is the display name or the id that `libcensus hosts` shows. The JSON is that of `libcensus scan`, with the
    host's summary as `summary`. With --selector in the place of HOST every chosen host is shown, one after the other;
    the JSON is then a list.
    """
    from libcensus.cli.assessed import assessed_from_detail  # noqa: PLC0415 - `--help` must not pay for gRPC
    from libcensus.cli.client import FleetClient  # noqa: PLC0415
    from libcensus.cli.document import assessed_object, summary_object  # noqa: PLC0415
    from libcensus.cli.terminal import Output  # noqa: PLC0415

    if (host is None) == (selector is None):
        raise ArgumentError("show takes the HOST to show, or --selector in its place")
    out = Output()
    with FleetClient(collector) as client:
        if host is not None:
            details = iter([client.show_host(host)])
        else:
            page = client.hosts(selector or "")
            if page.hosts or output == "json":
                warn_unknown_keys(page.unknown_keys)
            else:
                out.line(tell_nothing_chosen(selector or "", page.unknown_keys))
            details = (client.show_host(one.host_id) for one in page.hosts)
        if output == "json":
            objects = [
                {"summary": summary_object(one.summary), **assessed_object(assessed_from_detail(one))}
                for one in details
            ]
            out.json(objects if host is None else objects[0])
            return 0
        # One after the other: of many hosts only one is in memory.
        for number, detail in enumerate(details):
            if number:
                out.line()
            _print(out, detail, findings=findings, explain=explain)
    return 0


def _print(out: Output, detail: HostDetail, *, findings: bool, explain: bool) -> None:
    from datetime import UTC, datetime  # noqa: PLC0415

    from libcensus.cli.account import print_account, print_evidence, print_findings  # noqa: PLC0415
    from libcensus.cli.assessed import assessed_from_detail  # noqa: PLC0415
    from libcensus.cli.stale_tables import print_stale  # noqa: PLC0415

    assessed = assessed_from_detail(detail)
    print_account(out, detail.summary.name, assessed, datetime.now(UTC).date())
    if findings:
        print_stale(out, assessed.staleness)
        out.line()
        print_findings(out, assessed.findings)
    if explain:
        print_evidence(out, assessed)
