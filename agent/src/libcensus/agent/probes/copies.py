"""Finds the crypto libraries that packages of a language, or products, bring beside the system's and an interpreter's.

Each of them has to be updated by itself: the distribution's security updates do not reach it. A copy is a file that
holds the library's code: a library of its own, or an extension module with a static one inside. What only links to
another library is none, and what an interpreter itself uses is told with its install and not again here. A bill of
materials (PEP 770) is a statement that the file has to confirm.

Files with the same content in one environment count once where they are one file (hard links); the same file linked
into several environments is a copy in each, because each is updated by itself.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from libcensus.agent import wheels
from libcensus.agent.content import read_crypto_marks
from libcensus.agent.elf.reader import MAGIC, read_elf
from libcensus.agent.elf.strings import CryptoPresence, crypto_in_file, is_crypto_soname
from libcensus.agent.errors import ElfError, UnreadableError
from libcensus.agent.host import shown
from libcensus.facts.crypto import CopyOwner, CryptoCopy, CryptoLibrary
from libcensus.facts.evidence import Evidence
from libcensus.facts.validation import InvalidFactError
from libcensus.facts.vocabulary import EvidenceKind, Linkage, PackageOrigin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from libcensus.agent.elf.strings import CryptoInFile
    from libcensus.agent.host import Root, RootedFile
    from libcensus.agent.probes.context import ScanContext
    from libcensus.agent.probes.skips import Skips
    from libcensus.agent.wheels import BilledLibrary, Site
    from libcensus.facts.package import Package

_MAX_RECORD = 8 << 20
_MAX_METADATA = 1 << 20
_MAX_BILL = 4 << 20
_MOST_RECORDS = 4096
_WORDS = 1024

_MODULES = re.compile(r"(?P<folder>.*/node_modules/(?:@[^/]+/)?[^/@][^/]*)/")
_GEM = re.compile(r"(?P<home>.*)/(?:gems|extensions/[^/]+/[^/]+)/(?P<name>[^/]+)-(?P<version>\d[^/]*)/")
_PLATFORM = re.compile(r"-(?:x86_64|x64|x86|aarch64|arm64|arm|java|universal)-[\w-]+\Z")
_UV_CACHE = re.compile(r"(?P<cache>.*)/archive-v\d+/[^/]+/")
_CONDA_CACHE = re.compile(r"(?P<package>.*/pkgs/[^/]+)/")

_SHARED_PREFIXES = frozenset({"/", "/usr", "/usr/local"})
_SYSTEM_FOLDERS = ("/lib/", "/lib32/", "/lib64/", "/libx32/", "/usr/lib/", "/usr/lib32/", "/usr/lib64/", "/usr/libx32/")


@dataclass(slots=True)
class _Draft:
    """A file that holds a crypto library, while what brought it is looked for."""

    path: str
    crypto: CryptoInFile
    site: Site | None
    environment: str | None
    owner: CopyOwner | None = None
    record: str | None = None
    package: Package | None = None
    version: str | None = None
    evidence: list[Evidence] = field(default_factory=list)

    @property
    def is_library(self) -> bool:
        """Whether the file is a crypto library of its own."""
        return self.crypto.presence is CryptoPresence.LIBRARY or is_crypto_soname(self.path.rpartition("/")[2])


def probe_copies(context: ScanContext, skips: Skips) -> None:
    """Put the crypto copies into the context, sorted by path."""
    drafts = list(_Reader(context, skips).drafts())
    if context.packages is not None:
        owners = context.packages.owners({one.path for one in drafts})
        for draft in drafts:
            draft.package = owners.get(draft.path)
    drafts = [draft for draft in drafts if _is_copy(context, draft, skips)]
    owners_of = _Owners(context, skips)
    owners_of.find(drafts)
    _confirm(context, drafts, owners_of, skips)
    _ask_siblings(drafts)
    for draft in sorted(drafts, key=lambda one: one.path):
        if len(context.copies) >= context.settings.max_installs:
            skips.add("copy-limit", f"{shown(draft.path)}: more than {context.settings.max_installs} copies")
            continue
        try:
            context.copies.append(_fact(context, draft))
        except InvalidFactError as error:
            skips.add("invalid-fact", f"{shown(draft.path)}: {error}")


class _Reader:
    """Reads each file once, whatever the number of its names, and keeps those that hold a crypto library."""

    def __init__(self, context: ScanContext, skips: Skips) -> None:
        self._context = context
        self._root = context.root
        self._skips = skips
        self._told = _told_elsewhere(context)
        self._environments = set(context.environment_folders)
        self._prefixes = {one.layout.prefix for one in context.interpreters} - _SHARED_PREFIXES
        self._conda: dict[str, bool] = {}
        self._records: dict[str, bool] = {}

    def drafts(self) -> Iterator[_Draft]:
        """Yield what holds a crypto library: per file and environment its first path."""
        files = self._by_file()
        for number, paths in enumerate(files):
            self._context.tell("crypto copies", number, len(files))
            places = {path: self._environment(path) for path in paths}
            # One file is told once for each environment, also where an install tells of it.
            told = {place for path, place in places.items() if shown(path) in self._told}
            if told.issuperset(places.values()):
                continue
            crypto = self._read(paths[0])
            if crypto is None or not crypto.is_held:
                continue
            drafts = [
                _Draft(path, crypto, self._site(path), place) for path, place in places.items() if place not in told
            ]
            kept = {one.environment: one for one in reversed(drafts) if not self._is_cached(one)}
            if len(kept) > 1 or told:
                # A name outside of all environments is where the others were linked from.
                kept.pop(None, None)
            yield from kept.values()

    def _by_file(self) -> list[list[str]]:
        """Return the found paths, those of one file together, in order."""
        files: dict[tuple[int, int], list[str]] = {}
        for path in sorted(set(self._context.libraries_found)):
            try:
                status = self._root.stat(path)
            except UnreadableError as error:
                self._skips.add_error(error, shown(path))
                continue
            files.setdefault((status.st_dev, status.st_ino), []).append(path)
        return list(files.values())

    def _read(self, path: str) -> CryptoInFile | None:
        limit = self._context.settings.max_file_bytes

        def read(file: RootedFile) -> CryptoInFile | None:
            if file.read_at(0, 4) != MAGIC:
                return None
            if file.size > limit:
                raise UnreadableError("too-large", f"{shown(path)}: {file.size} bytes; at most {limit} are read")
            marks = read_crypto_marks(file)
            return crypto_in_file(marks, read_elf(file)) if marks.marks else None

        try:
            return self._root.examine(path, read)
        except ElfError as error:
            if error.reason != "debug-only":
                self._skips.add(f"damaged-elf:{error.reason}", f"{shown(path)}: {error.detail or error.reason}")
        except UnreadableError as error:
            self._skips.add_error(error, shown(path))
        return None

    def _site(self, path: str) -> Site | None:
        """Return the folder of installed distributions that a file lies in, also where it has another name."""
        if (site := wheels.site_of(path)) is not None:
            return site
        folder = path
        while folder := folder.rpartition("/")[0]:
            if self._holds_records(folder):
                return wheels.Site(folder, None)
        return None

    def _holds_records(self, folder: str) -> bool:
        if folder not in self._records:
            try:
                names = self._root.listdir(folder)
            except UnreadableError:
                names = []
            self._records[folder] = any(name.endswith(".dist-info") for name in names)
        return self._records[folder]

    def _environment(self, path: str) -> str | None:
        """Return the folder of the environment, or the prefix of the interpreter, that a file lies in."""
        site = wheels.site_of(path)
        if site is not None and site.prefix is not None:
            return site.prefix
        folder = path
        while folder := folder.rpartition("/")[0]:
            if folder in self._environments or folder in self._prefixes or self._is_conda(folder):
                return folder
        return None

    def _is_conda(self, folder: str) -> bool:
        if folder not in self._conda:
            self._conda[folder] = self._root.is_folder(f"{folder}/conda-meta")
        return self._conda[folder]

    def _is_cached(self, draft: _Draft) -> bool:
        if cache_of(self._root, draft.path, draft.environment) is None:
            return False
        self._skips.add("installer-cache", f"{shown(draft.path)}: lies in a cache, from which packages are installed")
        return True


def cache_of(root: Root, path: str, environment: str | None) -> str | None:
    """Return the installer's cache that a file lies in, conda's or uv's: nothing is loaded from there.

    uv keeps environments of its own in the cache: what lies in one of them is in use.
    """
    match = _CONDA_CACHE.match(path)
    if match is not None and root.is_file(f"{match['package']}/info/index.json"):
        return match["package"]
    match = None if environment is not None else _UV_CACHE.match(path)
    return match["cache"] if match is not None and root.is_file(f"{match['cache']}/CACHEDIR.TAG") else None


def _told_elsewhere(context: ScanContext) -> set[str]:
    """Return the files that the installs tell of: their own, and the crypto libraries that they use."""
    told = {shown(file.path) for one in context.interpreters for file in one.files}
    told.update(one.crypto.path for one in context.interpreters if one.crypto.path is not None)
    told.update(one.crypto.path for one in context.environments if one.crypto.path is not None)
    return told


def _is_copy(context: ScanContext, draft: _Draft, skips: Skips) -> bool:
    """Tell whether a file that holds a crypto library is a copy beside the system's own."""
    if draft.environment is not None or _MODULES.match(draft.path) or _GEM.match(draft.path):
        return True
    is_system = draft.path.startswith(_SYSTEM_FOLDERS)
    if draft.package is not None:
        origin = draft.package.origin
        return origin is PackageOrigin.VENDOR or (origin is PackageOrigin.UNKNOWN and not is_system)
    # Where the C library has no owner although there are records, these do not tell the system's files.
    libc, packages = context.host.libc, context.packages
    is_unreadable = packages is None or (
        packages.manager is not None and libc.path is not None and libc.package is None
    )
    if is_system and is_unreadable:
        skips.add("owner-not-known", f"{shown(draft.path)}: the package records cannot be read; is it the system's?")
        return False
    return True


