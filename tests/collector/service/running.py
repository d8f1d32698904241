"""A collector that really runs, and a client that speaks to it as an agent does."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import grpc

from libcensus.collector.app import Collector
from libcensus.collector.config import CollectorSettings
from libcensus.collector.service.identity import HOST_ID_KEY
from libcensus.facts.codec import digest_to_proto, fact_kind_to_proto, report_to_proto
from libcensus.facts.report import Report
from libcensus.v1 import census_pb2, census_pb2_grpc, fleet_pb2_grpc
from tests.contract.specimens import PROBES, Census

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from libcensus.collector.store.contract import FactRecord, Store

HOST_ID = "0123456789abcdef0123456789abcdef"
TODAY = date(2026, 11, 23)


def settings_for(folder: Path, **changes: Any) -> CollectorSettings:
    """Settings with free ports and a database in a folder."""
    base = CollectorSettings(
        listen="127.0.0.1:0",
        http_listen="127.0.0.1:0",
        database=f"sqlite:///{folder}/census.db",
        workers=16,
        grace_seconds=10.0,
    )
    return replace(base, **changes)


@contextmanager
def running_collector(folder: Path, store: Store | None = None, **changes: Any) -> Iterator[Collector]:
    """A collector that serves until the block ends."""
    with Collector(settings_for(folder, **changes), store, today=lambda: TODAY) as collector:
        yield collector


def metadata_of(host_id: str) -> tuple[tuple[str, str], ...]:
    """The metadata by which a host tells who it is on loopback."""
    return ((HOST_ID_KEY, host_id),)


def upload_of(record: FactRecord) -> census_pb2.UploadFactsRequest:
    """A fact as it is uploaded."""
    return census_pb2.UploadFactsRequest(
        kind=fact_kind_to_proto(record.kind), digest=digest_to_proto(record.digest), payload=record.payload
    )


def report_of(inventory: str, report_id: bytes | None = None) -> census_pb2.ReportRequest:
    """A report of an inventory, with an id of its own unless one is given."""
    return report_to_proto(
        Report(
            report_id=uuid.uuid4().bytes if report_id is None else report_id,
            agent_version="0.1.0",
            scanned_at=datetime.now(UTC),
            scan_seconds=1.5,
            inventory=inventory,
            probes=PROBES,
        )
    )


@dataclass
class Client:
    """One channel with the stubs that a test needs."""

    channel: grpc.Channel
    census: census_pb2_grpc.CensusServiceStub = field(init=False)
    fleet: fleet_pb2_grpc.FleetServiceStub = field(init=False)

    def __post_init__(self) -> None:
        self.census = census_pb2_grpc.CensusServiceStub(self.channel)  # type: ignore[no-untyped-call]
        self.fleet = fleet_pb2_grpc.FleetServiceStub(self.channel)  # type: ignore[no-untyped-call]

    def report(
        self, inventory: str, host_id: str = HOST_ID, report_id: bytes | None = None
    ) -> census_pb2.ReportResponse:
        response: census_pb2.ReportResponse = self.census.Report(
            report_of(inventory, report_id), metadata=metadata_of(host_id), timeout=30
        )
        return response

    def upload(self, *records: FactRecord, host_id: str = HOST_ID) -> census_pb2.UploadFactsResponse:
        response: census_pb2.UploadFactsResponse = self.census.UploadFacts(
            iter([upload_of(one) for one in records]), metadata=metadata_of(host_id), timeout=30
        )
        return response

    def take_census(self, census: Census, host_id: str = HOST_ID) -> None:
        """Bring a host's facts and its report, as an agent does."""
        self.upload(*census.records, host_id=host_id)
        assert not self.report(census.address, host_id).missing


@contextmanager
def client_of(collector: Collector) -> Iterator[Client]:
    """A client of a collector; its channel is closed at the end."""
    with grpc.insecure_channel(collector.grpc_address) as channel:
        yield Client(channel)


def status_of(error: Any) -> tuple[grpc.StatusCode, str]:
    """Code and details of a refused call; gRPC's errors are calls too, which its types do not say."""
    return error.code(), error.details() or ""
