"""Real interpreters measured beside one another by the installed command, and shown by a collector."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from libcensus.cli.speed_builds import find_build
from libcensus.cli.speed_run import PART_NAMES
from tests.collector.service.running import running_collector

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMAND = Path(sys.executable).with_name("libcensus")
BASE = Path(os.path.realpath(sys._base_executable))  # type: ignore[attr-defined]
AS = ("--user", "root") if os.geteuid() == 0 else ()


def copy_of(base: Path, folder: Path) -> Path:
    """Copy an interpreter's main program, with its standard library by a link: another build that runs alike."""
    (folder / "bin").mkdir(parents=True)
    (folder / "lib").mkdir()
    stdlib = Path(sysconfig.get_path("stdlib"))
    (folder / "lib" / stdlib.name).symlink_to(stdlib)
    return Path(shutil.copy(base, folder / "bin" / base.name))


def measure(names: Sequence[Path | str], target: Path, *options: str) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        [COMMAND, "speed", *map(str, names), *options, *AS, "--output", "json"],
        capture_output=True,
        text=True,
        check=False,
    )
    target.parent.mkdir(exist_ok=True)
    target.write_text(ended.stdout)
    return ended


def scraped(address: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    with urllib.request.urlopen(f"http://{address}/metrics") as answer:
        page = answer.read().decode()
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def test_what_was_measured_reaches_the_metrics(tmp_path: Path) -> None:
    names: list[Path | str] = [BASE, copy_of(BASE, tmp_path / "copy")]
    if (pypy := shutil.which("pypy3")) is not None:
        names.append(pypy)
    speeds = tmp_path / "speeds"
    ended = measure(names, speeds / "here.json", "--rounds", "6", "--seconds", "0.06", "--machine", "here")
    assert ended.returncode in {0, 6}, ended.stderr
    told = json.loads(ended.stdout)
    builds = {find_build(str(name)).digest for name in names}
    assert {one["build"] for one in told["interpreters"]} == builds
    assert len(builds) == len(names)
    for one in told["interpreters"]:
        assert [part["name"] for part in one["parts"]] == list(PART_NAMES)
        assert all(len(part["samples"]) == 6 and min(part["samples"]) > 0 for part in one["parts"])
        compared = one["overall"]["compared"]
        assert (compared is None) == (one["path"] == told["baseline"] == str(BASE))
        assert compared is None or compared["lower"] <= compared["ratio"] <= compared["upper"]

    with running_collector(tmp_path, speeds_dir=str(speeds)) as collector:
        families = scraped(collector.http_address)
        seconds = {(labels["build"], labels["part"]) for labels, _ in families["libcensus_build_speed_seconds"]}
        assert seconds == {(build, part) for build in builds for part in PART_NAMES}
        ratios = {
            (labels["machine"], labels["build"]): value
            for labels, value in families["libcensus_build_speed_ratio"]
            if labels["part"] == "all"
        }
        assert ratios == {
            ("here", one["build"]): one["overall"]["compared"]["ratio"]
            for one in told["interpreters"]
            if one["overall"]["compared"] is not None
        }
        assert families["libcensus_speed_broken_documents"] == [({}, 0.0)]


def test_an_interpreter_that_cannot_run_ends_it_before_time_is_spent(tmp_path: Path) -> None:
    broken = copy_of(BASE, tmp_path / "broken")
    (tmp_path / "broken/lib").rename(tmp_path / "broken/gone")
    content = bytearray(broken.read_bytes())
    # The loader that it asks for is not there: the kernel says "No such file or directory" of a file that is.
    place = content.index(b"/ld-")
    content[place : place + 4] = b"/xx-"
    broken.write_bytes(content)
    ended = measure([BASE, broken], tmp_path / "out/none.json", "--rounds", "1000", "--seconds", "600")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"libcensus: error: {broken}: ")
    assert ended.stderr.count("\n") == 1
