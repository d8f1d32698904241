"""Reports of an enrolled host over mutual TLS: who is spoken to, when a certificate is renewed, what fails how."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from libcensus.agent.credentials import IdentityFacts, IdentityFolder
from libcensus.agent.delivery import Courier
from libcensus.agent.enrollment import Request, enroll
from libcensus.agent.errors import AgentError, ConfigurationError, IdentityError, UnreachableError
from libcensus.agent.identity import find_identity
from libcensus.agent.renewal import RENEWAL, reason_to_renew, renew_when_due
from libcensus.agent.state import StateFolder
from libcensus.agent.target import parse_target
from tests.agent.authority import DAY, Authority, Desk, Taker, offering
from tests.integration.reporting_host import config_for, scan_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcensus.agent.config import AgentConfig
    from libcensus.agent.credentials import StoredIdentity

ROOT = Path(__file__).resolve().parents[2]
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@dataclass
class Enrolled:
    """An enrolled host beside a collector that takes reports and one that renews."""

    authority: Authority
    desk: Desk
    taker: Taker
    state: Path
    report_port: int
    desk_port: int

    def config(self, **more: Any) -> AgentConfig:
        values = {"collector.enroll_port": self.desk_port, **more}
        return config_for(f"127.0.0.1:{self.report_port}", self.state, **values)

    def courier(self, **more: Any) -> Courier:
        return Courier(self.config(**more))

    @property
    def folder(self) -> IdentityFolder:
        return IdentityFolder(self.state)

    @property
    def identity(self) -> StoredIdentity:
        found = self.folder.current()
        assert found is not None
        return found

    def enroll(self, begin: datetime | None = None, end: datetime | None = None) -> None:
        """Enroll with a certificate of this period, as the clock of the time would have seen it."""
        self.desk.begin, self.desk.end = begin, end
        StateFolder(self.state).create()
        (self.state / "ca.pem").write_bytes(self.authority.pem)
        request = Request(
            target=parse_target(f"127.0.0.1:{self.report_port}"),
            enroll_port=self.desk_port,
            http_port=9,
            ca_fingerprint=self.authority.fingerprint,
            ca_file=self.state / "ca.pem",
            host_id=find_identity(self.state).host_id,
        )
        moment = begin or datetime.now(UTC)
        enroll(request, "the-token", self.folder, self.config().collector, now=lambda: moment + timedelta(seconds=1))
        (self.state / "ca.pem").unlink()
        self.desk.begin = self.desk.end = None


@pytest.fixture
def host(authority: Authority, tmp_path: Path) -> Iterator[Enrolled]:
    desk, taker = Desk(authority), Taker()
    with offering(desk, authority) as desk_port, offering(taker, authority, mutual=True) as report_port:
        yield Enrolled(authority, desk, taker, tmp_path / "state", report_port, desk_port)


def due(host: Enrolled) -> None:
    """Enroll with a certificate that is good for another hour, of ten days."""
    now = datetime.now(UTC)
    host.enroll(now - 10 * DAY, now + HOUR)


# --- mutual TLS -------------------------------------------------------------------------------------------------------


def test_a_report_goes_over_mutual_tls_and_names_nobody_in_its_metadata(host: Enrolled) -> None:
    host.enroll()
    delivery = host.courier().deliver(lambda: scan_of(1))
    assert host.taker.callers == [host.identity.facts.serial]
    assert host.taker.requests[0].report_id == delivery.report.report_id
    assert host.desk.renewed == []


def test_the_enrollment_remembers_where_to_report(host: Enrolled) -> None:
    host.enroll()
    from libcensus.agent.config import load_config

    flags = {"state.folder": ("--state-dir", str(host.state))}
    config = load_config(flags, environment={}, user_id=0)
    assert config.collector.address == f"127.0.0.1:{host.report_port}"
    assert config.collector.enroll_port == host.desk_port
    assert config.values["collector.address"].origin == "enrollment"
    named = load_config(flags, environment={"LIBCENSUS_AGENT_COLLECTOR_ADDRESS": "other.example"}, user_id=0)
    assert named.collector.address == "other.example"


def test_a_collector_of_another_ca_gets_nothing(host: Enrolled) -> None:
    host.enroll()
    other, taker = Authority(), Taker()
    with offering(taker, other, mutual=True) as port:
        courier = Courier(config_for(f"127.0.0.1:{port}", host.state))
        with pytest.raises(IdentityError, match="not from the CA that this host trusts") as caught:
            courier.deliver(lambda: scan_of(1))
    assert "the report is kept in" in str(caught.value)
    assert "--ca-fingerprint" in str(caught.value) or "enroll --force" in str(caught.value)
    assert taker.requests == []
    assert len(courier.spool.waiting()) == 1
    assert courier.state.read()["last_failure"]["kind"] == "identity"


def test_a_collector_that_does_not_accept_the_certificate_is_told_from_one_that_is_away(host: Enrolled) -> None:
    host.enroll()
    # The server trusts clients of another authority: to this host's side the handshake looks fine.
    server = grpc.server(ThreadPoolExecutor(1))
    pair = host.authority.server()
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair], Authority().pem, True))
    server.start()
    courier = Courier(config_for(f"127.0.0.1:{port}", host.state))
    with pytest.raises(IdentityError, match="ended the connection when it saw this host's certificate") as caught:
        courier.deliver(lambda: scan_of(1))
    server.stop(None).wait()
    assert caught.value.exit_code == 5
    with pytest.raises(UnreachableError) as away:
        courier.deliver(lambda: scan_of(1, hour=1))
    assert away.value.exit_code == 4
    assert len(courier.spool.waiting()) == 2


def test_a_python_without_tls_names_the_refusal_as_one_of_two_reasons(
    host: Enrolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the bundle's says, which has no ``ssl``: the report is kept all the same."""
    host.enroll()
    monkeypatch.setitem(sys.modules, "ssl", None)
    server = grpc.server(ThreadPoolExecutor(1))
    pair = host.authority.server()
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair], Authority().pem, True))
    server.start()
    courier = Courier(config_for(f"127.0.0.1:{port}", host.state))
    with pytest.raises(UnreachableError, match="or it refuses this host's certificate: compare the clocks"):
        courier.deliver(lambda: scan_of(1))
    server.stop(None).wait()
    assert len(courier.spool.waiting()) == 1


