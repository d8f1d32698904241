"""The gate counts the connections that admitted callers come by, without asking gRPC about each call."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from libcensus.collector.pki.identity import Identity, Role
from libcensus.collector.process_metrics import CollectorMetrics
from libcensus.collector.service.errors import IdentityError
from libcensus.collector.service.gate import Gate
from libcensus.collector.service.identity import Holder, LoopbackIdentity

SERVICE, METHOD = "libcensus.v1.CensusService", "Report"


class Shown(LoopbackIdentity):
    """An identity source that admits whoever shows a serial number, as one reads it from a certificate."""

    def admit(self, service: str, context: Any) -> Holder:  # noqa: ARG002 - the contract's
        if context.serial is None:
            raise IdentityError("the connection shows no client certificate")
        return Holder(Identity("libcensus", Role.AGENT, "a" * 32), context.serial, datetime(2027, 1, 1, tzinfo=UTC))


class Call:
    """What the gate looks at of a call."""

    def __init__(self, peer: str, serial: str | None) -> None:
        self.serial = serial
        self.looks = 0
        self._peer = peer

    def peer(self) -> str:
        self.looks += 1
        return self._peer


class Scene:
    """A gate, its clock, and what it counted."""

    def __init__(self) -> None:
        self.now = 100.0
        self.metrics = CollectorMetrics("0", lambda: 0, lambda: 0, 0.0)
        self.gate = Gate(Shown(), self.metrics, None, lambda: self.now)

    def call(self, peer: str, serial: str | None = "1") -> Call:
        call: Any = Call(peer, serial)
        self.gate.admit(SERVICE, METHOD, call)
        return call  # type: ignore[no-any-return]

    @property
    def connections(self) -> float | None:
        return self.metrics.registry.get_sample_value("libcensus_collector_connections_total")


def test_calls_that_follow_each_other_are_not_looked_at_again() -> None:
    scene = Scene()
    assert scene.call("ipv4:192.0.2.1:1000").looks == 1
    assert scene.call("ipv4:192.0.2.1:1000").looks == 0
    assert scene.connections == 1


def test_a_new_connection_counts_when_a_second_has_passed() -> None:
    scene = Scene()
    scene.call("ipv4:192.0.2.1:1000")
    scene.now += 1.0
    scene.call("ipv4:192.0.2.1:1001")
    scene.now += 1.0
    scene.call("ipv4:192.0.2.1:1001")
    assert scene.connections == 2


def test_each_certificate_is_looked_at_for_itself() -> None:
    scene = Scene()
    scene.call("ipv4:192.0.2.1:1000", "1")
    scene.call("ipv4:192.0.2.1:1001", "2")
    assert scene.connections == 2


def test_the_connection_of_who_is_refused_counts_once() -> None:
    scene = Scene()
    for _ in range(3):
        with pytest.raises(IdentityError):
            scene.call("ipv4:192.0.2.1:1000", None)
    assert scene.connections == 1
