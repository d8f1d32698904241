"""Join tokens, certificates and bans; and what a host's agent holds back and lost.

No foreign key leads to the host: it has a certificate before its first report. A token that was forgotten stays named
by the certificates that were got with it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables and columns."""
    op.create_table(
        "tokens",
        sa.Column("token_id", sa.Text, nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("uses", sa.Integer, nullable=False),
        sa.Column("uses_left", sa.Integer, nullable=False),
        sa.Column("hostname", sa.Text),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("replaces", sa.Boolean, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("token_id", name="pk_tokens"),
    )
    op.create_table(
        "certificates",
        sa.Column("serial", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("key_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("issued_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("hostname", sa.Text),
        sa.Column("predecessor", sa.Text),
        sa.Column("token_id", sa.Text),
        sa.Column("first_used_at", sa.BigInteger),
        sa.Column("revoked_at", sa.BigInteger),
        sa.Column("revoked_reason", sa.Text),
        sa.PrimaryKeyConstraint("serial", name="pk_certificates"),
    )
    op.create_index("ix_certificates_subject", "certificates", ["subject", "issued_at"])
    op.create_index("ix_certificates_expires_at", "certificates", ["expires_at"])
    op.create_index(
        "ix_certificates_revoked",
        "certificates",
        ["expires_at"],
        sqlite_where=sa.text("revoked_at IS NOT NULL"),
        postgresql_where=sa.text("revoked_at IS NOT NULL"),
    )
    op.create_table(
        "bans",
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("banned_at", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("subject", name="pk_bans"),
    )
    op.add_column("hosts", sa.Column("waiting_reports", sa.Integer))
    op.add_column("hosts", sa.Column("dropped_reports", sa.BigInteger))
    op.add_column("hosts", sa.Column("dropped_facts", sa.BigInteger))
    op.add_column("hosts", sa.Column("certificate_expires_at", sa.BigInteger))
