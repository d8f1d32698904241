"""Everything that is said about one host on one day, from its facts and the catalogue.

Judging is done once per distinct case: the same build with the same crypto library, the same build on the same
platform. What differs between hosts is only where a case lies, so a fleet costs what its variety costs. Nothing here
reads a clock: the day is given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping  # noqa: TC003  the dataclass decorator of slots needs it at run time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from libcensus.collector.posture.backport import PackageEvidence
from libcensus.collector.posture.eol import INTERPRETERS, judge_support
from libcensus.collector.posture.finding import (
    ENVIRONMENT,
    Component,
    EndOfLife,
    Finding,
    Severity,
    Subject,
    SubjectKind,
    VexStatus,
    worst_severity,
)
from libcensus.collector.posture.hoststaleness import Circle, StalenessJudge
from libcensus.collector.posture.prepared import PortabilityMemory, make_room
from libcensus.collector.posture.remedy import Circumstances, node_manager
from libcensus.collector.posture.security import judge_cpython, judge_glibc, judge_nodejs, judge_openssl
from libcensus.collector.posture.staleness import StalenessState
from libcensus.facts.crypto import CryptoUse
from libcensus.facts.evidence import Evidence
from libcensus.facts.platform import Platform
from libcensus.facts.vocabulary import (
    CryptoFamily,
    EvidenceKind,
    Implementation,
    Installer,
    LibcFamily,
    Linkage,
    PackageOrigin,
    Provider,
    RootKind,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from libcensus.collector.posture.catalogue import Catalogue
    from libcensus.collector.posture.finding import Judgement, Support
    from libcensus.collector.posture.staleness import StaleGrounds, StaleInstall, Staleness
    from libcensus.collector.posture.verdict import Verdict
    from libcensus.facts.changelog import PackageChangelog
    from libcensus.facts.crypto import CryptoCopy, CryptoCopySet, CryptoLibrary
    from libcensus.facts.host import Host, Libc, OsRelease
    from libcensus.facts.interpreter import Build, Install, InstallSet
    from libcensus.facts.package import Package
    from libcensus.facts.process import ProcessSet
    from libcensus.facts.root import RootSet, ScannedRoot
    from libcensus.facts.tool import ToolSet

MEMORY = 50_000
"""How many cases of a kind are remembered; beyond it the memory is emptied and filled anew, verdicts are the same."""

CountKey = tuple[Component, Severity, VexStatus]

CRYPTO_COMPONENTS = {
    CryptoFamily.OPENSSL: Component.OPENSSL,
    CryptoFamily.LIBRESSL: Component.LIBRESSL,
    CryptoFamily.BORINGSSL: Component.BORINGSSL,
    CryptoFamily.AWS_LC: Component.AWS_LC,
}


@dataclass(frozen=True, slots=True)
class Grounds:
    """All that a case rests on beside the catalogue and the day: equal ones are judged once, wherever they lie.

    ``owner`` has the interpreter and ``package`` the crypto library or the C library; ``changelogs`` are theirs, in the
    order of library and interpreter. ``glibc`` is the version of a C library, whose circumstances are absent.
    """

    circumstances: Circumstances | None
    package: Package | None
    system: OsRelease | None
    owner: Package | None = None
    changelogs: tuple[PackageChangelog | None, PackageChangelog | None] = (None, None)
    glibc: str | None = None


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
    """One install with its case; ``facts`` are the proofs of its crypto library that were read on the host.

    ``own_facts`` are those of the interpreter's version and owner. ``within`` tells where a remedy is to be applied,
    where that is not the host itself.
    """

    subject: Subject
    install: Install
    provider: Provider
    version: str | None
    facts: tuple[Evidence, ...]
    grounds: Grounds
    case: Case
    within: str | None = None
    own_facts: tuple[Evidence, ...] = ()

    @property
    def library(self) -> CryptoLibrary | None:
        """The crypto library that the install really uses, None where it has none or nobody knows."""
        return self.install.crypto.library

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The install's findings, sorted by advisory; made at each access."""
        return tuple(
            Finding.of(
                self.subject,
                item,
                self.own_facts if item.component in INTERPRETERS.values() else self.facts,
                self.within,
                file=self.install.crypto.path,
            )
            for item in self.case.judgements
        )

    @property
    def end_of_life(self) -> tuple[EndOfLife, ...]:
        """The support of the interpreter and of its crypto library; made at each access."""
        return tuple(
            EndOfLife.of(self.subject, item, () if item.component in INTERPRETERS.values() else self.facts)
            for item in self.case.support
        )


