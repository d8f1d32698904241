"""Where an export's hosts come from: a collector, asked for some hosts at a time, in the order of their names."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from libcensus.cli.assessed import assessed_from_detail
from libcensus.cli.errors import ArgumentError, CollectorAnswerError
from libcensus.cli.exports.part import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from libcensus.cli.client import FleetClient
    from libcensus.cli.exports.part import HostParts
    from libcensus.collector.posture.finding import VexStatus
    from libcensus.collector.service.fleet_codec import HostDetail, HostSummary

_AHEAD = 4
"""Hosts that are asked for while one is written: memory stays flat however large the fleet is."""


def named_details(client: FleetClient, names: Sequence[str]) -> list[HostDetail]:
    """Return the hosts with these names or ids, each once. Raises ArgumentError for a name that no host has."""
    found = {detail.summary.host_id: detail for detail in map(client.show_host, dict.fromkeys(names))}
    return sorted(found.values(), key=lambda detail: detail.summary.name)


def listed_details(
    client: FleetClient,
    hosts: Iterable[HostSummary],
    left_out: Callable[[str, str], None],
    progress: Callable[[str, int, int | None], None],
) -> Iterator[HostDetail]:
    """Yield the hosts of a list; ``left_out`` is told of one that cannot be read, with the reason.

    A host that was removed since the list was made is no longer of the fleet, and is passed over.
    """
    listed = [(host.host_id, host.name) for host in hosts]
    waiting: deque[tuple[str, Future[HostDetail]]] = deque()
    with ThreadPoolExecutor(max_workers=_AHEAD) as workers:
        try:
            for number in range(len(listed) + _AHEAD):
                if number < len(listed):
                    host_id, name = listed[number]
                    waiting.append((name, workers.submit(client.show_host, host_id)))
                if not waiting or (number < len(listed) and len(waiting) <= _AHEAD):
                    continue
                name, answer = waiting.popleft()
                progress("exported hosts", number - _AHEAD + 1, len(listed))
                try:
                    detail = answer.result()
                except ArgumentError:
                    continue
                except CollectorAnswerError as error:
                    left_out(name, str(error))
                else:
                    yield detail
        finally:
            for _, answer in waiting:
                answer.cancel()


def parts_of_detail(detail: HostDetail, statuses: Collection[VexStatus]) -> HostParts:
    """Return a host as its parts, with the findings that have one of these states."""
    host = parts_of(detail.summary, assessed_from_detail(detail))
    return replace(
        host,
        parts=tuple(
            replace(part, findings=tuple(finding for finding in part.findings if finding.status in statuses))
            for part in host.parts
        ),
    )
