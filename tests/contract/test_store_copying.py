"""A copy of a database holds all of one moment, and goes back into either kind of database, whole or not at all."""

from __future__ import annotations

import itertools
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, select

from libcensus.collector.advisories.snapshot import load_snapshot
from libcensus.collector.errors import StoreBusyError, StoreCorruptError, StoreError
from libcensus.collector.pki.records import Ban
from libcensus.collector.simulation.fill import Simulation
from libcensus.collector.store import schema
from libcensus.collector.store.address import DatabaseAddress
from libcensus.collector.store.contract import Restoration
from libcensus.collector.store.copying import (
    RestoreTarget,
    check_revision,
    copy_database,
    last_restoration,
    staged_path,
)
from libcensus.collector.store.sql import SqlStore
from libcensus.collector.store.tables import METADATA, REVISION
from tests.contract.specimens import NOON, Census, build, received
from tests.contract.test_store_trust import certificate, token

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.postgres import PostgresServer

HOUR = timedelta(hours=1)
TAKEN, RESTORED = NOON, NOON + HOUR
MARK = Restoration(RESTORED, TAKEN)
KINDS = ("sqlite", "postgresql")


def nothing(_share: float) -> None:
    """Show no progress."""


def copied(url: str, folder: Path, name: str = "copy.db") -> Path:
    copy_database(url, folder / name, nothing, lambda: TAKEN)
    return folder / name


def put_back(url: str, copy: Path, mark: Restoration = MARK) -> None:
    with RestoreTarget.open(url) as target:
        target.prepare(copy, mark, nothing)
        target.commit()


def content(url: str) -> dict[str, list[Any]]:
    """Return every row of a fleet, in an order that does not depend on the database."""
    engine = create_engine(DatabaseAddress.parse(url).url)
    try:
        with engine.connect() as connection:
            return {
                table.name: sorted(repr(tuple(row)) for row in connection.execute(select(table)))
                for table in METADATA.sorted_tables
                if table.name not in {"health", "restores"}
            }
    finally:
        engine.dispose()


def fill(url: str) -> None:
    """Put a fleet with a past, and something of everything else, into a database."""
    with SqlStore.open(url) as store:
        Simulation(load_snapshot(), 4, 40, days=60).fill(store)
        host = store.host_stamps()[0].host_id
        store.set_labels(host, {"env": "prod", "größe": ""})
        store.put_token(token(labels={"env": "prod"}))
        store.put_certificate(certificate("1f", f"agent/{host}"))
        store.ban(Ban("operator/zoe", NOON, "left the team"))


