"""Small fleets for tests of metrics and commands: real domain values, stored as reports bring them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from libcensus.collector.posture.assessment import Assessor
from libcensus.collector.posture.catalogue import Advisory, AffectedRange, Branch, Catalogue, Release
from libcensus.collector.posture.finding import Component, Severity
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
from libcensus.facts.report import AgentState, ProbeResult, Report, SkipCount
from libcensus.facts.requirement import LibraryNeed, RaisedBy, Requirement
from libcensus.facts.root import Container, RootSet, ScannedRoot
from libcensus.facts.tool import Tool, ToolSet, ToolSetting
from libcensus.facts.vocabulary import (
    ChangelogState,
    CryptoFamily,
    EnvironmentState,
    EvidenceKind,
    FileRole,
    Implementation,
    Installer,
    InstallKind,
    LibcFamily,
    Linkage,
    LoaderKind,
    MappingState,
    PackageOrigin,
    ProbeState,
    Provider,
    RootKind,
)

if TYPE_CHECKING:
    from libcensus.collector.store.contract import Store
    from libcensus.facts.codec import Fact

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TODAY = date(2026, 11, 20)
LOADER = "/lib64/ld-linux-x86-64.so.2"


def catalogue(snapshot_date: date = date(2026, 11, 19)) -> Catalogue:
    """Return what was published, in small: two OpenSSL advisories, three branches."""
    return Catalogue(
        snapshot_date=snapshot_date,
        sources=("test",),
        advisories=(
            Advisory(
                id="CVE-2025-15467",
                component=Component.OPENSSL,
                published=date(2026, 1, 27),
                severity=Severity.HIGH,
                ranges=(AffectedRange("3.5", "3.5.0", "3.5.5"), AffectedRange("3.0", "3.0.0", "3.0.19")),
                source="test",
            ),
            Advisory(
                id="CVE-2026-0001",
                component=Component.OPENSSL,
                published=date(2026, 3, 1),
                severity=Severity.UNKNOWN,
                ranges=(AffectedRange("3.5", "3.5.0", "3.5.6"),),
                source="test",
            ),
        ),
        releases={
            Component.OPENSSL: {
                "3.5.5": Release("3.5.5", "3.5", date(2026, 1, 27)),
                "3.0.19": Release("3.0.19", "3.0", date(2026, 1, 27)),
                "3.5.6": Release("3.5.6", "3.5", date(2026, 3, 1)),
            },
        },
        branches={
            Component.OPENSSL: {
                "3.0": Branch("3.0", date(2021, 9, 7), date(2026, 9, 7)),
                "3.5": Branch("3.5", date(2025, 4, 8), date(2030, 4, 8)),
            },
            Component.CPYTHON: {
                "3.11": Branch("3.11", date(2022, 10, 24), date(2027, 10, 31)),
                "3.12": Branch("3.12", date(2023, 10, 2), date(2028, 10, 31)),
            },
        },
    )


def assessor(today: date = TODAY, **changes: date) -> Assessor:
    """Return the assessor of a day."""
    return Assessor(catalogue(**changes), today)


def libc_of(minor: int) -> PlatformLibrary:
    """Return what glibc 2.N defines."""
    return PlatformLibrary("libc.so.6", tuple(sorted(f"GLIBC_2.{n}" for n in range(2, minor + 1))))


def platform(minor: int = 36, arch: str = "x86_64") -> Platform:
    """Return what a host with glibc 2.N offers."""
    return Platform(
        arch=arch,
        x86_64_level=3 if arch == "x86_64" else None,
        kernel="6.1",
        libc_family=LibcFamily.GLIBC,
        libc_version=f"2.{minor}",
        loaders=(LOADER,) if arch == "x86_64" else ("/lib/ld-linux-aarch64.so.1",),
        libraries=(libc_of(minor), PlatformLibrary("libssl.so.3", ("OPENSSL_3.0.0",))),
    )


MUSL = Platform(
    arch="x86_64",
    x86_64_level=3,
    kernel="6.6",
    libc_family=LibcFamily.MUSL,
    libc_version="1.2.5",
    loaders=("/lib/ld-musl-x86_64.so.1",),
    libraries=(PlatformLibrary("libc.musl-x86_64.so.1"),),
)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def build(version: str, provider: Provider, glibc: str, *, mark: str | None = None, arch: str = "x86_64") -> Build:
    """Return a build that needs a glibc."""
    need = Requirement(
        arch=arch,
        loader=LOADER if arch == "x86_64" else "/lib/ld-linux-aarch64.so.1",
        loader_kind=LoaderKind.GLIBC,
        needs=(LibraryNeed("libc.so.6", (f"GLIBC_{glibc}",)),),
        sonames=("libc.so.6",),
        raised_by=(RaisedBy(f"GLIBC_{glibc}", "libc.so.6", "bin/python3", "stat"),),
    )
    return Build(
        implementation=Implementation.CPYTHON,
        version=version,
        arch=arch,
        provider=provider,
        provider_build=mark,
        flags=("lto", "pgo"),
        files=(
            BuildFile(
                "bin/python3", FileRole.EXECUTABLE, hashlib.sha256(version.encode()).hexdigest(), 20_000, None, need
            ),
        ),
        evidence=(
            Evidence("version", EvidenceKind.TEXT_LINE, "include/patchlevel.h", f'PY_VERSION "{version}"', 1200),
        ),
    )


SYSTEM = CryptoUse(
    Linkage.SYSTEM,
    "/usr/lib/x86_64-linux-gnu/libcrypto.so.3",
    CryptoLibrary(
        CryptoFamily.OPENSSL,
        "3.0.17",
        Package(
            manager="dpkg",
            name="libssl3",
            version="3.0.17-1~deb12u2",
            source="openssl",
            source_version="3.0.17-1~deb12u2",
            arch="amd64",
            origin=PackageOrigin.DISTRIBUTION,
            vendor="Debian",
        ),
    ),
    "libssl.so.3",
)
STATIC = CryptoUse(Linkage.STATIC, "/opt/py/lib/libpython3.12.so.1.0", CryptoLibrary(CryptoFamily.OPENSSL, "3.5.4"))
UNRESOLVED = CryptoUse(Linkage.UNRESOLVED, needed="libssl.so.1.1")
WITHOUT = CryptoUse(Linkage.NONE)

DISTRO_311 = build("3.11.2", Provider.DISTRO, "2.35")
PBS_312 = build("3.12.12", Provider.PBS, "2.17", mark="20260114")
PYENV_313 = build("3.13.0", Provider.PYENV, "2.38")

PROBES = (
    ProbeResult("platform", ProbeState.OK, 0.01),
    ProbeResult("interpreters", ProbeState.OK, 1.5, skips=(SkipCount("permission-denied", 2, ("/root/x: denied",)),)),
    ProbeResult("packages", ProbeState.FAILED, 0.2, "/var/lib/dpkg/status: truncated"),
    ProbeResult("processes", ProbeState.SKIPPED, 0.0, "no CAP_SYS_PTRACE"),
)


def digest_of(fact: Fact) -> str:
    """Return a fact's address."""
    return encode_fact(fact)[1]


