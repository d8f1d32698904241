"""What tags reach, and who is lost when the floor moves."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libcensus.collector.posture.reach import Floor, LibcCount, Loss, floors, libc_of, policy_reach
from libcensus.facts.host import Host, Libc
from libcensus.facts.manylinux import NEWEST, OLDEST, POLICIES
from libcensus.facts.platform import Platform, PlatformLibrary
from libcensus.facts.vocabulary import LibcFamily

FLEET = (
    LibcCount("x86_64", "glibc", "2.12", 2),
    LibcCount("x86_64", "glibc", "2.17", 3),
    LibcCount("x86_64", "glibc", "2.36", 40),
    LibcCount("x86_64", "glibc", "2.9", 1),
    LibcCount("x86_64", "musl", "1.1.24", 4),
    LibcCount("x86_64", "musl", "1.2.5", 5),
    LibcCount("x86_64", "unknown", "unknown", 6),
    LibcCount("aarch64", "glibc", "2.41", 7),
    LibcCount("sparc64", "glibc", "2.36", 8),
    LibcCount("unknown", "glibc", "2.36", 9),
)


@pytest.mark.parametrize(
    ("tag", "hosts", "total", "lost"),
    [
        ("manylinux_2_5_x86_64", 46, 61, ()),
        ("manylinux_2_12_x86_64", 45, 61, (Loss("glibc", "2.9", 1),)),
        ("manylinux_2_17_x86_64", 43, 61, (Loss("glibc", "2.12", 2),)),
        ("manylinux_2_24_x86_64", 40, 61, (Loss("glibc", "2.17", 3),)),
        ("manylinux_2_36_x86_64", 40, 61, ()),
        ("manylinux_2_37_x86_64", 0, 61, (Loss("glibc", "2.36", 40),)),
        ("manylinux_2_41_x86_64", 0, 61, ()),
        ("musllinux_1_1_x86_64", 9, 61, ()),
        ("musllinux_1_2_x86_64", 5, 61, (Loss("musl", "1.1.24", 4),)),
        ("manylinux_2_17_aarch64", 7, 7, ()),
        ("manylinux_2_41_aarch64", 7, 7, ()),
    ],
)
def test_a_tag_reaches_hosts_and_loses_those_of_the_tag_before(
    tag: str, hosts: int, total: int, lost: tuple[Loss, ...]
) -> None:
    found = {one.tag: one for one in policy_reach(FLEET)}
    assert (found[tag].hosts, found[tag].total, found[tag].lost) == (hosts, total, lost)
    assert tag == f"{found[tag].policy}_{found[tag].arch}"


def test_only_published_tags_are_told() -> None:
    found = policy_reach(FLEET)
    assert {one.arch for one in found} == {"x86_64", "aarch64"}
    assert "manylinux_2_12_aarch64" not in {one.tag for one in found}
    assert "manylinux_2_18_x86_64" not in {one.tag for one in found}


def test_the_floor_is_the_oldest_glibc_as_a_number() -> None:
    assert floors(FLEET) == [
        Floor("x86_64", "2.9", 1, 61),
        Floor("unknown", "2.36", 9, 9),
        Floor("sparc64", "2.36", 8, 8),
        Floor("aarch64", "2.41", 7, 7),
    ]
    assert floors([LibcCount("x86_64", "musl", "1.2.5", 1)]) == [Floor("x86_64", None, 0, 1)]
    assert floors([LibcCount("x86_64", "glibc", "unknown", 1)]) == [Floor("x86_64", None, 0, 1)]
    assert floors([]) == []


counts = st.builds(
    LibcCount,
    st.sampled_from([*OLDEST, "sparc64", "unknown"]),
    st.sampled_from(["glibc", "musl", "unknown"]),
    st.builds("{}.{}".format, st.integers(0, 3), st.integers(0, 60)) | st.sampled_from(["unknown", "", "2", "2.x"]),
    st.integers(1, 10_000),
)
fleets = st.lists(counts, max_size=12, unique_by=lambda one: (one.arch, one.family, one.version))


@given(fleets)
def test_reach_never_grows_with_the_policy_and_what_goes_is_what_is_lost(fleet: list[LibcCount]) -> None:
    found = policy_reach(fleet)
    for before, after in pairwise(found):
        if (before.arch, before.policy.partition("_")[0]) == (after.arch, after.policy.partition("_")[0]):
            assert before.hosts >= after.hosts
            assert before.hosts - after.hosts == sum(loss.hosts for loss in after.lost)
        else:
            assert not after.lost
    for arch in {one.arch for one in fleet} & OLDEST.keys():
        own = [one for one in found if one.arch == arch]
        published = [n for n in POLICIES if OLDEST[arch] <= n <= NEWEST.get(arch, n)]
        assert [one.policy for one in own] == [
            *(f"manylinux_2_{n}" for n in published),
            "musllinux_1_1",
            "musllinux_1_2",
        ]
        assert {one.total for one in own} == {sum(one.hosts for one in fleet if one.arch == arch)}


@given(fleets, counts)
def test_one_more_host_is_reached_by_the_tags_of_its_libc_and_by_no_other(
    fleet: list[LibcCount], more: LibcCount
) -> None:
    before = {one.tag: one.hosts for one in policy_reach(fleet)}
    for one in policy_reach([*fleet, more]):
        alone = {reach.tag: reach.hosts for reach in policy_reach([more])}
        assert one.hosts == before.get(one.tag, 0) + alone.get(one.tag, 0)


LIBC_SO = PlatformLibrary("libc.so.6", ("GLIBC_2.17", "GLIBC_2.36"))
BOOKWORM = Platform(arch="x86_64", libc_family=LibcFamily.GLIBC, libc_version="2.36", libraries=(LIBC_SO,))
HOST = Host("web", arch="x86_64", libc=Libc(LibcFamily.GLIBC, "2.36"))


@pytest.mark.parametrize(
    ("host", "platform", "words"),
    [
        pytest.param(HOST, BOOKWORM, ("x86_64", "glibc", "2.36"), id="both tell"),
        pytest.param(Host("web"), BOOKWORM, ("x86_64", "glibc", "2.36"), id="only the platform tells"),
        pytest.param(HOST, Platform(), ("x86_64", "glibc", "2.36"), id="only the host tells"),
        pytest.param(
            replace(HOST, libc=Libc(LibcFamily.GLIBC)),
            replace(BOOKWORM, libc_version=None),
            ("x86_64", "glibc", "2.36"),
            id="its symbol versions tell",
        ),
        pytest.param(
            replace(HOST, libc=Libc(LibcFamily.MUSL)), BOOKWORM, ("x86_64", "musl", "unknown"), id="two libraries"
        ),
        pytest.param(Host("web"), Platform(), ("unknown", "unknown", "unknown"), id="nobody tells"),
    ],
)
def test_the_c_library_of_a_host_is_what_its_facts_tell(
    host: Host, platform: Platform, words: tuple[str, str, str]
) -> None:
    assert libc_of(host, platform) == words