def test_a_connection_that_ends_before_the_handshake_is_through_says_nothing_about_the_certificate(
    host: Enrolled,
) -> None:
    """What a load balancer does whose collectors are all away."""
    host.enroll()

    def hang_up(listener: socket.socket) -> None:
        while True:
            try:
                channel, _ = listener.accept()
            except OSError:
                return
            with channel, suppress(OSError):
                channel.recv(1)
                channel.shutdown(socket.SHUT_RDWR)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=hang_up, args=(listener,))
        thread.start()
        courier = Courier(config_for(f"127.0.0.1:{listener.getsockname()[1]}", host.state))
        with pytest.raises(UnreachableError):
            courier.deliver(lambda: scan_of(1))
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED])
def test_reports_of_a_refused_host_wait_until_it_is_accepted(host: Enrolled, code: grpc.StatusCode) -> None:
    host.enroll()
    host.taker.refuse = lambda _: (code, "the certificate was revoked")
    for hour in range(2):
        with pytest.raises(IdentityError, match="the certificate was revoked"):
            host.courier().deliver(lambda hour=hour: scan_of(1, hour=hour))  # type: ignore[misc]
    host.taker.refuse = lambda _: None
    delivery = host.courier().deliver(lambda: scan_of(1, hour=2))
    assert delivery.older_sent == 2
    waiting = [one.agent_state.waiting_reports for one in host.taker.requests]
    assert waiting == [2, 1, 0]


