import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from libcensus.v1 import census_pb2 as _census_pb2
from libcensus.v1 import facts_pb2 as _facts_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HostLabel(_message.Message):
    __slots__ = ("key", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class HostSummary(_message.Message):
    __slots__ = ("host_id", "name", "os_id", "os_version", "arch", "libc_family", "libc_version", "installs", "affected", "worst_severity", "first_report", "last_report", "agent_version", "failed_probes", "under_investigation", "outdated_processes", "labels", "accepted", "agent_state")
    HOST_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    OS_ID_FIELD_NUMBER: _ClassVar[int]
    OS_VERSION_FIELD_NUMBER: _ClassVar[int]
    ARCH_FIELD_NUMBER: _ClassVar[int]
    LIBC_FAMILY_FIELD_NUMBER: _ClassVar[int]
    LIBC_VERSION_FIELD_NUMBER: _ClassVar[int]
    INSTALLS_FIELD_NUMBER: _ClassVar[int]
    AFFECTED_FIELD_NUMBER: _ClassVar[int]
    WORST_SEVERITY_FIELD_NUMBER: _ClassVar[int]
    FIRST_REPORT_FIELD_NUMBER: _ClassVar[int]
    LAST_REPORT_FIELD_NUMBER: _ClassVar[int]
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    FAILED_PROBES_FIELD_NUMBER: _ClassVar[int]
    UNDER_INVESTIGATION_FIELD_NUMBER: _ClassVar[int]
    OUTDATED_PROCESSES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    AGENT_STATE_FIELD_NUMBER: _ClassVar[int]
    host_id: str
    name: str
    os_id: str
    os_version: str
    arch: str
    libc_family: str
    libc_version: str
    installs: int
    affected: int
    worst_severity: str
    first_report: _timestamp_pb2.Timestamp
    last_report: _timestamp_pb2.Timestamp
    agent_version: str
    failed_probes: int
    under_investigation: int
    outdated_processes: int
    labels: _containers.RepeatedCompositeFieldContainer[HostLabel]
    accepted: int
    agent_state: _census_pb2.AgentState
    def __init__(self, host_id: _Optional[str] = ..., name: _Optional[str] = ..., os_id: _Optional[str] = ..., os_version: _Optional[str] = ..., arch: _Optional[str] = ..., libc_family: _Optional[str] = ..., libc_version: _Optional[str] = ..., installs: _Optional[int] = ..., affected: _Optional[int] = ..., worst_severity: _Optional[str] = ..., first_report: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_report: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., agent_version: _Optional[str] = ..., failed_probes: _Optional[int] = ..., under_investigation: _Optional[int] = ..., outdated_processes: _Optional[int] = ..., labels: _Optional[_Iterable[_Union[HostLabel, _Mapping]]] = ..., accepted: _Optional[int] = ..., agent_state: _Optional[_Union[_census_pb2.AgentState, _Mapping]] = ...) -> None: ...

class ListHostsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "selector", "silent")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SELECTOR_FIELD_NUMBER: _ClassVar[int]
    SILENT_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    selector: str
    silent: _duration_pb2.Duration
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., selector: _Optional[str] = ..., silent: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ListHostsResponse(_message.Message):
    __slots__ = ("hosts", "next_page_token", "unknown_keys")
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_KEYS_FIELD_NUMBER: _ClassVar[int]
    hosts: _containers.RepeatedCompositeFieldContainer[HostSummary]
    next_page_token: str
    unknown_keys: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, hosts: _Optional[_Iterable[_Union[HostSummary, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., unknown_keys: _Optional[_Iterable[str]] = ...) -> None: ...

class GetHostRequest(_message.Message):
    __slots__ = ("host",)
    HOST_FIELD_NUMBER: _ClassVar[int]
    host: str
    def __init__(self, host: _Optional[str] = ...) -> None: ...

class FindingSubject(_message.Message):
    __slots__ = ("kind", "root", "path")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    kind: str
    root: str
    path: str
    def __init__(self, kind: _Optional[str] = ..., root: _Optional[str] = ..., path: _Optional[str] = ...) -> None: ...

class Acceptance(_message.Message):
    __slots__ = ("statement", "document", "author", "status", "justification", "reason", "expires")
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    JUSTIFICATION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_FIELD_NUMBER: _ClassVar[int]
    statement: str
    document: str
    author: str
    status: str
    justification: str
    reason: str
    expires: str
    def __init__(self, statement: _Optional[str] = ..., document: _Optional[str] = ..., author: _Optional[str] = ..., status: _Optional[str] = ..., justification: _Optional[str] = ..., reason: _Optional[str] = ..., expires: _Optional[str] = ...) -> None: ...

class Finding(_message.Message):
    __slots__ = ("subject", "component", "linkage", "advisory", "severity", "status", "fixed_in", "fix_available", "remedy", "evidence", "published", "fix_released", "fix_installable", "accepted", "reach")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_FIELD_NUMBER: _ClassVar[int]
    LINKAGE_FIELD_NUMBER: _ClassVar[int]
    ADVISORY_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    FIXED_IN_FIELD_NUMBER: _ClassVar[int]
    FIX_AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_FIELD_NUMBER: _ClassVar[int]
    FIX_RELEASED_FIELD_NUMBER: _ClassVar[int]
    FIX_INSTALLABLE_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    REACH_FIELD_NUMBER: _ClassVar[int]
    subject: FindingSubject
    component: str
    linkage: str
    advisory: str
    severity: str
    status: str
    fixed_in: str
    fix_available: str
    remedy: str
    evidence: _containers.RepeatedCompositeFieldContainer[_facts_pb2.Evidence]
    published: str
    fix_released: str
    fix_installable: str
    accepted: Acceptance
    reach: str
    def __init__(self, subject: _Optional[_Union[FindingSubject, _Mapping]] = ..., component: _Optional[str] = ..., linkage: _Optional[str] = ..., advisory: _Optional[str] = ..., severity: _Optional[str] = ..., status: _Optional[str] = ..., fixed_in: _Optional[str] = ..., fix_available: _Optional[str] = ..., remedy: _Optional[str] = ..., evidence: _Optional[_Iterable[_Union[_facts_pb2.Evidence, _Mapping]]] = ..., published: _Optional[str] = ..., fix_released: _Optional[str] = ..., fix_installable: _Optional[str] = ..., accepted: _Optional[_Union[Acceptance, _Mapping]] = ..., reach: _Optional[str] = ...) -> None: ...

class EndOfLife(_message.Message):
    __slots__ = ("subject", "component", "branch", "state", "date", "distribution_until", "evidence")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DATE_FIELD_NUMBER: _ClassVar[int]
    DISTRIBUTION_UNTIL_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    subject: FindingSubject
    component: str
    branch: str
    state: str
    date: str
    distribution_until: str
    evidence: _containers.RepeatedCompositeFieldContainer[_facts_pb2.Evidence]
    def __init__(self, subject: _Optional[_Union[FindingSubject, _Mapping]] = ..., component: _Optional[str] = ..., branch: _Optional[str] = ..., state: _Optional[str] = ..., date: _Optional[str] = ..., distribution_until: _Optional[str] = ..., evidence: _Optional[_Iterable[_Union[_facts_pb2.Evidence, _Mapping]]] = ...) -> None: ...

class Staleness(_message.Message):
    __slots__ = ("subject", "kind", "state", "has", "newest", "since", "remedy", "evidence", "concerns")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    HAS_FIELD_NUMBER: _ClassVar[int]
    NEWEST_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    CONCERNS_FIELD_NUMBER: _ClassVar[int]
    subject: FindingSubject
    kind: str
    state: str
    has: str
    newest: str
    since: str
    remedy: str
    evidence: _containers.RepeatedCompositeFieldContainer[_facts_pb2.Evidence]
    concerns: _containers.RepeatedCompositeFieldContainer[FindingSubject]
    def __init__(self, subject: _Optional[_Union[FindingSubject, _Mapping]] = ..., kind: _Optional[str] = ..., state: _Optional[str] = ..., has: _Optional[str] = ..., newest: _Optional[str] = ..., since: _Optional[str] = ..., remedy: _Optional[str] = ..., evidence: _Optional[_Iterable[_Union[_facts_pb2.Evidence, _Mapping]]] = ..., concerns: _Optional[_Iterable[_Union[FindingSubject, _Mapping]]] = ...) -> None: ...

class AddressedBuild(_message.Message):
    __slots__ = ("digest", "build")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    BUILD_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    build: _facts_pb2.Build
    def __init__(self, digest: _Optional[bytes] = ..., build: _Optional[_Union[_facts_pb2.Build, _Mapping]] = ...) -> None: ...

class BuildVerdict(_message.Message):
    __slots__ = ("build", "verdict", "reasons", "degraded", "root")
    BUILD_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    build: bytes
    verdict: str
    reasons: _containers.RepeatedScalarFieldContainer[str]
    degraded: _containers.RepeatedScalarFieldContainer[str]
    root: str
    def __init__(self, build: _Optional[bytes] = ..., verdict: _Optional[str] = ..., reasons: _Optional[_Iterable[str]] = ..., degraded: _Optional[_Iterable[str]] = ..., root: _Optional[str] = ...) -> None: ...

class GetHostResponse(_message.Message):
    __slots__ = ("summary", "host", "platform", "installs", "builds", "findings", "end_of_life", "verdicts", "probes", "scan_duration", "crypto_copies", "tools", "roots", "changelogs", "processes", "quirks", "staleness")
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    INSTALLS_FIELD_NUMBER: _ClassVar[int]
    BUILDS_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    END_OF_LIFE_FIELD_NUMBER: _ClassVar[int]
    VERDICTS_FIELD_NUMBER: _ClassVar[int]
    PROBES_FIELD_NUMBER: _ClassVar[int]
    SCAN_DURATION_FIELD_NUMBER: _ClassVar[int]
    CRYPTO_COPIES_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    ROOTS_FIELD_NUMBER: _ClassVar[int]
    CHANGELOGS_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_FIELD_NUMBER: _ClassVar[int]
    QUIRKS_FIELD_NUMBER: _ClassVar[int]
    STALENESS_FIELD_NUMBER: _ClassVar[int]
    summary: HostSummary
    host: _facts_pb2.Host
    platform: _facts_pb2.Platform
    installs: _facts_pb2.InstallSet
    builds: _containers.RepeatedCompositeFieldContainer[AddressedBuild]
    findings: _containers.RepeatedCompositeFieldContainer[Finding]
    end_of_life: _containers.RepeatedCompositeFieldContainer[EndOfLife]
    verdicts: _containers.RepeatedCompositeFieldContainer[BuildVerdict]
    probes: _containers.RepeatedCompositeFieldContainer[_census_pb2.ProbeResult]
    scan_duration: _duration_pb2.Duration
    crypto_copies: _facts_pb2.CryptoCopySet
    tools: _facts_pb2.ToolSet
    roots: _facts_pb2.RootSet
    changelogs: _containers.RepeatedCompositeFieldContainer[_facts_pb2.PackageChangelog]
    processes: _facts_pb2.ProcessSet
    quirks: _containers.RepeatedCompositeFieldContainer[SeenQuirk]
    staleness: _containers.RepeatedCompositeFieldContainer[Staleness]
    def __init__(self, summary: _Optional[_Union[HostSummary, _Mapping]] = ..., host: _Optional[_Union[_facts_pb2.Host, _Mapping]] = ..., platform: _Optional[_Union[_facts_pb2.Platform, _Mapping]] = ..., installs: _Optional[_Union[_facts_pb2.InstallSet, _Mapping]] = ..., builds: _Optional[_Iterable[_Union[AddressedBuild, _Mapping]]] = ..., findings: _Optional[_Iterable[_Union[Finding, _Mapping]]] = ..., end_of_life: _Optional[_Iterable[_Union[EndOfLife, _Mapping]]] = ..., verdicts: _Optional[_Iterable[_Union[BuildVerdict, _Mapping]]] = ..., probes: _Optional[_Iterable[_Union[_census_pb2.ProbeResult, _Mapping]]] = ..., scan_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., crypto_copies: _Optional[_Union[_facts_pb2.CryptoCopySet, _Mapping]] = ..., tools: _Optional[_Union[_facts_pb2.ToolSet, _Mapping]] = ..., roots: _Optional[_Union[_facts_pb2.RootSet, _Mapping]] = ..., changelogs: _Optional[_Iterable[_Union[_facts_pb2.PackageChangelog, _Mapping]]] = ..., processes: _Optional[_Union[_facts_pb2.ProcessSet, _Mapping]] = ..., quirks: _Optional[_Iterable[_Union[SeenQuirk, _Mapping]]] = ..., staleness: _Optional[_Iterable[_Union[Staleness, _Mapping]]] = ...) -> None: ...

class SeenQuirk(_message.Message):
    __slots__ = ("id", "title", "means", "advice", "source", "subjects")
    ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    MEANS_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SUBJECTS_FIELD_NUMBER: _ClassVar[int]
    id: str
    title: str
    means: str
    advice: str
    source: str
    subjects: _containers.RepeatedCompositeFieldContainer[FindingSubject]
    def __init__(self, id: _Optional[str] = ..., title: _Optional[str] = ..., means: _Optional[str] = ..., advice: _Optional[str] = ..., source: _Optional[str] = ..., subjects: _Optional[_Iterable[_Union[FindingSubject, _Mapping]]] = ...) -> None: ...

class PortabilityReason(_message.Message):
    __slots__ = ("kind", "needs", "has", "library", "file", "symbol", "remedy", "known", "module")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    HAS_FIELD_NUMBER: _ClassVar[int]
    LIBRARY_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    MODULE_FIELD_NUMBER: _ClassVar[int]
    kind: str
    needs: str
    has: str
    library: str
    file: str
    symbol: str
    remedy: str
    known: bool
    module: str
    def __init__(self, kind: _Optional[str] = ..., needs: _Optional[str] = ..., has: _Optional[str] = ..., library: _Optional[str] = ..., file: _Optional[str] = ..., symbol: _Optional[str] = ..., remedy: _Optional[str] = ..., known: _Optional[bool] = ..., module: _Optional[str] = ...) -> None: ...

class PlatformHosts(_message.Message):
    __slots__ = ("platform", "label", "hosts", "examples", "arch", "libc_family", "libc_version", "pythons")
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    ARCH_FIELD_NUMBER: _ClassVar[int]
    LIBC_FAMILY_FIELD_NUMBER: _ClassVar[int]
    LIBC_VERSION_FIELD_NUMBER: _ClassVar[int]
    PYTHONS_FIELD_NUMBER: _ClassVar[int]
    platform: bytes
    label: str
    hosts: int
    examples: _containers.RepeatedScalarFieldContainer[str]
    arch: str
    libc_family: str
    libc_version: str
    pythons: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, platform: _Optional[bytes] = ..., label: _Optional[str] = ..., hosts: _Optional[int] = ..., examples: _Optional[_Iterable[str]] = ..., arch: _Optional[str] = ..., libc_family: _Optional[str] = ..., libc_version: _Optional[str] = ..., pythons: _Optional[_Iterable[str]] = ...) -> None: ...

class CheckPortabilityRequest(_message.Message):
    __slots__ = ("artefact", "selector")
    ARTEFACT_FIELD_NUMBER: _ClassVar[int]
    SELECTOR_FIELD_NUMBER: _ClassVar[int]
    artefact: _facts_pb2.Artefact
    selector: str
    def __init__(self, artefact: _Optional[_Union[_facts_pb2.Artefact, _Mapping]] = ..., selector: _Optional[str] = ...) -> None: ...

class PlatformVerdict(_message.Message):
    __slots__ = ("on", "verdict", "reasons", "degraded")
    ON_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    on: PlatformHosts
    verdict: str
    reasons: _containers.RepeatedCompositeFieldContainer[PortabilityReason]
    degraded: _containers.RepeatedCompositeFieldContainer[PortabilityReason]
    def __init__(self, on: _Optional[_Union[PlatformHosts, _Mapping]] = ..., verdict: _Optional[str] = ..., reasons: _Optional[_Iterable[_Union[PortabilityReason, _Mapping]]] = ..., degraded: _Optional[_Iterable[_Union[PortabilityReason, _Mapping]]] = ...) -> None: ...

class CheckPortabilityResponse(_message.Message):
    __slots__ = ("verdicts", "unreadable_hosts", "unknown_keys")
    VERDICTS_FIELD_NUMBER: _ClassVar[int]
    UNREADABLE_HOSTS_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_KEYS_FIELD_NUMBER: _ClassVar[int]
    verdicts: _containers.RepeatedCompositeFieldContainer[PlatformVerdict]
    unreadable_hosts: int
    unknown_keys: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, verdicts: _Optional[_Iterable[_Union[PlatformVerdict, _Mapping]]] = ..., unreadable_hosts: _Optional[int] = ..., unknown_keys: _Optional[_Iterable[str]] = ...) -> None: ...