@dataclass(frozen=True, slots=True)
class CopyAssessment:
    """One crypto copy with its case; ``facts`` are the proofs of it that were read on the host.

    ``provider`` is the ecosystem that brought it, in the words of providers where they have one.
    """

    subject: Subject
    copy: CryptoCopy
    provider: str
    facts: tuple[Evidence, ...]
    grounds: Grounds
    case: Case
    within: str | None = None

    @property
    def library(self) -> CryptoLibrary:
        """The library that the copy is of."""
        return self.copy.library

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The copy's findings, sorted by advisory; made at each access."""
        return tuple(
            Finding.of(
                self.subject, item, self.facts, self.within, file=self.copy.path, environment=self.copy.environment
            )
            for item in self.case.judgements
        )

    @property
    def end_of_life(self) -> tuple[EndOfLife, ...]:
        """The support of the copy's branch; made at each access."""
        return tuple(EndOfLife.of(self.subject, item, self.facts) for item in self.case.support)


BuildPlace = tuple[str, str]
"""A root's name and a build's address."""


@dataclass(frozen=True, slots=True)
class LibcAssessment:
    """The C library of one root with its case; ``facts`` are the proofs of its version and owner."""

    subject: Subject
    provider: Provider
    facts: tuple[Evidence, ...]
    grounds: Grounds
    case: Case
    within: str | None = None

    @property
    def library(self) -> CryptoLibrary | None:
        """A C library holds no crypto library."""
        return None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings, sorted by advisory; made at each access."""
        return tuple(Finding.of(self.subject, item, self.facts, self.within) for item in self.case.judgements)

    @property
    def end_of_life(self) -> tuple[EndOfLife, ...]:
        """The distribution supports its C library; what it says of that is told with its own installs."""
        return ()


@dataclass(frozen=True, slots=True)
class HostAssessment:
    """Everything that is said about one host: per install, crypto copy and C library, and per build on its platform.

    ``judged_staleness`` is of everything that can be behind what it could be; ``stale_installs`` are the installs as
    they are counted by that, those that are up to date among them.
    """

    installs: tuple[InstallAssessment, ...]
    verdicts: Mapping[BuildPlace, Verdict] = field(default_factory=dict)
    copies: tuple[CopyAssessment, ...] = ()
    libcs: tuple[LibcAssessment, ...] = ()
    judged_staleness: tuple[Staleness, ...] = ()
    stale_installs: tuple[StaleInstall, ...] = ()

    @property
    def staleness(self) -> tuple[Staleness, ...]:
        """What is stale, and what nobody can tell of, in their order."""
        return tuple(one for one in self.judged_staleness if one.state is not StalenessState.CURRENT)

    @property
    def subjects(self) -> tuple[InstallAssessment | CopyAssessment | LibcAssessment, ...]:
        """All that was judged, sorted by subject."""
        # Copies come before installs, and C libraries after them, as their kinds do by name.
        return (*self.copies, *self.installs, *self.libcs)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every finding, sorted by subject, then by advisory; made at each access."""
        return tuple(finding for item in self.subjects for finding in item.findings)

    @property
    def end_of_life(self) -> tuple[EndOfLife, ...]:
        """Support of every branch in use, sorted by subject; made at each access."""
        return tuple(end for item in self.subjects for end in item.end_of_life)

    @property
    def counts(self) -> Mapping[CountKey, int]:
        """How many findings there are per component, severity and status."""
        total: Counter[CountKey] = Counter()
        for item in self.subjects:
            total.update(item.case.counts)
        return total

    @property
    def worst(self) -> Severity | None:
        """The highest severity among the findings that are affected; None when none is."""
        found = [item.case.worst for item in self.subjects if item.case.worst is not None]
        return max(found, key=lambda severity: severity.rank, default=None)

    def count(self, status: VexStatus) -> int:
        """Return how many findings have this status."""
        return sum(number for (_, _, held), number in self.counts.items() if held is status)


