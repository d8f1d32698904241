"""What ``--database`` accepts, and that no message repeats a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from libcensus.collector.errors import ConfigurationError
from libcensus.collector.store.address import DatabaseAddress


@pytest.mark.parametrize(
    ("text", "path"),
    [
        pytest.param("sqlite:////var/lib/census.db", Path("/var/lib/census.db"), id="absolute"),
        pytest.param("sqlite:///census.db", Path.cwd() / "census.db", id="relative"),
        pytest.param("sqlite+pysqlite:////var/lib/census.db", Path("/var/lib/census.db"), id="driver named"),
        pytest.param("/var/lib/census.db", Path("/var/lib/census.db"), id="plain path"),
        pytest.param("./census.db", Path.cwd() / "census.db", id="plain relative path"),
        pytest.param("/var/lib/100%?.db", Path("/var/lib/100%?.db"), id="plain path with odd characters"),
    ],
)
def test_a_sqlite_file(text: str, path: Path) -> None:
    address = DatabaseAddress.parse(text)
    assert (address.path, address.shown) == (path, str(path))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://census@db.example/fleet", "PostgreSQL database 'fleet' on db.example"),
        ("postgres://census@db.example:5433/fleet", "PostgreSQL database 'fleet' on db.example:5433"),
        ("postgresql+psycopg://census:secret@db.example/fleet", "PostgreSQL database 'fleet' on db.example"),
        ("postgresql://census@/fleet?host=/run/pg", "PostgreSQL database 'fleet' on /run/pg"),
        ("postgresql://census@/fleet?host=a&host=b", "PostgreSQL database 'fleet' on a, b"),
        ("postgresql:///fleet?password=secret", "PostgreSQL database 'fleet' on the local socket"),
    ],
)
def test_a_postgresql_database(text: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGHOST", raising=False)
    address = DatabaseAddress.parse(text)
    assert (address.path, address.shown) == (None, shown)
    assert address.url.drivername == "postgresql+psycopg"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "neither a URL nor a path", id="empty"),
        pytest.param("postgresql", "neither a URL nor a path", id="a word"),
        pytest.param("sqlite://", "names no file", id="memory"),
        pytest.param("sqlite:///:memory:", "names no file", id="memory named"),
        pytest.param("sqlite:///file:x?mode=memory", "names no file", id="SQLite's own URI"),
        pytest.param("sqlite://var/lib/census.db", "four slashes", id="two slashes"),
        pytest.param("sqlite:////census.db?cache=shared", "parameters", id="parameters"),
        pytest.param("mysql://u:secret@host/db", "'mysql' is no kind of database", id="another database"),
        pytest.param("postgresql://u:secret@host", "names no database", id="no database"),
        pytest.param("postgresql://u:secret@host:port/db", "cannot be read", id="port is no number"),
        pytest.param("://u:secret@host/db", "cannot be read", id="no scheme"),
    ],
)
def test_what_means_nothing_is_refused_without_the_password(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        DatabaseAddress.parse(text)
    assert "secret" not in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_symbolic_link_means_the_file_behind_it(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "census.db")
    assert DatabaseAddress.parse(f"{tmp_path}/link").path == tmp_path / "census.db"
