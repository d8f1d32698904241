"""From what the reader saw to what a host must offer."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest

from libcensus.agent.elf.reader import BytesSource, Elf, ElfType, NeededVersion, VersionNeed, read_elf
from libcensus.agent.elf.requirement import loader_kind, manylinux_policy, requirement_of
from libcensus.facts.manylinux import (
    LIBRARIES,
    NEWEST,
    OLDEST,
    POLICIES,
    ZLIB_PRIVATE,
    first_policy,
    judge_manylinux,
)
from libcensus.facts.requirement import LibraryNeed, RaisedBy
from libcensus.facts.vocabulary import LoaderKind
from tests.agent.elf.samples import FIXTURES

AUDITWHEEL_ARCH = {"i386": "i686", "arm": "armv7l"}


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (None, LoaderKind.NONE),
        ("/lib64/ld-linux-x86-64.so.2", LoaderKind.GLIBC),
        ("/lib/ld-linux.so.2", LoaderKind.GLIBC),
        ("/lib/ld-linux-aarch64.so.1", LoaderKind.GLIBC),
        ("/lib64/ld64.so.2", LoaderKind.GLIBC),
        ("/lib/ld64.so.1", LoaderKind.GLIBC),
        ("/lib/ld.so.1", LoaderKind.GLIBC),
        ("/nix/store/abc-glibc-2.40/lib/ld-linux-x86-64.so.2", LoaderKind.GLIBC),
        ("/lib/ld-musl-x86_64.so.1", LoaderKind.MUSL),
        ("/lib/ld-uClibc.so.0", LoaderKind.OTHER),
        ("/system/bin/linker64", LoaderKind.OTHER),
    ],
)
def test_loaders_are_known_by_their_names(path: str | None, kind: LoaderKind) -> None:
    assert loader_kind(path) is kind


def elf(*needs: VersionNeed, needed: tuple[str, ...] = ("libc.so.6",)) -> Elf:
    return Elf(64, True, ElfType.DYN, 62, "x86_64", needed=needed, verneed=needs)


def need(soname: str, *versions: str, weak: tuple[str, ...] = ()) -> VersionNeed:
    names = [*((name, False) for name in versions), *((name, True) for name in weak)]
    return VersionNeed(soname, tuple(NeededVersion(name, flag, at) for at, (name, flag) in enumerate(names, 2)))


def test_needs_are_sorted_and_joined_by_library() -> None:
    requirement = requirement_of(
        elf(need("libm.so.6", "GLIBC_2.29"), need("libc.so.6", "GLIBC_2.9"), need("libc.so.6", "GLIBC_2.17")), file="f"
    )
    assert requirement.needs == (
        LibraryNeed("libc.so.6", ("GLIBC_2.17", "GLIBC_2.9")),
        LibraryNeed("libm.so.6", ("GLIBC_2.29",)),
    )
    assert requirement.sonames == ("libc.so.6", "libm.so.6")
    assert requirement.glibc == "2.29"


def test_weak_versions_do_not_raise_the_floor() -> None:
    requirement = requirement_of(elf(need("libc.so.6", "GLIBC_2.17", weak=("GLIBC_2.38", "GLIBC_2.17"))), file="f")
    assert requirement.needs == (LibraryNeed("libc.so.6", ("GLIBC_2.17",), ("GLIBC_2.38",)),)
    assert requirement.glibc == "2.17"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ()),
        ({"rpath": "/a:$ORIGIN"}, ("/a", "$ORIGIN")),
        ({"runpath": "/b"}, ("/b",)),
        ({"rpath": "/a", "runpath": "/b"}, ("/b",)),
    ],
)
def test_the_search_path_is_the_one_that_counts(fields: dict[str, str], expected: tuple[str, ...]) -> None:
    found = Elf(64, True, ElfType.DYN, 62, "x86_64", **fields)  # type: ignore[arg-type]
    assert requirement_of(found, file="f").runpath == expected


def test_private_and_relr_are_needs_and_no_numbers() -> None:
    versions = ("GLIBC_2.2.5", "GLIBC_ABI_DT_RELR", "GLIBC_PRIVATE")
    requirement = requirement_of(elf(need("libc.so.6", *versions)), file="f")
    assert requirement.needs[0].versions == versions
    assert requirement.glibc == "2.2.5"


def test_symbols_of_the_highest_version_are_named() -> None:
    found = read_elf(BytesSource((FIXTURES / "x86_64-linux-gnu" / "program").read_bytes()))
    raised = requirement_of(found, file="bin/program").raised_by
    assert raised == (RaisedBy("GLIBC_2.17", "libc.so.6", "bin/program", "secure_getenv"),)


def test_a_version_that_no_symbol_uses_is_told_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read_elf(BytesSource((FIXTURES / "x86_64-linux-gnu" / "program").read_bytes()))
    assert found.symbols is not None
    monkeypatch.setattr(type(found.symbols), "of_version", lambda _self, _index, _limit=None: [])
    assert [one.symbol for one in requirement_of(found, file="f").raised_by] == [""]


# --- manylinux --------------------------------------------------------------------------------------------------


def test_the_table_agrees_with_auditwheels_in_every_cell() -> None:
    told = json.loads((files("auditwheel") / "policy" / "manylinux-policy.json").read_text())
    policies = [policy for policy in told if policy["name"] != "linux"]
    numbers = [int(policy["name"].split("_")[2]) for policy in policies]
    assert tuple(sorted(numbers)) == POLICIES
    for arch, oldest in OLDEST.items():
        name = AUDITWHEEL_ARCH.get(arch, arch)
        paired = list(zip(numbers, policies, strict=True))
        covering = [number for number, policy in paired if name in policy["symbol_versions"]]
        assert (min(covering), max(covering)) == (oldest, NEWEST.get(arch, POLICIES[-1])), arch
        for number, policy in paired:
            for family, versions in policy["symbol_versions"].get(name, {}).items():
                allowed = {f"{family}_{version}" for version in versions}
                mine = {version: first_policy(arch, version) for version in allowed}
                assert all(first is not None and first <= number for first in mine.values()), (arch, number, mine)
                earlier = [p["symbol_versions"].get(name, {}).get(family, ()) for n, p in paired if n < number]
                for version, first in mine.items():
                    was_allowed = any(version.partition("_")[2] in allowed_then for allowed_then in earlier)
                    assert was_allowed or first == number, (arch, version, number, first)
    for number, policy in zip(numbers, policies, strict=True):
        assert {library for library, first in LIBRARIES.items() if first <= number} == set(policy["lib_whitelist"])
        forbidden = {symbol for symbol, first in ZLIB_PRIVATE.items() if first is None or first > number}
        assert set(policy["blacklist"]["libz.so.1"]) == forbidden


@pytest.mark.parametrize(
    ("arch", "versions", "sonames", "policy"),
    [
        ("x86_64", ["GLIBC_2.2.5"], ["libc.so.6"], "manylinux_2_5"),
        ("x86_64", ["GLIBC_2.17"], ["libc.so.6", "ld-linux-x86-64.so.2"], "manylinux_2_17"),
        ("x86_64", ["GLIBC_2.18"], ["libc.so.6"], "manylinux_2_24"),
        ("aarch64", ["GLIBC_2.18"], ["libc.so.6"], "manylinux_2_17"),
        ("aarch64", ["GLIBC_2.17"], ["libc.so.6"], "manylinux_2_17"),
        ("x86_64", ["GLIBC_2.29"], ["libc.so.6"], "manylinux_2_31"),
        ("x86_64", ["GLIBC_2.17", "GLIBCXX_3.4.20"], ["libc.so.6", "libstdc++.so.6"], "manylinux_2_24"),
        ("x86_64", ["GLIBC_2.17", "GLIBCXX_3.4.99"], ["libc.so.6", "libstdc++.so.6"], None),
        ("x86_64", ["GLIBC_2.17", "ZLIB_1.2.9"], ["libc.so.6", "libz.so.1"], "manylinux_2_27"),
        ("i386", ["GLIBC_2.1.3", "ZLIB_1.2.9"], ["libc.so.6", "libz.so.1"], "manylinux_2_26"),
        ("x86_64", ["GLIBC_2.5", "GLIBC_ABI_DT_RELR"], ["libc.so.6"], "manylinux_2_36"),
        ("x86_64", ["GLIBC_2.43"], ["libc.so.6"], "manylinux_2_43"),
        ("x86_64", ["GLIBC_PRIVATE"], ["libc.so.6"], None),
        ("x86_64", ["GLIBC_2.17", "OPENSSL_3.0.0"], ["libc.so.6", "libcrypto.so.3"], None),
        ("x86_64", ["GLIBC_2.5"], ["libc.so.6", "libexpat.so.1"], "manylinux_2_12"),
        ("riscv64", ["GLIBC_2.27"], ["libc.so.6"], "manylinux_2_31"),
        ("loongarch64", ["GLIBC_2.36"], ["libc.so.6"], "manylinux_2_36"),
        ("ppc64", ["GLIBC_2.24"], ["libc.so.6"], None),
        ("x86_64", [], ["libc.musl-x86_64.so.1"], None),
        ("x86_64", [], [], None),
        ("sparc64", ["GLIBC_2.17"], ["libc.so.6"], None),
        (None, [], [], None),
    ],
)
def test_the_oldest_policy_that_fits(
    arch: str | None, versions: list[str], sonames: list[str], policy: str | None
) -> None:
    verdict = judge_manylinux(arch, versions, sonames)
    assert verdict.policy == policy, verdict.reason
    assert verdict.reason


def test_a_higher_cpu_level_fits_no_policy() -> None:
    assert judge_manylinux("x86_64", ["GLIBC_2.17"], ["libc.so.6"], x86_64_level=1).policy == "manylinux_2_17"
    assert judge_manylinux("x86_64", ["GLIBC_2.17"], ["libc.so.6"], x86_64_level=3).policy is None


def test_private_symbols_of_zlib_fit_few_policies() -> None:
    wanted = ["libc.so.6", "libz.so.1"]
    assert judge_manylinux("x86_64", [], wanted, private_symbols=["z_errmsg"]).policy is None
    assert judge_manylinux("x86_64", [], wanted, private_symbols=["uncompress2"]).policy == "manylinux_2_34"
    assert judge_manylinux("x86_64", [], ["libc.so.6"], private_symbols=["z_errmsg"]).policy == "manylinux_2_5"


@pytest.mark.parametrize(
    ("machine", "policy"),
    [
        ("x86_64-linux-gnu", "manylinux_2_17"),
        ("s390x-linux-gnu", "manylinux_2_17"),
        ("riscv64-linux-gnu", "manylinux_2_31"),
        ("x86_64-linux-musl", None),
    ],
)
def test_a_library_fits_what_it_was_built_for(machine: str, policy: str | None) -> None:
    found = read_elf(BytesSource((FIXTURES / machine / "libfixture.so.1").read_bytes()))
    got = manylinux_policy(requirement_of(found, file="f"))
    assert (got is None) == (policy is None)
    assert got is None or policy is None or int(got.split("_")[2]) <= int(policy.split("_")[2])
