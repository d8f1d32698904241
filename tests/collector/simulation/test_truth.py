"""Every figure of the product against the truth of a simulated fleet."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.fleetindex import FleetIndex
from libcensus.collector.metrics.exporter import FleetExporter
from libcensus.collector.posture.finding import Component, VexStatus
from libcensus.collector.posture.staleness import StalenessKind
from libcensus.collector.posture.verdict import PortabilityState
from libcensus.collector.postureindex import PostureIndexes
from libcensus.collector.service.fleet import FleetReader
from libcensus.collector.service.portability import PortabilityReader
from libcensus.collector.service.posture import PostureReader, Question
from libcensus.collector.simulation.plan import Choices, plan_fleet
from libcensus.facts.artefact import Artefact, WheelTag
from libcensus.facts.vocabulary import ArtefactKind, EnvironmentState, Installer, InstallKind, Linkage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.collector.simulation.conftest import Filled

Page = dict[str, list[tuple[dict[str, str], float]]]

PAGES: dict[int, Page] = {}


def page_of(fleet: Filled) -> Page:
    """Return the samples of the fleet's page by family; rendered once per fleet."""
    if fleet.truth.seed not in PAGES:
        PAGES[fleet.truth.seed] = render(fleet)
    return PAGES[fleet.truth.seed]


def render(fleet: Filled) -> Page:
    exporter = FleetExporter(fleet.store, lambda: fleet.assessor, "install", 10**9)
    _, text = exporter.render()
    found: Page = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def told(page: Page, family: str, *labels: str) -> dict[tuple[str, ...], float]:
    """Return the sums of a family's samples by these labels, without those that are zero."""
    counts: Counter[tuple[str, ...]] = Counter()
    for have, value in page.get(family, []):
        counts[tuple(have[label] for label in labels)] += int(value)
    return without_zeros(counts)


def without_zeros(counts: Mapping[tuple[str, ...], int]) -> dict[tuple[str, ...], float]:
    return {key: number for key, number in counts.items() if number}


FIGURES = {
    "libcensus_hosts": ("systems", ("os_id", "os_version", "arch", "libc", "libc_version")),
    "libcensus_installs": ("installs", ("implementation", "version", "provider", "kind")),
    "libcensus_crypto_installs": ("crypto", ("family", "version", "linkage", "provider")),
    "libcensus_crypto_copies": ("copies", ("family", "version", "linkage", "ecosystem", "owner")),
}


@pytest.mark.parametrize("family", sorted(FIGURES))
def test_counts_of_the_fleet(fleet: Filled, family: str) -> None:
    counter, labels = FIGURES[family]
    assert told(page_of(fleet), family, *labels) == without_zeros(getattr(fleet.truth, counter))


def test_hosts_that_each_wheel_policy_reaches(fleet: Filled) -> None:
    page = page_of(fleet)
    assert told(page, "libcensus_manylinux_hosts", "policy", "arch") == without_zeros(fleet.truth.wheel_policies())
    shown = {(have["policy"], have["arch"]) for have, _ in page["libcensus_manylinux_hosts"]}
    assert shown == fleet.truth.wheel_policies().keys()


def build_verdicts(fleet: Filled) -> dict[tuple[str, ...], float]:
    """Return hosts by build, verdict and first reason, as the truth has them."""
    return {
        (fleet.simulation.build_digest(build), *verdict): number
        for build, hosts in fleet.truth.build_hosts().items()
        for verdict, number in hosts.items()
        if number
    }


def test_hosts_on_which_each_build_starts_or_what_first_stops_it(fleet: Filled) -> None:
    page = page_of(fleet)
    assert told(page, "libcensus_build_hosts", "build", "verdict", "reason") == build_verdicts(fleet)
    assert len(page["libcensus_build_info"]) == fleet.truth.builds
    verdicts = {(verdict, reason) for _, verdict, reason in build_verdicts(fleet)}
    blocked = {("blocked", reason) for reason in ("arch", "loader", "x86_64_level", "symbol_version")}
    assert verdicts == {("runs", ""), ("unknown", "requirement"), *blocked}