class GetLibcHostsRequest(_message.Message):
    __slots__ = ("selector",)
    SELECTOR_FIELD_NUMBER: _ClassVar[int]
    selector: str
    def __init__(self, selector: _Optional[str] = ...) -> None: ...

class LibcHosts(_message.Message):
    __slots__ = ("arch", "family", "version", "hosts", "examples")
    ARCH_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    arch: str
    family: str
    version: str
    hosts: int
    examples: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, arch: _Optional[str] = ..., family: _Optional[str] = ..., version: _Optional[str] = ..., hosts: _Optional[int] = ..., examples: _Optional[_Iterable[str]] = ...) -> None: ...

class GetLibcHostsResponse(_message.Message):
    __slots__ = ("libcs", "unreadable_hosts", "unknown_keys")
    LIBCS_FIELD_NUMBER: _ClassVar[int]
    UNREADABLE_HOSTS_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_KEYS_FIELD_NUMBER: _ClassVar[int]
    libcs: _containers.RepeatedCompositeFieldContainer[LibcHosts]
    unreadable_hosts: int
    unknown_keys: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, libcs: _Optional[_Iterable[_Union[LibcHosts, _Mapping]]] = ..., unreadable_hosts: _Optional[int] = ..., unknown_keys: _Optional[_Iterable[str]] = ...) -> None: ...

