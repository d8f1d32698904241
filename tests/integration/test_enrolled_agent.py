"""An enrolled agent and the real collector: the whole way by command, renewal, refusals, and what is never shown."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from libcensus.agent.credentials import IdentityFacts, IdentityFolder, certificate_to_pem
from libcensus.agent.delivery import Courier
from libcensus.agent.enrollment import Request, enroll
from libcensus.agent.errors import IdentityError
from libcensus.agent.identity import find_identity
from libcensus.agent.resident import Resident
from libcensus.agent.state import StateFolder
from libcensus.agent.target import parse_target
from libcensus.collector.app import Collector
from libcensus.collector.config import CollectorSettings
from libcensus.collector.pki.authority import Authority
from libcensus.collector.pki.identity import Identity, Role
from libcensus.collector.pki.records import CertificateRecord
from libcensus.collector.pki.tokens import make_token
from libcensus.collector.store.sql import SqlStore
from tests.integration.reporting_host import config_for, scan_of
from tests.integration.test_run import NOBODY, QUICK, Scanner, meanwhile, wait_for_reports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcensus.agent.config import AgentConfig

AGENT = Path(sys.prefix) / "bin" / "libcensus-agent"
ELSEWHERE = ("/root", "/home", "/var", "/srv", "/opt", "/tmp", "/mnt", "/media", "/work", "/workspace", "/builds")
DAY = timedelta(days=1)


@dataclass
class Fleet:
    """A collector with an authority of its own, and a clock that can be set."""

    folder: Path
    back: timedelta = timedelta()
    running: list[Collector] = field(default_factory=list)

    def clock(self) -> datetime:
        return datetime.now(UTC) - self.back

    @property
    def database(self) -> str:
        return f"sqlite:///{self.folder}/collector.db"

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    def start(self) -> None:
        if not self.pki.exists():
            Authority.init(self.pki, "libcensus", self.clock() - DAY)
        settings = CollectorSettings(
            listen="127.0.0.1:0",
            http_listen="127.0.0.1:0",
            enroll_listen="127.0.0.1:0",
            database=self.database,
            pki_dir=str(self.pki),
            server_names=("127.0.0.1", "localhost"),
            audit_log=str(self.folder / "audit.jsonl"),
        )
        self.running.append(Collector(settings, clock=self.clock).start())

    def stop(self) -> None:
        for one in self.running:
            one.stop()
        self.running.clear()

    @property
    def collector(self) -> Collector:
        return self.running[-1]

    @property
    def fingerprint(self) -> str:
        return Authority.load(self.pki, "libcensus").fingerprints[0]

    def token(self, **more: Any) -> str:
        kept, text = make_token(self.clock(), timedelta(hours=1), **more)
        with SqlStore.open(self.database, beside=True) as store:
            store.put_token(kept)
        return text

    def address(self) -> str:
        return self.collector.grpc_address

    def ports(self) -> dict[str, int]:
        return {
            "enroll": int(self.collector.enrollment_address.rpartition(":")[2]),
            "http": int(self.collector.http_address.rpartition(":")[2]),
        }

    def config(self, state: Path, **more: Any) -> AgentConfig:
        return config_for(self.address(), state, **{"collector.enroll_port": self.ports()["enroll"], **more})

    def enroll(self, state: Path, token: str | None = None) -> None:
        """Enroll as a host would whose clock is the collector's."""
        StateFolder(state).create()
        request = Request(
            target=parse_target(self.address()),
            enroll_port=self.ports()["enroll"],
            http_port=self.ports()["http"],
            ca_fingerprint=self.fingerprint,
            ca_file=None,
            host_id=find_identity(state).host_id,
        )
        enroll(request, token or self.token(), IdentityFolder(state), self.config(state).collector, now=self.clock)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    (tmp_path / "collector").mkdir()
    made = Fleet(tmp_path / "collector")
    yield made
    made.stop()


