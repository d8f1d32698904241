"""The exporter over a real store: what changes is told, what does not change is not read again."""

from __future__ import annotations

import logging
import subprocess
import threading
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from libcensus.collector.acceptance.fleet import FleetAcceptances
from libcensus.collector.errors import StoreError
from libcensus.collector.metrics.exporter import FleetExporter
from libcensus.collector.metrics.exposition import Format, Kind
from libcensus.collector.metrics.families import FAMILIES
from libcensus.collector.metrics.view import Detail
from libcensus.collector.posture.acceptance import Acceptances, HostScope, Scope, Statement
from libcensus.collector.posture.assessment import Assessor
from libcensus.collector.posture.finding import VexStatus
from libcensus.collector.store.sql import SqlStore
from libcensus.facts.crypto import CryptoLibrary, CryptoUse
from libcensus.facts.process import ProcessSet
from libcensus.facts.vocabulary import CryptoFamily, InstallKind, Linkage
from tests.collector.metrics import fleet
from tests.golden import check_golden

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from libcensus.collector.store.contract import HostStamp, HostState
    from libcensus.facts.codec import Fact


HISTOGRAMS = frozenset(family.name for family in FAMILIES if family.kind is Kind.HISTOGRAM)


class CountingStore(SqlStore):
    """A real store that remembers how often and for what it was read."""

    def hosts(self, host_ids: Iterable[str] | None = None) -> list[HostState]:
        """Count the hosts that are read."""
        states = super().hosts(host_ids)
        self.reads["hosts"] += len(states)
        return states

    def facts(self, digests: Iterable[str]) -> dict[str, Fact]:
        """Count the facts that are read."""
        found = {digest: fact for digest, fact in super().facts(digests).items() if digest not in self.lost}
        self.reads["facts"] += len(found)
        return found

    @property
    def lost(self) -> set[str]:
        """Facts that can no longer be read."""
        lost: set[str] = self.__dict__.setdefault("lost_facts", set())
        return lost

    @property
    def reads(self) -> Counter[str]:
        """How often was read."""
        counter: Counter[str] = self.__dict__.setdefault("counted", Counter())
        return counter


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CountingStore]:
    with CountingStore.open(f"sqlite:///{tmp_path / 'census.db'}") as opened:
        assert isinstance(opened, CountingStore)
        yield opened


