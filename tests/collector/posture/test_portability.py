from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.collector.posture.offer import Offer
from libcensus.collector.posture.portability import check, check_build, split_by_start
from libcensus.collector.posture.verdict import PortabilityState, Reason, ReasonKind, Verdict
from libcensus.facts.platform import Platform, PlatformLibrary
from libcensus.facts.requirement import RaisedBy, Requirement
from libcensus.facts.vocabulary import FileRole, LibcFamily, LoaderKind, Provider

from .facts import (
    GLIBC_LOADER,
    MUSL_LOADER,
    build_file,
    glibc_host,
    glibc_versions,
    musl_host,
    needs,
    python_build,
)

RUNS, BLOCKED, UNKNOWN = PortabilityState.RUNS, PortabilityState.BLOCKED, PortabilityState.UNKNOWN


def _kinds(verdict: Verdict) -> list[tuple[str, str, bool]]:
    return [(reason.kind.value, reason.needs, reason.known) for reason in verdict.reasons]


@pytest.mark.parametrize(
    ("requirement", "platform", "state", "kinds"),
    [
        (needs(), glibc_host(), RUNS, []),
        (needs({"libc.so.6": ("GLIBC_2.17",)}, loader=GLIBC_LOADER), glibc_host(31), RUNS, []),
        (needs({"libc.so.6": ("GLIBC_2.36",)}), glibc_host(36), RUNS, []),
        (
            needs({"libc.so.6": ("GLIBC_2.34", "GLIBC_2.38"), "libm.so.6": ("GLIBC_2.38",)}),
            glibc_host(36),
            BLOCKED,
            [("symbol_version", "GLIBC_2.38", True), ("symbol_version", "GLIBC_2.38", True)],
        ),
        (needs(weak={"libc.so.6": ("GLIBC_2.38",)}), glibc_host(36), RUNS, []),
        (
            needs({"libc.so.6": ("GLIBC_ABI_DT_RELR",)}),
            glibc_host(35),
            BLOCKED,
            [("symbol_version", "GLIBC_ABI_DT_RELR", True)],
        ),
        (needs({"libc.so.6": ("GLIBC_ABI_DT_RELR", "GLIBC_PRIVATE")}), glibc_host(36), RUNS, []),
        (needs({"libz.so.1": ("ZLIB_1.2.9",)}), glibc_host(), RUNS, []),
        (needs(sonames=("libcrypt.so.1",)), glibc_host(), BLOCKED, [("soname", "libcrypt.so.1", True)]),
        (
            needs({"libssl.so.3": ("OPENSSL_3.0.0",)}),
            glibc_host(),
            BLOCKED,
            [("soname", "libssl.so.3", True)],
        ),
        (needs(arch="aarch64"), glibc_host(), BLOCKED, [("arch", "aarch64", True)]),
        (needs(arch=None), glibc_host(arch=None), RUNS, []),
        (needs(), glibc_host(arch=None), UNKNOWN, [("arch", "x86_64", False)]),
        (needs(loader=MUSL_LOADER), glibc_host(), BLOCKED, [("loader", MUSL_LOADER, True)]),
        (
            needs(sonames=("libc.so",), loader=MUSL_LOADER),
            glibc_host(loaders=(MUSL_LOADER, GLIBC_LOADER)),
            RUNS,
            [],
        ),
        (
            needs(sonames=("libc.musl-x86_64.so.1", "libz.so.1", "libexpat.so.1"), loader=MUSL_LOADER),
            glibc_host(loaders=(MUSL_LOADER, GLIBC_LOADER)),
            UNKNOWN,
            [("soname", "libexpat.so.1", False)],
        ),
        (needs(sonames=("libc.so",), loader=MUSL_LOADER), musl_host(), RUNS, []),
        (
            needs({"libc.so.6": ("GLIBC_2.17",)}, loader=GLIBC_LOADER),
            musl_host(),
            BLOCKED,
            [("loader", GLIBC_LOADER, True), ("soname", "libc.so.6", True)],
        ),
        (needs(arch="x86_64"), musl_host(), RUNS, []),
        (needs(loader=GLIBC_LOADER), Platform(arch="x86_64"), UNKNOWN, [("loader", GLIBC_LOADER, False)]),
        (
            needs(sonames=("libc.so.6",)),
            Platform(arch="x86_64", libc_family=LibcFamily.GLIBC),
            UNKNOWN,
            [("soname", "libc.so.6", False)],
        ),
        (needs(level=1), glibc_host(level=None), RUNS, []),
        (needs(level=3), glibc_host(level=3), RUNS, []),
        (needs(level=4), glibc_host(level=3), BLOCKED, [("x86_64_level", "x86-64-v4", True)]),
        (needs(level=2), glibc_host(level=None), UNKNOWN, [("x86_64_level", "x86-64-v2", False)]),
        (needs(kernel="3.2.0"), glibc_host(kernel="3.2"), RUNS, []),
        (needs(kernel="3.2.0"), glibc_host(kernel="6.1"), RUNS, []),
        (needs(kernel="6.6.0"), glibc_host(kernel="6.1"), BLOCKED, [("kernel", "Linux 6.6.0", True)]),
        (needs(kernel="6.1.5"), glibc_host(kernel="6.1"), UNKNOWN, [("kernel", "Linux 6.1.5", False)]),
        (needs(kernel="6.1.5"), glibc_host(kernel="6.1.9-25-amd64"), RUNS, []),
        (needs(kernel="3.2.0"), glibc_host(kernel=None), RUNS, []),
        (needs(kernel="4.4.0"), glibc_host(kernel=None), UNKNOWN, [("kernel", "Linux 4.4.0", False)]),
        (needs(kernel="3.2.0"), glibc_host(19, kernel=None), UNKNOWN, [("kernel", "Linux 3.2.0", False)]),
        (needs(kernel="2.6.32"), glibc_host(19, kernel=None), RUNS, []),
        (needs(kernel="2.6.32"), glibc_host(11, kernel=None), UNKNOWN, [("kernel", "Linux 2.6.32", False)]),
        (
            needs(kernel="3.7.0", arch="aarch64"),
            glibc_host(arch="aarch64", kernel=None),
            RUNS,
            [],
        ),
        (needs(kernel="3.2.0"), glibc_host(kernel="unreadable"), RUNS, []),
        (needs(kernel="99.0.0", loader=GLIBC_LOADER), glibc_host(31, kernel="6.1"), RUNS, []),
        (
            needs(sonames=("libc.so.6",), kernel="99.0.0"),
            glibc_host(31, kernel="6.1"),
            BLOCKED,
            [("kernel", "Linux 99.0.0", True)],
        ),
        (needs(sonames=("libc.so.6",), kernel="99.0.0"), glibc_host(36, kernel="6.1"), RUNS, []),
        (needs(sonames=("libz.so.1",), kernel="99.0.0"), musl_host(), RUNS, []),
        (needs(kernel="strange"), glibc_host(), RUNS, []),
        (needs(arch="i386"), glibc_host(), UNKNOWN, [("arch", "i386", False)]),
        (
            needs(sonames=("libc.so.6", "libfoo.so.1"), arch="i386", loader="/lib/ld-linux.so.2"),
            glibc_host(loaders=("/lib/ld-linux.so.2", GLIBC_LOADER)),
            UNKNOWN,
            [("arch", "i386", False), ("soname", "libfoo.so.1", False)],
        ),
        (
            needs(sonames=("libc.so.6",), arch="i386", loader="/lib/ld-linux.so.2"),
            glibc_host(),
            BLOCKED,
            [("arch", "i386", True), ("loader", "/lib/ld-linux.so.2", True)],
        ),
        (needs(sonames=("linux-vdso.so.1", "ld-linux-x86-64.so.2")), glibc_host(), RUNS, []),
        (
            needs({"ld-linux-x86-64.so.2": ("GLIBC_2.3", "GLIBC_2.38", "GLIBC_PRIVATE")}),
            glibc_host(36),
            BLOCKED,
            [("symbol_version", "GLIBC_2.38", True)],
        ),
        (
            needs(sonames=("/opt/vendor/libfoo.so",)),
            glibc_host(),
            UNKNOWN,
            [("soname", "/opt/vendor/libfoo.so", False)],
        ),
        (
            needs(sonames=("libfoo.so.1",), runpath=("/opt/vendor/lib",)),
            glibc_host(),
            UNKNOWN,
            [("soname", "libfoo.so.1", False)],
        ),
        (
            needs(sonames=("libfoo.so.1",), runpath=("$ORIGIN/../lib",)),
            glibc_host(),
            BLOCKED,
            [("soname", "libfoo.so.1", True)],
        ),
        (
            needs({"libm.so.6": ("GLIBC_2.27",)}),
            glibc_host(36),
            BLOCKED,
            [("symbol_version", "GLIBC_2.27", True)],
        ),
    ],
    ids=[
        "nothing needed",
        "an older glibc is enough",
        "the very glibc",
        "glibc too old, told per library",
        "weak versions do not block",
        "DT_RELR is a need, not a number",
        "DT_RELR and PRIVATE are there",
        "a library without versions only warns",
        "soname missing",
        "missing library is one obstacle",
        "another architecture",
        "nothing said about the architecture",
        "the host's architecture is unknown",
        "musl loader missing",
        "musl beside glibc",
        "musl beside glibc, another library",
        "musl on musl",
        "glibc on musl",
        "static",
        "loaders unknown",
        "libraries unknown",
        "level 1 is every x86-64",
        "level met",
        "level too low",
        "level unknown",
        "kernel just met",
        "kernel newer",
        "kernel too old",
        "kernel's patch release unknown",
        "kernel's patch release told",
        "no kernel, but the host's glibc needs as much",
        "no kernel, more than glibc needs",
        "no kernel, old glibc",
        "no kernel, an old need",
        "no kernel, very old glibc",
        "no kernel, aarch64",
        "kernel unreadable",
        "nobody reads a program's note",
        "an old loader passes over a library",
        "a newer one does not",
        "nor does musl's",
        "kernel need unreadable",
        "32 bits, static",
        "32 bits, with its loader",
        "32 bits, without its loader",
        "the loader itself",
        "the loader's versions are its libc's",
        "absolute path",
        "own folder",
        "siblings travel",
        "omitted by the distribution although newer ones exist",
    ],
)
def test_what_the_loader_would_say(
    requirement: Requirement, platform: Platform, state: PortabilityState, kinds: list[tuple[str, str, bool]]
) -> None:
    verdict = check(requirement, platform)
    assert verdict.state is state
    assert _kinds(verdict) == kinds
    assert check(requirement, Offer.of(platform)) == verdict


