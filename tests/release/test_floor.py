"""What an artefact may need of a host, and that more is refused by name."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from release.errors import ReleaseError
from release.floor import find_problems, prove_floor

ELF = Path(__file__).parent.parent / "fixtures" / "elf" / "x86_64-linux-gnu"
ALLOWED: dict[str, Any] = {
    "arch": "x86_64",
    "files": 3,
    "sonames": ["ld-linux-x86-64.so.2", "libc.so.6", "libgcc_s.so.1", "libstdc++.so.6"],
    "symbol_versions": {
        "libc.so.6": ["GLIBC_2.2.5", "GLIBC_2.17"],
        "libstdc++.so.6": ["CXXABI_1.3.7", "GLIBCXX_3.4.19"],
        "libgcc_s.so.1": ["GCC_3.0", "GCC_4.2.0"],
    },
    "x86_64_level": None,
    "skipped": [],
}


def test_what_el_7_offers_is_allowed() -> None:
    assert list(find_problems([ALLOWED], "x86_64")) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"symbol_versions": {"libc.so.6": ["GLIBC_2.18"]}}, "GLIBC_2.18 of libc.so.6"),
        ({"symbol_versions": {"libc.so.6": ["GLIBC_PRIVATE"]}}, "GLIBC_PRIVATE of libc.so.6"),
        ({"symbol_versions": {"libc.so.6": ["GLIBC_ABI_DT_RELR"]}}, "GLIBC_ABI_DT_RELR of libc.so.6"),
        ({"symbol_versions": {"libstdc++.so.6": ["GLIBCXX_3.4.20"]}}, "GLIBCXX_3.4.20 of libstdc++.so.6"),
        ({"symbol_versions": {"libstdc++.so.6": ["CXXABI_1.3.8"]}}, "CXXABI_1.3.8 of libstdc++.so.6"),
        ({"symbol_versions": {"libz.so.1": ["ZLIB_1.2.9"]}}, "ZLIB_1.2.9 of libz.so.1"),
        ({"sonames": ["libz.so.1"]}, "libz.so.1, which is neither glibc's nor GCC's"),
        ({"x86_64_level": 2}, "x86-64-v2"),
        ({"files": 0}, "no program at all is in it"),
        ({"arch": "i386"}, "files for ['i386'], where x86_64 alone is expected"),
        (
            {"skipped": [{"path": "a.so", "reason": "truncated", "detail": None}]},
            "a.so was not read (truncated)",
        ),
    ],
)
def test_what_is_beyond_the_floor_is_named(change: dict[str, Any], problem: str) -> None:
    assert list(find_problems([copy.deepcopy(ALLOWED) | change], "x86_64")) == [problem]


def test_the_products_own_engine_decides() -> None:
    (entry,) = prove_floor(ELF / "libfixture.so.1", "x86_64")
    assert entry["glibc"] == "2.2.5"
    with pytest.raises(ReleaseError, match=r"^program needs more of a host than it may: libfixture\.so\.1, which is"):
        prove_floor(ELF / "program", "x86_64")


def test_what_cannot_be_read_proves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="cannot be told"):
        prove_floor(tmp_path / "absent", "x86_64")