def samples(page: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return the samples of a page; fails on a series that comes twice."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in parse_text(page.decode()):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def value(page: bytes, name: str, **labels: str) -> float:
    """Return the sum of the samples of a family that have these labels; fails where there is none."""
    found = [number for (of, have), number in samples(page).items() if of == name and have >= set(labels.items())]
    assert found, f"no {name} with {labels}"
    return sum(found)


def exporter_for(store: SqlStore, detail: str = "install", limit: int = 100_000) -> FleetExporter:
    judge = fleet.assessor()
    return FleetExporter(store, lambda: judge, detail, limit)


def odd_fleet(store: SqlStore) -> None:
    """Put hosts into a store that differ in everything that metrics tell apart."""
    fleet.report(store, fleet.Machine("web-1"))
    fleet.report(store, fleet.Machine("web-2"), at=fleet.NOON + timedelta(minutes=3))
    fleet.report(
        store,
        fleet.Machine(
            'odd "name"\\ü',
            platform=fleet.platform(31),
            builds=(fleet.PBS_312, fleet.PYENV_313),
            installs=(
                fleet.install(
                    "/srv/a\nb/bin/python", fleet.PBS_312, fleet.STATIC, kind=InstallKind.VENV, base="/opt/x"
                ),
                fleet.install("/usr/local/bin/python3.13", fleet.PYENV_313, fleet.UNRESOLVED),
                fleet.install("/srv/gone/bin/python", None, fleet.WITHOUT, kind=InstallKind.VENV),
            ),
            os_id=None,
            os_version=None,
            probes=(),
        ),
    )
    alpine = fleet.Machine("alpine", fleet.MUSL, builds=(), installs=(), os_id="alpine", os_version="3.22.1")
    fleet.report(store, alpine)


@pytest.mark.parametrize("output", [Format.TEXT, Format.OPENMETRICS], ids=["text", "openmetrics"])
def test_the_page_of_an_odd_fleet(store: CountingStore, output: Format) -> None:
    odd_fleet(store)
    fleet.report(store, fleet.full_machine())
    content_type, page = exporter_for(store).render(output)
    assert content_type == output
    check_golden(f"metrics-{output.name.lower()}.txt", page.decode())


@pytest.mark.parametrize("detail", list(Detail))
def test_promtool_finds_nothing_to_say(store: CountingStore, detail: Detail) -> None:
    odd_fleet(store)
    _, page = exporter_for(store, detail).render()
    checked = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def test_both_formats_tell_the_same(store: CountingStore) -> None:
    odd_fleet(store)
    exporter = exporter_for(store)
    text = exporter.render()[1].decode()
    openmetrics = exporter.render(Format.OPENMETRICS)[1].decode()
    assert openmetrics.endswith("# EOF\n")

    def told(families: Iterable[object]) -> set[tuple[object, ...]]:
        return {
            (sample.name, frozenset(sample.labels.items()), sample.value)
            for family in families
            for sample in family.samples  # type: ignore[attr-defined]
        }

    assert told(parse_text(text)) == told(parse_openmetrics(openmetrics))  # type: ignore[no-untyped-call]


def family_of(name: str) -> str:
    """Return the family that a sample's name belongs to."""
    for end in ("_bucket", "_sum", "_count"):
        if name.removesuffix(end) in HISTOGRAMS:
            return name.removesuffix(end)
    return name


def test_families_are_contiguous_and_in_their_declared_order(store: CountingStore) -> None:
    odd_fleet(store)
    lines = exporter_for(store).render()[1].decode().split("\n")
    helps = [line.split(" ")[2] for line in lines if line.startswith("# HELP")]
    assert helps == [family.name for family in FAMILIES]
    now = ""
    for line in lines:
        if line.startswith("# TYPE"):
            now = line.split(" ")[2]
        elif line and not line.startswith("#"):
            assert family_of(line.split("{")[0].split(" ")[0]) == now


@pytest.mark.parametrize("detail", list(Detail))
def test_every_level_holds_its_families_and_those_of_the_levels_before(store: CountingStore, detail: Detail) -> None:
    odd_fleet(store)
    page = exporter_for(store, detail).render()[1].decode()
    named = {line.split(" ")[2] for line in page.split("\n") if line.startswith("# HELP")}
    assert named == {family.name for family in FAMILIES if detail.includes(family.detail)}


@pytest.mark.parametrize("detail", list(Detail))
def test_the_numbers_of_series_are_those_of_the_page(store: CountingStore, detail: Detail) -> None:
    odd_fleet(store)
    page = exporter_for(store, detail).render()[1]
    of_level = Counter(
        next(family.detail for family in FAMILIES if family.name == family_of(name)) for name, _ in samples(page)
    )
    for level in Detail:
        assert value(page, "libcensus_series", detail=level) == of_level[level]


def test_an_empty_fleet_is_told_without_hosts(store: CountingStore) -> None:
    page = exporter_for(store).render()[1]
    assert {name for name, _ in samples(page)} == {
        "libcensus_unreadable_hosts",
        "libcensus_acceptance_statements",
        "libcensus_advisories",
        "libcensus_advisories_timestamp_seconds",
        "libcensus_series",
        "libcensus_series_limit",
    }


def test_hosts_that_report_nothing_new_are_not_judged_again(store: CountingStore) -> None:
    odd_fleet(store)
    exporter = exporter_for(store)
    first = exporter.render()[1]
    before = Counter(store.reads)
    assert exporter.render()[1] == first
    assert store.reads == before
    fleet.report(store, fleet.Machine("web-1"), at=fleet.NOON + timedelta(hours=1), seconds=9.5)
    second = exporter.render()[1]
    assert store.reads["hosts"] - before["hosts"] == 1
    assert store.reads["facts"] == before["facts"]
    changed = {key for key, number in samples(second).items() if samples(first)[key] != number}
    assert changed == {
        ("libcensus_host_last_report_timestamp_seconds", frozenset({("host", "web-1")})),
        ("libcensus_host_scan_duration_seconds", frozenset({("host", "web-1")})),
    }


def test_the_page_after_changes_is_that_of_an_exporter_that_saw_none_of_them(store: CountingStore) -> None:
    odd_fleet(store)
    exporter = exporter_for(store)
    exporter.render()
    for number, machine in enumerate(
        (
            fleet.Machine("web-1", builds=(fleet.PBS_312,), installs=fleet.Machine("").installs[1:]),
            fleet.Machine("web-3"),
            fleet.Machine("web-2", platform=fleet.platform(41)),
            fleet.Machine("web-1"),
            fleet.Machine("web-2", builds=(), installs=()),
        )
    ):
        fleet.report(store, machine, at=fleet.NOON + timedelta(hours=number + 1))
        assert exporter.render()[1] == exporter_for(store).render()[1]


def test_a_host_whose_facts_are_lost_costs_itself_alone(store: CountingStore, caplog: pytest.LogCaptureFixture) -> None:
    odd_fleet(store)
    store.lost.add(fleet.digest_of(fleet.PYENV_313))
    exporter = exporter_for(store)
    page = exporter.render()[1]
    assert value(page, "libcensus_unreadable_hosts") == 1
    assert value(page, "libcensus_hosts") == 3
    assert b"odd" not in page
    assert [record.message for record in caplog.records if "cannot be read" in record.message]
    store.lost.clear()
    fleet.report(store, fleet.Machine('odd "name"\\ü'), at=fleet.NOON + timedelta(hours=1))
    page = exporter.render()[1]
    assert value(page, "libcensus_unreadable_hosts") == 0
    assert value(page, "libcensus_hosts") == 4


class FailingStore(CountingStore):
    """A store whose next read of hosts fails."""

    def hosts(self, host_ids: Iterable[str] | None = None) -> list[HostState]:
        """Fail once where it was asked for."""
        if self.__dict__.pop("fails", False):
            raise StoreError("the disk is gone")
        return super().hosts(host_ids)


def test_an_error_of_the_store_leaves_no_page_that_is_out_of_date(tmp_path: Path) -> None:
    with FailingStore.open(f"sqlite:///{tmp_path / 'census.db'}") as failing:
        fleet.report(failing, fleet.Machine("web-1"))
        exporter = exporter_for(failing)
        exporter.render()
        fleet.report(failing, fleet.Machine("web-2"))
        failing.__dict__["fails"] = True
        with pytest.raises(StoreError):
            exporter.render()
        assert exporter.render()[1] == exporter_for(failing).render()[1]


def test_hosts_of_one_name_stay_apart(store: CountingStore) -> None:
    fleet.report(store, fleet.Machine("twin"), fleet.host_id_of("first"))
    fleet.report(store, fleet.Machine("twin"), fleet.host_id_of("second"))
    page = exporter_for(store).render()[1]
    names = {dict(labels)["host"] for name, labels in samples(page) if name == "libcensus_host_info"}
    assert len(names) == 2
    assert value(page, "libcensus_hosts") == 2


def test_a_host_that_changes_its_name_leaves_no_series_behind(store: CountingStore) -> None:
    host_id = fleet.report(store, fleet.Machine("old"))
    exporter = exporter_for(store)
    exporter.render()
    fleet.report(store, fleet.Machine("new"), host_id, fleet.NOON + timedelta(hours=1))
    page = exporter.render()[1]
    assert b'"old"' not in page
    assert value(page, "libcensus_host_info", host="new") == 1


def test_a_new_day_or_new_advisories_change_verdicts_without_any_report(store: CountingStore) -> None:
    fleet.report(store, fleet.Machine("web-1"))
    judges = [fleet.assessor()]
    exporter = FleetExporter(store, lambda: judges[-1])
    first = exporter.render()[1]
    assert value(first, "libcensus_findings", component="openssl", status="affected") == 2
    known = fleet.catalogue(date(2026, 11, 20))
    judges.append(type(judges[0])(replace(known, advisories=known.advisories[:1]), fleet.TODAY))
    second = exporter.render()[1]
    assert value(second, "libcensus_findings", component="openssl", status="affected") == 1
    assert value(second, "libcensus_advisories_timestamp_seconds") == 1795132800


def test_more_series_than_the_limit_are_all_there_and_warned_of_once(
    store: CountingStore, caplog: pytest.LogCaptureFixture
) -> None:
    odd_fleet(store)
    everything = exporter_for(store).render()[1]
    exporter = exporter_for(store, limit=50)
    with caplog.at_level(logging.WARNING):
        page = exporter.render()[1]
        fleet.report(store, fleet.Machine("web-1"), at=fleet.NOON + timedelta(hours=1))
        exporter.render()
    assert len(samples(page)) == len(samples(everything))
    assert value(page, "libcensus_series_limit") == 50
    warnings = [record.message for record in caplog.records if "series are exposed" in record.message]
    assert len(warnings) == 1
    assert "--metrics-detail" in warnings[0]


def test_scrapes_at_the_same_time_see_whole_states(store: CountingStore) -> None:
    """While a host flips between two states, every page is that of one of them."""
    states = (fleet.Machine("web-1"), fleet.Machine("web-1", builds=(), installs=()))
    fleet.report(store, states[0])
    exporter = exporter_for(store)
    seen: list[bytes] = []
    errors: list[BaseException] = []
    done = threading.Event()

    def scrape() -> None:
        try:
            while not done.is_set():
                seen.append(exporter.render()[1])
        except BaseException as error:  # noqa: BLE001 - the test tells it
            errors.append(error)

    threads = [threading.Thread(target=scrape) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for number in range(1, 21):
            fleet.report(store, states[number % 2], at=fleet.NOON + timedelta(minutes=number))
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not errors
    for page in {*seen}:
        installs = value(page, "libcensus_installs") if b"libcensus_installs{" in page else 0
        infos = sum(name == "libcensus_install_info" for name, _ in samples(page))
        assert installs == infos
        assert infos in (0, 2)


class Meddled(CountingStore):
    """A real store that lets a test act between two reads of one scrape, or hides hosts as if they were removed."""

    def host_stamps(self) -> list[HostStamp]:
        """Return the stamps without those of hidden hosts."""
        return [stamp for stamp in super().host_stamps() if stamp.host_id not in self.hidden]

    def hosts(self, host_ids: Iterable[str] | None = None) -> list[HostState]:
        """Let the test act, then read."""
        self.__dict__.get("before_hosts", lambda: None)()
        return [state for state in super().hosts(host_ids) if state.host_id not in self.hidden]

    def act_before_hosts_are_read(self, action: Callable[[], None]) -> None:
        """Have this called once, when stamps are read and hosts are not."""

        def once() -> None:
            self.__dict__.pop("before_hosts")
            action()

        self.__dict__["before_hosts"] = once

    @property
    def hidden(self) -> set[str]:
        """Hosts that are gone."""
        hidden: set[str] = self.__dict__.setdefault("hidden_hosts", set())
        return hidden


@pytest.fixture
def meddled(tmp_path: Path) -> Iterator[Meddled]:
    with Meddled.open(f"sqlite:///{tmp_path / 'meddled.db'}") as opened:
        assert isinstance(opened, Meddled)
        yield opened


def test_a_scrape_does_not_hold_up_ingest(meddled: Meddled) -> None:
    odd_fleet(meddled)
    exporter = exporter_for(meddled)
    first = exporter.render()[1]
    is_reading, may_go_on = threading.Event(), threading.Event()
    pages: list[bytes] = []

    def stand_still() -> None:
        is_reading.set()
        assert may_go_on.wait(60)

    fleet.report(meddled, fleet.Machine("web-1"), at=fleet.NOON + timedelta(hours=1))
    meddled.act_before_hosts_are_read(stand_still)
    scrape = threading.Thread(target=lambda: pages.append(exporter.render()[1]))
    scrape.start()
    assert is_reading.wait(60)
    # The scrape stands in the middle; reports are durable all the same, before it ends.
    for number in range(30):
        fleet.report(meddled, fleet.Machine(f"meanwhile-{number}"))
    assert pages == []
    may_go_on.set()
    scrape.join()
    assert b"meanwhile" not in pages[0]
    assert pages[0] != first
    assert exporter.render()[1] == exporter_for(meddled).render()[1]


def test_a_host_that_changes_while_it_is_read_is_told_as_it_was_or_as_it_is(meddled: Meddled) -> None:
    hour = timedelta(hours=1)
    fleet.report(meddled, fleet.Machine("a"))
    fleet.report(meddled, fleet.Machine("b"))
    exporter = exporter_for(meddled)

    def report() -> None:
        fleet.report(meddled, fleet.full_machine("a"), at=fleet.NOON + hour)

    meddled.act_before_hosts_are_read(report)
    page = exporter.render()[1]
    installs = sum(name == "libcensus_install_info" for name, labels in samples(page) if ("host", "a") in labels)
    assert installs in {2, len(fleet.full_machine().installs)}
    assert value(page, "libcensus_installs") == sum(name == "libcensus_install_info" for name, _ in samples(page))
    assert exporter.render()[1] == exporter_for(meddled).render()[1]


def test_a_host_that_disappears_leaves_nothing_behind(meddled: Meddled) -> None:
    odd_fleet(meddled)
    exporter = exporter_for(meddled)
    exporter.render()
    # Between two scrapes, and in the middle of one.
    meddled.hidden.add(fleet.host_id_of("web-1"))
    page = exporter.render()[1]
    assert b'"web-1"' not in page
    assert value(page, "libcensus_hosts") == 3
    assert page == exporter_for(meddled).render()[1]
    fleet.report(meddled, fleet.Machine("web-2"), at=fleet.NOON + timedelta(hours=1))
    meddled.act_before_hosts_are_read(lambda: meddled.hidden.add(fleet.host_id_of("web-2")))
    page = exporter.render()[1]
    assert b'"web-2"' not in page
    assert exporter.render()[1] == exporter_for(meddled).render()[1]
    # And it comes back, while another one goes.
    meddled.hidden.remove(fleet.host_id_of("web-1"))
    meddled.hidden.add(fleet.host_id_of("alpine"))
    page = exporter.render()[1]
    assert b'"web-1"' in page
    assert page == exporter_for(meddled).render()[1]


def test_hosts_that_exchange_their_names_are_told_under_the_new_ones(meddled: Meddled) -> None:
    hour = timedelta(hours=1)
    for name in ("a", "b", "c"):
        fleet.report(meddled, fleet.full_machine(name) if name == "a" else fleet.Machine(name))
    exporter = exporter_for(meddled)
    exporter.render()
    for step, (name, new) in enumerate([("a", "x"), ("b", "a"), ("c", "b"), ("a", "c")]):
        machine = fleet.full_machine(new) if name == "a" else fleet.Machine(new)
        fleet.report(meddled, machine, fleet.host_id_of(name), fleet.NOON + (step + 1) * hour)
    page = exporter.render()[1]
    assert value(page, "libcensus_host_info", host="a", host_id=fleet.host_id_of("b")) == 1
    assert value(page, "libcensus_host_info", host="c", host_id=fleet.host_id_of("a")) == 1
    assert page == exporter_for(meddled).render()[1]


def test_after_an_error_in_the_middle_nothing_is_missing_or_twice(meddled: Meddled) -> None:
    odd_fleet(meddled)
    exporter = exporter_for(meddled)
    exporter.render()
    fleet.report(meddled, fleet.full_machine("renamed"), fleet.host_id_of("web-1"), fleet.NOON + timedelta(hours=1))
    fleet.report(meddled, fleet.Machine("web-1"), fleet.host_id_of("web-2"), fleet.NOON + timedelta(hours=1))

    def fail() -> None:
        raise StoreError("no")

    meddled.act_before_hosts_are_read(fail)
    with pytest.raises(StoreError):
        exporter.render()
    assert exporter.render()[1] == exporter_for(meddled).render()[1]


# --- what the families say ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    with SqlStore.open(f"sqlite:///{tmp_path_factory.mktemp('page') / 'census.db'}") as store:
        odd_fleet(store)
        return exporter_for(store).render()[1]


TRUTHS = [
    ("hosts", "libcensus_hosts", {"os_id": "debian", "libc": "glibc", "libc_version": "2.36"}, 2),
    ("hosts-of-unknown-system", "libcensus_hosts", {"os_id": "unknown"}, 1),
    ("installs", "libcensus_installs", {"provider": "pbs", "version": "3.12.12"}, 3),
    ("unreadable-install", "libcensus_installs", {"provider": "unknown", "version": "unknown", "kind": "venv"}, 1),
    ("static", "libcensus_crypto_installs", {"family": "openssl", "version": "3.5.4", "linkage": "static"}, 3),
    ("unresolved", "libcensus_crypto_installs", {"family": "unknown", "linkage": "unresolved"}, 1),
    ("no-crypto", "libcensus_crypto_installs", {"linkage": "none"}, 1),
    ("affected", "libcensus_findings", {"severity": "high", "status": "affected", "provider": "pbs"}, 3),
    ("owned", "libcensus_findings", {"status": "under_investigation", "provider": "distro"}, 2),
    ("zero", "libcensus_findings", {"severity": "critical", "status": "affected", "component": "openssl"}, 0),
    ("advisory", "libcensus_advisory_hosts", {"advisory": "CVE-2026-0001"}, 3),
    ("manylinux2014", "libcensus_manylinux_hosts", {"policy": "manylinux_2_17", "arch": "x86_64"}, 3),
    ("manylinux-2.31", "libcensus_manylinux_hosts", {"policy": "manylinux_2_31"}, 3),
    ("manylinux-2.34", "libcensus_manylinux_hosts", {"policy": "manylinux_2_34"}, 2),
    ("manylinux-2.36", "libcensus_manylinux_hosts", {"policy": "manylinux_2_36"}, 2),
    ("manylinux-2.41", "libcensus_manylinux_hosts", {"policy": "manylinux_2_41"}, 0),
    ("musllinux-1.1", "libcensus_manylinux_hosts", {"policy": "musllinux_1_1", "arch": "x86_64"}, 1),
    ("musllinux-1.2", "libcensus_manylinux_hosts", {"policy": "musllinux_1_2"}, 1),
    ("pyenv-on-older", "libcensus_build_hosts", {"provider": "pyenv", "verdict": "blocked"}, 4),
    ("why-blocked", "libcensus_build_hosts", {"provider": "distro", "reason": "symbol_version"}, 1),
    ("no-glibc-loader", "libcensus_build_hosts", {"provider": "pbs", "reason": "loader"}, 1),
    ("pbs-everywhere", "libcensus_build_hosts", {"provider": "pbs", "verdict": "runs"}, 3),
    ("build", "libcensus_build_info", {"provider_build": "20260114", "flags": "lto,pgo"}, 1),
    ("unreadable", "libcensus_unreadable_hosts", {}, 0),
    ("probe-ok", "libcensus_host_probe_success", {"host": "web-1", "probe": "platform"}, 1),
    ("probe-failed", "libcensus_host_probe_success", {"host": "web-1", "probe": "packages"}, 0),
    ("last-report", "libcensus_host_last_report_timestamp_seconds", {"host": "web-1"}, 1795176000),
    ("host-findings", "libcensus_host_findings", {"host": "web-1", "status": "affected", "severity": "high"}, 1),
    ("odd-name", "libcensus_host_info", {"host": 'odd "name"\\ü', "kernel": "6.1.0-40-amd64"}, 1),
    ("odd-path", "libcensus_install_info", {"path": "/srv/a\nb/bin/python", "kind": "venv", "glibc": "2.17"}, 1),
    ("package", "libcensus_install_info", {"host": "web-1", "package": "libssl3 3.0.17-1~deb12u2"}, 1),
    ("install-findings", "libcensus_install_findings", {"host": "web-1", "severity": "high", "status": "affected"}, 1),
    ("python-ends", "libcensus_install_eol_timestamp_seconds", {"host": "web-1", "branch": "3.12"}, 1856563200),
]


@pytest.mark.parametrize(("name", "labels", "number"), [row[1:] for row in TRUTHS], ids=[row[0] for row in TRUTHS])
def test_the_families_tell_the_truth(page: bytes, name: str, labels: dict[str, str], number: float) -> None:
    assert value(page, name, **labels) == number


def test_every_build_is_judged_on_every_host(page: bytes) -> None:
    for digest in {dict(labels)["build"] for name, labels in samples(page) if name == "libcensus_build_info"}:
        assert value(page, "libcensus_build_hosts", build=digest) == 4


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("libcensus_findings", {"provider": "pyenv"}),
        ("libcensus_findings", {"component": "cpython"}),
        ("libcensus_install_findings", {"path": "/usr/local/bin/python3.13"}),
    ],
    ids=["unresolved-crypto", "component-without-advisories", "unresolved-install"],
)
def test_what_was_not_judged_has_no_zero(page: bytes, name: str, labels: dict[str, str]) -> None:
    assert not [of for of, have in samples(page) if of == name and have >= set(labels.items())]


