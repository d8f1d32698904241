"""What runs on a host, as its last report told it.

Columns of hosts and no address of its own: it changes by itself, so one host's set is never another's, and the last
one is all that is kept. Hosts that were stored before have none until they report again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.add_column("hosts", sa.Column("processes_digest", sa.LargeBinary(32)))
    op.add_column("hosts", sa.Column("processes", sa.LargeBinary))
    op.add_column("hosts", sa.Column("outdated_processes", sa.Integer))
