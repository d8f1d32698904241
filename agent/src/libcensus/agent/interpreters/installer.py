"""Tells what put an interpreter where it is and would update it: remedies depend on it.

A package that owns the executable comes first; else the folder that a tool keeps its interpreters in, together with
what only that tool leaves there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from libcensus.agent.host import shown
from libcensus.agent.interpreters.pyenv import pyenv_root
from libcensus.facts.evidence import Evidence
from libcensus.facts.vocabulary import EvidenceKind, Installer

if TYPE_CHECKING:
    from libcensus.agent.host import Root
    from libcensus.facts.package import Package

_MANAGERS = {
    "dpkg": Installer.DPKG,
    "rpm": Installer.RPM,
    "apk": Installer.APK,
    "pacman": Installer.PACMAN,
}
_UV_KEY = re.compile(
    r"(?:cpython|pypy|graalpy)-\d+\.\d+\.\d+[^/]*-(?:linux|macos|windows)-[^/]+-(?:gnu\w*|musl\w*|none)"
)
_FOLDERS = (
    (re.compile(r"/(?:\.asdf|asdf)/installs/python/[^/]+$"), Installer.ASDF),
    (re.compile(r"/mise/installs/python/[^/]+$"), Installer.MISE),
    (re.compile(r"/\.rye/py/[^/]+(?:/install)?$"), Installer.RYE),
    (re.compile(r"/hatch/pythons/[^/]+/[^/]+$"), Installer.HATCH),
)


def find_installer(
    root: Root, prefix: str, executable: str, package: Package | None
) -> tuple[Installer, list[Evidence]]:
    """Return the installer of the interpreter at ``prefix`` and the proof; unknown where nothing tells."""
    where = shown(prefix)
    if package is not None:
        detail = f"{package.manager}: {package.name} {package.version}"
        return _MANAGERS.get(package.manager, Installer.UNKNOWN), [
            Evidence("installer", EvidenceKind.PACKAGE_RECORD, shown(executable), detail)
        ]
    for pattern, installer in _FOLDERS:
        if match := pattern.search(prefix):
            return installer, [Evidence("installer", EvidenceKind.PATH, where, f"the folder {shown(match[0])}")]
    name = prefix.rpartition("/")[2]
    if _UV_KEY.fullmatch(name):
        proofs = [Evidence("installer", EvidenceKind.PATH, where, f"the folder's name is uv's key: {shown(name)}")]
        if root.is_file(f"{prefix}/BUILD"):
            proofs.append(Evidence("installer", EvidenceKind.PATH, f"{where}/BUILD", "uv writes this file"))
        return Installer.UV, proofs
    top = pyenv_root(root, prefix)
    if top is not None:
        return Installer.PYENV, [Evidence("installer", EvidenceKind.PATH, where, f"a version of pyenv in {shown(top)}")]
    return Installer.UNKNOWN, []
