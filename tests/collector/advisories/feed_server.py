"""A source of feeds on this machine: HTTPS with a certificate of its own, conditional requests, and all its faults."""

from __future__ import annotations

import gzip
import hashlib
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Answer:
    """What a path answers; ``sent`` are the bytes that really go out where that is fewer than announced."""

    content: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    sent: int | None = None
    etag: bool = True
    zipped: bool = False
    pause: threading.Event | None = None


class FeedServer:
    """Serves answers by path, and remembers what was asked: path, and status of the answer."""

    def __init__(self, port: int) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, int]] = []
        self.url = f"https://localhost:{port}"

    def put(self, path: str, content: bytes, **changes: object) -> str:
        self.answers[path] = Answer(content, **changes)  # type: ignore[arg-type]
        return self.url + path


@contextmanager
def serving(authority: trustme.CA | None = None) -> Iterator[tuple[FeedServer, ssl.SSLContext]]:
    """Serve on a free port of loopback; gives the server and a context that trusts it."""
    authority = authority or trustme.CA()
    inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(inside)
    outside = ssl.create_default_context()
    authority.configure_trust(outside)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer = server.answers.get(self.path, Answer(b"not here", 404))
            content = gzip.compress(answer.content, mtime=0) if answer.zipped else answer.content
            etag = f'"{hashlib.sha256(answer.content).hexdigest()[:16]}"'
            status = answer.status
            if answer.etag and status == 200 and self.headers.get("If-None-Match") == etag:
                status, content = 304, b""
            server.asked.append((self.path, status))
            self.send_response(status)
            if answer.etag:
                self.send_header("ETag", etag)
            if answer.zipped:
                self.send_header("Content-Encoding", "gzip")
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if status != 304:
                self.send_header("Content-Length", str(len(content)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(content if answer.sent is None else content[: answer.sent])
            self.wfile.flush()
            if answer.pause is not None:
                answer.pause.wait(10)

        def log_message(self, *_arguments: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_arguments: object) -> None:
            """A client that does not trust the certificate is what some tests are about."""

    listener = Quiet(("127.0.0.1", 0), Handler)
    listener.socket = inside.wrap_socket(listener.socket, server_side=True, do_handshake_on_connect=False)
    server = FeedServer(listener.server_address[1])
    thread = threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server, outside
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()
