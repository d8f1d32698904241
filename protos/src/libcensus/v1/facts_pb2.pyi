from libcensus.v1 import vocabulary_pb2 as _vocabulary_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Evidence(_message.Message):
    __slots__ = ("subject", "kind", "file", "detail", "offset")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    subject: str
    kind: _vocabulary_pb2.EvidenceKind
    file: str
    detail: str
    offset: int
    def __init__(self, subject: _Optional[str] = ..., kind: _Optional[_Union[_vocabulary_pb2.EvidenceKind, str]] = ..., file: _Optional[str] = ..., detail: _Optional[str] = ..., offset: _Optional[int] = ...) -> None: ...

class Package(_message.Message):
    __slots__ = ("manager", "name", "version", "source", "source_version", "arch", "origin", "vendor")
    MANAGER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_VERSION_FIELD_NUMBER: _ClassVar[int]
    ARCH_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    VENDOR_FIELD_NUMBER: _ClassVar[int]
    manager: str
    name: str
    version: str
    source: str
    source_version: str
    arch: str
    origin: _vocabulary_pb2.PackageOrigin
    vendor: str
    def __init__(self, manager: _Optional[str] = ..., name: _Optional[str] = ..., version: _Optional[str] = ..., source: _Optional[str] = ..., source_version: _Optional[str] = ..., arch: _Optional[str] = ..., origin: _Optional[_Union[_vocabulary_pb2.PackageOrigin, str]] = ..., vendor: _Optional[str] = ...) -> None: ...

class CryptoLibrary(_message.Message):
    __slots__ = ("family", "version", "package")
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PACKAGE_FIELD_NUMBER: _ClassVar[int]
    family: _vocabulary_pb2.CryptoFamily
    version: str
    package: Package
    def __init__(self, family: _Optional[_Union[_vocabulary_pb2.CryptoFamily, str]] = ..., version: _Optional[str] = ..., package: _Optional[_Union[Package, _Mapping]] = ...) -> None: ...

class CryptoUse(_message.Message):
    __slots__ = ("linkage", "path", "library", "needed")
    LINKAGE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    LIBRARY_FIELD_NUMBER: _ClassVar[int]
    NEEDED_FIELD_NUMBER: _ClassVar[int]
    linkage: _vocabulary_pb2.Linkage
    path: str
    library: CryptoLibrary
    needed: str
    def __init__(self, linkage: _Optional[_Union[_vocabulary_pb2.Linkage, str]] = ..., path: _Optional[str] = ..., library: _Optional[_Union[CryptoLibrary, _Mapping]] = ..., needed: _Optional[str] = ...) -> None: ...

class LibraryNeed(_message.Message):
    __slots__ = ("soname", "versions", "weak")
    SONAME_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    WEAK_FIELD_NUMBER: _ClassVar[int]
    soname: str
    versions: _containers.RepeatedScalarFieldContainer[str]
    weak: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, soname: _Optional[str] = ..., versions: _Optional[_Iterable[str]] = ..., weak: _Optional[_Iterable[str]] = ...) -> None: ...

class RaisedBy(_message.Message):
    __slots__ = ("version", "soname", "file", "symbol")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SONAME_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    version: str
    soname: str
    file: str
    symbol: str
    def __init__(self, version: _Optional[str] = ..., soname: _Optional[str] = ..., file: _Optional[str] = ..., symbol: _Optional[str] = ...) -> None: ...

