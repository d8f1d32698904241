"""Every question with a selector, against the same question to a fleet that has the chosen hosts and no others."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from libcensus.collector.acceptance.fleet import FleetAcceptances
from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.fleetindex import FleetIndex
from libcensus.collector.posture.acceptance import Acceptances
from libcensus.collector.posture.assessment import Assessor
from libcensus.collector.postureindex import PostureIndexes
from libcensus.collector.service.fleet import FleetReader
from libcensus.collector.service.portability import PortabilityReader
from libcensus.collector.service.posture import PostureReader, Question
from libcensus.collector.service.providers import ProvidersReader
from libcensus.collector.simulation.fill import Simulation
from libcensus.collector.store.sql import SqlStore
from libcensus.facts.artefact import Artefact, WheelTag
from libcensus.facts.codec import artefact_to_proto
from libcensus.facts.vocabulary import ArtefactKind
from libcensus.v1 import fleet_pb2
from tests.collector.metrics import fleet
from tests.collector.service.running import Client, client_of, running_collector, status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from libcensus.collector.store.contract import HostStamp, HostState

HOSTS = 70
DAYS = 120

Labels = dict[str, str]

CHOICES: dict[str, Callable[[Labels], bool]] = {
    "env=prod": lambda own: own.get("env") == "prod",
    "env!=prod": lambda own: own.get("env") != "prod",
    "env=prod,team=web": lambda own: own.get("env") == "prod" and own.get("team") == "web",
    "env in (prod,dev),!legacy": lambda own: own.get("env") in {"prod", "dev"} and "legacy" not in own,
    "example.com/zone notin (a)": lambda own: own.get("example.com/zone") != "a",
    "legacy": lambda own: "legacy" in own,
    "env=elsewhere": lambda _: False,
    "evn=prod": lambda _: False,
    "evn!=prod": lambda _: True,
}
UNKNOWN_KEYS = {"evn=prod": ("evn",), "evn!=prod": ("evn",)}

ARTEFACTS = (
    Artefact("demo-1.whl", ArtefactKind.WHEEL_NAME, tags=(WheelTag("cp311", "cp311", "manylinux_2_28_x86_64"),)),
    Artefact("pure-1.whl", ArtefactKind.WHEEL_NAME, tags=(WheelTag("py3", "none", "any"),), requires_python=">=3.12"),
)


def labels_of(number: int) -> Labels:
    """The labels of a host; every tenth has none."""
    if number % 10 == 9:
        return {}
    found = {"env": ("prod", "staging", "dev")[number % 3], "team": ("web", "db")[number % 2]}
    if number % 7 == 0:
        found["legacy"] = ""
    if number % 5 < 3:
        found["example.com/zone"] = "abc"[number % 5]
    return found


class NarrowedStore(SqlStore):
    """A store that has some of its hosts only."""

    only: frozenset[str] = frozenset()

    def host_stamps(self) -> list[HostStamp]:
        return [stamp for stamp in super().host_stamps() if stamp.host_id in self.only]

    def stamps_at(self, moment: datetime) -> list[HostStamp]:
        return [stamp for stamp in super().stamps_at(moment) if stamp.host_id in self.only]

    def hosts(self, host_ids: Iterable[str] | None = None) -> list[HostState]:
        return [state for state in super().hosts(host_ids) if state.host_id in self.only]


class Asked:
    """Everything that can be asked of a store."""

    def __init__(self, store: SqlStore, assessor: Assessor) -> None:
        def accepted_on(day: Any) -> FleetAcceptances:
            return FleetAcceptances(Acceptances((), day), store.labels())

        indexes = PostureIndexes(store, lambda: assessor, accepted_on)
        self.today = assessor.today
        self.portability = PortabilityReader(FleetIndex(store), lambda: assessor)
        self.posture = PostureReader(indexes)
        self.providers = ProvidersReader(indexes)
        self.hosts = FleetReader(store, lambda: assessor, lambda: accepted_on(assessor.today))


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with a simulated fleet that has a past and labels."""
    url = f"sqlite:///{tmp_path_factory.mktemp('selection') / 'fleet.db'}"
    with SqlStore.open(url) as store:
        Simulation(load_snapshot(), 11, HOSTS, days=DAYS).fill(store)
        for number, stamp in enumerate(store.host_stamps()):
            store.set_labels(stamp.host_id, labels_of(number))
    return url


