"""The walk: what it yields, what it refuses to enter, and that every bound and obstacle is counted."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import Root
from libcensus.agent.probes.skips import MAX_EXAMPLES, Skips
from libcensus.agent.settings import ScanSettings
from libcensus.agent.walk import Kind, Mount, Walk, judge_mount, mounts_below, open_found, parse_mountinfo
from tests.agent.roots import as_nobody

MOUNTINFO = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 27 0:45 / /srv/with\\040space rw,relatime shared:5 master:3 - nfs4 server:/export rw
31 27 254:0 /data /mnt/data rw - ext4 /dev/vda rw
32 27 0:50 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw
33 27 0:51 / /strange rw - newfs none rw
a line that is none
"""


def walked(top: Path, **settings: object) -> tuple[list[tuple[Kind, str]], Skips, Walk]:
    skips = Skips()
    with Root.open(str(top)) as root:
        walk = Walk(root, ScanSettings(**settings), skips)  # type: ignore[arg-type]
        found = [(item.kind, item.path) for item in walk]
    return found, skips, walk


def executable(path: Path, content: bytes = b"\x7fELF" + bytes(2000)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o755)
    return path


def test_yields_what_may_matter_in_sorted_order(tmp_path: Path) -> None:
    executable(tmp_path / "b/python3")
    executable(tmp_path / "a/anything")
    executable(tmp_path / "a/tiny", b"#!/bin/sh\n")
    (tmp_path / "b/plain").write_bytes(bytes(5000))
    (tmp_path / "b/python").symlink_to("python3")
    (tmp_path / "b/other-link").symlink_to("python3")
    (tmp_path / "env").mkdir()
    executable(tmp_path / "env/pyvenv.cfg", b"home = /b\n" + b"#" * 2000)
    found, skips, walk = walked(tmp_path)
    assert found == [
        (Kind.EXECUTABLE, "/a/anything"),
        (Kind.LINK, "/b/python"),
        (Kind.EXECUTABLE, "/b/python3"),
        (Kind.ENVIRONMENT, "/env/pyvenv.cfg"),
    ]
    assert not skips
    assert (walk.counts.files, walk.counts.folders) == (5, 4)


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    executable(tmp_path / "usr/bin/python3")
    (tmp_path / "bin").symlink_to("usr/bin")
    (tmp_path / "circle").symlink_to(".")
    found, _, _ = walked(tmp_path)
    assert found == [(Kind.EXECUTABLE, "/usr/bin/python3")]


def test_what_is_yielded_can_be_opened_at_once(tmp_path: Path) -> None:
    executable(tmp_path / "bin/python3")
    with Root.open(str(tmp_path)) as root:
        for item in Walk(root, ScanSettings(), Skips()):
            with open_found(item) as file:
                assert file.read_at(0, 4) == b"\x7fELF"


def test_vanished_file_is_said_so(tmp_path: Path) -> None:
    target = executable(tmp_path / "bin/python3")
    with Root.open(str(tmp_path)) as root:
        for item in Walk(root, ScanSettings(), Skips()):
            target.unlink()
            with pytest.raises(UnreadableError) as caught:
                open_found(item)
            assert caught.value.reason == "vanished"


def test_file_replaced_by_a_fifo_is_not_opened(tmp_path: Path) -> None:
    target = executable(tmp_path / "bin/python3")
    with Root.open(str(tmp_path)) as root:
        for item in Walk(root, ScanSettings(), Skips()):
            target.unlink()
            os.mkfifo(target)
            with pytest.raises(UnreadableError, match="a FIFO"):
                open_found(item)


def test_special_files_with_an_interpreters_name_are_counted(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "python3")
    os.mkfifo(tmp_path / "other")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "python"))
        found, skips, _ = walked(tmp_path)
    assert found == []
    assert skips.counts == {"not-a-regular-file": 2}
    (result,) = skips.results()
    assert set(result.examples) == {"/python3: is a FIFO; never opened", "/python: is a socket; never opened"}