class _Owners:
    """Finds what brought a file: the records of a site folder, of conda, of npm, of gems; else the system's package."""

    def __init__(self, context: ScanContext, skips: Skips) -> None:
        self._root = context.root
        self._skips = skips
        self._conda: dict[str, dict[str, CopyOwner]] = {}
        self._infos: dict[str, dict[str, str]] = {}
        self._paths: tuple[str, ...] = ()

    def find(self, drafts: list[_Draft]) -> None:
        """Set the owner of each draft, with the proof."""
        self._paths = tuple(draft.path for draft in drafts)
        by_site: dict[str, list[_Draft]] = {}
        for draft in drafts:
            if draft.site is not None:
                by_site.setdefault(draft.site.folder, []).append(draft)
        for folder, members in by_site.items():
            self._ask_site(folder, members)
        for draft in drafts:
            if draft.owner is None:
                self._ask_modules(draft)
            if draft.owner is None:
                self._ask_gems(draft)
            if draft.owner is None:
                self._ask_conda(draft)
            if draft.owner is None and draft.package is not None:
                package = draft.package
                draft.owner = CopyOwner(package.manager, package.name, package.version[:128])
                detail = f"{package.manager}: {package.name} {package.version} (source {package.source})"
                _prove(draft, EvidenceKind.PACKAGE_RECORD, draft.path, detail)

    def infos(self, site: str) -> dict[str, str]:
        """Return the records of a site folder with their compared names; what is beyond the bound is counted."""
        if site not in self._infos:
            infos: dict[str, str] = {}
            try:
                infos = wheels.info_folders(self._root.listdir(site))
            except UnreadableError as error:
                self._skips.add_error(error)
            if len(infos) > _MOST_RECORDS:
                self._skips.add("record-limit", f"{shown(site)}: {len(infos)} records; {_MOST_RECORDS} are read")
            self._infos[site] = dict(list(infos.items())[:_MOST_RECORDS])
        return self._infos[site]

    def text(self, path: str, limit: int) -> str | None:
        """Return a record's text; None where there is none, or none that can be read."""
        try:
            return self._root.read_text(path, limit)
        except UnreadableError as error:
            if error.reason != "not-found":
                self._skips.add_error(error, shown(path))
            return None

    def _owner(self, record: str, ecosystem: str, name: str, version: str | None) -> CopyOwner | None:
        """Return an owner as a record names it; a name that nothing can have is a skip."""
        try:
            return CopyOwner(ecosystem, shown(name)[:256], shown(version)[:128] if version else None)
        except InvalidFactError as error:
            self._skips.add("damaged-record", f"{shown(record)}: {error}")
            return None

    # --- Python -----------------------------------------------------------------------------------------------------

    def _ask_site(self, site: str, drafts: list[_Draft]) -> None:
        infos = self.infos(site)
        waiting = {draft.path.removeprefix(f"{site}/"): draft for draft in drafts}
        # What is named like the file's own folder comes first: mostly nothing else has to be read.
        likely = {wheels.normal_name(path.partition("/")[0].removesuffix(".libs")) for path in waiting}
        for info in sorted(infos, key=lambda info: (infos[info] not in likely, info)):
            if not waiting:
                return
            record, named = self._named(f"{site}/{info}", frozenset(waiting))
            for path in named:
                draft = waiting.pop(path)
                self._set_distribution(draft, f"{site}/{info}", record, f"names {shown(path)}")
        for path, draft in waiting.items():
            top = path.partition("/")[0]
            own = wheels.normal_name(top.removesuffix(".libs"))
            alike = next((info for info in sorted(infos) if infos[info] == own and "/" in path), None)
            if alike is not None:
                self._set_distribution(draft, f"{site}/{alike}", f"{site}/{alike}", f"is named like {shown(top)}")

    def _named(self, info: str, wanted: frozenset[str]) -> tuple[str, set[str]]:
        """Return which files a distribution's record names, and the record."""
        record = f"{info}/RECORD"
        text = self.text(record, _MAX_RECORD) if info.endswith(".dist-info") else None
        if text is not None:
            return record, wheels.record_names(text, wanted)
        record = f"{info}/installed-files.txt"
        text = self.text(record, _MAX_RECORD) if info.endswith(".egg-info") and self._root.is_folder(info) else None
        lines = {line.strip().removeprefix("../") for line in (text or "").splitlines()}
        return record, set(wanted & lines)

    def _set_distribution(self, draft: _Draft, info: str, record: str, words: str) -> None:
        if (self.text(f"{info}/INSTALLER", 4096) or "").strip() == "conda":
            self._ask_conda(draft)
            if draft.owner is not None:
                draft.record = info
                return
        for name in ("METADATA", "PKG-INFO", ""):
            path = f"{info}/{name}".rstrip("/")
            told = self.text(path, _MAX_METADATA) if self._root.is_file(path) else None
            metadata = None if told is None else wheels.read_metadata(told)
            owner = None if metadata is None else self._owner(path, "pypi", *metadata)
            if owner is not None:
                draft.owner = owner
                draft.record = info
                _prove(draft, EvidenceKind.PACKAGE_RECORD, record, words)
                _prove(draft, EvidenceKind.PACKAGE_RECORD, path, f"{owner.name} {owner.version or '(no version)'}")
                return

    # --- the others -------------------------------------------------------------------------------------------------

    def _ask_modules(self, draft: _Draft) -> None:
        match = _MODULES.match(draft.path)
        if match is None:
            return
        path = f"{match['folder']}/package.json"
        text = self.text(path, _MAX_METADATA)
        try:
            values = json.loads(text or "{}")
        except (ValueError, RecursionError) as error:
            self._skips.add("damaged-record", f"{shown(path)}: is no JSON: {str(error)[:200]}")
            return
        name = values.get("name") if isinstance(values, dict) else None
        version = values.get("version") if isinstance(values, dict) else None
        if isinstance(name, str):
            draft.owner = self._owner(path, "npm", name, version if isinstance(version, str) else None)
            _prove(draft, EvidenceKind.PACKAGE_RECORD, path, f"{name} {version or '(no version)'}")

    def _ask_gems(self, draft: _Draft) -> None:
        match = _GEM.match(draft.path)
        if match is None:
            return
        full = f"{match['name']}-{match['version']}"
        record = f"{match['home']}/specifications/{full}.gemspec"
        if not self._root.is_file(record):
            return
        draft.owner = self._owner(record, "gem", match["name"], _PLATFORM.sub("", match["version"]))
        _prove(draft, EvidenceKind.PATH, record, f"the specification of {full}")

    def _ask_conda(self, draft: _Draft) -> None:
        prefix = draft.environment
        if prefix is None:
            return
        if prefix not in self._conda:
            self._conda[prefix] = (
                dict(self._conda_files(prefix)) if self._root.is_folder(f"{prefix}/conda-meta") else {}
            )
        owner = self._conda[prefix].get(draft.path)
        if owner is not None:
            draft.owner = owner
            _prove(draft, EvidenceKind.PACKAGE_RECORD, f"{prefix}/conda-meta", f"{owner.name} {owner.version}")

    def _conda_files(self, prefix: str) -> Iterator[tuple[str, CopyOwner]]:
        """Yield the package of each path in question that conda's records name; others are not parsed."""
        folder = f"{prefix}/conda-meta"
        wanted = {path.removeprefix(f"{prefix}/"): path for path in self._paths if path.startswith(f"{prefix}/")}
        try:
            names = [name for name in self._root.listdir(folder) if name.endswith(".json")]
        except UnreadableError as error:
            self._skips.add_error(error)
            return
        if len(names) > _MOST_RECORDS:
            self._skips.add("record-limit", f"{shown(folder)}: {len(names)} records; {_MOST_RECORDS} are read")
        for name in names[:_MOST_RECORDS]:
            text = self.text(f"{folder}/{name}", _MAX_RECORD)
            if text is None or not any(path in text for path in wanted):
                continue
            try:
                values = json.loads(text)
                files = [file for file in values["files"] if isinstance(file, str) and file in wanted]
                owner = self._owner(f"{folder}/{name}", "conda", str(values["name"]), str(values["version"]))
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                self._skips.add("damaged-record", f"{shown(folder)}/{shown(name)}: {str(error)[:200]}")
                continue
            if owner is not None:
                yield from ((wanted[file], owner) for file in files)


