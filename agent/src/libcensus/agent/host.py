"""The one rooted helper: every file that a scan reads is reached through :class:`Root`, and never by a path of its own.

A root is a folder, the running host's ``/`` or any other. Paths are resolved inside it, component by component, with
``O_PATH | O_NOFOLLOW`` relative to folder descriptors that stay open; a symbolic link, absolute ones too, is read and
resolved within the root, and ``..`` goes back to a folder that was passed on the way and never above the root. So
nothing outside is reached, also when the tree is changed meanwhile.

It refuses to open anything but regular files: a FIFO, device or socket is recognised by its ``O_PATH`` descriptor and
never opened. It refuses to enter the mounts that it was told to bar (network file systems block, pseudo file systems
are not files), and it never maps a file into memory.
"""

from __future__ import annotations

import errno
import os
import re
import stat as stat_module
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self, TypeVar

from libcensus.agent.errors import UnreadableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from libcensus.agent.accesses import Accesses
    from libcensus.agent.index import Index

T = TypeVar("T")

MAX_LINKS = 40
"""The kernel's own bound on symbolic links in one path (path_resolution(7))."""

_FOLDER_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CHUNK = 1 << 20
_UNSHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")

_REASONS = {
    errno.ENOENT: "not-found",
    errno.ENOTDIR: "not-found",
    errno.EACCES: "permission-denied",
    errno.EPERM: "permission-denied",
    errno.ELOOP: "symlink-loop",
    errno.ENAMETOOLONG: "name-too-long",
    errno.EIO: "io-error",
    errno.ESTALE: "io-error",
    errno.EMFILE: "too-many-open-files",
    errno.ENFILE: "too-many-open-files",
}

_REMEDIES = {
    "permission-denied": "run the agent as root or with CAP_DAC_READ_SEARCH",
    "too-many-open-files": "raise the limit of open files",
}


def shown(path: str) -> str:
    r"""Return a path as facts and terminals show it: invalid UTF-8 bytes and control characters as ``\xNN``.

    ``path`` holds undecodable bytes as surrogates, the way the os module gives them.
    """
    if path.isascii() and path.isprintable():
        return path
    return _UNSHOWN.sub(_escape_character, path)


def _escape_character(match: re.Match[str]) -> str:
    return "".join(f"\\x{byte:02x}" for byte in match[0].encode("utf-8", "surrogateescape"))


def has_invalid_bytes(name: str) -> bool:
    """Tell whether a name from the os module holds bytes that are not UTF-8."""
    return not name.isascii() and any("\udc80" <= character <= "\udcff" for character in name)


def reason_of(error: OSError) -> str:
    """Return the short, countable form of an operating-system error."""
    return _REASONS.get(error.errno or 0, "os-error")


def unreadable(path: str, error: OSError) -> UnreadableError:
    """Return the error that says which path could not be read, why, and what helps."""
    reason = reason_of(error)
    remedy = _REMEDIES.get(reason)
    detail = f"{shown(path)}: {error.strerror}"
    return UnreadableError(reason, f"{detail}; {remedy}" if remedy else detail)


