"""``libcensus config show``: the settings of this command, and who said each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from libcensus.cli.help import Command, Group
from libcensus.cli.options import advisories_option, collector_option, output_option, teach

if TYPE_CHECKING:
    from libcensus.cli.config import AdvisoriesFolder, CollectorAddress


@click.group("config", cls=Group, short_help="Look at the configuration.")
def config_group() -> None:
    """Look at the configuration.

    A flag goes before the environment (LIBCENSUS_COLLECTOR_ADDRESS, LIBCENSUS_ADVISORIES_DIR), that before the file
    (~/.config/libcensus/config.toml, else /etc/libcensus/operator.toml: `advisories_dir = "DIR"`, and below it
    `[collector]` with `address = "HOST:PORT"`), that before the default.
    """


@config_group.command(
    "show",
    cls=Command,
    short_help="Show the settings of the other commands.",
    epilog=teach("libcensus config show --origin", codes=(0, 2, 3)),
)
@collector_option
@advisories_option
@click.option("--origin", is_flag=True, help="Say where each value came from.")
@output_option
def show_config_command(
    collector: CollectorAddress, advisories: AdvisoriesFolder | None, output: str, *, origin: bool
) -> int:
    """Show the collector's address that the other commands would ask, and the folder of feeds that they would read."""
    from libcensus.cli.terminal import Cell, Column, Output  # noqa: PLC0415 - `--help` must not pay for rich's tables

    settings: list[tuple[str, str | None, str]] = [
        ("collector.address", collector.address, collector.origin),
        ("advisories_dir", *((None, "default") if advisories is None else (advisories.path, advisories.origin))),
    ]
    out = Output()
    if output == "json":
        out.json({name: {"value": value, "origin": said} if origin else value for name, value, said in settings})
        return 0
    columns = [Column("Setting"), Column("Value"), *([Column("Origin")] if origin else [])]
    out.table(
        columns,
        [(Cell(name), Cell(value or "-"), *([Cell(said)] if origin else [])) for name, value, said in settings],
    )
    return 0
