"""The one bridge between the wire and the domain.

Law, tested by property: ``from_proto(to_proto(x)) == x``. Decoding validates everything: what comes out is a valid
domain value, what cannot be one raises :class:`~libcensus.facts.validation.InvalidFactError` with the field's dotted
name. Unknown enumeration numbers decode to ``UNKNOWN``; unknown fields are ignored here and kept in the stored bytes.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp

from libcensus.facts.artefact import Artefact, ArtefactFile, WheelTag
from libcensus.facts.changelog import ChangelogFix, PackageChangelog
from libcensus.facts.crypto import CopyOwner, CryptoCopy, CryptoCopySet, CryptoLibrary, CryptoUse
from libcensus.facts.digest import FactKind, fact_digest
from libcensus.facts.evidence import Evidence
from libcensus.facts.host import Host, Inventory, Libc, OsRelease
from libcensus.facts.interpreter import Build, BuildFile, Install, InstallSet
from libcensus.facts.package import Package
from libcensus.facts.platform import Platform, PlatformLibrary
from libcensus.facts.process import MappedLibrary, ProcessExample, ProcessGroup, ProcessSet
from libcensus.facts.report import AgentState, ProbeResult, Report, SkipCount
from libcensus.facts.requirement import LibraryNeed, RaisedBy, Requirement
from libcensus.facts.root import Container, RootSet, ScannedRoot
from libcensus.facts.tool import Tool, ToolSet, ToolSetting
from libcensus.facts.validation import InvalidFactError
from libcensus.facts.vocabulary import (
    ArtefactKind,
    ChangelogState,
    CryptoFamily,
    EnvironmentState,
    EvidenceKind,
    FileRole,
    Implementation,
    Installer,
    InstallKind,
    LibcFamily,
    Linkage,
    LoaderKind,
    MappingState,
    PackageOrigin,
    ProbeState,
    Provider,
    RootKind,
)
from libcensus.v1 import census_pb2, facts_pb2, vocabulary_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator
    from enum import StrEnum

Fact = Inventory | Platform | InstallSet | Build | CryptoCopySet | ToolSet | RootSet | PackageChangelog


class _Words:
    """One enumeration on both sides of the wire, joined by name: ``SNAP`` is ``PROVIDER_SNAP``."""

    def __init__(self, domain: type[StrEnum], prefix: str, wire: Any) -> None:
        self._unknown = domain["UNKNOWN"]
        self.to_wire: dict[StrEnum, int] = {}
        self._from_wire: dict[int, StrEnum] = {}
        for member in domain:
            name = "UNSPECIFIED" if member.name == "UNKNOWN" else member.name
            number = int(wire.Value(f"{prefix}_{name}"))
            self.to_wire[member] = number
            self._from_wire[number] = member

    def from_wire(self, number: int) -> Any:
        """Return the domain's word; a number from a newer contract is unknown."""
        return self._from_wire.get(number, self._unknown)


_IMPLEMENTATION = _Words(Implementation, "IMPLEMENTATION", vocabulary_pb2.Implementation)
_INSTALL_KIND = _Words(InstallKind, "INSTALL_KIND", vocabulary_pb2.InstallKind)
_PROVIDER = _Words(Provider, "PROVIDER", vocabulary_pb2.Provider)
_INSTALLER = _Words(Installer, "INSTALLER", vocabulary_pb2.Installer)
_CRYPTO_FAMILY = _Words(CryptoFamily, "CRYPTO_FAMILY", vocabulary_pb2.CryptoFamily)
_LINKAGE = _Words(Linkage, "LINKAGE", vocabulary_pb2.Linkage)
_LIBC_FAMILY = _Words(LibcFamily, "LIBC_FAMILY", vocabulary_pb2.LibcFamily)
_PACKAGE_ORIGIN = _Words(PackageOrigin, "PACKAGE_ORIGIN", vocabulary_pb2.PackageOrigin)
_FILE_ROLE = _Words(FileRole, "FILE_ROLE", vocabulary_pb2.FileRole)
_LOADER_KIND = _Words(LoaderKind, "LOADER_KIND", vocabulary_pb2.LoaderKind)
_PROBE_STATE = _Words(ProbeState, "PROBE_STATE", vocabulary_pb2.ProbeState)
_EVIDENCE_KIND = _Words(EvidenceKind, "EVIDENCE_KIND", vocabulary_pb2.EvidenceKind)
_ENVIRONMENT_STATE = _Words(EnvironmentState, "ENVIRONMENT_STATE", vocabulary_pb2.EnvironmentState)
_ROOT_KIND = _Words(RootKind, "ROOT_KIND", vocabulary_pb2.RootKind)
_CHANGELOG_STATE = _Words(ChangelogState, "CHANGELOG_STATE", vocabulary_pb2.ChangelogState)
_MAPPING_STATE = _Words(MappingState, "MAPPING_STATE", vocabulary_pb2.MappingState)
_ARTEFACT_KIND = _Words(ArtefactKind, "ARTEFACT_KIND", vocabulary_pb2.ArtefactKind)
_FACT_KIND = _Words(FactKind, "FACT_KIND", vocabulary_pb2.FactKind)


