"""``posture``: from a real collector, on terminals of both widths, and as JSON."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len

from libcensus.cli.posture_tables import print_posture
from libcensus.cli.terminal import Output
from libcensus.collector.app import Collector
from libcensus.collector.config import CollectorSettings
from libcensus.collector.posture.finding import Component, Severity, VexStatus
from libcensus.collector.posture.staleness import StalenessKind
from libcensus.collector.service.posture_codec import (
    AdvisoryPosture,
    FindingCount,
    HostPosture,
    PostureAnswer,
    ProviderCount,
    RemedyCount,
    StaleCount,
)
from libcensus.collector.store.sql import SqlStore
from tests.cli.test_account import Screen, strip_styles
from tests.collector.metrics import fleet
from tests.golden import check_golden

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

AFFECTED, FIXED, UNCLEAR = VexStatus.AFFECTED, VexStatus.FIXED, VexStatus.UNDER_INVESTIGATION

ANSWER = PostureAnswer(
    hosts=2003,
    affected_hosts=1728,
    under_investigation_hosts=2000,
    unreadable_hosts=3,
    counts=(
        FindingCount(Component.OPENSSL, Severity.HIGH, AFFECTED, 5292, 1409),
        FindingCount(Component.OPENSSL, Severity.HIGH, FIXED, 6350, 1420),
        FindingCount(Component.OPENSSL, Severity.LOW, VexStatus.NOT_AFFECTED, 1059, 663),
        FindingCount(Component.CPYTHON, Severity.CRITICAL, AFFECTED, 1959, 930),
        FindingCount(Component.GLIBC, Severity.UNKNOWN, UNCLEAR, 24628, 1875),
    ),
    providers=(
        ProviderCount("distro", UNCLEAR, 181420, 2000),
        ProviderCount("docker-official", FIXED, 1092, 182),
        ProviderCount("pbs", AFFECTED, 59873, 660),
    ),
    advisories=(
        AdvisoryPosture(
            "CVE-2026-6100", Component.CPYTHON, Severity.CRITICAL, date(2026, 4, 13), 1120, 629, 1500, 1320, 680, 0, 611
        ),
        AdvisoryPosture("CVE-2026-84782", Component.OPENSSL, Severity.HIGH, None, 2450, 1174, 2000, 1017, 808, 0),
        AdvisoryPosture("CVE-2026-1", Component.GLIBC, Severity.UNKNOWN, date(2026, 1, 2), 0, 0, 9, 9, 0, 1),
    ),
    remedies=(
        RemedyCount(
            "uv self update && uv python upgrade 3.12 (build 20260814 or newer, CPython 3.12.14; uv 0.12.5 is the "
            "first to know it)",
            3212,
            146,
            ("app-00109", "app-00130", "app-00181", "app-00242", "app-00558"),
        ),
        RemedyCount("", 1, 1, ("evil\n\x1b[31mname",)),
    ),
    remedies_total=3,
    worst_hosts=(
        HostPosture("0" * 32, "web-00034", ((Severity.CRITICAL, 8), (Severity.UNKNOWN, 1068)), 113, 204),
        HostPosture("1" * 32, "evil\n\x1b[31mname", (), 1),
    ),
    open_hosts=2000,
    day=date(2026, 11, 25),
    advisories_day=date(2026, 11, 10),
    exposed_hosts=1690,
    staleness=(
        StaleCount(StalenessKind.ENVIRONMENT_BASE_GONE, "unknown", 61, 59, 0, 0, 0),
        StaleCount(StalenessKind.BEHIND_PROVIDER, "distro", 180, 180, 1423, 1423, 397),
        StaleCount(StalenessKind.BEHIND_PROVIDER, "pbs", 1204, 660, 0, 0, 3),
        StaleCount(StalenessKind.UV_TOO_OLD, "pbs", 0, 0, 0, 0, 9),
    ),
)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """A collector with a full host and two small ones."""
    folder = tmp_path_factory.mktemp("full")
    with SqlStore.open(f"sqlite:///{folder / 'census.db'}") as store:
        fleet.report(store, fleet.full_machine())
        for name in ("web-1", "web-2"):
            fleet.report(store, fleet.Machine(name))
        settings = CollectorSettings(listen="127.0.0.1:0", http_listen="127.0.0.1:0")
        running = Collector(settings, store, today=lambda: fleet.TODAY).start()
        try:
            yield running
        finally:
            running.stop()


def test_the_fleet_is_told(run: Run, full: Collector) -> None:
    ended = run("posture", "--collector", full.grpc_address)
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0].startswith("The fleet: 3 hosts: 3 affected, ")
    assert any(line.startswith("OpenSSL    high ") for line in lines)
    told = json.loads(run("posture", "--collector", full.grpc_address, "--output", "json").out)
    assert (told["hosts"], told["affected_hosts"], told["unreadable_hosts"]) == (3, 3, 0)
    shown = [
        one
        for name in ("full", "web-1", "web-2")
        for one in json.loads(run("show", name, "--collector", full.grpc_address, "--output", "json").out)["findings"]
    ]
    assert sum(one["findings"] for one in told["counts"]) == len(shown)
    assert sum(one["findings"] for one in told["providers"]) == len(shown)
    affected = [one for one in shown if one["status"] == "affected"]
    whole = json.loads(run("posture", "--collector", full.grpc_address, "--output", "json", "--limit", "0").out)
    assert sum(one["findings"] for one in whole["remedies"]) == len(affected)
    assert sum(sum(one["affected"].values()) for one in whole["worst_hosts"]) == len(affected)
    assert whole["day"] == "2026-11-20T00:00:00Z"


def test_what_is_asked_about_is_chosen(run: Run, full: Collector) -> None:
    about = ("--collector", full.grpc_address, "--output", "json", "--limit", "0")
    told = json.loads(run("posture", "--advisory", "cve-2025-15467", "--provider", "PBS", *about).out)
    assert [one["advisory"] for one in told["advisories"]] == ["CVE-2025-15467"]
    assert {one["provider"] for one in told["providers"]} == {"pbs"}
    assert {one["name"] for one in told["worst_hosts"]} == {"full", "web-1", "web-2"}
    told = json.loads(run("posture", "--host", fleet.host_id_of("web-1"), "--component", "OpenSSL", *about).out)
    assert {one["component"] for one in told["counts"]} == {"openssl"}
    assert [one["name"] for one in told["worst_hosts"]] == ["web-1"]
    text = run("posture", "--host", fleet.host_id_of("web-1"), "--collector", full.grpc_address).out
    assert text.startswith("web-1: as of 2026-11-20, with advisories of ")
    assert "WORST HOSTS" not in text


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--host", "web-3"), "did you mean web-"),
        (("--advisory", "CVE-1999-0001"), "'CVE-1999-0001' is not among the"),
        (("--provider", "pbss"), "'pbss' is none of conda, distro"),
        (("--component", "ssl"), "'ssl' is none of openssl, cpython"),
    ],
)
def test_what_nothing_can_be_of_is_refused(run: Run, full: Collector, flags: tuple[str, ...], words: str) -> None:
    ended = run("posture", *flags, "--collector", full.grpc_address)
    assert (ended.code, ended.out) == (2, "")
    assert words in ended.err
    assert ended.err.count("\n") == 1


def test_fail_on_counts_what_was_asked_about(run: Run, full: Collector) -> None:
    def code(*flags: str) -> int:
        return run("posture", "--collector", full.grpc_address, *flags).code

    assert code("--fail-on", "high") == 1
    assert code("--fail-on", "critical", "--component", "openssl") == 0
    assert code("--fail-on", "any", "--provider", "conda") == 0
    assert code("--fail-on", "any") == 1
    ended = run("posture", "--collector", full.grpc_address, "--fail-on", "medium", "--output", "json")
    assert ended.code == 1
    assert json.loads(ended.out)["hosts"] == 3
    assert ended.err == ("libcensus: an affected finding is at or above the severity that --fail-on names (medium)\n")


@pytest.mark.parametrize("width", [80, 150])
def test_on_a_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    screen = Screen()
    for name, value in (("COLUMNS", str(width)), ("TERM", "xterm"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", screen)
    print_posture(Output(), ANSWER, (), 2, one_host=False)
    shown = "\n".join(line.rstrip() for line in strip_styles(screen.getvalue()).splitlines()) + "\n"
    assert max(map(cell_len, shown.splitlines())) <= width
    check_golden(f"posture-{width}.txt", shown)


def test_off_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = io.StringIO()
    monkeypatch.setattr(sys, "stdout", plain)
    print_posture(Output(), ANSWER, (), 0, one_host=False)
    check_golden("posture-plain.txt", plain.getvalue())
    assert "\x1b" not in plain.getvalue()


def test_nothing_found_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = io.StringIO()
    monkeypatch.setattr(sys, "stdout", plain)
    nothing = replace(ANSWER, unreadable_hosts=0, counts=(), providers=(), advisories=(), remedies=(), worst_hosts=())
    nothing = replace(nothing, staleness=())
    print_posture(Output(), nothing, ("web-1",), 10, one_host=True)
    assert plain.getvalue() == ("web-1: as of 2026-11-25, with advisories of 2026-11-10\n\nThere is no finding.\n")


def test_an_empty_fleet_is_said(run: Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("empty")
    settings = CollectorSettings(
        listen="127.0.0.1:0", http_listen="127.0.0.1:0", database=f"sqlite:///{folder / 'census.db'}"
    )
    with Collector(settings) as running:
        assert "No host has reported" in run("posture", "--collector", running.grpc_address).out
