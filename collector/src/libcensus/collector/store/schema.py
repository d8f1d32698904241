"""Brings a database's tables to what this version writes, once, however many collectors start at the same time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import column, func, inspect, select, table

from libcensus.collector.errors import StoreError
from libcensus.collector.store.tables import METADATA, REVISION, VERSION_TABLE

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

    from libcensus.collector.store.address import DatabaseAddress

MIGRATIONS = Path(__file__).parent / "migrations"
"""Alembic's folder: it comes with the package."""

_ADVISORY_LOCK = 0x6C69_6263_656E_7375
"""``libcensu`` in ASCII: the key of the lock under which PostgreSQL databases are migrated."""


def bring_up_to_date(connection: Connection, address: DatabaseAddress, *, create: bool) -> None:
    """Migrate the database inside the connection's transaction; does nothing where it is up to date.

    Raises StoreError where it was written by a newer version, belongs to another program, or is empty although
    ``create`` is false.
    """
    if _revision(connection) == REVISION:
        return
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
    revision = _revision(connection)
    if revision == REVISION:
        return
    if revision is None:
        _refuse_foreign(connection, address, create=create)
    upgrade(connection, address, revision, "head")


def require_up_to_date(connection: Connection, address: DatabaseAddress) -> None:
    """Raise StoreError where the database is not what this version writes: whoever serves brings it there."""
    revision = _revision(connection)
    if revision != REVISION:
        held = "no census yet" if revision is None else f"the tables of another version (revision {revision})"
        raise StoreError(
            f"{address.shown}: holds {held}, and this command changes no tables; start libcensus-collector serve of "
            "this version with it once"
        )


def upgrade(connection: Connection, address: DatabaseAddress, current: str | None, target: str) -> None:
    """Run the migrations from the ``current`` revision to the ``target``, inside the connection's transaction."""
    # Alembic takes as long to import as the rest of the store to open, and is needed once in a database's life.
    from alembic import command  # noqa: PLC0415

    config = _config()
    config.attributes["connection"] = connection
    if current is not None and current not in known_revisions():
        raise StoreError(
            f"{address.shown}: was written by a newer version of libcensus-collector (revision {current}; this one "
            f"knows up to {REVISION}); upgrade this collector, or name another database"
        )
    command.upgrade(config, target)


def known_revisions() -> frozenset[str]:
    """Return every revision that this version can bring to its own."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - as above

    return frozenset(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def _config() -> Config:
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    versions = table(VERSION_TABLE, column("version_num"))
    found: str | None = connection.execute(select(versions.c.version_num)).scalar()
    return found


def _refuse_foreign(connection: Connection, address: DatabaseAddress, *, create: bool) -> None:
    present = set(inspect(connection).get_table_names())
    # A PostgreSQL schema may be shared with other programs as long as no name is taken; a SQLite file is ours alone.
    foreign = present if address.path is not None else present & set(METADATA.tables)
    if foreign:
        raise StoreError(
            f"{address.shown}: belongs to another program (it has the table {min(foreign)!r} and no record of "
            "libcensus); name another database"
        )
    if not create:
        raise StoreError(
            f"{address.shown}: holds no census yet; check the name, or start libcensus-collector serve with it once"
        )
