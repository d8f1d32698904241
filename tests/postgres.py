"""A real PostgreSQL for the tests: one private cluster per session on a socket of its own, one schema per test.

The server is found where the distribution puts it and runs as an unprivileged user (it refuses to run as root). It
dies with the test process, however that ends. Where it is not installed the tests fail and say what to install: a
store that is only tested on SQLite is not tested.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterator

_BINARIES = "/usr/lib/postgresql"
_USER = "census"
_DATABASE = "postgres"
LOCKED_USER = "locked"
"""A role that the server asks for a password."""


@dataclass(frozen=True)
class PostgresServer:
    """A running server; ``socket`` is the folder of its socket."""

    socket: Path
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def url(self, database: str = _DATABASE, *, user: str = _USER, schema: str | None = None) -> str:
        """Return the address of a database, or of one schema in it, as a user would write it."""
        options = "" if schema is None else f"&options=-csearch_path%3D{schema}"
        return f"postgresql://{user}@/{database}?host={self.socket}{options}"

    def connect(self, database: str = _DATABASE) -> psycopg.Connection:
        """Return a connection of the superuser that commits each statement."""
        return psycopg.connect(host=str(self.socket), user=_USER, dbname=database, autocommit=True)

    def empty_url(self) -> str:
        """Return the address of an empty schema: as good as an empty database, and made a hundred times faster."""
        schema = f"fleet_{next(self._numbers)}"
        with self.connect() as connection:
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        return self.url(schema=schema)


def _binaries() -> Path:
    found = sorted(Path(_BINARIES).glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if not found:
        pytest.fail(
            f"no PostgreSQL server under {_BINARIES}: the store's contract is tested on a real one; "
            "install it with: apt-get install postgresql",
            pytrace=False,
        )
    return found[-1].parent


def _unprivileged() -> list[str]:
    """Return the start of a command line that gives up root, where the tests run as root."""
    if os.geteuid() != 0:
        return ["setpriv"]
    user = pwd.getpwnam("postgres")
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def _initialise(binaries: Path, folder: Path) -> Path:
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    data = folder / "data"
    subprocess.run(
        [*_unprivileged(), binaries / "initdb", "-D", data, "-U", _USER, "-A", "trust", "--no-sync", "-E", "UTF8"],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=folder,
    )
    rules = data / "pg_hba.conf"
    rules.write_text(f"local all {LOCKED_USER} scram-sha-256\n" + rules.read_text())
    return data


def _wait(server: PostgresServer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            server.connect().close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server of this test session."""
    binaries = _binaries()
    # Not below pytest's folder: that is private to the user who runs the tests, and a socket's path is short.
    with tempfile.TemporaryDirectory(prefix="libcensus-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        data = _initialise(binaries, folder)
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": name,
            "fsync": "off",
            "full_page_writes": "off",
            "log_statement": "none",
            # A deadlock, which the store must survive, is found after a second by default.
            "deadlock_timeout": "50ms",
        }
        arguments = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*_unprivileged(), "--pdeathsig", "INT", "--", binaries / "postgres", "-D", data, *arguments],
                stdout=log,
                stderr=log,
                cwd=folder,
            )
        server = PostgresServer(folder)
        try:
            _wait(server, process)
            with server.connect() as connection:
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'right'").format(sql.Identifier(LOCKED_USER)))
            yield server
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """The address of an empty place in a database."""
    return postgres_server.empty_url()
