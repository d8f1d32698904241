"""Decides which file of an artefact finds which other one, as the loader would at the place where it will lie.

The search is that of :mod:`libcensus.agent.elf.loader` over the artefact's own files: RPATH, RUNPATH and ``$ORIGIN``,
a library that is loaded already by its soname, and nothing of the host. It refuses to take a library for brought along
only because it lies somewhere in the artefact: what the loader would not find stays a need, and is called stray.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from libcensus.agent.elf.loader import LibrarySearch, LoadedObject
from libcensus.agent.elf.reader import ElfType
from libcensus.facts.artefact import ArtefactFile
from libcensus.facts.requirement import LibraryNeed, Requirement, merge_requirements, version_key
from libcensus.facts.vocabulary import FileRole, LibcFamily, LoaderKind

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from libcensus.agent.elf.reader import Elf

MOST_LINKS = 40
"""The kernel's own bound on symbolic links in one path (path_resolution(7))."""


@dataclass(frozen=True, slots=True)
class Part:
    """One ELF file of an artefact: its name there, and the absolute path at which it will really lie.

    ``opened`` is the path by which it is opened, where that is another one: it is what ``$ORIGIN`` means to it.
    """

    name: str
    location: str
    elf: Elf
    role: FileRole
    requirement: Requirement
    opened: str | None = None

    @property
    def place(self) -> str:
        """The path by which the loader knows it."""
        return self.location if self.opened is None else self.opened


class Tree:
    """The files of one artefact as a loader would see them; ``links`` are symbolic links by location.

    Everything else is not there: a path that leads out of the artefact leads to nothing.
    """

    def __init__(self, parts: Iterable[Part], links: Mapping[str, str]) -> None:
        self._parts = {part.location: part for part in parts}
        self._links = links
        self._known: dict[str, Part | None] = {}

    def part(self, path: str) -> Part | None:
        """Return the file that a path leads to, through links; None where there is none."""
        if path not in self._known:
            self._known[path] = self._follow(path)
        return self._known[path]

    def elf(self, path: str) -> Elf | None:
        """Return the ELF file that a path leads to."""
        part = self.part(path)
        return None if part is None else part.elf

    def _follow(self, path: str) -> Part | None:
        if not self._links and "/../" not in path:
            return self._parts.get(path)
        pending = [name for name in reversed(path.split("/")) if name]
        passed: list[str] = []
        links = 0
        while pending:
            name = pending.pop()
            if name == "..":
                del passed[-1:]
                continue
            place = "/" + "/".join((*passed, name))
            target = self._links.get(place)
            if target is None:
                passed.append(name)
                continue
            links += 1
            if links > MOST_LINKS:
                return None
            if target.startswith("/"):
                passed.clear()
            pending += [part for part in reversed(target.split("/")) if part not in {"", "."}]
        return self._parts.get("/" + "/".join(passed))


@dataclass(slots=True)
class _Loads:
    """What the loads of all starting points showed: for each file and name what was found, and for which it was not.

    ``lacking`` is the latter by starting point; ``names`` are those by which each architecture's libraries are known,
    and ``folders`` where files lie of which all are known. ``defaults`` are folders that every search ends with.
    """

    parts: Mapping[str, Part]
    defaults: Sequence[str] = ()
    found: dict[tuple[str, str], str] = field(default_factory=dict)
    lacking: dict[str, dict[tuple[str, str], None]] = field(default_factory=dict)
    reached: set[str] = field(default_factory=set)
    names: dict[str, set[str]] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)


def link(
    parts: Sequence[Part],
    links: Mapping[str, str],
    opener: Part | None = None,
    *,
    defaults: Sequence[str] = (),
    folders: Collection[str] | None = None,
) -> tuple[ArtefactFile, ...]:
    """Return the files with what each leaves open, sorted by path.

    ``opener`` is the interpreter that opens the modules: what it has loaded is loaded for them too. ``defaults`` are
    folders in which the loader is known to find those of the files that lie there, and ``folders`` those of which all
    files are among the parts: where it is None, the parts' own.
    """
    tree = Tree(parts, links)
    seen = _Loads({part.location: part for part in parts}, defaults, folders=set(folders or ()))
    for part in parts:
        if part.role is not FileRole.LIBRARY:
            _load(tree, part, opener, seen)
    # Libraries that nothing here maps are opened by somebody else; those first that no other one of them wants.
    rest = [part for part in parts if part.location not in seen.reached and part.role is FileRole.LIBRARY]
    wanted = {name for part in rest for name in part.elf.needed}
    for part in sorted(rest, key=lambda part: bool(wanted & _names(part))):
        if part.location not in seen.reached:
            _load(tree, part, opener, seen)
    for part in parts:
        if folders is None:
            seen.folders.add(part.location.rsplit("/", 1)[0])
        if part.elf.type is ElfType.DYN and not part.elf.is_executable:
            seen.names.setdefault(part.elf.arch, set()).update(_names(part))
    for place in links:
        target = tree.part(place)
        if target is not None and target.elf.type is ElfType.DYN:
            seen.names.setdefault(target.elf.arch, set()).add(place.rsplit("/", 1)[-1])
    return tuple(sorted((_file(part, seen) for part in parts), key=lambda file: file.path))


