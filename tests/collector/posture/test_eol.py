from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import pytest

from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.posture.catalogue import Branch
from libcensus.collector.posture.eol import (
    branch_state,
    distribution_release,
    free_support_until,
    judge_support,
    supported_branches,
)
from libcensus.collector.posture.finding import Component, SupportState
from libcensus.facts.host import OsRelease

from .facts import DEBIAN_LIBSSL, DEBIAN_PYTHON, TODAY, VENDOR_PYTHON

if TYPE_CHECKING:
    from libcensus.facts.package import Package

SUPPORTED, ENDED, UNKNOWN = SupportState.SUPPORTED, SupportState.ENDED, SupportState.UNKNOWN


@pytest.mark.parametrize(
    ("component", "version", "today", "branch", "state", "day"),
    [
        (Component.OPENSSL, "3.0.22", date(2026, 9, 7), "3.0", SUPPORTED, date(2026, 9, 7)),
        (Component.OPENSSL, "3.0.22", date(2026, 9, 8), "3.0", ENDED, date(2026, 9, 7)),
        (Component.OPENSSL, "1.1.1w", TODAY, "1.1.1", ENDED, date(2023, 9, 11)),
        (Component.OPENSSL, "3.5.9", TODAY, "3.5", SUPPORTED, date(2030, 4, 8)),
        (Component.OPENSSL, "3.4.7", TODAY, "3.4", ENDED, date(2026, 10, 22)),
        (Component.OPENSSL, "3.6.5", TODAY, "3.6", ENDED, date(2026, 11, 1)),
        (Component.OPENSSL, "4.0.3", TODAY, "4.0", SUPPORTED, date(2027, 5, 14)),
        (Component.OPENSSL, "4.1.0", TODAY, "4.1", SUPPORTED, date(2027, 11, 30)),
        (Component.OPENSSL, "0.9.7m", TODAY, "0.9.7", UNKNOWN, None),
        (Component.OPENSSL, "nonsense", TODAY, "unknown", UNKNOWN, None),
        (Component.OPENSSL, None, TODAY, "unknown", UNKNOWN, None),
        (Component.CPYTHON, "3.9.2", TODAY, "3.9", ENDED, date(2025, 10, 31)),
        (Component.CPYTHON, "3.10.22", TODAY, "3.10", ENDED, date(2026, 10, 31)),
        (Component.CPYTHON, "3.12.12", TODAY, "3.12", SUPPORTED, date(2028, 10, 31)),
        (Component.CPYTHON, "3.15.2", TODAY, "3.15", UNKNOWN, None),
        (Component.NODEJS, "20.20.2", TODAY, "20", ENDED, date(2026, 4, 30)),
        (Component.RUBY, "3.1.2", TODAY, "3.1", ENDED, date(2025, 3, 26)),
        (Component.RUBY, "3.3.8", TODAY, "3.3", SUPPORTED, date(2027, 3, 31)),
        (Component.PERL, "5.36.0", TODAY, "5.36", ENDED, date(2025, 5, 27)),
        (Component.PHP, "8.4.11", TODAY, "8.4", SUPPORTED, date(2028, 12, 31)),
        (Component.PHP, "three", TODAY, "unknown", UNKNOWN, None),
        (Component.PYPY, "7.3.11", TODAY, "7.3.11", UNKNOWN, None),
        (Component.LIBRESSL, "3.9.2", TODAY, "3.9.2", UNKNOWN, None),
        (Component.AWS_LC, None, TODAY, "unknown", UNKNOWN, None),
    ],
    ids=str,
)
def test_the_state_of_a_branch(
    component: Component, version: str | None, today: date, branch: str, state: SupportState, day: date | None
) -> None:
    support = judge_support(component, version, load_snapshot(), today)
    assert (support.component, support.branch, support.state, support.date) == (component, branch, state, day)
    assert support.distribution_until is None
    assert support.evidence[0].detail


@pytest.mark.parametrize(
    ("branch", "state", "words"),
    [
        (Branch("9", None, None, ended=True), ENDED, "Node.js 9 is ended, without a day in the source"),
        (Branch("9", None, None, ended=False), SUPPORTED, "Node.js 9 is supported, without a day in the source"),
        (Branch("9", None, None), UNKNOWN, "no source gives an end of Node.js 9"),
    ],
    ids=str,
)
def test_sources_that_give_no_day(branch: Branch, state: SupportState, words: str) -> None:
    catalogue = replace(load_snapshot(), branches={Component.NODEJS: {"9": branch}})
    support = judge_support(Component.NODEJS, "9.1.0", catalogue, TODAY)
    assert branch_state(branch, TODAY) is state
    assert support.state is state
    assert support.evidence[0].detail == words


