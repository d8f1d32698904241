"""The same seed is the same fleet, whoever makes it; its size, its realism, and what refuses to be filled."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest

from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.posture.portability import check_build
from libcensus.collector.posture.verdict import PortabilityState
from libcensus.collector.simulation.builds import BuildPlan, build_of
from libcensus.collector.simulation.facts import FactMaker
from libcensus.collector.simulation.fill import Simulation
from libcensus.collector.simulation.plan import Choices, SimulationError, plan_fleet
from libcensus.collector.simulation.systems import platform_of
from libcensus.collector.store.sql import SqlStore
from libcensus.facts.vocabulary import EnvironmentState, Installer, InstallKind, LibcFamily, Linkage, Provider
from tests.collector.simulation.conftest import simulated

if TYPE_CHECKING:
    from pathlib import Path

    from libcensus.collector.simulation.plan import HostPlan
    from tests.collector.simulation.conftest import Filled

PRINT_EVERYTHING = """
import hashlib, json, sys
from libcensus.collector.advisories.snapshot import TABLES, load_snapshot, read_table
from libcensus.collector.simulation.facts import FactMaker
from libcensus.collector.simulation.fill import Simulation

seed, hosts, days = (int(word) for word in sys.argv[1:])
maker, all_of_it = FactMaker(), hashlib.sha256()
tables = {name: read_table(name) for name in TABLES}
simulation = Simulation(load_snapshot(), seed, hosts, days=days, tables=tables)
for states in simulation.states():
    for state in states:
        made = maker.facts_of(state)
        all_of_it.update(repr(made.received).encode())
        for record in made.records:
            all_of_it.update(record.payload)
truth = json.dumps(simulation.truth_object(simulation.truth()))
print(all_of_it.hexdigest(), hashlib.sha256(truth.encode()).hexdigest())
"""


def plans(seed: int, hosts: int, as_of: date | None = None) -> list[HostPlan]:
    catalogue = load_snapshot()
    return list(plan_fleet(Choices(catalogue, as_of or catalogue.snapshot_date), seed, hosts))


def everything(seed: int, hosts: int, days: int, **environment: str) -> str:
    """Return digests over all facts and the truth, made by a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PRINT_EVERYTHING, str(seed), str(hosts), str(days)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize("days", [0, 90])
def test_processes_whose_hashes_and_zones_differ_make_the_same_bytes(days: int) -> None:
    first = everything(5, 60, days, PYTHONHASHSEED="0", TZ="UTC")
    assert first == everything(5, 60, days, PYTHONHASHSEED="4242", TZ="Pacific/Auckland")
    other_seed = everything(6, 60, days, PYTHONHASHSEED="0", TZ="UTC")
    assert not set(first.split()) & set(other_seed.split())


def test_a_larger_fleet_begins_with_the_hosts_of_a_smaller_one() -> None:
    assert plans(3, 40) == plans(3, 200)[:40]


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_another_seed_is_another_fleet(seed: int) -> None:
    ours, others = plans(seed, 50), plans(8, 50)
    assert not {one.host_id for one in ours} & {one.host_id for one in others}
    assert [one.known.system.name for one in ours] != [one.known.system.name for one in others]


def test_what_is_stored_is_the_same_in_every_database(fleet: Filled, tmp_path: Path) -> None:
    again = simulated(fleet.truth.seed, fleet.truth.hosts, 0)
    with SqlStore.open(f"sqlite:///{tmp_path / 'again.db'}") as store:
        truth = again.fill(store)
        assert store.hosts() == fleet.store.hosts()
    assert again.truth_object(truth) == fleet.simulation.truth_object(fleet.truth)


def test_the_truth_does_not_need_the_facts(fleet: Filled) -> None:
    again = simulated(fleet.truth.seed, fleet.truth.hosts, 0)
    assert again.truth_object(again.truth()) == fleet.simulation.truth_object(fleet.truth)


