"""What is prepared gives the verdicts of what is not, and each verdict is made once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from libcensus.collector.posture import prepared
from libcensus.collector.posture.offer import Offer
from libcensus.collector.posture.portability import check_build
from libcensus.collector.posture.prepared import PortabilityMemory, PreparedBuild
from libcensus.facts.interpreter import Build, BuildFile
from libcensus.facts.platform import Platform, PlatformLibrary
from libcensus.facts.requirement import LibraryNeed, RaisedBy, Requirement
from libcensus.facts.vocabulary import FileRole, Implementation, LibcFamily, LoaderKind, Provider

from .facts import GLIBC_LOADER, MUSL_LOADER

if TYPE_CHECKING:
    import pytest
    from hypothesis.strategies import SearchStrategy

# Few names, so that what is wanted and what is there meet often.
SONAMES = ("ld-linux-x86-64.so.2", "libc.so.6", "libm.so.6", "libpython3.so", "libssl.so.3", "libz.so.1", "/opt/x.so")
VERSIONS = ("GLIBC_2.17", "GLIBC_2.34", "GLIBC_2.38", "GLIBC_ABI_DT_RELR", "OPENSSL_3.0.0")


def subsets(names: tuple[str, ...]) -> SearchStrategy[tuple[str, ...]]:
    return st.sets(st.sampled_from(names)).map(lambda chosen: tuple(sorted(chosen)))


@st.composite
def requirements(draw: st.DrawFn, arch: str | None, loader: str | None) -> Requirement:
    sonames = draw(subsets(SONAMES))
    needs = tuple(
        LibraryNeed(soname, draw(subsets(VERSIONS)), draw(subsets(VERSIONS)))
        for soname in sorted({*sonames, *draw(subsets(SONAMES[:2]))})
        if draw(st.booleans())
    )
    raised = {RaisedBy(version, need.soname, "f", "s") for need in needs for version in need.versions[-1:]}
    return Requirement(
        arch=draw(st.sampled_from([None, arch])),
        loader=draw(st.sampled_from([None, loader])),
        loader_kind=draw(st.sampled_from(LoaderKind)),
        needs=needs,
        sonames=sonames,
        raised_by=tuple(sorted(raised)),
        x86_64_level=draw(st.sampled_from([None, None, 1, 3])),
        kernel=draw(st.sampled_from([None, "3.2.0", "6.1.7"])),
        runpath=draw(st.sampled_from([(), ("$ORIGIN/lib",), ("/opt/lib",)])),
    )


PATHS = ("bin/python3", "lib/_c.so", "lib/a.so", "lib/b.so", "lib/libpython3.so", "lib/libssl.so.3")


@st.composite
def builds(draw: st.DrawFn) -> Build:
    """A build whose files are for one machine and one loader, as they are."""
    arch = draw(st.sampled_from([None, "x86_64", "x86_64", "x86_64", "i386", "aarch64"]))
    loader = draw(st.sampled_from([GLIBC_LOADER, GLIBC_LOADER, MUSL_LOADER]))
    files = tuple(
        BuildFile(
            path,
            draw(st.sampled_from(FileRole)),
            "ab" * 32,
            1,
            draw(st.sampled_from([None, None, "libpython3.so", "libssl.so.3"])),
            draw(st.none() | requirements(arch, loader)),
        )
        for path in draw(subsets(PATHS))
    )
    provider = draw(st.sampled_from([Provider.PBS, Provider.CONDA]))
    return Build(Implementation.CPYTHON, "3.12.1", "x86_64", provider, None, (), files=files)


platforms = st.builds(
    Platform,
    arch=st.sampled_from([None, "x86_64", "x86_64", "x86_64", "aarch64"]),
    x86_64_level=st.sampled_from([None, 2, 3]),
    kernel=st.sampled_from([None, "6.1", "2.6"]),
    libc_family=st.sampled_from([LibcFamily.GLIBC, LibcFamily.GLIBC, LibcFamily.MUSL, LibcFamily.UNKNOWN]),
    libc_version=st.sampled_from([None, "2.36"]),
    loaders=subsets((GLIBC_LOADER, MUSL_LOADER)),
    libraries=st.dictionaries(st.sampled_from(SONAMES[:-1]), subsets(VERSIONS)).map(
        lambda found: tuple(PlatformLibrary(soname, versions) for soname, versions in sorted(found.items()))
    ),
)


@settings(deadline=None, max_examples=400)
@given(builds(), platforms, st.booleans())
def test_a_prepared_build_has_the_verdict_of_the_build(build: Build, platform: Platform, is_coarse: bool) -> None:
    offer = replace(Offer.of(platform), is_coarse=is_coarse)
    assert PreparedBuild(build).check(offer) == check_build(build, offer)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(builds(), min_size=1, max_size=3),
    st.lists(platforms, min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.booleans()), max_size=12),
)
def test_what_is_remembered_is_what_is_judged(
    many: list[Build], offered: list[Platform], asked: list[tuple[int, int, bool]]
) -> None:
    memory = PortabilityMemory()
    for number, place, a_day_goes_by in asked:
        build, platform = many[number % len(many)], offered[place % len(offered)]
        found = memory.verdict(f"b{number % len(many)}", build, platform, f"p{place % len(offered)}")
        assert found == check_build(build, platform)
        if a_day_goes_by:
            memory.age()


NEED = Requirement(arch="x86_64", loader=GLIBC_LOADER, loader_kind=LoaderKind.GLIBC, sonames=("libc.so.6",))
BUILD = Build(
    Implementation.CPYTHON,
    "3.12.1",
    "x86_64",
    Provider.PBS,
    None,
    (),
    files=(BuildFile("bin/python3", FileRole.EXECUTABLE, "ab" * 32, 1, requirement=NEED),),
)
PLATFORM = Platform("x86_64", libc_family=LibcFamily.MUSL, loaders=(MUSL_LOADER,))


def test_a_verdict_is_kept_as_long_as_somebody_asks_in_each_day() -> None:
    memory = PortabilityMemory()
    first = memory.verdict("b", BUILD, PLATFORM, "p")
    offer = memory.offer(PLATFORM, "p")
    for _ in range(3):
        memory.age()
        assert memory.verdict("b", BUILD, PLATFORM, "p") is first
        assert memory.offer(PLATFORM, "p") is offer
    memory.age()
    memory.age()
    assert memory.verdict("b", BUILD, PLATFORM, "p") is not first
    assert memory.verdict("b", BUILD, PLATFORM, "p") == first


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "MEMORY", 2)
    memory = PortabilityMemory()
    for number in range(10):
        for place in range(10):
            assert memory.verdict(f"b{number}", BUILD, PLATFORM, f"p{place}") == check_build(BUILD, PLATFORM)
