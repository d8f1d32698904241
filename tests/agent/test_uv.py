"""What a uv program's bytes tell: itself, its version, its newest build; and what its settings say."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import zipfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.agent import uv
from libcensus.agent.elf.reader import BytesSource
from libcensus.agent.errors import UnreadableError
from libcensus.agent.uv import UvSetting, build_order, read_settings, read_uv

if TYPE_CHECKING:
    from pathlib import Path

SELF = b"\0crates/uv/src/lib.rs\0UV_CACHE_DIR\0implementation0.9.0version_infoinclude-system-site-packages\0"
HELP = b"e.g., https://github.com/astral-sh/python-build-standalone/releases/download/20240713/cpython-3.12.4.tar.gz`"


def addresses(*tags: str, each: int = 10) -> bytes:
    base = "https://github.com/astral-sh/python-build-standalone/releases/download"
    return "".join(f'"url":"{base}/{tag}/cpython-{n}-x86_64.tar.gz",' for tag in tags for n in range(each)).encode()


def test_published_uv_with_a_compressed_catalogue(sample_wheels: Path) -> None:
    (wheel,) = sample_wheels.glob("uv-*.whl")
    version = wheel.name.split("-")[1]
    with zipfile.ZipFile(wheel) as archive:
        program = read_uv(BytesSource(archive.read(f"uv-{version}.data/scripts/uv")))
        other = read_uv(BytesSource(archive.read(f"uv-{version}.data/scripts/uvx")))
    assert program is not None
    assert program.version is not None
    assert program.version.text == version
    assert program.newest_build is not None
    # What `uv python list` of this very version offers.
    assert program.newest_build.text == "20261110"
    assert program.is_compressed
    assert program.addresses > 1000
    assert other is None


def test_catalogue_as_text() -> None:
    data = SELF + HELP + bytes(3 << 20) + addresses("20250918", "20251007", "20250902")
    program = read_uv(BytesSource(data))
    assert program is not None
    assert program.version is not None
    assert program.newest_build is not None
    assert (program.version.text, program.newest_build.text, program.addresses) == ("0.9.0", "20251007", 31)
    assert data[program.version.offset :].startswith(b"0.9.0")
    assert data[program.newest_build.offset :].startswith(b"python-build-standalone/releases/download/20251007/")


def test_version_between_texts_that_a_linker_aligned() -> None:
    data = b"UV_CACHE_DIR\0crates/uv/src/lib.rs\0}}0.13.9\0\0\0\0\0version_info\0\0\0\0include-system-site-packages"
    program = read_uv(BytesSource(data))
    assert program is not None
    assert program.version is not None
    assert program.version.text == "0.13.9"
    assert data[program.version.offset :].startswith(b"0.13.9")


def test_build_whose_tag_names_the_wrong_year_is_ordered_by_its_day() -> None:
    program = read_uv(BytesSource(SELF + addresses("20260320", "20250323", "20251007")))
    assert program is not None
    assert program.newest_build is not None
    assert program.newest_build.text == "20250323"
    assert sorted(["20250323", "20260325", "20260320"], key=build_order) == ["20260320", "20250323", "20260325"]


@pytest.mark.skipif(shutil.which("zstd") is None, reason="zstd is not installed")
def test_damaged_catalogue_is_said() -> None:
    catalogue = b"{" + addresses("20261110", each=3000)
    frame = subprocess.run(["zstd", "-q", "-c"], input=catalogue, check=True, capture_output=True).stdout
    whole = read_uv(BytesSource(SELF + HELP + frame))
    assert whole is not None
    assert whole.newest_build is not None
    assert (whole.newest_build.text, whole.addresses) == ("20261110", 3000)
    cut = read_uv(BytesSource(SELF + HELP + frame[: len(frame) // 2]))
    assert cut is not None
    assert cut.newest_build is None
    assert cut.unread is not None
    assert cut.unread.startswith("the compressed catalogue cannot be read")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"UV_CACHE_DIR" + addresses("20251007"), id="names a variable"),
        pytest.param(b"crates/uv/src/lib.rs" + addresses("20251007"), id="sources alone"),
        pytest.param(b"/checkouts/uv/crates/uv-client/src/lib.rs\0uv 0.9.0", id="built with uv's libraries"),
    ],
)
def test_what_is_not_uv(data: bytes) -> None:
    assert read_uv(BytesSource(data)) is None


def test_an_example_in_a_help_text_is_no_catalogue() -> None:
    program = read_uv(BytesSource(SELF + HELP))
    assert program is not None
    assert program.newest_build is None
    assert program.unread == "holds no catalogue of builds in a form that is known"


@given(cut=st.integers(1, 600), shift=st.integers(0, 700))
def test_the_result_does_not_depend_on_where_pieces_end(cut: int, shift: int) -> None:
    data = bytes(shift) + SELF + addresses("20250918", "20251007") + HELP
    expected = read_uv(BytesSource(data))
    assert expected is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uv, "_CHUNK", cut)
        assert read_uv(BytesSource(data)) == expected


@pytest.mark.parametrize(
    ("text", "is_project", "expected"),
    [
        (
            'python-downloads = "never"\npython-preference="only-system"\n[pip]\nstrict = true\n',
            False,
            [("python-downloads", "never", 1), ("python-preference", "only-system", 2)],
        ),
        ('[tool.uv]\npython-downloads = "manual"\n', True, [("python-downloads", "manual", 2)]),
        ('[tool]\nuv = {python-preference = "managed"}\n', True, [("python-preference", "managed", None)]),
        ("[tool.uv]\nmanaged = true\n", True, []),
        ('python-downloads = "never"\n', True, []),
        ("[tool.uv]\npython-downloads = true\n", True, [("python-downloads", "true", 2)]),
        ("", False, []),
    ],
)
def test_settings(text: str, is_project: bool, expected: list[tuple[str, str, int | None]]) -> None:
    found = read_settings(text.encode(), is_project=is_project)
    assert [(one.name, one.value, one.line) for one in found] == expected


def test_passwords_in_addresses_are_left_out() -> None:
    (found,) = read_settings(b'python-install-mirror = "https://me:secret@mirror.example/x"', is_project=False)
    line = 'python-install-mirror = "https://…@mirror.example/x"'
    assert found == UvSetting("python-install-mirror", "https://…@mirror.example/x", 1, line)


@pytest.mark.parametrize("content", [b"python-downloads = ", b"\xff\xfe", b"a = " + b"[" * 50_000])
def test_damaged_settings_are_said(content: bytes) -> None:
    with pytest.raises(UnreadableError, match="damaged-settings"):
        read_settings(content, is_project=False)


@given(st.binary(max_size=300))
def test_any_settings_file_is_read_or_refused(content: bytes) -> None:
    for is_project in (False, True):
        with contextlib.suppress(UnreadableError):
            read_settings(b'tool.uv."python-downloads" = 1\n' + content, is_project=is_project)
