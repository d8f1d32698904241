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

    A flag goes before the environment (LIBCENSUS_COLLECTOR_ADDRESS, LIBCENSUS_IDENTITY, LIBCENSUS_ADVISORIES_DIR), that
    before the file (~/.config/libcensus/config.toml, else /etc/libcensus/operator.toml: `advisories_dir = "DIR"`, and
    below it `[collector]` with `address = "HOST:PORT"` and `identity = "FILE"`), that before the default.

    With an external CA `ca`, `certificate` and `key` (LIBCENSUS_CA and so on) stand in the place of `identity`; one
    place says all three. `enroll_address` (LIBCENSUS_ENROLL_ADDRESS) is where identities are renewed, where that is not
    port 9446 of the collector's host.
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
    """Show the collector that the other commands would ask, by what they are known, and the feeds that they read."""
    from libcensus.cli.terminal import Cell, Column, Output  # noqa: PLC0415 - `--help` must not pay for rich's tables

    settings: list[tuple[str, str | None, str]] = [
        ("collector.address", collector.address, collector.origin),
        *_identity_settings(collector),
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


def _identity_settings(collector: CollectorAddress) -> list[tuple[str, str | None, str]]:
    """Return by what the operator is known, and who said so."""
    files = collector.identity
    if files is None:
        return [("collector.identity", None, "default")]
    named = ("identity", files.identity), ("ca", files.ca), ("certificate", files.certificate), ("key", files.key)
    return [(f"collector.{name}", path, files.origin) for name, path in named if path is not None]
