"""The commands of trust, beside a running collector, on SQLite and PostgreSQL."""

from __future__ import annotations

import json
import logging
import re
import shlex
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from libcensus.agent.cli import agent as agent_cli
from libcensus.collector.cli import cli, run
from libcensus.collector.config import CollectorSettings
from libcensus.collector.pki.audit import AuditLog
from libcensus.collector.pki.authority import Authority, key_sha256
from libcensus.collector.pki.enrollment import Enrollment
from libcensus.collector.pki.records import CertificateRecord, Refusals
from libcensus.collector.store.sql import SqlStore
from tests.collector.pki.made import DAY, HOUR, NOON, new_key, signing_request
from tests.contract.specimens import Census, build, received

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

A, B = "a" * 32, "b" * 32
TOKEN = re.compile(r"lct1-([a-z2-7]{8})-[a-z2-7]{52}")


@dataclass
class Place:
    """A collector's places, and its commands as a user runs them."""

    folder: Path
    database: str
    capture: pytest.CaptureFixture[str]
    secrets: set[str] = field(default_factory=set)

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    @property
    def audit_file(self) -> Path:
        return self.folder / "audit.jsonl"

    def run(self, *words: str, code: int = 0) -> str:
        """Run a command; returns what it printed, on standard error where it failed."""
        assert run(list(words)) == code, self.capture.readouterr()
        out, err = self.capture.readouterr()
        self.secrets.update(match[0].split("-")[2] for match in TOKEN.finditer(out))
        if code:
            assert out == ""
            assert err.startswith("libcensus-collector: error: ")
            assert err.count("\n") == 1
            return err
        assert err == ""
        return out

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--output", "json"))

    def authority(self) -> Authority:
        return Authority.load(self.pki, "libcensus")

    @contextmanager
    def store(self) -> Iterator[SqlStore]:
        """The collector's own store, open while commands run beside it."""
        with SqlStore.open(self.database) as opened:
            yield opened

    def enroll(self, store: SqlStore, token: str, host_id: str = A, hostname: str = "web-1") -> str:
        """Enroll a host; returns its certificate's serial."""
        with_audit = AuditLog(self.audit_file)
        enrollment = Enrollment(store, self.authority, CollectorSettings(), with_audit)
        chain, _ = enrollment.enroll(token, signing_request(new_key()), host_id, hostname, "ipv4:192.0.2.7:1")
        with_audit.close()
        return f"{x509.load_der_x509_certificate(chain[0]).serial_number:x}"

    def audited(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.audit_file.read_text().splitlines()]


@pytest.fixture(params=["sqlite", "postgresql"])
def place(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> Iterator[Place]:
    """An empty place with tables, named by the environment; at the end no secret lies where it should not."""
    caplog.set_level(logging.DEBUG)
    database = f"sqlite:///{tmp_path}/census.db"
    if request.param == "postgresql":
        database = request.getfixturevalue("postgres_url")
    SqlStore.open(database).close()
    values = {"DATABASE": database, "PKI_DIR": f"{tmp_path}/pki", "AUDIT_LOG": f"{tmp_path}/audit.jsonl"}
    for name, value in values.items():
        monkeypatch.setenv(f"LIBCENSUS_COLLECTOR_{name}", value)
    monkeypatch.setenv("LIBCENSUS_COLLECTOR_SERVER_NAMES", "census.example,192.0.2.1")
    monkeypatch.delenv("SUDO_UID", raising=False)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    made = Place(tmp_path, database, capsys)
    yield made
    told = caplog.text + (made.audit_file.read_text() if made.audit_file.exists() else "")
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("census.db*"))
    for secret in made.secrets:
        assert secret not in told
        assert secret.encode() not in kept
    assert "PRIVATE KEY" not in told


@pytest.fixture
def ready(place: Place) -> Place:
    """A place with an authority."""
    place.run("ca", "init")
    return place


# --- ca --------------------------------------------------------------------------------------------------------------