def test_a_skipped_probe_has_no_series(page: bytes) -> None:
    assert b'probe="processes"' not in page


def test_copies_are_counted_with_their_findings_and_other_roots_with_their_installs(store: CountingStore) -> None:
    fleet.report(store, fleet.full_machine())
    fleet.report(store, fleet.full_machine("twin"))
    _, page = exporter_for(store).render()
    copies = {"ecosystem": "pypi", "linkage": "static"}
    assert value(page, "libcensus_crypto_copies", owner="cryptography", version="3.5.4", **copies) == 2
    assert value(page, "libcensus_crypto_copies", owner="grpcio", family="boringssl", version="unknown", **copies) == 2
    assert value(page, "libcensus_crypto_copies", owner="", ecosystem="", linkage="local") == 2
    affected = {"component": "openssl", "status": "affected"}
    assert value(page, "libcensus_findings", provider="pypi", severity="high", **affected) == 2
    assert value(page, "libcensus_installs", implementation="nodejs", version="18.19.0", provider="upstream") == 2
    assert value(page, "libcensus_installs", implementation="cpython", provider="distro") == 6
    # Two by the interpreter and its environment, one by the wheel.
    assert value(page, "libcensus_host_findings", host="full", severity="high", status="affected") == 7


def test_processes_on_what_is_gone_are_told_where_somebody_looked(store: CountingStore) -> None:
    exporter = exporter_for(store)
    fleet.report(store, fleet.full_machine())
    fleet.report(store, fleet.Machine("blind"))
    assert value(exporter.render()[1], "libcensus_host_outdated_processes") == 3
    fleet.report(store, replace(fleet.full_machine(), processes=ProcessSet()), at=fleet.NOON + timedelta(hours=1))
    assert value(exporter.render()[1], "libcensus_host_outdated_processes", host="full") == 0
    assert store.reads["hosts"] == 3


