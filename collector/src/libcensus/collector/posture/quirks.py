"""Known behaviours of a provider's builds that surprise who moves a program there, and the facts that tell of them.

A quirk is what the provider's own documentation says; a rule recognises it in the facts of an install and its build.
Every condition of a rule must hold. A fact that is not known meets no condition, so that nothing is said of a build
which nothing tells; and a quirk is no finding: it neither blocks a build nor makes it unsafe.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from libcensus.collector.posture.finding import Subject, SubjectKind
from libcensus.collector.posture.versions import parse_cpython
from libcensus.facts.vocabulary import FileRole, Implementation, Installer, InstallKind, LoaderKind, Provider

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libcensus.facts.interpreter import Build, Install, InstallSet

_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_VERSION = re.compile(r"\d+(?:\.\d+)+")
_DAY = re.compile(r"20\d{6}")
_TAG = re.compile(r"(20\d{6})(?:T\d{4})?")
_MODULE = re.compile(r"[a-z0-9_]+")


@dataclass(frozen=True, slots=True)
class Span:
    """From one version or build on, up to and without another; an end that is absent is open."""

    since: str | None = None
    before: str | None = None

    def __post_init__(self) -> None:
        """Refuse a span without an end."""
        if self.since is None and self.before is None:
            raise ValueError("a span needs since or before")

    def holds(self, value: tuple[int, ...] | None) -> bool:
        """Tell whether a version or build lies in the span; one that is not known does not."""
        if value is None:
            return False
        since, before = _numbers(self.since), _numbers(self.before)
        return (since is None or since <= value) and (before is None or value < before)


def _numbers(text: str | None) -> tuple[int, ...] | None:
    return None if text is None else tuple(int(part) for part in text.split("."))


@dataclass(frozen=True, slots=True)
class QuirkRule:
    """Conditions on facts; one that is empty or absent asks nothing, and of several words one is enough.

    ``versions`` are of CPython, a pre-release counts as its release; ``builds`` are python-build-standalone's tags by
    day. ``unless_installers`` are installers that take the behaviour away. ``vendors`` built the package of the
    install. ``loaders`` are those that the executable asks for. ``flags`` must all be there, of ``any_flag`` one.
    ``needs`` are sonames that the executable or one of its libraries wants from outside. ``lacks_module`` holds
    where one of these extension modules is absent, and is only asked of builds whose modules are files.
    """

    implementations: frozenset[Implementation] = frozenset()
    providers: frozenset[Provider] = frozenset()
    kinds: frozenset[InstallKind] = frozenset()
    installers: frozenset[Installer] = frozenset()
    unless_installers: frozenset[Installer] = frozenset()
    vendors: frozenset[str] = frozenset()
    versions: Span | None = None
    builds: Span | None = None
    loaders: frozenset[LoaderKind] = frozenset()
    flags: frozenset[str] = frozenset()
    any_flag: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()
    lacks_module: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuse conditions that nothing could meet, or that facts do not tell."""
        if not any(getattr(self, condition.name) for condition in fields(self)):
            raise ValueError("a rule needs a condition")
        for words in (self.implementations, self.providers, self.kinds, self.installers, self.loaders):
            if "unknown" in words:
                raise ValueError("what is not known is no condition")
        if self.versions is not None:
            if self.implementations != {Implementation.CPYTHON}:
                raise ValueError("versions need implementations to be cpython alone")
            _check_span("versions", self.versions, _VERSION)
        if self.builds is not None:
            if self.providers != {Provider.PBS}:
                raise ValueError("builds need providers to be pbs alone")
            _check_span("builds", self.builds, _DAY)
        if (self.installers or self.unless_installers or self.vendors) and self.kinds != {InstallKind.BASE}:
            raise ValueError("what installed an environment's base is not told by the environment: kinds must be base")
        for module in self.lacks_module:
            if _MODULE.fullmatch(module) is None:
                raise ValueError(f"{module!r} is no name of a module")

    def matches(self, install: Install, build: Build) -> bool:
        """Tell whether the facts of an install and its build meet every condition."""
        return (
            _is_one_of(build.implementation, self.implementations)
            and _is_one_of(build.provider, self.providers)
            and _is_one_of(install.kind, self.kinds)
            and _is_one_of(install.installer, self.installers)
            and install.installer not in self.unless_installers
            and _is_one_of(None if install.package is None else install.package.vendor, self.vendors)
            and self.flags <= set(build.flags)
            and (not self.any_flag or not self.any_flag.isdisjoint(build.flags))
            and (self.versions is None or self.versions.holds(_release(build.version)))
            and (self.builds is None or self.builds.holds(_day(build.provider_build)))
            and self._matches_files(build)
        )

    def _matches_files(self, build: Build) -> bool:
        """Tell whether the build's files meet the conditions on them."""
        if self.loaders and not any(
            file.requirement is not None and file.requirement.loader_kind in self.loaders
            for file in build.files
            if file.role is FileRole.EXECUTABLE
        ):
            return False
        if self.needs and not any(
            file.requirement is not None and not self.needs.isdisjoint(file.requirement.sonames)
            for file in build.files
            if file.role in (FileRole.EXECUTABLE, FileRole.LIBRARY)
        ):
            return False
        if not self.lacks_module:
            return True
        modules = {_module_of(file.path) for file in build.files if file.role is FileRole.MODULE}
        return bool(modules) and not self.lacks_module <= modules


