"""snap: interpreters inside a snap, ``/snap/NAME/REVISION``, known by the snap's own ``meta/snap.yaml``.

A snap is built by its publisher, often from a distribution's packages, and is refreshed as a whole: the distribution's
updates of those packages do not reach it. The base snaps (``core22`` and the like) have an os-release and a loader, and
are roots of their own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import shown
from libcensus.agent.interpreters.candidate import Claim
from libcensus.facts.evidence import Evidence
from libcensus.facts.vocabulary import EvidenceKind, Provider

if TYPE_CHECKING:
    from libcensus.agent.host import Root
    from libcensus.agent.interpreters.candidate import Subject

_FOLDER = re.compile(r"((?:/var/lib/snapd)?/snap/(?P<name>[a-z0-9][a-z0-9_-]*)/(?P<revision>x?\d+))/")
_VERSION = re.compile(r"^version:\s*['\"]?([^'\"\s#]{1,64})['\"]?\s*(?:#.*)?$", re.MULTILINE)
_NAME = re.compile(r"^name:\s*['\"]?([a-z0-9-]{1,64})['\"]?\s*(?:#.*)?$", re.MULTILINE)
_MAX_DESCRIPTION = 1 << 20


def snap_folder(path: str) -> str | None:
    """Return the folder of the revision of a snap that holds a path; None outside of snaps."""
    match = _FOLDER.match(path)
    return None if match is None else match[1]


def find_snap(root: Root, path: str) -> tuple[str, str, str | None, str] | None:
    """Return name, revision, version and description file of the snap that holds a path; None outside of snaps."""
    match = _FOLDER.match(path)
    if match is None:
        return None
    file = f"{match[1]}/meta/snap.yaml"
    try:
        text = root.read_text(file, _MAX_DESCRIPTION)
    except UnreadableError:
        return None
    if _NAME.search(text) is None:
        return None
    version = _VERSION.search(text)
    return match["name"], match["revision"], None if version is None else version[1], file


def claim(subject: Subject) -> Claim | None:
    """Return the claim when the executable lies in a revision of a snap."""
    found = find_snap(subject.root, subject.layout.executable)
    if found is None or subject.package is not None:
        return None
    name, revision, version, file = found
    build = f"{name} {version or 'of no version'} ({revision})"
    proof = Evidence("provider", EvidenceKind.TEXT_LINE, shown(file), shown(f"the snap {build}")[:512])
    return Claim(Provider.SNAP, shown(build)[:128], evidence=(proof,))
