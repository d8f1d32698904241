"""What the commands of trust share: places of the settings, names of hosts and operators, and how rows look."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from libcensus.collector.errors import ConfigurationError
from libcensus.collector.log import escape_control
from libcensus.collector.pki.audit import AuditLog
from libcensus.collector.pki.errors import ArgumentError
from libcensus.collector.pki.identity import HOST_ID, Identity, InvalidIdentityError, Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from libcensus.collector.config import CollectorSettings
    from libcensus.collector.store.contract import Store


def now_utc() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def pki_folder(settings: CollectorSettings) -> Path:
    """Return the folder of the certificate authority; raises ConfigurationError where none is set."""
    if settings.pki_dir is None:
        raise ConfigurationError("pki_dir: is not set; name a folder with --pki-dir")
    return Path(settings.pki_dir)


def audit_log(settings: CollectorSettings) -> AuditLog:
    """Return the audit log of the settings."""
    return AuditLog(None if settings.audit_log is None else Path(settings.audit_log))


def who_runs_this() -> str:
    """Return what stands as ``peer`` in the audit log for a command on the collector's own machine."""
    user = f"uid:{os.getuid()}"
    behind = os.environ.get("SUDO_UID", "")
    return f"{user} (sudo by uid:{behind})" if behind.isascii() and behind.isdigit() else user


def subject_of(store: Store, host: str | None, operator: str | None, trust_domain: str) -> str:
    """Return the subject of a host (by name or id) or of an operator; raises ArgumentError."""
    if (host is None) == (operator is None):
        raise ArgumentError("name either a host, or an operator with --operator")
    if operator is not None:
        return operator_identity(operator, trust_domain).subject
    return f"{Role.AGENT}/{host_id_of(store, host or '')}"


def host_id_of(store: Store, name_or_id: str) -> str:
    """Return the id of a host that reported, or has a certificate; raises ArgumentError."""
    found = store.find_host(name_or_id)
    if found is not None:
        return found.host_id
    if HOST_ID.fullmatch(name_or_id):
        # Whoever is banned need not be known yet.
        return name_or_id
    # A host that was enrolled and never reported is known by the name that it told then.
    prefix = f"{Role.AGENT}/"
    wanted = name_or_id.lower()
    ids = {
        one.subject.removeprefix(prefix)
        for one in store.certificates()
        if one.subject.startswith(prefix) and (one.hostname or "").lower() == wanted
    }
    if len(ids) > 1:
        raise ArgumentError(f"{name_or_id[:255]!r} is the name of several hosts; write an id: {', '.join(sorted(ids))}")
    if not ids:
        raise ArgumentError(
            f"no host has the name or id {name_or_id[:255]!r}; libcensus-collector certificates list shows those "
            "that are enrolled"
        )
    return ids.pop()


def operator_identity(name: str, trust_domain: str) -> Identity:
    """Return the identity of an operator; raises ArgumentError for a name that cannot be one."""
    try:
        return Identity(trust_domain, Role.OPERATOR, name)
    except InvalidIdentityError as error:
        raise ArgumentError(str(error)) from None


def rfc3339(moment: datetime | None) -> str | None:
    """Return a moment as it is written everywhere, to the second; None for none."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows below their headings, one a line, never cut."""
    return "\n".join(table_blocks(columns, rows))


def table_blocks(columns: Sequence[str], rows: Iterable[Sequence[str]], size: int = 1000) -> Iterator[str]:
    """Yield rows below their headings, one a line, never cut, in blocks of so many lines.

    The first block decides how wide columns are: what comes later and is wider stands out.
    """
    left = iter(rows)
    block = [list(columns), *([escape_control(cell) or "-" for cell in row] for row in islice(left, size))]
    widths = [max(len(row[place]) for row in block) for place in range(len(columns))]
    while block:
        yield "\n".join(
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in block
        )
        block = [[escape_control(cell) or "-" for cell in row] for row in islice(left, size)]


def pairs(rows: Sequence[tuple[str, str]]) -> str:
    """Return names and values, one pair a line."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)