@dataclass(frozen=True, slots=True)
class FileState:
    """What tells that a file's content is still the same: its identity, size and times in nanoseconds."""

    device: int
    inode: int
    size: int
    mode: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        """Take the state from a stat result."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mode, status.st_mtime_ns, status.st_ctime_ns)


class RootedFile:
    """A regular file inside a root, open for reading at any offset; close it, or use it as a context manager.

    It is a ``Source`` of :mod:`libcensus.agent.elf`: ``size`` is that of the moment of opening, ``read_at`` returns
    fewer bytes at the end of the file.
    """

    __slots__ = ("_descriptor", "_state", "index", "path", "size")

    def __init__(self, path: str, descriptor: int, state: FileState) -> None:
        self.path = path
        self.index: Index | None = None
        self.size = state.size
        self._descriptor = descriptor
        self._state = state

    @property
    def state(self) -> FileState:
        """The file's state when it was opened."""
        return self._state

    def read_at(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes at ``offset``; fewer at the end of the file. Raises UnreadableError."""
        if size <= 0 or offset < 0 or offset >= self.size:
            return b""
        size = min(size, self.size - offset)
        try:
            data = os.pread(self._descriptor, size, offset)
            if len(data) == size or not data:
                return data
            parts = [data]
            have = len(data)
            while have < size and (data := os.pread(self._descriptor, size - have, offset + have)):
                parts.append(data)
                have += len(data)
        except OSError as error:
            raise unreadable(self.path, error) from None
        return b"".join(parts)

    def chunks(self, size: int = _CHUNK) -> Iterator[bytes]:
        """Yield the file from its start in pieces of ``size`` bytes."""
        offset = 0
        while data := self.read_at(offset, size):
            yield data
            offset += len(data)

    def has_changed(self) -> bool:
        """Tell whether size, times or mode differ from those at the opening."""
        return FileState.of(os.fstat(self._descriptor)) != self._state

    def has_other_content(self) -> bool:
        """Tell whether size, mode or modification time differ; a hard link that is made or removed changes none."""
        now = FileState.of(os.fstat(self._descriptor))
        return replace(now, ctime_ns=0) != replace(self._state, ctime_ns=0)

    def close(self) -> None:
        """Close the descriptor; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Descent:
    """Folder descriptors from the root down to where a resolution stands; ``..`` pops the last one."""

    __slots__ = ("descriptors", "names")

    def __init__(self) -> None:
        self.descriptors: list[int] = []
        self.names: list[str] = []

    def climb(self) -> None:
        if self.names:
            self.names.pop()
            os.close(self.descriptors.pop())

    def restart(self) -> None:
        while self.names:
            self.climb()


class Root:
    """A tree of files that is read as if it were ``/``.

    All paths given and returned are as seen inside the root, absolute, with undecodable bytes as surrogates.

    ``mount_text`` is the mount table that names what is mounted in it, None for that of the agent itself, and
    ``mount_prefix`` where the root lies in that table. ``seen_elsewhere`` are folders, by device and inode, that are
    scanned as part of another root where they are mounted in this one.
    """

    def __init__(self, name: str, descriptor: int, *, is_own: bool) -> None:
        self.name = name
        self.is_own = is_own
        self.mount_text: str | None = None
        self.mount_prefix = name
        self.seen_elsewhere: frozenset[tuple[int, int]] = frozenset()
        self._descriptor = descriptor
        self._barred: frozenset[str] = frozenset()
        self._accesses: Accesses | None = None
        self._index: Index | None = None

    def remember(self, index: Index | None) -> None:
        """Give files that are opened from now on the memory of what was read in them before."""
        self._index = index

    def record(self, accesses: Accesses | None) -> None:
        """Keep every look-up from now on in ``accesses``; None ends it."""
        self._accesses = accesses

    @classmethod
    def open(cls, path: str) -> Self:
        """Open a folder as a root. Raises UsageError when it is no folder or cannot be entered."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except NotADirectoryError:
            raise UsageError(f"--root {shown(path)}: is not a folder; unpack the image or mount it first") from None
        except OSError as error:
            raise UsageError(f"--root {shown(path)}: {error.strerror}") from None
        here, own = os.fstat(descriptor), os.stat("/")  # noqa: PTH116 - beside fstat
        is_own = (here.st_dev, here.st_ino) == (own.st_dev, own.st_ino)
        return cls("/" if is_own else os.path.realpath(path), descriptor, is_own=is_own)

    def open_below(self, path: str) -> Root:
        """Open a folder inside this root as a root of its own. Raises UnreadableError when it cannot be entered."""
        with self._resolve(path) as (descriptor, real):
            try:
                opened = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=descriptor)
            except OSError as error:
                raise unreadable(path, error) from None
            inner = Root(f"{self.name.rstrip('/')}{real}", opened, is_own=False)
            inner.mount_text = self.mount_text
            inner.mount_prefix = f"{self.mount_prefix.rstrip('/')}{real}"
            inner.seen_elsewhere = self.seen_elsewhere
            return inner

    def close(self) -> None:
        """Close the root's descriptor; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def descriptor(self) -> int:
        """The root folder's own descriptor, for the walk; it stays the root's to close."""
        return self._descriptor

    def bar(self, folders: Iterable[str]) -> None:
        """Refuse to resolve anything at or below these folders from now on (mounts that are not to be entered)."""
        self._barred = frozenset(folders)

    # --- resolution -------------------------------------------------------------------------------------------------

    @contextmanager
    def _resolve(self, path: str, *, follow: bool = True) -> Iterator[tuple[int, str]]:
        """Give an ``O_PATH`` descriptor of what ``path`` names and its real path inside the root.

        With ``follow`` false the last component is not followed when it is a link.
        """
        descent = _Descent()
        final = -1
        accesses = self._accesses
        try:
            try:
                final, real = self._descend(path, descent, follow=follow)
            except UnreadableError as error:
                if accesses is not None:
                    accesses.failed(path, error.reason, follow=follow)
                raise
            if accesses is not None:
                accesses.found(path, real, os.fstat(final), follow=follow)
            yield final, real
        finally:
            if final >= 0:
                os.close(final)
            descent.restart()

    def _descend(self, path: str, descent: _Descent, *, follow: bool) -> tuple[int, str]:
        pending = [part for part in reversed(path.split("/")) if part and part != "."]
        links = 0
        while pending:
            part = pending.pop()
            if part == "..":
                descent.climb()
                continue
            parent = descent.descriptors[-1] if descent.descriptors else self._descriptor
            real = "/" + "/".join((*descent.names, part))
            if real in self._barred:
                raise UnreadableError("foreign-mount", f"{shown(path)}: {shown(real)} is a mount that is not read")
            try:
                descriptor = os.open(part, _FOLDER_FLAGS, dir_fd=parent)
            except OSError as error:
                raise unreadable(path, error) from None
            except ValueError:
                raise UnreadableError("not-found", f"{shown(path)}: no path holds a NUL byte") from None
            try:
                mode = os.fstat(descriptor).st_mode
                if stat_module.S_ISLNK(mode) and (pending or follow):
                    links += 1
                    if links > MAX_LINKS:
                        raise UnreadableError("symlink-loop", f"{shown(path)}: more than {MAX_LINKS} links")
                    target = os.readlink("", dir_fd=descriptor)
                    os.close(descriptor)
                    descriptor = -1
                    if target.startswith("/"):
                        descent.restart()
                    pending.extend(part for part in reversed(target.split("/")) if part and part != ".")
                    continue
                if stat_module.S_ISDIR(mode):
                    descent.names.append(part)
                    descent.descriptors.append(descriptor)
                    descriptor = -1
                    continue
                if pending:
                    raise UnreadableError("not-found", f"{shown(path)}: {shown(real)} is not a folder")
                final, descriptor = descriptor, -1
                return final, real  # noqa: TRY300 - the finally clause needs it here
            except OSError as error:
                raise unreadable(path, error) from None
            finally:
                if descriptor >= 0:
                    os.close(descriptor)
        parent = descent.descriptors[-1] if descent.descriptors else self._descriptor
        return os.dup(parent), "/" + "/".join(descent.names)

    # --- reading ----------------------------------------------------------------------------------------------------

    def open_file(self, path: str) -> RootedFile:
        """Open a regular file for reading. Raises UnreadableError for everything else, without opening it."""
        with self._resolve(path) as (descriptor, real):
            file = open_regular(descriptor, real)
            file.index = self._index
            return file

    def examine(self, path: str, reader: Callable[[RootedFile], T]) -> T:
        """Return what ``reader`` makes of a file that stayed the same meanwhile.

        A file that changed is read once more. Raises UnreadableError with reason ``changed-while-read`` when it
        changed again, and what ``reader`` raises for a file that did not change. Where tools make and remove hard links
        of a file all the time, reading the same twice is enough: that changes its inode and not its content.
        """
        before: list[T] = []
        for _ in range(2):
            with self.open_file(path) as file:
                try:
                    value = reader(file)
                except UnreadableError:
                    if not file.has_changed():
                        raise
                    continue
                if not file.has_changed():
                    return value
                if not file.has_other_content():
                    if value in before:
                        return value
                    before.append(value)
        raise UnreadableError("changed-while-read", f"{shown(path)}: changed twice while it was read; scan again")

    def read_bytes(self, path: str, limit: int) -> bytes:
        """Return a file's content. Raises UnreadableError with reason ``too-large`` beyond ``limit`` bytes."""

        def read(file: RootedFile) -> bytes:
            if file.size > limit:
                raise UnreadableError("too-large", f"{shown(path)}: {file.size} bytes; at most {limit} are read")
            return file.read_at(0, limit)

        return self.examine(path, read)

    def read_text(self, path: str, limit: int = 4 << 20) -> str:
        r"""Return a file's content as UTF-8 text, invalid bytes as ``\xNN``; raises as :meth:`read_bytes` does."""
        return self.read_bytes(path, limit).decode("utf-8", "backslashreplace")

    def exists(self, path: str) -> bool:
        """Tell whether a path leads to something; a dangling link, a loop and what may not be entered do not."""
        try:
            with self._resolve(path):
                return True
        except UnreadableError:
            return False

    def is_file(self, path: str) -> bool:
        """Tell whether a path leads to a regular file."""
        try:
            return stat_module.S_ISREG(self.stat(path).st_mode)
        except UnreadableError:
            return False

    def is_folder(self, path: str) -> bool:
        """Tell whether a path leads to a folder."""
        try:
            return stat_module.S_ISDIR(self.stat(path).st_mode)
        except UnreadableError:
            return False

    def realpath(self, path: str) -> str:
        """Return the path without links. Raises UnreadableError where it leads to nothing."""
        with self._resolve(path) as (_, real):
            return real

    def stat(self, path: str, *, follow: bool = True) -> os.stat_result:
        """Return the status of what a path leads to. Raises UnreadableError."""
        with self._resolve(path, follow=follow) as (descriptor, _):
            return os.fstat(descriptor)

    def look_up(self, path: str, *, follow: bool = True) -> tuple[str, os.stat_result]:
        """Return the real path and the status of what a path leads to. Raises UnreadableError."""
        with self._resolve(path, follow=follow) as (descriptor, real):
            return real, os.fstat(descriptor)

    @contextmanager
    def folder(self, path: str) -> Iterator[tuple[int, str]]:
        """Give an ``O_PATH`` descriptor of a folder and its real path. Raises UnreadableError."""
        with self._resolve(path) as found:
            yield found

    def readlink(self, path: str) -> str:
        """Return the text of a symbolic link. Raises UnreadableError with reason ``not-a-link`` for anything else."""
        with self._resolve(path, follow=False) as (descriptor, _):
            if not stat_module.S_ISLNK(os.fstat(descriptor).st_mode):
                raise UnreadableError("not-a-link", shown(path))
            return os.readlink("", dir_fd=descriptor)

    def listdir(self, path: str) -> list[str]:
        """Return the names in a folder, sorted. Raises UnreadableError."""
        with self._resolve(path) as (descriptor, _):
            try:
                folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=descriptor)
            except OSError as error:
                raise unreadable(path, error) from None
            try:
                if self._accesses is not None:
                    self._accesses.listed(path, os.fstat(folder))
                return sorted(os.listdir(folder))  # noqa: PTH208 - of a descriptor
            except OSError as error:
                raise unreadable(path, error) from None
            finally:
                os.close(folder)


