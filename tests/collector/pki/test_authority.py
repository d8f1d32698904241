"""The certificate authority: what it issues, what it refuses, and that rotation cuts nobody off. Over real TLS."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from libcensus.collector.errors import ConfigurationError
from libcensus.collector.pki import authority as module
from libcensus.collector.pki.authority import (
    ISSUING_LIFE,
    ROOT_LIFE,
    Authority,
    fingerprint,
    key_sha256,
    retire_root,
    rotate_issuing,
    rotate_root,
)
from libcensus.collector.pki.errors import AuthorityExpiredError, ExpiredCertificateError, RenewalError
from libcensus.collector.pki.identity import Identity, Role
from libcensus.collector.pki.keyfiles import certificates_pem, key_pem
from tests.collector.pki.made import DAY, DOMAIN, HOUR, NOON, new_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from libcensus.collector.pki.authority import IssuedCertificate

HOST = Identity(DOMAIN, Role.AGENT, "a" * 32)
WEEK = 7 * DAY


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an authority."""
    place = tmp_path / "pki"
    Authority.init(place, DOMAIN, NOON)
    return place


def load(folder: Path, now: datetime = NOON) -> Authority:
    return Authority.load(folder, DOMAIN, now)


def issue(authority: Authority, now: datetime = NOON, identity: Identity = HOST) -> IssuedCertificate:
    return authority.issue(new_key().public_key(), identity, WEEK, now)


# --- what it makes ---------------------------------------------------------------------------------------------------


def test_a_new_authority_has_its_keys_apart_and_for_its_owner_alone(folder: Path) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == {
        "root.pem": 0o644,
        "root.key": 0o600,
        "issuing.pem": 0o644,
        "issuing.key": 0o600,
        "roots.pem": 0o644,
    }
    assert folder.stat().st_mode & 0o777 == 0o700
    authority = load(folder)
    root, issuing = authority.roots[0], authority.issuing_chain[0]
    assert authority.issuing_chain == (issuing,)
    assert authority.fingerprints == (fingerprint(root),)
    assert authority.roots_pem == (folder / "root.pem").read_bytes()
    assert authority.root_expires_at == NOON + ROOT_LIFE
    assert authority.issuing_expires_at == NOON + ISSUING_LIFE
    constraints = [one.extensions.get_extension_for_class(x509.BasicConstraints).value for one in (root, issuing)]
    assert [(one.ca, one.path_length) for one in constraints] == [(True, None), (True, 0)]
    assert root.public_key() != issuing.public_key()
    assert DOMAIN in root.subject.rfc4514_string()


def test_there_is_one_authority_in_a_folder(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="ca show"):
        Authority.init(folder, DOMAIN, NOON)


class PowerCutError(Exception):
    """The machine stopped here."""


def cut_power_after(steps: int, patched: pytest.MonkeyPatch) -> None:
    """Let an authority write so many files, and stop the machine at the next."""
    budget = [steps]

    def limited(name: str) -> Callable[..., None]:
        write = getattr(module, name)

        def step(*arguments: object) -> None:
            if not budget[0]:
                raise PowerCutError
            budget[0] -= 1
            write(*arguments)

        return step

    for name in ("write_certificates", "write_key"):
        patched.setattr(module, name, limited(name))


