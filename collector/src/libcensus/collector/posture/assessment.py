"""Everything that is said about one host on one day, from its facts and the catalogue.

Judging is done once per distinct case: the same build with the same crypto library, the same build on the same
platform. What differs between hosts is only where a case lies, so a fleet costs what its variety costs. Nothing here
reads a clock: the day is given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping  # noqa: TC003  the dataclass decorator of slots needs it at run time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from libcensus.collector.posture.eol import judge_support
from libcensus.collector.posture.finding import (
    Component,
    EndOfLife,
    Finding,
    Severity,
    Subject,
    SubjectKind,
    VexStatus,
    worst_severity,
)
from libcensus.collector.posture.portability import Offer, check_build
from libcensus.collector.posture.remedy import Circumstances
from libcensus.collector.posture.security import judge_openssl
from libcensus.facts.evidence import Evidence
from libcensus.facts.vocabulary import CryptoFamily, EvidenceKind, Implementation, Linkage, PackageOrigin, Provider

if TYPE_CHECKING:
    from datetime import date

    from libcensus.collector.posture.catalogue import Catalogue
    from libcensus.collector.posture.finding import Judgement, Support
    from libcensus.collector.posture.verdict import Verdict
    from libcensus.facts.crypto import CryptoUse
    from libcensus.facts.host import Host, OsRelease
    from libcensus.facts.interpreter import Build, Install, InstallSet
    from libcensus.facts.package import Package
    from libcensus.facts.platform import Platform

MEMORY = 50_000
"""How many cases of a kind are remembered; beyond it the memory is emptied and filled anew, verdicts are the same."""

_K = TypeVar("_K")
_V = TypeVar("_V")

CountKey = tuple[Component, Severity, VexStatus]

_CRYPTO_COMPONENTS = {
    CryptoFamily.OPENSSL: Component.OPENSSL,
    CryptoFamily.LIBRESSL: Component.LIBRESSL,
    CryptoFamily.BORINGSSL: Component.BORINGSSL,
    CryptoFamily.AWS_LC: Component.AWS_LC,
}
_INTERPRETERS = {Implementation.CPYTHON: Component.CPYTHON, Implementation.NODEJS: Component.NODEJS}


@dataclass(frozen=True, slots=True)
class Case:
    """What holds for a copy wherever it lies: its judgements sorted by advisory, counted once, and its support."""

    judgements: tuple[Judgement, ...]
    support: tuple[Support, ...]
    counts: Mapping[CountKey, int]
    worst: Severity | None

    @classmethod
    def of(cls, judgements: tuple[Judgement, ...], support: tuple[Support, ...]) -> Case:
        """Return a case with its counts."""
        counts = Counter((item.component, item.severity, item.status) for item in judgements)
        return cls(judgements, support, counts, worst_severity(judgements))


@dataclass(frozen=True, slots=True)
class InstallAssessment:
    """One install with its case; ``facts`` are the proofs of its crypto library that were read on the host."""

    subject: Subject
    install: Install
    provider: Provider
    version: str | None
    facts: tuple[Evidence, ...]
    case: Case

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The install's findings, sorted by advisory; made at each access."""
        return tuple(Finding.of(self.subject, judgement, self.facts) for judgement in self.case.judgements)

    @property
    def end_of_life(self) -> tuple[EndOfLife, ...]:
        """The support of the interpreter and of its crypto library; made at each access."""
        return tuple(
            EndOfLife.of(self.subject, item, () if item.component in _INTERPRETERS.values() else self.facts)
            for item in self.case.support
        )


