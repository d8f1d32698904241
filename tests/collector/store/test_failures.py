"""What the store says when the database cannot be used: which error, naming what, with which remedy."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from libcensus.collector.errors import StoreBusyError, StoreCorruptError, StoreError, StoreReadOnlyError
from libcensus.collector.store import sql
from libcensus.collector.store.sql import SqlStore
from tests.contract.specimens import NOON, Census, build, received
from tests.postgres import LOCKED_USER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.postgres import PostgresServer

WEB = Census.of("web", "w", ("/opt/python", build("b")))


class TestFiles:
    def test_database_and_folder_are_for_the_owner_alone(self, tmp_path: Path) -> None:
        place = tmp_path / "state" / "census.db"
        before = os.umask(0)
        try:
            with SqlStore.open(str(place)) as store:
                store.put_facts(WEB.records)
                modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in place.parent.iterdir()}
        finally:
            os.umask(before)
        assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
        assert modes == dict.fromkeys(["census.db", "census.db.lock", "census.db-shm", "census.db-wal"], 0o600)

    def test_a_folder_two_levels_deep_is_not_made(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match=r"the folder \S+/a does not exist; create it"):
            SqlStore.open(f"{tmp_path}/a/b/census.db")
        assert list(tmp_path.iterdir()) == []

    def test_nothing_is_made_where_nothing_may_be(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="there is no such database"):
            SqlStore.open(f"{tmp_path}/census.db", create=False)
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_is_no_database(self, tmp_path: Path) -> None:
        (tmp_path / "census.db").mkdir()
        with pytest.raises(StoreError, match=r"census\.db: is a folder"):
            SqlStore.open(f"{tmp_path}/census.db")

    def test_a_file_in_the_way_of_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "state").touch()
        with pytest.raises(StoreError, match=r"/state: is not a folder"):
            SqlStore.open(f"{tmp_path}/state/census.db")

    def test_a_lock_that_is_a_link_is_not_followed(self, tmp_path: Path) -> None:
        target = tmp_path / "precious"
        target.write_text("kept")
        (tmp_path / "census.db.lock").symlink_to(target)
        with pytest.raises(StoreError, match="symbolic link"):
            SqlStore.open(f"{tmp_path}/census.db")
        assert target.read_text() == "kept"

    @pytest.mark.parametrize(
        "content",
        [pytest.param(b"not a database" * 1000, id="text"), pytest.param(b"\x7fELF" + bytes(8192), id="a program")],
    )
    def test_a_file_that_is_no_database(self, tmp_path: Path, content: bytes) -> None:
        place = tmp_path / "census.db"
        place.write_bytes(content)
        with pytest.raises(StoreCorruptError, match=r"census\.db: is not a SQLite database"):
            SqlStore.open(str(place))
        assert place.read_bytes() == content

    def test_damaged_pages(self, tmp_path: Path) -> None:
        place = tmp_path / "census.db"
        with SqlStore.open(str(place)) as store:
            store.put_facts(WEB.records)
            store.apply_reports([received("a" * 32, WEB.address, NOON)])
        content = bytearray(place.read_bytes())
        # The first page, with the schema, stays; an opened store finds out when it reads on.
        content[4096:] = b"\xa5" * (len(content) - 4096)
        place.write_bytes(content)
        said = pytest.raises(StoreCorruptError, match=r"census\.db: the database is damaged .* restore a backup")
        with said, SqlStore.open(str(place)) as store:
            store.hosts()

    def test_a_damaged_fact_is_named(self, tmp_path: Path) -> None:
        place = tmp_path / "census.db"
        with SqlStore.open(str(place)) as store:
            store.put_facts(WEB.records)
            store.apply_reports([received("a" * 32, WEB.address, NOON)])
        connection = sqlite3.connect(place)
        connection.execute("UPDATE facts SET payload = x'ffff' WHERE kind = 'inventory'")
        connection.commit()
        connection.close()
        with SqlStore.open(str(place)) as store:
            with pytest.raises(StoreCorruptError, match=WEB.address):
                store.hosts()
            with pytest.raises(StoreCorruptError, match=WEB.address):
                store.facts([WEB.address])
            assert len(store.host_stamps()) == 1

    @pytest.mark.parametrize(
        ("damage", "read"),
        [
            pytest.param("UPDATE hosts SET name = CAST(x'ff' AS TEXT)", SqlStore.host_stamps, id="a name"),
            pytest.param("UPDATE host_labels SET value = char(31)", SqlStore.labels, id="a label"),
            pytest.param("UPDATE host_labels SET value = CAST(x'ff' AS TEXT)", SqlStore.labels, id="text of a label"),
        ],
    )
    def test_damage_in_what_every_scrape_reads(
        self, tmp_path: Path, damage: str, read: Callable[[SqlStore], object]
    ) -> None:
        place = tmp_path / "census.db"
        with SqlStore.open(str(place)) as store:
            store.put_facts(WEB.records)
            store.apply_reports([received("a" * 32, WEB.address, NOON)])
            store.set_labels("a" * 32, {"env": "prod"})
        connection = sqlite3.connect(place)
        connection.execute(damage)
        connection.commit()
        connection.close()
        with (
            SqlStore.open(str(place)) as store,
            pytest.raises(StoreCorruptError, match=r"census\.db: the database is damaged"),
        ):
            read(store)

    def test_a_lock_held_by_another_program(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sql, "_BUSY_SECONDS", 0.05)
        place = tmp_path / "census.db"
        with SqlStore.open(str(place)) as store:
            other = sqlite3.connect(place, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreBusyError, match="another program holds the database's lock"):
                store.put_facts(WEB.records)
            assert store.missing([WEB.address]) == {WEB.address}
            other.execute("ROLLBACK")
            other.close()
            assert store.put_facts(WEB.records) == 4

    def test_what_failed_to_open_is_free_again(self, tmp_path: Path) -> None:
        place = tmp_path / "census.db"
        place.write_bytes(b"not a database" * 1000)
        with pytest.raises(StoreCorruptError):
            SqlStore.open(str(place))
        place.unlink()
        SqlStore.open(str(place)).close()


class TestLock:
    def test_a_second_store_names_file_and_process(self, tmp_path: Path) -> None:
        place = tmp_path / "census.db"
        with SqlStore.open(str(place)), pytest.raises(StoreBusyError) as caught:
            SqlStore.open(f"sqlite:///{place}")
        assert str(place) in str(caught.value)
        assert f"process {os.getpid()}" in str(caught.value)
        SqlStore.open(str(place)).close()

    def test_another_name_for_the_file_does_not_help(self, tmp_path: Path) -> None:
        (tmp_path / "link.db").symlink_to(tmp_path / "census.db")
        with SqlStore.open(f"{tmp_path}/census.db"), pytest.raises(StoreBusyError):
            SqlStore.open(f"{tmp_path}/link.db")

    def test_the_death_of_the_holder_frees_the_file(self, tmp_path: Path) -> None:
        place = tmp_path / "census.db"
        program = "import sys, time; from libcensus.collector.store.sql import SqlStore; "
        program += "s = SqlStore.open(sys.argv[1]); print('open', flush=True); time.sleep(600)"
        holder = subprocess.Popen([sys.executable, "-c", program, str(place)], stdout=subprocess.PIPE)
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"open\n"
            with pytest.raises(StoreBusyError, match=f"process {holder.pid}"):
                SqlStore.open(str(place))
        finally:
            holder.kill()
            holder.communicate()
        SqlStore.open(str(place)).close()


class TestPostgresql:
    def test_a_server_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(
            StoreError, match=r"'fleet' on \S+: cannot be reached; check that the server runs"
        ) as caught:
            SqlStore.open(f"postgresql://census:secret@/fleet?host={tmp_path}")
        assert "secret" not in str(caught.value)

    def test_a_wrong_password(self, postgres_server: PostgresServer) -> None:
        url = postgres_server.url(user=f"{LOCKED_USER}:wrong-secret")
        with pytest.raises(StoreError, match="password authentication failed") as caught:
            SqlStore.open(url)
        assert "wrong-secret" not in str(caught.value)

    def test_a_database_that_does_not_exist(self, postgres_server: PostgresServer) -> None:
        with pytest.raises(StoreError, match=r"'nowhere' on .*does not exist"):
            SqlStore.open(postgres_server.url("nowhere"))

    def test_a_user_who_may_not_make_tables(self, postgres_server: PostgresServer) -> None:
        with pytest.raises(StoreError, match=r"lacks a permission; grant it"):
            SqlStore.open(postgres_server.url(user=f"{LOCKED_USER}:right"))

    def test_a_server_that_takes_no_writes(self, postgres_server: PostgresServer) -> None:
        url = postgres_server.empty_url()
        SqlStore.open(url).close()
        with pytest.raises(StoreReadOnlyError, match="connect to the primary"):
            SqlStore.open(f"{url}%20-cdefault_transaction_read_only%3Don")

    def test_connections_that_the_server_ended_are_replaced(self, postgres_server: PostgresServer) -> None:
        with SqlStore.open(postgres_server.empty_url()) as store:
            store.put_facts(WEB.records)
            with postgres_server.connect() as connection:
                query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                query += "AND application_name = 'libcensus-collector'"
                row = connection.execute(query).fetchone()
                assert row is not None
                assert row[0] >= 1
            assert store.apply_reports([received("a" * 32, WEB.address, NOON)]) == [()]

    def test_a_server_that_fails_in_the_middle_leaves_nothing_half_done(self, postgres_server: PostgresServer) -> None:
        url = postgres_server.empty_url()
        schema = url.rsplit("%3D", 1)[1]
        with SqlStore.open(url) as store, postgres_server.connect() as connection:
            store.put_facts(WEB.records)
            # The last table that a new host's report writes to refuses: the tables before it must be as they were.
            connection.execute(
                f"CREATE FUNCTION {schema}.refuse() RETURNS trigger LANGUAGE plpgsql AS "
                "$$BEGIN RAISE EXCEPTION 'disk' USING ERRCODE = '53100'; END$$"
            )
            connection.execute(
                f"CREATE TRIGGER refuse BEFORE INSERT ON {schema}.install_intervals EXECUTE FUNCTION {schema}.refuse()"
            )
            with pytest.raises(StoreError, match="the server's disk is full"):
                store.apply_reports([received("a" * 32, WEB.address, NOON)])
            assert store.hosts() == []
            connection.execute(f"DROP TRIGGER refuse ON {schema}.install_intervals")
            assert store.apply_reports([received("a" * 32, WEB.address, NOON)]) == [()]


def test_opening_at_the_newest_revision_is_cheap(tmp_path: Path) -> None:
    """Alembic is only needed to migrate: a collector that starts on a current database does not import it."""
    place = tmp_path / "census.db"
    SqlStore.open(str(place)).close()
    program = (
        "import sys; from libcensus.collector.store.sql import SqlStore; SqlStore.open(sys.argv[1]).close(); "
        "sys.exit('alembic' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, str(place)], check=True)