def agent(*arguments: str, state: Path, token: str = "") -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LIBCENSUS_")}
    environment["LIBCENSUS_AGENT_STATE_FOLDER"] = str(state)
    environment["LIBCENSUS_AGENT_SCAN_EXCLUDE"] = ":".join(ELSEWHERE)
    environment["LIBCENSUS_AGENT_SCAN_CONTAINERS"] = environment["LIBCENSUS_AGENT_SCAN_PROCESSES"] = "false"
    environment["LIBCENSUS_AGENT_COLLECTOR_ATTEMPTS"] = "1"
    return subprocess.run(
        [AGENT, *arguments], capture_output=True, text=True, check=False, timeout=200, env=environment, input=token
    )


def enroll_arguments(fleet: Fleet, **more: str) -> list[str]:
    flags = {
        "--collector": fleet.address(),
        "--token-file": "-",
        "--ca-fingerprint": fleet.fingerprint,
        "--enroll-port": str(fleet.ports()["enroll"]),
        "--http-port": str(fleet.ports()["http"]),
        **more,
    }
    return ["enroll", *(word for pair in flags.items() for word in pair)]


def status_of(state: Path, *flags: str) -> tuple[int, dict[str, Any]]:
    result = agent("status", "--output", "json", *flags, state=state)
    return result.returncode, json.loads(result.stdout)


def test_one_command_enrolls_and_the_next_reports_and_tells_how_it_stands(fleet: Fleet, tmp_path: Path) -> None:
    fleet.start()
    state = tmp_path / "state"
    result = agent(*enroll_arguments(fleet), state=state, token=fleet.token() + "\n")
    assert result.returncode == 0, result.stderr
    host_id = find_identity(state).host_id
    first, second, third = result.stdout.splitlines()
    assert first == f"enrolled: host {host_id} at {fleet.address()}"
    assert re.fullmatch(
        rf"certificate: spiffe://libcensus/agent/{host_id}, good until \S+Z, renewed from \S+Z on by .*", second
    )
    assert third.startswith("next: libcensus-agent report")
    assert not result.stderr

    code, status = status_of(state)
    assert (code, status["state"]) == (4, "never-reported")
    assert (status["collector"], status["host_id"]) == (fleet.address(), host_id)
    assert status["certificate"]["subject"] == f"spiffe://libcensus/agent/{host_id}"

    reported = agent("report", state=state)
    assert reported.returncode == 0, reported.stderr
    assert f"acknowledged by {fleet.address()}" in reported.stdout
    assert not reported.stderr
    code, status = status_of(state)
    assert (code, status["state"]) == (0, "ok")
    assert f"certificate: spiffe://libcensus/agent/{host_id}, until " in agent("status", state=state).stdout

    early = agent("report", "--if-due", state=state)
    assert early.returncode == 0
    assert early.stdout.startswith("not due before ")

    again = agent(*enroll_arguments(fleet), state=state, token="nothing is read")
    assert again.returncode == 0
    assert again.stdout.startswith(f"enrolled already: host {host_id}")
    with SqlStore.open(fleet.database, beside=True) as store:
        (host,) = store.hosts()
        assert host.host_id == host_id
        assert host.report.agent_state is not None
        assert len(store.certificates(f"agent/{host_id}")) == 1


def test_what_is_refused_has_exit_code_5_its_text_and_no_identity(fleet: Fleet, tmp_path: Path) -> None:
    fleet.start()
    state = tmp_path / "state"
    token = fleet.token()
    wrong_ca = agent(*enroll_arguments(fleet, **{"--ca-fingerprint": "0" * 64}), state=state, token=token)
    assert wrong_ca.returncode == 5
    assert "nothing was sent" in wrong_ca.stderr
    wrong_token = agent(*enroll_arguments(fleet), state=state, token=token[:-1] + ("a" if token[-1] != "a" else "b"))
    assert wrong_token.returncode == 5
    assert "this join token is not known here" in wrong_token.stderr
    assert not (state / "identity" / "current").exists()
    assert agent(*enroll_arguments(fleet), state=state, token=token).returncode == 0
    # A copy of the machine, which has its machine id and not its key.
    clone = agent(*enroll_arguments(fleet), state=tmp_path / "clone", token=fleet.token())
    assert clone.returncode == 5
    assert "is enrolled already, by a machine with another key" in clone.stderr
    assert len(clone.stderr.splitlines()) == 1
    replaced = agent(*enroll_arguments(fleet), "--force", state=state, token=fleet.token(replaces=True))
    assert replaced.returncode == 0, replaced.stderr


