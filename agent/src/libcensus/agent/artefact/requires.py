"""What files, folders, wheels and archives need of a host: ``libcensus-agent requires``.

Each given path gets one answer per architecture, joined over the ELF files in it, less the libraries that it brings
itself, wherever in it they lie. Everything that is passed over, and every bound that is reached, is told in
``skipped``.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.agent.artefact.gather import ArtefactSettings, Gatherer, Member, Skipped
from libcensus.agent.artefact.source import shown
from libcensus.agent.elf.reader import ElfType
from libcensus.agent.errors import ArtefactError
from libcensus.facts.manylinux import judge_manylinux
from libcensus.facts.requirement import Requirement, merge_requirements, version_key
from libcensus.facts.validation import InvalidFactError
from libcensus.facts.vocabulary import LoaderKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


@dataclass(frozen=True, slots=True)
class ArtefactRequirement:
    """What one path needs for one architecture.

    ``requirement`` is joined over ``files`` ELF files, less the sonames that they bring themselves (``brought``);
    ``manylinux`` is the oldest policy that fits, or None with ``manylinux_reason``.
    """

    path: str
    requirement: Requirement
    files: int
    is_static: bool
    manylinux: str | None
    manylinux_reason: str
    brought: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()


def requires(
    paths: Iterable[str | os.PathLike[str]],
    *,
    settings: ArtefactSettings | None = None,
    on_error: Callable[[ArtefactError], None] | None = None,
) -> list[ArtefactRequirement]:
    """Return what each path needs, in the order given: one entry per architecture, at least one per path.

    A path that cannot be read at all raises ArtefactError; with ``on_error`` the error goes there instead, and the
    other paths are still answered.
    """
    found: list[ArtefactRequirement] = []
    for path in paths:
        try:
            gatherer = Gatherer(os.fspath(path), settings or ArtefactSettings())
            gatherer.gather()
            found.extend(_join(gatherer))
        except ArtefactError as error:
            if on_error is None:
                raise
            on_error(error)
    return found


def artefact_document(item: ArtefactRequirement) -> dict[str, object]:
    """Return one entry of the JSON list that ``requires --output json`` prints; documented in ``docs/``."""
    requirement = item.requirement
    raised = sorted(requirement.raised_by, key=lambda one: (one.soname, one.version, one.file, one.symbol))
    return {
        "path": item.path,
        "arch": requirement.arch,
        "glibc": requirement.glibc,
        "symbol_versions": {
            need.soname: sorted(need.versions, key=version_key) for need in requirement.needs if need.versions
        },
        "weak_versions": {need.soname: sorted(need.weak, key=version_key) for need in requirement.needs if need.weak},
        "sonames": list(requirement.sonames),
        "loader": requirement.loader,
        "loader_kind": requirement.loader_kind.value,
        "static": item.is_static,
        "raised_by": [
            {"file": one.file, "symbol": one.symbol, "version": one.version, "soname": one.soname} for one in raised
        ],
        "manylinux": item.manylinux,
        "manylinux_reason": item.manylinux_reason,
        "x86_64_level": requirement.x86_64_level,
        "kernel": requirement.kernel,
        "files": item.files,
        "brought": list(item.brought),
        "skipped": [{"path": one.path, "reason": one.reason, "detail": one.detail} for one in item.skipped],
    }


def _join(gatherer: Gatherer) -> list[ArtefactRequirement]:
    """Return one entry per architecture and loader; one empty entry where there is no ELF file at all."""
    path, members, aliases = shown(gatherer.path), gatherer.members, gatherer.aliases
    skipped = tuple(sorted(gatherer.skipped))
    if not members:
        return [ArtefactRequirement(path, Requirement(), 0, False, None, "no ELF file in it", (), skipped)]
    found: list[ArtefactRequirement] = []
    for arch in sorted({member.elf.arch for member in members}):
        of_arch = [member for member in members if member.elf.arch == arch]
        found.extend(_entry(path, group, aliases, skipped) for group in _by_loader(of_arch))
    return found


def _by_loader(members: Sequence[Member]) -> list[list[Member]]:
    """Return the members that can be in one process: a program for musl and one for glibc cannot.

    Libraries go with the loader of their own libc, or, where they show none, with the one that most programs ask for.
    """
    loaders = Counter(member.elf.interpreter for member in members if member.elf.interpreter is not None)
    if len(loaders) < 2:
        return [list(members)]
    groups: dict[str, list[Member]] = {loader: [] for loader in sorted(loaders)}
    most = max(sorted(loaders), key=lambda loader: loaders[loader])
    for member in members:
        if member.elf.interpreter is not None:
            groups[member.elf.interpreter].append(member)
            continue
        is_musl = any(name == "libc.so" or name.startswith("libc.musl-") for name in member.elf.needed)
        is_glibc = "libc.so.6" in member.elf.needed
        fitting = [loader for loader in groups if (is_musl if "ld-musl" in loader else is_glibc)]
        groups[max(fitting, key=lambda loader: loaders[loader]) if fitting else most].append(member)
    return list(groups.values())


def _entry(
    path: str, group: Sequence[Member], aliases: Sequence[tuple[str, str]], skipped: tuple[Skipped, ...]
) -> ArtefactRequirement:
    is_single = len(group) == 1 and group[0].name == path
    brought = set() if is_single else _brought(group, aliases)
    try:
        requirement = merge_requirements([member.requirement for member in group], brought=brought)
    except InvalidFactError as error:
        raise ArtefactError("too-large", f"{path}: {error}") from error
    versions = {
        version
        for member in group
        for need in member.requirement.needs
        for version in (*need.versions, *need.weak)
        if not need.soname.startswith(("ld-linux", "ld64.so."))
    }
    verdict = judge_manylinux(
        requirement.arch,
        versions,
        requirement.sonames,
        x86_64_level=requirement.x86_64_level,
        private_symbols={symbol for member in group for symbol in member.private},
    )
    return ArtefactRequirement(
        path,
        requirement,
        len(group),
        all(member.elf.is_static for member in group) and requirement.loader_kind is LoaderKind.NONE,
        verdict.policy,
        verdict.reason,
        tuple(sorted(brought & _wanted(group))),
        skipped,
    )


def _wanted(group: Sequence[Member]) -> set[str]:
    return {name for member in group for name in member.requirement.sonames}


def _brought(group: Sequence[Member], aliases: Sequence[tuple[str, str]]) -> set[str]:
    """Return the names that the files answer to: their sonames, their own names, and links to them."""
    names: set[str] = set()
    for member in group:
        if member.elf.type is ElfType.DYN:
            names.add(member.name.rsplit("/", 1)[-1].rsplit("!", 1)[-1])
            if member.elf.soname is not None:
                names.add(member.elf.soname)
    names.update(alias for alias, target in aliases if target in names)
    # A needed name with a slash in it is a path (`$ORIGIN/../lib/libpython3.12.so.1.0`).
    names.update(name for name in _wanted(group) if "/" in name and name.rsplit("/", 1)[-1] in names)
    return names
