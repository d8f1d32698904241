"""The requirement of every ELF file of this machine, against what readelf and nm say of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libcensus.agent.elf.reader import MAGIC, BytesSource, read_elf
from libcensus.agent.elf.requirement import SYMBOLS_SHOWN, requirement_of
from libcensus.agent.errors import ElfError
from libcensus.facts.requirement import version_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libcensus.agent.elf.reader import Elf

_FOLDERS = ("/usr", "/opt", sys.prefix)
_AT_ONCE = 200
_LARGEST = 32 << 20

_NEED = re.compile(r"Version: \d+\s+File: (\S+)\s+Cnt")
_VERSION = re.compile(r"Name: (\S+)\s+Flags: (.*?)\s+Version: \d+")
_DYNAMIC = re.compile(r"\((NEEDED|SONAME|RPATH|RUNPATH)\)\s+[^\[]*\[(.*)\]")


def elf_files() -> list[Path]:
    found: list[Path] = []
    for top in _FOLDERS:
        for folder, _folders, names in os.walk(top):
            for name in names:
                path = Path(folder, name)
                try:
                    if path.is_symlink() or not path.is_file() or path.stat().st_size > _LARGEST:
                        continue
                    with path.open("rb") as stream:
                        if stream.read(4) == MAGIC:
                            found.append(path)
                except OSError:
                    continue
    return sorted(found)


def told(files: Sequence[Path], *command: str) -> dict[Path, str]:
    """Return what a tool of binutils tells of each file; it is started for many at once."""
    found: dict[Path, str] = {}
    for first in range(0, len(files), _AT_ONCE):
        # Of a single file the tools would not tell the name.
        some = [*files[first : first + _AT_ONCE], Path("/dev/null")]
        text = subprocess.run(
            (*command, *map(str, some)), check=False, capture_output=True, text=True, errors="replace"
        ).stdout
        parts = re.split(r"^(?:File: )?(/.+?):?$", text, flags=re.MULTILINE)[1:]
        names = {str(path): path for path in some}
        found.update({names[name]: part for name, part in zip(parts[::2], parts[1::2], strict=True) if name in names})
    return found


def symbols(text: str) -> list[tuple[str, str]]:
    """Return kind and name of nm's symbols; nm appends versions to some, whatever it is told."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    return [(parts[-2], parts[-1].partition("@")[0]) for parts in lines if len(parts) > 1]


@pytest.fixture(scope="module")
def machine() -> dict[Path, Elf]:
    """Every ELF file that has a program or library in it, read."""
    read: dict[Path, Elf] = {}
    for path in elf_files():
        try:
            read[path] = read_elf(BytesSource(path.read_bytes()))
        except ElfError as error:
            # Debian's -dbg packages and compilers' test data hold no program.
            if error.reason != "debug-only":
                pytest.fail(f"{path}: {error}")
    assert len(read) > 100, "this machine has hardly any ELF file"
    return read


def test_versions_and_libraries_agree_with_readelf(machine: dict[Path, Elf]) -> None:
    texts = told(list(machine), "readelf", "-W", "-V", "-d")
    for path, elf in machine.items():
        text = texts[path]
        strong: dict[str, set[str]] = {}
        weak: dict[str, set[str]] = {}
        soname = ""
        section = text.partition("Version needs section")[2]
        for line in section.splitlines():
            if match := _NEED.search(line):
                soname = match[1]
                strong.setdefault(soname, set())
            elif (match := _VERSION.search(line)) and soname:
                (weak if "WEAK" in match[2] else strong).setdefault(soname, set()).add(match[1])
        dynamic: dict[str, list[str]] = {}
        for tag, value in _DYNAMIC.findall(text):
            dynamic.setdefault(tag, []).append(value)
        requirement = requirement_of(elf, file=str(path))
        assert {need.soname: set(need.versions) for need in requirement.needs} == strong, path
        assert {need.soname: set(need.weak) for need in requirement.needs if need.weak} == {
            name: versions - strong[name] for name, versions in weak.items() if versions - strong[name]
        }, path
        assert set(elf.needed) == set(dynamic.get("NEEDED", [])), path
        assert elf.soname == next(iter(dynamic.get("SONAME", [])), None), path
        assert (elf.rpath, elf.runpath) == (
            next(iter(dynamic.get("RPATH", [])), None) or None,
            next(iter(dynamic.get("RUNPATH", [])), None) or None,
        ), path


def test_the_symbols_that_raise_the_floor_agree_with_nm(machine: dict[Path, Elf]) -> None:
    compared = 0
    texts = told(list(machine), "nm", "-D", "--with-symbol-versions")
    for path, elf in machine.items():
        requirement = requirement_of(elf, file="f")
        if not requirement.needs:
            continue
        truth: dict[str, set[str]] = {}
        for line in filter(str.strip, texts[path].splitlines()):
            kind, symbol = line.split()[-2:]
            name, at, version = symbol.partition("@")
            # A version that the file also defines stands on its own symbols too; those are no needs.
            is_own = version in elf.defined_versions and kind not in "Uwv"
            if at and not version.startswith("@") and not is_own:
                truth.setdefault(version, set()).add(name)
        for need in requirement.needs:
            if not need.versions:
                continue
            highest = max(need.versions, key=version_key)
            names = [one.symbol for one in requirement.raised_by if one.soname == need.soname]
            assert {one.version for one in requirement.raised_by if one.soname == need.soname} == {highest}, path
            # nm tells the version and not the library, and two libraries can share a version's name.
            assert set(names) - {""} <= truth.get(highest, set()), path
            owners = [other.soname for other in requirement.needs if highest in other.versions]
            if owners == [need.soname]:
                assert names == (sorted(truth.get(highest, set()))[:SYMBOLS_SHOWN] or [""]), path
                compared += 1
    assert compared > 0


def test_imported_and_defined_symbols_agree_with_nm(machine: dict[Path, Elf]) -> None:
    files = [path for path, elf in machine.items() if elf.symbols is not None]
    undefined, defined = told(files, "nm", "-D", "-u"), told(files, "nm", "-D", "--defined-only")
    for path in files:
        elf = machine[path]
        assert elf.imports == {name for _kind, name in symbols(undefined[path])}, path
        for kind, name in symbols(defined[path])[:20]:
            if kind not in "aA":
                assert elf.defines(name), (path, kind, name)
