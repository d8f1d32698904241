"""Containers: real ones made with namespaces and chroot, and what the files of runtimes tell of others."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.agent.containers import (
    ContainerReading,
    ContainerRoot,
    Identity,
    find_containers,
    identity_of,
    parse_mount_points,
)
from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import Root
from libcensus.agent.layers import walk_of
from libcensus.agent.probes.skips import Skips
from libcensus.agent.settings import ScanSettings
from libcensus.facts.root import ScannedRoot
from libcensus.facts.vocabulary import EvidenceKind, RootKind
from tests.agent.images.records import unpack
from tests.agent.procfs import Procfs
from tests.agent.roots import as_nobody, compile_c, needs_gcc

if TYPE_CHECKING:
    from collections.abc import Iterator

ID = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4
PAUSE = '#include <unistd.h>\nint main(void) { write(1, "ready\\n", 6); pause(); return 0; }\n'


@pytest.mark.parametrize(
    ("text", "runtime", "name"),
    [
        (f"0::/system.slice/docker-{ID}.scope\n", "docker", ID),
        (f"0::/system.slice/docker-{ID}.scope/init.scope\n", "docker", ID),
        (f"4:memory:/docker/{ID}\n1:name=systemd:/docker/{ID}\n", "docker", ID),
        (f"0::/machine.slice/libpod-{ID}.scope/container\n", "podman", ID),
        (f"0::/libpod_parent/libpod-{ID}\n", "podman", ID),
        (f"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope\n", "podman", ID),
        (f"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope\n", "containerd", ID),
        (f"0::/kubepods.slice/kubepods-pod1.slice/crio-{ID}.scope\n", "cri-o", ID),
        (f"0::/kubepods/burstable/pod1/{ID}\n", "", ID),
        (f"0::/docker/{ID}/kubepods.slice/cri-containerd-{OTHER}.scope\n", "containerd", OTHER),
        ("0::/machine.slice/machine-web\\x2d1.scope/payload\n", "nspawn", "web-1"),
        ("0::/machine.slice/systemd-nspawn@web.service/payload/system.slice/x.service\n", "nspawn", "web"),
        ("0::/lxc.payload.web/init.scope\n", "lxc", "web"),
        ("1:name=systemd:/lxc/web\n", "lxc", "web"),
        ("0::/system.slice/snap.lxd.daemon.service\n", "snap", "lxd"),
    ],
)
def test_identity(text: str, runtime: str, name: str) -> None:
    assert identity_of(text) == Identity(runtime, name)


@pytest.mark.parametrize(
    "text",
    [
        "0::/\n",
        "",
        "0::/system.slice/nginx.service\n",
        f"0::/machine.slice/libpod-conmon-{ID}.scope\n",
        "0::/machine.slice/machine-qemu\\x2d1\\x2dvm.scope\n",
        f"0::/system.slice/docker-{ID[:12]}.scope\n",
        "0::/docker/buildkit\n",
    ],
)
def test_no_identity(text: str) -> None:
    assert identity_of(text) is None


@given(st.text())
def test_no_text_makes_a_parser_fail(text: str) -> None:
    identity_of(text)
    list(parse_mount_points(text))
    list(parse_mount_points(f"1 2 0:1 / / rw - {text}"))


# --- what runtimes write down -----------------------------------------------------------------------------------------


class Machine:
    """A host in two folders: its tree and its /proc."""

    def __init__(self, folder: Path) -> None:
        self.top = folder / "host"
        self.top.mkdir()
        self.procfs = Procfs(folder / "proc")
        self.procfs.add(1, "/sbin/init", self.top)
        self._folder = folder

    def write(self, path: str, content: object) -> None:
        target = self.top / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content if isinstance(content, str) else json.dumps(content))

    def container(self, pid: int, *, cgroup: str = "0::/\n", mountinfo: str = "", start: int = 100) -> Path:
        tree = self._folder / "tree"
        tree.mkdir(exist_ok=True)
        exe = str(tree / "bin/app")
        self.procfs.add(pid, exe, tree, namespace="2", cgroup=cgroup, mountinfo=mountinfo, start=start)
        return tree

    def find(self) -> tuple[ContainerReading, Skips]:
        skips = Skips()
        with Root.open(str(self.top)) as root:
            return find_containers(root, skips, self.procfs.proc), skips

    def only(self) -> ContainerRoot:
        reading, _ = self.find()
        (one,) = reading.containers
        ScannedRoot(one.name, RootKind.CONTAINER, one.path, container=one.container, evidence=one.evidence)
        return one


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_docker(machine: Machine) -> None:
    machine.write(
        f"/var/lib/docker/containers/{ID}/config.v2.json",
        {"ID": ID, "Name": "/web", "Image": f"sha256:{OTHER}", "Config": {"Image": "nginx:1.25"}},
    )
    machine.container(7, cgroup=f"0::/system.slice/docker-{ID}.scope\n")
    one = machine.only()
    assert one.container is not None
    assert one.name.startswith("container:docker/web")
    assert (one.container.id, one.container.name) == (ID, "web")
    assert (one.container.image, one.container.image_id) == ("nginx:1.25", f"sha256:{OTHER}")
    assert {proof.kind for proof in one.evidence} >= {EvidenceKind.PROCESS, EvidenceKind.RUNTIME_RECORD}


def test_a_data_folder_that_only_the_mount_table_tells(machine: Machine) -> None:
    machine.write(f"/srv/docker/containers/{ID}/config.v2.json", {"Name": "/web", "Config": {"Image": "x"}})
    line = f"9 1 0:41 / / rw - overlay overlay rw,lowerdir=/a,upperdir=/srv/docker/overlay2/{OTHER}/diff,workdir=/w\n"
    machine.container(7, cgroup=f"0::/docker/{ID}\n", mountinfo=line)
    one = machine.only()
    assert one.container is not None
    assert one.container.name == "web"
    assert "overlay overlay / is mounted as its root" in {proof.detail for proof in one.evidence}


def test_podman_as_it_wrote_it(machine: Machine) -> None:
    store = unpack("storage", machine.top / "var/lib/containers/storage")
    record = json.loads((store / "overlay-containers/containers.json").read_text())[0]
    machine.container(7, cgroup=f"0::/machine.slice/libpod-{record['id']}.scope/container\n")
    one = machine.only()
    assert one.container is not None
    assert one.name.startswith("container:podman/tinypod")
    assert one.container.image == "example.test/tiny:1.0"
    assert one.container.image_id == f"sha256:{record['image']}"


def test_containerd_as_it_wrote_it(machine: Machine) -> None:
    unpack("containerd", machine.top / "var/lib/containerd")
    machine.write("/run/containerd/io.containerd.runtime.v2.task/default/tinyone/init.pid", "7")
    machine.container(7)
    one = machine.only()
    assert one.container is not None
    assert one.name.startswith("container:containerd/default/tinyone")
    assert (one.container.name, one.container.image) == ("tiny-name", "example.test/tiny:1.0")
    assert one.container.image_id is not None


def test_a_pod_by_its_specification(machine: Machine) -> None:
    notes = {
        "io.kubernetes.cri.sandbox-namespace": "prod",
        "io.kubernetes.cri.sandbox-name": "web-0",
        "io.kubernetes.cri.container-name": "app",
        "io.kubernetes.cri.image-name": "registry.example/app:1",
    }
    machine.write(f"/run/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}/config.json", {"annotations": notes})
    machine.container(7, cgroup=f"0::/kubepods.slice/cri-containerd-{ID}.scope\n")
    one = machine.only()
    assert one.container is not None
    assert one.name.startswith(f"container:containerd/k8s.io/{ID}")
    assert (one.container.name, one.container.image) == ("prod/web-0/app", "registry.example/app:1")


@pytest.mark.parametrize(
    ("files", "runtime", "name"),
    [
        ({"/run/systemd/machines/web": "NAME=web\nLEADER=7\n"}, "nspawn", "web"),
        ({f"/run/runc/{ID}/state.json": '{"init_process_pid": 7}'}, "runc", None),
        ({f"/run/crun/{ID}/status": '{"pid": 7}'}, "crun", None),
        ({f"/run/containers/storage/overlay-containers/{ID}/userdata/pidfile": "7"}, "podman", None),
    ],
)
def test_runtimes_that_note_the_process(
    machine: Machine, files: dict[str, str], runtime: str, name: str | None
) -> None:
    for path, content in files.items():
        machine.write(path, content)
    machine.container(7)
    one = machine.only()
    assert one.container is not None
    assert (one.container.runtime, one.container.name) == (runtime, name)


def test_a_container_that_nobody_knows(machine: Machine) -> None:
    machine.container(7, cgroup="0::/system.slice/odd.service\n")
    one = machine.only()
    assert one.container is None
    assert one.name.startswith("container:chroot/")
    assert one.path is None


def test_what_a_manager_wrote_inside_counts_where_nothing_outside_tells(machine: Machine) -> None:
    tree = machine.container(7)
    (tree / "run/host").mkdir(parents=True)
    (tree / "run/host/container-manager").write_text("systemd-nspawn\n")
    (tree / "run/host/container-uuid").symlink_to("/etc/../../../../../../etc/hostname")
    one = machine.only()
    assert one.container is not None
    assert (one.container.runtime, one.container.id) == ("nspawn", None)
    (tree / "run/host/container-manager").write_text("two words\n")
    assert machine.only().container is None


@pytest.mark.parametrize("content", ["", "[", "[" * 100_000, "null", '{"Name": 3, "Config": []}', "[{}]"])
def test_damaged_records_cost_the_name_alone(machine: Machine, content: str) -> None:
    machine.write(f"/var/lib/docker/containers/{ID}/config.v2.json", content)
    machine.container(7, cgroup=f"0::/docker/{ID}\n")
    one = machine.only()
    assert one.container is not None
    assert (one.container.runtime, one.container.id, one.container.name) == ("docker", ID, None)


def test_the_services_of_a_container_are_one_root(machine: Machine) -> None:
    tree = machine.container(7, cgroup=f"0::/docker/{ID}/init.scope\n", start=50)
    machine.procfs.add(8, f"{tree}/bin/x", tree, namespace="b", cgroup=f"0::/docker/{ID}/system.slice/x.service\n")
    machine.procfs.add(5, f"{tree}/bin/y", tree, namespace="c", cgroup=f"0::/docker/{ID}/system.slice/y.service\n")
    assert machine.only().pids == (7, 5, 8)


def test_two_containers_of_one_folder_are_two(machine: Machine) -> None:
    machine.container(7, cgroup=f"0::/docker/{ID}\n")
    machine.container(8, cgroup=f"0::/docker/{OTHER}\n")
    assert len({one.name for one in machine.find()[0].containers}) == 2


def test_a_program_that_locked_itself_into_a_folder_is_none(machine: Machine, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    machine.procfs.add(7, "/usr/sbin/sshd", empty)
    assert machine.find()[0].containers == ()


def test_names_are_shown_and_unique(machine: Machine) -> None:
    for pid in (7, 8):
        machine.write(
            f"/var/lib/docker/containers/{(ID, OTHER)[pid - 7]}/config.v2.json", {"Name": "/same\u0007", "Config": {}}
        )
        machine.container(pid, cgroup=f"0::/docker/{(ID, OTHER)[pid - 7]}\n")
    first, second = (one.name for one in machine.find()[0].containers)
    assert "\\x07" in first
    assert second == f"{first}~2"


# --- real ones --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with one static program that waits, and an interpreter's name."""
    top = tmp_path_factory.mktemp("container")
    compile_c(top / "pause", PAUSE, "-static")
    (top / "usr/bin").mkdir(parents=True)
    shutil.copy2(top / "pause", top / "usr/bin/python3")
    (top / "proc").mkdir()
    return top


