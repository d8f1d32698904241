"""The collector's metrics about itself: declared in one table, counted in one registry, rendered at the scrape.

These change with every call, unlike the fleet's families, which are rendered when a host changes.
"""

from __future__ import annotations

import functools
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from libcensus.collector.acceptance.folder import AcceptedState
    from libcensus.collector.speeds.folder import SpeedState

_END_OF_OPENMETRICS = b"# EOF\n"

CALL_SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
COMMIT_SECONDS_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

ENROLLMENT_METHODS = ("enroll", "renew")
ENROLLMENT_OUTCOMES = ("granted", "refused", "failed")
REFUSAL_REASONS = (
    "unknown",
    "trust_domain",
    "tls_version",
    "expired",
    "revoked",
    "banned",
    "role",
    "enrollment_rate",
    "calls",
    "host_calls",
    "host_rate",
    "queue",
    "uploads",
    "malformed",
    "too_large",
    "slow",
)
HANDSHAKE_PORTS = ("listen", "enroll")
HTTP_REFUSAL_REASONS = ("tls", "plaintext", "no_password", "password", "rate")
REPORT_OUTCOMES = ("acknowledged", "missing", "refused", "failed")
SCRAPE_OUTCOMES = ("ok", "failed")
STORE_ERROR_KINDS = ("busy", "full", "read_only", "corrupt", "other")


@dataclass(frozen=True, slots=True)
class ProcessFamily:
    """One family of the collector's own: name as exposed, type, help, labels, and the buckets of a histogram."""

    name: str
    type: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_GRPC_LABELS = ("grpc_type", "grpc_service", "grpc_method")

