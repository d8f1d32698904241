"""The facts that an agent on a simulated host would report: the same types, through the same codec."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.collector.simulation.builds import build_of
from libcensus.collector.simulation.plan import CONTAINER_ROOT
from libcensus.collector.simulation.systems import platform_of
from libcensus.collector.store.contract import FactRecord, ReceivedReport
from libcensus.facts.codec import encode_fact, process_set_digest
from libcensus.facts.crypto import CopyOwner, CryptoCopy, CryptoCopySet, CryptoLibrary, CryptoUse
from libcensus.facts.host import Host, Inventory, Libc, OsRelease
from libcensus.facts.interpreter import Install, InstallSet
from libcensus.facts.process import MappedLibrary, ProcessGroup, ProcessSet
from libcensus.facts.report import ProbeResult, Report, SkipCount
from libcensus.facts.root import Container, RootSet, ScannedRoot
from libcensus.facts.tool import Tool, ToolSet
from libcensus.facts.vocabulary import CryptoFamily, Linkage, MappingState, ProbeState, RootKind

if TYPE_CHECKING:
    from libcensus.collector.simulation.builds import BuildPlan
    from libcensus.collector.simulation.plan import CryptoPlan, HostPlan, InstallPlan
    from libcensus.collector.simulation.systems import KnownSystem
    from libcensus.facts.codec import Fact
    from libcensus.facts.platform import Platform

AGENT_VERSION = "simulated"

_PROBES = ("platform", "packages", "interpreters", "crypto", "venvs", "copies", "tools", "containers", "processes")
_SECONDS = 0.25
_LOCKED = SkipCount("permission-denied", 1, ("/opt/locked/bin/python3: permission denied",))


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What one host tells: its report, and every fact that the report rests on, by address."""

    received: ReceivedReport
    records: tuple[FactRecord, ...]


class FactMaker:
    """Makes the facts of hosts; what two hosts have in common is made once."""

    def __init__(self) -> None:
        self._builds: dict[BuildPlan, FactRecord] = {}
        self._platforms: dict[tuple[object, ...], FactRecord] = {}
        self._installs: dict[tuple[InstallPlan, ...], FactRecord] = {}

    def build_digest(self, plan: BuildPlan) -> str:
        """Return the address of a build."""
        return self._build(plan).digest

    def facts_of(self, plan: HostPlan) -> HostFacts:
        """Return what the agent of a host would send."""
        platform = self._platform(plan, plan.known)
        installs = self._install_set(plan.installs)
        builds = {self._build(one.build) for one in plan.installs if one.build is not None}
        others: list[FactRecord] = []
        copies = self._optional(_copies(plan), others, is_there=bool(plan.copies))
        tools = self._optional(_tools(plan), others, is_there=plan.tool is not None)
        roots = None
        if plan.container is not None:
            inner = self._platform(plan, plan.container)
            root_set = _record(self._roots(plan, plan.container, platform.digest, inner.digest))
            others += (inner, root_set)
            roots = root_set.digest
        inventory = _record(
            Inventory(
                host=_host(plan),
                platform=platform.digest,
                installs=installs.digest,
                builds=tuple(sorted(record.digest for record in builds)),
                crypto_copies=copies,
                tools=tools,
                roots=roots,
            )
        )
        report = _report(plan, inventory.digest)
        records = {one.digest: one for one in (platform, installs, *builds, *others, inventory)}
        return HostFacts(
            ReceivedReport(plan.host_id, report, plan.reported_at), tuple(records[name] for name in sorted(records))
        )

    def _optional(self, fact: Fact, others: list[FactRecord], *, is_there: bool) -> str | None:
        if not is_there:
            return None
        record = _record(fact)
        others.append(record)
        return record.digest

    def _build(self, plan: BuildPlan) -> FactRecord:
        record = self._builds.get(plan)
        if record is None:
            record = self._builds[plan] = _record(build_of(plan))
        return record

    def _platform(self, plan: HostPlan, known: KnownSystem) -> FactRecord:
        openssl = plan.openssl if known is plan.known else known.openssl[0]
        # A container runs on the kernel of its host.
        key = (known.system.name, plan.arch, plan.level, openssl, plan.kernel)
        record = self._platforms.get(key)
        if record is None:
            made: Platform = platform_of(known, plan.arch, plan.level, openssl, plan.kernel)
            record = self._platforms[key] = _record(made)
        return record

    def _install_set(self, plans: tuple[InstallPlan, ...]) -> FactRecord:
        record = self._installs.get(plans)
        if record is None:
            record = self._installs[plans] = _record(InstallSet(tuple(self._install(one) for one in plans)))
        return record

    def _install(self, plan: InstallPlan) -> Install:
        return Install(
            root=plan.root,
            path=plan.path,
            realpath=plan.realpath or plan.path,
            kind=plan.kind,
            implementation=plan.implementation,
            installer=plan.installer,
            build=None if plan.build is None else self.build_digest(plan.build),
            crypto=_crypto(plan.crypto),
            base=plan.base,
            recorded_version=plan.recorded_version,
            package=plan.package,
            state=plan.state,
        )

    def _roots(self, plan: HostPlan, inner: KnownSystem, host_platform: str, inner_platform: str) -> RootSet:
        own = ScannedRoot(
            "/",
            RootKind.HOST,
            "/",
            _os_release(plan.known),
            plan.arch,
            _libc(plan.known, plan.arch),
            host_platform,
        )
        container = ScannedRoot(
            CONTAINER_ROOT,
            RootKind.CONTAINER,
            None,
            _os_release(inner),
            plan.arch,
            _libc(inner, plan.arch),
            inner_platform,
            Container("docker", hashlib.sha256(plan.name.encode()).hexdigest(), "app", "docker.io/library/python"),
        )
        return RootSet((own, container))