def test_names_that_are_not_utf8_are_read_and_told(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/f\xff"
    executable(Path(os.fsdecode(folder + b"/python\xfe")))
    found, skips, _ = walked(tmp_path)
    assert found == [(Kind.EXECUTABLE, os.fsdecode(b"/f\xff/python\xfe"))]
    assert skips.counts == {"name-not-utf8": 2}
    assert skips.results()[0].examples[1] == "/f\\xff/python\\xfe: is read, and shown with \\xNN escapes"


def test_unreadable_folder_is_counted_and_the_rest_is_walked(tmp_path: Path) -> None:
    executable(tmp_path / "closed/python3")
    executable(tmp_path / "open/python3")
    tmp_path.chmod(0o755)
    (tmp_path / "closed").chmod(0o300)
    try:
        with Root.open(str(tmp_path)) as root, as_nobody():
            skips = Skips()
            found = [item.path for item in Walk(root, ScanSettings(), skips)]
    finally:
        (tmp_path / "closed").chmod(0o755)
    assert found == ["/open/python3"]
    assert skips.counts == {"permission-denied": 1}
    assert "/closed" in skips.results()[0].examples[0]


@pytest.mark.parametrize(
    ("settings", "reason", "seen"),
    [
        pytest.param({"exclude": ("/one",)}, "excluded", ["/two/b"], id="excluded"),
        pytest.param({"exclude": ("/one/",)}, "excluded", ["/two/b"], id="excluded with a slash"),
        pytest.param({"max_depth": 0}, "depth-limit", [], id="depth"),
        pytest.param({"max_files": 1}, "file-limit", ["/one/a"], id="files"),
        pytest.param({"max_seconds": -1.0}, "time-limit", [], id="time"),
    ],
)
def test_bounds_are_counted_when_reached(
    tmp_path: Path, settings: dict[str, object], reason: str, seen: list[str]
) -> None:
    executable(tmp_path / "one/a")
    executable(tmp_path / "two/b")
    found, skips, _ = walked(tmp_path, **settings)
    assert [path for _, path in found] == seen
    assert reason in skips.counts
    assert skips.results()[0].examples


def test_deep_tree_costs_no_recursion(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(200):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    _, skips, walk = walked(tmp_path, max_depth=150)
    assert walk.counts.folders == 151
    assert skips.counts == {"depth-limit": 1}


def make_root(folder: Path) -> None:
    (folder / "etc").mkdir(parents=True)
    (folder / "usr/lib").mkdir(parents=True)
    (folder / "usr/lib/os-release").write_text("ID=debian\n")
    (folder / "etc/os-release").symlink_to("../usr/lib/os-release")
    (folder / "usr/lib64").mkdir()
    (folder / "usr/lib64/ld-linux-x86-64.so.2").write_bytes(b"\x7fELF")
    executable(folder / "usr/bin/python3")


def test_other_root_is_yielded_as_one_and_not_entered(tmp_path: Path) -> None:
    make_root(tmp_path / "srv/chroot")
    found, skips, _ = walked(tmp_path)
    assert found == [(Kind.ROOT, "/srv/chroot")]
    assert not skips


def test_the_scanned_root_itself_is_no_other_root(tmp_path: Path) -> None:
    make_root(tmp_path)
    found, skips, _ = walked(tmp_path)
    assert [path for _, path in found] == ["/usr/bin/python3"]
    assert not skips


@pytest.mark.parametrize(
    "layer",
    [
        "var/lib/docker/overlay2/0123abc/diff",
        "var/lib/containers/storage/overlay/0123abc/diff",
        "var/lib/docker/vfs/x/diff",
        "var/lib/docker/aufs/diff/0123abc",
        "var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/12/fs",
    ],
)
def test_image_layers_are_not_walked(tmp_path: Path, layer: str) -> None:
    executable(tmp_path / layer / "usr/local/bin/python3.12")
    found, skips, _ = walked(tmp_path)
    assert found == []
    assert skips.counts == {"image-layer": 1}


def test_mountinfo_is_parsed_with_escapes() -> None:
    mounts = {mount.point: mount for mount in parse_mountinfo(MOUNTINFO)}
    assert mounts["/srv/with space"] == Mount("/srv/with space", "nfs4", "server:/export")
    assert len(mounts) == 6


@given(st.text(max_size=200))
def test_any_text_is_parsed_as_mountinfo_without_error(text: str) -> None:
    assert isinstance(parse_mountinfo(text), list)


def test_mounts_below_a_root_are_seen_from_inside() -> None:
    assert [mount.point for mount in mounts_below(MOUNTINFO, "/mnt")] == ["/data"]
    assert [mount.point for mount in mounts_below(MOUNTINFO, "/mn")] == []
    assert "/" not in {mount.point for mount in mounts_below(MOUNTINFO, "/")}


@pytest.mark.parametrize(
    ("fs_type", "reason"),
    [
        ("ext4", None),
        ("tmpfs", None),
        ("nfs4", "network-file-system"),
        ("fuse.sshfs", "network-file-system"),
        ("proc", "pseudo-file-system"),
        ("overlay", "foreign-mount"),
        ("squashfs", "foreign-mount"),
        ("newfs", "unknown-file-system"),
        ("fuse.rclone", "unknown-file-system"),
    ],
)
def test_mounts_are_judged_by_their_type(fs_type: str, reason: str | None) -> None:
    mount = Mount("/x", fs_type, "none")
    assert judge_mount(mount, ()) == reason
    assert judge_mount(mount, (fs_type,)) is None


@pytest.mark.parametrize(
    ("point", "fs_type", "reason"),
    [
        ("/snap/core22/1122", "squashfs", None),
        ("/snap/my-tool/x1", "fuse.squashfuse", None),
        ("/var/lib/snapd/snap/core22/1122", "squashfs", None),
        ("/snap/core22", "squashfs", "foreign-mount"),
        ("/mnt/image", "squashfs", "foreign-mount"),
        ("/snap/core22/1122", "nfs4", "network-file-system"),
    ],
)
def test_revisions_of_snaps_are_walked_and_other_images_are_not(point: str, fs_type: str, reason: str | None) -> None:
    assert judge_mount(Mount(point, fs_type, "/dev/loop1"), ()) == reason


def test_examples_are_few_and_short() -> None:
    skips = Skips()
    for number in range(10):
        skips.add("reason", f"{number}" * 5000)
    (result,) = skips.results()
    assert result.count == 10
    assert len(result.examples) == MAX_EXAMPLES
    assert all(len(example) <= 1024 for example in result.examples)


MOUNTED = """
import sys
from libcensus.agent.host import Root
from libcensus.agent.probes.skips import Skips
from libcensus.agent.settings import ScanSettings
from libcensus.agent.walk import Walk
skips = Skips()
with Root.open(sys.argv[1]) as root:
    print(sorted(item.path for item in Walk(root, ScanSettings(), skips)), sorted(skips.counts.items()))
    print(root.exists("/foreign/sys"))
"""


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare(1)")
def test_bind_mount_is_read_once_and_pseudo_mount_is_not_entered(tmp_path: Path) -> None:
    executable(tmp_path / "data/python3")
    for name in ("again", "within", "foreign"):
        (tmp_path / name).mkdir()
    executable(tmp_path / "foreign/hidden")
    script = (
        f"mount --bind {tmp_path}/data {tmp_path}/again && mount -t proc none {tmp_path}/foreign"
        f' && mount -t tmpfs none {tmp_path}/within && exec {sys.executable} -c "$0" {tmp_path}'
    )
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, MOUNTED], capture_output=True, text=True, check=False)
    if "mount" in done.stderr and done.returncode != 0:
        pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "['/again/python3'] [('pseudo-file-system', 1), ('seen-twice', 1)]",
        "False",
    ]
