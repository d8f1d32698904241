"""The collector's small HTTP server: a few pages to read, nothing to write.

Made for Prometheus, health checks and a person with a browser. It knows GET and HEAD, keeps every bound (length and
time of a request's head, time to take an answer, number of connections), never reads a request's body, and never
shows Python's text. TLS, users and headers come from a ``web.config.yml`` (:mod:`libcensus.collector.webconfig`).
"""

from __future__ import annotations

import io
import logging
import socket
import socketserver
import threading
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from libcensus.collector.address import Endpoint, probe_endpoints, refused_endpoint
from libcensus.collector.compression import GzipMemory
from libcensus.collector.passwords import PasswordCheck, PasswordOutcome
from libcensus.collector.webconfig import WebState

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator, Mapping

_LOGGER = logging.getLogger(__name__)

_COMPRESS_FROM = 1024
_PIECE_BYTES = 256 * 1024
_JOINED_BYTES = 64 * 1024
"""Pieces of an answer that are smaller are sent together, and larger than the other are sent in parts."""


PUBLIC_PAGES = frozenset({"/ca.pem", "/healthz"})
"""What is shown without a password: roots are public by nature, and a health check has none to give."""

_TLS_HANDSHAKE = b"\x16"
"""The first byte of every TLS connection."""

_CHALLENGE = 'Basic realm="libcensus", charset="UTF-8"'


@dataclass(frozen=True, slots=True)
class HttpBounds:
    """What one client may take: bytes and seconds of a request's head, idle and sending time, connections of all."""

    head_bytes: int = 16 * 1024
    head_seconds: float = 10.0
    idle_seconds: float = 120.0
    send_seconds: float = 60.0
    connections: int = 128


@dataclass(frozen=True, slots=True)
class Request:
    """What a page may look at."""

    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Response:
    """A page; a large one may come in pieces, which are sent one after the other and never copied into one."""

    body: bytes | tuple[bytes, ...]
    content_type: str = "text/plain; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Guard:
    """What stands between a connection and the pages.

    ``web`` tells what holds now, ``count_refusal`` is told why somebody was refused: ``tls`` (the handshake failed),
    ``plaintext`` (no TLS where it is wanted), ``no_password``, ``password``, ``rate``.
    """

    web: Callable[[], WebState] = WebState
    count_refusal: Callable[[str], None] = lambda _reason: None
    passwords: PasswordCheck = field(default_factory=PasswordCheck)


