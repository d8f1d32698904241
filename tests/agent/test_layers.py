"""The merged view of image layers: against a model, against the kernel's own overlay, and that nothing leaks out."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libcensus.agent.errors import UnreadableError
from libcensus.agent.layers import LayeredRoot, enter, walk_of
from libcensus.agent.probes.skips import Skips
from libcensus.agent.settings import ScanSettings
from libcensus.agent.walk import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcensus.agent.host import Root

PROGRAM = b"\x7fELF" + bytes(2000)


def layered(*layers: Path) -> LayeredRoot:
    return LayeredRoot("image:test", [os.open(layer, os.O_RDONLY | os.O_DIRECTORY) for layer in layers])


def write(path: Path, content: bytes = b"", mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    return path


def walked(root: Root) -> tuple[list[tuple[Kind, str]], Skips]:
    skips = Skips()
    return [(one.kind, one.path) for one in walk_of(root, ScanSettings(), skips)], skips


def tree_of(root: Root, folder: str = "") -> Iterator[tuple[str, str]]:
    """Yield every path of a root with what is there."""
    for name in root.listdir(folder or "/"):
        path = f"{folder}/{name}"
        mode = root.stat(path, follow=False).st_mode
        if stat.S_ISDIR(mode):
            yield path, "folder"
            yield from tree_of(root, path)
        elif stat.S_ISLNK(mode):
            yield path, f"-> {root.readlink(path)}"
        else:
            yield path, root.read_text(path)


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture
def layers(tmp_path: Path) -> tuple[Path, Path]:
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    upper.mkdir()
    lower.mkdir()
    return upper, lower


def test_upper_files_hide_lower_ones(layers: tuple[Path, Path]) -> None:
    upper, lower = layers
    write(lower / "etc/a", b"lower")
    write(lower / "etc/b", b"lower")
    write(lower / "was-folder/x")
    write(lower / "was-file")
    write(upper / "etc/a", b"upper")
    write(upper / "was-folder", b"file")
    write(upper / "was-file/y")
    with layered(upper, lower) as root:
        assert dict(tree_of(root)) == {
            "/etc": "folder",
            "/etc/a": "upper",
            "/etc/b": "lower",
            "/was-file": "folder",
            "/was-file/y": "",
            "/was-folder": "file",
        }
        assert not root.exists("/was-folder/x")


def test_whiteouts_and_opaque_folders_by_name(layers: tuple[Path, Path]) -> None:
    upper, lower = layers
    for name in ("bin/python3", "bin/perl", "opt/old/x", "keep/lower"):
        write(lower / name)
    write(upper / "bin/.wh.python3")
    write(upper / "opt/old/.wh..wh..opq")
    write(upper / "opt/old/new")
    write(upper / "keep/upper")
    with layered(upper, lower) as root:
        assert root.listdir("/bin") == ["perl"]
        assert root.listdir("/opt/old") == ["new"]
        assert root.listdir("/keep") == ["lower", "upper"]
        for path in ("/bin/python3", "/bin/.wh.python3", "/opt/old/x", "/opt/old/.wh..wh..opq"):
            assert not root.exists(path)


@pytest.mark.parametrize("name", ["user.overlay.opaque", "user.fuseoverlayfs.opaque"])
def test_opaque_folders_by_attribute(layers: tuple[Path, Path], name: str) -> None:
    upper, lower = layers
    write(lower / "opt/old/x")
    write(upper / "opt/old/new")
    try:
        os.setxattr(upper / "opt/old", name, b"y")
    except OSError as error:
        pytest.skip(f"no user attributes here: {error}")
    with layered(upper, lower) as root:
        assert root.listdir("/opt/old") == ["new"]
        assert not root.exists("/opt/old/x")


def test_links_lead_through_the_merged_view_and_never_out(layers: tuple[Path, Path], tmp_path: Path) -> None:
    upper, lower = layers
    write(tmp_path / "secret", b"outside")
    write(lower / "usr/bin/python3.11", b"lower")
    (lower / "bin").symlink_to("usr/bin")
    (upper / "usr/bin").mkdir(parents=True)
    (upper / "usr/bin/python3").symlink_to("/bin/python3.11")
    (upper / "escape").symlink_to("../../../../secret")
    (upper / "absolute").symlink_to(str(tmp_path / "secret"))
    (upper / "loop").symlink_to("loop")
    with layered(upper, lower) as root:
        assert root.realpath("/bin/python3") == "/usr/bin/python3.11"
        assert root.read_text("/bin/../bin/python3") == "lower"
        assert root.readlink("/usr/bin/python3") == "/bin/python3.11"
        assert not root.exists("/escape")
        assert not root.exists("/absolute")
        with pytest.raises(UnreadableError, match="symlink-loop"):
            root.stat("/loop")
        with pytest.raises(UnreadableError, match="not-found"):
            root.stat("/usr/bin/python3/x")
        with pytest.raises(UnreadableError, match="not-found"):
            root.stat("/a\0b")


def test_special_files_are_not_opened(layers: tuple[Path, Path]) -> None:
    upper, lower = layers
    os.mkfifo(upper / "python3")
    with layered(upper, lower) as root:
        with pytest.raises(UnreadableError, match="not-a-regular-file"):
            root.open_file("/python3")
        found, skips = walked(root)
    assert found == []
    assert skips.counts == {"not-a-regular-file": 1}


def test_the_walk_yields_each_name_once_from_where_it_counts(layers: tuple[Path, Path]) -> None:
    upper, lower = layers
    for name in ("usr/bin/python3.11", "usr/bin/gone", "opt/a/python3", "opt/b/python3"):
        write(lower / name, PROGRAM, 0o755)
    write(upper / "usr/bin/python3.11", PROGRAM + b"upper", 0o755)
    write(upper / "usr/bin/.wh.gone", PROGRAM, 0o755)
    write(upper / "opt/a", b"a file now")
    (upper / "usr/bin/python3").symlink_to("python3.11")
    with layered(upper, lower) as root:
        skips = Skips()
        walk = walk_of(root, ScanSettings(), skips)
        sizes = [(one.path, one.status.st_size if one.status else None) for one in walk]
    assert sizes == [
        ("/opt/b/python3", len(PROGRAM)),
        ("/usr/bin/python3", None),
        ("/usr/bin/python3.11", len(PROGRAM) + 5),
    ]
    assert not skips
    assert walk.counts.folders == 5


def test_a_root_inside_an_image_is_one_of_its_own(layers: tuple[Path, Path]) -> None:
    upper, lower = layers
    write(lower / "srv/chroot/etc/os-release")
    write(lower / "srv/chroot/lib/ld-linux-x86-64.so.2")
    write(lower / "srv/chroot/usr/bin/python3", PROGRAM, 0o755)
    write(upper / "srv/chroot/usr/bin/.wh.python3")
    write(upper / "srv/chroot/etc/new")
    with layered(upper, lower) as root:
        assert walked(root)[0] == [(Kind.ROOT, "/srv/chroot")]
        with root.open_below("/srv/chroot") as inner:
            assert inner.name == "image:test/srv/chroot"
            assert inner.listdir("/etc") == ["new", "os-release"]
            assert inner.listdir("/usr/bin") == []


def test_it_leaves_nothing_open(layers: tuple[Path, Path]) -> None:
    upper, lower = layers
    for layer in layers:
        write(layer / "a/b/c/d")
        (layer / "a/link").symlink_to("/a/b/../b/c")
    (upper / "a/dangling").symlink_to("/no/where")
    before = open_descriptors()
    with layered(upper, lower) as root:
        for path in ("/", "/a/link/d", "/a/link", "/a/dangling", "/a/b/c/d/e", "/none", "/a/../../a/b"):
            root.exists(path)
            root.is_folder(path)
            try:
                root.listdir(path)
                root.open_below(path).close()
            except UnreadableError:
                pass
        walked(root)
        walk = iter(walk_of(root, ScanSettings(), Skips()))
        next(walk, None)
        walk.close()  # type: ignore[attr-defined]
    root.close()
    assert open_descriptors() == before


# --- against a model ------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(tuple)
ACTIONS = st.lists(st.tuples(st.sampled_from(["file", "folder", "remove", "replace"]), PATHS), min_size=0, max_size=8)
Action = tuple[str, tuple[str, ...]]
Tree = dict[tuple[str, ...], str]


def apply(tree: Tree, layer: Path, action: str, path: tuple[str, ...], number: int) -> None:
    """Change the model as a program in a container would, and a layer as an engine would write it down."""
    if any(tree.get(path[:depth]) != "folder" for depth in range(1, len(path))):
        return
    below = [one for one in tree if one[: len(path)] == path]
    target = layer.joinpath(*path)
    whiteout = target.with_name(f".wh.{path[-1]}")
    if action == "remove" and path not in tree:
        return
    if action == "folder" and path in tree:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    for one in below:
        del tree[one]
    if target.is_dir():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)
    had_whiteout = whiteout.exists()
    if action == "remove":
        whiteout.write_bytes(b"")
        return
    whiteout.unlink(missing_ok=True)
    if action == "file":
        tree[path] = f"{number}"
        target.write_text(f"{number}")
        return
    tree[path] = "folder"
    target.mkdir()
    if action == "replace" or had_whiteout:
        (target / ".wh..wh..opq").write_bytes(b"")


@given(st.lists(ACTIONS, min_size=1, max_size=4))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_layers_show_what_a_program_in_them_saw(tmp_path: Path, history: list[list[Action]]) -> None:
    shutil.rmtree(tmp_path)
    tree: Tree = {}
    folders = []
    for number, actions in enumerate(history):
        layer = tmp_path / str(number)
        layer.mkdir(parents=True)
        for action, path in actions:
            apply(tree, layer, action, path, number)
        folders.append(layer)
    with layered(*reversed(folders)) as root:
        found = {tuple(path.split("/")[1:]): what for path, what in tree_of(root)}
        assert found == tree
        found_folders = walk_of(root, ScanSettings(), Skips())
        list(found_folders)
        assert found_folders.counts.folders == 1 + sum(what == "folder" for what in tree.values())


# --- against the kernel ---------------------------------------------------------------------------------------------

CHANGES = """
set -e
mount -t overlay overlay -o "{options}lowerdir={lower},upperdir={upper},workdir={work}" {merged}
cd {merged}
{changes}
find . -mindepth 1 -printf '%P %y %s %l\\n' | sort > {listing}
cd /
umount {merged}
"""


def in_overlay(tmp_path: Path, number: int, lower: list[Path], changes: str, options: str = "") -> Path:
    """Make a layer by doing things in a real overlay over others; return the layer, and leave what was seen."""
    places = {name: tmp_path / f"{name}-{number}" for name in ("upper", "work", "merged")}
    for place in places.values():
        place.mkdir()
    script = CHANGES.format(
        options=options,
        lower=":".join(str(one) for one in lower),
        changes=changes,
        listing=tmp_path / "listing",
        **places,
    )
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no overlay here: {done.stderr.strip()}")
    return places["upper"]


def listing_of(root: Root, folder: str = "") -> Iterator[str]:
    for name in root.listdir(folder or "/"):
        path = f"{folder}/{name}"
        status = root.stat(path, follow=False)
        letter = "d" if stat.S_ISDIR(status.st_mode) else "l" if stat.S_ISLNK(status.st_mode) else "f"
        target = root.readlink(path) if letter == "l" else ""
        size = "" if letter == "d" else str(status.st_size)
        yield f"{path[1:]} {letter} {size} {target}"
        if letter == "d":
            yield from listing_of(root, path)


@pytest.mark.root
def test_the_kernels_own_overlay_shows_the_same(tmp_path: Path) -> None:
    base = tmp_path / "base"
    for name in ("usr/bin/python3", "usr/bin/perl", "opt/a/x", "opt/a/y", "opt/b/z", "etc/conf"):
        write(base / name, name.encode())
    changes = (
        "rm usr/bin/perl; rm -r opt/a; mkdir opt/a; echo new > opt/a/new; rm etc/conf; mkdir etc/conf",
        "rm -r opt/b; echo file > opt/b; ln -s ../../opt/b usr/bin/link; rm opt/a/new; echo longer >> usr/bin/python3",
        "rm -r opt; mkdir -p opt/a; touch opt/a/last; rm -r etc; touch usr/bin/perl",
    )
    layers = [base]
    for number, change in enumerate(changes):
        layers.insert(0, in_overlay(tmp_path, number, layers, change))
        with layered(*layers) as root:
            seen = sorted(
                " ".join((name, kind, "" if kind == "d" else size, target))
                for name, kind, size, target in (
                    line.split(" ") for line in (tmp_path / "listing").read_text().splitlines()
                )
            )
            assert sorted(listing_of(root)) == seen


@pytest.mark.root
def test_what_only_the_kernel_can_put_together_is_refused(tmp_path: Path) -> None:
    base = tmp_path / "base"
    write(base / "opt/tool/python3", PROGRAM, 0o755)
    write(base / "bin/python3", PROGRAM, 0o755)
    changes = "mv opt/tool opt/moved; chmod 700 bin/python3"
    upper = in_overlay(tmp_path, 0, [base], changes, "redirect_dir=on,metacopy=on,")
    with layered(upper, base) as root:
        with pytest.raises(UnreadableError, match="overlay-redirect"):
            root.stat("/opt/moved/python3")
        with pytest.raises(UnreadableError, match="overlay-metacopy"):
            root.open_file("/bin/python3")
        _, skips = walked(root)
    assert skips.counts == {"overlay-redirect": 1}


@pytest.mark.root
def test_the_kernels_whiteout_is_nothing(tmp_path: Path) -> None:
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    upper.mkdir()
    write(lower / "python3", PROGRAM, 0o755)
    os.mknod(upper / "python3", stat.S_IFCHR, os.makedev(0, 0))
    descriptors = [os.open(folder, os.O_RDONLY | os.O_DIRECTORY) for folder in (upper, lower)]
    with pytest.raises(FileNotFoundError):
        enter(descriptors, "python3")
    with LayeredRoot("image:test", descriptors) as root:
        found, skips = walked(root)
    assert found == []
    assert not skips
