"""Makes interpreters of the walk's candidates: parts, build with every file's digest and needs, and owner.

One install is one main program: hard links, copies of the same bytes beside each other and symbolic links become
aliases. What differs from one implementation to the next is in its
:class:`~libcensus.agent.interpreters.traits.Traits`.
Executables inside virtual environments are left to the environments' probe.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from libcensus.agent.content import read_digest, read_marks
from libcensus.agent.elf.loader import LoadedObject
from libcensus.agent.elf.reader import MAGIC, read_elf
from libcensus.agent.elf.requirement import requirement_of
from libcensus.agent.elf.strings import crypto_in_file
from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import shown
from libcensus.agent.interpreters import PROVIDERS, PYTHON_PROVIDERS
from libcensus.agent.interpreters.cache import cache_of
from libcensus.agent.interpreters.candidate import UNKNOWN_PROVIDER, Interpreter, ReadFile, Subject
from libcensus.agent.interpreters.flags import x86_64_level
from libcensus.agent.interpreters.installer import find_installer
from libcensus.agent.interpreters.mainprogram import IMPLEMENTATIONS
from libcensus.agent.probes.libraries import Libraries
from libcensus.facts.evidence import Evidence
from libcensus.facts.interpreter import Build, BuildFile
from libcensus.facts.validation import InvalidFactError
from libcensus.facts.vocabulary import EvidenceKind, FileRole, Implementation

if TYPE_CHECKING:
    from libcensus.agent.host import Root, RootedFile
    from libcensus.agent.interpreters.candidate import Candidate, Claim, Layout
    from libcensus.agent.probes.context import ScanContext
    from libcensus.agent.probes.skips import Skips
    from libcensus.facts.package import Package

_PYTHONS = frozenset({Implementation.CPYTHON, Implementation.PYPY})


def probe_interpreters(context: ScanContext, skips: Skips) -> None:
    """Put the base interpreters into the context, sorted by path."""
    libraries = context.libraries or Libraries(context.root, skips)
    context.libraries = libraries
    folders = set(context.environment_folders)
    bases = [one for one in context.candidates if environment_of(one.path, folders) is None]
    # The nicest name of several for the same bytes comes first, so that it becomes the install's.
    bases.sort(key=lambda one: (one.path.rpartition("/")[0], _niceness(one)))
    drafts = [(one, *_layout_of(context, one, libraries, skips)) for one in bases]
    drafts = _without_cached(context.root, _without_embedders(drafts, skips), skips)
    _ask_owners(context, [layout for _, layout, _ in drafts])
    links = _links_by_target(context)
    for number, (candidate, layout, needed) in enumerate(drafts):
        context.tell("interpreters", number, len(drafts))
        if len(context.interpreters) >= context.settings.max_installs:
            skips.add("install-limit", f"{shown(candidate.path)}: more than {context.settings.max_installs} installs")
            continue
        try:
            _add(context, candidate, layout, needed, links, skips)
        except UnreadableError as error:
            skips.add_error(error, shown(candidate.path))
        except InvalidFactError as error:
            skips.add("invalid-fact", f"{shown(candidate.path)}: {error}")
    context.interpreters.sort(key=lambda one: one.path)
    context.tell("interpreters", len(drafts), len(drafts))


def environment_of(path: str, folders: set[str]) -> str | None:
    """Return the virtual environment that an executable lies in: pyvenv.cfg is beside it or one folder above."""
    folder = path.rpartition("/")[0]
    for one in (folder, folder.rpartition("/")[0]):
        if one in folders:
            return one
    return None


def _layout_of(
    context: ScanContext, candidate: Candidate, libraries: Libraries, skips: Skips
) -> tuple[Layout, tuple[str, ...]]:
    library: str | None = None
    elf = libraries.elf(candidate.path)
    if candidate.program.library is not None and elf is not None:
        search = libraries.search(elf.arch, elf.interpreter)
        found = search.resolve(candidate.program.library, [LoadedObject(candidate.path, elf)])
        if found.path is not None:
            try:
                library = context.root.realpath(found.path)
            except UnreadableError as error:
                skips.add_error(error)
        else:
            skips.add("library-not-found", f"{shown(candidate.path)}: {found.evidence}")
    traits = IMPLEMENTATIONS[candidate.program.implementation]
    return traits.find_layout(context.root, candidate, library, skips), () if elf is None else elf.needed


def _without_embedders(
    drafts: list[tuple[Candidate, Layout, tuple[str, ...]]], skips: Skips
) -> list[tuple[Candidate, Layout, tuple[str, ...]]]:
    """Leave out programs that embed an interpreter: they hold its code, and another owns the standard library."""
    claimed = {layout.stdlib for candidate, layout, _ in drafts if candidate.program.is_certain}
    kept = []
    for draft in drafts:
        candidate, layout, _ = draft
        if candidate.program.is_certain or (layout.stdlib is not None and layout.stdlib not in claimed):
            kept.append(draft)
        else:
            what = candidate.program.implementation
            reason = "embeds-python" if what in _PYTHONS else f"embeds-{what}"
            skips.add(reason, f"{shown(candidate.path)}: holds {what}, and has no standard library of its own")
    return kept


def _without_cached(
    root: Root, drafts: list[tuple[Candidate, Layout, tuple[str, ...]]], skips: Skips
) -> list[tuple[Candidate, Layout, tuple[str, ...]]]:
    """Leave out what a tool keeps unpacked in its cache, to make environments of."""
    kept = []
    for draft in drafts:
        whose = cache_of(root, draft[1])
        if whose is None:
            kept.append(draft)
        else:
            skips.add("package-cache", f"{shown(draft[0].path)}: a package in the cache of {whose}; no install")
    return kept


def _ask_owners(context: ScanContext, layouts: list[Layout]) -> None:
    """Look up the owners of all main programs and modules in one pass over the package database."""
    if context.packages is None:
        return
    paths = {path for layout in layouts for path in (layout.executable, layout.library) if path is not None}
    for layout in layouts:
        paths.update(layout.modules)
        paths.update(layout.tls_modules)
    context.packages.owners(paths)


def _links_by_target(context: ScanContext) -> dict[str, list[str]]:
    """Return, for each real path, the symbolic links named like an interpreter that lead to it."""
    folders = set(context.environment_folders)
    targets: dict[str, list[str]] = {}
    for link in context.links:
        if environment_of(link, folders) is not None:
            continue
        try:
            targets.setdefault(context.root.realpath(link), []).append(link)
        except UnreadableError:
            continue
    return targets


def _add(
    context: ScanContext,
    candidate: Candidate,
    layout: Layout,
    needed: tuple[str, ...],
    links: dict[str, list[str]],
    skips: Skips,
) -> None:
    executable = read_build_file(
        context.root, layout, candidate.path, FileRole.EXECUTABLE, context.settings.max_file_bytes
    )
    for other in context.interpreters:
        if _is_same(other, executable):
            names = {candidate.path, *links.get(candidate.path, ()), *other.aliases}
            other.aliases = tuple(sorted(names - {other.path}))
            return
    package = context.packages.owner(layout.executable) if context.packages is not None else None
    own = [executable, *_read_parts(context, layout, executable, package, skips)]
    added = _read_added(context, layout, executable, skips)
    claim = _claim(Subject(context.root, layout, needed, package))
    traits = IMPLEMENTATIONS[layout.implementation]
    version, version_proofs = traits.read_version(context.root, layout, package, layout.library or layout.executable)
    installer, installer_proofs = find_installer(context.root, layout.prefix, layout.executable, package)
    build = _build(context.root, candidate, layout, claim, version, own)
    proofs = {
        *version_proofs,
        *layout.evidence,
        *installer_proofs,
        *claim.evidence,
        Evidence("implementation", candidate.program.kind, shown(candidate.path), candidate.program.detail),
    }
    if not layout.tls_places:
        detail = "no standard library of this version beside it: modules and TLS are not known"
        proofs.add(Evidence("layout", EvidenceKind.ABSENCE, shown(candidate.path), detail))
    context.interpreters.append(
        Interpreter(
            layout=layout,
            path=candidate.path,
            aliases=tuple(sorted(links.get(candidate.path, ()))),
            package=package,
            build=build,
            installer=installer,
            files=(*own, *added),
            evidence=list(proofs),
        )
    )


def _niceness(candidate: Candidate) -> tuple[bool, int, str]:
    """Order names of one interpreter: ``python3.12`` before ``python3.12m``, and these before ``python``."""
    path = candidate.path
    nicest = IMPLEMENTATIONS[candidate.program.implementation].nicest
    return nicest.fullmatch(path.rpartition("/")[2]) is None, len(path), path


def _is_same(other: Interpreter, executable: ReadFile) -> bool:
    """Tell whether a main program is a copy or hard link of another in the same folder."""
    first = other.files[0]
    return (
        first.fact.sha256 == executable.fact.sha256
        and first.path.rpartition("/")[0] == executable.path.rpartition("/")[0]
    )


def _read_parts(
    context: ScanContext, layout: Layout, executable: ReadFile, package: Package | None, skips: Skips
) -> list[ReadFile]:
    """Read the library and the standard modules, those for TLS first; what cannot be read is a skip, not the end."""
    wanted = [] if layout.library is None else [(layout.library, FileRole.LIBRARY)]
    tls = [path for path in layout.tls_modules if path in layout.modules]
    owners = {} if context.packages is None else context.packages.owners(layout.modules)
    for path in dict.fromkeys((*tls, *layout.modules)):
        owner = owners.get(path)
        if package is not None and (owner is None or owner.source != package.source):
            whose = "no package" if owner is None else owner.name
            skips.add("module-of-another", f"{shown(path)}: belongs to {whose}; not a part of {package.name}'s build")
            continue
        wanted.append((path, FileRole.MODULE))
    return _read_files(context, layout, executable, wanted, skips)


def _read_added(context: ScanContext, layout: Layout, executable: ReadFile, skips: Skips) -> list[ReadFile]:
    """Read the TLS modules that others added: they decide on the install's crypto, and are no part of the build."""
    added = [(path, FileRole.MODULE) for path in layout.tls_modules if path not in layout.modules]
    return _read_files(context, layout, executable, added, skips)


