"""Domain values to rows and back: the only place that knows both.

A word that a newer collector wrote into a shared database reads as unknown, as it does on the wire.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, TypeVar

from libcensus.collector.store.contract import HostStamp, HostState, InstallInterval
from libcensus.collector.store.tables import moment_of
from libcensus.facts.codec import crypto_library_to_proto, decode_process_set, encode_process_set
from libcensus.facts.crypto import CryptoLibrary, CryptoUse
from libcensus.facts.package import Package
from libcensus.facts.report import AgentState, ProbeResult, Report, SkipCount
from libcensus.facts.vocabulary import (
    CryptoFamily,
    Implementation,
    Installer,
    InstallKind,
    Linkage,
    PackageOrigin,
    ProbeState,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from enum import StrEnum

    from sqlalchemy import Row, RowMapping

    from libcensus.collector.store.contract import ReceivedReport
    from libcensus.facts.host import Inventory
    from libcensus.facts.interpreter import Build, Install
    from libcensus.facts.platform import Platform

Word = TypeVar("Word", bound="StrEnum")


def _word(words: type[Word], text: str) -> Word:
    try:
        return words(text)
    except ValueError:
        return words["UNKNOWN"]


# --- facts that can be asked for by column ------------------------------------------------------------------------


def build_row(digest: str, build: Build) -> dict[str, object]:
    """Return the row of a build."""
    return {
        "digest": digest,
        "implementation": build.implementation.value,
        "version": build.version,
        "provider": build.provider.value,
        "provider_build": build.provider_build,
        "arch": build.arch,
        "flags": json.dumps(build.flags),
        "glibc": build.requirement().glibc,
    }


def platform_row(digest: str, platform: Platform) -> dict[str, object]:
    """Return the row of a platform."""
    return {
        "digest": digest,
        "arch": platform.arch,
        "x86_64_level": platform.x86_64_level,
        "kernel": platform.kernel,
        "libc_family": platform.libc_family.value,
        "libc_version": platform.libc_version,
        "glibc": platform.glibc,
    }


# --- crypto libraries and intervals -------------------------------------------------------------------------------


def crypto_library_digest(library: CryptoLibrary) -> str:
    """Return the address of a crypto library: it has none on the wire, where it stands inside its install."""
    payload = crypto_library_to_proto(library).SerializeToString(deterministic=True)
    return hashlib.sha256(b"crypto_library\0" + payload).hexdigest()


def crypto_library_row(digest: str, library: CryptoLibrary) -> dict[str, object]:
    """Return the row of a crypto library."""
    package = library.package
    return {
        "digest": digest,
        "family": library.family.value,
        "version": library.version,
        "package_manager": package and package.manager,
        "package_name": package and package.name,
        "package_version": package and package.version,
        "package_source": package and package.source,
        "package_source_version": package and package.source_version,
        "package_arch": package and package.arch,
        "package_origin": package and package.origin.value,
        "package_vendor": package and package.vendor,
    }


def crypto_library_of(row: RowMapping) -> CryptoLibrary:
    """Return the crypto library of a row."""
    package = None
    if row["package_name"] is not None:
        package = Package(
            manager=row["package_manager"],
            name=row["package_name"],
            version=row["package_version"],
            source=row["package_source"],
            source_version=row["package_source_version"],
            arch=row["package_arch"],
            origin=_word(PackageOrigin, row["package_origin"]),
            vendor=row["package_vendor"],
        )
    return CryptoLibrary(family=_word(CryptoFamily, row["family"]), version=row["version"], package=package)


INTERVAL_CONTENT = (
    "kind",
    "implementation",
    "installer",
    "build",
    "linkage",
    "crypto_library",
    "crypto_path",
    "crypto_needed",
)
"""The columns of an interval that end it when one of them changes."""


def install_content(install: Install) -> tuple[str | None, ...]:
    """Return the values of :data:`INTERVAL_CONTENT` for an install."""
    use = install.crypto
    return (
        install.kind.value,
        install.implementation.value,
        install.installer.value,
        install.build,
        use.linkage.value,
        None if use.library is None else crypto_library_digest(use.library),
        use.path,
        use.needed,
    )


def interval_of(row: RowMapping) -> InstallInterval:
    """Return the interval of a row of intervals joined with hosts and crypto libraries."""
    linkage = _word(Linkage, row["linkage"])
    library = None
    if row["family"] is not None and linkage is not Linkage.UNKNOWN:
        library = crypto_library_of(row)
    return InstallInterval(
        host_id=row["host_id"],
        root=row["root"],
        path=row["path"],
        kind=_word(InstallKind, row["kind"]),
        implementation=_word(Implementation, row["implementation"]),
        installer=_word(Installer, row["installer"]),
        build=row["build"],
        crypto=CryptoUse(linkage=linkage, path=row["crypto_path"], library=library, needed=row["crypto_needed"]),
        first_seen=row["first_seen"],
        last_seen=row["seen_until"] if row["last_seen"] is None else row["last_seen"],
        gone_at=row["gone_at"],
    )


# --- hosts --------------------------------------------------------------------------------------------------------


_PROBES_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)
"""Made once: each unchanged report of each host comes through it."""


def probes_text(probes: tuple[ProbeResult, ...]) -> str:
    """Return the text that keeps probe results: a JSON list that ``json_each`` and ``jsonb`` can ask."""
    return _PROBES_ENCODER.encode(
        [
            {
                "name": probe.name,
                "state": probe.state,
                "seconds": probe.seconds,
                "reason": probe.reason,
                "skips": [
                    {"reason": skip.reason, "count": skip.count, "examples": skip.examples} for skip in probe.skips
                ],
            }
            for probe in probes
        ]
    )


def probes_of(text: str) -> tuple[ProbeResult, ...]:
    """Return the probe results of a text that :func:`probes_text` made."""
    return tuple(_probe(entry) for entry in json.loads(text))


def _probe(entry: Mapping[str, Any]) -> ProbeResult:
    return ProbeResult(
        name=entry["name"],
        state=_word(ProbeState, entry["state"]),
        seconds=entry["seconds"],
        reason=entry["reason"],
        skips=tuple(SkipCount(skip["reason"], skip["count"], tuple(skip["examples"])) for skip in entry["skips"]),
    )


def report_values(received: ReceivedReport) -> dict[str, object]:
    """Return the columns of a host that every report changes, times of receipt aside."""
    report = received.report
    state = report.agent_state
    return {
        "report_id": report.report_id,
        "agent_version": report.agent_version,
        "scanned_at": report.scanned_at,
        "scan_seconds": report.scan_seconds,
        "probes": probes_text(report.probes),
        "waiting_reports": None if state is None else state.waiting_reports,
        "dropped_reports": None if state is None else state.dropped_reports,
        "dropped_facts": None if state is None else state.dropped_facts,
        "certificate_expires_at": received.certificate_expires_at,
    }


def process_values(report: Report) -> dict[str, object]:
    """Return the columns of a host that tell what runs, for a report that holds it or says that nobody looked."""
    processes = report.processes
    return {
        "processes_digest": report.processes_digest,
        "processes": None if processes is None else encode_process_set(processes),
        "outdated_processes": None if processes is None else processes.outdated,
    }


def host_values(digest: str, inventory: Inventory) -> dict[str, object]:
    """Return the columns of a host that its inventory decides, the display name aside."""
    host = inventory.host
    return {
        "hostname": host.hostname,
        "os_id": host.os_release.id,
        "os_version": host.os_release.version_id,
        "arch": host.arch,
        "kernel": host.kernel,
        "libc_family": host.libc.family.value,
        "libc_version": host.libc.version,
        "inventory": digest,
        "platform": inventory.platform,
        "installs": inventory.installs,
    }


def _agent_state_of(row: Row[Any]) -> AgentState | None:
    if row.waiting_reports is None:
        return None
    return AgentState(row.waiting_reports, row.dropped_reports, row.dropped_facts)


def stamp_of(row: Sequence[Any]) -> HostStamp:
    """Return a host's stamp from its id, name, inventory and last report as a driver gives them."""
    host_id, name, inventory, last_report = row
    return HostStamp(host_id, name, bytes(inventory).hex(), moment_of(last_report))


def host_state_of(row: Row[Any], inventory: Inventory, processes: bytes | None = None) -> HostState:
    """Return the state that a row of hosts tells, with what its inventory tells; ``processes`` are stored bytes.

    Raises InvalidFactError where they are no process set.
    """
    return HostState(
        host_id=row.host_id,
        name=row.name,
        host=inventory.host,
        inventory=row.inventory,
        platform=row.platform,
        installs=row.installs,
        builds=inventory.builds,
        crypto_copies=inventory.crypto_copies,
        tools=inventory.tools,
        roots=inventory.roots,
        changelogs=inventory.changelogs,
        outdated_processes=row.outdated_processes,
        certificate_expires_at=row.certificate_expires_at,
        report=Report(
            report_id=row.report_id,
            agent_version=row.agent_version,
            scanned_at=row.scanned_at,
            scan_seconds=row.scan_seconds,
            inventory=row.inventory,
            probes=probes_of(row.probes),
            processes_digest=row.processes_digest,
            processes=None if processes is None else decode_process_set(processes),
            agent_state=_agent_state_of(row),
        ),
        first_report=row.first_report,
        last_report=row.last_report,
    )
