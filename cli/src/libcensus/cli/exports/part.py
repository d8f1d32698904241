"""A host as its parts: every interpreter, crypto library and C library, each with the findings that are about it.

Everything that was judged is a part, also where nothing was found; no finding is without one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcensus.cli.exports.purl import owner_purl, package_purl, project_purl
from libcensus.collector.posture.assessment import CRYPTO_COMPONENTS
from libcensus.collector.posture.eol import INTERPRETERS, TITLES
from libcensus.collector.posture.finding import Component, Subject, SubjectKind
from libcensus.facts.vocabulary import LibcFamily, Provider, RootKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from libcensus.cli.assessed import Assessed
    from libcensus.collector.posture.finding import Finding
    from libcensus.collector.service.fleet_codec import HostSummary
    from libcensus.facts.crypto import CopyOwner, CryptoLibrary
    from libcensus.facts.host import Libc, OsRelease
    from libcensus.facts.interpreter import Install
    from libcensus.facts.package import Package
    from libcensus.facts.vocabulary import Linkage

UNKNOWN = "unknown"

_PURL_NAMES = {"cpython": "python", "nodejs": "node"}
"""What others who find these files call them in package URLs."""

_SOURCES = {
    "cpython": "python",
    "nodejs": "node",
    "aws-lc": "aws-lc",
}
"""What stands in the name of a source package that is the component itself, where that is not the component's name."""

_FINDINGS_OF_INTERPRETERS = frozenset(INTERPRETERS.values())


@dataclass(frozen=True, slots=True)
class Part:
    """One component at one place of a host, with the findings that are about it, sorted by advisory.

    ``component`` is the word of findings, ``unknown`` for a crypto library that could not be told; ``file`` is the file
    whose bytes hold it, where that is another than the subject's own. ``provider`` is who built it, ``package`` owns
    the file. ``owner_purl`` is that of the wheel or package that the component lies in, where it is not that itself.
    """

    subject: Subject
    component: str
    version: str | None
    linkage: Linkage | None
    provider: str
    package: Package | None
    purl: str
    findings: tuple[Finding, ...]
    file: str | None = None
    owner: CopyOwner | None = None
    owner_purl: str | None = None

    @property
    def title(self) -> str:
        """The component as its project writes itself."""
        try:
            return TITLES[Component(self.component)]
        except ValueError:
            return self.component


@dataclass(frozen=True, slots=True)
class HostParts:
    """One host with its parts, sorted by subject, an interpreter before its crypto library."""

    host_id: str
    name: str
    last_report: datetime
    system: OsRelease
    arch: str | None
    parts: tuple[Part, ...]


def parts_of(summary: HostSummary, assessed: Assessed) -> HostParts:
    """Return a host as its parts."""
    scan = assessed.scan
    of_subject: dict[Subject, list[Finding]] = {}
    for finding in assessed.findings:
        of_subject.setdefault(finding.subject, []).append(finding)
    systems = {
        root.name: scan.host.os_release if root.kind is RootKind.HOST else root.os_release for root in scan.roots.roots
    }
    maker = _Maker(assessed, of_subject, systems)
    parts = sorted(maker.parts(), key=lambda part: (part.subject, part.component not in _FINDINGS_OF_INTERPRETERS))
    return HostParts(
        host_id=summary.host_id,
        name=summary.name,
        last_report=summary.last_report,
        system=scan.host.os_release,
        arch=scan.host.arch,
        parts=tuple(parts),
    )