def test_a_reason_names_file_symbol_and_what_the_host_has() -> None:
    requirement = needs(
        {"libm.so.6": ("GLIBC_2.38",)},
        raised_by=(
            RaisedBy("GLIBC_2.38", "libm.so.6", "lib/libpython3.13.so.1.0", "fmod"),
            RaisedBy("GLIBC_2.38", "libm.so.6", "lib/libpython3.13.so.1.0", "fmodf"),
        ),
    )
    (reason,) = check(requirement, glibc_host(36)).reasons
    assert (reason.library, reason.file, reason.symbol) == ("libm.so.6", "lib/libpython3.13.so.1.0", "fmod")
    assert reason.has == "GLIBC_2.29"
    assert reason.remedy is not None
    assert str(reason) == (
        "needs GLIBC_2.38 of libm.so.6 (fmod in lib/libpython3.13.so.1.0); the host defines up to GLIBC_2.29"
    )


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (Reason(ReasonKind.SONAME, "libz.so.1", library="libz.so.1"), "needs libz.so.1; the host has none"),
        (
            Reason(ReasonKind.SONAME, "libz.so.1", library="libz.so.1", file="bin/python", known=False),
            "needs libz.so.1 (in bin/python); the host's is unknown",
        ),
        (Reason(ReasonKind.ARCH, "aarch64", has="x86_64"), "needs aarch64; the host has x86_64"),
        (
            Reason(ReasonKind.REQUIREMENT, "a file that could be read", file="bin/python", known=False),
            "cannot be judged without a file that could be read (in bin/python)",
        ),
    ],
)
def test_a_reason_reads_as_a_sentence(reason: Reason, text: str) -> None:
    assert str(reason) == text