def test_an_authority_whose_making_was_cut_short_is_finished_by_making_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The power goes at each write in turn, before and after it; nobody is left with half an authority."""
    for steps in range(20):
        place = tmp_path / f"{steps}"
        with monkeypatch.context() as patched:
            cut_power_after(steps, patched)
            try:
                Authority.init(place, DOMAIN, NOON)
            except PowerCutError:
                is_cut = True
            else:
                is_cut = False
        left = {path.name: path.read_bytes() for path in place.iterdir()}
        if "issuing.key" not in left:
            with pytest.raises(ConfigurationError, match="ca init"):
                load(place)
            Authority.init(place, DOMAIN, NOON)
        # The root that was made first stays: nobody may have seen two.
        if "root.pem" in left:
            assert (place / "root.pem").read_bytes() == left["root.pem"]
            assert (place / "root.key").read_bytes() == left["root.key"]
        issue(load(place))
        with pytest.raises(ConfigurationError, match="already"):
            Authority.init(place, DOMAIN, NOON)
        if not is_cut:
            break
    assert steps >= 5


def test_an_authority_in_use_that_lost_its_issuing_key_gets_one_by_rotation(folder: Path) -> None:
    rotate_root(folder, NOON)
    host = issue(load(folder))
    (folder / "issuing.key").unlink()
    with pytest.raises(ConfigurationError, match="already"):
        Authority.init(folder, DOMAIN, NOON)
    with pytest.raises(ConfigurationError, match=r"ca rotate, which makes a new one"):
        load(folder)
    rotate_issuing(folder, NOON)
    assert load(folder).verify(host.chain, NOON, DAY) == host.certificate


def test_a_hosts_certificate_says_who_and_what_for(folder: Path) -> None:
    authority = load(folder)
    key = new_key()
    issued = authority.issue(key.public_key(), HOST, WEEK, NOON)
    leaf = issued.certificate
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [HOST.uri]
    usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert issued.not_after == leaf.not_valid_after_utc == NOON + WEEK
    assert NOON - HOUR < issued.not_before < NOON
    assert issued.serial == f"{leaf.serial_number:x}"
    assert issued.key_sha256 == key_sha256(key.public_key())
    assert issued.chain == tuple(
        one.public_bytes(serialization.Encoding.DER) for one in (leaf, *authority.issuing_chain)
    )
    assert authority.verify(issued.chain, NOON, timedelta(0)) == leaf


def test_an_operators_name_may_be_as_long_as_it_can(folder: Path) -> None:
    operator = Identity(DOMAIN, Role.OPERATOR, "o" * 63)
    issued = issue(load(folder), identity=operator)
    assert load(folder).verify(issued.chain, NOON, timedelta(0)) == issued.certificate


def test_nothing_outlives_the_issuing_certificate(folder: Path) -> None:
    near_the_end = NOON + ISSUING_LIFE - DAY
    authority = load(folder, near_the_end)
    assert issue(authority, near_the_end).not_after == NOON + ISSUING_LIFE
    assert authority.issue_server(["c.test"], WEEK, near_the_end).not_after == NOON + ISSUING_LIFE
    with pytest.raises(AuthorityExpiredError, match="ca rotate"):
        issue(authority, NOON + ISSUING_LIFE)


def test_the_nearing_end_is_told(folder: Path) -> None:
    authority = load(folder)
    assert not authority.should_rotate(NOON)
    assert authority.should_rotate(NOON + ISSUING_LIFE - 59 * DAY)


@pytest.mark.parametrize(
    ("names", "message"),
    [((), "server_names: is empty"), (("zürich.test",), "no DNS name that a certificate can hold")],
)
def test_a_server_needs_names_that_a_certificate_can_hold(folder: Path, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load(folder).issue_server(names, WEEK, NOON)


def test_no_key_is_ever_shown(folder: Path) -> None:
    authority = load(folder)
    server = authority.issue_server(["c.test"], WEEK, NOON)
    shown = repr(authority) + repr(server) + str(server)
    assert "PRIVATE" not in shown
    assert "EllipticCurvePrivateKey" not in shown


def test_the_key_of_challenges_is_the_same_for_all_who_have_the_issuing_key(folder: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(folder, copied)
    assert load(folder).challenge_key == load(copied).challenge_key
    other = Authority.init(tmp_path / "other", DOMAIN, NOON)
    assert other.challenge_key != load(folder).challenge_key


def test_the_roots_key_may_be_elsewhere_until_keys_are_rotated(folder: Path) -> None:
    (folder / "root.key").rename(folder.parent / "kept")
    issue(load(folder))
    for rotate in (rotate_issuing, rotate_root):
        with pytest.raises(ConfigurationError, match="copy it from where it is kept"):
            rotate(folder, NOON)
    (folder.parent / "kept").rename(folder / "root.key")
    rotate_issuing(folder, NOON)
    issue(load(folder))


# --- what it refuses to start with -----------------------------------------------------------------------------------


def spoil_mode(folder: Path) -> None:
    (folder / "issuing.key").chmod(0o640)


def spoil_folder(folder: Path) -> None:
    folder.chmod(0o770)


def spoil_key(folder: Path) -> None:
    (folder / "issuing.key").write_bytes(key_pem(new_key()))


def spoil_root(folder: Path) -> None:
    other = Authority.init(folder.parent / "other", DOMAIN, NOON)
    (folder / "roots.pem").write_bytes(other.roots_pem)


def spoil_curve(folder: Path) -> None:
    (folder / "issuing.key").write_bytes(key_pem(new_key(ec.SECP384R1())))


def spoil_text(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text("-----BEGIN NONSENSE-----\n")


def spoil_absent(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def spoil_size(folder: Path) -> None:
    (folder / "roots.pem").write_bytes(b"x" * (1024 * 1024 + 1))


def spoil_kind(folder: Path) -> None:
    (folder / "issuing.pem").unlink()
    (folder / "issuing.pem").mkdir()


def spoil_pipe(folder: Path) -> None:
    (folder / "issuing.key").unlink()
    os.mkfifo(folder / "issuing.key", 0o600)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_mode, "issuing.key: others can read this key .mode 640.*chmod 600"),
        (spoil_folder, "others can write in it .mode 770.*chmod 700"),
        (spoil_key, "issuing.key is not the key of issuing.pem.*ca rotate"),
        (spoil_root, "issuing.pem is not signed by a root of roots.pem"),
        (spoil_curve, "no unencrypted ECDSA P-256 key"),
        (spoil_text("issuing.key"), "no unencrypted ECDSA P-256 key"),
        (spoil_text("issuing.pem"), "no certificate in PEM form"),
        (spoil_text("roots.pem"), "no certificate in PEM form"),
        (spoil_absent("issuing.key"), "issuing.key: there is no such file"),
        (spoil_absent("issuing.pem"), "issuing.pem: there is no such file"),
        (spoil_absent("roots.pem"), "roots.pem: there is no such file"),
        (spoil_size, "longer than"),
        (spoil_kind, "issuing.pem"),
        (spoil_pipe, "issuing.key: is no ordinary file"),
    ],
    ids=lambda value: getattr(value, "__name__", "-"),
)
def test_an_authority_that_is_not_whole_and_safe_is_refused(
    folder: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(folder)
    with pytest.raises(ConfigurationError, match=message):
        load(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_a_key_of_another_user_is_refused_and_one_of_the_folders_owner_is_not(folder: Path) -> None:
    os.chown(folder / "issuing.key", 65534, 65534)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        load(folder)
    os.chown(folder, 65534, 65534)
    load(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_what_root_makes_belongs_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    Authority.init(tmp_path / "pki", DOMAIN, NOON)
    assert {path.stat().st_uid for path in (tmp_path / "pki", *(tmp_path / "pki").iterdir())} == {65534}


def test_without_an_authority_the_way_to_one_is_told(tmp_path: Path) -> None:
    assert not Authority.exists(tmp_path / "none")
    for use in (load, lambda folder: rotate_root(folder, NOON), lambda folder: retire_root(folder, "ab")):
        with pytest.raises(ConfigurationError, match="libcensus-collector ca init"):
            use(tmp_path / "none")


def test_an_authority_of_another_trust_domain_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"set trust_domain = '{DOMAIN}'"):
        Authority.load(folder, "other.test", NOON)


def test_an_authority_that_ended_is_refused(folder: Path) -> None:
    with pytest.raises(AuthorityExpiredError, match=r"issuing\.pem: expired on 2027.*ca rotate"):
        load(folder, NOON + ISSUING_LIFE)
    with pytest.raises(AuthorityExpiredError, match=r"the root expired.*ca init"):
        load(folder, NOON + ROOT_LIFE)
    with pytest.raises(ConfigurationError, match=r"root\.pem: expired"):
        rotate_issuing(folder, NOON + ROOT_LIFE)
    rotate_issuing(folder, NOON + ISSUING_LIFE)
    assert load(folder, NOON + ISSUING_LIFE).issuing_expires_at == NOON + 2 * ISSUING_LIFE


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="--pki-dir"):
        Authority.init(tmp_path / "file" / "pki", DOMAIN, NOON)


# --- verification ----------------------------------------------------------------------------------------------------


def test_the_end_of_a_certificate_is_told_from_the_end_of_grace(folder: Path) -> None:
    authority = load(folder)
    chain = issue(authority).chain
    for moment in (NOON, NOON + WEEK, NOON + WEEK + DAY):
        authority.verify(chain, moment, DAY)
    with pytest.raises(ExpiredCertificateError, match="longer ago than the grace period of 1 days"):
        authority.verify(chain, NOON + WEEK + DAY + HOUR, DAY)
    with pytest.raises(ExpiredCertificateError):
        authority.verify(chain, NOON + WEEK + timedelta(seconds=1), timedelta(0))
    with pytest.raises(RenewalError, match="set the collectors' clocks"):
        authority.verify(chain, NOON - HOUR, DAY)


def chain_of_server(authority: Authority) -> list[bytes]:
    server = authority.issue_server(["c.test"], WEEK, NOON)
    found = x509.load_pem_x509_certificates(server.chain_pem)
    return [one.public_bytes(serialization.Encoding.DER) for one in found]


def test_what_leads_to_no_trusted_root_is_refused(folder: Path, tmp_path: Path) -> None:
    authority = load(folder)
    good = issue(authority).chain
    # An authority of the same name with other keys.
    other = Authority.init(tmp_path / "other", DOMAIN, NOON)
    foreign = issue(other).chain
    bad: dict[str, list[bytes]] = {
        "foreign": list(foreign),
        "foreign leaf under our issuing certificate": [foreign[0], *good[1:]],
        "without its issuing certificate": [good[0]],
        "an authority instead of a leaf": list(good[1:]),
        "a root": [authority.roots[0].public_bytes(serialization.Encoding.DER)],
        "a server's": chain_of_server(authority),
        "nothing": [],
        "no certificate": [b"nonsense"],
        "too many": [good[0]] * 9,
    }
    for name, chain in bad.items():
        with pytest.raises(RenewalError):
            authority.verify(chain, NOON, DAY)
            pytest.fail(name)


# --- rotation, over real TLS -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Client:
    """What a host has: a key, its chain, and the roots that it trusts."""

    key: bytes
    chain: bytes
    roots: bytes

    @classmethod
    def of(cls, authority: Authority) -> Client:
        key = new_key()
        issued = authority.issue(key.public_key(), HOST, WEEK, datetime.now(UTC))
        chain = [x509.load_der_x509_certificate(one) for one in issued.chain]
        return cls(key_pem(key), certificates_pem(chain), authority.roots_pem)


def _who(_request: bytes, context: Any) -> bytes:
    [name] = context.auth_context()["x509_subject_alternative_name"]
    return bytes(name)


_ECHO = grpc.method_handlers_generic_handler("test", {"Who": grpc.unary_unary_rpc_method_handler(_who)})


@contextmanager
def serving(authority: Authority) -> Iterator[str]:
    """Serve over mutual TLS as a collector with this authority would; gives the address."""
    certificate = authority.issue_server(["localhost", "127.0.0.1", "::1"], WEEK, datetime.now(UTC))
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((_ECHO,))
    credentials = grpc.ssl_server_credentials(
        [(certificate.key_pem, certificate.chain_pem)], authority.roots_pem, require_client_auth=True
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


def call(address: str, client: Client) -> str:
    """Return who the server says is speaking, or the name of the code that the connection failed with."""
    credentials = grpc.ssl_channel_credentials(client.roots, client.key, client.chain)
    with grpc.secure_channel(address, credentials) as channel:
        ask: Any = channel.unary_unary("/test/Who", None, None)
        answer = ask.future(b"", timeout=20)
        return str(answer.code().name) if answer.exception() else bytes(answer.result()).decode()


@pytest.fixture
def current(tmp_path: Path) -> Path:
    """A folder with an authority of today: TLS libraries look at the real clock."""
    Authority.init(tmp_path / "now", DOMAIN, datetime.now(UTC))
    return tmp_path / "now"


def now_of(folder: Path) -> Authority:
    return Authority.load(folder, DOMAIN)


def test_grpc_takes_what_the_authority_issues(current: Path) -> None:
    authority = now_of(current)
    with serving(authority) as address:
        assert call(address, Client.of(authority)) == HOST.uri


def test_grpc_refuses_who_has_a_certificate_of_another_authority(current: Path, tmp_path: Path) -> None:
    authority = now_of(current)
    other = Authority.init(tmp_path / "other", DOMAIN, datetime.now(UTC))
    with serving(authority) as address:
        assert call(address, replace(Client.of(other), roots=authority.roots_pem)) == "UNAVAILABLE"
        assert call(address, replace(Client.of(authority), roots=other.roots_pem)) == "UNAVAILABLE"


def test_a_new_issuing_key_cuts_nobody_off(current: Path) -> None:
    before = now_of(current)
    old = Client.of(before)
    rotate_issuing(current, datetime.now(UTC))
    assert before.changed(current)
    after = now_of(current)
    assert not after.changed(current)
    assert after.issuing_chain != before.issuing_chain
    assert after.roots == before.roots
    for server in (before, after):
        with serving(server) as address:
            assert call(address, old) == HOST.uri
            assert call(address, Client.of(after)) == HOST.uri


def test_a_new_root_cuts_nobody_off_until_the_old_one_is_retired(current: Path) -> None:
    first = now_of(current)
    oldest = Client.of(first)
    rotate_root(current, datetime.now(UTC))
    second = now_of(current)
    rotate_root(current, datetime.now(UTC))
    third = now_of(current)
    assert third.roots == (third.roots[0], second.roots[0], first.roots[0])
    assert len(third.issuing_chain) == 3
    newest = Client.of(third)
    with serving(third) as address:
        assert call(address, oldest) == HOST.uri
        assert call(address, Client.of(second)) == HOST.uri
        # Whichever root a host knows, one at a time.
        for root in third.roots:
            assert call(address, replace(newest, roots=certificates_pem([root]))) == HOST.uri
    # A collector that has not loaded the new root yet takes those who have a certificate of the new authority.
    with serving(first) as address:
        assert call(address, newest) == HOST.uri
    retire_root(current, first.fingerprints[0])
    rest = now_of(current)
    assert rest.roots == third.roots[:2]
    assert rest.issuing_chain == third.issuing_chain[:2]
    with serving(rest) as address:
        assert call(address, replace(oldest, roots=rest.roots_pem)) == "UNAVAILABLE"
        assert call(address, newest) == HOST.uri
        assert call(address, Client.of(second)) == HOST.uri
    with pytest.raises(RenewalError, match="of a root that was retired"):
        rest.verify(_der(oldest.chain), datetime.now(UTC), DAY)
    retire_root(current, second.fingerprints[0].upper())
    assert now_of(current).issuing_chain == third.issuing_chain[:1]
    assert not (current / "cross.pem").exists()


def _der(chain: bytes) -> list[bytes]:
    found = x509.load_pem_x509_certificates(chain)
    return [one.public_bytes(serialization.Encoding.DER) for one in found]


def test_the_root_in_use_cannot_be_retired_nor_one_that_is_not_there(folder: Path) -> None:
    authority = load(folder)
    with pytest.raises(ConfigurationError, match="ca rotate --root first"):
        retire_root(folder, authority.fingerprints[0])
    with pytest.raises(ConfigurationError, match=f"there are {authority.fingerprints[0]}"):
        retire_root(folder, "ab" * 32)


@pytest.mark.parametrize("rotate", [rotate_issuing, rotate_root])
def test_an_authority_that_stopped_in_the_middle_of_a_rotation_works_at_every_step(
    folder: Path, monkeypatch: pytest.MonkeyPatch, rotate: Callable[[Path, datetime], None]
) -> None:
    before = load(folder)
    host = issue(before)
    steps = 0
    while True:
        with monkeypatch.context() as patched:
            cut_power_after(steps, patched)
            try:
                rotate(folder, NOON)
            except PowerCutError:
                pass
            else:
                break
        found = load(folder)
        assert found.verify(host.chain, NOON, DAY) == host.certificate
        found.verify(issue(found).chain, NOON, DAY)
        assert before.roots[0] in found.roots
        steps += 1
    assert steps >= 3
    assert load(folder).issuing_chain[0] != before.issuing_chain[0]