def open_regular(descriptor: int, path: str) -> RootedFile:
    """Open the regular file behind an ``O_PATH`` descriptor; nothing else is ever opened."""
    before = os.fstat(descriptor)
    if not stat_module.S_ISREG(before.st_mode):
        raise UnreadableError("not-a-regular-file", f"{shown(path)}: is {_kind_of(before.st_mode)}; not opened")
    link = f"/proc/self/fd/{descriptor}"
    try:
        try:
            opened = os.open(link, _READ_FLAGS | os.O_NOATIME)
        except PermissionError:
            # O_NOATIME is for owners and CAP_FOWNER only (open(2)); without it the read is the same.
            opened = os.open(link, _READ_FLAGS)
    except OSError as error:
        raise unreadable(path, error) from None
    state = os.fstat(opened)
    if (state.st_dev, state.st_ino) != (before.st_dev, before.st_ino):
        os.close(opened)
        raise UnreadableError("changed-while-read", f"{shown(path)}: replaced between two looks")
    return RootedFile(path, opened, FileState.of(state))


_KINDS = (
    (stat_module.S_ISDIR, "a folder"),
    (stat_module.S_ISFIFO, "a FIFO"),
    (stat_module.S_ISSOCK, "a socket"),
    (stat_module.S_ISCHR, "a character device"),
    (stat_module.S_ISBLK, "a block device"),
    (stat_module.S_ISLNK, "a symbolic link"),
)


def _kind_of(mode: int) -> str:
    return next((words for test, words in _KINDS if test(mode)), "no regular file")


def kind_of(mode: int) -> str:
    """Return in words what a mode from stat stands for, for messages about what is not a regular file."""
    return _kind_of(mode)
