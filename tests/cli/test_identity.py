"""An operator's identity against a real collector with real TLS: found, refused, renewed, and every trouble told."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from libcensus.cli.client import enrollment_address
from libcensus.cli.config import CollectorAddress, IdentityFiles
from libcensus.cli.credential import load_credential
from libcensus.collector.pki.authority import Authority
from libcensus.collector.pki.identity import Role
from libcensus.collector.pki.records import Ban
from libcensus.collector.store.sql import SqlStore
from tests.collector.metrics import fleet
from tests.collector.service.running import running_collector
from tests.collector.service.trusted import Holder, TrustedCollector, certify, trusted_collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

WEEK = timedelta(days=7)


def write_identity(path: Path, holder: Holder, *, roots_pem: bytes | None = None, mode: int = 0o600) -> Path:
    """Write an identity file as `libcensus-collector operator create` does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(holder.key_pem + holder.chain_pem + (roots_pem or holder.roots_pem))
    path.chmod(mode)
    return path


@contextmanager
def serving(folder: Path, **changes: Any) -> Iterator[tuple[TrustedCollector, SqlStore]]:
    """A collector with a CA and one host, and its store."""
    folder.mkdir(parents=True, exist_ok=True)
    # Made some time ago: a certificate begins with its issuer at the earliest.
    Authority.init(folder / "pki", "libcensus", datetime.now(UTC) - timedelta(days=60))
    with SqlStore.open(f"sqlite:///{folder / 'census.db'}") as store:
        fleet.report(store, fleet.Machine("web-1"))
        with trusted_collector(folder, store, **changes) as trusted:
            yield trusted, store


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TrustedCollector, SqlStore]]:
    with serving(tmp_path_factory.mktemp("trusted")) as both:
        yield both


@pytest.fixture
def trusted(served: tuple[TrustedCollector, SqlStore]) -> TrustedCollector:
    return served[0]


@pytest.fixture
def identity(trusted: TrustedCollector, tmp_path: Path) -> Path:
    """An operator's identity file."""
    return write_identity(tmp_path / "ada.pem", trusted.operator())


