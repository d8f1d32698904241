"""``libcensus hosts``: every host that has reported, one line each; those that are silent; and their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from libcensus.cli.errors import ArgumentError
from libcensus.cli.help import Command
from libcensus.cli.options import collector_option, duration_option, output_option, selector_option, teach
from libcensus.cli.selection import tell_nothing_chosen, warn_unknown_keys

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from libcensus.cli.client import FleetClient
    from libcensus.cli.config import CollectorAddress


@click.command(
    "hosts",
    cls=Command,
    short_help="List the hosts that have reported, and label them.",
    epilog=teach(
        "libcensus hosts",
        "libcensus hosts -l env=prod,team!=web",
        "libcensus hosts --silent 24h",
        "libcensus hosts --silent 7d --output json | jq -r '.[].name'",
        "libcensus hosts --label web-1 env=prod team=payments",
        "libcensus hosts --label web-1 team-",
        codes=(0, 2, 3, 4, 5, 70),
    ),
)
@click.argument("changes", nargs=-1, metavar="[KEY=VALUE | KEY-]...")
@selector_option
@duration_option(
    "--silent",
    "Only hosts that have not reported for this long by the collector's clock, such as 90m, 24h or 7d; those that are "
    "silent longest come first.",
)
@click.option(
    "--label",
    "labelled",
    metavar="HOST",
    help="Give this host, by name or id, the labels KEY=VALUE that follow, and take those written KEY- from it.",
)
@collector_option
@output_option
def hosts_command(
    changes: tuple[str, ...],
    selector: str | None,
    silent: int | None,
    labelled: str | None,
    collector: CollectorAddress,
    output: str,
) -> int:
    """List the hosts that have reported to a collector, with what was found on each in counts.

    With --label nothing is listed: the labels of one host are changed, and all that it has then are shown. Labels are
    those that a host got with its join token and those that operators give; other commands choose hosts by them (-l).
    """
    from libcensus.cli.client import FleetClient  # noqa: PLC0415 - `--help` must not pay for gRPC

    if labelled is None:
        if changes:
            raise ArgumentError(f"{changes[0]!r} is a label for no host: name one with --label HOST")
        with FleetClient(collector) as client:
            return _list(client, selector, silent, output)
    if selector is not None or silent is not None:
        raise ArgumentError("--label changes the labels of one host: give it without --selector and --silent")
    given, taken = _parse_changes(changes)
    with FleetClient(collector) as client:
        return _change(client, labelled, given, taken, output)


def _parse_changes(words: Sequence[str]) -> tuple[Mapping[str, str], Sequence[str]]:
    """Return the labels to give and the keys of those to take. Raises ArgumentError for what is neither."""
    from libcensus.collector.posture.selector import InvalidLabelError, check_key, parse_labels  # noqa: PLC0415

    if not words:
        raise ArgumentError("--label HOST wants labels: KEY=VALUE to give one, KEY- to take one")
    taken = [word[:-1] for word in words if "=" not in word and word.endswith("-")]
    try:
        given = parse_labels(word for word in words if "=" in word or not word.endswith("-"))
        return given, [check_key(key) for key in taken]
    except InvalidLabelError as error:
        raise ArgumentError(f"{error}; KEY- takes a label") from None


def _list(client: FleetClient, selector: str | None, silent: int | None, output: str) -> int:
    from libcensus.cli.account import SILENT_COLUMNS, host_columns, host_row, silent_row  # noqa: PLC0415
    from libcensus.cli.document import summary_object  # noqa: PLC0415
    from libcensus.cli.terminal import Output  # noqa: PLC0415

    page = client.hosts(selector or "", silent)
    hosts = page.hosts if silent is None else sorted(page.hosts, key=lambda host: (host.last_report, host.name))
    out = Output()
    if hosts or output == "json":
        warn_unknown_keys(page.unknown_keys)
    if output == "json":
        out.json([summary_object(host) for host in hosts])
    elif hosts and silent is not None:
        out.table(SILENT_COLUMNS, [silent_row(host) for host in hosts])
    elif hosts:
        columns = host_columns(hosts)
        out.table(columns, [host_row(host)[: len(columns)] for host in hosts])
    elif selector and (silent is None or page.unknown_keys):
        out.line(tell_nothing_chosen(selector, page.unknown_keys))
    elif silent is not None:
        chosen = f" of those that {selector} chooses" if selector else ""
        out.line(f"No host{chosen} has been silent for so long.")
    else:
        out.line(f"No host has reported to {client.address} yet: run `libcensus-agent report` on one.")
    return 0


def _change(client: FleetClient, host: str, given: Mapping[str, str], taken: Sequence[str], output: str) -> int:
    from libcensus.cli.document import labelled_object  # noqa: PLC0415
    from libcensus.cli.terminal import Output  # noqa: PLC0415

    changed = client.set_labels(host, given, taken)
    out = Output()
    if output == "json":
        out.json(labelled_object(changed))
    else:
        labels = ",".join(f"{key}={value}" for key, value in changed.labels.items()) or "-"
        out.line(f"{changed.name}  {labels}")
    return 0
