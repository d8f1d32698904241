"""Reads an ELF file as ``ld.so`` does: program headers and the dynamic section, never the section names.

Why an own reader: the census reads every ELF file of a host, hostile ones too, within a budget of time and memory
(``docs/adr/0001-own-elf-reader.md``). It takes a handful of reads per file, parses whole tables at once, and bounds
every offset and count by the size of the file. It refuses, with :class:`~libcensus.agent.errors.ElfError`, whatever is
cut short or contradicts itself; it never follows a path, and never loads what it reads.

Specification: System V ABI (gABI) chapters 4 and 5; GNU symbol versioning as in the Linux Standard Base Core, section
10.7; GNU hash as in ``elf/dl-lookup.c`` of glibc; notes as in the x86-64 psABI, section 5.1.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, NoReturn, Protocol

from libcensus.agent.errors import ElfError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAGIC = b"\x7fELF"

MAX_PROGRAM_HEADERS = 65_536
"""Program headers that are read; the field ``e_phnum`` holds no more without extended numbering."""

MAX_DYNAMIC_BYTES = 4 << 20
"""Bytes of a dynamic section; real ones have some hundred entries of 8 or 16 bytes."""

MAX_NOTE_BYTES = 256 << 10
"""Bytes of all notes of a file that is not a core dump; real ones have some hundred."""

MAX_TABLE_BYTES = 64 << 20
"""Bytes of a symbol table or of a chain of versions: 2.7 million symbols, twenty times the largest seen."""

MAX_NEEDED = 16_384
"""Libraries that a file can need; real ones need at most some hundred."""

MAX_NAME_BYTES = 32 << 20
"""Bytes of symbol names that one question may bring into memory; crafted names share their bytes without end."""

MAX_VERSIONS = 32_768
"""Versions that a file can need or define: an index of the version table has fifteen bits."""

_STRINGS_KEPT = 8 << 20
"""String tables up to this size are read at once; of larger ones, only the pieces that are asked for."""

_DEBUG_ONLY = "the file holds the debugging information of a program that lies elsewhere, and not the program"

_WINDOW = 64 << 10
_HEAD = 4096
_PAGE = 4096
"""The smallest page of any machine that Linux runs on."""
_MAX_NAME = 64 << 10
_MAX_SONAME = 1024
_MAX_VERSION = 256
_MAX_PATH = 4096

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP, _PT_NOTE = 1, 2, 3, 4
_PN_XNUM = 0xFFFF
_SHT_DYNSYM = 11

_DT_NULL, _DT_NEEDED, _DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_STRSZ = 0, 1, 4, 5, 6, 10
_DT_SYMENT, _DT_SONAME, _DT_RPATH, _DT_RUNPATH = 11, 14, 15, 29
_DT_GNU_HASH, _DT_VERSYM, _DT_FLAGS_1 = 0x6FFFFEF5, 0x6FFFFFF0, 0x6FFFFFFB
_DT_VERDEF, _DT_VERDEFNUM, _DT_VERNEED, _DT_VERNEEDNUM = 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF
_DT_MIPS_SYMTABNO = 0x70000011
_ADDRESS_TAGS = (3, 4, 5, 6, 7, 17, 23, 25, 26, 36, _DT_GNU_HASH, _DT_VERSYM, _DT_VERDEF, _DT_VERNEED)
"""Tags whose value is an address: PLTGOT, HASH, STRTAB, SYMTAB, RELA, REL, JMPREL, the arrays, RELR, versions."""

_DF_1_PIE = 0x08000000
_VER_FLG_BASE, _VER_FLG_WEAK = 1, 2

_EM_MIPS, _EM_S390 = 8, 22

_NT_GNU_ABI_TAG, _NT_GNU_BUILD_ID, _NT_GNU_PROPERTY = 1, 3, 5
_X86_ISA_1_NEEDED = 0xC0008002

_ARCHITECTURES: dict[int, str | tuple[str, str]] = {
    2: "sparc",
    3: "i386",
    4: "m68k",
    15: "parisc",
    18: "sparc",
    40: ("arm", "armeb"),
    42: "sh4",
    43: "sparc64",
    50: "ia64",
    92: "openrisc",
    94: "xtensa",
    164: "hexagon",
    183: ("aarch64", "aarch64_be"),
    189: ("microblazeel", "microblaze"),
    195: "arcv2",
    252: "csky",
    0x9026: "alpha",
}
"""Machines whose name does not depend on the class; a pair is the little-endian and the big-endian name."""

_BY_CLASS: dict[int, tuple[tuple[str, str], tuple[str, str]]] = {
    8: (("mipsel", "mips"), ("mips64el", "mips64")),
    20: (("ppcle", "ppc"), ("ppcle", "ppc")),
    21: (("ppc64le", "ppc64"), ("ppc64le", "ppc64")),
    22: (("s390", "s390"), ("s390x", "s390x")),
    62: (("x32", "x32"), ("x86_64", "x86_64")),
    243: (("riscv32", "riscv32"), ("riscv64", "riscv64")),
    258: (("loongarch32", "loongarch32"), ("loongarch64", "loongarch64")),
}
"""Machines whose name depends on the class: little and big endian of 32 bits, then of 64."""


class Source(Protocol):
    """Bytes that can be read at any offset; a read may be short only at the end."""

    @property
    def size(self) -> int:
        """How many bytes there are."""

    def read_at(self, offset: int, size: int, /) -> bytes:
        """Return up to ``size`` bytes from ``offset``; fewer only where the bytes end."""


class BytesSource:
    """A source over bytes in memory."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return len(self._data)

    def read_at(self, offset: int, size: int, /) -> bytes:
        """Return up to ``size`` bytes from ``offset``."""
        return self._data[offset : offset + size]