@dataclass(frozen=True, slots=True)
class HostAssessment:
    """Everything that is said about one host: per install, and per build on the host's platform."""

    installs: tuple[InstallAssessment, ...]
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every finding, sorted by subject, then by advisory; made at each access."""
        return tuple(finding for item in self.installs for finding in item.findings)

    @property
    def end_of_life(self) -> tuple[EndOfLife, ...]:
        """Support of every branch in use, sorted by subject; made at each access."""
        return tuple(item for install in self.installs for item in install.end_of_life)

    @property
    def counts(self) -> Mapping[CountKey, int]:
        """How many findings there are per component, severity and status."""
        total: Counter[CountKey] = Counter()
        for item in self.installs:
            total.update(item.case.counts)
        return total

    @property
    def worst(self) -> Severity | None:
        """The highest severity among the findings that are affected; None when none is."""
        found = [item.case.worst for item in self.installs if item.case.worst is not None]
        return max(found, key=lambda severity: severity.rank, default=None)

    def count(self, status: VexStatus) -> int:
        """Return how many findings have this status."""
        return sum(number for (_, _, held), number in self.counts.items() if held is status)


class Assessor:
    """Judges hosts by one catalogue on one day; may be used by several threads at once."""

    def __init__(self, catalogue: Catalogue, today: date) -> None:
        self.catalogue = catalogue
        self.today = today
        self._cases: dict[object, Case] = {}
        self._platforms: dict[object, tuple[Offer, dict[str, Verdict]]] = {}

    def assess(
        self,
        host: Host,
        platform: Platform,
        installs: InstallSet,
        builds: Mapping[str, Build],
        root: str = "/",
        *,
        platform_digest: str | None = None,
    ) -> HostAssessment:
        """Return everything that is said about one host; ``root`` names the tree that was scanned.

        Findings are sorted by subject, then by advisory. ``platform_digest`` is the platform's address, where the
        caller has it: hosts of one platform are then told apart from others without comparing all their libraries.
        """
        assessed = (self.assess_install(item, installs, builds, host.os_release, root) for item in installs.installs)
        return HostAssessment(
            installs=tuple(sorted(assessed, key=lambda item: item.subject)),
            verdicts={
                digest: self.verdict(digest, build, platform, platform_digest)
                for digest, build in sorted(builds.items())
            },
        )

    def verdict(self, digest: str, build: Build, platform: Platform, platform_digest: str | None = None) -> Verdict:
        """Return whether a build starts on a platform; the same pair is judged once."""
        key: object = platform_digest or platform
        entry = self._platforms.get(key)
        if entry is None:
            _make_room(self._platforms)
            entry = self._platforms.setdefault(key, (Offer.of(platform), {}))
        offer, verdicts = entry
        verdict = verdicts.get(digest)
        if verdict is None:
            _make_room(verdicts)
            verdict = verdicts[digest] = check_build(build, offer)
        return verdict

    def assess_install(
        self,
        install: Install,
        installs: InstallSet,
        builds: Mapping[str, Build],
        os_release: OsRelease,
        root: str = "/",
    ) -> InstallAssessment:
        """Return what is said about one install of a host."""
        build = None if install.build is None else builds.get(install.build)
        owner = _owner(install, installs)
        circumstances = Circumstances(
            crypto=install.crypto,
            provider=Provider.UNKNOWN if build is None else build.provider,
            installer=install.installer,
            version=None if build is None else build.version,
            provider_build=None if build is None else build.provider_build,
        )
        package = _crypto_owner(install.crypto, owner)
        # Only what the distribution built depends on which distribution it is.
        owned = any(item is not None and item.origin is PackageOrigin.DISTRIBUTION for item in (owner, package))
        system = os_release if owned else None
        key = (circumstances, install.implementation, owner, package, system)
        case = self._cases.get(key)
        if case is None:
            _make_room(self._cases)
            case = self._cases[key] = self._case(circumstances, install.implementation, owner, package, system)
        return InstallAssessment(
            subject=Subject(SubjectKind.INSTALL, root if install.root == "/" else install.root, install.path),
            install=install,
            provider=circumstances.provider,
            version=circumstances.version,
            facts=_crypto_facts(install, build),
            case=case,
        )

    def _case(
        self,
        circumstances: Circumstances,
        implementation: Implementation,
        owner: Package | None,
        package: Package | None,
        system: OsRelease | None,
    ) -> Case:
        judgements = judge_openssl(circumstances, self.catalogue, self.today, package=package)
        support = []
        interpreter = _INTERPRETERS.get(implementation)
        if interpreter is not None:
            support.append(
                judge_support(
                    interpreter,
                    circumstances.version,
                    self.catalogue,
                    self.today,
                    package=owner,
                    os_release=system,
                )
            )
        support.extend(self._crypto_support(circumstances.crypto, package, system))
        return Case.of(judgements, tuple(support))

    def _crypto_support(
        self, crypto: CryptoUse, package: Package | None, system: OsRelease | None
    ) -> tuple[Support, ...]:
        """Return the support of the crypto library; unknown, with the reason, where nobody can tell what is used."""
        if crypto.linkage is Linkage.NONE:
            return ()
        library = crypto.library
        component = Component.OPENSSL
        version: str | None = None
        if library is None:
            wanted = crypto.needed or "its crypto library"
            reason = f"nothing that is known to the loader answers to {wanted}"
            if crypto.linkage is not Linkage.UNRESOLVED:
                reason = "how the install reaches a crypto library could not be read"
        elif library.family is CryptoFamily.UNKNOWN:
            reason = "which product this copy is could not be told"
        else:
            component, version = _CRYPTO_COMPONENTS[library.family], library.version
            reason = "the bytes of this copy do not tell its version"
        return (
            judge_support(
                component,
                version,
                self.catalogue,
                self.today,
                package=package,
                os_release=system,
                unknown_because=reason,
            ),
        )


def _make_room(memory: dict[_K, _V]) -> None:
    if len(memory) >= MEMORY:
        memory.clear()


def _owner(install: Install, installs: InstallSet) -> Package | None:
    """Return the package that owns an install; an environment's is that of the install it belongs to."""
    if install.package is not None or install.base is None:
        return install.package
    return next(
        (
            item.package
            for item in installs.installs
            if item.root == install.root and item is not install and _answers_to(item, install.base)
        ),
        None,
    )


