"""When a backup was restored, and of when it was: certificates that were issued in between are known by that.

A host that renewed after the backup shows a certificate that the restored database never saw. Without this record it
could not be told from one that no collector issued.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "restores",
        sa.Column("restored_at", sa.BigInteger, nullable=False),
        sa.Column("taken_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("restored_at", name="pk_restores"),
    )
