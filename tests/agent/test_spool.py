"""The spool keeps what was not acknowledged, shares facts, keeps its bounds, and says what it gave up."""

from __future__ import annotations

import logging
import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from libcensus.agent.spool import Dropped, HeldFacts, Spool
from libcensus.facts.codec import encode_fact, process_set_digest
from libcensus.facts.digest import FactKind
from libcensus.facts.host import Host, Inventory
from libcensus.facts.interpreter import InstallSet
from libcensus.facts.platform import Platform
from libcensus.facts.process import ProcessGroup, ProcessSet
from libcensus.facts.report import Report
from libcensus.facts.root import RootSet, ScannedRoot
from libcensus.facts.vocabulary import MappingState, RootKind

if TYPE_CHECKING:
    from pathlib import Path

    from libcensus.agent.spool import AddressedFact

START = datetime(2026, 1, 1, tzinfo=UTC)


def facts_of(hostname: str) -> list[AddressedFact]:
    platform, installs = encode_fact(Platform(kernel="6.1")), encode_fact(InstallSet())
    inventory = Inventory(host=Host(hostname=hostname), platform=platform[1], installs=installs[1])
    return [encode_fact(inventory), platform, installs]


def report_of(facts: list[AddressedFact], hours: int = 0) -> Report:
    return Report(
        report_id=secrets.token_bytes(16),
        agent_version="0.1.0",
        scanned_at=START + timedelta(hours=hours),
        scan_seconds=1.0,
        inventory=facts[0][1],
    )


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", max_reports=3, max_bytes=1_000_000)


def kept_facts(spool: Spool) -> set[str]:
    return {path.name.split(".")[0] for path in (spool.folder / "facts").iterdir()}


def test_an_empty_spool_has_nothing(spool: Spool) -> None:
    assert (spool.waiting(), spool.total_bytes, spool.dropped) == ([], 0, Dropped())
    assert spool.size("0" * 64) is None
    with pytest.raises(KeyError):
        spool.read("0" * 64)


def test_a_report_comes_back_with_its_facts(spool: Spool) -> None:
    facts = facts_of("a")
    report = report_of(facts)
    spool.add(report, facts)
    assert [one.report for one in spool.waiting()] == [report]
    for kind, digest, payload in facts:
        assert spool.size(digest) == len(payload)
        assert spool.read(digest) == (kind, payload)
    for path in spool.folder.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_the_oldest_scan_comes_first_whatever_the_order_of_adding(spool: Spool) -> None:
    facts = facts_of("a")
    for hours in (2, 0, 1):
        spool.add(report_of(facts, hours), facts)
    assert [one.report.scanned_at.hour for one in spool.waiting()] == [0, 1, 2]


def test_reports_of_an_unchanged_host_share_their_facts(spool: Spool) -> None:
    facts = facts_of("a")
    spool.add(report_of(facts, 0), facts)
    alone = spool.total_bytes
    spool.add(report_of(facts, 1), facts)
    assert spool.total_bytes - alone < 200
    assert len(kept_facts(spool)) == 3


def test_removing_a_report_keeps_the_facts_that_another_needs(spool: Spool) -> None:
    facts, others = facts_of("a"), facts_of("b")
    first = spool.add(report_of(facts, 0), facts)
    second = spool.add(report_of(others, 1), others)
    spool.remove(first)
    assert kept_facts(spool) == {digest for _, digest, _ in others}
    spool.remove(second)
    spool.remove(second)
    assert kept_facts(spool) == set()
    assert spool.total_bytes == 0


def test_the_platforms_of_other_roots_stay_as_long_as_a_report_needs_them(spool: Spool) -> None:
    platform, installs = encode_fact(Platform(kernel="6.1")), encode_fact(InstallSet())
    inner = encode_fact(Platform(arch="aarch64"))
    roots = encode_fact(
        RootSet(
            (
                ScannedRoot("/", RootKind.HOST, platform=platform[1]),
                ScannedRoot("/srv/x", RootKind.FOLDER, platform=inner[1]),
            )
        )
    )
    inventory = Inventory(Host(hostname="a"), platform[1], installs[1], roots=roots[1])
    facts = [encode_fact(inventory), platform, installs, roots, inner]
    first = spool.add(report_of(facts, 0), facts)
    spool.add(report_of(facts, 1), facts)
    spool.remove(first)
    assert kept_facts(spool) == {digest for _, digest, _ in facts}


