"""The command ``libcensus-agent``: its parts, and the one place where an error becomes a line and an exit code.

Starting must be cheap: importing this module imports click and nothing that reads a host or speaks to a collector.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

import click

from libcensus.agent.commands.completion import VARIABLE, completion_command
from libcensus.agent.commands.config import config_group
from libcensus.agent.commands.enroll import enroll_command
from libcensus.agent.commands.options import PROGRAM, common_options, teach
from libcensus.agent.commands.report import report_command
from libcensus.agent.commands.requires import requires_command
from libcensus.agent.commands.run import run_command
from libcensus.agent.commands.scan import scan_command
from libcensus.agent.commands.status import status_command
from libcensus.agent.commands.terminal import leave_broken_pipe
from libcensus.agent.commands.version import version_command
from libcensus.agent.errors import AgentError
from libcensus.agent.log import escape_control

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_INTERNAL = 70
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

_LOG = logging.getLogger(__name__)


def _show_version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        from libcensus.agent.version import agent_version  # noqa: PLC0415 - reading metadata takes time

        click.echo(f"{PROGRAM} {agent_version()}")
        context.exit()


@click.group(
    PROGRAM,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=teach(
        "libcensus-agent scan",
        "libcensus-agent requires /usr/bin/python3 ./wheels/*.whl",
        "libcensus-agent enroll --collector census.example --token-file token --ca-fingerprint $SHA256",
        "libcensus-agent report",
        codes=(0, 1, 2, 3, 4, 5, 6, 70),
    ),
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version, help="Show the version."
)
@common_options
def agent() -> None:
    """Read which C library, interpreters and OpenSSL this host really uses, and report them.

    The agent reads files and runs none of what it finds. Settings come from flags, the environment
    (LIBCENSUS_AGENT_...), /etc/libcensus/agent.toml, and defaults, in this order.
    """


for _command in (
    scan_command,
    requires_command,
    enroll_command,
    report_command,
    run_command,
    status_command,
    config_group,
    version_command,
    completion_command,
):
    agent.add_command(_command)


def _say(message: str) -> None:
    click.echo(f"{PROGRAM}: error: {escape_control(message)}", err=True, color=False)


def _run(arguments: Sequence[str] | None) -> int:
    """Run the command; returns its exit code."""
    result = agent.main(
        args=None if arguments is None else list(arguments),
        prog_name=PROGRAM,
        complete_var=VARIABLE,
        standalone_mode=False,
    )
    sys.stdout.flush()
    return result if isinstance(result, int) else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``libcensus-agent``; returns the exit code, after one line on standard error where something was wrong."""
    output = sys.stdout
    # What gRPC's core logs by itself would stand beside the one line that an error is.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        return _run(arguments)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.UsageError as error:
        if error.ctx is not None:
            click.echo(error.ctx.get_usage(), err=True)
            click.echo(f"Try `{error.ctx.command_path} --help`.", err=True)
        _say(error.format_message())
        return EXIT_USAGE
    except click.ClickException as error:
        _say(error.format_message())
        return EXIT_USAGE
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted")
        return EXIT_INTERRUPTED
    except AgentError as error:
        _LOG.debug("the command failed", exc_info=True)
        _say(str(error))
        return error.exit_code
    except BrokenPipeError:
        return leave_broken_pipe()
    except SystemExit as leaving:
        # click leaves so after completing a shell's line, and, with a wrapped output, when nobody reads any more.
        if sys.stdout is not output:
            sys.stdout = output
            return leave_broken_pipe()
        return leaving.code if isinstance(leaving.code, int) else 0
    except Exception as error:  # noqa: BLE001 - the last resort: a user must never see a traceback
        _LOG.debug("internal error", exc_info=True)
        _say(
            f"internal error: {type(error).__name__}: {error}; this is a mistake in {PROGRAM}: please report it with "
            "the output of the same command and --log-level debug"
        )
        return EXIT_INTERNAL


if __name__ == "__main__":
    sys.exit(main())