@contextmanager
def _within(parent: str) -> Iterator[None]:
    try:
        yield
    except InvalidFactError as error:
        raise error.within(parent) from None


def _optional(message: Message, field: str) -> Any:
    return getattr(message, field) if message.HasField(field) else None


def _digest_text(field: str, raw: bytes) -> str:
    if len(raw) != 32:
        raise InvalidFactError(field, f"has {len(raw)} bytes; a SHA-256 digest has 32")
    return raw.hex()


def _optional_digest(message: Message, field: str) -> str | None:
    raw = _optional(message, field)
    return None if raw is None else _digest_text(field, raw)


def _optional_digest_to_proto(digest: str | None) -> bytes | None:
    return None if digest is None else bytes.fromhex(digest)


def digest_to_proto(digest: str) -> bytes:
    """Return the 32 bytes of a digest in hexadecimal digits."""
    return bytes.fromhex(digest)


def digest_from_proto(raw: bytes, field: str = "digest") -> str:
    """Return the hexadecimal digits of a 32-byte digest; raises InvalidFactError naming ``field`` otherwise."""
    return _digest_text(field, raw)


def fact_kind_to_proto(kind: FactKind) -> Any:
    """Return the wire's number of a fact kind."""
    return _FACT_KIND.to_wire[kind]


def fact_kind_from_proto(number: int) -> FactKind:
    """Return the fact kind of a wire number; a newer contract's is unknown."""
    kind: FactKind = _FACT_KIND.from_wire(number)
    return kind


# --- evidence, packages, crypto ---------------------------------------------------------------------------------


def evidence_to_proto(value: Evidence) -> facts_pb2.Evidence:
    """Encode one proof."""
    return facts_pb2.Evidence(
        subject=value.subject,
        kind=_EVIDENCE_KIND.to_wire[value.kind],  # type: ignore[arg-type]
        file=value.file,
        detail=value.detail,
        offset=value.offset,
    )


def evidence_from_proto(message: facts_pb2.Evidence) -> Evidence:
    """Decode one proof."""
    return Evidence(
        subject=message.subject,
        kind=_EVIDENCE_KIND.from_wire(message.kind),
        file=message.file,
        detail=message.detail,
        offset=_optional(message, "offset"),
    )


def _evidences(messages: Any) -> tuple[Evidence, ...]:
    with _within("evidence"):
        return tuple(evidence_from_proto(message) for message in messages)


def package_to_proto(value: Package) -> facts_pb2.Package:
    """Encode a package record."""
    return facts_pb2.Package(
        manager=value.manager,
        name=value.name,
        version=value.version,
        source=value.source,
        source_version=value.source_version,
        arch=value.arch,
        origin=_PACKAGE_ORIGIN.to_wire[value.origin],  # type: ignore[arg-type]
        vendor=value.vendor,
    )


def package_from_proto(message: facts_pb2.Package) -> Package:
    """Decode a package record."""
    return Package(
        manager=message.manager,
        name=message.name,
        version=message.version,
        source=message.source,
        source_version=message.source_version,
        arch=_optional(message, "arch"),
        origin=_PACKAGE_ORIGIN.from_wire(message.origin),
        vendor=_optional(message, "vendor"),
    )


def _package(message: Any) -> Package | None:
    if not message.HasField("package"):
        return None
    with _within("package"):
        return package_from_proto(message.package)


def crypto_library_to_proto(value: CryptoLibrary) -> facts_pb2.CryptoLibrary:
    """Encode a crypto library."""
    return facts_pb2.CryptoLibrary(
        family=_CRYPTO_FAMILY.to_wire[value.family],  # type: ignore[arg-type]
        version=value.version,
        package=None if value.package is None else package_to_proto(value.package),
    )


def crypto_library_from_proto(message: facts_pb2.CryptoLibrary) -> CryptoLibrary:
    """Decode a crypto library."""
    return CryptoLibrary(
        family=_CRYPTO_FAMILY.from_wire(message.family),
        version=_optional(message, "version"),
        package=_package(message),
    )


def crypto_use_to_proto(value: CryptoUse) -> facts_pb2.CryptoUse:
    """Encode how an install reaches its crypto library."""
    return facts_pb2.CryptoUse(
        linkage=_LINKAGE.to_wire[value.linkage],  # type: ignore[arg-type]
        path=value.path,
        library=None if value.library is None else crypto_library_to_proto(value.library),
        needed=value.needed,
    )


def crypto_use_from_proto(message: facts_pb2.CryptoUse) -> CryptoUse:
    """Decode how an install reaches its crypto library.

    A linkage from a newer contract is unknown, and with it the library: its meaning cannot be judged.
    """
    linkage = _LINKAGE.from_wire(message.linkage)
    library = None
    if message.HasField("library") and linkage is not Linkage.UNKNOWN:
        with _within("library"):
            library = crypto_library_from_proto(message.library)
    return CryptoUse(
        linkage=linkage, path=_optional(message, "path"), library=library, needed=_optional(message, "needed")
    )