def closed_port() -> str:
    """An address on which nobody listens."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{trial.getsockname()[1]}"


def names(ended: Outcome) -> list[str]:
    assert (ended.code, ended.err) == (0, "")
    return [host["name"] for host in json.loads(ended.out)]


# --- speaking TLS --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_operator_reads_the_fleet_over_mutual_tls(
    run: Run, trusted: TrustedCollector, identity: Path, host: str
) -> None:
    port = trusted.address.rpartition(":")[2]
    asked = ("--collector", f"{host}:{port}", "--identity", str(identity))
    assert names(run("hosts", *asked, "--output", "json")) == ["web-1"]
    assert run("check", "demo-1-py3-none-any.whl", *asked).err == ""
    assert run("hosts", "--label", "web-1", "env=prod", *asked).out == "web-1  env=prod\n"


def test_the_identity_is_found_by_flag_variable_file_and_place(
    run: Run, trusted: TrustedCollector, identity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("hosts", "--collector", trusted.address, "--output", "json")
    assert run(*asked).code == 5
    place = tmp_path / ".config" / "libcensus" / "operator.pem"
    place.parent.mkdir(parents=True)
    identity.rename(place)
    assert names(run(*asked)) == ["web-1"]
    kept = place.rename(place.with_name("ada.pem"))
    assert run(*asked).code == 5
    place.with_name("config.toml").write_text('[collector]\nidentity = "ada.pem"\n', encoding="utf-8")
    assert names(run(*asked)) == ["web-1"]
    monkeypatch.setenv("LIBCENSUS_IDENTITY", "/nowhere.pem")
    ended = run(*asked)
    assert (ended.code, ended.out) == (3, "")
    assert "/nowhere.pem (LIBCENSUS_IDENTITY) cannot be read: No such file" in ended.err
    assert "libcensus-collector operator create NAME --output FILE" in ended.err
    assert names(run(*asked, "--identity", str(kept))) == ["web-1"]
    shown = json.loads(run("config", "show", "--origin", "--output", "json", "--identity", str(kept)).out)
    assert shown["collector.identity"] == {"value": str(kept), "origin": "--identity"}


def test_the_files_of_an_external_ca_are_taken_together(
    run: Run, trusted: TrustedCollector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = trusted.operator()
    files = {"ca": holder.roots_pem, "certificate": holder.chain_pem, "key": holder.key_pem}
    for name, content in files.items():
        (tmp_path / f"{name}.pem").write_bytes(content)
    (tmp_path / "key.pem").chmod(0o600)
    asked = ("hosts", "--collector", trusted.address, "--output", "json")
    flags = [word for name in files for word in (f"--{name}", str(tmp_path / f"{name}.pem"))]
    assert names(run(*asked, *flags)) == ["web-1"]
    ended = run(*asked, *flags[:4])
    assert (ended.code, ended.out) == (3, "")
    assert "--key must be given beside" in ended.err
    ended = run(*asked, *flags, "--identity", "x.pem")
    assert ended.code == 3
    assert "leave out --ca, --certificate, --key" in ended.err
    for name in files:
        monkeypatch.setenv(f"LIBCENSUS_{name.upper()}", str(tmp_path / f"{name}.pem"))
    assert names(run(*asked)) == ["web-1"]
    (tmp_path / "key.pem").chmod(0o640)
    assert "others may read or write it (mode 0640)" in run(*asked).err


# --- files that are refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_a_file_that_others_can_read_is_refused(run: Run, trusted: TrustedCollector, identity: Path, mode: int) -> None:
    identity.chmod(mode)
    ended = run("hosts", "--collector", trusted.address, "--identity", str(identity))
    assert (ended.code, ended.out) == (3, "")
    assert f"(mode {mode:04o}); run `chmod 600 {identity}`" in ended.err


def test_a_file_that_holds_no_identity_is_refused(run: Run, trusted: TrustedCollector, tmp_path: Path) -> None:
    holder, other = trusted.operator(), trusted.operator("eve")
    wrong = {
        b"": "holds 0 PEM keys",
        holder.chain_pem + holder.roots_pem: "holds 0 PEM keys",
        holder.key_pem + other.key_pem + holder.chain_pem: "holds 2 PEM keys",
        holder.key_pem + holder.chain_pem: "holds no root to trust",
        holder.key_pem + holder.roots_pem: "holds no certificate of its holder",
        other.key_pem + holder.chain_pem + holder.roots_pem: "the key does not belong to the certificate",
        holder.key_pem.replace(b"\nM", b"\nX", 1) + holder.chain_pem + holder.roots_pem: "a key that cannot be read",
        holder.key_pem + holder.chain_pem.replace(b"\nM", b"\nX", 1) + holder.roots_pem: "a certificate that cannot",
        b"x" * (1024 * 1024 + 1): "is larger than",
    }
    path = tmp_path / "wrong.pem"
    for content, words in wrong.items():
        path.write_bytes(content)
        path.chmod(0o600)
        ended = run("hosts", "--collector", trusted.address, "--identity", str(path))
        assert (ended.code, ended.out) == (3, ""), words
        assert words in ended.err
        assert ended.err.count("\n") == 1
        assert "PRIVATE" not in ended.err


def test_without_an_identity_nobody_beyond_this_machine_is_asked(run: Run) -> None:
    ended = run("hosts", "--collector", "192.0.2.1:9444")
    assert (ended.code, ended.out) == (5, "")
    assert "libcensus-collector operator create NAME --output FILE" in ended.err


# --- what TLS refuses ----------------------------------------------------------------------------------------------


def refused(run: Run, address: str, path: Path | str) -> str:
    ended = run("hosts", "--collector", address, "--identity", str(path))
    assert (ended.code, ended.out) == (5, "")
    assert ended.err.count("\n") == 1
    return ended.err


def test_a_collector_that_speaks_tls_wants_an_identity(run: Run, trusted: TrustedCollector) -> None:
    assert "it speaks TLS, and there is no identity" in refused(run, trusted.address, "none")


def test_a_collector_of_another_ca_is_not_believed(run: Run, trusted: TrustedCollector, tmp_path: Path) -> None:
    other = Authority.init(tmp_path / "other", "libcensus", datetime.now(UTC))
    path = write_identity(tmp_path / "eve.pem", certify(other, Role.OPERATOR, "eve"))
    assert f"its certificate is of none of the CAs that {path} (--identity) trusts" in refused(
        run, trusted.address, path
    )


def test_a_collector_does_not_believe_a_certificate_of_another_ca(
    run: Run, trusted: TrustedCollector, tmp_path: Path
) -> None:
    other = Authority.init(tmp_path / "other", "libcensus", datetime.now(UTC))
    holder = certify(other, Role.OPERATOR, "eve")
    path = write_identity(tmp_path / "eve.pem", holder, roots_pem=trusted.authority.roots_pem + holder.roots_pem)
    told = refused(run, trusted.address, path)
    assert str(path) in told
    assert "libcensus-collector operator create" in told


def test_a_collector_that_is_called_by_another_name_is_not_believed(run: Run, tmp_path: Path) -> None:
    with serving(tmp_path / "elsewhere", server_names=("census.example",)) as (trusted, _):
        path = write_identity(tmp_path / "ada.pem", trusted.operator())
        told = refused(run, trusted.address, path)
        assert "its certificate is not for 127.0.0.1" in told
        assert "server_names" in told


def test_a_collector_without_tls_is_told(run: Run, identity: Path, tmp_path: Path) -> None:
    with SqlStore.open(f"sqlite:///{tmp_path / 'plain.db'}") as store:
        fleet.report(store, fleet.Machine("plain"))
        with running_collector(tmp_path, store) as collector:
            assert "it does not speak TLS" in refused(run, collector.grpc_address, identity)
            asked = ("hosts", "--collector", collector.grpc_address, "--identity", "none", "--output", "json")
            assert names(run(*asked)) == ["plain"]


def test_an_agent_is_no_operator(run: Run, trusted: TrustedCollector, tmp_path: Path) -> None:
    path = write_identity(tmp_path / "agent.pem", trusted.agent())
    told = refused(run, trusted.address, path)
    assert "does not accept this user (PERMISSION_DENIED)" in told
    assert "libcensus-collector operator create NAME" in told


def test_a_banned_operator_is_told_so(run: Run, tmp_path: Path) -> None:
    with SqlStore.open(f"sqlite:///{tmp_path / 'census.db'}") as store:
        store.ban(Ban("operator/mallory", datetime.now(UTC), "left"))
        with trusted_collector(tmp_path, store) as trusted:
            path = write_identity(tmp_path / "mallory.pem", trusted.operator("mallory"))
            assert "operator/mallory is banned" in refused(run, trusted.address, path)


def test_nobody_there_is_no_trouble_with_tls(run: Run, identity: Path) -> None:
    ended = run("hosts", "--collector", closed_port(), "--identity", str(identity))
    assert (ended.code, ended.out) == (4, "")
    assert "cannot be reached" in ended.err


# --- renewal -------------------------------------------------------------------------------------------------------


def aged(trusted: TrustedCollector, store: SqlStore, name: str, age: timedelta, **changes: Any) -> Holder:
    """A certificate that the collector issued some time ago."""
    holder = trusted.operator(name, now=datetime.now(UTC) - age, **changes)
    store.put_certificate(holder.record)
    return holder


def serial(path: Path) -> str:
    return f"{load_credential(IdentityFiles('test', identity=str(path))).leaf.serial_number:x}"


@pytest.fixture
def renewed_there(trusted: TrustedCollector, monkeypatch: pytest.MonkeyPatch) -> TrustedCollector:
    """The collector, with its enrollment where the command looks for it."""
    monkeypatch.setenv("LIBCENSUS_ENROLL_ADDRESS", trusted.collector.enrollment_address)
    return trusted


@pytest.mark.parametrize("age", [timedelta(days=5), timedelta(days=8), timedelta(days=30)])
def test_an_identity_renews_itself_when_two_thirds_of_its_life_are_over(
    run: Run, renewed_there: TrustedCollector, served: tuple[TrustedCollector, SqlStore], tmp_path: Path, age: timedelta
) -> None:
    holder = aged(renewed_there, served[1], f"aged-{age.days}", age)
    path = write_identity(tmp_path / "aged.pem", holder)
    before = path.read_bytes()
    asked = ("hosts", "--collector", renewed_there.address, "--identity", str(path), "--output", "json")
    assert names(run(*asked)) == ["web-1"]
    after = path.read_bytes()
    assert serial(path) != holder.serial
    assert holder.key_pem not in after
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".aged")] == []
    assert served[1].find_certificate(serial(path)) is not None
    leaf = x509.load_pem_x509_certificate(after)
    assert abs(leaf.not_valid_after_utc - datetime.now(UTC) - WEEK) < timedelta(minutes=5)
    # It is young now, and stays.
    assert names(run(*asked)) == ["web-1"]
    assert path.read_bytes() == after != before


def test_a_young_identity_is_not_renewed(
    run: Run, renewed_there: TrustedCollector, served: tuple[TrustedCollector, SqlStore], tmp_path: Path
) -> None:
    path = write_identity(tmp_path / "young.pem", aged(renewed_there, served[1], "young", timedelta(days=4)))
    before = path.read_bytes()
    assert run("hosts", "--collector", renewed_there.address, "--identity", str(path)).err == ""
    assert path.read_bytes() == before


def test_a_link_to_an_identity_stays_a_link(
    run: Run, renewed_there: TrustedCollector, served: tuple[TrustedCollector, SqlStore], tmp_path: Path
) -> None:
    holder = aged(renewed_there, served[1], "linked", timedelta(days=6))
    path = write_identity(tmp_path / "kept" / "linked.pem", holder)
    link = tmp_path / "link.pem"
    link.symlink_to(path)
    assert run("hosts", "--collector", renewed_there.address, "--identity", str(link)).err == ""
    assert link.is_symlink()
    assert serial(path) != holder.serial


def test_a_renewal_that_fails_is_a_warning_as_long_as_the_identity_is_good(
    run: Run,
    trusted: TrustedCollector,
    served: tuple[TrustedCollector, SqlStore],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nobody = closed_port()
    monkeypatch.setenv("LIBCENSUS_ENROLL_ADDRESS", nobody)
    path = write_identity(tmp_path / "ada.pem", aged(trusted, served[1], "unlucky", timedelta(days=6)))
    before = path.read_bytes()
    ended = run("hosts", "--collector", trusted.address, "--identity", str(path), "--output", "json")
    assert ended.code == 0
    assert ended.err.startswith(
        f"libcensus: warning: the identity {path} (--identity) could not be renewed and ends at"
    )
    assert f"enrollment at {nobody} answered UNAVAILABLE" in ended.err
    assert ended.err.count("\n") == 1
    assert [host["name"] for host in json.loads(ended.out)] == ["web-1"]
    assert path.read_bytes() == before


def test_an_identity_that_ended_and_is_not_renewed_is_refused(
    run: Run, trusted: TrustedCollector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIBCENSUS_ENROLL_ADDRESS", closed_port())
    path = write_identity(tmp_path / "ada.pem", trusted.operator(now=datetime.now(UTC) - timedelta(days=8)))
    told = refused(run, trusted.address, path)
    assert "could not be renewed and ended at" in told
    assert "libcensus-collector operator create" in told


def test_a_refused_renewal_says_why(run: Run, renewed_there: TrustedCollector, tmp_path: Path) -> None:
    # The collector never issued it as far as its database knows.
    path = write_identity(
        tmp_path / "ada.pem", renewed_there.operator("lost", now=datetime.now(UTC) - timedelta(days=6))
    )
    ended = run("hosts", "--collector", renewed_there.address, "--identity", str(path))
    assert ended.code == 0
    assert "the certificate is not known here" in ended.err


def test_commands_at_once_renew_an_identity_once(
    renewed_there: TrustedCollector, served: tuple[TrustedCollector, SqlStore], tmp_path: Path
) -> None:
    path = write_identity(tmp_path / "ada.pem", aged(renewed_there, served[1], "crowd", timedelta(days=8)))
    command = [sys.executable, "-m", "libcensus.cli.main", "hosts", "--output", "json"]
    command += ["--collector", renewed_there.address, "--identity", str(path)]
    environment = {**os.environ, "LIBCENSUS_ENROLL_ADDRESS": renewed_there.collector.enrollment_address}
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True)
        for _ in range(5)
    ]
    for one in running:
        out, err = one.communicate(timeout=120)
        assert (one.returncode, err) == (0, "")
        assert [host["name"] for host in json.loads(out)] == ["web-1"]
    assert len(served[1].certificates("operator/crowd")) == 2


# --- identity show -------------------------------------------------------------------------------------------------


def test_an_identity_is_shown(run: Run, trusted: TrustedCollector, identity: Path) -> None:
    asked = ("identity", "show", "--identity", str(identity), "--collector", trusted.address)
    ended = run(*asked)
    assert (ended.code, ended.err) == (0, "")
    assert "spiffe://libcensus/operator/ada" in ended.out
    assert "167 hours left" in ended.out or "6 days left" in ended.out
    told = json.loads(run(*asked, "--output", "json").out)
    assert (told["name"], told["state"], told["file"], told["origin"]) == (
        "spiffe://libcensus/operator/ada",
        "good",
        str(identity),
        "--identity",
    )
    assert told["serial"] == serial(identity)
    assert told["roots"] == list(trusted.authority.fingerprints)
    assert told["renewed_at"] == "127.0.0.1:9446"
    assert told["begins"] < told["renews"] < told["ends"]


@pytest.mark.parametrize(
    ("age", "state", "code"),
    [(timedelta(days=5), "renewal_due", 0), (timedelta(days=8), "ended", 5), (timedelta(days=-1), "not_yet", 5)],
)
def test_an_identity_that_is_not_good_is_shown_as_such(
    run: Run, trusted: TrustedCollector, tmp_path: Path, age: timedelta, state: str, code: int
) -> None:
    path = write_identity(tmp_path / "ada.pem", trusted.operator(now=datetime.now(UTC) - age))
    ended = run("identity", "show", "--identity", str(path), "--output", "json")
    assert (ended.code, json.loads(ended.out)["state"]) == (code, state)


def test_no_identity_is_shown_as_none(run: Run) -> None:
    ended = run("identity", "show")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("No identity: only a collector on this machine can be asked")
    assert run("identity", "show", "--output", "json").out == "null\n"


# --- where it is renewed, and what a death leaves ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "enroll_address", "expected"),
    [
        ("census.example:9444", None, "census.example:9446"),
        ("census.example", None, "census.example:9446"),
        ("192.0.2.7:1234", None, "192.0.2.7:9446"),
        ("[2001:db8::7]:9444", None, "[2001:db8::7]:9446"),
        ("census.example:9444", "other.example:1", "other.example:1"),
        ("unix:/run/census.sock", None, None),
    ],
)
def test_identities_are_renewed_at_the_enrollment_port(
    address: str, enroll_address: str | None, expected: str | None
) -> None:
    assert enrollment_address(CollectorAddress(address, "test", None, enroll_address)) == expected


def test_a_command_that_dies_while_it_renews_leaves_an_identity_that_is_good(
    run: Run, renewed_there: TrustedCollector, served: tuple[TrustedCollector, SqlStore], tmp_path: Path
) -> None:
    path = write_identity(tmp_path / "ada.pem", aged(renewed_there, served[1], "mortal", timedelta(days=8)))
    identity = IdentityFiles("test", identity=str(path))
    # A child that dies at each of the calls by which the file is replaced, as after a SIGKILL there.
    for death in ("os.open", "os.fsync", "pathlib.Path.replace"):
        module, _, name = death.rpartition(".")
        program = (
            "import os, pathlib, sys\n"
            "from libcensus.cli.main import main\n"
            "import libcensus.cli.client, libcensus.cli.credential as credential\n"
            "whole = credential._replace\n"
            "def die(*_arguments, **_named): os._exit(9)\n"
            f"def replace(*arguments):\n    {module}.{name} = die\n    return whole(*arguments)\n"
            "credential._replace = replace\n"
            "sys.exit(main(sys.argv[1:]))\n"
        )
        command = [sys.executable, "-c", program, "hosts", "--collector", renewed_there.address]
        ended = subprocess.run([*command, "--identity", str(path)], capture_output=True, timeout=120, check=False)
        assert ended.returncode == 9, ended.stderr
        assert load_credential(identity).chain
    assert names(run("hosts", "--collector", renewed_there.address, "--identity", str(path), "--output", "json"))
    assert load_credential(identity).ends_at > datetime.now(UTC)
    # What those left behind, keys among it, is gone.
    assert [entry.name for entry in tmp_path.iterdir()] == ["ada.pem"]


# --- with the collector's own command, and beyond loopback -----------------------------------------------------------


def test_what_the_collector_makes_for_an_operator_is_an_identity(run: Run, tmp_path: Path) -> None:
    with serving(tmp_path / "real") as (trusted, _):
        path = tmp_path / ".config" / "libcensus" / "operator.pem"
        path.parent.mkdir(parents=True)
        program = str(Path(sys.executable).with_name("libcensus-collector"))
        command = [program, "operator", "create", "ada", "--output", str(path)]
        command += ["--pki-dir", str(trusted.folder / "pki"), "--audit-log", str(tmp_path / "audit.jsonl")]
        command += ["--database", f"sqlite:///{trusted.folder / 'census.db'}"]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        assert names(run("hosts", "--collector", trusted.address, "--output", "json")) == ["web-1"]
        told = json.loads(run("identity", "show", "--output", "json").out)
        assert (told["name"], told["origin"], told["state"]) == ("spiffe://libcensus/operator/ada", "default", "good")


def own_address() -> str:
    """The address by which this machine would reach others; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
        try:
            trial.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address beside loopback")
        return str(trial.getsockname()[0])


def test_a_collector_beyond_loopback_is_asked_over_tls_alone(run: Run, tmp_path: Path) -> None:
    address = own_address()
    with serving(tmp_path / "far", listen=f"{address}:0", server_names=(address,)) as (trusted, store):
        path = write_identity(tmp_path / "ada.pem", aged(trusted, store, "far", timedelta(days=6)))
        asked = ("hosts", "--collector", trusted.address, "--output", "json")
        assert run(*asked).code == 5
        # It is renewed where the certificate of the collector is good, too.
        enrollment = IdentityFiles("test", identity=str(path))
        before = load_credential(enrollment).leaf.serial_number
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("LIBCENSUS_ENROLL_ADDRESS", trusted.collector.enrollment_address)
            assert names(run(*asked, "--identity", str(path))) == ["web-1"]
        assert load_credential(enrollment).leaf.serial_number != before
