"""Finds what each interpreter's TLS module really uses, as the dynamic loader would decide.

Order: a copy inside the executable, inside the interpreter's library, inside its TLS modules (CPython's ``_ssl`` and
``_hashlib``, Ruby's ``openssl.so``, Perl's ``Net::SSLeay``…); each counts when its own code proves it and never by a
version text alone. Else the libraries that the TLS module needs are resolved in the
executable's context, and the version is that of the libcrypto which would be loaded: the version that a module was
compiled against is evidence, and never the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.agent.content import read_marks
from libcensus.agent.elf.loader import LoadedObject, Rule
from libcensus.agent.elf.reader import read_elf
from libcensus.agent.elf.strings import CryptoPresence, crypto_in_file, is_crypto_soname
from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import shown
from libcensus.agent.interpreters.snap import snap_folder
from libcensus.facts.crypto import CryptoLibrary, CryptoUse
from libcensus.facts.evidence import Evidence
from libcensus.facts.vocabulary import CryptoFamily, EvidenceKind, FileRole, Linkage

if TYPE_CHECKING:
    from libcensus.agent.elf.loader import LibrarySearch, Resolution
    from libcensus.agent.elf.strings import CryptoInFile
    from libcensus.agent.host import RootedFile
    from libcensus.agent.interpreters.candidate import Layout, ReadFile
    from libcensus.agent.probes.context import ScanContext
    from libcensus.agent.probes.libraries import Libraries
    from libcensus.agent.probes.skips import Skips
    from libcensus.facts.package import Package

_SHARED_PREFIXES = frozenset({"/", "/usr", "/usr/local"})
"""Prefixes that hold everybody's files: what lies below them is no part of one interpreter."""

_UNREAD_MANAGERS = ("/var/lib/rpm", "/usr/lib/sysimage/rpm", "/lib/apk/db/installed", "/var/lib/pacman/local")

_RULE_KINDS = {Rule.CACHE: EvidenceKind.LOADER_CACHE}


@dataclass(frozen=True, slots=True)
class TlsSubject:
    """What decides on the crypto library of one install: where its parts lie, its files and its owner."""

    path: str
    layout: Layout
    files: tuple[ReadFile, ...]
    package: Package | None


