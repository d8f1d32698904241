"""``libcensus-agent status``: who this host is, what it did last, what waits, and an exit code for monitoring."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from libcensus.agent.commands.options import common_options, load, output_option, setting_option, state_option, teach
from libcensus.agent.commands.terminal import print_json, print_line
from libcensus.agent.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libcensus.agent.config import AgentConfig
    from libcensus.agent.credentials import IdentityFacts
    from libcensus.agent.spool import Dropped

MAX_INTERVALS = 3.0
"""After so many intervals without an acknowledgement somebody should look."""

DROPPED_HOURS = 24.0
"""How long the exit code tells of what the spool gave up."""

_EPILOG = "\n".join(
    (
        teach("libcensus-agent status", "libcensus-agent status --max-age 26 --output json", codes=()),
        "  0   the last report was acknowledged, whole, and nothing waits",
        "  1   needs care: the certificate has expired or cannot be renewed, the last acknowledgement is too old, or",
        "      the spool gave something up during the last 24 hours",
        "  3   a setting is wrong, or the state folder may not be read",
        "  4   reports wait for the collector, or none was ever acknowledged",
        "  5   the collector refused this host's identity at the last attempt",
        "  6   a probe of the last scan failed",
    )
)


@click.command("status", short_help="Identity, last report, what waits; for monitoring.", epilog=_EPILOG)
@output_option
@click.option(
    "--max-age",
    type=click.FloatRange(min=0, min_open=True),
    metavar="HOURS",
    help="Exit 1 when the last acknowledged scan is older.",
)
@click.option(
    "--max-intervals",
    type=click.FloatRange(min=1),
    default=MAX_INTERVALS,
    show_default=True,
    metavar="N",
    help="Exit 1 when the last acknowledgement is older than so many of the intervals that the collector asks for.",
)
@setting_option("--collector", "collector.address", metavar="HOST:PORT", help="As in `report`.")
@state_option
@common_options
@click.pass_context
def status_command(context: click.Context, output: str, max_age: float | None, max_intervals: float) -> int:
    """Show this host's certificate, its last scan and acknowledged report, and the reports that wait.

    Reads the state folder alone; asks no collector.
    """
    config = load(context)

    from libcensus.agent.credentials import tell_moment  # noqa: PLC0415 - `--help` must not pay for it
    from libcensus.agent.identity import known_host_id  # noqa: PLC0415
    from libcensus.agent.spool import Spool  # noqa: PLC0415
    from libcensus.agent.state import StateFolder  # noqa: PLC0415

    now = datetime.now(UTC)
    host_id = known_host_id(config.state.folder)
    state = StateFolder(config.state.folder).read()
    spool = Spool(config.state.folder / "spool", max_reports=config.state.max_reports, max_bytes=config.state.max_bytes)
    waiting = [
        {
            "scanned_at": tell_moment(one.report.scanned_at),
            "report_id": one.report.report_id.hex(),
            "inventory": one.report.inventory,
        }
        for one in spool.waiting()
    ]
    dropped = spool.dropped
    source, facts = find_certificate(config)
    code, verdict = judge(state, len(waiting), max_age, now, facts=facts, dropped=dropped, max_intervals=max_intervals)
    certificate = None if facts is None else describe_certificate(source, facts, state, now)
    if output == "json":
        print_json(
            {
                "state": verdict,
                "exit_code": code,
                "state_folder": str(config.state.folder),
                "host_id": host_id,
                "collector": config.collector.address,
                "certificate": certificate,
                "last_scan": state.get("last_scan"),
                "last_acknowledged": state.get("last_acknowledged"),
                "last_failure": state.get("last_failure"),
                "spool": {
                    "folder": str(spool.folder),
                    "waiting": waiting,
                    "bytes": spool.total_bytes,
                    "dropped": dropped.reports,
                    "dropped_facts": dropped.facts,
                    "last_dropped": None if dropped.last is None else tell_moment(dropped.last),
                },
            }
        )
        return code
    print_line(f"state: {verdict}")
    print_line(f"host: {host_id or 'no id yet'}")
    print_line(f"collector: {config.collector.address}")
    _print_certificate(certificate)
    _print_scan(state.get("last_scan"))
    _print_acknowledged(state.get("last_acknowledged"))
    if failure := state.get("last_failure"):
        print_line(f"last failure: {failure.get('at')}: {failure.get('message')}")
    oldest = f", the oldest of {waiting[0]['scanned_at']}" if waiting else ""
    print_line(f"waiting: {len(waiting)} reports{oldest}, {spool.total_bytes} bytes in {spool.folder}")
    if dropped.reports or dropped.facts:
        last = "" if dropped.last is None else f", last at {tell_moment(dropped.last)}"
        print_line(
            f"given up: {dropped.reports} reports and {dropped.facts} facts, because the spool was full or they were "
            f"damaged{last}"
        )
    return code


def judge(
    state: Mapping[str, Any],
    waiting: int,
    max_age: float | None,
    now: datetime,
    *,
    facts: IdentityFacts | None = None,
    dropped: Dropped | None = None,
    max_intervals: float = MAX_INTERVALS,
) -> tuple[int, str]:
    """Return the exit code and its word: who speaks, what waits, age (hours), what was lost, then failed probes."""
    acknowledged = state.get("last_acknowledged")
    failure = state.get("last_failure") or {}
    if failure.get("kind") == "identity":
        return 5, "identity-refused"
    if facts is not None and facts.not_after <= now:
        return 1, "certificate-expired"
    if facts is not None and facts.not_before > now:
        return 1, "certificate-not-yet-valid"
    if waiting:
        return 4, "waiting"
    if acknowledged is None:
        return 4, "never-reported"
    scanned = datetime.fromisoformat(acknowledged["scanned_at"])
    if max_age is not None and (now - scanned).total_seconds() > max_age * 3600:
        return 1, "too-old"
    interval = acknowledged.get("next_interval_seconds") or 0
    told = datetime.fromisoformat(acknowledged.get("at") or acknowledged["scanned_at"])
    if interval > 0 and (now - told).total_seconds() > max_intervals * interval:
        return 1, "too-old"
    if facts is not None and is_renewal_failing(state, facts, now):
        return 1, "renewal-failing"
    if dropped is not None and dropped.last is not None and now - dropped.last < timedelta(hours=DROPPED_HOURS):
        return 1, "dropped"
    if (state.get("last_scan") or {}).get("failed_probes"):
        return 6, "partial"
    return 0, "ok"


def is_renewal_failing(state: Mapping[str, Any], facts: IdentityFacts, now: datetime) -> bool:
    """Tell whether renewing failed for half of the time that there is for it."""
    return bool(state.get("renewal")) and now > facts.renew_at + (facts.not_after - facts.renew_at) / 2


def find_certificate(config: AgentConfig) -> tuple[str, IdentityFacts | None]:
    """Return where this host's certificate is from, ``enrollment`` or ``external``, and what it says; None without."""
    from libcensus.agent.credentials import (  # noqa: PLC0415 - as above
        IdentityFolder,
        describe_given,
        read_given_file,
    )

    if config.collector.certificate is not None:
        given = describe_given(read_given_file("collector.certificate", config.collector.certificate))
        if given is None:
            raise ConfigurationError(
                f"collector.certificate {config.collector.certificate} holds no certificate in PEM"
            )
        return "external", given
    identity = IdentityFolder(config.state.folder).current()
    return "enrollment", None if identity is None else identity.facts


