"""The state folder: private, durable, and one run at a time."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from libcensus.agent.errors import AgentError, ConfigurationError
from libcensus.agent.state import StateFolder, write_durably

if TYPE_CHECKING:
    from pathlib import Path


def test_the_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "a" / "b")
    folder.create()
    folder.create()
    assert folder.path.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o770, 0o777, 0o702], ids=oct)
def test_a_folder_that_others_can_write_is_refused(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.mkdir()
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=r"can be written by other users .* run chmod 0700"):
        StateFolder(path).create()


def test_a_file_in_its_place_is_told(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text("")
    with pytest.raises(ConfigurationError, match=r"cannot be made: File exists; set state\.folder"):
        StateFolder(path).create()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.mkdir(mode=0o700)
    os.chown(path, 12345, 12345)
    with pytest.raises(ConfigurationError, match="belongs to user id 12345"):
        StateFolder(path).create()


def test_what_is_remembered_is_there_at_the_next_look(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    assert folder.read() == {}
    folder.update({"a": 1})
    folder.update({"b": {"c": None}})
    assert StateFolder(tmp_path).read() == {"a": 1, "b": {"c": None}}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'"text"'], ids=repr)
def test_a_damaged_memory_is_an_empty_one(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_bytes(content)
    folder = StateFolder(tmp_path)
    assert folder.read() == {}
    folder.update({"a": 1})
    assert folder.read() == {"a": 1}


def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_durably(target, b"old")
    with pytest.raises(TypeError):
        write_durably(target, "text")  # type: ignore[arg-type]
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_second_run_is_refused_while_the_first_holds_the_folder(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    with folder.lock(), pytest.raises(AgentError, match="another libcensus-agent"), StateFolder(tmp_path).lock():
        pass
    with folder.lock():
        pass
