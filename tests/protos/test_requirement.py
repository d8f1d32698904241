"""Symbol versions are ordered by their numbers, and requirements of several files join to that of the whole."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libcensus.facts.requirement import (
    LibraryNeed,
    RaisedBy,
    Requirement,
    glibc_number,
    merge_requirements,
    version_key,
)
from libcensus.facts.validation import InvalidFactError
from libcensus.facts.vocabulary import LoaderKind
from tests.protos import strategies as made

RISING = [
    ("GLIBC_2.2.5", "GLIBC_2.3"),
    ("GLIBC_2.3", "GLIBC_2.3.4"),
    ("GLIBC_2.9", "GLIBC_2.17"),
    ("GLIBC_2.17", "GLIBC_2.34"),
    ("GLIBC_2.34", "GLIBC_3.0"),
    ("GLIBC_PRIVATE", "GLIBC_2.0"),
    ("GLIBC_ABI_DT_RELR", "GLIBC_2.2.5"),
    ("GLIBCXX_3.4", "GLIBCXX_3.4.9"),
    ("GLIBCXX_3.4.9", "GLIBCXX_3.4.21"),
    ("CXXABI_1.3", "CXXABI_1.3.13"),
    ("OPENSSL_1_1_0", "OPENSSL_1_1_1"),
    ("OPENSSL_3.0.0", "OPENSSL_3.0.9"),
    ("3.2.0", "10.0"),
    ("2.6", "2.6.32"),
]


@pytest.mark.parametrize(("lower", "higher"), RISING, ids=[f"{one}<{other}" for one, other in RISING])
def test_versions_are_ordered_by_their_numbers(lower: str, higher: str) -> None:
    assert version_key(lower) < version_key(higher)


@given(one=made.symbol_versions, other=made.symbol_versions)
def test_the_order_is_total_and_tells_different_texts_apart(one: str, other: str) -> None:
    assert (version_key(one) == version_key(other)) == (one == other)
    assert (version_key(one) < version_key(other)) != (version_key(one) >= version_key(other))


@given(text=st.text(max_size=80))
def test_any_text_has_a_key_and_it_is_bounded(text: str) -> None:
    _, numbers, _ = version_key(text)
    assert len(numbers) <= 16
    assert all(number < 10**18 for number in numbers)


NUMBERS = [
    ("GLIBC_2.17", (2, 17)),
    ("GLIBC_2.2.5", (2, 2, 5)),
    ("GLIBC_2", None),
    ("GLIBC_2.", None),
    ("GLIBC_PRIVATE", None),
    ("GLIBC_ABI_DT_RELR", None),
    ("GLIBCXX_3.4", None),
    ("GLIBC_2.17 ", None),
    ("glibc_2.17", None),
    ("", None),
    ("GLIBC_2." + "9" * 4000, (2, 999_999_999)),
]


@pytest.mark.parametrize(("version", "number"), NUMBERS, ids=[text[:20] or "empty" for text, _ in NUMBERS])
def test_only_numbered_glibc_versions_are_numbers(version: str, number: tuple[int, ...] | None) -> None:
    assert glibc_number(version) == number


@pytest.mark.parametrize(
    ("versions", "weak", "floor"),
    [
        ((), (), None),
        (("GLIBC_2.17", "GLIBC_2.2.5", "GLIBC_2.9"), (), "2.17"),
        (("GLIBC_ABI_DT_RELR", "GLIBC_PRIVATE"), (), None),
        (("GLIBC_2.17",), ("GLIBC_2.38",), "2.17"),
        ((), ("GLIBC_2.38",), None),
    ],
    ids=["nothing", "highest", "no-number", "weak-does-not-count", "weak-alone"],
)
def test_the_floor_is_the_highest_strong_number(
    versions: tuple[str, ...], weak: tuple[str, ...], floor: str | None
) -> None:
    assert Requirement(needs=(LibraryNeed("libc.so.6", versions, weak),)).glibc == floor


def needing(soname: str, *versions: str, weak: tuple[str, ...] = (), **more: object) -> Requirement:
    value = Requirement(
        arch="x86_64",
        needs=(LibraryNeed(soname, tuple(sorted(versions)), tuple(sorted(weak))),),
        sonames=(soname,),
    )
    return replace(value, **more)  # type: ignore[arg-type]


def test_needs_of_the_same_library_are_joined() -> None:
    merged = merge_requirements([needing("libc.so.6", "GLIBC_2.9", "GLIBC_2.17"), needing("libc.so.6", "GLIBC_2.34")])
    assert merged.needs == (LibraryNeed("libc.so.6", ("GLIBC_2.17", "GLIBC_2.34", "GLIBC_2.9")),)
    assert merged.glibc == "2.34"


def test_a_version_that_one_file_wants_strongly_is_not_weak() -> None:
    merged = merge_requirements([needing("l", weak=("V_1", "V_2")), needing("l", "V_1")])
    assert merged.needs == (LibraryNeed("l", ("V_1",), ("V_2",)),)


def test_what_the_files_bring_themselves_is_no_need() -> None:
    raised = RaisedBy("V_1", "libown.so", "bin/a", "f")
    merged = merge_requirements(
        [needing("libown.so", "V_1", raised_by=(raised,)), needing("libc.so.6", "GLIBC_2.2.5")], brought=["libown.so"]
    )
    assert merged.sonames == ("libc.so.6",)
    assert [need.soname for need in merged.needs] == ["libc.so.6"]
    assert merged.raised_by == ()


def test_only_who_raises_the_highest_floor_is_named() -> None:
    low = RaisedBy("GLIBC_2.9", "libc.so.6", "bin/a", "pipe2")
    high = RaisedBy("GLIBC_2.17", "libc.so.6", "bin/b", "secure_getenv")
    too = RaisedBy("GLIBC_2.17", "libc.so.6", "bin/c", "clock_gettime")
    merged = merge_requirements(
        [
            needing("libc.so.6", "GLIBC_2.9", raised_by=(low,)),
            needing("libc.so.6", "GLIBC_2.17", raised_by=(high,)),
            needing("libc.so.6", "GLIBC_2.17", raised_by=(too,)),
        ]
    )
    assert merged.raised_by == (high, too)


def test_the_highest_level_and_kernel_count() -> None:
    merged = merge_requirements(
        [
            Requirement(x86_64_level=2, kernel="2.6.32"),
            Requirement(x86_64_level=3, kernel="3.2.0"),
            Requirement(kernel="3.10.0"),
            Requirement(x86_64_level=1),
        ]
    )
    assert (merged.x86_64_level, merged.kernel) == (3, "3.10.0")


def test_the_loader_of_the_one_file_that_has_one_is_that_of_the_whole() -> None:
    library = Requirement(loader_kind=LoaderKind.NONE)
    executable = Requirement(loader="/lib/ld-musl-x86_64.so.1", loader_kind=LoaderKind.MUSL)
    for parts in ([library, executable], [executable, library]):
        merged = merge_requirements(parts)
        assert (merged.loader, merged.loader_kind) == ("/lib/ld-musl-x86_64.so.1", LoaderKind.MUSL)
    assert merge_requirements([library]).loader_kind is LoaderKind.NONE


@pytest.mark.parametrize(
    ("one", "other", "field"),
    [
        (Requirement(arch="x86_64"), Requirement(arch="aarch64"), "arch"),
        (Requirement(loader="/lib64/ld-linux-x86-64.so.2"), Requirement(loader="/lib/ld-musl-x86_64.so.1"), "loader"),
    ],
    ids=["arch", "loader"],
)
def test_files_that_cannot_load_together_are_refused(one: Requirement, other: Requirement, field: str) -> None:
    with pytest.raises(InvalidFactError) as caught:
        merge_requirements([one, other])
    assert caught.value.field == field


def test_nothing_needs_nothing() -> None:
    assert merge_requirements([]) == Requirement()


same_machine = made.requirements.map(lambda value: replace(value, arch=None, loader=None, runpath=()))


@given(parts=st.lists(same_machine, max_size=4), brought=st.lists(made.sonames, max_size=2))
@settings(max_examples=60)
def test_the_order_of_files_changes_nothing_but_the_kind_of_absent_loaders(
    parts: list[Requirement], brought: list[str]
) -> None:
    merged = merge_requirements(parts, brought=brought)
    turned = merge_requirements(reversed(parts), brought=brought)
    assert merged == turned


@given(parts=st.lists(same_machine, max_size=3))
@settings(max_examples=60)
def test_joining_a_joined_requirement_changes_nothing(parts: list[Requirement]) -> None:
    merged = merge_requirements(parts)
    assert merge_requirements([merged]) == merged
    assert merge_requirements([*parts, merged]) == merged


@given(parts=st.lists(same_machine, min_size=1, max_size=4))
@settings(max_examples=60)
def test_the_whole_needs_no_less_than_its_parts(parts: list[Requirement]) -> None:
    merged = merge_requirements(parts)
    whole = {need.soname: set(need.versions) for need in merged.needs}
    for part in parts:
        assert set(part.sonames) <= set(merged.sonames)
        for need in part.needs:
            assert set(need.versions) <= whole[need.soname]
    floors = [tuple(map(int, part.glibc.split("."))) for part in parts if part.glibc]
    floor = None if merged.glibc is None else tuple(map(int, merged.glibc.split(".")))
    assert floor == max(floors, default=None)
