from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class Implementation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IMPLEMENTATION_UNSPECIFIED: _ClassVar[Implementation]
    IMPLEMENTATION_CPYTHON: _ClassVar[Implementation]
    IMPLEMENTATION_PYPY: _ClassVar[Implementation]
    IMPLEMENTATION_NODEJS: _ClassVar[Implementation]
    IMPLEMENTATION_RUBY: _ClassVar[Implementation]
    IMPLEMENTATION_PERL: _ClassVar[Implementation]
    IMPLEMENTATION_PHP: _ClassVar[Implementation]

class InstallKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INSTALL_KIND_UNSPECIFIED: _ClassVar[InstallKind]
    INSTALL_KIND_BASE: _ClassVar[InstallKind]
    INSTALL_KIND_VENV: _ClassVar[InstallKind]

class EnvironmentState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENVIRONMENT_STATE_UNSPECIFIED: _ClassVar[EnvironmentState]
    ENVIRONMENT_STATE_FOLLOWS: _ClassVar[EnvironmentState]
    ENVIRONMENT_STATE_PINNED: _ClassVar[EnvironmentState]
    ENVIRONMENT_STATE_COPIED: _ClassVar[EnvironmentState]
    ENVIRONMENT_STATE_DANGLING: _ClassVar[EnvironmentState]

class RootKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROOT_KIND_UNSPECIFIED: _ClassVar[RootKind]
    ROOT_KIND_HOST: _ClassVar[RootKind]
    ROOT_KIND_FOLDER: _ClassVar[RootKind]
    ROOT_KIND_CONTAINER: _ClassVar[RootKind]
    ROOT_KIND_IMAGE: _ClassVar[RootKind]

class ChangelogState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHANGELOG_STATE_UNSPECIFIED: _ClassVar[ChangelogState]
    CHANGELOG_STATE_COMPLETE: _ClassVar[ChangelogState]
    CHANGELOG_STATE_TRUNCATED: _ClassVar[ChangelogState]
    CHANGELOG_STATE_MISSING: _ClassVar[ChangelogState]
    CHANGELOG_STATE_UNREADABLE: _ClassVar[ChangelogState]

class MappingState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MAPPING_STATE_UNSPECIFIED: _ClassVar[MappingState]
    MAPPING_STATE_CURRENT: _ClassVar[MappingState]
    MAPPING_STATE_DELETED: _ClassVar[MappingState]
    MAPPING_STATE_REPLACED: _ClassVar[MappingState]

