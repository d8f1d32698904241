"""Finds the containers that run on a host, whatever runs them, by the trees that their processes see.

A container is a process whose root folder is another one than the host's: a mount namespace of its own with its own
root, or a chroot. Namespaces alone are none (services of systemd have their own, over the host's root). What the
container is called and which image it was made from is read from its runtime's files, found through the control group
and the mount table that the kernel shows; a container of a runtime that nobody knows is a container all the same.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import Root, shown
from libcensus.agent.images.containerd import ContainerdStore
from libcensus.agent.images.stores import Records, text_of
from libcensus.agent.proc import MAX_MOUNTINFO, Proc, Survey, blocking_mounts, cgroup_paths, split_deleted, unit_of
from libcensus.agent.walk import judge_mount, mounts_below, unescape_mount
from libcensus.facts.evidence import Evidence
from libcensus.facts.root import Container
from libcensus.facts.vocabulary import EvidenceKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from libcensus.agent.probes.skips import Skips
    from libcensus.agent.proc import Seen

_ID = re.compile(r"[0-9a-f]{64}")
_SCOPES = (
    (re.compile(r"docker-([0-9a-f]{64})\.scope"), "docker"),
    (re.compile(r"libpod-([0-9a-f]{64})(?:\.scope)?"), "podman"),
    (re.compile(r"cri-containerd-([0-9a-f]{64})\.scope"), "containerd"),
    (re.compile(r"nerdctl-([0-9a-f]{64})\.scope"), "containerd"),
    (re.compile(r"crio-([0-9a-f]{64})(?:\.scope)?"), "cri-o"),
    (re.compile(r"machine-((?!qemu\\x2d|lxc\\x2d).+)\.scope"), "nspawn"),
    (re.compile(r"systemd-nspawn@(.+)\.service"), "nspawn"),
    (re.compile(r"lxc\.payload\.(.+)"), "lxc"),
    (re.compile(r"snap\.([a-z0-9-]+)\..+\.(?:service|scope)"), "snap"),
)
"""How runtimes name the control groups of their containers; an id is hexadecimal, the others are names."""

_PARENTS = {"docker": "docker", "lxc": "lxc", "lxc.payload": "lxc", "libpod_parent": "podman"}
"""Control groups of version 1 whose children are containers of one runtime."""

_NAMED = ("nspawn", "lxc", "snap")
_UNIT_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")
_STORE = re.compile(r"(?:^|,)upperdir=(?P<folder>/[^,]*?)/(?:overlay2?|fuse-overlayfs)/[0-9a-f]+/diff(?:,|$)")
_TASKS = "io.containerd.runtime.v2.task"
_POD_LABELS = ("io.kubernetes.pod.namespace", "io.kubernetes.pod.name", "io.kubernetes.container.name")
_POD_NOTES = tuple(f"io.kubernetes.cri.{name}" for name in ("sandbox-namespace", "sandbox-name", "container-name"))
_MAX_KEPT_PIDS = 8

_MANAGER = "/run/host/container-manager"
_UUID = "/run/host/container-uuid"
_MANAGERS = {"systemd-nspawn": "nspawn"}
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Identity:
    """A container as its runtime knows it: by id (``docker``, ``podman``…) or by name (``nspawn``, ``lxc``, ``snap``).

    ``runtime`` is empty where only an id is known.
    """

    runtime: str
    id: str


@dataclass(frozen=True, slots=True)
class ContainerRoot:
    """The tree of a running container, known by ``device`` and ``inode`` of its top folder.

    ``path`` is where the host sees the same folder, where it does. Nothing is kept open until :meth:`open`.
    """

    name: str
    container: Container | None
    path: str | None
    device: int
    inode: int
    pids: tuple[int, ...]
    evidence: tuple[Evidence, ...] = ()
    seen_elsewhere: frozenset[tuple[int, int]] = frozenset()
    proc: Proc = field(default_factory=Proc, repr=False, compare=False)

    def open(self) -> Root:
        """Open the tree through one of the container's processes. Raises UnreadableError when all have ended."""
        for pid in self.pids:
            try:
                descriptor = os.open(self.proc.place(pid, "root"), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError:
                continue
            root = Root(self.name, descriptor, is_own=False)
            try:
                root.mount_text = self.proc.text(pid, "mountinfo", MAX_MOUNTINFO)
                status = os.fstat(descriptor)
            except OSError:
                root.close()
                continue
            if (status.st_dev, status.st_ino) == (self.device, self.inode):
                root.mount_prefix = "/"
                root.seen_elsewhere = self.seen_elsewhere
                return root
            root.close()
        raise UnreadableError("vanished", f"{self.name}: the container has ended; scan again")


@dataclass(frozen=True, slots=True)
class ContainerReading:
    """The containers that run; ``skipped`` says why none of another user could be seen, where that is so."""

    containers: tuple[ContainerRoot, ...]
    skipped: str | None = None


@dataclass(frozen=True, slots=True)
class MountPoint:
    """One line of mountinfo: the device, which folder of its file system is mounted, where, and how."""

    device: str
    folder: str
    point: str
    fs_type: str
    source: str
    options: str


def parse_mount_points(text: str) -> Iterator[MountPoint]:
    """Parse /proc/PID/mountinfo (proc_pid_mountinfo(5)); lines that do not fit its format are passed over."""
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        fields, rest = left.split(" "), right.split(" ")
        if separator and len(fields) >= 6 and len(rest) >= 3:
            folder, point, source, options = map(unescape_mount, (fields[3], fields[4], rest[1], rest[2]))
            yield MountPoint(fields[2], folder, point, rest[0], source, options)


def identity_of(text: str) -> Identity | None:
    """Return the container that a process belongs to, from its /proc/PID/cgroup: the innermost that is named there."""
    for path in cgroup_paths(text):
        parts = path.split("/")
        for number in range(len(parts) - 1, 0, -1):
            part = parts[number]
            for pattern, runtime in _SCOPES:
                if match := pattern.fullmatch(part):
                    name = match[1] if runtime not in _NAMED else _UNIT_ESCAPE.sub(_unescape, match[1])
                    return Identity(runtime, name)
            parent = parts[number - 1]
            if (runtime := _PARENTS.get(parent, "")) and (runtime == "lxc" or _ID.fullmatch(part)):
                return Identity(runtime, part)
            if _ID.fullmatch(part):
                return Identity("", part)
    return None


def _unescape(match: re.Match[str]) -> str:
    return chr(int(match[1], 16))


def find_containers(host: Root, skips: Skips, proc: Proc | None = None) -> ContainerReading:
    """Find the containers that run beside ``host``, the running machine's own root; sorted by name.

    Never raises for what it finds: a process that ends meanwhile is nothing, one that may not be read is counted.
    """
    finder = _Finder(host, skips, proc or Proc())
    return finder.find()


@dataclass(slots=True)
class _Group:
    """The processes that see one tree, the one that started first in front."""

    device: int
    inode: int
    identity: Identity | None
    processes: list[tuple[int, Seen]] = field(default_factory=list)


class _Finder:
    def __init__(self, host: Root, skips: Skips, proc: Proc) -> None:
        self._host = host
        self._skips = skips
        self._proc = proc
        self._records = Records(host, skips)
        self._by_pid: dict[int, Identity] | None = None
        self._tasks: dict[str, list[str]] | None = None
        self._stores: list[ContainerdStore] | None = None

    def find(self) -> ContainerReading:
        survey = Survey(self._proc, self._skips)
        groups = self._groups(survey.processes)
        elsewhere = self._host_folders() if groups else frozenset()
        found: dict[str, ContainerRoot] = {}
        for group in groups:
            try:
                one = self._container(group, elsewhere)
            except OSError:
                continue
            name, number = one.name, 1
            while name in found:
                number += 1
                name = f"{one.name}~{number}"
            found[name] = one if name == one.name else _renamed(one, name)
        return ContainerReading(tuple(found[name] for name in sorted(found)), survey.skipped())

    def _groups(self, processes: Iterable[Seen]) -> list[_Group]:
        """Return the processes by the tree that they see, without those that see the host's own.

        The services of a container may have namespaces of their own over its root; two containers of one folder are
        told apart by their runtime's ids. A process that runs a program from outside of its root has locked itself
        into a folder: there is nothing of its own in it.
        """
        own = os.fstat(self._host.descriptor)
        groups: dict[tuple[int, int, Identity | None], _Group] = {}
        for process in processes:
            view = process.view
            if (view.device, view.inode) == (own.st_dev, own.st_ino) or view.inside(process.exe) is None:
                continue
            try:
                stat = self._proc.stat(process.pid)
                identity = identity_of(self._proc.text(process.pid, "cgroup"))
            except OSError:
                continue
            if stat is None or not process.exe.startswith("/"):
                continue
            key = view.device, view.inode, identity
            groups.setdefault(key, _Group(*key)).processes.append((stat.start, process))
        for group in groups.values():
            group.processes.sort(key=lambda item: (item[0], item[1].pid))
        return sorted(groups.values(), key=lambda group: group.processes[0][1].pid)

    def _host_folders(self) -> frozenset[tuple[int, int]]:
        """Return the top folders and mounts of the host: a container that has one mounted is not their second scan."""
        points = ["/"]
        try:
            points += [f"/{name}" for name in self._host.listdir("/")]
            own = self._proc.text(os.getpid(), "mountinfo", MAX_MOUNTINFO)
        except (OSError, UnreadableError):
            own = ""
        points += [mount.point for mount in mounts_below(own, "/") if judge_mount(mount, ()) is None]
        found = set()
        for point in points:
            try:
                status = self._host.stat(point, follow=False)
            except UnreadableError:
                continue
            found.add((status.st_dev, status.st_ino))
        return frozenset(found)

    # --- one container ----------------------------------------------------------------------------------------------

    def _container(self, group: _Group, elsewhere: frozenset[tuple[int, int]]) -> ContainerRoot:
        first = group.processes[0][1]
        pids = tuple(process.pid for _, process in group.processes[:_MAX_KEPT_PIDS])
        mounts = list(parse_mount_points(self._proc.text(first.pid, "mountinfo", MAX_MOUNTINFO)))
        top = next((mount for mount in reversed(mounts) if mount.point == "/"), None)
        cgroup = self._proc.text(first.pid, "cgroup")
        identity = group.identity or self._identity_by_pid(pids)
        evidence = []
        if group.identity is not None:
            control = next((one for one in cgroup_paths(cgroup) if group.identity == identity_of(f"0::{one}")), "")
            words = f"control group {shown(control)}"
            evidence.append(Evidence("container", EvidenceKind.PROCESS, "/proc", words[:2048]))
        if top is not None:
            words = f"{shown(top.fs_type)} {shown(top.source)} {shown(top.folder)} is mounted as its root"
            evidence.append(Evidence("container", EvidenceKind.MOUNT, "/proc", words[:2048]))
        container, proofs = self._told(identity, top)
        if container is None:
            container, proofs = self._told_inside(group, pids)
        evidence += proofs
        path = first.view.top if first.view.top != "/" else self._path_on_host(top)
        if first.view.top != "/":
            words = f"its root folder is {shown(first.view.top)}"
            evidence.append(Evidence("container", EvidenceKind.PROCESS, "/proc", words[:2048]))
        if path is not None and not self._is_at(path, group):
            path = None
        return ContainerRoot(
            name=self._name(container, identity, first, cgroup, path),
            container=container,
            path=None if path is None else shown(path),
            device=group.device,
            inode=group.inode,
            pids=pids,
            evidence=tuple(sorted(set(evidence), key=lambda item: item.sort_key)),
            seen_elsewhere=elsewhere - {(group.device, group.inode)},
            proc=self._proc,
        )

    def _name(
        self, container: Container | None, identity: Identity | None, first: Seen, cgroup: str, path: str | None
    ) -> str:
        top = first.view.top
        if container is not None:
            if container.name is None and path is not None and identity is None:
                return shown(f"container:{container.runtime}{path}")
            if container.runtime == "containerd" and identity is not None:
                what = "/".join([*(self._namespaces(identity.id)[:1]), identity.id])
            else:
                what = container.name or container.id or first.exe
            inner = "" if top == "/" else f"/chroot{top}"
            return shown(f"container:{container.runtime}/{what}{inner}")
        if path is not None or top != "/":
            return shown(f"container:chroot{path or top}")
        if (unit := unit_of(cgroup)) is not None:
            return shown(f"container:unit/{unit}")
        return shown(f"container:mnt{split_deleted(first.exe)[0]}")

    def _is_at(self, path: str, group: _Group) -> bool:
        try:
            status = self._host.stat(path)
        except UnreadableError:
            return False
        return (status.st_dev, status.st_ino) == (group.device, group.inode)

    def _path_on_host(self, top: MountPoint | None) -> str | None:
        """Return where the host sees the folder that a container has mounted as its root, by the host's own mounts."""
        if top is None:
            return None
        try:
            own = list(parse_mount_points(self._proc.text(os.getpid(), "mountinfo", MAX_MOUNTINFO)))
        except OSError:
            return None
        for mount in own:
            prefix = mount.folder.rstrip("/")
            if mount.device == top.device and f"{top.folder}/".startswith(f"{prefix}/"):
                path = f"{mount.point.rstrip('/')}{top.folder[len(prefix) :]}".rstrip("/")
                if path:
                    return path
        return None

    # --- runtimes' records ------------------------------------------------------------------------------------------

    def _identity_by_pid(self, pids: Sequence[int]) -> Identity | None:
        """Return the container that a runtime's records give one of these processes to."""
        if self._by_pid is None:
            self._by_pid = dict(self._recorded_pids())
        return next((self._by_pid[pid] for pid in pids if pid in self._by_pid), None)

    def _recorded_pids(self) -> Iterator[tuple[int, Identity]]:
        records = self._records
        for name in records.names("/run/systemd/machines"):
            for line in (records.text(f"/run/systemd/machines/{name}") or "").splitlines():
                if line.startswith("LEADER=") and line[7:].isdecimal():
                    yield int(line[7:]), Identity("nspawn", name)
        for identity, folders in self._task_folders().items():
            for folder in folders:
                runtime = "docker" if folder.split("/")[-2] == "moby" else "containerd"
                if (pid := records.text(f"{folder}/init.pid") or "").isdecimal():
                    yield int(pid), Identity(runtime, identity)
        for folder in ("/run/containers/storage/overlay-containers",):
            for identity in records.names(folder):
                if (pid := records.text(f"{folder}/{identity}/userdata/pidfile") or "").isdecimal():
                    yield int(pid), Identity("podman", identity)
        for identity in records.names("/run/runc"):
            state = records.json(f"/run/runc/{identity}/state.json")
            if isinstance(state, dict) and isinstance(number := state.get("init_process_pid"), int):
                yield number, Identity("runc", identity)
        for identity in records.names("/run/crun"):
            state = records.json(f"/run/crun/{identity}/status")
            if isinstance(state, dict) and isinstance(number := state.get("pid"), int):
                yield number, Identity("crun", identity)

    def _task_folders(self) -> Mapping[str, list[str]]:
        """Return the folders of what runs under containerd, by id; they end in ``NAMESPACE/ID``."""
        if self._tasks is None:
            self._tasks = {}
            for state in self._records.containerd_states():
                for namespace in self._records.names(f"{state}/{_TASKS}"):
                    for identity in self._records.names(f"{state}/{_TASKS}/{namespace}"):
                        folder = f"{state}/{_TASKS}/{namespace}/{identity}"
                        self._tasks.setdefault(identity, []).append(folder)
        return self._tasks

    def _namespaces(self, identity: str) -> list[str]:
        return [folder.split("/")[-2] for folder in self._task_folders().get(identity, [])]

    def _told(self, identity: Identity | None, top: MountPoint | None) -> tuple[Container | None, list[Evidence]]:
        """Return what the runtime's own files tell of a container, and which they are."""
        if identity is None:
            return None, []
        if identity.runtime in _NAMED:
            return Container(identity.runtime, name=shown(identity.id)[:512]), []
        store = _STORE.search(top.options) if top is not None else None
        near = [] if store is None else [store["folder"]]
        readers = {"docker": self._docker, "podman": self._storage, "cri-o": self._storage}
        for runtime in (identity.runtime,) if identity.runtime else ("docker", "containerd", "podman"):
            told = readers.get(runtime, self._containerd)(identity.id, near, runtime)
            if told is not None:
                return told
        return Container(identity.runtime or "unknown", shown(identity.id)[:512]), []

    def _told_inside(self, group: _Group, pids: Sequence[int]) -> tuple[Container | None, list[Evidence]]:
        """Return what a container's manager has written into it (https://systemd.io/CONTAINER_INTERFACE).

        It stands where the container's own programs may write, so it counts only where nothing outside tells.
        """
        for pid in pids:
            try:
                descriptor = os.open(self._proc.place(pid, "root"), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError:
                continue
            with Root("/", descriptor, is_own=False) as root:
                status = os.fstat(descriptor)
                root.bar(blocking_mounts(self._proc.text(pid, "mountinfo", MAX_MOUNTINFO)))
                manager = _line(root, _MANAGER)
                if (status.st_dev, status.st_ino) != (group.device, group.inode) or manager is None:
                    continue
                uuid = _line(root, _UUID)
            words = f"{manager}, in the container's own tree" + ("" if uuid is None else f", {uuid}")
            proof = Evidence("container", EvidenceKind.RUNTIME_RECORD, _MANAGER, words)
            return Container(_MANAGERS.get(manager, manager), uuid), [proof]
        return None, []

    def _docker(self, identity: str, near: list[str], runtime: str) -> tuple[Container, list[Evidence]] | None:
        for folder in dict.fromkeys((*near, *self._records.docker_folders())):
            path = f"{folder}/containers/{identity}/config.v2.json"
            record = self._records.json(path)
            if isinstance(record, dict):
                name = (text_of(record, "Name") or "").lstrip("/") or None
                image, image_id = text_of(record, "Config", "Image"), text_of(record, "Image")
                return _container(runtime, identity, name, image, image_id, path)
        return None

    def _storage(self, identity: str, near: list[str], runtime: str) -> tuple[Container, list[Evidence]] | None:
        for folder in dict.fromkeys((*near, *self._records.storage_folders())):
            for driver in ("overlay", "vfs", "btrfs"):
                for name in ("containers.json", "volatile-containers.json"):
                    path = f"{folder}/{driver}-containers/{name}"
                    record = _entry(self._records.json(path), identity)
                    if record is not None:
                        return self._storage_record(record, identity, runtime, path)
        return None

    @staticmethod
    def _storage_record(
        record: dict[str, Any], identity: str, runtime: str, path: str
    ) -> tuple[Container, list[Evidence]]:
        try:
            more = json.loads(text_of(record, "metadata") or "{}")
        except (ValueError, RecursionError):
            more = {}
        names = record.get("names")
        name = next((one for one in names if isinstance(one, str) and one), None) if isinstance(names, list) else None
        image_id = text_of(record, "image")
        image_id = f"sha256:{image_id}" if image_id and _ID.fullmatch(image_id) else image_id
        return _container(runtime, identity, text_of(more, "name") or name, text_of(more, "image-name"), image_id, path)

    def _containerd(self, identity: str, near: list[str], runtime: str) -> tuple[Container, list[Evidence]] | None:
        del near
        for namespace in self._namespaces(identity):
            for store in self._containerd_stores():
                told = store.container(namespace, identity)
                if told is not None:
                    image, image_id, labels = told
                    name = labels.get("nerdctl/name") or _joined(labels, _POD_LABELS)
                    return _container(runtime or "containerd", identity, name, image, image_id, store.record)
        for folder in self._task_folders().get(identity, []):
            path = f"{folder}/config.json"
            record = self._records.json(path)
            if isinstance(record, dict):
                notes = record.get("annotations")
                name = text_of(notes, "nerdctl/name") or _joined(notes, _POD_NOTES)
                image = text_of(notes, "io.kubernetes.cri.image-name")
                return _container(runtime or "containerd", identity, name, image, None, path)
        return None

    def _containerd_stores(self) -> list[ContainerdStore]:
        if self._stores is None:
            self._stores = [ContainerdStore(self._records, one) for one in self._records.containerd_folders()]
        return self._stores


def _line(root: Root, path: str) -> str | None:
    """Return the one word that a small file holds; None for anything else."""
    try:
        text = root.read_text(path, 256).strip()
    except UnreadableError:
        return None
    return text if _WORD.fullmatch(text) else None


def _joined(told: Any, names: Iterable[str]) -> str | None:
    """Return ``NAMESPACE/POD/CONTAINER`` from a container's labels or annotations."""
    return "/".join(part for name in names if (part := text_of(told, name))) or None


def _entry(records: Any, identity: str) -> dict[str, Any] | None:
    """Return the record with an id from a list of them."""
    if not isinstance(records, list):
        return None
    return next((one for one in records if isinstance(one, dict) and one.get("id") == identity), None)


def _container(
    runtime: str, identity: str, name: str | None, image: str | None, image_id: str | None, path: str
) -> tuple[Container, list[Evidence]]:
    parts = {"name": name, "image": image, "image_id": image_id}
    told = {"id": identity, **parts}
    words = ", ".join(f"{key} {shown(value)}" for key, value in told.items() if value is not None)
    proof = Evidence("container", EvidenceKind.RUNTIME_RECORD, shown(path), words[:2048])
    cut = {key: None if value is None else shown(value)[:512] for key, value in parts.items()}
    return Container(runtime, shown(identity)[:512], **cut), [proof]


def _renamed(one: ContainerRoot, name: str) -> ContainerRoot:
    return ContainerRoot(
        name, one.container, one.path, one.device, one.inode, one.pids, one.evidence, one.seen_elsewhere, one.proc
    )
