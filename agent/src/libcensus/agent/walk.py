"""Walks the local file systems of a root once, with the stat of each regular file, and yields what may matter.

Folders are opened relative to their parent's descriptor and never through a link, so that a tree that changes
meanwhile cannot lead the walk astray. It refuses to enter network, pseudo and foreign mounts unless told, trees that
are roots of their own, and layers of container images; each is counted. It keeps no list of files: memory is bounded
by the depth of the tree and the size of one folder. Order is fixed: names are visited in sorted order.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat as stat_module
import time
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import RootedFile, has_invalid_bytes, kind_of, open_regular, reason_of, shown, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from libcensus.agent.host import Root
    from libcensus.agent.probes.skips import Skips
    from libcensus.agent.settings import ScanSettings

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SMALLEST_EXECUTABLE = 1024
"""No linker makes a dynamic or CPython-holding executable below this size; smaller files are not opened."""

_PROGRESS_FOLDERS = 512

_LINK_PREFIXES = ("python", "pypy", "node", "ruby", "perl", "php")
"""How the names of links to interpreters start."""

_PACKAGE_FOLDERS = re.compile(r"/(?:site-packages|dist-packages|node_modules|gems|vendor_ruby|site_ruby)(?:/|$)")
"""Where packages of a language put their shared objects."""

_CRYPTO_NAMES = ("libcrypto", "libssl")
_SETTING_NAMES = frozenset({"uv.toml", "pyproject.toml"})

LOCAL_FS_TYPES = frozenset(
    [
        "bcachefs",
        "btrfs",
        "erofs",
        "exfat",
        "ext2",
        "ext3",
        "ext4",
        "f2fs",
        "hfsplus",
        "iso9660",
        "jfs",
        "msdos",
        "nilfs2",
        "ntfs",
        "ntfs3",
        "ramfs",
        "reiserfs",
        "tmpfs",
        "ubifs",
        "udf",
        "ufs",
        "vfat",
        "xfs",
        "zfs",
    ]
)
NETWORK_FS_TYPES = frozenset(
    [
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "fuse.glusterfs",
        "fuse.s3fs",
        "fuse.sshfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "smb3",
        "smbfs",
        "virtiofs",
        "vboxsf",
    ]
)
PSEUDO_FS_TYPES = frozenset(
    [
        "autofs",
        "binder",
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "debugfs",
        "devpts",
        "devtmpfs",
        "efivarfs",
        "fusectl",
        "hugetlbfs",
        "mqueue",
        "nfsd",
        "nsfs",
        "pipefs",
        "proc",
        "pstore",
        "resctrl",
        "rpc_pipefs",
        "securityfs",
        "selinuxfs",
        "smackfs",
        "sockfs",
        "sysfs",
        "tracefs",
    ]
)

_IMAGE_LAYER = re.compile(
    r"/(?:overlay2?|fuse-overlayfs|vfs)/[^/]+/diff|/aufs/diff/[^/]+|/(?:vfs/dir|btrfs/subvolumes)/[0-9a-f]{64}(?:-init)?"
    r"|/io\.containerd\.snapshotter\.v1\.[^/]+/snapshots/\d+"
)
"""Where Docker, Podman and containerd keep layers: a layer hides and repeats files of others, a merged view counts."""

_SNAP_FS_TYPES = frozenset({"squashfs", "fuse.squashfuse", "fuse.snapfuse"})
_SNAP_POINT = re.compile(r"(?:/var/lib/snapd)?/snap/[a-z0-9][a-z0-9_-]*/x?\d+")
"""Where snapd mounts a revision of a snap; a file-system image that is mounted elsewhere is not the host's."""

_LAYER_STORES = ("/aufs/diff/", "/vfs/dir/", "/btrfs/subvolumes/", "/io.containerd.snapshotter.v1.")

_LOADER_FOLDERS = ("lib", "lib64", "lib32", "usr/lib", "usr/lib64")
_LOADER_NAMES = ("ld-linux*.so*", "ld64.so*", "ld.so.1", "ld-musl-*.so*", "ld-2*.so")
_ROOT_FOLDERS = ("etc", "usr")


class Progress(Protocol):
    """Is told how far a scan is: the phase's name, how much is done, and of how much where that is known."""

    def __call__(self, phase: str, done: int, total: int | None = None) -> None:
        """Take note; must return at once."""


class Kind(IntEnum):
    """Why the walk yields something."""

    EXECUTABLE = 1
    LINK = 2
    ENVIRONMENT = 3
    LIBRARY = 4
    SETTINGS = 5
    ROOT = 6