def test_hosts_that_differ_in_their_copies_alone_are_told_apart(store: CountingStore) -> None:
    exporter = exporter_for(store)
    fleet.report(store, fleet.full_machine())
    fleet.report(store, replace(fleet.full_machine("bare"), copies=()))
    _, page = exporter.render()
    assert value(page, "libcensus_crypto_copies", owner="cryptography") == 1
    high = {"severity": "high", "status": "affected"}
    assert value(page, "libcensus_host_findings", host="full", **high) == 7
    assert value(page, "libcensus_host_findings", host="bare", **high) == 6
    fleet.report(store, replace(fleet.full_machine(), copies=()), at=fleet.NOON + timedelta(hours=1))
    _, page = exporter.render()
    assert b"libcensus_crypto_copies{" not in page
    # Their facts are all there already: of a host like one before, only the inventory is read.
    before = store.reads["facts"]
    fleet.report(store, replace(fleet.full_machine("third"), copies=()))
    exporter.render()
    assert store.reads["facts"] == before + 1


def test_other_advisories_are_judged_once_for_hosts_with_equal_facts(store: CountingStore) -> None:
    odd_fleet(store)
    for number in range(20):
        fleet.report(store, fleet.Machine(f"twin-{number}"))
    fleet.report(store, pyenv_machine("moved", "3.0.19"), at=FIX - timedelta(days=9))
    fleet.report(store, pyenv_machine("moved", "3.0.18"), at=FIX + timedelta(days=9))
    assessors = [fleet.assessor()]
    exporter = FleetExporter(store, lambda: assessors[-1])
    exporter.render()
    before = Counter(store.reads)
    catalogue = fleet.catalogue()
    assessors.append(Assessor(replace(catalogue, advisories=catalogue.advisories[1:]), fleet.TODAY))
    page = exporter.render()[1]
    assert store.reads["hosts"] == before["hosts"]
    assert page == FleetExporter(store, lambda: assessors[-1]).render()[1]
    # And back again, with a host that cannot be read any more.
    store.lost.add(fleet.digest_of(fleet.full_machine().install_set))
    assessors.append(fleet.assessor())
    assert exporter.render()[1] == FleetExporter(store, lambda: assessors[-1]).render()[1]


