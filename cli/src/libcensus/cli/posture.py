"""``libcensus posture``: what is wrong in the fleet, where the worst is, and what would mend it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from libcensus.cli.help import Command
from libcensus.cli.options import collector_option, day_option, output_option, selector_option, teach
from libcensus.cli.selection import tell_nothing_chosen, warn_unknown_keys

if TYPE_CHECKING:
    from datetime import date

    from libcensus.cli.config import CollectorAddress

EXIT_POLICY = 1

_THRESHOLDS = {"any": "unknown", "medium": "moderate"}


@click.command(
    "posture",
    cls=Command,
    short_help="Count the fleet's findings, and show what to do first.",
    epilog=teach(
        "libcensus posture",
        "libcensus posture --advisory CVE-2025-15467",
        "libcensus posture --provider pbs --fail-on high",
        "libcensus posture --at 2026-05-03 --advisory CVE-2025-15467 --limit 0",
        "libcensus posture -l env=prod,team!=web",
        "libcensus posture --host web-1 --output json | jq '.remedies[].remedy'",
        codes=(0, 1, 2, 3, 4, 5, 70),
        words={1: "a policy was not met (--fail-on)"},
    ),
)
@click.option("--host", metavar="NAME", help="Only this host, by name or id.")
@click.option("--advisory", metavar="CVE", help="Only this advisory, such as CVE-2025-15467.")
@click.option(
    "--provider",
    metavar="NAME",
    help="Only what this provider built: distro, pbs, pyenv, conda…, or the ecosystem that brought a copy, such as "
    "pypi.",
)
@click.option("--component", metavar="NAME", help="Only this component: openssl, cpython, glibc.")
@click.option(
    "--limit",
    type=click.IntRange(0, 1_000_000),
    default=10,
    show_default=True,
    help="How many advisories, remedies and hosts are shown, the worst first; 0 shows all. The JSON always has all "
    "advisories.",
)
@click.option(
    "--fail-on",
    type=click.Choice(["any", "low", "moderate", "medium", "high", "critical"], case_sensitive=False),
    help="Exit with 1 when an affected finding that nobody accepted is of this severity or above; any counts those "
    "without one too.",
)
@day_option(
    "--at",
    "The fleet as it was at the end of this day (UTC), by the advisories that were published then.  [default: now]",
)
@selector_option
@collector_option
@output_option
def posture_command(
    host: str | None,
    advisory: str | None,
    provider: str | None,
    component: str | None,
    limit: int,
    fail_on: str | None,
    at: date | None,
    selector: str | None,
    collector: CollectorAddress,
    output: str,
) -> int:
    """Count findings by component, severity, status and provider; show advisories, remedies and the worst hosts.

    Installs and environments that are behind what they could be are counted beside, by reason and provider, unless one
    advisory or component is asked about.

    What was found is counted once for each place: an OpenSSL that two interpreters use is two findings of an advisory.
    Exposed are those whose fix could have been applied by the day. Filters may be combined. `libcensus show HOST
    --findings` lists a host's findings, and `libcensus explain` proves one.
    """
    from libcensus.cli.client import FleetClient  # noqa: PLC0415 - `--help` must not pay for gRPC
    from libcensus.cli.document import posture_object  # noqa: PLC0415
    from libcensus.cli.posture_tables import print_posture  # noqa: PLC0415
    from libcensus.cli.terminal import Output, say  # noqa: PLC0415
    from libcensus.collector.posture.finding import Severity, VexStatus  # noqa: PLC0415

    with FleetClient(collector) as client:
        answer = client.posture(
            host=host or "",
            advisory=(advisory or "").upper(),
            provider=(provider or "").lower(),
            component=(component or "").lower(),
            limit=limit,
            day=at,
            selector=selector or "",
        )
    out = Output()
    if answer.hosts or output == "json":
        warn_unknown_keys(answer.unknown_keys)
    if output == "json":
        out.json(posture_object(answer))
    elif not answer.hosts and selector:
        out.line(tell_nothing_chosen(selector, answer.unknown_keys))
    elif not answer.hosts and at is not None:
        out.line(f"No host had reported to {collector.address} by the end of {at}.")
    elif not answer.hosts:
        out.line(f"No host has reported to {collector.address} yet: run `libcensus-agent report` on one.")
    else:
        name = host if host is None or not answer.worst_hosts else answer.worst_hosts[0].name
        about = [word for word in (name, selector, advisory and advisory.upper(), provider, component) if word]
        print_posture(out, answer, about, limit, one_host=host is not None)
    if fail_on is not None and not answer.hosts:
        say(f"libcensus: warning: no host was looked at, so nothing is at or above {fail_on}")
    elif fail_on is not None:
        floor = Severity(_THRESHOLDS.get(fail_on.lower(), fail_on.lower()))
        counted = [one for one in answer.counts if one.status is VexStatus.AFFECTED and one.severity.rank >= floor.rank]
        accepted = sum(one.accepted for one in counted)
        left_out = f"; {accepted:,} accepted {'one was' if accepted == 1 else 'ones were'} left out" if accepted else ""
        if any(one.findings > one.accepted for one in counted):
            say(
                f"libcensus: an affected finding is at or above the severity that --fail-on names ({fail_on}){left_out}"
            )
            return EXIT_POLICY
        if accepted:
            say(f"libcensus: no affected finding at or above {fail_on} is open{left_out}")
    return 0
