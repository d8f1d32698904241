"""The distribution's own packages: the executable belongs to a package whose origin is the distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcensus.agent.host import shown
from libcensus.agent.interpreters.candidate import Claim
from libcensus.facts.evidence import Evidence
from libcensus.facts.vocabulary import EvidenceKind, PackageOrigin, Provider

if TYPE_CHECKING:
    from libcensus.agent.interpreters.candidate import Subject


def claim(subject: Subject) -> Claim | None:
    """Return the claim when the package's record says that the distribution built it."""
    package = subject.package
    if package is None or package.origin is not PackageOrigin.DISTRIBUTION:
        return None
    detail = f"{package.manager}: {package.name} {package.version} by {package.vendor or 'the distribution'}"
    proof = Evidence("provider", EvidenceKind.PACKAGE_RECORD, shown(subject.layout.executable), detail)
    return Claim(Provider.DISTRO, package.version, evidence=(proof,))
