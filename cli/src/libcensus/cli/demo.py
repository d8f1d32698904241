"""``libcensus demo``: the whole way on this host, from a scan to metrics, with one command and nothing to set up.

It is the real thing on loopback: the collector with its gRPC and HTTP ports, the agent's scan and its report over the
wire, and a table that is read back from the collector.
"""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import rich_click as click

from libcensus.cli.help import Command
from libcensus.cli.options import exclude_option, teach
from libcensus.collector.metrics.questions import QUESTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from libcensus.agent.config import AgentConfig
    from libcensus.agent.scan import Scan
    from libcensus.cli.terminal import Output
    from libcensus.collector.service.fleet_codec import HostDetail

_DATABASE = "libcensus-demo.db"


@click.command(
    "demo",
    cls=Command,
    short_help="Show it all on this host: scan, report, table, metrics.",
    epilog=teach(
        "libcensus demo",
        "libcensus demo --once",
        "libcensus demo --keep ./census",
        codes=(0, 2, 3, 70),
    ),
)
@click.option("--once", is_flag=True, help="Exit after printing; so does a demo whose output is no terminal.")
@click.option(
    "--keep",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Keep the collector's database in this folder, and use it again.",
)
@click.option(
    "--root",
    "folder",
    default="/",
    show_default=True,
    metavar="DIR",
    help="Scan this tree instead: an unpacked image, a mounted disk.",
)
@exclude_option
def demo_command(keep: str | None, folder: str, exclude: tuple[str, ...], *, once: bool) -> int:
    """Start a collector, scan and report this host, and print what the collector then knows.

    The collector listens on free ports of this machine alone. On a terminal it stays up until Ctrl-C.
    """
    import tempfile  # noqa: PLC0415 - `--help` must not pay for the collector
    from pathlib import Path  # noqa: PLC0415

    with _ended_by_signals(), tempfile.TemporaryDirectory(prefix="libcensus-demo-") as temporary:
        state = Path(temporary)
        database = _database_folder(keep) if keep is not None else state
        return _run_demo(folder, exclude, state, database / _DATABASE, once=once, keeps=keep is not None)


def _database_folder(keep: str) -> Path:
    from pathlib import Path  # noqa: PLC0415

    from libcensus.cli.errors import ArgumentError  # noqa: PLC0415

    folder = Path(keep).absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ArgumentError(f"--keep {keep}: the folder cannot be made: {error.strerror}") from None
    return folder


def _run_demo(folder: str, exclude: tuple[str, ...], state: Path, database: Path, *, once: bool, keeps: bool) -> int:
    from contextlib import ExitStack  # noqa: PLC0415
    from datetime import UTC, datetime  # noqa: PLC0415

    from libcensus.cli.account import print_account  # noqa: PLC0415
    from libcensus.cli.assessed import assessed_from_detail  # noqa: PLC0415
    from libcensus.cli.client import FleetClient  # noqa: PLC0415
    from libcensus.cli.config import CollectorAddress  # noqa: PLC0415
    from libcensus.cli.local import load_agent_config, scan_root  # noqa: PLC0415
    from libcensus.cli.terminal import Output, say  # noqa: PLC0415
    from libcensus.collector.app import Collector  # noqa: PLC0415
    from libcensus.collector.config import CollectorSettings  # noqa: PLC0415

    with ExitStack() as undo:
        # The agent's settings first: a wrong one must not leave a collector behind.
        load_agent_config(exclude)
        collector = Collector(
            CollectorSettings(
                listen="127.0.0.1:0", http_listen="127.0.0.1:0", database=f"sqlite:///{database}", log_level="warning"
            )
        ).start()
        undo.callback(collector.stop)
        say(f"collector: gRPC on {collector.grpc_address}, HTTP on {collector.http_address}")
        config = load_agent_config(exclude, collector__address=collector.grpc_address, state__folder=state)
        say("agent: scanning this host…" if folder == "/" else f"agent: scanning {folder}…")
        found = scan_root(folder, config)
        say(f"agent: {len(found.installs.installs)} installs in {found.seconds:.1f} s; reporting them…")
        host_id = _report(found, folder, config, state)
        with FleetClient(CollectorAddress(collector.grpc_address, "demo")) as client:
            detail = client.show_host(host_id)
        series = _count_series(collector.http_address)
        out = Output()
        stays = out.is_terminal and not once
        say("")
        print_account(out, detail.summary.name, assessed_from_detail(detail), datetime.now(UTC).date())
        _print_metrics(out, collector.http_address, series)
        with _until_interrupted(stays=stays):
            _print_next(
                out, detail, collector.grpc_address, collector.http_address, database if keeps else None, stays=stays
            )
    return 0