# --- exposure ---------------------------------------------------------------------------------------------------------

FIX = datetime(2026, 1, 27, tzinfo=UTC)
LABELS = {"provider": "pyenv", "component": "openssl", "severity": "high"}


def pyenv_machine(name: str, openssl: str) -> fleet.Machine:
    """Return a machine with one Python that was built there, so that upstream's release is the day of its fix."""
    use = CryptoUse(Linkage.LOCAL, "/usr/local/lib/libcrypto.so.3", CryptoLibrary(CryptoFamily.OPENSSL, openssl))
    python = fleet.install("/opt/pyenv/bin/python3.13", fleet.PYENV_313, use)
    return fleet.Machine(name, builds=(fleet.PYENV_313,), installs=(python,))


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text"])
def test_how_long_patches_took_is_a_histogram(store: CountingStore, accept: str) -> None:
    exporter = exporter_for(store)
    for name, days in (("a", 2), ("b", 10)):
        fleet.report(store, pyenv_machine(name, "3.0.18"), at=FIX - timedelta(days=20))
        fleet.report(store, pyenv_machine(name, "3.0.19"), at=FIX + timedelta(days=days, hours=6))
    fleet.report(store, pyenv_machine("c", "3.0.18"), at=FIX - timedelta(days=20))
    page = exporter.render(accept)[1]
    name = "libcensus_patch_latency_seconds"
    found = {bound: value(page, f"{name}_bucket", le=bound, **LABELS) for bound in ("86400.0", "259200.0", "+Inf")}
    assert found == {"86400.0": 0, "259200.0": 1, "+Inf": 2}
    assert value(page, f"{name}_count", **LABELS) == 2
    assert value(page, f"{name}_sum", **LABELS) == timedelta(days=12, hours=12).total_seconds()
    assert value(page, "libcensus_exposed_findings", **LABELS) == 1
    assert b"libcensus_undated_findings{" in page


