"""Tells when a package manager or an installer of interpreters changed something, so that a scan can follow soon.

What tells a change is always the status of a few files and folders, compared with the one before: the database of
dpkg, rpm, apk or pacman, and the folders in which uv, pyenv and their like keep interpreters. The kernel's directory
notification (``F_NOTIFY`` of fcntl(2)) only says when to look; where it is refused the agent looks every minute, and
nothing is missed but time. docs/adr/0005 tells why it is this and not inotify.

It opens folders, never files, and reads nothing of them. A folder on a file system of its own is looked at by time
alone: an open descriptor would keep a disk from being unmounted.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import shown
from libcensus.facts.vocabulary import Installer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from libcensus.agent.host import Root
    from libcensus.facts.interpreter import Install

_LOG = logging.getLogger(__name__)

SIGNAL = signal.SIGIO
"""What F_NOTIFY sends; one is pending at most, however much changes, and the wait only needs one."""

MAX_FOLDERS = 64
"""Folders of interpreters that are watched; more are scanned at the interval, and that is said."""

DATABASES = (
    ("dpkg", "/var/lib/dpkg/status"),
    *(
        ("rpm", f"{folder}/{name}")
        for folder in ("/var/lib/rpm", "/usr/lib/sysimage/rpm")
        for name in ("rpmdb.sqlite", "rpmdb.sqlite-wal", "Packages.db", "Packages")
    ),
    ("apk", "/lib/apk/db/installed"),
    ("apk", "/usr/lib/apk/db/installed"),
    ("pacman", "/var/lib/pacman/local"),
)
"""Per package manager the files or folders that every change of a package changes, and no query."""

_EMPTIED_AT_REST = "-wal"
"""SQLite's log: made empty and removed again by who only reads."""

_KEPT_SIDE_BY_SIDE = frozenset(
    (Installer.UV, Installer.RYE, Installer.HATCH, Installer.MISE, Installer.ASDF, Installer.PYENV)
)
"""Installers that keep one folder per version beside each other."""

_EVENTS = fcntl.DN_MODIFY | fcntl.DN_CREATE | fcntl.DN_DELETE | fcntl.DN_RENAME | fcntl.DN_MULTISHOT

_State = tuple[int, int, int, int, int] | None


@dataclass(frozen=True, slots=True)
class Watched:
    """One path whose status tells a change, and whose it is."""

    owner: str
    path: str
    is_folder: bool = False

    @property
    def folder(self) -> str:
        """The folder in which a change happens."""
        return self.path if self.is_folder else self.path.rpartition("/")[0]


def watched_databases() -> tuple[Watched, ...]:
    """Return the databases of all package managers, whether this host has them or not."""
    return tuple(Watched(owner, path, is_folder=owner == "pacman") for owner, path in DATABASES)


def watched_interpreters(installs: Iterable[Install]) -> tuple[Watched, ...]:
    """Return the folders in which installers put further interpreters, as a scan of this host found them."""
    found: dict[str, str] = {}
    for install in installs:
        if install.root != "/" or install.base is not None:
            continue
        prefix = install.realpath.rpartition("/bin/")[0]
        if install.installer in _KEPT_SIDE_BY_SIDE and prefix.count("/") > 1:
            found.setdefault(prefix.rpartition("/")[0], install.installer.value)
        elif install.installer is Installer.CONDA and prefix:
            found.setdefault(f"{prefix}/conda-meta", install.installer.value)
    chosen = sorted(found)
    if len(chosen) > MAX_FOLDERS:
        _LOG.info(
            "%d folders of interpreters are watched of %d; a change in the others shows at the interval",
            MAX_FOLDERS,
            len(chosen),
        )
    return tuple(Watched(found[path], path, is_folder=True) for path in chosen[:MAX_FOLDERS])


class Watch:
    """Watches paths of one root; use it as a context manager."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._device = os.fstat(root.descriptor).st_dev
        self._states: dict[Watched, _State] = {one: self._state(one) for one in watched_databases()}
        self._open: dict[str, tuple[int, int, int]] = {}
        self._is_refused = False

    @property
    def notified(self) -> frozenset[str]:
        """The folders that the kernel tells of; the others are looked at by time."""
        return frozenset(self._open)

    @property
    def is_refused(self) -> bool:
        """Whether the kernel offers no directory notification."""
        return self._is_refused

    def follow(self, interpreters: Iterable[Watched]) -> None:
        """Watch these folders of interpreters from now on, beside the databases; what was watched keeps its state."""
        wanted = (*watched_databases(), *interpreters)
        self._states = {one: self._states[one] if one in self._states else self._state(one) for one in wanted}
        self.arm()

    def look(self) -> tuple[str, ...]:
        """Return whose files changed since the last look, each once."""
        changed = set()
        for watched, before in self._states.items():
            now = self._state(watched)
            if now != before:
                self._states[watched] = now
                changed.add(watched.owner)
        return tuple(sorted(changed))

    def arm(self) -> None:
        """Have the kernel tell of every watched folder that is there; to be repeated, for folders come and go."""
        wanted = {one.folder: one for one in self._states}
        for folder in set(self._open) - set(wanted):
            self._release(folder)
        for folder, watched in wanted.items():
            if not self._is_refused:
                self._arm(folder, is_found=watched.owner not in _OWNERS)

    def close(self) -> None:
        """Let go of every folder; a second call does nothing."""
        for folder in list(self._open):
            self._release(folder)

    def __enter__(self) -> Self:
        """Return the watch itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go."""
        self.close()

    def _state(self, watched: Watched) -> _State:
        try:
            status = self._root.stat(watched.path)
        except UnreadableError:
            return None
        if watched.path.endswith(_EMPTIED_AT_REST) and status.st_size == 0:
            return None
        return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    def _arm(self, folder: str, *, is_found: bool) -> None:
        try:
            real = self._root.realpath(folder)
            status = self._root.stat(real)
        except UnreadableError:
            self._release(folder)
            return
        if (known := self._open.get(folder)) is not None:
            if known[1:] == (status.st_dev, status.st_ino):
                return
            self._release(folder)
        if is_found and status.st_dev != self._device:
            return
        try:
            descriptor = os.open(
                f".{real}", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._root.descriptor
            )
        except OSError as error:
            _LOG.debug("%s is looked at by time alone: %s", shown(folder), error.strerror)
            return
        try:
            here = os.fstat(descriptor)
            if (here.st_dev, here.st_ino) == (status.st_dev, status.st_ino):
                fcntl.fcntl(descriptor, fcntl.F_NOTIFY, _EVENTS)
                self._open[folder] = (descriptor, here.st_dev, here.st_ino)
                descriptor = -1
        except OSError as error:
            self._is_refused = True
            _LOG.info("this kernel tells no change of folders (%s): they are looked at by time", error.strerror)
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _release(self, folder: str) -> None:
        if (known := self._open.pop(folder, None)) is not None:
            os.close(known[0])


_OWNERS: Mapping[str, None] = dict.fromkeys(owner for owner, _ in DATABASES)