def test_a_gauge_counts_the_first_reason_that_decided() -> None:
    both = check(needs({"libc.so.6": ("GLIBC_2.38",)}, level=2, loader=MUSL_LOADER), glibc_host(36, level=None))
    assert [reason.kind for reason in both.reasons] == [
        ReasonKind.LOADER,
        ReasonKind.X86_64_LEVEL,
        ReasonKind.SYMBOL_VERSION,
    ]
    assert both.first_reason is ReasonKind.LOADER
    level_unknown = check(needs({"libc.so.6": ("GLIBC_2.38",)}, level=2), glibc_host(36, level=None))
    assert level_unknown.state is BLOCKED
    assert level_unknown.first_reason is ReasonKind.SYMBOL_VERSION
    assert check(needs(level=2), glibc_host(level=None)).first_reason is ReasonKind.X86_64_LEVEL
    assert check(needs(), glibc_host()).first_reason is None


def test_the_documented_order_of_kinds() -> None:
    assert [kind.value for kind in sorted(ReasonKind, key=lambda kind: kind.rank)] == [
        "arch",
        "loader",
        "tag",
        "python",
        "x86_64_level",
        "kernel",
        "soname",
        "symbol_version",
        "requirement",
    ]


def test_a_module_alone_is_degraded() -> None:
    verdict = check(needs(sonames=("libssl.so.3",)), glibc_host(), module="_ssl", file="lib-dynload/_ssl.so")
    assert verdict.state is RUNS
    assert verdict.reasons == ()
    assert [(reason.module, reason.file) for reason in verdict.degraded] == [("_ssl", "lib-dynload/_ssl.so")]


