"""What every store promises: facts, reports, hosts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from libcensus.collector.errors import InconsistentFactsError, StoreError
from libcensus.collector.store.contract import FactRecord, HostStamp
from libcensus.collector.store.sql import SqlStore
from libcensus.facts.digest import FactKind, fact_digest
from libcensus.facts.process import ProcessSet
from libcensus.facts.root import RootSet, ScannedRoot
from libcensus.facts.validation import InvalidFactError
from libcensus.facts.vocabulary import RootKind
from tests.contract.specimens import (
    NOON,
    PROBES,
    Census,
    Extras,
    address,
    build,
    install,
    platform,
    received,
    record,
    running,
)

if TYPE_CHECKING:
    from libcensus.collector.store.contract import ReportOutcome, Store
    from libcensus.facts.host import Inventory

A, B, C = "a" * 32, "b" * 32, "c" * 32
BUILD = build("20260127")
WEB = Census.of("web", "w", ("/opt/python/bin/python3", BUILD))


def inconsistency(outcome: ReportOutcome) -> InconsistentFactsError:
    assert isinstance(outcome, InconsistentFactsError)
    return outcome


class TestFacts:
    def test_of_an_empty_store_every_address_is_missing(self, store: Store) -> None:
        assert store.missing(["11" * 32, "22" * 32, "11" * 32]) == {"11" * 32, "22" * 32}

    def test_nothing_asked_is_nothing_missing(self, store: Store) -> None:
        assert store.missing([]) == frozenset()
        assert store.facts([]) == {}
        assert store.put_facts([]) == 0
        assert store.apply_reports([]) == []

    def test_stored_facts_are_read_back_equal(self, store: Store) -> None:
        store.put_facts(WEB.records)
        expected = {address(fact): fact for fact in (WEB.inventory, WEB.platform, WEB.installs, BUILD)}
        assert store.facts([*expected, "11" * 32]) == expected

    def test_facts_already_there_are_not_counted(self, store: Store) -> None:
        assert store.put_facts([record(BUILD)]) == 1
        assert store.put_facts([record(BUILD), record(WEB.platform), record(WEB.platform)]) == 1
        assert store.put_facts(WEB.records) == 2

    def test_a_payload_that_is_no_fact_stores_nothing_of_the_call(self, store: Store) -> None:
        payload = b"\xff\xff not protobuf"
        broken = FactRecord(FactKind.BUILD, fact_digest(FactKind.BUILD, payload), payload)
        with pytest.raises(InvalidFactError):
            store.put_facts([record(BUILD), broken])
        assert store.missing([address(BUILD)]) == {address(BUILD)}

    def test_more_addresses_than_one_query_takes(self, store: Store) -> None:
        platforms = [platform(f"many{number}") for number in range(1203)]
        assert store.put_facts([record(one) for one in platforms]) == 1203
        wanted = [address(one) for one in platforms]
        assert store.missing([*wanted, "11" * 32]) == {"11" * 32}
        assert len(store.facts(wanted)) == 1203

    def test_bytes_of_a_newer_contract_are_kept(self, store: Store) -> None:
        # Field 200, a string that this version does not know: the address is over the bytes, so they must stay.
        payload = record(WEB.platform).payload + b"\xc2\x0c\x03new"
        digest = fact_digest(FactKind.PLATFORM, payload)
        store.put_facts([FactRecord(FactKind.PLATFORM, digest, payload)])
        assert store.facts([digest]) == {digest: WEB.platform}


class TestReports:
    def test_an_unknown_inventory_is_missing(self, store: Store) -> None:
        assert store.apply_reports([received(A, WEB.address, NOON)]) == [(WEB.address,)]
        assert store.hosts() == []

    def test_references_of_a_known_inventory_are_missing(self, store: Store) -> None:
        store.put_facts([record(WEB.inventory), record(WEB.platform)])
        [outcome] = store.apply_reports([received(A, WEB.address, NOON)])
        assert isinstance(outcome, tuple)
        assert sorted(outcome) == sorted([address(WEB.installs), address(BUILD)])
        assert store.hosts() == []
        assert store.find_host(A) is None

    def test_a_complete_report_is_acknowledged_and_stored(self, store: Store) -> None:
        store.put_facts(WEB.records)
        report = received(A, WEB.address, NOON, scanned=NOON - timedelta(seconds=7, microseconds=1))
        assert store.apply_reports([report]) == [()]
        [state] = store.hosts()
        assert state.host_id == A
        assert state.name == "web"
        assert state.host == WEB.inventory.host
        assert state.inventory == WEB.address
        assert state.platform == address(WEB.platform)
        assert state.installs == address(WEB.installs)
        assert state.builds == (address(BUILD),)
        assert state.report == report.report
        assert state.report.probes == PROBES
        assert state.first_report == state.last_report == NOON
        assert state.first_report.tzinfo is UTC

    def test_the_moment_of_receipt_may_be_in_any_zone(self, store: Store) -> None:
        store.put_facts(WEB.records)
        elsewhere = replace(
            received(A, WEB.address, NOON), received_at=NOON.astimezone(timezone(timedelta(hours=5, minutes=45)))
        )
        store.apply_reports([elsewhere])
        assert store.hosts()[0].last_report == NOON
        assert store.hosts()[0].last_report.tzinfo is UTC

    def test_a_later_report_replaces_the_state(self, store: Store) -> None:
        upgraded = Census.of("web", "w", ("/opt/python/bin/python3", build("20260301", "3.12.5")))
        store.put_facts(WEB.records + upgraded.records)
        second = received(A, upgraded.address, NOON + timedelta(hours=1))
        assert store.apply_reports([received(A, WEB.address, NOON)]) == [()]
        assert store.apply_reports([second]) == [()]
        [state] = store.hosts()
        assert state.report == second.report
        assert state.inventory == upgraded.address
        assert state.builds == upgraded.inventory.builds
        assert (state.first_report, state.last_report) == (NOON, NOON + timedelta(hours=1))

    def test_an_unchanged_report_moves_the_time_alone(self, store: Store) -> None:
        store.put_facts(WEB.records)
        store.apply_reports([received(A, WEB.address, NOON)])
        before = store.hosts()[0]
        again = received(A, WEB.address, NOON + timedelta(minutes=1))
        assert store.apply_reports([again]) == [()]
        after = store.hosts()[0]
        assert after == replace(before, report=again.report, last_report=again.received_at)

    def test_the_same_report_again_changes_nothing(self, store: Store) -> None:
        store.put_facts(WEB.records)
        report = received(A, WEB.address, NOON)
        store.apply_reports([report])
        before = store.hosts()
        assert store.apply_reports([replace(report, received_at=NOON + timedelta(hours=3))]) == [()]
        assert store.hosts() == before

    def test_a_straggler_does_not_undo_a_newer_report(self, store: Store) -> None:
        upgraded = Census.of("web", "w", ("/opt/python/bin/python3", build("20260301", "3.12.5")))
        store.put_facts(WEB.records + upgraded.records)
        store.apply_reports([received(A, upgraded.address, NOON)])
        before = store.hosts()
        late = received(A, WEB.address, NOON - timedelta(seconds=30), scanned=NOON - timedelta(minutes=2))
        assert store.apply_reports([late]) == [()]
        assert store.hosts() == before

    @pytest.mark.parametrize(
        ("received_at", "scanned"),
        [
            pytest.param(NOON - timedelta(seconds=30), NOON + timedelta(minutes=2), id="collector's clock set back"),
            pytest.param(NOON + timedelta(seconds=30), NOON - timedelta(days=400), id="host's clock set back"),
            pytest.param(NOON - timedelta(days=400), NOON - timedelta(days=400), id="both set back far"),
        ],
    )
    def test_a_clock_set_back_does_not_hide_a_report(
        self, store: Store, received_at: datetime, scanned: datetime
    ) -> None:
        upgraded = Census.of("web", "w", ("/opt/python/bin/python3", build("20260301", "3.12.5")))
        store.put_facts(WEB.records + upgraded.records)
        store.apply_reports([received(A, WEB.address, NOON)])
        store.apply_reports([received(A, upgraded.address, received_at, scanned=scanned)])
        [state] = store.hosts()
        assert state.inventory == upgraded.address
        assert state.last_report == received_at
        assert state.first_report == min(NOON, received_at)

    def test_outcomes_stand_in_the_order_of_the_batch(self, store: Store) -> None:
        other = Census.of("db", "d")
        unknown = Census.of("unknown", "u")
        store.put_facts(WEB.records + other.records)
        crossed = replace(WEB.inventory, platform=address(BUILD))
        store.put_facts([record(crossed)])
        outcomes = store.apply_reports(
            [
                received(A, WEB.address, NOON),
                received(B, unknown.address, NOON),
                received(C, address(crossed), NOON),
                received(B, other.address, NOON + timedelta(seconds=1)),
                received(A, WEB.address, NOON + timedelta(seconds=2)),
            ]
        )
        assert [outcomes[0], outcomes[1], outcomes[3], outcomes[4]] == [(), (unknown.address,), (), ()]
        assert inconsistency(outcomes[2]).field == "inventory.platform"
        assert [(state.host_id, state.last_report) for state in store.hosts()] == [
            (B, NOON + timedelta(seconds=1)),
            (A, NOON + timedelta(seconds=2)),
        ]

    def test_a_host_may_change_between_two_unchanged_reports_of_one_batch(self, store: Store) -> None:
        upgraded = Census.of("web", "w", ("/opt/python/bin/python3", build("20260301", "3.12.5")))
        store.put_facts(WEB.records + upgraded.records)
        store.apply_reports([received(A, WEB.address, NOON)])
        moments = [NOON + timedelta(minutes=minute) for minute in range(1, 5)]
        batch = [
            received(A, census.address, moment)
            for census, moment in zip((WEB, upgraded, upgraded, WEB), moments, strict=True)
        ]
        assert store.apply_reports(batch) == [()] * 4
        [state] = store.hosts()
        assert state.report == batch[-1].report
        assert state.inventory == WEB.address
        assert [(one.build, one.first_seen, one.last_seen, one.gone_at) for one in store.intervals(A)] == [
            (address(BUILD), NOON, moments[0], moments[1]),
            (upgraded.inventory.builds[0], moments[1], moments[2], moments[3]),
            (address(BUILD), moments[3], moments[3], None),
        ]

    def test_what_was_acknowledged_is_there_after_reopening(self, database: str) -> None:
        with SqlStore.open(database) as store:
            store.put_facts(WEB.records)
            store.apply_reports([received(A, WEB.address, NOON)])
            before = (store.hosts(), store.intervals(A))
        with SqlStore.open(database, create=False) as store:
            assert (store.hosts(), store.intervals(A)) == before
            assert store.missing([WEB.address]) == frozenset()


class TestInconsistentFacts:
    @pytest.mark.parametrize(
        ("crossed", "field"),
        [
            pytest.param(
                replace(WEB.inventory, platform=address(BUILD)), "inventory.platform", id="platform is a build"
            ),
            pytest.param(
                replace(WEB.inventory, installs=address(WEB.platform)),
                "inventory.installs",
                id="installs is platform",
            ),
            pytest.param(replace(WEB.inventory, builds=(WEB.address,)), "inventory.builds", id="build is an inventory"),
        ],
    )
    def test_a_reference_of_the_wrong_kind_is_refused_with_its_field(
        self, store: Store, crossed: Inventory, field: str
    ) -> None:
        store.put_facts([*WEB.records, record(crossed)])
        [outcome] = store.apply_reports([received(A, address(crossed), NOON)])
        assert inconsistency(outcome).field == field
        assert store.hosts() == []

    def test_an_inventory_of_the_wrong_kind_is_refused(self, store: Store) -> None:
        store.put_facts(WEB.records)
        [outcome] = store.apply_reports([received(A, address(WEB.installs), NOON)])
        assert inconsistency(outcome).field == "inventory"
        assert "install_set" in inconsistency(outcome).problem

    def test_an_install_of_a_build_that_is_not_listed_is_refused(self, store: Store) -> None:
        census = replace(WEB, listed=())
        store.put_facts(census.records)
        [outcome] = store.apply_reports([received(A, census.address, NOON)])
        assert inconsistency(outcome).field == "inventory.builds"
        assert "/opt/python/bin/python3" in str(outcome)

    def test_a_refused_report_leaves_the_host_as_it_was(self, store: Store) -> None:
        store.put_facts(WEB.records)
        store.apply_reports([received(A, WEB.address, NOON)])
        before = (store.hosts(), store.intervals(A))
        [outcome] = store.apply_reports([received(A, address(WEB.installs), NOON + timedelta(hours=1))])
        inconsistency(outcome)
        assert (store.hosts(), store.intervals(A)) == before


class TestNames:
    def test_hosts_of_one_name_are_told_apart(self, store: Store) -> None:
        store.put_facts(WEB.records)
        for host_id in ("f00d" * 8, "beef" * 8):
            store.apply_reports([received(host_id, WEB.address, NOON)])
        assert [state.name for state in store.hosts()] == ["web", "web~beefbe"]

    def test_ids_that_begin_alike_give_longer_names(self, store: Store) -> None:
        store.put_facts(WEB.records)
        ids = ["0" * 32, "ab" * 4 + "0" * 24, "ab" * 4 + "1" * 24]
        store.apply_reports([received(host_id, WEB.address, NOON) for host_id in ids])
        assert sorted(state.name for state in store.hosts()) == ["web", "web~ababab", "web~abababab11"]

    def test_a_name_stays_as_long_as_the_hostname(self, store: Store) -> None:
        renamed = Census.of("db", "w", ("/opt/python/bin/python3", BUILD))
        changed = Census.of("web", "w")
        store.put_facts(WEB.records + renamed.records + changed.records)
        store.apply_reports([received(A, WEB.address, NOON), received(B, WEB.address, NOON)])
        store.apply_reports([received(A, renamed.address, NOON + timedelta(hours=1))])
        # Its plain hostname is free now; whoever knows the host as web~bbbbbb must still find it.
        store.apply_reports([received(B, changed.address, NOON + timedelta(hours=2))])
        assert {state.host_id: state.name for state in store.hosts()} == {A: "db", B: "web~bbbbbb"}

    def test_a_new_hostname_gives_a_new_name(self, store: Store) -> None:
        renamed = Census.of("db", "w", ("/opt/python/bin/python3", BUILD))
        store.put_facts(WEB.records + renamed.records)
        store.apply_reports([received(A, WEB.address, NOON), received(B, WEB.address, NOON)])
        store.apply_reports([received(B, renamed.address, NOON + timedelta(hours=1))])
        assert {state.host_id: state.name for state in store.hosts()} == {A: "web", B: "db"}

    def test_no_hostname_can_hide_another_host(self, store: Store) -> None:
        impostor = Census.of(A, "w", ("/opt/python/bin/python3", BUILD))
        store.put_facts(WEB.records + impostor.records)
        store.apply_reports([received(A, WEB.address, NOON), received(B, impostor.address, NOON)])
        found = store.find_host(A)
        assert found is not None
        assert found.host_id == A

    def test_a_hostname_that_looks_like_a_made_name_takes_nothing_away(self, store: Store) -> None:
        squatter = Census.of("web~bbbbbb", "w", ("/opt/python/bin/python3", BUILD))
        store.put_facts(WEB.records + squatter.records)
        store.apply_reports([received(C, squatter.address, NOON), received(A, WEB.address, NOON)])
        store.apply_reports([received(B, WEB.address, NOON)])
        assert {state.host_id: state.name for state in store.hosts()} == {
            A: "web",
            B: "web~bbbbbbbbbb",
            C: "web~bbbbbb",
        }


class TestReading:
    def test_hosts_are_found_by_name_and_by_id(self, store: Store) -> None:
        store.put_facts(WEB.records)
        store.apply_reports([received(A, WEB.address, NOON)])
        [state] = store.hosts()
        assert store.find_host("web") == store.find_host(A) == state
        assert store.find_host("WEB") is None
        assert store.find_host("") is None

    def test_hosts_and_stamps_are_sorted_by_code_point(self, store: Store) -> None:
        names = ["zebra", "Äther", "B", "a", "a-b", "a.b", "ab"]
        ids = [f"{number:032x}" for number in range(len(names))]
        for host_id, name in zip(ids, names, strict=True):
            census = Census.of(name, "s")
            store.put_facts(census.records)
            store.apply_reports([received(host_id, census.address, NOON)])
        expected = sorted(names)
        assert [state.name for state in store.hosts()] == expected
        assert [stamp.name for stamp in store.host_stamps()] == expected
        assert [state.name for state in store.hosts([*ids[:3], "f" * 32])] == sorted(names[:3])

    def test_a_stamp_tells_the_last_report(self, store: Store) -> None:
        store.put_facts(WEB.records)
        store.apply_reports([received(A, WEB.address, NOON)])
        later = NOON + timedelta(microseconds=1)
        store.apply_reports([received(A, WEB.address, later)])
        assert store.host_stamps() == [HostStamp(A, "web", WEB.address, later)]

    def test_a_stamp_is_the_same_object_until_its_host_reports(self, store: Store) -> None:
        """They are asked for at every scrape, and hosts report once an hour."""
        other = Census.of("other", "o")
        store.put_facts([*WEB.records, *other.records])
        store.apply_reports([received(A, WEB.address, NOON), received(B, other.address, NOON)])
        first = {stamp.host_id: stamp for stamp in store.host_stamps()}
        store.apply_reports([received(A, WEB.address, NOON + timedelta(hours=1))])
        second = {stamp.host_id: stamp for stamp in store.host_stamps()}
        assert second[B] is first[B]
        assert second[A] == HostStamp(A, "web", WEB.address, NOON + timedelta(hours=1))

    def test_unknown_hosts_have_no_history(self, store: Store) -> None:
        assert store.intervals("nobody") == []
        assert store.hosts(["nobody"]) == []
        assert store.hosts([]) == []

    def test_the_longest_paths_are_kept(self, store: Store) -> None:
        path = "/" + "ä" * 16_000
        census = Census.with_installs("web", "long", (install(path, BUILD, root="/" + "r" * 16_000),), (BUILD,))
        store.put_facts(census.records)
        assert store.apply_reports([received(A, census.address, NOON)]) == [()]
        assert [interval.path for interval in store.intervals(A)] == [path]


class TestLife:
    def test_a_healthy_store_says_nothing(self, store: Store) -> None:
        store.check()
        store.check()

    def test_a_closed_store_refuses_everything(self, database: str) -> None:
        store = SqlStore.open(database)
        store.close()
        store.close()
        for call in (
            store.host_stamps,
            store.check,
            store.hosts,
            lambda: store.missing(["11" * 32]),
            lambda: store.put_facts(WEB.records),
            lambda: store.apply_reports([received(A, WEB.address, NOON)]),
        ):
            with pytest.raises(StoreError, match="closed"):
                call()

    def test_the_first_moment_of_a_fact_is_kept(self, database: str) -> None:
        moments = iter([NOON, NOON + timedelta(days=1)])
        with SqlStore.open(database, clock=lambda: next(moments)) as store:
            store.put_facts([record(BUILD)])
            store.put_facts([record(BUILD)])
            assert store.facts([address(BUILD)]) == {address(BUILD): BUILD}


FULL = replace(Census.of("full", "f", ("/opt/python/bin/python3", BUILD)), extras=Extras.of("f"))


class TestOtherFacts:
    def test_every_fact_that_an_inventory_names_is_missing_until_it_is_there(self, store: Store) -> None:
        assert FULL.extras is not None
        store.put_facts([record(FULL.inventory)])
        [outcome] = store.apply_reports([received(A, FULL.address, NOON)])
        assert isinstance(outcome, tuple)
        assert set(outcome) == set(FULL.inventory.references)

    def test_the_platforms_of_other_roots_are_missing_too(self, store: Store) -> None:
        assert FULL.extras is not None
        inner = address(FULL.extras.inner)
        store.put_facts([one for one in FULL.records if one.digest != inner])
        assert store.apply_reports([received(A, FULL.address, NOON)]) == [(inner,)]
        store.put_facts([record(FULL.extras.inner)])
        assert store.apply_reports([received(A, FULL.address, NOON)]) == [()]

    def test_a_host_names_and_the_store_returns_them(self, store: Store) -> None:
        assert FULL.extras is not None
        store.put_facts(FULL.records)
        assert store.apply_reports([received(A, FULL.address, NOON)]) == [()]
        [state] = store.hosts()
        assert state.crypto_copies == address(FULL.extras.copies)
        assert state.tools == address(FULL.extras.tools)
        assert state.roots == address(FULL.extras.roots)
        assert state.changelogs == (address(FULL.extras.changelog),)
        facts = store.facts(address(fact) for fact in FULL.extras.facts)
        assert list(facts.values()) != []
        assert {digest: facts[digest] for digest in facts} == {address(fact): fact for fact in FULL.extras.facts}

    def test_an_agent_of_before_has_none_of_them(self, store: Store) -> None:
        store.put_facts(WEB.records)
        store.apply_reports([received(A, WEB.address, NOON)])
        [state] = store.hosts()
        assert (state.crypto_copies, state.tools, state.roots, state.changelogs) == (None, None, None, ())
        assert (state.report.processes_digest, state.report.processes) == (None, None)

    @pytest.mark.parametrize(
        ("field", "changed"),
        [("crypto_copies", "tools"), ("tools", "roots"), ("roots", "crypto_copies"), ("changelogs", "tools")],
    )
    def test_an_address_of_the_wrong_kind_is_a_contradiction(self, store: Store, field: str, changed: str) -> None:
        wrong = getattr(FULL.inventory, changed)
        fields: dict[str, Any] = {field: (wrong,) if field == "changelogs" else wrong}
        inventory = replace(FULL.inventory, **fields)
        store.put_facts([*FULL.records, record(inventory)])
        [outcome] = store.apply_reports([received(A, address(inventory), NOON)])
        assert inconsistency(outcome).field == f"inventory.{field}"

    def test_a_root_whose_platform_is_none_is_a_contradiction(self, store: Store) -> None:
        assert FULL.extras is not None
        roots = RootSet((ScannedRoot("/", RootKind.HOST, platform=address(BUILD)),))
        inventory = replace(FULL.inventory, roots=address(roots))
        store.put_facts([*FULL.records, record(roots), record(inventory)])
        [outcome] = store.apply_reports([received(A, address(inventory), NOON)])
        assert inconsistency(outcome).field == "inventory.roots.platform"


IDLE, BUSY = running("idle.service"), running("busy.service")


class TestProcesses:
    def test_what_runs_is_kept_and_stays_while_reports_name_it(self, store: Store) -> None:
        store.put_facts(WEB.records)
        first = received(A, WEB.address, NOON, processes=IDLE)
        second = received(A, WEB.address, NOON + timedelta(hours=1), named=IDLE)
        assert store.apply_reports([first]) == [()]
        assert store.apply_reports([second]) == [()]
        state = store.find_host("web")
        assert state is not None
        assert state.report == replace(second.report, processes=IDLE)
        [listed] = store.hosts()
        assert listed.report == second.report
        assert listed.outdated_processes == state.outdated_processes == 2

    def test_a_set_that_is_only_named_is_asked_for(self, store: Store) -> None:
        store.put_facts(WEB.records)
        digest = received(A, WEB.address, NOON, named=IDLE).report.processes_digest
        assert store.apply_reports([received(A, WEB.address, NOON, named=IDLE)]) == [(digest,)]
        assert store.hosts() == []
        assert store.apply_reports([received(A, WEB.address, NOON, processes=IDLE)]) == [()]
        later = NOON + timedelta(hours=1)
        changed = received(A, WEB.address, later, named=BUSY)
        assert store.apply_reports([changed]) == [(changed.report.processes_digest,)]
        [state] = store.hosts()
        assert state.last_report == NOON

    def test_it_is_asked_for_together_with_missing_facts(self, store: Store) -> None:
        report = received(A, WEB.address, NOON, named=IDLE)
        assert store.apply_reports([report]) == [(WEB.address, report.report.processes_digest)]

    def test_one_host_does_not_have_what_another_told(self, store: Store) -> None:
        store.put_facts(WEB.records)
        store.apply_reports([received(A, WEB.address, NOON, processes=IDLE)])
        [outcome] = store.apply_reports([received(B, WEB.address, NOON, named=IDLE)])
        assert outcome != ()

    def test_a_report_that_did_not_look_tells_nothing_of_what_runs(self, store: Store) -> None:
        store.put_facts(WEB.records)
        store.apply_reports([received(A, WEB.address, NOON, processes=IDLE)])
        store.apply_reports([received(A, WEB.address, NOON + timedelta(hours=1))])
        state = store.find_host(A)
        assert state is not None
        assert (state.report.processes_digest, state.report.processes, state.outdated_processes) == (None, None, None)
        [outcome] = store.apply_reports([received(A, WEB.address, NOON + timedelta(hours=2), named=IDLE)])
        assert outcome != ()

    @pytest.mark.parametrize("together", [True, False], ids=["one-batch", "one-by-one"])
    def test_it_follows_the_last_report_through_changes_of_facts(self, store: Store, *, together: bool) -> None:
        upgraded = Census.of("web", "w", ("/opt/python/bin/python3", build("20260301", "3.12.5")))
        store.put_facts(WEB.records + upgraded.records)
        reports = [
            received(A, WEB.address, NOON, processes=IDLE),
            received(A, WEB.address, NOON + timedelta(hours=1), processes=BUSY),
            received(A, upgraded.address, NOON + timedelta(hours=2), named=BUSY),
            received(B, WEB.address, NOON, processes=IDLE),
            received(B, upgraded.address, NOON + timedelta(hours=2), processes=BUSY),
            received(B, upgraded.address, NOON + timedelta(hours=3), processes=IDLE),
        ]
        outcomes = store.apply_reports(reports) if together else [store.apply_reports([one])[0] for one in reports]
        assert outcomes == [()] * 6
        for host_id, expected in ((A, BUSY), (B, IDLE)):
            state = store.find_host(host_id)
            assert state is not None
            assert state.report.processes == expected

    def test_a_straggler_does_not_bring_back_what_ran_before(self, store: Store) -> None:
        store.put_facts(WEB.records)
        store.apply_reports([received(A, WEB.address, NOON, processes=BUSY)])
        assert store.apply_reports([received(A, WEB.address, NOON - timedelta(minutes=1), processes=IDLE)]) == [()]
        state = store.find_host(A)
        assert state is not None
        assert state.report.processes == BUSY

    def test_an_empty_set_is_something_else_than_none(self, store: Store) -> None:
        store.put_facts(WEB.records)
        store.apply_reports([received(A, WEB.address, NOON, processes=ProcessSet())])
        state = store.find_host(A)
        assert state is not None
        assert (state.report.processes, state.outdated_processes) == (ProcessSet(), 0)