def test_init_makes_an_authority_and_says_what_comes_next(place: Place) -> None:
    out = place.run("ca", "init")
    [known] = place.authority().fingerprints
    assert known in out
    assert f"mv {place.pki}/root.key" in out
    assert "libcensus-collector token create" in out
    assert "ca show" in place.run("ca", "init", code=3)
    [entry] = place.audited()
    assert (entry["event"], entry["subject"], entry["reason"]) == ("ca_initialised", "ca", f"fingerprint {known}")
    assert entry["peer"].startswith("uid:")


def test_show_tells_fingerprints_and_ends(ready: Place) -> None:
    authority = ready.authority()
    shown = ready.json("ca", "show")
    assert shown["fingerprint"] == authority.fingerprints[0]
    assert shown["roots"][0]["expires"] == f"{authority.root_expires_at:%Y-%m-%dT%H:%M:%SZ}"
    assert shown["issuing_expires"] == f"{authority.issuing_expires_at:%Y-%m-%dT%H:%M:%SZ}"
    assert (shown["rotate_soon"], shown["root_key_present"]) == (False, True)
    assert ready.run("ca", "show", "--pem").encode() == authority.roots_pem
    (ready.pki / "root.key").unlink()
    assert "root key      not in the folder" in ready.run("ca", "show")


@pytest.mark.parametrize(
    "words",
    [
        "ca show",
        "ca rotate",
        "ca rotate --root",
        "ca retire ab",
        "token create",
        "operator create ada",
    ],
)
def test_without_an_authority_the_way_to_one_is_told(place: Place, words: str) -> None:
    assert "libcensus-collector ca init" in place.run(*words.split(), code=3)
    assert not place.pki.exists()


def test_what_changes_an_authority_tells_it_as_json_too(place: Place) -> None:
    made = place.json("ca", "init")
    assert made == place.json("ca", "show")
    rotated = place.json("ca", "rotate", "--root")
    assert [root["fingerprint"] for root in rotated["roots"]] == [rotated["fingerprint"], made["fingerprint"]]
    retired = place.json("ca", "retire", made["fingerprint"])
    assert [root["fingerprint"] for root in retired["roots"]] == [rotated["fingerprint"]]


def test_a_root_is_not_retired_blindly(ready: Place) -> None:
    [first] = ready.authority().fingerprints
    ready.run("ca", "rotate", "--root")
    error = ready.run("ca", "retire", first, "--database", f"{ready.folder}/none.db", code=3)
    assert "--force retires the root all the same" in error
    assert len(ready.authority().roots) == 2


def test_keys_are_rotated_with_the_roots_key_alone(ready: Place) -> None:
    before = ready.authority()
    ready.run("ca", "rotate")
    after = ready.authority()
    assert after.roots == before.roots
    assert after.issuing_chain != before.issuing_chain
    (ready.pki / "root.key").rename(ready.folder / "kept")
    assert "copy it from where it is kept" in ready.run("ca", "rotate", code=3)
    assert [entry["event"] for entry in ready.audited()] == ["ca_initialised", "ca_rotated"]


def test_a_root_is_retired_when_all_have_renewed(ready: Place) -> None:
    [first] = ready.authority().fingerprints
    now = datetime.now(UTC)
    with ready.store() as store:
        store.put_certificate(CertificateRecord("1", f"agent/{A}", "0" * 64, now - DAY, now + DAY, hostname="web-1"))
        out = ready.run("ca", "rotate", "--root")
        assert f"libcensus-collector ca retire {first}" in out
        second = ready.authority().fingerprints[0]
        assert ready.authority().fingerprints == (second, first)
        error = ready.run("ca", "retire", first, code=1)
        assert "1 of those enrolled" in error
        assert "web-1" in error
        assert "--force" in error
        assert ready.authority().fingerprints == (second, first)
        # Renewed since, after the time in which a collector may not have noticed the rotation.
        store.put_certificate(
            CertificateRecord("2", f"agent/{A}", "1" * 64, now + HOUR, now + DAY, hostname="web-1", predecessor="1")
        )
    assert f"retired {first}" in ready.run("ca", "retire", ":".join(re.findall("..", first.upper())))
    assert ready.authority().fingerprints == (second,)
    assert ready.audited()[-1]["event"] == "ca_root_retired"
    assert "ca rotate --root first" in ready.run("ca", "retire", second, code=3)