def _names(part: Part) -> set[str]:
    own = {part.location.rsplit("/", 1)[-1]}
    return own if part.elf.soname is None else {*own, part.elf.soname}


def _load(tree: Tree, root: Part, opener: Part | None, seen: _Loads) -> None:
    """Load one file as a program, or as what a program opens, and note what each object of its closure found."""
    search = search_of(root, tree.elf, seen.defaults)
    start = [root]
    if (
        opener is not None
        and root.role is not FileRole.EXECUTABLE
        and root.elf.interpreter is None
        and opener.elf.arch == root.elf.arch
    ):
        start = [opener, root]
    seen.reached.add(root.location)
    for asker, resolution in search.load([LoadedObject(part.place, part.elf) for part in start]):
        key = asker.path, resolution.needed
        target = None if resolution.path is None else tree.part(resolution.path)
        # An object is known by the path through which it was found; its own file may lie behind a link.
        own = tree.part(asker.path)
        if own is not None:
            key = own.location, resolution.needed
        if target is None:
            seen.lacking.setdefault(root.location, {})[key] = None
        else:
            seen.found.setdefault(key, target.location)
            seen.reached.add(target.location)


def search_of(root: Part, elf_at: Callable[[str], Elf | None], defaults: Sequence[str] = ()) -> LibrarySearch:
    """Return the search of the loader that starts or opens a file, among the ELF files that ``elf_at`` knows."""
    arch = root.elf.arch

    def lookup(path: str) -> Elf | None:
        elf = elf_at(path)
        return elf if elf is not None and elf.arch == arch and elf.type is ElfType.DYN else None

    family = LibcFamily.MUSL if is_for_musl(root.elf, root.requirement.loader_kind) else LibcFamily.GLIBC
    return LibrarySearch(lookup, arch, defaults, family=family)


def is_for_musl(elf: Elf, loader: LoaderKind) -> bool:
    """Tell whether a file is linked to musl: by its program interpreter, or by the name of its libc."""
    if loader is not LoaderKind.NONE:
        return loader is LoaderKind.MUSL
    return any(name == "libc.so" or name.startswith("libc.musl-") for name in elf.needed)


def _file(part: Part, seen: _Loads) -> ArtefactFile:
    lacking = seen.lacking.get(part.location, {})
    names = seen.names.get(part.elf.arch, set())
    uses: set[str] = set()
    brought: dict[str, Part] = {}
    open_names: set[str] = set()
    for needed in dict.fromkeys(part.elf.needed):
        location = seen.found.get((part.location, needed))
        if location is None or (part.location, needed) in lacking:
            open_names.add(needed)
            continue
        target = seen.parts[location]
        if target.name != part.name:
            uses.add(target.name)
        for name in (needed, *_names(target)):
            brought.setdefault(name, target)
    requirement = _less(part.requirement, brought, open_names)
    if others := [_of_another(key, seen) for key in lacking if key[0] != part.location and key in seen.found]:
        joined = merge_requirements([requirement, *others])
        requirement = replace(requirement, needs=joined.needs, sonames=joined.sonames, raised_by=joined.raised_by)
    # Of absolute folders of the artefact itself everything is known.
    runpath = tuple(path for path in requirement.runpath if path.rstrip("/") not in seen.folders)
    return ArtefactFile(
        part.name,
        part.role,
        replace(requirement, runpath=runpath),
        tuple(sorted(uses)),
        tuple(sorted(name for name in requirement.sonames if name.rsplit("/", 1)[-1] in names)),
    )


def _of_another(key: tuple[str, str], seen: _Loads) -> Requirement:
    """Return what a library of the artefact finds when others load it, and not when this starting point does."""
    asker, needed = key
    theirs = seen.parts[asker].requirement
    return Requirement(
        needs=tuple(need for need in theirs.needs if need.soname == needed),
        sonames=(needed,),
        raised_by=tuple(entry for entry in theirs.raised_by if entry.soname == needed),
    )


def _less(requirement: Requirement, brought: Mapping[str, Part], open_names: set[str]) -> Requirement:
    """Return a requirement without what the artefact brings; a version that the own library lacks stays."""
    needs = []
    for need in requirement.needs:
        library = brought.get(need.soname)
        if library is None or need.soname in open_names:
            needs.append(need)
            continue
        defined = set(library.elf.defined_versions)
        # A library without any version is taken as it is: the loader only warns then.
        lacking = tuple(version for version in need.versions if defined and version not in defined)
        if lacking:
            needs.append(LibraryNeed(need.soname, lacking))
    kept = {need.soname for need in needs}
    highest = {need.soname: max(need.versions, key=version_key) for need in needs if need.versions}
    return replace(
        requirement,
        needs=tuple(needs),
        sonames=tuple(
            name for name in requirement.sonames if name in kept or name in open_names or name not in brought
        ),
        raised_by=tuple(entry for entry in requirement.raised_by if highest.get(entry.soname) == entry.version),
    )
