"""What surrounds the services: health, reflection, metrics of calls, the bound of time on streams."""

from __future__ import annotations

import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from prometheus_client.parser import text_string_to_metric_families

from libcensus.collector.errors import StoreFullError
from libcensus.collector.service.interceptor import StreamKeeper
from libcensus.collector.store.sql import SqlStore
from tests.collector.service.running import (
    Client,
    client_of,
    metadata_of,
    report_of,
    running_collector,
    status_of,
)
from tests.contract.specimens import Census, build

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from libcensus.collector.app import Collector
    from libcensus.collector.store.contract import ReceivedReport, ReportOutcome

SERVICES = ("", "libcensus.v1.CensusService", "libcensus.v1.FleetService")
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def health_of(client: Client) -> Any:
    return health_pb2_grpc.HealthStub(client.channel)


@pytest.mark.parametrize("service", SERVICES)
def test_a_healthy_collector_serves_every_service(client: Client, service: str) -> None:
    assert health_of(client).Check(health_pb2.HealthCheckRequest(service=service)).status == SERVING


def test_a_service_that_is_not_offered_has_no_health(client: Client) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        health_of(client).Check(health_pb2.HealthCheckRequest(service="libcensus.v1.EnrollmentService"))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


def test_all_services_are_listed_with_their_health(client: Client) -> None:
    listed = health_of(client).List(health_pb2.HealthListRequest()).statuses
    assert {name: response.status for name, response in listed.items()} == dict.fromkeys(SERVICES, SERVING)


def test_a_watch_of_a_service_that_is_not_offered_says_so_and_lasts(client: Client) -> None:
    watch = health_of(client).Watch(health_pb2.HealthCheckRequest(service="other.Service"))
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    assert watch.is_active()
    watch.cancel()


