"""Recognises the main program of a CPython by what the file is, whatever its name.

CPython's ``Programs/python.c`` is one call: ``Py_BytesMain`` (3.8 and later), ``_Py_UnixMain`` (3.7) or ``Py_Main``.
Where libpython is shared the executable imports that and hardly anything else of Python's; where it is linked in, the
executable exports Python's API for extension modules. A program that embeds Python (gdb, vim, uwsgi) uses many of the
API's functions, or exports mostly its own, and is no interpreter. A stripped, fully static one is known by its name
and by texts that only CPython's start-up code holds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.agent.elf.reader import MAGIC, read_elf
from libcensus.facts.vocabulary import EvidenceKind

if TYPE_CHECKING:
    from libcensus.agent.elf.reader import Elf, Source

LIBPYTHON = re.compile(r"(?:^|/)libpython(?P<version>\d\.\d+)(?P<abiflags>[a-z]*)\.so(?:\.[\d.]+)?$")
INTERPRETER_NAME = re.compile(
    r"(?:[a-z0-9_]+-[a-z0-9_]+-[a-z0-9_]+-)?(?:platform-)?python(?P<version>\d(?:\.\d+)?)?(?P<abiflags>[a-z]{0,3})"
)
"""``python``, ``python3``, ``python3.13t``, ``platform-python3.6``; a multiarch triplet may stand before it."""

_MAINS = ("Py_BytesMain", "_Py_UnixMain", "Py_Main", "Py_RunMain")
_EVERY_MAIN = "Py_Main"
"""The one that all versions define; newer ones keep it for programs that embed them."""

_MOST_PYTHON_IMPORTS = 16
"""python.c of 3.6 imports nine functions of Python's API; the smallest embedders seen use more than twenty."""

_START_UP_TEXTS = (b"PYTHONHASHSEED", b"PYTHONSTARTUP", b"Fatal Python error")
_WINDOW = 1 << 20
_OVERLAP = 64


@dataclass(frozen=True, slots=True)
class MainProgram:
    """Why a file is the main program of a CPython: the kind of proof, and what was read.

    ``libpython`` is the DT_NEEDED entry that names it, absent where Python is linked in; ``version`` is ``X.Y`` and
    ``abiflags`` (``t``, ``d``, ``m``) as far as the library's name or the file's own tells them. With ``is_certain``
    false, a standard library that no other interpreter claims must stand beside it: programs made of Python code export
    the same symbols.
    """

    arch: str
    kind: EvidenceKind
    detail: str
    libpython: str | None
    version: str | None
    abiflags: str
    is_certain: bool = True


def is_interpreter_name(name: str) -> bool:
    """Tell whether a file's name is one that CPython installs its main program under."""
    return INTERPRETER_NAME.fullmatch(name) is not None


def recognise_main_program(source: Source, name: str) -> MainProgram | None:
    """Return why a file is a CPython's main program, or None when it is not.

    Raises ElfError for an ELF file that is damaged, and what the source raises. Reads four bytes of anything else.
    """
    if source.read_at(0, 4) != MAGIC:
        return None
    elf = read_elf(source)
    if not elf.is_executable:
        return None
    named = INTERPRETER_NAME.fullmatch(name)
    version = named["version"] if named and named["version"] and "." in named["version"] else None
    abiflags = named["abiflags"] if named else ""
    for needed in elf.needed:
        if library := LIBPYTHON.search(needed):
            return _through_library(elf, needed, library["version"], library["abiflags"])
    if elf.defines(_EVERY_MAIN):
        detail = f"defines {_EVERY_MAIN}: CPython is linked in, and its API exported"
        is_certain = named is not None
        return MainProgram(elf.arch, EvidenceKind.ELF_SYMBOL, detail, None, version, abiflags, is_certain)
    if named and holds_texts(source, _START_UP_TEXTS):
        texts = ", ".join(text.decode() for text in _START_UP_TEXTS)
        return MainProgram(elf.arch, EvidenceKind.STRING, f"holds the texts {texts}", None, version, abiflags)
    return None


def _through_library(elf: Elf, needed: str, version: str, abiflags: str) -> MainProgram | None:
    imports = elf.imports
    main = next((symbol for symbol in _MAINS if symbol in imports), None)
    if main is None or sum(symbol.startswith(("Py", "_Py")) for symbol in imports) > _MOST_PYTHON_IMPORTS:
        return None
    detail = f"imports {main} from {needed} and little else of Python's API"
    return MainProgram(elf.arch, EvidenceKind.ELF_SYMBOL, detail, needed, version, abiflags)


def holds_texts(source: Source, texts: tuple[bytes, ...]) -> bool:
    """Tell whether a file holds every one of these texts; reads it in pieces, and stops when all are found."""
    missing = set(texts)
    offset, tail = 0, b""
    while missing and (data := source.read_at(offset, _WINDOW)):
        offset += len(data)
        window = tail + data
        missing = {text for text in missing if text not in window}
        tail = data[-_OVERLAP:]
    return not missing