def test_a_token_that_was_used_for_a_lost_answer_is_good_for_the_same_host(fleet: Fleet, tmp_path: Path) -> None:
    fleet.start()
    state, token = tmp_path / "state", fleet.token()
    folder = IdentityFolder(state)
    original = folder.__class__.store

    def die(*_: object, **__: object) -> Any:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as dying:
        dying.setattr(IdentityFolder, "store", die)
        with pytest.raises(KeyboardInterrupt):
            fleet.enroll(state, token)
    assert IdentityFolder.store is original
    assert folder.current() is None
    fleet.enroll(state, token)
    Courier(fleet.config(state)).deliver(lambda: scan_of(1))


def test_a_certificate_is_renewed_with_the_collector_and_the_old_one_is_renewed_no_more(
    fleet: Fleet, tmp_path: Path
) -> None:
    fleet.back = 5 * DAY
    fleet.start()
    state = tmp_path / "state"
    fleet.enroll(state)
    fleet.back = timedelta()
    old = IdentityFolder(state).current()
    assert old is not None
    Courier(fleet.config(state)).deliver(lambda: scan_of(1))
    new = IdentityFolder(state).current()
    assert new is not None
    assert new.facts.serial != old.facts.serial
    assert new.facts.not_after - datetime.now(UTC) > 6 * DAY
    with SqlStore.open(fleet.database, beside=True) as store:
        kept = store.find_certificate(new.facts.serial)
        assert kept is not None
        assert kept.predecessor == old.facts.serial


def give_certificate_of(fleet: Fleet, state: Path, begin: datetime) -> None:
    """Put into the state folder what an enrollment at that time would have left there, and into the store."""
    key = ec.generate_private_key(ec.SECP256R1())
    host_id = find_identity(state).host_id
    identity = Identity("libcensus", Role.AGENT, host_id)
    issued = Authority.load(fleet.pki, "libcensus").issue(key.public_key(), identity, 7 * DAY, begin)
    with SqlStore.open(fleet.database, beside=True) as store:
        store.put_certificate(
            CertificateRecord(issued.serial, identity.subject, issued.key_sha256, begin, issued.not_after)
        )
    facts = IdentityFacts(
        host_id, identity.uri, issued.serial, issued.not_before, issued.not_after, fleet.address(), 9446
    )
    IdentityFolder(state).store(
        key=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        chain=b"".join(certificate_to_pem(der) for der in issued.chain),
        roots=Authority.load(fleet.pki, "libcensus").roots_pem,
        facts=facts,
    )


