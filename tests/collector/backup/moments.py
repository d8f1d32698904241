"""Times that the tests of backups share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

TAKEN = datetime(2026, 3, 1, 12, tzinfo=UTC)
RESTORED = TAKEN + timedelta(hours=1)
