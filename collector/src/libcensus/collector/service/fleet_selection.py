"""Which hosts a request is about: those that its selector of labels chooses, by the labels that they have now."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from libcensus.collector.posture.selector import InvalidLabelError, Selector
from libcensus.collector.service.errors import InvalidFieldError

if TYPE_CHECKING:
    from libcensus.collector.postureindex import JudgedFleet


def selector_of(text: str) -> Selector:
    """Return the selector of a request; raises InvalidFieldError for what is none."""
    try:
        return Selector.parse(text)
    except InvalidLabelError as error:
        raise InvalidFieldError("selector", str(error)) from None


def chosen_fleet(fleet: JudgedFleet, text: str) -> tuple[JudgedFleet, tuple[str, ...]]:
    """Return a fleet with the hosts that a selector chooses alone, and the keys of it that no host has a label of.

    An empty text chooses every host. Raises InvalidFieldError for what is no selector.
    """
    if not text:
        return fleet, ()
    selector = selector_of(text)
    accepted = fleet.accepted
    hosts = tuple(host for host in fleet.hosts if selector.matches(accepted.labels_of(host.host_id)))
    return replace(fleet, hosts=hosts), selector.unknown_keys(accepted.labels.values())