@pytest.fixture
def another(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Give the address of a further empty database of a kind."""

    def make(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path}/another/census.db"
        server: PostgresServer = request.getfixturevalue("postgres_server")
        return server.empty_url()

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_goes_back_into_either_kind_with_every_row(
    database: str, kind: str, another: Callable[[str], str], tmp_path: Path
) -> None:
    fill(database)
    shares: list[float] = []
    made = copy_database(database, tmp_path / "copy.db", shares.append, lambda: TAKEN)
    assert (made.revision, made.taken_at, made.rows["hosts"]) == (REVISION, TAKEN, 40)
    assert made.rows["restores"] == 0
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert [path.name for path in tmp_path.glob("copy.db*")] == ["copy.db"]
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600

    url = another(kind)
    put_back(url, tmp_path / "copy.db")
    assert content(url) == content(database)
    assert last_restoration(url) == MARK
    with SqlStore.open(database) as before, SqlStore.open(url) as after:
        assert after.hosts() == before.hosts()
        assert after.labels() == before.labels()
        assert (after.tokens(), after.certificates(), after.bans()) == (
            before.tokens(),
            before.certificates(),
            before.bans(),
        )
        assert after.restores() == [MARK]
        ids = [stamp.host_id for stamp in before.host_stamps()]
        assert after.inventory_history(ids) == before.inventory_history(ids)
        assert [after.intervals(one) for one in ids] == [before.intervals(one) for one in ids]


@pytest.mark.parametrize("kind", KINDS)
def test_history_goes_on_after_a_restore(
    database: str, kind: str, another: Callable[[str], str], tmp_path: Path
) -> None:
    """Numbers of rows that came with the copy are not given a second time."""
    first, second = Census.of("web", "w", ("/opt/a", build("a"))), Census.of("web", "w", ("/opt/b", build("b")))
    with SqlStore.open(database) as store:
        store.put_facts(first.records)
        store.apply_reports([received("a" * 32, first.address, NOON)])
    url = another(kind)
    put_back(url, copied(database, tmp_path))
    with SqlStore.open(url) as store:
        store.put_facts(second.records)
        assert store.apply_reports([received("a" * 32, second.address, NOON + HOUR)]) == [()]
        assert [one.path for one in store.intervals("a" * 32)] == ["/opt/a", "/opt/b"]


def test_a_copy_of_an_empty_database_goes_back(database: str, another: Callable[[str], str], tmp_path: Path) -> None:
    copy = copied(database, tmp_path)
    url = another("postgresql")
    put_back(url, copy)
    with SqlStore.open(url) as store:
        assert store.hosts() == []


def test_nothing_is_replaced_while_a_collector_uses_it(database: str) -> None:
    with SqlStore.open(database) as store:
        # A connection that has been used: that is what a collector has.
        store.check()
        with pytest.raises(StoreBusyError, match="uses this database"):
            RestoreTarget.open(database)
    with RestoreTarget.open(database) as target:
        assert target.holds == 0


def test_no_collector_starts_on_a_sqlite_file_while_it_is_replaced(sqlite_file: Path) -> None:
    with RestoreTarget.open(str(sqlite_file)), pytest.raises(StoreBusyError):
        SqlStore.open(str(sqlite_file))


def test_a_collector_waits_for_a_restore_of_postgresql(postgres_url: str, tmp_path: Path) -> None:
    SqlStore.open(postgres_url).close()
    census = Census.of("web", "w", ("/opt/a", build("a")))
    with SqlStore.open(f"{tmp_path}/source.db") as store:
        store.put_facts(census.records)
        store.apply_reports([received("a" * 32, census.address, NOON)])
    copy = copied(f"{tmp_path}/source.db", tmp_path)
    seen: list[int] = []

    def start() -> None:
        with SqlStore.open(postgres_url) as store:
            seen.append(len(store.hosts()))

    with RestoreTarget.open(postgres_url) as target:
        starting = threading.Thread(target=start)
        starting.start()
        target.prepare(copy, MARK, nothing)
        target.commit()
    starting.join(60)
    assert seen == [1]


def test_what_is_not_committed_changes_nothing(database: str, another: Callable[[str], str], tmp_path: Path) -> None:
    fill(database)
    before = content(database)
    other = another("sqlite")
    SqlStore.open(other).close()
    with RestoreTarget.open(database) as target:
        assert target.holds > 0
        target.prepare(copied(other, tmp_path), MARK, nothing)
    assert content(database) == before
    assert last_restoration(database) is None
    path = DatabaseAddress.parse(database).path
    assert path is None or not staged_path(path).exists()


def test_what_was_there_before_is_gone_after_a_restore(
    database: str, another: Callable[[str], str], tmp_path: Path
) -> None:
    fill(database)
    other = another("sqlite")
    with SqlStore.open(other) as store:
        store.put_token(token("kept"))
    put_back(database, copied(other, tmp_path))
    assert content(database) == content(other)


def test_the_log_of_a_killed_collector_does_not_get_into_the_restored_file(tmp_path: Path) -> None:
    """A write-ahead log that is left beside the old file would be applied to the new one."""
    place, left = tmp_path / "census.db", tmp_path / "left"
    left.mkdir()
    census = Census.of("old", "o", ("/opt/a", build("a")))
    with SqlStore.open(str(place)) as store:
        store.put_facts(census.records)
        store.apply_reports([received("a" * 32, census.address, NOON)])
        # What lies on the disk at this moment is what a death leaves behind.
        for name in ("census.db", "census.db-wal"):
            (left / name).write_bytes((tmp_path / name).read_bytes())
    assert (left / "census.db-wal").stat().st_size > 0
    with SqlStore.open(f"{tmp_path}/other.db") as store:
        store.put_token(token("kept"))
    put_back(f"{left}/census.db", copied(f"{tmp_path}/other.db", tmp_path))
    with SqlStore.open(f"{left}/census.db") as store:
        assert store.hosts() == []
        assert [one.token_id for one in store.tokens()] == ["kept"]


def test_every_acknowledged_report_is_in_a_copy_that_began_later(database: str, tmp_path: Path) -> None:
    """Reports come in all the time: a copy has every one from before it began, and is never half of one."""
    censuses = [Census.of("web", f"m{number}", (f"/opt/{number}", build(f"b{number}"))) for number in range(12)]
    acknowledged = [0]
    ended = threading.Event()
    with SqlStore.open(database) as store:

        def report() -> None:
            for number in itertools.count():
                if ended.is_set():
                    return
                census = censuses[number % len(censuses)]
                store.put_facts(census.records)
                moment = NOON + timedelta(seconds=number)
                assert store.apply_reports([received(f"{number % 5:032x}", census.address, moment)]) == [()]
                acknowledged[0] = number + 1

        reporting = threading.Thread(target=report)
        reporting.start()
        try:
            for round_ in range(4):
                while acknowledged[0] < 10 * (round_ + 1):
                    assert reporting.is_alive()
                    ended.wait(0.01)
                before = acknowledged[0]
                place = copied(database, tmp_path, f"copy-{round_}.db")
                with SqlStore.open(str(place)) as kept:
                    newest = max(state.last_report for state in kept.hosts())
                    assert newest >= NOON + timedelta(seconds=before - 1)
                    for state in kept.hosts():
                        assert kept.missing([state.inventory, state.platform, state.installs, *state.builds]) == set()
                        [is_open] = [one for one in kept.intervals(state.host_id) if one.gone_at is None]
                        assert is_open.build in state.builds
        finally:
            ended.set()
            reporting.join()


@pytest.mark.parametrize("revision", sorted(schema.known_revisions()))
@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_of_any_older_version_is_brought_up_to_date(
    revision: str, kind: str, another: Callable[[str], str], tmp_path: Path
) -> None:
    old = DatabaseAddress.parse(f"{tmp_path}/old.db")
    engine = create_engine(old.url)
    with engine.begin() as connection:
        schema.upgrade(connection, old, None, revision)
    engine.dispose()
    made = copy_database(str(old.path), tmp_path / "copy.db", nothing, lambda: TAKEN)
    assert made.revision == revision
    url = another(kind)
    put_back(url, tmp_path / "copy.db")
    census = Census.of("web", "w", ("/opt/a", build("a")))
    with SqlStore.open(url) as store:
        store.put_facts(census.records)
        assert store.apply_reports([received("a" * 32, census.address, NOON)]) == [()]


def test_a_copy_of_a_newer_version_is_refused() -> None:
    with pytest.raises(StoreError, match=r"backup\.zip: was made by a newer version .*install that version"):
        check_revision("9999", "backup.zip")


def test_a_damaged_database_is_told_when_it_is_copied(tmp_path: Path) -> None:
    place = tmp_path / "census.db"
    fill(str(place))
    with closing(sqlite3.connect(place)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    content_ = bytearray(place.read_bytes())
    content_[4096 * 20 : 4096 * 40] = bytes(4096 * 20)
    place.write_bytes(content_)
    with pytest.raises(StoreCorruptError, match="damaged"):
        copied(str(place), tmp_path)


def test_a_database_of_another_program_is_neither_copied_nor_replaced(tmp_path: Path) -> None:
    place = tmp_path / "other.db"
    with closing(sqlite3.connect(place)) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    with pytest.raises(StoreError, match="holds no census"):
        copied(str(place), tmp_path)
    with pytest.raises(StoreError, match="belongs to another program"):
        RestoreTarget.open(str(place))
    noise = tmp_path / "noise"
    noise.write_bytes(bytes(range(256)) * 32)
    with pytest.raises(StoreCorruptError, match="move it away"):
        RestoreTarget.open(str(noise))
    assert noise.read_bytes() == bytes(range(256)) * 32
    with pytest.raises(StoreError, match="there is no such database"):
        copied(f"{tmp_path}/absent.db", tmp_path, "other-copy.db")


def test_a_certificate_that_a_restored_backup_did_not_know_is_kept_once(database: str) -> None:
    one = certificate("1f")
    with SqlStore.open(database) as store:
        store.adopt_certificate(one)
        store.adopt_certificate(certificate("1f", hostname="other"))
        assert store.certificates() == [one]
        assert store.restores() == []


def test_moments_are_kept_to_the_microsecond(database: str, tmp_path: Path) -> None:
    mark = Restoration(datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC), TAKEN)
    put_back(database, copied(database, tmp_path), mark)
    assert last_restoration(database) == mark