class CryptoReader:
    """Tells the crypto library of one install after another; libraries that many share are read once."""

    def __init__(self, context: ScanContext, libraries: Libraries, skips: Skips) -> None:
        self._context = context
        self._libraries = libraries
        self._skips = skips
        self._read: dict[str, CryptoInFile | None] = {}
        self._loaded: dict[str, dict[str, Resolution]] = {}
        self._has_unread_manager = any(context.root.exists(path) for path in _UNREAD_MANAGERS)

    def read(self, subject: TlsSubject) -> tuple[CryptoUse, list[Evidence]]:
        """Return how the install reaches its crypto library, with the proofs."""
        evidence: list[Evidence] = []
        executable = subject.files[0]
        holders = [file for file in subject.files if file.fact.role in (FileRole.EXECUTABLE, FileRole.LIBRARY)]
        found = {file.path: file for file in subject.files if file.is_tls}
        modules = [found[path] for path in subject.layout.tls_modules if path in found]
        for file in (*holders, *modules):
            if file.crypto is None:
                continue
            if file.crypto.presence is CryptoPresence.STATIC:
                evidence += _proofs(file.path, file.crypto)
                return self._static(subject, file), evidence
            evidence += _compiled_against(file.path, file.crypto)
        for file in (*modules, *holders):
            needed = [name for name in file.elf.needed if is_crypto_soname(name.rpartition("/")[2])]
            if needed:
                use, proofs = self._dynamic(subject, executable, file, needed)
                return use, evidence + proofs
        layout = subject.layout
        if modules:
            detail = "needs no crypto library and shows no copy of one"
            evidence.append(Evidence("crypto", EvidenceKind.ABSENCE, shown(modules[0].path), detail))
            return CryptoUse(Linkage.UNKNOWN), evidence
        if layout.tls_modules:
            detail = f"a module {layout.tls_name} is there, and could not be read or is no part of the build"
            evidence.append(Evidence("crypto", EvidenceKind.ABSENCE, shown(layout.tls_modules[0]), detail))
            return CryptoUse(Linkage.UNKNOWN), evidence
        if not layout.tls_places:
            return CryptoUse(Linkage.UNKNOWN), evidence
        detail = (
            f"no module {layout.tls_name}, and neither the executable nor a library of the interpreter holds or needs "
            "a crypto library"
        )
        evidence += [Evidence("crypto", EvidenceKind.ABSENCE, shown(place), detail) for place in layout.tls_places]
        return CryptoUse(Linkage.NONE), evidence

    def _static(self, subject: TlsSubject, file: ReadFile) -> CryptoUse:
        crypto = file.crypto
        if crypto is None:
            return CryptoUse(Linkage.UNKNOWN)
        version = crypto.version
        if version is None:
            # The linker may drop the version from one module and keep it in its sibling of the same build.
            siblings = (one.crypto for one in subject.files if one.crypto is not None and one.crypto.is_held)
            version = next((one.version for one in siblings if one.family is crypto.family and one.version), None)
        package = subject.package
        if file.is_tls and file.path not in subject.layout.modules:
            package = None if self._context.packages is None else self._context.packages.owner(file.path)
        return CryptoUse(Linkage.STATIC, shown(file.path), CryptoLibrary(crypto.family, version, package))

    def _dynamic(
        self, subject: TlsSubject, executable: ReadFile, asker: ReadFile, needed: list[str]
    ) -> tuple[CryptoUse, list[Evidence]]:
        elf = executable.elf
        search = self._libraries.search(elf.arch, elf.interpreter)
        chain = [LoadedObject(file.path, file.elf) for file in (asker, *_above(subject.files, asker))]
        evidence = [Evidence("crypto", EvidenceKind.ELF_NEEDED, shown(asker.path), f"needs {name}") for name in needed]
        asked = next((name for name in needed if "ssl" in name), needed[0])
        found: dict[str, Resolution] = {}
        pending = [(name, chain) for name in needed]
        for name, at in pending:
            if name in found:
                continue
            found[name] = self._resolve(search, executable, name, at)
            evidence.append(_resolution_proof(found[name], asker.path))
            path, library = found[name].path, found[name].elf
            if (snap := snap_folder(executable.path)) is not None and not (path or "").startswith(f"{snap}/"):
                # A confined snap loads from its base snap's root, which this search does not see.
                detail = f"{name} is not in {snap}: it comes from its base snap, and from nowhere else on the host"
                evidence.append(Evidence("crypto", EvidenceKind.ABSENCE, shown(asker.path), shown(detail)))
                return CryptoUse(Linkage.UNKNOWN, needed=asked), evidence
            if path is None or library is None:
                return CryptoUse(Linkage.UNRESOLVED, needed=asked), evidence
            pending += [
                (other, [LoadedObject(path, library), *at]) for other in library.needed if is_crypto_soname(other)
            ]
        code = next((one for name, one in found.items() if name.startswith("libcrypto")), found[needed[0]])
        path = self._context.root.realpath(code.path or "")
        crypto = self._crypto_of(path)
        package = self._context.packages.owner(path) if self._context.packages is not None else None
        family, version = CryptoFamily.UNKNOWN, None
        if crypto is not None and crypto.is_held:
            family, version = crypto.family, crypto.version
            evidence += _proofs(path, crypto)
        if package is not None:
            detail = f"{package.manager}: {package.name} {package.version} (source {package.source})"
            evidence.append(Evidence("crypto", EvidenceKind.PACKAGE_RECORD, shown(path), detail))
        linkage = self._linkage(subject, path, package)
        if package is None:
            words = "package records are there that cannot be read: the owner is not known"
            if linkage is not Linkage.SYSTEM:
                words = "no package owns it"
            evidence.append(Evidence("crypto", EvidenceKind.ABSENCE, shown(path), words))
        return CryptoUse(linkage, shown(path), CryptoLibrary(family, version, package), asked), evidence

    def _linkage(self, subject: TlsSubject, path: str, package: Package | None) -> Linkage:
        """Decide whose library it is: the install's own, a package's, or nobody's."""
        prefix = subject.layout.prefix
        is_private = prefix not in _SHARED_PREFIXES and path.startswith(f"{prefix}/")
        if package is not None:
            is_own = subject.package is not None and package.source == subject.package.source
            return Linkage.BUNDLED if is_own or is_private else Linkage.SYSTEM
        if is_private:
            return Linkage.BUNDLED
        packages = self._context.packages
        may_be_owned = self._has_unread_manager if packages is None else packages.has_gaps
        return Linkage.SYSTEM if may_be_owned else Linkage.LOCAL

    def _resolve(
        self, search: LibrarySearch, executable: ReadFile, needed: str, chain: list[LoadedObject]
    ) -> Resolution:
        """Resolve a name as at run time: what the executable has loaded already answers first."""
        if executable.path not in self._loaded:
            steps = search.load([LoadedObject(executable.path, executable.elf)])
            loaded: dict[str, Resolution] = {}
            for _, step in steps:
                if step.is_found:
                    loaded.setdefault(step.needed, step)
                    if step.elf is not None and step.elf.soname is not None:
                        loaded.setdefault(step.elf.soname, step)
            self._loaded[executable.path] = loaded
        return self._loaded[executable.path].get(needed) or search.resolve(needed, chain)

    def _crypto_of(self, path: str) -> CryptoInFile | None:
        if path not in self._read:

            def read(file: RootedFile) -> CryptoInFile | None:
                limit = self._context.settings.max_file_bytes
                if file.size > limit:
                    raise UnreadableError("too-large", f"{shown(path)}: {file.size} bytes; at most {limit} are read")
                return crypto_in_file(read_marks(file), read_elf(file))

            try:
                self._read[path] = self._context.root.examine(path, read)
            except UnreadableError as error:
                self._skips.add_error(error, shown(path))
                self._read[path] = None
        return self._read[path]