EXECUTABLE = build_file(
    "bin/python3.12",
    FileRole.EXECUTABLE,
    needs(
        {"libc.so.6": ("GLIBC_2.17",)},
        sonames=("$ORIGIN/../lib/libpython3.12.so.1.0",),
        loader=GLIBC_LOADER,
        kernel="3.2.0",
    ),
)
LIBPYTHON = build_file(
    "lib/libpython3.12.so.1.0",
    FileRole.LIBRARY,
    needs({"libc.so.6": ("GLIBC_2.34",), "libm.so.6": ("GLIBC_2.38",)}),
    soname="libpython3.12.so.1.0",
)
SSL = build_file(
    "lib/python3.12/lib-dynload/_ssl.cpython-312-x86_64-linux-gnu.so",
    FileRole.MODULE,
    needs({"libc.so.6": ("GLIBC_2.17",)}, sonames=("libssl.so.3", "libcrypto.so.3")),
)
BUNDLED_SSL = build_file(
    "lib/libssl.so.3",
    FileRole.LIBRARY,
    needs({"libc.so.6": ("GLIBC_2.39",)}, sonames=("libcrypto.so.3",)),
    "libssl.so.3",
)
BUNDLED_CRYPTO = build_file(
    "lib/libcrypto.so.3", FileRole.LIBRARY, needs({"libc.so.6": ("GLIBC_2.17",)}), "libcrypto.so.3"
)


def test_a_build_needs_what_its_executable_and_libraries_need() -> None:
    build = python_build(files=(EXECUTABLE, LIBPYTHON, SSL))
    assert check_build(build, glibc_host(38, extra={"libssl.so.3": (), "libcrypto.so.3": ()})) == Verdict(RUNS)
    verdict = check_build(build, glibc_host(36))
    assert verdict.state is BLOCKED
    assert [(r.needs, r.library, r.file) for r in verdict.reasons] == [
        ("GLIBC_2.38", "libm.so.6", "lib/libpython3.12.so.1.0")
    ]
    assert [(r.needs, r.module) for r in verdict.degraded] == [("libcrypto.so.3", "_ssl"), ("libssl.so.3", "_ssl")]


def test_libraries_that_only_a_module_wants_do_not_stop_the_start() -> None:
    build = python_build(files=(EXECUTABLE, BUNDLED_CRYPTO, LIBPYTHON, BUNDLED_SSL, SSL))
    starting, modules = split_by_start(build)
    assert {file.path for file in starting} == {EXECUTABLE.path, LIBPYTHON.path}
    assert {file.path for file in modules} == {SSL.path, BUNDLED_SSL.path, BUNDLED_CRYPTO.path}
    verdict = check_build(build, glibc_host(38))
    assert verdict.state is RUNS
    assert [(r.needs, r.module, r.file) for r in verdict.degraded] == [("GLIBC_2.39", "libssl", "lib/libssl.so.3")]


def test_a_library_that_nothing_names_counts_to_the_start() -> None:
    lonely = build_file("lib/libodd.so", FileRole.LIBRARY, needs(sonames=("libmissing.so.1",)))
    verdict = check_build(python_build(files=(EXECUTABLE, lonely)), glibc_host(extra={"libpython3.12.so.1.0": ()}))
    assert verdict.state is BLOCKED


def test_an_obstacle_of_the_start_is_not_told_again_for_modules() -> None:
    module = build_file("lib/math.so", FileRole.MODULE, needs({"libm.so.6": ("GLIBC_2.38",)}))
    verdict = check_build(python_build(files=(EXECUTABLE, LIBPYTHON, module)), glibc_host(36))
    assert len(verdict.reasons) == 1
    assert verdict.degraded == ()