@pytest.fixture(scope="module")
def assessor() -> Assessor:
    return Assessor(load_snapshot(), Simulation(load_snapshot(), 11, 1).as_of)


@pytest.fixture(scope="module")
def whole(address: str, assessor: Assessor) -> Iterator[Asked]:
    """The whole fleet, which selectors choose from."""
    with SqlStore.open(address, beside=True) as store:
        yield Asked(store, assessor)


@pytest.fixture(params=CHOICES, scope="module")
def choice(request: pytest.FixtureRequest, address: str, assessor: Assessor) -> Iterator[tuple[str, Asked]]:
    """A selector, and the fleet as if there were no other hosts than those that it should choose."""
    selector: str = request.param
    with NarrowedStore.open(address, beside=True) as store:
        assert isinstance(store, NarrowedStore)
        labels: Mapping[str, Mapping[str, str]] = store.labels()
        store.only = frozenset(
            stamp.host_id
            for stamp in SqlStore.host_stamps(store)
            if CHOICES[selector](dict(labels.get(stamp.host_id, {})))
        )
        yield selector, Asked(store, assessor)


def test_the_choices_are_about_some_hosts_and_not_about_all(whole: Asked, choice: tuple[str, Asked]) -> None:
    selector, alone = choice
    page = whole.hosts.list_hosts(1000, "", selector)
    assert page.hosts == alone.hosts.list_hosts(1000, "").hosts
    assert page.unknown_keys == UNKNOWN_KEYS.get(selector, ())
    assert len(page.hosts) < HOSTS or selector == "evn!=prod"
    assert bool(page.hosts) == (selector not in {"env=elsewhere", "evn=prod"})


def test_the_matrix_is_that_of_the_chosen_hosts(whole: Asked, choice: tuple[str, Asked]) -> None:
    selector, alone = choice
    told = whole.portability.matrix(selector=selector)
    assert replace(told, unknown_keys=()) == alone.portability.matrix()
    assert told.unknown_keys == UNKNOWN_KEYS.get(selector, ())
    assert whole.portability.matrix(provider="pbs", selector=selector).builds == tuple(
        build for build in told.builds if build.provider == "pbs"
    )


def test_c_libraries_are_those_of_the_chosen_hosts(whole: Asked, choice: tuple[str, Asked]) -> None:
    selector, alone = choice
    told = whole.portability.libcs(selector)
    assert replace(told, unknown_keys=()) == alone.portability.libcs()
    assert told.unknown_keys == UNKNOWN_KEYS.get(selector, ())


@pytest.mark.parametrize("artefact", ARTEFACTS, ids=lambda artefact: artefact.name)
def test_an_artefact_is_judged_on_the_chosen_hosts(whole: Asked, choice: tuple[str, Asked], artefact: Artefact) -> None:
    selector, alone = choice
    told = whole.portability.check(artefact, selector=selector)
    assert replace(told, unknown_keys=()) == alone.portability.check(artefact)
    assert told.unknown_keys == UNKNOWN_KEYS.get(selector, ())


@pytest.mark.parametrize(
    "asked",
    [
        Question(),
        Question(provider="pbs", limit=3),
        Question(component="openssl"),
        Question(advisory="CVE-2025-15467"),
        Question(day="PAST"),
    ],
    ids=["everything", "a provider", "a component", "an advisory", "a past day"],
)
def test_posture_is_that_of_the_chosen_hosts(whole: Asked, choice: tuple[str, Asked], asked: Question) -> None:
    selector, alone = choice
    if asked.day:
        asked = replace(asked, day=(whole.today - timedelta(days=60)).isoformat())
    told = whole.posture.posture(replace(asked, labels=selector))
    assert replace(told, unknown_keys=()) == alone.posture.posture(asked)
    assert told.unknown_keys == UNKNOWN_KEYS.get(selector, ())


def test_how_long_fixes_took_is_told_of_the_chosen_hosts(whole: Asked, choice: tuple[str, Asked]) -> None:
    selector, alone = choice
    for day in ("", (whole.today - timedelta(days=40)).isoformat()):
        told = whole.providers.providers(day=day, selector=selector)
        assert replace(told, unknown_keys=()) == alone.providers.providers(day=day)
        assert told.unknown_keys == UNKNOWN_KEYS.get(selector, ())