def _read_files(
    context: ScanContext, layout: Layout, executable: ReadFile, wanted: list[tuple[str, FileRole]], skips: Skips
) -> list[ReadFile]:
    files = []
    for path, role in wanted:
        try:
            file = read_build_file(context.root, layout, path, role, context.settings.max_file_bytes)
            if _fits(file, executable):
                files.append(file)
            else:
                skips.add("does-not-fit", f"{shown(path)}: is for another architecture or loader than its executable")
        except UnreadableError as error:
            skips.add_error(error, shown(path))
    return files


def _fits(file: ReadFile, executable: ReadFile) -> bool:
    """Tell whether the executable's loader could load a file beside it."""
    interpreter = file.elf.interpreter
    return file.elf.arch == executable.elf.arch and interpreter in (None, executable.elf.interpreter)


def read_build_file(root: Root, layout: Layout, path: str, role: FileRole, limit: int) -> ReadFile:
    """Read one file of a build: its digest, what it needs, and the crypto in it where its kind can hold any.

    Raises UnreadableError, ``too-large`` beyond ``limit`` bytes.
    """
    relative = shown(path.removeprefix(layout.prefix.rstrip("/") + "/").lstrip("/"))
    is_tls = path in layout.tls_modules
    searches_crypto = role is not FileRole.MODULE or is_tls

    def read(file: RootedFile) -> ReadFile:
        if file.size > limit:
            raise UnreadableError("too-large", f"{shown(path)}: {file.size} bytes; at most {limit} are read")
        if file.read_at(0, 4) != MAGIC:
            raise UnreadableError("not-elf", f"{shown(path)}: is no ELF file")
        elf = read_elf(file)
        marks = read_marks(file) if searches_crypto else read_digest(file)
        fact = BuildFile(
            path=relative,
            role=role,
            sha256=marks.sha256,
            size=marks.size,
            soname=elf.soname,
            requirement=requirement_of(elf, file=relative),
        )
        crypto = crypto_in_file(marks, elf) if searches_crypto else None
        return ReadFile(path, fact, dataclasses.replace(elf, symbols=None), crypto, is_tls)

    return root.examine(path, read)