def test_a_root_can_be_retired_all_the_same(ready: Place) -> None:
    [first] = ready.authority().fingerprints
    now = datetime.now(UTC)
    with ready.store() as store:
        for number in range(7):
            store.put_certificate(CertificateRecord(f"{number}", f"operator/o{number}", "0" * 64, now, now + DAY))
    ready.run("ca", "rotate", "--root")
    assert "operator/o4 and 2 more" in ready.run("ca", "retire", first, code=1)
    ready.run("ca", "retire", first, "--force")
    assert len(ready.authority().roots) == 1


def test_one_command_at_a_time_changes_an_authority(ready: Place) -> None:
    import fcntl
    import os

    held = os.open(ready.pki, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    for words in ("rotate", "rotate --root", "retire ab"):
        assert "another command is changing" in ready.run("ca", *words.split(), code=3)
    os.close(held)
    ready.run("ca", "rotate")


# --- tokens ----------------------------------------------------------------------------------------------------------


def test_a_token_is_shown_once_with_the_command_that_uses_it(ready: Place) -> None:
    out = ready.run("token", "create")
    match = TOKEN.search(out)
    assert match is not None
    [known] = ready.authority().fingerprints
    [line] = [line.strip() for line in out.splitlines() if "libcensus-agent enroll" in line]
    assert shlex.split(line) == [
        "libcensus-agent",
        "enroll",
        "--collector",
        "census.example",
        "--ca-fingerprint",
        known,
        "--token-file",
        "-",
    ]
    assert match[0] not in line
    with ready.store() as store:
        [kept] = store.tokens()
        assert (kept.token_id, kept.uses, kept.expires_at - kept.created_at) == (match[1], 1, HOUR)
        assert ready.enroll(store, match[0])
    assert match[0].split("-")[2] not in ready.audit_file.read_text()
    [entry] = [entry for entry in ready.audited() if entry["event"] == "token_created"]
    assert entry["token_id"] == match[1]


def test_the_command_that_is_printed_is_one_that_the_agent_has(ready: Place) -> None:
    """Every flag of it, with ports that are not the usual ones."""
    ports = ["--listen", "0.0.0.0:1", "--enroll-listen", "0.0.0.0:2", "--http-listen", "0.0.0.0:3"]
    words = shlex.split(ready.json("token", "create", *ports, "--collector", "2001:db8::7")["command"])
    assert words[words.index("--collector") + 1] == "[2001:db8::7]:1"
    assert words[words.index("--enroll-port") + 1] == "2"
    assert words[words.index("--http-port") + 1] == "3"
    command = agent_cli.get_command(click.Context(agent_cli), words[1])
    assert command is not None, "the agent has no such command"
    flags = {flag for option in command.params for flag in option.opts}
    assert {word for word in words if word.startswith("--")} <= flags


def test_a_token_has_all_that_it_was_asked_for(ready: Place) -> None:
    made = ready.json(
        *("token", "create", "--uses", "3", "--ttl", "8h", "--host", "web-1", "--replace"),
        *("--labels", "env=prod,team=web", "--labels", "zone=b"),
    )
    assert TOKEN.fullmatch(made["token"])
    with ready.store() as store:
        [kept] = store.tokens()
    assert (kept.uses, kept.uses_left, kept.hostname, kept.replaces) == (3, 3, "web-1", True)
    assert kept.labels == {"env": "prod", "team": "web", "zone": "b"}
    assert kept.expires_at - kept.created_at == timedelta(hours=8)
    [listed] = ready.json("token", "list")
    assert made["token"] not in json.dumps(listed)
    assert {name: made[name] for name in listed} == listed


def test_a_token_can_go_to_a_file_or_a_pipe_alone(ready: Place) -> None:
    out = ready.run("token", "create", "--file", "web.token")
    assert not TOKEN.search(out)
    file = ready.folder / "web.token"
    assert TOKEN.fullmatch(file.read_text().strip())
    assert file.stat().st_mode & 0o777 == 0o600
    assert TOKEN.fullmatch(ready.run("token", "create", "--quiet").strip())
    assert ready.run("token", "create", "-q", "--file", "other.token") == "other.token\n"
    assert "is there already" in ready.run("token", "create", "--file", "web.token", code=3)
    assert "cannot be written" in ready.run("token", "create", "--file", "none/web.token", code=3)
    with ready.store() as store:
        assert len(store.tokens()) == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--uses 0", "not in the range"),
        ("--ttl 3", "allowed is a time from 10s to 366d"),
        ("--ttl soon", "allowed is a time"),
        ("--labels env", "write KEY=VALUE"),
        ("--labels env=a --labels env=b", "given twice"),
        ("--labels " + ",".join(f"k{number}=v" for number in range(65)), "at most 64 labels"),
    ],
)
def test_a_token_that_cannot_be_is_wrong_usage(ready: Place, words: str, said: str) -> None:
    assert said in ready.run("token", "create", *words.split(), code=2)
    with ready.store() as store:
        assert store.tokens() == []


