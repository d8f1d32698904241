from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from univers.versions import OpensslVersion as UniversOpenssl

from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.posture.finding import Component
from libcensus.collector.posture.versions import OpensslVersion, branch_of, parse_cpython, parse_openssl

RISING = (
    "0.9.6m",
    "0.9.7-beta3",
    "0.9.7",
    "0.9.7a",
    "0.9.8y",
    "0.9.8za",
    "0.9.8zh",
    "1.0.0-beta5",
    "1.0.0",
    "1.0.2u",
    "1.0.2zq",
    "1.1.0l",
    "1.1.1-pre1",
    "1.1.1-pre3-dev",
    "1.1.1-pre3",
    "1.1.1-dev",
    "1.1.1",
    "1.1.1a-dev",
    "1.1.1a",
    "1.1.1w",
    "1.1.1z",
    "1.1.1za",
    "1.1.1zb",
    "3.0.0-alpha1",
    "3.0.0-alpha17",
    "3.0.0-beta2",
    "3.0.0",
    "3.0.2-dev",
    "3.0.2",
    "3.0.9",
    "3.0.22",
    "3.1.0",
    "3.5.0-beta1",
    "3.5.0",
    "3.5.9",
    "3.5.10",
    "4.0.0",
    "10.0.0",
)


def _parse(text: str) -> OpensslVersion:
    version = parse_openssl(text)
    assert version is not None, text
    return version


@pytest.mark.parametrize(("lower", "higher"), list(pairwise(RISING)), ids=str)
def test_openssl_versions_rise(lower: str, higher: str) -> None:
    assert _parse(lower) < _parse(higher)
    assert _parse(lower) <= _parse(higher)
    assert _parse(higher) > _parse(lower)
    assert _parse(higher) >= _parse(lower)
    assert not _parse(higher) < _parse(lower)


@pytest.mark.parametrize(
    ("one", "other"), [("1.0.2k", "1.0.2k-fips"), ("3.0.13", "3.0.13+quic"), ("3.0.13", "3.0.13")], ids=str
)
def test_a_builders_mark_does_not_change_the_place(one: str, other: str) -> None:
    assert _parse(one) == _parse(other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3",
        "3.0",
        "3.0.13a",
        "1.1.1ab",
        "1.1.1zzz",
        "1.1.1A",
        "v3.0.13",
        "3.0.13 ",
        "3.0.13\n",
        "3.0.13-rc1",
        "3.0.0 and newer",
        "OpenSSL 3.0.13",
        "fips-1.1.1",
        "0.9.6-cvs",
        "3.0.0-alpha",
        "٣.0.0",
        "9999999999.0.0",
    ],
)
def test_what_is_no_openssl_version_is_unknown(text: str) -> None:
    assert parse_openssl(text) is None
    assert branch_of(Component.OPENSSL, text) is None


@pytest.mark.parametrize(
    ("component", "text", "branch"),
    [
        (Component.OPENSSL, "1.1.1w", "1.1.1"),
        (Component.OPENSSL, "1.0.2k-fips", "1.0.2"),
        (Component.OPENSSL, "3.0.13", "3.0"),
        (Component.OPENSSL, "3.5.0-beta1", "3.5"),
        (Component.OPENSSL, "4.1.0", "4.1"),
        (Component.CPYTHON, "3.12.12", "3.12"),
        (Component.CPYTHON, "3.15.0rc1", "3.15"),
        (Component.CPYTHON, "3.13.0+", "3.13"),
        (Component.CPYTHON, "3.9", "3.9"),
        (Component.CPYTHON, "3", None),
        (Component.CPYTHON, "three", None),
        (Component.NODEJS, "22.1.0", "22"),
        (Component.NODEJS, "v22.1.0", "22"),
        (Component.NODEJS, "0.12.18", "0.12"),
        (Component.NODEJS, "22", None),
        (Component.GLIBC, "2.36", "2"),
        (Component.GLIBC, "2.36-9+deb12u14", None),
        (Component.RUBY, "3.1.2", "3.1"),
        (Component.RUBY, "3.1.2p20", "3.1"),
        (Component.RUBY, "3.4.0preview1", "3.4"),
        (Component.RUBY, "3.4", None),
        (Component.PERL, "v5.36.0", "5.36"),
        (Component.PERL, "5.40.0-RC1", "5.40"),
        (Component.PHP, "8.2.29", "8.2"),
        (Component.PHP, "8.5.0-dev", "8.5"),
        (Component.PHP, "7.4.33-1+deb11u8", "7.4"),
        (Component.PHP, "eight", None),
        (Component.PYPY, "7.3.11", None),
    ],
    ids=str,
)
def test_branches(component: Component, text: str, branch: str | None) -> None:
    assert branch_of(component, text) == branch