def _check_span(name: str, span: Span, form: re.Pattern[str]) -> None:
    for end in (span.since, span.before):
        if end is not None and form.fullmatch(end) is None:
            raise ValueError(f"{name}: {end!r} has not the form of one")
    if span.since is not None and not span.holds(_numbers(span.since)):
        raise ValueError(f"{name}: {span.since} does not lie before {span.before}")


def _is_one_of(word: str | None, words: frozenset[str]) -> bool:
    return not words or word in words


def _release(version: str | None) -> tuple[int, ...] | None:
    """Return the numbers of the release that a version is, or leads to."""
    parsed = None if version is None else parse_cpython(version)
    return None if parsed is None else parsed.release


def _day(build: str | None) -> tuple[int, ...] | None:
    """Return the day that a tag of python-build-standalone names, as a number."""
    match = None if build is None else _TAG.fullmatch(build)
    return None if match is None else (int(match[1]),)


def _module_of(path: str) -> str:
    """Return the name of the extension module that a file holds: what stands before the first dot."""
    return path.rpartition("/")[2].partition(".")[0]


@dataclass(frozen=True, slots=True)
class Quirk:
    """One known behaviour: its name, what it means in practice, what to do about it, and who says so."""

    id: str
    title: str
    means: str
    advice: str
    source: str


@dataclass(frozen=True, slots=True)
class KnownQuirk:
    """A quirk with the rule that recognises it."""

    quirk: Quirk
    rule: QuirkRule

    def __post_init__(self) -> None:
        """Refuse a quirk that nobody could read, look up or find again."""
        quirk = self.quirk
        if _ID.fullmatch(quirk.id) is None:
            raise ValueError(f"{quirk.id!r} is no id: lower-case words with hyphens between them")
        if not quirk.title or quirk.title.endswith("."):
            raise ValueError("title is no headline")
        for name, text in (("means", quirk.means), ("advice", quirk.advice)):
            if not text.endswith("."):
                raise ValueError(f"{name} is no sentence")
        if not quirk.source.startswith("https://"):
            raise ValueError(f"source is no https address: {quirk.source!r}")


@dataclass(frozen=True, slots=True)
class QuirkTable:
    """Every quirk that is known, each once, in the order in which they are told."""

    quirks: tuple[KnownQuirk, ...] = ()


@dataclass(frozen=True, slots=True)
class SeenQuirk:
    """A quirk with the installs of one host that have it."""

    quirk: Quirk
    subjects: tuple[Subject, ...]


def quirks_of(install: Install, build: Build | None, table: QuirkTable) -> tuple[Quirk, ...]:
    """Return the quirks that an install has, in the table's order; none where its build could not be read."""
    if build is None:
        return ()
    return tuple(known.quirk for known in table.quirks if known.rule.matches(install, build))


def seen_quirks(installs: InstallSet, builds: Mapping[str, Build], table: QuirkTable) -> tuple[SeenQuirk, ...]:
    """Return the quirks that the installs of a host have, in the table's order, each with its installs in theirs."""
    seen: dict[str, list[Subject]] = {}
    for install in installs.installs:
        build = None if install.build is None else builds.get(install.build)
        for quirk in quirks_of(install, build, table):
            subject = Subject(SubjectKind.INSTALL, install.root, install.path)
            seen.setdefault(quirk.id, []).append(subject)
    return tuple(
        SeenQuirk(known.quirk, tuple(seen[known.quirk.id])) for known in table.quirks if known.quirk.id in seen
    )
