"""The host's id: hashed from the machine id, or random and kept."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

import pytest

from libcensus.agent.errors import ConfigurationError
from libcensus.agent.identity import find_identity, hash_machine_id, known_host_id, read_machine_id

if TYPE_CHECKING:
    from pathlib import Path

MACHINE_ID = "3d1219c7c4c5404aaa1f6d2a48adfda4"


def test_the_machine_id_is_hashed_with_the_applications_key() -> None:
    expected = hmac.digest(b"libcensus machine id v1", MACHINE_ID.encode(), hashlib.sha256)[:16].hex()
    assert hash_machine_id(MACHINE_ID) == expected
    assert MACHINE_ID not in expected


def test_a_machine_id_makes_the_same_host_at_every_run_and_is_not_kept(tmp_path: Path) -> None:
    file = tmp_path / "machine-id"
    file.write_text(f"{MACHINE_ID}\n")
    first = find_identity(tmp_path, file)
    assert (first.source, first.host_id) == ("machine-id", hash_machine_id(MACHINE_ID))
    assert find_identity(tmp_path, file) == first
    assert [path.name for path in tmp_path.iterdir()] == ["machine-id"]


@pytest.mark.parametrize(
    "content",
    [None, b"", b"\n", b"uninitialized\n", b"0" * 32, b"3D" * 16, b"ab", b"\xff" * 32],
    ids=["missing", "empty", "line-end", "uninitialized", "zeros", "upper-case", "short", "no-text"],
)
def test_without_a_machine_id_a_random_one_is_kept(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "machine-id"
    if content is not None:
        file.write_bytes(content)
    assert read_machine_id(file) is None
    state = tmp_path / "state"
    state.mkdir()
    first = find_identity(state, file)
    assert first.source == "random"
    assert len(bytes.fromhex(first.host_id)) == 16
    assert find_identity(state, file) == first
    assert (state / "host-id").stat().st_mode & 0o777 == 0o600
    other = tmp_path / "other"
    other.mkdir()
    assert find_identity(other, file) != first


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff\xff"], ids=["empty", "short", "no-text"])
def test_a_damaged_kept_id_is_told_and_not_replaced(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "host-id").write_bytes(content)
    with pytest.raises(ConfigurationError, match="host-id"):
        find_identity(tmp_path, tmp_path / "absent")
    assert (tmp_path / "host-id").read_bytes() == content


def test_a_state_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="the state folder must be writable"):
        find_identity(tmp_path / "none", tmp_path / "absent")


def test_an_id_is_told_without_making_one(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    assert known_host_id(tmp_path, absent) is None
    assert not (tmp_path / "host-id").exists()
    made = find_identity(tmp_path, absent).host_id
    assert known_host_id(tmp_path, absent) == made
    (tmp_path / "host-id").write_text("short")
    assert known_host_id(tmp_path, absent) is None
    (tmp_path / "machine-id").write_text("0123456789abcdef" * 2)
    assert known_host_id(tmp_path, tmp_path / "machine-id") == hash_machine_id("0123456789abcdef" * 2)
