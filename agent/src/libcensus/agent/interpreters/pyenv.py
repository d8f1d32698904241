"""pyenv: CPythons that pyenv's python-build compiled on the host into ``versions`` of a pyenv root.

Known by the layout (``ROOT/versions/NAME`` beside ``ROOT/shims`` or pyenv's own program) together with the prefix that
the build was configured for. A python-build-standalone that was merely put there is claimed by ``pbs`` before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcensus.agent.host import shown
from libcensus.agent.interpreters.candidate import Claim
from libcensus.facts.evidence import Evidence
from libcensus.facts.vocabulary import EvidenceKind, Provider

if TYPE_CHECKING:
    from libcensus.agent.host import Root
    from libcensus.agent.interpreters.candidate import Subject


def pyenv_root(root: Root, prefix: str) -> str | None:
    """Return the pyenv root whose ``versions`` hold a prefix; None where it is none."""
    versions = prefix.rpartition("/")[0]
    if not versions.endswith("/versions"):
        return None
    top = versions.removesuffix("/versions")
    marks = (root.is_folder(f"{top}/shims"), root.exists(f"{top}/libexec/pyenv"), top.endswith("/.pyenv"))
    return top if any(marks) else None


def claim(subject: Subject) -> Claim | None:
    """Return the claim when the build was configured for a version folder of a pyenv root."""
    layout = subject.layout
    top = pyenv_root(subject.root, layout.prefix)
    if top is None or subject.package is not None:
        return None
    proofs = [Evidence("provider", EvidenceKind.PATH, shown(layout.prefix), f"a version of the pyenv in {shown(top)}")]
    if layout.sysconfig_file is not None and layout.sysconfig.get("prefix") == layout.prefix:
        detail = f"prefix: {shown(layout.prefix)}"
        proofs.append(Evidence("provider", EvidenceKind.TEXT_LINE, shown(layout.sysconfig_file), detail))
    return Claim(Provider.PYENV, None, evidence=tuple(proofs))
