"""Options that several commands share, and what they put into the configuration.

Importing a command must stay cheap, for every start pays for it: whatever a command works with is imported when the
command runs.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from libcensus.agent.config import AgentConfig

_F = TypeVar("_F", bound="Callable[..., Any]")

PROGRAM = "libcensus-agent"

FLAGS = "libcensus.agent.flags"
FILE = "libcensus.agent.file"

EXIT_CODES = {
    0: "fine",
    1: "a policy was not met",
    2: "the arguments do not fit, or a named file cannot be read",
    3: "a setting is wrong",
    4: "the collector cannot be reached; the report is kept and sent later",
    5: "TLS or identity was refused",
    6: "partial: a probe failed",
    70: "an internal error, or the collector refused the report",
}


def teach(*examples: str, codes: tuple[int, ...]) -> str:
    """Return the end of a command's help: examples, then its exit codes."""
    lines = ["\b", "Examples:", *(f"  {example}" for example in examples), "", "\b", "Exit codes:"]
    lines.extend(f"  {code:<3} {EXIT_CODES[code]}" for code in codes)
    return "\n".join(lines)


def _keep(setting: str, flag: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def keep(context: click.Context, _parameter: click.Parameter, value: Any) -> None:
        if value is not None and value != ():
            context.find_root().meta.setdefault(FLAGS, {})[setting] = (flag, value)

    return keep


def setting_option(flag: str, setting: str, **attributes: Any) -> Callable[[_F], _F]:
    """Add a flag that sets a setting; the command itself does not see it."""
    return click.option(flag, expose_value=False, callback=_keep(setting, flag), **attributes)


def _keep_file(context: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
    if value is not None:
        context.find_root().meta[FILE] = value


def common_options(command: _F) -> _F:
    """Add the flags that every command takes: the file, and how to log."""
    for option in (
        setting_option(
            "--log-format", "log.format", type=click.Choice(["text", "json", "journal"]), help="Form of the log."
        ),
        setting_option(
            "--log-level",
            "log.level",
            type=click.Choice(["debug", "info", "warning", "error"]),
            help="How much is logged, on standard error.",
        ),
        click.option(
            "--config",
            "file",
            type=click.Path(path_type=Path, dir_okay=False),
            expose_value=False,
            callback=_keep_file,
            help="Configuration file.  [default: /etc/libcensus/agent.toml]",
        ),
    ):
        command = option(command)
    return command


def state_option(command: _F) -> _F:
    """Add the flag that names the state folder."""
    option = setting_option(
        "--state-dir", "state.folder", metavar="DIR", help="Folder with the agent's state and waiting reports."
    )
    return option(command)


def index_option(command: _F) -> _F:
    """Add the flag that has everything read anew."""
    option = setting_option(
        "--no-index",
        "scan.index",
        is_flag=True,
        flag_value=False,
        default=None,
        help="Read everything, whatever the index of the last scan knows.",
    )
    return option(command)


def images_option(command: _F) -> _F:
    """Add the flag that has images in storage scanned too."""
    option = setting_option(
        "--images",
        "scan.images",
        is_flag=True,
        flag_value=True,
        default=None,
        help="Scan the images that Docker, Podman and containerd keep on disk, too.",
    )
    return option(command)


def output_option(command: _F) -> _F:
    """Add the flag that chooses between a table for people and JSON for programs."""
    return click.option(
        "--output",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="Plain table, or one JSON value.",
    )(command)


def load(context: click.Context) -> AgentConfig:
    """Return the configuration of this call, with logging started as it says."""
    from libcensus.agent.config import load_config  # noqa: PLC0415 - paid for only by commands that need it
    from libcensus.agent.log import start_logging  # noqa: PLC0415

    meta = context.find_root().meta
    config = load_config(meta.get(FLAGS, {}), environment=os.environ, file=meta.get(FILE))
    start_logging(config.log.level, config.log.format)
    for warning in config.warnings:
        logging.getLogger(__name__).warning("%s", warning)
    return config