_FAMILIES: tuple[ProcessFamily, ...] = (
    ProcessFamily(
        "libcensus_collector_build_info",
        "gauge",
        "Version of the collector and of the Python that runs it.",
        ("version", "python"),
    ),
    ProcessFamily(
        "libcensus_collector_start_timestamp_seconds", "gauge", "When the collector began to serve, in Unix time."
    ),
    ProcessFamily(
        "libcensus_collector_shard_info",
        "gauge",
        "Which part of the hosts this collector tells of one by one: shard number of so many shards; always 1.",
        ("shard", "shards"),
    ),
    ProcessFamily(
        "libcensus_collector_shard_hosts",
        "gauge",
        "Hosts that this collector tells of one by one, as of this scrape; none at the level fleet.",
    ),
    ProcessFamily(
        "libcensus_collector_reports_total",
        "counter",
        "Reports by outcome: acknowledged (durable), missing (facts were asked for), refused (malformed, contrary, "
        "without identity, or too many), failed (the store or the collector could not take it).",
        ("outcome",),
    ),
    ProcessFamily("libcensus_collector_facts_stored_total", "counter", "Facts stored that were not known before."),
    ProcessFamily(
        "libcensus_collector_uploads_total",
        "counter",
        "Uploads of facts by outcome: acknowledged (durable), refused (malformed, wrong digest, too large, too many), "
        "failed (the store or the collector could not take it).",
        ("outcome",),
    ),
    ProcessFamily(
        "libcensus_collector_upload_bytes", "gauge", "Bytes of facts held by uploads that are not yet durable."
    ),
    ProcessFamily(
        "libcensus_collector_ingest_queue_length", "gauge", "Reports and uploads that wait for the store's writer."
    ),
    ProcessFamily(
        "libcensus_collector_ingest_commit_seconds",
        "histogram",
        "Time to make one group of reports and facts durable.",
        buckets=COMMIT_SECONDS_BUCKETS,
    ),
    ProcessFamily(
        "libcensus_collector_ingest_committed_reports_total",
        "counter",
        "Reports in committed groups; divided by the number of commits it is the mean size of a group.",
    ),
    ProcessFamily("libcensus_collector_store_errors_total", "counter", "Refusals by the store, by kind.", ("kind",)),
    ProcessFamily(
        "libcensus_collector_store_usable", "gauge", "Whether the store can be written right now (1) or not (0)."
    ),
    ProcessFamily(
        "libcensus_acceptance_timestamp_seconds",
        "gauge",
        "When the OpenVEX documents with accepted risks were looked at last and none was broken; 0 until then. While "
        "one is broken its last good state counts, and this stands still.",
    ),
    ProcessFamily(
        "libcensus_acceptance_broken_documents",
        "gauge",
        "Files of accepted risks with something wrong in them; the folder itself counts where it cannot be read.",
    ),
    ProcessFamily(
        "libcensus_speed_broken_documents",
        "gauge",
        "Files of measured speed with something wrong in them; the folder itself counts where it cannot be read. The "
        "last good state of each counts meanwhile.",
    ),
    ProcessFamily("libcensus_collector_scrapes_total", "counter", "Renderings of /metrics, by outcome.", ("outcome",)),
    ProcessFamily(
        "libcensus_collector_scrape_seconds",
        "histogram",
        "Time to render the fleet's metrics for one scrape.",
        buckets=CALL_SECONDS_BUCKETS,
    ),
    ProcessFamily(
        "libcensus_collector_certificate_expiry_timestamp_seconds",
        "gauge",
        "Until when the collector's certificates are good, in Unix time: its server's, those of the CA (issuing, "
        "root), and that of the HTTP pages (http). Absent without TLS.",
        ("certificate",),
    ),
    ProcessFamily(
        "libcensus_collector_enrollments_total",
        "counter",
        "Answers to whoever asked for a certificate, by method (enroll, renew) and outcome: granted, refused, failed "
        "(the database could not be used).",
        ("method", "outcome"),
    ),
    ProcessFamily(
        "libcensus_collector_refusals_total",
        "counter",
        "Calls refused before they were served, by reason: unknown (the certificate names nobody), trust_domain, "
        "tls_version, expired, revoked, banned, role (agents report for themselves, operators read), enrollment_rate "
        "(an address whose attempts failed too often), calls (too many in flight), host_calls (too many open of one "
        "host), host_rate (one host calls too often), queue (too much waits for the database), uploads (too many, or "
        "too much memory), malformed, too_large, slow (a request that did not come, or an upload that did not end, in "
        "time). What gRPC itself refuses is not among them.",
        ("reason",),
    ),
    ProcessFamily(
        "libcensus_collector_http_refusals_total",
        "counter",
        "Refusals by the HTTP pages, by reason: tls (the handshake failed), plaintext (no TLS where it is wanted), "
        "no_password (browsers ask so at first), password (user or password is wrong), rate (an address whose attempts "
        "failed too often).",
        ("reason",),
    ),
    ProcessFamily(
        "libcensus_collector_tls_handshakes_total",
        "counter",
        "TLS handshakes begun, by port (listen, enroll). Those on listen that exceed "
        "libcensus_collector_connections_total were refused (a wrong CA, no certificate, TLS 1.2, no TLS at all), or "
        "nothing was called on them.",
        ("port",),
    ),
    ProcessFamily(
        "libcensus_collector_connections_total",
        "counter",
        "Connections on which something was called, at `listen`; of those that one certificate opens within a second, "
        "one.",
    ),
    ProcessFamily(
        "libcensus_collector_internal_errors_total",
        "counter",
        "Calls that ended in an internal error; each has an incident in the log.",
    ),
    ProcessFamily(
        "grpc_server_started_total",
        "counter",
        "Calls that arrived at the server. Those that gRPC itself ends before a handler runs (too many at once, a "
        "message too large, a client that went away) are counted here and not in grpc_server_handled_total.",
        _GRPC_LABELS,
    ),
    ProcessFamily(
        "grpc_server_handled_total",
        "counter",
        "Calls that a handler ended, by status code.",
        (*_GRPC_LABELS, "grpc_code"),
    ),
    ProcessFamily(
        "grpc_server_handling_seconds",
        "histogram",
        "Time that handlers took, by status code.",
        (*_GRPC_LABELS, "grpc_code"),
        CALL_SECONDS_BUCKETS,
    ),
)


