"""Only known hosts and operators speak, each to its own service, over TLS 1.3."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2
from hypothesis import given
from hypothesis import strategies as st

from libcensus.collector.errors import ConfigurationError
from libcensus.collector.pki.authority import Authority, rotate_issuing, rotate_root
from libcensus.collector.pki.identity import Identity, InvalidIdentityError, Role, parse_identity
from libcensus.collector.pki.records import Ban
from libcensus.collector.pki.watch import RefusalWatch
from libcensus.collector.service.access import SERVICES, Access, may_call
from libcensus.collector.service.errors import IdentityError
from libcensus.collector.service.identity import HOST_ID_KEY, CertificateIdentity
from libcensus.collector.store.sql import SqlStore
from libcensus.v1 import census_pb2, census_pb2_grpc, fleet_pb2, fleet_pb2_grpc
from tests.collector.service.running import HOST_ID, Client, report_of, settings_for, upload_of
from tests.collector.service.trusted import (
    OTHER_HOST_ID,
    Holder,
    TrustedCollector,
    certify,
    trusted_collector,
)
from tests.contract.specimens import Census, build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.postgres import PostgresServer

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
DENIED = grpc.StatusCode.PERMISSION_DENIED


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrustedCollector]:
    with trusted_collector(tmp_path_factory.mktemp("trusted")) as collector:
        yield collector


def page_of(trusted: TrustedCollector, path: str) -> bytes:
    with urllib.request.urlopen(f"http://{trusted.collector.http_address}{path}", timeout=30) as answer:
        page: bytes = answer.read()
        return page


def metrics_of(trusted: TrustedCollector) -> dict[str, float]:
    lines = page_of(trusted, "/metrics").decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def code_of(call: Callable[[], Any]) -> grpc.StatusCode:
    try:
        call()
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


def refusal_of(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as refused:
        call()
    return refused.value.code(), refused.value.details() or ""


def report_with(holder: Holder, address: str, census: Census, **options: Any) -> census_pb2.ReportResponse:
    with holder.channel(address, **options) as channel:
        stub: Any = census_pb2_grpc.CensusServiceStub(channel)  # type: ignore[no-untyped-call]
        stub.UploadFacts(iter([upload_of(record) for record in census.records]), timeout=30)
        answer: census_pb2.ReportResponse = stub.Report(report_of(census.address), timeout=30)
        return answer


def methods() -> Iterator[tuple[str, str, bool, bool]]:
    """Every method that the collector offers: service, name, whether it takes and gives streams."""
    for module in (census_pb2, fleet_pb2):
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                streams = method.client_streaming, method.server_streaming
                yield service.full_name, method.name, *streams
    yield "grpc.health.v1.Health", "Check", False, False
    yield "grpc.health.v1.Health", "List", False, False
    yield "grpc.health.v1.Health", "Watch", False, True
    yield "grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo", True, True


METHODS = sorted(methods())


def call_raw(channel: Any, service: str, name: str, takes: bool, gives: bool) -> grpc.StatusCode:
    """Call a method with an empty message, and return the code of the answer."""
    path = f"/{service}/{name}"
    empty = (
        reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString() if "reflection" in path else b""
    )
    if takes and gives:
        return code_of(lambda: next(iter(channel.stream_stream(path)(iter([empty]), timeout=30))))
    if takes:
        return code_of(lambda: channel.stream_unary(path)(iter([empty]), timeout=30))
    if gives:
        return code_of(lambda: next(iter(channel.unary_stream(path)(empty, timeout=30))))
    return code_of(lambda: channel.unary_unary(path)(empty, timeout=30))


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize(("service", "name", "takes", "gives"), METHODS, ids=[f"{one[0]}/{one[1]}" for one in METHODS])
def test_each_method_is_open_to_its_roles_alone(
    trusted: TrustedCollector, role: Role, service: str, name: str, takes: bool, gives: bool
) -> None:
    holder = trusted.agent() if role is Role.AGENT else trusted.operator()
    with holder.channel(trusted.address) as channel:
        code = call_raw(channel, service, name, takes, gives)
    if may_call(role, service):
        assert code not in {DENIED, UNAUTHENTICATED}
    else:
        assert code is DENIED


def test_the_table_of_roles_names_every_service_and_no_other() -> None:
    assert SERVICES.keys() == {service for service, *_ in METHODS}
    assert SERVICES["libcensus.v1.CensusService"] is Access.AGENTS
    assert SERVICES["libcensus.v1.FleetService"] is Access.OPERATORS
    assert not any(may_call(role, "libcensus.v1.Unheard") for role in Role)


def test_a_host_reports_for_itself_whatever_its_metadata_say(trusted: TrustedCollector) -> None:
    census = Census.of("web", "w", ("/opt/python", build("b")))
    with trusted.agent().channel(trusted.address) as channel:
        stub: Any = census_pb2_grpc.CensusServiceStub(channel)  # type: ignore[no-untyped-call]
        lie = ((HOST_ID_KEY, OTHER_HOST_ID),)
        stub.UploadFacts(iter([upload_of(record) for record in census.records]), timeout=30, metadata=lie)
        stub.Report(report_of(census.address), timeout=30, metadata=lie)
    with trusted.operator().channel(trusted.address) as channel:
        fleet: Any = fleet_pb2_grpc.FleetServiceStub(channel)  # type: ignore[no-untyped-call]
        hosts = fleet.ListHosts(fleet_pb2.ListHostsRequest(), timeout=30).hosts
    assert [host.host_id for host in hosts] == [HOST_ID]


def test_a_certificate_of_another_authority_gets_no_connection(trusted: TrustedCollector, tmp_path: Path) -> None:
    stranger = certify(Authority.init(tmp_path / "pki", "libcensus", datetime.now(UTC)), Role.AGENT, HOST_ID)
    before = metrics_of(trusted)
    with stranger.channel(trusted.address, roots_pem=trusted.authority.roots_pem) as channel:
        assert call_raw(channel, "libcensus.v1.CensusService", "Report", False, False) is grpc.StatusCode.UNAVAILABLE
    after = metrics_of(trusted)
    handshakes, connections = (
        'libcensus_collector_tls_handshakes_total{port="listen"}',
        "libcensus_collector_connections_total",
    )
    assert after[handshakes] > before[handshakes]
    assert after[connections] == before[connections]


def test_an_agent_does_not_speak_to_a_collector_of_another_authority(trusted: TrustedCollector, tmp_path: Path) -> None:
    other = Authority.init(tmp_path / "pki", "libcensus", datetime.now(UTC))
    with trusted.agent().channel(trusted.address, roots_pem=other.roots_pem) as channel:
        assert call_raw(channel, "libcensus.v1.CensusService", "Report", False, False) is grpc.StatusCode.UNAVAILABLE


def test_without_a_certificate_there_is_no_connection(trusted: TrustedCollector) -> None:
    credentials = grpc.ssl_channel_credentials(trusted.authority.roots_pem)
    with grpc.secure_channel(trusted.address, credentials) as channel:
        assert call_raw(channel, "libcensus.v1.CensusService", "Report", False, False) is grpc.StatusCode.UNAVAILABLE


def test_plaintext_gets_no_answer(trusted: TrustedCollector) -> None:
    with grpc.insecure_channel(trusted.address) as channel:
        assert call_raw(channel, "grpc.health.v1.Health", "Check", False, False) is grpc.StatusCode.UNAVAILABLE


def handshake(address: str, version: ssl.TLSVersion, holder: Holder, folder: Path) -> str:
    host, _, port = address.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2"])
    (folder / "chain.pem").write_bytes(holder.chain_pem)
    (folder / "key.pem").write_bytes(holder.key_pem)
    context.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    with socket.create_connection((host, int(port)), timeout=20) as raw, context.wrap_socket(raw) as wrapped:
        return wrapped.version() or ""


def test_tls_1_3_is_spoken(trusted: TrustedCollector, tmp_path: Path) -> None:
    assert handshake(trusted.address, ssl.TLSVersion.TLSv1_3, trusted.agent(), tmp_path) == "TLSv1.3"


class Connection:
    """What a servicer sees of a connection: gRPC's own is not made without one."""

    def __init__(self, **properties: list[bytes]) -> None:
        self.properties = properties

    def auth_context(self) -> dict[str, list[bytes]]:
        return self.properties