# --- requirement and platform -----------------------------------------------------------------------------------


def requirement_to_proto(value: Requirement) -> facts_pb2.Requirement:
    """Encode a requirement."""
    return facts_pb2.Requirement(
        arch=value.arch,
        loader=value.loader,
        loader_kind=_LOADER_KIND.to_wire[value.loader_kind],  # type: ignore[arg-type]
        needs=[
            facts_pb2.LibraryNeed(soname=need.soname, versions=need.versions, weak=need.weak) for need in value.needs
        ],
        sonames=value.sonames,
        raised_by=[
            facts_pb2.RaisedBy(version=entry.version, soname=entry.soname, file=entry.file, symbol=entry.symbol)
            for entry in value.raised_by
        ],
        x86_64_level=value.x86_64_level,
        kernel=value.kernel,
        runpath=value.runpath,
    )


def requirement_from_proto(message: facts_pb2.Requirement) -> Requirement:
    """Decode a requirement."""
    with _within("needs"):
        needs = tuple(LibraryNeed(need.soname, tuple(need.versions), tuple(need.weak)) for need in message.needs)
    with _within("raised_by"):
        raised_by = tuple(RaisedBy(one.version, one.soname, one.file, one.symbol) for one in message.raised_by)
    return Requirement(
        arch=_optional(message, "arch"),
        loader=_optional(message, "loader"),
        loader_kind=_LOADER_KIND.from_wire(message.loader_kind),
        needs=needs,
        sonames=tuple(message.sonames),
        raised_by=raised_by,
        x86_64_level=_optional(message, "x86_64_level"),
        kernel=_optional(message, "kernel"),
        runpath=tuple(message.runpath),
    )


def artefact_to_proto(value: Artefact) -> facts_pb2.Artefact:
    """Encode an artefact."""
    return facts_pb2.Artefact(
        name=value.name,
        kind=_ARTEFACT_KIND.to_wire[value.kind],  # type: ignore[arg-type]
        files=[
            facts_pb2.ArtefactFile(
                path=file.path,
                role=_FILE_ROLE.to_wire[file.role],  # type: ignore[arg-type]
                requirement=requirement_to_proto(file.requirement),
                uses=file.uses,
                stray=file.stray,
            )
            for file in value.files
        ],
        tags=[facts_pb2.WheelTag(interpreter=t.interpreter, abi=t.abi, platform=t.platform) for t in value.tags],
        requires_python=value.requires_python,
        implementation=_IMPLEMENTATION.to_wire[value.implementation],  # type: ignore[arg-type]
        version=value.version,
        home=value.home,
    )


def _artefact_file_from_proto(message: facts_pb2.ArtefactFile) -> ArtefactFile:
    with _within("requirement"):
        requirement = requirement_from_proto(message.requirement)
    return ArtefactFile(
        path=message.path,
        role=_FILE_ROLE.from_wire(message.role),
        requirement=requirement,
        uses=tuple(message.uses),
        stray=tuple(message.stray),
    )


def artefact_from_proto(message: facts_pb2.Artefact) -> Artefact:
    """Decode an artefact."""
    with _within("files"):
        files = tuple(_artefact_file_from_proto(file) for file in message.files)
    with _within("tags"):
        tags = tuple(WheelTag(tag.interpreter, tag.abi, tag.platform) for tag in message.tags)
    return Artefact(
        name=message.name,
        kind=_ARTEFACT_KIND.from_wire(message.kind),
        files=files,
        tags=tags,
        requires_python=_optional(message, "requires_python"),
        implementation=_IMPLEMENTATION.from_wire(message.implementation),
        version=_optional(message, "version"),
        home=_optional(message, "home"),
    )


def platform_to_proto(value: Platform) -> facts_pb2.Platform:
    """Encode a platform."""
    return facts_pb2.Platform(
        arch=value.arch,
        x86_64_level=value.x86_64_level,
        kernel=value.kernel,
        libc_family=_LIBC_FAMILY.to_wire[value.libc_family],  # type: ignore[arg-type]
        libc_version=value.libc_version,
        loaders=value.loaders,
        libraries=[
            facts_pb2.PlatformLibrary(soname=library.soname, versions=library.versions) for library in value.libraries
        ],
    )


def platform_from_proto(message: facts_pb2.Platform) -> Platform:
    """Decode a platform."""
    with _within("libraries"):
        libraries = tuple(PlatformLibrary(library.soname, tuple(library.versions)) for library in message.libraries)
    return Platform(
        arch=_optional(message, "arch"),
        x86_64_level=_optional(message, "x86_64_level"),
        kernel=_optional(message, "kernel"),
        libc_family=_LIBC_FAMILY.from_wire(message.libc_family),
        libc_version=_optional(message, "libc_version"),
        loaders=tuple(message.loaders),
        libraries=libraries,
    )


# --- interpreters -----------------------------------------------------------------------------------------------


