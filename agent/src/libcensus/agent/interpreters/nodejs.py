"""Node.js: its main program calls ``node::Start``, from ``libnode.so`` (Debian's) or its own code.

A static one exports ``node::Start`` together with all of V8 for native addons; Electron, packers and single-file
programs do so too. Those have another name, and no headers of Node.js beside them: they are no installs. Node's
standard library and its TLS module are inside the code, so the code alone tells which OpenSSL there is. Sources:
``src/node_main.cc``, ``src/node_metadata.cc`` of https://github.com/nodejs/node.
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

_NAME = re.compile(r"node(?:js)?(?:-?\d+(?:\.\d+)*)?")
_LIBRARY = re.compile(r"(?:^|/)libnode\.so(?:\.[\d.]+)?$")
_MAIN = "_ZN4node5StartEiPPc"
"""``node::Start(int, char**)`` as C++ compilers of all architectures name it."""

_START_UP_TEXTS = (b"NODE_EXTRA_CA_CERTS", b"NODE_OPTIONS", b"node.js/v")
_VERSION_TEXT = re.compile(rb"node\.js/v(\d+\.\d+\.\d+(?:-[0-9A-Za-z.]{1,40})?)(?![0-9A-Za-z.-])")
_RELEASE = re.compile(rb'(node_release_urlbase": *"https://nodejs\.org/download/[a-z]+/)"')
_RELEASE_LINE = re.compile(r"""['"]node_release_urlbase['"]: *['"](https://nodejs\.org/download/[a-z]+/)['"]""")
_PREFIX_LINE = re.compile(r"""['"]node_prefix['"]: *['"](/[^'"\n]{0,200})['"]""")
_DEFINES = re.compile(r"^#define\s+NODE_(MAJOR|MINOR|PATCH)_VERSION\s+(\d+)$", re.MULTILINE)
_MAX_HEADER = 256 << 10


def recognise(elf: Elf, source: Source, name: str) -> MainProgram | None:
    """Return why an executable is a Node.js's main program, or None when it is not."""
    named = _NAME.fullmatch(name) is not None
    for needed in elf.needed:
        if _LIBRARY.search(needed):
            if _MAIN not in elf.imports:
                return None
            return _program(elf, EvidenceKind.ELF_SYMBOL, f"imports node::Start from {needed}", needed)
    if elf.defines(_MAIN):
        detail = "defines node::Start: Node.js is linked in, and its API exported"
        return _program(elf, EvidenceKind.ELF_SYMBOL, detail, None, is_certain=named)
    if named and elf.symbols is None and holds_texts(source, _START_UP_TEXTS):
        texts = ", ".join(text.decode() for text in _START_UP_TEXTS)
        return _program(elf, EvidenceKind.STRING, f"holds the texts {texts}", None)
    return None


def _program(elf: Elf, kind: EvidenceKind, detail: str, library: str | None, *, is_certain: bool = True) -> MainProgram:
    return MainProgram(elf.arch, kind, detail, library, None, "", is_certain, Implementation.NODEJS)


def find_layout(root: Root, candidate: Candidate, library: str | None, skips: Skips) -> Layout:
    """Return where a candidate's parts lie; the headers stand for the standard library, which is in the code."""
    prefix = prefix_of(candidate.path)
    headers = f"{prefix.rstrip('/')}/include/node"
    configured = None
    try:
        configured = _PREFIX_LINE.search(root.read_text(f"{headers}/config.gypi", _MAX_HEADER))
    except UnreadableError as error:
        if error.reason != "not-found":
            skips.add_error(error)
    return Layout(
        prefix,
        candidate.path,
        library,
        headers if root.is_file(f"{headers}/node_version.h") else None,
        None,
        "",
        {} if configured is None else {"prefix": configured[1]},
        None if configured is None else f"{headers}/config.gypi",
        implementation=Implementation.NODEJS,
        tls_places=() if candidate.program.library is not None and library is None else (library or candidate.path,),
        tls_name="crypto",
    )


def read_version(root: Root, layout: Layout, package: Package | None, holder: str) -> tuple[str | None, list[Evidence]]:
    """Return the version: from the code, then its header and its package."""
    return first_version(_sources(root, layout, package, holder))


def _sources(root: Root, layout: Layout, package: Package | None, holder: str) -> Iterator[tuple[str, Evidence]]:
    yield from text_version(root, holder, _VERSION_TEXT)
    if layout.stdlib is not None:
        path = f"{layout.stdlib}/node_version.h"
        try:
            numbers = dict(_DEFINES.findall(root.read_text(path, _MAX_HEADER)))
        except UnreadableError:
            numbers = {}
        if len(numbers) == 3:
            version = ".".join(numbers[part] for part in ("MAJOR", "MINOR", "PATCH"))
            yield version, Evidence("version", EvidenceKind.TEXT_LINE, shown(path), f"NODE_*_VERSION: {version}")
    yield from package_version(layout, package)


def read_flags(root: Root, layout: Layout, holder: str) -> list[tuple[str, Evidence]]:
    """Return no flags: nothing beside what its ELF file tells."""
    del root, layout, holder
    return []


def claim(subject: Subject) -> Claim | None:
    """Return the claim when the build's own configuration names the downloads of nodejs.org and nobody owns it.

    A build from source leaves ``node_release_urlbase`` empty; that its version text holds the same address proves
    nothing.
    """
    layout = subject.layout
    if layout.implementation is not Implementation.NODEJS or subject.package is not None:
        return None
    if layout.stdlib is not None:
        path = f"{layout.stdlib}/config.gypi"
        try:
            match = _RELEASE_LINE.search(subject.root.read_text(path, _MAX_HEADER))
        except UnreadableError:
            match = None
        if match is not None:
            return Claim(
                Provider.UPSTREAM, evidence=(Evidence("provider", EvidenceKind.TEXT_LINE, shown(path), match[0]),)
            )
    holder = layout.library or layout.executable
    try:
        texts = subject.root.examine(holder, lambda file: matches(file, _RELEASE, 1))
    except UnreadableError:
        return None
    for text, offset in texts.items():
        return Claim(
            Provider.UPSTREAM, evidence=(Evidence("provider", EvidenceKind.STRING, shown(holder), text, offset),)
        )
    return None


TRAITS = Traits(
    implementation=Implementation.NODEJS,
    names=_NAME,
    nicest=re.compile(r"node"),
    recognise=recognise,
    find_layout=find_layout,
    read_version=read_version,
    flags=read_flags,
)
