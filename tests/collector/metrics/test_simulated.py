"""The page of a simulated fleet with a past, by the real snapshot: figures are what the simulator, or a sum, says."""

from __future__ import annotations

import subprocess
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING

import pytest

from libcensus.collector.advisories.snapshot import TABLES, load_snapshot, read_table
from libcensus.collector.metrics.exporter import DEFAULT_LISTED_ADVISORIES, FleetExporter
from libcensus.collector.metrics.exposition import Format
from libcensus.collector.metrics.families import FAMILIES
from libcensus.collector.metrics.view import Detail
from libcensus.collector.posture.assessment import Assessor
from libcensus.collector.posture.finding import Severity
from libcensus.collector.simulation.fill import Simulation
from libcensus.collector.store.sql import SqlStore
from libcensus.facts.vocabulary import InstallKind
from tests.collector.metrics.test_exporter import samples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcensus.collector.simulation.episodes import Episode
    from libcensus.collector.simulation.plan import HostPlan
    from libcensus.collector.store.contract import Store

Series = dict[tuple[str, ...], float]


@dataclass
class Simulated:
    """A store with a fleet, its hosts as they were planned, and what they were open to."""

    store: Store
    assessor: Assessor
    plans: list[HostPlan]
    episodes: list[Episode]

    def page(self, detail: Detail = Detail.INSTALL, listed: int | None = DEFAULT_LISTED_ADVISORIES) -> bytes:
        exporter = FleetExporter(self.store, lambda: self.assessor, detail, listed_advisories=listed)
        return exporter.render_fleet(Format.TEXT)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    catalogue = load_snapshot()
    simulation = Simulation(catalogue, 7, 120, days=150, tables={name: read_table(name) for name in TABLES})
    with SqlStore.open(f"sqlite:///{tmp_path_factory.mktemp('simulated') / 'census.db'}") as store:
        simulation.fill(store)
        plans = [states[-1] for states in simulation.states()]
        yield Simulated(store, Assessor(catalogue, simulation.as_of), plans, list(simulation.episodes()))


@pytest.fixture(scope="module")
def page(simulated: Simulated) -> bytes:
    return simulated.page()


def told(page: bytes, name: str, *labels: str) -> Series:
    """Return the series of a family by the values of these labels; several with the same are added."""
    found: Series = defaultdict(float)
    for (family, pairs), number in samples(page).items():
        if family == name:
            own = dict(pairs)
            found[tuple(own[label] for label in labels)] += number
    return dict(found)


def least(page: bytes, name: str, *labels: str) -> Series:
    """Return the least value of a family's series by these labels."""
    found: Series = {}
    for (family, pairs), number in samples(page).items():
        if family == name:
            own = dict(pairs)
            key = tuple(own[label] for label in labels)
            found[key] = min(found.get(key, number), number)
    return found


@pytest.mark.parametrize("detail", list(Detail))
def test_promtool_has_nothing_to_say_at_any_level(simulated: Simulated, detail: Detail) -> None:
    page = simulated.page(detail)
    checked = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def test_every_series_belongs_to_a_declared_family_with_its_labels(simulated: Simulated) -> None:
    declared = {family.name: set(family.labels) for family in FAMILIES}
    seen = set()
    for name, pairs in samples(simulated.page()):
        base = name
        for suffix in ("_bucket", "_sum", "_count"):
            if name not in declared:
                base = name.removesuffix(suffix) if name.endswith(suffix) else base
        labels = {label for label, _ in pairs} - ({"le"} if name.endswith("_bucket") else set())
        assert labels == declared[base], name
        seen.add(base)
    # What a fleet without labels, accepted risks, TLS, spools and measured speed cannot have.
    absent = {
        *(name for name in declared if name.startswith("libcensus_build_speed_")),
        "libcensus_host_labels",
        "libcensus_findings_accepted",
        "libcensus_host_findings_accepted",
        "libcensus_host_certificate_expiry_timestamp_seconds",
        "libcensus_host_waiting_reports",
        "libcensus_host_dropped_reports_total",
        "libcensus_host_dropped_facts_total",
    }
    assert declared.keys() - seen == absent


def test_a_host_is_exposed_since_its_oldest_open_fix(simulated: Simulated, page: bytes) -> None:
    names = {plan.host_id: plan.name for plan in simulated.plans}
    now = datetime.combine(simulated.assessor.today, time.max, UTC)
    expected: Series = {}
    for one in simulated.episodes:
        if one.end is None and one.start is not None and one.start <= now:
            key = names[one.host_id], one.severity
            expected[key] = min(expected.get(key, one.start.timestamp()), one.start.timestamp())
    past = {
        key: number
        for key, number in told(page, "libcensus_host_exposed_since_timestamp_seconds", "host", "severity").items()
        if number <= now.timestamp()
    }
    assert past == expected
    assert len({severity for _, severity in past}) > 2