def install(
    path: str,
    of: Build | None,
    crypto: CryptoUse,
    *,
    kind: InstallKind = InstallKind.BASE,
    installer: Installer = Installer.UNKNOWN,
    base: str | None = None,
    root: str = "/",
    state: EnvironmentState = EnvironmentState.UNKNOWN,
) -> Install:
    """Return an install of a build."""
    return Install(
        root=root,
        path=path,
        realpath=path,
        kind=kind,
        implementation=Implementation.CPYTHON if of is None else of.implementation,
        installer=installer,
        build=None if of is None else digest_of(of),
        crypto=crypto,
        base=base,
        state=state,
    )


@dataclass(frozen=True)
class Machine:
    """Everything that one scan of a host says."""

    hostname: str
    platform: Platform = field(default_factory=platform)
    builds: tuple[Build, ...] = (DISTRO_311, PBS_312)
    installs: tuple[Install, ...] = (
        install("/usr/bin/python3.11", DISTRO_311, SYSTEM, installer=Installer.DPKG),
        install("/opt/py/bin/python3.12", PBS_312, STATIC, installer=Installer.UV),
    )
    os_id: str | None = "debian"
    os_version: str | None = "12"
    probes: tuple[ProbeResult, ...] = PROBES
    copies: tuple[CryptoCopy, ...] = ()
    tools: ToolSet = field(default_factory=ToolSet)
    roots: tuple[ScannedRoot, ...] = ()
    inner_platforms: tuple[Platform, ...] = ()
    changelogs: tuple[PackageChangelog, ...] = ()
    processes: ProcessSet | None = None
    agent_state: AgentState | None = None
    certificate_expires_at: datetime | None = None

    @property
    def copy_set(self) -> CryptoCopySet:
        """The crypto copies in their order."""
        return CryptoCopySet(tuple(sorted(self.copies, key=lambda one: (one.root, one.path))))

    @property
    def root_set(self) -> RootSet:
        """The roots in their order; none where the agent tells of none."""
        return RootSet(tuple(sorted(self.roots, key=lambda one: one.name)))

    @property
    def host(self) -> Host:
        """The machine itself."""
        return Host(
            hostname=self.hostname,
            os_release=OsRelease(
                id=self.os_id, version_id=self.os_version, pretty_name="Debian GNU/Linux 12 (bookworm)"
            ),
            arch=self.platform.arch,
            x86_64_level=self.platform.x86_64_level,
            kernel="6.1.0-40-amd64",
            libc=Libc(self.platform.libc_family, self.platform.libc_version, "/lib/x86_64-linux-gnu/libc.so.6"),
        )

    @property
    def install_set(self) -> InstallSet:
        """The installs in their order."""
        return InstallSet(tuple(sorted(self.installs, key=lambda one: (one.root, one.path))))

    def renamed(self, hostname: str) -> Machine:
        """Return the same machine under another name."""
        return replace(self, hostname=hostname)


