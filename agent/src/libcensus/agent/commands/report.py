"""``libcensus-agent report``: scan, send, exit; what a systemd timer runs."""

from __future__ import annotations

from contextlib import closing

import click

from libcensus.agent.commands.options import (
    common_options,
    images_option,
    index_option,
    load,
    setting_option,
    state_option,
    teach,
)
from libcensus.agent.commands.terminal import ProgressLine, print_line

EXIT_PARTIAL = 6

_EPILOG = teach(
    "libcensus-agent report",
    "libcensus-agent report --collector 127.0.0.1:9444",
    "libcensus-agent report --if-due",
    "libcensus-agent report --exclude /srv/backup --log-level info",
    codes=(0, 2, 3, 4, 5, 6, 70),
)


@click.command("report", short_help="Scan, send what changed, exit.", epilog=_EPILOG)
@setting_option(
    "--collector",
    "collector.address",
    metavar="HOST:PORT",
    help="The collector.  [default: the one that this host was enrolled at, else 127.0.0.1:9444]",
)
@setting_option(
    "--timeout", "collector.timeout_seconds", type=float, metavar="SECONDS", help="Bound of one call.  [default: 30]"
)
@setting_option(
    "--exclude", "scan.exclude", multiple=True, metavar="PATH", help="Do not enter this folder (repeatable)."
)
@click.option(
    "--if-due",
    is_flag=True,
    help="Do nothing before the time that the collector asked for with its last answer; for timers that fire often.",
)
@images_option
@index_option
@state_option
@common_options
@click.pass_context
def report_command(context: click.Context, *, if_due: bool) -> int:
    """Scan this machine and tell the collector what changed.

    Only digests are sent at first, and the facts that the collector does not know yet when it asks for them. The
    report is kept in the state folder until the collector has acknowledged it: when it cannot be reached, the next
    report sends what waits, oldest first.

    An enrolled host speaks mutual TLS, and renews its certificate when two thirds of its life are over. Without
    enrollment reports go to this machine only.
    """
    config = load(context)

    if if_due:
        from libcensus.agent.due import wait_until_due  # noqa: PLC0415 - as below

        if (moment := wait_until_due(config)) is not None:
            print_line(f"not due before {moment}: the collector asked for this interval")
            return 0

    from libcensus.agent.apart import renew_apart  # noqa: PLC0415 - `--help` must not pay for the scanner

    renew_apart(config)

    from libcensus.agent.delivery import Courier  # noqa: PLC0415
    from libcensus.agent.host import Root  # noqa: PLC0415
    from libcensus.agent.priority import take_priority  # noqa: PLC0415
    from libcensus.agent.scan import Scan, scan_remembered  # noqa: PLC0415

    take_priority(config.priority)

    def scan_own_root() -> Scan:
        progress = ProgressLine()
        with closing(progress), Root.open("/") as root:
            return scan_remembered(root, config.scan, config.state.folder, progress)

    delivery = Courier(config).deliver(scan_own_root)
    acknowledgement = delivery.acknowledgement
    older = f", after {delivery.older_sent} that waited" if delivery.older_sent else ""
    print_line(
        f"report {delivery.report.report_id.hex()} acknowledged by {config.collector.address}"
        f" (collector {acknowledgement.collector_version}){older}:"
        f" {acknowledgement.uploaded_facts} facts uploaded,"
        f" {acknowledgement.request_bytes} bytes sent, {acknowledgement.response_bytes} received"
    )
    failed = [probe for probe in delivery.report.probes if probe.state == "failed"]
    for probe in failed:
        print_line(f"probe {probe.name} failed: {probe.reason}")
    return EXIT_PARTIAL if failed else 0