def _report(found: Scan, folder: str, config: AgentConfig, state: Path) -> str:
    """Report a scan over gRPC, as the agent does; returns the host's id."""
    import os  # noqa: PLC0415

    from libcensus.agent.delivery import make_report  # noqa: PLC0415
    from libcensus.agent.identity import find_identity, hash_machine_id  # noqa: PLC0415
    from libcensus.agent.spool import HeldFacts  # noqa: PLC0415
    from libcensus.agent.transport import CollectorClient  # noqa: PLC0415

    host_id = find_identity(state).host_id
    if os.path.realpath(folder) != "/":
        # A tree on this disk is a host of its own, the same one every time.
        host_id = hash_machine_id(f"{host_id} {os.path.realpath(folder)}")
    report, facts = make_report(found)
    with CollectorClient(config.collector, host_id) as client:
        client.send(report, HeldFacts(facts))
    return host_id


def _count_series(address: str) -> int:
    """Scrape the collector once, as Prometheus would; returns how many series it told."""
    from http.client import HTTPConnection, HTTPException  # noqa: PLC0415

    from libcensus.cli.errors import CollectorAnswerError  # noqa: PLC0415

    connection = HTTPConnection(address, timeout=60)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        page = answer.read()
    except (OSError, HTTPException) as error:
        raise CollectorAnswerError(f"http://{address}/metrics cannot be read: {error}") from None
    finally:
        connection.close()
    if answer.status != 200:
        raise CollectorAnswerError(
            f"http://{address}/metrics answered {answer.status}: {page[:200].decode('utf-8', 'replace')}"
        )
    return sum(not line.startswith(b"#") for line in page.splitlines())


def _print_metrics(out: Output, address: str, series: int) -> None:
    out.line()
    out.prose(("Metrics: ", "bold"), (f"http://{address}/metrics", "underline"), (f" ({series:,} series)", ""))
    out.line()
    out.line("What Prometheus can be asked once it scrapes them:", "bold")
    for question in QUESTIONS:
        if question.is_shown_first:
            out.line(f"  # {question.text}", "dim")
            out.line(f"  {question.query}", "cyan")


def _print_next(
    out: Output, detail: HostDetail, grpc_address: str, http_address: str, kept: Path | None, *, stays: bool
) -> None:
    import shlex  # noqa: PLC0415

    out.line()
    name = shlex.quote(detail.summary.name)
    if stays:
        out.line("Look further, in another terminal:", "bold")
        for command, what in (
            (f"libcensus show {name} --findings --collector {grpc_address}", "every open finding, and what to do"),
            (f"libcensus show {name} --explain --collector {grpc_address}", "the bytes that prove each statement"),
            (f"libcensus hosts --collector {grpc_address}", "all hosts; others report with `libcensus-agent report`"),
            (f"curl -s http://{http_address}/metrics", "what Prometheus scrapes"),
        ):
            out.line(f"  # {what}", "dim")
            out.line(f"  {command}", "cyan")
    else:
        out.prose(("The collector ends with this demo; on a terminal, `libcensus demo` keeps it up until Ctrl-C.", ""))
    if kept is not None:
        database = shlex.quote(f"sqlite:///{kept}")
        out.line(f"The database stays: libcensus-collector serve --database {database}")
    if stays:
        out.line()
        out.line(
            "Ctrl-C stops the collector." if kept else "Ctrl-C stops the collector and forgets everything.", "bold"
        )


@contextmanager
def _until_interrupted(*, stays: bool) -> Iterator[None]:
    """Wait after the last words until somebody ends the demo; from these words on, that is no failure."""
    import threading  # noqa: PLC0415

    from libcensus.cli.terminal import say  # noqa: PLC0415

    if not stays:
        yield
        return
    try:
        yield
        threading.Event().wait()
    except KeyboardInterrupt:
        say("")


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the demo as Ctrl-C does, so that nothing stays behind."""

    def end(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
