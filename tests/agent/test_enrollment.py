"""Enrollment with a real server over TLS: the CA by its fingerprint, the token, what is believed of the answer."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from libcensus.agent.cli import main
from libcensus.agent.config import CollectorSettings
from libcensus.agent.credentials import IdentityFolder, certificate_to_pem, certificates_in
from libcensus.agent.enrollment import (
    CA_MAX_BYTES,
    Request,
    enroll,
    fetch_ca,
    find_root,
    parse_fingerprint,
    read_token,
    renew,
)
from libcensus.agent.errors import AgentError, ConfigurationError, IdentityError, UnreachableError, UsageError
from libcensus.agent.target import parse_target
from tests.agent.authority import DAY, Authority, Desk, offering, publishing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from libcensus.agent.credentials import StoredIdentity

HOST_ID = "0123456789abcdef0123456789abcdef"
TOKEN = "the-token"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def settings_for(port: int = 9444, **more: Any) -> CollectorSettings:
    return CollectorSettings(f"127.0.0.1:{port}", 20.0, 20.0, 1, 1 << 20, **more)


def request_for(authority: Authority, port: int, ca_file: Path | None, **more: Any) -> Request:
    values: dict[str, Any] = {
        "target": parse_target("127.0.0.1:9444"),
        "enroll_port": port,
        "http_port": 9,
        "ca_fingerprint": authority.fingerprint,
        "ca_file": ca_file,
        "host_id": HOST_ID,
    }
    return Request(**{**values, **more})


def pem_of(authority: Authority, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "ca.pem").write_bytes(authority.pem)
    return folder / "ca.pem"


def enrolled(authority: Authority, desk: Desk, state: Path, **more: Any) -> StoredIdentity:
    folder = IdentityFolder(state)
    with offering(desk, authority) as port:
        request = request_for(authority, port, pem_of(authority, state), **more)
        return enroll(request, TOKEN, folder, settings_for())


@contextmanager
def silent() -> Iterator[tuple[int, list[bytes]]]:
    """A port that takes connections and notes every byte that comes."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        seen: list[bytes] = []

        def take() -> None:
            while True:
                try:
                    channel, _ = listener.accept()
                except OSError:
                    return
                with channel:
                    seen.append(channel.recv(4096))

        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield listener.getsockname()[1], seen
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


# --- what is kept -----------------------------------------------------------------------------------------------------


def test_an_enrolled_host_has_a_key_of_its_own_a_certificate_for_it_and_the_root(
    authority: Authority, tmp_path: Path
) -> None:
    desk = Desk(authority)
    identity = enrolled(authority, desk, tmp_path)
    (asked,) = desk.enrolled
    assert (asked.machine_id_hash, asked.hostname) == (HOST_ID, os.uname().nodename)
    leaf = x509.load_pem_x509_certificate(identity.credentials.certificate_chain)
    key = serialization.load_pem_private_key(identity.credentials.key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(key.curve, ec.SECP256R1)
    assert leaf.public_key() == key.public_key()
    assert identity.credentials.roots == authority.pem
    facts = identity.facts
    assert (facts.host_id, facts.uri) == (HOST_ID, f"spiffe://libcensus/agent/{HOST_ID}")
    assert (facts.not_before, facts.not_after) == (leaf.not_valid_before_utc, leaf.not_valid_after_utc)
    assert facts.serial == f"{leaf.serial_number:x}"
    assert facts.collector == "127.0.0.1:9444"
    assert IdentityFolder(tmp_path).current() == identity
    for path in (tmp_path / "identity").rglob("*"):
        if not path.is_symlink():
            assert path.stat().st_mode & 0o077 == 0, path
    assert not (tmp_path / "identity" / "pending-key.pem").exists()


def test_an_answer_that_was_lost_is_asked_for_again_with_the_same_key(authority: Authority, tmp_path: Path) -> None:
    desk = Desk(authority)
    folder = IdentityFolder(tmp_path)
    file = pem_of(authority, tmp_path)
    with offering(desk, authority) as port:
        desk.change = lambda _chain, _roots: ([], [])
        with pytest.raises(IdentityError):
            enroll(request_for(authority, port, file), TOKEN, folder, settings_for())
        assert folder.current() is None
        desk.change = None
        enroll(request_for(authority, port, file), TOKEN, folder, settings_for())
    keys = {
        x509.load_der_x509_csr(one.certificate_signing_request)
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        for one in desk.enrolled
    }
    assert (len(desk.enrolled), len(keys)) == (2, 1)


def test_a_request_that_is_refused_as_wrong_is_not_made_again(authority: Authority, tmp_path: Path) -> None:
    desk = Desk(authority, refuse=(grpc.StatusCode.INVALID_ARGUMENT, "a certificate for this key was revoked"))
    with pytest.raises(AgentError, match="refused the request for a certificate: a certificate for this key"):
        enrolled(authority, desk, tmp_path)
    assert IdentityFolder(tmp_path).pending_key() is None


# --- the fingerprint --------------------------------------------------------------------------------------------------

DIGITS = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "text",
    [
        DIGITS,
        DIGITS.upper(),
        ":".join(DIGITS[at : at + 2] for at in range(0, 64, 2)).upper(),
        f"sha256:{DIGITS}",
        f"SHA256={DIGITS}",
        f" {DIGITS}\n",
    ],
    ids=["plain", "capitals", "colons", "prefix", "openssl", "blanks"],
)
def test_a_fingerprint_is_understood_as_tools_write_it(text: str) -> None:
    assert parse_fingerprint(text) == DIGITS