class Found(NamedTuple):
    """Something of interest, valid until the walk goes on: ``folder`` is the open descriptor of its folder.

    ``path`` is absolute in the root. For a link, ``status`` is None: it is not followed here.
    """

    kind: Kind
    path: str
    name: str
    folder: int
    status: os.stat_result | None


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo, with the mount point as seen inside the root."""

    point: str
    fs_type: str
    source: str


@dataclass(slots=True)
class WalkCounts:
    """What a walk has seen so far."""

    files: int = 0
    folders: int = 0


def parse_mountinfo(text: str) -> list[Mount]:
    """Parse /proc/PID/mountinfo (proc_pid_mountinfo(5)); lines that do not fit its format are passed over."""
    mounts = []
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        fields, rest = left.split(" "), right.split(" ")
        if not separator or len(fields) < 6 or len(rest) < 2:
            continue
        mounts.append(Mount(unescape_mount(fields[4]), rest[0], unescape_mount(rest[1])))
    return mounts


def unescape_mount(text: str) -> str:
    r"""Return a field of mountinfo as it is: blanks, tabs, newlines and backslashes stand in it as ``\NNN``."""
    raw = re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8) & 0xFF]), os.fsencode(text))
    return os.fsdecode(raw)


def judge_mount(mount: Mount, extra_fs_types: Iterable[str]) -> str | None:
    """Return why a mount below the root is not walked, or None when it is."""
    if mount.fs_type in LOCAL_FS_TYPES or mount.fs_type in extra_fs_types:
        return None
    if mount.fs_type in NETWORK_FS_TYPES:
        return "network-file-system"
    if mount.fs_type in PSEUDO_FS_TYPES:
        return "pseudo-file-system"
    if mount.fs_type in _SNAP_FS_TYPES and _SNAP_POINT.fullmatch(mount.point):
        return None
    if mount.fs_type in ("overlay", "squashfs", "aufs"):
        return "foreign-mount"
    return "unknown-file-system"


def mounts_below(text: str, root_name: str) -> list[Mount]:
    """Return the mounts below a root from mountinfo's text, with points as seen inside; the root's own is left out.

    Of several on one point the last is on top and the only one that counts.
    """
    prefix = "" if root_name == "/" else root_name
    below: dict[str, Mount] = {}
    for mount in parse_mountinfo(text):
        if mount.point.startswith(prefix + "/") and mount.point != "/":
            inside = mount.point.removeprefix(prefix)
            below[inside] = Mount(inside, mount.fs_type, mount.source)
    return list(below.values())


def open_found(found: Found) -> RootedFile:
    """Open what the walk just yielded, by its folder's descriptor; raises UnreadableError for all but regular files."""
    try:
        descriptor = os.open(found.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=found.folder)
    except OSError as error:
        raise vanished_or(found.path, error) from None
    try:
        return open_regular(descriptor, found.path)
    finally:
        os.close(descriptor)


def vanished_or(path: str, error: OSError) -> UnreadableError:
    """Return the error for something that a folder listed: not being there any more is ``vanished``."""
    if reason_of(error) == "not-found":
        return UnreadableError("vanished", f"{shown(path)}: was listed and is gone; scan again")
    return unreadable(path, error)


