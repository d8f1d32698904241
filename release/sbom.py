"""The bundle's bill of materials, CycloneDX 1.6: what is in it, which version, from which bytes, on which terms."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from release.sources import Archive
    from release.wheels import Wheel

PART_LICENCES = {"cpython": "PSF-2.0", "zlib": "Zlib", "bzip2": "bzip2-1.0.6", "xz": "0BSD"}
BROUGHT_BY_CPYTHON = {"hacl-star": "MIT", "libb2": "CC0-1.0"}
"""What CPython's source brings along and is compiled in: its hash functions."""

WHEEL_LICENCES = {"protobuf": "BSD-3-Clause"}
"""Where a wheel states its licence in words and not as an SPDX expression."""


def bundle_sbom(
    version: str,
    arch: str,
    epoch: int,
    archives: dict[str, Archive],
    cpython_sbom: Path,
    wheels: Iterable[Wheel],
    toolchain: str,
) -> str:
    """Return the text of the bundle's SBOM, equal for equal contents."""
    subject = Component(
        type=ComponentType.APPLICATION,
        name="libcensus-agent",
        version=version,
        bom_ref=f"libcensus-agent-{version}-linux-{arch}",
        purl=PackageURL("generic", None, "libcensus-agent", version, {"arch": arch}),
        licenses=[LicenseExpression("Apache-2.0")],
        description="The self-contained agent of libcensus: CPython, linked into one program, and the wheels it runs",
    )
    bom = Bom()
    bom.metadata.component = subject
    bom.metadata.timestamp = datetime.fromtimestamp(epoch, UTC)
    bom.metadata.properties.add(Property(name="libcensus:compiler", value=toolchain))
    parts = [_source_component(archive) for archive in archives.values()]
    brought = list(_brought_components(cpython_sbom))
    wheel_components = [_wheel_component(wheel) for wheel in wheels]
    for component in (*parts, *brought, *wheel_components):
        bom.components.add(component)
    bom.register_dependency(subject, [*parts, *brought, *wheel_components])
    names = "\n".join(sorted(f"{one.bom_ref.value}" for one in bom.components))
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, f"libcensus-agent {version} {arch} {epoch}\n{names}")
    return json.dumps(json.loads(JsonV1Dot6(bom).output_as_string()), indent=1, sort_keys=True) + "\n"


def _source_component(archive: Archive) -> Component:
    source = archive.source
    return Component(
        type=ComponentType.LIBRARY,
        name=source.name,
        version=source.version,
        bom_ref=f"{source.name}-{source.version}-{source.sha256[:12]}",
        purl=PackageURL("generic", None, source.name, source.version, {"checksum": f"sha256:{source.sha256}"}),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=source.sha256)],
        licenses=[LicenseExpression(PART_LICENCES[source.name])],
        properties=[
            Property(name="libcensus:source-file", value=source.file),
            Property(name="libcensus:linkage", value="static"),
        ],
    )


def _brought_components(cpython_sbom: Path) -> Iterator[Component]:
    for package in json.loads(cpython_sbom.read_text(encoding="utf-8"))["packages"]:
        name, version = package["name"], package.get("versionInfo", "")
        if name not in BROUGHT_BY_CPYTHON:
            continue
        digests = [one["checksumValue"] for one in package.get("checksums", []) if one["algorithm"] == "SHA256"]
        yield Component(
            type=ComponentType.LIBRARY,
            name=name,
            version=version,
            bom_ref=f"{name}-{version}",
            purl=PackageURL("generic", None, name, version),
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in digests],
            licenses=[LicenseExpression(BROUGHT_BY_CPYTHON[name])],
            properties=[Property(name="libcensus:brought-by", value="cpython")],
        )


def _wheel_component(wheel: Wheel) -> Component:
    name = wheel.name.lower().replace("_", "-")
    expression = wheel.metadata["License-Expression"] or WHEEL_LICENCES.get(name)
    licences = [LicenseExpression(expression)] if expression else []
    address = _address(wheel)
    return Component(
        type=ComponentType.LIBRARY,
        name=name,
        version=wheel.version,
        bom_ref=f"{name}-{wheel.version}-{wheel.sha256[:12]}",
        purl=PackageURL("pypi", None, name, wheel.version, {"file_name": wheel.path.name}),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=wheel.sha256)],
        licenses=licences,
        external_references=[ExternalReference(type=ExternalReferenceType.WEBSITE, url=XsUri(address))]
        if address
        else [],
        components=[_inner_component(one, name) for one in _inner(wheel)],
    )


def _address(wheel: Wheel) -> str | None:
    pages: list[str] = wheel.metadata.get_all("Project-URL") or []
    for page in pages:
        label, _, address = page.partition(",")
        if label.strip().lower() in ("homepage", "source", "source code"):
            return address.strip()
    return wheel.metadata["Home-page"]


def _inner(wheel: Wheel) -> list[dict[str, Any]]:
    """Return the components that a wheel's own SBOMs (PEP 770) tell, in their order."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for text in wheel.sboms:
        for component in json.loads(text).get("components", []):
            found.setdefault((component["name"], component.get("version", "")), component)
    return [found[key] for key in sorted(found)]


def _inner_component(entry: dict[str, Any], owner: str) -> Component:
    digests = [one["content"] for one in entry.get("hashes", []) if one["alg"] == "SHA-256"]
    version = entry.get("version", "")
    purl = entry.get("purl")
    return Component(
        type=ComponentType.LIBRARY,
        name=entry["name"],
        version=version,
        bom_ref=f"{owner}/{entry['name']}-{version}",
        purl=PackageURL.from_string(purl) if purl else None,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in digests],
        properties=[Property(name="libcensus:brought-by", value=owner)],
    )