def test_a_call_over_tls_1_2_is_refused_where_grpc_let_the_handshake_pass(
    trusted: TrustedCollector, tmp_path: Path
) -> None:
    with SqlStore.open(f"sqlite:///{tmp_path}/census.db") as store:
        clock = lambda: datetime.now(UTC)  # noqa: E731
        identity = CertificateIdentity("libcensus", RefusalWatch(store, clock), clock)
        leaf = trusted.operator().chain_pem.partition(b"-----END CERTIFICATE-----")
        pem = leaf[0] + leaf[1]
        service = "libcensus.v1.FleetService"
        good: Any = Connection(ssl_tls_version=[b"TLSv1.3"], x509_pem_cert=[pem])
        assert identity.admit(service, good).identity.subject == "operator/ada"
        for properties, said in (
            ({"ssl_tls_version": [b"TLSv1.2"], "x509_pem_cert": [pem]}, "TLSv1.2"),
            ({"x509_pem_cert": [pem]}, "no TLS"),
            ({"ssl_tls_version": [b"TLSv1.3"]}, "no client certificate"),
            ({"ssl_tls_version": [b"TLSv1.3"], "x509_pem_cert": [pem, pem]}, "no client certificate"),
            ({"ssl_tls_version": [b"TLSv1.3"], "x509_pem_cert": [b"x"]}, "cannot be read"),
        ):
            connection: Any = Connection(**properties)
            with pytest.raises(IdentityError, match=said):
                identity.admit(service, connection)