def test_a_remote_collector_without_an_identity_names_the_command_that_helps(tmp_path: Path) -> None:
    courier = Courier(config_for("census.example:9444", tmp_path / "state"))
    with pytest.raises(IdentityError, match=r"libcensus-agent enroll --collector census\.example") as caught:
        courier.deliver(lambda: scan_of(1))
    assert "token create" in str(caught.value)


def test_the_identity_of_another_machine_is_not_used(host: Enrolled) -> None:
    host.enroll()
    facts = replace(host.identity.facts, host_id="f" * 32)
    (host.identity.folder / "identity.json").write_bytes(facts.to_json())
    with pytest.raises(IdentityError, match="it is a copy of another machine"):
        host.courier().deliver(lambda: scan_of(1))
    assert host.taker.requests == []


# --- an external authority --------------------------------------------------------------------------------------------


def external(host: Enrolled, folder: Path) -> dict[str, str]:
    """Write what another authority issued; returns the settings."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    from tests.agent.authority import key_pem

    folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = host.authority.client("a" * 32, key.public_key())
    (folder / "key.pem").write_bytes(key_pem(key))
    (folder / "key.pem").chmod(0o600)
    (folder / "chain.pem").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    (folder / "ca.pem").write_bytes(host.authority.pem)
    return {
        "collector.ca": str(folder / "ca.pem"),
        "collector.certificate": str(folder / "chain.pem"),
        "collector.key": str(folder / "key.pem"),
    }


def test_a_certificate_of_another_authority_is_used_and_never_renewed(host: Enrolled, tmp_path: Path) -> None:
    host.courier(**external(host, tmp_path / "ext")).deliver(lambda: scan_of(1))
    assert len(host.taker.requests) == 1
    assert host.desk.calls == 0


def test_a_key_that_does_not_fit_is_found_before_the_scan(host: Enrolled, tmp_path: Path) -> None:
    files = external(host, tmp_path / "ext")
    other = external(host, tmp_path / "other")
    with pytest.raises(ConfigurationError, match="is not that of the certificate"):
        host.courier(**{**files, "collector.key": other["collector.key"]}).prepare()
    (tmp_path / "ext" / "key.pem").write_text("nothing")
    with pytest.raises(ConfigurationError, match="unencrypted key in PEM"):
        host.courier(**files).prepare()
    (tmp_path / "ext" / "key.pem").unlink()
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        host.courier(**files).prepare()


@pytest.mark.parametrize("absent", ["collector.ca", "collector.certificate", "collector.key"])
def test_the_three_files_are_given_together(host: Enrolled, tmp_path: Path, absent: str) -> None:
    files = external(host, tmp_path / "ext")
    del files[absent]
    if absent == "collector.certificate":
        del files["collector.ca"]
    with pytest.raises(ConfigurationError, match="is missing: a certificate of an external authority needs"):
        host.config(**files)


# --- when -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "reason"),
    [
        (0.0, None),
        (0.6, None),
        (0.67, "two thirds of its life are over"),
        (1.0, "it has expired"),
        (3.0, "it has expired"),
    ],
)
def test_a_certificate_is_renewed_at_two_thirds_of_its_life(host: Enrolled, age: float, reason: str | None) -> None:
    host.enroll()
    facts = host.identity.facts
    now = facts.not_before + (facts.not_after - facts.not_before) * age
    assert reason_to_renew(host.identity, None, now) == reason


def test_a_report_renews_a_certificate_that_is_due_and_speaks_with_the_new_one(host: Enrolled) -> None:
    due(host)
    old = host.identity
    host.courier().deliver(lambda: scan_of(1))
    assert len(host.desk.renewed) == 1
    assert host.identity.facts.serial != old.facts.serial
    assert host.identity.facts.collector == old.facts.collector
    assert host.taker.callers == [host.identity.facts.serial]
    assert host.folder.previous() is None
    host.courier().deliver(lambda: scan_of(1, hour=1))
    assert len(host.desk.renewed) == 1


def test_other_roots_in_the_configuration_lead_to_a_renewal_once(host: Enrolled, tmp_path: Path) -> None:
    host.enroll()
    given = tmp_path / "roots.pem"
    given.write_bytes(host.authority.pem)
    for hour in range(2):
        host.courier(**{"collector.ca": str(given)}).deliver(lambda hour=hour: scan_of(1, hour=hour))  # type: ignore[misc]
    assert len(host.desk.renewed) == 1
    given.write_bytes(host.authority.pem + Authority().pem)
    host.courier(**{"collector.ca": str(given)}).deliver(lambda: scan_of(1, hour=2))
    assert len(host.desk.renewed) == 2


def test_an_expired_certificate_is_renewed_before_the_report(host: Enrolled) -> None:
    now = datetime.now(UTC)
    host.enroll(now - 30 * DAY, now - 20 * DAY)
    host.courier().deliver(lambda: scan_of(1))
    assert host.identity.facts.not_after > now
    assert len(host.taker.requests) == 1


def test_a_renewal_that_fails_is_a_warning_and_the_report_goes_out(
    host: Enrolled, caplog: pytest.LogCaptureFixture
) -> None:
    due(host)
    host.desk.refuse = (grpc.StatusCode.UNAVAILABLE, "the database is busy")
    courier = host.courier()
    for hour in range(2):
        courier.deliver(lambda hour=hour: scan_of(1, hour=hour))  # type: ignore[misc]
    assert len(host.taker.requests) == 2
    assert "could not be renewed (two thirds of its life are over)" in caplog.text
    failure = courier.state.read()[RENEWAL]
    assert failure["failures"] == 1
    assert "the database is busy" in failure["message"]
    assert failure["next_try"] >= failure["at"]


def test_a_full_disk_stops_no_report_and_leaves_the_old_certificate(
    host: Enrolled, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    due(host)
    old = host.identity

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(IdentityFolder, "store", full)
    host.courier().deliver(lambda: scan_of(1))
    assert host.taker.callers == [old.facts.serial]
    assert host.identity == old
    assert "No space left on device" in caplog.text


def test_the_next_try_is_put_off_twice_as_long_each_time_by_chance(host: Enrolled) -> None:
    due(host)
    host.desk.refuse = (grpc.StatusCode.UNAVAILABLE, "x")
    state = StateFolder(host.state)
    ranges: list[float] = []
    moment = datetime.now(UTC)
    for _ in range(9):

        def spread(low: float, high: float) -> float:
            assert low == 0
            ranges.append(high)
            return 0.0

        renew_when_due(host.identity, host.config().collector, state, now=lambda: moment, spread=spread)
    assert ranges == [300, 600, 1200, 2400, 4800, 9600, 19200, 21600, 21600]
    host.desk.refuse = None
    renewed = renew_when_due(host.identity, host.config().collector, state)
    assert renewed.facts.not_after > moment + 6 * DAY
    assert state.read()[RENEWAL] is None


@pytest.mark.parametrize(
    ("code", "kind"),
    [(grpc.StatusCode.UNAVAILABLE, UnreachableError), (grpc.StatusCode.PERMISSION_DENIED, IdentityError)],
)
def test_an_expired_certificate_that_cannot_be_renewed_keeps_the_report_and_says_what_to_do(
    host: Enrolled, code: grpc.StatusCode, kind: type[AgentError]
) -> None:
    now = datetime.now(UTC)
    host.enroll(now - 30 * DAY, now - 20 * DAY)
    host.desk.refuse = (code, "the grace period is over")
    with pytest.raises(kind, match=r"certificate expired on .* the grace period is over") as caught:
        host.courier().deliver(lambda: scan_of(1))
    assert len(host.courier().spool.waiting()) == 1
    if kind is IdentityError:
        assert "enroll --force" in str(caught.value)


def test_a_new_certificate_that_is_not_accepted_gives_way_to_the_old_one(host: Enrolled) -> None:
    due(host)
    old = host.identity.facts.serial
    host.taker.refuse = lambda serial: None if serial == old else (grpc.StatusCode.UNAUTHENTICATED, "who?")
    host.courier().deliver(lambda: scan_of(1))
    assert host.taker.callers == [old]
    assert host.identity.facts.serial == old
    assert [path.name for path in sorted((host.state / "identity").iterdir())] == ["000001", "current"]


def test_the_old_generation_stays_until_the_new_one_was_used(host: Enrolled) -> None:
    due(host)
    old = host.identity
    host.taker.refuse = lambda _: (grpc.StatusCode.UNAVAILABLE, "stopping")
    with pytest.raises(UnreachableError):
        host.courier().deliver(lambda: scan_of(1))
    assert host.folder.previous() == old
    host.taker.refuse = lambda _: None
    host.courier().deliver(lambda: scan_of(1, hour=1))
    assert host.folder.previous() is None


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_damaged_identity_is_refused_before_the_scan(host: Enrolled) -> None:
    host.enroll()
    (host.identity.folder / "identity.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="is damaged; enroll this host again"):
        host.courier().prepare()


def test_facts_of_an_identity_come_back() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    facts = IdentityFacts("a" * 32, "spiffe://x/agent/a", "1f", now, now + DAY, "c:1", 9446, "b" * 64)
    assert IdentityFacts.from_json(facts.to_json()) == facts
    for wrong in (b"", b"[]", b"{}", b'{"host_id": 3}'):
        with pytest.raises((ValueError, TypeError)):
            IdentityFacts.from_json(wrong)


# --- death ------------------------------------------------------------------------------------------------------------

DYING = """
import os, signal, sys
from pathlib import Path
from libcensus.agent import transport
from libcensus.agent.delivery import Courier
from tests.integration.reporting_host import config_for, scan_of
die_at, address, enroll_port, state = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
count = 0
def step():
    global count
    count += 1
    if count == die_at:
        os.kill(os.getpid(), signal.SIGKILL)
