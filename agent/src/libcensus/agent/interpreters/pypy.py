"""PyPy: its main program is a stub that calls ``pypy_main_startup`` of ``libpypy3.X-c.so``.

The version is PyPy's own (``7.3.11``), the Python that it speaks a flag (``python-3.9``). The TLS module is one of
cffi, ``_pypy_openssl.*.so`` beside the standard library (in ``lib_pypy`` up to PyPy 7.3.7). Sources:
``rpython/translator/c`` and ``lib_pypy/_ssl_build.py`` of https://github.com/pypy/pypy.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import shown
from libcensus.agent.interpreters.candidate import Claim, Layout, MainProgram
from libcensus.agent.interpreters.layout import parents, prefix_of
from libcensus.agent.interpreters.texts import matches
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

_NAME = re.compile(r"pypy(?P<version>\d(?:\.\d+)?)?(?:-c)?")
_LIBRARY = re.compile(r"(?:^|/)libpypy(?P<version>\d(?:\.\d+)?)?-c\.so$")
_MAIN = "pypy_main_startup"
_MOST_LEVELS = 4
_STDLIB = re.compile(r"pypy(\d\.\d+)")
_TLS_MODULE = re.compile(r"_pypy_openssl\b[^/]*\.so")
_VERSION_TEXT = re.compile(rb"\[PyPy (\d+\.\d+\.\d+)(?:-[a-z]+\d*)? with ")
_BEHIND_LANGUAGE = re.compile(rb"(\n\[PyPy )\d")
_LANGUAGE = re.compile(rb"(?<![0-9.])(\d\.\d+\.\d+)[a-z0-9+]{0,8} \([^()\n\0]{1,120}\)$")
_LOOK_BEHIND = 160
_HEADER_VERSION = re.compile(r'^#define\s+PYPY_VERSION\s+"(\d+\.\d+\.\d+)', re.MULTILINE)
_MAX_HEADER = 64 << 10
_DOWNLOADS = (
    (re.compile(r"pypy\d\.\d+-v\d+\.\d+\.\d+(?:rc\d+)?-(?:linux|s390x|aarch64)\d*"), "the folder of a download"),
    (re.compile(r"pypy-\d+\.\d+\.\d+-linux-[^/]+-gnu"), "uv's key of a download"),
    (re.compile(r"pypy\d\.\d+-\d+\.\d+\.\d+"), "pyenv's name of a download"),
)


def recognise(elf: Elf, source: Source, name: str) -> MainProgram | None:
    """Return why an executable is a PyPy's main program, or None when it is not."""
    del source
    for needed in elf.needed:
        if library := _LIBRARY.search(needed):
            if _MAIN not in elf.imports:
                return None
            return _program(elf, f"imports {_MAIN} from {needed}", needed, library["version"], is_certain=True)
    if elf.defines(_MAIN):
        named = _NAME.fullmatch(name)
        version = named["version"] if named else None
        detail = f"defines {_MAIN}: PyPy is linked in"
        return _program(elf, detail, None, version, is_certain=named is not None)
    return None


def _program(elf: Elf, detail: str, library: str | None, version: str | None, *, is_certain: bool) -> MainProgram:
    language = version if version is not None and "." in version else None
    return MainProgram(
        elf.arch, EvidenceKind.ELF_SYMBOL, detail, library, language, "", is_certain, Implementation.PYPY
    )


def find_layout(root: Root, candidate: Candidate, library: str | None, skips: Skips) -> Layout:
    """Return where a candidate's parts lie: from its folder, then its library's, upwards to the standard library."""
    del skips
    version = candidate.program.version
    found = None
    for start in (candidate.path, library):
        for level, folder in enumerate(parents(start or "")):
            if level >= _MOST_LEVELS or found is not None:
                break
            found = _landmark(root, folder, version)
    prefix, stdlib, modules, language = found or (prefix_of(candidate.path), None, None, None)
    names: list[str] = []
    if modules is not None:
        try:
            names = [name for name in root.listdir(modules) if name.endswith(".so")]
        except UnreadableError:
            modules = None
    return Layout(
        prefix or "/",
        candidate.path,
        library,
        stdlib,
        version or language,
        "",
        {},
        None,
        implementation=Implementation.PYPY,
        modules=tuple(f"{modules}/{name}" for name in names),
        tls_modules=tuple(f"{modules}/{name}" for name in names if _TLS_MODULE.fullmatch(name)),
        tls_places=() if modules is None else (modules,),
        tls_name="_pypy_openssl",
    )


