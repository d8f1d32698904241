"""What Alembic runs: the migrations, on the connection that the store gives and inside its transaction.

There is no way to run it without the store: the store holds the lock that keeps two collectors from migrating at once.
"""

from __future__ import annotations

from alembic import context

from libcensus.collector.store.tables import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
    # SQLite cannot alter most of a table; Alembic then copies it.
    render_as_batch=True,
    # Both databases roll a failed migration back as a whole; Alembic's default for SQLite is from older days.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