class GetMatrixRequest(_message.Message):
    __slots__ = ("implementation", "provider", "arch", "selector")
    IMPLEMENTATION_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    ARCH_FIELD_NUMBER: _ClassVar[int]
    SELECTOR_FIELD_NUMBER: _ClassVar[int]
    implementation: str
    provider: str
    arch: str
    selector: str
    def __init__(self, implementation: _Optional[str] = ..., provider: _Optional[str] = ..., arch: _Optional[str] = ..., selector: _Optional[str] = ...) -> None: ...

class MatrixBuild(_message.Message):
    __slots__ = ("digest", "implementation", "version", "provider", "provider_build", "arch", "flags", "hosts", "glibc")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    IMPLEMENTATION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_BUILD_FIELD_NUMBER: _ClassVar[int]
    ARCH_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    GLIBC_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    implementation: str
    version: str
    provider: str
    provider_build: str
    arch: str
    flags: _containers.RepeatedScalarFieldContainer[str]
    hosts: int
    glibc: str
    def __init__(self, digest: _Optional[bytes] = ..., implementation: _Optional[str] = ..., version: _Optional[str] = ..., provider: _Optional[str] = ..., provider_build: _Optional[str] = ..., arch: _Optional[str] = ..., flags: _Optional[_Iterable[str]] = ..., hosts: _Optional[int] = ..., glibc: _Optional[str] = ...) -> None: ...