def test_figures_per_host(fleet: Filled) -> None:
    page, truth = page_of(fleet), fleet.truth
    outdated = [value for _, value in page["libcensus_host_outdated_processes"]]
    assert sum(outdated) == truth.outdated_processes
    assert sum(value > 0 for value in outdated) == truth.hosts_with_outdated_processes
    failed = {have["host"] for have, value in page["libcensus_host_probe_success"] if not value}
    assert len(failed) == truth.hosts_with_failed_probes
    levels = Counter((have["arch"], have["x86_64_level"] or "unknown") for have, _ in page["libcensus_host_info"])
    assert levels == truth.levels
    reports = [value for _, value in page["libcensus_host_last_report_timestamp_seconds"]]
    assert sum(value < max(reports) - 7 * 86400 for value in reports) == truth.silent_hosts


def test_installs_one_by_one(fleet: Filled) -> None:
    page, truth = page_of(fleet), fleet.truth
    assert told(page, "libcensus_install_info", "installer") == without_zeros(truth.installers)
    glibc: Counter[tuple[str, ...]] = Counter()
    for build, number in truth.build_installs.items():
        glibc["" if build.needed_glibc is None else f"2.{build.needed_glibc}",] += number
    with_build = [have for have, _ in page["libcensus_install_info"] if have["build"]]
    assert Counter((have["glibc"],) for have in with_build) == glibc


def test_the_package_that_owns_the_systems_library(fleet: Filled) -> None:
    page = page_of(fleet)
    seen: Counter[tuple[str, str]] = Counter()
    for have, _ in page["libcensus_install_info"]:
        if have["provider"] == "distro" and have["kind"] == "base":
            seen[have["package"].partition(" ")[2] or "unknown", have["crypto_version"]] += 1
    wanted: Counter[tuple[str, str]] = Counter()
    for (_, _, package, version), number in fleet.truth.openssl_packages.items():
        wanted[package, version] += number
    assert seen == wanted


def test_the_list_of_hosts(fleet: Filled) -> None:
    reader = FleetReader(fleet.store, lambda: fleet.assessor)
    hosts = [*reader.list_hosts(70, "").hosts]
    token = reader.list_hosts(70, "").next_page_token
    hosts += reader.list_hosts(1000, token).hosts
    assert len(hosts) == fleet.truth.hosts
    assert sum(host.installs for host in hosts) == sum(fleet.truth.installs.values())
    assert sum(host.failed_probes for host in hosts) == fleet.truth.hosts_with_failed_probes
    systems = Counter((one.os_id, one.os_version, one.arch, one.libc_family, one.libc_version) for one in hosts)
    assert systems == fleet.truth.systems


def test_environments_that_have_lost_their_base(fleet: Filled) -> None:
    reader = FleetReader(fleet.store, lambda: fleet.assessor)
    states: Counter[tuple[str, ...]] = Counter()
    containers = 0
    for stamp in fleet.store.host_stamps()[:40]:
        detail = reader.show_host(stamp.host_id)
        containers += any(root.name != "/" for root in detail.roots.roots)
        for install in detail.installs.installs:
            if install.kind is InstallKind.VENV:
                states[install.state.value,] += 1
    ids = {stamp.host_id for stamp in fleet.store.host_stamps()[:40]}
    own = fleet.simulation.truth(only=ids)
    assert states == own.environments
    assert own.environments[EnvironmentState.DANGLING.value,] == own.stale_environments
    assert containers == own.hosts_with_containers


def test_environments_without_a_base_are_counted(fleet: Filled) -> None:
    page, truth = page_of(fleet), fleet.truth
    gone = StalenessKind.ENVIRONMENT_BASE_GONE
    by_reason = told(page, "libcensus_stale_installs", "reason")
    assert by_reason[gone,] == truth.stale_environments > 0
    assert told(page, "libcensus_install_stale", "reason") == by_reason
    answer = PostureReader(PostureIndexes(fleet.store, lambda: fleet.assessor)).posture(Question())
    counted: Counter[tuple[str, ...]] = Counter()
    for one in answer.staleness:
        counted[one.kind,] += one.stale
    assert without_zeros(counted) == by_reason


