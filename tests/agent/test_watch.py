"""What a package manager does to its database wakes the agent, and what only reads it does not."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sqlite3
import subprocess
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libcensus.agent import watch as watching
from libcensus.agent.host import Root
from libcensus.agent.resident import Signals
from libcensus.agent.watch import MAX_FOLDERS, Watch, Watched, watched_interpreters
from libcensus.facts.crypto import CryptoUse
from libcensus.facts.interpreter import Install
from libcensus.facts.vocabulary import Implementation, Installer, InstallKind, Linkage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def watched(top: Path) -> Iterator[tuple[Watch, Signals]]:
    """Watch a folder as a root."""
    # Signals first and last: SIGIO ends a process that does not handle it.
    with Signals() as signals, Root.open(str(top)) as root, Watch(root) as watch:
        watch.arm()
        yield watch, signals


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A root with the database of every package manager."""
    for file in ("var/lib/dpkg/status", "usr/lib/sysimage/rpm/Packages.db", "lib/apk/db/installed"):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text("before\n")
    (tmp_path / "var/lib/rpm").mkdir()
    with closing(sqlite3.connect(tmp_path / "var/lib/rpm/rpmdb.sqlite")) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB)")
    (tmp_path / "var/lib/pacman/local/a-1-1").mkdir(parents=True)
    return tmp_path


def replace(folder: Path, name: str, text: str) -> None:
    """Replace a file as dpkg and apk do: write it anew beside, then rename it."""
    (folder / f"{name}-new").write_text(text)
    (folder / f"{name}-new").replace(folder / name)


def write_rpm(top: Path) -> None:
    with closing(sqlite3.connect(top / "var/lib/rpm/rpmdb.sqlite")) as database, database:
        database.execute("INSERT INTO Packages (blob) VALUES (x'00')")


CHANGES: list[tuple[str, Callable[[Path], object]]] = [
    ("dpkg", lambda top: replace(top / "var/lib/dpkg", "status", "after\n")),
    ("dpkg", lambda top: replace(top / "var/lib/dpkg", "status", "before\n")),
    ("apk", lambda top: replace(top / "lib/apk/db", "installed", "after\n")),
    ("rpm", write_rpm),
    ("rpm", lambda top: (top / "usr/lib/sysimage/rpm/Packages.db").write_text("after.\n")),
    ("pacman", lambda top: (top / "var/lib/pacman/local/b-1-1").mkdir()),
    ("pacman", lambda top: (top / "var/lib/pacman/local/a-1-1").rmdir()),
]


@pytest.mark.parametrize(("owner", "change"), CHANGES, ids=[f"{n}-{owner}" for n, (owner, _) in enumerate(CHANGES)])
def test_a_change_of_a_database_wakes_and_is_named(owner: str, change: Callable[[Path], object], top: Path) -> None:
    with watched(top) as (watch, signals):
        assert {"/var/lib/dpkg", "/var/lib/rpm", "/lib/apk/db", "/var/lib/pacman/local"} <= watch.notified
        assert watch.look() == ()
        change(top)
        assert signals.wait(10)
        assert watch.look() == (owner,)
        assert watch.look() == ()


def test_a_query_of_rpm_is_no_change(top: Path) -> None:
    with watched(top) as (watch, _):
        with closing(sqlite3.connect(top / "var/lib/rpm/rpmdb.sqlite")) as database:
            assert database.execute("SELECT count(*) FROM Packages").fetchone() == (0,)
            assert (top / "var/lib/rpm/rpmdb.sqlite-wal").exists()
            assert watch.look() == ()
        assert watch.look() == ()


