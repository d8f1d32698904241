"""The collector's own health, and that of the agents: ingest, store, published facts, certificates, silent hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.panels import (
    BLUE,
    DAYS,
    GREEN,
    GREY,
    JOB,
    ORANGE,
    RED,
    Board,
    Column,
    Query,
    choice,
    job_variable,
    number,
    sheet,
    to_host,
    trend,
    worse_from,
)

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Dashboard

_ONE = f'{JOB}, instance=~"$instance"'
_DAY = 86400

_TROUBLED = (
    f"and on (job, host) (libcensus_host_waiting_reports{{{JOB}}} > 0 "
    f"or libcensus_host_dropped_reports_total{{{JOB}}} > 0 or libcensus_host_dropped_facts_total{{{JOB}}} > 0)"
)
"""Keeps the hosts with any report or fact that waits or was dropped."""

OUTCOMES = {
    "acknowledged": ("acknowledged", GREEN),
    "missing": ("facts asked for", BLUE),
    "refused": ("refused", ORANGE),
    "failed": ("failed", RED),
}


def _rate(counter: str, by: str, more: str = "") -> str:
    return f"sum by ({by}) (rate({counter}{{{_ONE}{more}}}[$__rate_interval]))"


def _quantile(share: float, histogram: str) -> str:
    return f"histogram_quantile({share}, {_rate(histogram + '_bucket', 'le')})"


def collector() -> Dashboard:
    """Return the dashboard."""
    board = Board(
        "libcensus-collector",
        "libcensus: Collector and agents",
        "Whether reports arrive and are kept, and whether the agents are well.",
        [
            job_variable(),
            choice(
                "instance",
                "Collector",
                f"label_values(libcensus_collector_build_info{{{JOB}}}, instance)",
                everything=".+",
            ),
        ],
    )
    board.row("Now")
    board.add(
        4,
        4,
        number(
            "Database",
            "Whether the collector can write to its database right now.",
            f"min(libcensus_collector_store_usable{{{_ONE}}})",
            unit="none",
            steps=((None, RED), (1, GREEN)),
            none="no collector",
            meanings={"1": ("writable", GREEN), "0": ("not writable", RED)},
        ),
    )
    board.add(
        4,
        4,
        number(
            "Waiting to be written",
            "Reports and uploads that wait for the database's writer; calls wait with them.",
            f"sum(libcensus_collector_ingest_queue_length{{{_ONE}}})",
            steps=worse_from(100, 800),
        ),
    )
    board.add(
        4,
        4,
        number(
            "Silent for a day",
            "Hosts whose last report is older than 24 hours.",
            f"count(time() - job_host:libcensus_host_last_report_timestamp_seconds:max{{{JOB}}} > scalar(libcensus:silent_after_seconds:threshold))",
            steps=worse_from(1, 10),
        ),
    )
    board.add(
        4,
        4,
        number(
            "Age of the advisories",
            "Time since the newest day that the published facts know of: verdicts rest on them. "
            "`libcensus-collector advisories update` brings newer ones.",
            f"(time() - min(libcensus_advisories_timestamp_seconds{{{JOB}}})) / {_DAY}",
            unit=DAYS,
            decimals=0,
            none="not known",
            steps=worse_from(14, 30),
        ),
    )
    board.add(
        4,
        4,
        number(
            "First certificate ends in",
            "Time until the first certificate of the collector ends; its server's renews itself.",
            f"min(libcensus_collector_certificate_expiry_timestamp_seconds{{{_ONE}}}) / {_DAY} - time() / {_DAY}",
            unit=DAYS,
            decimals=0,
            none="no TLS",
            steps=((None, GREY), (-1e6, RED), (2, ORANGE), (4, GREEN)),
        ),
    )
    board.add(
        4,
        4,
        number(
            "Series, of the limit",
            "Series that a scrape brings, against --series-limit; nothing is dropped above it.",
            f"max(sum by (job, instance) (libcensus_series{{{_ONE}}}) / on (job, instance) "
            f"libcensus_series_limit{{{_ONE}}})",
            unit="percentunit",
            decimals=0,
            steps=worse_from(0.8, 1),
        ),
    )
    board.row("Reports")
    board.add(
        8,
        8,
        trend(
            "Reports",
            "Reports per second by what became of them: acknowledged ones are durable; facts are asked for where "
            "the collector does not know them yet; refused ones were malformed or not allowed; failed ones come again.",
            [Query(_rate("libcensus_collector_reports_total", "outcome"), "{{outcome}}")],
            unit="reqps",
            colors=OUTCOMES,
        ),
    )
    board.add(
        8,
        8,
        trend(
            "Time to make reports durable",
            "Time that one group of reports takes to be written, half of them and 99 %.",
            [
                Query(_quantile(0.5, "libcensus_collector_ingest_commit_seconds"), "half within"),
                Query(_quantile(0.99, "libcensus_collector_ingest_commit_seconds"), "99 % within"),
            ],
            unit="s",
            steps=worse_from(0.5, 2),
        ),
    )
    board.add(
        8,
        8,
        trend(
            "Time that calls take",
            "99 % of the calls of each kind took at most so long.",
            [
                Query(
                    "histogram_quantile(0.99, sum by (le, grpc_method) (rate(grpc_server_handling_seconds_bucket{"
                    + _ONE
                    + "}[$__rate_interval])))",
                    "{{grpc_method}}",
                )
            ],
            unit="s",
            steps=worse_from(1, 5),
            none="no calls yet",
        ),
    )
    board.add(
        8,
        8,
        trend(
            "Waiting to be written",
            "Reports and uploads that wait for the database's writer.",
            [Query(f"sum(libcensus_collector_ingest_queue_length{{{_ONE}}})", "waiting")],
            soft_max=1,
            steps=worse_from(100, 800),
            colors={"waiting": ("waiting", ORANGE)},
        ),
    )
    board.add(
        8,
        8,
        trend(
            "Refusals and errors",
            "Calls refused before they were served (by reason), errors of the database (by kind), and "
            "internal errors, per second. Zero is good.",
            [
                Query(_rate("libcensus_collector_refusals_total", "reason") + " > 0", "refused: {{reason}}"),
                Query(_rate("libcensus_collector_store_errors_total", "kind") + " > 0", "database: {{kind}}"),
                Query(
                    f"sum(rate(libcensus_collector_internal_errors_total{{{_ONE}}}[$__rate_interval]))",
                    "internal errors",
                ),
            ],
            unit="reqps",
            soft_max=1,
            steps=worse_from(0.01),
            colors={"internal errors": ("internal errors", RED)},
        ),
    )
    board.add(
        8,
        8,
        trend(
            "Certificates asked for",
            "Enrollments and renewals per second by outcome. Refused ones are worth a look.",
            [Query(_rate("libcensus_collector_enrollments_total", "method, outcome"), "{{method}}: {{outcome}}")],
            soft_max=1,
            unit="reqps",
        ),
    )
    board.row("What it costs")
    board.add(
        8,
        8,
        trend(
            "Time to answer a scrape",
            "Time to render /metrics, half of the scrapes and 99 %.",
            [
                Query(_quantile(0.5, "libcensus_collector_scrape_seconds"), "half within"),
                Query(_quantile(0.99, "libcensus_collector_scrape_seconds"), "99 % within"),
            ],
            unit="s",
            steps=worse_from(1, 5),
        ),
    )
    board.add(
        8,
        8,
        trend(
            "Series by level of detail",
            "Series that a scrape brings, by the level of --metrics-detail that they belong to.",
            [Query(f"max by (detail) (libcensus_series{{{_ONE}}})", "level {{detail}}")],
            stacked=True,
        ),
    )
    board.add(
        8,
        8,
        trend(
            "Memory",
            "Resident memory of each collector.",
            [
                Query(
                    f"process_resident_memory_bytes{{{_ONE}}} and on (job, instance) libcensus_collector_build_info",
                    "{{instance}}",
                )
            ],
            unit="bytes",
        ),
    )
    board.row("Published facts and certificates")
    board.add(
        12,
        8,
        sheet(
            "Sources of published facts",
            "The newest day that each source knows of; verdicts rest on it.",
            [
                f"min by (source) (libcensus_advisory_source_timestamp_seconds{{{JOB}}}) * 1000",
                f"time() / {_DAY} - min by (source) (libcensus_advisory_source_timestamp_seconds{{{JOB}}}) / {_DAY}",
            ],
            [
                Column("source", "Source"),
                Column("Value #A", "Newest day", unit="time:YYYY-MM-DD", width=130),
                Column(
                    "Value #B",
                    "Age",
                    unit=DAYS,
                    decimals=0,
                    width=130,
                ),
            ],
            sort=("Age", True),
        ),
    )
    board.add(
        12,
        8,
        sheet(
            "Certificates",
            "Until when the certificates of the collector are good. The server's renews itself; for the CA see "
            "the page on trust. Empty without TLS.",
            [
                f"min by (certificate) (libcensus_collector_certificate_expiry_timestamp_seconds{{{_ONE}}}) * 1000",
                f"min by (certificate) (libcensus_collector_certificate_expiry_timestamp_seconds{{{_ONE}}}) / {_DAY} - time() / {_DAY}",
            ],
            [
                Column("certificate", "Certificate"),
                Column("Value #A", "Good until", unit="time:YYYY-MM-DD", width=130),
                Column(
                    "Value #B",
                    "Days left",
                    unit="locale",
                    decimals=0,
                    width=130,
                    paints=True,
                    steps=((None, RED), (2, ORANGE), (4, GREEN)),
                ),
            ],
            sort=("Good until", False),
            none="no TLS",
        ),
    )
    board.row("Agents")
    board.add(
        12,
        9,
        trend(
            "Time that scans take",
            "Half of the hosts' last scans took at most so long, 95 %, and the longest.",
            [
                Query(f"max(job:libcensus_host_scan_duration_seconds:p50{{{JOB}}})", "half within"),
                Query(f"max(job:libcensus_host_scan_duration_seconds:p95{{{JOB}}})", "95 % within"),
                Query(f"max(job:libcensus_host_scan_duration_seconds:max{{{JOB}}})", "longest"),
            ],
            unit="s",
            steps=worse_from(60, 300),
        ),
    )
    board.add(
        12,
        9,
        trend(
            "Hosts with a failed probe",
            "Hosts whose last scan could not read something, by the part of the scan.",
            [Query(f"sum by (probe) (job_probe:libcensus_failed_probe_hosts:sum{{{JOB}}}) > 0", "{{probe}}")],
            steps=worse_from(1, 20),
        ),
    )
    board.add(
        8,
        10,
        sheet(
            "Silent for longest",
            "The 50 hosts whose last report is oldest, of those that are silent for a day.",
            [
                f"(topk(50, max by (host) (time() - job_host:libcensus_host_last_report_timestamp_seconds:max{{{JOB}}})) > scalar(libcensus:silent_after_seconds:threshold)) / 86400"
            ],
            [
                Column("host", "Host", link=to_host()),
                Column("Value", "Silent for", unit=DAYS, decimals=1, width=140, steps=((None, ORANGE), (7, RED))),
            ],
            sort=("Silent for", True),
            none="every host reports",
        ),
    )
    board.add(
        8,
        10,
        sheet(
            "Failed probes",
            "Hosts whose last scan could not read something.",
            [f"max by (host, probe) (job_host_probe:libcensus_failed_probes:min{{{JOB}}})"],
            [Column("host", "Host", link=to_host()), Column("probe", "Part of the scan", width=160)],
            sort=("Host", False),
            none="all are read",
        ),
    )
    board.add(
        8,
        10,
        sheet(
            "Agents by version",
            "Hosts by the version of their agent.",
            [f"sum by (agent_version) (job_agent_version:libcensus_host_info:count{{{JOB}}})"],
            [Column("agent_version", "Version"), Column("Value", "Hosts", width=100)],
            sort=("Hosts", True),
        ),
    )
    board.add(
        8,
        10,
        trend(
            "Reports that wait on hosts",
            "Reports in the spools of all hosts beside their last one: they are sent as soon as the collector can be "
            "reached.",
            [Query(f"sum(job:libcensus_host_waiting_reports:sum{{{JOB}}})", "waiting")],
            steps=worse_from(1, 100),
            colors={"waiting": ("waiting", ORANGE)},
        ),
    )
    board.add(
        8,
        10,
        sheet(
            "Hosts that wait or lost something",
            "Hosts with reports in their spool, and those whose spool was so full that reports or facts were dropped (since "
            "their agent was installed). Dropped facts are asked for again.",
            [
                f"max by (host) (libcensus_host_waiting_reports{{{JOB}}} {_TROUBLED})",
                f"max by (host) (libcensus_host_dropped_reports_total{{{JOB}}} {_TROUBLED})",
                f"max by (host) (libcensus_host_dropped_facts_total{{{JOB}}} {_TROUBLED})",
            ],
            [
                Column("host", "Host", link=to_host()),
                Column("Value #A", "Waiting", width=95),
                Column("Value #B", "Dropped", width=80, steps=((None, "text"), (1, ORANGE))),
                Column("Value #C", "Facts dropped", width=120, steps=((None, "text"), (1, ORANGE))),
            ],
            sort=("Waiting", True),
            none="no host waits",
        ),
    )
    board.add(
        8,
        10,
        sheet(
            "Hosts' certificates that end first",
            "The 50 hosts whose certificate ends first; it renews itself at two thirds of its life when the agent runs. Red "
            "is over: such a host must enroll again. Empty without TLS.",
            [
                f"bottomk(50, max by (host) (libcensus_host_certificate_expiry_timestamp_seconds{{{JOB}}})) * 1000",
                f"bottomk(50, max by (host) (libcensus_host_certificate_expiry_timestamp_seconds{{{JOB}}})) / {_DAY} - time() / {_DAY}",
            ],
            [
                Column("host", "Host", link=to_host()),
                Column("Value #A", "Good until", unit="time:YYYY-MM-DD HH:mm", width=160),
                Column(
                    "Value #B",
                    "Days left",
                    unit="locale",
                    decimals=1,
                    width=110,
                    paints=True,
                    steps=((None, RED), (0, ORANGE), (2, GREEN)),
                ),
            ],
            sort=("Good until", False),
            none="no TLS",
        ),
    )
    return board.build()
