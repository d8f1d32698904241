"""``libcensus scan``: one machine judged with no server at all, for a person or a pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from libcensus.cli.help import Command
from libcensus.cli.options import advisories_option, exclude_option, output_option, teach

if TYPE_CHECKING:
    from libcensus.cli.config import AdvisoriesFolder

EXIT_POLICY = 1
EXIT_PARTIAL = 6

_THRESHOLDS = {"any": "unknown", "medium": "moderate"}


@click.command(
    "scan",
    cls=Command,
    short_help="Scan and judge this machine, or an unpacked one, without a collector.",
    epilog=teach(
        "libcensus scan",
        "libcensus scan --findings",
        "libcensus scan --root ./image --fail-on high",
        "libcensus scan --output json > this-host.json",
        "libcensus scan --advisories-dir /media/usb/advisories",
        codes=(0, 1, 2, 3, 6, 70),
        words={1: "a policy was not met (--fail-on)", 6: "partial: a probe failed"},
    ),
)
@click.option(
    "--root",
    "folder",
    default="/",
    show_default=True,
    metavar="DIR",
    help="Root of the tree to scan: /, an unpacked image, a mounted disk of any architecture.",
)
@output_option
@click.option(
    "--fail-on",
    type=click.Choice(["any", "low", "moderate", "medium", "high", "critical"], case_sensitive=False),
    help="Exit with 1 when an affected finding is of this severity or above; any counts those without one too.",
)
@click.option("--findings", is_flag=True, help="List every open finding and everything stale, with what to do.")
@click.option(
    "--explain", is_flag=True, help="Show which bytes of which file prove each statement, and what each quirk means."
)
@exclude_option
@advisories_option
def scan_command(
    folder: str,
    output: str,
    fail_on: str | None,
    exclude: tuple[str, ...],
    advisories: AdvisoriesFolder | None,
    *,
    findings: bool,
    explain: bool,
) -> int:
    """Find the interpreters of a machine, which OpenSSL each really uses, and which of them is vulnerable.

    Reads files and runs none of them, sends nothing and needs no collector. Verdicts rest on the snapshot of advisories
    inside this program, and on the feeds in a folder where --advisories-dir names one. The JSON is that of
    `libcensus-agent scan` with findings, end_of_life, verdicts, quirks, staleness and facts.
    """
    from datetime import UTC, datetime  # noqa: PLC0415 - `--help` must not pay for the scanner

    from libcensus.cli.account import print_account, print_evidence, print_findings  # noqa: PLC0415
    from libcensus.cli.document import assessed_object  # noqa: PLC0415
    from libcensus.cli.facts import facts_object, load_facts  # noqa: PLC0415
    from libcensus.cli.local import assess_scan, load_agent_config, scan_root  # noqa: PLC0415
    from libcensus.cli.stale_tables import print_stale  # noqa: PLC0415
    from libcensus.cli.terminal import Output, say  # noqa: PLC0415
    from libcensus.collector.posture.finding import Severity, at_least  # noqa: PLC0415
    from libcensus.facts.vocabulary import ProbeState  # noqa: PLC0415

    # What is wrong with the folder is said before the time is spent that a scan takes.
    facts = load_facts(advisories)
    assessed = assess_scan(scan_root(folder, load_agent_config(exclude)), facts.catalogue)
    out = Output()
    if output == "json":
        out.json({**assessed_object(assessed), "facts": facts_object(facts)})
    else:
        title = assessed.scan.host.hostname if folder == "/" else folder
        print_account(out, title, assessed, datetime.now(UTC).date())
        out.prose(("Facts: ", "bold"), (str(facts), ""))
        if findings:
            print_stale(out, assessed.staleness)
            out.line()
            print_findings(out, assessed.findings)
        if explain:
            print_evidence(out, assessed)
    if fail_on is not None:
        threshold = Severity(_THRESHOLDS.get(fail_on.lower(), fail_on.lower()))
        if at_least(assessed.findings, threshold):
            say(f"libcensus: an affected finding is at or above the severity that --fail-on names ({fail_on})")
            return EXIT_POLICY
    if any(probe.state is ProbeState.FAILED for probe in assessed.scan.probes):
        return EXIT_PARTIAL
    return 0
