"""Small, valid facts for tests of the store: enough to tell apart, nothing that only a scanner would find.

``mark`` goes into the facts' own content, so that two tests, or two examples of one property, share no address.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from libcensus.collector.store.contract import FactRecord, ReceivedReport
from libcensus.facts.codec import encode_fact
from libcensus.facts.crypto import CryptoLibrary, CryptoUse
from libcensus.facts.evidence import Evidence
from libcensus.facts.host import Host, Inventory, Libc, OsRelease
from libcensus.facts.interpreter import Build, BuildFile, Install, InstallSet
from libcensus.facts.package import Package
from libcensus.facts.platform import Platform, PlatformLibrary
from libcensus.facts.report import ProbeResult, Report, SkipCount
from libcensus.facts.requirement import LibraryNeed, Requirement
from libcensus.facts.vocabulary import (
    CryptoFamily,
    EvidenceKind,
    FileRole,
    Implementation,
    Installer,
    InstallKind,
    LibcFamily,
    Linkage,
    PackageOrigin,
    ProbeState,
    Provider,
)

if TYPE_CHECKING:
    from libcensus.facts.codec import Fact

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

SYSTEM_OPENSSL = CryptoUse(
    linkage=Linkage.SYSTEM,
    path="/usr/lib/x86_64-linux-gnu/libcrypto.so.3",
    library=CryptoLibrary(
        CryptoFamily.OPENSSL,
        "3.0.15",
        Package(
            manager="dpkg",
            name="libssl3",
            version="3.0.15-1~deb12u1",
            source="openssl",
            source_version="3.0.15-1~deb12u1",
            arch="amd64",
            origin=PackageOrigin.DISTRIBUTION,
            vendor="Debian",
        ),
    ),
    needed="libssl.so.3",
)
STATIC_OPENSSL = CryptoUse(Linkage.STATIC, "/opt/python/bin/python3.12", CryptoLibrary(CryptoFamily.OPENSSL, "3.0.14"))
UNRESOLVED = CryptoUse(Linkage.UNRESOLVED, needed="libssl.so.1.1")


def record(fact: Fact) -> FactRecord:
    """Return a fact as it arrives."""
    return FactRecord(*encode_fact(fact))


def address(fact: Fact) -> str:
    """Return a fact's digest."""
    return encode_fact(fact)[1]


def build(mark: str, version: str = "3.12.4", *, provider: Provider = Provider.PBS, glibc: str = "2.17") -> Build:
    """Return a build that needs a glibc."""
    need = Requirement(arch="x86_64", needs=(LibraryNeed("libc.so.6", (f"GLIBC_{glibc}",)),), sonames=("libc.so.6",))
    return Build(
        implementation=Implementation.CPYTHON,
        version=version,
        arch="x86_64",
        provider=provider,
        provider_build=mark,
        flags=("lto", "pgo"),
        files=(BuildFile("bin/python3.12", FileRole.EXECUTABLE, "ab" * 32, 30_000_000, requirement=need),),
        evidence=(Evidence("version", EvidenceKind.STRING, "bin/python3.12", version, 4096),),
    )


def platform(mark: str) -> Platform:
    """Return what a glibc host offers."""
    return Platform(
        arch="x86_64",
        x86_64_level=3,
        kernel="6.1",
        libc_family=LibcFamily.GLIBC,
        libc_version="2.36",
        loaders=("/lib64/ld-linux-x86-64.so.2",),
        libraries=(PlatformLibrary("libc.so.6", ("GLIBC_2.17", "GLIBC_2.36")), PlatformLibrary(f"libz-{mark}.so")),
    )


def install(
    path: str,
    of: Build | None,
    crypto: CryptoUse = STATIC_OPENSSL,
    *,
    root: str = "/",
    kind: InstallKind = InstallKind.BASE,
    installer: Installer = Installer.UV,
) -> Install:
    """Return an install of a build."""
    return Install(
        root=root,
        path=path,
        realpath=path,
        kind=kind,
        implementation=Implementation.CPYTHON,
        installer=installer,
        build=None if of is None else address(of),
        crypto=crypto,
    )


@dataclass(frozen=True)
class Census:
    """Everything that one scan says: the facts, and the inventory over them."""

    hostname: str
    platform: Platform
    builds: tuple[Build, ...]
    installs: InstallSet
    listed: tuple[Build, ...] | None = field(default=None, kw_only=True)

    @classmethod
    def of(cls, hostname: str, mark: str, *installs: tuple[str, Build | None]) -> Census:
        """Return the census of a host with installs at these paths, each with the static OpenSSL."""
        return cls.with_installs(
            hostname,
            mark,
            tuple(install(path, of) for path, of in installs),
            tuple(of for _, of in installs if of is not None),
        )

    @classmethod
    def with_installs(
        cls, hostname: str, mark: str, installs: tuple[Install, ...], builds: tuple[Build, ...]
    ) -> Census:
        """Return the census of a host with these installs."""
        ordered = tuple(sorted(installs, key=lambda one: (one.root, one.path)))
        return cls(hostname, platform(mark), builds, InstallSet(ordered))

    @property
    def inventory(self) -> Inventory:
        """The inventory over the facts."""
        listed = self.builds if self.listed is None else self.listed
        return Inventory(
            host=Host(
                hostname=self.hostname,
                os_release=OsRelease(id="debian", version_id="12", pretty_name="Debian GNU/Linux 12", id_like=("x",)),
                arch="x86_64",
                x86_64_level=3,
                kernel="6.1.0-28-amd64",
                libc=Libc(LibcFamily.GLIBC, "2.36", "/lib/x86_64-linux-gnu/libc.so.6"),
            ),
            platform=address(self.platform),
            installs=address(self.installs),
            builds=tuple(sorted({address(one) for one in listed})),
        )

    @property
    def address(self) -> str:
        """The inventory's digest."""
        return address(self.inventory)

    @property
    def records(self) -> list[FactRecord]:
        """Every fact, the inventory first as an agent sends them."""
        return [record(self.inventory), record(self.platform), record(self.installs), *map(record, self.builds)]


PROBES = (
    ProbeResult("crypto", ProbeState.OK, 0.25, skips=(SkipCount("unreadable", 3, ("/root/x: Permission denied",)),)),
    ProbeResult("processes", ProbeState.SKIPPED, 0.0, "CAP_SYS_PTRACE is missing: größer"),
)


def received(host_id: str, inventory: str, at: datetime, *, scanned: datetime | None = None) -> ReceivedReport:
    """Return a report that came at a moment, scanned then unless told otherwise; each has an id of its own."""
    return ReceivedReport(
        host_id=host_id,
        report=Report(
            report_id=uuid.uuid4().bytes,
            agent_version="0.1.0",
            scanned_at=at if scanned is None else scanned,
            scan_seconds=1.625,
            inventory=inventory,
            probes=PROBES,
        ),
        received_at=at,
    )
