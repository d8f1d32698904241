"""``providers`` and ``posture --at``: from a real collector whose host has a past, on terminals and as JSON."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len

from libcensus.cli.providers_tables import print_providers
from libcensus.cli.terminal import Output
from libcensus.collector.app import Collector
from libcensus.collector.config import CollectorSettings
from libcensus.collector.posture.finding import Component, Severity
from libcensus.collector.posture.lag import LagSummary
from libcensus.collector.posture.speed import SpeedRatio
from libcensus.collector.service.providers_codec import PatchedShare, ProviderPatching, ProvidersAnswer, ProviderSpeed
from libcensus.collector.store.sql import SqlStore
from libcensus.facts.crypto import CryptoLibrary
from libcensus.facts.vocabulary import CryptoFamily, Installer, Provider
from tests.cli.test_account import Screen, strip_styles
from tests.collector.metrics import fleet
from tests.collector.speeds.documents import PBS, content, interpreter, put
from tests.golden import check_golden

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

NEWER = fleet.build("3.12.12", Provider.PBS, "2.17", mark="20260127")
ANSWER = ProvidersAnswer(
    patching=(
        ProviderPatching(
            "conda", Component.OPENSSL, Severity.HIGH, 0, 0.0, None, None, (PatchedShare(7, 0, 0),), 0, 12,
            0, 0, 0, None,
        ),
        ProviderPatching(
            "distro", Component.OPENSSL, Severity.HIGH, 1204, 1e8, 0, 3,
            (PatchedShare(7, 1190, 1210), PatchedShare(30, 1204, 1204)), 87, 0, 3, 14, 0, date(2026, 1, 27),
        ),
        ProviderPatching(
            "pbs", Component.CPYTHON, Severity.UNKNOWN, 40, 2e8, 61, 120,
            (PatchedShare(7, 0, 60), PatchedShare(30, 6, 60)), 9, 0, 0, 20, 2, date(2025, 10, 9),
        ),
    ),
    lags=(
        LagSummary("debian 12", Component.OPENSSL, 53, 0, 85, 129),
        LagSummary("python-build-standalone", Component.OPENSSL, 82, 1, 112, 169),
    ),
    hosts=1310,
    watched_since=date(2025, 11, 20),
    day=date(2026, 11, 20),
    advisories_day=date(2026, 11, 10),
    speeds=tuple(
        ProviderSpeed(
            "build-1", "1", "0" * 64, implementation, version, provider, "distro", "3.12.3",
            SpeedRatio(ratio, lower, upper), datetime(2026, 11, 18, 9, tzinfo=UTC),
        )
        for provider, implementation, version, ratio, lower, upper in (
            ("pyenv", "cpython", "3.12.1", 0.804, 0.797, 0.811),
            ("pbs", "cpython", "3.12.12", 1.006, 0.993, 1.021),
            ("distro", "pypy", None, 2.4, None, None),
        )
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """A collector with a host whose uv-managed Python was upgraded after the fix came, and one that came later."""
    folder = tmp_path_factory.mktemp("past")
    with SqlStore.open(f"sqlite:///{folder / 'census.db'}") as store:
        old = fleet.install("/opt/py/bin/python3.12", fleet.PBS_312, fleet.STATIC, installer=Installer.UV)
        static = replace(fleet.STATIC, library=CryptoLibrary(CryptoFamily.OPENSSL, "3.5.5"))
        new = fleet.install("/opt/py/bin/python3.12", NEWER, static, installer=Installer.UV)
        before = fleet.Machine("web-1", builds=(fleet.PBS_312,), installs=(old,))
        fleet.report(store, before, at=datetime(2026, 1, 20, tzinfo=UTC))
        after = fleet.Machine("web-1", builds=(NEWER,), installs=(new,))
        fleet.report(store, after, at=datetime(2026, 2, 2, 12, tzinfo=UTC))
        fleet.report(store, before.renamed("web-2"), at=datetime(2026, 3, 1, tzinfo=UTC))
        put(
            folder / "speeds",
            "build-1.json",
            content(
                interpreter(),
                interpreter("/opt/py/bin/python3.12", PBS, "pbs", "3.12.12", times=(0.008,) * 8),
                measured_at="2026-11-18T09:00:00Z",
            ),
        )
        settings = CollectorSettings(listen="127.0.0.1:0", http_listen="127.0.0.1:0", speeds_dir=str(folder / "speeds"))
        running = Collector(settings, store, today=lambda: fleet.TODAY).start()
        try:
            yield running
        finally:
            running.stop()


def test_who_was_exposed_on_a_past_day(run: Run, collector: Collector) -> None:
    def on(day: str, *more: str) -> dict[str, object]:
        about = ("--advisory", "CVE-2025-15467", "--output", "json", "--collector", collector.grpc_address)
        ended = run("posture", "--at", day, *about, *more)
        assert ended.code == 0, ended.err
        told = json.loads(ended.out)
        return {
            "hosts": told["hosts"],
            "affected": told["affected_hosts"],
            "exposed": told["exposed_hosts"],
            "names": [one["name"] for one in told["worst_hosts"]],
        }

    assert on("2026-01-19") == {"hosts": 0, "affected": 0, "exposed": 0, "names": []}
    # Published on the 27th; before that day nobody knew.
    assert on("2026-01-26") == {"hosts": 1, "affected": 0, "exposed": 0, "names": []}
    assert on("2026-02-01") == {"hosts": 1, "affected": 1, "exposed": 1, "names": ["web-1"]}
    assert on("2026-02-02") == {"hosts": 1, "affected": 0, "exposed": 0, "names": []}
    assert on("2026-11-20") == {"hosts": 2, "affected": 1, "exposed": 1, "names": ["web-2"]}


def test_a_day_without_hosts_and_days_that_are_none(run: Run, collector: Collector) -> None:
    about = ("--collector", collector.grpc_address)
    assert "No host had reported to" in run("posture", "--at", "2026-01-19", *about).out
    for command in ("posture", "providers"):
        ended = run(command, "--at", "2027-01-01", *about)
        assert ended.code == 2
        assert "day: 2027-01-01 is still to come; today is 2026-11-20 (UTC)" in ended.err
        assert run(command, "--at", "yesterday", *about).code == 2
    ended = run("providers", "--since", "2026-06-01", "--at", "2026-05-01", *about)
    assert ended.code == 2
    assert "since: 2026-06-01 is later than the day of the answer, 2026-05-01" in ended.err


def test_how_long_fixes_took(run: Run, collector: Collector) -> None:
    told = json.loads(run("providers", "--output", "json", "--collector", collector.grpc_address).out)
    high = next(one for one in told["patching"] if (one["component"], one["severity"]) == ("openssl", "high"))
    assert high["provider"] == "pbs"
    # Both are open to what came later, and one was patched of what came while it was watched.
    assert (high["measured"], high["unmeasured"]) == (1, 0)
    assert high["open"] > 1
    assert told["watched_since"] == "2026-01-20T00:00:00Z"
    assert {one["channel"] for one in told["lags"]} >= {"debian 12", "python-build-standalone"}
    text = run("providers", "--collector", collector.grpc_address).out
    assert "From the fix to the hosts: 2 hosts, watched since 2026-01-20" in text
    none = json.loads(
        run("providers", "--provider", "distro", "--output", "json", "--collector", collector.grpc_address).out
    )
    assert none["patching"] == []


def test_measured_speed(run: Run, collector: Collector) -> None:
    about = ("--collector", collector.grpc_address)
    told = json.loads(run("providers", "--provider", "pbs", "--output", "json", *about).out)
    (speed,) = told["speeds"]
    assert (speed["build"], speed["version"], speed["baseline_provider"], speed["machine"]) == (
        PBS, "3.12.12", "distro", "build-1",
    )  # fmt: skip
    assert (speed["verdict"], speed["measured_at"]) == ("faster", "2026-11-18T09:00:00Z")
    assert speed["ratio"] == pytest.approx(1.25)
    text = run("providers", *about).out
    assert "pbs 3.12.12  distro 3.12.3  1.25   1.250 to 1.250  faster   build-1  2026-11-18" in text
    for others in (("--provider", "conda"), ("--at", "2026-11-17")):
        assert json.loads(run("providers", *others, "--output", "json", *about).out)["speeds"] == []
        assert "Speed of builds" not in run("providers", *others, *about).out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--provider", "uvv"), "provider: 'uvv' is none of"),
        (("--component", "sslopen"), "component: 'sslopen' is none of"),
    ],
    ids=["provider", "component"],
)
def test_what_nothing_can_be_of_is_refused(run: Run, collector: Collector, flags: tuple[str, ...], words: str) -> None:
    ended = run("providers", *flags, "--collector", collector.grpc_address)
    assert ended.code == 2
    assert words in ended.err


@pytest.mark.parametrize("width", [80, 150])
def test_on_a_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    for name, value in (("COLUMNS", str(width)), ("TERM", "xterm"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", screen)
    print_providers(Output(), ANSWER)
    shown = "\n".join(line.rstrip() for line in strip_styles(screen.getvalue()).splitlines()) + "\n"
    assert max(map(cell_len, shown.splitlines())) <= width
    check_golden(f"providers-{width}.txt", shown)


def test_off_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = io.StringIO()
    monkeypatch.setattr(sys, "stdout", plain)
    print_providers(Output(), replace(ANSWER, patching=(), hosts=0, watched_since=None))
    assert "Nothing is affected, and nothing was." in plain.getvalue()