def _answers_to(install: Install, path: str) -> bool:
    return path in {install.path, install.realpath} or path in install.aliases


def _crypto_owner(crypto: CryptoUse, owner: Package | None) -> Package | None:
    """Return the package that owns the code of the crypto library: the interpreter's, where the code is inside it."""
    package = None if crypto.library is None else crypto.library.package
    if package is None and crypto.linkage in {Linkage.STATIC, Linkage.BUNDLED}:
        return owner
    return package


def _crypto_facts(install: Install, build: Build | None) -> tuple[Evidence, ...]:
    """Return the proofs of the crypto library, from its file to the version that is used."""
    crypto = install.crypto
    read = [*install.evidence, *(() if build is None else build.evidence)]
    facts = [item for item in read if item.subject.startswith(("crypto", "openssl"))]
    if crypto.library is not None:
        version = crypto.library.version or "of unknown version"
        words = f"{crypto.library.family.value} {version}, {crypto.linkage.value}"
        facts.append(Evidence("crypto", EvidenceKind.PATH, crypto.path or "", words))
        if crypto.library.package is not None:
            package = crypto.library.package
            words = f"owned by {package.name} {package.version} ({package.manager}), source {package.source}"
            words += f" {package.source_version}, built by {_builder(package)}"
            facts.append(Evidence("crypto", EvidenceKind.PACKAGE_RECORD, crypto.path or "", words))
    return tuple(facts)


def _builder(package: Package) -> str:
    if package.origin is PackageOrigin.DISTRIBUTION:
        return "the distribution"
    if package.origin is PackageOrigin.VENDOR:
        return f"a third party ({package.vendor})" if package.vendor else "a third party"
    return "somebody unknown"