CHROOT = "/srv/chroot"
FOCAL = platform(31)
NODE = replace(
    build("18.19.0", Provider.UPSTREAM, "2.28"), implementation=Implementation.NODEJS, provider_build=None, flags=()
)
STATIC_NODE = CryptoUse(Linkage.STATIC, "/opt/node/bin/node", CryptoLibrary(CryptoFamily.OPENSSL, "3.0.17"))


def crypto_copy(
    path: str, version: str | None, owner: CopyOwner | None, family: CryptoFamily = CryptoFamily.OPENSSL, **more: Any
) -> CryptoCopy:
    """Return a copy in the environment of an application."""
    fields: dict[str, Any] = {"root": "/", "linkage": Linkage.STATIC, "environment": "/srv/app/.venv", **more}
    return CryptoCopy(path=path, library=CryptoLibrary(family, version), owner=owner, **fields)


def full_machine(hostname: str = "full") -> Machine:
    """Return a machine with something of all that an agent tells."""
    site = "/srv/app/.venv/lib/python3.12/site-packages"
    crypto = SYSTEM.library
    assert crypto is not None
    assert crypto.package is not None
    return Machine(
        hostname,
        builds=(DISTRO_311, PBS_312, NODE),
        installs=(
            *Machine("").installs,
            install(
                "/srv/app/.venv/bin/python",
                PBS_312,
                STATIC,
                kind=InstallKind.VENV,
                base="/opt/py/bin/python3.12",
                state=EnvironmentState.FOLLOWS,
            ),
            install(
                "/srv/old/.venv/bin/python",
                DISTRO_311,
                SYSTEM,
                kind=InstallKind.VENV,
                base="/usr/bin/python3.11",
                state=EnvironmentState.COPIED,
            ),
            install(
                "/srv/gone/.venv/bin/python", None, WITHOUT, kind=InstallKind.VENV, state=EnvironmentState.DANGLING
            ),
            install("/opt/node/bin/node", NODE, STATIC_NODE),
            install("/usr/bin/python3.11", DISTRO_311, SYSTEM, installer=Installer.DPKG, root=CHROOT),
        ),
        copies=(
            crypto_copy(
                f"{site}/cryptography/hazmat/bindings/_rust.abi3.so",
                "3.5.4",
                CopyOwner("pypi", "cryptography", "46.0.3"),
            ),
            crypto_copy(
                f"{site}/psycopg2_binary.libs/libcrypto-ea28cefb.so.1.1",
                "1.1.1k",
                CopyOwner("pypi", "psycopg2-binary", "2.9.1"),
                linkage=Linkage.BUNDLED,
            ),
            crypto_copy(
                f"{site}/grpc/_cython/cygrpc.cpython-312-x86_64-linux-gnu.so",
                None,
                CopyOwner("pypi", "grpcio", "1.76.0"),
                CryptoFamily.BORINGSSL,
            ),
            crypto_copy("/opt/product/lib/libcrypto.so.3", "3.5.9", None, linkage=Linkage.LOCAL, environment=None),
        ),
        tools=ToolSet(
            (
                Tool("/", "/root/.local/bin/uv", "uv", "0.9.5", "20260114"),
                Tool(CHROOT, "/usr/local/bin/uv", "uv", "0.4.0"),
            ),
            (ToolSetting("/", "/etc/uv/uv.toml", "uv", "python-downloads", "never"),),
        ),
        roots=(
            ScannedRoot("/", RootKind.HOST, platform=digest_of(platform())),
            ScannedRoot(
                CHROOT,
                RootKind.FOLDER,
                CHROOT,
                OsRelease("ubuntu", "20.04", "Ubuntu 20.04.6 LTS"),
                "x86_64",
                Libc(LibcFamily.GLIBC, "2.31"),
                digest_of(FOCAL),
            ),
            ScannedRoot(
                "container:4f9d",
                RootKind.CONTAINER,
                None,
                OsRelease("alpine", "3.22.1", "Alpine Linux v3.22"),
                "x86_64",
                Libc(LibcFamily.MUSL, "1.2.5"),
                digest_of(MUSL),
                Container("podman", "4f9d" * 16, "web", "docker.io/library/nginx:alpine"),
                created="2026-10-01T00:00:00Z",
            ),
        ),
        inner_platforms=(FOCAL, MUSL),
        changelogs=(
            PackageChangelog(
                crypto.package,
                ChangelogState.COMPLETE,
                "/usr/share/doc/libssl3/changelog.Debian.gz",
                120,
                "3.0.17-1~deb12u2",
                "0.9.6-1",
                (
                    ChangelogFix("CVE-2024-5535", "3.0.14-1~deb12u1", "CVE-2024-5535 (SSL_select_next_proto)"),
                    ChangelogFix("CVE-2024-9143", "3.0.15-1~deb12u1", "CVE-2024-9143 (GF(2^m))"),
                ),
            ),
            PackageChangelog(
                replace(crypto.package, name="python3.11-minimal", version="3.11.2-6+deb12u6", source="python3.11"),
                ChangelogState.MISSING,
                reason="no changelog in /usr/share/doc/python3.11-minimal",
            ),
        ),
        processes=ProcessSet(
            (
                ProcessGroup("/", "/opt/py/bin/python3.12", MappingState.CURRENT, 7, "/srv/app/.venv/bin/python"),
                ProcessGroup(
                    "/",
                    "/usr/bin/python3.11",
                    MappingState.REPLACED,
                    3,
                    "/usr/bin/python3.11",
                    (
                        MappedLibrary("/usr/lib/x86_64-linux-gnu/libcrypto.so.3", MappingState.DELETED, 2),
                        MappedLibrary("/usr/lib/x86_64-linux-gnu/libssl.so.3", MappingState.CURRENT, 1),
                    ),
                    1,
                    (ProcessExample(711, "unattended-upgrades.service"), ProcessExample(2204)),
                ),
            )
        ),
    )