def process_families() -> tuple[ProcessFamily, ...]:
    """Return the declarations of all families that the collector exports about itself, in the order of exposition.

    The ``process_*`` families of prometheus_client, which are the same in every program, come on top.
    """
    return _FAMILIES


class CollectorMetrics:
    """The counters of one collector, in a registry of its own: several may live in one process.

    Every method may be called from any thread. ``queue_length``, ``upload_bytes``, ``accepted`` and ``speeds``
    are read at the scrape.
    """

    def __init__(
        self,
        version: str,
        queue_length: Callable[[], int],
        upload_bytes: Callable[[], int],
        started: float,
        accepted: Callable[[], AcceptedState] | None = None,
        speeds: Callable[[], SpeedState] | None = None,
    ) -> None:
        self.registry = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        for family in _FAMILIES:
            if family.type == "counter":
                self._counters[family.name] = Counter(family.name, family.help, family.labels, registry=self.registry)
            elif family.type == "gauge":
                self._gauges[family.name] = Gauge(family.name, family.help, family.labels, registry=self.registry)
            else:
                self._histograms[family.name] = Histogram(
                    family.name, family.help, family.labels, buckets=family.buckets, registry=self.registry
                )
        ProcessCollector(registry=self.registry)
        self._gauges["libcensus_collector_build_info"].labels(version, platform.python_version()).set(1)
        self._gauges["libcensus_collector_start_timestamp_seconds"].set(started)
        self._gauges["libcensus_collector_ingest_queue_length"].set_function(queue_length)
        self._gauges["libcensus_collector_upload_bytes"].set_function(upload_bytes)
        if accepted is not None:
            look: Callable[[], AcceptedState] = accepted
            self._gauges["libcensus_acceptance_timestamp_seconds"].set_function(
                lambda: 0.0 if (at := look().good_at) is None else at.timestamp()
            )
            self._gauges["libcensus_acceptance_broken_documents"].set_function(lambda: look().broken_files)
        if speeds is not None:
            measured: Callable[[], SpeedState] = speeds
            self._gauges["libcensus_speed_broken_documents"].set_function(lambda: measured().broken_files)
        # Every outcome is there from the start: a rate over a series that appears late misses its first increase.
        self._reports = self._children("libcensus_collector_reports_total", REPORT_OUTCOMES)
        self._uploads = self._children(
            "libcensus_collector_uploads_total", tuple(one for one in REPORT_OUTCOMES if one != "missing")
        )
        self._store_errors = self._children("libcensus_collector_store_errors_total", STORE_ERROR_KINDS)
        self._scrapes = self._children("libcensus_collector_scrapes_total", SCRAPE_OUTCOMES)
        self._refusals = self._children("libcensus_collector_refusals_total", REFUSAL_REASONS)
        self._http_refusals = self._children("libcensus_collector_http_refusals_total", HTTP_REFUSAL_REASONS)
        self._handshakes = self._children("libcensus_collector_tls_handshakes_total", HANDSHAKE_PORTS)
        self._enrollments = {
            (method, outcome): self._counters["libcensus_collector_enrollments_total"].labels(method, outcome)
            for method in ENROLLMENT_METHODS
            for outcome in ENROLLMENT_OUTCOMES
        }
        self._started: dict[tuple[str, str, str], Counter] = {}
        self._handled: dict[tuple[str, str, str, str], tuple[Counter, Histogram]] = {}

    def _children(self, name: str, values: tuple[str, ...]) -> Mapping[str, Counter]:
        return {value: self._counters[name].labels(value) for value in values}

    def count_report(self, outcome: str) -> None:
        """Count one report."""
        self._reports[outcome].inc()

    def count_upload(self, outcome: str) -> None:
        """Count one upload."""
        self._uploads[outcome].inc()

    def count_commit(self, seconds: float, reports: int, new_facts: int) -> None:
        """Count one group that became durable."""
        self._histograms["libcensus_collector_ingest_commit_seconds"].observe(seconds)
        self._counters["libcensus_collector_ingest_committed_reports_total"].inc(reports)
        self._counters["libcensus_collector_facts_stored_total"].inc(new_facts)

    def count_refusal(self, reason: str) -> None:
        """Count one call that was refused; ``reason`` is one of :data:`REFUSAL_REASONS`."""
        self._refusals[reason].inc()

    def count_store_error(self, kind: str) -> None:
        """Count one refusal by the store."""
        self._store_errors[kind].inc()

    def set_store_usable(self, usable: bool) -> None:
        """Tell whether the store can be written."""
        self._gauges["libcensus_collector_store_usable"].set(int(usable))

    def count_scrape(self, outcome: str, seconds: float) -> None:
        """Count one rendering of the fleet's metrics."""
        self._scrapes[outcome].inc()
        self._histograms["libcensus_collector_scrape_seconds"].observe(seconds)

    def show_shard(self, number: int, count: int, hosts: Callable[[], int]) -> None:
        """Show which part of the hosts is told here; ``hosts`` is asked at each scrape for how many they are."""
        self._gauges["libcensus_collector_shard_info"].labels(str(number), str(count)).set(1)
        self._gauges["libcensus_collector_shard_hosts"].set_function(hosts)

    def show_certificates(self, ends: Callable[[], Mapping[str, datetime]]) -> None:
        """Show until when certificates are good; asked at each scrape, for those that there are now."""
        gauge = self._gauges["libcensus_collector_certificate_expiry_timestamp_seconds"]
        for name in ends():
            gauge.labels(name).set_function(functools.partial(_end_of, ends, name))

    def count_enrollment(self, method: str, outcome: str) -> None:
        """Count one answer to whoever asked for a certificate."""
        self._enrollments[method, outcome].inc()

    def count_http_refusal(self, reason: str) -> None:
        """Count one refusal by the HTTP pages."""
        self._http_refusals[reason].inc()

    def count_handshake(self, port: str) -> None:
        """Count one TLS handshake that began."""
        self._handshakes[port].inc()

    def count_connection(self) -> None:
        """Count one connection on which something was called."""
        self._counters["libcensus_collector_connections_total"].inc()

    def count_internal_error(self) -> None:
        """Count one call that ended in an internal error."""
        self._counters["libcensus_collector_internal_errors_total"].inc()

    def count_started(self, kind: str, service: str, method: str) -> None:
        """Count one call that arrived."""
        key = (kind, service, method)
        child = self._started.get(key)
        if child is None:
            child = self._started[key] = self._counters["grpc_server_started_total"].labels(*key)
        child.inc()

    def count_handled(self, kind: str, service: str, method: str, code: str, seconds: float) -> None:
        """Count one call that a handler ended."""
        key = (kind, service, method, code)
        children = self._handled.get(key)
        if children is None:
            children = self._handled[key] = (
                self._counters["grpc_server_handled_total"].labels(*key),
                self._histograms["grpc_server_handling_seconds"].labels(*key),
            )
        children[0].inc()
        children[1].observe(seconds)

    def render(self, *, openmetrics: bool) -> bytes:
        """Return the exposition in one of the two text formats, without OpenMetrics' end mark."""
        if openmetrics:
            page: bytes = generate_openmetrics(self.registry)  # type: ignore[no-untyped-call]
            return page.removesuffix(_END_OF_OPENMETRICS)
        return generate_latest(self.registry)


def _end_of(ends: Callable[[], Mapping[str, datetime]], name: str) -> float:
    end = ends().get(name)
    return float("nan") if end is None else end.timestamp()
