"""pyenv: Pythons that pyenv's python-build compiled on the host into ``versions`` of a pyenv root.

Known by the layout (``ROOT/versions/NAME`` beside pyenv's own program, or beside shims of Python) together with the
prefix that the build was configured for. A python-build-standalone that was merely put there is claimed by ``pbs``
before, and what pyenv downloads built (PyPy) was not compiled here and is not claimed. The tools that copy its layout
for other languages (rbenv, nodenv) are told apart by their shims.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from libcensus.agent.host import shown
from libcensus.agent.interpreters.candidate import Claim
from libcensus.facts.evidence import Evidence
from libcensus.facts.vocabulary import EvidenceKind, Implementation, Provider

if TYPE_CHECKING:
    from libcensus.agent.host import Root
    from libcensus.agent.interpreters.candidate import Subject

_VERSION_FOLDER = re.compile(r"(/.*)/versions/[^/]+")


def pyenv_root(root: Root, prefix: str) -> str | None:
    """Return the pyenv root whose ``versions`` hold a prefix; None where it is none."""
    match = _VERSION_FOLDER.fullmatch(prefix)
    if match is None:
        return None
    top = match[1]
    marks = (
        top.endswith("/.pyenv"),
        root.exists(f"{top}/libexec/pyenv"),
        any(root.exists(f"{top}/shims/{name}") for name in ("python", "python3")),
    )
    return top if any(marks) else None


def claim(subject: Subject) -> Claim | None:
    """Return the claim when the build was configured for a version folder of a pyenv root."""
    layout = subject.layout
    if layout.implementation is not Implementation.CPYTHON or subject.package is not None:
        return None
    top = pyenv_root(subject.root, layout.prefix)
    if top is None:
        return None
    proofs = [Evidence("provider", EvidenceKind.PATH, shown(layout.prefix), f"a version of the pyenv in {shown(top)}")]
    if layout.sysconfig_file is not None and layout.sysconfig.get("prefix") == layout.prefix:
        detail = f"prefix: {shown(layout.prefix)}"
        proofs.append(Evidence("provider", EvidenceKind.TEXT_LINE, shown(layout.sysconfig_file), detail))
    return Claim(Provider.PYENV, None, evidence=tuple(proofs))