def build_to_proto(value: Build) -> facts_pb2.Build:
    """Encode a build."""
    return facts_pb2.Build(
        implementation=_IMPLEMENTATION.to_wire[value.implementation],  # type: ignore[arg-type]
        version=value.version,
        arch=value.arch,
        provider=_PROVIDER.to_wire[value.provider],  # type: ignore[arg-type]
        provider_build=value.provider_build,
        flags=value.flags,
        files=[
            facts_pb2.BuildFile(
                path=file.path,
                role=_FILE_ROLE.to_wire[file.role],  # type: ignore[arg-type]
                sha256=digest_to_proto(file.sha256),
                size=file.size,
                soname=file.soname,
                requirement=None if file.requirement is None else requirement_to_proto(file.requirement),
            )
            for file in value.files
        ],
        evidence=[evidence_to_proto(item) for item in value.evidence],
    )


def _build_file_from_proto(message: facts_pb2.BuildFile) -> BuildFile:
    requirement = None
    if message.HasField("requirement"):
        with _within("requirement"):
            requirement = requirement_from_proto(message.requirement)
    return BuildFile(
        path=message.path,
        role=_FILE_ROLE.from_wire(message.role),
        sha256=_digest_text("sha256", message.sha256),
        size=message.size,
        soname=_optional(message, "soname"),
        requirement=requirement,
    )


def build_from_proto(message: facts_pb2.Build) -> Build:
    """Decode a build."""
    with _within("files"):
        files = tuple(_build_file_from_proto(file) for file in message.files)
    return Build(
        implementation=_IMPLEMENTATION.from_wire(message.implementation),
        version=_optional(message, "version"),
        arch=_optional(message, "arch"),
        provider=_PROVIDER.from_wire(message.provider),
        provider_build=_optional(message, "provider_build"),
        flags=tuple(message.flags),
        files=files,
        evidence=_evidences(message.evidence),
    )


def install_to_proto(value: Install) -> facts_pb2.Install:
    """Encode an install."""
    return facts_pb2.Install(
        root=value.root,
        path=value.path,
        realpath=value.realpath,
        kind=_INSTALL_KIND.to_wire[value.kind],  # type: ignore[arg-type]
        implementation=_IMPLEMENTATION.to_wire[value.implementation],  # type: ignore[arg-type]
        installer=_INSTALLER.to_wire[value.installer],  # type: ignore[arg-type]
        build=None if value.build is None else digest_to_proto(value.build),
        crypto=crypto_use_to_proto(value.crypto),
        aliases=value.aliases,
        base=value.base,
        recorded_version=value.recorded_version,
        package=None if value.package is None else package_to_proto(value.package),
        evidence=[evidence_to_proto(item) for item in value.evidence],
        state=_ENVIRONMENT_STATE.to_wire[value.state],  # type: ignore[arg-type]
    )


def install_from_proto(message: facts_pb2.Install) -> Install:
    """Decode an install."""
    with _within("crypto"):
        crypto = crypto_use_from_proto(message.crypto)
    build = _optional(message, "build")
    return Install(
        root=message.root,
        path=message.path,
        realpath=message.realpath,
        kind=_INSTALL_KIND.from_wire(message.kind),
        implementation=_IMPLEMENTATION.from_wire(message.implementation),
        installer=_INSTALLER.from_wire(message.installer),
        build=None if build is None else _digest_text("build", build),
        crypto=crypto,
        aliases=tuple(message.aliases),
        base=_optional(message, "base"),
        recorded_version=_optional(message, "recorded_version"),
        package=_package(message),
        state=_ENVIRONMENT_STATE.from_wire(message.state),
        evidence=_evidences(message.evidence),
    )


def install_set_to_proto(value: InstallSet) -> facts_pb2.InstallSet:
    """Encode every install of a host."""
    return facts_pb2.InstallSet(installs=[install_to_proto(install) for install in value.installs])


def install_set_from_proto(message: facts_pb2.InstallSet) -> InstallSet:
    """Decode every install of a host."""
    with _within("installs"):
        installs = tuple(install_from_proto(install) for install in message.installs)
    return InstallSet(installs)


# --- host and inventory -----------------------------------------------------------------------------------------


def os_release_to_proto(release: OsRelease) -> facts_pb2.OsRelease:
    """Encode what tells distributions apart."""
    return facts_pb2.OsRelease(
        id=release.id,
        version_id=release.version_id,
        pretty_name=release.pretty_name,
        version_codename=release.version_codename,
        id_like=release.id_like,
    )


def os_release_from_proto(message: facts_pb2.OsRelease) -> OsRelease:
    """Decode what tells distributions apart."""
    with _within("os_release"):
        return OsRelease(
            id=_optional(message, "id"),
            version_id=_optional(message, "version_id"),
            pretty_name=_optional(message, "pretty_name"),
            version_codename=_optional(message, "version_codename"),
            id_like=tuple(message.id_like),
        )


def libc_to_proto(libc: Libc) -> facts_pb2.Libc:
    """Encode a C library."""
    return facts_pb2.Libc(
        family=_LIBC_FAMILY.to_wire[libc.family],  # type: ignore[arg-type]
        version=libc.version,
        path=libc.path,
        package=None if libc.package is None else package_to_proto(libc.package),
    )


