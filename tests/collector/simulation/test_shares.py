"""The table of shares: whole, in agreement with the snapshot, and told in the documentation as it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.posture.distribution import find_distribution
from libcensus.collector.simulation.fill import Simulation
from libcensus.collector.simulation.shares import SYSTEMS, TABLES, WHEEL_OPENSSL, WHEELS, System
from libcensus.collector.simulation.systems import known_systems

if TYPE_CHECKING:
    from libcensus.collector.simulation.shares import Share

PAGE = Path(__file__).parents[3] / "docs" / "simulate.md"
INDEPENDENT = {"beside the system's Python", "troubles", "came and went"}
"""Tables whose rows do not exclude one another."""


def test_the_systems_are_a_hundred_per_cent() -> None:
    assert sum(system.share for system in SYSTEMS) == 100
    assert len({system.name for system in SYSTEMS}) == len(SYSTEMS)


@pytest.mark.parametrize("name", sorted(TABLES.keys() - INDEPENDENT))
def test_choices_that_exclude_one_another_are_a_hundred_per_cent(name: str) -> None:
    assert sum(share.percent for share in TABLES[name]) == 100


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_share_is_one_and_says_what_it_means(name: str) -> None:
    assert len({share.name for share in TABLES[name]}) == len(TABLES[name])
    assert all(0 < share.percent < 100 and share.meaning for share in TABLES[name])


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_a_system_has_what_the_snapshot_says_of_its_release(system: System) -> None:
    release = find_distribution(load_snapshot(), system.name)
    (known,) = [one for one in known_systems(load_snapshot()) if one.system == system]
    assert release.glibc == (None if known.glibc is None else f"2.{known.glibc}")
    assert (known.glibc is None) == (system.musl is not None)
    if release.python3 is not None:
        assert system.python == release.python3 or system.python.startswith(f"{release.python3}.")
    assert system.python_package.startswith(f"{system.python}-")
    if release.openssl is not None and "x" not in release.openssl:
        told = release.openssl.split(".")[0]
        assert {package.version.split(".")[0] for package in known.openssl} == {told}


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_the_packages_of_a_system_are_newest_first_and_there_is_one(system: System) -> None:
    (known,) = [one for one in known_systems(load_snapshot()) if one.system == system]
    assert known.openssl
    versions = [tuple(int(number) for number in re.findall(r"\d+", package.version)) for package in known.openssl]
    assert versions == sorted(versions, reverse=True)
    fixes = load_snapshot().package_fixes.get((system.os_id, system.version_id.partition(".")[0], "openssl"))
    if fixes is not None:
        assert {package.package_version for package in known.openssl} <= set(fixes.fixed.values())


def test_the_openssl_of_every_wheel_is_known_and_told() -> None:
    assert {share.name for share in WHEELS} == {"none", *WHEEL_OPENSSL}
    for share in WHEELS:
        assert share.name == "none" or share.meaning.endswith(WHEEL_OPENSSL[share.name])


def test_the_page_shows_every_table_as_it_is() -> None:
    page = PAGE.read_text(encoding="utf-8")
    blocks = [_systems_table(), *(_table(name, shares) for name, shares in TABLES.items())]
    for block in blocks:
        assert block in page


def test_the_page_tells_how_many_platforms_and_builds_ten_thousand_hosts_are() -> None:
    truth = Simulation(load_snapshot(), 1, 10_000).truth()
    assert f"10,000 hosts are {truth.platforms} platforms and {truth.builds} builds," in PAGE.read_text(
        encoding="utf-8"
    )


def test_the_page_tells_every_key_of_the_truth_and_no_other() -> None:
    simulation = Simulation(load_snapshot(), 1, 1)
    section = PAGE.read_text(encoding="utf-8").split("## The truth")[1]
    told = [key for cell in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for key in re.findall("`(.*?)`", cell)]
    assert sorted(told) == sorted(simulation.truth_object(simulation.truth()))


def _systems_table() -> str:
    lines = ["| share | system | C library | Python | OpenSSL, newest package |", "|---:|---|---|---|---|"]
    for known in known_systems(load_snapshot()):
        system = known.system
        libc = f"{known.libc_family} {known.libc_version}"
        name = f"{system.pretty_name}"
        lines.append(f"| {system.share:g} % | {name} | {libc} | {system.python} | {known.openssl[0].package_version} |")
    return "\n".join(lines) + "\n"


def _table(name: str, shares: tuple[Share, ...]) -> str:
    lines = [f"| share | {name} | meaning |", "|---:|---|---|"]
    lines += [f"| {share.percent:g} % | {share.name} | {share.meaning} |" for share in shares]
    return "\n".join(lines) + "\n"
