"""Which facts a host had when, so that it can be judged as it was on a past day.

Of hosts that are there already it is known what they had at their last report, and not since when: their history begins
with it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table, with what holds now."""
    op.create_table(
        "inventory_intervals",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("host_id", sa.Text, sa.ForeignKey("hosts.host_id"), nullable=False),
        sa.Column("inventory", sa.LargeBinary(32), sa.ForeignKey("facts.digest"), nullable=False),
        sa.Column("first_seen", sa.BigInteger, nullable=False),
        sa.Column("gone_at", sa.BigInteger),
    )
    op.create_index("ix_inventory_intervals_host_id", "inventory_intervals", ["host_id", "first_seen"])
    op.execute(
        "INSERT INTO inventory_intervals (host_id, inventory, first_seen) "
        "SELECT host_id, inventory, last_report FROM hosts ORDER BY host_id"
    )