@dataclass(frozen=True, slots=True)
class _Maker:
    assessed: Assessed
    findings: Mapping[Subject, list[Finding]]
    systems: Mapping[str, OsRelease]

    def parts(self) -> Iterator[Part]:
        """Yield every part, in no order; what findings are about and no fact tells comes last."""
        told: set[tuple[Subject, str]] = set()
        for part in (*self._installs(), *self._copies(), *self._libcs()):
            told.add((part.subject, part.component))
            yield part
        for subject, own in self.findings.items():
            for component in sorted({finding.component for finding in own}):
                if (subject, component) not in told:
                    about = tuple(finding for finding in own if finding.component is component)
                    purl = project_purl(_PURL_NAMES.get(component, component), None)
                    yield Part(subject, component, None, about[0].linkage, UNKNOWN, None, purl, about)

    def _system(self, root: str) -> OsRelease:
        return self.systems.get(root, self.assessed.scan.host.os_release)

    def _about(self, subject: Subject, component: str) -> tuple[Finding, ...]:
        own = (finding for finding in self.findings.get(subject, ()) if finding.component == component)
        return tuple(sorted(own, key=lambda finding: finding.advisory))

    def _installs(self) -> Iterator[Part]:
        installs = self.assessed.scan.installs.installs
        owners = _owners(installs)
        for install in installs:
            subject = self._subject(SubjectKind.INSTALL, install.root, install.path)
            build = self.assessed.build_of(install)
            provider = Provider.UNKNOWN if build is None else build.provider
            package = install.package or (owners.get((install.root, install.base)) if install.base else None)
            interpreter = INTERPRETERS.get(install.implementation)
            if interpreter is not None:
                version = None if build is None else build.version
                purl, holder = self._purls(interpreter, version, package, install.root, provider)
                found = self._about(subject, interpreter)
                yield Part(subject, interpreter, version, None, provider, package, purl, found, owner_purl=holder)
            library, file = install.crypto.library, install.crypto.path
            if library is not None:
                yield self._library(subject, library, install.crypto.linkage, provider, file)

    def _copies(self) -> Iterator[Part]:
        for copy in self.assessed.scan.crypto_copies.copies:
            subject = self._subject(SubjectKind.CRYPTO_COPY, copy.root, copy.path)
            provider = UNKNOWN if copy.owner is None else copy.owner.ecosystem
            yield self._library(subject, copy.library, copy.linkage, provider, None, copy.owner)

    def _libcs(self) -> Iterator[Part]:
        scan = self.assessed.scan
        yield from self._libc(scan.root, scan.host.libc)
        for root in scan.roots.roots:
            if root.kind is not RootKind.HOST and root.name != scan.root:
                yield from self._libc(root.name, root.libc)

    def _libc(self, root: str, libc: Libc) -> Iterator[Part]:
        if libc.family is LibcFamily.UNKNOWN:
            return
        subject = Subject(SubjectKind.LIBC, root, libc.path or "libc.so.6")
        purl, holder = self._purls(libc.family, libc.version, libc.package, root)
        provider = UNKNOWN if libc.package is None else _builder(libc.package)
        found = self._about(subject, libc.family)
        yield Part(subject, libc.family, libc.version, None, provider, libc.package, purl, found, owner_purl=holder)

    def _library(
        self,
        subject: Subject,
        library: CryptoLibrary,
        linkage: Linkage,
        provider: str,
        file: str | None,
        owner: CopyOwner | None = None,
    ) -> Part:
        component = CRYPTO_COMPONENTS.get(library.family, UNKNOWN)
        named = component if component != UNKNOWN else "unknown-crypto-library"
        purl, holder = self._purls(named, library.version, library.package, subject.root)
        return Part(
            subject=subject,
            component=component,
            version=library.version,
            linkage=linkage,
            provider=provider if library.package is None else _builder(library.package),
            package=library.package,
            purl=purl,
            findings=self._about(subject, component),
            file=None if file == subject.path else file,
            owner=owner,
            owner_purl=holder if owner is None else owner_purl(owner) or holder,
        )

    def _subject(self, kind: SubjectKind, root: str, path: str) -> Subject:
        # A tree that was scanned by itself is named by its folder in findings on what lies in it.
        subject = Subject(kind, root, path)
        if root == "/" and subject not in self.findings and self.assessed.scan.root != "/":
            return Subject(kind, self.assessed.scan.root, path)
        return subject

    def _purls(
        self, name: str, version: str | None, package: Package | None, root: str, provider: Provider | None = None
    ) -> tuple[str, str | None]:
        """Return the package URL of a component, and that of the package that it lies in, where that is another."""
        own = project_purl(_PURL_NAMES.get(name, name), version, provider)
        if package is None:
            return own, None
        told = package_purl(package, self._system(root))
        return (told, None) if _SOURCES.get(name, name) in package.source.lower() else (own, told)


def _owners(installs: Sequence[Install]) -> Mapping[tuple[str, str], Package]:
    """Return the packages of installs by root and every path that leads to one."""
    return {
        (install.root, path): install.package
        for install in installs
        if install.package is not None
        for path in (install.path, install.realpath, *install.aliases)
    }


def _builder(package: Package) -> str:
    return {"distribution": Provider.DISTRO, "vendor": Provider.VENDOR}.get(package.origin, Provider.UNKNOWN).value
