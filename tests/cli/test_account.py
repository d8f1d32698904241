"""How one machine is told to people: tables on and off a terminal, as golden files."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from libcensus.agent.scan import Scan
from libcensus.cli.account import (
    HOST_COLUMNS,
    count_findings,
    print_account,
    print_evidence,
    print_findings,
)
from libcensus.cli.assessed import Assessed, has_ended, last_day, most_urgent, worst_of
from libcensus.cli.rows import INSTALL_COLUMNS, install_row
from libcensus.cli.terminal import Cell, Column, Output, shorten_path
from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.posture.finding import (
    Component,
    EndOfLife,
    Finding,
    Severity,
    Subject,
    SubjectKind,
    SupportState,
    VexStatus,
)
from libcensus.collector.posture.quirks import seen_quirks
from libcensus.collector.posture.verdict import PortabilityState
from libcensus.collector.service.fleet_codec import ToldVerdict, tell_verdict
from libcensus.facts.crypto import CryptoLibrary, CryptoUse
from libcensus.facts.vocabulary import CryptoFamily, InstallKind, Linkage
from tests.collector.metrics import fleet
from tests.golden import check_golden


class Screen(io.StringIO):
    """Standard output that says that it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def assessed(machine: fleet.Machine | None = None) -> Assessed:
    """Return a machine with everything that a table tells apart."""
    machine = machine or fleet.Machine(
        "web-1",
        builds=(fleet.DISTRO_311, fleet.PBS_312, fleet.PYENV_313),
        installs=(
            *fleet.Machine("").installs,
            fleet.install("/srv/app/.venv/bin/python", fleet.PBS_312, fleet.STATIC, kind=InstallKind.VENV),
            fleet.install(
                "/home/someone/projects/with/a/rather/long/path/to/its/.venv/bin/python3.12",
                fleet.PBS_312,
                fleet.STATIC,
                kind=InstallKind.VENV,
            ),
            fleet.install("/usr/local/bin/python3.13", fleet.PYENV_313, fleet.UNRESOLVED),
            fleet.install("/srv/gone/bin/python", None, fleet.WITHOUT, kind=InstallKind.VENV),
            fleet.install(
                "/opt/forks/bin/python3",
                fleet.PBS_312,
                CryptoUse(Linkage.BUNDLED, "/opt/forks/lib/libssl.so", CryptoLibrary(CryptoFamily.LIBRESSL, "3.9.2")),
            ),
        ),
    )
    builds = {fleet.digest_of(one): one for one in machine.builds}
    platforms = {fleet.digest_of(one): one for one in machine.inner_platforms}
    scan = Scan(
        "/",
        machine.host,
        machine.platform,
        machine.install_set,
        builds,
        machine.probes,
        fleet.NOON,
        1.5,
        crypto_copies=machine.copy_set,
        tools=machine.tools,
        roots=machine.root_set,
        platforms=platforms,
        changelogs={fleet.digest_of(one): one for one in machine.changelogs},
        processes=machine.processes,
    )
    found = fleet.assessor().assess(
        machine.host,
        machine.platform,
        machine.install_set,
        builds,
        crypto_copies=machine.copy_set,
        roots=machine.root_set,
        platforms=platforms,
    )
    verdicts = {place: tell_verdict(verdict) for place, verdict in found.verdicts.items()}
    quirks = seen_quirks(machine.install_set, builds, load_snapshot().quirks)
    return Assessed(scan, found.findings, found.end_of_life, verdicts, quirks)


def show_on_screen(monkeypatch: pytest.MonkeyPatch, width: int, told: Assessed) -> str:
    screen = Screen()
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", screen)
    out = Output()
    print_account(out, "web-1", told, fleet.TODAY)
    out.line()
    print_findings(out, told.findings)
    return "\n".join(line.rstrip() for line in strip_styles(screen.getvalue()).splitlines()) + "\n"


