from __future__ import annotations

import pytest

from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.posture.distribution import UnknownDistributionError, find_distribution, offer_of
from libcensus.collector.posture.portability import check
from libcensus.collector.posture.verdict import PortabilityState, ReasonKind
from libcensus.facts.requirement import RaisedBy
from libcensus.facts.vocabulary import LibcFamily

from .facts import GLIBC_LOADER, MUSL_LOADER, needs

RUNS, BLOCKED, UNKNOWN = PortabilityState.RUNS, PortabilityState.BLOCKED, PortabilityState.UNKNOWN


@pytest.mark.parametrize(
    ("name", "found", "glibc"),
    [
        ("debian:12", "debian:12", "2.36"),
        ("Debian:Bookworm", "debian:12", "2.36"),
        (" debian:12.7 ", "debian:12", "2.36"),
        ("debian:sid", "debian:sid", "2.43"),
        ("ubuntu:22.04", "ubuntu:22.04", "2.35"),
        ("ubuntu:jammy", "ubuntu:22.04", "2.35"),
        ("ubuntu:22.04.5", "ubuntu:22.04", "2.35"),
        ("rhel:9", "rhel:9", "2.34"),
        ("redhat:9.4", "rhel:9", "2.34"),
        ("rocky:9.4", "rockylinux:9", "2.34"),
        ("alma:8", "almalinux:8", "2.28"),
        ("ol:8.9", "oraclelinux:8", "2.28"),
        ("amzn:2023", "amazonlinux:2023", "2.34"),
        ("centos:stream9", "centos-stream:9", "2.34"),
        ("centos-stream:9", "centos-stream:9", "2.34"),
        ("leap:15.6", "opensuse-leap:15.6", "2.38"),
        ("alpine:3.20", "alpine:*", None),
        ("alpine", "alpine:*", None),
    ],
)
def test_a_distribution_is_found_by_the_names_that_people_use(name: str, found: str, glibc: str | None) -> None:
    release = find_distribution(load_snapshot(), name)
    assert (release.name, release.glibc) == (found, glibc)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("debian:4", "debian:1"),
        ("debain:12", "did you mean debian:12"),
        ("debian", "did you mean debian:"),
        ("debian:", "did you mean debian:"),
        ("zorin:99", "names are like debian:12"),
        ("", "names are like debian:12"),
        (":", "names are like debian:12"),
        ("ubuntu:2.04", "ubuntu:2"),
    ],
)
def test_a_name_that_is_none_is_refused_with_names_that_are_alike(name: str, hint: str) -> None:
    with pytest.raises(UnknownDistributionError) as caught:
        find_distribution(load_snapshot(), name)
    assert hint in str(caught.value)
    assert caught.value.name == name


def test_every_release_of_the_table_is_found_by_its_own_name() -> None:
    catalogue = load_snapshot()
    assert len(catalogue.distribution_releases) > 40
    for release in catalogue.distribution_releases:
        assert find_distribution(catalogue, release.name) is release


def test_a_range_of_releases_answers_for_each_of_them() -> None:
    catalogue = load_snapshot()
    spans = [row for row in catalogue.distribution_releases if "-" in row.release and row.distribution != "amazonlinux"]
    for row in spans:
        first, _, last = row.release.partition("-")
        assert find_distribution(catalogue, f"{row.distribution}:{first}") is row
        assert find_distribution(catalogue, f"{row.distribution}:{last}") is row


def _answers(name: str, wanted: dict[str, object]) -> tuple[PortabilityState, list[tuple[str, str, bool]]]:
    offer = offer_of(find_distribution(load_snapshot(), name), "x86_64")
    assert offer.is_coarse
    verdict = check(needs(**wanted), offer)  # type: ignore[arg-type]
    return verdict.state, [(reason.kind.value, reason.needs, reason.known) for reason in verdict.reasons]


