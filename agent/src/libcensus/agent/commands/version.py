"""``libcensus-agent version``: which agent this is, and what it speaks and runs on."""

from __future__ import annotations

import platform

import click

from libcensus.agent.commands.options import output_option, teach
from libcensus.agent.commands.terminal import print_json, print_line


@click.command(
    "version",
    short_help="Version of agent and contract.",
    epilog=teach("libcensus-agent version --output json", codes=(0, 2)),
)
@output_option
def version_command(output: str) -> int:
    """Show the agent's version, its contract and the Python that runs it."""
    from libcensus.agent.version import agent_version  # noqa: PLC0415 - reading metadata takes time

    facts = {
        "version": agent_version(),
        "contract": "libcensus.v1",
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    if output == "json":
        print_json(facts)
    else:
        print_line(f"libcensus-agent {facts['version']}, contract {facts['contract']}, Python {facts['python']}")
    return 0