def test_tokens_are_listed_with_what_is_left_of_them(ready: Place) -> None:
    assert "token create" in ready.run("token", "list")
    with ready.store() as store:
        used, _, revoked = (ready.json("token", "create")["token"] for _ in range(3))
        ready.enroll(store, used)
        assert "is revoked" in ready.run("token", "revoke", revoked.split("-")[1])
        assert "was revoked already" in ready.run("token", "revoke", revoked)
    assert [one["state"] for one in ready.json("token", "list")] == ["revoked", "good", "used"]
    out = ready.run("token", "list")
    assert not TOKEN.search(out)
    assert [line.split()[1] for line in out.splitlines()] == ["STATE", "revoked", "good", "used"]
    error = ready.run("token", "revoke", "lct1-aaaaaaaa-" + "b" * 52, code=2)
    assert "there is no token with this id" in error
    assert "bbb" not in error
    assert [entry["event"] for entry in ready.audited()].count("token_revoked") == 1


# --- operators -------------------------------------------------------------------------------------------------------


def test_an_operator_gets_one_file_with_key_chain_and_roots(ready: Place) -> None:
    out = ready.run("operator", "create", "ada")
    file = ready.folder / "ada.pem"
    assert str(file.name) in out
    assert file.stat().st_mode & 0o777 == 0o600
    content = file.read_bytes()
    key = serialization.load_pem_private_key(content, None)
    leaf, issuing, root = x509.load_pem_x509_certificates(content)
    authority = ready.authority()
    assert leaf.public_key() == key.public_key()
    assert (issuing,) == authority.issuing_chain
    assert (root,) == authority.roots
    authority.verify([leaf.public_bytes(serialization.Encoding.DER), *_der(issuing)], datetime.now(UTC), 0 * DAY)
    with ready.store() as store:
        [record] = store.certificates("operator/ada")
    assert record.serial == f"{leaf.serial_number:x}"
    assert record.key_sha256 == key_sha256(key.public_key())  # type: ignore[arg-type]
    assert record.expires_at - record.issued_at <= 7 * DAY
    assert ready.audited()[-1] | {"time": "", "peer": ""} == {
        "time": "",
        "event": "operator_created",
        "subject": "operator/ada",
        "peer": "",
        "serial": record.serial,
    }


def _der(*certificates: x509.Certificate) -> list[bytes]:
    return [one.public_bytes(serialization.Encoding.DER) for one in certificates]


def test_an_operators_certificate_is_as_long_as_it_was_asked_for(ready: Place) -> None:
    ready.run("operator", "create", "grafana", "--output", "g.pem", "--lifetime", "90d")
    with ready.store() as store:
        [record] = store.certificates("operator/grafana")
    assert timedelta(days=89) < record.expires_at - record.issued_at <= timedelta(days=90)


def test_an_operator_that_cannot_be_is_refused_and_leaves_nothing(ready: Place) -> None:
    assert "is not 1 to 63 letters" in ready.run("operator", "create", "a/b", code=2)
    (ready.folder / "ada.pem").touch()
    assert "is there already" in ready.run("operator", "create", "ada", code=3)
    ready.run("ban", "--operator", "zoe", "--reason", "left")
    assert "unban --operator zoe first" in ready.run("operator", "create", "zoe", code=3)
    assert not (ready.folder / "zoe.pem").exists()
    with ready.store() as store:
        assert store.certificates() == []


