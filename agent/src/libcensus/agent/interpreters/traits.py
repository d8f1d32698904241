"""What the probes ask of every implementation: each answers in the file of its own name.

An implementation is one :class:`Traits`, registered in :mod:`libcensus.agent.interpreters.mainprogram`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re
    from collections.abc import Callable

    from libcensus.agent.elf.reader import Elf, Source
    from libcensus.agent.host import Root
    from libcensus.agent.interpreters.candidate import Candidate, Layout, MainProgram
    from libcensus.agent.probes.skips import Skips
    from libcensus.facts.evidence import Evidence
    from libcensus.facts.package import Package
    from libcensus.facts.vocabulary import Implementation


@dataclass(frozen=True, slots=True)
class Traits:
    """One implementation.

    ``names`` are the names of its main program, ``nicest`` those that an install is called by when several lead to the
    same bytes. ``recognise`` says from a file's ELF facts, content and name whether it is the main program;
    ``find_layout`` where its parts lie, given the path of the library that the loader finds; ``read_version`` its own
    version with the proofs, given the file that holds its code; ``flags`` how it was built, each flag with its proof
    in a file relative to the prefix.
    """

    implementation: Implementation
    names: re.Pattern[str]
    nicest: re.Pattern[str]
    recognise: Callable[[Elf, Source, str], MainProgram | None]
    find_layout: Callable[[Root, Candidate, str | None, Skips], Layout]
    read_version: Callable[[Root, Layout, Package | None, str], tuple[str | None, list[Evidence]]]
    flags: Callable[[Root, Layout, str], list[tuple[str, Evidence]]]