@pytest.mark.parametrize(
    ("text", "is_prerelease", "release"),
    [
        ("3.5.0-beta1", True, "3.5.0"),
        ("3.0.2-dev", True, "3.0.2"),
        ("1.1.1-pre3-dev", True, "1.1.1"),
        ("1.1.1w", False, "1.1.1w"),
    ],
    ids=str,
)
def test_a_prerelease_leads_to_its_release(text: str, is_prerelease: bool, release: str) -> None:
    assert _parse(text).is_prerelease is is_prerelease
    assert _parse(text).release == _parse(release)


def test_cpython_is_ordered_as_python_orders_itself() -> None:
    texts = ["3.9.25", "3.12.0a1", "3.12.0b1", "3.12.0rc1", "3.12.0", "3.12.12"]
    versions = [version for text in texts if (version := parse_cpython(text)) is not None]
    assert versions == sorted(versions)
    assert len(versions) == len(texts)


_VERSIONS = st.one_of(
    st.tuples(
        st.sampled_from(["0.9.8", "1.0.2", "1.1.0", "1.1.1"]), st.from_regex(r"([a-y]|z[a-z]?)?", fullmatch=True)
    ),
    st.tuples(st.builds("{}.{}.{}".format, st.integers(3, 9), st.integers(0, 20), st.integers(0, 40)), st.just("")),
).map("".join)
_WITH_STAGES = st.tuples(
    _VERSIONS, st.sampled_from(["", "-dev", "-alpha1", "-beta2", "-pre3", "-pre3-dev", "-fips", "+quic"])
).map("".join)


@given(st.lists(_WITH_STAGES, min_size=3, max_size=3))
def test_the_order_is_total_and_transitive(texts: list[str]) -> None:
    a, b, c = (_parse(text) for text in texts)
    assert (a < b) + (b < a) + (a == b) == 1
    if a <= b and b <= c:
        assert a <= c


@given(_WITH_STAGES)
def test_a_prerelease_never_lies_after_its_release_and_stays_on_its_branch(text: str) -> None:
    version = _parse(text)
    assert version <= version.release
    assert version.is_prerelease is (version != version.release)
    assert version.branch == version.release.branch


@given(_VERSIONS, _VERSIONS)
def test_releases_are_ordered_as_the_ordering_library_does(one: str, other: str) -> None:
    assert (_parse(one) < _parse(other)) == (UniversOpenssl(one) < UniversOpenssl(other))


@given(st.text(max_size=40))
def test_any_text_is_a_version_or_unknown(text: str) -> None:
    assert parse_openssl(text) is None or branch_of(Component.OPENSSL, text) is not None
    parse_cpython(text)
    branch_of(Component.NODEJS, text)
    branch_of(Component.RUBY, text)


def test_every_release_of_the_table_rises_with_its_date_within_its_branch() -> None:
    releases = load_snapshot().releases[Component.OPENSSL].values()
    for branch in {release.branch for release in releases}:
        dated = [(_parse(item.version), item.date) for item in releases if item.branch == branch and item.date]
        days = [day for _, day in sorted(dated, key=lambda pair: pair[0].key)]
        assert days == sorted(days), branch
