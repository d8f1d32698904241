"""Reads bbolt databases (the format of containerd's metadata) page by page, within bounds, and never writes.

Format: https://github.com/etcd-io/bbolt (``page.go``, ``db.go``, ``bucket.go``, version 2). Two meta pages name the
root of a copy-on-write B+ tree; the newer one whose checksum is right counts, so that a database in use reads as of its
last commit. Every offset and count is checked against the file; pages that point in a circle end at the bounds.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from libcensus.agent.errors import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcensus.agent.elf.reader import Source

_MAGIC = 0xED0CDAED
_VERSION = 2
_PAGE = struct.Struct("<QHHI")
_META = struct.Struct("<IIIIQQQQQ")
_BRANCH = struct.Struct("<IIQ")
_LEAF = struct.Struct("<IIII")
_BUCKET = struct.Struct("<QQ")
_IS_BRANCH, _IS_LEAF = 0x01, 0x02
_IS_BUCKET = 0x01
_SMALLEST_PAGE = 1024
_PAGE_SIZES = 7
"""Page sizes from 1 KiB to 64 KiB: those of the machines that bbolt runs on."""

_MAX_PAGE_BYTES = 16 << 20
_MAX_PAGES = 100_000
_MAX_ELEMENTS = 1_000_000
_MAX_DEPTH = 32


class Bolt:
    """One database; ``root`` is its outermost bucket. Raises UnreadableError for anything that is no database."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._pages = self._elements = 0
        metas = [meta for number in range(_PAGE_SIZES) if (meta := self._meta(_SMALLEST_PAGE << number)) is not None]
        first = self._meta(0)
        metas += [] if first is None else [first]
        if not metas:
            raise damaged("has no meta page with a right checksum")
        self.page_size, page, _ = max(metas, key=lambda meta: meta[2])
        self.root = Bucket(self, self.page(page))

    def _meta(self, offset: int) -> tuple[int, int, int] | None:
        """Return page size, root page and transaction of a meta page; None where there is none."""
        raw = self._source.read_at(offset + _PAGE.size, _META.size + 8)
        if len(raw) < _META.size + 8:
            return None
        magic, version, page_size, _, root, _, _, _, transaction = _META.unpack_from(raw)
        checksum = int.from_bytes(raw[_META.size : _META.size + 8], "little")
        if magic != _MAGIC or version != _VERSION or checksum != fnv_1a(raw[: _META.size]):
            return None
        is_sound = page_size in {_SMALLEST_PAGE << number for number in range(_PAGE_SIZES)}
        return (page_size, root, transaction) if is_sound and offset in (0, page_size) else None

    def count(self, elements: int) -> None:
        """Count what is read, and refuse absurd amounts: pages may point in circles."""
        self._elements += elements
        if self._elements > _MAX_ELEMENTS:
            raise damaged(f"has more than {_MAX_ELEMENTS} elements to read")

    def page(self, number: int) -> bytes:
        """Return a page with those that follow it as its overflow."""
        self._pages += 1
        if self._pages > _MAX_PAGES:
            raise damaged(f"has more than {_MAX_PAGES} pages to read")
        offset = number * self.page_size
        raw = self._source.read_at(offset, self.page_size)
        if len(raw) < self.page_size:
            raise damaged(f"page {number} lies behind the end of the file")
        overflow = _PAGE.unpack_from(raw)[3]
        if not overflow:
            return raw
        size = (overflow + 1) * self.page_size
        if size > _MAX_PAGE_BYTES:
            raise damaged(f"page {number} says that it has {size} bytes")
        raw = self._source.read_at(offset, size)
        if len(raw) < size:
            raise damaged(f"page {number} reaches behind the end of the file")
        return raw


