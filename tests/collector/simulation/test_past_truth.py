"""What the simulator knows of findings, exposure and patch latency, held against what is judged, and by hand."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest

from libcensus.collector.exposures import ExposureReader
from libcensus.collector.posture.finding import VexStatus
from libcensus.collector.postureindex import PostureIndex, PostureIndexes, hosts_by_grouped_pattern
from libcensus.collector.service.posture import PostureReader, Question
from libcensus.collector.simulation.episodes import BOUNDS, Episode, PastTruth, episodes_of, parts_of
from libcensus.collector.simulation.facts import FactMaker
from libcensus.collector.simulation.records import Said
from libcensus.facts.codec import decode_fact
from libcensus.facts.host import Inventory
from libcensus.facts.interpreter import Build, InstallSet
from libcensus.facts.platform import Platform
from libcensus.facts.vocabulary import InstallKind, Provider
from tests.collector.simulation.conftest import SEEDS, filled, simulated

if TYPE_CHECKING:
    from pathlib import Path

    from libcensus.collector.posture.assessment import HostAssessment
    from libcensus.collector.posture.finding import Finding
    from libcensus.collector.simulation.plan import HostPlan
    from libcensus.collector.simulation.records import Records
    from libcensus.collector.store.contract import FactRecord
    from libcensus.facts.codec import Fact
    from libcensus.facts.crypto import CryptoCopySet
    from libcensus.facts.root import RootSet
    from tests.collector.simulation.conftest import Filled


def counts_of(fleet: Filled) -> Counter[tuple[str, ...]]:
    """Return the counts of findings as they are judged."""
    judged = PostureIndex(fleet.store, lambda: fleet.assessor).fleet()
    assert judged is not None
    counts: Counter[tuple[str, ...]] = Counter()
    for (pattern, _), hosts in hosts_by_grouped_pattern(judged.hosts).items():
        for number in pattern:
            one = judged.judged[number]
            for (component, severity, status), findings in one.case.counts.items():
                counts[component.value, severity.value, status.value, one.provider] += findings * hosts
    return counts


def test_every_count_of_findings_is_what_the_simulator_knows(fleet: Filled) -> None:
    assert fleet.truth.findings == counts_of(fleet)
    statuses = {status for _, _, status, _ in counts_of(fleet)}
    assert statuses == {"affected", "fixed", "not_affected", "under_investigation"}


def test_every_count_of_findings_is_the_same_after_a_past(past_fleet: Filled) -> None:
    assert past_fleet.truth.findings == counts_of(past_fleet)
    assert past_fleet.truth.findings == simulated(past_fleet.truth.seed, past_fleet.truth.hosts, 0).truth().findings


def assessed(fleet: Filled, maker: FactMaker, state: HostPlan) -> HostAssessment:
    """Return what is judged of a host as it was at one report, from the bytes that it sent."""
    facts = {one.digest: decoded(one) for one in maker.facts_of(state).records}
    (inventory,) = [fact for fact in facts.values() if isinstance(fact, Inventory)]
    return fleet.assessor.assess(
        inventory.host,
        cast("Platform", facts[inventory.platform]),
        cast("InstallSet", facts[inventory.installs]),
        {digest: fact for digest, fact in facts.items() if isinstance(fact, Build)},
        crypto_copies=cast("CryptoCopySet | None", facts.get(inventory.crypto_copies or "")),
        roots=cast("RootSet | None", facts.get(inventory.roots or "")),
        platforms={digest: fact for digest, fact in facts.items() if isinstance(fact, Platform)},
        platform_digest=inventory.platform,
    )


DECODED: dict[str, Fact] = {}


def decoded(record: FactRecord) -> Fact:
    """Return what a record's bytes say; read once."""
    if record.digest not in DECODED:
        DECODED[record.digest] = decode_fact(record.kind, record.payload)
    return DECODED[record.digest]


def records_of(fleet: Filled) -> Records:
    records = fleet.simulation.records
    assert records is not None
    return records


def test_every_earlier_state_is_judged_as_the_simulator_says(past_fleet: Filled) -> None:
    """With the day of each fix, as its provider had it."""
    maker, records, dated = FactMaker(), records_of(past_fleet), 0
    for states in list(past_fleet.simulation.states())[:50]:
        for state in states:
            judged = Counter(
                (f.component, f.advisory, f.severity, f.status, since_of(f))
                for f in assessed(past_fleet, maker, state).findings
            )
            told = Counter(
                (one.component, one.advisory, one.severity, one.status, day_of(one))
                for part in parts_of(state, records)
                for one in part.said
            )
            assert told == judged
            dated += sum(number for (*_, day), number in told.items() if day is not None)
    assert dated > 1000


