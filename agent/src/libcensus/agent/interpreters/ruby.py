"""Ruby: its main program calls ``ruby_options`` and ``ruby_run_node``, of libruby or linked in.

Its parts are found by ``rbconfig.rb``, which lies in the folder of the standard extension modules and names the others.
OpenSSL is in ``openssl.so``: of the newest installed gem of that name where that is newer than the standard library's,
as RubyGems decides, else the first on the load path (site, vendor, standard). Sources: ``main.c``,
``tool/mkconfig.rb``, ``lib/rubygems/core_ext/kernel_require.rb`` of https://github.com/ruby/ruby.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import shown
from libcensus.agent.interpreters.candidate import Layout, MainProgram
from libcensus.agent.interpreters.layout import multiarch_folders, parents, prefix_of
from libcensus.agent.interpreters.texts import holds_texts
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

_NAME = re.compile(r"ruby(?:-mri|\.ruby)?(?P<version>\d(?:\.?\d+){0,2})?")
_LIBRARY = re.compile(r"(?:^|/)libruby(?:-?(?P<named>\d+\.\d+))?[^/]*\.so(?:\.(?P<version>\d+\.\d+)[\d.]*)?$")
_MAIN = "ruby_run_node"
_MOST_RUBY_IMPORTS = 12
"""main.c imports five functions of Ruby's API; programs that embed it use dozens."""

_START_UP_TEXTS = (b"RUBYOPT", b"RUBYLIB", b"ruby - Copyright")
_VERSION_TEXT = re.compile(
    rb"ruby (\d+\.\d+\.\d+(?:preview\d+|rc\d+|dev)?)(?:p-?\d+)? \(\d{4}-\d\d-\d\d[^\0)]{0,80}\) "
)
_LIBRARY_FOLDERS = ("lib", "lib64", "lib32")
_API = re.compile(r"(\d+\.\d+)\.\d+")
_ENTRY = re.compile(
    r"""^  CONFIG\["([A-Za-z_]+)"\] = (?:\(TOPDIR \|\| DESTDIR \+ )?["']((?:[^"'\\\n]|\\.)*)["']\)?$""", re.MULTILINE
)
_ARGUMENTS = re.compile(r"""^  CONFIG\["configure_args"\] = "((?:[^"\\\n]|\\.)*)"$""", re.MULTILINE)
_TOP = re.compile(r'^  TOPDIR = File\.dirname\(__FILE__\)\.chomp!\("(/[^"\n]*)"\)', re.MULTILINE)
_GEM = re.compile(r"openssl-(\d+(?:\.\d+)*)")
_MOST_LEVELS = 4
_MAX_CONFIGURATION = 256 << 10
_MAX_VALUE = 4096


def recognise(elf: Elf, source: Source, name: str) -> MainProgram | None:
    """Return why an executable is a Ruby's main program, or None when it is not."""
    named = _NAME.fullmatch(name)
    version = named["version"] if named else None
    version = version if version is not None and "." in version else None
    for needed in elf.needed:
        if library := _LIBRARY.search(needed):
            imports = elf.imports
            if _MAIN not in imports or sum(one.startswith(("rb_", "ruby_")) for one in imports) > _MOST_RUBY_IMPORTS:
                return None
            detail = f"imports {_MAIN} from {needed} and little else of Ruby's API"
            return _program(elf, EvidenceKind.ELF_SYMBOL, detail, needed, library["version"] or library["named"])
    if elf.defines(_MAIN):
        detail = f"defines {_MAIN}: Ruby is linked in, and its API exported"
        return _program(elf, EvidenceKind.ELF_SYMBOL, detail, None, version, is_certain=named is not None)
    if named and elf.symbols is None and holds_texts(source, _START_UP_TEXTS):
        texts = ", ".join(text.decode() for text in _START_UP_TEXTS)
        return _program(elf, EvidenceKind.STRING, f"holds the texts {texts}", None, version)
    return None


def _program(
    elf: Elf, kind: EvidenceKind, detail: str, library: str | None, version: str | None, *, is_certain: bool = True
) -> MainProgram:
    language = None if version is None else ".".join(version.split(".")[:2])
    return MainProgram(elf.arch, kind, detail, library, language, "", is_certain, Implementation.RUBY)


_layout = partial(Layout, implementation=Implementation.RUBY, tls_name="openssl.so")


