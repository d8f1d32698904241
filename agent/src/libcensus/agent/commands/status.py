"""``libcensus-agent status``: what the agent did last, what waits, and an exit code for monitoring."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from libcensus.agent.commands.options import common_options, load, output_option, state_option, teach
from libcensus.agent.commands.terminal import print_json, print_line

if TYPE_CHECKING:
    from collections.abc import Mapping

_EPILOG = "\n".join(
    (
        teach("libcensus-agent status", "libcensus-agent status --max-age 26 --output json", codes=()),
        "  0   the last report was acknowledged, whole, and nothing waits",
        "  1   the last acknowledged scan is older than --max-age",
        "  3   a setting is wrong, or the state folder may not be read",
        "  4   reports wait for the collector, or none was ever acknowledged",
        "  5   the collector refused this host's identity at the last attempt",
        "  6   a probe of the last scan failed",
    )
)


@click.command("status", short_help="Last scan, last report, what waits; for monitoring.", epilog=_EPILOG)
@output_option
@click.option(
    "--max-age",
    type=click.FloatRange(min=0, min_open=True),
    metavar="HOURS",
    help="Exit 1 when the last acknowledged scan is older.",
)
@state_option
@common_options
@click.pass_context
def status_command(context: click.Context, output: str, max_age: float | None) -> int:
    """Show the last scan, the last report that the collector acknowledged, and the reports that wait for it."""
    config = load(context)

    from libcensus.agent.spool import Spool  # noqa: PLC0415 - `--help` must not pay for it
    from libcensus.agent.state import StateFolder  # noqa: PLC0415

    state = StateFolder(config.state.folder).read()
    spool = Spool(config.state.folder / "spool", max_reports=config.state.max_reports, max_bytes=config.state.max_bytes)
    waiting = [
        {
            "scanned_at": _text(one.report.scanned_at),
            "report_id": one.report.report_id.hex(),
            "inventory": one.report.inventory,
        }
        for one in spool.waiting()
    ]
    code, verdict = judge(state, len(waiting), max_age, datetime.now(UTC))
    if output == "json":
        print_json(
            {
                "state": verdict,
                "exit_code": code,
                "state_folder": str(config.state.folder),
                "last_scan": state.get("last_scan"),
                "last_acknowledged": state.get("last_acknowledged"),
                "last_failure": state.get("last_failure"),
                "spool": {
                    "folder": str(spool.folder),
                    "waiting": waiting,
                    "bytes": spool.total_bytes,
                    "dropped": spool.dropped,
                },
            }
        )
        return code
    print_line(f"state: {verdict}")
    _print_scan(state.get("last_scan"))
    _print_acknowledged(state.get("last_acknowledged"))
    if failure := state.get("last_failure"):
        print_line(f"last failure: {failure.get('at')}: {failure.get('message')}")
    oldest = f", the oldest of {waiting[0]['scanned_at']}" if waiting else ""
    print_line(f"waiting: {len(waiting)} reports{oldest}, {spool.total_bytes} bytes in {spool.folder}")
    if spool.dropped:
        print_line(f"given up: {spool.dropped} reports, because the spool was full or they were damaged")
    return code


def judge(state: Mapping[str, Any], waiting: int, max_age: float | None, now: datetime) -> tuple[int, str]:
    """Return the exit code and its word: identity first, then what waits, then age (hours), then failed probes."""
    acknowledged = state.get("last_acknowledged")
    failure = state.get("last_failure") or {}
    if failure.get("kind") == "identity":
        return 5, "identity-refused"
    if waiting:
        return 4, "waiting"
    if acknowledged is None:
        return 4, "never-reported"
    scanned = datetime.fromisoformat(acknowledged["scanned_at"])
    if max_age is not None and (now - scanned).total_seconds() > max_age * 3600:
        return 1, "too-old"
    if (state.get("last_scan") or {}).get("failed_probes"):
        return 6, "partial"
    return 0, "ok"


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


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
