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


def _decorated_help(command: click.RichCommand, context: click.Context) -> str:
    epilog = command.epilog
    try:
        # Plain text would lose its line ends in the decorated help; rich's own text keeps them.
        command.epilog = Text((epilog or "").replace("\b\n", ""))  # type: ignore[assignment]
        return str(click.RichCommand.get_help(command, context))
    finally:
        command.epilog = epilog


class Command(click.RichCommand):
    """A command whose help is decorated on a terminal only."""

    def get_help(self, ctx: click.Context) -> str:
        """Return the help."""
        return _decorated_help(self, ctx) if sys.stdout.isatty() else plain_help(self, ctx)


class Group(click.RichGroup):
    """A group of commands whose help is decorated on a terminal only."""

    command_class = Command
    group_class = type

    def get_help(self, ctx: click.Context) -> str:
        """Return the help."""
        return _decorated_help(self, ctx) if sys.stdout.isatty() else plain_help(self, ctx)
