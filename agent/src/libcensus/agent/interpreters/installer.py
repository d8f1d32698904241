"""Tells what put an interpreter where it is and would update it: remedies depend on it.

A package that owns the executable comes first; else what only one tool leaves (conda's record, a wheel's RECORD, a
store path, hatch's and uv's own files), and last the folder that a tool keeps its interpreters in. A tool that has no
word in the vocabulary is named in the evidence, and its installs stay ``unknown``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from libcensus.agent.host import shown
from libcensus.agent.interpreters.conda import find_record
from libcensus.agent.interpreters.nix import store_name
from libcensus.agent.interpreters.pyenv import pyenv_root
from libcensus.agent.interpreters.pypi import find_wheel
from libcensus.agent.interpreters.snap import find_snap
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
_UV_MARKS = (".lock", ".gitignore", ".temp")
_FOLDERS = (
    (re.compile(r"/(?:\.asdf|asdf)/installs/[^/]+/[^/]+$"), Installer.ASDF),
    (re.compile(r"/mise/installs/[^/]+/[^/]+$"), Installer.MISE),
    (re.compile(r"/\.rye/py/[^/]+(?:/install)?$"), Installer.RYE),
    (re.compile(r"/hatch/pythons/[^/]+/[^/]+$"), Installer.HATCH),
    (re.compile(r"/pipx/py/[^/]+$"), Installer.PIPX),
)
_OTHERS = (
    (re.compile(r"/\.nvm/versions/node/[^/]+$|/\.nvm/v[\d.]+$"), "nvm"),
    (re.compile(r"/fnm/node-versions/[^/]+/installation$"), "fnm"),
    (re.compile(r"/\.volta/tools/image/node/[^/]+$"), "Volta"),
    (re.compile(r"/n/versions/node/[^/]+$"), "n"),
    (re.compile(r"/\.?nodenv/versions/[^/]+$"), "nodenv"),
    (re.compile(r"/\.?rbenv/versions/[^/]+$"), "rbenv"),
    (re.compile(r"/\.?rvm/rubies/[^/]+$"), "RVM"),
    (re.compile(r"/perlbrew/perls/[^/]+$"), "perlbrew"),
    (re.compile(r"/\.?plenv/versions/[^/]+$"), "plenv"),
    (re.compile(r"/\.?phpenv/versions/[^/]+$"), "phpenv"),
    (re.compile(r"/pdm/python/[^/]+$"), "PDM"),
    (re.compile(r"/pypoetry/python/[^/]+$"), "Poetry"),
    (re.compile(r"/external/[^/]*python_\d+_\d+(?:_\d+)?_[^/]+$"), "Bazel's rules_python"),
)


def find_installer(
    root: Root, prefix: str, executable: str, package: Package | None
) -> tuple[Installer, list[Evidence]]:
    """Return the installer of the interpreter at ``prefix`` and the proof; unknown where nothing tells."""
    if package is not None:
        detail = f"{package.manager}: {package.name} {package.version}"
        return _MANAGERS.get(package.manager, Installer.UNKNOWN), [
            Evidence("installer", EvidenceKind.PACKAGE_RECORD, shown(executable), detail)
        ]
    found = _by_record(root, prefix, executable) or _by_folder(root, prefix)
    if found is not None:
        return found
    for pattern, name in _OTHERS:
        if match := pattern.search(prefix):
            detail = f"the folder {shown(match[0])} is one of {name}"
            return Installer.UNKNOWN, [Evidence("installer", EvidenceKind.PATH, shown(prefix), detail)]
    return Installer.UNKNOWN, []


def _by_record(root: Root, prefix: str, executable: str) -> tuple[Installer, list[Evidence]] | None:
    """Return the installer that left a record of what it installed."""
    if (record := find_record(root, prefix, executable)) is not None:
        detail = shown(f"{record.name} {record.version} {record.build}")[:512]
        return Installer.CONDA, [Evidence("installer", EvidenceKind.PACKAGE_RECORD, shown(record.path), detail)]
    if (name := store_name(executable)) is not None:
        return Installer.NIX, [Evidence("installer", EvidenceKind.PATH, shown(executable), shown(name)[:512])]
    if (snap := find_snap(root, executable)) is not None:
        detail = f"the snap {snap[0]}, revision {snap[1]}"
        return Installer.SNAP, [Evidence("installer", EvidenceKind.TEXT_LINE, shown(snap[3]), detail)]
    if (wheel := find_wheel(root, executable)) is not None:
        told = wheel.installer or "unknown"
        detail = shown(f"{wheel.name} {wheel.version}, by {told}")[:512]
        installer = Installer.UV if told == "uv" else Installer.PIP
        return installer, [Evidence("installer", EvidenceKind.PACKAGE_RECORD, shown(wheel.record), detail)]
    metadata = f"{prefix.rpartition('/')[0]}/hatch-dist.json"
    if root.is_file(metadata):
        return Installer.HATCH, [Evidence("installer", EvidenceKind.PATH, shown(metadata), "hatch writes this file")]
    return None


def _by_folder(root: Root, prefix: str) -> tuple[Installer, list[Evidence]] | None:
    """Return the installer that keeps its interpreters in such a folder."""
    where = shown(prefix)
    for pattern, installer in _FOLDERS:
        if match := pattern.search(prefix):
            return installer, [Evidence("installer", EvidenceKind.PATH, where, f"the folder {shown(match[0])}")]
    top, _, name = prefix.rpartition("/")
    if _UV_KEY.fullmatch(name):
        proofs = [Evidence("installer", EvidenceKind.PATH, where, f"the folder's name is uv's key: {shown(name)}")]
        if root.is_file(f"{prefix}/BUILD"):
            proofs.append(Evidence("installer", EvidenceKind.PATH, f"{where}/BUILD", "uv writes this file"))
        proofs += [
            Evidence("installer", EvidenceKind.PATH, shown(f"{top}/{mark}"), "uv leaves this in its folder of Pythons")
            for mark in _UV_MARKS
            if root.exists(f"{top}/{mark}")
        ]
        return Installer.UV, proofs
    pyenv = pyenv_root(root, prefix)
    if pyenv is not None:
        detail = f"a version of pyenv in {shown(pyenv)}"
        return Installer.PYENV, [Evidence("installer", EvidenceKind.PATH, where, detail)]
    return None
