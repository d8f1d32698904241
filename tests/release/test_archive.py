"""Archives of equal contents are equal, whoever wrote the files, when and with which rights."""

from __future__ import annotations

import os
import subprocess
import tarfile
from typing import TYPE_CHECKING

from release.archive import write_archive, write_checksum

if TYPE_CHECKING:
    from pathlib import Path

EPOCH = 1_700_000_000


def lay_out(folder: Path, names: list[str]) -> Path:
    """Write a small tree, its files in the given order."""
    for name in names:
        path = folder / "thing" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (folder / "thing" / "bin" / "program").chmod(0o755)
    (folder / "thing" / "link").symlink_to("bin/program")
    return folder / "thing"


def test_equal_contents_make_equal_bytes(tmp_path: Path) -> None:
    first = lay_out(tmp_path / "first", ["bin/program", "b", "a"])
    second = lay_out(tmp_path / "second", ["a", "b", "bin/program"])
    os.utime(second / "a", (1, 1))
    (second / "a").chmod(0o600)
    write_archive(first, tmp_path / "one.tar.gz", EPOCH)
    write_archive(second, tmp_path / "two.tar.gz", EPOCH)
    assert (tmp_path / "one.tar.gz").read_bytes() == (tmp_path / "two.tar.gz").read_bytes()


def test_an_archive_belongs_to_root_and_nobody_else_can_write_in_it(tmp_path: Path) -> None:
    write_archive(lay_out(tmp_path, ["bin/program", "a"]), tmp_path / "one.tar.gz", EPOCH)
    with tarfile.open(tmp_path / "one.tar.gz") as archive:
        members = {member.name: member for member in archive.getmembers()}
    assert list(members) == ["thing", "thing/a", "thing/bin", "thing/bin/program", "thing/link"]
    assert {(one.uid, one.gid, one.uname, one.mtime) for one in members.values()} == {(0, 0, "root", EPOCH)}
    assert [members[f"thing/{name}"].mode for name in ("a", "bin", "bin/program")] == [0o644, 0o755, 0o755]


def test_the_checksum_is_what_sha256sum_reads(tmp_path: Path) -> None:
    write_archive(lay_out(tmp_path, ["bin/program"]), tmp_path / "one.tar.gz", EPOCH)
    checksum = write_checksum(tmp_path / "one.tar.gz")
    subprocess.run(["sha256sum", "--check", "--strict", checksum.name], cwd=tmp_path, check=True)
