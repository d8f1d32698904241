"""``libcensus-agent completion``: the script that completes commands and options in a shell."""

from __future__ import annotations

import click

from libcensus.agent.commands.options import PROGRAM, teach

VARIABLE = "_LIBCENSUS_AGENT_COMPLETE"

_EPILOG = teach(
    'eval "$(libcensus-agent completion bash)"',
    "libcensus-agent completion fish > ~/.config/fish/completions/libcensus-agent.fish",
    codes=(0, 2),
)


@click.command("completion", short_help="Completion script for a shell.", epilog=_EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> int:
    """Print the completion script for a shell.

    The script calls libcensus-agent with the variable _LIBCENSUS_AGENT_COMPLETE set.
    """
    from click.shell_completion import get_completion_class  # noqa: PLC0415 - only this command needs it

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"this version of click completes no {shell}")
    script = kind(click.Command(PROGRAM), {}, PROGRAM, VARIABLE)
    # click's own source() would run bash to ask for its version; the agent runs nothing.
    click.echo(script.source_template % script.source_vars())
    return 0
