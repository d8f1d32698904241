"""Walks the root once and keeps what may be an interpreter or an environment; everything else is let go at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import shown
from libcensus.agent.interpreters.candidate import Candidate
from libcensus.agent.interpreters.mainprogram import is_interpreter_name, recognise_main_program
from libcensus.agent.walk import Kind, Walk, open_found

if TYPE_CHECKING:
    from libcensus.agent.host import RootedFile
    from libcensus.agent.interpreters.mainprogram import MainProgram
    from libcensus.agent.probes.context import ScanContext
    from libcensus.agent.probes.skips import Skips
    from libcensus.agent.walk import Found

TOOL_NAMES = frozenset({"uv"})
"""Names of the programs that bring interpreters and are reported themselves."""

_ELF_MAGIC = b"\x7fELF"


def probe_walk(context: ScanContext, skips: Skips) -> None:
    """Walk the root's local file systems and note the candidates in the context."""
    for found in Walk(context.root, context.settings, skips, context.progress):
        if found.kind is Kind.LINK:
            context.links.append(found.path)
        elif found.kind is Kind.ENVIRONMENT:
            context.environment_folders.append(found.path.rpartition("/")[0])
        elif found.kind is Kind.LIBRARY:
            context.libraries_found.append(found.path)
        elif found.kind is Kind.SETTINGS:
            context.setting_files.append(found.path)
        elif found.kind is Kind.ROOT:
            context.roots_found.append(found.path)
        elif found.kind is Kind.EXECUTABLE:
            if found.name in TOOL_NAMES:
                context.tool_files.append(found.path)
            _examine(found, context, skips)


def _examine(found: Found, context: ScanContext, skips: Skips) -> None:
    if ".so" in found.name and not is_interpreter_name(found.name):
        return
    for attempt in range(2):
        try:
            with open_found(found) as file:
                program = _recognise(file, found, skips)
                if file.has_changed():
                    if attempt:
                        skips.add("changed-while-read", f"{shown(found.path)}: changed twice while it was read")
                    continue
                if program is not None:
                    context.candidates.append(Candidate(found.path, file.state, program))
                return
        except UnreadableError as error:
            skips.add_error(error)
            return


def _recognise(file: RootedFile, found: Found, skips: Skips) -> MainProgram | None:
    try:
        program = recognise_main_program(file, found.name)
    except UnreadableError as error:
        if not file.has_changed():
            skips.add(f"damaged-elf:{error.reason}", f"{shown(found.path)}: {error.detail or error.reason}")
        return None
    if program is None and is_interpreter_name(found.name) and file.read_at(0, 4) == _ELF_MAGIC:
        skips.add("not-an-interpreter", f"{shown(found.path)}: has an interpreter's name, and is no CPython")
    return program