class Walk:
    """One walk of one root; iterate it once. ``counts`` is right at any moment, ``skips`` belongs to the caller."""

    def __init__(self, root: Root, settings: ScanSettings, skips: Skips, progress: Progress | None = None) -> None:
        self.counts = WalkCounts()
        self._root = root
        self._settings = settings
        self._skips = skips
        self._progress = progress
        self._walked_mounts: set[str] = set()
        self._mount_inodes: set[int] = set()
        self._seen: set[tuple[int, int]] = set()
        self._package_folders: list[str] = []
        self._has_mount_table = False
        self._device = os.fstat(root.descriptor).st_dev
        self._excluded = frozenset(path.rstrip("/") or "/" for path in settings.exclude)
        self._barred = self._plan_mounts()
        root.bar(self._barred)

    def _plan_mounts(self) -> frozenset[str]:
        """Decide on each mount below the root once, and note the inodes by which a bind mount is known again."""
        text = self._root.mount_text
        try:
            if text is None:
                with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123
                    text = file.read()
        except OSError as error:
            self._skips.add("no-mount-table", f"/proc/self/mountinfo: {error.strerror}; other devices are not entered")
            return frozenset()
        self._has_mount_table = True
        self._seen |= self._root.seen_elsewhere
        barred = set()
        for mount in mounts_below(text, self._root.mount_prefix):
            reason = judge_mount(mount, self._settings.extra_fs_types)
            if reason is None:
                self._walked_mounts.add(mount.point)
                continue
            barred.add(mount.point)
            if not any(mount.point.startswith(f"{other}/") for other in barred):
                self._skips.add(reason, f"{shown(mount.point)}: {mount.fs_type} is not a local file system")
        self._walked_mounts -= {p for p in self._walked_mounts if any(p.startswith(f"{other}/") for other in barred)}
        root_status = os.fstat(self._root.descriptor)
        self._seen.add((root_status.st_dev, root_status.st_ino))
        self._mount_inodes.add(root_status.st_ino)
        for point in sorted(self._walked_mounts):
            try:
                self._mount_inodes.add(self._root.stat(point).st_ino)
            except UnreadableError as error:
                self._skips.add_error(error)
        return frozenset(barred)

    def __iter__(self) -> Iterator[Found]:
        """Walk, and yield what may matter. What is yielded can be opened until the next one is asked for."""
        settings, skips, counts, progress = self._settings, self._skips, self.counts, self._progress
        max_files = settings.max_files
        deadline = None if settings.max_seconds is None else time.monotonic() + settings.max_seconds
        enter, leave = self._enter, self._leave
        top = self._enter_top()
        stack: list[tuple[int, str, list[tuple[str, int]]]] = []
        try:
            folders: list[tuple[str, int]] = []
            stack.append((top, "", folders))
            yield from self._read_folder(top, "", folders)
            while stack:
                parent, prefix, pending = stack[-1]
                if not pending:
                    leave(parent)
                    stack.pop()
                    continue
                name, inode = pending.pop()
                path = f"{prefix}/{name}"
                if path in self._barred:
                    continue
                if path in self._excluded:
                    skips.add("excluded", f"{shown(path)}: excluded by the settings")
                    continue
                if len(stack) > settings.max_depth:
                    skips.add(
                        "depth-limit", f"{shown(path)}: deeper than {settings.max_depth} folders; raise max_depth"
                    )
                    continue
                if max_files is not None and counts.files >= max_files:
                    skips.add("file-limit", f"{shown(path)}: stopped after {counts.files} files; raise max_files")
                    return
                if deadline is not None and time.monotonic() > deadline:
                    skips.add("time-limit", f"{shown(path)}: stopped after {settings.max_seconds} s; raise max_seconds")
                    return
                try:
                    descriptor = enter(name, parent)
                except OSError as error:
                    skips.add_error(vanished_or(path, error))
                    continue
                except UnreadableError as error:
                    skips.add_error(error, shown(path))
                    continue
                stack.append((descriptor, path, folders := []))
                reason = self._why_not(path, descriptor, inode)
                if reason is not None:
                    skips.add(*reason)
                    continue
                yield from self._read_folder(descriptor, path, folders)
                if progress is not None and counts.folders % _PROGRESS_FOLDERS == 0:
                    progress("walk", counts.files)
        finally:
            for descriptor, *_ in stack:
                leave(descriptor)
        if progress is not None:
            progress("walk", counts.files)

    def _enter_top(self) -> int:
        """Open the root's own folder for reading."""
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._root.descriptor)

    def _enter(self, name: str, parent: int) -> int:
        """Open a folder for reading, by its name in an open one; raises OSError."""
        try:
            return os.open(name, _FOLDER | os.O_NOATIME, dir_fd=parent)
        except PermissionError:
            # O_NOATIME is for owners and CAP_FOWNER only (open(2)).
            return os.open(name, _FOLDER, dir_fd=parent)

    def _leave(self, descriptor: int) -> None:
        """Close a folder that was opened for reading."""
        os.close(descriptor)

    def _note_special(self, entry: os.DirEntry[str], path: str) -> None:
        """Count what is named like an interpreter and is no file."""
        self._skips.add("not-a-regular-file", _describe_special(entry, path))

    def _why_not(self, path: str, descriptor: int, inode: int) -> tuple[str, str] | None:
        """Return why an opened folder is not walked: reason and example, or None when it is."""
        is_mount = path in self._walked_mounts
        if is_mount or inode in self._mount_inodes or not self._has_mount_table:
            # The folder's own status is asked for only where it decides: it would cost one call for every folder.
            status = os.fstat(descriptor)
            key = status.st_dev, status.st_ino
            if not self._has_mount_table:
                if status.st_dev != self._device:
                    return "unknown-file-system", f"{shown(path)}: another device, and no mount table names it"
            elif key in self._seen:
                return "seen-twice", f"{shown(path)}: the same folder is mounted at another place and read there"
            else:
                self._seen.add(key)
        if path.endswith(("/diff", "/fs")) or any(text in path for text in _LAYER_STORES):
            match = _IMAGE_LAYER.search(path)
            if match is not None and match.end() == len(path):
                return (
                    "image-layer",
                    f"{shown(path)}: a layer of a container image; only a merged view tells what is in use",
                )
        return None

    def _holds_packages(self, path: str) -> bool:
        """Tell whether a folder belongs to a language's packages: by its name, or by what was found above it."""
        while self._package_folders and not path.startswith(self._package_folders[-1]):
            self._package_folders.pop()
        return bool(self._package_folders) or _PACKAGE_FOLDERS.search(path) is not None

    def _read_folder(self, descriptor: int, path: str, folders: list[tuple[str, int]]) -> list[Found]:
        """Read one folder: return what may matter, and append its folders to ``folders`` in reverse order."""
        counts, skips = self.counts, self._skips
        counts.folders += 1
        files = 0
        found: list[Found] = []
        holds_packages = self._holds_packages(path)
        shared: list[Found] = []
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    name = entry.name
                    if not name.isascii() and has_invalid_bytes(name):
                        skips.add(
                            "name-not-utf8", f"{shown(path)}/{shown(name)}: is read, and shown with \\xNN escapes"
                        )
                    # Most entries are files: they are asked for first.
                    if entry.is_file(follow_symlinks=False):
                        try:
                            status = entry.stat(follow_symlinks=False)
                        except OSError as error:
                            skips.add_error(vanished_or(f"{path}/{name}", error))
                            continue
                        files += 1
                        if ".so" in name or name.endswith(".node"):
                            item = Found(Kind.LIBRARY, f"{path}/{name}", name, descriptor, status)
                            if holds_packages or name.startswith(_CRYPTO_NAMES):
                                found.append(item)
                            else:
                                shared.append(item)
                        elif name == "pyvenv.cfg":
                            found.append(Found(Kind.ENVIRONMENT, f"{path}/{name}", name, descriptor, status))
                        elif name in _SETTING_NAMES:
                            found.append(Found(Kind.SETTINGS, f"{path}/{name}", name, descriptor, status))
                        elif status.st_mode & 0o111 and status.st_size >= _SMALLEST_EXECUTABLE:
                            found.append(Found(Kind.EXECUTABLE, f"{path}/{name}", name, descriptor, status))
                    elif entry.is_dir(follow_symlinks=False):
                        folders.append((name, entry.inode()))
                    elif name.startswith(_LINK_PREFIXES):
                        if entry.is_symlink():
                            found.append(Found(Kind.LINK, f"{path}/{name}", name, descriptor, None))
                        else:
                            self._note_special(entry, path)
        except OSError as error:
            skips.add_error(unreadable(path or "/", error))
        counts.files += files
        if not holds_packages and any(name.endswith(".dist-info") for name, _ in folders):
            # Installed with `pip install --target`, or unpacked: a site folder of another name.
            self._package_folders.append(f"{path}/")
            found += shared
        folders.sort(reverse=True)
        if path and any(name in _ROOT_FOLDERS for name, _ in folders) and is_other_root(descriptor):
            folders.clear()
            return [Found(Kind.ROOT, path, path.rpartition("/")[2], descriptor, None)]
        found.sort(key=lambda item: item.name)
        return found


def _describe_special(entry: os.DirEntry[str], path: str) -> str:
    try:
        words = kind_of(entry.stat(follow_symlinks=False).st_mode)
    except OSError:
        words = "no regular file"
    return f"{shown(path)}/{shown(entry.name)}: is {words}; never opened"


def is_other_root(descriptor: int) -> bool:
    """Tell whether an open folder is a root of its own: it has an os-release and a dynamic loader."""
    if not any(_is_entry(descriptor, name) for name in ("etc/os-release", "usr/lib/os-release")):
        return False
    return any(_holds_loader(descriptor, folder) for folder in _LOADER_FOLDERS)


def _is_entry(descriptor: int, name: str) -> bool:
    try:
        mode = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode
    except OSError:
        return False
    return stat_module.S_ISREG(mode) or stat_module.S_ISLNK(mode)


def _holds_loader(descriptor: int, folder: str) -> bool:
    """Look for a loader's name in one folder, not through a link that may leave the tree."""
    try:
        opened = os.open(folder, _FOLDER, dir_fd=descriptor)
    except OSError:
        return False
    try:
        names = os.listdir(opened)  # noqa: PTH208 - of a descriptor
    except OSError:
        return False
    finally:
        os.close(opened)
    return any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in _LOADER_NAMES)
