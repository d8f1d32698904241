"""``web.config.yml`` against real sockets: TLS, users and headers, what is refused, and what changes while it runs."""

from __future__ import annotations

import base64
import http.client
import json
import logging
import os
import socket
import ssl
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import bcrypt
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from libcensus.collector.address import Endpoint
from libcensus.collector.app import Collector
from libcensus.collector.errors import ConfigurationError
from libcensus.collector.http import Guard, HttpBounds, HttpServer, Request, Response, bind_http
from libcensus.collector.passwords import PasswordCheck, PasswordOutcome
from libcensus.collector.pki.authority import Authority
from libcensus.collector.pki.identity import Role
from libcensus.collector.service.limits import AttemptLimit
from libcensus.collector.webconfig import WebConfig
from tests.collector.service.running import running_collector, settings_for
from tests.collector.service.trusted import certify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

LARGE = os.urandom(3_000_000)
PAGES: Mapping[str, Callable[[Request], Response]] = {
    "/": lambda _request: Response(b"hello\n"),
    "/large": lambda _request: Response(LARGE, "application/octet-stream"),
    "/healthz": lambda _request: Response(b"ok\n"),
    "/ca.pem": lambda _request: Response(b"roots\n"),
}


def hashed(password: str, cost: int = 4) -> str:
    return bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(cost)).decode()


ADA = hashed("lovelace")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.init(tmp_path_factory.mktemp("ca"), "libcensus", datetime.now(UTC))


def write_certificate(folder: Path, authority: Authority, name: str = "server", **names: Any) -> None:
    """Write a server's certificate and key, both files in one step each."""
    made = authority.issue_server(names.get("names", ("localhost", "127.0.0.1")), timedelta(days=7), datetime.now(UTC))
    for suffix, content in (("crt", made.chain_pem), ("key", made.key_pem)):
        trial = folder / f"{name}.{suffix}.new"
        trial.write_bytes(content)
        trial.chmod(0o600)
        trial.replace(folder / f"{name}.{suffix}")


def write(folder: Path, text: str) -> Path:
    """Write the file in one step, so that nobody reads half of it."""
    path = folder / "web.config.yml"
    trial = folder / "web.config.yml.new"
    trial.write_text(text, encoding="utf-8")
    trial.replace(path)
    return path


TLS = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
USERS = f"basic_auth_users:\n  ada: {ADA}\n"


