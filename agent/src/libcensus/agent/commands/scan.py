"""``libcensus-agent scan``: read this machine, or an unpacked one, and print what is there; nothing is sent."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import click

from libcensus.agent.commands.options import (
    common_options,
    images_option,
    index_option,
    load,
    output_option,
    setting_option,
    state_option,
    teach,
)
from libcensus.agent.commands.terminal import ProgressLine, print_json, print_line, print_table

if TYPE_CHECKING:
    from libcensus.agent.scan import Scan

EXIT_PARTIAL = 6

_EPILOG = teach(
    "libcensus-agent scan",
    "libcensus-agent scan --explain",
    "libcensus-agent scan --output json > this-host.json",
    "libcensus-agent scan --root /mnt/image --exclude /home",
    codes=(0, 2, 3, 6, 70),
)


@click.command("scan", short_help="Scan this machine or an unpacked one, and print it.", epilog=_EPILOG)
@click.option(
    "--root",
    "folder",
    default="/",
    show_default=True,
    metavar="DIR",
    help="Root of the tree to scan: /, an unpacked image, a mounted disk of any architecture.",
)
@output_option
@click.option("--explain", is_flag=True, help="Show for each statement which bytes of which file prove it.")
@setting_option(
    "--exclude", "scan.exclude", multiple=True, metavar="PATH", help="Do not enter this folder (repeatable)."
)
@images_option
@index_option
@state_option
@common_options
@click.pass_context
def scan_command(context: click.Context, folder: str, output: str, *, explain: bool) -> int:
    """Find the interpreters of a machine, what each needs and which OpenSSL it really uses.

    Reads files and runs none of them. Sends nothing and needs no collector. Without root or CAP_DAC_READ_SEARCH it
    sees what its user may read, and says what it could not.
    """
    config = load(context)

    from libcensus.agent.host import Root  # noqa: PLC0415 - `--help` must not pay for the scanner
    from libcensus.agent.priority import take_priority  # noqa: PLC0415
    from libcensus.agent.scan import scan_remembered  # noqa: PLC0415

    take_priority(config.interactive_priority)
    progress = ProgressLine()
    with closing(progress), Root.open(folder) as root:
        found = scan_remembered(root, config.scan, config.state.folder, progress)
    if output == "json":
        from libcensus.agent.document import scan_document  # noqa: PLC0415

        print_json(scan_document(found))
    else:
        print_scan(found, explain=explain)
    return EXIT_PARTIAL if any(probe.state == "failed" for probe in found.probes) else 0


def print_scan(found: Scan, *, explain: bool) -> None:
    """Print a scan for people: the host, one line per install, and what a reader must know about the probes.

    With ``explain`` every statement follows with its proof.
    """
    from libcensus.agent import explain as told  # noqa: PLC0415 - as above

    for line in told.host_lines(found):
        print_line(line)
    print_line()
    for section in told.sections(found):
        if section.title:
            print_line(section.title)
        if section.rows:
            print_table([name.upper() for name in section.header], section.rows)
        else:
            print_line("no interpreter was found")
        print_line()
    for line in told.explain_lines(found) if explain else told.notice_lines(found):
        print_line(line)
