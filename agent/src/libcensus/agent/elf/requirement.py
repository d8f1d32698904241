"""What one ELF file needs to start, and which manylinux tag that amounts to.

The requirement is what the dynamic loader checks: architecture, program interpreter, needed libraries and the symbol
versions wanted of each. It refuses to guess: an x86-64 level is told only where the file carries the note, and a
manylinux tag only where the published policies decide it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcensus.facts.manylinux import ZLIB_PRIVATE, judge_manylinux
from libcensus.facts.requirement import LibraryNeed, RaisedBy, Requirement, version_key
from libcensus.facts.vocabulary import LoaderKind

if TYPE_CHECKING:
    from libcensus.agent.elf.reader import Elf

SYMBOLS_SHOWN = 3
"""How many symbols are named for each raised floor; the first ones by alphabet, so that the answer is stable."""

_MAX_SYMBOL = 4096


def loader_kind(interpreter: str | None) -> LoaderKind:
    """Return which dynamic loader a program interpreter's path is."""
    if interpreter is None:
        return LoaderKind.NONE
    name = interpreter.rsplit("/", 1)[-1]
    if name.startswith("ld-musl-"):
        return LoaderKind.MUSL
    if name.startswith(("ld-linux", "ld64.so.", "ld.so.")):
        return LoaderKind.GLIBC
    return LoaderKind.OTHER


def requirement_of(elf: Elf, *, file: str) -> Requirement:
    """Return what this file needs; ``file`` is the name under which it is shown as the one that raises a floor.

    ``raised_by`` is empty where the symbols were not read. Raises ElfError when the symbol names are damaged.
    """
    strong: dict[str, set[str]] = {}
    weak: dict[str, set[str]] = {}
    indices: dict[tuple[str, str], list[int]] = {}
    for need in elf.verneed:
        strong.setdefault(need.soname, set())
        for version in need.versions:
            (weak if version.weak else strong).setdefault(need.soname, set()).add(version.name)
            indices.setdefault((need.soname, version.name), []).append(version.index)
    needs = tuple(
        LibraryNeed(soname, tuple(sorted(versions)), tuple(sorted(weak.get(soname, set()) - versions)))
        for soname, versions in sorted(strong.items())
    )
    raised: set[RaisedBy] = set()
    if elf.symbols is not None:
        for need_of in needs:
            if not need_of.versions:
                continue
            highest = max(need_of.versions, key=version_key)
            names: set[str] = set()
            for index in indices[need_of.soname, highest]:
                names.update(elf.symbols.of_version(index, SYMBOLS_SHOWN))
            shown = sorted(_shown(name) for name in names)[:SYMBOLS_SHOWN] or [""]
            raised.update(RaisedBy(highest, need_of.soname, file, symbol) for symbol in shown)
    # An object that has both has no RPATH (glibc, elf/get-dynamic-info.h).
    search_path = elf.rpath if elf.runpath is None else elf.runpath
    return Requirement(
        arch=elf.arch,
        loader=elf.interpreter,
        loader_kind=loader_kind(elf.interpreter),
        needs=needs,
        sonames=tuple(sorted({*elf.needed, *strong})),
        raised_by=tuple(sorted(raised)),
        x86_64_level=elf.x86_64_level,
        kernel=elf.kernel,
        runpath=() if search_path is None else tuple(search_path.split(":")),
    )


def private_symbols(elf: Elf) -> frozenset[str]:
    """Return the symbols wanted of zlib that some manylinux policies forbid; empty for files that do not need it."""
    return elf.imports & ZLIB_PRIVATE.keys() if "libz.so.1" in elf.needed else frozenset()


def manylinux_policy(requirement: Requirement) -> str | None:
    """Return the oldest manylinux policy that a requirement fits (``manylinux_2_17``), or None where none does.

    :func:`~libcensus.facts.manylinux.judge_manylinux` also tells why.
    """
    versions = [version for need in requirement.needs for version in (*need.versions, *need.weak)]
    verdict = judge_manylinux(requirement.arch, versions, requirement.sonames, x86_64_level=requirement.x86_64_level)
    return verdict.policy


def _shown(symbol: str) -> str:
    return symbol if len(symbol) <= _MAX_SYMBOL else symbol[: _MAX_SYMBOL - 1] + "…"
