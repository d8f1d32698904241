"""``libcensus speed``: how fast interpreters run the same work, measured beside one another on this machine."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import rich_click as click

from libcensus.cli.errors import ArgumentError
from libcensus.cli.help import Command
from libcensus.cli.options import output_option, teach

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libcensus.cli.speed_builds import NamedBuild
    from libcensus.cli.speed_document import Measurement
    from libcensus.cli.speed_run import RunAs

EXIT_DOUBTFUL = 6

_LONGEST_NAME = 255


@click.command(
    "speed",
    cls=Command,
    short_help="Measure how fast interpreters run, beside one another.",
    epilog=teach(
        "libcensus speed /usr/bin/python3.12 ~/.local/share/uv/python/cpython-3.12*/bin/python3.12",
        "libcensus speed python3.12 .venv /opt/pypy/bin/pypy3 --baseline python3.12",
        "libcensus speed python3 python3.13 --rounds 30 --seconds 5",
        "libcensus speed python3 python3.13 --output json > build-1.json",
        codes=(0, 2, 6, 70),
        words={
            2: "usage: an argument is wrong, or an interpreter is not there or cannot run",
            6: "measured, and doubtful: the machine was busy, or times vary too much",
        },
    ),
)
@click.argument("interpreters", nargs=-1, required=True, metavar="PYTHON...")
@click.option(
    "--baseline",
    metavar="PYTHON",
    help="Compare the others with this one, which is measured too.  [default: the first]",
)
@click.option(
    "--rounds",
    type=click.IntRange(1, 1000),
    default=12,
    show_default=True,
    help="How often each interpreter runs; below six no interval can be told.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.05, 600),
    default=2.0,
    show_default=True,
    help="Processor's time that one interpreter works in one round, start and warm-up aside.",
)
@click.option("--machine", metavar="NAME", help="What to call this machine in the result.  [default: its host name]")
@click.option("--user", metavar="NAME", help="As root: run the interpreters as this user.  [default: nobody]")
@output_option
def speed_command(
    interpreters: tuple[str, ...],
    baseline: str | None,
    rounds: int,
    seconds: float,
    machine: str | None,
    user: str | None,
    output: str,
) -> int:
    """Measure how fast Python interpreters run a fixed workload, and tell each build's speed beside a baseline.

    PYTHON is a path, a name on the PATH, or an environment, of which its base is measured. Unlike all other commands
    this one runs what you name, isolated and without site-packages, never what it finds. Every round runs each
    interpreter once, in changing order; a speed is the median of the rounds' ratios, higher is faster, with an interval
    that holds it 95 times in 100. Where that holds 1, no difference was seen. A collector shows the JSON in its metrics
    when it lies in its `speeds_dir`.
    """
    from libcensus.cli.speed_builds import find_build  # noqa: PLC0415 - `--help` must not pay for the scanner
    from libcensus.cli.speed_document import speed_object  # noqa: PLC0415
    from libcensus.cli.speed_run import check_owner, choose_user  # noqa: PLC0415
    from libcensus.cli.speed_tables import print_speed  # noqa: PLC0415
    from libcensus.cli.terminal import Output, say  # noqa: PLC0415

    if machine is not None and not (machine.strip() and machine.isprintable() and len(machine) <= _LONGEST_NAME):
        raise ArgumentError(f"--machine: write a name of 1 to {_LONGEST_NAME} printable characters")
    if not math.isfinite(seconds):
        raise ArgumentError("--seconds: is no number from 0.05 to 600")
    identity = choose_user(user)
    chosen = [] if baseline is None else [find_build(baseline)]
    named = {one.path: one for one in chosen}
    listed: set[str] = set()
    for one in map(find_build, interpreters):
        if one.path in listed:
            say(f"libcensus: {one.given} is {one.path}, which is named already; it is measured once")
        listed.add(one.path)
        named.setdefault(one.path, one)
    if identity is not None:
        for one in named.values():
            check_owner(one)
    measured = _measure(tuple(named.values()), rounds, seconds, machine, identity)
    out = Output()
    if output == "json":
        out.json(speed_object(measured))
        for doubt in measured.doubts:
            say(f"libcensus: doubtful: {doubt}")
    else:
        print_speed(out, measured)
    return EXIT_DOUBTFUL if measured.doubts else 0


def _measure(
    named: Sequence[NamedBuild], rounds: int, seconds: float, machine_name: str | None, identity: RunAs | None
) -> Measurement:
    """Run all rounds; the first interpreter is the baseline. Raises ArgumentError."""
    import os  # noqa: PLC0415
    from contextlib import closing  # noqa: PLC0415
    from datetime import UTC, datetime  # noqa: PLC0415

    from libcensus.cli.speed_document import Measurement  # noqa: PLC0415
    from libcensus.cli.speed_machine import doubts, read_machine  # noqa: PLC0415
    from libcensus.cli.speed_run import PART_NAMES, WORKLOAD_VERSION, rounds_of  # noqa: PLC0415
    from libcensus.cli.terminal import Progress  # noqa: PLC0415
    from libcensus.collector.posture.speed import MeasuredBuild, SpeedRun, median  # noqa: PLC0415

    machine = read_machine(machine_name)
    progress = Progress()
    with closing(progress):
        results = list(rounds_of(named, rounds, seconds, identity, progress))
    builds = tuple(
        MeasuredBuild(
            path=one.path,
            build=one.digest,
            implementation=one.build.implementation.value,
            version=one.build.version,
            provider=one.build.provider.value,
            arch=one.build.arch,
            language=results[0][position].language,
            samples={
                name: tuple(together[position].parts[at].pass_seconds for together in results)
                for at, name in enumerate(PART_NAMES)
            },
        )
        for position, one in enumerate(named)
    )
    run = SpeedRun(
        machine=machine.name,
        workload=WORKLOAD_VERSION,
        measured_at=datetime.now(UTC).replace(microsecond=0),
        baseline=named[0].path,
        parts=PART_NAMES,
        interpreters=builds,
    )
    shares = [one.core_share for together in results for one in together]
    return Measurement(
        run=run,
        named=tuple(named),
        machine=machine,
        rounds=rounds,
        seconds=seconds,
        share=median(shares),
        load_after=os.getloadavg()[0],
        doubts=tuple(doubts(machine, shares, {one.path: one.overall for one in builds})),
    )
