"""Which role may call what: one table for every method that the collector offers.

What stands in no row is refused, so that a method that is added later is closed until somebody decides.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from libcensus.collector.pki.identity import Role

if TYPE_CHECKING:
    from collections.abc import Mapping


class Access(enum.Enum):
    """Who may call the methods of a service."""

    AGENTS = frozenset({Role.AGENT})
    OPERATORS = frozenset({Role.OPERATOR})
    ANY_ROLE = frozenset({Role.AGENT, Role.OPERATOR})


SERVICES: Mapping[str, Access] = {
    "libcensus.v1.CensusService": Access.AGENTS,
    "libcensus.v1.FleetService": Access.OPERATORS,
    "grpc.health.v1.Health": Access.ANY_ROLE,
    "grpc.reflection.v1alpha.ServerReflection": Access.OPERATORS,
}


def may_call(role: Role, service: str) -> bool:
    """Tell whether a role may call the methods of a service."""
    access = SERVICES.get(service)
    return access is not None and role in access.value
