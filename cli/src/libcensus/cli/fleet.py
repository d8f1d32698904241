"""``libcensus fleet``: what-if questions about the whole fleet, answered by a collector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from libcensus.cli.help import Command, Group
from libcensus.cli.options import collector_option, output_option, selector_option, teach
from libcensus.cli.selection import tell_nothing_chosen, warn_unknown_keys
from libcensus.facts.vocabulary import Implementation, Provider

if TYPE_CHECKING:
    from libcensus.cli.config import CollectorAddress

_CODES = (0, 2, 3, 4, 5, 70)


@click.group("fleet", cls=Group, short_help="Ask about the fleet as a whole.")
def fleet_group() -> None:
    """Ask about the fleet as a whole: its C libraries, and which of its builds would run where."""


@fleet_group.command(
    "glibc",
    cls=Command,
    short_help="Show the fleet's C libraries, and what each manylinux tag reaches.",
    epilog=teach(
        "libcensus fleet glibc",
        "libcensus fleet glibc -l env=prod",
        "libcensus fleet glibc --output json | jq '.tags[] | select(.share >= 0.99) | .tag'",
        codes=_CODES,
    ),
)
@selector_option
@collector_option
@output_option
def glibc_command(selector: str | None, collector: CollectorAddress, output: str) -> int:
    """Show how many hosts have which C library, the oldest glibc, and what each manylinux and musllinux tag reaches.

    A tag's row says which hosts are lost when the floor moves there from the tag before. Hosts are counted within the
    architecture that the tag is for.
    """
    from libcensus.cli.client import FleetClient  # noqa: PLC0415 - `--help` must not pay for gRPC
    from libcensus.cli.document import libcs_object  # noqa: PLC0415
    from libcensus.cli.fleet_tables import print_libcs  # noqa: PLC0415
    from libcensus.cli.terminal import Output  # noqa: PLC0415

    with FleetClient(collector) as client:
        answer = client.libc_hosts(selector or "")
    out = Output()
    is_empty = not answer.libcs and not answer.unreadable_hosts
    if selector and is_empty and output != "json":
        out.line(tell_nothing_chosen(selector, answer.unknown_keys))
        return 0
    warn_unknown_keys(answer.unknown_keys)
    if output == "json":
        out.json(libcs_object(answer))
    elif is_empty:
        out.line(f"No host has reported to {collector.address} yet: run `libcensus-agent report` on one.")
    else:
        print_libcs(out, answer)
    return 0


@fleet_group.command(
    "matrix",
    cls=Command,
    short_help="Show on how many hosts each of the fleet's builds would run.",
    epilog=teach(
        "libcensus fleet matrix",
        "libcensus fleet matrix -l env=prod,team!=web",
        "libcensus fleet matrix --provider pyenv --arch x86_64 --explain",
        "libcensus fleet matrix --output json | jq '.cells[] | select(.verdict == \"blocked\")'",
        codes=_CODES,
    ),
)
@click.option(
    "--implementation",
    type=click.Choice([str(one) for one in Implementation if one is not Implementation.UNKNOWN]),
    help="Only builds of this interpreter.",
)
@click.option("--provider", type=click.Choice([str(one) for one in Provider]), help="Only builds of this provider.")
@click.option("--arch", metavar="ARCH", help="Only builds for this architecture, such as x86_64.")
@click.option("--explain", is_flag=True, help="Show every platform on which a build does not run, with every reason.")
@selector_option
@collector_option
@output_option
def matrix_command(
    implementation: str | None,
    provider: str | None,
    arch: str | None,
    selector: str | None,
    collector: CollectorAddress,
    output: str,
    *,
    explain: bool,
) -> int:
    """Show on how many hosts each build that the fleet has would run, wherever it is installed now, and why not.

    Hosts that offer the same (architecture, libraries, kernel) are one platform; --explain and the JSON tell the
    verdict on each. With --selector both the builds and the hosts are those of the hosts that it chooses.
    """
    from libcensus.cli.client import FleetClient  # noqa: PLC0415 - `--help` must not pay for gRPC
    from libcensus.cli.document import matrix_object  # noqa: PLC0415
    from libcensus.cli.fleet_tables import print_matrix  # noqa: PLC0415
    from libcensus.cli.terminal import Output  # noqa: PLC0415

    with FleetClient(collector) as client:
        matrix = client.matrix(implementation or "", provider or "", arch or "", selector or "")
    out = Output()
    if selector and not matrix.platforms and not matrix.unreadable_hosts and output != "json":
        out.line(tell_nothing_chosen(selector, matrix.unknown_keys))
        return 0
    warn_unknown_keys(matrix.unknown_keys)
    if output == "json":
        out.json(matrix_object(matrix))
    elif matrix.builds:
        print_matrix(out, matrix, explain=explain)
    else:
        filtered = any((implementation, provider, arch, selector))
        what = "No build of the fleet is of that kind" if filtered else "No build has been reported"
        out.line(f"{what}: `libcensus hosts` lists what {collector.address} knows.")
    return 0
