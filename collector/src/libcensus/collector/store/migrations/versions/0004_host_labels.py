"""Labels of hosts, as operators give them.

No foreign key leads to the host: a label may be given before the host reports for the first time.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "host_labels",
        sa.Column("host_id", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("host_id", "key", name="pk_host_labels"),
    )