@pytest.mark.parametrize(
    ("package", "system", "until", "words"),
    [
        (DEBIAN_LIBSSL, OsRelease("debian", "12"), date(2028, 6, 30), "debian 12 supports it up to 2028-06-30"),
        (DEBIAN_LIBSSL, OsRelease("debian", "11"), date(2026, 8, 31), "debian 11 supported it up to 2026-08-31"),
        (DEBIAN_LIBSSL, OsRelease("ubuntu", "24.04"), date(2029, 5, 31), "ubuntu 24.04 supports it up to 2029-05-31"),
        (DEBIAN_LIBSSL, OsRelease("debian", None), None, "does not say until when"),
        (DEBIAN_LIBSSL, OsRelease("void", "1"), None, "does not say until when"),
        (VENDOR_PYTHON, OsRelease("debian", "12"), None, None),
        (None, OsRelease("debian", "12"), None, None),
        (DEBIAN_LIBSSL, None, None, None),
    ],
    ids=[
        "Debian",
        "Debian, over",
        "Ubuntu",
        "testing",
        "unknown distribution",
        "vendor",
        "no package",
        "no os-release",
    ],
)
def test_the_distributions_own_support_is_said_beside_upstreams_state(
    package: Package | None, system: OsRelease | None, until: date | None, words: str | None
) -> None:
    support = judge_support(Component.OPENSSL, "3.0.22", load_snapshot(), TODAY, package=package, os_release=system)
    assert support.state is ENDED
    assert support.distribution_until == until
    said = [item.detail for item in support.evidence[1:]]
    assert (words is None and not said) or (words is not None and words in said[0])


def test_a_python_that_upstream_gave_up_is_still_the_distributions() -> None:
    support = judge_support(
        Component.CPYTHON,
        "3.9.2",
        load_snapshot(),
        date(2026, 8, 1),
        package=DEBIAN_PYTHON,
        os_release=OsRelease("debian", "11"),
    )
    assert (support.state, support.distribution_until) == (ENDED, date(2026, 8, 31))


@pytest.mark.parametrize(
    ("system", "branch"),
    [
        (OsRelease("rhel", "9.4"), "9"),
        (OsRelease("alpine", "3.20.1"), "3.20"),
        (OsRelease("rocky", "8.10"), "8"),
        (OsRelease("amzn", "2023"), "2023"),
        (OsRelease("ol", "9.5"), "9"),
        (OsRelease("ubuntu", "22.04"), "22.04"),
        (OsRelease("debian", "99"), None),
        (OsRelease(), None),
    ],
    ids=lambda value: f"{value.id} {value.version_id}" if isinstance(value, OsRelease) else str(value),
)
def test_a_distributions_release_is_found_by_os_release(system: OsRelease, branch: str | None) -> None:
    found = distribution_release(load_snapshot(), system)
    assert (None if found is None else found.branch) == branch


@pytest.mark.parametrize(
    ("branch", "until"),
    [
        (Branch("1", None, date(2026, 1, 1), extended=date(2028, 1, 1), extended_is_free=True), date(2028, 1, 1)),
        (Branch("1", None, date(2026, 1, 1), extended=date(2028, 1, 1)), date(2026, 1, 1)),
        (Branch("1", None, None), None),
    ],
    ids=["free", "paid", "no day"],
)
def test_only_support_that_everybody_gets_counts(branch: Branch, until: date | None) -> None:
    assert free_support_until(branch) == until


def test_supported_branches_are_out_and_alive_the_longest_first() -> None:
    catalogue = load_snapshot()
    assert supported_branches(catalogue, Component.OPENSSL, TODAY) == ("3.5", "4.0")
    assert supported_branches(catalogue, Component.OPENSSL, date(2026, 9, 1)) == ("3.5", "4.0", "3.6", "3.4", "3.0")
    assert supported_branches(catalogue, Component.OPENSSL, date(2024, 1, 1)) == ("3.0", "3.2", "3.1")
    assert supported_branches(catalogue, Component.OPENSSL, date(2050, 1, 1)) == ()
