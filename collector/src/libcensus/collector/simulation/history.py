"""The past of simulated hosts, as choices: what each was on earlier days, up to what it is.

The host as it was drawn stands at the end and is never changed by its past. Back from there, each thing on it is
followed to the older versions that were out then, at moments of its own: those at which somebody upgraded it. A past
that is told for more days ends with the one that is told for fewer, but for the first report. Nothing is on a host
before it was out; a host that was drawn with something younger than its last report has that report alone.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

from libcensus.collector.simulation.builds import BuildPlan
from libcensus.collector.simulation.plan import (
    CONTAINER_ROOT,
    FIRST_DYNAMIC_MUSL,
    CopyPlan,
    CryptoPlan,
    InstallPlan,
    system_crypto,
    unpackaged,
)
from libcensus.collector.simulation.shares import PAST, PBS_MINORS, UPGRADES, WHEEL_DAYS, WHEEL_OPENSSL, WHEEL_PYTHON
from libcensus.facts.vocabulary import (
    EnvironmentState,
    Implementation,
    Installer,
    InstallKind,
    Linkage,
    Provider,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from libcensus.collector.posture.catalogue import PbsBuild
    from libcensus.collector.simulation.plan import Choices, HostPlan, ToolPlan
    from libcensus.collector.simulation.systems import KnownSystem, OpensslPackage

_T = TypeVar("_T")
_U = TypeVar("_U")

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR = 365
_DAY = 86400
_FOLDER_OF_GONE = "/home/deploy/.pyenv/versions/"
_MUST_FIT = "3.10."
"""Of the Pythons that are gone, the ones that every OpenSSL of Debian and Ubuntu is new enough for, and old enough."""


class _FutureError(Exception):
    """Something on the host is younger than its last report: no past leads there."""


@dataclass(frozen=True, slots=True)
class _Line(Generic[_T]):
    """What one thing was from when on, the oldest first; None is its absence."""

    changes: tuple[tuple[datetime, _T | None], ...]

    def at(self, moment: datetime) -> _T | None:
        """Return what it was at a moment."""
        place = bisect_right(self.changes, moment, key=lambda change: change[0])
        return self.changes[place - 1][1] if place else None

    def map(self, make: Callable[[_T], _U]) -> _Line[_U]:
        """Return the same with each value replaced."""
        return _Line(tuple((moment, None if item is None else make(item)) for moment, item in self.changes))


@dataclass(frozen=True, slots=True)
class _Base:
    """An install that is no environment, through time: its version's part, and its facts with a system's OpenSSL."""

    now: InstallPlan
    line: _Line[InstallPlan]


@dataclass(frozen=True, slots=True)
class _Environment:
    """An environment through time; ``line`` says which state of its base it was made from."""

    now: InstallPlan
    line: _Line[InstallPlan]


class Past:
    """Tells the past of hosts that were drawn from the same choices."""

    def __init__(self, choices: Choices, days: int) -> None:
        self._choices = choices
        self._days = days
        self._builds: dict[tuple[object, ...], list[tuple[datetime, PbsBuild]]] = {}

    @property
    def start(self) -> datetime:
        """The beginning of the first day that is told."""
        return datetime.combine(self._choices.as_of - timedelta(days=self._days), time(0), UTC)

    def states_of(self, plan: HostPlan) -> tuple[HostPlan, ...]:
        """Return what a host reported, the oldest first; the last is the host as it was drawn.

        There is one report when it joined or the time that is told began, one at each change, and the last one.
        """
        if not self._days:
            return (plan,)
        try:
            return _HostPast(self._choices, self, plan).states()
        except _FutureError:
            return (plan,)

    def builds_until(self, build: BuildPlan, *, by_uv: bool) -> list[tuple[datetime, PbsBuild]]:
        """Return the builds of a minor release up to this one, the newest first, with the moments since when."""
        key = (build.provider_build, build.minor, build.libc, by_uv)
        found = self._builds.get(key)
        if found is None:
            told = self._choices.pbs_until(build, by_uv=by_uv)
            found = self._builds[key] = [(_begin_of(day), one) for day, one in told]
        return found


class _HostPast:
    """The past of one host. Every thing on it has a generator of its own, so that none depends on another's."""

    def __init__(self, choices: Choices, past: Past, plan: HostPlan) -> None:
        self._choices = choices
        self._past = past
        self._plan = plan
        self._end = plan.reported_at
        rng = self._random("host")
        first = past.start + timedelta(seconds=rng.randrange(3600))
        joined = self._within_year(rng)
        if self._happens(rng, "joined"):
            first = max(first, joined)
        if plan.known.released is not None:
            first = max(first, _begin_of(plan.known.released))
        self._first = first

    # --- chance ---------------------------------------------------------------------------------------------------

    def _random(self, thing: str) -> random.Random:
        return random.Random(f"{self._plan.host_id} past {thing}")  # noqa: S311 - to be repeated, not secret

    def _happens(self, rng: random.Random, name: str) -> bool:
        percent = next(share.percent for share in PAST if share.name == name)
        return rng.random() * 100 < percent

    def _within_year(self, rng: random.Random) -> datetime:
        return self._end - timedelta(seconds=rng.randrange(60, _YEAR * _DAY))

    def _moments(self, rng: random.Random, who: str, newest: datetime, begin: datetime) -> list[datetime]:
        """Return when something was upgraded, the newest first, back to the first moment that is not after ``begin``.

        ``newest`` is since when the version that it has at the end could be had: one moment at least is not before.
        """
        shares = UPGRADES[who]
        every = int(rng.choices(shares, [share.percent for share in shares])[0].name) * _DAY
        moment = self._end - timedelta(seconds=rng.randrange(60, every))
        late = rng.random()
        found = [moment]
        while moment > begin:
            moment -= timedelta(seconds=rng.randrange(every // 2, every + every // 2))
            found.append(moment)
        if found[0] < newest:
            span = int((self._end - newest).total_seconds())
            if span < 1:
                raise _FutureError
            found.insert(0, newest + timedelta(seconds=int(late * span)))
        return found

    def _line(
        self,
        thing: str,
        who: str,
        offers: Sequence[tuple[datetime, _T]],
        *,
        can_come: bool = False,
        begin: datetime | None = None,
        end: datetime | None = None,
    ) -> _Line[_T]:
        """Return how something came to what is offered first, the newest; it is not there before anything was out.

        With ``can_come`` it may have come late. ``end`` is when it was removed. ``begin`` is how far back to go.
        """
        rng = self._random(thing)
        came, is_late = self._within_year(rng), can_come and self._happens(rng, "came")
        moments = self._moments(rng, who, offers[0][0], self._first if begin is None else begin)
        if is_late:
            moments = [*(moment for moment in moments if moment > came), came]
        changes: list[tuple[datetime, _T | None]] = []
        for moment in reversed(moments):
            item = next((item for since, item in offers if since <= moment), None)
            if not changes or changes[-1][1] != item:
                changes.append((moment, item))
        if end is not None:
            changes = [*(change for change in changes if change[0] < end), (end, None)]
        return _Line(tuple(changes))

    # --- what was there -------------------------------------------------------------------------------------------

    def states(self) -> tuple[HostPlan, ...]:
        """Return the host at its reports."""
        plan = self._plan
        self._openssl = self._line("system", "system", _packages(plan.known, plan.openssl))
        needs_past = [one for one in plan.installs if one.kind is InstallKind.BASE]
        environments = [one for one in plan.installs if one.kind is InstallKind.VENV]
        renewals = {one.path: self._renewals(one) for one in environments if one.state in _OWN_PACE}
        back = {one.base: renewals[one.path][-1] for one in environments if one.path in renewals}
        self._bases = [self._base(one, min(back.get(one.path, self._first), self._first)) for one in needs_past]
        by_path = {(one.now.root, one.now.path): one for one in self._bases}
        self._environments = [
            self._environment(one, by_path.get((one.root, one.base or "")), renewals.get(one.path, ()))
            for one in environments
        ]
        self._copies = [self._copy(one) for one in plan.copies]
        self._gone()
        found = {moment for moment, _ in self._openssl.changes}
        for base in self._bases:
            found |= {moment for moment, _ in base.line.changes}
        for environment in self._environments:
            found |= {moment for moment, _ in environment.line.changes}
        for _, line in self._copies:
            found |= {moment for moment, _ in line.changes}
        moments = sorted(moment for moment in found if self._first < moment < self._end)
        states: list[HostPlan] = []
        for moment in (self._first, *moments) if self._first < self._end else ():
            state = self._state(moment)
            if not states or replace(state, reported_at=states[-1].reported_at) != states[-1]:
                states.append(state)
        return (*states, plan)

    def _base(self, now: InstallPlan, begin: datetime) -> _Base:
        """Return the past of an install; one of which the snapshot tells no versions was always the same."""
        build = now.build
        thing = f"{now.root} {now.path}"
        if build is None or not build.is_readable or build.provider is Provider.DISTRO:
            return _Base(now, _Line(((_LONG_AGO, now),)))
        if build.provider is Provider.PBS and build.provider_build is not None:
            by_uv = now.installer is Installer.UV
            offers = self._past.builds_until(build, by_uv=by_uv)
            line = self._line(thing, "uv" if by_uv else "hatch", offers, can_come=True, begin=begin)
            return _Base(now, line.map(lambda one: _with_pbs(now, one)))
        if build.provider in {Provider.PYENV, Provider.SOURCE} and build.version is not None:
            pythons = _since(self._choices.pythons_until(build.version))
            line2 = self._line(thing, "pyenv", pythons, can_come=True, begin=begin)
            return _Base(now, line2.map(lambda version: _with_version(now, version)))
        if build.provider is Provider.CONDA and build.version is not None and now.crypto.version is not None:
            both = _together(
                _since(self._choices.pythons_until(build.version)),
                _since(self._choices.openssl_until(now.crypto.version)),
            )
            line3 = self._line(thing, "conda", both, can_come=True, begin=begin)
            return _Base(now, line3.map(lambda pair: _with_conda(now, *pair)))
        if build.provider is Provider.DOCKER_OFFICIAL and build.version is not None and self._plan.container:
            inner, arch = self._plan.container, self._plan.arch
            steps = _together(_since(self._choices.pythons_until(build.version)), _packages(inner, inner.openssl[0]))
            line4 = self._line(thing, "image", steps, can_come=True, begin=begin)

            def pulled(step: tuple[str, OpensslPackage]) -> InstallPlan:
                return replace(_with_version(now, step[0]), crypto=system_crypto(inner, arch, step[1]))

            return _Base(now, line4.map(pulled))
        return _Base(now, self._line(thing, "pyenv", [(_LONG_AGO, now)], can_come=True, begin=begin))

    def _renewals(self, now: InstallPlan) -> list[datetime]:
        return self._moments(self._random(f"{now.root} {now.path}"), "environment", _LONG_AGO, self._first)

    def _environment(self, now: InstallPlan, base: _Base | None, renewals: Sequence[datetime]) -> _Environment:
        """Return the past of an environment: it follows its base, or stays behind until it is made again."""
        if base is None:
            return self._lost(now)
        rng = self._random(f"{now.root} {now.path} made")
        made, is_late = self._within_year(rng), self._happens(rng, "made")
        changes = list(base.line.changes)
        if renewals:
            newest = changes[-1][0]
            moments = list(renewals)
            if moments[0] < newest:
                moments.insert(0, newest + timedelta(seconds=int((self._end - newest).total_seconds() * rng.random())))
            changes = [(moment, base.line.at(moment)) for moment in reversed(moments)]
        line = _Line(tuple(changes))
        if is_late:
            changes = [(made, line.at(made)), *(change for change in line.changes if change[0] > made)]
            line = _Line(tuple(changes))
        return _Environment(now, line)

    def _lost(self, now: InstallPlan) -> _Environment:
        """Return the past of an environment whose base is gone: until then it followed it, where that can be told."""
        version = now.recorded_version or ""
        rng = self._random(f"gone {version}")
        removed, is_told = self._within_year(rng), self._happens(rng, "base-gone")
        known, plan = self._plan.known, self._plan
        always: _Line[InstallPlan] = _Line(((_LONG_AGO, now),))
        if not (is_told and known.system.is_dpkg and version.startswith(_MUST_FIT) and now.base):
            return _Environment(now, always)
        minor = ".".join(version.split(".")[:2])
        build = BuildPlan(
            Implementation.CPYTHON, version, plan.arch, Provider.PYENV, None, (), known.glibc, known.system.name,
            plan.openssl.generation,
        )  # fmt: skip
        base = InstallPlan(
            f"{_FOLDER_OF_GONE}{version}/bin/python{minor}",
            InstallKind.BASE,
            Implementation.CPYTHON,
            Installer.PYENV,
            build,
            system_crypto(known, plan.arch, plan.openssl),
        )
        then = replace(
            now, base=base.path, realpath=base.path, build=build, state=EnvironmentState.FOLLOWS,
            implementation=base.implementation, crypto=base.crypto,
        )  # fmt: skip
        if all(one.now.path != base.path for one in self._bases):
            self._bases.append(_Base(base, _Line(((_LONG_AGO, base), (removed, None)))))
        return _Environment(now, _Line(((_LONG_AGO, then), (removed, now))))

    def _copy(self, now: CopyPlan) -> tuple[CopyPlan, _Line[str]]:
        wheels = [(_begin_of(day), wheel) for wheel, day in WHEEL_DAYS.items() if day <= WHEEL_DAYS[now.wheel]]
        wheels.sort(reverse=True)
        return now, self._line(now.path, "wheel", wheels)

    def _gone(self) -> None:
        """Add what was there and is no more."""
        plan = self._plan
        rng = self._random("gone")
        minor, removed, has_build = rng.choice(PBS_MINORS).name, self._within_year(rng), self._happens(rng, "uv-gone")
        ended, has_environment = self._within_year(rng), self._happens(rng, "environment-gone")
        wheel = rng.choice(sorted(WHEEL_OPENSSL))
        uvs = [one for one in plan.installs if one.installer is Installer.UV and one.build is not None]
        if has_build and uvs and minor not in {one.build.minor for one in uvs if one.build}:
            self._removed_build(uvs[0], minor, removed)
        system = next(one for one in self._bases if one.now.build and one.now.build.provider is Provider.DISTRO)
        if has_environment and system.now.build is not None:
            folder = f"/srv/apps/{system.now.build.provider}-before/.venv"
            then = _environment_of(system.now, f"{folder}/bin/python")
            self._environments.append(_Environment(then, _Line(((_LONG_AGO, system.now), (ended, None)))))
            third = int(system.now.build.minor.partition(".")[2])
            day = WHEEL_DAYS[wheel]
            if third >= WHEEL_PYTHON[wheel] and _begin_of(day) < ended:
                site = f"{folder}/lib/python{system.now.build.minor}/site-packages"
                path = f"{site}/cryptography/hazmat/bindings/_rust.abi3.so"
                copy = CopyPlan(path, folder, wheel, WHEEL_OPENSSL[wheel])
                self._copies.append((copy, _Line(((_begin_of(day), wheel), (ended, None)))))

    def _removed_build(self, other: InstallPlan, minor: str, removed: datetime) -> None:
        """Add a build of another minor release that uv installed and somebody removed."""
        newest = self._choices.pbs_on(minor, removed.date())
        build = other.build
        if build is None or newest is None or (build.built_on is None and newest.tag < FIRST_DYNAMIC_MUSL):
            return
        version, libc = newest.cpython[minor], "gnu" if build.built_on is not None else "musl"
        path = f"/home/deploy/.local/share/uv/python/cpython-{version}-linux-{self._plan.arch}-{libc}/bin/python{minor}"
        now = replace(
            other,
            path=path,
            build=replace(build, version=version, provider_build=newest.tag, flags=()),
            crypto=CryptoPlan(Linkage.STATIC, newest.openssl, path),
        )
        offers = self._past.builds_until(now.build or build, by_uv=True)
        line = self._line(f"gone {minor}", "uv", offers, end=removed)
        self._bases.append(_Base(now, line.map(lambda one: _with_pbs(now, one))))

    # --- one moment -----------------------------------------------------------------------------------------------

    def _state(self, moment: datetime) -> HostPlan:
        """Return the host as it was at a moment."""
        plan = self._plan
        openssl = self._openssl.at(moment)
        if openssl is None:
            raise AssertionError(f"{plan.host_id} had no OpenSSL on {moment}")
        installs: dict[tuple[str, str], InstallPlan] = {}
        for base in self._bases:
            there = base.line.at(moment)
            if there is not None:
                installs[there.root, there.path] = self._on_system(there, openssl)
        folders = set()
        for environment in self._environments:
            made_of = environment.line.at(moment)
            if made_of is None:
                continue
            now = environment.now
            folders.add(now.path.removesuffix("/bin/python"))
            if made_of.kind is InstallKind.VENV:
                installs[now.root, now.path] = self._on_system(made_of, openssl)
                continue
            # What an environment was made from stays on disk for it, and is another where it lies in another place.
            made_of = installs.setdefault((made_of.root, made_of.path), self._on_system(made_of, openssl))
            installs[now.root, now.path] = _made_of(now, made_of)
        tools = [
            self._choices.uv_for(one.build.provider_build)
            for one in installs.values()
            if one.installer is Installer.UV and one.build is not None and one.build.provider_build is not None
        ]
        found: Iterable[InstallPlan] = installs.values()
        if plan.has_failed_probe:
            found = map(unpackaged, found)
        return replace(
            plan,
            reported_at=moment,
            openssl=openssl,
            installs=tuple(sorted(found, key=lambda one: (one.root, one.path))),
            copies=self._copies_at(moment, folders),
            tool=_newest(tools),
            container=plan.container if any(root == CONTAINER_ROOT for root, _ in installs) else None,
        )

    def _on_system(self, install: InstallPlan, openssl: OpensslPackage) -> InstallPlan:
        """Return an install with the system's OpenSSL of that moment, where it uses that."""
        if install.root != "/" or install.crypto.linkage is not Linkage.SYSTEM:
            return install
        return replace(install, crypto=system_crypto(self._plan.known, self._plan.arch, openssl))

    def _copies_at(self, moment: datetime, folders: set[str]) -> tuple[CopyPlan, ...]:
        found = []
        for copy, line in self._copies:
            wheel = line.at(moment)
            if wheel is not None and copy.environment in folders:
                found.append(replace(copy, wheel=wheel, openssl=WHEEL_OPENSSL[wheel]))
        return tuple(sorted(found, key=lambda one: one.path))


_OWN_PACE = {EnvironmentState.PINNED, EnvironmentState.COPIED}


def _begin_of(day: date) -> datetime:
    return datetime.combine(day, time(0), UTC)


def _since(offers: list[tuple[date, str]]) -> list[tuple[datetime, str]]:
    return [(_begin_of(day), item) for day, item in offers]


def _packages(known: KnownSystem, newest: OpensslPackage) -> list[tuple[datetime, OpensslPackage]]:
    """Return a system's packages up to this one, the newest first, as far back as their days are known.

    The oldest of them was there before, for nothing tells what was.
    """
    found: list[tuple[datetime, OpensslPackage]] = []
    for package, day in list(zip(known.openssl, known.days, strict=True))[known.openssl.index(newest) :]:
        if day is None:
            break
        found.append((_begin_of(day), package))
    return [*found[:-1], (_LONG_AGO, found[-1][1] if found else newest)]


def _together(
    left: Sequence[tuple[datetime, _T]], right: Sequence[tuple[datetime, _U]]
) -> list[tuple[datetime, tuple[_T, _U]]]:
    """Return what two things were together, the newest first."""
    found = []
    for moment in sorted({since for since, _ in (*left, *right)}, reverse=True):
        one = next((item for since, item in left if since <= moment), None)
        other = next((item for since, item in right if since <= moment), None)
        if one is not None and other is not None:
            found.append((moment, (one, other)))
    return found


def _with_version(now: InstallPlan, version: str) -> InstallPlan:
    """Return an install of another patch release; pyenv puts each into a folder of its own."""
    build = now.build
    if build is None or build.version is None:
        raise AssertionError(f"{now.path} has no version")
    path = now.path.replace(f"/versions/{build.version}/", f"/versions/{version}/")
    return replace(now, path=path, build=replace(build, version=version))


def _with_conda(now: InstallPlan, version: str, openssl: str) -> InstallPlan:
    return replace(_with_version(now, version), crypto=replace(now.crypto, version=openssl))


def _with_pbs(now: InstallPlan, release: PbsBuild) -> InstallPlan:
    """Return an install of another build of the same minor release; uv names the folder by the patch release."""
    build = now.build
    if build is None or build.version is None:
        raise AssertionError(f"{now.path} has no version")
    version = release.cpython[build.minor]
    path = now.path.replace(f"/cpython-{build.version}", f"/cpython-{version}")
    crypto = now.crypto
    if crypto.version is not None:
        crypto = replace(crypto, version=release.openssl, path=path)
    return replace(now, path=path, build=replace(build, version=version, provider_build=release.tag), crypto=crypto)


def _environment_of(base: InstallPlan, path: str) -> InstallPlan:
    now = InstallPlan(
        path, InstallKind.VENV, base.implementation, Installer.UNKNOWN, base.build, base.crypto,
        state=EnvironmentState.FOLLOWS,
    )  # fmt: skip
    return _made_of(now, base)


def _made_of(now: InstallPlan, base: InstallPlan) -> InstallPlan:
    """Return an environment that was made from this state of its base."""
    return replace(
        now,
        build=base.build,
        crypto=base.crypto,
        base=base.path,
        realpath=now.path if now.state is EnvironmentState.COPIED else base.path,
        recorded_version=None if base.build is None else base.build.version,
    )


def _newest(tools: list[ToolPlan | None]) -> ToolPlan | None:
    known = [tool for tool in tools if tool is not None]
    return max(known, key=lambda tool: tool.newest_build, default=None)
