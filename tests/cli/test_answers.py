"""What follows from answers: exit codes, shares, and how people are told; tables and golden files."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from libcensus.cli.answers import (
    UNREADABLE_HOSTS,
    Answer,
    PlaceKind,
    Share,
    exit_code,
    fleet_answers,
    merged,
    parse_share,
    share_of,
)
from libcensus.cli.errors import ArgumentError
from libcensus.cli.judgement import print_answers
from libcensus.cli.terminal import Output
from libcensus.collector.posture.verdict import PortabilityState, Reason, ReasonKind, Verdict
from libcensus.collector.service.portability_codec import PlatformHosts, PlatformVerdict, PortabilityAnswer
from libcensus.facts.artefact import Artefact
from libcensus.facts.vocabulary import ArtefactKind
from tests.cli.test_account import Screen, strip_styles
from tests.golden import check_golden

PROGRAM = Artefact("build/python/bin/python3.13", ArtefactKind.EXECUTABLE)
WHEEL = Artefact("demo-1.0-cp312-cp312-manylinux_2_28_x86_64.whl", ArtefactKind.WHEEL_NAME)

_REMEDY = (
    "the newest build that would run here is CPython 3.13.18 of python-build-standalone 20261110: needs glibc 2.17"
)
LIBC = Reason(
    ReasonKind.SYMBOL_VERSION, "GLIBC_2.38", "GLIBC_2.36", "libc.so.6", "bin/python3.13", "__isoc23_strtol", _REMEDY
)
OLDER = replace(LIBC, needs="GLIBC_2.37", symbol=None)
LIBM = replace(LIBC, library="libm.so.6", symbol="fmod", file=PROGRAM.name)
LOADER = Reason(
    ReasonKind.LOADER,
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-musl-x86_64.so.1",
    file=PROGRAM.name,
    remedy="use the musl or the static build",
)
UNSURE = Reason(ReasonKind.SONAME, "libfoo.so.1", None, "libfoo.so.1", "demo/_x.so", known=False)
TLS = Reason(
    ReasonKind.SONAME,
    "libssl.so.3",
    library="libssl.so.3",
    file="lib-dynload/_ssl.so",
    remedy="install the package that has libssl.so.3",
    module="_ssl",
)
PERHAPS = replace(TLS, module="_tkinter", needs="libtk8.6.so", known=False, file="lib-dynload/_tkinter.so")

RUNS = Verdict(PortabilityState.RUNS)
IN_PART = Verdict(PortabilityState.RUNS, (), (TLS,))
PERHAPS_IN_PART = Verdict(PortabilityState.RUNS, (), (PERHAPS,))
BLOCKED = Verdict(PortabilityState.BLOCKED, (LIBC, OLDER, LIBM))
UNKNOWN = Verdict(PortabilityState.UNKNOWN, (UNSURE,))


def on_hosts(verdict: Verdict, hosts: int = 1, artefact: Artefact = PROGRAM, label: str = "debian 12") -> Answer:
    return Answer(artefact, label, PlaceKind.PLATFORM, hosts, verdict, "x86_64", "00" * 32, ("web-1", "web-2")[:hosts])


def on_distribution(verdict: Verdict, name: str = "debian:12", artefact: Artefact = PROGRAM) -> Answer:
    return Answer(artefact, name, PlaceKind.DISTRIBUTION, 0, verdict, "x86_64")


EXITS: dict[str, tuple[tuple[Answer, ...], bool, str | None, int]] = {
    "all run": ((on_hosts(RUNS), on_distribution(RUNS)), False, None, 0),
    "one is blocked": ((on_hosts(RUNS, 99), on_hosts(BLOCKED)), False, None, 1),
    "one is unknown": ((on_hosts(RUNS, 99), on_hosts(UNKNOWN)), False, None, 6),
    "blocked wins over unknown": ((on_hosts(UNKNOWN), on_distribution(BLOCKED)), False, None, 1),
    "in part is running": ((on_hosts(IN_PART),), False, None, 0),
    "in part is blocked for the strict": ((on_hosts(IN_PART),), True, None, 1),
    "perhaps in part is unknown for the strict": ((on_hosts(PERHAPS_IN_PART),), True, None, 6),
    "perhaps in part is running": ((on_hosts(PERHAPS_IN_PART),), False, None, 0),
    "nothing to judge by": ((), False, None, 6),
    "nothing to judge by, and a share": ((), False, "0%", 6),
    "the share is reached": ((on_hosts(RUNS, 99), on_hosts(BLOCKED)), False, "99%", 0),
    "the share is missed": ((on_hosts(RUNS, 98), on_hosts(BLOCKED, 2)), False, "99%", 1),
    "unknown hosts do not run": ((on_hosts(RUNS, 98), on_hosts(UNKNOWN, 2)), False, "99%", 1),
    "the share is reached with unknown hosts": ((on_hosts(RUNS, 99), on_hosts(UNKNOWN)), False, "99%", 0),
    "the strict need all modules": ((on_hosts(RUNS, 9), on_hosts(IN_PART)), True, "95%", 1),
    "a distribution counts as one": ((on_hosts(RUNS, 9), on_distribution(BLOCKED)), False, "90%", 0),
    "each artefact must reach it": ((on_hosts(RUNS, 9), on_hosts(BLOCKED, 1, WHEEL)), False, "90%", 1),
}


@pytest.mark.parametrize(("answers", "strict", "require", "code"), EXITS.values(), ids=EXITS)
def test_exit_codes(answers: tuple[Answer, ...], strict: bool, require: str | None, code: int) -> None:
    wanted = None if require is None else parse_share(require)
    assert exit_code(answers, strict=strict, require=wanted) == code


@pytest.mark.parametrize(
    ("text", "share"),
    [("99%", Fraction(99, 100)), ("99.5 %", Fraction(199, 200)), ("0%", Fraction(0)), ("100%", Fraction(1))],
)
def test_shares_are_percentages(text: str, share: Fraction) -> None:
    assert parse_share(text) == share


@pytest.mark.parametrize("text", ["99", "0.99", "101%", "-1%", "all", "", "%", "1e2%", "99,5%", "٩٩%", "100.000001%"])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(ArgumentError, match="with a percent sign, such as 99%"):
        parse_share(text)


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_only_everything_is_told_as_everything(runs: int, total: int) -> None:
    runs = min(runs, total)
    told = Share(runs, total).percent
    assert (told == "100 %") == (runs == total)
    assert float(told.removesuffix(" %")) <= runs * 100 / total


def test_hosts_that_a_collector_cannot_read_are_counted_as_unknown() -> None:
    on = PlatformHosts("00" * 32, "debian 12, glibc 2.36, x86_64", 3, ("web-1",), "x86_64")
    answers = fleet_answers(PROGRAM, PortabilityAnswer((PlatformVerdict(on, RUNS),), 2))
    assert [(one.against, one.hosts, one.verdict.state.value) for one in answers] == [
        ("debian 12, glibc 2.36, x86_64", 3, "runs"),
        (UNREADABLE_HOSTS, 2, "unknown"),
    ]
    assert share_of(answers, strict=False) == Share(3, 5)
    assert exit_code(answers, strict=False, require=None) == 6


def test_platforms_that_people_cannot_tell_apart_are_one() -> None:
    one, two = on_hosts(RUNS, 3), replace(on_hosts(RUNS, 4), platform="01" * 32, examples=("db-1",))
    other = on_hosts(BLOCKED, 5)
    joined = merged([one, other, two, on_distribution(RUNS)])
    assert [(answer.hosts, answer.verdict) for answer in joined] == [(7, RUNS), (5, BLOCKED), (0, RUNS)]
    assert joined[0].examples == ("db-1", "web-1", "web-2")
    assert share_of(joined, strict=False) == share_of([one, other, two, on_distribution(RUNS)], strict=False)


ANSWERS = (
    on_hosts(BLOCKED, 300, label="debian 12, glibc 2.36, x86_64"),
    on_hosts(IN_PART, 120, label="debian 13, glibc 2.41, x86_64"),
    on_hosts(BLOCKED, 18, label="debian 12, glibc 2.36, x86_64, Linux 5.10"),
    on_hosts(RUNS, 2, label="debian 13, glibc 2.41, x86_64, Linux 6.12"),
    on_hosts(Verdict(PortabilityState.BLOCKED, (LOADER,), (TLS,)), 10, label="alpine 3.22, musl 1.2.5, x86_64"),
    on_hosts(PERHAPS_IN_PART, 1, label="arch, glibc 2.43, x86_64"),
    on_distribution(RUNS, artefact=WHEEL),
    on_distribution(UNKNOWN, "alpine:3.20", WHEEL),
    Answer(WHEEL, "scans/host1.json", PlaceKind.SCAN, 1, RUNS, "x86_64"),
)


@pytest.mark.parametrize("width", [80, 150])
@pytest.mark.parametrize("explain", [False, True], ids=["short", "explained"])
def test_answers_on_a_terminal(monkeypatch: pytest.MonkeyPatch, width: int, explain: bool) -> None:
    screen = Screen()
    for name, value in (("COLUMNS", str(width)), ("TERM", "xterm"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", screen)
    print_answers(Output(), ANSWERS, explain=explain, strict=False)
    shown = "\n".join(line.rstrip() for line in strip_styles(screen.getvalue()).splitlines()) + "\n"
    assert max(map(cell_len, shown.splitlines())) <= width
    check_golden(f"check-{'explained-' if explain else ''}{width}.txt", shown)


def test_answers_off_a_terminal_are_one_table_with_a_line_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = io.StringIO()
    monkeypatch.setattr(sys, "stdout", plain)
    print_answers(Output(), ANSWERS, explain=False, strict=True)
    lines = plain.getvalue().splitlines()
    assert lines.index("") == len(ANSWERS) + 1
    assert all(line.startswith(answer.artefact.name) for line, answer in zip(lines[1:], ANSWERS, strict=False))
    check_golden("check-plain.txt", plain.getvalue())


def test_platforms_that_are_fine_are_counted_together_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    for name, value in (("COLUMNS", "100"), ("TERM", "xterm"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", screen)
    fine = [on_hosts(RUNS, number, label=f"platform {number}") for number in range(1, 60)]
    print_answers(Output(), [*fine, on_hosts(BLOCKED, 4, label="old")], explain=False, strict=False)
    lines = strip_styles(screen.getvalue()).splitlines()
    assert [line.split()[:4] for line in lines[3:5]] == [
        ["old", "4", "blocked", "needs"],
        ["59", "others", "1770", "runs"],
    ]
    screen.truncate(0)
    print_answers(Output(), fine, explain=True, strict=False)
    assert "platform 59" in screen.getvalue()


def test_of_many_artefacts_only_those_with_something_to_say_are_told_at_length(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    for name, value in (("COLUMNS", "100"), ("TERM", "xterm"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", screen)
    fine = [replace(PROGRAM, name=f"bin/fine{number}") for number in range(3)]
    answers = [on_hosts(RUNS, 2, one, label) for one in fine for label in ("old", "new")]
    answers += [on_hosts(RUNS, 2), on_hosts(UNKNOWN, 2, label="new")]
    print_answers(Output(), answers, explain=False, strict=False)
    lines = [line.rstrip() for line in strip_styles(screen.getvalue()).splitlines()]
    assert lines[:6] == [
        "Artefact   Runs",
        "bin/fine0  everywhere",
        "bin/fine1  everywhere",
        "bin/fine2  everywhere",
        "",
        f"{PROGRAM.name} runs on 2 of 4 hosts (50.0 %)",
    ]
    assert lines[-1] == "3 of 4 artefacts run everywhere, 1 not known to"
