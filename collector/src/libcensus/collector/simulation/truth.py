"""The truth about a simulated fleet, told from the choices that made it.

It asks neither the facts nor anything that judges facts: which build starts where is worked out from the glibc that the
build was planned for. So a figure that agrees with it was reached in two ways.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from libcensus.facts.manylinux import OLDEST, POLICIES
from libcensus.facts.vocabulary import Implementation, InstallKind, LibcFamily

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import date

    from libcensus.collector.simulation.builds import BuildPlan
    from libcensus.collector.simulation.episodes import PastTruth
    from libcensus.collector.simulation.plan import HostPlan, InstallPlan

_UNKNOWN = "unknown"
_MUSLLINUX = ((1, 1), (1, 2))
"""The musl releases that wheels are published for; a host with a newer one takes them."""

_SSL_BRANCHES = ((3, 0), (3, 2), (3, 3), (3, 4), (3, 5))
"""The branches of OpenSSL 3 that added symbol versions of their own: two platforms differ in no other way by it."""


@dataclass(frozen=True, slots=True)
class _Place:
    """All that one host's platform can differ in from another's."""

    arch: str
    level: int | None
    kernel: str
    family: LibcFamily
    glibc: int | None
    libcrypt: str
    openssl: tuple[str, tuple[int, int] | None]

    def verdict(self, build: BuildPlan) -> tuple[str, str]:
        """Return whether a build starts here and what first keeps it from that, in the words of the verdicts."""
        if not build.is_readable:
            return "unknown", "requirement"
        if build.arch != self.arch:
            return "blocked", "arch"
        if build.libc is not self.family:
            return "blocked", "loader"
        if self.level is not None and build.level > self.level:
            return "blocked", "x86_64_level"
        if self.glibc is not None and (build.needed_glibc or 0) > self.glibc:
            return "blocked", "symbol_version"
        return "runs", ""

    def missing_modules(self, build: BuildPlan) -> list[str]:
        """Return the modules that would not load in a build that starts here."""
        missing = []
        if build.has_crypt and self.libcrypt != "libcrypt.so.1":
            missing.append("_crypt")
        if build.hosts_openssl not in {None, self.openssl[0]}:
            missing.append("_ssl")
        return missing


@dataclass(slots=True)
class Truth:
    """What is true of a fleet; every counter's keys are in the order of the field's names in :meth:`as_object`.

    ``findings`` and ``past`` are absent where nobody gave the tables to tell them from.
    """

    seed: int
    as_of: date
    hosts: int = 0
    systems: Counter[tuple[str, ...]] = field(default_factory=Counter)
    levels: Counter[tuple[str, ...]] = field(default_factory=Counter)
    libcs: Counter[tuple[str, LibcFamily, tuple[int, int]]] = field(default_factory=Counter)
    installs: Counter[tuple[str, ...]] = field(default_factory=Counter)
    crypto: Counter[tuple[str, ...]] = field(default_factory=Counter)
    copies: Counter[tuple[str, ...]] = field(default_factory=Counter)
    openssl_packages: Counter[tuple[str, ...]] = field(default_factory=Counter)
    openssl_fixes: Counter[tuple[str, ...]] = field(default_factory=Counter)
    environments: Counter[tuple[str, ...]] = field(default_factory=Counter)
    installers: Counter[tuple[str, ...]] = field(default_factory=Counter)
    pythons: Counter[tuple[str, ...]] = field(default_factory=Counter)
    pbs_builds: Counter[tuple[str, ...]] = field(default_factory=Counter)
    build_installs: Counter[BuildPlan] = field(default_factory=Counter)
    silent_hosts: int = 0
    hosts_with_failed_probes: int = 0
    hosts_with_containers: int = 0
    unreadable_installs: int = 0
    outdated_processes: int = 0
    hosts_with_outdated_processes: int = 0
    findings: Counter[tuple[str, ...]] | None = None
    past: PastTruth | None = None
    _places: Counter[_Place] = field(default_factory=Counter)
    _builds: Counter[BuildPlan] = field(default_factory=Counter)

    def add(self, plan: HostPlan) -> None:
        """Count one host in."""
        known, system = plan.known, plan.known.system
        self.hosts += 1
        self.systems[system.os_id, system.version_id, plan.arch, known.libc_family.value, known.libc_version] += 1
        self.levels[plan.arch, _UNKNOWN if plan.level is None else str(plan.level)] += 1
        major, minor = known.libc_version.split(".")[:2]
        self.libcs[plan.arch, known.libc_family, (int(major), int(minor))] += 1
        package = _UNKNOWN if plan.has_failed_probe else plan.openssl.package_version
        self.openssl_packages[system.os_id, system.version_id, package, plan.openssl.version] += 1
        place = known.openssl.index(plan.openssl)
        for advisory, having in known.fixes.items():
            has_fix = _UNKNOWN if plan.has_failed_probe else "yes" if place < having else "no"
            self.openssl_fixes[system.os_id, system.version_id, advisory, has_fix] += 1
        for install in plan.installs:
            self._add_install(install)
        for copy in plan.copies:
            self.copies["openssl", copy.openssl, "static", "pypi", "cryptography"] += 1
        self.silent_hosts += plan.is_silent
        self.hosts_with_failed_probes += plan.has_failed_probe
        self.hosts_with_containers += plan.container is not None
        self.outdated_processes += plan.outdated_processes
        self.hosts_with_outdated_processes += plan.outdated_processes > 0
        pythons = {name for install in plan.installs if (name := _python_name(install)) is not None}
        told = " ".join(sorted(pythons, key=_python_order))
        self.pythons[told, plan.arch, known.libc_family.value, known.libc_version] += 1
        self._places[_place(plan)] += 1
        for build in {install.build for install in plan.installs if install.build is not None}:
            self._builds[build] += 1

    def _add_install(self, install: InstallPlan) -> None:
        build, crypto = install.build, install.crypto
        provider = _UNKNOWN if build is None else build.provider.value
        version = (None if build is None else build.version) or _UNKNOWN
        self.installs[install.implementation.value, version, provider, install.kind.value] += 1
        self.installers[install.installer.value,] += 1
        if crypto.version is None:
            word = "" if crypto.linkage.value == "none" else _UNKNOWN
            self.crypto[word, word, crypto.linkage.value, provider] += 1
        else:
            self.crypto["openssl", crypto.version, crypto.linkage.value, provider] += 1
        if install.kind is InstallKind.VENV:
            self.environments[install.state.value,] += 1
        elif build is None:
            self.unreadable_installs += 1
        if build is not None:
            self.build_installs[build] += 1
        if build is not None and build.provider.value == "pbs":
            self.pbs_builds[build.provider_build or "", version, crypto.version or _UNKNOWN] += 1

    @property
    def platforms(self) -> int:
        """How many different platforms the hosts are."""
        return len(self._places)

    @property
    def builds(self) -> int:
        """How many different builds the hosts have, those in containers too."""
        return len(self._builds)

    @property
    def stale_environments(self) -> int:
        """How many environments have lost their base."""
        return self.environments["dangling",]

    def wheel_policies(self) -> dict[tuple[str, ...], int]:
        """Return how many hosts take a wheel of each published policy, by policy and architecture."""
        answer: dict[tuple[str, ...], int] = {}
        for arch in sorted({arch for arch, _, _ in self.libcs}):
            for family, numbers in (
                (LibcFamily.GLIBC, [(2, minor) for minor in POLICIES if minor >= OLDEST[arch]]),
                (LibcFamily.MUSL, list(_MUSLLINUX)),
            ):
                for number in numbers:
                    name = "manylinux" if family is LibcFamily.GLIBC else "musllinux"
                    answer[f"{name}_{number[0]}_{number[1]}", arch] = sum(
                        hosts
                        for (of, kind, version), hosts in self.libcs.items()
                        if of == arch and kind is family and version >= number
                    )
        return answer

    def build_hosts(self) -> dict[BuildPlan, Counter[tuple[str, str]]]:
        """Return how many hosts get which verdict and first reason for each build."""
        answer: dict[BuildPlan, Counter[tuple[str, str]]] = {}
        for build in sorted(self._builds, key=lambda one: one.sort_key):
            found = answer[build] = Counter()
            for place, hosts in self._places.items():
                found[place.verdict(build)] += hosts
        return answer

    def degraded_hosts(self, build: BuildPlan) -> Counter[str]:
        """Return on how many hosts a build starts without a module, by the module's name."""
        found: Counter[str] = Counter()
        for place, hosts in self._places.items():
            if place.verdict(build)[0] == "runs":
                for module in place.missing_modules(build):
                    found[module] += hosts
        return found

    def as_object(self, digest_of: Callable[[BuildPlan], str]) -> dict[str, Any]:
        """Return the truth for JSON; ``digest_of`` tells the address of a build."""
        return {
            "seed": self.seed,
            "as_of": self.as_of.isoformat(),
            "hosts": self.hosts,
            "platforms": self.platforms,
            "builds": self.builds,
            "silent_hosts": self.silent_hosts,
            "hosts_with_failed_probes": self.hosts_with_failed_probes,
            "hosts_with_containers": self.hosts_with_containers,
            "hosts_with_outdated_processes": self.hosts_with_outdated_processes,
            "outdated_processes": self.outdated_processes,
            "unreadable_installs": self.unreadable_installs,
            "stale_environments": self.stale_environments,
            "systems": _rows(self.systems, ("os_id", "os_version", "arch", "libc", "libc_version"), "hosts"),
            "x86_64_levels": _rows(self.levels, ("arch", "level"), "hosts"),
            "openssl_packages": _rows(
                self.openssl_packages, ("os_id", "os_version", "package_version", "version"), "hosts"
            ),
            "openssl_fixes": _rows(self.openssl_fixes, ("os_id", "os_version", "advisory", "has_fix"), "hosts"),
            "installs": _rows(self.installs, ("implementation", "version", "provider", "kind"), "installs"),
            "installers": _rows(self.installers, ("installer",), "installs"),
            "pbs_builds": _rows(self.pbs_builds, ("tag", "version", "openssl"), "installs"),
            "crypto_installs": _rows(self.crypto, ("family", "version", "linkage", "provider"), "installs"),
            "crypto_copies": _rows(self.copies, ("family", "version", "linkage", "ecosystem", "owner"), "copies"),
            "pythons": _rows(self.pythons, ("pythons", "arch", "libc", "libc_version"), "hosts"),
            "environments": _rows(self.environments, ("state",), "environments"),
            "wheel_policies": _rows(self.wheel_policies(), ("policy", "arch"), "hosts"),
            "build_hosts": [
                {
                    "build": digest_of(build),
                    "implementation": build.implementation.value,
                    "version": build.version,
                    "provider": build.provider.value,
                    "arch": build.arch,
                    "glibc": None if build.needed_glibc is None else f"2.{build.needed_glibc}",
                    "installed_on": self._builds[build],
                    "runs": hosts["runs", ""],
                    "degraded": dict(sorted(self.degraded_hosts(build).items())),
                    "blocked": _reasons(hosts, "blocked"),
                    "unknown": _reasons(hosts, "unknown"),
                }
                for build, hosts in self.build_hosts().items()
            ],
            "findings": None
            if self.findings is None
            else _rows(self.findings, ("component", "severity", "status", "provider"), "findings"),
            "past": None if self.past is None else self.past.as_object(),
        }