class MatrixCell(_message.Message):
    __slots__ = ("build", "platform", "verdict", "reasons", "degraded")
    BUILD_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    build: int
    platform: int
    verdict: str
    reasons: _containers.RepeatedScalarFieldContainer[int]
    degraded: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, build: _Optional[int] = ..., platform: _Optional[int] = ..., verdict: _Optional[str] = ..., reasons: _Optional[_Iterable[int]] = ..., degraded: _Optional[_Iterable[int]] = ...) -> None: ...

class GetMatrixResponse(_message.Message):
    __slots__ = ("builds", "platforms", "reasons", "cells", "unreadable_hosts", "unknown_keys")
    BUILDS_FIELD_NUMBER: _ClassVar[int]
    PLATFORMS_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    CELLS_FIELD_NUMBER: _ClassVar[int]
    UNREADABLE_HOSTS_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_KEYS_FIELD_NUMBER: _ClassVar[int]
    builds: _containers.RepeatedCompositeFieldContainer[MatrixBuild]
    platforms: _containers.RepeatedCompositeFieldContainer[PlatformHosts]
    reasons: _containers.RepeatedCompositeFieldContainer[PortabilityReason]
    cells: _containers.RepeatedCompositeFieldContainer[MatrixCell]
    unreadable_hosts: int
    unknown_keys: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, builds: _Optional[_Iterable[_Union[MatrixBuild, _Mapping]]] = ..., platforms: _Optional[_Iterable[_Union[PlatformHosts, _Mapping]]] = ..., reasons: _Optional[_Iterable[_Union[PortabilityReason, _Mapping]]] = ..., cells: _Optional[_Iterable[_Union[MatrixCell, _Mapping]]] = ..., unreadable_hosts: _Optional[int] = ..., unknown_keys: _Optional[_Iterable[str]] = ...) -> None: ...