def host_id_of(name: str) -> str:
    """Return a host id made from a name."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def report(
    store: Store, machine: Machine, host_id: str | None = None, at: datetime = NOON, seconds: float = 2.5
) -> str:
    """Put a machine's report into a store as its agent would bring it; returns the host's id."""
    host_id = host_id or host_id_of(machine.hostname)
    inventory = Inventory(
        host=machine.host,
        platform=digest_of(machine.platform),
        installs=digest_of(machine.install_set),
        builds=tuple(sorted(digest_of(one) for one in machine.builds)),
        crypto_copies=digest_of(machine.copy_set) if machine.copies else None,
        tools=digest_of(machine.tools) if machine.tools != ToolSet() else None,
        roots=digest_of(machine.root_set) if machine.roots else None,
        changelogs=tuple(sorted(digest_of(one) for one in machine.changelogs)),
    )
    facts: list[Fact] = [machine.platform, machine.install_set, *machine.builds, inventory]
    facts += [machine.copy_set, machine.tools, machine.root_set, *machine.inner_platforms, *machine.changelogs]
    store.put_facts([FactRecord(*encode_fact(fact)) for fact in facts])
    told = Report(
        report_id=hashlib.sha256(f"{host_id}{at}{encode_fact(inventory)[1]}".encode()).digest()[:16],
        agent_version="0.1.0",
        scanned_at=at,
        scan_seconds=seconds,
        inventory=encode_fact(inventory)[1],
        probes=machine.probes,
        processes_digest=None if machine.processes is None else process_set_digest(machine.processes),
        processes=machine.processes,
        agent_state=machine.agent_state,
    )
    assert store.apply_reports([ReceivedReport(host_id, told, at, machine.certificate_expires_at)]) == [()]
    return host_id
