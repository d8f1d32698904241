"""Package URLs of what was found: of the package that owns it, of what brought it, or of the project that made it.

A package URL claims no more than the facts do: a package of a third party has no distribution as its namespace, and a
copy whose version nobody could read has none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from packageurl import PackageURL

from libcensus.facts.vocabulary import PackageOrigin, Provider

if TYPE_CHECKING:
    from libcensus.facts.crypto import CopyOwner
    from libcensus.facts.host import OsRelease
    from libcensus.facts.package import Package

_TYPES = {"dpkg": "deb", "rpm": "rpm", "apk": "apk", "pacman": "alpm"}
_NAMESPACES = {"rhel": "redhat"}
"""Where the namespace that everybody writes is not the ``ID`` of os-release."""

_OWNERS = {"pypi": "pypi", "npm": "npm", "gem": "gem", "conda": "conda"}
_EPOCH = re.compile(r"(\d+):(.+)", re.DOTALL)


def package_purl(package: Package, system: OsRelease) -> str:
    """Return the package URL of a package of the system's package manager."""
    kind = _TYPES.get(package.manager)
    qualifiers = {"arch": package.arch or "", "distro": _distro(system)}
    version, namespace = package.version, None
    if package.origin is PackageOrigin.DISTRIBUTION and system.id is not None:
        namespace = _NAMESPACES.get(system.id, system.id)
    match = _EPOCH.fullmatch(version) if kind == "rpm" else None
    if match is not None:
        # The type's definition wants the epoch of an RPM apart; Debian's is part of the version.
        qualifiers["epoch"], version = match.groups()
    told = {name: value for name, value in qualifiers.items() if value}
    return PackageURL(kind or "generic", namespace, package.name, version, told).to_string()


def owner_purl(owner: CopyOwner) -> str | None:
    """Return the package URL of what brought a copy; None for a package of the system, which has one of its own."""
    kind = _OWNERS.get(owner.ecosystem)
    if kind is None:
        return None
    namespace, _, name = owner.name.rpartition("/") if kind == "npm" else ("", "", owner.name)
    return PackageURL(kind, namespace or None, name, owner.version).to_string()


def project_purl(name: str, version: str | None, provider: Provider | None = None) -> str:
    """Return the package URL of what a project made and no package owns; conda has a type of its own."""
    kind = "conda" if provider is Provider.CONDA else "generic"
    return PackageURL(kind, None, name, version).to_string()


def _distro(system: OsRelease) -> str:
    return "-".join(part for part in (system.id, system.version_id) if part) if system.id else ""
