from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class EnrollRequest(_message.Message):
    __slots__ = ("token", "certificate_signing_request", "machine_id_hash", "hostname")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_SIGNING_REQUEST_FIELD_NUMBER: _ClassVar[int]
    MACHINE_ID_HASH_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    token: str
    certificate_signing_request: bytes
    machine_id_hash: str
    hostname: str
    def __init__(self, token: _Optional[str] = ..., certificate_signing_request: _Optional[bytes] = ..., machine_id_hash: _Optional[str] = ..., hostname: _Optional[str] = ...) -> None: ...

class EnrollResponse(_message.Message):
    __slots__ = ("certificate_chain", "trusted_roots")
    CERTIFICATE_CHAIN_FIELD_NUMBER: _ClassVar[int]
    TRUSTED_ROOTS_FIELD_NUMBER: _ClassVar[int]
    certificate_chain: _containers.RepeatedScalarFieldContainer[bytes]
    trusted_roots: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, certificate_chain: _Optional[_Iterable[bytes]] = ..., trusted_roots: _Optional[_Iterable[bytes]] = ...) -> None: ...

class ChallengeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ChallengeResponse(_message.Message):
    __slots__ = ("challenge",)
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    challenge: bytes
    def __init__(self, challenge: _Optional[bytes] = ...) -> None: ...

class RenewRequest(_message.Message):
    __slots__ = ("certificate_signing_request", "certificate_chain", "challenge", "signature")
    CERTIFICATE_SIGNING_REQUEST_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_CHAIN_FIELD_NUMBER: _ClassVar[int]
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    certificate_signing_request: bytes
    certificate_chain: _containers.RepeatedScalarFieldContainer[bytes]
    challenge: bytes
    signature: bytes
    def __init__(self, certificate_signing_request: _Optional[bytes] = ..., certificate_chain: _Optional[_Iterable[bytes]] = ..., challenge: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class RenewResponse(_message.Message):
    __slots__ = ("certificate_chain", "trusted_roots")
    CERTIFICATE_CHAIN_FIELD_NUMBER: _ClassVar[int]
    TRUSTED_ROOTS_FIELD_NUMBER: _ClassVar[int]
    certificate_chain: _containers.RepeatedScalarFieldContainer[bytes]
    trusted_roots: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, certificate_chain: _Optional[_Iterable[bytes]] = ..., trusted_roots: _Optional[_Iterable[bytes]] = ...) -> None: ...