def describe_certificate(
    source: str, facts: IdentityFacts, state: Mapping[str, Any], now: datetime
) -> dict[str, object]:
    """Return the certificate as JSON shows it; one of an external authority is renewed by somebody else."""
    from libcensus.agent.credentials import tell_moment  # noqa: PLC0415 - as above

    failure = state.get("renewal") or {}
    is_own = source == "enrollment"
    return {
        "source": source,
        "host_id": facts.host_id,
        "subject": facts.uri,
        "serial": facts.serial,
        "not_before": tell_moment(facts.not_before),
        "not_after": tell_moment(facts.not_after),
        "seconds_left": int((facts.not_after - now).total_seconds()),
        "renew_at": tell_moment(facts.renew_at) if is_own else None,
        "renewal_failures": failure.get("failures", 0) if is_own else 0,
        "renewal_message": failure.get("message") if is_own else None,
        "renewal_next_try": failure.get("next_try") if is_own else None,
    }


def _print_certificate(certificate: Mapping[str, Any] | None) -> None:
    if certificate is None:
        print_line("certificate: none, reports go to this machine only")
        return
    renewal = f", renewed from {certificate['renew_at']} on" if certificate["renew_at"] else ""
    print_line(f"certificate: {certificate['subject']}, until {certificate['not_after']}{renewal}")
    if certificate["renewal_failures"]:
        print_line(
            f"  renewal failed {certificate['renewal_failures']} times, next try {certificate['renewal_next_try']}: "
            f"{certificate['renewal_message']}"
        )


def _print_scan(scan: Mapping[str, Any] | None) -> None:
    if scan is None:
        print_line("last scan: none")
        return
    print_line(f"last scan: {scan['at']}, {scan['seconds']} s, {scan['installs']} installs of {scan['builds']} builds")
    for probe in scan["failed_probes"]:
        print_line(f"  probe failed: {probe}")


def _print_acknowledged(acknowledged: Mapping[str, Any] | None) -> None:
    if acknowledged is None:
        print_line("last acknowledged: none")
        return
    print_line(
        f"last acknowledged: {acknowledged['at']} by {acknowledged['collector']}"
        f" (collector {acknowledged['collector_version']}), scan of {acknowledged['scanned_at']}"
    )
