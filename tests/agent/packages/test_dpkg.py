"""dpkg's records, damaged and hostile: each costs a skip or an owner, and nothing else."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from libcensus.agent.host import Root
from libcensus.agent.packages.database import PackageDatabase
from libcensus.agent.packages.dpkg import parse_paragraph
from libcensus.agent.probes.skips import Skips

FIELDS = st.sampled_from(
    [
        b"Package: a",
        b"Package: a\x0bb",
        b"Version: 1",
        b"Status: install ok installed",
        b"Architecture: amd64",
        b"Source: b (2)",
        b"Source: (",
        b"Maintainer: A <",
        b"Maintainer: \xff <a@debian.org>",
        b"",
        b" body",
        b":",
        b"\x1c\x85",
    ]
)
TEXTS = st.lists(st.one_of(FIELDS, st.binary(max_size=12)), max_size=14).map(b"\n".join)
NAMES = st.sampled_from(["a", "a:amd64", "a\x0bb", ":", "", "\udcff"])


@settings(deadline=None)
@given(status=TEXTS, files=st.dictionaries(NAMES, TEXTS, max_size=3), diversions=TEXTS, listed=TEXTS)
def test_any_records_are_read(status: bytes, files: dict[str, bytes], diversions: bytes, listed: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        dpkg, lists = Path(folder) / "var/lib/dpkg", Path(folder) / "var/lib/apt/lists"
        for place in (dpkg / "info", dpkg / "status.d", lists):
            place.mkdir(parents=True)
        (dpkg / "status").write_bytes(status)
        (dpkg / "diversions").write_bytes(diversions)
        (dpkg / "status.d/a").write_bytes(status)
        (dpkg / "status.d/a.md5sums").write_bytes(b"0" * 32 + b"  usr/x\n" + status)
        for name, text in files.items():
            (dpkg / f"info/{name}.list").write_bytes(b"/usr/x\n" + text)
        (lists / "m_InRelease").write_bytes(b"Origin: Debian\n" + listed)
        (lists / "m_Packages.gz").write_bytes(gzip.compress(listed))
        with Root.open(folder) as root:
            PackageDatabase(root, Skips(), ("debian",)).owners(["/usr/x", "/usr/y\udcff", "/"])


@given(text=st.text())
def test_any_paragraph_is_parsed(text: str) -> None:
    assert all(name == name.lower() for name in parse_paragraph(text) if name.isascii())


NAME = st.from_regex(r"[a-z][a-z-]{0,8}", fullmatch=True)
VALUE = st.from_regex(r"[ -~]{0,20}", fullmatch=True).map(str.strip)


@given(fields=st.dictionaries(NAME, VALUE))
def test_written_paragraphs_come_back(fields: dict[str, str]) -> None:
    assert parse_paragraph("".join(f"{name.title()}: {value}\n" for name, value in fields.items())) == fields
