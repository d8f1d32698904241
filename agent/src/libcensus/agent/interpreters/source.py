"""Built from source on the host or elsewhere: configured for the very prefix where it lies, and owned by no package.

Only /usr/local and /opt count, where the file-system hierarchy puts software that the administrator builds, and the
folders in which version managers compile; another place in a home folder may hold anybody's.
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

_PLACES = ("/usr/local", "/opt", "/srv", "/usr/src")
_COMPILED = re.compile(
    r"/(?:\.?rbenv|\.?plenv|\.?phpenv)/versions/[^/]+$"
    r"|/\.?rvm/rubies/[^/]+$"
    r"|/perlbrew/perls/[^/]+$"
    r"|/(?:\.?asdf|mise)/installs/[^/]+/[^/]+$"
)
"""Where rbenv, plenv, phpenv, rvm, perlbrew, asdf and mise put what they compiled on the host."""


def claim(subject: Subject) -> Claim | None:
    """Return the claim when the configured prefix is where it lies."""
    layout = subject.layout
    if subject.package is not None or layout.sysconfig_file is None:
        return None
    is_usual = f"{layout.prefix}/".startswith(tuple(f"{place}/" for place in _PLACES))
    if layout.sysconfig.get("prefix") != layout.prefix or not (is_usual or _COMPILED.search(layout.prefix)):
        return None
    if subject.root.is_folder(f"{layout.prefix}/conda-meta"):
        return None
    proof = Evidence(
        "provider", EvidenceKind.TEXT_LINE, shown(layout.sysconfig_file), f"prefix: {shown(layout.prefix)}"
    )
    return Claim(Provider.SOURCE, evidence=(proof,))
