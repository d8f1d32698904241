"""From a seed to a fleet, as choices: what each host is and has, before any fact is made of it.

Host N of a seed is the same in every fleet that is large enough to have it, because each host is drawn with a generator
of its own. Nothing here reads a clock, the environment or an order that a process chooses.
"""

from __future__ import annotations

import hashlib
import random
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

from libcensus.collector.errors import CollectorError
from libcensus.collector.posture.finding import Component
from libcensus.collector.simulation.builds import BuildPlan
from libcensus.collector.simulation.shares import (
    ARCHES,
    BRINGERS,
    ENVIRONMENTS,
    KERNELS,
    LEVELS,
    PATCHES,
    PBS_AGES,
    PBS_MINORS,
    TROUBLES,
    WHEEL_OPENSSL,
    WHEEL_PYTHON,
    WHEELS,
)
from libcensus.collector.simulation.systems import KnownSystem, OpensslPackage, known_systems
from libcensus.facts.package import Package
from libcensus.facts.vocabulary import (
    CryptoFamily,
    EnvironmentState,
    Implementation,
    Installer,
    InstallKind,
    LibcFamily,
    Linkage,
    PackageOrigin,
    Provider,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    from libcensus.collector.posture.catalogue import Catalogue, PbsBuild
    from libcensus.collector.simulation.shares import Share

CONTAINER_ROOT = "container:docker/app"
SILENT_DAYS = 7
"""A host counts as silent when its last report is older."""

_FINAL = re.compile(r"3\.\d+\.\d+")
_DAYS_PER_MONTH = 30.4375
_ROLES = ("web", "app", "db", "batch", "ci", "edge", "gpu", "cache")
_INSTALLERS = {"dpkg": Installer.DPKG, "rpm": Installer.RPM, "apk": Installer.APK}
_CONTAINER_SYSTEM = "debian:12"
FIRST_DYNAMIC_MUSL = "20250311"
_HATCH_MINORS = ("3.11", "3.12", "3.13")
_HATCH_MONTHS = 5
_NODEJS_SINCE = 28
_PATCH_INDEX = {"newest": 0, "behind": 1, "old": 3}
_GONE = ("3.8.12", "3.9.7", "3.10.4")
"""The bases that stale environments were made from."""

_STATES = {state.value: state for state in EnvironmentState}


class SimulationError(CollectorError):
    """What was asked for cannot be simulated; the text says why, and what can."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class CryptoPlan:
    """The crypto library that an install uses; ``version`` is absent where there is none or nobody could tell."""

    linkage: Linkage
    version: str | None = None
    path: str | None = None
    needed: str | None = None
    package: Package | None = None

    @property
    def family(self) -> CryptoFamily | None:
        """The product; absent where there is none or nobody could tell."""
        return None if self.version is None else CryptoFamily.OPENSSL


@dataclass(frozen=True, slots=True)
class InstallPlan:
    """One install; ``build`` is absent where its files cannot be read or are gone."""

    path: str
    kind: InstallKind
    implementation: Implementation
    installer: Installer
    build: BuildPlan | None
    crypto: CryptoPlan
    root: str = "/"
    realpath: str | None = None
    base: str | None = None
    state: EnvironmentState = EnvironmentState.UNKNOWN
    recorded_version: str | None = None
    package: Package | None = None


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """A wheel with OpenSSL inside, in one environment."""

    path: str
    environment: str
    wheel: str
    openssl: str


@dataclass(frozen=True, slots=True)
class ToolPlan:
    """A uv on the host, and the newest build that it can install."""

    version: str
    newest_build: str


@dataclass(frozen=True, slots=True)
class HostPlan:
    """One host, as it was chosen."""

    number: int
    host_id: str
    name: str
    known: KnownSystem
    arch: str
    level: int | None
    kernel: str
    openssl: OpensslPackage
    reported_at: datetime
    installs: tuple[InstallPlan, ...]
    copies: tuple[CopyPlan, ...]
    tool: ToolPlan | None
    container: KnownSystem | None
    has_failed_probe: bool
    is_silent: bool
    processes: int
    outdated_processes: int


class Choices:
    """What hosts are drawn from on one day: systems, and the versions that were out then."""

    def __init__(self, catalogue: Catalogue, as_of: date) -> None:
        self.as_of = as_of
        self.systems = known_systems(catalogue)
        self.container = next(known for known in self.systems if known.system.name == _CONTAINER_SYSTEM)
        self._releases = catalogue.releases[Component.OPENSSL]
        builds = [build for build in catalogue.pbs_builds if build.openssl is not None and minors_of(build)]
        self._builds = builds
        self._uv_days = catalogue.uv_dates
        self._tags = {build.tag: build.date for build in catalogue.pbs_builds}
        self.pbs = {age.name: self._newest_pbs(int(age.name)) for age in PBS_AGES}
        self._uv = [ToolPlan(version, tag) for version, tag in catalogue.uv_newest_pbs.items() if tag.isdigit()]
        self.pyenv = tuple(self._python(minor, 6) for minor in ("3.11", "3.12", "3.13"))
        self.source = self._python("3.11", 12)
        self.conda = tuple(
            (self._python(minor, 3), self._openssl(branch, 3))
            for minor, branch in (("3.11", "3.3"), ("3.12", "3.4"), ("3.13", "3.5"))
        )
        self.docker = tuple(self._python(minor, 2) for minor in ("3.12", "3.13"))
        self.hatch = self._newest_pbs(_HATCH_MONTHS)

    def _python(self, minor: str, months: int) -> str:
        """Return the newest CPython of a minor release that was out some months before the day."""
        # The snapshot has no day for most releases of CPython; a build that holds one was made after it.
        found = self._newest_pbs(months).cpython.get(minor, "")
        if not _FINAL.fullmatch(found):
            raise self._nothing(f"final CPython {minor}", self._day(months))
        return found

    def _openssl(self, branch: str, months: int) -> str:
        """Return the newest OpenSSL of a branch that was out some months before the day."""
        day = self._day(months)
        found = [
            (release.date, release.version)
            for release in self._releases.values()
            if release.branch == branch and release.date is not None and release.date <= day
        ]
        if not found:
            raise self._nothing(f"OpenSSL {branch}", day)
        return max(found)[1]

    def _newest_pbs(self, months: int) -> PbsBuild:
        day = self._day(months)
        out = [build for build in self._builds if build.date <= day]
        if not out:
            raise self._nothing("python-build-standalone build", day)
        return max(out, key=lambda build: (build.date, build.tag))

    def _day(self, months: int) -> date:
        return self.as_of - timedelta(days=int(months * _DAYS_PER_MONTH))

    def _nothing(self, what: str, day: date) -> SimulationError:
        return SimulationError(
            f"--as-of {self.as_of}: the snapshot knows no {what} that was out on {day}; choose a later day"
        )

    def uv_for(self, tag: str) -> ToolPlan | None:
        """Return the first uv that could install a build, absent where the snapshot knows none."""
        return next((tool for tool in self._uv if tool.newest_build >= tag), None)

    def pbs_until(self, build: BuildPlan, *, by_uv: bool) -> list[tuple[date, PbsBuild]]:
        """Return the builds of a minor release up to this one, the newest first, and since when each could be had.

        By uv that is when the first uv that knew it was out. Empty for a build that the snapshot does not know.
        """
        minor, found = build.minor, []
        end = self._tags.get(build.provider_build or "")
        for one in reversed(self._builds):
            # One tag names another year than that of its release: uv, which goes by the name, never installs it.
            is_own = one.tag == build.provider_build
            is_later = end is None or (one.date, one.tag) > (end, build.provider_build)
            if is_later or (one.tag != one.date.strftime("%Y%m%d") and not is_own):
                continue
            if minor in minors_of(one) and (build.libc is not LibcFamily.MUSL or one.tag >= FIRST_DYNAMIC_MUSL):
                found.append((self._uv_day(one) if by_uv else one.date, one))
        return found

    def pbs_on(self, minor: str, day: date) -> PbsBuild | None:
        """Return the newest build of a minor release that a uv of that day knew."""
        builds = (one for one in reversed(self._builds) if minor in minors_of(one) and self._uv_day(one) <= day)
        return next(builds, None)

    def _uv_day(self, build: PbsBuild) -> date:
        tool = self.uv_for(build.tag)
        if tool is None:
            return build.date
        return max(build.date, self._tags[tool.newest_build], self._uv_days.get(tool.version, build.date))

    def pythons_until(self, version: str) -> list[tuple[date, str]]:
        """Return CPython's releases of a line up to this one, the newest first, and a day on which each was out."""
        minor = ".".join(version.split(".")[:2])
        first: dict[str, date] = {}
        for build in self._builds:
            found = build.cpython.get(minor, "")
            if _FINAL.fullmatch(found):
                first.setdefault(found, build.date)
        return _until(version, [(day, found) for found, day in first.items()])

    def openssl_until(self, version: str) -> list[tuple[date, str]]:
        """Return OpenSSL's releases of a branch up to this one, the newest first, with their days."""
        branch = ".".join(version.split(".")[:2])
        return _until(
            version, [(one.date, one.version) for one in self._releases.values() if one.branch == branch and one.date]
        )


def _until(version: str, found: list[tuple[date, str]]) -> list[tuple[date, str]]:
    newest_first = sorted(found, key=lambda one: _numbers(one[1]), reverse=True)
    return [(day, other) for day, other in newest_first if _numbers(other) <= _numbers(version)]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def minors_of(build: PbsBuild) -> list[str]:
    """Return the minor releases of which a build has a final version, the oldest first."""
    wanted = [share.name for share in PBS_MINORS]
    return [minor for minor in wanted if _FINAL.fullmatch(build.cpython.get(minor, ""))]


def plan_fleet(choices: Choices, seed: int, hosts: int) -> Iterator[HostPlan]:
    """Yield the hosts of a fleet in order."""
    for number in range(hosts):
        yield _Drawing(choices, seed, number).host()


class _Drawing:
    """Draws one host with a generator of its own."""

    def __init__(self, choices: Choices, seed: int, number: int) -> None:
        self._choices = choices
        self._number = number
        # A text as seed is hashed by SHA-512, not by the process's own salted hash.
        self._random = random.Random(f"libcensus simulate {seed} {number}")  # noqa: S311 - to be repeated, not secret
        self._identity = hashlib.sha256(f"libcensus simulate {seed} {number}".encode()).hexdigest()[:32]
        self._installs: list[InstallPlan] = []
        self._copies: list[CopyPlan] = []
        self._tool: ToolPlan | None = None

    def _pick(self, shares: Sequence[Share]) -> str:
        return self._random.choices(shares, [share.percent for share in shares])[0].name

    def _happens(self, shares: Sequence[Share], name: str) -> bool:
        percent = next(share.percent for share in shares if share.name == name)
        return self._random.random() * 100 < percent

    def host(self) -> HostPlan:
        """Return the host."""
        rng = self._random
        self.known = rng.choices(self._choices.systems, [known.system.share for known in self._choices.systems])[0]
        arch = self._pick(ARCHES)
        self.arch = self.known.system.only_arch or arch
        level, newer = self._pick(LEVELS), self._pick(KERNELS) == "newer"
        self.level = int(level) if self.arch == "x86_64" else None
        self.openssl = _patched(self.known, self._pick(PATCHES))
        name = f"{rng.choice(_ROLES)}-{self._number:05d}"
        happens = {share.name: self._happens(BRINGERS, share.name) for share in BRINGERS}
        troubles = {share.name: self._happens(TROUBLES, share.name) for share in TROUBLES}
        minutes, days, processes = rng.randrange(60), rng.randrange(SILENT_DAYS + 1, 90), rng.randrange(1, 30)
        self._system_python()
        self._brought(happens, unread=troubles["unread-crypto"])
        for base in tuple(self._installs):
            if base.implementation is Implementation.CPYTHON and base.root == "/":
                self._environment(base)
        if troubles["unreadable"]:
            self._installs.append(
                InstallPlan(
                    "/opt/locked/bin/python3", InstallKind.BASE, Implementation.CPYTHON, Installer.UNKNOWN, None,
                    CryptoPlan(Linkage.UNKNOWN),
                )
            )  # fmt: skip
        if troubles["damaged"]:
            self._damaged()
        noon = datetime.combine(self._choices.as_of, time(12), UTC)
        silent = troubles["silent"]
        installs = map(unpackaged, self._installs) if troubles["failed-probe"] else self._installs
        return HostPlan(
            number=self._number,
            host_id=self._identity,
            name=name,
            known=self.known,
            arch=self.arch,
            level=self.level,
            kernel=self.known.system.kernel_on(self.arch, newer=newer),
            openssl=self.openssl,
            reported_at=noon - (timedelta(days=days) if silent else timedelta(minutes=minutes)),
            installs=tuple(sorted(installs, key=lambda one: (one.root, one.path))),
            copies=tuple(sorted(self._copies, key=lambda one: one.path)),
            tool=self._tool,
            container=self._choices.container if happens["container"] else None,
            has_failed_probe=troubles["failed-probe"],
            is_silent=silent,
            processes=processes,
            outdated_processes=rng.randrange(1, processes + 1) if troubles["outdated"] else 0,
        )

    # --- interpreters ---------------------------------------------------------------------------------------------

    def _system_python(self) -> None:
        known, system = self.known, self.known.system
        build = self._build(
            system.python, Provider.DISTRO, system.python_package, known.glibc, system.name, self.openssl.generation
        )
        name = f"python{build.minor}-minimal" if system.is_dpkg else "python3"
        path = f"/usr/bin/python{build.minor}"
        if system.name in {"rhel:8", "almalinux:8"}:
            path = f"/usr/libexec/platform-python{build.minor}"
        package = known.package(self.arch, name, system.python_package, f"python{build.minor}")
        self._base(path, build, _INSTALLERS[system.manager], self._system_crypto(known, self.openssl), package=package)

    def _brought(self, happens: dict[str, bool], *, unread: bool) -> None:
        """Put what others than the distribution brought on the host."""
        first, second = self._pbs_python(), self._pbs_python()
        pyenv = self._random.choice(self._choices.pyenv)
        conda, conda_openssl = self._random.choice(self._choices.conda)
        docker = self._random.choice(self._choices.docker)
        hatch = self._random.choice(_HATCH_MINORS)
        known, system, has_glibc = self.known, self.known.system, self.known.glibc is not None
        if happens["uv"] and (has_glibc or self.arch == "x86_64"):
            first, second = self._for_libc(*first), self._for_libc(*second)
            self._uv_python(*first, unread=unread, free_threaded=happens["uv-free-threaded"])
            if happens["uv-second"] and second[1] != first[1]:
                self._uv_python(*second, unread=False, free_threaded=False)
        if happens["hatch"] and has_glibc:
            self._hatchs_python(hatch)
        if happens["pyenv"] and system.is_dpkg:
            build = self._build(pyenv, Provider.PYENV, None, known.glibc, system.name, self.openssl.generation)
            path = f"/home/deploy/.pyenv/versions/{pyenv}/bin/python{build.minor}"
            self._base(path, build, Installer.PYENV, self._system_crypto(known, self.openssl))
        if happens["source"] and has_glibc and not system.is_dpkg:
            self._self_built()
        if happens["conda"] and has_glibc:
            build = self._build(conda, Provider.CONDA, None, 17, "conda-forge", "3")
            crypto = CryptoPlan(Linkage.BUNDLED, conda_openssl, "/opt/conda/lib/libcrypto.so.3", "libssl.so.3")
            self._base(f"/opt/conda/bin/python{build.minor}", build, Installer.CONDA, crypto)
        if happens["vendor"] and system.is_dpkg and self.arch == "x86_64":
            self._vendors_python()
        if happens["nodejs"] and (known.glibc or 0) >= _NODEJS_SINCE:
            self._nodejs()
        if happens["container"]:
            inner = self._choices.container
            build = self._build(docker, Provider.DOCKER_OFFICIAL, None, inner.glibc, "docker", "3")
            path = f"/usr/local/bin/python{build.minor}"
            self._base(
                path, build, Installer.UNKNOWN, self._system_crypto(inner, inner.openssl[0]), root=CONTAINER_ROOT
            )

    def _pbs_python(self) -> tuple[PbsBuild, str]:
        """Draw a python-build-standalone build, and which of its minor releases."""
        release = self._choices.pbs[self._pick(PBS_AGES)]
        minor = self._pick(PBS_MINORS)
        there = minors_of(release)
        return release, minor if minor in there else there[-1]

    def _for_libc(self, release: PbsBuild, minor: str) -> tuple[PbsBuild, str]:
        """Return a build that can load modules here: those for musl can since they are no longer static."""
        if self.known.glibc is None and release.tag < FIRST_DYNAMIC_MUSL:
            newest = self._choices.pbs[PBS_AGES[0].name]
            there = minors_of(newest)
            return newest, minor if minor in there else there[-1]
        return release, minor

    def _uv_python(self, release: PbsBuild, minor: str, *, unread: bool, free_threaded: bool) -> None:
        version, is_musl = release.cpython[minor], self.known.glibc is None
        free = free_threaded and minor in {"3.13", "3.14"} and not is_musl
        flags = ("free-threaded",) if free else ()
        built_on = None if is_musl else 17
        build = self._build(version, Provider.PBS, release.tag, built_on, "python-build-standalone", None, flags)
        libc = "musl" if is_musl else "gnu"
        folder = f"cpython-{version}{'+freethreaded' if free else ''}-linux-{self.arch}-{libc}"
        path = f"/home/deploy/.local/share/uv/python/{folder}/bin/python{minor}{'t' if free else ''}"
        crypto = CryptoPlan(Linkage.UNKNOWN) if unread else CryptoPlan(Linkage.STATIC, release.openssl, path)
        self._base(path, build, Installer.UV, crypto)
        tool = self._choices.uv_for(release.tag)
        if tool is not None and (self._tool is None or tool.newest_build > self._tool.newest_build):
            self._tool = tool

    def _hatchs_python(self, minor: str) -> None:
        """Put on the host what Hatch installs: the highest variant that its processor runs."""
        release = self._choices.hatch
        flags = (f"x86-64-v{self.level}",) if self.level is not None else ()
        version = release.cpython[minor]
        build = self._build(version, Provider.PBS, release.tag, 17, "python-build-standalone", None, flags)
        path = f"/home/deploy/.local/share/hatch/pythons/{minor}/python/bin/python{minor}"
        self._base(path, build, Installer.HATCH, CryptoPlan(Linkage.STATIC, release.openssl, path))

    def _damaged(self) -> None:
        build = BuildPlan(
            Implementation.CPYTHON, None, None, Provider.UNKNOWN, None, (), None, "damaged", is_readable=False
        )
        self._base("/opt/damaged/bin/python3", build, Installer.UNKNOWN, CryptoPlan(Linkage.UNKNOWN))

    def _self_built(self) -> None:
        known, version = self.known, self._choices.source
        # Python 3.10 and later want OpenSSL 1.1.1: an older system gives them no TLS module at all.
        generation = None if self.openssl.generation == "10" else self.openssl.generation
        build = self._build(version, Provider.SOURCE, None, known.glibc, known.system.name, generation)
        crypto = CryptoPlan(Linkage.NONE) if generation is None else self._system_crypto(known, self.openssl)
        self._base(f"/usr/local/bin/python{build.minor}", build, Installer.UNKNOWN, crypto)

    def _vendors_python(self) -> None:
        """Put a vendor's package on the host, with a build inside that names no tag: google-cloud-cli 528.0.0."""
        build = self._build("3.12.10", Provider.PBS, None, 17, "google-cloud-cli", None)
        path = "/usr/lib/google-cloud-sdk/platform/bundledpythonunix/bin/python3.12"
        package = self._vendors_package("google-cloud-cli", "528.0.0-0", "Google Cloud CLI Authors")
        self._base(path, build, Installer.DPKG, CryptoPlan(Linkage.STATIC, "3.0.16", path, package=package), package)

    def _nodejs(self) -> None:
        version = "20.20.2-1nodesource1"
        package = self._vendors_package("nodejs", version, "NodeSource")
        build = self._build(
            "20.20.2", Provider.VENDOR, version, 28, f"nodesource {self.known.system.manager}", None,
            implementation=Implementation.NODEJS,
        )  # fmt: skip
        crypto = CryptoPlan(Linkage.STATIC, "3.0.19", "/usr/bin/node", package=package)
        self._base("/usr/bin/node", build, _INSTALLERS[self.known.system.manager], crypto, package)

    def _vendors_package(self, name: str, version: str, vendor: str) -> Package:
        own = self.known.package(self.arch, name, version, name)
        return Package(own.manager, name, version, name, version, own.arch, PackageOrigin.VENDOR, vendor)

    def _build(
        self,
        version: str,
        provider: Provider,
        mark: str | None,
        built_on: int | None,
        origin: str,
        openssl: str | None,
        flags: tuple[str, ...] = (),
        implementation: Implementation = Implementation.CPYTHON,
    ) -> BuildPlan:
        return BuildPlan(implementation, version, self.arch, provider, mark, flags, built_on, origin, openssl)

    def _system_crypto(self, known: KnownSystem, openssl: OpensslPackage) -> CryptoPlan:
        return system_crypto(known, self.arch, openssl)

    def _base(
        self,
        path: str,
        build: BuildPlan,
        installer: Installer,
        crypto: CryptoPlan,
        package: Package | None = None,
        root: str = "/",
    ) -> None:
        self._installs.append(
            InstallPlan(
                path, InstallKind.BASE, build.implementation, installer, build, crypto, root=root, package=package
            )
        )

    # --- environments ---------------------------------------------------------------------------------------------

    def _environment(self, base: InstallPlan) -> None:
        kind, wheel, gone = self._pick(ENVIRONMENTS), self._pick(WHEELS), self._random.choice(_GONE)
        if kind == "none" or base.build is None:
            return
        state = _STATES[kind]
        folder = f"/srv/apps/{base.build.provider}-{base.build.version}-{state}/.venv"
        path = f"{folder}/bin/python"
        if any(one.path == path for one in self._installs):
            return
        if state is EnvironmentState.DANGLING:
            self._installs.append(_stale(path, gone))
            return
        self._installs.append(
            InstallPlan(
                path,
                InstallKind.VENV,
                base.implementation,
                Installer.UNKNOWN,
                base.build,
                base.crypto,
                realpath=path if state is EnvironmentState.COPIED else base.path,
                base=base.path,
                state=state,
                recorded_version=base.build.version,
            )
        )
        minor = int(base.build.minor.partition(".")[2])
        if wheel != "none" and minor >= WHEEL_PYTHON[wheel] and "free-threaded" not in base.build.flags:
            site = f"{folder}/lib/python{base.build.minor}/site-packages"
            self._copies.append(
                CopyPlan(f"{site}/cryptography/hazmat/bindings/_rust.abi3.so", folder, wheel, WHEEL_OPENSSL[wheel])
            )


def system_crypto(known: KnownSystem, arch: str, openssl: OpensslPackage) -> CryptoPlan:
    """Return the OpenSSL of a system with one of its packages."""
    system, generation = known.system, openssl.generation
    return CryptoPlan(
        Linkage.SYSTEM,
        openssl.version,
        f"{known.library_folder(arch)}/libcrypto.so.{generation}",
        f"libssl.so.{generation}",
        known.package(arch, system.openssl_name, openssl.package_version, system.openssl_source),
    )


def unpackaged(install: InstallPlan) -> InstallPlan:
    """Return what is known of an install where the host's package database cannot be read."""
    if install.root != "/":
        return install
    return replace(install, package=None, crypto=replace(install.crypto, package=None))


def _stale(path: str, version: str) -> InstallPlan:
    """Return an environment whose base was removed: of it only a link and a line in a file are left."""
    base = f"/home/deploy/.pyenv/versions/{version}/bin/python{version.rpartition('.')[0]}"
    return InstallPlan(
        path,
        InstallKind.VENV,
        Implementation.UNKNOWN,
        Installer.UNKNOWN,
        None,
        CryptoPlan(Linkage.UNRESOLVED),
        realpath=base,
        base=base,
        state=EnvironmentState.DANGLING,
        recorded_version=version,
    )


def _patched(known: KnownSystem, state: str) -> OpensslPackage:
    return known.openssl[min(_PATCH_INDEX[state], len(known.openssl) - 1)]