def since_of(finding: Finding) -> date | None:
    """Return since when the fix of what is affected could be applied, as it is judged."""
    return finding.clocks.since if finding.status is VexStatus.AFFECTED and finding.clocks is not None else None


def day_of(said: Said) -> date | None:
    """Return the same, as the simulator knows it."""
    return max(said.fix, said.published) if said.status == "affected" and said.fix is not None else None


def test_hosts_that_were_affected_and_exposed_on_past_days(past_fleet: Filled) -> None:
    past = past_fleet.truth.past
    assert past is not None
    told = past.as_object()["days"]
    reader = PostureReader(PostureIndexes(past_fleet.store, lambda: past_fleet.assessor))
    assert len(told) == 5
    # Each day is judged anew, which takes its time; the last one is the present.
    for day, row in [*told.items()][1:4:2]:
        answer = reader.posture(Question(day=day))
        assert row["hosts"] == answer.hosts
        assert row["affected_hosts"] == {a.advisory: a.affected_hosts for a in answer.advisories if a.affected_hosts}
        assert row["exposed_hosts"] == {a.advisory: a.exposed_hosts for a in answer.advisories if a.exposed_hosts}


LENGTHS = [(4, 77), (8, 153)]
"""Seeds, and days: the first report is on the day of a fix."""


@pytest.mark.parametrize(("seed", "days"), LENGTHS)
def test_exposure_and_patch_latency_of_pasts_of_other_lengths(tmp_path: Path, seed: int, days: int) -> None:
    for fleet in filled(f"sqlite:///{tmp_path / 'fleet.db'}", seed, 60, days):
        check_exposures(fleet)


def test_exposure_and_patch_latency(past_fleet: Filled) -> None:
    check_exposures(past_fleet)


def check_exposures(fleet: Filled) -> None:
    """Hold what is measured in the store against what the simulator knows, number by number."""
    past = fleet.truth.past
    judged = PostureIndex(fleet.store, lambda: fleet.assessor).fleet()
    assert past is not None
    assert judged is not None
    measured = {
        (provider, component.value, severity.value): {
            "measured": tally.measured,
            "seconds": tally.seconds,
            "buckets": dict(zip(map(str, BOUNDS), tally.buckets, strict=True)),
            "unmeasured": tally.unmeasured,
            "undated": tally.undated,
            "open": tally.open,
            "unfixed": tally.unfixed,
            "removed": tally.removed,
            "within": [
                {"days": days, "patched": share.patched, "total": share.total} for days, share in tally.within.items()
            ],
        }
        for (provider, component, severity), tally in ExposureReader(judged).tally(past.now).items()
    }
    told = {
        (row.pop("provider"), row.pop("component"), row.pop("severity")): row
        for row in past.as_object()["patch_latency"]
    }
    for row in told.values():
        row.pop("outcomes")
    assert told == measured
    assert sum(row["measured"] for row in told.values()) > 50


# --- episodes by hand ---------------------------------------------------------------------------------------------

FIRST = datetime(2026, 5, 1, 12, tzinfo=UTC)


def on(day: int, month: int = 5, hour: int = 12) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


def episode(
    begin: datetime = FIRST,
    end: datetime | None = None,
    *,
    fix: date | None = date(2026, 5, 10),
    published: date = date(2026, 5, 9),
    is_removed: bool = False,
) -> Episode:
    return Episode(
        "h", ("base",), "distro", "openssl", "CVE-1", "high", published, begin, end, is_removed, begin == FIRST, fix,
        FIRST,
    )  # fmt: skip


