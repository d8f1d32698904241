"""The folder with measured speed: what changes is taken up, what is broken never replaces what was good."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from libcensus.collector.speeds import folder as folder_module
from libcensus.collector.speeds.folder import SpeedSource
from tests.collector.speeds.documents import content, put

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class Watch:
    """A source of a folder whose clock is turned by hand: each look is a minute after the one before."""

    def __init__(self, folder: Path | None) -> None:
        self.minutes = 0
        self.source = SpeedSource(folder, lambda: self.minutes * 60.0)

    def look(self) -> folder_module.SpeedState:
        self.minutes += 1
        return self.source()

    def machines(self) -> list[str]:
        self.minutes += 1
        return [run.machine for run in self.source.runs()]


def test_a_folder_that_never_was_holds_nothing_and_nothing_is_wrong(tmp_path: Path) -> None:
    for folder in (tmp_path / "speeds", None):
        state = Watch(folder).look()
        assert (state.documents, state.problems) == ({}, ())


def test_changes_are_taken_up(tmp_path: Path) -> None:
    speeds = tmp_path / "speeds"
    watch = Watch(speeds)
    assert watch.machines() == []
    one = put(speeds, "b.json", content())
    assert watch.machines() == ["build-1"]
    put(speeds, "a.json", content(machine="build-2"))
    put(speeds, ".hidden.json", b"{")
    put(speeds, "notes.txt", b"{")
    assert watch.machines() == ["build-2", "build-1"]
    one.unlink()
    assert watch.machines() == ["build-2"]


def test_what_did_not_change_is_the_same_object(tmp_path: Path) -> None:
    put(tmp_path, "a.json", content())
    watch = Watch(tmp_path)
    watch.look()
    runs = watch.source.runs()
    watch.minutes += 1
    assert watch.source.runs() is runs
    # A file that was written again with what it had is no change.
    put(tmp_path, "a.json", content())
    watch.minutes += 1
    assert watch.source.runs() is runs


def test_a_broken_change_replaces_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(tmp_path, "a.json", content())
    watch = Watch(tmp_path)
    assert watch.machines() == ["build-1"]
    put(tmp_path, "a.json", b"{")
    put(tmp_path, "new.json", content(rounds=0))
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            assert watch.machines() == ["build-1"]
    state = watch.look()
    assert (state.broken_files, set(state.kept)) == (2, {str(tmp_path / "a.json")})
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert "a.json: document: is no JSON" in told[0]
    assert "(what it said before stays)" in told[0]
    assert "new.json: rounds: is no number" in told[1]
    assert "(it counts for nothing)" in told[1]
    put(tmp_path, "a.json", content(machine="build-3"))
    (tmp_path / "new.json").unlink()
    assert watch.machines() == ["build-3"]
    assert watch.look().problems == ()


def test_a_folder_that_goes_away_takes_nothing_back(tmp_path: Path) -> None:
    speeds = tmp_path / "speeds"
    put(speeds, "a.json", content())
    watch = Watch(speeds)
    assert watch.machines() == ["build-1"]
    speeds.rename(tmp_path / "elsewhere")
    assert watch.machines() == ["build-1"]
    assert "is gone" in str(watch.look().problems[0])
    (tmp_path / "elsewhere").rename(speeds)
    assert watch.look().problems == ()


def test_a_file_in_the_folders_place(tmp_path: Path) -> None:
    place = tmp_path / "speeds"
    place.write_text("{}")
    assert "cannot be read" in str(Watch(place).look().problems[0])


def test_a_pipe_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    assert "is empty" in str(Watch(tmp_path).look().problems[0])


def test_more_than_is_taken_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "MOST_FILES", 1)
    put(tmp_path, "a.json", content())
    watch = Watch(tmp_path)
    assert watch.machines() == ["build-1"]
    put(tmp_path, "b.json", content(machine="build-2"))
    assert watch.machines() == ["build-1"]
    assert "at most 1 are taken" in str(watch.look().problems[0])
