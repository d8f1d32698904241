"""What happens before any handler runs: who calls, whether they may, and what is written down about it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, TypeVar

from libcensus.collector.pki.audit import AuditEvent
from libcensus.collector.pki.identity import Role
from libcensus.collector.service.errors import IdentityError, RoleError
from libcensus.collector.service.peer import address_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc

    from libcensus.collector.pki.audit import AuditLog
    from libcensus.collector.process_metrics import CollectorMetrics
    from libcensus.collector.service.identity import Holder, IdentitySource

_K = TypeVar("_K")
_V = TypeVar("_V")

_PEERS = 16_384
_WRITING = frozenset({"SetLabels"})
"""Methods whose handlers write to the audit log themselves, with what was changed."""

_QUIET_SECONDS = 60.0
"""How long the same refusal of the same one is counted alone, and not written down again: whoever is refused may come
as often as it likes, and the audit log must not grow with that."""

_LOOK_SECONDS = 1.0
"""How long nobody looks again from which address a certificate comes."""


class Gate:
    """Admits calls, or raises; counts what it refused, and writes it and what operators read to the audit log."""

    def __init__(
        self,
        identity: IdentitySource,
        metrics: CollectorMetrics,
        audit: AuditLog | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._identity = identity
        self._metrics = metrics
        self._audit = audit
        self._clock = clock
        self._lock = threading.Lock()
        self._peers: OrderedDict[str, None] = OrderedDict()
        self._callers: OrderedDict[str, float] = OrderedDict()
        self._told: OrderedDict[tuple[str, str], float] = OrderedDict()

    def admit(self, service: str, method: str, context: grpc.ServicerContext) -> None:
        """Let a call pass; raises IdentityError or RoleError."""
        try:
            holder = self._identity.admit(service, context)
        except (IdentityError, RoleError) as error:
            peer = context.peer()
            self._note_connection(peer)
            self._metrics.count_refusal(error.reason)
            address = address_of(peer)
            if self._audit is not None and self._is_news(error.subject or address, error.reason):
                self._audit.record(
                    AuditEvent.CALL_REFUSED,
                    subject=error.subject,
                    peer=address,
                    method=f"{service}/{method}",
                    reason=f"{error.reason}: {error}",
                )
            raise
        self._note_caller(holder, context)
        if (
            self._audit is not None
            and holder is not None
            and holder.identity.role is Role.OPERATOR
            and method not in _WRITING
        ):
            self._audit.record(
                AuditEvent.OPERATOR_READ,
                subject=holder.identity.subject,
                peer=address_of(context.peer()),
                method=f"{service}/{method}",
            )

    def _note_caller(self, holder: Holder | None, context: grpc.ServicerContext) -> None:
        """Count the connection of a caller who was admitted, looking at it once a second at most.

        gRPC gives up the interpreter to tell a connection's address, and under load getting it back costs more than all
        else that is done here. Of several connections that one certificate opens within a second one alone is counted.
        """
        if holder is None:
            self._note_connection(context.peer())
            return
        now = self._clock()
        # Without the lock: of two that ask at once both may look, which is harmless.
        if now - self._callers.get(holder.serial, float("-inf")) < _LOOK_SECONDS:
            return
        with self._lock:
            _remember(self._callers, holder.serial, now)
        self._note_connection(context.peer())

    def _note_connection(self, peer: str) -> None:
        """Count a connection at its first call; one that is older than many thousand others may count again."""
        # Without the lock: of two that ask at once both may count, which happens at a connection's first calls alone.
        if peer in self._peers:
            return
        with self._lock:
            _remember(self._peers, peer, None)
        self._metrics.count_connection()

    def _is_news(self, whom: str, reason: str) -> bool:
        now = self._clock()
        with self._lock:
            before = self._told.get((whom, reason))
            if before is not None and now - before < _QUIET_SECONDS:
                return False
            _remember(self._told, (whom, reason), now)
            return True


def _remember(known: OrderedDict[_K, _V], key: _K, value: _V) -> None:
    """Keep something as the newest of what is known, and let go of the oldest beyond the bound."""
    known[key] = value
    known.move_to_end(key)
    if len(known) > _PEERS:
        known.popitem(last=False)
