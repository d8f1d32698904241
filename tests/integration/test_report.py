"""Reports of an agent to a real collector: nothing is sent twice, and nothing that was not acknowledged is lost."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from libcensus.agent import delivery, transport
from libcensus.agent.commands.status import judge
from libcensus.agent.delivery import Courier, make_report
from libcensus.agent.errors import ConfigurationError, IdentityError, RefusedError, UnreachableError
from libcensus.agent.identity import find_identity
from libcensus.collector.app import Collector
from libcensus.collector.config import CollectorSettings
from libcensus.collector.store.sql import SqlStore
from libcensus.facts.codec import encode_fact, encode_report
from libcensus.facts.host import Host
from libcensus.facts.platform import Platform
from libcensus.facts.process import ProcessSet
from libcensus.facts.report import ProbeResult, SkipCount
from libcensus.facts.root import RootSet, ScannedRoot
from libcensus.facts.vocabulary import ProbeState, RootKind
from tests.integration.reporting_host import START, config_for, running, scan_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcensus.agent.scan import Scan


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/collector.db"


def start(database: str) -> Collector:
    collector = Collector(CollectorSettings(listen="127.0.0.1:0", http_listen="127.0.0.1:0", database=database))
    collector.start()
    return collector


@pytest.fixture
def collector(database: str) -> Iterator[Collector]:
    running = start(database)
    yield running
    running.stop()


def courier_for(collector: Collector, tmp_path: Path) -> Courier:
    return Courier(config_for(collector.grpc_address, tmp_path / "state"))


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address at which nobody answers: the port is taken, and nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def stored(database: str) -> dict[str, Any]:
    with SqlStore.open(database) as store:
        (host,) = store.hosts()
        return {
            "report": host.report,
            "builds": host.builds,
            "id": host.host_id,
            "intervals": store.intervals(host.host_id),
        }


def test_the_first_report_brings_every_fact_and_the_second_none(
    collector: Collector, tmp_path: Path, database: str
) -> None:
    courier = courier_for(collector, tmp_path)
    first = courier.deliver(lambda: scan_of(1, 2))
    assert first.acknowledgement.uploaded_facts == 8
    second = courier.deliver(lambda: scan_of(1, 2, hour=1))
    assert second.acknowledgement.uploaded_facts == 0
    assert second.acknowledgement.request_bytes + second.acknowledgement.response_bytes < 1024
    assert courier.spool.waiting() == []
    assert courier.spool.total_bytes == 0
    collector.stop()
    found = stored(database)
    assert found["report"] == second.report
    assert found["id"] == find_identity(tmp_path / "state").host_id
    assert len(found["builds"]) == 2


def test_a_change_brings_only_what_is_new(collector: Collector, tmp_path: Path) -> None:
    courier = courier_for(collector, tmp_path)
    courier.deliver(lambda: scan_of(1, 2))
    changed = courier.deliver(lambda: scan_of(1, 2, 3, hour=1))
    assert changed.acknowledgement.uploaded_facts == 3  # the inventory, the installs, one build


def test_another_host_with_the_same_builds_sends_none_of_them(collector: Collector, tmp_path: Path) -> None:
    courier_for(collector, tmp_path).deliver(lambda: scan_of(1, 2))
    other = Courier(config_for(collector.grpc_address, tmp_path / "other"))
    sent = other.deliver(lambda: replace(scan_of(1, 2), host=Host(hostname="other")))
    assert sent.acknowledgement.uploaded_facts == 1  # its inventory


def test_a_host_with_many_builds_arrives_whole_in_several_uploads(
    collector: Collector, tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "BATCH_FACTS", 50)
    courier = courier_for(collector, tmp_path)
    delivered = courier.deliver(lambda: scan_of(*range(1, 201)))
    assert delivered.acknowledgement.uploaded_facts == 206
    collector.stop()
    assert len(stored(database)["builds"]) == 200


def test_what_could_not_be_sent_is_sent_later_oldest_first(tmp_path: Path, database: str, nowhere: str) -> None:
    courier = Courier(config_for(nowhere, tmp_path / "state"))
    for hour, numbers in enumerate([(1,), (1, 2)]):
        with pytest.raises(UnreachableError, match=r"the report is kept in .*spool and will be sent") as caught:
            courier.deliver(lambda numbers=numbers, hour=hour: scan_of(*numbers, hour=hour))  # type: ignore[misc]
        assert caught.value.exit_code == 4
        assert len(courier.spool.waiting()) == hour + 1
    collector = start(database)
    delivered = courier_for(collector, tmp_path).deliver(lambda: scan_of(2, hour=2))
    collector.stop()
    assert (delivered.older_sent, delivered.older_refused) == (2, 0)
    assert courier.spool.waiting() == []
    found = stored(database)
    assert found["report"] == delivered.report
    seen = {interval.path: interval for interval in found["intervals"]}
    assert set(seen) == {"/opt/python-00001/bin/python3", "/opt/python-00002/bin/python3"}
    assert seen["/opt/python-00001/bin/python3"].gone_at is not None
    assert seen["/opt/python-00002/bin/python3"].gone_at is None


def test_what_one_collector_has_is_not_taken_for_what_another_has(
    collector: Collector, tmp_path: Path, nowhere: str
) -> None:
    courier = courier_for(collector, tmp_path)
    delivered = courier.deliver(lambda: scan_of(1))
    known = courier.spool.folder / "known"
    assert delivered.report.inventory in known.read_text()
    with pytest.raises(UnreachableError):
        Courier(config_for(nowhere, tmp_path / "state")).deliver(lambda: scan_of(1, hour=1))
    assert not known.exists()


def test_a_report_is_in_the_spool_before_anything_is_sent(tmp_path: Path, database: str) -> None:
    found: list[int] = []

    def refuse_to_connect(host_id: str, _credentials: object) -> Any:
        found.append(len(courier.spool.waiting()))
        raise UnreachableError(f"no way out for {host_id}")

    courier = Courier(config_for("127.0.0.1:1", tmp_path / "state"), refuse_to_connect)
    with pytest.raises(UnreachableError):
        courier.deliver(lambda: scan_of(1))
    assert found == [1]


def test_an_agent_that_died_between_sending_and_forgetting_sends_again_without_harm(
    collector: Collector, tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    courier = courier_for(collector, tmp_path)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(courier.spool, "remove", die)
        with pytest.raises(KeyboardInterrupt):
            courier.deliver(lambda: scan_of(1))
    assert len(courier.spool.waiting()) == 1
    again = courier_for(collector, tmp_path).deliver(lambda: scan_of(1, hour=1))
    assert again.older_sent == 1
    collector.stop()
    assert len(stored(database)["intervals"]) == 1


def test_a_waiting_report_whose_facts_are_lost_is_dropped_and_does_not_block(
    collector: Collector, tmp_path: Path, nowhere: str
) -> None:
    courier = Courier(config_for(nowhere, tmp_path / "state"))
    with pytest.raises(UnreachableError):
        courier.deliver(lambda: scan_of(1))
    for file in (courier.spool.folder / "facts").iterdir():
        file.unlink()
    delivered = courier_for(collector, tmp_path).deliver(lambda: scan_of(2, hour=1))
    assert (delivered.older_sent, delivered.older_refused) == (0, 1)
    assert courier.spool.waiting() == []


def test_a_report_that_the_collector_refuses_is_dropped_and_told(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = delivery.make_report

    def lying(scan: Scan) -> Any:
        report, facts = real(scan)
        kind, digest, payload = facts[-1]
        return report, [*facts[:-1], (kind, digest, payload + b"\x92\x3f\x00")]

    monkeypatch.setattr(delivery, "make_report", lying)
    courier = Courier(config_for(collector.grpc_address, tmp_path / "state"))
    with pytest.raises(RefusedError, match="the report was dropped") as caught:
        courier.deliver(lambda: scan_of(1))
    assert caught.value.exit_code == 70
    assert courier.spool.waiting() == []
    assert courier.state.read()["last_failure"]["kind"] == "refused"


def test_a_full_disk_does_not_stop_a_report(
    collector: Collector, tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    courier = courier_for(collector, tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(courier.spool, "add", full)
    monkeypatch.setattr("libcensus.agent.state.write_durably", full)
    delivered = courier.deliver(lambda: scan_of(1))
    collector.stop()
    assert stored(database)["report"] == delivered.report


def test_a_full_disk_and_no_collector_is_told_as_both(
    tmp_path: Path, nowhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    courier = Courier(config_for(nowhere, tmp_path / "state"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(courier.spool, "add", full)
    with pytest.raises(UnreachableError, match=r"could not be kept in .* either: free some space"):
        courier.deliver(lambda: scan_of(1))


def test_what_would_stop_the_delivery_is_found_before_the_scan(tmp_path: Path) -> None:
    scanned: list[bool] = []

    def scan() -> Scan:
        scanned.append(True)
        return scan_of(1)

    with pytest.raises(IdentityError):
        Courier(config_for("192.0.2.1:9444", tmp_path / "state")).deliver(scan)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError):
        Courier(config_for("127.0.0.1:1", tmp_path / "file" / "state")).deliver(scan)
    assert not scanned


@pytest.mark.parametrize(
    ("deliver", "failed", "code", "word"),
    [(True, False, 0, "ok"), (True, True, 6, "partial"), (False, False, 4, "waiting")],
    ids=["ok", "partial", "waiting"],
)
def test_the_status_tells_how_it_went(
    deliver: bool, failed: bool, code: int, word: str, tmp_path: Path, collector: Collector, nowhere: str
) -> None:
    courier = Courier(config_for(collector.grpc_address if deliver else nowhere, tmp_path / "state"))
    scan = scan_of(1)
    if failed:
        scan = replace(scan, probes=(ProbeResult("packages", ProbeState.FAILED, 0.1, "status file is damaged"),))
    if deliver:
        courier.deliver(lambda: scan)
    else:
        with pytest.raises(UnreachableError):
            courier.deliver(lambda: scan)
    state = courier.state.read()
    waiting = len(courier.spool.waiting())
    assert judge(state, waiting, None, START) == (code, word)
    if deliver:
        assert state["last_acknowledged"]["inventory"] == encode_fact(scan.inventory())[1]
        assert state["last_failure"] is None
        old = START + timedelta(hours=3)
        assert judge({**state, "last_scan": None}, waiting, 2.5, old) == (1, "too-old")
        assert judge({**state, "last_scan": None}, waiting, 3.5, old) == (0, "ok")
    json.dumps(state)


def test_status_of_an_agent_that_never_reported_or_was_not_accepted() -> None:
    assert judge({}, 0, None, START) == (4, "never-reported")
    assert judge({"last_failure": {"kind": "identity"}}, 3, None, START) == (5, "identity-refused")


def test_a_report_names_every_fact_of_its_scan_once() -> None:
    scan = scan_of(1, 2)
    scan = replace(
        scan, probes=(ProbeResult("walk", ProbeState.OK, 1.0, skips=(SkipCount("unreadable", 3, ("/a: denied",)),)),)
    )
    report, facts = make_report(scan)
    assert report.inventory == facts[0][1]
    assert {digest for _, digest, _ in facts[1:]} == set(scan.inventory().references)
    assert report.probes == scan.probes
    assert make_report(scan)[0].report_id != report.report_id


def many_skips(reasons: int, examples: int, width: int) -> Scan:
    skips = tuple(
        SkipCount(f"reason-{reason:02d}", 7, tuple(f"/{reason}/{one}/{'x' * width}" for one in range(examples)))
        for reason in range(reasons)
    )
    return replace(scan_of(1), probes=(ProbeResult("walk", ProbeState.OK, 1.0, skips=skips),))


@pytest.mark.parametrize(
    ("reasons", "examples", "width"), [(1, 1, 10), (3, 5, 40), (10, 5, 200), (20, 5, 4000)], ids=str
)
def test_a_report_stays_small_whatever_was_passed_over(reasons: int, examples: int, width: int) -> None:
    scan = many_skips(reasons, examples, width)
    report, _ = make_report(scan)
    assert len(encode_report(report)) <= delivery.REPORT_BYTES
    assert [(skip.reason, skip.count) for skip in report.probes[0].skips] == [
        (skip.reason, skip.count) for skip in scan.probes[0].skips
    ]
    for kept, found in zip(report.probes[0].skips, scan.probes[0].skips, strict=True):
        assert set(kept.examples) <= set(found.examples)
    if width < 40:
        assert report.probes == scan.probes


def test_every_reason_has_an_example_before_any_has_two() -> None:
    report, _ = make_report(many_skips(4, 5, 60))
    numbers = [len(skip.examples) for skip in report.probes[0].skips]
    assert min(numbers) >= 1
    assert max(numbers) - min(numbers) <= 1


# --- what runs, and the roots in a root -------------------------------------------------------------------------------


def test_what_runs_is_told_when_it_changed_and_survives_in_the_spool(
    tmp_path: Path, database: str, nowhere: str
) -> None:
    state = tmp_path / "state"
    kept = replace(scan_of(1), processes=running(1))
    with pytest.raises(UnreachableError):
        Courier(config_for(nowhere, state)).deliver(lambda: kept)
    collector = start(database)
    courier = courier_for(collector, tmp_path)
    assert courier.spool.waiting()[0].report.processes == running(1)
    first = courier.deliver(lambda: replace(scan_of(1, hour=1), processes=running(2)))
    assert first.older_sent == 1
    same = courier.deliver(lambda: replace(scan_of(1, hour=2), processes=running(2)))
    assert same.acknowledgement.request_bytes < first.acknowledgement.request_bytes
    assert same.acknowledgement.uploaded_facts == 0
    collector.stop()
    with SqlStore.open(database) as store:
        found = store.find_host("reporter")
        assert found is not None
        assert found.report.report_id == same.report.report_id
        assert found.report.processes == running(2)


def test_a_collector_that_lost_its_database_is_told_again_what_runs(
    collector: Collector, tmp_path: Path, database: str
) -> None:
    courier = courier_for(collector, tmp_path)
    scan = replace(scan_of(1), processes=running(3))
    courier.deliver(lambda: scan)
    address = collector.grpc_address
    collector.stop()
    other = f"sqlite:///{tmp_path}/other.db"
    anew = Collector(CollectorSettings(listen=address, http_listen="127.0.0.1:0", database=other))
    anew.start()
    courier.deliver(lambda: replace(scan, scanned_at=START + timedelta(hours=1)))
    anew.stop()
    with SqlStore.open(other) as store:
        found = store.find_host("reporter")
        assert found is not None
        assert found.report.processes == running(3)


def test_an_unchanged_host_on_which_much_runs_costs_no_more_than_the_digest(
    collector: Collector, tmp_path: Path
) -> None:
    courier = courier_for(collector, tmp_path)
    busy = ProcessSet(tuple(group for number in range(200) for group in running(number).groups))
    courier.deliver(lambda: replace(scan_of(1), processes=busy))
    again = courier.deliver(lambda: replace(scan_of(1, hour=1), processes=busy))
    assert again.acknowledgement.request_bytes + again.acknowledgement.response_bytes < 1024
    assert len(again.report.probes) == 1


def test_the_platforms_of_roots_in_the_root_arrive_with_them(
    collector: Collector, tmp_path: Path, database: str
) -> None:
    inner = Platform(arch="aarch64", libc_version="2.31")
    digest = encode_fact(inner)[1]
    roots = RootSet((ScannedRoot("/", RootKind.HOST), ScannedRoot("/srv/image", RootKind.FOLDER, platform=digest)))
    scan = replace(scan_of(1), roots=roots, platforms={digest: inner})
    delivered = courier_for(collector, tmp_path).deliver(lambda: scan)
    assert delivered.acknowledgement.uploaded_facts == 8
    collector.stop()
    with SqlStore.open(database) as store:
        [host] = store.hosts()
        assert host.roots is not None
        assert store.facts([host.roots, digest]) == {host.roots: roots, digest: inner}


# --- the command itself -----------------------------------------------------------------------------------------------

ROOT = Path(__file__).resolve().parents[2]
AGENT = Path(sys.prefix) / "bin" / "libcensus-agent"
ELSEWHERE = ("/root", "/home", "/var", "/srv", "/opt", "/tmp", "/mnt", "/media", "/work", "/workspace", "/builds")


def agent(*arguments: str, state: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LIBCENSUS_")}
    environment["LIBCENSUS_AGENT_STATE_FOLDER"] = str(state)
    environment["LIBCENSUS_AGENT_SCAN_EXCLUDE"] = ":".join(ELSEWHERE)
    # What other tests start and end on this machine is no change of the host that these are about.
    environment["LIBCENSUS_AGENT_SCAN_CONTAINERS"] = environment["LIBCENSUS_AGENT_SCAN_PROCESSES"] = "false"
    environment["LIBCENSUS_AGENT_COLLECTOR_ATTEMPTS"] = "2"
    return subprocess.run(
        [AGENT, *arguments], capture_output=True, text=True, check=False, timeout=200, env=environment
    )


def status_of(state: Path) -> tuple[int, dict[str, Any]]:
    result = agent("status", "--output", "json", state=state)
    return result.returncode, json.loads(result.stdout)


def test_the_command_reports_this_host_keeps_what_it_cannot_send_and_sends_it_later(
    tmp_path: Path, database: str, nowhere: str
) -> None:
    state = tmp_path / "state"
    collector = start(database)
    address = collector.grpc_address
    first = agent("report", "--collector", address, state=state)
    assert first.returncode == 0, first.stderr
    assert f"acknowledged by {address} (collector " in first.stdout
    assert not first.stderr
    assert status_of(state)[0] == 0

    kept = agent("report", "--collector", nowhere, "--log-level", "info", state=state)
    assert kept.returncode == 4
    assert not kept.stdout
    told = kept.stderr.splitlines()
    assert "attempt 2 of 2 follows" in told[0]
    assert told[-1].startswith(f"libcensus-agent: error: collector {nowhere} cannot be reached (2 attempts)")
    assert f"the report is kept in {state}/spool" in told[-1]
    code, status = status_of(state)
    assert (code, status["state"], len(status["spool"]["waiting"])) == (4, "waiting", 1)
    assert "waiting: 1 reports, the oldest of " in agent("status", state=state).stdout

    last = agent("report", "--collector", address, state=state)
    collector.stop()
    assert last.returncode == 0, last.stderr
    assert ", after 1 that waited: 0 facts uploaded" in last.stdout
    code, status = status_of(state)
    assert (code, status["state"], status["spool"]["waiting"], status["spool"]["bytes"]) == (0, "ok", [], 0)
    shown = agent("status", state=state).stdout
    assert "last acknowledged: " in shown
    assert f" by {address} " in shown
    found = stored(database)
    assert found["report"].report_id.hex() == status["last_acknowledged"]["report_id"]
    assert found["intervals"]


def test_an_unchanged_host_costs_less_than_a_kibibyte_and_is_unchanged(tmp_path: Path, database: str) -> None:
    collector = start(database)
    sizes = []
    for _ in range(2):
        result = agent("report", "--collector", collector.grpc_address, state=tmp_path / "state")
        assert result.returncode == 0, result.stderr
        sizes.append([int(number) for number in re.findall(r"(\d+) (?:facts|bytes sent|received)", result.stdout)])
    collector.stop()
    assert sizes[0][0] > 0
    assert sizes[1][0] == 0
    assert sum(sizes[1][1:]) < 1024


# --- death ------------------------------------------------------------------------------------------------------------

DYING = """
import os, sys
from libcensus.agent.delivery import Courier
from tests.integration.reporting_host import config_for, scan_of
from pathlib import Path
die_at, address, state = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
count = 0
real = {name: getattr(os, name) for name in ("fsync", "replace", "rename", "unlink")}
def counting(name):
    def call(*arguments, **options):
        global count
        count += 1
        if count == die_at:
            os._exit(99)
        return real[name](*arguments, **options)
    return call
for name in real:
    setattr(os, name, counting(name))
Courier(config_for(address, state)).deliver(lambda: scan_of(1))
print(count)
"""


def test_an_agent_that_dies_at_any_step_loses_nothing_and_leaves_nothing_behind(tmp_path: Path, database: str) -> None:
    collector = start(database)
    for die_at in range(1, 100, 2):
        state = tmp_path / f"state-{die_at}"
        command = [sys.executable, "-c", DYING, str(die_at), collector.grpc_address, str(state)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=ROOT)
        if done.returncode == 0:
            break
        assert done.returncode == 99, done.stderr
        courier = Courier(config_for(collector.grpc_address, state))
        waiting = courier.spool.waiting()
        assert len(waiting) <= 1
        delivered = courier.deliver(lambda: scan_of(1, 2, hour=1))
        assert (delivered.older_sent, delivered.older_refused) == (len(waiting), 0)
        assert courier.spool.waiting() == []
        left = {path.name for path in state.rglob("*") if path.is_file()}
        assert left <= {"state.json", "lock", "host-id", "known"}, die_at
    collector.stop()
    assert done.returncode == 0, "the agent never came to its end"
    assert 15 < int(done.stdout) < die_at
