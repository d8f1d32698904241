"""The certificates that a collector shows and trusts: its own CA's, or those of an external one."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from libcensus.collector.app import Collector
from libcensus.collector.errors import ConfigurationError
from libcensus.collector.pki.authority import Authority, rotate_issuing
from libcensus.collector.pki.serving import AuthorityCertificates, GivenCertificates
from libcensus.v1 import fleet_pb2, fleet_pb2_grpc
from tests.collector.service.running import HOST_ID, settings_for
from tests.collector.service.test_trust import code_of, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ("localhost", "127.0.0.1")
OPERATOR = "spiffe://libcensus/operator/ada"


def now() -> datetime:
    return datetime.now(UTC)


class ExternalAuthority:
    """A CA that is not the collector's, with its files in a folder."""

    def __init__(self, folder: Path, key_type: trustme.KeyType = trustme.KeyType.ECDSA) -> None:
        self.folder = folder
        self.key_type = key_type
        self.ca = trustme.CA(key_type=key_type)
        self.write(self.ca)

    def write(self, ca: trustme.CA, **options: Any) -> None:
        """Write what the collector is to use: a certificate of this CA, its key, and the CA as root of clients."""
        leaf = ca.issue_cert(*NAMES, key_type=self.key_type, **options)
        (self.folder / "server.key").touch(mode=0o600)
        (self.folder / "server.key").write_bytes(leaf.private_key_pem.bytes())
        (self.folder / "server.pem").write_bytes(b"".join(one.bytes() for one in leaf.cert_chain_pems))
        (self.folder / "clients.pem").write_bytes(ca.cert_pem.bytes())

    @property
    def settings(self) -> dict[str, str]:
        return {
            "tls_certificate": str(self.folder / "server.pem"),
            "tls_key": str(self.folder / "server.key"),
            "tls_client_ca": str(self.folder / "clients.pem"),
        }

    def certificates(self) -> GivenCertificates:
        return GivenCertificates(
            self.folder / "server.pem", self.folder / "server.key", self.folder / "clients.pem", now
        )

    def issue(self, uri: str) -> tuple[bytes, bytes]:
        """Return the key and certificate (PEM) of a client that one URI names; trustme issues none."""
        authority: Any = serialization.load_pem_private_key(self.ca.private_key_pem.bytes(), None)
        root = x509.load_pem_x509_certificate(self.ca.cert_pem.bytes())
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(root.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now() - timedelta(minutes=5))
            .not_valid_after(now() + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .sign(authority, hashes.SHA256())
        )
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return pem, certificate.public_bytes(serialization.Encoding.PEM)

    @contextmanager
    def fleet(self, address: str, identity: str = OPERATOR, ca: trustme.CA | None = None) -> Iterator[Any]:
        """A client of the fleet with a certificate for an identity."""
        key, certificate = self.issue(identity)
        credentials = grpc.ssl_channel_credentials((ca or self.ca).cert_pem.bytes(), key, certificate)
        options = (("grpc.ssl_target_name_override", "localhost"), ("grpc.use_local_subchannel_pool", 1))
        with grpc.secure_channel(address, credentials, options) as channel:
            yield fleet_pb2_grpc.FleetServiceStub(channel)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("key_type", list(trustme.KeyType))
def test_an_external_authority_is_served_with(tmp_path: Path, key_type: trustme.KeyType) -> None:
    external = ExternalAuthority(tmp_path, key_type)
    with Collector(settings_for(tmp_path, **external.settings)) as collector:
        assert collector.enrollment_address == ""
        with external.fleet(collector.grpc_address) as fleet:
            fleet.ListHosts(fleet_pb2.ListHostsRequest(), timeout=30)
        for identity, code in (
            (f"spiffe://libcensus/agent/{HOST_ID}", grpc.StatusCode.PERMISSION_DENIED),
            ("spiffe://elsewhere/operator/ada", grpc.StatusCode.UNAUTHENTICATED),
            ("https://example.org/ada", grpc.StatusCode.UNAUTHENTICATED),
        ):
            with external.fleet(collector.grpc_address, identity) as fleet:
                assert code_of(lambda: fleet.ListHosts(fleet_pb2.ListHostsRequest(), timeout=30)) is code


def test_its_new_certificates_are_taken_up_while_connections_stay(tmp_path: Path) -> None:
    external = ExternalAuthority(tmp_path)
    with (
        Collector(settings_for(tmp_path, **external.settings)) as collector,
        external.fleet(collector.grpc_address) as before,
    ):
        before.ListHosts(fleet_pb2.ListHostsRequest(), timeout=30)
        # A server certificate of another authority; that of the clients stays.
        other = trustme.CA()
        external.write(other)
        (tmp_path / "clients.pem").write_bytes(external.ca.cert_pem.bytes())

        def is_taken_up() -> bool:
            with external.fleet(collector.grpc_address, ca=other) as after:
                return code_of(lambda: after.ListHosts(fleet_pb2.ListHostsRequest(), timeout=30)) is grpc.StatusCode.OK

        wait_until(is_taken_up)
        before.ListHosts(fleet_pb2.ListHostsRequest(), timeout=30)


