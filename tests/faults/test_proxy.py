"""The proxy does to a connection what it is told, and nothing else."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.proxy import NO_FAULT, Action, Direction, Fault, FaultyProxy

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def echo() -> Iterator[str]:
    """A server that sends back what it gets, and closes when the client does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer(connection: socket.socket) -> None:
            with connection:
                try:
                    while piece := connection.recv(65536):
                        connection.sendall(piece)
                except OSError:
                    return

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def talk(address: str, sent: bytes, patience: float = 30.0) -> tuple[bytes, str]:
    """Send bytes and the end; returns what came back and how it ended."""
    host, _, port = address.rpartition(":")
    got = b""
    try:
        with socket.create_connection((host, int(port)), timeout=patience) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                got += piece
    except TimeoutError:
        return got, "silence"
    except OSError:
        return got, "reset"
    return got, "end"


TEXT = bytes(range(256)) * 40


@pytest.mark.parametrize(
    ("fault", "got", "end"),
    [
        (NO_FAULT, len(TEXT), "end"),
        (Fault(delay=0.001, drip=1000), len(TEXT), "end"),
        (Fault(Action.CUT, Direction.DOWN, 300), 300, "end"),
        (Fault(Action.HALF_CLOSE, Direction.UP, 300), 300, "end"),
        (Fault(Action.HALF_CLOSE, Direction.DOWN, 300), 300, "end"),
        (Fault(Action.BLACKHOLE, Direction.UP, 0), 0, "silence"),
        (Fault(Action.BLACKHOLE, Direction.DOWN, 300), 300, "silence"),
    ],
    ids=lambda value: f"{value.action.name} {value.direction.name}" if isinstance(value, Fault) else "",
)
def test_a_fault_lies_at_its_byte(echo: str, fault: Fault, got: int, end: str) -> None:
    with FaultyProxy(echo) as proxy:
        proxy.play(fault)
        assert talk(proxy.address, TEXT, 1.0 if end == "silence" else 30.0) == (TEXT[:got], end)


def test_a_reset_is_an_rst(echo: str) -> None:
    with FaultyProxy(echo) as proxy:
        proxy.play(Fault(Action.RESET, Direction.UP, 100))
        got, end = talk(proxy.address, TEXT)
        # An RST may overtake what was sent before it.
        assert TEXT[:100].startswith(got)
        assert end == "reset"


def test_a_fault_holds_for_as_many_connections_as_it_is_told(echo: str) -> None:
    with FaultyProxy(echo) as proxy:
        proxy.play(Fault(Action.CUT, Direction.DOWN, 0), times=2)
        assert [len(talk(proxy.address, TEXT)[0]) for _ in range(3)] == [0, 0, len(TEXT)]
        assert proxy.connections == 3
        proxy.play(NO_FAULT)
        assert proxy.connections == 0


def test_where_nobody_listens_the_client_is_sent_away(echo: str) -> None:
    with socket.socket() as taken, FaultyProxy(echo) as proxy:
        taken.bind(("127.0.0.1", 0))
        proxy.target(f"127.0.0.1:{taken.getsockname()[1]}")
        got, end = talk(proxy.address, TEXT)
        # Whether a client meets the RST or only the end depends on where it is by then.
        assert (got, end in {"reset", "end"}) == (b"", True)


def test_a_delay_holds_every_piece_back(echo: str) -> None:
    with FaultyProxy(echo) as proxy:
        proxy.play(Fault(delay=0.02, drip=1024))
        started = time.monotonic()
        assert talk(proxy.address, TEXT)[0] == TEXT
        assert time.monotonic() - started >= 0.02 * len(TEXT) / 1024