def test_a_kept_report_keeps_what_ran(spool: Spool) -> None:
    facts = facts_of("a")
    running = ProcessSet((ProcessGroup("/", "/usr/bin/python3.11", MappingState.DELETED, 2),))
    report = replace(report_of(facts), processes_digest=process_set_digest(running), processes=running)
    spool.add(report, facts)
    assert [one.report for one in spool.waiting()] == [report]


def test_beyond_its_number_the_oldest_are_given_up_and_counted(
    spool: Spool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("libcensus"), "propagate", True)
    caplog.set_level(logging.WARNING, logger="libcensus")
    reports = []
    for hours in range(5):
        facts = facts_of(f"host-{hours}")
        reports.append(report_of(facts, hours))
        spool.add(reports[-1], facts)
    assert [one.report for one in spool.waiting()] == reports[2:]
    assert (spool.dropped.reports, spool.dropped.facts) == (2, 0)
    assert "the 1 oldest reports that no collector has acknowledged were given up" in caplog.text
    inventories = {one.inventory for one in reports[2:]}
    assert inventories <= kept_facts(spool)
    assert reports[0].inventory not in kept_facts(spool)


def test_beyond_its_bytes_the_oldest_are_given_up_and_the_newest_stays(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", max_reports=100, max_bytes=600)
    for hours in range(6):
        facts = facts_of("h" * 200 + str(hours))
        spool.add(report_of(facts, hours), facts)
    waiting = spool.waiting()
    assert waiting[-1].report.scanned_at == START + timedelta(hours=5)
    assert len(waiting) + spool.dropped.reports == 6
    assert spool.dropped.reports > 0
    tiny = Spool(tmp_path / "tiny", max_reports=100, max_bytes=1)
    facts = facts_of("a")
    tiny.add(report_of(facts), facts)
    assert len(tiny.waiting()) == 1


@pytest.mark.parametrize("content", [b"", b"\xff\xff\xff", b"half"], ids=["empty", "no-protobuf", "text"])
def test_a_damaged_report_is_passed_over_and_removed_when_told(content: bytes, spool: Spool) -> None:
    facts = facts_of("a")
    damaged = spool.add(report_of(facts, 0), facts)
    whole = spool.add(report_of(facts, 1), facts)
    damaged.file.write_bytes(content)
    assert spool.waiting() == [whole]
    assert damaged.file.exists()
    assert spool.discard_damaged() == 1
    assert not damaged.file.exists()
    assert (spool.dropped.reports, spool.discard_damaged()) == (1, 0)


def test_a_report_that_cannot_be_read_is_damaged(spool: Spool) -> None:
    facts = facts_of("a")
    kept = spool.add(report_of(facts), facts)
    kept.file.unlink()
    kept.file.mkdir()
    assert spool.waiting() == []


def test_a_damaged_fact_is_as_good_as_none(spool: Spool) -> None:
    facts = facts_of("a")
    spool.add(report_of(facts), facts)
    kind, digest, _ = facts[1]
    (spool.folder / "facts" / f"{digest}.{kind}").write_bytes(b"other")
    with pytest.raises(KeyError):
        spool.read(digest)


def test_a_report_whose_inventory_is_lost_keeps_no_facts_of_its_own(spool: Spool) -> None:
    facts, others = facts_of("a"), facts_of("b")
    spool.add(report_of(facts, 0), facts)
    second = spool.add(report_of(others, 1), others)
    (spool.folder / "facts" / f"{facts[0][1]}.inventory").unlink()
    spool.remove(second)
    assert kept_facts(spool) == set()


def test_an_interrupted_write_leaves_no_report_and_no_harm(spool: Spool) -> None:
    facts = facts_of("a")
    spool.add(report_of(facts), facts)
    (spool.folder / "reports" / ".new-abc").write_bytes(b"half a rep")
    assert len(spool.waiting()) == 1
    assert spool.discard_damaged() == 0
    assert not (spool.folder / "reports" / ".new-abc").exists()


def test_a_full_disk_is_told_to_the_caller(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file where the folder should be")
    facts = facts_of("a")
    with pytest.raises(OSError, match="File exists"):
        Spool(tmp_path / "spool", max_reports=1, max_bytes=1).add(report_of(facts), facts)


def test_facts_in_memory_answer_like_the_spool() -> None:
    facts = facts_of("a")
    held = HeldFacts(facts)
    for kind, digest, payload in facts:
        assert held.size(digest) == len(payload)
        assert held.read(digest) == (kind, payload)
    assert held.size("0" * 64) is None
    with pytest.raises(KeyError):
        held.read("0" * 64)


def test_the_report_of_a_later_version_is_kept_as_it_is(spool: Spool) -> None:
    facts = facts_of("a")
    report = replace(report_of(facts), agent_version="9.9.9")
    spool.add(report, facts)
    assert spool.waiting()[0].report.agent_version == "9.9.9"
    assert spool.read(facts[0][1])[0] is FactKind.INVENTORY


# --- facts that the collector has ------------------------------------------------------------------------------------


def facts_with(kernel: str, shared: list[AddressedFact]) -> list[AddressedFact]:
    """A host like another one, but for its platform."""
    platform = encode_fact(
        Platform(kernel=kernel, loaders=tuple(f"/{kernel}/{'x' * 80}/{one:02d}" for one in range(50)))
    )
    inventory = Inventory(Host(hostname="a"), platform[1], shared[2][1])
    return [encode_fact(inventory), platform, shared[2]]


def test_facts_that_the_collector_has_go_before_any_report(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = Spool(tmp_path / "spool", max_reports=100, max_bytes=1_000_000)
    first = facts_with("6.1", facts_of("a"))
    spool.add(report_of(first, 0), first)
    spool.note_known(first[0][1])
    spool.remove(spool.waiting()[0])
    # The same host again, which nobody takes any more, and then another kernel.
    unchanged = spool.add(report_of(first, 1), first).report
    second = facts_with("6.2", facts_of("a"))
    tight = Spool(tmp_path / "spool", max_reports=100, max_bytes=spool.total_bytes + 400)
    changed = tight.add(report_of(second, 2), second).report
    assert [one.report for one in tight.waiting()] == [unchanged, changed]
    assert first[1][1] not in kept_facts(tight)
    assert {digest for _, digest, _ in second} <= kept_facts(tight)
    assert first[0][1] in kept_facts(tight)
    assert (tight.dropped.reports, tight.dropped.facts) == (0, 1)
    assert tight.dropped.last is not None
    assert "and 1 facts that it knows" in caplog.text
    assert tight.total_bytes <= spool.total_bytes + 400


def test_facts_that_nobody_has_are_given_up_with_their_report_alone(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", max_reports=100, max_bytes=1_000_000)
    first, second = facts_with("6.1", facts_of("a")), facts_with("6.2", facts_of("a"))
    spool.add(report_of(first, 1), first)
    tight = Spool(tmp_path / "spool", max_reports=100, max_bytes=spool.total_bytes + 400)
    changed = tight.add(report_of(second, 2), second).report
    assert [one.report for one in tight.waiting()] == [changed]
    assert (tight.dropped.reports, tight.dropped.facts) == (1, 0)


def test_what_was_given_up_is_remembered_for_good(spool: Spool) -> None:
    spool.folder.mkdir()
    (spool.folder / "dropped").write_text("12")
    assert spool.dropped == Dropped(12)
    spool.count_dropped(reports=2, facts=3)
    again = Spool(spool.folder, max_reports=3, max_bytes=1).dropped
    assert (again.reports, again.facts) == (14, 3)
    (spool.folder / "dropped").write_text("nonsense")
    assert spool.dropped == Dropped()


def test_what_the_collector_has_is_written_only_when_it_changed(spool: Spool) -> None:
    facts = facts_of("a")
    spool.add(report_of(facts), facts)
    spool.note_known(facts[0][1])
    known = spool.folder / "known"
    before = known.stat()
    spool.note_known(facts[0][1])
    assert known.stat().st_ino == before.st_ino
    assert set(known.read_text().split()) == {digest for _, digest, _ in facts}