class Requirement(_message.Message):
    __slots__ = ("arch", "loader", "loader_kind", "needs", "sonames", "raised_by", "x86_64_level", "kernel", "runpath")
    ARCH_FIELD_NUMBER: _ClassVar[int]
    LOADER_FIELD_NUMBER: _ClassVar[int]
    LOADER_KIND_FIELD_NUMBER: _ClassVar[int]
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    SONAMES_FIELD_NUMBER: _ClassVar[int]
    RAISED_BY_FIELD_NUMBER: _ClassVar[int]
    X86_64_LEVEL_FIELD_NUMBER: _ClassVar[int]
    KERNEL_FIELD_NUMBER: _ClassVar[int]
    RUNPATH_FIELD_NUMBER: _ClassVar[int]
    arch: str
    loader: str
    loader_kind: _vocabulary_pb2.LoaderKind
    needs: _containers.RepeatedCompositeFieldContainer[LibraryNeed]
    sonames: _containers.RepeatedScalarFieldContainer[str]
    raised_by: _containers.RepeatedCompositeFieldContainer[RaisedBy]
    x86_64_level: int
    kernel: str
    runpath: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, arch: _Optional[str] = ..., loader: _Optional[str] = ..., loader_kind: _Optional[_Union[_vocabulary_pb2.LoaderKind, str]] = ..., needs: _Optional[_Iterable[_Union[LibraryNeed, _Mapping]]] = ..., sonames: _Optional[_Iterable[str]] = ..., raised_by: _Optional[_Iterable[_Union[RaisedBy, _Mapping]]] = ..., x86_64_level: _Optional[int] = ..., kernel: _Optional[str] = ..., runpath: _Optional[_Iterable[str]] = ...) -> None: ...

class PlatformLibrary(_message.Message):
    __slots__ = ("soname", "versions")
    SONAME_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    soname: str
    versions: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, soname: _Optional[str] = ..., versions: _Optional[_Iterable[str]] = ...) -> None: ...

class Platform(_message.Message):
    __slots__ = ("arch", "x86_64_level", "kernel", "libc_family", "libc_version", "loaders", "libraries")
    ARCH_FIELD_NUMBER: _ClassVar[int]
    X86_64_LEVEL_FIELD_NUMBER: _ClassVar[int]
    KERNEL_FIELD_NUMBER: _ClassVar[int]
    LIBC_FAMILY_FIELD_NUMBER: _ClassVar[int]
    LIBC_VERSION_FIELD_NUMBER: _ClassVar[int]
    LOADERS_FIELD_NUMBER: _ClassVar[int]
    LIBRARIES_FIELD_NUMBER: _ClassVar[int]
    arch: str
    x86_64_level: int
    kernel: str
    libc_family: _vocabulary_pb2.LibcFamily
    libc_version: str
    loaders: _containers.RepeatedScalarFieldContainer[str]
    libraries: _containers.RepeatedCompositeFieldContainer[PlatformLibrary]
    def __init__(self, arch: _Optional[str] = ..., x86_64_level: _Optional[int] = ..., kernel: _Optional[str] = ..., libc_family: _Optional[_Union[_vocabulary_pb2.LibcFamily, str]] = ..., libc_version: _Optional[str] = ..., loaders: _Optional[_Iterable[str]] = ..., libraries: _Optional[_Iterable[_Union[PlatformLibrary, _Mapping]]] = ...) -> None: ...

class BuildFile(_message.Message):
    __slots__ = ("path", "role", "sha256", "size", "soname", "requirement")
    PATH_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    SONAME_FIELD_NUMBER: _ClassVar[int]
    REQUIREMENT_FIELD_NUMBER: _ClassVar[int]
    path: str
    role: _vocabulary_pb2.FileRole
    sha256: bytes
    size: int
    soname: str
    requirement: Requirement
    def __init__(self, path: _Optional[str] = ..., role: _Optional[_Union[_vocabulary_pb2.FileRole, str]] = ..., sha256: _Optional[bytes] = ..., size: _Optional[int] = ..., soname: _Optional[str] = ..., requirement: _Optional[_Union[Requirement, _Mapping]] = ...) -> None: ...

class Build(_message.Message):
    __slots__ = ("implementation", "version", "arch", "provider", "provider_build", "flags", "files", "evidence")
    IMPLEMENTATION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ARCH_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_BUILD_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    implementation: _vocabulary_pb2.Implementation
    version: str
    arch: str
    provider: _vocabulary_pb2.Provider
    provider_build: str
    flags: _containers.RepeatedScalarFieldContainer[str]
    files: _containers.RepeatedCompositeFieldContainer[BuildFile]
    evidence: _containers.RepeatedCompositeFieldContainer[Evidence]
    def __init__(self, implementation: _Optional[_Union[_vocabulary_pb2.Implementation, str]] = ..., version: _Optional[str] = ..., arch: _Optional[str] = ..., provider: _Optional[_Union[_vocabulary_pb2.Provider, str]] = ..., provider_build: _Optional[str] = ..., flags: _Optional[_Iterable[str]] = ..., files: _Optional[_Iterable[_Union[BuildFile, _Mapping]]] = ..., evidence: _Optional[_Iterable[_Union[Evidence, _Mapping]]] = ...) -> None: ...

