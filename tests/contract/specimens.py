"""Small, valid facts for tests of the store: enough to tell apart, nothing that only a scanner would find.

``mark`` goes into the facts' own content, so that two tests, or two examples of one property, share no address.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from libcensus.collector.store.contract import FactRecord, ReceivedReport
from libcensus.facts.changelog import ChangelogFix, PackageChangelog
from libcensus.facts.codec import encode_fact, process_set_digest
from libcensus.facts.crypto import CopyOwner, CryptoCopy, CryptoCopySet, CryptoLibrary, CryptoUse
from libcensus.facts.evidence import Evidence
from libcensus.facts.host import Host, Inventory, Libc, OsRelease
from libcensus.facts.interpreter import Build, BuildFile, Install, InstallSet
from libcensus.facts.package import Package
from libcensus.facts.platform import Platform, PlatformLibrary
from libcensus.facts.process import MappedLibrary, ProcessExample, ProcessGroup, ProcessSet
from libcensus.facts.report import ProbeResult, Report, SkipCount
from libcensus.facts.requirement import LibraryNeed, Requirement
from libcensus.facts.root import RootSet, ScannedRoot
from libcensus.facts.tool import Tool, ToolSet, ToolSetting
from libcensus.facts.vocabulary import (
    ChangelogState,
    CryptoFamily,
    EvidenceKind,
    FileRole,
    Implementation,
    Installer,
    InstallKind,
    LibcFamily,
    Linkage,
    MappingState,
    PackageOrigin,
    ProbeState,
    Provider,
    RootKind,
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
class Extras:
    """What newer agents tell beside installs: crypto copies, tools, other roots, changelogs."""

    copies: CryptoCopySet
    tools: ToolSet
    roots: RootSet
    inner: Platform
    changelog: PackageChangelog

    @classmethod
    def of(cls, mark: str) -> Extras:
        """Return one of each, told apart by their mark."""
        inner = replace(platform(f"inner-{mark}"), kernel=None, libc_version="2.31")
        owner = CopyOwner("pypi", "cryptography", "42.0.0")
        library = CryptoLibrary(CryptoFamily.OPENSSL, "3.2.0")
        path = f"/opt/venv-{mark}/lib/python3.12/site-packages/cryptography/hazmat/bindings/_rust.abi3.so"
        assert SYSTEM_OPENSSL.library is not None
        package = SYSTEM_OPENSSL.library.package
        assert package is not None
        return cls(
            copies=CryptoCopySet((CryptoCopy("/", path, Linkage.STATIC, library, f"/opt/venv-{mark}", owner),)),
            tools=ToolSet(
                (Tool("/", "/usr/local/bin/uv", "uv", "0.9.5", "20260127"),),
                (ToolSetting("/", "/etc/uv/uv.toml", "uv", "python-downloads", mark),),
            ),
            roots=RootSet(
                (
                    ScannedRoot("/", RootKind.HOST, platform=address(platform(mark))),
                    ScannedRoot(f"/srv/{mark}", RootKind.FOLDER, f"/srv/{mark}", platform=address(inner)),
                )
            ),
            inner=inner,
            changelog=PackageChangelog(
                replace(package, version=mark),
                ChangelogState.COMPLETE,
                f"/usr/share/doc/{mark}/changelog.Debian.gz",
                entries=2,
                fixes=(ChangelogFix("CVE-2024-0727", "3.0.13-1~deb12u1", "CVE-2024-0727 (PKCS12)"),),
            ),
        )

    @property
    def facts(self) -> list[Fact]:
        """Every fact that stands behind one address."""
        return [self.copies, self.tools, self.roots, self.inner, self.changelog]


def running(unit: str, *, state: MappingState = MappingState.DELETED) -> ProcessSet:
    """Return what runs on a host: one service that maps a library in this state."""
    library = MappedLibrary("/usr/lib/x86_64-linux-gnu/libcrypto.so.3", state, 2)
    example = ProcessExample(4711, unit)
    return ProcessSet(
        (ProcessGroup("/", "/usr/bin/python3.11", MappingState.CURRENT, 2, libraries=(library,), examples=(example,)),)
    )


@dataclass(frozen=True)
class Census:
    """Everything that one scan says: the facts, and the inventory over them."""

    hostname: str
    platform: Platform
    builds: tuple[Build, ...]
    installs: InstallSet
    listed: tuple[Build, ...] | None = field(default=None, kw_only=True)
    extras: Extras | None = field(default=None, kw_only=True)

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
        extras = self.extras
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
            crypto_copies=None if extras is None else address(extras.copies),
            tools=None if extras is None else address(extras.tools),
            roots=None if extras is None else address(extras.roots),
            changelogs=() if extras is None else (address(extras.changelog),),
        )

    @property
    def address(self) -> str:
        """The inventory's digest."""
        return address(self.inventory)

    @property
    def records(self) -> list[FactRecord]:
        """Every fact, the inventory first as an agent sends them."""
        facts: list[Fact] = [self.inventory, self.platform, self.installs, *self.builds]
        if self.extras is not None:
            facts += self.extras.facts
        return [record(fact) for fact in facts]


PROBES = (
    ProbeResult("crypto", ProbeState.OK, 0.25, skips=(SkipCount("unreadable", 3, ("/root/x: Permission denied",)),)),
    ProbeResult("processes", ProbeState.SKIPPED, 0.0, "CAP_SYS_PTRACE is missing: größer"),
)


def received(
    host_id: str,
    inventory: str,
    at: datetime,
    *,
    scanned: datetime | None = None,
    processes: ProcessSet | None = None,
    named: ProcessSet | None = None,
) -> ReceivedReport:
    """Return a report that came at a moment, scanned then unless told otherwise; each has an id of its own.

    It holds ``processes``, or only names the process set ``named``.
    """
    told = processes if named is None else named
    return ReceivedReport(
        host_id=host_id,
        report=Report(
            report_id=uuid.uuid4().bytes,
            agent_version="0.1.0",
            scanned_at=at if scanned is None else scanned,
            scan_seconds=1.625,
            inventory=inventory,
            probes=PROBES,
            processes_digest=None if told is None else process_set_digest(told),
            processes=processes,
        ),
        received_at=at,
    )
