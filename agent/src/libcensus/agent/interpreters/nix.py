"""nix: interpreters in a store path, ``/nix/store/HASH-NAME-VERSION``, which never changes.

The hash stands for all that the build was made from, so it is the build's own mark. Guix keeps another store and is
not claimed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from libcensus.agent.host import shown
from libcensus.agent.interpreters.candidate import Claim
from libcensus.facts.evidence import Evidence
from libcensus.facts.vocabulary import EvidenceKind, Provider

if TYPE_CHECKING:
    from libcensus.agent.interpreters.candidate import Subject

_STORE_PATH = re.compile(r"(?:^|/)nix/store/([0-9a-df-np-sv-z]{32}-[^/]+)(?=/|$)")


def store_name(path: str) -> str | None:
    """Return ``HASH-NAME`` of the store path that a path lies in; None where it lies in none."""
    match = _STORE_PATH.search(path)
    return None if match is None else match[1]


def claim(subject: Subject) -> Claim | None:
    """Return the claim when the executable lies in a store path."""
    name = store_name(subject.layout.executable)
    if name is None or subject.package is not None:
        return None
    where = shown(subject.layout.executable)
    proof = Evidence("provider", EvidenceKind.PATH, where, f"a store path: {shown(name)[:256]}")
    return Claim(Provider.NIX, shown(name)[:128], evidence=(proof,))
