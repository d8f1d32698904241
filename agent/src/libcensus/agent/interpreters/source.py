"""Built from source on the host or elsewhere: configured for the very prefix where it lies, and owned by no package.

Only /usr/local and /opt count, where the file-system hierarchy puts software that the administrator builds; a home
folder may hold anybody's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcensus.agent.host import shown
from libcensus.agent.interpreters.candidate import Claim
from libcensus.facts.evidence import Evidence
from libcensus.facts.vocabulary import EvidenceKind, Provider

if TYPE_CHECKING:
    from libcensus.agent.interpreters.candidate import Subject

_PLACES = ("/usr/local", "/opt", "/srv", "/usr/src")


def claim(subject: Subject) -> Claim | None:
    """Return the claim when the configured prefix is where it lies."""
    layout = subject.layout
    if subject.package is not None or layout.sysconfig_file is None:
        return None
    if layout.sysconfig.get("prefix") != layout.prefix or not f"{layout.prefix}/".startswith(
        tuple(f"{place}/" for place in _PLACES)
    ):
        return None
    if subject.root.is_folder(f"{layout.prefix}/conda-meta"):
        return None
    proof = Evidence(
        "provider", EvidenceKind.TEXT_LINE, shown(layout.sysconfig_file), f"prefix: {shown(layout.prefix)}"
    )
    return Claim(Provider.SOURCE, evidence=(proof,))