def test_an_expired_certificate_gets_no_connection(trusted: TrustedCollector) -> None:
    expired = trusted.agent(now=datetime.now(UTC) - timedelta(days=8))
    with expired.channel(trusted.address) as channel:
        assert call_raw(channel, "libcensus.v1.CensusService", "Report", False, False) is grpc.StatusCode.UNAVAILABLE


def test_a_certificate_that_expires_while_connected_is_refused_from_then_on(tmp_path: Path) -> None:
    moment = [datetime.now(UTC)]
    with trusted_collector(tmp_path, clock=lambda: moment[0]) as trusted:
        with trusted.operator().channel(trusted.address) as channel:
            fleet: Any = fleet_pb2_grpc.FleetServiceStub(channel)  # type: ignore[no-untyped-call]
            fleet.ListHosts(fleet_pb2.ListHostsRequest(), timeout=30)
            moment[0] += timedelta(days=7, hours=1)
            code, details = refusal_of(lambda: fleet.ListHosts(fleet_pb2.ListHostsRequest(), timeout=30))
        assert code is UNAUTHENTICATED
        assert "expired at" in details
        assert metrics_of(trusted)['libcensus_collector_refusals_total{reason="expired"}'] == 1


def test_a_certificate_of_another_trust_domain_is_refused(trusted: TrustedCollector) -> None:
    holder = certify(trusted.authority, Role.OPERATOR, "ada", trust_domain="elsewhere")
    with holder.channel(trusted.address) as channel:
        fleet: Any = fleet_pb2_grpc.FleetServiceStub(channel)  # type: ignore[no-untyped-call]
        code, details = refusal_of(lambda: fleet.ListHosts(fleet_pb2.ListHostsRequest(), timeout=30))
    assert code is UNAUTHENTICATED
    assert "elsewhere" in details
    assert "trust_domain" in details


def wait_until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < ends, "it did not happen within a minute"
        time.sleep(0.05)


@pytest.mark.parametrize("how", ["revoked", "banned"])
def test_revocation_and_bans_end_open_connections(tmp_path: Path, how: str) -> None:
    with trusted_collector(tmp_path) as trusted:
        _refuse_and_see(f"sqlite:///{tmp_path}/census.db", how, [trusted])


@pytest.mark.parametrize("how", ["revoked", "banned"])
def test_revocation_and_bans_made_on_one_collector_hold_on_all(
    tmp_path: Path, postgres_server: PostgresServer, how: str
) -> None:
    database = postgres_server.empty_url()
    with (
        trusted_collector(tmp_path, database=database) as first,
        trusted_collector(tmp_path, database=database) as second,
    ):
        _refuse_and_see(database, how, [first, second])


