"""Measured speed in the exposition: what builds are compared with, and what there is when nobody measured."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from libcensus.collector.metrics.exporter import FleetExporter
from libcensus.collector.metrics.view import Detail
from libcensus.collector.speeds.document import read_speed
from libcensus.collector.store.sql import SqlStore
from tests.collector.metrics import fleet
from tests.collector.metrics.test_exporter import samples
from tests.collector.speeds.documents import DISTRO, PBS, PYENV, interpreter
from tests.collector.speeds.documents import content as speed_content

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from libcensus.collector.posture.speed import SpeedRun


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with SqlStore.open(f"sqlite:///{tmp_path / 'census.db'}") as opened:
        yield opened


def speed_exporter(store: SqlStore, measured: Callable[[], tuple[SpeedRun, ...]]) -> FleetExporter:
    assessor = fleet.assessor()
    return FleetExporter(store, lambda: assessor, Detail.FLEET, measured=measured)


def measured_run(*interpreters: dict[str, Any], **changes: Any) -> SpeedRun:
    return read_speed(speed_content(*interpreters, **changes))


def of_family(page: bytes, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """Return the values of a family by some of its labels."""
    return {
        tuple(dict(own)[label] for label in labels): value
        for (sample, own), value in samples(page).items()
        if sample == name
    }


def test_measured_speed_is_told_beside_the_distributions_build_of_the_line(store: SqlStore) -> None:
    runs = (
        measured_run(
            interpreter(times=[0.010 + 0.001 * number for number in range(8)]),
            interpreter(
                "/opt/pbs/bin/python3", PBS, "pbs", "3.12.9", [(0.010 + 0.001 * number) / 1.25 for number in range(8)]
            ),
            interpreter("/few", PYENV, "pyenv", None, [0.02] * 8, language="3.13"),
        ),
    )
    page = speed_exporter(store, lambda: runs).render()[1]
    assert of_family(page, "libcensus_build_speed_ratio", "provider", "part", "version", "baseline_version") == {
        ("pbs", part, "3.12.9", "3.12.3"): pytest.approx(1.25) for part in ("all", "objects", "text")
    } | {("pyenv", part, "unknown", "3.12.3"): pytest.approx(0.675) for part in ("all", "objects", "text")}
    lower = of_family(page, "libcensus_build_speed_ratio_lower", "build", "part")
    upper = of_family(page, "libcensus_build_speed_ratio_upper", "build", "part")
    assert lower[PBS, "all"] == pytest.approx(1.25)
    assert lower[PYENV, "all"] < 0.675 < upper[PYENV, "all"]
    assert of_family(page, "libcensus_build_speed_seconds", "machine", "build", "part")["build-1", PBS, "text"] == (
        pytest.approx(0.0135 * 2 / 1.25)
    )
    moments = of_family(page, "libcensus_build_speed_timestamp_seconds", "machine", "workload", "build")
    assert set(moments) == {("build-1", "0", build) for build in (DISTRO, PBS, PYENV)}
    assert set(moments.values()) == {datetime(2026, 11, 30, 19, 30, tzinfo=UTC).timestamp()}


def test_too_few_rounds_have_a_ratio_and_no_interval(store: SqlStore) -> None:
    runs = (measured_run(interpreter(times=[1.0] * 5), interpreter("/pbs", PBS, "pbs", times=[0.5] * 5)),)
    page = speed_exporter(store, lambda: runs).render()[1]
    ratios = of_family(page, "libcensus_build_speed_ratio", "part")
    assert ratios == {(part,): pytest.approx(2.0) for part in ("all", "objects", "text")}
    assert not of_family(page, "libcensus_build_speed_ratio_lower", "part")
    assert not of_family(page, "libcensus_build_speed_ratio_upper", "part")


def test_nothing_measured_has_no_series_and_a_change_is_told_at_the_next_scrape(store: SqlStore) -> None:
    fleet.report(store, fleet.Machine("web-1"))
    told: list[tuple[SpeedRun, ...]] = [()]
    exporter = speed_exporter(store, lambda: told[0])
    assert b"\nlibcensus_build_speed" not in exporter.render()[1]
    told[0] = (measured_run(machine='odd "name\\'),)
    page = exporter.render()[1]
    assert set(of_family(page, "libcensus_build_speed_seconds", "machine")) == {('odd "name\\',)}
    assert exporter.render()[1] == page
    told[0] = ()
    assert b"\nlibcensus_build_speed" not in exporter.render()[1]


def test_promtool_finds_nothing_to_say_about_measured_speed(store: SqlStore) -> None:
    runs = (measured_run(interpreter(), interpreter("/pbs", PBS, "pbs"), interpreter("/again", PBS, "pbs")),)
    page = speed_exporter(store, lambda: runs).render()[1]
    checked = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