def _landmark(root: Root, folder: str, version: str | None) -> tuple[str, str, str, str | None] | None:
    """Return prefix, standard library, folder of extension modules and language where they stand at ``folder``."""
    for base in (f"{folder}/lib", f"{folder}/lib64"):
        try:
            names = [name for name in root.listdir(base) if _STDLIB.fullmatch(name)]
        except UnreadableError:
            continue
        names = [name for name in names if root.is_file(f"{base}/{name}/os.py")]
        if version is not None:
            names = [name for name in names if name == f"pypy{version}"]
        if len(names) == 1:
            real = root.realpath(f"{base}/{names[0]}")
            return folder, real, real, names[0].removeprefix("pypy")
    if root.is_file(f"{folder}/lib-python/3/os.py"):
        return folder, root.realpath(f"{folder}/lib-python/3"), f"{folder}/lib_pypy", None
    return None


def read_version(root: Root, layout: Layout, package: Package | None, holder: str) -> tuple[str | None, list[Evidence]]:
    """Return PyPy's own version: from its code, then its header and its package."""
    return first_version(_sources(root, layout, package, holder))


def _sources(root: Root, layout: Layout, package: Package | None, holder: str) -> Iterator[tuple[str, Evidence]]:
    yield from text_version(root, holder, _VERSION_TEXT)
    base = f"{layout.prefix.rstrip('/')}/include"
    for path in (f"{base}/pypy{layout.version}/patchlevel.h", f"{base}/patchlevel.h"):
        try:
            match = _HEADER_VERSION.search(root.read_text(path, _MAX_HEADER))
        except UnreadableError:
            continue
        if match is not None:
            yield match[1], Evidence("version", EvidenceKind.TEXT_LINE, shown(path), match[0])
            break
    yield from package_version(layout, package)


def read_flags(root: Root, layout: Layout, holder: str) -> list[tuple[str, Evidence]]:
    """Return which Python this PyPy speaks, from the text of ``sys.version`` in its code, else from its folders."""
    where = shown(holder.removeprefix(layout.prefix.rstrip("/") + "/").lstrip("/"))
    try:
        found = root.examine(holder, _language)
    except UnreadableError:
        found = None
    if found is not None:
        language, offset = found
        flag = f"python-{'.'.join(language.split('.')[:2])}"
        return [(flag, Evidence("flags", EvidenceKind.STRING, where, f"sys.version: {language}", offset))]
    if layout.version is None:
        return []
    detail = f"the version in the name of its library or standard library: {layout.version}"
    return [(f"python-{layout.version}", Evidence("flags", EvidenceKind.PATH, where, detail))]


def _language(source: Source) -> tuple[str, int] | None:
    """Return the Python's version that stands before PyPy's in ``sys.version``, and where."""
    for end in matches(source, _BEHIND_LANGUAGE, 1).values():
        start = max(0, end - _LOOK_BEHIND)
        if match := _LANGUAGE.search(source.read_at(start, end - start)):
            return match[1].decode("ascii"), start + match.start(1)
    return None


def claim(subject: Subject) -> Claim | None:
    """Return the claim for a portable build, as pypy.org offers it, by the name of its folder.

    That is the archive's own, or the one that uv or pyenv gives to it: they bring no other builds of PyPy.
    """
    layout = subject.layout
    if layout.implementation is not Implementation.PYPY or subject.package is not None or layout.stdlib is None:
        return None
    name = layout.prefix.rpartition("/")[2]
    for pattern, words in _DOWNLOADS:
        if pattern.fullmatch(name):
            proof = Evidence("provider", EvidenceKind.PATH, shown(layout.prefix), f"{words}: {shown(name)}")
            return Claim(Provider.UPSTREAM, evidence=(proof,))
    return None


TRAITS = Traits(
    implementation=Implementation.PYPY,
    names=_NAME,
    nicest=re.compile(r"pypy\d\.\d+"),
    recognise=recognise,
    find_layout=find_layout,
    read_version=read_version,
    flags=read_flags,
)