class Assessor:
    """Judges hosts by one catalogue on one day; may be used by several threads at once.

    Verdicts on portability hold on every day: ``portability`` is what was judged before, where there is something.
    """

    def __init__(self, catalogue: Catalogue, today: date, portability: PortabilityMemory | None = None) -> None:
        self.catalogue = catalogue
        self.today = today
        self.portability = PortabilityMemory() if portability is None else portability
        self._cases: dict[Grounds, Case] = {}
        self._staleness = StalenessJudge(catalogue, today, self.case)

    def assess(
        self,
        host: Host,
        platform: Platform,
        installs: InstallSet,
        builds: Mapping[str, Build],
        root: str = "/",
        *,
        platform_digest: str | None = None,
        crypto_copies: CryptoCopySet | None = None,
        roots: RootSet | None = None,
        platforms: Mapping[str, Platform] | None = None,
        changelogs: Iterable[PackageChangelog] = (),
        tools: ToolSet | None = None,
        processes: ProcessSet | None = None,
    ) -> HostAssessment:
        """Return everything that is said about one host; ``root`` names the tree that was scanned.

        Findings are sorted by subject, then by advisory. ``platform_digest`` is the platform's address, where the
        caller has it: hosts of one platform are then told apart from others without comparing all their libraries.
        What lies in another of the ``roots`` is judged by that root's system and platform, which is one of
        ``platforms`` by address; a platform that is not there leaves every verdict open. ``changelogs`` are those of
        the host's packages: without a package's own, its distribution's tables alone can say what is fixed.
        ``tools`` bring interpreters to the host, ``processes`` run there; nothing is said of those that are not given.
        """
        named = {changelog.package: changelog for changelog in changelogs}
        places = _Places.of(host, platform, platform_digest, roots, platforms)
        assessed = (
            replace(
                self.assess_install(item, installs, builds, places.system(item.root), root, changelogs=named),
                within=places.within(item.root),
            )
            for item in installs.installs
        )
        copies = () if crypto_copies is None else crypto_copies.copies
        judged = (
            replace(self.assess_copy(item, places.system(item.root), changelogs=named), within=places.within(item.root))
            for item in copies
        )
        held = {(item.root, item.build) for item in installs.installs if item.build is not None}
        held |= {(root, digest) for digest in builds.keys() - {digest for _, digest in held}}
        own_installs = tuple(sorted(assessed, key=lambda item: item.subject))
        own_copies = tuple(sorted(judged, key=lambda item: item.subject))
        libcs = tuple(
            replace(found, within=places.within(name))
            for name, system, libc in places.libcs(root)
            if (found := self.assess_libc(name, libc, system, changelogs=named)) is not None
        )
        circle = Circle(root, tools, roots, processes)
        age = self._staleness.judge(own_installs, (*own_copies, *libcs), builds, places.system, circle)
        return HostAssessment(
            installs=own_installs,
            verdicts={
                (name, digest): self.verdict(digest, builds[digest], *places.platform(name))
                for name, digest in sorted(held)
                if digest in builds
            },
            copies=own_copies,
            libcs=libcs,
            judged_staleness=age.judged,
            stale_installs=age.installs,
        )

    def staleness_state(self, grounds: StaleGrounds) -> StalenessState:
        """Return whether grounds mean that an install is stale; equal ones are judged once."""
        return self._staleness.state(grounds)

    def verdict(self, digest: str, build: Build, platform: Platform, platform_digest: str | None = None) -> Verdict:
        """Return whether a build starts on a platform; the same pair is judged once."""
        return self.portability.verdict(digest, build, platform, platform_digest)

    def assess_install(
        self,
        install: Install,
        installs: InstallSet,
        builds: Mapping[str, Build],
        os_release: OsRelease,
        root: str = "/",
        *,
        changelogs: Mapping[Package, PackageChangelog] | None = None,
    ) -> InstallAssessment:
        """Return what is said about one install of a host."""
        build = None if install.build is None else builds.get(install.build)
        owner = _owner(install, installs)
        circumstances = Circumstances(
            # Where the library lies is said by the finding: the same copy in many places is one case.
            crypto=replace(install.crypto, path=None),
            provider=Provider.UNKNOWN if build is None else build.provider,
            installer=install.installer,
            version=None if build is None else build.version,
            provider_build=None if build is None else build.provider_build,
            implementation=install.implementation,
            manager=node_manager(install.implementation, install.realpath),
        )
        package = _crypto_owner(install.crypto, owner)
        # Only what the distribution built depends on which distribution it is.
        owned = any(item is not None and item.origin is PackageOrigin.DISTRIBUTION for item in (owner, package))
        read = _changelog_of(package, changelogs), _changelog_of(owner, changelogs)
        grounds = Grounds(circumstances, package, os_release if owned else None, owner, read)
        return InstallAssessment(
            subject=Subject(SubjectKind.INSTALL, root if install.root == "/" else install.root, install.path),
            install=install,
            provider=circumstances.provider,
            version=circumstances.version,
            facts=_crypto_facts(install, build),
            grounds=grounds,
            case=self.case(grounds),
            own_facts=_own_facts(install, build, owner),
        )

    def assess_copy(
        self,
        copy: CryptoCopy,
        os_release: OsRelease,
        *,
        changelogs: Mapping[Package, PackageChangelog] | None = None,
    ) -> CopyAssessment:
        """Return what is said about one crypto copy of a host: by the same rules as an install's own library."""
        library = copy.library
        is_told = copy.linkage is not Linkage.UNKNOWN
        circumstances = Circumstances(
            crypto=CryptoUse(copy.linkage, None, library if is_told else None),
            provider=Provider.UNKNOWN,
            installer=Installer.UNKNOWN,
            version=None,
            provider_build=None,
            implementation=Implementation.UNKNOWN,
            owner=copy.owner,
            environment=None if copy.environment is None else ENVIRONMENT,
            is_copy=True,
        )
        package = library.package
        owned = package is not None and package.origin is PackageOrigin.DISTRIBUTION
        read = _changelog_of(package, changelogs), None
        grounds = Grounds(circumstances, package, os_release if owned else None, None, read)
        return CopyAssessment(
            subject=Subject(SubjectKind.CRYPTO_COPY, copy.root, copy.path),
            copy=copy,
            provider=_copy_provider(copy),
            facts=_copy_facts(copy),
            grounds=grounds,
            case=self.case(grounds),
        )

    def assess_libc(
        self,
        root: str,
        libc: Libc,
        os_release: OsRelease,
        *,
        changelogs: Mapping[Package, PackageChangelog] | None = None,
    ) -> LibcAssessment | None:
        """Return what is said about the C library of a root; None where it is no glibc, or of unknown version."""
        if libc.family is not LibcFamily.GLIBC or libc.version is None:
            return None
        number, package, path = libc.version, libc.package, libc.path or "libc.so.6"
        owned = package is not None and package.origin is PackageOrigin.DISTRIBUTION
        system = os_release if owned else None
        grounds = Grounds(None, package, system, None, (_changelog_of(package, changelogs), None), number)
        version = Evidence("libc", EvidenceKind.PATH, path, f"glibc {libc.version}")
        return LibcAssessment(
            subject=Subject(SubjectKind.LIBC, root, path),
            provider=Provider.DISTRO if owned else Provider.UNKNOWN,
            facts=(version,) if package is None else (version, _package_fact(package, path, "package")),
            grounds=grounds,
            case=self.case(grounds),
        )

    def case(self, grounds: Grounds) -> Case:
        """Return the case of grounds; equal ones are judged once."""
        case = self._cases.get(grounds)
        if case is None:
            make_room(self._cases, MEMORY)
            case = self._cases[grounds] = self._judge(grounds)
        return case

    def _known(
        self,
        component: Component,
        package: Package | None,
        system: OsRelease | None,
        changelog: PackageChangelog | None,
    ) -> PackageEvidence | None:
        """Return what there is to read about a package of a distribution; None for what no distribution owns."""
        if package is None or system is None:
            return None
        return PackageEvidence.of(component, package, system, changelog, self.catalogue)

    def _judge(self, grounds: Grounds) -> Case:
        package, system, owner = grounds.package, grounds.system, grounds.owner
        circumstances, changelogs = grounds.circumstances, grounds.changelogs
        if circumstances is None:
            if grounds.glibc is None:
                raise AssertionError("grounds of nothing")
            glibc = self._known(Component.GLIBC, package, system, changelogs[0])
            return Case.of(judge_glibc(grounds.glibc, self.catalogue, self.today, package=package, known=glibc), ())
        openssl = self._known(Component.OPENSSL, package, system, changelogs[0])
        python = self._known(Component.CPYTHON, owner, system, changelogs[1])
        nodejs = self._known(Component.NODEJS, owner, system, changelogs[1])
        judgements = judge_openssl(circumstances, self.catalogue, self.today, package=package, known=openssl)
        if not circumstances.is_copy:
            judgements += judge_cpython(circumstances, self.catalogue, self.today, package=owner, known=python)
            judgements += judge_nodejs(circumstances, self.catalogue, self.today, package=owner, known=nodejs)
        support = []
        interpreter = INTERPRETERS.get(circumstances.implementation)
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
        return Case.of(tuple(sorted(judgements, key=lambda item: item.advisory)), tuple(support))

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
                reason = "how its crypto library is reached could not be read"
        elif library.family is CryptoFamily.UNKNOWN:
            reason = "which product this copy is could not be told"
        else:
            component, version = CRYPTO_COMPONENTS[library.family], library.version
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