def _claim(subject: Subject) -> Claim:
    is_python = subject.layout.implementation in _PYTHONS
    for provider in PROVIDERS:
        if provider in PYTHON_PROVIDERS and not is_python:
            continue
        if (claim := provider(subject)) is not None:
            return claim
    return UNKNOWN_PROVIDER


def _build(
    root: Root, candidate: Candidate, layout: Layout, claim: Claim, version: str | None, files: list[ReadFile]
) -> Build:
    proofs = set(claim.build_evidence)
    flags = set(claim.flags)
    where = ""
    if layout.sysconfig_file is not None:
        where = shown(layout.sysconfig_file.removeprefix(layout.prefix.rstrip("/") + "/"))
    for flag, proof in IMPLEMENTATIONS[layout.implementation].flags(root, layout, layout.library or layout.executable):
        flags.add(flag)
        proofs.add(proof)
    executable = files[0]
    if candidate.program.library is not None:
        flags.add("shared")
        proofs.add(
            Evidence("flags", EvidenceKind.ELF_NEEDED, executable.fact.path, f"shared: {candidate.program.library}")
        )
    if executable.elf.is_static:
        flags.add("static")
        detail = "static: neither a program interpreter nor a needed library"
        proofs.add(Evidence("flags", EvidenceKind.ELF_HEADER, executable.fact.path, detail))
    facts = [file.fact for file in files]
    told = x86_64_level(layout.sysconfig)
    if told is not None:
        flags.add(f"x86-64-v{told[0]}")
        proofs.add(Evidence("requirement", EvidenceKind.TEXT_LINE, where, told[1]))
    levels = [int(flag.removeprefix("x86-64-v")) for flag in flags if flag.startswith("x86-64-v")]
    if levels and candidate.program.arch == "x86_64":
        facts = [_with_level(fact, max(levels)) for fact in facts]
    unique = {fact.path: fact for fact in facts}
    return Build(
        implementation=layout.implementation,
        version=version,
        arch=candidate.program.arch,
        provider=claim.provider,
        provider_build=claim.provider_build,
        flags=tuple(sorted(flags)),
        files=tuple(sorted(unique.values(), key=lambda fact: fact.path)),
        evidence=tuple(sorted(proofs, key=lambda item: item.sort_key)),
    )


def _with_level(fact: BuildFile, level: int) -> BuildFile:
    """Raise a file's x86-64 level to what its builder told the compiler; a note in the file may say more."""
    need = fact.requirement
    if need is None:
        return fact
    return dataclasses.replace(
        fact, requirement=dataclasses.replace(need, x86_64_level=max(level, need.x86_64_level or 1))
    )