def _record(fact: Fact) -> FactRecord:
    return FactRecord(*encode_fact(fact))


def _os_release(known: KnownSystem) -> OsRelease:
    system = known.system
    return OsRelease(system.os_id, system.version_id, system.pretty_name, system.codename)


def _libc(known: KnownSystem, arch: str) -> Libc:
    return Libc(known.libc_family, known.libc_version, known.libc_path(arch))


def _host(plan: HostPlan) -> Host:
    return Host(
        hostname=plan.name,
        os_release=_os_release(plan.known),
        arch=plan.arch,
        x86_64_level=plan.level,
        kernel=plan.kernel,
        libc=_libc(plan.known, plan.arch),
    )


def _crypto(plan: CryptoPlan) -> CryptoUse:
    library = None if plan.family is None else CryptoLibrary(plan.family, plan.version, plan.package)
    return CryptoUse(plan.linkage, plan.path, library, plan.needed)


def _copies(plan: HostPlan) -> CryptoCopySet:
    return CryptoCopySet(
        tuple(
            CryptoCopy(
                root="/",
                path=copy.path,
                linkage=Linkage.STATIC,
                library=CryptoLibrary(CryptoFamily.OPENSSL, copy.openssl),
                environment=copy.environment,
                owner=CopyOwner("pypi", "cryptography", copy.wheel),
            )
            for copy in plan.copies
        )
    )


def _tools(plan: HostPlan) -> ToolSet:
    if plan.tool is None:
        return ToolSet()
    return ToolSet((Tool("/", "/home/deploy/.local/bin/uv", "uv", plan.tool.version, plan.tool.newest_build),))


def _processes(plan: HostPlan) -> ProcessSet:
    base = next(one for one in plan.installs if one.crypto.linkage is Linkage.SYSTEM and one.root == "/")
    path = base.crypto.path or base.path
    current = plan.processes - plan.outdated_processes
    libraries = []
    if plan.outdated_processes:
        libraries.append(MappedLibrary(path, MappingState.REPLACED, plan.outdated_processes))
    if current:
        libraries.append(MappedLibrary(path, MappingState.CURRENT, current))
    return ProcessSet(
        (
            ProcessGroup(
                root="/",
                executable=base.path,
                state=MappingState.CURRENT,
                processes=plan.processes,
                install=base.path,
                libraries=tuple(sorted(libraries, key=lambda one: one.sort_key)),
            ),
        )
    )


def _report(plan: HostPlan, inventory: str) -> Report:
    processes = _processes(plan)
    return Report(
        report_id=hashlib.sha256(f"{plan.host_id} {plan.reported_at} {inventory}".encode()).digest()[:16],
        agent_version=AGENT_VERSION,
        scanned_at=plan.reported_at,
        scan_seconds=_SECONDS * len(_PROBES),
        inventory=inventory,
        probes=tuple(_probe(plan, name) for name in _PROBES),
        processes_digest=process_set_digest(processes),
        processes=processes,
    )


def _probe(plan: HostPlan, name: str) -> ProbeResult:
    if name == "packages" and plan.has_failed_probe:
        reason = f"the {plan.known.system.manager} database is damaged"
        return ProbeResult(name, ProbeState.FAILED, _SECONDS, reason)
    locked = name == "interpreters" and any(one.path == "/opt/locked/bin/python3" for one in plan.installs)
    return ProbeResult(name, ProbeState.OK, _SECONDS, skips=(_LOCKED,) if locked else ())