def libc_from_proto(message: facts_pb2.Libc) -> Libc:
    """Decode a C library."""
    with _within("libc"):
        return Libc(
            family=_LIBC_FAMILY.from_wire(message.family),
            version=_optional(message, "version"),
            path=_optional(message, "path"),
            package=_package(message),
        )


def host_to_proto(value: Host) -> facts_pb2.Host:
    """Encode what is known of the machine itself."""
    return facts_pb2.Host(
        hostname=value.hostname,
        os_release=os_release_to_proto(value.os_release),
        arch=value.arch,
        x86_64_level=value.x86_64_level,
        kernel=value.kernel,
        libc=libc_to_proto(value.libc),
        evidence=[evidence_to_proto(item) for item in value.evidence],
    )


def host_from_proto(message: facts_pb2.Host) -> Host:
    """Decode what is known of the machine itself."""
    return Host(
        hostname=message.hostname,
        os_release=os_release_from_proto(message.os_release),
        arch=_optional(message, "arch"),
        x86_64_level=_optional(message, "x86_64_level"),
        kernel=_optional(message, "kernel"),
        libc=libc_from_proto(message.libc),
        evidence=_evidences(message.evidence),
    )


def inventory_to_proto(value: Inventory) -> facts_pb2.Inventory:
    """Encode the root of a host's tree of digests."""
    return facts_pb2.Inventory(
        host=host_to_proto(value.host),
        platform=digest_to_proto(value.platform),
        installs=digest_to_proto(value.installs),
        builds=[digest_to_proto(digest) for digest in value.builds],
        crypto_copies=_optional_digest_to_proto(value.crypto_copies),
        tools=_optional_digest_to_proto(value.tools),
        roots=_optional_digest_to_proto(value.roots),
        changelogs=[digest_to_proto(digest) for digest in value.changelogs],
    )


def inventory_from_proto(message: facts_pb2.Inventory) -> Inventory:
    """Decode the root of a host's tree of digests."""
    with _within("host"):
        host = host_from_proto(message.host)
    return Inventory(
        host=host,
        platform=_digest_text("platform", message.platform),
        installs=_digest_text("installs", message.installs),
        builds=tuple(_digest_text("builds", digest) for digest in message.builds),
        crypto_copies=_optional_digest(message, "crypto_copies"),
        tools=_optional_digest(message, "tools"),
        roots=_optional_digest(message, "roots"),
        changelogs=tuple(_digest_text("changelogs", digest) for digest in message.changelogs),
    )


# --- crypto copies, tools, roots, changelogs --------------------------------------------------------------------


def crypto_copy_to_proto(value: CryptoCopy) -> facts_pb2.CryptoCopy:
    """Encode one crypto copy."""
    owner = value.owner
    return facts_pb2.CryptoCopy(
        root=value.root,
        path=value.path,
        linkage=_LINKAGE.to_wire[value.linkage],  # type: ignore[arg-type]
        library=crypto_library_to_proto(value.library),
        environment=value.environment,
        owner=None
        if owner is None
        else facts_pb2.CopyOwner(ecosystem=owner.ecosystem, name=owner.name, version=owner.version),
        evidence=[evidence_to_proto(item) for item in value.evidence],
    )


def crypto_copy_from_proto(message: facts_pb2.CryptoCopy) -> CryptoCopy:
    """Decode one crypto copy."""
    owner = None
    if message.HasField("owner"):
        with _within("owner"):
            owner = CopyOwner(message.owner.ecosystem, message.owner.name, _optional(message.owner, "version"))
    with _within("library"):
        library = crypto_library_from_proto(message.library)
    return CryptoCopy(
        root=message.root,
        path=message.path,
        linkage=_LINKAGE.from_wire(message.linkage),
        library=library,
        environment=_optional(message, "environment"),
        owner=owner,
        evidence=_evidences(message.evidence),
    )


def crypto_copy_set_to_proto(value: CryptoCopySet) -> facts_pb2.CryptoCopySet:
    """Encode every crypto copy of a host."""
    return facts_pb2.CryptoCopySet(copies=[crypto_copy_to_proto(copy) for copy in value.copies])


def crypto_copy_set_from_proto(message: facts_pb2.CryptoCopySet) -> CryptoCopySet:
    """Decode every crypto copy of a host."""
    with _within("copies"):
        copies = tuple(crypto_copy_from_proto(copy) for copy in message.copies)
    return CryptoCopySet(copies)


def tool_set_to_proto(value: ToolSet) -> facts_pb2.ToolSet:
    """Encode every tool of a host and their settings."""
    return facts_pb2.ToolSet(
        tools=[
            facts_pb2.Tool(
                root=tool.root,
                path=tool.path,
                name=tool.name,
                version=tool.version,
                newest_build=tool.newest_build,
                environment=tool.environment,
                package=None if tool.package is None else package_to_proto(tool.package),
                evidence=[evidence_to_proto(item) for item in tool.evidence],
            )
            for tool in value.tools
        ],
        settings=[
            facts_pb2.ToolSetting(
                root=one.root,
                path=one.path,
                tool=one.tool,
                name=one.name,
                value=one.value,
                evidence=[evidence_to_proto(item) for item in one.evidence],
            )
            for one in value.settings
        ],
    )