class _HeadError(Exception):
    """A request's head that is refused, with the status that says why."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class _Closed(Exception):  # noqa: N818  the ordinary end of a connection
    """The client has nothing more to say."""


class _HeadReader(io.RawIOBase):
    """Reads from a socket until a moment in time: no sequence of small pieces can prolong it."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__()
        self._connection = connection
        self.ends = 0.0

    def readable(self) -> bool:
        """Tell that this can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what is there, within what remains of the time."""
        left = self.ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class _Connection(socketserver.BaseRequestHandler):
    """One connection with its requests, one after the other."""

    server: HttpServer
    request: socket.socket

    def handle(self) -> None:
        """Serve requests until the client leaves, errs or is too slow."""
        try:
            self._secure()
            self._serve()
        except (_Closed, OSError) as error:
            _LOGGER.debug("a connection ended: %s", type(error).__name__)

    def _secure(self) -> None:
        """Agree on TLS where that is set; raises _Closed where nobody does."""
        state = self.server.guard.web()
        if state.tls is None:
            return
        # An answer must not wait for the client's word about the end of the handshake.
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request.settimeout(self.server.bounds.head_seconds)
        first = self.request.recv(1, socket.MSG_PEEK)
        if not first:
            raise _Closed
        if first != _TLS_HANDSHAKE:
            self.server.guard.count_refusal("plaintext")
            self._answer(_plain(HTTPStatus.BAD_REQUEST, "this server speaks HTTPS"), {}, head_only=False, keep=False)
            raise _Closed
        raw = self.request
        secured = state.tls.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
        self.server.follow(raw, secured)
        self.request = secured
        try:
            secured.settimeout(self.server.bounds.head_seconds)
            secured.do_handshake()
        except OSError:
            self.server.guard.count_refusal("tls")
            raise
        if state.allowed_names and not state.allowed_names & _names_of(secured):
            self.server.guard.count_refusal("tls")
            raise _Closed

    def _serve(self) -> None:
        raw = _HeadReader(self.request)
        reader = io.BufferedReader(raw, 8192)
        bounds = self.server.bounds
        keep = True
        while keep:
            raw.ends = time.monotonic() + bounds.idle_seconds
            if not reader.peek(1):
                return
            raw.ends = time.monotonic() + bounds.head_seconds
            try:
                method, target, keep, headers = _read_head(reader, bounds.head_bytes)
            except _HeadError as error:
                self._answer(_plain(error.status, str(error)), {}, head_only=False, keep=False)
                return
            except TimeoutError:
                self._answer(
                    _plain(HTTPStatus.REQUEST_TIMEOUT, "the request took too long"), {}, head_only=False, keep=False
                )
                return
            response = self._respond(method, target, headers)
            self._answer(response, headers, head_only=method == "HEAD", keep=keep)

    def _respond(self, method: str, target: str, headers: Mapping[str, str]) -> Response:
        path = target.split("?", 1)[0]
        refusal = None if path in PUBLIC_PAGES else self._refuse(headers)
        if refusal is not None:
            return refusal
        if method not in ("GET", "HEAD"):
            return _plain(HTTPStatus.METHOD_NOT_ALLOWED, "this server is only for reading: GET and HEAD")
        page = self.server.pages.get(path)
        if page is None:
            return _plain(HTTPStatus.NOT_FOUND, "there is no such page; see /")
        try:
            return page(Request(path, headers))
        except Exception:
            _LOGGER.exception("%s could not be made", path)
            return _plain(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error; see the collector's log")

    def _refuse(self, headers: Mapping[str, str]) -> Response | None:
        """Return what is answered to who may not see the pages; None for who may."""
        guard, users = self.server.guard, self.server.guard.web().users
        if not users:
            return None
        peer = str(self.client_address[0])
        outcome = guard.passwords.check(users, headers.get("authorization"), peer)
        if outcome is PasswordOutcome.RIGHT:
            return None
        if outcome is PasswordOutcome.LIMITED:
            guard.count_refusal("rate")
            wait = max(1, round(guard.passwords.seconds_to_wait(peer)))
            return Response(
                b"too many attempts that failed; try again later\n",
                status=HTTPStatus.TOO_MANY_REQUESTS,
                headers=(("Retry-After", str(wait)),),
            )
        guard.count_refusal("no_password" if outcome is PasswordOutcome.ABSENT else "password")
        if outcome is PasswordOutcome.WRONG:
            # From where, never with what: people type a password where the user belongs. Attempts are bounded.
            _LOGGER.warning("an HTTP request from %s was refused: user or password is wrong", peer)
        text = (
            "this page wants a user and a password"
            if outcome is PasswordOutcome.ABSENT
            else "user or password is wrong"
        )
        return Response(
            f"{text}\n".encode(), status=HTTPStatus.UNAUTHORIZED, headers=(("WWW-Authenticate", _CHALLENGE),)
        )

    def _answer(self, response: Response, headers: Mapping[str, str], *, head_only: bool, keep: bool) -> None:
        pieces = (response.body,) if isinstance(response.body, bytes) else response.body
        length = sum(map(len, pieces))
        lines = [
            f"HTTP/1.1 {response.status.value} {response.status.phrase}",
            f"Date: {formatdate(usegmt=True)}",
            f"Content-Type: {response.content_type}",
            "Cache-Control: no-store",
            "Vary: Accept, Accept-Encoding",
        ]
        set_headers = {"X-Content-Type-Options": "nosniff", **dict(self.server.guard.web().headers)}
        lines += [f"{name}: {value}" for name, value in (*set_headers.items(), *response.headers)]
        if length >= _COMPRESS_FROM and _accepts_gzip(headers.get("accept-encoding", "")):
            pieces = self.server.gzip.compress(pieces)
            length = sum(map(len, pieces))
            lines.append("Content-Encoding: gzip")
        if response.status is HTTPStatus.METHOD_NOT_ALLOWED:
            lines.append("Allow: GET, HEAD")
        lines.append(f"Content-Length: {length}")
        lines.append("Connection: keep-alive" if keep else "Connection: close")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        # The time holds for the whole answer, not for each piece of it.
        ends = time.monotonic() + self.server.bounds.send_seconds
        for piece in _evened((head,) if head_only else (head, *pieces)):
            left = ends - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self.request.settimeout(left)
            self.request.sendall(piece)


def _evened(pieces: Iterable[bytes]) -> Iterator[bytes | memoryview]:
    """Yield the same bytes in pieces that are worth a call each, and none that would take long to send."""
    small: list[bytes] = []
    size = 0
    for piece in pieces:
        if len(piece) > _PIECE_BYTES:
            yield b"".join(small)
            small, size = [], 0
            whole = memoryview(piece)
            for start in range(0, len(whole), _PIECE_BYTES):
                yield whole[start : start + _PIECE_BYTES]
            continue
        small.append(piece)
        size += len(piece)
        if size >= _JOINED_BYTES:
            yield small[0] if len(small) == 1 else b"".join(small)
            small, size = [], 0
    yield b"".join(small)


def _plain(status: HTTPStatus, text: str) -> Response:
    return Response(f"{text}\n".encode(), status=status)


def _read_head(reader: io.BufferedReader[_HeadReader], limit: int) -> tuple[str, str, bool, dict[str, str]]:
    """Return method, target, whether the connection stays, and headers by lower-case name (RFC 9112)."""
    left = limit

    def read_line() -> str:
        nonlocal left
        line = reader.readline(left + 1)
        left -= len(line)
        if left < 0:
            raise _HeadError(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"the request's head is longer than {limit} bytes"
            )
        if not line.endswith(b"\n"):
            raise _Closed
        return line.decode("latin-1").rstrip("\r\n")

    parts = read_line().split(" ")
    if len(parts) != 3 or not parts[0].isalpha() or not parts[2].startswith("HTTP/"):
        raise _HeadError(HTTPStatus.BAD_REQUEST, "this is no HTTP request")
    method, target, version = parts
    if version not in ("HTTP/1.0", "HTTP/1.1"):
        raise _HeadError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "this server speaks HTTP/1.1")
    headers: dict[str, str] = {}
    while line := read_line():
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise _HeadError(HTTPStatus.BAD_REQUEST, "a header has no name")
        name = name.lower()
        headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
    connection = {word.strip().lower() for word in headers.get("connection", "").split(",")}
    keep = "close" not in connection and (version == "HTTP/1.1" or "keep-alive" in connection)
    # A body is never read, so what follows it on the connection could not be told from it.
    if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
        keep = False
    return method, target, keep, headers


