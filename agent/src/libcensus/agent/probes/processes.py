"""Reads which install each running interpreter runs, and whether the crypto library that it mapped is still on disk.

A library that was upgraded stays in use, in its old form, until the process starts again: only /proc tells. Everything
comes from there and from the status of the paths that it names, as the process itself sees them; nothing is taken from
a process's environment or memory, and no file of the process is opened.

What a process says of itself (its command line) only chooses between installs that share the executable which the
kernel says it runs: a virtual environment and its base. The scan's own process is left out.
"""

from __future__ import annotations

import os
import re
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import Root, reason_of, shown
from libcensus.agent.proc import MAX_MOUNTINFO, Proc, Survey, blocking_mounts, split_deleted, unit_of
from libcensus.facts.process import MAX_EXAMPLES, MappedLibrary, ProcessExample, ProcessGroup, ProcessSet
from libcensus.facts.vocabulary import InstallKind, MappingState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from libcensus.agent.probes.skips import Skips
    from libcensus.agent.proc import Mapping, Seen, View
    from libcensus.facts.crypto import CryptoCopy
    from libcensus.facts.interpreter import Install

_CRYPTO_LIBRARY = re.compile(r"lib(?:crypto|ssl)(?:[-_.][^/]*)?\.so(?:\.[^/]*)?")
"""Names of shared crypto libraries, hashed ones of wheels too; NSS calls its own one ``libssl3.so``."""

_INTERPRETER_NAME = re.compile(
    r"(?:[a-z0-9_]+-[a-z0-9_]+-[a-z0-9_]+-)?(?:platform-)?"
    r"(?:python|pypy|node|nodejs|ruby|perl|php(?:-fpm|-cgi)?)-?[\d.]*[dmtu]{0,3}"
)
"""Names under which an interpreter may run that is no install any more: its file or its whole folder is gone."""

_MAX_COMMAND = 4096
_MAX_VIEWS = 64
_MAX_GROUPS = 10_000
_MAX_LIBRARIES = 256

_STALE = (MappingState.DELETED, MappingState.REPLACED)


@dataclass(frozen=True, slots=True)
class RunningRoot:
    """A scanned root whose processes are looked for: ``device`` and ``inode`` are those of its top folder."""

    name: str
    device: int
    inode: int
    installs: tuple[Install, ...]
    copies: tuple[CryptoCopy, ...] = ()

    @classmethod
    def of(cls, root: Root, installs: Iterable[Install], copies: Iterable[CryptoCopy] = ()) -> Self:
        """Take a root's identity while it is open."""
        status = os.fstat(root.descriptor)
        return cls(shown(root.name), status.st_dev, status.st_ino, tuple(installs), tuple(copies))


@dataclass(frozen=True, slots=True)
class ProcessReading:
    """What runs; ``skipped`` says why nothing but the agent's own user's processes could be read, where that is so."""

    processes: ProcessSet
    skipped: str | None = None


def read_processes(roots: Sequence[RunningRoot], skips: Skips, proc: Proc | None = None) -> ProcessReading:
    """Read every process of the host and group the interpreters among them by what they run.

    Never raises for what it finds: a process that ends meanwhile is nothing, one that may not be read is counted.
    """
    reader = _Reader(roots, skips, proc or Proc())
    try:
        return reader.read()
    finally:
        reader.close()


@dataclass(slots=True)
class _Known:
    """What the scan found in one root, by the paths at which processes show it."""

    name: str
    by_path: dict[str, list[Install]] = field(default_factory=dict)
    holders: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, root: RunningRoot) -> Self:
        one = cls(root.name)
        for install in root.installs:
            one.by_path.setdefault(install.realpath, []).append(install)
            if install.crypto.path is not None:
                one.holders.add(install.crypto.path)
        one.holders.update(copy.path for copy in root.copies)
        return one


