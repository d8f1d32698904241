"""Reads /proc/PID: the kernel's words on a process, parsed without trust in their form.

It opens nothing but files of /proc, never ``environ`` or ``mem``, and takes a process that ends meanwhile for what it
is: nothing. The parsers are pure; text that does not fit its format is passed over.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import reason_of, shown
from libcensus.agent.walk import NETWORK_FS_TYPES, mounts_below, parse_mountinfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from libcensus.agent.probes.skips import Skips

KERNEL_THREAD = 0x00200000
"""PF_KTHREAD of the kernel's include/linux/sched.h, as the ``flags`` of proc_pid_stat(5) show it."""

DELETED = " (deleted)"
"""What the kernel puts behind the path of a file that has been unlinked under the name by which it was opened."""

NEEDS_PTRACE = "needs CAP_SYS_PTRACE"
CAP_SYS_PTRACE = 19
CAP_SYS_ADMIN = 21
"""Capabilities by their numbers in the kernel's include/uapi/linux/capability.h."""

_MAX_TEXT = 64 << 10
MAX_MOUNTINFO = 4 << 20
_MAX_MAPS = 64 << 20
_LINE = re.compile(rb"([0-9a-f]+-[0-9a-f]+) \S{4} [0-9a-f]+ ([0-9a-f]+):([0-9a-f]+) (\d+) +(/.*)", re.DOTALL)
_ESCAPE = re.compile(rb"\\012")


@dataclass(frozen=True, slots=True)
class Mapping:
    """One file that a process has mapped: ``device`` and ``inode`` as the kernel's maps name them.

    ``span`` is the address range of its first mapping; ``is_deleted`` tells that its name was unlinked.
    """

    path: str
    device: int
    inode: int
    is_deleted: bool
    span: str


@dataclass(frozen=True, slots=True)
class Stat:
    """A process in one line: its short name, its state letter, kernel flags and start in clock ticks since boot."""

    name: str
    state: str
    flags: int
    start: int

    @property
    def is_program(self) -> bool:
        """Tell whether a program runs in it: no thread of the kernel, and not only the remains of one."""
        return not self.flags & KERNEL_THREAD and self.state not in ("Z", "X", "x")


def split_deleted(path: str) -> tuple[str, bool]:
    """Return the path without the kernel's mark of an unlinked file, and whether it stood there."""
    return (path.removesuffix(DELETED), True) if path.endswith(DELETED) else (path, False)


def parse_maps(lines: Iterable[bytes]) -> Iterator[Mapping]:
    """Parse /proc/PID/maps (proc_pid_maps(5)): each mapped file once, in the order of the addresses."""
    seen = set()
    for line in lines:
        match = _LINE.fullmatch(line.rstrip(b"\n"))
        if match is None:
            continue
        span, major, minor, inode, raw = match.groups()
        key = major, minor, inode, raw
        if key in seen:
            continue
        seen.add(key)
        path, is_deleted = split_deleted(os.fsdecode(_ESCAPE.sub(b"\n", raw)))
        try:
            device = os.makedev(int(major, 16), int(minor, 16))
        except (OverflowError, ValueError):
            continue
        yield Mapping(path, device, int(inode), is_deleted, span.decode())


def parse_stat(text: str) -> Stat | None:
    """Parse /proc/PID/stat (proc_pid_stat(5)); the name in it may hold blanks and parentheses."""
    opening, closing = text.find("("), text.rfind(")")
    fields = text[closing + 1 :].split()
    if not 0 <= opening < closing or len(fields) < 20:
        return None
    try:
        return Stat(text[opening + 1 : closing], fields[0], int(fields[6]), int(fields[19]))
    except ValueError:
        return None


def cgroup_paths(text: str) -> list[str]:
    """Return the paths in /proc/PID/cgroup (cgroups(7)): systemd's own hierarchy first, then version 2, then others."""
    found: list[tuple[int, str]] = []
    for line in text.splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not number.isdecimal() or not path.startswith("/"):
            continue
        rank = 0 if controllers == "name=systemd" else 1 if number == "0" and not controllers else 2
        found.append((rank, path.removesuffix(DELETED)))
    found.sort(key=lambda item: item[0])
    return list(dict.fromkeys(path for _, path in found))


