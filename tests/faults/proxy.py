"""A TCP proxy that misbehaves on demand: what a network does to a connection, made by us and repeatable.

It runs in a thread of its own and is told from the test's thread what to do with the connections that come next. It
knows nothing of HTTP/2 or TLS: a fault lies at a number of bytes in one direction.
"""

from __future__ import annotations

import asyncio
import enum
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

_PIECE = 65_536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Direction(enum.Enum):
    """Which way bytes go."""

    UP = "to the collector"
    DOWN = "to the agent"


class Action(enum.Enum):
    """What happens when the number of bytes has passed."""

    PASS = enum.auto()
    CUT = enum.auto()
    """Both connections are closed in good order, with a FIN."""
    RESET = enum.auto()
    """Both connections are reset, with an RST."""
    HALF_CLOSE = enum.auto()
    """This direction ends with a FIN; the other stays open."""
    BLACKHOLE = enum.auto()
    """Nothing passes any more in either direction, and nothing is closed."""


@dataclass(frozen=True)
class Fault:
    """What is done to a connection: an action after ``after`` bytes of one direction, or slowness.

    ``delay`` is how many seconds every piece of either direction is held back, ``drip`` the largest piece in bytes.
    """

    action: Action = Action.PASS
    direction: Direction = Direction.UP
    after: int = 0
    delay: float = 0.0
    drip: int = _PIECE


NO_FAULT = Fault()


class _Link:
    """One connection of a client and the one that the proxy made for it."""

    def __init__(
        self,
        fault: Fault,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        passed: dict[Direction, int],
    ) -> None:
        self._fault = fault
        self._passed = passed
        self._client, self._server = client, server
        self._blackholed = asyncio.Event()

    async def run(self) -> None:
        pumps = [
            asyncio.create_task(self._pump(Direction.UP, self._client[0], self._server[1])),
            asyncio.create_task(self._pump(Direction.DOWN, self._server[0], self._client[1])),
        ]
        try:
            await asyncio.gather(*pumps)
        except (ConnectionError, OSError):
            self._close(reset=True)
        finally:
            for pump in pumps:
                pump.cancel()
            self._close(reset=False)

    def _close(self, *, reset: bool) -> None:
        for _, writer in (self._client, self._server):
            if writer.is_closing():
                continue
            if reset:
                with suppress(OSError):
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                writer.transport.abort()
            else:
                writer.close()

    async def _pump(self, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = self._fault
        acts = fault.action is not Action.PASS and fault.direction is direction
        passed = 0
        while True:
            left = fault.after - passed if acts else _PIECE
            if acts and left == 0:
                if await self._act(writer):
                    return
                acts = False
                continue
            piece = await reader.read(min(fault.drip, left, _PIECE))
            if fault.delay:
                await asyncio.sleep(fault.delay)
            if self._blackholed.is_set():
                await asyncio.Event().wait()
            if not piece:
                with suppress(OSError):
                    writer.write_eof()
                return
            passed += len(piece)
            self._passed[direction] = passed
            writer.write(piece)
            await writer.drain()

    async def _act(self, writer: asyncio.StreamWriter) -> bool:
        """Do what the fault says; returns whether this direction is over."""
        match self._fault.action:
            case Action.CUT:
                self._close(reset=False)
                return True
            case Action.RESET:
                self._close(reset=True)
                return True
            case Action.HALF_CLOSE:
                writer.write_eof()
                return True
            case _:
                self._blackholed.set()
                await asyncio.Event().wait()
                return True


class FaultyProxy:
    """A proxy in front of one address; use it as a context manager."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host.strip("[]"), int(port))
        self._fault, self._times = NO_FAULT, 0
        self._lock = threading.Lock()
        self._connections = 0
        self._links: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="faulty-proxy", daemon=True)
        self.address = ""
        self.passed: dict[Direction, int] = {}
        """How many bytes passed each way on the newest connection."""

    def __enter__(self) -> Self:
        """Listen; returns the proxy itself, with its address."""
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close everything."""
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(30)

    @property
    def connections(self) -> int:
        """How many connections came since the fault was set."""
        with self._lock:
            return self._connections

    def play(self, fault: Fault, times: int | None = None) -> None:
        """Do this to the connections that come next: so many of them, or all."""
        with self._lock:
            self._fault, self._times, self._connections = fault, -1 if times is None else times, 0

    def target(self, address: str) -> None:
        """Lead the connections that come next to another address."""
        host, _, port = address.rpartition(":")
        self._target = (host.strip("[]"), int(port))

    def _next_fault(self) -> Fault:
        with self._lock:
            self._connections += 1
            if self._times == 0:
                return NO_FAULT
            self._times -= 1
            return self._fault

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stopped = asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1024)
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stopped.wait()
        server.close()
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        try:
            fault = self._next_fault()
            try:
                server = await asyncio.open_connection(*self._target)
            except OSError:
                with suppress(OSError):
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                writer.transport.abort()
                return
            with suppress(asyncio.CancelledError):
                self.passed = {}
                await _Link(fault, (reader, writer), server, self.passed).run()
        finally:
            self._links.discard(task)
