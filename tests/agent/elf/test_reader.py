"""The reader against readelf, nm and pyelftools, and against files that are out to break it."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerDefSection, GNUVerNeedSection
from elftools.elf.sections import SymbolTableSection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libcensus.agent.elf import reader
from libcensus.agent.elf.reader import BytesSource, Elf, ElfType, read_elf
from libcensus.agent.elf.requirement import requirement_of
from libcensus.agent.errors import ElfError
from tests.agent.elf.samples import FIXTURES

if TYPE_CHECKING:
    from pathlib import Path

MACHINES = {
    "x86_64-linux-gnu": ("x86_64", 64, True, "/lib64/ld-linux-x86-64.so.2", "2.17"),
    "x86-linux-gnu": ("i386", 32, True, "/lib/ld-linux.so.2", "2.17"),
    "aarch64-linux-gnu": ("aarch64", 64, True, "/lib/ld-linux-aarch64.so.1", "2.17"),
    "arm-linux-gnueabihf": ("arm", 32, True, "/lib/ld-linux-armhf.so.3", "2.17"),
    "powerpc64le-linux-gnu": ("ppc64le", 64, True, "/lib64/ld64.so.2", "2.17"),
    "powerpc-linux-musleabihf": ("ppc", 32, False, "/lib/ld-musl-powerpc.so.1", None),
    "s390x-linux-gnu": ("s390x", 64, False, "/lib/ld64.so.1", "2.17"),
    "riscv64-linux-gnu": ("riscv64", 64, True, "/lib/ld-linux-riscv64-lp64d.so.1", "2.27"),
    "loongarch64-linux-gnu": ("loongarch64", 64, True, "/lib64/ld-linux-loongarch-lp64d.so.1", "2.36"),
    "mips-linux-gnueabihf": ("mips", 32, False, "/lib/ld.so.1", "2.17"),
    "mips64el-linux-gnuabi64": ("mips64el", 64, True, "/lib64/ld.so.1", "2.17"),
    "x86_64-linux-gnux32": ("x32", 32, True, "/libx32/ld-linux-x32.so.2", "2.17"),
    "x86_64-linux-musl": ("x86_64", 64, True, "/lib/ld-musl-x86_64.so.1", None),
    "aarch64-linux-musl": ("aarch64", 64, True, "/lib/ld-musl-aarch64.so.1", None),
}
"""What the compiler was told decides what must be read."""

DAMAGED = {
    "cut-in-identification": "truncated",
    "cut-in-header": "truncated",
    "cut-behind-header": "truncated",
    "cut-in-program-headers": "truncated",
    "cut-in-dynamic": "truncated",
    "cut-in-sections": "truncated",
    "cut-last-byte": "truncated",
    "class-0": "absurd-header",
    "class-32-of-64": "absurd-header",
    "byte-order-3": "absurd-header",
    "byte-order-swapped": "absurd-header",
    "program-headers-65534": "absurd-header",
    "program-headers-extended-without-sections": "absurd-header",
    "program-header-size-1": "absurd-header",
    "program-headers-far-away": "truncated",
    "sections-65535": "absurd-header",
    "section-header-size-0": "absurd-header",
    "sections-far-away": "truncated",
    "interpreter-4-gigabytes": "absurd-header",
    "interpreter-empty": "absurd-header",
    "dynamic-far-away": "truncated",
    "dynamic-enormous": "too-large",
    "load-beyond-end": "truncated",
    "strings-unmapped": "absurd-header",
    "strings-enormous": "absurd-header",
    "needed-outside-strings": "absurd-header",
    "symbols-unmapped": "absurd-header",
    "symbol-size-8": "absurd-header",
    "hash-unmapped": "absurd-header",
    "verneed-unmapped": "absurd-header",
    "verneed-count-enormous": "absurd-header",
    "versym-unmapped": "absurd-header",
    "verneed-next-1": "absurd-header",
    "verneed-next-far-away": "absurd-header",
    "hash-of-4-billion": "absurd-header",
    "vernaux-next-1": "absurd-header",
    "vernaux-name-outside": "absurd-header",
}


class CountingSource(BytesSource):
    """Bytes that remember how much was asked of them."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.reads = 0
        self.bytes = 0

    def read_at(self, offset: int, size: int, /) -> bytes:
        self.reads += 1
        self.bytes += size
        return super().read_at(offset, size)