# --- versions -------------------------------------------------------------------------------------------------------


def _confirm(context: ScanContext, drafts: list[_Draft], owners: _Owners, skips: Skips) -> None:
    """Compare the bills of materials with the files: what the file says counts, and a bill without a file is told."""
    places = {wheels.site_of(path) for path in context.libraries_found} - {None}
    for site in sorted({place.folder for place in places if place is not None}):
        for info in owners.infos(site):
            if not info.endswith(".dist-info"):
                continue
            members = [draft for draft in drafts if draft.record == f"{site}/{info}"]
            for path, billed in _bills(context, f"{site}/{info}/sboms", skips):
                fitting = [draft for draft in members if draft.crypto.family is billed.family]
                for draft in fitting:
                    _compare(draft, path, billed)
                if not fitting:
                    words = f"names {billed.name} {billed.version}, and no file of the package shows it"
                    skips.add("sbom-not-confirmed", f"{shown(path)}: {shown(words)}")


def _bills(context: ScanContext, folder: str, skips: Skips) -> Iterator[tuple[str, BilledLibrary]]:
    try:
        names = [name for name in context.root.listdir(folder) if name.endswith(".json")]
    except UnreadableError as error:
        if error.reason != "not-found":
            skips.add_error(error)
        return
    for name in names:
        path = f"{folder}/{name}"
        try:
            billed = wheels.read_bill(context.root.read_bytes(path, _MAX_BILL))
        except UnreadableError as error:
            skips.add_error(error, shown(path))
            continue
        yield from ((path, one) for one in billed)


