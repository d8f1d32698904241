"""Folders with the form of /proc, for what no test can have in reality: other kernels' numbers, runtimes, times."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from libcensus.agent.proc import Proc


@dataclass(frozen=True)
class Procfs:
    """A folder that stands for /proc."""

    folder: Path

    @property
    def proc(self) -> Proc:
        """What the product reads it by."""
        return Proc(str(self.folder))

    def add(
        self,
        pid: int,
        exe: str,
        root: Path,
        *,
        namespace: str = "1",
        cgroup: str = "0::/\n",
        maps: str = "",
        command: str = "",
        mountinfo: str = "",
        start: int = 100,
    ) -> Path:
        """Write the files of one process; ``exe`` is the text of its link, as the kernel shows it."""
        here = self.folder / str(pid)
        (here / "ns").mkdir(parents=True)
        (here / "exe").symlink_to(exe)
        (here / "root").symlink_to(root)
        (here / "cwd").symlink_to("/")
        (here / "ns/mnt").symlink_to(f"mnt:[{namespace}]")
        (here / "stat").write_text(f"{pid} (name) S 1 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 {start} 0 0\n")
        (here / "cgroup").write_text(cgroup)
        (here / "maps").write_text(maps)
        (here / "cmdline").write_bytes(command.encode())
        (here / "mountinfo").write_text(mountinfo)
        return here


def mapping(path: Path | str, *, device: int | None = None, inode: int | None = None, shown: str | None = None) -> str:
    """Return a line of maps for a file; numbers that are not given are those of its status."""
    there = Path(path).stat().st_dev if device is None else device
    number = Path(path).stat().st_ino if inode is None else inode
    where = f"{os.major(there):02x}:{os.minor(there):02x}"
    return f"7f0000000000-7f0000001000 r-xp 00000000 {where} {number}    {shown or path}\n"
