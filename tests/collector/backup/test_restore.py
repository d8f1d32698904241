"""Restoring: what goes where, what is refused, and that nothing is ever half restored."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from libcensus.collector.backup.archive import ArchiveReader, BackupError
from libcensus.collector.backup.make import make_backup
from libcensus.collector.backup.restore import JOURNAL, Outcome, recover, refuse_half_restored, restore
from libcensus.collector.errors import ConfigurationError, StoreBusyError
from libcensus.collector.pki.authority import Authority, rotate_root
from libcensus.collector.pki.keyfiles import changing
from libcensus.collector.store.copying import last_restoration
from libcensus.collector.store.sql import SqlStore
from tests.collector.backup.conftest import Machine, filled, machine
from tests.collector.backup.moments import RESTORED, TAKEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcensus.collector.config import CollectorSettings


def put_back(
    archive: Path, to: Machine, *, replace_: bool = False, settings: CollectorSettings | None = None
) -> Outcome:
    with ArchiveReader.open(archive) as reader:
        return restore(
            reader,
            settings or to.settings,
            to.config,
            replace=replace_,
            progress=lambda _what, _share: None,
            clock=lambda: RESTORED,
        )


@pytest.fixture
def bare(tmp_path: Path) -> Machine:
    """A machine without a collector on it."""
    return machine(tmp_path / "bare")


@pytest.fixture
def other(tmp_path: Path) -> Machine:
    """A machine with another collector on it."""
    made = filled(tmp_path / "other", "db-1")
    (made.state / "vex" / "older.json").write_text("{}")
    (made.state / "vex" / "accepted.json").write_text('{"other": 1}')
    return made


# --- onto a machine without one -------------------------------------------------------------------------------------


def test_a_bare_machine_becomes_the_collector(source: Machine, archive: Path, bare: Machine) -> None:
    outcome = put_back(archive, bare)
    assert bare.hosts() == ["web-1", "web-2"]
    files = source.files()
    # Where it lies on the other machine, web.config.yml has no place on this one.
    assert outcome.homeless == ["web/web.config.yml"]
    assert bare.files() == {name: text for name, text in files.items() if name != "etc/web.config.yml"}
    assert {path.stat().st_mode & 0o777 for path in (bare.state / "pki").glob("*.key")} == {0o600}
    assert (bare.state / "pki").stat().st_mode & 0o777 == 0o700
    assert (bare.state / "collector.db").stat().st_mode & 0o777 == 0o600
    assert outcome.authority == "same"
    assert outcome.kept == []
    assert last_restoration(bare.settings.database or "") is not None
    refuse_half_restored(bare.settings)


def test_restoring_where_it_was_brings_web_config_back(tmp_path: Path) -> None:
    made = filled(tmp_path / "machine", "web-1")
    made.back_up(tmp_path / "census.zip")
    files = made.files()
    shutil.rmtree(made.folder)
    put_back(tmp_path / "census.zip", machine(tmp_path / "machine"))
    assert made.files() == files


def test_an_archive_puts_no_file_outside_the_folder_of_the_settings(
    source: Machine, bare: Machine, tmp_path: Path
) -> None:
    """What an archive says of places is believed within that folder alone."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("certificate", "key", "roots"):
        (elsewhere / name).write_text(name)
    settings = replace(
        source.settings,
        tls_certificate=str(elsewhere / "certificate"),
        tls_key=str(elsewhere / "key"),
        tls_client_ca=f"{bare.folder}/etc/../../elsewhere/roots",
    )
    make_backup(
        settings,
        None,
        tmp_path / "census.zip",
        with_keys=True,
        overwrite=False,
        progress=lambda _what, _share: None,
        clock=lambda: TAKEN,
    )
    shutil.rmtree(elsewhere)
    outcome = put_back(tmp_path / "census.zip", bare)
    assert {"tls/tls_certificate.pem", "tls/tls_key.pem", "tls/tls_client_ca.pem"} <= set(outcome.homeless)
    assert not elsewhere.exists()


def test_without_keys_the_authority_is_missing_and_that_is_told(source: Machine, bare: Machine, tmp_path: Path) -> None:
    source.back_up(tmp_path / "census.zip", with_keys=False)
    outcome = put_back(tmp_path / "census.zip", bare)
    assert outcome.authority == "missing"
    assert not (bare.state / "pki").exists()
    # The folder from where keys are kept makes it whole.
    shutil.copytree(source.state / "pki", bare.state / "pki")
    assert put_back(tmp_path / "census.zip", bare, replace_=True).authority == "same"


def test_another_authority_that_is_there_is_told(source: Machine, bare: Machine, tmp_path: Path) -> None:
    source.back_up(tmp_path / "census.zip", with_keys=False)
    Authority.init(bare.state / "pki", "libcensus", TAKEN)
    assert put_back(tmp_path / "census.zip", bare).authority == "other"


