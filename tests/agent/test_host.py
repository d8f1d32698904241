"""The rooted helper: nothing outside is reached, nothing but regular files is opened, change is noticed."""

from __future__ import annotations

import os
import socket
import string
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.agent.errors import UnreadableError, UsageError
from libcensus.agent.host import MAX_LINKS, Root, RootedFile, has_invalid_bytes, shown
from tests.agent.roots import as_nobody

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("outside")
    top = tmp_path / "root"
    (top / "usr/lib").mkdir(parents=True)
    (top / "usr/lib/file").write_text("inside")
    (top / "secret").write_text("the root's own")
    (top / "lib").symlink_to("usr/lib")
    (top / "absolute").symlink_to("/usr/lib/file")
    (top / "climbing").symlink_to("../../../../../../secret")
    (top / "usr/lib/up").symlink_to("../../secret")
    (top / "out").symlink_to(outside)
    (top / "loop").symlink_to("loop")
    (top / "left").symlink_to("right")
    (top / "right").symlink_to("left")
    (top / "dangling").symlink_to("/nowhere")
    return top


@pytest.mark.parametrize(
    ("path", "text"),
    [
        pytest.param("/usr/lib/file", "inside", id="plain"),
        pytest.param("usr/lib/file", "inside", id="without leading slash"),
        pytest.param("//usr/./lib//file", "inside", id="doubled slashes and dots"),
        pytest.param("/lib/file", "inside", id="through a link to a folder"),
        pytest.param("/absolute", "inside", id="absolute link is resolved inside"),
        pytest.param("/climbing", "the root's own", id="climbing link stops at the root"),
        pytest.param("/../../secret", "the root's own", id="climbing path stops at the root"),
        pytest.param("/lib/up", "the root's own", id="dots go to the real parent of a linked folder"),
        pytest.param("/lib/../../secret", "the root's own", id="dots after a link follow the real folder"),
    ],
)
def test_paths_resolve_inside_the_root(tree: Path, path: str, text: str) -> None:
    with Root.open(str(tree)) as root:
        assert root.read_text(path) == text


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        pytest.param("/out/secret", "not-found", id="absolute link to outside"),
        pytest.param("/loop", "symlink-loop", id="link to itself"),
        pytest.param("/left", "symlink-loop", id="two links in a circle"),
        pytest.param("/loop/below", "symlink-loop", id="below a circle"),
        pytest.param("/dangling", "not-found", id="dangling link"),
        pytest.param("/nothing", "not-found", id="absent"),
        pytest.param("/secret/below", "not-found", id="below a file"),
        pytest.param("/usr", "not-a-regular-file", id="folder"),
        pytest.param("/usr/\0", "not-found", id="NUL byte"),
        pytest.param("/" + "n" * 300, "name-too-long", id="long name"),
    ],
)
def test_what_cannot_be_opened_says_why(tree: Path, path: str, reason: str) -> None:
    with Root.open(str(tree)) as root, pytest.raises(UnreadableError) as caught:
        root.open_file(path)
    assert caught.value.reason == reason


def test_as_many_links_as_the_kernel_follows_are_followed_and_one_more_is_not(tmp_path: Path) -> None:
    (tmp_path / "0").write_text("end")
    for number in range(1, MAX_LINKS + 2):
        (tmp_path / str(number)).symlink_to(str(number - 1))
    with Root.open(str(tmp_path)) as root:
        assert root.read_text(f"/{MAX_LINKS}") == "end"
        with pytest.raises(UnreadableError, match="symlink-loop"):
            root.read_text(f"/{MAX_LINKS + 1}")


def test_special_files_are_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        with Root.open(str(tmp_path)) as root:
            for name, words in (("fifo", "a FIFO"), ("socket", "a socket")):
                with pytest.raises(UnreadableError, match=words) as caught:
                    root.open_file(f"/{name}")
                assert caught.value.reason == "not-a-regular-file"


def test_device_is_never_opened() -> None:
    with Root.open("/") as root, pytest.raises(UnreadableError, match="a character device"):
        root.open_file("/dev/null")


def test_barred_mounts_are_not_entered_even_through_links(tree: Path) -> None:
    with Root.open(str(tree)) as root:
        root.bar(["/usr/lib"])
        for path in ("/usr/lib/file", "/lib/file", "/absolute"):
            with pytest.raises(UnreadableError) as caught:
                root.open_file(path)
            assert caught.value.reason == "foreign-mount"


def test_status_listing_and_links(tree: Path) -> None:
    with Root.open(str(tree)) as root:
        assert root.listdir("/lib") == ["file", "up"]
        assert root.readlink("/absolute") == "/usr/lib/file"
        assert root.realpath("/lib/up") == "/secret"
        assert root.realpath("/") == "/"
        assert root.is_folder("/lib")
        assert not root.is_file("/lib")
        assert root.is_file("/absolute")
        assert root.exists("/absolute")
        assert not root.exists("/dangling")
        assert root.stat("/absolute").st_size == len("inside")
        with pytest.raises(UnreadableError, match="not-a-link"):
            root.readlink("/secret")


def test_file_replaced_by_a_link_is_not_followed_outside(tree: Path) -> None:
    with Root.open(str(tree)) as root:
        file = root.open_file("/secret")
        (tree / "secret").unlink()
        (tree / "secret").symlink_to(tree.parent / "outside/secret")
        assert file.read_at(0, 100) == b"the root's own"
        file.close()
        with pytest.raises(UnreadableError, match="not-found"):
            root.open_file("/secret")