def unit_of(text: str) -> str | None:
    """Return the systemd unit that a process belongs to, from its /proc/PID/cgroup: the innermost service or scope."""
    for path in cgroup_paths(text):
        for part in reversed(path.split("/")):
            if part.endswith((".service", ".scope")):
                return part
    return None


def has_capability(status: str, number: int) -> bool:
    """Tell from /proc/PID/status (proc_pid_status(5)) whether a capability is effective in a process."""
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff":
            try:
                return bool(int(value.strip(), 16) >> number & 1)
            except ValueError:
                return False
    return False


def may_block(fs_type: str) -> bool:
    """Tell whether a file system answers when somebody else pleases: another machine, or a program of some user."""
    return fs_type in NETWORK_FS_TYPES or fs_type.startswith("fuse")


def blocking_mounts(text: str) -> frozenset[str]:
    """Return from a process's mountinfo where it sees file systems that may take for ever to answer."""
    return frozenset(mount.point for mount in mounts_below(text, "/") if may_block(mount.fs_type))


class Proc:
    """The files of /proc, by process id. Every method raises OSError as the kernel gives it."""

    def __init__(self, folder: str = "/proc") -> None:
        self._folder = folder

    def pids(self) -> list[int]:
        """Return the ids of all processes that may be seen, in rising order."""
        return sorted(int(name) for name in os.listdir(self._folder) if name.isdecimal())  # noqa: PTH208 - names only

    def place(self, pid: int, name: str) -> str:
        """Return the path of one file of a process."""
        return f"{self._folder}/{pid}/{name}"

    def read(self, pid: int, name: str, limit: int = _MAX_TEXT) -> bytes:
        """Return the start of a file of /proc, up to ``limit`` bytes."""
        descriptor = os.open(self.place(pid, name), os.O_RDONLY | os.O_CLOEXEC)
        try:
            parts = []
            while limit > 0 and (data := os.read(descriptor, min(limit, 1 << 16))):
                parts.append(data)
                limit -= len(data)
        finally:
            os.close(descriptor)
        return b"".join(parts)

    def text(self, pid: int, name: str, limit: int = _MAX_TEXT) -> str:
        """Return the start of a file of /proc as text, undecodable bytes as surrogates."""
        return os.fsdecode(self.read(pid, name, limit))

    def is_capable(self, number: int) -> bool:
        """Tell whether a capability is effective in this program itself; unlike the others it raises nothing."""
        try:
            return has_capability(self.text(os.getpid(), "status"), number)
        except OSError:
            return False

    def stat(self, pid: int) -> Stat | None:
        """Return the process in one line; None when the line has another form."""
        return parse_stat(self.text(pid, "stat"))

    def link(self, pid: int, name: str) -> str:
        """Return what a link of /proc says, without following it."""
        return os.readlink(self.place(pid, name))  # noqa: PTH115 - undecodable bytes must be kept

    def status(self, pid: int, name: str) -> os.stat_result:
        """Return the status of what a link of /proc leads to: by the kernel's reference, not by the path it shows."""
        return os.stat(self.place(pid, name))  # noqa: PTH116 - undecodable bytes must be kept

    def maps(self, pid: int) -> Iterator[Mapping]:
        """Yield the files that a process has mapped. Raises UnreadableError beyond 64 MiB of text."""
        with open(self.place(pid, "maps"), "rb") as file:  # noqa: PTH123 - undecodable bytes must be kept
            yield from parse_maps(_bounded(file, self.place(pid, "maps")))


def _bounded(lines: Iterable[bytes], place: str) -> Iterator[bytes]:
    size = 0
    for line in lines:
        size += len(line)
        if size > _MAX_MAPS:
            raise UnreadableError("too-large", f"{place}: at most {_MAX_MAPS} bytes of it are read")
        if b"/" in line:
            yield line