class Provider(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROVIDER_UNSPECIFIED: _ClassVar[Provider]
    PROVIDER_DISTRO: _ClassVar[Provider]
    PROVIDER_PBS: _ClassVar[Provider]
    PROVIDER_PYENV: _ClassVar[Provider]
    PROVIDER_CONDA: _ClassVar[Provider]
    PROVIDER_DOCKER_OFFICIAL: _ClassVar[Provider]
    PROVIDER_PYPI: _ClassVar[Provider]
    PROVIDER_NIX: _ClassVar[Provider]
    PROVIDER_SNAP: _ClassVar[Provider]
    PROVIDER_VENDOR: _ClassVar[Provider]
    PROVIDER_SOURCE: _ClassVar[Provider]
    PROVIDER_UPSTREAM: _ClassVar[Provider]

class Installer(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INSTALLER_UNSPECIFIED: _ClassVar[Installer]
    INSTALLER_DPKG: _ClassVar[Installer]
    INSTALLER_RPM: _ClassVar[Installer]
    INSTALLER_APK: _ClassVar[Installer]
    INSTALLER_PACMAN: _ClassVar[Installer]
    INSTALLER_UV: _ClassVar[Installer]
    INSTALLER_RYE: _ClassVar[Installer]
    INSTALLER_HATCH: _ClassVar[Installer]
    INSTALLER_MISE: _ClassVar[Installer]
    INSTALLER_PYENV: _ClassVar[Installer]
    INSTALLER_ASDF: _ClassVar[Installer]
    INSTALLER_CONDA: _ClassVar[Installer]
    INSTALLER_PIP: _ClassVar[Installer]
    INSTALLER_VENDOR: _ClassVar[Installer]
    INSTALLER_PIPX: _ClassVar[Installer]
    INSTALLER_SNAP: _ClassVar[Installer]
    INSTALLER_NIX: _ClassVar[Installer]

class CryptoFamily(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CRYPTO_FAMILY_UNSPECIFIED: _ClassVar[CryptoFamily]
    CRYPTO_FAMILY_OPENSSL: _ClassVar[CryptoFamily]
    CRYPTO_FAMILY_LIBRESSL: _ClassVar[CryptoFamily]
    CRYPTO_FAMILY_BORINGSSL: _ClassVar[CryptoFamily]
    CRYPTO_FAMILY_AWS_LC: _ClassVar[CryptoFamily]

class Linkage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LINKAGE_UNSPECIFIED: _ClassVar[Linkage]
    LINKAGE_STATIC: _ClassVar[Linkage]
    LINKAGE_BUNDLED: _ClassVar[Linkage]
    LINKAGE_SYSTEM: _ClassVar[Linkage]
    LINKAGE_LOCAL: _ClassVar[Linkage]
    LINKAGE_NONE: _ClassVar[Linkage]
    LINKAGE_UNRESOLVED: _ClassVar[Linkage]

class LibcFamily(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LIBC_FAMILY_UNSPECIFIED: _ClassVar[LibcFamily]
    LIBC_FAMILY_GLIBC: _ClassVar[LibcFamily]
    LIBC_FAMILY_MUSL: _ClassVar[LibcFamily]

class PackageOrigin(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PACKAGE_ORIGIN_UNSPECIFIED: _ClassVar[PackageOrigin]
    PACKAGE_ORIGIN_DISTRIBUTION: _ClassVar[PackageOrigin]
    PACKAGE_ORIGIN_VENDOR: _ClassVar[PackageOrigin]

class FileRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FILE_ROLE_UNSPECIFIED: _ClassVar[FileRole]
    FILE_ROLE_EXECUTABLE: _ClassVar[FileRole]
    FILE_ROLE_LIBRARY: _ClassVar[FileRole]
    FILE_ROLE_MODULE: _ClassVar[FileRole]

class LoaderKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LOADER_KIND_UNSPECIFIED: _ClassVar[LoaderKind]
    LOADER_KIND_GLIBC: _ClassVar[LoaderKind]
    LOADER_KIND_MUSL: _ClassVar[LoaderKind]
    LOADER_KIND_NONE: _ClassVar[LoaderKind]
    LOADER_KIND_OTHER: _ClassVar[LoaderKind]

class ProbeState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROBE_STATE_UNSPECIFIED: _ClassVar[ProbeState]
    PROBE_STATE_OK: _ClassVar[ProbeState]
    PROBE_STATE_SKIPPED: _ClassVar[ProbeState]
    PROBE_STATE_FAILED: _ClassVar[ProbeState]

class EvidenceKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVIDENCE_KIND_UNSPECIFIED: _ClassVar[EvidenceKind]
    EVIDENCE_KIND_ELF_HEADER: _ClassVar[EvidenceKind]
    EVIDENCE_KIND_ELF_NEEDED: _ClassVar[EvidenceKind]
    EVIDENCE_KIND_ELF_INTERPRETER: _ClassVar[EvidenceKind]
    EVIDENCE_KIND_ELF_SYMBOL: _ClassVar[EvidenceKind]
    EVIDENCE_KIND_ELF_VERSION: _ClassVar[EvidenceKind]
    EVIDENCE_KIND_ELF_NOTE: _ClassVar[EvidenceKind]
    EVIDENCE_KIND_STRING: _ClassVar[EvidenceKind]
    EVIDENCE_KIND_TEXT_LINE: _ClassVar[EvidenceKind]
    EVIDENCE_KIND_PATH: _ClassVar[EvidenceKind]
    EVIDENCE_KIND_SYMLINK: _ClassVar[EvidenceKind]
    EVIDENCE_KIND_LOADER_CACHE: _ClassVar[EvidenceKind]
    EVIDENCE_KIND_LOADER_PATH: _ClassVar[EvidenceKind]
    EVIDENCE_KIND_PACKAGE_RECORD: _ClassVar[EvidenceKind]
    EVIDENCE_KIND_ADVISORY: _ClassVar[EvidenceKind]
    EVIDENCE_KIND_RELEASE_TABLE: _ClassVar[EvidenceKind]
    EVIDENCE_KIND_KERNEL: _ClassVar[EvidenceKind]
    EVIDENCE_KIND_ABSENCE: _ClassVar[EvidenceKind]
    EVIDENCE_KIND_CHANGELOG: _ClassVar[EvidenceKind]
    EVIDENCE_KIND_SBOM: _ClassVar[EvidenceKind]
    EVIDENCE_KIND_PROCESS: _ClassVar[EvidenceKind]
    EVIDENCE_KIND_MOUNT: _ClassVar[EvidenceKind]
    EVIDENCE_KIND_RUNTIME_RECORD: _ClassVar[EvidenceKind]

class FactKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FACT_KIND_UNSPECIFIED: _ClassVar[FactKind]
    FACT_KIND_INVENTORY: _ClassVar[FactKind]
    FACT_KIND_PLATFORM: _ClassVar[FactKind]
    FACT_KIND_INSTALL_SET: _ClassVar[FactKind]
    FACT_KIND_BUILD: _ClassVar[FactKind]
    FACT_KIND_CRYPTO_COPY_SET: _ClassVar[FactKind]
    FACT_KIND_TOOL_SET: _ClassVar[FactKind]
    FACT_KIND_ROOT_SET: _ClassVar[FactKind]
    FACT_KIND_CHANGELOG: _ClassVar[FactKind]

class ArtefactKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ARTEFACT_KIND_UNSPECIFIED: _ClassVar[ArtefactKind]
    ARTEFACT_KIND_EXECUTABLE: _ClassVar[ArtefactKind]
    ARTEFACT_KIND_SHARED_OBJECT: _ClassVar[ArtefactKind]
    ARTEFACT_KIND_INTERPRETER: _ClassVar[ArtefactKind]
    ARTEFACT_KIND_WHEEL: _ClassVar[ArtefactKind]
    ARTEFACT_KIND_WHEEL_NAME: _ClassVar[ArtefactKind]
    ARTEFACT_KIND_ENVIRONMENT: _ClassVar[ArtefactKind]
    ARTEFACT_KIND_FOLDER: _ClassVar[ArtefactKind]
    ARTEFACT_KIND_ARCHIVE: _ClassVar[ArtefactKind]
    ARTEFACT_KIND_ZIPAPP: _ClassVar[ArtefactKind]
IMPLEMENTATION_UNSPECIFIED: Implementation
IMPLEMENTATION_CPYTHON: Implementation
IMPLEMENTATION_PYPY: Implementation
IMPLEMENTATION_NODEJS: Implementation
IMPLEMENTATION_RUBY: Implementation
IMPLEMENTATION_PERL: Implementation
IMPLEMENTATION_PHP: Implementation
INSTALL_KIND_UNSPECIFIED: InstallKind
INSTALL_KIND_BASE: InstallKind
INSTALL_KIND_VENV: InstallKind
ENVIRONMENT_STATE_UNSPECIFIED: EnvironmentState
ENVIRONMENT_STATE_FOLLOWS: EnvironmentState
ENVIRONMENT_STATE_PINNED: EnvironmentState
ENVIRONMENT_STATE_COPIED: EnvironmentState
ENVIRONMENT_STATE_DANGLING: EnvironmentState
ROOT_KIND_UNSPECIFIED: RootKind
ROOT_KIND_HOST: RootKind
ROOT_KIND_FOLDER: RootKind
ROOT_KIND_CONTAINER: RootKind
ROOT_KIND_IMAGE: RootKind
CHANGELOG_STATE_UNSPECIFIED: ChangelogState
CHANGELOG_STATE_COMPLETE: ChangelogState
CHANGELOG_STATE_TRUNCATED: ChangelogState
CHANGELOG_STATE_MISSING: ChangelogState
CHANGELOG_STATE_UNREADABLE: ChangelogState
MAPPING_STATE_UNSPECIFIED: MappingState
MAPPING_STATE_CURRENT: MappingState
MAPPING_STATE_DELETED: MappingState
MAPPING_STATE_REPLACED: MappingState
PROVIDER_UNSPECIFIED: Provider
PROVIDER_DISTRO: Provider
PROVIDER_PBS: Provider
PROVIDER_PYENV: Provider
PROVIDER_CONDA: Provider
PROVIDER_DOCKER_OFFICIAL: Provider
PROVIDER_PYPI: Provider
PROVIDER_NIX: Provider
PROVIDER_SNAP: Provider
PROVIDER_VENDOR: Provider
PROVIDER_SOURCE: Provider
PROVIDER_UPSTREAM: Provider
INSTALLER_UNSPECIFIED: Installer
INSTALLER_DPKG: Installer
INSTALLER_RPM: Installer
INSTALLER_APK: Installer
INSTALLER_PACMAN: Installer
INSTALLER_UV: Installer
INSTALLER_RYE: Installer
INSTALLER_HATCH: Installer
INSTALLER_MISE: Installer
INSTALLER_PYENV: Installer
INSTALLER_ASDF: Installer
INSTALLER_CONDA: Installer
INSTALLER_PIP: Installer
INSTALLER_VENDOR: Installer
INSTALLER_PIPX: Installer
INSTALLER_SNAP: Installer
INSTALLER_NIX: Installer
CRYPTO_FAMILY_UNSPECIFIED: CryptoFamily
CRYPTO_FAMILY_OPENSSL: CryptoFamily
CRYPTO_FAMILY_LIBRESSL: CryptoFamily
CRYPTO_FAMILY_BORINGSSL: CryptoFamily
CRYPTO_FAMILY_AWS_LC: CryptoFamily
LINKAGE_UNSPECIFIED: Linkage
LINKAGE_STATIC: Linkage
LINKAGE_BUNDLED: Linkage
LINKAGE_SYSTEM: Linkage
LINKAGE_LOCAL: Linkage
LINKAGE_NONE: Linkage
LINKAGE_UNRESOLVED: Linkage
LIBC_FAMILY_UNSPECIFIED: LibcFamily
LIBC_FAMILY_GLIBC: LibcFamily
LIBC_FAMILY_MUSL: LibcFamily
PACKAGE_ORIGIN_UNSPECIFIED: PackageOrigin
PACKAGE_ORIGIN_DISTRIBUTION: PackageOrigin
PACKAGE_ORIGIN_VENDOR: PackageOrigin
FILE_ROLE_UNSPECIFIED: FileRole
FILE_ROLE_EXECUTABLE: FileRole
FILE_ROLE_LIBRARY: FileRole
FILE_ROLE_MODULE: FileRole
LOADER_KIND_UNSPECIFIED: LoaderKind
LOADER_KIND_GLIBC: LoaderKind
LOADER_KIND_MUSL: LoaderKind
LOADER_KIND_NONE: LoaderKind
LOADER_KIND_OTHER: LoaderKind
PROBE_STATE_UNSPECIFIED: ProbeState
PROBE_STATE_OK: ProbeState
PROBE_STATE_SKIPPED: ProbeState
PROBE_STATE_FAILED: ProbeState
EVIDENCE_KIND_UNSPECIFIED: EvidenceKind
EVIDENCE_KIND_ELF_HEADER: EvidenceKind
EVIDENCE_KIND_ELF_NEEDED: EvidenceKind
EVIDENCE_KIND_ELF_INTERPRETER: EvidenceKind
EVIDENCE_KIND_ELF_SYMBOL: EvidenceKind
EVIDENCE_KIND_ELF_VERSION: EvidenceKind
EVIDENCE_KIND_ELF_NOTE: EvidenceKind
EVIDENCE_KIND_STRING: EvidenceKind
EVIDENCE_KIND_TEXT_LINE: EvidenceKind
EVIDENCE_KIND_PATH: EvidenceKind
EVIDENCE_KIND_SYMLINK: EvidenceKind
EVIDENCE_KIND_LOADER_CACHE: EvidenceKind
EVIDENCE_KIND_LOADER_PATH: EvidenceKind
EVIDENCE_KIND_PACKAGE_RECORD: EvidenceKind
EVIDENCE_KIND_ADVISORY: EvidenceKind
EVIDENCE_KIND_RELEASE_TABLE: EvidenceKind
EVIDENCE_KIND_KERNEL: EvidenceKind
EVIDENCE_KIND_ABSENCE: EvidenceKind
EVIDENCE_KIND_CHANGELOG: EvidenceKind
EVIDENCE_KIND_SBOM: EvidenceKind
EVIDENCE_KIND_PROCESS: EvidenceKind
EVIDENCE_KIND_MOUNT: EvidenceKind
EVIDENCE_KIND_RUNTIME_RECORD: EvidenceKind
FACT_KIND_UNSPECIFIED: FactKind
FACT_KIND_INVENTORY: FactKind
FACT_KIND_PLATFORM: FactKind
FACT_KIND_INSTALL_SET: FactKind
FACT_KIND_BUILD: FactKind
FACT_KIND_CRYPTO_COPY_SET: FactKind
FACT_KIND_TOOL_SET: FactKind
FACT_KIND_ROOT_SET: FactKind
FACT_KIND_CHANGELOG: FactKind
ARTEFACT_KIND_UNSPECIFIED: ArtefactKind
ARTEFACT_KIND_EXECUTABLE: ArtefactKind
ARTEFACT_KIND_SHARED_OBJECT: ArtefactKind
ARTEFACT_KIND_INTERPRETER: ArtefactKind
ARTEFACT_KIND_WHEEL: ArtefactKind
ARTEFACT_KIND_WHEEL_NAME: ArtefactKind
ARTEFACT_KIND_ENVIRONMENT: ArtefactKind
ARTEFACT_KIND_FOLDER: ArtefactKind
ARTEFACT_KIND_ARCHIVE: ArtefactKind
ARTEFACT_KIND_ZIPAPP: ArtefactKind