class ElfType(StrEnum):
    """What kind of file the header says it is."""

    NONE = "none"
    REL = "rel"
    EXEC = "exec"
    DYN = "dyn"
    CORE = "core"
    OTHER = "other"


_TYPES = {0: ElfType.NONE, 1: ElfType.REL, 2: ElfType.EXEC, 3: ElfType.DYN, 4: ElfType.CORE}


@dataclass(frozen=True, slots=True)
class NeededVersion:
    """One symbol version wanted of a library; ``index`` is how the version table names it."""

    name: str
    weak: bool
    index: int


@dataclass(frozen=True, slots=True)
class VersionNeed:
    """The symbol versions wanted of one library, in the file's order."""

    soname: str
    versions: tuple[NeededVersion, ...]


@dataclass(frozen=True, slots=True)
class VersionDefinition:
    """One symbol version that the file defines; the base definition is the file's own name, not a version."""

    name: str
    index: int
    is_base: bool


@dataclass(frozen=True, slots=True)
class Elf:
    """One ELF file as the loader sees it.

    ``arch`` is the machine as the kernel writes it; ``rpath`` and ``runpath`` are unsplit and unexpanded;
    ``x86_64_level`` is 1 to 4 where the file carries the note; ``kernel`` the oldest Linux by ``.note.ABI-tag``.
    ``symbols`` is None where they were not asked for, or the file has no dynamic symbol table.
    """

    bits: Literal[32, 64]
    is_little_endian: bool
    type: ElfType
    machine: int
    arch: str
    interpreter: str | None = None
    needed: tuple[str, ...] = ()
    soname: str | None = None
    rpath: str | None = None
    runpath: str | None = None
    flags_1: int = 0
    has_dynamic: bool = False
    verneed: tuple[VersionNeed, ...] = ()
    verdef: tuple[VersionDefinition, ...] = ()
    x86_64_level: int | None = None
    kernel: str | None = None
    build_id: str | None = None
    symbols: SymbolTable | None = field(default=None, compare=False, repr=False)

    @property
    def is_pie(self) -> bool:
        """Whether this is a position-independent executable rather than a library."""
        return self.type is ElfType.DYN and (bool(self.flags_1 & _DF_1_PIE) or self.interpreter is not None)

    @property
    def is_executable(self) -> bool:
        """Whether the file can be started; ``libc.so.6`` and ``ld.so`` can be started too, and have a soname."""
        return self.type is ElfType.EXEC or (self.is_pie and self.soname is None)

    @property
    def is_static(self) -> bool:
        """Whether this is a program that asks neither for a loader nor for a library."""
        is_program = self.type is ElfType.EXEC or bool(self.flags_1 & _DF_1_PIE)
        return is_program and self.interpreter is None and not self.needed

    @property
    def defined_versions(self) -> tuple[str, ...]:
        """The names of the symbol versions that the file defines, in its order, without the base definition."""
        return tuple(definition.name for definition in self.verdef if not definition.is_base)

    @property
    def imports(self) -> frozenset[str]:
        """The names of the symbols that the file wants from elsewhere; empty where symbols were not read."""
        return self.symbols.imports() if self.symbols is not None else frozenset()

    def defines(self, name: str) -> bool:
        """Tell whether the file's dynamic symbol table defines ``name``."""
        return self.symbols is not None and self.symbols.defines(name)


def read_elf(source: Source, *, symbols: bool = True) -> Elf:
    """Return what the loader sees of an ELF file; raises ElfError with a short reason and the detail.

    Reasons are ``not-elf``, ``truncated``, ``absurd-header``, ``too-large``, and ``debug-only`` for the companion of a
    program that was stripped. With ``symbols`` the symbol table can be
    asked by name and by version; the source must then stay readable as long as it is asked about string tables of
    more than 8 MiB.
    """
    return _Reader(source).read(symbols=symbols)