class GetPostureRequest(_message.Message):
    __slots__ = ("host", "advisory", "provider", "component", "limit", "day", "selector")
    HOST_FIELD_NUMBER: _ClassVar[int]
    ADVISORY_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    DAY_FIELD_NUMBER: _ClassVar[int]
    SELECTOR_FIELD_NUMBER: _ClassVar[int]
    host: str
    advisory: str
    provider: str
    component: str
    limit: int
    day: str
    selector: str
    def __init__(self, host: _Optional[str] = ..., advisory: _Optional[str] = ..., provider: _Optional[str] = ..., component: _Optional[str] = ..., limit: _Optional[int] = ..., day: _Optional[str] = ..., selector: _Optional[str] = ...) -> None: ...

class FindingCount(_message.Message):
    __slots__ = ("component", "severity", "status", "findings", "hosts", "accepted")
    COMPONENT_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    component: str
    severity: str
    status: str
    findings: int
    hosts: int
    accepted: int
    def __init__(self, component: _Optional[str] = ..., severity: _Optional[str] = ..., status: _Optional[str] = ..., findings: _Optional[int] = ..., hosts: _Optional[int] = ..., accepted: _Optional[int] = ...) -> None: ...

class ProviderCount(_message.Message):
    __slots__ = ("provider", "status", "findings", "hosts", "accepted")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    provider: str
    status: str
    findings: int
    hosts: int
    accepted: int
    def __init__(self, provider: _Optional[str] = ..., status: _Optional[str] = ..., findings: _Optional[int] = ..., hosts: _Optional[int] = ..., accepted: _Optional[int] = ...) -> None: ...

class AdvisoryPosture(_message.Message):
    __slots__ = ("advisory", "component", "severity", "published", "affected", "affected_hosts", "under_investigation", "under_investigation_hosts", "fixed_hosts", "not_affected_hosts", "exposed_hosts", "accepted", "accepted_until")
    ADVISORY_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_FIELD_NUMBER: _ClassVar[int]
    AFFECTED_FIELD_NUMBER: _ClassVar[int]
    AFFECTED_HOSTS_FIELD_NUMBER: _ClassVar[int]
    UNDER_INVESTIGATION_FIELD_NUMBER: _ClassVar[int]
    UNDER_INVESTIGATION_HOSTS_FIELD_NUMBER: _ClassVar[int]
    FIXED_HOSTS_FIELD_NUMBER: _ClassVar[int]
    NOT_AFFECTED_HOSTS_FIELD_NUMBER: _ClassVar[int]
    EXPOSED_HOSTS_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_UNTIL_FIELD_NUMBER: _ClassVar[int]
    advisory: str
    component: str
    severity: str
    published: str
    affected: int
    affected_hosts: int
    under_investigation: int
    under_investigation_hosts: int
    fixed_hosts: int
    not_affected_hosts: int
    exposed_hosts: int
    accepted: int
    accepted_until: str
    def __init__(self, advisory: _Optional[str] = ..., component: _Optional[str] = ..., severity: _Optional[str] = ..., published: _Optional[str] = ..., affected: _Optional[int] = ..., affected_hosts: _Optional[int] = ..., under_investigation: _Optional[int] = ..., under_investigation_hosts: _Optional[int] = ..., fixed_hosts: _Optional[int] = ..., not_affected_hosts: _Optional[int] = ..., exposed_hosts: _Optional[int] = ..., accepted: _Optional[int] = ..., accepted_until: _Optional[str] = ...) -> None: ...

class RemedyCount(_message.Message):
    __slots__ = ("remedy", "findings", "hosts", "examples")
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    remedy: str
    findings: int
    hosts: int
    examples: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, remedy: _Optional[str] = ..., findings: _Optional[int] = ..., hosts: _Optional[int] = ..., examples: _Optional[_Iterable[str]] = ...) -> None: ...

class SeverityCount(_message.Message):
    __slots__ = ("severity", "findings")
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    severity: str
    findings: int
    def __init__(self, severity: _Optional[str] = ..., findings: _Optional[int] = ...) -> None: ...

class StaleCount(_message.Message):
    __slots__ = ("kind", "provider", "stale", "stale_hosts", "unknown", "unknown_hosts", "current")
    KIND_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    STALE_HOSTS_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_HOSTS_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    kind: str
    provider: str
    stale: int
    stale_hosts: int
    unknown: int
    unknown_hosts: int
    current: int
    def __init__(self, kind: _Optional[str] = ..., provider: _Optional[str] = ..., stale: _Optional[int] = ..., stale_hosts: _Optional[int] = ..., unknown: _Optional[int] = ..., unknown_hosts: _Optional[int] = ..., current: _Optional[int] = ...) -> None: ...