# --- certificates and bans -------------------------------------------------------------------------------------------


def test_certificates_are_listed_by_host_and_operator(ready: Place) -> None:
    assert "no certificate" in ready.run("certificates", "list")
    census = Census.of("web-1", "w", ("/opt/python", build("b")))
    with ready.store() as store:
        store.put_facts(census.records)
        first = ready.enroll(store, ready.json("token", "create")["token"])
        store.apply_reports([received(A, census.address, datetime.now(UTC))])
        second = ready.enroll(store, ready.json("token", "create")["token"], B, "db-1")
        store.note_certificate_use([first], datetime.now(UTC))
        store.put_certificate(
            CertificateRecord("1", f"agent/{A}", "0" * 64, datetime.now(UTC) - 9 * DAY, datetime.now(UTC) - DAY)
        )
    ready.run("operator", "create", "ada")
    found = {one["serial"]: one for one in ready.json("certificates", "list")}
    assert {one["name"] for one in found.values()} == {"web-1", "db-1", "ada"}
    assert found[first]["first_used"]
    assert not found[second]["first_used"]
    assert [one["serial"] for one in ready.json("certificates", "list", "--host", "web-1")] == [first]
    assert [one["serial"] for one in ready.json("certificates", "list", "--host", A, "--all")] == [first, "1"]
    # A host that was enrolled and has not reported yet is found by the name that it told.
    assert [one["serial"] for one in ready.json("certificates", "list", "--host", "DB-1")] == [second]
    assert [one["name"] for one in ready.json("certificates", "list", "--operator", "ada")] == ["ada"]
    assert "no host has the name" in ready.run("certificates", "list", "--host", "nobody", code=2)
    out = ready.run("certificates", "list", "--all")
    assert sorted(line.split()[1] for line in out.splitlines()) == ["STATE", "expired", "good", "good", "good"]


def test_a_name_that_several_enrolled_hosts_told_is_not_guessed(ready: Place) -> None:
    with ready.store() as store:
        token = ready.json("token", "create", "--uses", "2")["token"]
        ready.enroll(store, token, A)
        ready.enroll(store, token, B)
    assert f"write an id: {A}, {B}" in ready.run("ban", "web-1", "--reason", "x", code=2)


def test_certificates_are_revoked_while_a_collector_runs(ready: Place) -> None:
    with ready.store() as store:
        token = ready.json("token", "create", "--uses", "9")["token"]
        first, second = ready.enroll(store, token), ready.enroll(store, token, B, "db-1")
        now = datetime.now(UTC)
        assert store.refusals(now) == Refusals()
        assert "1 certificate of" in ready.run("certificates", "revoke", "--serial", "00" + first.upper())
        assert store.refusals(now).serials == {first}
        ready.run("certificates", "revoke", "--host", "db-1", "--reason", "disk sold")
        assert store.refusals(now).serials == {first, second}
        assert "0 certificates" in ready.run("certificates", "revoke", "--host", "db-1")
    [entry, other] = [entry for entry in ready.audited() if entry["event"] == "certificate_revoked"]
    assert (entry["serial"], entry["subject"]) == (first, f"agent/{A}")
    assert (other["subject"], other["reason"]) == (f"agent/{B}", "disk sold")
    assert "no certificate has the serial" in ready.run("certificates", "revoke", "--serial", "12", code=2)
    assert "has no certificate" in ready.run("certificates", "revoke", "--operator", "ada", code=2)
    for words in ("", "--serial 1 --host web-1", "--host web-1 --operator ada"):
        assert "name one of" in ready.run("certificates", "revoke", *words.split(), code=2)
    assert "--reason" in ready.run("certificates", "revoke", "--host", "db-1", "--reason", "a\nb", code=2)