def _tool_from_proto(message: facts_pb2.Tool) -> Tool:
    return Tool(
        root=message.root,
        path=message.path,
        name=message.name,
        version=_optional(message, "version"),
        newest_build=_optional(message, "newest_build"),
        environment=_optional(message, "environment"),
        package=_package(message),
        evidence=_evidences(message.evidence),
    )


def tool_set_from_proto(message: facts_pb2.ToolSet) -> ToolSet:
    """Decode every tool of a host and their settings."""
    with _within("tools"):
        tools = tuple(_tool_from_proto(tool) for tool in message.tools)
    with _within("settings"):
        settings = tuple(
            ToolSetting(one.root, one.path, one.tool, one.name, one.value, _evidences(one.evidence))
            for one in message.settings
        )
    return ToolSet(tools, settings)


def _container(message: facts_pb2.ScannedRoot) -> Container | None:
    if not message.HasField("container"):
        return None
    one = message.container
    with _within("container"):
        return Container(
            runtime=one.runtime,
            id=_optional(one, "id"),
            name=_optional(one, "name"),
            image=_optional(one, "image"),
            image_id=_optional(one, "image_id"),
        )


def scanned_root_to_proto(value: ScannedRoot) -> facts_pb2.ScannedRoot:
    """Encode one tree that was scanned."""
    one = value.container
    return facts_pb2.ScannedRoot(
        name=value.name,
        kind=_ROOT_KIND.to_wire[value.kind],  # type: ignore[arg-type]
        path=value.path,
        os_release=os_release_to_proto(value.os_release),
        arch=value.arch,
        libc=libc_to_proto(value.libc),
        platform=_optional_digest_to_proto(value.platform),
        container=None
        if one is None
        else facts_pb2.Container(runtime=one.runtime, id=one.id, name=one.name, image=one.image, image_id=one.image_id),
        created=value.created,
        tags=value.tags,
        evidence=[evidence_to_proto(item) for item in value.evidence],
    )


def scanned_root_from_proto(message: facts_pb2.ScannedRoot) -> ScannedRoot:
    """Decode one tree that was scanned."""
    return ScannedRoot(
        name=message.name,
        kind=_ROOT_KIND.from_wire(message.kind),
        path=_optional(message, "path"),
        os_release=os_release_from_proto(message.os_release),
        arch=_optional(message, "arch"),
        libc=libc_from_proto(message.libc),
        platform=_optional_digest(message, "platform"),
        container=_container(message),
        created=_optional(message, "created"),
        tags=tuple(message.tags),
        evidence=_evidences(message.evidence),
    )


def root_set_to_proto(value: RootSet) -> facts_pb2.RootSet:
    """Encode every tree that was scanned."""
    return facts_pb2.RootSet(roots=[scanned_root_to_proto(root) for root in value.roots])


def root_set_from_proto(message: facts_pb2.RootSet) -> RootSet:
    """Decode every tree that was scanned."""
    with _within("roots"):
        roots = tuple(scanned_root_from_proto(root) for root in message.roots)
    return RootSet(roots)


def changelog_to_proto(value: PackageChangelog) -> facts_pb2.PackageChangelog:
    """Encode what a package's changelog says is fixed."""
    return facts_pb2.PackageChangelog(
        package=package_to_proto(value.package),
        state=_CHANGELOG_STATE.to_wire[value.state],  # type: ignore[arg-type]
        file=value.file,
        entries=value.entries,
        newest=value.newest,
        oldest=value.oldest,
        fixes=[
            facts_pb2.ChangelogFix(advisory=fix.advisory, version=fix.version, text=fix.text) for fix in value.fixes
        ],
        reason=value.reason,
    )


def changelog_from_proto(message: facts_pb2.PackageChangelog) -> PackageChangelog:
    """Decode what a package's changelog says is fixed."""
    with _within("package"):
        package = package_from_proto(message.package)
    with _within("fixes"):
        fixes = tuple(ChangelogFix(fix.advisory, fix.version, fix.text) for fix in message.fixes)
    return PackageChangelog(
        package=package,
        state=_CHANGELOG_STATE.from_wire(message.state),
        file=_optional(message, "file"),
        entries=message.entries,
        newest=_optional(message, "newest"),
        oldest=_optional(message, "oldest"),
        fixes=fixes,
        reason=_optional(message, "reason"),
    )


# --- processes --------------------------------------------------------------------------------------------------


def process_set_to_proto(value: ProcessSet) -> facts_pb2.ProcessSet:
    """Encode what runs on a host."""
    return facts_pb2.ProcessSet(
        groups=[
            facts_pb2.ProcessGroup(
                root=group.root,
                executable=group.executable,
                state=_MAPPING_STATE.to_wire[group.state],  # type: ignore[arg-type]
                processes=group.processes,
                install=group.install,
                libraries=[
                    facts_pb2.MappedLibrary(
                        path=one.path,
                        state=_MAPPING_STATE.to_wire[one.state],  # type: ignore[arg-type]
                        processes=one.processes,
                    )
                    for one in group.libraries
                ],
                unread=group.unread,
                examples=[facts_pb2.ProcessExample(pid=one.pid, unit=one.unit) for one in group.examples],
            )
            for group in value.groups
        ]
    )


