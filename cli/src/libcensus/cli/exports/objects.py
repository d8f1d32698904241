"""JSON: every host with its parts and their findings, whole, with the chain of evidence of each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from libcensus.agent.document import package_object
from libcensus.cli.document import finding_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from libcensus.cli.exports.part import HostParts, Part

SCHEMA_VERSION = 1


def json_texts(hosts: Iterable[HostParts], exported: datetime) -> Iterator[str]:
    """Yield the text of one object, piece by piece: one host on each line."""
    yield f'{{"schema_version": {SCHEMA_VERSION}, "exported_at": {json.dumps(moment(exported))}, "hosts": ['
    before = "\n"
    for host in hosts:
        yield before + json.dumps(host_object(host))
        before = ",\n"
    yield "\n]}\n"


def moment(when: datetime) -> str:
    """Return a moment as RFC 3339 writes it."""
    return when.isoformat(timespec="seconds").replace("+00:00", "Z")


def host_object(host: HostParts) -> dict[str, object]:
    """Return one host as JSON has it."""
    return {
        "host_id": host.host_id,
        "name": host.name,
        "last_report": moment(host.last_report),
        "os_id": host.system.id,
        "os_version": host.system.version_id,
        "arch": host.arch,
        "components": [_part_object(part) for part in host.parts],
    }


def _part_object(part: Part) -> dict[str, object]:
    return {
        "subject": {"kind": part.subject.kind.value, "root": part.subject.root, "path": part.subject.path},
        "component": part.component,
        "version": part.version,
        "linkage": None if part.linkage is None else part.linkage.value,
        "provider": part.provider,
        "file": part.file,
        "purl": part.purl,
        "owner_purl": part.owner_purl,
        "package": package_object(part.package),
        "findings": [finding_object(finding) for finding in part.findings],
    }