EPISODES = {
    "open since before": (episode(), True, "open", "seen", date(2026, 5, 10)),
    "patched the day after": (episode(end=on(11)), True, "patched", "seen", date(2026, 5, 10)),
    "patched before the fix of the provider": (episode(end=on(9)), False, "patched", "seen", date(2026, 5, 10)),
    "ended with the day of the fix": (episode(end=on(10, hour=0)), False, "patched", "seen", date(2026, 5, 10)),
    "removed": (episode(end=on(12), is_removed=True), True, "removed", "seen", date(2026, 5, 10)),
    "came after the fix": (episode(on(20), on(25)), True, "patched", "seen", date(2026, 5, 20)),
    "fixed before the host was seen": (
        episode(end=on(3), fix=date(2026, 4, 1)), True, "patched", "before_first_report", date(2026, 4, 1),
    ),
    "fixed on the first day": (episode(end=on(3), fix=FIRST.date()), True, "patched", "seen", FIRST.date()),
    "came open after an old fix": (
        episode(on(2), on(3), fix=date(2026, 4, 1)), True, "patched", "seen", date(2026, 5, 2),
    ),
    "no day of the fix": (episode(end=on(20), fix=None), True, "patched", "unknown", None),
    "gone before anybody knew": (episode(end=on(5), fix=None), False, "patched", "unknown", None),
}  # fmt: skip


@pytest.mark.parametrize("name", EPISODES)
def test_what_an_episode_is(name: str) -> None:
    one, counts, outcome, measure, since = EPISODES[name]
    assert (one.counts, one.outcome, one.measure, one.exposed_since) == (counts, outcome, measure, since)


class Tables:
    """Advisories by the version of a build: what holds for an install, and nothing for anything else."""

    def __init__(self, affected: dict[str, tuple[str, ...]]) -> None:
        self._affected = affected

    def of_install(self, _implementation: object, build: Any, _crypto: object, _owned: object) -> tuple[Said, ...]:
        names = self._affected.get("" if build is None else build.version or "", ())
        held = (Said("cpython", name, "high", date(2026, 1, 1), "affected", date(2026, 5, 10)) for name in names)
        return (*held, Said("cpython", "CVE-FIXED", "high", date(2026, 1, 1), "fixed"))

    def of_copy(self, _openssl: str, _system: str) -> tuple[Said, ...]:
        return ()

    def of_glibc(self, _version: str) -> tuple[Said, ...]:
        return ()


def host_with(*reports: tuple[datetime, tuple[str, ...]]) -> list[HostPlan]:
    """Return a host with these versions of one Python at these reports."""
    plan, base = next(
        (states[-1], one)
        for states in simulated(1, 50, 0).states()
        for one in states[-1].installs
        if one.build is not None and one.build.provider is Provider.PYENV and one.kind is InstallKind.BASE
    )
    assert base.build is not None
    build = base.build
    return [
        replace(
            plan,
            reported_at=moment,
            copies=(),
            installs=tuple(
                replace(base, path=f"/{version}", build=replace(build, version=version)) for version in versions
            ),
        )
        for moment, versions in reports
    ]


def told(*reports: tuple[datetime, tuple[str, ...]]) -> list[tuple[str, datetime, datetime | None, str]]:
    tables = Tables({"3.12.1": ("CVE-A", "CVE-B"), "3.12.2": ("CVE-B",), "3.13.1": ("CVE-A",)})
    found = episodes_of(host_with(*reports), cast("Records", tables))
    return sorted(((one.advisory, one.begin, one.end, one.outcome) for one in found), key=lambda row: (row[0], row[1]))


def test_each_advisory_ends_with_the_version_that_fixes_it() -> None:
    assert told((on(1), ("3.12.1",)), (on(12), ("3.12.2",)), (on(20), ("3.12.3",))) == [
        ("CVE-A", on(1), on(12), "patched"),
        ("CVE-B", on(1), on(20), "patched"),
    ]


def test_a_slot_is_open_while_any_of_its_installs_is() -> None:
    assert told((on(1), ("3.12.1",)), (on(12), ("3.12.1", "3.12.3")), (on(20), ("3.12.3",))) == [
        ("CVE-A", on(1), on(20), "patched"),
        ("CVE-B", on(1), on(20), "patched"),
    ]


def test_what_is_gone_is_removed_and_what_comes_again_begins_anew() -> None:
    assert told((on(1), ("3.13.1", "3.12.3")), (on(5), ("3.12.3",)), (on(9), ("3.13.1", "3.12.3"))) == [
        ("CVE-A", on(1), on(5), "removed"),
        ("CVE-A", on(9), None, "open"),
    ]


def test_an_older_version_opens_what_was_fixed() -> None:
    assert told((on(1), ("3.12.3",)), (on(5), ("3.12.2",))) == [("CVE-B", on(5), None, "open")]