@contextmanager
def running(*command: str) -> Iterator[int]:
    """Run a command that ends in the program that waits; gives the command's own process id."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        if child.stdout.readline() != "ready\n":
            pytest.skip(f"no such namespaces here: {child.stderr.read().strip()}")
        try:
            yield child.pid
        finally:
            child.kill()


def with_pid(pid: int) -> tuple[ContainerRoot | None, Skips]:
    skips = Skips()
    with Root.open("/") as root:
        reading = find_containers(root, skips)
    return next((one for one in reading.containers if pid in one.pids), None), skips


PRIVILEGES = () if os.geteuid() == 0 else ("-U", "-r")


@needs_gcc
def test_a_chroot_in_a_mount_namespace_is_a_container(tree: Path) -> None:
    with running("unshare", "-m", *PRIVILEGES, "chroot", str(tree), "/pause") as pid:
        one, _ = with_pid(pid)
        assert one is not None
        assert (one.name, one.path) == (f"container:chroot{tree}", str(tree))
        assert (one.device, one.inode) == (tree.stat().st_dev, tree.stat().st_ino)
        with one.open() as root:
            assert root.name == one.name
            assert root.is_file("/usr/bin/python3")
            assert not root.exists(str(tree))
            paths = [found.path for found in walk_of(root, ScanSettings(), Skips())]
        assert paths == ["/pause", "/usr/bin/python3"]
    with pytest.raises(UnreadableError, match="vanished"):
        one.open()


@needs_gcc
def test_a_tree_that_is_the_top_of_its_namespace(tree: Path, tmp_path: Path) -> None:
    script = f"mount --bind {tree} {tree} && cd {tree} && pivot_root . proc && cd / && exec /pause"
    with running("unshare", "-m", *PRIVILEGES, "sh", "-c", script) as pid:
        one, _ = with_pid(pid)
        assert one is not None
        # The host sees the same folder, and its own mounts say where.
        assert one.path == str(tree)
        with one.open() as root:
            skips = Skips()
            paths = [found.path for found in walk_of(root, ScanSettings(), skips)]
        assert paths == ["/pause", "/usr/bin/python3"]
        # What was the host's root is mounted inside, and is no second scan of the host.
        assert "seen-twice" in skips.counts or "foreign-mount" in skips.counts


def test_a_namespace_over_the_hosts_root_is_no_container() -> None:
    wait = "print('ready', flush=True); input()"
    with running("unshare", "-m", *PRIVILEGES, sys.executable, "-c", wait) as pid:
        assert with_pid(pid)[0] is None


@needs_gcc
@pytest.mark.root
def test_two_containers_of_one_image_are_two_roots(tree: Path, tmp_path: Path) -> None:
    def start(name: str) -> tuple[str, ...]:
        places = [tmp_path / name / part for part in ("upper", "work", "merged")]
        for place in places:
            place.mkdir(parents=True)
        upper, work, merged = places
        options = f"lowerdir={tree},upperdir={upper},workdir={work}"
        script = f"mount -t overlay overlay -o {options} {merged} && cd {merged} && pivot_root . proc && exec /pause"
        return ("unshare", "-m", "sh", "-c", script)

    with running(*start("a")) as first, running(*start("b")) as second:
        one, other = with_pid(first)[0], with_pid(second)[0]
        assert one is not None
        assert other is not None
        assert one.name != other.name
        assert (one.device, one.inode) != (other.device, other.inode)
        for container in (one, other):
            with container.open() as root:
                assert root.is_file("/usr/bin/python3")
                assert root.listdir("/usr/bin") == ["python3"]


@needs_gcc
@pytest.mark.root
def test_systemd_nspawn(tree: Path) -> None:
    nspawn = shutil.which("systemd-nspawn")
    if nspawn is None:
        pytest.skip("systemd-nspawn is not installed")
    (tree / "etc").mkdir(exist_ok=True)
    (tree / "etc/os-release").write_text("ID=test\n")
    command = (nspawn, "-q", "--register=no", "--keep-unit", "--console=pipe", "-D", str(tree), "/pause")
    with running(*command):
        with Root.open("/") as root:
            containers = find_containers(root, Skips()).containers
        (one,) = [one for one in containers if one.path == str(tree)]
        assert one.container is not None
        assert one.container.runtime == "nspawn"
        assert one.name == f"container:nspawn{tree}"
        with one.open() as inside:
            assert inside.is_file("/usr/bin/python3")


def test_without_the_capability_it_says_so() -> None:
    users = {path.stat().st_uid for path in Path("/proc").iterdir() if path.name.isdecimal()}
    if os.geteuid() != 0 and users == {os.geteuid()}:
        pytest.skip("every process here is of one user")
    skips = Skips()
    with as_nobody(), Root.open("/") as root:
        reading = find_containers(root, skips)
    assert reading.containers == ()
    assert reading.skipped is not None
    assert "CAP_SYS_PTRACE" in reading.skipped
