"""What the benchmarks over mutual TLS share: an authority, certificates of hosts, servers in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection
    from pathlib import Path

WORKERS = 64
ECHO = "/benchmark.Echo/Echo"
REPORT = "/libcensus.v1.CensusService/Report"

OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
)


@dataclass(frozen=True)
class Identity:
    """A certificate with its key and the roots, in PEM."""

    chain: bytes
    key: bytes
    roots: bytes

    def channel(self, address: str) -> Any:
        """Return a connection of its own."""
        import grpc  # noqa: PLC0415  each process starts gRPC for itself

        return grpc.secure_channel(address, grpc.ssl_channel_credentials(self.roots, self.key, self.chain), OPTIONS)


def make_authority(folder: Path) -> None:
    """Make an authority in a folder."""
    from libcensus.collector.pki.authority import Authority  # noqa: PLC0415

    Authority.init(folder, "libcensus", datetime.now(UTC) - timedelta(days=1))


def issue(folder: Path, host_ids: list[str]) -> dict[str, Identity]:
    """Return a certificate for each host; all have the same key, which costs nobody anything here."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    from libcensus.collector.pki.authority import Authority  # noqa: PLC0415
    from libcensus.collector.pki.identity import Identity as Name  # noqa: PLC0415
    from libcensus.collector.pki.identity import Role  # noqa: PLC0415

    authority = Authority.load(folder, "libcensus")
    key = ec.generate_private_key(ec.SECP256R1())
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    behind = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in authority.issuing_chain)
    made = {}
    for host_id in host_ids:
        name = Name(authority.trust_domain, Role.AGENT, host_id)
        issued = authority.issue(key.public_key(), name, timedelta(days=7), datetime.now(UTC))
        leaf = issued.certificate.public_bytes(serialization.Encoding.PEM)
        made[host_id] = Identity(leaf + behind, key_pem, authority.roots_pem)
    return made


def serve_echo(pipe: Connection, pki: str | None) -> None:
    """Serve an empty unary echo until told to stop; with ``pki`` over the same mutual TLS as a collector's."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    import grpc  # noqa: PLC0415  each process starts gRPC for itself

    server = grpc.server(
        ThreadPoolExecutor(WORKERS),
        maximum_concurrent_rpcs=1024,
        options=(("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 4 * 1024**2)),
    )
    handler: Any = grpc.unary_unary_rpc_method_handler(lambda _request, _context: b"")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("benchmark.Echo", {"Echo": handler}),))
    if pki is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        from libcensus.collector.config import CollectorSettings  # noqa: PLC0415
        from libcensus.collector.listening import decide_listening  # noqa: PLC0415
        from libcensus.collector.service.tls import server_credentials  # noqa: PLC0415

        settings = CollectorSettings(
            listen="127.0.0.1:0", http_listen="127.0.0.1:0", pki_dir=str(Path(pki)), server_names=("127.0.0.1",)
        )
        certificates = decide_listening(settings, lambda: datetime.now(UTC)).certificates
        if certificates is None:
            raise AssertionError("the echo has no certificates")
        credentials = server_credentials(certificates, asks_clients=True, handshake=lambda: None)
        port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    pipe.send((f"127.0.0.1:{port}", "", os.getpid()))
    pipe.recv()
    server.stop(1).wait()


def serve_collector(pipe: Connection, database: str, pki: str | None) -> None:
    """Serve a real collector until told to stop."""
    import resource  # noqa: PLC0415

    from libcensus.collector.app import Collector  # noqa: PLC0415  each process starts gRPC for itself
    from libcensus.collector.config import CollectorSettings  # noqa: PLC0415

    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    settings = CollectorSettings(
        listen="127.0.0.1:0",
        http_listen="127.0.0.1:0",
        enroll_listen=None if pki is None else "127.0.0.1:0",
        database=database,
        workers=WORKERS,
        pki_dir=pki,
        server_names=() if pki is None else ("127.0.0.1",),
        audit_log=None if pki is None else f"{pki}.audit",
        # A few clients stand for many hosts here.
        host_calls_per_second=100_000,
        host_burst=1_000_000,
    )
    with Collector(settings) as collector:
        pipe.send((collector.grpc_address, collector.http_address, os.getpid()))
        pipe.recv()


@dataclass(frozen=True)
class Running:
    """A server in a process of its own."""

    address: str
    http_address: str
    pid: int

    def memory(self, word: str = "VmRSS") -> float:
        """Return the process's resident memory in MiB, or its peak (``VmHWM``)."""
        with open(f"/proc/{self.pid}/status") as status:  # noqa: PTH123 - a file of the kernel's
            [line] = [line for line in status if line.startswith(word)]
        return int(line.split()[1]) / 1024


@contextmanager
def serving(target: Any, *arguments: Any) -> Iterator[Running]:
    """Run a server in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *arguments))
    process.start()
    try:
        yield Running(*ours.recv())
    finally:
        ours.send("stop")
        process.join(60)
        if process.exitcode is None:
            os.kill(process.pid or 0, signal.SIGKILL)