@pytest.mark.parametrize(
    ("name", "wanted", "state", "kinds"),
    [
        ("debian:12", {"versions": {"libc.so.6": ("GLIBC_2.36",)}, "loader": GLIBC_LOADER}, RUNS, []),
        (
            "debian:12",
            {"versions": {"libc.so.6": ("GLIBC_2.38",)}, "loader": GLIBC_LOADER},
            BLOCKED,
            [("symbol_version", "GLIBC_2.38", True)],
        ),
        ("debian:12", {"versions": {"libc.so.6": ("GLIBC_ABI_DT_RELR",)}}, RUNS, []),
        (
            "debian:11",
            {"versions": {"libc.so.6": ("GLIBC_ABI_DT_RELR",)}},
            BLOCKED,
            [("symbol_version", "GLIBC_ABI_DT_RELR", True)],
        ),
        ("debian:12", {"versions": {"libstdc++.so.6": ("GLIBCXX_3.4.19",)}}, RUNS, []),
        (
            "debian:12",
            {"versions": {"libstdc++.so.6": ("GLIBCXX_3.4.33",)}},
            UNKNOWN,
            [("symbol_version", "GLIBCXX_3.4.33", False)],
        ),
        (
            "debian:12",
            {"versions": {"libssl.so.3": ("OPENSSL_3.0.0",)}},
            UNKNOWN,
            [("soname", "libssl.so.3", False)],
        ),
        ("debian:12", {"loader": MUSL_LOADER}, BLOCKED, [("loader", MUSL_LOADER, True)]),
        ("debian:12", {}, RUNS, []),
        ("debian:12", {"level": 3}, UNKNOWN, [("x86_64_level", "x86-64-v3", False)]),
        ("debian:12", {"kernel": "3.2.0"}, RUNS, []),
        ("debian:12", {"arch": "aarch64"}, BLOCKED, [("arch", "aarch64", True)]),
        (
            "alpine:3.20",
            {"versions": {"libc.so.6": ("GLIBC_2.17",)}, "loader": GLIBC_LOADER},
            BLOCKED,
            [("loader", GLIBC_LOADER, True), ("soname", "libc.so.6", True)],
        ),
        ("alpine:3.20", {"sonames": ("libc.musl-x86_64.so.1",), "loader": MUSL_LOADER}, RUNS, []),
        ("alpine:3.20", {"sonames": ("libz.so.1",)}, UNKNOWN, [("soname", "libz.so.1", False)]),
    ],
)
def test_a_name_tells_the_libc_by_number_and_leaves_the_rest_unknown(
    name: str, wanted: dict[str, object], state: PortabilityState, kinds: list[tuple[str, str, bool]]
) -> None:
    assert _answers(name, wanted) == (state, kinds)


def test_the_number_is_told_as_what_the_host_has_with_file_and_symbol() -> None:
    offer = offer_of(find_distribution(load_snapshot(), "debian:12"), "x86_64")
    raised = (RaisedBy("GLIBC_2.38", "libm.so.6", "bin/x", "fmod"),)
    (reason,) = check(needs({"libm.so.6": ("GLIBC_2.38",)}, raised_by=raised), offer).reasons
    assert (reason.kind, reason.has, reason.file, reason.symbol) == (
        ReasonKind.SYMBOL_VERSION,
        "GLIBC_2.36",
        "bin/x",
        "fmod",
    )


def test_another_architecture_has_its_own_loader_and_none_is_unknown() -> None:
    release = find_distribution(load_snapshot(), "debian:12")
    assert offer_of(release, "aarch64").platform.loaders == ("/lib/ld-linux-aarch64.so.1",)
    assert offer_of(release, "loongarch64").glibc_minor == 36
    assert offer_of(release, None).platform.arch is None
    assert offer_of(release, "vax").platform.loaders == ()
    alpine = find_distribution(load_snapshot(), "alpine:3.20")
    assert offer_of(alpine, "arm").platform.loaders == ("/lib/ld-musl-armhf.so.1",)
    assert offer_of(alpine, "arm").platform.libc_family is LibcFamily.MUSL
    assert offer_of(alpine, None).platform.loaders == ()