def test_hosts_and_operators_are_banned_and_let_in_again_while_a_collector_runs(ready: Place) -> None:
    assert ready.run("bans") == "nobody is banned\n"
    with ready.store() as store:
        ready.enroll(store, ready.json("token", "create")["token"])
        ready.run("ban", "web-1", "--reason", "stolen")
        ready.run("ban", "--operator", "zoe", "--reason", "left")
        assert store.refusals(datetime.now(UTC)).subjects == {f"agent/{A}", "operator/zoe"}
        assert [one["state"] for one in ready.json("certificates", "list")] == ["banned"]
        assert [(one["subject"], one["reason"]) for one in ready.json("bans")] == [
            (f"agent/{A}", "stolen"),
            ("operator/zoe", "left"),
        ]
        assert "stolen" in ready.run("bans")
        ready.run("unban", A)
        assert store.refusals(datetime.now(UTC)).subjects == {"operator/zoe"}
    assert "is not banned" in ready.run("unban", "web-1", code=2)
    assert "name either a host" in ready.run("unban", code=2)
    assert "name either a host" in ready.run("ban", "web-1", "--operator", "zoe", "--reason", "x", code=2)
    assert "missing option '--reason'" in ready.run("ban", "web-1", code=2)
    events = [entry["event"] for entry in ready.audited()]
    assert (events.count("banned"), events.count("ban_lifted")) == (2, 1)


def test_who_ran_a_command_by_sudo_is_audited(ready: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "1000")
    ready.run("ban", A, "--reason", "x")
    assert ready.audited()[-1]["peer"].endswith("(sudo by uid:1000)")
    monkeypatch.setenv("SUDO_UID", "nonsense")
    ready.run("unban", A)
    assert "sudo" not in ready.audited()[-1]["peer"]


def test_the_help_of_every_command_teaches_with_examples(place: Place) -> None:
    names = ("ca", "token", "operator", "certificates")
    commands = [(name, *words) for name in names for words in _commands_of(name)]
    assert len(commands) == 10
    for words in (*commands, ("ban",), ("unban",), ("bans",)):
        out = place.run(*words, "--help")
        assert "Examples:" in out, words
        assert f"libcensus-collector {' '.join(words)}" in out, words
        assert "Exit codes:" in out, words


def _commands_of(group: str) -> list[tuple[str]]:
    found = cli.commands[group]
    assert isinstance(found, click.Group)
    return [(name,) for name in found.commands]


def test_a_command_says_when_its_database_is_of_nobody(tmp_path: Path, place: Place) -> None:
    place.run("ca", "init")
    shutil.rmtree(tmp_path / "none", ignore_errors=True)
    error = place.run("token", "create", "--database", f"{tmp_path}/none/x.db", code=3)
    assert "libcensus-collector serve" in error


# --- labels ----------------------------------------------------------------------------------------------------------


def test_labels_that_were_changed_here_are_audited(ready: Place) -> None:
    census = Census.of("web-1", "w", ("/opt/a", build("a")))
    with ready.store() as store:
        store.put_facts(census.records)
        store.apply_reports([received(A, census.address, NOON)])
        ready.run("labels", "set", "web-1", "env=prod", "team=payments")
        ready.run("labels", "remove", "web-1", "team")
        ready.run("labels", "remove", "web-1", "absent", code=2)
        assert store.labels() == {A: {"env": "prod"}}
    entries = [one for one in ready.audited() if one["event"] == "labels_changed"]
    assert [(one["host"], one["reason"]) for one in entries] == [
        ("web-1", "env=prod team=payments"),
        ("web-1", "team-"),
    ]
    assert all(one["peer"].startswith("uid:") for one in entries)


# --- many ------------------------------------------------------------------------------------------------------------


def test_certificates_of_a_large_fleet_are_listed_block_by_block(ready: Place) -> None:
    with ready.store() as store:
        for number in range(2503):
            begin = NOON + number * HOUR
            store.put_certificate(
                CertificateRecord(f"{number:x}", f"agent/{number:032x}", "0" * 64, begin, begin + 9000 * DAY)
            )
        shown = ready.json("certificates", "list")
        assert [one["serial"] for one in shown] == [f"{number:x}" for number in reversed(range(2503))]
        lines = ready.run("certificates", "list").splitlines()
        assert len(lines) == 2504
        assert {line.split()[1] for line in lines[1:]} == {"good"}
        assert ready.json("certificates", "list", "--host", f"{2:032x}")[0]["serial"] == "2"
        assert ready.json("certificates", "list", "--host", "f" * 32) == []
        assert "no certificate" in ready.run("certificates", "list", "--host", "f" * 32)