def test_since_when_an_install_is_exposed_follows_its_own_history(store: CountingStore) -> None:
    exporter = exporter_for(store)
    fleet.report(store, pyenv_machine("there", "3.0.18"), at=FIX + timedelta(days=3))
    fleet.report(store, pyenv_machine("came", "3.0.19"), at=FIX + timedelta(days=3))
    name = "libcensus_install_exposed_since_timestamp_seconds"
    page = exporter.render()[1]
    assert value(page, name, host="there", severity="high") == FIX.timestamp()
    assert b'exposed_since_timestamp_seconds{host="came"' not in page
    came = FIX + timedelta(days=30, hours=5)
    fleet.report(store, pyenv_machine("came", "3.0.18"), at=came)
    page = exporter.render()[1]
    assert value(page, name, host="there", severity="high") == FIX.timestamp()
    assert value(page, name, host="came", severity="high") == came.timestamp()
    of_host = "libcensus_host_exposed_since_timestamp_seconds"
    assert value(page, of_host, host="there", severity="high") == FIX.timestamp()
    assert value(page, of_host, host="came", severity="high") == came.timestamp()
    assert value(page, "libcensus_series", detail="install") == sum(
        next(one.detail for one in FAMILIES if one.name == family_of(name)) is Detail.INSTALL
        for name, _ in samples(page)
    )


