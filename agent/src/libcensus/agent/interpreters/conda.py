"""conda: interpreters that conda, mamba, micromamba or pixi put into an environment, its base included.

Known by the package's record in ``conda-meta`` that lists the executable; its name is ``NAME-VERSION-BUILD.json`` by
conda's own rule, and its ``channel`` tells who built it. An extracted package in conda's cache (``pkgs``) is what
environments are linked from, and no environment itself. Source: https://docs.conda.io/projects/conda-build,
``resources/package-spec``.
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
    from libcensus.agent.host import Root
    from libcensus.agent.interpreters.candidate import Subject

_INTERPRETER = re.compile(r"(?:python|pypy|graalpy|nodejs|ruby|perl|php)[^-]*-.+-[^-]+\.json")
_CHANNEL = re.compile(rb'"channel":\s*"([^"\\]{1,512})"')
_MAX_RECORD = 16 << 20


@dataclass(frozen=True, slots=True)
class Record:
    """A package's record in ``conda-meta``: its file, the parts of its name, and its channel where it says so."""

    path: str
    name: str
    version: str
    build: str
    channel: str | None


def find_record(root: Root, prefix: str, executable: str) -> Record | None:
    """Return the record of the package that holds an interpreter; None where the prefix is no conda environment."""
    relative = executable.removeprefix(f"{prefix.rstrip('/')}/")
    folder = f"{prefix.rstrip('/')}/conda-meta"
    try:
        names = [name for name in root.listdir(folder) if _INTERPRETER.fullmatch(name)]
    except UnreadableError:
        return None
    for name in names:
        try:
            text = root.read_bytes(f"{folder}/{name}", _MAX_RECORD)
        except UnreadableError:
            continue
        if f'"{relative}"'.encode("utf-8", "surrogateescape") in text:
            parts = name.removesuffix(".json").rsplit("-", 2)
            channel = _CHANNEL.search(text)
            told = None if channel is None else channel[1].decode("utf-8", "backslashreplace")
            return Record(f"{folder}/{name}", parts[0], parts[1], parts[2], told)
    return None


def is_cached_package(root: Root, prefix: str) -> bool:
    """Tell whether a prefix is a package that conda keeps extracted in its cache: environments are linked from it."""
    top, _, name = prefix.rpartition("/")
    if name.count("-") < 2 or not root.is_file(f"{prefix}/info/index.json"):
        return False
    return root.is_file(f"{prefix}/info/repodata_record.json") or root.is_file(f"{top}/urls.txt")


def claim(subject: Subject) -> Claim | None:
    """Return the claim when a record of conda's lists the executable."""
    layout = subject.layout
    record = find_record(subject.root, layout.prefix, layout.executable)
    if record is None:
        return None
    words = (
        f"lists {layout.executable.removeprefix(layout.prefix).lstrip('/')}; channel: {record.channel or 'not told'}"
    )
    proofs = [Evidence("provider", EvidenceKind.PACKAGE_RECORD, shown(record.path), shown(words)[:1024])]
    detail = f"{record.name} {record.version} {record.build}"
    proofs.append(Evidence("provider_build", EvidenceKind.PACKAGE_RECORD, shown(record.path), shown(detail)[:512]))
    return Claim(Provider.CONDA, shown(record.build)[:128], evidence=tuple(proofs))