def read(path: Path) -> Elf:
    return read_elf(BytesSource(path.read_bytes()))


FILES = tuple(FIXTURES / machine / name for machine in MACHINES for name in ("program", "libfixture.so.1"))


@pytest.mark.parametrize("machine", MACHINES)
def test_a_program_of_each_machine_is_read_as_it_was_built(machine: str) -> None:
    arch, bits, is_little, interpreter, glibc = MACHINES[machine]
    elf = read(FIXTURES / machine / "program")
    assert (elf.arch, elf.bits, elf.is_little_endian, elf.interpreter) == (arch, bits, is_little, interpreter)
    assert elf.runpath == "$ORIGIN/../lib:/opt/fixture"
    assert "libfixture.so.1" in elf.needed
    assert "fixture_answer" in elf.imports
    assert elf.is_executable
    assert not elf.is_static
    assert requirement_of(elf, file="program").glibc == glibc


@pytest.mark.parametrize("machine", MACHINES)
def test_a_library_of_each_machine_is_read_as_it_was_built(machine: str) -> None:
    elf = read(FIXTURES / machine / "libfixture.so.1")
    assert elf.soname == "libfixture.so.1"
    assert elf.type is ElfType.DYN
    assert elf.interpreter is None
    assert elf.defines("fixture_answer")
    assert not elf.defines("fixture_answe")
    assert not elf.defines("answer"), "the tail of a name is no symbol of its own"
    assert {"malloc", "free"} <= elf.imports


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_versions_and_symbols_agree_with_pyelftools(path: Path) -> None:
    elf = read(path)
    with path.open("rb") as stream:
        truth = ELFFile(stream)
        needs: dict[str, set[str]] = {}
        defined: set[str] = set()
        for section in truth.iter_sections():
            if isinstance(section, GNUVerNeedSection):
                for need, parts in section.iter_versions():
                    needs.setdefault(str(need.name), set()).update(part.name for part in parts)
            if isinstance(section, GNUVerDefSection):
                defined.update(
                    next(iter(parts)).name for entry, parts in section.iter_versions() if not entry["vd_flags"] & 1
                )
        symbols = truth.get_section_by_name(".dynsym")
        assert isinstance(symbols, SymbolTableSection)
        imports = {one.name for one in symbols.iter_symbols() if one["st_shndx"] == "SHN_UNDEF" and one.name}
        assert {need.soname: {v.name for v in need.versions} for need in elf.verneed} == needs
        assert set(elf.defined_versions) == defined
        assert elf.imports == imports
        assert elf.symbols is not None
        assert len(elf.symbols) == symbols.num_symbols()


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_file_without_section_headers_says_the_same(path: Path) -> None:
    data = path.read_bytes()
    elf = read_elf(BytesSource(data))
    bare = bytearray(data)
    order = "<" if elf.is_little_endian else ">"
    if elf.bits == 64:
        struct.pack_into(order + "Q", bare, 40, 0)
        struct.pack_into(order + "HHH", bare, 58, 0, 0, 0)
    else:
        struct.pack_into(order + "I", bare, 32, 0)
        struct.pack_into(order + "HHH", bare, 46, 0, 0, 0)
    stripped = read_elf(BytesSource(bytes(bare)))
    assert stripped == elf
    assert stripped.imports == elf.imports
    assert requirement_of(stripped, file="f") == requirement_of(elf, file="f")


def test_a_gnu_hash_that_names_no_symbol_hides_none(built: Path) -> None:
    data = bytearray((built / "gnu-hash").read_bytes())
    whole = read_elf(BytesSource(bytes(data)))
    assert "puts" in whole.imports
    struct.pack_into("<Q", data, 40, 0)
    struct.pack_into("<HHH", data, 58, 0, 0, 0)
    assert read_elf(BytesSource(bytes(data))).imports == whole.imports


@pytest.mark.parametrize(
    ("name", "is_pie", "is_static", "is_executable"),
    [
        ("with-runpath", True, False, True),
        ("no-pie", False, False, True),
        ("static", False, True, True),
        ("static-pie", True, True, True),
        ("libanswer.so.1", False, False, False),
    ],
)
def test_the_kind_of_program_is_told(
    built: Path, name: str, is_pie: bool, is_static: bool, is_executable: bool
) -> None:
    elf = read(built / name)
    assert (elf.is_pie, elf.is_static, elf.is_executable) == (is_pie, is_static, is_executable)