@pytest.mark.parametrize("seed", [1, 2])
def test_ten_thousand_hosts_are_some_sixty_platforms_and_at_most_300_builds(seed: int) -> None:
    truth = Simulation(load_snapshot(), seed, 10_000).truth()
    assert 50 <= truth.platforms <= 70
    assert 150 <= truth.builds <= 300


def test_shares_come_out_as_the_table_says() -> None:
    hosts = plans(11, 10_000)

    def share(of: str) -> float:
        return 100 * sum(one.known.system.name == of for one in hosts) / len(hosts)

    # Three standard deviations of a draw of that size.
    assert share("debian:12") == pytest.approx(18, abs=1.2)
    assert share("rhel:7") == pytest.approx(2, abs=0.5)
    assert 100 * sum(one.arch == "aarch64" for one in hosts) / len(hosts) == pytest.approx(15, abs=1.1)
    assert 100 * sum(one.is_silent for one in hosts) / len(hosts) == pytest.approx(5, abs=0.7)


def test_a_fleet_has_everything_that_makes_one_worth_asking_about() -> None:
    installs = [install for host in plans(1, 2000) for install in host.installs]
    assert {install.build.provider for install in installs if install.build} == {
        Provider.DISTRO,
        Provider.PBS,
        Provider.PYENV,
        Provider.CONDA,
        Provider.DOCKER_OFFICIAL,
        Provider.SOURCE,
        Provider.VENDOR,
        Provider.UNKNOWN,
    }
    assert {install.crypto.linkage for install in installs} == {
        Linkage.SYSTEM,
        Linkage.STATIC,
        Linkage.BUNDLED,
        Linkage.NONE,
        Linkage.UNRESOLVED,
        Linkage.UNKNOWN,
    }
    states = {install.state for install in installs if install.kind is InstallKind.VENV}
    assert states == set(EnvironmentState) - {EnvironmentState.UNKNOWN}
    assert any(install.build and "free-threaded" in install.build.flags for install in installs)


def test_every_build_starts_where_it_is_installed() -> None:
    """No host has what could not run there: builds are planned for where they lie."""
    maker = FactMaker()
    judged = set()
    for plan in plans(4, 600):
        for install in plan.installs:
            known = plan.container if install.root != "/" and plan.container is not None else plan.known
            key = (install.build, known.system.name, plan.level)
            if install.build is None or not install.build.is_readable or key in judged:
                continue
            judged.add(key)
            openssl = plan.openssl if known is plan.known else known.openssl[0]
            platform = platform_of(known, plan.arch, plan.level, openssl, plan.kernel)
            verdict = check_build(build_of(install.build), platform)
            assert verdict.state is PortabilityState.RUNS, (install, verdict)
            assert maker.build_digest(install.build)
    assert len(judged) > 150


def test_a_python_build_standalone_build_is_what_the_snapshot_says() -> None:
    builds = {build.tag: build for build in load_snapshot().pbs_builds}
    seen = 0
    for plan in plans(2, 800):
        for install in plan.installs:
            if install.build is None or install.build.provider is not Provider.PBS or not install.build.provider_build:
                continue
            published = builds[install.build.provider_build]
            assert published.cpython[install.build.minor] == install.build.version
            assert install.crypto.version in {published.openssl, None}
            assert published.date <= load_snapshot().snapshot_date
            seen += 1
    assert seen > 200


@pytest.mark.parametrize("day", [None, date(2025, 8, 27)])
def test_uv_brings_the_builds_for_the_hosts_own_libc(day: date | None) -> None:
    """Those for musl can load modules since 20250311; before, they were static."""
    seen = set()
    for plan in plans(1, 3000, day):
        for install in plan.installs:
            if install.build is None or install.installer is not Installer.UV:
                continue
            assert install.build.libc is plan.known.libc_family
            seen.add(install.build.libc)
            if install.build.libc is LibcFamily.MUSL:
                assert install.build.provider_build is not None
                assert install.build.provider_build >= "20250311"
                assert f"-linux-{plan.arch}-musl/" in install.path
    assert seen == {LibcFamily.GLIBC, LibcFamily.MUSL}