def test_latencies_are_counted_by_hand() -> None:
    now = date(2026, 6, 30)
    truth = PastTruth(FIRST.date(), now)
    for one in (
        episode(end=on(11)),
        episode(end=on(25)),
        episode(end=on(11), is_removed=True),
        episode(end=on(30), is_removed=True),
        episode(),
        episode(end=on(3), fix=date(2026, 4, 1)),
        episode(fix=None),
        episode(end=on(20), fix=None),
        episode(end=on(9)),
        episode(on(28, 6), fix=date(2026, 6, 28)),
        episode(fix=date(2026, 7, 30)),
    ):
        truth.count(one)
    (row,) = truth.as_object()["patch_latency"]
    assert (row["provider"], row["component"], row["severity"]) == ("distro", "openssl", "high")
    assert row["measured"] == 2
    # From midnight of the fix to the reports at noon.
    assert row["seconds"] == int((on(11) - on(10, hour=0)).total_seconds() + (on(25) - on(10, hour=0)).total_seconds())
    assert row["buckets"] == {str(bound): (bound >= 3) + (bound >= 30) for bound in BOUNDS}
    assert (row["unmeasured"], row["undated"], row["open"], row["unfixed"], row["removed"]) == (1, 2, 2, 1, 2)
    # Removed at once is left out, removed late is not; the youngest is not old enough to be told of.
    assert row["within"] == [
        {"days": 7, "patched": 1, "total": 4},
        {"days": 30, "patched": 2, "total": 3},
        {"days": 90, "patched": 0, "total": 0},
    ]
    (exposed,) = truth.as_object()["open_exposures"]
    assert (exposed["exposures"], exposed["undated"]) == (2, 1)
    days = (datetime(2026, 5, 10, tzinfo=UTC), datetime(2026, 6, 28, tzinfo=UTC))
    assert exposed["exposed_since_timestamp_seconds"] == sum(int(day.timestamp()) for day in days)


# --- the whole ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_the_day_of_a_fix_does_not_depend_on_the_version_within_an_episode(seed: int) -> None:
    """Or nobody could say since when a slot has been exposed that moved from one open version to another."""
    simulation = simulated(seed, 150)
    records = simulation.records
    assert records is not None
    for states in simulation.states():
        days: defaultdict[tuple[object, ...], set[date | None]] = defaultdict(set)
        for state in states:
            for part in parts_of(state, records):
                for said in part.said:
                    if said.status == "affected":
                        days[part.slot, said.component, said.advisory].add(said.fix)
        assert not {key: found for key, found in days.items() if len(found) > 1}


def test_what_is_open_is_what_is_affected_now(past_fleet: Filled) -> None:
    records, fleet = records_of(past_fleet), list(past_fleet.simulation.states())[:60]
    now = {
        (states[-1].host_id, part.slot, said.component, said.advisory)
        for states in fleet
        for part in parts_of(states[-1], records)
        for said in part.said
        if said.status == "affected"
    }
    episodes = list(past_fleet.simulation.episodes({states[-1].host_id for states in fleet}))
    assert {(one.host_id, one.slot, one.component, one.advisory) for one in episodes if one.end is None} == now
    assert all(one.end is None or one.begin < one.end for one in episodes)


def test_the_past_for_programs_is_json_and_adds_up(past_fleet: Filled) -> None:
    told_as = json.loads(json.dumps(past_fleet.simulation.truth_object(past_fleet.truth)))
    past = told_as["past"]
    assert past["reports"] == sum(len(states) for states in past_fleet.simulation.states())
    assert sum(row["findings"] for row in told_as["findings"]) == sum((past_fleet.truth.findings or Counter()).values())
    for row in past["patch_latency"]:
        buckets = list(row["buckets"].values())
        assert buckets == sorted(buckets)
        assert buckets[-1] <= row["measured"] == row["outcomes"]["patched"]["seen"]
        assert all(share["patched"] <= share["total"] for share in row["within"])
    assert {row["provider"] for row in past["patch_latency"]} >= {"distro", "pbs", "pypi"}


def test_distributions_are_faster_than_uv() -> None:
    truth = simulated(1, 400).truth()
    assert truth.past is not None
    days: Counter[str] = Counter()
    measured: Counter[str] = Counter()
    for row in truth.past.as_object()["patch_latency"]:
        if row["component"] == "openssl":
            days[row["provider"]] += row["seconds"] / 86400
            measured[row["provider"]] += row["measured"]
    average = {name: days[name] / number for name, number in measured.items() if number}
    assert 1 < average["distro"] < average["pbs"] / 2
