"""``libcensus explain``: why an advisory holds for something, or does not, from the bytes to the remedy."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import rich_click as click

from libcensus.cli.errors import ArgumentError
from libcensus.cli.help import Command
from libcensus.cli.options import advisories_option, collector_flags, output_option, teach

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libcensus.cli.config import AdvisoriesFolder
    from libcensus.cli.explained import Explanation
    from libcensus.cli.options import CollectorFlags

_ARGUMENTS = 3


@click.command(
    "explain",
    cls=Command,
    short_help="Prove why an advisory holds for a path, or does not.",
    epilog=teach(
        "libcensus explain web-1 /usr/bin/python3.11 CVE-2025-15467",
        "libcensus explain web-1 /usr/lib/x86_64-linux-gnu/libcrypto.so.3 CVE-2025-15467",
        "libcensus scan --output json > this.json",
        "libcensus explain --scan this.json /usr/bin/python3.11 CVE-2025-15467",
        codes=(0, 2, 3, 4, 5, 70),
    ),
)
@click.argument("what", nargs=-1, metavar="[HOST] PATH CVE")
@click.option(
    "--scan", "file", metavar="FILE", type=click.Path(), help="Explain from this scan's JSON; HOST is then left out."
)
@click.option("--root", metavar="NAME", help="The path in this root, such as a container's.")
@collector_flags
@advisories_option
@output_option
def explain_command(
    what: tuple[str, ...],
    file: str | None,
    root: str | None,
    collector: CollectorFlags,
    advisories: AdvisoriesFolder | None,
    output: str,
) -> int:
    """Show the whole chain of evidence of one advisory at one path: bytes, package, changelog, ranges, verdict, remedy.

    PATH is an interpreter's, a copy's or a C library's, under any of its names, or that of a crypto library; the chain
    is told for everything that it leads to. Where there is no finding, the reason is told: the version is outside the
    range, the copy is another product, or nothing is known.

    Verdicts are those of the scan or of the collector. Why there is none is told by this command's advisories: those on
    board, and those of --advisories-dir.
    """
    from libcensus.cli.explained import explain  # noqa: PLC0415 - `--help` must not pay for gRPC
    from libcensus.cli.explained_text import print_explanations  # noqa: PLC0415
    from libcensus.cli.facts import load_facts, tell_folder  # noqa: PLC0415
    from libcensus.cli.terminal import Output  # noqa: PLC0415

    facts = load_facts(advisories)
    title, document, path, advisory = _read(what, file, collector)
    try:
        told, others = explain(document, path, advisory, facts.catalogue, root)
    except (KeyError, TypeError, AttributeError) as error:
        if file is None:
            raise
        raise ArgumentError(
            f"{file} is damaged: {type(error).__name__}: {error}; make one with `libcensus scan --output json`"
        ) from None
    tell_folder(facts)
    out = Output()
    if output == "json":
        out.json([_object(title, one) for one in told])
    else:
        print_explanations(out, title, told)
        if others:
            out.line()
            out.prose(("The same path lies in other roots (--root): ", "bold"), (", ".join(others), ""))
    return 0


def _read(what: Sequence[str], file: str | None, collector: CollectorFlags) -> tuple[str, dict[str, Any], str, str]:
    """Return the host's name, its scan with verdicts, the path and the advisory."""
    if file is not None and collector.given is not None:
        raise ArgumentError(f"--scan explains from a file and {collector.given} asks a fleet: give one of them")
    wanted = _ARGUMENTS if file is None else _ARGUMENTS - 1
    if len(what) != wanted:
        told = "HOST, PATH and CVE" if file is None else "PATH and CVE, beside --scan"
        raise ArgumentError(f"explain takes {wanted} arguments: {told}; {len(what)} were given")
    path, advisory = what[-2], what[-1].upper()
    if file is not None:
        from libcensus.cli.scanfile import scan_document_of  # noqa: PLC0415

        document = scan_document_of(file)
        if "findings" not in document:
            raise ArgumentError(
                f"{file} is a scan without findings, as libcensus-agent makes them; make one with `libcensus scan "
                "--output json`"
            )
        return str(document.get("host", {}).get("hostname", file)), document, path, advisory
    from libcensus.cli.assessed import assessed_from_detail  # noqa: PLC0415
    from libcensus.cli.client import FleetClient  # noqa: PLC0415
    from libcensus.cli.document import assessed_object  # noqa: PLC0415

    with FleetClient(collector.find()) as client:
        detail = client.show_host(what[0])
    return detail.summary.name, assessed_object(assessed_from_detail(detail)), path, advisory


def _object(host: str, one: Explanation) -> dict[str, object]:
    return {
        "host": host,
        "subject": {"kind": one.kind, "root": one.root, "path": one.path},
        "component": one.component,
        "advisory": one.advisory,
        "verdict": one.verdict,
        "severity": one.severity,
        "known": one.is_known,
        "because": one.words,
        "fixed_in": one.fixed_in,
        "fix_available": one.fix_available,
        "remedy": one.remedy,
        "accepted": None if one.accepted is None else asdict(one.accepted),
        "reach": one.reach,
        "processes": one.processes,
        "chain": [
            {"link": step.link, "kind": step.kind, "file": step.file, "offset": step.offset, "detail": step.words}
            for step in one.steps
        ],
    }
