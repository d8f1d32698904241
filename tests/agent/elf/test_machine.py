"""The requirement of real files of this machine, against readelf and nm: a sample spread evenly over all of them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from libcensus.agent.elf.reader import MAGIC, BytesSource, read_elf
from libcensus.agent.elf.requirement import SYMBOLS_SHOWN, requirement_of
from libcensus.agent.errors import ElfError
from libcensus.facts.requirement import version_key

_FOLDERS = ("/usr/lib", "/usr/bin", "/usr/sbin", "/usr/local", "/opt")
_SAMPLE = 150
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


def tool(*command: str) -> str:
    return subprocess.run(command, check=False, capture_output=True, text=True, errors="replace").stdout


def nm(path: Path, *options: str) -> list[tuple[str, str]]:
    """Return kind and name of the dynamic symbols; nm appends versions to some, whatever it is told."""
    lines = [line.split() for line in tool("nm", "-D", *options, str(path)).splitlines()]
    return [(parts[-2], parts[-1].partition("@")[0]) for parts in lines]


@pytest.fixture(scope="module")
def sample() -> list[Path]:
    files = elf_files()
    assert files, "this machine has no ELF file at all"
    return files[:: max(1, len(files) // _SAMPLE)]


def test_versions_and_libraries_agree_with_readelf(sample: list[Path]) -> None:
    compared = 0
    for path in sample:
        try:
            elf = read_elf(BytesSource(path.read_bytes()))
        except ElfError as error:
            if error.reason != "debug-only":
                raise
            continue
        text = tool("readelf", "-W", "-V", "-d", str(path))
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
        compared += 1
    assert compared > len(sample) // 4


def test_the_symbols_that_raise_the_floor_agree_with_nm(sample: list[Path]) -> None:
    compared = 0
    for path in sample:
        try:
            elf = read_elf(BytesSource(path.read_bytes()))
        except ElfError:
            continue
        requirement = requirement_of(elf, file="f")
        if not requirement.needs:
            continue
        truth: dict[str, set[str]] = {}
        for line in tool("nm", "-D", "--with-symbol-versions", str(path)).splitlines():
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
            told = [one.symbol for one in requirement.raised_by if one.soname == need.soname]
            assert {one.version for one in requirement.raised_by if one.soname == need.soname} == {highest}, path
            # nm tells the version and not the library, and two libraries can share a version's name.
            assert set(told) - {""} <= truth.get(highest, set()), path
            owners = [other.soname for other in requirement.needs if highest in other.versions]
            if owners == [need.soname]:
                assert told == (sorted(truth.get(highest, set()))[:SYMBOLS_SHOWN] or [""]), path
                compared += 1
    assert compared > 0


def test_imported_and_defined_symbols_agree_with_nm(sample: list[Path]) -> None:
    for path in sample[::5]:
        try:
            elf = read_elf(BytesSource(path.read_bytes()))
        except ElfError:
            continue
        if elf.symbols is None:
            continue
        undefined = {name for _kind, name in nm(path, "-u")}
        assert elf.imports == undefined, path
        for kind, name in nm(path, "-U")[:20]:
            if kind not in "aA":
                assert elf.defines(name), (path, kind, name)
