"""``libcensus check ARTEFACT…``: whether something runs on the fleet, on scanned hosts or on distributions."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import rich_click as click

from libcensus.cli.errors import ArgumentError
from libcensus.cli.help import Command
from libcensus.cli.options import advisories_option, collector_flags, output_option, selector_option, teach
from libcensus.cli.selection import tell_nothing_chosen, warn_unknown_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from click.shell_completion import CompletionItem

    from libcensus.cli.answers import Answer
    from libcensus.cli.config import AdvisoriesFolder
    from libcensus.cli.options import CollectorFlags
    from libcensus.facts.artefact import Artefact


def _complete_places(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Complete files, and the distributions that are known by name."""
    from click.shell_completion import CompletionItem  # noqa: PLC0415 - only a shell's question needs it

    from libcensus.collector.advisories.snapshot import load_snapshot  # noqa: PLC0415

    names = [one.name for one in load_snapshot().distribution_releases if "*" not in one.name]
    return [CompletionItem(begun, type="file"), *(CompletionItem(name) for name in names if name.startswith(begun))]


@click.command(
    "check",
    cls=Command,
    short_help="Tell on which hosts an artefact runs, and why not.",
    epilog=teach(
        "libcensus check dist/*.whl",
        "libcensus check dist/*.whl --require 99%",
        "libcensus check dist/*.whl -l env=prod --require 100%",
        "libcensus check ./build/server --against host1.json --against host2.json",
        "libcensus check python.tar.zst --against debian:12 --against ubuntu:22.04",
        "libcensus check numpy-2.4.0-cp312-cp312-manylinux_2_27_x86_64.whl --explain",
        codes=(0, 1, 2, 3, 4, 5, 6, 70),
        words={
            0: "every artefact runs everywhere, or on the share that --require names",
            1: "an artefact is blocked somewhere, or runs on less than --require names",
            2: "usage: an argument is wrong, or an artefact cannot be read",
            6: "a verdict is unknown, and none is blocked",
        },
    ),
)
@click.argument("artefacts", nargs=-1, required=True, metavar="ARTEFACT...", type=click.Path())
@click.option(
    "--against",
    multiple=True,
    metavar="PLACE",
    shell_complete=_complete_places,
    help="A scan's JSON file, a folder of them, or a distribution such as debian:12 (repeatable). Without it the "
    "collector's fleet is asked.",
)
@click.option("--arch", metavar="ARCH", help="Judge distributions on this architecture, not on the artefact's own.")
@click.option(
    "--require",
    metavar="SHARE",
    help="Exit with 0 when each artefact runs on at least this share of the hosts (99%), else with 1. A distribution "
    "counts as one host, an unknown verdict as not running.",
)
@click.option("--strict", is_flag=True, help="Count a host on which some modules would not load as blocked.")
@click.option("--explain", is_flag=True, help="Show every reason with its file and symbol, not the first few.")
@selector_option
@collector_flags
@advisories_option
@output_option
def check_command(
    artefacts: tuple[str, ...],
    against: tuple[str, ...],
    arch: str | None,
    require: str | None,
    selector: str | None,
    collector: CollectorFlags,
    advisories: AdvisoriesFolder | None,
    output: str,
    *,
    strict: bool,
    explain: bool,
) -> int:
    """Tell on which hosts an artefact would start, and every reason why it would not elsewhere.

    ARTEFACT is a program, a library, a wheel, a folder, an environment, an interpreter's prefix, a tar archive or a zip
    application; or the name of a wheel that is no file here, which is judged by its tags. It is read, never run.
    Without --against every host of the collector's fleet is judged, or those that --selector chooses.
    """
    from libcensus.cli.answers import EXIT_UNREADABLE, by_artefact, exit_code, parse_share, share_of  # noqa: PLC0415
    from libcensus.cli.document import answer_object  # noqa: PLC0415 - `--help` must not pay for gRPC
    from libcensus.cli.judgement import print_answers, tell_share  # noqa: PLC0415
    from libcensus.cli.terminal import Output, say  # noqa: PLC0415

    wanted = None if require is None else parse_share(require)
    if against and collector.given is not None:
        raise ArgumentError(f"--against judges here and {collector.given} asks a fleet: give one of them")
    if against and selector is not None:
        raise ArgumentError("--against judges here and --selector chooses hosts of a fleet: give one of them")
    if arch is not None and not against:
        raise ArgumentError("--arch is for distributions; name one, such as --against debian:12")
    if advisories is not None and advisories.origin == "--advisories-dir" and not against:
        raise ArgumentError("--advisories-dir is for what is judged here; name it with --against")
    unread: list[str] = []
    unknown_keys: set[str] = set()
    names = tuple(dict.fromkeys(artefacts))
    answers = _answers(
        names,
        unread,
        _asking_places(against, arch, advisories)
        if against
        else _asking_fleet(collector, selector or "", unknown_keys),
    )
    if answers:
        warn_unknown_keys(sorted(unknown_keys))
    out = Output()
    if output == "json":
        out.json([answer_object(one) for one in answers])
    elif answers:
        print_answers(out, answers, explain=explain, strict=strict)
    for message in unread:
        say(f"libcensus: error: {message}")
    if unread:
        return EXIT_UNREADABLE
    if not answers and selector is not None:
        say(f"libcensus: {tell_nothing_chosen(selector, sorted(unknown_keys))} Nothing was judged.")
    elif not answers:
        say("libcensus: no host has reported to the collector yet: nothing was judged")
    elif wanted is not None:
        for name, own in by_artefact(answers).items():
            if not share_of(own, strict=strict).reaches(wanted):
                say(f"libcensus: {name} runs on {tell_share(own, strict=strict)}, less than --require {require}")
    return exit_code(answers, strict=strict, require=wanted)