def _absurd(detail: str) -> NoReturn:
    raise ElfError("absurd-header", detail)


def _truncated(detail: str) -> NoReturn:
    raise ElfError("truncated", detail)


@dataclass(frozen=True, slots=True)
class _Segment:
    kind: int
    offset: int
    address: int
    size: int
    align: int
    memory: int


class _Strings:
    """The dynamic string table: wholly in memory when it is small, else read piece by piece."""

    __slots__ = ("_data", "_offset", "_size", "_source")

    def __init__(self, source: Source, offset: int, size: int) -> None:
        self._source = source
        self._offset = offset
        self._size = size
        self._data: bytes | None = None
        if size <= _STRINGS_KEPT:
            self._data = source.read_at(offset, size)
            if len(self._data) != size:
                _truncated("the string table was cut while it was read")

    def raw(self, position: int, limit: int) -> bytes:
        """Return the string that starts at ``position``."""
        if position >= self._size:
            _absurd(f"a string starts at {position} of a string table of {self._size} bytes")
        if self._data is not None:
            end = self._data.find(b"\0", position, position + limit + 1)
            if end < 0:
                _absurd(f"the string at {position} of the string table does not end within {limit} bytes")
            return self._data[position:end]
        step = 256
        while True:
            size = min(step, limit + 1, self._size - position)
            piece = self._source.read_at(self._offset + position, size)
            end = piece.find(b"\0")
            if end >= 0:
                return piece[:end]
            if len(piece) < size or size < step:
                _absurd(f"the string at {position} of the string table does not end within {limit} bytes")
            step *= 4

    def text(self, position: int, what: str, limit: int) -> str:
        """Return the string at ``position`` as text; bytes that are not UTF-8 are written as escapes."""
        text = self.raw(position, limit).decode("utf-8", "backslashreplace")
        if not text:
            _absurd(f"the {what} is empty")
        if len(text) > limit:
            _absurd(f"the {what} is longer than {limit} characters")
        return text

    def has(self, name: bytes) -> bool:
        """Tell whether the string ``name`` can be read anywhere; linkers let strings share their tails."""
        wanted = name + b"\0"
        return any(wanted in window for window in self._windows(len(wanted)))

    def is_at(self, position: int, name: bytes) -> bool:
        """Tell whether the string at ``position`` is ``name``."""
        wanted = name + b"\0"
        if self._data is not None:
            return self._data.startswith(wanted, position)
        if position >= self._size:
            return False
        return self._source.read_at(self._offset + position, min(len(wanted), self._size - position)) == wanted

    def _windows(self, overlap: int) -> Iterator[bytes]:
        if self._data is not None:
            yield self._data
            return
        start = 0
        while start < self._size:
            yield self._source.read_at(self._offset + start, min(_STRINGS_KEPT + overlap, self._size - start))
            start += _STRINGS_KEPT


class SymbolTable:
    """The dynamic symbols of a file, decoded only as far as they are asked about."""

    __slots__ = ("_imports", "_layout", "_strings", "_table", "_versions")

    def __init__(self, strings: _Strings, table: bytes, layout: struct.Struct, versions: bytes, order: str) -> None:
        self._strings = strings
        self._table = table
        self._layout = layout
        self._versions = (versions, order)
        self._imports: frozenset[str] | None = None

    def __len__(self) -> int:
        return len(self._table) // self._layout.size

    def _entries(self) -> Iterator[tuple[int, int]]:
        """Yield the name's position and the section index of each symbol but the empty first one."""
        is_64 = self._layout.size == 24
        entries = self._layout.iter_unpack(self._table)
        next(entries, None)
        for entry in entries:
            yield (entry[0], entry[3]) if is_64 else (entry[0], entry[5])

    def _names(self, positions: Iterable[int]) -> set[str]:
        names: set[str] = set()
        budget = MAX_NAME_BYTES
        for position in set(positions):
            name = self._strings.raw(position, _MAX_NAME)
            budget -= len(name)
            if budget < 0:
                raise ElfError("too-large", f"symbol names of more than {MAX_NAME_BYTES} bytes")
            names.add(name.decode("utf-8", "backslashreplace"))
        return names

    def imports(self) -> frozenset[str]:
        """Return the names of the undefined symbols."""
        if self._imports is None:
            self._imports = frozenset(self._names(name for name, section in self._entries() if section == 0 and name))
        return self._imports

    def defines(self, name: str) -> bool:
        """Tell whether ``name`` is defined."""
        wanted = name.encode()
        if not self._strings.has(wanted):
            return False
        return any(section != 0 and self._strings.is_at(at, wanted) for at, section in self._entries())

    def of_version(self, index: int, limit: int | None = None) -> list[str]:
        """Return the names of the symbols with this index of the version table, sorted; ``limit`` keeps the first."""
        versions, order = self._versions
        wanted = struct.pack(order + "H", index)
        hidden = struct.pack(order + "H", index | 0x8000)
        size = self._layout.size
        count = len(self)
        name_at = struct.Struct(order + "I").unpack_from
        positions: list[int] = []
        for pattern in (wanted, hidden):
            at = versions.find(pattern)
            while at >= 0:
                if at & 1:
                    at = versions.find(pattern, at + 1)
                    continue
                if 0 < at >> 1 < count:
                    positions.append(name_at(self._table, (at >> 1) * size)[0])
                at = versions.find(pattern, at + 2)
        names = sorted(self._names(positions))
        return names if limit is None else names[:limit]