class HostPosture(_message.Message):
    __slots__ = ("host_id", "name", "affected", "under_investigation", "exposed", "accepted")
    HOST_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    AFFECTED_FIELD_NUMBER: _ClassVar[int]
    UNDER_INVESTIGATION_FIELD_NUMBER: _ClassVar[int]
    EXPOSED_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    host_id: str
    name: str
    affected: _containers.RepeatedCompositeFieldContainer[SeverityCount]
    under_investigation: int
    exposed: int
    accepted: int
    def __init__(self, host_id: _Optional[str] = ..., name: _Optional[str] = ..., affected: _Optional[_Iterable[_Union[SeverityCount, _Mapping]]] = ..., under_investigation: _Optional[int] = ..., exposed: _Optional[int] = ..., accepted: _Optional[int] = ...) -> None: ...

class AcceptedRisk(_message.Message):
    __slots__ = ("statement", "document", "author", "advisories", "status", "justification", "reason", "scopes", "since", "expires", "state", "findings", "hosts", "note")
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    ADVISORIES_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    JUSTIFICATION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    statement: str
    document: str
    author: str
    advisories: _containers.RepeatedScalarFieldContainer[str]
    status: str
    justification: str
    reason: str
    scopes: _containers.RepeatedScalarFieldContainer[str]
    since: str
    expires: str
    state: str
    findings: int
    hosts: int
    note: str
    def __init__(self, statement: _Optional[str] = ..., document: _Optional[str] = ..., author: _Optional[str] = ..., advisories: _Optional[_Iterable[str]] = ..., status: _Optional[str] = ..., justification: _Optional[str] = ..., reason: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ..., since: _Optional[str] = ..., expires: _Optional[str] = ..., state: _Optional[str] = ..., findings: _Optional[int] = ..., hosts: _Optional[int] = ..., note: _Optional[str] = ...) -> None: ...

class AffectedCount(_message.Message):
    __slots__ = ("component", "severity", "provider", "linkage", "upgrade", "findings", "hosts", "accepted")
    COMPONENT_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    LINKAGE_FIELD_NUMBER: _ClassVar[int]
    UPGRADE_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    component: str
    severity: str
    provider: str
    linkage: str
    upgrade: str
    findings: int
    hosts: int
    accepted: int
    def __init__(self, component: _Optional[str] = ..., severity: _Optional[str] = ..., provider: _Optional[str] = ..., linkage: _Optional[str] = ..., upgrade: _Optional[str] = ..., findings: _Optional[int] = ..., hosts: _Optional[int] = ..., accepted: _Optional[int] = ...) -> None: ...

class SupportCount(_message.Message):
    __slots__ = ("component", "branch", "state", "until", "distribution", "places", "hosts")
    COMPONENT_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    DISTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    PLACES_FIELD_NUMBER: _ClassVar[int]
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    component: str
    branch: str
    state: str
    until: str
    distribution: str
    places: int
    hosts: int
    def __init__(self, component: _Optional[str] = ..., branch: _Optional[str] = ..., state: _Optional[str] = ..., until: _Optional[str] = ..., distribution: _Optional[str] = ..., places: _Optional[int] = ..., hosts: _Optional[int] = ...) -> None: ...

class InstallCount(_message.Message):
    __slots__ = ("implementation", "version", "provider", "provider_build", "linkage", "crypto_family", "crypto_version", "installs", "hosts")
    IMPLEMENTATION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_BUILD_FIELD_NUMBER: _ClassVar[int]
    LINKAGE_FIELD_NUMBER: _ClassVar[int]
    CRYPTO_FAMILY_FIELD_NUMBER: _ClassVar[int]
    CRYPTO_VERSION_FIELD_NUMBER: _ClassVar[int]
    INSTALLS_FIELD_NUMBER: _ClassVar[int]
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    implementation: str
    version: str
    provider: str
    provider_build: str
    linkage: str
    crypto_family: str
    crypto_version: str
    installs: int
    hosts: int
    def __init__(self, implementation: _Optional[str] = ..., version: _Optional[str] = ..., provider: _Optional[str] = ..., provider_build: _Optional[str] = ..., linkage: _Optional[str] = ..., crypto_family: _Optional[str] = ..., crypto_version: _Optional[str] = ..., installs: _Optional[int] = ..., hosts: _Optional[int] = ...) -> None: ...

