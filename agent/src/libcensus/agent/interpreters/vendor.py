"""A third party's package: the executable belongs to a package that the distribution did not build.

A python-build-standalone inside such a package is claimed by ``pbs`` before: the provider is who built it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcensus.agent.host import shown
from libcensus.agent.interpreters.candidate import Claim
from libcensus.facts.evidence import Evidence
from libcensus.facts.vocabulary import EvidenceKind, PackageOrigin, Provider

if TYPE_CHECKING:
    from libcensus.agent.interpreters.candidate import Subject


def claim(subject: Subject) -> Claim | None:
    """Return the claim when the package's record says that a third party built it."""
    package = subject.package
    if package is None or package.origin is not PackageOrigin.VENDOR:
        return None
    detail = f"{package.manager}: {package.name} {package.version} by {package.vendor or 'a third party'}"
    proof = Evidence("provider", EvidenceKind.PACKAGE_RECORD, shown(subject.layout.executable), detail)
    return Claim(Provider.VENDOR, package.version, evidence=(proof,))