def _answers(
    names: Sequence[str], unread: list[str], ask: AbstractContextManager[Callable[[Artefact], list[Answer]]]
) -> list[Answer]:
    """Return what is known of every artefact that can be read; the messages of the others go to ``unread``."""
    from contextlib import closing  # noqa: PLC0415

    from libcensus.agent.artefact import read_artefacts  # noqa: PLC0415
    from libcensus.cli.terminal import Progress, say  # noqa: PLC0415

    # What is wrong with a place is said before the time is spent that artefacts take to read.
    progress = Progress()
    with closing(progress), ask as judge:
        artefacts = read_artefacts(
            names,
            on_error=lambda _, message: unread.append(message),
            on_warning=lambda name, message: say(f"libcensus: warning: {name}: {message}"),
            progress=progress,
        )
        answers: list[Answer] = []
        for number, artefact in enumerate(artefacts):
            progress("judged", number, len(artefacts))
            answers += judge(artefact)
    return answers


@contextmanager
def _asking_places(
    against: Sequence[str], arch: str | None, advisories: AdvisoriesFolder | None
) -> Iterator[Callable[[Artefact], list[Answer]]]:
    from libcensus.cli.against import check_arch, find_places, judge  # noqa: PLC0415
    from libcensus.cli.facts import load_facts, tell_folder  # noqa: PLC0415
    from libcensus.collector.posture.advice import Advice  # noqa: PLC0415

    facts = load_facts(advisories)
    tell_folder(facts)
    catalogue = facts.catalogue
    asked = None if arch is None else check_arch(arch)
    places = find_places(against, catalogue)
    advice = Advice.of((), catalogue)
    yield lambda artefact: judge(artefact, places, asked, advice)


@contextmanager
def _asking_fleet(
    collector: CollectorFlags, selector: str, unknown_keys: set[str]
) -> Iterator[Callable[[Artefact], list[Answer]]]:
    """Yield what judges on the hosts that a selector chooses; ``unknown_keys`` gets those that no host has."""
    from libcensus.cli.answers import fleet_answers  # noqa: PLC0415
    from libcensus.cli.client import FleetClient  # noqa: PLC0415

    with FleetClient(collector.find()) as client:

        def judge(artefact: Artefact) -> list[Answer]:
            answer = client.check_portability(artefact, selector)
            unknown_keys.update(answer.unknown_keys)
            return fleet_answers(artefact, answer)

        yield judge
