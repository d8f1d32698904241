"""``libcensus-agent requires``: what ELF files, folders, wheels and tar archives need of a host to load."""

from __future__ import annotations

import click

from libcensus.agent.commands.options import common_options, load, output_option, teach


@click.command(
    "requires",
    epilog=teach(
        "libcensus-agent requires /usr/bin/python3",
        "libcensus-agent requires dist/*.whl --output json",
        "libcensus-agent requires ./build/ python.tar.zst",
        codes=(0, 2, 3, 70),
    ),
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@output_option
@common_options
@click.pass_context
def requires_command(context: click.Context, paths: tuple[str, ...], output: str) -> int:
    """Tell the oldest glibc, symbol versions and libraries that files need, and who raises the floor."""
    load(context)

    from libcensus.agent.artefact import requires  # noqa: PLC0415 - `--help` must not pay for the ELF reader

    found = requires(paths)
    return 0