def test_what_is_accepted_exposes_no_host(store: CountingStore) -> None:
    fleet.report(store, pyenv_machine("covered", "3.0.18"), at=FIX + timedelta(days=3))
    fleet.report(store, pyenv_machine("open", "3.0.18"), at=FIX + timedelta(days=3))
    statement = Statement(
        id="1",
        document="https://example.com/vex",
        author="us",
        advisories=("CVE-2025-15467",),
        status=VexStatus.NOT_AFFECTED,
        justification="vulnerable_code_not_in_execute_path",
        reason="",
        scopes=(Scope(HostScope("covered")),),
        since=fleet.TODAY - timedelta(days=1),
        expires=fleet.TODAY,
    )
    accepted = [Acceptances((statement,), fleet.TODAY)]
    judge = fleet.assessor()
    exporter = FleetExporter(store, lambda: judge, accepted_for=lambda: FleetAcceptances(accepted[-1], {}))
    page = exporter.render()[1]
    name = "libcensus_host_exposed_since_timestamp_seconds"
    assert [dict(labels)["host"] for of, labels in samples(page) if of == name] == ["open"]
    # The install has not changed, and says so.
    assert value(page, "libcensus_install_exposed_since_timestamp_seconds", host="covered") == FIX.timestamp()
    # It ends.
    accepted.append(Acceptances((statement,), fleet.TODAY + timedelta(days=1)))
    assert value(exporter.render()[1], name, host="covered", severity="high") == FIX.timestamp()
