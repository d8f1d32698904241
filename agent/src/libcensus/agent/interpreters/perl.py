"""Perl: its main program calls ``perl_alloc``, ``perl_construct``, ``perl_parse`` and ``perl_run``.

Debian's ``perl`` has its code inside and exports it; others need ``libperl.so``. A program that embeds Perl calls the
same functions and then Perl code (``Perl_eval_pv``, ``Perl_call_sv``…), which Perl's own main program never does. The
folders of ``@INC`` are texts in the code, with ``...`` for the executable's folder in a relocatable Perl; the
configuration in ``Config.pm`` there is the interpreter's, for Perl itself refuses another. TLS is in ``Net::SSLeay``,
which is no part of Perl: without it there is none. Sources: ``ExtUtils::Miniperl``, ``perl.c``, ``configpm`` of
https://github.com/Perl/perl5.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import shown
from libcensus.agent.interpreters.candidate import Layout, MainProgram
from libcensus.agent.interpreters.layout import prefix_of
from libcensus.agent.interpreters.texts import holds_texts, matches
from libcensus.agent.interpreters.traits import Traits
from libcensus.agent.interpreters.version import first_version, package_version, text_version
from libcensus.facts.evidence import Evidence
from libcensus.facts.vocabulary import EvidenceKind, Implementation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcensus.agent.elf.reader import Elf, Source
    from libcensus.agent.host import Root
    from libcensus.agent.interpreters.candidate import Candidate
    from libcensus.agent.probes.skips import Skips
    from libcensus.facts.package import Package

_NAME = re.compile(
    r"(?:[a-z0-9_]+-[a-z0-9_]+-[a-z0-9_]+-)?perl(?P<version>\d(?:\.\d+){0,2})?(?:-[a-z0-9_]+-[a-z0-9_]+-[a-z0-9_]+)?"
)
_LIBRARY = re.compile(r"(?:^|/)libperl(?:-[\d.]+)?\.so(?:\.(?P<version>\d+\.\d+)[\d.]*)?$")
_MAIN = ("perl_alloc", "perl_construct", "perl_parse", "perl_run")
_EMBEDS = ("Perl_eval_", "Perl_call_")
_START_UP_TEXTS = (b"PERL5LIB", b"PERL5OPT", b"PERL_HASH_SEED")
_FOLDER_TEXT = re.compile(rb"\0(?=[^\0]{0,300}?perl)((?:\.\.\.)?/[\x21-\x7e]{3,300}+)(?=\0)")
_VERSION_TEXT = re.compile(rb"\0v(5\.\d{1,3}\.\d{1,3})(?=\0)")
_CONFIG_VERSION = re.compile(r"^ {4}version => '(\d+\.\d+\.\d+)',$", re.MULTILINE)
_HEAVY = re.compile(r"^(sitearchexp|vendorarchexp|archlibexp|prefixexp|usethreads)='([^'\n]*)'$", re.MULTILINE)
_TLS_MODULES = ("auto/Net/SSLeay/SSLeay.so", "auto/Crypt/SSLeay/SSLeay.so")
_MAX_CONFIGURATION = 1 << 20
_MAX_FOLDERS = 64
_MAX_MODULES = 512
_MAX_DEPTH = 6


def recognise(elf: Elf, source: Source, name: str) -> MainProgram | None:
    """Return why an executable is a Perl's main program, or None when it is not."""
    named = _NAME.fullmatch(name)
    version = named["version"] if named else None
    version = version if version is not None and "." in version else None
    for needed in elf.needed:
        if library := _LIBRARY.search(needed):
            imports = elf.imports
            if not imports.issuperset(_MAIN) or any(one.startswith(_EMBEDS) for one in imports):
                return None
            detail = f"imports {', '.join(_MAIN)} from {needed}, and nothing that runs Perl code beside them"
            return _program(elf, EvidenceKind.ELF_SYMBOL, detail, needed, library["version"] or version)
    if elf.defines("perl_run") and elf.defines("perl_parse"):
        detail = "defines perl_parse and perl_run: Perl is linked in, and its API exported"
        return _program(elf, EvidenceKind.ELF_SYMBOL, detail, None, version, is_certain=named is not None)
    if named and elf.symbols is None and holds_texts(source, _START_UP_TEXTS):
        texts = ", ".join(text.decode() for text in _START_UP_TEXTS)
        return _program(elf, EvidenceKind.STRING, f"holds the texts {texts}", None, version)
    return None


def _program(
    elf: Elf, kind: EvidenceKind, detail: str, library: str | None, version: str | None, *, is_certain: bool = True
) -> MainProgram:
    language = None if version is None else ".".join(version.split(".")[:2])
    return MainProgram(elf.arch, kind, detail, library, language, "", is_certain, Implementation.PERL)


_layout = partial(Layout, implementation=Implementation.PERL, tls_name="Net::SSLeay")