class Install(_message.Message):
    __slots__ = ("root", "path", "realpath", "kind", "implementation", "installer", "build", "crypto", "aliases", "base", "recorded_version", "package", "evidence", "state")
    ROOT_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    REALPATH_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    IMPLEMENTATION_FIELD_NUMBER: _ClassVar[int]
    INSTALLER_FIELD_NUMBER: _ClassVar[int]
    BUILD_FIELD_NUMBER: _ClassVar[int]
    CRYPTO_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    RECORDED_VERSION_FIELD_NUMBER: _ClassVar[int]
    PACKAGE_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    root: str
    path: str
    realpath: str
    kind: _vocabulary_pb2.InstallKind
    implementation: _vocabulary_pb2.Implementation
    installer: _vocabulary_pb2.Installer
    build: bytes
    crypto: CryptoUse
    aliases: _containers.RepeatedScalarFieldContainer[str]
    base: str
    recorded_version: str
    package: Package
    evidence: _containers.RepeatedCompositeFieldContainer[Evidence]
    state: _vocabulary_pb2.EnvironmentState
    def __init__(self, root: _Optional[str] = ..., path: _Optional[str] = ..., realpath: _Optional[str] = ..., kind: _Optional[_Union[_vocabulary_pb2.InstallKind, str]] = ..., implementation: _Optional[_Union[_vocabulary_pb2.Implementation, str]] = ..., installer: _Optional[_Union[_vocabulary_pb2.Installer, str]] = ..., build: _Optional[bytes] = ..., crypto: _Optional[_Union[CryptoUse, _Mapping]] = ..., aliases: _Optional[_Iterable[str]] = ..., base: _Optional[str] = ..., recorded_version: _Optional[str] = ..., package: _Optional[_Union[Package, _Mapping]] = ..., evidence: _Optional[_Iterable[_Union[Evidence, _Mapping]]] = ..., state: _Optional[_Union[_vocabulary_pb2.EnvironmentState, str]] = ...) -> None: ...

class InstallSet(_message.Message):
    __slots__ = ("installs",)
    INSTALLS_FIELD_NUMBER: _ClassVar[int]
    installs: _containers.RepeatedCompositeFieldContainer[Install]
    def __init__(self, installs: _Optional[_Iterable[_Union[Install, _Mapping]]] = ...) -> None: ...

class OsRelease(_message.Message):
    __slots__ = ("id", "version_id", "pretty_name", "version_codename", "id_like")
    ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_ID_FIELD_NUMBER: _ClassVar[int]
    PRETTY_NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_CODENAME_FIELD_NUMBER: _ClassVar[int]
    ID_LIKE_FIELD_NUMBER: _ClassVar[int]
    id: str
    version_id: str
    pretty_name: str
    version_codename: str
    id_like: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., version_id: _Optional[str] = ..., pretty_name: _Optional[str] = ..., version_codename: _Optional[str] = ..., id_like: _Optional[_Iterable[str]] = ...) -> None: ...

class Libc(_message.Message):
    __slots__ = ("family", "version", "path", "package")
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    PACKAGE_FIELD_NUMBER: _ClassVar[int]
    family: _vocabulary_pb2.LibcFamily
    version: str
    path: str
    package: Package
    def __init__(self, family: _Optional[_Union[_vocabulary_pb2.LibcFamily, str]] = ..., version: _Optional[str] = ..., path: _Optional[str] = ..., package: _Optional[_Union[Package, _Mapping]] = ...) -> None: ...

