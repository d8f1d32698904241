"""rpm's headers: what a writer puts in comes out, and nothing but the documented error for anything else."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.agent.errors import UnreadableError
from libcensus.agent.packages import rpm_header as tags
from libcensus.agent.packages.rpm import package_of_header
from libcensus.agent.packages.rpm_header import parse_rpm_header
from libcensus.facts.validation import InvalidFactError
from tests.agent.packages.sources import write_header

TEXT = st.binary(max_size=40).filter(lambda text: b"\0" not in text)


@given(
    names=st.lists(TEXT, min_size=1, max_size=20),
    numbers=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=20),
    name=TEXT,
)
def test_values_come_out_as_they_went_in(names: list[bytes], numbers: list[int], name: bytes) -> None:
    header = parse_rpm_header(
        write_header({tags.NAME: name, tags.BASE_NAMES: names, tags.DIR_INDEXES: numbers, tags.VENDOR: b"v"})
    )
    assert header.raw_strings(tags.NAME) == [name]
    assert header.raw_strings(tags.BASE_NAMES) == names
    assert header.numbers(tags.DIR_INDEXES) == tuple(numbers)
    assert header.text(tags.VENDOR) == "v"
    assert header.text(tags.RELEASE) == ""


WANTED = {b"/usr/bin/": {b"python3": "/usr/bin/python3"}, b"/lib64/": {b"libc.so.6": "/usr/lib64/libc.so.6"}}


@given(blob=st.binary(max_size=400))
def test_arbitrary_bytes_raise_the_documented_error_alone(blob: bytes) -> None:
    try:
        header = parse_rpm_header(blob)
    except UnreadableError:
        return
    header.owned(WANTED)


HEADER = write_header(
    {
        tags.NAME: b"python3",
        tags.VERSION: b"3.11.4",
        tags.RELEASE: b"1",
        tags.EPOCH: [2],
        tags.ARCH: b"x86_64",
        tags.VENDOR: b"Fedora Project",
        tags.SOURCE_RPM: b"python3.11-3.11.4-1.src.rpm",
        tags.BASE_NAMES: [b"python3", b"libc.so.6", b"other"],
        tags.DIR_NAMES: [b"/usr/bin/", b"/lib64/"],
        tags.DIR_INDEXES: [0, 1, 1],
        tags.CHANGELOG_TIME: [1, 2],
        tags.CHANGELOG_NAME: [b"a", b"b"],
        tags.CHANGELOG_TEXT: [b"c", b"d"],
    }
)


@given(data=st.data())
def test_damaged_header_raises_the_documented_error_alone(data: st.DataObject) -> None:
    blob = bytearray(HEADER)
    for _ in range(data.draw(st.integers(1, 6))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    try:
        header = parse_rpm_header(bytes(blob[: data.draw(st.integers(0, len(blob)))]))
    except UnreadableError:
        return
    header.owned(WANTED)
    header.folders()
    try:
        package_of_header(header, ("fedora",))
    except InvalidFactError:
        return


def test_absurd_counts_cost_no_memory() -> None:
    entry = struct.pack(">iIii", tags.BASE_NAMES, 8, 0, 2**31 - 1)
    with pytest.raises(UnreadableError, match="values of tag"):
        parse_rpm_header(struct.pack(">II", 1, 4) + entry + b"a\0b\0")


@pytest.mark.parametrize(
    ("states", "owned"),
    [
        pytest.param(None, ["/usr/bin/python3", "/usr/lib64/libc.so.6"], id="not recorded"),
        pytest.param(b"\0\0\0", ["/usr/bin/python3", "/usr/lib64/libc.so.6"], id="all installed"),
        pytest.param(b"\1\0\0", ["/usr/lib64/libc.so.6"], id="replaced by another package's"),
        pytest.param(b"\0\2\0", ["/usr/bin/python3"], id="left out"),
        pytest.param(b"\3\4\0", ["/usr/bin/python3"], id="shared over the network; of the wrong colour"),
    ],
)
def test_file_that_was_not_installed_is_not_owned(states: bytes | None, owned: list[str]) -> None:
    values: dict[int, Any] = {
        tags.BASE_NAMES: [b"python3", b"libc.so.6", b"other"],
        tags.DIR_NAMES: [b"/usr/bin/", b"/lib64/"],
        tags.DIR_INDEXES: [0, 1, 1],
    }
    if states is not None:
        values[tags.FILE_STATES] = states
    assert parse_rpm_header(write_header(values)).owned(WANTED) == owned


def test_old_headers_keep_whole_names() -> None:
    header = parse_rpm_header(write_header({tags.OLD_FILE_NAMES: [b"/usr/bin/python3", b"/else"]}))
    assert header.owned(WANTED) == ["/usr/bin/python3"]
    assert sorted(header.folders()) == [b"/", b"/usr/bin/"]


@pytest.mark.parametrize(
    ("source_rpm", "source", "source_version"),
    [
        pytest.param(b"python3.11-3.11.4-1.src.rpm", "python3.11", "2:3.11.4-1", id="same version: same epoch"),
        pytest.param(b"a-b-1.0-2.el9.src.rpm", "a-b", "1.0-2.el9", id="other version: its epoch is not told"),
        pytest.param(b"a-1-2.nosrc.rpm", "a", "1-2", id="source without its sources"),
        pytest.param(b"(none)", "python3", "2:3.11.4-1", id="no source named"),
    ],
)
def test_source_of_a_package(source_rpm: bytes, source: str, source_version: str) -> None:
    blob = write_header(
        {
            tags.NAME: b"python3",
            tags.VERSION: b"3.11.4",
            tags.RELEASE: b"1",
            tags.EPOCH: [2],
            tags.SOURCE_RPM: source_rpm,
        }
    )
    package = package_of_header(parse_rpm_header(blob), ())
    assert (package.version, package.source, package.source_version) == ("2:3.11.4-1", source, source_version)