@dataclass(slots=True)
class _Group:
    processes: int = 0
    unread: int = 0
    libraries: Counter[tuple[str, MappingState]] = field(default_factory=Counter)
    stale: list[int] = field(default_factory=list)
    others: list[int] = field(default_factory=list)

    def add_example(self, pid: int, *, is_stale: bool) -> None:
        """Keep the lowest ids; those that hold an old library are the ones to restart, and come first."""
        kept = self.stale if is_stale else self.others
        if len(kept) < MAX_EXAMPLES:
            kept.append(pid)


_Key = tuple[str, str, str | None, MappingState]


class _Reader:
    def __init__(self, roots: Sequence[RunningRoot], skips: Skips, proc: Proc) -> None:
        self._proc = proc
        self._skips = skips
        self._known = {(root.device, root.inode): _Known.of(root) for root in reversed(roots)}
        self._names = {install.realpath.rpartition("/")[2] for root in roots for install in root.installs}
        self._namespaces: dict[str, View] = {}
        self._first: dict[View, int] = {}
        self._open: OrderedDict[View, Root | None] = OrderedDict()
        self._inodes: dict[View, dict[tuple[int, int], str]] = {}
        self._groups: dict[_Key, _Group] = {}
        self._survey = Survey(proc, skips)
        for process in self._survey.processes:
            self._first.setdefault(process.view, process.pid)
            if process.view.top == "/":
                self._namespaces.setdefault(process.view.namespace, process.view)

    def close(self) -> None:
        """Close the roots of processes that were opened."""
        for root in self._open.values():
            if root is not None:
                root.close()
        self._open.clear()

    def read(self) -> ProcessReading:
        """Read all processes, and put the groups together."""
        for process in self._survey.processes:
            try:
                self._take(process)
            except (FileNotFoundError, ProcessLookupError):
                continue
            except OSError as error:
                self._skips.add(reason_of(error), f"/proc/{process.pid}: {error.strerror}")
        groups = [self._group(key, group) for key, group in self._groups.items()]
        groups.sort(key=lambda group: group.sort_key)
        return ProcessReading(ProcessSet(tuple(groups)), self._survey.skipped())

    # --- one process ------------------------------------------------------------------------------------------------

    def _take(self, process: Seen) -> None:
        """Put one process into its group, when an interpreter runs in it."""
        path, is_deleted = split_deleted(process.exe)
        name = path.rpartition("/")[2]
        is_named = name in self._names or _INTERPRETER_NAME.fullmatch(name) is not None
        if not is_named or not path.startswith("/"):
            return
        view, inside = self._locate(process.view, path)
        known = None if inside is None else self._known.get((view.device, view.inode))
        if inside is None or known is None:
            self._skips.add("unscanned-root", f"/proc/{process.pid}: runs {shown(path)} in a root that was not scanned")
            return
        identity, state = (0, 0), MappingState.UNKNOWN
        if self._identity(view, inside) != "foreign-mount":
            status = self._proc.status(process.pid, "exe")
            identity = status.st_dev, status.st_ino
            state = self._executable_state(view, inside, identity, is_deleted=is_deleted)
        installs = known.by_path.get(shown(inside), [])
        if not installs and state is MappingState.CURRENT:
            # A service that has the folder mounted elsewhere shows another path of the same file.
            installs = known.by_path.get(self._by_identity(view, known).get(identity, ""), [])
        libraries, environment, reason = self._read_maps(process, known, installs)
        install = self._choose(process, installs, environment)
        key = known.name, shown(inside), None if install is None else install.path, state
        if key not in self._groups and len(self._groups) >= _MAX_GROUPS:
            self._skips.add("group-limit", f"/proc/{process.pid}: more than {_MAX_GROUPS} groups of processes")
            return
        group = self._groups.setdefault(key, _Group())
        group.processes += 1
        if reason is not None:
            group.unread += 1
            self._skips.add(*reason)
        for library in sorted(libraries):
            if library not in group.libraries and len(group.libraries) >= _MAX_LIBRARIES:
                self._skips.add(
                    "mapping-limit", f"/proc/{process.pid}: more than {_MAX_LIBRARIES} libraries in a group"
                )
                break
            group.libraries[library] += 1
        is_stale = state in _STALE or any(mapped in _STALE for _, mapped in libraries)
        group.add_example(process.pid, is_stale=is_stale)

    def _locate(self, view: View, path: str) -> tuple[View, str | None]:
        """Return in which tree a path lies that the kernel shows for a process, and its name there.

        A process that changed its root after it had started runs a program from outside of it; where no other process
        has that tree, the path has no name that could be asked for.
        """
        inside = view.inside(path)
        if inside is None and (outer := self._namespaces.get(view.namespace)) is not None:
            return outer, path
        return view, inside

    def _read_maps(
        self, process: Seen, known: _Known, installs: Sequence[Install]
    ) -> tuple[set[tuple[str, MappingState]], str | None, tuple[str, str] | None]:
        """Return the crypto libraries that are mapped, the environment whose modules are, and why nothing was read."""
        libraries: set[tuple[str, MappingState]] = set()
        folders = {_folder(one): one.path for one in installs if one.kind is InstallKind.VENV}
        environments: set[str] = set()
        try:
            for mapping in self._proc.maps(process.pid):
                view, inside = self._locate(process.view, mapping.path)
                path = shown(mapping.path if inside is None else inside)
                if _CRYPTO_LIBRARY.fullmatch(path.rpartition("/")[2]) or path in known.holders:
                    state = MappingState.UNKNOWN
                    if inside is not None:
                        path, state = self._library(process.pid, view, inside, mapping)
                    libraries.add((path, state))
                if folders and ".so" in path:
                    environments.update(folders[folder] for folder in _folders_above(path) if folder in folders)
        except PermissionError:
            return set(), None, ("no-ptrace", f"/proc/{process.pid}/maps: {self._survey.remedy()}")
        except UnreadableError as error:
            return set(), None, (error.reason, error.detail)
        return libraries, environments.pop() if len(environments) == 1 else None, None

    def _choose(self, process: Seen, installs: Sequence[Install], environment: str | None) -> Install | None:
        """Return which of the installs that share an executable a process runs.

        An environment is told by its modules among what is mapped, else by the path that the process was called with;
        without either it is the one whose own executable it is, which runs in any case.
        """
        if environment is not None:
            return next(one for one in installs if one.path == environment)
        called = self._called(process) if len(installs) > 1 else None
        for one in installs:
            if called is not None and (called == one.path or called in one.aliases):
                return one
        own = [one for one in installs if one.kind is not InstallKind.VENV or _is_below(one.realpath, _folder(one))]
        return own[0] if own else None

    def _called(self, process: Seen) -> str | None:
        """Return the path that a process was called with, as it says itself, made absolute by its present folder."""
        try:
            called = os.fsdecode(self._proc.read(process.pid, "cmdline", _MAX_COMMAND).partition(b"\0")[0])
            if "/" not in called:
                return None
            if not called.startswith("/"):
                folder = process.view.inside(self._proc.link(process.pid, "cwd"))
                if folder is None:
                    return None
                called = os.path.normpath(f"{folder}/{called}")
        except OSError:
            return None
        return shown(called)

    # --- states -----------------------------------------------------------------------------------------------------

    def _root(self, view: View) -> Root | None:
        """Return the tree that a process sees, for asking what a path leads to; None when that process is gone."""
        if view in self._open:
            self._open.move_to_end(view)
            return self._open[view]
        root = None
        try:
            descriptor = os.open(self._proc.place(self._first[view], "root"), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            pass
        else:
            root = Root(view.top, descriptor, is_own=False)
            status = os.fstat(descriptor)
            if (status.st_dev, status.st_ino) == (view.device, view.inode):
                # Nothing is asked of what may take for ever to answer.
                root.bar(self._blocking_mounts(view))
            else:
                root.close()
                root = None
        self._open[view] = root
        if len(self._open) > _MAX_VIEWS:
            _, oldest = self._open.popitem(last=False)
            if oldest is not None:
                oldest.close()
        return root

    def _blocking_mounts(self, view: View) -> frozenset[str]:
        try:
            return blocking_mounts(self._proc.text(self._first[view], "mountinfo", MAX_MOUNTINFO))
        except OSError:
            return frozenset()

    def _identity(self, view: View, path: str) -> tuple[int, int] | str | None:
        """Return device and inode of what a path leads to, None where it leads to nothing, or why that is unknown."""
        root = self._root(view)
        if root is None:
            return "vanished"
        try:
            status = root.stat(path)
        except UnreadableError as error:
            return None if error.reason == "not-found" else error.reason
        return status.st_dev, status.st_ino

    def _executable_state(self, view: View, path: str, identity: tuple[int, int], *, is_deleted: bool) -> MappingState:
        there = self._identity(view, path)
        if there == identity:
            return MappingState.CURRENT
        if there is None and is_deleted:
            return MappingState.DELETED
        if isinstance(there, tuple):
            return MappingState.REPLACED
        return MappingState.DELETED if is_deleted else MappingState.UNKNOWN

    def _library(self, pid: int, view: View, path: str, mapping: Mapping) -> tuple[str, MappingState]:
        """Return a mapped library and its state.

        The kernel says whether the name under which the file was opened has been unlinked, and that decides. Inode
        numbers decide only who has the name now: those of an overlay or of btrfs stand beside another device in the
        table of mappings than in a file's status, so a device is compared only where the kernel's own reference to
        the mapped file may be followed, or where both name the same one.
        """
        there = self._identity(view, path)
        if mapping.is_deleted:
            literal = f"{path} (deleted)"
            if isinstance(other := self._identity(view, literal), tuple) and other[1] == mapping.inode:
                return shown(literal), MappingState.CURRENT
            if isinstance(there, tuple):
                is_same = there[1] == mapping.inode and self._mapped(pid, mapping) in (there, None)
                return shown(path), MappingState.CURRENT if is_same else MappingState.REPLACED
            return shown(path), MappingState.DELETED
        if not isinstance(there, tuple):
            return shown(path), MappingState.UNKNOWN
        if there[1] == mapping.inode:
            return shown(path), MappingState.CURRENT
        mapped = self._mapped(pid, mapping)
        is_other = there != mapped if mapped is not None else there[0] == mapping.device
        return shown(path), MappingState.REPLACED if is_other else MappingState.CURRENT

    def _mapped(self, pid: int, mapping: Mapping) -> tuple[int, int] | None:
        """Return device and inode of a mapped file by the kernel's reference to it; None where that is not allowed."""
        try:
            status = self._proc.status(pid, f"map_files/{mapping.span}")
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _by_identity(self, view: View, known: _Known) -> dict[tuple[int, int], str]:
        """Return the executables of a root's installs by device and inode."""
        if view not in self._inodes:
            found = {}
            for path in known.by_path:
                there = self._identity(view, path)
                if isinstance(there, tuple):
                    found[there] = path
            self._inodes[view] = found
        return self._inodes[view]

    # --- groups -----------------------------------------------------------------------------------------------------

    def _group(self, key: _Key, group: _Group) -> ProcessGroup:
        root, executable, install, state = key
        libraries = [MappedLibrary(path, mapped, count) for (path, mapped), count in group.libraries.items()]
        pids = sorted([*group.stale, *group.others][:MAX_EXAMPLES])
        return ProcessGroup(
            root=root,
            executable=executable,
            state=state,
            processes=group.processes,
            install=install,
            libraries=tuple(sorted(libraries, key=lambda one: one.sort_key)),
            unread=group.unread,
            examples=tuple(ProcessExample(pid, self._unit(pid)) for pid in pids),
        )

    def _unit(self, pid: int) -> str | None:
        try:
            unit = unit_of(self._proc.text(pid, "cgroup"))
        except OSError:
            return None
        return None if unit is None else shown(unit)[:256]


def _folder(environment: Install) -> str:
    """Return the folder of a virtual environment from the path of its interpreter, ``FOLDER/bin/python``."""
    return environment.path.rpartition("/")[0].rpartition("/")[0]


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(f"{folder}/")


def _folders_above(path: str) -> Iterable[str]:
    while path:
        path = path.rpartition("/")[0]
        yield path