def _compare(draft: _Draft, path: str, billed: BilledLibrary) -> None:
    words = f"names {billed.name} {billed.version}"
    own = draft.crypto.version
    if own is None and billed.upstream is not None and not billed.is_repackaged and draft.version is None:
        draft.version = billed.upstream
        words += "; the file proves the code and tells no version, so this one is taken"
    elif own is not None and own == billed.upstream:
        words += "; the file says the same"
    elif own is not None:
        words += f"; the file itself says {own}, which counts"
    if billed.package_url is not None:
        words += f" ({billed.package_url})"
    draft.evidence.append(Evidence("version", EvidenceKind.SBOM, shown(path), shown(words)[:_WORDS]))


def _ask_siblings(drafts: list[_Draft]) -> None:
    """Give a copy without version that of the other ones in the same distribution, where these agree."""
    by_record: dict[tuple[str, str], list[_Draft]] = {}
    for draft in drafts:
        if draft.record is not None:
            by_record.setdefault((draft.record, draft.crypto.family), []).append(draft)
    for members in by_record.values():
        told = {one.crypto.version: one for one in members if one.crypto.version is not None}
        if len(told) != 1:
            continue
        ((version, sibling),) = told.items()
        for draft in members:
            if draft.crypto.version is None and draft.version is None:
                draft.version = version
                words = f"{version}: told by another file of the same distribution, in this one the linker dropped it"
                draft.evidence.append(Evidence("version", EvidenceKind.STRING, shown(sibling.path), words))