def test_an_authority_that_was_rotated_since_is_the_same(tmp_path: Path) -> None:
    made = filled(tmp_path / "machine", "web-1")
    made.back_up(tmp_path / "census.zip", with_keys=False)
    rotate_root(made.state / "pki", TAKEN)
    assert put_back(tmp_path / "census.zip", made, replace_=True).authority == "same"


# --- onto one that has something ------------------------------------------------------------------------------------


def test_nothing_is_replaced_without_being_told_to(archive: Path, other: Machine) -> None:
    before = other.files()
    with pytest.raises(BackupError, match=r"collector\.db, .*/pki, .*/vex: holds something already; back it up"):
        put_back(archive, other)
    assert other.files() == before
    assert other.hosts() == ["db-1"]


def test_what_is_replaced_and_what_stays(source: Machine, archive: Path, other: Machine) -> None:
    before, wanted = other.files(), source.files()
    (other.state / "audit.jsonl").write_text("newer\n")
    outcome = put_back(archive, other, replace_=True)
    assert other.hosts() == ["web-1", "web-2"]
    after = other.files()
    for name in after:
        expected = wanted if name.startswith(("state/pki", "state/vex")) else before
        assert after[name] == (b"newer\n" if name == "state/audit.jsonl" else expected[name]), name
    assert "state/vex/older.json" not in after
    assert str(other.state / "audit.jsonl") in outcome.kept


def test_restoring_twice_is_the_same_as_once(archive: Path, bare: Machine) -> None:
    put_back(archive, bare)
    before = bare.files()
    with pytest.raises(BackupError, match=r"collector\.db: holds something already"):
        put_back(archive, bare)
    outcome = put_back(archive, bare, replace_=True)
    assert outcome.placed == []
    assert bare.files() == before


def test_a_collector_that_runs_keeps_its_database(archive: Path, other: Machine) -> None:
    before = other.files()
    with SqlStore.open(other.settings.database or ""), pytest.raises(StoreBusyError, match="another collector"):
        put_back(archive, other, replace_=True)
    assert other.files() == before


