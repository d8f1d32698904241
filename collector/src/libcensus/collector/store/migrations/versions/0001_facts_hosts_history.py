"""The first tables: content-addressed facts, hosts, and the history of their installs.

A migration is never edited after a release; the types are spelled out here because the declarations in ``tables``
change with time.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "facts",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("first_seen", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_facts"),
    )
    op.create_table(
        "builds",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("implementation", sa.Text, nullable=False),
        sa.Column("version", sa.Text),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("provider_build", sa.Text),
        sa.Column("arch", sa.Text),
        sa.Column("flags", sa.Text, nullable=False),
        sa.Column("glibc", sa.Text),
        sa.PrimaryKeyConstraint("digest", name="pk_builds"),
        sa.ForeignKeyConstraint(["digest"], ["facts.digest"], name="fk_builds_digest"),
    )
    op.create_index("ix_builds_implementation", "builds", ["implementation"])
    op.create_table(
        "platforms",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("arch", sa.Text),
        sa.Column("x86_64_level", sa.Integer),
        sa.Column("kernel", sa.Text),
        sa.Column("libc_family", sa.Text, nullable=False),
        sa.Column("libc_version", sa.Text),
        sa.Column("glibc", sa.Text),
        sa.PrimaryKeyConstraint("digest", name="pk_platforms"),
        sa.ForeignKeyConstraint(["digest"], ["facts.digest"], name="fk_platforms_digest"),
    )
    op.create_table(
        "crypto_libraries",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("family", sa.Text, nullable=False),
        sa.Column("version", sa.Text),
        sa.Column("package_manager", sa.Text),
        sa.Column("package_name", sa.Text),
        sa.Column("package_version", sa.Text),
        sa.Column("package_source", sa.Text),
        sa.Column("package_source_version", sa.Text),
        sa.Column("package_arch", sa.Text),
        sa.Column("package_origin", sa.Text),
        sa.Column("package_vendor", sa.Text),
        sa.PrimaryKeyConstraint("digest", name="pk_crypto_libraries"),
    )
    op.create_table(
        "hosts",
        sa.Column("host_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("hostname", sa.Text, nullable=False),
        sa.Column("os_id", sa.Text),
        sa.Column("os_version", sa.Text),
        sa.Column("arch", sa.Text),
        sa.Column("kernel", sa.Text),
        sa.Column("libc_family", sa.Text, nullable=False),
        sa.Column("libc_version", sa.Text),
        sa.Column("inventory", sa.LargeBinary(32), nullable=False),
        sa.Column("platform", sa.LargeBinary(32), nullable=False),
        sa.Column("installs", sa.LargeBinary(32), nullable=False),
        sa.Column("report_id", sa.LargeBinary(16), nullable=False),
        sa.Column("agent_version", sa.Text, nullable=False),
        sa.Column("scanned_at", sa.BigInteger, nullable=False),
        sa.Column("scan_seconds", sa.Double, nullable=False),
        sa.Column("probes", sa.Text, nullable=False),
        sa.Column("first_report", sa.BigInteger, nullable=False),
        sa.Column("last_report", sa.BigInteger, nullable=False),
        sa.Column("seen_until", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("host_id", name="pk_hosts"),
        sa.UniqueConstraint("name", name="uq_hosts_name"),
        sa.ForeignKeyConstraint(["inventory"], ["facts.digest"], name="fk_hosts_inventory"),
        sa.ForeignKeyConstraint(["platform"], ["platforms.digest"], name="fk_hosts_platform"),
        sa.ForeignKeyConstraint(["installs"], ["facts.digest"], name="fk_hosts_installs"),
    )
    op.create_index("ix_hosts_platform", "hosts", ["platform"])
    op.create_table(
        "install_intervals",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("host_id", sa.Text, nullable=False),
        sa.Column("root", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("implementation", sa.Text, nullable=False),
        sa.Column("installer", sa.Text, nullable=False),
        sa.Column("build", sa.LargeBinary(32)),
        sa.Column("linkage", sa.Text, nullable=False),
        sa.Column("crypto_library", sa.LargeBinary(32)),
        sa.Column("crypto_path", sa.Text),
        sa.Column("crypto_needed", sa.Text),
        sa.Column("first_seen", sa.BigInteger, nullable=False),
        sa.Column("last_seen", sa.BigInteger),
        sa.Column("gone_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_install_intervals"),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.host_id"], name="fk_install_intervals_host_id"),
        sa.ForeignKeyConstraint(["build"], ["builds.digest"], name="fk_install_intervals_build"),
        sa.ForeignKeyConstraint(
            ["crypto_library"], ["crypto_libraries.digest"], name="fk_install_intervals_crypto_library"
        ),
    )
    op.create_index("ix_install_intervals_host_id", "install_intervals", ["host_id", "gone_at"])
    op.create_index("ix_install_intervals_build", "install_intervals", ["build"])
    op.create_index("ix_install_intervals_crypto_library", "install_intervals", ["crypto_library"])
    op.create_table(
        "health",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("checked_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_health"),
    )
