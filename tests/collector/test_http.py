"""The small HTTP server against real sockets: pages, bounds, and clients that misbehave."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import socket
import subprocess
import threading
import zlib
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import date
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from libcensus.collector.address import Endpoint
from libcensus.collector.app import Collector
from libcensus.collector.config import CollectorSettings
from libcensus.collector.errors import ConfigurationError, StoreError
from libcensus.collector.http import HttpBounds, HttpServer, Request, Response, bind_http
from libcensus.collector.landing import Landing, landing_page
from libcensus.collector.metrics.exporter import Glance
from libcensus.collector.metrics.shard import Shard
from libcensus.collector.metrics.view import Detail
from libcensus.collector.process_metrics import process_families
from libcensus.collector.store.sql import SqlStore
from tests.collector.service.running import client_of, running_collector
from tests.contract.specimens import Census, build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from libcensus.collector.store.contract import HostStamp

LARGE = b"0123456789\n" * 1000


def broken(_request: Request) -> Response:
    raise ZeroDivisionError("secret")


def echo(request: Request) -> Response:
    return Response(json.dumps(dict(request.headers)).encode(), "application/json")


PIECES = (b"", b"small\n", LARGE * 30, b"x" * 70_000, *(str(number).encode() for number in range(40_000)), b"")

PAGES: Mapping[str, Callable[[Request], Response]] = {
    "/pieces": lambda _request: Response(PIECES),
    "/nothing-at-all": lambda _request: Response(()),
    "/": lambda _request: Response(b"hello\n"),
    "/large": lambda _request: Response(LARGE),
    "/broken": broken,
    "/echo": echo,
    "/sick": lambda _request: Response(b"ill\n", status=HTTPStatus.SERVICE_UNAVAILABLE),
}


@contextmanager
def serving(bounds: HttpBounds | None = None) -> Iterator[HttpServer]:
    (server,) = bind_http("http_listen", (Endpoint("127.0.0.1", 0),), PAGES, bounds)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def server() -> Iterator[HttpServer]:
    with serving() as running:
        yield running


def ask(
    server: HttpServer, path: str, method: str = "GET", headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(server.endpoint.address, server.endpoint.port, timeout=20)
    with closing(connection):
        connection.request(method, path, headers=dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def say(server: HttpServer, raw: bytes) -> bytes:
    """Everything that the server answers to some bytes until it closes the connection."""
    address = (server.endpoint.address, server.endpoint.port)
    with closing(socket.create_connection(address, timeout=20)) as connection:
        connection.sendall(raw)
        # A server that refused already may have closed; what it said is there to read all the same.
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        answer = bytearray()
        while piece := connection.recv(65536):
            answer += piece
        return bytes(answer)


def test_a_page_is_answered_whole_with_its_length(server: HttpServer) -> None:
    status, headers, body = ask(server, "/")
    assert (status, body) == (200, b"hello\n")
    assert headers["content-length"] == "6"
    assert headers["content-type"] == "text/plain; charset=utf-8"
    assert headers["x-content-type-options"] == "nosniff"


def test_a_question_mark_starts_what_the_pages_do_not_look_at(server: HttpServer) -> None:
    assert ask(server, "/?a=b")[0] == 200


def test_head_is_get_without_the_body(server: HttpServer) -> None:
    status, headers, body = ask(server, "/large", "HEAD")
    assert (status, body) == (200, b"")
    assert headers["content-length"] == str(len(LARGE))


@pytest.mark.parametrize("path", ["/nothing", "//", "/../etc/passwd", "/metrics/", "/%2e%2e", "*"])
def test_an_unknown_page_is_not_found(server: HttpServer, path: str) -> None:
    assert ask(server, path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "FOO"])
def test_other_methods_than_reading_are_not_allowed(server: HttpServer, method: str) -> None:
    status, headers, _ = ask(server, "/", method)
    assert status == 405
    assert headers["allow"] == "GET, HEAD"


def test_a_body_is_not_read_and_ends_the_connection(server: HttpServer) -> None:
    answer = say(server, b"GET / HTTP/1.1\r\nContent-Length: 30\r\n\r\nGET /broken HTTP/1.1\r\n\r\n......")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close" in answer


def test_a_page_that_fails_shows_nothing_of_why(server: HttpServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("ERROR", logger="libcensus"):
        status, _, body = ask(server, "/broken")
    assert status == 500
    assert b"secret" not in body
    assert any(one.exc_info for one in caplog.records)


def test_a_pages_own_status_is_kept(server: HttpServer) -> None:
    assert ask(server, "/sick")[0] == 503


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [
        pytest.param("gzip", True, id="gzip"),
        pytest.param("deflate, gzip;q=0.5", True, id="gzip among others"),
        pytest.param("*", True, id="anything"),
        pytest.param("gzip;q=0", False, id="anything but gzip"),
        pytest.param("gzip;q=x", False, id="a quality that is no number"),
        pytest.param("br", False, id="something else"),
        pytest.param("", False, id="nothing"),
    ],
)
def test_large_pages_are_compressed_for_who_accepts_it(server: HttpServer, accepted: str, compressed: bool) -> None:
    _, headers, body = ask(server, "/large", headers={"Accept-Encoding": accepted})
    assert ("content-encoding" in headers) is compressed
    assert (gzip.decompress(body) if compressed else body) == LARGE
    assert headers["vary"] == "Accept, Accept-Encoding"


@pytest.mark.parametrize("accepted", ["", "gzip"])
def test_a_page_in_pieces_is_answered_as_one(server: HttpServer, accepted: str) -> None:
    status, headers, body = ask(server, "/pieces", headers={"Accept-Encoding": accepted})
    assert status == 200
    assert headers["content-length"] == str(len(body))
    assert (gzip.decompress(body) if accepted else body) == b"".join(PIECES)
    assert ask(server, "/nothing-at-all")[2] == b""


def test_small_pages_are_not_compressed(server: HttpServer) -> None:
    assert "content-encoding" not in ask(server, "/", headers={"Accept-Encoding": "gzip"})[1]


def test_a_connection_stays_for_further_requests(server: HttpServer) -> None:
    connection = http.client.HTTPConnection(server.endpoint.address, server.endpoint.port, timeout=20)
    with closing(connection):
        for _ in range(5):
            connection.request("GET", "/")
            answer = connection.getresponse()
            assert answer.read() == b"hello\n"
            assert not answer.will_close


@pytest.mark.parametrize(
    ("raw", "closing_line"),
    [
        pytest.param(b"GET / HTTP/1.0\r\n\r\n", b"Connection: close", id="1.0"),
        pytest.param(b"GET / HTTP/1.1\r\nConnection: Close\r\n\r\n", b"Connection: close", id="told to close"),
        pytest.param(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", b"Connection: keep-alive", id="told to stay"),
        pytest.param(b"GET / HTTP/1.1\n\n", b"Connection: keep-alive", id="bare line ends"),
    ],
)
def test_who_asks_decides_whether_the_connection_stays(server: HttpServer, raw: bytes, closing_line: bytes) -> None:
    assert closing_line in say(server, raw)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\n\r\n", b"400", id="TLS"),
        pytest.param(b"GET /\r\n\r\n", b"400", id="0.9"),
        pytest.param(b"GET / HTTP/2.0\r\n\r\n", b"505", id="2.0"),
        pytest.param(b"GET / FTP/1.1\r\n\r\n", b"400", id="no HTTP"),
        pytest.param(b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"400", id="header without colon"),
        pytest.param(b"GET / HTTP/1.1\r\n: x\r\n\r\n", b"400", id="header without name"),
        pytest.param(b"GET / HTTP/1.1\r\n folded: x\r\n\r\n", b"400", id="folded header"),
        pytest.param(b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n\r\n", b"431", id="long target"),
        pytest.param(b"GET / HTTP/1.1\r\nx: " + b"a" * 20000 + b"\r\n\r\n", b"431", id="long header"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"x: a\r\n" * 5000 + b"\r\n", b"431", id="many headers"),
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_closed(server: HttpServer, raw: bytes, status: bytes) -> None:
    try:
        answer = say(server, raw)
    except ConnectionResetError:
        # The server closed while bytes that it never reads were still on their way.
        assert len(raw) > 16 * 1024
        return
    if not answer:
        assert len(raw) > 16 * 1024
        return
    assert answer.split(b" ")[1] == status
    assert b"Connection: close" in answer


@pytest.mark.parametrize("raw", [b"", b"GET", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_a_request_that_breaks_off_gets_no_answer(server: HttpServer, raw: bytes) -> None:
    assert say(server, raw) == b""


def test_headers_that_come_twice_are_joined(server: HttpServer) -> None:
    answer = say(server, b"GET /echo HTTP/1.0\r\nAccept: a\r\naccept: b\r\n\r\n")
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["accept"] == "a, b"


def test_a_client_that_drips_its_request_is_ended_in_time() -> None:
    with serving(HttpBounds(head_seconds=0.3)) as server:
        address = (server.endpoint.address, server.endpoint.port)
        with closing(socket.create_connection(address, timeout=20)) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nx: ")
            connection.settimeout(0.05)
            answer = b""
            try:
                while not answer:
                    # Each piece comes well before any single read would time out.
                    connection.sendall(b"a")
                    try:
                        answer = connection.recv(65536)
                    except TimeoutError:
                        continue
            except (ConnectionResetError, BrokenPipeError):
                return
            assert answer.split(b" ")[1] == b"408"


def test_a_client_that_says_nothing_is_let_go() -> None:
    with serving(HttpBounds(idle_seconds=0.2)) as server:
        address = (server.endpoint.address, server.endpoint.port)
        with closing(socket.create_connection(address, timeout=20)) as connection:
            assert connection.recv(1) == b""


def test_connections_beyond_the_bound_are_told_so_and_the_others_go_on() -> None:
    with serving(HttpBounds(connections=2)) as server:
        address = (server.endpoint.address, server.endpoint.port)
        kept = [http.client.HTTPConnection(*address, timeout=20) for _ in range(2)]
        for one in kept:
            one.request("GET", "/")
            assert one.getresponse().read() == b"hello\n"
        with closing(socket.create_connection(address, timeout=20)) as third:
            assert third.recv(65536).startswith(b"HTTP/1.1 503 ")
        for one in kept:
            one.request("GET", "/")
            assert one.getresponse().read() == b"hello\n"
            one.close()


def test_stopping_closes_idle_connections_and_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    with serving() as server:
        address = (server.endpoint.address, server.endpoint.port)
        connection = http.client.HTTPConnection(*address, timeout=20)
        connection.request("GET", "/")
        connection.getresponse().read()
        server.stop()
        assert connection.sock.recv(1) == b""
        connection.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=20)
    assert [one.name for one in set(threading.enumerate()) - before if one.name.startswith("http")] == []


def test_a_port_in_use_is_told_with_its_address(server: HttpServer) -> None:
    with pytest.raises(ConfigurationError) as refused:
        bind_http("http_listen", (server.endpoint,), PAGES)
    assert str(server.endpoint) in str(refused.value)
    assert "in use" in str(refused.value)


# --- the collector's own pages ----------------------------------------------------------------------------------

OPENMETRICS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """The HTTP address of a collector that knows one host."""
    with running_collector(tmp_path_factory.mktemp("http")) as collector, client_of(collector) as client:
        client.take_census(Census.of('odd "name"\n', "http", ("/opt/python3", build("http"))))
        host, port = collector.http_address.rsplit(":", 1)
        yield host, int(port)


def get(address: tuple[str, int], path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(*address, timeout=20)
    with closing(connection):
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def test_the_landing_page_tells_what_is_here(address: tuple[str, int]) -> None:
    status, headers, body = get(address, "/")
    assert status == 200
    assert headers["content-type"].startswith("text/html")
    for word in (b'href="/metrics"', b'href="/healthz"', b"0.1.0", b"127.0.0.1:", b"takes reports", b"1/1: all hosts"):
        assert word in body
    # Without a certificate authority there are no roots, and the page says nothing of them.
    assert b"/ca.pem" not in body


def test_the_landing_page_has_the_numbers_of_the_last_scrape(address: tuple[str, int]) -> None:
    page = get(address, "/metrics")[2].decode()
    series = {
        sample.labels["detail"]: int(sample.value)
        for family in parse_text(page)
        if family.name == "libcensus_series"
        for sample in family.samples
    }
    body = get(address, "/")[2].decode()
    assert "<tr><th>Hosts</th><td>1</td></tr>" in body
    for level, number in series.items():
        assert f"{number:,} of level {level}" in body
    assert "install: the fleet, each host, and each install" in body
    assert "Advisories</th><td>as of 20" in body


def test_the_landing_page_fetches_and_runs_nothing(address: tuple[str, int]) -> None:
    body = get(address, "/")[2].decode()
    assert len(body) < 5000
    for word in ("<script", "http://", "https://", "src=", "url(", "@import", "<link"):
        assert word not in body
    links = set(re.findall(r'href="([^"]*)"', body))
    assert all(get(address, link)[0] == 200 for link in links)


def test_an_untold_landing_page_says_what_is_not_known_and_escapes_what_it_tells() -> None:
    told = Landing(
        version="0.1.0",
        is_serving=False,
        reason="the disk is <full>",
        detail=Detail.HOST,
        shard=Shard(2, 3),
        series_limit=100,
        glance=None,
        grpc="[::1]:9444",
        enrollment="[::1]:9446",
        has_roots=True,
    )
    page = landing_page(told).decode()
    for words in (
        "takes no reports: the disk is &lt;full&gt;",
        "2/3: one of 3 parts",
        "before the first scrape",
        "9446",
    ):
        assert words in page
    assert 'href="/ca.pem"' in page
    glance = Glance(1234, 400, {Detail.FLEET: 90, Detail.HOST: 20}, date(2026, 11, 19))
    page = landing_page(replace(told, glance=glance)).decode()
    assert "1,234, 400 of them told here" in page
    assert "110 (90 of level fleet, 20 of level host, 0 of level install); above the limit of 100" in page
    assert "as of 2026-11-19" in page


def test_each_collector_says_which_shard_it_is(tmp_path: Path) -> None:
    settings = CollectorSettings(
        listen="127.0.0.1:0", http_listen="127.0.0.1:0", database=f"sqlite:///{tmp_path}/t.db", shard=Shard(2, 3)
    )
    with Collector(settings) as collector:
        host, port = collector.http_address.rsplit(":", 1)
        lines = get((host, int(port)), "/metrics")[2].decode().splitlines()
    assert 'libcensus_collector_shard_info{shard="2",shards="3"} 1.0' in lines
    assert "libcensus_collector_shard_hosts 0.0" in lines


def test_metrics_hold_the_fleet_and_the_collector_in_the_plain_format(address: tuple[str, int]) -> None:
    status, headers, body = get(address, "/metrics")
    assert status == 200
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    names = {family.name for family in parse_text(body.decode())}
    assert {"libcensus_hosts", "libcensus_host_info", "process_resident_memory_bytes"} <= names
    lines = body.decode().splitlines()
    typed = [line.split(" ")[2] for line in lines if line.startswith("# TYPE ")]
    assert len(typed) == len(set(typed)), "a family is there twice"
    for family in process_families():
        assert f"# TYPE {family.name} {family.type}" in lines


def test_metrics_are_openmetrics_for_who_prefers_it(address: tuple[str, int]) -> None:
    status, headers, body = get(address, "/metrics", Accept=OPENMETRICS)
    assert status == 200
    assert headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert body.count(b"# EOF\n") == 1
    assert body.endswith(b"# EOF\n")
    assert "grpc_server_handled" in {family.name for family in parse_openmetrics(body.decode())}  # type: ignore[no-untyped-call]


def test_metrics_are_compressed_for_prometheus(address: tuple[str, int]) -> None:
    _, headers, body = get(address, "/metrics", Accept_Encoding="gzip")
    assert headers["content-encoding"] == "gzip"
    assert b"libcensus_hosts" in zlib.decompress(body, wbits=31)


def test_promtool_finds_nothing_to_complain_about(address: tuple[str, int]) -> None:
    _, _, body = get(address, "/metrics")
    done = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


class UnreadableStore(SqlStore):
    """A real store whose list of hosts cannot be read."""

    def host_stamps(self) -> list[HostStamp]:
        raise StoreError("secret")


def test_metrics_that_cannot_be_read_are_503_and_no_half_page(tmp_path: Path) -> None:
    with (
        UnreadableStore.open(f"sqlite:///{tmp_path}/t.db") as store,
        running_collector(tmp_path, store) as collector,
    ):
        host, port = collector.http_address.rsplit(":", 1)
        status, _, body = get((host, int(port)), "/metrics")
    assert status == 503
    assert b"secret" not in body
    assert b"# TYPE" not in body
