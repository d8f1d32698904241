"""The tables, declared once.

Migrations bring a database to this shape and a test compares the two. Every type is one that SQLite and PostgreSQL
share: a moment is a whole number of microseconds since 1970 in UTC, a digest its 32 bytes, a word of the vocabulary
its text. No path is indexed: a path may be 16 KiB long and PostgreSQL indexes at most 2,700 bytes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    text,
)

if TYPE_CHECKING:
    from sqlalchemy import Dialect

REVISION = "0006"
"""The newest migration: what this version writes."""

VERSION_TABLE = "libcensus_version"
"""Where Alembic keeps the revision; a name of its own, because a PostgreSQL database may be shared with others."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Digest(TypeDecorator[str]):
    """A SHA-256 digest: 64 hexadecimal digits in the domain, 32 bytes in the row."""

    impl = LargeBinary(32)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Return the row's bytes."""
        return None if value is None else bytes.fromhex(value)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - see above
        """Return the domain's digits."""
        return None if value is None else value.hex()


class Moment(TypeDecorator[datetime]):
    """A moment in UTC: an aware datetime in the domain, microseconds since 1970 in the row."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - see above
        """Return the row's number, exact to the microsecond."""
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - see above
        """Return the domain's moment."""
        return None if value is None else _EPOCH + timedelta(microseconds=value)


METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

