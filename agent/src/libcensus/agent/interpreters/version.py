"""Tells a CPython's version, from the best of several sources, each with its proof.

In order: ``include/pythonX.Y/patchlevel.h``, ``build-details.json`` (PEP 739, CPython 3.14 and later), the record of
the package that owns the executable, the path, and last the text in the binary. The text comes last because linkers
merge ``"3.13.0"`` into the tail of longer texts, and because other versions may stand beside it; it counts only when
exactly one text fits.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import shown
from libcensus.agent.interpreters.texts import matches
from libcensus.facts.evidence import Evidence
from libcensus.facts.vocabulary import EvidenceKind, PackageOrigin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from libcensus.agent.elf.reader import Source
    from libcensus.agent.host import Root
    from libcensus.agent.interpreters.candidate import Layout
    from libcensus.facts.package import Package

_PATCHLEVEL = re.compile(r'^#define\s+PY_VERSION\s+"(\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?\+?)"', re.MULTILINE)
_PACKAGE_VERSION = re.compile(r"(?:\d+:)?(\d+\.\d+\.\d+)(?:~?(a|alpha|b|beta|rc)(\d+))?(?=$|[-+~])")
_PATH_VERSION = re.compile(r"(?:^|[-/@_v])(\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?)(?=$|[-/+])")
_RELEASE_LEVELS = {"alpha": "a", "beta": "b", "candidate": "rc", "final": "", "a": "a", "b": "b", "rc": "rc"}
_MAX_HEADER = 64 << 10


def read_version(root: Root, layout: Layout, package: Package | None, holder: str) -> tuple[str | None, list[Evidence]]:
    """Return the version and its proofs; None where nothing tells it.

    ``holder`` is the file that holds the interpreter's code, libpython or the executable; its bytes are read only
    where no better source speaks.
    """
    fitting = (
        (found, proof)
        for found, proof in _sources(root, layout, package)
        if layout.version is None or re.match(re.escape(layout.version) + r"\.\d", found)
    )
    version, proofs = first_version(fitting)
    if version is None and layout.version is not None:
        try:
            texts = root.examine(holder, lambda file: version_texts(file, layout.version or ""))
        except UnreadableError:
            return None, proofs
        if len(texts) == 1:
            ((version, offset),) = texts.items()
            detail = f"the only text of the form {layout.version}.N: {version}"
            proofs.append(Evidence("version", EvidenceKind.STRING, shown(holder), detail, offset))
    return version, proofs


def first_version(sources: Iterable[tuple[str, Evidence]]) -> tuple[str | None, list[Evidence]]:
    """Return the first version of several sources, best first, and the proofs of all that say the same."""
    version: str | None = None
    proofs: list[Evidence] = []
    for found, proof in sources:
        version = version or found
        if found == version:
            proofs.append(proof)
    return version, proofs


def text_version(root: Root, holder: str, pattern: re.Pattern[bytes]) -> Iterator[tuple[str, Evidence]]:
    """Yield the version that the pattern finds in a file, when it is the only one."""
    try:
        texts = root.examine(holder, lambda file: matches(file, pattern))
    except UnreadableError:
        return
    if len(texts) == 1:
        ((version, offset),) = texts.items()
        yield version, Evidence("version", EvidenceKind.STRING, shown(holder), version, offset)


def package_version(layout: Layout, package: Package | None) -> Iterator[tuple[str, Evidence]]:
    """Yield the upstream's version in the record of the package that owns the executable."""
    found = None if package is None else upstream_version(package.version)
    if package is not None and found is not None:
        detail = f"{package.manager}: {package.name} {package.version}"
        yield found, Evidence("version", EvidenceKind.PACKAGE_RECORD, shown(layout.executable), detail)


def _sources(root: Root, layout: Layout, package: Package | None) -> Iterator[tuple[str, Evidence]]:
    for path in _headers(root, layout):
        try:
            text = root.read_text(path, _MAX_HEADER)
        except UnreadableError:
            continue
        if version := parse_patchlevel(text):
            yield version, Evidence("version", EvidenceKind.TEXT_LINE, shown(path), f'#define PY_VERSION "{version}"')
            break
    if layout.stdlib is not None:
        path = f"{layout.stdlib}/build-details.json"
        try:
            found = parse_build_details(root.read_text(path, 1 << 20))
        except UnreadableError:
            found = None
        if found is not None:
            yield found, Evidence("version", EvidenceKind.TEXT_LINE, shown(path), f"implementation.version: {found}")
    if package is not None and package.origin is PackageOrigin.DISTRIBUTION:
        yield from package_version(layout, package)
    if match := _PATH_VERSION.search(layout.prefix):
        yield match[1], Evidence("version", EvidenceKind.PATH, shown(layout.prefix), f"the folder's name: {match[1]}")


def _headers(root: Root, layout: Layout) -> list[str]:
    """Return where patchlevel.h may lie: by version and flags, or the only folder where the version is not known."""
    base = f"{layout.prefix.rstrip('/')}/include"
    if layout.version is not None:
        names = dict.fromkeys((f"python{layout.version}{layout.abiflags}", f"python{layout.version}"))
        return [f"{base}/{name}/patchlevel.h" for name in names]
    try:
        found = [name for name in root.listdir(base) if re.fullmatch(r"python\d\.\d+[a-z]*", name)]
    except UnreadableError:
        return []
    return [f"{base}/{found[0]}/patchlevel.h"] if len(found) == 1 else []


def parse_patchlevel(text: str) -> str | None:
    """Return PY_VERSION of a patchlevel.h."""
    match = _PATCHLEVEL.search(text)
    return match[1] if match else None


def parse_build_details(text: str) -> str | None:
    """Return the version that a build-details.json (PEP 739) tells, as CPython writes it; None where it does not."""
    try:
        version = json.loads(text)["implementation"]["version"]
        level = _RELEASE_LEVELS[version["releaselevel"]]
        number = ".".join(str(int(version[part])) for part in ("major", "minor", "micro"))
        return number if not level else f"{number}{level}{int(version['serial'])}"
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def upstream_version(package_version: str) -> str | None:
    """Return an interpreter's version in a package's: ``3.11.2-6+deb12u6`` is 3.11.2, ``3.14.0~rc1-1`` is 3.14.0rc1.

    A package that went back says so: ``3.1.7+really3.1.2-0+deb12u1`` is 3.1.2.
    """
    match = _PACKAGE_VERSION.match(package_version.rpartition("+really")[2])
    if match is None:
        return None
    level = {"alpha": "a", "beta": "b"}.get(match[2] or "", match[2] or "")
    return f"{match[1]}{level}{match[3] or ''}"


def version_texts(source: Source, minor: str) -> dict[str, int]:
    """Return the different texts ``X.Y.N`` that end a string in a file, each with its first offset.

    What stands before may be anything but a digit or a dot: linkers share the tails of strings.
    """
    pattern = re.compile(rb"(?<![0-9.])(" + re.escape(minor.encode()) + rb"\.\d{1,3}(?:(?:a|b|rc)\d{1,2})?\+?)(?=\0)")
    return matches(source, pattern)
