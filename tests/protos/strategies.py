"""Hypothesis strategies for every domain type: valid values only, and every valid shape of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from hypothesis import strategies as st

from libcensus.facts.crypto import CryptoLibrary, CryptoUse
from libcensus.facts.evidence import Evidence
from libcensus.facts.host import Host, Inventory, Libc, OsRelease
from libcensus.facts.interpreter import Build, BuildFile, Install, InstallSet
from libcensus.facts.package import Package
from libcensus.facts.platform import Platform, PlatformLibrary
from libcensus.facts.report import ProbeResult, Report, SkipCount
from libcensus.facts.requirement import LibraryNeed, RaisedBy, Requirement
from libcensus.facts.vocabulary import (
    CryptoFamily,
    EvidenceKind,
    FileRole,
    Implementation,
    Installer,
    InstallKind,
    LibcFamily,
    Linkage,
    LoaderKind,
    PackageOrigin,
    ProbeState,
    Provider,
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

installs = st.builds(
    Install,
    root=absolute_paths,
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
inventories = st.builds(Inventory, host=hosts, platform=digests, installs=digests, builds=sorted_sets(digests))

facts = st.one_of(inventories, platforms, install_sets, builds)

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
reports = st.builds(
    Report,
    report_id=st.binary(min_size=16, max_size=16),
    agent_version=words,
    scanned_at=moments,
    scan_seconds=seconds,
    inventory=digests,
    probes=st.lists(probe_results, max_size=3).map(tuple),
)