class GetPostureResponse(_message.Message):
    __slots__ = ("hosts", "affected_hosts", "under_investigation_hosts", "unreadable_hosts", "counts", "providers", "advisories", "remedies", "remedies_total", "worst_hosts", "open_hosts", "day", "advisories_day", "exposed_hosts", "staleness", "accepted", "accepted_hosts", "accepted_risks", "unknown_keys", "affected", "support", "installs", "ended_places", "ended_hosts")
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    AFFECTED_HOSTS_FIELD_NUMBER: _ClassVar[int]
    UNDER_INVESTIGATION_HOSTS_FIELD_NUMBER: _ClassVar[int]
    UNREADABLE_HOSTS_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    ADVISORIES_FIELD_NUMBER: _ClassVar[int]
    REMEDIES_FIELD_NUMBER: _ClassVar[int]
    REMEDIES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    WORST_HOSTS_FIELD_NUMBER: _ClassVar[int]
    OPEN_HOSTS_FIELD_NUMBER: _ClassVar[int]
    DAY_FIELD_NUMBER: _ClassVar[int]
    ADVISORIES_DAY_FIELD_NUMBER: _ClassVar[int]
    EXPOSED_HOSTS_FIELD_NUMBER: _ClassVar[int]
    STALENESS_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_HOSTS_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_RISKS_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_KEYS_FIELD_NUMBER: _ClassVar[int]
    AFFECTED_FIELD_NUMBER: _ClassVar[int]
    SUPPORT_FIELD_NUMBER: _ClassVar[int]
    INSTALLS_FIELD_NUMBER: _ClassVar[int]
    ENDED_PLACES_FIELD_NUMBER: _ClassVar[int]
    ENDED_HOSTS_FIELD_NUMBER: _ClassVar[int]
    hosts: int
    affected_hosts: int
    under_investigation_hosts: int
    unreadable_hosts: int
    counts: _containers.RepeatedCompositeFieldContainer[FindingCount]
    providers: _containers.RepeatedCompositeFieldContainer[ProviderCount]
    advisories: _containers.RepeatedCompositeFieldContainer[AdvisoryPosture]
    remedies: _containers.RepeatedCompositeFieldContainer[RemedyCount]
    remedies_total: int
    worst_hosts: _containers.RepeatedCompositeFieldContainer[HostPosture]
    open_hosts: int
    day: str
    advisories_day: str
    exposed_hosts: int
    staleness: _containers.RepeatedCompositeFieldContainer[StaleCount]
    accepted: int
    accepted_hosts: int
    accepted_risks: _containers.RepeatedCompositeFieldContainer[AcceptedRisk]
    unknown_keys: _containers.RepeatedScalarFieldContainer[str]
    affected: _containers.RepeatedCompositeFieldContainer[AffectedCount]
    support: _containers.RepeatedCompositeFieldContainer[SupportCount]
    installs: _containers.RepeatedCompositeFieldContainer[InstallCount]
    ended_places: int
    ended_hosts: int
    def __init__(self, hosts: _Optional[int] = ..., affected_hosts: _Optional[int] = ..., under_investigation_hosts: _Optional[int] = ..., unreadable_hosts: _Optional[int] = ..., counts: _Optional[_Iterable[_Union[FindingCount, _Mapping]]] = ..., providers: _Optional[_Iterable[_Union[ProviderCount, _Mapping]]] = ..., advisories: _Optional[_Iterable[_Union[AdvisoryPosture, _Mapping]]] = ..., remedies: _Optional[_Iterable[_Union[RemedyCount, _Mapping]]] = ..., remedies_total: _Optional[int] = ..., worst_hosts: _Optional[_Iterable[_Union[HostPosture, _Mapping]]] = ..., open_hosts: _Optional[int] = ..., day: _Optional[str] = ..., advisories_day: _Optional[str] = ..., exposed_hosts: _Optional[int] = ..., staleness: _Optional[_Iterable[_Union[StaleCount, _Mapping]]] = ..., accepted: _Optional[int] = ..., accepted_hosts: _Optional[int] = ..., accepted_risks: _Optional[_Iterable[_Union[AcceptedRisk, _Mapping]]] = ..., unknown_keys: _Optional[_Iterable[str]] = ..., affected: _Optional[_Iterable[_Union[AffectedCount, _Mapping]]] = ..., support: _Optional[_Iterable[_Union[SupportCount, _Mapping]]] = ..., installs: _Optional[_Iterable[_Union[InstallCount, _Mapping]]] = ..., ended_places: _Optional[int] = ..., ended_hosts: _Optional[int] = ...) -> None: ...

class GetProvidersRequest(_message.Message):
    __slots__ = ("provider", "component", "since", "day", "selector")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    DAY_FIELD_NUMBER: _ClassVar[int]
    SELECTOR_FIELD_NUMBER: _ClassVar[int]
    provider: str
    component: str
    since: str
    day: str
    selector: str
    def __init__(self, provider: _Optional[str] = ..., component: _Optional[str] = ..., since: _Optional[str] = ..., day: _Optional[str] = ..., selector: _Optional[str] = ...) -> None: ...