@dataclass(frozen=True, slots=True)
class _Places:
    """What the roots of a host are: their systems, and their platforms with addresses."""

    host: Host
    own: tuple[Platform, str | None]
    roots: Mapping[str, ScannedRoot]
    platforms: Mapping[str, Platform]

    @classmethod
    def of(
        cls,
        host: Host,
        platform: Platform,
        digest: str | None,
        roots: RootSet | None,
        platforms: Mapping[str, Platform] | None,
    ) -> Self:
        """Return the places of a host; one without roots is a single place."""
        others = {} if roots is None else {root.name: root for root in roots.roots}
        known = dict(platforms or {})
        if digest is not None:
            known[digest] = platform
        return cls(host, (platform, digest), others, known)

    def system(self, root: str) -> OsRelease:
        """Return the os-release of a root."""
        place = self.roots.get(root)
        return self.host.os_release if place is None or place.kind is RootKind.HOST else place.os_release

    def libcs(self, root: str) -> list[tuple[str, OsRelease, Libc]]:
        """Return the C libraries of the host, by the name of the tree that was scanned, and of its other roots."""
        found = [(root, self.host.os_release, self.host.libc)]
        # A tree that was scanned by itself is among its roots under its own name.
        found += [
            (name, place.os_release, place.libc)
            for name, place in self.roots.items()
            if place.kind is not RootKind.HOST and name != root
        ]
        return sorted(found, key=lambda item: (item[0], item[2].path or ""))

    def within(self, root: str) -> str | None:
        """Return where a remedy is to be applied for what lies in a root; None for the host itself."""
        place = self.roots.get(root)
        if place is None or place.kind is RootKind.HOST:
            return None
        if place.kind not in {RootKind.CONTAINER, RootKind.IMAGE}:
            return f"inside {root}"
        image = (place.container and place.container.image) or next(iter(place.tags), root)
        return f"in the image {image}"

    def platform(self, root: str) -> tuple[Platform, str | None]:
        """Return the platform of a root; of one whose platform nobody told, one that offers nothing for certain."""
        place = self.roots.get(root)
        if place is None or place.kind is RootKind.HOST:
            return self.own
        found = None if place.platform is None else self.platforms.get(place.platform)
        return (Platform(), None) if found is None else (found, place.platform)


