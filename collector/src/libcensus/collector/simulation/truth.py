"""The truth about a simulated fleet, told from the choices that made it.

It asks neither the facts nor anything that judges facts: which build starts where is worked out from the glibc that the
build was planned for. So a figure that agrees with it was reached in two ways.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from libcensus.facts.manylinux import OLDEST, POLICIES
from libcensus.facts.vocabulary import InstallKind, LibcFamily

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import date

    from libcensus.collector.simulation.builds import BuildPlan
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

    def obstacle(self, build: BuildPlan) -> str | None:
        """Return what keeps a build from starting here, in the words of the verdicts; None where nothing does."""
        if build.arch != self.arch:
            return "arch"
        if build.libc is not self.family:
            return "loader"
        if self.glibc is not None and (build.needed_glibc or 0) > self.glibc:
            return "symbol_version"
        return None


@dataclass(slots=True)
class Truth:
    """What is true of a fleet; every counter's keys are in the order of the field's names in :meth:`as_object`."""

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
    pbs_builds: Counter[tuple[str, ...]] = field(default_factory=Counter)
    build_installs: Counter[BuildPlan] = field(default_factory=Counter)
    silent_hosts: int = 0
    hosts_with_failed_probes: int = 0
    hosts_with_containers: int = 0
    unreadable_installs: int = 0
    outdated_processes: int = 0
    hosts_with_outdated_processes: int = 0
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
        self.openssl_packages[system.os_id, system.version_id, plan.openssl.package_version, plan.openssl.version] += 1
        place = known.openssl.index(plan.openssl)
        for advisory, having in known.fixes.items():
            self.openssl_fixes[system.os_id, system.version_id, advisory, "yes" if place < having else "no"] += 1
        for install in plan.installs:
            self._add_install(install)
        for copy in plan.copies:
            self.copies["openssl", copy.openssl, "static", "pypi", "cryptography"] += 1
        self.silent_hosts += plan.is_silent
        self.hosts_with_failed_probes += plan.has_failed_probe
        self.hosts_with_containers += plan.container is not None
        self.outdated_processes += plan.outdated_processes
        self.hosts_with_outdated_processes += plan.outdated_processes > 0
        self._places[_place(plan)] += 1
        for build in {install.build for install in plan.installs if install.build is not None}:
            self._builds[build] += 1

    def _add_install(self, install: InstallPlan) -> None:
        build, crypto = install.build, install.crypto
        provider = _UNKNOWN if build is None else build.provider.value
        version = _UNKNOWN if build is None else build.version
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
            self.pbs_builds[build.provider_build or "", build.version, crypto.version or _UNKNOWN] += 1

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

    def build_hosts(self) -> dict[BuildPlan, Counter[str | None]]:
        """Return on how many hosts each build starts (None) and how many each first obstacle keeps it from."""
        answer: dict[BuildPlan, Counter[str | None]] = {}
        for build in sorted(self._builds):
            found = answer[build] = Counter()
            for place, hosts in self._places.items():
                found[place.obstacle(build)] += hosts
        return answer

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
                    "runs": hosts[None],
                    "blocked": {reason: hosts[reason] for reason in sorted(filter(None, hosts))},
                }
                for build, hosts in self.build_hosts().items()
            ],
        }


def _rows(counts: Mapping[tuple[str, ...], int], names: Iterable[str], amount: str) -> list[dict[str, Any]]:
    return [{**dict(zip(names, key, strict=True)), amount: counts[key]} for key in sorted(counts)]


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