def strip_styles(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.parametrize("width", [60, 80, 120, 180])
def test_a_machine_on_a_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    shown = show_on_screen(monkeypatch, width, assessed())
    # A path that heads a list is there to be copied, and stays whole.
    assert max(cell_len(line) for line in shown.splitlines() if not line.startswith("/")) <= width
    check_golden(f"account-{width}.txt", shown)


def test_a_machine_off_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = io.StringIO()
    monkeypatch.setattr(sys, "stdout", plain)
    told = assessed()
    out = Output()
    print_account(out, "web-1", told, fleet.TODAY)
    out.line()
    print_findings(out, told.findings)
    assert "…" not in plain.getvalue()
    assert "\x1b" not in plain.getvalue()
    check_golden("account-plain.txt", plain.getvalue())


@pytest.mark.parametrize("width", [80, 140])
def test_a_machine_with_all_that_an_agent_tells_on_a_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    shown = show_on_screen(monkeypatch, width, assessed(fleet.full_machine()))
    assert max(cell_len(line) for line in shown.splitlines() if not line.startswith("/")) <= width
    check_golden(f"account-full-{width}.txt", shown)


def test_a_machine_with_all_that_an_agent_tells_off_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = io.StringIO()
    monkeypatch.setattr(sys, "stdout", plain)
    told = assessed(fleet.full_machine())
    out = Output()
    print_account(out, "full", told, fleet.TODAY)
    out.line()
    print_findings(out, told.findings)
    print_evidence(out, told)
    assert "…" not in plain.getvalue()
    check_golden("account-full-plain.txt", plain.getvalue())


def test_names_that_are_found_move_no_cursor_and_make_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = io.StringIO()
    monkeypatch.setattr(sys, "stdout", plain)
    evil = fleet.Machine(
        "x", installs=(fleet.install("/srv/\x1b[2J\nfake  row/bin/python", fleet.PBS_312, fleet.STATIC),)
    )
    Output().table(INSTALL_COLUMNS, [install_row(assessed(evil), i, fleet.TODAY) for i in evil.installs])
    assert len(plain.getvalue().splitlines()) == 2
    assert "\x1b" not in plain.getvalue()


def test_a_host_without_interpreters_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = io.StringIO()
    monkeypatch.setattr(sys, "stdout", plain)
    print_account(Output(), "x", assessed(fleet.Machine("x", builds=(), installs=(), probes=())), fleet.TODAY)
    assert "No interpreter was found." in plain.getvalue()
    assert "Findings: 0 affected" in plain.getvalue()


def test_a_build_that_cannot_start_or_loses_modules_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = io.StringIO()
    monkeypatch.setattr(sys, "stdout", plain)
    told = assessed()
    lame = ToldVerdict(PortabilityState.RUNS, (), ("needs libfoo.so.1 (in lib-dynload/_foo.so); the host has none",))
    verdicts = {**told.verdicts, ("/", fleet.digest_of(fleet.PBS_312)): lame}
    print_account(Output(), "x", replace(told, verdicts=verdicts), fleet.TODAY)
    assert "/opt/py/bin/python3.12 starts, but modules would fail: needs libfoo.so.1" in plain.getvalue()
    assert "/usr/local/bin/python3.13 cannot start here: needs GLIBC_2.38" in plain.getvalue()


def test_each_install_tells_its_quirks_with_their_source(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = io.StringIO()
    monkeypatch.setattr(sys, "stdout", plain)
    told = assessed()
    print_evidence(Output(), told)
    of_install = dict(re.findall(r"^(/\S+)\n((?:  .*\n)*)", plain.getvalue(), re.MULTILINE))
    for path, quirks in {
        "/opt/py/bin/python3.12": ["pbs-libedit", "pbs-terminfo"],
        "/srv/app/.venv/bin/python": ["pbs-libedit", "pbs-terminfo"],
        "/srv/gone/bin/python": [],
    }.items():
        assert re.findall(r"^  quirk ([\w-]+): ", of_install[path], re.MULTILINE)[:2] == quirks
        assert len(re.findall(r"^    source: https://", of_install[path], re.MULTILINE)) >= len(quirks)


def test_a_machine_whose_builds_have_no_quirks_says_nothing_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = io.StringIO()
    monkeypatch.setattr(sys, "stdout", plain)
    print_account(Output(), "x", replace(assessed(), quirks=()), fleet.TODAY)
    assert "Quirks" not in plain.getvalue()


def test_columns_without_a_path_still_take_two_lines_only_where_they_must(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    Output().table(HOST_COLUMNS, [tuple(Cell("x" * 12) for _ in HOST_COLUMNS)])
    assert screen.getvalue().count("\n") > 2
    screen.truncate(0)
    Output().table((Column("A"), Column("B", is_path=True)), [(Cell("1"), Cell("/a/b"))])
    assert strip_styles(screen.getvalue().lstrip("\0")).splitlines() == ["A  B", "1  /a/b"]


@given(
    path=st.lists(st.text("abcdeü漢.-", min_size=1, max_size=20), min_size=1, max_size=12).map(
        lambda x: "/" + "/".join(x)
    ),
    width=st.integers(6, 60),
)
def test_a_shortened_path_fits_and_keeps_its_ends(path: str, width: int) -> None:
    shortened = shorten_path(path, width)
    assert cell_len(shortened) <= width
    if cell_len(path) <= width:
        assert shortened == path
    else:
        head, tail = shortened.split("…")
        assert path.startswith(head)
        assert path.endswith(tail)


SUBJECT = Subject(SubjectKind.INSTALL, "/", "/usr/bin/python3")


def finding(advisory: str, severity: Severity, status: VexStatus = VexStatus.AFFECTED) -> Finding:
    return Finding(SUBJECT, Component.OPENSSL, Linkage.STATIC, advisory, severity, status, None, None, None, ())


def test_the_worst_finding_is_the_latest_of_the_highest_severity_that_is_affected() -> None:
    findings = [
        finding("CVE-2025-9", Severity.HIGH),
        finding("CVE-2025-10", Severity.HIGH),
        finding("CVE-2026-1", Severity.LOW),
        finding("CVE-2026-2", Severity.CRITICAL, VexStatus.FIXED),
    ]
    worst = worst_of(findings)
    assert worst is not None
    assert worst.advisory == "CVE-2025-10"
    assert worst_of(findings[3:]) is None


def test_findings_are_counted_by_status_and_severity() -> None:
    findings = [
        finding("CVE-2025-9", Severity.HIGH),
        finding("CVE-2025-10", Severity.UNKNOWN),
        finding("CVE-2026-1", Severity.LOW, VexStatus.UNDER_INVESTIGATION),
        finding("CVE-2026-2", Severity.CRITICAL, VexStatus.FIXED),
    ]
    assert count_findings(findings) == "2 affected (1 high, 1 of unknown severity), 1 under investigation, 1 fixed"
    assert count_findings([]) == "0 affected"


def support(branch: str, day: date | None, state: SupportState, until: date | None = None) -> EndOfLife:
    return EndOfLife(SUBJECT, Component.OPENSSL, branch, state, day, (), until)


def test_a_distribution_that_maintains_a_branch_keeps_it_alive() -> None:
    past, ahead = fleet.TODAY - timedelta(days=9), fleet.TODAY + timedelta(days=9)
    kept = support("3.0", past, SupportState.ENDED, ahead)
    assert (has_ended(kept, fleet.TODAY), last_day(kept)) == (False, ahead)
    left = support("1.1.1", past, SupportState.ENDED, past)
    assert (has_ended(left, fleet.TODAY), last_day(left)) == (True, past)
    assert most_urgent([kept, left, support("unknown", None, SupportState.UNKNOWN)]) is left
    assert most_urgent([]) is None
