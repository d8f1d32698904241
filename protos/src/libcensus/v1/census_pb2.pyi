import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from libcensus.v1 import facts_pb2 as _facts_pb2
from libcensus.v1 import vocabulary_pb2 as _vocabulary_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SkipCount(_message.Message):
    __slots__ = ("reason", "count", "examples")
    REASON_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    reason: str
    count: int
    examples: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, reason: _Optional[str] = ..., count: _Optional[int] = ..., examples: _Optional[_Iterable[str]] = ...) -> None: ...

class ProbeResult(_message.Message):
    __slots__ = ("name", "state", "duration", "reason", "skips")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SKIPS_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: _vocabulary_pb2.ProbeState
    duration: _duration_pb2.Duration
    reason: str
    skips: _containers.RepeatedCompositeFieldContainer[SkipCount]
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[_vocabulary_pb2.ProbeState, str]] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., reason: _Optional[str] = ..., skips: _Optional[_Iterable[_Union[SkipCount, _Mapping]]] = ...) -> None: ...

class AgentState(_message.Message):
    __slots__ = ("waiting_reports", "dropped_reports", "dropped_facts")
    WAITING_REPORTS_FIELD_NUMBER: _ClassVar[int]
    DROPPED_REPORTS_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FACTS_FIELD_NUMBER: _ClassVar[int]
    waiting_reports: int
    dropped_reports: int
    dropped_facts: int
    def __init__(self, waiting_reports: _Optional[int] = ..., dropped_reports: _Optional[int] = ..., dropped_facts: _Optional[int] = ...) -> None: ...

class ReportRequest(_message.Message):
    __slots__ = ("report_id", "agent_version", "scanned_at", "scan_duration", "inventory", "probes", "processes_digest", "processes", "agent_state")
    REPORT_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    SCANNED_AT_FIELD_NUMBER: _ClassVar[int]
    SCAN_DURATION_FIELD_NUMBER: _ClassVar[int]
    INVENTORY_FIELD_NUMBER: _ClassVar[int]
    PROBES_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_FIELD_NUMBER: _ClassVar[int]
    AGENT_STATE_FIELD_NUMBER: _ClassVar[int]
    report_id: bytes
    agent_version: str
    scanned_at: _timestamp_pb2.Timestamp
    scan_duration: _duration_pb2.Duration
    inventory: bytes
    probes: _containers.RepeatedCompositeFieldContainer[ProbeResult]
    processes_digest: bytes
    processes: _facts_pb2.ProcessSet
    agent_state: AgentState
    def __init__(self, report_id: _Optional[bytes] = ..., agent_version: _Optional[str] = ..., scanned_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., scan_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., inventory: _Optional[bytes] = ..., probes: _Optional[_Iterable[_Union[ProbeResult, _Mapping]]] = ..., processes_digest: _Optional[bytes] = ..., processes: _Optional[_Union[_facts_pb2.ProcessSet, _Mapping]] = ..., agent_state: _Optional[_Union[AgentState, _Mapping]] = ...) -> None: ...

class ReportResponse(_message.Message):
    __slots__ = ("missing", "next_interval", "collector_version")
    MISSING_FIELD_NUMBER: _ClassVar[int]
    NEXT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    COLLECTOR_VERSION_FIELD_NUMBER: _ClassVar[int]
    missing: _containers.RepeatedScalarFieldContainer[bytes]
    next_interval: _duration_pb2.Duration
    collector_version: str
    def __init__(self, missing: _Optional[_Iterable[bytes]] = ..., next_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., collector_version: _Optional[str] = ...) -> None: ...

class UploadFactsRequest(_message.Message):
    __slots__ = ("kind", "digest", "payload")
    KIND_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    kind: _vocabulary_pb2.FactKind
    digest: bytes
    payload: bytes
    def __init__(self, kind: _Optional[_Union[_vocabulary_pb2.FactKind, str]] = ..., digest: _Optional[bytes] = ..., payload: _Optional[bytes] = ...) -> None: ...

class UploadFactsResponse(_message.Message):
    __slots__ = ("stored", "missing")
    STORED_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    stored: int
    missing: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, stored: _Optional[int] = ..., missing: _Optional[_Iterable[bytes]] = ...) -> None: ...
