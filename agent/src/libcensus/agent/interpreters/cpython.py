"""Recognises the main program of a CPython.

CPython's ``Programs/python.c`` is one call: ``Py_BytesMain`` (3.8 and later), ``_Py_UnixMain`` (3.7) or ``Py_Main``.
Where libpython is shared the executable imports that and hardly anything else of Python's; where it is linked in, the
executable exports Python's API for extension modules. A program that embeds Python (gdb, vim, uwsgi) uses many of the
API's functions, or exports mostly its own, and is no interpreter. A stripped, fully static one is known by its name
and by texts that only CPython's start-up code holds.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from libcensus.agent.host import shown
from libcensus.agent.interpreters.candidate import MainProgram
from libcensus.agent.interpreters.flags import flags_of
from libcensus.agent.interpreters.layout import find_layout
from libcensus.agent.interpreters.texts import holds_texts
from libcensus.agent.interpreters.traits import Traits
from libcensus.agent.interpreters.version import read_version
from libcensus.facts.evidence import Evidence
from libcensus.facts.vocabulary import EvidenceKind, Implementation

if TYPE_CHECKING:
    from libcensus.agent.elf.reader import Elf, Source
    from libcensus.agent.host import Root
    from libcensus.agent.interpreters.candidate import Layout

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


def recognise(elf: Elf, source: Source, name: str) -> MainProgram | None:
    """Return why an executable is a CPython's main program, or None when it is not."""
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


def read_flags(root: Root, layout: Layout, holder: str) -> list[tuple[str, Evidence]]:
    """Return the flags that the build's own variables prove."""
    del root, holder
    if layout.sysconfig_file is None:
        return []
    where = shown(layout.sysconfig_file.removeprefix(layout.prefix.rstrip("/") + "/"))
    return [
        (flag, Evidence("flags", EvidenceKind.TEXT_LINE, where, words))
        for flag, words in flags_of(layout.sysconfig).items()
    ]


TRAITS = Traits(
    implementation=Implementation.CPYTHON,
    names=INTERPRETER_NAME,
    nicest=re.compile(r"python\d\.\d+[a-z]*"),
    recognise=recognise,
    find_layout=find_layout,
    read_version=read_version,
    flags=read_flags,
)
