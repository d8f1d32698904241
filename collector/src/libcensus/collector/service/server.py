"""The gRPC servers: which services they offer, what bounds they keep, and how they bind.

Ports are never shared with another process.
"""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import grpc
from grpc_reflection.v1alpha import reflection

from libcensus.collector.address import Endpoint, probe_endpoints, refused_endpoint
from libcensus.collector.service import census, enrollment, fleet, health
from libcensus.v1 import census_pb2, fleet_pb2

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from libcensus.collector.config import CollectorSettings
    from libcensus.collector.service.census import CensusServicer
    from libcensus.collector.service.enrollment import EnrollmentServicer
    from libcensus.collector.service.fleet import FleetServicer
    from libcensus.collector.service.health import HealthServicer
    from libcensus.collector.service.interceptor import CallInterceptor

OFFERED = (
    census_pb2.DESCRIPTOR.services_by_name["CensusService"].full_name,
    fleet_pb2.DESCRIPTOR.services_by_name["FleetService"].full_name,
)

_IDLE_MILLISECONDS = 10 * 60 * 1000
_STREAMS_PER_CONNECTION = 100
_METADATA_BYTES = 16 * 1024
_FLOOD = 4
_RESERVED_FILES = 512
"""Open files that connections leave to the database, the HTTP pages and everything else."""

_ENROLLMENT_CONNECTIONS = 1024
_ENROLLMENT_BYTES = 64 * 1024
_ENROLLMENTS_AT_ONCE = 64

_OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", _METADATA_BYTES),
    ("grpc.max_concurrent_streams", _STREAMS_PER_CONNECTION),
    ("grpc.max_connection_idle_ms", _IDLE_MILLISECONDS),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Agents that stay resident may ping this often; gRPC's own default would close their connection.
    ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
    ("grpc.http2.max_ping_strikes", 3),
    ("grpc.server_handshake_timeout_ms", 10_000),
)


def most_connections(wanted: int) -> int:
    """Return how many of the connections that are wanted leave the last files of the process to what needs them."""
    return max(16, min(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _RESERVED_FILES))


def make_server(
    settings: CollectorSettings,
    workers: ThreadPoolExecutor,
    census_servicer: CensusServicer,
    fleet_servicer: FleetServicer,
    health_servicer: HealthServicer,
    interceptor: CallInterceptor,
) -> grpc.Server:
    """Return a server with all services but enrollment, neither bound nor started.

    A message larger than the bound is refused by gRPC itself before it is unpacked further, so a compressed bomb costs
    no more than the bound.
    """
    server = grpc.server(
        workers,
        interceptors=[interceptor],
        # Calls beyond the bound are refused by admission, with a hint; what is refused without one is a flood.
        maximum_concurrent_rpcs=_FLOOD * settings.max_concurrent_calls,
        options=(
            *_OPTIONS,
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.max_allowed_incoming_connections", most_connections(settings.max_connections)),
        ),
    )
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(census.SERVICE_NAME, census_servicer.handlers()),
            grpc.method_handlers_generic_handler(fleet.SERVICE_NAME, fleet_servicer.handlers()),
            grpc.method_handlers_generic_handler(health.SERVICE_NAME, health_servicer.handlers()),
        )
    )
    reflection.enable_server_reflection((*OFFERED, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    return server


def make_enrollment_server(
    workers: ThreadPoolExecutor, enrollment_servicer: EnrollmentServicer, interceptor: CallInterceptor
) -> grpc.Server:
    """Return a server with ``EnrollmentService`` alone, neither bound nor started."""
    server = grpc.server(
        workers,
        interceptors=[interceptor],
        maximum_concurrent_rpcs=_ENROLLMENTS_AT_ONCE,
        options=(
            *_OPTIONS,
            ("grpc.max_receive_message_length", _ENROLLMENT_BYTES),
            ("grpc.max_allowed_incoming_connections", most_connections(_ENROLLMENT_CONNECTIONS)),
        ),
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(enrollment.SERVICE_NAME, enrollment_servicer.handlers()),)
    )
    return server


def bind(
    server: grpc.Server,
    setting: str,
    endpoints: tuple[Endpoint, ...],
    credentials: grpc.ServerCredentials | None = None,
) -> tuple[Endpoint, ...]:
    """Bind the endpoints that this host has, all on one port; returns them with the port that was chosen.

    Without credentials in plaintext: the caller has made sure that the endpoints are loopback. Raises
    ConfigurationError naming the address that cannot be bound.
    """
    bound: list[Endpoint] = []
    for endpoint in probe_endpoints(setting, endpoints):
        wanted = Endpoint(endpoint.address, endpoint.port or (bound[0].port if bound else 0))
        try:
            if credentials is None:
                port = server.add_insecure_port(str(wanted))
            else:
                port = server.add_secure_port(str(wanted), credentials)
        except RuntimeError as error:
            # The probe found it free, so somebody took it in between.
            raise refused_endpoint(setting, wanted) from error
        bound.append(Endpoint(endpoint.address, port))
    return tuple(bound)
