"""PyPI: interpreters that a wheel ships, known by the wheel's own RECORD that lists the executable.

Such a wheel's interpreter is a build of its own, updated when the wheel is. A file that merely lies in site-packages
and that no RECORD lists is not claimed. Source: https://packaging.python.org/specifications/recording-installed-packages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import shown
from libcensus.agent.interpreters.candidate import Claim
from libcensus.facts.evidence import Evidence
from libcensus.facts.vocabulary import EvidenceKind, Provider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcensus.agent.host import Root
    from libcensus.agent.interpreters.candidate import Subject

_PACKAGES = re.compile(r"/(?:site|dist)-packages(?=/)")
_LIBRARY = re.compile(r"python\d[\d.]*[a-z]?")
_DIST_INFO = re.compile(r"(?P<name>[A-Za-z0-9_.]+)-(?P<version>[^-/]+)\.dist-info")
_PYTHON = re.compile(r"(?:python|pypy)\d?(?:\.\d+)?[a-z]*")
_MAX_RECORD = 16 << 20


@dataclass(frozen=True, slots=True)
class Wheel:
    """An installed wheel that lists a file: name, version, its RECORD, and the tool that its INSTALLER names."""

    name: str
    version: str
    record: str
    line: str
    installer: str | None


def find_wheel(root: Root, executable: str) -> Wheel | None:
    """Return the wheel whose RECORD lists an executable; None where none does."""
    for folder, relative in _places(root, executable):
        try:
            names = [name for name in root.listdir(folder) if _DIST_INFO.fullmatch(name)]
        except UnreadableError:
            continue
        # The wheel is mostly named like the folder that the executable lies in.
        first = relative.partition("/")[0].lower().replace("-", "_")
        names.sort(key=lambda name: (not name.lower().startswith(first[:6]), name))
        wanted = f"{relative},".encode("utf-8", "surrogateescape")
        for name in names:
            record = f"{folder}/{name}/RECORD"
            try:
                text = root.read_bytes(record, _MAX_RECORD)
            except UnreadableError:
                continue
            if text.startswith(wanted) or b"\n" + wanted in text:
                match = _DIST_INFO.fullmatch(name)
                if match is not None:
                    return Wheel(
                        match["name"], match["version"], record, relative, _installer(root, f"{folder}/{name}")
                    )
    return None


def _places(root: Root, executable: str) -> Iterator[tuple[str, str]]:
    """Yield the folders of packages that may list an executable, and its path as their RECORDs write it."""
    found = False
    for match in _PACKAGES.finditer(executable):
        found = True
        yield executable[: match.end()], executable[match.end() + 1 :]
    folder, _, name = executable.rpartition("/")
    if found or not folder.endswith("/bin") or _PYTHON.fullmatch(name):
        return
    library = f"{folder.removesuffix('/bin')}/lib"
    try:
        versions = [version for version in root.listdir(library) if _LIBRARY.fullmatch(version)]
    except UnreadableError:
        return
    for version in versions:
        yield f"{library}/{version}/site-packages", f"../../../bin/{name}"


def _installer(root: Root, folder: str) -> str | None:
    try:
        return root.read_text(f"{folder}/INSTALLER", 4096).strip() or None
    except UnreadableError:
        return None


def claim(subject: Subject) -> Claim | None:
    """Return the claim when a wheel's RECORD lists the executable."""
    if subject.package is not None:
        return None
    wheel = find_wheel(subject.root, subject.layout.executable)
    if wheel is None:
        return None
    build = f"{wheel.name} {wheel.version}"
    detail = f"{build} lists {wheel.line}"
    proof = Evidence("provider", EvidenceKind.PACKAGE_RECORD, shown(wheel.record), shown(detail)[:1024])
    return Claim(Provider.PYPI, shown(build)[:128], evidence=(proof,))
