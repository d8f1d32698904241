"""PHP: each of its programs (command line, CGI, FPM, debugger) holds the engine and exports it for extensions.

They are separate executables and separate installs; a program of another name that holds PHP embeds it. The engine's
own texts tell the version, the folder of the extensions and those of the settings. OpenSSL is in the executable
(Debian, Fedora, the official images) or in the extension ``openssl.so`` (Alpine), which a setting has to load. Sources:
``main/main.c``, ``main/build-defs.h.in`` of https://github.com/php/php-src.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import shown
from libcensus.agent.interpreters.candidate import Claim, Layout, MainProgram
from libcensus.agent.interpreters.layout import prefix_of
from libcensus.agent.interpreters.texts import holds_texts, matches
from libcensus.agent.interpreters.traits import Traits
from libcensus.agent.interpreters.version import first_version, package_version, text_version
from libcensus.facts.evidence import Evidence
from libcensus.facts.vocabulary import EvidenceKind, Implementation, Provider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcensus.agent.elf.reader import Elf, Source
    from libcensus.agent.host import Root
    from libcensus.agent.interpreters.candidate import Candidate, Subject
    from libcensus.agent.probes.skips import Skips
    from libcensus.facts.package import Package

_NAME = re.compile(r"(?:lsphp|phpdbg|php(?:-cgi|-fpm)?)(?P<version>\d(?:\.?\d+)?)?")
_LIBRARY = re.compile(r"(?:^|/)libphp(?P<version>\d(?:\.\d+)?)?\.so$")
_MAIN = "php_module_startup"
_START_UP_TEXTS = (b"PHP_INI_SCAN_DIR", b"X-Powered-By: PHP/")
_VERSION_TEXT = re.compile(rb"X-Powered-By: PHP/(\d+\.\d+\.\d+(?:(?:alpha|beta|RC)\d+)?)(?![0-9])")
_FOLDER_TEXT = re.compile(
    rb"\0(/[\x21-\x7e]{1,160}/(?:\d{8}|modules|extensions|no-debug-(?:non-)?zts-\d{8}|debug-(?:non-)?zts-\d{8})/?)(?=\0)"
)
_SETTINGS_TEXT = re.compile(rb"\0(/[\x21-\x7e]{1,160}/(?:conf\.d|php\.d))/?(?=\0)")
_MODULE_API = re.compile(rb"API\d{8},((?:NTS|TS)(?:,debug)?)(?=\0)")
_PREFIX = re.compile(rb"'--prefix=(/[^'\0]{0,200})'")
_LOADS_OPENSSL = re.compile(r"^\s*(extension\s*=\s*\"?(?:[^\s\";]*/)?openssl(?:\.so)?\"?)\s*(?:;.*)?$", re.MULTILINE)
_EXTENSION_FOLDER = re.compile(r"^\s*extension_dir\s*=\s*\"?(/[^\s\";]+)\"?", re.MULTILINE)
_MAX_SETTINGS = 1 << 20
_MAX_FILES = 256


def recognise(elf: Elf, source: Source, name: str) -> MainProgram | None:
    """Return why an executable is a program of PHP, or None when it is not."""
    named = _NAME.fullmatch(name)
    version = named["version"] if named else None
    version = version if version is not None and "." in version else None
    for needed in elf.needed:
        if library := _LIBRARY.search(needed):
            if named is None or _MAIN not in elf.imports:
                return None
            detail = f"imports {_MAIN} from {needed}"
            return _program(elf, EvidenceKind.ELF_SYMBOL, detail, needed, version or library["version"])
    if elf.defines(_MAIN):
        detail = f"defines {_MAIN}: PHP is linked in, and its API exported"
        return _program(elf, EvidenceKind.ELF_SYMBOL, detail, None, version, is_certain=named is not None)
    if named and elf.symbols is None and holds_texts(source, _START_UP_TEXTS):
        texts = ", ".join(text.decode() for text in _START_UP_TEXTS)
        return _program(elf, EvidenceKind.STRING, f"holds the texts {texts}", None, version)
    return None


def _program(
    elf: Elf, kind: EvidenceKind, detail: str, library: str | None, version: str | None, *, is_certain: bool = True
) -> MainProgram:
    language = version if version is not None and "." in version else None
    return MainProgram(elf.arch, kind, detail, library, language, "", is_certain, Implementation.PHP)


def find_layout(root: Root, candidate: Candidate, library: str | None, skips: Skips) -> Layout:
    """Return where a candidate's parts lie, by the folders that the engine's own texts name."""
    holder = library or candidate.path
    folder, settings = _folders(root, holder, skips)
    evidence: tuple[Evidence, ...] = ()
    named: list[str] = []
    found = list(_settings(root, settings, skips))
    for path, text in found:
        if match := _EXTENSION_FOLDER.search(text):
            folder = match[1].rstrip("/")
            evidence = (Evidence("layout", EvidenceKind.TEXT_LINE, shown(path), shown(match[0].strip())[:512]),)
    if folder is not None:
        try:
            real = root.realpath(folder)
            named = [f"{real}/{name}" for name in root.listdir(folder) if name.endswith(".so")]
        except UnreadableError:
            named = []
    tls = tuple(path for path in named if path.endswith("/openssl.so"))
    if tls:
        loads = next(((path, match[1]) for path, text in found if (match := _LOADS_OPENSSL.search(text))), None)
        if loads is not None:
            proof = Evidence("crypto", EvidenceKind.TEXT_LINE, shown(loads[0]), loads[1])
        else:
            proof = Evidence("crypto", EvidenceKind.ABSENCE, shown(tls[0]), "no setting that was found loads it")
        evidence = (*evidence, proof)
    prefix = prefix_of(candidate.path)
    configured = _configured_prefix(root, holder)
    return Layout(
        prefix.removesuffix("/lib/cgi-bin") or "/",
        candidate.path,
        library,
        folder if named else None,
        candidate.program.version,
        "",
        {} if configured is None else {"prefix": configured},
        holder,
        implementation=Implementation.PHP,
        modules=tuple(named),
        tls_modules=tls,
        tls_places=() if folder is None else (folder,),
        tls_name="openssl.so",
        evidence=evidence,
    )


def _folders(root: Root, holder: str, skips: Skips) -> tuple[str | None, list[str]]:
    """Return the folder of the extensions and those of the settings, as the engine's texts name them."""
    try:
        folders = list(root.examine(holder, lambda file: matches(file, _FOLDER_TEXT)))
        settings = list(root.examine(holder, lambda file: matches(file, _SETTINGS_TEXT)))
    except UnreadableError as error:
        skips.add_error(error)
        return None, []
    folders = [folder.rstrip("/") for folder in folders]
    there = [folder for folder in folders if root.is_folder(folder)] or folders
    return (there[0] if len(there) == 1 else None), settings


