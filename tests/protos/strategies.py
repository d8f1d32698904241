"""Hypothesis strategies for every domain type: valid values only, and every valid shape of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from hypothesis import strategies as st

from libcensus.facts.artefact import Artefact, ArtefactFile, WheelTag
from libcensus.facts.changelog import ChangelogFix, PackageChangelog
from libcensus.facts.codec import process_set_digest
from libcensus.facts.crypto import CopyOwner, CryptoCopy, CryptoCopySet, CryptoLibrary, CryptoUse
from libcensus.facts.evidence import Evidence
from libcensus.facts.host import Host, Inventory, Libc, OsRelease
from libcensus.facts.interpreter import Build, BuildFile, Install, InstallSet
from libcensus.facts.package import Package
from libcensus.facts.platform import Platform, PlatformLibrary
from libcensus.facts.process import MappedLibrary, ProcessExample, ProcessGroup, ProcessSet
from libcensus.facts.report import AgentState, ProbeResult, Report, SkipCount
from libcensus.facts.requirement import LibraryNeed, RaisedBy, Requirement
from libcensus.facts.root import Container, RootSet, ScannedRoot
from libcensus.facts.tool import Tool, ToolSet, ToolSetting
from libcensus.facts.vocabulary import (
    ArtefactKind,
    ChangelogState,
    CryptoFamily,
    EnvironmentState,
    EvidenceKind,
    FileRole,
    Implementation,
    Installer,
    InstallKind,
    LibcFamily,
    Linkage,
    LoaderKind,
    MappingState,
    PackageOrigin,
    ProbeState,
    Provider,
    RootKind,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

T = TypeVar("T")

WITHOUT_LIBRARY = (Linkage.NONE, Linkage.UNRESOLVED, Linkage.UNKNOWN)

characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
texts = st.text(characters, min_size=1, max_size=24)
words = st.text("abcdefghijklmnopqrstuvwxyz0123456789.+-_~:", min_size=1, max_size=16)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
sizes = st.integers(0, 2**63 - 1)
levels = st.integers(1, 4)
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1, max_size=12).filter(
    lambda name: name not in (".", "..")
)
relative_paths = st.lists(names, min_size=1, max_size=4).map("/".join)
absolute_paths = st.lists(names, max_size=4).map(lambda parts: "/" + "/".join(parts))
# The wire carries whole nanoseconds: these are the times that it can hold.
seconds = st.one_of(
    st.integers(0, 10**9 - 1).map(float), st.integers(0, 10**18 - 10**9).map(lambda nanos: nanos / 10**9)
)
moments = st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


def maybe(strategy: SearchStrategy[T]) -> SearchStrategy[T | None]:
    """Absent, or a value."""
    return st.none() | strategy


def sorted_sets(
    strategy: SearchStrategy[T], *, key: Callable[[T], object] | None = None, max_size: int = 4
) -> SearchStrategy[tuple[T, ...]]:
    """Sets as the domain keeps them: strictly rising tuples."""
    listed = st.lists(strategy, max_size=max_size, unique_by=key if key is not None else lambda item: item)
    return listed.map(lambda items: tuple(sorted(items, key=key)))  # type: ignore[type-var, arg-type]


evidences = st.builds(
    Evidence,
    subject=words,
    kind=st.sampled_from(EvidenceKind),
    file=st.one_of(st.just(""), relative_paths, absolute_paths),
    detail=st.text(characters, max_size=40),
    offset=maybe(sizes),
)
evidence_sets = sorted_sets(evidences, key=lambda item: item.sort_key)

packages = st.builds(
    Package,
    manager=st.sampled_from(["dpkg", "rpm", "apk", "pacman"]),
    name=texts,
    version=texts,
    source=texts,
    source_version=texts,
    arch=maybe(words),
    origin=st.sampled_from(PackageOrigin),
    vendor=maybe(texts),
)

crypto_libraries = st.builds(
    CryptoLibrary, family=st.sampled_from(CryptoFamily), version=maybe(words), package=maybe(packages)
)
crypto_uses = st.one_of(
    st.builds(
        CryptoUse,
        linkage=st.sampled_from(WITHOUT_LIBRARY),
        path=maybe(absolute_paths),
        library=st.none(),
        needed=maybe(words),
    ),
    st.builds(
        CryptoUse,
        linkage=st.sampled_from([one for one in Linkage if one not in WITHOUT_LIBRARY]),
        path=maybe(absolute_paths),
        library=crypto_libraries,
        needed=maybe(words),
    ),
)

symbol_versions = st.one_of(
    st.tuples(
        st.sampled_from(["GLIBC", "GLIBCXX", "CXXABI", "GCC"]), st.lists(st.integers(0, 60), min_size=1, max_size=3)
    ).map(lambda made: f"{made[0]}_{'.'.join(map(str, made[1]))}"),
    st.sampled_from(["GLIBC_PRIVATE", "GLIBC_ABI_DT_RELR", "OPENSSL_1_1_1", "OPENSSL_3.0.0"]),
    texts,
)
sonames = st.sampled_from(["libc.so.6", "libm.so.6", "libssl.so.3", "libstdc++.so.6", "libpython3.12.so.1.0"]) | names
library_needs = st.builds(
    LibraryNeed, soname=sonames, versions=sorted_sets(symbol_versions), weak=sorted_sets(symbol_versions, max_size=2)
)
raisings = st.builds(
    RaisedBy, version=symbol_versions, soname=sonames, file=relative_paths, symbol=st.text(characters, max_size=16)
)
requirements = st.builds(
    Requirement,
    arch=maybe(words),
    loader=maybe(absolute_paths),
    loader_kind=st.sampled_from(LoaderKind),
    needs=sorted_sets(library_needs, key=lambda need: need.soname),
    sonames=sorted_sets(sonames),
    raised_by=sorted_sets(raisings),
    x86_64_level=maybe(levels),
    kernel=maybe(words),
    runpath=st.lists(st.text(characters, max_size=16), max_size=2).map(tuple),
)

wheel_tags = st.builds(WheelTag, interpreter=words, abi=words, platform=words)


def _leading_somewhere(files: tuple[ArtefactFile, ...]) -> tuple[ArtefactFile, ...]:
    """Let each file use those before it."""
    return tuple(replace(file, uses=tuple(one.path for one in files[:number])) for number, file in enumerate(files))


artefact_files = st.builds(
    ArtefactFile,
    path=relative_paths,
    role=st.sampled_from(FileRole),
    requirement=requirements,
    stray=sorted_sets(sonames),
)
artefacts = st.one_of(
    st.builds(
        Artefact,
        name=texts,
        kind=st.sampled_from(sorted(set(ArtefactKind) - {ArtefactKind.WHEEL_NAME})),
        files=sorted_sets(artefact_files, key=lambda file: file.path).map(_leading_somewhere),
        requires_python=maybe(texts),
        implementation=st.sampled_from(Implementation),
        version=maybe(words),
        home=maybe(texts),
    ),
    st.builds(
        Artefact,
        name=texts,
        kind=st.just(ArtefactKind.WHEEL),
        files=sorted_sets(artefact_files, key=lambda file: file.path).map(_leading_somewhere),
        tags=sorted_sets(wheel_tags),
    ),
    st.builds(Artefact, name=texts, kind=st.just(ArtefactKind.WHEEL_NAME), tags=sorted_sets(wheel_tags)),
)

platform_libraries = st.builds(PlatformLibrary, soname=sonames, versions=sorted_sets(symbol_versions))
platforms = st.builds(
    Platform,
    arch=maybe(words),
    x86_64_level=maybe(levels),
    kernel=maybe(words),
    libc_family=st.sampled_from(LibcFamily),
    libc_version=maybe(words),
    loaders=sorted_sets(absolute_paths),
    libraries=sorted_sets(platform_libraries, key=lambda library: library.soname),
)

build_files = st.builds(
    BuildFile,
    path=relative_paths,
    role=st.sampled_from(FileRole),
    sha256=digests,
    size=sizes,
    soname=maybe(sonames),
    requirement=maybe(requirements),
)


def _for_one_loader(files: tuple[BuildFile, ...], arch: str | None, loader: str | None) -> tuple[BuildFile, ...]:
    """Return the files with requirements that can load together: a build of several architectures cannot exist."""
    return tuple(
        file
        if file.requirement is None
        else replace(
            file,
            requirement=replace(
                file.requirement,
                arch=file.requirement.arch and arch,
                loader=file.requirement.loader and loader,
            ),
        )
        for file in files
    )


builds = st.builds(
    Build,
    implementation=st.sampled_from(Implementation),
    version=maybe(words),
    arch=maybe(words),
    provider=st.sampled_from(Provider),
    provider_build=maybe(words),
    flags=sorted_sets(words),
    files=st.builds(
        _for_one_loader,
        sorted_sets(build_files, key=lambda file: file.path, max_size=3),
        maybe(words),
        maybe(absolute_paths),
    ),
    evidence=evidence_sets,
)

root_names = absolute_paths | st.builds("{}:{}".format, st.sampled_from(["container", "image"]), words)

installs = st.builds(
    Install,
    root=root_names,
    path=absolute_paths,
    realpath=absolute_paths,
    kind=st.sampled_from(InstallKind),
    implementation=st.sampled_from(Implementation),
    installer=st.sampled_from(Installer),
    build=maybe(digests),
    crypto=crypto_uses,
    aliases=sorted_sets(absolute_paths),
    base=maybe(absolute_paths),
    recorded_version=maybe(words),
    package=maybe(packages),
    state=st.sampled_from(EnvironmentState),
    evidence=evidence_sets,
)
install_sets = st.builds(InstallSet, sorted_sets(installs, key=lambda install: (install.root, install.path)))

os_releases = st.builds(
    OsRelease,
    id=maybe(words),
    version_id=maybe(words),
    pretty_name=maybe(texts),
    version_codename=maybe(words),
    id_like=st.lists(words, max_size=3).map(tuple),
)
libcs = st.builds(
    Libc,
    family=st.sampled_from(LibcFamily),
    version=maybe(words),
    path=maybe(absolute_paths),
    package=maybe(packages),
)
hosts = st.builds(
    Host,
    hostname=texts,
    os_release=os_releases,
    arch=maybe(words),
    x86_64_level=maybe(levels),
    kernel=maybe(texts),
    libc=libcs,
    evidence=evidence_sets,
)
inventories = st.builds(
    Inventory,
    host=hosts,
    platform=digests,
    installs=digests,
    builds=sorted_sets(digests),
    crypto_copies=maybe(digests),
    tools=maybe(digests),
    roots=maybe(digests),
    changelogs=sorted_sets(digests),
)

crypto_copies = st.builds(
    CryptoCopy,
    root=root_names,
    path=absolute_paths,
    linkage=st.sampled_from([one for one in Linkage if one not in (Linkage.NONE, Linkage.UNRESOLVED)]),
    library=crypto_libraries,
    environment=maybe(absolute_paths),
    owner=maybe(st.builds(CopyOwner, ecosystem=words, name=texts, version=maybe(words))),
    evidence=evidence_sets,
)
crypto_copy_sets = st.builds(CryptoCopySet, sorted_sets(crypto_copies, key=lambda copy: (copy.root, copy.path)))

tools = st.builds(
    Tool,
    root=root_names,
    path=absolute_paths,
    name=texts,
    version=maybe(words),
    newest_build=maybe(words),
    environment=maybe(absolute_paths),
    package=maybe(packages),
    evidence=evidence_sets,
)
tool_settings = st.builds(
    ToolSetting,
    root=root_names,
    path=absolute_paths,
    tool=words,
    name=words,
    value=st.text(characters, max_size=16),
    evidence=evidence_sets,
)
tool_sets = st.builds(
    ToolSet,
    tools=sorted_sets(tools, key=lambda tool: (tool.root, tool.path)),
    settings=sorted_sets(tool_settings, key=lambda one: (one.root, one.path, one.tool, one.name)),
)

containers = st.builds(
    Container, runtime=words, id=maybe(words), name=maybe(texts), image=maybe(texts), image_id=maybe(words)
)
scanned_roots = st.builds(
    ScannedRoot,
    name=root_names,
    kind=st.sampled_from(RootKind),
    path=maybe(absolute_paths),
    os_release=os_releases,
    arch=maybe(words),
    libc=libcs,
    platform=maybe(digests),
    container=maybe(containers),
    created=maybe(words),
    tags=sorted_sets(texts),
    evidence=evidence_sets,
)


def _with_one_host(roots: tuple[ScannedRoot, ...]) -> RootSet:
    """Return a set in which only the first root that says so is the host itself."""
    hosts_seen = 0
    kept = []
    for root in roots:
        hosts_seen += root.kind is RootKind.HOST
        kept.append(replace(root, kind=RootKind.FOLDER) if root.kind is RootKind.HOST and hosts_seen > 1 else root)
    return RootSet(tuple(kept))


root_sets = sorted_sets(scanned_roots, key=lambda root: root.name).map(_with_one_host)

changelog_fixes = st.builds(
    ChangelogFix,
    advisory=st.builds("CVE-{}-{}".format, st.integers(1999, 2099), st.integers(1000, 9999999)),
    version=words,
    text=st.text(characters, max_size=24),
)
changelogs = st.builds(
    PackageChangelog,
    package=packages,
    state=st.sampled_from([one for one in ChangelogState if one is not ChangelogState.MISSING]),
    file=maybe(absolute_paths),
    entries=st.integers(0, 2**31 - 1),
    newest=maybe(words),
    oldest=maybe(words),
    fixes=sorted_sets(changelog_fixes, key=lambda fix: fix.advisory),
    reason=maybe(texts),
) | st.builds(PackageChangelog, package=packages, state=st.just(ChangelogState.MISSING), reason=maybe(texts))

mapped_libraries = st.builds(
    MappedLibrary, path=absolute_paths, state=st.sampled_from(MappingState), processes=st.integers(1, 2**31 - 1)
)
process_examples = st.builds(ProcessExample, pid=st.integers(1, 2**31 - 1), unit=maybe(texts))
process_groups = st.builds(
    ProcessGroup,
    root=root_names,
    executable=absolute_paths,
    state=st.sampled_from(MappingState),
    processes=st.integers(9, 2**31 - 1),
    install=maybe(absolute_paths),
    libraries=sorted_sets(mapped_libraries, key=lambda one: one.sort_key, max_size=3),
    unread=st.integers(0, 9),
    examples=sorted_sets(process_examples, key=lambda one: one.sort_key, max_size=5),
)
process_sets = st.builds(ProcessSet, sorted_sets(process_groups, key=lambda group: group.sort_key, max_size=3))

facts = st.one_of(inventories, platforms, install_sets, builds, crypto_copy_sets, tool_sets, root_sets, changelogs)

skip_counts = st.builds(
    SkipCount, reason=words, count=st.integers(1, 2**63 - 1), examples=st.lists(texts, max_size=5).map(tuple)
)
probe_results = st.one_of(
    st.builds(
        ProbeResult,
        name=words,
        state=st.sampled_from([ProbeState.OK, ProbeState.UNKNOWN]),
        seconds=seconds,
        reason=maybe(texts),
        skips=st.lists(skip_counts, max_size=2).map(tuple),
    ),
    st.builds(
        ProbeResult,
        name=words,
        state=st.sampled_from([ProbeState.SKIPPED, ProbeState.FAILED]),
        seconds=seconds,
        reason=texts,
        skips=st.lists(skip_counts, max_size=2).map(tuple),
    ),
)


agent_states = st.builds(
    AgentState,
    waiting_reports=st.integers(0, 2**31 - 1),
    dropped_reports=st.integers(0, 2**63 - 1),
    dropped_facts=st.integers(0, 2**63 - 1),
)


def _with_processes(report: Report, processes: ProcessSet | None, digest: str | None, *, told: bool) -> Report:
    """Return a report that names a process set of its own, holds it where it is told, or does neither."""
    if processes is None:
        return replace(report, processes_digest=digest)
    return replace(report, processes_digest=process_set_digest(processes), processes=processes if told else None)


reports = st.builds(
    _with_processes,
    st.builds(
        Report,
        report_id=st.binary(min_size=16, max_size=16),
        agent_version=words,
        scanned_at=moments,
        scan_seconds=seconds,
        inventory=digests,
        probes=st.lists(probe_results, max_size=3).map(tuple),
        agent_state=maybe(agent_states),
    ),
    maybe(process_sets),
    maybe(digests),
    told=st.booleans(),
)