def test_environments_behind_their_base_are_those_beside_a_newer_one(fleet: Filled) -> None:
    """Told from the plan alone: uv keeps several patch releases of a minor, and some environments stay with theirs."""
    wanted = 0
    for plan in plan_fleet(Choices(load_snapshot(), fleet.simulation.as_of), fleet.truth.seed, fleet.truth.hosts):
        newest: dict[tuple[str, object], str] = {}
        by_path = {one.path: one for one in plan.installs if one.kind is InstallKind.BASE and one.root == "/"}
        for base in by_path.values():
            if base.build is not None and base.installer is Installer.UV:
                key = base.build.minor, base.build.flags
                newest[key] = max(newest.get(key, ""), base.build.provider_build or "")
        for one in plan.installs:
            base_of = by_path.get(one.base or "")
            if one.state not in STAYING or base_of is None or base_of.build is None:
                continue
            key = base_of.build.minor, base_of.build.flags
            wanted += base_of.installer is Installer.UV and (base_of.build.provider_build or "") < newest[key]
    assert told(page_of(fleet), "libcensus_stale_installs", "reason").get(("environment_behind_base",), 0) == wanted


STAYING = {EnvironmentState.PINNED, EnvironmentState.COPIED}


def test_no_finding_contradicts_which_package_has_which_fix(fleet: Filled) -> None:
    reader = FleetReader(fleet.store, lambda: fleet.assessor)
    said: Counter[tuple[VexStatus, str]] = Counter()
    for stamp in fleet.store.host_stamps():
        truth = fleet.simulation.truth(only={stamp.host_id})
        has_fix = {advisory: word for _, _, advisory, word in truth.openssl_fixes}
        detail = reader.show_host(stamp.host_id)
        of_the_system = {
            (install.root, install.path)
            for install in detail.installs.installs
            if install.root == "/" and install.crypto.linkage is Linkage.SYSTEM
        }
        for finding in detail.findings:
            known = has_fix.get(finding.advisory)
            if (finding.subject.root, finding.subject.path) not in of_the_system or known is None:
                continue
            if finding.component is Component.OPENSSL:
                assert finding.status not in CONTRADICTIONS[known], finding
                said[finding.status, known] += 1
    assert said[VexStatus.FIXED, "yes"] > 100
    assert said[VexStatus.AFFECTED, "no"] > 20
    assert said[VexStatus.UNDER_INVESTIGATION, "unknown"] > 0


CONTRADICTIONS = {
    "yes": {VexStatus.AFFECTED},
    "no": {VexStatus.FIXED},
    "unknown": {VexStatus.AFFECTED, VexStatus.FIXED},
}
"""What must not be said of a system's OpenSSL whose package has the fix, has it not, or cannot be read."""


def test_hosts_by_c_library(fleet: Filled) -> None:
    answer = PortabilityReader(FleetIndex(fleet.store), lambda: fleet.assessor).libcs()
    assert answer.unreadable_hosts == 0
    seen = {(one.arch, one.family, one.version): one.hosts for one in answer.libcs}
    wanted: Counter[tuple[str, str, str]] = Counter()
    for (_, _, arch, family, version), number in fleet.truth.systems.items():
        wanted[arch, family, version] += number
    assert seen == wanted


def test_the_matrix_of_builds_and_platforms(fleet: Filled) -> None:
    matrix = PortabilityReader(FleetIndex(fleet.store), lambda: fleet.assessor).matrix()
    assert len(matrix.builds) == fleet.truth.builds
    assert len(matrix.platforms) == fleet.truth.platforms
    assert sum(platform.hosts for platform in matrix.platforms) == fleet.truth.hosts
    told: Counter[tuple[str, ...]] = Counter()
    degraded: Counter[tuple[str, str | None]] = Counter()
    for build, verdicts in zip(matrix.builds, matrix.verdicts, strict=True):
        for platform, verdict in zip(matrix.platforms, verdicts, strict=True):
            told[build.digest, verdict.state.value, verdict.first_reason or ""] += platform.hosts
            if verdict.state is PortabilityState.RUNS:
                for module in {reason.module for reason in verdict.degraded}:
                    degraded[build.digest, module] += platform.hosts
    assert told == build_verdicts(fleet)
    assert degraded == {
        (fleet.simulation.build_digest(build), module): hosts
        for build in fleet.truth.build_hosts()
        for module, hosts in fleet.truth.degraded_hosts(build).items()
    }
    assert {module for _, module in degraded} == {"_crypt", "_ssl"}