def _answers(stub: Any, code: grpc.StatusCode) -> bool:
    return code_of(lambda: stub.ListHosts(fleet_pb2.ListHostsRequest(), timeout=30)) is code


def _refuse_and_see(database: str, how: str, collectors: list[TrustedCollector]) -> None:
    holder = collectors[0].operator()
    channels = [holder.channel(collector.address) for collector in collectors]
    stubs: list[Any] = [fleet_pb2_grpc.FleetServiceStub(channel) for channel in channels]  # type: ignore[no-untyped-call]
    for stub in stubs:
        stub.ListHosts(fleet_pb2.ListHostsRequest(), timeout=30)
    with SqlStore.open(database, beside=True) as store:
        now = datetime.now(UTC)
        store.put_certificate(holder.record)
        if how == "revoked":
            assert store.revoke_certificates(now, "lost laptop", serial=holder.serial) == 1
        else:
            store.ban(Ban(holder.identity.subject, now, "left the company"))
        for stub in stubs:
            wait_until(partial(_answers, stub, UNAUTHENTICATED))
        _, details = refusal_of(lambda: stubs[-1].ListHosts(fleet_pb2.ListHostsRequest(), timeout=30))
        assert how in details
        # Another operator is not concerned.
        with collectors[-1].operator("grace").channel(collectors[-1].address) as channel:
            other: Any = fleet_pb2_grpc.FleetServiceStub(channel)  # type: ignore[no-untyped-call]
            other.ListHosts(fleet_pb2.ListHostsRequest(), timeout=30)
        if how == "banned":
            assert store.lift_ban(holder.identity.subject)
            for stub in stubs:
                wait_until(partial(_answers, stub, grpc.StatusCode.OK))
    for channel in channels:
        channel.close()


@pytest.mark.parametrize("rotate", [rotate_issuing, rotate_root], ids=["issuing key", "root"])
def test_the_authority_rotates_without_restart_or_a_lost_call(
    tmp_path: Path, rotate: Callable[[Path, datetime], None]
) -> None:
    census = Census.of("web", "w", ("/opt/python", build("b")))
    with trusted_collector(tmp_path) as trusted:
        old = trusted.agent()
        report_with(old, trusted.address, census)
        ended = threading.Event()
        failed: list[grpc.StatusCode] = []
        calls = [0]

        def keep_calling() -> None:
            with old.channel(trusted.address) as channel:
                stub: Any = census_pb2_grpc.CensusServiceStub(channel)  # type: ignore[no-untyped-call]
                while not ended.is_set():
                    code = code_of(lambda: stub.Report(report_of(census.address), timeout=30))
                    calls[0] += 1
                    if code is not grpc.StatusCode.OK:
                        failed.append(code)

        caller = threading.Thread(target=keep_calling)
        caller.start()
        try:
            rotate(tmp_path / "pki", datetime.now(UTC))
            authority = Authority.load(tmp_path / "pki", "libcensus")
            new = certify(authority, Role.AGENT, OTHER_HOST_ID)
            wait_until(lambda: _can_report(new, trusted.address, census))
            # Who knows the old root alone goes on working, with a new connection too.
            assert _can_report(old, trusted.address, census)
            seen = calls[0]
            wait_until(lambda: calls[0] > seen + 5)
        finally:
            ended.set()
            caller.join()
        assert failed == []
        wait_until(lambda: page_of(trusted, "/ca.pem") == authority.roots_pem)


def _can_report(holder: Holder, address: str, census: Census) -> bool:
    return code_of(lambda: report_with(holder, address, census)) is grpc.StatusCode.OK


def test_the_servers_own_certificate_is_renewed_at_two_thirds_of_its_life(tmp_path: Path) -> None:
    moment = [datetime.now(UTC)]
    series = 'libcensus_collector_certificate_expiry_timestamp_seconds{certificate="server"}'
    with trusted_collector(tmp_path, clock=lambda: moment[0]) as trusted:
        first = metrics_of(trusted)[series]
        assert first == pytest.approx((moment[0] + timedelta(days=7)).timestamp(), abs=60)
        moment[0] += timedelta(days=4)
        time.sleep(1.1)
        assert metrics_of(trusted)[series] == first
        moment[0] += timedelta(days=1)
        wait_until(lambda: metrics_of(trusted)[series] > first)


