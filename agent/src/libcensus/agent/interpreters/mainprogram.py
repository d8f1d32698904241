"""Recognises the main program of an interpreter by what the file is, whatever its name.

Each implementation knows its own main program by the few functions that it calls or exports; a program that embeds the
same interpreter uses many of them, or exports mostly its own. The order of :data:`IMPLEMENTATIONS` decides nothing but
cost: no file is the main program of two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcensus.agent.elf.reader import MAGIC, read_elf
from libcensus.agent.interpreters import cpython, nodejs, perl, php, pypy, ruby

if TYPE_CHECKING:
    from libcensus.agent.elf.reader import Source
    from libcensus.agent.interpreters.candidate import MainProgram
    from libcensus.agent.interpreters.traits import Traits
    from libcensus.facts.vocabulary import Implementation

IMPLEMENTATIONS: dict[Implementation, Traits] = {
    traits.implementation: traits
    for traits in (cpython.TRAITS, pypy.TRAITS, nodejs.TRAITS, ruby.TRAITS, perl.TRAITS, php.TRAITS)
}
"""The one registration of implementations."""

_PYTHONS = (cpython.TRAITS, pypy.TRAITS)


def is_interpreter_name(name: str) -> bool:
    """Tell whether a file's name is one that an interpreter's main program is installed under."""
    return any(traits.names.fullmatch(name) is not None for traits in IMPLEMENTATIONS.values())


def is_python_name(name: str) -> bool:
    """Tell whether a file's name is one that the main program of a Python is installed under."""
    return any(traits.names.fullmatch(name) is not None for traits in _PYTHONS)


def recognise_main_program(source: Source, name: str) -> MainProgram | None:
    """Return why a file is an interpreter's main program, or None when it is not.

    Raises ElfError for an ELF file that is damaged, and what the source raises. Reads four bytes of anything else.
    """
    if source.read_at(0, 4) != MAGIC:
        return None
    elf = read_elf(source)
    if not elf.is_executable:
        return None
    for traits in IMPLEMENTATIONS.values():
        if (program := traits.recognise(elf, source, name)) is not None:
            return program
    return None
