"""The decompressor agrees with the reference's tool, and ends in its own error for everything that is damaged."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.agent import zstandard
from libcensus.agent.zstandard import MAGIC, ZstandardError, decompress_frame, decompress_frames

needs_zstd = pytest.mark.skipif(shutil.which("zstd") is None, reason="zstd is not installed")

SEEDED = random.Random(20260127)  # noqa: S311 - the same bytes in every run
CONTENTS = {
    "nothing": b"",
    "one byte": b"a",
    "one word again and again": b"OpenSSL 3.5.4 30 Sep 2025" * 4000,
    "zeros": bytes(700_000),
    "noise": SEEDED.randbytes(300_000),
    "two letters": bytes(SEEDED.choice(b"ab") for _ in range(100_000)),
    "falling frequencies": bytes(min(255, int(SEEDED.expovariate(0.05))) for _ in range(200_000)),
    "a program": Path("/proc/self/exe").read_bytes()[:400_000],
    "a text": "\n".join(f'{{"build":"2026{n % 12:02}{n % 28:02}","sha":"{n * n:x}"}}' for n in range(8_000)).encode(),
}
LEVELS = ["--fast=5", "-1", "-3", "-9", "-19", "--ultra -22", "-3 --no-check", "-3 --no-content-size"]


def compress(content: bytes, *options: str) -> bytes:
    command = ["zstd", "--quiet", "--stdout", *options]
    return subprocess.run(command, input=content, check=True, capture_output=True).stdout


def decompress(data: bytes, limit: int = 1 << 24) -> bytes:
    return b"".join(decompress_frame(data, limit=limit))


@needs_zstd
@pytest.mark.parametrize("options", LEVELS)
@pytest.mark.parametrize("name", CONTENTS)
def test_agrees_with_the_reference(name: str, options: str) -> None:
    assert decompress(compress(CONTENTS[name], *options.split()) + b"what follows") == CONTENTS[name]


@needs_zstd
def test_frame_with_its_size_in_the_header(tmp_path: Path) -> None:
    for size in (3, 300, 70_000):
        source = tmp_path / f"{size}"
        source.write_bytes(CONTENTS["a text"][:size])
        subprocess.run(["zstd", "--quiet", str(source)], check=True)
        assert decompress(source.with_name(f"{size}.zst").read_bytes()) == source.read_bytes()


@needs_zstd
def test_blocks_come_one_by_one() -> None:
    blocks = decompress_frame(compress(CONTENTS["a text"]), limit=1 << 24)
    first = next(blocks)
    assert CONTENTS["a text"].startswith(first)
    assert 0 < len(first) <= 128 << 10


STORED = MAGIC + bytes.fromhex("2003 190000") + b"abc"
CHECKED = MAGIC + bytes.fromhex("2403 190000") + b"xyz" + bytes(4)
SKIPPABLE = bytes.fromhex("502a4d18 05000000") + b"notes"


@pytest.mark.parametrize(
    ("data", "content"),
    [
        (b"", b""),
        (STORED, b"abc"),
        (STORED + STORED, b"abcabc"),
        (CHECKED + STORED, b"xyzabc"),
        (SKIPPABLE + STORED + SKIPPABLE + CHECKED + SKIPPABLE, b"abcxyz"),
    ],
)
def test_a_file_is_all_its_frames(data: bytes, content: bytes) -> None:
    assert b"".join(decompress_frames(data, limit=len(content))) == content
    if content:
        with pytest.raises(ZstandardError, match="more than"):
            list(decompress_frames(data, limit=len(content) - 1))


@pytest.mark.parametrize("data", [STORED + b"rest", STORED + SKIPPABLE[:6], STORED[:-1], b"text"])
def test_what_is_no_frame_behind_another_is_refused(data: bytes) -> None:
    with pytest.raises(ZstandardError):
        list(decompress_frames(data, limit=100))


def test_a_window_as_large_as_the_caller_allows_is_kept() -> None:
    """A copy from 9 MiB back, as the reference's level 22 makes them: one sequence in a block by itself."""
    content = SEEDED.randbytes(9 << 20)
    blocks = [content[at : at + (128 << 10)] for at in range(0, len(content), 128 << 10)]
    # A window of 16 MiB. No literals; one sequence of repeated codes: length 0, offset 2**23 and 23 bits, match of 3.
    data = MAGIC + bytes([0x00, (24 - 10) << 3])
    data += b"".join((len(block) << 3).to_bytes(3, "little") + block for block in blocks)
    copy = bytes([0x00, 0x01, 0x54, 0, 23, 0]) + (1 << 23 | (9 << 20) + 3 - (1 << 23)).to_bytes(3, "little")
    data += (len(copy) << 3 | 2 << 1 | 1).to_bytes(3, "little") + copy
    assert b"".join(decompress_frames(data, limit=10 << 20, window=16 << 20)) == content + content[:3]
    with pytest.raises(ZstandardError, match="copies what is not there"):
        list(decompress_frames(data, limit=10 << 20, window=1 << 20))


@needs_zstd
def test_content_beyond_the_limit_is_refused() -> None:
    with pytest.raises(ZstandardError, match="more than 1000 bytes"):
        decompress(compress(CONTENTS["zeros"]), limit=1000)


@needs_zstd
def test_copies_from_beyond_the_window_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = CONTENTS["noise"]
    frame = compress(noise + noise, "-19")
    assert decompress(frame) == noise + noise
    monkeypatch.setattr(zstandard, "MAX_WINDOW", 200_000)
    with pytest.raises(ZstandardError, match="copies what is not there"):
        decompress(frame)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"PK\x03\x04 and more", id="another format"),
        pytest.param(MAGIC, id="magic alone"),
        pytest.param(MAGIC + b"\x00\x00", id="no block"),
        pytest.param(MAGIC + b"\x08\x00\x01\x00\x00", id="reserved bit"),
        pytest.param(MAGIC + b"\x01\x00\x07\x01\x00\x00", id="a dictionary"),
        pytest.param(MAGIC + b"\x00\x00\x07\x00\x00", id="reserved kind of block"),
        pytest.param(MAGIC + b"\x00\x00\xff\xff\xff", id="block of eight million bytes"),
    ],
)
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(ZstandardError):
        decompress(data)


@pytest.fixture(scope="module")
def frame() -> bytes:
    """A frame with compressed literals and sequences."""
    if shutil.which("zstd") is None:
        pytest.skip("zstd is not installed")
    return compress(CONTENTS["a text"][:50_000] + CONTENTS["falling frequencies"][:20_000], "-19")


@given(data=st.data())
def test_a_damaged_frame_ends_in_an_error_or_in_bounded_content(frame: bytes, data: st.DataObject) -> None:
    damaged = bytearray(frame)
    reach = data.draw(st.sampled_from([64, 512, len(frame)]))
    for at in data.draw(st.lists(st.integers(0, reach - 1), min_size=1, max_size=4)):
        damaged[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(damaged)), st.integers(0, len(damaged))))
    try:
        content = decompress(bytes(damaged[:cut]), limit=1 << 20)
    except ZstandardError:
        return
    assert len(content) <= 1 << 20


@given(st.binary(max_size=400))
def test_noise_behind_the_magic_ends_in_an_error_or_in_bounded_content(noise: bytes) -> None:
    try:
        content = decompress(MAGIC + noise, limit=1 << 20)
    except ZstandardError:
        return
    assert len(content) <= 1 << 20