def test_rpath_and_runpath_are_told_apart(built: Path) -> None:
    assert (read(built / "with-rpath").rpath, read(built / "with-rpath").runpath) == ("$ORIGIN", None)
    assert (read(built / "with-runpath").rpath, read(built / "with-runpath").runpath) == (None, "$ORIGIN:/nowhere")


def test_the_x86_64_level_comes_from_the_note_alone(built: Path) -> None:
    assert read(built / "level-3").x86_64_level == 3
    assert read(FIXTURES / "x86_64-linux-gnu" / "program").x86_64_level is None


def test_kernel_and_build_id_agree_with_readelf(built: Path) -> None:
    notes = subprocess.run(["readelf", "-n", str(built / "no-pie")], check=True, capture_output=True, text=True).stdout
    kernel = re.search(r"ABI: ([\d.]+)", notes)
    build_id = re.search(r"Build ID: ([0-9a-f]+)", notes)
    assert kernel is not None
    assert build_id is not None
    elf = read(built / "no-pie")
    assert (elf.kernel, elf.build_id) == (kernel[1], build_id[1])


def test_a_sysv_hash_table_counts_symbols_too(built: Path) -> None:
    assert "__libc_start_main" in read(built / "sysv-hash").imports


def test_tables_that_end_behind_their_segment_in_its_last_page_are_read_as_the_loader_maps_them(built: Path) -> None:
    """patchelf left the string table of a published Perl so; the loader maps whole pages, and it runs."""
    data = bytearray((built / "libanswer.so.1").read_bytes())
    with (built / "libanswer.so.1").open("rb") as file:
        elf = ELFFile(file)
        number, first = next((n, one) for n, one in enumerate(elf.iter_segments()) if one["p_type"] == "PT_LOAD")
        strings = next(one for one in elf.iter_sections() if one.name == ".dynstr")
        assert first["p_offset"] == 0
        for field in (32, 40):
            struct.pack_into("<Q", data, elf.header["e_phoff"] + 56 * number + field, strings["sh_offset"] + 4)
    edited = built / "libedited.so.1"
    edited.write_bytes(data)
    program = "import ctypes, sys; print(ctypes.CDLL(sys.argv[1]).answer(4))"
    done = subprocess.run([sys.executable, "-c", program, str(edited)], capture_output=True, text=True, check=True)
    assert done.stdout == "4\n"
    found, whole = read_elf(BytesSource(bytes(data))), read(built / "libanswer.so.1")
    assert (found.soname, found.defines("answer")) == (whole.soname, True)


def test_an_object_file_has_no_dynamic_part(built: Path) -> None:
    elf = read(built / "object.o")
    assert elf.type is ElfType.REL
    assert not elf.has_dynamic


def test_the_companion_with_debugging_information_is_no_program(built: Path, tmp_path: Path) -> None:
    companion = tmp_path / "program.debug"
    subprocess.run(["objcopy", "--only-keep-debug", str(built / "no-pie"), str(companion)], check=True)
    with pytest.raises(ElfError) as caught:
        read(companion)
    assert caught.value.reason == "debug-only"


def test_symbols_can_be_left_out() -> None:
    elf = read_elf(BytesSource((FIXTURES / "s390x-linux-gnu" / "program").read_bytes()), symbols=False)
    assert elf.symbols is None
    assert elf.imports == frozenset()
    assert elf.verneed
    assert requirement_of(elf, file="program").raised_by == ()