def test_a_label_that_changes_counts_at_once(tmp_path: Path) -> None:
    judge = fleet.assessor()
    with SqlStore.open(f"sqlite:///{tmp_path / 'census.db'}") as store:
        fleet.report(store, fleet.Machine("web-1"))
        fleet.report(store, fleet.Machine("old", platform=fleet.platform(28)))
        reader = PortabilityReader(FleetIndex(store), lambda: judge)
        assert reader.libcs("env=prod").libcs == ()
        store.set_labels(fleet.host_id_of("old"), {"env": "prod"})
        assert [(one.version, one.hosts) for one in reader.libcs("env=prod").libcs] == [("2.28", 1)]
        store.remove_labels(fleet.host_id_of("old"), ["env"])
        assert reader.libcs("env=prod").unknown_keys == ("env",)


# --- over the wire -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A collector with two hosts, one of them with labels."""
    folder = tmp_path_factory.mktemp("wire")
    with SqlStore.open(f"sqlite:///{folder / 'census.db'}") as store:
        fleet.report(store, fleet.Machine("web-1"))
        fleet.report(store, fleet.Machine("old", platform=fleet.platform(28)))
        store.set_labels(fleet.host_id_of("old"), {"env": "prod"})
        with running_collector(folder, store) as collector, client_of(collector) as connected:
            yield connected


def questions(selector: str) -> dict[str, Any]:
    """Every request that has a selector, by method."""
    return {
        "ListHosts": fleet_pb2.ListHostsRequest(selector=selector),
        "CheckPortability": fleet_pb2.CheckPortabilityRequest(
            artefact=artefact_to_proto(ARTEFACTS[0]), selector=selector
        ),
        "GetLibcHosts": fleet_pb2.GetLibcHostsRequest(selector=selector),
        "GetMatrix": fleet_pb2.GetMatrixRequest(selector=selector),
        "GetPosture": fleet_pb2.GetPostureRequest(selector=selector),
        "GetProviders": fleet_pb2.GetProvidersRequest(selector=selector),
    }


HOSTS_OF: dict[str, Callable[[Any], int]] = {
    "ListHosts": lambda answer: len(answer.hosts),
    "CheckPortability": lambda answer: sum(one.on.hosts for one in answer.verdicts),
    "GetLibcHosts": lambda answer: sum(one.hosts for one in answer.libcs),
    "GetMatrix": lambda answer: sum(one.hosts for one in answer.platforms),
    "GetPosture": lambda answer: answer.hosts,
    "GetProviders": lambda answer: answer.hosts,
}


@pytest.mark.parametrize("method", HOSTS_OF)
@pytest.mark.parametrize(
    ("selector", "hosts", "unknown_keys"),
    [("", 2, []), ("env=prod", 1, []), ("env!=prod", 1, []), ("!team", 2, []), ("env=prod,team=web", 0, ["team"])],
)
def test_every_request_takes_a_selector(
    client: Client, method: str, selector: str, hosts: int, unknown_keys: list[str]
) -> None:
    answer = getattr(client.fleet, method)(questions(selector)[method], timeout=60)
    assert HOSTS_OF[method](answer) == hosts
    assert list(answer.unknown_keys) == unknown_keys


def test_what_is_no_selector_is_refused_alike_by_every_method(client: Client) -> None:
    refusals = set()
    for method, request in questions("env=prod,,").items():
        with pytest.raises(grpc.RpcError) as error:
            getattr(client.fleet, method)(request, timeout=60)
        refusals.add(status_of(error.value))
    ((code, details),) = refusals
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details.startswith("selector: the selector 'env=prod,,' holds an empty condition")


def test_every_request_about_the_fleet_has_a_selector() -> None:
    service = fleet_pb2.DESCRIPTOR.services_by_name["FleetService"]
    without = {method.name for method in service.methods if "selector" not in method.input_type.fields_by_name}
    # Both are about one host that is named.
    assert without == {"GetHost", "SetLabels"}
    assert set(HOSTS_OF) | without == set(service.methods_by_name)