def test_what_is_refused_and_what_operators_read_stands_in_the_audit_log(tmp_path: Path) -> None:
    with trusted_collector(tmp_path) as trusted:
        with trusted.agent().channel(trusted.address) as channel:
            for _ in range(5):
                assert call_raw(channel, "libcensus.v1.FleetService", "ListHosts", False, False) is DENIED
        with trusted.operator().channel(trusted.address) as channel:
            assert call_raw(channel, "libcensus.v1.FleetService", "ListHosts", False, False) is grpc.StatusCode.OK
        assert metrics_of(trusted)['libcensus_collector_refusals_total{reason="role"}'] == 5
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    refused = [line for line in lines if line["event"] == "call_refused"]
    assert len(refused) == 1, "the same refusal of the same peer is told once a minute"
    assert refused[0]["reason"].startswith("role: agent/")
    read = [line for line in lines if line["event"] == "operator_read"]
    assert [(line["subject"], line["method"]) for line in read] == [
        ("operator/ada", "libcensus.v1.FleetService/ListHosts")
    ]


def test_labels_that_an_operator_gives_stand_in_the_audit_log(tmp_path: Path) -> None:
    with trusted_collector(tmp_path) as trusted:
        report_with(trusted.agent(), trusted.address, Census.of("web", "w", ("/opt/python", build("b"))))
        with trusted.operator().channel(trusted.address) as channel:
            fleet: Any = fleet_pb2_grpc.FleetServiceStub(channel)  # type: ignore[no-untyped-call]
            given = [fleet_pb2.HostLabel(key="env", value="prod")]
            fleet.SetLabels(fleet_pb2.SetLabelsRequest(host="web", set=given), timeout=30)
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [(line["event"], line["subject"], line["host"], line["reason"]) for line in lines] == [
        ("labels_changed", "operator/ada", "web", "env=prod")
    ]


@pytest.mark.parametrize("setting", ["listen", "http_listen"])
def test_without_certificates_nothing_but_loopback_is_listened_on(tmp_path: Path, setting: str) -> None:
    from libcensus.collector.app import Collector

    with pytest.raises(ConfigurationError) as refused:
        Collector(settings_for(tmp_path, **{setting: "0.0.0.0:0"})).start()
    assert refused.value.exit_code == 3
    assert str(refused.value).startswith(f"{setting}: 0.0.0.0 can be reached from other hosts")
    assert ("libcensus-collector ca init" if setting == "listen" else "--web-config") in str(refused.value)
    assert not (tmp_path / "census.db").exists()


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)


@given(st.text(max_size=60))
def test_a_text_is_an_identity_or_is_refused(text: str) -> None:
    try:
        identity = parse_identity(text)
    except InvalidIdentityError:
        return
    assert identity.uri == text


@given(NAMES)
def test_an_identity_comes_back_from_its_uri(name: str) -> None:
    identity = Identity("libcensus", Role.OPERATOR, name)
    assert parse_identity(identity.uri) == identity


@pytest.mark.parametrize(
    "uri",
    [
        "spiffe://libcensus/agent/" + "g" * 32,
        "spiffe://libcensus/agent/" + "a" * 31,
        "spiffe://libcensus/agent/" + "a" * 32 + "/x",
        "spiffe://libcensus/agent/" + "A" * 32,
        "spiffe://libcensus/agent/" + "a" * 32 + "\n",
        "spiffe://libcensus/admin/ada",
        "spiffe://libcensus/operator/",
        "spiffe://libcensus/operator/-x",
        "spiffe:///operator/ada",
        "spiffe://LIBCENSUS/operator/ada",
        "https://libcensus/operator/ada",
        "",
    ],
)
def test_what_looks_like_an_identity_is_none(uri: str) -> None:
    with pytest.raises(InvalidIdentityError):
        parse_identity(uri)


def test_a_client_of_the_tests_still_speaks_plaintext_on_loopback(tmp_path: Path) -> None:
    from tests.collector.service.running import client_of, running_collector

    with running_collector(tmp_path) as collector, client_of(collector) as client:
        assert isinstance(client, Client)
        assert collector.enrollment_address == ""
        client.fleet.ListHosts(fleet_pb2.ListHostsRequest(), timeout=20)