def test_the_same_obstacle_of_many_files_is_told_once_for_the_start() -> None:
    second = build_file("lib/libsecond.so", FileRole.LIBRARY, needs({"libm.so.6": ("GLIBC_2.38",)}))
    verdict = check_build(python_build(files=(EXECUTABLE, LIBPYTHON, second)), glibc_host(36))
    assert [reason.file for reason in verdict.reasons] == ["lib/libpython3.12.so.1.0"]


@pytest.mark.parametrize("provider", [Provider.CONDA, Provider.NIX, Provider.SNAP])
def test_a_provider_with_a_folder_of_libraries_leaves_missing_ones_unknown(provider: Provider) -> None:
    executable = build_file("bin/python", FileRole.EXECUTABLE, needs(sonames=("libtinfow.so.6",)))
    assert check_build(python_build(provider=provider, files=(executable,)), glibc_host()).state is UNKNOWN


def test_a_build_whose_files_could_not_be_read_is_unknown() -> None:
    assert check_build(python_build(), glibc_host()).state is UNKNOWN
    unread = build_file("bin/python3.12", FileRole.EXECUTABLE)
    verdict = check_build(python_build(files=(unread,)), glibc_host())
    assert verdict.state is UNKNOWN
    assert verdict.first_reason is ReasonKind.REQUIREMENT
    unread_library = build_file("lib/libpython3.12.so.1.0", FileRole.LIBRARY, soname="libpython3.12.so.1.0")
    verdict = check_build(python_build(files=(EXECUTABLE, unread_library)), glibc_host())
    assert _kinds(verdict) == [("requirement", "a file that could be read", False)]
    module = build_file("lib/_x.so", FileRole.MODULE)
    static = build_file("bin/python3.12", FileRole.EXECUTABLE, needs())
    assert check_build(python_build(files=(static, module)), glibc_host()) == Verdict(RUNS)


def test_a_loader_of_another_kind_is_not_guessed_at() -> None:
    requirement = Requirement(
        arch="x86_64", loader="/lib/ld-other.so", loader_kind=LoaderKind.OTHER, sonames=("libfoo.so.1",)
    )
    assert check(requirement, glibc_host()).state is BLOCKED
    there = glibc_host(loaders=("/lib/ld-other.so", GLIBC_LOADER))
    assert check(requirement, there).state is UNKNOWN


_NAMES = st.sampled_from(["libc.so.6", "libm.so.6", "libz.so.1", "libssl.so.3"])
_VERSIONS = st.lists(st.sampled_from(["GLIBC_2.9", "GLIBC_2.17", "GLIBC_2.38", "GLIBC_PRIVATE", "V_1"]), unique=True)
_TABLES = st.dictionaries(_NAMES, _VERSIONS.map(lambda items: tuple(sorted(items))))


@given(_TABLES, _TABLES, _TABLES)
def test_it_runs_exactly_when_every_strong_version_is_defined(
    strong: dict[str, tuple[str, ...]], weak: dict[str, tuple[str, ...]], offered: dict[str, tuple[str, ...]]
) -> None:
    weak = {name: tuple(v for v in versions if v not in strong.get(name, ())) for name, versions in weak.items()}
    libraries = tuple(PlatformLibrary(name, versions) for name, versions in sorted(offered.items()))
    platform = Platform(arch="x86_64", libc_family=LibcFamily.GLIBC, libraries=libraries)
    verdict = check(needs(strong, weak=weak), platform)
    fits = all(
        name in offered and (not offered[name] or set(versions) <= set(offered[name]))
        for name, versions in {**weak, **strong}.items()
        for versions in [strong.get(name, ())]
    )
    expected = RUNS if fits else BLOCKED if offered else UNKNOWN
    assert verdict.state is expected
    assert list(verdict.reasons) == sorted(verdict.reasons, key=lambda reason: reason.kind.rank)


@given(st.integers(17, 43), st.integers(17, 43))
def test_a_newer_glibc_never_blocks_what_an_older_one_runs(older: int, newer: int) -> None:
    older, newer = sorted((older, newer))
    requirement = needs({"libc.so.6": (glibc_versions(older)[0], f"GLIBC_2.{older}")})
    assert check(requirement, glibc_host(older)).state is RUNS
    assert check(requirement, glibc_host(newer)).state is RUNS