def test_a_host_that_was_off_for_weeks_renews_within_the_grace_period_and_then_no_more(
    fleet: Fleet, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    StateFolder(state).create()
    fleet.back = 100 * DAY
    Authority.init(fleet.pki, "libcensus", fleet.clock())
    fleet.back = timedelta()
    fleet.start()
    give_certificate_of(fleet, state, datetime.now(UTC) - 60 * DAY)
    with pytest.raises(IdentityError, match=r"could not be renewed: .*grace period of 30 days") as caught:
        Courier(fleet.config(state)).deliver(lambda: scan_of(1))
    assert "enroll --force" in str(caught.value)
    give_certificate_of(fleet, state, datetime.now(UTC) - 20 * DAY)
    delivery = Courier(fleet.config(state)).deliver(lambda: scan_of(1, hour=1))
    assert delivery.older_sent == 1


def test_a_revoked_host_keeps_its_reports_and_is_told(fleet: Fleet, tmp_path: Path) -> None:
    fleet.start()
    state = tmp_path / "state"
    fleet.enroll(state)
    Courier(fleet.config(state)).deliver(lambda: scan_of(1))
    with SqlStore.open(fleet.database, beside=True) as store:
        store.revoke_certificates(fleet.clock(), "lost", subject=f"agent/{find_identity(state).host_id}")
    fleet.stop()
    fleet.start()
    courier = Courier(fleet.config(state))
    with pytest.raises(IdentityError, match="revoked") as caught:
        courier.deliver(lambda: scan_of(1, hour=1))
    assert caught.value.exit_code == 5
    assert len(courier.spool.waiting()) == 1


def test_a_ca_that_is_rotated_is_followed_without_enrolling_again(fleet: Fleet, tmp_path: Path) -> None:
    from libcensus.collector.pki.authority import retire_root, rotate_root

    fleet.back = 5 * DAY
    fleet.start()
    state = tmp_path / "state"
    fleet.enroll(state)
    first = fleet.fingerprint
    fleet.stop()
    fleet.back = timedelta()
    rotate_root(fleet.pki, fleet.clock())
    fleet.start()
    Courier(fleet.config(state)).deliver(lambda: scan_of(1))
    identity = IdentityFolder(state).current()
    assert identity is not None
    assert identity.credentials.roots.count(b"BEGIN") == 2
    fleet.stop()
    retire_root(fleet.pki, first)
    fleet.start()
    Courier(fleet.config(state)).deliver(lambda: scan_of(1, hour=1))


def test_neither_token_nor_key_is_in_any_output_log_or_remembered_error(fleet: Fleet, tmp_path: Path) -> None:
    fleet.start()
    state, token = tmp_path / "state", fleet.token()
    (tmp_path / "token").write_text(token)
    loud = ("--log-level", "debug", "--log-format", "json")
    results = [
        agent(*enroll_arguments(fleet, **{"--ca-fingerprint": "0" * 64}), *loud, state=state, token=token),
        agent(*enroll_arguments(fleet, **{"--enroll-port": "9"}), *loud, state=state, token=token),
        agent(*enroll_arguments(fleet, **{"--http-port": "9"}), *loud, state=state, token=token),
        agent(*enroll_arguments(fleet), *loud, state=state, token=token + "x"),
        agent(*enroll_arguments(fleet), *loud, state=state, token=f"{token} {token}"),
    ]
    assert {one.returncode for one in results} == {2, 4, 5}
    pending = (state / "identity" / "pending-key.pem").read_text()
    results.append(agent(*enroll_arguments(fleet, **{"--token-file": str(tmp_path / "token")}), *loud, state=state))
    assert results[-1].returncode == 0, results[-1].stderr
    results += [agent(word, *loud, state=state) for word in ("report", "status")]
    results.append(agent("report", "--collector", "127.0.0.1:9", *loud, state=state))
    (state / "identity" / "current" / "certificate.pem").write_text("spoiled")
    results.append(agent("report", *loud, state=state))
    secret = token.rpartition("-")[2]
    keys = pending.splitlines() + (state / "identity" / "current" / "key.pem").read_text().splitlines()
    lines = [line for line in keys if not line.startswith("-----")]
    assert len(lines) > 4
    for one in results:
        for text in (secret, secret[:20], *lines):
            assert text not in one.stdout + one.stderr
    for file in [state / "state.json", *(tmp_path / "collector").glob("audit*")]:
        for text in (secret, *lines):
            assert text not in file.read_text()


MEASURED = """
import re, sys
import libcensus.agent.cli as cli
code = cli.main(sys.argv[1:])
import resource
children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(code, *sorted({name.split('.')[0] for name in sys.modules} & {'cryptography'}))
print(max(children, int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])))
"""


@pytest.mark.parametrize("is_due", [False, True], ids=["report", "report-and-renewal"])
def test_a_report_over_tls_imports_no_cryptography_and_stays_below_64_mib(
    fleet: Fleet, tmp_path: Path, is_due: bool
) -> None:
    fleet.back = 5 * DAY if is_due else timedelta()
    fleet.start()
    state = tmp_path / "state"
    fleet.enroll(state)
    fleet.back = timedelta()
    (tmp_path / "agent.toml").write_text(
        f"[scan]\nexclude = {list(ELSEWHERE)}\ncontainers = false\nprocesses = false\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, "report", "--config", tmp_path / "agent.toml", "--state-dir", state],
        capture_output=True,
        text=True,
        check=True,
        timeout=200,
    )
    said, peak = done.stdout.splitlines()[-2:]
    assert said.split()[0] == "0", done.stderr
    assert said == "0"
    identity = IdentityFolder(state).current()
    assert identity is not None
    assert (identity.folder.name == "000002") is is_due
    assert int(peak) * 1024 < 64 * 1024 * 1024


def test_an_unchanged_report_with_all_that_is_told_of_the_spool_stays_below_a_kibibyte(
    fleet: Fleet, tmp_path: Path
) -> None:
    from dataclasses import replace

    from libcensus.agent.delivery import REPORT_BYTES
    from libcensus.facts.codec import encode_report
    from libcensus.facts.report import AgentState, ProbeResult, SkipCount
    from libcensus.facts.vocabulary import ProbeState

    fleet.start()
    state = tmp_path / "state"
    fleet.enroll(state)
    skips = tuple(SkipCount(f"reason-{one}", 7, (f"/{'x' * 300}",)) for one in range(10))
    scan = replace(scan_of(1), probes=(ProbeResult("walk", ProbeState.OK, 1.0, skips=skips),))
    courier = Courier(fleet.config(state))
    courier.deliver(lambda: scan)
    courier.spool.count_dropped(reports=2**40, facts=2**40)
    unchanged = courier.deliver(lambda: replace(scan, scanned_at=scan.scanned_at + timedelta(hours=1)))
    assert unchanged.report.agent_state == AgentState(0, 2**40, 2**40)
    assert len(encode_report(replace(unchanged.report, agent_state=None))) <= REPORT_BYTES
    assert unchanged.acknowledgement.request_bytes + unchanged.acknowledgement.response_bytes < 1024


# --- the resident agent -----------------------------------------------------------------------------------------------


def reside(fleet: Fleet, state: Path, caplog: pytest.LogCaptureFixture, reports: int, **more: Any) -> list[str]:
    """Run the resident agent until so many reports were acknowledged; returns what it logged."""
    caplog.clear()
    caplog.set_level("INFO", "libcensus")
    config = fleet.config(state, **{**QUICK, **more})
    scanner = Scanner()
    with meanwhile(lambda: wait_for_reports(caplog, reports)):
        Resident(lambda: config, NOBODY, scan_host=scanner, watched_root=str(state)).run()
    return [record.getMessage() for record in caplog.records]


def test_a_resident_agent_that_a_collector_knows_spreads_its_start(
    fleet: Fleet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fleet.start()
    state = tmp_path / "state"
    fleet.enroll(state)
    first = reside(fleet, state, caplog, 1)
    assert not any("the start is spread" in line for line in first)
    again = reside(fleet, state, caplog, 1, **{"run.start_spread_seconds": 0.2})
    assert again[0].startswith("the first scan follows in 0 s: the start is spread over 0 s")
    assert any(line.startswith("scan (start): ") for line in again)


@pytest.mark.parametrize(
    ("setting", "interval", "expected"), [(300.0, 3600.0, 300.0), (300.0, 60.0, 60.0), (0.0, 60.0, 0)]
)
def test_the_start_is_spread_over_the_setting_and_at_most_the_interval(
    fleet: Fleet, tmp_path: Path, setting: float, interval: float, expected: float
) -> None:
    fleet.start()
    state = tmp_path / "state"
    fleet.enroll(state)
    config = fleet.config(state, **{"run.start_spread_seconds": setting})
    resident = Resident(lambda: config, NOBODY, spread=lambda _low, high: high)
    assert resident._start_wait(config) == 0
    StateFolder(state).update({"last_acknowledged": {"next_interval_seconds": interval}})
    assert resident._start_wait(config) == expected


def test_a_resident_agent_renews_its_certificate(
    fleet: Fleet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fleet.back = 5 * DAY
    fleet.start()
    state = tmp_path / "state"
    fleet.enroll(state)
    fleet.back = timedelta()
    told = reside(fleet, state, caplog, 2, **{"run.interval_seconds": 0.1})
    assert len([line for line in told if "this host's certificate was renewed" in line]) == 1
    identity = IdentityFolder(state).current()
    assert identity is not None
    assert identity.folder.name == "000002"