def test_a_lock_beside_the_database_is_no_change(top: Path) -> None:
    with watched(top) as (watch, _):
        (top / "var/lib/dpkg/lock-frontend").write_text("")
        assert watch.look() == ()


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg is not installed")
def test_the_real_dpkg_wakes(top: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    source = tmp_path_factory.mktemp("package")
    (source / "DEBIAN").mkdir()
    control = "Package: tiny\nVersion: 1\nArchitecture: all\nMaintainer: Nobody <n@example.com>\nDescription: tiny\n"
    (source / "DEBIAN/control").write_text(control)
    package = source.with_suffix(".deb")
    environment = {**os.environ, "PATH": f"/usr/sbin:/sbin:{os.environ['PATH']}"}
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", source, package], check=True, capture_output=True)
    admin = top / "var/lib/dpkg"
    (admin / "status").write_text("")
    for name in ("info", "updates", "triggers"):
        (admin / name).mkdir()
    with watched(top) as (watch, signals):
        command = ["dpkg", f"--root={top}", "--force-not-root", "--log=/dev/null", "--install", str(package)]
        subprocess.run(command, check=True, capture_output=True, env=environment)
        assert signals.wait(10)
        assert watch.look() == ("dpkg",)
        assert "Package: tiny" in (admin / "status").read_text()


def test_where_the_kernel_tells_nothing_a_look_still_sees(
    top: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    caplog.set_level("INFO", "libcensus")
    with watched(top) as (watch, signals):
        assert watch.is_refused
        assert not watch.notified
        replace(top / "var/lib/dpkg", "status", "after\n")
        assert not signals.wait(0.1)
        assert watch.look() == ("dpkg",)
    assert caplog.text.count("tells no change of folders") == 1


def test_a_folder_that_comes_goes_or_is_replaced_is_watched_again(tmp_path: Path) -> None:
    with watched(tmp_path) as (watch, signals):
        assert not watch.notified
        folder = tmp_path / "var/lib/dpkg"
        folder.mkdir(parents=True)
        watch.arm()
        assert watch.notified == {"/var/lib/dpkg"}
        shutil.rmtree(folder)
        watch.arm()
        assert not watch.notified
        folder.mkdir()
        (folder / "status").write_text("")
        watch.arm()
        assert watch.look() == ("dpkg",)
        while signals.wait(0):
            pass
        folder.rename(tmp_path / "var/lib/old")
        folder.mkdir()
        watch.arm()
        while signals.wait(0):
            pass
        (folder / "status").write_text("")
        assert signals.wait(10)


def test_hostile_paths_are_neither_opened_nor_left_the_root_by(tmp_path: Path) -> None:
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    os.mkfifo(tmp_path / "var/lib/dpkg/status")
    (tmp_path / "var/lib/pacman").mkdir()
    (tmp_path / "var/lib/pacman/local").symlink_to("/etc")
    (tmp_path / "lib").symlink_to("lib")
    os.mkfifo(tmp_path / "var/lib/rpm")
    with watched(tmp_path) as (watch, _):
        assert watch.notified == {"/var/lib/dpkg"}
        assert watch.look() == ()
        (tmp_path / "etc").mkdir()
        watch.arm()
        assert watch.look() == ("pacman",)
        assert "/var/lib/pacman/local" in watch.notified


def install(realpath: str, installer: Installer, *, root: str = "/", base: str | None = None) -> Install:
    kind = InstallKind.BASE if base is None else InstallKind.VENV
    use = CryptoUse(Linkage.NONE)
    return Install(root, realpath, realpath, kind, Implementation.CPYTHON, installer, None, use, base=base)


PYTHONS = "/home/u/.local/share/uv/python"


@pytest.mark.parametrize(
    ("installs", "folders"),
    [
        ([install(f"{PYTHONS}/cpython-3.12.6-linux/bin/python3.12", Installer.UV)], [("uv", PYTHONS)]),
        (
            [install("/root/.pyenv/versions/3.13.0/bin/python3.13", Installer.PYENV)],
            [("pyenv", "/root/.pyenv/versions")],
        ),
        ([install("/opt/conda/bin/python3.12", Installer.CONDA)], [("conda", "/opt/conda/conda-meta")]),
        ([install("/usr/bin/python3.11", Installer.DPKG)], []),
        ([install("/usr/local/bin/python3.11", Installer.UNKNOWN)], []),
        ([install(f"{PYTHONS}/a/bin/python3", Installer.UV, root="/srv/chroot")], []),
        ([install("/srv/venv/bin/python", Installer.UV, base="/usr/bin/python3")], []),
        ([install("/bin/python3", Installer.UV)], []),
        ([install(f"{PYTHONS}/{n}/bin/python3", Installer.UV) for n in "ab"], [("uv", PYTHONS)]),
    ],
    ids=["uv", "pyenv", "conda", "package", "source", "other-root", "venv", "odd", "two"],
)
def test_the_folders_of_installers_are_watched(installs: list[Install], folders: list[tuple[str, str]]) -> None:
    assert [(one.owner, one.path) for one in watched_interpreters(installs)] == folders


def test_more_folders_than_the_bound_are_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "libcensus")
    many = [install(f"/home/{n:03d}/uv/python/a/bin/python3", Installer.UV) for n in range(MAX_FOLDERS + 2)]
    assert len(watched_interpreters(many)) == MAX_FOLDERS
    assert "64 folders of interpreters are watched of 66" in caplog.text


def test_a_new_version_beside_the_others_wakes(top: Path) -> None:
    folder = top / PYTHONS.lstrip("/")
    (folder / "cpython-3.12.6").mkdir(parents=True)
    with watched(top) as (watch, signals):
        watch.follow([Watched("uv", PYTHONS, is_folder=True)])
        assert PYTHONS in watch.notified
        (folder / ".temp").mkdir()
        (folder / ".temp").rename(folder / "cpython-3.12.7")
        assert signals.wait(10)
        assert watch.look() == ("uv",)
        watch.follow([])
        assert PYTHONS not in watch.notified


def test_a_folder_on_another_file_system_is_looked_at_by_time(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = top / PYTHONS.lstrip("/")
    folder.mkdir(parents=True)
    with watched(top) as (watch, _):
        monkeypatch.setattr(watch, "_device", -1)
        watch.follow([Watched("uv", PYTHONS, is_folder=True)])
        assert PYTHONS not in watch.notified
        assert "/var/lib/dpkg" in watch.notified
        (folder / "new").mkdir()
        assert watch.look() == ("uv",)


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_watch_lets_go_of_everything(top: Path) -> None:
    before = open_files()
    with watched(top):
        assert open_files() > before
    assert open_files() == before
    assert watching.SIGNAL.name == "SIGIO"