def _prove(draft: _Draft, kind: EvidenceKind, file: str, words: str) -> None:
    draft.evidence.append(Evidence("owner", kind, shown(file), shown(words)[:_WORDS]))


def _fact(context: ScanContext, draft: _Draft) -> CryptoCopy:
    crypto = draft.crypto
    proofs: Iterable[Evidence] = (
        Evidence("crypto", proof.kind, shown(draft.path), proof.detail, proof.offset) for proof in crypto.proofs
    )
    linkage = Linkage.STATIC
    if draft.is_library:
        is_brought = draft.environment is not None or draft.owner is not None
        linkage = Linkage.BUNDLED if is_brought else Linkage.LOCAL
    if linkage is Linkage.LOCAL:
        words = "no package and no environment owns it"
        draft.evidence.append(Evidence("owner", EvidenceKind.ABSENCE, shown(draft.path), words))
    return CryptoCopy(
        root=shown(context.root.name),
        path=shown(draft.path),
        linkage=linkage,
        library=CryptoLibrary(crypto.family, crypto.version or draft.version, draft.package),
        environment=None if draft.environment is None else shown(draft.environment),
        owner=draft.owner,
        evidence=tuple(sorted({*proofs, *draft.evidence}, key=lambda item: item.sort_key)),
    )