def _names_of(secured: ssl.SSLSocket) -> frozenset[str]:
    """Return the subject alternative names of a client's certificate, which was verified."""
    certificate: Any = secured.getpeercert() or {}
    return frozenset(str(value) for _, value in certificate.get("subjectAltName", ()))


def _accepts_gzip(accepted: str) -> bool:
    for part in accepted.split(","):
        coding, *parameters = (piece.strip().lower().replace(" ", "") for piece in part.split(";"))
        if coding in ("gzip", "x-gzip", "*"):
            quality = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
            try:
                return float(quality) > 0
            except ValueError:
                return False
    return False


class HttpServer(socketserver.TCPServer):
    """Serves pages on one endpoint, a thread for each connection."""

    allow_reuse_address = True
    request_queue_size = 64

    def __init__(
        self,
        endpoint: Endpoint,
        pages: Mapping[str, Callable[[Request], Response]],
        bounds: HttpBounds,
        guard: Guard | None = None,
    ) -> None:
        self.address_family = endpoint.family
        self.pages = pages
        self.bounds = bounds
        self.guard = guard or Guard()
        self.gzip = GzipMemory()
        self._is_stopping = False
        self._connections: dict[int, tuple[socket.socket, threading.Thread]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        super().__init__((endpoint.address, endpoint.port), _Connection)

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint with the port that was chosen."""
        return Endpoint(str(self.server_address[0]), int(self.server_address[1]))

    def start(self) -> None:
        """Begin to answer."""
        self._thread = threading.Thread(target=self.serve_forever, args=(0.1,), name="http", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and close every connection; may be called again."""
        if self._thread is not None:
            self.shutdown()
            self._thread.join()
            self._thread = None
        self.server_close()
        with self._lock:
            self._is_stopping = True
            open_connections = list(self._connections.values())
        for connection, _ in open_connections:
            _close_quietly(connection)
        for _, thread in open_connections:
            thread.join()

    def follow(self, raw: socket.socket, secured: socket.socket) -> None:
        """Take the TLS socket in the place of the one that it was made of, so that it is closed when this stops.

        Raises _Closed when that is now.
        """
        with self._lock:
            _, thread = self._connections[id(raw)]
            self._connections[id(raw)] = secured, thread
            if not self._is_stopping:
                return
        secured.close()
        raise _Closed

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own, or refuse it when there are too many."""
        with self._lock:
            if len(self._connections) < self.bounds.connections:
                thread = threading.Thread(
                    target=self._serve_connection, args=(request, client_address), name="http-connection", daemon=True
                )
                self._connections[id(request)] = (request, thread)
                thread.start()
                return
        _LOGGER.warning("an HTTP connection was refused: %d are open already", self.bounds.connections)
        try:
            if self.guard.web().tls is not None:
                # Nothing can be said before TLS is agreed on, and that is what there is no room for.
                return
            request.settimeout(1.0)
            request.sendall(b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        except OSError:
            _LOGGER.debug("the refused client had left already")
        finally:
            self.shutdown_request(request)

    def _serve_connection(self, request: socket.socket, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except Exception:
            _LOGGER.exception("an HTTP connection failed")
        finally:
            with self._lock:
                open_now, _ = self._connections.pop(id(request), (request, None))
            # TLS took the descriptor from the socket that was accepted.
            self.shutdown_request(open_now)


def _close_quietly(connection: socket.socket) -> None:
    try:
        # Not TLS's own method, which takes the session from the thread that reads.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except OSError:
        _LOGGER.debug("the connection was closed already")


def bind_http(
    setting: str,
    endpoints: tuple[Endpoint, ...],
    pages: Mapping[str, Callable[[Request], Response]],
    bounds: HttpBounds | None = None,
    guard: Guard | None = None,
) -> tuple[HttpServer, ...]:
    """Bind the endpoints that this host has, all on one port; the servers are not started yet.

    ``guard`` is what stands before the pages; without one everybody may read them in plaintext.

    Raises ConfigurationError naming the address that cannot be bound.
    """
    servers: list[HttpServer] = []
    try:
        for endpoint in probe_endpoints(setting, endpoints):
            wanted = Endpoint(endpoint.address, endpoint.port or (servers[0].endpoint.port if servers else 0))
            try:
                servers.append(HttpServer(wanted, pages, bounds or HttpBounds(), guard))
            except OSError as error:
                raise refused_endpoint(setting, wanted, error) from error
    except BaseException:
        for server in servers:
            server.server_close()
        raise
    return tuple(servers)