@pytest.mark.parametrize("text", ["", "abc", DIGITS[:-1], DIGITS + "0", DIGITS[:-1] + "g", DIGITS[:40]])
def test_what_is_no_fingerprint_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="64 hexadecimal digits"):
        parse_fingerprint(text)


def test_the_right_certificate_of_several_is_trusted_alone(authority: Authority, tmp_path: Path) -> None:
    other = Authority()
    (tmp_path / "many.pem").write_bytes(b"some words\n" + other.pem + b"more\n" + authority.pem)
    assert find_root(request_for(authority, 1, tmp_path / "many.pem")) == authority.der
    # A server that the other one vouches for is not spoken to, although the file holds that root too.
    with (
        offering(Desk(other), other) as port,
        pytest.raises(IdentityError, match="not from the CA that this host trusts"),
    ):
        enroll(request_for(authority, port, tmp_path / "many.pem"), TOKEN, IdentityFolder(tmp_path), settings_for())


def test_nothing_is_sent_to_a_collector_whose_ca_has_another_fingerprint(authority: Authority, tmp_path: Path) -> None:
    other = Authority()
    with silent() as (port, seen), publishing(other.pem) as (http_port, asked):
        request = request_for(authority, port, None, http_port=http_port)
        with pytest.raises(IdentityError, match="nothing was sent") as caught:
            enroll(request, TOKEN, IdentityFolder(tmp_path), settings_for())
        assert other.fingerprint in str(caught.value)
        assert authority.fingerprint in str(caught.value)
    assert seen == []
    assert asked[0] == "GET /ca.pem HTTP/1.1"
    told = "\n".join(asked)
    assert TOKEN not in told
    assert HOST_ID not in told
    assert {line.split(":")[0] for line in asked[1:]} == {"Host", "Accept-Encoding", "Accept", "Connection"}
    assert not (tmp_path / "identity").exists()


def test_a_certificate_that_is_no_ca_is_refused_even_with_its_fingerprint(authority: Authority, tmp_path: Path) -> None:
    _, pem = authority.server()
    (tmp_path / "leaf.pem").write_bytes(pem)
    der = x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
    request = request_for(authority, 1, tmp_path / "leaf.pem", ca_fingerprint=hashlib.sha256(der).hexdigest())
    with pytest.raises(IdentityError, match="not that of a CA"):
        find_root(request)


