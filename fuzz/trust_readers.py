"""Targets that read what strangers send to enroll or renew: tokens, challenges, requests and certificates."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests.collector.pki.made import new_key, signing_request

from libcensus.collector.pki.authority import Authority
from libcensus.collector.pki.challenge import check_challenge, make_challenge
from libcensus.collector.pki.enrollment import requested_key
from libcensus.collector.pki.errors import PkiError
from libcensus.collector.pki.identity import Identity, InvalidIdentityError, Role, parse_identity
from libcensus.collector.pki.tokens import parse_token

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
_KEY = bytes(32)
_HOST = Identity("census.test", Role.AGENT, "a" * 32)

ALLOWED: tuple[type[Exception], ...] = (PkiError, InvalidIdentityError)


@cache
def _authority() -> Authority:
    with tempfile.TemporaryDirectory() as folder:
        return Authority.init(Path(folder) / "pki", _HOST.trust_domain, _NOON)


@cache
def _chain() -> tuple[bytes, ...]:
    return _authority().issue(new_key().public_key(), _HOST, timedelta(days=7), _NOON).chain


def _verify(data: bytes) -> None:
    authority = _authority()
    for chain in ([data, *_chain()[1:]], [_chain()[0], data], [data]):
        try:
            authority.verify(chain, _NOON, timedelta(0))
        except PkiError:
            continue


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


TRUST_READERS: Mapping[str, tuple[Callable[[bytes], object], Callable[[], tuple[bytes, ...]]]] = {
    "token": (lambda data: parse_token(_text(data)), lambda: (b"lct1-aaaaaaaa-" + b"b" * 52,)),
    "identity": (lambda data: parse_identity(_text(data)), lambda: (_HOST.uri.encode(),)),
    "challenge": (
        lambda data: check_challenge(_KEY, data, _NOON),
        lambda: (make_challenge(_KEY, _NOON),),
    ),
    "signing-request": (requested_key, lambda: (signing_request(new_key()),)),
    "certificate": (_verify, _chain),
}
"""What runs, and what gives first inputs, by the name of the target."""
