"""Walks the root once and keeps what may be an interpreter or an environment; everything else is let go at once."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import FileState, shown
from libcensus.agent.index import KEY_BYTES, Keys, state_key
from libcensus.agent.interpreters.candidate import Candidate
from libcensus.agent.interpreters.mainprogram import is_interpreter_name, recognise_main_program
from libcensus.agent.layers import walk_of
from libcensus.agent.probes.skips import Skips
from libcensus.agent.walk import Kind, open_found

if TYPE_CHECKING:
    from libcensus.agent.host import RootedFile
    from libcensus.agent.interpreters.candidate import MainProgram
    from libcensus.agent.probes.context import ScanContext
    from libcensus.agent.walk import Found

TOOL_NAMES = frozenset({"uv"})
"""Names of the programs that bring interpreters and are reported themselves."""

MAX_REMARKABLE = 50_000
"""Executables with something in them that are remembered; a root with more is read as a whole each time."""

_ELF_MAGIC = b"\x7fELF"


def probe_walk(context: ScanContext, skips: Skips) -> None:
    """Walk the root's local file systems and note the candidates in the context.

    With an index, executables that the last scan knows are not opened: those in which there was nothing are let go, and
    those in which there was something wait until :meth:`Recognition.finish`.
    """
    digest = hashlib.blake2b(digest_size=32)
    walk = walk_of(context.root, context.settings, skips, context.progress)
    recognition = Recognition(context)
    for found in walk:
        if found.kind is Kind.EXECUTABLE:
            if found.name in TOOL_NAMES:
                context.tool_files.append(found.path)
                digest.update(_fingerprint(found))
            recognition.take(found)
            continue
        digest.update(_fingerprint(found))
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
    context.fingerprint = digest.hexdigest()
    context.recognition = recognition


def _fingerprint(found: Found) -> bytes:
    """Return what stands for one thing that was found: its kind, its path and, but for links, its state."""
    path = os.fsencode(found.path)
    if found.status is None:
        return b"%d %s\0" % (found.kind, path)
    return b"%d %s %s\0" % (found.kind, path, state_key(FileState.of(found.status), found.name))


class Recognition:
    """Tells interpreters among executables, and remembers for the next scan in which there was nothing.

    ``skips`` are its own, apart from the walk's: they hold as long as the files do.
    """

    def __init__(self, context: ScanContext) -> None:
        self.skips = Skips()
        self._remarkable = bytearray()
        self.is_settled = True
        self._context = context
        self._index = context.index
        record = None if context.index is None else context.index.record(context.root.name)
        self._known = Keys() if record is None else record.remarkable
        self._waiting: list[str] = []
        self.has_news = record is None

    def take(self, found: Found) -> None:
        """Take one executable of the walk: examine it, unless the last scan did."""
        if self._index is None or found.status is None:
            self._examine(found)
            return
        state = FileState.of(found.status)
        key = state_key(state, found.path)
        if self._index.is_unremarkable(key):
            return
        if key in self._known:
            self._remarkable += key
            self._waiting.append(found.path)
            return
        before = dict(self.skips.counts)
        candidate = self._examine(found)
        if candidate is None and before == self.skips.counts:
            self._index.note_unremarkable(key, state)
            return
        self.has_news = True
        if len(self._remarkable) < MAX_REMARKABLE * KEY_BYTES:
            self._remarkable += key
        else:
            self.is_settled = False
        self.is_settled = self.is_settled and self._index.is_settled(state)

    @property
    def remarkable(self) -> Keys:
        """The keys of the executables in which there was something."""
        return Keys.sort(self._remarkable)

    @property
    def is_unchanged(self) -> bool:
        """Whether the walk met what the last scan knew, all of it and nothing else."""
        return not self.has_news and self.remarkable == self._known

    def finish(self) -> None:
        """Examine what waits: the last scan knew it, and its facts are wanted once more."""
        for path in self._waiting:
            try:
                with self._context.root.open_file(path) as file:
                    self._look(file, path, [])
            except UnreadableError as error:
                self.skips.add_error(error)
        self._waiting = []
        self._context.candidates.sort(key=lambda one: one.path)

    def _examine(self, found: Found) -> Candidate | None:
        before: list[MainProgram | None] = []
        for attempt in range(2):
            try:
                with open_found(found) as file:
                    candidate = self._look(file, found.path, before, is_last=attempt > 0)
                    if candidate is not None or not file.has_changed():
                        return candidate
            except UnreadableError as error:
                self.skips.add_error(error)
                return None
        return None

    def _look(
        self, file: RootedFile, path: str, before: list[MainProgram | None], *, is_last: bool = True
    ) -> Candidate | None:
        program = _recognise(file, path, self.skips)
        # Seen twice alike is enough where only hard links of the file come and go.
        is_same = program in before and not file.has_other_content()
        before.append(program)
        if file.has_changed() and not is_same:
            if is_last:
                self.skips.add("changed-while-read", f"{shown(path)}: changed twice while it was read")
            return None
        if program is None:
            return None
        candidate = Candidate(path, file.state, program)
        self._context.candidates.append(candidate)
        return candidate


def _recognise(file: RootedFile, path: str, skips: Skips) -> MainProgram | None:
    name = path.rpartition("/")[2]
    try:
        program = recognise_main_program(file, name)
    except UnreadableError as error:
        if not file.has_changed():
            skips.add(f"damaged-elf:{error.reason}", f"{shown(path)}: {error.detail or error.reason}")
        return None
    if program is None and is_interpreter_name(name) and file.read_at(0, 4) == _ELF_MAGIC:
        skips.add("not-an-interpreter", f"{shown(path)}: has an interpreter's name, and is none that is known")
    return program