def find_layout(root: Root, candidate: Candidate, library: str | None, skips: Skips) -> Layout:
    """Return where a candidate's parts lie, by the folders of ``@INC`` that its own code names."""
    program = candidate.program
    prefix = prefix_of(candidate.path)
    folders = _include_folders(root, candidate.path, library or candidate.path, skips)
    configured = _configured(root, folders, library or candidate.path)
    if not configured:
        return _layout(prefix, candidate.path, library, None, program.version)
    values = _configuration(root, configured)
    named = [values.get(name, "") for name in ("sitearchexp", "vendorarchexp", "archlibexp")]
    order = [place for text in named if (place := _absolute(root, text, candidate.path)) is not None]
    places = tuple(dict.fromkeys([*order, *folders]))
    standard: dict[str, None] = {}
    for folder in configured:
        standard.update(dict.fromkeys(_modules(root, folder, skips)))
    tls = [f"{place}/{name}" for name in _TLS_MODULES for place in places]
    return _layout(
        prefix,
        candidate.path,
        library,
        root.realpath(configured[0]),
        program.version,
        sysconfig={"prefix": values["prefixexp"]} if "prefixexp" in values else {},
        sysconfig_file=f"{configured[0]}/Config.pm",
        modules=tuple(sorted(standard)),
        tls_modules=tuple(dict.fromkeys(root.realpath(path) for path in tls if root.is_file(path))),
        tls_places=places,
    )


def _configured(root: Root, folders: list[str], holder: str) -> list[str]:
    """Return the folders with a Config.pm that this code accepts: a copied Perl may find that of another one."""
    try:
        versions = root.examine(holder, lambda file: matches(file, _VERSION_TEXT))
    except UnreadableError:
        versions = {}
    found = []
    for folder in folders:
        try:
            told = _CONFIG_VERSION.search(root.read_text(f"{folder}/Config.pm", _MAX_CONFIGURATION))
        except UnreadableError:
            continue
        if told is None or not versions or told[1] in versions:
            found.append(folder)
    return found


def _absolute(root: Root, text: str, executable: str) -> str | None:
    """Return the folder that a text of the configuration names; None where there is none."""
    if not text.startswith("..."):
        return text if text.startswith("/") and root.is_folder(text) else None
    try:
        folder = root.realpath(executable.rpartition("/")[0] + text.removeprefix("..."))
    except UnreadableError:
        return None
    return folder if root.is_folder(folder) else None


def _include_folders(root: Root, executable: str, holder: str, skips: Skips) -> list[str]:
    """Return the folders that are there of those that the code names, in the order of its texts."""
    try:
        texts = root.examine(holder, lambda file: matches(file, _FOLDER_TEXT))
    except UnreadableError as error:
        skips.add_error(error)
        return []
    found = [folder for text in texts if (folder := _absolute(root, text, executable)) is not None]
    if len(found) > _MAX_FOLDERS:
        skips.add("include-folders", f"{shown(holder)}: names {len(found)} folders; {_MAX_FOLDERS} are looked at")
    return found[:_MAX_FOLDERS]


def _configuration(root: Root, folders: list[str]) -> dict[str, str]:
    """Return the wanted variables of Config_heavy.pl, the part of Perl's configuration that is read on demand."""
    for folder in folders:
        try:
            text = root.read_text(f"{folder}/Config_heavy.pl", _MAX_CONFIGURATION)
        except UnreadableError:
            continue
        return dict(_HEAVY.findall(text))
    return {}


def _modules(root: Root, folder: str, skips: Skips) -> Iterator[str]:
    """Yield the real paths of the extension modules below a folder of the standard library."""
    try:
        pending = [(root.realpath(f"{folder}/auto"), 0)]
    except UnreadableError:
        return
    found = 0
    while pending:
        place, depth = pending.pop()
        try:
            names = root.listdir(place)
        except UnreadableError as error:
            skips.add_error(error)
            continue
        for name in names:
            path = f"{place}/{name}"
            if name.endswith(".so"):
                found += 1
                if found > _MAX_MODULES:
                    skips.add("module-limit", f"{shown(path)}: more than {_MAX_MODULES} modules; the rest is not read")
                    return
                yield path
            elif "." not in name and depth < _MAX_DEPTH and root.is_folder(path):
                pending.append((path, depth + 1))


def read_version(root: Root, layout: Layout, package: Package | None, holder: str) -> tuple[str | None, list[Evidence]]:
    """Return the version: from Config.pm, the code, and the package."""
    return first_version(_sources(root, layout, package, holder))


def _sources(root: Root, layout: Layout, package: Package | None, holder: str) -> Iterator[tuple[str, Evidence]]:
    if layout.sysconfig_file is not None:
        try:
            match = _CONFIG_VERSION.search(root.read_text(layout.sysconfig_file, _MAX_CONFIGURATION))
        except UnreadableError:
            match = None
        if match is not None:
            where = shown(layout.sysconfig_file)
            yield match[1], Evidence("version", EvidenceKind.TEXT_LINE, where, match[0].strip())
    yield from text_version(root, holder, _VERSION_TEXT)
    yield from package_version(layout, package)


def read_flags(root: Root, layout: Layout, holder: str) -> list[tuple[str, Evidence]]:
    """Return ``threads`` where Config.pm says that it was built with them."""
    del holder
    if layout.sysconfig_file is None:
        return []
    try:
        text = root.read_text(layout.sysconfig_file, _MAX_CONFIGURATION)
    except UnreadableError:
        return []
    line = "useithreads => 'define'"
    where = shown(layout.sysconfig_file.removeprefix(layout.prefix.rstrip("/") + "/").lstrip("/"))
    return [("threads", Evidence("flags", EvidenceKind.TEXT_LINE, where, line))] if line in text else []


TRAITS = Traits(
    implementation=Implementation.PERL,
    names=_NAME,
    nicest=re.compile(r"perl"),
    recognise=recognise,
    find_layout=find_layout,
    read_version=read_version,
    flags=read_flags,
)
