"""The collector as one object: starting, failing to start, stopping under load, and the day that verdicts are for."""

from __future__ import annotations

import socket
import threading
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import TYPE_CHECKING

import grpc
import pytest

from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.app import AssessorOfTheDay, Collector
from libcensus.collector.errors import ConfigurationError, StoreBusyError
from libcensus.collector.store.sql import SqlStore
from libcensus.v1 import fleet_pb2
from tests.collector.service.running import Client, client_of, running_collector, settings_for, status_of
from tests.contract.specimens import Census, build

if TYPE_CHECKING:
    from pathlib import Path

    from libcensus.collector.store.contract import HostState


def can_bind(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family) as trial:
            trial.bind((address, 0))
    except OSError:
        return False
    return True


def test_addresses_are_known_once_it_serves(tmp_path: Path) -> None:
    collector = Collector(settings_for(tmp_path))
    assert (collector.grpc_address, collector.http_address) == ("", "")
    with collector:
        assert collector.grpc_address.startswith("127.0.0.1:")
        assert not collector.grpc_address.endswith(":0")
        assert collector.http_address != collector.grpc_address
        assert not collector.wait(0)
    assert collector.wait(0)


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("localhost", id="name"),
        pytest.param("[::1]", id="IPv6", marks=pytest.mark.skipif(not can_bind("::1"), reason="no IPv6 here")),
    ],
)
def test_it_serves_on_names_and_ipv6(tmp_path: Path, address: str) -> None:
    with running_collector(tmp_path, listen=f"{address}:0", http_listen=f"{address}:0") as collector:
        with client_of(collector) as client:
            client.fleet.ListHosts(fleet_pb2.ListHostsRequest(), timeout=20)
        with urllib.request.urlopen(f"http://{collector.http_address}/healthz", timeout=20) as answer:
            assert answer.read() == b"ok\n"


def test_the_same_port_serves_all_addresses_of_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def resolve(host: str, *rest: object, **named: object) -> object:
        if host != "both.example":
            return real(host, *rest, **named)  # type: ignore[arg-type]
        return [(None, None, None, "", ("127.0.0.1", 0)), (None, None, None, "", ("127.0.0.2", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with running_collector(tmp_path, listen="both.example:0", http_listen="both.example:0") as collector:
        http_port = collector.http_address.rsplit(":", 1)[1]
        grpc_port = collector.grpc_address.rsplit(":", 1)[1]
        for address in ("127.0.0.1", "127.0.0.2"):
            with urllib.request.urlopen(f"http://{address}:{http_port}/healthz", timeout=20) as answer:
                assert answer.status == 200
            with grpc.insecure_channel(f"{address}:{grpc_port}") as channel:
                Client(channel).fleet.ListHosts(fleet_pb2.ListHostsRequest(), timeout=20)


def test_a_second_collector_on_the_same_sqlite_file_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with running_collector(tmp_path) as collector:
        with pytest.raises(StoreBusyError, match=r"census\.db"):
            Collector(settings_for(tmp_path)).start()
        with client_of(collector) as client:
            client.take_census(Census.of("h", "second", ("/opt/python3", build("second"))))


def test_a_failed_start_leaves_nothing_open(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for name in ("listen", "http_listen"):
            collector = Collector(settings_for(tmp_path, **{name: address}))
            with pytest.raises(ConfigurationError, match="in use"):
                collector.start()
            collector.stop()
    # The file's lock is free again.
    with running_collector(tmp_path):
        pass
    assert [one.name for one in set(threading.enumerate()) - before if one.is_alive() and "grpc" not in one.name] == []


def test_a_store_that_is_given_stays_open_and_belongs_to_the_caller(tmp_path: Path) -> None:
    with SqlStore.open(f"sqlite:///{tmp_path}/own.db") as store:
        for _ in range(2):
            with running_collector(tmp_path, store, database=None):
                pass
        store.check()


def test_without_store_and_database_it_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="database: is not set"):
        Collector(settings_for(tmp_path, database=None)).start()


def test_stopping_twice_or_before_the_start_is_harmless(tmp_path: Path) -> None:
    never = Collector(settings_for(tmp_path))
    never.stop()
    assert never.wait(0)
    with pytest.raises(AssertionError):
        never.start()
    with running_collector(tmp_path) as collector:
        collector.stop()
        collector.stop()


def test_waiting_ends_when_another_thread_stops_it(tmp_path: Path) -> None:
    with running_collector(tmp_path) as collector, ThreadPoolExecutor(1) as threads:
        waiter = threads.submit(collector.wait)
        collector.stop()
        assert waiter.result(30) is True


def test_a_graceful_stop_under_load_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    enough = threading.Event()
    census = Census.of("loaded", "load", ("/opt/python3", build("load")))
    with running_collector(tmp_path) as collector, client_of(collector) as client:
        client.take_census(census)

        def speak() -> grpc.StatusCode:
            while True:
                host_id = uuid.uuid4().hex
                try:
                    assert not client.report(census.address, host_id).missing
                except grpc.RpcError as error:
                    return status_of(error)[0]
                acknowledged.append(host_id)
                if len(acknowledged) > 200:
                    enough.set()

        with ThreadPoolExecutor(8) as threads:
            speakers = [threads.submit(speak) for _ in range(8)]
            assert enough.wait(60)
            collector.stop()
            ends = {speaker.result(60) for speaker in speakers}
    assert ends <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    with SqlStore.open(f"sqlite:///{tmp_path}/census.db") as store:
        stored = {stamp.host_id for stamp in store.host_stamps()}
    assert set(acknowledged) <= stored
    assert len(acknowledged) > 200


def test_calls_in_flight_are_finished_when_it_stops(tmp_path: Path) -> None:
    entered, gate = threading.Event(), threading.Event()

    class SlowStore(SqlStore):
        def find_host(self, name_or_id: str) -> HostState | None:
            entered.set()
            assert gate.wait(30)
            return super().find_host(name_or_id)

    with (
        SlowStore.open(f"sqlite:///{tmp_path}/slow.db") as store,
        running_collector(tmp_path, store) as collector,
        client_of(collector) as client,
        ThreadPoolExecutor(2) as threads,
    ):
        in_flight = threads.submit(client.fleet.GetHost, fleet_pb2.GetHostRequest(host="x"), timeout=30)
        assert entered.wait(20)
        # A grace that a busy machine cannot use up while new calls are tried.
        stopping = threads.submit(collector.stop, 120.0)
        tick = threading.Event()
        while True:
            # The new call is refused while the old one is still in flight.
            new = client.fleet.ListHosts.future(fleet_pb2.ListHostsRequest(), timeout=20)
            if new.code() is grpc.StatusCode.UNAVAILABLE:
                break
            tick.wait(0.005)
        assert not in_flight.done()
        gate.set()
        assert isinstance(in_flight.exception(30), grpc.RpcError)
        assert status_of(in_flight.exception())[0] is grpc.StatusCode.NOT_FOUND
        stopping.result(30)


def test_the_assessor_lasts_for_a_day() -> None:
    today = date(2026, 11, 23)
    source = AssessorOfTheDay(load_snapshot, lambda: today)
    first = source()
    assert source() is first
    today = date(2026, 11, 24)
    second = source()
    assert second is not first
    assert (first.today, second.today) == (date(2026, 11, 23), date(2026, 11, 24))
    assert second.portability is first.portability