class Host(_message.Message):
    __slots__ = ("hostname", "os_release", "arch", "x86_64_level", "kernel", "libc", "evidence")
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    OS_RELEASE_FIELD_NUMBER: _ClassVar[int]
    ARCH_FIELD_NUMBER: _ClassVar[int]
    X86_64_LEVEL_FIELD_NUMBER: _ClassVar[int]
    KERNEL_FIELD_NUMBER: _ClassVar[int]
    LIBC_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    hostname: str
    os_release: OsRelease
    arch: str
    x86_64_level: int
    kernel: str
    libc: Libc
    evidence: _containers.RepeatedCompositeFieldContainer[Evidence]
    def __init__(self, hostname: _Optional[str] = ..., os_release: _Optional[_Union[OsRelease, _Mapping]] = ..., arch: _Optional[str] = ..., x86_64_level: _Optional[int] = ..., kernel: _Optional[str] = ..., libc: _Optional[_Union[Libc, _Mapping]] = ..., evidence: _Optional[_Iterable[_Union[Evidence, _Mapping]]] = ...) -> None: ...

class CopyOwner(_message.Message):
    __slots__ = ("ecosystem", "name", "version")
    ECOSYSTEM_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ecosystem: str
    name: str
    version: str
    def __init__(self, ecosystem: _Optional[str] = ..., name: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class CryptoCopy(_message.Message):
    __slots__ = ("root", "path", "linkage", "library", "environment", "owner", "evidence")
    ROOT_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    LINKAGE_FIELD_NUMBER: _ClassVar[int]
    LIBRARY_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    root: str
    path: str
    linkage: _vocabulary_pb2.Linkage
    library: CryptoLibrary
    environment: str
    owner: CopyOwner
    evidence: _containers.RepeatedCompositeFieldContainer[Evidence]
    def __init__(self, root: _Optional[str] = ..., path: _Optional[str] = ..., linkage: _Optional[_Union[_vocabulary_pb2.Linkage, str]] = ..., library: _Optional[_Union[CryptoLibrary, _Mapping]] = ..., environment: _Optional[str] = ..., owner: _Optional[_Union[CopyOwner, _Mapping]] = ..., evidence: _Optional[_Iterable[_Union[Evidence, _Mapping]]] = ...) -> None: ...

class CryptoCopySet(_message.Message):
    __slots__ = ("copies",)
    COPIES_FIELD_NUMBER: _ClassVar[int]
    copies: _containers.RepeatedCompositeFieldContainer[CryptoCopy]
    def __init__(self, copies: _Optional[_Iterable[_Union[CryptoCopy, _Mapping]]] = ...) -> None: ...

class Tool(_message.Message):
    __slots__ = ("root", "path", "name", "version", "newest_build", "environment", "package", "evidence")
    ROOT_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    NEWEST_BUILD_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    PACKAGE_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    root: str
    path: str
    name: str
    version: str
    newest_build: str
    environment: str
    package: Package
    evidence: _containers.RepeatedCompositeFieldContainer[Evidence]
    def __init__(self, root: _Optional[str] = ..., path: _Optional[str] = ..., name: _Optional[str] = ..., version: _Optional[str] = ..., newest_build: _Optional[str] = ..., environment: _Optional[str] = ..., package: _Optional[_Union[Package, _Mapping]] = ..., evidence: _Optional[_Iterable[_Union[Evidence, _Mapping]]] = ...) -> None: ...

class ToolSetting(_message.Message):
    __slots__ = ("root", "path", "tool", "name", "value", "evidence")
    ROOT_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    TOOL_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    root: str
    path: str
    tool: str
    name: str
    value: str
    evidence: _containers.RepeatedCompositeFieldContainer[Evidence]
    def __init__(self, root: _Optional[str] = ..., path: _Optional[str] = ..., tool: _Optional[str] = ..., name: _Optional[str] = ..., value: _Optional[str] = ..., evidence: _Optional[_Iterable[_Union[Evidence, _Mapping]]] = ...) -> None: ...

class ToolSet(_message.Message):
    __slots__ = ("tools", "settings")
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    tools: _containers.RepeatedCompositeFieldContainer[Tool]
    settings: _containers.RepeatedCompositeFieldContainer[ToolSetting]
    def __init__(self, tools: _Optional[_Iterable[_Union[Tool, _Mapping]]] = ..., settings: _Optional[_Iterable[_Union[ToolSetting, _Mapping]]] = ...) -> None: ...

class Container(_message.Message):
    __slots__ = ("runtime", "id", "name", "image", "image_id")
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_ID_FIELD_NUMBER: _ClassVar[int]
    runtime: str
    id: str
    name: str
    image: str
    image_id: str
    def __init__(self, runtime: _Optional[str] = ..., id: _Optional[str] = ..., name: _Optional[str] = ..., image: _Optional[str] = ..., image_id: _Optional[str] = ...) -> None: ...

class ScannedRoot(_message.Message):
    __slots__ = ("name", "kind", "path", "os_release", "arch", "libc", "platform", "container", "created", "tags", "evidence")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    OS_RELEASE_FIELD_NUMBER: _ClassVar[int]
    ARCH_FIELD_NUMBER: _ClassVar[int]
    LIBC_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: _vocabulary_pb2.RootKind
    path: str
    os_release: OsRelease
    arch: str
    libc: Libc
    platform: bytes
    container: Container
    created: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    evidence: _containers.RepeatedCompositeFieldContainer[Evidence]
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[_vocabulary_pb2.RootKind, str]] = ..., path: _Optional[str] = ..., os_release: _Optional[_Union[OsRelease, _Mapping]] = ..., arch: _Optional[str] = ..., libc: _Optional[_Union[Libc, _Mapping]] = ..., platform: _Optional[bytes] = ..., container: _Optional[_Union[Container, _Mapping]] = ..., created: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., evidence: _Optional[_Iterable[_Union[Evidence, _Mapping]]] = ...) -> None: ...