class Refusals:
    """Counts what was refused."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def __call__(self, reason: str) -> None:
        self.reasons.append(reason)


@contextmanager
def serving(
    config: WebConfig | None, *, bounds: HttpBounds | None = None, check: PasswordCheck | None = None
) -> Iterator[tuple[HttpServer, Refusals]]:
    refusals = Refusals()
    guard = Guard(count_refusal=refusals, passwords=check or PasswordCheck())
    if config is not None:
        found = config
        guard = Guard(lambda: found.current, refusals, check or PasswordCheck())
    (server,) = bind_http("http_listen", (Endpoint("127.0.0.1", 0),), PAGES, bounds, guard)
    server.start()
    try:
        yield server, refusals
    finally:
        server.stop()


def client_context(authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority.roots_pem.decode())
    return context


def ask(
    server: HttpServer,
    path: str = "/",
    *,
    context: ssl.SSLContext | None = None,
    user: tuple[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, dict[str, str], bytes]:
    address, port = server.endpoint.address, server.endpoint.port
    connection: http.client.HTTPConnection
    if context is None:
        connection = http.client.HTTPConnection(address, port, timeout=30)
    else:
        connection = http.client.HTTPSConnection(address, port, timeout=30, context=context)
    sent = dict(headers or {})
    if user is not None:
        sent["Authorization"] = "Basic " + base64.b64encode(":".join(user).encode()).decode()
    with closing(connection):
        connection.request("GET", path, headers=sent)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


# --- TLS -----------------------------------------------------------------------------------------------------------


def test_pages_are_served_over_tls_1_3(tmp_path: Path, authority: Authority) -> None:
    write_certificate(tmp_path, authority)
    config = WebConfig(write(tmp_path, TLS), must_protect=True)
    with serving(config) as (server, _):
        context = client_context(authority)
        assert ask(server, context=context)[::2] == (200, b"hello\n")
        assert ask(server, "/large", context=context)[2] == LARGE
        address = (server.endpoint.address, server.endpoint.port)
        with socket.create_connection(address) as raw, context.wrap_socket(raw, server_hostname="localhost") as secured:
            assert secured.version() == "TLSv1.3"
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ssl.SSLError):
            ask(server, context=context)


def test_tls_1_2_is_spoken_when_it_is_asked_for(tmp_path: Path, authority: Authority) -> None:
    write_certificate(tmp_path, authority)
    config = WebConfig(write(tmp_path, f"{TLS}  min_version: TLS12\n"), must_protect=True)
    with serving(config) as (server, _):
        context = client_context(authority)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        assert ask(server, context=context)[0] == 200


def test_curl_agrees(tmp_path: Path, authority: Authority) -> None:
    write_certificate(tmp_path, authority)
    (tmp_path / "roots.pem").write_bytes(authority.roots_pem)
    with serving(WebConfig(write(tmp_path, TLS + USERS), must_protect=True)) as (server, _):
        port = server.endpoint.port
        command = ["curl", "--silent", "--show-error", "--fail", "--noproxy", "*"]
        command += ["--cacert", str(tmp_path / "roots.pem")]
        command += ["--user", "ada:lovelace", "--compressed", f"https://localhost:{port}/large", "--output", "-"]
        assert subprocess.run(command, check=True, capture_output=True, timeout=60).stdout == LARGE


def test_plaintext_is_told_that_the_server_speaks_https(tmp_path: Path, authority: Authority) -> None:
    write_certificate(tmp_path, authority)
    with serving(WebConfig(write(tmp_path, TLS), must_protect=True)) as (server, refusals):
        status, _, body = ask(server)
        assert (status, body) == (400, b"this server speaks HTTPS\n")
        assert refusals.reasons == ["plaintext"]


def test_a_handshake_that_fails_is_counted_and_harms_nobody(tmp_path: Path, authority: Authority) -> None:
    write_certificate(tmp_path, authority)
    with serving(WebConfig(write(tmp_path, TLS), must_protect=True)) as (server, refusals):
        with pytest.raises(ssl.SSLCertVerificationError):
            ask(server, context=ssl.create_default_context())
        # The server may hang up, or reset what it has not read, before this side is through.
        address = (server.endpoint.address, server.endpoint.port)
        with socket.create_connection(address) as raw, suppress(OSError):
            raw.sendall(b"\x16\x03\x01garbage" * 100)
            raw.shutdown(socket.SHUT_WR)
            while raw.recv(4096):
                pass
        assert ask(server, context=client_context(authority))[0] == 200
        assert refusals.reasons == ["tls", "tls"]


def test_who_never_ends_a_handshake_is_hung_up_on(tmp_path: Path, authority: Authority) -> None:
    write_certificate(tmp_path, authority)
    config = WebConfig(write(tmp_path, TLS), must_protect=True)
    with serving(config, bounds=HttpBounds(head_seconds=0.3)) as (server, refusals):
        address = (server.endpoint.address, server.endpoint.port)
        for begun in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00"):
            with socket.create_connection(address, timeout=30) as raw:
                raw.sendall(begun)
                assert raw.recv(1) == b""
        assert refusals.reasons == ["tls", "tls"]


def test_stopping_ends_connections_that_are_open(tmp_path: Path, authority: Authority) -> None:
    write_certificate(tmp_path, authority)
    with serving(WebConfig(write(tmp_path, TLS), must_protect=True)) as (server, _):
        raw = socket.create_connection((server.endpoint.address, server.endpoint.port), timeout=30)
        with raw, client_context(authority).wrap_socket(raw, server_hostname="localhost") as secured:
            secured.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert secured.recv(15) == b"HTTP/1.1 200 OK"
            server.stop()
            rest = b""
            # A server that stops ends the connection without TLS's own goodbye.
            with suppress(ssl.SSLError):
                while piece := secured.recv(4096):
                    rest += piece
            assert rest.endswith(b"hello\n")


CLIENTS = "  client_auth_type: {auth}\n  client_ca_file: clients.pem\n"


@pytest.mark.parametrize("auth", ["RequireAndVerifyClientCert", "VerifyClientCertIfGiven"])
def test_certificates_of_clients_are_verified(tmp_path: Path, authority: Authority, auth: str) -> None:
    write_certificate(tmp_path, authority)
    (tmp_path / "clients.pem").write_bytes(authority.roots_pem)
    other = Authority.init(tmp_path / "other", "libcensus", datetime.now(UTC))
    config = WebConfig(write(tmp_path, TLS + CLIENTS.format(auth=auth)), must_protect=True)
    contexts = {}
    for name, issuer in (("own", authority), ("other", other)):
        holder = certify(issuer, Role.OPERATOR, "prometheus")
        (tmp_path / f"{name}.pem").write_bytes(holder.key_pem + holder.chain_pem)
        contexts[name] = client_context(authority)
        contexts[name].load_cert_chain(tmp_path / f"{name}.pem")
    with serving(config) as (server, _):
        assert ask(server, context=contexts["own"])[0] == 200
        with pytest.raises((ssl.SSLError, ConnectionError)):
            ask(server, context=contexts["other"])
        if auth == "VerifyClientCertIfGiven":
            assert ask(server, context=client_context(authority))[0] == 200
        else:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                ask(server, context=client_context(authority))


def test_only_clients_that_are_named_are_let_in(tmp_path: Path, authority: Authority) -> None:
    write_certificate(tmp_path, authority)
    (tmp_path / "clients.pem").write_bytes(authority.roots_pem)
    text = TLS + CLIENTS.format(auth="RequireAndVerifyClientCert")
    text += "  client_allowed_sans: ['spiffe://libcensus/operator/prometheus']\n"
    with serving(WebConfig(write(tmp_path, text), must_protect=True)) as (server, refusals):
        for name, is_let_in in (("prometheus", True), ("eve", False)):
            holder = certify(authority, Role.OPERATOR, name)
            (tmp_path / "client.pem").write_bytes(holder.key_pem + holder.chain_pem)
            context = client_context(authority)
            context.load_cert_chain(tmp_path / "client.pem")
            if is_let_in:
                assert ask(server, context=context)[0] == 200
            else:
                with pytest.raises((ssl.SSLError, ConnectionError, http.client.BadStatusLine)):
                    ask(server, context=context)
        assert refusals.reasons == ["tls"]


# --- users ---------------------------------------------------------------------------------------------------------


def test_pages_want_a_password_and_public_ones_do_not(tmp_path: Path) -> None:
    with serving(WebConfig(write(tmp_path, USERS), must_protect=True)) as (server, refusals):
        status, headers, body = ask(server)
        assert (status, headers["www-authenticate"]) == (401, 'Basic realm="libcensus", charset="UTF-8"')
        assert b"hello" not in body
        assert ask(server, "/nothing")[0] == 401
        assert [ask(server, path)[0] for path in ("/healthz", "/ca.pem", "/healthz?x=y")] == [200, 200, 200]
        assert ask(server, user=("ada", "lovelace"))[::2] == (200, b"hello\n")
        assert ask(server, "/nothing", user=("ada", "lovelace"))[0] == 404
        assert refusals.reasons == ["no_password", "no_password"]


WRONG_HEADERS = {
    "another scheme": "Bearer abc",
    "no base64": "Basic !!!",
    "no colon": "Basic " + base64.b64encode(b"ada").decode(),
    "no text": "Basic " + base64.b64encode(b"\xff:x").decode(),
    "a wrong password": "Basic " + base64.b64encode(b"ada:byron").decode(),
    "an unknown user": "Basic " + base64.b64encode(b"eve:lovelace").decode(),
    "a NUL": "Basic " + base64.b64encode(b"ada:lovelace\0").decode(),
    "nothing after it": "Basic",
}


@pytest.mark.parametrize("header", WRONG_HEADERS.values(), ids=WRONG_HEADERS)
def test_what_is_no_right_password_is_refused_and_counted(tmp_path: Path, header: str) -> None:
    with serving(WebConfig(write(tmp_path, USERS), must_protect=True)) as (server, refusals):
        assert ask(server, headers={"Authorization": header})[0] == 401
        assert refusals.reasons == ["password"]


def test_a_long_password_is_compared_as_bcrypt_does(tmp_path: Path) -> None:
    text = f"basic_auth_users:\n  ada: {hashed('x' * 72)}\n"
    with serving(WebConfig(write(tmp_path, text), must_protect=True)) as (server, _):
        assert ask(server, user=("ada", "x" * 72))[0] == 200
        assert ask(server, user=("ada", "x" * 71))[0] == 401


class Spied:
    """Real bcrypt, with a count of how often it was asked and how often at once."""

    def __init__(self) -> None:
        self.calls = 0
        self.at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()

    def __call__(self, password: bytes, known: bytes) -> bool:
        with self._lock:
            self.calls += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return bcrypt.checkpw(password, known)
        finally:
            with self._lock:
                self.at_once -= 1


def test_a_scraper_pays_for_its_password_once(tmp_path: Path) -> None:
    spied = Spied()
    check = PasswordCheck(compare=spied)
    with serving(WebConfig(write(tmp_path, USERS), must_protect=True), check=check) as (server, _):
        for _ in range(20):
            assert ask(server, user=("ada", "lovelace"))[0] == 200
        assert spied.calls == 1
        assert ask(server, user=("ada", "byron"))[0] == 401
        assert spied.calls == 2


def test_an_unknown_user_costs_as_much_as_a_known_one() -> None:
    asked: list[bytes] = []

    def compare(_password: bytes, known: bytes) -> bool:
        asked.append(known)
        return bcrypt.checkpw(b"", known)

    check = PasswordCheck(compare=compare)
    users = {"ada": hashed("lovelace", 6).encode(), "bob": hashed("x", 5).encode()}
    header = "Basic " + base64.b64encode(b"eve:x").decode()
    assert check.check(users, header, "192.0.2.1") is PasswordOutcome.WRONG
    assert [known[:7] for known in asked] == [b"$2b$06$"]


def test_a_password_that_changed_is_no_longer_right(tmp_path: Path) -> None:
    with serving(WebConfig(write(tmp_path, USERS), must_protect=True)) as (server, _):
        assert ask(server, user=("ada", "lovelace"))[0] == 200
        write(tmp_path, f"basic_auth_users:\n  ada: {hashed('byron')}\n")
        assert ask(server, user=("ada", "lovelace"))[0] == 401
        assert ask(server, user=("ada", "byron"))[0] == 200
        write(tmp_path, f"basic_auth_users:\n  bob: {ADA}\n")
        assert ask(server, user=("ada", "byron"))[0] == 401


def test_guessing_is_bounded_and_whoever_knows_the_password_gets_in_meanwhile(tmp_path: Path) -> None:
    spied = Spied()
    now = [0.0]
    limit = AttemptLimit(burst=5, rate=0.1, burst_of_all=1000, rate_of_all=100, clock=lambda: now[0])
    check = PasswordCheck(limit, spied)
    with serving(WebConfig(write(tmp_path, USERS), must_protect=True), check=check) as (server, refusals):
        assert ask(server, user=("ada", "lovelace"))[0] == 200
        found = [ask(server, user=("ada", f"guess-{number}")) for number in range(12)]
        assert [status for status, _, _ in found] == [401] * 5 + [429] * 7
        assert found[-1][1]["retry-after"] == "10"
        # Limited guesses cost no bcrypt: one for the right password, five for the guesses.
        assert spied.calls == 6
        assert refusals.reasons == ["password"] * 5 + ["rate"] * 7
        assert ask(server, user=("ada", "lovelace"))[0] == 200
        now[0] += 11
        assert [ask(server, user=("ada", f"later-{number}"))[0] for number in range(2)] == [401, 429]


def test_few_passwords_are_checked_at_once() -> None:
    spied = Spied()
    limit = AttemptLimit(burst=1000, rate=1000, burst_of_all=1000, rate_of_all=1000)
    check = PasswordCheck(limit, spied)
    users = {"ada": hashed("lovelace", 8).encode()}

    def guess(number: int) -> PasswordOutcome:
        return check.check(users, "Basic " + base64.b64encode(f"ada:{number}".encode()).decode(), "192.0.2.1")

    with ThreadPoolExecutor(16) as workers:
        assert set(workers.map(guess, range(32))) == {PasswordOutcome.WRONG}
    assert spied.calls == 32
    assert spied.most_at_once <= 2


# --- headers -------------------------------------------------------------------------------------------------------


def test_headers_are_added_to_every_answer(tmp_path: Path) -> None:
    text = "http_server_config:\n  http2: false\n  headers:\n    Strict-Transport-Security: max-age=31536000\n"
    text += "    x-frame-options: deny\n"
    with serving(WebConfig(write(tmp_path, text), must_protect=False)) as (server, _):
        for path in ("/", "/nothing"):
            headers = ask(server, path)[1]
            assert headers["strict-transport-security"] == "max-age=31536000"
            assert headers["x-frame-options"] == "deny"
            assert headers["x-content-type-options"] == "nosniff"


# --- what is refused -----------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[str, str]] = {
    "a key that is not known": ("tls_config: {}\n", "tls_config: is not known; there are tls_server_config"),
    "no mapping": ("- a\n", "holds no keys"),
    "no YAML": ("a: [b\n", "is no YAML in line 2"),
    "a tab": ("a:\n\t- b\n", "is no YAML in line 2"),
    "a key twice": (f"basic_auth_users:\n  ada: {ADA}\n  ada: {ADA}\n", "the key 'ada' stands twice"),
    "an object": ("!!python/object/apply:os.system ['true']\n", "is no YAML in line 1"),
    "no certificate": ("tls_server_config: {}\n", "tls_server_config.cert_file: must be the path of a PEM file"),
    "a file that is not there": (TLS.replace("server.crt", "gone.crt"), "gone.crt cannot be read: No such file"),
    "another's key": (TLS.replace("server.key", "other.key"), "are no PEM certificate chain and its key"),
    "an encrypted key": (TLS.replace("server.key", "locked.key"), "its key without a password"),
    "a file that is no PEM": (TLS.replace("server.crt", "empty.crt"), "are no PEM certificate chain"),
    "an old version": (f"{TLS}  min_version: TLS11\n", "min_version: is none of TLS12, TLS13"),
    "versions crossed": (f"{TLS}  max_version: TLS12\n", "min_version: is above max_version"),
    "ciphers": (f"{TLS}  cipher_suites: [TLS_AES_128_GCM_SHA256]\n", "cipher_suites: it is not supported"),
    "curves": (f"{TLS}  curve_preferences: [X25519]\n", "curve_preferences: it is not supported"),
    "inline certificate": (f"{TLS}  cert: x\n", "tls_server_config.cert: name the certificate's file with cert_file"),
    "a rate limit": ("rate_limit: {burst: 1}\n", "rate_limit: it is not supported"),
    "clients that nobody verifies": (f"{TLS}  client_auth_type: RequestClientCert\n", "is none of NoClientCert"),
    "clients without their CA": (f"{TLS}  client_auth_type: RequireAndVerifyClientCert\n", "belong together"),
    "a CA without its clients": (f"{TLS}  client_ca_file: server.crt\n", "belong together"),
    "a CA that is none": (
        f"{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: empty.crt\n",
        "client_ca_file: ",
    ),
    "names of unverified clients": (f"{TLS}  client_allowed_sans: [x]\n", "needs client_auth_type"),
    "a word for a switch": ("http_server_config: {http2: 'no'}\n", "http_server_config.http2: must be true or false"),
    "a header that is none of those": ("http_server_config: {headers: {Set-Cookie: x}}\n", "Set-Cookie: is none of"),
    "a header of two lines": (
        'http_server_config: {headers: {X-Frame-Options: "a\\nb"}}\n',
        "is no text of one line in ASCII",
    ),
    "a password in clear": ("basic_auth_users: {ada: lovelace}\n", "basic_auth_users.ada: is no bcrypt hash"),
    "a hash that takes for ever": (
        f"basic_auth_users: {{ada: '{ADA.replace('$04$', '$20$')}'}}\n",
        "cost from 4 to 16",
    ),
    "a user with a colon": (f"basic_auth_users: {{'a:b': '{ADA}'}}\n", "a user's name is text without ':'"),
    "a user that is a number": (f"basic_auth_users: {{1: '{ADA}'}}\n", "a user's name is text"),
    "a list for a table": ("basic_auth_users: [ada]\n", "basic_auth_users: holds no keys"),
    "a list for a word": (f"{TLS}  min_version: [TLS12]\n", "min_version: is none of"),
    "too much": ("#" * (1024 * 1024 + 1), "is larger than 1048576 bytes"),
}


@pytest.mark.parametrize(("text", "words"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_refused_with_its_key_and_without_secrets(
    tmp_path: Path, authority: Authority, text: str, words: str
) -> None:
    write_certificate(tmp_path, authority)
    write_certificate(tmp_path, authority, "other")
    (tmp_path / "empty.crt").write_bytes(b"nothing\n")
    locked = ["openssl", "pkey", "-aes256", "-passout", "pass:secret", "-in", str(tmp_path / "server.key")]
    subprocess.run([*locked, "-out", str(tmp_path / "locked.key")], check=True, capture_output=True)
    with pytest.raises(ConfigurationError) as error:
        WebConfig(write(tmp_path, text), must_protect=False)
    told = str(error.value)
    assert told.startswith(f"web_config: {tmp_path / 'web.config.yml'}")
    assert words in told
    assert "lovelace" not in told
    assert ADA[7:] not in told


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file or directory"):
        WebConfig(tmp_path / "gone.yml", must_protect=False)


@pytest.mark.parametrize("text", ["", "http_server_config: {}\n", "basic_auth_users: {}\n"])
def test_a_file_that_protects_nothing_is_no_licence_to_listen_everywhere(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigurationError, match="neither tls_server_config nor basic_auth_users"):
        WebConfig(path, must_protect=True)
    assert not WebConfig(path, must_protect=False).current.protects


# --- while it runs -------------------------------------------------------------------------------------------------


def test_a_new_certificate_is_shown_without_a_restart(tmp_path: Path, authority: Authority) -> None:
    write_certificate(tmp_path, authority)
    config = WebConfig(write(tmp_path, TLS), must_protect=True)
    with serving(config) as (server, _):
        address = (server.endpoint.address, server.endpoint.port)
        context = client_context(authority)

        def shown() -> bytes | None:
            with (
                socket.create_connection(address, timeout=30) as raw,
                context.wrap_socket(raw, server_hostname="localhost") as secured,
            ):
                return secured.getpeercert(binary_form=True)

        before = shown()
        assert shown() == before
        kept = http.client.HTTPSConnection(*address, timeout=30, context=context)
        with closing(kept):
            kept.request("GET", "/")
            assert kept.getresponse().read() == b"hello\n"
            write_certificate(tmp_path, authority)
            assert shown() != before
            # Who is connected stays so.
            kept.request("GET", "/")
            assert kept.getresponse().read() == b"hello\n"


def test_what_is_broken_later_leaves_what_was_set_and_is_logged_once(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    write_certificate(tmp_path, authority)
    config = WebConfig(write(tmp_path, TLS + USERS), must_protect=True)
    with serving(config) as (server, _), caplog.at_level(logging.INFO):
        context = client_context(authority)
        for broken in ("a: [", "", "http_server_config: {}\n", TLS.replace("server.crt", "gone.crt")):
            caplog.clear()
            write(tmp_path, broken)
            for _ in range(3):
                assert ask(server, context=context, user=("ada", "lovelace"))[0] == 200
                assert ask(server, context=context)[0] == 401
            assert [record.levelname for record in caplog.records] == ["ERROR"]
            assert "what was set before goes on" in caplog.text
        (tmp_path / "gone.crt").write_bytes((tmp_path / "server.crt").read_bytes())
        assert ask(server, context=context)[0] == 200
        (tmp_path / "web.config.yml").unlink()
        assert ask(server, context=context)[0] == 200


def test_users_come_and_go_on_a_connection_that_stays(tmp_path: Path) -> None:
    config = WebConfig(write(tmp_path, ""), must_protect=False)
    with serving(config) as (server, _):
        kept = http.client.HTTPConnection(server.endpoint.address, server.endpoint.port, timeout=30)
        with closing(kept):
            statuses = []
            for text in ("", USERS, ""):
                write(tmp_path, text)
                kept.request("GET", "/")
                answer = kept.getresponse()
                answer.read()
                statuses.append(answer.status)
            assert statuses == [200, 401, 200]


# --- the collector -------------------------------------------------------------------------------------------------


def test_a_collector_beyond_loopback_is_protected_by_the_file(tmp_path: Path, authority: Authority) -> None:
    write_certificate(tmp_path, authority)
    path = write(tmp_path, TLS + USERS)
    with running_collector(tmp_path, http_listen="0.0.0.0:0", web_config=str(path)) as collector:
        port = int(collector.http_address.rpartition(":")[2])
        context = client_context(authority)

        def get(path: str, password: str | None = None) -> tuple[int, bytes]:
            connection = http.client.HTTPSConnection("localhost", port, timeout=60, context=context)
            headers = {}
            if password is not None:
                headers["Authorization"] = "Basic " + base64.b64encode(f"ada:{password}".encode()).decode()
            with closing(connection):
                connection.request("GET", path, headers=headers)
                answer = connection.getresponse()
                return answer.status, answer.read()

        assert get("/healthz")[0] == 200
        assert get("/ca.pem") == (404, b"this collector has no certificate authority of its own\n")
        assert get("/metrics")[0] == 401
        assert get("/metrics", "byron")[0] == 401
        status, page = get("/metrics", "lovelace")
        assert status == 200
        values = {
            (sample.name, sample.labels.get("reason") or sample.labels.get("certificate")): sample.value
            for family in parse_text(page.decode())
            for sample in family.samples
        }
        assert values["libcensus_collector_http_refusals_total", "no_password"] == 1
        assert values["libcensus_collector_http_refusals_total", "password"] == 1
        assert values["libcensus_collector_http_refusals_total", "rate"] == 0
        end = values["libcensus_collector_certificate_expiry_timestamp_seconds", "http"]
        assert abs(end - (datetime.now(UTC) + timedelta(days=7)).timestamp()) < 600
        assert json.dumps(page.decode()).count(ADA[7:]) == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "http_listen: 0.0.0.0 can be reached from other hosts, and its pages tell who is vulnerable"),
        ({"web_config": "EMPTY"}, "neither tls_server_config nor basic_auth_users"),
    ],
)
def test_a_collector_beyond_loopback_without_protection_is_refused(
    tmp_path: Path, changes: dict[str, str], words: str
) -> None:
    changes = {name: str(write(tmp_path, "")) for name in changes}
    collector = Collector(settings_for(tmp_path, http_listen="0.0.0.0:0", **changes))
    with pytest.raises(ConfigurationError, match=words):
        collector.start()


def test_pages_may_be_open_where_that_is_said(tmp_path: Path) -> None:
    with running_collector(tmp_path, http_listen="0.0.0.0:0", http_open=True) as collector:
        port = int(collector.http_address.rpartition(":")[2])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        with closing(connection):
            connection.request("GET", "/healthz")
            assert connection.getresponse().status == 200