def test_watches_are_few_and_one_that_ends_makes_room(tmp_path: Path) -> None:
    with running_collector(tmp_path, workers=16) as collector, client_of(collector) as client:
        watches = [health_of(client).Watch(health_pb2.HealthCheckRequest()) for _ in range(2)]
        assert [next(watch).status for watch in watches] == [SERVING] * 2
        with pytest.raises(grpc.RpcError) as refused:
            next(health_of(client).Watch(health_pb2.HealthCheckRequest()))
        assert status_of(refused.value)[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        watches[0].cancel()
        tick = threading.Event()
        while True:
            another = health_of(client).Watch(health_pb2.HealthCheckRequest())
            try:
                assert next(another).status == SERVING
                break
            except grpc.RpcError:
                tick.wait(0.01)


def test_reflection_tells_the_services_and_their_messages(client: Client) -> None:
    database = ProtoReflectionDescriptorDatabase(client.channel)
    assert set(database.get_services()) == {
        "libcensus.v1.CensusService",
        "libcensus.v1.FleetService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    described = database.FindFileContainingSymbol("libcensus.v1.CensusService")
    assert "ReportRequest" in {message.name for message in described.message_type}


class UnusableStore(SqlStore):
    """A real store that can be made to refuse everything."""

    trouble: Exception | None = None

    def check(self) -> None:
        if self.trouble is not None:
            raise self.trouble
        super().check()

    def apply_reports(self, reports: Sequence[ReceivedReport]) -> list[ReportOutcome]:
        if self.trouble is not None:
            raise self.trouble
        return super().apply_reports(reports)


def page(collector: Collector, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{collector.http_address}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_health_follows_the_store_at_once_when_a_report_fails_and_when_one_works(tmp_path: Path, mark: str) -> None:
    census = Census.of("h", mark, ("/opt/python3", build(mark)))
    with (
        UnusableStore.open(f"sqlite:///{tmp_path}/t.db") as store,
        running_collector(tmp_path, store, workers=32) as collector,
        client_of(collector) as client,
    ):
        assert isinstance(store, UnusableStore)
        client.take_census(census, mark)
        assert page(collector, "/healthz") == (200, "ok\n")
        watches: list[Iterator[Any]] = [
            health_of(client).Watch(health_pb2.HealthCheckRequest(service=service)) for service in SERVICES
        ]
        assert [next(watch).status for watch in watches] == [SERVING] * 3
        store.trouble = StoreFullError("disk of /secret is full")
        with pytest.raises(grpc.RpcError):
            client.report(census.address, mark)
        assert [next(watch).status for watch in watches] == [NOT_SERVING] * 3
        status, reason = page(collector, "/healthz")
        assert (status, reason) == (503, "the collector's database has no space left\n")
        store.trouble = None
        client.report(census.address, mark)
        assert [next(watch).status for watch in watches] == [SERVING] * 3
        assert page(collector, "/healthz")[0] == 200


def test_watches_that_end_while_the_status_changes_do_not_stop_the_server(tmp_path: Path, mark: str) -> None:
    census = Census.of("h", mark, ("/opt/python3", build(mark)))
    with (
        UnusableStore.open(f"sqlite:///{tmp_path}/t.db") as store,
        running_collector(tmp_path, store, workers=32) as collector,
        client_of(collector) as client,
    ):
        assert isinstance(store, UnusableStore)
        client.take_census(census, mark)
        over = threading.Event()

        def change() -> None:
            while not over.is_set():
                store.trouble = StoreFullError("full") if store.trouble is None else None
                # The outcome is another test's matter; what counts here is that the status changes.
                client.census.Report.future(report_of(census.address), metadata=metadata_of(mark), timeout=20).code()

        with ThreadPoolExecutor(1) as threads:
            changing = threads.submit(change)
            try:
                for _ in range(20):
                    with client_of(collector) as leaving:
                        watches = [health_of(leaving).Watch(health_pb2.HealthCheckRequest()) for _ in range(2)]
                        for watch in watches:
                            # Refused, where those before have not ended yet, is fine too.
                            with suppress(grpc.RpcError):
                                next(watch)
            finally:
                over.set()
            changing.result(60)
        assert health_of(client).Check(health_pb2.HealthCheckRequest(), timeout=20).status in (SERVING, NOT_SERVING)


def test_watches_of_health_end_when_the_collector_stops_and_do_not_hold_it_up(tmp_path: Path) -> None:
    with running_collector(tmp_path, grace_seconds=600.0) as collector, client_of(collector) as client:
        watch = health_of(client).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == SERVING
        collector.stop()
        told = [one.status for one in watch]
    assert told == [NOT_SERVING]


def samples(collector: Collector) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    _, text = page(collector, "/metrics")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def labels(**pairs: str) -> frozenset[tuple[str, str]]:
    return frozenset(pairs.items())


def test_calls_are_counted_and_timed_by_method_and_code(tmp_path: Path, mark: str) -> None:
    census = Census.of("h", mark, ("/opt/python3", build(mark)))
    with running_collector(tmp_path) as collector, client_of(collector) as client:
        client.report(census.address, mark)
        client.take_census(census, mark)
        client.report(census.address, mark)
        with pytest.raises(grpc.RpcError):
            client.report("ab" * 32, "no host id")
        list(ProtoReflectionDescriptorDatabase(client.channel).get_services())
        found = samples(collector)
    report = {"grpc_type": "unary", "grpc_service": "libcensus.v1.CensusService", "grpc_method": "Report"}
    assert found["grpc_server_started_total", labels(**report)] == 4
    assert found["grpc_server_handled_total", labels(**report, grpc_code="OK")] == 3
    assert found["grpc_server_handled_total", labels(**report, grpc_code="UNAUTHENTICATED")] == 1
    assert found["grpc_server_handling_seconds_count", labels(**report, grpc_code="OK")] == 3
    upload = {**report, "grpc_type": "client_stream", "grpc_method": "UploadFacts"}
    assert found["grpc_server_handled_total", labels(**upload, grpc_code="OK")] == 1
    outcomes = {
        outcome: found["libcensus_collector_reports_total", labels(outcome=outcome)]
        for outcome in ("acknowledged", "missing", "refused", "failed")
    }
    assert outcomes == {"acknowledged": 2, "missing": 1, "refused": 1, "failed": 0}
    assert found["libcensus_collector_facts_stored_total", labels()] == 4
    assert found["libcensus_collector_store_usable", labels()] == 1
    assert found["libcensus_collector_ingest_queue_length", labels()] == 0
    assert found["libcensus_collector_upload_bytes", labels()] == 0


def test_a_stream_is_cancelled_when_its_time_is_over_and_not_before() -> None:
    keeper = StreamKeeper(0.05)
    keeper.start()
    late, early = threading.Event(), threading.Event()
    keeper.watch(late.set)
    keeper.forget(keeper.watch(early.set))
    try:
        assert late.wait(10)
        second = threading.Event()
        keeper.watch(second.set)
        assert second.wait(10)
    finally:
        keeper.stop()
    assert not early.is_set()
