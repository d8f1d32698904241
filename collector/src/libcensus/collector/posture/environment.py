"""Whether a virtual environment is behind the base that it would get if it were made again today.

How an environment hangs on its base was told by the agent from links. One that follows its base is never stale: its
base is. Of one that is pinned or copied, what it runs is compared with its base's present build and with the other
installs that the same installer keeps beside that base; the version in pyvenv.cfg is that of its creation and proves
nothing of what it runs.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from libcensus.collector.posture.eol import INTERPRETERS
from libcensus.collector.posture.finding import Component
from libcensus.collector.posture.newest import name_of, pbs_build
from libcensus.collector.posture.staleness import (
    BuildMark,
    EnvironmentGrounds,
    StalenessKind,
    StalenessState,
    StaleVerdict,
)
from libcensus.collector.posture.versions import branch_of, parse_cpython
from libcensus.facts.evidence import Evidence
from libcensus.facts.vocabulary import EnvironmentState, EvidenceKind, Installer, InstallKind, Provider

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from libcensus.collector.posture.catalogue import Catalogue
    from libcensus.facts.interpreter import Build, Install

_HANDLED = frozenset({EnvironmentState.PINNED, EnvironmentState.COPIED})
_ABIS = frozenset({"debug", "free-threaded"})


@dataclass(frozen=True, slots=True)
class Held:
    """An install with its build, absent where it could not be read."""

    install: Install
    build: Build | None


class Bases:
    """The installs of one host that environments can be made from."""

    def __init__(self, held: Iterable[Held]) -> None:
        self._held = tuple(one for one in held if one.install.kind is InstallKind.BASE)
        self._by_path: dict[tuple[str, str], Held] = {}
        for one in self._held:
            install = one.install
            for path in (*install.aliases, install.realpath, install.path):
                self._by_path[install.root, path] = one

    @cached_property
    def _by_store(self) -> dict[tuple[object, ...], list[Held]]:
        # Few hosts have an environment that does not follow its base, so that few need it.
        found: dict[tuple[object, ...], list[Held]] = {}
        for one in self._held:
            if one.build is not None:
                found.setdefault(_store(one, one.build), []).append(one)
        return found

    def base_of(self, install: Install) -> Held | None:
        """Return the install that an environment names as its base."""
        return None if install.base is None else self._by_path.get((install.root, install.base))

    def beside(self, base: Held) -> Sequence[Held]:
        """Return the installs that the installer of a base keeps beside it, for the same modules; itself included."""
        return () if base.build is None else self._by_store.get(_store(base, base.build), ())

    def of_line(self, root: str, minor: str) -> list[Held]:
        """Return the CPythons of a root that are of a release line."""
        return [
            one
            for one in self._held
            if one.install.root == root
            and one.build is not None
            and INTERPRETERS.get(one.build.implementation) is Component.CPYTHON
            and minor_of(one.build) == minor
        ]


def minor_of(build: Build) -> str | None:
    """Return the Python that a build speaks, as environments are made for it: ``3.12``; None where nothing tells."""
    spoken = next((flag.removeprefix("python-") for flag in build.flags if flag.startswith("python-")), None)
    return spoken or (None if build.version is None else branch_of(Component.CPYTHON, build.version))


def _store(held: Held, build: Build) -> tuple[object, ...]:
    """Return what two installs have in common where making an environment again takes the newer of them."""
    install = held.install
    prefix = install.path.rpartition("/")[0].rpartition("/")[0]
    abi = _ABIS & set(build.flags)
    where = (install.root, prefix.rpartition("/")[0], install.installer)
    return (*where, build.provider, build.implementation, minor_of(build), build.arch, abi)


class Weighed(NamedTuple):
    """How old an environment is; ``newest`` is the place among those beside its base that decides, None for its base.

    Of an unknown state it is the one that could not be compared; ``reason`` tells of what is not about that.
    """

    state: StalenessState
    newest: int | None = None
    reason: str | None = None


def grounds_of(environment: Held, bases: Bases) -> EnvironmentGrounds:
    """Return what the state of an environment rests on."""
    return _held_against(environment, bases)[0]


def _held_against(environment: Held, bases: Bases) -> tuple[EnvironmentGrounds, Held | None, list[Held]]:
    """Return the grounds of an environment, its base, and what lies beside that, as far as it is held against them."""
    install, build = environment.install, environment.build
    if install.state not in _HANDLED:
        return EnvironmentGrounds(install.state, is_doubtful=_doubt(install) is not None), None, []
    base = bases.base_of(install)
    own = None if build is None else BuildMark.of(build)
    if base is None or base.build is None:
        return EnvironmentGrounds(install.state, own=own), None, []
    is_replaced = install.state is EnvironmentState.COPIED and install.build != base.install.build
    present = BuildMark.of(base.build)
    beside = [one for one in bases.beside(base) if one is not base and one.install.build != install.build]
    marks = tuple(BuildMark.of(one.build) for one in beside if one.build is not None)
    grounds = EnvironmentGrounds(install.state, own=own, base=present, is_replaced=is_replaced, beside=marks)
    return grounds, base, beside


def weigh(grounds: EnvironmentGrounds, catalogue: Catalogue) -> Weighed:
    """Return how old an environment is, by its grounds alone."""
    own, base = grounds.own, grounds.base
    if grounds.state is EnvironmentState.DANGLING:
        return Weighed(StalenessState.UNKNOWN if grounds.is_doubtful else StalenessState.STALE)
    if grounds.state is EnvironmentState.FOLLOWS:
        return Weighed(StalenessState.CURRENT)
    if grounds.state not in _HANDLED:
        return Weighed(StalenessState.UNKNOWN, reason="how it hangs on its base is not known")
    if own is None:
        return Weighed(StalenessState.UNKNOWN, reason="what it runs could not be read")
    if base is None:
        reason = "its base is none of the interpreters that were found and could be read"
        return Weighed(StalenessState.UNKNOWN, reason=reason)
    is_behind = grounds.is_replaced and _is_newer(own, base, catalogue) is not True
    best, newest, unclear = base if is_behind else own, None, None
    for number, one in enumerate(grounds.beside):
        newer = _is_newer(one, best, catalogue)
        if newer:
            best, newest, is_behind = one, number, True
        elif newer is None and unclear is None:
            unclear = number
    if is_behind:
        return Weighed(StalenessState.STALE, newest)
    if unclear is not None:
        return Weighed(StalenessState.UNKNOWN, unclear)
    if own.version is None:
        return Weighed(StalenessState.UNKNOWN, reason="its version could not be read")
    return Weighed(StalenessState.CURRENT)


def judge_environment(environment: Held, bases: Bases, catalogue: Catalogue) -> tuple[StalenessKind, StaleVerdict]:
    """Return whether an environment has lost its base or is behind it."""
    install, build = environment.install, environment.build
    if install.state is EnvironmentState.DANGLING:
        return StalenessKind.ENVIRONMENT_BASE_GONE, _judge_dangling(install, bases)
    kind = StalenessKind.ENVIRONMENT_BEHIND_BASE
    told = tuple(item for item in install.evidence if item.subject in {"state", "base", "recorded_version"})
    has = None if build is None else name_of(BuildMark.of(build))
    grounds, base, beside = _held_against(environment, bases)
    weighed = weigh(grounds, catalogue)
    if weighed.state is StalenessState.CURRENT:
        return kind, StaleVerdict(StalenessState.CURRENT, has, has, evidence=told)
    if weighed.reason is not None:
        reason = weighed.reason
        if install.state not in _HANDLED:
            more = next((item.detail for item in told if item.subject == "state"), "no link or file tells it")
            reason = f"{reason}: {more}"
        return kind, _unknown(has, reason, told)
    chosen = base if weighed.newest is None else beside[weighed.newest]
    if chosen is None or chosen.build is None:
        raise AssertionError("held against nothing")
    newest = name_of(BuildMark.of(chosen.build))
    if weighed.state is StalenessState.UNKNOWN:
        return kind, _unknown(has, f"nothing tells whether {newest} in {chosen.install.path} is newer", told)
    words = f"made again, it would get {chosen.install.path}: {newest}"
    if chosen is base:
        words += ", another build than the one that its executable was copied from"
    proof = Evidence("staleness", EvidenceKind.PATH, chosen.install.path, words)
    return kind, StaleVerdict(StalenessState.STALE, has, newest, None, _remedy(install, chosen), (*told, proof))


def _is_newer(one: BuildMark, other: BuildMark, catalogue: Catalogue) -> bool | None:
    """Tell whether a build is newer than another of its kind; None where nothing tells."""
    read = [None if build.version is None else parse_cpython(build.version) for build in (one, other)]
    if read[0] is None or read[1] is None:
        return None
    if read[0] != read[1]:
        return read[0] > read[1]
    if one.provider_build == other.provider_build and one.provider_build is not None:
        return False
    if one.provider is Provider.PBS and other.provider is Provider.PBS:
        days = [pbs_build(build.provider_build, catalogue) for build in (one, other)]
        if days[0] is not None and days[1] is not None:
            return days[0].date > days[1].date
    return None


def _doubt(install: Install) -> Evidence | None:
    """Return what says that a base which is not there may lie outside of what was scanned."""
    return next((one for one in install.evidence if one.subject == "state" and one.kind is EvidenceKind.ABSENCE), None)


def _judge_dangling(install: Install, bases: Bases) -> StaleVerdict:
    doubt = _doubt(install)
    told = tuple(item for item in install.evidence if item.subject in {"state", "base"})
    has = install.base or install.realpath
    if doubt is not None:
        return _unknown(has, doubt.detail, told)
    minor = None if install.recorded_version is None else branch_of(Component.CPYTHON, install.recorded_version)
    left = [] if minor is None else bases.of_line(install.root, minor)
    left.sort(key=lambda one: (parse_cpython((one.build and one.build.version) or "") or _NO_VERSION, one.install.path))
    proof = Evidence("staleness", EvidenceKind.ABSENCE, install.path, f"leads to {has}, which is not there")
    if not left:
        folder = shlex.quote(_folder(install))
        remedy = f"re-create this environment with a Python that is there, or remove it: {folder}"
        return StaleVerdict(StalenessState.STALE, has, None, None, remedy, (*told, proof))
    newest = left[-1]
    name = newest.install.path if newest.build is None else name_of(BuildMark.of(newest.build))
    return StaleVerdict(StalenessState.STALE, has, name, None, _remedy(install, newest), (*told, proof))


_NO_VERSION = parse_cpython("0.0")


def _folder(install: Install) -> str:
    return install.path.rpartition("/")[0].rpartition("/")[0]


def _remedy(install: Install, base: Held) -> str:
    """Return the command that makes an environment again with the newest base; its packages are lost with the old."""
    folder = shlex.quote(_folder(install))
    minor = None if base.build is None else minor_of(base.build)
    if install.installer is Installer.UV and base.install.installer is Installer.UV and minor is not None:
        command = f"uv venv --clear --python {minor} {folder}"
    elif install.installer is Installer.UV:
        command = f"uv venv --clear --python {shlex.quote(base.install.path)} {folder}"
    else:
        command = f"{shlex.quote(base.install.path)} -m venv --clear {folder}"
    return f"re-create this environment and install its packages again: {command}"


def _unknown(has: str | None, reason: str, told: tuple[Evidence, ...]) -> StaleVerdict:
    proof = Evidence("staleness", EvidenceKind.ABSENCE, "", f"not known, because {reason}")
    return StaleVerdict(StalenessState.UNKNOWN, has, evidence=(*told, proof))