class RootSet(_message.Message):
    __slots__ = ("roots",)
    ROOTS_FIELD_NUMBER: _ClassVar[int]
    roots: _containers.RepeatedCompositeFieldContainer[ScannedRoot]
    def __init__(self, roots: _Optional[_Iterable[_Union[ScannedRoot, _Mapping]]] = ...) -> None: ...

class ChangelogFix(_message.Message):
    __slots__ = ("advisory", "version", "text")
    ADVISORY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    advisory: str
    version: str
    text: str
    def __init__(self, advisory: _Optional[str] = ..., version: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class PackageChangelog(_message.Message):
    __slots__ = ("package", "state", "file", "entries", "newest", "oldest", "fixes", "reason")
    PACKAGE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEWEST_FIELD_NUMBER: _ClassVar[int]
    OLDEST_FIELD_NUMBER: _ClassVar[int]
    FIXES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    package: Package
    state: _vocabulary_pb2.ChangelogState
    file: str
    entries: int
    newest: str
    oldest: str
    fixes: _containers.RepeatedCompositeFieldContainer[ChangelogFix]
    reason: str
    def __init__(self, package: _Optional[_Union[Package, _Mapping]] = ..., state: _Optional[_Union[_vocabulary_pb2.ChangelogState, str]] = ..., file: _Optional[str] = ..., entries: _Optional[int] = ..., newest: _Optional[str] = ..., oldest: _Optional[str] = ..., fixes: _Optional[_Iterable[_Union[ChangelogFix, _Mapping]]] = ..., reason: _Optional[str] = ...) -> None: ...

class ProcessExample(_message.Message):
    __slots__ = ("pid", "unit")
    PID_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    pid: int
    unit: str
    def __init__(self, pid: _Optional[int] = ..., unit: _Optional[str] = ...) -> None: ...

class MappedLibrary(_message.Message):
    __slots__ = ("path", "state", "processes")
    PATH_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_FIELD_NUMBER: _ClassVar[int]
    path: str
    state: _vocabulary_pb2.MappingState
    processes: int
    def __init__(self, path: _Optional[str] = ..., state: _Optional[_Union[_vocabulary_pb2.MappingState, str]] = ..., processes: _Optional[int] = ...) -> None: ...

class ProcessGroup(_message.Message):
    __slots__ = ("root", "executable", "state", "processes", "install", "libraries", "unread", "examples")
    ROOT_FIELD_NUMBER: _ClassVar[int]
    EXECUTABLE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_FIELD_NUMBER: _ClassVar[int]
    INSTALL_FIELD_NUMBER: _ClassVar[int]
    LIBRARIES_FIELD_NUMBER: _ClassVar[int]
    UNREAD_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    root: str
    executable: str
    state: _vocabulary_pb2.MappingState
    processes: int
    install: str
    libraries: _containers.RepeatedCompositeFieldContainer[MappedLibrary]
    unread: int
    examples: _containers.RepeatedCompositeFieldContainer[ProcessExample]
    def __init__(self, root: _Optional[str] = ..., executable: _Optional[str] = ..., state: _Optional[_Union[_vocabulary_pb2.MappingState, str]] = ..., processes: _Optional[int] = ..., install: _Optional[str] = ..., libraries: _Optional[_Iterable[_Union[MappedLibrary, _Mapping]]] = ..., unread: _Optional[int] = ..., examples: _Optional[_Iterable[_Union[ProcessExample, _Mapping]]] = ...) -> None: ...

class ProcessSet(_message.Message):
    __slots__ = ("groups",)
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    groups: _containers.RepeatedCompositeFieldContainer[ProcessGroup]
    def __init__(self, groups: _Optional[_Iterable[_Union[ProcessGroup, _Mapping]]] = ...) -> None: ...

class Inventory(_message.Message):
    __slots__ = ("host", "platform", "installs", "builds", "crypto_copies", "tools", "roots", "changelogs")
    HOST_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    INSTALLS_FIELD_NUMBER: _ClassVar[int]
    BUILDS_FIELD_NUMBER: _ClassVar[int]
    CRYPTO_COPIES_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    ROOTS_FIELD_NUMBER: _ClassVar[int]
    CHANGELOGS_FIELD_NUMBER: _ClassVar[int]
    host: Host
    platform: bytes
    installs: bytes
    builds: _containers.RepeatedScalarFieldContainer[bytes]
    crypto_copies: bytes
    tools: bytes
    roots: bytes
    changelogs: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, host: _Optional[_Union[Host, _Mapping]] = ..., platform: _Optional[bytes] = ..., installs: _Optional[bytes] = ..., builds: _Optional[_Iterable[bytes]] = ..., crypto_copies: _Optional[bytes] = ..., tools: _Optional[bytes] = ..., roots: _Optional[bytes] = ..., changelogs: _Optional[_Iterable[bytes]] = ...) -> None: ...

