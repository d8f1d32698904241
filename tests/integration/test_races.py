"""Whoever changes the tree while it is scanned makes the agent neither open a device nor tell a file outside the root.

A thread swaps files and folders for links, FIFOs, sockets and devices as fast as it can. What the agent opens is seen
where it is opened, by the descriptor and not by a name, which may stand for something else a moment later.
"""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import stat
import sys
import threading
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from libcensus.facts.vocabulary import ProbeState
from tests.agent.roots import scan_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCANS = 25
PYTHON = Path(sys.executable).resolve()
USUAL = frozenset(os.stat(path).st_rdev for path in ("/dev/null", "/dev/urandom"))  # noqa: PTH116 - rdev


class Openings:
    """Every opening of this process by its descriptor, ``O_PATH`` aside, for that opens nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.special: list[str] = []
        self.files: set[tuple[int, int]] = set()
        real = os.open

        def opened(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
            descriptor = real(path, flags, *arguments, **options)
            if not flags & os.O_PATH:
                status = os.fstat(descriptor)
                self.files.add((status.st_dev, status.st_ino))
                is_plain = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
                if not is_plain and status.st_rdev not in USUAL:
                    self.special.append(f"{path}: {stat.filemode(status.st_mode)}")
            return descriptor

        monkeypatch.setattr(os, "open", opened)


@contextmanager
def swapping(*turns: Callable[[int], None]) -> Iterator[list[int]]:
    """Take turns in a thread until the block ends; gives the number of turns that were taken."""
    done, stop = [0], threading.Event()

    def swap() -> None:
        for number, turn in enumerate(itertools.cycle(turns)):
            if stop.is_set():
                return
            with suppress(FileNotFoundError, FileExistsError, NotADirectoryError):
                turn(number)
            done[0] += 1

    thread = threading.Thread(target=swap)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread.start()
    try:
        yield done
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        thread.join()


def put(make: Callable[[Path], object], place: Path) -> Callable[[int], None]:
    """Return a turn that makes something beside a place and renames it there, as an attacker would."""

    def turn(number: int) -> None:
        new = place.with_name(f".new-{number}")
        make(new)
        new.replace(place)

    return turn


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """An interpreter that no scan of the root may tell: its bytes occur nowhere in the root."""
    folder = tmp_path / "outside"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/python3.12").write_bytes(PYTHON.read_bytes() + b"outside")
    (folder / "pyvenv.cfg").write_text("home = /outside\nversion = 3.12.99\n")
    return folder


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A root with one interpreter that stays."""
    folder = tmp_path / "root"
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/os-release").write_text("ID=debian\n")
    (folder / "usr/bin").mkdir(parents=True)
    shutil.copy2(PYTHON, folder / "usr/bin/python3.12")
    return folder


def test_a_file_that_becomes_a_link_a_fifo_or_a_device_opens_nothing_else(
    top: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = top / "opt/bin/python3.12"
    place.parent.mkdir(parents=True)

    def make_socket(path: Path) -> None:
        folder = os.open(path.parent, os.O_PATH)
        try:
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)

    turns = [
        put(lambda path: os.link(top / "usr/bin/python3.12", path), place),
        put(lambda path: path.symlink_to(outside / "bin/python3.12"), place),
        put(lambda path: path.symlink_to("../" * 20 + str(outside / "bin/python3.12")), place),
        put(os.mkfifo, place),
        put(make_socket, place),
        put(lambda path: path.symlink_to("/dev/zero"), place),
    ]
    if os.geteuid() == 0:
        turns.append(put(lambda path: os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 5)), place))
    openings = Openings(monkeypatch)
    with swapping(*turns) as done:
        scans = [scan_folder(top) for _ in range(SCANS)]
    check(scans, openings, outside)
    assert done[0] > 2 * SCANS, "the tree hardly changed"


def test_a_folder_that_becomes_a_link_leads_nowhere_else(
    top: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, aside = top / "opt/python", top / ".aside"
    (place / "bin").mkdir(parents=True)
    os.link(top / "usr/bin/python3.12", place / "bin/python3.12")
    (place / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.12.1\n")

    def away(_number: int) -> None:
        place.rename(aside)
        place.symlink_to(outside)

    def back(_number: int) -> None:
        place.unlink()
        aside.rename(place)

    openings = Openings(monkeypatch)
    with swapping(away, back) as done:
        scans = [scan_folder(top) for _ in range(SCANS)]
    check(scans, openings, outside)
    assert done[0] > 2 * SCANS, "the tree hardly changed"


def check(scans: list[Any], openings: Openings, outside: Path) -> None:
    """Nothing special was opened, nothing outside was opened or told, and no scan lost more than one skip."""
    assert openings.special == []
    forbidden = {(status.st_dev, status.st_ino) for status in map(Path.stat, outside.rglob("*"))}
    assert not forbidden & openings.files
    digest = sha256((outside / "bin/python3.12").read_bytes()).hexdigest()
    for found in scans:
        told = {file.sha256 for build in found.builds.values() for file in build.files}
        assert digest not in told
        assert [probe.name for probe in found.probes if probe.state is ProbeState.FAILED] == []
        assert not [one for one in found.installs.installs if str(outside) in one.path or "3.12.99" in repr(one)]
        assert "/usr/bin/python3.12" in {install.path for install in found.installs.installs}
