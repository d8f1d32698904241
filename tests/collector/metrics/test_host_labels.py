"""Labels of hosts on metrics, and what agents hold back and lost."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from libcensus.collector.acceptance.fleet import FleetAcceptances
from libcensus.collector.metrics.exporter import FleetExporter
from libcensus.collector.metrics.exposition import Format
from libcensus.collector.metrics.families import collisions, label_names
from libcensus.collector.posture.acceptance import Acceptances
from libcensus.collector.posture.selector import check_key
from libcensus.collector.store.sql import SqlStore
from libcensus.facts.report import AgentState
from tests.collector.metrics import fleet
from tests.collector.metrics.test_exporter import samples, value

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "libcensus_host_labels"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with SqlStore.open(f"sqlite:///{tmp_path / 'census.db'}") as opened:
        yield opened


def exporter_for(store: SqlStore, *keys: str, detail: str = "host") -> FleetExporter:
    judge = fleet.assessor()
    accepted = Acceptances((), date(2026, 11, 20))
    return FleetExporter(
        store,
        lambda: judge,
        detail,
        accepted_for=lambda: FleetAcceptances(accepted, store.labels()),
        label_keys=keys,
    )


def told(page: bytes) -> dict[str, dict[str, str]]:
    """The labels on the page, by host; fails where a host has two series."""
    found: dict[str, dict[str, str]] = {}
    for (name, labels), number in samples(page).items():
        if name == NAME:
            own = dict(labels)
            host = own.pop("host")
            assert host not in found
            assert number == 1
            found[host] = own
    return found


def test_the_labels_that_are_allowed_are_exposed_for_every_host(store: SqlStore) -> None:
    for name in ("web-1", "web-2", "bare"):
        fleet.report(store, fleet.Machine(name))
    store.set_labels(fleet.host_id_of("web-1"), {"env": "prod", "team": "web", "secret": "x"})
    store.set_labels(fleet.host_id_of("web-2"), {"env": "dev"})
    page = exporter_for(store, "team", "env").render()[1]
    assert told(page) == {
        "web-1": {"label_env": "prod", "label_team": "web"},
        "web-2": {"label_env": "dev", "label_team": ""},
        "bare": {"label_env": "", "label_team": ""},
    }
    assert b"secret" not in page


def test_without_an_allow_list_there_are_no_series(store: SqlStore) -> None:
    fleet.report(store, fleet.Machine("web-1"))
    store.set_labels(fleet.host_id_of("web-1"), {"env": "prod"})
    assert told(exporter_for(store).render()[1]) == {}
    assert NAME.encode() not in exporter_for(store, "env", detail="fleet").render()[1]


def test_a_label_that_changes_is_told_at_the_next_scrape(store: SqlStore) -> None:
    host_id = fleet.report(store, fleet.Machine("web-1"))
    exporter = exporter_for(store, "env")
    assert told(exporter.render()[1]) == {"web-1": {"label_env": ""}}
    store.set_labels(host_id, {"env": "prod", "other": "x"})
    assert told(exporter.render()[1]) == {"web-1": {"label_env": "prod"}}
    store.set_labels(host_id, {"other": "y"})
    assert exporter.render()[1] is not None
    store.remove_labels(host_id, ["env"])
    page = exporter.render()[1]
    assert told(page) == {"web-1": {"label_env": ""}}
    counted = Counter(name for name, _ in samples(page))
    assert value(page, "libcensus_series", detail="host") == sum(
        number for name, number in counted.items() if name.startswith("libcensus_host_")
    )


def test_a_new_day_keeps_the_labels(store: SqlStore) -> None:
    host_id = fleet.report(store, fleet.Machine("web-1"))
    store.set_labels(host_id, {"env": "prod"})
    judges = [fleet.assessor()]
    accepted = Acceptances((), date(2026, 11, 20))
    exporter = FleetExporter(
        store,
        lambda: judges[-1],
        "host",
        accepted_for=lambda: FleetAcceptances(accepted, store.labels()),
        label_keys=("env",),
    )
    before = told(exporter.render()[1])
    judges.append(fleet.assessor(fleet.TODAY + timedelta(days=1)))
    assert told(exporter.render()[1]) == before == {"web-1": {"label_env": "prod"}}
    fleet.report(store, fleet.Machine("web-1"), at=fleet.NOON + timedelta(hours=1))
    assert told(exporter.render()[1]) == before


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        (["env"], ["label_env"]),
        (["app.kubernetes.io/name"], ["label_app_kubernetes_io_name"]),
        (["costCenter", "HTTPProxy"], ["label_httpproxy", "label_cost_center"]),
        (["a.b", "a-b", "a_b"], ["label_a_b_conflict1", "label_a_b_conflict2", "label_a_b_conflict3"]),
        (
            ["a.b", "a-b", "a_b_conflict1"],
            ["label_a_b_conflict2", "label_a_b_conflict3", "label_a_b_conflict1"],
        ),
        (["host", "job", "instance", "9"], ["label_9", "label_host", "label_instance", "label_job"]),
    ],
)
def test_labels_get_names_as_kube_state_metrics_gives_them(keys: list[str], names: list[str]) -> None:
    assert list(label_names(keys).values()) == names


keys = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,4}[A-Za-z0-9])?", fullmatch=True)


@given(st.lists(keys, max_size=8))
def test_no_two_labels_ever_get_one_name(found: list[str]) -> None:
    names = label_names(found)
    assert set(names) == {check_key(key) for key in found}
    assert len(set(names.values())) == len(names)
    for together in collisions(found):
        assert all("_conflict" in names[key] for key in together)


def test_labels_that_collide_are_told_in_the_log(store: SqlStore, caplog: pytest.LogCaptureFixture) -> None:
    host_id = fleet.report(store, fleet.Machine("web-1"))
    store.set_labels(host_id, {"a.b": "1", "a-b": "2"})
    with caplog.at_level(logging.WARNING):
        exporter = exporter_for(store, "a.b", "a-b", "env")
    (warning,) = caplog.messages
    assert warning == (
        "metrics_labels: a-b and a.b become one label of a metric; they are told apart as label_a_b_conflict1 and "
        "label_a_b_conflict2"
    )
    page = exporter.render()[1]
    assert told(page) == {"web-1": {"label_a_b_conflict1": "2", "label_a_b_conflict2": "1", "label_env": ""}}


def test_what_agents_hold_back_and_lost_is_told(store: SqlStore) -> None:
    fleet.report(store, fleet.Machine("silent"))
    fleet.report(store, fleet.Machine("behind", agent_state=AgentState(3, 5, 2**62)))
    exporter = exporter_for(store)
    page = exporter.render()[1]
    found = {
        name.removeprefix("libcensus_host_"): (dict(labels)["host"], number)
        for (name, labels), number in samples(page).items()
        if "_waiting_" in name or "_dropped_" in name
    }
    assert found == {
        "waiting_reports": ("behind", 3),
        "dropped_reports_total": ("behind", 5),
        "dropped_facts_total": ("behind", 2**62),
    }
    fleet.report(
        store, fleet.Machine("behind", agent_state=AgentState(0, 5, 2**62)), at=fleet.NOON + timedelta(minutes=1)
    )
    assert value(exporter.render()[1], "libcensus_host_waiting_reports", host="behind") == 0


def test_openmetrics_understands_the_counters(store: SqlStore) -> None:
    fleet.report(store, fleet.Machine("behind", agent_state=AgentState(1, 2, 3)))
    page = exporter_for(store).render(Format.OPENMETRICS)[1].decode()
    kinds = {family.name: family.type for family in parse_openmetrics(page)}  # type: ignore[no-untyped-call]
    assert kinds["libcensus_host_dropped_reports"] == "counter"
    assert kinds["libcensus_host_waiting_reports"] == "gauge"


def test_the_end_of_a_hosts_certificate_is_told_as_long_as_it_has_one(store: SqlStore) -> None:
    end = fleet.NOON + timedelta(days=7)
    name = "libcensus_host_certificate_expiry_timestamp_seconds"
    fleet.report(store, fleet.Machine("plain"))
    fleet.report(store, fleet.Machine("known", certificate_expires_at=end))
    exporter = exporter_for(store)
    found = {
        dict(labels)["host"]: number for (each, labels), number in samples(exporter.render()[1]).items() if each == name
    }
    assert found == {"known": end.timestamp()}
    later = fleet.Machine("known", certificate_expires_at=end + timedelta(days=5))
    fleet.report(store, later, at=fleet.NOON + timedelta(minutes=1))
    assert value(exporter.render()[1], name, host="known") == (end + timedelta(days=5)).timestamp()
