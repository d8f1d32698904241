"""bbolt databases: a real one of containerd, what the format allows beside it, and damage of every kind."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libcensus.agent.errors import UnreadableError
from libcensus.agent.images.bolt import Bolt, Bucket, fnv_1a
from tests.agent.images.records import unpack

PAGE = 4096


class Bytes:
    """A source in memory."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)

    def read_at(self, offset: int, size: int) -> bytes:
        return self.data[offset : offset + size] if offset >= 0 else b""


@pytest.fixture(scope="module")
def metadata(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    store = unpack("containerd", tmp_path_factory.mktemp("store") / "containerd-store")
    return (store / "io.containerd.metadata.v1.bolt/meta.db").read_bytes()


def everything(bucket: Bucket, depth: int = 0) -> dict[bytes, object]:
    found: dict[bytes, object] = dict(bucket.values())
    if depth < 12:
        found |= {key: everything(inner, depth + 1) for key, inner in bucket.buckets()}
    return found


def test_a_real_database(metadata: bytes) -> None:
    root = Bolt(Bytes(metadata)).root
    default = root.bucket(b"v1", b"default")
    assert default is not None
    images = default.bucket(b"images")
    assert images is not None
    assert [key for key, _ in images.buckets()] == [b"example.test/tiny:1.0"]
    target = images.bucket(b"example.test/tiny:1.0", b"target")
    assert target is not None
    assert (target.get(b"digest") or b"").startswith(b"sha256:")
    assert target.get(b"no such key") is None
    assert root.get(b"v1") is None
    assert root.bucket(b"v1", b"version") is None
    assert root.bucket(b"v2") is None
    assert default.bucket(b"containers", b"tinyone", b"labels") is not None
    everything(root)


# --- a writer of the same format, for trees of any size ---------------------------------------------------------------


def leaf(entries: list[tuple[bytes, bytes, bool]], number: int = 0, overflow: int = 0) -> bytes:
    head, body = b"", b""
    for at, (key, value, is_bucket) in enumerate(entries):
        position = (len(entries) - at) * 16 + len(body)
        head += struct.pack("<IIII", int(is_bucket), position, len(key), len(value))
        body += key + value
    return struct.pack("<QHHI", number, 2, len(entries), overflow) + head + body


def branch(children: list[tuple[bytes, int]], number: int) -> bytes:
    head, body = b"", b""
    for at, (key, page) in enumerate(children):
        head += struct.pack("<IIQ", (len(children) - at) * 16 + len(body), len(key), page)
        body += key
    return struct.pack("<QHHI", number, 1, len(children), 0) + head + body


def meta(number: int, root: int, transaction: int, page_size: int = PAGE) -> bytes:
    body = struct.pack("<IIIIQQQQQ", 0xED0CDAED, 2, page_size, 0, root, 0, 2, 99, transaction)
    return struct.pack("<QHHI", number, 4, 0, 0) + body + struct.pack("<Q", fnv_1a(body))


def database(*pages: bytes, root: int = 2, metas: tuple[bytes, bytes] | None = None) -> Bytes:
    first, second = metas or (meta(0, root, 1), meta(1, root, 2))
    return Bytes(b"".join(page.ljust(-(-len(page) // PAGE) * PAGE, b"\0") for page in (first, second, *pages)))


@given(st.dictionaries(st.binary(min_size=1, max_size=40), st.binary(max_size=200), max_size=120), st.integers(1, 40))
@settings(deadline=None)
def test_trees_are_read_as_written(content: dict[bytes, bytes], width: int) -> None:
    entries = [(key, content[key], False) for key in sorted(content)]
    groups = [entries[at : at + width] for at in range(0, len(entries), width)] or [[]]
    pages, children, number = [], [], 3
    for group in groups:
        raw = leaf(group, number)
        extra = -(-len(raw) // PAGE) - 1
        pages.append(leaf(group, number, extra))
        children.append((group[0][0] if group else b"", number))
        number += extra + 1
    top = branch(children, 2)
    if len(top) > PAGE:
        return
    root = Bolt(database(top, *pages)).root
    assert dict(root.values()) == content
    assert [key for key, _ in root.values()] == sorted(content)
    for key, value in content.items():
        assert root.get(key) == value
    assert root.get(b"\xff" * 41) is None
    assert root.get(b"") is None


def test_inline_buckets_and_buckets_of_their_own_pages() -> None:
    inline = struct.pack("<QQ", 0, 7) + leaf([(b"a", b"1", False)])
    paged = struct.pack("<QQ", 3, 7)
    root = Bolt(database(leaf([(b"inline", inline, True), (b"paged", paged, True)]), leaf([(b"b", b"2", False)]))).root
    assert everything(root) == {b"inline": {b"a": b"1"}, b"paged": {b"b": b"2"}}


def test_the_newer_whole_meta_page_counts() -> None:
    old, new = leaf([(b"old", b"", False)]), leaf([(b"new", b"", False)])
    whole = database(old, new, metas=(meta(0, 3, 9), meta(1, 2, 8)))
    assert dict(Bolt(whole).root.values()) == {b"new": b""}
    torn = meta(0, 3, 9)[:-1] + b"\0"
    assert dict(Bolt(database(old, new, metas=(torn, meta(1, 2, 8)))).root.values()) == {b"old": b""}


@pytest.mark.parametrize(
    "source",
    [
        Bytes(b""),
        Bytes(b"\x7fELF" + bytes(9000)),
        database(metas=(bytes(100), bytes(100))),
        database(root=77),
        database(struct.pack("<QHHI", 2, 2, 60000, 0)),
        database(struct.pack("<QHHI", 2, 2, 1, 2**32 - 1)),
        database(struct.pack("<QHHI", 2, 2, 1, 5000)),
        database(struct.pack("<QHHI", 2, 8, 1, 0)),
        database(struct.pack("<QHHI", 2, 2, 1, 0) + struct.pack("<IIII", 0, 2**32 - 1, 9, 9)),
        database(branch([(b"", 2)], 2)),
        database(branch([(b"", 3)] * 200, 2), branch([(b"", 3)] * 200, 3)),
        database(leaf([(b"x", b"short", True)])),
        database(leaf([(b"x", struct.pack("<QQ", 2**63, 0), True)])),
        database(metas=(meta(0, 2, 1, 3), meta(1, 2, 2, 1 << 30))),
    ],
)
def test_what_contradicts_the_format_is_refused(source: Bytes) -> None:
    with pytest.raises(UnreadableError, match="damaged-record"):
        everything(Bolt(source).root)


def test_a_lookup_in_a_circle_ends() -> None:
    with pytest.raises(UnreadableError, match="damaged-record"):
        Bolt(database(branch([(b"", 2)], 2))).root.get(b"x")


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_no_damage_makes_it_fail_or_hang(metadata: bytes, data: st.DataObject) -> None:
    raw = bytearray(metadata)
    for _ in range(data.draw(st.integers(1, 6))):
        # Damage where something is: most of the file is empty pages.
        page = data.draw(st.integers(0, len(raw) // PAGE - 1))
        at = page * PAGE + data.draw(st.integers(0, 600))
        raw[at : at + 2] = data.draw(st.binary(min_size=2, max_size=2))
    cut = data.draw(st.sampled_from([len(raw), len(raw), len(raw) - PAGE, 9000, 100]))
    with contextlib.suppress(UnreadableError):
        everything(Bolt(Bytes(bytes(raw[:cut]))).root)
