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
from typing import TYPE_CHECKING

from libcensus.collector.posture.eol import INTERPRETERS
from libcensus.collector.posture.finding import Component
from libcensus.collector.posture.newest import name_of, pbs_build
from libcensus.collector.posture.staleness import Lag, StalenessKind, StalenessState
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


def judge_environment(environment: Held, bases: Bases, catalogue: Catalogue) -> tuple[StalenessKind, Lag]:
    """Return whether an environment has lost its base or is behind it."""
    install, build = environment.install, environment.build
    if install.state is EnvironmentState.DANGLING:
        return StalenessKind.ENVIRONMENT_BASE_GONE, _judge_dangling(install, bases)
    kind = StalenessKind.ENVIRONMENT_BEHIND_BASE
    told = tuple(item for item in install.evidence if item.subject in {"state", "base", "recorded_version"})
    has = None if build is None else name_of(build)
    if install.state is EnvironmentState.FOLLOWS:
        return kind, Lag(StalenessState.CURRENT, has, has, evidence=told)
    if install.state not in _HANDLED:
        reason = next((item.detail for item in told if item.subject == "state"), "no link or file tells it")
        return kind, _unknown(has, f"how it hangs on its base is not known: {reason}", told)
    if build is None:
        return kind, _unknown(None, "what it runs could not be read", told)
    base = bases.base_of(install)
    if base is None or base.build is None:
        return kind, _unknown(has, "its base is none of the interpreters that were found and could be read", told)
    is_copy = install.state is EnvironmentState.COPIED
    best: Held | None = base if is_copy and _was_replaced(install, build, base, base.build, catalogue) else None
    unclear: Held | None = None
    for one in bases.beside(base):
        # Both have a build: those beside a base are kept by it.
        held = one.build
        if held is None or install.build == one.install.build:
            continue
        newer = _is_newer(held, build, catalogue)
        if newer is None and one is not base:
            unclear = unclear or one
        elif newer and (best is None or best.build is None or _is_newer(held, best.build, catalogue)):
            best = one
    if best is not None and best.build is not None:
        words = f"made again, it would get {best.install.path}: {name_of(best.build)}"
        if best is base:
            words += ", another build than the one that its executable was copied from"
        proof = Evidence("staleness", EvidenceKind.PATH, best.install.path, words)
        newest = name_of(best.build)
        remedy = _remedy(install, best)
        return kind, Lag(StalenessState.STALE, has, newest, None, remedy, (*told, proof))
    if unclear is not None and unclear.build is not None:
        reason = f"nothing tells whether {name_of(unclear.build)} in {unclear.install.path} is newer"
        return kind, _unknown(has, reason, told)
    if build.version is None:
        return kind, _unknown(has, "its version could not be read", told)
    return kind, Lag(StalenessState.CURRENT, has, has, evidence=told)


def _was_replaced(install: Install, own: Build, base: Held, present: Build, catalogue: Catalogue) -> bool:
    """Tell whether a copied executable is another than its base has now, and not a newer one."""
    return install.build != base.install.build and _is_newer(own, present, catalogue) is not True


def _is_newer(one: Build, other: Build, catalogue: Catalogue) -> bool | None:
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


def _judge_dangling(install: Install, bases: Bases) -> Lag:
    doubt = next((one for one in install.evidence if one.subject == "state" and one.kind is EvidenceKind.ABSENCE), None)
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
        return Lag(StalenessState.STALE, has, None, None, remedy, (*told, proof))
    newest = left[-1]
    name = newest.install.path if newest.build is None else name_of(newest.build)
    return Lag(StalenessState.STALE, has, name, None, _remedy(install, newest), (*told, proof))


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


def _unknown(has: str | None, reason: str, told: tuple[Evidence, ...]) -> Lag:
    proof = Evidence("staleness", EvidenceKind.ABSENCE, "", f"not known, because {reason}")
    return Lag(StalenessState.UNKNOWN, has, evidence=(*told, proof))