def test_an_earlier_day_has_older_builds_and_reports_of_that_day() -> None:
    day = date(2026, 2, 1)
    for plan in plans(1, 300, day):
        assert plan.reported_at.date() <= day
        assert plan.is_silent == (plan.reported_at.date() < day - timedelta(days=7))
        for install in plan.installs:
            if install.build and install.build.provider is Provider.PBS and install.build.provider_build:
                assert install.build.provider_build <= "20260201"


@pytest.mark.parametrize("day", [date(2025, 8, 27), date(2026, 8, 22), date(2027, 4, 19)])
def test_the_truth_of_other_days_is_told(day: date) -> None:
    """On these days a build without a tag has the version of one with a tag, and they stand beside each other."""
    simulation = Simulation(load_snapshot(), 1, 1500, day)
    told = simulation.truth_object(simulation.truth())
    assert told["as_of"] == day.isoformat()
    assert told["hosts"] == 1500


def test_a_kernel_is_that_of_the_hosts_architecture() -> None:
    kernels = {(host.arch, host.kernel) for host in plans(1, 2000)}
    assert ("x86_64", "6.1.0-40-amd64") in kernels
    assert ("aarch64", "6.1.0-40-arm64") in kernels
    assert {arch for arch, kernel in kernels if kernel.endswith(("amd64", "x86_64"))} == {"x86_64"}
    assert {arch for arch, kernel in kernels if kernel.endswith(("arm64", "aarch64"))} == {"aarch64"}


def test_hatch_brings_the_build_for_the_hosts_own_processor() -> None:
    seen = set()
    for host in plans(1, 2000):
        for install in host.installs:
            if install.installer is Installer.HATCH and install.build is not None:
                assert install.build.level == (host.level or 1)
                seen.add(host.level)
    assert seen == {None, 2, 3, 4}


@pytest.mark.parametrize("day", [date(2018, 1, 1), date(2024, 1, 1)])
def test_a_day_before_what_the_snapshot_knows_is_refused(day: date) -> None:
    with pytest.raises(SimulationError, match=rf"--as-of {day}: the snapshot knows no .*; choose a later day"):
        Simulation(load_snapshot(), 1, 1, day)


def test_a_store_with_hosts_is_refused_and_stays_as_it_is(fleet: Filled) -> None:
    before = fleet.store.host_stamps()
    with pytest.raises(SimulationError, match=rf"holds {fleet.truth.hosts} hosts already"):
        Simulation(load_snapshot(), 99, 3).fill(fleet.store)
    assert fleet.store.host_stamps() == before


def test_a_fleet_that_is_added_to_its_beginning_is_the_whole_fleet(fleet: Filled, tmp_path: Path) -> None:
    """That is how an interrupted simulation is finished, and how a fleet grows."""
    seed, hosts = fleet.truth.seed, fleet.truth.hosts
    with SqlStore.open(f"sqlite:///{tmp_path / 'again.db'}") as store:
        Simulation(load_snapshot(), seed, 30).fill(store)
        again = simulated(seed, hosts, 0)
        truth = again.fill(store, add=True)
        assert store.hosts() == fleet.store.hosts()
    assert again.truth_object(truth) == fleet.simulation.truth_object(fleet.truth)


def test_progress_is_told_up_to_the_last_host(tmp_path: Path) -> None:
    told: list[int] = []
    with SqlStore.open(f"sqlite:///{tmp_path / 'fleet.db'}") as store:
        Simulation(load_snapshot(), 1, 260).fill(store, told.append)
    assert told == [250, 260]


def test_builds_of_plans_that_differ_have_addresses_that_differ() -> None:
    built = {install.build for host in plans(1, 3000) for install in host.installs if install.build is not None}
    maker = FactMaker()
    assert len({maker.build_digest(one) for one in built}) == len(built)
    one = min(built, key=lambda each: each.sort_key)
    changes: list[BuildPlan] = [replace(one, origin="elsewhere"), replace(one, version="3.0.1")]
    assert len({maker.build_digest(each) for each in (one, *changes)}) == 3
