"""``libcensus config show``: the one setting of this command, and who said it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from libcensus.cli.help import Command, Group
from libcensus.cli.options import collector_option, output_option, teach

if TYPE_CHECKING:
    from libcensus.cli.config import CollectorAddress


@click.group("config", cls=Group, short_help="Look at the configuration.")
def config_group() -> None:
    """Look at the configuration.

    A flag goes before the environment (LIBCENSUS_COLLECTOR_ADDRESS), that before the file
    (~/.config/libcensus/config.toml, else /etc/libcensus/operator.toml: `[collector]` with `address = "HOST:PORT"`),
    that before the default.
    """


@config_group.command(
    "show",
    cls=Command,
    short_help="Show the collector's address.",
    epilog=teach("libcensus config show --origin", codes=(0, 2, 3)),
)
@collector_option
@click.option("--origin", is_flag=True, help="Say where the value came from.")
@output_option
def show_config_command(collector: CollectorAddress, output: str, *, origin: bool) -> int:
    """Show the collector's address that the other commands would ask."""
    from libcensus.cli.terminal import Cell, Column, Output  # noqa: PLC0415 - `--help` must not pay for rich's tables

    out = Output()
    if output == "json":
        value: object = {"value": collector.address, "origin": collector.origin} if origin else collector.address
        out.json({"collector.address": value})
        return 0
    columns = [Column("Setting"), Column("Value"), *([Column("Origin")] if origin else [])]
    row = [Cell("collector.address"), Cell(collector.address), *([Cell(collector.origin)] if origin else [])]
    out.table(columns, [row])
    return 0