def test_files_that_are_broken_do_not_replace_what_works(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    certificates = ExternalAuthority(tmp_path).certificates()
    first = certificates.current
    (tmp_path / "server.pem").write_text("half a certif")
    time.sleep(1.1)
    assert certificates.current is first
    time.sleep(1.1)
    assert certificates.current is first
    assert caplog.text.count("the certificates stay as they were: tls_certificate: ") == 1
    ExternalAuthority(tmp_path)
    wait_until(lambda: certificates.current.number == first.number + 1)


@pytest.mark.parametrize(
    ("setting", "file", "content", "said"),
    [
        ("tls_certificate", "server.pem", b"x", "holds no certificates in PEM"),
        ("tls_certificate", "server.pem", None, "cannot be read: No such file or directory"),
        ("tls_key", "server.key", b"x", "holds no key in PEM without a passphrase"),
        ("tls_key", "server.key", None, "cannot be read"),
        ("tls_client_ca", "clients.pem", b"", "holds no certificates in PEM"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_at_the_start(
    tmp_path: Path, setting: str, file: str, content: bytes | None, said: str
) -> None:
    external = ExternalAuthority(tmp_path)
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(ConfigurationError) as refused:
        Collector(settings_for(tmp_path, **external.settings)).start()
    assert str(refused.value).startswith(f"{setting}: {tmp_path / file}")
    assert said in str(refused.value)


def test_a_key_that_others_can_read_is_told(tmp_path: Path) -> None:
    external = ExternalAuthority(tmp_path)
    (tmp_path / "server.key").chmod(0o644)
    with pytest.raises(ConfigurationError, match=r"^tls_key: others can read .*; chmod o-r it"):
        Collector(settings_for(tmp_path, **external.settings)).start()


def test_a_key_of_another_certificate_is_told(tmp_path: Path) -> None:
    external = ExternalAuthority(tmp_path)
    (tmp_path / "server.key").write_bytes(external.ca.issue_cert("localhost").private_key_pem.bytes())
    with pytest.raises(ConfigurationError, match="is not the key of the first certificate in"):
        Collector(settings_for(tmp_path, **external.settings)).start()


def test_a_key_with_a_passphrase_is_told(tmp_path: Path) -> None:
    external = ExternalAuthority(tmp_path)
    key = serialization.load_pem_private_key((tmp_path / "server.key").read_bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )
    (tmp_path / "server.key").write_bytes(locked)
    with pytest.raises(ConfigurationError, match="without a passphrase"):
        Collector(settings_for(tmp_path, **external.settings)).start()


def test_an_expired_certificate_is_told(tmp_path: Path) -> None:
    external = ExternalAuthority(tmp_path)
    external.write(external.ca, not_after=now() - timedelta(days=1))
    with pytest.raises(ConfigurationError, match="expired at"):
        Collector(settings_for(tmp_path, **external.settings)).start()


@pytest.mark.parametrize("absent", ["tls_certificate", "tls_key", "tls_client_ca"])
def test_an_external_authority_needs_all_three_files(tmp_path: Path, absent: str) -> None:
    settings = ExternalAuthority(tmp_path).settings
    del settings[absent]
    with pytest.raises(ConfigurationError, match=f"^{absent}: not set"):
        Collector(settings_for(tmp_path, **settings)).start()


def test_enrollment_needs_an_authority_of_the_collectors_own(tmp_path: Path) -> None:
    external = ExternalAuthority(tmp_path)
    for settings in ({}, external.settings):
        with pytest.raises(ConfigurationError, match=r"^enroll_listen: 127\.0\.0\.1:0"):
            Collector(settings_for(tmp_path, enroll_listen="127.0.0.1:0", **settings)).start()


def test_an_authority_that_becomes_unreadable_goes_on_with_what_it_has(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Authority.init(tmp_path / "pki", "libcensus", now())
    certificates = AuthorityCertificates(tmp_path / "pki", "libcensus", NAMES, timedelta(days=7), now)
    first = certificates.current
    (tmp_path / "pki" / "issuing.pem").rename(tmp_path / "issuing.pem")
    time.sleep(1.1)
    assert certificates.current is first
    assert "the certificates stay as they were: " in caplog.text
    (tmp_path / "issuing.pem").rename(tmp_path / "pki" / "issuing.pem")
    rotate_issuing(tmp_path / "pki", now())
    wait_until(lambda: certificates.current.number == first.number + 1)
    assert certificates.current.chain_pem != first.chain_pem


def test_an_authority_near_its_end_is_told_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Authority.init(tmp_path / "pki", "libcensus", now() - timedelta(days=350))
    certificates = AuthorityCertificates(tmp_path / "pki", "libcensus", NAMES, timedelta(days=7), now)
    assert certificates.current.number == 1
    assert "libcensus-collector ca rotate" in caplog.text