def test_the_ca_is_fetched_from_the_http_port(authority: Authority, tmp_path: Path) -> None:
    desk = Desk(authority)
    with offering(desk, authority) as port, publishing(authority.pem) as (http_port, _):
        request = request_for(authority, port, None, http_port=http_port)
        assert enroll(request, TOKEN, IdentityFolder(tmp_path), settings_for()).facts.host_id == HOST_ID


def test_the_ca_is_fetched_over_https_where_the_port_speaks_tls(authority: Authority, tmp_path: Path) -> None:
    # Of an authority that nobody here knows: the fingerprint decides.
    key, chain = Authority().server()
    (tmp_path / "pair.pem").write_bytes(key + chain)
    desk = Desk(authority)
    with (
        offering(desk, authority) as port,
        publishing(authority.pem, pair=tmp_path / "pair.pem") as (http_port, asked),
    ):
        request = request_for(authority, port, None, http_port=http_port)
        assert enroll(request, TOKEN, IdentityFolder(tmp_path), settings_for()).facts.host_id == HOST_ID
    assert asked[0] == "GET /ca.pem HTTP/1.1"


@pytest.mark.parametrize(
    ("content", "status", "length", "message"),
    [
        (b"x" * (CA_MAX_BYTES + 1), 200, None, "answered more than"),
        (b"no", 404, None, "answered 404"),
        (b"half", 200, 100, "ended before its end"),
        (b"", 302, None, "answered 302"),
    ],
    ids=["too-large", "not-there", "cut", "redirect"],
)
def test_what_is_fetched_is_bounded_and_a_failure_names_the_file_as_the_way_out(
    content: bytes, status: int, length: int | None, message: str
) -> None:
    with (
        publishing(content, status, length) as (port, _),
        pytest.raises(UnreachableError, match=message) as caught,
    ):
        fetch_ca(parse_target("127.0.0.1"), port, timeout=5)
    assert "--ca FILE" in str(caught.value)


def test_a_server_that_trickles_is_left_at_the_deadline() -> None:
    ended = threading.Event()

    def trickle(listener: socket.socket) -> None:
        for _ in range(2):
            channel, _ = listener.accept()
            with channel:
                channel.settimeout(10)
                channel.recv(4096)
                try:
                    channel.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                    while not ended.wait(0.05):
                        channel.sendall(b"x")
                except OSError:
                    pass

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=trickle, args=(listener,))
        thread.start()
        with pytest.raises(UnreachableError, match=r"did not end within 0\.3 s|timed out"):
            fetch_ca(parse_target("127.0.0.1"), listener.getsockname()[1], timeout=0.3)
        ended.set()
        thread.join()


# --- the token --------------------------------------------------------------------------------------------------------


def test_the_token_is_read_from_a_file_and_others_reading_it_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)
    with caplog.at_level(logging.WARNING, "libcensus"):
        assert read_token(str(file)) == TOKEN
        assert not caplog.text
        file.chmod(0o644)
        assert read_token(str(file)) == TOKEN
    assert "can be read by others (mode 0644)" in caplog.text
    assert TOKEN not in caplog.text


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"\xff\xfe", b"x" * 5000], ids=str)
def test_what_is_no_token_is_refused_and_never_shown(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_token(str(tmp_path / "token"))
    assert "two words" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_token_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_token(str(tmp_path / "none"))


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "details", "kind", "message"),
    [
        (grpc.StatusCode.ALREADY_EXISTS, "the host id is enrolled already", IdentityError, "is enrolled already"),
        (grpc.StatusCode.PERMISSION_DENIED, "banned", IdentityError, "does not accept this host"),
        (grpc.StatusCode.UNAUTHENTICATED, "the join token expired", IdentityError, "the join token expired"),
        (grpc.StatusCode.UNAVAILABLE, "stopping", UnreachableError, "cannot be reached"),
        (grpc.StatusCode.UNIMPLEMENTED, "what?", ConfigurationError, "--enroll-port"),
    ],
    ids=lambda value: value.name if isinstance(value, grpc.StatusCode) else "",
)
def test_each_refusal_has_its_error_and_leaves_no_identity(
    authority: Authority,
    tmp_path: Path,
    code: grpc.StatusCode,
    details: str,
    kind: type[AgentError],
    message: str,
) -> None:
    with pytest.raises(AgentError, match=message) as caught:
        enrolled(authority, Desk(authority, refuse=(code, details)), tmp_path)
    assert type(caught.value) is kind
    assert IdentityFolder(tmp_path).current() is None