def _above(files: tuple[ReadFile, ...], asker: ReadFile) -> list[ReadFile]:
    """Return the objects that loaded ``asker``: the library whose code opens modules, and the executable."""
    libraries = [file for file in files if file.fact.role is FileRole.LIBRARY]
    return [file for file in (*libraries, files[0]) if file is not asker]


def _proofs(path: str, crypto: CryptoInFile) -> list[Evidence]:
    return [Evidence("crypto", proof.kind, shown(path), proof.detail, proof.offset) for proof in crypto.proofs]


def _compiled_against(path: str, crypto: CryptoInFile) -> list[Evidence]:
    """Name the version of the headers as what it is: no answer."""
    if crypto.presence is not CryptoPresence.COMPILED_AGAINST or crypto.compiled_against is None:
        return []
    detail = f"compiled against {crypto.family} {crypto.compiled_against}; this is not the version in use"
    return [Evidence("crypto", EvidenceKind.STRING, shown(path), detail)]


def _resolution_proof(found: Resolution, asker: str) -> Evidence:
    kind = _RULE_KINDS.get(found.rule, EvidenceKind.LOADER_PATH)
    if not found.is_found:
        kind = EvidenceKind.ABSENCE
    detail = f"{found.needed}: {found.evidence}" if found.needed not in found.evidence else found.evidence
    if found.path is not None and found.path not in detail:
        detail = f"{detail} => {shown(found.path)}"
    place = "/etc/ld.so.cache" if found.rule is Rule.CACHE else shown(asker)
    return Evidence("crypto", kind, place, shown(detail)[:1024])


def probe_crypto(context: ScanContext, skips: Skips) -> None:
    """Tell each interpreter's crypto library."""
    if context.libraries is None:
        return
    reader = CryptoReader(context, context.libraries, skips)
    for number, one in enumerate(context.interpreters):
        context.tell("crypto", number, len(context.interpreters))
        subject = TlsSubject(one.path, one.layout, one.files, one.package)
        try:
            one.crypto, proofs = reader.read(subject)
        except UnreadableError as error:
            skips.add_error(error, shown(one.path))
            continue
        one.evidence += proofs
