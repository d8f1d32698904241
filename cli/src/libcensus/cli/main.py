"""The command ``libcensus``: its parts, and the one place where an error becomes a line and an exit code."""

from __future__ import annotations

import io
import os
import sys
import traceback
from typing import TYPE_CHECKING

import rich_click as click
from click.exceptions import Exit

from libcensus.agent.commands.terminal import leave_broken_pipe
from libcensus.agent.errors import AgentError
from libcensus.agent.log import escape_control
from libcensus.cli.check import check_command
from libcensus.cli.completion import PROGRAM, VARIABLE, completion_command
from libcensus.cli.demo import demo_command
from libcensus.cli.errors import OperatorError
from libcensus.cli.explain import explain_command
from libcensus.cli.export import export_command
from libcensus.cli.fleet import fleet_group
from libcensus.cli.help import Group
from libcensus.cli.hosts import hosts_command
from libcensus.cli.identity import identity_group
from libcensus.cli.options import teach
from libcensus.cli.posture import posture_command
from libcensus.cli.providers import providers_command
from libcensus.cli.scan import scan_command
from libcensus.cli.settings import config_group
from libcensus.cli.show import show_command
from libcensus.cli.simulate import simulate_command
from libcensus.cli.speed import speed_command
from libcensus.collector.errors import CollectorError

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_USAGE = 2
EXIT_INTERNAL = 70
EXIT_INTERRUPTED = 130
DEBUG_VARIABLE = "LIBCENSUS_DEBUG"


def _show_version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        from importlib.metadata import version  # noqa: PLC0415 - reading metadata takes time

        click.echo(f"{PROGRAM} {version('libcensus')}")
        context.exit()


@click.group(
    PROGRAM,
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=teach(
        "libcensus demo",
        "libcensus scan --fail-on high",
        "libcensus check dist/*.whl --against debian:12",
        "libcensus hosts --collector 127.0.0.1:9444",
        codes=(0, 1, 2, 3, 4, 5, 6, 70),
    ),
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version, help="Show the version."
)
def libcensus() -> None:
    """Take a census of every C library, interpreter and OpenSSL in a fleet.

    `demo` shows it on this host with one command; `scan` judges one machine without a server; `check` tells on which
    hosts something runs; `hosts`, `show` and `fleet` ask a collector; `simulate` makes a fleet to try that on. Nothing
    that is found on a machine is ever run; `speed` alone runs the interpreters that you name.
    """


for _command in (
    demo_command,
    scan_command,
    check_command,
    hosts_command,
    show_command,
    posture_command,
    providers_command,
    explain_command,
    fleet_group,
    export_command,
    simulate_command,
    speed_command,
    config_group,
    identity_group,
    completion_command,
):
    libcensus.add_command(_command)


def _say(message: str) -> None:
    click.echo(f"{PROGRAM}: error: {escape_control(message)}", err=True, color=False)


def _run(arguments: Sequence[str] | None) -> int:
    """Run the command; returns its exit code."""
    result = libcensus.main(
        args=None if arguments is None else list(arguments),
        prog_name=PROGRAM,
        complete_var=VARIABLE,
        standalone_mode=False,
    )
    sys.stdout.flush()
    return result if isinstance(result, int) else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``libcensus``; returns the exit code, after one line on standard error where something was wrong."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that the locale cannot write is escaped; it must not end the command.
            stream.reconfigure(errors="backslashreplace")
    # gRPC would write its own lines about a failed handshake beside the one that this command has for it.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        return _run(arguments)
    except Exit as leaving:
        return leaving.exit_code
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = "" if context is None else f" (see `{context.command_path} --help`)"
        _say(f"{error.format_message()}{hint}")
        return EXIT_USAGE
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted")
        return EXIT_INTERRUPTED
    except (OperatorError, AgentError, CollectorError) as error:
        _say(str(error))
        return error.exit_code
    except BrokenPipeError:
        return leave_broken_pipe()
    except SystemExit as leaving:
        # click leaves so when standard output is a closed pipe, and after completing a shell's line.
        if isinstance(leaving.__context__, BrokenPipeError):
            return leave_broken_pipe()
        return leaving.code if isinstance(leaving.code, int) else 0
    except Exception as error:  # noqa: BLE001 - the last resort: a user must never see a traceback
        if os.environ.get(DEBUG_VARIABLE):
            traceback.print_exc()
        _say(
            f"internal error: {type(error).__name__}: {error}; this is a mistake in {PROGRAM}: please report it with "
            f"the output of the same command and {DEBUG_VARIABLE}=1"
        )
        return EXIT_INTERNAL


if __name__ == "__main__":
    sys.exit(main())