@pytest.mark.parametrize("machine", MACHINES)
def test_a_large_string_table_is_read_piece_by_piece(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = (FIXTURES / machine / "program").read_bytes()
    whole = read_elf(BytesSource(data))
    monkeypatch.setattr(reader, "_STRINGS_KEPT", 16)
    pieces = read_elf(BytesSource(data))
    assert pieces == whole
    assert pieces.imports == whole.imports
    assert requirement_of(pieces, file="f") == requirement_of(whole, file="f")
    assert not pieces.defines("fixture_answer")


def test_unknown_machines_keep_their_number() -> None:
    assert reader.architecture(4711, is_64=True, is_little_endian=True) == "machine-4711"


# --- hostile files ----------------------------------------------------------------------------------------------


def test_every_damaged_copy_is_listed() -> None:
    assert {path.name for path in (FIXTURES / "damaged").iterdir()} == set(DAMAGED)


@pytest.mark.parametrize(("name", "reason"), DAMAGED.items())
def test_a_damaged_file_is_refused_with_its_reason(name: str, reason: str) -> None:
    with pytest.raises(ElfError) as caught:
        read(FIXTURES / "damaged" / name)
    assert caught.value.reason == reason, caught.value.detail
    assert caught.value.detail


@pytest.mark.parametrize("data", [b"", b"\x7f", b"#!/bin/sh\n", b"MZ" + bytes(100), bytes(64)], ids=repr)
def test_what_is_not_elf_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(ElfError) as caught:
        read_elf(BytesSource(data))
    assert caught.value.reason == "not-elf"


@pytest.mark.parametrize("machine", ["x86_64-linux-gnu", "s390x-linux-gnu", "x86-linux-gnu"])
def test_a_file_cut_anywhere_is_never_read_as_whole(machine: str) -> None:
    data = (FIXTURES / machine / "program").read_bytes()
    for length in range(len(data)):
        with pytest.raises(ElfError):
            read_elf(BytesSource(data[:length]))


def judge(data: bytes) -> CountingSource:
    """Ask everything of a file that may be damaged; only ElfError may come out."""
    source = CountingSource(data)
    try:
        elf = read_elf(source)
        requirement_of(elf, file="f")
        _ = elf.imports, elf.defines("main"), elf.defined_versions
    except ElfError as error:
        if error.reason not in {"not-elf", "truncated", "absurd-header", "too-large", "debug-only"}:
            raise
    return source


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    path=st.sampled_from(FILES),
    changes=st.lists(
        st.tuples(
            st.integers(0, 2**16), st.sampled_from(["B", "<H", "<I", "<Q", ">H", ">I"]), st.integers(0, 2**64 - 1)
        ),
        min_size=1,
        max_size=12,
    ),
)
def test_random_damage_raises_nothing_else_and_costs_little(path: Path, changes: list[tuple[int, str, int]]) -> None:
    data = bytearray(path.read_bytes())
    for at, layout, value in changes:
        size = struct.calcsize(layout)
        struct.pack_into(layout, data, at % (len(data) - size), value & (1 << 8 * size) - 1)
    source = judge(bytes(data))
    assert source.bytes <= 64 * len(data) + (1 << 20)


@settings(max_examples=300, deadline=None)
@given(
    machine=st.sampled_from(["x86_64-linux-gnu", "s390x-linux-gnu", "x86-linux-gnu"]),
    at=st.integers(0, 4000),
    value=st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]),
    length=st.integers(1, 16),
)
def test_runs_of_one_byte_raise_nothing_else(machine: str, at: int, value: int, length: int) -> None:
    data = bytearray((FIXTURES / machine / "program").read_bytes())
    at %= len(data) - length
    data[at : at + length] = bytes([value]) * length
    judge(bytes(data))


@given(data=st.binary(max_size=400))
def test_random_bytes_behind_the_magic_raise_nothing_else(data: bytes) -> None:
    judge(b"\x7fELF" + data)


def test_an_ordinary_file_costs_few_reads() -> None:
    source = judge((FIXTURES / "x86_64-linux-gnu" / "program").read_bytes())
    assert source.reads <= 12


def test_names_that_share_their_bytes_do_not_fill_the_memory() -> None:
    """A crafted table can name every tail of one long string: its names together have no bound in its size."""
    names = b"\0" + b"A" * 60_000 + b"\0"
    strings = reader._Strings(BytesSource(names), 0, len(names))
    layout = struct.Struct("<IBBHQQ")
    table = bytes(24) + b"".join(layout.pack(1 + at, 0, 0, 0, 0, 0) for at in range(60_000))
    symbols = reader.SymbolTable(strings, table, layout, b"", "<")
    with pytest.raises(ElfError) as caught:
        symbols.imports()
    assert caught.value.reason == "too-large"
