"""EnrollmentService over real TLS: how a host gets its first certificate, and the next ones."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from libcensus.collector.pki.authority import Authority
from libcensus.collector.pki.tokens import make_token
from libcensus.collector.store.sql import SqlStore
from libcensus.v1 import enrollment_pb2, enrollment_pb2_grpc
from tests.collector.service.running import HOST_ID
from tests.collector.service.test_trust import metrics_of, refusal_of, report_with, wait_until
from tests.collector.service.trusted import OTHER_HOST_ID, Holder, TrustedCollector, trusted_collector
from tests.contract.specimens import Census, build

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RENEWAL = b"libcensus renewal v1\0"


def request_for(key: ec.EllipticCurvePrivateKey) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def chain_pem(chain: list[bytes]) -> bytes:
    return b"".join(x509.load_der_x509_certificate(one).public_bytes(serialization.Encoding.PEM) for one in chain)


@contextmanager
def enrollment_of(trusted: TrustedCollector) -> Iterator[Any]:
    credentials = grpc.ssl_channel_credentials(trusted.authority.roots_pem)
    options = (("grpc.ssl_target_name_override", "localhost"), ("grpc.use_local_subchannel_pool", 1))
    with grpc.secure_channel(trusted.collector.enrollment_address, credentials, options) as channel:
        yield enrollment_pb2_grpc.EnrollmentServiceStub(channel)  # type: ignore[no-untyped-call]


def token_for(trusted: TrustedCollector, **options: Any) -> str:
    kept, text = make_token(datetime.now(UTC), options.pop("lifetime", timedelta(hours=1)), **options)
    with SqlStore.open(f"sqlite:///{trusted.folder}/census.db", beside=True) as store:
        store.put_token(kept)
    return text


def enroll(
    stub: Any, token: str, key: ec.EllipticCurvePrivateKey, host_id: str = HOST_ID, hostname: str = "web"
) -> Any:
    return stub.Enroll(
        enrollment_pb2.EnrollRequest(
            token=token,
            certificate_signing_request=request_for(key),
            machine_id_hash=host_id,
            hostname=hostname,
        ),
        timeout=30,
    )


def renew(stub: Any, old_key: ec.EllipticCurvePrivateKey, chain: list[bytes], key: ec.EllipticCurvePrivateKey) -> Any:
    challenge = stub.Challenge(enrollment_pb2.ChallengeRequest(), timeout=30).challenge
    csr = request_for(key)
    return stub.Renew(
        enrollment_pb2.RenewRequest(
            certificate_signing_request=csr,
            certificate_chain=chain,
            challenge=challenge,
            signature=old_key.sign(RENEWAL + challenge + csr, ec.ECDSA(hashes.SHA256())),
        ),
        timeout=30,
    )


def holder_of(trusted: TrustedCollector, key: ec.EllipticCurvePrivateKey, answer: Any) -> Holder:
    base = trusted.agent()
    chain = list(answer.certificate_chain)
    return replace(base, key_pem=pem_of(key), chain_pem=chain_pem(chain))


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def trusted(tmp_path: Path) -> Iterator[TrustedCollector]:
    with trusted_collector(tmp_path) as collector:
        yield collector


def test_a_host_enrolls_reports_and_renews(trusted: TrustedCollector) -> None:
    census = Census.of("web", "w", ("/opt/python", build("b")))
    key, next_key = new_key(), new_key()
    with enrollment_of(trusted) as stub:
        answer = enroll(stub, token_for(trusted, labels={"env": "prod"}), key)
        assert list(answer.trusted_roots) == [
            root.public_bytes(serialization.Encoding.DER) for root in trusted.authority.roots
        ]
        report_with(holder_of(trusted, key, answer), trusted.address, census)
        renewed = renew(stub, key, list(answer.certificate_chain), next_key)
        report_with(holder_of(trusted, next_key, renewed), trusted.address, census)
        # The old one is a copy of somebody's disk from now on.
        wait_until(lambda: metrics_of(trusted)["libcensus_collector_connections_total"] >= 2)
        with SqlStore.open(f"sqlite:///{trusted.folder}/census.db", beside=True) as store:
            wait_until(lambda: store.certificates(f"agent/{HOST_ID}")[0].first_used_at is not None)
            assert store.labels() == {HOST_ID: {"env": "prod"}}
            host = store.find_host(HOST_ID)
            assert host is not None
            assert host.certificate_expires_at == store.certificates(f"agent/{HOST_ID}")[0].expires_at
        code, details = refusal_of(lambda: renew(stub, key, list(answer.certificate_chain), new_key()))
    assert code is grpc.StatusCode.ALREADY_EXISTS
    assert "two copies of its key" in details
    figures = metrics_of(trusted)
    assert figures['libcensus_collector_enrollments_total{method="enroll",outcome="granted"}'] == 1
    assert figures['libcensus_collector_enrollments_total{method="renew",outcome="granted"}'] == 1
    assert figures['libcensus_collector_enrollments_total{method="renew",outcome="refused"}'] == 1


@pytest.mark.parametrize(("days", "renews"), [(36, True), (38, False)])
def test_a_host_that_was_off_for_a_month_renews_its_expired_certificate(
    tmp_path: Path, days: int, renews: bool
) -> None:
    """Good for 7 days, and within 30 more."""
    Authority.init(tmp_path / "pki", "libcensus", datetime.now(UTC) - timedelta(days=90))
    with trusted_collector(tmp_path) as trusted:
        _renew_after(trusted, days, renews)


def _renew_after(trusted: TrustedCollector, days: int, renews: bool) -> None:
    old = trusted.agent(now=datetime.now(UTC) - timedelta(days=days))
    old_key: Any = serialization.load_pem_private_key(old.key_pem, None)
    chain = [one.public_bytes(serialization.Encoding.DER) for one in x509.load_pem_x509_certificates(old.chain_pem)]
    with SqlStore.open(f"sqlite:///{trusted.folder}/census.db", beside=True) as store:
        store.put_certificate(old.record)
    key = new_key()
    with enrollment_of(trusted) as stub:
        if renews:
            answer = renew(stub, old_key, chain, key)
            census = Census.of("web", "w", ("/opt/python", build("b")))
            report_with(holder_of(trusted, key, answer), trusted.address, census)
            return
        code, details = refusal_of(lambda: renew(stub, old_key, chain, key))
    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert "token create" in details


def test_tokens_that_are_guessed_are_refused_more_and_more_slowly_and_others_are_not_held_up_for_long(
    trusted: TrustedCollector,
) -> None:
    codes = []
    with enrollment_of(trusted) as stub:
        for _ in range(15):
            _, guessed = make_token(datetime.now(UTC), timedelta(hours=1))
            codes.append(refusal_of(lambda: enroll(stub, guessed, new_key()))[0])  # noqa: B023
    assert codes[:10] == [grpc.StatusCode.PERMISSION_DENIED] * 10
    assert codes[10:] == [grpc.StatusCode.RESOURCE_EXHAUSTED] * 5
    figures = metrics_of(trusted)
    assert figures['libcensus_collector_refusals_total{reason="enrollment_rate"}'] == 5
    assert figures['libcensus_collector_enrollments_total{method="enroll",outcome="refused"}'] == 10


def test_a_whole_fleet_behind_one_address_enrolls_with_one_token(trusted: TrustedCollector) -> None:
    token = token_for(trusted, uses=50)
    with enrollment_of(trusted) as stub:
        for number in range(50):
            enroll(stub, token, new_key(), f"{number:032x}")
        code, details = refusal_of(lambda: enroll(stub, token, new_key(), OTHER_HOST_ID))
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert "no use left" in details


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("token", "x" * 256),
        ("hostname", "web\n"),
        ("machine_id_hash", "a" * 300),
        ("certificate_signing_request", b""),
        ("certificate_signing_request", b"x" * 17_000),
    ],
)
def test_a_field_out_of_bounds_is_named(trusted: TrustedCollector, field: str, value: Any) -> None:
    request = enrollment_pb2.EnrollRequest(
        token="lct1-x", certificate_signing_request=b"x", machine_id_hash=HOST_ID, hostname="web"
    )
    setattr(request, field, value)
    with enrollment_of(trusted) as stub:
        code, details = refusal_of(lambda: stub.Enroll(request, timeout=30))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details.startswith(f"{field}: ")


def test_no_other_service_is_offered_there(trusted: TrustedCollector) -> None:
    credentials = grpc.ssl_channel_credentials(trusted.authority.roots_pem)
    with grpc.secure_channel(trusted.collector.enrollment_address, credentials) as channel:
        for method in ("libcensus.v1.CensusService/Report", "libcensus.v1.FleetService/ListHosts"):
            call: Any = channel.unary_unary(f"/{method}")  # type: ignore[call-arg]
            assert refusal_of(lambda: call(b"", timeout=30))[0] is grpc.StatusCode.UNIMPLEMENTED  # noqa: B023


def test_enrollment_is_not_offered_on_the_port_of_reports(trusted: TrustedCollector) -> None:
    with trusted.agent().channel(trusted.address) as channel:
        call: Any = channel.unary_unary("/libcensus.v1.EnrollmentService/Challenge")  # type: ignore[call-arg]
        assert refusal_of(lambda: call(b"", timeout=30))[0] is grpc.StatusCode.UNIMPLEMENTED


def test_the_token_stands_in_no_log_and_in_no_answer(
    trusted: TrustedCollector, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    token = token_for(trusted)
    told = []
    with enrollment_of(trusted) as stub:
        enroll(stub, token, new_key())
        told.append(refusal_of(lambda: enroll(stub, token, new_key(), OTHER_HOST_ID))[1])
        told.append(refusal_of(lambda: enroll(stub, token + "x", new_key(), OTHER_HOST_ID))[1])
    secret = token.rpartition("-")[2]
    audit = (trusted.folder / "audit.jsonl").read_text()
    assert [json.loads(line)["event"] for line in audit.splitlines()] == [
        "enrolled",
        "enrollment_refused",
        "enrollment_refused",
    ]
    for text in (*told, caplog.text, audit):
        assert secret not in text
    content = b"".join(path.read_bytes() for path in trusted.folder.glob("census.db*"))
    assert secret.encode() not in content