FACTS = Table(
    "facts",
    METADATA,
    Column("digest", Digest, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("first_seen", Moment, nullable=False),
)
"""Every fact as it arrived. Rows are never changed."""

BUILDS = Table(
    "builds",
    METADATA,
    Column("digest", Digest, ForeignKey("facts.digest"), primary_key=True),
    Column("implementation", Text, nullable=False, index=True),
    Column("version", Text),
    Column("provider", Text, nullable=False),
    Column("provider_build", Text),
    Column("arch", Text),
    Column("flags", Text, nullable=False),
    Column("glibc", Text),
)
"""What can be asked of a build without decoding it; ``flags`` is a JSON list, ``glibc`` the version that it needs."""

PLATFORMS = Table(
    "platforms",
    METADATA,
    Column("digest", Digest, ForeignKey("facts.digest"), primary_key=True),
    Column("arch", Text),
    Column("x86_64_level", Integer),
    Column("kernel", Text),
    Column("libc_family", Text, nullable=False),
    Column("libc_version", Text),
    Column("glibc", Text),
)
"""What can be asked of a platform without decoding it; ``glibc`` is the highest version that its libc defines."""

CRYPTO_LIBRARIES = Table(
    "crypto_libraries",
    METADATA,
    Column("digest", Digest, primary_key=True),
    Column("family", Text, nullable=False),
    Column("version", Text),
    Column("package_manager", Text),
    Column("package_name", Text),
    Column("package_version", Text),
    Column("package_source", Text),
    Column("package_source_version", Text),
    Column("package_arch", Text),
    Column("package_origin", Text),
    Column("package_vendor", Text),
)
"""Each distinct crypto library once, by a digest over its own content; no package columns: no package owns it."""

HOSTS = Table(
    "hosts",
    METADATA,
    Column("host_id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("hostname", Text, nullable=False),
    Column("os_id", Text),
    Column("os_version", Text),
    Column("arch", Text),
    Column("kernel", Text),
    Column("libc_family", Text, nullable=False),
    Column("libc_version", Text),
    Column("inventory", Digest, ForeignKey("facts.digest"), nullable=False),
    Column("platform", Digest, ForeignKey("platforms.digest"), nullable=False, index=True),
    Column("installs", Digest, ForeignKey("facts.digest"), nullable=False),
    Column("report_id", LargeBinary(16), nullable=False),
    Column("agent_version", Text, nullable=False),
    Column("scanned_at", Moment, nullable=False),
    Column("scan_seconds", Double, nullable=False),
    Column("probes", Text, nullable=False),
    Column("first_report", Moment, nullable=False),
    Column("last_report", Moment, nullable=False),
    Column("seen_until", Moment, nullable=False),
    Column("processes_digest", Digest),
    Column("processes", LargeBinary),
    Column("outdated_processes", Integer),
    Column("waiting_reports", Integer),
    Column("dropped_reports", BigInteger),
    Column("dropped_facts", BigInteger),
    Column("certificate_expires_at", Moment),
)
"""One row per host. ``probes`` is JSON; ``seen_until`` is the latest ``last_report`` that there ever was, so that
intervals keep their order when the collector's clock goes back. ``processes`` are the bytes of the process set that
the last report named by ``processes_digest``, and ``outdated_processes`` counts those in it that run on something
that is gone; all are absent where the agent did not look. ``waiting_reports``, ``dropped_reports`` and
``dropped_facts`` are what the agent holds back and lost, absent where it does not tell. ``certificate_expires_at`` is
the end of the certificate that the last report came with, absent without TLS."""

INSTALL_INTERVALS = Table(
    "install_intervals",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("host_id", Text, ForeignKey("hosts.host_id"), nullable=False),
    Column("root", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("implementation", Text, nullable=False),
    Column("installer", Text, nullable=False),
    Column("build", Digest, ForeignKey("builds.digest"), index=True),
    Column("linkage", Text, nullable=False),
    Column("crypto_library", Digest, ForeignKey("crypto_libraries.digest"), index=True),
    Column("crypto_path", Text),
    Column("crypto_needed", Text),
    Column("first_seen", Moment, nullable=False),
    Column("last_seen", Moment),
    Column("gone_at", Moment),
    Index("ix_install_intervals_host_id", "host_id", "gone_at"),
)
"""History per install. While an interval is open, ``last_seen`` and ``gone_at`` are absent and its host's
``seen_until`` stands for ``last_seen``: an unchanged report touches no interval."""

INVENTORY_INTERVALS = Table(
    "inventory_intervals",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("host_id", Text, ForeignKey("hosts.host_id"), nullable=False),
    Column("inventory", Digest, ForeignKey("facts.digest"), nullable=False),
    Column("first_seen", Moment, nullable=False),
    Column("gone_at", Moment),
    Index("ix_inventory_intervals_host_id", "host_id", "first_seen"),
)
"""Which facts a host had when: one row for each time that they changed; ``gone_at`` is absent while they hold. Facts
stay, so that a host can be judged as it was on any past day."""

HOST_LABELS = Table(
    "host_labels",
    METADATA,
    Column("host_id", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""Labels of hosts. A host that never reported may have some."""

TOKENS = Table(
    "tokens",
    METADATA,
    Column("token_id", Text, primary_key=True),
    Column("secret_sha256", LargeBinary(32), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("uses_left", Integer, nullable=False),
    Column("hostname", Text),
    Column("labels", Text, nullable=False),
    Column("replaces", Boolean, nullable=False),
    Column("revoked_at", Moment),
)
"""Join tokens, without their secrets; ``labels`` is a JSON object."""

CERTIFICATES = Table(
    "certificates",
    METADATA,
    Column("serial", Text, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("key_sha256", Digest, nullable=False),
    Column("issued_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False, index=True),
    Column("hostname", Text),
    Column("predecessor", Text),
    Column("token_id", Text),
    Column("first_used_at", Moment),
    Column("revoked_at", Moment),
    Column("revoked_reason", Text),
    Index("ix_certificates_subject", "subject", "issued_at"),
    Index(
        "ix_certificates_revoked",
        "expires_at",
        sqlite_where=text("revoked_at IS NOT NULL"),
        postgresql_where=text("revoked_at IS NOT NULL"),
    ),
)
"""Certificates that were issued. Those that are revoked have an index of their own: collectors ask every second."""

BANS = Table(
    "bans",
    METADATA,
    Column("subject", Text, primary_key=True),
    Column("banned_at", Moment, nullable=False),
    Column("reason", Text, nullable=False),
)
"""Hosts and operators that are refused whatever they show."""

HEALTH = Table(
    "health",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("checked_at", Moment, nullable=False),
)
"""One row, written by the health check: whether a database takes writes is told by writing."""

RESTORES = Table(
    "restores",
    METADATA,
    Column("restored_at", Moment, primary_key=True),
    Column("taken_at", Moment, nullable=False),
)
"""One row for each time that a backup took the place of what was here: when that was, and when the backup was made.
What was issued between the two was forgotten, and may be shown by whoever got it."""