class WheelTag(_message.Message):
    __slots__ = ("interpreter", "abi", "platform")
    INTERPRETER_FIELD_NUMBER: _ClassVar[int]
    ABI_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    interpreter: str
    abi: str
    platform: str
    def __init__(self, interpreter: _Optional[str] = ..., abi: _Optional[str] = ..., platform: _Optional[str] = ...) -> None: ...

class ArtefactFile(_message.Message):
    __slots__ = ("path", "role", "requirement", "uses", "stray")
    PATH_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    REQUIREMENT_FIELD_NUMBER: _ClassVar[int]
    USES_FIELD_NUMBER: _ClassVar[int]
    STRAY_FIELD_NUMBER: _ClassVar[int]
    path: str
    role: _vocabulary_pb2.FileRole
    requirement: Requirement
    uses: _containers.RepeatedScalarFieldContainer[str]
    stray: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, path: _Optional[str] = ..., role: _Optional[_Union[_vocabulary_pb2.FileRole, str]] = ..., requirement: _Optional[_Union[Requirement, _Mapping]] = ..., uses: _Optional[_Iterable[str]] = ..., stray: _Optional[_Iterable[str]] = ...) -> None: ...

class Artefact(_message.Message):
    __slots__ = ("name", "kind", "files", "tags", "requires_python", "implementation", "version", "home")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    REQUIRES_PYTHON_FIELD_NUMBER: _ClassVar[int]
    IMPLEMENTATION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    HOME_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: _vocabulary_pb2.ArtefactKind
    files: _containers.RepeatedCompositeFieldContainer[ArtefactFile]
    tags: _containers.RepeatedCompositeFieldContainer[WheelTag]
    requires_python: str
    implementation: _vocabulary_pb2.Implementation
    version: str
    home: str
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[_vocabulary_pb2.ArtefactKind, str]] = ..., files: _Optional[_Iterable[_Union[ArtefactFile, _Mapping]]] = ..., tags: _Optional[_Iterable[_Union[WheelTag, _Mapping]]] = ..., requires_python: _Optional[str] = ..., implementation: _Optional[_Union[_vocabulary_pb2.Implementation, str]] = ..., version: _Optional[str] = ..., home: _Optional[str] = ...) -> None: ...