def _rows(counts: Mapping[tuple[str, ...], int], names: Iterable[str], amount: str) -> list[dict[str, Any]]:
    return [{**dict(zip(names, key, strict=True)), amount: counts[key]} for key in sorted(counts)]


def _reasons(hosts: Counter[tuple[str, str]], verdict: str) -> dict[str, int]:
    return {reason: hosts[state, reason] for state, reason in sorted(hosts) if state == verdict}


def _python_name(install: InstallPlan) -> str | None:
    """Return the Python that a wheel could be installed for on the host, as ``3.13t``; None for anything else."""
    build = install.build
    if build is None or not build.is_readable or install.root != "/" or install.kind is not InstallKind.BASE:
        return None
    if build.implementation is not Implementation.CPYTHON:
        return None
    return build.minor + ("t" if "free-threaded" in build.flags else "")


def _python_order(name: str) -> tuple[int, str]:
    return int(name.removesuffix("t").partition(".")[2]), name


def _place(plan: HostPlan) -> _Place:
    openssl = plan.openssl
    branch = None
    if openssl.generation == "3":
        branch = max(known for known in _SSL_BRANCHES if known <= openssl.branch)
    return _Place(
        arch=plan.arch,
        level=plan.level,
        kernel=".".join(plan.kernel.split(".")[:2]),
        family=plan.known.libc_family,
        glibc=plan.known.glibc,
        libcrypt=plan.known.system.libcrypt,
        openssl=(openssl.generation, branch),
    )
