"""``libcensus providers``: how long fixes took, to be there from each provider and to reach the hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from libcensus.cli.help import Command
from libcensus.cli.options import collector_option, day_option, output_option, selector_option, teach
from libcensus.cli.selection import tell_nothing_chosen, warn_unknown_keys

if TYPE_CHECKING:
    from datetime import date

    from libcensus.cli.config import CollectorAddress


@click.command(
    "providers",
    cls=Command,
    short_help="Show how long fixes took, per provider.",
    epilog=teach(
        "libcensus providers",
        "libcensus providers --component openssl --since 2026-01-01",
        "libcensus providers -l env=prod",
        "libcensus providers --at 2026-06-30 --output json | jq '.patching[] | {provider, within}'",
        codes=(0, 2, 3, 4, 5, 70),
    ),
)
@click.option("--provider", metavar="NAME", help="Only what this provider built: distro, pbs, pyenv, conda…")
@click.option("--component", metavar="NAME", help="Only this component: openssl, cpython, glibc.")
@day_option("--since", "Only advisories published on this day or later.  [default: all]")
@day_option("--at", "What was known at the end of this day (UTC).  [default: now]")
@selector_option
@collector_option
@output_option
def providers_command(
    provider: str | None,
    component: str | None,
    since: date | None,
    at: date | None,
    selector: str | None,
    collector: CollectorAddress,
    output: str,
) -> int:
    """Show how long it took from a fix at the provider to these hosts, and from the advisory to the fix.

    A patch is measured where the fix came while the host was watched: what a host had already when it reported first
    says nothing about how fast anybody was. Of some providers no source tells when they had a fix; they are counted
    and have no times. Days are whole. --selector goes by the labels that hosts have now; when providers had a fix does
    not depend on it.
    """
    from libcensus.cli.client import FleetClient  # noqa: PLC0415 - `--help` must not pay for gRPC
    from libcensus.cli.document import providers_object  # noqa: PLC0415
    from libcensus.cli.providers_tables import print_providers  # noqa: PLC0415
    from libcensus.cli.terminal import Output  # noqa: PLC0415

    with FleetClient(collector) as client:
        answer = client.providers(
            provider=(provider or "").lower(),
            component=(component or "").lower(),
            since=since,
            day=at,
            selector=selector or "",
        )
    out = Output()
    if selector and not answer.hosts and output != "json":
        out.line(tell_nothing_chosen(selector, answer.unknown_keys))
        return 0
    warn_unknown_keys(answer.unknown_keys)
    if output == "json":
        out.json(providers_object(answer))
    else:
        print_providers(out, answer)
    return 0
