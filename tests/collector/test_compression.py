"""gzip in parts that are kept: any reader unpacks it, and what is the same is not compressed twice."""

from __future__ import annotations

import gzip
import io
import subprocess
import zlib
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from libcensus.collector.compression import KEPT_BYTES, GzipMemory

if TYPE_CHECKING:
    import pytest

LARGE = tuple(f'metric{{host="{number}"}} {number}\n'.encode() * 2000 for number in range(6))

PIECES = st.lists(
    st.one_of(st.binary(max_size=40), st.sampled_from(LARGE), st.just(b"x" * KEPT_BYTES)), max_size=12
).map(tuple)


def packed(memory: GzipMemory, pieces: tuple[bytes, ...]) -> bytes:
    return b"".join(memory.compress(pieces))


@given(st.lists(PIECES, min_size=1, max_size=4))
def test_every_page_is_one_member_that_unpacks_to_its_pieces(pages: list[tuple[bytes, ...]]) -> None:
    memory = GzipMemory()
    for pieces in pages:
        member = packed(memory, pieces)
        # One member and nothing after it: some readers take only the first.
        unpacker = zlib.decompressobj(wbits=31)
        assert unpacker.decompress(member) == b"".join(pieces)
        assert unpacker.eof
        assert unpacker.unused_data == b""
        assert gzip.decompress(member) == b"".join(pieces)


def test_gzip_itself_finds_nothing_wrong() -> None:
    member = packed(GzipMemory(), (b"head\n", *LARGE, b"end\n"))
    done = subprocess.run(["gzip", "-dc"], input=member, capture_output=True, check=True)
    assert done.stdout == b"".join((b"head\n", *LARGE, b"end\n"))
    assert done.stderr == b""


def test_the_same_page_is_the_same_bytes_whatever_came_before() -> None:
    memory = GzipMemory()
    first = packed(memory, (*LARGE, b"small"))
    packed(memory, (LARGE[3],))
    assert packed(memory, (*LARGE, b"small")) == first == packed(GzipMemory(), (*LARGE, b"small"))


def test_what_was_compressed_is_not_compressed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    compressobj = zlib.compressobj

    def counting(level: int, method: int, window: int) -> object:
        made.append(1)
        return compressobj(level, method, window)

    monkeypatch.setattr(zlib, "compressobj", counting)
    memory = GzipMemory()
    packed(memory, LARGE)
    assert len(made) == len(LARGE)
    made.clear()
    packed(memory, (*LARGE[:2], LARGE[2] + b"new 1\n", *LARGE[3:], b"small"))
    assert len(made) == 2
    # A page without large pieces, such as one for a person, makes nothing forgotten.
    packed(memory, (b"a page",))
    made.clear()
    packed(memory, LARGE[3:])
    assert made == []


def test_it_is_about_as_small_as_in_one() -> None:
    whole = b"".join(LARGE)
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1) as file:
        file.write(whole)
    assert len(packed(GzipMemory(), LARGE)) < 2 * len(buffer.getvalue())
