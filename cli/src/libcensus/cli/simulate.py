"""``libcensus simulate``: fills a database with a fleet that never was, for trying things out and for tests.

The fleet is the same for the same seed, number of hosts, day and length of its past, byte for byte. A database that has
hosts already is refused unless ``--add`` says so: nobody could easily tell simulated hosts from real ones afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from libcensus.cli.help import Command
from libcensus.cli.options import output_option, teach

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from libcensus.cli.terminal import Output
    from libcensus.collector.simulation.truth import Truth

_MOST_HOSTS = 1_000_000
_MOST_DAYS = 1095
"""Three years: the snapshot knows the days of fewer and fewer versions before."""

_ENDINGS = ("", "-wal", "-shm", "-journal", ".lock")
"""What the names of the files of a SQLite database end with."""


@click.command(
    "simulate",
    cls=Command,
    short_help="Fill a database with a made-up fleet, and tell the truth about it.",
    epilog=teach(
        "libcensus simulate --database fleet.db",
        "libcensus simulate --hosts 10000 --seed 7 --database fleet.db --truth truth.json",
        "libcensus simulate --hosts 50000 --seed 7 --database fleet.db --add",
        "libcensus simulate --days 180 --database past.db --truth truth.json",
        "libcensus simulate --hosts 500 --database postgresql://census@db.example/simulated",
        "libcensus simulate --database fleet.db --output json | jq .truth.stale_environments",
        codes=(0, 2, 3, 70),
        words={
            2: "usage: an argument is wrong, the database holds hosts already, or the day is too early",
            3: "configuration: the database's address is wrong, or the database cannot be used",
        },
    ),
)
@click.option(
    "--hosts", type=click.IntRange(1, _MOST_HOSTS), default=1000, show_default=True, help="How many hosts to make."
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=1,
    show_default=True,
    help="Which fleet: the same seed makes the same hosts, and a larger fleet begins with the hosts of a smaller one.",
)
@click.option(
    "--database",
    required=True,
    metavar="DATABASE",
    help="An empty one, or a file that is to be made: a path, sqlite:////absolute/path.db, or "
    "postgresql://user@host/name. One that holds hosts is refused without --add.",
)
@click.option(
    "--add",
    is_flag=True,
    help="Add to the hosts that the database holds already; those of the same seed and day stay as they are, so that "
    "an interrupted simulation is finished and a fleet grows.",
)
@click.option(
    "--as-of",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DATE",
    help="The day that the fleet is of (2026-09-01): which builds were out, and when hosts reported.  "
    "[default: the day of the embedded snapshot]",
)
@click.option(
    "--days",
    type=click.IntRange(0, _MOST_DAYS),
    default=0,
    show_default=True,
    help="Give the fleet a past that begins so many days before its day: hosts that joined, upgrades at the pace of "
    "each provider, environments that stayed behind. What the hosts are at the end is the same for every number.",
)
@click.option(
    "--truth",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write what is true of the fleet to this file, as JSON, for comparing figures with (docs/simulate.md).",
)
@output_option
def simulate_command(
    hosts: int, seed: int, database: str, add: bool, as_of: datetime | None, days: int, truth: str | None, output: str
) -> int:
    """Fill a database with a simulated fleet: distributions, platforms, providers and builds in plausible shares.

    The facts go into the store as those of real hosts do, so that a collector serves them, and every command and metric
    shows them. The truth is told from the choices that made the fleet, not from its facts: figures can be compared.
    """
    from contextlib import closing  # noqa: PLC0415 - `--help` must not pay for the collector
    from datetime import UTC, datetime, time  # noqa: PLC0415

    from libcensus.cli.terminal import Output, Progress  # noqa: PLC0415
    from libcensus.collector.advisories.snapshot import TABLES, load_snapshot, read_table  # noqa: PLC0415
    from libcensus.collector.simulation.fill import Simulation  # noqa: PLC0415
    from libcensus.collector.store.address import DatabaseAddress  # noqa: PLC0415
    from libcensus.collector.store.sql import SqlStore  # noqa: PLC0415

    # What is wrong with the arguments is said before a database is made.
    simulation = Simulation(
        load_snapshot(),
        seed,
        hosts,
        None if as_of is None else as_of.date(),
        days=days,
        tables={name: read_table(name) for name in TABLES},
    )
    # A bare name is a file here; elsewhere it is refused, because there it may be a mistyped address.
    address = database if "/" in database or ":" in database else f"./{database}"
    file = None if truth is None else _checked(truth, DatabaseAddress.parse(address).path)
    noon = datetime.combine(simulation.as_of, time(12), UTC)
    progress = Progress()
    with SqlStore.open(address, clock=lambda: noon) as store, closing(progress):
        told = simulation.fill(store, lambda done: progress("simulated hosts", done, hosts), add=add)
    if file is not None:
        _write(file, simulation.truth_object(told))
    out = Output()
    if output == "json":
        out.json({"database": _shown(address), "truth": simulation.truth_object(told)})
    else:
        _print(out, told, address, file)
    return 0


def _checked(name: str, database: Path | None) -> Path:
    """Return the file for the truth; raises ArgumentError where it could not be written, or is the database's."""
    import os  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    from libcensus.cli.errors import ArgumentError  # noqa: PLC0415

    file = Path(name)
    if not file.parent.is_dir():
        raise ArgumentError(f"--truth {name}: there is no folder {file.parent}")
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise ArgumentError(f"--truth {name}: may not be written")
    if database is not None and file.resolve() in {Path(f"{database}{end}") for end in _ENDINGS}:
        raise ArgumentError(f"--truth {name}: is the database's own file; name another one")
    return file