def test_a_damaged_archive_changes_nothing(archive: Path, other: Machine, tmp_path: Path) -> None:
    before = other.files()
    whole = archive.read_bytes()
    for share in (1, 3, 5, 7):
        content = bytearray(whole)
        for step in range(64):
            content[len(whole) * share // 8 + step] ^= 0xFF
        (tmp_path / "broken.zip").write_bytes(content)
        with pytest.raises(BackupError, match="is damaged"):
            put_back(tmp_path / "broken.zip", other, replace_=True)
    assert other.files() == before
    assert other.hosts() == ["db-1"]


def test_what_stands_in_the_way_is_told_before_anything_moves(archive: Path, other: Machine) -> None:
    before = other.files()
    for obstacle in (".accepted.json.before-restore", "accepted.json"):
        place = other.state / "vex" / obstacle
        place.unlink(missing_ok=True)
        place.mkdir()
        with pytest.raises(ConfigurationError, match=f"{obstacle}: is in the way"):
            put_back(archive, other, replace_=True)
        place.rmdir()
    (other.state / "vex" / "accepted.json").write_bytes(before["state/vex/accepted.json"])
    assert other.files() == before


def test_a_database_that_cannot_be_replaced_undoes_all(
    archive: Path, other: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody looks into it with another program: that is found out last, when every file has been moved."""
    monkeypatch.setattr("libcensus.collector.store.copying._BUSY_SECONDS", 0.1)
    before = other.files()
    with closing(sqlite3.connect(other.state / "collector.db", isolation_level=None)) as shell:
        shell.execute("BEGIN")
        shell.execute("SELECT * FROM hosts").fetchall()
        with pytest.raises(StoreBusyError, match="another program holds the database's lock"):
            put_back(archive, other, replace_=True)
    assert other.files() == before
    assert other.hosts() == ["db-1"]
    refuse_half_restored(other.settings)


# --- cut short ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Killer:
    """A process that backs up or restores, and is killed on the way."""

    process: subprocess.Popen[str]

    def run(self, step: int, folder: Path) -> bool:
        """Work on a machine until a step; returns whether that was the end."""
        stdin, stdout = self._pipes
        stdin.write(f"{step} {folder}\n")
        stdin.flush()
        answer = stdout.readline().strip()
        assert answer in {"done", "killed"}, answer
        return answer == "done"

    @property
    def _pipes(self) -> tuple[IO[str], IO[str]]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        return self.process.stdin, self.process.stdout


@contextmanager
def killing(what: str, archive: Path) -> Iterator[Killer]:
    arguments = [sys.executable, "-m", "tests.collector.backup.interrupted", what, str(archive)]
    root = Path(__file__).parents[3]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        yield Killer(process)
        process.communicate()
    assert process.returncode == 0


def test_a_restore_that_is_killed_at_any_step_is_undone_or_finished(
    source: Machine, archive: Path, other: Machine, tmp_path: Path
) -> None:
    before, wanted = other.files(), source.files()
    states, mixed = [], 0
    with killing("restore", archive) as killer:
        for step in range(1, 500):
            trial = Machine(tmp_path / f"trial-{step}")
            shutil.copytree(other.folder, trial.folder)
            done = killer.run(step, trial.folder)
            journal = trial.state / JOURNAL
            if journal.exists():
                mixed += 1
                with pytest.raises(ConfigurationError, match="restore --recover"):
                    refuse_half_restored(trial.settings)
            told = recover(trial.settings)
            refuse_half_restored(trial.settings)
            hosts = trial.hosts()
            assert hosts in (["db-1"], ["web-1", "web-2"]), step
            is_new = hosts != ["db-1"]
            assert told in {None, "finished" if is_new else "undone"}, step
            expected = before
            if is_new:
                ours = ("state/pki", "state/vex")
                expected = {name: text for name, text in before.items() if not name.startswith(ours)}
                expected |= {name: text for name, text in wanted.items() if name.startswith(ours)}
            if told is not None or done:
                assert trial.files() == expected, step
            else:
                # Nothing was moved yet; what lay ready is taken away by the next restore.
                assert {name: trial.files().get(name) for name in expected} == expected, step
                if step % 8 == 0:
                    put_back(archive, trial, replace_=True)
                    assert not [name for name in trial.files() if "restor" in name], step
            states.append(is_new)
            shutil.rmtree(trial.folder)
            if done:
                break
        else:
            pytest.fail("it never came through")
    # Both outcomes were seen, once the new one always the new one, and the time between was met.
    assert states == sorted(states)
    assert {True, False} == set(states)
    assert mixed > 5


def test_a_restore_that_was_cut_short_is_undone_by_the_next(archive: Path, other: Machine, tmp_path: Path) -> None:
    (other.state / JOURNAL).write_text(
        json.dumps(
            {
                "restored_at": RESTORED.isoformat(),
                "swaps": [
                    {
                        "target": str(other.state / "vex" / "accepted.json"),
                        "staged": str(other.state / "vex" / ".accepted.json.restoring"),
                        "before": str(other.state / "vex" / ".accepted.json.before-restore"),
                    }
                ],
            }
        )
    )
    (other.state / "vex" / "accepted.json").rename(other.state / "vex" / ".accepted.json.before-restore")
    with pytest.raises(BackupError, match="holds something already"):
        put_back(archive, other)
    assert (other.state / "vex" / "accepted.json").read_text() == '{"other": 1}'
    assert not (other.state / JOURNAL).exists()


# --- making one -----------------------------------------------------------------------------------------------------


def test_a_backup_that_is_killed_at_any_step_leaves_the_older_one_or_is_whole(source: Machine, tmp_path: Path) -> None:
    place = tmp_path / "kept" / "census.zip"
    place.parent.mkdir()
    source.back_up(place, with_keys=False)
    outcomes = []
    with killing("backup", place) as killer:
        for step in range(1, 200):
            done = killer.run(step, source.folder)
            with ArchiveReader.open(place) as reader:
                reader.check()
                outcomes.append(reader.manifest.with_keys)
            if done:
                break
        else:
            pytest.fail("it never came through")
    assert outcomes == sorted(outcomes)
    assert outcomes[-1]
    assert len(outcomes) > 5


def test_a_file_that_is_there_is_not_overwritten_by_chance(source: Machine, tmp_path: Path) -> None:
    place = tmp_path / "census.zip"
    place.write_text("something else")
    with pytest.raises(BackupError, match="is there already; name another file, or replace it with --overwrite"):
        source.back_up(place)
    assert place.read_text() == "something else"
    source.back_up(place, overwrite=True)
    with ArchiveReader.open(place) as reader:
        reader.check()
    assert [path.name for path in tmp_path.iterdir()] == ["census.zip"]
    with pytest.raises(BackupError, match="is a folder"):
        source.back_up(tmp_path, overwrite=True)
    with pytest.raises(ConfigurationError, match="No such file or directory"):
        source.back_up(tmp_path / "absent" / "census.zip")


def test_the_authority_is_not_rotated_while_it_is_copied(source: Machine, tmp_path: Path) -> None:
    with changing(source.state / "pki"), pytest.raises(ConfigurationError, match="is changing this certificate"):
        source.back_up(tmp_path / "census.zip")
    assert list(tmp_path.iterdir()) == []