WHEELS = [
    ("cp312", "cp312", "manylinux_2_17_x86_64"),
    ("cp312", "cp312", "manylinux_2_28_x86_64"),
    ("cp313", "cp313t", "manylinux_2_17_x86_64"),
    ("cp313", "cp313", "manylinux_2_34_aarch64"),
    ("cp311", "abi3", "manylinux_2_31_x86_64"),
    ("cp36", "abi3", "manylinux2014_x86_64"),
    ("cp310", "abi3", "musllinux_1_2_x86_64"),
    ("cp312", "cp312", "musllinux_1_1_aarch64"),
    ("py3", "none", "any"),
    ("py3", "none", "manylinux_2_39_x86_64"),
    ("cp27", "cp27mu", "manylinux1_x86_64"),
]


@pytest.mark.parametrize("tag", WHEELS, ids="-".join)
def test_hosts_on_which_a_wheel_known_by_its_name_can_be_installed(fleet: Filled, tag: tuple[str, str, str]) -> None:
    artefact = Artefact(f"census-1.0-{'-'.join(tag)}.whl", ArtefactKind.WHEEL_NAME, tags=(WheelTag(*tag),))
    answer = PortabilityReader(FleetIndex(fleet.store), lambda: fleet.assessor).check(artefact)
    seen: Counter[PortabilityState] = Counter()
    for one in answer.verdicts:
        seen[one.verdict.state] += one.on.hosts
    taking = sum(
        hosts
        for (pythons, arch, family, version), hosts in fleet.truth.pythons.items()
        if takes_platform(tag[2], arch, family, version)
        and any(takes_python(*tag[:2], name) for name in pythons.split())
    )
    assert seen == +Counter({PortabilityState.RUNS: taking, PortabilityState.BLOCKED: fleet.truth.hosts - taking})


def takes_platform(tag: str, arch: str, family: str, version: str) -> bool:
    """Tell whether a host takes a wheel's platform tag, by PEP 600 and PEP 656 alone."""
    number = re.fullmatch(r"(many|musl)linux_(\d+)_(\d+)_(\w+)", OLD_NAMES.get(tag, tag))
    if number is None:
        return tag == "any"
    kind, major, minor, wanted = number.groups()
    have = [int(part) for part in version.split(".")[:2]]
    return (arch, family) == (wanted, {"many": "glibc", "musl": "musl"}[kind]) and have >= [int(major), int(minor)]


OLD_NAMES = {"manylinux1_x86_64": "manylinux_2_5_x86_64", "manylinux2014_x86_64": "manylinux_2_17_x86_64"}


def takes_python(interpreter: str, abi: str, name: str) -> bool:
    """Tell whether CPython ``3.13t`` takes a wheel's other two tags; none is older than 3.6 or newer than 3.14."""
    minor, is_free_threaded = int(name.removesuffix("t").partition(".")[2]), name.endswith("t")
    if abi == "none":
        return interpreter == "py3"
    if abi == "abi3":
        return not is_free_threaded and minor >= int(interpreter.removeprefix("cp3"))
    return abi == f"cp3{minor}" + ("t" if is_free_threaded else "")


def test_a_fleet_in_postgresql_is_the_same(postgres_fleet: Filled) -> None:
    page = render(postgres_fleet)
    for family, (counter, labels) in FIGURES.items():
        assert told(page, family, *labels) == without_zeros(getattr(postgres_fleet.truth, counter))
    assert told(page, "libcensus_build_hosts", "build", "verdict", "reason") == build_verdicts(postgres_fleet)


def test_the_truth_for_programs_is_json_and_adds_up(fleet: Filled) -> None:
    told_as = json.loads(json.dumps(fleet.simulation.truth_object(fleet.truth)))
    assert sum(row["hosts"] for row in told_as["systems"]) == told_as["hosts"] == fleet.truth.hosts
    assert sum(row["hosts"] for row in told_as["openssl_packages"]) == told_as["hosts"]
    assert sum(row["hosts"] for row in told_as["pythons"]) == told_as["hosts"]
    assert sum(row["installs"] for row in told_as["installs"]) == sum(
        row["installs"] for row in told_as["crypto_installs"]
    )
    assert len(told_as["build_hosts"]) == told_as["builds"]
    for row in told_as["build_hosts"]:
        assert row["runs"] + sum((*row["blocked"].values(), *row["unknown"].values())) == told_as["hosts"]
        assert all(hosts <= row["runs"] for hosts in row["degraded"].values())
        assert 0 < row["installed_on"] <= told_as["hosts"]
    dangling = [row["environments"] for row in told_as["environments"] if row["state"] == "dangling"]
    assert dangling == [told_as["stale_environments"]]
