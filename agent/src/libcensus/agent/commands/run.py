"""``libcensus-agent run``: stays resident, scans and reports at an interval and soon after something was installed."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

import click

from libcensus.agent.commands.options import common_options, index_option, load, setting_option, state_option, teach
from libcensus.agent.commands.terminal import ProgressLine

if TYPE_CHECKING:
    from libcensus.agent.config import AgentConfig

_EPILOG = teach(
    "libcensus-agent run",
    "libcensus-agent run --collector 127.0.0.1:9444 --interval 900",
    "libcensus-agent run --no-watch --log-format journal",
    codes=(0, 2, 3, 5, 70),
)


@click.command("run", short_help="Stay, scan and report at an interval and after changes.", epilog=_EPILOG)
@setting_option(
    "--collector",
    "collector.address",
    metavar="HOST:PORT",
    help="The collector.  [default: the one that this host was enrolled at, else 127.0.0.1:9444]",
)
@setting_option(
    "--interval",
    "run.interval_seconds",
    type=float,
    metavar="SECONDS",
    help="Time between scans, whatever the collector asks for.  [default: what it asks for, else 3600]",
)
@setting_option(
    "--watch/--no-watch",
    "run.watch",
    default=None,
    help="Scan soon after dpkg, rpm, apk, pacman, uv or pyenv changed something.  [default: watch]",
)
@setting_option(
    "--quiet",
    "run.quiet_seconds",
    type=float,
    metavar="SECONDS",
    help="How long nothing must have changed before that scan begins.  [default: 15]",
)
@setting_option(
    "--exclude", "scan.exclude", multiple=True, metavar="PATH", help="Do not enter this folder (repeatable)."
)
@index_option
@state_option
@common_options
@click.pass_context
def run_command(context: click.Context) -> int:
    """Stay resident: scan this machine and report it at the start, then at an interval and soon after changes.

    For hosts where an upgrade must show within minutes; elsewhere `report` by a timer needs no memory between scans.
    Each scan is one line in the log (level info, unless set otherwise): why it ran, what it found, when the next
    follows. A collector that cannot be reached is tried again, and the reports wait meanwhile.

    SIGTERM and Ctrl-C end it, SIGHUP makes it read its configuration again. Under systemd it tells READY, STATUS and,
    with WatchdogSec=, that it makes progress (Type=notify-reload, or notify).
    """

    def load_for_run() -> AgentConfig:
        config = load(context)
        if config.values["log.level"].origin == "default":
            from libcensus.agent.log import start_logging  # noqa: PLC0415 - as below

            start_logging("info", config.log.format)
        return config

    load_for_run()

    from libcensus.agent.notify import ServiceManager  # noqa: PLC0415 - `--help` must not pay for the scanner
    from libcensus.agent.resident import Resident  # noqa: PLC0415

    with closing(ProgressLine()) as progress:
        Resident(load_for_run, ServiceManager(os.environ), progress=progress).run()
    return 0