class Bucket:
    """A bucket: sorted keys, each with a value or with a bucket of its own."""

    def __init__(self, database: Bolt, top: bytes) -> None:
        self._database = database
        self._top = top

    def values(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield the keys that have a value, and their values."""
        return ((key, value) for key, value, is_bucket in self._entries(self._top, 0) if not is_bucket)

    def buckets(self) -> Iterator[tuple[bytes, Bucket]]:
        """Yield the keys that have a bucket, and their buckets."""
        return ((key, self._inner(value)) for key, value, is_bucket in self._entries(self._top, 0) if is_bucket)

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key; None where there is none."""
        found = self._find(key)
        return found[0] if found is not None and not found[1] else None

    def bucket(self, *keys: bytes) -> Bucket | None:
        """Return the bucket at a path of keys; None where there is none."""
        here = self
        for key in keys:
            found = here._find(key)
            if found is None or not found[1]:
                return None
            here = here._inner(found[0])
        return here

    def _inner(self, value: bytes) -> Bucket:
        if len(value) < _BUCKET.size:
            raise damaged("a bucket is too short for its header")
        root, _ = _BUCKET.unpack_from(value)
        # A small bucket has its only page behind its header (bucket.go: inline buckets).
        return Bucket(self._database, self._database.page(root) if root else value[_BUCKET.size :])

    def _entries(self, page: bytes, depth: int) -> Iterator[tuple[bytes, bytes, bool]]:
        flags, count = header_of(page, depth)
        self._database.count(count)
        for number in range(count):
            if flags & _IS_BRANCH:
                _, child = branch_element(page, number)
                yield from self._entries(self._database.page(child), depth + 1)
            else:
                yield leaf_element(page, number)

    def _find(self, key: bytes) -> tuple[bytes, bool] | None:
        page, depth = self._top, 0
        while True:
            flags, count = header_of(page, depth)
            self._database.count(count)
            if not flags & _IS_BRANCH:
                break
            child = None
            for number in range(count):
                first, candidate = branch_element(page, number)
                if child is not None and first > key:
                    break
                child = candidate
            if child is None:
                return None
            page, depth = self._database.page(child), depth + 1
        for number in range(count):
            name, value, is_bucket = leaf_element(page, number)
            if name == key:
                return value, is_bucket
        return None


def header_of(page: bytes, depth: int) -> tuple[int, int]:
    """Return the flags and the count of elements of a page of a tree."""
    if depth > _MAX_DEPTH:
        raise damaged(f"its tree is deeper than {_MAX_DEPTH} pages")
    if len(page) < _PAGE.size:
        raise damaged("a page is too short for its header")
    _, flags, count, _ = _PAGE.unpack_from(page)
    if not flags & (_IS_BRANCH | _IS_LEAF):
        raise damaged(f"a page of its tree has the flags {flags:#x}")
    return flags, count


def branch_element(page: bytes, number: int) -> tuple[bytes, int]:
    """Return the first key and the page of a child."""
    start = _PAGE.size + number * _BRANCH.size
    if start + _BRANCH.size > len(page):
        raise damaged("a page has more elements than room")
    position, size, child = _BRANCH.unpack_from(page, start)
    return _cut(page, start + position, size), child


def leaf_element(page: bytes, number: int) -> tuple[bytes, bytes, bool]:
    """Return key and value of an element, and whether the value is a bucket."""
    start = _PAGE.size + number * _LEAF.size
    if start + _LEAF.size > len(page):
        raise damaged("a page has more elements than room")
    flags, position, key_size, value_size = _LEAF.unpack_from(page, start)
    key = _cut(page, start + position, key_size)
    return key, _cut(page, start + position + key_size, value_size), bool(flags & _IS_BUCKET)


def _cut(page: bytes, start: int, size: int) -> bytes:
    if start + size > len(page):
        raise damaged("an element reaches behind its page")
    return page[start : start + size]


def fnv_1a(data: bytes) -> int:
    """Return the 64-bit FNV-1a hash (draft-eastlake-fnv) by which a meta page is known to be whole."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def damaged(words: str) -> UnreadableError:
    """Return the error for a database that contradicts its format."""
    return UnreadableError("damaged-record", words)
