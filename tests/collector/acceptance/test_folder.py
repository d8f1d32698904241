"""The folder with accepted risks: what changes is taken, what is broken never replaces what was good."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from libcensus.collector.acceptance import folder as folder_module
from libcensus.collector.acceptance.folder import AcceptanceSource
from tests.collector.acceptance.documents import DOCUMENT, put, statement, text

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
OTHER = "https://example.com/vex/2026-2"


class Watch:
    """A source of a folder whose clocks are turned by hand: each look is a minute after the one before."""

    def __init__(self, folder: Path | None) -> None:
        self.minutes = 0
        self.source = AcceptanceSource(folder, lambda: self.minutes * 60.0, lambda: NOON + self.passed)

    @property
    def passed(self) -> timedelta:
        return timedelta(minutes=self.minutes)

    def look(self) -> folder_module.AcceptedState:
        self.minutes += 1
        return self.source()

    def ids(self) -> list[str]:
        return [one.id for one in self.look().statements]


def test_a_folder_that_never_was_holds_nothing_and_nothing_is_wrong(tmp_path: Path) -> None:
    state = Watch(tmp_path / "vex").look()
    assert (state.statements, state.problems, state.good_at) == ((), (), NOON + timedelta(minutes=1))
    assert Watch(None).look().statements == ()


def test_changes_are_taken_up(tmp_path: Path) -> None:
    vex = tmp_path / "vex"
    watch = Watch(vex)
    assert watch.ids() == []
    one = put(vex, "b.json", text())
    assert watch.ids() == [f"{DOCUMENT}#1"]
    put(vex, "a.json", text(statement(), statement(supplier="x"), **{"@id": OTHER}))
    assert watch.ids() == [f"{OTHER}#1", f"{OTHER}#2", f"{DOCUMENT}#1"]
    one.unlink()
    assert watch.ids() == [f"{OTHER}#1", f"{OTHER}#2"]


def test_between_two_looks_nothing_is_read(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.look()
    put(tmp_path, "a.json", text())
    assert watch.source().statements == ()


def test_equal_statements_are_the_same_object(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    place = put(tmp_path, "a.json", text())
    watch.look()
    before = watch.source.statements()
    os.utime(place, ns=(1, 1))
    watch.look()
    assert watch.source.statements() is before


def test_a_broken_change_replaces_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    watch = Watch(tmp_path)
    put(tmp_path, "a.json", text())
    put(tmp_path, "b.json", text(**{"@id": OTHER}))
    good = watch.look()
    put(tmp_path, "a.json", text(statement(status_notes=None), statement()))
    broken = watch.look()
    assert broken.statements == good.statements
    assert (broken.broken_files, broken.kept) == (1, frozenset({str(tmp_path / "a.json")}))
    assert broken.good_at == good.good_at
    [message] = caplog.messages
    assert message.startswith(f"accepted risks: {tmp_path}/a.json: statement 1 (CVE-2025-15467): has no expiry; add")
    assert message.endswith("(what it said before stays)")
    # It is said once, and goes on being told by the state; another document is taken up all the same.
    put(tmp_path, "b.json", text(statement(status_notes="Expires: 2028-01-01"), **{"@id": OTHER}))
    after = watch.look()
    assert [one.expires.year for one in after.statements] == [2027, 2028]
    assert (len(caplog.messages), after.good_at) == (1, good.good_at)
    put(tmp_path, "a.json", text())
    mended = watch.look()
    assert (mended.problems, mended.kept) == ((), frozenset())
    assert mended.good_at == NOON + watch.passed


def test_a_document_that_was_never_good_counts_for_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(tmp_path, "a.json", b"{")
    state = Watch(tmp_path).look()
    assert (state.statements, state.broken_files, state.good_at) == ((), 1, None)
    assert "(it counts for nothing)" in caplog.text


def test_a_folder_that_goes_away_takes_nothing_back(tmp_path: Path) -> None:
    vex = tmp_path / "vex"
    watch = Watch(vex)
    place = put(vex, "a.json", text())
    good = watch.look()
    place.rename(tmp_path / "elsewhere")
    vex.rmdir()
    gone = watch.look()
    assert gone.statements == good.statements
    assert [str(one) for one in gone.problems] == [f"{vex}: is gone; put it back, or restart the collector without it"]
    assert gone.good_at == good.good_at
    put(vex, "a.json", text())
    assert watch.look().problems == ()


def test_a_file_in_the_folders_place(tmp_path: Path) -> None:
    place = put(tmp_path, "vex", b"")
    assert "Not a directory" in str(Watch(place).look().problems[0])


def test_what_is_no_document_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    put(tmp_path, ".hidden.json", b"{")
    put(tmp_path, "README.md", b"#")
    assert Watch(tmp_path).look().problems == ()


def test_links_of_configuration_management_are_followed(tmp_path: Path) -> None:
    data = tmp_path / "..data"
    put(data, "a.json", text())
    (tmp_path / "a.json").symlink_to("..data/a.json")
    (tmp_path / "gone.json").symlink_to("..data/gone.json")
    state = Watch(tmp_path).look()
    assert len(state.statements) == 1
    assert [str(one) for one in state.problems] == [f"{tmp_path}/gone.json: cannot be read: No such file or directory"]


def test_a_pipe_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    assert "is empty" in str(Watch(tmp_path).look().problems[0])


def test_two_files_of_one_document(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    put(tmp_path, "b.json", text())
    watch.look()
    put(tmp_path, "a.json", text(statement(supplier="x")))
    state = watch.look()
    assert len(state.statements) == 1
    assert [str(one) for one in state.problems] == [
        f"{tmp_path}/a.json: has the @id '{DOCUMENT}', which {tmp_path}/b.json has already"
    ]


def test_more_than_is_taken_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "MOST_FILES", 1)
    watch = Watch(tmp_path)
    put(tmp_path, "a.json", text())
    good = watch.look()
    put(tmp_path, "b.json", text(**{"@id": OTHER}))
    state = watch.look()
    assert state.statements == good.statements
    assert "has 2 documents with 2 statements; at most 1 with 10000 are taken, and the state before" in str(
        state.problems[0]
    )