def _write(file: Path, truth: dict[str, object]) -> None:
    import json  # noqa: PLC0415

    from libcensus.cli.errors import ArgumentError  # noqa: PLC0415

    try:
        file.write_text(json.dumps(truth, indent=1) + "\n", encoding="ascii")
    except OSError as error:
        raise ArgumentError(
            f"--truth {file}: the fleet is in the database, and its truth could not be written: {error.strerror}"
        ) from None


def _shown(address: str) -> str:
    """Return an address as a command takes it, without a password."""
    from pathlib import Path  # noqa: PLC0415

    from libcensus.collector.config import hide_password  # noqa: PLC0415

    return hide_password(address) if "://" in address else f"sqlite:///{Path(address).absolute()}"


def _print(out: Output, truth: Truth, address: str, file: Path | None) -> None:
    import shlex  # noqa: PLC0415
    from collections import Counter  # noqa: PLC0415

    from libcensus.cli.terminal import Cell, Column  # noqa: PLC0415

    systems: Counter[tuple[str, str, str]] = Counter()
    for (os_id, version, _, family, libc), hosts in truth.systems.items():
        systems[os_id, version, f"{family} {libc}"] += hosts
    rows = [
        (Cell(f"{os_id} {version}"), Cell(libc), Cell(f"{hosts:,}"), Cell(f"{hosts / truth.hosts:.1%}"))
        for (os_id, version, libc), hosts in sorted(systems.items(), key=lambda item: (-item[1], item[0]))
    ]
    out.table((Column("system"), Column("libc"), Column("hosts"), Column("share")), rows)
    out.line()
    summary = (
        f"{truth.hosts:,} hosts of seed {truth.seed}, as of {truth.as_of}: {truth.platforms} platforms, "
        f"{truth.builds} builds, {sum(truth.installs.values()):,} installs; {truth.silent_hosts:,} hosts are silent, "
        f"{truth.stale_environments:,} environments have lost their base."
    )
    if truth.past is not None:
        summary += f" Their past begins on {truth.past.start}, and has {truth.past.reports:,} reports."
    out.prose((summary, ""))
    if file is not None:
        out.line(f"What is true of it: {file}")
    out.line()
    out.line("Look at it:", "bold")
    for command in (
        f"libcensus-collector serve --database {shlex.quote(_shown(address))}",
        "libcensus hosts",
        "libcensus fleet glibc",
    ):
        out.line(f"  {command}", "cyan")
