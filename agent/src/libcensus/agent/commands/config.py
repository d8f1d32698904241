"""``libcensus-agent config show``: every setting, and where its value came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from libcensus.agent.commands.options import common_options, load, output_option, setting_option, state_option, teach
from libcensus.agent.commands.terminal import print_json, print_table

_EPILOG = teach(
    "libcensus-agent config show",
    "libcensus-agent config show --origin",
    "LIBCENSUS_AGENT_SCAN_EXCLUDE=/srv:/backup libcensus-agent config show --origin --output json",
    codes=(0, 2, 3),
)


@click.group("config")
def config_group() -> None:
    """Look at the configuration.

    A flag goes before the environment (LIBCENSUS_AGENT_...), that before the file (/etc/libcensus/agent.toml), that
    before the default.
    """


@config_group.command("show", epilog=_EPILOG)
@click.option("--origin", is_flag=True, help="Say where each value came from.")
@output_option
@setting_option("--collector", "collector.address", metavar="HOST:PORT", help="As in `report`.")
@state_option
@common_options
@click.pass_context
def show_command(context: click.Context, output: str, *, origin: bool) -> int:
    """Show every setting with its value; a wrong one is refused as every other command would refuse it."""
    config = load(context)
    values = config.values.values()
    if output == "json":
        entries: dict[str, object] = {}
        for one in values:
            value = _plain(one.value)
            entries[one.setting.name] = (
                {"value": value, "origin": one.origin, "place": one.place or None} if origin else value
            )
        print_json(entries)
        return 0
    header: tuple[str, ...] = ("SETTING", "VALUE")
    rows: list[tuple[str, ...]] = [(one.setting.name, _text(one.value)) for one in values]
    if origin:
        header = (*header, "ORIGIN", "PLACE")
        rows = [(*row, one.origin, one.place) for row, one in zip(rows, values, strict=True)]
    print_table(header, rows)
    return 0


def _plain(value: Any) -> object:
    if isinstance(value, Path):
        return str(value)
    return sorted(value) if isinstance(value, frozenset) else value


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, tuple | frozenset):
        return ":".join(value) or "-"
    return str(value).lower() if isinstance(value, bool) else str(value)