class _Reader:
    """One pass over one file; holds what the later steps need of the earlier ones."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.size = source.size
        self.head = source.read_at(0, min(self.size, _HEAD))
        if self.head[:4] != MAGIC:
            raise ElfError("not-elf", "the file does not start with the ELF magic number")
        if len(self.head) < 52:
            _truncated(f"{len(self.head)} bytes are too few for an ELF header")
        self.is_64 = self._choice(self.head[4], "class", {1: False, 2: True})
        self.is_little = self._choice(self.head[5], "byte order", {1: True, 2: False})
        self.order = "<" if self.is_little else ">"
        self.loads: list[_Segment] = []
        self.dynamic: dict[int, int] = {}
        self.needed_positions: list[int] = []
        self.note_bytes = 0

    @staticmethod
    def _choice(value: int, what: str, known: dict[int, bool]) -> bool:
        if value not in known:
            _absurd(f"{what} {value} is none that exists")
        return known[value]

    def _bytes(self, offset: int, size: int, what: str) -> bytes:
        """Return exactly these bytes of the file."""
        end = offset + size
        if end > self.size:
            _truncated(f"{what} should end at {end} of {self.size} bytes")
        if end <= len(self.head):
            return self.head[offset:end]
        data = self.source.read_at(offset, size)
        if len(data) != size:
            _truncated(f"{what} was cut while it was read")
        return data

    def read(self, *, symbols: bool) -> Elf:
        header = struct.Struct(self.order + ("HHIQQQIHHHHHH" if self.is_64 else "HHIIIIIHHHHHH"))
        if 16 + header.size > len(self.head):
            _truncated(f"{len(self.head)} bytes are too few for an ELF header of 64 bits")
        (kind, machine, _version, _entry, ph_offset, sh_offset, _flags, _eh_size, ph_size, ph_count, sh_size, sh_count,
         _names) = header.unpack_from(self.head, 16)  # fmt: skip
        elf_type = _TYPES.get(kind, ElfType.OTHER)
        sections = self._section_table(sh_offset, sh_size, sh_count, needed=ph_count == _PN_XNUM)
        if ph_count == _PN_XNUM:
            if sections is None:
                _absurd("the number of program headers stands in a section table that is not there")
            ph_count = self._first_section(sections)[1]
        segments = self._segments(ph_offset, ph_size, ph_count)
        if not segments and elf_type in {ElfType.EXEC, ElfType.DYN}:
            _absurd("there are no program headers: nothing that a loader could load")
        interpreter: str | None = None
        level: int | None = None
        kernel = build_id = None
        dynamic: _Segment | None = None
        is_core = elf_type is ElfType.CORE
        for segment in segments:
            if segment.kind == _PT_LOAD:
                if segment.offset + segment.size > self.size and not is_core:
                    _truncated(
                        f"a segment should end at {segment.offset + segment.size} of {self.size} bytes"
                        if segment.offset <= self.size
                        else f"a segment starts at {segment.offset} of {self.size} bytes"
                    )
                self.loads.append(segment)
            elif segment.kind == _PT_INTERP and not is_core:
                interpreter = self._interpreter(segment)
            elif segment.kind == _PT_DYNAMIC:
                dynamic = segment
            elif segment.kind == _PT_NOTE and not is_core and segment.size:
                found = self._notes(segment)
                level, kernel, build_id = found[0] or level, found[1] or kernel, found[2] or build_id
        common = {
            "interpreter": interpreter,
            "x86_64_level": level if machine in (3, 62) else None,
            "kernel": kernel,
            "build_id": build_id,
        }
        arch = architecture(machine, is_64=self.is_64, is_little_endian=self.is_little)
        bits: Literal[32, 64] = 64 if self.is_64 else 32
        if dynamic is not None and not dynamic.size and not is_core:
            raise ElfError("debug-only", _DEBUG_ONLY)
        if dynamic is None or is_core:
            return Elf(bits, self.is_little, elf_type, machine, arch, **common)  # type: ignore[arg-type]
        self._read_dynamic(dynamic)
        strings = self._strings()
        values = self.dynamic
        table = None
        if symbols and _DT_SYMTAB in values and strings is not None:
            table = self._symbols(strings, machine, sections)
        return Elf(
            bits,
            self.is_little,
            elf_type,
            machine,
            arch,
            needed=self._texts(strings, self.needed_positions, "name of a needed library", _MAX_SONAME),
            soname=self._text(strings, _DT_SONAME, "soname", _MAX_SONAME),
            rpath=self._text(strings, _DT_RPATH, "rpath", _MAX_PATH),
            runpath=self._text(strings, _DT_RUNPATH, "runpath", _MAX_PATH),
            flags_1=values.get(_DT_FLAGS_1, 0),
            has_dynamic=True,
            verneed=self._verneed(strings),
            verdef=self._verdef(strings),
            symbols=table,
            **common,  # type: ignore[arg-type]
        )

    # --- headers ------------------------------------------------------------------------------------------------

    def _section_table(self, offset: int, entry: int, count: int, *, needed: bool) -> tuple[int, int, int] | None:
        """Return offset, entry size and count of the section table, or None where the file has none.

        The loader does not look at it, but it stands at the end of a file: where it is cut off, so is the file.
        """
        if offset == 0 or (count == 0 and entry == 0 and not needed):
            return None
        if entry != (64 if self.is_64 else 40):
            _absurd(f"a section header has {entry} bytes")
        if offset + entry > self.size:
            _truncated(f"the section table starts at {offset} of {self.size} bytes")
        if count == 0:
            count = self._first_section((offset, entry, 1))[0] or 1
        if count * entry > self.size:
            _absurd(f"{count} section headers of {entry} bytes do not fit in {self.size} bytes")
        if offset + count * entry > self.size:
            _truncated(f"the section table should end at {offset + count * entry} of {self.size} bytes")
        return offset, entry, count

    def _first_section(self, table: tuple[int, int, int]) -> tuple[int, int]:
        """Return the two counts that section 0 holds when the header's fields are too small for them."""
        raw = self._bytes(table[0], table[1], "the first section header")
        layout = struct.Struct(self.order + ("IIQQQQIIQQ" if self.is_64 else "IIIIIIIIII"))
        values = layout.unpack(raw)
        return int(values[5]), int(values[7])

    def _segments(self, offset: int, entry: int, count: int) -> list[_Segment]:
        if offset == 0 or count == 0:
            return []
        layout = struct.Struct(self.order + ("IIQQQQQQ" if self.is_64 else "IIIIIIII"))
        if entry != layout.size:
            _absurd(f"a program header has {entry} bytes")
        if count > MAX_PROGRAM_HEADERS:
            _absurd(f"{count} program headers")
        if count * entry > self.size:
            _absurd(f"{count} program headers of {entry} bytes do not fit in {self.size} bytes")
        raw = self._bytes(offset, count * entry, "the program headers")
        if self.is_64:
            return [_Segment(h[0], h[2], h[3], h[5], h[7], h[6]) for h in layout.iter_unpack(raw)]
        return [_Segment(h[0], h[1], h[2], h[4], h[7], h[5]) for h in layout.iter_unpack(raw)]

    def _interpreter(self, segment: _Segment) -> str:
        if not segment.size:
            raise ElfError("debug-only", _DEBUG_ONLY)
        if not 1 < segment.size <= _MAX_PATH:
            _absurd(f"the name of the program interpreter has {segment.size} bytes")
        raw = self._bytes(segment.offset, segment.size, "the name of the program interpreter")
        path = raw.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
        if not 0 < len(path) <= _MAX_PATH:
            _absurd("the name of the program interpreter is empty or too long")
        return path

    # --- notes --------------------------------------------------------------------------------------------------

    def _notes(self, segment: _Segment) -> tuple[int | None, str | None, str | None]:
        """Return x86-64 level, kernel and build id of one note segment; foreign notes are passed over."""
        self.note_bytes += segment.size
        if self.note_bytes > MAX_NOTE_BYTES:
            raise ElfError("too-large", f"notes of {self.note_bytes} bytes; at most {MAX_NOTE_BYTES} are read")
        data = self._bytes(segment.offset, segment.size, "the notes")
        align = 8 if segment.align == 8 else 4
        level: int | None = None
        kernel: str | None = None
        build_id: str | None = None
        header = struct.Struct(self.order + "III")
        at = 0
        while at + 12 <= len(data):
            name_size, size, kind = header.unpack_from(data, at)
            name_end = at + 12 + name_size
            start = -(-name_end // align) * align
            end = start + size
            if end > len(data):
                _absurd(f"a note should end at {end} of {len(data)} bytes")
            if data[at + 12 : name_end] == b"GNU\0":
                body = data[start:end]
                if kind == _NT_GNU_ABI_TAG and len(body) >= 16:
                    system, *numbers = struct.unpack_from(self.order + "IIII", body)
                    kernel = ".".join(map(str, numbers)) if system == 0 else kernel
                elif kind == _NT_GNU_BUILD_ID and len(body) <= 64:
                    build_id = body.hex()
                elif kind == _NT_GNU_PROPERTY:
                    level = self._isa_level(body) or level
            at = -(-end // align) * align
        return level, kernel, build_id

    def _isa_level(self, body: bytes) -> int | None:
        """Return the x86-64 level that GNU_PROPERTY_X86_ISA_1_NEEDED asks for."""
        align = 8 if self.is_64 else 4
        at = 0
        while at + 8 <= len(body):
            kind, size = struct.unpack_from(self.order + "II", body, at)
            start = at + 8
            if kind == _X86_ISA_1_NEEDED and size >= 4 and start + 4 <= len(body):
                (needed,) = struct.unpack_from(self.order + "I", body, start)
                return min((needed & 0xF).bit_length(), 4) or None
            at = -(-(start + size) // align) * align
        return None

    # --- the dynamic section ------------------------------------------------------------------------------------

    def _read_dynamic(self, segment: _Segment) -> None:
        if segment.size > MAX_DYNAMIC_BYTES:
            raise ElfError("too-large", f"a dynamic section of {segment.size} bytes; at most {MAX_DYNAMIC_BYTES}")
        layout = struct.Struct(self.order + ("QQ" if self.is_64 else "II"))
        raw = self._bytes(segment.offset, segment.size // layout.size * layout.size, "the dynamic section")
        values = self.dynamic
        for tag, value in layout.iter_unpack(raw):
            if tag == _DT_NULL:
                break
            if tag == _DT_NEEDED:
                self.needed_positions.append(value)
                if len(self.needed_positions) > MAX_NEEDED:
                    _absurd(f"more than {MAX_NEEDED} needed libraries")
            else:
                values[tag] = value

    def _offset(self, address: int, what: str) -> tuple[int, int]:
        """Return where an address lies in the file, and where the bytes end that are mapped with it."""
        for segment in self.loads:
            if segment.address <= address < segment.address + segment.size:
                return address - segment.address + segment.offset, self._mapped_end(segment)
        for segment in self.loads:
            offset, end = address - segment.address + segment.offset, self._mapped_end(segment)
            if segment.offset <= offset < end:
                return offset, end
        _absurd(f"{what} lies at address {address:#x}, in no segment of the file")

    def _mapped_end(self, segment: _Segment) -> int:
        """Return where the bytes end that a loader maps for a segment: whole pages, unless the rest is set to zero.

        Programs that were edited (by patchelf, for wheels) have tables that end behind their segment, and run.
        """
        end = segment.offset + segment.size
        if segment.memory != segment.size:
            return end
        return max(end, min(-(-end // _PAGE) * _PAGE, self.size))

    def _strings(self) -> _Strings | None:
        address, size = self.dynamic.get(_DT_STRTAB), self.dynamic.get(_DT_STRSZ)
        if address is None or not size:
            return None
        offset, end = self._offset(address, "the string table")
        if offset + size > end:
            _absurd(f"the string table of {size} bytes leaves its segment")
        return _Strings(self.source, offset, size)

    def _text(self, strings: _Strings | None, tag: int, what: str, limit: int) -> str | None:
        position = self.dynamic.get(tag)
        if position is None:
            return None
        if strings is None:
            _absurd(f"there is a {what} and no string table")
        # An empty rpath is harmless and occurs: builds clear it without removing the entry.
        return strings.raw(position, limit).decode("utf-8", "backslashreplace") or None

    @staticmethod
    def _texts(strings: _Strings | None, positions: Iterable[int], what: str, limit: int) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for position in positions:
            if strings is None:
                _absurd(f"there is a {what} and no string table")
            found[strings.text(position, what, limit)] = None
        return tuple(found)

    # --- symbol versions ----------------------------------------------------------------------------------------

    def _chain(self, tag: int, count_tag: int, what: str) -> _Chain | None:
        """Return the chain of one kind; it ends where an entry leads no further, as it does for ld.so."""
        address, count = self.dynamic.get(tag), self.dynamic.get(count_tag, 1)
        if address is None or not count:
            return None
        if count > MAX_VERSIONS:
            _absurd(f"{count} entries in the {what}")
        offset, end = self._offset(address, f"the {what}")
        return _Chain(self.source, offset, end, what)

    def _verneed(self, strings: _Strings | None) -> tuple[VersionNeed, ...]:
        table = self._chain(_DT_VERNEED, _DT_VERNEEDNUM, "needed versions")
        if table is None:
            return ()
        if strings is None:
            _absurd("there are needed versions and no string table")
        head, entry = struct.Struct(self.order + "HHIII"), struct.Struct(self.order + "IHHII")
        needs: list[VersionNeed] = []
        budget = MAX_VERSIONS
        at = 0
        while True:
            _version, _parts, file, first, following = head.unpack(table.read(at, 16))
            versions: list[NeededVersion] = []
            inner = at + first
            while True:
                budget -= 1
                if budget < 0:
                    _absurd(f"more than {MAX_VERSIONS} needed versions")
                _hash, flags, index, name, step = entry.unpack(table.read(inner, 16))
                text = strings.text(name, "name of a needed version", _MAX_VERSION)
                versions.append(NeededVersion(text, bool(flags & _VER_FLG_WEAK), index & 0x7FFF))
                if step == 0:
                    break
                inner += step
            soname = strings.text(file, "name of a library with versions", _MAX_SONAME)
            needs.append(VersionNeed(soname, tuple(versions)))
            if following == 0:
                break
            at += following
        return tuple(needs)

    def _verdef(self, strings: _Strings | None) -> tuple[VersionDefinition, ...]:
        table = self._chain(_DT_VERDEF, _DT_VERDEFNUM, "defined versions")
        if table is None:
            return ()
        if strings is None:
            _absurd("there are defined versions and no string table")
        head = struct.Struct(self.order + "HHHHIII")
        name_at = struct.Struct(self.order + "I")
        definitions: list[VersionDefinition] = []
        at = 0
        for _ in range(MAX_VERSIONS):
            _version, flags, index, parts, _hash, first, following = head.unpack(table.read(at, 20))
            if parts:
                (position,) = name_at.unpack(table.read(at + first, 4))
                name = strings.text(position, "name of a defined version", _MAX_SONAME)
                definitions.append(VersionDefinition(name, index & 0x7FFF, bool(flags & _VER_FLG_BASE)))
            if following == 0:
                return tuple(definitions)
            at += following
        _absurd(f"more than {MAX_VERSIONS} defined versions")

    # --- symbols ------------------------------------------------------------------------------------------------

    def _symbols(self, strings: _Strings, machine: int, sections: tuple[int, int, int] | None) -> SymbolTable | None:
        layout = struct.Struct(self.order + ("IBBHQQ" if self.is_64 else "IIIBBH"))
        if self.dynamic.get(_DT_SYMENT, layout.size) != layout.size:
            _absurd(f"a symbol has {self.dynamic[_DT_SYMENT]} bytes")
        address = self.dynamic[_DT_SYMTAB]
        offset, end = self._offset(address, "the symbol table")
        count = self._symbol_count(machine, address, layout.size, (end - offset) // layout.size, sections)
        size = count * layout.size
        if size > MAX_TABLE_BYTES:
            raise ElfError("too-large", f"a symbol table of {size} bytes; at most {MAX_TABLE_BYTES} are read")
        if offset + size > end:
            _absurd(f"a symbol table of {count} entries leaves its segment")
        table = self._bytes(offset, size, "the symbol table")
        versions = b""
        if _DT_VERSYM in self.dynamic:
            at, limit = self._offset(self.dynamic[_DT_VERSYM], "the version table")
            if at + 2 * count > limit:
                _absurd(f"a version table of {count} entries leaves its segment")
            versions = self._bytes(at, 2 * count, "the version table")
        return SymbolTable(strings, table, layout, versions, self.order)

    def _symbol_count(
        self, machine: int, address: int, entry: int, most: int, sections: tuple[int, int, int] | None
    ) -> int:
        """Return how many dynamic symbols there are: no tag says it, the hash tables and section headers imply it."""
        if _DT_HASH in self.dynamic:
            offset, end = self._offset(self.dynamic[_DT_HASH], "the hash table")
            # On s390x the words of this table have 64 bits, and yet some linkers (lld) write 32.
            for layout in ("QQ", "II") if machine == _EM_S390 and self.is_64 else ("II",):
                table = struct.Struct(self.order + layout)
                if offset + table.size > end:
                    _absurd("the hash table leaves its segment")
                buckets, count = table.unpack(self._bytes(offset, table.size, "the hash table"))
                if (2 + buckets + count) * (table.size // 2) <= end - offset:
                    return int(count)
            _absurd(f"a hash table of {count} symbols leaves its segment")
        if machine == _EM_MIPS and _DT_MIPS_SYMTABNO in self.dynamic:
            return self.dynamic[_DT_MIPS_SYMTABNO]
        if _DT_GNU_HASH in self.dynamic and (count := self._gnu_hash_count()) is not None:
            return count
        if sections is not None and (count := self._section_count(sections, address, entry)) is not None:
            return count
        # Without sections, and with a GNU hash that names no symbol, only the next table bounds this one.
        following = [value for tag in _ADDRESS_TAGS if (value := self.dynamic.get(tag, 0)) > address]
        return min(most, (min(following) - address) // entry) if following else most

    def _gnu_hash_count(self) -> int | None:
        """Return the number of symbols by the GNU hash table; None where it names none of them."""
        offset, end = self._offset(self.dynamic[_DT_GNU_HASH], "the GNU hash table")
        if offset + 16 > end:
            _absurd("the GNU hash table leaves its segment")
        buckets, first, bloom, _shift = struct.unpack(
            self.order + "IIII", self._bytes(offset, 16, "the GNU hash table")
        )
        start = offset + 16 + bloom * (8 if self.is_64 else 4)
        chains = start + 4 * buckets
        if chains > end:
            _absurd(f"a GNU hash table of {buckets} buckets leaves its segment")
        if 4 * buckets > MAX_TABLE_BYTES:
            raise ElfError("too-large", f"a GNU hash table of {buckets} buckets")
        last = max(memoryview(self._native(self._bytes(start, 4 * buckets, "the GNU hash table"))).cast("I"), default=0)
        if last == 0:
            return None
        if last < first:
            _absurd("a bucket of the GNU hash table names a symbol that is not hashed")
        at = chains + 4 * (last - first)
        number = last
        while at < end:
            piece = memoryview(self._native(self._bytes(at, min(4096, (end - at) & ~3), "the GNU hash chain")))
            words = piece.cast("I")
            for word in words:
                number += 1
                if word & 1:
                    return number
            if not len(words) or number - first > MAX_TABLE_BYTES // 16:
                break
            at += 4 * len(words)
        _absurd("a chain of the GNU hash table does not end")

    def _native(self, raw: bytes) -> bytes:
        """Return words of 32 bits in the order of the machine that this runs on."""
        if self.order == _NATIVE:
            return raw
        swapped = bytearray(len(raw))
        for byte in range(4):
            swapped[byte::4] = raw[3 - byte :: 4]
        return bytes(swapped)

    def _section_count(self, sections: tuple[int, int, int], address: int, entry: int) -> int | None:
        offset, size, count = sections
        layout = struct.Struct(self.order + ("IIQQQQIIQQ" if self.is_64 else "IIIIIIIIII"))
        per_read = max(1, _WINDOW // size)
        for start in range(0, count, per_read):
            number = min(per_read, count - start)
            raw = self._bytes(offset + start * size, number * size, "the section table")
            for header in layout.iter_unpack(raw):
                if header[1] == _SHT_DYNSYM and header[3] == address:
                    return int(header[5]) // entry
        return None


_NATIVE = "<" if struct.pack("=H", 1) == b"\x01\x00" else ">"


class _Chain:
    """A table of unknown length: read as far as its entries lead, and no further than its segment."""

    __slots__ = ("_data", "_end", "_offset", "_source", "_start", "_what")

    def __init__(self, source: Source, offset: int, end: int, what: str) -> None:
        self._source = source
        self._offset = offset
        self._end = end
        self._what = what
        self._start = 0
        self._data = source.read_at(offset, min(_HEAD, end - offset))

    def read(self, at: int, size: int) -> bytes:
        start = at - self._start
        if start < 0 or start + size > len(self._data):
            if self._offset + at + size > self._end:
                _absurd(f"the {self._what} leave their segment")
            # One window at a time: a chain that leaps about costs reads, and no memory.
            self._data = self._source.read_at(self._offset + at, min(_HEAD, self._end - self._offset - at))
            self._start, start = at, 0
            if size > len(self._data):
                _truncated(f"the {self._what} were cut while they were read")
        return self._data[start : start + size]


def architecture(machine: int, *, is_64: bool, is_little_endian: bool) -> str:
    """Return the machine as the kernel writes it, ``machine-N`` where it has no name here."""
    by_class = _BY_CLASS.get(machine)
    name = by_class[is_64] if by_class is not None else _ARCHITECTURES.get(machine, f"machine-{machine}")
    if isinstance(name, tuple):
        return name[0] if is_little_endian else name[1]
    return name