@dataclass(frozen=True, slots=True)
class View:
    """The tree that a process sees: its mount namespace, its root folder, and where that lies in the namespace."""

    namespace: str
    device: int
    inode: int
    top: str

    def inside(self, path: str) -> str | None:
        """Return a path that the kernel shows as this root sees it; None for one outside of it."""
        if self.top == "/":
            return path
        return path.removeprefix(self.top) if path.startswith(self.top + "/") else None


@dataclass(frozen=True, slots=True)
class Seen:
    """A process in which a program runs: what it executes, as the kernel shows it, and the tree that it sees."""

    pid: int
    exe: str
    view: View


class Survey:
    """One look at every process; ``processes`` are those that may be read, in the order of their ids.

    Threads of the kernel, what is left of a process that ended, and this program itself are none of them.
    """

    def __init__(self, proc: Proc, skips: Skips) -> None:
        self._proc = proc
        self._skips = skips
        self._refused = 0
        self._blocking: dict[tuple[str, str], str | None] = {}
        self._may_trace = proc.is_capable(CAP_SYS_PTRACE)
        pids = self._pids()
        own = os.getpid()
        # Every namespace of processes has a first one; only hidepid of proc(5) keeps it out of the list.
        self._is_hidden = bool(pids) and 1 not in pids
        self.processes = [one for pid in pids if pid != own and (one := self._look(pid)) is not None]

    def skipped(self) -> str | None:
        """Return why no process of another user could be read, where that is so."""
        if self._may_trace or not all(self._is_own_user(process.pid) for process in self.processes):
            return None
        if self._refused:
            return f"{self._refused} processes of other users could not be read: {NEEDS_PTRACE}"
        if self._is_hidden:
            return f"/proc hides the processes of other users (hidepid): {NEEDS_PTRACE}"
        return None

    def remedy(self) -> str:
        """Return what helps, or does not, when the kernel refuses to show a process."""
        return "refused in spite of CAP_SYS_PTRACE" if self._may_trace else NEEDS_PTRACE

    def _pids(self) -> list[int]:
        try:
            return self._proc.pids()
        except OSError as error:
            self._skips.add("no-proc", f"/proc: {error.strerror}")
            return []

    def _is_own_user(self, pid: int) -> bool:
        try:
            return self._proc.status(pid, "stat").st_uid == os.geteuid()
        except OSError:
            return True

    def _look(self, pid: int) -> Seen | None:
        try:
            exe = self._proc.link(pid, "exe")
            namespace, where = self._proc.link(pid, "ns/mnt"), self._proc.link(pid, "root")
            fs_type = self._blocking_root(pid, namespace, where)
            if fs_type is not None:
                self._skips.add("blocking-root", f"/proc/{pid}: its root is on {shown(fs_type)}, which may block")
                return None
            top = self._proc.status(pid, "root")
            view = View(namespace, top.st_dev, top.st_ino, where)
        except PermissionError:
            self._refuse(pid)
            return None
        except (FileNotFoundError, ProcessLookupError):
            return None
        except OSError as error:
            self._skips.add(reason_of(error), f"/proc/{pid}: {error.strerror}")
            return None
        return Seen(pid, exe, view)

    def _blocking_root(self, pid: int, namespace: str, where: str) -> str | None:
        """Return the file system that a process has mounted as its root, where asking it may take for ever."""
        key = namespace, where
        if key not in self._blocking:
            text = self._proc.text(pid, "mountinfo", MAX_MOUNTINFO)
            tops = [mount.fs_type for mount in parse_mountinfo(text) if mount.point == "/"]
            self._blocking[key] = tops[-1] if tops and may_block(tops[-1]) else None
        return self._blocking[key]

    def _refuse(self, pid: int) -> None:
        try:
            stat = self._proc.stat(pid)
        except OSError:
            return
        if stat is not None and stat.is_program:
            self._refused += 1
            self._skips.add("no-ptrace", f"/proc/{pid} ({shown(stat.name)}): {self.remedy()}")