def find_layout(root: Root, candidate: Candidate, library: str | None, skips: Skips) -> Layout:
    """Return where a candidate's parts lie, by the rbconfig.rb that is nearest above it or its library."""
    version = candidate.program.version
    found = None
    for start in (candidate.path, library):
        for level, folder in enumerate(parents(start or "")):
            if level >= _MOST_LEVELS or found is not None:
                break
            found = _configuration(root, folder, version)
    if found is None:
        prefix = prefix_of(candidate.path)
        return _layout(prefix, candidate.path, library, None, version)
    prefix, folder = found
    path = f"{folder}/rbconfig.rb"
    try:
        values = parse_rbconfig(root.read_text(path, _MAX_CONFIGURATION))
    except UnreadableError as error:
        skips.add_error(error)
        values = {}
    if (top := values.get("TOPDIR")) and folder.endswith(top):
        prefix = folder.removesuffix(top)
    try:
        names = [name for name in root.listdir(folder) if name.endswith(".so")]
    except UnreadableError as error:
        skips.add_error(error)
        names = []
    standard = tuple(f"{folder}/{name}" for name in names)
    places = _load_path(folder, prefix, values)
    tls = [f"{place}/openssl.so" for place in places if root.is_file(f"{place}/openssl.so")]
    if not tls:
        places += tuple(f"{prefix.rstrip('/')}/{name}/gems/ruby" for name in _LIBRARY_FOLDERS)
        tls = _fedora_modules(root, places)
    gem = _newest_gem(root, prefix, values)
    evidence: tuple[Evidence, ...] = ()
    if gem is not None:
        tls.insert(0, gem[0])
        evidence = (Evidence("crypto", EvidenceKind.PATH, shown(gem[0]), gem[1]),)
    api = _API.fullmatch(values.get("ruby_version", ""))
    configured = values.get("configured_prefix") or values.get("prefix")
    sysconfig = {} if configured is None else {"prefix": configured}
    return _layout(
        prefix or "/",
        candidate.path,
        library,
        folder,
        version or (api[1] if api else None),
        sysconfig=sysconfig,
        sysconfig_file=path,
        modules=standard,
        tls_modules=tuple(dict.fromkeys(root.realpath(one) for one in tls)),
        tls_places=places,
        evidence=evidence,
    )


def _configuration(root: Root, folder: str, version: str | None) -> tuple[str, str] | None:
    """Return prefix and folder of the rbconfig.rb below ``folder``, of this version and the only one."""
    found: dict[str, str] = {}
    bases = [f"{folder}/{name}" for name in _LIBRARY_FOLDERS]
    for base in (*bases, *multiarch_folders(root, f"{folder}/lib")):
        top = f"{base}/ruby"
        for name in ("", *_names(root, top)):
            if name and (match := _API.fullmatch(name)) is None:
                continue
            if name and version is not None and match is not None and match[1] != version:
                continue
            one = f"{top}/{name}" if name else top
            for inner in (one, *(f"{one}/{arch}" for arch in (_names(root, one) if name else ()) if "-" in arch)):
                if root.is_file(f"{inner}/rbconfig.rb"):
                    found[root.realpath(inner)] = folder
    if len(found) != 1:
        return None
    ((inner, prefix),) = found.items()
    return prefix, inner


def _names(root: Root, folder: str) -> list[str]:
    try:
        return root.listdir(folder)
    except UnreadableError:
        return []


def parse_rbconfig(text: str) -> dict[str, str]:
    """Return the texts of a rbconfig.rb, unexpanded.

    ``TOPDIR`` is the tail by which its folder differs from the prefix, ``configured_prefix`` the ``--prefix`` that
    ``configure`` was given.
    """
    values = {match[1]: match[2] for match in _ENTRY.finditer(text) if len(match[2]) <= _MAX_VALUE}
    if match := _TOP.search(text):
        values["TOPDIR"] = match[1]
    if (match := _ARGUMENTS.search(text)) and (given := re.search(r"'--prefix=(/[^']*)'", match[1])):
        values["configured_prefix"] = given[1]
    return values


def _expand(name: str, values: dict[str, str], prefix: str) -> str | None:
    """Return a folder of the configuration with its variables put in; None where it is not known whole."""
    text = values.get(name)
    if text is None:
        return None
    known = {**values, "prefix": prefix, "DESTDIR": ""}
    for _ in range(8):
        if "$(" not in text:
            return text if text.startswith("/") else None
        text = re.sub(r"\$\(([A-Za-z_]+)\)", lambda match: known.get(match[1], "\0"), text)
        if "\0" in text or len(text) > _MAX_VALUE:
            return None
    return None


