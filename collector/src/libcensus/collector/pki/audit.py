"""The audit log: who was let in, renewed, refused and banned, one JSON object a line.

A line is written with one call to a file opened for appending, so that the collector and the commands beside it may
write to the same file. A file that was moved away (``logrotate``) is opened anew; what cannot be written, as on a full
disk, is counted and told in the collector's log, and never fails the call that it is about. No secret is ever among the
fields: tokens are named by their ids, keys not at all.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from libcensus.collector.log import escape_control
from libcensus.collector.pki.ownership import give_to_owner_of_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_LOGGER = logging.getLogger(__name__)

LONGEST_FIELD = 512
"""Characters that one field may have; what is longer is cut, and ends with an ellipsis."""


class AuditEvent(StrEnum):
    """What happened."""

    ENROLLED = "enrolled"
    ENROLLMENT_REFUSED = "enrollment_refused"
    RENEWED = "renewed"
    RENEWAL_REFUSED = "renewal_refused"
    TOKEN_CREATED = "token_created"  # noqa: S105 - the name of an event
    TOKEN_REVOKED = "token_revoked"  # noqa: S105 - the name of an event
    CERTIFICATE_REVOKED = "certificate_revoked"
    BANNED = "banned"
    BAN_LIFTED = "ban_lifted"
    OPERATOR_CREATED = "operator_created"
    OPERATOR_READ = "operator_read"
    LABELS_CHANGED = "labels_changed"
    CALL_REFUSED = "call_refused"
    CA_INITIALISED = "ca_initialised"
    CA_ROTATED = "ca_rotated"
    CA_ROOT_RETIRED = "ca_root_retired"
    BACKED_UP = "backed_up"
    RESTORED = "restored"


class AuditLog:
    """An audit log in a file, or nowhere without a path. Its methods may be called from several threads at once."""

    def __init__(self, path: Path | None, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._is_torn = False
        self._is_failing = False
        self._written = 0
        self._lost = 0

    @property
    def written(self) -> int:
        """How many records were written."""
        return self._written

    @property
    def lost(self) -> int:
        """How many records could not be written."""
        return self._lost

    def record(
        self,
        event: AuditEvent,
        *,
        subject: str | None = None,
        peer: str | None = None,
        host: str | None = None,
        token_id: str | None = None,
        serial: str | None = None,
        method: str | None = None,
        reason: str | None = None,
    ) -> None:
        """Write what happened; never raises.

        ``subject`` is ``agent/HOST-ID`` or ``operator/NAME`` (or ``ca``), ``peer`` where the call came from, ``host``
        a hostname as it was told, ``method`` what was called, ``reason`` why.
        """
        if self._path is None:
            return
        fields = {
            "subject": subject,
            "peer": peer,
            "host": host,
            "token_id": token_id,
            "serial": serial,
            "method": method,
            "reason": reason,
        }
        entry = {"time": _rfc3339(self._clock()), "event": event.value}
        entry |= {name: _bounded(value) for name, value in fields.items() if value is not None}
        line = json.dumps(entry, ensure_ascii=False).encode() + b"\n"
        with self._lock:
            try:
                self._append(line)
            except OSError as error:
                self._lost += 1
                self._close()
                if not self._is_failing:
                    # Without a traceback: there is nothing in it that the text does not say.
                    text = "audit log %s cannot be written, and records are lost: %s"
                    _LOGGER.log(logging.ERROR, text, self._path, error.strerror)
                self._is_failing = True
            else:
                self._written += 1
                if self._is_failing:
                    _LOGGER.warning("audit log %s can be written again; %d records were lost", self._path, self._lost)
                self._is_failing = False

    def close(self) -> None:
        """Close the file; a later record opens it again."""
        with self._lock:
            self._close()

    def _append(self, line: bytes) -> None:
        descriptor = self._open()
        # What a full disk cut off must not swallow the next record: that begins on a line of its own.
        whole = b"\n" + line if self._is_torn else line
        if os.write(descriptor, whole) < len(whole):
            raise OSError(None, "only a part of a record could be written")
        self._is_torn = False

    def _open(self) -> int:
        path = self._path
        if path is None:
            raise AssertionError
        if self._descriptor is not None and _is_same_file(self._descriptor, path):
            return self._descriptor
        self._close()
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
        give_to_owner_of_folder(descriptor, path)
        self._descriptor = descriptor
        size = os.fstat(descriptor).st_size
        self._is_torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        return descriptor

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        there = path.stat()
    except OSError:
        return False
    here = os.fstat(descriptor)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def _bounded(value: str) -> str:
    text = escape_control(value[: LONGEST_FIELD + 1])
    return text if len(text) <= LONGEST_FIELD else text[: LONGEST_FIELD - 1] + "…"


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