def test_an_answer_for_another_key_is_not_used(authority: Authority, tmp_path: Path) -> None:
    stranger = authority.client(HOST_ID, ec.generate_private_key(ec.SECP256R1()).public_key())
    desk = Desk(authority)
    desk.change = lambda _, roots: ([stranger.public_bytes(serialization.Encoding.DER)], roots)
    with pytest.raises(IdentityError, match="for another key"):
        enrolled(authority, desk, tmp_path)


def test_an_answer_for_another_host_is_not_used(authority: Authority, tmp_path: Path) -> None:
    class Confused(Desk):
        def _answer(self, request: bytes, _host_id: str, context: Any) -> Any:
            return super()._answer(request, "f" * 32, context)

    with pytest.raises(IdentityError, match=f"for spiffe://libcensus/agent/{'f' * 32} and not for host {HOST_ID}"):
        enrolled(authority, Confused(authority), tmp_path)


def test_an_answer_that_does_not_lead_to_the_pinned_root_is_not_used(authority: Authority, tmp_path: Path) -> None:
    # The server has a certificate of the pinned root; what it issues is another's.
    desk = Desk(Authority())
    with offering(desk, authority) as port, pytest.raises(IdentityError, match="does not lead to the root"):
        enroll(
            request_for(authority, port, pem_of(authority, tmp_path)), TOKEN, IdentityFolder(tmp_path), settings_for()
        )
    assert IdentityFolder(tmp_path).current() is None


@pytest.mark.parametrize("garbage", [[b"no certificate"], []], ids=["garbage", "empty"])
def test_an_answer_without_a_certificate_is_not_used(
    garbage: list[bytes], authority: Authority, tmp_path: Path
) -> None:
    desk = Desk(authority)
    desk.change = lambda _, roots: (garbage, roots)
    with pytest.raises(IdentityError, match="no certificate that can be understood"):
        enrolled(authority, desk, tmp_path)


# --- clocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "problem"), [(3, "not good yet"), (-30, "good no more")], ids=["collector-ahead", "collector-behind"]
)
def test_a_certificate_that_is_not_good_by_this_clock_names_both_clocks_and_the_remedy(
    days: int, problem: str, authority: Authority, tmp_path: Path
) -> None:
    begin = datetime.now(UTC) + timedelta(days=days)
    with pytest.raises(IdentityError, match=problem) as caught:
        enrolled(authority, Desk(authority, begin=begin, end=begin + 7 * DAY), tmp_path)
    told = str(caught.value)
    assert begin.strftime("%Y-%m-%dT%H:%M") in told
    assert datetime.now(UTC).strftime("%Y-%m-%dT") in told
    assert "timedatectl" in told


