"""Backups by the installed commands and of collectors that serve: moved, under load, answering alike, on full disks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libcensus.agent.credentials import IdentityFolder
from libcensus.agent.delivery import Courier
from libcensus.cli.main import main
from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.app import Collector
from libcensus.collector.backup.archive import ArchiveReader
from libcensus.collector.backup.make import make_backup
from libcensus.collector.backup.restore import restore
from libcensus.collector.config import CollectorSettings
from libcensus.collector.simulation.fill import Simulation
from libcensus.collector.store.sql import SqlStore
from tests.contract.specimens import Census, build
from tests.integration.reporting_host import scan_of
from tests.integration.test_enrolled_agent import DAY, Fleet, fleet, give_certificate_of
from tests.integration.test_store_faults import SmallDisk, deliver, disk, serving

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["disk", "fleet"]

COMMAND = Path(sys.prefix) / "bin" / "libcensus-collector"


def nothing(_what: str, _share: float) -> None:
    """Show no progress."""


def command(folder: Path, *words: str, code: int = 0, prefix: tuple[str, ...] = ()) -> str:
    """Run the collector's command with everything in a folder; returns what it said where it matters."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LIBCENSUS_")}
    environment |= {"XDG_STATE_HOME": str(folder), "LIBCENSUS_COLLECTOR_CONFIG": str(folder / "collector.toml")}
    done = subprocess.run(
        [*prefix, str(COMMAND), *words], capture_output=True, text=True, check=False, timeout=300, env=environment
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr if code else done.stdout


def settings_file(folder: Path, database: str) -> Path:
    """Write settings that keep everything in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / "collector.toml"
    lines = {"database": database, "pki_dir": f"{folder}/pki", "vex_dir": f"{folder}/vex"}
    lines |= {"advisories_dir": f"{folder}/advisories", "audit_log": f"{folder}/audit.jsonl"}
    place.write_text("".join(f'{name} = "{value}"\n' for name, value in lines.items()))
    return place


def test_hosts_go_on_with_a_collector_that_was_restored_elsewhere(fleet: Fleet, tmp_path: Path) -> None:
    """Keys were in the backup: nobody enrolls again, not even who renewed after the backup was made."""
    fleet.back = 5 * DAY
    fleet.start()
    state = tmp_path / "state"
    fleet.enroll(state)
    Courier(fleet.config(state)).deliver(lambda: scan_of(1))
    settings = CollectorSettings(
        database=fleet.database, pki_dir=str(fleet.pki), audit_log=str(fleet.folder / "audit.jsonl")
    )
    archive, now = tmp_path / "census.zip", datetime.now(UTC)
    make_backup(settings, None, archive, with_keys=True, overwrite=False, progress=nothing, clock=lambda: now - 6 * DAY)
    # As if it had renewed a day after the backup, five days ago.
    give_certificate_of(fleet, state, now - 5 * DAY)
    renewed = IdentityFolder(state).current()
    assert renewed is not None
    fleet.stop()

    other = Fleet(tmp_path / "other")
    settings_file(other.folder, other.database)
    told = json.loads(command(other.folder, "restore", str(archive), "--output", "json"))
    assert told["authority"] == "same"
    with SqlStore.open(other.database) as store:
        assert store.find_certificate(renewed.facts.serial) is None
        assert [len(host.builds) for host in store.hosts()] == [1]
    other.start()
    try:
        assert other.fingerprint == fleet.fingerprint
        Courier(other.config(state)).deliver(lambda: scan_of(1, 2, hour=1))
    finally:
        other.stop()
    newest = IdentityFolder(state).current()
    assert newest is not None
    with SqlStore.open(other.database) as store:
        assert [len(host.builds) for host in store.hosts()] == [2]
        kept = store.find_certificate(newest.facts.serial)
        assert kept is not None
        assert kept.predecessor == renewed.facts.serial
    events = [json.loads(line)["event"] for line in (other.folder / "audit.jsonl").read_text().splitlines()]
    assert events[-2:] == ["restored", "renewed"]


def test_a_backup_under_load_has_every_report_that_was_acknowledged_before(tmp_path: Path) -> None:
    settings_file(tmp_path / "there", f"sqlite:///{tmp_path}/census.db")
    acknowledged: list[str] = []
    ended = threading.Event()
    with serving(f"sqlite:///{tmp_path}/census.db") as collector:

        def report() -> None:
            with collector.stub() as stub:
                for number in range(1_000_000):
                    if ended.is_set():
                        return
                    census = Census.of("web", f"m{number}", (f"/opt/{number}", build(f"b{number}")))
                    deliver(stub, census)
                    acknowledged.append(census.address)

        reporting = threading.Thread(target=report)
        reporting.start()
        try:
            while len(acknowledged) < 20:
                assert reporting.is_alive()
                ended.wait(0.02)
            before = list(acknowledged)
            command(tmp_path / "there", "backup", "--output", f"{tmp_path}/census.zip")
            # It went on taking reports meanwhile.
            assert len(acknowledged) > len(before)
        finally:
            ended.set()
            reporting.join()
        command(tmp_path / "there", "restore", f"{tmp_path}/census.zip", "--replace", code=3)
    settings_file(tmp_path / "here", f"sqlite:///{tmp_path}/here/census.db")
    command(tmp_path / "here", "restore", f"{tmp_path}/census.zip")
    with SqlStore.open(f"{tmp_path}/here/census.db") as store:
        [host] = store.hosts()
        shown = [one.inventory for one in store.inventory_history([host.host_id])[host.host_id]]
        assert shown[: len(before)] == before
        assert shown == acknowledged[: len(shown)]
        assert store.missing(shown) == frozenset()


QUESTIONS = (
    ("hosts",),
    ("hosts", "-l", "env=prod"),
    ("fleet", "glibc"),
    ("fleet", "matrix"),
    ("posture",),
    ("posture", "--at", "2026-09-15"),
    ("providers",),
)


def test_a_restored_fleet_answers_every_question_alike(
    tmp_path: Path, postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """From SQLite into PostgreSQL, and from there into SQLite again."""
    simulation = Simulation(load_snapshot(), 9, 120, days=120)
    first = f"sqlite:///{tmp_path}/first.db"
    with SqlStore.open(first) as store:
        simulation.fill(store)
        for stamp in store.host_stamps()[::3]:
            store.set_labels(stamp.host_id, {"env": "prod"})
    day = simulation.as_of
    plain = CollectorSettings(listen="127.0.0.1:0", http_listen="127.0.0.1:0", database=first)
    expected = answers(plain, day, capsys, archive=tmp_path / "one.zip")
    assert json.loads(expected[0])
    assert json.loads(expected[1])
    for number, url in enumerate((postgres_url, f"sqlite:///{tmp_path}/third.db")):
        settings = replace(plain, database=url, pki_dir=str(tmp_path / f"state-{number}" / "pki"))
        archive = tmp_path / ("one.zip" if number == 0 else "two.zip")
        with ArchiveReader.open(archive) as reader:
            restore(
                reader,
                settings,
                tmp_path / "absent.toml",
                replace=False,
                progress=nothing,
                clock=lambda: datetime.now(UTC),
            )
        assert answers(settings, day, capsys, archive=tmp_path / "two.zip" if number == 0 else None) == expected


def answers(
    settings: CollectorSettings, day: date, capsys: pytest.CaptureFixture[str], *, archive: Path | None
) -> list[str]:
    """Return what the operator's command prints of a collector as JSON; it is backed up while it serves."""
    found = []
    with Collector(settings, today=lambda: day) as collector:
        if archive is not None:
            make_backup(
                settings,
                None,
                archive,
                with_keys=False,
                overwrite=False,
                progress=nothing,
                clock=lambda: datetime.now(UTC),
            )
        for question in QUESTIONS:
            capsys.readouterr()
            assert main([*question, "--collector", collector.grpc_address, "--output", "json"]) == 0, question
            found.append(capsys.readouterr().out)
    return found


@pytest.fixture
def fleet_of_megabytes(tmp_path: Path) -> Callable[[], Path]:
    """Make the settings of a collector whose database is larger than the small disk."""

    def make() -> Path:
        folder = tmp_path / "large"
        settings_file(folder, f"sqlite:///{folder}/census.db")
        with SqlStore.open(f"{folder}/census.db") as store:
            Simulation(load_snapshot(), 2, 700, days=60).fill(store)
        assert (folder / "census.db").stat().st_size > 4 * 1024**2
        return folder

    return make


def test_a_full_disk_costs_neither_the_older_backup_nor_the_database(
    disk: SmallDisk, tmp_path: Path, fleet_of_megabytes: Callable[[], Path]
) -> None:
    large, small, inside = fleet_of_megabytes(), tmp_path / "small", tuple(disk.enter)
    settings_file(small, f"sqlite:///{small}/census.db")
    census = Census.of("small", "small", ("/opt/a", build("a")))
    with SqlStore.open(f"{small}/census.db") as store:
        store.put_facts(census.records)
    place = f"{disk.inside}/census.zip"
    command(small, "backup", "--output", place, prefix=inside)
    older = (disk.outside / "census.zip").read_bytes()
    told = command(large, "backup", "--output", place, "--overwrite", code=3, prefix=inside)
    assert "no space left for the backup" in told
    assert (disk.outside / "census.zip").read_bytes() == older
    assert [path.name for path in disk.outside.iterdir()] == ["census.zip"]

    # And back: into a place where a small collector is, and a large one has no room.
    settings_file(small, f"sqlite:///{disk.inside}/census.db")
    command(small, "restore", place, prefix=inside)
    command(large, "backup", "--output", f"{tmp_path}/large.zip")
    before = {path.name for path in disk.outside.iterdir()}
    told = command(small, "restore", f"{tmp_path}/large.zip", "--replace", code=3, prefix=inside)
    assert "no space left" in told
    assert {path.name for path in disk.outside.iterdir()} == before
    assert not (small / "restore.journal").exists()
    with SqlStore.open(str(disk.copy_out("census.db", tmp_path))) as store:
        assert store.missing([one.digest for one in census.records]) == frozenset()


def test_on_the_command_line(tmp_path: Path) -> None:
    folder = tmp_path / "there"
    settings_file(folder, f"sqlite:///{folder}/census.db")
    SqlStore.open(f"{folder}/census.db").close()
    command(folder, "ca", "init")
    archive = f"{tmp_path}/census.zip"
    assert "not in it: with a new authority every host has to be enrolled again" in command(
        folder, "backup", "--output", archive
    )
    assert "is there already" in command(folder, "backup", "--output", archive, code=1)
    done = subprocess.run(
        [COMMAND, "backup", "--output", archive, "--overwrite", "--with-keys", "--config", folder / "collector.toml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "warning: " in done.stderr
    assert "holds the keys of the certificate authority" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert "keys      inside" in command(folder, "restore", "--check", archive)
    shown = json.loads(command(folder, "restore", "--check", archive, "--output", "json"))
    assert shown["with_keys"] is True

    assert "missing argument FILE" in command(folder, "restore", code=2)
    assert "--recover stands alone" in command(folder, "restore", archive, "--recover", code=2)
    assert "nothing to do" in command(folder, "restore", "--recover")
    # Nothing is there that another would miss: an empty database, and the very same authority.
    told = command(folder, "restore", archive)
    assert "the one that the hosts of the backup trust" in told
    assert "look again at bans" in told