def _load_path(folder: str, prefix: str, values: dict[str, str]) -> tuple[str, ...]:
    """Return the folders in which ``require`` looks for extension modules, in its order."""
    named = [_expand(name, values, prefix) for name in ("sitearchdir", "vendorarchdir")]
    return tuple(dict.fromkeys([*(one for one in named if one is not None), folder]))


def _fedora_modules(root: Root, places: tuple[str, ...]) -> list[str]:
    """Return the modules of openssl where Fedora keeps those of gems, the newest first."""
    found: dict[tuple[int, ...], str] = {}
    for place in places:
        for name in _names(root, place):
            if (match := _GEM.fullmatch(name)) and root.is_file(f"{place}/{name}/openssl.so"):
                found.setdefault(tuple(map(int, match[1].split("."))), f"{place}/{name}/openssl.so")
    return [found[number] for number in sorted(found, reverse=True)]


def _newest_gem(root: Root, prefix: str, values: dict[str, str]) -> tuple[str, str] | None:
    """Return the module of an installed openssl gem that is newer than the standard library's, and the words."""
    api = values.get("ruby_version", "")
    if not _API.fullmatch(api):
        return None
    libraries = _expand("rubylibprefix", values, prefix)
    tops = [f"{libraries}/gems/{api}"] if libraries is not None else []
    if prefix == "/usr":
        # Where Debian's RubyGems installs and looks beside it.
        tops += [f"/var/lib/gems/{api}", f"/usr/local/lib/ruby/gems/{api}"]
    standard: tuple[int, ...] = ()
    gems: dict[tuple[int, ...], str] = {}
    for top in tops:
        for name in _names(root, f"{top}/specifications/default"):
            if match := _GEM.fullmatch(name.removesuffix(".gemspec")):
                standard = max(standard, tuple(map(int, match[1].split("."))))
        for name in _names(root, f"{top}/gems"):
            if match := _GEM.fullmatch(name):
                for path in _gem_modules(root, top, name, api):
                    gems.setdefault(tuple(map(int, match[1].split("."))), path)
                    break
    if not gems or max(gems) <= standard:
        return None
    number = ".".join(map(str, max(gems)))
    return gems[max(gems)], f"the gem openssl {number} is newer than the standard library's"


def _gem_modules(root: Root, top: str, name: str, api: str) -> Iterator[str]:
    for platform in _names(root, f"{top}/extensions"):
        for folder in (api, f"{api}-static"):
            path = f"{top}/extensions/{platform}/{folder}/{name}/openssl.so"
            if root.is_file(path):
                yield path
    path = f"{top}/gems/{name}/lib/openssl.so"
    if root.is_file(path):
        yield path


def read_version(root: Root, layout: Layout, package: Package | None, holder: str) -> tuple[str | None, list[Evidence]]:
    """Return the version: from the text that ``ruby --version`` prints, then rbconfig.rb and the package."""
    return first_version(_sources(root, layout, package, holder))


def _sources(root: Root, layout: Layout, package: Package | None, holder: str) -> Iterator[tuple[str, Evidence]]:
    yield from text_version(root, holder, _VERSION_TEXT)
    if layout.sysconfig_file is not None:
        try:
            values = parse_rbconfig(root.read_text(layout.sysconfig_file, _MAX_CONFIGURATION))
        except UnreadableError:
            values = {}
        numbers = [values.get(name, "") for name in ("MAJOR", "MINOR", "TEENY")]
        if all(number.isascii() and number.isdigit() for number in numbers):
            version = ".".join(numbers)
            where = shown(layout.sysconfig_file)
            yield version, Evidence("version", EvidenceKind.TEXT_LINE, where, f"MAJOR.MINOR.TEENY: {version}")
    yield from package_version(layout, package)


def read_flags(root: Root, layout: Layout, holder: str) -> list[tuple[str, Evidence]]:
    """Return no flags: nothing beside what its ELF file tells."""
    del root, layout, holder
    return []


TRAITS = Traits(
    implementation=Implementation.RUBY,
    names=_NAME,
    nicest=re.compile(r"ruby(?:\d+\.\d+)?"),
    recognise=recognise,
    find_layout=find_layout,
    read_version=read_version,
    flags=read_flags,
)
