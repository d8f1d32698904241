"""The collector as one object: store, ingest, gRPC, HTTP, started in order and stopped without losing anything.

The command runs one; ``libcensus demo`` and tests run it inside their own process. It reads no environment and no
arguments, and installs no signal handlers.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Self

from libcensus.collector.acceptance.fleet import AcceptancesOfTheDay
from libcensus.collector.acceptance.folder import AcceptanceSource
from libcensus.collector.advisories.published import CatalogueSource
from libcensus.collector.errors import ConfigurationError, StoreError
from libcensus.collector.fleetindex import FleetIndex
from libcensus.collector.http import Guard, Response, bind_http
from libcensus.collector.ingest import Ingest
from libcensus.collector.landing import Landing, landing_page
from libcensus.collector.listening import decide_listening
from libcensus.collector.metrics.exporter import FleetExporter
from libcensus.collector.metrics.exposition import Format
from libcensus.collector.pki.audit import AuditLog
from libcensus.collector.pki.enrollment import Enrollment
from libcensus.collector.pki.watch import RefusalWatch
from libcensus.collector.posture.assessment import Assessor
from libcensus.collector.posture.prepared import PortabilityMemory
from libcensus.collector.postureindex import PostureIndexes
from libcensus.collector.process_metrics import CollectorMetrics
from libcensus.collector.service.admission import Admission, HostLimits, WorkerPool
from libcensus.collector.service.census import CensusServicer, UploadBudget
from libcensus.collector.service.enrollment import EnrollmentServicer
from libcensus.collector.service.fleet import FleetReader, FleetServicer
from libcensus.collector.service.gate import Gate
from libcensus.collector.service.health import HealthServicer, StoreHealth
from libcensus.collector.service.identity import CertificateIdentity, LoopbackIdentity
from libcensus.collector.service.interceptor import CallInterceptor, StreamKeeper
from libcensus.collector.service.portability import PortabilityReader, PortabilityWarmup
from libcensus.collector.service.posture import PostureReader
from libcensus.collector.service.providers import ProvidersReader
from libcensus.collector.service.server import OFFERED, bind, make_enrollment_server, make_server
from libcensus.collector.service.tls import server_credentials
from libcensus.collector.speeds.folder import SpeedSource
from libcensus.collector.store.sql import SqlStore
from libcensus.collector.webconfig import WebConfig, WebState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import date
    from types import TracebackType

    import grpc

    from libcensus.collector.config import CollectorSettings
    from libcensus.collector.http import Request
    from libcensus.collector.listening import Listening
    from libcensus.collector.posture.catalogue import Catalogue
    from libcensus.collector.store.contract import Store

_LOGGER = logging.getLogger(__name__)

_ENROLLMENT_WORKERS = 8
"""Threads for enrollment, apart from those that serve reports: neither of the two can hold up the other."""

_UPLOADS_IN_MEMORY = 4
"""How many uploads of the largest size may lie in memory together; smaller ones share the same bytes."""


class AssessorOfTheDay:
    """Gives the assessor of the present day (UTC) and catalogue, the same one until the day ends or a fact changes.

    What was judged of portability holds on the next day too; what nobody asked for in a day is forgotten.
    """

    def __init__(self, catalogues: Callable[[], Catalogue], today: Callable[[], date]) -> None:
        self._catalogues = catalogues
        self._today = today
        self._lock = threading.Lock()
        self._made: tuple[date, Assessor] | None = None
        self._portability = PortabilityMemory()

    def __call__(self) -> Assessor:
        """Return the assessor of the day."""
        today, catalogue = self._today(), self._catalogues()
        with self._lock:
            made = self._made
            if made is None or made[0] != today or made[1].catalogue is not catalogue:
                if made is None or made[0] != today:
                    self._portability.age()
                made = self._made = (today, Assessor(catalogue, today, self._portability))
            return made[1]


class Collector:
    """A collector that can be started once and stopped.

    Without ``store`` it opens the database that the settings name, and closes it when it stops; a store that is given
    stays open and belongs to the caller. ``today`` is the day for which verdicts are computed, ``clock`` tells whether
    certificates and tokens are good.
    """

    def __init__(
        self,
        settings: CollectorSettings,
        store: Store | None = None,
        *,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._given_store = store
        self._today = today
        self._clock = clock
        self._lock = threading.Lock()
        self._begun = False
        self._stopped = threading.Event()
        self._undo = ExitStack()
        self._grace = settings.grace_seconds
        self._grpc_address = ""
        self._http_address = ""
        self._enrollment_address = ""
        self.version = version("libcensus-collector")

    @property
    def grpc_address(self) -> str:
        """``ADDRESS:PORT`` of the gRPC services, with the port that was chosen; empty before the start."""
        return self._grpc_address

    @property
    def http_address(self) -> str:
        """``ADDRESS:PORT`` of the HTTP pages, with the port that was chosen; empty before the start."""
        return self._http_address

    @property
    def enrollment_address(self) -> str:
        """``ADDRESS:PORT`` of enrollment; empty before the start, and without a certificate authority."""
        return self._enrollment_address

    def start(self) -> Self:
        """Open the store, bind both ports, and serve; returns itself.

        Raises ConfigurationError or StoreError; then nothing stays open. A collector is started once.
        """
        with self._lock, ExitStack() as undo:
            if self._begun:
                raise AssertionError("a collector is started once")
            self._begun = True
            settings = self._settings
            # Addresses first: a refusal to listen must not leave a new database behind.
            listening = decide_listening(settings, self._clock)
            certificates = listening.certificates
            if certificates is not None:
                # The first look finds out whether they are any good.
                certificates.current  # noqa: B018
            assessor_for = AssessorOfTheDay(_catalogues(settings), self._today)
            store = self._open_store(undo)
            documents = AcceptanceSource(None if settings.vex_dir is None else Path(settings.vex_dir))
            accepted_for = AcceptancesOfTheDay(documents, store, self._today)
            speeds = SpeedSource(None if settings.speeds_dir is None else Path(settings.speeds_dir))
            # Reports keep some of the workers for themselves, however many uploads and watches there are.
            uploads = max(1, settings.workers * 3 // 4 - 1)
            budget = UploadBudget(_UPLOADS_IN_MEMORY * settings.max_upload_bytes, uploads)
            metrics = CollectorMetrics(
                self.version,
                lambda: ingest.queued,
                lambda: budget.held,
                time.time(),
                accepted=documents,
                speeds=speeds,
            )
            health_servicer = HealthServicer(OFFERED, max(1, settings.workers // 8))
            store_health = StoreHealth(store, health_servicer, metrics)
            workers = WorkerPool(settings.workers)
            ingest = Ingest(
                store, max_queued=settings.max_queued, observer=store_health, in_flight=lambda: workers.in_flight
            )
            indexes = PostureIndexes(store, assessor_for, accepted_for.on)
            exporter = FleetExporter(
                store,
                assessor_for,
                settings.metrics_detail,
                settings.series_limit,
                indexes.present,
                accepted_for,
                settings.metrics_labels,
                listed_advisories=settings.metrics_advisories,
                measured=speeds.runs,
                shard=settings.shard,
            )
            metrics.show_shard(
                settings.shard.number,
                settings.shard.count,
                lambda: 0 if exporter.glance is None else exporter.glance.shown_hosts,
            )
            roots = (lambda: None) if certificates is None else (lambda: certificates.roots_pem)
            pages = Pages(exporter, metrics, store_health, self.version, roots)
            web = _web_config(settings, listening)
            if web is not None and web.current.certificate_ends_at is not None:
                metrics.show_certificates(web.certificate_ends)
            guard = Guard(WebState if web is None else lambda: web.current, metrics.count_http_refusal)
            http_servers = bind_http("http_listen", listening.http, pages.routes(), guard=guard)
            for http_server in http_servers:
                undo.callback(http_server.stop)
            keeper = StreamKeeper(settings.call_seconds, lambda: metrics.count_refusal("slow"))
            portability = PortabilityReader(FleetIndex(store), assessor_for)
            warmup = PortabilityWarmup(portability)
            grace = timedelta(seconds=settings.renewal_grace)
            refusals = RefusalWatch(store, self._clock, grace)
            audit = AuditLog(None if settings.audit_log is None else Path(settings.audit_log), self._clock)
            undo.callback(audit.close)
            identity = (
                LoopbackIdentity()
                if certificates is None
                else CertificateIdentity(settings.trust_domain, refusals, self._clock)
            )
            if certificates is not None:
                metrics.show_certificates(lambda: certificates.current.ends)
            admission = Admission(
                identity,
                lambda: workers.in_flight,
                settings.max_concurrent_calls,
                HostLimits(settings.host_calls_per_second, settings.host_burst, max(4, settings.workers // 8)),
            )
            server = make_server(
                settings,
                workers,
                CensusServicer(store, ingest, identity, metrics, settings, budget, self.version),
                FleetServicer(
                    FleetReader(store, assessor_for, accepted_for),
                    portability,
                    PostureReader(indexes),
                    ProvidersReader(indexes, speeds.runs),
                    identity,
                    audit,
                ),
                health_servicer,
                CallInterceptor(metrics, keeper, Gate(identity, metrics, audit), admission),
            )
            undo.callback(server.stop, None)
            credentials = None
            if certificates is not None:
                credentials = server_credentials(
                    certificates, asks_clients=True, handshake=lambda: metrics.count_handshake("listen")
                )
            bound = bind(server, "listen", listening.grpc, credentials)
            self._grpc_address, self._http_address = str(bound[0]), str(http_servers[0].endpoint)
            enrollment_server: grpc.Server | None = None
            enrollment_workers = ThreadPoolExecutor(max_workers=_ENROLLMENT_WORKERS, thread_name_prefix="enrollment")
            if (own := listening.authority) is not None:
                enrollment = Enrollment(store, lambda: own.authority, settings, audit, self._clock)
                enrollment_server = make_enrollment_server(
                    enrollment_workers, EnrollmentServicer(enrollment, metrics), CallInterceptor(metrics, keeper)
                )
                undo.callback(enrollment_server.stop, None)
                enrollment_bound = bind(
                    enrollment_server,
                    "enroll_listen",
                    listening.enrollment,
                    server_credentials(own, asks_clients=False, handshake=lambda: metrics.count_handshake("enroll")),
                )
                self._enrollment_address = str(enrollment_bound[0])
            pages.grpc_address, pages.enrollment_address = self._grpc_address, self._enrollment_address
            # From here on in the order in which stopping undoes it, last one first.
            keeper.start()
            undo.callback(keeper.stop)
            ingest.start()
            undo.callback(ingest.stop)
            if certificates is not None:
                refusals.start()
                undo.callback(refusals.stop)
            undo.callback(workers.shutdown, wait=True, cancel_futures=True)
            undo.callback(admission.stop)
            undo.callback(enrollment_workers.shutdown, wait=True, cancel_futures=True)
            store_health.start()
            server.start()
            undo.callback(self._end_calls, server)
            if enrollment_server is not None:
                enrollment_server.start()
                undo.callback(self._end_calls, enrollment_server)
            undo.callback(store_health.stop)
            for http_server in http_servers:
                http_server.start()
            warmup.start()
            undo.callback(warmup.stop)
            self._undo = undo.pop_all()
        _LOGGER.info(
            "serving gRPC (%s) on %s%s and HTTP on %s://%s/",
            "plaintext" if certificates is None else "mutual TLS",
            self._grpc_address,
            f", enrollment on {self._enrollment_address}" if self._enrollment_address else "",
            "http" if guard.web().tls is None else "https",
            self._http_address,
        )
        return self

    def stop(self, grace: float | None = None) -> None:
        """Stop without losing anything that was acknowledged; returns when all is closed, and may be called again.

        Health turns NOT_SERVING, new calls are refused, calls in flight have ``grace`` seconds (the setting's, without)
        to end, what ingest has taken is made durable, and the store is closed.
        """
        with self._lock:
            if grace is not None:
                self._grace = grace
            self._begun = True
            try:
                self._undo.close()
            finally:
                self._stopped.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until somebody has stopped the collector; returns whether that happened within ``timeout`` seconds."""
        return self._stopped.wait(timeout)

    def __enter__(self) -> Self:
        """Start, and return the collector itself."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def _open_store(self, undo: ExitStack) -> Store:
        if self._given_store is not None:
            return self._given_store
        if self._settings.database is None:
            raise ConfigurationError("database: is not set; for example sqlite:////var/lib/libcensus/collector.db")
        store = SqlStore.open(self._settings.database)
        undo.callback(store.close)
        return store

    def _end_calls(self, server: grpc.Server) -> None:
        """Refuse new calls, and let those in flight end within the grace."""
        started = time.monotonic()
        server.stop(self._grace).wait()
        _LOGGER.info("all calls have ended after %.1f s", time.monotonic() - started)


def _catalogues(settings: CollectorSettings) -> CatalogueSource:
    """Return the source of the catalogue: the snapshot on board alone where no folder with feeds is set."""
    return CatalogueSource(None if settings.advisories_dir is None else Path(settings.advisories_dir))


def _web_config(settings: CollectorSettings, listening: Listening) -> WebConfig | None:
    """Return TLS and users of the HTTP pages; raises ConfigurationError where they are wrong, or protect nothing."""
    if settings.web_config is None:
        return None
    can_be_reached = not all(endpoint.is_loopback for endpoint in listening.http)
    return WebConfig(Path(settings.web_config), must_protect=can_be_reached and not settings.http_open)


class Pages:
    """What the HTTP server shows."""

    def __init__(
        self,
        exporter: FleetExporter,
        metrics: CollectorMetrics,
        store_health: StoreHealth,
        version_text: str,
        roots: Callable[[], bytes | None],
    ) -> None:
        self._exporter = exporter
        self._roots = roots
        self._metrics = metrics
        self._health = store_health
        self._version = version_text
        self.grpc_address = ""
        self.enrollment_address = ""

    def routes(self) -> Mapping[str, Callable[[Request], Response]]:
        """Return the pages by path."""
        return {"/": self.landing, "/metrics": self.metrics, "/healthz": self.healthz, "/ca.pem": self.roots}

    def landing(self, _request: Request) -> Response:
        """Tell a person what is here. It looks at nothing that takes time: its numbers are those of the last scrape."""
        state = self._health.current()
        told = Landing(
            version=self._version,
            is_serving=state.serving,
            reason=state.reason,
            detail=self._exporter.detail,
            shard=self._exporter.shard,
            series_limit=self._exporter.series_limit,
            glance=self._exporter.glance,
            grpc=self.grpc_address,
            enrollment=self.enrollment_address,
            has_roots=self._roots() is not None,
        )
        return Response(landing_page(told), "text/html; charset=utf-8")

    def roots(self, _request: Request) -> Response:
        """Give the roots that hosts are to trust: public, and worth nothing without the fingerprint from elsewhere."""
        pem = self._roots()
        if pem is None:
            return Response(b"this collector has no certificate authority of its own\n", status=HTTPStatus.NOT_FOUND)
        return Response(pem, "application/x-pem-file")

    def healthz(self, _request: Request) -> Response:
        """Tell whether the collector serves: 200, or 503 with the reason."""
        state = self._health.current()
        status = HTTPStatus.OK if state.serving else HTTPStatus.SERVICE_UNAVAILABLE
        return Response(f"{state.reason}\n".encode(), status=status)

    def metrics(self, request: Request) -> Response:
        """Render the fleet's metrics and the collector's own, in the format that the scraper likes best.

        A fleet that cannot be read is 503 and no half page: a scrape that succeeds is complete.
        """
        started = time.perf_counter()
        outcome = "failed"
        try:
            content_type, body = self._exporter.pieces(request.headers.get("accept", ""), self._own)
            outcome = "ok"
        except StoreError as error:
            _LOGGER.warning("the metrics could not be rendered: %s", error)
            return Response(b"the collector's database cannot be read\n", status=HTTPStatus.SERVICE_UNAVAILABLE)
        finally:
            self._metrics.count_scrape(outcome, time.perf_counter() - started)
        return Response(body, content_type)

    def _own(self, output: Format) -> bytes:
        return self._metrics.render(openmetrics=output is Format.OPENMETRICS)