def test_file_that_changes_once_is_read_again(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    seen: list[bytes] = []

    def read(file: RootedFile) -> bytes:
        data = file.read_at(0, 100)
        seen.append(data)
        if len(seen) == 1:
            target.write_text("newer")
        return data

    with Root.open(str(tmp_path)) as root:
        assert root.examine("/file", read) == b"newer"
    assert seen == [b"old", b"newer"]


@pytest.mark.parametrize("raises", [False, True], ids=["reader returns", "reader stumbles"])
def test_file_that_changes_again_is_a_skip(tmp_path: Path, raises: bool) -> None:
    target = tmp_path / "file"
    target.write_text("x")

    def read(file: RootedFile) -> bytes:
        with target.open("a") as out:
            out.write("more")
        if raises:
            raise UnreadableError("truncated", "half of a table")
        return file.read_at(0, 100)

    with Root.open(str(tmp_path)) as root, pytest.raises(UnreadableError) as caught:
        root.examine("/file", read)
    assert caught.value.reason == "changed-while-read"


@pytest.mark.parametrize("is_stable", [True, False], ids=["reads the same", "reads something else"])
def test_a_file_whose_hard_links_come_and_go_is_read_when_it_reads_the_same_twice(
    tmp_path: Path, is_stable: bool
) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"x")
    seen: list[bytes] = []

    def read(file: RootedFile) -> bytes:
        link = tmp_path / f"link{len(seen)}"
        while not file.has_changed():
            # A clock may be too coarse to tell the first of them.
            os.link(target, link)
            link.unlink()
        seen.append(file.read_at(0, 100) if is_stable else str(len(seen)).encode())
        return seen[-1]

    with Root.open(str(tmp_path)) as root:
        if is_stable:
            assert root.examine("/file", read) == b"x"
        else:
            with pytest.raises(UnreadableError) as caught:
                root.examine("/file", read)
            assert caught.value.reason == "changed-while-read"
    assert len(seen) == 2


def test_error_about_an_unchanged_file_is_the_readers_own(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    def read(file: RootedFile) -> bytes:
        raise UnreadableError("truncated", "half of a table")

    with Root.open(str(tmp_path)) as root, pytest.raises(UnreadableError, match="truncated"):
        root.examine("/file", read)


def test_too_large_text_is_refused_with_both_numbers(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.truncate(1 << 40)
    with Root.open(str(tmp_path)) as root, pytest.raises(UnreadableError, match=rf"{1 << 40} bytes; at most 100"):
        root.read_bytes("/file", 100)


def test_unreadable_file_names_the_remedy(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("x")
    target.chmod(0)
    with Root.open(str(tmp_path)) as root, as_nobody(), pytest.raises(UnreadableError, match="CAP_DAC_READ_SEARCH"):
        root.open_file("/file")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        pytest.param("file", "is not a folder", id="file"),
        pytest.param("absent", "No such file", id="absent"),
    ],
)
def test_root_that_is_no_folder_is_a_usage_error(tmp_path: Path, path: str, words: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=words):
        Root.open(str(tmp_path / path))


def test_own_root_is_known_by_what_it_is(tmp_path: Path) -> None:
    with Root.open("/") as own, Root.open(str(tmp_path)) as foreign:
        assert own.is_own
        assert own.name == "/"
        assert not foreign.is_own
        assert foreign.name == str(tmp_path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param(b"plain", "plain", id="plain"),
        pytest.param("schön".encode(), "schön", id="UTF-8"),
        pytest.param(b"bad\xff\xfename", "bad\\xff\\xfename", id="invalid UTF-8"),
        pytest.param(b"new\nline\x1b[31m", "new\\x0aline\\x1b[31m", id="control characters"),
        pytest.param("a\u2028b".encode(), "a\\xe2\\x80\\xa8b", id="line separator"),
    ],
)
def test_names_are_shown_with_escapes(name: bytes, expected: str) -> None:
    assert shown(os.fsdecode(name)) == expected


@given(st.binary(max_size=64))
def test_shown_names_fit_in_facts_and_on_one_line(raw: bytes) -> None:
    name = os.fsdecode(raw)
    text = shown(name)
    assert text.encode("utf-8", "strict").decode() == text
    assert len(text.splitlines()) <= 1
    assert not any(character in text for character in "\x00\x1b\x7f")
    if has_invalid_bytes(name):
        assert "\\x" in text


@given(st.text(alphabet=string.ascii_letters + string.digits + "/._-+", max_size=64))
def test_usual_names_are_shown_as_they_are(name: str) -> None:
    assert shown(name) == name


@given(
    data=st.binary(max_size=5000),
    offset=st.integers(min_value=-10, max_value=6000),
    size=st.integers(min_value=-10, max_value=6000),
)
def test_reads_agree_with_the_bytes(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, offset: int, size: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / "reads"
    folder.mkdir(exist_ok=True)
    (folder / "file").write_bytes(data)
    with Root.open(str(folder)) as root, root.open_file("/file") as file:
        assert file.size == len(data)
        assert file.read_at(offset, size) == (data[offset : offset + size] if offset >= 0 and size > 0 else b"")
        assert b"".join(file.chunks(7)) == data
