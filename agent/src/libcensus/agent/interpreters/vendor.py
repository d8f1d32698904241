"""A third party's product: its package owns the executable, or its bill of materials names the interpreter.

A package that the distribution did not build says who did. A product that was only unpacked says it itself, when a
CycloneDX document lies at the top of its folder (``bom.json`` or ``NAME.cdx.json``, the names of that specification)
whose components hold the interpreter; so does the self-contained libcensus agent. A python-build-standalone inside of
either is claimed by ``pbs`` before: the provider is who built it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from libcensus.agent.errors import UnreadableError
from libcensus.agent.host import shown
from libcensus.agent.interpreters.candidate import Claim
from libcensus.facts.evidence import Evidence
from libcensus.facts.vocabulary import EvidenceKind, Implementation, PackageOrigin, Provider

if TYPE_CHECKING:
    from libcensus.agent.interpreters.candidate import Subject

_SBOM = re.compile(r"bom\.json|[^/]+\.cdx\.json", re.DOTALL)
_MAX_SBOM = 16 << 20
_NAMES = {
    Implementation.CPYTHON: {"cpython", "python"},
    Implementation.PYPY: {"pypy"},
    Implementation.NODEJS: {"node", "nodejs", "node.js"},
    Implementation.RUBY: {"ruby"},
    Implementation.PERL: {"perl"},
    Implementation.PHP: {"php"},
}
"""What components are called that are an interpreter, in lower case."""


def claim(subject: Subject) -> Claim | None:
    """Return the claim when the package's record, or else the product's own SBOM, says that a third party built it."""
    package = subject.package
    if package is None:
        return _product(subject)
    if package.origin is not PackageOrigin.VENDOR:
        return None
    detail = f"{package.manager}: {package.name} {package.version} by {package.vendor or 'a third party'}"
    proof = Evidence("provider", EvidenceKind.PACKAGE_RECORD, shown(subject.layout.executable), detail)
    return Claim(Provider.VENDOR, package.version, evidence=(proof,))


def _product(subject: Subject) -> Claim | None:
    """Return the claim of the first SBOM beside the interpreter that names a product with the interpreter in it."""
    prefix = subject.layout.prefix.rstrip("/")
    try:
        names = [name for name in subject.root.listdir(prefix or "/") if _SBOM.fullmatch(name)]
    except UnreadableError:
        return None
    for name in sorted(names):
        path = f"{prefix}/{name}"
        try:
            found = product_of(subject.root.read_text(path, _MAX_SBOM), subject.layout.implementation)
        except UnreadableError:
            continue
        if found is None:
            continue
        product, component = found
        detail = shown(f"metadata.component is {product}, and components hold {component}")[:512]
        proof = Evidence("provider", EvidenceKind.TEXT_LINE, shown(path), detail)
        return Claim(Provider.VENDOR, shown(product)[:128], evidence=(proof,))
    return None


def product_of(text: str, implementation: Implementation) -> tuple[str, str] | None:
    """Return the product that a CycloneDX text is about, and the interpreter in it, each by name and version.

    None for any other text, for one about the interpreter itself, and for one without it.
    """
    try:
        document = json.loads(text)
        product = document["metadata"]["component"]
        wanted = _NAMES[implementation]
        if document["bomFormat"] != "CycloneDX" or str(product["name"]).lower() in wanted:
            return None
        components = [one for one in document["components"] if str(one["name"]).lower() in wanted]
        return None if not components else (_named(product), _named(components[0]))
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return None


def _named(component: dict[str, Any]) -> str:
    return f"{component['name']} {component.get('version', '')}".strip()