def _process_group_from_proto(message: facts_pb2.ProcessGroup) -> ProcessGroup:
    with _within("libraries"):
        libraries = tuple(
            MappedLibrary(one.path, _MAPPING_STATE.from_wire(one.state), one.processes) for one in message.libraries
        )
    with _within("examples"):
        examples = tuple(ProcessExample(one.pid, _optional(one, "unit")) for one in message.examples)
    return ProcessGroup(
        root=message.root,
        executable=message.executable,
        state=_MAPPING_STATE.from_wire(message.state),
        processes=message.processes,
        install=_optional(message, "install"),
        libraries=libraries,
        unread=message.unread,
        examples=examples,
    )


def process_set_from_proto(message: facts_pb2.ProcessSet) -> ProcessSet:
    """Decode what runs on a host."""
    with _within("groups"):
        groups = tuple(_process_group_from_proto(group) for group in message.groups)
    return ProcessSet(groups)


def process_set_digest(value: ProcessSet) -> str:
    """Return the digest by which a collector knows whether it has this process set."""
    return _processes_digest(process_set_to_proto(value))


def _processes_digest(message: facts_pb2.ProcessSet) -> str:
    return hashlib.sha256(b"processes\0" + message.SerializeToString(deterministic=True)).hexdigest()


def encode_process_set(value: ProcessSet) -> bytes:
    """Return a process set's bytes, as a collector keeps them beside the host."""
    return process_set_to_proto(value).SerializeToString(deterministic=True)


def decode_process_set(payload: bytes) -> ProcessSet:
    """Return the process set that bytes stand for; raises InvalidFactError naming the field that is wrong."""
    message = facts_pb2.ProcessSet()
    try:
        message.ParseFromString(payload)
    except DecodeError:
        raise InvalidFactError("payload", "is not a protobuf message of a process set") from None
    with _within("processes"):
        return process_set_from_proto(message)


# --- reports ----------------------------------------------------------------------------------------------------


