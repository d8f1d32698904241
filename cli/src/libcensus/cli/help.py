"""How help is shown: decorated on a terminal, plain text for pipes, files and the generated documentation."""

from __future__ import annotations

import sys

import rich_click as click
from click import Command as BaseCommand
from click import Group as BaseGroup
from click import HelpFormatter
from rich.text import Text

_WIDTH = 100


def plain_help(command: BaseCommand, context: click.Context) -> str:
    """Return a command's help as plain text."""
    formatter = HelpFormatter(width=_WIDTH)
    BaseCommand.format_usage(command, context, formatter)
    BaseCommand.format_help_text(command, context, formatter)
    BaseCommand.format_options(command, context, formatter)
    if isinstance(command, BaseGroup):
        BaseGroup.format_commands(command, context, formatter)
    BaseCommand.format_epilog(command, context, formatter)
    return formatter.getvalue().rstrip("\n")


class Command(click.RichCommand):
    """A command whose help is decorated on a terminal only."""

    def get_help(self, ctx: click.Context) -> str:
        """Return the help."""
        if not sys.stdout.isatty():
            return plain_help(self, ctx)
        epilog = self.epilog
        try:
            # Plain text would lose its line ends in the decorated help; rich's own text keeps them.
            self.epilog = Text((epilog or "").replace("\b\n", ""))  # type: ignore[assignment]
            return str(super().get_help(ctx))
        finally:
            self.epilog = epilog


class Group(Command, click.RichGroup):
    """A group of commands whose help is decorated on a terminal only."""

    command_class = Command
    group_class = type