def _configured_prefix(root: Root, holder: str) -> str | None:
    """Return the prefix in the command of ``configure`` that the engine tells in ``phpinfo()``."""
    try:
        found = list(root.examine(holder, lambda file: matches(file, _PREFIX)))
    except UnreadableError:
        return None
    return found[0] if len(found) == 1 else None


def _settings(root: Root, folders: list[str], skips: Skips) -> Iterator[tuple[str, str]]:
    """Yield php.ini and the further settings in the folders that PHP scans, path and text."""
    for folder in folders:
        try:
            names = [name for name in root.listdir(folder) if name.endswith(".ini")]
        except UnreadableError:
            names = []
        if len(names) > _MAX_FILES:
            skips.add("settings-limit", f"{shown(folder)}: {len(names)} files; {_MAX_FILES} are read")
        above = folder.rpartition("/")[0]
        for path in (f"{above}/php.ini", *(f"{folder}/{name}" for name in names[:_MAX_FILES])):
            try:
                yield path, root.read_text(path, _MAX_SETTINGS)
            except UnreadableError as error:
                if error.reason != "not-found":
                    skips.add_error(error)


def read_version(root: Root, layout: Layout, package: Package | None, holder: str) -> tuple[str | None, list[Evidence]]:
    """Return the version: from the engine's own text, then the package."""
    return first_version((*text_version(root, holder, _VERSION_TEXT), *package_version(layout, package)))


def read_flags(root: Root, layout: Layout, holder: str) -> list[tuple[str, Evidence]]:
    """Return ``zts`` (thread-safe) and ``debug`` where the engine's mark of its module interface says so."""
    try:
        texts = root.examine(holder, lambda file: matches(file, _MODULE_API))
    except UnreadableError:
        return []
    if len(texts) != 1:
        return []
    ((text, offset),) = texts.items()
    where = shown(holder.removeprefix(layout.prefix.rstrip("/") + "/").lstrip("/"))
    proof = Evidence("flags", EvidenceKind.STRING, where, f"module interface: {text}", offset)
    words = {"TS": "zts", "debug": "debug"}
    return [(words[word], proof) for word in text.split(",") if word in words]


def claim(subject: Subject) -> Claim | None:
    """Return the claim for Docker's official php images, which leave their scripts for extensions in /usr/local/bin."""
    layout = subject.layout
    if layout.implementation is not Implementation.PHP or subject.package is not None or layout.prefix != "/usr/local":
        return None
    script = "/usr/local/bin/docker-php-ext-install"
    if not subject.root.is_file(script):
        return None
    proof = Evidence("provider", EvidenceKind.PATH, script, "the script that the official image's template puts there")
    return Claim(Provider.DOCKER_OFFICIAL, evidence=(proof,))


TRAITS = Traits(
    implementation=Implementation.PHP,
    names=_NAME,
    nicest=re.compile(r"php\d\.\d+|php-(?:fpm|cgi)\d\.\d+"),
    recognise=recognise,
    find_layout=find_layout,
    read_version=read_version,
    flags=read_flags,
)