def seconds_to_proto(seconds: float) -> Duration:
    """Return a time in seconds as the wire's duration, to the nanosecond."""
    numerator, denominator = seconds.as_integer_ratio()
    nanos = (2 * numerator * 10**9 + denominator) // (2 * denominator)
    return Duration(seconds=nanos // 10**9, nanos=nanos % 10**9)


def seconds_from_proto(field: str, message: Duration) -> float:
    """Return a duration in seconds; raises InvalidFactError for what the wire's type forbids."""
    if not 0 <= message.nanos < 10**9 or message.seconds < 0:
        raise InvalidFactError(field, f"is not a positive duration: {message.seconds} s {message.nanos} ns")
    return (message.seconds * 10**9 + message.nanos) / 10**9


def time_to_proto(moment: datetime) -> Timestamp:
    """Return a moment as the wire's timestamp, to the microsecond."""
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def time_from_proto(field: str, message: Timestamp) -> datetime:
    """Return a moment in UTC; raises InvalidFactError outside the years 1 to 9999."""
    try:
        return message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidFactError(field, f"is not a moment in time: {message.seconds} s {message.nanos} ns") from None


def probe_result_to_proto(value: ProbeResult) -> census_pb2.ProbeResult:
    """Encode how one probe ended."""
    return census_pb2.ProbeResult(
        name=value.name,
        state=_PROBE_STATE.to_wire[value.state],  # type: ignore[arg-type]
        duration=seconds_to_proto(value.seconds),
        reason=value.reason,
        skips=[
            census_pb2.SkipCount(reason=skip.reason, count=skip.count, examples=skip.examples) for skip in value.skips
        ],
    )


def probe_result_from_proto(message: census_pb2.ProbeResult) -> ProbeResult:
    """Decode how one probe ended."""
    skips: tuple[SkipCount, ...] = ()
    # Most probes pass over nothing, and this is the one message that every unchanged host costs.
    if message.skips:
        with _within("skips"):
            skips = tuple(SkipCount(skip.reason, skip.count, tuple(skip.examples)) for skip in message.skips)
    return ProbeResult(
        name=message.name,
        state=_PROBE_STATE.from_wire(message.state),
        seconds=seconds_from_proto("duration", message.duration),
        reason=_optional(message, "reason"),
        skips=skips,
    )


def agent_state_to_proto(value: AgentState) -> census_pb2.AgentState:
    """Encode what an agent holds back and what it lost."""
    return census_pb2.AgentState(
        waiting_reports=value.waiting_reports,
        dropped_reports=value.dropped_reports,
        dropped_facts=value.dropped_facts,
    )


def agent_state_from_proto(message: census_pb2.AgentState) -> AgentState:
    """Decode what an agent holds back and what it lost."""
    return AgentState(
        waiting_reports=message.waiting_reports,
        dropped_reports=message.dropped_reports,
        dropped_facts=message.dropped_facts,
    )


def report_to_proto(value: Report) -> census_pb2.ReportRequest:
    """Encode a report."""
    return census_pb2.ReportRequest(
        report_id=value.report_id,
        agent_version=value.agent_version,
        scanned_at=time_to_proto(value.scanned_at),
        scan_duration=seconds_to_proto(value.scan_seconds),
        inventory=digest_to_proto(value.inventory),
        probes=[probe_result_to_proto(probe) for probe in value.probes],
        processes_digest=_optional_digest_to_proto(value.processes_digest),
        processes=None if value.processes is None else process_set_to_proto(value.processes),
        agent_state=None if value.agent_state is None else agent_state_to_proto(value.agent_state),
    )


def report_from_proto(message: census_pb2.ReportRequest) -> Report:
    """Decode a report."""
    with _within("probes"):
        probes = tuple(probe_result_from_proto(probe) for probe in message.probes)
    processes = None
    if message.HasField("processes"):
        with _within("processes"):
            processes = process_set_from_proto(message.processes)
        # Of the message and not of its value: what a newer agent says beyond this contract belongs to its digest.
        if _optional_digest(message, "processes_digest") != _processes_digest(message.processes):
            raise InvalidFactError("processes_digest", "is not that of the processes that are given")
    agent_state = None
    if message.HasField("agent_state"):
        with _within("agent_state"):
            agent_state = agent_state_from_proto(message.agent_state)
    return Report(
        report_id=message.report_id,
        agent_version=message.agent_version,
        scanned_at=time_from_proto("scanned_at", message.scanned_at),
        scan_seconds=seconds_from_proto("scan_duration", message.scan_duration),
        inventory=_digest_text("inventory", message.inventory),
        probes=probes,
        processes_digest=_optional_digest(message, "processes_digest"),
        processes=processes,
        agent_state=agent_state,
    )


def encode_report(report: Report) -> bytes:
    """Return a report's bytes, as they are kept until the collector has acknowledged them."""
    return report_to_proto(report).SerializeToString(deterministic=True)


def decode_report(payload: bytes) -> Report:
    """Return the report that bytes stand for; raises InvalidFactError naming the field that is wrong."""
    message = census_pb2.ReportRequest()
    try:
        message.ParseFromString(payload)
    except DecodeError:
        raise InvalidFactError("payload", "is not a protobuf message of a report") from None
    with _within("report"):
        return report_from_proto(message)


# --- addressed facts --------------------------------------------------------------------------------------------

_FACTS: dict[FactKind, tuple[type[Fact], Any, Any, type[Message]]] = {
    FactKind.INVENTORY: (Inventory, inventory_to_proto, inventory_from_proto, facts_pb2.Inventory),
    FactKind.PLATFORM: (Platform, platform_to_proto, platform_from_proto, facts_pb2.Platform),
    FactKind.INSTALL_SET: (InstallSet, install_set_to_proto, install_set_from_proto, facts_pb2.InstallSet),
    FactKind.BUILD: (Build, build_to_proto, build_from_proto, facts_pb2.Build),
    FactKind.CRYPTO_COPY_SET: (
        CryptoCopySet,
        crypto_copy_set_to_proto,
        crypto_copy_set_from_proto,
        facts_pb2.CryptoCopySet,
    ),
    FactKind.TOOL_SET: (ToolSet, tool_set_to_proto, tool_set_from_proto, facts_pb2.ToolSet),
    FactKind.ROOT_SET: (RootSet, root_set_to_proto, root_set_from_proto, facts_pb2.RootSet),
    FactKind.CHANGELOG: (PackageChangelog, changelog_to_proto, changelog_from_proto, facts_pb2.PackageChangelog),
}


def encode_fact(fact: Fact) -> tuple[FactKind, str, bytes]:
    """Return a fact's kind, address and canonical bytes."""
    for kind, (domain, to_proto, _, _) in _FACTS.items():
        if isinstance(fact, domain):
            payload: bytes = to_proto(fact).SerializeToString(deterministic=True)
            return kind, fact_digest(kind, payload), payload
    raise TypeError(f"{type(fact).__name__} is no addressed fact")


def fact_message_type(kind: FactKind) -> type[Message]:
    """Return the type of message that a fact of this kind is on the wire; raises InvalidFactError for no kind."""
    if kind not in _FACTS:
        raise InvalidFactError("kind", f"{kind} is no kind of fact that this version knows")
    return _FACTS[kind][3]


def decode_fact(kind: FactKind, payload: bytes) -> Fact:
    """Return the fact that canonical bytes stand for; raises InvalidFactError naming the field that is wrong."""
    if kind not in _FACTS:
        raise InvalidFactError("kind", f"{kind} is no kind of fact that this version knows")
    _, _, from_proto, message_type = _FACTS[kind]
    message = message_type()
    try:
        message.ParseFromString(payload)
    except DecodeError:
        raise InvalidFactError("payload", f"is not a protobuf message of kind {kind}") from None
    with _within(kind.value):
        fact: Fact = from_proto(message)
    return fact
