"""Orders of package versions against dpkg and rpm themselves, on versions that distributions published."""

from __future__ import annotations

import itertools
import subprocess

import pytest

from libcensus.collector.advisories.snapshot import read_table
from libcensus.collector.posture.ordering import UnreadableVersionError, is_at_least


def _published(distribution: str) -> list[str]:
    rows = read_table("backports")[distribution]
    return sorted({version for row in rows for version in row["fixed"].values()})


def _odd_debian() -> list[str]:
    return [
        "1.0~rc1-1",
        "1.0-1",
        "1.0-1+b1",
        "1.0-1~bpo12+1",
        "1:0.9-1",
        "1.0",
        "1.0.1-0ubuntu1",
        "1.0a-1",
        "1.0+dfsg-1",
    ]


def test_debian_versions_are_ordered_as_dpkg_orders_them() -> None:
    versions = [*_published("debian")[::4], *_published("ubuntu")[::6], *_odd_debian()]
    assert len(versions) >= 30
    for left, right in itertools.combinations(versions, 2):
        told = subprocess.run(["dpkg", "--compare-versions", left, "ge", right], check=False).returncode == 0
        assert is_at_least("dpkg", left, right) is told, (left, right)


def test_rpm_versions_are_ordered_as_rpm_orders_them() -> None:
    odd = ["1.1.1k-14.el8_6", "1.1.1k-14.el8_10", "3.0.7-27.el9", "3.0.7-27.el9_4", "1.0~rc1-1", "1.0^git1-1", "1.0-1"]
    versions = [*_published("el")[::3], *odd]
    pairs = list(itertools.combinations(versions, 2))
    script = "".join(f'print(rpm.vercmp("{left}", "{right}") .. "\\n")' for left, right in pairs)
    done = subprocess.run(["rpm", "--eval", f"%{{lua:{script}}}"], check=True, capture_output=True, text=True)
    told = [int(line) >= 0 for line in done.stdout.split()]
    assert len(told) == len(pairs) > 100
    for (left, right), answer in zip(pairs, told, strict=True):
        assert is_at_least("rpm", left, right) is answer, (left, right)


@pytest.mark.parametrize(
    ("manager", "newer", "older"),
    [
        ("apk", "3.1.4-r10", "3.1.4-r5"),
        ("apk", "3.3.0-r0", "3.3.0_rc1-r0"),
        ("pacman", "3.4.1-2", "3.4.1-1"),
        ("pacman", "1:1.0-1", "3.4.1-1"),
        ("rpm", "1:3.0.7-1", "3.5.0-1"),
        ("dpkg", "3.0.22-1", "3.0.22-1~deb12u2"),
    ],
)
def test_what_each_package_manager_calls_newer(manager: str, newer: str, older: str) -> None:
    assert is_at_least(manager, newer, older)
    assert is_at_least(manager, newer, newer)
    assert not is_at_least(manager, older, newer)


def test_an_absent_epoch_of_rpm_is_zero() -> None:
    assert is_at_least("rpm", "0:3.0.7-1", "3.0.7-1")
    assert is_at_least("rpm", "3.0.7-1", "0:3.0.7-1")


@pytest.mark.parametrize(
    ("manager", "version"),
    [("dpkg", "a b"), ("dpkg", ""), ("rpm", "strange"), ("apk", "3.1_git20260101"), ("nix", "1.0"), ("pacman", "x")],
)
def test_a_version_that_cannot_be_placed_is_an_error_and_no_guess(manager: str, version: str) -> None:
    with pytest.raises(UnreadableVersionError, match="can be ordered") as caught:
        is_at_least(manager, version, "1.0-1" if manager != "apk" else "1.0-r1")
    assert (caught.value.manager, caught.value.version) == (manager, version)
