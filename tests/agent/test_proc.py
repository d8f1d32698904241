"""The parsers of /proc: tables of what kernels write, and that no text makes them fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.agent.proc import (
    CAP_SYS_ADMIN,
    CAP_SYS_PTRACE,
    Mapping,
    Proc,
    cgroup_paths,
    has_capability,
    parse_maps,
    parse_stat,
    unit_of,
)

MAPS = rb"""559e713ef000-559e713f1000 r--p 00000000 fe:00 247026                     /usr/bin/cat
559e713f1000-559e713f6000 r-xp 00002000 fe:00 247026                     /usr/bin/cat
559e71cc2000-559e71ce3000 rw-p 00000000 00:00 0                          [heap]
7f0e01800000-7f0e018c5000 r--p 00000000 fe:00 1046384                    /usr/lib/libcrypto.so.3 (deleted)
7f0e01900000-7f0e01a00000 rw-s 00000000 00:01 2049                       /memfd:x (deleted)
7f0e01a00000-7f0e01a01000 r--p 00000000 103:05 77                        /srv/a\012b/with blank
7f0e01b00000-7f0e01b01000 rw-p 00000000 00:00 0
no mapping at all
"""


def test_maps() -> None:
    found = list(parse_maps(MAPS.splitlines(keepends=True)))
    assert found == [
        Mapping("/usr/bin/cat", os.makedev(0xFE, 0), 247026, is_deleted=False, span="559e713ef000-559e713f1000"),
        Mapping(
            "/usr/lib/libcrypto.so.3", os.makedev(0xFE, 0), 1046384, is_deleted=True, span="7f0e01800000-7f0e018c5000"
        ),
        Mapping("/memfd:x", os.makedev(0, 1), 2049, is_deleted=True, span="7f0e01900000-7f0e01a00000"),
        Mapping("/srv/a\nb/with blank", os.makedev(0x103, 5), 77, is_deleted=False, span="7f0e01a00000-7f0e01a01000"),
    ]


@given(st.lists(st.binary(max_size=200)))
def test_no_line_of_maps_makes_it_fail(lines: list[bytes]) -> None:
    for mapping in parse_maps(lines):
        assert mapping.path.startswith("/")


@given(
    st.binary(min_size=1, max_size=60).filter(lambda raw: b"\n" not in raw and b"\\" not in raw and raw.isascii()),
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(1, 2**63),
    st.booleans(),
)
def test_maps_are_read_as_written(name: bytes, major: int, minor: int, inode: int, is_deleted: bool) -> None:
    path = b"/" + name + b"x"
    line = b"0-1 r--p 0 %02x:%02x %d     %s%s\n" % (major, minor, inode, path, b" (deleted)" if is_deleted else b"")
    (found,) = parse_maps([line])
    assert (found.path, found.device, found.inode, found.is_deleted) == (
        path.decode(),
        os.makedev(major, minor),
        inode,
        is_deleted,
    )


def test_stat_of_a_name_with_parentheses() -> None:
    found = parse_stat("42 (a) R (b c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 999 12345 0\n")
    assert found is not None
    assert (found.name, found.state, found.start, found.is_program) == ("a) R (b c", "S", 999, True)


def test_threads_of_the_kernel_and_remains_are_no_programs() -> None:
    kernel = parse_stat("2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 3 0 0")
    zombie = parse_stat("9 (sh) Z 1 9 9 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 999 0 0")
    assert kernel is not None
    assert zombie is not None
    assert not kernel.is_program
    assert not zombie.is_program


@pytest.mark.parametrize("text", ["", "1", "1 (x)", ") (", "1 (x) S a b c d e f g h i j k l m n o p q r s t"])
def test_a_stat_of_another_form_is_nothing(text: str) -> None:
    assert parse_stat(text) is None


@given(st.text())
def test_no_text_makes_a_parser_fail(text: str) -> None:
    parse_stat(text)
    cgroup_paths(text)
    unit_of(text)
    has_capability(text, CAP_SYS_PTRACE)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("0::/system.slice/nginx.service\n", "nginx.service"),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-x.scope", "app-x.scope"),
        ("0::/system.slice/web.service/workers\n", "web.service"),
        ("5:cpu:/wrong.service\n1:name=systemd:/system.slice/right.service\n0::/\n", "right.service"),
        ("0::/docker/0123\n", None),
        ("0::/\n", None),
        ("", None),
    ],
)
def test_unit(text: str, unit: str | None) -> None:
    assert unit_of(text) == unit


def test_capabilities() -> None:
    assert has_capability("Name:\tx\nCapEff:\t0000000000080000\n", CAP_SYS_PTRACE)
    assert not has_capability("Name:\tx\nCapEff:\t0000000000080000\n", CAP_SYS_ADMIN)
    assert not has_capability("Name:\tx\nCapEff:\t0000000000000004\n", CAP_SYS_PTRACE)
    assert not has_capability("CapEff:\tnonsense\n", CAP_SYS_PTRACE)
    assert not Proc("/nowhere").is_capable(CAP_SYS_PTRACE)


def test_a_real_process() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True) as child:
        proc = Proc()
        stat = proc.stat(child.pid)
        assert stat is not None
        assert stat.is_program
        assert child.pid in proc.pids()
        status = Path(sys.executable).stat()
        assert (status.st_dev, status.st_ino) == (
            proc.status(child.pid, "exe").st_dev,
            proc.status(child.pid, "exe").st_ino,
        )
        child.communicate("\n")
    with pytest.raises(FileNotFoundError):
        proc.link(child.pid, "exe")