def dying(real):
    def call(*arguments, **options):
        step()
        return real(*arguments, **options)
    return call
def dying_after(real):
    def call(*arguments, **options):
        answer = real(*arguments, **options)
        step()
        return answer
    return call
for name in ("fsync", "replace", "rename", "unlink", "symlink", "mkdir", "rmdir"):
    setattr(os, name, dying(getattr(os, name)))
for name in ("challenge", "renew"):
    setattr(transport.EnrollmentClient, name, dying(dying_after(getattr(transport.EnrollmentClient, name))))
transport.CollectorClient.send = dying(dying_after(transport.CollectorClient.send))
Courier(config_for(address, state, **{"collector.enroll_port": enroll_port})).deliver(lambda: scan_of(1))
print(count)
"""


def test_an_agent_that_is_killed_at_any_step_of_a_renewal_reports_the_next_time(
    authority: Authority, tmp_path: Path
) -> None:
    desk, taker = Desk(authority), Taker()
    with offering(desk, authority) as desk_port, offering(taker, authority, mutual=True) as report_port:
        for die_at in range(1, 200):
            host = Enrolled(authority, desk, taker, tmp_path / f"state-{die_at}", report_port, desk_port)
            due(host)
            old = host.identity
            arguments = [str(die_at), f"127.0.0.1:{report_port}", str(desk_port), str(host.state)]
            done = subprocess.run(
                [sys.executable, "-c", DYING, *arguments],
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
                cwd=ROOT,
            )
            if done.returncode == 0:
                break
            assert done.returncode == -9, done.stderr
            identity = host.identity
            taker.callers.clear()
            host.courier().deliver(lambda: scan_of(1, 2, hour=1))
            assert host.identity.facts.serial != old.facts.serial
            assert set(taker.callers) == {host.identity.facts.serial}
            if identity.facts.serial != old.facts.serial:
                assert host.identity == identity
            left = {path.name for path in (host.state / "identity").iterdir()}
            assert left == {host.identity.folder.name, "current"}, die_at
            assert host.courier().spool.waiting() == []
    assert done.returncode == 0, "the agent never came to its end"
    assert 25 < int(done.stdout) < die_at
