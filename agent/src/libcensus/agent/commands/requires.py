"""``libcensus-agent requires``: what ELF files, folders, wheels and tar archives need of a host to load."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

from libcensus.agent.commands.options import PROGRAM, common_options, load, output_option, teach
from libcensus.agent.commands.terminal import print_json, print_line, print_table
from libcensus.agent.log import escape_control

if TYPE_CHECKING:
    from collections.abc import Iterable

    from libcensus.agent.artefact import ArtefactRequirement
    from libcensus.agent.errors import ArtefactError

EXIT_UNREADABLE = 2

_EPILOG = teach(
    "libcensus-agent requires /usr/bin/python3",
    "libcensus-agent requires dist/*.whl --output json",
    "libcensus-agent requires ./build python.tar.gz",
    codes=(0, 2, 3, 70),
)


@click.command("requires", short_help="What files, folders, wheels and archives need to load.", epilog=_EPILOG)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@output_option
@click.option("--explain", is_flag=True, help="Show every symbol version and library, not the floor alone.")
@common_options
@click.pass_context
def requires_command(context: click.Context, paths: tuple[str, ...], output: str, *, explain: bool) -> int:
    """Tell what ELF files, folders, wheels and tar archives need of a host, and which file and symbol raise the floor.

    What `nm | grep GLIBC` tells, for everything at once: one answer per path and architecture. Nothing is unpacked to
    disk, and nothing is run.
    """
    load(context)

    from libcensus.agent.artefact import artefact_document, requires  # noqa: PLC0415 - `--help` must not pay for it

    unread: list[ArtefactError] = []
    found = requires(paths, on_error=unread.append)
    if output == "json":
        print_json([artefact_document(item) for item in found])
    elif found:
        _print_requirements(found, explain=explain)
    for error in unread:
        click.echo(f"{PROGRAM}: error: {escape_control(str(error))}", err=True, color=False)
    return EXIT_UNREADABLE if unread else 0


def _print_requirements(found: Iterable[ArtefactRequirement], *, explain: bool) -> None:
    found = list(found)
    print_table(("PATH", "ARCH", "FILES", "GLIBC", "MANYLINUX", "LOADER", "RAISED BY"), (_row(item) for item in found))
    for item in found:
        if explain:
            _explain(item)
        _print_skipped(item, explain=explain)


def _row(item: ArtefactRequirement) -> tuple[str, ...]:
    requirement = item.requirement
    return (
        item.path,
        requirement.arch or "-",
        str(item.files),
        requirement.glibc or "-",
        item.manylinux or "-",
        "static" if item.is_static else requirement.loader or "-",
        _describe_floor(item),
    )


def _describe_floor(item: ArtefactRequirement) -> str:
    """Return who raises the glibc floor: the first file with its symbols, and how many files there are beyond."""
    floor = f"GLIBC_{item.requirement.glibc}"
    files: dict[str, list[str]] = {}
    for entry in item.requirement.raised_by:
        if entry.version == floor:
            files.setdefault(entry.file, []).append(entry.symbol)
    if not files:
        return "-"
    first = next(iter(files))
    symbols = ", ".join(symbol for symbol in files[first] if symbol) or "no named symbol"
    more = f" and {len(files) - 1} more files" if len(files) > 1 else ""
    return f"{first}: {symbols}{more}"


def _explain(item: ArtefactRequirement) -> None:
    print_line()
    print_line(f"{item.path} ({item.requirement.arch or 'no architecture'})")
    for need in item.requirement.needs:
        print_line(f"  {need.soname}: {' '.join(need.versions) or 'no version'}")
        if need.weak:
            print_line(f"  {need.soname}, weak, does not block: {' '.join(need.weak)}")
    versioned = {need.soname for need in item.requirement.needs}
    if plain := [soname for soname in item.requirement.sonames if soname not in versioned]:
        print_line(f"  without versions: {' '.join(plain)}")
    if item.brought:
        print_line(f"  brought along: {' '.join(item.brought)}")
    for entry in item.requirement.raised_by:
        print_line(f"  {entry.file} needs {entry.version} of {entry.soname} for {entry.symbol or 'no named symbol'}")
    print_line(f"  manylinux: {item.manylinux_reason}")


def _print_skipped(item: ArtefactRequirement, *, explain: bool) -> None:
    if explain:
        for one in item.skipped:
            detail = f": {one.detail}" if one.detail else ""
            print_line(f"passed over in {item.path}: {one.path}: {one.reason}{detail}")
    elif item.skipped:
        counts = Counter(one.reason for one in item.skipped)
        told = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
        print_line(f"passed over in {item.path}: {told}; see --explain")
