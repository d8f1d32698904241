"""Labels that operators give, and hosts that are silent, over real gRPC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from libcensus.collector.posture.selector import MOST_LABELS
from libcensus.collector.service.errors import IdentityError
from libcensus.collector.service.fleet import FleetReader, FleetServicer
from libcensus.collector.service.identity import LoopbackIdentity
from libcensus.collector.store.sql import SqlStore
from libcensus.v1 import fleet_pb2
from tests.collector.metrics import fleet
from tests.collector.service.running import Client, client_of, running_collector, status_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ("db", "web-1", "web-2")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with SqlStore.open(f"sqlite:///{tmp_path / 'census.db'}") as opened:
        for number, name in enumerate(NAMES):
            fleet.report(opened, fleet.Machine(name), at=fleet.NOON - timedelta(hours=12 * number))
        yield opened


@pytest.fixture
def client(store: SqlStore, tmp_path: Path) -> Iterator[Client]:
    with running_collector(tmp_path, store) as collector, client_of(collector) as connected:
        yield connected


def change(client: Client, host: str, given: dict[str, str] | None = None, taken: tuple[str, ...] = ()) -> Any:
    labels = [fleet_pb2.HostLabel(key=key, value=value) for key, value in (given or {}).items()]
    request = fleet_pb2.SetLabelsRequest(host=host, set=labels, remove=taken)
    return client.fleet.SetLabels(request, timeout=30)


def test_labels_are_given_replaced_and_taken(client: Client, store: SqlStore) -> None:
    change(client, "web-1", {"team": "web", "env": "dev"})
    answer = change(client, fleet.host_id_of("web-1"), {"env": "prod", "example.com/zone": "b"}, ("team",))
    assert (answer.host_id, answer.name) == (fleet.host_id_of("web-1"), "web-1")
    told = [(label.key, label.value) for label in answer.labels]
    assert told == [("env", "prod"), ("example.com/zone", "b")]
    assert dict(store.labels()) == {fleet.host_id_of("web-1"): dict(told)}


REFUSALS: dict[str, tuple[str, list[tuple[str, str]], tuple[str, ...], str]] = {
    "a key that is none": ("web-1", [("-", "x")], (), "labels: '-' is no key of a label"),
    "a value that is none": ("web-1", [("env", "a b")], (), "labels: 'a b' is no value of a label"),
    "an equals sign in a key": ("web-1", [("a=b", "c")], (), "labels: 'b=c' is no value of a label"),
    "a key twice": ("web-1", [("env", "a"), ("env", "b")], (), "labels: the label 'env' is given twice"),
    "given and taken": ("web-1", [("env", "a")], ("env",), "labels: the label 'env' is given and taken at once"),
    "not there to take": ("web-1", [("env", "a")], ("team",), "labels: web-1 has no label team; nothing was changed"),
    "nothing to do": ("web-1", [], (), "set, remove: are both empty"),
    "no host's name": ("", [("env", "a")], (), "host: is empty"),
    "too many": ("web-1", [(f"k{n}", "") for n in range(MOST_LABELS + 1)], (), "labels: web-1 would have more than"),
}


@pytest.mark.parametrize(("host", "given", "taken", "words"), REFUSALS.values(), ids=REFUSALS)
def test_what_is_refused_changes_nothing(
    client: Client, store: SqlStore, host: str, given: list[tuple[str, str]], taken: tuple[str, ...], words: str
) -> None:
    labels = [fleet_pb2.HostLabel(key=key, value=value) for key, value in given]
    with pytest.raises(grpc.RpcError) as error:
        client.fleet.SetLabels(fleet_pb2.SetLabelsRequest(host=host, set=labels, remove=taken), timeout=30)
    code, details = status_of(error.value)
    assert (code, details[: len(words)]) == (grpc.StatusCode.INVALID_ARGUMENT, words)
    assert store.labels() == {}


def test_a_host_that_is_not_there_is_not_found(client: Client) -> None:
    with pytest.raises(grpc.RpcError) as error:
        change(client, "nobody", {"env": "prod"})
    assert status_of(error.value) == (grpc.StatusCode.NOT_FOUND, "no host has the name or id 'nobody'")


class NoOperator(LoopbackIdentity):
    """A connection that may not ask for the fleet."""

    def require_operator(self, context: grpc.ServicerContext) -> None:  # noqa: ARG002 - whoever it is
        raise IdentityError("an agent is no operator")


def test_every_method_asks_whether_an_operator_speaks(store: SqlStore) -> None:
    judge = fleet.assessor()
    # Nothing behind the question may be reached, so nothing is there.
    nothing: Any = None
    servicer = FleetServicer(FleetReader(store, lambda: judge), nothing, nothing, nothing, NoOperator())
    handlers = servicer.handlers()
    assert set(handlers) == set(fleet_pb2.DESCRIPTOR.services_by_name["FleetService"].methods_by_name)
    for handler in handlers.values():
        answer: Any = handler.unary_unary
        with pytest.raises(IdentityError):
            answer(b"", nothing)
    assert store.labels() == {}


@pytest.mark.parametrize(
    ("seconds", "names"),
    [
        (0, ["db", "web-1", "web-2"]),
        (3600, ["db", "web-1", "web-2"]),
        (3601, ["web-1", "web-2"]),
        (13 * 3600, ["web-1", "web-2"]),
        (25 * 3600, ["web-2"]),
        (25 * 3600 + 1, []),
        (315_576_000_000, []),
    ],
)
def test_hosts_that_have_not_reported_for_so_long(store: SqlStore, seconds: int, names: list[str]) -> None:
    judge = fleet.assessor()
    reader = FleetReader(store, lambda: judge, now=lambda: fleet.NOON + timedelta(hours=1))
    assert [host.name for host in reader.list_hosts(100, "", silent_seconds=seconds).hosts] == names
    # One page after the other has the same.
    found: list[str] = []
    token = ""
    while len(found) <= len(NAMES):
        page = reader.list_hosts(1, token, silent_seconds=seconds)
        found += [host.name for host in page.hosts]
        token = page.next_page_token
        if not token:
            break
    assert found == names


def test_silence_is_asked_for_over_the_wire_and_goes_with_a_selector(client: Client) -> None:
    change(client, "web-2", {"env": "prod"})
    since = datetime.now(UTC) - fleet.NOON + timedelta(hours=6)
    silent = Duration(seconds=int(since.total_seconds()))
    answer = client.fleet.ListHosts(fleet_pb2.ListHostsRequest(silent=silent), timeout=30)
    assert [host.name for host in answer.hosts] == ["web-1", "web-2"]
    answer = client.fleet.ListHosts(fleet_pb2.ListHostsRequest(silent=silent, selector="env=prod"), timeout=30)
    assert [host.name for host in answer.hosts] == ["web-2"]


def test_a_negative_silence_is_refused(client: Client) -> None:
    with pytest.raises(grpc.RpcError) as error:
        client.fleet.ListHosts(fleet_pb2.ListHostsRequest(silent=Duration(seconds=-1)), timeout=30)
    code, details = status_of(error.value)
    assert (code, details[:7]) == (grpc.StatusCode.INVALID_ARGUMENT, "silent:")
