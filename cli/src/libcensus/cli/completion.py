"""``libcensus completion``: the script that completes commands and options in a shell."""

from __future__ import annotations

import rich_click as click

from libcensus.cli.help import Command
from libcensus.cli.options import teach

PROGRAM = "libcensus"
VARIABLE = "_LIBCENSUS_COMPLETE"


@click.command(
    "completion",
    cls=Command,
    short_help="Print the completion script for a shell.",
    epilog=teach(
        'eval "$(libcensus completion bash)"',
        "libcensus completion fish > ~/.config/fish/completions/libcensus.fish",
        codes=(0, 2),
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> int:
    """Print the script that completes commands and options in SHELL; evaluate it in the shell's start-up file."""
    from click.shell_completion import get_completion_class  # noqa: PLC0415 - only this command needs it

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"this version of click completes no {shell}")
    script = kind(context.find_root().command, {}, PROGRAM, VARIABLE)
    # click's own source() would run bash to ask for its version.
    click.echo(script.source_template % script.source_vars())
    return 0