@pytest.mark.parametrize(
    ("begin", "end", "problem"), [(-9, -2, "has expired"), (2, 9, "is not yet valid")], ids=["expired", "future"]
)
def test_a_collector_whose_certificate_is_not_good_by_this_clock_is_told_with_its_times(
    begin: int, end: int, problem: str, authority: Authority, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    with (
        offering(Desk(authority), authority, begin=now + begin * DAY, end=now + end * DAY) as port,
        pytest.raises(IdentityError, match=problem) as caught,
    ):
        enroll(
            request_for(authority, port, pem_of(authority, tmp_path)), TOKEN, IdentityFolder(tmp_path), settings_for()
        )
    told = str(caught.value)
    assert (now + end * DAY).strftime("%b %e") in told
    assert now.strftime("%Y-%m-%dT") in told
    assert "timedatectl" in told


def test_a_collector_of_another_name_is_told(authority: Authority, tmp_path: Path) -> None:
    with (
        offering(Desk(authority), authority, name="other.example") as port,
        pytest.raises(IdentityError, match=r"its certificate is not for 127\.0\.0\.1"),
    ):
        enroll(
            request_for(authority, port, pem_of(authority, tmp_path)), TOKEN, IdentityFolder(tmp_path), settings_for()
        )


def test_a_port_without_tls_is_told(authority: Authority, tmp_path: Path) -> None:
    with publishing(b"") as (port, _), pytest.raises(IdentityError, match="does not speak TLS"):
        enroll(
            request_for(authority, port, pem_of(authority, tmp_path)), TOKEN, IdentityFolder(tmp_path), settings_for()
        )


# --- renewal ----------------------------------------------------------------------------------------------------------


def test_a_renewal_proves_the_old_key_and_is_for_a_new_one(authority: Authority, tmp_path: Path) -> None:
    desk = Desk(authority)
    old = enrolled(authority, desk, tmp_path)
    folder = IdentityFolder(tmp_path)
    with offering(desk, authority) as port:
        new = renew(old, folder, settings_for(), parse_target(f"127.0.0.1:{port}"), None)
    (asked,) = desk.renewed
    assert list(asked.certificate_chain) == [
        x509.load_pem_x509_certificate(old.credentials.certificate_chain).public_bytes(serialization.Encoding.DER)
    ]
    assert new.credentials.key != old.credentials.key
    assert folder.current() == new
    assert folder.previous() == old
    folder.confirm(new)
    assert folder.previous() is None
    assert [path.name for path in sorted((tmp_path / "identity").iterdir())] == [new.folder.name, "current"]


def test_a_renewal_brings_the_roots_of_a_rotated_ca(authority: Authority, tmp_path: Path) -> None:
    desk = Desk(authority)
    old = enrolled(authority, desk, tmp_path)
    later = Authority()
    desk.change = lambda chain, roots: (chain, [later.der, *roots])
    with offering(desk, authority) as port:
        new = renew(old, IdentityFolder(tmp_path), settings_for(), parse_target(f"127.0.0.1:{port}"), None)
    assert new.credentials.roots == later.pem + authority.pem


# --- the command ------------------------------------------------------------------------------------------------------


def run_enroll(authority: Authority, port: int, state: Path, *more: str) -> int:
    state.mkdir(exist_ok=True)
    (state / "token").write_text(TOKEN)
    flags = {
        "--token-file": state / "token",
        "--ca": pem_of(authority, state),
        "--ca-fingerprint": authority.fingerprint,
        "--enroll-port": port,
        "--state-dir": state / "state",
    }
    return main(["enroll", *(str(word) for pair in flags.items() for word in pair), *more])


@pytest.mark.parametrize(
    ("collector", "message"),
    [([], "--collector is missing"), (["--collector", "unix:/run/c.sock"], "needs no enrollment")],
    ids=["none", "socket"],
)
def test_a_collector_that_can_be_reached_by_a_name_is_needed(
    collector: list[str],
    message: str,
    authority: Authority,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("libcensus.agent.config.DEFAULT_FILE", tmp_path / "absent.toml")
    assert run_enroll(authority, 1, tmp_path / "a", *collector) == 2
    assert message in capsys.readouterr().err


def test_there_is_no_flag_for_the_token(authority: Authority, tmp_path: Path) -> None:
    assert run_enroll(authority, 1, tmp_path / "a", "--collector", "c", "--token", TOKEN) == 2


def test_a_full_disk_is_told_and_the_same_token_is_good_afterwards(
    authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(authority)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with offering(desk, authority) as port:
        with monkeypatch.context() as filled:
            filled.setattr(IdentityFolder, "store", full)
            assert run_enroll(authority, port, tmp_path / "a", "--collector", "127.0.0.1") == 70
        assert "No space left on device; make room there" in capsys.readouterr().err
        assert run_enroll(authority, port, tmp_path / "a", "--collector", "127.0.0.1") == 0
    first, second = (x509.load_der_x509_csr(one.certificate_signing_request) for one in desk.enrolled)
    assert first.public_key() == second.public_key()


def test_moving_to_another_collector_needs_force(
    authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Authority()
    desks = Desk(authority), Desk(other)
    with offering(desks[0], authority) as port, offering(desks[1], other) as other_port:
        assert run_enroll(authority, port, tmp_path / "a", "--collector", "127.0.0.1") == 0
        assert run_enroll(other, other_port, tmp_path / "a", "--collector", "127.0.0.1:7") == 5
        assert "use --force to enroll it at this one" in capsys.readouterr().err
        assert run_enroll(other, other_port, tmp_path / "a", "--collector", "127.0.0.1:7", "--force") == 0
    identity = IdentityFolder(tmp_path / "a" / "state").current()
    assert identity is not None
    assert (identity.credentials.roots, identity.facts.collector) == (other.pem, "127.0.0.1:7")


# --- PEM --------------------------------------------------------------------------------------------------------------


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=4), st.text(max_size=20))
def test_certificates_come_back_from_pem(ders: list[bytes], between: str) -> None:
    pem = between.encode().join(certificate_to_pem(der) for der in ders)
    assert list(certificates_in(pem)) == ders


@given(st.binary(max_size=200))
def test_whatever_stands_between_the_marks_harms_nobody(content: bytes) -> None:
    for der in certificates_in(b"-----BEGIN CERTIFICATE-----" + content + b"-----END CERTIFICATE-----"):
        assert isinstance(der, bytes)


# --- death ------------------------------------------------------------------------------------------------------------

DYING = """
import os, signal, sys
from pathlib import Path
from libcensus.agent import transport
from libcensus.agent.cli import main
die_at = int(sys.argv[1])
count = 0
def step():
    global count
    count += 1
    if count == die_at:
        os.kill(os.getpid(), signal.SIGKILL)
def dying(real, after=False):
    def call(*arguments, **options):
        step()
        answer = real(*arguments, **options)
        if after:
            step()
        return answer
    return call
for name in ("fsync", "replace", "rename", "unlink", "symlink", "mkdir"):
    setattr(os, name, dying(getattr(os, name)))
transport.EnrollmentClient.enroll = dying(transport.EnrollmentClient.enroll, after=True)
code = main(sys.argv[2:])
print(count)
sys.exit(code)
"""


def test_an_enrollment_that_is_killed_at_any_step_is_made_again_with_the_same_token_and_key(
    authority: Authority, tmp_path: Path
) -> None:
    desk = Desk(authority)
    file = pem_of(authority, tmp_path)
    (tmp_path / "token").write_text(TOKEN)
    with offering(desk, authority) as port:
        for die_at in range(1, 200):
            state = tmp_path / f"state-{die_at}"
            flags = {
                "--collector": "127.0.0.1",
                "--token-file": tmp_path / "token",
                "--ca": file,
                "--ca-fingerprint": authority.fingerprint,
                "--enroll-port": port,
                "--state-dir": state,
            }
            arguments = ["enroll", *(str(word) for pair in flags.items() for word in pair)]

            def run(step: int, arguments: list[str] = arguments) -> subprocess.CompletedProcess[str]:
                return subprocess.run(
                    [sys.executable, "-c", DYING, str(step), *arguments],
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=60,
                )

            desk.enrolled.clear()
            done = run(die_at)
            if done.returncode == 0:
                break
            assert done.returncode == -9, done.stderr
            before = IdentityFolder(state).current()
            again = run(0)
            assert again.returncode == 0, again.stderr
            identity = IdentityFolder(state).current()
            assert identity is not None
            if before is not None:
                assert again.stdout.startswith("enrolled already")
                assert identity == before
            keys = {
                x509.load_der_x509_csr(one.certificate_signing_request)
                .public_key()
                .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
                for one in desk.enrolled
            }
            assert len(keys) == 1
    assert done.returncode == 0, "the enrollment never came to its end"
    assert 15 < int(done.stdout.splitlines()[-1]) < die_at