def test_a_host_is_never_exposed_later_than_its_installs(page: bytes) -> None:
    installs = least(page, "libcensus_install_exposed_since_timestamp_seconds", "host", "severity")
    hosts = told(page, "libcensus_host_exposed_since_timestamp_seconds", "host", "severity")
    assert hosts.keys() >= installs.keys()
    assert all(hosts[key] <= number for key, number in installs.items())


def test_stale_installs_of_a_host_are_those_of_its_installs(page: bytes) -> None:
    expected = told(page, "libcensus_install_stale", "host", "reason")
    found = told(page, "libcensus_host_stale_installs", "host", "reason")
    assert {key: number for key, number in found.items() if number} == expected
    assert {reason for _, reason in expected} >= {"environment_base_gone", "behind_provider", "uv_too_old"}
    fleet = told(page, "libcensus_stale_installs", "reason")
    by_reason: Series = defaultdict(float)
    for (_, reason), number in found.items():
        by_reason[reason,] += number
    assert {key: number for key, number in by_reason.items() if number} == {
        key: number for key, number in fleet.items() if number
    }


def test_the_end_of_a_hosts_branch_is_the_first_of_anything_on_it(page: bytes) -> None:
    installs = least(page, "libcensus_install_eol_timestamp_seconds", "host", "component", "branch")
    hosts = told(page, "libcensus_host_eol_timestamp_seconds", "host", "component", "branch")
    assert hosts.keys() >= installs.keys()
    assert all(hosts[key] <= number for key, number in installs.items())
    # Only wheels bring a branch that no install of the host is on.
    assert {component for _, component, _ in hosts.keys() - installs.keys()} <= {"openssl"}


def test_the_tools_that_install_interpreters_are_counted_by_host(simulated: Simulated, page: bytes) -> None:
    expected = Counter(
        ("uv", plan.tool.version, plan.tool.newest_build) for plan in simulated.plans if plan.tool is not None
    )
    assert told(page, "libcensus_installer_hosts", "installer", "version", "newest_build") == expected
    assert len(expected) > 3


def test_installs_are_held_against_the_newest_build_of_their_branch(simulated: Simulated, page: bytes) -> None:
    bases = Counter(
        one.build.provider.value if one.build is not None else "unknown"
        for plan in simulated.plans
        for one in plan.installs
        if one.kind is InstallKind.BASE
    )
    assert told(page, "libcensus_branch_installs", "provider") == {(name,): count for name, count in bases.items()}
    stale = told(page, "libcensus_stale_installs", "reason", "provider")
    held = told(page, "libcensus_branch_installs", "state", "provider")
    for (reason, provider), number in stale.items():
        if reason == "behind_provider":
            assert held["stale", provider] == number
    builds = [one for one in simulated.assessor.catalogue.pbs_builds if one.date <= simulated.assessor.today]
    newest = told(
        page, "libcensus_newest_build_timestamp_seconds", "implementation", "branch", "provider", "version",
        "provider_build",
    )  # fmt: skip
    of_pbs = {key: number for key, number in newest.items() if key[2] == "pbs"}
    assert of_pbs
    for (implementation, branch, _, version, tag), number in of_pbs.items():
        last = [one for one in builds if branch in one.cpython][-1]
        assert (implementation, version, tag) == ("cpython", last.cpython[branch], last.tag)
        assert number == datetime.combine(last.date, time(), UTC).timestamp()
    assert {key[2] for key in newest} >= {"pbs", "pyenv", "docker-official"} & {key[0] for key in bases}


# --- advisories as labels ---------------------------------------------------------------------------------------------


def test_the_first_advisories_in_rank_are_listed_and_the_others_counted(simulated: Simulated) -> None:
    labels = ("advisory", "component", "severity")
    every = told(simulated.page(listed=None), "libcensus_advisory_hosts", *labels)
    ranked = sorted(every, key=lambda one: (not every[one], -Severity(one[2]).rank, -every[one], one))
    assert len(every) > 60
    for listed in (0, 1, 25, len(every), len(every) + 10):
        page = simulated.page(Detail.FLEET, listed)
        found = told(page, "libcensus_advisory_hosts", *labels)
        assert found == {one: every[one] for one in ranked[:listed]}
        assert page == simulated.page(Detail.FLEET, listed)
        counted = told(page, "libcensus_advisories", "state", "listed")
        assert counted["affecting", "true"] + counted["clear", "true"] == len(found)
        assert sum(counted.values()) == len(every)
        assert counted["affecting", "true"] + counted["affecting", "false"] == sum(map(bool, every.values()))


def test_a_hundred_advisories_are_listed_unless_more_are_wanted(simulated: Simulated, page: bytes) -> None:
    every = told(simulated.page(listed=None), "libcensus_advisory_hosts", "advisory", "component", "severity")
    found = told(page, "libcensus_advisory_hosts", "advisory", "component", "severity")
    assert len(found) == min(DEFAULT_LISTED_ADVISORIES, len(every)) == 100
