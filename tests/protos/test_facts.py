"""Domain types refuse values that no host can have, and answer what follows from their parts."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.facts.evidence import Evidence
from libcensus.facts.interpreter import Build, BuildFile
from libcensus.facts.platform import Platform, PlatformLibrary
from libcensus.facts.process import MappedLibrary, ProcessGroup, ProcessSet
from libcensus.facts.report import ProbeResult, Report
from libcensus.facts.requirement import Requirement
from libcensus.facts.root import ScannedRoot
from libcensus.facts.validation import (
    MAX_ITEMS,
    InvalidFactError,
    check_absolute_path,
    check_digest,
    check_range,
    check_relative_path,
    check_sorted,
    check_text,
)
from libcensus.facts.vocabulary import (
    EvidenceKind,
    FileRole,
    Implementation,
    MappingState,
    ProbeState,
    Provider,
    RootKind,
)
from tests.protos import strategies as made

if TYPE_CHECKING:
    from collections.abc import Callable

    from libcensus.facts.host import Inventory

REFUSED: list[tuple[str, Callable[[], None], str]] = [
    ("empty-text", lambda: check_text("f", ""), "is empty"),
    ("long-text", lambda: check_text("f", "x" * 1025), "is 1025 characters long; at most 1024 are allowed"),
    ("nul", lambda: check_text("f", "a\0b"), "holds a NUL character"),
    ("surrogate", lambda: check_text("f", "a\udcffb"), "is not valid Unicode text"),
    ("relative", lambda: check_absolute_path("f", "usr/bin"), "is not an absolute path: 'usr/bin'"),
    ("endless-path", lambda: check_absolute_path("f", "/" * 16385), "is 16385 characters long"),
    ("absolute", lambda: check_relative_path("f", "/bin"), "is not a path below its prefix: '/bin'"),
    ("climbing", lambda: check_relative_path("f", "lib/../../etc"), "is not a path below its prefix"),
    ("short-digest", lambda: check_digest("f", "ab"), "is not a SHA-256 digest"),
    ("upper-digest", lambda: check_digest("f", "A" * 64), "is not a SHA-256 digest"),
    ("digest-and-line-end", lambda: check_digest("f", "a" * 64 + "\n"), "is not a SHA-256 digest"),
    ("too-low", lambda: check_range("f", 0, 1, 4), "is 0; it must lie between 1 and 4"),
    ("too-high", lambda: check_range("f", 5, 1, 4), "is 5; it must lie between 1 and 4"),
    ("unsorted", lambda: check_sorted("f", ["b", "a"]), "is not sorted, near 'a'"),
    ("twice", lambda: check_sorted("f", ["a", "a"]), "holds a value twice, near 'a'"),
    ("too-many", lambda: check_sorted("f", range(MAX_ITEMS + 1)), "has more than 100000 entries"),
]


@pytest.mark.parametrize(("check", "problem"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_cannot_be_is_refused_with_field_and_problem(check: Callable[[], None], problem: str) -> None:
    with pytest.raises(InvalidFactError) as caught:
        check()
    assert caught.value.field == "f"
    assert problem in caught.value.problem
    assert str(caught.value) == f"f: {caught.value.problem}"


def test_bounds_themselves_are_allowed() -> None:
    check_text("f", "x" * 1024)
    check_text("f", "", allow_empty=True)
    check_absolute_path("f", "/")
    check_relative_path("f", "a..b/..c")
    check_range("f", 1, 1, 4)
    check_range("f", 4, 1, 4)
    check_sorted("f", range(MAX_ITEMS))
    check_sorted("f", [])


def test_an_error_tells_the_whole_way_to_the_field() -> None:
    error = InvalidFactError("version", "is empty").within("package").within("libc")
    assert (error.field, str(error)) == ("libc.package.version", "libc.package.version: is empty")


@given(items=st.lists(st.integers(), max_size=8))
def test_exactly_strictly_rising_sequences_are_sorted_sets(items: list[int]) -> None:
    if items == sorted(set(items)):
        check_sorted("f", items)
    else:
        with pytest.raises(InvalidFactError):
            check_sorted("f", items)


def test_evidence_without_offset_stands_before_evidence_at_the_start_of_a_file() -> None:
    without = Evidence("s", EvidenceKind.STRING, "/f", "d")
    at_start = Evidence("s", EvidenceKind.STRING, "/f", "d", 0)
    assert without.sort_key < at_start.sort_key


@pytest.mark.parametrize(
    ("libraries", "floor"),
    [
        ((), None),
        ((PlatformLibrary("libc.so.6", ("GLIBC_2.17", "GLIBC_2.36", "GLIBC_2.4")),), "2.36"),
        ((PlatformLibrary("libc.so.6", ("GLIBC_PRIVATE",)),), None),
        ((PlatformLibrary("libm.so.6", ("GLIBC_2.38",)),), None),
        ((PlatformLibrary("libc.so.6.1", ("GLIBC_2.36",)),), "2.36"),
    ],
    ids=["none", "highest", "private", "other-library", "alpha-and-ia64"],
)
def test_the_glibc_of_a_platform_is_what_its_libc_defines(
    libraries: tuple[PlatformLibrary, ...], floor: str | None
) -> None:
    assert Platform(libraries=libraries).glibc == floor


def report(**fields: object) -> Report:
    valid: dict[str, object] = {
        "report_id": bytes(16),
        "agent_version": "0.1.0",
        "scanned_at": datetime(2026, 1, 1, tzinfo=UTC),
        "scan_seconds": 1.5,
        "inventory": "0" * 64,
    }
    return Report(**{**valid, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"scanned_at": datetime(2026, 1, 1)}, "scanned_at"),  # noqa: DTZ001 - a moment without zone is the case
        ({"scanned_at": datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1)))}, "scanned_at"),
        ({"scan_seconds": float("nan")}, "scan_seconds"),
        ({"scan_seconds": -0.1}, "scan_seconds"),
        ({"scan_seconds": 1e9}, "scan_seconds"),
        ({"report_id": b""}, "report_id"),
        ({"inventory": "x"}, "inventory"),
        ({"probes": (ProbeResult("p", ProbeState.OK, 0),) * 65}, "probes"),
    ],
    ids=["no-zone", "other-zone", "nan", "negative", "absurd", "short-id", "no-digest", "many-probes"],
)
def test_an_impossible_report_is_refused(fields: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidFactError) as caught:
        report(**fields)
    assert caught.value.field == field


def test_a_report_and_its_values_can_be_compared_and_hashed() -> None:
    assert report() == report()
    assert hash(report()) == hash(report())


@pytest.mark.parametrize("state", [ProbeState.FAILED, ProbeState.SKIPPED])
def test_a_probe_that_did_not_end_well_says_why(state: ProbeState) -> None:
    with pytest.raises(InvalidFactError, match="reason: is missing although the probe's state is"):
        ProbeResult("p", state, 0.1)
    with pytest.raises(InvalidFactError, match="seconds"):
        ProbeResult("p", state, float("inf"), reason="r")


@given(inventory=made.inventories)
def test_an_inventory_refers_to_every_digest_that_it_holds(inventory: Inventory) -> None:
    sets = sum(one is not None for one in (inventory.crypto_copies, inventory.tools, inventory.roots))
    assert len(inventory.references) == 2 + len(inventory.builds) + sets + len(inventory.changelogs)


@pytest.mark.parametrize(
    ("name", "is_root"),
    [("/", True), ("/srv/x", True), ("container:ab12", True), ("image:ab12", True), ("srv", False), ("", False)],
)
def test_a_root_is_named_by_a_path_or_as_container_or_image(name: str, *, is_root: bool) -> None:
    with nullcontext() if is_root else pytest.raises(InvalidFactError):
        ScannedRoot(name, RootKind.FOLDER)


def test_processes_without_their_digest_are_refused() -> None:
    with pytest.raises(InvalidFactError) as caught:
        report(processes=ProcessSet())
    assert caught.value.field == "processes_digest"


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (Requirement(arch="x86_64"), Requirement(arch="aarch64"), "are for aarch64 and x86_64"),
        (Requirement(loader="/lib/a"), Requirement(loader="/lib/b"), "are for /lib/a and /lib/b"),
    ],
    ids=["arch", "loader"],
)
def test_a_build_whose_files_cannot_load_together_is_refused(
    first: Requirement, second: Requirement, words: str
) -> None:
    files = tuple(
        BuildFile(path, FileRole.EXECUTABLE, "0" * 64, 1, requirement=needs)
        for path, needs in (("bin/a", first), ("bin/b", second), ("bin/c", Requirement()))
    )
    with pytest.raises(InvalidFactError, match=words) as caught:
        Build(Implementation.CPYTHON, "3.12.1", None, Provider.UNKNOWN, None, (), files)
    assert caught.value.field == "files"


@pytest.mark.parametrize(
    ("executable", "libraries", "outdated"),
    [
        (MappingState.CURRENT, (), 0),
        (MappingState.CURRENT, ((MappingState.CURRENT, 5),), 0),
        (MappingState.UNKNOWN, ((MappingState.UNKNOWN, 5),), 0),
        # A process maps libssl and libcrypto both: they are not added.
        (MappingState.CURRENT, ((MappingState.DELETED, 3), (MappingState.REPLACED, 4)), 4),
        (MappingState.REPLACED, ((MappingState.DELETED, 3),), 7),
        (MappingState.DELETED, (), 7),
    ],
)
def test_processes_on_what_is_gone_are_counted_once(
    executable: MappingState, libraries: tuple[tuple[MappingState, int], ...], outdated: int
) -> None:
    mapped = tuple(MappedLibrary(f"/lib/{place}", *one) for place, one in enumerate(libraries))
    group = ProcessGroup("/", "/usr/bin/python3", executable, 7, libraries=mapped)
    assert group.outdated == outdated
    assert ProcessSet((group, replace(group, executable="/usr/bin/ruby"))).outdated == 2 * outdated