def _copy_provider(copy: CryptoCopy) -> str:
    package = copy.library.package
    if package is not None:
        words = {PackageOrigin.DISTRIBUTION: Provider.DISTRO, PackageOrigin.VENDOR: Provider.VENDOR}
        return words.get(package.origin, Provider.UNKNOWN)
    return Provider.UNKNOWN if copy.owner is None else copy.owner.ecosystem


def _copy_facts(copy: CryptoCopy) -> tuple[Evidence, ...]:
    facts = [*copy.evidence, _library_fact(copy.library, copy.linkage, copy.path)]
    if copy.owner is not None:
        owner = copy.owner
        words = f"came with {owner.name} {owner.version or 'of unknown version'} ({owner.ecosystem})"
        words += "" if copy.environment is None else f", loaded by {copy.environment}"
        facts.append(Evidence("crypto", EvidenceKind.PACKAGE_RECORD, copy.path, words))
    return (*facts, *_package_facts(copy.library, copy.path))


def _owner(install: Install, installs: InstallSet) -> Package | None:
    """Return the package that owns an install; an environment's is that of the install it belongs to."""
    if install.package is not None or install.base is None:
        return install.package
    return next(
        (
            item.package
            for item in installs.installs
            # Other environments of the base lead to the same file, and no package owns them.
            if item.root == install.root and item.package is not None and _answers_to(item, install.base)
        ),
        None,
    )