class PatchedShare(_message.Message):
    __slots__ = ("days", "patched", "total")
    DAYS_FIELD_NUMBER: _ClassVar[int]
    PATCHED_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    days: int
    patched: int
    total: int
    def __init__(self, days: _Optional[int] = ..., patched: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...

class ProviderPatching(_message.Message):
    __slots__ = ("provider", "component", "severity", "measured", "seconds", "median_days", "p90_days", "within", "unmeasured", "undated", "removed", "open", "unfixed", "oldest_open")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    MEASURED_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    MEDIAN_DAYS_FIELD_NUMBER: _ClassVar[int]
    P90_DAYS_FIELD_NUMBER: _ClassVar[int]
    WITHIN_FIELD_NUMBER: _ClassVar[int]
    UNMEASURED_FIELD_NUMBER: _ClassVar[int]
    UNDATED_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    UNFIXED_FIELD_NUMBER: _ClassVar[int]
    OLDEST_OPEN_FIELD_NUMBER: _ClassVar[int]
    provider: str
    component: str
    severity: str
    measured: int
    seconds: float
    median_days: int
    p90_days: int
    within: _containers.RepeatedCompositeFieldContainer[PatchedShare]
    unmeasured: int
    undated: int
    removed: int
    open: int
    unfixed: int
    oldest_open: str
    def __init__(self, provider: _Optional[str] = ..., component: _Optional[str] = ..., severity: _Optional[str] = ..., measured: _Optional[int] = ..., seconds: _Optional[float] = ..., median_days: _Optional[int] = ..., p90_days: _Optional[int] = ..., within: _Optional[_Iterable[_Union[PatchedShare, _Mapping]]] = ..., unmeasured: _Optional[int] = ..., undated: _Optional[int] = ..., removed: _Optional[int] = ..., open: _Optional[int] = ..., unfixed: _Optional[int] = ..., oldest_open: _Optional[str] = ...) -> None: ...

class ChannelLag(_message.Message):
    __slots__ = ("channel", "component", "fixes", "median_days", "p90_days", "longest_days")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_FIELD_NUMBER: _ClassVar[int]
    FIXES_FIELD_NUMBER: _ClassVar[int]
    MEDIAN_DAYS_FIELD_NUMBER: _ClassVar[int]
    P90_DAYS_FIELD_NUMBER: _ClassVar[int]
    LONGEST_DAYS_FIELD_NUMBER: _ClassVar[int]
    channel: str
    component: str
    fixes: int
    median_days: int
    p90_days: int
    longest_days: int
    def __init__(self, channel: _Optional[str] = ..., component: _Optional[str] = ..., fixes: _Optional[int] = ..., median_days: _Optional[int] = ..., p90_days: _Optional[int] = ..., longest_days: _Optional[int] = ...) -> None: ...

class BuildSpeed(_message.Message):
    __slots__ = ("machine", "workload", "build", "implementation", "version", "provider", "baseline_provider", "baseline_version", "ratio", "lower", "upper", "measured_at")
    MACHINE_FIELD_NUMBER: _ClassVar[int]
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    BUILD_FIELD_NUMBER: _ClassVar[int]
    IMPLEMENTATION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    BASELINE_PROVIDER_FIELD_NUMBER: _ClassVar[int]
    BASELINE_VERSION_FIELD_NUMBER: _ClassVar[int]
    RATIO_FIELD_NUMBER: _ClassVar[int]
    LOWER_FIELD_NUMBER: _ClassVar[int]
    UPPER_FIELD_NUMBER: _ClassVar[int]
    MEASURED_AT_FIELD_NUMBER: _ClassVar[int]
    machine: str
    workload: str
    build: str
    implementation: str
    version: str
    provider: str
    baseline_provider: str
    baseline_version: str
    ratio: float
    lower: float
    upper: float
    measured_at: str
    def __init__(self, machine: _Optional[str] = ..., workload: _Optional[str] = ..., build: _Optional[str] = ..., implementation: _Optional[str] = ..., version: _Optional[str] = ..., provider: _Optional[str] = ..., baseline_provider: _Optional[str] = ..., baseline_version: _Optional[str] = ..., ratio: _Optional[float] = ..., lower: _Optional[float] = ..., upper: _Optional[float] = ..., measured_at: _Optional[str] = ...) -> None: ...

class GetProvidersResponse(_message.Message):
    __slots__ = ("patching", "lags", "hosts", "watched_since", "day", "advisories_day", "unknown_keys", "speeds")
    PATCHING_FIELD_NUMBER: _ClassVar[int]
    LAGS_FIELD_NUMBER: _ClassVar[int]
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    WATCHED_SINCE_FIELD_NUMBER: _ClassVar[int]
    DAY_FIELD_NUMBER: _ClassVar[int]
    ADVISORIES_DAY_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_KEYS_FIELD_NUMBER: _ClassVar[int]
    SPEEDS_FIELD_NUMBER: _ClassVar[int]
    patching: _containers.RepeatedCompositeFieldContainer[ProviderPatching]
    lags: _containers.RepeatedCompositeFieldContainer[ChannelLag]
    hosts: int
    watched_since: str
    day: str
    advisories_day: str
    unknown_keys: _containers.RepeatedScalarFieldContainer[str]
    speeds: _containers.RepeatedCompositeFieldContainer[BuildSpeed]
    def __init__(self, patching: _Optional[_Iterable[_Union[ProviderPatching, _Mapping]]] = ..., lags: _Optional[_Iterable[_Union[ChannelLag, _Mapping]]] = ..., hosts: _Optional[int] = ..., watched_since: _Optional[str] = ..., day: _Optional[str] = ..., advisories_day: _Optional[str] = ..., unknown_keys: _Optional[_Iterable[str]] = ..., speeds: _Optional[_Iterable[_Union[BuildSpeed, _Mapping]]] = ...) -> None: ...

class SetLabelsRequest(_message.Message):
    __slots__ = ("host", "set", "remove")
    HOST_FIELD_NUMBER: _ClassVar[int]
    SET_FIELD_NUMBER: _ClassVar[int]
    REMOVE_FIELD_NUMBER: _ClassVar[int]
    host: str
    set: _containers.RepeatedCompositeFieldContainer[HostLabel]
    remove: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, host: _Optional[str] = ..., set: _Optional[_Iterable[_Union[HostLabel, _Mapping]]] = ..., remove: _Optional[_Iterable[str]] = ...) -> None: ...

class SetLabelsResponse(_message.Message):
    __slots__ = ("host_id", "name", "labels")
    HOST_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    host_id: str
    name: str
    labels: _containers.RepeatedCompositeFieldContainer[HostLabel]
    def __init__(self, host_id: _Optional[str] = ..., name: _Optional[str] = ..., labels: _Optional[_Iterable[_Union[HostLabel, _Mapping]]] = ...) -> None: ...