def _answers_to(install: Install, path: str) -> bool:
    return path in {install.path, install.realpath} or path in install.aliases


def _changelog_of(
    package: Package | None, changelogs: Mapping[Package, PackageChangelog] | None
) -> PackageChangelog | None:
    return None if package is None or changelogs is None else changelogs.get(package)


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
        path = crypto.path or ""
        facts.append(_library_fact(crypto.library, crypto.linkage, path))
        facts.extend(_package_facts(crypto.library, path))
    return tuple(facts)


def _own_facts(install: Install, build: Build | None, owner: Package | None) -> tuple[Evidence, ...]:
    """Return the proofs of the interpreter's own version, and of the package that it belongs to."""
    read = [*install.evidence, *(() if build is None else build.evidence)]
    facts = tuple(item for item in read if item.subject == "version")
    return facts if owner is None else (*facts, _package_fact(owner, install.realpath, "package"))


def _library_fact(library: CryptoLibrary, linkage: Linkage, path: str) -> Evidence:
    version = library.version or "of unknown version"
    return Evidence("crypto", EvidenceKind.PATH, path, f"{library.family.value} {version}, {linkage.value}")


def _package_facts(library: CryptoLibrary, path: str) -> tuple[Evidence, ...]:
    package = library.package
    if package is None:
        return ()
    return (_package_fact(package, path),)


def _package_fact(package: Package, path: str, subject: str = "crypto") -> Evidence:
    words = f"owned by {package.name} {package.version} ({package.manager}), source {package.source}"
    words += f" {package.source_version}, built by {_builder(package)}"
    return Evidence(subject, EvidenceKind.PACKAGE_RECORD, path, words)


def _builder(package: Package) -> str:
    if package.origin is PackageOrigin.DISTRIBUTION:
        return "the distribution"
    if package.origin is PackageOrigin.VENDOR:
        return f"a third party ({package.vendor})" if package.vendor else "a third party"
    return "somebody unknown"
